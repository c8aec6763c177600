//! Users and sessions. The table of users is the original chat's, see
//! `migrations/postgres/0001_accounts.up.sql`.

use std::sync::atomic::{AtomicBool, Ordering};

use chat_core::{SessionId, Username};

use super::{PostgresStore, rows};
use crate::{Answer, NewUser, Session, SessionRepository, StoreError, User, UserRepository, columns};

impl UserRepository for PostgresStore {
    fn create_user<'a>(&'a self, user: &'a NewUser) -> Answer<'a, ()> {
        Box::pin(async move {
            let tried = AtomicBool::new(false);
            let created = self
                .pool
                .row(|| {
                    // Where the answer to the first try was lost, the account
                    // that is there may be the one that it made: nobody else
                    // has the salt of its hash.
                    let again = tried.swap(true, Ordering::Relaxed);
                    sqlx::query(CREATE_USER)
                        .bind(user.name.as_str())
                        .bind(&user.password_hash)
                        .bind(&user.avatar)
                        .bind(columns::column(user.created_at_ms))
                        .bind(again)
                })
                .await?;
            created.map(drop).ok_or(StoreError::NameTaken)
        })
    }

    fn find_user<'a>(&'a self, name: &'a Username) -> Answer<'a, Option<User>> {
        Box::pin(async move {
            let Some(row) = self.pool.row(|| sqlx::query(FIND_USER).bind(name.as_str())).await? else {
                return Ok(None);
            };
            Ok(Some(User {
                name: name.clone(),
                password_hash: rows::get(&row, 0)?,
                avatar: rows::get(&row, 1)?,
                created_at_ms: columns::number(rows::get(&row, 2)?)?,
            }))
        })
    }

    fn set_password_hash<'a>(&'a self, name: &'a Username, old: &'a str, new: &'a str) -> Answer<'a, bool> {
        Box::pin(async move {
            let set = self
                .pool
                .row(|| sqlx::query(SET_PASSWORD_HASH).bind(name.as_str()).bind(old).bind(new))
                .await?;
            Ok(set.is_some())
        })
    }
}

impl SessionRepository for PostgresStore {
    /// Deletes some of those that ended before, too: there is no other time at
    /// which anybody comes by.
    fn open_session<'a>(&'a self, session: &'a Session) -> Answer<'a, ()> {
        Box::pin(async move {
            let now = columns::column(session.created_at_ms);
            self.pool.rows(|| sqlx::query(SWEEP_SESSIONS).bind(now)).await?;
            self.pool
                .rows(|| {
                    sqlx::query(OPEN_SESSION)
                        .bind(session.id.as_str())
                        .bind(session.user.as_str())
                        .bind(now)
                        .bind(columns::column(session.expires_at_ms))
                })
                .await?;
            Ok(())
        })
    }

    fn find_session<'a>(&'a self, id: &'a SessionId, now_ms: u64) -> Answer<'a, Option<Session>> {
        Box::pin(async move {
            let now = columns::column(now_ms);
            let row = self.pool.row(|| sqlx::query(FIND_SESSION).bind(id.as_str()).bind(now)).await?;
            let Some(row) = row else { return Ok(None) };
            Ok(Some(Session {
                id: id.clone(),
                user: columns::username(rows::get(&row, 0)?)?,
                created_at_ms: columns::number(rows::get(&row, 1)?)?,
                expires_at_ms: columns::number(rows::get(&row, 2)?)?,
            }))
        })
    }

    fn renew_session<'a>(&'a self, id: &'a SessionId, now_ms: u64, expires_at_ms: u64) -> Answer<'a, ()> {
        Box::pin(async move {
            let (now, end) = (columns::column(now_ms), columns::column(expires_at_ms));
            self.pool.rows(|| sqlx::query(RENEW_SESSION).bind(id.as_str()).bind(now).bind(end)).await?;
            Ok(())
        })
    }

    fn revoke_session<'a>(&'a self, id: &'a SessionId) -> Answer<'a, ()> {
        Box::pin(async move {
            self.pool.rows(|| sqlx::query("DELETE FROM sessions WHERE id = $1").bind(id.as_str())).await?;
            Ok(())
        })
    }
}

/// Answers a row if the account is made, or was made by a try before this one.
const CREATE_USER: &str = "WITH made AS (
         INSERT INTO users (username, password_hash, avatar, created_at)
         VALUES ($1, $2, $3, to_timestamp($4::double precision / 1000))
             ON CONFLICT (username) DO NOTHING
      RETURNING 1)
     SELECT FROM made UNION ALL SELECT FROM users WHERE $5 AND username = $1 AND password_hash = $2";

/// The original knows accounts without a date.
pub(super) const FIND_USER: &str = "SELECT password_hash, avatar,
            CASE WHEN isfinite(created_at)
                 THEN greatest(0, round(extract(epoch FROM created_at) * 1000))::bigint
                 ELSE 0 END
       FROM users WHERE username = $1";

/// Also true where a try before this one has set it, and its answer was lost.
const SET_PASSWORD_HASH: &str =
    "UPDATE users SET password_hash = $3 WHERE username = $1 AND password_hash IN ($2, $3) RETURNING 1";

/// Those that somebody else is just deleting are left to them.
const SWEEP_SESSIONS: &str = "DELETE FROM sessions WHERE id IN (
         SELECT id FROM sessions WHERE expires_at <= $1 ORDER BY expires_at LIMIT 100 FOR UPDATE SKIP LOCKED)";

const OPEN_SESSION: &str = "INSERT INTO sessions (id, username, created_at, expires_at)
     VALUES ($1, $2, $3, $4)
         ON CONFLICT (id) DO UPDATE SET username = excluded.username,
            created_at = excluded.created_at, expires_at = excluded.expires_at";

pub(super) const FIND_SESSION: &str =
    "SELECT username, created_at, expires_at FROM sessions WHERE id = $1 AND expires_at > $2";

const RENEW_SESSION: &str = "UPDATE sessions SET expires_at = $3 WHERE id = $1 AND expires_at > $2";

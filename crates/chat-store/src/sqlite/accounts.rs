//! Users and sessions. Changes use the connection that writes.

use std::collections::BTreeSet;

use chat_core::{SessionId, Skeleton, Username};
use sqlx::sqlite::SqliteConnection;

use super::{SqliteStore, names, roles, words};
use crate::administration::database;
use crate::bots;
use crate::directory::ListingPage;
use crate::names::{RemovedNames, pick_ignoring_case};
use crate::rooms::members;
use crate::{
    NewUser, PasswordChange, RoleChange, SESSIONS_LISTED_MAX, Session, SessionRepository, StoreError,
    StoreFuture, Subject, User, UserRepository, columns, rows,
};

impl UserRepository for SqliteStore {
    fn create_user<'a>(&'a self, user: &'a NewUser) -> StoreFuture<'a, ()> {
        Box::pin(self.create(user, RemovedNames::StayTaken))
    }

    fn recreate_user<'a>(&'a self, user: &'a NewUser) -> StoreFuture<'a, ()> {
        Box::pin(self.create(user, RemovedNames::MayReturn))
    }

    fn check_new_name<'a>(&'a self, name: &'a Username) -> StoreFuture<'a, ()> {
        Box::pin(async move { names::find(&self.readers, name).await?.check(RemovedNames::StayTaken) })
    }

    fn find_user<'a>(&'a self, name: &'a Username) -> StoreFuture<'a, Option<User>> {
        Box::pin(async move {
            let row = sqlx::query(
                "SELECT username, password_hash, avatar, created_at FROM users WHERE username = ?1",
            )
            .bind(name.as_str())
            .fetch_optional(&self.readers)
            .await
            .map_err(StoreError::unavailable)?;
            row.as_ref().map(rows::user).transpose()
        })
    }

    fn find_user_ignoring_case<'a>(
        &'a self,
        typed: &'a Username,
        name: &'a Username,
    ) -> StoreFuture<'a, Option<User>> {
        Box::pin(async move {
            let skeleton = Skeleton::of(name.as_str());
            let [_, folded] = skeleton.keys();
            let found = sqlx::query(FIND_USER_IGNORING_CASE)
                .bind(typed.as_str())
                .bind(name.as_str())
                .bind(folded)
                .fetch_all(&self.readers)
                .await
                .map_err(StoreError::unavailable)?;
            let candidates = found.iter().map(rows::user).collect::<Result<Vec<_>, _>>()?;
            Ok(pick_ignoring_case(typed, name, candidates))
        })
    }

    fn find_subject<'a>(&'a self, subject: Subject<'a>) -> StoreFuture<'a, Option<User>> {
        Box::pin(async move {
            let row = sqlx::query(FIND_SUBJECT)
                .bind(subject.issuer)
                .bind(subject.subject)
                .fetch_optional(&self.readers)
                .await
                .map_err(StoreError::unavailable)?;
            row.as_ref().map(rows::user).transpose()
        })
    }

    fn set_password_hash<'a>(
        &'a self,
        name: &'a Username,
        old: &'a str,
        new: &'a str,
    ) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let mut writing = self.writer.begin().await?;
            let work =
                sqlx::query("UPDATE users SET password_hash = ?3 WHERE username = ?1 AND password_hash = ?2")
                    .bind(name.as_str())
                    .bind(old)
                    .bind(new)
                    .execute(&mut writing.connection)
                    .await;
            writing.finish(work.map(|done| done.rows_affected() > 0).map_err(StoreError::unavailable)).await
        })
    }

    fn change_password<'a>(&'a self, change: PasswordChange<'a>) -> StoreFuture<'a, Option<Vec<SessionId>>> {
        Box::pin(async move {
            let mut writing = self.writer.begin().await?;
            let work = change_password(&mut writing.connection, change).await;
            writing.finish(work).await
        })
    }

    fn set_avatar<'a>(
        &'a self,
        name: &'a Username,
        old: Option<&'a str>,
        new: Option<&'a str>,
    ) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let mut writing = self.writer.begin().await?;
            let work = sqlx::query(SET_AVATAR)
                .bind(name.as_str())
                .bind(old)
                .bind(new)
                .execute(&mut writing.connection)
                .await;
            writing.finish(work.map(|done| done.rows_affected() > 0).map_err(StoreError::unavailable)).await
        })
    }

    fn is_avatar_used<'a>(&'a self, avatar: &'a str) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let row = sqlx::query("SELECT 1 FROM users WHERE avatar = ?1 LIMIT 1")
                .bind(avatar)
                .fetch_optional(&self.readers)
                .await
                .map_err(StoreError::unavailable)?;
            Ok(row.is_some())
        })
    }

    fn remove_user<'a>(&'a self, name: &'a Username) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let mut writing = self.writer.begin().await?;
            let work = remove(&mut writing.connection, name).await;
            writing.finish(work).await
        })
    }

    fn list_users<'a>(&'a self, after: Option<&'a Username>, max: usize) -> StoreFuture<'a, Vec<User>> {
        Box::pin(async move {
            let found = sqlx::query(LIST_USERS)
                .bind(after.map_or("", Username::as_str))
                .bind(columns::column(max as u64))
                .fetch_all(&self.readers)
                .await
                .map_err(StoreError::unavailable)?;
            found.iter().map(rows::user).collect()
        })
    }

    fn find_users<'a>(&'a self, names: &'a [Username]) -> StoreFuture<'a, Vec<User>> {
        Box::pin(async move {
            let texts: BTreeSet<&str> = names.iter().map(Username::as_str).collect();
            let found = sqlx::query(FIND_USERS)
                .bind(serde_json::to_string(&texts).map_err(StoreError::unavailable)?)
                .fetch_all(&self.readers)
                .await
                .map_err(StoreError::unavailable)?;
            found.iter().map(rows::user).collect()
        })
    }

    fn search_users<'a>(
        &'a self,
        prefix: Option<&'a Username>,
        after: Option<&'a Username>,
        max: usize,
    ) -> StoreFuture<'a, Vec<User>> {
        Box::pin(async move {
            let mut page = ListingPage::new(prefix, after, max);
            loop {
                let (word, name, end, rows) = page.query();
                let sql = if prefix.is_some() { words::SEARCH } else { words::LIST };
                let found = sqlx::query(sql)
                    .bind(word)
                    .bind(name)
                    .bind(end)
                    .bind(rows)
                    .fetch_all(&self.readers)
                    .await
                    .map_err(StoreError::unavailable)?;
                if page.take(&found)? {
                    return Ok(page.into_users());
                }
            }
        })
    }

    fn is_administrator<'a>(&'a self, name: &'a Username) -> StoreFuture<'a, bool> {
        Box::pin(roles::is_administrator(&self.readers, name))
    }

    fn set_administrator<'a>(
        &'a self,
        name: &'a Username,
        is_administrator: bool,
        now_ms: u64,
    ) -> StoreFuture<'a, RoleChange> {
        Box::pin(async move {
            let mut writing = self.writer.begin().await?;
            let connection = &mut writing.connection;
            let work = database::set_role(connection, name, is_administrator, None, now_ms).await;
            writing.finish(work).await
        })
    }

    fn count_users(&self) -> StoreFuture<'_, u64> {
        Box::pin(database::count_users(&self.readers))
    }

    fn administrators(&self) -> StoreFuture<'_, Vec<Username>> {
        Box::pin(roles::administrators(&self.readers))
    }
}

impl SqliteStore {
    async fn create(&self, user: &NewUser, removed: RemovedNames) -> Result<(), StoreError> {
        let mut writing = self.writer.begin().await?;
        let work = create(&mut writing.connection, user, removed).await;
        writing.finish(work).await
    }
}

pub(super) async fn create(
    connection: &mut SqliteConnection,
    user: &NewUser,
    removed: RemovedNames,
) -> Result<(), StoreError> {
    names::find(&mut *connection, &user.name).await?.check(removed)?;
    sqlx::query("INSERT INTO users (username, password_hash, avatar, created_at) VALUES (?1, ?2, ?3, ?4)")
        .bind(user.name.as_str())
        .bind(&user.password_hash)
        .bind(&user.avatar)
        .bind(columns::column(user.created_at_ms))
        .execute(&mut *connection)
        .await
        .map_err(StoreError::unavailable)?;
    // Another program may have removed an account of this name, and left its role, or a bot.
    roles::remove(&mut *connection, &user.name).await?;
    bots::database::forget(&mut *connection, &user.name).await?;
    match removed {
        RemovedNames::MayReturn => database::forget_former_user(&mut *connection, &user.name).await?,
        RemovedNames::StayTaken => database::drop_links_of(&mut *connection, &user.name).await?,
    }
    words::keep(&mut *connection, &[user.name.as_str()]).await?;
    names::keep(connection, user.name.as_str()).await
}

async fn change_password(
    connection: &mut SqliteConnection,
    change: PasswordChange<'_>,
) -> Result<Option<Vec<SessionId>>, StoreError> {
    let set = sqlx::query("UPDATE users SET password_hash = ?3 WHERE username = ?1 AND password_hash = ?2")
        .bind(change.user.as_str())
        .bind(change.old)
        .bind(change.new)
        .execute(&mut *connection)
        .await
        .map_err(StoreError::unavailable)?;
    if set.rows_affected() == 0 {
        return Ok(None);
    }
    database::drop_links_of(&mut *connection, change.user).await?;
    let ended = sqlx::query("DELETE FROM sessions WHERE username = ?1 AND id <> ?2 RETURNING id")
        .bind(change.user.as_str())
        .bind(change.kept.as_str())
        .fetch_all(&mut *connection)
        .await
        .map_err(StoreError::unavailable)?;
    ended.iter().map(rows::session_id).collect::<Result<_, _>>().map(Some)
}

async fn remove(connection: &mut SqliteConnection, name: &Username) -> Result<(), StoreError> {
    let removed = sqlx::query("DELETE FROM users WHERE username = ?1")
        .bind(name.as_str())
        .execute(&mut *connection)
        .await
        .map_err(StoreError::unavailable)?;
    roles::remove(&mut *connection, name).await?;
    members::remove_from_all(connection, name).await?;
    database::forget_user(connection, name).await?;
    words::forget(&mut *connection, &[name.as_str()]).await?;
    // Another program may have added the account without a row in `names`.
    if removed.rows_affected() > 0 { names::keep(connection, name.as_str()).await } else { Ok(()) }
}

pub(super) const FIND_SUBJECT: &str = "SELECT u.username, u.password_hash, u.avatar, u.created_at
       FROM subjects AS s CROSS JOIN users AS u ON u.username = s.username
      WHERE s.issuer = ?1 AND s.subject = ?2";

const SET_AVATAR: &str =
    "UPDATE users SET avatar = ?3 WHERE username = ?1 AND (avatar IS ?2 OR avatar IS ?3)";

/// Names that differ only in case have the same skeleton in folded case.
pub(super) const FIND_USER_IGNORING_CASE: &str =
    "SELECT username, password_hash, avatar, created_at FROM users WHERE username IN (?1, ?2)
     UNION ALL
     SELECT u.username, u.password_hash, u.avatar, u.created_at
       FROM names AS n CROSS JOIN users AS u ON u.username = n.username
      WHERE n.folded = ?3";

/// The empty name, which no account has, is before the first one.
const LIST_USERS: &str = "SELECT username, password_hash, avatar, created_at FROM users
     WHERE username > ?1 ORDER BY username LIMIT ?2 + 0";

impl SessionRepository for SqliteStore {
    /// Deletes some ended sessions, too: nothing else would.
    fn open_session<'a>(&'a self, session: &'a Session, of_user_max: usize) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let mut writing = self.writer.begin().await?;
            let mut work = sqlx::query(SWEEP_SESSIONS)
                .bind(columns::column(session.created_at_ms))
                .execute(&mut writing.connection)
                .await;
            if work.is_ok() {
                work = sqlx::query(OPEN_SESSION)
                    .bind(session.id.as_str())
                    .bind(session.user.as_str())
                    .bind(columns::column(session.created_at_ms))
                    .bind(columns::column(session.expires_at_ms))
                    .bind(&session.device)
                    .bind(&session.address)
                    .bind(columns::column(session.last_seen_at_ms))
                    .execute(&mut writing.connection)
                    .await;
            }
            let mut is_open = work.map(|done| done.rows_affected() > 0);
            if matches!(is_open, Ok(true)) {
                let oldest = sqlx::query(END_OLDEST_SESSIONS)
                    .bind(session.user.as_str())
                    .bind(session.id.as_str())
                    .bind(columns::column(of_user_max.saturating_sub(1) as u64))
                    .execute(&mut writing.connection)
                    .await;
                is_open = oldest.map(|_| true);
            }
            writing.finish(is_open.map_err(StoreError::unavailable)).await
        })
    }

    fn find_session<'a>(&'a self, id: &'a SessionId, now_ms: u64) -> StoreFuture<'a, Option<Session>> {
        Box::pin(async move {
            let row = sqlx::query(FIND_SESSION)
                .bind(id.as_str())
                .bind(columns::column(now_ms))
                .fetch_optional(&self.readers)
                .await
                .map_err(StoreError::unavailable)?;
            row.as_ref().map(rows::session).transpose()
        })
    }

    fn renew_session<'a>(
        &'a self,
        id: &'a SessionId,
        now_ms: u64,
        expires_at_ms: u64,
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let mut writing = self.writer.begin().await?;
            let work = sqlx::query("UPDATE sessions SET expires_at = ?3 WHERE id = ?1 AND expires_at > ?2")
                .bind(id.as_str())
                .bind(columns::column(now_ms))
                .bind(columns::column(expires_at_ms))
                .execute(&mut writing.connection)
                .await;
            writing.finish(work.map(drop).map_err(StoreError::unavailable)).await
        })
    }

    fn revoke_session<'a>(&'a self, id: &'a SessionId) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let mut writing = self.writer.begin().await?;
            let work = sqlx::query("DELETE FROM sessions WHERE id = ?1")
                .bind(id.as_str())
                .execute(&mut writing.connection)
                .await;
            writing.finish(work.map(drop).map_err(StoreError::unavailable)).await
        })
    }

    fn sessions_of<'a>(&'a self, user: &'a Username, now_ms: u64) -> StoreFuture<'a, Vec<Session>> {
        Box::pin(async move {
            let found = sqlx::query(SESSIONS_OF)
                .bind(user.as_str())
                .bind(columns::column(now_ms))
                .bind(SESSIONS_LISTED_MAX as i64)
                .fetch_all(&self.readers)
                .await
                .map_err(StoreError::unavailable)?;
            found.iter().map(rows::session).collect()
        })
    }

    fn revoke_sessions_of<'a>(&'a self, user: &'a Username) -> StoreFuture<'a, Vec<SessionId>> {
        Box::pin(async move {
            let mut writing = self.writer.begin().await?;
            let work =
                sqlx::query(REVOKE_SESSIONS_OF).bind(user.as_str()).fetch_all(&mut writing.connection).await;
            let revoked = writing.finish(work.map_err(StoreError::unavailable)).await?;
            revoked.iter().map(rows::session_id).collect()
        })
    }

    fn touch_session<'a>(&'a self, id: &'a SessionId, now_ms: u64) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let mut writing = self.writer.begin().await?;
            let work =
                sqlx::query("UPDATE sessions SET last_seen_at = ?2 WHERE id = ?1 AND last_seen_at < ?2")
                    .bind(id.as_str())
                    .bind(columns::column(now_ms))
                    .execute(&mut writing.connection)
                    .await;
            writing.finish(work.map(drop).map_err(StoreError::unavailable)).await
        })
    }

    fn valid_sessions<'a>(
        &'a self,
        ids: &'a [SessionId],
        now_ms: u64,
    ) -> StoreFuture<'a, Vec<(SessionId, u64)>> {
        Box::pin(async move {
            let texts: Vec<&str> = ids.iter().map(SessionId::as_str).collect();
            let valid = sqlx::query(VALID_SESSIONS)
                .bind(serde_json::to_string(&texts).map_err(StoreError::unavailable)?)
                .bind(columns::column(now_ms))
                .fetch_all(&self.readers)
                .await
                .map_err(StoreError::unavailable)?;
            valid.iter().map(rows::session_end).collect()
        })
    }
}

// CROSS JOIN makes SQLite look each account up by its name.
pub(super) const FIND_USERS: &str = "SELECT u.username, u.password_hash, u.avatar, u.created_at
       FROM jsonb_each(?1) AS d CROSS JOIN users AS u ON u.username = d.value";

pub(super) const REVOKE_SESSIONS_OF: &str = "DELETE FROM sessions WHERE username = ?1 RETURNING id";

const OPEN_SESSION: &str =
    "INSERT INTO sessions (id, username, created_at, expires_at, device, address, last_seen_at)
     SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 WHERE NOT EXISTS (SELECT 1 FROM bans WHERE username = ?2)
         ON CONFLICT (id) DO UPDATE SET username = excluded.username,
            created_at = excluded.created_at, expires_at = excluded.expires_at,
            device = excluded.device, address = excluded.address, last_seen_at = excluded.last_seen_at";

/// Deletes the oldest sessions of a user, but never the one that was just opened.
const END_OLDEST_SESSIONS: &str = "DELETE FROM sessions WHERE id IN (
         SELECT id FROM sessions WHERE username = ?1 AND id <> ?2
          ORDER BY created_at DESC, id DESC LIMIT -1 OFFSET ?3 + 0)";

const FIND_SESSION: &str = "SELECT id, username, created_at, expires_at, device, address, last_seen_at
       FROM sessions WHERE id = ?1 AND expires_at > ?2";

pub(super) const SESSIONS_OF: &str =
    "SELECT id, username, created_at, expires_at, device, address, last_seen_at
       FROM sessions WHERE username = ?1 AND expires_at > ?2
      ORDER BY created_at DESC, id DESC LIMIT ?3 + 0";

// CROSS JOIN makes SQLite keep this order of the tables, and look each row up by its
// key.
pub(super) const VALID_SESSIONS: &str = "SELECT s.id, s.expires_at
       FROM jsonb_each(?1) AS d CROSS JOIN sessions AS s ON s.id = d.value
      WHERE s.expires_at > ?2";

/// A few with each sign-in, so that no sign-in waits for many deletions.
const SWEEP_SESSIONS: &str =
    "DELETE FROM sessions WHERE id IN (SELECT id FROM sessions WHERE expires_at <= ?1 LIMIT 100)";

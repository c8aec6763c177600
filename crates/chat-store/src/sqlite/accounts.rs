//! Users and sessions. What changes them passes through the one writer.

use chat_core::{SessionId, Username};
use sqlx::sqlite::SqliteRow;

use super::{SqliteStore, rows};
use crate::{Answer, NewUser, Session, SessionRepository, StoreError, User, UserRepository, columns};

impl UserRepository for SqliteStore {
    fn create_user<'a>(&'a self, user: &'a NewUser) -> Answer<'a, ()> {
        Box::pin(async move {
            let mut writing = self.writer.begin().await?;
            let insert = sqlx::query(
                "INSERT INTO users (username, password_hash, avatar, created_at) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (username) DO NOTHING",
            )
            .bind(user.name.as_str())
            .bind(&user.password_hash)
            .bind(&user.avatar)
            .bind(columns::column(user.created_at_ms));
            let work = match insert.execute(&mut writing.connection).await {
                Ok(done) if done.rows_affected() == 0 => Err(StoreError::NameTaken),
                Ok(_) => Ok(()),
                Err(error) => Err(StoreError::unavailable(error)),
            };
            writing.finish(work).await
        })
    }

    fn find_user<'a>(&'a self, name: &'a Username) -> Answer<'a, Option<User>> {
        Box::pin(async move {
            let row = sqlx::query(
                "SELECT username, password_hash, avatar, created_at FROM users WHERE username = ?1",
            )
            .bind(name.as_str())
            .fetch_optional(&self.readers)
            .await
            .map_err(StoreError::unavailable)?;
            row.map(|row| user(&row)).transpose()
        })
    }

    fn set_password_hash<'a>(&'a self, name: &'a Username, old: &'a str, new: &'a str) -> Answer<'a, bool> {
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
}

impl SessionRepository for SqliteStore {
    /// Deletes those that ended before, too: there is no other time at which
    /// anybody comes by.
    fn open_session<'a>(&'a self, session: &'a Session) -> Answer<'a, ()> {
        Box::pin(async move {
            let mut writing = self.writer.begin().await?;
            let mut work = sqlx::query("DELETE FROM sessions WHERE expires_at <= ?1")
                .bind(columns::column(session.created_at_ms))
                .execute(&mut writing.connection)
                .await;
            if work.is_ok() {
                work = sqlx::query(
                    "INSERT INTO sessions (id, username, created_at, expires_at) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (id) DO UPDATE SET username = excluded.username,
                         created_at = excluded.created_at, expires_at = excluded.expires_at",
                )
                .bind(session.id.as_str())
                .bind(session.user.as_str())
                .bind(columns::column(session.created_at_ms))
                .bind(columns::column(session.expires_at_ms))
                .execute(&mut writing.connection)
                .await;
            }
            writing.finish(work.map(drop).map_err(StoreError::unavailable)).await
        })
    }

    fn find_session<'a>(&'a self, id: &'a SessionId, now_ms: u64) -> Answer<'a, Option<Session>> {
        Box::pin(async move {
            let row = sqlx::query(
                "SELECT username, created_at, expires_at FROM sessions WHERE id = ?1 AND expires_at > ?2",
            )
            .bind(id.as_str())
            .bind(columns::column(now_ms))
            .fetch_optional(&self.readers)
            .await
            .map_err(StoreError::unavailable)?;
            row.map(|row| session(id, &row)).transpose()
        })
    }

    fn renew_session<'a>(&'a self, id: &'a SessionId, now_ms: u64, expires_at_ms: u64) -> Answer<'a, ()> {
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

    fn revoke_session<'a>(&'a self, id: &'a SessionId) -> Answer<'a, ()> {
        Box::pin(async move {
            let mut writing = self.writer.begin().await?;
            let work = sqlx::query("DELETE FROM sessions WHERE id = ?1")
                .bind(id.as_str())
                .execute(&mut writing.connection)
                .await;
            writing.finish(work.map(drop).map_err(StoreError::unavailable)).await
        })
    }
}

fn user(row: &SqliteRow) -> Result<User, StoreError> {
    Ok(User {
        name: columns::username(rows::get(row, 0)?)?,
        password_hash: rows::get(row, 1)?,
        avatar: rows::get(row, 2)?,
        created_at_ms: columns::number(rows::get(row, 3)?)?,
    })
}

fn session(id: &SessionId, row: &SqliteRow) -> Result<Session, StoreError> {
    Ok(Session {
        id: id.clone(),
        user: columns::username(rows::get(row, 0)?)?,
        created_at_ms: columns::number(rows::get(row, 1)?)?,
        expires_at_ms: columns::number(rows::get(row, 2)?)?,
    })
}

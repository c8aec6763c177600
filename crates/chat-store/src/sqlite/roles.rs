//! The administrators.

use chat_core::Username;
use sqlx::sqlite::{SqliteConnection, SqlitePool};

use crate::rows::Columns as _;
use crate::{RoleChange, StoreError, columns};

pub(super) async fn is_administrator(readers: &SqlitePool, name: &Username) -> Result<bool, StoreError> {
    let row = sqlx::query(IS_ADMINISTRATOR)
        .bind(name.as_str())
        .fetch_optional(readers)
        .await
        .map_err(StoreError::unavailable)?;
    Ok(row.is_some())
}

pub(super) async fn administrators(readers: &SqlitePool) -> Result<Vec<Username>, StoreError> {
    let found = sqlx::query(ADMINISTRATORS).fetch_all(readers).await.map_err(StoreError::unavailable)?;
    found.iter().map(|row| columns::username(row.text(0)?)).collect()
}

/// Gives an account the role, or takes it.
pub(super) async fn set(
    connection: &mut SqliteConnection,
    name: &Username,
    is_administrator: bool,
    now_ms: u64,
) -> Result<RoleChange, StoreError> {
    let name_and_time = |sql| sqlx::query(sql).bind(name.as_str()).bind(columns::column(now_ms));
    if is_administrator {
        let made =
            name_and_time(PROMOTE).fetch_optional(connection).await.map_err(StoreError::unavailable)?;
        return Ok(made.map_or(RoleChange::NoPassword, |_| RoleChange::Done));
    }
    let is_last = sqlx::query(IS_LAST)
        .bind(name.as_str())
        .fetch_optional(&mut *connection)
        .await
        .map_err(StoreError::unavailable)?;
    if is_last.is_some() {
        return Ok(RoleChange::LastAdministrator);
    }
    remove(connection, name).await?;
    Ok(RoleChange::Done)
}

/// Takes the role from an account, even from the last administrator.
pub(super) async fn remove(connection: &mut SqliteConnection, name: &Username) -> Result<(), StoreError> {
    let remove = sqlx::query("DELETE FROM administrators WHERE username = ?1").bind(name.as_str());
    remove.execute(connection).await.map(drop).map_err(StoreError::unavailable)
}

// Another program may have removed the account, and left its role: that is none.

pub(super) const IS_ADMINISTRATOR: &str = "SELECT 1 FROM administrators AS a CROSS JOIN users AS u ON u.username = a.username WHERE a.username = ?1";

const ADMINISTRATORS: &str = "SELECT a.username
       FROM administrators AS a CROSS JOIN users AS u ON u.username = a.username ORDER BY a.username";

/// The update, which changes nothing, makes it return a row for an administrator, too.
const PROMOTE: &str = "INSERT INTO administrators (username, since)
     SELECT username, ?2 FROM users WHERE username = ?1 AND password_hash LIKE '$%'
         ON CONFLICT (username) DO UPDATE SET since = since
     RETURNING 1";

const IS_LAST: &str = "SELECT 1 FROM administrators WHERE username = ?1 AND NOT EXISTS (
         SELECT 1 FROM administrators AS a CROSS JOIN users AS u ON u.username = a.username
          WHERE a.username <> ?1)";

//! The administrators.

use chat_core::Username;
use sqlx::sqlite::{SqliteConnection, SqlitePool};

use crate::rows::Columns as _;
use crate::{StoreError, columns};

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

/// Takes the role from an account, even from the last administrator.
pub(super) async fn remove(connection: &mut SqliteConnection, name: &Username) -> Result<(), StoreError> {
    let remove = sqlx::query("DELETE FROM administrators WHERE username = ?1").bind(name.as_str());
    remove.execute(connection).await.map(drop).map_err(StoreError::unavailable)
}

// Another program may have removed the account, and left its role: that is none.

pub(super) const IS_ADMINISTRATOR: &str = "SELECT 1 FROM administrators AS a CROSS JOIN users AS u ON u.username = a.username WHERE a.username = ?1";

const ADMINISTRATORS: &str = "SELECT a.username
       FROM administrators AS a CROSS JOIN users AS u ON u.username = a.username ORDER BY a.username";

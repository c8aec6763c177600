//! The administrators.

use chat_core::Username;

use super::pool::Pool;
use crate::rows::Columns as _;
use crate::{StoreError, columns};

pub(super) async fn is_administrator(pool: &Pool, name: &Username) -> Result<bool, StoreError> {
    Ok(pool.row(|| sqlx::query(IS_ADMINISTRATOR).bind(name.as_str())).await?.is_some())
}

pub(super) async fn administrators(pool: &Pool) -> Result<Vec<Username>, StoreError> {
    let found = pool.rows(|| sqlx::query(ADMINISTRATORS)).await?;
    found.iter().map(|row| columns::username(row.text(0)?)).collect()
}

/// The lock under which roles change, users are banned and accounts are removed, so that one
/// administrator is left, none without an account, and none who is banned: "chat" in ASCII, and the kind of the lock.
pub(super) const ROLES_LOCK: i64 = 0x6368_6174_0000_0004;

// Another program may have removed the account, and left its role: that is none. The
// original's names have the collation of the database.

pub(super) const IS_ADMINISTRATOR: &str = r#"SELECT 1
       FROM administrators AS a JOIN users AS u ON u.username = a.username COLLATE "default"
      WHERE a.username = $1"#;

const ADMINISTRATORS: &str = r#"SELECT a.username
       FROM administrators AS a JOIN users AS u ON u.username = a.username COLLATE "default"
      ORDER BY a.username"#;

//! The administrators.

use chat_core::Username;

use super::pool::Pool;
use crate::rows::Columns as _;
use crate::{RoleChange, StoreError, columns};

pub(super) async fn is_administrator(pool: &Pool, name: &Username) -> Result<bool, StoreError> {
    Ok(pool.row(|| sqlx::query(IS_ADMINISTRATOR).bind(name.as_str())).await?.is_some())
}

pub(super) async fn administrators(pool: &Pool) -> Result<Vec<Username>, StoreError> {
    let found = pool.rows(|| sqlx::query(ADMINISTRATORS)).await?;
    found.iter().map(|row| columns::username(row.text(0)?)).collect()
}

/// Gives an account the role, or takes it.
pub(super) async fn set(
    pool: &Pool,
    name: &Username,
    is_administrator: bool,
    now_ms: u64,
) -> Result<RoleChange, StoreError> {
    if is_administrator {
        let now = columns::column(now_ms);
        let promote = || sqlx::query(PROMOTE).bind(name.as_str()).bind(now);
        let made = pool.row_under_lock(ROLES_LOCK, promote).await?;
        return Ok(made.map_or(RoleChange::NoPassword, |_| RoleChange::Done));
    }
    let demoted = pool.row_under_lock(ROLES_LOCK, || sqlx::query(DEMOTE).bind(name.as_str())).await?;
    let is_last = demoted.ok_or(StoreError::Damaged { what: "no answer" })?.flag(0)?;
    Ok(if is_last { RoleChange::LastAdministrator } else { RoleChange::Done })
}

/// The lock under which roles change and accounts are removed, so that one administrator
/// is left, and none without an account: "chat" in ASCII, and the kind of the lock.
pub(super) const ROLES_LOCK: i64 = 0x6368_6174_0000_0004;

// Another program may have removed the account, and left its role: that is none. The
// original's names have the collation of the database.

pub(super) const IS_ADMINISTRATOR: &str = r#"SELECT 1
       FROM administrators AS a JOIN users AS u ON u.username = a.username COLLATE "default"
      WHERE a.username = $1"#;

const ADMINISTRATORS: &str = r#"SELECT a.username
       FROM administrators AS a JOIN users AS u ON u.username = a.username COLLATE "default"
      ORDER BY a.username"#;

/// The update, which changes nothing, makes it return a row for an administrator, too.
const PROMOTE: &str = "INSERT INTO administrators (username, since)
     SELECT username, $2 FROM users WHERE username = $1 AND password_hash LIKE '$%'
         ON CONFLICT (username) DO UPDATE SET since = administrators.since
     RETURNING 1";

const DEMOTE: &str = r#"WITH known AS (
         SELECT EXISTS (SELECT FROM administrators WHERE username = $1) AND NOT EXISTS (
                    SELECT FROM administrators AS a JOIN users AS u ON u.username = a.username COLLATE "default"
                     WHERE a.username <> $1) AS is_last),
     demoted AS (
         DELETE FROM administrators WHERE username = $1 AND NOT (SELECT is_last FROM known))
     SELECT is_last FROM known"#;

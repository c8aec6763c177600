//! The names of existing and removed accounts, with their skeletons.

use chat_core::{Skeleton, Username};
use sqlx::sqlite::{SqliteConnection, SqliteExecutor};

use crate::StoreError;
use crate::names::{KnownName, rules};
use crate::rows::{self, Columns as _};

/// Looks up what is known of a name.
pub(super) async fn find(
    executor: impl SqliteExecutor<'_>,
    name: &Username,
) -> Result<KnownName, StoreError> {
    let skeleton = Skeleton::of(name.as_str());
    let [cased, folded] = skeleton.keys();
    let row = sqlx::query(FIND)
        .bind(name.as_str())
        .bind(cased)
        .bind(folded)
        .fetch_one(executor)
        .await
        .map_err(StoreError::unavailable)?;
    rows::known_name(&row)
}

/// Reserves a name for good.
pub(super) async fn keep(connection: &mut SqliteConnection, name: &str) -> Result<(), StoreError> {
    let skeleton = Skeleton::of(name);
    let [cased, folded] = skeleton.keys();
    sqlx::query(KEEP)
        .bind(name)
        .bind(cased)
        .bind(folded)
        .bind(rules())
        .execute(connection)
        .await
        .map_err(StoreError::unavailable)?;
    Ok(())
}

/// Reserves the names of accounts that other programs added, and updates rows made by
/// another version of the rules. Usually there are none.
pub(super) async fn complete(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let missing = sqlx::query(MISSING)
        .bind(rules())
        .fetch_all(&mut *connection)
        .await
        .map_err(StoreError::unavailable)?;
    if missing.is_empty() {
        return Ok(());
    }
    // If this does not complete, the next start does it again.
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await.map_err(StoreError::unavailable)?;
    for row in &missing {
        keep(connection, row.text(0)?).await?;
    }
    sqlx::query("COMMIT").execute(connection).await.map_err(StoreError::unavailable)?;
    Ok(())
}

pub(super) const FIND: &str = "SELECT
    EXISTS (SELECT 1 FROM users WHERE username = ?1),
    EXISTS (SELECT 1 FROM names WHERE username = ?1),
    EXISTS (SELECT 1 FROM names WHERE cased IN (?2, ?3)) OR
    EXISTS (SELECT 1 FROM names WHERE folded IN (?2, ?3))";

const KEEP: &str = "INSERT INTO names (username, cased, folded, rules) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (username) DO UPDATE SET
        cased = excluded.cased, folded = excluded.folded, rules = excluded.rules";

const MISSING: &str = "SELECT username FROM users
     WHERE NOT EXISTS (SELECT 1 FROM names WHERE names.username = users.username)
     UNION ALL SELECT username FROM names WHERE rules <> ?1";

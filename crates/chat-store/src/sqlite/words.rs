//! The words by which accounts are found.

use sqlx::sqlite::SqliteConnection;

use crate::StoreError;
use crate::directory::{WORD_RULES, word_rows};
use crate::rows::Columns as _;

/// Stores the words of names, in place of those that they have.
pub(super) async fn keep(connection: &mut SqliteConnection, names: &[&str]) -> Result<(), StoreError> {
    forget(&mut *connection, names).await?;
    let rows: Vec<(String, &str, i64)> = names.iter().flat_map(|name| word_rows(name)).collect();
    let insert = sqlx::query(INSERT)
        .bind(serde_json::to_string(&rows).map_err(StoreError::unavailable)?)
        .bind(WORD_RULES);
    insert.execute(connection).await.map(drop).map_err(StoreError::unavailable)
}

/// Removes the words of names.
pub(super) async fn forget(connection: &mut SqliteConnection, names: &[&str]) -> Result<(), StoreError> {
    let forget = sqlx::query(FORGET).bind(serde_json::to_string(names).map_err(StoreError::unavailable)?);
    forget.execute(connection).await.map(drop).map_err(StoreError::unavailable)
}

/// Stores the words of accounts that have none, or those of another version of the rules.
/// Usually there are none.
pub(super) async fn complete(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let missing = sqlx::query(MISSING)
        .bind(WORD_RULES)
        .fetch_all(&mut *connection)
        .await
        .map_err(StoreError::unavailable)?;
    if missing.is_empty() {
        return Ok(());
    }
    // If this does not complete, the next start does it again.
    sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await.map_err(StoreError::unavailable)?;
    for some in missing.chunks(CHUNK) {
        let names = some.iter().map(|row| row.text(0)).collect::<Result<Vec<&str>, _>>()?;
        keep(connection, &names).await?;
    }
    sqlx::query("COMMIT").execute(connection).await.map_err(StoreError::unavailable)?;
    Ok(())
}

/// The number of names in one statement.
const CHUNK: usize = 1_000;

/// A page of the listing of all accounts: those behind a word and a name, in their order.
pub(super) const LIST: &str = "SELECT u.username, u.password_hash, u.avatar, u.created_at, w.word
       FROM name_words AS w CROSS JOIN users AS u ON u.username = w.username
      WHERE w.whole = 1 AND (w.word, w.username) > (?1, ?2) AND w.word < ?3
      ORDER BY w.word, w.username LIMIT ?4 + 0";

/// A page of words with their accounts.
pub(super) const SEARCH: &str = "SELECT u.username, u.password_hash, u.avatar, u.created_at, w.word
       FROM name_words AS w CROSS JOIN users AS u ON u.username = w.username
      WHERE (w.word, w.username) > (?1, ?2) AND w.word < ?3
      ORDER BY w.word, w.username LIMIT ?4 + 0";

const MISSING: &str = "SELECT username FROM users
     WHERE NOT EXISTS (
         SELECT 1 FROM name_words AS w WHERE w.username = users.username AND w.rules = ?1)";

const INSERT: &str = "INSERT INTO name_words (word, username, whole, rules)
     SELECT value ->> 0, value ->> 1, value ->> 2, ?2 FROM jsonb_each(?1)";

pub(super) const FORGET: &str =
    "DELETE FROM name_words WHERE username IN (SELECT value FROM jsonb_each(?1) AS d)";

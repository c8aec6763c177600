//! The private conversations of a user.

use chat_core::{Conversations, Username};
use sqlx::sqlite::SqlitePool;

use crate::{StoreError, rows};

pub(super) async fn conversations(
    readers: &SqlitePool,
    user: &Username,
    limit: usize,
) -> Result<Conversations, StoreError> {
    // One row more than the limit shows whether there are more.
    let found = sqlx::query(CONVERSATIONS)
        .bind(user.as_str())
        .bind(i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX))
        .fetch_all(readers)
        .await
        .map_err(StoreError::unavailable)?;
    rows::conversations(&found, limit)
}

/// Two lookups, each along an index.
pub(super) const CONVERSATIONS: &str = "
    SELECT other AS person, last_seq, last_at FROM topics WHERE kind = 2 AND name = ?1
     UNION ALL
    SELECT name, last_seq, last_at FROM topics WHERE kind = 2 AND other = ?1 AND name <> ?1
     ORDER BY last_at DESC, person
     LIMIT ?2";

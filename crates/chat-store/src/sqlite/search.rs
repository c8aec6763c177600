//! The search of messages.

use chat_core::Username;
use sqlx::sqlite::SqlitePool;

use super::SqliteStore;
use crate::rows::Columns as _;
use crate::search::walk::{Hint, HintSource, Hints, walk};
use crate::{SearchIndex, SearchPage, SearchQuery, StoreError, StoreFuture};

/// All of the newest messages.
struct Newest<'a>(&'a SqlitePool);

impl HintSource for Newest<'_> {
    type Error = StoreError;

    async fn hints(&mut self, _before: i64, _max: usize) -> Result<Hints, StoreError> {
        let rows = sqlx::query(NEWEST).fetch_all(self.0).await.map_err(StoreError::unavailable)?;
        let hints = rows
            .iter()
            .map(|row| Ok(Hint { id: row.integer(2)?, topic: row.integer(0)?, seq: row.integer(1)? }))
            .collect::<Result<_, StoreError>>()?;
        Ok(Hints { hints, before: None })
    }
}

impl SearchIndex for SqliteStore {
    fn search<'a>(&'a self, reader: &'a Username, query: &'a SearchQuery) -> StoreFuture<'a, SearchPage> {
        Box::pin(async move { walk(&mut &self.readers, &mut Newest(&self.readers), reader, query).await })
    }
}

const NEWEST: &str = "SELECT topic, seq, at FROM entries ORDER BY at DESC, topic, seq DESC LIMIT 2000";

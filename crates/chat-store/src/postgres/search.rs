//! The search of messages.

use chat_core::Username;

use super::PostgresStore;
use super::pool::Pool;
use crate::rows::Columns as _;
use crate::search::walk::{Hint, HintSource, Hints, walk};
use crate::{SearchIndex, SearchPage, SearchQuery, StoreError, StoreFuture};

/// All of the newest messages.
struct Newest<'a>(&'a Pool);

impl HintSource for Newest<'_> {
    type Error = StoreError;

    async fn hints(&mut self, _before: i64, _max: usize) -> Result<Hints, StoreError> {
        let rows = self.0.rows(|| sqlx::query(NEWEST)).await?;
        let hints = rows
            .iter()
            .map(|row| Ok(Hint { id: row.integer(2)?, topic: row.integer(0)?, seq: row.integer(1)? }))
            .collect::<Result<_, StoreError>>()?;
        Ok(Hints { hints, before: None })
    }
}

impl SearchIndex for PostgresStore {
    fn search<'a>(&'a self, reader: &'a Username, query: &'a SearchQuery) -> StoreFuture<'a, SearchPage> {
        Box::pin(async move { walk(&mut &self.pool, &mut Newest(&self.pool), reader, query).await })
    }
}

const NEWEST: &str = "SELECT topic, seq, at FROM entries ORDER BY at DESC, topic, seq DESC LIMIT 2000";

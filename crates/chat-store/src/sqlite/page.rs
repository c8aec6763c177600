//! Reading pages of a topic.

use std::sync::Arc;

use chat_core::{Page, PageFrom, PageLimits, Topic};
use futures_util::TryStreamExt as _;
use sqlx::sqlite::SqlitePool;

use crate::{StoreError, columns, rows};

/// Reads a page with one statement, so that the entries, `first` and `last` are of the
/// same moment.
pub(super) async fn page(
    readers: &SqlitePool,
    topic: &Topic,
    from: PageFrom,
    limits: PageLimits,
) -> Result<Page, StoreError> {
    let (sql, bound) = match from {
        PageFrom::Latest => (BACKWARD, i64::MAX),
        PageFrom::After(seq) => (FORWARD, columns::column(seq)),
        PageFrom::Before(seq) => (BACKWARD, columns::column(seq)),
    };
    let (kind, name, other) = columns::topic_key(topic);
    let mut found = sqlx::query(sql)
        .bind(kind)
        .bind(name)
        .bind(other)
        .bind(bound)
        .bind(i64::try_from(limits.entries.max(1)).unwrap_or(i64::MAX))
        .fetch(readers);

    let mut page = Page { first: 1, ..Page::default() };
    let mut bytes = 0_usize;
    while let Some(row) = found.try_next().await.map_err(StoreError::unavailable)? {
        let row = rows::page_row(topic, &row)?;
        (page.first, page.last) = (row.first, row.last);
        let Some(entry) = row.entry else { break };
        bytes = bytes.saturating_add(entry.body.bytes());
        if bytes > limits.bytes && !page.entries.is_empty() {
            break;
        }
        page.entries.push(Arc::new(entry));
    }
    if is_backward(from) {
        page.entries.reverse();
    }
    Ok(page)
}

/// Whether the rows are in falling order.
fn is_backward(from: PageFrom) -> bool {
    match from {
        PageFrom::Latest | PageFrom::Before(_) => true,
        PageFrom::After(_) => false,
    }
}

/// A known topic has at least one row, with NULL for the columns of the entry if none
/// matches. There is one row of `topics`, so that the entries are in the order of their
/// key and nothing is sorted.
macro_rules! page_sql {
    ($bound:literal, $order:literal) => {
        concat!(
            "SELECT t.last_seq, (SELECT min(o.seq) FROM entries AS o WHERE o.topic = t.id),
                    e.seq, e.kind, e.sender, e.room, e.text, e.at, e.nonce, e.mentions
               FROM topics AS t
               LEFT JOIN entries AS e ON e.topic = t.id AND e.seq ",
            $bound,
            " ?4
              WHERE t.kind = ?1 AND t.name = ?2 AND t.other = ?3
              ORDER BY e.seq ",
            $order,
            " LIMIT ?5"
        )
    };
}
pub(super) const FORWARD: &str = page_sql!(">", "ASC");
pub(super) const BACKWARD: &str = page_sql!("<", "DESC");

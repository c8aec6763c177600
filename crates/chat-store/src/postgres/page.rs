//! Reading pages of a topic.

use std::sync::Arc;

use chat_core::{Page, PageFrom, PageLimits, Topic};

use super::pool::Pool;
use crate::{StoreError, columns, rows};

/// Reads a page with one statement, so that the entries, `first` and `last` are of the
/// same moment.
pub(super) async fn page(
    pool: &Pool,
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
    let limit = |limit: usize| i64::try_from(limit).unwrap_or(i64::MAX);
    let found = pool
        .rows(|| {
            sqlx::query(sql)
                .bind(kind)
                .bind(name)
                .bind(other)
                .bind(bound)
                .bind(limit(limits.entries.max(1)))
                .bind(limit(limits.bytes))
        })
        .await?;

    let mut page = Page { first: 1, ..Page::default() };
    for row in &found {
        let row = rows::page_row(topic, row)?;
        (page.first, page.last) = (row.first, row.last);
        page.entries.extend(row.entry.map(Arc::new));
    }
    Ok(page)
}

/// A known topic has at least one row, with NULL for the columns of the entry if none
/// matches. The database server applies the limit of bytes, since it sends all matching
/// rows whether they are read or not; it sends the first row whatever its length.
macro_rules! page_sql {
    ($bound:literal, $order:literal) => {
        concat!(
            "SELECT t.last_seq, (SELECT min(o.seq) FROM entries AS o WHERE o.topic = t.id),
                    e.seq, e.kind, e.sender, e.room, e.text, e.at, e.nonce, e.mentions
               FROM topics AS t
               LEFT JOIN LATERAL (
                    SELECT *
                      FROM (SELECT *,
                                   row_number() OVER up_to_here AS position,
                                   sum(octet_length(text)) OVER up_to_here AS bytes
                              FROM (SELECT * FROM entries
                                     WHERE topic = t.id AND seq ",
            $bound,
            " $4
                                     ORDER BY seq ",
            $order,
            " LIMIT $5) AS near
                            WINDOW up_to_here AS (ORDER BY seq ",
            $order,
            " ROWS UNBOUNDED PRECEDING)) AS counted
                     WHERE position = 1 OR bytes <= $6
                    ) AS e ON true
              WHERE t.kind = $1 AND t.name = $2 AND t.other = $3
              ORDER BY e.seq"
        )
    };
}
pub(super) const FORWARD: &str = page_sql!(">", "ASC");
pub(super) const BACKWARD: &str = page_sql!("<", "DESC");

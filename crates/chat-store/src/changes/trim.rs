//! Which messages a trim keeps, the same in both databases.

use crate::columns;
use crate::retention::Cut;
use crate::rows::{Columns as _, OldestEntry};
use crate::statements::{Statements, Value::Number};

/// The number of the oldest message that is kept of a topic; 1 if the topic has no more
/// messages than are kept. It reads about as many rows as there are changes among the newest
/// numbers.
pub(crate) async fn oldest_kept<S: Statements>(
    statements: &mut S,
    cut: Cut,
    topic: &OldestEntry,
) -> Result<u64, S::Error> {
    let Some(messages) = cut.messages() else { return Ok(1) };
    let Some((first, _)) = topic.oldest else { return Ok(1) };
    let Some(below) = topic.last.checked_sub(messages).filter(|below| *below >= first) else { return Ok(1) };
    // If all of the newest numbers are messages, the oldest of them is the first. For each
    // change among them, one message more is kept.
    let (id, end) = (Number(topic.id), Number(columns::column(below)));
    let row = statements.row(CHANGES_AFTER, &[id, end]).await?;
    let changes = row.map_or(Ok(0), |row| row.integer(0))?;
    if changes == 0 {
        return Ok(below + 1);
    }
    let row = statements.row(MESSAGE_BEFORE, &[id, end, Number(changes - 1)]).await?;
    Ok(row.map_or(Ok(1), |row| row.number(0))?)
}

/// How many changes there are after a number.
pub(crate) const CHANGES_AFTER: &str = "SELECT count(*) FROM changes WHERE topic = $1 AND seq > $2";

/// The number of a message up to a number, counted backwards from 0.
pub(crate) const MESSAGE_BEFORE: &str =
    "SELECT seq FROM entries WHERE topic = $1 AND seq <= $2 ORDER BY seq DESC LIMIT 1 OFFSET $3";

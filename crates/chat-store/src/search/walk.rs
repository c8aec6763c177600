//! Reading and comparing what an index has found, the same for both databases.

use chat_core::{SearchPosition, Username};

use super::{SearchPage, SearchQuery};
use crate::pages;
use crate::statements::Statements;

/// A message of which an index says that a search may find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hint {
    /// Its id in the index: the order of messages.
    pub(crate) id: i64,
    /// The row of its topic.
    pub(crate) topic: i64,
    /// Its number.
    pub(crate) seq: i64,
}

/// What an index has found so far.
pub(crate) struct Hints {
    /// The hints, the newest first.
    pub(crate) hints: Vec<Hint>,
    /// Where the index goes on; `None` if it has looked at all messages.
    pub(crate) before: Option<i64>,
}

/// An index of messages in a database.
pub(crate) trait HintSource: Send {
    type Error: Send;

    /// Finds at most `max` messages with ids below `before`, the newest first. It may stop
    /// before it has found that many.
    fn hints(&mut self, before: i64, max: usize) -> impl Future<Output = Result<Hints, Self::Error>> + Send;
}

/// Fills a page with the messages among the hints of an index that the reader may read and
/// that the query finds.
pub(crate) async fn walk<S: Statements>(
    statements: &mut S,
    source: &mut impl HintSource<Error = S::Error>,
    reader: &Username,
    query: &SearchQuery,
) -> Result<SearchPage, S::Error> {
    let (mut page, mut bytes) = (SearchPage::default(), 0);
    let mut before = query.before.map_or(i64::MAX, id_of);
    for _ in 0..PARTS_MAX {
        let part = source.hints(before, PART).await?;
        let rows: Vec<_> = part.hints.iter().map(|hint| (hint.topic, hint.seq)).collect();
        let mut rest = &rows[..];
        let mut hints = part.hints.iter();
        while !rest.is_empty() {
            let (found, looked_at) = pages::found(statements, rest, reader, PAGE_MAX_BYTES).await?;
            let looked_at = looked_at.clamp(1, rest.len());
            let mut found = found.into_iter().peekable();
            for (index, hint) in hints.by_ref().take(looked_at).enumerate() {
                let Some((_, entry)) = found.next_if(|(position, _)| *position == index) else { continue };
                if !query.finds(reader, &entry) {
                    continue;
                }
                bytes += entry.body.bytes();
                if bytes > PAGE_MAX_BYTES && !page.messages.is_empty() {
                    return Ok(page);
                }
                if page.is_full_with(position_of(hint.id), entry, query.limit) {
                    return Ok(page);
                }
            }
            rest = &rest[looked_at..];
        }
        let Some(next) = part.before else { return Ok(SearchPage { next: None, ..page }) };
        before = next;
    }
    Ok(SearchPage { next: Some(position_of(before)), ..page })
}

/// The hints that are read and compared at once: those of a page, and one more.
const PART: usize = 51;
/// How often an index is asked for one page. It matters only where few of the hints are
/// found: the index is behind, or the last word is short.
const PARTS_MAX: usize = 20;
/// The bytes of text in one page, if it has more than one message.
const PAGE_MAX_BYTES: usize = 256 * 1024;

/// The bits of an id that tell messages of one millisecond apart. The others are the time.
pub(crate) const PLACE_BITS: u32 = 20;

/// The first id of a millisecond.
pub(crate) fn first_id(at_ms: u64) -> i64 {
    i64::try_from(at_ms).unwrap_or(i64::MAX).min(i64::MAX >> PLACE_BITS) << PLACE_BITS
}

/// The position of the message with this id.
fn position_of(id: i64) -> SearchPosition {
    let id = id.unsigned_abs();
    SearchPosition { at_ms: id >> PLACE_BITS, place: id & ((1 << PLACE_BITS) - 1) }
}

/// The id at a position.
fn id_of(position: SearchPosition) -> i64 {
    let place = i64::try_from(position.place).unwrap_or(i64::MAX).min((1 << PLACE_BITS) - 1);
    first_id(position.at_ms) | place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_position() {
        for id in [0, 1, first_id(1_795_371_797_000) + 5, first_id(u64::MAX)] {
            assert_eq!(id_of(position_of(id)), id);
        }
        assert!(first_id(7) + (1 << PLACE_BITS) - 1 < first_id(8));
    }
}

//! Reading and comparing what an index has found, the same for both databases.

use chat_core::{Pair, SearchScope, Topic, Username};

use super::document::Readable;
use super::ids::{id_of, position_of};
use super::{SearchPage, SearchQuery};
use crate::rows::Columns;
use crate::statements::{Statements, Value, json};
use crate::{columns, pages};

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

/// Finds the rows of topics on which a search depends; `None` if there is no such topic.
pub(crate) async fn readable<S: Statements>(
    statements: &mut S,
    reader: &Username,
    scope: &SearchScope,
) -> Result<Option<Readable>, S::Error> {
    let topic = match scope {
        SearchScope::All => {
            let values = [
                Value::Text(reader.as_str()),
                Value::Number(OWN_CLOSED_ROOMS_MAX),
                Value::Number(LEFT_OUT_ROOMS_MAX),
            ];
            let row = |row: &dyn Columns| Ok((row.integer(0)? != 0, row.integer(1)?));
            let mut readable = Readable::default();
            for (is_own, topic) in statements.list(pages::sql::READABLE, &values, row).await? {
                if is_own { readable.own.push(topic) } else { readable.closed.push(topic) }
            }
            return Ok(Some(readable));
        }
        SearchScope::Room(room) => Topic::Room(room.clone()),
        SearchScope::With(other) => Topic::Pair(Pair::new(reader.clone(), other.clone())),
    };
    let keys = json(&[columns::topic_key(&topic)])?;
    let rows = statements.rows(S::PAGES.search_topics, &[Value::Text(&keys)]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(Some(Readable { own: vec![row.integer(0)?], closed: Vec::new() }))
}

/// The closed rooms of a user in which a search without a room looks: those with the newest
/// messages. The user can name another one.
pub(crate) const OWN_CLOSED_ROOMS_MAX: i64 = 1_000;

/// The rooms that users had named, and that were closed later, which the index leaves out of a
/// search. Messages in more of them are hints, which are read and not shown: pages are shorter.
/// Everybody may make such rooms, and each of them costs each search.
pub(crate) const LEFT_OUT_ROOMS_MAX: i64 = 300;

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
/// How often an index is asked for one page. A search reaches this limit only where it finds few
/// of the hints: the index is behind, or the last word is short.
const PARTS_MAX: usize = 20;
/// The bytes of text in one page, if it has more than one message.
const PAGE_MAX_BYTES: usize = 256 * 1024;

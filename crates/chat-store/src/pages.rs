//! Reading a topic: pages of entries, messages, and reactions.
//!
//! Each call is one statement, so that what it returns is of one moment. A page begins with
//! a row about the topic, its head; an unknown topic has none.

pub(crate) mod sql;

use std::ops::ControlFlow;
use std::sync::Arc;

use chat_core::{
    Emoji, Entry, MessageState, MessagesFrom, Nonce, Page, PageFrom, PageLimits, Topic, Username,
    within_limits, within_limits_around,
};

use crate::rows::Columns;
use crate::statements::{Statements, Value, json};
use crate::{MessageReactions, StoreError, columns};
use Value::{Number, Text};

/// Reads a page of entries of all kinds.
pub(crate) async fn page<S: Statements>(
    statements: S,
    topic: &Topic,
    from: PageFrom,
    limits: PageLimits,
) -> Result<Page, S::Error> {
    let (sql, bound) = match from {
        PageFrom::Latest => (S::PAGES.latest, END),
        PageFrom::Before(seq) => (S::PAGES.before, bound(seq)),
        PageFrom::After(seq) => (S::PAGES.after, bound(seq)),
    };
    let entries = count(limits.entries.max(1));
    let Found { head, mut entries } =
        read(statements, sql, topic, &[Number(bound), Number(entries)], limits).await?;
    let Some(head) = head else { return Ok(empty()) };
    let fitting = within_limits(entries.iter().map(Arc::as_ref), limits);
    entries.truncate(fitting);
    if !matches!(from, PageFrom::After(_)) {
        entries.reverse();
    }
    Ok(Page { entries, first: head.first, last: head.last, newest: head.newest, ..Page::default() })
}

/// Reads messages of a topic, as they are now, without the changes.
pub(crate) async fn messages<S: Statements>(
    statements: S,
    topic: &Topic,
    from: &MessagesFrom,
    limits: PageLimits,
) -> Result<Page, S::Error> {
    // One message more shows whether there are more.
    let one_more = |entries: usize| Number(count(entries).saturating_add(1));
    let entries = limits.entries.max(1);
    match from {
        MessagesFrom::Page(from) => {
            let (sql, bound) = match *from {
                PageFrom::Latest => (S::PAGES.messages_before, END),
                PageFrom::Before(seq) => (S::PAGES.messages_before, bound(seq)),
                PageFrom::After(seq) => (S::PAGES.messages_after, bound(seq)),
            };
            let values = [Number(bound), one_more(entries)];
            let Found { head, mut entries } = read(statements, sql, topic, &values, limits).await?;
            let Some(head) = head else { return Ok(empty()) };
            let fitting = within_limits(entries.iter().map(Arc::as_ref), limits);
            let (has_more, has_others) = (entries.len() > fitting, head.has_others);
            entries.truncate(fitting);
            let is_rising = matches!(from, PageFrom::After(_));
            let (has_older, has_newer) =
                if is_rising { (has_others, has_more) } else { (has_more, has_others) };
            if !is_rising {
                entries.reverse();
            }
            Ok(Page { entries, first: head.first, last: head.last, has_older, has_newer, ..Page::default() })
        }
        MessagesFrom::Around(seq) => {
            let older_max = entries / 2;
            let newer_max = entries - older_max;
            let values = [Number(bound(*seq)), one_more(older_max), one_more(newer_max)];
            let Found { head, mut entries } =
                read(statements, S::PAGES.messages_around, topic, &values, limits).await?;
            let Some(head) = head else { return Ok(empty()) };
            entries.sort_unstable_by_key(|entry| entry.seq);
            let newer = entries.split_off(entries.partition_point(|entry| entry.seq < *seq));
            let all = (entries.len(), newer.len());
            let (older_taken, newer_taken) = within_limits_around(
                entries.iter().rev().map(Arc::as_ref).take(older_max),
                newer.iter().map(Arc::as_ref).take(newer_max),
                limits.bytes,
            );
            let mut entries = entries.split_off(all.0 - older_taken);
            entries.extend(newer.into_iter().take(newer_taken));
            Ok(Page {
                entries,
                first: head.first,
                last: head.last,
                has_older: all.0 > older_taken,
                has_newer: all.1 > newer_taken,
                ..Page::default()
            })
        }
        MessagesFrom::Numbers(seqs) => {
            let mut seqs: Vec<i64> = seqs.iter().map(|seq| columns::column(*seq)).collect();
            seqs.sort_unstable();
            seqs.dedup();
            let seqs = json(&seqs)?;
            let Found { head, mut entries } =
                read(statements, S::PAGES.messages_numbered, topic, &[Text(&seqs)], limits).await?;
            let Some(head) = head else { return Ok(empty()) };
            entries.sort_unstable_by_key(|entry| entry.seq);
            let fitting = within_limits(entries.iter().map(Arc::as_ref), limits);
            entries.truncate(fitting);
            Ok(Page { entries, first: head.first, last: head.last, ..Page::default() })
        }
    }
}

/// Reads the reactions to a message, and those of one user; `None` if the message is not
/// there, or deleted.
pub(crate) async fn reactions<S: Statements>(
    mut statements: S,
    topic: &Topic,
    seq: u64,
    user: &Username,
) -> Result<Option<MessageReactions>, S::Error> {
    let (kind, name, other) = columns::topic_key(topic);
    let values = [Number(kind), Text(name), Text(other), Number(columns::column(seq)), Text(user.as_str())];
    let Some(row) = statements.row(S::PAGES.reactions, &values).await? else { return Ok(None) };
    let reactions = columns::parse_reactions(row.text_or_null(0)?)?;
    let mine = match row.text_or_null(1)? {
        None => Vec::new(),
        Some(mine) => columns::parse_emoji(mine)?,
    };
    let mine = reactions.iter().map(|reaction| &reaction.emoji).filter(|emoji| mine.contains(emoji));
    let mine = mine.cloned().collect();
    Ok(Some(MessageReactions { reactions, mine }))
}

/// Lists at most `max` users who reacted to a message with an emoji, after the reaction with
/// the number `after`.
pub(crate) async fn reactors<S: Statements>(
    mut statements: S,
    topic: &Topic,
    seq: u64,
    emoji: &Emoji,
    after: u64,
    max: usize,
) -> Result<Vec<(Username, u64)>, S::Error> {
    let (kind, name, other) = columns::topic_key(topic);
    let values = [
        Number(kind),
        Text(name),
        Text(other),
        Number(columns::column(seq)),
        Text(emoji.as_str()),
        Number(columns::column(after)),
        Number(count(max)),
    ];
    let reactor = |row: &dyn Columns| Ok((columns::username(row.text(0)?)?, row.number(1)?));
    statements.list(sql::REACTORS, &values, reactor).await
}

/// Reads messages by the rows of their topics and their numbers, as they are now: those that
/// are not deleted and that a user may read, each with its position in `rows`, in their order.
/// It stops behind the first message with which there are more than `max_bytes`, and also
/// returns how many of the rows it has looked at.
pub(crate) async fn found<S: Statements>(
    statements: &mut S,
    rows: &[(i64, i64)],
    reader: &Username,
    max_bytes: usize,
) -> Result<(Vec<(usize, Arc<Entry>)>, usize), S::Error> {
    let (mut found, mut bytes, mut looked_at) = (Vec::new(), 0_usize, rows.len());
    let read = |row: &dyn Columns| {
        let topic = columns::topic((row.integer(TOPIC)?, row.text(TOPIC + 1)?, row.text(TOPIC + 2)?))?;
        let entry = entry(&topic, row)?;
        bytes = bytes.saturating_add(entry.body.bytes());
        let position = usize::try_from(row.number(0)?).unwrap_or(usize::MAX);
        found.push((position, Arc::new(entry)));
        if bytes > max_bytes {
            looked_at = position.saturating_add(1);
            return Ok(ControlFlow::Break(()));
        }
        Ok(ControlFlow::Continue(()))
    };
    statements.each(S::PAGES.found, &[Text(&json(rows)?), Text(reader.as_str())], read).await?;
    Ok((found, looked_at))
}

/// What a statement of this file has found.
#[derive(Default)]
struct Found {
    head: Option<Head>,
    /// In the order of the statement, up to the first that exceeds the limit of bytes.
    entries: Vec<Arc<Entry>>,
}

/// The row about the topic.
struct Head {
    /// See [`Page::first`].
    first: u64,
    /// See [`Page::last`].
    last: u64,
    /// Whether there are messages on the other side of the number at which a page begins.
    has_others: bool,
    /// See [`Page::newest`].
    newest: Vec<u64>,
}

/// Runs one of the statements of pages.
async fn read<S: Statements>(
    mut statements: S,
    sql: &'static str,
    topic: &Topic,
    values: &[Value<'_>],
    limits: PageLimits,
) -> Result<Found, S::Error> {
    let (kind, name, other) = columns::topic_key(topic);
    let mut all = vec![Number(kind), Text(name), Text(other)];
    all.extend_from_slice(values);
    if S::LIMITS_BYTES {
        all.push(Number(count(limits.bytes)));
    }
    let is_around = std::ptr::eq(sql, S::PAGES.messages_around);
    let (mut found, mut bytes) = (Found::default(), 0_usize);
    let row = |row: &dyn Columns| {
        if row.text_or_null(SENDER)?.is_none() {
            found.head = Some(head(row)?);
            return Ok(ControlFlow::Continue(()));
        }
        let entry = entry(topic, row)?;
        bytes = bytes.saturating_add(entry.body.bytes());
        found.entries.push(Arc::new(entry));
        // The second entry shows that there are more than the first, however long that is.
        let is_full = bytes > limits.bytes && found.entries.len() > 1 && found.head.is_some() && !is_around;
        Ok(if is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    };
    statements.each(sql, &all, row).await?;
    Ok(found)
}

/// The row about the topic: the columns `last_seq, first, ...`, whether there are messages
/// on the other side in place of the kind, and the newest ones in place of the text.
fn head(row: &dyn Columns) -> Result<Head, StoreError> {
    let newest = match row.text_or_null(TEXT)? {
        None => Vec::new(),
        Some(newest) => {
            let damaged = |_| StoreError::Damaged { what: "the numbers of messages" };
            let mut newest: Vec<u64> = serde_json::from_str(newest).map_err(damaged)?;
            newest.sort_unstable();
            newest
        }
    };
    Ok(Head { last: row.number(0)?, first: row.number(1)?, has_others: row.integer(KIND)? != 0, newest })
}

/// The columns of an entry: `seq, kind, sender, at, nonce, text, mentions, about, place,
/// updated, edited_at, deleted, reactions, files`.
fn entry(topic: &Topic, row: &dyn Columns) -> Result<Entry, StoreError> {
    let (kind, about) = (row.integer(KIND)?, row.integer_or_null(ABOUT)?);
    let about = about.map(columns::number).transpose()?;
    let (text, mentions) = (row.text_or_null(TEXT)?, row.text_or_null(MENTIONS)?);
    let mut room = None;
    let body = if kind == columns::MESSAGE {
        room = row.text_or_null(PLACE)?.map(columns::room).transpose()?;
        let text = text.ok_or(StoreError::Damaged { what: "a message without a text" })?;
        columns::message(text, mentions, about, row.text_or_null(FILES)?, state(row)?)?
    } else {
        let target = about.ok_or(StoreError::Damaged { what: "a change without a target" })?;
        columns::change(kind, target, row.text_or_null(PLACE)?, text.map(|text| (text, mentions)))?
    };
    Ok(Entry {
        topic: topic.clone(),
        seq: row.number(SEQ)?,
        from: columns::username(row.text(SENDER)?)?,
        room,
        body,
        at_ms: row.number(AT)?,
        nonce: row.text_or_null(NONCE)?.and_then(Nonce::parse),
    })
}

/// The state of a message as it is shown; `None` of a message that was never changed.
fn state(row: &dyn Columns) -> Result<Option<Box<MessageState>>, StoreError> {
    let Some(updated) = row.integer_or_null(UPDATED)? else { return Ok(None) };
    let deleted = row.integer_or_null(DELETED)?.is_some();
    let edited_at_ms = row.integer_or_null(EDITED_AT)?.filter(|_| !deleted).map(columns::number);
    Ok(Some(Box::new(MessageState {
        updated: columns::number(updated)?,
        edited_at_ms: edited_at_ms.transpose()?,
        deleted,
        reactions: columns::parse_reactions(row.text_or_null(REACTIONS)?)?,
    })))
}

/// The page of an unknown topic.
fn empty() -> Page {
    Page { first: 1, ..Page::default() }
}

/// A number at which a page begins, so that arithmetic with it does not overflow.
fn bound(seq: u64) -> i64 {
    columns::column(seq).min(END)
}

/// A limit, so that arithmetic with it does not overflow.
fn count(limit: usize) -> i64 {
    i64::try_from(limit).map_or(END, |limit| limit.min(END))
}

/// Above every number of an entry.
const END: i64 = i64::MAX / 4;

const SEQ: usize = 2;
const KIND: usize = 3;
const SENDER: usize = 4;
const AT: usize = 5;
const NONCE: usize = 6;
const TEXT: usize = 7;
const MENTIONS: usize = 8;
const ABOUT: usize = 9;
const PLACE: usize = 10;
const UPDATED: usize = 11;
const EDITED_AT: usize = 12;
const DELETED: usize = 13;
const REACTIONS: usize = 14;
const FILES: usize = 15;
/// Of messages that were found, the columns of the topic.
const TOPIC: usize = 16;

#[cfg(test)]
mod tests {
    use chat_core::NEWEST_MESSAGES;

    use super::sql::{POSTGRES, SQLITE};

    #[test]
    fn the_newest_page_names_as_many_messages_as_it_should() {
        for latest in [SQLITE.latest, POSTGRES.latest] {
            assert!(latest.contains(&format!("LIMIT (SELECT {NEWEST_MESSAGES})) AS n")), "{latest}");
        }
    }
}

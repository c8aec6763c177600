//! Which entries fit into a page: the same in every log.

use crate::{Entry, PageLimits};

/// How many of these entries a page has, which come in the order in which it is filled: as
/// many as fit, but at least one.
pub fn within_limits<'a>(entries: impl IntoIterator<Item = &'a Entry>, limits: PageLimits) -> usize {
    let (mut bytes, mut count) = (0_usize, 0);
    for entry in entries {
        bytes = bytes.saturating_add(entry.body.bytes());
        if count > 0 && (count >= limits.entries || bytes > limits.bytes) {
            break;
        }
        count += 1;
    }
    count
}

/// How many of the entries before a number and from it on a page has, each side nearest
/// first. They are taken in turn, first one from the number on, until one does not fit; when
/// one side has no more, all further ones are of the other side. A page has at least one.
pub fn within_limits_around<'a>(
    older: impl IntoIterator<Item = &'a Entry>,
    newer: impl IntoIterator<Item = &'a Entry>,
    max_bytes: usize,
) -> (usize, usize) {
    let (mut older, mut newer) = (older.into_iter().peekable(), newer.into_iter().peekable());
    let (mut older_count, mut newer_count, mut bytes) = (0, 0, 0_usize);
    let mut is_turn_of_newer = true;
    loop {
        let is_newer = if is_turn_of_newer { newer.peek().is_some() } else { older.peek().is_none() };
        let Some(entry) = (if is_newer { newer.next() } else { older.next() }) else { break };
        bytes = bytes.saturating_add(entry.body.bytes());
        if bytes > max_bytes && older_count + newer_count > 0 {
            break;
        }
        *(if is_newer { &mut newer_count } else { &mut older_count }) += 1;
        is_turn_of_newer = !is_turn_of_newer;
    }
    (older_count, newer_count)
}

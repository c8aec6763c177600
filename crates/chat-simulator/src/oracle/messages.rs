//! The messages, as the log's changes make them: what each must look like wherever it is
//! shown.

use std::collections::BTreeMap;
use std::sync::Arc;

use chat_core::{AttachedFile, Body, Entry, FileId, Mentions, Topic, Username};

use super::{Check, Oracle, ensure};
use crate::wire::{Frame, Kind, ShownReaction, number, text_v1, without_files};

/// The entries of a topic.
#[derive(Default)]
pub(super) struct TopicLog {
    /// From `seq` 1, as they were committed.
    pub(super) entries: Vec<Arc<Entry>>,
    /// The numbers of the changes of each message, in rising order.
    changes: BTreeMap<u64, Vec<u64>>,
    /// When the oldest number that is kept has risen, in milliseconds, and to which number.
    pub(super) trims: Vec<(u64, u64)>,
    /// When each entry was committed, in milliseconds.
    committed_ms: Vec<u64>,
    /// When each deletion was committed, in milliseconds, by the number of the message.
    pub(super) deleted_ms: BTreeMap<u64, u64>,
}

impl TopicLog {
    /// Adds the next entry.
    pub(super) fn push(&mut self, entry: &Arc<Entry>, now_ms: u64) {
        if let Some(target) = entry.body.target() {
            self.changes.entry(target).or_default().push(entry.seq);
            if matches!(entry.body, Body::Delete { .. }) {
                self.deleted_ms.insert(target, now_ms);
            }
        }
        self.entries.push(Arc::clone(entry));
        self.committed_ms.push(now_ms);
    }

    /// The last number that was committed before a time, in milliseconds.
    fn last_before(&self, at_ms: u64) -> u64 {
        self.committed_ms.partition_point(|committed_ms| *committed_ms < at_ms) as u64
    }

    pub(super) fn entry(&self, seq: u64) -> Option<&Arc<Entry>> {
        self.entries.get(usize::try_from(seq.checked_sub(1)?).ok()?)
    }

    /// The changes of a message, in the order of their numbers.
    pub(super) fn changes(&self, seq: u64) -> &[u64] {
        self.changes.get(&seq).map_or(&[], Vec::as_slice)
    }
}

/// A message, as some of its changes make it.
#[derive(Debug, PartialEq)]
pub(crate) struct Version<'a> {
    pub(crate) text: &'a str,
    pub(crate) mentions: Option<&'a Mentions>,
    pub(crate) reply_to: Option<u64>,
    pub(crate) files: &'a [AttachedFile],
    /// The newest edit of a message that is not deleted.
    pub(crate) edit: Option<&'a Entry>,
    pub(crate) deletion: Option<&'a Entry>,
    /// The users of each emoji with the numbers of their reactions, in the order in which
    /// the count of each last rose from 0.
    pub(crate) reactions: Vec<(&'a str, Vec<(&'a Username, u64)>)>,
    /// The last of the changes; 0 if there are none.
    pub(crate) updated: u64,
}

impl<'a> Version<'a> {
    fn of(message: &'a Entry) -> Option<Self> {
        let Body::Message { text, mentions, reply_to, .. } = &message.body else { return None };
        Some(Self {
            text: text.as_str(),
            mentions: mentions.as_deref(),
            reply_to: *reply_to,
            files: message.body.files(),
            edit: None,
            deletion: None,
            reactions: Vec::new(),
            updated: 0,
        })
    }

    fn apply(&mut self, change: &'a Entry) {
        self.updated = change.seq;
        match &change.body {
            Body::Message { .. } => {}
            Body::Edit { text, mentions, .. } => {
                self.text = text.as_ref().map_or("", |text| text.as_str());
                self.mentions = mentions.as_deref();
                self.edit = Some(change);
            }
            Body::Delete { .. } => {
                let updated = self.updated;
                *self = Self {
                    text: "",
                    mentions: None,
                    reply_to: None,
                    files: &[],
                    edit: None,
                    deletion: Some(change),
                    reactions: Vec::new(),
                    updated,
                };
            }
            Body::React { emoji, .. } => {
                let user = (&change.from, change.seq);
                match self.reactions.iter_mut().find(|(shown, _)| *shown == emoji.as_str()) {
                    Some((_, users)) => users.push(user),
                    None => self.reactions.push((emoji.as_str(), vec![user])),
                }
            }
            Body::Unreact { emoji, .. } => {
                for (_, users) in self.reactions.iter_mut().filter(|(shown, _)| *shown == emoji.as_str()) {
                    users.retain(|(user, _)| **user != change.from);
                }
                self.reactions.retain(|(_, users)| !users.is_empty());
            }
        }
    }

    /// The number of the reaction of a user with an emoji.
    pub(crate) fn reaction(&self, emoji: &str, user: &Username) -> Option<u64> {
        let (_, users) = self.reactions.iter().find(|(shown, _)| *shown == emoji)?;
        users.iter().find(|(by, _)| *by == user).map(|(_, seq)| *seq)
    }

    /// Whether these are its reactions. Of the users, the first five are named.
    fn has_reactions(&self, shown: &[ShownReaction]) -> bool {
        let mut both = std::iter::zip(&self.reactions, shown);
        self.reactions.len() == shown.len()
            && both.all(|((emoji, users), shown)| {
                let names = users.iter().take(NAMED).map(|(user, _)| user.as_str());
                *emoji == shown.emoji && users.len() as u64 == shown.count && names.eq(shown.users.iter())
            })
    }
}

impl Oracle {
    /// A message after its changes up to a number.
    pub(crate) fn version(&self, topic: &Topic, seq: u64, upto: u64) -> Option<Version<'_>> {
        let log = self.logs.get(topic)?;
        let mut version = Version::of(log.entry(seq)?)?;
        for change in log.changes(seq).iter().take_while(|change| **change <= upto) {
            version.apply(log.entry(*change)?);
        }
        Some(version)
    }

    /// A message with a text, as its changes up to `updated` make it. A hub that was given an
    /// edit while it read a page shows its text, and leaves `updated` as it was read: what
    /// came in between is still to be applied.
    pub(crate) fn shown_version(
        &self,
        topic: &Topic,
        seq: u64,
        updated: u64,
        text: &str,
    ) -> Option<Version<'_>> {
        let mut version = self.version(topic, seq, updated)?;
        if version.text == text || version.deletion.is_some() {
            return Some(version);
        }
        let log = self.logs.get(topic)?;
        let later = log.changes(seq).iter().filter(|change| **change > updated);
        for change in later.filter_map(|change| log.entry(*change)) {
            if let Body::Edit { text: Some(new), mentions, .. } = &change.body
                && new.as_str() == text
            {
                (version.text, version.mentions) = (new.as_str(), mentions.as_deref());
                (version.edit, version.updated) = (Some(&**change), updated);
            }
        }
        Some(version)
    }

    /// A message as it is now.
    pub(crate) fn version_now(&self, topic: &Topic, seq: u64) -> Option<Version<'_>> {
        self.version(topic, seq, u64::MAX)
    }

    /// The last change of a message up to a number; 0 if there is none.
    pub(crate) fn last_change(&self, topic: &Topic, seq: u64, upto: u64) -> u64 {
        let changes = self.logs.get(topic).map_or(&[][..], |log| log.changes(seq));
        let count = changes.partition_point(|change| *change <= upto);
        count.checked_sub(1).map_or(0, |index| changes[index])
    }

    /// The last change of a message up to a number that a client must have applied: not an edit
    /// that may come without its text.
    pub(crate) fn last_effective(&self, topic: &Topic, seq: u64, upto: u64) -> u64 {
        let changes = self.logs.get(topic).map_or(&[][..], |log| log.changes(seq));
        let is_effective = |change: &u64| {
            let is_edit = self.entry(topic, *change).is_some_and(|it| matches!(it.body, Body::Edit { .. }));
            !is_edit || !self.may_lack_text(topic, seq, *change)
        };
        changes.iter().rev().copied().filter(|change| *change <= upto).find(is_effective).unwrap_or(0)
    }

    /// Whether the edits of a message up to a number may come without their texts: a change
    /// after it takes the text back, or the message is no longer kept.
    pub(crate) fn may_lack_text(&self, topic: &Topic, seq: u64, upto: u64) -> bool {
        seq < self.first(topic) || self.is_taken_back_after(topic, seq, upto)
    }

    /// Whether a message had a text at one of its changes up to a number.
    pub(crate) fn had_text(&self, topic: &Topic, seq: u64, upto: u64, text: &str) -> bool {
        let changes = self.logs.get(topic).map_or(&[][..], |log| log.changes(seq));
        let edits = changes.iter().copied().take_while(|change| *change <= upto);
        std::iter::once(seq).chain(edits).filter_map(|seq| self.entry(topic, seq)).any(|entry| {
            matches!(entry.body, Body::Message { .. } | Body::Edit { .. }) && entry.body.text() == text
        })
    }

    /// Whether a change of a message after a number takes its text back.
    fn is_taken_back_after(&self, topic: &Topic, seq: u64, after: u64) -> bool {
        let changes = self.logs.get(topic).map_or(&[][..], |log| log.changes(seq));
        let mut later = changes.iter().filter(|change| **change > after);
        later.any(|change| {
            let entry = self.entry(topic, *change);
            entry.is_some_and(|it| matches!(it.body, Body::Edit { .. } | Body::Delete { .. }))
        })
    }

    /// The first change of a message after a number.
    pub(super) fn next_change(&self, topic: &Topic, seq: u64, after: u64) -> Option<u64> {
        let changes = self.logs.get(topic).map_or(&[][..], |log| log.changes(seq));
        changes.get(changes.partition_point(|change| *change <= after)).copied()
    }

    /// Checks that an entry of a page is as the log had it at a time, in milliseconds, or
    /// later.
    pub(super) fn is_read_since(&self, topic: &Topic, frame: &Frame, at_ms: u64) -> Check {
        let Some(log) = self.logs.get(topic) else { return Ok(()) };
        let last = log.last_before(at_ms);
        let seq = frame.seq.unwrap_or(0);
        match frame.target {
            None => {
                let change = self.last_change(topic, seq, last);
                ensure(frame.updated.unwrap_or(0) >= change, || format!("{seq} lacks its change {change}"))
            }
            Some(target) if frame.text.is_some() => {
                let now = self.version(topic, target, last).ok_or("it has no target")?;
                let is_gone = now.deletion.is_some() || now.edit.is_some_and(|edit| edit.seq > seq);
                ensure(!is_gone, || format!("the text of the edit {seq} was taken back"))
            }
            Some(_) => Ok(()),
        }
    }

    /// The last number that was committed before a time, in milliseconds.
    pub(super) fn last_before(&self, topic: &Topic, at_ms: u64) -> u64 {
        self.logs.get(topic).map_or(0, |log| log.last_before(at_ms))
    }

    pub(crate) fn is_message(&self, topic: &Topic, seq: u64) -> bool {
        self.entry(topic, seq).is_some_and(|entry| entry.body.is_message())
    }

    pub(super) fn is_deleted(&self, topic: &Topic, seq: u64) -> bool {
        self.logs.get(topic).is_some_and(|log| log.deleted_ms.contains_key(&seq))
    }

    /// The numbers of the messages in a range.
    pub(super) fn messages_in(&self, topic: &Topic, from: u64, upto: u64) -> impl Iterator<Item = u64> {
        let log = self.logs.get(topic).map_or(&[][..], |log| &log.entries);
        let from = usize::try_from(from.max(1) - 1).unwrap_or(usize::MAX).min(log.len());
        let upto = usize::try_from(upto).unwrap_or(usize::MAX).min(log.len()).max(from);
        log[from..upto].iter().filter(|entry| entry.body.is_message()).map(|entry| entry.seq)
    }

    /// The number of the oldest of the newest `count` messages up to a number; 1 if there
    /// are fewer; one more than `upto` for none.
    pub(super) fn oldest_of(&self, topic: &Topic, count: u64, upto: u64) -> u64 {
        let Some(index) = count.checked_sub(1) else { return upto + 1 };
        let log = self.logs.get(topic).map_or(&[][..], |log| &log.entries);
        let upto = usize::try_from(upto).unwrap_or(usize::MAX).min(log.len());
        let mut messages = log[..upto].iter().rev().filter(|entry| entry.body.is_message());
        messages.nth(usize::try_from(index).unwrap_or(usize::MAX)).map_or(1, |entry| entry.seq)
    }

    /// The message that shows, or showed, a text that a user has written.
    pub(super) fn shown_by(&self, text: &str) -> Result<(Topic, u64), String> {
        let (_, act) = self.act_of_text(text)?;
        let seq = act.stored.ok_or("it is not stored")?;
        let entry = self.entry(&act.topic, seq).ok_or("it is not in the log")?;
        Ok((act.topic.clone(), entry.body.target().unwrap_or(seq)))
    }

    /// The texts of a message that a change takes back: unique numbers.
    pub(super) fn texts_taken_back(&self, topic: &Topic, change: &Entry) -> Vec<usize> {
        let (Body::Edit { target, .. } | Body::Delete { target }) = change.body else { return Vec::new() };
        let Some(log) = self.logs.get(topic) else { return Vec::new() };
        let earlier = log.changes(target).iter().copied().filter(|seq| *seq < change.seq);
        let versions = std::iter::once(target).chain(earlier).filter_map(|seq| log.entry(seq));
        let written = versions.filter(|entry| matches!(entry.body, Body::Message { .. } | Body::Edit { .. }));
        written.filter_map(|entry| number(entry.body.text())).collect()
    }

    /// The files that a change takes back.
    pub(super) fn files_of_deleted(&self, topic: &Topic, change: &Entry) -> Vec<FileId> {
        let Body::Delete { target } = change.body else { return Vec::new() };
        let message = self.entry(topic, target);
        message.iter().flat_map(|message| message.body.files()).map(|file| file.id).collect()
    }

    /// Checks that v1 shows the files of a message below its text.
    pub(super) fn has_files_v1(&self, topic: &Topic, seq: u64, text: &str) -> Check {
        let message = self.entry(topic, seq).ok_or("it is not in the log")?;
        let shown = text_v1(without_files(text), message.body.files(), &self.options.files_base);
        ensure(text == shown, || format!("the log has {message:?}"))
    }

    /// Checks a frame against the log's entry: a change as it was made, a message as the
    /// changes up to its `updated` have made it.
    pub(super) fn is_entry(&self, topic: &Topic, seq: u64, frame: &Frame) -> Check {
        let entry = self.entry(topic, seq).ok_or("it is not stored")?;
        let is_same = frame.author() == Some(entry.from.as_str())
            && frame.timestamp == Some(entry.at_ms / 1000)
            && frame.nonce.as_deref() == entry.nonce.as_ref().map(|nonce| nonce.as_str())
            && frame.kind == kind(entry);
        ensure(is_same, || format!("the log has {entry:?}"))?;
        let (text, target, emoji) = (frame.text.as_deref(), frame.target, frame.emoji.as_deref());
        match &entry.body {
            Body::Message { .. } => {
                let updated = frame.updated.unwrap_or(0);
                let version = self.shown_version(topic, seq, updated, text.unwrap_or_default());
                let version = version.ok_or("it is no message")?;
                ensure(version.updated == updated && frame.updated != Some(0), || {
                    format!("{updated} is no change of it")
                })?;
                let is_same = text == Some(version.text)
                    && has_mentions(frame, version.mentions)
                    && frame.reply_to == version.reply_to
                    && has_files(frame, version.files)
                    && frame.edited == version.edit.map(|edit| edit.at_ms / 1000)
                    && frame.deleted == version.deletion.is_some()
                    && frame.reactions != Some(Vec::new())
                    && version.has_reactions(frame.reactions.as_deref().unwrap_or_default());
                return ensure(is_same, || format!("the log has {version:?}"));
            }
            Body::Edit { target: of, text: Some(new), mentions } => match text {
                Some(text) => {
                    let is_same = target == Some(*of) && text == new.as_str();
                    ensure(is_same && has_mentions(frame, mentions.as_deref()), || {
                        format!("it is {entry:?}")
                    })?;
                }
                None => {
                    let now = self.version_now(topic, *of).ok_or("it has no target")?;
                    let is_newest = now.edit.is_some_and(|edit| edit.seq == seq) && *of >= self.first(topic);
                    ensure(target == Some(*of) && has_mentions(frame, None) && !is_newest, || {
                        format!("it is {entry:?}, the newest edit")
                    })?;
                }
            },
            Body::Edit { text: None, .. } => return Err("an edit without text was stored".to_owned()),
            Body::Delete { target: of } => {
                ensure(target == Some(*of) && text.is_none(), || format!("it is {entry:?}"))?;
            }
            Body::React { target: of, emoji: with } | Body::Unreact { target: of, emoji: with } => {
                let is_same = target == Some(*of) && emoji == Some(with.as_str()) && text.is_none();
                ensure(is_same, || format!("it is {entry:?}"))?;
            }
        }
        let is_bare = frame.updated.is_none()
            && frame.edited.is_none()
            && !frame.deleted
            && frame.reactions.is_none()
            && frame.files.is_none()
            && frame.reply_to.is_none();
        ensure(is_bare, || "a change has no state".to_owned())
    }
}

fn kind(entry: &Entry) -> Kind {
    match (&entry.body, &entry.topic) {
        (Body::Message { .. }, Topic::Room(_)) => Kind::Message,
        (Body::Message { .. }, Topic::Pair(_)) => Kind::Private,
        (Body::Edit { .. }, _) => Kind::Edit,
        (Body::Delete { .. }, _) => Kind::Delete,
        (Body::React { .. }, _) => Kind::React,
        (Body::Unreact { .. }, _) => Kind::Unreact,
    }
}

fn has_mentions(frame: &Frame, mentions: Option<&Mentions>) -> bool {
    let (names, all) = mentions.map_or((&[][..], false), |mentions| (&mentions.names[..], mentions.all));
    frame.mention_all == all && names.iter().map(Username::as_str).eq(frame.mentioned().iter())
}

fn has_files(frame: &Frame, files: &[AttachedFile]) -> bool {
    let shown = frame.files.as_deref().unwrap_or_default();
    shown.len() == files.len() && std::iter::zip(shown, files).all(|(shown, file)| shown.is(file))
}

/// The number of users whom a reaction names.
const NAMED: usize = 5;

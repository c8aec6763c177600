//! Texts that were edited away or deleted: from the turn on in which a hub was given the
//! commit, it encodes nothing from them any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chat_core::{Entry, FileId, Topic};

use super::{Check, Oracle, ensure};
use crate::wire::{Frame, number};

/// What the oracle knows of the hubs' texts.
#[derive(Default)]
pub(super) struct TakenBack {
    /// The number up to which each hub has delivered a topic, at least.
    reached: BTreeMap<(usize, Topic), u64>,
    hubs: BTreeMap<usize, Texts>,
}

/// Texts of which one hub knows that they were taken back, by their unique numbers.
#[derive(Default)]
struct Texts {
    /// Nothing that is written may have them.
    gone: BTreeSet<usize>,
    /// They were taken back in this turn: frames that were encoded before are still written.
    at_end: Vec<usize>,
    /// The same of files.
    gone_files: BTreeSet<FileId>,
    files_at_end: Vec<FileId>,
}

impl TakenBack {
    /// A hub has started again.
    pub(super) fn forget_hub(&mut self, hub: usize) {
        self.reached.retain(|(of, _), _| *of != hub);
        self.hubs.remove(&hub);
    }

    /// A hub does not follow a topic any more.
    pub(super) fn forget_topic(&mut self, hub: usize, topic: &Topic) {
        self.reached.remove(&(hub, topic.clone()));
    }
}

impl Oracle {
    /// Notes that a hub no longer gets the entries of a topic.
    pub(crate) fn unsubscribed(&mut self, hub: usize, topic: &Topic) {
        self.taken_back.forget_topic(hub, topic);
    }

    /// Notes entries that a hub takes from its inbox.
    pub(crate) fn given(&mut self, hub: usize, entries: &[Arc<Entry>]) {
        for entry in entries {
            let key = (hub, entry.topic.clone());
            // Of an entry behind a gap the hub keeps nothing.
            if self.taken_back.reached.get(&key).is_some_and(|reached| reached + 1 == entry.seq) {
                self.has_reached(hub, &entry.topic, entry.seq);
            }
        }
    }

    /// Notes that a hub has delivered a topic up to a number.
    pub(super) fn has_reached(&mut self, hub: usize, topic: &Topic, seq: u64) {
        let reached = self.taken_back.reached.entry((hub, topic.clone())).or_insert(0);
        let before = std::mem::replace(reached, seq.max(*reached));
        let changes = (before + 1..=seq).filter_map(|seq| self.entry(topic, seq));
        let (mut texts, mut files) = (Vec::new(), Vec::new());
        for change in changes {
            texts.extend(self.texts_taken_back(topic, change));
            files.extend(self.files_of_deleted(topic, change));
        }
        if !texts.is_empty() || !files.is_empty() {
            let of_hub = self.taken_back.hubs.entry(hub).or_default();
            of_hub.at_end.extend(texts);
            of_hub.files_at_end.extend(files);
        }
    }

    /// Notes that the outputs of a hub's turn are performed.
    pub(crate) fn turn_ended(&mut self, hub: usize) {
        if let Some(texts) = self.taken_back.hubs.get_mut(&hub) {
            texts.gone.extend(std::mem::take(&mut texts.at_end));
            texts.gone_files.extend(std::mem::take(&mut texts.files_at_end));
        }
    }

    /// Checks that a hub writes nothing of what was taken back.
    pub(super) fn has_no_trace(&self, hub: usize, frame: &Frame) -> Check {
        let Some(texts) = self.taken_back.hubs.get(&hub) else { return Ok(()) };
        let frames = || std::iter::once(frame).chain(frame.messages.iter().flatten());
        for id in frames().flat_map(Frame::file_ids).filter_map(FileId::parse) {
            ensure(!texts.gone_files.contains(&id), || format!("its hub knows that {id} was taken back"))?;
        }
        for number in frames().filter_map(|frame| number(frame.text.as_deref()?)) {
            ensure(!texts.gone.contains(&number), || format!("its hub knows that {number} was taken back"))?;
        }
        Ok(())
    }
}

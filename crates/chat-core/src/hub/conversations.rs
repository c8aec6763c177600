//! The private conversations of a hub.

use std::ops::{Index, IndexMut};

use hashbrown::HashMap;
use slab::Slab;

use super::feed::Feed;
use crate::seed::Seed;
use crate::{Pair, Username};

/// The private conversations in which users of a hub take part. One is here from
/// the first entry on that the hub gets of it, and is forgotten when both users
/// are gone, or no entry came for a while.
pub(super) struct ConversationTable {
    slab: Slab<Conversation>,
    by_pair: HashMap<Pair, ConversationSlot, Seed>,
}

/// A private conversation.
#[derive(Debug)]
pub(super) struct Conversation {
    pair: Pair,
    /// Which entries were delivered, and which are missing.
    pub(super) feed: Feed,
    is_being_read: bool,
    used_ms: u64,
}

/// A conversation's number in its hub, free again once it is forgotten.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ConversationSlot(usize);

impl Index<ConversationSlot> for ConversationTable {
    type Output = Conversation;

    fn index(&self, slot: ConversationSlot) -> &Conversation {
        &self.slab[slot.0]
    }
}

impl IndexMut<ConversationSlot> for ConversationTable {
    fn index_mut(&mut self, slot: ConversationSlot) -> &mut Conversation {
        &mut self.slab[slot.0]
    }
}

impl ConversationTable {
    pub(super) fn new(seed: Seed) -> Self {
        Self { slab: Slab::new(), by_pair: HashMap::with_hasher(seed) }
    }

    pub(super) fn get_mut(&mut self, pair: &Pair) -> Option<&mut Conversation> {
        let &slot = self.by_pair.get(pair)?;
        self.slab.get_mut(slot.0)
    }

    /// The number of the last entry that was delivered here, if any was.
    pub(super) fn delivered_up_to(&self, pair: &Pair) -> Option<u64> {
        self.slab[self.by_pair.get(pair)?.0].feed.top()
    }

    /// Finds a conversation that is used now.
    pub(super) fn touch(&mut self, pair: &Pair, now_ms: u64) -> Option<ConversationSlot> {
        let &slot = self.by_pair.get(pair)?;
        self[slot].used_ms = now_ms;
        Some(slot)
    }

    /// Adds a conversation that is not there yet; its feed starts with the entry
    /// `first`.
    pub(super) fn add(&mut self, pair: &Pair, first: u64, now_ms: u64) -> ConversationSlot {
        let feed = Feed::at(first.saturating_sub(1));
        let conversation = Conversation { pair: pair.clone(), feed, is_being_read: false, used_ms: now_ms };
        let slot = ConversationSlot(self.slab.insert(conversation));
        self.by_pair.insert(pair.clone(), slot);
        slot
    }

    /// Marks a conversation as being read, if an entry is missing and it is not
    /// being read yet; returns the number after which to read.
    pub(super) fn begin_read(&mut self, pair: &Pair) -> Option<u64> {
        let conversation = self.get_mut(pair)?;
        let top = conversation.feed.top().filter(|_| conversation.feed.is_behind())?;
        let was_being_read = std::mem::replace(&mut conversation.is_being_read, true);
        (!was_being_read).then_some(top)
    }

    /// Forgets the conversations of a user who is gone, but for those whose other
    /// user is online.
    pub(super) fn forget_of(&mut self, user: &Username, is_online: impl Fn(&Username) -> bool) {
        self.retain(|conversation| {
            let pair = &conversation.pair;
            (pair.low() != user && pair.high() != user) || is_online(pair.low()) || is_online(pair.high())
        });
    }

    /// Forgets the conversations that were not used for `idle_ms`.
    pub(super) fn forget_idle(&mut self, idle_ms: u64, now_ms: u64) {
        self.retain(|conversation| {
            let is_busy = conversation.is_being_read || conversation.feed.is_behind();
            is_busy || conversation.used_ms + idle_ms > now_ms
        });
    }

    fn retain(&mut self, keep: impl Fn(&Conversation) -> bool) {
        let Self { slab, by_pair } = self;
        slab.retain(|_, conversation| {
            let keep = keep(conversation);
            if !keep {
                by_pair.remove(&conversation.pair);
            }
            keep
        });
    }
}

impl Conversation {
    /// The page that was being read has arrived, or could not be read.
    pub(super) fn end_read(&mut self) {
        self.is_being_read = false;
    }
}

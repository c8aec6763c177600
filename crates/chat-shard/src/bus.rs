//! The bus of one process: who wants to hear of what, and the way there.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chat_core::{
    Commit, Draft, Entry, Missed, Outcome, PresenceChange, Receipt, RoomName, Subscription, Topic, Username,
};

use crate::inbox::{Inbox, Item};

/// Carries commits to the shards that have members for them.
pub(crate) struct Bus {
    inboxes: Vec<Arc<Inbox>>,
    subscriptions: Mutex<Subscriptions>,
}

/// Which shards want what; a shard is a bit.
#[derive(Default)]
struct Subscriptions {
    rooms: HashMap<RoomName, u64>,
    users: HashMap<Username, u64>,
}

/// How many drafts of a batch came from which shard, in the batch's order.
pub(crate) type Origins = Vec<(usize, usize)>;

impl Bus {
    pub(crate) fn new(inboxes: Vec<Arc<Inbox>>) -> Self {
        Self { inboxes, subscriptions: Mutex::default() }
    }

    /// From now on a shard gets what is committed there.
    pub(crate) fn subscribe(&self, shard: usize, subscription: Subscription) {
        let mut subscriptions = self.lock();
        match subscription {
            Subscription::Room(room) => *subscriptions.rooms.entry(room).or_default() |= 1 << shard,
            Subscription::User(user) => *subscriptions.users.entry(user).or_default() |= 1 << shard,
        }
    }

    /// A shard no longer gets it.
    pub(crate) fn unsubscribe(&self, shard: usize, subscription: &Subscription) {
        let mut subscriptions = self.lock();
        match subscription {
            Subscription::Room(room) => clear(&mut subscriptions.rooms, room, shard),
            Subscription::User(user) => clear(&mut subscriptions.users, user, shard),
        }
    }

    /// Gives every shard that a commit concerns its entries, in the log's
    /// order, and then the receipts of its own drafts.
    ///
    /// All shards have the entries before any has a receipt: what somebody does
    /// once they are answered (leave, most of all) must not overtake what they
    /// said.
    pub(crate) fn publish(&self, commit: &Commit, origins: &Origins) {
        let entries = self.entries_of_each(&commit.entries);
        let receipts = self.receipts_of_each(&commit.receipts, origins);
        let is_concerned = |shard: &usize| !entries[*shard].is_empty() || !receipts[*shard].is_empty();
        let is_for_one = (0..self.inboxes.len()).filter(is_concerned).count() == 1;
        let mut later = Vec::new();
        for (shard, (entries, receipts)) in entries.into_iter().zip(receipts).enumerate() {
            if is_for_one || receipts.is_empty() {
                self.inboxes[shard].push(Item::Commit { entries, receipts });
            } else {
                self.inboxes[shard].push(Item::Commit { entries, receipts: Vec::new() });
                later.push((shard, receipts));
            }
        }
        for (shard, receipts) in later {
            self.inboxes[shard].push(Item::Commit { entries: Vec::new(), receipts });
        }
    }

    /// A retry that had been stored a moment ago may have been stored without an
    /// answer: then nobody has heard of the entry yet.
    pub(crate) fn publish_again(&self, commit: &Commit, now_ms: u64) {
        for receipt in &commit.receipts {
            if let Outcome::Duplicate { topic, seq, at_ms } = &receipt.outcome
                && now_ms.abs_diff(*at_ms) < RETRIED_SOON_MS
            {
                let shards = self.lock().of(topic);
                let missed = Missed { topic: topic.clone(), first: *seq, last: *seq };
                for shard in bits(shards) {
                    self.inboxes[shard].push(Item::Heard(missed.clone()));
                }
            }
        }
    }

    /// Tells the shards that nothing of these drafts, which were in this lane,
    /// was stored.
    pub(crate) fn publish_failure(&self, lane: usize, drafts: &[Draft], origins: &Origins) {
        let receipts: Vec<Receipt> =
            drafts.iter().map(|draft| Receipt { draft: draft.id, outcome: Outcome::Failed }).collect();
        for (shard, receipts) in self.receipts_of_each(&receipts, origins).into_iter().enumerate() {
            if !receipts.is_empty() {
                self.inboxes[shard].push(Item::Failure { lane, receipts });
            }
        }
    }

    /// Tells all other shards who came or left, also those that do not have
    /// the room: they know who is in it when they need to.
    pub(crate) fn presence(&self, shard: usize, change: &PresenceChange) {
        for (_, other) in self.inboxes.iter().enumerate().filter(|(other, _)| *other != shard) {
            other.push(Item::Presence(change.clone()));
        }
    }

    fn receipts_of_each(&self, receipts: &[Receipt], origins: &Origins) -> Vec<Vec<Receipt>> {
        let mut each = vec![Vec::new(); self.inboxes.len()];
        let mut rest = receipts;
        for &(shard, count) in origins {
            let (its, others) = rest.split_at(count.min(rest.len()));
            each[shard].extend_from_slice(its);
            rest = others;
        }
        each
    }

    fn entries_of_each(&self, entries: &[Arc<Entry>]) -> Vec<Vec<Arc<Entry>>> {
        let mut each = vec![Vec::new(); self.inboxes.len()];
        let subscriptions = self.lock();
        for entry in entries {
            for shard in bits(subscriptions.of(&entry.topic)) {
                each[shard].push(Arc::clone(entry));
            }
        }
        each
    }

    fn lock(&self) -> MutexGuard<'_, Subscriptions> {
        // Every change is whole in one statement.
        self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscriptions {
    fn of(&self, topic: &Topic) -> u64 {
        match topic {
            Topic::Room(room) => self.rooms.get(room).copied().unwrap_or(0),
            Topic::Pair(pair) => [pair.low(), pair.high()]
                .into_iter()
                .filter_map(|user| self.users.get(user))
                .fold(0, |all, some| all | some),
        }
    }
}

fn clear<K: Hash + Eq>(map: &mut HashMap<K, u64>, key: &K, shard: usize) {
    if let Some(shards) = map.get_mut(key) {
        *shards &= !(1 << shard);
        if *shards == 0 {
            map.remove(key);
        }
    }
}

/// An entry that somebody stored longer ago was shown then.
const RETRIED_SOON_MS: u64 = 60_000;

/// The numbers of the bits that are set.
fn bits(mut set: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = (set != 0).then(|| set.trailing_zeros() as usize)?;
        set &= set - 1;
        Some(bit)
    })
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use chat_core::{DraftId, Pair};

    use super::*;

    #[test]
    fn a_retry_that_was_stored_a_moment_ago_is_told_to_who_may_not_have_it() {
        let inboxes: Vec<_> = (0..3).map(|_| Arc::new(Inbox::new(1 << 20))).collect();
        let bus = Bus::new(inboxes.clone());
        let name = |name| Username::known(name).unwrap();
        bus.subscribe(1, Subscription::User(name("bob")));
        let topic = Topic::Pair(Pair::new(name("alice"), name("bob")));
        let retried = |at_ms| Commit {
            entries: Vec::new(),
            receipts: vec![Receipt {
                draft: DraftId(1),
                outcome: Outcome::Duplicate { topic: topic.clone(), seq: 5, at_ms },
            }],
        };
        bus.publish_again(&retried(1_000), 1_000_000);
        assert!(inboxes.iter().all(|inbox| inbox.take(Waker::noop()).is_none()), "shown long ago");
        bus.publish_again(&retried(999_000), 1_000_000);
        let heard = inboxes[1].take(Waker::noop()).unwrap().pop_front();
        assert!(matches!(heard, Some(Item::Heard(Missed { first: 5, last: 5, .. }))));
        assert!(inboxes[0].take(Waker::noop()).is_none() && inboxes[2].take(Waker::noop()).is_none());
    }
}

//! Which shard gets what of a commit, as plain values.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use chat_core::{
    Commit, Entry, Missed, Outcome, Receipt, RoomChange, RoomName, Subscription, Topic, Username,
};

use crate::inbox::Item;
use crate::planted::{Planted, planted};

/// The shards that are subscribed to each room and each user's conversations.
#[derive(Default)]
pub struct Routing {
    /// A bit for each shard.
    rooms: HashMap<RoomName, u64>,
    users: HashMap<Username, u64>,
    planted: Planted,
}

/// Where drafts come from, and their receipts go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A shard: the drafts of its clients.
    Shard(usize),
    /// A call of the server itself, by its number.
    Call(u64),
}

/// How many drafts of a batch came from where, in the batch's order.
pub type Origins = Vec<(Origin, usize)>;

impl Routing {
    /// The same with a bug on purpose.
    #[cfg(feature = "planted-bugs")]
    #[must_use]
    pub fn with_bug(self, bug: Option<crate::PlantedBug>) -> Self {
        Self { planted: bug, ..self }
    }

    /// Has a shard get what is committed there from now on.
    pub fn subscribe(&mut self, shard: usize, subscription: Subscription) {
        match subscription {
            Subscription::Room(room) => *self.rooms.entry(room).or_default() |= 1 << shard,
            Subscription::User(user) => *self.users.entry(user).or_default() |= 1 << shard,
        }
    }

    /// Ends a subscription of a shard.
    pub fn unsubscribe(&mut self, shard: usize, subscription: &Subscription) {
        match subscription {
            Subscription::Room(room) => clear(&mut self.rooms, room, shard),
            Subscription::User(user) => clear(&mut self.users, user, shard),
        }
    }

    /// The shards that are subscribed to a topic.
    pub fn subscribers(&self, topic: &Topic) -> impl Iterator<Item = usize> + use<> {
        let shards = match topic {
            Topic::Room(room) => self.rooms.get(room).copied().unwrap_or(0),
            Topic::Pair(pair) => [pair.low(), pair.high()]
                .into_iter()
                .filter_map(|user| self.users.get(user))
                .fold(0, |all, some| all | some),
        };
        bits(shards)
    }

    /// The shards that are subscribed to the conversations of a user.
    pub fn shards_of(&self, user: &Username) -> impl Iterator<Item = usize> + use<> {
        bits(self.users.get(user).copied().unwrap_or(0))
    }

    /// What is to be pushed to which of `shards` shards for a commit whose drafts came from
    /// `origins`, in this order.
    ///
    /// All shards get the changes of rooms first, because they take effect before the
    /// entries. Then all get their entries before any gets a receipt: what a client does
    /// once its send is acknowledged (leave, most of all) must not overtake the message.
    pub fn deliveries<C>(
        &self,
        commit: &Commit,
        origins: &[(Origin, usize)],
        shards: usize,
    ) -> impl Iterator<Item = (usize, Item<C>)> + use<C> {
        let changes = self.changes_to_all(&commit.changes, shards);
        let entries = self.entries_by_shard(&commit.entries, shards);
        let receipts = receipts_by_shard(&commit.receipts, origins, shards);
        changes.chain(entries_before_receipts(entries, receipts))
    }

    /// What is to be pushed to which of `shards` shards for changes of rooms: each shard gets
    /// all of them, since each may have clients of their members.
    pub fn changes_to_all<C>(
        &self,
        changes: &[RoomChange],
        shards: usize,
    ) -> impl Iterator<Item = (usize, Item<C>)> + use<C> {
        let shards = if planted!(self.planted, ChangeToOneShard) { 1 } else { shards };
        let changes: Option<Arc<[RoomChange]>> = (!changes.is_empty()).then(|| changes.into());
        changes.into_iter().flat_map(move |changes| {
            (0..shards).map(move |shard| (shard, Item::Changes(Arc::clone(&changes))))
        })
    }

    /// The entries that each of `shards` shards is subscribed to, in their order.
    fn entries_by_shard(&self, entries: &[Arc<Entry>], shards: usize) -> Vec<Vec<Arc<Entry>>> {
        let mut by_shard = vec![Vec::new(); shards];
        for entry in entries {
            for shard in self.subscribers(&entry.topic) {
                by_shard[shard].push(Arc::clone(entry));
            }
        }
        by_shard
    }
}

/// The receipts of each of `shards` shards, in their order: those of a batch whose
/// drafts came from `origins`.
pub(crate) fn receipts_by_shard(
    receipts: &[Receipt],
    origins: &[(Origin, usize)],
    shards: usize,
) -> Vec<Vec<Receipt>> {
    let mut by_shard = vec![Vec::new(); shards];
    let mut rest = receipts;
    for &(origin, count) in origins {
        let (its, others) = rest.split_at(count.min(rest.len()));
        if let Origin::Shard(shard) = origin {
            by_shard[shard].extend_from_slice(its);
        }
        rest = others;
    }
    by_shard
}

/// The receipts of each call of a batch whose drafts came from `origins`.
pub(crate) fn receipts_of_calls(
    receipts: Vec<Receipt>,
    origins: &[(Origin, usize)],
) -> impl Iterator<Item = (u64, Vec<Receipt>)> {
    let mut receipts = receipts.into_iter();
    origins.iter().filter_map(move |&(origin, count)| {
        let its = receipts.by_ref().take(count).collect();
        match origin {
            Origin::Shard(_) => None,
            Origin::Call(call) => Some((call, its)),
        }
    })
}

/// Pushes the entries of each shard before any receipts.
fn entries_before_receipts<C>(
    entries: Vec<Vec<Arc<Entry>>>,
    receipts: Vec<Vec<Receipt>>,
) -> impl Iterator<Item = (usize, Item<C>)> + use<C> {
    let mut both: Vec<_> = std::iter::zip(entries, receipts).enumerate().collect();
    both.retain(|(_, (entries, receipts))| !entries.is_empty() || !receipts.is_empty());
    let is_for_one = both.len() == 1;
    let mut later = Vec::new();
    if !is_for_one {
        for (shard, (_, receipts)) in &mut both {
            if !receipts.is_empty() {
                later
                    .push((*shard, Item::Commit { entries: Vec::new(), receipts: std::mem::take(receipts) }));
            }
        }
        both.retain(|(_, (entries, _))| !entries.is_empty());
    }
    let first = both.into_iter();
    let commits = first.map(|(shard, (entries, receipts))| (shard, Item::Commit { entries, receipts }));
    commits.chain(later)
}

/// The entries that a retry found stored, and that perhaps no shard has got: the
/// first commit may have lost its answer.
pub fn retried(receipts: &[Receipt], now_ms: u64) -> impl Iterator<Item = Missed> {
    receipts.iter().filter_map(move |receipt| match &receipt.outcome {
        Outcome::Duplicate { topic, seq, at_ms } if now_ms.abs_diff(*at_ms) < RETRIED_SOON_MS => {
            Some(Missed { topic: topic.clone(), first: *seq, last: *seq })
        }
        _ => None,
    })
}

/// An entry that was stored longer ago than this was delivered then, in milliseconds.
const RETRIED_SOON_MS: u64 = 60_000;

fn clear<K: Hash + Eq>(map: &mut HashMap<K, u64>, key: &K, shard: usize) {
    if let Some(shards) = map.get_mut(key) {
        *shards &= !(1 << shard);
        if *shards == 0 {
            map.remove(key);
        }
    }
}

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
    use chat_core::{Body, DraftId, MessageText, Pair, Role, RoomInfo};

    use super::*;

    fn name(name: &str) -> Username {
        Username::known(name).unwrap()
    }

    fn room() -> RoomName {
        RoomName::default()
    }

    fn entry(topic: Topic, seq: u64) -> Arc<Entry> {
        let body = Body::message(MessageText::stored("hi"));
        Arc::new(Entry { topic, seq, from: name("alice"), room: None, body, at_ms: 0, nonce: None })
    }

    fn receipt(draft: u64) -> Receipt {
        Receipt::new(DraftId(draft), Outcome::Failed)
    }

    /// Each delivery as (shard, numbers of entries, drafts of receipts).
    fn delivered(
        routing: &Routing,
        entries: &[Arc<Entry>],
        origins: &[(Origin, usize)],
    ) -> Vec<(usize, Vec<u64>, Vec<u64>)> {
        let drafts: usize = origins.iter().map(|(_, count)| count).sum();
        let receipts: Vec<_> = (1..=drafts as u64).map(receipt).collect();
        let commit = Commit { entries: entries.to_vec(), receipts, ..Commit::default() };
        let deliveries = routing.deliveries(&commit, origins, 3);
        let words = deliveries.map(|(shard, item): (_, Item<()>)| match item {
            Item::Commit { entries, receipts } => {
                let seqs = entries.iter().map(|entry| entry.seq).collect();
                (shard, seqs, receipts.iter().map(|receipt| receipt.draft.0).collect())
            }
            _ => panic!("not a commit"),
        });
        words.collect()
    }

    #[test]
    fn all_subscribers_get_the_entries_before_any_shard_gets_receipts() {
        let mut routing = Routing::default();
        routing.subscribe(0, Subscription::Room(room()));
        routing.subscribe(2, Subscription::Room(room()));
        let entries = [entry(Topic::Room(room()), 1), entry(Topic::Room(room()), 2)];
        let both = vec![(0, vec![1, 2], vec![]), (2, vec![1, 2], vec![])];
        let answers = vec![(0, vec![], vec![1]), (1, vec![], vec![2])];
        assert_eq!(
            delivered(&routing, &entries, &[(Origin::Shard(0), 1), (Origin::Shard(1), 1)]),
            [both, answers].concat()
        );
        routing.unsubscribe(2, &Subscription::Room(room()));
        // Nobody else has to wait for the entries.
        assert_eq!(delivered(&routing, &entries, &[(Origin::Shard(0), 2)]), [(0, vec![1, 2], vec![1, 2])]);
    }

    #[test]
    fn both_users_of_a_conversation_are_asked_for() {
        let mut routing = Routing::default();
        routing.subscribe(1, Subscription::User(name("bob")));
        let topic = Topic::Pair(Pair::new(name("alice"), name("bob")));
        assert_eq!(routing.subscribers(&topic).collect::<Vec<_>>(), [1]);
        routing.subscribe(0, Subscription::User(name("alice")));
        assert_eq!(routing.subscribers(&topic).collect::<Vec<_>>(), [0, 1]);
        routing.unsubscribe(1, &Subscription::User(name("bob")));
        assert_eq!(routing.subscribers(&topic).collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn an_entry_that_a_retry_found_may_have_been_missed_only_if_it_is_new() {
        let topic = Topic::Room(room());
        let retried_at = |at_ms| {
            let outcome = Outcome::Duplicate { topic: Topic::Room(room()), seq: 5, at_ms };
            retried(&[Receipt::new(DraftId(1), outcome)], 1_000_000).collect::<Vec<_>>()
        };
        assert_eq!(retried_at(1_000), [], "it was delivered long ago");
        assert_eq!(retried_at(999_000), [Missed { topic, first: 5, last: 5 }]);
    }

    #[test]
    fn every_shard_gets_the_changes_of_a_commit_before_its_entries() {
        let (user, info) = (name("alice"), Arc::new(RoomInfo::opened(&room())));
        let change = RoomChange::Member { room: room(), user, role: Role::Member, info, top: 0 };
        let mut routing = Routing::default();
        routing.subscribe(1, Subscription::Room(room()));
        let entries = vec![entry(Topic::Room(room()), 1)];
        let commit =
            Commit { entries, receipts: vec![receipt(1)], changes: vec![change], ..Commit::default() };
        let items =
            routing.deliveries(&commit, &[(Origin::Shard(0), 1)], 2).map(|(shard, item): (_, Item<()>)| {
                match item {
                    Item::Changes(changes) => (shard, format!("{} change", changes.len())),
                    Item::Commit { entries, receipts } => {
                        (shard, format!("{} entries, {} receipts", entries.len(), receipts.len()))
                    }
                    _ => panic!("something else"),
                }
            });
        let items: Vec<_> = items.collect();
        let items: Vec<_> = items.iter().map(|(shard, words)| (*shard, words.as_str())).collect();
        assert_eq!(
            items,
            [(0, "1 change"), (1, "1 change"), (1, "1 entries, 0 receipts"), (0, "0 entries, 1 receipts")]
        );
    }
}

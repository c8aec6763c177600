//! The bus of one process: the routing of commits, shared by the shards and the log's
//! writer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chat_core::{
    Commit, Entry, FileId, Missed, PresenceChange, Receipt, RoomChange, Subscription, TypingChange, UserMark,
};
use tokio::sync::oneshot;

use crate::files_hook::FilesHook;
use crate::followers::Followers;
use crate::log_queue::Failure;
use crate::routing::{Origin, Routing, receipts_of_calls, retried};
use crate::shared_inbox::{Item, SharedInbox};
use crate::stored_hook::StoredHook;

/// Carries commits to the shards that are subscribed to their topics.
pub(crate) struct Bus {
    inboxes: Vec<Arc<SharedInbox>>,
    routing: Mutex<Routing>,
    files_taken_back: FilesHook,
    stored: StoredHook,
    followers: Arc<Followers>,
    calls: Mutex<Calls>,
}

/// The calls of the server itself that wait for receipts.
#[derive(Default)]
struct Calls {
    last: u64,
    waiting: HashMap<u64, oneshot::Sender<Vec<Receipt>>>,
}

impl Bus {
    /// A bus between the shards of these inboxes.
    pub(crate) fn new(inboxes: Vec<Arc<SharedInbox>>) -> Self {
        Self {
            inboxes,
            routing: Mutex::default(),
            files_taken_back: FilesHook::default(),
            stored: StoredHook::default(),
            followers: Arc::default(),
            calls: Mutex::default(),
        }
    }

    /// The same with a hook for the files that are taken back.
    pub(crate) fn with_hook(self, files_taken_back: FilesHook) -> Self {
        Self { files_taken_back, ..self }
    }

    /// The same with a hook for the entries that are stored.
    pub(crate) fn with_stored_hook(self, stored: StoredHook) -> Self {
        Self { stored, ..self }
    }

    /// Who follows topics without being a shard.
    pub(crate) fn followers(&self) -> &Arc<Followers> {
        &self.followers
    }

    /// Numbers a call. Its receipts come once the entries are in the inboxes that they concern.
    pub(crate) fn begin_call(&self) -> (u64, oneshot::Receiver<Vec<Receipt>>) {
        let (sender, receiver) = oneshot::channel();
        let mut calls = self.calls();
        calls.last += 1;
        let call = calls.last;
        // Callers that have given up do not wait any more.
        if call.is_multiple_of(CALLS_SWEEP) {
            calls.waiting.retain(|_, sender| !sender.is_closed());
        }
        calls.waiting.insert(call, sender);
        (call, receiver)
    }

    fn answer_calls(&self, receipts: impl Iterator<Item = (u64, Vec<Receipt>)>) {
        for (call, receipts) in receipts {
            if let Some(sender) = self.calls().waiting.remove(&call) {
                // The caller may have given up.
                let _ = sender.send(receipts);
            }
        }
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        // Every change is whole in one statement.
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of shards.
    pub(crate) fn shards(&self) -> usize {
        self.inboxes.len()
    }

    /// Has a shard get what is committed there from now on.
    pub(crate) fn subscribe(&self, shard: usize, subscription: Subscription) {
        self.lock().subscribe(shard, subscription);
    }

    /// Ends a subscription of a shard.
    pub(crate) fn unsubscribe(&self, shard: usize, subscription: &Subscription) {
        self.lock().unsubscribe(shard, subscription);
    }

    /// Pushes a commit to the shards that it concerns, see [`Routing::deliveries`], after the
    /// hook was told which files it takes back.
    pub(crate) fn publish(&self, commit: &Commit, origins: &[(Origin, usize)]) {
        self.take_back(&commit.files_taken_back);
        self.push(commit, origins);
        self.followers.publish(&commit.entries);
        self.stored(&commit.entries);
    }

    /// Tells the hook which files a commit takes back, before anybody else learns of it.
    pub(crate) fn take_back(&self, files: &[FileId]) {
        self.files_taken_back.call(files);
    }

    /// Tells the hooks which entries this server has stored.
    pub(crate) fn stored(&self, entries: &[Arc<Entry>]) {
        self.stored.call(entries);
    }

    /// Pushes changes and entries whose receipts come later, or belong to another server.
    pub(crate) fn deliver(&self, changes: Vec<RoomChange>, entries: Vec<Arc<Entry>>) {
        let commit = Commit { changes, entries, ..Commit::default() };
        self.push(&commit, &[]);
        self.followers.publish(&commit.entries);
    }

    /// Pushes the receipts of a commit whose entries were [delivered](Self::deliver).
    pub(crate) fn answer(&self, commit: &Commit, origins: &[(Origin, usize)]) {
        let receipts = commit.receipts.clone();
        self.push(&Commit { receipts, ..Commit::default() }, origins);
    }

    /// Pushes that entries are stored, which their subscribers read from the log.
    pub(crate) fn miss(&self, missed: &Missed) {
        self.followers.miss(missed);
        let subscribers = self.lock().subscribers(&missed.topic);
        for shard in subscribers {
            self.inboxes[shard].push(Item::Missed(vec![missed.clone()]));
        }
    }

    fn push(&self, commit: &Commit, origins: &[(Origin, usize)]) {
        let deliveries = self.lock().deliveries(commit, origins, self.inboxes.len());
        for (shard, item) in deliveries {
            self.inboxes[shard].push(item);
        }
        if origins.iter().any(|(origin, _)| matches!(origin, Origin::Call(_))) {
            self.answer_calls(receipts_of_calls(commit.receipts.clone(), origins));
        }
    }

    /// Pushes changes of rooms and of their members to all shards.
    pub(crate) fn publish_changes(&self, changes: &[RoomChange]) {
        let items = self.lock().changes_to_all(changes, self.inboxes.len());
        for (shard, item) in items {
            self.inboxes[shard].push(item);
        }
    }

    /// Pushes the entries that a retry found stored to all subscribers, see [`retried`].
    pub(crate) fn publish_retried(&self, commit: &Commit, now_ms: u64) {
        for missed in retried(&commit.receipts, now_ms) {
            self.miss(&missed);
        }
    }

    /// Pushes the receipts of drafts that were not stored.
    pub(crate) fn publish_failure(&self, failure: Failure) {
        self.answer_calls(failure.calls());
        for (shard, item) in failure.into_items(self.inboxes.len()) {
            self.inboxes[shard].push(item);
        }
    }

    /// Pushes a change of presence to all other shards, also to those that have no
    /// client in the room: `joined` lists the users of all shards.
    pub(crate) fn presence(&self, shard: usize, change: &PresenceChange) {
        for (_, other) in self.inboxes.iter().enumerate().filter(|(other, _)| *other != shard) {
            other.push(Item::Presence(change.clone()));
        }
    }

    /// Pushes a change of presence on another server to all shards.
    pub(crate) fn presence_elsewhere(&self, change: &PresenceChange) {
        self.push_to_all(|| Item::Presence(change.clone()));
    }

    /// Pushes to all shards that a user was in a room on another server when this one started.
    pub(crate) fn present_elsewhere(&self, change: &PresenceChange) {
        self.push_to_all(|| Item::Present(change.clone()));
    }

    /// Pushes to all shards that a hub of another server is lost.
    pub(crate) fn hub_lost(&self, hub: u32) {
        self.push_to_all(|| Item::HubLost(hub));
    }

    /// Pushes an item to all shards.
    pub(crate) fn push_to_all(&self, item: impl Fn() -> Item) {
        self.inboxes.iter().for_each(|inbox| inbox.push(item()));
    }

    /// Pushes that a user of another server types to the shards that are subscribed to the topic.
    pub(crate) fn typing_elsewhere(&self, change: &TypingChange) {
        let subscribers = self.lock().subscribers(&change.topic);
        for shard in subscribers {
            self.inboxes[shard].push(Item::Typing(change.clone()));
        }
    }

    /// Pushes a mark that a user has set on another server to the shard of the user, if there is one.
    pub(crate) fn mark_elsewhere(&self, mark: &UserMark) {
        let shards = self.lock().shards_of(&mark.user);
        for shard in shards {
            self.inboxes[shard].push(Item::Mark(mark.clone()));
        }
    }

    /// Pushes that a user types to the other shards that are subscribed to the topic.
    pub(crate) fn typing(&self, shard: usize, change: &TypingChange) {
        if self.inboxes.len() == 1 {
            return;
        }
        let subscribers = self.lock().subscribers(&change.topic);
        for other in subscribers.filter(|other| *other != shard) {
            self.inboxes[other].push(Item::Typing(change.clone()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Routing> {
        // Every change is whole in one statement.
        self.routing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Calls whose callers have given up are removed with each call whose number is a multiple of this.
const CALLS_SWEEP: u64 = 256;

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use chat_core::{DraftId, Outcome, RoomName, Topic};

    use super::*;

    #[test]
    fn an_entry_that_a_retry_found_is_missed_by_its_subscribers_only() {
        let inboxes: Vec<_> = (0..3).map(|_| Arc::new(SharedInbox::new(1_000))).collect();
        let bus = Bus::new(inboxes.clone());
        bus.subscribe(0, Subscription::Room(RoomName::default()));
        bus.subscribe(2, Subscription::Room(RoomName::default()));
        let topic = Topic::Room(RoomName::default());
        let outcome = Outcome::Duplicate { topic: topic.clone(), seq: 5, at_ms: 1_000 };
        let receipts = vec![Receipt::new(DraftId(1), outcome)];
        bus.publish_retried(&Commit { receipts, ..Commit::default() }, 2_000);
        let missed = |shard: usize| -> Vec<Missed> {
            let items = inboxes[shard].take(Waker::noop()).into_iter().flatten();
            let missed = items.flat_map(|item| match item {
                Item::Missed(missed) => missed,
                _ => panic!("not a missed entry"),
            });
            missed.collect()
        };
        let five = [Missed { topic, first: 5, last: 5 }];
        assert_eq!([missed(0), missed(1), missed(2)], [five.to_vec(), vec![], five.to_vec()]);
    }

    #[test]
    fn the_hook_is_told_which_files_are_taken_back_before_anybody_else() {
        let inbox = Arc::new(SharedInbox::new(1 << 20));
        let calls = Arc::new(Mutex::new(Vec::new()));
        let (inbox_then, calls_then) = (Arc::clone(&inbox), Arc::clone(&calls));
        let hook = FilesHook::new(move |files| {
            let is_first = inbox_then.take(Waker::noop()).is_none();
            calls_then.lock().unwrap().push((files.to_vec(), is_first));
        });
        let bus = Bus::new(vec![Arc::clone(&inbox)]).with_hook(hook);
        let file = FileId::from_bytes([7; 16]);
        for files_taken_back in [Vec::new(), vec![file]] {
            let receipts = vec![Receipt::new(DraftId(1), Outcome::Stored { seq: 1, at_ms: 1 })];
            bus.publish(
                &Commit { receipts, files_taken_back, ..Commit::default() },
                &[(Origin::Shard(0), 1)],
            );
            assert!(inbox.take(Waker::noop()).is_some());
        }
        assert_eq!(*calls.lock().unwrap(), [(vec![file], true)]);
    }
}

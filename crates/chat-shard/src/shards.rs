//! All shards of a process.
//!
//! A shard is one thread that owns a set of sockets and one hub. All sockets of a user
//! are on one shard, so that limits, private messages and sign-out need no shared
//! state. Shards share only the log, the [`Bus`] and each shard's [`SharedInbox`].

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use chat_core::{
    Body, ChangeRules, Draft, DraftId, FileId, HubOptions, Outcome, Receipt, Seed, SessionId, Topic,
    Username, WantedChange,
};
use chat_store::EventLog;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::arrival::{Arrival, RoomInUse};
use crate::bus::Bus;
use crate::change_error::ChangeError;
use crate::cluster::{Cluster, ClusterFault};
use crate::followers::{Entries, Followers};
use crate::log_writer::LogWriter;
use crate::marks_writer::MarksWriter;
use crate::metrics::Metrics;
use crate::open_sessions::OpenSessions;
use crate::open_users::OpenUsers;
use crate::options::{SHARDS_MAX, ShardOptions};
use crate::shard::ShardParts;
use crate::shared_inbox::{Control, Item, SharedInbox};
use crate::worker::spawn;

/// All shards of a process, as the program that accepts connections sees them.
pub struct Shards {
    inboxes: Vec<Arc<SharedInbox>>,
    /// The hash that decides which shard a user's sockets are on.
    placing: RandomState,
    sessions: Arc<OpenSessions>,
    users: Arc<OpenUsers>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// The way to the log for changes of rooms; `None` once the shards are stopped.
    writer: Mutex<Option<LogWriter>>,
    followers: Arc<Followers>,
    /// The other servers, where the database may have several.
    cluster: Option<Arc<Cluster>>,
    options: Arc<ShardOptions>,
    /// Tasks on the shared runtime: the writers of the log and of marks, and reads of the
    /// log.
    tasks: TaskTracker,
    /// Cancelled when a shard or a lane's task has panicked.
    failed: CancellationToken,
    /// Ends the task that reads what other servers commit.
    stopping: CancellationToken,
    metrics: Metrics,
    /// The number of the log's lanes whose last batch failed.
    last_append_failed: Arc<AtomicUsize>,
}

impl Shards {
    /// Starts the shards' threads. The log's writer and reads of the log run on the
    /// current tokio runtime.
    ///
    /// # Errors
    ///
    /// If the system cannot start a thread.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn start(options: ShardOptions, log: Arc<dyn EventLog>) -> std::io::Result<Self> {
        let metrics = Metrics::default();
        let count = options.shards.get().min(SHARDS_MAX);
        let options = Arc::new(options);
        let inboxes: Vec<_> =
            (0..count).map(|_| Arc::new(SharedInbox::new(options.inbox_max_bytes))).collect();
        let bus = Bus::new(inboxes.clone())
            .with_hook(options.files_taken_back.clone())
            .with_stored_hook(options.stored.clone());
        let bus = Arc::new(bus);
        let (tasks, failed) = (TaskTracker::new(), CancellationToken::new());
        let cluster = Cluster::of(&log, &bus, &options, metrics.cluster.clone(), &failed);
        let stopping = CancellationToken::new();
        if let Some(cluster) = &cluster {
            tasks.spawn(Arc::clone(cluster).run(stopping.clone()));
        }
        let (writer, writing) = LogWriter::new(
            Arc::clone(&log),
            Arc::clone(&bus),
            cluster.clone(),
            &options,
            metrics.appends.clone(),
            failed.clone(),
        );
        tasks.spawn(writing);
        let (marks, writing) = MarksWriter::new(Arc::clone(&log), &options, metrics.marks.clone());
        tasks.spawn(writing);
        let last_append_failed = writer.failing();
        let mut threads = Vec::with_capacity(count);
        for (index, inbox) in inboxes.iter().enumerate() {
            let parts = ShardParts {
                index,
                hub_id: hub_id(index, cluster.as_deref()),
                options: Arc::clone(&options),
                // Clients choose names, and must not know which of them collide.
                seed: Seed(RandomState::new().hash_one(0), RandomState::new().hash_one(1)),
                inbox: Arc::clone(inbox),
                bus: Arc::clone(&bus),
                cluster: cluster.clone(),
                writer: writer.clone(),
                marks: marks.clone(),
                log: Arc::clone(&log),
                service: Handle::current(),
                tasks: tasks.clone(),
                metrics: metrics.of_shard(index),
                failed: failed.clone(),
            };
            parts.metrics.drafts_max.set(options.hub.hub_unanswered_max as u64);
            threads.push(spawn(parts)?);
        }
        Ok(Self {
            inboxes,
            placing: RandomState::new(),
            sessions: Arc::default(),
            users: Arc::default(),
            threads: Mutex::new(threads),
            writer: Mutex::new(Some(writer)),
            followers: Arc::clone(bus.followers()),
            cluster,
            options,
            tasks,
            failed,
            stopping,
            metrics,
            last_append_failed,
        })
    }

    /// The metrics of the shards and of the log's writer.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Hands a socket over to the shard of its user. Once the shards were stopped, the
    /// socket is dropped.
    pub fn place(&self, arrival: Arrival) {
        let hash = self.placing.hash_one(&arrival.user);
        let index = hash as usize % self.inboxes.len();
        self.inboxes[index].push(Item::Other(Control::Arrival(arrival)));
    }

    /// The sessions of the sockets of all shards, and of sockets on their way to one.
    pub fn open_sessions(&self) -> &Arc<OpenSessions> {
        &self.sessions
    }

    /// Closes the sockets of sessions on all shards (4001). Resolves when nothing more
    /// will be written to them but the rest of a frame that is partly written, and the
    /// close frame.
    ///
    /// The sessions must have ended in the store before, so that no new socket of
    /// theirs is placed.
    pub async fn revoke(&self, sessions: &[SessionId]) {
        let sessions: Arc<[SessionId]> = self.sessions.only_open(sessions).into();
        if !sessions.is_empty() {
            let item = || Item::Revoke(Arc::clone(&sessions));
            self.ask_all(|answer| [item(), Item::Other(Control::AnswerAfterTurn(answer))]).await;
        }
    }

    /// The users of the sockets without a session on all shards, and of sockets on their way to
    /// one.
    pub fn open_users(&self) -> &Arc<OpenUsers> {
        &self.users
    }

    /// Closes the sockets of a user on all shards (4001), also those without a session.
    /// Resolves as [`revoke`](Self::revoke) does.
    ///
    /// The user must have been banned in the store before, so that no new socket is placed.
    pub async fn end_user(&self, user: &Username) {
        self.users.end(user);
        let item = || Item::EndUser(user.clone());
        self.ask_all(|answer| [item(), Item::Other(Control::AnswerAfterTurn(answer))]).await;
    }

    /// Tells the clients of a user, on all shards, whether the user is an administrator of the
    /// server from now on.
    pub fn role_changed(&self, user: &Username, is_administrator: bool) {
        for inbox in &self.inboxes {
            inbox.push(Item::Role(user.clone(), is_administrator));
        }
    }

    /// Renews a session on all shards until `good_until_ms`, in milliseconds since 1970.
    /// A socket that is still on its way is renewed when its shard takes it over.
    pub fn renew(&self, session: &SessionId, good_until_ms: u64) {
        if self.sessions.renew(session, good_until_ms) {
            for inbox in &self.inboxes {
                inbox.push(Item::Renew(session.clone(), good_until_ms));
            }
        }
    }

    /// Makes a change of a room or of its members, in the order of the messages of the room.
    /// Resolves when the change is in the inboxes of all shards.
    ///
    /// A change that the store may have made is repeated until its outcome is known, also
    /// if the caller does not wait for it any more.
    ///
    /// # Errors
    ///
    /// [`ChangeError::Refused`] if it may not be made. [`ChangeError::Unavailable`] if its
    /// outcome is not known in [`ShardOptions::change_timeout`], if too many changes wait, or
    /// once the shards are stopped.
    pub async fn change(&self, wanted: WantedChange) -> Result<(), ChangeError> {
        let writer = self.writer().clone().ok_or(ChangeError::Unavailable)?;
        let answered = writer.change(wanted);
        // The writer's tasks end when its last clone is dropped.
        drop(writer);
        let answered = tokio::time::timeout(self.options.change_timeout, answered).await;
        // The sender is dropped when the store does not answer and the server stops.
        let answer = answered.ok().and_then(Result::ok).ok_or(ChangeError::Unavailable)?;
        Ok(answer?)
    }

    /// Deletes messages of a user, by that user, wherever they are, in the order of the messages
    /// of their topics. Resolves when the deletions are in the inboxes that they concern.
    /// Messages that are deleted, or no longer kept, are passed over.
    ///
    /// # Errors
    ///
    /// [`ChangeError::Unavailable`] if it is not known that all are deleted: the caller repeats
    /// the call.
    pub async fn delete_messages(
        &self,
        user: &Username,
        messages: &[(Topic, u64)],
    ) -> Result<(), ChangeError> {
        let rules = ChangeRules { deletes_anywhere: true, ..ChangeRules::default() };
        let draft = |(topic, seq): &(Topic, u64)| Draft {
            id: DraftId(0),
            topic: topic.clone(),
            from: user.clone(),
            room: None,
            body: Body::Delete { target: *seq },
            files: Vec::new(),
            nonce: None,
            check: true,
            may_administer: false,
            by_server: false,
            refused: None,
            rules,
        };
        let receipts = self.append(messages.iter().map(draft).collect()).await?;
        let is_failed = |receipt: &Receipt| receipt.outcome == Outcome::Failed;
        if receipts.iter().any(is_failed) { Err(ChangeError::Unavailable) } else { Ok(()) }
    }

    /// Has drafts stored that come from no socket. Resolves when their entries are in the inboxes
    /// that they concern, with the receipts: in the order of the drafts, where all are of one topic.
    ///
    /// # Errors
    ///
    /// [`ChangeError::Unavailable`] if their outcome is not known in
    /// [`ShardOptions::change_timeout`], or once the shards are stopped.
    pub(crate) async fn append(&self, drafts: Vec<Draft>) -> Result<Vec<Receipt>, ChangeError> {
        let writer = self.writer().clone().ok_or(ChangeError::Unavailable)?;
        let answers = writer.call(drafts);
        // The writer's tasks end when its last clone is dropped.
        drop(writer);
        let end = tokio::time::Instant::now() + self.options.change_timeout;
        let mut receipts = Vec::new();
        for answer in answers {
            let answered = tokio::time::timeout_at(end, answer).await;
            receipts.extend(answered.ok().and_then(Result::ok).ok_or(ChangeError::Unavailable)?);
        }
        Ok(receipts)
    }

    /// The options of the hubs.
    pub(crate) fn hub_options(&self) -> &HubOptions {
        &self.options.hub
    }

    /// Follows a topic from now on.
    pub(crate) fn follow(&self, topic: Topic, max_bytes: usize) -> Entries {
        self.followers.follow(topic, max_bytes)
    }

    /// Has all shards drop the recent frames that the log no longer keeps: for each
    /// topic, `topics` has the oldest number that it keeps. Before, the hook is told which files
    /// went with the messages.
    pub fn trimmed(&self, topics: Vec<(Topic, u64)>, files: &[FileId]) {
        self.options.files_taken_back.call(files);
        if !topics.is_empty() {
            let topics: Arc<[(Topic, u64)]> = topics.into();
            for inbox in &self.inboxes {
                inbox.push(Item::Trimmed(Arc::clone(&topics)));
            }
        }
    }

    /// The rooms in use on all shards and all servers, in no order.
    pub async fn rooms(&self) -> Vec<RoomInUse> {
        let mut rooms: Vec<RoomInUse> = {
            let rooms = self.ask_all(|answer| [Item::Other(Control::Rooms(answer))]).await;
            rooms.into_iter().flatten().collect()
        };
        // A user is on one shard only, so that the counts add up.
        rooms.sort_by(|one, other| one.name.cmp(&other.name));
        rooms.dedup_by(|next, kept| {
            let same = next.name == kept.name;
            if same {
                kept.online += next.online;
                // A shard that knows the room from the store is right.
                kept.is_new &= next.is_new;
            }
            same
        });
        if self.cluster.as_ref().is_some_and(|cluster| cluster.has_others()) {
            self.count_everywhere(&mut rooms).await;
        }
        rooms
    }

    /// Counts the users of other servers, too.
    async fn count_everywhere(&self, rooms: &mut Vec<RoomInUse>) {
        let (sender, everywhere) = oneshot::channel();
        self.inboxes[0].push(Item::Other(Control::RoomsEverywhere(sender)));
        let Ok(mut everywhere) = everywhere.await else { return };
        for room in &mut *rooms {
            room.online = everywhere.remove(&room.name).unwrap_or(0).max(room.online);
        }
        // A room that only users of another server have opened, and nobody has joined for good, is
        // listed there.
        rooms.extend(everywhere.into_iter().map(|(name, online)| RoomInUse { name, online, is_new: false }));
    }

    /// The users who have a connection to one of the shards, and those of other servers who are in a
    /// room.
    pub async fn online_users(&self) -> HashSet<Username> {
        let users = self.ask_all(|answer| [Item::Other(Control::OnlineUsers(answer))]).await;
        users.into_iter().flatten().collect()
    }

    /// Whether the last batch of a lane of the log failed. It stays so until a batch of
    /// that lane is stored.
    pub fn last_append_failed(&self) -> bool {
        self.last_append_failed.load(Ordering::Relaxed) > 0
    }

    /// Why this server should get no new clients, as far as only its standing beside other servers
    /// tells.
    pub fn unready(&self) -> Option<ClusterFault> {
        self.cluster.as_ref()?.unready()
    }

    /// Resolves when a shard or the log's writer has panicked. Its users have no other
    /// shard, so the process should end and be started again; the log is the truth.
    pub async fn failed(&self) {
        self.failed.cancelled().await;
    }

    /// Closes all clients, each in its slot, and resolves when their sockets are gone.
    pub async fn drain(&self) {
        self.ask_all(|answer| [Item::Drain, Item::Other(Control::AnswerWhenDrained(answer))]).await;
    }

    /// Ends the threads and tasks, once everything that waits for the log is stored: drafts,
    /// changes and marks. Sockets that were not drained are cut off.
    pub async fn stop(&self) {
        for inbox in &self.inboxes {
            inbox.push(Item::Other(Control::Stop));
        }
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let joined = tokio::task::spawn_blocking(move || {
            for thread in threads {
                if thread.join().is_err() {
                    tracing::error!("a shard has panicked");
                }
            }
        });
        if joined.await.is_err() {
            tracing::error!("the threads of the shards could not be joined");
        }
        self.writer().take();
        self.stopping.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.followers.end();
    }

    fn writer(&self) -> MutexGuard<'_, Option<LogWriter>> {
        // Nothing panics while it is locked.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pushes items with the sender of an answer to each shard, and collects the answers
    /// of the shards that still run.
    async fn ask_all<T, const N: usize>(&self, items: impl Fn(oneshot::Sender<T>) -> [Item; N]) -> Vec<T> {
        let receivers: Vec<_> = self
            .inboxes
            .iter()
            .map(|inbox| {
                let (sender, receiver) = oneshot::channel();
                inbox.push_all(items(sender));
                receiver
            })
            .collect();
        let mut answers = Vec::with_capacity(receivers.len());
        for receiver in receivers {
            answers.extend(receiver.await);
        }
        answers
    }
}

/// The id of a shard's hub: that of no other hub, of no server on the same database.
fn hub_id(shard: usize, cluster: Option<&Cluster>) -> u32 {
    let alone = || u32::try_from(shard).expect("at most SHARDS_MAX");
    cluster.and_then(|cluster| cluster.hub_id(shard)).unwrap_or_else(alone)
}

impl Drop for Shards {
    fn drop(&mut self) {
        self.stopping.cancel();
        for inbox in &self.inboxes {
            inbox.push(Item::Other(Control::Stop));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use chat_core::{
        ChangeRefused, Commit, Conversations, Draft, Emoji, Memberships, MessagesFrom, Page, PageFrom,
        PageLimits, ReadState, RoomAccess, RoomChange, RoomInfo, RoomName, Topic, UserMark,
    };
    use chat_store::{MemoryStore, MessageReactions, StoreFuture};

    use super::*;

    /// A log that never answers a change.
    #[derive(Default)]
    struct Silent(MemoryStore);

    impl EventLog for Silent {
        fn change<'a>(
            &'a self,
            _wanted: &'a WantedChange,
            _now_ms: u64,
        ) -> StoreFuture<'a, Result<Vec<RoomChange>, ChangeRefused>> {
            Box::pin(std::future::pending())
        }

        fn append<'a>(&'a self, drafts: &'a [Draft], now_ms: u64) -> StoreFuture<'a, Commit> {
            self.0.append(drafts, now_ms)
        }

        fn page<'a>(&'a self, topic: &'a Topic, from: PageFrom, limits: PageLimits) -> StoreFuture<'a, Page> {
            self.0.page(topic, from, limits)
        }

        fn messages<'a>(
            &'a self,
            topic: &'a Topic,
            from: &'a MessagesFrom,
            limits: PageLimits,
        ) -> StoreFuture<'a, Page> {
            self.0.messages(topic, from, limits)
        }

        fn reactions<'a>(
            &'a self,
            topic: &'a Topic,
            seq: u64,
            user: &'a Username,
        ) -> StoreFuture<'a, Option<MessageReactions>> {
            self.0.reactions(topic, seq, user)
        }

        fn reactors<'a>(
            &'a self,
            topic: &'a Topic,
            seq: u64,
            emoji: &'a Emoji,
            after: u64,
            max: usize,
        ) -> StoreFuture<'a, Vec<(Username, u64)>> {
            self.0.reactors(topic, seq, emoji, after, max)
        }

        fn conversations<'a>(&'a self, user: &'a Username, limit: usize) -> StoreFuture<'a, Conversations> {
            self.0.conversations(user, limit)
        }

        fn memberships<'a>(
            &'a self,
            user: &'a Username,
            limit: usize,
            counted: usize,
        ) -> StoreFuture<'a, Memberships> {
            self.0.memberships(user, limit, counted)
        }

        fn access<'a>(&'a self, user: &'a Username, room: &'a RoomName) -> StoreFuture<'a, RoomAccess> {
            self.0.access(user, room)
        }

        fn tops<'a>(&'a self, rooms: &'a [RoomName]) -> StoreFuture<'a, Vec<u64>> {
            self.0.tops(rooms)
        }

        fn counts<'a>(
            &'a self,
            user: &'a Username,
            topic: &'a Topic,
            read: u64,
        ) -> StoreFuture<'a, ReadState> {
            self.0.counts(user, topic, read)
        }

        fn keep<'a>(&'a self, marks: &'a [UserMark]) -> StoreFuture<'a, ()> {
            self.0.keep(marks)
        }

        fn epoch(&self) -> &str {
            self.0.epoch()
        }

        fn check(&self) -> StoreFuture<'_, ()> {
            self.0.check()
        }
    }

    fn options() -> ShardOptions {
        ShardOptions { shards: NonZeroUsize::MIN, ..ShardOptions::default() }
    }

    fn create(by: &str) -> WantedChange {
        let room = RoomName::default();
        let by = Username::known(by).unwrap();
        WantedChange::Create { info: RoomInfo::opened(&room), room, members: Vec::new(), by }
    }

    #[tokio::test]
    async fn a_change_is_answered_and_after_a_stop_none_is_made() {
        let log = Arc::new(MemoryStore::default());
        let shards = Shards::start(options(), log.clone()).unwrap();
        assert_eq!(shards.change(create("alice")).await, Ok(()));
        assert_eq!(shards.change(create("bob")).await, Err(ChangeError::Refused(ChangeRefused::Exists)));
        let alice = Username::known("alice").unwrap();
        assert!(log.access(&alice, &RoomName::default()).await.unwrap().role.is_some());
        shards.stop().await;
        assert_eq!(shards.change(create("alice")).await, Err(ChangeError::Unavailable));
    }

    #[tokio::test(start_paused = true)]
    async fn the_caller_of_a_change_does_not_wait_for_ever() {
        let shards = Shards::start(options(), Arc::new(Silent::default())).unwrap();
        assert_eq!(shards.change(create("alice")).await, Err(ChangeError::Unavailable));
    }
}

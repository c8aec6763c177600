//! The writer of marks: one task that stores what users have read, and their levels.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chat_core::UserMark;
use chat_store::EventLog;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::causes::causes;
use crate::marks::{MARKS_MAX, Marks};
use crate::metrics::MarkMetrics;
use crate::options::ShardOptions;

/// A shard's way to the store for the marks of its users.
#[derive(Clone)]
pub(crate) struct MarksWriter {
    shared: Arc<Shared>,
    _handle: Arc<Handle>,
}

/// What the shards and the task share.
struct Shared {
    log: Arc<dyn EventLog>,
    /// Locked for each mark of a hub, of which there is one a second for a user and topic,
    /// and twice for each write.
    marks: Mutex<Marks>,
    /// A mark waits, or the writer ends.
    wake: Notify,
    /// The writer ends: its task does not wait for more marks.
    closing: Notify,
    /// The last handle is gone: no mark comes any more.
    closed: AtomicBool,
    every: Duration,
    write_timeout: Duration,
    metrics: MarkMetrics,
}

/// Ends the task when the last [`MarksWriter`] is dropped.
struct Handle(Arc<Shared>);

impl MarksWriter {
    /// The writer, and the future that writes until all its clones are dropped and
    /// all marks are stored, or the store has failed to take the last ones.
    pub(crate) fn new(
        log: Arc<dyn EventLog>,
        options: &ShardOptions,
        metrics: MarkMetrics,
    ) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let shared = Arc::new(Shared {
            log,
            marks: Mutex::new(Marks::new(MARKS_MAX)),
            wake: Notify::new(),
            closing: Notify::new(),
            closed: AtomicBool::new(false),
            every: options.marks_every,
            write_timeout: options.read_timeout,
            metrics,
        });
        let _handle = Arc::new(Handle(Arc::clone(&shared)));
        (Self { shared: Arc::clone(&shared), _handle }, write(shared))
    }

    /// Has a mark stored soon, see [`ShardOptions::marks_every`].
    pub(crate) fn keep(&self, mark: UserMark) {
        let Shared { wake, metrics, .. } = &*self.shared;
        let mut marks = self.shared.marks();
        let (was_empty, dropped) = (marks.is_empty(), marks.dropped());
        marks.add(mark);
        metrics.dropped.inc_by(marks.dropped() - dropped);
        drop(marks);
        if was_empty {
            wake.notify_one();
        }
    }
}

/// Stores marks until the writer is closed.
async fn write(shared: Arc<Shared>) {
    let mut is_failing = false;
    loop {
        let is_closed = shared.closed.load(Ordering::Acquire);
        if shared.marks().is_empty() {
            if is_closed {
                return;
            }
            shared.wake.notified().await;
        }
        if !is_closed {
            let pause = if is_failing { RETRY_PAUSE.max(shared.every) } else { shared.every };
            // Marks that come in this time are stored with the first one.
            let _ = timeout(pause, shared.closing.notified()).await;
        }
        is_failing = !shared.write_all(is_failing).await;
        if is_failing && is_closed {
            let marks = shared.marks().len();
            shared.metrics.dropped.inc_by(marks as u64);
            tracing::warn!(marks, "what users have read last could not be stored");
            return;
        }
    }
}

/// The pause after marks could not be stored.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Marks that are stored in one transaction, which takes some milliseconds.
const MARKS_AT_ONCE: usize = 500;

impl Shared {
    /// Stores all marks that wait, and returns whether the store took them.
    async fn write_all(&self, was_failing: bool) -> bool {
        let Self { log, metrics, .. } = self;
        loop {
            let marks = self.marks().take(MARKS_AT_ONCE);
            if marks.is_empty() {
                return true;
            }
            let error = match timeout(self.write_timeout, log.keep(&marks)).await {
                Ok(Ok(())) => {
                    metrics.kept.inc_by(marks.len() as u64);
                    if was_failing {
                        tracing::info!("what users have read is stored again");
                    }
                    continue;
                }
                Ok(Err(error)) => causes(&error),
                Err(_) => "the store does not answer".to_owned(),
            };
            metrics.failures.inc();
            if !was_failing {
                tracing::error!(error, marks = marks.len(), "what users have read could not be stored");
            }
            let mut waiting = self.marks();
            let dropped = waiting.dropped();
            waiting.put_back(marks);
            metrics.dropped.inc_by(waiting.dropped() - dropped);
            return false;
        }
    }

    fn marks(&self) -> MutexGuard<'_, Marks> {
        // A panic inside leaves at worst a mark that is not stored.
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.closed.store(true, Ordering::Release);
        self.0.wake.notify_one();
        self.0.closing.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use chat_core::{
        ChangeRefused, Commit, Conversations, Draft, Emoji, Memberships, MessagesFrom, Page, PageFrom,
        PageLimits, ReadState, RoomAccess, RoomChange, RoomName, Topic, Username, WantedChange,
    };
    use chat_store::{MemoryStore, MessageReactions, StoreError, StoreFuture};
    use tokio::time::Instant;

    use super::*;

    /// A log whose first writes of marks fail.
    #[derive(Default)]
    struct Log {
        memory: MemoryStore,
        failures_left: AtomicUsize,
        hangs: AtomicBool,
        writes: Mutex<Vec<Vec<u64>>>,
    }

    impl EventLog for Log {
        fn keep<'a>(&'a self, marks: &'a [UserMark]) -> StoreFuture<'a, ()> {
            Box::pin(async move {
                if self.hangs.load(Ordering::Relaxed) {
                    std::future::pending::<()>().await;
                }
                let left = self.failures_left.load(Ordering::Relaxed);
                if left > 0 {
                    self.failures_left.store(left - 1, Ordering::Relaxed);
                    return Err(StoreError::Unavailable { source: "disk on fire".into() });
                }
                self.writes.lock().unwrap().push(marks.iter().filter_map(|mark| mark.read).collect());
                Ok(())
            })
        }

        fn append<'a>(&'a self, drafts: &'a [Draft], now_ms: u64) -> StoreFuture<'a, Commit> {
            self.memory.append(drafts, now_ms)
        }

        fn page<'a>(&'a self, topic: &'a Topic, from: PageFrom, limits: PageLimits) -> StoreFuture<'a, Page> {
            self.memory.page(topic, from, limits)
        }

        fn messages<'a>(
            &'a self,
            topic: &'a Topic,
            from: &'a MessagesFrom,
            limits: PageLimits,
        ) -> StoreFuture<'a, Page> {
            self.memory.messages(topic, from, limits)
        }

        fn reactions<'a>(
            &'a self,
            topic: &'a Topic,
            seq: u64,
            user: &'a Username,
        ) -> StoreFuture<'a, Option<MessageReactions>> {
            self.memory.reactions(topic, seq, user)
        }

        fn reactors<'a>(
            &'a self,
            topic: &'a Topic,
            seq: u64,
            emoji: &'a Emoji,
            after: u64,
            max: usize,
        ) -> StoreFuture<'a, Vec<(Username, u64)>> {
            self.memory.reactors(topic, seq, emoji, after, max)
        }

        fn conversations<'a>(&'a self, user: &'a Username, limit: usize) -> StoreFuture<'a, Conversations> {
            self.memory.conversations(user, limit)
        }

        fn change<'a>(
            &'a self,
            wanted: &'a WantedChange,
            now_ms: u64,
        ) -> StoreFuture<'a, Result<Vec<RoomChange>, ChangeRefused>> {
            self.memory.change(wanted, now_ms)
        }

        fn memberships<'a>(
            &'a self,
            user: &'a Username,
            limit: usize,
            counted: usize,
        ) -> StoreFuture<'a, Memberships> {
            self.memory.memberships(user, limit, counted)
        }

        fn access<'a>(&'a self, user: &'a Username, room: &'a RoomName) -> StoreFuture<'a, RoomAccess> {
            self.memory.access(user, room)
        }

        fn tops<'a>(&'a self, rooms: &'a [RoomName]) -> StoreFuture<'a, Vec<u64>> {
            self.memory.tops(rooms)
        }

        fn counts<'a>(
            &'a self,
            user: &'a Username,
            topic: &'a Topic,
            read: u64,
        ) -> StoreFuture<'a, ReadState> {
            self.memory.counts(user, topic, read)
        }

        fn epoch(&self) -> &str {
            self.memory.epoch()
        }

        fn check(&self) -> StoreFuture<'_, ()> {
            self.memory.check()
        }
    }

    struct Writing {
        log: Arc<Log>,
        writer: MarksWriter,
        metrics: MarkMetrics,
        task: tokio::task::JoinHandle<()>,
    }

    impl Writing {
        fn start() -> Self {
            let (log, metrics) = (Arc::new(Log::default()), MarkMetrics::default());
            let (writer, writing) = MarksWriter::new(log.clone(), &ShardOptions::default(), metrics.clone());
            Self { log, writer, metrics, task: tokio::spawn(writing) }
        }

        fn keep(&self, user: usize, read: u64) {
            let user = Username::known(&format!("user {user}")).unwrap();
            let topic = Topic::Room(RoomName::default());
            self.writer.keep(UserMark { user, topic, read: Some(read), level: None });
        }

        fn writes(&self) -> Vec<Vec<u64>> {
            self.log.writes.lock().unwrap().clone()
        }

        /// Ends the writer, and returns all writes.
        async fn end(self) -> Vec<Vec<u64>> {
            let Self { log, writer, task, .. } = self;
            drop(writer);
            task.await.unwrap();
            log.writes.lock().unwrap().clone()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_marks_of_a_moment_are_stored_together_within_a_second() {
        let writing = Writing::start();
        let started = Instant::now();
        writing.keep(1, 5);
        writing.keep(2, 7);
        writing.keep(1, 6);
        while writing.writes().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(started.elapsed() < Duration::from_secs(1));
        assert_eq!(writing.writes(), [[6, 7]]);
        // The next one is not stored at once either, nor forgotten.
        writing.keep(1, 8);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(writing.metrics.kept.get(), 3);
        assert_eq!(writing.end().await, [vec![6, 7], vec![8]]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_writer_that_is_closed_stores_what_waits_at_once() {
        let writing = Writing::start();
        for user in 0..MARKS_AT_ONCE + 1 {
            writing.keep(user, 1);
        }
        let started = Instant::now();
        let writes = writing.end().await;
        assert_eq!(writes.iter().map(Vec::len).collect::<Vec<_>>(), [MARKS_AT_ONCE, 1]);
        assert_eq!(started.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn marks_that_were_not_stored_are_stored_later() {
        let writing = Writing::start();
        writing.log.failures_left.store(2, Ordering::Relaxed);
        writing.keep(1, 5);
        tokio::time::sleep(Duration::from_secs(1)).await;
        writing.keep(1, 6);
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(writing.writes(), [[6]]);
        assert_eq!((writing.metrics.failures.get(), writing.metrics.dropped.get()), (2, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_hangs_does_not_hold_up_a_stop_for_long() {
        let writing = Writing::start();
        writing.log.hangs.store(true, Ordering::Relaxed);
        writing.keep(1, 5);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (metrics, started) = (writing.metrics.clone(), Instant::now());
        assert!(writing.end().await.is_empty());
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
        assert_eq!(metrics.dropped.get(), 1);
    }
}

//! The other servers on the same database: what they commit reaches the shards of this one, and the
//! other way round. The rules are in `chat_cluster`; this performs what they ask for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chat_cluster::{
    Delivery, Incarnation, Lane, Output, Peers, PeersOptions, Point, Record, Sequencer, SequencerOptions,
};
use chat_core::{Commit, RoomChange};
use chat_store::{EventLog, FEED_BEAT_MS, FEED_KEPT_MS, Feed};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::alarm::Alarm;
use crate::bus::Bus;
use crate::causes::causes;
use crate::clock::now_ms;
use crate::routing::{Origins, retried};

/// This server among those on its database.
///
/// Lanes hand their commits over here. With one server, or where nothing is missing, a commit goes
/// on to the bus in the same call.
pub(crate) struct Cluster {
    log: Arc<dyn EventLog>,
    bus: Arc<Bus>,
    started: Instant,
    state: Mutex<State>,
    /// The feed is to be read before it is due.
    wake: Notify,
    /// Cancelled where this server must start afresh.
    failed: CancellationToken,
}

struct State {
    own: Incarnation,
    sequencer: Sequencer,
    peers: Peers,
    /// Own commits whose receipts are not given out.
    answers: BTreeMap<Point, Answers>,
    /// The changes of rooms of commits that were read and are not taken yet.
    changes: BTreeMap<Point, Vec<RoomChange>>,
    is_read_wanted: bool,
}

struct Answers {
    commit: Commit,
    origins: Origins,
}

impl Cluster {
    /// This server in the cluster of a log's database; `None` if the database can have one server
    /// only.
    pub(crate) fn of(
        log: &Arc<dyn EventLog>,
        bus: &Arc<Bus>,
        failed: &CancellationToken,
    ) -> Option<Arc<Self>> {
        let feed = log.feed()?;
        let own = feed.incarnation();
        let options = SequencerOptions { retention_ms: FEED_KEPT_MS, ..SequencerOptions::default() };
        let state = State {
            own,
            sequencer: Sequencer::new(own, feed.start(), options),
            peers: Peers::new(0, own, PeersOptions::default()),
            answers: BTreeMap::new(),
            changes: BTreeMap::new(),
            is_read_wanted: false,
        };
        Some(Arc::new(Self {
            log: Arc::clone(log),
            bus: Arc::clone(bus),
            started: Instant::now(),
            state: Mutex::new(state),
            wake: Notify::new(),
            failed: failed.clone(),
        }))
    }

    /// The id of the hub of a shard: no hub of another server has it.
    pub(crate) fn hub_id(&self, shard: usize) -> Option<u32> {
        self.state().own.hub_id(u32::try_from(shard).ok()?)
    }

    /// Takes a commit of a lane of this server. The shards get what they may have of it by now, and
    /// the rest later.
    pub(crate) fn commit(&self, record: Record, commit: Commit, origins: Origins) {
        self.bus.take_back(&commit.files_taken_back);
        let has_duplicates = retried(&commit.receipts, now_ms()).next().is_some();
        let mut state = self.state();
        let (at, parts) = (record.at, record.parts.len());
        state.sequencer.commit(self.clock_ms(), record, has_duplicates);
        let outputs = state.outputs();
        if let [Output::Deliver(delivery), Output::Settled(settled)] = &*outputs
            && (delivery.at, *settled, delivery.parts.len()) == (at, at, parts)
        {
            return self.bus.publish(&commit, &origins);
        }
        let entries = commit.entries.clone();
        state.answers.insert(at, Answers { commit, origins });
        self.perform(&mut state, outputs);
        drop(state);
        self.bus.stored(&entries);
    }

    /// The time of new entries, in milliseconds since 1970 (UTC): that of the database's clock, so
    /// that all servers have one.
    pub(crate) fn now_ms(&self) -> u64 {
        self.log.feed().map_or_else(now_ms, |feed| feed.now_ms())
    }

    /// Reads what the other servers commit, until `stopping`.
    pub(crate) async fn run(self: Arc<Self>, stopping: CancellationToken) {
        let _alarm = Alarm(&self.failed);
        let Some(feed) = self.log.feed() else { return };
        tokio::select! {
            () = stopping.cancelled() => {}
            () = self.keep_reading(feed) => {}
        }
    }

    /// Reads the feed when it is due, and says that this server lives. Never resolves.
    async fn keep_reading(&self, feed: &dyn Feed) {
        let mut beat_due_ms = 0;
        loop {
            let now_ms = self.clock_ms();
            let (seen, next_ms) = {
                let mut state = self.state();
                state.sequencer.tick(now_ms);
                if state.peers.next_poll_ms(now_ms) <= now_ms {
                    state.peers.polled(now_ms);
                    state.sequencer.read_now();
                }
                let outputs = state.outputs();
                self.perform(&mut state, outputs);
                let is_wanted = std::mem::take(&mut state.is_read_wanted);
                let seen: Option<Vec<Point>> = is_wanted.then(|| state.sequencer.seen().collect());
                let poll_ms = state.peers.next_poll_ms(now_ms);
                (seen, state.sequencer.next_ms().map_or(poll_ms, |tick_ms| tick_ms.min(poll_ms)))
            };
            if beat_due_ms <= now_ms {
                beat_due_ms = now_ms + FEED_BEAT_MS;
                if let Err(error) = feed.beat().await {
                    tracing::debug!(error = %causes(&error), "this server could not tell the others that it lives");
                }
            }
            match seen {
                Some(seen) => self.read(feed, &seen).await,
                None => {
                    let due_ms = next_ms.min(beat_due_ms);
                    let due = self.started + Duration::from_millis(due_ms);
                    tokio::select! {
                        () = tokio::time::sleep_until(due) => {}
                        () = self.wake.notified() => {}
                    }
                }
            }
        }
    }

    async fn read(&self, feed: &dyn Feed, seen: &[Point]) {
        let read = feed.after(seen).await;
        let now_ms = self.clock_ms();
        let mut state = self.state();
        match read {
            Ok(read) if read.epoch != self.log.epoch() => {
                tracing::error!(
                    "the numbers of the database have started anew: this server must start again"
                );
                return self.failed.cancel();
            }
            Ok(read) => {
                state.peers.rows(now_ms, &read.servers);
                state.changes.extend(read.changes);
                state.sequencer.feed(now_ms, read.page);
            }
            Err(error) => {
                tracing::debug!(error = %causes(&error), "the feed could not be read");
                state.sequencer.feed_failed(now_ms);
            }
        }
        let outputs = state.outputs();
        self.perform(&mut state, outputs);
        state.forget_changes();
    }

    /// Performs what the sequencer asks for. The state stays locked meanwhile: what two lanes commit
    /// is in the same order in all inboxes.
    fn perform(&self, state: &mut State, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Deliver(delivery) => self.deliver(state, delivery),
                Output::Settled(at) => {
                    // Of what is no batch, there are none.
                    if let Some(Answers { commit, origins }) = state.answers.remove(&at) {
                        self.bus.answer(&commit, &origins);
                        self.bus.publish_retried(&commit, now_ms());
                    }
                }
                Output::ReadFeed => {
                    state.is_read_wanted = true;
                    self.wake.notify_one();
                }
                Output::Behind => {
                    tracing::error!(
                        "this server has not read what the others have stored for too long: it must start again"
                    );
                    self.failed.cancel();
                }
            }
        }
    }

    fn deliver(&self, state: &mut State, delivery: Delivery) {
        let Delivery { at, parts, controls } = delivery;
        let read = state.changes.remove(&at).unwrap_or_default();
        let changes = match state.answers.get_mut(&at) {
            _ if controls.is_empty() => Vec::new(),
            Some(own) => std::mem::take(&mut own.commit.changes),
            // A lane publishes the changes that it makes itself.
            None if at.writer.incarnation == state.own && at.writer.lane == Lane::CONTROL => Vec::new(),
            None => read,
        };
        let (mut entries, mut missed) = (Vec::new(), Vec::new());
        for part in &parts {
            match &part.entries {
                Some(its) => entries.extend(its.iter().cloned()),
                None => missed.push(part.missed()),
            }
        }
        self.bus.deliver(changes, entries);
        missed.iter().for_each(|missed| self.bus.miss(missed));
    }

    /// Milliseconds since this was made.
    fn clock_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic inside ends the server.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// What the sequencer asks for now.
    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.sequencer.next_output()).collect()
    }

    /// Forgets the changes of commits that are taken by now.
    fn forget_changes(&mut self) {
        if !self.changes.is_empty() {
            let seen: BTreeMap<_, _> = self.sequencer.seen().map(|point| (point.writer, point.n)).collect();
            self.changes.retain(|at, _| seen.get(&at.writer).is_none_or(|seen| at.n > *seen));
        }
    }
}

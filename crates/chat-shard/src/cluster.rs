//! The other servers on the same database: what they commit reaches the shards of this one, and the
//! other way round. The rules are in `chat_cluster`; this performs what they ask for.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chat_cluster::{
    BUS_FORMAT, BusEvent, ClockStanding, Delivery, Heartbeat, Incarnation, Key, Lane, Message, Opened,
    Output, OwnPresence, Peers, PeersOptions, Point, Record, Roster, RosterOptions, RosterOutput, Sequencer,
    SequencerOptions, Standing, Writer, decode, encode,
};
use chat_core::{Commit, PresenceChange, RoomChange, Topic, TypingChange, UserMark, Withheld};
use chat_store::{EventLog, FEED_BEAT_MS, FEED_KEPT_MS, Feed};
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::alarm::Alarm;
use crate::bus::Bus;
use crate::causes::causes;
use crate::clock::now_ms as wall_ms;
use crate::metrics::ClusterMetrics;
use crate::options::ShardOptions;
use crate::routing::{Origins, retried};
use crate::server_bus::ServerBus;
use crate::shared_inbox::Item;

/// This server among those on its database.
///
/// Lanes hand their commits over here. With one server, or where nothing is missing, a commit goes
/// on to the bus in the same call.
pub(crate) struct Cluster {
    log: Arc<dyn EventLog>,
    /// The way to the shards of this server.
    bus: Arc<Bus>,
    /// The way to the other servers, beside the feed.
    server_bus: Option<ServerBus>,
    /// What goes through the database is signed without a secret: who writes there is a server.
    database_key: Key,
    metrics: ClusterMetrics,
    started: Instant,
    own: Incarnation,
    /// Users who have come to rooms of this server or left them since the other servers were told.
    presence_changes: Mutex<Vec<PresenceChange>>,
    /// Whether other servers live.
    has_others: AtomicBool,
    state: Mutex<State>,
    /// The feed is to be read before it is due.
    wake: Notify,
    /// Cancelled where this server must start afresh.
    failed: CancellationToken,
}

struct State {
    sequencer: Sequencer,
    peers: Peers,
    /// Own commits whose receipts are not given out.
    answers: BTreeMap<Point, Answers>,
    /// The changes of rooms of commits that were read and are not taken yet.
    changes: BTreeMap<Point, Vec<RoomChange>>,
    /// The changes that lanes make now.
    changing: BTreeMap<usize, OwnChange>,
    is_read_wanted: bool,
    /// The timeline of the last read.
    timeline: Option<u32>,
    /// Who is present on the other servers.
    roster: Roster,
    /// Another server has asked who is present here.
    is_snapshot_wanted: bool,
    /// Messages that go to the other servers through the database, at most `THROUGH_DATABASE_MAX`.
    through_database: VecDeque<Vec<u8>>,
    /// What the shards know of this server's standing, and what was said of its clock.
    standing: Standing,
    withheld: Withheld,
    clock: ClockStanding,
}

/// Why a server should get no new clients, though its store may work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClusterFault {
    /// It does not know what the other servers have stored lately.
    Database,
    /// Its clock is far from that of the database.
    Clock,
}

/// The ways of a message to the other servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ways {
    bus: bool,
    database: bool,
}

/// A change that a lane makes. The store may have made it for some time before the lane knows.
#[derive(Default)]
struct OwnChange {
    since_ms: u64,
    /// An answer is lost, or late: the shards get from the feed what the lane changes.
    is_doubtful: bool,
    /// The lane shows nothing more of it: the next read of the feed ends it.
    is_over: bool,
    /// What the feed has brought of the lane.
    read: Vec<RoomChange>,
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
        options: &ShardOptions,
        metrics: ClusterMetrics,
        failed: &CancellationToken,
    ) -> Option<Arc<Self>> {
        let feed = log.feed()?;
        let own = feed.incarnation();
        let of_sequencer = SequencerOptions { retention_ms: FEED_KEPT_MS, ..SequencerOptions::default() };
        let state = State {
            sequencer: Sequencer::new(own, feed.start(), of_sequencer),
            peers: Peers::new(0, own, PeersOptions::default()),
            answers: BTreeMap::new(),
            changes: BTreeMap::new(),
            changing: BTreeMap::new(),
            is_read_wanted: false,
            timeline: None,
            roster: Roster::new(own, RosterOptions::default()),
            is_snapshot_wanted: false,
            through_database: VecDeque::new(),
            standing: Standing::Fine,
            withheld: Withheld::Nothing,
            clock: ClockStanding::Fine,
        };
        let cluster = Arc::new(Self {
            log: Arc::clone(log),
            bus: Arc::clone(bus),
            server_bus: options.server_bus.clone(),
            database_key: Key::new(&[], log.epoch()),
            metrics,
            started: Instant::now(),
            own,
            presence_changes: Mutex::default(),
            has_others: AtomicBool::new(false),
            state: Mutex::new(state),
            wake: Notify::new(),
            failed: failed.clone(),
        });
        if let Some(ServerBus { bus, sink, .. }) = &cluster.server_bus {
            sink.connect(&cluster);
            // What it has told before went nowhere.
            if bus.is_up() {
                cluster.take_event(BusEvent::Up);
            }
        }
        Some(cluster)
    }

    /// The id of the hub of a shard: no hub of another server has it.
    pub(crate) fn hub_id(&self, shard: usize) -> Option<u32> {
        self.own.hub_id(u32::try_from(shard).ok()?)
    }

    /// A lane begins to store a batch: [`commit`](Self::commit), [`stored_nothing`](Self::stored_nothing)
    /// or [`gave_up`](Self::gave_up) follows.
    pub(crate) fn storing(&self, lane: usize) {
        self.state().sequencer.storing(numbered(lane));
    }

    /// There was nothing to commit in a lane's batch.
    pub(crate) fn stored_nothing(&self, lane: usize) {
        self.end_batch(|sequencer| sequencer.stored_nothing(numbered(lane)));
    }

    /// A lane does not know whether its batch is stored.
    pub(crate) fn gave_up(&self, lane: usize) {
        self.end_batch(|sequencer| sequencer.gave_up(numbered(lane)));
    }

    fn end_batch(&self, end: impl FnOnce(&mut Sequencer)) {
        let mut state = self.state();
        end(&mut state.sequencer);
        let outputs = state.outputs();
        self.perform(&mut state, outputs);
    }

    /// Takes a commit of a lane of this server. The shards get what they may have of it by now, and
    /// the rest later.
    pub(crate) fn commit(&self, record: Record, commit: Commit, origins: Origins) {
        self.bus.take_back(&commit.files_taken_back);
        let has_duplicates = retried(&commit.receipts, self.now_ms()).next().is_some();
        self.publish_record(&record);
        let mut state = self.state();
        self.stand_down(&mut state);
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

    /// Takes what another server has told.
    fn take_message(&self, state: &mut State, message: Message) {
        let now_ms = self.clock_ms();
        // What is in the first snapshot of an older server was so before this one started.
        let mut is_of_before = false;
        match message {
            // What has changed in rooms is in the feed only.
            Message::Record(record) if record.controls.is_empty() => state.sequencer.bus(now_ms, record),
            Message::Record(record) => state.sequencer.told(now_ms, record.at),
            Message::Heartbeat(beat) => {
                for &(lane, n) in &beat.newest {
                    state
                        .sequencer
                        .told(now_ms, Point { writer: Writer { incarnation: beat.from, lane }, n });
                }
                state.roster.heartbeat(now_ms, &beat);
            }
            Message::Delta(delta) => state.roster.delta(now_ms, delta),
            Message::Snapshot(part) => {
                is_of_before = part.from < self.own && !state.roster.knows(part.from);
                state.roster.snapshot(now_ms, part);
            }
            Message::AskSnapshot { to, .. } => state.is_snapshot_wanted |= to == self.own,
            Message::Typing { change, .. } => self.bus.typing_elsewhere(&change),
            Message::Mark { mark, .. } => self.bus.mark_elsewhere(&mark),
        }
        self.perform_roster(state, is_of_before);
    }

    /// Performs what the roster asks for.
    fn perform_roster(&self, state: &mut State, is_of_before: bool) {
        while let Some(output) = state.roster.next_output() {
            match output {
                RosterOutput::Change(change) if is_of_before => self.bus.present_elsewhere(&change),
                RosterOutput::Change(change) => self.bus.presence_elsewhere(&change),
                RosterOutput::HubLost(hub) => self.bus.hub_lost(hub),
                RosterOutput::AskSnapshot(to) => {
                    let message = Message::AskSnapshot { from: self.own, to };
                    let ways = self.ways(state, &message);
                    if let Some(bytes) = self.publish(ways, &message) {
                        self.queue_for_database(state, bytes);
                    }
                }
            }
        }
    }

    /// A lane begins to make a change, or repeats it: [`change_failed`](Self::change_failed),
    /// [`change_made`](Self::change_made) or [`change_refused`](Self::change_refused) follows.
    pub(crate) fn changing(&self, lane: usize) {
        let since_ms = self.clock_ms();
        let mut state = self.state();
        let change = state.changing.entry(lane).or_insert(OwnChange { since_ms, ..OwnChange::default() });
        change.is_over = false;
    }

    /// The store has failed: it may have made the change, which the lane repeats. If so, the feed brings
    /// it to the shards until then, as those who were removed get nothing of what others store.
    pub(crate) fn change_failed(&self, lane: usize) {
        self.doubt(&mut self.state(), |of, _| of == lane);
    }

    /// A lane has made its change, and shown it to the shards.
    pub(crate) fn change_made(&self, lane: usize) {
        self.state().changing.remove(&lane);
    }

    /// The store has refused a change, perhaps after an attempt whose answer was lost.
    pub(crate) fn change_refused(&self, lane: usize) {
        let mut state = self.state();
        self.doubt(&mut state, |of, _| of == lane);
        if let Some(change) = state.changing.get_mut(&lane) {
            change.is_over = true;
        }
    }

    /// Shows what the feed has brought of some lanes' changes, and will bring.
    fn doubt(&self, state: &mut State, is_meant: impl Fn(usize, &OwnChange) -> bool) {
        for (&lane, change) in &mut state.changing {
            if is_meant(lane, change) {
                change.is_doubtful = true;
                self.bus.deliver(std::mem::take(&mut change.read), Vec::new());
            }
        }
    }

    /// This server has changed rooms, which its lanes have shown to its shards: the other servers are
    /// told that they read it from the feed, once this one knows its number.
    pub(crate) fn changed(&self) {
        if self.server_bus.is_some() {
            let mut state = self.state();
            state.sequencer.read_now();
            let outputs = state.outputs();
            self.perform(&mut state, outputs);
        }
    }

    /// This server must start afresh.
    pub(crate) fn fail(&self) {
        self.failed.cancel();
    }

    /// The time of new entries, in milliseconds since 1970 (UTC): that of the database's clock, so
    /// that all servers have one.
    pub(crate) fn now_ms(&self) -> u64 {
        self.log.feed().map_or_else(wall_ms, |feed| feed.now_ms())
    }

    /// Reads what the other servers commit, and tells them of this one, until `stopping`.
    pub(crate) async fn run(self: Arc<Self>, stopping: CancellationToken) {
        let _alarm = Alarm(&self.failed);
        let Some(feed) = self.log.feed() else { return };
        tokio::select! {
            () = stopping.cancelled() => {}
            () = self.keep_reading(feed) => {}
            () = self.keep_telling() => {}
            () = self.keep_standing() => {}
        }
    }

    /// Tells the other servers of this one, also while the database does not answer. Never resolves.
    async fn keep_telling(&self) {
        let mut ticks = tokio::time::interval(TELL_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut own = OwnPresence::new(self.own);
        loop {
            ticks.tick().await;
            if let Some(server_bus) = &self.server_bus {
                self.metrics.count_bus(&server_bus.bus.counts());
                self.metrics.bus_up.set(u64::from(server_bus.bus.is_up()));
            }
            let changes = std::mem::take(&mut *self.presence_changes());
            changes.into_iter().for_each(|change| own.change(change));
            while let Some(delta) = own.next_delta() {
                self.tell(&Message::Delta(delta));
            }
            let is_snapshot_wanted = std::mem::take(&mut self.state().is_snapshot_wanted);
            if is_snapshot_wanted {
                for part in own.snapshot(wall_ms() / 1000) {
                    self.tell(&Message::Snapshot(part));
                    // There may be many.
                    tokio::task::yield_now().await;
                }
            }
            let beat = self.state().next_heartbeat(self.clock_ms(), self.own, own.state());
            if let Some(beat) = beat {
                self.tell(&Message::Heartbeat(beat));
            }
        }
    }

    /// Tells the other servers something. It is encoded while nothing is locked: parts of snapshots are
    /// large.
    fn tell(&self, message: &Message) {
        let ways = self.ways(&self.state(), message);
        if let Some(bytes) = self.publish(ways, message) {
            self.queue_for_database(&mut self.state(), bytes);
        }
    }

    /// Which way a message goes to the other servers: over the bus while it is healthy, and else
    /// through the database; heartbeats over both then. While there are no others, nobody is told.
    fn ways(&self, state: &State, message: &Message) -> Ways {
        if state.peers.others() == 0 {
            return Ways { bus: false, database: false };
        }
        let is_up = self.server_bus.as_ref().is_some_and(|server_bus| server_bus.bus.is_up());
        let is_healthy = is_up && state.peers.is_bus_healthy(self.clock_ms());
        // By heartbeats the servers learn that the bus reaches all of them again.
        let bus = is_healthy || (is_up && matches!(message, Message::Heartbeat(_)));
        let is_for_now = matches!(message, Message::Typing { .. } | Message::Mark { .. });
        // Messages about presence go first: one that is lost causes a whole snapshot.
        let has_room = !is_for_now || state.through_database.len() < FOR_NOW_MAX;
        Ways { bus, database: !is_healthy && has_room }
    }

    /// Publishes a message on the bus, if that is a way of it. Returns its bytes, if it goes through
    /// the database.
    fn publish(&self, ways: Ways, message: &Message) -> Option<Vec<u8>> {
        if let Some(server_bus) = self.server_bus.as_ref().filter(|_| ways.bus) {
            server_bus.publish(message);
        }
        ways.database.then(|| encode(message, &self.database_key))
    }

    /// Has a message go through the database soon.
    fn queue_for_database(&self, state: &mut State, message: Vec<u8>) {
        if state.through_database.len() >= THROUGH_DATABASE_MAX {
            // What is lost is noticed by the numbers of deltas.
            state.through_database.pop_front();
        }
        state.through_database.push_back(message);
        self.wake.notify_one();
    }

    /// A client of this server has come to a room or left it.
    pub(crate) fn presence(&self, change: PresenceChange) {
        self.presence_changes().push(change);
    }

    /// A user of this server types, or no longer does.
    pub(crate) fn typing(&self, change: TypingChange) {
        if self.has_others() {
            self.tell(&Message::Typing { from: self.own, change });
        }
    }

    /// A user of this server has set a mark.
    pub(crate) fn mark(&self, mark: &UserMark) {
        if self.has_others() {
            self.tell(&Message::Mark { from: self.own, mark: mark.clone() });
        }
    }

    /// Whether other servers live, as of the last read of the feed.
    pub(crate) fn has_others(&self) -> bool {
        self.has_others.load(Ordering::Relaxed)
    }

    fn presence_changes(&self) -> MutexGuard<'_, Vec<PresenceChange>> {
        // Every change is whole in one statement.
        self.presence_changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes a commit of this server on the bus, if another server could hear it.
    fn publish_record(&self, record: &Record) {
        let Some(server_bus) = self.server_bus.as_ref().filter(|server_bus| server_bus.bus.is_up()) else {
            return;
        };
        if self.has_others() && self.state().peers.bus_format() >= BUS_FORMAT {
            server_bus.publish(&Message::Record(record.clone()));
        }
    }

    /// Takes an event of the bus.
    pub(crate) fn take_event(&self, event: BusEvent) {
        let _alarm = Alarm(&self.failed);
        let Some(server_bus) = &self.server_bus else { return };
        let opened = match event {
            BusEvent::Message(bytes) => match decode(&bytes, &server_bus.key) {
                Ok(opened) => Some(opened),
                Err(error) => {
                    self.metrics.bus_refused.inc();
                    return tracing::debug!(%error, "a message on the bus was ignored");
                }
            },
            BusEvent::Up | BusEvent::Down => {
                let mut state = self.state();
                state.peers.bus(self.clock_ms(), event == BusEvent::Up);
                None
            }
            BusEvent::Missed => None,
        };
        let mut state = self.state();
        let now_ms = self.clock_ms();
        match opened {
            Some(Opened::Message(message)) => {
                state.peers.heard(now_ms, message.from());
                self.take_message(&mut state, message);
            }
            Some(Opened::Told(at)) => state.sequencer.told(now_ms, at),
            Some(Opened::Unknown) | None => state.sequencer.read_now(),
        }
        let outputs = state.outputs();
        self.perform(&mut state, outputs);
        if state.sequencer.next_ms().is_some() {
            // The feed is read sooner than the task thinks, unless what is missing comes.
            self.wake.notify_one();
        }
    }

    /// Reads the feed when it is due, and says that this server lives. Never resolves.
    async fn keep_reading(&self, feed: &dyn Feed) {
        let mut beat_due_ms = 0;
        loop {
            let now_ms = self.clock_ms();
            let (is_wanted, next_ms) = {
                let mut state = self.state();
                state.sequencer.tick(now_ms);
                if state.peers.next_poll_ms(now_ms) <= now_ms {
                    state.peers.polled(now_ms);
                    state.sequencer.read_now();
                }
                let outputs = state.outputs();
                self.perform(&mut state, outputs);
                let is_wanted = std::mem::take(&mut state.is_read_wanted);
                let poll_ms = state.peers.next_poll_ms(now_ms);
                (is_wanted, state.sequencer.next_ms().map_or(poll_ms, |tick_ms| tick_ms.min(poll_ms)))
            };
            if is_wanted {
                // What is seen by now, and nothing older: after a failover, all of it is looked for.
                let seen: Vec<Point> = self.state().sequencer.seen().collect();
                self.read(feed, &seen).await;
            }
            if beat_due_ms <= now_ms {
                beat_due_ms = now_ms + FEED_BEAT_MS;
                if let Err(error) = feed.beat().await {
                    tracing::debug!(error = %causes(&error), "this server could not tell the others that it lives");
                }
            }
            self.tell_through_database(feed).await;
            if !is_wanted {
                let due_ms = next_ms.min(beat_due_ms);
                let due = self.started + Duration::from_millis(due_ms);
                tokio::select! {
                    () = tokio::time::sleep_until(due) => {}
                    () = self.wake.notified() => {}
                }
            }
        }
    }

    /// Tells the other servers what waits to go through the database.
    async fn tell_through_database(&self, feed: &dyn Feed) {
        loop {
            let messages: Vec<Vec<u8>> = {
                let waiting = &mut self.state().through_database;
                let count = waiting.len().min(TOLD_AT_ONCE);
                waiting.drain(..count).collect()
            };
            if messages.is_empty() {
                return;
            }
            if let Err(error) = feed.tell(&messages).await {
                tracing::debug!(error = %causes(&error), "the other servers could not be told");
                return;
            }
        }
    }

    async fn read(&self, feed: &dyn Feed, seen: &[Point]) {
        let asked_ms = self.clock_ms();
        let is_over = |(&lane, change): (&usize, &OwnChange)| change.is_over.then_some(lane);
        let over: Vec<usize> = self.state().changing.iter().filter_map(is_over).collect();
        let read = feed.after(seen).await;
        self.metrics.feed_reads.inc();
        let now_ms = self.clock_ms();
        let mut state = self.state();
        let mut messages = Vec::new();
        let is_answered = read.is_ok();
        match read {
            Ok(read) if read.epoch != self.log.epoch() => {
                tracing::error!(
                    "the numbers of the database have started anew: this server must start again"
                );
                return self.failed.cancel();
            }
            Ok(read) => {
                let told_before = state.newest_control();
                // Of a part, removals may be missing.
                if read.page.is_whole {
                    state.peers.rows(asked_ms, &read.servers);
                    self.metrics.other_servers.set(state.peers.others() as u64);
                    self.has_others.store(state.peers.others() > 0, Ordering::Relaxed);
                }
                state.roster.rows(now_ms, &read.servers);
                self.perform_roster(&mut state, false);
                self.compare_clocks(&mut state, feed.now_ms());
                state.changes.extend(read.changes);
                messages = read.messages;
                if state.timeline.replace(read.timeline).is_some_and(|before| before != read.timeline) {
                    state.sequencer.failed_over();
                }
                state.sequencer.feed(now_ms, read.page);
                if read.has_more_messages {
                    state.sequencer.read_now();
                }
                let told = state.newest_control();
                if let (Some(server_bus), true) = (&self.server_bus, told > told_before) {
                    server_bus.publish_control(self.own, told);
                }
            }
            Err(error) => {
                self.metrics.feed_read_failures.inc();
                tracing::debug!(error = %causes(&error), "the feed could not be read");
                state.sequencer.feed_failed(now_ms);
            }
        }
        for message in messages {
            if let Ok(Opened::Message(message)) = decode(&message, &self.database_key) {
                self.take_message(&mut state, message);
            }
        }
        let outputs = state.outputs();
        self.perform(&mut state, outputs);
        self.metrics.feed_waiting.set(state.sequencer.waiting_parts() as u64);
        state.forget_changes();
        // Removals that were read are in the inboxes by now.
        if is_answered {
            self.stand(&mut state);
            state.changing.retain(|lane, change| !change.is_over || !over.contains(lane));
        }
        self.doubt(&mut state, |_, change| change.since_ms + LATE_CHANGE_MS <= now_ms);
    }

    /// Whether this server should get no new clients, though its store may work.
    pub(crate) fn unready(&self) -> Option<ClusterFault> {
        let state = self.state();
        if state.peers.standing(self.clock_ms()) >= Standing::NotReady {
            return Some(ClusterFault::Database);
        }
        // Another server would take its clients.
        (state.clock == ClockStanding::FarOff && state.peers.others() > 0).then_some(ClusterFault::Clock)
    }

    /// Tells the shards when the database has not answered for too long. Never resolves.
    async fn keep_standing(&self) {
        loop {
            let next_ms = {
                let mut state = self.state();
                self.stand_down(&mut state);
                state.peers.next_standing_ms(self.clock_ms())
            };
            // Answers come meanwhile, mostly; otherwise, each of them puts it off.
            let due = match next_ms {
                Some(next_ms) => self.started + Duration::from_millis(next_ms),
                None => Instant::now() + STANDING_EVERY,
            };
            tokio::time::sleep_until(due).await;
        }
    }

    /// Tells the shards if this server may do less than before.
    fn stand_down(&self, state: &mut State) {
        let standing = state.peers.standing(self.clock_ms());
        if standing > state.standing || state.withheld(standing) > state.withheld {
            self.stand(state);
        }
    }

    /// Tells the shards what this server may do.
    fn stand(&self, state: &mut State) {
        let before = std::mem::replace(&mut state.standing, state.peers.standing(self.clock_ms()));
        let now = state.standing;
        let withheld = state.withheld(now);
        if std::mem::replace(&mut state.withheld, withheld) != withheld {
            self.bus.push_to_all(|| Item::Withhold(withheld));
        }
        if before == now {
            return;
        }
        match now {
            Standing::Fine => tracing::info!("what the other servers store is read again"),
            Standing::RemovalsUnknown => {
                tracing::warn!(
                    "what the other servers store is not read in time: messages of closed rooms wait"
                );
            }
            Standing::NotReady => tracing::error!("the database does not answer: this server is not ready"),
            Standing::CloseSockets => {
                tracing::error!("the database has not answered for long: this server closes all connections");
                self.bus.push_to_all(|| Item::CloseAll);
            }
        }
    }

    /// Says once when this server's clock has gone wrong, and once when it is right again.
    fn compare_clocks(&self, state: &mut State, db_ms: u64) {
        let own_ms = wall_ms();
        let before = std::mem::replace(&mut state.clock, state.peers.clock(own_ms, db_ms));
        if before == state.clock {
            return;
        }
        let ahead_ms = i128::from(own_ms) - i128::from(db_ms);
        match state.clock {
            ClockStanding::Fine => {
                tracing::info!("the clocks of this server and of the database agree again")
            }
            ClockStanding::Off => {
                tracing::warn!(ahead_ms, "the clocks of this server and of the database differ");
            }
            ClockStanding::FarOff => {
                tracing::error!(
                    ahead_ms,
                    "the clocks of this server and of the database differ: beside other servers, this one is not ready"
                );
            }
        }
    }

    /// Performs what the sequencer asks for. The state stays locked meanwhile: what two lanes commit
    /// is in the same order in all inboxes.
    fn perform(&self, state: &mut State, outputs: Vec<Output>) {
        self.stand_down(state);
        for output in outputs {
            match output {
                Output::Deliver(delivery) => self.deliver(state, delivery),
                Output::Settled(at) => {
                    // Of what is no batch, there are none.
                    if let Some(Answers { commit, origins }) = state.answers.remove(&at) {
                        self.bus.publish_retried(&commit, self.now_ms());
                        self.bus.answer(&commit, &origins);
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
            None if at.writer.incarnation == self.own && at.writer.lane == Lane::CONTROL => {
                self.own_changes(state, read)
            }
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

    /// Of changes of this server that the feed has brought, those that the shards get from there: a lane
    /// shows what it makes itself, once it knows.
    fn own_changes(&self, state: &mut State, changes: Vec<RoomChange>) -> Vec<RoomChange> {
        let mut shown = Vec::new();
        for change in changes {
            let lane = self.log.lane(&Topic::Room(change.room().clone()));
            match state.changing.get_mut(&lane) {
                Some(OwnChange { is_doubtful: true, .. }) => shown.push(change),
                Some(made) => made.read.push(change),
                None => {}
            }
        }
        shown
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

/// A lane of a log by its number, which a log bounds.
fn numbered(lane: usize) -> Lane {
    u16::try_from(lane).map_or(Lane::CONTROL, Lane)
}

/// The time after which a change may be made, and its answer lost.
const LATE_CHANGE_MS: u64 = 500;

/// How often a server that has done all that it does without its database looks whether that is over.
const STANDING_EVERY: Duration = Duration::from_secs(1);

impl State {
    /// What the sequencer asks for now.
    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.sequencer.next_output()).collect()
    }

    /// What the shards give out nothing of, with this standing.
    fn withheld(&self, standing: Standing) -> Withheld {
        standing.withheld(self.sequencer.is_waiting())
    }

    /// The newest commit of this server that was no batch, as far as it has read its own.
    fn newest_control(&self) -> u64 {
        let mut own = self.sequencer.own_seen();
        own.find(|at| at.writer.lane == Lane::CONTROL).map_or(0, |at| at.n)
    }

    /// The heartbeat that is due now.
    fn next_heartbeat(
        &mut self,
        now_ms: u64,
        from: Incarnation,
        (presence_counter, presence_checksum): (u64, u64),
    ) -> Option<Heartbeat> {
        let beat = self.peers.next_beat(now_ms)?;
        let newest = self.sequencer.own_seen().map(|at| (at.writer.lane, at.n)).collect();
        Some(Heartbeat { from, beat, newest, presence_counter, presence_checksum })
    }

    /// Forgets the changes of commits that are taken by now.
    fn forget_changes(&mut self) {
        if !self.changes.is_empty() {
            let seen: BTreeMap<_, _> = self.sequencer.seen().map(|point| (point.writer, point.n)).collect();
            self.changes.retain(|at, _| seen.get(&at.writer).is_none_or(|seen| at.n > *seen));
        }
    }
}

/// How often this server looks whether there is something to tell the others.
const TELL_EVERY: Duration = Duration::from_millis(250);
/// Messages that may wait to go through the database: a snapshot of half a million users in rooms.
const THROUGH_DATABASE_MAX: usize = 1_024;
/// Messages that may wait where one more says who types, or what a user has read on another device.
const FOR_NOW_MAX: usize = 64;
/// Messages that one statement takes.
const TOLD_AT_ONCE: usize = 16;

#[cfg(test)]
pub(crate) mod tests;

//! Failovers of the database that may lose its last commits: three servers with the real
//! [`Failover`] and [`Sequencer`]; the database, its standby and the bus are models. What a server
//! gives out stands for what its clients get: there are no hubs here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chat_client::Rng;
use chat_cluster::{
    Failover, FailoverOutput, FeedPage, FeedStart, Incarnation, Lane, Output, Part, Point, Record, Sequencer,
    SequencerOptions, ServerRow, Writer,
};
use chat_core::{Body, Entry, MessageText, RoomName, Topic};

use crate::oracle::{Check, ensure};
use crate::people::users;
use crate::planted::{Bug, in_cluster};
use crate::world::NODES;

/// One run.
pub(crate) struct Failovers {
    random: Rng,
    bug: Option<Bug>,
    now_ms: u64,
    calm_from_ms: u64,
    failovers: u64,
    database: Database,
    servers: Vec<Server>,
    bus: Vec<OnTheWay>,
    /// What clients got in each epoch under each number of each room.
    given: BTreeMap<(u64, u64, u64), u64>,
    /// The messages that were acknowledged, and in which epoch.
    acknowledged: BTreeMap<u64, u64>,
    /// The messages that a failover has lost.
    lost: BTreeMap<u64, Lost>,
    seen: BTreeMap<&'static str, u64>,
}

/// A message that a failover has lost.
#[derive(Clone, Copy)]
struct Lost {
    at: Point,
    /// The epoch in which it was stored.
    epoch: u64,
}

/// The database that answers now.
struct Database {
    timeline: u32,
    epoch: u64,
    /// The commits, in their order. Each is one message of the room of its lane.
    commits: Vec<Record>,
    /// How many of them its standby has.
    replicated: usize,
    /// The standby has each commit before it is acknowledged.
    is_synchronous: bool,
    table: BTreeMap<Incarnation, Row>,
    /// How many messages were ever stored: the newest one has this number as its text.
    messages: u64,
    out_until_ms: u64,
}

struct Row {
    written_ms: u64,
    has_left: bool,
    looked: u32,
    opened: u32,
}

/// A start of a server.
struct Server {
    own: Incarnation,
    epoch: u64,
    failover: Failover,
    sequencer: Sequencer,
    lanes: [LaneState; LANES],
    wants_read: bool,
    read: Option<Read>,
    polled_ms: u64,
    /// The timeline of the last answer.
    timeline: u32,
    /// Until then it is frozen …
    frozen_until_ms: u64,
    /// … or cut off from the database.
    cut_until_ms: u64,
    /// It was killed, and starts again from then on.
    down_until_ms: Option<u64>,
}

#[derive(Clone, Copy, Default)]
struct LaneState {
    /// The timeline on which it has a session.
    session: Option<u32>,
    /// The timeline of its transaction.
    transaction: Option<u32>,
    /// The number of its newest acknowledged commit.
    newest: u64,
}

/// A read of the feed that is under way.
struct Read {
    back_ms: u64,
    snapshot: Option<Snapshot>,
}

struct Snapshot {
    timeline: u32,
    epoch: u64,
    rows: Vec<ServerRow>,
    /// The database has all commits that the server had taken when it asked.
    are_all_there: bool,
    page: FeedPage,
}

/// A record on the bus.
struct OnTheWay {
    to: usize,
    epoch: u64,
    at_ms: u64,
    record: Record,
}

impl Database {
    fn newest(&self, writer: Writer) -> u64 {
        self.commits.iter().rev().find(|commit| commit.at.writer == writer).map_or(0, |commit| commit.at.n)
    }

    fn page(&self, sequencer: &Sequencer, now_ms: u64) -> FeedPage {
        let seen: BTreeMap<Writer, u64> = sequencer.seen().map(|at| (at.writer, at.n)).collect();
        let is_new = |at: Point| seen.get(&at.writer).is_none_or(|n| at.n > *n);
        let mut records: Vec<Record> =
            self.commits.iter().filter(|commit| is_new(commit.at)).cloned().collect();
        records.sort_by_key(|record| record.at);
        FeedPage { servers: self.table.keys().copied().collect(), records, is_whole: true, db_ms: now_ms }
    }

    fn rows(&self, now_ms: u64) -> Vec<ServerRow> {
        let row = |(&incarnation, row): (&Incarnation, &Row)| ServerRow {
            incarnation,
            age_ms: now_ms - row.written_ms,
            has_left: row.has_left,
            bus_format: chat_cluster::BUS_FORMAT,
            looked: row.looked,
            opened: row.opened,
        };
        self.table.iter().map(row).collect()
    }

    fn start(&mut self, now_ms: u64, bug: Option<Bug>) -> Server {
        let own = Incarnation::new(self.table.len() as u32 + 1).expect("there are few starts");
        let opened = if bug == Some(Bug::OpenUnproven) { self.timeline } else { 0 };
        self.table.insert(own, Row { written_ms: now_ms, has_left: false, looked: self.timeline, opened });
        let mut newest: BTreeMap<Writer, u64> = BTreeMap::new();
        for commit in &self.commits {
            newest.insert(commit.at.writer, commit.at.n);
        }
        let seen = newest.into_iter().map(|(writer, n)| Point { writer, n }).collect();
        let start = FeedStart { servers: self.table.keys().copied().collect(), seen, db_ms: now_ms };
        let epoch = self.epoch.to_string();
        let mut failover = in_cluster!(Failover::new(now_ms, own, self.timeline, &epoch), bug);
        failover.rows(now_ms, self.timeline, &epoch, &self.rows(now_ms));
        Server {
            own,
            epoch: self.epoch,
            failover,
            sequencer: Sequencer::new(own, &start, SequencerOptions::default()),
            lanes: [LaneState::default(); LANES],
            wants_read: false,
            read: None,
            polled_ms: now_ms,
            timeline: self.timeline,
            frozen_until_ms: 0,
            cut_until_ms: 0,
            down_until_ms: None,
        }
    }
}

impl Failovers {
    pub(crate) fn new(seed: u64, bug: Option<Bug>) -> Self {
        let mut random = Rng::for_part(seed, 1);
        let mut database = Database {
            timeline: 1,
            epoch: 1,
            commits: Vec::new(),
            replicated: 0,
            is_synchronous: random.chance(200),
            table: BTreeMap::new(),
            messages: 0,
            out_until_ms: 0,
        };
        let servers = (0..NODES).map(|_| database.start(0, bug)).collect();
        Self {
            calm_from_ms: random.between(500, FAULTS_MAX_MS),
            random,
            bug,
            now_ms: 0,
            failovers: 0,
            database,
            servers,
            bus: Vec::new(),
            given: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            lost: BTreeMap::new(),
            seen: BTreeMap::new(),
        }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Runs to the end. Returns how often each kind of thing was seen.
    ///
    /// # Errors
    ///
    /// The first check that fails, in a sentence.
    pub(crate) fn run(&mut self) -> Result<BTreeMap<&'static str, u64>, String> {
        let end_ms = self.calm_from_ms + HEALED_MS;
        while self.now_ms < end_ms {
            let is_calm = self.now_ms >= self.calm_from_ms;
            self.now_ms += self.random.between(5, 40);
            if !is_calm {
                self.fault();
            }
            self.replicate();
            self.carry()?;
            for server in 0..NODES {
                if let Some(until_ms) = self.servers[server].down_until_ms {
                    self.start_again(server, until_ms);
                    continue;
                }
                if self.now_ms < self.servers[server].frozen_until_ms {
                    continue;
                }
                self.take_answer(server)?;
                if self.random.chance(500) {
                    let lane = self.random.index(LANES);
                    self.go_on(server, lane)?;
                }
                self.read(server)?;
            }
        }
        self.check_the_end()?;
        Ok(std::mem::take(&mut self.seen))
    }

    fn count(&mut self, what: &'static str) {
        *self.seen.entry(what).or_insert(0) += 1;
    }

    // Faults.

    fn fault(&mut self) {
        if self.failovers < FAILOVERS_MAX && self.random.chance(20) {
            self.fail_over();
        }
        if self.random.chance(10) {
            let server = self.random.index(NODES);
            self.kill(server);
        }
        if self.random.chance(10) {
            let server = self.random.index(NODES);
            let until_ms = self.now_ms + self.random.between(50, AWAY_MAX_MS);
            let is_frozen = self.random.chance(500);
            let there = &mut self.servers[server];
            let last_ms = there.frozen_until_ms.max(there.cut_until_ms);
            // Others wait for a server that is away, but not for ever.
            if last_ms > 0 && self.now_ms < last_ms + AWAY_MAX_MS {
                return;
            }
            match is_frozen {
                true => there.frozen_until_ms = until_ms,
                false => there.cut_until_ms = until_ms,
            }
            self.count(if is_frozen { "frozen at a failover" } else { "cut off at a failover" });
        }
    }

    /// The standby takes over.
    fn fail_over(&mut self) {
        self.failovers += 1;
        let Database { commits, replicated, .. } = &mut self.database;
        let lost = commits.split_off(*replicated);
        self.count(if lost.is_empty() { "failover" } else { "failover lost commits" });
        for record in lost {
            self.lost.insert(message(&record), Lost { at: record.at, epoch: self.database.epoch });
        }
        self.forget_what_nobody_knows();
        self.database.timeline += 1;
        self.database.out_until_ms = self.now_ms + self.random.between(1, 1_000);
    }

    /// A server ends without a word. What it has on its way is gone, and its row stays.
    ///
    /// Not before it has looked on a new timeline: what it alone knows would be lost with it, while
    /// some of that is perhaps on its way to others that have looked.
    fn kill(&mut self, server: usize) {
        let down_ms = self.random.between(0, DOWN_MAX_MS);
        let there = &mut self.servers[server];
        let has_looked = there.failover.reported() == Some(self.database.timeline);
        if there.down_until_ms.is_none() && has_looked {
            there.down_until_ms = Some(self.now_ms + down_ms);
            let own = there.own;
            self.bus.retain(|on| on.record.at.writer.incarnation != own);
            self.count("killed at a failover");
        }
    }

    /// What no server knows that lives is lost without a trace. Its numbers may be given again.
    fn forget_what_nobody_knows(&mut self) {
        let epoch = self.database.epoch;
        let lives = |server: &&Server| server.down_until_ms.is_none() && server.epoch == epoch;
        let known: BTreeSet<Point> =
            self.servers.iter().filter(lives).flat_map(|server| server.sequencer.seen()).collect();
        let is_known = |at: Point| known.range(at..).next().is_some_and(|known| known.writer == at.writer);
        let lost = self.lost.iter().filter(|(_, lost)| lost.epoch == epoch && !is_known(lost.at));
        let untraced: BTreeSet<u64> = lost.map(|(&message, _)| message).collect();
        self.given.retain(|_, message| !untraced.contains(message));
        self.acknowledged.retain(|message, _| !untraced.contains(message));
    }

    fn replicate(&mut self) {
        let Database { commits, replicated, is_synchronous, .. } = &mut self.database;
        let behind = commits.len() - *replicated;
        if *is_synchronous {
            *replicated = commits.len();
        } else if self.random.chance(300) {
            *replicated += self.random.size(0, behind as u64);
        }
    }

    fn is_database_out_for(&self, server: usize) -> bool {
        self.now_ms < self.database.out_until_ms.max(self.servers[server].cut_until_ms)
    }

    // Servers.

    /// A lane begins a transaction, or ends it.
    fn go_on(&mut self, server: usize, lane: usize) -> Check {
        let now_ms = self.now_ms;
        let is_out = self.is_database_out_for(server);
        let timeline = self.database.timeline;
        let there = &mut self.servers[server];
        let state = &mut there.lanes[lane];
        if is_out || state.session.is_some_and(|session| session != timeline) {
            (state.session, state.transaction) = (None, None);
            return Ok(());
        }
        if state.transaction.take().is_some() {
            return self.commit(server, lane);
        }
        if state.session.is_none() {
            state.session = Some(timeline);
            there.failover.on_timeline(now_ms, timeline);
            let newest = Point { writer: writer(there.own, lane), n: state.newest };
            if newest.n > 0 && !self.database.commits.iter().any(|commit| commit.at == newest) {
                there.failover.missing(timeline);
            }
        }
        if there.failover.may_append(timeline) {
            state.transaction = Some(timeline);
        }
        Ok(())
    }

    fn commit(&mut self, server: usize, lane: usize) -> Check {
        let there = &mut self.servers[server];
        there.lanes[lane].newest += 1;
        let at = Point { writer: writer(there.own, lane), n: there.lanes[lane].newest };
        let database = &mut self.database;
        database.messages += 1;
        let topic = Topic::Room(RoomName::parse(&format!("room{lane}")).expect("a good name"));
        let before = database.commits.iter().rev().find(|commit| commit.at.writer.lane == at.writer.lane);
        let (seq, previous) = match before {
            Some(before) => (before.parts[0].last + 1, Some(before.at)),
            None => (1, None),
        };
        let entry = Entry {
            topic: topic.clone(),
            seq,
            from: users().next().expect("there are users"),
            room: None,
            body: Body::message(MessageText::stored(&database.messages.to_string())),
            at_ms: self.now_ms,
            nonce: None,
        };
        let part = Part { topic, first: seq, last: seq, previous, entries: Some([Arc::new(entry)].into()) };
        let record = Record { at, parts: vec![part], controls: Vec::new() };
        database.commits.push(record.clone());
        if database.is_synchronous {
            database.replicated = database.commits.len();
        }
        let (epoch, now_ms) = (there.epoch, self.now_ms);
        there.sequencer.commit(now_ms, record.clone(), false);
        for to in (0..NODES).filter(|to| *to != server) {
            if self.random.chance(700) {
                let at_ms = now_ms + self.random.between(1, 40);
                self.bus.push(OnTheWay { to, epoch, at_ms, record: record.clone() });
            }
        }
        self.acknowledged.insert(message(&record), epoch);
        self.perform(server)
    }

    /// Brings what has been on the bus for long enough.
    fn carry(&mut self) -> Check {
        let now_ms = self.now_ms;
        let all = std::mem::take(&mut self.bus).into_iter();
        let (arrived, later): (Vec<_>, Vec<_>) = all.partition(|on| on.at_ms <= now_ms);
        self.bus = later;
        for OnTheWay { to, epoch, record, .. } in arrived {
            let there = &mut self.servers[to];
            if there.down_until_ms.is_some() {
                continue;
            }
            if there.frozen_until_ms > now_ms {
                let at_ms = there.frozen_until_ms;
                self.bus.push(OnTheWay { to, epoch, at_ms, record });
            } else if there.epoch == epoch {
                there.sequencer.bus(now_ms, record);
                self.perform(to)?;
            }
        }
        Ok(())
    }

    /// Begins a read of the feed, if one is wanted or due.
    fn read(&mut self, server: usize) -> Check {
        let now_ms = self.now_ms;
        self.servers[server].sequencer.tick(now_ms);
        if self.servers[server].polled_ms + POLL_MS <= now_ms {
            self.servers[server].polled_ms = now_ms;
            self.servers[server].sequencer.read_now();
        }
        self.perform(server)?;
        if std::mem::take(&mut self.servers[server].wants_read) {
            let there = &self.servers[server];
            let has = |at: Point| self.database.newest(at.writer) >= at.n;
            let snapshot = (!self.is_database_out_for(server)).then(|| Snapshot {
                timeline: self.database.timeline,
                epoch: self.database.epoch,
                rows: self.database.rows(now_ms),
                are_all_there: there.sequencer.seen().all(has),
                page: self.database.page(&there.sequencer, now_ms),
            });
            let back_ms = now_ms + self.random.between(0, 30);
            self.servers[server].read = Some(Read { back_ms, snapshot });
        }
        Ok(())
    }

    fn take_answer(&mut self, server: usize) -> Check {
        let now_ms = self.now_ms;
        let is_out = self.is_database_out_for(server);
        let Some(Read { snapshot, .. }) = self.servers[server].read.take_if(|read| read.back_ms <= now_ms)
        else {
            return Ok(());
        };
        let there = &mut self.servers[server];
        // A session of before a failover is gone.
        let snapshot = snapshot.filter(|of| of.timeline == self.database.timeline);
        let Some(Snapshot { timeline, epoch, rows, are_all_there, page }) = snapshot else {
            there.sequencer.feed_failed(now_ms);
            return self.perform(server);
        };
        there.failover.rows(now_ms, timeline, &epoch.to_string(), &rows);
        there.failover.looked(timeline, Some(are_all_there));
        while let Some(output) = self.servers[server].failover.next_output() {
            match output {
                // The read has looked, and the row is written below.
                FailoverOutput::Look { .. } | FailoverOutput::Report { .. } => {}
                FailoverOutput::EndEpoch { .. } if is_out => {}
                FailoverOutput::EndEpoch { epoch } => self.end_epoch(&epoch)?,
                FailoverOutput::Restart => return self.restart(server),
            }
        }
        let there = &mut self.servers[server];
        if let (false, Some(row)) = (is_out, self.database.table.get_mut(&there.own)) {
            row.written_ms = now_ms;
            row.looked = there.failover.reported().unwrap_or(row.looked);
            if there.failover.may_append(timeline) {
                row.opened = timeline;
            }
        }
        if std::mem::replace(&mut there.timeline, timeline) != timeline {
            there.sequencer.failed_over();
        }
        there.sequencer.feed(now_ms, page);
        self.perform(server)
    }

    fn end_epoch(&mut self, epoch: &str) -> Check {
        let ended = self.database.epoch;
        if epoch == ended.to_string() {
            self.count("epoch ended");
            let mut known =
                self.given.iter().filter(|((of, ..), _)| *of == ended).map(|(_, message)| message);
            let is_one_lost = known.any(|message| self.lost.contains_key(message));
            ensure(is_one_lost, || format!("epoch {ended} ends, and nothing that was given out is lost"))?;
            self.database.epoch += 1;
        }
        Ok(())
    }

    /// A server that was killed starts again, if it is time and the database answers.
    fn start_again(&mut self, server: usize, until_ms: u64) {
        let now_ms = self.now_ms;
        if now_ms < until_ms || self.is_database_out_for(server) {
            return;
        }
        self.servers[server] = self.database.start(now_ms, self.bug);
        let timeline = self.database.timeline;
        let has_silent = self.database.table.values().any(|row| !row.has_left && row.looked != timeline);
        if has_silent {
            let is_open = self.servers[server].failover.may_append(timeline);
            self.count(if is_open { "a start behind an open barrier" } else { "a start that waits" });
        }
    }

    /// A server starts afresh.
    fn restart(&mut self, server: usize) -> Check {
        self.count("started afresh");
        let now_ms = self.now_ms;
        if let Some(row) = self.database.table.get_mut(&self.servers[server].own) {
            row.has_left = true;
        }
        self.servers[server] = self.database.start(now_ms, self.bug);
        Ok(())
    }

    fn perform(&mut self, server: usize) -> Check {
        while let Some(output) = self.servers[server].sequencer.next_output() {
            match output {
                Output::Deliver(delivery) => {
                    for entry in delivery.parts.iter().filter_map(|part| part.entries.as_deref()).flatten() {
                        self.give(server, u64::from(delivery.at.writer.lane.0), entry)?;
                    }
                }
                Output::Settled(_) => {}
                Output::ReadFeed => self.servers[server].wants_read = true,
                Output::Behind => return self.restart(server),
            }
        }
        Ok(())
    }

    // The oracle.

    /// Clients of a server get a message of a room.
    fn give(&mut self, server: usize, room: u64, entry: &Entry) -> Check {
        let epoch = self.servers[server].epoch;
        let message = entry.body.text().parse().expect("it was numbered");
        let before = *self.given.entry((epoch, room, entry.seq)).or_insert(message);
        ensure(before == message, || {
            format!(
                "server {server} gives out message {message} of room {room} with number {}, which is \
                 message {before} in epoch {epoch}",
                entry.seq
            )
        })?;
        let lost_in = self.lost.get(&message).map(|lost| lost.epoch);
        ensure(lost_in.is_none_or(|lost_in| lost_in >= epoch), || {
            format!(
                "server {server} gives out message {message} in epoch {epoch}: it was lost in {lost_in:?}"
            )
        })
    }

    fn check_the_end(&self) -> Check {
        let Database { epoch, timeline, commits, .. } = &self.database;
        for (message, of) in &self.acknowledged {
            ensure(of != epoch || !self.lost.contains_key(message), || {
                format!(
                    "message {message} was acknowledged in epoch {epoch}, which has not ended, and is lost"
                )
            })?;
        }
        for (number, server) in self.servers.iter().enumerate() {
            ensure(server.epoch == *epoch, || format!("server {number} is in epoch {}", server.epoch))?;
            ensure(server.failover.may_append(*timeline), || format!("server {number} still waits"))?;
            let seen: BTreeMap<Writer, u64> = server.sequencer.seen().map(|at| (at.writer, at.n)).collect();
            for commit in commits.iter().rev().skip(RECENT) {
                let has = seen.get(&commit.at.writer).is_some_and(|n| *n >= commit.at.n);
                ensure(has, || format!("server {number} lacks {:?}", commit.at))?;
            }
        }
        Ok(())
    }
}

fn writer(incarnation: Incarnation, lane: usize) -> Writer {
    Writer { incarnation, lane: Lane(lane as u16) }
}

/// The number of the message of a commit.
fn message(record: &Record) -> u64 {
    let entries = record.parts[0].entries.as_deref().unwrap_or_default();
    entries[0].body.text().parse().expect("it was numbered")
}

/// Lanes of each server: each writes to a room of its own.
const LANES: usize = 2;
const FAILOVERS_MAX: u64 = 3;
/// The longest time for which a server is frozen or cut off, in milliseconds. Others wait for it
/// during 5 s.
const AWAY_MAX_MS: u64 = 3_000;
/// The longest time with faults, in milliseconds: the servers wait for one that was killed before a failover for
/// five seconds, and others start after that.
const FAULTS_MAX_MS: u64 = 12_000;
/// The longest time for which a server that was killed is down, in milliseconds.
const DOWN_MAX_MS: u64 = 1_000;
/// The time after the last fault in which all servers are in service again, in milliseconds: one may
/// be away for three seconds then, and a row is fresh for five.
const HEALED_MS: u64 = 10_000;
/// The time between two polls of the feed, in milliseconds.
const POLL_MS: u64 = 25;
/// The newest commits that servers may lack at the end: they are on their way.
const RECENT: usize = 60;

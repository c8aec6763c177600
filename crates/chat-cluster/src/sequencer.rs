//! The order in which a server's hubs get the commits of all servers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chat_core::Topic;

use crate::planted::{Planted, can_be_planted, planted};
use crate::{Control, Incarnation, Lane, Part, Point, Record, Writer};

/// Brings the records of all writers into an order that the hubs of one server may get.
///
/// It promises, whatever the bus does:
///
/// - Each commit is delivered once, and those of one writer in their order.
/// - The entries of a private conversation are delivered in the order of their numbers, without a
///   gap from the first one on. Those of a room are never held back for others of the room.
/// - The receipts of an own commit are [`Settled`](Output::Settled) after all of its entries are
///   delivered, and those of one lane in the order of its commits.
///
/// What waits for other records waits 10 ms, as the bus may have reordered them, and then has the
/// feed read. It is bounded ([`SequencerOptions`]): a record beyond the bound is dropped, and
/// read from the feed again, which holds everything.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Sequencer {
    own: Incarnation,
    options: SequencerOptions,
    /// How far each writer's records are taken: all up to this number.
    seen: BTreeMap<Writer, u64>,
    /// The starts that the feed has rows of, or will have. The records of others are all taken,
    /// but for those of starts after `newest`.
    servers: BTreeSet<Incarnation>,
    newest: Incarnation,
    /// Records behind a gap, which are not taken.
    early: BTreeMap<Point, Record>,
    /// Parts of taken records that others precede, by topic and first number.
    held: BTreeMap<Topic, BTreeMap<u64, Held>>,
    /// Own commits whose receipts are not given out.
    unsettled: BTreeMap<Point, Awaits>,
    /// Own writers that store a batch.
    storing: BTreeSet<Writer>,
    /// Own writers that have given a batch up since their last commit.
    doubtful: BTreeSet<Writer>,
    /// Numbers of commits that others know of.
    told: BTreeMap<Writer, u64>,
    /// Of the records and parts that wait.
    waiting: Waiting,
    read: Read,
    /// When the feed is to be read, unless what waits has come by then.
    due_ms: Option<u64>,
    /// The last read has failed: the next one is due whether or not anything waits.
    has_failed: bool,
    /// When the feed was last read, by the database's clock.
    read_db_ms: u64,
    is_behind: bool,
    outputs: VecDeque<Output>,
    planted: Planted,
}

/// The limits of a [`Sequencer`], and its times.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct SequencerOptions {
    /// For how long a record waits for others that the bus may bring, in milliseconds.
    pub gap_wait_ms: u64,
    /// The time after which a read of the feed that failed is repeated, in milliseconds.
    pub retry_ms: u64,
    /// For how long the feed keeps its rows, in milliseconds: a server that has read nothing for as
    /// long is [behind](Output::Behind).
    pub retention_ms: u64,
    /// Parts that may wait: of records behind a gap, and those that are held.
    pub waiting_max_parts: usize,
    /// Bytes of their entries ([`Part::bytes`]).
    pub waiting_max_bytes: usize,
}

impl Default for SequencerOptions {
    fn default() -> Self {
        Self {
            gap_wait_ms: 10,
            retry_ms: 100,
            retention_ms: 600_000,
            waiting_max_parts: 10_000,
            waiting_max_bytes: 16 * 1024 * 1024,
        }
    }
}

/// What a server reads before it accepts sockets, in one snapshot.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FeedStart {
    /// The starts in the table of servers.
    pub servers: Vec<Incarnation>,
    /// The newest commit of each of their writers that has committed anything. (The feed keeps
    /// the newest row of a writer for as long as the row of its server.)
    pub seen: Vec<Point>,
    /// The database's clock, in milliseconds.
    pub db_ms: u64,
}

/// The answer to a read of the feed: one snapshot.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FeedPage {
    /// The starts in the table of servers.
    pub servers: Vec<Incarnation>,
    /// Rows after the [`Sequencer::seen`] of the read, in the order of writer and number: the
    /// oldest ones of each writer, the same number of each at most. Without a gap, unless rows
    /// were dropped as too old.
    pub records: Vec<Record>,
    /// Whether these are all rows.
    pub is_whole: bool,
    /// The database's clock, in milliseconds.
    pub db_ms: u64,
}

/// What a [`Sequencer`] asks for.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Output {
    /// The hubs get this: controls first, then the parts.
    Deliver(Delivery),
    /// The receipts of this own commit are given out.
    Settled(Point),
    /// Read the feed after [`Sequencer::seen`], in one snapshot, and give the answer to
    /// [`Sequencer::feed`] or [`Sequencer::feed_failed`]. There is one such read at a time.
    ReadFeed,
    /// This server has missed rows that the feed keeps no longer: it closes its sockets (1013) and
    /// starts afresh. Nothing else is put out from here on.
    Behind,
}

/// What hubs get of one commit, all of it or some topics.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Delivery {
    /// The commit.
    pub at: Point,
    /// Topics with their entries.
    pub parts: Vec<Part>,
    /// What is no entry.
    pub controls: Vec<Control>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Held {
    of: Point,
    part: Part,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Read {
    None,
    Running {
        /// Something asked for a read after this one had begun.
        again: bool,
    },
}

/// Which read of the feed receipts wait for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Awaits {
    Nothing,
    /// One that begins from now on.
    Next,
    /// The one that is running.
    Current,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Source {
    /// A lane of this server.
    Own,
    Bus,
    Feed,
}

/// What waits, as limits count it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
struct Waiting {
    parts: usize,
    bytes: usize,
}

can_be_planted!(Sequencer);

impl Sequencer {
    /// The sequencer of a start of a server, which is one of `start.servers`.
    pub fn new(own: Incarnation, start: &FeedStart, options: SequencerOptions) -> Self {
        let servers: BTreeSet<Incarnation> = start.servers.iter().copied().chain([own]).collect();
        let newest = servers.last().copied().unwrap_or(own);
        Self {
            own,
            options,
            seen: start.seen.iter().map(|point| (point.writer, point.n)).collect(),
            servers,
            newest,
            early: BTreeMap::new(),
            held: BTreeMap::new(),
            unsettled: BTreeMap::new(),
            storing: BTreeSet::new(),
            doubtful: BTreeSet::new(),
            told: BTreeMap::new(),
            waiting: Waiting::default(),
            read: Read::None,
            due_ms: None,
            has_failed: false,
            read_db_ms: start.db_ms,
            is_behind: false,
            outputs: VecDeque::new(),
            planted: Planted::default(),
        }
    }

    /// A lane of this server begins to store a batch. Until its [`commit`](Self::commit),
    /// [`stored_nothing`](Self::stored_nothing) or [`gave_up`](Self::gave_up), no read of the feed
    /// brings what the batch stores: the feed has numbers only, and the hubs would have to read the
    /// entries from the log while the receipts are given out. Who leaves a room behind a last
    /// message would leave it before.
    pub fn storing(&mut self, lane: Lane) {
        self.storing.insert(self.own_writer(lane));
    }

    /// There was nothing to commit in the batch of a lane.
    pub fn stored_nothing(&mut self, lane: Lane) {
        self.end_storing(self.own_writer(lane));
    }

    /// A lane does not know whether its batch is stored, and goes on. If it is stored, the feed brings
    /// it, as it brings everything of the lane until its next commit: what is not known may be late,
    /// and the next batch may be as long under way.
    pub fn gave_up(&mut self, lane: Lane) {
        self.doubtful.insert(self.own_writer(lane));
        self.end_storing(self.own_writer(lane));
    }

    fn end_storing(&mut self, writer: Writer) {
        self.storing.remove(&writer);
        if self.awaits_read() {
            self.read_now();
        }
    }

    /// Whether receipts wait for a read that has yet to begin: the last one may have left out what
    /// they wait for.
    fn awaits_read(&self) -> bool {
        self.unsettled.values().any(|awaits| *awaits == Awaits::Next)
    }

    /// A lane of this server has committed, and has the receipts. To be called for each commit of
    /// an own writer, in their order.
    ///
    /// Where its records lack an earlier one, or a conversation lacks entries, the feed is read at
    /// once: people wait for the receipts.
    ///
    /// `has_duplicates`: one of the receipts names an entry that another commit has stored, not
    /// long ago ([`Outcome::Duplicate`](chat_core::Outcome::Duplicate)). Its entry may not have come
    /// yet, so the feed is read before the receipts are given out.
    pub fn commit(&mut self, now_ms: u64, record: Record, has_duplicates: bool) {
        let at = record.at;
        debug_assert_eq!(at.writer.incarnation, self.own, "a lane of this server");
        self.unsettled.insert(at, if has_duplicates { Awaits::Next } else { Awaits::Nothing });
        self.offer(now_ms, record, Source::Own);
        self.doubtful.remove(&at.writer);
        self.storing.remove(&at.writer);
        if self.unsettled.contains_key(&at) || self.awaits_read() {
            self.read_now();
        }
    }

    /// A record has come over the bus.
    pub fn bus(&mut self, now_ms: u64, record: Record) {
        self.offer(now_ms, record, Source::Bus);
    }

    /// Somebody knows of this commit: a heartbeat, or a message of the bus that cannot be read.
    pub fn told(&mut self, now_ms: u64, point: Point) {
        if point.n > self.seen_of(point.writer) && !self.has_ended(point.writer) {
            let told = self.told.entry(point.writer).or_default();
            *told = point.n.max(*told);
            self.wait(now_ms);
        }
    }

    /// Reads the feed now: at the times that [`Peers`](crate::Peers) says, after each change of the
    /// connection to the bus, and where a message could not be read at all.
    pub fn read_now(&mut self) {
        if self.is_behind {
            return;
        }
        match &mut self.read {
            Read::None => {
                self.read = Read::Running { again: false };
                self.due_ms = None;
                self.await_read(Awaits::Next, Awaits::Current);
                self.outputs.push_back(Output::ReadFeed);
            }
            Read::Running { again } => *again = true,
        }
    }

    /// The feed was read.
    pub fn feed(&mut self, now_ms: u64, page: FeedPage) {
        if self.is_behind {
            return;
        }
        self.has_failed = false;
        let again = std::mem::replace(&mut self.read, Read::None) == Read::Running { again: true };
        let servers: BTreeSet<Incarnation> = page.servers.into_iter().collect();
        if page.db_ms > self.read_db_ms + self.options.retention_ms || !servers.contains(&self.own) {
            return self.fall_behind();
        }
        // A start is here before its records are looked at.
        self.newest = servers.last().copied().unwrap_or(self.own).max(self.newest);
        self.servers.extend(&servers);
        let mut refused = BTreeSet::new();
        let mut is_left_out = false;
        for record in page.records {
            let at = record.at;
            if refused.contains(&at.writer) {
                continue;
            }
            if self.will_commit(at) {
                is_left_out = true;
                continue;
            }
            if at.n > self.seen_of(at.writer) + 1 {
                return self.fall_behind();
            }
            self.offer(now_ms, record, Source::Feed);
            if at.n > self.seen_of(at.writer) {
                refused.insert(at.writer);
            }
        }
        let is_whole = page.is_whole && refused.is_empty();
        let has_all = is_whole && !is_left_out;
        self.await_read(Awaits::Current, if has_all { Awaits::Nothing } else { Awaits::Next });
        if is_whole {
            self.end_read(page.db_ms, servers);
        }
        if again || !is_whole {
            self.read_now();
        } else if self.is_waiting() {
            // What was committed since the snapshot has overtaken the answer. Not sooner, as a number
            // that the feed does not have would keep the database busy.
            self.due_ms = Some(now_ms + self.options.retry_ms);
        }
    }

    /// Everything is taken that was in the snapshot.
    fn end_read(&mut self, db_ms: u64, servers: BTreeSet<Incarnation>) {
        self.read_db_ms = db_ms.max(self.read_db_ms);
        // Everything of the starts that the table has no row of any more is taken.
        self.servers = servers;
        let Self { servers, newest, seen, .. } = self;
        let is_here = |writer: &Writer| servers.contains(&writer.incarnation) || writer.incarnation > *newest;
        seen.retain(|writer, _| is_here(writer));
        self.drop_known();
        self.release();
    }

    fn await_read(&mut self, from: Awaits, to: Awaits) {
        self.unsettled.values_mut().filter(|awaits| **awaits == from).for_each(|awaits| *awaits = to);
    }

    /// Another server of the database has taken over: to be called before the first page that was
    /// read there is given to [`feed`](Self::feed). What waits behind a gap is dropped. It was not looked
    /// for, as it was not taken, and may be lost; what is not lost, the feed brings.
    pub fn failed_over(&mut self) {
        for record in std::mem::take(&mut self.early).into_values() {
            self.waiting.remove(&record.parts);
        }
        self.told.clear();
    }

    /// The feed could not be read.
    pub fn feed_failed(&mut self, now_ms: u64) {
        self.read = Read::None;
        self.has_failed = true;
        self.await_read(Awaits::Current, Awaits::Next);
        self.due_ms = Some(now_ms + self.options.retry_ms);
    }

    /// Time has passed: to be called at [`next_ms`](Self::next_ms).
    pub fn tick(&mut self, now_ms: u64) {
        if self.due_ms.is_some_and(|due_ms| due_ms <= now_ms) {
            self.due_ms = None;
            if self.is_waiting() || self.has_failed {
                self.read_now();
            }
        }
    }

    /// When the next [`tick`](Self::tick) is due.
    pub fn next_ms(&self) -> Option<u64> {
        self.due_ms
    }

    /// What is to be done next.
    pub fn next_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// How far each writer's records are taken. A writer that is not here has none that are known.
    pub fn seen(&self) -> impl Iterator<Item = Point> {
        self.seen.iter().map(|(&writer, &n)| Point { writer, n })
    }

    /// The newest commit of each own writer, for heartbeats.
    pub fn own_seen(&self) -> impl Iterator<Item = Point> {
        self.seen().filter(|point| point.writer.incarnation == self.own)
    }

    /// Parts of records that wait for others, for metrics.
    pub fn waiting_parts(&self) -> usize {
        self.waiting.parts
    }

    /// Whether this server lacks records that it knows of.
    pub fn is_waiting(&self) -> bool {
        !self.early.is_empty() || !self.held.is_empty() || !self.told.is_empty()
    }

    // Records.

    fn offer(&mut self, now_ms: u64, record: Record, source: Source) {
        let at = record.at;
        if self.is_behind || self.has_ended(at.writer) {
            return;
        }
        let next = self.seen_of(at.writer) + 1;
        if at.n > next && !planted!(self.planted, SeenJumpsGap) {
            self.keep_early(record, source);
            return self.wait(now_ms);
        }
        if at.n >= next && self.take(record, source) {
            // Those that waited for it follow.
            while let Some(n) = self.seen_of(at.writer).checked_add(1)
                && let Some(early) = self.early.remove(&Point { n, ..at })
            {
                self.waiting.remove(&early.parts);
                let own = self.unsettled.contains_key(&early.at);
                if !self.take(early, if own { Source::Own } else { source }) {
                    break;
                }
            }
            self.release();
        }
        self.settle();
        self.drop_known();
        if !self.is_waiting() && !self.has_failed {
            self.due_ms = None;
        } else if source != Source::Feed {
            self.wait(now_ms);
        }
    }

    /// Keeps a record that comes before others of its writer.
    fn keep_early(&mut self, record: Record, source: Source) {
        if self.early.contains_key(&record.at) {
            return;
        }
        if source != Source::Own && !self.waiting.has_room(&record.parts, &self.options) {
            // The feed has it.
            let told = self.told.entry(record.at.writer).or_default();
            *told = record.at.n.max(*told);
            return;
        }
        self.waiting.add(&record.parts);
        self.early.insert(record.at, record);
    }

    /// Takes the next record of a writer: delivers what may be delivered, and holds the rest.
    /// Returns `false` where it may not hold any more: the record is not taken then.
    fn take(&mut self, record: Record, source: Source) -> bool {
        let Record { at, parts, controls } = record;
        // Where earlier parts of a conversation are held, it waits for them as well.
        let is_behind = |part: &Part| {
            self.held
                .get(&part.topic)
                .and_then(BTreeMap::first_key_value)
                .is_some_and(|(first, _)| *first < part.first)
        };
        let is_held = |part: &Part| part.waits() && (is_behind(part) || !self.has_previous(part));
        let (held, parts): (Vec<Part>, Vec<Part>) = parts.into_iter().partition(is_held);
        let (held, parts) = match planted!(self.planted, HoldIgnored) {
            true => (Vec::new(), held.into_iter().chain(parts).collect()),
            false => (held, parts),
        };
        // Own commits are bounded by the drafts of this server that have no receipts.
        if source != Source::Own && !held.is_empty() && !self.waiting.has_room(&held, &self.options) {
            let told = self.told.entry(at.writer).or_default();
            *told = at.n.max(*told);
            return false;
        }
        self.seen.insert(at.writer, at.n);
        if !parts.is_empty() || !controls.is_empty() {
            self.outputs.push_back(Output::Deliver(Delivery { at, parts, controls }));
        }
        self.waiting.add(&held);
        for part in held {
            let topic = self.held.entry(part.topic.clone()).or_default();
            topic.insert(part.first, Held { of: at, part });
        }
        true
    }

    /// Delivers the held parts whose predecessors are delivered by now.
    fn release(&mut self) {
        loop {
            // The lowest one of a topic: what precedes it and is taken is delivered, as it would be
            // lower.
            let ready = self.held.iter().filter_map(|(topic, parts)| Some((topic, parts.first_key_value()?)));
            let ready = ready.filter(|(_, (_, held))| self.has_previous(&held.part));
            let ready: Vec<Topic> = ready.map(|(topic, _)| topic.clone()).collect();
            if ready.is_empty() {
                break;
            }
            for topic in ready {
                let Some(parts) = self.held.get_mut(&topic) else { continue };
                if let Some((_, Held { of, part })) = parts.pop_first() {
                    self.waiting.remove(std::slice::from_ref(&part));
                    let parts = vec![part];
                    let controls = Vec::new();
                    self.outputs.push_back(Output::Deliver(Delivery { at: of, parts, controls }));
                }
                if parts.is_empty() {
                    self.held.remove(&topic);
                }
            }
        }
        self.settle();
    }

    /// Gives out the receipts of own commits of which everything is delivered.
    fn settle(&mut self) {
        let mut blocked = BTreeSet::new();
        for (at, awaits) in self.unsettled.clone() {
            let is_taken = at.n <= self.seen_of(at.writer);
            let is_held = self.held.values().flat_map(BTreeMap::values).any(|held| held.of == at);
            let is_ready = is_taken
                && awaits == Awaits::Nothing
                && (!is_held || planted!(self.planted, ReceiptBeforeHold));
            if is_ready && !blocked.contains(&at.writer) {
                self.unsettled.remove(&at);
                self.outputs.push_back(Output::Settled(at));
            } else {
                blocked.insert(at.writer);
            }
        }
    }

    /// Forgets what is known of records that are taken by now.
    fn drop_known(&mut self) {
        let Self { early, told, seen, waiting, servers, newest, .. } = self;
        let taken = |writer: &Writer| match seen.get(writer) {
            Some(n) => *n,
            None if servers.contains(&writer.incarnation) || writer.incarnation > *newest => 0,
            None => u64::MAX,
        };
        told.retain(|writer, n| *n > taken(writer));
        early.retain(|at, record| {
            let is_wanted = at.n > taken(&at.writer);
            if !is_wanted {
                waiting.remove(&record.parts);
            }
            is_wanted
        });
    }

    /// Has the feed read soon, unless what waits comes before.
    fn wait(&mut self, now_ms: u64) {
        if self.read == Read::None && !self.is_behind {
            let due_ms = now_ms + self.options.gap_wait_ms;
            self.due_ms = Some(self.due_ms.map_or(due_ms, |earlier_ms| earlier_ms.min(due_ms)));
        }
    }

    fn fall_behind(&mut self) {
        self.is_behind = true;
        self.due_ms = None;
        (self.early, self.held) = (BTreeMap::new(), BTreeMap::new());
        self.waiting = Waiting::default();
        self.outputs.push_back(Output::Behind);
    }

    /// Whether this must be the commit of a batch that a lane of this server has yet to hear of.
    fn will_commit(&self, at: Point) -> bool {
        let of_writer = Point { n: 0, ..at }..=Point { n: u64::MAX, ..at };
        let newest = self.early.range(of_writer).next_back().map_or(0, |(early, _)| early.n);
        self.storing.contains(&at.writer)
            && !self.doubtful.contains(&at.writer)
            && at.n > newest.max(self.seen_of(at.writer))
            && !planted!(self.planted, OwnFromFeed)
    }

    fn own_writer(&self, lane: Lane) -> Writer {
        Writer { incarnation: self.own, lane }
    }

    fn seen_of(&self, writer: Writer) -> u64 {
        self.seen.get(&writer).copied().unwrap_or(0)
    }

    /// Whether the commit before a part in its topic is taken.
    fn has_previous(&self, part: &Part) -> bool {
        part.previous
            .is_none_or(|point| self.has_ended(point.writer) || self.seen_of(point.writer) >= point.n)
    }

    /// Whether a writer is one whose rows are all taken, and dropped.
    fn has_ended(&self, writer: Writer) -> bool {
        writer.incarnation <= self.newest && !self.servers.contains(&writer.incarnation)
    }
}

impl Waiting {
    fn add(&mut self, parts: &[Part]) {
        self.parts += parts.len();
        self.bytes += parts.iter().map(Part::bytes).sum::<usize>();
    }

    fn remove(&mut self, parts: &[Part]) {
        self.parts -= parts.len();
        self.bytes -= parts.iter().map(Part::bytes).sum::<usize>();
    }

    fn has_room(self, parts: &[Part], options: &SequencerOptions) -> bool {
        let bytes: usize = parts.iter().map(Part::bytes).sum();
        self.parts + parts.len() <= options.waiting_max_parts
            && self.bytes + bytes <= options.waiting_max_bytes
    }
}

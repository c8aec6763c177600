//! What is between the servers: the feed and the table of servers in the database, the bus, and
//! who is present elsewhere. The rules are the real ones (chat-cluster); the database and the bus
//! around them are models.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hash;
use std::rc::Rc;
use std::sync::Arc;

use chat_cluster::{
    Control, Delivery, FeedPage, FeedStart, Heartbeat, Incarnation, Lane, Message, OwnPresence, Part, Peers,
    PeersOptions, Point, Record, Roster, RosterOptions, RosterOutput, Sequencer, SequencerOptions, ServerRow,
    Writer,
};
use chat_core::{
    Commit, Entry, PresenceChange, PresenceKind, RoomName, SessionId, Topic, Username, Withheld,
};
use chat_shard::Origins;

use crate::oracle::{Check, ensure};
use crate::planted::{Bug, in_cluster};
use crate::world::{Event, Item, NODES, NodeState, World};

/// What the database has beside the log.
#[derive(Default)]
pub(crate) struct Feed {
    /// What each commit wrote, without the entries.
    rows: BTreeMap<Point, Record>,
    /// The last commit of each topic.
    topics: BTreeMap<Topic, Point>,
    servers: BTreeMap<Incarnation, Row>,
    starts: u32,
}

struct Row {
    written_ms: u64,
    has_left: bool,
}

/// What a server has for the others.
pub(crate) struct Member {
    pub(crate) incarnation: Incarnation,
    sequencer: Sequencer,
    peers: Peers,
    roster: Roster,
    own: OwnPresence,
    /// Own commits whose receipts are not given out.
    answers: BTreeMap<Point, Answers>,
    /// Commits of its lanes that the feed has brought: the hubs read their entries from the log.
    read_back: BTreeSet<Point>,
    /// Its lanes that have given a batch up since their last commit.
    doubtful: BTreeSet<Lane>,
    /// What the roster has told the hubs.
    told: BTreeMap<(u32, RoomName, Username), u32>,
    /// Connections of hubs that were told to be lost: they may be told again.
    lost: BTreeMap<(u32, RoomName, Username), u32>,
    /// The table of servers, as it was last read.
    rows: Vec<ServerRow>,
    /// When the last snapshot of the feed was made that it has.
    snapshot_ms: u64,
    tick_ms: Option<u64>,
    /// When the read of the feed was asked for that is under way.
    asked_ms: u64,
    /// What its hubs know of its standing.
    withheld: Withheld,
    /// Until then, it is cut off from the bus …
    pub(crate) off_bus_until_ms: u64,
    /// … and from the database.
    pub(crate) off_database_until_ms: u64,
}

/// The answers of a commit to the hubs of its server.
struct Answers {
    commit: Commit,
    origins: Origins,
}

impl Feed {
    fn register(&mut self, now_ms: u64) -> Incarnation {
        self.starts += 1;
        let incarnation = Incarnation::new(self.starts).expect("there are few starts");
        self.servers.insert(incarnation, Row { written_ms: now_ms, has_left: false });
        incarnation
    }

    fn newest(&self, writer: Writer) -> u64 {
        let rows = self.rows.range(Point { writer, n: 0 }..=Point { writer, n: u64::MAX });
        rows.last().map_or(0, |(at, _)| at.n)
    }

    fn start(&self, now_ms: u64) -> FeedStart {
        let mut seen: BTreeMap<Writer, u64> = BTreeMap::new();
        for at in self.rows.keys() {
            seen.insert(at.writer, at.n);
        }
        let seen = seen.into_iter().map(|(writer, n)| Point { writer, n }).collect();
        FeedStart { servers: self.servers.keys().copied().collect(), seen, db_ms: now_ms }
    }

    /// Writes the row of a commit, in its transaction. Returns the record.
    fn write(&mut self, writer: Writer, entries: &[Arc<Entry>], controls: Vec<Control>) -> Record {
        let at = Point { writer, n: self.newest(writer) + 1 };
        let mut topics: Vec<&Topic> = Vec::new();
        for entry in entries {
            if !topics.contains(&&entry.topic) {
                topics.push(&entry.topic);
            }
        }
        let mut parts = Vec::new();
        for topic in topics {
            let its: Vec<Arc<Entry>> =
                entries.iter().filter(|entry| entry.topic == *topic).cloned().collect();
            let (Some(first), Some(last)) = (its.first(), its.last()) else { continue };
            let (first, last) = (first.seq, last.seq);
            let previous = self.topics.insert(topic.clone(), at);
            parts.push(Part { topic: topic.clone(), first, last, previous, entries: Some(its.into()) });
        }
        let record = Record { at, parts, controls };
        let mut row = record.clone();
        row.parts.iter_mut().for_each(|part| part.entries = None);
        self.rows.insert(at, row);
        record
    }

    fn page(&self, reader: &Sequencer, now_ms: u64) -> FeedPage {
        let seen: BTreeMap<Writer, u64> = reader.seen().map(|point| (point.writer, point.n)).collect();
        let (mut records, mut is_whole) = (Vec::new(), true);
        let mut count = (None, 0);
        for (at, row) in &self.rows {
            if seen.get(&at.writer).is_some_and(|seen| at.n <= *seen) {
                continue;
            }
            count = if count.0 == Some(at.writer) { (count.0, count.1 + 1) } else { (Some(at.writer), 1) };
            match count.1 <= PAGE_ROWS {
                true => records.push(row.clone()),
                false => is_whole = false,
            }
        }
        FeedPage { servers: self.servers.keys().copied().collect(), records, is_whole, db_ms: now_ms }
    }

    fn table(&self, now_ms: u64) -> Vec<ServerRow> {
        let row = |(&incarnation, row): (&Incarnation, &Row)| ServerRow {
            incarnation,
            age_ms: now_ms - row.written_ms,
            has_left: row.has_left,
            bus_format: chat_cluster::BUS_FORMAT,
            looked: 1,
            opened: 1,
        };
        self.servers.iter().map(row).collect()
    }

    /// Drops the rows of servers that have been gone for long.
    fn trim(&mut self, now_ms: u64) {
        self.servers.retain(|_, row| row.written_ms + RETENTION_MS > now_ms);
        let Self { servers, rows, .. } = self;
        rows.retain(|at, _| servers.contains_key(&at.writer.incarnation));
    }
}

impl Member {
    /// A start of a server.
    pub(crate) fn new(feed: &mut Feed, now_ms: u64, bug: Option<Bug>) -> Self {
        let incarnation = feed.register(now_ms);
        let options =
            SequencerOptions { retention_ms: RETENTION_MS, waiting_max_parts: 50, ..Default::default() };
        let mut peers = Peers::new(now_ms, incarnation, PeersOptions::default());
        peers.bus(now_ms, true);
        Self {
            incarnation,
            sequencer: in_cluster!(Sequencer::new(incarnation, &feed.start(now_ms), options), bug),
            peers,
            roster: in_cluster!(Roster::new(incarnation, RosterOptions::default()), bug),
            own: OwnPresence::new(incarnation),
            answers: BTreeMap::new(),
            read_back: BTreeSet::new(),
            doubtful: BTreeSet::new(),
            told: BTreeMap::new(),
            lost: BTreeMap::new(),
            rows: Vec::new(),
            snapshot_ms: now_ms,
            tick_ms: None,
            asked_ms: now_ms,
            withheld: Withheld::Nothing,
            off_bus_until_ms: 0,
            off_database_until_ms: 0,
        }
    }

    /// What its hubs give out nothing of.
    fn withheld_at(&self, now_ms: u64) -> Withheld {
        self.peers.standing(now_ms).withheld(self.sequencer.is_waiting())
    }

    pub(crate) fn hub_id(&self, shard: usize, bug: Option<Bug>) -> u32 {
        let shard = shard as u32;
        if bug == Some(Bug::HubIdTwice) {
            return shard;
        }
        self.incarnation.hub_id(shard).expect("there are few shards")
    }
}

impl World {
    // The database.

    /// Whether a server gets no answers from the database.
    pub(crate) fn is_log_out_for(&self, node: usize) -> bool {
        self.is_log_out() || self.is_cut_off(node)
    }

    /// Whether a server, and no other, gets no answers from the database: what others have changed
    /// in rooms does not reach it.
    pub(crate) fn is_cut_off(&self, node: usize) -> bool {
        self.now_ms < self.nodes[node].member.off_database_until_ms
    }

    pub(crate) fn writer(&self, node: usize, lane: usize) -> Writer {
        Writer { incarnation: self.nodes[node].member.incarnation, lane: Lane(lane as u16) }
    }

    /// Writes the row of the feed of a commit, in its transaction.
    pub(crate) fn write_feed(
        &mut self,
        writer: Writer,
        entries: &[Arc<Entry>],
        controls: Vec<Control>,
        is_orphan: bool,
    ) -> Record {
        let record = self.feed.write(writer, entries, controls);
        if is_orphan && self.bug == Some(Bug::OrphanNotPublished) {
            self.feed.rows.get_mut(&record.at).expect("it was just written").parts.clear();
        }
        record
    }

    /// A lane of a server begins to store a batch.
    pub(crate) fn storing(&mut self, node: usize, lane: usize) {
        self.nodes[node].member.sequencer.storing(Lane(lane as u16));
    }

    /// A server does not know whether the batch of a lane is stored.
    pub(crate) fn gave_up(&mut self, node: usize, lane: usize) {
        let lane = Lane(lane as u16);
        let member = &mut self.nodes[node].member;
        member.doubtful.insert(lane);
        member.sequencer.gave_up(lane);
        self.perform_sequencer(node);
    }

    /// Publishes a commit of a server, and gives its answers to the server's hubs once they may
    /// have them.
    pub(crate) fn publish_commit(&mut self, node: usize, record: Record, commit: Commit, origins: Origins) {
        let now_ms = self.now_ms;
        let wall_ms = self.wall_ms(node);
        let has_duplicates = chat_shard::retried(&commit.receipts, wall_ms).next().is_some();
        self.broadcast(node, Message::Record(record.clone()));
        let member = &mut self.nodes[node].member;
        member.answers.insert(record.at, Answers { commit, origins });
        let lane = record.at.writer.lane;
        member.sequencer.commit(now_ms, record, has_duplicates);
        self.perform_sequencer(node);
        self.nodes[node].member.doubtful.remove(&lane);
    }

    /// Ends a session on all servers.
    pub(crate) fn end_session(&mut self, node: usize, session: &SessionId) {
        let writer = Writer { incarnation: self.nodes[node].member.incarnation, lane: Lane::CONTROL };
        let controls = vec![Control::EndSession(session.clone())];
        let record = self.write_feed(writer, &[], controls, false);
        if self.bug == Some(Bug::RevokeOnBusOnly) {
            self.feed.rows.get_mut(&record.at).expect("it was just written").controls.clear();
        }
        self.broadcast(node, Message::Record(record.clone()));
        let now_ms = self.now_ms;
        self.nodes[node].member.sequencer.commit(now_ms, record, false);
        self.perform_sequencer(node);
        let (session, since_ms) = (session.clone(), self.now_ms);
        self.after(REVOKED_MS, Event::MustBeRevoked { session, since_ms });
    }

    /// Checks that no server that has read the feed since has clients of an ended session.
    pub(crate) fn check_revoked(&mut self, session: &SessionId, since_ms: u64) -> Check {
        let mut waits = false;
        for node in 0..NODES {
            if self.nodes[node].state == NodeState::Down {
                continue;
            }
            if self.nodes[node].member.snapshot_ms < since_ms {
                waits = true;
                continue;
            }
            for hub in self.hubs_of(node) {
                if self.hubs[hub].takes_inbox {
                    // The end of the session may be among what it takes.
                    waits = true;
                    continue;
                }
                for socket in self.sockets_of(hub) {
                    let there = &self.sockets[socket];
                    ensure(there.session != *session || there.closed_by_hub, || {
                        format!("{} is of an ended session", self.oracle.name(socket))
                    })?;
                }
            }
        }
        if waits && self.bug != Some(Bug::NoPoll) {
            self.after(REVOKED_MS, Event::MustBeRevoked { session: session.clone(), since_ms });
        }
        Ok(())
    }

    // The sequencer.

    fn perform_sequencer(&mut self, node: usize) {
        self.stand_down(node);
        while let Some(output) = self.nodes[node].member.sequencer.next_output() {
            match output {
                chat_cluster::Output::Deliver(delivery) => self.deliver_record(node, delivery),
                chat_cluster::Output::Settled(at) => self.give_answers(node, at),
                chat_cluster::Output::ReadFeed => {
                    if self.bug != Some(Bug::NoPoll) {
                        let latency_ms = self.read_ms();
                        let boot = self.nodes[node].boot;
                        self.nodes[node].member.asked_ms = self.now_ms;
                        self.after(latency_ms, Event::FeedSnapshot { node, boot });
                    }
                }
                chat_cluster::Output::Behind => {
                    self.oracle.count("behind");
                    self.crash(node);
                    return;
                }
            }
        }
        let due_ms = self.nodes[node].member.sequencer.next_ms();
        let member = &mut self.nodes[node].member;
        if let Some(due_ms) = due_ms
            && member.tick_ms.is_none_or(|tick_ms| tick_ms > due_ms || tick_ms <= self.now_ms)
        {
            member.tick_ms = Some(due_ms);
            let boot = self.nodes[node].boot;
            self.at(due_ms.max(self.now_ms), Event::SequencerTick { node, boot });
        }
    }

    pub(crate) fn tick_sequencer(&mut self, node: usize) {
        let now_ms = self.now_ms;
        self.nodes[node].member.sequencer.tick(now_ms);
        self.perform_sequencer(node);
    }

    fn deliver_record(&mut self, node: usize, delivery: Delivery) {
        let Delivery { at, parts, controls } = delivery;
        for control in controls {
            if let Control::EndSession(session) = control {
                self.revoke_on(node, &session);
            }
        }
        let own = self.nodes[node].member.answers.get_mut(&at);
        let is_own = own.is_some();
        let changes = own.map(|own| std::mem::take(&mut own.commit.changes)).unwrap_or_default();
        let changes = self.take_due(node, &changes);
        let mut entries = Vec::new();
        for part in parts {
            match part.entries {
                Some(its) => entries.extend(its.iter().cloned()),
                None => {
                    let member = &mut self.nodes[node].member;
                    if !member.doubtful.contains(&at.writer.lane) {
                        member.read_back.insert(at);
                    }
                    self.miss(node, &part.topic, part.first, part.last);
                }
            }
        }
        self.bring(node, &changes, &entries, is_own);
    }

    fn give_answers(&mut self, node: usize, at: Point) {
        // Of the end of a session, there are none.
        let Some(Answers { commit, origins }) = self.nodes[node].member.answers.remove(&at) else { return };
        if self.nodes[node].member.read_back.remove(&at) {
            // They may come after what follows the receipts, as the leave of who has sent them.
            self.oracle.answered_unread = Some(at);
        }
        let changes = self.take_due(node, &commit.changes);
        self.deliver(node, &changes, &[], &commit.receipts, &origins);
    }

    /// A server polls the feed.
    pub(crate) fn poll(&mut self, node: usize) {
        let now_ms = self.now_ms;
        let member = &mut self.nodes[node].member;
        member.peers.polled(now_ms);
        let next_ms = member.peers.next_poll_ms(now_ms);
        let boot = self.nodes[node].boot;
        self.at(next_ms.max(now_ms + 1), Event::Poll { node, boot });
        if self.bug != Some(Bug::NoPoll) {
            self.nodes[node].member.sequencer.read_now();
            self.perform_sequencer(node);
        }
    }

    pub(crate) fn read_feed(&mut self, node: usize) {
        let fails = self.is_log_out_for(node) || self.random.chance(self.rates.read_fails);
        let (now_ms, boot) = (self.now_ms, self.nodes[node].boot);
        let answer = (!fails).then(|| {
            self.feed.trim(now_ms);
            let page = self.feed.page(&self.nodes[node].member.sequencer, now_ms);
            self.oracle.count(if page.is_whole { "feed read" } else { "feed read in parts" });
            Box::new((page, self.feed.table(now_ms)))
        });
        let back_ms = self.random.between(0, 15);
        self.after(back_ms, Event::FeedAnswer { node, boot, answer, snapshot_ms: now_ms });
    }

    pub(crate) fn take_feed(
        &mut self,
        node: usize,
        answer: Option<(FeedPage, Vec<ServerRow>)>,
        snapshot_ms: u64,
    ) -> Check {
        let now_ms = self.now_ms;
        let Some((page, rows)) = answer else {
            self.nodes[node].member.sequencer.feed_failed(now_ms);
            self.perform_sequencer(node);
            return Ok(());
        };
        self.bring_changes(node, |_, is_own, _| !is_own);
        let member = &mut self.nodes[node].member;
        if page.is_whole {
            member.snapshot_ms = snapshot_ms;
            member.peers.rows(member.asked_ms, &rows);
        }
        member.roster.rows(now_ms, &rows);
        member.rows = rows;
        member.sequencer.feed(now_ms, page);
        self.perform_sequencer(node);
        self.stand(node);
        self.perform_roster(node)
    }

    /// Tells the hubs of a server if it may do less than before.
    fn stand_down(&mut self, node: usize) {
        let member = &self.nodes[node].member;
        if member.withheld_at(self.now_ms) > member.withheld {
            self.stand(node);
        }
    }

    /// Tells the hubs of a server what it may do.
    fn stand(&mut self, node: usize) {
        let member = &mut self.nodes[node].member;
        let now = member.withheld_at(self.now_ms);
        if std::mem::replace(&mut member.withheld, now) != now {
            self.oracle.count(match now {
                Withheld::Nothing => "removals known",
                Withheld::ClosedRooms => "removals unknown",
                Withheld::AllRooms => "all rooms wait",
            });
            for hub in self.hubs_of(node) {
                self.push(hub, Item::Withhold(now));
            }
        }
    }

    // The bus.

    fn is_off_bus(&self, node: usize) -> bool {
        self.now_ms < self.nodes[node].member.off_bus_until_ms
    }

    /// Publishes a message of a server.
    fn broadcast(&mut self, from: usize, message: Message) {
        if self.is_off_bus(from) {
            return;
        }
        let message = Rc::new(message);
        for to in (0..NODES).filter(|to| *to != from) {
            if self.nodes[to].state == NodeState::Down {
                continue;
            }
            if self.random.chance(self.rates.lose) {
                self.oracle.count("bus lost");
                continue;
            }
            let boot = self.nodes[to].boot;
            let late = self.random.chance(self.rates.late);
            let late_ms = self.random.between(1, if late { 60 } else { 3 });
            self.after(late_ms, Event::OverBus { node: to, boot, message: Rc::clone(&message) });
            if self.random.chance(self.rates.double) {
                let again_ms = self.random.between(1, 200);
                self.after(again_ms, Event::OverBus { node: to, boot, message: Rc::clone(&message) });
            }
        }
    }

    pub(crate) fn over_bus(&mut self, node: usize, message: &Message) -> Check {
        if self.is_off_bus(node) {
            return Ok(());
        }
        let now_ms = self.now_ms;
        let member = &mut self.nodes[node].member;
        match message.clone() {
            Message::Record(record) => {
                member.peers.heard(now_ms, record.at.writer.incarnation);
                member.sequencer.bus(now_ms, record);
                if member.sequencer.waiting_parts() > 0 {
                    self.oracle.count("record waits");
                }
                self.perform_sequencer(node);
            }
            Message::Heartbeat(beat) => {
                member.peers.heard(now_ms, beat.from);
                member.roster.heartbeat(now_ms, &beat);
                for (lane, n) in &beat.newest {
                    let writer = Writer { incarnation: beat.from, lane: *lane };
                    member.sequencer.told(now_ms, Point { writer, n: *n });
                }
                self.perform_sequencer(node);
            }
            Message::Delta(delta) => member.roster.delta(now_ms, delta),
            Message::Snapshot(part) => member.roster.snapshot(now_ms, part),
            Message::AskSnapshot { to, .. } if to == member.incarnation => {
                let at_s = self.wall_ms(node) / 1000;
                for part in self.nodes[node].member.own.snapshot(at_s) {
                    self.broadcast(node, Message::Snapshot(part));
                }
            }
            // The simulated marks are those of one server.
            Message::AskSnapshot { .. } | Message::Mark { .. } => {}
            Message::Typing { change, .. } => {
                for hub in self.hubs_of(node) {
                    self.push(hub, Item::Typing(change.clone()));
                }
            }
        }
        self.perform_roster(node)
    }

    /// A server publishes what has changed of its presence, and that it lives.
    pub(crate) fn beat(&mut self, node: usize) {
        let boot = self.nodes[node].boot;
        self.after(DELTA_EVERY_MS, Event::Beat { node, boot });
        while let Some(delta) = self.nodes[node].member.own.next_delta() {
            self.broadcast(node, Message::Delta(delta));
        }
        let (now_ms, is_out) = (self.now_ms, self.is_log_out_for(node));
        let member = &mut self.nodes[node].member;
        let Some(beat) = member.peers.next_beat(now_ms) else { return };
        if !is_out && let Some(row) = self.feed.servers.get_mut(&member.incarnation) {
            row.written_ms = now_ms;
        }
        let (presence_counter, presence_checksum) = member.own.state();
        let newest = member.sequencer.own_seen().map(|point| (point.writer.lane, point.n)).collect();
        let from = member.incarnation;
        let beat = Heartbeat { from, beat, newest, presence_counter, presence_checksum };
        self.broadcast(node, Message::Heartbeat(beat));
    }

    /// A server is cut off from the bus, for a while.
    pub(crate) fn cut_bus(&mut self, node: usize, lasts_ms: u64) {
        self.oracle.count("partition");
        self.nodes[node].member.off_bus_until_ms = self.now_ms + lasts_ms;
        let boot = self.nodes[node].boot;
        // Its next pings are not answered.
        self.after(lasts_ms.min(2_000), Event::BusChanged { node, boot });
        self.after(lasts_ms, Event::BusChanged { node, boot });
    }

    /// A server notices that its connection to the bus is lost or back.
    pub(crate) fn bus_changed(&mut self, node: usize) {
        let (now_ms, is_up) = (self.now_ms, !self.is_off_bus(node));
        self.nodes[node].member.peers.bus(now_ms, is_up);
        self.nodes[node].member.sequencer.read_now();
        self.perform_sequencer(node);
    }

    /// A server stops in order.
    pub(crate) fn leave_cluster(&mut self, node: usize) {
        if let Some(row) = self.feed.servers.get_mut(&self.nodes[node].member.incarnation) {
            row.has_left = true;
        }
    }

    // Presence.

    /// Has the other servers know of a change of presence.
    pub(crate) fn tell_servers(&mut self, node: usize, change: PresenceChange) {
        self.nodes[node].member.own.change(change);
    }

    pub(crate) fn tell_servers_of_typing(&mut self, node: usize, change: chat_core::TypingChange) {
        let from = self.nodes[node].member.incarnation;
        self.broadcast(node, Message::Typing { from, change });
    }

    fn perform_roster(&mut self, node: usize) -> Check {
        while let Some(output) = self.nodes[node].member.roster.next_output() {
            match output {
                RosterOutput::Change(change) => {
                    let key = (change.hub, change.room.clone(), change.user.clone());
                    key.hash(&mut self.hasher);
                    let member = &mut self.nodes[node].member;
                    let before = member.told.insert(key.clone(), change.connections).unwrap_or(0);
                    ensure(before != change.connections, || {
                        format!("server {node} tells again: {change:?}")
                    })?;
                    // Its notice was shown before it was lost.
                    let may_come_again = member.lost.get_mut(&key).filter(|count| **count > 0);
                    if change.kind == PresenceKind::Joined
                        && let Some(count) = may_come_again
                    {
                        *count -= 1;
                        self.oracle.expect_notice(&change.room, &change.user, true);
                    }
                    for hub in self.hubs_of(node) {
                        self.push(hub, Item::Presence(change.clone()));
                    }
                }
                RosterOutput::HubLost(hub) => self.tell_lost(node, hub)?,
                RosterOutput::AskSnapshot(to) => {
                    let from = self.nodes[node].member.incarnation;
                    self.broadcast(node, Message::AskSnapshot { from, to });
                }
            }
        }
        Ok(())
    }

    /// Tells the hubs of a server that a hub is lost, and everybody on it.
    fn tell_lost(&mut self, node: usize, lost: u32) -> Check {
        self.oracle.count("hub lost");
        let member = &mut self.nodes[node].member;
        let lives =
            |row: &ServerRow| row.incarnation.has_hub(lost) && !row.has_left && row.age_ms < LOST_AFTER_MS;
        ensure(!member.rows.iter().any(lives), || format!("server {node} gives up hub {lost}, which lives"))?;
        let keys: Vec<_> = member.told.keys().filter(|(hub, ..)| *hub == lost).cloned().collect();
        for key in keys {
            let connections = member.told.remove(&key).unwrap_or(0);
            if connections > 0 {
                self.oracle.expect_notice(&key.1, &key.2, false);
                *member.lost.entry(key).or_default() += connections;
            }
        }
        if self.bug == Some(Bug::NoHubLost) {
            return Ok(());
        }
        for hub in self.hubs_of(node) {
            self.push(hub, Item::HubLost(lost));
        }
        Ok(())
    }
}

/// The age of the row of a server that is lost, in milliseconds.
const LOST_AFTER_MS: u64 = 5_000;
/// Rows of each writer in one read of the feed.
const PAGE_ROWS: usize = 20;
/// For how long the feed keeps rows, in milliseconds: longer than a run.
const RETENTION_MS: u64 = 600_000;
/// The time between two deltas of presence, in milliseconds.
const DELTA_EVERY_MS: u64 = 250;
/// The time after which a session that was ended has no clients on servers that have read the feed
/// since, in milliseconds: 800 ms in the inbox, and a second.
const REVOKED_MS: u64 = 1_800;

//! The log's writers, the bus within a server and between the servers, and reads.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use chat_core::{
    Answer, Commit, Draft, Entry, Missed, Outcome, PresenceChange, PresenceKind, Query, ReadId, Receipt,
    RoomChange, Subscription, Topic, TypingChange, Username,
};
use chat_shard::{Batch, Failure, Origin as DraftsFrom, Work, drafts_by_lane, retried};

use crate::calls::precedes;
use crate::oracle::{Check, SendRef, ensure};
use crate::planted::Bug;
use crate::world::{Event, Item, NODES, Node, NodeState, Origin, Running, Shell, World};

impl World {
    // Writers.

    /// Hands the drafts of a hub's turn to its server's writer.
    pub(crate) fn hand_to_writer(&mut self, hub: usize, drafts: Vec<Draft>) {
        let node = self.hubs[hub].node;
        let (shard, lanes) = (hub - self.hubs_of(node).start, self.plan.lanes);
        let queue = &mut self.nodes[node].queue;
        let failures_seen = self.hubs[hub].turn.failures_seen();
        let drafts = drafts_by_lane(drafts, lanes, |topic| lane(topic, lanes));
        let failures = queue.accept(shard, drafts, failures_seen);
        self.publish_failures(node, failures);
        for lane in 0..lanes {
            self.begin_commit(node, lane);
        }
    }

    pub(crate) fn begin_commit(&mut self, node: usize, lane: usize) {
        let Node { queue, running, boot, .. } = &mut self.nodes[node];
        if running[lane].is_some() || queue.is_empty(lane) {
            return;
        }
        let boot = *boot;
        let mut failures = Vec::new();
        let work = queue.next(lane, self.random.size(1, 40), &mut failures);
        running[lane] = match work {
            Some(Work::Batch(batch)) => Some(Running::Batch { batch, is_stored: false }),
            Some(Work::Change(change)) => Some(Running::Change(change)),
            None => None,
        };
        if running[lane].is_some() {
            let slow = self.random.chance(self.rates.slow) || self.is_log_out();
            let latency_ms = self.random.between(0, if slow { 7_000 } else { 8 });
            self.after(latency_ms, Event::Commit { node, boot, lane });
        }
        self.publish_failures(node, failures);
    }

    pub(crate) fn is_log_out(&self) -> bool {
        self.now_ms < self.out_until_ms
    }

    pub(crate) fn commit(&mut self, node: usize, boot: u64, lane: usize) -> Check {
        if self.nodes[node].boot != boot {
            return Ok(());
        }
        let batch = match self.nodes[node].running[lane].take() {
            Some(Running::Batch { batch, .. }) => batch,
            Some(Running::Change(change)) => return self.commit_change(node, lane, change),
            Some(Running::Pause) | None => return Ok(()),
        };
        if self.is_log_out() || self.random.chance(self.rates.fail) {
            self.oracle.count("batch failed");
            self.fail(node, lane, batch);
            return Ok(());
        }
        let commit = self.store(&batch.drafts, &self.sends(node, &batch), Some(node))?;
        if !self.random.chance(self.rates.lost_answer) {
            self.publish(node, lane, &commit, &batch);
        } else if self.random.chance(200) {
            // The commit is published to no shard, ever.
            self.oracle.count("answer never");
            self.nodes[node].queue.stored(&batch);
            self.begin_commit(node, lane);
        } else if self.random.chance(500) {
            // The writer resolves the outcome, and stores nothing meanwhile.
            self.oracle.count("answer late");
            let resolved_ms = self.random.between(10, 3_000);
            let commit = Box::new(commit);
            self.nodes[node].running[lane] = Some(Running::Batch { batch, is_stored: true });
            self.after(resolved_ms, Event::Resolved { node, boot, lane, commit });
        } else {
            // The writer gives up: the batch is stored, but fails.
            self.oracle.count("answer lost");
            self.fail(node, lane, batch);
        }
        Ok(())
    }

    /// Publishes a commit whose answer was lost, once its outcome is resolved.
    pub(crate) fn resolved(&mut self, node: usize, boot: u64, lane: usize, commit: &Commit) {
        if self.nodes[node].boot == boot
            && let Some(Running::Batch { batch, .. }) = self.nodes[node].running[lane].take()
        {
            self.publish(node, lane, commit, &batch);
        }
    }

    /// The send of each draft of a batch of a server.
    pub(crate) fn sends(&self, node: usize, batch: &Batch) -> Vec<SendRef> {
        let first = self.hubs_of(node).start;
        let shards =
            batch.origins.iter().flat_map(|&(from, count)| std::iter::repeat_n(shard_of(from), count));
        let sends = std::iter::zip(shards, &batch.drafts);
        sends.map(|(shard, draft)| self.hubs[first + shard].drafts[&draft.id]).collect()
    }

    /// Stores drafts in a transaction, whether or not its answer is lost.
    /// `own`: the server whose writer stores them, unless it has crashed.
    pub(crate) fn store(
        &mut self,
        drafts: &[Draft],
        sends: &[SendRef],
        own: Option<usize>,
    ) -> Result<Commit, String> {
        // The database has one clock: that of the first server.
        let wall_ms = self.wall_ms(0);
        let judged: Vec<Draft> = drafts.iter().map(|draft| self.hook.judge(draft)).collect();
        let drafts = &judged[..];
        let mut commit = self.log.append(drafts, wall_ms, self.now_ms);
        self.note(|| {
            let stored = commit.entries.iter().map(|e| (&e.topic, e.seq, e.body.text()));
            format!("    the log stores {:?}", stored.collect::<Vec<_>>())
        });
        let first = self.changes.len();
        for change in &commit.changes {
            let by_message = |entry: &Arc<Entry>| entry.body.is_message() && is_join(change, entry);
            ensure(commit.entries.iter().any(by_message), || format!("{change:?} without a message"))?;
        }
        self.note_changes(&commit.changes, own)?;
        self.joins.extend(first..self.changes.len());
        let tops = self.oracle.tops(drafts);
        let mut entries = commit.entries.iter();
        for (draft, receipt) in std::iter::zip(drafts, &commit.receipts) {
            self.oracle.judged(draft, &receipt.outcome, &tops, self.now_ms, wall_ms)?;
            if let Outcome::Stored { seq, .. } = receipt.outcome {
                let entry = entries.next().ok_or("an entry is missing")?;
                ensure(entry.seq == seq, || format!("{entry:?} is not number {seq}"))?;
                (&entry.topic, entry.seq).hash(&mut self.hasher);
                self.oracle.committed(entry, &tops, self.now_ms)?;
                self.owe(entry);
            }
        }
        ensure(entries.next().is_none(), || "an entry has no receipt".to_owned())?;
        self.check_taken_back(&commit.files_taken_back)?;
        for (&send, receipt) in std::iter::zip(sends, &commit.receipts) {
            match receipt.outcome {
                Outcome::Stored { .. } => self.oracle.stored(send, true)?,
                Outcome::Duplicate { .. } => self.oracle.stored(send, false)?,
                Outcome::NoRecipient { .. } => self.oracle.has_no_recipient(send),
                Outcome::Forbidden => self.oracle.forbidden(send)?,
                Outcome::NotFound => self.oracle.refused(send, "not_found"),
                Outcome::TooMany => self.oracle.refused(send, "too_many"),
                Outcome::InvalidFiles | Outcome::BlankText => self.oracle.refused(send, "bad_request"),
                Outcome::Refused(_) => self.oracle.refused(send, "forbidden"),
                Outcome::Failed => {}
            }
        }
        commit.take_back();
        Ok(commit)
    }

    /// Notes the clients that must get a private message if they stay: those of its two
    /// users that are connected.
    fn owe(&mut self, entry: &Entry) {
        let Topic::Pair(pair) = &entry.topic else { return };
        for number in 0..self.sockets.len() {
            let socket = &self.sockets[number];
            if !socket.open || socket.closed_by_hub {
                continue;
            }
            let concerned = *pair.low() == socket.user || *pair.high() == socket.user;
            // Otherwise its hub has yet to subscribe.
            let user = Subscription::User(socket.user.clone());
            if concerned && self.hubs[socket.hub].subscriptions.contains(&user) {
                self.oracle.owe(number, entry);
            }
        }
    }

    /// Brings a commit to the hubs of its server, and its entries to the other server.
    fn publish(&mut self, node: usize, lane: usize, commit: &Commit, batch: &Batch) {
        self.nodes[node].queue.stored(batch);
        let changes = self.take_due(node, &commit.changes);
        self.bring(node, &changes, &commit.entries, &commit.receipts, &batch.origins);
        for Missed { topic, mut first, last } in retried(&commit.receipts, self.wall_ms(node)) {
            if let Topic::Pair(pair) = &topic {
                // Entries before it may be missing as well.
                let Some(brought) = self.nodes[node].brought.get_mut(pair) else { continue };
                first = *brought + 1;
                *brought = last.max(*brought);
            }
            if first <= last {
                self.miss(node, &topic, first, last);
            }
        }
        for other in (0..NODES).filter(|other| *other != node) {
            if self.is_partitioned || self.nodes[other].state == NodeState::Down {
                continue;
            }
            let boot = self.nodes[other].boot;
            for entry in &commit.entries {
                if self.random.chance(self.rates.lose) {
                    self.oracle.count("bus lost");
                    continue;
                }
                let late = self.random.chance(self.rates.late);
                let late_ms = self.random.between(1, if late { 60 } else { 3 });
                let remote =
                    |entry: &Arc<Entry>| Event::Remote { node: other, boot, entry: Arc::clone(entry) };
                self.after(late_ms, remote(entry));
                if self.random.chance(self.rates.double) {
                    let again_ms = self.random.between(1, 200);
                    self.after(again_ms, remote(entry));
                }
            }
        }
        self.begin_commit(node, lane);
    }

    /// A batch was not stored, as far as its server knows.
    fn fail(&mut self, node: usize, lane: usize, batch: Batch) {
        let failure = self.nodes[node].queue.fail(lane, batch);
        self.publish_failures(node, [failure]);
        self.begin_commit(node, lane);
    }

    pub(crate) fn publish_failures(&mut self, node: usize, failures: impl IntoIterator<Item = Failure>) {
        let (first, shards) = (self.hubs_of(node).start, self.plan.shards);
        for (shard, item) in failures.into_iter().flat_map(|failure| failure.into_items(shards)) {
            self.push(first + shard, item);
        }
    }

    // The bus within a server.

    /// Brings changes to the hubs of a server, entries to those that are subscribed to them,
    /// and the receipts of its own drafts behind them. Earlier changes of the rooms of these
    /// entries come first.
    ///
    /// A private conversation begins on a hub with the first entry that it gets, so
    /// no entry may be brought behind a hole: the bus knows the last number that was
    /// brought of each, and names the range that was left out.
    pub(crate) fn bring(
        &mut self,
        node: usize,
        changes: &[RoomChange],
        entries: &[Arc<Entry>],
        receipts: &[Receipt],
        origins: &[(DraftsFrom, usize)],
    ) {
        let mut ready = Vec::new();
        for entry in entries {
            if let Topic::Room(room) = &entry.topic {
                // A server's own writer publishes its own changes first.
                let is_remote = origins.is_empty();
                self.bring_changes(node, |_, is_own, change| {
                    (is_remote || !is_own) && precedes(change, room, entry.seq)
                });
            }
        }
        for entry in entries {
            if let Topic::Pair(pair) = &entry.topic {
                let Some(brought) = self.nodes[node].brought.get_mut(pair) else { continue };
                if entry.seq <= *brought {
                    continue;
                }
                let first = std::mem::replace(brought, entry.seq) + 1;
                if first < entry.seq {
                    // Entries before it keep their order.
                    self.deliver(node, &[], &std::mem::take(&mut ready), &[], &[]);
                    self.miss(node, &entry.topic, first, entry.seq);
                    continue;
                }
            }
            ready.push(Arc::clone(entry));
        }
        self.deliver(node, changes, &ready, receipts, origins);
    }

    fn deliver(
        &mut self,
        node: usize,
        changes: &[RoomChange],
        entries: &[Arc<Entry>],
        receipts: &[Receipt],
        origins: &[(DraftsFrom, usize)],
    ) {
        let (first, shards) = (self.hubs_of(node).start, self.plan.shards);
        let (entries, receipts, changes) = (entries.to_vec(), receipts.to_vec(), changes.to_vec());
        let commit = Commit { entries, receipts, changes, ..Commit::default() };
        let items: Vec<(usize, Item)> =
            self.nodes[node].routing.deliveries(&commit, origins, shards).collect();
        for (shard, item) in items {
            self.push(first + shard, item);
        }
        self.expect_removals(node, &commit.changes);
    }

    fn miss(&mut self, node: usize, topic: &Topic, first: u64, last: u64) {
        let first_hub = self.hubs_of(node).start;
        for shard in self.nodes[node].routing.subscribers(topic) {
            let missed = Missed { topic: topic.clone(), first, last };
            self.push(first_hub + shard, Item::Missed(vec![missed]));
        }
    }

    /// Notes from which number on the conversations of a user are brought to a server, when
    /// one of its hubs subscribes to them.
    pub(crate) fn begin_to_bring(&mut self, node: usize, user: &Username) {
        let pairs: Vec<_> = self.oracle.pairs_of(user).cloned().collect();
        let hubs = self.hubs_of(node);
        for pair in pairs {
            let other = Subscription::User(pair.other(user).clone());
            let is_connected = *pair.other(user) != *user
                && self.hubs[hubs.clone()].iter().any(|shell| shell.subscriptions.contains(&other));
            let again = self.hubs[hubs.clone()]
                .iter()
                .filter(|shell| shell.subscriptions.contains(&Subscription::User(user.clone())))
                .count()
                > 1;
            if !is_connected && !again {
                let last = self.log.last_seq(&Topic::Pair(pair.clone()));
                self.nodes[node].brought.insert(pair, last);
            }
        }
        // A conversation that has not begun is brought from its first entry on.
        let users: Vec<_> = crate::people::users().collect();
        for other in users {
            let pair = chat_core::Pair::new(user.clone(), other);
            self.nodes[node].brought.entry(pair).or_insert(0);
        }
    }

    /// Adds an item to a hub's inbox.
    pub(crate) fn push(&mut self, hub: usize, item: Item) {
        let Shell { inbox, takes_inbox, .. } = &mut self.hubs[hub];
        inbox.push(item);
        if inbox.is_full() {
            self.oracle.count("inbox full");
        }
        if !inbox.is_empty() && !std::mem::replace(takes_inbox, true) {
            let busy = self.random.chance(self.rates.busy);
            let delay_ms = self.random.between(0, if busy { 800 } else { 4 });
            let origin = self.origin(hub);
            self.after(delay_ms, Event::TakeInbox { origin });
        }
    }

    /// Looks in the log for entries of the hubs' topics that the bus has lost.
    pub(crate) fn poll(&mut self, node: usize, boot: u64) {
        if self.nodes[node].boot != boot || self.nodes[node].state == NodeState::Down {
            return;
        }
        self.after(1_000, Event::Poll { node, boot });
        if self.is_log_out() || self.bug == Some(Bug::NoPoll) {
            return;
        }
        self.bring_changes(node, |_, is_own, _| !is_own);
        let hubs = self.hubs_of(node);
        let wanted = self.hubs[hubs].iter().flat_map(|shell| &shell.subscriptions);
        let rooms: Vec<Topic> = wanted
            .filter_map(|to| match to {
                Subscription::Room(room) => Some(Topic::Room(room.clone())),
                Subscription::User(_) => None,
            })
            .collect();
        for topic in rooms {
            let last = self.log.last_seq(&topic);
            let before = self.nodes[node].polled.insert(topic.clone(), last).unwrap_or(0);
            if last > before {
                self.miss(node, &topic, before + 1, last);
            }
        }
        let brought: Vec<_> = self.nodes[node].brought.clone().into_iter().collect();
        for (pair, before) in brought {
            let topic = Topic::Pair(pair.clone());
            let last = self.log.last_seq(&topic);
            if last > before {
                self.nodes[node].brought.insert(pair, last);
                self.miss(node, &topic, before + 1, last);
            }
        }
    }

    // Presence.

    pub(crate) fn tell_others(&mut self, hub: usize, change: PresenceChange) {
        (&change.room, &change.user, change.connections).hash(&mut self.hasher);
        let key = (change.room.clone(), change.user.clone());
        match change.connections {
            0 => self.hubs[hub].present.remove(&key),
            count => self.hubs[hub].present.insert(key, count),
        };
        let node = self.hubs[hub].node;
        for other in self.hubs_of(node) {
            if other != hub {
                self.push(other, Item::Presence(change.clone()));
            }
        }
        self.send_over_bridge(node, Item::Presence(change));
    }

    /// Carries to the other hubs that a user types.
    pub(crate) fn carry_typing(&mut self, hub: usize, change: TypingChange) {
        (&change.topic, &change.user, change.active).hash(&mut self.hasher);
        let (node, shard) = self.shard(hub);
        let subscribers = self.nodes[node].routing.subscribers(&change.topic);
        let first = self.hubs_of(node).start;
        for other in subscribers.filter(|other| *other != shard) {
            self.push(first + other, Item::Typing(change.clone()));
        }
        self.send_over_bridge(node, Item::Typing(change));
    }

    /// Sends an item to the other server. The connection keeps the order and loses nothing
    /// while it lasts.
    pub(crate) fn send_over_bridge(&mut self, from: usize, item: Item) {
        let to = 1 - from;
        if self.is_partitioned {
            return;
        }
        let delay_ms = self.random.between(1, 10);
        self.bridge_ms[to] = self.bridge_ms[to].max(self.now_ms + delay_ms);
        let (at_ms, bridge) = (self.bridge_ms[to], self.bridge);
        self.at(at_ms, Event::Bridge { node: to, bridge, item });
    }

    pub(crate) fn over_bridge(&mut self, node: usize, bridge: u64, item: Item) {
        if self.bridge != bridge || self.nodes[node].state == NodeState::Down {
            return;
        }
        for hub in self.hubs_of(node) {
            self.push(hub, item.clone());
        }
    }

    /// Starts a new connection between the servers: each sends all its presence.
    pub(crate) fn bridge_anew(&mut self) {
        self.bridge += 1;
        for node in 0..NODES {
            let other = 1 - node;
            if self.nodes[node].state == NodeState::Down || self.nodes[other].state == NodeState::Down {
                continue;
            }
            for hub in self.hubs_of(node) {
                let id = self.hubs[hub].id;
                self.lose_hub(other, id, hub);
                let present = self.hubs[hub].present.clone();
                for ((room, user), connections) in present {
                    self.oracle.expect_notice(&room, &user, true);
                    let at_s = self.wall_ms(node) / 1000;
                    let kind = PresenceKind::Joined;
                    let change = PresenceChange { hub: id, room, user, kind, connections, at_s };
                    self.send_over_bridge(node, Item::Presence(change));
                }
            }
        }
    }

    /// Drops a hub of the other server from the hubs of a server.
    pub(crate) fn lose_hub(&mut self, node: usize, id: u32, hub: usize) {
        let present: Vec<_> = self.hubs[hub].present.keys().cloned().collect();
        for (room, user) in present {
            self.oracle.expect_notice(&room, &user, false);
        }
        if self.bug == Some(Bug::NoHubLost) {
            return;
        }
        for hub in self.hubs_of(node) {
            self.push(hub, Item::HubLost(id));
        }
    }

    // Reads.

    pub(crate) fn read(&mut self, origin: Origin, id: ReadId, query: &Query) {
        let fails = self.is_log_out() || self.random.chance(self.rates.read_fails);
        let answer = if fails { Answer::Failed } else { self.log.answer(query, self.now_ms) };
        if let Query::Page { topic: Topic::Room(room), .. } | Query::Messages { topic: Topic::Room(room), .. } =
            query
            && !fails
            && self.hubs[origin.hub].boot == origin.boot
        {
            // A server knows who may get the entries that it reads.
            self.bring_changes(self.hubs[origin.hub].node, |_, _, change| change.room() == room);
        }
        // Answers may overtake each other on their way back.
        let back_ms = self.random.between(0, 15);
        self.after(back_ms, Event::Answer { origin, id, answer });
    }

    /// Checks that no draft and no read is under way.
    pub(crate) fn check_idle(&self) -> Check {
        for (number, node) in self.nodes.iter().enumerate() {
            let idle = node.queue.drafts() == 0;
            ensure(idle, || format!("server {number} still has drafts"))?;
            ensure(node.state == NodeState::Up, || format!("server {number} is {:?}", node.state))?;
        }
        for (hub, shell) in self.hubs.iter().enumerate() {
            let unanswered = shell.turn.hub().unanswered();
            ensure(unanswered == 0, || format!("hub {hub} still waits for {unanswered} drafts"))?;
            ensure(shell.reads == 0, || format!("hub {hub} still reads {} pages", shell.reads))?;
        }
        Ok(())
    }
}

/// Whether a change makes the author of an entry a member of its room.
fn is_join(change: &RoomChange, entry: &Entry) -> bool {
    let is_room = matches!(&entry.topic, Topic::Room(room) if room == change.room());
    is_room && matches!(change, RoomChange::Member { user, .. } if *user == entry.from)
}

/// The last number of the room of a change.
pub(crate) fn top(change: &RoomChange) -> u64 {
    match change {
        RoomChange::Info { top, .. } | RoomChange::Member { top, .. } | RoomChange::Gone { top, .. } => *top,
    }
}

/// The lane of a topic.
pub(crate) fn lane(topic: &Topic, lanes: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    topic.hash(&mut hasher);
    (hasher.finish() % lanes as u64) as usize
}

/// The shard of drafts: nothing but shards makes any here.
fn shard_of(from: DraftsFrom) -> usize {
    match from {
        DraftsFrom::Shard(shard) => shard,
        DraftsFrom::Call(call) => unreachable!("call {call}"),
    }
}

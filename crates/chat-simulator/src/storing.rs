//! The log's writers, the bus within a server, and reads.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use chat_cluster::{Record, Writer};
use chat_core::{
    Answer, Commit, Draft, Entry, Missed, Outcome, PresenceChange, Query, ReadId, Receipt, RoomChange,
    Subscription, Topic, TypingChange,
};
use chat_shard::{Batch, Failure, Origin as DraftsFrom, Work, drafts_by_lane};

use crate::calls::precedes;
use crate::oracle::{Check, SendRef, ensure};
use crate::world::{Event, Item, Node, NodeState, Origin, Running, Shell, World};

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
        if let Some(Running::Batch { .. }) = running[lane] {
            self.storing(node, lane);
        }
        if self.nodes[node].running[lane].is_some() {
            let slow = self.random.chance(self.rates.slow) || self.is_log_out_for(node);
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
        if self.is_log_out_for(node) || self.random.chance(self.rates.fail) {
            self.oracle.count("batch failed");
            self.fail(node, lane, batch);
            return Ok(());
        }
        let stored = self.store(&batch.drafts, &self.sends(node, &batch), self.writer(node, lane))?;
        if !self.random.chance(self.rates.lost_answer) {
            self.publish(node, lane, stored, batch);
        } else if self.random.chance(200) {
            // The commit is published to no shard, ever.
            self.oracle.count("answer never");
            self.nodes[node].queue.stored(&batch);
            self.gave_up(node, lane);
            self.begin_commit(node, lane);
        } else if self.random.chance(500) {
            // The writer resolves the outcome, and stores nothing meanwhile.
            self.oracle.count("answer late");
            let resolved_ms = self.random.between(10, 3_000);
            let stored = Box::new(stored);
            self.nodes[node].running[lane] = Some(Running::Batch { batch, is_stored: true });
            self.after(resolved_ms, Event::Resolved { node, boot, lane, stored });
        } else {
            // The writer gives up: the batch is stored, but fails.
            self.oracle.count("answer lost");
            self.fail(node, lane, batch);
        }
        Ok(())
    }

    /// Publishes a commit whose answer was lost, once its outcome is resolved.
    pub(crate) fn resolved(&mut self, node: usize, boot: u64, lane: usize, stored: (Commit, Record)) {
        if self.nodes[node].boot == boot
            && let Some(Running::Batch { batch, .. }) = self.nodes[node].running[lane].take()
        {
            self.publish(node, lane, stored, batch);
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

    /// Stores drafts in a transaction, whether or not its answer is lost. The writer's server may
    /// have crashed.
    pub(crate) fn store(
        &mut self,
        drafts: &[Draft],
        sends: &[SendRef],
        writer: Writer,
    ) -> Result<(Commit, Record), String> {
        let own = self
            .nodes
            .iter()
            .position(|node| node.state != NodeState::Down && node.member.incarnation == writer.incarnation);
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
        let is_orphan = own.is_none();
        let record = self.write_feed(writer, &commit.entries, Vec::new(), is_orphan);
        Ok((commit, record))
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

    /// Publishes a commit of a server.
    fn publish(&mut self, node: usize, lane: usize, (commit, record): (Commit, Record), batch: Batch) {
        self.nodes[node].queue.stored(&batch);
        self.publish_commit(node, record, commit, batch.origins);
        self.begin_commit(node, lane);
    }

    /// A batch was not stored, as far as its server knows.
    fn fail(&mut self, node: usize, lane: usize, batch: Batch) {
        let failure = self.nodes[node].queue.fail(lane, batch);
        self.gave_up(node, lane);
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

    /// Brings changes to the hubs of a server, and entries to those that are subscribed to them.
    /// Earlier changes of the rooms of these entries come first.
    pub(crate) fn bring(
        &mut self,
        node: usize,
        changes: &[RoomChange],
        entries: &[Arc<Entry>],
        is_own_commit: bool,
    ) {
        let known = if self.is_cut_off(node) { &[] } else { entries };
        for entry in known {
            if let Topic::Room(room) = &entry.topic {
                // A server's own writer publishes its own changes first.
                self.bring_changes(node, |_, is_own, change| {
                    (!is_own_commit || !is_own) && precedes(change, room, entry.seq)
                });
            }
        }
        self.deliver(node, changes, entries, &[], &[]);
    }

    pub(crate) fn deliver(
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

    pub(crate) fn miss(&mut self, node: usize, topic: &Topic, first: u64, last: u64) {
        let first_hub = self.hubs_of(node).start;
        for shard in self.nodes[node].routing.subscribers(topic) {
            let missed = Missed { topic: topic.clone(), first, last };
            self.push(first_hub + shard, Item::Missed(vec![missed]));
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

    // Presence.

    pub(crate) fn tell_others(&mut self, hub: usize, change: PresenceChange) {
        (&change.room, &change.user, change.connections).hash(&mut self.hasher);
        let node = self.hubs[hub].node;
        for other in self.hubs_of(node) {
            if other != hub {
                self.push(other, Item::Presence(change.clone()));
            }
        }
        self.tell_servers(node, change);
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
        self.tell_servers_of_typing(node, change);
    }

    // Reads.

    pub(crate) fn read(&mut self, origin: Origin, id: ReadId, query: &Query) {
        let node = self.hubs[origin.hub].node;
        let fails = self.is_log_out_for(node) || self.random.chance(self.rates.read_fails);
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
        ensure(self.oracle.answered_unread.is_none(), || {
            format!("the receipts of {:?} came before its entries", self.oracle.answered_unread)
        })?;
        for (number, node) in self.nodes.iter().enumerate() {
            let idle = node.queue.drafts() == 0;
            ensure(idle, || format!("server {number} still has drafts"))?;
            let asked = node.asked_changes;
            ensure(asked == 0, || format!("server {number} neither made nor refused {asked} changes"))?;
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

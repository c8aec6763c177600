//! The log's writers, the bus within a server and between the two, and reads.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use chat_core::{
    Answer, Commit, Entry, Missed, Outcome, PresenceChange, Query, ReadId, Receipt, Subscription, Topic,
    Username,
};

use crate::log::{Handed, Queued};
use crate::oracle::{Check, ensure};
use crate::planted::Bug;
use crate::world::{Event, Item, NODES, NodeState, Origin, World};

impl World {
    // Writers.

    fn lane(&self, topic: &Topic) -> usize {
        let mut hasher = DefaultHasher::new();
        topic.hash(&mut hasher);
        (hasher.finish() % self.plan.lanes as u64) as usize
    }

    /// What a hub wants stored goes to its server's writer at the end of a turn.
    pub(crate) fn hand_to_writer(&mut self, hub: usize) {
        let drafts = std::mem::take(&mut self.hubs[hub].to_store);
        if drafts.is_empty() {
            return;
        }
        let node = self.hubs[hub].node;
        let mut by_lane: BTreeMap<usize, Vec<Queued>> = BTreeMap::new();
        for queued in drafts {
            by_lane.entry(self.lane(&queued.draft.topic)).or_default().push(queued);
        }
        for (lane, drafts) in by_lane {
            let failures_heard = self.hubs[hub].failures_heard[lane];
            let shard = hub % self.plan.shards;
            if self.nodes[node].lanes[lane].waiting() >= self.plan.queue_max {
                self.fail(node, lane, &drafts);
            } else {
                self.nodes[node].lanes[lane].queue.push_back(Handed { shard, drafts, failures_heard });
                self.begin_commit(node, lane);
            }
        }
    }

    fn begin_commit(&mut self, node: usize, lane: usize) {
        if !self.nodes[node].lanes[lane].running.is_empty() {
            return;
        }
        while self.nodes[node].lanes[lane].running.is_empty() {
            let batch_max = self.random.size(1, 40);
            let is_careless = self.bug == Some(Bug::NoFailuresHeard);
            if self.nodes[node].lanes[lane].queue.is_empty() {
                return;
            }
            while self.nodes[node].lanes[lane].running.len() < batch_max
                && let Some(handed) = self.nodes[node].lanes[lane].queue.pop_front()
            {
                // What a hub sent before it could know of a failure must not
                // be stored before what failed is sent again.
                let failures = self.nodes[node].lanes[lane].failures[handed.shard];
                if handed.failures_heard == failures || is_careless {
                    self.nodes[node].lanes[lane].running.extend(handed.drafts);
                } else {
                    self.fail(node, lane, &handed.drafts);
                }
            }
        }
        let slow = self.random.chance(self.rates.slow) || self.is_log_out();
        let latency_ms = self.random.between(0, if slow { 7_000 } else { 8 });
        let boot = self.nodes[node].boot;
        self.after(latency_ms, Event::Commit { node, boot, lane });
    }

    pub(crate) fn is_log_out(&self) -> bool {
        self.now_ms < self.out_until_ms
    }

    pub(crate) fn commit(&mut self, node: usize, boot: u64, lane: usize) -> Check {
        if self.nodes[node].boot != boot {
            return Ok(());
        }
        let running = self.nodes[node].lanes[lane].running.clone();
        if self.is_log_out() || self.random.chance(self.rates.fail) {
            self.oracle.count("batch failed");
            if self.bug == Some(Bug::AckAFailure) {
                self.end_batch(node, lane);
                self.acknowledge_anyway(node, &running);
                return Ok(());
            }
            let mut failed = running;
            if self.bug != Some(Bug::NoFailuresHeard) {
                let waiting = self.nodes[node].lanes[lane].queue.drain(..);
                failed.extend(waiting.flat_map(|handed| handed.drafts));
            }
            self.fail(node, lane, &failed);
            self.end_batch(node, lane);
            return Ok(());
        }
        let commit = self.store(&running)?;
        if !self.random.chance(self.rates.lost_answer) {
            self.publish(node, &commit, &running);
            self.end_batch(node, lane);
        } else if self.random.chance(200) {
            // Nobody is ever told.
            self.oracle.count("answer never");
            self.end_batch(node, lane);
        } else if self.random.chance(500) {
            // The writer asks what became of it, and stores nothing meanwhile.
            self.oracle.count("answer late");
            let settled_ms = self.random.between(10, 3_000);
            let commit = Box::new(commit);
            self.nodes[node].lanes[lane].is_stored = true;
            self.after(settled_ms, Event::Settled { node, boot, lane, commit });
        } else {
            // It gives up: stored, but said to have failed.
            self.oracle.count("answer lost");
            let mut failed = running;
            let waiting = self.nodes[node].lanes[lane].queue.drain(..);
            failed.extend(waiting.flat_map(|handed| handed.drafts));
            self.fail(node, lane, &failed);
            self.end_batch(node, lane);
        }
        Ok(())
    }

    pub(crate) fn settled(&mut self, node: usize, boot: u64, lane: usize, commit: &Commit) {
        if self.nodes[node].boot == boot {
            let running = self.nodes[node].lanes[lane].running.clone();
            self.publish(node, commit, &running);
            self.end_batch(node, lane);
        }
    }

    fn end_batch(&mut self, node: usize, lane: usize) {
        self.nodes[node].lanes[lane].running.clear();
        self.nodes[node].lanes[lane].is_stored = false;
        self.begin_commit(node, lane);
    }

    /// A transaction, whoever hears of it.
    pub(crate) fn store(&mut self, queued: &[Queued]) -> Result<Commit, String> {
        let drafts: Vec<_> = queued.iter().map(|queued| queued.draft.clone()).collect();
        // The database has one clock: that of the first server.
        let wall_ms = self.wall_ms(0);
        let commit = self.log.append(&drafts, wall_ms);
        self.note(|| {
            let stored = commit.entries.iter().map(|e| (&e.topic, e.seq, e.body.text()));
            format!("    the log stores {:?}", stored.collect::<Vec<_>>())
        });
        for entry in &commit.entries {
            (&entry.topic, entry.seq).hash(&mut self.hasher);
            self.oracle.committed(entry)?;
            self.owe(entry);
        }
        for (queued, receipt) in std::iter::zip(queued, &commit.receipts) {
            match receipt.outcome {
                Outcome::Stored { .. } => self.oracle.stored(queued.send, true)?,
                Outcome::Duplicate { .. } => self.oracle.stored(queued.send, false)?,
                Outcome::NoRecipient { .. } => self.oracle.has_no_recipient(queued.send),
                Outcome::Failed => {}
            }
        }
        Ok(commit)
    }

    /// Who must get a private message: those who are there now, and stay.
    fn owe(&mut self, entry: &Entry) {
        let Topic::Pair(pair) = &entry.topic else { return };
        for number in 0..self.sockets.len() {
            let socket = &self.sockets[number];
            if !socket.open || socket.closed_by_hub {
                continue;
            }
            let concerned = *pair.low() == socket.user || *pair.high() == socket.user;
            // Otherwise its hub has still to say that it came.
            let user = Subscription::User(socket.user.clone());
            if concerned && self.hubs[socket.hub].subscriptions.contains(&user) {
                self.oracle.owe(number, entry);
            }
        }
    }

    /// Gives every hub of the server that a commit concerns its entries, then
    /// the receipts of its own drafts; and the other server the entries.
    fn publish(&mut self, node: usize, commit: &Commit, queued: &[Queued]) {
        self.bring(node, &commit.entries);
        self.give_receipts(node, &commit.receipts, queued, None);
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
    }

    /// The drafts were not stored, as far as their server knows.
    fn fail(&mut self, node: usize, lane: usize, queued: &[Queued]) {
        let mut shards: Vec<usize> = queued.iter().map(|queued| queued.shard).collect();
        shards.sort_unstable();
        shards.dedup();
        for shard in shards {
            self.nodes[node].lanes[lane].failures[shard] += 1;
        }
        let failed = |queued: &Queued| Receipt { draft: queued.draft.id, outcome: Outcome::Failed };
        let receipts: Vec<_> = queued.iter().map(failed).collect();
        self.give_receipts(node, &receipts, queued, Some(lane));
    }

    /// See [`Bug::AckAFailure`].
    fn acknowledge_anyway(&mut self, node: usize, queued: &[Queued]) {
        let at_ms = self.wall_ms(0);
        let stored = |queued: &Queued| {
            let seq = self.log.last_seq(&queued.draft.topic) + 1;
            Receipt { draft: queued.draft.id, outcome: Outcome::Stored { seq, at_ms } }
        };
        let receipts: Vec<_> = queued.iter().map(stored).collect();
        self.give_receipts(node, &receipts, queued, None);
    }

    fn give_receipts(&mut self, node: usize, receipts: &[Receipt], queued: &[Queued], failed: Option<usize>) {
        for hub in self.hubs_of(node) {
            let shard = hub % self.plan.shards;
            let its = std::iter::zip(queued, receipts).filter(|(queued, _)| queued.shard == shard);
            let receipts: Vec<_> = its.map(|(_, receipt)| receipt.clone()).collect();
            if receipts.is_empty() {
                continue;
            }
            let item = match failed {
                Some(lane) => Item::Failure { lane, receipts },
                None => Item::Commit { entries: Vec::new(), receipts },
            };
            self.push(hub, item);
        }
    }

    // The bus within a server.

    /// Brings entries to the hubs of a server that want them.
    ///
    /// A private conversation begins on a hub where it is first heard of, so
    /// nothing of it may be brought behind a hole: the bus of a server knows
    /// how far each was brought, and names what was left out.
    pub(crate) fn bring(&mut self, node: usize, entries: &[Arc<Entry>]) {
        let mut of_each: Vec<Vec<Arc<Entry>>> = vec![Vec::new(); self.plan.shards];
        for entry in entries {
            if let Topic::Pair(pair) = &entry.topic {
                let Some(heard) = self.nodes[node].heard.get_mut(pair) else { continue };
                if entry.seq <= *heard {
                    continue;
                }
                let first = std::mem::replace(heard, entry.seq) + 1;
                if first < entry.seq {
                    // In order with what is carried before.
                    self.give_entries(node, &mut of_each);
                    self.miss(node, &entry.topic, first, entry.seq);
                    continue;
                }
            }
            for (shard, hub) in self.hubs_of(node).enumerate() {
                if self.hubs[hub].wants(&entry.topic) {
                    of_each[shard].push(Arc::clone(entry));
                }
            }
        }
        self.give_entries(node, &mut of_each);
    }

    fn give_entries(&mut self, node: usize, of_each: &mut [Vec<Arc<Entry>>]) {
        for (shard, hub) in self.hubs_of(node).enumerate() {
            let entries = std::mem::take(&mut of_each[shard]);
            if !entries.is_empty() {
                self.push(hub, Item::Commit { entries, receipts: Vec::new() });
            }
        }
    }

    fn miss(&mut self, node: usize, topic: &Topic, first: u64, last: u64) {
        for hub in self.hubs_of(node) {
            if self.hubs[hub].wants(topic) {
                let inbox = &mut self.hubs[hub].inbox;
                if inbox.missed.is_empty() {
                    let missed = Missed { topic: topic.clone(), first, last };
                    self.push(hub, Item::Missed(vec![missed]));
                } else {
                    // In the place of what was missed before.
                    let range = inbox.missed.entry(topic.clone()).or_insert((first, last));
                    range.1 = range.1.max(last);
                }
            }
        }
    }

    /// Somebody's conversations are wanted on a server: from where on?
    pub(crate) fn begin_to_hear(&mut self, node: usize, user: &Username) {
        let pairs: Vec<_> = self.oracle.pairs_of(user).cloned().collect();
        let hubs = self.hubs_of(node);
        for pair in pairs {
            let other = Subscription::User(pair.other(user).clone());
            let is_heard = *pair.other(user) != *user
                && self.hubs[hubs.clone()].iter().any(|shell| shell.subscriptions.contains(&other));
            let again = self.hubs[hubs.clone()]
                .iter()
                .filter(|shell| shell.subscriptions.contains(&Subscription::User(user.clone())))
                .count()
                > 1;
            if !is_heard && !again {
                let last = self.log.last_seq(&Topic::Pair(pair.clone()));
                self.nodes[node].heard.insert(pair, last);
            }
        }
        // Of one that has not begun, everything is heard.
        let users: Vec<_> = crate::people::users().collect();
        for other in users {
            let pair = chat_core::Pair::new(user.clone(), other);
            self.nodes[node].heard.entry(pair).or_insert(0);
        }
    }

    /// An inbox loses no control message and no receipt. Entries beyond its
    /// cap are named by their numbers.
    pub(crate) fn push(&mut self, hub: usize, mut item: Item) {
        let max = self.plan.inbox_max;
        let drops = self.bug == Some(Bug::DropWhenFull);
        let inbox = &mut self.hubs[hub].inbox;
        if let Item::Commit { entries, receipts } = &mut item {
            if !inbox.missed.is_empty() || inbox.entries + entries.len() > max {
                if !entries.is_empty() {
                    self.oracle.count("inbox full");
                }
                if inbox.missed.is_empty() && !entries.is_empty() {
                    inbox.items.push_back(Item::Missed(Vec::new()));
                }
                for entry in entries.drain(..) {
                    if !drops {
                        let range = inbox.missed.entry(entry.topic.clone()).or_insert((entry.seq, entry.seq));
                        range.1 = range.1.max(entry.seq);
                    }
                }
            } else {
                inbox.entries += entries.len();
            }
            if entries.is_empty() && receipts.is_empty() {
                return self.schedule_inbox(hub);
            }
        }
        inbox.items.push_back(item);
        self.schedule_inbox(hub);
    }

    fn schedule_inbox(&mut self, hub: usize) {
        if !std::mem::replace(&mut self.hubs[hub].inbox.is_scheduled, true) {
            let busy = self.random.chance(self.rates.busy);
            let delay_ms = self.random.between(0, if busy { 800 } else { 4 });
            let origin = self.origin(hub);
            self.after(delay_ms, Event::TakeInbox { origin });
        }
    }

    /// A server asks the log how far everything is that its hubs want.
    pub(crate) fn poll(&mut self, node: usize, boot: u64) {
        if self.nodes[node].boot != boot || self.nodes[node].state == NodeState::Down {
            return;
        }
        self.after(1_000, Event::Poll { node, boot });
        if self.is_log_out() || self.bug == Some(Bug::NoPoll) {
            return;
        }
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
        let heard: Vec<_> = self.nodes[node].heard.clone().into_iter().collect();
        for (pair, before) in heard {
            let topic = Topic::Pair(pair.clone());
            let last = self.log.last_seq(&topic);
            if last > before {
                self.nodes[node].heard.insert(pair, last);
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

    /// In order, and not lost as long as the connection of the servers lasts.
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
            let copy = match &item {
                Item::Presence(change) => Item::Presence(change.clone()),
                Item::HubLost(id) => Item::HubLost(*id),
                _ => continue,
            };
            self.push(hub, copy);
        }
    }

    /// Their connection begins anew: each tells the other who is there.
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
                    self.oracle.told_again(&room, &user, true);
                    let at_s = self.wall_ms(node) / 1000;
                    let change = PresenceChange { hub: id, room, user, joined: true, connections, at_s };
                    self.send_over_bridge(node, Item::Presence(change));
                }
            }
        }
    }

    /// A server gives a hub of the other one up.
    pub(crate) fn lose_hub(&mut self, node: usize, id: u32, hub: usize) {
        let present: Vec<_> = self.hubs[hub].present.keys().cloned().collect();
        for (room, user) in present {
            self.oracle.told_again(&room, &user, false);
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
        let answer = if fails { Answer::Failed } else { self.log.answer(query) };
        // On its way back others may overtake it.
        let back_ms = self.random.between(0, 15);
        self.after(back_ms, Event::Answer { origin, id, answer });
    }

    /// Nothing is being stored or carried any more.
    pub(crate) fn is_settled(&self) -> Check {
        for (number, node) in self.nodes.iter().enumerate() {
            let idle = node.lanes.iter().all(crate::log::Lane::is_idle);
            ensure(idle, || format!("server {number} is still storing"))?;
            ensure(node.state == NodeState::Up, || format!("server {number} is {:?}", node.state))?;
        }
        for (hub, shell) in self.hubs.iter().enumerate() {
            let unanswered = shell.hub.unanswered();
            ensure(unanswered == 0, || format!("hub {hub} still waits for {unanswered} drafts"))?;
            ensure(shell.reads == 0, || format!("hub {hub} still reads {} pages", shell.reads))?;
        }
        Ok(())
    }
}

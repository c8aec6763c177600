//! Faults: servers that crash and drain, partitions, outages, clocks; and their end.

use chat_core::{RoomChange, SessionId};
use chat_shard::{LogQueue, MARKS_MAX, Marks, Routing};

use crate::cluster::Member;
use crate::oracle::{Check, Expected, ensure};
use crate::planted::with_bug;
use crate::rates::Plan;
use crate::world::{Control, Event, Item, NODES, NodeState, Running, Socket, SocketKind, World};

impl World {
    pub(crate) fn fault(&mut self) -> Check {
        if self.calm {
            return Ok(());
        }
        let next_ms = self.random.between(100, 1_500);
        self.after(next_ms, Event::Fault);
        let node = self.random.index(NODES);
        if self.random.chance(self.rates.clock_jumps) {
            let hour_ms = self.random.between(0, 3_600_000) as i64;
            let forward = self.random.chance(500);
            self.nodes[node].wall_offset_ms += if forward { hour_ms } else { -hour_ms };
            self.oracle.count("clock jumped");
        }
        if self.random.chance(self.rates.outages) {
            self.out_until_ms = self.now_ms + self.random.between(10, 6_000);
            self.oracle.count("log out");
        }
        if self.random.chance(self.rates.trims) {
            self.trim()?;
        }
        if self.random.chance(self.rates.partitions) {
            let lasts_ms = self.random.between(10, 9_000);
            self.cut_bus(node, lasts_ms);
        }
        if self.random.chance(self.rates.database_cuts) {
            self.cut_database(node);
        }
        if self.random.chance(self.rates.drains) && self.nodes[node].state == NodeState::Up {
            self.drain(node);
        } else if self.random.chance(self.rates.crashes) && self.nodes[node].state != NodeState::Down {
            self.oracle.count("server crashed");
            self.crash(node);
        }
        Ok(())
    }

    /// A server is cut off from the database: one with clients in closed rooms, if there is one.
    fn cut_database(&mut self, node: usize) {
        self.oracle.count("database cut");
        let node = (0..NODES).find(|node| !self.inside_closed_rooms(*node).is_empty()).unwrap_or(node);
        let until_ms = self.now_ms + self.random.between(10, 14_000);
        self.nodes[node].member.off_database_until_ms = until_ms;
        for hub in self.hubs_of(node) {
            self.oracle.cut_off(hub, self.now_ms, until_ms);
        }
        self.leave_elsewhere(node);
    }

    /// Drops the oldest entries of a topic from the log.
    fn trim(&mut self) -> Check {
        let topics: Vec<_> = self.oracle.topics().cloned().collect();
        if topics.is_empty() {
            return Ok(());
        }
        let topic = topics[self.random.index(topics.len())].clone();
        let keep = self.random.between(0, 60);
        let taken_back = self.log.trim(&topic, keep);
        let first = self.log.first(&topic);
        self.note(|| format!("    {topic:?} is kept from {first} on"));
        let now_ms = self.now_ms;
        self.oracle.trimmed(&topic, first, now_ms);
        self.check_taken_back(&taken_back)?;
        // One server does it, and only its own hubs get to know.
        let node = self.random.index(NODES);
        if self.nodes[node].state != NodeState::Down {
            for hub in self.hubs_of(node) {
                self.push(hub, Item::Trimmed([(topic.clone(), first)].into()));
            }
        }
        self.oracle.count("trimmed");
        Ok(())
    }

    // Servers.

    pub(crate) fn start_node(&mut self, node: usize) {
        if self.nodes[node].state != NodeState::Down {
            return;
        }
        let Plan { lanes, shards, drafts_max, .. } = self.plan;
        let this = &mut self.nodes[node];
        this.boot += 1;
        this.state = NodeState::Up;
        this.queue = with_bug!(LogQueue::new(lanes, shards, drafts_max), self.bug);
        this.asked_changes = 0;
        this.running = (0..lanes).map(|_| None).collect();
        this.marks = with_bug!(Marks::new(MARKS_MAX), self.bug);
        this.keeps_marks = false;
        // Its hubs read the rooms and members as they are now.
        this.due.clear();
        this.routing = with_bug!(Routing::default(), self.bug);
        // It is registered for its first start already.
        if this.boot > 1 {
            this.member = Member::new(&mut self.feed, self.now_ms, self.bug);
        }
        let boot = this.boot;
        for (shard, hub) in self.hubs_of(node).enumerate() {
            self.oracle.rebooted(hub);
            let id = self.nodes[node].member.hub_id(shard, self.bug);
            self.hubs[hub] = self.new_shell(node, boot, id);
            self.schedule_tick(hub);
        }
        self.after(0, Event::Poll { node, boot });
        let beat_ms = self.random.between(0, 250);
        self.after(beat_ms, Event::Beat { node, boot });
        let sweep_ms = self.random.between(100, 1_500);
        self.after(sweep_ms, Event::LookForFiles { node, boot });
    }

    /// Ends a server at once, with all its state.
    pub(crate) fn crash(&mut self, node: usize) {
        for hub in self.hubs_of(node) {
            for socket in self.sockets_of(hub) {
                self.sockets[socket].open = false;
                self.oracle.closed(socket);
                let was_cut = std::mem::replace(&mut self.sockets[socket].cut, true);
                if !was_cut && self.random.chance(750) {
                    let noticed_ms = self.random.between(1, 40);
                    self.after(noticed_ms, Event::Ended { socket, code: None });
                }
            }
        }
        // The database may still commit the batches that were running.
        for lane in 0..self.plan.lanes {
            let running = self.nodes[node].running[lane].take();
            if self.is_log_out_for(node) || !self.random.chance(500) {
                continue;
            }
            let late_ms = self.random.between(0, 2_000);
            match running {
                Some(Running::Batch { batch, is_stored: false }) => {
                    self.oracle.count("orphan");
                    let (sends, writer) = (self.sends(node, &batch), self.writer(node, lane));
                    self.after(late_ms, Event::Orphan { writer, drafts: batch.drafts, sends });
                }
                Some(Running::Change(change)) => {
                    self.oracle.count("orphan change");
                    let (wanted, now_ms) = (change.wanted, change.now_ms);
                    self.after(late_ms, Event::OrphanChange { wanted, now_ms });
                }
                Some(Running::Batch { is_stored: true, .. } | Running::Pause) | None => {}
            }
        }
        self.stop(node);
    }

    /// Ends a server, which starts again later.
    fn stop(&mut self, node: usize) {
        self.nodes[node].state = NodeState::Down;
        self.nodes[node].boot += 1;
        self.nodes[node].queue = LogQueue::new(1, 0, 0);
        self.nodes[node].asked_changes = 0;
        self.nodes[node].running.clear();
        for hub in self.hubs_of(node) {
            // Events on their way to it are ignored.
            self.hubs[hub].boot += 1;
            self.hubs[hub].sockets.clear();
        }
        let down_ms = if self.calm { 50 } else { self.random.between(10, 2_000) };
        self.after(down_ms, Event::Start { node });
    }

    fn drain(&mut self, node: usize) {
        self.oracle.count("server drained");
        self.nodes[node].state = NodeState::Draining;
        for hub in self.hubs_of(node) {
            self.push(hub, Item::Drain);
        }
    }

    pub(crate) fn stop_if_drained(&mut self, node: usize) {
        if self.nodes[node].state != NodeState::Draining {
            return;
        }
        let mut hubs = self.hubs_of(node);
        if hubs.all(|hub| self.hubs[hub].turn.hub().is_drained() && self.sockets_of(hub).is_empty()) {
            // A server that stops in order stores the marks that wait.
            self.flush_marks(node);
            self.leave_cluster(node);
            self.stop(node);
        }
    }

    pub(crate) fn revoke_on(&mut self, node: usize, session: &SessionId) {
        if self.nodes[node].state != NodeState::Down {
            for hub in self.hubs_of(node) {
                self.push(hub, Item::Revoke([session.clone()].into()));
                self.push(hub, Item::Other(Control::AnswerAfterTurn(session.clone())));
            }
        }
    }

    // The end.

    pub(crate) fn become_calm(&mut self) -> Check {
        self.calm = true;
        self.rates.calm();
        self.out_until_ms = 0;
        for node in 0..NODES {
            self.nodes[node].member.off_database_until_ms = 0;
            if self.nodes[node].state != NodeState::Down {
                self.nodes[node].member.off_bus_until_ms = 0;
                self.bus_changed(node);
            }
            if self.nodes[node].state == NodeState::Down {
                self.after(50, Event::Start { node });
            }
        }
        for socket in 0..self.sockets.len() {
            let Socket { open, cut, stalled, .. } = self.sockets[socket];
            if cut {
                // The server notices half-open connections.
                if open {
                    self.after(20, Event::Lost { socket });
                }
                if matches!(self.sockets[socket].kind, SocketKind::App(_)) {
                    self.after(20, Event::Ended { socket, code: None });
                }
            } else if stalled {
                self.after(0, Event::Reads { socket });
            }
        }
        Ok(())
    }

    /// Checks, ten seconds after the last fault, that all connected clients have everything.
    pub(crate) fn check_delivered(&mut self) -> Check {
        self.check_idle()?;
        for socket in 0..self.sockets.len() {
            if self.sockets[socket].open && !self.sockets[socket].closed_by_hub {
                self.oracle.is_complete(socket, None)?;
            }
        }
        Ok(())
    }

    /// Checks the end of the run, when all clients are back.
    pub(crate) fn check_the_end(&mut self) -> Check {
        self.check_idle()?;
        self.check_files()?;
        let mut expected = Expected::default();
        // Where the answer to a commit was lost, and its author never wrote there again, no hub
        // of that server knows that the author is a member.
        let due = self.nodes.iter().flat_map(|node| &node.due);
        let own = due.filter(|(_, is_own)| **is_own).map(|(index, _)| index);
        for index in own.chain(&self.lost).filter(|index| self.joins.contains(index)) {
            if let RoomChange::Member { room, user, .. } = &self.changes[*index] {
                expected.unknown.insert((room.clone(), user.clone()));
            }
        }
        let there: Vec<usize> = (0..self.sockets.len())
            .filter(|&socket| self.sockets[socket].open && !self.sockets[socket].closed_by_hub)
            .collect();
        for &socket in &there {
            for room in self.oracle.rooms_of(socket) {
                expected.people.entry(room).or_default().insert(self.sockets[socket].user.clone());
            }
        }
        for &socket in &there {
            let waiting = self.sockets[socket].held.len();
            ensure(waiting == 0, || format!("{waiting} frames of socket {socket} were never taken"))?;
            self.oracle.is_complete(socket, Some(&expected))?;
        }
        for (user, topic, upto) in self.oracle.marks_said() {
            let kept = self.log.read(&user, &topic);
            ensure(kept >= upto, || format!("{user} has read {topic:?} up to {upto}, but {kept} is kept"))?;
        }
        self.check_apps(&expected)
    }
}

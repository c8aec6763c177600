//! Changes of rooms and of their members, as users make them by calls of the HTTP API, and
//! the marks of users on their way to the log.

use std::collections::BTreeMap;
use std::hash::Hash;

use chat_core::{
    Access, Actor, Output, Role, RoomChange, RoomInfo, RoomName, RoomPatch, Topic, UserMark, Username,
    WantedChange,
};
use chat_shard::{MARKS_MAX, QueuedChange};

use crate::oracle::{Check, ensure};
use crate::people::{CLOSED_ROOMS, users};
use crate::storing::{lane, top};
use crate::world::{Event, Item, NODES, NodeState, Running, World};

impl World {
    // Calls.

    /// A user makes a call that changes a room.
    pub(crate) fn call(&mut self) {
        let up = |node: &usize| self.nodes[*node].state != NodeState::Down;
        let nodes: Vec<usize> = (0..NODES).filter(up).collect();
        if nodes.is_empty() {
            return;
        }
        let node = nodes[self.random.index(nodes.len())];
        let wanted = self.some_change();
        self.ask(node, wanted);
    }

    /// Users who are in closed rooms on a server.
    pub(crate) fn inside_closed_rooms(&self, node: usize) -> Vec<(RoomName, Username)> {
        let mut inside = Vec::new();
        for room in CLOSED_ROOMS.map(|name| RoomName::parse(name).expect("a good name")) {
            for socket in self.hubs_of(node).flat_map(|hub| self.sockets_of(hub)) {
                if self.oracle.is_in(socket, &room) {
                    inside.push((room.clone(), self.sockets[socket].user.clone()));
                }
            }
        }
        inside
    }

    /// A user who is in a closed room on this server, which is cut off from the database, leaves it by a
    /// call to another one.
    pub(crate) fn leave_elsewhere(&mut self, node: usize) {
        let is_other = |other: &usize| *other != node && self.nodes[*other].state == NodeState::Up;
        let others: Vec<usize> = (0..NODES).filter(is_other).collect();
        let inside = self.inside_closed_rooms(node);
        if !others.is_empty() && !inside.is_empty() {
            self.oracle.count("left elsewhere");
            let (room, user) = inside[self.random.index(inside.len())].clone();
            let by = Actor { user: user.clone(), is_administrator: false };
            let other = others[self.random.index(others.len())];
            self.ask(other, WantedChange::Remove { room, user, by });
        }
    }

    /// A server is asked for a change.
    fn ask(&mut self, node: usize, wanted: WantedChange) {
        self.note(|| format!("    server {node} is asked for {wanted:?}"));
        let lane = lane(&Topic::Room(wanted.room().clone()), self.plan.lanes);
        let now_ms = self.wall_ms(0);
        if self.nodes[node].queue.change(lane, wanted, now_ms, ()) {
            self.nodes[node].asked_changes += 1;
            self.begin_commit(node, lane);
        }
    }

    fn some_change(&mut self) -> WantedChange {
        let all: Vec<Username> = users().collect();
        let name = match self.random.chance(500) {
            true => CLOSED_ROOMS[self.random.index(CLOSED_ROOMS.len())],
            false => self.some_room(),
        };
        let room = RoomName::parse(name).expect("a good name");
        // Most calls are about rooms that there are.
        let is_new = room.is_made_by_server() && !self.oracle.has_room(&room);
        let kind = if is_new && self.random.chance(800) { 0 } else { self.random.between(0, 99) };
        let members = self.oracle.members_of(&room);
        // Most calls come from a user who may make them.
        let by = match self.random.chance(800) && !members.is_empty() {
            true => members[self.random.index(members.len())].clone(),
            false => all[self.random.index(all.len())].clone(),
        };
        let user = all[self.random.index(all.len())].clone();
        let is_administrator = self.random.chance(300);
        let actor = Actor { user: by.clone(), is_administrator };
        match kind {
            0..=3 => {
                let access = if room.is_made_by_server() { Access::Closed } else { Access::Open };
                let info = RoomInfo { access, ..RoomInfo::opened(&room) };
                let members = all.into_iter().filter(|_| self.random.chance(500)).collect();
                WantedChange::Create { room, info, members, by }
            }
            4..=19 => {
                let mut patch = RoomPatch::default();
                match self.random.between(0, 3) {
                    0 => patch.title = Some(format!("title {}", self.random.between(0, 99))),
                    // Rooms that stay archived get no messages.
                    1 | 2 => patch.archived = Some(self.random.chance(300)),
                    _ if name == "cellar" => patch.access = Some(Access::Closed),
                    _ => patch.archived = Some(false),
                }
                WantedChange::Change { room, patch, by: actor }
            }
            20..=59 => {
                let role = match self.random.between(0, 9) {
                    0 | 1 => Some(Role::Moderator),
                    2 => Some(Role::Member),
                    _ => None,
                };
                let user = if self.random.chance(200) { by } else { user };
                WantedChange::Put { room, user, role, by: actor }
            }
            60..=84 => {
                let user = match members.is_empty() {
                    false => members[self.random.index(members.len())].clone(),
                    true => user,
                };
                WantedChange::Remove { room, user, by: actor }
            }
            _ => WantedChange::Remove { room, user: by, by: actor },
        }
    }

    // Changes on their way into the log, and to the hubs.

    /// The transaction of a change ends.
    pub(crate) fn commit_change(&mut self, node: usize, lane: usize, change: QueuedChange<()>) -> Check {
        if self.is_log_out_for(node) || self.random.chance(self.rates.fail) {
            self.oracle.count("change failed");
            self.repeat_change(node, lane, change);
            return Ok(());
        }
        let changes = self.make_change(&change.wanted, change.now_ms, Some(node))?;
        if self.random.chance(self.rates.lost_answer) {
            self.oracle.count("change lost");
            self.repeat_change(node, lane, change);
            return Ok(());
        }
        self.nodes[node].queue.changed();
        self.nodes[node].asked_changes -= 1;
        if let Some(changes) = changes {
            let changes = self.take_due(node, &changes);
            self.push_changes(node, &changes);
        }
        self.begin_commit(node, lane);
        Ok(())
    }

    fn repeat_change(&mut self, node: usize, lane: usize, change: QueuedChange<()>) {
        let failure = self.nodes[node].queue.repeat(lane, change);
        self.publish_failures(node, [failure]);
        self.nodes[node].running[lane] = Some(Running::Pause);
        let pause_ms = self.random.between(100, 1_000);
        let boot = self.nodes[node].boot;
        self.after(pause_ms, Event::Continue { node, boot, lane });
    }

    pub(crate) fn continue_lane(&mut self, node: usize, boot: u64, lane: usize) {
        if self.nodes[node].boot == boot {
            self.nodes[node].running[lane] = None;
            self.begin_commit(node, lane);
        }
    }

    /// Makes a change in the log, whether or not its answer is lost; `None` if it is refused.
    /// `own`: the server whose writer makes it.
    pub(crate) fn make_change(
        &mut self,
        wanted: &WantedChange,
        now_ms: u64,
        own: Option<usize>,
    ) -> Result<Option<Vec<RoomChange>>, String> {
        match self.log.change(wanted, now_ms) {
            Ok(changes) => {
                self.note_changes(&changes, own)?;
                Ok(Some(changes))
            }
            Err(refused) => {
                self.note(|| format!("    refused: {refused}"));
                self.oracle.count("change refused");
                Ok(None)
            }
        }
    }

    /// Notes committed changes: each server has to bring them to its hubs.
    pub(crate) fn note_changes(&mut self, changes: &[RoomChange], own: Option<usize>) -> Check {
        for change in changes {
            self.note(|| format!("    the log has {change:?}"));
            self.oracle.changed(change, self.now_ms)?;
            change.room().hash(&mut self.hasher);
            self.changes.push(change.clone());
            for node in 0..NODES {
                if self.nodes[node].state == NodeState::Down {
                    continue;
                }
                let is_own = own == Some(node);
                self.nodes[node].due.insert(self.changes.len() - 1, is_own);
                if !is_own {
                    let boot = self.nodes[node].boot;
                    let late_ms = self.random.between(1, 60);
                    self.after(late_ms, Event::RemoteChanges { node, boot });
                }
            }
        }
        Ok(())
    }

    /// Changes that a server publishes, without those that its hubs have: its hubs lack them
    /// no more, nor earlier ones of the same rooms. Of those that the server has made itself,
    /// whose answers were lost, the hubs never learn.
    pub(crate) fn take_due(&mut self, node: usize, published: &[RoomChange]) -> Vec<RoomChange> {
        let mut lacking = Vec::new();
        for change in published {
            let is_it = |(index, is_own): &(&usize, &bool)| **is_own && self.changes[**index] == *change;
            let Some((&index, _)) = self.nodes[node].due.iter().rev().find(is_it) else { continue };
            let precedes = |earlier: usize, of: &RoomChange| earlier < index && of.room() == change.room();
            self.bring_changes(node, |earlier, is_own, of| !is_own && precedes(earlier, of));
            let due = &mut self.nodes[node].due;
            let lost = due.keys().copied().filter(|&earlier| precedes(earlier, &self.changes[earlier]));
            for earlier in lost.collect::<Vec<_>>() {
                due.remove(&earlier);
                self.lost.insert(earlier);
            }
            due.remove(&index);
            lacking.push(change.clone());
        }
        lacking
    }

    /// Brings those of the changes that a server lacks to its hubs that a filter wants: it
    /// gets the index of each, and whether the server's own writer made it. The changes of a
    /// room come in their order.
    pub(crate) fn bring_changes(&mut self, node: usize, wants: impl Fn(usize, bool, &RoomChange) -> bool) {
        let due = &self.nodes[node].due;
        let is_wanted = |&(&index, &is_own): &(&usize, &bool)| wants(index, is_own, &self.changes[index]);
        let last: BTreeMap<&RoomName, usize> =
            due.iter().filter(is_wanted).map(|(&index, _)| (self.changes[index].room(), index)).collect();
        let is_due = |index: &usize| last.get(self.changes[*index].room()).is_some_and(|last| index <= last);
        let wanted: Vec<usize> = due.keys().copied().filter(is_due).collect();
        for index in wanted {
            self.nodes[node].due.remove(&index);
            let change = self.changes[index].clone();
            self.push_changes(node, &[change]);
        }
    }

    fn push_changes(&mut self, node: usize, changes: &[RoomChange]) {
        let (first, shards) = (self.hubs_of(node).start, self.plan.shards);
        let items: Vec<(usize, Item)> = self.nodes[node].routing.changes_to_all(changes, shards).collect();
        for (shard, item) in items {
            self.push(first + shard, item);
        }
        self.expect_removals(node, changes);
    }

    /// The clients of a server that may not read a room after these changes must be gone from
    /// it in time.
    pub(crate) fn expect_removals(&mut self, node: usize, changes: &[RoomChange]) {
        for change in changes {
            let room = change.room();
            for hub in self.hubs_of(node) {
                for socket in self.sockets_of(hub) {
                    let user = &self.sockets[socket].user;
                    if !self.oracle.may_read(user, room) && self.oracle.is_in(socket, room) {
                        let room = room.clone();
                        self.after(REMOVED_MS, Event::MustBeGone { socket, room });
                    }
                }
            }
        }
    }

    pub(crate) fn check_gone(&mut self, socket: usize, room: &RoomName) -> Check {
        let there = &self.sockets[socket];
        let may_stay = self.oracle.may_read(&there.user, room) || !self.oracle.is_in(socket, room);
        ensure(!there.open || there.closed_by_hub || may_stay, || {
            format!("{} is in {room}, which {} may not read", self.oracle.name(socket), there.user)
        })
    }

    pub(crate) fn check_taken(&mut self, socket: usize, since_ms: u64) -> Check {
        let there = &self.sockets[socket];
        let is_over = !there.open || there.closed_by_hub || there.taken_ms >= since_ms;
        ensure(is_over, || {
            let name = self.oracle.name(socket);
            format!(
                "{name} has not taken since {since_ms} ms that it may not read a room, and is not cut off"
            )
        })
    }

    // Marks.

    /// Has a mark of a hub's user stored.
    pub(crate) fn keep(&mut self, hub: usize, mark: UserMark) {
        (&mark.user, &mark.topic, mark.read).hash(&mut self.hasher);
        self.note(|| format!("    hub {hub}: {:?}", Output::Keep(mark.clone())));
        let node = self.hubs[hub].node;
        self.nodes[node].marks.add(mark);
        self.schedule_marks(node);
    }

    fn schedule_marks(&mut self, node: usize) {
        if !std::mem::replace(&mut self.nodes[node].keeps_marks, true) {
            let boot = self.nodes[node].boot;
            self.after(MARKS_EVERY_MS, Event::KeepMarks { node, boot });
        }
    }

    pub(crate) fn keep_marks(&mut self, node: usize, boot: u64) {
        if self.nodes[node].boot != boot {
            return;
        }
        self.nodes[node].keeps_marks = false;
        let at_once = self.random.size(1, 5);
        let marks = self.nodes[node].marks.take(at_once);
        if self.is_log_out_for(node) || self.random.chance(self.rates.fail) {
            self.oracle.count("marks failed");
            self.nodes[node].marks.put_back(marks);
        } else {
            self.log.keep(&marks);
            if self.random.chance(self.rates.lost_answer) {
                self.nodes[node].marks.put_back(marks);
            }
        }
        if !self.nodes[node].marks.is_empty() {
            self.schedule_marks(node);
        }
    }

    /// Stores the marks that wait on a server that stops in order.
    pub(crate) fn flush_marks(&mut self, node: usize) {
        if !self.is_log_out() {
            let marks = self.nodes[node].marks.take(MARKS_MAX);
            self.log.keep(&marks);
        }
    }
}

/// Whether a change precedes an entry of its room with this number.
pub(crate) fn precedes(change: &RoomChange, room: &RoomName, seq: u64) -> bool {
    change.room() == room && top(change) < seq
}

/// The time in which a client is out of a room that its user may not read any more, once
/// its server knows, in milliseconds: a hub takes its inbox late by 800 at most.
const REMOVED_MS: u64 = 1_000;
/// The time in which marks are collected, in milliseconds.
const MARKS_EVERY_MS: u64 = 500;

//! The rooms, as the log's changes make them, and what each user may read of them.

use std::collections::BTreeMap;

use chat_core::{Access, Entry, Role, RoomChange, RoomInfo, RoomName, Topic, Username};

use super::{Check, Connection, Oracle, SendRef, Speaks, ensure};
use crate::people::users;

/// A room.
#[derive(Default)]
pub(super) struct Room {
    pub(super) info: Option<RoomInfo>,
    pub(super) members: BTreeMap<Username, Role>,
    /// The room's last number when it was closed.
    closed_at: u64,
    /// When it was closed, in milliseconds.
    closed_ms: Option<u64>,
    /// The room's last number when a member was removed from it while it was closed.
    removed_at: BTreeMap<Username, u64>,
    /// When a user was last one who may not read the room.
    forbidden_until_ms: BTreeMap<Username, u64>,
    /// When a member was last gone, in milliseconds.
    left_ms: BTreeMap<Username, u64>,
}

impl Room {
    fn is_closed(&self) -> bool {
        self.info.as_ref().is_some_and(|info| info.access == Access::Closed)
    }

    fn may_read(&self, user: &Username) -> bool {
        !self.is_closed() || self.members.contains_key(user)
    }
}

impl Oracle {
    /// Notes a change that the log has committed.
    pub(crate) fn changed(&mut self, change: &RoomChange, now_ms: u64) -> Check {
        let room = self.rooms.entry(change.room().clone()).or_default();
        let was_allowed: Vec<Username> = users().filter(|user| room.may_read(user)).collect();
        match change {
            RoomChange::Info { info, top, .. } => {
                if info.access == Access::Closed && !room.is_closed() {
                    (room.closed_at, room.closed_ms) = (*top, Some(now_ms));
                }
                room.info = Some((**info).clone());
            }
            RoomChange::Member { user, role, info, top, .. } => {
                room.info = Some((**info).clone());
                if !room.may_read(user) {
                    room.forbidden_until_ms.insert(user.clone(), now_ms);
                }
                if room.members.insert(user.clone(), *role).is_none() {
                    self.marks.begin(user, change.room(), *top);
                }
            }
            RoomChange::Gone { user, top, .. } => {
                if room.members.remove(user).is_some() {
                    room.removed_at.insert(user.clone(), *top);
                    room.left_ms.insert(user.clone(), now_ms);
                    let topic = Topic::Room(change.room().clone());
                    for connection in self.connections.iter_mut().filter(|there| there.user == *user) {
                        if let Speaks::V2(v2) = &mut connection.speaks {
                            v2.shown.remove(&topic);
                        }
                    }
                }
            }
        }
        let room = &self.rooms[change.room()];
        if was_allowed.iter().any(|user| !room.may_read(user)) {
            self.count("no longer allowed");
        }
        Ok(())
    }

    /// Notes a change that a hub takes from its inbox: from the end of this turn on, clients
    /// whose users may not read the room are in it no more.
    pub(crate) fn told(&mut self, hub: usize, change: &RoomChange) {
        let room = change.room();
        if let RoomChange::Member { user, .. } | RoomChange::Gone { user, .. } = change {
            // A new membership starts with everything read, as far as the hub knows.
            for connection in
                self.connections.iter_mut().filter(|there| there.hub == hub && there.user == *user)
            {
                if let Speaks::V2(v2) = &mut connection.speaks {
                    v2.forget_counted(room);
                }
            }
        }
        if let RoomChange::Gone { user, .. } = change {
            // The hub forgets the mark with the membership. If the user is a member again by
            // now, what a client has said meanwhile belonged, for the hub, to the old one.
            let topic = Topic::Room(room.clone());
            self.marks.forget(hub, user, &topic);
            for connection in
                self.connections.iter_mut().filter(|there| there.hub == hub && there.user == *user)
            {
                if let Speaks::V2(v2) = &mut connection.speaks
                    && let Some(shown) = v2.shown.get_mut(&topic)
                {
                    shown.forget_said();
                }
            }
        }
        let outside: Vec<Username> = match change {
            RoomChange::Info { members: Some(members), info, .. } if info.access == Access::Closed => {
                users().filter(|user| !members.contains(user)).collect()
            }
            RoomChange::Gone { user, access: Access::Closed, .. } => vec![user.clone()],
            RoomChange::Member { user, .. } => {
                self.told.remove(&(hub, room.clone(), user.clone()));
                return;
            }
            _ => return,
        };
        for user in outside {
            for connection in 0..self.connections.len() {
                let there = &self.connections[connection];
                let is_v2 = matches!(there.speaks, Speaks::V2(_));
                if there.hub == hub && !there.closed && is_v2 && there.user == user {
                    self.expect_notice(room, &user, false);
                }
            }
            self.told.insert((hub, room.clone(), user));
        }
    }

    /// Checks, at the end of a turn, that a client is in no room of which its hub knows that
    /// its user may not read it.
    pub(crate) fn is_only_where_it_may(&self, connection: usize) -> Check {
        let there = &self.connections[connection];
        let Speaks::V2(v2) = &there.speaks else { return Ok(()) };
        for room in v2.stays.keys() {
            let is_told = self.told.contains(&(there.hub, room.clone(), there.user.clone()));
            ensure(!is_told || self.may_read(&there.user, room), || {
                format!("{} is in {room}, and its hub knows that it may not", there.name)
            })?;
        }
        Ok(())
    }

    pub(crate) fn may_read(&self, user: &Username, room: &RoomName) -> bool {
        match self.rooms.get(room) {
            Some(room) => room.may_read(user),
            None => !room.is_made_by_server(),
        }
    }

    /// Whether a user may not read a room, or could not at some time since this one, in
    /// milliseconds. A hub may learn of it some seconds later.
    pub(super) fn was_forbidden(&self, user: &Username, room: &RoomName, since_ms: u64) -> bool {
        let until_ms = self.rooms.get(room).and_then(|room| room.forbidden_until_ms.get(user));
        !self.may_read(user, room) || until_ms.is_some_and(|until_ms| until_ms + KNOWN_MS >= since_ms)
    }

    /// Checks that a user may get an entry of a room.
    pub(super) fn may_get(&self, user: &Username, room: &RoomName, seq: u64) -> Check {
        let Some(there) = self.rooms.get(room) else {
            return ensure(!room.is_made_by_server(), || "there is no such room".to_owned());
        };
        let limit = there.removed_at.get(user).copied().unwrap_or(0).max(there.closed_at);
        ensure(there.may_read(user) || seq <= limit, || {
            format!("its user may read {room} up to {limit} only")
        })
    }

    /// The same for an entry that has come over the bus: its hub may not know, for a second, that
    /// the user was removed, while its server is cut off from the database. That a room was
    /// closed is perhaps not known there until the server reads again, or gives out nothing of all rooms.
    pub(super) fn may_get_from_bus(&self, connection: usize, room: &RoomName, seq: u64) -> Check {
        let Connection { hub, user, .. } = &self.connections[connection];
        self.may_get(user, room, seq).or_else(|why| {
            let Some(there) = self.rooms.get(room) else { return Err(why) };
            let is_unknown = |since_ms: u64, for_ms: Option<u64>| {
                let cuts = self.cuts.get(hub).map(Vec::as_slice).unwrap_or_default();
                cuts.iter().any(|&(from_ms, until_ms)| {
                    let known_ms =
                        for_ms.map_or(until_ms.min(from_ms + OPEN_ROOMS_WAIT_MS), |for_ms| since_ms + for_ms);
                    // Changes are some time on their way to a server.
                    (from_ms..=until_ms + CHANGE_MS).contains(&(since_ms + CHANGE_MS))
                        && self.now_ms <= known_ms + LATE_MS
                })
            };
            let left_ms = there.left_ms.get(user).copied();
            let may_be = left_ms.is_some_and(|left_ms| is_unknown(left_ms, Some(REMOVALS_KNOWN_MS)))
                || there.closed_ms.is_some_and(|closed_ms| is_unknown(closed_ms, None));
            ensure(may_be, || why)
        })
    }

    /// Notes that a hub's server is cut off from the database.
    pub(crate) fn cut_off(&mut self, hub: usize, from_ms: u64, until_ms: u64) {
        self.cuts.entry(hub).or_default().push((from_ms, until_ms));
    }

    /// Checks that the author of a new entry may write to its room.
    pub(super) fn may_write(&self, entry: &Entry, now_ms: u64) -> Check {
        let Topic::Room(name) = &entry.topic else { return Ok(()) };
        let room = self.rooms.get(name).ok_or_else(|| format!("{entry:?} is in no room"))?;
        let is_archived = room.info.as_ref().is_some_and(|info| info.archived);
        ensure(!is_archived, || format!("{entry:?} is in an archived room"))?;
        // What was on its way when its author left an open room is stored.
        let left_ms = room.left_ms.get(&entry.from).copied().unwrap_or(0);
        let is_on_its_way = !room.is_closed() && left_ms + KNOWN_MS >= now_ms;
        ensure(room.members.contains_key(&entry.from) || is_on_its_way, || {
            format!("{entry:?}: its author is no member")
        })
    }

    /// Checks that the log may refuse a send.
    pub(crate) fn forbidden(&mut self, send: SendRef) -> Check {
        self.count("send forbidden");
        let connection = &mut self.connections[send.connection];
        connection.sends[send.index].has_no_recipient = true;
        let number = connection.sends[send.index].number;
        let user = connection.user.clone();
        self.acts[number].refusals.insert("forbidden");
        if self.acts[number].what.target().is_some() {
            return Ok(());
        }
        let Topic::Room(room) = &self.acts[number].topic else {
            return Err("a private message is forbidden".to_owned());
        };
        let is_archived =
            self.rooms.get(room).and_then(|room| room.info.as_ref()).is_some_and(|i| i.archived);
        ensure(is_archived || !self.may_read(&user, room), || {
            format!("{user} is forbidden to write number {number} to {room}")
        })
    }

    pub(crate) fn has_room(&self, room: &RoomName) -> bool {
        self.rooms.contains_key(room)
    }

    /// The members of a room, by name.
    pub(crate) fn members_of(&self, room: &RoomName) -> Vec<Username> {
        self.rooms.get(room).map(|room| room.members.keys().cloned().collect()).unwrap_or_default()
    }

    /// The rooms of a user.
    pub(crate) fn memberships(&self, user: &Username) -> BTreeMap<&RoomName, (Role, &RoomInfo)> {
        let rooms = self
            .rooms
            .iter()
            .filter_map(|(name, room)| Some((name, (*room.members.get(user)?, room.info.as_ref()?))));
        rooms.collect()
    }

    /// Whether a client has got something of a room and was not told that it left.
    pub(crate) fn is_in(&self, connection: usize, room: &RoomName) -> bool {
        match &self.connections[connection].speaks {
            Speaks::V1(v1) => v1.room == *room && v1.is_in(),
            Speaks::V2(v2) => v2.stays.contains_key(room),
        }
    }

    pub(crate) fn name(&self, connection: usize) -> &str {
        &self.connections[connection].name
    }
}

/// A hub knows of a change after this time, in milliseconds, unless the log is out: a second
/// until the log is polled, and 800 ms in its inbox.
const KNOWN_MS: u64 = 20_000;
/// A server that has read nothing for so long gives out nothing of closed rooms, in milliseconds.
const REMOVALS_KNOWN_MS: u64 = 1_000;
/// … and nothing of all rooms.
const OPEN_ROOMS_WAIT_MS: u64 = 10_000;
/// The time from which a server gives something out until a client has it, in milliseconds: a hub takes its
/// inbox late by 800 at most.
const LATE_MS: u64 = 1_000;
/// The time in which a change reaches the other servers, in milliseconds.
const CHANGE_MS: u64 = 60;

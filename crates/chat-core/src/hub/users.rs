//! The users of a hub.

use std::ops::Index;

use hashbrown::{HashMap, HashSet};
use slab::Slab;

use super::rate::{Rate, RateLimit};
use super::rooms::RoomSlot;
use crate::seed::Seed;
use crate::{ClientId, Username};

/// The users that have clients on a hub, or whose rate limits it still needs.
pub(super) struct Users {
    slab: Slab<User>,
    by_name: HashMap<Username, UserSlot, Seed>,
    seed: Seed,
}

/// A user, and the limits that hold for all of their clients together.
#[derive(Debug)]
pub(super) struct User {
    name: Username,
    clients: Vec<ClientId>,
    /// The states of their rate limits, by [`UserRate`].
    rates: [Rate; 3],
    /// Rooms that their clients have joined, all together.
    joined_rooms: usize,
    /// The rooms that have the user as a watcher.
    watched: HashSet<RoomSlot, Seed>,
    /// Whether these are all rooms of the user, up to the cap: they were read from the
    /// store, and every change since is applied.
    knows_memberships: bool,
}

/// What a user's rate limits are about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum UserRate {
    /// How fast they send messages.
    Messages,
    /// How fast they join rooms.
    Joins,
    /// How fast they read pages of history.
    Pages,
}

/// The user of a client that was added.
pub(super) struct Connected {
    pub(super) user: UserSlot,
    /// Whether the user had no other client on this hub.
    pub(super) is_first_client: bool,
}

/// A user's number in their hub, free again once the user is forgotten.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct UserSlot(usize);

impl Index<UserSlot> for Users {
    type Output = User;

    fn index(&self, slot: UserSlot) -> &User {
        &self.slab[slot.0]
    }
}

impl Users {
    pub(super) fn new(seed: Seed) -> Self {
        Self { slab: Slab::new(), by_name: HashMap::with_hasher(seed), seed }
    }

    /// Adds a client to its user.
    pub(super) fn connect(&mut self, name: &Username, client: ClientId) -> Connected {
        let slot = match self.by_name.get(name) {
            Some(&slot) => slot,
            None => {
                let slot = UserSlot(self.slab.insert(User::new(name.clone(), self.seed)));
                self.by_name.insert(name.clone(), slot);
                slot
            }
        };
        let clients = &mut self.slab[slot.0].clients;
        clients.push(client);
        Connected { user: slot, is_first_client: clients.len() == 1 }
    }

    /// Removes a client from its user. Returns whether it was their last one.
    pub(super) fn disconnect(&mut self, slot: UserSlot, client: ClientId) -> bool {
        let clients = &mut self.slab[slot.0].clients;
        clients.retain(|&other| other != client);
        clients.is_empty()
    }

    /// The user of this name, if the hub knows one.
    pub(super) fn slot_of(&self, name: &Username) -> Option<UserSlot> {
        self.by_name.get(name).copied()
    }

    /// Notes that a room has the user as a watcher.
    pub(super) fn watch(&mut self, slot: UserSlot, room: RoomSlot) {
        self.slab[slot.0].watched.insert(room);
    }

    /// Notes that a room does not have the user as a watcher any more.
    pub(super) fn unwatch(&mut self, slot: UserSlot, room: RoomSlot) {
        self.slab[slot.0].watched.remove(&room);
    }

    /// Notes that the rooms of a user were read.
    pub(super) fn know_memberships(&mut self, slot: UserSlot) {
        self.slab[slot.0].knows_memberships = true;
    }

    /// Forgets the rooms of a user who has no client any more; returns them.
    pub(super) fn forget_memberships(&mut self, slot: UserSlot) -> Vec<RoomSlot> {
        let user = &mut self.slab[slot.0];
        user.knows_memberships = false;
        user.watched.drain().collect()
    }

    /// Counts a room that a client of a user has joined.
    pub(super) fn enter_room(&mut self, slot: UserSlot) {
        self.slab[slot.0].joined_rooms += 1;
    }

    /// Counts a room that a client of a user has left.
    pub(super) fn leave_room(&mut self, slot: UserSlot) {
        self.slab[slot.0].joined_rooms -= 1;
    }

    /// Counts one use of a user's rate limit; `None`: there is no limit.
    pub(super) fn count(&mut self, slot: UserSlot, rate: UserRate, limit: Option<RateLimit>, now_ms: u64) {
        if let Some(limit) = limit {
            self.slab[slot.0].rates[rate as usize].count(limit, now_ms);
        }
    }

    /// Whether a user has a client here.
    pub(super) fn is_online(&self, name: &Username) -> bool {
        !self.clients_of(name).is_empty()
    }

    /// The users who have a client here.
    pub(super) fn online(&self) -> impl Iterator<Item = &Username> {
        self.slab.iter().filter(|(_, user)| !user.clients.is_empty()).map(|(_, user)| &user.name)
    }

    pub(super) fn clients_of(&self, name: &Username) -> &[ClientId] {
        self.by_name.get(name).map_or(&[], |&slot| &self[slot].clients)
    }

    /// Forgets a user without clients, unless that would let them send faster
    /// than the limits.
    pub(super) fn forget_if_idle(&mut self, slot: UserSlot, now_ms: u64) {
        let user = &self.slab[slot.0];
        if user.clients.is_empty() && user.has_full_rates(now_ms) {
            self.by_name.remove(&user.name);
            self.slab.remove(slot.0);
        }
    }

    /// Forgets all users without clients whose limits are not needed any more.
    pub(super) fn forget_idle(&mut self, now_ms: u64) {
        let Self { slab, by_name, .. } = self;
        slab.retain(|_, user| {
            let keep = !user.clients.is_empty() || !user.has_full_rates(now_ms);
            if !keep {
                by_name.remove(&user.name);
            }
            keep
        });
    }
}

impl User {
    fn new(name: Username, seed: Seed) -> Self {
        Self {
            name,
            clients: Vec::new(),
            rates: Default::default(),
            joined_rooms: 0,
            watched: HashSet::with_hasher(seed),
            knows_memberships: false,
        }
    }

    pub(super) fn name(&self) -> &Username {
        &self.name
    }

    pub(super) fn clients(&self) -> &[ClientId] {
        &self.clients
    }

    /// Whether the hub knows all rooms of the user, up to the cap.
    pub(super) fn knows_memberships(&self) -> bool {
        self.knows_memberships
    }

    /// How many rooms have the user as a watcher.
    pub(super) fn watched(&self) -> usize {
        self.watched.len()
    }

    /// How many rooms their clients have joined, all together.
    pub(super) fn joined_rooms(&self) -> usize {
        self.joined_rooms
    }

    /// Whether a rate limit allows one more use now; `None`: there is no limit.
    pub(super) fn allows(&self, rate: UserRate, limit: Option<RateLimit>, now_ms: u64) -> bool {
        limit.is_none_or(|limit| self.rates[rate as usize].allows(limit, now_ms))
    }

    fn has_full_rates(&self, now_ms: u64) -> bool {
        self.rates.iter().all(|rate| rate.is_full(now_ms))
    }
}

//! The rooms and marks of a history.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashMap;

use crate::seed::Seed;
use crate::{
    Access, ChangeFacts, ChangeRefused, GoneReason, Level, Role, RoomChange, RoomInfo, RoomName, Topic,
    UserMark, Username, WantedChange, judge_change,
};

/// Rooms with their members, and the marks of users.
pub(super) struct RoomTable {
    rooms: BTreeMap<RoomName, KeptRoom>,
    rooms_of: HashMap<Username, BTreeSet<RoomName>, Seed>,
    marks: HashMap<(Username, Topic), KeptMark, Seed>,
    /// Counts new members, for their order.
    joins: u64,
}

/// A room with a member or a message.
#[derive(Clone, Debug)]
pub struct KeptRoom {
    /// Its title and access.
    pub info: Arc<RoomInfo>,
    /// The role of each member, and the member's position in the order of joining.
    pub members: BTreeMap<Username, (Role, u64)>,
    /// When the room was created, in milliseconds since 1970 (UTC).
    pub created_at_ms: u64,
    /// The creator; `None` if a user opened the room by its name.
    pub created_by: Option<Username>,
}

#[derive(Default)]
struct KeptMark {
    read: u64,
    level: Option<Level>,
}

impl RoomTable {
    pub(super) fn new(seed: Seed) -> Self {
        Self {
            rooms: BTreeMap::new(),
            rooms_of: HashMap::with_hasher(seed),
            marks: HashMap::with_hasher(seed),
            joins: 0,
        }
    }

    pub(super) fn get(&self, room: &RoomName) -> Option<&KeptRoom> {
        self.rooms.get(room)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&RoomName, &KeptRoom)> {
        self.rooms.iter()
    }

    pub(super) fn role(&self, room: &RoomName, user: &Username) -> Option<Role> {
        Some(self.rooms.get(room)?.members.get(user)?.0)
    }

    /// The rooms of a user, in the order of their names.
    pub(super) fn rooms_of(&self, user: &Username) -> impl Iterator<Item = &RoomName> {
        self.rooms_of.get(user).into_iter().flatten()
    }

    /// Adds a room that is not there yet. An open room that a user opened by its name, and
    /// whose title is still the name, gets the title.
    pub(super) fn open(&mut self, room: &RoomName, info: RoomInfo, now_ms: u64) {
        let info = Arc::new(info);
        let opened = || KeptRoom {
            info: Arc::clone(&info),
            members: BTreeMap::new(),
            created_at_ms: now_ms,
            created_by: None,
        };
        let kept = self.rooms.entry(room.clone()).or_insert_with(opened);
        let is_untitled = kept.info.title == room.as_str() && kept.info.access == Access::Open;
        if is_untitled && kept.created_by.is_none() && kept.info.title != info.title {
            Arc::make_mut(&mut kept.info).title.clone_from(&info.title);
        }
    }

    /// The number up to which a user has read a topic; never more than `top`.
    pub(super) fn read(&self, user: &Username, topic: &Topic, top: u64) -> u64 {
        self.marks.get(&(user.clone(), topic.clone())).map_or(0, |mark| mark.read.min(top))
    }

    pub(super) fn level(&self, user: &Username, topic: &Topic) -> Level {
        let kept = self.marks.get(&(user.clone(), topic.clone())).and_then(|mark| mark.level);
        kept.unwrap_or_else(|| Level::default_of(topic))
    }

    /// Keeps a mark of a user in a topic whose last number is `top`. A mark in a room of
    /// which the user is no member is dropped.
    pub(super) fn keep(&mut self, mark: &UserMark, top: u64) {
        if let Topic::Room(room) = &mark.topic
            && self.role(room, &mark.user).is_none()
        {
            return;
        }
        let kept = self.marks.entry((mark.user.clone(), mark.topic.clone())).or_default();
        kept.read = kept.read.max(mark.read.unwrap_or(0).min(top));
        kept.level = mark.level.or(kept.level);
    }

    /// Makes a user a member, with everything up to `top` read, or gives a member a role.
    pub(super) fn add_member(&mut self, room: &RoomName, user: &Username, role: Role, top: u64, now_ms: u64) {
        self.open(room, RoomInfo::opened(room), now_ms);
        let Some(kept) = self.rooms.get_mut(room) else { return };
        if let Some((known, _)) = kept.members.get_mut(user) {
            *known = role;
            return;
        }
        self.joins += 1;
        kept.members.insert(user.clone(), (role, self.joins));
        self.rooms_of.entry(user.clone()).or_default().insert(room.clone());
        let topic = Topic::Room(room.clone());
        self.keep(&UserMark { user: user.clone(), topic, read: Some(top), level: None }, top);
    }

    /// Removes a user from all rooms.
    pub(super) fn remove_from_all(&mut self, user: &Username) {
        for room in self.rooms_of.remove(user).unwrap_or_default() {
            self.remove_member(&room, user);
        }
    }

    /// Removes a user from a room. If the user was its only moderator, the longest member
    /// becomes one.
    fn remove_member(&mut self, room: &RoomName, user: &Username) {
        if let Some(KeptRoom { members, .. }) = self.rooms.get_mut(room) {
            let removed = members.remove(user);
            let was_moderator = removed.is_some_and(|(role, _)| role == Role::Moderator);
            if was_moderator
                && members.values().all(|(role, _)| *role != Role::Moderator)
                && let Some((role, _)) = members.values_mut().min_by_key(|(_, joined)| *joined)
            {
                *role = Role::Moderator;
            }
        }
        if let Some(rooms) = self.rooms_of.get_mut(user) {
            rooms.remove(room);
        }
        self.marks.remove(&(user.clone(), Topic::Room(room.clone())));
    }

    /// Makes a wanted change of a room whose last number is `top`.
    pub(super) fn change(
        &mut self,
        wanted: &WantedChange,
        has_account: impl Fn(&Username) -> bool,
        top: u64,
        now_ms: u64,
    ) -> Result<Vec<RoomChange>, ChangeRefused> {
        let room = wanted.room();
        let kept = self.rooms.get(room);
        let role_of = |user: &Username| self.role(room, user);
        let facts = match wanted {
            WantedChange::Create { members, by, .. } => ChangeFacts {
                info: kept.map(|kept| &*kept.info),
                is_created_by_this: kept
                    .is_some_and(|kept| kept.created_by.as_ref() == Some(by) && kept.created_at_ms == now_ms),
                user_has_account: members.iter().all(&has_account),
                ..ChangeFacts::default()
            },
            WantedChange::Change { by, .. } => ChangeFacts {
                info: kept.map(|kept| &*kept.info),
                actor: role_of(&by.user),
                ..ChangeFacts::default()
            },
            WantedChange::Accept { user, .. } => ChangeFacts {
                info: kept.map(|kept| &*kept.info),
                user: role_of(user),
                user_has_account: has_account(user),
                invite_is_good: true,
                ..ChangeFacts::default()
            },
            WantedChange::Put { user, by, .. } | WantedChange::Remove { user, by, .. } => ChangeFacts {
                info: kept.map(|kept| &*kept.info),
                is_created_by_this: false,
                invite_is_good: false,
                actor: role_of(&by.user),
                user: role_of(user),
                user_has_account: has_account(user),
                has_other_moderator: kept.is_some_and(|kept| {
                    kept.members.iter().any(|(name, (role, _))| name != user && *role == Role::Moderator)
                }),
            },
        };
        judge_change(wanted, &facts)?;
        Ok(match wanted {
            WantedChange::Create { room, info, members, by } => {
                if !facts.is_created_by_this {
                    self.create(room, info, members, by, top, now_ms);
                }
                let Some(kept) = self.rooms.get(room) else { return Ok(Vec::new()) };
                let (room, info) = (room.clone(), Arc::clone(&kept.info));
                let mut changes = vec![RoomChange::Info { room, info, members: None, top }];
                let mut added: Vec<&Username> = Vec::new();
                for user in [by].into_iter().chain(members) {
                    if !added.contains(&user) {
                        added.push(user);
                        changes.extend(kept.member(wanted.room(), user, top));
                    }
                }
                changes
            }
            WantedChange::Change { room, patch, .. } => {
                let Some(kept) = self.rooms.get_mut(room) else { return Ok(Vec::new()) };
                let before = kept.info.access;
                kept.info = Arc::new(patch.apply(&kept.info));
                let is_closed = kept.info.access == Access::Closed && before == Access::Open;
                // A repeated change cannot tell whether it was the one that closed the room.
                let names_members = is_closed || patch.access == Some(Access::Closed);
                let members = names_members.then(|| Arc::new(kept.members.keys().cloned().collect()));
                vec![RoomChange::Info { room: room.clone(), info: Arc::clone(&kept.info), members, top }]
            }
            WantedChange::Put { room, user, role, .. } => {
                let role = role.or(facts.user).unwrap_or(Role::Member);
                self.add_member(room, user, role, top, now_ms);
                let kept = self.rooms.get(room);
                kept.and_then(|kept| kept.member(room, user, top)).into_iter().collect()
            }
            WantedChange::Accept { room, user, .. } => {
                let role = facts.user.unwrap_or(Role::Member);
                self.add_member(room, user, role, top, now_ms);
                let kept = self.rooms.get(room);
                kept.and_then(|kept| kept.member(room, user, top)).into_iter().collect()
            }
            WantedChange::Remove { room, user, by } => {
                let was_member = facts.user.is_some();
                let was_last_moderator = facts.user == Some(Role::Moderator) && !facts.has_other_moderator;
                self.remove_member(room, user);
                let Some(kept) = self.rooms.get(room) else { return Ok(Vec::new()) };
                let access = kept.info.access;
                let reason = if *user == by.user { GoneReason::Left } else { GoneReason::Removed };
                let mut changes =
                    vec![RoomChange::Gone { room: room.clone(), user: user.clone(), reason, access, top }];
                // The only moderator may have become one by this change: it is said again.
                if was_last_moderator || !was_member {
                    let mut moderators =
                        kept.members.iter().filter(|(_, (role, _))| *role == Role::Moderator);
                    if let (Some((heir, _)), None) = (moderators.next(), moderators.next()) {
                        changes.extend(kept.member(room, heir, top));
                    }
                }
                changes
            }
        })
    }

    /// Adds a room that does not exist, with its first members.
    fn create(
        &mut self,
        room: &RoomName,
        info: &RoomInfo,
        members: &[Username],
        by: &Username,
        top: u64,
        now_ms: u64,
    ) {
        let kept = KeptRoom {
            info: Arc::new(info.clone()),
            members: BTreeMap::new(),
            created_at_ms: now_ms,
            created_by: Some(by.clone()),
        };
        self.rooms.insert(room.clone(), kept);
        self.add_member(room, by, Role::Moderator, top, now_ms);
        for user in members.iter().filter(|user| *user != by) {
            self.add_member(room, user, Role::Member, top, now_ms);
        }
    }
}

impl KeptRoom {
    /// The change that tells of a member of the room.
    fn member(&self, room: &RoomName, user: &Username, top: u64) -> Option<RoomChange> {
        let (role, info) = (self.members.get(user)?.0, Arc::clone(&self.info));
        Some(RoomChange::Member { room: room.clone(), user: user.clone(), role, info, top })
    }
}

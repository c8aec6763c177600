//! Rooms as the store keeps them, their members, and the rule for changes of both.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::{RoomName, Topic, Username};

/// Who may read a room and write to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    /// Every user.
    Open,
    /// Members only.
    Closed,
}

impl Access {
    /// The name in frames and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

/// The role of a member in a room. (The role of an account on the server is another
/// one: an administrator.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Reads, writes, and adds members.
    Member,
    /// Also changes the room, appoints moderators and removes members.
    Moderator,
}

impl Role {
    /// The name in frames and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Moderator => "moderator",
        }
    }
}

/// Which messages of a topic a user is notified of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// All messages: the default of private conversations.
    All,
    /// Messages that mention the user: the default of rooms.
    Mentions,
    /// None.
    None,
}

impl Level {
    /// The name in frames and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Mentions => "mentions",
            Self::None => "none",
        }
    }

    /// The level with that name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::All, Self::Mentions, Self::None].into_iter().find(|level| level.as_str() == name)
    }

    /// The level of a topic for which the user has chosen none.
    pub fn default_of(topic: &Topic) -> Self {
        match topic {
            Topic::Room(_) => Self::Mentions,
            Topic::Pair(_) => Self::All,
        }
    }
}

/// What is known of a room beside its entries and members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomInfo {
    /// The title, at most [`ROOM_TITLE_MAX_CHARS`].
    pub title: String,
    /// What the room is about, at most [`ROOM_DESCRIPTION_MAX_CHARS`]; may be empty.
    pub description: String,
    /// Who may read it.
    pub access: Access,
    /// Whether nothing can be written to it any more.
    pub archived: bool,
}

impl RoomInfo {
    /// An open room that a user opened by its name: the name is also the title.
    pub fn opened(name: &RoomName) -> Self {
        Self {
            title: name.as_str().to_owned(),
            description: String::new(),
            access: Access::Open,
            archived: false,
        }
    }

    /// Whether the store must look at each sender's membership.
    pub fn is_special(&self) -> bool {
        self.archived || self.access == Access::Closed
    }
}

/// The number of characters (Unicode scalar values) of a room's title.
pub const ROOM_TITLE_MAX_CHARS: usize = 64;
/// The number of characters (Unicode scalar values) of a room's description.
pub const ROOM_DESCRIPTION_MAX_CHARS: usize = 500;
/// In a room with more members, only moderators mention all of them.
pub const MENTION_ALL_MEMBERS_MAX: u64 = 100;

/// How many messages of others a user has not read, exactly up to 99; 100 means "more".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Messages of others above the user's mark.
    pub unread: u8,
    /// Those of them that mention the user.
    pub mentions: u8,
}

/// The number at which counts stop.
pub const COUNT_MAX: u8 = 100;

/// A room in the list of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The room.
    pub room: RoomName,
    /// What is known of it.
    pub info: Arc<RoomInfo>,
    /// The user's role in it.
    pub role: Role,
    /// What the user is notified of.
    pub level: Level,
    /// The last number of the room.
    pub top: u64,
    /// When its last message was stored, in milliseconds since 1970 (UTC); 0 if it has none.
    pub at_ms: u64,
    /// The number up to which the user has read it.
    pub read: u64,
    /// Counted for the first rooms of a list only.
    pub counts: Option<Counts>,
}

/// The rooms of one user, read from the store at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Memberships {
    /// The rooms, the one with the newest message first.
    pub rooms: Vec<Membership>,
    /// Whether the user has further rooms.
    pub has_more: bool,
}

/// What a user may do in a room, read from the store at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RoomAccess {
    /// What is known of the room; `None`: there is no such room yet.
    pub info: Option<Arc<RoomInfo>>,
    /// The user's role; `None`: the user is no member.
    pub role: Option<Role>,
    /// Whether the user is an administrator of the server.
    pub is_administrator: bool,
}

impl RoomAccess {
    /// Whether the user may read the room, or, if there is no such room yet, open it.
    pub fn may_read(&self, room: &RoomName) -> bool {
        match &self.info {
            Some(info) => info.access == Access::Open || self.role.is_some(),
            None => !room.is_made_by_server(),
        }
    }
}

/// The position of one user in a topic, read from the store at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReadState {
    /// The last number of the topic.
    pub top: u64,
    /// The number up to which the user has read.
    pub read: u64,
    /// What lies above it.
    pub counts: Counts,
}

/// A user's position or level in a topic, for the store to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserMark {
    /// The user.
    pub user: Username,
    /// The room, or the private conversation of the user and another one.
    pub topic: Topic,
    /// The user has read up to this number. The store never lowers a mark, and clamps it
    /// to the topic's last number.
    pub read: Option<u64>,
    /// What the user is notified of.
    pub level: Option<Level>,
}

/// A committed change of a room or of its members. It takes effect behind the entry
/// `top`, the room's last one in its transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoomChange {
    /// The room was created or changed.
    Info {
        /// The room.
        room: RoomName,
        /// What is known of it now.
        info: Arc<RoomInfo>,
        /// All members, if the room was open before and is closed now.
        members: Option<Arc<BTreeSet<Username>>>,
        /// The room's last number.
        top: u64,
    },
    /// A user is a member, or has another role.
    Member {
        /// The room.
        room: RoomName,
        /// The user.
        user: Username,
        /// The role.
        role: Role,
        /// What is known of the room.
        info: Arc<RoomInfo>,
        /// The room's last number.
        top: u64,
    },
    /// A user is no member any more.
    Gone {
        /// The room.
        room: RoomName,
        /// The user.
        user: Username,
        /// Why.
        reason: GoneReason,
        /// Who may read the room.
        access: Access,
        /// The room's last number.
        top: u64,
    },
}

impl RoomChange {
    /// The room that changed.
    pub fn room(&self) -> &RoomName {
        match self {
            Self::Info { room, .. } | Self::Member { room, .. } | Self::Gone { room, .. } => room,
        }
    }
}

/// Why a user is no member any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GoneReason {
    /// A moderator removed the user.
    Removed,
    /// The user left.
    Left,
}

/// A change of a room or of its members that a user wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WantedChange {
    /// To create a room. Its creator becomes its moderator.
    Create {
        /// The name; of a closed room one that the server made.
        room: RoomName,
        /// Title, description and access.
        info: RoomInfo,
        /// Further members.
        members: Vec<Username>,
        /// The creator.
        by: Username,
    },
    /// To change a room.
    Change {
        /// The room.
        room: RoomName,
        /// The changed fields.
        patch: RoomPatch,
        /// The user who wants it.
        by: Actor,
    },
    /// To make a user a member, or change a member's role.
    Put {
        /// The room.
        room: RoomName,
        /// The user; the actor joins by itself if it is the same.
        user: Username,
        /// The role; `None` keeps that of a member, and makes others a [`Role::Member`].
        role: Option<Role>,
        /// The user who wants it.
        by: Actor,
    },
    /// To remove a member.
    Remove {
        /// The room.
        room: RoomName,
        /// The user; the actor leaves if it is the same.
        user: Username,
        /// The user who wants it.
        by: Actor,
    },
}

impl WantedChange {
    /// The room that is to change.
    pub fn room(&self) -> &RoomName {
        match self {
            Self::Create { room, .. }
            | Self::Change { room, .. }
            | Self::Put { room, .. }
            | Self::Remove { room, .. } => room,
        }
    }
}

/// The fields of a room that a change sets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RoomPatch {
    /// See [`RoomInfo::title`].
    pub title: Option<String>,
    /// See [`RoomInfo::description`].
    pub description: Option<String>,
    /// See [`RoomInfo::access`].
    pub access: Option<Access>,
    /// See [`RoomInfo::archived`].
    pub archived: Option<bool>,
}

impl RoomPatch {
    /// The room after this change.
    pub fn apply(&self, info: &RoomInfo) -> RoomInfo {
        RoomInfo {
            title: self.title.clone().unwrap_or_else(|| info.title.clone()),
            description: self.description.clone().unwrap_or_else(|| info.description.clone()),
            access: self.access.unwrap_or(info.access),
            archived: self.archived.unwrap_or(info.archived),
        }
    }
}

/// The user who wants a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The name.
    pub user: Username,
    /// Whether the user is an administrator of the server.
    pub is_administrator: bool,
}

/// Why a change is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChangeRefused {
    /// There is a room of this name.
    #[error("there is a room of this name already")]
    Exists,
    /// There is no such room.
    #[error("there is no such room")]
    NoRoom,
    /// There is no account of this name.
    #[error("there is no user of this name")]
    NoUser,
    /// The user may not do this.
    #[error("you may not do this in this room")]
    Forbidden,
    /// A closed room is never opened.
    #[error("a closed room cannot be opened")]
    StaysClosed,
    /// The only moderator cannot become a member.
    #[error("the only moderator of a room keeps this role: appoint another one first")]
    OnlyModerator,
}

/// What a store knows of a wanted change, in the transaction that makes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChangeFacts<'a> {
    /// The room, if there is one.
    pub info: Option<&'a RoomInfo>,
    /// Whether that room was created by this very change, whose answer was lost.
    pub is_created_by_this: bool,
    /// The actor's role.
    pub actor: Option<Role>,
    /// The role of the user whom the change is about.
    pub user: Option<Role>,
    /// Whether that user (of a creation: each further member) has an account.
    pub user_has_account: bool,
    /// Whether the room has another moderator than that user.
    pub has_other_moderator: bool,
}

/// Whether a wanted change is made: one rule for every store.
///
/// A change that is made already is made again: it changes nothing, and its
/// [`RoomChange`]s are published again.
///
/// # Errors
///
/// The reason why the change is refused.
pub fn judge_change(wanted: &WantedChange, facts: &ChangeFacts<'_>) -> Result<(), ChangeRefused> {
    if let WantedChange::Create { .. } = wanted {
        return match (facts.info.is_some() && !facts.is_created_by_this, facts.user_has_account) {
            (true, _) => Err(ChangeRefused::Exists),
            (false, false) => Err(ChangeRefused::NoUser),
            (false, true) => Ok(()),
        };
    }
    let Some(info) = facts.info else {
        // Names of closed rooms answer alike, whether there is such a room or not.
        let is_hidden = wanted.room().is_made_by_server();
        return Err(if is_hidden { ChangeRefused::Forbidden } else { ChangeRefused::NoRoom });
    };
    if info.access == Access::Closed && facts.actor.is_none() {
        return Err(ChangeRefused::Forbidden);
    }
    let moderates = |by: &Actor| facts.actor == Some(Role::Moderator) || by.is_administrator;
    match wanted {
        WantedChange::Create { .. } => Ok(()),
        WantedChange::Change { by, .. } if !moderates(by) => Err(ChangeRefused::Forbidden),
        WantedChange::Change { patch, .. } => {
            let is_opened = info.access == Access::Closed && patch.access == Some(Access::Open);
            if is_opened { Err(ChangeRefused::StaysClosed) } else { Ok(()) }
        }
        WantedChange::Put { user, role, by, .. } => {
            let is_oneself = *user == by.user;
            let changes_role = match role {
                None => false,
                Some(Role::Moderator) => facts.user != Some(Role::Moderator),
                Some(Role::Member) => facts.user == Some(Role::Moderator),
            };
            let adds = is_oneself || facts.actor.is_some() || by.is_administrator;
            if !adds || (changes_role && !moderates(by)) {
                Err(ChangeRefused::Forbidden)
            } else if !facts.user_has_account {
                Err(ChangeRefused::NoUser)
            } else if changes_role && *role == Some(Role::Member) && !facts.has_other_moderator {
                Err(ChangeRefused::OnlyModerator)
            } else {
                Ok(())
            }
        }
        WantedChange::Remove { user, by, .. } if *user == by.user || moderates(by) => Ok(()),
        WantedChange::Remove { .. } => Err(ChangeRefused::Forbidden),
    }
}

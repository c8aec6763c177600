//! Rooms as the store keeps them, their members, and the rule for changes of both.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;

use crate::{RoomName, SecretHash, Topic, Username};

/// The users who may read a room and write to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "NotificationLevel"))]
#[serde(rename_all = "snake_case")]
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
    /// Whether a hook of the server does not let the user join.
    pub refused: bool,
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
        /// The users who may read the room.
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
    /// To join a room with an invitation, which is used by it. Somebody who is a member
    /// already uses nothing.
    Accept {
        /// The room of the invitation.
        room: RoomName,
        /// The user who joins.
        user: Username,
        /// The hash of the secret of the invitation.
        invite: SecretHash,
    },
}

impl WantedChange {
    /// The room that is to change.
    pub fn room(&self) -> &RoomName {
        match self {
            Self::Create { room, .. }
            | Self::Change { room, .. }
            | Self::Put { room, .. }
            | Self::Remove { room, .. }
            | Self::Accept { room, .. } => room,
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
    /// There is no such invitation, or it was used, withdrawn or is over.
    #[error("this invitation is not valid any more")]
    NoInvite,
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
    /// Whether the invitation is one to this room, and can be used.
    pub invite_is_good: bool,
}

/// Whether a wanted change is made: one rule for every store.
///
/// A change that is made already is made again: it changes nothing, and its
/// [`RoomChange`]s are answered again. A store cannot tell a repeated change from a new
/// one, so that two changes are accepted from users who may not read the room any more:
/// to leave it, and, from an administrator, to close a room that is closed. A caller that
/// must hide closed rooms from these users asks for their [`RoomAccess`] first.
///
/// # Errors
///
/// The reason why the change is refused.
pub fn judge_change(wanted: &WantedChange, facts: &ChangeFacts<'_>) -> Result<(), ChangeRefused> {
    if let WantedChange::Create { .. } = wanted {
        return match (facts.info.is_some(), facts.user_has_account) {
            (true, _) if facts.is_created_by_this => Ok(()),
            (true, _) => Err(ChangeRefused::Exists),
            (false, false) => Err(ChangeRefused::NoUser),
            (false, true) => Ok(()),
        };
    }
    if let WantedChange::Accept { .. } = wanted {
        return match (facts.info.is_some(), facts.user.is_some()) {
            (true, true) => Ok(()),
            (true, false) if !facts.user_has_account => Err(ChangeRefused::NoUser),
            (true, false) if facts.invite_is_good => Ok(()),
            _ => Err(ChangeRefused::NoInvite),
        };
    }
    let Some(info) = facts.info else {
        // Names of closed rooms answer alike, whether there is such a room or not.
        let is_hidden = wanted.room().is_made_by_server();
        return Err(if is_hidden { ChangeRefused::Forbidden } else { ChangeRefused::NoRoom });
    };
    let is_hidden = info.access == Access::Closed && facts.actor.is_none();
    if is_hidden && !may_be_made_already(wanted, info) {
        return Err(ChangeRefused::Forbidden);
    }
    let moderates = |by: &Actor| facts.actor == Some(Role::Moderator) || by.is_administrator;
    match wanted {
        WantedChange::Create { .. } | WantedChange::Accept { .. } => Ok(()),
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

/// Whether this change of a closed room, wanted by a user who is no member, may be the
/// repeat of one that was made: the user has left the room, or an administrator has closed
/// a room that was open until then.
fn may_be_made_already(wanted: &WantedChange, info: &RoomInfo) -> bool {
    match wanted {
        WantedChange::Remove { user, by, .. } => *user == by.user,
        WantedChange::Change { room, patch, by } => {
            let was_open = !room.is_made_by_server() && patch.access == Some(Access::Closed);
            was_open && by.is_administrator && patch.apply(info) == *info
        }
        WantedChange::Create { .. } | WantedChange::Put { .. } | WantedChange::Accept { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The users who want a change, in the order of the columns of the tables below.
    const ACTORS: [&str; 5] =
        ["a stranger", "a member", "a moderator", "an administrator", "an administrator who is a member"];

    fn role_of(actor: usize) -> Option<Role> {
        [None, Some(Role::Member), Some(Role::Moderator), None, Some(Role::Member)][actor]
    }

    fn name(name: &str) -> Username {
        Username::known(name).unwrap()
    }

    fn open() -> RoomInfo {
        RoomInfo::opened(&RoomName::parse("kitchen").unwrap())
    }

    fn closed() -> RoomInfo {
        RoomInfo { access: Access::Closed, ..open() }
    }

    fn archived() -> RoomInfo {
        RoomInfo { archived: true, ..open() }
    }

    /// The answer as one sign.
    fn sign(answer: Result<(), ChangeRefused>) -> char {
        match answer {
            Ok(()) => '+',
            Err(ChangeRefused::Forbidden) => '-',
            Err(ChangeRefused::Exists) => 'e',
            Err(ChangeRefused::NoRoom) => 'r',
            Err(ChangeRefused::NoUser) => 'u',
            Err(ChangeRefused::StaysClosed) => 's',
            Err(ChangeRefused::OnlyModerator) => 'o',
            Err(ChangeRefused::NoInvite) => 'i',
        }
    }

    /// What a test wants of a room.
    #[derive(Clone, Debug)]
    enum Want {
        Create,
        Patch(RoomPatch),
        /// Of oneself.
        Join(Option<Role>),
        Leave,
        Put(Bob, Option<Role>),
        Remove(Bob),
    }

    /// The other user, whom a change is about. Without other words the room has another
    /// moderator.
    #[derive(Clone, Copy, PartialEq, Debug)]
    enum Bob {
        HasNoAccount,
        IsNoMember,
        IsMember,
        IsModerator,
        IsOnlyModerator,
        IsMemberWithoutModerators,
    }

    /// The signs of the answers to all actors.
    fn answers(want: &Want, room: &str, info: Option<&RoomInfo>) -> String {
        let answer = |actor: usize| {
            let (alice, bob) = (name("alice"), name("bob"));
            let by = Actor { user: alice.clone(), is_administrator: ACTORS[actor].contains("administrator") };
            let room = RoomName::parse(room).unwrap();
            let role = role_of(actor).filter(|_| info.is_some());
            let known = ChangeFacts { info, actor: role, ..ChangeFacts::default() };
            // alice is one of two moderators, if she is one.
            let of_alice =
                ChangeFacts { user: role, user_has_account: true, has_other_moderator: true, ..known };
            let of_bob = |bob: Bob| ChangeFacts {
                user: match bob {
                    Bob::HasNoAccount | Bob::IsNoMember => None,
                    Bob::IsMember | Bob::IsMemberWithoutModerators => Some(Role::Member),
                    Bob::IsModerator | Bob::IsOnlyModerator => Some(Role::Moderator),
                },
                user_has_account: bob != Bob::HasNoAccount,
                has_other_moderator: !matches!(bob, Bob::IsOnlyModerator | Bob::IsMemberWithoutModerators),
                ..known
            };
            let (wanted, facts) = match want.clone() {
                Want::Create => {
                    let facts = ChangeFacts { user_has_account: true, actor: None, ..known };
                    (WantedChange::Create { room, info: open(), members: vec![bob], by: alice }, facts)
                }
                Want::Patch(patch) => (WantedChange::Change { room, patch, by }, known),
                Want::Join(role) => (WantedChange::Put { room, user: alice, role, by }, of_alice),
                Want::Leave => (WantedChange::Remove { room, user: alice, by }, of_alice),
                Want::Put(who, role) => (WantedChange::Put { room, user: bob, role, by }, of_bob(who)),
                Want::Remove(who) => (WantedChange::Remove { room, user: bob, by }, of_bob(who)),
            };
            sign(judge_change(&wanted, &facts))
        };
        (0..ACTORS.len()).map(answer).collect()
    }

    #[test]
    fn who_may_change_what() {
        let patch = |patch: RoomPatch| Want::Patch(patch);
        let title = RoomPatch { title: Some("Tea".into()), ..RoomPatch::default() };
        let access = |access| RoomPatch { access: Some(access), ..RoomPatch::default() };
        let archive = |archived| RoomPatch { archived: Some(archived), ..RoomPatch::default() };
        let (member, moderator) = (Some(Role::Member), Some(Role::Moderator));
        // What is wanted; the answers in an open (or archived) room, and in a closed one.
        let table = [
            (Want::Create, "eeeee", "eeeee"),
            (patch(title), "--+++", "--+-+"),
            (patch(archive(true)), "--+++", "--+-+"),
            (patch(archive(false)), "--+++", "--+-+"),
            // The administrator may have closed the room by this very change.
            (patch(access(Access::Closed)), "--+++", "--+++"),
            (patch(access(Access::Open)), "--+++", "--s-s"),
            (Want::Join(None), "+++++", "-++-+"),
            (Want::Join(member), "+++++", "-++-+"),
            (Want::Join(moderator), "--+++", "--+-+"),
            // The user may have left the closed room by this very change.
            (Want::Leave, "+++++", "+++++"),
            (Want::Put(Bob::HasNoAccount, None), "-uuuu", "-uu-u"),
            (Want::Put(Bob::HasNoAccount, moderator), "--uuu", "--u-u"),
            (Want::Put(Bob::IsNoMember, None), "-++++", "-++-+"),
            (Want::Put(Bob::IsNoMember, member), "-++++", "-++-+"),
            (Want::Put(Bob::IsNoMember, moderator), "--+++", "--+-+"),
            (Want::Put(Bob::IsMember, None), "-++++", "-++-+"),
            (Want::Put(Bob::IsMember, member), "-++++", "-++-+"),
            (Want::Put(Bob::IsMember, moderator), "--+++", "--+-+"),
            (Want::Put(Bob::IsMemberWithoutModerators, member), "-++++", "-++-+"),
            (Want::Put(Bob::IsModerator, None), "-++++", "-++-+"),
            (Want::Put(Bob::IsModerator, member), "--+++", "--+-+"),
            (Want::Put(Bob::IsModerator, moderator), "-++++", "-++-+"),
            (Want::Put(Bob::IsOnlyModerator, None), "-++++", "-++-+"),
            (Want::Put(Bob::IsOnlyModerator, member), "--ooo", "--o-o"),
            (Want::Put(Bob::IsOnlyModerator, moderator), "-++++", "-++-+"),
            (Want::Remove(Bob::HasNoAccount), "--+++", "--+-+"),
            (Want::Remove(Bob::IsNoMember), "--+++", "--+-+"),
            (Want::Remove(Bob::IsMember), "--+++", "--+-+"),
            (Want::Remove(Bob::IsModerator), "--+++", "--+-+"),
            (Want::Remove(Bob::IsOnlyModerator), "--+++", "--+-+"),
        ];
        for (want, in_open, in_closed) in table {
            assert_eq!(answers(&want, "kitchen", Some(&open())), in_open, "{want:?} in an open room");
            assert_eq!(answers(&want, "kitchen", Some(&archived())), in_open, "{want:?} in an archived room");
            assert_eq!(answers(&want, "kitchen", Some(&closed())), in_closed, "{want:?} in a closed room");
            let (no_room, hidden) =
                if let Want::Create = want { ("+++++", "+++++") } else { ("rrrrr", "-----") };
            assert_eq!(answers(&want, "kitchen", None), no_room, "{want:?} where there is no room");
            assert_eq!(answers(&want, "~kitchen", None), hidden, "{want:?} where there is no closed room");
        }
    }

    #[test]
    fn a_closed_room_shows_an_administrator_nothing() {
        let want = |patch| answers(&Want::Patch(patch), "kitchen", Some(&closed()));
        let close = RoomPatch { access: Some(Access::Closed), ..RoomPatch::default() };
        assert_eq!(want(close.clone()), "--+++");
        // This is another change than the one that closed the room.
        assert_eq!(want(RoomPatch { title: Some("Tea".into()), ..close.clone() }), "--+-+");
        assert_eq!(want(RoomPatch { title: Some("kitchen".into()), ..RoomPatch::default() }), "--+-+");
        // Nobody has closed a room that was made as a closed one.
        assert_eq!(answers(&Want::Patch(close), "~kitchen", Some(&closed())), "--+-+");
    }

    #[test]
    fn the_only_moderator_cannot_step_down_but_leave() {
        let (room, user) = (RoomName::parse("kitchen").unwrap(), name("alice"));
        let by = Actor { user: user.clone(), is_administrator: false };
        let info = open();
        let mut facts = ChangeFacts {
            info: Some(&info),
            actor: Some(Role::Moderator),
            user: Some(Role::Moderator),
            user_has_account: true,
            ..ChangeFacts::default()
        };
        let leave = WantedChange::Remove { room: room.clone(), user: user.clone(), by: by.clone() };
        let step_down = WantedChange::Put { room, user, role: Some(Role::Member), by };
        assert_eq!(judge_change(&leave, &facts), Ok(()));
        assert_eq!(judge_change(&step_down, &facts), Err(ChangeRefused::OnlyModerator));
        facts.has_other_moderator = true;
        assert_eq!(judge_change(&step_down, &facts), Ok(()));
        // The answer to a repeat, when the moderator is a member already.
        facts = ChangeFacts { actor: Some(Role::Member), user: Some(Role::Member), ..facts };
        assert_eq!(judge_change(&step_down, &facts), Ok(()));
    }

    #[test]
    fn a_creation_names_accounts_only_and_may_be_repeated() {
        let (room, info) = (RoomName::parse("kitchen").unwrap(), open());
        let wanted = WantedChange::Create {
            room,
            info: info.clone(),
            members: vec![name("bob"), name("carol")],
            by: name("alice"),
        };
        for (exists, is_created_by_this, user_has_account, answer) in [
            (false, false, false, Err(ChangeRefused::NoUser)),
            (false, false, true, Ok(())),
            (true, false, false, Err(ChangeRefused::Exists)),
            (true, false, true, Err(ChangeRefused::Exists)),
            // An account that was removed meanwhile does not undo the creation.
            (true, true, false, Ok(())),
            (true, true, true, Ok(())),
        ] {
            let info = exists.then_some(&info);
            let facts = ChangeFacts { info, is_created_by_this, user_has_account, ..ChangeFacts::default() };
            assert_eq!(judge_change(&wanted, &facts), answer, "{facts:?}");
        }
    }

    #[test]
    fn a_room_may_be_read_if_it_is_open_or_one_is_a_member() {
        let (kitchen, made) = (RoomName::parse("kitchen").unwrap(), RoomName::parse("~kitchen").unwrap());
        let access = |info: Option<RoomInfo>, role| RoomAccess {
            info: info.map(Arc::new),
            role,
            is_administrator: true,
            refused: false,
        };
        for (room, info, role, may) in [
            (&kitchen, None, None, true),
            (&made, None, None, false),
            (&kitchen, Some(open()), None, true),
            (&kitchen, Some(archived()), None, true),
            (&kitchen, Some(closed()), None, false),
            (&kitchen, Some(closed()), Some(Role::Member), true),
            (&made, Some(closed()), None, false),
            (&made, Some(closed()), Some(Role::Member), true),
        ] {
            assert_eq!(access(info.clone(), role).may_read(room), may, "{room:?} {info:?} {role:?}");
        }
    }
}

//! The audit log: what administrators and moderators have done.

use chat_core::Username;
use serde_json::Value;

/// An entry of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its id, which rises with time.
    pub id: u64,
    /// When it was written, in milliseconds since 1970 (UTC).
    pub at_ms: u64,
    /// The user who did it; `None` for the operator of the server.
    pub by: Option<Username>,
    /// What was done.
    pub action: AuditAction,
    /// To whom or what: a user, a room, the id of an invitation or a report; empty for the
    /// server itself.
    pub target: String,
    /// Further facts: an object.
    pub details: Option<Value>,
}

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $word:literal),* $(,)?) => {
        /// The kind of an entry of the audit log.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum AuditAction {
            $($(#[$doc])* $name),*
        }

        impl AuditAction {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The word in the log, which never changes.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word),*
                }
            }
        }
    };
}

actions! {
    /// An invitation was made. Details: `room`, `uses`.
    InviteCreate = "invite.create",
    /// An invitation was withdrawn.
    InviteDelete = "invite.delete",
    /// The operator has added an account.
    UserCreate = "user.create",
    /// The operator has removed an account.
    UserRemove = "user.remove",
    /// A user was banned. Details: `reason`, `delete_messages`.
    UserBan = "user.ban",
    /// The ban of a user was ended.
    UserUnban = "user.unban",
    /// A user was made an administrator, or lost this role. Details: `role`.
    UserRole = "user.role",
    /// A link that sets a user's password was made, or the operator has set the password.
    UserPassword = "user.password",
    /// A room was changed. Details: `changed`, the names of the fields; `access`, `archived`.
    RoomChange = "room.change",
    /// The role of a member was changed by somebody else. Details: `room`, `role`.
    MemberRole = "member.role",
    /// A member was removed from a room by somebody else. Details: `room`.
    MemberRemove = "member.remove",
    /// A message was deleted by somebody else than its author, who is the target. Details:
    /// `room`, `seq`.
    MessageDelete = "message.delete",
    /// The state of a report was changed. Details: `state`.
    ReportChange = "report.change",
    /// The profile of the server was changed. Details: `changed`, the names of the fields.
    ServerChange = "server.change",
    /// A bot was made, or got a new token. Details: `rooms`.
    BotCreate = "bot.create",
    /// A bot has lost its token and its webhooks.
    BotRevoke = "bot.revoke",
    /// A bot got a webhook. Details: `room`.
    BotWebhook = "bot.webhook",
    /// A bot got an outgoing webhook. Details: `room`, `id`.
    BotOutgoing = "bot.outgoing",
    /// An outgoing webhook of a bot was removed. Details: `id`.
    BotOutgoingRemove = "bot.outgoing_remove",
    /// A user became the first administrator, with the set-up code.
    Setup = "setup",
}

/// A part of the audit log. Each keeps its own newest entries, so that users who are no
/// administrators cannot push out what administrators have done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// What administrators and the operator have done.
    Administration,
    /// What other users have done: moderators in their rooms, members who invite.
    Moderation,
}

impl Part {
    #[cfg(feature = "databases")]
    pub(crate) const ALL: [Self; 2] = [Self::Administration, Self::Moderation];

    /// The column `part`.
    #[cfg(feature = "databases")]
    pub(crate) fn column(self) -> i64 {
        match self {
            Self::Administration => 1,
            Self::Moderation => 2,
        }
    }

    /// The number of entries of one user that are kept.
    pub(crate) fn max_of_user(self) -> u64 {
        match self {
            Self::Administration => AUDIT_OF_ADMINISTRATOR_MAX,
            Self::Moderation => AUDIT_OF_USER_MAX,
        }
    }
}

/// The number of entries that are kept of what administrators and the operator have done, and
/// of what other users have done: the newest of each.
pub const AUDIT_MAX: u64 = 100_000;
/// The number of entries of one administrator that are kept: the newest.
pub const AUDIT_OF_ADMINISTRATOR_MAX: u64 = 20_000;
/// The number of entries of one other user that are kept: the newest.
pub const AUDIT_OF_USER_MAX: u64 = 1_000;
/// Entries beyond [`AUDIT_MAX`] are removed with each entry whose id is a multiple of this: to
/// find them, a store counts the entries.
#[cfg(feature = "databases")]
pub(crate) const AUDIT_SWEEP: u64 = 256;

impl AuditAction {
    /// Whether only administrators and the operator do this.
    pub(crate) fn needs_administrator(self) -> bool {
        match self {
            Self::UserCreate
            | Self::UserRemove
            | Self::UserBan
            | Self::UserUnban
            | Self::UserRole
            | Self::UserPassword
            | Self::ServerChange
            | Self::BotCreate
            | Self::BotRevoke
            | Self::BotWebhook
            | Self::BotOutgoing
            | Self::BotOutgoingRemove
            | Self::Setup => true,
            Self::InviteCreate
            | Self::InviteDelete
            | Self::RoomChange
            | Self::MemberRole
            | Self::MemberRemove
            | Self::MessageDelete
            | Self::ReportChange => false,
        }
    }

    /// The action with this word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|action| action.as_str() == word)
    }
}

/// An entry that is to be written.
#[derive(Debug, Clone)]
pub(crate) struct NewAudit<'a> {
    pub(crate) by: Option<&'a Username>,
    pub(crate) at_ms: u64,
    pub(crate) action: AuditAction,
    pub(crate) target: &'a str,
    pub(crate) details: Option<Value>,
}

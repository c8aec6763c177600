//! What administrators and moderators do: the profile of the server, invitations, bans,
//! links that set a password, reports of messages, and the log of all that.

pub(crate) mod audit;
#[cfg(feature = "databases")]
pub(crate) mod database;
mod memory;

use std::pin::Pin;
use std::sync::Arc;

pub(crate) use audit::NewAudit;
pub use audit::{AUDIT_MAX, AUDIT_OF_ADMINISTRATOR_MAX, AUDIT_OF_USER_MAX, AuditAction, AuditEntry};
use chat_core::{
    Body, Commit, Entry, Role, RoomInfo, RoomName, SecretHash, SessionId, Topic, Username, WantedChange,
};
pub(crate) use memory::Administration;
use serde_json::{Map, Value, json};

use crate::{NewUser, RoleChange, StoreFuture, Subject};

/// What administrators and moderators do.
///
/// Every call that changes something writes its row of the [audit log](Self::audit) in the
/// same transaction, and none if nothing changes. Where a call takes `by`, it is the user who
/// makes the change; `None` is the operator of the server, at its console.
///
/// Calls can be repeated after a lost answer. Secrets are random; used, withdrawn, expired and
/// unknown ones are all alike.
pub trait AdministrationRepository: Send + Sync {
    /// Reads what administrators have changed of the profile of the server.
    fn server_profile(&self) -> StoreFuture<'_, ServerProfile>;

    /// Sets fields of the profile of the server; `None` gives a field back to the settings.
    /// Returns the profile before.
    fn set_server_profile<'a>(
        &'a self,
        fields: &'a [(ProfileField, Option<&'a str>)],
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, ServerProfile>;

    /// Stores an invitation. It ends, beside by its own limits, when its maker loses what it was
    /// made by: the membership in the room, the role of an administrator, the account.
    fn create_invite<'a>(&'a self, invite: &'a NewInvite) -> StoreFuture<'a, Result<(), InviteRefused>>;

    /// Lists at most `max` invitations that can be used, behind a position (`None`: from the
    /// newest on), the newest first.
    fn invites<'a>(
        &'a self,
        of: InvitesOf<'a>,
        after: Option<&'a InvitePosition>,
        now_ms: u64,
        max: usize,
    ) -> StoreFuture<'a, Vec<Invite>>;

    /// Finds an invitation that can be used, by its public id.
    fn invite<'a>(&'a self, id: &'a str, now_ms: u64) -> StoreFuture<'a, Option<Invite>>;

    /// Finds an invitation that can be used, by its secret.
    ///
    /// To join its room, see [`WantedChange::Accept`].
    fn find_invite<'a>(&'a self, secret: &'a SecretHash, now_ms: u64) -> StoreFuture<'a, Option<Invite>>;

    /// Withdraws an invitation. Returns whether there was one.
    fn delete_invite<'a>(
        &'a self,
        id: &'a str,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, bool>;

    /// Stores a new account on terms, in one transaction: with an invitation, it uses it, and the
    /// account is a member of the invitation's room. Returns `false`, and stores nothing, if the
    /// invitation cannot be used. With a subject, it is found by
    /// [`find_subject`](crate::UserRepository::find_subject) from then on.
    ///
    /// # Errors
    ///
    /// [`StoreError::TooManyAccounts`](crate::StoreError::TooManyAccounts), those of
    /// [`create_user`](crate::UserRepository::create_user), and
    /// [`StoreError::NameTaken`](crate::StoreError::NameTaken) also if the subject has an account.
    fn register<'a>(&'a self, user: &'a NewUser, terms: RegistrationTerms<'a>) -> StoreFuture<'a, bool>;

    /// Bans a user: ends all sessions of the account, which are returned in no order, and
    /// withdraws the user's invitations. From then on no session is
    /// [opened](crate::SessionRepository::open_session). A user who is banned already gets the
    /// new reason, and the deletion of messages if it was not asked for before.
    fn ban<'a>(
        &'a self,
        ban: &'a NewBan,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, Result<Vec<SessionId>, BanRefused>>;

    /// Ends a ban, and a deletion of messages that is under way. Returns whether there was one.
    fn unban<'a>(
        &'a self,
        user: &'a Username,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, bool>;

    /// Returns the bans of those of these users who are banned, in no order. It is one query for
    /// all of them.
    fn bans_of<'a>(&'a self, users: &'a [Username]) -> StoreFuture<'a, Vec<Ban>>;

    /// Finds the ban of a user.
    fn find_ban<'a>(&'a self, user: &'a Username) -> StoreFuture<'a, Option<Ban>>;

    /// Lists at most `max` bans after a name (`None`: from the first one), in the order of
    /// names.
    fn bans<'a>(&'a self, after: Option<&'a Username>, max: usize) -> StoreFuture<'a, Vec<Ban>>;

    /// Lists at most `max` deletions of the messages of banned users that are not complete.
    fn deletions(&self, max: usize) -> StoreFuture<'_, Vec<Deletion>>;

    /// Takes the turn of this server to delete the messages of banned users. `None`: another
    /// server with the same database has it. Stores of one process always give it.
    fn deletion_turn(&self) -> StoreFuture<'_, Option<DeletionTurn<'_>>> {
        Box::pin(async { Ok(Some(DeletionTurn::default())) })
    }

    /// Looks at about `max_entries` messages of the log behind a position, and returns those of
    /// a user that are not deleted.
    fn messages_of<'a>(
        &'a self,
        user: &'a Username,
        after: LogPosition,
        max_entries: usize,
    ) -> StoreFuture<'a, MessagesOf>;

    /// Notes how far a deletion has got; `None`: it is complete. One that is complete, or has
    /// ended with its ban, stays so.
    fn note_deletion<'a>(&'a self, user: &'a Username, upto: Option<LogPosition>) -> StoreFuture<'a, ()>;

    /// Makes an account an administrator, or removes this role, as
    /// [`set_administrator`](crate::UserRepository::set_administrator) does for the operator.
    fn set_role<'a>(
        &'a self,
        name: &'a Username,
        is_administrator: bool,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, RoleChange>;

    /// Makes an account the first administrator. `None`, and nothing is changed, if another
    /// account is one.
    fn set_up<'a>(&'a self, name: &'a Username, now_ms: u64) -> StoreFuture<'a, Option<RoleChange>>;

    /// How often an account became an administrator while there was no other one. A set-up code
    /// is bound to this number, so that none is good twice.
    fn set_up_round(&self) -> StoreFuture<'_, u64>;

    /// Writes the entry of the audit log about an account that the operator has added or
    /// removed: those calls write none.
    fn note_account<'a>(
        &'a self,
        action: AuditAction,
        name: &'a Username,
        now_ms: u64,
    ) -> StoreFuture<'a, ()>;

    /// Stores a link with which the user of an account sets a password, in place of an earlier
    /// one. It ends with every change of the password, with the account, with a ban of the user,
    /// and with the role of its maker. Returns `false` if there is no such account that [has a
    /// password](crate::User::has_password), or `by` is no administrator.
    fn create_password_link<'a>(
        &'a self,
        link: &'a NewPasswordLink,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, bool>;

    /// Finds the account of a link that can be used.
    fn find_password_link<'a>(
        &'a self,
        secret: &'a SecretHash,
        now_ms: u64,
    ) -> StoreFuture<'a, Option<Username>>;

    /// Uses a link: replaces the hash of the account's password, and ends all sessions of the
    /// account, in one transaction. Returns them in no order; `None` if the link cannot be used.
    fn use_password_link<'a>(
        &'a self,
        secret: &'a SecretHash,
        new_hash: &'a str,
        now_ms: u64,
    ) -> StoreFuture<'a, Option<(Username, Vec<SessionId>)>>;

    /// Replaces the hash of an account's password, and ends all sessions of the account, in one
    /// transaction. Returns them in no order; `None` if there is no such account.
    fn reset_password<'a>(
        &'a self,
        name: &'a Username,
        new_hash: &'a str,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, Option<Vec<SessionId>>>;

    /// Stores a report of a message, and returns its id: that of the earlier one if the same
    /// user has reported the message and the report is open. `None` if the user has
    /// [`OPEN_REPORTS_MAX`] open ones. Of those that are done, the newest are kept:
    /// [`DONE_REPORTS_OF_USER_MAX`] of each user, and [`DONE_REPORTS_MAX`] in all.
    fn create_report<'a>(&'a self, report: &'a NewReport) -> StoreFuture<'a, Option<u64>>;

    /// Finds a report.
    fn report(&self, id: u64) -> StoreFuture<'_, Option<Report>>;

    /// Lists at most `max` reports with ids below `before` (`None`: from the newest on), the
    /// newest first; `state`: only those in this state.
    fn reports<'a>(
        &'a self,
        of: ReportsOf<'a>,
        state: Option<ReportState>,
        before: Option<u64>,
        max: usize,
    ) -> StoreFuture<'a, Vec<ListedReport>>;

    /// Changes the state of a report. Returns whether there is one. It is not opened again while
    /// its user has another open report of the message.
    fn change_report<'a>(
        &'a self,
        id: u64,
        state: ReportState,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, bool>;

    /// Lists at most `max` entries of the audit log with ids below `before` (`None`: from the
    /// newest on), the newest first.
    ///
    /// Kept are the newest [`AUDIT_MAX`] of what administrators and the operator have done,
    /// [`AUDIT_OF_ADMINISTRATOR_MAX`] of them of one administrator, and as many of what other
    /// users have done, [`AUDIT_OF_USER_MAX`] of them of one user.
    fn audit(&self, before: Option<u64>, max: usize) -> StoreFuture<'_, Vec<AuditEntry>>;
}

/// The number of invitations of one user that can be used.
pub const INVITES_MAX: usize = 100;
/// The number of open reports of one user.
pub const OPEN_REPORTS_MAX: usize = 50;
/// The number of reports that are done and are kept: the newest.
pub const DONE_REPORTS_MAX: u64 = 100_000;
/// The number of reports of one user that are done and are kept: the newest.
pub const DONE_REPORTS_OF_USER_MAX: u64 = 200;
/// Reports beyond [`DONE_REPORTS_MAX`] are removed with each report whose id is a multiple of
/// this: to find them, a store counts the reports.
#[cfg(feature = "databases")]
pub(crate) const REPORTS_SWEEP: u64 = 256;

/// What administrators have changed of the profile of the server. `None`: what the settings
/// say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerProfile {
    /// The title.
    pub title: Option<String>,
    /// A text for people who are not signed in.
    pub welcome: Option<String>,
    /// The name of the colour of buttons and links.
    pub accent: Option<String>,
    /// A small picture, as the caller writes it.
    pub logo: Option<String>,
}

impl ServerProfile {
    pub(crate) fn field(&mut self, field: ProfileField) -> &mut Option<String> {
        match field {
            ProfileField::Title => &mut self.title,
            ProfileField::Welcome => &mut self.welcome,
            ProfileField::Accent => &mut self.accent,
            ProfileField::Logo => &mut self.logo,
        }
    }
}

/// A field of a [`ServerProfile`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProfileField {
    /// See [`ServerProfile::title`].
    Title,
    /// See [`ServerProfile::welcome`].
    Welcome,
    /// See [`ServerProfile::accent`].
    Accent,
    /// See [`ServerProfile::logo`].
    Logo,
}

impl ProfileField {
    #[cfg(feature = "databases")]
    pub(crate) const ALL: [Self; 4] = [Self::Title, Self::Welcome, Self::Accent, Self::Logo];

    /// The column `key`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Title => "title",
            Self::Welcome => "welcome",
            Self::Accent => "accent",
            Self::Logo => "logo",
        }
    }
}

/// On which terms a user makes an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RegistrationTerms<'a> {
    /// The hash of the secret of the invitation that is used.
    pub invite: Option<&'a SecretHash>,
    /// The number of accounts of this database, bots left out and made by whichever server, from which on no other
    /// one is registered; `None`: no limit.
    pub accounts_max: Option<u64>,
    /// The user of an OpenID provider whose account it becomes.
    pub subject: Option<Subject<'a>>,
}

/// An invitation that is to be stored.
#[derive(Debug, Clone)]
pub struct NewInvite {
    /// The public id, chosen at random.
    pub id: String,
    /// The hash of its secret.
    pub secret: SecretHash,
    /// The user who invites.
    pub by: Username,
    /// The room that it makes its users members of; `None`: it is for an account only.
    pub room: Option<RoomName>,
    /// How often it can be used; `None`: without a limit.
    pub uses_max: Option<u64>,
    /// When it was made, in milliseconds since 1970 (UTC).
    pub created_at_ms: u64,
    /// When it ends, in milliseconds since 1970 (UTC); `None`: never.
    pub expires_at_ms: Option<u64>,
}

/// An invitation that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invite {
    /// The public id.
    pub id: String,
    /// See [`NewInvite::by`].
    pub by: Username,
    /// See [`NewInvite::room`].
    pub room: Option<RoomName>,
    /// See [`NewInvite::uses_max`].
    pub uses_max: Option<u64>,
    /// How often it was used.
    pub used: u64,
    /// See [`NewInvite::created_at_ms`].
    pub created_at_ms: u64,
    /// See [`NewInvite::expires_at_ms`].
    pub expires_at_ms: Option<u64>,
    /// The title of the room.
    pub title: Option<String>,
}

impl Invite {
    /// The position of the invitation in lists.
    pub fn position(&self) -> InvitePosition {
        InvitePosition { created_at_ms: self.created_at_ms, id: self.id.clone() }
    }
}

/// A position in lists of invitations.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct InvitePosition {
    /// See [`Invite::created_at_ms`].
    pub created_at_ms: u64,
    /// See [`Invite::id`].
    pub id: String,
}

/// Which invitations a list contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvitesOf<'a> {
    /// Those of a user.
    User(&'a Username),
    /// Those of other users that an administrator sees: to the server, to open rooms, and to
    /// rooms of which the administrator is a member.
    Others {
        /// The administrator.
        reader: &'a Username,
    },
    /// Those to a room.
    Room(&'a RoomName),
}

/// Why an invitation is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InviteRefused {
    /// The user is no member of the room, and no administrator who may invite to it.
    #[error("only members invite to a room, and only administrators to the server")]
    Forbidden,
    /// The user has too many invitations that can be used.
    #[error("too many invitations (max {max})")]
    TooMany {
        /// The number that a user may have: [`INVITES_MAX`].
        max: usize,
    },
}

/// A ban that is to be stored.
#[derive(Debug, Clone)]
pub struct NewBan {
    /// The user.
    pub user: Username,
    /// The reason, for administrators; empty if none was given.
    pub reason: String,
    /// Whether the user's messages are to be deleted.
    pub delete_messages: bool,
    /// Whether a user without an account is banned, too: another issuer signs in users of any
    /// names.
    pub without_account: bool,
}

/// A ban.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ban {
    /// The user.
    pub user: Username,
    /// The administrator; `None` for the operator.
    pub by: Option<Username>,
    /// When the user was banned, in milliseconds since 1970 (UTC).
    pub at_ms: u64,
    /// See [`NewBan::reason`].
    pub reason: String,
    /// Whether the user's messages are being deleted.
    pub is_deleting: bool,
}

/// Why a user cannot be banned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BanRefused {
    /// There is no account of this name.
    #[error("there is no user of this name")]
    NoUser,
    /// The user is an administrator.
    #[error("an administrator cannot be banned: take the role first")]
    Administrator,
}

/// A deletion of all messages of a banned user that is not complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deletion {
    /// The user.
    pub user: Username,
    /// See [`Ban::at_ms`].
    pub banned_at_ms: u64,
    /// How far it has got.
    pub upto: LogPosition,
}

/// The turn of a server to delete messages of banned users. A turn that is dropped ends, too,
/// as does that of a server that crashes or loses its connection.
#[derive(Default)]
pub struct DeletionTurn<'a> {
    ending: Option<Pin<Box<dyn Future<Output = ()> + Send + 'a>>>,
}

impl<'a> DeletionTurn<'a> {
    #[cfg(feature = "postgres")]
    pub(crate) fn ending(ending: impl Future<Output = ()> + Send + 'a) -> Self {
        Self { ending: Some(Box::pin(ending)) }
    }

    /// Ends the turn.
    pub async fn end(self) {
        if let Some(ending) = self.ending {
            ending.await;
        }
    }
}

/// A position among all messages of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct LogPosition {
    pub(crate) topic: u64,
    pub(crate) seq: u64,
}

/// Messages of a user.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MessagesOf {
    /// The topics and numbers of the messages, those of one topic in rising order.
    pub messages: Vec<(Topic, u64)>,
    /// Where to go on; `None` at the end of the log.
    pub next: Option<LogPosition>,
}

/// A link that sets a password, which is to be stored.
#[derive(Debug, Clone)]
pub struct NewPasswordLink {
    /// The account.
    pub user: Username,
    /// The hash of its secret.
    pub secret: SecretHash,
    /// When it ends, in milliseconds since 1970 (UTC).
    pub expires_at_ms: u64,
}

/// A report that is to be stored.
#[derive(Debug, Clone)]
pub struct NewReport {
    /// The topic of the message.
    pub topic: Topic,
    /// The number of the message.
    pub seq: u64,
    /// The user who reports it.
    pub reporter: Username,
    /// The reason.
    pub reason: String,
    /// When it was reported, in milliseconds since 1970 (UTC).
    pub at_ms: u64,
}

/// A report of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Its id, which rises with time.
    pub id: u64,
    /// See [`NewReport::topic`].
    pub topic: Topic,
    /// See [`NewReport::seq`].
    pub seq: u64,
    /// See [`NewReport::reporter`].
    pub reporter: Username,
    /// See [`NewReport::reason`].
    pub reason: String,
    /// See [`NewReport::at_ms`].
    pub at_ms: u64,
    /// Its state.
    pub state: ReportState,
    /// The user who changed the state last, if it was changed by a user.
    pub changed_by: Option<Username>,
}

/// A report in a list for a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedReport {
    /// The report.
    pub report: Report,
    /// Whether the user may read the message.
    pub is_readable: bool,
}

/// The state of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportState {
    /// Nobody has dealt with it.
    Open,
    /// Somebody has dealt with it.
    Done,
}

/// Which reports a list contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportsOf<'a> {
    /// All of them.
    Everywhere {
        /// The administrator who reads the list.
        reader: &'a Username,
    },
    /// Those of messages in the rooms of which the user is a moderator.
    ModeratedBy(&'a Username),
}

/// The entry of the audit log for a new invitation.
pub(crate) fn invite_created(invite: &NewInvite) -> NewAudit<'_> {
    let mut details = Map::new();
    if let Some(room) = &invite.room {
        details.insert("room".to_owned(), room.as_str().into());
    }
    if let Some(uses) = invite.uses_max {
        details.insert("uses".to_owned(), uses.into());
    }
    NewAudit {
        by: Some(&invite.by),
        at_ms: invite.created_at_ms,
        action: AuditAction::InviteCreate,
        target: &invite.id,
        details: (!details.is_empty()).then_some(Value::Object(details)),
    }
}

/// The entry for a ban.
pub(crate) fn banned<'a>(ban: &'a NewBan, by: Option<&'a Username>, at_ms: u64) -> NewAudit<'a> {
    let mut details = Map::new();
    if !ban.reason.is_empty() {
        details.insert("reason".to_owned(), ban.reason.as_str().into());
    }
    if ban.delete_messages {
        details.insert("delete_messages".to_owned(), true.into());
    }
    let details = (!details.is_empty()).then_some(Value::Object(details));
    NewAudit { by, at_ms, action: AuditAction::UserBan, target: ban.user.as_str(), details }
}

/// The entry for a change of the role of an account.
pub(crate) fn role_changed<'a>(
    user: &'a Username,
    is_administrator: bool,
    by: Option<&'a Username>,
    at_ms: u64,
) -> NewAudit<'a> {
    let role = if is_administrator { "administrator" } else { "member" };
    let details = Some(json!({ "role": role }));
    NewAudit { by, at_ms, action: AuditAction::UserRole, target: user.as_str(), details }
}

/// The entry for a change of a report.
pub(crate) fn report_changed<'a>(
    id: &'a str,
    state: ReportState,
    by: Option<&'a Username>,
    at_ms: u64,
) -> NewAudit<'a> {
    let state = match state {
        ReportState::Open => "open",
        ReportState::Done => "done",
    };
    let details = Some(json!({ "state": state }));
    NewAudit { by, at_ms, action: AuditAction::ReportChange, target: id, details }
}

/// The entries for the messages of others that a batch has deleted, in the order of the users who
/// have deleted them, so that transactions that write to the parts of several users cannot
/// deadlock. `author` finds the author of a message that the batch has changed.
///
/// A ban deletes messages in the name of their author: there are no entries for them.
pub(crate) fn messages_deleted<'a>(
    commit: &'a Commit,
    author: impl Fn(&Topic, u64) -> Option<&'a Username>,
    at_ms: u64,
) -> Vec<NewAudit<'a>> {
    let deleted = |entry: &'a Arc<Entry>| {
        let Body::Delete { target } = entry.body else { return None };
        let Topic::Room(room) = &entry.topic else { return None };
        let author = author(&entry.topic, target).filter(|author| **author != entry.from)?;
        Some(NewAudit {
            by: Some(&entry.from),
            at_ms,
            action: AuditAction::MessageDelete,
            target: author.as_str(),
            details: Some(json!({ "room": room.as_str(), "seq": target })),
        })
    };
    let mut deleted: Vec<_> = commit.entries.iter().filter_map(deleted).collect();
    deleted.sort_by_key(|new| new.by);
    deleted
}

/// The entry for a change of a room or of its members, made by the rule of
/// [`judge_change`](chat_core::judge_change). `before` is the room before the change, and
/// `role` that of the user concerned. `None` for what nobody else has to know: what users do
/// for themselves, new members, and changes that are made already.
pub(crate) fn room_changed<'a>(
    wanted: &'a WantedChange,
    before: Option<&RoomInfo>,
    role: Option<Role>,
    at_ms: u64,
) -> Option<NewAudit<'a>> {
    match wanted {
        WantedChange::Create { .. } | WantedChange::Accept { .. } => None,
        WantedChange::Change { room, patch, by } => {
            let before = before?;
            let after = patch.apply(before);
            let (mut changed, mut details) = (Vec::new(), Map::new());
            if before.title != after.title {
                changed.push("title");
            }
            if before.description != after.description {
                changed.push("description");
            }
            if before.access != after.access {
                changed.push("access");
                details.insert("access".to_owned(), json!(after.access));
            }
            if before.archived != after.archived {
                changed.push("archived");
                details.insert("archived".to_owned(), after.archived.into());
            }
            let is_changed = !changed.is_empty();
            details.insert("changed".to_owned(), changed.into());
            is_changed.then_some(NewAudit {
                by: Some(&by.user),
                at_ms,
                action: AuditAction::RoomChange,
                target: room.as_str(),
                details: Some(Value::Object(details)),
            })
        }
        WantedChange::Put { room, user, role: new, by } => {
            let new = (*new)?;
            let changes_role = new != role.unwrap_or(Role::Member);
            (changes_role && *user != by.user).then(|| NewAudit {
                by: Some(&by.user),
                at_ms,
                action: AuditAction::MemberRole,
                target: user.as_str(),
                details: Some(json!({ "room": room.as_str(), "role": new })),
            })
        }
        WantedChange::Remove { room, user, by } => (role.is_some() && *user != by.user).then(|| NewAudit {
            by: Some(&by.user),
            at_ms,
            action: AuditAction::MemberRemove,
            target: user.as_str(),
            details: Some(json!({ "room": room.as_str() })),
        }),
    }
}

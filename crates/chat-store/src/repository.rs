//! The traits of a store.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use chat_cluster::Record;
use chat_core::{
    Answer, AttachedFile, ChangeRefused, Commit, Conversations, Draft, Emoji, FileId, FileQuotas,
    FileRefused, FilesUsage, FoundFile, Memberships, MessagesFrom, Page, PageFrom, PageLimits, Query,
    Reaction, ReadState, ReservedFile, Role, RoomAccess, RoomChange, RoomInfo, RoomName, SessionId, Topic,
    UserMark, Username, WantedChange,
};

use crate::{Feed, Retention, StoreError, TrimPosition, Trimmed};

/// The future result of a call. It is boxed, so that a store can be chosen at run time
/// without a type parameter in the signatures of its callers.
///
/// Unless a method documents other errors, a call fails with
/// [`StoreError::Unavailable`] or [`StoreError::Damaged`].
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// The accounts of users.
pub trait UserRepository: Send + Sync {
    /// Stores a new account. Of confusable names that are stored at the same time, one
    /// is accepted.
    ///
    /// # Errors
    ///
    /// [`StoreError::NameTaken`] if there is or was an account of this name, and
    /// [`StoreError::NameConfusable`] if there is or was one whose name is
    /// [confusable](chat_core::Skeleton) with it.
    fn create_user<'a>(&'a self, user: &'a NewUser) -> StoreFuture<'a, ()>;

    /// Stores a new account, which may have the name of a removed one, spelled exactly
    /// as before. It then gets the conversations of the removed account.
    ///
    /// # Errors
    ///
    /// Those of [`create_user`](Self::create_user).
    fn recreate_user<'a>(&'a self, user: &'a NewUser) -> StoreFuture<'a, ()>;

    /// Checks a name before the caller does the expensive part of a registration.
    ///
    /// # Errors
    ///
    /// Those of [`create_user`](Self::create_user).
    fn check_new_name<'a>(&'a self, name: &'a Username) -> StoreFuture<'a, ()>;

    /// Finds the account of exactly this name.
    fn find_user<'a>(&'a self, name: &'a Username) -> StoreFuture<'a, Option<User>>;

    /// Finds the account of exactly the name `typed`, otherwise that of exactly `name`,
    /// otherwise the only account whose name
    /// [differs from `name` in case](Username::is_same_ignoring_case). `None` also if
    /// there are several, as a database of the original chat may have.
    ///
    /// The store makes one query, the same for every name, so that its time does not show
    /// which names have accounts.
    ///
    /// Accounts that another program added since the store was opened are found by their
    /// exact names only.
    fn find_user_ignoring_case<'a>(
        &'a self,
        typed: &'a Username,
        name: &'a Username,
    ) -> StoreFuture<'a, Option<User>>;

    /// Finds the account of a user whom an OpenID provider signs in.
    fn find_subject<'a>(&'a self, subject: Subject<'a>) -> StoreFuture<'a, Option<User>>;

    /// Replaces the hash of an account's password if it still is `old`. Returns whether
    /// it was: another call may have changed the password meanwhile.
    fn set_password_hash<'a>(
        &'a self,
        name: &'a Username,
        old: &'a str,
        new: &'a str,
    ) -> StoreFuture<'a, bool>;

    /// Replaces the hash of an account's password if it still is `old`, and ends all
    /// sessions of the account for good, except `kept`, in one transaction. Returns the
    /// sessions that it ended, in no order; `None`, and nothing is changed, if another call
    /// has changed the password meanwhile.
    ///
    /// It also ends a session that a sign-in opens meanwhile and that the sign-in checks by
    /// the old hash. A retry after a lost answer returns only the sessions that it found
    /// itself.
    fn change_password<'a>(&'a self, change: PasswordChange<'a>) -> StoreFuture<'a, Option<Vec<SessionId>>>;

    /// Replaces the picture of an account if it still is `old`. Returns whether it was;
    /// also `true` if it is `new` already.
    fn set_avatar<'a>(
        &'a self,
        name: &'a Username,
        old: Option<&'a str>,
        new: Option<&'a str>,
    ) -> StoreFuture<'a, bool>;

    /// Returns whether any account has the picture at this path. It looks at all accounts.
    fn is_avatar_used<'a>(&'a self, avatar: &'a str) -> StoreFuture<'a, bool>;

    /// Deletes an account, if there is one. Its messages stay, its name stays reserved, and
    /// it leaves all rooms; where it was the only moderator, the longest member becomes one.
    /// What it has read in private conversations stays, too. The caller
    /// [revokes](SessionRepository::revoke_sessions_of) its sessions.
    fn remove_user<'a>(&'a self, name: &'a Username) -> StoreFuture<'a, ()>;

    /// Lists at most `max` accounts after a name (`None`: from the first one), in an order
    /// that depends on the store.
    fn list_users<'a>(&'a self, after: Option<&'a Username>, max: usize) -> StoreFuture<'a, Vec<User>>;

    /// Finds the accounts with these names, in no order. Names without an account are left out.
    fn find_users<'a>(&'a self, names: &'a [Username]) -> StoreFuture<'a, Vec<User>>;

    /// Returns a page of the directory: at most `max` accounts whose names have a word that
    /// begins with `prefix` in any case (`None`: all accounts). A word begins where a letter
    /// or digit follows another character. A prefix may be longer than a word: `anna ma`
    /// finds `Anna Maria`.
    ///
    /// Each account is listed once, in the order of the words that begin with the prefix
    /// (without a prefix, of the names), in folded case. `after` is the last name of the
    /// previous page.
    ///
    /// Accounts that another program added since the store was opened are missing.
    fn search_users<'a>(
        &'a self,
        prefix: Option<&'a Username>,
        after: Option<&'a Username>,
        max: usize,
    ) -> StoreFuture<'a, Vec<User>>;

    /// Returns whether an account is an administrator.
    fn is_administrator<'a>(&'a self, name: &'a Username) -> StoreFuture<'a, bool>;

    /// Makes an account an administrator at `now_ms`, or removes this role, for the operator of
    /// the server; see also [`set_role`](crate::AdministrationRepository::set_role). The result is
    /// [`RoleChange::Done`] also if nothing changes. A [removed](Self::remove_user) account
    /// loses its role, even if it is the last administrator.
    fn set_administrator<'a>(
        &'a self,
        name: &'a Username,
        is_administrator: bool,
        now_ms: u64,
    ) -> StoreFuture<'a, RoleChange>;

    /// The number of accounts, those of [bots](crate::BotRepository) left out.
    fn count_users(&self) -> StoreFuture<'_, u64>;

    /// Lists all administrators, in the order of their names.
    fn administrators(&self) -> StoreFuture<'_, Vec<Username>>;
}

/// The sessions of users: one for each sign-in, until it ends or is revoked.
pub trait SessionRepository: Send + Sync {
    /// Stores a session. Returns `false`, and stores nothing, if the user is
    /// [banned](crate::AdministrationRepository::ban). Of the other sessions of the user, the oldest
    /// end, so that there are at most `of_user_max`, which is 1 or more.
    fn open_session<'a>(&'a self, session: &'a Session, of_user_max: usize) -> StoreFuture<'a, bool>;

    /// Finds a session that is valid at `now_ms`: not revoked and not ended.
    fn find_session<'a>(&'a self, id: &'a SessionId, now_ms: u64) -> StoreFuture<'a, Option<Session>>;

    /// Moves the end of a session that is valid at `now_ms`.
    fn renew_session<'a>(&'a self, id: &'a SessionId, now_ms: u64, expires_at_ms: u64)
    -> StoreFuture<'a, ()>;

    /// Ends a session for good, if there is one.
    fn revoke_session<'a>(&'a self, id: &'a SessionId) -> StoreFuture<'a, ()>;

    /// Lists the sessions of a user that are valid at `now_ms`, the newest first, at most
    /// [`SESSIONS_LISTED_MAX`].
    fn sessions_of<'a>(&'a self, user: &'a Username, now_ms: u64) -> StoreFuture<'a, Vec<Session>>;

    /// Ends all sessions of a user for good, and returns their ids in no order. A retry
    /// after a lost answer returns only the sessions that it found itself.
    fn revoke_sessions_of<'a>(&'a self, user: &'a Username) -> StoreFuture<'a, Vec<SessionId>>;

    /// Records a use of a session, if there is one. An earlier time than the recorded one
    /// changes nothing.
    fn touch_session<'a>(&'a self, id: &'a SessionId, now_ms: u64) -> StoreFuture<'a, ()>;

    /// Returns which of these sessions are valid at `now_ms`, with their ends, in no
    /// order. It is one query for all of them.
    fn valid_sessions<'a>(
        &'a self,
        ids: &'a [SessionId],
        now_ms: u64,
    ) -> StoreFuture<'a, Vec<(SessionId, u64)>>;

    /// Resolves when sessions were ended, or a user was banned, perhaps by another process. One
    /// caller may wait at a time. A store of one process never resolves it: there, the process
    /// knows what it does.
    fn next_ended(&self) -> StoreFuture<'_, Ended> {
        Box::pin(std::future::pending())
    }
}

/// Whose sessions or rights were ended or changed. It is a hint: whoever gets it asks what is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// Sessions of this user, or the user was banned.
    Of(Username),
    /// Of the rights of this user: whether the user is an administrator has changed.
    Role(Username),
    /// Any: nothing was told since the last answer.
    Unknown,
}

/// The log: the only part that numbers entries, and the only truth about them.
///
/// The entries of each topic are numbered 1, 2, 3 … inside the transaction that stores
/// them, so that the order of numbers is the order of commits, without a gap.
pub trait EventLog: Send + Sync {
    /// Stores a batch in one transaction: all of it or, with an error, nothing.
    ///
    /// [`Batch::decide`](chat_core::Batch::decide) has the rule for each draft. Entries
    /// are stamped `max(now_ms, the topic's last stamp)`.
    fn append<'a>(&'a self, drafts: &'a [Draft], now_ms: u64) -> StoreFuture<'a, Commit>;

    /// The same, and what the [feed](Self::feed) has of the commit; `None` if the other servers need
    /// not know of it, or there can be none.
    fn append_recorded<'a>(
        &'a self,
        drafts: &'a [Draft],
        now_ms: u64,
    ) -> StoreFuture<'a, (Commit, Option<Record>)> {
        Box::pin(async move { Ok((self.append(drafts, now_ms).await?, None)) })
    }

    /// What the servers on this database tell each other; `None` (the default) if there can be one
    /// server only.
    fn feed(&self) -> Option<&dyn Feed> {
        None
    }

    /// The number of lanes: of batches that the log can store at the same time. A caller
    /// has one batch at a time in each lane, so that the drafts of a topic, which has one
    /// lane, are stored in the order of their arrival.
    fn lanes(&self) -> usize {
        1
    }

    /// The lane of a topic: always the same, and less than [`lanes`](Self::lanes).
    fn lane(&self, _topic: &Topic) -> usize {
        0
    }

    /// Reads a page of a topic. An unknown topic is an empty one.
    fn page<'a>(&'a self, topic: &'a Topic, from: PageFrom, limits: PageLimits) -> StoreFuture<'a, Page>;

    /// Reads messages of a topic, as they are now, without the changes.
    fn messages<'a>(
        &'a self,
        topic: &'a Topic,
        from: &'a MessagesFrom,
        limits: PageLimits,
    ) -> StoreFuture<'a, Page>;

    /// Reads the reactions to a message, and with which emoji `user` has reacted. `None` if
    /// the message is not there, or deleted.
    fn reactions<'a>(
        &'a self,
        topic: &'a Topic,
        seq: u64,
        user: &'a Username,
    ) -> StoreFuture<'a, Option<MessageReactions>>;

    /// Lists at most `max` users who reacted to a message with an emoji, in the order of
    /// their reactions, each with the number of the reaction; those after the number
    /// `after`.
    fn reactors<'a>(
        &'a self,
        topic: &'a Topic,
        seq: u64,
        emoji: &'a Emoji,
        after: u64,
        max: usize,
    ) -> StoreFuture<'a, Vec<(Username, u64)>>;

    /// Lists the private conversations of a user, at most `limit` of them.
    fn conversations<'a>(&'a self, user: &'a Username, limit: usize) -> StoreFuture<'a, Conversations>;

    /// Makes a change of a room or of its members in a transaction of its own, by the rule
    /// of [`judge_change`](chat_core::judge_change). The caller runs it in the
    /// [lane](Self::lane) of the room, not beside a batch of that lane.
    ///
    /// A call that failed may have made the change. It is repeated with the same
    /// arguments until it answers: a change that is made already answers the same.
    fn change<'a>(
        &'a self,
        wanted: &'a WantedChange,
        now_ms: u64,
    ) -> StoreFuture<'a, Result<Vec<RoomChange>, ChangeRefused>>;

    /// Makes a change at once, as [`append_in_place`](Self::append_in_place) stores a batch.
    fn change_in_place(
        &self,
        _wanted: &WantedChange,
        _now_ms: u64,
        _publish: &mut dyn FnMut(&[RoomChange]),
    ) -> Option<Result<(), ChangeRefused>> {
        None
    }

    /// Lists the rooms of a user, at most `limit` of them, those with the newest messages
    /// first. The first `counted` have [counts](chat_core::Membership::counts).
    fn memberships<'a>(
        &'a self,
        user: &'a Username,
        limit: usize,
        counted: usize,
    ) -> StoreFuture<'a, Memberships>;

    /// Reads what a user may do in a room.
    fn access<'a>(&'a self, user: &'a Username, room: &'a RoomName) -> StoreFuture<'a, RoomAccess>;

    /// Reads the last numbers of rooms, in their order; 0 for a room without entries.
    fn tops<'a>(&'a self, rooms: &'a [RoomName]) -> StoreFuture<'a, Vec<u64>>;

    /// Counts what a user, who has read at least up to `read`, has not read in a topic.
    fn counts<'a>(&'a self, user: &'a Username, topic: &'a Topic, read: u64) -> StoreFuture<'a, ReadState>;

    /// Keeps marks of users in one transaction. A mark never goes back, is clamped to the
    /// last number of its topic, and is dropped if the user is no member of the room.
    fn keep<'a>(&'a self, marks: &'a [UserMark]) -> StoreFuture<'a, ()>;

    /// Makes one step of a trim: removes entries that are not [kept](Retention) any more,
    /// the oldest of each topic first. It removes at most `max_entries` (at least 1), so
    /// that other calls do not wait long. It starts at `from` and returns the position of
    /// the [next](Trimmed::next) step.
    ///
    /// A topic continues its numbers, also without entries, and [`Page::first`] moves up.
    /// A nonce is removed when its entry is removed and was stored
    /// [seven days](crate::NONCES_KEPT_MS) ago; a memory store removes it with its entry.
    ///
    /// The default implementation keeps everything.
    fn trim<'a>(
        &'a self,
        _retention: &'a Retention,
        _from: TrimPosition,
        _now_ms: u64,
        _max_entries: usize,
    ) -> StoreFuture<'a, Trimmed> {
        Box::pin(async { Ok(Trimmed::default()) })
    }

    /// The epoch: the id of the numbering. It changes only if the numbers start anew.
    fn epoch(&self) -> &str;

    /// Checks that the store answers and accepts writes.
    fn check(&self) -> StoreFuture<'_, ()>;

    /// Checks that the store can commit: it commits a change that leaves nothing behind. A
    /// full disk passes [`check`](Self::check), but not this.
    ///
    /// The default implementation is a [`check`](Self::check).
    fn check_write(&self) -> StoreFuture<'_, ()> {
        self.check()
    }

    /// Stores a batch at once, in the caller's thread, if the log is in the memory of this
    /// process. It calls `publish` before it takes the next batch, so that commits are
    /// published in the order of their numbers. Other logs return `None` (the default);
    /// they get their batches through [`append`](Self::append).
    fn append_in_place(
        &self,
        _drafts: &[Draft],
        _now_ms: u64,
        _publish: &mut dyn FnMut(&Commit),
    ) -> Option<Commit> {
        None
    }
}

impl dyn EventLog {
    /// Reads what a hub asks for.
    ///
    /// # Errors
    ///
    /// Those of the call that the query stands for.
    pub async fn answer(&self, query: &Query) -> Result<Answer, StoreError> {
        match query {
            Query::Page { topic, from, limits } => self.page(topic, *from, *limits).await.map(Answer::Page),
            Query::Messages { topic, from, limits } => {
                self.messages(topic, from, *limits).await.map(Answer::Page)
            }
            Query::Conversations { user, limit } => {
                self.conversations(user, *limit).await.map(Answer::Conversations)
            }
            Query::Memberships { user, limit, counted } => {
                self.memberships(user, *limit, *counted).await.map(Answer::Memberships)
            }
            Query::Access { user, room } => self.access(user, room).await.map(Answer::Access),
            Query::Tops { rooms } => self.tops(rooms).await.map(Answer::Tops),
            Query::Counts { user, topic, read } => self.counts(user, topic, *read).await.map(Answer::Counts),
        }
    }
}

/// The rooms, as lists show them. They are changed through [`EventLog::change`].
pub trait RoomRepository: Send + Sync {
    /// Finds a room.
    fn find_room<'a>(&'a self, room: &'a RoomName) -> StoreFuture<'a, Option<ListedRoom>>;

    /// Lists at most `max` open rooms: those that are not archived first, then those with
    /// the newest messages, then by name.
    fn open_rooms(&self, max: usize) -> StoreFuture<'_, Vec<ListedRoom>>;

    /// Lists at most `max` rooms of a user, in the order of [`open_rooms`](Self::open_rooms).
    fn rooms_of<'a>(&'a self, user: &'a Username, max: usize) -> StoreFuture<'a, Vec<ListedRoom>>;

    /// Lists at most `max` members of a room after a name (`None`: from the first one), in
    /// the order of their names.
    fn members_of<'a>(
        &'a self,
        room: &'a RoomName,
        after: Option<&'a Username>,
        max: usize,
    ) -> StoreFuture<'a, Vec<(Username, Role)>>;

    /// Adds the rooms of this list that do not exist, each as an open one with a title,
    /// without members. An open room that users have opened by its name, and whose title is
    /// still the name, gets the title.
    fn add_rooms<'a>(&'a self, rooms: &'a [(RoomName, String)], now_ms: u64) -> StoreFuture<'a, ()>;

    /// Makes one step of the work that a migration leaves: users become members of the
    /// rooms that they have written to. It looks at about `max_entries` entries, and
    /// returns whether there is more to do.
    ///
    /// The default implementation has nothing to do.
    fn fill_members(&self, _max_entries: usize) -> StoreFuture<'_, bool> {
        Box::pin(async { Ok(false) })
    }
}

/// The records of files that users upload and attach to messages. The bytes are elsewhere: who
/// stores them reserves an id before the first byte is written, and forgets it after the last
/// one is removed, so that no bytes are without a record.
///
/// Files are attached by [`EventLog::append`], which also marks those of deleted messages in
/// its transaction; [`EventLog::trim`] marks those of removed ones. A marked file is readable
/// by nobody.
pub trait FileRepository: Send + Sync {
    /// Reserves the id of a file that is about to be uploaded. Its bytes count against both
    /// quotas at once, also if many files are reserved at the same time.
    fn reserve_file<'a>(
        &'a self,
        file: &'a ReservedFile,
        quotas: FileQuotas,
        now_ms: u64,
    ) -> StoreFuture<'a, Result<(), FileRefused>>;

    /// Notes that the bytes of a reserved file are stored for good. Returns whether it is still
    /// reserved, or was stored by an earlier call: if not, the bytes are to be removed.
    fn store_file<'a>(
        &'a self,
        owner: &'a Username,
        file: &'a AttachedFile,
        now_ms: u64,
    ) -> StoreFuture<'a, bool>;

    /// Finds a file whose bytes are stored, and that is not marked.
    fn find_file<'a>(&'a self, id: &'a FileId) -> StoreFuture<'a, Option<FoundFile>>;

    /// Finds a file that a user may read now: the owner as long as no message has it, then those
    /// who may read the message.
    fn readable_file<'a>(
        &'a self,
        id: &'a FileId,
        reader: &'a Username,
    ) -> StoreFuture<'a, Option<AttachedFile>>;

    /// Marks files that no message has, and that were reserved or stored before `before_ms`, at
    /// most `max` of them. Returns at most `max` marked files: their bytes are to be removed.
    fn files_to_delete(&self, before_ms: u64, max: usize) -> StoreFuture<'_, Vec<FileId>>;

    /// Marks a file that no message has, such as one whose upload broke.
    fn drop_file<'a>(&'a self, id: &'a FileId) -> StoreFuture<'a, ()>;

    /// Removes the records of marked files, after their bytes were removed.
    fn forget_files<'a>(&'a self, ids: &'a [FileId]) -> StoreFuture<'a, ()>;

    /// Lists at most `max` stored files after an id (`None`: from the first one), in the order
    /// of ids.
    fn files_after<'a>(&'a self, after: Option<&'a FileId>, max: usize) -> StoreFuture<'a, Vec<FoundFile>>;

    /// Counts the files and their bytes, also of marked files.
    fn files_usage(&self) -> StoreFuture<'_, FilesUsage>;
}

/// A room in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedRoom {
    /// The name.
    pub name: RoomName,
    /// Its title and access.
    pub info: Arc<RoomInfo>,
    /// The number of members.
    pub members: u64,
    /// When the last message was stored, in milliseconds since 1970 (UTC); 0 if none was.
    pub at_ms: u64,
    /// When the room was created, in milliseconds since 1970 (UTC); 0 if unknown.
    pub created_at_ms: u64,
    /// The creator; `None` if a user opened the room by its name.
    pub created_by: Option<Username>,
}

/// The reactions to a message, as one user sees them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MessageReactions {
    /// All of them, in the order in which the count of each last rose from 0.
    pub reactions: Vec<Reaction>,
    /// The emoji with which the user has reacted.
    pub mine: Vec<Emoji>,
}

/// A new account.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// The name, in its exact spelling.
    pub name: Username,
    /// The password's hash, in PHC string format.
    pub password_hash: String,
    /// The path of the picture below the server's root, such as `/uploads/….png`.
    pub avatar: Option<String>,
    /// When the account was made, in milliseconds since 1970 (UTC).
    pub created_at_ms: u64,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name, in its exact spelling.
    pub name: Username,
    /// The password's hash: in PHC string format, or bcrypt (`$2a$…`) in an account of the
    /// original chat.
    pub password_hash: String,
    /// The path of the picture below the server's root, if there is one.
    pub avatar: Option<String>,
    /// When the account was made, in milliseconds since 1970 (UTC); 0 if unknown.
    pub created_at_ms: u64,
}

/// A user of an OpenID provider. The provider may give several users one name, and a user another
/// name: only both texts together say who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subject<'a> {
    /// The address of the provider.
    pub issuer: &'a str,
    /// The id of the user there.
    pub subject: &'a str,
}

/// A change of a password by its user, who is signed in.
#[derive(Debug, Clone, Copy)]
pub struct PasswordChange<'a> {
    /// The account.
    pub user: &'a Username,
    /// The hash of the password that was checked.
    pub old: &'a str,
    /// The hash of the new password, in PHC string format.
    pub new: &'a str,
    /// The session that stays.
    pub kept: &'a SessionId,
}

impl User {
    /// Whether the account has a password. In place of the hash, which begins with `$`,
    /// the account of a user of another issuer has a text that no password matches.
    pub fn has_password(&self) -> bool {
        self.password_hash.starts_with('$')
    }
}

/// The result of a change of a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleChange {
    /// The account has the requested role.
    Done,
    /// There is no account of that name that [has a password](User::has_password), or that an OpenID
    /// provider signs in on this server.
    NoPassword,
    /// The only administrator keeps the role.
    LastAdministrator,
    /// The user is banned.
    Banned,
}

/// A session: one sign-in of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The `sid` of its token.
    pub id: SessionId,
    /// The user.
    pub user: Username,
    /// The `User-Agent` of the client that signed in; empty if it sent none.
    pub device: String,
    /// The IP address of the client that signed in; empty if unknown.
    pub address: String,
    /// When the user signed in, in milliseconds since 1970 (UTC).
    pub created_at_ms: u64,
    /// When the session ends, in milliseconds since 1970 (UTC).
    pub expires_at_ms: u64,
    /// When the session was last used, to some minutes, in milliseconds since 1970 (UTC).
    pub last_seen_at_ms: u64,
}

/// The number of sessions in one list.
pub const SESSIONS_LISTED_MAX: usize = 100;

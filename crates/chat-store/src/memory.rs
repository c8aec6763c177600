//! A store in memory.

mod administration;
mod bots;
mod outgoing;
mod push;

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chat_core::{
    Access, AttachedFile, Body, ChangeRefused, Commit, Conversations, Draft, Emoji, Entry, FileId,
    FileQuotas, FileRefused, FilesUsage, FoundFile, History, HistoryLimits, KeptRoom, Memberships,
    MessagesFrom, Page, PageFrom, PageLimits, ReadState, ReservedFile, Role, RoomAccess, RoomChange,
    RoomInfo, RoomName, Seed, SessionId, Skeleton, Topic, UserMark, Username, WantedChange,
};
use uuid::Uuid;

use crate::administration::audit::Part;
use crate::administration::{Administration, NewAudit, messages_deleted, room_changed};
use crate::bots::Bots;
use crate::directory::Listing;
use crate::outgoing::OutgoingWebhooks;
use crate::push::Push;
use crate::retention::Cut;
use crate::shared::Shared;
use crate::{
    EventLog, FileRepository, Invite, ListedRoom, MessageReactions, NewUser, PasswordChange, Retention,
    RoleChange, RoomRepository, SESSIONS_LISTED_MAX, SearchIndex, SearchPage, SearchQuery, Session,
    SessionRepository, StoreError, StoreFuture, Subject, TrimPosition, Trimmed, User, UserRepository,
};

/// A store of users, sessions and the log in the memory of this process, for embedders
/// and tests. Its data ends with it, so that each memory store has an epoch of its own.
/// It keeps only the newest messages, see [`HistoryLimits`].
///
/// One lock protects all of it, and is taken once for each batch.
pub struct MemoryStore {
    epoch: String,
    inner: Mutex<Inner>,
}

struct Inner {
    history: History,
    users: HashMap<Username, User>,
    /// The name of each account in folded case, with its exact name; also of removed
    /// accounts. Names that differ only in case are confusable: there is one of them.
    by_folded_case: HashMap<String, Username>,
    /// The names of all accounts, also of removed ones.
    names: HashSet<Username>,
    /// The accounts of users of OpenID providers, by issuer and subject.
    subjects: HashMap<(String, String), Username>,
    /// The keys of the skeletons of `names`.
    skeletons: HashSet<String>,
    /// The administrators, and since when, in milliseconds since 1970.
    administrators: BTreeMap<Username, u64>,
    /// How often an account became the first administrator.
    set_ups: u64,
    sessions: HashMap<SessionId, Session>,
    administration: Administration,
    push: Push,
    bots: Bots,
    outgoing: OutgoingWebhooks,
    shared: Shared,
    /// The number of sign-ins until ended sessions are removed.
    sign_ins_to_sweep: usize,
}

/// A look through all sessions at each sign-in would make many sign-ins slow.
const SIGN_INS_PER_SWEEP: usize = 256;

impl MemoryStore {
    /// Creates an empty store.
    pub fn new(limits: HistoryLimits) -> Self {
        // Random bits of the operating system seed the hash maps.
        let (one, other) = Uuid::new_v4().as_u64_pair();
        Self {
            epoch: Uuid::new_v4().to_string(),
            inner: Mutex::new(Inner {
                history: History::new(Seed(one, other), limits),
                users: HashMap::new(),
                by_folded_case: HashMap::new(),
                names: HashSet::new(),
                subjects: HashMap::new(),
                skeletons: HashSet::new(),
                administrators: BTreeMap::new(),
                set_ups: 0,
                sessions: HashMap::new(),
                administration: Administration::default(),
                push: Push::default(),
                bots: Bots::default(),
                outgoing: OutgoingWebhooks::default(),
                shared: Shared::default(),
                sign_ins_to_sweep: SIGN_INS_PER_SWEEP,
            }),
        }
    }

    /// Runs what is quick on what the servers of this store share. It is told of an address whether
    /// an account has that picture.
    pub(crate) fn with_shared<T>(&self, run: impl FnOnce(&mut Shared, &dyn Fn(&str) -> bool) -> T) -> T {
        let Inner { shared, users, .. } = &mut *self.lock();
        run(shared, &|address| users.values().any(|user| user.avatar.as_deref() == Some(address)))
    }

    /// A poisoned lock is used on: every change is complete before foreign code
    /// (`publish`) runs under the lock.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(HistoryLimits::default())
    }
}

impl Inner {
    /// Ends the oldest sessions of a user beside this one, if there are too many.
    fn end_oldest_sessions(&mut self, newest: &Session, of_user_max: usize) {
        let is_other = |other: &&Session| other.user == newest.user && other.id != newest.id;
        let others = self.sessions.values().filter(is_other);
        let mut others: Vec<_> = others.map(|other| (other.created_at_ms, other.id.clone())).collect();
        others.sort();
        let ended = (others.len() + 1).saturating_sub(of_user_max.max(1));
        for (_, id) in others.drain(..ended) {
            self.sessions.remove(&id);
        }
    }

    fn append(&mut self, drafts: &[Draft], now_ms: u64) -> Commit {
        // Looked up before: a history of few messages may forget them in this batch.
        let mut authors = Vec::new();
        for draft in drafts {
            if let Body::Delete { target } = draft.body
                && let Some(author) = self.history.author(&draft.topic, target)
            {
                authors.push((&draft.topic, target, author.clone()));
            }
        }
        let users = &self.users;
        let mut commit = self.history.append(drafts, now_ms, |name| users.contains_key(name));
        if !authors.is_empty() {
            let author = |topic: &Topic, seq| {
                let found = authors.iter().find(|(of, target, _)| *target == seq && *of == topic);
                found.map(|(_, _, author)| author)
            };
            for deleted in messages_deleted(&commit, author, now_ms) {
                self.note(deleted);
            }
        }
        commit.take_back();
        commit
    }

    fn change(&mut self, wanted: &WantedChange, now_ms: u64) -> Result<Vec<RoomChange>, ChangeRefused> {
        let room = wanted.room();
        let kept = self.history.room(room).map(|(kept, _)| kept);
        let role = |user: &Username| Some(kept?.members.get(user)?.0);
        let role = match wanted {
            WantedChange::Put { user, .. }
            | WantedChange::Remove { user, .. }
            | WantedChange::Accept { user, .. } => role(user),
            WantedChange::Create { .. } | WantedChange::Change { .. } => None,
        };
        if let WantedChange::Accept { invite, .. } = wanted
            && role.is_none()
        {
            let found = self.administration.find_invite(invite, now_ms);
            let is_closed = kept.is_some_and(|kept| kept.info.access == Access::Closed);
            let was_removed = || match wanted {
                WantedChange::Accept { user, .. } => is_closed && self.administration.was_removed(room, user),
                _ => false,
            };
            if found.is_none_or(|found| found.room.as_ref() != Some(room)) || was_removed() {
                return Err(ChangeRefused::NoInvite);
            }
        }
        let before = kept.map(|kept| Arc::clone(&kept.info));
        let audit = room_changed(wanted, before.as_deref(), role, now_ms);
        let users = &self.users;
        let changes = self.history.change(wanted, now_ms, |name| users.contains_key(name))?;
        match wanted {
            WantedChange::Accept { invite, .. } if role.is_none() => self.administration.use_invite(invite),
            WantedChange::Put { user, .. } => self.administration.forget_removal(room, user),
            WantedChange::Remove { user, by, .. } => {
                if *user != by.user && role.is_some() {
                    self.administration.remember_removal(room, user);
                }
                let is_theirs = |invite: &Invite| invite.by == *user && invite.room.as_ref() == Some(room);
                self.administration.withdraw_invites(is_theirs);
            }
            WantedChange::Change { patch, .. } if patch.access == Some(Access::Closed) => {
                let Self { administration, history, .. } = self;
                let is_strangers = |invite: &Invite| {
                    invite.room.as_ref() == Some(room) && history.access(&invite.by, room).role.is_none()
                };
                administration.withdraw_invites(is_strangers);
            }
            _ => {}
        }
        if let Some(audit) = audit {
            self.note(audit);
        }
        Ok(changes)
    }

    /// Writes an entry of the audit log.
    fn note(&mut self, new: NewAudit<'_>) {
        let by_administrator = new.by.is_none_or(|by| self.administrators.contains_key(by));
        let part = match by_administrator || new.action.needs_administrator() {
            true => Part::Administration,
            false => Part::Moderation,
        };
        self.administration.note(part, new);
    }

    fn check_new_name(&self, name: &Username) -> Result<(), StoreError> {
        if self.names.contains(name) {
            return Err(StoreError::NameTaken);
        }
        match Skeleton::of(name.as_str()).keys().iter().any(|key| self.skeletons.contains(*key)) {
            true => Err(StoreError::NameConfusable),
            false => Ok(()),
        }
    }

    /// The account of a user of an OpenID provider.
    fn subject(&self, Subject { issuer, subject }: Subject<'_>) -> Option<&Username> {
        self.subjects.get(&(issuer.to_owned(), subject.to_owned()))
    }

    /// Whether an account may be an administrator: this server knows whose it is.
    fn may_administrate(&self, name: &Username) -> bool {
        self.users.get(name).is_some_and(User::has_password)
            || (self.users.contains_key(name) && self.subjects.values().any(|user| user == name))
    }

    fn count_users(&self) -> u64 {
        (self.users.len() - self.bots.len()) as u64
    }

    fn create(&mut self, user: &NewUser) {
        let NewUser { name, password_hash, avatar, created_at_ms } = user.clone();
        self.administration.drop_links_of(&name);
        self.skeletons.extend(Skeleton::of(name.as_str()).keys().map(str::to_owned));
        self.names.insert(name.clone());
        self.by_folded_case.insert(name.folded_case(), name.clone());
        self.users.insert(name.clone(), User { name, password_hash, avatar, created_at_ms });
    }
}

impl UserRepository for MemoryStore {
    fn create_user<'a>(&'a self, user: &'a NewUser) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let mut inner = self.lock();
            inner.check_new_name(&user.name)?;
            inner.create(user);
            Ok(())
        })
    }

    fn recreate_user<'a>(&'a self, user: &'a NewUser) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let mut inner = self.lock();
            if inner.users.contains_key(&user.name) {
                return Err(StoreError::NameTaken);
            }
            if !inner.names.contains(&user.name) {
                inner.check_new_name(&user.name)?;
            }
            inner.administration.forget_user(&user.name);
            inner.bots.forget(&user.name);
            inner.outgoing.drop_of(&user.name, &[]);
            inner.administration.unban(&user.name);
            inner.create(user);
            Ok(())
        })
    }

    fn check_new_name<'a>(&'a self, name: &'a Username) -> StoreFuture<'a, ()> {
        Box::pin(async move { self.lock().check_new_name(name) })
    }

    fn find_user<'a>(&'a self, name: &'a Username) -> StoreFuture<'a, Option<User>> {
        Box::pin(async move { Ok(self.lock().users.get(name).cloned()) })
    }

    fn find_user_ignoring_case<'a>(
        &'a self,
        typed: &'a Username,
        name: &'a Username,
    ) -> StoreFuture<'a, Option<User>> {
        Box::pin(async move {
            let folded = name.folded_case();
            let inner = self.lock();
            let exact = [inner.users.get(typed), inner.users.get(name)];
            let other = inner.by_folded_case.get(&folded).and_then(|name| inner.users.get(name));
            Ok(exact.into_iter().flatten().next().or(other).cloned())
        })
    }

    fn find_subject<'a>(&'a self, subject: Subject<'a>) -> StoreFuture<'a, Option<User>> {
        Box::pin(async move {
            let inner = self.lock();
            Ok(inner.subject(subject).and_then(|name| inner.users.get(name)).cloned())
        })
    }

    fn set_password_hash<'a>(
        &'a self,
        name: &'a Username,
        old: &'a str,
        new: &'a str,
    ) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let mut inner = self.lock();
            let user = inner.users.get_mut(name).filter(|user| user.password_hash == old);
            Ok(user.map(|user| new.clone_into(&mut user.password_hash)).is_some())
        })
    }

    fn change_password<'a>(&'a self, change: PasswordChange<'a>) -> StoreFuture<'a, Option<Vec<SessionId>>> {
        Box::pin(async move {
            let mut inner = self.lock();
            let user = inner.users.get_mut(change.user).filter(|user| user.password_hash == change.old);
            let Some(user) = user else { return Ok(None) };
            change.new.clone_into(&mut user.password_hash);
            inner.administration.drop_links_of(change.user);
            let is_ended =
                |id: &SessionId, session: &mut Session| session.user == *change.user && id != change.kept;
            Ok(Some(inner.sessions.extract_if(is_ended).map(|(id, _)| id).collect()))
        })
    }

    fn set_avatar<'a>(
        &'a self,
        name: &'a Username,
        old: Option<&'a str>,
        new: Option<&'a str>,
    ) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let mut inner = self.lock();
            let is_expected = |user: &&mut User| [old, new].contains(&user.avatar.as_deref());
            let user = inner.users.get_mut(name).filter(is_expected);
            Ok(user.map(|user| user.avatar = new.map(str::to_owned)).is_some())
        })
    }

    fn count_users(&self) -> StoreFuture<'_, u64> {
        Box::pin(async move { Ok(self.lock().count_users()) })
    }

    fn is_avatar_used<'a>(&'a self, avatar: &'a str) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let inner = self.lock();
            Ok(inner.users.values().any(|user| user.avatar.as_deref() == Some(avatar)))
        })
    }

    fn remove_user<'a>(&'a self, name: &'a Username) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let mut inner = self.lock();
            inner.users.remove(name);
            inner.administrators.remove(name);
            inner.history.set_administrator(name, false);
            inner.history.remove_from_rooms(name);
            inner.administration.forget_user(name);
            inner.bots.forget(name);
            inner.subjects.retain(|_, user| user != name);
            inner.outgoing.drop_of(name, &[]);
            Ok(())
        })
    }

    fn list_users<'a>(&'a self, after: Option<&'a Username>, max: usize) -> StoreFuture<'a, Vec<User>> {
        Box::pin(async move {
            let inner = self.lock();
            let listed = inner.users.values().filter(|user| after.is_none_or(|after| user.name > *after));
            let mut users: Vec<User> = listed.cloned().collect();
            drop(inner);
            users.sort_by(|one, other| one.name.cmp(&other.name));
            users.truncate(max);
            Ok(users)
        })
    }

    fn find_users<'a>(&'a self, names: &'a [Username]) -> StoreFuture<'a, Vec<User>> {
        Box::pin(async move {
            let inner = self.lock();
            let names: HashSet<&Username> = names.iter().collect();
            Ok(names.into_iter().filter_map(|name| inner.users.get(name).cloned()).collect())
        })
    }

    /// Looks at all accounts: a store in memory has few.
    fn search_users<'a>(
        &'a self,
        prefix: Option<&'a Username>,
        after: Option<&'a Username>,
        max: usize,
    ) -> StoreFuture<'a, Vec<User>> {
        Box::pin(async move {
            let listing = Listing::new(prefix);
            let (word, name) = listing.start(after);
            let inner = self.lock();
            let listed = inner.users.values().filter_map(|user| Some((listing.key(&user.name)?, user)));
            let mut found: Vec<_> = listed
                .filter(|(key, user)| (key.as_str(), user.name.as_str()) > (word.as_str(), name.as_str()))
                .collect();
            found.sort_by(|(one_key, one), (other_key, other)| {
                (one_key, &one.name).cmp(&(other_key, &other.name))
            });
            Ok(found.into_iter().take(max).map(|(_, user)| user.clone()).collect())
        })
    }

    fn is_administrator<'a>(&'a self, name: &'a Username) -> StoreFuture<'a, bool> {
        Box::pin(async move { Ok(self.lock().administrators.contains_key(name)) })
    }

    fn set_administrator<'a>(
        &'a self,
        name: &'a Username,
        is_administrator: bool,
        now_ms: u64,
    ) -> StoreFuture<'a, RoleChange> {
        Box::pin(async move { Ok(self.lock().set_role(name, is_administrator, None, now_ms)) })
    }

    fn administrators(&self) -> StoreFuture<'_, Vec<Username>> {
        Box::pin(async move { Ok(self.lock().administrators.keys().cloned().collect()) })
    }
}

impl SessionRepository for MemoryStore {
    fn open_session<'a>(&'a self, session: &'a Session, of_user_max: usize) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let mut inner = self.lock();
            if inner.administration.is_banned(&session.user) {
                return Ok(false);
            }
            inner.sign_ins_to_sweep -= 1;
            if inner.sign_ins_to_sweep == 0 {
                inner.sign_ins_to_sweep = SIGN_INS_PER_SWEEP;
                inner.sessions.retain(|_, old| old.expires_at_ms > session.created_at_ms);
            }
            inner.sessions.insert(session.id.clone(), session.clone());
            if inner.sessions.len() > of_user_max {
                inner.end_oldest_sessions(session, of_user_max);
            }
            Ok(true)
        })
    }

    fn find_session<'a>(&'a self, id: &'a SessionId, now_ms: u64) -> StoreFuture<'a, Option<Session>> {
        Box::pin(async move {
            let inner = self.lock();
            Ok(inner.sessions.get(id).filter(|session| now_ms < session.expires_at_ms).cloned())
        })
    }

    fn renew_session<'a>(
        &'a self,
        id: &'a SessionId,
        now_ms: u64,
        expires_at_ms: u64,
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            if let Some(session) = self.lock().sessions.get_mut(id)
                && now_ms < session.expires_at_ms
            {
                session.expires_at_ms = expires_at_ms;
            }
            Ok(())
        })
    }

    fn revoke_session<'a>(&'a self, id: &'a SessionId) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.lock().sessions.remove(id);
            Ok(())
        })
    }

    fn sessions_of<'a>(&'a self, user: &'a Username, now_ms: u64) -> StoreFuture<'a, Vec<Session>> {
        Box::pin(async move {
            let inner = self.lock();
            let valid = |session: &&Session| session.user == *user && now_ms < session.expires_at_ms;
            let mut found: Vec<Session> = inner.sessions.values().filter(valid).cloned().collect();
            drop(inner);
            found.sort_by(|one, other| {
                let key = |session: &Session| (session.created_at_ms, session.id.as_str().to_owned());
                key(other).cmp(&key(one))
            });
            found.truncate(SESSIONS_LISTED_MAX);
            Ok(found)
        })
    }

    fn revoke_sessions_of<'a>(&'a self, user: &'a Username) -> StoreFuture<'a, Vec<SessionId>> {
        Box::pin(async move {
            let mut inner = self.lock();
            Ok(inner.sessions.extract_if(|_, session| session.user == *user).map(|(id, _)| id).collect())
        })
    }

    fn touch_session<'a>(&'a self, id: &'a SessionId, now_ms: u64) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            if let Some(session) = self.lock().sessions.get_mut(id) {
                session.last_seen_at_ms = session.last_seen_at_ms.max(now_ms);
            }
            Ok(())
        })
    }

    fn valid_sessions<'a>(
        &'a self,
        ids: &'a [SessionId],
        now_ms: u64,
    ) -> StoreFuture<'a, Vec<(SessionId, u64)>> {
        Box::pin(async move {
            let inner = self.lock();
            let found = ids.iter().filter_map(|id| inner.sessions.get(id));
            let valid = found.filter(|session| now_ms < session.expires_at_ms);
            Ok(valid.map(|session| (session.id.clone(), session.expires_at_ms)).collect())
        })
    }
}

impl EventLog for MemoryStore {
    fn append<'a>(&'a self, drafts: &'a [Draft], now_ms: u64) -> StoreFuture<'a, Commit> {
        Box::pin(async move { Ok(self.lock().append(drafts, now_ms)) })
    }

    fn page<'a>(&'a self, topic: &'a Topic, from: PageFrom, limits: PageLimits) -> StoreFuture<'a, Page> {
        Box::pin(async move { Ok(self.lock().history.page(topic, from, limits)) })
    }

    fn messages<'a>(
        &'a self,
        topic: &'a Topic,
        from: &'a MessagesFrom,
        limits: PageLimits,
    ) -> StoreFuture<'a, Page> {
        Box::pin(async move { Ok(self.lock().history.messages(topic, from, limits)) })
    }

    fn reactions<'a>(
        &'a self,
        topic: &'a Topic,
        seq: u64,
        user: &'a Username,
    ) -> StoreFuture<'a, Option<MessageReactions>> {
        Box::pin(async move {
            let found = self.lock().history.reactions(topic, seq, user);
            Ok(found.map(|(reactions, mine)| MessageReactions { reactions, mine }))
        })
    }

    fn reactors<'a>(
        &'a self,
        topic: &'a Topic,
        seq: u64,
        emoji: &'a Emoji,
        after: u64,
        max: usize,
    ) -> StoreFuture<'a, Vec<(Username, u64)>> {
        Box::pin(async move { Ok(self.lock().history.reactors(topic, seq, emoji, after, max)) })
    }

    fn conversations<'a>(&'a self, user: &'a Username, limit: usize) -> StoreFuture<'a, Conversations> {
        Box::pin(async move { Ok(self.lock().history.conversations(user, limit)) })
    }

    fn change<'a>(
        &'a self,
        wanted: &'a WantedChange,
        now_ms: u64,
    ) -> StoreFuture<'a, Result<Vec<RoomChange>, ChangeRefused>> {
        Box::pin(async move { Ok(self.lock().change(wanted, now_ms)) })
    }

    fn change_in_place(
        &self,
        wanted: &WantedChange,
        now_ms: u64,
        publish: &mut dyn FnMut(&[RoomChange]),
    ) -> Option<Result<(), ChangeRefused>> {
        let mut inner = self.lock();
        Some(inner.change(wanted, now_ms).map(|changes| publish(&changes)))
    }

    fn memberships<'a>(
        &'a self,
        user: &'a Username,
        limit: usize,
        counted: usize,
    ) -> StoreFuture<'a, Memberships> {
        Box::pin(async move { Ok(self.lock().history.memberships(user, limit, counted)) })
    }

    fn access<'a>(&'a self, user: &'a Username, room: &'a RoomName) -> StoreFuture<'a, RoomAccess> {
        Box::pin(async move {
            let inner = self.lock();
            let is_administrator = inner.administrators.contains_key(user);
            Ok(RoomAccess { is_administrator, ..inner.history.access(user, room) })
        })
    }

    fn tops<'a>(&'a self, rooms: &'a [RoomName]) -> StoreFuture<'a, Vec<u64>> {
        Box::pin(async move { Ok(self.lock().history.tops(rooms)) })
    }

    fn counts<'a>(&'a self, user: &'a Username, topic: &'a Topic, read: u64) -> StoreFuture<'a, ReadState> {
        Box::pin(async move { Ok(self.lock().history.counts(user, topic, read)) })
    }

    fn keep<'a>(&'a self, marks: &'a [UserMark]) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let mut inner = self.lock();
            marks.iter().for_each(|mark| inner.history.keep(mark));
            Ok(())
        })
    }

    fn trim<'a>(
        &'a self,
        retention: &'a Retention,
        _from: TrimPosition,
        now_ms: u64,
        max_entries: usize,
    ) -> StoreFuture<'a, Trimmed> {
        Box::pin(async move {
            let (max, cut) = (max_entries.max(1), Cut::of(retention, now_ms));
            let is_removed = |entry: &Entry, oldest_kept| cut.removes(entry.seq, entry.at_ms, oldest_kept);
            let (entries, topics, files) = self.lock().history.trim(max, cut.messages(), is_removed);
            let next = (entries == max).then(TrimPosition::default);
            Ok(Trimmed { entries: entries as u64, nonces: 0, topics, files, next })
        })
    }

    fn epoch(&self) -> &str {
        &self.epoch
    }

    fn check(&self) -> StoreFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn append_in_place(
        &self,
        drafts: &[Draft],
        now_ms: u64,
        publish: &mut dyn FnMut(&Commit),
    ) -> Option<Commit> {
        let mut inner = self.lock();
        let commit = inner.append(drafts, now_ms);
        publish(&commit);
        Some(commit)
    }
}

impl RoomRepository for MemoryStore {
    fn find_room<'a>(&'a self, room: &'a RoomName) -> StoreFuture<'a, Option<ListedRoom>> {
        Box::pin(
            async move { Ok(self.lock().history.room(room).map(|(kept, at_ms)| listed(room, kept, at_ms))) },
        )
    }

    fn open_rooms(&self, max: usize) -> StoreFuture<'_, Vec<ListedRoom>> {
        Box::pin(async move {
            let inner = self.lock();
            let open = inner.history.rooms().filter(|(_, kept, _)| kept.info.access == Access::Open);
            Ok(newest_first(open.map(|(name, kept, at_ms)| listed(name, kept, at_ms)), max))
        })
    }

    fn rooms_of<'a>(&'a self, user: &'a Username, max: usize) -> StoreFuture<'a, Vec<ListedRoom>> {
        Box::pin(async move {
            let inner = self.lock();
            let own = inner.history.rooms().filter(|(_, kept, _)| kept.members.contains_key(user));
            Ok(newest_first(own.map(|(name, kept, at_ms)| listed(name, kept, at_ms)), max))
        })
    }

    fn members_of<'a>(
        &'a self,
        room: &'a RoomName,
        after: Option<&'a Username>,
        max: usize,
    ) -> StoreFuture<'a, Vec<(Username, Role)>> {
        Box::pin(async move {
            let inner = self.lock();
            let members = inner.history.room(room).into_iter().flat_map(|(kept, _)| &kept.members);
            let later = members.filter(|(name, _)| after.is_none_or(|after| *name > after));
            Ok(later.take(max).map(|(name, (role, _))| (name.clone(), *role)).collect())
        })
    }

    fn add_rooms<'a>(&'a self, rooms: &'a [(RoomName, String)], now_ms: u64) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let mut inner = self.lock();
            for (name, title) in rooms {
                let info = RoomInfo { title: title.clone(), ..RoomInfo::opened(name) };
                inner.history.open_room(name, info, now_ms);
            }
            Ok(())
        })
    }
}

impl FileRepository for MemoryStore {
    fn reserve_file<'a>(
        &'a self,
        file: &'a ReservedFile,
        quotas: FileQuotas,
        now_ms: u64,
    ) -> StoreFuture<'a, Result<(), FileRefused>> {
        Box::pin(async move { Ok(self.lock().history.reserve_file(file, quotas, now_ms)) })
    }

    fn store_file<'a>(
        &'a self,
        owner: &'a Username,
        file: &'a AttachedFile,
        now_ms: u64,
    ) -> StoreFuture<'a, bool> {
        Box::pin(async move { Ok(self.lock().history.store_file(owner, file, now_ms)) })
    }

    fn find_file<'a>(&'a self, id: &'a FileId) -> StoreFuture<'a, Option<FoundFile>> {
        Box::pin(async move { Ok(self.lock().history.find_file(id)) })
    }

    fn readable_file<'a>(
        &'a self,
        id: &'a FileId,
        reader: &'a Username,
    ) -> StoreFuture<'a, Option<AttachedFile>> {
        Box::pin(async move {
            let inner = self.lock();
            let Some(found) = inner.history.find_file(id) else { return Ok(None) };
            let access = match &found.attached_to {
                Some((Topic::Room(room), _)) => Some(inner.history.access(reader, room)),
                Some((Topic::Pair(_), _)) | None => None,
            };
            Ok(found.may_be_read_by(reader, access.as_ref()).then_some(found.file))
        })
    }

    fn files_to_delete(&self, before_ms: u64, max: usize) -> StoreFuture<'_, Vec<FileId>> {
        Box::pin(async move { Ok(self.lock().history.files_to_delete(before_ms, max)) })
    }

    fn drop_file<'a>(&'a self, id: &'a FileId) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.lock().history.drop_file(id);
            Ok(())
        })
    }

    fn forget_files<'a>(&'a self, ids: &'a [FileId]) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.lock().history.forget_files(ids);
            Ok(())
        })
    }

    fn files_after<'a>(&'a self, after: Option<&'a FileId>, max: usize) -> StoreFuture<'a, Vec<FoundFile>> {
        Box::pin(async move { Ok(self.lock().history.files_after(after, max)) })
    }

    fn files_usage(&self) -> StoreFuture<'_, FilesUsage> {
        Box::pin(async move { Ok(self.lock().history.files_usage()) })
    }
}

impl SearchIndex for MemoryStore {
    /// Looks at the newest messages, a part at a time, so that the log is not locked for
    /// long. It compares at most 20,000 messages.
    fn search<'a>(&'a self, reader: &'a Username, query: &'a SearchQuery) -> StoreFuture<'a, SearchPage> {
        Box::pin(async move {
            let (mut page, mut before) = (SearchPage::default(), query.before);
            if query.words.phrases().is_empty() {
                return Ok(page);
            }
            for _ in 0..SEARCH_MAX_MESSAGES / SEARCH_PART {
                let part = self.lock().history.readable(reader, &query.scope, before, SEARCH_PART);
                let is_last = part.len() < SEARCH_PART;
                for (position, entry) in part {
                    before = Some(position);
                    if query.finds(reader, &entry) && page.is_full_with(position, entry, query.limit) {
                        return Ok(page);
                    }
                }
                if is_last {
                    return Ok(SearchPage { next: None, ..page });
                }
            }
            Ok(SearchPage { next: before, ..page })
        })
    }
}

/// The messages that one search compares at most: in about 20 ms.
const SEARCH_MAX_MESSAGES: usize = 20_000;
/// The messages that are taken while the log is locked, for which all topics are looked at once.
const SEARCH_PART: usize = 4_000;

fn listed(name: &RoomName, kept: &KeptRoom, at_ms: u64) -> ListedRoom {
    ListedRoom {
        name: name.clone(),
        info: Arc::clone(&kept.info),
        members: kept.members.len() as u64,
        at_ms,
        created_at_ms: kept.created_at_ms,
        created_by: kept.created_by.clone(),
    }
}

fn newest_first(rooms: impl Iterator<Item = ListedRoom>, max: usize) -> Vec<ListedRoom> {
    let mut rooms: Vec<ListedRoom> = rooms.collect();
    rooms.sort_by(|one, other| {
        let key = |room: &ListedRoom| (room.info.archived, Reverse(room.at_ms));
        key(one).cmp(&key(other)).then_with(|| one.name.cmp(&other.name))
    });
    rooms.truncate(max);
    rooms
}

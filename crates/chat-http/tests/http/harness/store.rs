//! A store that fails on demand.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use chat_core::{
    AttachedFile, ChangeRefused, Commit, Conversations, Draft, Emoji, FileId, FileQuotas, FileRefused,
    FilesUsage, FoundFile, Memberships, MessagesFrom, Page, PageFrom, PageLimits, Pair, ReadState,
    ReservedFile, Role, RoomAccess, RoomChange, RoomName, SecretHash, SessionId, Topic, UserMark, Username,
    WantedChange,
};
use chat_store::{
    AdministrationRepository, AuditAction, AuditEntry, Ban, BanRefused, Bot, BotRepository, Deletion,
    Delivery, DeliveryDone, DuePush, EventLog, FileRepository, Invite, InvitePosition, InviteRefused,
    InvitesOf, ListedReport, ListedRoom, LogPosition, MemoryStore, MessageReactions, MessagesOf,
    MissingPicture, NewAttempt, NewBan, NewBot, NewInvite, NewOutgoingWebhook, NewPasswordLink,
    NewPushSubscription, NewReport, NewUser, NewWebhook, OutgoingCount, OutgoingRepository, OutgoingWebhook,
    PasswordChange, PastAttempt, ProfileField, PushClaim, PushCount, PushDone, PushRepository,
    RegistrationTerms, Report, ReportState, ReportsOf, RoleChange, RoomRepository, SearchIndex, SearchPage,
    SearchQuery, ServerProfile, Session, SessionRepository, SharedRepository, SharedSecret, StoreError,
    StoreFuture, Subject, User, UserRepository, Webhook,
};
use tokio::sync::Notify;

/// A store that fails on demand.
#[derive(Default)]
pub struct Store {
    /// The store behind it, which never fails.
    pub memory: MemoryStore,
    /// Several servers use it.
    pub is_shared: AtomicBool,
    /// Every call fails.
    pub out: AtomicBool,
    /// Batches pass through the log's writer, as with a database.
    pub has_writer: AtomicBool,
    /// Messages can be read, but not stored.
    pub full: AtomicBool,
    /// Checks are never answered.
    pub silent: AtomicBool,
    /// Creating an account, and changing its picture, takes 300 ms.
    pub slow: AtomicBool,
    /// An account is created or changed by its user, but the answer is lost.
    pub lost: AtomicBool,
    /// After such a loss, every call fails.
    pub out_after_loss: AtomicBool,
    /// Before the next session is opened, its account is removed …
    pub removed_first: AtomicBool,
    /// … or gets another password.
    pub changed_first: AtomicBool,
    /// Before the next password hash is replaced, the account gets another password.
    pub changed_before_renewal: AtomicBool,
    /// Password hashes cannot be replaced.
    pub hashes_stay: AtomicBool,
    /// How often an account was looked up by a name.
    pub name_queries: AtomicUsize,
    /// Every call about rooms fails.
    pub rooms_out: AtomicBool,
    /// How often the store was asked about a room.
    pub room_queries: AtomicUsize,
    /// How often all open rooms were read.
    pub room_lists: AtomicUsize,
    /// How often the last use of a session was stored.
    pub touches: AtomicUsize,
    /// Sessions cannot be changed.
    pub sessions_stay: AtomicBool,
    /// How often the validity of sessions was checked.
    pub checks: AtomicUsize,
    /// The next session that is found is returned only after `release`.
    pub hold_next_session: AtomicBool,
    /// That session was found.
    pub held: AtomicBool,
    pub release: Notify,
}

impl Store {
    /// The texts of the private messages of two users.
    pub async fn stored_privately(&self, one: &str, other: &str) -> Vec<String> {
        let name = |name| Username::known(name).unwrap();
        let pair = Topic::Pair(Pair::new(name(one), name(other)));
        let limits = PageLimits { entries: usize::MAX, bytes: usize::MAX };
        let page = self.memory.page(&pair, PageFrom::After(0), limits).await.unwrap();
        page.entries.iter().map(|entry| entry.body.text().to_owned()).collect()
    }

    fn ask<'a, T: Send + 'a>(&self, answer: StoreFuture<'a, T>) -> StoreFuture<'a, T> {
        if self.out.load(Ordering::Relaxed) {
            return Box::pin(async { Err(StoreError::Unavailable { source: "disk on fire".into() }) });
        }
        answer
    }

    /// The answer to a call about rooms.
    fn ask_of_room<'a, T: Send + 'a>(&self, answer: StoreFuture<'a, T>) -> StoreFuture<'a, T> {
        if self.rooms_out.load(Ordering::Relaxed) {
            return Box::pin(async { Err(StoreError::Unavailable { source: "disk on fire".into() }) });
        }
        self.ask(answer)
    }

    /// The answer to a call that writes messages.
    fn write<'a, T: Send + 'a>(&self, answer: StoreFuture<'a, T>) -> StoreFuture<'a, T> {
        if self.full.load(Ordering::Relaxed) {
            return Box::pin(async { Err(StoreError::Unavailable { source: "disk full".into() }) });
        }
        self.ask(answer)
    }

    /// The answer to a change of an account, which may be lost.
    fn lose<'a, T: Send + 'a>(&'a self, change: StoreFuture<'a, T>) -> StoreFuture<'a, T> {
        if !self.lost.load(Ordering::Relaxed) {
            return change;
        }
        Box::pin(async {
            change.await?;
            self.out.store(self.out_after_loss.load(Ordering::Relaxed), Ordering::Relaxed);
            Err(StoreError::Unavailable { source: "the line went dead".into() })
        })
    }

    /// The answer to the creation of an account, which may be slow.
    fn delay<'a, T: Send + 'a>(&self, creation: StoreFuture<'a, T>) -> StoreFuture<'a, T> {
        if !self.slow.load(Ordering::Relaxed) {
            return creation;
        }
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            creation.await
        })
    }

    /// The answer to a change of a session.
    fn change<'a, T: Send + 'a>(&self, answer: StoreFuture<'a, T>) -> StoreFuture<'a, T> {
        if self.sessions_stay.load(Ordering::Relaxed) {
            return Box::pin(async { Err(StoreError::Unavailable { source: "read-only".into() }) });
        }
        self.ask(answer)
    }
}

impl UserRepository for Store {
    fn create_user<'a>(&'a self, user: &'a NewUser) -> StoreFuture<'a, ()> {
        self.delay(self.lose(self.ask(self.memory.create_user(user))))
    }

    fn recreate_user<'a>(&'a self, user: &'a NewUser) -> StoreFuture<'a, ()> {
        self.ask(self.memory.recreate_user(user))
    }

    fn check_new_name<'a>(&'a self, name: &'a Username) -> StoreFuture<'a, ()> {
        self.ask(self.memory.check_new_name(name))
    }

    fn find_user<'a>(&'a self, name: &'a Username) -> StoreFuture<'a, Option<User>> {
        self.name_queries.fetch_add(1, Ordering::Relaxed);
        self.ask(self.memory.find_user(name))
    }

    fn find_user_ignoring_case<'a>(
        &'a self,
        typed: &'a Username,
        name: &'a Username,
    ) -> StoreFuture<'a, Option<User>> {
        self.name_queries.fetch_add(1, Ordering::Relaxed);
        self.ask(self.memory.find_user_ignoring_case(typed, name))
    }

    fn remove_user<'a>(&'a self, name: &'a Username) -> StoreFuture<'a, ()> {
        self.ask(self.memory.remove_user(name))
    }

    fn list_users<'a>(&'a self, after: Option<&'a Username>, max: usize) -> StoreFuture<'a, Vec<User>> {
        self.ask(self.memory.list_users(after, max))
    }

    fn find_users<'a>(&'a self, names: &'a [Username]) -> StoreFuture<'a, Vec<User>> {
        self.ask(self.memory.find_users(names))
    }

    fn search_users<'a>(
        &'a self,
        prefix: Option<&'a Username>,
        after: Option<&'a Username>,
        max: usize,
    ) -> StoreFuture<'a, Vec<User>> {
        self.ask(self.memory.search_users(prefix, after, max))
    }

    fn is_administrator<'a>(&'a self, name: &'a Username) -> StoreFuture<'a, bool> {
        self.ask(self.memory.is_administrator(name))
    }

    fn set_administrator<'a>(
        &'a self,
        name: &'a Username,
        is_administrator: bool,
        now_ms: u64,
    ) -> StoreFuture<'a, RoleChange> {
        self.ask(self.memory.set_administrator(name, is_administrator, now_ms))
    }

    fn count_users(&self) -> StoreFuture<'_, u64> {
        self.ask(self.memory.count_users())
    }

    fn administrators(&self) -> StoreFuture<'_, Vec<Username>> {
        self.ask(self.memory.administrators())
    }

    fn find_subject<'a>(&'a self, subject: Subject<'a>) -> StoreFuture<'a, Option<User>> {
        self.ask(self.memory.find_subject(subject))
    }

    fn set_password_hash<'a>(
        &'a self,
        name: &'a Username,
        old: &'a str,
        new: &'a str,
    ) -> StoreFuture<'a, bool> {
        if self.hashes_stay.load(Ordering::Relaxed) {
            return Box::pin(async { Err(StoreError::Unavailable { source: "read-only".into() }) });
        }
        if self.changed_before_renewal.swap(false, Ordering::Relaxed) {
            return Box::pin(async move {
                self.memory.set_password_hash(name, old, "another").await?;
                self.memory.set_password_hash(name, old, new).await
            });
        }
        self.ask(self.memory.set_password_hash(name, old, new))
    }

    fn change_password<'a>(&'a self, change: PasswordChange<'a>) -> StoreFuture<'a, Option<Vec<SessionId>>> {
        self.lose(self.ask(self.memory.change_password(change)))
    }

    fn set_avatar<'a>(
        &'a self,
        name: &'a Username,
        old: Option<&'a str>,
        new: Option<&'a str>,
    ) -> StoreFuture<'a, bool> {
        let change = self.lose(self.ask(self.memory.set_avatar(name, old, new)));
        if !self.slow.load(Ordering::Relaxed) {
            return change;
        }
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            change.await
        })
    }

    fn is_avatar_used<'a>(&'a self, avatar: &'a str) -> StoreFuture<'a, bool> {
        self.ask(self.memory.is_avatar_used(avatar))
    }
}

impl SessionRepository for Store {
    fn open_session<'a>(&'a self, session: &'a Session, of_user_max: usize) -> StoreFuture<'a, bool> {
        let (removed, changed) = (
            self.removed_first.swap(false, Ordering::Relaxed),
            self.changed_first.swap(false, Ordering::Relaxed),
        );
        if !removed && !changed {
            return self.ask(self.memory.open_session(session, of_user_max));
        }
        Box::pin(async move {
            if removed {
                self.memory.remove_user(&session.user).await?;
            } else if let Some(user) = self.memory.find_user(&session.user).await? {
                self.memory.set_password_hash(&user.name, &user.password_hash, "another").await?;
            }
            self.memory.revoke_sessions_of(&session.user).await?;
            self.memory.open_session(session, of_user_max).await
        })
    }

    fn find_session<'a>(&'a self, id: &'a SessionId, now_ms: u64) -> StoreFuture<'a, Option<Session>> {
        if !self.hold_next_session.swap(false, Ordering::Relaxed) {
            return self.ask(self.memory.find_session(id, now_ms));
        }
        Box::pin(async move {
            let found = self.memory.find_session(id, now_ms).await;
            self.held.store(true, Ordering::Relaxed);
            self.release.notified().await;
            found
        })
    }

    fn renew_session<'a>(
        &'a self,
        id: &'a SessionId,
        now_ms: u64,
        expires_at_ms: u64,
    ) -> StoreFuture<'a, ()> {
        self.ask(self.memory.renew_session(id, now_ms, expires_at_ms))
    }

    fn revoke_session<'a>(&'a self, id: &'a SessionId) -> StoreFuture<'a, ()> {
        self.change(self.memory.revoke_session(id))
    }

    fn sessions_of<'a>(&'a self, user: &'a Username, now_ms: u64) -> StoreFuture<'a, Vec<Session>> {
        self.ask(self.memory.sessions_of(user, now_ms))
    }

    fn revoke_sessions_of<'a>(&'a self, user: &'a Username) -> StoreFuture<'a, Vec<SessionId>> {
        self.change(self.memory.revoke_sessions_of(user))
    }

    fn touch_session<'a>(&'a self, id: &'a SessionId, now_ms: u64) -> StoreFuture<'a, ()> {
        self.touches.fetch_add(1, Ordering::Relaxed);
        self.change(self.memory.touch_session(id, now_ms))
    }

    fn valid_sessions<'a>(
        &'a self,
        ids: &'a [SessionId],
        now_ms: u64,
    ) -> StoreFuture<'a, Vec<(SessionId, u64)>> {
        self.checks.fetch_add(1, Ordering::Relaxed);
        self.ask(self.memory.valid_sessions(ids, now_ms))
    }
}

impl EventLog for Store {
    fn append<'a>(&'a self, drafts: &'a [Draft], now_ms: u64) -> StoreFuture<'a, Commit> {
        self.write(self.memory.append(drafts, now_ms))
    }

    fn page<'a>(&'a self, topic: &'a Topic, from: PageFrom, limits: PageLimits) -> StoreFuture<'a, Page> {
        self.ask(self.memory.page(topic, from, limits))
    }

    fn messages<'a>(
        &'a self,
        topic: &'a Topic,
        from: &'a MessagesFrom,
        limits: PageLimits,
    ) -> StoreFuture<'a, Page> {
        self.ask(self.memory.messages(topic, from, limits))
    }

    fn reactions<'a>(
        &'a self,
        topic: &'a Topic,
        seq: u64,
        user: &'a Username,
    ) -> StoreFuture<'a, Option<MessageReactions>> {
        self.ask(self.memory.reactions(topic, seq, user))
    }

    fn reactors<'a>(
        &'a self,
        topic: &'a Topic,
        seq: u64,
        emoji: &'a Emoji,
        after: u64,
        max: usize,
    ) -> StoreFuture<'a, Vec<(Username, u64)>> {
        self.ask(self.memory.reactors(topic, seq, emoji, after, max))
    }

    fn conversations<'a>(&'a self, user: &'a Username, max: usize) -> StoreFuture<'a, Conversations> {
        self.ask(self.memory.conversations(user, max))
    }

    fn change<'a>(
        &'a self,
        wanted: &'a WantedChange,
        now_ms: u64,
    ) -> StoreFuture<'a, Result<Vec<RoomChange>, ChangeRefused>> {
        self.write(self.memory.change(wanted, now_ms))
    }

    fn change_in_place(
        &self,
        wanted: &WantedChange,
        now_ms: u64,
        publish: &mut dyn FnMut(&[RoomChange]),
    ) -> Option<Result<(), ChangeRefused>> {
        if self.has_writer.load(Ordering::Relaxed) {
            return None;
        }
        self.memory.change_in_place(wanted, now_ms, publish)
    }

    fn memberships<'a>(
        &'a self,
        user: &'a Username,
        limit: usize,
        counted: usize,
    ) -> StoreFuture<'a, Memberships> {
        self.ask(self.memory.memberships(user, limit, counted))
    }

    fn access<'a>(&'a self, user: &'a Username, room: &'a RoomName) -> StoreFuture<'a, RoomAccess> {
        self.room_queries.fetch_add(1, Ordering::Relaxed);
        self.ask_of_room(self.memory.access(user, room))
    }

    fn tops<'a>(&'a self, rooms: &'a [RoomName]) -> StoreFuture<'a, Vec<u64>> {
        self.ask(self.memory.tops(rooms))
    }

    fn counts<'a>(&'a self, user: &'a Username, topic: &'a Topic, read: u64) -> StoreFuture<'a, ReadState> {
        self.ask(self.memory.counts(user, topic, read))
    }

    fn keep<'a>(&'a self, marks: &'a [UserMark]) -> StoreFuture<'a, ()> {
        self.write(self.memory.keep(marks))
    }

    fn epoch(&self) -> &str {
        self.memory.epoch()
    }

    fn check(&self) -> StoreFuture<'_, ()> {
        if self.silent.load(Ordering::Relaxed) {
            return Box::pin(std::future::pending());
        }
        self.ask(self.memory.check())
    }

    fn check_write(&self) -> StoreFuture<'_, ()> {
        self.write(self.memory.check_write())
    }

    fn append_in_place(
        &self,
        drafts: &[Draft],
        now_ms: u64,
        publish: &mut dyn FnMut(&Commit),
    ) -> Option<Commit> {
        if self.has_writer.load(Ordering::Relaxed) {
            return None;
        }
        self.memory.append_in_place(drafts, now_ms, publish)
    }
}

impl SearchIndex for Store {
    fn search<'a>(&'a self, reader: &'a Username, query: &'a SearchQuery) -> StoreFuture<'a, SearchPage> {
        self.ask(self.memory.search(reader, query))
    }
}

impl RoomRepository for Store {
    fn find_room<'a>(&'a self, room: &'a RoomName) -> StoreFuture<'a, Option<ListedRoom>> {
        self.room_queries.fetch_add(1, Ordering::Relaxed);
        self.ask_of_room(self.memory.find_room(room))
    }

    fn open_rooms(&self, max: usize) -> StoreFuture<'_, Vec<ListedRoom>> {
        self.room_lists.fetch_add(1, Ordering::Relaxed);
        self.ask_of_room(self.memory.open_rooms(max))
    }

    fn rooms_of<'a>(&'a self, user: &'a Username, max: usize) -> StoreFuture<'a, Vec<ListedRoom>> {
        self.ask_of_room(self.memory.rooms_of(user, max))
    }

    fn members_of<'a>(
        &'a self,
        room: &'a RoomName,
        after: Option<&'a Username>,
        max: usize,
    ) -> StoreFuture<'a, Vec<(Username, Role)>> {
        self.ask_of_room(self.memory.members_of(room, after, max))
    }

    fn add_rooms<'a>(&'a self, rooms: &'a [(RoomName, String)], now_ms: u64) -> StoreFuture<'a, ()> {
        self.write(self.memory.add_rooms(rooms, now_ms))
    }
}

impl FileRepository for Store {
    fn reserve_file<'a>(
        &'a self,
        file: &'a ReservedFile,
        quotas: FileQuotas,
        now_ms: u64,
    ) -> StoreFuture<'a, Result<(), FileRefused>> {
        self.write(self.memory.reserve_file(file, quotas, now_ms))
    }

    fn store_file<'a>(
        &'a self,
        owner: &'a Username,
        file: &'a AttachedFile,
        now_ms: u64,
    ) -> StoreFuture<'a, bool> {
        self.write(self.memory.store_file(owner, file, now_ms))
    }

    fn find_file<'a>(&'a self, id: &'a FileId) -> StoreFuture<'a, Option<FoundFile>> {
        self.ask(self.memory.find_file(id))
    }

    fn readable_file<'a>(
        &'a self,
        id: &'a FileId,
        reader: &'a Username,
    ) -> StoreFuture<'a, Option<AttachedFile>> {
        self.ask(self.memory.readable_file(id, reader))
    }

    fn files_to_delete(&self, before_ms: u64, max: usize) -> StoreFuture<'_, Vec<FileId>> {
        self.write(self.memory.files_to_delete(before_ms, max))
    }

    fn drop_file<'a>(&'a self, id: &'a FileId) -> StoreFuture<'a, ()> {
        self.write(self.memory.drop_file(id))
    }

    fn forget_files<'a>(&'a self, ids: &'a [FileId]) -> StoreFuture<'a, ()> {
        self.write(self.memory.forget_files(ids))
    }

    fn files_after<'a>(&'a self, after: Option<&'a FileId>, max: usize) -> StoreFuture<'a, Vec<FoundFile>> {
        self.ask(self.memory.files_after(after, max))
    }

    fn files_usage(&self) -> StoreFuture<'_, FilesUsage> {
        self.ask(self.memory.files_usage())
    }
}

impl PushRepository for Store {
    fn push_key<'a>(&'a self, new: &'a str) -> StoreFuture<'a, String> {
        self.write(self.memory.push_key(new))
    }

    fn subscribe_push<'a>(
        &'a self,
        new: &'a NewPushSubscription,
        max: usize,
        now_ms: u64,
    ) -> StoreFuture<'a, bool> {
        self.write(self.memory.subscribe_push(new, max, now_ms))
    }

    fn unsubscribe_push<'a>(&'a self, session: &'a SessionId) -> StoreFuture<'a, bool> {
        self.write(self.memory.unsubscribe_push(session))
    }

    fn sweep_push_subscriptions(&self, now_ms: u64) -> StoreFuture<'_, PushCount> {
        self.memory.sweep_push_subscriptions(now_ms)
    }

    fn topics_to_push(
        &self,
        since_ms: u64,
        after: u64,
        max: usize,
    ) -> StoreFuture<'_, (Vec<Topic>, Option<u64>)> {
        self.memory.topics_to_push(since_ms, after, max)
    }

    fn queue_pushes<'a>(&'a self, topics: &'a [Topic], since_ms: u64, due_ms: u64) -> StoreFuture<'a, u64> {
        self.memory.queue_pushes(topics, since_ms, due_ms)
    }

    fn claim_pushes(&self, claim: PushClaim) -> StoreFuture<'_, Vec<DuePush>> {
        self.memory.claim_pushes(claim)
    }

    fn finish_push<'a>(&'a self, push: &'a DuePush, done: PushDone) -> StoreFuture<'a, ()> {
        self.memory.finish_push(push, done)
    }
}

impl SharedRepository for Store {
    fn shared_secret<'a>(&'a self, which: SharedSecret, new: &'a [u8]) -> StoreFuture<'a, Vec<u8>> {
        self.write(self.memory.shared_secret(which, new))
    }

    fn put_picture<'a>(&'a self, address: &'a str, bytes: &'a [u8]) -> StoreFuture<'a, ()> {
        self.write(self.memory.put_picture(address, bytes))
    }

    fn picture<'a>(&'a self, address: &'a str) -> StoreFuture<'a, Option<Vec<u8>>> {
        self.write(self.memory.picture(address))
    }

    fn drop_unused_pictures<'a>(&'a self, addresses: Option<&'a [String]>) -> StoreFuture<'a, ()> {
        self.write(self.memory.drop_unused_pictures(addresses))
    }

    fn missing_pictures<'a>(&'a self, addresses: &'a [String]) -> StoreFuture<'a, Vec<MissingPicture>> {
        self.write(self.memory.missing_pictures(addresses))
    }

    fn count_attempt<'a>(&'a self, attempt: &'a NewAttempt) -> StoreFuture<'a, Vec<Vec<PastAttempt>>> {
        self.write(self.memory.count_attempt(attempt))
    }

    fn take_attempt_back<'a>(
        &'a self,
        attempt: &'a NewAttempt,
        forgotten: Option<(u64, u32)>,
    ) -> StoreFuture<'a, ()> {
        self.write(self.memory.take_attempt_back(attempt, forgotten))
    }

    fn drop_attempts(&self, older_than_seconds: u32) -> StoreFuture<'_, ()> {
        self.write(self.memory.drop_attempts(older_than_seconds))
    }
}

impl OutgoingRepository for Store {
    fn create_outgoing<'a>(
        &'a self,
        new: &'a NewOutgoingWebhook,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, bool> {
        self.write(self.memory.create_outgoing(new, by, now_ms))
    }

    fn remove_outgoing<'a>(
        &'a self,
        bot: &'a Username,
        id: &'a str,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, bool> {
        self.write(self.memory.remove_outgoing(bot, id, by, now_ms))
    }

    fn outgoing_webhooks(&self) -> StoreFuture<'_, Vec<OutgoingWebhook>> {
        self.ask(self.memory.outgoing_webhooks())
    }

    fn count_outgoing(&self) -> StoreFuture<'_, OutgoingCount> {
        self.memory.count_outgoing()
    }

    fn claim_deliveries(&self, now_ms: u64, until_ms: u64, max: usize) -> StoreFuture<'_, Vec<Delivery>> {
        self.memory.claim_deliveries(now_ms, until_ms, max)
    }

    fn finish_delivery<'a>(&'a self, delivery: &'a Delivery, done: &'a DeliveryDone) -> StoreFuture<'a, ()> {
        self.memory.finish_delivery(delivery, done)
    }
}

impl AdministrationRepository for Store {
    fn server_profile(&self) -> StoreFuture<'_, ServerProfile> {
        self.ask(self.memory.server_profile())
    }

    fn set_server_profile<'a>(
        &'a self,
        fields: &'a [(ProfileField, Option<&'a str>)],
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, ServerProfile> {
        self.write(self.memory.set_server_profile(fields, by, now_ms))
    }

    fn create_invite<'a>(&'a self, invite: &'a NewInvite) -> StoreFuture<'a, Result<(), InviteRefused>> {
        self.write(self.memory.create_invite(invite))
    }

    fn invites<'a>(
        &'a self,
        of: InvitesOf<'a>,
        after: Option<&'a InvitePosition>,
        now_ms: u64,
        max: usize,
    ) -> StoreFuture<'a, Vec<Invite>> {
        self.ask(self.memory.invites(of, after, now_ms, max))
    }

    fn invite<'a>(&'a self, id: &'a str, now_ms: u64) -> StoreFuture<'a, Option<Invite>> {
        self.ask(self.memory.invite(id, now_ms))
    }

    fn find_invite<'a>(&'a self, secret: &'a SecretHash, now_ms: u64) -> StoreFuture<'a, Option<Invite>> {
        self.ask(self.memory.find_invite(secret, now_ms))
    }

    fn delete_invite<'a>(
        &'a self,
        id: &'a str,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, bool> {
        self.write(self.memory.delete_invite(id, by, now_ms))
    }

    fn register<'a>(&'a self, user: &'a NewUser, terms: RegistrationTerms<'a>) -> StoreFuture<'a, bool> {
        self.delay(self.lose(self.write(self.memory.register(user, terms))))
    }

    fn ban<'a>(
        &'a self,
        ban: &'a NewBan,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, Result<Vec<SessionId>, BanRefused>> {
        self.write(self.memory.ban(ban, by, now_ms))
    }

    fn unban<'a>(
        &'a self,
        user: &'a Username,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, bool> {
        self.write(self.memory.unban(user, by, now_ms))
    }

    fn bans_of<'a>(&'a self, users: &'a [Username]) -> StoreFuture<'a, Vec<Ban>> {
        self.ask(self.memory.bans_of(users))
    }

    fn find_ban<'a>(&'a self, user: &'a Username) -> StoreFuture<'a, Option<Ban>> {
        self.ask(self.memory.find_ban(user))
    }

    fn bans<'a>(&'a self, after: Option<&'a Username>, max: usize) -> StoreFuture<'a, Vec<Ban>> {
        self.ask(self.memory.bans(after, max))
    }

    fn deletions(&self, max: usize) -> StoreFuture<'_, Vec<Deletion>> {
        self.ask(self.memory.deletions(max))
    }

    fn messages_of<'a>(
        &'a self,
        user: &'a Username,
        after: LogPosition,
        max_entries: usize,
    ) -> StoreFuture<'a, MessagesOf> {
        self.ask(self.memory.messages_of(user, after, max_entries))
    }

    fn note_deletion<'a>(&'a self, user: &'a Username, upto: Option<LogPosition>) -> StoreFuture<'a, ()> {
        self.write(self.memory.note_deletion(user, upto))
    }

    fn set_role<'a>(
        &'a self,
        name: &'a Username,
        is_administrator: bool,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, RoleChange> {
        self.write(self.memory.set_role(name, is_administrator, by, now_ms))
    }

    fn set_up<'a>(&'a self, name: &'a Username, now_ms: u64) -> StoreFuture<'a, Option<RoleChange>> {
        self.write(self.memory.set_up(name, now_ms))
    }

    fn set_up_round(&self) -> StoreFuture<'_, u64> {
        self.ask(self.memory.set_up_round())
    }

    fn note_account<'a>(
        &'a self,
        action: AuditAction,
        name: &'a Username,
        now_ms: u64,
    ) -> StoreFuture<'a, ()> {
        self.write(self.memory.note_account(action, name, now_ms))
    }

    fn create_password_link<'a>(
        &'a self,
        link: &'a NewPasswordLink,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, bool> {
        self.write(self.memory.create_password_link(link, by, now_ms))
    }

    fn find_password_link<'a>(
        &'a self,
        secret: &'a SecretHash,
        now_ms: u64,
    ) -> StoreFuture<'a, Option<Username>> {
        self.ask(self.memory.find_password_link(secret, now_ms))
    }

    fn use_password_link<'a>(
        &'a self,
        secret: &'a SecretHash,
        new_hash: &'a str,
        now_ms: u64,
    ) -> StoreFuture<'a, Option<(Username, Vec<SessionId>)>> {
        self.write(self.memory.use_password_link(secret, new_hash, now_ms))
    }

    fn reset_password<'a>(
        &'a self,
        name: &'a Username,
        new_hash: &'a str,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, Option<Vec<SessionId>>> {
        self.write(self.memory.reset_password(name, new_hash, by, now_ms))
    }

    fn create_report<'a>(&'a self, report: &'a NewReport) -> StoreFuture<'a, Option<u64>> {
        self.write(self.memory.create_report(report))
    }

    fn report(&self, id: u64) -> StoreFuture<'_, Option<Report>> {
        self.ask(self.memory.report(id))
    }

    fn reports<'a>(
        &'a self,
        of: ReportsOf<'a>,
        state: Option<ReportState>,
        before: Option<u64>,
        max: usize,
    ) -> StoreFuture<'a, Vec<ListedReport>> {
        self.ask(self.memory.reports(of, state, before, max))
    }

    fn change_report<'a>(
        &'a self,
        id: u64,
        state: ReportState,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, bool> {
        self.write(self.memory.change_report(id, state, by, now_ms))
    }

    fn audit(&self, before: Option<u64>, max: usize) -> StoreFuture<'_, Vec<AuditEntry>> {
        self.ask(self.memory.audit(before, max))
    }
}

impl BotRepository for Store {
    fn put_bot<'a>(&'a self, bot: &'a NewBot) -> StoreFuture<'a, ()> {
        self.write(self.memory.put_bot(bot))
    }

    fn revoke_bot<'a>(
        &'a self,
        name: &'a Username,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, bool> {
        self.write(self.memory.revoke_bot(name, by, now_ms))
    }

    fn find_bot<'a>(&'a self, token: &'a SecretHash) -> StoreFuture<'a, Option<Bot>> {
        self.ask(self.memory.find_bot(token))
    }

    fn bots(&self) -> StoreFuture<'_, Vec<Bot>> {
        self.ask(self.memory.bots())
    }

    fn bots_among<'a>(&'a self, users: &'a [Username]) -> StoreFuture<'a, Vec<Username>> {
        self.ask(self.memory.bots_among(users))
    }

    fn create_webhook<'a>(
        &'a self,
        webhook: &'a NewWebhook,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, bool> {
        self.write(self.memory.create_webhook(webhook, by, now_ms))
    }

    fn find_webhook<'a>(&'a self, secret: &'a SecretHash) -> StoreFuture<'a, Option<Webhook>> {
        self.ask(self.memory.find_webhook(secret))
    }
}

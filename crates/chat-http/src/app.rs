//! The state that all requests share.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chat_auth::{
    KeyedHash, Passwords, PasswordsError, PasswordsOptions, SECRET_MIN_BYTES, SignInLimiter, SignInName,
    SignInRefused, SigningSecret, TokenOptions, Tokens,
};
use chat_core::{RoomName, SessionId, Username};
use chat_pictures::{PictureLimits, PictureQueue};
use chat_shard::{ChatHandle, ClusterFault, HandleParts, RoomInUse, Shards, now_ms};
use chat_store::{ProfileField, RoleChange, StoreError, Stores};
use hyper::header::HeaderValue;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::HttpOptions;
use crate::avatar::AvatarFolder;
use crate::cached::Cached;
use crate::client_address::ClientAddress;
use crate::connections::Connections;
use crate::cookie;
use crate::error::HttpError;
use crate::files::Files;
use crate::handshake::Handshakes;
use crate::identity::{HostSessions, Identity};
use crate::metrics::Metrics;
use crate::oidc::OidcSignIn;
use crate::origin::AllowedOrigin;
use crate::permits::Permits;
use crate::profile::Profile;
use crate::push::Pushes;
use crate::registration_limits::RecentRegistrations;
use crate::room_list::{OpenRooms, OwnRooms};
use crate::shared_attempts::{SharedRegistrations, SignInAttempt};
use crate::sign_in_failures::SignInFailures;
use crate::store_health::{StoreHealth, StoreUse};
use crate::unready::Unready;
use crate::user_rate::UserRate;
use crate::webhooks::Webhooks;

/// The parts from which a chat is built.
pub struct Parts {
    /// What the chat keeps.
    pub stores: Stores,
    /// Hashes and checks passwords.
    pub passwords: Passwords,
    /// Issues and checks tokens.
    pub tokens: Tokens,
    /// Says who a request is from. `None`: the tokens and the sessions in the store do.
    pub identity: Option<Arc<dyn Identity>>,
    /// An OpenID provider that signs users in. It needs a
    /// [public URL](HttpOptions::public_url). `None`: only passwords and tokens do.
    pub oidc: Option<OidcSignIn>,
}

impl Parts {
    /// The parts of a chat that has its own sign-in.
    pub fn new(stores: Stores, passwords: Passwords, tokens: Tokens) -> Self {
        Self { stores, passwords, tokens, identity: None, oidc: None }
    }

    /// The parts of a chat whose host says who its users are. No token is issued, so that the secret
    /// that signs them is a random one.
    ///
    /// # Errors
    ///
    /// The threads for passwords cannot be started.
    pub fn of_host(stores: Stores, identity: Arc<dyn Identity>) -> Result<Self, PasswordsError> {
        let secret: [u8; SECRET_MIN_BYTES] = rand::random();
        let secret = SigningSecret::new(secret).expect("it has the least number of bytes");
        let passwords = Passwords::start(PasswordsOptions::default())?;
        let tokens = Tokens::new(&secret, TokenOptions::default());
        Ok(Self { identity: Some(identity), ..Self::new(stores, passwords, tokens) })
    }
}

/// The state that all requests share.
pub(crate) struct App {
    pub(crate) parts: Parts,
    pub(crate) shards: Arc<Shards>,
    /// What requests post and read.
    pub(crate) chat: ChatHandle,
    pub(crate) avatars: AvatarFolder,
    pub(crate) files: Files,
    pub(crate) pushes: Arc<Pushes>,
    pub(crate) webhooks: Arc<Webhooks>,
    pub(crate) pictures: PictureQueue,
    pub(crate) origin: AllowedOrigin,
    pub(crate) sign_ins: SignInLimiter,
    pub(crate) sign_in_failures: Arc<SignInFailures>,
    pub(crate) store_health: StoreHealth,
    pub(crate) metrics: Metrics,
    /// One permit for each connection that may speak HTTP.
    pub(crate) connection_permits: Arc<Semaphore>,
    pub(crate) connections: Connections,
    pub(crate) handshakes: Handshakes,
    pub(crate) registrations: Arc<RecentRegistrations>,
    /// The number of accounts.
    accounts: Cached<Result<u64, Arc<StoreError>>>,
    /// One permit for each session whose last use is being stored.
    pub(crate) last_seen_permits: Arc<Semaphore>,
    /// The result of the last check of the store.
    store_check: Cached<Result<(), Unready>>,
    /// The users who have a connection.
    online_users: Cached<Arc<HashSet<Username>>>,
    /// Whether there is an administrator.
    has_administrator: Cached<Result<bool, Arc<StoreError>>>,
    /// The profile of the server.
    profile: Cached<Result<Arc<Profile>, Arc<StoreError>>>,
    /// The rooms in use.
    rooms_in_use: Cached<RoomsInUse>,
    /// The open rooms.
    open_rooms: Cached<Result<Arc<OpenRooms>, Arc<StoreError>>>,
    /// The rooms of users who have very many, the user who was added last at the end.
    many_rooms: Mutex<VecDeque<(Username, Arc<CachedOwnRooms>)>>,
    /// Each change is a transaction of its own, before which the messages of its lane wait.
    pub(crate) room_change_rate: UserRate,
    pub(crate) search_rate: UserRate,
    pub(crate) report_rate: UserRate,
    pub(crate) push_rate: UserRate,
    list_rate: UserRate,
    /// Each socket costs the store several reads.
    pub(crate) socket_open_rate: UserRate,
    /// A permit for each code that is being exchanged with the OpenID provider. The key is the
    /// client's network or, where limits for each address do not hold, the state of the sign-in.
    pub(crate) oidc_exchanges: Permits<String>,
    /// One permit for each search that runs.
    pub(crate) search_permits: Semaphore,
    pub(crate) options: HttpOptions,
    /// By which connections and background tasks end.
    pub(crate) ends: Ends,
    /// Tracks connections, upgrades, pictures, background tasks, and work that must be
    /// finished even if its client hangs up.
    pub(crate) tasks: TaskTracker,
    /// The ids of sessions of a host.
    pub(crate) host_sessions: HostSessions,
    ready: AtomicBool,
}

/// What was started for an [`App`].
pub(crate) struct Started {
    pub(crate) shards: Arc<Shards>,
    pub(crate) avatars: AvatarFolder,
    pub(crate) files: Files,
    pub(crate) pushes: Arc<Pushes>,
    pub(crate) webhooks: Arc<Webhooks>,
    /// Hashes what counts for limits: with the same key on all servers.
    pub(crate) hasher: KeyedHash,
}

impl App {
    pub(crate) fn new(parts: Parts, started: Started, options: HttpOptions) -> Self {
        let Started { shards, avatars, files, pushes, webhooks, hasher } = started;
        let tasks = TaskTracker::new();
        let metrics = Metrics::new(shards.metrics());
        let Stores { log, rooms, sessions, shared, .. } = parts.stores.clone();
        let registrations = shared.map(|shared| SharedRegistrations::new(shared, hasher.clone()));
        Self {
            chat: ChatHandle::new(Arc::clone(&shards), HandleParts { log, rooms, sessions }),
            parts,
            shards,
            avatars,
            files,
            pushes,
            webhooks,
            pictures: PictureQueue::new(
                options.picture_threads,
                options.picture_queue_max,
                picture_limits(&options),
                tasks.clone(),
            ),
            metrics,
            connection_permits: Arc::new(Semaphore::new(options.max_connections)),
            connections: Connections::new(options.connections_per_address),
            registrations: Arc::new(RecentRegistrations::new(&options.registration_limits, registrations)),
            accounts: Cached::new(ACCOUNTS_LIFETIME),
            last_seen_permits: Arc::new(Semaphore::new(LAST_SEEN_WRITES_MAX)),
            store_check: Cached::new(STORE_CHECK_LIFETIME),
            online_users: Cached::new(ONLINE_USERS_LIFETIME),
            has_administrator: Cached::new(ADMINISTRATOR_LIFETIME),
            profile: Cached::new(PROFILE_LIFETIME),
            rooms_in_use: Cached::new(ROOMS_LIFETIME),
            open_rooms: Cached::new(ROOMS_LIFETIME).resting(ROOMS_REST),
            many_rooms: Mutex::default(),
            room_change_rate: UserRate::new(options.room_changes_per_minute),
            search_rate: UserRate::new(options.searches_per_minute),
            report_rate: UserRate::new(options.reports_per_minute),
            push_rate: UserRate::new(PUSHES_PER_MINUTE),
            list_rate: UserRate::new(options.lists_per_minute),
            socket_open_rate: UserRate::new(options.socket_opens_per_minute),
            oidc_exchanges: Permits::new(options.oidc_exchanges_max, options.oidc_exchanges_per_address),
            search_permits: Semaphore::new(SEARCHES_AT_ONCE),
            origin: AllowedOrigin::new(options.public_url.as_ref(), options.tls.is_some()),
            handshakes: Handshakes::new(options.tls_handshakes_max),
            sign_ins: SignInLimiter::new(options.sign_in_limits.clone(), hasher.clone(), Instant::now()),
            sign_in_failures: Arc::default(),
            store_health: StoreHealth::default(),
            options,
            ends: Ends::default(),
            tasks,
            host_sessions: HostSessions::default(),
            ready: AtomicBool::new(true),
        }
    }

    /// Begins a sign-in, before its password is checked.
    ///
    /// # Errors
    ///
    /// [`SignInRefused`].
    pub(crate) async fn begin_sign_in(
        &self,
        name: SignInName<'_>,
        address: ClientAddress,
    ) -> Result<SignInAttempt<'_>, SignInRefused> {
        let shared = self.parts.stores.shared.as_deref();
        SignInAttempt::begin(&self.sign_ins, shared, name, address.limited()).await
    }

    /// Checks that the store can write. Calls at the same time share one check.
    ///
    /// # Errors
    ///
    /// [`Unready`], which is also noted in `store_health`.
    pub(crate) async fn check_store(&self) -> Result<(), Unready> {
        let check = async {
            let check = async {
                self.parts.stores.log.check().await?;
                if self.shards.last_append_failed() {
                    // Reading works on a full disk, and no message may come that would show
                    // that there is space again.
                    self.parts.stores.log.check_write().await?;
                }
                Ok(())
            };
            let check = tokio::time::timeout(self.options.store_check_timeout, check).await;
            let now = Instant::now();
            match check {
                Ok(Ok(())) => {
                    self.store_health.answered(StoreUse::Requests, now);
                    match self.shards.unready() {
                        None => Ok(()),
                        Some(ClusterFault::Database) => Err(Unready::Silent),
                        Some(ClusterFault::Clock) => Err(Unready::Clock),
                    }
                }
                Ok(Err(error)) => {
                    self.store_health.failed(StoreUse::Requests, &error, now);
                    Err(Unready::Store(Arc::new(error)))
                }
                Err(_) => {
                    self.store_health.timed_out(StoreUse::Requests, now);
                    Err(Unready::Silent)
                }
            }
        };
        self.store_check.get(check).await
    }

    /// Closes the sockets of sessions that were ended, and ends their downloads.
    pub(crate) async fn end_sessions(&self, sessions: &[SessionId]) {
        self.files.downloads.revoke_sessions(sessions);
        self.shards.revoke(sessions).await;
    }

    /// Closes all sockets of a user who was banned, also those without a session.
    pub(crate) async fn end_user(&self, user: &Username) {
        self.shards.end_user(user).await;
    }

    /// The users who have a connection. All shards are asked at most once a second.
    pub(crate) async fn online_users(&self) -> Arc<HashSet<Username>> {
        self.online_users.get(async { Arc::new(self.shards.online_users().await) }).await
    }

    /// Whether there is an administrator. The store is asked at most once a second, also
    /// for callers who are not signed in.
    ///
    /// # Errors
    ///
    /// [`HttpError::Store`].
    pub(crate) async fn has_administrator(&self) -> Result<bool, HttpError> {
        let ask = async {
            let administrators = self.parts.stores.users.administrators().await;
            administrators.map(|administrators| !administrators.is_empty()).map_err(Arc::new)
        };
        self.has_administrator.get(ask).await.map_err(HttpError::Store)
    }

    /// Makes the user the first administrator, unless there is one.
    pub(crate) async fn set_up(&self, user: &Username) -> Result<Option<RoleChange>, HttpError> {
        let change = self.parts.stores.administration.set_up(user, now_ms()).await?;
        self.has_administrator.forget().await;
        Ok(change)
    }

    /// The profile of the server: what administrators have changed, and the settings for the
    /// rest. The store is asked at most once a second.
    ///
    /// # Errors
    ///
    /// [`HttpError::Store`].
    pub(crate) async fn profile(&self) -> Result<Arc<Profile>, HttpError> {
        let read = async {
            let changed = self.parts.stores.administration.server_profile().await.map_err(Arc::new)?;
            Ok(Arc::new(Profile::new(changed, &self.options)))
        };
        self.profile.get(read).await.map_err(HttpError::Store)
    }

    /// Changes the profile of the server. Who asks this server afterwards is told of the
    /// changes at once.
    pub(crate) async fn change_profile(
        &self,
        fields: &[(ProfileField, Option<&str>)],
        by: &Username,
    ) -> Result<(), HttpError> {
        self.parts.stores.administration.set_server_profile(fields, Some(by), now_ms()).await?;
        self.profile.forget().await;
        Ok(())
    }

    /// A link to a path of this server: below its public URL where it is known.
    pub(crate) fn link(&self, path: &str) -> String {
        let origin = self.options.public_url.as_ref().map_or("", |url| url.origin());
        format!("{origin}{}", self.options.base_path.at(path))
    }

    /// The address of a picture of a user, of which the store has the path below the base or,
    /// for users of a host, an address of the host; empty if there is none.
    pub(crate) fn picture_address(&self, stored: Option<String>) -> String {
        match stored {
            Some(path) if path.starts_with("/uploads/") => self.options.base_path.at(&path),
            stored => stored.unwrap_or_default(),
        }
    }

    /// The value of `Set-Cookie` that signs a browser in for this time.
    pub(crate) fn cookie(&self, token: &str, seconds: u64) -> HeaderValue {
        cookie::set(token, seconds, self.options.base_path.as_str(), self.cookies_are_secure())
    }

    /// The value of `Set-Cookie` that signs a browser out.
    pub(crate) fn cleared_cookie(&self) -> HeaderValue {
        self.cookie("", 0)
    }

    /// Whether there is space for another account, as of the last second.
    ///
    /// # Errors
    ///
    /// [`HttpError::TooManyAccounts`] and [`HttpError::Store`].
    pub(crate) async fn check_accounts(&self) -> Result<(), HttpError> {
        let Some(max) = self.options.registration_limits.accounts_max else { return Ok(()) };
        let count = async { self.parts.stores.users.count_users().await.map_err(Arc::new) };
        let accounts = self.accounts.get(count).await.map_err(HttpError::Store)?;
        if accounts < max { Ok(()) } else { Err(HttpError::TooManyAccounts) }
    }

    /// The rooms with users. All shards are asked at most once a second.
    ///
    /// # Errors
    ///
    /// [`HttpError::Task`].
    pub(crate) async fn rooms_in_use(self: &Arc<Self>) -> Result<RoomsInUse, HttpError> {
        let app = Arc::clone(self);
        let ask = async move {
            let in_use = app.shards.rooms().await;
            let online = in_use.iter().map(|room| (room.name.clone(), room.online)).collect();
            RoomsInUse { rooms: in_use.into(), online: Arc::new(online) }
        };
        self.rooms_in_use.get_detached(&self.tasks, ask).await.map_err(HttpError::Task)
    }

    /// Counts a list that a user reads.
    ///
    /// # Errors
    ///
    /// [`HttpError::TooManyLists`] if the user reads lists too fast.
    pub(crate) fn count_list(&self, user: &Username) -> Result<(), HttpError> {
        let counted = self.list_rate.count(user, std::time::Instant::now());
        counted.map_err(|retry_after_seconds| {
            self.metrics.limit_refused("lists_per_minute");
            HttpError::TooManyLists { retry_after_seconds }
        })
    }

    /// All open rooms. They are read and sorted for all callers, at most once a second, and
    /// in a twentieth of the time.
    ///
    /// # Errors
    ///
    /// [`HttpError::Store`], [`HttpError::Task`].
    pub(crate) async fn open_rooms(self: &Arc<Self>) -> Result<Arc<OpenRooms>, HttpError> {
        let app = Arc::clone(self);
        let read = async move {
            // Read before the shards are asked: a room that is closed meanwhile must not
            // seem to be one that the store does not know.
            let stored = app.parts.stores.rooms.open_rooms(OPEN_ROOMS_MAX).await.map_err(Arc::new)?;
            let in_use = app.rooms_in_use().await.map_err(unavailable)?;
            let configured = app.options.rooms.clone();
            let sort = move || OpenRooms::new(stored, &in_use.rooms, in_use.online, &configured);
            let sorted = tokio::task::spawn_blocking(sort).await;
            sorted.map(Arc::new).map_err(|error| unavailable(HttpError::Task(error)))
        };
        let open = self.open_rooms.get_detached(&self.tasks, read).await.map_err(HttpError::Task)?;
        open.map_err(HttpError::Store)
    }

    /// The rooms of which a user is a member. Of a user who has very many, they are read and
    /// sorted at most once a second, and in a twentieth of the time.
    ///
    /// # Errors
    ///
    /// [`HttpError::Store`], [`HttpError::Task`].
    pub(crate) async fn own_rooms(
        self: &Arc<Self>,
        user: &Username,
        open: &Arc<OpenRooms>,
    ) -> Result<Arc<OwnRooms>, HttpError> {
        let cached =
            self.many_rooms().iter().find(|(known, _)| known == user).map(|(_, rooms)| Arc::clone(rooms));
        let Some(cached) = cached else {
            let own = self.parts.stores.rooms.rooms_of(user, OWN_ROOMS_MAX).await?;
            if own.len() > MANY_ROOMS {
                let mut many = self.many_rooms();
                many.retain(|(known, _)| known != user);
                many.push_back((user.clone(), Arc::new(Cached::new(ROOMS_LIFETIME).resting(ROOMS_REST))));
                if many.len() > MANY_ROOMS_USERS_MAX {
                    many.pop_front();
                }
            }
            return Ok(Arc::new(open.own(own)));
        };
        let (app, open, user) = (Arc::clone(self), Arc::clone(open), user.clone());
        let read = async move {
            let own = app.parts.stores.rooms.rooms_of(&user, OWN_ROOMS_MAX).await.map_err(Arc::new)?;
            if own.len() <= MANY_ROOMS {
                app.many_rooms().retain(|(known, _)| *known != user);
            }
            let sorted = tokio::task::spawn_blocking(move || Arc::new(open.own(own))).await;
            sorted.map_err(|error| unavailable(HttpError::Task(error)))
        };
        let own = cached.get_detached(&self.tasks, read).await.map_err(HttpError::Task)?;
        own.map_err(HttpError::Store)
    }

    fn many_rooms(&self) -> MutexGuard<'_, VecDeque<(Username, Arc<CachedOwnRooms>)>> {
        // Each change is complete in one call, so that a poisoned lock is safe.
        self.many_rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether cookies are for https only.
    pub(crate) fn cookies_are_secure(&self) -> bool {
        self.options.tls.is_some() || self.is_https_only()
    }

    /// Whether browsers are told to reach this host over https only, from now on. Only an
    /// operator who has named the host can know that nothing else is on it.
    pub(crate) fn is_https_only(&self) -> bool {
        self.options.public_url.as_ref().is_some_and(|url| url.is_https())
    }

    /// Whether new work is accepted: not while the server stops.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Accepts no new work from now on.
    pub(crate) fn set_unready(&self) {
        self.ready.store(false, Ordering::Release);
    }
}

/// The signals by which connections end.
#[derive(Clone, Default)]
pub(crate) struct Ends {
    /// End after the current request.
    pub(crate) gracefully: CancellationToken,
    /// End at once.
    pub(crate) at_once: CancellationToken,
}

/// The rooms with users, and how many users each has.
#[derive(Clone)]
pub(crate) struct RoomsInUse {
    rooms: Arc<[RoomInUse]>,
    pub(crate) online: Arc<HashMap<RoomName, usize>>,
}

fn picture_limits(options: &HttpOptions) -> PictureLimits {
    PictureLimits {
        pixels_max: options.picture_pixels_max,
        side_max: options.picture_side_max,
        memory_max: options.picture_memory_max,
    }
}

type CachedOwnRooms = Cached<Result<Arc<OwnRooms>, Arc<StoreError>>>;

fn unavailable(error: HttpError) -> Arc<StoreError> {
    Arc::new(StoreError::Unavailable { source: Box::new(error) })
}

/// How long the lists of rooms are reused.
const ROOMS_LIFETIME: Duration = Duration::from_secs(1);
/// How many times as long as reading them took, lists of rooms are reused at least: 50,000
/// rooms are read in some 200 ms, and then every four seconds at most.
const ROOMS_REST: u32 = 20;
/// The most rooms of one user that are listed as the user's own.
const OWN_ROOMS_MAX: usize = 10_000;
/// Above so many rooms of one user, their list is reused for a while. Below, it is read for
/// each listing, and shows at once what the user has joined or changed.
const MANY_ROOMS: usize = 1_000;
/// The users whose lists are reused: some 3 MB each.
const MANY_ROOMS_USERS_MAX: usize = 8;
/// The most open rooms in lists and searches: about 300 bytes each. Of more, those with
/// the newest messages are listed; the others are found by their names only.
const OPEN_ROOMS_MAX: usize = 100_000;
/// How long the profile of the server is reused.
const PROFILE_LIFETIME: Duration = Duration::from_secs(1);
/// How long the result of a check of the store is reused. Monitoring asks every few
/// seconds.
const STORE_CHECK_LIFETIME: Duration = Duration::from_millis(500);
/// How long the set of the users who have a connection is reused.
const ONLINE_USERS_LIFETIME: Duration = Duration::from_secs(1);
/// How long the number of accounts is reused.
const ACCOUNTS_LIFETIME: Duration = Duration::from_secs(1);
/// How long it is reused whether there is an administrator.
const ADMINISTRATOR_LIFETIME: Duration = Duration::from_secs(1);
/// Sessions whose last use is stored at one time: when all users come back at once,
/// messages must not wait behind these writes.
const LAST_SEEN_WRITES_MAX: usize = 4;
/// Subscriptions of a user in a minute: a page sends its own when it opens.
const PUSHES_PER_MINUTE: u32 = 60;
/// Searches that run at one time. More would take the store from messages, and the processors;
/// the others wait.
const SEARCHES_AT_ONCE: usize = 2;

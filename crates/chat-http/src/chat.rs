//! The chat without a listener: its state, shards and background tasks.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use chat_core::{RoomLooks, SessionId, Username};
use chat_shard::{ChatHandle, FilesHook, Shards, now_ms};
use chat_store::StoreError;
use tokio_util::task::TaskTracker;

use crate::app::{App, Parts, Started};
use crate::avatar::{self, AvatarFolder};
use crate::files::{self, Files};
use crate::outgoing::HAS_TLS;
use crate::push::{self, Pushes};
use crate::service::ChatService;
use crate::shared_attempts::keyed_hash;
use crate::webhooks::Webhooks;
use crate::{
    HttpOptions, indexing, mass_deletion, member_filling, retention, session_check, signed_in, store_probe,
    webhooks,
};

/// The chat without a listener, on the current tokio runtime. [`service`](Self::service)
/// answers the requests of a host; a [`Server`](crate::Server) has a listener for it.
///
/// [`stop`](Self::stop) ends it in order. Dropping it ends its requests and sockets at once.
pub struct Chat {
    pub(crate) app: Arc<App>,
    /// Tracks the requests that hosts have passed on, until their responses are sent.
    requests: TaskTracker,
}

/// Why a chat or a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The folder of the avatars cannot be created or read.
    #[error("the folder for uploads, {path}, cannot be used")]
    Uploads {
        /// The folder.
        path: PathBuf,
        /// The error of the system.
        #[source]
        cause: io::Error,
    },
    /// The place of the files cannot be used.
    #[error("the place of the files, {location}, cannot be used")]
    Files {
        /// The folder, or the URL of the bucket.
        location: String,
        /// The error of the system.
        #[source]
        cause: io::Error,
    },
    /// An OpenID provider cannot send browsers back without a public URL.
    #[error("an OpenID provider needs the public URL of the chat")]
    PublicUrl,
    /// The threads of the shards cannot be started.
    #[error("the threads that own sockets cannot be started")]
    Shards(#[source] io::Error),
    /// The configured rooms cannot be stored.
    #[error("the rooms of the settings cannot be stored")]
    Rooms(#[source] StoreError),
    /// What several servers share cannot be read.
    #[error("what the servers of the database share cannot be read")]
    Shared(#[source] StoreError),
    /// The listener has no local address.
    #[error("the listener cannot be used")]
    Listener(#[source] io::Error),
}

impl Chat {
    /// Creates the configured rooms, and starts the shards and the background tasks.
    ///
    /// # Errors
    ///
    /// [`StartError`], except `Listener`.
    pub async fn start(parts: Parts, mut options: HttpOptions) -> Result<Self, StartError> {
        if parts.oidc.is_some() && options.public_url.is_none() {
            return Err(StartError::PublicUrl);
        }
        let avatars = AvatarFolder::open(&options, &*parts.stores.users, parts.stores.shared.clone())
            .await
            .map_err(|cause| StartError::Uploads { path: options.uploads_dir.clone(), cause })?;
        let files = Files::open(&options).await.map_err(|error| StartError::Files {
            location: options.files.location.to_string(),
            cause: files::as_io(error),
        })?;
        announce_files(&mut options, &files);
        options.shards.hub.room_looks =
            RoomLooks::of(options.rooms.iter().map(|room| (&room.name, room.title.as_str())));
        let rooms: Vec<_> =
            options.rooms.iter().map(|room| (room.name.clone(), room.title.clone())).collect();
        parts.stores.rooms.add_rooms(&rooms, now_ms()).await.map_err(StartError::Rooms)?;
        // Push services have https addresses.
        options.push.enabled &= HAS_TLS || options.outgoing_private;
        let pushes = Pushes::new(&options);
        if options.push.enabled {
            options.shards.stored = options.shards.stored.and(pushes.note_stored());
        }
        let webhooks = Webhooks::new(&options);
        options.shards.stored = options.shards.stored.and(webhooks.note_stored());
        let hasher = keyed_hash(parts.stores.shared.as_deref()).await.map_err(StartError::Shared)?;
        let shards = Shards::start(options.shards.clone(), parts.stores.log.clone());
        let shards = Arc::new(shards.map_err(StartError::Shards)?);
        let started = Started { shards, avatars, files, pushes, webhooks, hasher };
        let app = Arc::new(App::new(parts, started, options));
        let tasks = &app.tasks;
        let stopping = || app.ends.gracefully.clone();
        tasks.spawn(session_check::keep_checking(app.clone(), stopping()));
        tasks.spawn(session_check::keep_listening(app.clone(), stopping()));
        tasks.spawn(signed_in::keep_fetching_keys(app.clone(), stopping()));
        tasks.spawn(store_probe::keep_probing(app.clone(), stopping()));
        tasks.spawn(app.sign_in_failures.clone().keep_logging(stopping()));
        tasks.spawn(avatar::keep_sharing(app.clone(), stopping()));
        tasks.spawn(retention::keep_trimming(app.clone(), stopping()));
        tasks.spawn(files::keep_sweeping(app.clone(), stopping()));
        tasks.spawn(member_filling::fill_members(app.clone(), stopping()));
        tasks.spawn(mass_deletion::keep_deleting(app.clone(), stopping()));
        tasks.spawn(push::keep_pushing(app.clone(), stopping()));
        tasks.spawn(webhooks::keep_delivering(app.clone(), stopping()));
        tasks.spawn(indexing::keep_indexing(app.clone(), stopping()));
        #[cfg(feature = "page")]
        tasks.spawn_blocking(crate::assets::prepare);
        Ok(Self { app, requests: TaskTracker::new() })
    }

    /// Answers requests that a host accepts on its own listener.
    pub fn service(&self) -> ChatService {
        ChatService::new(self.app.clone(), self.requests.clone())
    }

    /// What the host does in the chat itself: it posts, reads, and follows rooms.
    pub fn handle(&self) -> ChatHandle {
        self.app.chat.clone()
    }

    /// Whether the chat accepts new work. `/readyz` also checks the store.
    pub fn is_ready(&self) -> bool {
        self.app.is_ready()
    }

    /// Resolves when a shard has ended by a panic. The process should then be restarted;
    /// every acknowledged message is stored.
    pub async fn failed(&self) {
        self.app.shards.failed().await;
    }

    /// Closes the sockets of sessions that were ended in the store, and ends their downloads.
    pub async fn end_sessions(&self, sessions: &[SessionId]) {
        self.app.end_sessions(sessions).await;
    }

    /// Closes the sockets of a user whom the host has signed out, and ends their downloads:
    /// those of one [session](crate::Identified::session) of the host, or all (`None`). Call it
    /// once [`Identity`](crate::Identity) no longer knows the session.
    pub async fn sign_out(&self, user: &str, session: Option<&str>) {
        let Ok(user) = Username::known(user) else { return };
        let open = self.app.shards.open_sessions().of(&user);
        let ended = self.app.host_sessions.end(open, &user, session);
        self.app.end_sessions(&ended).await;
    }

    /// Closes all sockets of a user who was banned in the store, also those without a session.
    pub async fn end_user(&self, user: &Username) {
        self.app.end_user(user).await;
    }

    /// Tells the sockets of a user whose role was changed in the store.
    pub fn role_changed(&self, user: &Username, is_administrator: bool) {
        self.app.shards.role_changed(user, is_administrator);
    }

    /// Looks for messages to deliver to an outgoing webhook that was made in the store.
    pub fn webhook_made(&self) {
        self.app.webhooks.made();
    }

    /// Stops in order: opens no socket any more, closes each one in its time slot with its
    /// messages acknowledged, finishes requests, and waits for the last commit. A temporary
    /// folder of files is removed. Later requests are answered with 503.
    pub async fn stop(&self) {
        self.stop_accepting();
        self.app.shards.drain().await;
        self.stop_requests().await;
        self.app.shards.stop().await;
        if let Err(error) = files::remove_temporary(&self.app.options.files).await {
            tracing::warn!(%error, "the folder of the files cannot be removed");
        }
    }

    /// Accepts no new work from now on, and ends the background tasks and the connections of a
    /// [`Server`](crate::Server).
    pub(crate) fn stop_accepting(&self) {
        self.app.set_unready();
        self.app.ends.gracefully.cancel();
    }

    /// Waits at most `stop_grace` for the requests that are being answered, and then ends them.
    /// Afterwards no task of this chat runs.
    pub(crate) async fn stop_requests(&self) {
        let tasks = &self.app.tasks;
        tasks.close();
        self.requests.close();
        let all = async { tokio::join!(tasks.wait(), self.requests.wait()) };
        let all = tokio::time::timeout(self.app.options.stop_grace, all).await;
        self.app.ends.at_once.cancel();
        if all.is_err() {
            tracing::warn!(
                tasks = tasks.len() + self.requests.len(),
                "ending requests that did not end in time"
            );
            // A response of a host ends when its connection is next asked for more of it.
            tasks.wait().await;
        }
    }
}

impl Drop for Chat {
    fn drop(&mut self) {
        self.app.set_unready();
        self.app.ends.gracefully.cancel();
        self.app.ends.at_once.cancel();
    }
}

/// Lets the hubs announce that this server takes files, and the log say which are taken back.
fn announce_files(options: &mut HttpOptions, files: &Files) {
    let hub = &mut options.shards.hub;
    hub.file_max_bytes = Some(options.files.max_bytes);
    hub.files_base = format!(
        "{}{}",
        options.public_url.as_ref().map_or("", |url| url.origin()),
        options.base_path.as_str()
    )
    .into();
    let (downloads, sweep) = (files.downloads.clone(), Arc::clone(&files.sweep));
    options.shards.files_taken_back = FilesHook::new(move |ids| {
        downloads.revoke(ids);
        sweep.notify_one();
    });
}

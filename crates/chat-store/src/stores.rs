//! The stores of a server, whichever database they are in.

use std::sync::Arc;

use crate::{
    AdministrationRepository, BotRepository, EventLog, FileRepository, OutgoingRepository, PushRepository,
    RoomRepository, SearchIndex, SessionRepository, SharedRepository, UserRepository,
};
#[cfg(feature = "databases")]
use crate::{DatabaseUrl, MemoryStore, StoreError};
#[cfg(feature = "postgres")]
use crate::{PostgresOptions, PostgresStore};
#[cfg(feature = "sqlite")]
use crate::{SqliteOptions, SqliteStore};

/// The stores of a server. Cloning shares them.
#[derive(Clone)]
pub struct Stores {
    /// The accounts of users.
    pub users: Arc<dyn UserRepository>,
    /// The sessions.
    pub sessions: Arc<dyn SessionRepository>,
    /// The log of messages.
    pub log: Arc<dyn EventLog>,
    /// The rooms, for lists.
    pub rooms: Arc<dyn RoomRepository>,
    /// The records of files.
    pub files: Arc<dyn FileRepository>,
    /// The search of messages.
    pub search: Arc<dyn SearchIndex>,
    /// What administrators and moderators do.
    pub administration: Arc<dyn AdministrationRepository>,
    /// The push subscriptions, and the messages that are to be pushed.
    pub push: Arc<dyn PushRepository>,
    /// Bots and webhooks.
    pub bots: Arc<dyn BotRepository>,
    /// Outgoing webhooks, and the messages that are to be delivered.
    pub outgoing: Arc<dyn OutgoingRepository>,
    /// What several servers share; `None` where a database has one.
    pub shared: Option<Arc<dyn SharedRepository>>,
    #[cfg(feature = "databases")]
    opened: Option<Opened>,
}

/// The store that [`Stores::close`] closes.
#[cfg(feature = "databases")]
#[derive(Clone)]
enum Opened {
    #[cfg(feature = "sqlite")]
    Sqlite(Arc<SqliteStore>),
    #[cfg(feature = "postgres")]
    Postgres(Arc<PostgresStore>),
}

impl Stores {
    /// Opens the database at a URL, with default options. An SQLite file is created if
    /// it is missing, and migrated to this version's schema; a Postgres database must
    /// have this schema already (see [`migrations`](crate::migrations)).
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`], [`StoreError::NotOurs`], [`StoreError::OldSchema`],
    /// [`StoreError::NewerSchema`], and [`StoreError::CannotOpen`] for other causes.
    #[cfg(feature = "databases")]
    pub async fn open(url: &DatabaseUrl) -> Result<Self, StoreError> {
        match url {
            DatabaseUrl::Memory => Ok(Self::of(Arc::new(MemoryStore::default()))),
            #[cfg(not(feature = "sqlite"))]
            DatabaseUrl::Sqlite(_) => Err(StoreError::without_sqlite(url)),
            #[cfg(feature = "sqlite")]
            DatabaseUrl::Sqlite(path) => {
                let store = Arc::new(SqliteStore::open(path, SqliteOptions::default()).await?);
                Ok(Self { opened: Some(Opened::Sqlite(Arc::clone(&store))), ..Self::of(store) })
            }
            #[cfg(not(feature = "postgres"))]
            DatabaseUrl::Postgres(url) => url.absurd(),
            #[cfg(feature = "postgres")]
            DatabaseUrl::Postgres(url) => {
                let store = Arc::new(PostgresStore::open(url, PostgresOptions::default()).await?);
                let shared: Arc<dyn SharedRepository> = store.clone();
                let opened = Some(Opened::Postgres(Arc::clone(&store)));
                Ok(Self { opened, shared: Some(shared), ..Self::of(store) })
            }
        }
    }

    /// Uses one store in all roles, and for one server. [`close`](Self::close) does not close it: its
    /// owner does.
    pub fn of<S>(store: Arc<S>) -> Self
    where
        S: UserRepository
            + SessionRepository
            + EventLog
            + RoomRepository
            + FileRepository
            + SearchIndex
            + AdministrationRepository
            + PushRepository
            + BotRepository
            + OutgoingRepository
            + 'static,
    {
        Self {
            users: store.clone(),
            sessions: store.clone(),
            log: store.clone(),
            rooms: store.clone(),
            files: store.clone(),
            search: store.clone(),
            administration: store.clone(),
            push: store.clone(),
            bots: store.clone(),
            outgoing: store,
            shared: None,
            #[cfg(feature = "databases")]
            opened: None,
        }
    }

    /// Waits for calls that run, then closes the database. Later calls through other
    /// clones fail.
    pub async fn close(self) {
        #[cfg(feature = "databases")]
        match self.opened {
            #[cfg(feature = "sqlite")]
            Some(Opened::Sqlite(store)) => store.close().await,
            #[cfg(feature = "postgres")]
            Some(Opened::Postgres(store)) => store.close().await,
            None => {}
        }
    }
}

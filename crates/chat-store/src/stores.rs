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

/// Makes [`Store`] and [`Stores`] of the one list of repositories, which is below.
macro_rules! stores {
    ($($(#[$about:meta])+ $field:ident: $repository:ident,)+) => {
        /// A store for everything that a chat keeps: each type with these traits is one.
        pub trait Store: $($repository +)+ 'static {}

        impl<S: $($repository +)+ 'static> Store for S {}

        /// The stores of a server. Cloning shares them.
        #[derive(Clone)]
        pub struct Stores {
            $($(#[$about])+ pub $field: Arc<dyn $repository>,)+
            /// What several servers share; `None` where a database has one.
            pub shared: Option<Arc<dyn SharedRepository>>,
            #[cfg(feature = "databases")]
            opened: Option<Opened>,
        }

        impl Stores {
            /// Uses one store in all roles, and for one server. [`close`](Self::close) does not close
            /// it: its owner does. For a database with options there is `Stores::open_with`.
            pub fn of<S: Store>(store: Arc<S>) -> Self {
                Self {
                    $($field: store.clone(),)+
                    shared: None,
                    #[cfg(feature = "databases")]
                    opened: None,
                }
            }
        }
    };
}

// A new repository is a line here, and the compiler asks each store for it.
stores! {
    /// The accounts of users.
    users: UserRepository,
    /// The sessions.
    sessions: SessionRepository,
    /// The log of messages.
    log: EventLog,
    /// The rooms, for lists.
    rooms: RoomRepository,
    /// The records of files.
    files: FileRepository,
    /// The search of messages.
    search: SearchIndex,
    /// What administrators and moderators do.
    administration: AdministrationRepository,
    /// The push subscriptions, and the messages that are to be pushed.
    push: PushRepository,
    /// Bots and webhooks.
    bots: BotRepository,
    /// Outgoing webhooks, and the messages that are to be delivered.
    outgoing: OutgoingRepository,
}

/// The limits of the stores that [`Stores::open_with`] opens: those of the database that a URL names
/// are used.
#[cfg(feature = "databases")]
#[derive(Debug, Clone, Copy, Default)]
pub struct StoreOptions {
    /// For an SQLite file.
    #[cfg(feature = "sqlite")]
    pub sqlite: SqliteOptions,
    /// For a Postgres database.
    #[cfg(feature = "postgres")]
    pub postgres: PostgresOptions,
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
        Self::open_with(url, StoreOptions::default()).await
    }

    /// The same with options of your own.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open).
    #[cfg(feature = "databases")]
    pub async fn open_with(url: &DatabaseUrl, options: StoreOptions) -> Result<Self, StoreError> {
        #[cfg(not(any(feature = "sqlite", feature = "postgres")))]
        let StoreOptions {} = options;
        match url {
            DatabaseUrl::Memory => Ok(Self::of(Arc::new(MemoryStore::default()))),
            #[cfg(not(feature = "sqlite"))]
            DatabaseUrl::Sqlite(_) => Err(StoreError::without_sqlite(url)),
            #[cfg(feature = "sqlite")]
            DatabaseUrl::Sqlite(path) => {
                let store = Arc::new(SqliteStore::open(path, options.sqlite).await?);
                Ok(Self { opened: Some(Opened::Sqlite(Arc::clone(&store))), ..Self::of(store) })
            }
            #[cfg(not(feature = "postgres"))]
            DatabaseUrl::Postgres(url) => url.absurd(),
            #[cfg(feature = "postgres")]
            DatabaseUrl::Postgres(url) => {
                let store = Arc::new(PostgresStore::open(url, options.postgres).await?);
                let shared: Arc<dyn SharedRepository> = store.clone();
                let opened = Some(Opened::Postgres(Arc::clone(&store)));
                Ok(Self { opened, shared: Some(shared), ..Self::of(store) })
            }
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

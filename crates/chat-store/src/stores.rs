//! The stores of a running server.

use std::sync::Arc;

use crate::{
    DatabaseUrl, EventLog, MemoryStore, PostgresOptions, PostgresStore, SessionRepository, SqliteOptions,
    SqliteStore, StoreError, UserRepository,
};

/// The stores of a running server, whichever they are.
#[derive(Clone)]
pub struct Stores {
    /// The accounts.
    pub users: Arc<dyn UserRepository>,
    /// The sessions.
    pub sessions: Arc<dyn SessionRepository>,
    /// The messages.
    pub log: Arc<dyn EventLog>,
    opened: Option<Opened>,
}

/// What has to be closed.
#[derive(Clone)]
enum Opened {
    Sqlite(Arc<SqliteStore>),
    Postgres(Arc<PostgresStore>),
}

impl Stores {
    /// Opens what a URL names, with default options. An SQLite file is made if
    /// it is not there, and brought up to this version's schema; a Postgres
    /// database must have it (see [`migrations`](crate::migrations)).
    pub async fn open(url: &DatabaseUrl) -> Result<Self, StoreError> {
        match url {
            DatabaseUrl::Memory => Ok(Self::of(Arc::new(MemoryStore::default()))),
            DatabaseUrl::Sqlite(path) => {
                let store = Arc::new(SqliteStore::open(path, SqliteOptions::default()).await?);
                Ok(Self { opened: Some(Opened::Sqlite(Arc::clone(&store))), ..Self::of(store) })
            }
            DatabaseUrl::Postgres(url) => {
                let store = Arc::new(PostgresStore::open(url, PostgresOptions::default()).await?);
                Ok(Self { opened: Some(Opened::Postgres(Arc::clone(&store))), ..Self::of(store) })
            }
        }
    }

    /// One store in all three roles. [`close`](Self::close) leaves it alone:
    /// who made it closes it.
    pub fn of<S>(store: Arc<S>) -> Self
    where
        S: UserRepository + SessionRepository + EventLog + 'static,
    {
        Self { users: store.clone(), sessions: store.clone(), log: store, opened: None }
    }

    /// Waits for what is being written, then lets go of the database. Calls
    /// through other clones fail from then on.
    pub async fn close(self) {
        match self.opened {
            Some(Opened::Sqlite(store)) => store.close().await,
            Some(Opened::Postgres(store)) => store.close().await,
            None => {}
        }
    }
}

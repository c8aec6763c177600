//! The stores of a running server.

use std::sync::Arc;

use crate::{
    DatabaseUrl, EventLog, MemoryStore, SessionRepository, SqliteOptions, SqliteStore, StoreError,
    UserRepository,
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
    /// What has to be closed.
    sqlite: Option<Arc<SqliteStore>>,
}

impl Stores {
    /// Opens what a URL names, with default options; a database is made if it
    /// is not there, and brought up to this version's schema.
    pub async fn open(url: &DatabaseUrl) -> Result<Self, StoreError> {
        match url {
            DatabaseUrl::Memory => Ok(Self::of(Arc::new(MemoryStore::default()))),
            DatabaseUrl::Sqlite(path) => {
                let store = Arc::new(SqliteStore::open(path, SqliteOptions::default()).await?);
                Ok(Self { sqlite: Some(Arc::clone(&store)), ..Self::of(store) })
            }
        }
    }

    /// One store in all three roles. [`close`](Self::close) leaves it alone:
    /// who made it closes it.
    pub fn of<S>(store: Arc<S>) -> Self
    where
        S: UserRepository + SessionRepository + EventLog + 'static,
    {
        Self { users: store.clone(), sessions: store.clone(), log: store, sqlite: None }
    }

    /// Waits for what is being written, then lets go of the database. Calls
    /// through other clones fail from then on.
    pub async fn close(self) {
        if let Some(store) = self.sqlite {
            store.close().await;
        }
    }
}

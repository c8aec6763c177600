//! What programs use that are compiled without Postgres, so that they are written once: no other
//! database is shared by servers, or starts later than they.

use std::time::Duration;

use crate::{DatabaseUrl, StoreError};

/// The mark of a running server on its database. An SQLite file has its own
/// ([`StoreError::InUse`] when it is opened), a memory store needs none.
pub struct ServerLock(());

/// Whether a program may start although a server has the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherServers {
    /// The start fails with [`StoreError::InUse`].
    Refuse,
    /// The start goes on.
    Allow,
}

impl ServerLock {
    /// Does nothing.
    ///
    /// # Errors
    /// None without Postgres.
    pub async fn acquire(_: &DatabaseUrl, _: OtherServers) -> Result<Self, StoreError> {
        Ok(Self(()))
    }

    /// Does nothing.
    pub async fn release(self) {}
}

/// Returns at once: SQLite and the memory are always there.
///
/// # Errors
/// None without Postgres.
pub async fn wait_until_reachable(_: &DatabaseUrl, _: Duration) -> Result<(), StoreError> {
    Ok(())
}

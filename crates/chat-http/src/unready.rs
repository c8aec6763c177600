//! Why the store is not ready.

use std::sync::Arc;

use chat_store::StoreError;

/// Why the store is not ready.
#[derive(Clone)]
pub(crate) enum Unready {
    /// It returned this error.
    Store(Arc<StoreError>),
    /// It did not answer in time.
    Silent,
    /// It works, and the clock of this server is far from that of the database.
    Clock,
}

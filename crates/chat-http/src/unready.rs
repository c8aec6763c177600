//! Why the server is not ready.

use std::sync::Arc;

use chat_store::StoreError;

/// Why the server cannot be ready, though it would.
#[derive(Clone)]
pub(crate) enum Unready {
    Store(Arc<StoreError>),
    Silent,
}

//! What to do about a database that another process has.

use std::error::Error;

use chat_store::StoreError;

/// Adds the advice to stop the other process, if that is the error.
pub(crate) fn stop_first(error: impl Into<Box<dyn Error>>) -> Box<dyn Error> {
    let error = error.into();
    match error.downcast_ref::<StoreError>() {
        Some(StoreError::InUse { .. }) => format!("{error}: stop that one first").into(),
        _ => error,
    }
}

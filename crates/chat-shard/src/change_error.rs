//! Why a change of a room was not made.

use chat_core::ChangeRefused;

/// Why a change of a room was not made, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// It may not be made.
    #[error(transparent)]
    Refused(#[from] ChangeRefused),
    /// The store did not answer in [`ShardOptions::change_timeout`](crate::ShardOptions::change_timeout),
    /// or too many changes wait for it. The change may have been made, or be made later.
    #[error("the store is not available; the change may be made later")]
    Unavailable,
}

//! Users, sessions and the log of messages.

mod repository;

pub use repository::{Answer, EventLog, NewUser, Session, SessionRepository, User, UserRepository};

/// What a store could not do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is an account of that name.
    #[error("username already exists")]
    NameTaken,
}

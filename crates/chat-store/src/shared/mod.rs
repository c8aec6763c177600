//! What several servers of one database share, beside the chat itself.

mod memory;

pub(crate) use memory::Shared;

use crate::StoreFuture;

/// What several servers of one database share: their secrets, the pictures of accounts, and what
/// counts for limits. A server that is alone on its database has it in its folders and its memory
/// instead.
///
/// A picture is named by its address, as [`User::avatar`](crate::User::avatar) is; the content of an
/// address never changes.
pub trait SharedRepository: Send + Sync {
    /// Returns the secret of all servers of this database, which is `new` if there was none: of
    /// servers that start at once, all get the same.
    /// It is in no backup.
    fn shared_secret<'a>(&'a self, which: SharedSecret, new: &'a [u8]) -> StoreFuture<'a, Vec<u8>>;

    /// Stores a picture, before an account has it. For [`PICTURE_KEPT_MS`] it stays, whether an
    /// account has it or not.
    fn put_picture<'a>(&'a self, address: &'a str, bytes: &'a [u8]) -> StoreFuture<'a, ()>;

    /// Finds a picture that an account has.
    fn picture<'a>(&'a self, address: &'a str) -> StoreFuture<'a, Option<Vec<u8>>>;

    /// Removes those of these pictures that no account has; of all (`None`), one server at a time.
    /// One that was put within [`PICTURE_KEPT_MS`] stays.
    fn drop_unused_pictures<'a>(&'a self, addresses: Option<&'a [String]>) -> StoreFuture<'a, ()>;

    /// Tells which of these pictures are not stored, in no order.
    fn missing_pictures<'a>(&'a self, addresses: &'a [String]) -> StoreFuture<'a, Vec<MissingPicture>>;

    /// Counts an attempt for each of its keys, and returns for each what counts beside it: at most
    /// as many as the key asks for, the newest first. The same attempt counts once; its account may be
    /// known later.
    fn count_attempt<'a>(&'a self, attempt: &'a NewAttempt) -> StoreFuture<'a, Vec<Vec<PastAttempt>>>;

    /// Takes an attempt back, and forgets the attempts of an account for a key.
    fn take_attempt_back<'a>(
        &'a self,
        attempt: &'a NewAttempt,
        forgotten: Option<(u64, u32)>,
    ) -> StoreFuture<'a, ()>;

    /// Removes attempts that are older than this.
    fn drop_attempts(&self, older_than_seconds: u32) -> StoreFuture<'_, ()>;
}

/// An attempt that counts for limits of all servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAttempt {
    /// A random number, by which it is known.
    pub id: u64,
    /// What it counts for.
    pub keys: Vec<AttemptKey>,
    /// The account that it is about.
    pub account: Option<u32>,
}

/// Something that attempts count for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptKey {
    /// A hash of it.
    pub hash: u64,
    /// How long an attempt counts, in seconds.
    pub window_seconds: u32,
    /// How many need to be known.
    pub max: usize,
}

/// An attempt that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PastAttempt {
    /// How long ago it was, in seconds.
    pub age_seconds: u32,
    /// The account that it was about.
    pub account: Option<u32>,
}

/// A picture that is not stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingPicture {
    /// Its address.
    pub address: String,
    /// Whether an account has it.
    pub is_used: bool,
}

/// How long a picture may be stored before its account has it, in milliseconds: longer than a
/// registration takes, with its waits.
pub const PICTURE_KEPT_MS: u64 = 600_000;

/// A secret that all servers of a database know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SharedSecret {
    /// It signs the tokens of sessions.
    Signing,
    /// It signs what servers tell each other.
    Bus,
    /// It hashes the names and addresses for which attempts count.
    Attempts,
}

impl SharedSecret {
    /// The name in the database.
    #[cfg(feature = "postgres")]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Signing => "signing",
            Self::Bus => "bus",
            Self::Attempts => "attempts",
        }
    }
}

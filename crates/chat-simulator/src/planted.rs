//! Bugs on purpose: the oracle must catch each of them.

use chat_core::HubOptions;

/// What is to be done wrong in a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bug {
    /// A bug of the hubs.
    #[cfg(feature = "planted-bugs")]
    Hub(chat_core::PlantedBug),
    /// A bug of the shards or of the log's writers.
    #[cfg(feature = "planted-bugs")]
    Shard(chat_shard::PlantedBug),
    /// The log stores a nonce again.
    NoDedupe,
    /// The log says that it keeps what it has forgotten.
    NoFirst,
    /// What the bus between the servers loses is never looked for.
    NoPoll,
    /// A socket that takes nothing for a while loses what is kept for it.
    DropWhenSlow,
    /// Nobody is told that a server is gone.
    NoHubLost,
    /// A client that starts again has forgotten what it was sending.
    ForgetOutbox,
}

/// Plants a bug in a part of chat-shard if it is one of the shards.
#[cfg(feature = "planted-bugs")]
macro_rules! with_bug {
    ($part:expr, $bug:expr) => {
        $part.with_bug(match $bug {
            Some($crate::planted::Bug::Shard(bug)) => Some(bug),
            _ => None,
        })
    };
}
#[cfg(not(feature = "planted-bugs"))]
macro_rules! with_bug {
    ($part:expr, $bug:expr) => {
        $part
    };
}
pub(crate) use with_bug;

/// Plants a bug in the hubs if it is one of theirs.
#[cfg(feature = "planted-bugs")]
pub(crate) fn plant_in_hub(options: &mut HubOptions, bug: Option<Bug>) {
    if let Some(Bug::Hub(bug)) = bug {
        options.planted = Some(bug);
    }
}

/// Does nothing: the feature is off.
#[cfg(not(feature = "planted-bugs"))]
pub(crate) fn plant_in_hub(_options: &mut HubOptions, _bug: Option<Bug>) {}

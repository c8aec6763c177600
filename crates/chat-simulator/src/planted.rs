//! Bugs on purpose: the oracle must catch each of them.

#[cfg(feature = "planted-bugs")]
use chat_core::PlantedBug;

/// What is to be done wrong in a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bug {
    /// Something in the hubs.
    #[cfg(feature = "planted-bugs")]
    Hub(PlantedBug),
    /// The log stores a nonce again.
    NoDedupe,
    /// The log says that it keeps what it has forgotten.
    NoFirst,
    /// The log fails, and its writer says that it did not.
    AckAFailure,
    /// What waits behind a batch that failed is stored.
    NoFailuresHeard,
    /// A hub's thread counts a failure before it has handed over what the hub
    /// wanted stored until then.
    CountsFailuresFirst,
    /// An inbox that is full loses entries.
    DropWhenFull,
    /// What the bus between the servers loses is never looked for.
    NoPoll,
    /// An inbox brings its newest first.
    StackForInbox,
    /// A socket that takes nothing for a while loses what is kept for it.
    DropWhenSlow,
    /// Nobody is told that a server is gone.
    NoHubLost,
    /// The hubs are not told that a session has ended.
    NoRevoked,
    /// A client that starts again has forgotten what it was sending.
    ForgetOutbox,
}

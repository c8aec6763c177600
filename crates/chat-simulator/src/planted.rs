//! Bugs on purpose: the oracle must catch each of them.
//!
//! The bugs of hubs and shards are in the product's code, behind its features; those
//! here are in the simulator's model of what has no code yet or lies outside.

use chat_core::HubOptions;

/// A bug of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bug {
    /// A bug of the hubs.
    #[cfg(feature = "planted-bugs")]
    Hub(chat_core::PlantedBug),
    /// A bug of the shards or of the log's writers.
    #[cfg(feature = "planted-bugs")]
    Shard(chat_shard::PlantedBug),
    /// A bug of the rules between servers.
    #[cfg(feature = "planted-bugs")]
    Cluster(chat_cluster::PlantedBug),
    /// The log stores what a hook refuses.
    StoreRefused,
    /// The log stores a nonce twice.
    NoDedupe,
    /// The log applies changes to its messages some time after it has stored them.
    AppliedBeside,
    /// The log counts a reaction again that is there.
    DoubleReaction,
    /// The log stores an edit of a message of another user.
    EditByAnother,
    /// The log keeps the texts of edits that were replaced or deleted.
    OldEditText,
    /// The log does not remember the nonces of changes that stored nothing.
    ForgetAnswers,
    /// The author of a change becomes a member of the room.
    ChangeJoins,
    /// A client applies changes that the state of a message contains already.
    AppliedTwice,
    /// The log attaches a file to a second message.
    AttachTwice,
    /// The log attaches a file of another user.
    AttachForeign,
    /// The log refuses a repeated message, as its files are attached by then.
    FilesBeforeNonces,
    /// The log shows the files of messages that are deleted.
    ShowDeletedFiles,
    /// Files of deleted messages can be read on.
    ReadDeletedFiles,
    /// Every user can read a file of a closed room.
    ReadFilesOfOthers,
    /// Sweeps remove files of messages.
    SweepAttached,
    /// Sweeps leave the files of deleted messages.
    KeepDeletedFiles,
    /// The log forgets a file before its bytes are removed.
    ForgetFirst,
    /// The log claims to keep entries that it has dropped.
    NoFirst,
    /// No server reads the feed for what the bus between the servers has lost.
    NoPoll,
    /// Hubs of two servers have one id.
    HubIdTwice,
    /// A commit of a server that has crashed is not in the feed.
    OrphanNotPublished,
    /// The end of a session is told on the bus, and is not in the feed.
    RevokeOnBusOnly,
    /// A server that starts says that lanes may append on the timeline, and waits for nobody.
    OpenUnproven,
    /// The hubs are not stepped with the loss of another server's hubs.
    NoHubLost,
    /// A client that starts again has lost its outbox.
    ForgetOutbox,
    /// A client that starts again has lost the files of the messages in its outbox.
    ForgetFiles,
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

/// Plants a bug in a part of chat-cluster if it is one of the cluster.
#[cfg(feature = "planted-bugs")]
macro_rules! in_cluster {
    ($part:expr, $bug:expr) => {
        $part.with_bug(match $bug {
            Some($crate::planted::Bug::Cluster(bug)) => Some(bug),
            _ => None,
        })
    };
}
#[cfg(not(feature = "planted-bugs"))]
macro_rules! in_cluster {
    ($part:expr, $bug:expr) => {{
        let _ = $bug;
        $part
    }};
}
pub(crate) use in_cluster;

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

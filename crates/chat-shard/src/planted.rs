//! Bugs on purpose, which only the feature `planted-bugs` compiles in: the
//! simulator's oracle must catch each of them.

/// What a shard or the log's writer does wrong.
#[cfg(feature = "planted-bugs")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlantedBug {
    /// The log fails, and the writer acknowledges the drafts all the same.
    AckAFailure,
    /// Drafts behind a batch that failed are stored.
    StoreBehindAFailure,
    /// A shard counts a failure before it has handed over the drafts that its hub
    /// put out until then.
    CountFailuresFirst,
    /// An inbox that is full drops entries.
    DropWhenFull,
    /// An inbox gives its newest item first.
    StackForInbox,
    /// A shard answers that it has performed a turn before it has.
    AnswerBeforeTheEnd,
    /// A socket drops the frames that its client does not take at once.
    DropWhenSlow,
    /// A hub does not get to know that a session has ended.
    NoRevoked,
    /// Changes of rooms are published to one shard only.
    ChangeToOneShard,
    /// Changes of rooms are published before the entries that they follow.
    ChangeBeforeEntries,
    /// A change whose answer was lost is not repeated.
    NoRepeat,
    /// Of marks of a user in a topic the last one is stored, and not the highest.
    LastMarkWins,
}

/// The bug of a value, if it has one.
#[cfg(feature = "planted-bugs")]
pub(crate) type Planted = Option<PlantedBug>;
/// Nothing: the feature is off.
#[cfg(not(feature = "planted-bugs"))]
pub(crate) type Planted = ();

/// Whether a value has this bug; `false` without the feature.
#[cfg(feature = "planted-bugs")]
macro_rules! planted {
    ($planted:expr, $bug:ident) => {
        $planted == Some($crate::PlantedBug::$bug)
    };
}
#[cfg(not(feature = "planted-bugs"))]
macro_rules! planted {
    ($planted:expr, $bug:ident) => {{
        let () = $planted;
        false
    }};
}
pub(crate) use planted;

//! Bugs on purpose, which only the feature `planted-bugs` compiles in: the simulator's oracle and
//! the small worlds must catch them.

/// What a part of a cluster does wrong.
#[cfg(feature = "planted-bugs")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PlantedBug {
    /// Entries of a private conversation are not held back for those before them.
    HoldIgnored,
    /// A record behind a gap is taken as if nothing were missing.
    SeenJumpsGap,
    /// Receipts are given out before the entries that are held.
    ReceiptBeforeHold,
    /// What a lane of this server has stored is taken from the feed before the lane knows of it.
    OwnFromFeed,
    /// A server counts as lost as soon as it is silent on the bus.
    ExpireOnBusLoss,
    /// A delta that is older than the snapshot is applied.
    StaleDeltaAfterSnapshot,
    /// Snapshots are told to hubs without a comparison with what they know.
    SnapshotUncompared,
    /// After a failover, nobody looks for the newest commits.
    NewestNotLookedFor,
    /// A lane appends on a new timeline before the other servers have looked.
    NoBarrier,
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

/// A constructor that plants a bug in a value with a field `planted`.
macro_rules! can_be_planted {
    ($type:ty) => {
        impl $type {
            /// The same with a bug on purpose.
            #[cfg(feature = "planted-bugs")]
            #[must_use]
            pub fn with_bug(self, bug: Option<$crate::PlantedBug>) -> Self {
                Self { planted: bug, ..self }
            }
        }
    };
}
pub(crate) use can_be_planted;

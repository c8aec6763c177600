//! Bugs that only the feature `planted-bugs` compiles in: the simulator's oracle
//! must catch each of them.

/// A bug that a hub is to have.
#[cfg(feature = "planted-bugs")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlantedBug {
    /// An entry with a higher number is taken as the next.
    NoGapCheck,
    /// An entry that was delivered before is delivered again.
    NoDuplicateCheck,
    /// Entries that come while a room's first page is read are dropped, and the
    /// next one is delivered whatever its number is.
    ReadBeforeSubscribe,
    /// A client that has left a room still gets its entries.
    DeliverAfterLeave,
    /// A member who was removed from a closed room still gets its entries.
    DeliverAfterRemoval,
    /// Entries of closed rooms are delivered although a removal may not be known yet.
    RemovalsNotWaitedFor,
    /// Membership is checked when a client joins only: a room that is closed keeps the
    /// clients whose users are no members.
    CheckAtJoinOnly,
    /// A private message is shown to its author before it is stored.
    ShowBeforeCommit,
    /// A replaying client whose socket is full skips the rest.
    SkipWhenSlow,
    /// A private message is delivered to all clients.
    PrivateToAll,
    /// No client is ever paused.
    NoCredit,
    /// A read that failed is not tried again.
    NoReadRetry,
    /// A draft may stay unanswered for ever.
    NoDraftTimeout,
    /// A v2 send is acknowledged before it is stored.
    AckBeforeCommit,
    /// Sends after a failed one are stored before it.
    NoRefusing,
    /// A resume is answered as complete, whatever the log still has.
    ResumeUnchecked,
    /// A user's own messages are counted as new.
    OwnMessageCounted,
    /// A mark takes every number that a client says, also a lower one.
    MarkGoesBack,
    /// What a hook refuses is to be sent again.
    RetryRefusal,
    /// The other clients of a user are not sent how far the user has read.
    ReadNotShown,
    /// A client that has left a room is still sent who types there.
    TypingAfterLeave,
    /// Recent frames that show what was taken back are kept.
    StaleRecentFrame,
    /// An edit or a deletion of a message drops the recent frame of the message only, not
    /// those of earlier edits.
    OldEditText,
    /// A page that was read before something in it was taken back is used as it is.
    StalePage,
    /// A folded replay of messages as they were continues after the newest entry, also if
    /// that has changed them meanwhile.
    FoldToTheTop,
}

#[cfg(feature = "planted-bugs")]
impl super::Hub {
    /// Returns whether nothing more is to be done with the entry.
    pub(super) fn committed_with_bugs(&mut self, slot: super::rooms::RoomSlot, entry: &crate::Entry) -> bool {
        self.rooms.offer_with_bug(slot, entry, self.options.planted)
    }
}

/// Whether a hub is to have this bug; `false` without the feature.
#[cfg(feature = "planted-bugs")]
macro_rules! planted {
    ($hub:ident, $bug:ident) => {
        $hub.options.planted == Some($crate::PlantedBug::$bug)
    };
}
#[cfg(not(feature = "planted-bugs"))]
macro_rules! planted {
    ($hub:ident, $bug:ident) => {
        false
    };
}
pub(super) use planted;

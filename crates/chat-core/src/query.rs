//! What a hub reads from the log.

use crate::{Conversations, Page, PageFrom, PageLimits, Topic, Username};

/// A question to the log; each is answered by the [`Answer`] of the same name,
/// or by [`Answer::Failed`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// A part of a topic.
    Page {
        /// The room or conversation.
        topic: Topic,
        /// Where the page starts.
        from: PageFrom,
        /// How much it may hold.
        limits: PageLimits,
    },
    /// The private conversations of a user.
    Conversations {
        /// The user.
        user: Username,
        /// At most so many, the newest.
        limit: usize,
    },
}

/// The log's answer to a [`Query`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To [`Query::Page`].
    Page(Page),
    /// To [`Query::Conversations`].
    Conversations(Conversations),
    /// The log could not be read, whatever the query was.
    Failed,
}

/// Names a read within the hub that began it, until it is answered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ReadId(pub u64);

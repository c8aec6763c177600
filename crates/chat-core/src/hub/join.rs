//! How far a client has got with joining a room.

use super::reads::{HistoryPage, TopicPage};
use super::rooms::{Announced, RoomSlot};
use crate::frame::v2::{About, Resume};

/// A room that a client has joined or is about to.
#[derive(Debug)]
pub(super) struct JoinedRoom {
    pub(super) room: RoomSlot,
    pub(super) join: Join,
    /// Tells this join from earlier and later ones of the client.
    pub(super) number: u64,
}

/// How far a client has got with joining a room. `progress_ms` is when it last
/// got further, or could have but for its own socket: a join that makes none for
/// too long is given up.
#[derive(Debug)]
pub(super) enum Join {
    /// The store is asked whether the user may read the room. `question`: which of the
    /// client's questions it is. `is_refused`: a change that arrived meanwhile says no.
    /// `histories`: requests for history that wait for the answer, too.
    Asking {
        question: u64,
        origin: JoinOrigin,
        is_refused: bool,
        histories: Vec<WaitingHistory>,
        progress_ms: u64,
    },
    /// Nothing was sent: the hub does not know how far the room is, or the
    /// client's socket is full.
    Waiting { origin: JoinOrigin, progress_ms: u64 },
    /// The page after `since` is being read; it shows whether all that a v2
    /// client has missed is still stored.
    Checking { request: Box<JoinRequest>, since: u64, progress_ms: u64 },
    /// The client has been sent everything up to `cursor`. `reading`: the page
    /// after it is being read. `fold_end`: the last number of a replay of messages,
    /// which has not ended; every replay of a v1 client begins as one.
    Replaying { cursor: u64, reading: bool, kind: ReplayKind, fold_end: Option<u64>, progress_ms: u64 },
    /// The client gets entries as they are delivered.
    Live,
}

/// What made a client join.
#[derive(Debug)]
pub(super) enum JoinOrigin {
    /// A v1 connection was opened; it gets no answer.
    V1,
    /// A v2 client's `join`, which `joined` answers.
    V2(Box<JoinRequest>),
}

/// A v2 client's `join` that is not answered yet.
#[derive(Debug)]
pub(super) struct JoinRequest {
    pub(super) resume: Option<Resume>,
    /// How many of the newest entries, if it does not resume; `None`: the default.
    pub(super) limit: Option<usize>,
    /// The replay has messages only, of which `limit` is the number; the answer names the
    /// numbers that it covers, and its end is sent.
    pub(super) fold: bool,
    pub(super) about: About,
}

impl JoinRequest {
    /// How many of the newest entries, or messages, it is for.
    pub(super) fn limit_or(&self, default: usize) -> usize {
        self.limit.unwrap_or(default)
    }
}

/// A request for history that waits until its client may read the room.
#[derive(Debug)]
pub(super) struct WaitingHistory {
    pub(super) page: HistoryPage,
    pub(super) limit: usize,
    pub(super) about: About,
}

/// The kind of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReplayKind {
    /// For a v1 client, whose join notice follows the replay.
    V1,
    /// For a v2 client, which was sent `joined` before the replay.
    V2(Continuity),
}

/// Whether a number that a v2 client does not get would be a hole for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Continuity {
    /// It would: `joined` promised all entries after `since`, or the replay has
    /// begun.
    Required,
    /// It would not: `joined` had `recovered: false`, and no entry was sent yet.
    NotYet,
}

/// What `joined` promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recovery {
    /// All entries after `since` follow.
    Complete { since: u64 },
    /// The newest entries follow, and do not connect to what the client has.
    Newest,
}

impl Join {
    /// A join that begins now; `question`: the store is asked whether the user may.
    pub(super) fn new(origin: JoinOrigin, question: Option<u64>, now_ms: u64) -> Self {
        match question {
            Some(question) => {
                let histories = Vec::new();
                Self::Asking { question, origin, is_refused: false, histories, progress_ms: now_ms }
            }
            None => Self::Waiting { origin, progress_ms: now_ms },
        }
    }

    /// The user may not read the room any more, whatever the store answers later.
    pub(super) fn refuse(&mut self) {
        if let Self::Asking { is_refused, .. } = self {
            *is_refused = true;
        }
    }

    /// Whether this question to the store, whether the user may read the room, is open.
    pub(super) fn asks(&self, this: u64) -> bool {
        matches!(self, Self::Asking { question, .. } if *question == this)
    }

    /// Whether the store is asked whether the user may read the room.
    pub(super) fn is_asking(&self) -> bool {
        matches!(self, Self::Asking { .. })
    }

    /// Keeps a request for history until the store has answered. Returns it if the store
    /// is not asked.
    pub(super) fn defer(&mut self, history: WaitingHistory) -> Option<WaitingHistory> {
        match self {
            Self::Asking { histories, .. } => {
                histories.push(history);
                None
            }
            _ => Some(history),
        }
    }

    /// Takes the requests for history that wait for the store's answer.
    pub(super) fn take_histories(&mut self) -> Vec<WaitingHistory> {
        match self {
            Self::Asking { histories, .. } => std::mem::take(histories),
            _ => Vec::new(),
        }
    }

    /// The store says that the user may read the room, or not. Returns whether the join
    /// goes on; `false` also if the store was not asked.
    pub(super) fn end_asking(&mut self, is_allowed: bool) -> bool {
        match std::mem::replace(self, Self::Live) {
            Self::Asking { origin, is_refused, progress_ms, .. } if is_allowed && !is_refused => {
                *self = Self::Waiting { origin, progress_ms };
                true
            }
            other => {
                *self = other;
                false
            }
        }
    }

    pub(super) fn is_live(&self) -> bool {
        matches!(self, Self::Live)
    }

    /// The page that a replaying client needs next.
    pub(super) fn next_page(&self) -> Option<TopicPage> {
        match *self {
            Self::Replaying { cursor, fold_end: None, .. } => Some(TopicPage::After(cursor)),
            Self::Replaying { cursor, fold_end: Some(end), .. } => {
                Some(TopicPage::Messages { after: cursor, end })
            }
            Self::Asking { .. } | Self::Waiting { .. } | Self::Checking { .. } | Self::Live => None,
        }
    }

    /// A v1 client is announced when it is live, a v2 client with its `joined`.
    pub(super) fn announced(&self) -> Announced {
        match self {
            Self::Asking { .. } | Self::Waiting { .. } | Self::Checking { .. } => Announced::No,
            Self::Replaying { kind: ReplayKind::V1, .. } => Announced::No,
            Self::Replaying { kind: ReplayKind::V2(_), .. } | Self::Live => Announced::Yes,
        }
    }

    /// The v2 request that is not answered yet.
    pub(super) fn request(&self) -> Option<&JoinRequest> {
        match self {
            Self::Asking { origin: JoinOrigin::V2(request), .. }
            | Self::Waiting { origin: JoinOrigin::V2(request), .. }
            | Self::Checking { request, .. } => Some(request),
            Self::Asking { origin: JoinOrigin::V1, .. }
            | Self::Waiting { origin: JoinOrigin::V1, .. }
            | Self::Replaying { .. }
            | Self::Live => None,
        }
    }

    /// Takes what the answer to the v2 request would refer to.
    pub(super) fn take_about(&mut self) -> About {
        match self {
            Self::Asking { origin: JoinOrigin::V2(request), .. }
            | Self::Waiting { origin: JoinOrigin::V2(request), .. }
            | Self::Checking { request, .. } => std::mem::take(&mut request.about),
            Self::Asking { origin: JoinOrigin::V1, .. }
            | Self::Waiting { origin: JoinOrigin::V1, .. }
            | Self::Replaying { .. }
            | Self::Live => About::Nothing,
        }
    }

    /// When the join last got further; `None` if there is nothing to wait for.
    pub(super) fn progress_ms(&self) -> Option<u64> {
        match self {
            Self::Asking { progress_ms, .. }
            | Self::Waiting { progress_ms, .. }
            | Self::Checking { progress_ms, .. }
            | Self::Replaying { progress_ms, .. } => Some(*progress_ms),
            Self::Live => None,
        }
    }

    /// Starts the deadline anew: until now the client's own socket was in the way.
    pub(super) fn restart_deadline(&mut self, now_ms: u64) {
        match self {
            Self::Asking { progress_ms, .. }
            | Self::Waiting { progress_ms, .. }
            | Self::Checking { progress_ms, .. }
            | Self::Replaying { progress_ms, .. } => *progress_ms = now_ms,
            Self::Live => {}
        }
    }

    /// Changes a v2 client's `Waiting` to `Checking`.
    pub(super) fn check(&mut self, since: u64) {
        *self = match std::mem::replace(self, Self::Live) {
            Self::Waiting { origin: JoinOrigin::V2(request), progress_ms } => {
                Self::Checking { request, since, progress_ms }
            }
            other => other,
        };
    }

    /// This page was read, or could not be. Returns whether the client waited for it; a
    /// join that was being checked waits to be judged.
    pub(super) fn end_read(&mut self, page: TopicPage) -> bool {
        let is_next = self.next_page() == Some(page);
        match std::mem::replace(self, Self::Live) {
            Self::Checking { request, since, progress_ms } if page == TopicPage::After(since) => {
                *self = Self::Waiting { origin: JoinOrigin::V2(request), progress_ms };
                true
            }
            Self::Replaying { cursor, reading: true, kind, fold_end, progress_ms } if is_next => {
                *self = Self::Replaying { cursor, reading: false, kind, fold_end, progress_ms };
                true
            }
            other => {
                *self = other;
                false
            }
        }
    }

    /// Begins the replay of a v2 client that is sent `joined`. Returns what that
    /// answers.
    pub(super) fn begin_replay(
        &mut self,
        cursor: u64,
        continuity: Continuity,
        fold_end: Option<u64>,
        progress_ms: u64,
    ) -> About {
        let kind = ReplayKind::V2(continuity);
        match std::mem::replace(self, Self::Replaying { cursor, reading: false, kind, fold_end, progress_ms })
        {
            Self::Asking { origin: JoinOrigin::V2(request), .. }
            | Self::Waiting { origin: JoinOrigin::V2(request), .. }
            | Self::Checking { request, .. } => request.about,
            Self::Asking { origin: JoinOrigin::V1, .. }
            | Self::Waiting { origin: JoinOrigin::V1, .. }
            | Self::Replaying { .. }
            | Self::Live => About::Nothing,
        }
    }

    /// Ends a replay of messages that has reached its last number. Returns that number if a
    /// v2 client is to be sent it: all entries after it must come.
    pub(super) fn end_fold(&mut self) -> Option<u64> {
        match self {
            Self::Replaying { cursor, kind, fold_end, .. } if fold_end.is_some_and(|end| end <= *cursor) => {
                let end = fold_end.take();
                match kind {
                    ReplayKind::V1 => None,
                    ReplayKind::V2(continuity) => {
                        *continuity = Continuity::Required;
                        end
                    }
                }
            }
            _ => None,
        }
    }

    /// A replaying client was sent so many frames, up to an entry with this number.
    pub(super) fn advance(&mut self, to: u64, frames: u64, now_ms: u64) {
        if let Self::Replaying { cursor, kind, progress_ms, .. } = self
            && to > *cursor
        {
            (*cursor, *progress_ms) = (to, now_ms);
            if let ReplayKind::V2(continuity) = kind
                && frames > 0
            {
                *continuity = Continuity::Required;
            }
        }
    }
}

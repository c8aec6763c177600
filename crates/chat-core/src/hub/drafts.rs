//! The drafts that a hub waits for.

use std::collections::VecDeque;

use super::client::ClientRef;
use super::options::HubOptions;
use crate::{DraftId, MessageText, Nonce, RoomName, Topic};

/// The drafts without a receipt, in the order of their ids, which are dense:
/// answered ones leave a gap until the oldest is answered or timed out.
pub(super) struct Drafts {
    first: u64,
    open: VecDeque<Option<OpenDraft>>,
    unanswered: usize,
    bytes: usize,
    unanswered_max: usize,
    bytes_max: usize,
}

/// A draft without a receipt.
pub(super) struct OpenDraft {
    pub(super) author: ClientRef,
    pub(super) topic: Topic,
    pub(super) origin: DraftOrigin,
    /// What it counts for, see [`Body::bytes`](crate::Body::bytes).
    pub(super) bytes: usize,
    /// When it counts as failed, in milliseconds of the monotonic clock.
    pub(super) fails_at_ms: u64,
    /// See [`Draft::check`](crate::Draft::check).
    pub(super) check: bool,
    /// Whether it is a message, not a change of one.
    pub(super) is_message: bool,
}

/// What a draft's author needs when the receipt comes.
pub(super) enum DraftOrigin {
    /// Protocol v1: a private message to a name without an account is shown to
    /// its author in the room where they wrote it.
    V1 { room: RoomName, text: MessageText },
    /// Protocol v2: the receipt becomes an acknowledgement or an error.
    V2 {
        nonce: Nonce,
        /// See [`SendOrder::admit`](super::send_order::SendOrder::admit).
        position: u64,
    },
}

impl Drafts {
    pub(super) fn new(options: &HubOptions) -> Self {
        Self {
            first: 0,
            open: VecDeque::new(),
            unanswered: 0,
            bytes: 0,
            unanswered_max: options.hub_unanswered_max,
            bytes_max: options.hub_unanswered_bytes,
        }
    }

    pub(super) fn unanswered(&self) -> usize {
        self.unanswered
    }

    pub(super) fn add(&mut self, draft: OpenDraft) -> DraftId {
        self.unanswered += 1;
        self.bytes += draft.bytes;
        self.open.push_back(Some(draft));
        DraftId(self.first + self.open.len() as u64 - 1)
    }

    /// Takes a draft that is answered; `None` if it timed out before.
    pub(super) fn take(&mut self, id: DraftId) -> Option<OpenDraft> {
        let index = usize::try_from(id.0.checked_sub(self.first)?).ok()?;
        let draft = self.open.get_mut(index)?.take()?;
        self.unanswered -= 1;
        self.bytes -= draft.bytes;
        while let Some(None) = self.open.front() {
            self.open.pop_front();
            self.first += 1;
        }
        Some(draft)
    }

    /// The oldest draft, if it has waited for too long.
    pub(super) fn overdue(&self, now_ms: u64) -> Option<DraftId> {
        let oldest = self.open.front()?.as_ref()?;
        (oldest.fails_at_ms <= now_ms).then_some(DraftId(self.first))
    }

    /// Whether the hub may have one more.
    pub(super) fn has_credit(&self) -> bool {
        self.unanswered < self.unanswered_max
            && self.open.len() < ANSWERED_KEPT * self.unanswered_max
            && self.bytes < self.bytes_max
    }

    /// How many more the hub may have, if they are small.
    pub(super) fn free(&self) -> usize {
        self.unanswered_max.saturating_sub(self.unanswered)
    }
}

/// Answered drafts that may follow an unanswered one, for each that may be
/// unanswered.
const ANSWERED_KEPT: usize = 16;

//! What a shard does with its hub in a turn, as a plain value without sockets.

use chat_core::{Draft, Hub, Input, Now, Outputs};

use crate::inbox::Item;
use crate::planted::{Planted, planted};

/// A shard's hub, and what the turn that runs has put out.
///
/// It has no socket, clock or task: the server performs the outputs on sockets, and
/// the simulator on its model of them.
pub struct Turn {
    /// The hub. Inputs that no [`Item`] stands for are stepped by the shard.
    pub hub: Hub,
    /// The outputs of the turn that were not performed yet.
    pub out: Outputs,
    /// Drafts that the log has to store, in the order of their outputs.
    drafts: Vec<Draft>,
    /// Failures that this shard has processed, for each lane of the log.
    failures_seen: Vec<u64>,
    planted: Planted,
}

impl Turn {
    /// The first turn of a hub, with a log of so many lanes.
    pub fn new(hub: Hub, lanes: usize) -> Self {
        Self {
            hub,
            out: Outputs::default(),
            drafts: Vec::new(),
            failures_seen: vec![0; lanes],
            planted: Planted::default(),
        }
    }

    /// The same with a bug on purpose.
    #[cfg(feature = "planted-bugs")]
    #[must_use]
    pub fn with_bug(self, bug: Option<crate::PlantedBug>) -> Self {
        Self { planted: bug, ..self }
    }

    /// Steps the hub.
    pub fn step(&mut self, now: Now, input: Input<'_>) {
        self.hub.step(now, input, &mut self.out);
    }

    /// Whether the turn has to end before this item is taken: its outputs performed,
    /// and its drafts [handed over](Self::hand_over).
    ///
    /// A draft that the hub put out before it could know of a failure must not pass
    /// for one that it put out afterwards.
    pub fn ends_before<C>(&self, item: &Item<C>) -> bool {
        matches!(item, Item::Failure { .. }) && !planted!(self.planted, CountFailuresFirst)
    }

    /// Steps the hub with an item, and returns what does not concern the hub.
    pub fn take<C>(&mut self, item: Item<C>, now: Now) -> Option<C> {
        match item {
            Item::Commit { entries, receipts } => {
                self.step(now, Input::Commit { entries: &entries, receipts: &receipts });
            }
            Item::Failure { lane, receipts } => {
                self.failures_seen[lane] += 1;
                self.step(now, Input::Commit { entries: &[], receipts: &receipts });
            }
            Item::Missed(missed) => self.step(now, Input::Missed(&missed)),
            Item::Answer(id, answer) => self.step(now, Input::Answer { id, answer: &answer }),
            Item::Presence(change) => self.step(now, Input::Presence(&change)),
            Item::HubLost(hub) => self.step(now, Input::HubLost(hub)),
            Item::Trimmed(topics) => self.step(now, Input::Trimmed(&topics)),
            Item::Revoke(sessions) => {
                for session in sessions.iter() {
                    if !planted!(self.planted, NoRevoked) {
                        self.step(now, Input::Revoked { session });
                    }
                }
            }
            Item::Renew(session, good_until_ms) => {
                let good_for_ms = good_until_ms.saturating_sub(now.wall_ms);
                self.step(now, Input::Renewed { session: &session, good_for_ms });
            }
            Item::Drain => self.step(now, Input::Drain),
            Item::Other(other) => return Some(other),
        }
        None
    }

    /// Adds a draft of the hub to what the turn hands over.
    pub fn add_draft(&mut self, draft: Draft) {
        self.drafts.push(draft);
    }

    /// The drafts of the turn, and the failures that the shard had processed when the
    /// hub put them out, for each lane. `None` if there are no drafts.
    pub fn hand_over(&mut self) -> Option<(Vec<Draft>, &[u64])> {
        if self.drafts.is_empty() {
            return None;
        }
        Some((std::mem::take(&mut self.drafts), &self.failures_seen))
    }
}

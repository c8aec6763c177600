//! What a shard does with its hub in a turn, as a plain value without sockets.

use std::collections::VecDeque;

use chat_core::{ClientId, Draft, Hub, Input, Now, Output, Outputs, Write};

use crate::inbox::Item;
use crate::planted::{Planted, planted};

/// A shard's hub, and the turn that runs: what it has put out, and what is performed
/// next.
///
/// It has no socket, clock or task: the server performs the [`Action`]s on sockets, and
/// the simulator on its model of them. `A` is an answer that waits for the end of a turn.
pub struct Turn<A> {
    hub: Hub,
    /// The outputs of the turn that were not performed yet.
    out: Outputs,
    /// The hub's turn has ended, and its outputs are being performed.
    is_performing: bool,
    /// Clients that the hub has resumed since its turn ended.
    resumed: Vec<ClientId>,
    /// Clients whose held messages go on before the hub's turn ends again.
    releasing: VecDeque<ClientId>,
    /// Drafts that the log has to store, in the order of their outputs.
    drafts: Vec<Draft>,
    answers: VecDeque<A>,
    /// Failures that this shard has processed, for each lane of the log.
    failures_seen: Vec<u64>,
    planted: Planted,
}

/// What a shard has to do next at the end of a turn.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time, and never stored")]
pub enum Action<A> {
    /// Perform this output, which is no [`Output::Append`].
    Output(Output),
    /// Nothing: the hub has put out a draft, the last of [`Turn::drafts`].
    Drafted,
    /// Step the hub with the messages of a client that were held while it was paused.
    Release(ClientId),
    /// Hand these drafts over to the log's writer, with [`Turn::failures_seen`].
    HandOver(Vec<Draft>),
    /// Send this answer: everything that was put out before it is performed.
    Answer(A),
}

impl<A> Turn<A> {
    /// The first turn of a hub, with a log of so many lanes.
    pub fn new(hub: Hub, lanes: usize) -> Self {
        Self {
            hub,
            out: Outputs::default(),
            is_performing: false,
            resumed: Vec::new(),
            releasing: VecDeque::new(),
            drafts: Vec::new(),
            answers: VecDeque::new(),
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

    /// The hub.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Steps the hub.
    pub fn step(&mut self, now: Now, input: Input<'_>) {
        self.hub.step(now, input, &mut self.out);
    }

    /// Whether the turn has to end before this item is taken: all its
    /// [actions](Self::next_action) performed.
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
            Item::Changes(changes) => self.step(now, Input::Changes(&changes)),
            Item::Missed(missed) => self.step(now, Input::Missed(&missed)),
            Item::Answer(id, answer) => self.step(now, Input::Answer { id, answer: &answer }),
            Item::Presence(change) => self.step(now, Input::Presence(&change)),
            Item::Present(change) => self.step(now, Input::Present(&change)),
            Item::Mark(mark) => self.step(now, Input::Mark(&mark)),
            Item::Typing(change) => self.step(now, Input::Typing(&change)),
            Item::HubLost(hub) => self.step(now, Input::HubLost(hub)),
            Item::Withhold(withheld) => self.step(now, Input::Withhold(withheld)),
            Item::CloseAll => self.step(now, Input::CloseAll),
            Item::Trimmed(topics) => self.step(now, Input::Trimmed(&topics)),
            Item::Revoke(sessions) => {
                for session in sessions.iter() {
                    if !planted!(self.planted, NoRevoked) {
                        self.step(now, Input::Revoked { session });
                    }
                }
            }
            Item::EndUser(user) => self.step(now, Input::UserEnded { user: &user }),
            Item::Role(user, is_administrator) => {
                self.step(now, Input::RoleChanged { user: &user, is_administrator });
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

    /// Has an answer sent at the end of the turn.
    pub fn answer_at_end(&mut self, answer: A) {
        self.answers.push_back(answer);
    }

    /// What the shard has to do next to end the turn; `None` once it has ended. The hub
    /// may be stepped between two actions.
    ///
    /// The outputs come first, until there are no more: a client that is resumed goes on
    /// in the same turn. The drafts follow, and then the answers.
    pub fn next_action(&mut self) -> Option<Action<A>> {
        if planted!(self.planted, AnswerBeforeTheEnd)
            && let Some(answer) = self.answers.pop_front()
        {
            return Some(Action::Answer(answer));
        }
        loop {
            if let Some(client) = self.releasing.pop_front() {
                return Some(Action::Release(client));
            }
            if self.is_performing {
                match self.out.next() {
                    Some(Output::Append(draft)) => {
                        self.drafts.push(draft);
                        return Some(Action::Drafted);
                    }
                    Some(output) => {
                        if let Output::Resume(client) = output {
                            self.resumed.push(client);
                        }
                        return Some(Action::Output(output));
                    }
                    None => {
                        self.is_performing = false;
                        self.releasing.extend(self.resumed.drain(..));
                    }
                }
            } else {
                self.hub.end_turn(&mut self.out);
                if self.out.is_empty() {
                    break;
                }
                self.is_performing = true;
            }
        }
        if !self.drafts.is_empty() {
            return Some(Action::HandOver(std::mem::take(&mut self.drafts)));
        }
        self.answers.pop_front().map(Action::Answer)
    }

    /// The bytes that a write sends to each of its recipients.
    pub fn bytes(&self, write: &Write) -> &[u8] {
        self.out.bytes(write)
    }

    /// The clients that a write is sent to.
    pub fn recipients(&self, write: &Write) -> &[ClientId] {
        self.out.recipients(write)
    }

    /// Frames put out since the hub began, each counted once for each recipient.
    pub fn deliveries(&self) -> u64 {
        self.out.deliveries()
    }

    /// The drafts of the turn that were not handed over yet.
    pub fn drafts(&self) -> &[Draft] {
        &self.drafts
    }

    /// The failures that the shard had processed when the hub put out the drafts of the
    /// turn, for each lane.
    pub fn failures_seen(&self) -> &[u64] {
        &self.failures_seen
    }
}

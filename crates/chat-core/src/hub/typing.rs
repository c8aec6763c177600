//! Typing: the other clients of a room or conversation see that a user types. It is
//! never stored, and dropped wherever it would delay or displace anything else.
//!
//! A typing user is shown until their client sends `active: false`, sends a message to
//! that topic, leaves the room or closes; otherwise the receiving clients end it. The
//! frames are written last in a turn, behind everything else.

use hashbrown::HashMap;

use super::client::Client;
#[cfg(feature = "planted-bugs")]
use super::planted::planted;
use super::reads::{PagePurpose, QueryFrom};
use super::rooms::RoomSlot;
use super::users::UserSlot;
use super::{Hub, HubOptions};
use crate::frame::Version;
use crate::frame::v2::{About, ErrorCode, Place, Reply, TypingIn};
use crate::outputs::Outputs;
use crate::seed::Seed;
use crate::{ClientId, Output, Page, PageFrom, PageLimits, Pair, RoomName, Topic, TypingChange, Username};

/// The typing of a hub's users, and the changes to be sent in this turn.
pub(super) struct Typing {
    /// The current and recent episodes of each user, at most
    /// [`HubOptions::typing_topics_max`]. Those of a user whose clients are gone stay
    /// until they are old, so that a reconnect lifts no limit.
    by_user: HashMap<Username, Vec<Episode>, Seed>,
    /// The changes that clients are sent at the end of the turn.
    due: Vec<TypingChange>,
    /// See `PlantedBug::TypingAfterLeave`.
    #[cfg(feature = "planted-bugs")]
    left: Vec<(RoomSlot, ClientId)>,
}

/// One user's typing in one topic.
#[derive(Debug)]
struct Episode {
    topic: Topic,
    /// The client on which the user types.
    client: ClientId,
    /// When the client last sent `active: true`, in milliseconds.
    began_ms: u64,
    state: State,
    /// Whether the topic is a room, or a conversation that has entries.
    is_known: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The log is asked whether the conversation has entries.
    Checking,
    Shown,
    Ended,
}

/// The question to the log whether a conversation has entries.
#[derive(Debug)]
pub(super) struct TypingCheck {
    user: Username,
    topic: Topic,
}

impl Typing {
    pub(super) fn new(seed: Seed) -> Self {
        Self {
            by_user: HashMap::with_hasher(seed),
            due: Vec::new(),
            #[cfg(feature = "planted-bugs")]
            left: Vec::new(),
        }
    }

    /// Begins or continues an episode. Returns it, unless it was shown less than
    /// `typing_every_ms` ago, or the user types in too many topics.
    fn begin(
        &mut self,
        user: &Username,
        topic: &Topic,
        client: ClientId,
        options: &HubOptions,
        now_ms: u64,
    ) -> Option<&mut Episode> {
        let episodes = self.by_user.entry_ref(user).or_default();
        episodes.retain(|episode| !episode.is_old(options, now_ms));
        let index = episodes.iter().position(|episode| episode.topic == *topic);
        match index {
            Some(index) if episodes[index].began_ms + options.typing_every_ms > now_ms => return None,
            Some(index) => (episodes[index].client, episodes[index].began_ms) = (client, now_ms),
            None if episodes.len() >= options.typing_topics_max => return None,
            None => {
                let is_known = matches!(topic, Topic::Room(_));
                let (topic, began_ms) = (topic.clone(), now_ms);
                episodes.push(Episode { topic, client, began_ms, state: State::Ended, is_known });
            }
        }
        match index {
            Some(index) => episodes.get_mut(index),
            None => episodes.last_mut(),
        }
    }

    /// Ends the episodes of a user that `fits` selects. Returns the topics in which
    /// other clients were sent that the user types.
    fn end(
        &mut self,
        user: &Username,
        options: &HubOptions,
        now_ms: u64,
        fits: impl Fn(&Episode) -> bool,
    ) -> Vec<Topic> {
        let episodes = self.by_user.get_mut(user).map_or(&mut [][..], Vec::as_mut_slice);
        let ended = episodes.iter_mut().filter(|episode| fits(episode)).filter_map(|episode| {
            let is_shown = std::mem::replace(&mut episode.state, State::Ended) == State::Shown;
            (is_shown && episode.began_ms + options.typing_ends_ms > now_ms).then(|| episode.topic.clone())
        });
        ended.collect()
    }

    /// Removes episodes that are neither shown nor needed for a limit.
    pub(super) fn forget_old(&mut self, options: &HubOptions, now_ms: u64) {
        self.by_user.retain(|_, episodes| {
            episodes.retain(|episode| !episode.is_old(options, now_ms));
            !episodes.is_empty()
        });
    }
}

impl Episode {
    fn is_old(&self, options: &HubOptions, now_ms: u64) -> bool {
        self.began_ms + options.typing_ends_ms.max(options.typing_every_ms) <= now_ms
    }
}

impl Hub {
    /// A v2 client sent `typing`.
    pub(super) fn typing_request(
        &mut self,
        id: ClientId,
        target: Place,
        active: bool,
        about: &About,
        out: &mut Outputs,
    ) {
        let Some(user) = self.clients.get(id).map(Client::user) else { return };
        let user = self.users[user].name().clone();
        let topic = match target {
            Place::Room(room) => {
                let Some(is_waiting) = self.is_join_waiting(id, &room) else {
                    return self.refuse(id, ErrorCode::NotJoined, "join the room first", about, None);
                };
                if is_waiting || !self.is_typing_shown_in(&room) {
                    return;
                }
                Topic::Room(room)
            }
            Place::With(other) => match Username::known(&other) {
                Ok(other) if other != user => Topic::Pair(Pair::new(user.clone(), other)),
                // Oneself, or a name that no account can have.
                _ => return,
            },
        };
        if active {
            self.begin_typing(id, user, topic, out);
        } else {
            self.end_typing(&user, out, |episode| episode.topic == topic);
        }
    }

    fn begin_typing(&mut self, id: ClientId, user: Username, topic: Topic, out: &mut Outputs) {
        let has_entries = match &topic {
            Topic::Room(_) => true,
            Topic::Pair(pair) => self.conversations.delivered_up_to(pair).is_some_and(|seq| seq > 0),
        };
        let episode = self.typing.begin(&user, &topic, id, &self.options, self.now.mono_ms);
        let Some(episode) = episode else { return };
        episode.is_known |= has_entries;
        if episode.is_known {
            episode.state = State::Shown;
            self.note_typing(TypingChange { topic, user, active: true }, out);
        } else {
            episode.state = State::Checking;
            let check = TypingCheck { user, topic: topic.clone() };
            let limits = PageLimits { entries: 1, bytes: 1 };
            let from = QueryFrom::Entries(PageFrom::Latest);
            self.reads.page(PagePurpose::Typing(check), topic, from, limits, out);
        }
    }

    /// The log answered whether the conversation in which a user types has entries;
    /// `None` if it failed.
    pub(super) fn typing_checked(&mut self, check: &TypingCheck, page: Option<&Page>, out: &mut Outputs) {
        let episodes = self.typing.by_user.get_mut(&check.user);
        let Some(episode) = episodes.and_then(|episodes| {
            episodes
                .iter_mut()
                .find(|episode| episode.topic == check.topic && episode.state == State::Checking)
        }) else {
            return;
        };
        episode.is_known = page.is_some_and(|page| page.last > 0);
        episode.state = if episode.is_known { State::Shown } else { State::Ended };
        if episode.is_known {
            let TypingCheck { user, topic } = check;
            self.note_typing(TypingChange { topic: topic.clone(), user: user.clone(), active: true }, out);
        }
    }

    /// A user sends a message to a topic.
    pub(super) fn typist_sends(&mut self, user: UserSlot, topic: &Topic, out: &mut Outputs) {
        if !self.typing.by_user.is_empty() {
            let user = self.users[user].name().clone();
            self.end_typing(&user, out, |episode| episode.topic == *topic);
        }
    }

    /// A client of a user has left a room.
    pub(super) fn typist_left(&mut self, id: ClientId, slot: RoomSlot, user: &Username, out: &mut Outputs) {
        #[cfg(feature = "planted-bugs")]
        if planted!(self, TypingAfterLeave) {
            self.typing.left.push((slot, id));
        }
        if !self.typing.by_user.is_empty() {
            let topic = Topic::Room(self.rooms[slot].name().clone());
            self.end_typing(user, out, |episode| episode.client == id && episode.topic == topic);
        }
    }

    /// A client of a user is gone, and has left its rooms.
    pub(super) fn typist_gone(&mut self, id: ClientId, user: UserSlot, out: &mut Outputs) {
        #[cfg(feature = "planted-bugs")]
        self.typing.left.retain(|&(_, left)| left != id);
        if !self.typing.by_user.is_empty() {
            let user = self.users[user].name().clone();
            self.end_typing(&user, out, |episode| episode.client == id);
        }
    }

    fn end_typing(&mut self, user: &Username, out: &mut Outputs, fits: impl Fn(&Episode) -> bool) {
        for topic in self.typing.end(user, &self.options, self.now.mono_ms, fits) {
            self.note_typing(TypingChange { topic, user: user.clone(), active: false }, out);
        }
    }

    /// Notes a change for the clients of this hub, and emits it for other hubs.
    fn note_typing(&mut self, change: TypingChange, out: &mut Outputs) {
        if self.drain.has_begun() {
            return;
        }
        self.typing.due.push(change.clone());
        out.push(Output::Typing(change));
    }

    /// A user of another hub types, or no longer does.
    pub(super) fn remote_typing(&mut self, change: &TypingChange) {
        self.typing.due.push(change.clone());
    }

    /// Writes the changes of this turn, behind everything else.
    pub(super) fn show_typing(&mut self, out: &mut Outputs) {
        for change in std::mem::take(&mut self.typing.due) {
            let TypingChange { topic, user, active } = &change;
            let (recipients, what) = match topic {
                Topic::Room(room) => {
                    let Some(slot) = self.rooms.slot_of(room) else { continue };
                    if !self.is_typing_shown_in(room) {
                        continue;
                    }
                    let what = TypingIn::Room { room: room.as_str(), user: user.as_str() };
                    (self.readers_of(slot), what)
                }
                Topic::Pair(pair) => {
                    let recipients = self.users.clients_of(pair.other(user)).to_vec();
                    (recipients, TypingIn::Private { from: user.as_str() })
                }
            };
            let mut recipients = recipients;
            recipients.retain(|&id| self.takes_typing(id, user));
            if recipients.is_empty() {
                continue;
            }
            self.scratch.clear();
            let frame = Reply::Typing { what, active: *active };
            self.options.framing.append(&mut self.scratch, |out| frame.write(out));
            let bytes = out.store(&self.scratch);
            out.write(recipients, bytes, 0);
        }
    }

    /// The v2 clients that are live in a room.
    fn readers_of(&self, slot: RoomSlot) -> Vec<ClientId> {
        let live = self.rooms[slot].live(Version::V2);
        #[cfg(feature = "planted-bugs")]
        if planted!(self, TypingAfterLeave) {
            let left = self.typing.left.iter().filter(|(room, _)| *room == slot).map(|(_, id)| *id);
            return live.into_iter().chain(left).collect();
        }
        live
    }

    /// Whether a client is sent the typing of a user: it speaks v2, belongs to another
    /// user, and its socket has taken everything.
    fn takes_typing(&self, id: ClientId, user: &Username) -> bool {
        self.clients.get(id).is_some_and(|client| {
            client.version() == Version::V2
                && client.pending() == 0
                && !client.is_closed()
                && !client.is_being_greeted()
                && self.users[client.user()].name() != user
        })
    }

    /// Whether typing is shown in a room: not where too many users are online.
    fn is_typing_shown_in(&self, room: &RoomName) -> bool {
        self.presence.people_in(room, 0).0 <= self.options.typing_online_max
    }

    /// Whether a client's join of a room was not answered yet; `None` if it has not
    /// requested any.
    fn is_join_waiting(&mut self, id: ClientId, room: &RoomName) -> Option<bool> {
        let slot = self.rooms.slot_of(room)?;
        Some(self.clients.join_in(id, slot)?.request().is_some())
    }
}

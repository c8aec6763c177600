//! How far users have read, and what they are notified of.
//!
//! A mark takes effect here at once. At most once a second for each place it is handed to
//! the store, and the user's other clients are sent it with fresh counts; the newest mark
//! wins. The store has the last word on numbers: it clamps a mark to the end of its topic,
//! and never lowers one.

use std::collections::VecDeque;

use hashbrown::HashMap;

use super::Hub;
use super::client::ClientRef;
use super::planted::planted;
use super::reads::Retry;
use super::replies::{NO_ACCOUNT, RETRY_AFTER_S};
use super::users::UserSlot;
use crate::frame::v2::{About, ErrorCode, Place, PlaceRef, Reply};
use crate::outputs::Outputs;
use crate::seed::Seed;
use crate::{
    ClientId, Counts, Level, Output, Pair, ReadState, RoomAccess, RoomName, Topic, UserMark, Username,
};

/// The marks that the users of a hub have set lately.
pub(super) struct Marks {
    /// At most [`HubOptions::user_marks_max`](super::HubOptions::user_marks_max) of each
    /// user. Those of a user whose clients are gone stay until they are idle.
    by_user: HashMap<Username, Vec<Mark>, Seed>,
    /// The marks that are looked at again, with the time in milliseconds, in that order.
    due: VecDeque<(u64, Username, Topic)>,
}

/// The position and level of one user in one topic.
#[derive(Debug)]
struct Mark {
    topic: Topic,
    /// The user has read up to this number; 0 if no client has said so lately.
    read: u64,
    /// The client that said so: it is not told again. `None`: one of another server.
    read_by: Option<ClientRef>,
    level: Option<Level>,
    /// What the store was handed.
    kept_read: u64,
    kept_level: Option<Level>,
    /// The highest position that a client was shown.
    shown: u64,
    /// Up to where counts were asked for, to be shown to the user's other clients.
    counted: u64,
    is_being_counted: bool,
    /// When the mark was last looked at, in milliseconds: see [`Marks::begin`].
    looked_at_ms: Option<u64>,
    /// Whether it is among those to be looked at again.
    is_due: bool,
    /// When a client last set it, in milliseconds.
    used_ms: u64,
}

/// What a client says of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// Its user has read up to this number.
    Read(u64),
    /// Its user is to be notified of this.
    Level(Level),
}

/// What a client says of a place of which the hub does not know whether its user may set
/// marks there: the store is asked.
#[derive(Debug)]
pub(super) struct MarkCheck {
    pub(super) client: ClientRef,
    pub(super) topic: Topic,
    said: Said,
    about: About,
    /// The user's membership in the room has ended since the store was asked.
    pub(super) is_over: bool,
}

/// Counts that are read to be shown.
#[derive(Debug)]
pub(super) struct Counted {
    pub(super) user: Username,
    pub(super) topic: Topic,
    /// The user has read at least up to here.
    pub(super) read: u64,
    to: CountedFor,
    /// The membership that `read` belongs to has ended meanwhile.
    pub(super) is_over: bool,
}

/// The clients that are shown counts.
#[derive(Debug, Clone, Copy)]
enum CountedFor {
    /// All but the client that said how far the user has read.
    Others { read_by: Option<ClientRef> },
    /// One whose `hello` left them out.
    Client(ClientRef),
}

impl MarkCheck {
    pub(super) fn is_about(&self, room: &RoomName) -> bool {
        matches!(&self.topic, Topic::Room(topic) if topic == room)
    }
}

impl Marks {
    pub(super) fn new(seed: Seed) -> Self {
        Self { by_user: HashMap::with_hasher(seed), due: VecDeque::new() }
    }

    fn get(&self, user: &Username, topic: &Topic) -> Option<&Mark> {
        self.by_user.get(user)?.iter().find(|mark| mark.topic == *topic)
    }

    fn get_mut(&mut self, user: &Username, topic: &Topic) -> Option<&mut Mark> {
        self.by_user.get_mut(user)?.iter_mut().find(|mark| mark.topic == *topic)
    }

    /// The mark of a user in a topic that is set now. At the cap of marks the one that was
    /// set longest ago is removed; it is returned if the store must still be handed it.
    fn set(
        &mut self,
        user: &Username,
        topic: &Topic,
        max: usize,
        now_ms: u64,
    ) -> (&mut Mark, Option<UserMark>) {
        let marks = self.by_user.entry_ref(user).or_default();
        let mut removed = None;
        let index = match marks.iter().position(|mark| mark.topic == *topic) {
            Some(index) => index,
            None => {
                let is_full = marks.len() >= max.max(1);
                let oldest = marks.iter().enumerate().min_by_key(|(_, mark)| mark.used_ms);
                if let Some((oldest, _)) = oldest.filter(|_| is_full) {
                    removed = marks.swap_remove(oldest).take_unkept(user);
                }
                marks.push(Mark::new(topic.clone()));
                marks.len() - 1
            }
        };
        let mark = &mut marks[index];
        mark.used_ms = now_ms;
        (mark, removed)
    }

    /// Begins to look at a mark with news, unless that was done less than `every_ms` ago:
    /// then it is looked at again when that time is over.
    fn begin(&mut self, user: &Username, topic: &Topic, every_ms: u64, now_ms: u64) -> Option<&mut Mark> {
        let Self { by_user, due } = self;
        let mark = by_user.get_mut(user)?.iter_mut().find(|mark| mark.topic == *topic)?;
        if !mark.has_news() {
            return None;
        }
        match mark.looked_at_ms.map(|at_ms| at_ms + every_ms) {
            Some(next_ms) if next_ms > now_ms => {
                if !std::mem::replace(&mut mark.is_due, true) {
                    due.push_back((next_ms, user.clone(), topic.clone()));
                }
                None
            }
            _ => {
                mark.looked_at_ms = Some(now_ms);
                Some(mark)
            }
        }
    }

    /// When the next mark is to be looked at again, in milliseconds.
    pub(super) fn next_due_ms(&self) -> Option<u64> {
        self.due.front().map(|(at_ms, ..)| *at_ms)
    }

    /// The next mark that is to be looked at again by `until_ms`.
    fn next_due(&mut self, until_ms: u64) -> Option<(Username, Topic)> {
        let (_, user, topic) = self.due.pop_front_if(|(at_ms, ..)| *at_ms <= until_ms)?;
        if let Some(mark) = self.get_mut(&user, &topic) {
            mark.is_due = false;
        }
        Some((user, topic))
    }

    /// Forgets the mark of a user who may not set one there any more.
    pub(super) fn forget(&mut self, user: &Username, topic: &Topic) {
        if let Some(marks) = self.by_user.get_mut(user) {
            marks.retain(|mark| mark.topic != *topic);
        }
    }

    /// Forgets the marks that the store has kept for long: none was set for `idle_ms`.
    pub(super) fn forget_idle(&mut self, idle_ms: u64, now_ms: u64) {
        self.by_user.retain(|_, marks| {
            marks.retain(|mark| mark.is_due || mark.is_being_counted || mark.used_ms + idle_ms > now_ms);
            !marks.is_empty()
        });
    }
}

impl Mark {
    fn new(topic: Topic) -> Self {
        Self {
            topic,
            read: 0,
            read_by: None,
            level: None,
            kept_read: 0,
            kept_level: None,
            shown: 0,
            counted: 0,
            is_being_counted: false,
            looked_at_ms: None,
            is_due: false,
            used_ms: 0,
        }
    }

    /// Whether the store or the user's other clients do not have all of it.
    fn has_news(&self) -> bool {
        self.read > self.kept_read || self.level != self.kept_level || self.read > self.counted
    }

    /// What the store was not handed yet.
    fn take_unkept(&mut self, user: &Username) -> Option<UserMark> {
        let read = (self.read > self.kept_read).then_some(self.read);
        let level = self.level.filter(|_| self.level != self.kept_level);
        (self.kept_read, self.kept_level) = (self.read, self.level);
        let (user, topic) = (user.clone(), self.topic.clone());
        (read.is_some() || level.is_some()).then_some(UserMark { user, topic, read, level })
    }

    /// Notes the answer to the question for counts at `asked`: a mark beyond the end of
    /// the topic is clamped to it, but never below what a client was shown since. The store
    /// is then handed it again.
    fn end_count(&mut self, asked: u64, state: &ReadState) {
        self.is_being_counted = false;
        if self.read == asked && state.read < asked {
            self.read = state.read.max(self.shown);
            self.kept_read = self.kept_read.min(state.read);
            self.counted = self.counted.min(state.read);
        }
    }
}

impl Hub {
    /// A v2 client sent `read` or `level`.
    pub(super) fn mark_request(
        &mut self,
        id: ClientId,
        place: Place,
        said: Said,
        about: About,
        out: &mut Outputs,
    ) {
        let Some(client) = self.clients.get(id) else { return };
        let (client, user) = (client.reference(), client.user());
        let name = self.users[user].name().clone();
        let topic = match place {
            Place::Room(room) => Topic::Room(room),
            Place::With(other) => match Username::known(&other) {
                Ok(other) => Topic::Pair(Pair::new(name.clone(), other)),
                // No account can have that name.
                Err(_) => return self.refuse_pair_mark(id, said, &about),
            },
        };
        let may_set = match &topic {
            // The store knows of members that a migration has added since.
            Topic::Room(room) => self.is_member(user, room).filter(|is_member| *is_member),
            Topic::Pair(_) if self.marks.get(&name, &topic).is_some() => Some(true),
            Topic::Pair(pair) => {
                self.conversations.delivered_up_to(pair).is_some_and(|top| top > 0).then_some(true)
            }
        };
        match may_set {
            Some(true) => self.set_mark(Some(client), &name, &topic, said, out),
            Some(false) => self.refuse(id, ErrorCode::NotFound, NO_MEMBER, &about, None),
            None => {
                if let Some(client) = self.clients.get_mut(id) {
                    // Counted like a page of history: at the cap its frames wait.
                    client.begin_read();
                }
                self.reads.mark(MarkCheck { client, topic, said, about, is_over: false }, name, out);
            }
        }
    }

    /// The store was asked whether a user is a member of a room; `None`: it failed.
    pub(super) fn room_mark_checked(
        &mut self,
        check: MarkCheck,
        access: Option<&RoomAccess>,
        out: &mut Outputs,
    ) {
        if access.is_some() && check.is_over {
            // The user may be a member again.
            let Some(client) = self.clients.same(check.client) else { return };
            let user = client.user();
            let name = self.users[user].name().clone();
            return self.reads.mark(check, name, out);
        }
        let may_set = access.map(|access| access.role.is_some());
        let room = match &check.topic {
            Topic::Room(room) => self.rooms.slot_of(room),
            Topic::Pair(_) => None,
        };
        if let (Some(access), Some(slot), Some(client)) = (access, room, self.clients.same(check.client)) {
            let user = client.user();
            self.learn_membership(slot, user, access, check.is_over);
        }
        self.mark_checked(&check, may_set, out);
    }

    /// The store was asked whether a conversation has entries; `None`: it failed.
    pub(super) fn pair_mark_checked(
        &mut self,
        check: &MarkCheck,
        state: Option<&ReadState>,
        out: &mut Outputs,
    ) {
        let may_set = state.map(|state| state.top > 0);
        self.mark_checked(check, may_set, out);
    }

    fn mark_checked(&mut self, check: &MarkCheck, may_set: Option<bool>, out: &mut Outputs) {
        let MarkCheck { client, topic, said, about, .. } = check;
        let Some(found) = self.clients.same(*client) else { return };
        found.end_read();
        let user = found.user();
        let name = self.users[user].name().clone();
        match (may_set, topic) {
            (Some(true), _) => self.set_mark(Some(*client), &name, topic, *said, out),
            (Some(false), Topic::Room(_)) => {
                self.refuse(client.id, ErrorCode::NotFound, NO_MEMBER, about, None);
            }
            (Some(false), Topic::Pair(_)) => self.refuse_pair_mark(client.id, *said, about),
            (None, _) => {
                let message = "the store cannot be read at this moment";
                self.refuse(client.id, ErrorCode::Unavailable, message, about, Some(RETRY_AFTER_S));
            }
        }
        self.update_pause(client.id, out);
    }

    /// Answers a mark in a conversation that has no entries: nothing can be read in it.
    fn refuse_pair_mark(&mut self, id: ClientId, said: Said, about: &About) {
        match said {
            Said::Read(_) => {}
            Said::Level(_) => self.refuse(id, ErrorCode::NotFound, NO_ACCOUNT, about, None),
        }
    }

    /// A client has set a mark on another server, which hands it to the store.
    pub(super) fn remote_mark(&mut self, mark: &UserMark, out: &mut Outputs) {
        let UserMark { user, topic, read, level } = mark;
        if self.users.is_online(user) {
            for said in [read.map(Said::Read), level.map(Said::Level)].into_iter().flatten() {
                self.set_mark(None, user, topic, said, out);
            }
        }
    }

    /// A user has set a mark where the user may: by this client, or on another server.
    fn set_mark(
        &mut self,
        client: Option<ClientRef>,
        user: &Username,
        topic: &Topic,
        said: Said,
        out: &mut Outputs,
    ) {
        let (mark, removed) = self.marks.set(user, topic, self.options.user_marks_max, self.now.mono_ms);
        let is_new = match said {
            Said::Read(upto) if upto > mark.read || planted!(self, MarkGoesBack) => {
                (mark.read, mark.read_by) = (upto, client);
                if client.is_none() {
                    mark.kept_read = upto;
                }
                if planted!(self, MarkGoesBack) {
                    (mark.kept_read, mark.counted) = (0, 0);
                }
                true
            }
            Said::Read(_) => false,
            Said::Level(level) => {
                if client.is_none() {
                    mark.kept_level = Some(level);
                }
                mark.level.replace(level) != Some(level)
            }
        };
        if let Some(removed) = removed {
            out.push(Output::Keep(removed));
        }
        if !is_new {
            return;
        }
        if let Said::Level(level) = said {
            let frame = Reply::Level { of: place_of(topic, user), level };
            for id in self.greeted_clients_of(user) {
                if client.is_none_or(|client| client.id != id) {
                    self.reply(id, &frame);
                }
            }
        }
        self.look_at_mark(user, topic, out);
    }

    /// Hands a mark to the store and has counts read for the user's other clients, if that
    /// is due.
    fn look_at_mark(&mut self, user: &Username, topic: &Topic, out: &mut Outputs) {
        // A server that stops does not wait.
        let every_ms = if self.drain.has_begun() { 0 } else { self.options.mark_every_ms };
        let clients = self.greeted_clients_of(user);
        let top = self.top_of(topic);
        let now_ms = self.now.mono_ms;
        let Some(mark) = self.marks.begin(user, topic, every_ms, now_ms) else { return };
        if let Some(unkept) = mark.take_unkept(user) {
            out.push(Output::Keep(unkept));
        }
        if mark.read <= mark.counted {
            return;
        }
        let has_others = clients.iter().any(|&id| mark.read_by.is_none_or(|by| by.id != id));
        let may_be_beyond_end = top.is_none_or(|top| mark.read > top);
        if !has_others && !may_be_beyond_end {
            mark.counted = mark.read;
        } else if mark.is_being_counted {
            // The answer is older than this mark.
            self.marks.begin(user, topic, every_ms, now_ms);
        } else {
            (mark.counted, mark.is_being_counted) = (mark.read, true);
            let (read, to) = (mark.read, CountedFor::Others { read_by: mark.read_by });
            let counted = Counted { user: user.clone(), topic: topic.clone(), read, to, is_over: false };
            self.reads.counts(counted, out);
        }
    }

    /// The number of the last entry of a topic that was delivered here, if it is known.
    fn top_of(&self, topic: &Topic) -> Option<u64> {
        match topic {
            Topic::Room(room) => self.rooms.slot_of(room).and_then(|slot| self.rooms[slot].top()),
            Topic::Pair(pair) => self.conversations.delivered_up_to(pair),
        }
    }

    /// Looks at the marks again whose time has come.
    pub(super) fn tick_marks(&mut self, out: &mut Outputs) {
        let until_ms = if self.drain.has_begun() { u64::MAX } else { self.now.mono_ms };
        while let Some((user, topic)) = self.marks.next_due(until_ms) {
            self.look_at_mark(&user, &topic, out);
        }
    }

    // Counts.

    /// Counts were read; `None`: the store failed.
    pub(super) fn counts_read(&mut self, counted: Counted, state: Option<&ReadState>, out: &mut Outputs) {
        if counted.is_over {
            return match counted.to {
                CountedFor::Client(_) => self.retry_counts(counted, out),
                CountedFor::Others { .. } => {}
            };
        }
        let Counted { user, topic, read, to, .. } = &counted;
        let Some(state) = state else {
            let at_ms = self.now.mono_ms + self.options.read_retry_ms;
            return self.reads.retry_at(at_ms, Retry::Counts(counted));
        };
        let recipients = match to {
            CountedFor::Client(client) => self.clients.same(*client).map(|_| client.id).into_iter().collect(),
            CountedFor::Others { read_by } => {
                let mark = self.marks.get_mut(user, topic);
                // A client that has said a higher number since knows better.
                let newest_by = mark.and_then(|mark| {
                    mark.end_count(*read, state);
                    mark.read_by
                });
                let knows = |id| [*read_by, newest_by].iter().flatten().any(|by| by.id == id);
                let mut recipients = self.greeted_clients_of(user);
                recipients.retain(|&id| !knows(id));
                recipients
            }
        };
        // The user may have been removed from the room meanwhile.
        let is_gone = match (topic, self.users.slot_of(user)) {
            (Topic::Room(room), Some(user)) => self.is_member(user, room) == Some(false),
            _ => false,
        };
        if is_gone || planted!(self, ReadNotShown) {
            return self.look_at_mark(user, topic, out);
        }
        // The store may have answered long ago: a client has said, or was shown, a higher
        // number since.
        let top = self.top_of(topic).unwrap_or(0).max(state.top);
        let mark = self.marks.get_mut(user, topic).filter(|_| !planted!(self, MarkGoesBack));
        if let Some(mark) = mark {
            if mark.shown.max(mark.read.min(top)) > state.read {
                // The store is asked for no less than what was shown.
                mark.read = mark.read.max(mark.shown);
                return match to {
                    CountedFor::Client(_) => self.retry_counts(counted, out),
                    CountedFor::Others { .. } => {
                        // Asked again when the next counts of this place are due.
                        mark.counted = 0;
                        self.look_at_mark(user, topic, out);
                    }
                };
            }
            mark.shown = state.read;
        }
        let upto = if planted!(self, MarkGoesBack) { *read } else { state.read };
        let Counts { unread, mentions } = state.counts;
        let frame = Reply::Read { of: place_of(topic, user), upto, top: state.top, unread, mentions };
        for id in recipients {
            self.reply(id, &frame);
        }
        self.look_at_mark(user, topic, out);
    }

    /// Reads counts again after a failure.
    pub(super) fn retry_counts(&mut self, mut counted: Counted, out: &mut Outputs) {
        if let CountedFor::Client(client) = counted.to
            && self.clients.same(client).is_none()
        {
            return;
        }
        if std::mem::take(&mut counted.is_over) {
            if let CountedFor::Others { .. } = counted.to {
                return;
            }
            counted.read = 0;
        }
        if let Some(mark) = self.marks.get_mut(&counted.user, &counted.topic) {
            counted.read = counted.read.max(mark.read);
            if let CountedFor::Others { read_by } = &mut counted.to {
                *read_by = mark.read_by;
                mark.counted = mark.read;
            }
        }
        self.reads.counts(counted, out);
    }

    /// What a client's `hello` says of a place where the store knows this position: the
    /// number up to which the user has read, and the counts, unless the user has read
    /// further since. Then the counts [follow](Self::send_counts).
    pub(super) fn position_in<C>(
        &mut self,
        user: &Username,
        topic: &Topic,
        top: u64,
        stored: u64,
        counts: Option<C>,
    ) -> (u64, Option<C>) {
        let Some(mark) = self.marks.get_mut(user, topic) else { return (stored, counts) };
        let read = mark.read.min(top);
        mark.shown = mark.shown.max(read.max(stored));
        if read > stored { (read, None) } else { (stored, counts) }
    }

    /// The level of a user in a topic for which the store has this one.
    pub(super) fn level_in(&self, user: &Username, topic: &Topic, stored: Level) -> Level {
        self.marks.get(user, topic).and_then(|mark| mark.level).unwrap_or(stored)
    }

    /// Has the counts of a place read that a client's `hello` left out, to be sent as
    /// `read`.
    pub(super) fn send_counts(&mut self, client: ClientRef, topic: Topic, out: &mut Outputs) {
        let Some(found) = self.clients.same(client) else { return };
        let user = found.user();
        let user = self.users[user].name().clone();
        let read = self.marks.get(&user, &topic).map_or(0, |mark| mark.read);
        let to = CountedFor::Client(client);
        self.reads.counts(Counted { user, topic, read, to, is_over: false }, out);
    }

    /// The membership of a user in a room has ended, and with it how far the user has read:
    /// counts that are being read may be shown in a later membership.
    pub(super) fn forget_mark(&mut self, user: &Username, room: &RoomName) {
        let topic = Topic::Room(room.clone());
        self.marks.forget(user, &topic);
        self.reads.end_counts(user, &topic);
    }

    /// Whether a user is a member of a room; `None`: the hub does not know.
    fn is_member(&self, user: UserSlot, room: &RoomName) -> Option<bool> {
        let watcher = self.rooms.slot_of(room).and_then(|slot| self.rooms[slot].watcher(user));
        let user = &self.users[user];
        let knows_all = user.knows_memberships() && user.watched() < self.options.user_memberships_max;
        (watcher.is_some() || knows_all).then_some(watcher.is_some())
    }
}

/// A topic as the frames for a user name it.
fn place_of<'a>(topic: &'a Topic, user: &Username) -> PlaceRef<'a> {
    match topic {
        Topic::Room(room) => PlaceRef::Room(room.as_str()),
        Topic::Pair(pair) => PlaceRef::With(pair.other(user).as_str()),
    }
}

/// The message of an error about a room of which the user is no member.
const NO_MEMBER: &str = "you are no member of this room";

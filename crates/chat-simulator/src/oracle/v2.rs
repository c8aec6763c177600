//! The frames that a v2 connection may get, and must have got in the end.

use std::collections::{BTreeMap, BTreeSet};

use chat_core::{FILES_MAX, Pair, RoomName, Topic, Username};

use super::marks::Shown;
use super::pages::{Asked, PageRequest};
use super::{Check, Connection, Expected, Oracle, Speaks, ensure, in_pair};
use crate::rates::EPOCH;
use crate::wire::{Frame, Kind, Online, Request, number};

#[derive(Default)]
pub(crate) struct V2 {
    greeted: bool,
    /// It got `reconnect`: only the close may follow.
    dismissed: bool,
    /// Requests without an answer.
    pub(super) requests: Vec<OpenRequest>,
    /// The number of frames without `ref` and nonce, which must be refused.
    nameless: usize,
    /// The number of `typing` frames, each of which may be refused.
    typing: usize,
    /// `read` and `level` frames, each of which may be refused, by their `ref`.
    quiet: Vec<(String, Option<(Topic, u64)>)>,
    /// When it was greeted, in milliseconds.
    pub(super) greeted_ms: u64,
    /// The rooms of its user, as it was shown them: title, access, archived, role.
    listed: BTreeMap<RoomName, (String, String, bool, String)>,
    /// There are rooms that its `hello` left out.
    may_lack_rooms: bool,
    /// What it was shown of each place.
    pub(super) shown: BTreeMap<Topic, Shown>,
    /// The messages that it shows, each with the number of the last change that it was
    /// shown of it.
    pub(super) shows: BTreeMap<Topic, BTreeMap<u64, u64>>,
    pub(crate) stays: BTreeMap<RoomName, Stay>,
    /// The last number of each conversation.
    privates: BTreeMap<Pair, u64>,
    /// The `hello` had all conversations.
    knows_all: bool,
}

pub(super) struct OpenRequest {
    reference: Option<String>,
    pub(super) what: What,
    /// When the hub was stepped with it, in milliseconds.
    pub(super) at_ms: u64,
}

pub(super) enum What {
    Join { room: String, since: Option<u64>, limit: Option<u64>, fold: bool },
    Leave { room: String },
    History(PageRequest),
    Other,
}

/// A room that it has joined.
pub(crate) struct Stay {
    /// The number that must come next; before the first of an ordinary join,
    /// the least one that may.
    pub(crate) next: u64,
    /// The number at which its replay ends.
    replay_end: u64,
    is_exact: bool,
    /// It gets `replayed` before the first new entry.
    is_folded: bool,
    timestamp: u64,
    online: usize,
    members: BTreeSet<String>,
    /// There were never more users than `members` lists.
    has_names: bool,
}

impl V2 {
    /// Removes and returns the rooms that it has joined or asked to join.
    pub(super) fn leave_all(&mut self) -> Vec<RoomName> {
        let comes = self.requests.iter().filter_map(|request| match &request.what {
            What::Join { room, .. } => RoomName::parse(room).ok(),
            _ => None,
        });
        comes.chain(std::mem::take(&mut self.stays).into_keys()).collect()
    }

    /// It is not known any more up to where it has counted a room.
    pub(super) fn forget_counted(&mut self, room: &RoomName) {
        if let Some(shown) = self.shown.get_mut(&Topic::Room(room.clone())) {
            shown.counted = None;
        }
    }

    pub(super) fn rooms(&self) -> Vec<RoomName> {
        self.stays.keys().cloned().collect()
    }

    /// The number up to which it has everything of a topic, if that is known: what it has
    /// of a message lacks no change up to there.
    pub(super) fn position(&self, topic: &Topic) -> Option<u64> {
        match topic {
            Topic::Room(room) => {
                let stay = self.stays.get(room)?;
                Some(if stay.is_folded { stay.replay_end } else { stay.next - 1 })
            }
            Topic::Pair(pair) => self.privates.get(pair).copied().or(self.knows_all.then_some(0)),
        }
    }

    /// It is in a room no more.
    fn end_stay(&mut self, room: &RoomName) {
        self.stays.remove(room);
        self.shows.remove(&Topic::Room(room.clone()));
    }

    /// Removes the request that a frame answers, by its `ref`.
    pub(super) fn answered(
        &mut self,
        frame: &Frame,
        fits: impl Fn(&What) -> bool,
    ) -> Result<OpenRequest, String> {
        let position = self
            .requests
            .iter()
            .position(|request| request.reference == frame.reference && fits(&request.what));
        match position {
            Some(position) => Ok(self.requests.remove(position)),
            None => Err("it answers nothing that was asked".to_owned()),
        }
    }
}

impl Oracle {
    /// Notes that a hub is stepped with a frame of a v2 connection.
    pub(crate) fn handed_v2(&mut self, connection: usize, frame: &str, now_ms: u64) {
        let user = self.connections[connection].user.clone();
        let request: Option<Request> = serde_json::from_str(frame).ok();
        let Some(request) = request else {
            if let Some(v2) = self.v2_mut(connection) {
                v2.nameless += 1;
            }
            return;
        };
        let Request { kind, room, with, to, reference, nonce, since, before, after, .. } = request;
        if kind == "typing" {
            let topic = match (&room, &to) {
                (Some(room), _) => RoomName::parse(room).ok().map(Topic::Room),
                (None, Some(to)) => {
                    Username::known(to).ok().map(|to| Topic::Pair(Pair::new(user.clone(), to)))
                }
                (None, None) => None,
            };
            self.typists.extend(topic.map(|topic| (topic, user)));
            // Only an error answers it, and only if it has a `ref`: there is none.
            self.v2(connection).typing += 1;
            return;
        }
        if kind == "read" || kind == "level" {
            let topic = match (&room, &with) {
                (Some(room), _) => RoomName::parse(room).ok().map(Topic::Room),
                (None, Some(with)) => {
                    Username::known(with).ok().map(|with| Topic::Pair(Pair::new(user.clone(), with)))
                }
                (None, None) => None,
            };
            if let Some(topic) = &topic {
                if let Some(upto) = request.upto {
                    self.said(connection, topic, upto, now_ms);
                } else if let Some(level) = request.level {
                    self.levels.insert((user, topic.clone(), level));
                }
            }
            let upto = request.upto.unwrap_or(0);
            self.v2(connection).quiet.push((reference.unwrap_or_default(), topic.map(|topic| (topic, upto))));
            return;
        }
        let room = room.unwrap_or_default();
        let what = match kind.as_str() {
            "message" | "private" | "edit" | "delete" | "react" | "unreact" if nonce.is_some() => {
                let named = nonce.clone().and_then(|nonce| self.named.get(&(user, nonce)).copied());
                let number = named.or_else(|| request.text.as_deref().and_then(number));
                let number = number.filter(|&number| number < self.acts.len());
                match number {
                    Some(number) => self.hand(connection, number, nonce, now_ms),
                    // It has no number: it must be refused, by its nonce.
                    None => self.add_request(connection, nonce, What::Other, now_ms),
                }
                return;
            }
            "join" => {
                self.expect_notice_of(&room, &user, true);
                What::Join { room, since, limit: request.limit, fold: request.fold }
            }
            "leave" => {
                self.expect_notice_of(&room, &user, false);
                What::Leave { room }
            }
            "history" => {
                let of = match &with {
                    Some(with) => Username::known(with).ok().map(|with| Topic::Pair(Pair::new(user, with))),
                    None => RoomName::parse(&room).ok().map(Topic::Room),
                };
                let asked = match (before, after, request.around, request.seqs) {
                    (Some(before), ..) => Asked::Before(before),
                    (None, Some(after), ..) => Asked::After(after),
                    (None, None, Some(around), _) => Asked::Around(around),
                    (None, None, None, Some(numbers)) => Asked::Numbers(numbers),
                    (None, None, None, None) => Asked::Latest,
                };
                let position = of.as_ref().and_then(|of| self.v2(connection).position(of));
                let (limit, fold, name) = (request.limit, request.fold, with.unwrap_or(room));
                What::History(PageRequest { of, name, asked, limit, fold, position })
            }
            _ => What::Other,
        };
        if reference.is_none() && matches!(what, What::Other) {
            if let Some(v2) = self.v2_mut(connection) {
                v2.nameless += 1;
            }
        } else {
            self.add_request(connection, reference, what, now_ms);
        }
    }

    /// Allows a notice for a join or leave that a hub is stepped with.
    fn expect_notice_of(&mut self, room: &str, user: &Username, joined: bool) {
        if let Ok(room) = RoomName::parse(room) {
            self.expect_notice(&room, user, joined);
        }
    }

    fn add_request(&mut self, connection: usize, reference: Option<String>, what: What, at_ms: u64) {
        if let Some(v2) = self.v2_mut(connection) {
            v2.requests.push(OpenRequest { reference, what, at_ms });
        }
    }

    pub(super) fn v2(&mut self, connection: usize) -> &mut V2 {
        match &mut self.connections[connection].speaks {
            Speaks::V2(v2) => v2,
            Speaks::V1(_) => unreachable!("asked for v2 only"),
        }
    }

    pub(super) fn receive_v2(&mut self, connection: usize, frame: &Frame, now_ms: u64) -> Check {
        let v2 = self.v2(connection);
        ensure(v2.greeted != (frame.kind == Kind::Hello), || "hello comes first, and once".to_owned())?;
        ensure(!v2.dismissed, || "it got reconnect already".to_owned())?;
        match frame.kind {
            Kind::Hello => self.hello(connection, frame, now_ms),
            Kind::Joined => self.joined(connection, frame),
            Kind::Replayed => self.replayed(connection, frame),
            Kind::Read => self.read(connection, frame, now_ms),
            Kind::Activity => self.activity(connection, frame),
            Kind::Level => self.level(connection, frame),
            Kind::Room => self.room(connection, frame),
            Kind::Left => self.left(connection, frame),
            Kind::Message | Kind::Private | Kind::Edit | Kind::Delete | Kind::React | Kind::Unreact => {
                self.entry_v2(connection, frame)
            }
            Kind::Ack => self.ack(connection, frame),
            Kind::History => self.history(connection, frame),
            Kind::Presence => self.presence(connection, frame),
            Kind::Typing => self.typing(connection, frame),
            Kind::Error => self.error(connection, frame, now_ms),
            Kind::Reconnect => {
                v2.dismissed = true;
                self.count("reconnect");
                Ok(())
            }
            Kind::System => Err("v2 has no such frame".to_owned()),
        }
    }

    fn hello(&mut self, connection: usize, frame: &Frame, now_ms: u64) -> Check {
        self.count("hello");
        let user = self.connections[connection].user.clone();
        ensure(frame.user.as_deref() == Some(user.as_str()), || "it is another user".to_owned())?;
        ensure(frame.epoch.as_deref() == Some(EPOCH), || "of another epoch".to_owned())?;
        let mut privates = BTreeMap::new();
        for top in frame.privates.iter().flatten() {
            let with = Username::known(&top.with).map_err(|error| error.to_string())?;
            let pair = Pair::new(user.clone(), with);
            let last = self.last(&Topic::Pair(pair.clone()));
            ensure(top.seq <= last, || format!("{pair:?} has {last} only"))?;
            ensure(privates.insert(pair, top.seq).is_none(), || format!("{} twice", top.with))?;
        }
        let v2 = self.v2(connection);
        (v2.greeted, v2.privates, v2.greeted_ms) = (true, privates, now_ms);
        v2.knows_all = frame.has_more == Some(false);
        v2.may_lack_rooms = frame.has_more_rooms != Some(false);
        for listed in frame.rooms.iter().flatten() {
            let room = RoomName::parse(&listed.room).map_err(|error| error.to_string())?;
            let (title, access, role) = (&listed.title, &listed.access, &listed.role);
            v2.listed.insert(room, (title.clone(), access.clone(), listed.archived, role.clone()));
        }
        self.hello_marks(connection, frame, now_ms)
    }

    /// It shows that its user's membership, or the room, has changed.
    fn room(&mut self, connection: usize, frame: &Frame) -> Check {
        self.count("room");
        let room = RoomName::parse(frame.room.as_deref().unwrap_or_default());
        let room = room.map_err(|error| error.to_string())?;
        let listed = &mut self.v2(connection).listed;
        match (frame.member, &frame.title, &frame.access, &frame.role) {
            (Some(false), None, None, None) => {
                listed.remove(&room);
                // A `hello` before it may have promised counts of the membership that is over.
                let shown = self.v2(connection).shown.get_mut(&Topic::Room(room));
                shown.into_iter().for_each(Shown::forget_said);
            }
            (None, Some(title), Some(access), Some(role)) => {
                let archived = frame.archived.ok_or("without archived")?;
                listed.insert(room, (title.clone(), access.clone(), archived, role.clone()));
            }
            _ => return Err("no such room".to_owned()),
        }
        Ok(())
    }

    /// Its folded replay has ended.
    fn replayed(&mut self, connection: usize, frame: &Frame) -> Check {
        self.count("replayed");
        let room = RoomName::parse(frame.room.as_deref().unwrap_or_default());
        let topic = Topic::Room(room.map_err(|error| error.to_string())?);
        let Topic::Room(room) = &topic else { unreachable!("made above") };
        let stay = self.v2(connection).stays.get_mut(room).ok_or("it is not in that room")?;
        ensure(std::mem::take(&mut stay.is_folded), || "its replay is not folded, or has ended".to_owned())?;
        let (next, end) = (stay.next, stay.replay_end);
        stay.next = end + 1;
        stay.is_exact = true;
        ensure(frame.upto == Some(end), || format!("its replay ends with {end}"))?;
        let lacks = self.messages_in(&topic, next.max(self.first(&topic)), end).next();
        ensure(lacks.is_none(), || format!("number {lacks:?} is missing"))
    }

    fn joined(&mut self, connection: usize, frame: &Frame) -> Check {
        let room = frame.room.clone().unwrap_or_default();
        let replay = self.options.join_replay_entries as u64;
        let (members_max, page_max) = (self.options.members_max, self.options.history_max as u64);
        let v2 = self.v2(connection);
        let What::Join { since, limit, fold, .. } =
            v2.answered(frame, |what| matches!(what, What::Join { room: of, .. } if *of == room))?.what
        else {
            return Err("it answers no join".to_owned());
        };
        let name = RoomName::parse(&room).map_err(|error| error.to_string())?;
        ensure(!v2.stays.contains_key(&name), || "it is in there".to_owned())?;
        let topic = Topic::Room(name.clone());
        let (last, seq) = (self.last(&topic), frame.seq.ok_or("without seq")?);
        ensure(seq <= last, || format!("there are only {last}"))?;
        ensure(frame.epoch.as_deref() == Some(EPOCH), || "of another epoch".to_owned())?;
        let recovered = frame.recovered.ok_or("without recovered")?;
        let next = match (recovered, since) {
            (true, None) => return Err("it has nothing to recover".to_owned()),
            (true, Some(since)) => {
                ensure(since <= seq, || format!("it is at {since} already"))?;
                self.count("resumed");
                since + 1
            }
            (false, since) => {
                self.count(if since.is_some() { "resume refused" } else { "joined" });
                // A refused resume is answered like a join, with its limit.
                let limit = limit.map_or(replay, |limit| limit.min(page_max));
                match fold {
                    true => self.oldest_of(&topic, limit, seq),
                    false => seq.saturating_sub(limit) + 1,
                }
            }
        };
        let next = if fold {
            let from = frame.covers_from().ok_or("without from")?;
            // It begins with a message; older ones may be no longer kept.
            let kept = self.messages_in(&topic, next.max(self.first(&topic)), seq).next().unwrap_or(seq + 1);
            ensure((next..=kept).contains(&from), || format!("it covers {next} or {kept} on"))?;
            from
        } else {
            ensure(frame.covers_from().is_none(), || "it is not folded".to_owned())?;
            next
        };
        let members: BTreeSet<String> = frame.members.iter().flatten().cloned().collect();
        let Some(Online::Count(online)) = frame.online else { return Err("how many are there?".to_owned()) };
        ensure(members.len() == online.min(members_max), || format!("{} of {online}", members.len()))?;
        let user = self.connections[connection].user.clone();
        let is_draining = self.draining.contains(&self.connections[connection].hub);
        if self.may_read(&user, &name) {
            // The hub knows by the log's answer, too, that its user may read the room.
            self.told.remove(&(self.connections[connection].hub, name.clone(), user.clone()));
        }
        let is_among = members.contains(user.as_str()) || online > members_max || is_draining;
        ensure(is_among, || "without itself".to_owned())?;
        let stay = Stay {
            next,
            replay_end: seq,
            is_exact: recovered,
            is_folded: fold,
            timestamp: 0,
            online,
            members,
            has_names: online <= members_max,
        };
        self.v2(connection).shows.remove(&topic);
        self.v2(connection).stays.insert(name, stay);
        Ok(())
    }

    fn left(&mut self, connection: usize, frame: &Frame) -> Check {
        self.count("left");
        let room = frame.room.clone().unwrap_or_default();
        let name = RoomName::parse(&room).map_err(|error| error.to_string())?;
        let v2 = self.v2(connection);
        if let Some(reason) = &frame.reason {
            ensure(frame.reference.is_none(), || "it answers nothing".to_owned())?;
            let known = ["removed", "closed", "left"].contains(&reason.as_str());
            ensure(known, || "no such reason".to_owned())?;
            // A join that was refused has no stay.
            v2.end_stay(&name);
            self.removed.push((connection, name.clone()));
            let user = self.connections[connection].user.clone();
            self.count("removed");
            // The change may have been made some time ago.
            return ensure(self.was_forbidden(&user, &name, 0), || "its user may read the room".to_owned());
        }
        v2.answered(frame, |what| matches!(what, What::Leave { room: of } if *of == room))?;
        // A room that was left before it was joined has no stay. Its hub may have been further
        // than the client.
        v2.end_stay(&name);
        self.counts_from(connection, &name, None);
        Ok(())
    }

    /// A message, or a change of one.
    fn entry_v2(&mut self, connection: usize, frame: &Frame) -> Check {
        let seq = frame.seq.ok_or("without seq")?;
        let topic = match &frame.room {
            Some(room) => Topic::Room(RoomName::parse(room).map_err(|error| error.to_string())?),
            None => {
                let known = |name: &str| Username::known(name).map_err(|error| error.to_string());
                let from = known(frame.author().unwrap_or_default())?;
                Topic::Pair(Pair::new(from, known(frame.to.as_deref().unwrap_or_default())?))
            }
        };
        self.is_entry(&topic, seq, frame)?;
        match &topic {
            Topic::Room(name) => self.room_entry(connection, name, &topic, frame)?,
            Topic::Pair(pair) => self.private_entry(connection, pair, &topic, frame)?,
        }
        let hub = self.connections[connection].hub;
        self.has_reached(hub, &topic, seq);
        self.shows(connection, &topic, frame)
    }

    fn room_entry(&mut self, connection: usize, name: &RoomName, topic: &Topic, frame: &Frame) -> Check {
        self.count(match frame.kind {
            Kind::Message => "v2 message",
            _ => "v2 change",
        });
        let seq = frame.seq.unwrap_or(0);
        self.may_get_from_bus(connection, name, seq)?;
        let first = self.first(topic);
        let stay = self.v2(connection).stays.get(name).ok_or("it is not in that room")?;
        let Stay { next, replay_end, is_exact, is_folded, .. } = *stay;
        let is_in_fold = is_folded && seq <= replay_end;
        ensure(!is_folded || is_in_fold, || "its replay has not ended".to_owned())?;
        let is_message = frame.kind == Kind::Message;
        ensure(is_message || !is_in_fold, || "its replay is folded".to_owned())?;
        // The oldest entries may be no longer kept by the time that they are read.
        let is_next = match is_in_fold {
            true => seq >= next && self.messages_in(topic, next.max(first), seq - 1).next().is_none(),
            false => seq == next || (!is_exact && seq > next && seq <= first),
        };
        ensure(is_next, || format!("it is number {seq}, not {next}"))?;
        if is_in_fold {
            let sent_after = self.last_change(topic, seq, replay_end);
            ensure(frame.updated.unwrap_or(0) >= sent_after, || format!("it lacks its change {sent_after}"))?;
        }
        let stay = self.v2(connection).stays.get_mut(name).ok_or("it is not in that room")?;
        (stay.next, stay.is_exact) = (seq + 1, true);
        let timestamp = frame.timestamp.unwrap_or(0);
        ensure(stay.timestamp <= timestamp, || format!("it saw {} before", stay.timestamp))?;
        stay.timestamp = timestamp;
        let hub = self.connections[connection].hub;
        let shown = self.shown.entry((hub, name.clone())).or_insert(0);
        *shown = (*shown).max(seq);
        Ok(())
    }

    fn private_entry(&mut self, connection: usize, pair: &Pair, topic: &Topic, frame: &Frame) -> Check {
        self.count(match frame.kind {
            Kind::Private => "v2 private",
            _ => "v2 private change",
        });
        let user = self.connections[connection].user.clone();
        ensure(in_pair(pair, &user), || "the conversation of others".to_owned())?;
        let seq = frame.seq.unwrap_or(0);
        let first = self.first(topic);
        let v2 = self.v2(connection);
        let knows_all = v2.knows_all;
        let last = match v2.privates.get(pair) {
            Some(&last) => last,
            None if knows_all => 0,
            None => seq - 1,
        };
        ensure(seq == last + 1 || (seq > last && seq <= first), || {
            format!("it is number {seq}, and number {last} came before")
        })?;
        v2.privates.insert(pair.clone(), seq);
        Ok(())
    }

    /// Notes what a connection is shown of a message, by an entry in the order of its topic.
    fn shows(&mut self, connection: usize, topic: &Topic, frame: &Frame) -> Check {
        let seq = frame.seq.unwrap_or(0);
        let Some(target) = frame.target else {
            let updated = frame.updated.unwrap_or(0);
            let shows = self.v2(connection).shows.entry(topic.clone()).or_default();
            let shown = shows.entry(seq).or_insert(updated);
            *shown = (*shown).max(updated);
            return Ok(());
        };
        let shows = self.v2(connection).shows.get(topic);
        let Some(&updated) = shows.and_then(|shows| shows.get(&target)) else { return Ok(()) };
        if seq > updated {
            let next = self.next_change(topic, target, updated);
            ensure(next == Some(seq), || format!("it was not shown the change {next:?} of {target}"))?;
            let shows = self.v2(connection).shows.entry(topic.clone()).or_default();
            shows.insert(target, seq);
        }
        Ok(())
    }

    /// Checks that a connection that has everything of a topic shows each message as it is.
    fn shows_as_it_is(&self, v2: &V2, topic: &Topic) -> Check {
        let first = self.first(topic);
        for (seq, updated) in v2.shows.get(topic).into_iter().flatten().filter(|(seq, _)| **seq >= first) {
            let last = self.last_change(topic, *seq, u64::MAX);
            ensure(*updated == last, || {
                format!("shows {seq} of {topic:?} after its change {updated}, not {last}")
            })?;
        }
        Ok(())
    }

    fn ack(&mut self, connection: usize, frame: &Frame) -> Check {
        self.count(if frame.duplicate == Some(true) { "ack again" } else { "ack" });
        let nonce = frame.nonce.clone().unwrap_or_default();
        let Connection { user, sends, .. } = &mut self.connections[connection];
        let mut waiting = sends.iter_mut().filter(|send| !send.answered);
        let send = waiting.find(|send| send.nonce.as_deref() == Some(nonce.as_str()));
        send.ok_or("nothing with that nonce was sent")?.answered = true;
        let user = user.clone();
        let place = self.nonces.get(&(user.clone(), nonce));
        let (topic, seq) = place.ok_or("it is not stored")?;
        let is_right = match topic {
            Topic::Room(room) => frame.room.as_deref() == Some(room.as_str()) && frame.to.is_none(),
            Topic::Pair(pair) => {
                frame.to.as_deref() == Some(pair.other(&user).as_str()) && frame.room.is_none()
            }
        };
        ensure(is_right && frame.seq == Some(*seq), || format!("it is {topic:?} {seq}"))?;
        let entry = self.entry(topic, *seq).ok_or("it is not in the log")?;
        ensure(frame.timestamp == Some(entry.at_ms / 1000), || format!("the log has {entry:?}"))
    }

    fn presence(&mut self, connection: usize, frame: &Frame) -> Check {
        self.count("presence");
        let members_max = self.options.members_max;
        let name = RoomName::parse(frame.room.as_deref().unwrap_or_default());
        let v2 = self.v2(connection);
        let stay = name.ok().and_then(|name| v2.stays.get_mut(&name)).ok_or("it is not in that room")?;
        match (&frame.user, frame.online) {
            (None, Some(Online::Count(online))) => {
                (stay.online, stay.has_names) = (online, false);
                Ok(())
            }
            (Some(user), Some(Online::Is(online))) => {
                let changed =
                    if online { stay.members.insert(user.clone()) } else { stay.members.remove(user) };
                if online {
                    stay.online += 1;
                } else {
                    stay.online = stay.online.saturating_sub(1);
                }
                stay.has_names &= stay.online <= members_max;
                ensure(changed || !stay.has_names, || "that is known".to_owned())
            }
            _ => Err("no such presence".to_owned()),
        }
    }

    /// It is shown only to clients that are in the room and not behind, never to the
    /// user who types.
    fn typing(&mut self, connection: usize, frame: &Frame) -> Check {
        self.count("typing");
        let own = self.connections[connection].user.clone();
        let typist = frame.user.as_deref().or(frame.author()).unwrap_or_default();
        let typist = Username::known(typist).map_err(|error| error.to_string())?;
        ensure(typist != own, || "it is itself who types".to_owned())?;
        ensure(frame.active.is_some() && frame.seq.is_none(), || "not as it must be".to_owned())?;
        let topic = match &frame.room {
            Some(room) => {
                let name = RoomName::parse(room).map_err(|error| error.to_string())?;
                let first = self.first(&Topic::Room(name.clone()));
                let stay = self.v2(connection).stays.get(&name).ok_or("it is not in that room")?;
                let is_gone = !stay.is_exact && first > stay.replay_end;
                ensure(stay.next > stay.replay_end || is_gone, || "its replay has not ended".to_owned())?;
                Topic::Room(name)
            }
            None => {
                let topic = Topic::Pair(Pair::new(own, typist.clone()));
                ensure(self.last(&topic) > 0, || "they have never written to each other".to_owned())?;
                topic
            }
        };
        ensure(self.typists.contains(&(topic, typist)), || "nobody typed there".to_owned())
    }

    fn error(&mut self, connection: usize, frame: &Frame, now_ms: u64) -> Check {
        let code = frame.code.as_deref().unwrap_or_default();
        self.count(match code {
            "unavailable" => "error unavailable",
            "not_joined" => "error not_joined",
            _ => "error",
        });
        let Some(nonce) = &frame.nonce else {
            let v2 = self.v2(connection);
            if let Ok(request) = v2.answered(frame, |_| true) {
                if let What::Join { room, .. } = &request.what
                    && let Ok(room) = RoomName::parse(room)
                {
                    let is_in = v2.stays.contains_key(&room);
                    if !is_in {
                        self.counts_from(connection, &room, None);
                    }
                    let user = self.connections[connection].user.clone();
                    if code == "forbidden" {
                        self.count("join forbidden");
                        let was_forbidden = self.was_forbidden(&user, &room, request.at_ms);
                        return ensure(was_forbidden, || format!("{user} may read {room}"));
                    }
                }
                return Ok(());
            }
            if let Some(reference) = &frame.reference
                && let Some(position) = v2.quiet.iter().position(|(quiet, _)| quiet == reference)
            {
                let (_, topic) = v2.quiet.remove(position);
                ensure(code == "not_found" || code == "unavailable", || "it may set marks".to_owned())?;
                if let Some((topic, upto)) = topic {
                    self.unsaid(connection, &topic, upto);
                }
                return Ok(());
            }
            if frame.reference.is_none() && v2.typing > 0 && code == "not_joined" {
                v2.typing -= 1;
                return Ok(());
            }
            ensure(frame.reference.is_none() && v2.nameless > 0, || "it answers nothing".to_owned())?;
            v2.nameless -= 1;
            return Ok(());
        };
        let hub = self.connections[connection].hub;
        let sends = &mut self.connections[connection].sends;
        let index = sends.iter().position(|s| !s.answered && s.nonce.as_ref() == Some(nonce));
        let Some(index) = index else {
            let v2 = self.v2(connection);
            let position = v2.requests.iter().position(|request| request.reference.as_ref() == Some(nonce));
            v2.requests.remove(position.ok_or("nothing with that nonce was sent")?);
            return Ok(());
        };
        sends[index].answered = true;
        let number = sends[index].number;
        self.acts[number].refused = true;
        let is_of_log = ["not_found", "too_many"].contains(&code) || code == "forbidden";
        let is_change = self.acts[number].what.target().is_some();
        ensure(!is_change || !is_of_log || self.acts[number].refusals.contains(code), || {
            format!("the log has not refused number {number} so")
        })?;
        if is_change {
            self.count("change refused");
        }
        let act = &self.acts[number];
        if code == "bad_request" && !act.files.is_empty() {
            let is_bad = act.files.len() > FILES_MAX
                || (1..act.files.len()).any(|i| act.files[..i].contains(&act.files[i]));
            ensure(is_bad || act.refusals.contains(code), || {
                format!("the log has not refused number {number}")
            })?;
        }
        if code != "unavailable" {
            self.connections[connection].given_up.insert(nonce.clone());
        }
        if code == "unavailable" {
            // The hub refuses sends for a while after a failure, and a refused send looks
            // like one that failed: in a row of them, it cannot be seen when the time
            // ends that began with the first.
            let refusing_ms = self.options.refusing_ms;
            let row = &mut self.connections[connection].refusing;
            let first_ms = match *row {
                Some((first_ms, last_ms)) if last_ms + refusing_ms > now_ms => first_ms,
                _ => now_ms,
            };
            *row = Some((first_ms, now_ms));
            let since_ms = Some(first_ms);
            let is_stored = self.is_stored(number);
            let sends = &mut self.connections[connection].sends;
            sends[index].unavailable_ms = since_ms;
            let from = index + 1;
            // A later send may be stored only if this one is, too.
            let again = sends[from..].iter().position(|s| s.nonce.as_ref() == Some(nonce));
            let until = again.map_or(sends.len(), |again| from + again);
            let behind = sends[from..until].iter().find(|later| later.stored && later.number != number);
            if let Some(behind) = behind
                && !is_stored
                && !sends[index].has_no_recipient
                && self.acts[behind.number].stored.is_some()
            {
                let was_first = false;
                let later = behind.number;
                ensure(was_first, || format!("number {later} behind it is stored already"))?;
            }
        }
        // No draft will come for this send, unless it is with the log already.
        if let Some(handed) = self.handed.get_mut(&(hub, number)) {
            handed.retain(|send| *send != super::SendRef { connection, index });
        }
        Ok(())
    }

    pub(super) fn is_complete_v2(&self, connection: usize, v2: &V2, expected: Option<&Expected>) -> Check {
        ensure(v2.greeted, || "was never greeted".to_owned())?;
        ensure(v2.requests.is_empty() && v2.nameless == 0, || "waits for answers".to_owned())?;
        let Connection { user, sends, .. } = &self.connections[connection];
        if let Some(send) = sends.iter().find(|send| !send.answered) {
            return Err(format!("waits for the answer to number {}", send.number));
        }
        for (room, stay) in &v2.stays {
            let topic = Topic::Room(room.clone());
            let last = self.last(&topic);
            let is_gone = !stay.is_exact && self.first(&topic) > last;
            ensure(stay.next == last + 1 || is_gone, || {
                format!("waits for number {} of {last} in {room}", stay.next)
            })?;
            self.shows_as_it_is(v2, &topic)?;
            let Some(expected) = expected else { continue };
            let people = expected.people.get(room).ok_or("is in a room that nobody is in")?;
            ensure(stay.online == people.len(), || {
                format!("says that {} are in {room}, but there are {people:?}", stay.online)
            })?;
            let names: BTreeSet<String> = people.iter().map(ToString::to_string).collect();
            ensure(!stay.has_names || stay.members == names, || {
                format!("says that {:?} are in {room}, but there are {people:?}", stay.members)
            })?;
        }
        if let Some(expected) = expected.filter(|_| !v2.may_lack_rooms) {
            self.shows_its_rooms(user, v2, expected)?;
        }
        if let Some(expected) = expected {
            self.marks_are_complete(connection, v2, expected)?;
        }
        for pair in self.pairs_of(user) {
            let topic = Topic::Pair(pair.clone());
            let last = self.last(&topic);
            let got = match v2.privates.get(pair) {
                Some(&got) => got,
                None if v2.knows_all => 0,
                None => continue,
            };
            ensure(got == last || got + 1 < self.first(&topic), || {
                format!("has {got} of {last} private messages of {pair:?}")
            })?;
            if got == last {
                self.shows_as_it_is(v2, &topic)?;
            }
        }
        Ok(())
    }

    /// Checks, at the end, that a connection was shown the rooms of its user as they are.
    fn shows_its_rooms(&self, user: &Username, v2: &V2, expected: &Expected) -> Check {
        let rooms = self.memberships(user);
        for (&room, (role, info)) in &rooms {
            if expected.unknown.contains(&(room.clone(), user.clone())) {
                continue;
            }
            let (access, role) = (info.access.as_str().to_owned(), role.as_str().to_owned());
            let is = (info.title.clone(), access, info.archived, role);
            let shown = v2.listed.get(room);
            ensure(shown == Some(&is), || format!("was shown {shown:?} of {room}, which is {is:?}"))?;
        }
        let extra = v2.listed.keys().find(|room| !rooms.contains_key(room));
        ensure(extra.is_none(), || format!("was shown {extra:?}, whose member its user is not"))
    }
}

//! The frames that a v2 connection may get, and must have got in the end.

use std::collections::{BTreeMap, BTreeSet};

use chat_core::{Pair, RoomName, Topic, Username};

use super::marks::Shown;
use super::{Check, Connection, Expected, Oracle, Speaks, ensure, in_pair};
use crate::rates::EPOCH;
use crate::wire::{Frame, Kind, Online, Request, number};

#[derive(Default)]
pub(crate) struct V2 {
    greeted: bool,
    /// It got `reconnect`: only the close may follow.
    dismissed: bool,
    /// Requests without an answer.
    requests: Vec<OpenRequest>,
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
    pub(crate) stays: BTreeMap<RoomName, Stay>,
    /// The last number of each conversation.
    privates: BTreeMap<Pair, u64>,
    /// The `hello` had all conversations.
    knows_all: bool,
}

struct OpenRequest {
    reference: Option<String>,
    what: What,
    /// When the hub was stepped with it, in milliseconds.
    at_ms: u64,
}

enum What {
    Join { room: String, since: Option<u64>, limit: Option<u64>, fold: bool },
    Leave { room: String },
    History { of: Option<Topic>, name: String, before: Option<u64>, after: Option<u64>, fold: bool },
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

    /// Removes the request that a frame answers, by its `ref`.
    fn answered(&mut self, frame: &Frame, fits: impl Fn(&What) -> bool) -> Result<OpenRequest, String> {
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
            "message" | "private" if nonce.is_some() => {
                let number = request.text.as_deref().and_then(number).filter(|&n| n < self.messages.len());
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
                What::History { of, name: with.unwrap_or(room), before, after, fold: request.fold }
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

    fn v2(&mut self, connection: usize) -> &mut V2 {
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
            Kind::Read => self.read(connection, frame),
            Kind::Activity => self.activity(connection, frame),
            Kind::Level => self.level(connection, frame),
            Kind::Room => self.room(connection, frame),
            Kind::Left => self.left(connection, frame),
            Kind::Message => self.message_v2(connection, frame),
            Kind::Private => self.private_v2(connection, frame),
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
        self.hello_marks(connection, frame)
    }

    /// It shows that its user's membership, or the room, has changed.
    fn room(&mut self, connection: usize, frame: &Frame) -> Check {
        self.count("room");
        let room = RoomName::parse(frame.room.as_deref().unwrap_or_default());
        let room = room.map_err(|error| error.to_string())?;
        let listed = &mut self.v2(connection).listed;
        match (frame.member, &frame.title, &frame.access, &frame.role) {
            (Some(false), None, None, None) => drop(listed.remove(&room)),
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
        let first = self.first(&topic);
        let Topic::Room(room) = topic else { unreachable!("made above") };
        let stay = self.v2(connection).stays.get_mut(&room).ok_or("it is not in that room")?;
        ensure(std::mem::take(&mut stay.is_folded), || "its replay is not folded, or has ended".to_owned())?;
        let end = stay.replay_end;
        ensure(frame.upto == Some(end), || format!("its replay ends with {end}"))?;
        let is_gone = stay.next <= end && end < first;
        ensure(stay.next == end + 1 || is_gone, || format!("number {} is missing", stay.next))?;
        stay.next = end + 1;
        Ok(())
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
                seq.saturating_sub(limit.map_or(replay, |limit| limit.min(page_max))) + 1
            }
        };
        let covers = fold.then_some(next);
        ensure(frame.covers_from() == covers, || format!("it covers {covers:?}"))?;
        let members: BTreeSet<String> = frame.members.iter().flatten().cloned().collect();
        let Some(Online::Count(online)) = frame.online else { return Err("how many are there?".to_owned()) };
        ensure(members.len() == online.min(members_max), || format!("{} of {online}", members.len()))?;
        let user = self.connections[connection].user.clone();
        let is_draining = self.draining.contains(&self.connections[connection].hub);
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
            v2.stays.remove(&name);
            self.removed.push((connection, name.clone()));
            let user = self.connections[connection].user.clone();
            self.count("removed");
            // The change may have been made some time ago.
            return ensure(self.was_forbidden(&user, &name, 0), || "its user may read the room".to_owned());
        }
        v2.answered(frame, |what| matches!(what, What::Leave { room: of } if *of == room))?;
        // A room that was left before it was joined has no stay. Its hub may have been further
        // than the client.
        v2.stays.remove(&name);
        self.counts_from(connection, &name, None);
        Ok(())
    }

    fn message_v2(&mut self, connection: usize, frame: &Frame) -> Check {
        self.count("v2 message");
        let name = RoomName::parse(frame.room.as_deref().unwrap_or_default());
        let topic = Topic::Room(name.map_err(|error| error.to_string())?);
        let seq = frame.seq.ok_or("without seq")?;
        self.is_entry(&topic, seq, frame)?;
        let first = self.first(&topic);
        let Topic::Room(name) = topic else { unreachable!("made above") };
        self.may_get(&self.connections[connection].user, &name, seq)?;
        let v2 = self.v2(connection);
        let stay = v2.stays.get_mut(&name).ok_or("it is not in that room")?;
        ensure(!stay.is_folded || seq <= stay.replay_end, || "its replay has not ended".to_owned())?;
        if stay.is_exact {
            ensure(seq == stay.next, || format!("it is number {seq}, not {}", stay.next))?;
        } else {
            // Its first: one of the newest, unless those are no longer kept.
            let is_next = seq == stay.next || (seq > stay.next && seq <= first);
            ensure(is_next, || format!("it begins with {seq}, not with {}", stay.next))?;
        }
        (stay.next, stay.is_exact) = (seq + 1, true);
        let timestamp = frame.timestamp.unwrap_or(0);
        ensure(stay.timestamp <= timestamp, || format!("it saw {} before", stay.timestamp))?;
        stay.timestamp = timestamp;
        let hub = self.connections[connection].hub;
        let shown = self.shown.entry((hub, name)).or_insert(0);
        *shown = (*shown).max(seq);
        Ok(())
    }

    fn private_v2(&mut self, connection: usize, frame: &Frame) -> Check {
        self.count("v2 private");
        let user = self.connections[connection].user.clone();
        let known = |name: &Option<String>| {
            Username::known(name.as_deref().unwrap_or_default()).map_err(|error| error.to_string())
        };
        let from = Username::known(frame.author().unwrap_or_default()).map_err(|error| error.to_string())?;
        let pair = Pair::new(from, known(&frame.to)?);
        ensure(in_pair(&pair, &user), || "the conversation of others".to_owned())?;
        let topic = Topic::Pair(pair.clone());
        let seq = frame.seq.ok_or("without seq")?;
        self.is_entry(&topic, seq, frame)?;
        let first = self.first(&topic);
        let v2 = self.v2(connection);
        let knows_all = v2.knows_all;
        let last = match v2.privates.get(&pair) {
            Some(&last) => last,
            None if knows_all => 0,
            None => seq - 1,
        };
        ensure(seq == last + 1 || (seq > last && seq <= first), || {
            format!("it is number {seq}, and number {last} came before")
        })?;
        v2.privates.insert(pair, seq);
        Ok(())
    }

    /// Checks a frame against the log's entry.
    fn is_entry(&self, topic: &Topic, seq: u64, frame: &Frame) -> Check {
        let entry = self.entry(topic, seq).ok_or("it is not stored")?;
        let is_same = frame.text.as_deref() == Some(entry.body.text())
            && frame.author() == Some(entry.from.as_str())
            && frame.timestamp == Some(entry.at_ms / 1000)
            && frame.nonce.as_deref() == entry.nonce.as_ref().map(|nonce| nonce.as_str());
        let (names, all) = match entry.body.mentions() {
            Some(mentions) => (mentions.names.as_slice(), mentions.all),
            None => (&[][..], false),
        };
        let is_same = is_same
            && frame.mention_all == all
            && std::iter::zip(names, frame.mentioned()).all(|(one, other)| one.as_str() == other)
            && names.len() == frame.mentioned().len();
        ensure(is_same, || format!("the log has {entry:?}"))
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

    fn history(&mut self, connection: usize, frame: &Frame) -> Check {
        self.count("history");
        let name = frame.room.as_ref().or(frame.with.as_ref()).ok_or("of what?")?;
        let v2 = self.v2(connection);
        let what = v2.answered(frame, |what| matches!(what, What::History { name: of, .. } if of == name))?;
        let What::History { of, before, after, fold, .. } = what.what else {
            return Err("not asked for".to_owned());
        };
        let messages = frame.messages.as_deref().unwrap_or_default();
        let Some(topic) = of else {
            return ensure(messages.is_empty(), || "nobody has that name".to_owned());
        };
        if let Topic::Room(room) = &topic {
            // It may ask as soon as it has asked to come in.
            let comes = |request: &OpenRequest| matches!(&request.what, What::Join { room: of, .. } if of == room.as_str());
            let is_in = v2.stays.contains_key(room) || v2.requests.iter().any(comes);
            ensure(is_in, || "it is not in that room".to_owned())?;
        }
        ensure(frame.covers_from().is_some() == fold && frame.upto.is_some() == fold, || {
            "it covers what was not asked for".to_owned()
        })?;
        let mut last = None;
        for message in messages {
            let seq = message.seq.ok_or("without seq")?;
            if let Topic::Room(room) = &topic {
                self.may_get(&self.connections[connection].user, room, seq)?;
            }
            if let (Some(from), Some(upto)) = (frame.covers_from(), frame.upto) {
                ensure(from <= seq && seq <= upto, || format!("it covers {from} to {upto}"))?;
            }
            self.is_entry(&topic, seq, message)?;
            ensure(last.is_none_or(|last| seq == last + 1), || format!("{seq} comes after {last:?}"))?;
            last = Some(seq);
        }
        let seqs = (messages.first().and_then(|m| m.seq), last);
        if let ((Some(from), Some(to)), frame_first) = (seqs, frame.first.unwrap_or(0)) {
            ensure(from >= frame_first, || "older than the first".to_owned())?;
            ensure(before.is_none_or(|before| to < before), || "not before".to_owned())?;
            // The next one, unless it is no longer kept.
            let next = after.map_or(from, |after| (after + 1).max(frame_first));
            ensure(from == next, || format!("it begins with {from}, not {next}"))?;
        }
        Ok(())
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
        self.messages[number].refused = true;
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
            let sends = &mut self.connections[connection].sends;
            sends[index].unavailable_ms = since_ms;
            let from = index + 1;
            // A later send may be stored only if this one is, too.
            let again = sends[from..].iter().position(|s| s.nonce.as_ref() == Some(nonce));
            let until = again.map_or(sends.len(), |again| from + again);
            let behind = sends[from..until].iter().find(|later| later.stored && later.number != number);
            if let Some(behind) = behind
                && self.messages[number].stored.is_none()
                && !sends[index].has_no_recipient
                && self.messages[behind.number].stored.is_some()
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

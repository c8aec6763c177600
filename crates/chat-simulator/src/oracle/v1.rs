//! The frames that a v1 connection may get, and must have got in the end.

use std::collections::{BTreeMap, BTreeSet};

use chat_core::{Entry, Pair, RoomName, Topic, Username};

use super::{Check, Oracle, Speaks, ensure, in_pair};
use crate::wire::{Frame, Kind, NO_ACCOUNT};

pub(super) struct V1 {
    pub(super) room: RoomName,
    /// The number of the next message that it must get, after its first.
    next: Option<u64>,
    /// The least number that its first message may have: its hub was that far.
    earliest: u64,
    privates: BTreeMap<Pair, u64>,
    /// The private messages that it must get, and those that it got.
    owed: BTreeSet<usize>,
    got: BTreeSet<usize>,
    timestamp: u64,
    notices: BTreeMap<(String, bool), u64>,
}

impl V1 {
    pub(super) fn new(room: RoomName, earliest: u64) -> Self {
        Self {
            room,
            next: None,
            earliest,
            privates: BTreeMap::new(),
            owed: BTreeSet::new(),
            got: BTreeSet::new(),
            timestamp: 0,
            notices: BTreeMap::new(),
        }
    }

    /// Whether it has got anything of its room.
    pub(super) fn is_in(&self) -> bool {
        self.next.is_some() || !self.notices.is_empty()
    }
}

impl Oracle {
    /// Notes a private message that a connection must get if it stays.
    pub(crate) fn owe(&mut self, connection: usize, entry: &Entry) {
        if !entry.body.is_message() {
            return;
        }
        let act = self.act_of(&entry.from, entry.nonce.as_ref(), &entry.body);
        let (number, _) = act.expect("it was committed");
        if let Speaks::V1(v1) = &mut self.connections[connection].speaks {
            v1.owed.insert(number);
        }
    }

    pub(super) fn receive_v1(&mut self, connection: usize, frame: &Frame) -> Check {
        match frame.kind {
            Kind::Message => self.message_v1(connection, frame),
            Kind::Private => self.private_v1(connection, frame),
            Kind::System => self.notice(connection, frame),
            _ => Err("v1 has no such frame".to_owned()),
        }
    }

    fn v1(&mut self, connection: usize) -> &mut V1 {
        match &mut self.connections[connection].speaks {
            Speaks::V1(v1) => v1,
            Speaks::V2(_) => unreachable!("asked for v1 only"),
        }
    }

    fn message_v1(&mut self, connection: usize, frame: &Frame) -> Check {
        self.count("v1 message");
        let text = frame.text.as_deref().unwrap_or_default();
        let (_, act) = self.act_of_text(text)?;
        ensure(frame.author() == Some(act.user.as_str()), || format!("{} wrote it", act.user))?;
        let (topic, seq) = self.shown_by(text)?;
        self.has_files_v1(&topic, seq, text)?;
        let last = self.last(&topic);
        let replay = self.options.join_replay_entries as u64;
        let latest = self.oldest_of(&topic, replay, last);
        let next = match &self.connections[connection].speaks {
            Speaks::V1(v1) => v1.next,
            Speaks::V2(_) => None,
        };
        let skips = self.may_skip(&topic, next.unwrap_or(latest), seq);
        let hub = self.connections[connection].hub;
        if let Topic::Room(room) = &topic {
            self.may_get_from_bus(connection, room, seq)?;
        }
        let v1 = self.v1(connection);
        let is_here = matches!(&topic, Topic::Room(room) if *room == v1.room);
        ensure(is_here && frame.to.is_none(), || format!("it was for {topic:?}"))?;
        in_time(v1, frame)?;
        match v1.next {
            // v1 has no frame that says that an entry is no longer kept.
            Some(next) => ensure(seq >= next && skips, || format!("it is number {seq}, not {next}"))?,
            None => ensure(v1.earliest <= seq && skips, || {
                format!("it begins with {seq}, not with one of {}..={latest}", v1.earliest)
            })?,
        }
        v1.next = Some(seq + 1);
        let room = v1.room.clone();
        let shown = self.shown.entry((hub, room)).or_insert(0);
        *shown = (*shown).max(seq);
        self.has_reached(hub, &topic, seq);
        Ok(())
    }

    fn private_v1(&mut self, connection: usize, frame: &Frame) -> Check {
        self.count("v1 private");
        let text = frame.text.as_deref().unwrap_or_default();
        let (number, act) = self.act_of_text(text)?;
        let author = act.user.clone();
        let Topic::Pair(pair) = act.topic.clone() else { return Err("it was public".to_owned()) };
        let (seq, number) = match act.what.target() {
            None => (act.stored, number),
            // It is shown with its newest text.
            Some(_) => {
                let (topic, seq) = self.shown_by(text)?;
                let message = self.entry(&topic, seq).ok_or("?")?;
                let (number, _) = self.act_of(&message.from, message.nonce.as_ref(), &message.body)?;
                (Some(seq), number)
            }
        };
        let topic = Topic::Pair(pair.clone());
        let other = pair.other(&author).clone();
        ensure(frame.author() == Some(author.as_str()), || format!("{author} wrote it"))?;
        ensure(frame.to.as_deref() == Some(other.as_str()), || format!("it was for {other}"))?;
        let user = self.connections[connection].user.clone();
        let v1 = self.v1(connection);
        ensure(v1.got.insert(number), || "it got it before".to_owned())?;
        if other.as_str() == NO_ACCOUNT {
            return ensure(user == author, || "it was for nobody".to_owned());
        }
        ensure(in_pair(&pair, &user), || "the conversation of others".to_owned())?;
        let seq = seq.ok_or("it is not stored")?;
        self.has_files_v1(&topic, seq, text)?;
        let v1 = self.v1(connection);
        let Some(last) = v1.privates.insert(pair, seq) else { return Ok(()) };
        ensure(seq > last && self.may_skip(&topic, last + 1, seq), || {
            format!("it is number {seq}, and number {last} came before")
        })
    }

    /// Whether v1 may leave out the entries from one number to before another: changes,
    /// messages that are deleted, and those that are no longer kept.
    fn may_skip(&self, topic: &Topic, from: u64, to: u64) -> bool {
        let from = from.max(self.first(topic));
        (from..to).all(|seq| !self.is_message(topic, seq) || self.is_deleted(topic, seq))
    }

    fn notice(&mut self, connection: usize, frame: &Frame) -> Check {
        self.count("notice");
        let v1 = self.v1(connection);
        let room = v1.room.clone();
        ensure(frame.room.as_deref() == Some(room.as_str()), || "it is in another room".to_owned())?;
        in_time(v1, frame)?;
        let text = frame.text.as_deref().unwrap_or_default();
        let joined = text == format!("присоединился к комнате {room}");
        let left = text == format!("покинул комнату {room}");
        ensure(joined != left, || "no such notice".to_owned())?;
        let from = frame.author().unwrap_or_default().to_owned();
        let user = Username::known(&from).map_err(|error| error.to_string())?;
        let seen = v1.notices.entry((from, joined)).or_insert(0);
        *seen += 1;
        let seen = *seen;
        let happened = if joined { &self.came } else { &self.went };
        let happened = happened.get(&(room, user)).copied().unwrap_or(0);
        ensure(seen <= happened, || format!("notice number {seen} of {happened}"))
    }

    pub(super) fn is_complete_v1(&self, connection: usize, v1: &V1) -> Check {
        let topic = Topic::Room(v1.room.clone());
        let last = self.last(&topic);
        let is_empty = v1.next.is_none() && self.first(&topic) > last;
        let replay = self.options.join_replay_entries as u64;
        let next = v1.next.unwrap_or_else(|| self.oldest_of(&topic, replay, last));
        let is_behind = !self.may_skip(&topic, next, last + 1);
        let is_gone = next < self.first(&topic);
        ensure(is_empty || is_gone || !is_behind, || {
            format!("waits for number {next} of {last} in {}", v1.room)
        })?;
        let user = &self.connections[connection].user;
        let came = v1.notices.contains_key(&(user.to_string(), true));
        ensure(came, || "never saw its own notice".to_owned())?;
        let is_kept = |number: &&usize| {
            let act = &self.acts[**number];
            let is_there = |seq| seq >= self.first(&act.topic) && !self.is_deleted(&act.topic, seq);
            act.stored.is_some_and(is_there)
        };
        let lacks: Vec<_> = v1.owed.difference(&v1.got).filter(is_kept).collect();
        ensure(lacks.is_empty(), || format!("never got the private messages {lacks:?}"))
    }
}

/// Checks that the times in a client's room never run backwards.
fn in_time(v1: &mut V1, frame: &Frame) -> Check {
    let timestamp = frame.timestamp.unwrap_or(0);
    ensure(v1.timestamp <= timestamp, || format!("it saw {} before", v1.timestamp))?;
    v1.timestamp = timestamp;
    Ok(())
}

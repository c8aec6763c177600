//! What must be true at every step. It knows the log and what each client was
//! sent, and nothing of how a hub works.

use std::collections::{BTreeMap, BTreeSet};

use chat_core::{Entry, Pair, RoomName, Topic, Username};
use serde::Deserialize;

use crate::world::NOBODY;

/// Something is wrong, in a sentence.
pub(crate) type Check = Result<(), String>;

#[derive(Default)]
pub(crate) struct Oracle {
    /// Every text is unique: its number is its place here.
    sent: Vec<Sent>,
    /// The entries of each topic, as numbers of texts, from `seq` 1.
    logs: BTreeMap<Topic, Vec<usize>>,
    /// When the newest entry of each topic was stored.
    stored_ms: BTreeMap<Topic, u64>,
    pub(crate) clients: Vec<Received>,
    /// The newest message of a room that anybody got from a hub.
    shown: BTreeMap<(usize, RoomName), u64>,
    /// Connections that came into a room, and those that ended, of each user.
    came: BTreeMap<(RoomName, Username), u64>,
    went: BTreeMap<(RoomName, Username), u64>,
}

struct Sent {
    client: usize,
    topic: Topic,
    seq: Option<u64>,
}

/// A client as the oracle knows it.
pub(crate) struct Received {
    name: String,
    node: usize,
    user: Username,
    room: RoomName,
    replay: u64,
    /// The first message it got, and the next one it must get.
    next: Option<u64>,
    /// The least number that may be its first: its hub was that far.
    earliest: u64,
    privates: BTreeMap<Pair, u64>,
    /// Those private messages that it must have got, and those that it got.
    owed: BTreeSet<usize>,
    got: BTreeSet<usize>,
    timestamp: u64,
    notices: BTreeMap<(String, bool), u64>,
    closed: bool,
}

/// A frame from a hub.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line {
    #[serde(rename = "type")]
    kind: String,
    from: String,
    to: Option<String>,
    text: String,
    timestamp: u64,
    room: String,
}

impl Oracle {
    /// A new text of a client; its number.
    pub(crate) fn send(&mut self, client: usize, topic: Topic) -> usize {
        self.sent.push(Sent { client, topic, seq: None });
        self.sent.len() - 1
    }

    /// Who sent a text.
    pub(crate) fn author(&self, text: &str) -> Result<usize, String> {
        Ok(self.sent(text)?.1.client)
    }

    fn sent(&self, text: &str) -> Result<(usize, &Sent), String> {
        let number = number(text).ok_or_else(|| format!("nobody sent {text:?}"))?;
        let sent = self.sent.get(number).ok_or_else(|| format!("nobody sent {text:?}"))?;
        Ok((number, sent))
    }

    pub(crate) fn opened(&mut self, node: usize, user: &Username, room: &RoomName, replay: usize) -> usize {
        let replay = replay as u64;
        let shown = self.shown.get(&(node, room.clone())).copied().unwrap_or(0);
        *self.came.entry((room.clone(), user.clone())).or_insert(0) += 1;
        self.clients.push(Received {
            name: format!("client {} ({user} in {room} on hub {node})", self.clients.len()),
            node,
            user: user.clone(),
            room: room.clone(),
            replay,
            next: None,
            earliest: shown.saturating_sub(replay) + 1,
            privates: BTreeMap::new(),
            owed: BTreeSet::new(),
            got: BTreeSet::new(),
            timestamp: 0,
            notices: BTreeMap::new(),
            closed: false,
        });
        self.clients.len() - 1
    }

    /// A client was lost or said goodbye to: nothing may be sent to it from
    /// here on.
    pub(crate) fn closed(&mut self, client: usize) {
        let client = &mut self.clients[client];
        if !std::mem::replace(&mut client.closed, true) {
            *self.went.entry((client.room.clone(), client.user.clone())).or_insert(0) += 1;
        }
    }

    /// A hub starts anew.
    pub(crate) fn rebooted(&mut self, node: usize) {
        self.shown.retain(|(of, _), _| *of != node);
    }

    /// The log counts 1, 2, 3 …, stores nothing twice, and keeps the order of
    /// each author.
    pub(crate) fn committed(&mut self, entry: &Entry) -> Check {
        let (number, sent) = self.sent(entry.text.as_str())?;
        let (author, topic) = (sent.client, sent.topic.clone());
        ensure(sent.seq.is_none(), || format!("{entry:?} was stored before"))?;
        ensure(topic == entry.topic, || format!("{entry:?} was meant for {topic:?}"))?;
        let log = self.logs.entry(topic.clone()).or_default();
        ensure(entry.seq == log.len() as u64 + 1, || format!("{entry:?} comes after {} others", log.len()))?;
        // Numbers of texts rise, so the author's newest is enough to look at.
        let before = log.iter().rev().find(|&&other| self.sent[other].client == author);
        ensure(before.is_none_or(|&before| before < number), || format!("{entry:?} overtook another"))?;
        log.push(number);
        let stored_ms = self.stored_ms.entry(topic).or_insert(0);
        ensure(*stored_ms <= entry.at_ms, || format!("{entry:?} is older than the one before"))?;
        *stored_ms = entry.at_ms;
        self.sent[number].seq = Some(entry.seq);
        Ok(())
    }

    /// This client must get this private message, if it stays.
    pub(crate) fn owe(&mut self, client: usize, entry: &Entry) {
        let number = number(entry.text.as_str()).expect("it was committed");
        self.clients[client].owed.insert(number);
    }

    /// A frame is sent to a client.
    pub(crate) fn receive(&mut self, client: usize, line: &Line) -> Check {
        let received = &self.clients[client];
        let checked = if received.closed {
            Err("it was closed".to_owned())
        } else {
            match line.kind.as_str() {
                "message" => self.message(client, line),
                "private" => self.private(client, line),
                "system" => self.notice(client, line),
                kind => Err(format!("there is no {kind}")),
            }
        };
        checked.map_err(|why| format!("{} got {line:?}: {why}", self.clients[client].name))
    }

    fn message(&mut self, client: usize, line: &Line) -> Check {
        let (_, sent) = self.sent(&line.text)?;
        let author = &self.clients[sent.client].user;
        ensure(line.from == author.as_str(), || format!("{author} wrote it"))?;
        let seq = sent.seq.ok_or("it is not stored")?;
        let last = self.last(&sent.topic);
        let is_here = matches!(&sent.topic, Topic::Room(room) if *room == self.clients[client].room);
        ensure(is_here && line.to.is_none(), || format!("it was for {:?}", sent.topic))?;
        let received = &mut self.clients[client];
        in_time(received, line)?;
        match received.next {
            Some(next) => ensure(seq == next, || format!("it is number {seq}, not {next}"))?,
            None => {
                let latest = last.saturating_sub(received.replay) + 1;
                ensure(received.earliest <= seq && seq <= latest, || {
                    format!("it begins with {seq}, not with one of {}..={latest}", received.earliest)
                })?;
            }
        }
        received.next = Some(seq + 1);
        let shown = self.shown.entry((received.node, received.room.clone())).or_insert(0);
        *shown = (*shown).max(seq);
        Ok(())
    }

    fn private(&mut self, client: usize, line: &Line) -> Check {
        let (number, sent) = self.sent(&line.text)?;
        let author = &self.clients[sent.client];
        let (author, author_room) = (author.user.clone(), author.room.clone());
        let Topic::Pair(pair) = sent.topic.clone() else { return Err("it was public".to_owned()) };
        let seq = sent.seq;
        let other = pair.other(&author);
        ensure(line.from == author.as_str(), || format!("{author} wrote it"))?;
        ensure(line.to.as_deref() == Some(other.as_str()), || format!("it was for {other}"))?;
        ensure(line.room == author_room.as_str(), || format!("its author was in {author_room}"))?;
        let received = &mut self.clients[client];
        let user = &received.user;
        ensure(received.got.insert(number), || "it got it before".to_owned())?;
        if other.as_str() == NOBODY {
            return ensure(*user == author, || "it was for nobody".to_owned());
        }
        ensure(pair.low() == user || pair.high() == user, || "it is none of their business".to_owned())?;
        let seq = seq.ok_or("it is not stored")?;
        let last = received.privates.insert(pair, seq).unwrap_or(0);
        ensure(last < seq, || format!("it is number {seq}, and number {last} came before"))
    }

    fn notice(&mut self, client: usize, line: &Line) -> Check {
        let received = &mut self.clients[client];
        ensure(line.room == received.room.as_str(), || "it is in another room".to_owned())?;
        in_time(received, line)?;
        let joined = line.text == format!("присоединился к комнате {}", line.room);
        let left = line.text == format!("покинул комнату {}", line.room);
        ensure(joined != left, || "no such notice".to_owned())?;
        let seen = received.notices.entry((line.from.clone(), joined)).or_insert(0);
        *seen += 1;
        let happened = if joined { &self.came } else { &self.went };
        let user = Username::known(&line.from).map_err(|error| error.to_string())?;
        let happened = happened.get(&(received.room.clone(), user)).copied().unwrap_or(0);
        ensure(*seen <= happened, || format!("notice number {seen} of {happened}"))
    }

    /// After calm weather, a client has everything.
    pub(crate) fn is_complete(&self, client: usize) -> Check {
        let received = &self.clients[client];
        let name = &received.name;
        let last = self.last(&Topic::Room(received.room.clone()));
        let next = received.next.unwrap_or(1);
        ensure(next == last + 1, || format!("{name} waits for number {next} of {last}"))?;
        let came = received.notices.contains_key(&(received.user.to_string(), true));
        ensure(came, || format!("{name} never saw its own notice"))?;
        let lacks: Vec<_> = received.owed.difference(&received.got).collect();
        ensure(lacks.is_empty(), || format!("{name} never got the private messages {lacks:?}"))
    }

    fn last(&self, topic: &Topic) -> u64 {
        self.logs.get(topic).map_or(0, |log| log.len() as u64)
    }
}

pub(crate) fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// Times that a client sees in its room never run backwards.
fn in_time(received: &mut Received, line: &Line) -> Check {
    ensure(received.timestamp <= line.timestamp, || format!("it saw {} before", received.timestamp))?;
    received.timestamp = line.timestamp;
    Ok(())
}

/// A text is its number and some padding.
pub(crate) fn text(number: usize, padding: usize) -> String {
    format!("{number} {}.", "x".repeat(padding))
}

fn number(text: &str) -> Option<usize> {
    text.split(' ').next()?.parse().ok()
}

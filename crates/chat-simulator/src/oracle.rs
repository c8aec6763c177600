//! What must be true at every step. It knows the log and what goes over the
//! wire, and nothing of how a hub works.

mod v1;
mod v2;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chat_core::{Draft, Entry, HubOptions, Pair, RoomName, Topic, Username};

use self::v1::V1;
pub(crate) use self::v2::V2;
use crate::wire::{Frame, number};

/// Something is wrong, in a sentence.
pub(crate) type Check = Result<(), String>;

/// Everything that was promised so far.
pub(crate) struct Oracle {
    options: HubOptions,
    /// A hub may tell so much later than it knows.
    turn_ms: u64,
    /// Every text is unique: its number is its place here.
    said: Vec<Said>,
    /// The entries of each topic, from `seq` 1.
    logs: BTreeMap<Topic, Vec<Arc<Entry>>>,
    /// The oldest number that is still kept.
    kept: BTreeMap<Topic, u64>,
    /// Where each nonce is.
    nonces: BTreeMap<(Username, String), (Topic, u64)>,
    pub(crate) connections: Vec<Connection>,
    /// The newest message of a room that anybody got from a hub.
    shown: BTreeMap<(usize, RoomName), u64>,
    /// Connections that came into a room, and those that ended, of each user.
    came: BTreeMap<(RoomName, Username), u64>,
    went: BTreeMap<(RoomName, Username), u64>,
    /// The latest thing in each topic of each speaker.
    latest: BTreeMap<(Topic, usize), usize>,
    /// Sends that a hub has, and that it has not asked to store yet, by text.
    handed: BTreeMap<(usize, usize), Vec<SendRef>>,
    /// Hubs that let their people go: they no longer tell who comes.
    draining: BTreeSet<usize>,
    /// How often each kind of thing was seen: a promise about something that
    /// never happens is cheap.
    pub(crate) seen: BTreeMap<&'static str, u64>,
}

/// Something that somebody means to say, however often it is sent.
struct Said {
    user: Username,
    /// Of all that one says, the order is kept.
    speaker: usize,
    topic: Topic,
    nonce: Option<String>,
    stored: Option<u64>,
    /// It was answered with `error` at least once.
    refused: bool,
}

/// One time that it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SendRef {
    pub(crate) connection: usize,
    pub(crate) index: usize,
}

/// A connection as the oracle knows it.
pub(crate) struct Connection {
    pub(crate) name: String,
    pub(crate) hub: usize,
    pub(crate) user: Username,
    pub(crate) closed: bool,
    /// When its token is no longer good.
    pub(crate) expires_ms: Option<u64>,
    sends: Vec<Send>,
    /// When the first and the last `unavailable` of a row were told.
    refusing: Option<(u64, u64)>,
    /// The hub asked to store something behind this many of its sends.
    drafted: usize,
    /// What was refused for good: nobody sends that again.
    given_up: BTreeSet<String>,
    /// Drafts without a receipt, and since when.
    unanswered: Vec<(usize, u64)>,
    speaks: Speaks,
}

enum Speaks {
    V1(Box<V1>),
    V2(Box<V2>),
}

/// A message that a hub was handed.
struct Send {
    number: usize,
    nonce: Option<String>,
    at_ms: u64,
    answered: bool,
    /// It was answered with `unavailable`, and when.
    unavailable_ms: Option<u64>,
    /// Its draft was committed, or found to be.
    stored: bool,
    /// The log took it, and found that nobody has that name.
    has_no_recipient: bool,
}

impl Oracle {
    pub(crate) fn new(options: HubOptions, turn_ms: u64) -> Self {
        Self {
            options,
            turn_ms,
            said: Vec::new(),
            logs: BTreeMap::new(),
            kept: BTreeMap::new(),
            nonces: BTreeMap::new(),
            connections: Vec::new(),
            shown: BTreeMap::new(),
            came: BTreeMap::new(),
            went: BTreeMap::new(),
            latest: BTreeMap::new(),
            handed: BTreeMap::new(),
            draining: BTreeSet::new(),
            seen: BTreeMap::new(),
        }
    }

    /// A hub lets its people go.
    pub(crate) fn draining(&mut self, hub: usize) {
        self.draining.insert(hub);
    }

    /// Somebody means to say something; the number is for its text.
    pub(crate) fn say(&mut self, user: &Username, speaker: usize, topic: Topic) -> usize {
        let user = user.clone();
        self.said.push(Said { user, speaker, topic, nonce: None, stored: None, refused: false });
        self.said.len() - 1
    }

    pub(crate) fn opened_v1(&mut self, hub: usize, node: usize, user: &Username, room: &RoomName) -> usize {
        let replay = self.options.join_replay_entries as u64;
        let shown = self.shown.get(&(hub, room.clone())).copied().unwrap_or(0);
        *self.came.entry((room.clone(), user.clone())).or_insert(0) += 1;
        let speaks = Speaks::V1(Box::new(V1::new(room.clone(), shown.saturating_sub(replay) + 1)));
        let what = format!("{user} in {room} on hub {hub} of server {node}");
        self.opened(hub, user, speaks, &what)
    }

    pub(crate) fn opened_v2(&mut self, hub: usize, node: usize, user: &Username) -> usize {
        let what = format!("{user} on hub {hub} of server {node}");
        self.opened(hub, user, Speaks::V2(Box::default()), &what)
    }

    fn opened(&mut self, hub: usize, user: &Username, speaks: Speaks, what: &str) -> usize {
        let version = if matches!(speaks, Speaks::V1(_)) { "v1" } else { "v2" };
        self.connections.push(Connection {
            name: format!("connection {} ({version}, {what})", self.connections.len()),
            hub,
            user: user.clone(),
            closed: false,
            expires_ms: None,
            sends: Vec::new(),
            refusing: None,
            given_up: BTreeSet::new(),
            drafted: 0,
            unanswered: Vec::new(),
            speaks,
        });
        self.connections.len() - 1
    }

    /// A connection was lost or said goodbye to: nothing may be sent to it from
    /// here on.
    pub(crate) fn closed(&mut self, connection: usize) {
        let connection = &mut self.connections[connection];
        if !std::mem::replace(&mut connection.closed, true) {
            let user = connection.user.clone();
            let rooms: Vec<RoomName> = match &mut connection.speaks {
                Speaks::V1(v1) => vec![v1.room.clone()],
                Speaks::V2(v2) => v2.leave_all(),
            };
            for room in rooms {
                *self.went.entry((room, user.clone())).or_insert(0) += 1;
            }
        }
    }

    /// A hub starts anew.
    pub(crate) fn rebooted(&mut self, hub: usize) {
        self.shown.retain(|(of, _), _| *of != hub);
        self.handed.retain(|(of, _), _| *of != hub);
        self.draining.remove(&hub);
    }

    /// Hubs are told once more who is, or no longer, somewhere.
    pub(crate) fn told_again(&mut self, room: &RoomName, user: &Username, joined: bool) {
        let notices = if joined { &mut self.came } else { &mut self.went };
        *notices.entry((room.clone(), user.clone())).or_insert(0) += 1;
    }

    /// A hub is handed a message of a connection.
    pub(crate) fn handed_v1(&mut self, connection: usize, text: &str, now_ms: u64) {
        if let Some(number) = number(text).filter(|number| *number < self.said.len()) {
            self.hand(connection, number, None, now_ms);
        }
    }

    fn hand(&mut self, connection: usize, number: usize, nonce: Option<String>, now_ms: u64) {
        if self.said[number].nonce.is_none() {
            self.said[number].nonce.clone_from(&nonce);
        }
        let Connection { hub, sends, .. } = &mut self.connections[connection];
        let send = SendRef { connection, index: sends.len() };
        sends.push(Send {
            number,
            nonce,
            at_ms: now_ms,
            answered: false,
            unavailable_ms: None,
            stored: false,
            has_no_recipient: false,
        });
        self.handed.entry((*hub, number)).or_default().push(send);
    }

    /// A hub asks to store something: which send is that?
    pub(crate) fn drafted(&mut self, hub: usize, draft: &Draft, now_ms: u64) -> Result<SendRef, String> {
        let (number, said) = self.said(draft.body.text())?;
        ensure(said.user == draft.from, || format!("{} wrote {draft:?}", said.user))?;
        ensure(said.topic == draft.topic, || format!("{draft:?} was meant for {:?}", said.topic))?;
        // Each connection's drafts come in the order of its sends, less those
        // that were refused, perhaps in this turn.
        let connections = &self.connections;
        let handed = self.handed.get_mut(&(hub, number));
        let send = handed.and_then(|handed| {
            let fits = |send: &SendRef| connections[send.connection].drafted <= send.index;
            let is_open = |send: &SendRef| fits(send) && !connections[send.connection].closed;
            let position = handed.iter().position(is_open).or_else(|| handed.iter().position(fits))?;
            Some(handed.remove(position))
        });
        // One of several copies may have been answered in the place of another.
        let any_copy = || {
            let of_hub = connections.iter().enumerate().rev().filter(|(_, of)| of.hub == hub);
            of_hub.into_iter().find_map(|(connection, of)| {
                let index = of.sends.iter().rposition(|send| send.number == number)?;
                Some(SendRef { connection, index })
            })
        };
        let send = send.or_else(any_copy).ok_or_else(|| format!("hub {hub} was not handed {draft:?}"))?;
        let drafted = &mut self.connections[send.connection].drafted;
        *drafted = (*drafted).max(send.index + 1);
        let Connection { unanswered, name, .. } = &mut self.connections[send.connection];
        unanswered.push((send.index, now_ms));
        // The hub has given up what waits for too long.
        let timeout = self.options.append_timeout_ms;
        let waiting = unanswered.iter().filter(|(_, at_ms)| at_ms + timeout > now_ms + 10).count();
        let max = self.options.client_unanswered_max as usize;
        ensure(waiting <= max, || format!("{name} has {waiting} drafts, more than {max}"))?;
        Ok(send)
    }

    /// A hub hears what became of a draft.
    pub(crate) fn receipt(&mut self, send: SendRef) {
        self.connections[send.connection].unanswered.retain(|(index, _)| *index != send.index);
    }

    fn said(&self, text: &str) -> Result<(usize, &Said), String> {
        let number = number(text).ok_or_else(|| format!("nobody said {text:?}"))?;
        let said = self.said.get(number).ok_or_else(|| format!("nobody said {text:?}"))?;
        Ok((number, said))
    }

    /// The log counts 1, 2, 3 …, stores nothing twice, and keeps the order of
    /// each sender.
    pub(crate) fn committed(&mut self, entry: &Arc<Entry>) -> Check {
        let (number, said) = self.said(entry.body.text())?;
        ensure(said.user == entry.from, || format!("{entry:?} was written by {}", said.user))?;
        ensure(said.stored.is_none(), || format!("{entry:?} was stored before"))?;
        ensure(said.topic == entry.topic, || format!("{entry:?} was meant for {:?}", said.topic))?;
        let key = (entry.topic.clone(), said.speaker);
        let latest = self.latest.get(&key).copied();
        ensure(latest < Some(number) || said.refused, || format!("{entry:?} is behind what was said later"))?;
        self.latest.insert(key, latest.unwrap_or(0).max(number));
        let said = &self.said[number];
        if let Some(nonce) = said.nonce.clone() {
            let key = (entry.from.clone(), nonce);
            let place = (entry.topic.clone(), entry.seq);
            let before = self.nonces.insert(key, place);
            ensure(before.is_none(), || format!("{entry:?} has a nonce that is at {before:?} already"))?;
        }
        let log = self.logs.entry(entry.topic.clone()).or_default();
        ensure(entry.seq == log.len() as u64 + 1, || format!("{entry:?} comes after {} others", log.len()))?;
        ensure(log.last().is_none_or(|last| last.at_ms <= entry.at_ms), || {
            format!("{entry:?} is older than the one before")
        })?;
        log.push(Arc::clone(entry));
        self.said[number].stored = Some(entry.seq);
        Ok(())
    }

    /// What a send said is in the log: it is stored now, or it was already.
    pub(crate) fn stored(&mut self, send: SendRef, is_new: bool) -> Check {
        let connection = &self.connections[send.connection];
        if is_new {
            let this = &connection.sends[send.index];
            let same = |send: &Send| send.number == this.number;
            let first_sent = connection.sends.iter().position(same).unwrap_or(send.index);
            let is_v2 = matches!(connection.speaks, Speaks::V2(_));
            let topic = &self.said[this.number].topic;
            for (index, other) in connection.sends.iter().enumerate() {
                // v1 keeps the order of each room and conversation only.
                if !is_v2 && self.said[other.number].topic != *topic {
                    continue;
                }
                if index > send.index
                    && other.stored
                    && this.unavailable_ms.is_none()
                    && this.number != other.number
                {
                    return Err(format!(
                        "{}: number {} was sent before {}, but is stored behind it",
                        connection.name, this.number, other.number
                    ));
                }
                let Some(failed_ms) = other.unavailable_ms.filter(|_| index < first_sent) else { continue };
                let may_go_on_ms = (failed_ms + self.options.refusing_ms).saturating_sub(self.turn_ms);
                let was_sent_again = || {
                    let since = &connection.sends[index + 1..=send.index];
                    since.iter().any(|again| again.nonce == other.nonce)
                };
                let is_there = self.said[other.number].stored.is_some()
                    || other.has_no_recipient
                    || other.nonce.as_ref().is_some_and(|nonce| connection.given_up.contains(nonce));
                ensure(this.at_ms >= may_go_on_ms || is_there || was_sent_again(), || {
                    format!(
                        "{}: number {} is stored, but {} before it was unavailable and not sent again",
                        connection.name, this.number, other.number
                    )
                })?;
            }
        }
        self.connections[send.connection].sends[send.index].stored = true;
        Ok(())
    }

    /// There is nobody for what a send said.
    pub(crate) fn has_no_recipient(&mut self, send: SendRef) {
        self.connections[send.connection].sends[send.index].has_no_recipient = true;
    }

    /// The log forgets what is older than this.
    pub(crate) fn trimmed(&mut self, topic: &Topic, first: u64) {
        self.kept.insert(topic.clone(), first);
    }

    /// A frame is sent to a connection.
    pub(crate) fn receive(&mut self, connection: usize, frame: &Frame, now_ms: u64) -> Check {
        let to = &self.connections[connection];
        let is_late = to.expires_ms.is_some_and(|expires_ms| expires_ms + self.turn_ms < now_ms);
        let checked = if to.closed {
            Err("it was closed".to_owned())
        } else if is_late {
            Err("its token is no longer good".to_owned())
        } else {
            match &to.speaks {
                Speaks::V1(_) => self.receive_v1(connection, frame),
                Speaks::V2(_) => self.receive_v2(connection, frame, now_ms),
            }
        };
        checked.map_err(|why| {
            format!("{} got what it should not: {why}: {frame:?}", self.connections[connection].name)
        })
    }

    /// After calm weather, a connection has everything.
    pub(crate) fn is_complete(&self, connection: usize, expected: Option<&Expected>) -> Check {
        let Connection { name, speaks, .. } = &self.connections[connection];
        let checked = match speaks {
            Speaks::V1(v1) => self.is_complete_v1(connection, v1),
            Speaks::V2(v2) => self.is_complete_v2(connection, v2, expected),
        };
        checked.map_err(|why| format!("{name} {why}"))
    }

    /// The rooms that a v2 connection is in, as it was told.
    pub(crate) fn rooms_of(&self, connection: usize) -> Vec<RoomName> {
        match &self.connections[connection].speaks {
            Speaks::V1(v1) => vec![v1.room.clone()],
            Speaks::V2(v2) => v2.rooms(),
        }
    }

    pub(crate) fn v2_mut(&mut self, connection: usize) -> Option<&mut V2> {
        match &mut self.connections[connection].speaks {
            Speaks::V1(_) => None,
            Speaks::V2(v2) => Some(v2),
        }
    }

    pub(crate) fn last(&self, topic: &Topic) -> u64 {
        self.logs.get(topic).map_or(0, |log| log.len() as u64)
    }

    /// The oldest number that is kept.
    pub(crate) fn first(&self, topic: &Topic) -> u64 {
        self.kept.get(topic).copied().unwrap_or(1)
    }

    pub(crate) fn entry(&self, topic: &Topic, seq: u64) -> Option<&Arc<Entry>> {
        self.logs.get(topic)?.get(usize::try_from(seq.checked_sub(1)?).ok()?)
    }

    pub(crate) fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.logs.keys()
    }

    /// Whether something that was said is in the log.
    pub(crate) fn is_stored(&self, number: usize) -> bool {
        self.said[number].stored.is_some()
    }

    /// The private conversations of somebody in which something was said.
    pub(crate) fn pairs_of<'a>(&'a self, user: &'a Username) -> impl Iterator<Item = &'a Pair> {
        self.logs.keys().filter_map(move |topic| match topic {
            Topic::Pair(pair) if in_pair(pair, user) => Some(pair),
            _ => None,
        })
    }

    pub(crate) fn count(&mut self, what: &'static str) {
        *self.seen.entry(what).or_insert(0) += 1;
    }
}

/// Who should be where, once nothing happens any more.
#[derive(Default)]
pub(crate) struct Expected {
    pub(crate) people: BTreeMap<RoomName, BTreeSet<Username>>,
}

pub(crate) fn in_pair(pair: &Pair, user: &Username) -> bool {
    pair.low() == user || pair.high() == user
}

pub(crate) fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(otherwise()) }
}

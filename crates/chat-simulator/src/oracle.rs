//! The oracle: what must be true at every step. It knows the log and the frames on the
//! wire, and nothing of how a hub works.

mod files;
mod marks;
mod messages;
mod pages;
mod rooms;
mod rule;
mod taken_back;
mod v1;
mod v2;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chat_cluster::Point;
use chat_core::{Body, Draft, Entry, FileId, HubOptions, Nonce, Pair, RoomName, Topic, Username};

use self::files::Files;
use self::marks::Said;
use self::messages::TopicLog;
use self::rooms::Room;
pub(crate) use self::rule::{ADMINISTRATOR, Tops};
use self::taken_back::TakenBack;
use self::v1::V1;
pub(crate) use self::v2::V2;
use crate::hook::Hook;
use crate::wire::{Frame, linked, number};

/// The result of a check; an error says in a sentence what is wrong.
pub(crate) type Check = Result<(), String>;

/// Everything that the checks need to know of a run so far.
pub(crate) struct Oracle {
    options: HubOptions,
    /// What a hook of the servers refuses.
    hook: Hook,
    /// The longest duration of a turn: a hub's frames may be as late, in ms.
    turn_ms: u64,
    /// All messages of users, and changes of messages. Every text is unique and has its
    /// index here.
    acts: Vec<Act>,
    /// The index of each nonce there.
    named: BTreeMap<(Username, String), usize>,
    logs: BTreeMap<Topic, TopicLog>,
    /// The oldest number that is still kept.
    kept: BTreeMap<Topic, u64>,
    /// The entry for which each nonce stands.
    nonces: BTreeMap<(Username, String), (Topic, u64)>,
    pub(crate) connections: Vec<Connection>,
    /// The newest entry of each room that a client of each hub got.
    shown: BTreeMap<(usize, RoomName), u64>,
    /// What each hub knows to be edited away or deleted.
    taken_back: TakenBack,
    /// Who has ever typed where.
    typists: BTreeSet<(Topic, Username)>,
    /// How many connections of each user joined each room, and how many left it.
    came: BTreeMap<(RoomName, Username), u64>,
    went: BTreeMap<(RoomName, Username), u64>,
    /// The latest act that was stored, of each topic and author.
    latest: BTreeMap<(Topic, usize), usize>,
    /// Sends that a hub was handed and has put out no draft for, by hub and act.
    handed: BTreeMap<(usize, usize), Vec<SendRef>>,
    /// The rooms, as the committed changes make them.
    rooms: BTreeMap<RoomName, Room>,
    /// The hubs that have been told that a user may not read a room any more.
    told: BTreeSet<(usize, RoomName, Username)>,
    /// Connections that were just told so, with the room.
    removed: Vec<(usize, RoomName)>,
    /// How far users have read.
    marks: Said,
    files: Files,
    /// The levels that users have ever chosen.
    levels: BTreeSet<(Username, Topic, String)>,
    /// When each hub was cut off from the database, and until when, in milliseconds.
    cuts: BTreeMap<usize, Vec<(u64, u64)>>,
    /// The time of the frame that is checked.
    now_ms: u64,
    /// Hubs that drain: they no longer send presence.
    draining: BTreeSet<usize>,
    /// How often each kind of thing was seen: a check of something that never happens
    /// proves nothing.
    pub(crate) seen: BTreeMap<&'static str, u64>,
    /// A batch whose receipts a server gave out while its hubs had to read the entries.
    pub(crate) answered_unread: Option<Point>,
}

/// A message, or a change of one, of a user, however often it is sent.
struct Act {
    user: Username,
    /// The number of the sender whose acts keep their order.
    author: usize,
    topic: Topic,
    what: What,
    /// The message that it changes, where that had no number yet.
    of: Option<usize>,
    /// The files that a message attaches.
    files: Vec<FileId>,
    /// It has no text where it could have one.
    is_blank: bool,
    nonce: Option<String>,
    stored: Option<u64>,
    /// One of its sends was answered with `error`.
    refused: bool,
    /// Another connection of its user sends it once more: it has no order.
    is_repeated: bool,
    /// How the log has refused it.
    refusals: BTreeSet<&'static str>,
}

/// What a user does in a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Message { reply_to: Option<u64> },
    Edit { target: u64 },
    Delete { target: u64 },
    React { target: u64, emoji: &'static str },
    Unreact { target: u64, emoji: &'static str },
}

impl What {
    /// The message that it changes.
    pub(crate) fn target(self) -> Option<u64> {
        match self {
            Self::Message { .. } => None,
            Self::Edit { target }
            | Self::Delete { target }
            | Self::React { target, .. }
            | Self::Unreact { target, .. } => Some(target),
        }
    }

    fn with_target(self, target: u64) -> Self {
        match self {
            Self::Message { .. } => self,
            Self::Edit { .. } => Self::Edit { target },
            Self::Delete { .. } => Self::Delete { target },
            Self::React { emoji, .. } => Self::React { target, emoji },
            Self::Unreact { emoji, .. } => Self::Unreact { target, emoji },
        }
    }

    /// Whether a draft or an entry is that, with the text of this number. An entry answers
    /// the message that was wanted, or none.
    fn is(self, number: usize, is_blank: bool, body: &Body) -> bool {
        let is_text = |text: &str| match is_blank {
            true => text.is_empty(),
            false => crate::wire::number(text) == Some(number),
        };
        match (self, body) {
            (Self::Message { reply_to: wanted }, Body::Message { text, reply_to, state, .. }) => {
                is_text(text.as_str()) && (reply_to.is_none() || *reply_to == wanted) && state.is_none()
            }
            (Self::Edit { target: wanted }, Body::Edit { target, text: Some(text), .. }) => {
                *target == wanted && is_text(text.as_str())
            }
            (Self::Delete { target: wanted }, Body::Delete { target }) => *target == wanted,
            (Self::React { target: wanted, emoji: with }, Body::React { target, emoji })
            | (Self::Unreact { target: wanted, emoji: with }, Body::Unreact { target, emoji }) => {
                *target == wanted && emoji.as_str() == with
            }
            _ => false,
        }
    }
}

/// One send of an act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SendRef {
    pub(crate) connection: usize,
    pub(crate) index: usize,
}

/// A connection, as the oracle knows it.
pub(crate) struct Connection {
    pub(crate) name: String,
    pub(crate) hub: usize,
    pub(crate) user: Username,
    pub(crate) closed: bool,
    /// When its token ends.
    pub(crate) expires_ms: Option<u64>,
    sends: Vec<Send>,
    /// When the first and the last `unavailable` of a row were sent.
    refusing: Option<(u64, u64)>,
    /// One more than the index of the last send that the hub put out a draft for.
    drafted: usize,
    /// The nonces that were refused for good: they are not sent again.
    given_up: BTreeSet<String>,
    /// Drafts without a receipt, with the time of each.
    unanswered: Vec<(usize, u64)>,
    speaks: Speaks,
}

enum Speaks {
    V1(Box<V1>),
    V2(Box<V2>),
}

/// A send, as a hub was handed it.
struct Send {
    number: usize,
    nonce: Option<String>,
    at_ms: u64,
    answered: bool,
    /// When it was answered with `unavailable`.
    unavailable_ms: Option<u64>,
    /// Its draft was committed, or found to be.
    stored: bool,
    /// The log found no account with the recipient's name.
    has_no_recipient: bool,
}

impl Oracle {
    pub(crate) fn new(options: HubOptions, turn_ms: u64, unattached_ms: u64, hook: Hook) -> Self {
        Self {
            options,
            hook,
            turn_ms,
            acts: Vec::new(),
            named: BTreeMap::new(),
            logs: BTreeMap::new(),
            kept: BTreeMap::new(),
            nonces: BTreeMap::new(),
            connections: Vec::new(),
            shown: BTreeMap::new(),
            taken_back: TakenBack::default(),
            typists: BTreeSet::new(),
            came: BTreeMap::new(),
            went: BTreeMap::new(),
            latest: BTreeMap::new(),
            handed: BTreeMap::new(),
            rooms: BTreeMap::new(),
            told: BTreeSet::new(),
            removed: Vec::new(),
            marks: Said::default(),
            files: Files::new(unattached_ms),
            levels: BTreeSet::new(),
            cuts: BTreeMap::new(),
            now_ms: 0,
            draining: BTreeSet::new(),
            seen: BTreeMap::new(),
            answered_unread: None,
        }
    }

    /// Notes that a hub drains.
    pub(crate) fn draining(&mut self, hub: usize) {
        self.draining.insert(hub);
    }

    /// Adds an act of a user, and returns the number for its text.
    pub(crate) fn add_act(&mut self, user: &Username, author: usize, topic: Topic, what: What) -> usize {
        let user = user.clone();
        self.acts.push(Act {
            user,
            author,
            topic,
            what,
            of: None,
            files: Vec::new(),
            is_blank: false,
            nonce: None,
            stored: None,
            refused: false,
            is_repeated: false,
            refusals: BTreeSet::new(),
        });
        self.acts.len() - 1
    }

    /// Notes the files that an act attaches, and whether it has no text.
    pub(crate) fn describe_act(&mut self, number: usize, files: &[FileId], is_blank: bool) {
        let act = &mut self.acts[number];
        (act.files, act.is_blank) = (files.to_vec(), is_blank);
    }

    /// Notes that an act changes a message that is not stored yet.
    pub(crate) fn name_target(&mut self, number: usize, of: usize) {
        self.acts[number].of = Some(of);
    }

    /// What a user wants, with the number of the message.
    fn wanted(&self, act: &Act) -> What {
        match act.of.and_then(|of| self.acts[of].stored) {
            Some(target) => act.what.with_target(target),
            None => act.what,
        }
    }

    /// Notes the nonce under which an act is sent.
    pub(crate) fn name_act(&mut self, number: usize, nonce: &str) {
        let act = &mut self.acts[number];
        act.nonce = Some(nonce.to_owned());
        self.named.insert((act.user.clone(), nonce.to_owned()), number);
    }

    /// Notes that an act is sent once more by another connection of its user.
    pub(crate) fn sent_again(&mut self, nonce: &str, user: &Username) {
        if let Some(&number) = self.named.get(&(user.clone(), nonce.to_owned())) {
            self.acts[number].is_repeated = true;
        }
    }

    pub(crate) fn opened_v1(&mut self, hub: usize, node: usize, user: &Username, room: &RoomName) -> usize {
        let replay = self.options.join_replay_entries as u64;
        let shown = self.shown.get(&(hub, room.clone())).copied().unwrap_or(0);
        let earliest = self.oldest_of(&Topic::Room(room.clone()), replay, shown);
        *self.came.entry((room.clone(), user.clone())).or_insert(0) += 1;
        let speaks = Speaks::V1(Box::new(V1::new(room.clone(), earliest)));
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

    /// Notes that a connection was lost or closed: from here on, no frame may be written
    /// to it.
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

    /// Notes that a hub has started again.
    pub(crate) fn rebooted(&mut self, hub: usize) {
        self.shown.retain(|(of, _), _| *of != hub);
        self.handed.retain(|(of, _), _| *of != hub);
        self.told.retain(|(of, ..)| *of != hub);
        self.taken_back.forget_hub(hub);
        self.draining.remove(&hub);
    }

    /// The connections that were told since the last call that they may not read a room.
    pub(crate) fn take_removed(&mut self) -> Vec<(usize, RoomName)> {
        std::mem::take(&mut self.removed)
    }

    /// Allows one more notice that a user has joined or left a room.
    pub(crate) fn expect_notice(&mut self, room: &RoomName, user: &Username, joined: bool) {
        let notices = if joined { &mut self.came } else { &mut self.went };
        *notices.entry((room.clone(), user.clone())).or_insert(0) += 1;
    }

    /// Notes that a hub is stepped with a message of a v1 connection.
    pub(crate) fn handed_v1(&mut self, connection: usize, text: &str, now_ms: u64) {
        if let Some(number) = number(text).filter(|number| *number < self.acts.len()) {
            self.hand(connection, number, None, now_ms);
        }
    }

    fn hand(&mut self, connection: usize, number: usize, nonce: Option<String>, now_ms: u64) {
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

    /// Finds the send of a draft that a hub has put out.
    pub(crate) fn drafted(&mut self, hub: usize, draft: &Draft, now_ms: u64) -> Result<SendRef, String> {
        let (number, act) = self.act_of(&draft.from, draft.nonce.as_ref(), &draft.body)?;
        ensure(act.user == draft.from, || format!("{} wrote {draft:?}", act.user))?;
        ensure(act.topic == draft.topic, || format!("{draft:?} was meant for {:?}", act.topic))?;
        let wanted = self.wanted(act);
        let is_same = wanted.is(number, act.is_blank, &draft.body) && draft.files == act.files;
        ensure(is_same, || format!("{draft:?} was meant as {wanted:?} with {:?}", act.files))?;
        ensure(draft.rules == self.options.change_rules, || format!("{draft:?} is under other rules"))?;
        // Each connection's drafts come in the order of its sends, without those that
        // were refused, perhaps in this turn.
        let connections = &self.connections;
        let handed = self.handed.get_mut(&(hub, number));
        let send = handed.and_then(|handed| {
            let fits = |send: &SendRef| connections[send.connection].drafted <= send.index;
            let is_open = |send: &SendRef| fits(send) && !connections[send.connection].closed;
            let position = handed.iter().position(is_open).or_else(|| handed.iter().position(fits))?;
            Some(handed.remove(position))
        });
        // One of several copies may have been answered instead of another.
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
        // The hub has given up drafts that wait for too long.
        let timeout = self.options.append_timeout_ms;
        let waiting = unanswered.iter().filter(|(_, at_ms)| at_ms + timeout > now_ms + 10).count();
        let max = self.options.client_unanswered_max as usize;
        ensure(waiting <= max, || format!("{name} has {waiting} drafts, more than {max}"))?;
        Ok(send)
    }

    /// Notes that a hub gets the receipt of a draft.
    pub(crate) fn receipt(&mut self, send: SendRef) {
        self.connections[send.connection].unanswered.retain(|(index, _)| *index != send.index);
    }

    /// The act with a text.
    fn act_of_text(&self, text: &str) -> Result<(usize, &Act), String> {
        let by_file = || {
            // A message without a text of its own, as v1 shows it.
            let message = linked(text).find_map(|id| self.message_of(id))?;
            let nonce = message.nonce.as_ref()?.as_str().to_owned();
            self.named.get(&(message.from.clone(), nonce)).copied()
        };
        let number = number(text).or_else(by_file).ok_or_else(|| format!("no user sent {text:?}"))?;
        let act = self.acts.get(number).ok_or_else(|| format!("no user sent {text:?}"))?;
        Ok((number, act))
    }

    /// The act that a draft or an entry is, by its nonce or else by its text.
    fn act_of(&self, from: &Username, nonce: Option<&Nonce>, body: &Body) -> Result<(usize, &Act), String> {
        let key = nonce.map(|nonce| (from.clone(), nonce.as_str().to_owned()));
        match key.and_then(|key| self.named.get(&key)) {
            Some(&number) => Ok((number, &self.acts[number])),
            None => self.act_of_text(body.text()),
        }
    }

    /// Checks a new entry: the log numbers 1, 2, 3 …, stores nothing twice, and keeps the
    /// order of each sender.
    pub(crate) fn committed(&mut self, entry: &Arc<Entry>, tops: &Tops, now_ms: u64) -> Check {
        let (number, act) = self.act_of(&entry.from, entry.nonce.as_ref(), &entry.body)?;
        ensure(act.user == entry.from, || format!("{entry:?} was written by {}", act.user))?;
        ensure(act.stored.is_none(), || format!("{entry:?} was stored before"))?;
        ensure(act.topic == entry.topic, || format!("{entry:?} was meant for {:?}", act.topic))?;
        let wanted = self.wanted(act);
        let is_same = wanted.is(number, act.is_blank, &entry.body);
        ensure(is_same, || format!("{entry:?} was meant as {wanted:?}"))?;
        if let Body::Message { reply_to, .. } = &entry.body {
            self.may_write(entry, now_ms)?;
            let wanted = match act.what {
                What::Message { reply_to } => reply_to,
                _ => None,
            };
            let answers = wanted.filter(|target| self.is_target(&entry.topic, *target, tops));
            ensure(*reply_to == answers, || format!("{entry:?} answers {answers:?}"))?;
        }
        let key = (entry.topic.clone(), act.author);
        let latest = self.latest.get(&key).copied();
        if !act.is_repeated {
            // What the log has refused may be sent again later, and be stored.
            let has_order = !act.refused && act.refusals.is_empty();
            ensure(latest < Some(number) || !has_order, || format!("{entry:?} is behind a later act"))?;
            self.latest.insert(key, latest.unwrap_or(0).max(number));
        }
        let act = &self.acts[number];
        if let Some(nonce) = act.nonce.clone() {
            let key = (entry.from.clone(), nonce);
            let place = (entry.topic.clone(), entry.seq);
            let before = self.nonces.insert(key, place);
            ensure(before.is_none(), || format!("{entry:?} has a nonce that is at {before:?} already"))?;
        }
        let log = self.logs.entry(entry.topic.clone()).or_default();
        let count = log.entries.len();
        ensure(entry.seq == count as u64 + 1, || format!("{entry:?} comes after {count} others"))?;
        ensure(log.entries.last().is_none_or(|last| last.at_ms <= entry.at_ms), || {
            format!("{entry:?} is older than the one before")
        })?;
        log.push(entry, now_ms);
        self.acts[number].stored = Some(entry.seq);
        let files = self.acts[number].files.clone();
        self.attached(entry, &files, now_ms)?;
        if let Body::Delete { target } = entry.body {
            self.take_files(&entry.topic, |seq| seq == target, now_ms);
        }
        Ok(())
    }

    /// Checks a send whose message is in the log: it is stored now, or was before.
    pub(crate) fn stored(&mut self, send: SendRef, is_new: bool) -> Check {
        let connection = &self.connections[send.connection];
        if is_new {
            let this = &connection.sends[send.index];
            let same = |send: &Send| send.number == this.number;
            let first_sent = connection.sends.iter().position(same).unwrap_or(send.index);
            let is_v2 = matches!(connection.speaks, Speaks::V2(_));
            let topic = &self.acts[this.number].topic;
            for (index, other) in connection.sends.iter().enumerate() {
                // v1 keeps the order of each room and conversation only.
                if !is_v2 && self.acts[other.number].topic != *topic {
                    continue;
                }
                if index > send.index
                    && other.stored
                    && this.unavailable_ms.is_none()
                    && this.number != other.number
                    // What another connection has sent as well may be stored for that one.
                    && !self.acts[other.number].is_repeated
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
                let is_there = self.is_stored(other.number)
                    || self.acts[other.number].is_repeated
                    || self.acts[this.number].is_repeated
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

    /// Notes that the recipient of a send has no account.
    pub(crate) fn has_no_recipient(&mut self, send: SendRef) {
        self.connections[send.connection].sends[send.index].has_no_recipient = true;
    }

    /// Notes that the log refuses a change for good.
    pub(crate) fn refused(&mut self, send: SendRef, code: &'static str) {
        let send = &mut self.connections[send.connection].sends[send.index];
        send.has_no_recipient = true;
        self.acts[send.number].refusals.insert(code);
    }

    /// Notes that the log has dropped the entries before `first`.
    pub(crate) fn trimmed(&mut self, topic: &Topic, first: u64, now_ms: u64) {
        let before = self.kept.insert(topic.clone(), first);
        if before != Some(first) {
            self.logs.entry(topic.clone()).or_default().trims.push((now_ms, first));
            self.take_files(topic, |seq| seq < first, now_ms);
        }
    }

    /// Checks a frame that is written to a connection.
    pub(crate) fn receive(&mut self, connection: usize, frame: &Frame, now_ms: u64) -> Check {
        self.now_ms = now_ms;
        self.has_no_trace(self.connections[connection].hub, frame)
            .map_err(|why| format!("{} got {why}: {frame:?}", self.connections[connection].name))?;
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

    /// Checks, some time after the last fault, that a connection has everything.
    pub(crate) fn is_complete(&self, connection: usize, expected: Option<&Expected>) -> Check {
        let Connection { name, speaks, .. } = &self.connections[connection];
        let checked = match speaks {
            Speaks::V1(v1) => self.is_complete_v1(connection, v1),
            Speaks::V2(v2) => self.is_complete_v2(connection, v2, expected),
        };
        checked.map_err(|why| format!("{name} {why}"))
    }

    /// The rooms that a connection has joined, as its frames say.
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
        self.logs.get(topic).map_or(0, |log| log.entries.len() as u64)
    }

    /// The oldest number of a topic that is kept.
    pub(crate) fn first(&self, topic: &Topic) -> u64 {
        self.kept.get(topic).copied().unwrap_or(1)
    }

    pub(crate) fn entry(&self, topic: &Topic, seq: u64) -> Option<&Arc<Entry>> {
        self.logs.get(topic)?.entry(seq)
    }

    pub(crate) fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.logs.keys()
    }

    /// Whether an act is in the log, or what it wants was so already.
    pub(crate) fn is_stored(&self, number: usize) -> bool {
        let act = &self.acts[number];
        let key = act.nonce.clone().map(|nonce| (act.user.clone(), nonce));
        act.stored.is_some() || key.is_some_and(|key| self.nonces.contains_key(&key))
    }

    /// Whether an act is a message.
    pub(crate) fn is_of_message(&self, number: usize) -> bool {
        self.acts[number].what.target().is_none()
    }

    /// Whether an acknowledgement of an act names this entry.
    pub(crate) fn stands_for(&self, number: usize, topic: &Topic, seq: u64) -> bool {
        let act = &self.acts[number];
        let key = act.nonce.clone().map(|nonce| (act.user.clone(), nonce));
        key.and_then(|key| self.nonces.get(&key)) == Some(&(topic.clone(), seq))
    }

    /// Whether there are no messages between two numbers, or they are no longer kept.
    pub(crate) fn only_changes(&self, topic: &Topic, from: u64, upto: u64) -> bool {
        self.messages_in(topic, from.max(self.first(topic)), upto).next().is_none()
    }

    /// The private conversations of a user that have entries.
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

/// The users that should be in each room at the end.
#[derive(Default)]
pub(crate) struct Expected {
    pub(crate) people: BTreeMap<RoomName, BTreeSet<Username>>,
    /// Members that their hubs may not know.
    pub(crate) unknown: BTreeSet<(RoomName, Username)>,
}

pub(crate) fn in_pair(pair: &Pair, user: &Username) -> bool {
    pair.low() == user || pair.high() == user
}

pub(crate) fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(otherwise()) }
}

//! Messages between servers as signed bytes, and back.

use std::sync::Arc;

use chat_core::{
    AttachedFile, Body, Emoji, Entry, FILES_MAX, FileId, FileName, Level, MENTIONS_MAX, MediaType, Mentions,
    MessageText, Nonce, Pair, PresenceChange, PresenceKind, RoomName, SessionId, Topic, TypingChange,
    UserMark, Username,
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::roster::{DELTA_MAX_CHANGES, PART_MAX_CONNECTIONS};
use crate::{Control, Delta, Heartbeat, Incarnation, Lane, Part, Point, Record, SnapshotPart, Writer};

/// The newest format of messages that this version reads and writes.
pub const BUS_FORMAT: u8 = 1;

/// Bytes that a message may have: below the limit of 1 MB that nats-server has by default.
pub const MESSAGE_MAX_BYTES: usize = 512 * 1024;

/// Bytes of entries in one record: those of further topics are read from the log.
const ENTRIES_MAX_BYTES: usize = 256 * 1024;
/// Topics and controls in one record; also a bound for what is allocated while reading.
const LIST_MAX: usize = 100_000;

/// What one server tells the others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Message {
    /// A commit.
    Record(Record),
    /// A heartbeat.
    Heartbeat(Heartbeat),
    /// Changes of presence.
    Delta(Delta),
    /// All presence.
    Snapshot(SnapshotPart),
    /// A server is asked for a snapshot of its presence.
    AskSnapshot {
        /// The server that asks.
        from: Incarnation,
        /// The server that is asked.
        to: Incarnation,
    },
    /// A user types, or no longer does.
    Typing {
        /// The user's server.
        from: Incarnation,
        /// What the hubs get.
        change: TypingChange,
    },
    /// A user has read something, or wants to be notified of something else: the user's server stores
    /// it.
    Mark {
        /// That server.
        from: Incarnation,
        /// What the hubs get.
        mark: UserMark,
    },
}

/// What the bytes of a message say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Opened {
    /// A message.
    Message(Message),
    /// A commit of which nothing else can be read: [`Sequencer::told`](crate::Sequencer::told).
    Told(Point),
    /// Something of another format: [`Sequencer::read_now`](crate::Sequencer::read_now).
    Unknown,
}

/// Why bytes are ignored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OpenError {
    /// They are too short or too long for a message.
    #[error("a message on the bus has {bytes} bytes")]
    Size {
        /// Their number.
        bytes: usize,
    },
    /// No server of this cluster has signed them in this epoch.
    #[error("a message on the bus has a wrong signature")]
    Signature,
}

/// The key by which servers know messages of each other.
#[derive(Clone)]
pub struct Key(Hmac<Sha256>);

impl Key {
    /// The key from a secret that the servers share, for one epoch of their database: messages of
    /// another epoch have other signatures.
    pub fn new(secret: &[u8], epoch: &str) -> Self {
        let mut mac = Hmac::new_from_slice(secret).expect("HMAC takes keys of any length (RFC 2104 §2)");
        mac.update(&(epoch.len() as u64).to_le_bytes());
        mac.update(epoch.as_bytes());
        Self(mac)
    }

    /// The bytes with their signature behind them.
    pub fn sign(&self, mut content: Vec<u8>) -> Vec<u8> {
        let mut mac = self.0.clone();
        mac.update(&content);
        content.extend_from_slice(&mac.finalize().into_bytes());
        content
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

/// The bytes of a message: format, kind, content, and a signature (HMAC-SHA256) over all of it.
///
/// A record has at most 256 KiB of entries; its other entries are read from the log.
pub fn encode(message: &Message, key: &Key) -> Vec<u8> {
    let mut out = Writing(vec![BUS_FORMAT]);
    match message {
        Message::Record(record) => {
            out.byte(KIND_RECORD);
            out.record(record);
        }
        Message::Heartbeat(beat) => {
            out.byte(KIND_HEARTBEAT);
            out.incarnation(beat.from);
            out.number(beat.beat);
            out.list(&beat.newest, |out, (lane, n)| {
                out.number(u64::from(lane.0));
                out.number(*n);
            });
            out.number(beat.presence_counter);
            out.fixed(beat.presence_checksum);
        }
        Message::Delta(delta) => {
            out.byte(KIND_DELTA);
            out.incarnation(delta.from);
            out.number(delta.counter);
            out.list(&delta.changes, Writing::presence);
        }
        Message::Snapshot(part) => {
            out.byte(KIND_SNAPSHOT);
            out.incarnation(part.from);
            out.number(part.counter);
            out.number(u64::from(part.part));
            out.number(u64::from(part.parts));
            out.number(part.at_s);
            out.list(&part.present, |out, (hub, room, user, count)| {
                out.number(u64::from(*hub));
                out.text(room.as_str());
                out.text(user.as_str());
                out.number(u64::from(*count));
            });
        }
        Message::AskSnapshot { from, to } => {
            out.byte(KIND_ASK_SNAPSHOT);
            out.incarnation(*from);
            out.incarnation(*to);
        }
        Message::Typing { from, change } => {
            out.byte(KIND_TYPING);
            out.incarnation(*from);
            out.topic(&change.topic);
            out.text(change.user.as_str());
            out.byte(u8::from(change.active));
        }
        Message::Mark { from, mark } => {
            out.byte(KIND_MARK);
            out.incarnation(*from);
            out.topic(&mark.topic);
            out.text(mark.user.as_str());
            out.optional(mark.read, Writing::number);
            out.optional(mark.level, |out, level| out.text(level.as_str()));
        }
    }
    key.sign(out.0)
}

/// Reads the bytes of a message.
///
/// # Errors
///
/// [`OpenError`], if the bytes are from nobody who has the key. What somebody with the key has
/// written in another way is no error: the feed has it.
pub fn decode(bytes: &[u8], key: &Key) -> Result<Opened, OpenError> {
    let size = OpenError::Size { bytes: bytes.len() };
    if bytes.len() > MESSAGE_MAX_BYTES {
        return Err(size);
    }
    let Some((content, signature)) = bytes.split_last_chunk::<SIGNATURE_BYTES>() else { return Err(size) };
    let mut mac = key.0.clone();
    mac.update(content);
    mac.verify_slice(signature).map_err(|_| OpenError::Signature)?;
    let [format, kind, rest @ ..] = content else { return Ok(Opened::Unknown) };
    if *format != BUS_FORMAT {
        return Ok(Opened::Unknown);
    }
    if *kind == KIND_RECORD {
        return Ok(read_record(rest));
    }
    Ok(read_message(*kind, rest).map_or(Opened::Unknown, Opened::Message))
}

const SIGNATURE_BYTES: usize = 32;

const KIND_RECORD: u8 = 1;
const KIND_HEARTBEAT: u8 = 2;
const KIND_DELTA: u8 = 3;
const KIND_SNAPSHOT: u8 = 4;
const KIND_ASK_SNAPSHOT: u8 = 5;
const KIND_TYPING: u8 = 6;
const KIND_MARK: u8 = 7;

/// Reads a record, or what can be read of it.
fn read_record(bytes: &[u8]) -> Opened {
    let mut input = Reading(bytes);
    let Some(at) = input.point() else { return Opened::Unknown };
    let record = input.record(at).filter(|_| input.0.is_empty());
    record.map_or(Opened::Told(at), |record| Opened::Message(Message::Record(record)))
}

fn read_message(kind: u8, bytes: &[u8]) -> Option<Message> {
    let mut input = Reading(bytes);
    let from = input.incarnation()?;
    let message = match kind {
        KIND_HEARTBEAT => {
            let beat = input.number()?;
            let newest = input.list(LIST_MAX, |input| {
                let lane = Lane(u16::try_from(input.number()?).ok()?);
                Some((lane, input.number()?))
            })?;
            let (presence_counter, presence_checksum) = (input.number()?, input.fixed()?);
            Message::Heartbeat(Heartbeat { from, beat, newest, presence_counter, presence_checksum })
        }
        KIND_DELTA => {
            let counter = input.number()?;
            let changes = input.list(DELTA_MAX_CHANGES, Reading::presence)?;
            Message::Delta(Delta { from, counter, changes })
        }
        KIND_SNAPSHOT => {
            let (counter, part, parts) = (input.number()?, input.small()?, input.small()?);
            let at_s = input.number()?;
            let present = input.list(PART_MAX_CONNECTIONS, |input| {
                let (hub, room, user) = (input.small()?, input.room()?, input.user()?);
                Some((hub, room, user, input.small()?))
            })?;
            Message::Snapshot(SnapshotPart { from, counter, part, parts, at_s, present })
        }
        KIND_ASK_SNAPSHOT => Message::AskSnapshot { from, to: input.incarnation()? },
        KIND_TYPING => {
            let (topic, user, active) = (input.topic()?, input.user()?, input.flag()?);
            Message::Typing { from, change: TypingChange { topic, user, active } }
        }
        KIND_MARK => {
            let (topic, user) = (input.topic()?, input.user()?);
            let read = input.optional(Reading::number)?;
            let level = input.optional(|input| Level::parse(input.text()?))?;
            Message::Mark { from, mark: UserMark { user, topic, read, level } }
        }
        _ => return None,
    };
    input.0.is_empty().then_some(message)
}

/// Bytes that are being written. Numbers take seven bits of each byte (LEB128); texts and lists
/// begin with their length.
struct Writing(Vec<u8>);

impl Writing {
    fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.byte(number as u8 | 0x80);
            number >>= 7;
        }
        self.byte(number as u8);
    }

    fn fixed(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    fn list<T>(&mut self, items: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.number(items.len() as u64);
        items.iter().for_each(|item| write(self, item));
    }

    fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.byte(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }

    fn incarnation(&mut self, incarnation: Incarnation) {
        self.number(u64::from(incarnation.number()));
    }

    fn point(&mut self, point: Point) {
        self.incarnation(point.writer.incarnation);
        self.number(u64::from(point.writer.lane.0));
        self.number(point.n);
    }

    fn topic(&mut self, topic: &Topic) {
        match topic {
            Topic::Room(room) => {
                self.byte(0);
                self.text(room.as_str());
            }
            Topic::Pair(pair) => {
                self.byte(1);
                self.text(pair.low().as_str());
                self.text(pair.high().as_str());
            }
        }
    }

    fn record(&mut self, record: &Record) {
        self.point(record.at);
        self.list(&record.controls, |out, control| match control {
            Control::EndSession(session) => {
                out.byte(0);
                out.text(session.as_str());
            }
            Control::User(user) => {
                out.byte(1);
                out.text(user.as_str());
            }
            Control::Room(room) => {
                out.byte(2);
                out.text(room.as_str());
            }
            Control::Unknown => out.byte(u8::MAX),
        });
        let mut entries_bytes = 0;
        self.list(&record.parts, |out, part| {
            out.topic(&part.topic);
            out.number(part.first);
            out.number(part.last);
            out.optional(part.previous, Self::point);
            // In a block of its own, so that a reader who does not know a kind of entry goes on
            // behind it.
            let mut block = Self(Vec::new());
            if let Some(entries) = &part.entries {
                for entry in entries.iter() {
                    block.entry(entry);
                }
            }
            let fits = entries_bytes + block.0.len() <= ENTRIES_MAX_BYTES;
            match &part.entries {
                Some(_) if fits => {
                    entries_bytes += block.0.len();
                    out.byte(1);
                    out.number(block.0.len() as u64);
                    out.0.append(&mut block.0);
                }
                _ => out.byte(0),
            }
        });
    }

    /// An entry without its topic and number.
    fn entry(&mut self, entry: &Entry) {
        self.text(entry.from.as_str());
        self.number(entry.at_ms);
        self.optional(entry.room.as_ref(), |out, room| out.text(room.as_str()));
        self.optional(entry.nonce.as_ref(), |out, nonce| out.text(nonce.as_str()));
        match &entry.body {
            // New entries have no state: it is what later changes make.
            Body::Message { text, mentions, reply_to, files, state: _ } => {
                self.byte(0);
                self.text(text.as_str());
                self.mentions(mentions.as_deref());
                self.optional(*reply_to, Self::number);
                self.list(files.as_deref().unwrap_or_default(), Self::file);
            }
            Body::Edit { target, text, mentions } => {
                self.byte(1);
                self.number(*target);
                self.optional(text.as_ref(), |out, text| out.text(text.as_str()));
                self.mentions(mentions.as_deref());
            }
            Body::Delete { target } => {
                self.byte(2);
                self.number(*target);
            }
            Body::React { target, emoji } => {
                self.byte(3);
                self.number(*target);
                self.text(emoji.as_str());
            }
            Body::Unreact { target, emoji } => {
                self.byte(4);
                self.number(*target);
                self.text(emoji.as_str());
            }
        }
    }

    fn mentions(&mut self, mentions: Option<&Mentions>) {
        self.optional(mentions, |out, mentions| {
            out.byte(u8::from(mentions.all));
            out.list(&mentions.names, |out, name| out.text(name.as_str()));
        });
    }

    fn file(&mut self, file: &AttachedFile) {
        self.text(file.id.as_str());
        self.text(file.name.as_str());
        self.text(file.media_type.as_str());
        self.number(file.size);
        self.optional(file.dimensions, |out, (width, height)| {
            out.number(u64::from(width));
            out.number(u64::from(height));
        });
    }

    fn presence(&mut self, change: &PresenceChange) {
        self.number(u64::from(change.hub));
        self.text(change.room.as_str());
        self.text(change.user.as_str());
        self.byte(match change.kind {
            PresenceKind::Joined => 1,
            PresenceKind::Left => 0,
        });
        self.number(u64::from(change.connections));
        self.number(change.at_s);
    }
}

/// Bytes that are not read yet.
struct Reading<'a>(&'a [u8]);

impl<'a> Reading<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    fn flag(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has one bit.
            if shift == 63 && bits > 1 {
                return None;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn small(&mut self) -> Option<u32> {
        self.number()?.try_into().ok()
    }

    fn fixed(&mut self) -> Option<u64> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*first))
    }

    fn block(&mut self) -> Option<&'a [u8]> {
        let bytes = usize::try_from(self.number()?).ok()?;
        let (block, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(block)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.block()?).ok()
    }

    /// A list of at most `max` items. What it allocates at first is bounded by the bytes there are.
    fn list<T>(&mut self, max: usize, mut read: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = usize::try_from(self.number()?).ok().filter(|count| *count <= max.min(self.0.len()))?;
        (0..count).map(|_| read(self)).collect()
    }

    fn optional<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.flag()? { Some(Some(read(self)?)) } else { Some(None) }
    }

    fn incarnation(&mut self) -> Option<Incarnation> {
        Incarnation::new(self.small()?)
    }

    fn point(&mut self) -> Option<Point> {
        let incarnation = self.incarnation()?;
        let lane = Lane(u16::try_from(self.number()?).ok()?);
        let n = self.number()?;
        (n > 0).then_some(Point { writer: Writer { incarnation, lane }, n })
    }

    fn user(&mut self) -> Option<Username> {
        Username::known(self.text()?).ok()
    }

    fn room(&mut self) -> Option<RoomName> {
        RoomName::parse(self.text().filter(|name| !name.is_empty())?).ok()
    }

    fn topic(&mut self) -> Option<Topic> {
        match self.byte()? {
            0 => Some(Topic::Room(self.room()?)),
            1 => Some(Topic::Pair(Pair::new(self.user()?, self.user()?))),
            _ => None,
        }
    }

    fn record(&mut self, at: Point) -> Option<Record> {
        let controls = self.list(LIST_MAX, |input| match input.byte()? {
            0 => Some(Control::EndSession(SessionId::new(input.text()?))),
            1 => Some(Control::User(input.user()?)),
            2 => Some(Control::Room(input.room()?)),
            u8::MAX => Some(Control::Unknown),
            _ => None,
        })?;
        let parts = self.list(LIST_MAX, |input| {
            let topic = input.topic()?;
            let (first, last) = (input.number()?, input.number()?);
            if first == 0 || last < first {
                return None;
            }
            let previous = input.optional(Self::point)?;
            let entries = match input.optional(Self::block)? {
                Some(block) => Self(block).entries(&topic, first, last),
                None => None,
            };
            Some(Part { topic, first, last, previous, entries })
        })?;
        Some(Record { at, parts, controls })
    }

    /// The entries of a part; `None` if some cannot be read: then all are read from the log.
    fn entries(mut self, topic: &Topic, first: u64, last: u64) -> Option<Arc<[Arc<Entry>]>> {
        // Each takes some bytes.
        let count = usize::try_from(last - first).ok()?.checked_add(1)?;
        if count > self.0.len() {
            return None;
        }
        let entries = (first..=last).map(|seq| Some(Arc::new(self.entry(topic, seq)?)));
        let entries = entries.collect::<Option<Arc<[_]>>>()?;
        self.0.is_empty().then_some(entries)
    }

    fn entry(&mut self, topic: &Topic, seq: u64) -> Option<Entry> {
        let (from, at_ms) = (self.user()?, self.number()?);
        let room = self.optional(Self::room)?;
        let nonce = self.optional(|input| Nonce::parse(input.text()?))?;
        let body = match self.byte()? {
            0 => {
                let text = MessageText::stored(self.text()?);
                let mentions = self.mentions()?;
                let reply_to = self.optional(Self::number)?;
                let files = self.list(FILES_MAX, Self::file)?;
                let files = (!files.is_empty()).then(|| files.into());
                Body::Message { text, mentions, reply_to, files, state: None }
            }
            1 => {
                let target = self.number()?;
                let text = self.optional(|input| Some(MessageText::stored(input.text()?)))?;
                Body::Edit { target, text, mentions: self.mentions()? }
            }
            2 => Body::Delete { target: self.number()? },
            3 => Body::React { target: self.number()?, emoji: self.emoji()? },
            4 => Body::Unreact { target: self.number()?, emoji: self.emoji()? },
            _ => return None,
        };
        Some(Entry { topic: topic.clone(), seq, from, room, body, at_ms, nonce })
    }

    fn emoji(&mut self) -> Option<Emoji> {
        Emoji::parse(self.text()?).ok()
    }

    fn mentions(&mut self) -> Option<Option<Box<Mentions>>> {
        self.optional(|input| {
            let all = input.flag()?;
            Some(Box::new(Mentions { names: input.list(MENTIONS_MAX, Self::user)?, all }))
        })
    }

    fn file(&mut self) -> Option<AttachedFile> {
        Some(AttachedFile {
            id: FileId::parse(self.text()?)?,
            name: FileName::stored(self.text()?),
            media_type: MediaType::parse(self.text()?)?,
            size: self.number()?,
            dimensions: self.optional(|input| Some((input.small()?, input.small()?)))?,
        })
    }

    fn presence(&mut self) -> Option<PresenceChange> {
        let (hub, room, user) = (self.small()?, self.room()?, self.user()?);
        let kind = if self.flag()? { PresenceKind::Joined } else { PresenceKind::Left };
        Some(PresenceChange { hub, room, user, kind, connections: self.small()?, at_s: self.number()? })
    }
}

//! What the server keeps for the account of the user: rooms, conversations, and how far
//! they are read.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Deserializer, Serialize};

use crate::{CONVERSATIONS_MAX, Change, ChangeKind, Entry, Event, Topic};

/// The user's rooms and private conversations, on whichever device they were joined or
/// read.
///
/// An account is made of events: a session keeps one for itself, and
/// [`Events`](crate::Events) another one that is as far as the application. It lists
/// what the last `hello` listed (the 200 rooms and the 200 conversations with the newest
/// messages) and what came since; older conversations stay if they were listed before. A server without the features `rooms` and `read` lists
/// no rooms, and its conversations have no counts.
///
/// # Counts
///
/// A count is the number of messages of others above the user's mark: exact up to 99,
/// and [`COUNT_MAX`] for all higher ones. `None` means that the server has not counted
/// yet. One's own messages never count. When this program [reads](crate::Session::read)
/// a part of what is unread, the rest is estimated from above where its messages were
/// not delivered to this program, until the server counts the next time.
///
/// A deleted message is not unread, and an edit may add or remove a mention. A change of a
/// message that was not delivered to this program may change what it does not know: then the
/// counts hold again when the server counts the next time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    user: Option<String>,
    epoch: Option<String>,
    has_more_rooms: bool,
    has_more_conversations: bool,
    /// The server counts.
    has_counts: bool,
    rooms: BTreeMap<String, (Info, Position)>,
    /// The last numbers of the joined rooms, of which the user need not be a member.
    joined: BTreeMap<String, u64>,
    conversations: BTreeMap<String, Position>,
}

/// A room in the user's list of rooms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The name of the room, which is part of its address.
    pub room: String,
    /// The title to show.
    #[serde(default)]
    pub title: String,
    /// The users who may read the room and write to it.
    #[serde(default)]
    pub access: Access,
    /// Whether nothing can be written to the room any more.
    #[serde(default)]
    pub archived: bool,
    /// The user's role in the room.
    #[serde(default)]
    pub role: Role,
    /// The room's last number, as far as the client knows.
    #[serde(default)]
    pub top: u64,
    /// When the room's last message was stored, in whole seconds since 1970; 0 if it has
    /// none.
    #[serde(default)]
    pub at: u64,
    /// The number up to which the user has read the room.
    #[serde(default)]
    pub read: u64,
    /// How many messages of others are unread: see [`Account`].
    #[serde(default, deserialize_with = "count")]
    pub unread: Option<u8>,
    /// How many of them mention the user.
    #[serde(default, deserialize_with = "count")]
    pub mentions: Option<u8>,
    /// What the user is notified of.
    #[serde(default = "level_of_rooms")]
    pub level: Level,
}

/// A private conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversation {
    /// The name of the other user.
    pub with: String,
    /// The number of its last entry.
    pub seq: u64,
    /// When its last message was stored, in whole seconds since 1970; 0 if the server
    /// did not say.
    #[serde(default)]
    pub at: u64,
    /// The number up to which the user has read it.
    #[serde(default)]
    pub read: u64,
    /// How many messages of the other user are unread: see [`Account`].
    #[serde(default, deserialize_with = "count")]
    pub unread: Option<u8>,
    /// What the user is notified of.
    #[serde(default = "level_of_conversations")]
    pub level: Level,
}

/// The users who may read a room and write to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", from = "String")]
pub enum Access {
    /// Every user.
    #[default]
    Open,
    /// Members only.
    Closed,
}

/// The role of a member in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", from = "String")]
pub enum Role {
    /// Reads, writes, and adds members.
    #[default]
    Member,
    /// Also changes the room, appoints moderators and removes members.
    Moderator,
}

/// Which messages of a topic the user is notified of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", from = "String")]
pub enum Level {
    /// All messages: the default of private conversations.
    All,
    /// Messages that mention the user: the default of rooms.
    Mentions,
    /// None.
    None,
}

/// How many messages of others are unread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Messages of others above the user's mark, at most [`COUNT_MAX`].
    pub unread: u8,
    /// Those of them that mention the user, at most [`COUNT_MAX`].
    pub mentions: u8,
}

/// The number at which counts stop: it means "more than 99".
pub const COUNT_MAX: u8 = 100;

impl Account {
    /// Takes note of an event that the application has handled.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Online { .. } => self.hello(event),
            Event::Joined { room, seq, recovered, .. } => {
                self.joined.insert(room.clone(), *seq);
                if let Some((_, position)) = self.rooms.get_mut(room).filter(|_| !recovered) {
                    position.delivered.clear();
                }
                if let Some((_, position)) = self.rooms.get_mut(room).filter(|(_, known)| known.is_new) {
                    position.begin(*seq);
                }
            }
            Event::NotJoined { room, .. } => {
                self.joined.remove(room);
            }
            Event::Room { room, title, access, archived, role } => {
                let info = Info { title: title.clone(), access: *access, archived: *archived, role: *role };
                self.set_room(room, info);
            }
            Event::RoomGone { room } => {
                self.rooms.remove(room);
            }
            Event::Left { room, reason } => {
                self.joined.remove(room);
                if reason.is_some() {
                    self.rooms.remove(room);
                }
            }
            // Changes of the messages that were delivered may be missing.
            Event::Reset { topic } => {
                if let Some(position) = self.position(topic) {
                    position.delivered.clear();
                }
            }
            Event::Message { topic, entry } => self.message(topic, entry),
            Event::Change { topic, change } => self.change(topic, change),
            Event::UnknownEntry { topic, seq } => {
                self.joined_up_to(topic, *seq);
                if let Some(position) = self.position(topic) {
                    position.top = position.top.max(*seq);
                }
            }
            Event::Activity { room, top, at, new, mentions } => {
                if let Some((_, position)) = self.rooms.get_mut(room) {
                    position.add(*top, *at, Counts { unread: capped(*new), mentions: capped(*mentions) });
                }
            }
            Event::Read { topic, upto, top, counts } => {
                if let Some(position) = self.position(topic) {
                    match counts {
                        Some(counts) => position.counted(*upto, *top, *counts),
                        None => position.read(*upto),
                    }
                }
            }
            Event::Level { topic, level } => {
                if let Some(position) = self.position(topic) {
                    position.level = *level;
                }
            }
            _ => {}
        }
    }

    /// The rooms of which the user is a member, in the order of their names.
    pub fn rooms(&self) -> impl Iterator<Item = Membership> {
        self.rooms.iter().map(|(room, (info, position))| position.membership(room, info))
    }

    /// The room of this name, if the user is known to be a member.
    pub fn room(&self, name: &str) -> Option<Membership> {
        let (info, position) = self.rooms.get(name)?;
        Some(position.membership(name, info))
    }

    /// Whether the user is a member of further rooms, which have older messages.
    pub fn has_more_rooms(&self) -> bool {
        self.has_more_rooms
    }

    /// The private conversations, in the order of the names.
    pub fn conversations(&self) -> impl Iterator<Item = Conversation> {
        self.conversations.iter().map(|(with, position)| position.conversation(with))
    }

    /// The private conversation with the user of this name.
    pub fn conversation(&self, with: &str) -> Option<Conversation> {
        Some(self.conversations.get(with)?.conversation(with))
    }

    /// The number up to which the server is known to have the user's mark in a topic;
    /// `None` if the topic is not listed, or its membership is so new that the number is
    /// a guess.
    pub(crate) fn known_read(&self, topic: &Topic) -> Option<u64> {
        let position = self.known(topic)?;
        (!position.is_new && !position.is_guess).then_some(position.read)
    }

    /// The last known number of a topic.
    pub(crate) fn top(&self, topic: &Topic) -> Option<u64> {
        Some(self.known(topic)?.top)
    }

    /// The level of a topic; `None` if it is not listed.
    pub(crate) fn level(&self, topic: &Topic) -> Option<Level> {
        Some(self.known(topic)?.level)
    }

    /// What a message adds to the counts of a topic: 1 if it is one of another user, and 1
    /// if it mentions this user, too. A deleted one adds nothing.
    pub(crate) fn counts_of(&self, entry: &Entry) -> (u64, u64) {
        let counts = self.user.as_deref() != Some(&*entry.from) && !entry.deleted;
        (u64::from(counts), u64::from(counts && self.is_mentioned(&entry.mentions, entry.mention_all)))
    }

    fn is_mentioned(&self, mentions: &[String], mention_all: bool) -> bool {
        mention_all || mentions.iter().any(|name| Some(&**name) == self.user.as_deref())
    }

    fn known(&self, topic: &Topic) -> Option<&Position> {
        match topic {
            Topic::Room(room) => self.rooms.get(room).map(|(_, position)| position),
            Topic::Private(with) => self.conversations.get(with),
        }
    }

    fn position(&mut self, topic: &Topic) -> Option<&mut Position> {
        match topic {
            Topic::Room(room) => self.rooms.get_mut(room).map(|(_, position)| position),
            Topic::Private(with) => self.conversations.get_mut(with),
        }
    }

    fn hello(&mut self, event: &Event) {
        let Event::Online { user, epoch, features, rooms, has_more_rooms, conversations, has_more } = event
        else {
            return;
        };
        let mut before = std::mem::take(&mut self.conversations);
        let mut rooms_before = std::mem::take(&mut self.rooms);
        if self.user.as_ref() != Some(user) || self.epoch.as_ref() != Some(epoch) {
            before.clear();
            rooms_before.clear();
        }
        let room = |room: &Membership| {
            let mut position = Position::from(room);
            if let Some((_, before)) = rooms_before.get_mut(&room.room) {
                position.take_delivered(before);
            }
            (room.room.clone(), (Info::of(room), position))
        };
        let rooms = rooms.iter().map(room).collect();
        let listed = conversations.iter().map(|listed| {
            let mut position = Position::from(listed);
            if let Some(before) = before.get_mut(&listed.with) {
                position.take_delivered(before);
            }
            let before = before.get(&listed.with).filter(|before| !before.is_guess);
            if let Some(before) = before.filter(|_| listed.unread.is_none()) {
                // The server may not know at this moment how far it was read.
                position.read = position.read.max(before.read);
            }
            (listed.with.clone(), position)
        });
        let listed: Vec<_> = listed.collect();
        // Conversations that `hello` leaves out have no new messages.
        let mut known = if *has_more { before } else { BTreeMap::new() };
        known.extend(listed);
        while known.len() > CONVERSATIONS_MAX {
            forget_oldest(&mut known, |position| position.at);
        }
        *self = Self {
            user: Some(user.clone()),
            epoch: Some(epoch.clone()),
            has_more_rooms: *has_more_rooms,
            has_more_conversations: *has_more,
            has_counts: features.read,
            rooms,
            joined: BTreeMap::new(),
            conversations: known,
        };
    }

    fn set_room(&mut self, room: &str, info: Info) {
        if let Some((known, _)) = self.rooms.get_mut(room) {
            *known = info;
            return;
        }
        // A room that `hello` did not list may be one of those that it left out.
        let counts = (!self.has_more_rooms).then_some(Counts::default());
        forget_oldest(&mut self.rooms, |(_, position)| position.at);
        let mut position = Position { is_new: true, ..Position::new(Level::Mentions, counts) };
        if let Some(top) = self.joined.get(room) {
            position.begin(*top);
        }
        self.rooms.insert(room.to_owned(), (info, position));
    }

    fn message(&mut self, topic: &Topic, entry: &Entry) {
        let (new, mentions) = self.counts_of(entry);
        let counts = Counts { unread: capped(new), mentions: capped(mentions) };
        if let Topic::Private(with) = topic
            && !self.conversations.contains_key(with)
        {
            // The entries before the first one of an older conversation are unknown.
            let before = if self.has_more_conversations { entry.seq.saturating_sub(1) } else { 0 };
            let known = self.has_counts.then_some(Counts::default());
            let mut position = Position::new(Level::All, known);
            if before > 0 {
                position.begin(before);
            }
            forget_oldest(&mut self.conversations, |position| position.at);
            self.conversations.insert(with.clone(), position);
        }
        self.joined_up_to(topic, entry.seq);
        let is_others = self.user.as_deref() != Some(&*entry.from);
        if let Some(position) = self.position(topic) {
            if is_others {
                position.delivered(entry, counts);
            }
            position.add(entry.seq, entry.timestamp, counts);
        }
    }

    fn change(&mut self, topic: &Topic, change: &Change) {
        self.joined_up_to(topic, change.seq);
        let is_mention = match &change.kind {
            ChangeKind::Edit { text: Some(_), mentions, mention_all } => {
                Some(self.is_mentioned(mentions, *mention_all))
            }
            _ => None,
        };
        // In a conversation, the author deletes.
        let is_others = matches!(topic, Topic::Private(_)) && self.user.as_deref() != Some(&*change.from);
        if let Some(position) = self.position(topic) {
            match (&change.kind, is_mention) {
                (ChangeKind::Delete, _) => position.deleted(change, is_others),
                (_, Some(is_mention)) => position.edited(change, is_mention),
                _ => {}
            }
            position.top = position.top.max(change.seq);
        }
    }

    /// Takes note of the last number of a joined room.
    fn joined_up_to(&mut self, topic: &Topic, seq: u64) {
        if let Topic::Room(room) = topic
            && let Some(top) = self.joined.get_mut(room)
        {
            *top = seq.max(*top);
        }
    }
}

/// The title, access and role of a room, without its numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Info {
    title: String,
    access: Access,
    archived: bool,
    role: Role,
}

impl Info {
    fn of(membership: &Membership) -> Self {
        let Membership { title, access, archived, role, .. } = membership;
        Self { title: title.clone(), access: *access, archived: *archived, role: *role }
    }
}

/// How far a topic goes, and how far the user has read it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Position {
    top: u64,
    /// Whole seconds since 1970.
    at: u64,
    read: u64,
    level: Level,
    /// Up to this number the server has counted, or this client no longer remembers
    /// single messages.
    counted: u64,
    /// What is unread up to `counted`; `None`: the server has not counted.
    counts: Option<Counts>,
    /// What came after `counted` and concerns what is unread, in rising order; at most
    /// [`COUNT_MAX`] items.
    newer: VecDeque<Newer>,
    /// The unread messages of others that were delivered to this program, the newest ones, at
    /// most [`COUNT_MAX`].
    delivered: BTreeMap<u64, Delivered>,
    /// The membership has just begun, with everything read; its first number is not
    /// known yet.
    is_new: bool,
    /// The server has not said how far the user has read: `read` may be too high.
    is_guess: bool,
}

/// What an entry adds to the counts: a message of another user, those of one frame
/// `activity`, or a change of such a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Newer {
    /// The number of the entry; of `activity`, that of the last message.
    seq: u64,
    /// The number of the message; that of the entry, unless it is a change.
    message: u64,
    unread: i16,
    mentions: i16,
}

/// A message of another user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Delivered {
    /// A change up to this number is in the counts, or in what is known of the message.
    updated: u64,
    /// Whether it mentions the user, as far as the counts contain it; `None` if it was
    /// changed after the server had counted it, and before it was delivered.
    is_mention: Option<bool>,
}

impl Position {
    fn new(level: Level, counts: Option<Counts>) -> Self {
        let (newer, delivered) = (VecDeque::new(), BTreeMap::new());
        let (is_new, is_guess) = (false, false);
        Self { top: 0, at: 0, read: 0, level, counted: 0, counts, newer, delivered, is_new, is_guess }
    }

    /// As far as is known, everything up to this number was read.
    fn begin(&mut self, top: u64) {
        (self.top, self.read, self.counted) = (top, top, top);
        (self.is_new, self.is_guess) = (false, true);
    }

    /// The present counts.
    fn counts(&self) -> Option<Counts> {
        Some(self.counts?.plus(&self.newer))
    }

    /// Takes note of a message of another user, before it is [added](Self::add).
    fn delivered(&mut self, entry: &Entry, counts: Counts) {
        if entry.seq <= self.read && !self.is_new {
            return;
        }
        let is_counted = entry.seq <= self.top;
        // The server has counted it as it was at `top`.
        let (updated, is_mention) = match is_counted {
            true => (self.top, (entry.updated <= self.top).then_some(counts.mentions > 0)),
            false => (entry.updated, Some(counts.mentions > 0)),
        };
        if entry.deleted && (!is_counted || entry.updated <= self.top) {
            return;
        }
        self.delivered.entry(entry.seq).or_insert(Delivered { updated, is_mention });
        if self.delivered.len() > usize::from(COUNT_MAX) {
            self.delivered.pop_first();
        }
    }

    /// Remembers the messages that were delivered on an earlier connection. What has changed
    /// them since is delivered behind them.
    fn take_delivered(&mut self, before: &mut Self) {
        self.delivered = std::mem::take(&mut before.delivered);
        self.delivered.retain(|seq, _| *seq > self.read);
    }

    /// Takes note of the deletion of a message. `is_others`: it is known to be one of another
    /// user.
    fn deleted(&mut self, change: &Change, is_others: bool) {
        let known = self.delivered.remove(&change.target);
        let is_unread = change.target > self.read && change.seq > self.top;
        if !is_unread || known.is_some_and(|known| change.seq <= known.updated) {
            return;
        }
        if known.is_some() || (is_others && change.target <= self.counted) {
            let mentions = known.and_then(|known| known.is_mention).unwrap_or(false);
            self.push(Newer {
                seq: change.seq,
                message: change.target,
                unread: -1,
                mentions: -i16::from(mentions),
            });
        }
    }

    /// Takes note of an edit, after which the message mentions the user or does not.
    fn edited(&mut self, change: &Change, is_mention: bool) {
        let Some(known) = self.delivered.get_mut(&change.target) else { return };
        if change.seq <= known.updated {
            return;
        }
        known.updated = change.seq;
        let was = known.is_mention.replace(is_mention);
        if change.seq > self.top && was.is_some_and(|was| was != is_mention) {
            let mentions = if is_mention { 1 } else { -1 };
            self.push(Newer { seq: change.seq, message: change.target, unread: 0, mentions });
        }
    }

    fn push(&mut self, newer: Newer) {
        self.newer.push_back(newer);
        if self.newer.len() > usize::from(COUNT_MAX)
            && let Some(oldest) = self.newer.pop_front()
        {
            self.counted = oldest.seq;
            self.counts = self.counts.map(|counts| counts.plus([&oldest]));
        }
    }

    /// Takes note of messages up to this number, of which `counts` are those of others.
    /// Those that are known already do not count again.
    fn add(&mut self, seq: u64, at: u64, counts: Counts) {
        self.at = self.at.max(at);
        if seq <= self.top {
            return;
        }
        let counts = if self.is_new { counts } else { counts.at_most(seq - self.top) };
        if std::mem::take(&mut self.is_new) {
            self.read = seq - u64::from(counts.unread.max(1)).min(seq);
            self.counted = self.read;
            self.is_guess = true;
        }
        self.top = seq;
        if counts.unread > 0 && seq > self.read {
            let (unread, mentions) = (i16::from(counts.unread), i16::from(counts.mentions));
            self.push(Newer { seq, message: seq, unread, mentions });
        }
    }

    /// The user has read up to this number.
    fn read(&mut self, upto: u64) {
        if upto < self.read {
            return;
        }
        (self.read, self.is_new, self.is_guess) = (upto, false, false);
        self.newer.retain(|newer| newer.message > upto);
        self.delivered.retain(|seq, _| *seq > upto);
        if upto >= self.counted {
            (self.counted, self.counts) = (upto, Some(Counts::default()));
        } else {
            let left = self.counted - upto;
            self.counts = self.counts.map(|counts| counts.at_most(left));
        }
    }

    /// The user has read up to `upto`, and the server has counted up to `top`.
    fn counted(&mut self, upto: u64, top: u64, counts: Counts) {
        let read = self.read;
        let is_behind = upto < read && !self.is_guess;
        // The server counted before it had this client's mark.
        if is_behind && self.counts.is_some() {
            return;
        }
        (self.read, self.is_new, self.is_guess) = (upto, false, false);
        (self.counted, self.counts) = (top, Some(counts));
        self.top = self.top.max(top);
        self.newer.retain(|newer| newer.seq > top && newer.message > upto);
        self.delivered.retain(|seq, _| *seq > upto);
        if is_behind {
            self.read(read);
        }
    }

    fn membership(&self, room: &str, info: &Info) -> Membership {
        let counts = self.counts();
        let title = if info.title.is_empty() { room } else { &info.title };
        Membership {
            room: room.to_owned(),
            title: title.to_owned(),
            access: info.access,
            archived: info.archived,
            role: info.role,
            top: self.top,
            at: self.at,
            read: self.read,
            unread: counts.map(|counts| counts.unread),
            mentions: counts.map(|counts| counts.mentions),
            level: self.level,
        }
    }

    fn conversation(&self, with: &str) -> Conversation {
        Conversation {
            with: with.to_owned(),
            seq: self.top,
            at: self.at,
            read: self.read,
            unread: self.counts().map(|counts| counts.unread),
            level: self.level,
        }
    }
}

impl From<&Membership> for Position {
    fn from(room: &Membership) -> Self {
        let Membership { top, at, read, unread, mentions, level, .. } = *room;
        let counts = unread.map(|unread| Counts { unread, mentions: mentions.unwrap_or_default() });
        Self { top, at, read, counted: top, ..Self::new(level, counts) }
    }
}

impl From<&Conversation> for Position {
    fn from(conversation: &Conversation) -> Self {
        let Conversation { seq: top, at, read, unread, level, .. } = *conversation;
        let counts = unread.map(|unread| Counts { unread, mentions: 0 });
        Self { top, at, read, counted: top, ..Self::new(level, counts) }
    }
}

impl Counts {
    /// The counts with these entries added. Nothing lowers a count that is [`COUNT_MAX`]
    /// before: how many there are is not known.
    fn plus<'a>(self, newer: impl IntoIterator<Item = &'a Newer> + Clone) -> Self {
        let add = |count: u8, more: fn(&Newer) -> i16| {
            let more: i64 = newer.clone().into_iter().map(|newer| i64::from(more(newer))).sum();
            match count {
                COUNT_MAX => COUNT_MAX,
                count => capped(i64::from(count).saturating_add(more).try_into().unwrap_or(0)),
            }
        };
        let unread = add(self.unread, |newer| newer.unread);
        Self { unread, mentions: add(self.mentions, |newer| newer.mentions).min(unread) }
    }

    /// The same if no more than `messages` messages can be unread.
    fn at_most(self, messages: u64) -> Self {
        let unread = self.unread.min(capped(messages));
        Self { unread, mentions: self.mentions.min(unread) }
    }
}

impl From<String> for Access {
    /// An access that a later version of the protocol adds is not for everybody.
    fn from(name: String) -> Self {
        if name == "open" { Self::Open } else { Self::Closed }
    }
}

impl From<String> for Role {
    fn from(name: String) -> Self {
        if name == "moderator" { Self::Moderator } else { Self::Member }
    }
}

impl From<String> for Level {
    fn from(name: String) -> Self {
        match &*name {
            "all" => Self::All,
            "none" => Self::None,
            _ => Self::Mentions,
        }
    }
}

/// A count as it is kept: at most [`COUNT_MAX`].
pub(crate) fn capped(count: u64) -> u8 {
    u8::try_from(count).unwrap_or(COUNT_MAX).min(COUNT_MAX)
}

fn count<'de, D: Deserializer<'de>>(field: D) -> Result<Option<u8>, D::Error> {
    Ok(Option::<u64>::deserialize(field)?.map(capped))
}

fn level_of_rooms() -> Level {
    Level::Mentions
}

fn level_of_conversations() -> Level {
    Level::All
}

/// Makes place for one more item: at the cap, the one with the oldest message goes.
fn forget_oldest<T>(items: &mut BTreeMap<String, T>, at: impl Fn(&T) -> u64) {
    if items.len() >= CONVERSATIONS_MAX
        && let Some(oldest) = items.iter().min_by_key(|(_, item)| at(item)).map(|(name, _)| name.clone())
    {
        items.remove(&oldest);
    }
}

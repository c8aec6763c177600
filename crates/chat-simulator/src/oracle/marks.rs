//! How far users have read, and what is unread.

use std::collections::{BTreeMap, BTreeSet};

use chat_core::{Body, COUNT_MAX, Entry, Level, Pair, RoomName, Topic, Username};

use super::v2::V2;
use super::{Check, Connection, Expected, Oracle, Speaks, ensure};
use crate::wire::Frame;

/// What the users have said.
#[derive(Default)]
pub(super) struct Said {
    /// The highest number that a client of a user has said, of each topic, clamped to the
    /// topic's last one at that time; of a room also its last number when the user became
    /// a member.
    highest: BTreeMap<(Username, Topic), u64>,
    /// How often a hub had to guess what is new.
    guesses: u64,
    /// The topics in which a user has said a number beyond the end: until its hub knows the
    /// end, lower marks do nothing.
    beyond: BTreeSet<(Username, Topic)>,
    /// The highest number that each hub was told by clients of a user who has a place there,
    /// and when it first was, in milliseconds.
    taken: BTreeMap<(usize, Username, Topic), (u64, u64)>,
}

impl Said {
    /// A user became a member of a room, with everything up to `top` read.
    pub(super) fn begin(&mut self, user: &Username, room: &RoomName, top: u64) {
        let highest = self.highest.entry((user.clone(), Topic::Room(room.clone()))).or_insert(0);
        *highest = (*highest).max(top);
    }

    /// A hub has taken that a user is no member of a room any more: it forgets the mark.
    pub(super) fn forget(&mut self, hub: usize, user: &Username, topic: &Topic) {
        self.taken.remove(&(hub, user.clone(), topic.clone()));
    }
}

impl Shown {
    /// Its hub has forgotten the mark of its user, and sends no counts that `hello` left out.
    pub(super) fn forget_said(&mut self) {
        self.said = None;
        self.lacks_counts = false;
    }
}

/// What a connection was shown of a topic.
#[derive(Default, Debug, Clone)]
pub(super) struct Shown {
    /// The number up to which its user has read.
    read: u64,
    /// The number up to which it knows what is new, without the rooms that it has joined;
    /// `None` if the oracle cannot know it.
    pub(super) counted: Option<u64>,
    /// Its `hello` left the counts out, and no `read` came since.
    lacks_counts: bool,
    /// `counted` was said by `hello`: its hub may have to guess who wrote what came before
    /// the hub had the room.
    is_guessed: bool,
    /// What it has said, if the server took it: the highest number, the highest one that was
    /// not beyond the end, and when a client of its user first said that to its hub.
    said: Option<(u64, u64, u64)>,
    /// The highest number that it has said, also where its user had no place: by the time
    /// of the server's answer, the user may be a member.
    tried: u64,
}

/// Unread messages, and those of them that mention the user: at least, and at most, because
/// some were deleted or edited, or are no longer kept, since they may have been counted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) least: (u64, u64),
    pub(crate) most: (u64, u64),
}

impl Counts {
    fn contain(&self, (unread, mentions): (u64, u64)) -> bool {
        (self.least.0..=self.most.0).contains(&unread) && (self.least.1..=self.most.1).contains(&mentions)
    }

    /// With the highest numbers that are counted.
    pub(crate) fn capped(self) -> Self {
        let max = u64::from(COUNT_MAX);
        let cap = |(unread, mentions): (u64, u64)| (unread.min(max), mentions.min(max));
        Self { least: cap(self.least), most: cap(self.most) }
    }
}

impl Oracle {
    /// What is unread of a topic between two numbers, and how much of it mentions the user,
    /// if it was counted since a time, in milliseconds.
    pub(crate) fn counts(
        &self,
        user: &Username,
        topic: &Topic,
        after: u64,
        upto: u64,
        since_ms: u64,
    ) -> Counts {
        let mut counts = Counts::default();
        let Some(log) = self.logs.get(topic) else { return counts };
        // What was no longer kept at that time is not counted, and need not be if it is gone since.
        let old = log.trims.iter().filter(|(at_ms, _)| *at_ms < since_ms).map(|(_, first)| *first);
        let (old, first) = (old.max().unwrap_or(1), self.first(topic));
        for seq in (after + 1).max(old)..=upto.min(self.last(topic)) {
            let Some(entry) = log.entry(seq).filter(|entry| entry.from != *user) else { continue };
            let deleted_ms = log.deleted_ms.get(&seq);
            if !entry.body.is_message() || deleted_ms.is_some_and(|at_ms| *at_ms < since_ms) {
                continue;
            }
            let is_sure = seq >= first && deleted_ms.is_none();
            let edits = log.changes(seq).iter().filter_map(|change| log.entry(*change));
            let edits = edits.filter(|change| matches!(change.body, Body::Edit { .. }));
            let mention = |entry: &Entry| entry.body.mentions().is_some_and(|all| all.contain(user));
            let mut texts = std::iter::once(entry).chain(edits).map(|entry| mention(entry));
            let first_mentions = texts.next() == Some(true);
            let (any, all) =
                texts.fold((first_mentions, first_mentions), |(any, all), one| (any || one, all && one));
            counts.most.0 += 1;
            counts.most.1 += u64::from(any);
            counts.least.0 += u64::from(is_sure);
            counts.least.1 += u64::from(is_sure && all);
        }
        counts
    }

    /// Whether a hub had to guess what is new.
    pub(crate) fn has_guessed(&self) -> bool {
        self.marks.guesses > 0
    }

    /// The topic that a frame names.
    fn place(&self, connection: usize, frame: &Frame) -> Result<Topic, String> {
        let user = self.connections[connection].user.clone();
        match (&frame.room, &frame.with) {
            (Some(room), None) => RoomName::parse(room).map(Topic::Room).map_err(|error| error.to_string()),
            (None, Some(with)) => {
                let with = Username::known(with).map_err(|error| error.to_string())?;
                Ok(Topic::Pair(Pair::new(user, with)))
            }
            _ => Err("of what?".to_owned()),
        }
    }

    fn shown(&mut self, connection: usize, topic: &Topic) -> &mut Shown {
        self.v2_of(connection).shown.entry(topic.clone()).or_default()
    }

    fn v2_of(&mut self, connection: usize) -> &mut V2 {
        match &mut self.connections[connection].speaks {
            Speaks::V2(v2) => v2,
            Speaks::V1(_) => unreachable!("asked for v2 only"),
        }
    }

    /// A hub is stepped with `read` of a client.
    pub(super) fn said(&mut self, connection: usize, topic: &Topic, upto: u64, now_ms: u64) {
        let user = self.connections[connection].user.clone();
        let last = self.last(topic);
        let highest = self.marks.highest.entry((user, topic.clone())).or_insert(0);
        *highest = (*highest).max(upto);
        let user = &self.connections[connection].user;
        if upto > last {
            self.marks.beyond.insert((user.clone(), topic.clone()));
        }
        let shown = self.shown(connection, topic);
        shown.tried = shown.tried.max(upto);
        let user = &self.connections[connection].user;
        if !self.has_place(user, topic) {
            return;
        }
        // Who says what the hub knows already has no news: nobody is shown it once more. Where
        // a `hello` left the place out, a client of the user does not learn it by that.
        let (user, hub) = (user.clone(), self.connections[connection].hub);
        let known = self.marks.taken.entry((hub, user, topic.clone())).or_insert((0, now_ms));
        if upto <= last && upto > known.0 {
            *known = (upto, now_ms);
        }
        let first_ms = known.1;
        let said = &mut self.shown(connection, topic).said;
        let (before, taken, at_ms) = said.unwrap_or((0, 0, now_ms));
        // A mark beyond the end is clamped to what is the end when its hub finds out.
        let (taken, at_ms) = if upto <= last && upto > taken { (upto, first_ms) } else { (taken, at_ms) };
        *said = Some((upto.max(before), taken, at_ms));
    }

    /// The server has refused what a client said of a topic. What it has said since, with a
    /// higher number, is answered for itself.
    pub(super) fn unsaid(&mut self, connection: usize, topic: &Topic, upto: u64) {
        let said = &mut self.shown(connection, topic).said;
        *said = said.filter(|(highest, ..)| *highest > upto);
    }

    /// Checks the positions of `hello`.
    pub(super) fn hello_marks(&mut self, connection: usize, frame: &Frame, now_ms: u64) -> Check {
        let since_ms = now_ms.saturating_sub(COUNTED_MS);
        let user = self.connections[connection].user.clone();
        for listed in frame.rooms.iter().flatten() {
            let room = RoomName::parse(&listed.room).map_err(|error| error.to_string())?;
            let topic = Topic::Room(room);
            let last = self.last(&topic);
            ensure(listed.top <= last, || format!("{topic:?} has {last} only"))?;
            self.is_read(&user, &topic, listed.read)?;
            self.is_level(&user, &topic, Some(&listed.level))?;
            if let Some(unread) = listed.unread {
                let is = (unread, listed.mentions.unwrap_or(0));
                let counts = self.counts(&user, &topic, listed.read, listed.top, since_ms).capped();
                ensure(counts.contain(is), || {
                    format!("{:?} are unread in {topic:?} from {} to {}", counts, listed.read, listed.top)
                })?;
            }
            let lacks_counts = listed.unread.is_none();
            let counted = Some(listed.top);
            let shown = self.shown(connection, &topic);
            *shown = Shown { read: listed.read, counted, lacks_counts, is_guessed: true, ..Shown::default() };
        }
        for listed in frame.privates.iter().flatten() {
            let with = Username::known(&listed.with).map_err(|error| error.to_string())?;
            let topic = Topic::Pair(Pair::new(user.clone(), with));
            let read = listed.read.unwrap_or(0);
            self.is_read(&user, &topic, read)?;
            self.is_level(&user, &topic, listed.level.as_deref())?;
            let (most, _) = self.counts(&user, &topic, read, self.last(&topic), since_ms).most;
            ensure(listed.unread.unwrap_or(0) <= most, || format!("{most} at most are unread in {topic:?}"))?;
            let shown = self.shown(connection, &topic);
            // Conversations that began while it was read are listed without counts.
            let lacks_counts = listed.unread.is_none() && listed.read.is_some();
            *shown = Shown { read, lacks_counts, ..Shown::default() };
        }
        Ok(())
    }

    /// Checks that a user can have read up to a number.
    fn is_read(&self, user: &Username, topic: &Topic, read: u64) -> Check {
        let said = self.marks.highest.get(&(user.clone(), topic.clone())).copied().unwrap_or(0);
        let most = said.min(self.last(topic));
        ensure(read <= most, || format!("{user} has read {topic:?} up to {most} at most, not {read}"))
    }

    /// Checks `read`.
    pub(super) fn read(&mut self, connection: usize, frame: &Frame, now_ms: u64) -> Check {
        self.count("read");
        let topic = self.place(connection, frame)?;
        let user = self.connections[connection].user.clone();
        let (upto, top) = (frame.upto.ok_or("up to where?")?, frame.top.ok_or("without top")?);
        let last = self.last(&topic);
        ensure(upto <= top && top <= last, || format!("{last} is the last"))?;
        self.is_read(&user, &topic, upto)?;
        let is = (frame.unread.unwrap_or(0), frame.mentions_counted().unwrap_or(0));
        let since_ms = now_ms.saturating_sub(COUNTED_MS);
        let counts = self.counts(&user, &topic, upto, top, since_ms).capped();
        ensure(counts.contain(is), || format!("{counts:?} are unread"))?;
        let shown = self.shown(connection, &topic);
        let before = shown.read;
        shown.lacks_counts = false;
        shown.read = before.max(upto);
        ensure(upto >= before, || format!("it was shown {before} before"))
    }

    /// Checks `activity`.
    pub(super) fn activity(&mut self, connection: usize, frame: &Frame) -> Check {
        self.count("activity");
        let topic = self.place(connection, frame)?;
        let Topic::Room(room) = &topic else { return Err("of a pair".to_owned()) };
        let user = self.connections[connection].user.clone();
        let top = frame.top.ok_or("without top")?;
        self.may_get_from_bus(connection, room, top)?;
        ensure(!self.v2_of(connection).stays.contains_key(room), || "it is in that room".to_owned())?;
        let last = self.last(&topic);
        ensure(top <= last, || format!("{last} is the last"))?;
        let shown = self.shown(connection, &topic);
        let before = shown.counted.replace(top);
        let is_guessed = std::mem::take(&mut shown.is_guessed);
        let is = (frame.new.unwrap_or(0), frame.mentions_counted().unwrap_or(0));
        match before {
            Some(before) => {
                // What was counted when it came may be deleted by now.
                let counts = self.counts(&user, &topic, before, top, 0);
                let may_be = is.0 <= top.saturating_sub(before) && is.1 <= counts.most.1;
                if counts.contain(is) || (is_guessed && may_be) {
                    return Ok(());
                }
                // A hub that had the room without a member's client does not know who wrote
                // what, or what is a change: it counts such numbers as messages of others.
                // That is rare.
                self.marks.guesses += 1;
                let shown = self.seen.get("activity").copied().unwrap_or(0);
                let is_rare = self.marks.guesses * 25 <= shown + 75;
                ensure(may_be && is.0 > counts.most.0 && is_rare, || {
                    format!("{counts:?} came since {before}")
                })
            }
            // Its hub may have to guess who wrote what came before the hub had the room.
            None => ensure(is.0 <= top, || format!("there are {top} only")),
        }
    }

    /// Checks `level`.
    pub(super) fn level(&mut self, connection: usize, frame: &Frame) -> Check {
        self.count("level");
        let topic = self.place(connection, frame)?;
        let user = self.connections[connection].user.clone();
        let level = frame.level.as_deref().ok_or("without level")?;
        self.is_level(&user, &topic, Some(level))
    }

    /// Checks that a level is one that the user has chosen, or the default.
    fn is_level(&self, user: &Username, topic: &Topic, level: Option<&str>) -> Check {
        let level = level.unwrap_or(Level::default_of(topic).as_str());
        let is_chosen = self.levels.contains(&(user.clone(), topic.clone(), level.to_owned()));
        ensure(is_chosen || level == Level::default_of(topic).as_str(), || {
            format!("{user} never chose {level}")
        })
    }

    /// From which number on a connection that leaves a room counts what is new.
    pub(super) fn counts_from(&mut self, connection: usize, room: &RoomName, from: Option<u64>) {
        self.shown(connection, &Topic::Room(room.clone())).counted = from;
    }

    /// Checks, at the end, what a connection was shown.
    pub(super) fn marks_are_complete(&self, connection: usize, v2: &V2, expected: &Expected) -> Check {
        let Connection { user, hub, .. } = &self.connections[connection];
        for (topic, shown) in &v2.shown {
            if let Topic::Room(room) = topic {
                let is_member = self.rooms.get(room).is_some_and(|room| room.members.contains_key(user));
                if !is_member || expected.unknown.contains(&(room.clone(), user.clone())) {
                    continue;
                }
                if let (Some(counted), false) = (shown.counted, v2.stays.contains_key(room)) {
                    let (new, _) = self.counts(user, topic, counted, self.last(topic), 0).least;
                    ensure(new == 0, || {
                        format!("does not know of {new} messages in {room} since {counted}")
                    })?;
                }
            }
            ensure(!shown.lacks_counts, || format!("does not know what is unread in {topic:?}"))?;
        }
        // The marks of the user's other clients on the same hub.
        for (other, there) in self.connections.iter().enumerate() {
            let Speaks::V2(theirs) = &there.speaks else { continue };
            if other == connection || there.closed || there.hub != *hub || there.user != *user {
                continue;
            }
            for (topic, shown) in &theirs.shown {
                if self.marks.beyond.contains(&(user.clone(), topic.clone())) {
                    continue;
                }
                let Some((_, said, at_ms)) = shown.said.filter(|(.., at_ms)| *at_ms > v2.greeted_ms) else {
                    continue;
                };
                let mine = v2.shown.get(topic);
                let knows = mine.map_or(0, |mine| mine.read.max(mine.tried));
                ensure(knows >= said, || {
                    format!(
                        "does not know that {} has read {topic:?} up to {said} (at {at_ms} ms)",
                        there.name
                    )
                })?;
            }
        }
        Ok(())
    }

    /// The marks that the log must have at the end, because connections that stay have said
    /// them: user, topic, and at least this number.
    pub(crate) fn marks_said(&self) -> Vec<(Username, Topic, u64)> {
        let mut said = Vec::new();
        for there in self.connections.iter().filter(|there| !there.closed) {
            let Speaks::V2(v2) = &there.speaks else { continue };
            for (topic, shown) in &v2.shown {
                if let Some((_, upto, _)) = shown.said
                    && self.has_place(&there.user, topic)
                    && !self.marks.beyond.contains(&(there.user.clone(), topic.clone()))
                {
                    said.push((there.user.clone(), topic.clone(), upto));
                }
            }
        }
        said
    }

    /// Whether a user may have a mark in a topic.
    fn has_place(&self, user: &Username, topic: &Topic) -> bool {
        match topic {
            Topic::Room(room) => self.rooms.get(room).is_some_and(|room| room.members.contains_key(user)),
            Topic::Pair(_) => self.last(topic) > 0,
        }
    }
}

/// What is counted was read from the log at most this long before it is sent, in
/// milliseconds: a read takes up to three seconds, and `hello` waits for several.
const COUNTED_MS: u64 = 10_000;

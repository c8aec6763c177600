//! The comparison.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use chat_core::Topic;

use super::{Counts, Event, Findings, Frame, Kind, Ledger, Seen, Stored, Told, Watched, Wire, Words, Wrong};

impl Ledger {
    /// Everything that is wrong.
    pub(crate) fn check(&self) -> Findings {
        let mut check = Check::new(self);
        check.store();
        for (number, wire) in self.wires.iter().enumerate() {
            check.wire(number, wire);
        }
        for (number, told) in self.clients.iter().enumerate() {
            check.told(number, told);
        }
        for watched in &self.watchers {
            check.watched(watched);
        }
        check.answers();
        Findings { counts: check.counts, odd: check.odd, wrong: check.wrong }
    }
}

struct Check<'a> {
    ledger: &'a Ledger,
    places: HashMap<&'a Topic, Vec<&'a Stored>>,
    by_words: HashMap<Words, &'a Stored>,
    by_spoken: HashMap<Words, &'a Stored>,
    by_nonce: HashMap<(&'a str, &'a str), &'a Stored>,
    acked: HashSet<(&'a str, &'a str)>,
    acked_as_new: HashSet<(&'a str, &'a str)>,
    on_wire: HashSet<(&'a str, &'a str)>,
    counts: Counts,
    odd: Vec<String>,
    wrong: Vec<Wrong>,
}

impl<'a> Check<'a> {
    fn new(ledger: &'a Ledger) -> Self {
        let mut places: HashMap<&Topic, Vec<&Stored>> = HashMap::new();
        let (mut by_words, mut by_spoken, mut by_nonce) = (HashMap::new(), HashMap::new(), HashMap::new());
        for stored in &ledger.stored {
            places.entry(&stored.topic).or_default().push(stored);
            by_words.entry(stored.words()).or_insert(stored);
            by_spoken.entry(Words::spoken(&stored.from, &stored.text)).or_insert(stored);
            if let Some(nonce) = &stored.nonce {
                by_nonce.entry((&*stored.from, &**nonce)).or_insert(stored);
            }
        }
        let counts = Counts { sends: ledger.sends.len(), stored: ledger.stored.len(), ..Counts::default() };
        Self {
            ledger,
            places,
            by_words,
            by_spoken,
            by_nonce,
            acked: HashSet::new(),
            acked_as_new: HashSet::new(),
            on_wire: HashSet::new(),
            counts,
            odd: Vec::new(),
            wrong: Vec::new(),
        }
    }

    fn say(&mut self, kind: Kind, what: impl Into<String>) {
        self.wrong.push(Wrong { kind, what: what.into() });
    }

    /// The store by itself, and beside what was sent.
    fn store(&mut self) {
        let ledger = self.ledger;
        let mut sends_by_nonce = HashMap::new();
        let mut sends_by_text = HashMap::new();
        for (place, send) in ledger.sends.iter().enumerate() {
            match &send.nonce {
                Some(nonce) => drop(sends_by_nonce.insert((&*send.user, &**nonce), (place, send))),
                None => drop(sends_by_text.insert((&*send.user, &*send.text), (place, send))),
            }
        }
        let refused: HashMap<(&str, &str), &str> = ledger
            .given_up
            .iter()
            .filter(|given_up| !given_up.may_be_stored)
            .map(|given_up| ((&*given_up.user, &*given_up.nonce), &*given_up.code))
            .collect();
        let mut ends: HashMap<&Topic, u64> = HashMap::new();
        let mut texts = HashSet::new();
        let mut nonces = HashSet::new();
        let mut latest: HashMap<(&Topic, usize), (usize, &str)> = HashMap::new();
        for stored in &ledger.stored {
            let Stored { topic, seq, from, text, nonce, .. } = stored;
            let end = ends.entry(topic).or_default();
            let expected = *end + 1;
            *end = (*end).max(*seq);
            if *seq > expected {
                self.say(Kind::Gap, format!("{} is stored behind {}", stored.name(), expected - 1));
            } else if *seq < expected {
                self.say(Kind::Duplicated, format!("{} is stored with a number given before", stored.name()));
            }
            let is_new = nonce.as_ref().is_none_or(|nonce| nonces.insert((from, nonce)));
            if !texts.insert(text) || !is_new {
                self.say(Kind::Duplicated, format!("{} is stored twice", stored.name()));
                continue;
            }
            let sent = match nonce {
                Some(nonce) => sends_by_nonce.get(&(&**from, &**nonce)),
                None => sends_by_text.get(&(&**from, &**text)),
            };
            let Some((place, send)) = sent.filter(|(_, send)| send.topic == *topic && send.text == *text)
            else {
                self.say(Kind::Phantom, format!("nobody sent {}", stored.name()));
                continue;
            };
            if let Some(code) = nonce.as_ref().and_then(|nonce| refused.get(&(&**from, &**nonce))) {
                self.say(Kind::Phantom, format!("{} was refused with {code}", stored.name()));
            }
            if let Some((before, text)) = latest.insert((topic, send.client), (*place, text))
                && before > *place
            {
                let what = format!("{} is stored behind {text:?}, which was sent later", stored.name());
                self.say(Kind::Reordered, what);
            }
        }
    }

    fn wire(&mut self, number: usize, wire: &'a Wire) {
        let user = &*wire.user;
        let at = |what: &str| format!("{what}, on connection {number} of {user}");
        let mut asked: HashMap<&str, (Option<u64>, Option<&str>)> = HashMap::new();
        let mut rooms: HashMap<&Topic, Follow> = HashMap::new();
        let mut pairs: HashMap<&Topic, Follow> = HashMap::new();
        let mut listed_all = false;
        let mut sent = HashSet::new();
        self.counts.connections += 1;
        for (when, frame) in &wire.frames {
            match frame {
                Frame::Hello { privates, has_more } => {
                    listed_all = !has_more;
                    pairs = privates.iter().map(|(pair, seq)| (pair, Follow::behind(*seq))).collect();
                }
                Frame::AskedToJoin { reference, since, epoch } => {
                    asked.insert(reference, (*since, epoch.as_deref()));
                }
                Frame::Joined { reference, room, epoch, seq, recovered } => {
                    let (since, asked_epoch) = asked.remove(&**reference).unwrap_or_default();
                    let mut follow = Follow { top: *seq, ..Follow::default() };
                    if *recovered {
                        self.counts.resumed += 1;
                        let is_possible = since.is_some_and(|since| since <= *seq)
                            && asked_epoch.is_some_and(|asked| asked == &**epoch);
                        if !is_possible {
                            let what =
                                format!("recovered what cannot be, after {since:?} of {asked_epoch:?}");
                            self.say(Kind::PartlyResumed, at(&what));
                        }
                        follow = Follow { next: since.map(|since| since + 1), resumes: true, ..follow };
                    } else if since.is_some() {
                        self.counts.refused_resumes += 1;
                    }
                    if let Some(before) = rooms.insert(room, follow) {
                        self.end(room, before, &at("joined once more"));
                    }
                }
                Frame::Left { room } => {
                    if let Some(follow) = rooms.remove(room) {
                        self.end(room, follow, &at("up to the leaving"));
                    }
                }
                Frame::Sent { nonce, .. } => {
                    sent.insert(&**nonce);
                    if !self.on_wire.insert((user, nonce)) {
                        self.counts.retries += 1;
                    }
                }
                Frame::Ack { nonce, topic, seq, duplicate } => {
                    if !sent.contains(&**nonce) {
                        self.say(Kind::Leaked, at(&format!("an ack of {nonce}, which was not sent")));
                    }
                    self.ack(user, nonce, topic, *seq, *duplicate, *when);
                }
                Frame::Entry(seen) => {
                    let topic = &*seen.topic;
                    let follow = match topic {
                        Topic::Room(_) => rooms.get_mut(topic),
                        Topic::Pair(pair)
                            if [pair.low(), pair.high()].iter().any(|name| name.as_str() == user) =>
                        {
                            Some(pairs.entry(topic).or_insert_with(|| match listed_all {
                                true => Follow::behind(0),
                                false => Follow::default(),
                            }))
                        }
                        Topic::Pair(_) => None,
                    };
                    self.entry(follow, seen, *when, &at("seen"));
                }
                Frame::Error { code, nonce } => {
                    *self.counts.errors.entry(code.clone()).or_default() += 1;
                    if code != "unavailable" && self.odd.len() < ODD_MAX {
                        self.odd.push(at(&format!("{code}: {}", wire.before(*when, nonce.as_deref()))));
                    }
                }
                Frame::AskedToLeave { .. } => {}
                Frame::Reconnect => self.counts.reconnects += 1,
                Frame::Closed { code } => {
                    if let Some(code) = code {
                        *self.counts.closes.entry(*code).or_default() += 1;
                    }
                }
            }
        }
        for (topic, follow) in rooms.into_iter().chain(pairs) {
            self.end(topic, follow, &at("up to the end"));
        }
    }

    fn ack(
        &mut self,
        user: &'a str,
        nonce: &'a str,
        topic: &Topic,
        seq: u64,
        duplicate: bool,
        when: Duration,
    ) {
        self.counts.duplicate_acks += usize::from(duplicate);
        if !duplicate && !self.acked_as_new.insert((user, nonce)) {
            self.say(Kind::Duplicated, format!("{nonce} of {user} was acknowledged as new twice"));
        }
        self.answer(user, nonce, topic, seq, when);
    }

    fn answer(&mut self, user: &'a str, nonce: &'a str, topic: &Topic, seq: u64, when: Duration) {
        self.acked.insert((user, nonce));
        match self.by_nonce.get(&(user, nonce)) {
            Some(stored) if stored.topic == *topic && stored.seq == seq => {}
            Some(stored) => {
                let what =
                    format!("{nonce} of {user} was acknowledged as {topic:?} {seq}: it is {}", stored.name());
                self.say(Kind::Misnumbered, what);
            }
            None if self.is_after_cut(when) => self.counts.after_cut += 1,
            None => self.say(
                Kind::Lost,
                format!("{nonce} of {user} was acknowledged at {when:?} as {topic:?} {seq}"),
            ),
        }
    }

    /// An entry came; no `follow`: it was not for who got it.
    fn entry(&mut self, follow: Option<&mut Follow>, seen: &Seen, when: Duration, at: &str) {
        self.counts.deliveries += 1;
        let Seen { topic, seq, words } = seen;
        let stored = self.at(topic, *seq);
        match stored {
            Some(stored) if stored.words() == *words => {}
            _ => match self.by_words.get(words) {
                Some(other) => {
                    let what = format!("{} was shown as {topic:?} {seq}, {at}", other.name());
                    self.say(Kind::Misnumbered, what);
                }
                None if self.is_after_cut(when) => self.counts.after_cut += 1,
                None => self.say(Kind::Lost, format!("{topic:?} {seq} is not what is stored, {at}")),
            },
        }
        match follow {
            None => self.say(Kind::Leaked, format!("{topic:?} {seq}, {at}")),
            Some(follow) => {
                if let Some(kind) = follow.take(*seq) {
                    self.say(kind, format!("{topic:?} {seq}, {at}"));
                }
            }
        }
    }

    /// What was skipped and never came.
    fn end(&mut self, topic: &Topic, follow: Follow, at: &str) {
        for seq in &follow.skipped {
            let kind = if follow.resumes && *seq <= follow.top { Kind::PartlyResumed } else { Kind::Gap };
            self.say(kind, format!("{topic:?} {seq} was left out, {at}"));
        }
    }

    fn told(&mut self, number: usize, told: &'a Told) {
        let user = &*told.user;
        let at = |what: &str| format!("{what}, told by client {number} of {user}");
        let mut topics: HashMap<&Topic, Follow> = HashMap::new();
        let mut rooms: HashSet<&Topic> = HashSet::new();
        let mut listed_all = None;
        for (when, event) in &told.events {
            match event {
                Event::Online { privates, has_more } => {
                    if listed_all.is_none() {
                        listed_all = Some(!has_more);
                        topics.extend(privates.iter().map(|(pair, seq)| (pair, Follow::behind(*seq))));
                    }
                }
                Event::Joined { room, seq, recovered } => {
                    rooms.insert(room);
                    if !recovered && *seq == 0 {
                        topics.insert(room, Follow::behind(0));
                    } else if !recovered && topics.get(room).is_some_and(|follow| follow.next.is_some()) {
                        self.say(Kind::Gap, at(&format!("{room:?} starts anew without a word")));
                    }
                }
                Event::Left { room } => {
                    rooms.remove(room);
                    if let Some(follow) = topics.remove(room) {
                        self.end(room, follow, &at("up to the leaving"));
                    }
                }
                Event::Reset { topic } => {
                    if let Some(follow) = topics.insert(topic, Follow::default()) {
                        self.end(topic, follow, &at("up to a new start"));
                    }
                }
                Event::Stored { nonce, topic, seq } => self.answer(user, nonce, topic, *seq, *when),
                Event::Entry(seen) => {
                    let topic = &*seen.topic;
                    let is_allowed = match topic {
                        Topic::Room(_) => rooms.contains(topic),
                        Topic::Pair(pair) => {
                            [pair.low(), pair.high()].iter().any(|name| name.as_str() == user)
                        }
                    };
                    let unknown = || match (topic, listed_all) {
                        (Topic::Pair(_), Some(true)) => Follow::behind(0),
                        _ => Follow::default(),
                    };
                    let follow = topics.entry(topic).or_insert_with(unknown);
                    self.entry(Some(follow).filter(|_| is_allowed), seen, *when, &at("seen"));
                }
            }
        }
        let conversations: Vec<&Topic> = self
            .places
            .keys()
            .filter(|topic| match topic {
                Topic::Pair(pair) => [pair.low(), pair.high()].iter().any(|name| name.as_str() == user),
                Topic::Room(_) => false,
            })
            .copied()
            .collect();
        if !told.stayed_in.is_empty() {
            for topic in told.stayed_in.iter().chain(conversations) {
                let last = self.places.get(topic).map_or(0, |entries| entries.len() as u64);
                let next = topics.get(topic).and_then(|follow| follow.next);
                if last > 0 && next.is_none_or(|next| next <= last) {
                    self.say(Kind::Stuck, at(&format!("{topic:?} goes to {last}, next is {next:?}")));
                }
            }
        }
        for (topic, follow) in topics {
            self.end(topic, follow, &at("up to the end"));
        }
    }

    fn watched(&mut self, watched: &Watched) {
        let Watched { user, room, seen } = watched;
        let at = format!("seen by the watcher {user} in {room}");
        let mut topics: HashMap<&Topic, Follow> = HashMap::new();
        for (when, topic, spoken) in seen {
            self.counts.deliveries += 1;
            let is_allowed = match topic {
                Topic::Room(name) => name.as_str() == room,
                Topic::Pair(pair) => [pair.low(), pair.high()].iter().any(|name| name.as_str() == &**user),
            };
            if !is_allowed {
                self.say(Kind::Leaked, format!("{topic:?}, {at}"));
            }
            match self.by_spoken.get(spoken) {
                Some(stored) if stored.topic == *topic => {
                    if let Some(kind) = topics.entry(topic).or_default().take(stored.seq) {
                        self.say(kind, format!("{}, {at}", stored.name()));
                    }
                }
                Some(stored) => self.say(Kind::Misnumbered, format!("{} in {topic:?}, {at}", stored.name())),
                None if self.is_after_cut(*when) => self.counts.after_cut += 1,
                None => self.say(Kind::Lost, format!("something in {topic:?}, {at}")),
            }
        }
        for (topic, follow) in topics {
            self.end(topic, follow, &at);
        }
    }

    /// Every send has its answer.
    fn answers(&mut self) {
        self.counts.acknowledged = self.acked.len();
        let given_up: HashSet<(&str, &str)> =
            self.ledger.given_up.iter().map(|given_up| (&*given_up.user, &*given_up.nonce)).collect();
        for send in &self.ledger.sends {
            if let Some(nonce) = &send.nonce {
                let key = (&*send.user, &**nonce);
                if !self.acked.contains(&key) && !given_up.contains(&key) {
                    self.say(Kind::Stuck, format!("{nonce} of {} has no answer", send.user));
                }
            }
        }
    }

    fn at(&self, topic: &Topic, seq: u64) -> Option<&'a Stored> {
        let entries = self.places.get(topic)?;
        let guess = entries.get(usize::try_from(seq.checked_sub(1)?).ok()?);
        match guess {
            Some(stored) if stored.seq == seq => Some(stored),
            // Where numbers are missing or doubled.
            _ => entries.iter().find(|stored| stored.seq == seq).copied(),
        }
    }

    fn is_after_cut(&self, when: Duration) -> bool {
        self.ledger.cuts.iter().any(|(from, to)| (*from..=*to).contains(&when))
    }
}

impl Wire {
    /// What this connection said about the room of a send, up to its answer.
    fn before(&self, when: Duration, nonce: Option<&str>) -> String {
        let room = self.frames.iter().find_map(|(_, frame)| match frame {
            Frame::Sent { nonce: sent, topic } if Some(&**sent) == nonce => Some(topic),
            _ => None,
        });
        let Some(room) = room else { return "not about a send".to_owned() };
        let about = self.frames.iter().filter(|(at, _)| *at <= when).filter(|(_, frame)| match frame {
            Frame::Sent { topic, .. } => topic == room,
            Frame::Joined { room: joined, .. }
            | Frame::Left { room: joined }
            | Frame::AskedToLeave { room: joined } => *joined == **room,
            Frame::AskedToJoin { .. } | Frame::Error { .. } => true,
            _ => false,
        });
        let about: Vec<String> = about.map(|(at, frame)| format!("{at:?} {frame:?}")).collect();
        about[about.len().saturating_sub(12)..].join("; ")
    }
}

/// More are not told.
const ODD_MAX: usize = 5;

/// Follows the numbers of a topic.
#[derive(Default)]
struct Follow {
    /// Any number may come first where this is not known.
    next: Option<u64>,
    /// What was left out so far.
    skipped: BTreeSet<u64>,
    /// What comes up to `top` is the rest of a resume.
    resumes: bool,
    top: u64,
}

impl Follow {
    fn behind(seq: u64) -> Self {
        Self { next: Some(seq + 1), ..Self::default() }
    }

    fn take(&mut self, seq: u64) -> Option<Kind> {
        let next = match self.next {
            Some(next) => next,
            // A replay begins at or before what was the end, or right behind it.
            None if self.top > 0 && seq > self.top => self.top + 1,
            None => seq,
        };
        if seq < next {
            let is_late = self.skipped.remove(&seq);
            return Some(if is_late { Kind::Reordered } else { Kind::Duplicated });
        }
        self.skipped.extend((next..seq).take(SKIPPED_MAX));
        self.next = Some(seq + 1);
        None
    }
}

/// More is not told of one hole.
const SKIPPED_MAX: usize = 100;

impl Stored {
    fn words(&self) -> Words {
        Words::of(&self.from, &self.text, self.nonce.as_deref(), self.timestamp)
    }

    fn name(&self) -> String {
        let text: String = self.text.chars().take(40).collect();
        format!("{:?} {} ({}: {text:?})", self.topic, self.seq, self.from)
    }
}

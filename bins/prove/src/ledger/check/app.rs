//! The events of clients for their applications, and the messages of v1 connections.

use std::collections::{HashMap, HashSet};

use chat_core::Topic;

use super::Check;
use super::sequence::Sequence;
use crate::ledger::{AppLog, Event, Kind, V1Connection};

impl<'a> Check<'a> {
    /// Checks the events of a client, across all of its connections.
    pub(super) fn app(&mut self, number: usize, app: &'a AppLog) {
        let user = &*app.user;
        let at = |what: &str| format!("{what}, for the application of client {number} of {user}");
        let mut topics: HashMap<&Topic, Sequence> = HashMap::new();
        let mut rooms: HashSet<&Topic> = HashSet::new();
        let mut listed_all = None;
        for (when, event) in &app.events {
            match event {
                Event::Online { privates, has_more } => {
                    if listed_all.is_none() {
                        listed_all = Some(!has_more);
                        topics.extend(privates.iter().map(|(pair, seq)| (pair, Sequence::after(*seq))));
                    }
                }
                Event::Joined { room, seq, recovered } => {
                    rooms.insert(room);
                    if !recovered && *seq == 0 {
                        topics.insert(room, Sequence::after(0));
                    } else if !recovered && topics.get(room).is_some_and(|sequence| sequence.next.is_some()) {
                        self.report(Kind::Gap, at(&format!("{room:?} starts over without a reset")));
                    }
                }
                Event::Left { room } => {
                    rooms.remove(room);
                    if let Some(sequence) = topics.remove(room) {
                        self.end(room, sequence, &at("up to the leaving"));
                    }
                }
                Event::Reset { topic } => {
                    if let Some(sequence) = topics.insert(topic, Sequence::default()) {
                        self.end(topic, sequence, &at("up to a reset"));
                    }
                }
                Event::Stored { nonce, topic, seq } => self.answer(user, nonce, topic, *seq, *when),
                Event::Entry(seen) => {
                    let topic = &*seen.topic;
                    let is_allowed = match topic {
                        Topic::Room(_) => rooms.contains(topic) && !self.is_after_removal(user, seen),
                        Topic::Pair(pair) => {
                            [pair.low(), pair.high()].iter().any(|name| name.as_str() == user)
                        }
                    };
                    let unknown = || match (topic, listed_all) {
                        (Topic::Pair(_), Some(true)) => Sequence::after(0),
                        _ => Sequence::default(),
                    };
                    let sequence = topics.entry(topic).or_insert_with(unknown);
                    self.entry(Some(sequence).filter(|_| is_allowed), seen, *when, &at("seen"));
                }
            }
        }
        let conversations: Vec<&Topic> = self
            .logs
            .keys()
            .filter(|topic| match topic {
                Topic::Pair(pair) => [pair.low(), pair.high()].iter().any(|name| name.as_str() == user),
                Topic::Room(_) => false,
            })
            .copied()
            .collect();
        if !app.stayed_in.is_empty() {
            for topic in app.stayed_in.iter().chain(conversations) {
                let last = self.logs.get(topic).map_or(0, |log| log.entries.len() as u64);
                let next = topics.get(topic).and_then(|sequence| sequence.next);
                if last > 0 && next.is_none_or(|next| next <= last) {
                    self.report(
                        Kind::Stuck,
                        at(&format!("{topic:?} ends with {last}, the next expected number is {next:?}")),
                    );
                }
            }
        }
        for (topic, sequence) in topics {
            self.end(topic, sequence, &at("up to the end"));
        }
    }

    /// Checks the messages of a connection of protocol v1.
    pub(super) fn v1_connection(&mut self, connection: &V1Connection) {
        let V1Connection { user, room, seen } = connection;
        let at = format!("seen by the watcher {user} in {room}");
        let mut topics: HashMap<&Topic, Sequence> = HashMap::new();
        for (when, topic, content) in seen {
            self.counts.deliveries += 1;
            let is_allowed = match topic {
                Topic::Room(name) => name.as_str() == room,
                Topic::Pair(pair) => [pair.low(), pair.high()].iter().any(|name| name.as_str() == &**user),
            };
            if !is_allowed {
                self.report(Kind::Leaked, format!("{topic:?}, {at}"));
            }
            match self.by_v1_content.get(content) {
                Some(stored) if stored.topic == *topic => {
                    if let Some(kind) = topics.entry(topic).or_default().take(stored.seq) {
                        self.report(kind, format!("{}, {at}", stored.name()));
                    }
                }
                Some(stored) => {
                    self.report(Kind::Misnumbered, format!("{} in {topic:?}, {at}", stored.name()))
                }
                None if self.is_after_cut(*when) => self.counts.after_cut += 1,
                None => self.report(Kind::Lost, format!("something in {topic:?}, {at}")),
            }
        }
        for (topic, mut sequence) in topics {
            // v1 is shown no changes, and no messages that are deleted by then.
            sequence.missing.retain(|seq| {
                let Some(stored) = self.at(topic, *seq) else { return true };
                stored.what.target().is_none() && !self.logs[topic].version(stored, u64::MAX).1.deleted
            });
            self.end(topic, sequence, &at);
        }
    }
}

//! The connections of protocol v2, each by itself.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use chat_core::Topic;

use super::Check;
use super::sequence::Sequence;
use crate::ledger::{Connection, Frame, Kind};

impl<'a> Check<'a> {
    /// Checks the frames of a connection in their order.
    pub(super) fn connection(&mut self, number: usize, connection: &'a Connection) {
        let user = &*connection.user;
        let at = |what: &str| format!("{what}, on connection {number} of {user}");
        let mut requests: HashMap<&str, (Option<u64>, Option<&str>)> = HashMap::new();
        let mut rooms: HashMap<&Topic, Sequence> = HashMap::new();
        let mut pairs: HashMap<&Topic, Sequence> = HashMap::new();
        let mut listed_all = false;
        let mut sent = HashSet::new();
        self.counts.connections += 1;
        for (when, frame) in &connection.frames {
            match frame {
                Frame::Hello { privates, has_more, .. } => {
                    listed_all = !has_more;
                    pairs = privates.iter().map(|(pair, seq)| (pair, Sequence::after(*seq))).collect();
                }
                Frame::JoinRequest { reference, since, epoch } => {
                    requests.insert(reference, (*since, epoch.as_deref()));
                }
                Frame::Joined { reference, room, epoch, seq, recovered } => {
                    let (since, requested_epoch) = requests.remove(&**reference).unwrap_or_default();
                    let mut sequence = Sequence { joined_at_seq: *seq, ..Sequence::default() };
                    if *recovered {
                        self.counts.resumed += 1;
                        let is_possible = since.is_some_and(|since| since <= *seq)
                            && requested_epoch.is_some_and(|requested| requested == &**epoch);
                        if !is_possible {
                            let what =
                                format!("an impossible recovery, after {since:?} of {requested_epoch:?}");
                            self.report(Kind::PartlyResumed, at(&what));
                        }
                        sequence =
                            Sequence { next: since.map(|since| since + 1), is_resume: true, ..sequence };
                    } else if since.is_some() {
                        self.counts.refused_resumes += 1;
                    }
                    if let Some(before) = rooms.insert(room, sequence) {
                        self.end(room, before, &at("joined once more"));
                    }
                }
                Frame::Left { room } => {
                    if let Some(sequence) = rooms.remove(room) {
                        self.end(room, sequence, &at("up to the leaving"));
                    }
                }
                Frame::Sent { nonce, .. } => {
                    sent.insert(&**nonce);
                    if !self.transmitted.insert((user, nonce)) {
                        self.counts.retries += 1;
                    }
                }
                Frame::Ack { nonce, topic, seq, duplicate } => {
                    if !sent.contains(&**nonce) {
                        self.report(Kind::Leaked, at(&format!("an ack of {nonce}, which was not sent")));
                    }
                    self.ack(user, nonce, topic, *seq, *duplicate, *when);
                }
                Frame::Entry(seen) => {
                    let topic = &*seen.topic;
                    let sequence = match topic {
                        _ if self.is_after_removal(user, seen) => None,
                        Topic::Room(_) => rooms.get_mut(topic),
                        Topic::Pair(pair)
                            if [pair.low(), pair.high()].iter().any(|name| name.as_str() == user) =>
                        {
                            Some(pairs.entry(topic).or_insert_with(|| match listed_all {
                                true => Sequence::after(0),
                                false => Sequence::default(),
                            }))
                        }
                        Topic::Pair(_) => None,
                    };
                    self.entry(sequence, seen, *when, &at("seen"));
                }
                Frame::Error { code, nonce } => {
                    *self.counts.errors.entry(code.clone()).or_default() += 1;
                    let was_removed = self.ledger.removals.iter().any(|removal| *removal.user == *user);
                    let send = nonce.as_ref().and_then(|nonce| self.sends.get(&(user, &**nonce)));
                    let is_change = send.is_some_and(|send| send.what.target().is_some());
                    let is_expected = code == "unavailable"
                        || (is_change && matches!(&**code, "forbidden" | "not_found" | "too_many"))
                        || (was_removed && matches!(&**code, "forbidden" | "not_joined" | "not_found"));
                    if !is_expected && self.unexpected.len() < UNEXPECTED_MAX {
                        self.unexpected
                            .push(at(&format!("{code}: {}", connection.before(*when, nonce.as_deref()))));
                    }
                }
                Frame::LeaveRequest { .. } | Frame::Read { .. } => {}
                Frame::Reconnect => self.counts.reconnects += 1,
                Frame::Closed { code } => {
                    if let Some(code) = code {
                        *self.counts.closes.entry(*code).or_default() += 1;
                    }
                }
            }
        }
        for (topic, sequence) in rooms.into_iter().chain(pairs) {
            self.end(topic, sequence, &at("up to the end"));
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
            self.report(Kind::Duplicated, format!("{nonce} of {user} was acknowledged as new twice"));
        }
        self.answer(user, nonce, topic, seq, when);
    }
}

impl Connection {
    /// The last frames about the topic of a send, up to a time.
    fn before(&self, when: Duration, nonce: Option<&str>) -> String {
        let topic = self.frames.iter().find_map(|(_, frame)| match frame {
            Frame::Sent { nonce: sent, topic } if Some(&**sent) == nonce => Some(topic),
            _ => None,
        });
        let Some(topic) = topic else { return "not about a send".to_owned() };
        let about = self.frames.iter().filter(|(at, _)| *at <= when).filter(|(_, frame)| match frame {
            Frame::Sent { topic: to, .. } => to == topic,
            Frame::Joined { room: joined, .. }
            | Frame::Left { room: joined }
            | Frame::LeaveRequest { room: joined } => *joined == **topic,
            Frame::JoinRequest { .. } | Frame::Error { .. } => true,
            _ => false,
        });
        let about: Vec<String> = about.map(|(at, frame)| format!("{at:?} {frame:?}")).collect();
        about[about.len().saturating_sub(12)..].join("; ")
    }
}

/// How many unexpected errors are listed.
const UNEXPECTED_MAX: usize = 5;

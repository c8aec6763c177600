//! The comparison of the records with the store, and with each other.

mod app;
mod connection;
mod marks;
mod sequence;
mod states;
mod store;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use chat_core::Topic;

use self::sequence::Sequence;
use super::state::Logs;
use super::{ContentHash, Counts, Findings, Kind, Ledger, Seen, Send, Stored, Target, Violation, What};

impl Ledger {
    /// Checks everything.
    pub(crate) fn check(&self) -> Findings {
        let mut check = Check::new(self);
        check.store();
        for (number, connection) in self.connections.iter().enumerate() {
            check.connection(number, connection);
        }
        for (number, app) in self.apps.iter().enumerate() {
            check.app(number, app);
        }
        for connection in &self.v1_connections {
            check.v1_connection(connection);
        }
        check.answers();
        check.marks();
        check.states();
        Findings { counts: check.counts, unexpected: check.unexpected, violations: check.violations }
    }
}

/// The sends that have a nonce, by user and nonce.
fn sends(ledger: &Ledger) -> HashMap<(&str, &str), &Send> {
    let mut sends = HashMap::new();
    for send in &ledger.sends {
        if let Some(nonce) = &send.nonce {
            sends.insert((&*send.user, &**nonce), send);
        }
    }
    sends
}

/// The stored entries of each topic.
pub(super) fn logs(ledger: &Ledger) -> Logs<'_> {
    let sends = sends(ledger);
    let mut logs = Logs::default();
    for stored in &ledger.stored {
        let key = stored.nonce.as_ref().map(|nonce| (&*stored.from, &**nonce));
        let send = key.and_then(|key| sends.get(&key)).copied();
        logs.entry(&stored.topic).or_default().add(stored, send);
    }
    logs
}

/// A check in progress: the store by several keys, and the findings so far.
struct Check<'a> {
    ledger: &'a Ledger,
    /// The stored entries of each topic.
    logs: Logs<'a>,
    /// The sends that have a nonce, by user and nonce.
    sends: HashMap<(&'a str, &'a str), &'a Send>,
    by_content: HashMap<ContentHash, &'a Stored>,
    by_v1_content: HashMap<ContentHash, &'a Stored>,
    by_nonce: HashMap<(&'a str, &'a str), &'a Stored>,
    /// The user and nonce of acknowledged sends.
    acked: HashSet<(&'a str, &'a str)>,
    acked_as_new: HashSet<(&'a str, &'a str)>,
    /// The user and nonce of sends on any connection.
    transmitted: HashSet<(&'a str, &'a str)>,
    counts: Counts,
    unexpected: Vec<String>,
    violations: Vec<Violation>,
}

impl<'a> Check<'a> {
    fn new(ledger: &'a Ledger) -> Self {
        let (mut by_content, mut by_v1_content) = (HashMap::new(), HashMap::new());
        let logs = logs(ledger);
        let named = |stored: &'a Stored| Some(((&*stored.from, &**stored.nonce.as_ref()?), stored));
        let mut by_nonce = HashMap::new();
        for (key, stored) in ledger.stored.iter().filter_map(named) {
            by_nonce.entry(key).or_insert(stored);
        }
        for stored in &ledger.stored {
            let log = &logs[&stored.topic];
            let text = match stored.what {
                What::Message(_) | What::Edit { .. } => Some(log.text(stored)),
                What::Delete { .. } | What::React { .. } | What::Unreact { .. } => None,
            };
            by_content.entry(stored.content(text)).or_insert(stored);
            let message = stored.what.target().map_or(Some(stored), |target| log.at(target));
            if let (Some(text), Some(message)) = (text, message) {
                by_v1_content.entry(ContentHash::of_v1(&message.from, text)).or_insert(message);
            }
        }
        let changes = ledger.stored.iter().filter(|stored| stored.what.target().is_some()).count();
        let (sent, stored) = (ledger.sends.len(), ledger.stored.len());
        let counts = Counts { sends: sent, stored, changes, ..Counts::default() };
        Self {
            ledger,
            logs,
            sends: sends(ledger),
            by_content,
            by_v1_content,
            by_nonce,
            acked: HashSet::new(),
            acked_as_new: HashSet::new(),
            transmitted: HashSet::new(),
            counts,
            unexpected: Vec::new(),
            violations: Vec::new(),
        }
    }

    fn report(&mut self, kind: Kind, description: impl Into<String>) {
        self.violations.push(Violation { kind, description: description.into() });
    }

    /// Checks the number in an acknowledgement.
    fn answer(&mut self, user: &'a str, nonce: &'a str, topic: &Topic, seq: u64, when: Duration) {
        self.acked.insert((user, nonce));
        match self.by_nonce.get(&(user, nonce)) {
            Some(stored) if stored.topic == *topic && stored.seq == seq => {}
            Some(stored) => {
                let what =
                    format!("{nonce} of {user} was acknowledged as {topic:?} {seq}: it is {}", stored.name());
                self.report(Kind::Misnumbered, what);
            }
            None if self.was_so(user, nonce, topic, seq) => {}
            None if self.is_after_cut(when) => self.counts.after_cut += 1,
            None => self.report(
                Kind::Lost,
                format!("{nonce} of {user} was acknowledged at {when:?} as {topic:?} {seq}"),
            ),
        }
    }

    /// Whether an entry was stored after this user was removed from its room.
    fn is_after_removal(&self, user: &str, seen: &Seen) -> bool {
        let mut removals = self.ledger.removals.iter().filter(|removal| *removal.user == *user);
        removals.any(|removal| removal.next.topic == *seen.topic && removal.next_seq <= seen.seq)
    }

    /// Checks a received entry; without a `sequence` it was not for its recipient.
    fn entry(&mut self, sequence: Option<&mut Sequence>, seen: &Seen, when: Duration, at: &str) {
        self.counts.deliveries += 1;
        let Seen { topic, seq, content, .. } = seen;
        let stored = self.at(topic, *seq);
        match stored {
            Some(stored) if self.logs[&**topic].may_be_shown(stored, seen) => {
                if !self.logs[&**topic].is_right_state(stored, seen) {
                    self.report(Kind::WrongState, format!("{} is shown otherwise, {at}", stored.name()));
                }
            }
            _ => match self.by_content.get(content) {
                Some(other) if other.topic == **topic && other.seq == *seq => {
                    self.report(Kind::WrongState, format!("{} has another text, {at}", other.name()));
                }
                Some(other) => {
                    let what = format!("{} was shown as {topic:?} {seq}, {at}", other.name());
                    self.report(Kind::Misnumbered, what);
                }
                None if self.is_after_cut(when) => self.counts.after_cut += 1,
                None => self.report(Kind::Lost, format!("{topic:?} {seq} is not what is stored, {at}")),
            },
        }
        match sequence {
            None => self.report(Kind::Leaked, format!("{topic:?} {seq}, {at}")),
            Some(sequence) => {
                if let Some(kind) = sequence.take(*seq) {
                    self.report(kind, format!("{topic:?} {seq}, {at}"));
                }
            }
        }
    }

    /// Reports the numbers of a topic that never came.
    fn end(&mut self, topic: &Topic, sequence: Sequence, at: &str) {
        for seq in &sequence.missing {
            let kind = if sequence.is_resume && *seq <= sequence.joined_at_seq {
                Kind::PartlyResumed
            } else {
                Kind::Gap
            };
            self.report(kind, format!("{topic:?} {seq} was left out, {at}"));
        }
    }

    /// Checks that every send was answered.
    fn answers(&mut self) {
        self.counts.acknowledged = self.acked.len();
        let given_up: HashSet<(&str, &str)> =
            self.ledger.given_up.iter().map(|given_up| (&*given_up.user, &*given_up.nonce)).collect();
        for send in &self.ledger.sends {
            if let Some(nonce) = &send.nonce {
                let key = (&*send.user, &**nonce);
                if !self.acked.contains(&key) && !given_up.contains(&key) {
                    self.report(Kind::Stuck, format!("{nonce} of {} has no answer", send.user));
                }
            }
        }
    }

    /// The stored entry with this number.
    fn at(&self, topic: &Topic, seq: u64) -> Option<&'a Stored> {
        self.logs.get(topic)?.at(seq)
    }

    /// Whether a change that has no entry wanted what this entry had made so.
    fn was_so(&self, user: &str, nonce: &str, topic: &Topic, seq: u64) -> bool {
        let Some(send) = self.sends.get(&(user, nonce)) else { return false };
        self.at(topic, seq).is_some_and(|stored| stored.is_what(send, self.target(send)))
    }

    /// The number of the message that a send changes.
    fn target(&self, send: &Send) -> Option<u64> {
        match send.what.target()? {
            Target::Number(seq) => Some(*seq),
            Target::Nonce(nonce) => Some(self.by_nonce.get(&(&*send.user, &**nonce))?.seq),
        }
    }

    fn is_after_cut(&self, when: Duration) -> bool {
        self.ledger.cuts.iter().any(|(from, to)| (*from..=*to).contains(&when))
    }
}

impl Stored {
    fn name(&self) -> String {
        let text: String = self.text.chars().take(40).collect();
        format!("{:?} {} ({} of {}: {text:?})", self.topic, self.seq, self.what.kind(), self.from)
    }
}

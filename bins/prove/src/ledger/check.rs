//! The comparison of the records with the store, and with each other.

mod app;
mod connection;
mod marks;
mod sequence;
mod store;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use chat_core::Topic;

use self::sequence::Sequence;
use super::{ContentHash, Counts, Findings, Kind, Ledger, Seen, Stored, Violation};

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
        Findings { counts: check.counts, unexpected: check.unexpected, violations: check.violations }
    }
}

/// A check in progress: the store by several keys, and the findings so far.
struct Check<'a> {
    ledger: &'a Ledger,
    /// The stored entries of each topic.
    entries: HashMap<&'a Topic, Vec<&'a Stored>>,
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
        let mut entries: HashMap<&Topic, Vec<&Stored>> = HashMap::new();
        let (mut by_content, mut by_v1_content, mut by_nonce) =
            (HashMap::new(), HashMap::new(), HashMap::new());
        for stored in &ledger.stored {
            entries.entry(&stored.topic).or_default().push(stored);
            by_content.entry(stored.content()).or_insert(stored);
            by_v1_content.entry(ContentHash::of_v1(&stored.from, &stored.text)).or_insert(stored);
            if let Some(nonce) = &stored.nonce {
                by_nonce.entry((&*stored.from, &**nonce)).or_insert(stored);
            }
        }
        let counts = Counts { sends: ledger.sends.len(), stored: ledger.stored.len(), ..Counts::default() };
        Self {
            ledger,
            entries,
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
        let Seen { topic, seq, content } = seen;
        let stored = self.at(topic, *seq);
        match stored {
            Some(stored) if stored.content() == *content => {}
            _ => match self.by_content.get(content) {
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
        let entries = self.entries.get(topic)?;
        let guess = entries.get(usize::try_from(seq.checked_sub(1)?).ok()?);
        match guess {
            Some(stored) if stored.seq == seq => Some(stored),
            // Numbers are missing or doubled.
            _ => entries.iter().find(|stored| stored.seq == seq).copied(),
        }
    }

    fn is_after_cut(&self, when: Duration) -> bool {
        self.ledger.cuts.iter().any(|(from, to)| (*from..=*to).contains(&when))
    }
}

impl Stored {
    fn content(&self) -> ContentHash {
        ContentHash::of_v2(&self.from, &self.text, self.nonce.as_deref(), self.timestamp)
    }

    fn name(&self) -> String {
        let text: String = self.text.chars().take(40).collect();
        format!("{:?} {} ({}: {text:?})", self.topic, self.seq, self.from)
    }
}

//! How far users have read.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use chat_core::Topic;

use super::Check;
use crate::ledger::{Connection, Frame, Kind};

impl Check<'_> {
    /// Checks that no mark is lost: at the end the store has every one, as clients repeat
    /// them; and no `hello` shows less than what a server had time to keep.
    pub(super) fn marks(&mut self) {
        let ledger = self.ledger;
        let mut highest: HashMap<(&str, &Topic), u64> = HashMap::new();
        for reading in &ledger.readings {
            let upto = highest.entry((&reading.user, &reading.topic)).or_default();
            *upto = (*upto).max(reading.upto);
        }
        for ((user, topic), upto) in highest {
            let mut removals = ledger.removals.iter();
            if removals.any(|removal| *removal.user == *user && removal.next.topic == *topic) {
                continue;
            }
            let kept = ledger.marks.get(&(user.into(), topic.clone())).copied().unwrap_or_default();
            if kept < upto {
                let what = format!("{user} has read {topic:?} up to {upto}: the store has {kept}");
                self.report(Kind::MarkLost, what);
            }
        }
        if ledger.kills.is_empty() {
            return;
        }
        // By user: from when on a server must show which mark.
        let mut kept: HashMap<&str, Vec<(Duration, &Topic, u64)>> = HashMap::new();
        for connection in &ledger.connections {
            for (index, (at, frame)) in connection.frames.iter().enumerate() {
                if let Frame::Read { topic, upto } = frame
                    && let Some(processed) = connection.processed(index)
                    && !ledger.kills.iter().any(|kill| (*at..=processed + KEPT_WITHIN).contains(kill))
                {
                    let marks = kept.entry(&connection.user).or_default();
                    marks.push((processed + KEPT_WITHIN, topic, *upto));
                }
            }
        }
        for (number, connection) in ledger.connections.iter().enumerate() {
            let Some((at, Frame::Hello { reads, .. })) = connection.frames.first() else { continue };
            let kept = kept.get(&*connection.user).map_or(&[][..], Vec::as_slice);
            for (topic, read) in reads {
                let due = kept.iter().filter(|(from, of, _)| from <= at && *of == topic);
                if let Some(upto) = due.map(|(.., upto)| *upto).max()
                    && *read < upto
                {
                    let what = format!(
                        "{topic:?} is read up to {read} in the hello of connection {number} of {}: {upto} was kept",
                        connection.user
                    );
                    self.report(Kind::MarkLost, what);
                }
            }
        }
    }
}

impl Connection {
    /// The time by which the server had processed the sent frame with this index: it had
    /// acknowledged a later one.
    fn processed(&self, index: usize) -> Option<Duration> {
        let later = self.frames.iter().skip(index);
        let sent: HashSet<&str> = later
            .clone()
            .filter_map(|(_, frame)| match frame {
                Frame::Sent { nonce, .. } => Some(&**nonce),
                _ => None,
            })
            .collect();
        let mut acks = later.filter_map(|(at, frame)| match frame {
            Frame::Ack { nonce, .. } if sent.contains(&**nonce) => Some(*at),
            _ => None,
        });
        acks.next()
    }
}

/// A server that lives this long after a mark has kept it: 2 s, and some time for a busy
/// machine.
const KEPT_WITHIN: Duration = Duration::from_secs(3);

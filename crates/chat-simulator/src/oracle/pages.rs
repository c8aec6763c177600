//! The pages of history that v2 connections get.

use chat_core::Topic;

use super::v2::{OpenRequest, What};
use super::{Check, Oracle, Speaks, ensure};
use crate::wire::Frame;

/// Which part of a topic a connection has asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    Latest,
    Before(u64),
    After(u64),
    Around(u64),
    Numbers(Vec<u64>),
}

/// A request for a page.
#[derive(Debug, Clone)]
pub(super) struct PageRequest {
    /// `None`: nobody can have that name.
    pub(super) of: Option<Topic>,
    pub(super) name: String,
    pub(super) asked: Asked,
    pub(super) limit: Option<u64>,
    pub(super) fold: bool,
    /// The number up to which the connection had everything of the topic when its hub was
    /// stepped with the request, if that is known.
    pub(super) position: Option<u64>,
}

impl Oracle {
    pub(super) fn history(&mut self, connection: usize, frame: &Frame) -> Check {
        self.count("history");
        let name = frame.room.as_ref().or(frame.with.as_ref()).ok_or("of what?")?;
        let v2 = self.v2(connection);
        let what = v2.answered(frame, |what| matches!(what, What::History(page) if page.name == *name))?;
        let at_ms = what.at_ms;
        let What::History(request) = what.what else { return Err("not asked for".to_owned()) };
        let messages = frame.messages.as_deref().unwrap_or_default();
        let Some(topic) = request.of.clone() else {
            return ensure(messages.is_empty(), || "nobody has that name".to_owned());
        };
        if let Topic::Room(room) = &topic {
            // It may ask as soon as it has asked to come in.
            let comes =
                |open: &OpenRequest| matches!(&open.what, What::Join { room: of, .. } if of == room.as_str());
            let is_in = v2.stays.contains_key(room) || v2.requests.iter().any(comes);
            ensure(is_in, || "it is not in that room".to_owned())?;
        }
        for message in messages {
            let seq = message.seq.ok_or("without seq")?;
            if let Topic::Room(room) = &topic {
                self.may_get(&self.connections[connection].user, room, seq)?;
            }
            self.is_entry(&topic, seq, message)?;
            self.is_read_since(&topic, message, at_ms)?;
        }
        match request.asked {
            Asked::Around(_) => self.count("history around"),
            Asked::Numbers(_) => self.count("history seqs"),
            _ if request.fold => self.count("history folded"),
            _ => {}
        }
        match &request.asked {
            Asked::Numbers(numbers) => {
                let upto = self.last_before(&topic, at_ms);
                self.has_numbers(&topic, numbers, upto, frame)?;
            }
            _ if request.fold => self.is_folded_page(&topic, &request, at_ms, frame)?,
            _ => self.is_dense_page(&topic, &request, at_ms, frame)?,
        }
        self.loads(connection, &topic, request.position, messages)
    }

    /// Checks a page with all kinds of entries.
    fn is_dense_page(&self, topic: &Topic, request: &PageRequest, at_ms: u64, frame: &Frame) -> Check {
        ensure(frame.covers_from().is_none() && frame.upto.is_none(), || "it is not folded".to_owned())?;
        let seqs: Vec<u64> = numbers(frame).collect();
        ensure(seqs.windows(2).all(|two| two[1] == two[0] + 1), || "it has a gap".to_owned())?;
        let (Some(&from), Some(&to)) = (seqs.first(), seqs.last()) else { return Ok(()) };
        let first = frame.first.unwrap_or(0);
        ensure(from >= first, || "older than the first".to_owned())?;
        match request.asked {
            Asked::Before(before) => ensure(to < before, || "not before".to_owned()),
            Asked::After(after) => {
                // The next one, unless it is no longer kept.
                let next = (after + 1).max(first);
                ensure(from == next, || format!("it begins with {from}, not {next}"))
            }
            Asked::Around(around) => {
                let last = self.last_before(topic, at_ms);
                let is_near = from <= around && around <= to;
                ensure(is_near || around < first || around > last, || format!("{around} is not in it"))
            }
            Asked::Latest | Asked::Numbers(_) => Ok(()),
        }
    }

    /// Checks a page with messages only: it has all that are kept of what it covers.
    fn is_folded_page(&self, topic: &Topic, request: &PageRequest, at_ms: u64, frame: &Frame) -> Check {
        let (from, upto) = (frame.covers_from().ok_or("without from")?, frame.upto.ok_or("without upto")?);
        let seqs: Vec<u64> = numbers(frame).collect();
        let is_rising = seqs.windows(2).all(|two| two[0] < two[1]);
        ensure(is_rising, || "they are not in order".to_owned())?;
        ensure(seqs.iter().all(|seq| (from..=upto).contains(seq)), || format!("it covers {from} to {upto}"))?;
        let first = self.first(topic);
        let mut lacks = self.messages_in(topic, from.max(first), upto).filter(|seq| !seqs.contains(seq));
        let lacks = lacks.next();
        ensure(lacks.is_none(), || format!("{lacks:?} is missing"))?;
        if let Some(limit) = request.limit {
            ensure(seqs.len() as u64 <= limit.max(1), || format!("more than {limit}"))?;
        }
        let last = self.last(topic);
        match request.asked {
            Asked::Latest => {
                let position = request.position.unwrap_or(0);
                ensure(position <= upto && upto <= last, || format!("it was at {position}"))
            }
            Asked::Before(before) => {
                let position = request.position.unwrap_or(0);
                let least = before.saturating_sub(1).min(position);
                ensure(least <= upto && upto < before.max(1), || format!("it does not end before {before}"))
            }
            Asked::After(after) => ensure(from == after + 1, || format!("it does not begin after {after}")),
            Asked::Around(around) => {
                let is_near = around <= upto && self.only_changes(topic, around, from.saturating_sub(1));
                let last = self.last_before(topic, at_ms);
                ensure(is_near || around < first || around > last || seqs.is_empty(), || {
                    format!("{around} is not in it")
                })
            }
            Asked::Numbers(_) => Ok(()),
        }
    }

    /// Checks the messages with some numbers: those that there are, at least up to a number.
    fn has_numbers(&self, topic: &Topic, asked: &[u64], upto: u64, frame: &Frame) -> Check {
        let seqs: Vec<u64> = numbers(frame).collect();
        let is_rising = seqs.windows(2).all(|two| two[0] < two[1]);
        ensure(is_rising && seqs.iter().all(|seq| asked.contains(seq)), || "not asked for".to_owned())?;
        let messages = seqs.iter().all(|seq| self.is_message(topic, *seq));
        ensure(messages, || "a change".to_owned())?;
        let is_cut = frame.has_more == Some(true);
        let lacks = asked.iter().find(|&&seq| {
            seq <= upto && seq >= self.first(topic) && self.is_message(topic, seq) && !seqs.contains(&seq)
        });
        ensure(is_cut || lacks.is_none(), || format!("{lacks:?} is missing"))
    }

    /// Notes the messages that a connection loads, with the changes that they contain. A
    /// client keeps changes that come while a page is outstanding, and applies them to it.
    fn loads(
        &mut self,
        connection: usize,
        topic: &Topic,
        asked_at: Option<u64>,
        messages: &[Frame],
    ) -> Check {
        let now_at = match &self.connections[connection].speaks {
            Speaks::V2(v2) => v2.position(topic),
            Speaks::V1(_) => None,
        };
        let (Some(asked_at), Some(now_at)) = (asked_at, now_at) else { return Ok(()) };
        for message in messages {
            let Some(seq) = message.seq.filter(|seq| self.is_message(topic, *seq)) else { continue };
            let updated = message.updated.unwrap_or(0);
            let sent_before = self.last_change(topic, seq, asked_at);
            ensure(updated >= sent_before, || {
                format!("{seq} lacks its change {sent_before}, which the connection was sent before it asked")
            })?;
            let updated = updated.max(self.last_change(topic, seq, now_at));
            let shows = self.v2(connection).shows.entry(topic.clone()).or_default();
            let shown = shows.entry(seq).or_insert(0);
            *shown = (*shown).max(updated);
        }
        Ok(())
    }
}

fn numbers(frame: &Frame) -> impl Iterator<Item = u64> {
    frame.messages.iter().flatten().filter_map(|message| message.seq)
}

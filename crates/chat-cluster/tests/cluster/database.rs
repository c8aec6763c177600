//! A model of the database: what each commit writes, and what reads of the feed find.

use std::collections::{BTreeMap, BTreeSet};

use chat_cluster::{FeedPage, FeedStart, Incarnation, Part, Point, Record, Sequencer, Writer};
use chat_core::Topic;

#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Database {
    pub(crate) servers: BTreeSet<Incarnation>,
    /// The last number of each topic, and the commit that gave it.
    pub(crate) topics: BTreeMap<Topic, (u64, Point)>,
    pub(crate) rows: BTreeMap<Point, Record>,
    pub(crate) now_ms: u64,
}

impl Database {
    pub(crate) fn with_servers(numbers: impl IntoIterator<Item = u32>) -> Self {
        Self { servers: numbers.into_iter().map(crate::start).collect(), ..Self::default() }
    }

    /// Commits entries, so many in each topic.
    pub(crate) fn commit(&mut self, writer: Writer, entries: &[(Topic, u64)]) -> Record {
        let at = Point { writer, n: self.newest(writer) + 1 };
        let mut parts = Vec::new();
        for (topic, count) in entries {
            let before = self.topics.get(topic).copied();
            let (first, last) =
                (before.map_or(1, |(last, _)| last + 1), before.map_or(0, |(last, _)| last) + count);
            self.topics.insert(topic.clone(), (last, at));
            let previous = before.map(|(_, point)| point);
            parts.push(Part { topic: topic.clone(), first, last, previous, entries: None });
        }
        let record = Record { at, parts, controls: Vec::new() };
        self.rows.insert(at, record.clone());
        record
    }

    /// The number of a writer's newest commit.
    pub(crate) fn newest(&self, writer: Writer) -> u64 {
        let rows = self.rows.range(Point { writer, n: 0 }..=Point { writer, n: u64::MAX });
        rows.last().map_or(0, |(at, _)| at.n)
    }

    pub(crate) fn start(&self) -> FeedStart {
        let writers: BTreeSet<Writer> = self.rows.keys().map(|at| at.writer).collect();
        let seen = writers.into_iter().map(|writer| Point { writer, n: self.newest(writer) }).collect();
        FeedStart { servers: self.servers.iter().copied().collect(), seen, db_ms: self.now_ms }
    }

    /// What a server that has taken so much reads, at most `max` rows of each writer.
    pub(crate) fn page(&self, reader: &Sequencer, max: usize) -> FeedPage {
        let seen: BTreeMap<Writer, u64> = reader.seen().map(|point| (point.writer, point.n)).collect();
        let writers: BTreeSet<Writer> = self.rows.keys().map(|at| at.writer).collect();
        let (mut records, mut is_whole) = (Vec::new(), true);
        for writer in writers {
            let after = seen.get(&writer).copied().unwrap_or(0);
            let mut rows = self.rows.range(Point { writer, n: after + 1 }..=Point { writer, n: u64::MAX });
            records.extend(rows.by_ref().take(max).map(|(_, record)| record.clone()));
            is_whole &= rows.next().is_none();
        }
        let servers = self.servers.iter().copied().collect();
        FeedPage { servers, records, is_whole, db_ms: self.now_ms }
    }
}

use std::collections::{BTreeMap, BTreeSet};

use chat_cluster::{Control, FeedPage, Lane, Output, Point, Record, Sequencer, SequencerOptions};
use chat_core::{SessionId, Topic};
use proptest::prelude::*;

use crate::database::Database;
use crate::{entry, pair, part, point, room, start, writer};

/// Server 1 of a cluster, and the database.
struct Server {
    database: Database,
    sequencer: Sequencer,
    now_ms: u64,
}

impl Server {
    fn new(options: SequencerOptions) -> Self {
        let database = Database::with_servers([1, 2, 3]);
        let sequencer = Sequencer::new(start(1), &database.start(), options);
        Self { database, sequencer, now_ms: 0 }
    }

    /// What is put out, in words.
    fn outputs(&mut self) -> Vec<String> {
        let mut words = Vec::new();
        while let Some(output) = self.sequencer.next_output() {
            words.push(match output {
                Output::Deliver(delivery) => {
                    let parts = delivery.parts.iter().map(|part| match &part.topic {
                        Topic::Room(_) => format!("room {}-{}", part.first, part.last),
                        Topic::Pair(_) => format!("pair {}-{}", part.first, part.last),
                    });
                    let controls = delivery.controls.iter().map(|control| format!("{control:?}"));
                    parts.chain(controls).collect::<Vec<_>>().join(", ")
                }
                Output::Settled(at) => format!("settled {}", at.n),
                Output::ReadFeed => "read".to_owned(),
                Output::Behind => "behind".to_owned(),
            });
        }
        words
    }

    fn read(&mut self) -> Vec<String> {
        let page = self.database.page(&self.sequencer, usize::MAX);
        self.sequencer.feed(self.now_ms, page);
        self.outputs()
    }

    fn bus(&mut self, record: &Record) -> Vec<String> {
        self.sequencer.bus(self.now_ms, record.clone());
        self.outputs()
    }

    fn pass(&mut self, ms: u64) -> Vec<String> {
        self.now_ms += ms;
        self.sequencer.tick(self.now_ms);
        self.outputs()
    }
}

fn server() -> Server {
    Server::new(SequencerOptions::default())
}

const NOTHING: [&str; 0] = [];

#[test]
fn records_are_taken_in_their_order_and_once() {
    let mut server = server();
    let records = [1, 2, 3].map(|_| server.database.commit(writer(2, 0), &[(room("tea"), 1)]));
    assert_eq!(server.bus(&records[0]), ["room 1-1"]);
    assert_eq!(server.bus(&records[2]), NOTHING);
    assert_eq!(server.sequencer.next_ms(), Some(10));
    // What was late comes: nothing is read.
    assert_eq!(server.bus(&records[1]), ["room 2-2", "room 3-3"]);
    assert_eq!(server.bus(&records[2]), NOTHING);
    assert_eq!((server.sequencer.next_ms(), server.pass(10)), (None, vec![]));
}

#[test]
fn what_the_bus_loses_is_read_after_a_while() {
    let mut server = server();
    let records = [1, 2].map(|_| server.database.commit(writer(2, 0), &[(room("tea"), 1)]));
    assert_eq!(server.bus(&records[1]), NOTHING);
    assert_eq!(server.pass(9), NOTHING);
    assert_eq!(server.pass(1), ["read"]);
    server.sequencer.feed_failed(server.now_ms);
    assert_eq!(server.pass(99), NOTHING);
    assert_eq!(server.pass(1), ["read"]);
    assert_eq!(server.read(), ["room 1-1", "room 2-2"]);
}

#[test]
fn what_waits_at_a_failover_is_read_again() {
    let mut server = server();
    let records = [1, 2].map(|_| server.database.commit(writer(2, 0), &[(room("tea"), 1)]));
    assert_eq!(server.bus(&records[1]), NOTHING);
    server.sequencer.told(0, point(2, 0, 3));
    server.sequencer.failed_over();
    assert!(!server.sequencer.is_waiting());
    // The second one is lost with the old primary.
    server.database.rows.remove(&records[1].at);
    server.sequencer.read_now();
    assert_eq!(server.outputs(), ["read"]);
    assert_eq!(server.read(), ["room 1-1"]);
}

#[test]
fn a_heartbeat_tells_of_a_lost_last_record() {
    let mut server = server();
    server.database.commit(writer(2, 0), &[(room("tea"), 1)]);
    server.sequencer.told(0, point(2, 0, 1));
    assert_eq!(server.pass(10), ["read"]);
    assert_eq!(server.read(), ["room 1-1"]);
    server.sequencer.told(server.now_ms, point(2, 0, 1));
    assert_eq!(server.sequencer.next_ms(), None);
}

#[test]
fn a_conversation_waits_for_what_precedes_it_and_a_room_does_not() {
    let mut server = server();
    let both = [(pair("al", "bo"), 1), (room("tea"), 1)];
    let first = server.database.commit(writer(2, 0), &both);
    let second = server.database.commit(writer(3, 0), &both);
    let third = server.database.commit(writer(3, 0), &both);
    assert_eq!(server.bus(&second), ["room 2-2"]);
    assert_eq!(server.bus(&third), ["room 3-3"]);
    assert_eq!(server.bus(&first), ["pair 1-1, room 1-1", "pair 2-2", "pair 3-3"]);
    assert_eq!(server.pass(10), NOTHING, "nothing waits any more");
}

#[test]
fn the_answer_to_a_send_waits_for_what_precedes_it() {
    let mut server = server();
    server.database.commit(writer(2, 0), &[(pair("al", "bo"), 2)]);
    let own =
        [1, 2].map(|_| server.database.commit(writer(1, 0), &[(pair("al", "bo"), 1), (room("tea"), 1)]));
    server.sequencer.commit(0, own[0].clone(), false);
    // The room gets its entries, nobody is acknowledged, and the feed is read at once.
    assert_eq!(server.outputs(), ["room 1-1", "read"]);
    server.sequencer.commit(0, own[1].clone(), false);
    assert_eq!(server.outputs(), ["room 2-2"]);
    let read = ["pair 1-2", "pair 3-3", "pair 4-4", "settled 1", "settled 2", "read"];
    assert_eq!(server.read(), read, "the second commit asked for another read");
}

#[test]
fn an_own_commit_that_the_feed_brings_first_is_delivered_once() {
    let mut server = server();
    let own = server.database.commit(writer(1, 0), &[(room("tea"), 1)]);
    server.sequencer.read_now();
    assert_eq!(server.outputs(), ["read"]);
    assert_eq!(server.read(), ["room 1-1"]);
    server.sequencer.commit(0, own, false);
    assert_eq!(server.outputs(), ["settled 1"]);
}

#[test]
fn a_batch_that_is_being_stored_is_not_taken_from_the_feed() {
    let mut server = server();
    server.sequencer.storing(Lane(0));
    let own = server.database.commit(writer(1, 0), &[(room("tea"), 1)]);
    server.database.commit(writer(1, 1), &[(room("bar"), 1)]);
    server.sequencer.read_now();
    assert_eq!(server.outputs(), ["read"]);
    assert_eq!(server.read(), ["room 1-1"], "of the lane that stores nothing");
    assert_eq!(server.sequencer.next_ms(), None);
    server.sequencer.commit(0, own, false);
    assert_eq!(server.outputs(), ["room 1-1", "settled 1"]);
}

#[test]
fn a_batch_that_was_given_up_is_taken_from_the_feed() {
    let mut server = server();
    server.sequencer.storing(Lane(0));
    server.database.commit(writer(1, 0), &[(room("tea"), 1)]);
    server.sequencer.gave_up(Lane(0));
    // The lane stores the next batch before the feed is read.
    server.sequencer.storing(Lane(0));
    server.sequencer.read_now();
    assert_eq!(server.outputs(), ["read"]);
    assert_eq!(server.read(), ["room 1-1"]);
    let next = server.database.commit(writer(1, 0), &[(room("tea"), 1)]);
    server.sequencer.commit(0, next, false);
    assert_eq!(server.outputs(), ["room 2-2", "settled 2"]);
    // The lane knows what is stored again.
    server.sequencer.storing(Lane(0));
    server.database.commit(writer(1, 0), &[(room("tea"), 1)]);
    server.sequencer.read_now();
    assert_eq!(server.outputs(), ["read"]);
    assert_eq!(server.read(), NOTHING);
}

#[test]
fn the_answer_to_a_repeated_send_waits_for_what_another_lane_is_storing() {
    let mut server = server();
    server.sequencer.storing(Lane(0));
    let first = server.database.commit(writer(1, 0), &[(room("tea"), 1)]);
    let again = server.database.commit(writer(1, 1), &[]);
    server.sequencer.commit(0, again, true);
    assert_eq!(server.outputs(), ["read"]);
    assert_eq!(server.read(), NOTHING, "the first lane has yet to hear of its commit");
    server.sequencer.commit(0, first, false);
    assert_eq!(server.outputs(), ["room 1-1", "settled 1", "read"]);
    assert_eq!(server.read(), ["settled 1"]);
}

#[test]
fn the_answer_to_a_repeated_send_waits_for_what_was_stored_first() {
    let mut server = server();
    // Stored by a server that died before it could tell anybody.
    server.database.commit(writer(2, 0), &[(pair("al", "bo"), 1)]);
    let own = server.database.commit(writer(1, 0), &[]);
    // A read that began before says nothing.
    server.sequencer.read_now();
    assert_eq!(server.outputs(), ["read"]);
    server.sequencer.commit(0, own, true);
    let empty = FeedPage { records: Vec::new(), ..server.database.page(&server.sequencer, 0) };
    server.sequencer.feed(0, FeedPage { is_whole: true, ..empty });
    assert_eq!(server.outputs(), ["read"]);
    server.sequencer.feed_failed(0);
    assert_eq!(server.pass(100), ["read"]);
    assert_eq!(server.read(), ["pair 1-1", "settled 1"]);
}

#[test]
fn a_commit_behind_a_given_up_one_waits_for_that() {
    let mut server = server();
    server.database.commit(writer(1, 0), &[(room("tea"), 1)]);
    let own = server.database.commit(writer(1, 0), &[(room("tea"), 1)]);
    server.sequencer.commit(0, own, false);
    assert_eq!(server.outputs(), ["read"]);
    assert_eq!(server.read(), ["room 1-1", "room 2-2", "settled 2"]);
}

#[test]
fn controls_are_delivered_like_entries() {
    let mut server = server();
    let control = Control::EndSession(SessionId::new("s"));
    let record = Record { at: point(2, u16::MAX, 1), parts: Vec::new(), controls: vec![control] };
    assert_eq!(server.bus(&record).len(), 1);
    assert_eq!(server.bus(&record), NOTHING);
}

#[test]
fn a_server_that_starts_takes_what_it_finds_as_known() {
    let mut server = server();
    let first = server.database.commit(writer(2, 0), &[(pair("al", "bo"), 1)]);
    server.sequencer = Sequencer::new(start(1), &server.database.start(), SequencerOptions::default());
    assert_eq!(server.bus(&first), NOTHING);
    let second = server.database.commit(writer(3, 0), &[(pair("al", "bo"), 1)]);
    assert_eq!(server.bus(&second), ["pair 2-2"]);
}

#[test]
fn what_ended_starts_have_written_is_known() {
    let mut server = server();
    server.database.commit(writer(2, 0), &[(pair("al", "bo"), 1)]);
    // Server 2 is gone with its rows; the pair still names its commit.
    server.database.servers.remove(&start(2));
    server.database.rows.clear();
    server.sequencer = Sequencer::new(start(1), &server.database.start(), SequencerOptions::default());
    let next = server.database.commit(writer(3, 0), &[(pair("al", "bo"), 1)]);
    assert_eq!(server.bus(&next), ["pair 2-2"]);
    // A start that is newer than all that are known is waited for.
    let newer = part(&pair("al", "bo"), 3, 3, Some(point(4, 0, 1)));
    let record = Record { at: point(3, 0, 2), parts: vec![newer], controls: Vec::new() };
    assert_eq!(server.bus(&record), NOTHING);
    assert_eq!(server.sequencer.waiting_parts(), 1);
}

#[test]
fn a_server_that_is_further_behind_than_the_feed_learns_it() {
    let mut server = server();
    for _ in 0..3 {
        server.database.commit(writer(2, 0), &[(room("tea"), 1)]);
    }
    server.database.rows.remove(&point(2, 0, 1));
    server.sequencer.read_now();
    assert_eq!(server.outputs(), ["read"]);
    assert_eq!(server.read(), ["behind"]);
    server.sequencer.read_now();
    assert_eq!(server.outputs(), NOTHING);

    // Nothing is missing, but the rows of a server may have gone with it.
    let mut late = self::server();
    late.database.now_ms = 600_001;
    late.sequencer.read_now();
    assert_eq!(late.read(), ["read", "behind"]);

    let mut removed = self::server();
    removed.database.servers.remove(&start(1));
    removed.sequencer.read_now();
    assert_eq!(removed.read(), ["read", "behind"]);
}

#[test]
fn what_waits_is_bounded_and_read_afresh() {
    let options = SequencerOptions { waiting_max_parts: 3, ..SequencerOptions::default() };
    let mut server = Server::new(options);
    let records: Vec<Record> =
        (0..20).map(|_| server.database.commit(writer(2, 0), &[(room("tea"), 1)])).collect();
    for record in &records[1..] {
        assert_eq!(server.bus(record), NOTHING);
        assert!(server.sequencer.waiting_parts() <= 3);
    }
    assert_eq!(server.pass(10), ["read"]);
    assert_eq!(server.read().len(), 20);
    assert!(!server.sequencer.is_waiting());

    // Held parts, too: the feed brings them in several reads.
    for index in 0..20 {
        let topic = pair("al", &format!("user {index}"));
        server.database.commit(writer(3, 0), &[(topic.clone(), 1)]);
        server.database.commit(writer(2, 0), &[(topic, 1)]);
    }
    server.sequencer.read_now();
    let mut reads = 0;
    let mut delivered = 0;
    while server.outputs().last().is_some_and(|last| last == "read") {
        reads += 1;
        assert!(reads < 40);
        let page = server.database.page(&server.sequencer, 5);
        server.sequencer.feed(server.now_ms, page);
        assert!(server.sequencer.waiting_parts() <= 3);
        let mut rest = server.sequencer.clone();
        while let Some(output) = rest.next_output() {
            delivered += usize::from(matches!(output, Output::Deliver(_)));
        }
    }
    assert_eq!(delivered, 40);
}

#[test]
fn bytes_that_wait_are_bounded() {
    let options = SequencerOptions { waiting_max_bytes: 500, ..SequencerOptions::default() };
    let mut server = Server::new(options);
    for n in 2..10 {
        let topic = room("tea");
        let entries = Some([entry(&topic, n, &"x".repeat(150))].into());
        let parts = vec![chat_cluster::Part { entries, ..part(&topic, n, n, None) }];
        server.bus(&Record { at: point(2, 0, n), parts, controls: Vec::new() });
    }
    assert_eq!(server.sequencer.waiting_parts(), 2);
}

/// What happens in a random cluster.
#[derive(Debug, Clone)]
enum Act {
    Commit {
        server: u32,
        lane: u16,
        topics: u8,
    },
    /// The bus carries a message, one that is under way, perhaps not for the last time.
    Carry {
        which: usize,
        again: bool,
    },
    Lose {
        which: usize,
    },
    Snapshot {
        server: u32,
    },
    Answer {
        server: u32,
        fails: bool,
    },
    Pass {
        ms: u64,
    },
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (1..=3_u32, 0..2_u16, 1..8_u8).prop_map(|(server, lane, topics)| Act::Commit { server, lane, topics }),
        10 => (any::<usize>(), proptest::bool::weighted(0.1)).prop_map(|(which, again)| Act::Carry { which, again }),
        1 => any::<usize>().prop_map(|which| Act::Lose { which }),
        2 => (1..=3_u32).prop_map(|server| Act::Snapshot { server }),
        2 => (1..=3_u32, proptest::bool::weighted(0.1)).prop_map(|(server, fails)| Act::Answer { server, fails }),
        3 => (0..30_u64).prop_map(|ms| Act::Pass { ms }),
    ]
}

/// One server of a random cluster, with what its hubs have got.
struct Node {
    sequencer: Sequencer,
    wants_read: bool,
    page: Option<FeedPage>,
    got: BTreeMap<Topic, Vec<u64>>,
    delivered: BTreeMap<Point, usize>,
    settled: Vec<Point>,
}

impl Node {
    fn perform(&mut self, database: &Database) {
        while let Some(output) = self.sequencer.next_output() {
            match output {
                Output::Deliver(delivery) => {
                    *self.delivered.entry(delivery.at).or_default() += delivery.parts.len();
                    for part in delivery.parts {
                        let got = self.got.entry(part.topic.clone()).or_default();
                        for seq in part.first..=part.last {
                            assert!(!got.contains(&seq), "{:?} {seq} twice", part.topic);
                            let next = got.last().map_or(1, |last| last + 1);
                            assert!(
                                matches!(part.topic, Topic::Room(_)) || seq == next,
                                "{got:?} before {seq}"
                            );
                            got.push(seq);
                        }
                    }
                }
                Output::Settled(at) => {
                    assert_eq!(
                        self.delivered[&at],
                        database.rows[&at].parts.len(),
                        "{at:?} is settled too early"
                    );
                    let before = self.settled.iter().rfind(|before| before.writer == at.writer);
                    assert!(before.is_none_or(|before| before.n < at.n));
                    self.settled.push(at);
                }
                Output::ReadFeed => {
                    assert!(!self.wants_read && self.page.is_none(), "two reads at once");
                    self.wants_read = true;
                }
                Output::Behind => panic!("nothing was dropped"),
            }
        }
    }
}

proptest! {
    #[test]
    fn every_topic_gets_everything_once_and_in_order(
        acts in prop::collection::vec(act(), 1..150),
        waiting_max_parts in 1..20_usize,
        max in 1..5_usize,
    ) {
        let options = SequencerOptions { waiting_max_parts, ..SequencerOptions::default() };
        let mut database = Database::with_servers([1, 2, 3]);
        let node = |number| Node {
            sequencer: Sequencer::new(start(number), &database.start(), options.clone()),
            wants_read: false,
            page: None,
            got: BTreeMap::new(),
            delivered: BTreeMap::new(),
            settled: Vec::new(),
        };
        let mut nodes = [1, 2, 3].map(node);
        let mut bus: Vec<(usize, Record)> = Vec::new();
        let mut own = BTreeSet::new();
        let mut now_ms = 0;
        for act in acts {
            match act {
                Act::Commit { server, lane, topics } => {
                    // A topic is in one lane.
                    let all = [room(&format!("r{lane}")), pair("al", &format!("b{lane}")), pair("al", &format!("c{lane}"))];
                    let entries: Vec<_> = std::iter::zip(0.., all)
                        .filter(|(bit, _)| topics & (1 << bit) != 0)
                        .map(|(bit, topic)| (topic, 1 + u64::from(topics + bit) % 2))
                        .collect();
                    let record = database.commit(writer(server, lane), &entries);
                    own.insert(record.at);
                    let index = server as usize - 1;
                    bus.extend((0..3).filter(|to| *to != index).map(|to| (to, record.clone())));
                    nodes[index].sequencer.commit(now_ms, record, false);
                }
                Act::Carry { which, again } if !bus.is_empty() => {
                    let which = which % bus.len();
                    let (to, record) = if again { bus[which].clone() } else { bus.swap_remove(which) };
                    nodes[to].sequencer.bus(now_ms, record);
                }
                Act::Lose { which } if !bus.is_empty() => drop(bus.swap_remove(which % bus.len())),
                Act::Snapshot { server } => {
                    let node = &mut nodes[server as usize - 1];
                    if std::mem::take(&mut node.wants_read) {
                        node.page = Some(database.page(&node.sequencer, max));
                    }
                }
                Act::Answer { server, fails } => {
                    let node = &mut nodes[server as usize - 1];
                    match node.page.take() {
                        Some(_) if fails => node.sequencer.feed_failed(now_ms),
                        Some(page) => node.sequencer.feed(now_ms, page),
                        None => {}
                    }
                }
                Act::Pass { ms } => {
                    now_ms += ms;
                    nodes.iter_mut().for_each(|node| node.sequencer.tick(now_ms));
                }
                Act::Carry { .. } | Act::Lose { .. } => {}
            }
            nodes.iter_mut().for_each(|node| node.perform(&database));
        }
        // In the end, each server polls.
        for node in &mut nodes {
            if let Some(page) = node.page.take() {
                node.sequencer.feed(now_ms, page);
            }
            node.sequencer.read_now();
            node.perform(&database);
            let mut reads = 0;
            while std::mem::take(&mut node.wants_read) {
                reads += 1;
                prop_assert!(reads < 1_000, "reads never end");
                let page = database.page(&node.sequencer, max);
                node.sequencer.feed(now_ms, page);
                node.perform(&database);
            }
            prop_assert!(!node.sequencer.is_waiting(), "{:?}", node.sequencer);
            prop_assert_eq!(node.sequencer.waiting_parts(), 0);
            for (topic, (last, _)) in &database.topics {
                let mut got = node.got.remove(topic).unwrap_or_default();
                got.sort_unstable();
                prop_assert_eq!(got, (1..=*last).collect::<Vec<_>>(), "{:?}", topic);
            }
        }
        let settled: BTreeSet<Point> = nodes.iter().flat_map(|node| node.settled.iter().copied()).collect();
        prop_assert_eq!(settled, own);
    }
}

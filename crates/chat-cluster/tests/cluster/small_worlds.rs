//! The sequencer in small worlds, all of them: every order in which messages arrive, are lost or
//! doubled, the feed is read, and servers crash.
//!
//! Two servers with two lanes each. Lane 0 writes to a room, lane 1 to a conversation, or both
//! lanes' topics are in one lane. Each step of a commit is one of its own: the transaction, its
//! answer (which is when the record is published), its way over the bus, and of a read of the feed
//! the snapshot and the answer. Time does not pass: what waits may be read at any moment.

use std::collections::{BTreeMap, BTreeSet};

use chat_cluster::{FeedPage, Lane, Output, Point, Record, Sequencer, SequencerOptions};
use chat_core::Topic;
use stateright::{Checker, Model, Property};

use crate::database::Database;
use crate::{pair, room, start, writer};

#[derive(Clone)]
struct Worlds {
    /// Commits of each server in each lane.
    commits: [[u64; 2]; 2],
    /// The topics of each lane.
    topics: [Vec<Topic>; 2],
    /// How often the bus may carry one record to one server.
    copies: u8,
    /// The second server may crash.
    crashes: bool,
    /// Servers also poll when nothing waits.
    polls: bool,
    /// Lanes may go on without the answer to a commit.
    gives_up: bool,
    #[cfg(feature = "planted-bugs")]
    bug: Option<chat_cluster::PlantedBug>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct World {
    database: Database,
    nodes: [Option<Node>; 2],
    /// Records on the bus, with how often each may still arrive.
    bus: BTreeMap<(usize, Point), u8>,
    commits: [[u64; 2]; 2],
    broken: Option<&'static str>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Node {
    sequencer: Sequencer,
    /// The commits whose answers are on their way, by lane.
    unanswered: [Option<Record>; 2],
    /// Lanes that have given a batch up since their last commit.
    doubtful: [bool; 2],
    read: Read,
    /// What the hubs have got.
    got: BTreeMap<Topic, BTreeSet<u64>>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Read {
    None,
    Wanted,
    UnderWay(Vec<Record>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Commit(usize, usize),
    Answer(usize, usize),
    GiveUp(usize, usize),
    Carry(usize, Point),
    Tick(usize),
    Poll(usize),
    Snapshot(usize),
    Read(usize),
    ReadFails(usize),
    Crash,
}

impl Worlds {
    fn options() -> SequencerOptions {
        SequencerOptions { gap_wait_ms: 0, retry_ms: 0, ..SequencerOptions::default() }
    }

    fn sequencer(&self, number: u32, database: &Database) -> Sequencer {
        let sequencer = Sequencer::new(start(number), &database.start(), Self::options());
        #[cfg(feature = "planted-bugs")]
        let sequencer = sequencer.with_bug(self.bug);
        sequencer
    }

    fn is_calm(&self, node: &Node) -> bool {
        node.read == Read::None
    }
}

impl Model for Worlds {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let database = Database::with_servers([1, 2]);
        let node = |number| {
            let sequencer = self.sequencer(number, &database);
            let (unanswered, doubtful) = ([None, None], [false; 2]);
            Some(Node { sequencer, unanswered, doubtful, read: Read::None, got: BTreeMap::new() })
        };
        let nodes = [node(1), node(2)];
        vec![World { database, nodes, bus: BTreeMap::new(), commits: self.commits, broken: None }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        if world.broken.is_some() {
            return;
        }
        for (index, node) in world.nodes.iter().enumerate() {
            let Some(node) = node else { continue };
            for lane in 0..2 {
                match node.unanswered[lane] {
                    Some(_) if self.gives_up => {
                        steps.extend([Step::Answer(index, lane), Step::GiveUp(index, lane)]);
                    }
                    Some(_) => steps.push(Step::Answer(index, lane)),
                    None if world.commits[index][lane] > 0 => steps.push(Step::Commit(index, lane)),
                    None => {}
                }
            }
            match node.read {
                Read::None if node.sequencer.next_ms().is_some() => steps.push(Step::Tick(index)),
                Read::None if self.polls => steps.push(Step::Poll(index)),
                Read::None => {}
                Read::Wanted => steps.push(Step::Snapshot(index)),
                Read::UnderWay(_) => steps.extend([Step::Read(index), Step::ReadFails(index)]),
            }
        }
        steps.extend(
            world
                .bus
                .keys()
                .filter(|(to, _)| world.nodes[*to].is_some())
                .map(|(to, at)| Step::Carry(*to, *at)),
        );
        if self.crashes && world.nodes[1].is_some() {
            steps.push(Step::Crash);
        }
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut world = world.clone();
        match step {
            Step::Commit(index, lane) => {
                world.commits[index][lane] -= 1;
                let entries: Vec<_> = self.topics[lane].iter().map(|topic| (topic.clone(), 1)).collect();
                let record = world.database.commit(writer(index as u32 + 1, lane as u16), &entries);
                let node = world.nodes[index].as_mut()?;
                // Nothing is different before the transaction.
                node.sequencer.storing(Lane(lane as u16));
                node.unanswered[lane] = Some(record);
            }
            Step::Answer(index, lane) => {
                let node = world.nodes[index].as_mut()?;
                let record = node.unanswered[lane].take()?;
                node.doubtful[lane] = false;
                if self.copies > 0 {
                    world.bus.insert((1 - index, record.at), self.copies);
                }
                node.sequencer.commit(0, record, false);
            }
            Step::GiveUp(index, lane) => {
                let node = world.nodes[index].as_mut()?;
                node.unanswered[lane] = None;
                node.doubtful[lane] = true;
                node.sequencer.gave_up(Lane(lane as u16));
            }
            Step::Carry(to, at) => {
                let copies = world.bus.get_mut(&(to, at))?;
                *copies -= 1;
                if *copies == 0 {
                    world.bus.remove(&(to, at));
                }
                let record = world.database.rows[&at].clone();
                world.nodes[to].as_mut()?.sequencer.bus(0, record);
            }
            Step::Tick(index) => world.nodes[index].as_mut()?.sequencer.tick(0),
            Step::Poll(index) => world.nodes[index].as_mut()?.sequencer.read_now(),
            Step::Snapshot(index) => {
                let records =
                    world.database.page(&world.nodes[index].as_ref()?.sequencer, usize::MAX).records;
                world.nodes[index].as_mut()?.read = Read::UnderWay(records);
            }
            Step::Read(index) => {
                let servers = world.database.servers.iter().copied().collect();
                let node = world.nodes[index].as_mut()?;
                if let Read::UnderWay(records) = std::mem::replace(&mut node.read, Read::None) {
                    node.sequencer.feed(0, FeedPage { servers, records, is_whole: true, db_ms: 0 });
                }
            }
            Step::ReadFails(index) => {
                let node = world.nodes[index].as_mut()?;
                node.read = Read::None;
                node.sequencer.feed_failed(0);
            }
            // Its transactions may have committed; nothing more comes from it but what is on the bus.
            Step::Crash => world.nodes[1] = None,
        }
        world.perform();
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(
                "nothing is delivered twice, out of order or after its receipt",
                |_, world: &World| world.broken.is_none(),
            ),
            Property::always("a read of the feed brings everything", |_, world: &World| world.heals()),
            Property::sometimes("a part is held", |_, world: &World| {
                world.nodes.iter().flatten().any(|node| node.sequencer.waiting_parts() > 0)
            }),
            Property::sometimes("all is quiet in the end", |worlds: &Self, world: &World| {
                world.commits == [[0; 2]; 2]
                    && world.bus.is_empty()
                    && world
                        .nodes
                        .iter()
                        .flatten()
                        .all(|node| worlds.is_calm(node) && !node.sequencer.is_waiting())
            }),
        ]
    }
}

impl World {
    /// Performs what the sequencers ask for, and checks it.
    fn perform(&mut self) {
        let Self { database, nodes, broken, .. } = self;
        for node in nodes.iter_mut().flatten() {
            while let Some(output) = node.sequencer.next_output() {
                match output {
                    Output::Deliver(delivery) => {
                        let is_under_way = |lane: usize| {
                            let record = node.unanswered[lane].as_ref();
                            record.is_some_and(|record| record.at == delivery.at) && !node.doubtful[lane]
                        };
                        if (0..2).any(is_under_way) {
                            *broken = Some("delivered before its lane knows of it");
                        }
                        for part in delivery.parts {
                            let got = node.got.entry(part.topic.clone()).or_default();
                            for seq in part.first..=part.last {
                                if matches!(part.topic, Topic::Pair(_))
                                    && got.last().map_or(1, |last| last + 1) != seq
                                {
                                    *broken = Some("a conversation out of order");
                                }
                                if !got.insert(seq) {
                                    *broken = Some("delivered twice");
                                }
                            }
                        }
                    }
                    Output::Settled(at) => {
                        let has = |part: &chat_cluster::Part| {
                            node.got.get(&part.topic).is_some_and(|got| got.contains(&part.last))
                        };
                        if !database.rows[&at].parts.iter().all(has) {
                            *broken = Some("a receipt before its entries");
                        }
                    }
                    Output::ReadFeed if node.read == Read::None => node.read = Read::Wanted,
                    Output::ReadFeed => *broken = Some("two reads at once"),
                    Output::Behind => *broken = Some("behind, though nothing was dropped"),
                }
            }
        }
    }

    /// Whether every server that lives has everything after its current read and another one.
    fn heals(&self) -> bool {
        let mut world = self.clone();
        for index in 0..2 {
            let Some(node) = &mut world.nodes[index] else { continue };
            // Answers of its own commits come.
            for record in node.unanswered.iter_mut().filter_map(Option::take) {
                node.sequencer.commit(0, record, false);
            }
            node.sequencer.read_now();
            world.perform();
            for _ in 0..4 {
                let Some(node) = &mut world.nodes[index] else { continue };
                let page = match std::mem::replace(&mut node.read, Read::None) {
                    Read::None => continue,
                    Read::Wanted => world.database.page(&node.sequencer, usize::MAX),
                    Read::UnderWay(records) => {
                        let servers = world.database.servers.iter().copied().collect();
                        FeedPage { servers, records, is_whole: true, db_ms: 0 }
                    }
                };
                node.sequencer.feed(0, page);
                world.perform();
            }
            let Some(node) = &world.nodes[index] else { continue };
            let has_all = |(topic, (last, _)): (&Topic, &(u64, Point))| {
                node.got.get(topic).is_some_and(|got| got.len() as u64 == *last)
            };
            if world.broken.is_some()
                || node.sequencer.is_waiting()
                || !world.database.topics.iter().all(has_all)
            {
                return false;
            }
        }
        true
    }
}

fn worlds() -> Worlds {
    Worlds {
        commits: [[1, 1], [1, 1]],
        topics: [vec![room("tea")], vec![pair("al", "bo")]],
        copies: 2,
        crashes: false,
        polls: false,
        gives_up: false,
        #[cfg(feature = "planted-bugs")]
        bug: None,
    }
}

/// Checks all worlds, and prints how many there are.
fn check(name: &str, worlds: Worlds) {
    let checker = worlds.checker().spawn_bfs().join();
    // Printed with --nocapture; docs/cluster.md has the numbers.
    println!("{name}: {} states, depth {}", checker.unique_state_count(), checker.max_depth());
    checker.assert_properties();
}

#[test]
fn each_topic_in_a_lane_of_its_own() {
    check("a lane each", Worlds { copies: 1, ..worlds() });
}

#[test]
fn both_topics_in_one_lane() {
    let topics = [vec![room("tea"), pair("al", "bo")], Vec::new()];
    check("one lane", Worlds { commits: [[2, 0], [1, 0]], topics, ..worlds() });
}

#[test]
fn a_conversation_of_two_servers_one_of_which_crashes() {
    check("a crash", Worlds { commits: [[0, 1], [0, 2]], copies: 1, crashes: true, polls: true, ..worlds() });
}

#[test]
fn a_lane_that_goes_on_without_an_answer() {
    let commits = [[0, 2], [0, 1]];
    check("without an answer", Worlds { commits, copies: 1, polls: true, gives_up: true, ..worlds() });
}

#[cfg(feature = "planted-bugs")]
mod planted {
    use chat_cluster::PlantedBug;

    use super::*;

    fn is_caught(bug: PlantedBug) {
        let worlds = Worlds { commits: [[0, 1], [0, 2]], bug: Some(bug), ..worlds() };
        let checker = worlds.checker().spawn_bfs().join();
        let properties = [
            "nothing is delivered twice, out of order or after its receipt",
            "a read of the feed brings everything",
        ];
        assert!(properties.iter().any(|name| checker.discovery(name).is_some()), "{bug:?}");
    }

    #[test]
    fn a_sequencer_that_ignores_holds() {
        is_caught(PlantedBug::HoldIgnored);
    }

    #[test]
    fn a_sequencer_that_jumps_gaps() {
        is_caught(PlantedBug::SeenJumpsGap);
    }

    #[test]
    fn a_sequencer_that_reads_what_its_server_stores() {
        is_caught(PlantedBug::OwnFromFeed);
    }

    #[test]
    fn a_sequencer_that_gives_receipts_too_early() {
        is_caught(PlantedBug::ReceiptBeforeHold);
    }
}

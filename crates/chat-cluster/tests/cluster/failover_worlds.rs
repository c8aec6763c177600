//! A failover that may lose commits, in all small worlds: two servers write to one topic, a standby
//! has some first part of the log, and takes over at any moment.
//!
//! Neither server is frozen or crashes: what only a dead server knew cannot be looked for.

use std::collections::BTreeMap;

use chat_cluster::{Failover, FailoverOutput, ServerRow};
use stateright::{Checker, Model, Property};

use crate::start;

struct Failovers {
    commits: u8,
}

/// What an entry is: its server, and which of the server's commits.
type Entry = (usize, u8);

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct World {
    epoch: u8,
    timeline: u32,
    /// Entry `n` of the topic is at the index `n - 1`.
    log: Vec<Entry>,
    /// How many entries the standby has.
    replicated: usize,
    /// The timelines in each server's row.
    looked: [u32; 2],
    opened: [u32; 2],
    nodes: [Node; 2],
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Node {
    epoch: u8,
    failover: Failover,
    /// What its clients have got, by number.
    got: BTreeMap<usize, Entry>,
    commits: u8,
    asked: Vec<FailoverOutput>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Commit(usize),
    /// A server gets the next entry that it lacks.
    Take(usize),
    Replicate,
    TakeOver,
    Connect(usize),
    Poll(usize),
    Perform(usize),
}

impl Failovers {
    fn node(&self, index: usize, timeline: u32, epoch: u8, commits: u8) -> Node {
        let failover = Failover::new(0, start(index as u32 + 1), timeline, &epoch.to_string());
        Node { epoch, failover, got: BTreeMap::new(), commits, asked: Vec::new() }
    }
}

impl Model for Failovers {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let nodes = [0, 1].map(|index| self.node(index, 1, 0, self.commits));
        vec![World {
            epoch: 0,
            timeline: 1,
            log: Vec::new(),
            replicated: 0,
            looked: [1; 2],
            opened: [1; 2],
            nodes,
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        for (index, node) in world.nodes.iter().enumerate() {
            if node.commits > 0 && node.failover.may_append(world.timeline) {
                steps.push(Step::Commit(index));
            }
            if node.epoch == world.epoch && node.got.len() < world.log.len() {
                steps.push(Step::Take(index));
            }
            steps.extend([Step::Connect(index), Step::Poll(index)]);
            if !node.asked.is_empty() {
                steps.push(Step::Perform(index));
            }
        }
        if world.timeline == 1 {
            steps.push(Step::TakeOver);
            if world.replicated < world.log.len() {
                steps.push(Step::Replicate);
            }
        }
    }

    fn next_state(&self, before: &World, step: Step) -> Option<World> {
        let mut world = before.clone();
        let (timeline, epoch) = (world.timeline, world.epoch);
        match step {
            Step::Commit(index) => {
                let node = &mut world.nodes[index];
                node.commits -= 1;
                world.log.push((index, node.commits));
                node.got.insert(world.log.len(), (index, node.commits));
            }
            Step::Take(index) => {
                let node = &mut world.nodes[index];
                let lacks = (1..=world.log.len()).find(|number| !node.got.contains_key(number))?;
                node.got.insert(lacks, world.log[lacks - 1]);
            }
            Step::Replicate => world.replicated += 1,
            Step::TakeOver => {
                world.timeline = 2;
                world.log.truncate(world.replicated);
            }
            Step::Connect(index) => world.nodes[index].failover.on_timeline(0, timeline),
            Step::Poll(index) => {
                let row = |index: usize| ServerRow {
                    incarnation: start(index as u32 + 1),
                    age_ms: 0,
                    has_left: false,
                    bus_format: 1,
                    looked: world.looked[index],
                    opened: world.opened[index],
                };
                let rows = [row(0), row(1)];
                let failover = &mut world.nodes[index].failover;
                failover.rows(0, timeline, &epoch.to_string(), &rows);
                if failover.may_append(timeline) {
                    world.opened[index] = timeline;
                }
            }
            Step::Perform(index) => match world.nodes[index].asked.remove(0) {
                FailoverOutput::Look { timeline: of } => {
                    let node = &mut world.nodes[index];
                    let is_there =
                        |(number, entry): (&usize, &Entry)| world.log.get(number - 1) == Some(entry);
                    node.failover.looked(of, (of == timeline).then(|| node.got.iter().all(is_there)));
                }
                FailoverOutput::Report { timeline } => world.looked[index] = timeline,
                FailoverOutput::EndEpoch { epoch: ended } => {
                    if ended == epoch.to_string() {
                        world.epoch += 1;
                    }
                }
                FailoverOutput::Restart => {
                    let commits = world.nodes[index].commits;
                    world.nodes[index] = self.node(index, timeline, epoch, commits);
                    (world.looked[index], world.opened[index]) = (timeline, 0);
                }
            },
        }
        for node in &mut world.nodes {
            while let Some(output) = node.failover.next_output() {
                node.asked.push(output);
            }
        }
        (world != *before).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(CONFLICT, |_, world: &World| {
                let [one, other] = &world.nodes;
                one.epoch != other.epoch
                    || one
                        .got
                        .iter()
                        .all(|(number, entry)| other.got.get(number).is_none_or(|its| its == entry))
            }),
            Property::sometimes("an epoch ends", |_, world: &World| {
                world.epoch == 1 && world.nodes.iter().all(|node| node.epoch == 1)
            }),
            Property::sometimes("a failover without a loss keeps the epoch", |_, world: &World| {
                let may_append = |node: &Node| node.failover.may_append(2);
                world.epoch == 0 && !world.log.is_empty() && world.nodes.iter().all(may_append)
            }),
            Property::always("one epoch ends at most", |_, world: &World| world.epoch <= 1),
        ]
    }
}

const CONFLICT: &str = "clients of one epoch never get two entries with one number";

fn failovers() -> Failovers {
    Failovers { commits: 2 }
}

#[test]
fn a_failover_that_loses_commits_ends_the_epoch() {
    let checker = failovers().checker().spawn_bfs().join();
    // Printed with --nocapture; docs/cluster.md has the numbers.
    println!("a failover: {} states, depth {}", checker.unique_state_count(), checker.max_depth());
    checker.assert_properties();
}

//! What many people cost if they are spread over cells: clusters of servers with a database each. The
//! figures of `docs/cluster.md`, *Growth*, are what this prints:
//!
//! ```sh
//! cargo run --release -p lanechat-cluster --example growth
//! ```
//!
//! Nothing is measured here: teams and their members are drawn at random, a directory places each team in a
//! cell, and what they say is counted. The assumptions are the constants below.

#![expect(clippy::disallowed_macros, reason = "an example may print")]

use std::collections::BTreeSet;

/// Sockets of a cell, and its servers.
const CELL_SOCKETS: usize = 3_000_000;
const SERVERS: usize = 30;
/// Everybody who is connected says something once in so many seconds.
const SECONDS_FOR_A_POST: f64 = 300.0;
/// A team has a room of all its members, in which this part of its messages is, and rooms of so many members.
const IN_THE_ROOM_OF_ALL: f64 = 0.1;
const ROOM_MEMBERS: usize = 15;
/// Sizes of teams: the logarithm is normal, around 12 people, and nine of ten have at most 130.
const TEAM_MEDIAN: f64 = 12.0;
const TEAM_SPREAD: f64 = 1.86;
const TEAM_MAX: f64 = 100_000.0;
/// One of so many people is in two teams, which have nothing in common, and one of as many of those in three.
const SECOND_TEAM: u64 = 5;
/// The bytes of a message with its frame.
const MESSAGE_BYTES: f64 = 300.0;
/// One of so many is drawn where there are many: the others are like them.
const PEOPLE_MAX: usize = 2_000_000;

fn main() {
    println!(
        "{:>11} {:>6} {:>15} {:>11} {:>11} {:>13} {:>13} {:>11} {:>12}",
        "people",
        "cells",
        "sockets/person",
        "posts/s",
        "fullest",
        "bus/s",
        "deliveries/s",
        "MB/s",
        "people known"
    );
    println!(
        "{:>11} {:>6} {:>15} {:>11} {:>11} {:>13} {:>13} {:>11} {:>12}",
        "", "", "mean, most", "of a cell", "cell", "of a server", "of a server", "of a server", "by a server"
    );
    for people in [10_000, 100_000, 1_000_000, 10_000_000, 100_000_000] {
        let Figures { cells, sockets, most, posts, fullest, deliveries } = World::new(people).figures();
        let servers = if cells == 1 { people.div_ceil(CELL_SOCKETS / SERVERS) } else { SERVERS };
        let of_server = deliveries / servers as f64;
        let known = (people as f64 * sockets / cells as f64).round();
        println!(
            "{people:>11} {cells:>6} {:>15} {posts:>11.0} {fullest:>11.0} {:>13.0} {of_server:>13.0} {:>11.1} {known:>12.0}",
            format!("{sockets:.2}, {most}"),
            if servers > 1 { posts } else { 0.0 },
            of_server * MESSAGE_BYTES / 1e6,
        );
    }
}

/// People in teams, and teams in cells: one of `scale` of them.
struct World {
    scale: usize,
    cells: usize,
    /// For each team: its size and its cell.
    teams: Vec<(usize, usize)>,
    /// For each person: the teams.
    people: Vec<BTreeSet<usize>>,
}

struct Figures {
    cells: usize,
    /// Sockets of a person: one for each cell with a team of theirs.
    sockets: f64,
    most: usize,
    /// Posts a second of a cell.
    posts: f64,
    /// Those of the cell with the most.
    fullest: f64,
    /// Deliveries a second of a cell.
    deliveries: f64,
}

impl World {
    fn new(people: usize) -> Self {
        let scale = people.div_ceil(PEOPLE_MAX);
        let mut random = Random(people as u64);
        let mut teams: Vec<usize> = Vec::new();
        let mut people: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); people / scale];
        // Everybody has a first team; the teams are filled one after another.
        let mut free = 0;
        for person in &mut people {
            if free == 0 {
                free = random.team_size();
                teams.push(0);
            }
            free -= 1;
            person.insert(teams.len() - 1);
        }
        for person in &mut people {
            while random.next().is_multiple_of(SECOND_TEAM) {
                person.insert((random.next() % teams.len() as u64) as usize);
            }
        }
        people.iter().flatten().for_each(|team| teams[*team] += 1);
        // A cell has room for the sockets, with one in ten to spare.
        let sockets: usize = teams.iter().sum();
        let cells = (sockets * scale).div_ceil(CELL_SOCKETS * 9 / 10).max(1);
        let mut load = vec![0; cells];
        let teams = teams
            .into_iter()
            .map(|size| {
                let cell = (0..cells).min_by_key(|cell| load[*cell]).unwrap_or(0);
                load[cell] += size;
                (size, cell)
            })
            .collect();
        Self { scale, cells, teams, people }
    }

    fn figures(&self) -> Figures {
        let (mut sockets, mut most) = (0, 0);
        let mut posts = vec![0.0; self.cells];
        let mut deliveries = 0.0;
        for person in &self.people {
            let cells: BTreeSet<usize> = person.iter().map(|team| self.teams[*team].1).collect();
            sockets += cells.len();
            most = most.max(cells.len());
            for team in person {
                let (size, cell) = self.teams[*team];
                let said = 1.0 / SECONDS_FOR_A_POST / person.len() as f64;
                posts[cell] += said;
                let small = size.min(ROOM_MEMBERS) as f64;
                deliveries += said * (IN_THE_ROOM_OF_ALL * size as f64 + (1.0 - IN_THE_ROOM_OF_ALL) * small);
            }
        }
        let (scale, cells) = (self.scale as f64, self.cells as f64);
        Figures {
            cells: self.cells,
            sockets: sockets as f64 / self.people.len() as f64,
            most,
            posts: posts.iter().sum::<f64>() * scale / cells,
            fullest: posts.iter().copied().fold(0.0, f64::max) * scale,
            deliveries: deliveries * scale / cells,
        }
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Between 0 and 1, without 0.
    fn part(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    fn team_size(&mut self) -> usize {
        // Box and Muller.
        let normal = (-2.0 * self.part().ln()).sqrt() * (std::f64::consts::TAU * self.part()).cos();
        (TEAM_MEDIAN * (TEAM_SPREAD * normal).exp()).clamp(1.0, TEAM_MAX) as usize
    }
}

use chat_cluster::{
    Delta, Heartbeat, OwnPresence, PeersOptions, Roster, RosterOptions, RosterOutput, ServerRow, SnapshotPart,
};
use chat_core::{PresenceChange, PresenceKind, RoomName, Username};
use proptest::prelude::*;

use crate::{start, user};

/// What server 2 tells of itself.
struct Other {
    own: OwnPresence,
    beat: u64,
}

impl Other {
    fn new() -> Self {
        Self { own: OwnPresence::new(start(2)), beat: 0 }
    }

    fn delta(&mut self, name: &str, connections: u32, kind: PresenceKind) -> Delta {
        let hub = start(2).hub_id(1).unwrap();
        self.own.change(PresenceChange {
            hub,
            room: RoomName::default(),
            user: user(name),
            kind,
            connections,
            at_s: 5,
        });
        self.own.next_delta().unwrap()
    }

    fn joins(&mut self, name: &str) -> Delta {
        self.delta(name, 1, PresenceKind::Joined)
    }

    fn leaves(&mut self, name: &str) -> Delta {
        self.delta(name, 0, PresenceKind::Left)
    }

    fn beats(&mut self) -> Heartbeat {
        self.beat += 1;
        let (presence_counter, presence_checksum) = self.own.state();
        Heartbeat { from: start(2), beat: self.beat, newest: Vec::new(), presence_counter, presence_checksum }
    }

    fn snapshot(&self) -> SnapshotPart {
        let mut parts = self.own.snapshot(6);
        assert_eq!(parts.len(), 1);
        parts.remove(0)
    }
}

fn outputs(roster: &mut Roster) -> Vec<String> {
    std::iter::from_fn(|| roster.next_output())
        .map(|output| match output {
            RosterOutput::Change(change) => format!("{} {}", change.user, change.connections),
            RosterOutput::HubLost(hub) => format!("lost {hub}"),
            RosterOutput::AskSnapshot(server) => format!("ask {server}"),
        })
        .collect()
}

fn row(number: u32, age_ms: u64) -> ServerRow {
    ServerRow { incarnation: start(number), age_ms, has_left: false, bus_format: 1, looked: 1, opened: 1 }
}

const NOTHING: [&str; 0] = [];

/// Server 1, which has a snapshot of server 2 with alice.
fn in_step() -> (Roster, Other) {
    let (mut roster, mut other) = (Roster::new(start(1), RosterOptions::default()), Other::new());
    roster.delta(0, other.joins("alice"));
    assert_eq!(outputs(&mut roster), ["ask 2"]);
    roster.snapshot(0, other.snapshot());
    assert_eq!(outputs(&mut roster), ["alice 1"]);
    (roster, other)
}

#[test]
fn deltas_are_told_once() {
    let (mut roster, mut other) = in_step();
    let delta = other.joins("bob");
    roster.delta(0, delta.clone());
    assert_eq!(outputs(&mut roster), ["bob 1"]);
    roster.delta(0, delta);
    let leaves = other.leaves("bob");
    roster.delta(0, leaves.clone());
    roster.delta(0, leaves);
    assert_eq!(outputs(&mut roster), ["bob 0"]);
    roster.heartbeat(0, &other.beats());
    assert_eq!(outputs(&mut roster), NOTHING);
}

#[test]
fn a_gap_brings_a_snapshot_and_only_differences_are_told() {
    let (mut roster, mut other) = in_step();
    let lost = other.joins("bob");
    roster.delta(0, other.leaves("alice"));
    assert_eq!(outputs(&mut roster), ["ask 2"]);
    let late = other.joins("carol");
    roster.delta(1, late);
    assert_eq!(outputs(&mut roster), NOTHING, "asked already");
    roster.snapshot(2, other.snapshot());
    assert_eq!(outputs(&mut roster), ["alice 0", "bob 1", "carol 1"]);
    // What the bus brings late is in the snapshot.
    roster.delta(3, lost);
    // The answer to another server's question.
    roster.snapshot(3, other.snapshot());
    assert_eq!(outputs(&mut roster), NOTHING);
}

#[test]
fn a_heartbeat_shows_a_difference() {
    let (mut roster, mut other) = in_step();
    other.joins("bob");
    roster.heartbeat(0, &other.beats());
    assert_eq!(outputs(&mut roster), ["ask 2"]);
    // The answer is lost.
    roster.heartbeat(500, &other.beats());
    assert_eq!(outputs(&mut roster), ["ask 2"]);
    roster.snapshot(501, other.snapshot());
    assert_eq!(outputs(&mut roster), ["bob 1"]);
    // Equal counters, other contents: what a hub told this server is wrong.
    let wrong = Heartbeat { presence_checksum: 7, ..other.beats() };
    roster.heartbeat(600, &wrong);
    assert_eq!(outputs(&mut roster), ["ask 2"]);
}

#[test]
fn an_old_snapshot_is_ignored() {
    let (mut roster, mut other) = in_step();
    let old = other.snapshot();
    roster.delta(0, other.joins("bob"));
    other.joins("carol");
    roster.heartbeat(0, &other.beats());
    assert_eq!(outputs(&mut roster), ["bob 1", "ask 2"]);
    roster.snapshot(0, old);
    assert_eq!(outputs(&mut roster), NOTHING, "bob stays");
}

#[test]
fn a_snapshot_in_parts_is_compared_when_it_is_complete() {
    let (mut roster, mut other) = in_step();
    let names: Vec<String> = (0..1_200).map(|index| format!("user {index:04}")).collect();
    for name in &names {
        other.joins(name);
    }
    roster.heartbeat(0, &other.beats());
    assert_eq!(outputs(&mut roster), ["ask 2"]);
    let parts = other.own.snapshot(6);
    assert_eq!(parts.len(), 3);
    // A part of a snapshot that was given up.
    roster.snapshot(0, SnapshotPart { counter: 1_000, ..parts[0].clone() });
    for part in parts.iter().rev() {
        assert_eq!(outputs(&mut roster), NOTHING);
        roster.snapshot(0, part.clone());
        roster.snapshot(0, part.clone());
    }
    assert_eq!(outputs(&mut roster).len(), 1_200);
    roster.heartbeat(1, &other.beats());
    assert_eq!(outputs(&mut roster), NOTHING);
}

#[test]
fn a_server_is_lost_only_if_heartbeat_and_row_are_old() {
    let (mut roster, mut other) = in_step();
    let hub = format!("lost {}", start(2).hub_id(1).unwrap());
    // The bus is down: the row is fresh.
    roster.rows(20_000, &[row(1, 0), row(2, 400)]);
    assert_eq!(outputs(&mut roster), NOTHING);
    // The server is cut off from the database: its heartbeats come.
    roster.heartbeat(30_000, &other.beats());
    roster.rows(34_999, &[row(1, 0), row(2, 9_000)]);
    assert_eq!(outputs(&mut roster), NOTHING);
    // A repeated heartbeat is no sign of life.
    let old = Heartbeat { beat: 1, ..other.beats() };
    roster.heartbeat(34_999, &old);
    roster.rows(35_000, &[row(1, 0), row(2, 9_000)]);
    assert_eq!(outputs(&mut roster), [hub.as_str()]);
    roster.rows(36_000, &[row(1, 0), row(2, 10_000)]);
    assert_eq!(outputs(&mut roster), NOTHING);
    // It was frozen, and is back.
    roster.heartbeat(40_000, &other.beats());
    assert_eq!(outputs(&mut roster), ["ask 2"]);
    roster.snapshot(40_001, other.snapshot());
    assert_eq!(outputs(&mut roster), ["alice 1"]);
    // It stops in order.
    roster.rows(40_002, &[row(1, 0), ServerRow { has_left: true, ..row(2, 0) }]);
    assert_eq!(outputs(&mut roster), [hub.as_str()]);
}

#[test]
fn hubs_of_other_servers_are_not_this_servers_to_name() {
    let (mut roster, mut other) = in_step();
    let mut delta = other.joins("bob");
    delta.changes[0].hub = start(3).hub_id(0).unwrap();
    roster.delta(0, delta);
    assert_eq!(outputs(&mut roster), NOTHING);
    assert_eq!(PeersOptions::default().beat_ms, 500);
}

proptest! {
    /// After any losses, one heartbeat and its snapshot make both the same, and what was told sums
    /// up to it: each change is a change.
    #[test]
    fn presence_agrees_after_a_heartbeat(
        acts in prop::collection::vec((0..4_u8, 0..2_u32, any::<bool>(), 0..10_u8), 1..60),
    ) {
        let (mut roster, mut other) = (Roster::new(start(1), RosterOptions::default()), Other::new());
        let mut known = std::collections::BTreeMap::<(u32, RoomName, Username), u32>::new();
        let mut late: Option<Delta> = None;
        let mut now_ms = 0;
        let mut answers = false;
        for (name, connections, beats, fate) in acts {
            now_ms += 100;
            let kind = if connections == 0 { PresenceKind::Left } else { PresenceKind::Joined };
            let delta = other.delta(&format!("user {name}"), connections, kind);
            match fate {
                0 => {}
                1 => late = Some(delta),
                2 => {
                    roster.delta(now_ms, delta.clone());
                    roster.delta(now_ms, delta);
                }
                _ => roster.delta(now_ms, delta),
            }
            if fate == 3 && let Some(late) = late.take() {
                roster.delta(now_ms, late);
            }
            if beats {
                roster.heartbeat(now_ms, &other.beats());
            }
            if answers {
                roster.snapshot(now_ms, other.snapshot());
            }
            answers = false;
            while let Some(output) = roster.next_output() {
                match output {
                    RosterOutput::Change(PresenceChange { hub, room, user, connections, .. }) => {
                        let before = known.insert((hub, room, user), connections).unwrap_or(0);
                        prop_assert_ne!(before, connections, "a change that is none");
                    }
                    RosterOutput::AskSnapshot(_) => answers = fate != 4,
                    RosterOutput::HubLost(_) => prop_assert!(false, "nobody is lost"),
                }
            }
        }
        now_ms += 1_000;
        roster.heartbeat(now_ms, &other.beats());
        roster.snapshot(now_ms, other.snapshot());
        while let Some(output) = roster.next_output() {
            if let RosterOutput::Change(PresenceChange { hub, room, user, connections, .. }) = output {
                let before = known.insert((hub, room, user), connections).unwrap_or(0);
                prop_assert_ne!(before, connections);
            }
        }
        let present = roster.present(start(2)).unwrap();
        prop_assert_eq!((present.checksum(), present.len()), (other.own.state().1, other.snapshot().present.len()));
        known.retain(|_, connections| *connections > 0);
        prop_assert_eq!(known.len(), present.len());
    }
}

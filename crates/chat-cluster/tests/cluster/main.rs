//! Tests of the rules of a cluster.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_macros,
    reason = "helpers of tests; what is printed stands in the docs"
)]

mod codec;
mod database;
mod failover;
mod failover_worlds;
mod peers;
mod roster;
mod sequencer;
mod small_worlds;

use std::sync::Arc;

use chat_cluster::{Incarnation, Lane, Part, Point, Writer};
use chat_core::{Body, Entry, MessageText, Pair, RoomName, Topic, Username};

fn start(number: u32) -> Incarnation {
    Incarnation::new(number).unwrap()
}

fn writer(server: u32, lane: u16) -> Writer {
    Writer { incarnation: start(server), lane: Lane(lane) }
}

fn point(server: u32, lane: u16, n: u64) -> Point {
    Point { writer: writer(server, lane), n }
}

fn user(name: &str) -> Username {
    Username::known(name).unwrap()
}

fn room(name: &str) -> Topic {
    Topic::Room(RoomName::parse(name).unwrap())
}

fn pair(one: &str, other: &str) -> Topic {
    Topic::Pair(Pair::new(user(one), user(other)))
}

fn entry(topic: &Topic, seq: u64, text: &str) -> Arc<Entry> {
    let body = Body::message(MessageText::stored(text));
    Arc::new(Entry {
        topic: topic.clone(),
        seq,
        from: user("alice"),
        room: None,
        body,
        at_ms: 7,
        nonce: None,
    })
}

/// Entries of a topic that follow a commit.
fn part(topic: &Topic, first: u64, last: u64, previous: Option<Point>) -> Part {
    Part { topic: topic.clone(), first, last, previous, entries: None }
}

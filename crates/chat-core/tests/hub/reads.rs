//! What the bus does to entries, and what is then read from the log.

use chat_core::{Input, RoomName, Subscription};

use crate::harness::{Scenario, numbered};

#[test]
fn entries_that_arrive_while_the_first_page_is_read_are_delivered() {
    let mut scenario = Scenario::new();
    scenario.store("bob", "kitchen", "1");
    scenario.hold_reads = true;
    let alice = scenario.open("alice", "kitchen");
    assert!(scenario.subscriptions.contains(&Subscription::Room(RoomName::parse("kitchen").unwrap())));
    // The page is as of now; what comes after it is carried here before it.
    let (id, query) = scenario.reads.pop_front().unwrap();
    let answer = scenario.history.answer(&query);
    let later = scenario.store("bob", "kitchen", "2");
    scenario.carry(&[&later]);
    scenario.turn(Input::Answer { id, answer: &answer });
    scenario.hold_reads = false;
    scenario.pass(0);
    while !scenario.reads.is_empty() {
        scenario.read();
    }
    assert_eq!(scenario.received(alice), ["bob: 1", "+alice", "bob: 2"]);
}

#[test]
fn entries_that_come_twice_or_out_of_order_are_delivered_once_in_order() {
    let mut scenario = Scenario::new();
    let alice = scenario.open("alice", "kitchen");
    scenario.received(alice);
    let entries: Vec<_> = (1..=6).map(|n| scenario.store("bob", "kitchen", &n.to_string())).collect();
    let [one, two, three, four, five, six] = &entries[..] else { panic!("six") };
    scenario.carry(&[one, one, two]);
    scenario.carry(&[one]);
    assert_eq!(scenario.received(alice), ["bob: 1", "bob: 2"]);
    // A hole is filled from the log.
    scenario.hold_reads = true;
    scenario.carry(&[five]);
    assert_eq!(scenario.received(alice), [""; 0]);
    assert_eq!(scenario.reading_after(), [Some(2)]);
    scenario.carry(&[four]);
    scenario.carry(&[three]);
    assert_eq!(scenario.received(alice), ["bob: 3"]);
    scenario.read();
    scenario.carry(&[six, three]);
    assert_eq!(scenario.received(alice), numbered("bob: ", 4..=6));
}

#[test]
fn a_room_that_is_behind_reads_one_page_at_a_time() {
    let mut scenario = Scenario::new();
    scenario.open("alice", "kitchen");
    let entries: Vec<_> = (0..=6).map(|n| scenario.store("bob", "kitchen", &n.to_string())).collect();
    scenario.hold_reads = true;
    for n in [2, 0, 4, 1, 6, 3] {
        scenario.carry(&[&entries[n]]);
    }
    assert_eq!(scenario.reading_after(), [Some(0)]);
    scenario.read();
    assert!(scenario.reads.is_empty());
}

#[test]
fn missed_entries_are_read_from_the_log() {
    let mut scenario = Scenario::new();
    let alice = scenario.open("alice", "kitchen");
    for n in 1..=250 {
        scenario.store("bob", "kitchen", &n.to_string());
    }
    scenario.missed("kitchen", 1, 250);
    assert_eq!(scenario.received(alice)[1..], numbered("bob: ", 1..=250));
    assert_eq!(scenario.pages_begun, 1 + 3);
    scenario.missed("kitchen", 250, 250);
    scenario.missed("garden", 1, 1);
    assert_eq!(scenario.pages_begun, 1 + 3);
}

#[test]
fn a_log_that_has_less_than_is_known_is_not_read_without_end() {
    let mut scenario = Scenario::new();
    let alice = scenario.open("alice", "kitchen");
    scenario.hold_reads = true;
    scenario.missed("kitchen", 1, 1);
    scenario.read();
    assert!(scenario.reads.is_empty());
    scenario.pass(1_100);
    assert_eq!(scenario.reading_after(), [Some(0)]);
    scenario.store("bob", "kitchen", "hi");
    scenario.read();
    assert_eq!(scenario.received(alice), ["+alice", "bob: hi"]);
}

#[test]
fn a_full_socket_is_sent_no_replay_until_it_has_taken_bytes() {
    let mut scenario = Scenario::with(|options| {
        options.recent.entries = 5;
        options.page_entries = 10;
        options.rate = None;
    });
    let bob = scenario.open("bob", "kitchen");
    for n in 1..=40 {
        scenario.send(bob, &n.to_string());
    }
    scenario.hold_reads = true;
    let alice = scenario.open("alice", "kitchen");
    scenario.pending(alice, 64 * 1024);
    // The page that was being read arrives, and no other is read.
    scenario.read();
    assert_eq!(scenario.received(alice), numbered("bob: ", 1..=10));
    assert!(scenario.reads.is_empty());
    scenario.send(bob, "41");
    // However long it takes: it is not the log that holds it up.
    scenario.pass(60_000);
    assert_eq!(scenario.close_code(alice), None);
    assert_eq!(scenario.received(alice), [""; 0]);
    scenario.pending(alice, 64 * 1024 - 1);
    scenario.pass(9_000);
    assert_eq!(scenario.close_code(alice), None, "its deadline starts when its socket has taken bytes");
    while !scenario.reads.is_empty() {
        scenario.read();
    }
    let mut rest = numbered("bob: ", 11..=41);
    rest.push("+alice".into());
    assert_eq!(scenario.received(alice), rest);
    assert_eq!(scenario.received(bob).last().unwrap(), "+alice");
}

#[test]
fn a_page_of_long_frames_comes_in_parts() {
    let mut scenario = Scenario::with(|options| options.recent.entries = 0);
    // A control character has six bytes in JSON, and one in the log.
    let texts: Vec<_> = (1..=16).map(|n| format!("{n}{}", "\u{1}".repeat(4_000))).collect();
    for text in &texts {
        scenario.store("bob", "kitchen", text);
    }
    scenario.hold_reads = true;
    let alice = scenario.open("alice", "kitchen");
    scenario.read();
    while !scenario.reads.is_empty() {
        scenario.read();
        assert!(scenario.received(alice).len() <= 4, "a page has 64 KiB");
    }
    let got = scenario.lines(alice).iter().map(|line| &line.text);
    assert!(got.take(16).eq(&texts));
}

#[test]
fn clients_that_wait_for_the_same_page_share_one_read() {
    let mut scenario = Scenario::with(|options| options.recent.entries = 0);
    scenario.store("bob", "kitchen", "hi");
    let watcher = scenario.open("watcher", "kitchen");
    scenario.hold_reads = true;
    let before = scenario.pages_begun;
    let joiners = ["alice", "carol", "dave"].map(|user| scenario.open(user, "kitchen"));
    assert_eq!(scenario.pages_begun, before + 1);
    scenario.read();
    for joiner in joiners {
        assert_eq!(scenario.received(joiner)[0], "bob: hi");
    }
    assert_eq!(scenario.received(watcher).len(), 2 + 3);
}

#[test]
fn reads_at_the_same_time_are_capped() {
    let mut scenario = Scenario::with(|options| options.reads_max = 2);
    scenario.hold_reads = true;
    let clients: Vec<_> = (0..5).map(|n| scenario.open("alice", &format!("room {n}"))).collect();
    for _ in 0..5 {
        assert!(scenario.reads.len() <= 2);
        scenario.read();
    }
    for client in clients {
        assert_eq!(scenario.received(client), ["+alice"]);
    }
}

#[test]
fn many_replays_at_once_are_put_out_turn_by_turn() {
    let mut scenario = Scenario::new();
    let rooms: Vec<String> = (0..50).map(|n| format!("room {n}")).collect();
    let warm = scenario.open_v2("bob");
    for room in &rooms {
        for _ in 0..30 {
            scenario.store("carol", room, &"x".repeat(1_000));
        }
        scenario.join(warm, room);
    }
    let alice = scenario.open_v2("alice");
    scenario.frames(alice);
    // Her socket has taken none of the bytes she was sent.
    scenario.pending(alice, 100_000);
    for room in &rooms {
        scenario.join(alice, room);
    }
    assert_eq!(scenario.received(alice), [""; 0]);
    scenario.pass(20_000);
    assert!(scenario.is_open(alice), "she waits for her own socket");
    scenario.pending(alice, 0);
    let got = scenario.frames(alice);
    let joined = got.iter().filter(|frame| frame["type"] == "joined").count();
    let messages = got.iter().filter(|frame| frame["type"] == "message").count();
    assert_eq!((joined, messages), (50, 50 * 30));
    // Turn by turn.
    let most = scenario.turn_bytes_max();
    assert!((64 * 1024..200 * 1024).contains(&most), "{most} bytes in one turn");
}

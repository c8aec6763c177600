//! Joining with the number of the last entry that a client has.

use chat_core::{History, HistoryLimits, Seed};
use serde_json::{Value, json};

use crate::harness::{EPOCH, Scenario, topic};

#[test]
fn a_resume_is_complete() {
    let mut scenario = Scenario::new();
    let alice = scenario.open_in_room("alice", "tech");
    scenario.send_v2(alice, "tech", "a");
    scenario.disconnect(alice);
    for n in 2..=400 {
        scenario.store("bob", "tech", &n.to_string());
    }
    scenario.missed("tech", 2, 400);
    // More than one page, none of it among the recent frames of this version.
    for (since, expected) in [(1, 399), (150, 250), (400, 0)] {
        let again = scenario.open_v2("alice");
        scenario.resume(again, "tech", since);
        let got = scenario.received(again);
        assert_eq!(got[1], "joined tech at 400 complete");
        assert_eq!(got.len(), 2 + expected, "since {since}");
        let seqs: Vec<String> = (since + 1..=400).map(|n| format!("{n} bob: {n}")).collect();
        assert_eq!(got[2..], seqs);
        scenario.disconnect(again);
    }
}

#[test]
fn entries_that_the_log_no_longer_keeps_are_not_replayed() {
    let mut scenario = Scenario::new();
    for n in 1..=60 {
        scenario.store("bob", "tech", &n.to_string());
    }
    let alice = scenario.open_in_room("alice", "tech");
    let carol = scenario.open("carol", "tech");
    scenario.received(carol);
    let got = |scenario: &mut Scenario, since: Option<u64>| {
        let dave = scenario.open_v2("dave");
        match since {
            Some(since) => scenario.resume(dave, "tech", since),
            None => scenario.join(dave, "tech"),
        }
        let got = scenario.received(dave);
        scenario.disconnect(dave);
        got
    };
    let messages = |from: u64| (from..=60).map(|n| format!("{n} bob: {n}")).collect::<Vec<_>>();
    // All of them are among the recent frames.
    assert_eq!(
        got(&mut scenario, Some(15))[1..],
        [vec!["joined tech at 60 complete".to_owned()], messages(16)].concat()
    );
    scenario.trim("tech", 31);
    assert_eq!(got(&mut scenario, None)[1..], [vec!["joined tech at 60".to_owned()], messages(31)].concat());
    assert_eq!(
        got(&mut scenario, Some(29))[1..],
        [vec!["joined tech at 60".to_owned()], messages(31)].concat()
    );
    assert_eq!(
        got(&mut scenario, Some(30))[1..],
        [vec!["joined tech at 60 complete".to_owned()], messages(31)].concat()
    );
    let eve = scenario.open("eve", "tech");
    assert_eq!(scenario.received(eve).len(), 31);
    scenario.disconnect(eve);
    // All of them are gone.
    scenario.trim("tech", 61);
    assert_eq!(got(&mut scenario, None)[1..], ["joined tech at 60"]);
    assert_eq!(got(&mut scenario, Some(50))[1..], ["joined tech at 60"]);
    assert_eq!(got(&mut scenario, Some(60))[1..], ["joined tech at 60 complete"]);
    // Live clients do not notice.
    scenario.frames(alice);
    scenario.send_v2(alice, "tech", "next");
    let last: Vec<String> =
        scenario.received(alice).into_iter().filter(|line| line.contains("next")).collect();
    assert_eq!(last, ["ack next 61", "61 alice: next"]);
    assert_eq!(scenario.received(carol).last().map(String::as_str), Some("alice: next"));
    assert_eq!((scenario.close_code(alice), scenario.close_code(carol)), (None, None));
    assert_eq!(got(&mut scenario, None)[1..], ["joined tech at 61", "61 alice: next"]);
}

#[test]
fn a_resume_that_cannot_be_complete_starts_anew() {
    let mut scenario = Scenario::with(|options| options.resume_max_messages = 100);
    for n in 1..=200 {
        scenario.store("bob", "tech", &n.to_string());
    }
    let alice = scenario.open_v2("alice");
    scenario.frames(alice);
    let mut refused = |frame: Value| {
        scenario.request(alice, frame);
        let got = scenario.received(alice);
        assert_eq!(got[0], "joined tech at 200");
        assert_eq!(got[1..], (151..=200).map(|n| format!("{n} bob: {n}")).collect::<Vec<_>>());
        scenario.request(alice, json!({"type": "leave", "room": "tech"}));
        scenario.received(alice);
    };
    refused(json!({"type": "join", "room": "tech", "since": 180, "epoch": "second"}));
    refused(json!({"type": "join", "room": "tech", "since": 99, "epoch": EPOCH}));
    refused(json!({"type": "join", "room": "tech", "since": 201, "epoch": EPOCH}));
    refused(json!({"type": "join", "room": "tech"}));
    scenario.resume(alice, "tech", 100);
    assert_eq!(scenario.received(alice)[0], "joined tech at 200 complete");
}

#[test]
fn a_resume_from_before_the_first_entry_kept_starts_anew() {
    let mut scenario = Scenario::new();
    scenario.history = History::new(Seed(3, 4), HistoryLimits { entries_per_topic: 20, topics: 10 });
    for n in 1..=100 {
        scenario.store("bob", "tech", &n.to_string());
    }
    let alice = scenario.open_v2("alice");
    scenario.frames(alice);
    for (since, whole, from) in [(70, false, 81), (79, false, 81), (80, true, 81), (90, true, 91)] {
        scenario.resume(alice, "tech", since);
        let got = scenario.received(alice);
        assert_eq!(got[0].ends_with(" complete"), whole, "since {since}");
        assert_eq!(got[1..], (from..=100).map(|n| format!("{n} bob: {n}")).collect::<Vec<_>>());
        scenario.request(alice, json!({"type": "leave", "room": "tech"}));
        scenario.received(alice);
        // Nothing of the room is ready any more.
        scenario.pass(120_000);
    }
}

#[test]
fn a_client_that_is_ahead_of_its_hub_waits_for_it() {
    let mut scenario = Scenario::new();
    let bob = scenario.open("bob", "tech");
    for n in 1..=5 {
        scenario.store("carol", "tech", &n.to_string());
    }
    // The hub does not know of them; alice has three of them from another hub.
    let alice = scenario.open_v2("alice");
    scenario.frames(alice);
    scenario.resume(alice, "tech", 3);
    let got = scenario.received(alice);
    assert_eq!(got, ["joined tech at 5 complete", "4 carol: 4", "5 carol: 5"]);
    assert_eq!(scenario.received(bob).len(), 7);
}

#[test]
fn a_gap_that_the_log_no_longer_has_closes_v2_clients() {
    let mut scenario = Scenario::new();
    scenario.history = History::new(Seed(3, 4), HistoryLimits { entries_per_topic: 5, topics: 10 });
    let alice = scenario.open_in_room("alice", "tech");
    let bob = scenario.open("bob", "tech");
    for n in 1..=20 {
        scenario.store("carol", "tech", &n.to_string());
    }
    scenario.missed("tech", 1, 20);
    assert_eq!(scenario.close_code(alice), Some(1013));
    // The seventh is the notice that she left.
    assert_eq!(scenario.received(bob).len(), 7);
    assert_eq!(scenario.history.last_seq(&topic("tech")), 20);
}

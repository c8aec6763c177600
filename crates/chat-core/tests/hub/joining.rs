//! Joining a room: the answer, the replay, and reads that fail meanwhile.

use chat_core::{ClientId, Input, RoomInfo, WantedChange};
use serde_json::{Value, json};

use crate::harness::{EPOCH, Scenario, name, numbered, topic};

#[test]
fn a_joiner_gets_the_last_fifty_messages_and_then_its_own_notice() {
    let mut scenario = Scenario::new();
    for n in 1..=60 {
        scenario.store("alice", "kitchen", &n.to_string());
    }
    let bob = scenario.open("bob", "kitchen");
    let mut expected = numbered("alice: ", 11..=60);
    expected.push("+bob".into());
    assert_eq!(scenario.received(bob), expected);
    let notice = scenario.lines(bob).last().unwrap();
    assert_eq!(notice.text, "присоединился к комнате kitchen");
    assert_eq!(notice.room, "kitchen");
}

#[test]
fn replayed_messages_keep_their_own_times() {
    let mut scenario = Scenario::new();
    let alice = scenario.open("alice", "kitchen");
    scenario.send(alice, "early");
    let sent_s = scenario.now.wall_ms / 1000;
    scenario.pass(7_000);
    let bob = scenario.open("bob", "kitchen");
    assert_eq!(scenario.received(bob), ["alice: early", "+bob"]);
    assert_eq!(scenario.lines(bob)[0].timestamp, sent_s);
    assert_eq!(scenario.lines(bob)[1].timestamp, sent_s + 7);
}

#[test]
fn joining_in_the_middle_of_traffic_has_no_gap_and_no_duplicate() {
    for recent_entries in [0, 3, 100] {
        let mut scenario = Scenario::with(|options| {
            options.recent.entries = recent_entries;
            options.page_entries = 4;
            options.rate = None;
        });
        let alice = scenario.open("alice", "kitchen");
        for n in 1..=10 {
            scenario.send(alice, &n.to_string());
        }
        scenario.hold_reads = true;
        let bob = scenario.open("bob", "kitchen");
        for n in 11..=20 {
            scenario.send(alice, &n.to_string());
        }
        for n in 21..=60 {
            if scenario.reads.is_empty() {
                break;
            }
            scenario.read();
            scenario.send(alice, &n.to_string());
        }
        let last = scenario.history.last_seq(&topic("kitchen"));
        scenario.hold_reads = false;
        while !scenario.reads.is_empty() {
            scenario.read();
        }
        let got: Vec<_> = scenario.received(bob).into_iter().filter(|line| line != "+bob").collect();
        assert_eq!(got, numbered("alice: ", 1..=last), "{recent_entries} recent entries");
    }
}

#[test]
fn joined_comes_first_then_the_replay_then_new_entries() {
    let mut scenario = Scenario::new();
    for n in 1..=60 {
        scenario.store("bob", "tech", &n.to_string());
    }
    scenario.open("bob", "tech");
    let alice = scenario.open_v2("alice");
    scenario.frames(alice);
    scenario.request(alice, json!({"type": "join", "room": "tech", "ref": "r"}));
    let frames = scenario.frames(alice);
    assert_eq!(
        frames[0],
        json!({"type": "joined", "room": "tech", "epoch": EPOCH, "seq": 60, "recovered": false,
            "online": 2, "members": ["alice", "bob"], "ref": "r"})
    );
    let seqs: Vec<u64> = frames[1..].iter().map(|frame| frame["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, (11..=60).collect::<Vec<_>>());
    scenario.send_v2(alice, "tech", "n");
    let mut own = scenario.frames(alice);
    own.sort_by_key(|frame| frame["type"].to_string());
    assert_eq!(
        own,
        [
            json!({"type": "ack", "nonce": "n", "room": "tech", "seq": 61,
                "timestamp": 1_795_371_797, "duplicate": false}),
            json!({"type": "message", "room": "tech", "seq": 61, "from": "alice", "text": "n",
                "timestamp": 1_795_371_797, "nonce": "n"}),
        ]
    );
}

#[test]
fn a_first_page_that_fails_is_read_again_and_then_given_up() {
    let mut scenario = Scenario::new();
    scenario.hold_reads = true;
    let alice = scenario.open("alice", "kitchen");
    let mut failed = 0;
    while scenario.close_code(alice).is_none() {
        while !scenario.reads.is_empty() {
            scenario.fail_read();
            failed += 1;
        }
        scenario.pass(500);
    }
    assert_eq!(scenario.close_code(alice), Some(1013));
    assert!((10..=31).contains(&failed), "{failed}");
}

#[test]
fn a_later_page_that_fails_is_read_again_and_then_given_up() {
    let mut scenario = Scenario::with(|options| options.recent.entries = 0);
    scenario.store("bob", "kitchen", "hi");
    let bob = scenario.open("bob", "kitchen");
    scenario.hold_reads = true;
    let alice = scenario.open("alice", "kitchen");
    let start = scenario.now.mono_ms;
    while scenario.close_code(alice).is_none() {
        assert!(scenario.now.mono_ms - start < 20_000, "never given up");
        while !scenario.reads.is_empty() {
            scenario.fail_read();
        }
        scenario.pass(500);
    }
    assert!(scenario.now.mono_ms - start >= 10_000, "given up too early");
    assert_eq!(scenario.close_code(alice), Some(1013));
    assert_eq!(scenario.close_code(bob), None);
}

#[test]
fn a_page_that_comes_at_last_is_not_too_late() {
    let mut scenario = Scenario::new();
    scenario.store("bob", "kitchen", "hi");
    scenario.hold_reads = true;
    let alice = scenario.open("alice", "kitchen");
    scenario.fail_read();
    scenario.pass(8_000);
    scenario.read();
    assert_eq!(scenario.received(alice), ["bob: hi", "+alice"]);
    scenario.pass(20_000);
    assert_eq!(scenario.close_code(alice), None);
}

#[test]
fn a_join_that_the_log_does_not_answer_is_unavailable() {
    let mut scenario = Scenario::new();
    let alice = scenario.open_v2("alice");
    scenario.frames(alice);
    scenario.hold_reads = true;
    scenario.join(alice, "tech");
    scenario.pass(11_000);
    assert_eq!(scenario.received(alice), ["error unavailable j"]);
    assert!(scenario.is_open(alice));
    scenario.hold_reads = false;
    scenario.read();
    scenario.join(alice, "tech");
    assert_eq!(scenario.received(alice), ["joined tech at 0"]);
}

#[test]
fn excessive_numbers_and_epochs_are_taken_for_another_numbering() {
    let mut scenario = Scenario::new();
    scenario.store("bob", "tech", "1");
    let alice = scenario.open_v2("alice");
    scenario.frames(alice);
    for join in [
        json!({"type": "join", "room": "tech", "since": u64::MAX, "epoch": EPOCH}),
        json!({"type": "join", "room": "tech", "since": 1, "epoch": EPOCH.repeat(1_000)}),
    ] {
        scenario.request(alice, join);
        assert_eq!(scenario.received(alice), ["joined tech at 1", "1 bob: 1"]);
        scenario.request(alice, json!({"type": "leave", "room": "tech"}));
        scenario.received(alice);
    }
    for request in [
        json!({"type": "history", "with": "bob", "after": u64::MAX}),
        json!({"type": "history", "with": "bob", "before": u64::MAX}),
        json!({"type": "history", "with": "bob", "before": 0}),
    ] {
        scenario.request(alice, request);
        assert_eq!(scenario.received(alice), ["history []"]);
    }
}

#[test]
fn a_join_says_how_many_messages_it_wants() {
    let mut scenario = Scenario::new();
    for n in 1..=150 {
        scenario.store("bob", "tech", &n.to_string());
    }
    let mut joined = |limit: Value| {
        let alice = scenario.open_v2("alice");
        scenario.request(alice, json!({"type": "join", "room": "tech", "limit": limit, "ref": "j"}));
        let frames = scenario.received(alice);
        scenario.disconnect(alice);
        (frames[1].clone(), frames.len() - 2)
    };
    assert_eq!(joined(json!(null)), ("joined tech at 150".into(), 50));
    assert_eq!(joined(json!(0)), ("joined tech at 150".into(), 0));
    assert_eq!(joined(json!(7)), ("joined tech at 150".into(), 7));
    assert_eq!(joined(json!(100)), ("joined tech at 150".into(), 100));
    for bad in [json!(101), json!(-1), json!(1.5), json!("7")] {
        assert_eq!(joined(bad), ("error bad_request j".into(), 0));
    }
}

#[test]
fn a_folded_join_says_which_numbers_it_covers_and_where_it_ends() {
    let mut scenario = Scenario::new();
    for n in 1..=60 {
        scenario.store("bob", "tech", &n.to_string());
    }
    let mut joined = |fields: Value| {
        let alice = scenario.open_v2("alice");
        let mut frame = json!({"type": "join", "room": "tech", "fold": true, "ref": "j"});
        frame.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        scenario.request(alice, frame);
        scenario.received(alice)[1..].to_vec()
    };
    let expected = ["joined tech at 60 from 59", "59 bob: 59", "60 bob: 60", "replayed tech up to 60"];
    assert_eq!(joined(json!({"limit": 2})), expected);
    assert_eq!(joined(json!({"limit": 0})), ["joined tech at 60 from 61", "replayed tech up to 60"]);
    assert_eq!(joined(json!({"limit": 100}))[0], "joined tech at 60 from 1");
    assert_eq!(joined(json!({"room": "empty"})), ["joined empty at 0 from 1", "replayed empty up to 0"]);
    assert_eq!(joined(json!({"since": 5, "epoch": EPOCH})), ["error bad_request j"]);
    // Dense, as it always was.
    assert_eq!(joined(json!({"fold": false, "limit": 1})), ["joined tech at 60", "60 bob: 60"]);
}

/// The replay ends at `joined.seq` also if more is stored meanwhile.
#[test]
fn a_folded_replay_ends_before_what_is_new() {
    for recent_entries in [0, 4, 100] {
        let mut scenario = Scenario::with(|options| {
            options.recent.entries = recent_entries;
            options.page_entries = 4;
            options.rate = None;
        });
        let bob = scenario.open_in_room("bob", "tech");
        for n in 1..=10 {
            scenario.send_v2(bob, "tech", &n.to_string());
        }
        scenario.hold_reads = true;
        let [folded, dense] = [true, false].map(|fold| {
            let client = scenario.open_v2("alice");
            scenario.read_hello_if_held();
            let join = json!({"type": "join", "room": "tech", "limit": 9, "fold": fold, "ref": "j"});
            scenario.request(client, join);
            client
        });
        for n in 11..=14 {
            scenario.send_v2(bob, "tech", &n.to_string());
            if !scenario.reads.is_empty() {
                scenario.read();
            }
        }
        scenario.hold_reads = false;
        while !scenario.reads.is_empty() {
            scenario.read();
        }
        scenario.send_v2(bob, "tech", "15");
        let mut expected = vec!["hello alice".to_owned(), "joined tech at 10 from 2".to_owned()];
        expected.extend((2..=10).map(|n| format!("{n} bob: {n}")));
        expected.push("replayed tech up to 10".to_owned());
        expected.extend((11..=15).map(|n| format!("{n} bob: {n}")));
        assert_eq!(scenario.received(folded), expected, "{recent_entries}");
        expected.retain(|frame| !frame.starts_with("replayed"));
        expected[1] = "joined tech at 10".to_owned();
        assert_eq!(scenario.received(dense), expected, "{recent_entries}");
    }
}

/// Entries up to the end of a folded replay that are removed meanwhile do not keep it
/// from ending.
#[test]
fn a_folded_replay_ends_also_if_its_messages_are_removed() {
    let mut scenario = Scenario::with(|options| options.recent.entries = 0);
    for n in 1..=10 {
        scenario.store("bob", "tech", &n.to_string());
    }
    let bob = scenario.open_in_room("bob", "tech");
    scenario.hold_reads = true;
    let alice = scenario.open_v2("alice");
    scenario.read_hello_if_held();
    scenario.request(alice, json!({"type": "join", "room": "tech", "fold": true, "ref": "j"}));
    scenario.send_v2(bob, "tech", "11");
    scenario.trim("tech", 11);
    scenario.hold_reads = false;
    scenario.pass(1_000);
    let expected = ["hello alice", "joined tech at 10 from 1", "replayed tech up to 10", "11 bob: 11"];
    assert_eq!(scenario.received(alice), expected);
}

/// Ten messages of bob; then the third is edited, the fourth deleted, and there are thirty
/// reactions to the tenth.
fn changed_room(scenario: &mut Scenario) {
    for n in 1..=10 {
        scenario.store("bob", "tech", &n.to_string());
    }
    scenario.store_edit("bob", "tech", 3, "three");
    scenario.store_delete("bob", "tech", 4);
    for n in 13..=42 {
        scenario.store_react(&format!("user{n}"), "tech", 10, "👍");
    }
}

#[test]
fn a_folded_join_brings_the_newest_messages_as_they_are_now() {
    for (recent_entries, page_entries) in [(100, 100), (100, 4), (0, 100), (0, 2)] {
        let mut scenario = Scenario::with(|options| {
            options.recent.entries = recent_entries;
            options.page_entries = page_entries;
        });
        changed_room(&mut scenario);
        let mut joined = |limit: usize| {
            let alice = scenario.open_v2("alice");
            let join = json!({"type": "join", "room": "tech", "fold": true, "limit": limit, "ref": "j"});
            scenario.request(alice, join);
            scenario.received(alice)[1..].to_vec()
        };
        assert_eq!(
            joined(3),
            [
                "joined tech at 42 from 8",
                "8 bob: 8",
                "9 bob: 9",
                "10 bob: 10 (as of 42)",
                "replayed tech up to 42"
            ],
            "{recent_entries} {page_entries}"
        );
        let all = joined(100);
        assert_eq!(all[0], "joined tech at 42 from 1");
        assert_eq!(all[3..5], ["3 bob: three (edited) (as of 11)", "4 bob:  (deleted) (as of 12)"]);
        assert_eq!(all.len(), 12);
        assert_eq!(joined(0), ["joined tech at 42 from 43", "replayed tech up to 42"]);
        // The reactions of a dense join count as entries.
        let dense = scenario.open_v2("dave");
        scenario.request(dense, json!({"type": "join", "room": "tech", "limit": 3, "ref": "j"}));
        let got = scenario.received(dense)[1..].to_vec();
        assert_eq!(got[..2], ["joined tech at 42", "40 user40 reacts 👍 to 10"]);
        assert_eq!(got.len(), 4);
    }
}

#[test]
fn a_v1_client_gets_the_newest_messages_as_they_are_now() {
    for recent_entries in [0, 100] {
        let mut scenario = Scenario::with(|options| {
            options.recent.entries = recent_entries;
            options.join_replay_entries = 8;
        });
        changed_room(&mut scenario);
        let expected = ["bob: three", "bob: 5", "bob: 6", "bob: 7", "bob: 8", "bob: 9", "bob: 10", "+carol"];
        let carol = scenario.open("carol", "tech");
        assert_eq!(scenario.received(carol), expected, "{recent_entries}");
        // Changes that are delivered while there are clients.
        let alice = scenario.open_in_room("alice", "tech");
        scenario.send_v2(alice, "tech", "new");
        let edit = scenario.store_edit("bob", "tech", 9, "nine");
        let delete = scenario.store_delete("bob", "tech", 10);
        scenario.carry(&[&edit, &delete]);
        assert_eq!(scenario.received(carol), ["+alice", "alice: new"]);
        let dave = scenario.open("dave", "tech");
        let expected = ["bob: 5", "bob: 6", "bob: 7", "bob: 8", "bob: nine", "alice: new", "+dave"];
        assert_eq!(scenario.received(dave), expected, "{recent_entries}");
    }
}

fn without_presence(scenario: &mut Scenario, client: ClientId) -> Vec<String> {
    let mut got = scenario.received(client);
    got.retain(|line| !line.starts_with('+'));
    got
}

/// A room of which the hub knows only how far it is, because a member is connected.
#[test]
fn the_newest_messages_of_a_watched_room_are_looked_up_once() {
    let mut scenario = Scenario::new();
    changed_room(&mut scenario);
    let tech = crate::harness::room("tech");
    let (info, members) = (RoomInfo::opened(&tech), vec![name("alice"), name("carol")]);
    scenario.change(&WantedChange::Create { room: tech, info, members, by: name("bob") });
    let [alice, carol] = ["alice", "carol"].map(|user| scenario.open_v2(user));
    assert_eq!(scenario.pages_begun, 0);
    scenario.hold_reads = true;
    for client in [alice, carol] {
        scenario.frames(client);
        let join = json!({"type": "join", "room": "tech", "fold": true, "limit": 2, "ref": "j"});
        scenario.request(client, join);
    }
    let dave = scenario.open("dave", "tech");
    assert_eq!(scenario.reads.len(), 1);
    // It counts what is delivered before the answer.
    let answer = scenario.take_answer();
    let later = scenario.store("bob", "tech", "later");
    scenario.carry(&[&later]);
    scenario.turn(Input::Answer { id: answer.0, answer: &answer.1 });
    scenario.hold_reads = false;
    scenario.pass(0);
    while !scenario.reads.is_empty() {
        scenario.read();
    }
    let expected =
        ["joined tech at 43 from 10", "10 bob: 10 (as of 42)", "43 bob: later", "replayed tech up to 43"];
    assert_eq!(without_presence(&mut scenario, alice), expected);
    assert_eq!(without_presence(&mut scenario, carol), expected);
    let got = scenario.received(dave);
    assert_eq!(got.len(), 10 + 1, "{got:?}");
    assert_eq!(got[2], "bob: three");
    // In a quiet room the newest page is enough.
    let mut scenario = Scenario::new();
    let quiet = crate::harness::room("quiet");
    let (info, members) = (RoomInfo::opened(&quiet), vec![name("alice")]);
    scenario.change(&WantedChange::Create { room: quiet, info, members, by: name("bob") });
    scenario.store("bob", "quiet", "hi");
    let alice = scenario.open_v2("alice");
    scenario.frames(alice);
    scenario.request(alice, json!({"type": "join", "room": "quiet", "fold": true}));
    let expected = ["joined quiet at 1 from 1", "1 bob: hi", "replayed quiet up to 1"];
    assert_eq!(scenario.received(alice), expected);
    assert_eq!(scenario.pages_begun, 1);
}

/// Clients that need the same messages share a read; one that joined later needs others.
#[test]
fn folded_replays_up_to_the_same_number_share_one_read() {
    let mut scenario = Scenario::new();
    changed_room(&mut scenario);
    let bob = scenario.open_in_room("bob", "tech");
    scenario.hold_reads = true;
    let join = |scenario: &mut Scenario, user: &str| {
        let client = scenario.open_v2(user);
        scenario.read_hello_if_held();
        scenario.frames(client);
        scenario.request(client, json!({"type": "join", "room": "tech", "fold": true, "limit": 3}));
        client
    };
    let [alice, carol] = ["alice", "carol"].map(|user| join(&mut scenario, user));
    assert_eq!(scenario.reads.len(), 1);
    scenario.request(bob, json!({"type": "edit", "room": "tech", "target": 9, "text": "nine", "nonce": "e"}));
    let dave = join(&mut scenario, "dave");
    assert_eq!(scenario.reads.len(), 2);
    while !scenario.reads.is_empty() {
        scenario.read();
    }
    let messages = ["8 bob: 8", "9 bob: nine (edited) (as of 43)", "10 bob: 10 (as of 42)"];
    for client in [alice, carol] {
        let got = without_presence(&mut scenario, client);
        assert_eq!(got[0], "joined tech at 42 from 8");
        assert_eq!(got[1..4], messages);
        assert_eq!(got[4], "replayed tech up to 42");
        assert!(got.contains(&"43 bob edits 9: nine".to_owned()), "{got:?}");
    }
    let got = without_presence(&mut scenario, dave);
    assert_eq!((&got[0][..], &got[4][..]), ("joined tech at 43 from 8", "replayed tech up to 43"));
    assert_eq!(got[1..4], messages);
    scenario.pass(1_000);
    assert_eq!(scenario.received(dave), [""; 0]);
}

#[test]
fn a_folded_replay_of_a_full_socket_waits() {
    let mut scenario = Scenario::with(|options| options.page_entries = 4);
    changed_room(&mut scenario);
    let alice = scenario.open_v2("alice");
    scenario.frames(alice);
    scenario.hold_reads = true;
    scenario.request(alice, json!({"type": "join", "room": "tech", "fold": true}));
    scenario.read();
    let got = scenario.received(alice);
    assert_eq!(got, ["joined tech at 42 from 1"]);
    scenario.pending(alice, 64 * 1024);
    scenario.read();
    assert_eq!((scenario.received(alice).len(), scenario.reads.len()), (0, 0));
    scenario.pass(60_000);
    assert_eq!(scenario.close_code(alice), None);
    scenario.hold_reads = false;
    scenario.pending(alice, 0);
    assert_eq!(scenario.received(alice).len(), 10 + 1);
}

#[test]
fn a_folded_replay_that_the_log_does_not_answer_is_given_up() {
    let mut scenario = Scenario::new();
    changed_room(&mut scenario);
    let bob = scenario.open_in_room("bob", "tech");
    let alice = scenario.open_v2("alice");
    scenario.frames(alice);
    scenario.hold_reads = true;
    scenario.request(alice, json!({"type": "join", "room": "tech", "fold": true}));
    while scenario.close_code(alice).is_none() {
        while !scenario.reads.is_empty() {
            scenario.fail_read();
        }
        scenario.pass(500);
    }
    assert_eq!((scenario.close_code(alice), scenario.close_code(bob)), (Some(1013), None));
}

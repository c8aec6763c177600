//! The first frame of protocol v2.

use chat_core::{Answer, ChangeRules, Input, Query, RoomInfo, WantedChange};
use serde_json::{Value, json};

use crate::harness::{EPOCH, Scenario, name, room, short};

#[test]
fn hello_comes_first_and_lists_conversations() {
    let mut scenario = Scenario::new();
    for text in ["1", "2", "3"] {
        scenario.store_private("alice", "bob", text);
    }
    scenario.store_private("carol", "alice", "4");
    scenario.store_private("carol", "bob", "5");
    let alice = scenario.open_v2("alice");
    let hello = scenario.frames(alice).remove(0);
    assert_eq!(hello["protocol"], 2);
    assert_eq!(hello["user"], "alice");
    assert_eq!(hello["epoch"], EPOCH);
    assert_eq!(hello["heartbeat_seconds"], 45);
    assert_eq!(hello["limits"]["text_max_chars"], 4096);
    let at = 1_795_371_797;
    // Of two that were written to at the same time, the first by name.
    let privates = json!([
        {"with": "bob", "seq": 3, "at": at, "read": 0, "unread": 0, "level": "all"},
        {"with": "carol", "seq": 1, "at": at, "read": 0, "unread": 1, "level": "all"},
    ]);
    assert_eq!(hello["privates"], privates);
    assert_eq!(hello["has_more"], false);
}

#[test]
fn no_frame_is_taken_or_sent_before_hello() {
    let mut scenario = Scenario::new();
    scenario.hold_reads = true;
    let alice = scenario.open_v2("alice");
    scenario.join(alice, "tech");
    let bob = scenario.open("bob", "tech");
    scenario.send_private(bob, "alice", "psst");
    assert_eq!(scenario.received(alice), [""; 0]);
    assert_eq!(scenario.waiting(alice), 1);
    scenario.hold_reads = false;
    scenario.read_hello();
    let hello = scenario.frames(alice);
    // What was stored meanwhile is counted in `hello`, and not sent again.
    assert_eq!(hello[0]["privates"][0]["seq"], 1);
    scenario.send_private(bob, "alice", "psst again");
    assert_eq!(scenario.received(alice), ["2 bob to alice: psst again"]);
}

#[test]
fn live_private_messages_continue_exactly_after_hello() {
    let mut scenario = Scenario::new();
    let first = scenario.store_private("bob", "alice", "1");
    let second = scenario.store_private("bob", "alice", "2");
    // The log has both, the bus is late.
    let alice = scenario.open_v2("alice");
    assert_eq!(scenario.frames(alice)[0]["privates"][0]["seq"], 2);
    scenario.carry(&[&first, &second]);
    let third = scenario.store_private("bob", "alice", "3");
    scenario.carry(&[&third]);
    assert_eq!(scenario.received(alice), ["3 bob to alice: 3"]);
    // Another client, while this hub is behind: the rest is delivered to all.
    scenario.store_private("bob", "alice", "4");
    let phone = scenario.open_v2("alice");
    let frames = scenario.frames(phone);
    assert_eq!(frames[0]["privates"][0]["seq"], 3);
    // What is unread as of 3 is not known.
    let rest: Vec<String> = frames[1..].iter().map(short).collect();
    assert_eq!(rest, ["read bob up to 0 of 4: 4 and 0", "4 bob to alice: 4"]);
    let fifth = scenario.store_private("bob", "alice", "5");
    scenario.carry(&[&fifth]);
    assert_eq!(scenario.received(phone), ["5 bob to alice: 5"]);
    assert_eq!(scenario.received(alice), ["4 bob to alice: 4", "5 bob to alice: 5"]);
}

#[test]
fn a_late_hello_knows_what_was_delivered_in_a_conversation_that_is_forgotten_since() {
    let mut scenario = Scenario::with(|options| options.conversation_idle_ms = 2_000);
    scenario.store_private("bob", "alice", "1");
    scenario.hold_reads = true;
    let alice = scenario.open_v2("alice");
    let is_conversations = |(_, query): &(_, Query)| matches!(query, Query::Conversations { .. });
    let position = scenario.hellos.iter().position(is_conversations).unwrap();
    let (id, query) = scenario.hellos.remove(position).unwrap();
    let answer = scenario.history.answer(&query);
    scenario.turn(Input::Answer { id, answer: &answer });
    let second = scenario.store_private("bob", "alice", "2");
    scenario.carry(&[&second]);
    scenario.pass(5_000);
    let (id, query) = scenario.hellos.pop_front().unwrap();
    let answer = scenario.history.answer(&query);
    scenario.turn(Input::Answer { id, answer: &answer });
    assert_eq!(scenario.frames(alice)[0]["privates"][0]["seq"], 2);
}

#[test]
fn a_hello_lists_as_many_rooms_as_fit_into_a_frame() {
    // Names and titles of usual length, and the longest ones.
    for (title, name_of, is_complete) in [
        ("Планы на отпуск 2027".to_owned(), (|n| format!("отпуск-{n}")) as fn(u32) -> String, true),
        ("😀".repeat(64), |n| format!("{}{n:03}", "😀".repeat(61)), false),
    ] {
        let mut scenario = Scenario::new();
        for number in 0..200 {
            let room = room(&name_of(number));
            let info = RoomInfo { title: title.clone(), ..RoomInfo::opened(&room) };
            scenario.change(&WantedChange::Create { room, info, members: Vec::new(), by: name("alice") });
            let other = if is_complete {
                format!("друг {number}")
            } else {
                format!("{}{number:03}", "😀".repeat(21))
            };
            scenario.store_private(&other, "alice", "hi");
        }
        let alice = scenario.open_v2("alice");
        let hello = scenario.frames(alice).remove(0);
        let count = |list: &str| hello[list].as_array().map_or(0, Vec::len);
        let bytes = hello.to_string().len();
        assert!(bytes <= 128 * 1024, "{bytes} bytes");
        assert_eq!(hello["limits"]["frame_max_bytes"], 128 * 1024);
        assert_eq!((count("privates"), count("rooms") == 200), (200, is_complete), "{bytes} bytes");
        assert_eq!(hello["has_more_rooms"], !is_complete);
        assert!(count("rooms") >= 80, "{}", count("rooms"));
    }
}

#[test]
fn hello_has_what_clients_may_change() {
    for (edit_ms, seconds) in [(None, Value::Null), (Some(900_000), json!(900))] {
        let rules = ChangeRules { edit_ms, reactions_max: 7, ..ChangeRules::default() };
        let mut scenario = Scenario::with(|options| options.change_rules = rules);
        let alice = scenario.open_v2("alice");
        let hello = scenario.frames(alice).remove(0);
        let limits = &hello["limits"];
        assert_eq!((&limits["reactions_max"], &limits["edit_seconds"]), (&json!(7), &seconds));
        for feature in ["edit", "delete", "react", "reply"] {
            assert!(
                hello["features"].as_array().is_some_and(|all| all.contains(&json!(feature))),
                "{feature}"
            );
        }
    }
}

#[test]
fn a_log_that_is_out_delays_hello_and_then_closes() {
    let mut scenario = Scenario::new();
    scenario.hold_reads = true;
    let alice = scenario.open_v2("alice");
    let (id, ..) = scenario.hellos.pop_front().unwrap();
    scenario.turn(Input::Answer { id, answer: &Answer::Failed });
    scenario.pass(1_000);
    scenario.read_hello();
    assert_eq!(scenario.received(alice), ["hello alice"]);
    let bob = scenario.open_v2("bob");
    scenario.pass(20_000);
    assert_eq!((scenario.received(bob), scenario.close_code(bob)), (vec![], Some(1013)));
}

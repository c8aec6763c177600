//! What users have read, and what they want to be notified of.

use chat_core::{Access, Actor, Answer, ClientId, Input, Level, ReadId, RoomInfo, UserMark, WantedChange};
use serde_json::{Value, json};

use crate::harness::{Scenario, name, room, topic};

/// Two connections of alice, who is a member of `tech`, and one of bob, who has written
/// 3 messages there after hers. Only bob has joined.
fn members() -> (Scenario, ClientId, ClientId, ClientId) {
    with(Scenario::new())
}

fn with(mut scenario: Scenario) -> (Scenario, ClientId, ClientId, ClientId) {
    create(&mut scenario, "tech", Access::Open);
    scenario.store("alice", "tech", "hello");
    let [phone, laptop] = ["alice", "alice"].map(|user| scenario.open_v2(user));
    let bob = scenario.open_in_room("bob", "tech");
    for nonce in ["1", "2", "3"] {
        scenario.send_v2(bob, "tech", nonce);
    }
    for client in [phone, laptop, bob] {
        scenario.frames(client);
    }
    scenario.kept.clear();
    (scenario, phone, laptop, bob)
}

/// A room of alice.
fn create(scenario: &mut Scenario, title: &str, access: Access) {
    let room = room(title);
    let info = RoomInfo { access, ..RoomInfo::opened(&room) };
    scenario.change(&WantedChange::Create { room, info, members: Vec::new(), by: name("alice") });
}

fn read(scenario: &mut Scenario, client: ClientId, upto: u64) {
    scenario.request(client, json!({"type": "read", "room": "tech", "upto": upto, "ref": "r"}));
}

fn level(scenario: &mut Scenario, client: ClientId, level: &str) {
    scenario.request(client, json!({"type": "level", "room": "tech", "level": level, "ref": "l"}));
}

/// What the log was handed: `up to 3`, `all`.
fn kept(scenario: &mut Scenario) -> Vec<String> {
    let short = |mark: UserMark| {
        let read = mark.read.map(|read| format!("up to {read}"));
        let level = mark.level.map(|level| level.as_str().to_owned());
        [read, level].into_iter().flatten().collect::<Vec<_>>().join(", ")
    };
    std::mem::take(&mut scenario.kept).into_iter().map(short).collect()
}

/// The entry of `tech` in the last `hello` that a client has received.
fn hello_of(scenario: &mut Scenario, client: ClientId) -> Value {
    let frames = scenario.frames(client);
    let mut rooms = frames[0]["rooms"].as_array().into_iter().flatten();
    rooms.find(|&room| room["room"] == "tech").cloned().unwrap_or(Value::Null)
}

#[test]
fn the_other_connections_of_a_user_are_sent_what_is_read() {
    let (mut scenario, phone, laptop, bob) = members();
    read(&mut scenario, phone, 3);
    assert_eq!(scenario.received(laptop), ["read tech up to 3 of 4: 1 and 0"]);
    for client in [phone, bob] {
        assert_eq!(scenario.received(client), [""; 0]);
    }
    assert_eq!(kept(&mut scenario), ["up to 3"]);
    let tablet = scenario.open_v2("alice");
    let tech = hello_of(&mut scenario, tablet);
    assert_eq!((&tech["read"], &tech["unread"], &tech["top"]), (&json!(3), &json!(1), &json!(4)));
}

#[test]
fn a_place_is_shown_and_kept_once_a_second_and_the_newest_mark_wins() {
    let (mut scenario, phone, laptop, _) = members();
    for upto in 1..=3 {
        read(&mut scenario, phone, upto);
    }
    assert_eq!(scenario.received(laptop), ["read tech up to 1 of 4: 3 and 0"]);
    assert_eq!(kept(&mut scenario), ["up to 1"]);
    scenario.pass(999);
    assert_eq!(scenario.received(laptop), [""; 0]);
    scenario.pass(1);
    assert_eq!(scenario.received(laptop), ["read tech up to 3 of 4: 1 and 0"]);
    assert_eq!(kept(&mut scenario), ["up to 3"]);
    // The connection that says more is not told, the one that said less is.
    scenario.pass(1_000);
    read(&mut scenario, laptop, 4);
    assert_eq!(scenario.received(phone), ["read tech up to 4 of 4: 0 and 0"]);
    assert_eq!(scenario.received(laptop), [""; 0]);
}

#[test]
fn what_is_read_on_another_server_is_shown_and_not_kept_again() {
    let (mut scenario, phone, laptop, bob) = members();
    let mark = |read, level| UserMark { user: name("alice"), topic: topic("tech"), read, level };
    scenario.turn(Input::Mark(&mark(Some(3), None)));
    for client in [phone, laptop] {
        assert_eq!(scenario.received(client), ["read tech up to 3 of 4: 1 and 0"]);
    }
    scenario.pass(1_000);
    // Said again, or by a server that knows less.
    scenario.turn(Input::Mark(&mark(Some(3), None)));
    scenario.turn(Input::Mark(&mark(Some(2), Some(Level::All))));
    for client in [phone, laptop] {
        assert_eq!(scenario.received(client), ["level of tech: all"]);
    }
    assert_eq!(scenario.received(bob), [""; 0]);
    assert_eq!(kept(&mut scenario), [""; 0]);
    // A client here goes on from there.
    scenario.pass(1_000);
    read(&mut scenario, phone, 4);
    assert_eq!(scenario.received(laptop), ["read tech up to 4 of 4: 0 and 0"]);
    assert_eq!(kept(&mut scenario), ["up to 4"]);
}

#[test]
fn a_mark_never_goes_back() {
    let (mut scenario, phone, laptop, _) = members();
    read(&mut scenario, phone, 3);
    scenario.frames(laptop);
    scenario.pass(5_000);
    read(&mut scenario, laptop, 2);
    assert_eq!(scenario.received(phone), [""; 0]);
    assert_eq!(kept(&mut scenario), ["up to 3"]);
    // Also where the hub has forgotten it.
    scenario.pass(120_000);
    read(&mut scenario, laptop, 2);
    assert_eq!(scenario.received(phone), ["read tech up to 3 of 4: 1 and 0"]);
    let tablet = scenario.open_v2("alice");
    assert_eq!(hello_of(&mut scenario, tablet)["read"], 3);
    // And where the store does not have it yet.
    scenario.lose_marks = true;
    read(&mut scenario, phone, 4);
    read(&mut scenario, laptop, 3);
    let watch = scenario.open_v2("alice");
    assert_eq!(hello_of(&mut scenario, watch)["read"], 4);
}

#[test]
fn a_mark_beyond_the_end_is_clamped() {
    let (mut scenario, phone, laptop, bob) = members();
    read(&mut scenario, phone, u64::MAX);
    assert_eq!(scenario.received(laptop), ["read tech up to 4 of 4: 0 and 0"]);
    // What comes later is unread, also where no other connection was there to be shown it.
    scenario.disconnect(laptop);
    scenario.pass(2_000);
    read(&mut scenario, phone, 1_000);
    scenario.pass(2_000);
    scenario.send_v2(bob, "tech", "5");
    scenario.send_v2(bob, "tech", "6");
    let tablet = scenario.open_v2("alice");
    let tech = hello_of(&mut scenario, tablet);
    assert_eq!((&tech["read"], &tech["unread"]), (&json!(4), &json!(2)));
    read(&mut scenario, phone, 5);
    assert_eq!(scenario.received(tablet), ["read tech up to 5 of 6: 1 and 0"]);
    assert_eq!(kept(&mut scenario).last().unwrap(), "up to 5");
}

#[test]
fn only_members_set_marks_in_a_room() {
    for known in [1_000, 0] {
        let mut scenario = Scenario::with(|options| options.user_memberships_max = known);
        scenario.change(&WantedChange::Create {
            room: room("tech"),
            info: RoomInfo::opened(&room("tech")),
            members: Vec::new(),
            by: name("bob"),
        });
        scenario.store("bob", "tech", "hi");
        let [phone, laptop] = ["alice", "alice"].map(|user| scenario.open_v2(user));
        scenario.frames(phone);
        scenario.frames(laptop);
        read(&mut scenario, phone, 1);
        level(&mut scenario, phone, "all");
        assert_eq!(scenario.received(phone), ["error not_found r", "error not_found l"]);
        let by = Actor { user: name("alice"), is_administrator: false };
        let room = room("tech");
        scenario.change(&WantedChange::Put { room, user: name("alice"), role: None, by });
        scenario.store("carol", "tech", "hi");
        if known == 0 {
            read(&mut scenario, phone, 1);
            level(&mut scenario, phone, "all");
            assert_eq!(scenario.received(laptop), ["read tech up to 1 of 2: 1 and 0", "level of tech: all"]);
            scenario.hold_questions = true;
            scenario.pass(2_000);
            read(&mut scenario, phone, 2);
            scenario.fail_question();
            assert_eq!(scenario.received(phone), ["error unavailable r"]);
        } else {
            read(&mut scenario, phone, 2);
            assert_eq!(scenario.received(laptop), ["read tech up to 2 of 2: 0 and 0"]);
            assert_eq!(kept(&mut scenario), ["up to 2"]);
        }
    }
}

#[test]
fn a_failed_question_is_asked_again() {
    let (mut scenario, phone, laptop, bob) = members();
    scenario.hold_questions = true;
    read(&mut scenario, phone, 2);
    scenario.fail_question();
    scenario.pass(400);
    read(&mut scenario, phone, 3);
    assert_eq!(scenario.questions.len(), 0);
    scenario.pass(100);
    scenario.answer_question();
    assert_eq!(scenario.received(laptop), ["read tech up to 3 of 4: 1 and 0"]);
    // One that was asked before a higher mark is followed by another one.
    scenario.pass(5_000);
    scenario.send_v2(bob, "tech", "5");
    read(&mut scenario, phone, 4);
    scenario.pass(1_500);
    read(&mut scenario, laptop, 5);
    scenario.answer_question();
    scenario.pass(1_000);
    scenario.answer_question();
    assert_eq!(scenario.questions.len(), 0);
    assert_eq!(scenario.received(laptop), [""; 0]);
    assert_eq!(scenario.received(phone), ["read tech up to 5 of 5: 0 and 0"]);
}

#[test]
fn a_hello_shows_marks_that_the_store_does_not_have_yet() {
    let (mut scenario, phone, laptop, bob) = members();
    scenario.lose_marks = true;
    scenario.store_private("bob", "alice", "psst");
    scenario.carry(&[]);
    read(&mut scenario, phone, 3);
    level(&mut scenario, phone, "none");
    scenario.request(phone, json!({"type": "read", "with": "bob", "upto": 1}));
    scenario.request(phone, json!({"type": "level", "with": "bob", "level": "mentions"}));
    let heard = scenario.received(laptop);
    assert_eq!(heard.len(), 4, "{heard:?}");
    let tablet = scenario.open_v2("alice");
    let frames = scenario.frames(tablet);
    let tech = &frames[0]["rooms"][0];
    assert_eq!((&tech["read"], &tech["unread"], &tech["level"]), (&json!(3), &Value::Null, &json!("none")));
    let with_bob = &frames[0]["privates"][0];
    assert_eq!(
        (&with_bob["read"], &with_bob["unread"], &with_bob["level"]),
        (&json!(1), &Value::Null, &json!("mentions"))
    );
    let follow: Vec<String> = frames[1..].iter().map(crate::harness::short).collect();
    assert_eq!(follow, ["read bob up to 1 of 1: 0 and 0", "read tech up to 3 of 4: 1 and 0"]);
    scenario.received(bob);
}

#[test]
fn a_conversation_has_marks_for_each_of_its_users() {
    let mut scenario = Scenario::new();
    scenario.store_private("bob", "alice", "1");
    scenario.store_private("bob", "alice", "2");
    let [phone, laptop, bob] = ["alice", "alice", "bob"].map(|user| scenario.open_v2(user));
    let hello = &scenario.frames(phone)[0]["privates"][0];
    assert_eq!((&hello["read"], &hello["unread"], &hello["level"]), (&json!(0), &json!(2), &json!("all")));
    let hello = &scenario.frames(bob)[0]["privates"][0];
    assert_eq!(hello["unread"], 0, "own messages are not counted");
    scenario.frames(laptop);
    scenario.request(phone, json!({"type": "read", "with": " bob ", "upto": 1}));
    scenario.request(laptop, json!({"type": "level", "with": "bob", "level": "none"}));
    assert_eq!(scenario.received(laptop), ["read bob up to 1 of 2: 1 and 0"]);
    assert_eq!(scenario.received(phone), ["level of bob: none"]);
    assert_eq!(scenario.received(bob), [""; 0]);
    // Where there is nothing to read, nothing is kept.
    scenario.kept.clear();
    for other in ["carol", "nobody", "Nobody", "x\u{7}y"] {
        scenario.request(phone, json!({"type": "read", "with": other, "upto": 1, "ref": "r"}));
        assert_eq!(scenario.received(phone), [""; 0], "{other}");
        scenario.request(phone, json!({"type": "level", "with": other, "level": "none", "ref": "l"}));
        assert_eq!(scenario.received(phone), ["error not_found l"], "{other}");
    }
    assert_eq!(scenario.kept.len(), 0);
}

#[test]
fn a_level_is_shown_at_once_and_kept_once_a_second() {
    let (mut scenario, phone, laptop, bob) = members();
    for name in ["all", "none", "none", "mentions"] {
        level(&mut scenario, phone, name);
    }
    assert_eq!(
        scenario.received(laptop),
        ["level of tech: all", "level of tech: none", "level of tech: mentions"]
    );
    assert_eq!((scenario.received(phone), scenario.received(bob)), (vec![], vec![]));
    read(&mut scenario, phone, 2);
    assert_eq!(kept(&mut scenario), ["all"]);
    scenario.pass(1_000);
    assert_eq!(kept(&mut scenario), ["up to 2, mentions"]);
    let tablet = scenario.open_v2("alice");
    assert_eq!(hello_of(&mut scenario, tablet)["level"], "mentions");
}

#[test]
fn a_mark_is_not_lost_at_the_cap_or_at_the_end() {
    let mut scenario = Scenario::with(|options| options.user_marks_max = 1);
    for room in ["tech", "games"] {
        create(&mut scenario, room, Access::Open);
        scenario.store("alice", room, "1");
        scenario.store("bob", room, "2");
    }
    let alice = scenario.open_v2("alice");
    for upto in 1..=2 {
        read(&mut scenario, alice, upto);
    }
    assert_eq!(kept(&mut scenario), ["up to 1"]);
    scenario.request(alice, json!({"type": "read", "room": "games", "upto": 1}));
    assert_eq!(kept(&mut scenario), ["up to 2", "up to 1"]);
    scenario.request(alice, json!({"type": "read", "room": "games", "upto": 2}));
    assert_eq!(kept(&mut scenario), [""; 0]);
    scenario.disconnect(alice);
    scenario.turn(Input::Drain);
    assert_eq!(kept(&mut scenario), ["up to 2"]);
}

#[test]
fn counts_of_a_membership_that_is_over_are_not_shown_in_the_next_one() {
    for fails in [false, true] {
        let (mut scenario, phone, laptop, bob) = members();
        let (room, by) = (room("tech"), Actor { user: name("alice"), is_administrator: false });
        scenario.hold_questions = true;
        read(&mut scenario, phone, 100);
        if fails {
            scenario.fail_question();
        }
        let user = name("alice");
        scenario.change(&WantedChange::Remove { room: room.clone(), user: user.clone(), by: by.clone() });
        scenario.change(&WantedChange::Put { room, user, role: None, by });
        scenario.send_v2(bob, "tech", "5");
        scenario.frames(laptop);
        scenario.hold_questions = false;
        scenario.pass(2_000);
        let frames = scenario.received(laptop);
        assert!(frames.iter().all(|frame| !frame.starts_with("read")), "{frames:?}");
        let tablet = scenario.open_v2("alice");
        let tech = hello_of(&mut scenario, tablet);
        assert_eq!((&tech["read"], &tech["unread"]), (&json!(4), &json!(1)));
        read(&mut scenario, tablet, 5);
        assert_eq!(scenario.received(laptop), ["read tech up to 5 of 5: 0 and 0"]);
    }
}

#[test]
fn a_removed_member_is_not_sent_counts_of_the_room() {
    let mut scenario = Scenario::new();
    let room = room("tech");
    let info = RoomInfo { access: Access::Closed, ..RoomInfo::opened(&room) };
    let by = Actor { user: name("bob"), is_administrator: false };
    scenario.change(&WantedChange::Create {
        room: room.clone(),
        info,
        members: vec![name("alice")],
        by: name("bob"),
    });
    scenario.store("bob", "tech", "hi");
    let [phone, laptop] = ["alice", "alice"].map(|user| scenario.open_v2(user));
    for client in [phone, laptop] {
        scenario.frames(client);
    }
    scenario.hold_questions = true;
    read(&mut scenario, phone, 1);
    scenario.change(&WantedChange::Remove { room, user: name("alice"), by });
    scenario.answer_question();
    read(&mut scenario, phone, 1);
    scenario.answer_question();
    assert_eq!(scenario.received(laptop), [""; 0]);
    assert_eq!(scenario.received(phone), ["error not_found r"]);
    assert_eq!(scenario.history.counts(&name("alice"), &topic("tech"), 0).read, 0);
}

/// A mark beyond the end of `tech` by one, whose counts the log has read and not answered yet.
fn mark_beyond_the_end() -> (Scenario, [ClientId; 3], (ReadId, Answer)) {
    let (mut scenario, phone, laptop, bob) = members();
    scenario.hold_questions = true;
    read(&mut scenario, phone, 5);
    let answer = scenario.take_question_answer();
    scenario.send_v2(bob, "tech", "5");
    (scenario, [phone, laptop, bob], answer)
}

#[test]
fn a_client_is_shown_no_lower_mark_than_its_hello_has_shown() {
    let (mut scenario, [phone, laptop, _], answer) = mark_beyond_the_end();
    let tablet = scenario.open_v2("alice");
    assert_eq!(hello_of(&mut scenario, tablet)["read"], 5);
    scenario.arrive(&answer);
    scenario.hold_questions = false;
    scenario.pass(2_000);
    for client in [laptop, tablet] {
        let received = scenario.received(client);
        assert!(!received.is_empty(), "counts follow");
        assert!(received.iter().all(|frame| frame == "read tech up to 5 of 5: 0 and 0"), "{received:?}");
    }
    assert_eq!(scenario.received(phone), [""; 0]);
    // The store was handed it when the topic ended before.
    assert_eq!(kept(&mut scenario), ["up to 5", "up to 5"]);
    assert_eq!(scenario.history.counts(&name("alice"), &topic("tech"), 0).read, 5);
}

#[test]
fn counts_for_one_client_do_not_go_back_behind_those_for_all() {
    let (mut scenario, [phone, laptop, _], answer) = mark_beyond_the_end();
    scenario.lose_marks = true;
    let tablet = scenario.open_v2("alice");
    scenario.frames(tablet);
    // Asked for the tablet alone, and read before the next message is stored.
    scenario.arrive(&answer);
    let for_tablet = scenario.take_question_answer();
    scenario.store("bob", "tech", "6");
    read(&mut scenario, phone, 6);
    scenario.pass(1_000);
    scenario.answer_question();
    assert_eq!(scenario.received(tablet), ["read tech up to 6 of 6: 0 and 0"]);
    scenario.arrive(&for_tablet);
    assert_eq!(scenario.received(tablet), [""; 0]);
    scenario.answer_question();
    assert_eq!(scenario.received(tablet), ["read tech up to 6 of 6: 0 and 0"]);
    scenario.frames(laptop);
}

#[test]
fn a_mark_is_not_set_by_an_answer_that_is_older_than_a_removal() {
    for comes_back in [false, true] {
        let mut scenario = Scenario::with(|options| options.user_memberships_max = 0);
        create(&mut scenario, "tech", Access::Open);
        scenario.store("alice", "tech", "hello");
        scenario.store("bob", "tech", "hi");
        let phone = scenario.open_v2("alice");
        scenario.frames(phone);
        scenario.hold_questions = true;
        read(&mut scenario, phone, 2);
        let answer = scenario.take_question_answer();
        let (room, user) = (room("tech"), name("alice"));
        let by = Actor { user: user.clone(), is_administrator: false };
        scenario.change(&WantedChange::Remove { room: room.clone(), user: user.clone(), by: by.clone() });
        if comes_back {
            scenario.change(&WantedChange::Put { room, user, role: None, by });
        }
        scenario.arrive(&answer);
        while !scenario.questions.is_empty() {
            scenario.answer_question();
        }
        match comes_back {
            false => assert_eq!(scenario.received(phone), ["error not_found r"]),
            true => assert_eq!(kept(&mut scenario), ["up to 2"]),
        }
    }
}

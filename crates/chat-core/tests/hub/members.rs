//! Rooms with members: who may join, and what becomes of clients when that changes.

use chat_core::{
    Access, Actor, ClientId, Input, Role, RoomInfo, RoomLooks, RoomName, RoomPatch, WantedChange, Withheld,
};
use serde_json::json;

use crate::harness::{Scenario, name};

const ROOM: &str = "~den";

fn room() -> RoomName {
    RoomName::parse(ROOM).expect("a good name")
}

fn by(user: &str) -> Actor {
    Actor { user: name(user), is_administrator: false }
}

/// A scenario with a closed room of alice and bob.
fn with_closed_room() -> Scenario {
    let mut scenario = Scenario::new();
    create(&mut scenario, ROOM, Access::Closed, &["bob"]);
    scenario
}

fn create(scenario: &mut Scenario, room: &str, access: Access, members: &[&str]) {
    let room = RoomName::parse(room).expect("a good name");
    let info = RoomInfo { access, title: String::from("The den"), ..RoomInfo::opened(&room) };
    let members = members.iter().map(|member| name(member)).collect();
    scenario.change(&WantedChange::Create { room, info, members, by: name("alice") });
}

fn remove(user: &str) -> WantedChange {
    WantedChange::Remove { room: room(), user: name(user), by: by("alice") }
}

fn put(user: &str) -> WantedChange {
    WantedChange::Put { room: room(), user: name(user), role: None, by: by("alice") }
}

fn codes(scenario: &mut Scenario, client: ClientId) -> Vec<String> {
    let frames = scenario.frames(client);
    frames.iter().filter(|frame| frame["type"] == "error").map(|frame| frame["code"].to_string()).collect()
}

#[test]
fn nobody_opens_a_room_that_looks_like_one_of_the_settings() {
    let random = RoomName::parse("random").expect("a good name");
    let looks = RoomLooks::of([(&random, "Anything")]);
    let mut scenario = Scenario::with(|options| options.room_looks = looks);
    create(&mut scenario, "Random", Access::Open, &[]);
    let carol = scenario.open_v2("carol");
    scenario.frames(carol);
    for bad in ["rаndom", "anything", "a\u{202E}b", " "] {
        scenario.join(carol, bad);
        assert_eq!(codes(&mut scenario, carol), ["\"bad_request\""], "{bad:?}");
    }
    // One that is there stays what it is.
    for good in ["random", "Random"] {
        scenario.join(carol, good);
        assert_eq!(codes(&mut scenario, carol), [""; 0], "{good}");
    }
}

#[test]
fn only_members_join_a_closed_room() {
    let mut scenario = with_closed_room();
    let bob = scenario.open_in_room("bob", ROOM);
    let carol = scenario.open_v2("carol");
    scenario.frames(carol);
    scenario.join(carol, ROOM);
    scenario.request(carol, json!({"type": "history", "room": ROOM, "ref": "h"}));
    assert_eq!(codes(&mut scenario, carol), ["\"forbidden\"", "\"not_joined\""]);
    scenario.send_v2(bob, ROOM, "1");
    assert_eq!(scenario.frames(carol), [json!(null); 0]);
    assert!(scenario.received(bob).iter().any(|line| line.contains("bob: 1")));
    let dave = scenario.open("dave", ROOM);
    assert_eq!(scenario.close_code(dave), Some(1008));
    let alice = scenario.open("alice", ROOM);
    assert_eq!(scenario.close_code(alice), None);
}

#[test]
fn a_name_of_a_closed_room_that_does_not_exist_is_forbidden() {
    let mut scenario = Scenario::new();
    let carol = scenario.open_v2("carol");
    scenario.frames(carol);
    scenario.join(carol, "~nothing");
    assert_eq!(codes(&mut scenario, carol), ["\"forbidden\""]);
}

#[test]
fn requests_wait_until_the_store_says_who_may_read() {
    let mut scenario = with_closed_room();
    let bob = scenario.open_v2("bob");
    let carol = scenario.open_v2("carol");
    scenario.store("alice", ROOM, "secret");
    for client in [bob, carol] {
        scenario.frames(client);
    }
    scenario.hold_questions = true;
    for client in [bob, carol] {
        scenario.join(client, ROOM);
        scenario.request(client, json!({"type": "history", "room": ROOM, "ref": "h"}));
        scenario.send_v2(client, ROOM, "mine");
        let frames = scenario.frames(client);
        assert!(
            frames.iter().all(|frame| frame["code"] == "forbidden" || frame["type"] == "ack"),
            "{frames:?}"
        );
    }
    scenario.answer_question();
    scenario.answer_question();
    let frames = scenario.frames(bob);
    assert!(frames.iter().any(|frame| frame["type"] == "joined"));
    assert!(
        frames.iter().any(|frame| frame["type"] == "history" && frame["messages"][0]["text"] == "secret")
    );
    assert_eq!(codes(&mut scenario, carol).len(), 2);
}

#[test]
fn a_removed_member_gets_nothing_behind_the_removal() {
    let mut scenario = with_closed_room();
    let alice = scenario.open_in_room("alice", ROOM);
    let phone = scenario.open_in_room("bob", ROOM);
    let desk = scenario.open_v2("bob");
    let old = scenario.open("bob", ROOM);
    scenario.frames(desk);
    scenario.send_v2(alice, ROOM, "before");
    assert_eq!(scenario.received(phone).len(), 1);
    // The entry is committed, and carried with the removal in one turn.
    scenario.hold_appends = true;
    scenario.send_v2(alice, ROOM, "last");
    scenario.append(1);
    scenario.change(&remove("bob"));
    scenario.send_v2(alice, ROOM, "after");
    scenario.append(1);
    let frames = scenario.frames(phone);
    assert_eq!(frames[0]["text"], "last");
    assert_eq!(frames[1], json!({"type": "left", "room": ROOM, "reason": "removed"}));
    assert_eq!(frames.len(), 2);
    assert_eq!(scenario.close_code(old), Some(1008));
    for client in [phone, desk] {
        assert_eq!(
            scenario.notes(client).pop(),
            Some(json!({"type": "room", "room": ROOM, "member": false}))
        );
    }
    scenario.join(phone, ROOM);
    assert_eq!(codes(&mut scenario, phone), ["\"forbidden\""]);
    scenario.change(&put("bob"));
    scenario.join(phone, ROOM);
    // New members read the whole history.
    assert!(scenario.received(phone).iter().any(|line| line.contains("after")));
}

#[test]
fn an_answer_that_is_older_than_a_removal_lets_nobody_in() {
    let mut scenario = with_closed_room();
    let bob = scenario.open_v2("bob");
    scenario.frames(bob);
    scenario.hold_questions = true;
    scenario.join(bob, ROOM);
    let (id, query) = scenario.questions.pop_front().unwrap();
    let answer = scenario.history.answer(&query);
    scenario.change(&remove("bob"));
    scenario.turn(Input::Answer { id, answer: &answer });
    assert_eq!(codes(&mut scenario, bob), ["\"forbidden\""]);
}

#[test]
fn a_page_under_way_is_not_sent_to_a_removed_member() {
    for joins_again in [false, true] {
        let mut scenario = with_closed_room();
        let bob = scenario.open_in_room("bob", ROOM);
        scenario.hold_reads = true;
        scenario.request(bob, json!({"type": "history", "room": ROOM, "ref": "h"}));
        scenario.change(&remove("bob"));
        // What is read by now has messages from after the removal.
        scenario.store("alice", ROOM, "secret");
        if joins_again {
            scenario.hold_questions = true;
            scenario.join(bob, ROOM);
        }
        scenario.read();
        let frames = scenario.frames(bob);
        assert!(frames.iter().all(|frame| frame["type"] != "history"), "{frames:?}");
    }
}

#[test]
fn who_does_not_take_the_removal_in_time_is_cut_off() {
    let mut scenario = with_closed_room();
    let [phone, desk] = ["bob", "bob"].map(|user| scenario.open_in_room(user, ROOM));
    for client in [phone, desk] {
        scenario.turn(Input::Pending { client, bytes: 10_000 });
    }
    scenario.change(&remove("bob"));
    scenario.turn(Input::Pending { client: desk, bytes: 0 });
    scenario.pass(1_600);
    assert_eq!(scenario.close_code(phone), Some(1013));
    assert_eq!(scenario.close_code(desk), None);
}

#[test]
fn a_room_that_is_closed_keeps_its_members_only() {
    let mut scenario = Scenario::new();
    create(&mut scenario, "den", Access::Open, &["bob"]);
    let bob = scenario.open_in_room("bob", "den");
    let carol = scenario.open_in_room("carol", "den");
    let [old, older] = ["bob", "carol"].map(|user| scenario.open(user, "den"));
    let patch = RoomPatch { access: Some(Access::Closed), ..RoomPatch::default() };
    let room = RoomName::parse("den").unwrap();
    scenario.change(&WantedChange::Change { room, patch, by: by("alice") });
    assert_eq!(scenario.frames(carol), [json!({"type": "left", "room": "den", "reason": "closed"})]);
    assert_eq!(scenario.notes(bob).pop().unwrap()["access"], "closed");
    assert_eq!([old, older].map(|client| scenario.close_code(client)), [None, Some(1008)]);
    scenario.send_v2(bob, "den", "1");
    assert!(scenario.received(bob).iter().any(|line| line.contains("bob: 1")));
}

#[test]
fn whoever_leaves_an_open_room_stays_joined() {
    let mut scenario = Scenario::new();
    create(&mut scenario, "den", Access::Open, &["bob"]);
    let bob = scenario.open_in_room("bob", "den");
    let room = RoomName::parse("den").unwrap();
    scenario.change(&WantedChange::Remove { room, user: name("bob"), by: by("bob") });
    assert_eq!(scenario.frames(bob), [json!(null); 0]);
    assert_eq!(scenario.notes(bob), [json!({"type": "room", "room": "den", "member": false})]);
    scenario.send_v2(bob, "den", "1");
    assert_eq!(scenario.notes(bob)[0]["role"], "member");
}

#[test]
fn hello_lists_rooms_and_what_changes_meanwhile_follows() {
    let mut scenario = with_closed_room();
    create(&mut scenario, "hall", Access::Open, &["bob"]);
    scenario.store("alice", ROOM, "1");
    scenario.hold_reads = true;
    let bob = scenario.open_v2("bob");
    let (id, query) = scenario.hellos.pop_front().unwrap();
    let answer = scenario.history.answer(&query);
    scenario.change(&remove("bob"));
    scenario.turn(Input::Answer { id, answer: &answer });
    let (id, query) = scenario.hellos.pop_front().unwrap();
    let answer = scenario.history.answer(&query);
    scenario.hold_reads = false;
    scenario.turn(Input::Answer { id, answer: &answer });
    let hello = scenario.frames(bob).remove(0);
    assert_eq!(hello["rooms"][0]["room"], ROOM);
    assert_eq!(hello["rooms"][0]["unread"], 1);
    assert_eq!(hello["rooms"][1]["title"], "The den");
    assert_eq!(scenario.notes(bob), [json!({"type": "room", "room": ROOM, "member": false})]);
    scenario.store("alice", ROOM, "2");
    scenario.pass(3_000);
    assert_eq!(scenario.notes(bob), [json!(null); 0]);
}

#[test]
fn the_store_is_asked_about_senders_that_are_not_known_as_members() {
    let mut scenario = Scenario::new();
    scenario.hold_appends = true;
    let (bob, old) = (scenario.open_in_room("bob", "hall"), scenario.open("carol", "hall"));
    for _ in 0..2 {
        scenario.send_v2(bob, "hall", &format!("{}", scenario.drafts.len()));
        scenario.send(old, "hi");
        scenario.append(scenario.drafts.len());
    }
    scenario.send_v2(bob, "hall", "known");
    scenario.send(old, "hi");
    let checks: Vec<bool> = scenario.drafts.iter().map(|draft| draft.check).collect();
    assert_eq!(checks, [false, false]);
    let archive = RoomPatch { archived: Some(true), ..RoomPatch::default() };
    create(&mut scenario, "hut", Access::Open, &["bob"]);
    scenario.join(bob, "hut");
    let room = RoomName::parse("hut").unwrap();
    scenario.change(&WantedChange::Change { room, patch: archive, by: by("alice") });
    scenario.send_v2(bob, "hut", "archived");
    assert!(scenario.drafts.last().unwrap().check);
    scenario.append(scenario.drafts.len());
    assert_eq!(codes(&mut scenario, bob), ["\"forbidden\""]);
}

#[test]
fn an_answer_to_an_earlier_question_lets_nobody_in() {
    let mut scenario = with_closed_room();
    let bob = scenario.open_v2("bob");
    scenario.frames(bob);
    scenario.hold_questions = true;
    scenario.join(bob, ROOM);
    let (id, query) = scenario.questions.pop_front().unwrap();
    let answer = scenario.history.answer(&query);
    scenario.change(&remove("bob"));
    scenario.request(bob, json!({"type": "leave", "room": ROOM}));
    scenario.join(bob, ROOM);
    scenario.frames(bob);
    scenario.turn(Input::Answer { id, answer: &answer });
    assert_eq!(scenario.frames(bob), [json!(null); 0]);
    scenario.answer_question();
    assert_eq!(codes(&mut scenario, bob), ["\"forbidden\""]);
}

#[test]
fn a_duplicate_shows_that_its_author_is_a_member() {
    let mut scenario = Scenario::new();
    let bob = scenario.open_in_room("bob", "hall");
    scenario.hold_appends = true;
    scenario.send_v2(bob, "hall", "1");
    // It is stored, and the answer is lost.
    let draft = scenario.drafts[0].clone();
    scenario.history.append(&[draft], scenario.now.wall_ms, |_| true);
    scenario.append(1);
    assert_eq!(scenario.notes(bob)[0]["role"], "member");
}

#[test]
fn a_removal_that_was_taken_cuts_nobody_off_later() {
    let mut scenario = with_closed_room();
    let bob = scenario.open_in_room("bob", ROOM);
    // The socket takes `left` at once, and reports nothing.
    scenario.change(&remove("bob"));
    scenario.pass(3_000);
    scenario.turn(Input::Pending { client: bob, bytes: 10_000 });
    scenario.pass(1_000);
    assert_eq!(scenario.close_code(bob), None);
}

#[test]
fn members_of_a_migration_are_known_with_the_next_hello() {
    let mut scenario = Scenario::new();
    create(&mut scenario, "hall", Access::Open, &[]);
    let phone = scenario.open_v2("bob");
    scenario.frames(phone);
    // The change is not published: a migration adds the member in the background.
    let room = RoomName::parse("hall").unwrap();
    scenario.make_change(&WantedChange::Put { room, user: name("bob"), role: None, by: by("bob") });
    let desk = scenario.open_v2("bob");
    scenario.frames(desk);
    let hi = scenario.store("alice", "hall", "hi");
    scenario.carry(&[&hi]);
    scenario.pass(1_500);
    assert_eq!(scenario.notes(desk).len(), 1);
    scenario.request(phone, json!({"type": "read", "room": "hall", "upto": 1}));
    assert_eq!(codes(&mut scenario, phone), [""; 0]);
}

#[test]
fn a_recipient_does_not_learn_the_name_of_a_closed_room() {
    let mut scenario = with_closed_room();
    let (alice, carol) = (scenario.open("alice", ROOM), scenario.open("carol", "hall"));
    scenario.send_private(alice, "carol", "psst");
    let lines = scenario.lines(carol);
    assert!(lines.iter().all(|line| !format!("{line:?}").contains(ROOM)), "{lines:?}");
}

#[test]
fn a_join_that_is_given_up_resumes_a_client_whose_history_waited_for_it() {
    let mut scenario = with_closed_room();
    let bob = scenario.open_v2("bob");
    scenario.frames(bob);
    scenario.hold_questions = true;
    scenario.join(bob, ROOM);
    for reference in ["h1", "h2"] {
        scenario.request(bob, json!({"type": "history", "room": ROOM, "ref": reference}));
    }
    scenario.request(bob, json!({"type": "leave", "room": ROOM, "ref": "l"}));
    assert_eq!(scenario.waiting(bob), 1);
    scenario.pass(8_000);
    assert_eq!(scenario.waiting(bob), 0);
    let expected = ["\"not_joined\"", "\"not_joined\"", "\"unavailable\"", "\"not_joined\""];
    assert_eq!(codes(&mut scenario, bob), expected);
}

#[test]
fn times_do_not_run_backwards_in_a_room_of_which_a_member_is_new() {
    let mut scenario = with_closed_room();
    scenario.store("alice", ROOM, "secret");
    // The clock of this server is behind.
    scenario.now.wall_ms -= 3_600_000;
    let carol = scenario.open_v2("carol");
    scenario.frames(carol);
    // The hub watches the room from its newest message on, without reading that.
    scenario.change(&put("carol"));
    let phone = scenario.open("carol", ROOM);
    let times: Vec<_> = scenario.lines(phone).iter().map(|line| line.timestamp).collect();
    assert_eq!(times.len(), 2);
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn a_sender_whom_the_hub_does_not_know_as_a_member_is_shown_the_role() {
    let mut scenario = Scenario::new();
    create(&mut scenario, "hall", Access::Open, &[]);
    let bob = scenario.open_in_room("bob", "hall");
    // The changes are not published: the answers were lost.
    for role in [None, Some(Role::Moderator)] {
        let room = RoomName::parse("hall").unwrap();
        scenario.make_change(&WantedChange::Put { room, user: name("bob"), role, by: administrator() });
    }
    scenario.send_v2(bob, "hall", "1");
    assert_eq!(scenario.notes(bob)[0]["role"], "moderator");
}

#[test]
fn an_answer_that_is_older_than_the_end_of_a_membership_shows_no_member() {
    let mut scenario = Scenario::new();
    create(&mut scenario, "hall", Access::Open, &[]);
    let [phone, _desk] = ["bob", "bob"].map(|user| scenario.open_in_room(user, "hall"));
    let hall = RoomName::parse("hall").unwrap();
    scenario.hold_appends = true;
    scenario.hold_questions = true;
    scenario.send_v2(phone, "hall", "1");
    // It is stored, and the answer is lost: bob is a member, of which the hub asks.
    let draft = scenario.drafts[0].clone();
    scenario.history.append(&[draft], scenario.now.wall_ms, |_| true);
    scenario.append(1);
    let answer = scenario.take_question_answer();
    scenario.change(&WantedChange::Remove { room: hall, user: name("bob"), by: by("bob") });
    scenario.arrive(&answer);
    let shown = scenario.notes(phone);
    assert!(shown.iter().all(|frame| frame["member"] == false), "{shown:?}");
    let hi = scenario.store("alice", "hall", "hi");
    scenario.carry(&[&hi]);
    scenario.request(phone, json!({"type": "leave", "room": "hall"}));
    let hi = scenario.store("alice", "hall", "hi");
    scenario.carry(&[&hi]);
    scenario.pass(2_000);
    assert_eq!(scenario.notes(phone), [json!(null); 0]);
}

fn administrator() -> Actor {
    Actor { user: name("alice"), is_administrator: true }
}

/// Another server may have removed bob, and this one would not know.
#[test]
fn entries_of_closed_rooms_wait_while_removals_are_not_known() {
    let mut scenario = with_closed_room();
    create(&mut scenario, "kitchen", Access::Open, &["bob"]);
    let texts = |frames: &[serde_json::Value]| -> Vec<String> {
        let texts = frames.iter().filter(|frame| frame["type"] == "message");
        texts.map(|frame| frame["text"].to_string()).collect()
    };
    let bob = scenario.open_in_room("bob", ROOM);
    let alice = scenario.open_in_room("alice", ROOM);
    for client in [bob, alice] {
        scenario.join(client, "kitchen");
    }
    scenario.turn(Input::Withhold(Withheld::ClosedRooms));
    for client in [bob, alice] {
        scenario.frames(client);
    }
    scenario.send_v2(alice, ROOM, "1");
    scenario.send_v2(alice, "kitchen", "open");
    scenario.request(bob, json!({"type": "history", "room": ROOM, "ref": "h"}));
    let frames = scenario.frames(bob);
    assert_eq!(texts(&frames), ["\"open\""]);
    assert!(frames.iter().any(|frame| frame["code"] == "unavailable"), "{frames:?}");
    let frames = scenario.frames(alice);
    assert_eq!(texts(&frames), ["\"open\""]);
    assert_eq!(frames.iter().filter(|frame| frame["type"] == "ack").count(), 2, "it is stored: {frames:?}");
    // A client that comes now gets nothing of the room either.
    let late = scenario.open_v2("bob");
    scenario.join(late, ROOM);
    assert_eq!(texts(&scenario.frames(late)), [""; 0]);

    // The read of the feed brings the removal of bob.
    scenario.change(&remove("bob"));
    scenario.turn(Input::Withhold(Withheld::Nothing));
    assert_eq!(texts(&scenario.frames(bob)), [""; 0]);
    assert_eq!(texts(&scenario.frames(late)), [""; 0]);
    assert_eq!(texts(&scenario.frames(alice)), ["\"1\""]);
    scenario.send_v2(alice, ROOM, "2");
    assert_eq!(texts(&scenario.frames(alice)), ["\"2\""]);
}

/// Another server may have closed the kitchen, and this one would not know.
#[test]
fn entries_of_open_rooms_wait_where_one_may_have_been_closed() {
    let mut scenario = with_closed_room();
    create(&mut scenario, "kitchen", Access::Open, &["bob"]);
    let mut open = |user| {
        let client = scenario.open_v2(user);
        scenario.join(client, "kitchen");
        scenario.frames(client);
        client
    };
    let (alice, carol) = (open("alice"), open("carol"));
    scenario.turn(Input::Withhold(Withheld::AllRooms));
    scenario.send_v2(alice, "kitchen", "members only");
    let messages =
        |frames: &[serde_json::Value]| frames.iter().filter(|frame| frame["type"] == "message").count();
    assert_eq!([alice, carol].map(|client| messages(&scenario.frames(client))), [0, 0]);
    // The removal of members is awaited still, and no longer that of open rooms.
    scenario.turn(Input::Withhold(Withheld::ClosedRooms));
    assert_eq!([alice, carol].map(|client| messages(&scenario.frames(client))), [1, 1]);
}

#[test]
fn all_clients_are_sent_away_and_may_come_back() {
    let mut scenario = with_closed_room();
    let bob = scenario.open_in_room("bob", ROOM);
    let old = scenario.open("alice", ROOM);
    scenario.turn(Input::CloseAll);
    assert_eq!([bob, old].map(|client| scenario.close_code(client)), [Some(1013); 2]);
    let again = scenario.open_in_room("bob", ROOM);
    assert_eq!(scenario.close_code(again), None);
}

//! Credits and rates.

use chat_core::RateLimit;

use crate::harness::{Line, Scenario, numbered};

#[test]
fn the_thirty_third_message_waits_for_a_receipt() {
    let mut scenario = Scenario::with(|options| options.rate = None);
    let alice = scenario.open("alice", "kitchen");
    scenario.hold_appends = true;
    for n in 1..=40 {
        scenario.send(alice, &n.to_string());
    }
    assert_eq!((scenario.drafts.len(), scenario.waiting(alice)), (32, 8));
    scenario.append(1);
    assert_eq!((scenario.drafts.len(), scenario.waiting(alice)), (32, 7));
    scenario.hold_appends = false;
    scenario.append(32);
    assert_eq!(scenario.received(alice)[1..], numbered("alice: ", 1..=40));
}

#[test]
fn a_full_hub_pauses_all_clients_and_resumes_them_in_turn() {
    let mut scenario = Scenario::with(|options| options.hub_unanswered_max = 3);
    let [alice, bob] = [scenario.open("alice", "kitchen"), scenario.open("bob", "kitchen")];
    scenario.hold_appends = true;
    for n in 1..=4 {
        scenario.send(alice, &n.to_string());
        scenario.send(bob, &n.to_string());
    }
    // Each may be in the middle of a frame when the hub is full.
    assert!(scenario.hub.unanswered() <= 3 + 1, "{}", scenario.hub.unanswered());
    assert!(scenario.waiting(alice) > 0 && scenario.waiting(bob) > 0);
    while scenario.hub.unanswered() > 0 {
        scenario.append(1);
        assert!(scenario.hub.unanswered() <= 4, "{}", scenario.hub.unanswered());
    }
    let mut got = scenario.received(bob);
    got.sort();
    let both = [numbered("alice: ", 1..=4), numbered("bob: ", 1..=4)].concat();
    assert_eq!(got, [vec!["+bob".to_owned()], both].concat());
}

#[test]
fn a_client_opened_while_the_hub_is_full_waits_too() {
    let mut scenario = Scenario::with(|options| options.hub_unanswered_max = 3);
    scenario.hold_appends = true;
    for n in 1..=9 {
        let alice = scenario.open("alice", "kitchen");
        scenario.send(alice, &n.to_string());
        scenario.disconnect(alice);
    }
    assert_eq!(scenario.hub.unanswered(), 3);
}

#[test]
fn a_hub_full_of_bytes_waits_too() {
    let mut scenario = Scenario::with(|options| options.hub_unanswered_bytes = 100);
    let alice = scenario.open("alice", "kitchen");
    scenario.hold_appends = true;
    for _ in 0..3 {
        scenario.send(alice, &"x".repeat(60));
    }
    assert_eq!((scenario.drafts.len(), scenario.waiting(alice)), (2, 1));
    scenario.append(1);
    assert_eq!((scenario.drafts.len(), scenario.waiting(alice)), (2, 0));
}

#[test]
fn a_burst_of_sixty_then_ten_a_second_and_nothing_is_lost() {
    let mut scenario = Scenario::new();
    let [alice, alice_too] = [scenario.open("alice", "kitchen"), scenario.open("alice", "kitchen")];
    let bob = scenario.open("bob", "kitchen");
    for n in 1..=50 {
        scenario.send(alice, &n.to_string());
        scenario.send_private(alice_too, "bob", &n.to_string());
    }
    // The limit holds for all connections of the user, for private messages and
    // others. The second connection had a message in the hub when the first one
    // was paused.
    assert_eq!(scenario.received(bob).len(), 1 + 60 + 1);
    scenario.pass(1_020);
    assert!((9..=12).contains(&scenario.received(bob).len()));
    scenario.send(bob, "I am not slowed down");
    assert_eq!(scenario.received(bob), ["bob: I am not slowed down"]);
    scenario.pass(4_000);
    let got: Vec<_> = scenario.lines(bob).iter().map(Line::short).collect();
    let of = |prefix: &str| got.iter().filter(|line| line.starts_with(prefix)).cloned().collect::<Vec<_>>();
    assert_eq!(of("alice: "), numbered("alice: ", 1..=50));
    assert_eq!(of("alice to bob: "), numbered("alice to bob: ", 1..=50));
}

#[test]
fn a_new_connection_does_not_lift_the_rate_limit() {
    let limit = RateLimit { burst: 5, per_second: 1 };
    let mut scenario = Scenario::with(|options| options.rate = Some(limit));
    let alice = scenario.open("alice", "kitchen");
    for n in 1..=5 {
        scenario.send(alice, &n.to_string());
    }
    scenario.disconnect(alice);
    let alice = scenario.open("alice", "kitchen");
    scenario.send(alice, "6");
    assert_eq!(scenario.waiting(alice), 1);
    scenario.pass(1_100);
    assert_eq!(scenario.waiting(alice), 0);
}

#[test]
fn rooms_and_frames_are_bounded() {
    let mut scenario = Scenario::with(|options| {
        options.client_rooms_max = 2;
        options.frame_rate = Some(RateLimit { burst: 10, per_second: 10 });
    });
    let alice = scenario.open_v2("alice");
    for room in ["a", "b", "c"] {
        scenario.join(alice, room);
    }
    assert_eq!(scenario.received(alice)[1..], ["joined a at 0", "joined b at 0", "error too_many_rooms j"]);
    for _ in 0..20 {
        scenario.frame(alice, "{}");
    }
    assert_eq!(scenario.received(alice).len(), 7);
    scenario.pass(1_000);
    assert_eq!(scenario.received(alice).len(), 10);
}

#[test]
fn a_user_has_only_so_many_connections() {
    let mut scenario = Scenario::with(|options| options.user_clients_max = 2);
    let one = scenario.open("alice", "kitchen");
    let two = scenario.open("alice", "garden");
    let three = scenario.open("alice", "kitchen");
    assert_eq!([one, two, three].map(|client| scenario.close_code(client)), [None, None, Some(1013)]);
    let other = scenario.open("bob", "kitchen");
    assert_eq!(scenario.close_code(other), None);
    scenario.disconnect(one);
    let again = scenario.open("alice", "kitchen");
    assert_eq!(scenario.close_code(again), None);
}

#[test]
fn opening_connections_of_v1_counts_as_joining() {
    let mut scenario =
        Scenario::with(|options| options.join_rate = Some(RateLimit { burst: 3, per_second: 1 }));
    let watcher = scenario.open("watcher", "kitchen");
    for _ in 0..3 {
        let alice = scenario.open("alice", "kitchen");
        scenario.disconnect(alice);
    }
    scenario.received(watcher);
    let alice = scenario.open("alice", "kitchen");
    assert_eq!(scenario.close_code(alice), Some(1013));
    assert_eq!(scenario.received(watcher), [""; 0]);
    // Others may, and alice in a moment.
    let bob = scenario.open("bob", "kitchen");
    scenario.pass(2_000);
    let alice = scenario.open("alice", "kitchen");
    assert_eq!([bob, alice].map(|client| scenario.close_code(client)), [None, None]);
}

/// The contract wants one notice for each join and each leave, so the joins are what is bounded.
#[test]
fn a_user_who_opens_and_closes_in_a_loop_causes_a_bounded_number_of_notices() {
    let mut scenario =
        Scenario::with(|options| options.join_rate = Some(RateLimit { burst: 50, per_second: 2 }));
    let bob = scenario.open("bob", "kitchen");
    scenario.received(bob);
    let mut opened = 0;
    for _ in 0..60 {
        for _ in 0..20 {
            let alice = scenario.open("alice", "kitchen");
            opened += usize::from(scenario.close_code(alice).is_none());
            scenario.disconnect(alice);
        }
        scenario.pass(1_000);
    }
    let notices = scenario.received(bob).len();
    assert!((100..=170).contains(&opened), "{opened} of 1,200 were opened in a minute");
    assert_eq!(notices, 2 * opened);
}

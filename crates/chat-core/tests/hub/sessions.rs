//! Sessions and tokens that end.

use chat_core::{Input, SessionId, Subscription};

use crate::harness::{Scenario, name};

#[test]
fn signing_out_closes_all_sockets_of_the_session() {
    let mut scenario = Scenario::new();
    let one = scenario.open_with("alice", "kitchen", Some("s1"));
    let two = scenario.open_with("alice", "garden", Some("s1"));
    let elsewhere = scenario.open_with("alice", "kitchen", Some("s2"));
    let bob = scenario.open("bob", "kitchen");
    scenario.revoke("s1");
    assert_eq!(
        [one, two, elsewhere, bob].map(|c| scenario.close_code(c)),
        [Some(4001), Some(4001), None, None]
    );
    assert_eq!(scenario.received(bob), ["+bob", "-alice"]);
    scenario.send(bob, "is she gone?");
    assert_eq!(scenario.received(elsewhere).last().unwrap(), "bob: is she gone?");
}

#[test]
fn a_socket_of_a_session_revoked_a_moment_ago_is_closed() {
    let mut scenario = Scenario::new();
    let bob = scenario.open("bob", "kitchen");
    scenario.revoke("s1");
    let late = scenario.open_with("alice", "kitchen", Some("s1"));
    assert_eq!(scenario.close_code(late), Some(4001));
    assert_eq!(scenario.received(late), [""; 0]);
    assert_eq!(scenario.received(bob), ["+bob"]);
    assert!(!scenario.subscriptions.contains(&Subscription::User(name("alice"))));
    // By then the shell's own check finds it.
    scenario.pass(61_000);
    let later = scenario.open_with("alice", "kitchen", Some("s1"));
    assert_eq!(scenario.close_code(later), None);
}

#[test]
fn nothing_is_sent_after_a_session_was_revoked() {
    let mut scenario = Scenario::new();
    let alice = scenario.open_with("alice", "kitchen", Some("s1"));
    let bob = scenario.open("bob", "kitchen");
    scenario.hold_appends = true;
    scenario.send(alice, "mine");
    scenario.send(bob, "hi");
    scenario.turn(Input::Revoked { session: &SessionId::new("s1") });
    scenario.append(2);
    assert_eq!(scenario.received(alice), ["+alice", "+bob"]);
    assert_eq!(scenario.received(bob), ["+bob", "-alice", "alice: mine", "bob: hi"]);
}

#[test]
fn a_token_that_is_no_longer_good_ends_its_socket() {
    let mut scenario = Scenario::new();
    let alice = scenario.open_for("alice", "kitchen", Some("s1"), Some(60_000));
    let bob = scenario.open_for("bob", "kitchen", Some("s2"), Some(60_000));
    scenario.turn(Input::Renewed { session: &SessionId::new("s2"), good_for_ms: 90_000 });
    scenario.pass(59_900);
    assert_eq!((scenario.close_code(alice), scenario.close_code(bob)), (None, None));
    // To the millisecond: what is sent then does not reach her.
    scenario.now.mono_ms += 100;
    scenario.send(bob, "is she here?");
    assert_eq!((scenario.close_code(alice), scenario.close_code(bob)), (Some(1008), None));
    assert_eq!(scenario.received(alice), ["+alice", "+bob"]);
    assert_eq!(scenario.received(bob), ["+bob", "-alice", "bob: is she here?"]);
    scenario.pass(30_000);
    assert_eq!(scenario.close_code(bob), Some(1008));
}

#[test]
fn a_goodbye_comes_after_the_last_message() {
    let mut scenario = Scenario::new();
    let alice = scenario.open("alice", "kitchen");
    let bob = scenario.open("bob", "kitchen");
    scenario.hold_appends = true;
    scenario.send(alice, "bye");
    scenario.turn(Input::Goodbye { client: alice });
    assert_eq!(scenario.close_code(alice), None);
    scenario.append(1);
    assert_eq!(scenario.close_code(alice), Some(1000));
    assert_eq!(scenario.received(bob), ["+bob", "alice: bye", "-alice"]);
}

#[test]
fn a_changed_role_is_told_to_all_v2_clients_of_the_user() {
    let mut scenario = Scenario::new();
    let one = scenario.open_v2("alice");
    let two = scenario.open_v2("alice");
    let old = scenario.open("alice", "kitchen");
    let bob = scenario.open_v2("bob");
    for client in [one, two, bob] {
        scenario.frames(client);
    }
    for (is_administrator, role) in [(true, "administrator"), (false, "member")] {
        scenario.turn(Input::RoleChanged { user: &name("alice"), is_administrator });
        let told = serde_json::json!({ "type": "rights", "role": role });
        assert_eq!([one, two].map(|client| scenario.frames(client)), [[told.clone()], [told]]);
    }
    assert!(scenario.frames(bob).is_empty());
    assert_eq!(scenario.received(old), ["+alice"]);
}

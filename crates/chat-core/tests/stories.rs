//! What a hub does for its clients, as stories: `alice` joins, `bob` says
//! `hi`, and each sees what they should.

mod common;

use chat_core::{Input, RateLimit, RecentLimits, RoomName, SessionId, Subscription};

use crate::common::{Story, name, numbered, topic};

// Rooms.

#[test]
fn a_joiner_gets_the_last_fifty_messages_and_then_its_own_notice() {
    let mut story = Story::new();
    for n in 1..=60 {
        story.elsewhere("alice", "kitchen", &n.to_string());
    }
    let bob = story.open("bob", "kitchen");
    let mut expected = numbered("alice: ", 11..=60);
    expected.push("+bob".into());
    assert_eq!(story.seen(bob), expected);
    let notice = story.lines(bob).last().unwrap();
    assert_eq!(notice.text, "присоединился к комнате kitchen");
    assert_eq!(notice.room, "kitchen");
}

#[test]
fn replayed_messages_keep_their_own_times() {
    let mut story = Story::new();
    let alice = story.open("alice", "kitchen");
    story.say(alice, "early");
    let said = story.now.wall_ms / 1000;
    story.pass(7_000);
    let bob = story.open("bob", "kitchen");
    assert_eq!(story.seen(bob), ["alice: early", "+bob"]);
    assert_eq!(story.lines(bob)[0].timestamp, said);
    assert_eq!(story.lines(bob)[1].timestamp, said + 7);
}

#[test]
fn a_message_reaches_the_whole_room_its_author_too() {
    let mut story = Story::new();
    let alice = story.open("alice", "kitchen");
    let bob = story.open("bob", "kitchen");
    story.say(alice, " hi  there ");
    assert_eq!(story.seen(alice), ["+alice", "+bob", "alice: hi  there"]);
    assert_eq!(story.seen(bob), ["+bob", "alice: hi  there"]);
}

#[test]
fn nothing_is_shown_before_it_is_stored() {
    let mut story = Story::new();
    let alice = story.open("alice", "kitchen");
    let bob = story.open("bob", "kitchen");
    story.hold_appends = true;
    story.seen(alice);
    story.say(alice, "hi");
    story.tell(alice, "bob", "psst");
    assert_eq!(story.seen(alice), [""; 0]);
    story.append(2);
    assert_eq!(story.seen(alice), ["alice: hi", "alice to bob: psst"]);
    assert_eq!(story.seen(bob), ["+bob", "alice: hi", "alice to bob: psst"]);
}

#[test]
fn rooms_are_apart() {
    let mut story = Story::new();
    let alice = story.open("alice", "kitchen");
    let bob = story.open("bob", "garden");
    story.say(alice, "hi");
    story.say(bob, "ho");
    assert_eq!(story.seen(alice), ["+alice", "alice: hi"]);
    assert_eq!(story.seen(bob), ["+bob", "bob: ho"]);
    let online: Vec<_> = story.hub.rooms().map(|(room, online)| (room.as_str(), online)).collect();
    assert_eq!(online, [("kitchen", 1), ("garden", 1)]);
}

#[test]
fn a_client_sets_only_text_to_and_type() {
    let mut story = Story::new();
    let alice = story.open("alice", "kitchen");
    story.frame(
        alice,
        r#"{"type":"system","text":"hi","from":"admin","room":"garden","timestamp":1,"seq":7}"#,
    );
    assert_eq!(story.seen(alice), ["+alice", "alice: hi"]);
    let line = story.lines(alice).last().unwrap();
    assert_eq!((line.kind.as_str(), line.room.as_str()), ("message", "kitchen"));
    assert_eq!(line.timestamp, story.now.wall_ms / 1000);
    // Rubbish is not broadcast and closes nothing.
    for rubbish in ["", "hi", "[]", r#"{"text":7}"#, r#"{"text":" "}"#, r#"{"type":"private","text":"x"}"#] {
        story.frame(alice, rubbish);
    }
    assert_eq!(story.seen(alice), [""; 0]);
    assert_eq!(story.code(alice), None);
}

#[test]
fn a_text_that_is_too_long_closes_its_sender() {
    let mut story = Story::new();
    let alice = story.open("alice", "kitchen");
    let bob = story.open("bob", "kitchen");
    story.say(alice, &"ж".repeat(4096));
    assert_eq!(story.code(alice), None);
    story.seen(bob);
    story.say(alice, &"ж".repeat(4097));
    assert_eq!(story.code(alice), Some(1009));
    assert_eq!(story.seen(bob), ["-alice"]);
}

// Private messages.

#[test]
fn a_private_message_reaches_each_connection_of_both_users_once_and_nobody_else() {
    let mut story = Story::new();
    let sender = story.open("alice", "kitchen");
    let alice_too = story.open("alice", "garden");
    let bobs = [story.open("bob", "kitchen"), story.open("bob", "kitchen"), story.open("bob", "cellar")];
    let carol = story.open("carol", "kitchen");
    story.client_ids().for_each(|client| drop(story.seen(client)));
    story.tell(sender, " bob ", "psst");
    for client in [sender, alice_too, bobs[0], bobs[1], bobs[2]] {
        assert_eq!(story.seen(client), ["alice to bob: psst"]);
        // Where its author was, wherever the reader is.
        assert_eq!(story.lines(client).last().unwrap().room, "kitchen");
    }
    assert_eq!(story.seen(carol), [""; 0]);
}

#[test]
fn a_recipient_makes_it_private_whatever_the_type_says() {
    let mut story = Story::new();
    let alice = story.open("alice", "kitchen");
    let carol = story.open("carol", "kitchen");
    story.frame(alice, r#"{"type":"message","text":"psst","to":"bob"}"#);
    assert_eq!(story.seen(alice), ["+alice", "+carol", "alice to bob: psst"]);
    assert_eq!(story.seen(carol), ["+carol"]);
}

#[test]
fn a_private_message_to_nobody_is_echoed_and_not_stored() {
    let mut story = Story::new();
    let alice = story.open("alice", "kitchen");
    let bob = story.open("bob", "kitchen");
    story.seen(alice);
    // No account has this name, and none can have the other.
    let endless = "x".repeat(25);
    story.tell(alice, "Nobody", "psst");
    story.tell(alice, &endless, "psst");
    let expected = ["alice to Nobody: psst".to_owned(), format!("alice to {endless}: psst")];
    assert_eq!(story.seen(alice), expected);
    assert_eq!(story.lines(alice).last().unwrap().room, "kitchen");
    assert_eq!(story.seen(bob), ["+bob"]);
    assert_eq!(story.hub.unanswered(), 0);
    let pair = chat_core::Pair::new(name("alice"), name("Nobody"));
    assert_eq!(story.history.last_seq(&chat_core::Topic::Pair(pair)), 0);
}

#[test]
fn a_note_to_oneself_comes_once_to_each_connection() {
    let mut story = Story::new();
    let [one, other] = [story.open("alice", "kitchen"), story.open("alice", "garden")];
    story.tell(one, "alice", "milk");
    assert_eq!(story.seen(one), ["+alice", "alice to alice: milk"]);
    assert_eq!(story.seen(other), ["+alice", "alice to alice: milk"]);
}

#[test]
fn private_messages_that_were_missed_are_read_from_the_log() {
    let mut story = Story::new();
    let alice = story.open("alice", "kitchen");
    let bob = story.open("bob", "kitchen");
    story.tell(alice, "bob", "one");
    story.lose_entries = true;
    story.tell(alice, "bob", "two");
    story.lose_entries = false;
    story.tell(bob, "alice", "three");
    for client in [alice, bob] {
        let seen = story.seen(client);
        assert_eq!(seen[seen.len() - 3..], ["alice to bob: one", "alice to bob: two", "bob to alice: three"]);
    }
}

#[test]
fn a_hole_in_a_private_conversation_is_read_from_the_log() {
    let mut story = Story::new();
    let bob = story.open("bob", "kitchen");
    let [one, two, three] = ["1", "2", "3"].map(|text| story.elsewhere_to("alice", "bob", text));
    story.carry(&[&one]);
    story.carry(&[&three, &one]);
    story.carry(&[&two]);
    assert_eq!(story.seen(bob)[1..], ["alice to bob: 1", "alice to bob: 2", "alice to bob: 3"]);
}

#[test]
fn private_messages_from_while_nobody_was_here_are_not_sent_later() {
    let mut story = Story::new();
    let bob = story.open("bob", "kitchen");
    story.tell(bob, "alice", "1");
    story.lose(bob);
    story.elsewhere_to("alice", "bob", "2");
    let bob = story.open("bob", "kitchen");
    let three = story.elsewhere_to("alice", "bob", "3");
    story.carry(&[&three]);
    assert_eq!(story.seen(bob), ["+bob", "alice to bob: 3"]);
}

#[test]
fn a_client_sees_one_turn_in_the_order_of_the_log() {
    let mut story = Story::new();
    let alice = story.open("alice", "kitchen");
    let bob = story.open("bob", "kitchen");
    story.hold_appends = true;
    story.say(alice, "before");
    story.tell(alice, "bob", "psst");
    story.say(alice, "after");
    story.tell(alice, "Nobody", "hm");
    story.say(alice, "last");
    story.append(5);
    let order = ["alice: before", "alice to bob: psst", "alice: after", "alice: last"];
    assert_eq!(story.seen(bob)[1..], order);
    // What is not in the log comes with the answers, after it.
    assert_eq!(story.seen(alice)[2..], [&order[..], &["alice to Nobody: hm"]].concat());
}

// Join and leave notices.

#[test]
fn each_connection_has_one_notice_of_each_kind() {
    let mut story = Story::new();
    let watcher = story.open("watcher", "kitchen");
    story.seen(watcher);
    let [one, other] = [story.open("alice", "kitchen"), story.open("alice", "kitchen")];
    assert_eq!(story.seen(watcher), ["+alice", "+alice"]);
    assert_eq!(story.seen(one), ["+alice", "+alice"]);
    story.lose(one);
    assert_eq!(story.seen(watcher), ["-alice"]);
    assert_eq!(story.lines(watcher).last().unwrap().text, "покинул комнату kitchen");
    assert_eq!(story.seen(other), ["+alice", "-alice"]);
    story.lose(other);
    assert_eq!(story.seen(watcher), ["-alice"]);
    let told: Vec<_> = story.presence.iter().map(|change| (change.joined, change.connections)).collect();
    assert_eq!(told, [(true, 1), (true, 1), (true, 2), (false, 1), (false, 0)]);
}

#[test]
fn one_that_is_lost_before_its_replay_has_both_notices_too() {
    let mut story = Story::new();
    let watcher = story.open("watcher", "kitchen");
    // Too much for the recent frames, so that the log must be read.
    for n in 1..=60 {
        story.elsewhere("carol", "garden", &format!("{n} {}", "x".repeat(4_000)));
    }
    let gardener = story.open("gardener", "garden");
    story.hold_reads = true;
    let slow = story.open("alice", "garden");
    story.seen(gardener);
    story.lose(slow);
    assert_eq!(story.seen(gardener), ["+alice", "-alice"]);
    assert_eq!(story.seen(slow), [""; 0]);
    story.read();
    assert_eq!(story.seen(gardener), [""; 0]);
    assert_eq!(story.seen(watcher), ["+watcher"]);
}

#[test]
fn people_on_other_hubs_are_announced_here() {
    let mut story = Story::new();
    let alice = story.open("alice", "kitchen");
    let mut change = story.presence[0].clone();
    (change.hub, change.user) = (7, name("bob"));
    story.turn(Input::Presence(&change));
    change.joined = false;
    story.turn(Input::Presence(&change));
    change.room = RoomName::parse("garden").unwrap();
    story.turn(Input::Presence(&change));
    assert_eq!(story.seen(alice), ["+alice", "+bob", "-bob"]);
    // It was their hub's to tell.
    assert_eq!(story.presence.len(), 1);
}

// Failures of the log.

#[test]
fn a_draft_that_fails_closes_its_sender() {
    let mut story = Story::new();
    let alice = story.open("alice", "kitchen");
    let bob = story.open("bob", "kitchen");
    story.hold_appends = true;
    story.say(alice, "one");
    story.say(alice, "two");
    story.fail(1);
    assert_eq!(story.code(alice), Some(1013));
    assert_eq!(story.seen(bob), ["+bob", "-alice"]);
    story.append(1);
    assert_eq!(story.seen(bob), ["alice: two"]);
    assert_eq!(story.hub.unanswered(), 0);
}

#[test]
fn a_draft_without_an_answer_for_five_seconds_counts_as_failed() {
    let mut story = Story::new();
    let alice = story.open("alice", "kitchen");
    let bob = story.open("bob", "kitchen");
    story.hold_appends = true;
    story.say(alice, "hi");
    story.pass(4_400);
    assert_eq!(story.code(alice), None);
    story.pass(1_100);
    assert_eq!(story.code(alice), Some(1013));
    assert_eq!(story.hub.unanswered(), 0);
    // It was stored after all: that is for those who are still there.
    story.append(1);
    assert_eq!(story.seen(bob), ["+bob", "-alice", "alice: hi"]);
}

#[test]
fn the_receipt_of_something_unseen_has_it_read() {
    let mut story = Story::new();
    let alice = story.open("alice", "kitchen");
    let bob = story.open("bob", "kitchen");
    story.lose_entries = true;
    story.say(alice, "hi");
    story.tell(alice, "bob", "psst");
    assert_eq!(story.seen(alice), ["+alice", "+bob", "alice: hi", "alice to bob: psst"]);
    assert_eq!(story.seen(bob), ["+bob", "alice: hi", "alice to bob: psst"]);
}

#[test]
fn a_draft_that_was_stored_before_is_shown_like_any_other() {
    // The log had committed it, lost the answer, and found it again by the
    // nonce that it gave the draft.
    let mut story = Story::new();
    let alice = story.open("alice", "kitchen");
    story.hold_appends = true;
    story.say(alice, "hi");
    let draft = story.drafts.remove(0);
    let stored = story.elsewhere("alice", "kitchen", "hi");
    let outcome =
        chat_core::Outcome::Duplicate { topic: topic("kitchen"), seq: stored.seq, at_ms: stored.at_ms };
    let receipt = chat_core::Receipt { draft: draft.id, outcome };
    story.turn(Input::Commit { entries: &[], receipts: &[receipt] });
    assert_eq!(story.seen(alice), ["+alice", "alice: hi"]);
}

#[test]
fn a_first_page_that_fails_is_asked_for_again_and_then_given_up() {
    let mut story = Story::new();
    story.hold_reads = true;
    let alice = story.open("alice", "kitchen");
    let mut failed = 0;
    while story.code(alice).is_none() {
        while !story.reads.is_empty() {
            story.fail_read();
            failed += 1;
        }
        story.pass(500);
    }
    assert_eq!(story.code(alice), Some(1013));
    assert!((10..=31).contains(&failed), "{failed}");
}

#[test]
fn a_later_page_that_fails_is_asked_for_again_and_then_given_up() {
    let mut story = Story::with(|options| options.recent.entries = 0);
    story.elsewhere("bob", "kitchen", "hi");
    let bob = story.open("bob", "kitchen");
    story.hold_reads = true;
    let alice = story.open("alice", "kitchen");
    let start = story.now.mono_ms;
    while story.code(alice).is_none() {
        assert!(story.now.mono_ms - start < 20_000, "never given up");
        while !story.reads.is_empty() {
            story.fail_read();
        }
        story.pass(500);
    }
    assert!(story.now.mono_ms - start >= 10_000, "given up too early");
    assert_eq!(story.code(alice), Some(1013));
    assert_eq!(story.code(bob), None);
}

#[test]
fn a_page_that_comes_at_last_is_not_too_late() {
    let mut story = Story::new();
    story.elsewhere("bob", "kitchen", "hi");
    story.hold_reads = true;
    let alice = story.open("alice", "kitchen");
    story.fail_read();
    story.pass(8_000);
    story.read();
    assert_eq!(story.seen(alice), ["bob: hi", "+alice"]);
    story.pass(20_000);
    assert_eq!(story.code(alice), None);
}

// Credits and rates.

#[test]
fn the_thirty_third_message_waits_for_a_receipt() {
    let mut story = Story::with(|options| options.rate = None);
    let alice = story.open("alice", "kitchen");
    story.hold_appends = true;
    for n in 1..=40 {
        story.say(alice, &n.to_string());
    }
    assert_eq!((story.drafts.len(), story.waiting(alice)), (32, 8));
    story.append(1);
    assert_eq!((story.drafts.len(), story.waiting(alice)), (32, 7));
    story.hold_appends = false;
    story.append(32);
    assert_eq!(story.seen(alice)[1..], numbered("alice: ", 1..=40));
}

#[test]
fn a_full_hub_has_everybody_wait_and_serves_them_in_turn() {
    let mut story = Story::with(|options| options.hub_unanswered_max = 3);
    let [alice, bob] = [story.open("alice", "kitchen"), story.open("bob", "kitchen")];
    story.hold_appends = true;
    for n in 1..=4 {
        story.say(alice, &n.to_string());
        story.say(bob, &n.to_string());
    }
    // Each may be in the middle of a frame when the hub is full.
    assert!(story.hub.unanswered() <= 3 + 1, "{}", story.hub.unanswered());
    assert!(story.waiting(alice) > 0 && story.waiting(bob) > 0);
    while story.hub.unanswered() > 0 {
        story.append(1);
        assert!(story.hub.unanswered() <= 4, "{}", story.hub.unanswered());
    }
    let mut got = story.seen(bob);
    got.sort();
    let both = [numbered("alice: ", 1..=4), numbered("bob: ", 1..=4)].concat();
    assert_eq!(got, [vec!["+bob".to_owned()], both].concat());
}

#[test]
fn those_who_come_while_the_hub_is_full_wait_too() {
    let mut story = Story::with(|options| options.hub_unanswered_max = 3);
    story.hold_appends = true;
    for n in 1..=9 {
        let alice = story.open("alice", "kitchen");
        story.say(alice, &n.to_string());
        story.lose(alice);
    }
    assert_eq!(story.hub.unanswered(), 3);
}

#[test]
fn a_hub_full_of_bytes_waits_too() {
    let mut story = Story::with(|options| options.hub_unanswered_bytes = 100);
    let alice = story.open("alice", "kitchen");
    story.hold_appends = true;
    for _ in 0..3 {
        story.say(alice, &"x".repeat(60));
    }
    assert_eq!((story.drafts.len(), story.waiting(alice)), (2, 1));
    story.append(1);
    assert_eq!((story.drafts.len(), story.waiting(alice)), (2, 0));
}

#[test]
fn a_burst_of_sixty_then_ten_a_second_and_nothing_is_lost() {
    let mut story = Story::new();
    let [alice, alice_too] = [story.open("alice", "kitchen"), story.open("alice", "kitchen")];
    let bob = story.open("bob", "kitchen");
    for n in 1..=50 {
        story.say(alice, &n.to_string());
        story.tell(alice_too, "bob", &n.to_string());
    }
    // The limit is the user's, over all connections, private and public. The
    // other connection had a message on its way when the first one was paused.
    assert_eq!(story.seen(bob).len(), 1 + 60 + 1);
    story.pass(1_020);
    assert!((9..=12).contains(&story.seen(bob).len()));
    story.say(bob, "I am not slowed down");
    assert_eq!(story.seen(bob), ["bob: I am not slowed down"]);
    story.pass(4_000);
    let got: Vec<_> = story.lines(bob).iter().map(common::Line::short).collect();
    let of = |prefix: &str| got.iter().filter(|line| line.starts_with(prefix)).cloned().collect::<Vec<_>>();
    assert_eq!(of("alice: "), numbered("alice: ", 1..=50));
    assert_eq!(of("alice to bob: "), numbered("alice to bob: ", 1..=50));
}

#[test]
fn leaving_and_coming_back_does_not_lift_the_limit() {
    let limit = RateLimit { burst: 5, per_second: 1 };
    let mut story = Story::with(|options| options.rate = Some(limit));
    let alice = story.open("alice", "kitchen");
    for n in 1..=5 {
        story.say(alice, &n.to_string());
    }
    story.lose(alice);
    let alice = story.open("alice", "kitchen");
    story.say(alice, "6");
    assert_eq!(story.waiting(alice), 1);
    story.pass(1_100);
    assert_eq!(story.waiting(alice), 0);
}

// Joining while things happen, and what the bus does to entries.

#[test]
fn joining_in_the_middle_of_traffic_has_no_gap_and_no_duplicate() {
    for recent_entries in [0, 3, 100] {
        let mut story = Story::with(|options| {
            options.recent.entries = recent_entries;
            options.page_entries = 4;
            options.rate = None;
        });
        let alice = story.open("alice", "kitchen");
        for n in 1..=10 {
            story.say(alice, &n.to_string());
        }
        story.hold_reads = true;
        let bob = story.open("bob", "kitchen");
        for n in 11..=20 {
            story.say(alice, &n.to_string());
        }
        for n in 21..=60 {
            if story.reads.is_empty() {
                break;
            }
            story.read();
            story.say(alice, &n.to_string());
        }
        let said = story.history.last_seq(&topic("kitchen"));
        story.hold_reads = false;
        while !story.reads.is_empty() {
            story.read();
        }
        let got: Vec<_> = story.seen(bob).into_iter().filter(|line| line != "+bob").collect();
        assert_eq!(got, numbered("alice: ", 1..=said), "{recent_entries} recent entries");
    }
}

#[test]
fn entries_heard_while_the_first_page_is_read_are_not_forgotten() {
    let mut story = Story::new();
    story.elsewhere("bob", "kitchen", "1");
    story.hold_reads = true;
    let alice = story.open("alice", "kitchen");
    assert!(story.subscriptions.contains(&Subscription::Room(RoomName::parse("kitchen").unwrap())));
    // The page is as of now; what comes after it is carried here before it.
    let (id, query) = story.reads.pop_front().unwrap();
    let answer = story.history.answer(&query);
    let later = story.elsewhere("bob", "kitchen", "2");
    story.carry(&[&later]);
    story.turn(Input::Answer { id, answer: &answer });
    story.hold_reads = false;
    story.pass(0);
    while !story.reads.is_empty() {
        story.read();
    }
    assert_eq!(story.seen(alice), ["bob: 1", "+alice", "bob: 2"]);
}

#[test]
fn entries_that_come_twice_or_out_of_order_are_put_right() {
    let mut story = Story::new();
    let alice = story.open("alice", "kitchen");
    story.seen(alice);
    let entries: Vec<_> = (1..=6).map(|n| story.elsewhere("bob", "kitchen", &n.to_string())).collect();
    let [one, two, three, four, five, six] = &entries[..] else { panic!("six") };
    story.carry(&[one, one, two]);
    story.carry(&[one]);
    assert_eq!(story.seen(alice), ["bob: 1", "bob: 2"]);
    // A hole is filled from the log.
    story.hold_reads = true;
    story.carry(&[five]);
    assert_eq!(story.seen(alice), [""; 0]);
    assert_eq!(story.reading_after(), [Some(2)]);
    story.carry(&[four]);
    story.carry(&[three]);
    assert_eq!(story.seen(alice), ["bob: 3"]);
    story.read();
    story.carry(&[six, three]);
    assert_eq!(story.seen(alice), numbered("bob: ", 4..=6));
}

#[test]
fn a_room_that_is_behind_reads_one_page_at_a_time() {
    let mut story = Story::new();
    story.open("alice", "kitchen");
    let entries: Vec<_> = (0..=6).map(|n| story.elsewhere("bob", "kitchen", &n.to_string())).collect();
    story.hold_reads = true;
    for n in [2, 0, 4, 1, 6, 3] {
        story.carry(&[&entries[n]]);
    }
    assert_eq!(story.reading_after(), [Some(0)]);
    story.read();
    assert!(story.reads.is_empty());
}

#[test]
fn what_was_missed_is_read_from_the_log() {
    let mut story = Story::new();
    let alice = story.open("alice", "kitchen");
    for n in 1..=250 {
        story.elsewhere("bob", "kitchen", &n.to_string());
    }
    story.missed("kitchen", 1, 250);
    assert_eq!(story.seen(alice)[1..], numbered("bob: ", 1..=250));
    assert_eq!(story.reads_asked, 1 + 3);
    story.missed("kitchen", 250, 250);
    story.missed("garden", 1, 1);
    assert_eq!(story.reads_asked, 1 + 3);
}

#[test]
fn a_log_that_has_less_than_was_heard_of_is_not_asked_without_end() {
    let mut story = Story::new();
    let alice = story.open("alice", "kitchen");
    story.hold_reads = true;
    story.missed("kitchen", 1, 1);
    story.read();
    assert!(story.reads.is_empty());
    story.pass(1_100);
    assert_eq!(story.reading_after(), [Some(0)]);
    story.elsewhere("bob", "kitchen", "hi");
    story.read();
    assert_eq!(story.seen(alice), ["+alice", "bob: hi"]);
}

#[test]
fn a_slow_socket_is_sent_no_more_until_it_took_what_it_has() {
    let mut story = Story::with(|options| {
        options.recent.entries = 5;
        options.page_entries = 10;
        options.rate = None;
    });
    let bob = story.open("bob", "kitchen");
    for n in 1..=40 {
        story.say(bob, &n.to_string());
    }
    story.hold_reads = true;
    let alice = story.open("alice", "kitchen");
    story.pending(alice, 64 * 1024);
    // The page that was on its way comes, and no other is asked for.
    story.read();
    assert_eq!(story.seen(alice), numbered("bob: ", 1..=10));
    assert!(story.reads.is_empty());
    story.say(bob, "41");
    // However long it takes: that is not the log's fault.
    story.pass(60_000);
    assert_eq!(story.code(alice), None);
    assert_eq!(story.seen(alice), [""; 0]);
    story.pending(alice, 64 * 1024 - 1);
    story.pass(9_000);
    assert_eq!(story.code(alice), None, "it has had time to take, not the log to answer");
    while !story.reads.is_empty() {
        story.read();
    }
    let mut rest = numbered("bob: ", 11..=41);
    rest.push("+alice".into());
    assert_eq!(story.seen(alice), rest);
    assert_eq!(story.seen(bob).last().unwrap(), "+alice");
}

#[test]
fn a_page_of_long_frames_comes_in_parts() {
    let mut story = Story::with(|options| options.recent.entries = 0);
    // A control character has six bytes in JSON, and one in the log.
    let texts: Vec<_> = (1..=16).map(|n| format!("{n}{}", "\u{1}".repeat(4_000))).collect();
    for text in &texts {
        story.elsewhere("bob", "kitchen", text);
    }
    story.hold_reads = true;
    let alice = story.open("alice", "kitchen");
    story.read();
    while !story.reads.is_empty() {
        story.read();
        assert!(story.seen(alice).len() <= 4, "a page has 64 KiB");
    }
    let got = story.lines(alice).iter().map(|line| &line.text);
    assert!(got.take(16).eq(&texts));
}

#[test]
fn those_who_wait_for_the_same_page_share_one_read() {
    let mut story = Story::with(|options| options.recent.entries = 0);
    story.elsewhere("bob", "kitchen", "hi");
    let watcher = story.open("watcher", "kitchen");
    story.hold_reads = true;
    let before = story.reads_asked;
    let joiners = ["alice", "carol", "dave"].map(|who| story.open(who, "kitchen"));
    assert_eq!(story.reads_asked, before + 1);
    story.read();
    for joiner in joiners {
        assert_eq!(story.seen(joiner)[0], "bob: hi");
    }
    assert_eq!(story.seen(watcher).len(), 2 + 3);
}

#[test]
fn at_most_so_many_pages_are_read_at_once() {
    let mut story = Story::with(|options| options.reads_max = 2);
    story.hold_reads = true;
    let clients: Vec<_> = (0..5).map(|n| story.open("alice", &format!("room {n}"))).collect();
    for _ in 0..5 {
        assert!(story.reads.len() <= 2);
        story.read();
    }
    for client in clients {
        assert_eq!(story.seen(client), ["+alice"]);
    }
}

// What a hub keeps in memory.

#[test]
fn a_room_that_nobody_is_in_is_forgotten_and_comes_back_whole() {
    let mut story = Story::new();
    let alice = story.open("alice", "kitchen");
    story.say(alice, "hi");
    story.lose(alice);
    let kitchen = Subscription::Room(RoomName::parse("kitchen").unwrap());
    story.pass(59_000);
    assert!(story.subscriptions.contains(&kitchen));
    story.pass(2_000);
    assert!(!story.subscriptions.contains(&kitchen));
    let read = story.reads_asked;
    let later = story.elsewhere("bob", "kitchen", "ho");
    story.carry(&[&later]);
    let alice = story.open("alice", "kitchen");
    assert_eq!(story.seen(alice), ["alice: hi", "bob: ho", "+alice"]);
    assert_eq!(story.reads_asked, read + 1);
}

#[test]
fn a_room_is_kept_for_somebody_who_comes_back_soon() {
    let mut story = Story::new();
    let alice = story.open("alice", "kitchen");
    story.say(alice, "hi");
    story.lose(alice);
    story.pass(40_000);
    let alice = story.open("alice", "kitchen");
    story.lose(alice);
    story.pass(40_000);
    let alice = story.open("alice", "kitchen");
    story.pass(100_000);
    assert_eq!(story.seen(alice), ["alice: hi", "+alice"]);
    assert_eq!(story.reads_asked, 1);
}

#[test]
fn a_room_may_be_forgotten_at_once() {
    let mut story = Story::with(|options| options.room_idle_ms = 0);
    story.hold_reads = true;
    let alice = story.open("alice", "kitchen");
    story.lose(alice);
    story.pass(1_000);
    story.read();
    story.pass(1_000);
    assert!(story.subscriptions.is_empty());
}

#[test]
fn recent_frames_are_capped_by_number_and_by_bytes() {
    let few = RecentLimits { entries: 10, ..RecentLimits { entries: 0, bytes: 1 << 20, hub_bytes: 1 << 20 } };
    let small = RecentLimits { entries: 100, bytes: 10 * 110, hub_bytes: 1 << 20 };
    for recent in [few, small] {
        let mut story = Story::with(|options| {
            options.recent = recent;
            options.rate = None;
        });
        let bob = story.open("bob", "kitchen");
        for n in 1..=9 {
            story.say(bob, &n.to_string());
        }
        let read = story.reads_asked;
        story.open("alice", "kitchen");
        assert_eq!(story.reads_asked, read, "nine are ready");
        for n in 10..=30 {
            story.say(bob, &n.to_string());
        }
        let carol = story.open("carol", "kitchen");
        assert_eq!(story.reads_asked, read + 1, "thirty are not");
        assert_eq!(story.seen(carol)[..30], numbered("bob: ", 1..=30));
    }
}

#[test]
fn recent_frames_of_all_rooms_are_capped_and_the_least_used_go_first() {
    let mut story = Story::with(|options| {
        options.recent.hub_bytes = 40 * 1024;
        options.rate = None;
    });
    let rooms: Vec<_> = (0..4).map(|n| format!("room {n}")).collect();
    for room in &rooms {
        let bob = story.open("bob", room);
        for _ in 0..10 {
            story.say(bob, &"x".repeat(1_000));
        }
    }
    let read = story.reads_asked;
    story.open("alice", &rooms[3]);
    assert_eq!(story.reads_asked, read, "the last one is ready");
    let alice = story.open("alice", &rooms[0]);
    assert_eq!(story.reads_asked, read + 1, "the first one is not");
    assert_eq!(story.seen(alice).len(), 11);
}

// Signing out.

#[test]
fn signing_out_closes_all_sockets_of_the_session() {
    let mut story = Story::new();
    let one = story.open_with("alice", "kitchen", Some("s1"));
    let two = story.open_with("alice", "garden", Some("s1"));
    let elsewhere = story.open_with("alice", "kitchen", Some("s2"));
    let bob = story.open("bob", "kitchen");
    story.revoke("s1");
    assert_eq!([one, two, elsewhere, bob].map(|c| story.code(c)), [Some(4001), Some(4001), None, None]);
    assert_eq!(story.seen(bob), ["+bob", "-alice"]);
    story.say(bob, "is she gone?");
    assert_eq!(story.seen(elsewhere).last().unwrap(), "bob: is she gone?");
}

#[test]
fn a_socket_of_a_session_revoked_just_now_is_not_let_in() {
    let mut story = Story::new();
    let bob = story.open("bob", "kitchen");
    story.revoke("s1");
    let late = story.open_with("alice", "kitchen", Some("s1"));
    assert_eq!(story.code(late), Some(4001));
    assert_eq!(story.seen(late), [""; 0]);
    assert_eq!(story.seen(bob), ["+bob"]);
    assert!(!story.subscriptions.contains(&Subscription::User(name("alice"))));
    // By then the shell's own check knows.
    story.pass(61_000);
    let later = story.open_with("alice", "kitchen", Some("s1"));
    assert_eq!(story.code(later), None);
}

#[test]
fn nothing_is_sent_after_a_session_was_revoked() {
    let mut story = Story::new();
    let alice = story.open_with("alice", "kitchen", Some("s1"));
    let bob = story.open("bob", "kitchen");
    story.hold_appends = true;
    story.say(alice, "mine");
    story.say(bob, "hi");
    story.turn(Input::Revoked { session: &SessionId::new("s1") });
    story.append(2);
    assert_eq!(story.seen(alice), ["+alice", "+bob"]);
    assert_eq!(story.seen(bob), ["+bob", "-alice", "alice: mine", "bob: hi"]);
}

#[test]
fn a_token_that_is_no_longer_good_ends_its_socket() {
    let mut story = Story::new();
    let alice = story.open_for("alice", "kitchen", Some("s1"), Some(60_000));
    let bob = story.open_for("bob", "kitchen", Some("s2"), Some(60_000));
    story.turn(Input::Renewed { session: &SessionId::new("s2"), good_for_ms: 90_000 });
    story.pass(59_900);
    assert_eq!((story.code(alice), story.code(bob)), (None, None));
    // To the very millisecond: what is said then does not reach her.
    story.now.mono_ms += 100;
    story.say(bob, "is she here?");
    assert_eq!((story.code(alice), story.code(bob)), (Some(1008), None));
    assert_eq!(story.seen(alice), ["+alice", "+bob"]);
    assert_eq!(story.seen(bob), ["+bob", "-alice", "bob: is she here?"]);
    story.pass(30_000);
    assert_eq!(story.code(bob), Some(1008));
}

#[test]
fn a_goodbye_comes_after_the_last_message() {
    let mut story = Story::new();
    let alice = story.open("alice", "kitchen");
    let bob = story.open("bob", "kitchen");
    story.hold_appends = true;
    story.say(alice, "bye");
    story.turn(Input::Goodbye { client: alice });
    assert_eq!(story.code(alice), None);
    story.append(1);
    assert_eq!(story.code(alice), Some(1000));
    assert_eq!(story.seen(bob), ["+bob", "alice: bye", "-alice"]);
}

#[test]
fn a_user_has_only_so_many_connections() {
    let mut story = Story::with(|options| options.user_clients_max = 2);
    let one = story.open("alice", "kitchen");
    let two = story.open("alice", "garden");
    let three = story.open("alice", "kitchen");
    assert_eq!([one, two, three].map(|client| story.code(client)), [None, None, Some(1013)]);
    let other = story.open("bob", "kitchen");
    assert_eq!(story.code(other), None);
    story.lose(one);
    let again = story.open("alice", "kitchen");
    assert_eq!(story.code(again), None);
}

// Stopping.

#[test]
fn draining_answers_what_was_sent_and_then_says_goodbye() {
    let mut story = Story::new();
    let alice = story.open("alice", "kitchen");
    let bob = story.open("bob", "kitchen");
    story.hold_appends = true;
    story.say(alice, "my last words");
    story.turn(Input::Drain);
    assert!(!story.hub.is_drained());
    story.pass(100);
    assert_eq!((story.code(alice), story.code(bob)), (None, Some(1001)));
    // No more of her messages are taken.
    story.say(alice, "one more");
    assert_eq!((story.drafts.len(), story.waiting(alice)), (1, 1));
    story.append(1);
    assert_eq!(story.code(alice), Some(1001));
    assert_eq!(story.seen(alice).last().unwrap(), "alice: my last words");
    assert!(story.hub.is_drained());
    // The server goes, not the people.
    assert_eq!(story.seen(bob), ["+bob"]);
    assert!(story.presence.iter().all(|change| change.joined));
    let late = story.open("carol", "kitchen");
    assert_eq!(story.code(late), Some(1001));
    assert!(story.hub.is_drained());
}

#[test]
fn draining_spreads_the_clients_over_time() {
    let mut story = Story::with(|options| options.drain_spread_per_client_ms = 100);
    for n in 0..100 {
        story.open(&format!("user {n}"), "kitchen");
    }
    story.turn(Input::Drain);
    story.pass(2_500);
    assert!((48..=52).contains(&story.hub.clients()), "{}", story.hub.clients());
    story.pass(2_600);
    assert!(story.hub.is_drained());
}

#[test]
fn a_hub_without_clients_is_drained_at_once() {
    let mut story = Story::new();
    assert!(!story.hub.is_drained());
    story.turn(Input::Drain);
    assert!(story.hub.is_drained());
}

#[test]
fn a_draft_that_is_never_answered_does_not_hold_up_the_draining() {
    let mut story = Story::new();
    let alice = story.open("alice", "kitchen");
    story.hold_appends = true;
    story.say(alice, "hi");
    story.turn(Input::Drain);
    story.pass(6_000);
    assert_eq!(story.code(alice), Some(1013));
    assert!(story.hub.is_drained());
}

// Clocks.

#[test]
fn times_in_a_room_never_run_backwards() {
    let mut story = Story::new();
    let alice = story.open("alice", "kitchen");
    story.say(alice, "before");
    story.pass(10_000);
    let bob = story.open("bob", "kitchen");
    story.now.wall_ms -= 3_600_000;
    // The log stamps it with the time of the message before, ten seconds
    // before the notice.
    story.say(alice, "after");
    story.lose(bob);
    story.say(alice, "later");
    story.now.wall_ms += 7_200_000;
    story.say(alice, "much later");
    let carol = story.open("carol", "kitchen");
    for client in [alice, bob, carol] {
        let times: Vec<_> = story.lines(client).iter().map(|line| line.timestamp).collect();
        assert!(times.is_sorted(), "{times:?}");
    }
    assert_eq!(story.seen(alice).len(), 8);
}

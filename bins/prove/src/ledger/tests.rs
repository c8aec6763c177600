//! Tests of the checker: each breaks one thing in a good ledger.

use super::*;

/// Alice and Bob talk in a room and in private. Bob's connection is lost after the
/// third message, and he resumes behind it. There is also a connection of v1.
fn good() -> Ledger {
    let (room, pair) = (in_room("one"), between("alice", "bob"));
    let mut ledger = Ledger::default();
    for (client, user, topic, text) in [
        (0, "alice", &room, "a1"),
        (0, "alice", &room, "a2"),
        (0, "alice", &pair, "p1"),
        (0, "alice", &room, "a3"),
        (0, "alice", &room, "a4"),
        (1, "bob", &room, "b1"),
        (1, "bob", &pair, "p2"),
    ] {
        let nonce = Some(format!("n-{text}"));
        let (user, topic, text, what) = (user.into(), topic.clone(), text.into(), Wanted::Message);
        ledger.sends.push(Send { client, user, topic, text, what, nonce });
    }
    let stored = |topic: &Topic, seq, from: &str, text: &str| Stored {
        topic: topic.clone(),
        seq,
        from: from.into(),
        text: text.into(),
        nonce: Some(format!("n-{text}")),
        timestamp: 100 + seq,
        what: What::Message(State::default()),
    };
    ledger.stored = vec![
        stored(&room, 1, "alice", "a1"),
        stored(&room, 2, "bob", "b1"),
        stored(&room, 3, "alice", "a2"),
        stored(&room, 4, "alice", "a3"),
        stored(&room, 5, "alice", "a4"),
        stored(&pair, 1, "alice", "p1"),
        stored(&pair, 2, "bob", "p2"),
    ];
    let seen: Vec<Seen> = ledger.stored.iter().map(shown).collect();
    let sent = |text: &str| Frame::Sent { nonce: format!("n-{text}"), topic: Arc::new(room.clone()) };
    let ack = |topic: &Topic, seq, text: &str, duplicate| {
        let nonce = format!("n-{text}");
        Frame::Ack { nonce, topic: topic.clone(), seq, duplicate }
    };
    let hello = |seq| {
        let privates = if seq > 0 { vec![(pair.clone(), seq)] } else { Vec::new() };
        let reads = vec![(room.clone(), seq)];
        Frame::Hello { privates, has_more: false, reads }
    };
    let request = |since: Option<u64>| Frame::JoinRequest {
        reference: "r".into(),
        since,
        epoch: since.map(|_| "e".to_owned()),
    };
    let joined = |seq, recovered| Frame::Joined {
        reference: "r".into(),
        room: room.clone(),
        epoch: "e".into(),
        seq,
        recovered,
    };
    let entry = |index: usize| Frame::Entry(seen[index].clone());
    let alice = vec![
        hello(0),
        request(None),
        joined(0, false),
        sent("a1"),
        entry(0),
        ack(&room, 1, "a1", false),
        entry(1),
        sent("a2"),
        sent("p1"),
        ack(&room, 3, "a2", false),
        entry(2),
        entry(5),
        ack(&pair, 1, "p1", false),
        entry(6),
        sent("a3"),
        sent("a4"),
        ack(&room, 4, "a3", false),
        ack(&room, 5, "a4", false),
        entry(3),
        entry(4),
    ];
    let before = vec![
        hello(0),
        request(None),
        joined(1, false),
        entry(0),
        sent("b1"),
        entry(1),
        entry(2),
        entry(5),
        sent("p2"),
        Frame::Closed { code: None },
    ];
    let after = vec![
        hello(2),
        request(Some(3)),
        joined(4, true),
        sent("b1"),
        sent("p2"),
        entry(3),
        ack(&room, 2, "b1", true),
        ack(&pair, 2, "p2", true),
        entry(4),
    ];
    for (user, frames) in [("alice", alice), ("bob", before), ("bob", after)] {
        let frames = (0..).map(Duration::from_millis).zip(frames).collect();
        ledger.connections.push(Connection { user: user.into(), frames });
    }
    let online = || Event::Online { privates: Vec::new(), has_more: false };
    let event = |index: usize| Event::Entry(seen[index].clone());
    let alice = [0, 1, 2, 5, 6, 3, 4].map(event);
    let bob = [0, 1, 2, 5].map(event);
    // The private messages that he missed come from the history.
    let bob_again = [6, 3, 4].map(event);
    let in_at = |seq, recovered| Event::Joined { room: room.clone(), seq, recovered };
    let again = [Event::Online { privates: vec![(pair.clone(), 2)], has_more: false }, in_at(4, true)];
    for (user, events) in [
        ("alice", [vec![online(), in_at(0, false)], alice.to_vec()].concat()),
        ("bob", [vec![online(), in_at(1, false)], bob.to_vec(), again.to_vec(), bob_again.to_vec()].concat()),
    ] {
        let events = (0..).map(Duration::from_millis).zip(events).collect();
        let stayed_in = vec![room.clone()];
        ledger.apps.push(AppLog { user: user.into(), events, stayed_in, shows: Vec::new() });
    }
    let v1_message = |index: usize| {
        let Stored { topic, from, text, .. } = &ledger.stored[index];
        (Duration::ZERO, topic.clone(), ContentHash::of_v1(from, text))
    };
    let seen = [1, 2, 5, 3, 6].map(v1_message).to_vec();
    ledger.v1_connections = vec![V1Connection { user: "alice".into(), room: "one".into(), seen }];
    ledger
}

fn shown(stored: &Stored) -> Seen {
    let content = stored.content(Some(&stored.text));
    let state = State::default().hash();
    Seen { topic: Arc::new(stored.topic.clone()), seq: stored.seq, content, updated: 0, state }
}

/// The kinds of the violations after a change, each once.
fn found(change: impl FnOnce(&mut Ledger)) -> Vec<Kind> {
    let mut ledger = good();
    change(&mut ledger);
    let mut kinds: Vec<Kind> = ledger.check().violations.iter().map(|violation| violation.kind).collect();
    kinds.sort();
    kinds.dedup();
    kinds
}

fn frames(ledger: &mut Ledger, connection: usize) -> &mut Vec<(Duration, Frame)> {
    &mut ledger.connections[connection].frames
}

fn position(ledger: &Ledger, connection: usize, text: &str) -> usize {
    let stored = ledger.stored.iter().find(|stored| stored.text == text).expect("it is stored");
    let content = shown(stored).content;
    let is = |frame: &Frame| matches!(frame, Frame::Entry(seen) if seen.content == content);
    ledger.connections[connection].frames.iter().position(|(_, frame)| is(frame)).expect("it was seen")
}

#[test]
fn a_good_ledger_is_good() {
    let findings = good().check();
    assert_eq!(findings.violations, []);
    let Counts { sends, acknowledged, retries, duplicate_acks, resumed, connections, .. } = findings.counts;
    assert_eq!((sends, acknowledged, retries, duplicate_acks, resumed, connections), (7, 7, 2, 2, 1, 3));
    let line = findings.to_string();
    assert_eq!(
        line,
        "7 acknowledged, 0 lost, 0 duplicated, 0 gaps, 0 reordered, 0 leaked, 0 wrong states, 0 remains"
    );
}

#[test]
fn an_acknowledged_message_that_is_not_stored_is_lost() {
    // The newest one, so that no number is missing, and no client saw it.
    let lose = |ledger: &mut Ledger| {
        ledger.stored.retain(|stored| stored.text != "a4");
        for connection in [0, 2] {
            frames(ledger, connection).pop();
        }
        for client in &mut ledger.apps {
            client.events.pop();
        }
    };
    assert_eq!(found(lose), [Kind::Lost]);
    // After a power cut it may be lost, …
    let cut = |from: u64| {
        move |ledger: &mut Ledger| {
            lose(ledger);
            ledger.cuts = vec![(Duration::from_millis(from), Duration::from_secs(1))];
        }
    };
    assert_eq!(found(cut(17)), []);
    // … but not if it was acknowledged before.
    assert_eq!(found(cut(18)), [Kind::Lost]);
}

#[test]
fn a_message_that_was_seen_and_is_not_stored_is_lost() {
    let kinds = found(|ledger| {
        ledger.stored.retain(|stored| stored.text != "a4");
        for (_, frame) in frames(ledger, 0) {
            if matches!(frame, Frame::Ack { nonce, .. } if nonce == "n-a4") {
                *frame = Frame::Error { code: "unavailable".into(), nonce: None };
            }
        }
        let user = "alice".into();
        ledger.given_up.push(GivenUp { user, nonce: "n-a4".into(), code: "?".into(), may_be_stored: true });
    });
    assert_eq!(kinds, [Kind::Lost]);
}

#[test]
fn another_content_under_a_seen_number_is_a_loss() {
    let kinds = found(|ledger| {
        let index = position(ledger, 1, "a2");
        if let Frame::Entry(seen) = &mut frames(ledger, 1)[index].1 {
            let text = Some("something else");
            seen.content = ContentHash::of_v2("alice", text, Some("n-a2"), 103, "message", None, None);
        }
    });
    assert_eq!(kinds, [Kind::Lost]);
}

#[test]
fn a_message_that_is_stored_or_seen_twice_is_a_duplicate() {
    // As a new number.
    let kinds = found(|ledger| {
        let again = Stored { seq: 3, ..ledger.stored[6].clone() };
        ledger.stored.push(again);
    });
    assert_eq!(kinds, [Kind::Duplicated, Kind::Stuck]);
    // Under another nonce, in another topic.
    let kinds = found(|ledger| {
        let elsewhere = Stored { topic: in_room("two"), seq: 1, nonce: None, ..ledger.stored[0].clone() };
        ledger.stored.push(elsewhere);
    });
    assert_eq!(kinds, [Kind::Duplicated]);
    // On a connection.
    let kinds = found(|ledger| {
        let index = position(ledger, 1, "b1");
        let again = frames(ledger, 1)[index].clone();
        frames(ledger, 1).insert(index + 1, again);
    });
    assert_eq!(kinds, [Kind::Duplicated]);
    // By a client, across its connections.
    let kinds = found(|ledger| {
        let again = ledger.apps[1].events[4].clone();
        ledger.apps[1].events.insert(8, again);
    });
    assert_eq!(kinds, [Kind::Duplicated]);
    // On a connection of v1.
    let kinds = found(|ledger| {
        let again = ledger.v1_connections[0].seen[0].clone();
        ledger.v1_connections[0].seen.push(again);
    });
    assert_eq!(kinds, [Kind::Duplicated]);
    // As acknowledged for the first time, twice.
    let kinds = found(|ledger| {
        let again = frames(ledger, 0)[5].clone();
        frames(ledger, 0).push(again);
    });
    assert_eq!(kinds, [Kind::Duplicated]);
}

#[test]
fn a_missing_number_is_a_gap() {
    // In the store.
    let kinds = found(|ledger| ledger.stored[4].seq = 6);
    assert!(kinds.contains(&Kind::Gap), "{kinds:?}");
    // On a connection.
    let kinds = found(|ledger| {
        let index = position(ledger, 0, "b1");
        frames(ledger, 0).remove(index);
    });
    assert_eq!(kinds, [Kind::Gap]);
    // In the events of a client.
    assert_eq!(found(|ledger| drop(ledger.apps[0].events.remove(3))), [Kind::Gap]);
    // On a connection of v1.
    assert_eq!(found(|ledger| drop(ledger.v1_connections[0].seen.remove(1))), [Kind::Gap]);
    // In a private conversation that `hello` listed with 2.
    let kinds = found(|ledger| {
        let third = Stored { seq: 4, text: "p4".into(), nonce: None, ..ledger.stored[6].clone() };
        frames(ledger, 2).push((Duration::ZERO, Frame::Entry(shown(&third))));
    });
    assert_eq!(kinds, [Kind::Lost, Kind::Gap]);
    // In a room that starts over without a reset.
    let kinds = found(|ledger| {
        let joined = Event::Joined { room: in_room("one"), seq: 5, recovered: false };
        ledger.apps[0].events.push((Duration::ZERO, joined));
    });
    assert_eq!(kinds, [Kind::Gap]);
}

#[test]
fn messages_in_another_order_are_found() {
    // The missing number came later.
    let kinds = found(|ledger| {
        let index = position(ledger, 1, "b1");
        frames(ledger, 1).swap(index, index + 1);
    });
    assert_eq!(kinds, [Kind::Reordered]);
    let kinds = found(|ledger| ledger.v1_connections[0].seen.swap(1, 3));
    assert_eq!(kinds, [Kind::Reordered]);
    let kinds = found(|ledger| ledger.apps[0].events.swap(2, 3));
    assert_eq!(kinds, [Kind::Reordered]);
}

#[test]
fn messages_of_one_author_out_of_order_are_found() {
    let kinds = found(|ledger| ledger.sends.swap(0, 1));
    assert_eq!(kinds, [Kind::Reordered]);
    // Two clients of one user have no order.
    let kinds = found(|ledger| {
        ledger.sends[1].client = 7;
        ledger.sends.swap(0, 1);
    });
    assert_eq!(kinds, []);
}

#[test]
fn a_stored_message_that_no_client_sent_is_a_phantom() {
    let phantom = |change: fn(&mut Stored)| {
        move |ledger: &mut Ledger| {
            let mut stored = Stored { topic: in_room("two"), seq: 1, ..ledger.stored[0].clone() };
            (stored.text, stored.nonce) = ("x".into(), None);
            change(&mut stored);
            ledger.stored.push(stored);
        }
    };
    assert_eq!(found(phantom(|_| {})), [Kind::Phantom]);
    // A nonce that was used for another message.
    assert_eq!(found(phantom(|stored| stored.from = "carol".into())), [Kind::Phantom]);
    // A message that was refused for good.
    let kinds = found(|ledger| {
        let user = "alice".into();
        ledger.given_up.push(GivenUp { user, nonce: "n-a1".into(), code: "no".into(), may_be_stored: false });
    });
    assert_eq!(kinds, [Kind::Phantom]);
}

#[test]
fn a_message_that_another_user_sees_has_leaked() {
    let kinds = found(|ledger| {
        ledger.connections[0].user = "carol".into();
        ledger.apps[0].user = "carol".into();
        // Her acknowledgements would be violations of another kind.
        frames(ledger, 0).retain(|(_, frame)| !matches!(frame, Frame::Ack { .. }));
    });
    assert!(kinds.contains(&Kind::Leaked), "{kinds:?}");
    // In a room that is not joined.
    let kinds = found(|ledger| {
        let room = in_room("one");
        frames(ledger, 0).insert(6, (Duration::ZERO, Frame::Left { room }));
    });
    assert_eq!(kinds, [Kind::Leaked]);
    // An acknowledgement of another client's send.
    let kinds = found(|ledger| {
        let ack = frames(ledger, 0)[5].clone();
        frames(ledger, 0).retain(|(_, frame)| !matches!(frame, Frame::Ack { nonce, .. } if nonce == "n-a1"));
        frames(ledger, 2).push(ack);
        ledger.connections[2].user = "alice".into();
    });
    assert!(kinds.contains(&Kind::Leaked), "{kinds:?}");
    // On a connection of v1.
    assert_eq!(found(|ledger| ledger.v1_connections[0].user = "carol".into()), [Kind::Leaked]);
    assert_eq!(found(|ledger| ledger.v1_connections[0].room = "two".into()), [Kind::Leaked]);
}

#[test]
fn a_wrong_number_is_found() {
    let kinds = found(|ledger| {
        if let Frame::Ack { seq, .. } = &mut frames(ledger, 0)[5].1 {
            *seq = 2;
        }
    });
    assert_eq!(kinds, [Kind::Misnumbered]);
    let kinds = found(|ledger| {
        if let Frame::Ack { topic, .. } = &mut frames(ledger, 0)[5].1 {
            *topic = in_room("two");
        }
    });
    assert_eq!(kinds, [Kind::Misnumbered]);
    // In an event of a client.
    let kinds = found(|ledger| {
        let stored = Event::Stored { nonce: "n-a1".into(), topic: Arc::new(in_room("one")), seq: 2 };
        ledger.apps[0].events.push((Duration::ZERO, stored));
    });
    assert_eq!(kinds, [Kind::Misnumbered]);
    let kinds = found(|ledger| {
        let index = position(ledger, 2, "a4");
        if let Frame::Entry(seen) = &mut frames(ledger, 2)[index].1 {
            seen.seq = 6;
        }
    });
    assert!(kinds.contains(&Kind::Misnumbered), "{kinds:?}");
}

#[test]
fn an_incomplete_resume_is_found() {
    // A message is left out.
    let kinds = found(|ledger| {
        let index = position(ledger, 2, "a3");
        frames(ledger, 2).remove(index);
    });
    assert_eq!(kinds, [Kind::PartlyResumed]);
    // More is recovered than was requested.
    let ask = |since: Option<u64>, epoch: Option<&str>| {
        let epoch = epoch.map(str::to_owned);
        move |ledger: &mut Ledger| {
            frames(ledger, 2)[1].1 = Frame::JoinRequest { reference: "r".into(), since, epoch };
        }
    };
    assert_eq!(found(ask(Some(3), Some("another"))), [Kind::PartlyResumed]);
    assert!(found(ask(Some(5), Some("e"))).contains(&Kind::PartlyResumed));
    assert!(found(ask(None, None)).contains(&Kind::PartlyResumed));
    // It starts too late.
    assert_eq!(found(ask(Some(2), Some("e"))), [Kind::PartlyResumed]);
}

#[test]
fn a_missing_answer_or_message_is_found() {
    // An answer.
    let kinds = found(|ledger| {
        let is = |frame: &Frame| matches!(frame, Frame::Ack { nonce, .. } if nonce == "n-a4");
        frames(ledger, 0).retain(|(_, frame)| !is(frame));
    });
    assert_eq!(kinds, [Kind::Stuck]);
    // A message, for a client that stayed.
    assert_eq!(found(|ledger| drop(ledger.apps[1].events.pop())), [Kind::Stuck]);
    // A client that left did not wait for it.
    let kinds = found(|ledger| {
        ledger.apps[1].events.pop();
        ledger.apps[1].stayed_in.clear();
    });
    assert_eq!(kinds, []);
}

#[test]
fn an_entry_from_after_a_removal_is_leaked() {
    // The message behind the removal is `a3`, number 4; Bob has 4 and 5 after it.
    let removal = |next_seq: u64| {
        move |ledger: &mut Ledger| {
            let next = ledger.sends[3].clone();
            let (user, at) = ("bob".into(), Duration::ZERO);
            ledger.removals.push(Removal { user, next, next_seq, at });
        }
    };
    let kinds = found(removal(5));
    assert!(kinds.contains(&Kind::Leaked), "{kinds:?}");
    assert_eq!(found(removal(6)), []);
    let kinds = found(|ledger| {
        removal(5)(ledger);
        let index = position(ledger, 2, "a4");
        frames(ledger, 2).remove(index);
    });
    assert!(kinds.contains(&Kind::Leaked), "the application has it still: {kinds:?}");
}

#[test]
fn a_mark_that_is_not_kept_is_lost() {
    let room = || in_room("one");
    let read = |ledger: &mut Ledger, kept: u64| {
        ledger.readings.push(Reading { user: "bob".into(), topic: room(), upto: 2 });
        ledger.readings.push(Reading { user: "bob".into(), topic: room(), upto: 4 });
        ledger.marks.insert(("bob".into(), room()), kept);
    };
    assert_eq!(found(|ledger| read(ledger, 4)), []);
    assert_eq!(found(|ledger| read(ledger, 3)), [Kind::MarkLost]);
    // Those of a removed member are gone.
    let kinds = found(|ledger| {
        read(ledger, 0);
        let next = ledger.sends[3].clone();
        ledger.removals.push(Removal { user: "bob".into(), next, next_seq: 9, at: Duration::ZERO });
    });
    assert_eq!(kinds, []);
}

#[test]
fn a_hello_below_a_kept_mark_is_found() {
    // Bob reads up to 4 on his first connection before he sends `p2`, whose
    // acknowledgement he gets, and the next hello shows 2.
    let read = |kill_ms: u64, hello_ms: u64, is_acknowledged: bool| {
        move |ledger: &mut Ledger| {
            let read = Frame::Read { topic: Arc::new(in_room("one")), upto: 4 };
            let at = Duration::from_millis(8);
            let ack = frames(ledger, 2)
                .iter()
                .find(|(_, frame)| matches!(frame, Frame::Ack { nonce, .. } if nonce == "n-p2"));
            let ack = ack.expect("it was acknowledged").1.clone();
            let index = frames(ledger, 1)
                .iter()
                .position(|(_, frame)| matches!(frame, Frame::Sent { nonce, .. } if nonce == "n-p2"));
            frames(ledger, 1).insert(index.expect("it was sent"), (at, read));
            if is_acknowledged {
                let end = frames(ledger, 1).len() - 1;
                frames(ledger, 1).insert(end, (at, ack));
            }
            for (at, _) in frames(ledger, 2) {
                *at += Duration::from_millis(hello_ms);
            }
            ledger.kills.push(Duration::from_millis(kill_ms));
        }
    };
    assert_eq!(found(read(5_000, 5_000, true)), [Kind::MarkLost]);
    // The server was killed before it had kept it, or the hello is older, or the frame
    // may not have arrived.
    assert_eq!(found(read(1_000, 5_000, true)), []);
    assert_eq!(found(read(5_000, 1_000, true)), []);
    assert_eq!(found(read(5_000, 5_000, false)), []);
}

/// Alice writes a message and an answer to it, edits the first twice and deletes the second;
/// Bob reacts. He sees it all as it comes, and again on a second connection.
fn changed() -> Ledger {
    let room = in_room("one");
    let mut ledger = Ledger::default();
    let of = |nonce: &str| Target::Nonce(nonce.into());
    for (client, user, text, nonce, what) in [
        (0, "alice", "m1", "n-m1", Wanted::Message),
        (0, "alice", "m2", "n-m2", Wanted::Answer(1)),
        (0, "alice", "e1", "n-e1", Wanted::Edit(of("n-m1"))),
        (0, "alice", "e2", "n-e2", Wanted::Edit(Target::Number(1))),
        (1, "bob", "", "n-r1", Wanted::React(Target::Number(1), "👍".into())),
        (0, "alice", "", "n-d1", Wanted::Delete(of("n-m2"))),
        (1, "bob", "", "n-r2", Wanted::React(Target::Number(1), "👍".into())),
    ] {
        let (user, topic, text, nonce) = (user.into(), room.clone(), text.into(), Some(nonce.into()));
        ledger.sends.push(Send { client, user, topic, text, what, nonce });
    }
    let stored = |seq, from: &str, text: &str, nonce: &str, what| Stored {
        topic: room.clone(),
        seq,
        from: from.into(),
        text: text.into(),
        nonce: Some(nonce.into()),
        timestamp: 100 + seq,
        what,
    };
    let first =
        State { edited: Some(104), reactions: vec![("👍".into(), 1)], updated: 5, ..State::default() };
    let second = State { deleted: true, updated: 6, ..State::default() };
    ledger.stored = vec![
        stored(1, "alice", "e2", "n-m1", What::Message(first.clone())),
        stored(2, "alice", "", "n-m2", What::Message(second.clone())),
        stored(3, "alice", "", "n-e1", What::Edit { target: 1 }),
        stored(4, "alice", "e2", "n-e2", What::Edit { target: 1 }),
        stored(5, "bob", "", "n-r1", What::React { target: 1, emoji: "👍".into() }),
        stored(6, "alice", "", "n-d1", What::Delete { target: 2 }),
    ];
    let seen = |index: usize, text: Option<&str>, state: &State| {
        let stored = &ledger.stored[index];
        let content = stored.content(text);
        let (topic, seq) = (Arc::new(room.clone()), stored.seq);
        Seen { topic, seq, content, updated: state.updated, state: state.hash() }
    };
    let none = State::default();
    let live = [
        seen(0, Some("m1"), &none),
        seen(1, Some("m2"), &State { reply_to: Some(1), ..State::default() }),
        seen(2, Some("e1"), &none),
        seen(3, Some("e2"), &none),
        seen(4, None, &none),
        seen(5, None, &none),
    ];
    let again = [
        seen(0, Some("e2"), &first),
        seen(1, Some(""), &second),
        seen(2, None, &none),
        seen(3, Some("e2"), &none),
        seen(4, None, &none),
        seen(5, None, &none),
    ];
    let joined = |seq| Frame::Joined {
        reference: "r".into(),
        room: room.clone(),
        epoch: "e".into(),
        seq,
        recovered: false,
    };
    let hello = || Frame::Hello { privates: Vec::new(), has_more: false, reads: Vec::new() };
    let sent = |nonce: &str| Frame::Sent { nonce: nonce.into(), topic: Arc::new(room.clone()) };
    let ack =
        |nonce: &str, seq, duplicate| Frame::Ack { nonce: nonce.into(), topic: room.clone(), seq, duplicate };
    let mut bob = vec![hello(), joined(0)];
    bob.extend(live.into_iter().map(Frame::Entry));
    // His second reaction was there already.
    bob.extend([sent("n-r1"), ack("n-r1", 5, false), sent("n-r2"), ack("n-r2", 5, true)]);
    let mut alice = vec![hello()];
    for (seq, nonce) in (1..).zip(["n-m1", "n-m2", "n-e1", "n-e2", "n-r1", "n-d1"]) {
        if nonce != "n-r1" {
            alice.extend([sent(nonce), ack(nonce, seq, false)]);
        }
    }
    let mut bob_again = vec![hello(), joined(6)];
    bob_again.extend(again.into_iter().map(Frame::Entry));
    for (user, frames) in [("bob", bob), ("bob", bob_again), ("alice", alice)] {
        let frames = (0..).map(Duration::from_millis).zip(frames).collect();
        ledger.connections.push(Connection { user: user.into(), frames });
    }
    let shows = [(1, "e2", first), (2, "", second)].map(|(seq, text, state)| Shows {
        topic: Arc::new(room.clone()),
        seq,
        text: text.into(),
        state,
    });
    ledger.apps.push(AppLog { user: "bob".into(), shows: shows.to_vec(), ..AppLog::default() });
    ledger
}

/// The kinds of the violations after a change of that ledger, each once.
fn found_in_changed(change: impl FnOnce(&mut Ledger)) -> Vec<Kind> {
    let mut ledger = changed();
    change(&mut ledger);
    let mut kinds: Vec<Kind> = ledger.check().violations.iter().map(|violation| violation.kind).collect();
    kinds.sort();
    kinds.dedup();
    kinds
}

fn seen_mut(ledger: &mut Ledger, connection: usize, index: usize) -> &mut Seen {
    match &mut frames(ledger, connection)[index].1 {
        Frame::Entry(seen) => seen,
        other => panic!("{other:?} is no entry"),
    }
}

#[test]
fn a_good_ledger_with_changes_is_good() {
    let ledger = changed();
    let findings = ledger.check();
    assert_eq!(findings.violations, []);
    assert_eq!((findings.counts.changes, findings.counts.shown), (4, 2));
    let mut texts = ledger.taken_back();
    texts.sort_unstable();
    assert_eq!(texts, ["e1", "m1", "m2"]);
}

#[test]
fn a_wrong_state_is_found() {
    // In the store: a reaction that is counted twice, an edit without its time, a deleted
    // message with a text.
    let stored = |change: fn(&mut Stored)| move |ledger: &mut Ledger| change(&mut ledger.stored[0]);
    let state = |stored: &mut Stored, change: fn(&mut State)| match &mut stored.what {
        What::Message(state) => change(state),
        _ => panic!("no message"),
    };
    let twice = move |ledger: &mut Ledger| state(&mut ledger.stored[0], |state| state.reactions[0].1 = 2);
    assert_eq!(found_in_changed(twice), [Kind::WrongState]);
    let unedited = move |ledger: &mut Ledger| state(&mut ledger.stored[0], |state| state.edited = None);
    assert_eq!(found_in_changed(unedited), [Kind::WrongState]);
    assert_eq!(found_in_changed(stored(|stored| stored.text = "m1".into())), [Kind::WrongState]);
    // What an application shows at the end, also after the last change came.
    assert_eq!(found_in_changed(|ledger| ledger.apps[0].shows[1].text = "m2".into()), [Kind::WrongState]);
    let old = |ledger: &mut Ledger| ledger.apps[0].shows[0].state.reactions.clear();
    assert_eq!(found_in_changed(old), [Kind::WrongState]);
    // A replay with a newer number than its state, and with an older text.
    let newer = |ledger: &mut Ledger| seen_mut(ledger, 1, 2).updated = 4;
    assert_eq!(found_in_changed(newer), [Kind::WrongState]);
    let older = |ledger: &mut Ledger| {
        let content = ledger.stored[0].content(Some("m1"));
        seen_mut(ledger, 1, 2).content = content;
    };
    assert_eq!(found_in_changed(older), [Kind::WrongState]);
    // Two ways to read the store that differ.
    let differs = |ledger: &mut Ledger| ledger.differing_reads.push("1 is 2".into());
    assert_eq!(found_in_changed(differs), [Kind::WrongState]);
}

#[test]
fn a_change_is_lost_doubled_or_made_up() {
    // Acknowledged, and not stored.
    let lost = |ledger: &mut Ledger| {
        ledger.stored.pop();
        let what = What::Message(State { reply_to: Some(1), ..State::default() });
        ledger.stored[1] = Stored { text: "m2".into(), what, ..ledger.stored[1].clone() };
        ledger.apps.clear();
        ledger.connections.remove(1);
        frames(ledger, 0).retain(|(_, frame)| !matches!(frame, Frame::Entry(seen) if seen.seq == 6));
    };
    assert_eq!(found_in_changed(lost), [Kind::Lost]);
    // A second reaction of the same send.
    let doubled = |ledger: &mut Ledger| {
        let again = Stored { seq: 7, ..ledger.stored[4].clone() };
        ledger.stored.push(again);
    };
    assert!(found_in_changed(doubled).contains(&Kind::Duplicated));
    // A change of another message than the one that was meant, and of another kind.
    let elsewhere = |ledger: &mut Ledger| ledger.stored[5].what = What::Delete { target: 1 };
    assert!(found_in_changed(elsewhere).contains(&Kind::Phantom));
    let other = |ledger: &mut Ledger| {
        ledger.stored[4].what = What::React { target: 1, emoji: "🎉".into() };
    };
    assert!(found_in_changed(other).contains(&Kind::Phantom));
    // An answer to another message than the one that was meant.
    let answers = |ledger: &mut Ledger| ledger.sends[0].what = Wanted::Answer(2);
    assert!(found_in_changed(answers).contains(&Kind::Phantom));
    // An acknowledgement by an entry that did not make it so.
    let by_other = |ledger: &mut Ledger| {
        let last = frames(ledger, 0).len() - 1;
        if let Frame::Ack { seq, .. } = &mut frames(ledger, 0)[last].1 {
            *seq = 4;
        }
    };
    assert_eq!(found_in_changed(by_other), [Kind::Lost]);
    // An edit that is shown without its text, although it is the newest.
    let bare = |ledger: &mut Ledger| {
        let content = ledger.stored[3].content(None);
        seen_mut(ledger, 1, 5).content = content;
    };
    assert_eq!(found_in_changed(bare), [Kind::Lost]);
}

#[test]
fn a_text_that_remains_is_found() {
    let kinds = found_in_changed(|ledger| ledger.remains.push("m1 is in the file".into()));
    assert_eq!(kinds, [Kind::Remains]);
}

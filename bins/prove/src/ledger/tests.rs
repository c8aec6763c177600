//! The checker is checked: each test makes one thing of a good ledger wrong.

use super::*;

/// Alice and Bob talk in a room and in private. Bob's connection is lost after
/// the third message; he comes back behind it. A watcher of v1 looks on.
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
        ledger.sends.push(Send { client, user: user.into(), topic: topic.clone(), text: text.into(), nonce });
    }
    let stored = |topic: &Topic, seq, from: &str, text: &str| Stored {
        topic: topic.clone(),
        seq,
        from: from.into(),
        text: text.into(),
        nonce: Some(format!("n-{text}")),
        timestamp: 100 + seq,
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
        Frame::Hello { privates, has_more: false }
    };
    let asked = |since: Option<u64>| Frame::AskedToJoin {
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
    // The alphabet of the conversation, for both versions of the truth.
    let alice = vec![
        hello(0),
        asked(None),
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
        asked(None),
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
        asked(Some(3)),
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
        ledger.wires.push(Wire { user: user.into(), frames });
    }
    let online = || Event::Online { privates: Vec::new(), has_more: false };
    let told = |index: usize| Event::Entry(seen[index].clone());
    let alice = [0, 1, 2, 5, 6, 3, 4].map(told);
    let bob = [0, 1, 2, 5].map(told);
    // What he missed in private he read in the history.
    let bob_again = [6, 3, 4].map(told);
    let in_at = |seq, recovered| Event::Joined { room: room.clone(), seq, recovered };
    let again = [Event::Online { privates: vec![(pair.clone(), 2)], has_more: false }, in_at(4, true)];
    for (user, events) in [
        ("alice", [vec![online(), in_at(0, false)], alice.to_vec()].concat()),
        ("bob", [vec![online(), in_at(1, false)], bob.to_vec(), again.to_vec(), bob_again.to_vec()].concat()),
    ] {
        let events = (0..).map(Duration::from_millis).zip(events).collect();
        ledger.clients.push(Told { user: user.into(), events, stayed_in: vec![room.clone()] });
    }
    let spoken = |index: usize| {
        let Stored { topic, from, text, .. } = &ledger.stored[index];
        (Duration::ZERO, topic.clone(), Words::spoken(from, text))
    };
    let seen = [1, 2, 5, 3, 6].map(spoken).to_vec();
    ledger.watchers = vec![Watched { user: "alice".into(), room: "one".into(), seen }];
    ledger
}

fn shown(stored: &Stored) -> Seen {
    let Stored { topic, seq, from, text, nonce, timestamp } = stored;
    let words = Words::of(from, text, nonce.as_deref(), *timestamp);
    Seen { topic: Arc::new(topic.clone()), seq: *seq, words }
}

/// The kinds of what is found after a change, each once.
fn found(change: impl FnOnce(&mut Ledger)) -> Vec<Kind> {
    let mut ledger = good();
    change(&mut ledger);
    let mut kinds: Vec<Kind> = ledger.check().wrong.iter().map(|wrong| wrong.kind).collect();
    kinds.sort();
    kinds.dedup();
    kinds
}

fn frames(ledger: &mut Ledger, wire: usize) -> &mut Vec<(Duration, Frame)> {
    &mut ledger.wires[wire].frames
}

fn position(ledger: &Ledger, wire: usize, text: &str) -> usize {
    let stored = ledger.stored.iter().find(|stored| stored.text == text).expect("it is stored");
    let words = shown(stored).words;
    let is = |frame: &Frame| matches!(frame, Frame::Entry(seen) if seen.words == words);
    ledger.wires[wire].frames.iter().position(|(_, frame)| is(frame)).expect("it was seen")
}

#[test]
fn a_good_ledger_is_good() {
    let findings = good().check();
    assert_eq!(findings.wrong, []);
    let Counts { sends, acknowledged, retries, duplicate_acks, resumed, connections, .. } = findings.counts;
    assert_eq!((sends, acknowledged, retries, duplicate_acks, resumed, connections), (7, 7, 2, 2, 1, 3));
    let line = findings.to_string();
    assert_eq!(line, "7 acknowledged, 0 lost, 0 duplicated, 0 gaps, 0 reordered, 0 leaked");
}

#[test]
fn what_was_acknowledged_and_is_not_stored_is_lost() {
    // The newest one, so that the numbers have no hole, and nobody saw it.
    let lose = |ledger: &mut Ledger| {
        ledger.stored.retain(|stored| stored.text != "a4");
        for wire in [0, 2] {
            frames(ledger, wire).pop();
        }
        for client in &mut ledger.clients {
            client.events.pop();
        }
    };
    assert_eq!(found(lose), [Kind::Lost]);
    // After a power cut it may be, …
    let cut = |from: u64| {
        move |ledger: &mut Ledger| {
            lose(ledger);
            ledger.cuts = vec![(Duration::from_millis(from), Duration::from_secs(1))];
        }
    };
    assert_eq!(found(cut(17)), []);
    // … but not what was acknowledged before.
    assert_eq!(found(cut(18)), [Kind::Lost]);
}

#[test]
fn what_was_seen_and_is_not_stored_is_lost() {
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
fn other_words_under_a_number_that_was_seen_are_a_loss() {
    let kinds = found(|ledger| {
        let place = position(ledger, 1, "a2");
        if let Frame::Entry(seen) = &mut frames(ledger, 1)[place].1 {
            seen.words = Words::of("alice", "something else", Some("n-a2"), 103);
        }
    });
    assert_eq!(kinds, [Kind::Lost]);
}

#[test]
fn what_is_stored_or_seen_twice_is_a_duplicate() {
    // As a new number.
    let kinds = found(|ledger| {
        let again = Stored { seq: 3, ..ledger.stored[6].clone() };
        ledger.stored.push(again);
    });
    assert_eq!(kinds, [Kind::Duplicated, Kind::Stuck]);
    // Under another nonce, in another place.
    let kinds = found(|ledger| {
        let elsewhere = Stored { topic: in_room("two"), seq: 1, nonce: None, ..ledger.stored[0].clone() };
        ledger.stored.push(elsewhere);
    });
    assert_eq!(kinds, [Kind::Duplicated]);
    // On a connection.
    let kinds = found(|ledger| {
        let place = position(ledger, 1, "b1");
        let again = frames(ledger, 1)[place].clone();
        frames(ledger, 1).insert(place + 1, again);
    });
    assert_eq!(kinds, [Kind::Duplicated]);
    // By the client, across its connections.
    let kinds = found(|ledger| {
        let again = ledger.clients[1].events[4].clone();
        ledger.clients[1].events.insert(8, again);
    });
    assert_eq!(kinds, [Kind::Duplicated]);
    // By a watcher.
    let kinds = found(|ledger| {
        let again = ledger.watchers[0].seen[0].clone();
        ledger.watchers[0].seen.push(again);
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
fn a_hole_is_a_gap() {
    // In the store.
    let kinds = found(|ledger| ledger.stored[4].seq = 6);
    assert!(kinds.contains(&Kind::Gap), "{kinds:?}");
    // On a connection.
    let kinds = found(|ledger| {
        let place = position(ledger, 0, "b1");
        frames(ledger, 0).remove(place);
    });
    assert_eq!(kinds, [Kind::Gap]);
    // In what a client told.
    assert_eq!(found(|ledger| drop(ledger.clients[0].events.remove(3))), [Kind::Gap]);
    // Before a watcher's eyes.
    assert_eq!(found(|ledger| drop(ledger.watchers[0].seen.remove(1))), [Kind::Gap]);
    // Of a private conversation that hello had counted up to 2.
    let kinds = found(|ledger| {
        let third = Stored { seq: 4, text: "p4".into(), nonce: None, ..ledger.stored[6].clone() };
        frames(ledger, 2).push((Duration::ZERO, Frame::Entry(shown(&third))));
    });
    assert_eq!(kinds, [Kind::Lost, Kind::Gap]);
    // A room that starts anew without a word.
    let kinds = found(|ledger| {
        let anew = Event::Joined { room: in_room("one"), seq: 5, recovered: false };
        ledger.clients[0].events.push((Duration::ZERO, anew));
    });
    assert_eq!(kinds, [Kind::Gap]);
}

#[test]
fn another_order_is_found() {
    // Before somebody's eyes: the hole was filled later.
    let kinds = found(|ledger| {
        let place = position(ledger, 1, "b1");
        frames(ledger, 1).swap(place, place + 1);
    });
    assert_eq!(kinds, [Kind::Reordered]);
    let kinds = found(|ledger| ledger.watchers[0].seen.swap(1, 3));
    assert_eq!(kinds, [Kind::Reordered]);
    let kinds = found(|ledger| ledger.clients[0].events.swap(2, 3));
    assert_eq!(kinds, [Kind::Reordered]);
}

#[test]
fn an_author_that_is_overtaken_by_itself_is_found() {
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
fn what_nobody_sent_is_a_phantom() {
    let phantom = |change: fn(&mut Stored)| {
        move |ledger: &mut Ledger| {
            let mut stored = Stored { topic: in_room("two"), seq: 1, ..ledger.stored[0].clone() };
            (stored.text, stored.nonce) = ("x".into(), None);
            change(&mut stored);
            ledger.stored.push(stored);
        }
    };
    assert_eq!(found(phantom(|_| {})), [Kind::Phantom]);
    // A nonce that was used for something else.
    assert_eq!(found(phantom(|stored| stored.from = "carol".into())), [Kind::Phantom]);
    // What was refused for good.
    let kinds = found(|ledger| {
        let user = "alice".into();
        ledger.given_up.push(GivenUp { user, nonce: "n-a1".into(), code: "no".into(), may_be_stored: false });
    });
    assert_eq!(kinds, [Kind::Phantom]);
}

#[test]
fn what_is_seen_by_somebody_else_has_leaked() {
    let kinds = found(|ledger| {
        ledger.wires[0].user = "carol".into();
        ledger.clients[0].user = "carol".into();
        // Her acknowledgements would be another matter.
        frames(ledger, 0).retain(|(_, frame)| !matches!(frame, Frame::Ack { .. }));
    });
    assert!(kinds.contains(&Kind::Leaked), "{kinds:?}");
    // In a room that one is not in.
    let kinds = found(|ledger| {
        let room = in_room("one");
        frames(ledger, 0).insert(6, (Duration::ZERO, Frame::Left { room }));
    });
    assert_eq!(kinds, [Kind::Leaked]);
    // An acknowledgement of what somebody else sent.
    let kinds = found(|ledger| {
        let ack = frames(ledger, 0)[5].clone();
        frames(ledger, 0).retain(|(_, frame)| !matches!(frame, Frame::Ack { nonce, .. } if nonce == "n-a1"));
        frames(ledger, 2).push(ack);
        ledger.wires[2].user = "alice".into();
    });
    assert!(kinds.contains(&Kind::Leaked), "{kinds:?}");
    // By a watcher.
    assert_eq!(found(|ledger| ledger.watchers[0].user = "carol".into()), [Kind::Leaked]);
    assert_eq!(found(|ledger| ledger.watchers[0].room = "two".into()), [Kind::Leaked]);
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
    // As a client told it.
    let kinds = found(|ledger| {
        let stored = Event::Stored { nonce: "n-a1".into(), topic: Arc::new(in_room("one")), seq: 2 };
        ledger.clients[0].events.push((Duration::ZERO, stored));
    });
    assert_eq!(kinds, [Kind::Misnumbered]);
    let kinds = found(|ledger| {
        let place = position(ledger, 2, "a4");
        if let Frame::Entry(seen) = &mut frames(ledger, 2)[place].1 {
            seen.seq = 6;
        }
    });
    assert!(kinds.contains(&Kind::Misnumbered), "{kinds:?}");
}

#[test]
fn a_resume_that_was_partly_done_is_found() {
    // The rest of it is left out.
    let kinds = found(|ledger| {
        let place = position(ledger, 2, "a3");
        frames(ledger, 2).remove(place);
    });
    assert_eq!(kinds, [Kind::PartlyResumed]);
    // More is said to be recovered than was asked for.
    let ask = |since: Option<u64>, epoch: Option<&str>| {
        let epoch = epoch.map(str::to_owned);
        move |ledger: &mut Ledger| {
            frames(ledger, 2)[1].1 = Frame::AskedToJoin { reference: "r".into(), since, epoch };
        }
    };
    assert_eq!(found(ask(Some(3), Some("another"))), [Kind::PartlyResumed]);
    assert!(found(ask(Some(5), Some("e"))).contains(&Kind::PartlyResumed));
    assert!(found(ask(None, None)).contains(&Kind::PartlyResumed));
    // It starts too late.
    assert_eq!(found(ask(Some(2), Some("e"))), [Kind::PartlyResumed]);
}

#[test]
fn what_never_comes_is_found() {
    // An answer.
    let kinds = found(|ledger| {
        let is = |frame: &Frame| matches!(frame, Frame::Ack { nonce, .. } if nonce == "n-a4");
        frames(ledger, 0).retain(|(_, frame)| !is(frame));
    });
    assert_eq!(kinds, [Kind::Stuck]);
    // A message, for somebody who stayed.
    assert_eq!(found(|ledger| drop(ledger.clients[1].events.pop())), [Kind::Stuck]);
    // Whoever left did not wait for it.
    let kinds = found(|ledger| {
        ledger.clients[1].events.pop();
        ledger.clients[1].stayed_in.clear();
    });
    assert_eq!(kinds, []);
}

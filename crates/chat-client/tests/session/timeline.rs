//! Timelines: messages as changes have made them.

use chat_client::{
    Change, ChangeKind, Entry, Event, HistoryPage, KEPT_CHANGES_MAX, NewChange, NewMessage, Reaction, Target,
    Timeline, Topic, Unsent, UnsentChange,
};

use crate::harness::{bob, tech};

fn timeline() -> Timeline {
    Timeline::new("alice", tech())
}

fn entry(seq: u64, text: &str) -> Entry {
    Entry { seq, from: "bob".into(), text: text.into(), timestamp: seq, ..Entry::default() }
}

fn message(entry: Entry) -> Event {
    Event::Message { topic: tech(), entry }
}

fn change(seq: u64, target: u64, from: &str, kind: ChangeKind) -> Event {
    let change = Change { seq, target, from: from.into(), timestamp: seq, nonce: None, kind };
    Event::Change { topic: tech(), change }
}

fn react(seq: u64, target: u64, from: &str, emoji: &str) -> Event {
    change(seq, target, from, ChangeKind::React { emoji: emoji.into() })
}

fn unreact(seq: u64, target: u64, from: &str, emoji: &str) -> Event {
    change(seq, target, from, ChangeKind::Unreact { emoji: emoji.into() })
}

fn page(messages: Vec<Entry>) -> HistoryPage {
    HistoryPage {
        topic: tech(),
        epoch: "e".into(),
        first: 1,
        covers: None,
        messages,
        changes: Vec::new(),
        has_more: false,
        has_more_before: false,
        has_more_after: false,
    }
}

/// A timeline that was given these events.
fn after(events: &[Event]) -> Timeline {
    let mut timeline = timeline();
    for event in events {
        timeline.apply(event);
    }
    timeline
}

/// The messages in short, with emoji and their counts.
fn short(timeline: &Timeline) -> Vec<String> {
    timeline.messages().map(of).collect()
}

fn of(entry: &Entry) -> String {
    let mut text = format!("{} {}", entry.seq, if entry.deleted { "deleted" } else { &entry.text });
    for Reaction { emoji, count, .. } in &entry.reactions {
        text += &format!(" {emoji}{count}");
    }
    text
}

/// What the user sees, in short; `*` is what is not sent yet.
fn shown(timeline: &Timeline) -> Vec<String> {
    timeline.shown().map(|shown| of(&shown.entry) + &"*".repeat(shown.pending.len())).collect()
}

fn unsent(nonce: &str, text: &str) -> Unsent {
    Unsent {
        nonce: nonce.into(),
        to: tech(),
        text: text.into(),
        may_be_stored: false,
        mentions: Vec::new(),
        mention_all: false,
        reply_to: None,
        files: Vec::new(),
        change: None,
    }
}

fn queued(nonce: &str, change: NewChange) -> Event {
    let NewChange { target, kind, .. } = change;
    Event::Queued { unsent: Unsent { change: Some(UnsentChange { target, kind }), ..unsent(nonce, "") } }
}

fn stored(nonce: &str, topic: Topic, seq: u64) -> Event {
    let (nonce, not_members) = (nonce.to_owned(), Vec::new());
    Event::Stored { nonce, topic, seq, timestamp: 1, duplicate: false, not_members }
}

fn not_sent(nonce: &str) -> Event {
    let (nonce, code) = (nonce.to_owned(), "forbidden".to_owned());
    Event::NotSent { nonce, code, message: String::new(), may_be_stored: false }
}

#[test]
fn changes_are_applied_to_their_messages() {
    let reply = Entry { reply_to: Some(1), mentions: vec!["alice".into()], ..entry(2, "two") };
    let mut timeline = after(&[
        message(entry(1, "one")),
        message(reply),
        change(3, 1, "bob", ChangeKind::edit("ONE")),
        react(4, 2, "eve", "👍"),
        react(5, 2, "eve", "🎉"),
        react(6, 2, "bob", "👍"),
        // An emoji that is gone and comes again stands behind the others.
        react(7, 1, "eve", "👍"),
        react(8, 1, "eve", "🎉"),
        unreact(9, 1, "eve", "👍"),
        react(10, 1, "bob", "👍"),
        // A message that is not known, and an event of another topic.
        react(11, 99, "bob", "👍"),
        Event::Message { topic: bob(), entry: entry(12, "elsewhere") },
    ]);
    assert_eq!(short(&timeline), ["1 ONE 🎉1 👍1", "2 two 👍2 🎉1"]);
    let first = timeline.message(1).unwrap();
    assert_eq!((first.edited, first.updated, first.timestamp), (Some(3), 10, 1));
    assert_eq!(timeline.message(2).unwrap().reactions[0].users, ["eve", "bob"]);
    timeline.apply(&change(12, 2, "bob", ChangeKind::Delete));
    let deleted = Entry { deleted: true, updated: 12, ..entry(2, "") };
    assert_eq!(timeline.message(2), Some(&deleted));
}

#[test]
fn a_state_contains_the_changes_up_to_its_number() {
    let state = Entry { edited: Some(9), updated: 9, ..entry(1, "newest") };
    let mut timeline = after(&[
        message(state),
        // A replay: the first edit has no text any more, and the second is in the state.
        change(4, 1, "bob", ChangeKind::Edit { text: None, mentions: vec![], mention_all: false }),
        react(5, 1, "eve", "👍"),
        change(9, 1, "bob", ChangeKind::edit("newest")),
    ]);
    assert_eq!(short(&timeline), ["1 newest"]);
    timeline.apply(&react(10, 1, "eve", "👍"));
    // An older state does not replace a newer one.
    timeline.apply(&message(entry(1, "oldest")));
    // The server has no text of an edit of a message that it no longer keeps.
    timeline.apply(&change(
        11,
        1,
        "bob",
        ChangeKind::Edit { text: None, mentions: vec![], mention_all: false },
    ));
    assert_eq!(short(&timeline), ["1 newest 👍1"]);
}

#[test]
fn changes_are_kept_for_a_page_that_is_not_there_yet() {
    let mut timeline = after(&[message(entry(20, "20"))]);
    timeline.apply(&react(21, 5, "eve", "🎉"));
    timeline.ask(1);
    timeline.apply(&react(22, 5, "eve", "👍"));
    timeline.apply(&change(23, 6, "bob", ChangeKind::Delete));
    timeline.apply(&react(24, 20, "eve", "👍"));
    // It was read before 22, after 21.
    let read = Entry { updated: 21, ..entry(5, "5") };
    assert!(timeline.take_page(1, &page(vec![read, entry(6, "6"), entry(20, "20")])));
    assert_eq!(short(&timeline), ["5 5 👍1", "6 deleted", "20 20 👍1"]);
    // Nothing is kept without a page, and no page is taken that was not asked for.
    timeline.apply(&react(25, 4, "eve", "👍"));
    assert!(!timeline.take_page(2, &page(vec![entry(4, "4")])));
    timeline.ask(3);
    timeline.apply(&Event::History { request: 3, page: page(vec![Entry { updated: 25, ..entry(4, "4") }]) });
    assert_eq!(short(&timeline)[0], "4 4");
}

#[test]
fn a_page_is_given_up_where_changes_may_be_missing() {
    let joined = Event::Joined {
        room: "tech".into(),
        epoch: "e".into(),
        seq: 9,
        recovered: false,
        online: 1,
        members: vec![],
    };
    let resets = [Event::Reset { topic: tech() }, joined, Event::Left { room: "tech".into(), reason: None }];
    for reset in resets {
        let mut timeline = after(&[message(entry(1, "1"))]);
        timeline.ask(1);
        timeline.apply(&reset);
        assert_eq!(timeline.messages().count(), 0);
        assert!(!timeline.take_page(1, &page(vec![entry(1, "1")])));
        assert_eq!(timeline.messages().count(), 0);
    }
    // A page of another epoch.
    let mut timeline = timeline();
    for (number, epoch) in [(1, "e"), (2, "old")] {
        timeline.ask(number);
        let page = HistoryPage { epoch: epoch.into(), ..page(vec![entry(1, epoch)]) };
        assert_eq!(timeline.take_page(number, &page), epoch == "e");
    }
    // More changes than are kept.
    timeline.ask(3);
    for seq in 0..=KEPT_CHANGES_MAX as u64 {
        timeline.apply(&react(10 + seq, 5, "eve", "👍"));
    }
    assert!(!timeline.take_page(3, &page(vec![entry(5, "5")])));
    // What is no longer kept is forgotten.
    timeline.ask(4);
    assert!(timeline.take_page(4, &HistoryPage { first: 3, ..page(vec![entry(5, "5")]) }));
    assert_eq!(short(&timeline), ["5 5"]);
}

#[test]
fn a_timeline_has_a_cap() {
    let mut timeline = Timeline::with_messages_max("alice", tech(), 3);
    for seq in 10..15 {
        timeline.apply(&message(entry(seq, "x")));
    }
    assert_eq!(short(&timeline), ["12 x", "13 x", "14 x"]);
    timeline.ask(1);
    // A change of a message that is forgotten while the page is on its way.
    timeline.apply(&react(15, 12, "eve", "👍"));
    timeline.apply(&message(entry(16, "x")));
    assert!(timeline.take_page(1, &page(vec![entry(11, "x"), entry(12, "x")])));
    assert_eq!(short(&timeline), ["11 x", "12 x 👍1", "13 x"]);
}

#[test]
fn what_is_not_sent_yet_is_shown_beside_the_log() {
    let mut timeline = after(&[message(entry(1, "1"))]);
    let answer = NewMessage::new(tech(), "hi").reply_to(1);
    timeline.apply(&Event::Queued { unsent: Unsent { reply_to: answer.reply_to, ..unsent("m", "hi") } });
    timeline.apply(&queued("a", NewChange::edit(tech(), Target::Nonce("m".into()), "hello")));
    timeline.apply(&queued("b", NewChange::react(tech(), 1, "👍")));
    timeline.apply(&queued("c", NewChange::delete(tech(), 1)));
    assert_eq!(short(&timeline), ["1 1"]);
    assert_eq!(shown(&timeline), ["1 deleted**", "0 hello**"]);
    // A refused change is taken back.
    assert!(timeline.unsent("c").is_some());
    timeline.apply(&not_sent("c"));
    assert_eq!((shown(&timeline)[0].as_str(), timeline.unsent("c")), ("1 1 👍1*", None));
    // The acknowledgement comes before the entry, or behind it.
    timeline.apply(&stored("m", tech(), 2));
    assert_eq!(shown(&timeline), ["1 1 👍1*", "0 hello**"]);
    let own = Entry { from: "alice".into(), nonce: Some("m".into()), reply_to: Some(1), ..entry(2, "hi") };
    timeline.apply(&message(own));
    assert_eq!(shown(&timeline), ["1 1 👍1*", "2 hello*"]);
    let react = |seq, nonce: &str| Change {
        seq,
        target: 1,
        from: "alice".into(),
        timestamp: 1,
        nonce: Some(nonce.into()),
        kind: ChangeKind::React { emoji: "👍".into() },
    };
    timeline.apply(&Event::Change { topic: tech(), change: react(3, "b") });
    assert_eq!(shown(&timeline), ["1 1 👍1", "2 hello*"]);
    timeline.apply(&stored("b", tech(), 3));
    timeline.apply(&change(4, 2, "alice", ChangeKind::edit("hello")));
    timeline.apply(&stored("a", tech(), 4));
    assert_eq!(shown(&timeline), ["1 1 👍1", "2 hello"]);
    // A page has the state with a change whose acknowledgement came, and whose entry did not.
    timeline.apply(&queued("d", NewChange::unreact(tech(), 1, "👍")));
    timeline.ask(1);
    assert_eq!(shown(&timeline)[0], "1 1*");
    timeline.apply(&stored("d", tech(), 6));
    timeline.take_page(1, &page(vec![Entry { updated: 6, ..entry(1, "1") }]));
    assert_eq!(shown(&timeline)[0], "1 1");
}

#[test]
fn a_nonce_that_was_used_elsewhere_is_not_shown_any_more() {
    let mut timeline = timeline();
    timeline.queue(&unsent("m", "hi"));
    timeline.queue(&unsent("m", "hi"));
    timeline.queue(&Unsent { to: bob(), ..unsent("n", "hi") });
    assert_eq!(shown(&timeline), ["0 hi*"]);
    timeline.apply(&stored("m", bob(), 1));
    assert_eq!(shown(&timeline), [""; 0]);
}

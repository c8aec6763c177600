//! Tests of the rule for changes of messages.

use super::*;
use crate::{ChangedMessage, KeptState, Reaction};

const ON: u64 = 3;

/// A log in which bob wrote the message 3 at 2 ms; carol and the users "u1" to "u7" reacted
/// to it with 👍, carol with 🎉 before; and alice deleted the message 4 with the change 6.
fn log() -> TestLog {
    let (thumb, party) = (Emoji::stored("👍"), Emoji::stored("🎉"));
    let mut reactions = vec![(ON, party.clone(), name("carol"), Stamp { seq: 1, at_ms: 2 })];
    let users: Vec<Username> = ["u1", "u2", "u3", "u4", "u5", "u6", "u7", "carol"].map(name).into();
    for (seq, user) in users.iter().enumerate() {
        reactions.push((ON, thumb.clone(), user.clone(), Stamp { seq: 2 + seq as u64, at_ms: 3 }));
    }
    let state = KeptState {
        updated: 9,
        edited: None,
        deleted: None,
        reactions: vec![
            Reaction { emoji: party, count: 1, users: vec![name("carol")] },
            Reaction { emoji: thumb, count: 8, users: users[..5].to_vec() },
        ],
    };
    let gone = KeptState { updated: 6, deleted: Some(Stamp { seq: 6, at_ms: 4 }), ..KeptState::default() };
    let message = |from, state| TargetFacts {
        from: name(from),
        at_ms: 2,
        state,
        files: Vec::new(),
        reacted: BTreeMap::new(),
        reactors: BTreeMap::new(),
    };
    TestLog {
        administrators: vec![name("dave")],
        messages: vec![(ON, message("bob", state)), (4, message("alice", gone))],
        reactions,
        ..TestLog::new()
    }
}

fn change(from: &str, body: Body) -> Draft {
    Draft { body, ..draft("kitchen", from) }
}

fn edit(from: &str, target: u64, text: &str) -> Draft {
    change(from, Body::Edit { target, text: Some(MessageText::stored(text)), mentions: None })
}

fn delete(from: &str, target: u64) -> Draft {
    change(from, Body::Delete { target })
}

fn react(from: &str, emoji: &str) -> Draft {
    change(from, Body::React { target: ON, emoji: Emoji::stored(emoji) })
}

fn unreact(from: &str, emoji: &str) -> Draft {
    change(from, Body::Unreact { target: ON, emoji: Emoji::stored(emoji) })
}

fn answer(draft: Draft) -> Outcome {
    outcomes(&log().append(&[draft], Checked::Hinted)).remove(0)
}

fn duplicate(seq: u64, at_ms: u64) -> Outcome {
    Outcome::Duplicate { topic: Topic::Room(room_name("kitchen")), seq, at_ms }
}

/// The only message that a batch changes.
fn changed(drafts: &[Draft]) -> ChangedMessage {
    let mut commit = log().append(drafts, Checked::Hinted);
    assert_eq!(commit.changed.len(), 1, "{commit:?}");
    commit.changed.remove(0)
}

fn shown(message: &ChangedMessage) -> Vec<String> {
    let reactions = message.state.reactions.iter().map(|Reaction { emoji, count, users }| {
        let users: Vec<&str> = users.iter().map(Username::as_str).collect();
        format!("{}{count} {}", emoji.as_str(), users.join(","))
    });
    reactions.collect()
}

#[test]
fn the_author_edits_within_the_limit() {
    assert_eq!(answer(edit("bob", ON, "x")), stored(11));
    assert_eq!(answer(edit("alice", ON, "x")), Outcome::Forbidden);
    assert_eq!(answer(edit("dave", ON, "x")), Outcome::Forbidden);
    assert_eq!(answer(edit("bob", 5, "x")), Outcome::NotFound);
    assert_eq!(answer(edit("alice", 4, "x")), Outcome::NotFound);
    let limited = |edit_ms| {
        let rules = ChangeRules { edit_ms: Some(edit_ms), ..ChangeRules::default() };
        answer(Draft { rules, ..edit("bob", ON, "x") })
    };
    // The message is 3 ms old.
    assert_eq!((limited(3), limited(2)), (stored(11), Outcome::Forbidden));
    assert_eq!(limited(u64::MAX), stored(11));
}

#[test]
fn author_moderators_and_administrators_who_may_read_delete() {
    // Alice moderates all rooms, dave is an administrator, and no member of any.
    for (user, in_kitchen, in_cellar, in_attic) in [
        ("bob", stored(11), stored(11), stored(11)),
        ("alice", stored(11), stored(11), stored(11)),
        ("dave", stored(11), Outcome::Forbidden, stored(11)),
        ("carol", Outcome::Forbidden, Outcome::Forbidden, Outcome::Forbidden),
    ] {
        let here = |room| answer(Draft { topic: Topic::Room(room_name(room)), ..delete(user, ON) });
        assert_eq!((here("kitchen"), here("~cellar"), here("attic")), (in_kitchen, in_cellar, in_attic));
    }
    assert_eq!(answer(delete("alice", 4)), duplicate(6, 4));
    assert_eq!(answer(delete("carol", 4)), Outcome::Forbidden);
    assert_eq!(answer(delete("alice", 5)), Outcome::NotFound);
    let talk = |from| Draft { topic: private("alice", "bob").topic, ..delete(from, ON) };
    assert_eq!((answer(talk("bob")), answer(talk("alice"))), (stored(11), Outcome::Forbidden));
}

#[test]
fn an_archived_room_takes_deletions_only_and_a_closed_one_changes_of_members_only() {
    for other in [edit("bob", ON, "x"), react("bob", "🎉"), unreact("bob", "🎉")] {
        let here = |room| answer(checked(Draft { topic: Topic::Room(room_name(room)), ..other.clone() }));
        assert_eq!(here("attic"), Outcome::Forbidden);
        assert_ne!(here("~cellar"), Outcome::Forbidden);
        let stranger = Draft { from: name("carol"), ..other };
        let topic = Topic::Room(room_name("~cellar"));
        assert_eq!(answer(checked(Draft { topic, ..stranger })), Outcome::Forbidden);
    }
    let nowhere = Draft { topic: Topic::Room(room_name("~none")), ..react("bob", "🎉") };
    assert_eq!(answer(checked(nowhere)), Outcome::Forbidden);
}

#[test]
fn a_deletion_that_may_be_anywhere_takes_back_own_messages_only() {
    let here = |from, deletes_anywhere| {
        let rules = ChangeRules { deletes_anywhere, ..ChangeRules::default() };
        let topic = Topic::Room(room_name("~none"));
        answer(checked(Draft { topic, rules, ..delete(from, ON) }))
    };
    assert_eq!(here("bob", false), Outcome::Forbidden, "he is no member");
    assert!(matches!(here("bob", true), Outcome::Stored { .. }));
    for other in ["carol", "dave"] {
        assert_eq!(here(other, true), Outcome::Forbidden, "{other}");
    }
    let edit = Draft { topic: Topic::Room(room_name("~none")), ..edit("bob", ON, "x") };
    let rules = ChangeRules { deletes_anywhere: true, ..ChangeRules::default() };
    assert_eq!(answer(checked(Draft { rules, ..edit })), Outcome::Forbidden);
}

#[test]
fn what_is_so_already_answers_with_what_made_it_so_and_remembers_its_nonce() {
    let batch = [
        nonce(react("carol", "🎉"), "a"),
        react("carol", "👍"),
        nonce(delete("alice", 4), "b"),
        nonce(react("u9", "🎉"), "c"),
        nonce(react("u9", "🎉"), "d"),
        nonce(react("u9", "👍"), "d"),
        nonce(unreact("u9", "🎉"), "c"),
    ];
    let commit = log().append(&batch, Checked::Hinted);
    let expected = [
        duplicate(1, 2),
        duplicate(9, 3),
        duplicate(6, 4),
        stored(11),
        duplicate(11, 7),
        duplicate(11, 7),
        duplicate(11, 7),
    ];
    assert_eq!(outcomes(&commit), expected);
    let remembered: Vec<_> =
        commit.remembered.iter().map(|of| (of.from.as_str(), of.nonce.as_str(), of.seq)).collect();
    assert_eq!(remembered, [("carol", "a", 1), ("alice", "b", 6), ("u9", "d", 11)]);
    assert_eq!(commit.entries.len(), 1);
}

#[test]
fn a_message_has_as_many_different_reactions_as_the_rules_say() {
    let rules = ChangeRules { reactions_max: 2, ..ChangeRules::default() };
    let batch = [
        react("bob", "👀"),
        react("bob", "🎉"),
        react("carol", "🎉"),
        unreact("carol", "🎉"),
        unreact("bob", "🎉"),
        react("bob", "👀"),
        react("bob", "🎉"),
    ];
    let batch = batch.map(|draft| Draft { rules, ..draft });
    let outcomes = outcomes(&log().append(&batch, Checked::Hinted));
    let expected =
        [Outcome::TooMany, stored(11), duplicate(1, 2), stored(12), stored(13), stored(14), Outcome::TooMany];
    assert_eq!(outcomes, expected);
}

#[test]
fn the_first_users_of_a_reaction_are_refilled() {
    let one = changed(&[unreact("u2", "👍")]);
    assert_eq!(shown(&one), ["🎉1 carol", "👍7 u1,u3,u4,u5,u6"]);
    assert_eq!((one.state.updated, one.from.as_str(), one.text.is_none()), (11, "bob", true));
    assert_eq!(one.unreacted, [(Emoji::stored("👍"), name("u2"))]);
    let last = changed(&[unreact("carol", "👍")]);
    assert_eq!(shown(&last), ["🎉1 carol", "👍7 u1,u2,u3,u4,u5"]);
    let all = ["u1", "u2", "u3", "u4", "u5", "u6", "u7", "carol"];
    let mut batch: Vec<Draft> = all[..6].iter().map(|user| unreact(user, "👍")).collect();
    batch.push(react("u2", "👍"));
    assert_eq!(shown(&changed(&batch)), ["🎉1 carol", "👍3 u7,carol,u2"]);
    // The count falls to 0, and rises again: its place is the last.
    let mut batch: Vec<Draft> = vec![unreact("carol", "🎉"), react("bob", "🎉"), react("u1", "🎉")];
    let message = changed(&batch);
    assert_eq!(shown(&message), ["👍8 u1,u2,u3,u4,u5", "🎉2 bob,u1"]);
    batch.extend([unreact("bob", "🎉"), react("carol", "🎉")]);
    let message = changed(&batch);
    assert_eq!(shown(&message), ["👍8 u1,u2,u3,u4,u5", "🎉2 u1,carol"]);
    // What the log writes is net.
    assert_eq!(message.unreacted, [(Emoji::stored("🎉"), name("carol"))]);
    let new: Vec<_> = message.reacted.iter().map(|(_, user, stamp)| (user.as_str(), stamp.seq)).collect();
    assert_eq!(new, [("carol", 15), ("u1", 13)]);
}

#[test]
fn the_last_text_counts_and_a_deletion_takes_it() {
    let message = changed(&[edit("bob", ON, "a"), react("bob", "🎉"), edit("bob", ON, "b")]);
    let (text, mentions) = message.text.clone().unwrap();
    assert_eq!((text.as_str(), mentions, message.is_deleted), ("b", None, false));
    assert_eq!(message.state.edited, Some(Stamp { seq: 13, at_ms: 7 }));
    assert!(message.state.shows_edit(13) && !message.state.shows_edit(11));
    let message = changed(&[
        react("bob", "🎉"),
        edit("bob", ON, "a"),
        delete("alice", ON),
        unreact("bob", "🎉"),
        react("bob", "👀"),
        edit("bob", ON, "b"),
    ]);
    assert_eq!(message.text.clone().unwrap().0.as_str(), "");
    assert!(message.is_deleted && message.unreacted.is_empty() && message.reacted.is_empty());
    assert_eq!((message.state.updated, message.state.reactions.len()), (13, 0));
    assert!(!message.state.shows_edit(12));
    let state = message.state.shown().unwrap();
    assert!(state.deleted && state.edited_at_ms.is_none());
}

/// Nothing is delivered of what the same batch takes back.
#[test]
fn an_edit_that_its_batch_takes_back_has_no_text() {
    let mut mentioning = edit("bob", ON, "a");
    mentioning.body =
        Body::Edit { target: ON, text: Some(MessageText::stored("a")), mentions: mentions("alice") };
    let texts = |drafts: &[Draft]| -> Vec<String> {
        let commit = log().append(drafts, Checked::Hinted);
        let bare = |entry: &&Arc<Entry>| entry.body.text().is_empty();
        assert!(commit.entries.iter().filter(bare).all(|entry| entry.body.mentions().is_none()));
        commit.entries.iter().map(|entry| entry.body.text().to_owned()).collect()
    };
    let edits = [mentioning, edit("bob", ON, "b"), react("bob", "👀")];
    assert_eq!(texts(&edits[..1]), ["a"]);
    assert_eq!(texts(&edits), ["", "b", "👀"]);
    assert_eq!(texts(&[&edits[1..], &[delete("bob", ON)]].concat()), ["", "👀", ""]);
}

#[test]
fn a_batch_asks_for_the_messages_that_it_changes_or_answers() {
    let answer = |target| {
        let (text, mentions, files, state) = (MessageText::stored("x"), None, None, None);
        change("bob", Body::Message { text, mentions, reply_to: Some(target), files, state })
    };
    let drafts = [draft("kitchen", "bob"), answer(ON), answer(99), unreact("bob", "🎉"), unreact("u1", "🎉")];
    let questions = Questions::about(&drafts, Checked::Hinted);
    let targets: Vec<u64> = questions.targets.iter().map(|(_, seq)| *seq).collect();
    assert_eq!((targets, questions.reactions.len()), (vec![ON, 99], 2));
    assert_eq!(questions.reactors.len(), 1);
    assert_eq!(questions.reactors[0].limit, REACTION_USERS_SHOWN + 2);
    assert!(questions.rooms.is_empty() && questions.administrators.is_empty());
    let drafts = [delete("dave", ON)];
    let questions = Questions::about(&drafts, Checked::Hinted);
    assert_eq!((questions.rooms.len(), questions.administrators), (1, vec![&name("dave")]));
    let plain = [draft("kitchen", "bob")];
    let questions = Questions::about(&plain, Checked::Hinted);
    assert!(questions.targets.is_empty() && questions.reactors.is_empty());
    // The answer to a message that is not there is a plain message.
    let commit = log().append(&[answer(ON), answer(4), answer(99)], Checked::Hinted);
    let answers: Vec<Option<u64>> = commit
        .entries
        .iter()
        .map(|entry| match &entry.body {
            Body::Message { reply_to, .. } => *reply_to,
            _ => None,
        })
        .collect();
    assert_eq!(answers, [Some(ON), Some(4), None]);
}

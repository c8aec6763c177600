//! Changes of messages: edits, deletions, reactions; and answers.

use chat_core::{Access, ChangeRules, Draft, Emoji, Outcome, Topic};
use chat_store::{KEPT_AT_LEAST_MS, NONCES_KEPT_MS, Retention, TrimPosition};

use crate::common::{
    TestStore, WithNonce as _, archive, checked, close, create, delete, draft, duplicate, edit, mention,
    mentions, name, pair, private, react, remove, room, room_name, stored, unreact,
};

every_store! {
    an_edit_replaces_the_text_and_earlier_texts_are_gone,
    only_the_author_edits_and_not_for_ever,
    a_deletion_takes_all_but_the_message,
    only_the_author_a_moderator_or_an_administrator_deletes,
    reactions_are_in_the_order_in_which_their_counts_rose,
    the_first_users_of_a_reaction_are_shown_and_refilled,
    a_message_has_a_limited_number_of_different_reactions,
    what_is_so_already_stores_nothing_but_its_nonce,
    remembered_nonces_survive_a_restart,
    a_batch_changes_a_message_several_times,
    a_change_names_a_message_from_before_its_batch,
    what_a_batch_takes_back_is_not_delivered,
    an_answer_names_an_earlier_message_or_nothing,
    changes_are_judged_by_the_state_of_their_room,
    a_room_that_was_closed_meanwhile_takes_no_change_of_strangers,
    in_a_conversation_only_the_author_deletes,
    an_edit_replaces_the_mentions,
    administrators_mention_all_in_large_rooms,
    a_change_makes_nobody_a_member,
    retention_counts_messages_and_removes_their_changes,
    nonces_of_changes_outlive_them,
}

/// A store in which alice, bob and carol have accounts, and have written to the kitchen:
/// alice the messages 1 and 2, bob 3.
async fn with_messages(store: &TestStore) -> Topic {
    store.accounts("alice bob carol admin").await;
    store.users.set_administrator(&name("admin"), true, 1).await.unwrap();
    store.send("kitchen", "alice", 2, 1000).await;
    store.send("kitchen", "bob", 1, 1000).await;
    room("kitchen")
}

/// A message that answers another one.
fn reply(topic: &Topic, from: &str, target: u64, text: &str) -> Draft {
    crate::common::reply(draft(topic, from, text), target)
}

async fn one(store: &TestStore, draft: Draft, now_ms: u64) -> Outcome {
    store.append(&[draft], now_ms).await.remove(0)
}

async fn an_edit_replaces_the_text_and_earlier_texts_are_gone(store: TestStore) {
    let kitchen = with_messages(&store).await;
    assert_eq!(one(&store, edit(&kitchen, "alice", 1, "ho"), 2000).await, stored(4, 2000));
    assert_eq!(store.lines(&kitchen).await[3], "4 alice edits 1: ho");
    assert_eq!(one(&store, edit(&kitchen, "alice", 1, "ha"), 3000).await, stored(5, 3000));
    assert_eq!(
        store.lines(&kitchen).await,
        [
            "1 alice: ha edited@3000 updated 5",
            "2 alice: hi",
            "3 bob: hi",
            "4 alice edits 1",
            "5 alice edits 1: ha"
        ]
    );
    assert_eq!(
        store.shown(&kitchen).await,
        ["1 alice: ha edited@3000 updated 5", "2 alice: hi", "3 bob: hi"]
    );
    let store = if store.is_kept() { store.reopened().await } else { store };
    assert_eq!(store.shown(&kitchen).await[0], "1 alice: ha edited@3000 updated 5");
    assert_eq!(store.lines(&kitchen).await[3], "4 alice edits 1");
}

async fn only_the_author_edits_and_not_for_ever(store: TestStore) {
    let kitchen = with_messages(&store).await;
    for other in ["bob", "admin", "stranger"] {
        assert_eq!(one(&store, edit(&kitchen, other, 1, "x"), 2000).await, Outcome::Forbidden);
        assert_eq!(one(&store, checked(edit(&kitchen, other, 1, "x")), 2000).await, Outcome::Forbidden);
    }
    let rules = ChangeRules { edit_ms: Some(500), ..ChangeRules::default() };
    let limited = || Draft { rules, ..edit(&kitchen, "alice", 1, "x").nonce("n") };
    assert_eq!(one(&store, limited(), 1501).await, Outcome::Forbidden);
    assert_eq!(one(&store, limited(), 1500).await, stored(4, 1500));
    // A retry is no second edit.
    assert_eq!(one(&store, limited(), 9000).await, duplicate(&kitchen, 4, 1500));
    for missing in [0, 4, 5, 99, u64::MAX] {
        assert_eq!(one(&store, edit(&kitchen, "alice", missing, "x"), 2000).await, Outcome::NotFound);
    }
    assert_eq!(one(&store, edit(&room("cellar"), "alice", 1, "x"), 2000).await, Outcome::NotFound);
    one(&store, delete(&kitchen, "alice", 1), 2000).await;
    assert_eq!(one(&store, edit(&kitchen, "alice", 1, "x"), 2000).await, Outcome::NotFound);
    assert_eq!(store.shown(&kitchen).await[0], "1 alice:  deleted updated 5");
}

async fn a_deletion_takes_all_but_the_message(store: TestStore) {
    let kitchen = with_messages(&store).await;
    let text = mention(reply(&kitchen, "alice", 1, "@bob").nonce("n"), "bob");
    assert_eq!(one(&store, text, 2000).await, stored(4, 2000));
    store
        .append(
            &[
                edit(&kitchen, "alice", 4, "new"),
                react(&kitchen, "bob", 4, "👍"),
                react(&kitchen, "carol", 4, "👍"),
            ],
            3000,
        )
        .await;
    assert_eq!(one(&store, delete(&kitchen, "alice", 4), 4000).await, stored(8, 4000));
    assert_eq!(
        store.lines(&kitchen).await[3..],
        [
            "4 alice:  deleted updated 8",
            "5 alice edits 4",
            "6 bob reacts 👍 to 4",
            "7 carol reacts 👍 to 4",
            "8 alice deletes 4"
        ]
    );
    let page = store.all(&kitchen).await;
    assert!(page.entries[3].nonce.is_some() && page.entries[3].at_ms == 2000);
    assert_eq!(store.position("bob", &kitchen).await, "read 2 of 8, 0 unread");
    let emoji = Emoji::stored("👍");
    assert_eq!(store.log.reactors(&kitchen, 4, &emoji, 0, 9).await.unwrap(), []);
    assert_eq!(store.log.reactions(&kitchen, 4, &name("bob")).await.unwrap(), None);
    assert_eq!(one(&store, react(&kitchen, "bob", 4, "👍"), 5000).await, Outcome::NotFound);
    assert_eq!(one(&store, unreact(&kitchen, "bob", 4, "👍"), 5000).await, Outcome::NotFound);
    // The nonce of the deleted message is still known.
    let retry = draft(&kitchen, "alice", "again").nonce("n");
    assert_eq!(one(&store, retry, 5000).await, duplicate(&kitchen, 4, 2000));
}

async fn only_the_author_a_moderator_or_an_administrator_deletes(store: TestStore) {
    let kitchen = with_messages(&store).await;
    assert_eq!(one(&store, delete(&kitchen, "bob", 1), 2000).await, Outcome::Forbidden);
    assert_eq!(one(&store, delete(&kitchen, "stranger", 1), 2000).await, Outcome::Forbidden);
    assert_eq!(one(&store, delete(&kitchen, "admin", 1), 2000).await, stored(4, 2000));
    store.change(&create("attic", Access::Open, "carol", &["alice"])).await.unwrap();
    store.send("attic", "alice", 2, 2000).await;
    let attic = room("attic");
    assert_eq!(one(&store, delete(&attic, "carol", 1), 2000).await, stored(3, 2000));
    // Who might delete it learns that it is; others do not.
    assert_eq!(one(&store, delete(&attic, "alice", 1), 2500).await, duplicate(&attic, 3, 2000));
    assert_eq!(one(&store, delete(&attic, "bob", 1), 2500).await, Outcome::Forbidden);
    // An archived room takes deletions only.
    store.change(&archive("attic", "carol", true)).await.unwrap();
    assert_eq!(one(&store, react(&attic, "alice", 2, "👍"), 3000).await, Outcome::Forbidden);
    assert_eq!(one(&store, edit(&attic, "alice", 2, "x"), 3000).await, Outcome::Forbidden);
    assert_eq!(one(&store, delete(&attic, "bob", 2), 3000).await, Outcome::Forbidden);
    assert_eq!(one(&store, delete(&attic, "alice", 2), 3000).await, stored(4, 3000));
    // An administrator does not delete in a room that they may not read.
    store.change(&create("~cellar", Access::Closed, "carol", &["alice"])).await.unwrap();
    store.send("~cellar", "alice", 1, 3000).await;
    assert_eq!(one(&store, delete(&room("~cellar"), "admin", 1), 3000).await, Outcome::Forbidden);
}

async fn reactions_are_in_the_order_in_which_their_counts_rose(store: TestStore) {
    let kitchen = with_messages(&store).await;
    for (user, emoji) in [("bob", "👍"), ("carol", "🎉"), ("carol", "👍"), ("alice", "🎉"), ("admin", "❤️")]
    {
        one(&store, react(&kitchen, user, 1, emoji), 2000).await;
    }
    let first = "1 alice: hi 👍2 bob,carol 🎉2 carol,alice ❤️1 admin updated 8";
    assert_eq!(store.shown(&kitchen).await[0], first);
    assert_eq!(one(&store, unreact(&kitchen, "bob", 1, "👍"), 2000).await, stored(9, 2000));
    assert_eq!(one(&store, unreact(&kitchen, "bob", 1, "👍"), 2000).await, Outcome::NotFound);
    assert_eq!(one(&store, unreact(&kitchen, "bob", 1, "🎉"), 2000).await, Outcome::NotFound);
    let second = "1 alice: hi 👍1 carol 🎉2 carol,alice ❤️1 admin updated 9";
    assert_eq!(store.shown(&kitchen).await[0], second);
    one(&store, unreact(&kitchen, "carol", 1, "👍"), 2000).await;
    one(&store, react(&kitchen, "bob", 1, "👍"), 2000).await;
    let third = "1 alice: hi 🎉2 carol,alice ❤️1 admin 👍1 bob updated 11";
    assert_eq!(store.shown(&kitchen).await[0], third);
    let found = store.log.reactions(&kitchen, 1, &name("carol")).await.unwrap().unwrap();
    assert_eq!((found.reactions.len(), found.mine), (3, vec![Emoji::stored("🎉")]));
    // Messages with a state count once, changes not at all.
    assert_eq!(store.position("carol", &kitchen).await, "read 0 of 11, 3 unread");
}

async fn the_first_users_of_a_reaction_are_shown_and_refilled(store: TestStore) {
    let kitchen = with_messages(&store).await;
    for user in ["u1", "u2", "u3", "u4", "u5", "u6", "u7", "u8"] {
        one(&store, react(&kitchen, user, 2, "👍"), 2000).await;
    }
    let shown = async || store.shown(&kitchen).await.remove(1);
    assert_eq!(shown().await, "2 alice: hi 👍8 u1,u2,u3,u4,u5 updated 11");
    one(&store, unreact(&kitchen, "u2", 2, "👍"), 2000).await;
    assert_eq!(shown().await, "2 alice: hi 👍7 u1,u3,u4,u5,u6 updated 12");
    // One that is not shown, and several in one batch with a new one.
    one(&store, unreact(&kitchen, "u8", 2, "👍"), 2000).await;
    assert_eq!(shown().await, "2 alice: hi 👍6 u1,u3,u4,u5,u6 updated 13");
    let batch = [
        unreact(&kitchen, "u1", 2, "👍"),
        react(&kitchen, "u2", 2, "👍"),
        unreact(&kitchen, "u4", 2, "👍"),
        react(&kitchen, "u1", 2, "👍"),
        unreact(&kitchen, "u3", 2, "👍"),
    ];
    assert_eq!(store.append(&batch, 3000).await.last(), Some(&stored(18, 3000)));
    assert_eq!(shown().await, "2 alice: hi 👍5 u5,u6,u7,u2,u1 updated 18");
    let emoji = Emoji::stored("👍");
    let users = store.log.reactors(&kitchen, 2, &emoji, 9, 3).await.unwrap();
    assert_eq!(users, [(name("u7"), 10), (name("u2"), 15), (name("u1"), 17)]);
}

async fn a_message_has_a_limited_number_of_different_reactions(store: TestStore) {
    let kitchen = with_messages(&store).await;
    let rules = ChangeRules { reactions_max: 3, ..ChangeRules::default() };
    let react = |user, emoji| Draft { rules, ..react(&kitchen, user, 1, emoji) };
    let batch = ["🍎", "🍏", "🍐", "🍊", "🍎"].map(|emoji| react("bob", emoji));
    let outcomes = store.append(&batch, 2000).await;
    assert_eq!(
        outcomes,
        [stored(4, 2000), stored(5, 2000), stored(6, 2000), Outcome::TooMany, duplicate(&kitchen, 4, 2000)]
    );
    assert_eq!(one(&store, react("carol", "🍊").nonce("n"), 3000).await, Outcome::TooMany);
    assert_eq!(one(&store, react("carol", "🍎"), 3000).await, stored(7, 3000));
    assert_eq!(one(&store, react("bob", "🍏"), 3000).await, duplicate(&kitchen, 5, 2000));
    // A refused change left its nonce unused; there is room for another emoji.
    let batch = [unreact(&kitchen, "bob", 1, "🍐"), react("carol", "🍊").nonce("n"), react("bob", "🍋")];
    assert_eq!(store.append(&batch, 4000).await, [stored(8, 4000), stored(9, 4000), Outcome::TooMany]);
}

async fn what_is_so_already_stores_nothing_but_its_nonce(store: TestStore) {
    let kitchen = with_messages(&store).await;
    one(&store, react(&kitchen, "bob", 1, "👍").nonce("a"), 2000).await;
    let again = duplicate(&kitchen, 4, 2000);
    // The same nonce, another one, none; alone and in a batch of nothing else.
    assert_eq!(one(&store, react(&kitchen, "bob", 1, "👍").nonce("a"), 3000).await, again);
    assert_eq!(one(&store, react(&kitchen, "bob", 1, "👍").nonce("b"), 3000).await, again);
    assert_eq!(one(&store, react(&kitchen, "bob", 1, "👍"), 3000).await, again);
    assert_eq!(store.all(&kitchen).await.last, 4);
    // Whatever is sent with these nonces later gets the first result.
    assert_eq!(one(&store, unreact(&kitchen, "bob", 1, "👍").nonce("u"), 3000).await, stored(5, 3000));
    for nonce in ["a", "b"] {
        assert_eq!(one(&store, react(&kitchen, "bob", 1, "👍").nonce(nonce), 4000).await, again);
        assert_eq!(one(&store, draft(&room("attic"), "bob", "x").nonce(nonce), 4000).await, again);
    }
    assert_eq!(one(&store, react(&kitchen, "bob", 1, "👍").nonce("c"), 4000).await, stored(6, 4000));
    // In one batch: the first one makes it so, with messages around.
    let batch = [
        draft(&kitchen, "carol", "x"),
        delete(&kitchen, "alice", 2).nonce("d"),
        delete(&kitchen, "alice", 2).nonce("e"),
        delete(&kitchen, "alice", 2).nonce("e"),
        delete(&kitchen, "admin", 2).nonce("e"),
        draft(&kitchen, "carol", "y"),
    ];
    let gone = duplicate(&kitchen, 8, 5000);
    let outcomes = store.append(&batch, 5000).await;
    assert_eq!(
        outcomes,
        [stored(7, 5000), stored(8, 5000), gone.clone(), gone.clone(), gone.clone(), stored(9, 5000)]
    );
    for (user, nonce) in [("alice", "e"), ("admin", "e"), ("alice", "d")] {
        assert_eq!(one(&store, draft(&kitchen, user, "x").nonce(nonce), 6000).await, gone);
    }
}

async fn remembered_nonces_survive_a_restart(store: TestStore) {
    let kitchen = with_messages(&store).await;
    one(&store, react(&kitchen, "bob", 1, "👍").nonce("a"), 2000).await;
    one(&store, react(&kitchen, "bob", 1, "👍").nonce("b"), 3000).await;
    one(&store, unreact(&kitchen, "bob", 1, "👍"), 3000).await;
    let store = if store.is_kept() { store.reopened().await } else { store };
    let again = duplicate(&kitchen, 4, 2000);
    assert_eq!(one(&store, react(&kitchen, "bob", 1, "👍").nonce("b"), 4000).await, again);
    assert_eq!(store.shown(&kitchen).await[0], "1 alice: hi updated 5");
    assert_eq!(one(&store, react(&kitchen, "bob", 1, "👍"), 4000).await, stored(6, 4000));
    assert_eq!(store.shown(&kitchen).await[0], "1 alice: hi 👍1 bob updated 6");
}

async fn a_batch_changes_a_message_several_times(store: TestStore) {
    let kitchen = with_messages(&store).await;
    let batch = [
        edit(&kitchen, "alice", 1, "a").nonce("a"),
        react(&kitchen, "bob", 1, "👍"),
        edit(&kitchen, "alice", 2, "z"),
        edit(&kitchen, "alice", 1, "b").nonce("b"),
        edit(&kitchen, "alice", 1, "c").nonce("a"),
        unreact(&kitchen, "bob", 1, "👍"),
        unreact(&kitchen, "bob", 1, "👍"),
        react(&kitchen, "carol", 1, "🎉"),
        delete(&kitchen, "bob", 3),
        react(&kitchen, "carol", 3, "🎉"),
        edit(&kitchen, "bob", 3, "d"),
    ];
    let outcomes = store.append(&batch, 2000).await;
    assert_eq!(
        outcomes,
        [
            stored(4, 2000),
            stored(5, 2000),
            stored(6, 2000),
            stored(7, 2000),
            duplicate(&kitchen, 4, 2000),
            stored(8, 2000),
            Outcome::NotFound,
            stored(9, 2000),
            stored(10, 2000),
            Outcome::NotFound,
            Outcome::NotFound,
        ]
    );
    assert_eq!(
        store.lines(&kitchen).await,
        [
            "1 alice: b edited@2000 🎉1 carol updated 9",
            "2 alice: z edited@2000 updated 6",
            "3 bob:  deleted updated 10",
            "4 alice edits 1",
            "5 bob reacts 👍 to 1",
            "6 alice edits 2: z",
            "7 alice edits 1: b",
            "8 bob unreacts 👍 to 1",
            "9 carol reacts 🎉 to 1",
            "10 bob deletes 3",
        ]
    );
}

async fn a_change_names_a_message_from_before_its_batch(store: TestStore) {
    let kitchen = with_messages(&store).await;
    let batch = [draft(&kitchen, "alice", "x"), edit(&kitchen, "alice", 4, "y").nonce("n")];
    assert_eq!(store.append(&batch, 2000).await, [stored(4, 2000), Outcome::NotFound]);
    assert_eq!(one(&store, edit(&kitchen, "alice", 4, "y").nonce("n"), 2000).await, stored(5, 2000));
    // A change is no message.
    assert_eq!(one(&store, delete(&kitchen, "alice", 5), 2000).await, Outcome::NotFound);
    assert_eq!(one(&store, react(&kitchen, "alice", 5, "👍"), 2000).await, Outcome::NotFound);
}

async fn what_a_batch_takes_back_is_not_delivered(store: TestStore) {
    let kitchen = with_messages(&store).await;
    let batch = [
        edit(&kitchen, "alice", 1, "a"),
        edit(&kitchen, "alice", 2, "b"),
        edit(&kitchen, "alice", 1, "c"),
        edit(&kitchen, "bob", 3, "d"),
        delete(&kitchen, "alice", 2),
    ];
    let commit = store.log.append(&batch, 2000).await.unwrap();
    let committed: Vec<String> = commit.entries.iter().map(|entry| crate::common::line(entry)).collect();
    assert_eq!(committed[..3], ["4 alice edits 1", "5 alice edits 2", "6 alice edits 1: c"]);
    assert_eq!(committed, store.lines(&kitchen).await[3..]);
}

async fn an_answer_names_an_earlier_message_or_nothing(store: TestStore) {
    let kitchen = with_messages(&store).await;
    one(&store, delete(&kitchen, "alice", 2), 2000).await;
    let batch = [
        reply(&kitchen, "bob", 1, "a"),
        reply(&kitchen, "bob", 2, "to a deleted one"),
        reply(&kitchen, "bob", 4, "to a change"),
        reply(&kitchen, "bob", 5, "to one of its batch"),
        reply(&kitchen, "bob", 99, "to none"),
        reply(&room("attic"), "bob", 1, "to none in a new room"),
    ];
    let commit = store.log.append(&batch, 3000).await.unwrap();
    assert!(commit.receipts.iter().all(|receipt| matches!(receipt.outcome, Outcome::Stored { .. })));
    let expected = [
        "5 bob: a re 1",
        "6 bob: to a deleted one re 2",
        "7 bob: to a change",
        "8 bob: to one of its batch",
        "9 bob: to none",
    ];
    let committed: Vec<String> = commit.entries.iter().map(|entry| crate::common::line(entry)).collect();
    assert_eq!(committed[..5], expected);
    assert_eq!(store.lines(&kitchen).await[4..], expected);
    assert_eq!(store.lines(&room("attic")).await, ["1 bob: to none in a new room"]);
    // An edit keeps it.
    one(&store, edit(&kitchen, "bob", 5, "b"), 4000).await;
    assert_eq!(store.shown(&kitchen).await[3], "5 bob: b re 1 edited@4000 updated 10");
}

async fn changes_are_judged_by_the_state_of_their_room(store: TestStore) {
    with_messages(&store).await;
    store.change(&create("~cellar", Access::Closed, "alice", &["bob"])).await.unwrap();
    store.send("~cellar", "bob", 2, 1000).await;
    let cellar = room("~cellar");
    for check in [false, true] {
        for stranger in ["carol", "admin", "stranger"] {
            for change in [
                react(&cellar, stranger, 1, "👍"),
                unreact(&cellar, stranger, 1, "👍"),
                edit(&cellar, stranger, 1, "x"),
                delete(&cellar, stranger, 1),
                react(&cellar, stranger, 99, "👍"),
            ] {
                let change = Draft { check, ..change };
                assert_eq!(one(&store, change.clone(), 2000).await, Outcome::Forbidden, "{change:?}");
            }
        }
        assert_eq!(one(&store, react(&room("~none"), "alice", 1, "👍"), 2000).await, Outcome::NotFound);
        let missing = checked(react(&room("~none"), "alice", 1, "👍"));
        assert_eq!(one(&store, missing, 2000).await, Outcome::Forbidden);
    }
    assert_eq!(one(&store, react(&cellar, "alice", 1, "👍"), 2000).await, stored(3, 2000));
    store.change(&remove("~cellar", "alice", "bob")).await.unwrap();
    // Who is no member any more does not even learn that the reaction is there.
    assert_eq!(one(&store, edit(&cellar, "bob", 1, "x"), 2000).await, Outcome::Forbidden);
    assert_eq!(one(&store, delete(&cellar, "bob", 1), 2000).await, Outcome::Forbidden);
    assert_eq!(one(&store, delete(&cellar, "alice", 1), 2000).await, stored(4, 2000));
}

/// A hub that does not know it yet sends drafts without a check.
async fn a_room_that_was_closed_meanwhile_takes_no_change_of_strangers(store: TestStore) {
    let kitchen = with_messages(&store).await;
    store.change(&create("attic", Access::Open, "alice", &[])).await.unwrap();
    store.send("attic", "alice", 1, 1000).await;
    let attic = room("attic");
    assert_eq!(one(&store, react(&attic, "carol", 1, "👍"), 2000).await, stored(2, 2000));
    store.change(&close("attic", "alice")).await.unwrap();
    let batch = [
        draft(&kitchen, "bob", "x"),
        react(&attic, "carol", 1, "👍").nonce("n"),
        unreact(&attic, "carol", 1, "👍"),
        react(&attic, "alice", 1, "👍"),
    ];
    let outcomes = store.append(&batch, 3000).await;
    assert_eq!(outcomes, [stored(4, 3000), Outcome::Forbidden, Outcome::Forbidden, stored(3, 3000)]);
    // Also where nothing is stored.
    assert_eq!(one(&store, react(&attic, "carol", 1, "👍"), 3000).await, Outcome::Forbidden);
    assert_eq!(one(&store, react(&attic, "carol", 7, "👍"), 3000).await, Outcome::Forbidden);
    assert_eq!(store.shown(&attic).await, ["1 alice: hi 👍2 carol,alice updated 3"]);
}

async fn in_a_conversation_only_the_author_deletes(store: TestStore) {
    store.accounts("alice bob admin").await;
    store.users.set_administrator(&name("admin"), true, 1).await.unwrap();
    let talk = pair("alice", "bob");
    store.append(&[private("alice", "bob", "hi"), private("bob", "alice", "ho")], 1000).await;
    assert_eq!(one(&store, delete(&talk, "bob", 1), 2000).await, Outcome::Forbidden);
    assert_eq!(one(&store, react(&talk, "bob", 1, "👍"), 2000).await, stored(3, 2000));
    assert_eq!(one(&store, edit(&talk, "alice", 1, "hey").nonce("n"), 2000).await, stored(4, 2000));
    let reply = reply(&talk, "bob", 1, "yes");
    assert_eq!(one(&store, reply, 2000).await, stored(5, 2000));
    // In one batch with other conversations, one of which is new.
    let batch = [
        react(&pair("admin", "alice"), "alice", 1, "👍"),
        delete(&talk, "alice", 1),
        private("alice", "admin", "new"),
    ];
    assert_eq!(store.append(&batch, 3000).await, [Outcome::NotFound, stored(6, 3000), stored(1, 3000)]);
    assert_eq!(store.shown(&talk).await, ["1 alice:  deleted updated 6", "2 bob: ho", "5 bob: yes re 1"]);
    // A conversation that is only asked about is not begun.
    assert_eq!(one(&store, react(&pair("admin", "bob"), "bob", 1, "👍"), 3000).await, Outcome::NotFound);
    assert_eq!(store.log.conversations(&name("bob"), 9).await.unwrap().latest.len(), 1);
    store.users.remove_user(&name("bob")).await.unwrap();
    assert_eq!(one(&store, react(&talk, "alice", 2, "👍"), 4000).await, Outcome::NotFound);
    assert_eq!(one(&store, edit(&talk, "alice", 1, "x"), 4000).await, Outcome::NotFound);
}

async fn an_edit_replaces_the_mentions(store: TestStore) {
    let kitchen = with_messages(&store).await;
    store.send("kitchen", "carol", 1, 1000).await;
    let first = mention(draft(&kitchen, "alice", "@bob"), "bob alice");
    assert_eq!(one(&store, first, 2000).await, stored(5, 2000));
    let edit = |text: &str, names: &str| {
        let mut draft = edit(&kitchen, "alice", 5, text);
        if let chat_core::Body::Edit { mentions: all, .. } = &mut draft.body {
            *all = Some(Box::new(mentions(names)));
        }
        draft
    };
    assert_eq!(store.position("bob", &kitchen).await, "read 2 of 5, 2 unread, 1 mention");
    let commit = store.log.append(&[edit("@carol @stranger", "carol stranger admin")], 2000).await.unwrap();
    assert_eq!(commit.receipts[0].not_members, [name("admin")]);
    assert_eq!(store.lines(&kitchen).await[5], "6 alice edits 5: @carol @stranger @carol,admin");
    assert_eq!(store.position("bob", &kitchen).await, "read 2 of 6, 2 unread");
    assert_eq!(store.position("carol", &kitchen).await, "read 3 of 6, 1 unread, 1 mention");
    one(&store, edit("@all", "all"), 2000).await;
    assert_eq!(store.position("bob", &kitchen).await, "read 2 of 7, 2 unread, 1 mention");
    one(&store, delete(&kitchen, "alice", 5), 2000).await;
    assert_eq!(store.position("bob", &kitchen).await, "read 2 of 8, 1 unread");
    assert_eq!(store.position("carol", &kitchen).await, "read 3 of 8, 0 unread");
}

async fn administrators_mention_all_in_large_rooms(store: TestStore) {
    let kitchen = with_messages(&store).await;
    let crowd: Vec<Draft> =
        (0..110).map(|number| checked(draft(&kitchen, &format!("user{number}"), "x"))).collect();
    store.append(&crowd, 1000).await;
    let all = |from: &str| mention(draft(&kitchen, from, "@all"), "all");
    assert_eq!(one(&store, all("alice"), 2000).await, Outcome::Forbidden);
    assert!(matches!(one(&store, all("admin"), 2000).await, Outcome::Stored { .. }));
    store.users.create_user(&crate::common::newcomer("boss")).await.unwrap();
    store.users.set_administrator(&name("boss"), true, 1).await.unwrap();
    store.users.set_administrator(&name("admin"), false, 1).await.unwrap();
    assert_eq!(one(&store, all("admin"), 2000).await, Outcome::Forbidden);
    // Also by an edit.
    let mut change = edit(&kitchen, "alice", 1, "@all");
    if let chat_core::Body::Edit { mentions: wanted, .. } = &mut change.body {
        *wanted = Some(Box::new(mentions("all")));
    }
    assert_eq!(one(&store, change, 2000).await, Outcome::Forbidden);
}

async fn a_change_makes_nobody_a_member(store: TestStore) {
    let kitchen = with_messages(&store).await;
    for check in [false, true] {
        let commit = store.log.append(&[Draft { check, ..react(&kitchen, "carol", 1, "👍") }], 2000).await;
        assert_eq!(commit.unwrap().changes, []);
    }
    assert_eq!(store.members("kitchen").await, ["alice member", "bob member"]);
    assert!(store.rooms.find_room(&room_name("attic")).await.unwrap().is_none());
    assert_eq!(one(&store, checked(react(&room("attic"), "bob", 1, "👍")), 2000).await, Outcome::NotFound);
    assert!(store.rooms.find_room(&room_name("attic")).await.unwrap().is_none());
    assert_eq!(store.all(&room("attic")).await.last, 0);
}

/// Trims the whole log; returns the numbers of removed entries and nonces.
async fn trim(store: &TestStore, entries: u64, now_ms: u64, max: usize) -> (u64, u64) {
    let retention = Retention { entries: Some(entries), age_ms: None };
    let (mut removed, mut from) = ((0, 0), Some(TrimPosition::default()));
    while let Some(position) = from {
        let part = store.log.trim(&retention, position, now_ms, max).await.unwrap();
        removed = (removed.0 + part.entries, removed.1 + part.nonces);
        from = part.next;
    }
    removed
}

const OLD_MS: u64 = KEPT_AT_LEAST_MS + 10_000;

async fn retention_counts_messages_and_removes_their_changes(store: TestStore) {
    let kitchen = with_messages(&store).await;
    // 4 to 9 are changes, 10 and 11 messages, 12 and 13 changes.
    store
        .append(
            &[
                edit(&kitchen, "alice", 1, "a"),
                react(&kitchen, "bob", 1, "👍"),
                react(&kitchen, "bob", 3, "👍"),
                edit(&kitchen, "bob", 3, "b"),
                react(&kitchen, "carol", 3, "👍"),
                unreact(&kitchen, "carol", 3, "👍"),
            ],
            2000,
        )
        .await;
    store.send("kitchen", "bob", 2, 2000).await;
    store.append(&[edit(&kitchen, "alice", 1, "c"), edit(&kitchen, "bob", 3, "d")], 2000).await;
    assert_eq!(trim(&store, 5, OLD_MS, 9).await.0, 0);
    assert_eq!(trim(&store, 4, OLD_MS, 9).await.0, 1);
    assert_eq!(
        store.lines(&kitchen).await,
        [
            "2 alice: hi",
            "3 bob: d edited@2000 👍1 bob updated 13",
            "4 alice edits 1",
            "5 bob reacts 👍 to 1",
            "6 bob reacts 👍 to 3",
            "7 bob edits 3",
            "8 carol reacts 👍 to 3",
            "9 carol unreacts 👍 to 3",
            "10 bob: hi",
            "11 bob: hi",
            "12 alice edits 1",
            "13 bob edits 3: d",
        ]
    );
    assert_eq!(one(&store, react(&kitchen, "carol", 1, "👍"), 2000).await, Outcome::NotFound);
    // The changes before the oldest message that is kept go with those before.
    assert_eq!(trim(&store, 2, OLD_MS, 3).await.0, 8);
    assert_eq!(store.shown(&kitchen).await, ["10 bob: hi", "11 bob: hi"]);
    assert_eq!(store.lines(&kitchen).await[2..], ["12 alice edits 1", "13 bob edits 3"]);
    assert_eq!(store.all(&kitchen).await.first, 10);
    // A topic in which the newest entries are changes.
    for number in 0..30 {
        one(&store, react(&kitchen, &format!("u{number}"), 11, "👍"), 2000).await;
    }
    assert_eq!(trim(&store, 2, OLD_MS, 9).await.0, 0);
    assert_eq!(trim(&store, 1, OLD_MS, 9).await.0, 1);
    assert_eq!(store.all(&kitchen).await.first, 11);
    assert_eq!(store.shown(&kitchen).await, ["11 bob: hi 👍30 u0,u1,u2,u3,u4 updated 43"]);
    assert_eq!(trim(&store, 0, OLD_MS, 9).await.0, 33);
    assert_eq!(store.lines(&kitchen).await, [""; 0]);
    let emoji = Emoji::stored("👍");
    assert_eq!(store.log.reactors(&kitchen, 11, &emoji, 0, 9).await.unwrap(), []);
    assert_eq!(one(&store, draft(&kitchen, "bob", "on"), OLD_MS).await, stored(44, OLD_MS));
}

async fn nonces_of_changes_outlive_them(store: TestStore) {
    let kitchen = with_messages(&store).await;
    one(&store, react(&kitchen, "bob", 1, "👍").nonce("a"), 2000).await;
    one(&store, react(&kitchen, "bob", 1, "👍").nonce("b"), 2000).await;
    one(&store, delete(&kitchen, "bob", 3).nonce("c"), 3000).await;
    one(&store, delete(&kitchen, "bob", 3).nonce("d"), 5000).await;
    assert_eq!(trim(&store, 0, OLD_MS, 9).await.0, 5);
    if !store.is_kept() {
        // A memory store forgets a nonce with its entry.
        assert_eq!(one(&store, draft(&kitchen, "bob", "x").nonce("b"), OLD_MS).await, stored(6, OLD_MS));
        assert_eq!(one(&store, draft(&kitchen, "bob", "x").nonce("d"), OLD_MS).await, stored(7, OLD_MS));
        return;
    }
    let (first, second) = (duplicate(&kitchen, 4, 2000), duplicate(&kitchen, 5, 3000));
    for (nonce, result) in [("a", &first), ("b", &first), ("c", &second), ("d", &second)] {
        assert_eq!(one(&store, draft(&kitchen, "bob", "x").nonce(nonce), OLD_MS).await, *result);
    }
    assert_eq!(trim(&store, 0, 2001 + NONCES_KEPT_MS, 9).await, (0, 2));
    assert_eq!(one(&store, draft(&kitchen, "bob", "x").nonce("b"), OLD_MS).await, stored(6, OLD_MS));
    assert_eq!(one(&store, draft(&kitchen, "bob", "x").nonce("d"), OLD_MS).await, second);
    assert_eq!(trim(&store, 9, 3001 + NONCES_KEPT_MS, 9).await, (0, 1));
    // It was remembered later than its entry was stored.
    assert_eq!(one(&store, draft(&kitchen, "bob", "x").nonce("d"), OLD_MS).await, second);
    assert_eq!(trim(&store, 9, 5001 + NONCES_KEPT_MS, 9).await, (0, 1));
    // Entries that are older than seven days take their nonces with them.
    one(&store, react(&kitchen, "bob", 6, "👍").nonce("e"), OLD_MS).await;
    one(&store, react(&kitchen, "bob", 6, "👍").nonce("f"), OLD_MS).await;
    assert_eq!(trim(&store, 0, OLD_MS + 1 + NONCES_KEPT_MS, 9).await, (2, 3));
}

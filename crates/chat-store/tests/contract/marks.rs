//! What users have read, and what they are notified of.

use chat_core::{Access, Level, Topic};

use crate::common::{
    TestStore, archive, create, draft, leave, mark, name, pair, position, private, put, react, room, unreact,
};

every_store! {
    a_mark_never_goes_back_and_is_clamped,
    a_mark_in_a_room_needs_a_membership,
    a_level_and_a_mark_are_kept_apart,
    a_batch_of_marks_may_repeat_a_place,
    a_user_may_have_read_more_than_is_kept,
    unread_messages_are_counted_up_to_99,
    changes_hide_no_unread_messages,
    own_messages_do_not_count,
    a_pair_starts_unread,
    marks_of_other_users_and_topics_are_apart,
    marks_survive_a_restart,
}

async fn a_mark_never_goes_back_and_is_clamped(store: TestStore) {
    let kitchen = room("kitchen");
    store.account("bob").await;
    store.send("kitchen", "alice", 1, 1).await;
    store.change(&put("kitchen", "bob", "bob", None)).await.unwrap();
    store.send("kitchen", "alice", 9, 1).await;
    assert_eq!(store.position("bob", &kitchen).await, "read 1 of 10, 9 unread");
    for (read, expected) in [
        (4, "read 4 of 10, 6 unread"),
        (3, "read 4 of 10, 6 unread"),
        (0, "read 4 of 10, 6 unread"),
        (4, "read 4 of 10, 6 unread"),
        (9, "read 9 of 10, 1 unread"),
        (11, "read 10 of 10, 0 unread"),
        (u64::MAX, "read 10 of 10, 0 unread"),
    ] {
        store.keep("bob", &kitchen, Some(read), None).await;
        assert_eq!(store.position("bob", &kitchen).await, expected, "after {read}");
    }
    // What was clamped does not mark later messages.
    store.send("kitchen", "alice", 2, 1).await;
    assert_eq!(store.position("bob", &kitchen).await, "read 10 of 12, 2 unread");
    store.log.keep(&[]).await.unwrap();
}

async fn a_mark_in_a_room_needs_a_membership(store: TestStore) {
    store.accounts("alice bob carol").await;
    let kitchen = room("kitchen");
    store.send("kitchen", "alice", 5, 1).await;
    // bob is no member yet.
    store.keep("bob", &kitchen, Some(3), Some(Level::None)).await;
    assert_eq!(store.position("bob", &kitchen).await, "read 0 of 5, 5 unread");
    store.change(&put("kitchen", "bob", "bob", None)).await.unwrap();
    let of_bob = store.log.memberships(&name("bob"), 1, 1).await.unwrap();
    assert_eq!((of_bob.rooms[0].read, of_bob.rooms[0].level), (5, Level::Mentions));
    // A mark that is kept after the user has left changes nothing, now or later.
    store.send("kitchen", "alice", 2, 1).await;
    store.change(&leave("kitchen", "bob")).await.unwrap();
    store.keep("bob", &kitchen, Some(7), Some(Level::All)).await;
    assert_eq!(store.position("bob", &kitchen).await, "read 0 of 7, 7 unread");
    // Neither does one in a room or a conversation that does not exist.
    let marks = [
        mark("bob", &room("nothing"), Some(3), Some(Level::All)),
        mark("carol", &kitchen, Some(3), None),
        mark("alice", &kitchen, Some(3), None),
    ];
    store.log.keep(&marks).await.unwrap();
    assert_eq!(store.position("bob", &room("nothing")).await, "read 0 of 0, 0 unread");
    assert_eq!(store.position("alice", &kitchen).await, "read 3 of 7, 0 unread");
    // An archived room is read like any other.
    store.change(&archive("kitchen", "admin", true)).await.unwrap();
    store.keep("alice", &kitchen, Some(6), None).await;
    assert_eq!(store.position("alice", &kitchen).await, "read 6 of 7, 0 unread");
}

async fn a_level_and_a_mark_are_kept_apart(store: TestStore) {
    store.accounts("alice bob").await;
    let (kitchen, talk) = (room("kitchen"), pair("alice", "bob"));
    store.change(&create("kitchen", Access::Open, "alice", &["bob"])).await.unwrap();
    store.send("kitchen", "alice", 5, 1).await;
    store.append(&vec![private("alice", "bob", "hi"); 5], 1).await;
    let kept = async || {
        let rooms = store.log.memberships(&name("bob"), 9, 9).await.unwrap().rooms;
        let pairs = store.log.conversations(&name("bob"), 9).await.unwrap().latest;
        [(rooms[0].read, rooms[0].level), (pairs[0].read, pairs[0].level)]
    };
    assert_eq!(kept().await, [(0, Level::Mentions), (0, Level::All)]);
    for (read, level, expected) in [
        (Some(2), None, [(2, Level::Mentions), (2, Level::All)]),
        (None, Some(Level::None), [(2, Level::None), (2, Level::None)]),
        (Some(1), None, [(2, Level::None), (2, Level::None)]),
        (Some(3), Some(Level::All), [(3, Level::All), (3, Level::All)]),
        (None, None, [(3, Level::All), (3, Level::All)]),
        (Some(1), Some(Level::Mentions), [(3, Level::Mentions), (3, Level::Mentions)]),
    ] {
        for topic in [&kitchen, &talk] {
            store.keep("bob", topic, read, level).await;
        }
        assert_eq!(kept().await, expected, "after {read:?} {level:?}");
    }
    // A level may come before the first position, and before the first message of a pair.
    store.keep("alice", &kitchen, None, Some(Level::None)).await;
    assert_eq!(store.position("alice", &kitchen).await, "read 0 of 5, 0 unread");
    store.account("carol").await;
    store.keep("carol", &pair("carol", "bob"), Some(8), Some(Level::None)).await;
    store.append(&[private("bob", "carol", "hi")], 2).await;
    let pairs = store.log.conversations(&name("carol"), 9).await.unwrap().latest;
    assert_eq!((pairs[0].read, pairs[0].level, pairs[0].unread), (0, Level::None, Some(1)));
}

async fn a_batch_of_marks_may_repeat_a_place(store: TestStore) {
    store.accounts("alice bob").await;
    let kitchen = room("kitchen");
    store.change(&create("kitchen", Access::Open, "alice", &["bob"])).await.unwrap();
    store.send("kitchen", "alice", 9, 1).await;
    let marks = [
        mark("bob", &kitchen, Some(3), Some(Level::All)),
        mark("alice", &kitchen, Some(1), None),
        mark("bob", &kitchen, Some(7), None),
        mark("carol", &kitchen, Some(5), None),
        mark("bob", &kitchen, Some(5), Some(Level::None)),
        mark("bob", &kitchen, None, None),
    ];
    store.log.keep(&marks).await.unwrap();
    let bob = &store.log.memberships(&name("bob"), 1, 1).await.unwrap().rooms[0];
    assert_eq!((bob.read, bob.level), (7, Level::None));
    assert_eq!(store.position("alice", &kitchen).await, "read 1 of 9, 0 unread");
}

async fn a_user_may_have_read_more_than_is_kept(store: TestStore) {
    store.accounts("alice bob").await;
    let kitchen = room("kitchen");
    store.change(&create("kitchen", Access::Open, "alice", &["bob"])).await.unwrap();
    store.send("kitchen", "alice", 9, 1).await;
    store.keep("bob", &kitchen, Some(4), None).await;
    let counts =
        async |user: &str, read| position(store.log.counts(&name(user), &kitchen, read).await.unwrap());
    assert_eq!(counts("bob", 3).await, "read 4 of 9, 5 unread");
    assert_eq!(counts("bob", 7).await, "read 7 of 9, 2 unread");
    assert_eq!(counts("bob", 10).await, "read 9 of 9, 0 unread");
    assert_eq!(counts("bob", u64::MAX).await, "read 9 of 9, 0 unread");
    // It is asked, not kept.
    assert_eq!(counts("bob", 0).await, "read 4 of 9, 5 unread");
    // Of who is no member, and of a room without messages.
    assert_eq!(counts("carol", 7).await, "read 7 of 9, 2 unread");
    let nothing = store.log.counts(&name("bob"), &room("nothing"), 7).await.unwrap();
    assert_eq!(position(nothing), "read 0 of 0, 0 unread");
}

async fn unread_messages_are_counted_up_to_99(store: TestStore) {
    store.accounts("alice bob").await;
    store.change(&create("kitchen", Access::Open, "alice", &["bob"])).await.unwrap();
    let (kitchen, talk) = (room("kitchen"), pair("alice", "bob"));
    for (sent, expected) in [(98, 98), (1, 99), (1, 100), (1, 100), (300, 100)] {
        store.send("kitchen", "alice", sent, 1).await;
        store.append(&vec![private("alice", "bob", "hi"); sent], 1).await;
        for topic in [&kitchen, &talk] {
            let state = store.log.counts(&name("bob"), topic, 0).await.unwrap();
            assert_eq!(state.counts.unread, expected, "{topic:?} {state:?}");
        }
        let rooms = store.log.memberships(&name("bob"), 1, 1).await.unwrap().rooms;
        assert_eq!(rooms[0].counts.unwrap().unread, expected);
        let pairs = store.log.conversations(&name("bob"), 1).await.unwrap().latest;
        assert_eq!(pairs[0].unread, Some(expected));
    }
    // The newest 99 are counted exactly again.
    for (read, expected) in [(301, 100), (302, 99), (303, 98)] {
        store.keep("bob", &kitchen, Some(read), None).await;
        let state = store.log.counts(&name("bob"), &kitchen, 0).await.unwrap();
        assert_eq!(state.counts.unread, expected);
    }
}

async fn changes_hide_no_unread_messages(store: TestStore) {
    store.accounts("alice bob").await;
    let kitchen = room("kitchen");
    store.change(&create("kitchen", Access::Open, "alice", &["bob"])).await.unwrap();
    store.send("kitchen", "alice", 3, 1).await;
    let changes = [react(&kitchen, "carol", 2, "👍"), unreact(&kitchen, "carol", 2, "👍")];
    for _ in 0..11 {
        store.append(&vec![changes.clone(); 500].concat(), 1).await;
    }
    assert_eq!(store.position("bob", &kitchen).await, "read 0 of 11003, 3 unread");
    let rooms = store.log.memberships(&name("bob"), 1, 1).await.unwrap().rooms;
    assert_eq!(rooms[0].counts.unwrap().unread, 3);
}

async fn own_messages_do_not_count(store: TestStore) {
    store.accounts("alice bob").await;
    let kitchen = room("kitchen");
    store.change(&create("kitchen", Access::Open, "alice", &["bob", "alice"])).await.unwrap();
    // 99 messages of others, far apart between own ones.
    for _ in 0..33 {
        store.send("kitchen", "bob", 7, 1).await;
        store.send("kitchen", "alice", 3, 1).await;
        store.send("kitchen", "bob", 1, 1).await;
    }
    assert_eq!(store.position("bob", &kitchen).await, "read 0 of 363, 99 unread");
    assert_eq!(store.position("alice", &kitchen).await, "read 0 of 363, 100 unread");
    assert_eq!(store.position("carol", &kitchen).await, "read 0 of 363, 100 unread");
    store.keep("bob", &kitchen, Some(352), None).await;
    assert_eq!(store.position("bob", &kitchen).await, "read 352 of 363, 3 unread");
    store.append(&vec![private("bob", "bob", "a note"); 3], 1).await;
    assert_eq!(store.position("bob", &pair("bob", "bob")).await, "read 0 of 3, 0 unread");
}

async fn a_pair_starts_unread(store: TestStore) {
    store.accounts("alice bob").await;
    let talk = pair("alice", "bob");
    store.append(&vec![private("alice", "bob", "hi"); 3], 1).await;
    store.append(&[private("bob", "alice", "hi")], 2).await;
    // The answer marks nothing as read.
    assert_eq!(store.position("bob", &talk).await, "read 0 of 4, 3 unread");
    assert_eq!(store.position("alice", &talk).await, "read 0 of 4, 1 unread");
    store.keep("bob", &talk, Some(2), None).await;
    assert_eq!(store.position("bob", &talk).await, "read 2 of 4, 1 unread");
    assert_eq!(store.position("alice", &talk).await, "read 0 of 4, 1 unread");
    store.keep("alice", &talk, Some(9), None).await;
    assert_eq!(store.position("alice", &talk).await, "read 4 of 4, 0 unread");
}

async fn marks_of_other_users_and_topics_are_apart(store: TestStore) {
    store.accounts("alice bob rob carol").await;
    let rooms = ["bob", "Bob", "carol"];
    for room in rooms {
        store.change(&create(room, Access::Open, "alice", &["bob", "rob"])).await.unwrap();
        store.send(room, "alice", 5, 1).await;
    }
    let pairs = [pair("bob", "alice"), pair("bob", "carol"), pair("alice", "rob"), pair("alice", "carol")];
    for drafts in [
        [private("alice", "bob", "a"), private("alice", "bob", "b")],
        [private("carol", "bob", "a"), private("carol", "bob", "b")],
        [private("alice", "rob", "a"), private("alice", "rob", "b")],
        [private("alice", "carol", "a"), private("alice", "carol", "b")],
    ] {
        store.append(&drafts, 1).await;
    }
    // A room and a conversation with one name, rooms that differ in case, another user.
    store.keep("bob", &room("bob"), Some(1), None).await;
    store.keep("bob", &room("carol"), Some(2), None).await;
    store.keep("rob", &room("carol"), Some(3), None).await;
    store.keep("bob", &pairs[1], Some(1), None).await;
    store.keep("carol", &pairs[3], Some(2), None).await;
    let read = async |user: &str, topic: &Topic| store.log.counts(&name(user), topic, 0).await.unwrap().read;
    let mut of_rooms = Vec::new();
    for user in ["bob", "rob", "alice"] {
        for name in rooms {
            of_rooms.push(read(user, &room(name)).await);
        }
    }
    assert_eq!(of_rooms, [1, 0, 2, 0, 0, 3, 0, 0, 0]);
    let mut of_pairs = Vec::new();
    for (user, pair) in [("bob", 0), ("bob", 1), ("carol", 1), ("carol", 3), ("rob", 2), ("alice", 3)] {
        of_pairs.push(read(user, &pairs[pair]).await);
    }
    assert_eq!(of_pairs, [0, 1, 0, 2, 0, 0]);
}

async fn marks_survive_a_restart(store: TestStore) {
    if !store.is_kept() {
        return;
    }
    store.accounts("alice bob").await;
    let (kitchen, talk) = (room("kitchen"), pair("alice", "bob"));
    store.change(&create("kitchen", Access::Open, "alice", &["bob"])).await.unwrap();
    store.send("kitchen", "alice", 5, 1).await;
    store.append(&[draft(&talk, "alice", "hi"), draft(&talk, "alice", "hi")], 1).await;
    store.keep("bob", &kitchen, Some(3), Some(Level::None)).await;
    store.keep("bob", &talk, Some(1), None).await;
    let store = store.reopened().await;
    assert_eq!(store.position("bob", &kitchen).await, "read 3 of 5, 2 unread");
    assert_eq!(store.position("bob", &talk).await, "read 1 of 2, 1 unread");
    let rooms = store.log.memberships(&name("bob"), 9, 9).await.unwrap().rooms;
    assert_eq!(rooms[0].level, Level::None);
}

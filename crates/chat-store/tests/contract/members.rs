//! Users become members of open rooms by writing to them.

use std::sync::Arc;

use chat_core::{Access, Level, Outcome, Role};

use crate::common::{
    TestStore, WithNonce as _, checked, create, draft, duplicate, leave, name, pair, private, put, room,
    room_name, stored, texts, told,
};

every_store! {
    the_first_message_to_an_open_room_makes_one_a_member,
    a_new_member_has_read_what_was_there_before,
    a_batch_makes_one_a_member_once,
    a_member_writes_without_a_change,
    who_has_left_is_a_member_again_by_the_next_message_but_not_by_a_retry,
    a_user_of_a_host_application_becomes_a_member,
    writing_to_a_pair_makes_nobody_a_member,
    members_by_writing_survive_a_restart,
    concurrent_writers_become_members_once,
}

async fn the_first_message_to_an_open_room_makes_one_a_member(store: TestStore) {
    let kitchen = room("Кухня '🍲'");
    let commit = store.log.append(&[checked(draft(&kitchen, "alice", "hi"))], 1000).await.unwrap();
    assert_eq!(told("Кухня '🍲'", &commit.changes), ["@0 alice member"]);
    assert_eq!(commit.receipts[0].outcome, stored(1, 1000));
    assert_eq!(commit.receipts[0].not_members, []);
    assert_eq!(texts(&store.all(&kitchen).await), ["hi"]);
    // The room exists from then on; nobody has created it.
    let found = store.rooms.find_room(&room_name("Кухня '🍲'")).await.unwrap().unwrap();
    assert_eq!((found.info.title.as_str(), found.info.description.as_str()), ("Кухня '🍲'", ""));
    assert_eq!((found.info.access, found.info.archived), (Access::Open, false));
    assert_eq!((found.members, found.at_ms, found.created_at_ms, found.created_by), (1, 1000, 1000, None));
    // In a room that was created the title is said with the membership.
    store.rooms.add_rooms(&[(room_name("random"), "Random".into())], 1).await.unwrap();
    let commit = store.log.append(&[checked(draft(&room("random"), "alice", "hi"))], 1000).await.unwrap();
    let [chat_core::RoomChange::Member { info, role: Role::Member, .. }] = &commit.changes[..] else {
        panic!("{commit:?}");
    };
    assert_eq!(info.title, "Random");
    assert_eq!(store.members("random").await, ["alice member"]);
}

async fn a_new_member_has_read_what_was_there_before(store: TestStore) {
    store.accounts("alice bob carol dave").await;
    let kitchen = room("kitchen");
    assert_eq!(store.send("kitchen", "alice", 3, 1).await, ["@0 alice member"]);
    assert_eq!(store.send("kitchen", "bob", 2, 2).await, ["@3 bob member"]);
    // Own messages do not count, whether they are read or not.
    assert_eq!(store.position("alice", &kitchen).await, "read 0 of 5, 2 unread");
    assert_eq!(store.position("bob", &kitchen).await, "read 3 of 5, 0 unread");
    assert_eq!(store.change(&put("kitchen", "carol", "carol", None)).await.unwrap(), ["@5 carol member"]);
    assert_eq!(store.position("carol", &kitchen).await, "read 5 of 5, 0 unread");
    store.send("kitchen", "alice", 1, 3).await;
    for person in ["bob", "carol"] {
        let expected = format!("read {} of 6, 1 unread", if person == "bob" { 3 } else { 5 });
        assert_eq!(store.position(person, &kitchen).await, expected);
    }
    // So have the first members of a room with a name that had messages.
    store.append(&[draft(&room("garden"), "alice", "before there were rooms")], 4).await;
    store.change(&create("garden", Access::Open, "alice", &["dave"])).await.unwrap();
    for person in ["alice", "dave"] {
        assert_eq!(store.position(person, &room("garden")).await, "read 1 of 1, 0 unread");
    }
}

async fn a_batch_makes_one_a_member_once(store: TestStore) {
    let (kitchen, garden) = (room("kitchen"), room("garden"));
    let batch = [
        draft(&kitchen, "alice", "1"),
        draft(&kitchen, "bob", "2"),
        draft(&garden, "bob", "3"),
        draft(&kitchen, "alice", "4"),
        draft(&kitchen, "bob", "5"),
        draft(&garden, "alice", "6"),
    ]
    .map(checked);
    let commit = store.log.append(&batch, 1000).await.unwrap();
    let of = |room: &str| {
        let changes: Vec<_> =
            commit.changes.iter().filter(|change| *change.room() == room_name(room)).cloned().collect();
        told(room, &changes)
    };
    assert_eq!(of("kitchen"), ["@0 alice member", "@1 bob member"]);
    assert_eq!(of("garden"), ["@0 bob member", "@1 alice member"]);
    assert_eq!(commit.changes.len(), 4);
    assert_eq!(store.members("kitchen").await, ["alice member", "bob member"]);
    assert_eq!(store.members("garden").await, ["alice member", "bob member"]);
    assert_eq!(store.position("alice", &kitchen).await, "read 0 of 4, 2 unread");
    assert_eq!(store.position("bob", &kitchen).await, "read 1 of 4, 1 unread");
    assert_eq!(store.position("alice", &garden).await, "read 1 of 2, 0 unread");
}

async fn a_member_writes_without_a_change(store: TestStore) {
    store.accounts("alice bob").await;
    store.change(&create("kitchen", Access::Open, "alice", &["bob"])).await.unwrap();
    for person in ["alice", "bob", "alice"] {
        assert_eq!(store.send("kitchen", person, 2, 1).await, [""; 0]);
    }
    assert_eq!(store.members("kitchen").await, ["alice moderator", "bob member"]);
    // Writing marks nothing as read.
    assert_eq!(store.position("bob", &room("kitchen")).await, "read 0 of 6, 4 unread");
}

async fn who_has_left_is_a_member_again_by_the_next_message_but_not_by_a_retry(store: TestStore) {
    let kitchen = room("kitchen");
    let first = checked(draft(&kitchen, "alice", "a").nonce("n"));
    store.append(std::slice::from_ref(&first), 1).await;
    store.send("kitchen", "bob", 4, 1).await;
    store.keep("alice", &kitchen, Some(3), Some(Level::All)).await;
    store.change(&leave("kitchen", "alice")).await.unwrap();
    assert_eq!(store.members("kitchen").await, ["bob member"]);
    let commit = store.log.append(std::slice::from_ref(&first), 2).await.unwrap();
    assert_eq!(commit.receipts[0].outcome, duplicate(&kitchen, 1, 1));
    assert_eq!((commit.changes, commit.entries), (vec![], vec![]));
    assert_eq!(store.members("kitchen").await, ["bob member"]);
    // Everything before the new message is read, and the level is that of a new member.
    let retry_and_message = [first, checked(draft(&kitchen, "alice", "b").nonce("m"))];
    let commit = store.log.append(&retry_and_message, 3).await.unwrap();
    assert_eq!(told("kitchen", &commit.changes), ["@5 alice member"]);
    store.send("kitchen", "bob", 1, 4).await;
    let memberships = store.log.memberships(&name("alice"), 9, 9).await.unwrap();
    assert_eq!((memberships.rooms[0].read, memberships.rooms[0].level), (5, Level::Mentions));
    assert_eq!(store.position("alice", &kitchen).await, "read 5 of 7, 1 unread");
}

async fn a_user_of_a_host_application_becomes_a_member(store: TestStore) {
    assert_eq!(store.send("kitchen", "guest", 1, 1).await, ["@0 guest member"]);
    assert_eq!(store.members("kitchen").await, ["guest member"]);
    assert_eq!(store.change(&leave("kitchen", "guest")).await.unwrap(), ["@1 guest left open"]);
}

async fn writing_to_a_pair_makes_nobody_a_member(store: TestStore) {
    store.account("bob").await;
    let whisper = chat_core::Draft { room: Some(room_name("kitchen")), ..private("alice", "bob", "psst") };
    let lost = checked(draft(&pair("alice", "nobody"), "alice", "a"));
    let commit = store.log.append(&[checked(whisper), lost], 1).await.unwrap();
    let outcomes = [stored(1, 1), Outcome::NoRecipient { at_ms: 1 }];
    assert!(commit.receipts.into_iter().map(|receipt| receipt.outcome).eq(outcomes));
    assert_eq!(commit.changes, []);
    assert_eq!(store.rooms.find_room(&room_name("kitchen")).await.unwrap(), None);
    assert_eq!(store.rooms.open_rooms(9).await.unwrap(), []);
    assert_eq!(store.log.memberships(&name("alice"), 9, 9).await.unwrap(), chat_core::Memberships::default());
}

async fn members_by_writing_survive_a_restart(store: TestStore) {
    if !store.is_kept() {
        return;
    }
    store.send("kitchen", "alice", 2, 1).await;
    store.send("kitchen", "bob", 2, 1).await;
    let store = store.reopened().await;
    assert_eq!(store.members("kitchen").await, ["alice member", "bob member"]);
    assert_eq!(store.send("kitchen", "bob", 1, 2).await, [""; 0]);
    assert_eq!(store.position("bob", &room("kitchen")).await, "read 2 of 5, 0 unread");
}

async fn concurrent_writers_become_members_once(store: TestStore) {
    const WRITERS: usize = 6;
    // From several servers at once: each user from two of them.
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS * 2 {
        let log = Arc::clone(&store.log);
        writers.spawn(async move {
            let person = format!("person{}", writer % WRITERS);
            for batch in 0..5 {
                let drafts = [
                    checked(draft(&room("kitchen"), &person, "a")),
                    checked(draft(&room("garden"), &person, "b").nonce(&format!("{writer}/{batch}"))),
                ];
                log.append(&drafts, 1).await.unwrap();
            }
        });
    }
    writers.join_all().await;
    for room in ["kitchen", "garden"] {
        let members: Vec<_> = (0..WRITERS).map(|person| format!("person{person} member")).collect();
        assert_eq!(store.members(room).await, members);
        assert_eq!(store.all(&crate::common::room(room)).await.last, WRITERS as u64 * 10);
    }
}

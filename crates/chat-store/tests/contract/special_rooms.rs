//! Closed and archived rooms: who may write to them.

use chat_core::{Access, Draft, Outcome};

use crate::common::{
    TestStore, WithNonce as _, archive, checked, close, create, draft, duplicate, leave, mention, name, put,
    remove, room, room_name, stored, texts,
};

every_store! {
    only_members_write_to_a_closed_room,
    nobody_writes_to_an_archived_room,
    a_batch_with_a_refused_draft_stores_the_others_once,
    a_name_of_the_server_opens_no_room,
    a_refusal_leaves_the_nonce_unused,
    what_was_stored_before_the_room_was_closed_is_known,
    what_a_user_may_do_is_read,
    rooms_stay_closed_after_a_restart,
}

/// Whether the store accepts a message of each of these users, with a check or without.
async fn accepted(store: &TestStore, room: &str, people: &str) -> String {
    let mut answers = Vec::new();
    for person in people.split_whitespace() {
        for check in [false, true] {
            let draft = Draft { check, ..draft(&crate::common::room(room), person, "hi") };
            let commit = store.log.append(&[draft], 1).await.unwrap();
            answers.push(match commit.receipts[0].outcome {
                Outcome::Stored { .. } => '+',
                Outcome::Forbidden => '-',
                ref other => panic!("{other:?}"),
            });
            assert_eq!(commit.changes, []);
        }
    }
    answers.into_iter().collect()
}

async fn only_members_write_to_a_closed_room(store: TestStore) {
    store.accounts("alice bob carol admin").await;
    store.users.set_administrator(&name("admin"), true, 1).await.unwrap();
    store.change(&create("~cellar", Access::Closed, "alice", &["bob"])).await.unwrap();
    // Also the very first message, before the room has a number.
    assert_eq!(accepted(&store, "~cellar", "carol").await, "--");
    assert_eq!(accepted(&store, "~cellar", "alice bob carol admin guest").await, "++++------");
    store.change(&put("~cellar", "bob", "carol", None)).await.unwrap();
    store.change(&remove("~cellar", "alice", "bob")).await.unwrap();
    assert_eq!(accepted(&store, "~cellar", "alice bob carol").await, "++--++");
    store.change(&leave("~cellar", "carol")).await.unwrap();
    assert_eq!(accepted(&store, "~cellar", "carol").await, "--");
    assert_eq!(store.members("~cellar").await, ["alice moderator"]);

    // A room with messages that is closed.
    store.send("kitchen", "dave", 1, 1).await;
    store.send("kitchen", "eve", 1, 1).await;
    store.change(&leave("kitchen", "eve")).await.unwrap();
    assert_eq!(accepted(&store, "kitchen", "dave").await, "++");
    store.change(&close("kitchen", "admin")).await.unwrap();
    assert_eq!(accepted(&store, "kitchen", "dave eve admin").await, "++----");
    assert_eq!(store.all(&room("kitchen")).await.last, 6);
}

async fn nobody_writes_to_an_archived_room(store: TestStore) {
    store.accounts("alice bob").await;
    store.change(&create("kitchen", Access::Open, "alice", &["bob"])).await.unwrap();
    store.change(&create("~cellar", Access::Closed, "alice", &["bob"])).await.unwrap();
    for room in ["kitchen", "~cellar"] {
        for archived in [true, false, true] {
            store.change(&archive(room, "alice", archived)).await.unwrap();
            let expected = if archived { "----" } else { "++++" };
            assert_eq!(accepted(&store, room, "alice bob").await, expected, "{room}");
        }
        // Closing an archived room, or joining it, makes nothing writable.
        store.change(&close(room, "alice")).await.unwrap();
        assert_eq!(accepted(&store, room, "alice bob carol").await, "------");
        assert_eq!(store.all(&crate::common::room(room)).await.last, 4);
    }
    // A closed room that is no longer archived stays closed.
    store.change(&archive("kitchen", "alice", false)).await.unwrap();
    assert_eq!(accepted(&store, "kitchen", "alice carol").await, "++--");
    // Archived before its first message.
    store.change(&create("attic", Access::Open, "alice", &[])).await.unwrap();
    store.change(&archive("attic", "alice", true)).await.unwrap();
    assert_eq!(accepted(&store, "attic", "alice carol").await, "----");
    assert_eq!(store.all(&room("attic")).await.last, 0);
    store.change(&archive("attic", "alice", false)).await.unwrap();
    assert_eq!(accepted(&store, "attic", "alice").await, "++");
}

async fn a_batch_with_a_refused_draft_stores_the_others_once(store: TestStore) {
    store.accounts("alice bob carol").await;
    store.change(&create("~cellar", Access::Closed, "alice", &[])).await.unwrap();
    store.send("~cellar", "alice", 1, 1).await;
    let (kitchen, cellar, garden) = (room("kitchen"), room("~cellar"), room("garden"));
    // No draft has a check: the store finds out by itself that the cellar is closed.
    let batch = [
        draft(&kitchen, "alice", "1").nonce("1"),
        draft(&cellar, "bob", "2").nonce("2"),
        draft(&cellar, "alice", "3").nonce("3"),
        draft(&garden, "bob", "4"),
        draft(&kitchen, "bob", "5").nonce("1"),
        draft(&cellar, "carol", "6"),
        checked(draft(&garden, "carol", "7")),
        draft(&crate::common::pair("alice", "bob"), "alice", "8"),
        draft(&kitchen, "alice", "9").nonce("1"),
    ];
    let commit = store.log.append(&batch, 5).await.unwrap();
    let outcomes: Vec<_> = commit.receipts.iter().map(|receipt| receipt.outcome.clone()).collect();
    assert_eq!(
        outcomes,
        [
            stored(1, 5),
            Outcome::Forbidden,
            stored(2, 5),
            stored(1, 5),
            stored(2, 5),
            Outcome::Forbidden,
            stored(2, 5),
            stored(1, 5),
            duplicate(&kitchen, 1, 5),
        ]
    );
    assert_eq!(commit.entries.len(), 6);
    assert_eq!(texts(&store.all(&kitchen).await), ["1", "5"]);
    assert_eq!(texts(&store.all(&cellar).await), ["hi", "3"]);
    assert_eq!(texts(&store.all(&garden).await), ["4", "7"]);
    // Judged with a check, authors become members.
    assert!(store.members("garden").await.contains(&"carol member".to_owned()));
    assert_eq!(store.members("~cellar").await, ["alice moderator"]);
}

async fn a_name_of_the_server_opens_no_room(store: TestStore) {
    let drafts = ["~", "~cellar", "~AAAAAAAAAAAAAAAAAAAAAA"]
        .map(|room| checked(draft(&crate::common::room(room), "alice", "hi")));
    assert_eq!(store.append(&drafts, 1).await, [(); 3].map(|()| Outcome::Forbidden));
    assert_eq!(store.rooms.find_room(&room_name("~cellar")).await.unwrap(), None);
    assert_eq!(store.all(&room("~cellar")).await.last, 0);
    // A name that has the sign later is like any other.
    assert_eq!(store.send("a~", "alice", 1, 1).await, ["@0 alice member"]);
}

async fn a_refusal_leaves_the_nonce_unused(store: TestStore) {
    store.accounts("alice bob").await;
    store.change(&create("~cellar", Access::Closed, "alice", &[])).await.unwrap();
    let (cellar, kitchen) = (room("~cellar"), room("kitchen"));
    let to_cellar = checked(draft(&cellar, "bob", "a").nonce("n"));
    let batch = [to_cellar.clone(), draft(&kitchen, "bob", "b").nonce("n"), to_cellar.clone()];
    assert_eq!(store.append(&batch, 1).await, [Outcome::Forbidden, stored(1, 1), duplicate(&kitchen, 1, 1)]);
    let later = checked(draft(&cellar, "bob", "c").nonce("m"));
    assert_eq!(store.append(std::slice::from_ref(&later), 2).await, [Outcome::Forbidden]);
    store.change(&put("~cellar", "alice", "bob", None)).await.unwrap();
    assert_eq!(store.append(&[later], 3).await, [stored(1, 3)]);
}

async fn what_was_stored_before_the_room_was_closed_is_known(store: TestStore) {
    let kitchen = room("kitchen");
    let sent = checked(draft(&kitchen, "bob", "a").nonce("n"));
    store.append(std::slice::from_ref(&sent), 1).await;
    store.change(&leave("kitchen", "bob")).await.unwrap();
    store.change(&close("kitchen", "admin")).await.unwrap();
    store.change(&create("attic", Access::Open, "alice", &[])).await.unwrap();
    store.change(&archive("attic", "alice", true)).await.unwrap();
    let known = duplicate(&kitchen, 1, 1);
    for retry in [
        sent.clone(),
        Draft { check: false, ..sent.clone() },
        checked(draft(&room("attic"), "bob", "b").nonce("n")),
        mention(draft(&room("~nothing"), "bob", "c").nonce("n"), "all bob"),
    ] {
        assert_eq!(store.append(&[retry], 2).await, std::slice::from_ref(&known));
    }
    assert_eq!(store.append(&[draft(&kitchen, "bob", "a").nonce("m")], 3).await, [Outcome::Forbidden]);
}

async fn what_a_user_may_do_is_read(store: TestStore) {
    store.accounts("alice admin").await;
    store.users.set_administrator(&name("admin"), true, 1).await.unwrap();
    store.change(&create("~cellar", Access::Closed, "alice", &[])).await.unwrap();
    store.send("kitchen", "admin", 1, 1).await;
    store.change(&archive("kitchen", "admin", true)).await.unwrap();
    let access = async |user: &str, room: &str| {
        let access = store.log.access(&name(user), &room_name(room)).await.unwrap();
        let mut words = match &access.info {
            None => vec!["nothing"],
            Some(info) if info.archived => vec![info.access.as_str(), "archived"],
            Some(info) => vec![info.access.as_str()],
        };
        words.extend(access.role.map(chat_core::Role::as_str));
        words.extend(access.is_administrator.then_some("administrator"));
        words.extend((!access.may_read(&room_name(room))).then_some("hidden"));
        words.join(" ")
    };
    for (user, room, expected) in [
        ("alice", "~cellar", "closed moderator"),
        ("bob", "~cellar", "closed hidden"),
        ("admin", "~cellar", "closed administrator hidden"),
        ("admin", "kitchen", "open archived member administrator"),
        ("alice", "kitchen", "open archived"),
        ("alice", "Kitchen", "nothing"),
        ("alice", "~nothing", "nothing hidden"),
        ("admin", "~nothing", "nothing administrator hidden"),
        ("nobody", "garden", "nothing"),
    ] {
        assert_eq!(access(user, room).await, expected, "{user} in {room}");
    }
    let title = store.log.access(&name("bob"), &room_name("kitchen")).await.unwrap().info.unwrap();
    assert_eq!(title.title, "kitchen");
    store.account("other").await;
    store.users.set_administrator(&name("other"), true, 1).await.unwrap();
    store.users.set_administrator(&name("admin"), false, 1).await.unwrap();
    assert_eq!(access("admin", "kitchen").await, "open archived member");
}

async fn rooms_stay_closed_after_a_restart(store: TestStore) {
    if !store.is_kept() {
        return;
    }
    store.accounts("alice bob").await;
    store.change(&create("~cellar", Access::Closed, "alice", &[])).await.unwrap();
    store.change(&create("attic", Access::Open, "alice", &[])).await.unwrap();
    store.send("attic", "alice", 1, 1).await;
    store.change(&archive("attic", "alice", true)).await.unwrap();
    let store = store.reopened().await;
    assert_eq!(accepted(&store, "~cellar", "alice bob").await, "++--");
    assert_eq!(accepted(&store, "attic", "alice bob").await, "----");
}

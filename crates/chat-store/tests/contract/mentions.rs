//! Messages that mention users.

use std::sync::Arc;

use chat_core::{Access, Draft, Mentions, Outcome, PageFrom};
use chat_store::{Retention, TrimPosition};

use crate::common::{
    ALL, TestStore, WithNonce as _, checked, create, draft, leave, mention, mentions, name, pair, private,
    put, room, stored,
};

every_store! {
    mentions_come_back_as_they_were_written,
    names_without_an_account_are_dropped,
    who_is_no_member_is_named_in_open_rooms_and_dropped_in_closed_ones,
    mentions_are_counted,
    mentions_are_counted_up_to_99,
    only_moderators_mention_all_of_many,
    private_messages_mention_nobody,
    mentions_go_with_their_entries,
    mentions_survive_a_restart,
}

/// A message to the kitchen that mentions these users.
fn to_kitchen(from: &str, names: &str) -> Draft {
    mention(draft(&room("kitchen"), from, "hi"), names)
}

/// The mentions of each entry of a room.
async fn mentioned(store: &TestStore, of: &str) -> Vec<Option<Mentions>> {
    store.all(&room(of)).await.entries.iter().map(|entry| entry.body.mentions().cloned()).collect()
}

async fn mentions_come_back_as_they_were_written(store: TestStore) {
    store.accounts("alice bob Яна 42 null").await;
    store.account("a\"b").await;
    store.account("a, b").await;
    let mut drafts = ["bob", "bob Яна alice", "all", "bob all", "42 null", "a\"b"]
        .map(|names| to_kitchen("alice", names))
        .to_vec();
    let names = ["null", "a, b", "bob"].map(name).to_vec();
    let with_space = Mentions { names, all: false };
    let body = |mentions: &Mentions| chat_core::Body::Message {
        text: chat_core::MessageText::stored("@bob"),
        mentions: Some(Box::new(mentions.clone())),
        reply_to: None,
        files: None,
        state: None,
    };
    drafts.push(Draft { body: body(&with_space), ..to_kitchen("alice", "") });
    drafts.push(checked(draft(&room("kitchen"), "alice", "@bob in the text alone")));
    let many: Vec<_> = (0..20).map(|person| format!("person{person}")).collect();
    for person in &many {
        store.account(person).await;
    }
    drafts.push(to_kitchen("alice", &many.join(" ")).nonce("n"));
    let commit = store.log.append(&drafts, 1).await.unwrap();
    let mut expected: Vec<_> = ["bob", "bob Яна alice", "all", "bob all", "42 null", "a\"b"]
        .map(|names| Some(mentions(names)))
        .to_vec();
    expected.extend([Some(with_space), None, Some(mentions(&many.join(" ")))]);
    assert_eq!(mentioned(&store, "kitchen").await, expected);
    // Readers get the entries of the commit, whichever way they read.
    let kitchen = room("kitchen");
    for from in [PageFrom::Latest, PageFrom::After(0), PageFrom::Before(99)] {
        assert_eq!(store.log.page(&kitchen, from, ALL).await.unwrap().entries, commit.entries);
    }
}

async fn names_without_an_account_are_dropped(store: TestStore) {
    store.accounts("bob gone").await;
    store.users.remove_user(&name("gone")).await.unwrap();
    let drafts = [
        to_kitchen("guest", "nobody bob gone Bob guest bob"),
        to_kitchen("guest", "nobody gone"),
        to_kitchen("guest", "nobody all"),
        to_kitchen("guest", ""),
    ];
    let commit = store.log.append(&drafts, 1).await.unwrap();
    assert_eq!(
        mentioned(&store, "kitchen").await,
        [Some(mentions("bob")), None, Some(mentions("all")), None]
    );
    assert_eq!(store.all(&room("kitchen")).await.entries, commit.entries);
    let not_members: Vec<_> = commit.receipts.iter().map(|receipt| receipt.not_members.len()).collect();
    assert_eq!(not_members, [1, 0, 0, 0]);
}

async fn who_is_no_member_is_named_in_open_rooms_and_dropped_in_closed_ones(store: TestStore) {
    store.accounts("alice bob carol dave").await;
    store.change(&create("kitchen", Access::Open, "alice", &["bob"])).await.unwrap();
    store.change(&create("~cellar", Access::Closed, "alice", &["bob"])).await.unwrap();
    let drafts = [
        to_kitchen("alice", "bob carol"),
        // carol is a member from her message on.
        checked(draft(&room("kitchen"), "carol", "I am")),
        to_kitchen("bob", "dave carol alice"),
        mention(draft(&room("~cellar"), "bob", "hi"), "carol alice dave bob"),
        mention(draft(&room("~cellar"), "bob", "hi"), "dave"),
        mention(draft(&room("garden"), "alice", "hi"), "alice bob"),
    ];
    let commit = store.log.append(&drafts, 1).await.unwrap();
    let not_members: Vec<_> = commit
        .receipts
        .iter()
        .map(|receipt| receipt.not_members.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(not_members, ["carol", "", "dave", "", "", "bob"]);
    assert_eq!(
        mentioned(&store, "kitchen").await,
        [Some(mentions("bob carol")), None, Some(mentions("dave carol alice"))]
    );
    assert_eq!(mentioned(&store, "~cellar").await, [Some(mentions("alice bob")), None]);
    assert_eq!(mentioned(&store, "garden").await, [Some(mentions("alice bob"))]);
    // Being mentioned makes nobody a member.
    assert_eq!(store.members("garden").await, ["alice member"]);
    // A retry does not say it again.
    let sent = to_kitchen("alice", "dave").nonce("n");
    let first = store.log.append(std::slice::from_ref(&sent), 2).await.unwrap();
    assert_eq!(first.receipts[0].not_members, [name("dave")]);
    let again = store.log.append(&[sent], 3).await.unwrap();
    assert_eq!((again.receipts[0].not_members.len(), again.entries.len()), (0, 0));
}

async fn mentions_are_counted(store: TestStore) {
    store.accounts("alice bob carol").await;
    store.change(&create("kitchen", Access::Open, "alice", &["bob", "carol"])).await.unwrap();
    let kitchen = room("kitchen");
    let drafts = ["bob", "carol", "all", "bob all", "bob carol", ""].map(|names| to_kitchen("alice", names));
    store.append(&drafts, 1).await;
    // A message that mentions one twice is one message; one's own mentions of oneself and of
    // all do not count.
    store.append(&[to_kitchen("bob", "bob all"), to_kitchen("bob", "carol")], 1).await;
    assert_eq!(store.position("bob", &kitchen).await, "read 0 of 8, 6 unread, 4 mentions");
    assert_eq!(store.position("carol", &kitchen).await, "read 0 of 8, 8 unread, 6 mentions");
    assert_eq!(store.position("alice", &kitchen).await, "read 0 of 8, 2 unread, 1 mention");
    let rooms = store.log.memberships(&name("bob"), 1, 1).await.unwrap().rooms;
    let counts = rooms[0].counts.unwrap();
    assert_eq!((counts.unread, counts.mentions), (6, 4));
    // Those above the mark.
    for (read, expected) in [
        (1, "read 1 of 8, 5 unread, 3 mentions"),
        (3, "read 3 of 8, 3 unread, 2 mentions"),
        (5, "read 5 of 8, 1 unread"),
        (8, "read 8 of 8, 0 unread"),
    ] {
        store.keep("bob", &kitchen, Some(read), None).await;
        assert_eq!(store.position("bob", &kitchen).await, expected);
    }
    // A mention of who was no member then does not count later.
    store.account("dave").await;
    store.append(&[to_kitchen("alice", "dave")], 1).await;
    store.change(&put("kitchen", "dave", "dave", None)).await.unwrap();
    assert_eq!(store.position("dave", &kitchen).await, "read 9 of 9, 0 unread");
    store.append(&[to_kitchen("alice", "dave")], 1).await;
    assert_eq!(store.position("dave", &kitchen).await, "read 9 of 10, 1 unread, 1 mention");
    // Mentions in other rooms do not count here.
    store.append(&[mention(draft(&room("garden"), "alice", "hi"), "dave all")], 1).await;
    assert_eq!(store.position("dave", &kitchen).await, "read 9 of 10, 1 unread, 1 mention");
}

async fn mentions_are_counted_up_to_99(store: TestStore) {
    store.accounts("alice bob carol").await;
    store.change(&create("kitchen", Access::Open, "alice", &["bob", "carol"])).await.unwrap();
    let kitchen = room("kitchen");
    for (sent, expected) in [(98, 98), (1, 99), (1, 100), (100, 100)] {
        // Every second one of them mentions all.
        let drafts: Vec<_> = (0..sent)
            .flat_map(|index| {
                let names = if index % 2 == 0 { "bob" } else { "all" };
                [to_kitchen("alice", names), to_kitchen("bob", "bob all")]
            })
            .collect();
        store.append(&drafts, 1).await;
        let counts = store.log.counts(&name("bob"), &kitchen, 0).await.unwrap().counts;
        assert_eq!((counts.unread, counts.mentions), (expected, expected));
    }
    // Mentions are exact where unread messages are not.
    store.send("kitchen", "alice", 200, 1).await;
    store.keep("bob", &kitchen, Some(390), None).await;
    assert_eq!(store.position("bob", &kitchen).await, "read 390 of 600, 100 unread, 5 mentions");
    store.append(&[to_kitchen("alice", "bob")], 1).await;
    assert_eq!(store.position("bob", &kitchen).await, "read 390 of 601, 100 unread, 6 mentions");
}

async fn only_moderators_mention_all_of_many(store: TestStore) {
    store.accounts("alice bob").await;
    store.change(&create("kitchen", Access::Open, "alice", &["bob"])).await.unwrap();
    let all = |from| to_kitchen(from, "all");
    let guests: Vec<_> =
        (0..98).map(|guest| checked(draft(&room("kitchen"), &format!("guest{guest}"), "hi"))).collect();
    store.append(&guests, 1).await;
    assert_eq!(store.members("kitchen").await.len(), 100);
    assert_eq!(store.append(&[all("bob")], 2).await, [stored(99, 2)]);
    store.send("kitchen", "one more", 1, 2).await;
    let outcomes = [Outcome::Forbidden, stored(101, 3), Outcome::Forbidden];
    assert_eq!(store.append(&[all("bob"), all("alice"), all("stranger")], 3).await, outcomes);
    assert_eq!(store.append(&[to_kitchen("bob", "alice")], 3).await, [stored(102, 3)]);
    // The nonce is unused, and the stranger no member.
    assert_eq!(store.append(&[all("bob").nonce("n")], 4).await, [Outcome::Forbidden]);
    assert_eq!(store.members("kitchen").await.len(), 101);
    store.change(&leave("kitchen", "guest7")).await.unwrap();
    assert_eq!(store.append(&[all("bob").nonce("n")], 5).await, [stored(103, 5)]);
}

async fn private_messages_mention_nobody(store: TestStore) {
    store.accounts("alice bob").await;
    let commit = store.log.append(&[mention(private("alice", "bob", "hi"), "bob all")], 1).await.unwrap();
    assert_eq!(commit.entries[0].body.mentions(), None);
    assert_eq!(store.all(&pair("alice", "bob")).await.entries, [Arc::clone(&commit.entries[0])]);
    assert_eq!(store.position("bob", &pair("alice", "bob")).await, "read 0 of 1, 1 unread");
}

async fn mentions_go_with_their_entries(store: TestStore) {
    store.accounts("alice bob").await;
    store.change(&create("kitchen", Access::Open, "alice", &["bob"])).await.unwrap();
    let kitchen = room("kitchen");
    let drafts: Vec<_> =
        (0..20).map(|index| to_kitchen("alice", if index % 2 == 0 { "bob" } else { "all" })).collect();
    store.append(&drafts, 1).await;
    let trim = async |entries| {
        let retention = Retention { entries: Some(entries), age_ms: None };
        let mut from = Some(TrimPosition::default());
        while let Some(position) = from {
            from = store.log.trim(&retention, position, 1_000_000_000, 3).await.unwrap().next;
        }
    };
    for (kept, expected) in [
        (15, "read 0 of 20, 15 unread, 15 mentions"),
        (4, "read 0 of 20, 4 unread, 4 mentions"),
        (1, "read 0 of 20, 1 unread, 1 mention"),
    ] {
        trim(kept).await;
        assert_eq!(store.position("bob", &kitchen).await, expected);
    }
    store.append(&[to_kitchen("alice", "bob")], 2).await;
    assert_eq!(store.position("bob", &kitchen).await, "read 0 of 21, 2 unread, 2 mentions");
}

async fn mentions_survive_a_restart(store: TestStore) {
    if !store.is_kept() {
        return;
    }
    store.accounts("alice bob").await;
    store.change(&create("kitchen", Access::Open, "alice", &["bob"])).await.unwrap();
    let commit =
        store.log.append(&[to_kitchen("alice", "bob all"), to_kitchen("alice", "bob")], 1).await.unwrap();
    let store = store.reopened().await;
    assert_eq!(store.all(&room("kitchen")).await.entries, commit.entries);
    assert_eq!(store.position("bob", &room("kitchen")).await, "read 0 of 2, 2 unread, 2 mentions");
}

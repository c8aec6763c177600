//! Pages of a topic with changes: dense ones, and folded ones with messages only.

use chat_core::{Emoji, MessagesFrom, NEWEST_MESSAGES, Page, PageFrom, PageLimits, Topic, Username};
use chat_store::{Retention, TrimPosition};

use crate::common::{
    ALL, TestStore, checked, delete, described, draft, edit, mark, mention, name, pair, position, private,
    react, reply, room, room_name, seqs, unreact,
};

every_store! {
    a_page_has_every_number,
    a_message_is_read_as_changes_have_made_it,
    many_reactions_between_two_messages,
    the_newest_page_names_the_newest_messages,
    folded_pages_go_in_both_directions,
    folded_pages_end_at_their_limits,
    a_page_around_a_number,
    messages_by_their_numbers,
    reactions_and_their_users,
    what_is_deleted_is_not_unread,
    a_change_moves_no_conversation_up,
    stamps_of_messages_and_changes_do_not_run_backwards,
    a_trimmed_topic_begins_with_a_change,
    an_unknown_topic_has_no_messages,
}

/// Messages 1, 4, 8 and 10 in the kitchen, and changes of them between.
async fn kitchen(store: &TestStore) -> Topic {
    let kitchen = room("kitchen");
    store.accounts("alice bob carol").await;
    for drafts in [
        vec![draft(&kitchen, "alice", "one")],
        vec![react(&kitchen, "bob", 1, "👍"), react(&kitchen, "carol", 1, "🎉")],
        vec![reply(draft(&kitchen, "bob", "two"), 1)],
        vec![edit(&kitchen, "alice", 1, "uno"), react(&kitchen, "carol", 1, "👍")],
        vec![edit(&kitchen, "alice", 1, "eins"), draft(&kitchen, "alice", "three")],
        vec![delete(&kitchen, "bob", 4), draft(&kitchen, "carol", "four")],
        vec![unreact(&kitchen, "bob", 1, "👍")],
    ] {
        let now_ms = store.all(&kitchen).await.last + 1;
        for outcome in store.append(&drafts, now_ms).await {
            assert!(matches!(outcome, chat_core::Outcome::Stored { .. }), "{outcome:?}");
        }
    }
    kitchen
}

const ENTRIES: [&str; 11] = [
    // 👍 was there before 🎉, and its count has not been 0 since.
    "1 alice: eins edited at 7 👍1 (carol) 🎉1 (carol) @11",
    "2 bob 👍 1",
    "3 carol 🎉 1",
    "4 bob:  deleted @9",
    "5 edits 1",
    "6 carol 👍 1",
    "7 edits 1: eins",
    "8 alice: three",
    "9 deletes 4",
    "10 carol: four",
    "11 bob not 👍 1",
];

async fn a_page_has_every_number(store: TestStore) {
    let kitchen = kitchen(&store).await;
    let all = store.all(&kitchen).await;
    assert_eq!((all.first, all.last), (1, 11));
    assert_eq!(described(&all), ENTRIES);
    for size in 1..=12 {
        let limits = PageLimits { entries: size, bytes: usize::MAX };
        let (mut rising, mut after) = (Vec::new(), 0);
        while after < 11 {
            let page = store.log.page(&kitchen, PageFrom::After(after), limits).await.unwrap();
            assert_eq!(seqs(&page)[0], after + 1);
            after = page.entries.last().unwrap().seq;
            rising.extend(page.entries);
        }
        assert_eq!(rising, all.entries, "pages of {size}");
        let (mut falling, mut before) = (Vec::new(), 12);
        while before > 1 {
            let page = store.log.page(&kitchen, PageFrom::Before(before), limits).await.unwrap();
            assert_eq!(page.entries.last().unwrap().seq, before - 1);
            before = seqs(&page)[0];
            falling.splice(0..0, page.entries);
        }
        assert_eq!(falling, all.entries, "pages of {size}");
    }
    // "uno" is gone; "eins" and the emoji count.
    for (bytes, expected) in
        [(4, vec![6]), (7, vec![6]), (8, vec![6, 7]), (12, vec![6, 7]), (13, vec![6, 7, 8, 9])]
    {
        let limits = PageLimits { entries: 99, bytes };
        let page = store.log.page(&kitchen, PageFrom::After(5), limits).await.unwrap();
        assert_eq!(seqs(&page), expected, "{bytes} bytes");
    }
}

async fn a_message_is_read_as_changes_have_made_it(store: TestStore) {
    store.accounts("alice bob").await;
    let kitchen = room("kitchen");
    let send = async |drafts: &[chat_core::Draft]| store.append(drafts, 5).await;
    send(&[mention(draft(&kitchen, "alice", "hi @bob"), "bob"), draft(&kitchen, "bob", "ho")]).await;
    send(&[edit(&kitchen, "alice", 1, "hi all"), react(&kitchen, "alice", 2, "👍")]).await;
    assert_eq!(
        described(&store.all(&kitchen).await),
        ["1 alice: hi all edited at 5 @3", "2 bob: ho 👍1 (alice) @4", "3 edits 1: hi all", "4 alice 👍 2"]
    );
    send(&[delete(&kitchen, "alice", 1), unreact(&kitchen, "alice", 2, "👍")]).await;
    assert_eq!(
        described(&store.all(&kitchen).await),
        [
            "1 alice:  deleted @5",
            "2 bob: ho @6",
            "3 edits 1",
            "4 alice 👍 2",
            "5 deletes 1",
            "6 alice not 👍 2"
        ]
    );
}

async fn many_reactions_between_two_messages(store: TestStore) {
    store.account("alice").await;
    let kitchen = room("kitchen");
    store.append(&[draft(&kitchen, "alice", "one")], 1).await;
    let users: Vec<String> = (0..40).map(|user| format!("user{user}")).collect();
    let reactions: Vec<_> = users.iter().map(|user| react(&kitchen, user, 1, "👍")).collect();
    store.append(&reactions, 1).await;
    store.append(&[draft(&kitchen, "alice", "two")], 1).await;
    let ten = PageLimits { entries: 10, bytes: usize::MAX };
    let page = store.log.page(&kitchen, PageFrom::Latest, ten).await.unwrap();
    assert_eq!((seqs(&page), page.newest), ((33..=42).collect(), vec![1, 42]));
    let page = store.log.page(&kitchen, PageFrom::After(11), ten).await.unwrap();
    assert_eq!(seqs(&page), (12..=21).collect::<Vec<_>>());
    let page = store.messages(&kitchen, MessagesFrom::Page(PageFrom::Before(42)), ten).await;
    assert_eq!(described(&page), ["1 alice: one 👍40 (user0, user1, user2, user3, user4) @41"]);
    assert!(page.has_newer && !page.has_older);
}

async fn the_newest_page_names_the_newest_messages(store: TestStore) {
    let kitchen = kitchen(&store).await;
    let one = PageLimits { entries: 1, bytes: usize::MAX };
    let newest = async |from| store.log.page(&kitchen, from, one).await.unwrap().newest;
    assert_eq!(newest(PageFrom::Latest).await, [1, 4, 8, 10]);
    assert_eq!(newest(PageFrom::Before(20)).await, [0; 0]);
    assert_eq!(newest(PageFrom::After(0)).await, [0; 0]);
    let many: Vec<_> = (0..NEWEST_MESSAGES).map(|_| draft(&kitchen, "alice", "x")).collect();
    store.append(&many, 20).await;
    assert_eq!(newest(PageFrom::Latest).await, (12..112).collect::<Vec<_>>());
}

async fn folded_pages_go_in_both_directions(store: TestStore) {
    let kitchen = kitchen(&store).await;
    for (from, limit, expected, has_older, has_newer) in [
        (PageFrom::Latest, 2, vec![8, 10], true, false),
        (PageFrom::Latest, 4, vec![1, 4, 8, 10], false, false),
        (PageFrom::After(0), 2, vec![1, 4], false, true),
        (PageFrom::After(1), 2, vec![4, 8], true, true),
        (PageFrom::After(3), 9, vec![4, 8, 10], true, false),
        (PageFrom::After(10), 2, vec![], true, false),
        (PageFrom::After(u64::MAX), 2, vec![], true, false),
        (PageFrom::Before(10), 2, vec![4, 8], true, true),
        (PageFrom::Before(8), 2, vec![1, 4], false, true),
        (PageFrom::Before(4), 2, vec![1], false, true),
        (PageFrom::Before(1), 2, vec![], false, true),
        (PageFrom::Before(0), 2, vec![], false, true),
        (PageFrom::Before(u64::MAX), 1, vec![10], true, false),
    ] {
        let limits = PageLimits { entries: limit, bytes: usize::MAX };
        let page = store.messages(&kitchen, MessagesFrom::Page(from), limits).await;
        assert_eq!(seqs(&page), expected, "{from:?}");
        assert_eq!((page.has_older, page.has_newer), (has_older, has_newer), "{from:?}");
        assert_eq!((page.first, page.last, page.newest), (1, 11, vec![]), "{from:?}");
    }
    let all = store.messages(&kitchen, MessagesFrom::Page(PageFrom::Latest), ALL).await;
    let dense = store.all(&kitchen).await;
    assert!(all.entries.iter().all(|entry| dense.entries.contains(entry)));
}

async fn folded_pages_end_at_their_limits(store: TestStore) {
    let kitchen = room("kitchen");
    store.account("alice").await;
    let messages: Vec<_> = (0..6).map(|_| draft(&kitchen, "alice", "four")).collect();
    store.append(&messages, 1).await;
    for (entries, bytes, latest, after, more) in [
        (9, 8, vec![5, 6], vec![1, 2], true),
        (9, 11, vec![5, 6], vec![1, 2], true),
        (9, 0, vec![6], vec![1], true),
        (0, 99, vec![6], vec![1], true),
        (6, 24, (1..=6).collect(), (1..=6).collect(), false),
        (6, 23, (2..=6).collect(), (1..=5).collect(), true),
        (usize::MAX, usize::MAX, (1..=6).collect(), (1..=6).collect(), false),
    ] {
        let limits = PageLimits { entries, bytes };
        let page = store.messages(&kitchen, MessagesFrom::Page(PageFrom::Latest), limits).await;
        assert_eq!((seqs(&page), page.has_older, page.has_newer), (latest, more, false), "{limits:?}");
        let page = store.messages(&kitchen, MessagesFrom::Page(PageFrom::After(0)), limits).await;
        assert_eq!((seqs(&page), page.has_older, page.has_newer), (after, false, more), "{limits:?}");
    }
}

async fn a_page_around_a_number(store: TestStore) {
    let kitchen = room("kitchen");
    store.account("alice").await;
    // Messages have odd numbers from 1 to 19.
    for seq in (1..20).step_by(2) {
        let drafts = [draft(&kitchen, "alice", "four"), react(&kitchen, "alice", seq, "👍")];
        store.append(&drafts[..1], 1).await;
        store.append(&drafts[1..], 1).await;
    }
    for (around, entries, bytes, expected, has_older, has_newer) in [
        (9, 5, usize::MAX, vec![5, 7, 9, 11, 13], true, true),
        (10, 5, usize::MAX, vec![7, 9, 11, 13, 15], true, true),
        (9, 4, usize::MAX, vec![5, 7, 9, 11], true, true),
        (9, 1, usize::MAX, vec![9], true, true),
        (10, 1, usize::MAX, vec![11], true, true),
        (9, 0, usize::MAX, vec![9], true, true),
        // No refilling at the ends.
        (1, 6, usize::MAX, vec![1, 3, 5], false, true),
        (3, 6, usize::MAX, vec![1, 3, 5, 7], false, true),
        (19, 6, usize::MAX, vec![13, 15, 17, 19], true, false),
        (20, 6, usize::MAX, vec![15, 17, 19], true, false),
        (99, 4, usize::MAX, vec![17, 19], true, false),
        (u64::MAX, 4, usize::MAX, vec![17, 19], true, false),
        (0, 4, usize::MAX, vec![1, 3], false, true),
        (9, 99, usize::MAX, (1..20).step_by(2).collect(), false, false),
        // The limit of bytes cuts what is farthest.
        (9, 6, 12, vec![7, 9, 11], true, true),
        (9, 6, 15, vec![7, 9, 11], true, true),
        (9, 6, 16, vec![5, 7, 9, 11], true, true),
        (9, 6, 8, vec![7, 9], true, true),
        (9, 6, 0, vec![9], true, true),
        (19, 8, 12, vec![15, 17, 19], true, false),
        (1, 8, 12, vec![1, 3, 5], false, true),
        (99, 8, 4, vec![19], true, false),
    ] {
        let page =
            store.messages(&kitchen, MessagesFrom::Around(around), PageLimits { entries, bytes }).await;
        let context = format!("{entries} around {around}, {bytes} bytes");
        assert_eq!(seqs(&page), expected, "{context}");
        assert_eq!((page.has_older, page.has_newer), (has_older, has_newer), "{context}");
        assert_eq!((page.first, page.last), (1, 20));
    }
}

async fn messages_by_their_numbers(store: TestStore) {
    let kitchen = kitchen(&store).await;
    let read = async |seqs: &[u64], limits| {
        let page = store.messages(&kitchen, MessagesFrom::Numbers(seqs.to_vec()), limits).await;
        assert!(!page.has_older && !page.has_newer);
        assert_eq!((page.first, page.last), (1, 11));
        described(&page)
    };
    let four = "4 bob:  deleted @9".to_owned();
    assert_eq!(read(&[10, 4, 2, 4, 99, 0, u64::MAX], ALL).await, [four.clone(), "10 carol: four".into()]);
    assert_eq!(read(&[], ALL).await, [""; 0]);
    assert_eq!(
        read(&[8, 10, 4], PageLimits { entries: 2, bytes: 99 }).await,
        [four.clone(), "8 alice: three".into()]
    );
    assert_eq!(read(&[8, 10, 4], PageLimits { entries: 9, bytes: 6 }).await, [four, "8 alice: three".into()]);
    assert_eq!(read(&[8, 10], PageLimits { entries: 0, bytes: 0 }).await, ["8 alice: three"]);
}

async fn reactions_and_their_users(store: TestStore) {
    let kitchen = room("kitchen");
    store.account("alice").await;
    store.append(&[draft(&kitchen, "alice", "one"), draft(&kitchen, "alice", "two")], 1).await;
    let thumbs: Vec<_> = (0..8).map(|user| react(&kitchen, &format!("user{user}"), 1, "👍")).collect();
    store.append(&thumbs, 1).await;
    store.append(&[react(&kitchen, "alice", 1, "🎉"), unreact(&kitchen, "user1", 1, "👍")], 1).await;
    let reactions = async |seq, user: &str| {
        let found = store.log.reactions(&kitchen, seq, &name(user)).await.unwrap()?;
        let all: Vec<_> =
            found.reactions.iter().map(|all| format!("{}{}", all.emoji.as_str(), all.count)).collect();
        let mine: Vec<_> = found.mine.iter().map(Emoji::as_str).collect();
        Some(format!("{}; {}", all.join(" "), mine.join(" ")))
    };
    assert_eq!(reactions(1, "alice").await.as_deref(), Some("👍7 🎉1; 🎉"));
    assert_eq!(reactions(1, "user0").await.as_deref(), Some("👍7 🎉1; 👍"));
    assert_eq!(reactions(1, "user1").await.as_deref(), Some("👍7 🎉1; "));
    assert_eq!(reactions(2, "alice").await.as_deref(), Some("; "));
    for seq in [0, 3, 99] {
        assert_eq!(reactions(seq, "alice").await, None, "{seq}");
    }
    assert!(store.log.reactions(&room("cellar"), 1, &name("alice")).await.unwrap().is_none());
    let reactors = async |emoji, after, max| {
        let found = store.log.reactors(&kitchen, 1, &Emoji::stored(emoji), after, max).await.unwrap();
        found
            .iter()
            .map(|(user, seq): &(Username, u64)| format!("{}{seq}", user.as_str()))
            .collect::<Vec<_>>()
    };
    assert_eq!(reactors("👍", 0, 3).await, ["user03", "user25", "user36"]);
    assert_eq!(reactors("👍", 6, 99).await, ["user47", "user58", "user69", "user710"]);
    assert_eq!(reactors("👍", 10, 99).await, [""; 0]);
    assert_eq!(reactors("👎", 0, 99).await, [""; 0]);
    store.append(&[delete(&kitchen, "alice", 1)], 1).await;
    assert_eq!(reactions(1, "alice").await, None);
    assert_eq!(reactors("👍", 0, 99).await, [""; 0]);
}

async fn what_is_deleted_is_not_unread(store: TestStore) {
    store.accounts("alice bob").await;
    let (kitchen, talk) = (room("kitchen"), pair("alice", "bob"));
    store.send("kitchen", "alice", 1, 1).await;
    store.send("kitchen", "bob", 1, 1).await;
    let hello = mention(draft(&kitchen, "alice", "hello"), "bob");
    store.append(&[hello.clone(), hello, draft(&kitchen, "alice", "x")], 1).await;
    store.append(&[private("alice", "bob", "a"), private("alice", "bob", "b")], 1).await;
    assert_eq!(store.position("bob", &kitchen).await, "read 1 of 5, 3 unread, 2 mentions");
    assert_eq!(store.position("bob", &talk).await, "read 0 of 2, 2 unread");
    let drafts = [
        delete(&kitchen, "alice", 3),
        edit(&kitchen, "alice", 4, "no longer"),
        react(&kitchen, "alice", 5, "👍"),
        delete(&talk, "alice", 1),
        react(&talk, "alice", 2, "👍"),
    ];
    store.append(&drafts, 1).await;
    assert_eq!(store.position("bob", &kitchen).await, "read 1 of 8, 2 unread");
    assert_eq!(store.position("bob", &talk).await, "read 0 of 4, 1 unread");
    let memberships = store.log.memberships(&name("bob"), 9, 9).await.unwrap().rooms;
    let counts = memberships[0].counts.unwrap();
    assert_eq!((memberships[0].top, counts.unread, counts.mentions), (8, 2, 0));
    let conversation = &store.log.conversations(&name("bob"), 9).await.unwrap().latest[0];
    assert_eq!((conversation.top, conversation.unread), (4, Some(1)));
    store.log.keep(&[mark("bob", &kitchen, Some(7), None)]).await.unwrap();
    let state = store.log.counts(&name("bob"), &kitchen, 0).await.unwrap();
    assert_eq!(position(state), "read 7 of 8, 0 unread");
}

async fn a_change_moves_no_conversation_up(store: TestStore) {
    store.accounts("alice bob carol").await;
    for (now_ms, room, with) in [(10, "kitchen", "bob"), (20, "garden", "carol")] {
        store.send(room, "alice", 1, now_ms).await;
        store.append(&[private("alice", with, "hi")], now_ms).await;
    }
    let (kitchen, talk) = (room("kitchen"), pair("alice", "bob"));
    let drafts =
        [react(&kitchen, "alice", 1, "👍"), edit(&kitchen, "alice", 1, "ho"), delete(&talk, "alice", 1)];
    store.append(&drafts, 30).await;
    let alice = name("alice");
    let rooms = store.log.memberships(&alice, 9, 0).await.unwrap().rooms;
    let rooms: Vec<_> = rooms.iter().map(|room| (room.room.as_str(), room.at_ms, room.top)).collect();
    assert_eq!(rooms, [("garden", 20, 1), ("kitchen", 10, 3)]);
    let talks = store.log.conversations(&alice, 9).await.unwrap().latest;
    let talks: Vec<_> = talks.iter().map(|talk| (talk.with.as_str(), talk.at_ms, talk.top)).collect();
    assert_eq!(talks, [("carol", 20, 1), ("bob", 10, 2)]);
    for listed in [store.rooms.open_rooms(9).await, store.rooms.rooms_of(&alice, 9).await] {
        let listed = listed.unwrap();
        let listed: Vec<_> = listed.iter().map(|room| (room.name.as_str(), room.at_ms)).collect();
        assert_eq!(listed, [("garden", 20), ("kitchen", 10)]);
    }
    let found = store.rooms.find_room(&room_name("kitchen")).await.unwrap();
    assert_eq!(found.map(|room| room.at_ms), Some(10));
    store.append(&[draft(&kitchen, "alice", "two"), private("bob", "alice", "two")], 40).await;
    assert_eq!(store.log.memberships(&alice, 9, 0).await.unwrap().rooms[0].at_ms, 40);
    assert_eq!(store.log.conversations(&alice, 9).await.unwrap().latest[0].at_ms, 40);
}

async fn stamps_of_messages_and_changes_do_not_run_backwards(store: TestStore) {
    store.account("alice").await;
    let kitchen = room("kitchen");
    for (now_ms, stamp, drafts) in [
        (50, 50, vec![checked(draft(&kitchen, "alice", "one"))]),
        (70, 70, vec![edit(&kitchen, "alice", 1, "two")]),
        (60, 70, vec![draft(&kitchen, "alice", "three")]),
        (40, 70, vec![react(&kitchen, "alice", 1, "👍")]),
        (90, 90, vec![draft(&kitchen, "alice", "four"), delete(&kitchen, "alice", 1)]),
        (80, 90, vec![delete(&kitchen, "alice", 3)]),
    ] {
        for outcome in store.append(&drafts, now_ms).await {
            let chat_core::Outcome::Stored { at_ms, .. } = outcome else { panic!("{outcome:?}") };
            assert_eq!(at_ms, stamp, "at {now_ms}");
        }
    }
    let all = store.all(&kitchen).await;
    assert!(all.entries.is_sorted_by_key(|entry| entry.at_ms));
    assert_eq!(store.rooms.open_rooms(9).await.unwrap()[0].at_ms, 90);
}

async fn a_trimmed_topic_begins_with_a_change(store: TestStore) {
    store.accounts("alice bob").await;
    let kitchen = room("kitchen");
    store.append(&[draft(&kitchen, "alice", "one")], 1).await;
    store.append(&[edit(&kitchen, "alice", 1, "uno"), react(&kitchen, "bob", 1, "👍")], 1).await;
    store.append(&[draft(&kitchen, "alice", "two")], 1).await;
    let now_ms = 1_000_000_000;
    let step = async |entries: u64, max: usize| {
        let retention = Retention { entries: Some(entries), age_ms: None };
        store.log.trim(&retention, TrimPosition::default(), now_ms, max).await.unwrap();
    };
    // The message is removed, and its changes are not yet.
    step(1, 1).await;
    let page = store.all(&kitchen).await;
    assert_eq!(described(&page), ["2 edits 1", "3 bob 👍 1", "4 alice: two"]);
    assert_eq!((page.first, page.last), (2, 4));
    for (from, expected) in [
        (PageFrom::After(0), vec![2, 3]),
        (PageFrom::After(1), vec![2, 3]),
        (PageFrom::After(2), vec![3, 4]),
        (PageFrom::Before(4), vec![2, 3]),
        (PageFrom::Before(2), vec![]),
        (PageFrom::Latest, vec![3, 4]),
    ] {
        let two = PageLimits { entries: 2, bytes: usize::MAX };
        assert_eq!(seqs(&store.log.page(&kitchen, from, two).await.unwrap()), expected, "{from:?}");
    }
    let page = store.messages(&kitchen, MessagesFrom::Page(PageFrom::Latest), ALL).await;
    assert_eq!((described(&page), page.has_older, page.first), (vec!["4 alice: two".into()], false, 2));
    assert!(store.log.reactions(&kitchen, 1, &name("bob")).await.unwrap().is_none());
    step(1, 99).await;
    assert_eq!(described(&store.all(&kitchen).await), ["4 alice: two"]);
    store.append(&[react(&kitchen, "bob", 4, "👍")], 1).await;
    step(0, 99).await;
    let page = store.all(&kitchen).await;
    assert_eq!((described(&page), page.first, page.last), (vec![], 6, 5));
    let page = store.messages(&kitchen, MessagesFrom::Around(4), ALL).await;
    assert_eq!((described(&page), page.first, page.last), (vec![], 6, 5));
}

async fn an_unknown_topic_has_no_messages(store: TestStore) {
    for topic in [room("cellar"), pair("nobody", "noone")] {
        for from in [
            MessagesFrom::Page(PageFrom::Latest),
            MessagesFrom::Page(PageFrom::After(0)),
            MessagesFrom::Around(1),
            MessagesFrom::Numbers(vec![1]),
        ] {
            assert_eq!(store.messages(&topic, from, ALL).await, Page { first: 1, ..Page::default() });
        }
        assert!(store.log.reactors(&topic, 1, &Emoji::stored("👍"), 0, 9).await.unwrap().is_empty());
    }
}

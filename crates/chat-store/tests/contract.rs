//! What every store must do. Each story runs on each store.

// Clippy takes only `#[test]` functions for tests, not what they call.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use chat_core::{Outcome, Page, PageFrom, PageLimits, SessionId, Topic};
use chat_store::{NewUser, Session, StoreError, User};
use common::{ALL, Place, WithNonce as _, draft, name, pair, private, room, said};

macro_rules! every_store {
    ($($story:ident),* $(,)?) => {
        mod memory {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() { super::$story(super::Place::memory().await).await }
        )*}
        mod sqlite {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() { super::$story(super::Place::sqlite().await).await }
        )*}
        mod postgres {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() {
                if let Some(place) = super::Place::postgres().await {
                    super::$story(place).await
                }
            }
        )*}
    };
}

every_store! {
    an_account_is_found_by_its_exact_name,
    a_name_is_given_once,
    a_password_hash_is_replaced_only_if_it_is_still_the_old_one,
    a_session_lasts_until_its_end,
    a_revoked_session_is_gone,
    each_topic_counts_for_itself,
    stamps_never_run_backwards,
    a_retry_in_the_same_batch_is_stored_once,
    a_retry_in_a_later_batch_gets_the_first_result_whatever_it_says,
    a_nonce_is_its_authors_own,
    a_message_to_nobody_is_not_stored,
    who_has_no_account_may_write,
    notes_to_oneself_are_a_pair,
    an_entry_comes_back_as_it_was_written,
    any_script_comes_back_as_it_was_written,
    topics_that_look_alike_are_different,
    an_empty_batch_is_fine,
    pages_go_in_all_directions,
    a_page_ends_at_its_limits,
    an_unknown_topic_is_an_empty_one,
    many_writers_leave_no_hole,
    readers_see_whole_batches,
    the_epoch_stays,
    the_log_may_be_called_in_place,
    it_answers,
}

async fn an_account_is_found_by_its_exact_name(place: Place) {
    let users = &place.stores.users;
    for (index, person) in ["alice", "Алиса", "two words", "O’Neil", "李雷", "👩‍💻"].into_iter().enumerate()
    {
        let avatar = (index % 2 == 0).then(|| format!("/uploads/{index}.png"));
        let user = NewUser {
            name: name(person),
            password_hash: format!("$argon2id$…{index}"),
            avatar: avatar.clone(),
            created_at_ms: 1_795_371_797_123,
        };
        users.create_user(&user).await.unwrap();
        let found = users.find_user(&name(person)).await.unwrap().unwrap();
        let NewUser { name, password_hash, created_at_ms, .. } = user;
        assert_eq!(found, User { name, password_hash, avatar, created_at_ms });
    }
    for nobody in ["Alice", "алиса", "alice2", "' OR 1=1 --", "%"] {
        assert_eq!(users.find_user(&name(nobody)).await.unwrap(), None);
    }
}

async fn a_name_is_given_once(place: Place) {
    place.account("Алиса").await;
    let mut again =
        NewUser { name: name("Алиса"), password_hash: "another".into(), avatar: None, created_at_ms: 5 };
    let refused = place.stores.users.create_user(&again).await;
    assert!(matches!(refused, Err(StoreError::NameTaken)), "{refused:?}");
    assert_eq!(refused.unwrap_err().to_string(), "username already exists");
    let first = place.stores.users.find_user(&name("Алиса")).await.unwrap().unwrap();
    assert_ne!(first.password_hash, "another");
    // Case is for the caller to judge.
    again.name = name("АЛИСА");
    place.stores.users.create_user(&again).await.unwrap();
}

async fn a_password_hash_is_replaced_only_if_it_is_still_the_old_one(place: Place) {
    let users = &place.stores.users;
    let hash = async |person: &str| {
        let user = users.find_user(&name(person)).await.unwrap();
        user.map(|user| user.password_hash)
    };
    place.account("alice").await;
    place.account("bob").await;
    let first = hash("alice").await.unwrap();
    assert!(users.set_password_hash(&name("alice"), &first, "second").await.unwrap());
    assert_eq!(hash("alice").await.unwrap(), "second");
    // Who had the first in mind comes too late.
    assert!(!users.set_password_hash(&name("alice"), &first, "third").await.unwrap());
    assert!(!users.set_password_hash(&name("Alice"), "second", "third").await.unwrap());
    assert_eq!(hash("alice").await.unwrap(), "second");
    assert_eq!(hash("bob").await.unwrap(), first);
    assert_eq!(hash("Alice").await, None);
    let alice = users.find_user(&name("alice")).await.unwrap().unwrap();
    assert_eq!((alice.avatar, alice.created_at_ms), (None, 1));
}

fn session(id: &str, created_at_ms: u64, expires_at_ms: u64) -> Session {
    Session { id: SessionId::new(id), user: name("alice"), created_at_ms, expires_at_ms }
}

async fn a_session_lasts_until_its_end(place: Place) {
    let sessions = &place.stores.sessions;
    let short = session("short", 100, 200);
    sessions.open_session(&short).await.unwrap();
    assert_eq!(sessions.find_session(&short.id, 199).await.unwrap(), Some(short.clone()));
    assert_eq!(sessions.find_session(&short.id, 200).await.unwrap(), None);
    assert_eq!(sessions.find_session(&SessionId::new("Short"), 150).await.unwrap(), None);

    sessions.renew_session(&short.id, 150, 300).await.unwrap();
    let renewed = session("short", 100, 300);
    assert_eq!(sessions.find_session(&short.id, 299).await.unwrap(), Some(renewed));
    // What ended does not come back.
    sessions.renew_session(&short.id, 300, 900).await.unwrap();
    assert_eq!(sessions.find_session(&short.id, 300).await.unwrap(), None);
    sessions.renew_session(&SessionId::new("nobody's"), 100, 900).await.unwrap();
    assert_eq!(sessions.find_session(&SessionId::new("nobody's"), 100).await.unwrap(), None);

    // Later sign-ins sweep the ended ones out, and only those.
    for index in 0..300 {
        sessions.open_session(&session(&index.to_string(), 400, 500)).await.unwrap();
    }
    assert_eq!(sessions.find_session(&short.id, 150).await.unwrap(), None);
    assert!(sessions.find_session(&SessionId::new("0"), 499).await.unwrap().is_some());
}

async fn a_revoked_session_is_gone(place: Place) {
    let sessions = &place.stores.sessions;
    let (mine, yours) = (session("mine", 1, 100), session("yours", 1, 100));
    sessions.open_session(&mine).await.unwrap();
    sessions.open_session(&yours).await.unwrap();
    sessions.revoke_session(&mine.id).await.unwrap();
    sessions.revoke_session(&mine.id).await.unwrap();
    sessions.renew_session(&mine.id, 50, 500).await.unwrap();
    assert_eq!(sessions.find_session(&mine.id, 50).await.unwrap(), None);
    assert_eq!(sessions.find_session(&yours.id, 50).await.unwrap(), Some(yours));
}

fn stored(seq: u64, at_ms: u64) -> Outcome {
    Outcome::Stored { seq, at_ms }
}

fn duplicate(topic: &Topic, seq: u64, at_ms: u64) -> Outcome {
    Outcome::Duplicate { topic: topic.clone(), seq, at_ms }
}

async fn each_topic_counts_for_itself(place: Place) {
    place.account("bob").await;
    let (kitchen, garden) = (room("kitchen"), room("garden"));
    let batch = [
        draft(&kitchen, "alice", "a"),
        draft(&garden, "bob", "b"),
        draft(&kitchen, "bob", "c"),
        private("alice", "bob", "d"),
        draft(&kitchen, "alice", "e"),
    ];
    let commit = place.stores.log.append(&batch, 1000).await.unwrap();
    assert!(commit.receipts.iter().map(|r| r.draft).eq(batch.iter().map(|d| d.id)));
    let outcomes: Vec<_> = commit.receipts.into_iter().map(|r| r.outcome).collect();
    assert_eq!(
        outcomes,
        [stored(1, 1000), stored(1, 1000), stored(2, 1000), stored(1, 1000), stored(3, 1000)]
    );
    // The new entries come in log order, as a reader gets them.
    let texts: Vec<_> = commit.entries.iter().map(|e| (e.seq, e.text.as_str())).collect();
    assert_eq!(texts, [(1, "a"), (1, "b"), (2, "c"), (1, "d"), (3, "e")]);
    assert_eq!(place.append(&[draft(&garden, "alice", "f")], 1001).await, [stored(2, 1001)]);
    assert_eq!(said(&place.all(&kitchen).await), ["a", "c", "e"]);
    assert_eq!(said(&place.all(&garden).await), ["b", "f"]);
    assert_eq!(said(&place.all(&pair("bob", "alice")).await), ["d"]);
}

async fn stamps_never_run_backwards(place: Place) {
    let (kitchen, garden) = (room("kitchen"), room("garden"));
    let both = [draft(&kitchen, "alice", "a"), draft(&garden, "alice", "b")];
    assert_eq!(place.append(&both[..1], 2000).await, [stored(1, 2000)]);
    assert_eq!(place.append(&both, 1000).await, [stored(2, 2000), stored(1, 1000)]);
    assert_eq!(place.append(&both, 3000).await, [stored(3, 3000), stored(2, 3000)]);
    let stamps: Vec<_> = place.all(&kitchen).await.entries.iter().map(|e| e.at_ms).collect();
    assert_eq!(stamps, [2000, 2000, 3000]);
}

async fn a_retry_in_the_same_batch_is_stored_once(place: Place) {
    let (kitchen, garden) = (room("kitchen"), room("garden"));
    let outcomes = place
        .append(
            &[
                draft(&kitchen, "alice", "other"),
                draft(&kitchen, "alice", "first").nonce("n"),
                draft(&garden, "alice", "second").nonce("n"),
                draft(&pair("alice", "nobody"), "alice", "third").nonce("n"),
                draft(&kitchen, "alice", "next").nonce("m"),
            ],
            1000,
        )
        .await;
    let first = duplicate(&kitchen, 2, 1000);
    assert_eq!(outcomes, [stored(1, 1000), stored(2, 1000), first.clone(), first, stored(3, 1000)]);
    assert_eq!(said(&place.all(&kitchen).await), ["other", "first", "next"]);
    assert_eq!(place.all(&garden).await.last, 0);
}

async fn a_retry_in_a_later_batch_gets_the_first_result_whatever_it_says(place: Place) {
    place.account("bob").await;
    let (kitchen, garden) = (room("kitchen"), room("garden"));
    place.append(&[draft(&kitchen, "alice", "a"), draft(&kitchen, "alice", "b").nonce("n")], 1000).await;
    place.append(&[private("alice", "bob", "c").nonce("p")], 1500).await;
    let outcomes = place
        .append(
            &[
                draft(&kitchen, "alice", "b").nonce("n"),
                draft(&garden, "alice", "b").nonce("n"),
                draft(&pair("alice", "nobody"), "alice", "b").nonce("n"),
                draft(&garden, "alice", "c").nonce("p"),
                draft(&garden, "alice", "new").nonce("q"),
                draft(&garden, "alice", "newer"),
            ],
            2000,
        )
        .await;
    let (b, c) = (duplicate(&kitchen, 2, 1000), duplicate(&pair("alice", "bob"), 1, 1500));
    assert_eq!(outcomes, [b.clone(), b.clone(), b.clone(), c, stored(1, 2000), stored(2, 2000)]);
    // A batch of nothing but retries writes nothing.
    assert_eq!(place.append(&[draft(&kitchen, "alice", "x").nonce("n")], 3000).await, [b]);
    assert_eq!(said(&place.all(&kitchen).await), ["a", "b"]);
    assert_eq!(said(&place.all(&garden).await), ["new", "newer"]);
}

async fn a_nonce_is_its_authors_own(place: Place) {
    let kitchen = room("kitchen");
    let (alices, bobs) = (draft(&kitchen, "alice", "a").nonce("n"), draft(&kitchen, "bob", "b").nonce("n"));
    assert_eq!(place.append(&[alices.clone(), bobs.clone()], 1).await, [stored(1, 1), stored(2, 1)]);
    assert_eq!(
        place.append(&[bobs, alices], 2).await,
        [duplicate(&kitchen, 2, 1), duplicate(&kitchen, 1, 1)]
    );
}

async fn a_message_to_nobody_is_not_stored(place: Place) {
    place.account("bob").await;
    let lost = pair("alice", "Bob");
    let refused = Outcome::NoRecipient { at_ms: 1000 };
    let batch = [
        draft(&lost, "alice", "a").nonce("n"),
        // Its nonce is still free for the right name.
        private("alice", "bob", "b").nonce("n"),
        draft(&lost, "alice", "c"),
    ];
    assert_eq!(place.append(&batch, 1000).await, [refused.clone(), stored(1, 1000), refused.clone()]);
    assert_eq!(place.all(&lost).await, Page { entries: vec![], first: 1, last: 0 });
    assert_eq!(place.append(&batch[2..], 1000).await, [refused]);
    place.account("Bob").await;
    assert_eq!(place.append(&batch[2..], 2000).await, [stored(1, 2000)]);
}

async fn who_has_no_account_may_write(place: Place) {
    // A host application's user: only the one who gets it needs an account.
    place.account("bob").await;
    assert_eq!(place.append(&[private("guest", "bob", "a")], 1).await, [stored(1, 1)]);
    assert_eq!(place.append(&[private("bob", "guest", "b")], 2).await, [Outcome::NoRecipient { at_ms: 2 }]);
}

async fn notes_to_oneself_are_a_pair(place: Place) {
    let note = private("alice", "alice", "buy milk");
    assert_eq!(place.append(std::slice::from_ref(&note), 1).await, [Outcome::NoRecipient { at_ms: 1 }]);
    place.account("alice").await;
    assert_eq!(place.append(&[note], 2).await, [stored(1, 2)]);
    assert_eq!(said(&place.all(&pair("alice", "alice")).await), ["buy milk"]);
}

async fn an_entry_comes_back_as_it_was_written(place: Place) {
    place.account("bob").await;
    let mut whisper = private("alice", "bob", "psst").nonce("n-1");
    whisper.room = Some(chat_core::RoomName::parse("kitchen").unwrap());
    let batch = [whisper, private("bob", "alice", "lost"), draft(&room("kitchen"), "bob", "hi").nonce("n-1")];
    let commit = place.stores.log.append(&batch, 1_795_371_797_123).await.unwrap();
    assert_eq!(commit.entries.len(), 2);
    for (entry, draft) in commit.entries.iter().zip([&batch[0], &batch[2]]) {
        assert_eq!(entry.at_ms, 1_795_371_797_123);
        assert_eq!((&entry.topic, &entry.from, &entry.room), (&draft.topic, &draft.from, &draft.room));
        assert_eq!((&entry.text, &entry.nonce, entry.kind), (&draft.text, &draft.nonce, draft.kind));
        let page = place.all(&draft.topic).await;
        assert_eq!(page.entries, [Arc::clone(entry)]);
    }
}

async fn any_script_comes_back_as_it_was_written(place: Place) {
    let here = room("Кухня 🍲 مطبخ");
    let texts = [
        "Привет, мир!",
        "👩‍👩‍👧‍👦 and 👍🏽",
        "مرحبا بالعالم",
        "a\u{301} is not á",
        "\u{202E}right to left",
        "\"quoted\", 'quoted', \\, %, _, ?1, $2, :x, [1,2], {\"a\":1}",
        "line\r\nline\ttab \u{1} \u{7f} \u{2028}",
        "\u{FFFD}\u{10FFFF}\u{E000}",
        "null",
        "1e3",
        "007",
        &"ж".repeat(4096),
    ];
    let batch: Vec<_> = texts.iter().map(|text| draft(&here, "Ёлка", text)).collect();
    place.append(&batch, 1).await;
    let page = place.all(&here).await;
    assert_eq!(said(&page), texts);
    assert!(page.entries.iter().all(|e| e.from == name("Ёлка") && e.topic == here));
    // Names and nonces that JSON or SQL could take for something else.
    let nonces = ["1", "01", "1.0", "null", "true", "'", "\"", "[\"a\"]", "Ж", "ж", " ", "n", "N"];
    let batch: Vec<_> = nonces.iter().map(|nonce| draft(&here, "42", nonce).nonce(nonce)).collect();
    assert!(place.append(&batch, 2).await.iter().all(|o| matches!(o, Outcome::Stored { .. })));
    let again = place.append(&batch, 3).await;
    let seqs: Vec<_> = again
        .iter()
        .map(|outcome| match outcome {
            Outcome::Duplicate { seq, .. } => *seq,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(seqs, (13..13 + nonces.len() as u64).collect::<Vec<_>>());
}

async fn topics_that_look_alike_are_different(place: Place) {
    for person in ["a", "b", "a,b", "ab"] {
        place.account(person).await;
    }
    let topics = [
        room("a"),
        room("A"),
        room("а"), // Cyrillic
        room("a "),
        room("ab"),
        room("a,b"),
        room("a/b"),
        room("[\"a\",\"b\"]"),
        pair("a", "b"),
        pair("a", "a"),
        pair("a,b", "a"),
        pair("ab", "b"),
    ];
    let batch: Vec<_> = topics
        .iter()
        .enumerate()
        .map(|(index, topic)| {
            let from = if index == 11 { "ab" } else { "a" };
            draft(topic, from, &index.to_string())
        })
        .collect();
    assert!(place.append(&batch, 1).await.iter().all(|outcome| *outcome == stored(1, 1)));
    for (index, topic) in topics.iter().enumerate() {
        assert_eq!(said(&place.all(topic).await), [index.to_string()], "{topic:?}");
    }
}

async fn an_empty_batch_is_fine(place: Place) {
    assert_eq!(place.stores.log.append(&[], 1).await.unwrap(), chat_core::Commit::default());
}

async fn ten_in_the_kitchen(place: &Place) -> Topic {
    let kitchen = room("kitchen");
    for batch in [1..=3_u32, 4..=4, 5..=10] {
        // Another topic in between, so that the numbers are not the database's.
        place.append(&[draft(&room("garden"), "bob", "x")], 1).await;
        let batch: Vec<_> = batch.map(|_| draft(&kitchen, "alice", "four")).collect();
        place.append(&batch, 1).await;
    }
    kitchen
}

fn seqs(page: &Page) -> Vec<u64> {
    page.entries.iter().map(|entry| entry.seq).collect()
}

async fn pages_go_in_all_directions(place: Place) {
    let kitchen = ten_in_the_kitchen(&place).await;
    let limits = PageLimits { entries: 3, bytes: usize::MAX };
    for (from, expected) in [
        (PageFrom::Latest, vec![8, 9, 10]),
        (PageFrom::After(0), vec![1, 2, 3]),
        (PageFrom::After(1), vec![2, 3, 4]),
        (PageFrom::After(8), vec![9, 10]),
        (PageFrom::After(10), vec![]),
        (PageFrom::After(11), vec![]),
        (PageFrom::After(u64::MAX), vec![]),
        (PageFrom::Before(11), vec![8, 9, 10]),
        (PageFrom::Before(5), vec![2, 3, 4]),
        (PageFrom::Before(3), vec![1, 2]),
        (PageFrom::Before(1), vec![]),
        (PageFrom::Before(0), vec![]),
        (PageFrom::Before(u64::MAX), vec![8, 9, 10]),
    ] {
        let page = place.stores.log.page(&kitchen, from, limits).await.unwrap();
        assert_eq!(seqs(&page), expected, "{from:?}");
        assert_eq!((page.first, page.last), (1, 10), "{from:?}");
    }
    assert_eq!(seqs(&place.all(&kitchen).await), (1..=10).collect::<Vec<_>>());
}

async fn a_page_ends_at_its_limits(place: Place) {
    let kitchen = ten_in_the_kitchen(&place).await;
    for (entries, bytes, latest, after, before) in [
        (5, 12, vec![8, 9, 10], vec![3, 4, 5], vec![4, 5, 6]),
        (5, 15, vec![8, 9, 10], vec![3, 4, 5], vec![4, 5, 6]),
        (2, 12, vec![9, 10], vec![3, 4], vec![5, 6]),
        // At least one, however small the limits.
        (5, 3, vec![10], vec![3], vec![6]),
        (5, 0, vec![10], vec![3], vec![6]),
        (0, 100, vec![10], vec![3], vec![6]),
        (usize::MAX, 8, vec![9, 10], vec![3, 4], vec![5, 6]),
    ] {
        let limits = PageLimits { entries, bytes };
        for (from, expected) in
            [(PageFrom::Latest, latest), (PageFrom::After(2), after), (PageFrom::Before(7), before)]
        {
            let page = place.stores.log.page(&kitchen, from, limits).await.unwrap();
            assert_eq!(seqs(&page), expected, "{from:?} {limits:?}");
        }
    }
}

async fn an_unknown_topic_is_an_empty_one(place: Place) {
    for topic in [room("cellar"), pair("nobody", "noone")] {
        for from in [PageFrom::Latest, PageFrom::After(0), PageFrom::Before(9)] {
            let page = place.stores.log.page(&topic, from, ALL).await.unwrap();
            assert_eq!(page, Page { entries: vec![], first: 1, last: 0 });
        }
    }
}

async fn many_writers_leave_no_hole(place: Place) {
    const WRITERS: u64 = 8;
    const BATCHES: u64 = 20;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let log = Arc::clone(&place.stores.log);
        writers.spawn(async move {
            let (kitchen, garden) = (room("kitchen"), room("garden"));
            let mut mine = Vec::new();
            for batch in 0..BATCHES {
                let text = format!("{writer}/{batch}");
                let drafts = [
                    draft(&kitchen, "alice", &text).nonce(&text),
                    draft(&garden, "alice", &text),
                    draft(&kitchen, "alice", &text),
                ];
                let commit = log.append(&drafts, batch).await.unwrap();
                mine.extend(commit.entries.iter().filter(|e| e.topic == kitchen).map(|e| e.seq));
            }
            assert!(mine.is_sorted(), "{mine:?}");
            mine
        });
    }
    let seqs_given: BTreeSet<u64> = writers.join_all().await.into_iter().flatten().collect();
    let all: Vec<u64> = (1..=WRITERS * BATCHES * 2).collect();
    assert!(seqs_given.into_iter().eq(all.iter().copied()));
    let page = place.all(&room("kitchen")).await;
    assert_eq!(seqs(&page), all);
    assert!(page.entries.iter().map(|e| e.at_ms).is_sorted());
    assert_eq!(place.all(&room("garden")).await.last, WRITERS * BATCHES);
}

async fn readers_see_whole_batches(place: Place) {
    let kitchen = room("kitchen");
    let log = Arc::clone(&place.stores.log);
    let writer = tokio::spawn(async move {
        for _ in 0..100 {
            let batch = [(); 3].map(|()| draft(&room("kitchen"), "alice", "x"));
            log.append(&batch, 1).await.unwrap();
        }
    });
    while !writer.is_finished() {
        let page = place.all(&kitchen).await;
        assert_eq!(page.last % 3, 0);
        assert_eq!(seqs(&page), (1..=page.last).collect::<Vec<_>>());
    }
    writer.await.unwrap();
    assert_eq!(place.all(&kitchen).await.last, 300);
}

async fn the_epoch_stays(place: Place) {
    let epoch = place.stores.log.epoch().to_owned();
    assert_eq!(epoch.len(), 36);
    place.append(&[draft(&room("kitchen"), "alice", "a")], 1).await;
    assert_eq!(place.stores.log.epoch(), epoch);
}

async fn the_log_may_be_called_in_place(place: Place) {
    let kitchen = room("kitchen");
    let mut published = Vec::new();
    let commit = place.stores.log.append_in_place(&[draft(&kitchen, "alice", "a")], 1, &mut |commit| {
        published.push(commit.clone());
    });
    // Either all of it happened, or nothing and `append` is the way.
    assert_eq!(published, Vec::from_iter(commit.clone()));
    assert_eq!(place.all(&kitchen).await.entries, commit.unwrap_or_default().entries);
}

async fn it_answers(place: Place) {
    place.stores.log.check().await.unwrap();
    place.append(&[draft(&room("kitchen"), "alice", "a")], 1).await;
    place.stores.log.check().await.unwrap();
}

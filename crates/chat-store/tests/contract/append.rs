//! Appending batches: numbers, stamps, recipients, concurrency.

use std::collections::BTreeSet;
use std::sync::Arc;

use chat_core::{Outcome, Page};

use crate::common::{TestStore, WithNonce as _, draft, name, pair, private, room, seqs, stored, texts};

every_store! {
    each_topic_has_its_own_numbers,
    stamps_never_run_backwards,
    a_private_message_without_a_recipient_is_not_stored,
    a_sender_needs_no_account,
    notes_to_oneself_are_a_pair,
    an_entry_comes_back_as_it_was_written,
    any_script_comes_back_as_it_was_written,
    topics_with_similar_names_are_different,
    an_empty_batch_is_accepted,
    concurrent_writers_leave_no_gap,
    readers_see_whole_batches,
    append_in_place_commits_or_declines,
}

async fn each_topic_has_its_own_numbers(store: TestStore) {
    store.account("bob").await;
    let (kitchen, garden) = (room("kitchen"), room("garden"));
    let batch = [
        draft(&kitchen, "alice", "a"),
        draft(&garden, "bob", "b"),
        draft(&kitchen, "bob", "c"),
        private("alice", "bob", "d"),
        draft(&kitchen, "alice", "e"),
    ];
    let commit = store.log.append(&batch, 1000).await.unwrap();
    assert!(commit.receipts.iter().map(|r| r.draft).eq(batch.iter().map(|d| d.id)));
    let outcomes: Vec<_> = commit.receipts.into_iter().map(|r| r.outcome).collect();
    assert_eq!(
        outcomes,
        [stored(1, 1000), stored(1, 1000), stored(2, 1000), stored(1, 1000), stored(3, 1000)]
    );
    // The commit has the new entries in log order, as a reader gets them.
    let entries: Vec<_> = commit.entries.iter().map(|e| (e.seq, e.body.text())).collect();
    assert_eq!(entries, [(1, "a"), (1, "b"), (2, "c"), (1, "d"), (3, "e")]);
    assert_eq!(store.append(&[draft(&garden, "alice", "f")], 1001).await, [stored(2, 1001)]);
    assert_eq!(texts(&store.all(&kitchen).await), ["a", "c", "e"]);
    assert_eq!(texts(&store.all(&garden).await), ["b", "f"]);
    assert_eq!(texts(&store.all(&pair("bob", "alice")).await), ["d"]);
}

async fn stamps_never_run_backwards(store: TestStore) {
    let (kitchen, garden) = (room("kitchen"), room("garden"));
    let both = [draft(&kitchen, "alice", "a"), draft(&garden, "alice", "b")];
    assert_eq!(store.append(&both[..1], 2000).await, [stored(1, 2000)]);
    assert_eq!(store.append(&both, 1000).await, [stored(2, 2000), stored(1, 1000)]);
    assert_eq!(store.append(&both, 3000).await, [stored(3, 3000), stored(2, 3000)]);
    let stamps: Vec<_> = store.all(&kitchen).await.entries.iter().map(|e| e.at_ms).collect();
    assert_eq!(stamps, [2000, 2000, 3000]);
}

async fn a_private_message_without_a_recipient_is_not_stored(store: TestStore) {
    store.account("bob").await;
    let lost = pair("alice", "Bob");
    let refused = Outcome::NoRecipient { at_ms: 1000 };
    let batch = [
        draft(&lost, "alice", "a").nonce("n"),
        // Its nonce was not used: the retry to the right name is stored.
        private("alice", "bob", "b").nonce("n"),
        draft(&lost, "alice", "c"),
    ];
    assert_eq!(store.append(&batch, 1000).await, [refused.clone(), stored(1, 1000), refused.clone()]);
    assert_eq!(store.all(&lost).await, Page { first: 1, ..Page::default() });
    let later = [private("alice", "bobby", "c")];
    assert_eq!(store.append(&later, 1000).await, [refused]);
    store.account("bobby").await;
    assert_eq!(store.append(&later, 2000).await, [stored(1, 2000)]);
}

async fn a_sender_needs_no_account(store: TestStore) {
    // A user of a host application: only the recipient needs an account.
    store.account("bob").await;
    assert_eq!(store.append(&[private("guest", "bob", "a")], 1).await, [stored(1, 1)]);
    assert_eq!(store.append(&[private("bob", "guest", "b")], 2).await, [Outcome::NoRecipient { at_ms: 2 }]);
}

async fn notes_to_oneself_are_a_pair(store: TestStore) {
    let note = private("alice", "alice", "buy milk");
    assert_eq!(store.append(std::slice::from_ref(&note), 1).await, [Outcome::NoRecipient { at_ms: 1 }]);
    store.account("alice").await;
    assert_eq!(store.append(&[note], 2).await, [stored(1, 2)]);
    assert_eq!(texts(&store.all(&pair("alice", "alice")).await), ["buy milk"]);
}

async fn an_entry_comes_back_as_it_was_written(store: TestStore) {
    store.account("bob").await;
    let mut whisper = private("alice", "bob", "psst").nonce("n-1");
    whisper.room = Some(chat_core::RoomName::parse("kitchen").unwrap());
    let batch = [whisper, private("bob", "alice", "lost"), draft(&room("kitchen"), "bob", "hi").nonce("n-1")];
    let commit = store.log.append(&batch, 1_795_371_797_123).await.unwrap();
    assert_eq!(commit.entries.len(), 2);
    for (entry, draft) in commit.entries.iter().zip([&batch[0], &batch[2]]) {
        assert_eq!(entry.at_ms, 1_795_371_797_123);
        assert_eq!((&entry.topic, &entry.from, &entry.room), (&draft.topic, &draft.from, &draft.room));
        assert_eq!((&entry.body, &entry.nonce), (&draft.body, &draft.nonce));
        let page = store.all(&draft.topic).await;
        assert_eq!(page.entries, [Arc::clone(entry)]);
    }
}

async fn any_script_comes_back_as_it_was_written(store: TestStore) {
    let here = room("Кухня 🍲 مطبخ");
    let scripts = [
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
    let batch: Vec<_> = scripts.iter().map(|text| draft(&here, "Ёлка", text)).collect();
    store.append(&batch, 1).await;
    let page = store.all(&here).await;
    assert_eq!(texts(&page), scripts);
    assert!(page.entries.iter().all(|e| e.from == name("Ёлка") && e.topic == here));
    // Names and nonces that JSON or SQL could read as something else.
    let nonces = ["1", "01", "1.0", "null", "true", "'", "\"", "[\"a\"]", "Ж", "ж", " ", "n", "N"];
    let batch: Vec<_> = nonces.iter().map(|nonce| draft(&here, "42", nonce).nonce(nonce)).collect();
    assert!(store.append(&batch, 2).await.iter().all(|o| matches!(o, Outcome::Stored { .. })));
    let again = store.append(&batch, 3).await;
    let seqs: Vec<_> = again
        .iter()
        .map(|outcome| match outcome {
            Outcome::Duplicate { seq, .. } => *seq,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(seqs, (13..13 + nonces.len() as u64).collect::<Vec<_>>());
}

async fn topics_with_similar_names_are_different(store: TestStore) {
    for person in ["a", "b", "a,b", "ab"] {
        store.account(person).await;
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
    assert!(store.append(&batch, 1).await.iter().all(|outcome| *outcome == stored(1, 1)));
    for (index, topic) in topics.iter().enumerate() {
        assert_eq!(texts(&store.all(topic).await), [index.to_string()], "{topic:?}");
    }
}

async fn an_empty_batch_is_accepted(store: TestStore) {
    assert_eq!(store.log.append(&[], 1).await.unwrap(), chat_core::Commit::default());
}

async fn concurrent_writers_leave_no_gap(store: TestStore) {
    const WRITERS: u64 = 8;
    const BATCHES: u64 = 20;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let log = Arc::clone(&store.log);
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
    let page = store.all(&room("kitchen")).await;
    assert_eq!(seqs(&page), all);
    assert!(page.entries.iter().map(|e| e.at_ms).is_sorted());
    assert_eq!(store.all(&room("garden")).await.last, WRITERS * BATCHES);
}

async fn readers_see_whole_batches(store: TestStore) {
    let kitchen = room("kitchen");
    let log = Arc::clone(&store.log);
    let writer = tokio::spawn(async move {
        for _ in 0..100 {
            let batch = [(); 3].map(|()| draft(&room("kitchen"), "alice", "x"));
            log.append(&batch, 1).await.unwrap();
        }
    });
    while !writer.is_finished() {
        let page = store.all(&kitchen).await;
        assert_eq!(page.last % 3, 0);
        assert_eq!(seqs(&page), (1..=page.last).collect::<Vec<_>>());
    }
    writer.await.unwrap();
    assert_eq!(store.all(&kitchen).await.last, 300);
}

async fn append_in_place_commits_or_declines(store: TestStore) {
    let kitchen = room("kitchen");
    let mut published = Vec::new();
    let commit = store.log.append_in_place(&[draft(&kitchen, "alice", "a")], 1, &mut |commit| {
        published.push(commit.clone());
    });
    // Either the whole batch was committed, or nothing, and `append` stores it.
    assert_eq!(published, Vec::from_iter(commit.clone()));
    assert_eq!(store.all(&kitchen).await.entries, commit.unwrap_or_default().entries);
}

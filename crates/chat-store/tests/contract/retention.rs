//! Retention: entries and nonces that are not kept.

use std::sync::Arc;

use chat_core::{PageFrom, PageLimits, Topic};
use chat_store::{KEPT_AT_LEAST_MS, NONCES_KEPT_MS, Retention, TrimPosition, Trimmed};

use crate::common::{TestStore, WithNonce as _, draft, duplicate, pair, room, seqs, stored, texts};

every_store! {
    entries_too_old_or_too_many_are_removed,
    entries_are_removed_in_small_steps,
    new_entries_are_never_removed,
    a_nonce_outlives_its_entry_for_seven_days_and_no_longer,
    appends_go_on_while_entries_are_removed,
}

async fn entries_too_old_or_too_many_are_removed(store: TestStore) {
    store.account("bob").await;
    let (kitchen, private) = (room("kitchen"), pair("alice", "bob"));
    for day in 1..=10 {
        let batch = [draft(&kitchen, "alice", &day.to_string()), draft(&private, "alice", "psst")];
        store.append(&batch, day * DAY_MS).await;
    }
    store.append(&[draft(&room("garden"), "alice", "long ago")], DAY_MS).await;
    let now = 11 * DAY_MS;
    assert_eq!(trim(&store, Retention::default(), now, 100).await.0, Trimmed::default());
    assert_eq!(trim(&store, keep(10), now, 100).await.0, Trimmed::default());

    let (trimmed, _) = trim(&store, keep(7), now, 100).await;
    assert_eq!((trimmed.entries, trimmed.topics), (6, vec![(kitchen.clone(), 4), (private.clone(), 4)]));
    let five_days = Retention { entries: Some(7), age_ms: Some(5 * DAY_MS) };
    let (trimmed, _) = trim(&store, five_days, now, 100).await;
    let topics = vec![(room("garden"), 2), (kitchen.clone(), 6), (private.clone(), 6)];
    assert_eq!((trimmed.entries, trimmed.topics), (5, topics));
    let store = if store.is_kept() { store.reopened().await } else { store };
    for topic in [&kitchen, &private] {
        let page = store.all(topic).await;
        assert_eq!((page.first, page.last, seqs(&page)), (6, 10, vec![6, 7, 8, 9, 10]));
    }
    let limits = PageLimits { entries: 3, bytes: usize::MAX };
    for (from, expected) in [
        (PageFrom::Before(7), vec![6]),
        (PageFrom::Before(6), vec![]),
        (PageFrom::After(2), vec![6, 7, 8]),
        (PageFrom::Latest, vec![8, 9, 10]),
    ] {
        let page = store.log.page(&kitchen, from, limits).await.unwrap();
        assert_eq!((page.first, seqs(&page)), (6, expected), "{from:?}");
    }
    // A topic that lost all its entries continues its numbers.
    let garden = store.all(&room("garden")).await;
    assert_eq!((garden.first, garden.last, garden.entries), (2, 1, vec![]));
    assert_eq!(store.append(&[draft(&room("garden"), "bob", "new")], now).await, [stored(2, now)]);
    let garden = store.all(&room("garden")).await;
    assert_eq!((garden.first, garden.last, texts(&garden)), (2, 2, vec!["new"]));
    assert_eq!(store.append(&[draft(&kitchen, "bob", "new")], now).await, [stored(11, now)]);
    let empty = trim(&store, keep(0), 12 * DAY_MS, 100).await.0;
    assert_eq!((empty.entries, store.all(&kitchen).await.first), (12, 12));
}

async fn entries_are_removed_in_small_steps(store: TestStore) {
    // More topics than one step looks at, and most of them have nothing to remove.
    let topics: Vec<Topic> = (0..600).map(|number| room(&format!("{number}"))).collect();
    let batch: Vec<_> = topics.iter().map(|topic| draft(topic, "alice", "a")).collect();
    for _ in 0..2 {
        store.append(&batch, 1).await;
    }
    for part in batch[..10].chunks(2) {
        store.append(&[part, part, part].concat(), 1).await;
    }
    let first = store.log.trim(&keep(2), TrimPosition::default(), DAY_MS, 7).await.unwrap();
    assert_eq!((first.entries, first.next.is_some()), (7, true));
    let (rest, steps) = trim(&store, keep(2), DAY_MS, 7).await;
    assert_eq!(rest.entries, 23);
    assert!((4..12).contains(&steps), "{steps}");
    assert_eq!(store.all(&topics[9]).await.first, 4);
    assert_eq!(store.all(&topics[10]).await.first, 1);
    let (rest, _) = trim(&store, keep(1), DAY_MS, 1_000).await;
    assert_eq!(rest.entries, 600);
    for topic in &topics {
        assert_eq!(store.all(topic).await.entries.len(), 1);
    }
}

async fn new_entries_are_never_removed(store: TestStore) {
    let kitchen = room("kitchen");
    for at_ms in [DAY_MS, DAY_MS + 1, DAY_MS + 2] {
        store.append(&[draft(&kitchen, "alice", "a")], at_ms).await;
    }
    let nothing = Retention { entries: Some(0), age_ms: Some(0) };
    let now = DAY_MS + KEPT_AT_LEAST_MS;
    assert_eq!(trim(&store, nothing, now, 100).await.0.entries, 0);
    assert_eq!(trim(&store, nothing, now + 2, 100).await.0.entries, 2);
    // A clock that was set back makes no entry old.
    assert_eq!(trim(&store, nothing, 0, 100).await.0.entries, 0);
    assert_eq!(store.all(&kitchen).await.first, 3);
}

/// Except in memory, where a nonce goes with its entry.
async fn a_nonce_outlives_its_entry_for_seven_days_and_no_longer(store: TestStore) {
    if !store.is_kept() {
        return;
    }
    let kitchen = room("kitchen");
    let batch: Vec<_> =
        ["1", "2", "3", "4", "5"].map(|nonce| draft(&kitchen, "alice", "a").nonce(nonce)).into();
    store.append(&batch, DAY_MS).await;
    store.append(&[draft(&kitchen, "alice", "a")], DAY_MS).await;
    assert_eq!(trim(&store, keep(3), 2 * DAY_MS, 100).await.0.entries, 3);
    let store = store.reopened().await;
    let known: Vec<_> = (1..=5).map(|seq| duplicate(&kitchen, seq, DAY_MS)).collect();
    assert_eq!(store.append(&batch, 3 * DAY_MS).await, known);

    // At the last moment of the seventh day the nonces are known …
    let end = DAY_MS + NONCES_KEPT_MS;
    assert_eq!(trim(&store, keep(3), end, 100).await.0, Trimmed::default());
    assert_eq!(store.append(&batch, end).await, known);
    // … and a moment later only those of kept messages are.
    let (trimmed, steps) = trim(&store, keep(3), end + 1, 2).await;
    assert_eq!((trimmed.entries, trimmed.nonces, steps), (0, 3, 3));
    assert_eq!(store.append(&batch[3..], end + 1).await, known[3..]);
    let again = store.append(&batch[..1], end + 1).await;
    assert_eq!(again, [stored(7, end + 1)]);
    // A message older than seven days takes its nonce with it.
    let (trimmed, _) = trim(&store, keep(1), end + 2, 100).await;
    assert_eq!((trimmed.entries, trimmed.nonces), (3, 2));
    assert_eq!(store.append(&batch[3..4], end + 3).await, [stored(8, end + 3)]);
    assert_eq!(store.append(&batch[..1], end + 3).await, [duplicate(&kitchen, 7, end + 1)]);
}

async fn appends_go_on_while_entries_are_removed(store: TestStore) {
    let kitchen = room("kitchen");
    let log = Arc::clone(&store.log);
    let writer = tokio::spawn(async move {
        let kitchen = room("kitchen");
        for number in 1..=100_u64 {
            let batch = [(); 5].map(|()| draft(&kitchen, "alice", "x"));
            let commit = log.append(&batch, number).await.unwrap();
            assert_eq!(commit.entries.last().map(|entry| entry.seq), Some(number * 5));
        }
    });
    let mut trimmed = 0;
    while !writer.is_finished() {
        trimmed += trim(&store, keep(20), DAY_MS, 9).await.0.entries;
        let page = store.all(&kitchen).await;
        assert_eq!(seqs(&page), (page.first..=page.last).collect::<Vec<_>>());
        assert!(page.first > trimmed, "{} {trimmed}", page.first);
    }
    writer.await.unwrap();
    trim(&store, keep(20), DAY_MS, 9).await;
    assert_eq!(seqs(&store.all(&kitchen).await), (481..=500).collect::<Vec<_>>());
}

/// Trims the whole log, `max` entries at a time. Returns what was removed, and the
/// number of steps.
async fn trim(store: &TestStore, retention: Retention, now_ms: u64, max: usize) -> (Trimmed, usize) {
    let (mut all, mut steps, mut from) = (Trimmed::default(), 0, Some(TrimPosition::default()));
    while let Some(position) = from {
        let part = store.log.trim(&retention, position, now_ms, max).await.unwrap();
        assert!(part.entries <= max as u64 && part.nonces <= max as u64, "{part:?}");
        all.entries += part.entries;
        all.nonces += part.nonces;
        all.topics.extend(part.topics);
        (steps, from) = (steps + 1, part.next);
        assert!(steps < 1_000);
    }
    all.topics.sort();
    (all, steps)
}

const DAY_MS: u64 = 86_400_000;

fn keep(entries: u64) -> Retention {
    Retention { entries: Some(entries), age_ms: None }
}

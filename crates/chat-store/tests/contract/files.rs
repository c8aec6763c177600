//! Files: reserved, stored, attached to messages, taken back, and removed.

use chat_core::{
    Access, AttachedFile, FileQuotas, FileRefused, FilesUsage, FoundFile, MessagesFrom, Outcome, PageFrom,
    ReservedFile,
};
use chat_store::{Retention, TrimPosition};
use futures_util::future::join_all;

use crate::common::{
    ALL, TestStore, WithNonce as _, checked, close, create, delete, draft, duplicate, edit, file, file_id,
    line, name, pair, private, remove, room, stored, with_files,
};

every_store! {
    a_file_is_reserved_stored_and_attached,
    a_message_shows_its_files_wherever_it_is_read,
    only_ones_own_files_are_attached_and_each_once,
    a_refused_nonce_stays_unused_and_a_retry_attaches_nothing,
    files_stay_with_an_edited_message_whose_text_may_be_blank,
    a_deleted_message_takes_its_files_along,
    a_trim_takes_the_files_of_removed_messages_along,
    who_may_read_the_message_may_read_its_files,
    files_without_a_message_are_removed_after_a_while,
    quotas_hold_while_many_reserve,
    a_sweep_and_a_message_do_not_both_get_a_file,
    two_messages_do_not_both_get_a_file,
    stored_files_are_listed_in_order,
}

fn reserved(owner: &str, number: u64, bytes: u64) -> ReservedFile {
    ReservedFile { id: file_id(number), owner: name(owner), bytes }
}

async fn usage(store: &TestStore) -> (u64, u64) {
    let FilesUsage { files, bytes } = store.files.files_usage().await.unwrap();
    (files, bytes)
}

async fn a_file_is_reserved_stored_and_attached(store: TestStore) {
    let (alice, bob) = (name("alice"), name("bob"));
    let no_quotas = FileQuotas::default();
    let reservation = reserved("alice", 1, 500);
    for _ in 0..2 {
        // Also again, after an answer that was lost.
        store.files.reserve_file(&reservation, no_quotas, 50).await.unwrap().unwrap();
        assert_eq!(usage(&store).await, (1, 500));
    }
    assert_eq!(store.files.find_file(&file_id(1)).await.unwrap(), None);
    let cat = file(1, "кот \"1\".png");
    assert!(!store.files.store_file(&bob, &cat, 60).await.unwrap());
    assert!(!store.files.store_file(&alice, &file(2, "other"), 60).await.unwrap());
    for _ in 0..2 {
        assert!(store.files.store_file(&alice, &cat, 60).await.unwrap());
        assert_eq!(usage(&store).await, (1, 10));
    }
    let mut found = FoundFile { owner: alice, file: cat, attached_to: None };
    assert_eq!(store.files.find_file(&file_id(1)).await.unwrap(), Some(found.clone()));
    assert!(store.may_read(1, "alice").await && !store.may_read(1, "bob").await);

    let kitchen = room("kitchen");
    let outcomes = store.append(&[with_files(draft(&kitchen, "alice", ""), &[1])], 1000).await;
    assert_eq!(outcomes, [stored(1, 1000)]);
    let store = if store.is_kept() { store.reopened().await } else { store };
    found.attached_to = Some((kitchen, 1));
    assert_eq!(store.files.find_file(&file_id(1)).await.unwrap(), Some(found));
    assert!(store.may_read(1, "bob").await);
    // It is not removed any more.
    store.files.drop_file(&file_id(1)).await.unwrap();
    assert_eq!(store.to_delete(1_000_000).await, [0; 0]);
    store.files.forget_files(&[file_id(1)]).await.unwrap();
    assert!(store.may_read(1, "bob").await);
    assert_eq!(usage(&store).await, (1, 10));
}

async fn a_message_shows_its_files_wherever_it_is_read(store: TestStore) {
    store.accounts("alice bob").await;
    for number in 1..=12 {
        store.upload("alice", number, &format!("{number}.png")).await;
    }
    let (kitchen, talk) = (room("kitchen"), pair("alice", "bob"));
    let numbers: Vec<u64> = (1..=10).rev().collect();
    let drafts = [
        draft(&kitchen, "alice", "before"),
        with_files(draft(&kitchen, "alice", "all"), &numbers),
        with_files(private("alice", "bob", ""), &[12, 11]),
    ];
    let commit = store.log.append(&drafts, 1000).await.unwrap();
    let files: Vec<_> = numbers.iter().map(|number| file(*number, &format!("{number}.png"))).collect();
    assert_eq!(commit.entries[1].body.files(), files);
    let names = " +10.png +9.png +8.png +7.png +6.png +5.png +4.png +3.png +2.png +1.png";
    let expected = format!("2 alice: all{names}");
    let store = if store.is_kept() { store.reopened().await } else { store };
    for from in [PageFrom::Latest, PageFrom::After(1), PageFrom::Before(3)] {
        let page = store.log.page(&kitchen, from, ALL).await.unwrap();
        assert_eq!(page.entries.last(), Some(&commit.entries[1]));
        let page = store.messages(&kitchen, MessagesFrom::Page(from), ALL).await;
        assert_eq!(page.entries.last().map(|entry| line(entry)).as_ref(), Some(&expected));
    }
    for from in [MessagesFrom::Around(2), MessagesFrom::Numbers(vec![2])] {
        let page = store.messages(&kitchen, from, ALL).await;
        assert_eq!(page.entries.last(), Some(&commit.entries[1]));
    }
    assert_eq!(store.lines(&talk).await, ["1 alice:  +12.png +11.png"]);
    // The names and 100 bytes for each file count.
    let limits = chat_core::PageLimits { entries: 9, bytes: 1_000 };
    let page = store.log.page(&kitchen, PageFrom::After(0), limits).await.unwrap();
    assert_eq!(page.entries.len(), 1);
}

async fn only_ones_own_files_are_attached_and_each_once(store: TestStore) {
    store.accounts("alice bob").await;
    for (number, owner) in [(1, "alice"), (2, "bob"), (3, "alice"), (4, "alice"), (5, "alice")] {
        store.upload(owner, number, "a").await;
    }
    store.files.reserve_file(&reserved("alice", 6, 9), FileQuotas::default(), 100).await.unwrap().unwrap();
    store.files.drop_file(&file_id(5)).await.unwrap();
    let kitchen = room("kitchen");
    let message = |numbers: &[u64]| with_files(draft(&kitchen, "alice", "a"), numbers);
    let eleven: Vec<u64> = (1..=11).collect();
    let outcomes = store
        .append(
            &[
                message(&[1]),
                message(&[1]),
                message(&[3, 2]),
                message(&[3, 3]),
                message(&[3, 6]),
                message(&[3, 5]),
                message(&[3, 99]),
                message(&eleven),
                with_files(private("alice", "nobody", "a"), &[3]),
                message(&[4, 3]),
                with_files(private("alice", "bob", "a"), &[4]),
                with_files(draft(&kitchen, "bob", ""), &[2]),
            ],
            1000,
        )
        .await;
    let bad = Outcome::InvalidFiles;
    let mut expected = vec![stored(1, 1000)];
    expected.extend(vec![bad.clone(); 7]);
    expected.extend([Outcome::NoRecipient { at_ms: 1000 }, stored(2, 1000), bad, stored(3, 1000)]);
    assert_eq!(outcomes, expected);
    assert_eq!(store.lines(&kitchen).await, ["1 alice: a +a", "2 alice: a +a +a", "3 bob:  +a"]);
    // Also in a later batch.
    assert_eq!(store.append(&[message(&[4])], 2000).await, [Outcome::InvalidFiles]);
}

async fn a_refused_nonce_stays_unused_and_a_retry_attaches_nothing(store: TestStore) {
    let kitchen = room("kitchen");
    let message = with_files(draft(&kitchen, "alice", "a"), &[1]).nonce("n");
    assert_eq!(store.append(std::slice::from_ref(&message), 1000).await, [Outcome::InvalidFiles]);
    store.upload("alice", 1, "a").await;
    store.upload("alice", 2, "b").await;
    let again = with_files(draft(&kitchen, "alice", "b"), &[2]).nonce("n");
    let first = duplicate(&kitchen, 1, 2000);
    assert_eq!(store.append(&[message.clone(), again.clone()], 2000).await, [stored(1, 2000), first.clone()]);
    assert_eq!(store.append(&[again, message], 3000).await, [first.clone(), first]);
    assert_eq!(store.lines(&kitchen).await, ["1 alice: a +a"]);
    assert_eq!(store.files.find_file(&file_id(2)).await.unwrap().unwrap().attached_to, None);
}

async fn files_stay_with_an_edited_message_whose_text_may_be_blank(store: TestStore) {
    store.upload("alice", 1, "a.png").await;
    let kitchen = room("kitchen");
    store
        .append(&[with_files(draft(&kitchen, "alice", "a"), &[1]), draft(&kitchen, "alice", "b")], 1000)
        .await;
    let blank = |target| edit(&kitchen, "alice", target, "");
    let outcomes = store.append(&[blank(1), blank(2).nonce("n"), blank(9)], 2000).await;
    assert_eq!(outcomes, [stored(3, 2000), Outcome::BlankText, Outcome::NotFound]);
    assert_eq!(store.append(&[edit(&kitchen, "bob", 2, "")], 2000).await, [Outcome::Forbidden]);
    assert_eq!(store.append(&[edit(&kitchen, "alice", 2, "c").nonce("n")], 2000).await, [stored(4, 2000)]);
    let expected = ["1 alice:  +a.png edited@2000 updated 3", "2 alice: c edited@2000 updated 4"];
    assert_eq!(store.shown(&kitchen).await, expected);
    assert_eq!(store.lines(&kitchen).await[2..], ["3 alice edits 1: ", "4 alice edits 2: c"]);
    store.append(&[edit(&kitchen, "alice", 1, "d")], 3000).await;
    assert_eq!(store.shown(&kitchen).await[0], "1 alice: d +a.png edited@3000 updated 5");
    assert!(store.may_read(1, "bob").await);
    assert_eq!(store.to_delete(1_000_000).await, [0; 0]);
}

async fn a_deleted_message_takes_its_files_along(store: TestStore) {
    store.accounts("alice bob").await;
    for number in 1..=4 {
        store.upload("alice", number, "a").await;
    }
    let (kitchen, talk) = (room("kitchen"), pair("alice", "bob"));
    let drafts = [
        with_files(draft(&kitchen, "alice", "a"), &[1, 2]),
        with_files(draft(&kitchen, "alice", "b"), &[3]),
        with_files(private("alice", "bob", ""), &[4]),
    ];
    store.append(&drafts, 1000).await;
    let changes =
        [delete(&kitchen, "alice", 1), delete(&kitchen, "alice", 1), edit(&kitchen, "alice", 2, "")];
    let commit = store.log.append(&changes, 2000).await.unwrap();
    let mut taken_back = commit.files_taken_back.clone();
    taken_back.sort_unstable();
    assert_eq!(taken_back, [file_id(1), file_id(2)]);
    let again = store.log.append(&[delete(&kitchen, "alice", 1)], 2000).await.unwrap();
    assert_eq!(again.files_taken_back, []);
    for number in [1, 2] {
        assert_eq!(store.files.find_file(&file_id(number)).await.unwrap(), None);
        assert!(!store.may_read(number, "alice").await);
    }
    assert!(store.may_read(3, "bob").await);
    let commit = store.log.append(&[delete(&talk, "alice", 1)], 3000).await.unwrap();
    assert_eq!(commit.files_taken_back, [file_id(4)]);
    let shown = ["1 alice:  deleted updated 3", "2 alice:  +a edited@2000 updated 4"];
    assert_eq!(store.shown(&kitchen).await, shown);
    assert_eq!(store.lines(&talk).await[0], "1 alice:  deleted updated 2");
    let store = if store.is_kept() { store.reopened().await } else { store };
    assert_eq!(store.to_delete(0).await, [1, 2, 4]);
    // Nobody attaches them again.
    let message = with_files(draft(&kitchen, "alice", "c"), &[1]);
    assert_eq!(store.append(&[message], 4000).await, [Outcome::InvalidFiles]);
    assert!(!store.files.store_file(&name("alice"), &file(1, "a"), 4000).await.unwrap());
    assert_eq!(usage(&store).await, (4, 100));
    store.files.forget_files(&[1, 2, 3].map(file_id)).await.unwrap();
    assert_eq!((store.to_delete(0).await, usage(&store).await), (vec![4], (2, 70)));
}

async fn a_trim_takes_the_files_of_removed_messages_along(store: TestStore) {
    for number in 1..=3 {
        store.upload("alice", number, "a").await;
    }
    let kitchen = room("kitchen");
    let drafts = [
        with_files(draft(&kitchen, "alice", "a"), &[1, 2]),
        draft(&kitchen, "alice", "b"),
        with_files(draft(&kitchen, "alice", "c"), &[3]),
    ];
    store.append(&drafts, 1000).await;
    let retention = Retention { entries: Some(1), age_ms: None };
    let trimmed = store.log.trim(&retention, TrimPosition::default(), 1_000_000_000, 100).await.unwrap();
    let mut files = trimmed.files;
    files.sort_unstable();
    assert_eq!((trimmed.entries, files), (2, vec![file_id(1), file_id(2)]));
    assert_eq!(store.to_delete(0).await, [1, 2]);
    assert!(store.may_read(3, "bob").await && !store.may_read(1, "alice").await);
}

async fn who_may_read_the_message_may_read_its_files(store: TestStore) {
    store.accounts("alice bob carol").await;
    for number in 1..=4 {
        store.upload("alice", number, "a").await;
    }
    store.change(&create("~cellar", Access::Closed, "alice", &["bob"])).await.unwrap();
    let cellar = room("~cellar");
    let drafts = [
        with_files(draft(&room("kitchen"), "alice", "a"), &[1]),
        with_files(checked(draft(&cellar, "alice", "a")), &[2]),
        with_files(private("alice", "bob", "a"), &[3]),
    ];
    store.append(&drafts, 1000).await;
    let readers = async |number| {
        let mut readers = String::new();
        for reader in ["alice", "bob", "carol", "stranger"] {
            readers += if store.may_read(number, reader).await { &reader[..1] } else { "-" };
        }
        readers
    };
    assert_eq!(readers(1).await, "abcs");
    assert_eq!(readers(2).await, "ab--");
    assert_eq!(readers(3).await, "ab--");
    assert_eq!(readers(4).await, "a---");
    assert_eq!(readers(5).await, "----");
    // Also an author who is no member any more loses it.
    store.change(&remove("~cellar", "alice", "bob")).await.unwrap();
    assert_eq!(readers(2).await, "a---");
    store.change(&create("hall", Access::Open, "bob", &["carol"])).await.unwrap();
    store.append(&[with_files(checked(draft(&room("hall"), "alice", "a")), &[4])], 2000).await;
    assert_eq!(readers(4).await, "abcs");
    store.change(&remove("hall", "bob", "alice")).await.unwrap();
    store.change(&close("hall", "bob")).await.unwrap();
    assert_eq!(readers(4).await, "-bc-");
}

async fn files_without_a_message_are_removed_after_a_while(store: TestStore) {
    let quotas = FileQuotas { user_bytes: Some(20_300), all_bytes: None };
    // Reserved at 50 and stored at 100 ms; then one that is being uploaded.
    for number in 1..=3 {
        store.upload("alice", number, "a").await;
    }
    store.append(&[with_files(draft(&room("kitchen"), "alice", "a"), &[1])], 1000).await;
    store.files.reserve_file(&reserved("alice", 4, 8_000), quotas, 200).await.unwrap().unwrap();
    assert_eq!(store.to_delete(100).await, [0; 0]);
    assert_eq!(store.files.files_to_delete(150, 1).await.unwrap().len(), 1);
    assert_eq!(store.to_delete(200).await, [2, 3]);
    assert_eq!(store.to_delete(201).await, [2, 3, 4]);
    assert!(!store.may_read(2, "alice").await);
    assert!(!store.files.store_file(&name("alice"), &file(4, "late"), 300).await.unwrap());
    // They count for their user no more, but for all until they are gone.
    let next = reserved("alice", 5, 16_200);
    let full = FileQuotas { user_bytes: Some(20_300), all_bytes: Some(30_000) };
    let refused = store.files.reserve_file(&next, full, 300).await.unwrap();
    assert_eq!(refused, Err(FileRefused::AllQuota));
    assert_eq!(usage(&store).await, (4, 8_060));
    store.files.forget_files(&[1, 2, 3, 4].map(file_id)).await.unwrap();
    assert_eq!((store.to_delete(0).await, usage(&store).await), (vec![], (1, 10)));
    store.files.reserve_file(&next, full, 300).await.unwrap().unwrap();
    // A broken upload goes at once.
    store.files.drop_file(&file_id(5)).await.unwrap();
    store.files.drop_file(&file_id(99)).await.unwrap();
    assert_eq!(store.to_delete(0).await, [5]);
}

async fn quotas_hold_while_many_reserve(store: TestStore) {
    for (quotas, refused) in [
        (FileQuotas { user_bytes: Some(22_100), all_bytes: None }, FileRefused::UserQuota),
        (FileQuotas { user_bytes: None, all_bytes: Some(22_100) }, FileRefused::AllQuota),
    ] {
        let store = store.another().await;
        let files: Vec<_> = (1..=20).map(|number| reserved("alice", number, 6_000)).collect();
        let answers = join_all(files.iter().map(|file| store.files.reserve_file(file, quotas, 100))).await;
        let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 3);
        assert_eq!(answers.iter().filter(|answer| **answer == Err(refused)).count(), 17);
        assert_eq!(usage(&store).await, (3, 18_000));
        let rest = store.files.reserve_file(&reserved("alice", 30, 100), quotas, 100).await.unwrap();
        assert_eq!(rest, Ok(()));
        // Each file counts for 4,096 bytes at least.
        assert_eq!(usage(&store).await, (4, 18_100));
        let empty = store.files.reserve_file(&reserved("alice", 32, 0), quotas, 100).await.unwrap();
        assert_eq!(empty, Err(refused));
        let others = store.files.reserve_file(&reserved("bob", 31, 1), quotas, 100).await.unwrap();
        assert_eq!(others.is_ok(), refused == FileRefused::UserQuota);
        // What is stored counts for less than what was reserved; in what was removed nothing.
        assert!(store.files.store_file(&name("alice"), &file(30, "a"), 100).await.unwrap());
        let reserved_first = files.iter().zip(&answers).filter(|(_, answer)| answer.is_ok());
        let first = reserved_first.map(|(file, _)| file.id).next().unwrap();
        let small = AttachedFile { id: first, ..file(1, "a") };
        assert!(store.files.store_file(&name("alice"), &small, 100).await.unwrap());
        store.files.drop_file(&file_id(30)).await.unwrap();
        store.files.forget_files(&[file_id(30)]).await.unwrap();
        // 4,096 and twice 6,000, and for the quota of all what bob has.
        let left = 22_100 - 16_096;
        let others = if refused == FileRefused::AllQuota { 0 } else { 1 };
        assert_eq!(usage(&store).await, (3 + others, 12_010 + others));
        let over = store.files.reserve_file(&reserved("alice", 33, left + 1), quotas, 100).await.unwrap();
        assert_eq!(over, Err(refused));
        store.files.reserve_file(&reserved("alice", 33, left), quotas, 100).await.unwrap().unwrap();
        store.stores.clone().close().await;
    }
}

/// Each file is either attached and readable, or marked, and its message refused.
async fn a_sweep_and_a_message_do_not_both_get_a_file(store: TestStore) {
    let kitchen = room("kitchen");
    let (mut attached, mut swept) = (0, 0);
    for round in 0..25 {
        let numbers = round * 4 + 1..round * 4 + 5;
        for number in numbers.clone() {
            store.upload("alice", number, "a").await;
        }
        let drafts: Vec<_> =
            numbers.clone().map(|number| with_files(draft(&kitchen, "alice", "a"), &[number])).collect();
        let (outcomes, marked) =
            tokio::join!(store.append(&drafts, 1000), store.files.files_to_delete(1_000, 1_000));
        // One that the sweep has passed over is there for the next one.
        let marked = marked.unwrap();
        for (number, outcome) in numbers.zip(outcomes) {
            let is_attached = matches!(outcome, Outcome::Stored { .. });
            assert_eq!(store.may_read(number, "bob").await, is_attached, "{number}");
            assert!(!(is_attached && marked.contains(&file_id(number))), "{number}");
            *(if is_attached { &mut attached } else { &mut swept }) += 1;
        }
    }
    assert_eq!(attached + swept, 100);
    assert_eq!(store.to_delete(1_000).await.len(), swept);
    let page = store.all(&kitchen).await;
    assert!(page.entries.len() == attached && page.entries.iter().all(|entry| entry.body.files().len() == 1));
}

/// In different lanes of a store that has several.
async fn two_messages_do_not_both_get_a_file(store: TestStore) {
    for number in 1..=25 {
        store.upload("alice", number, "a").await;
        let rooms: Vec<_> = (0..6).map(|index| room(&format!("room {index}"))).collect();
        let drafts: Vec<_> = rooms
            .iter()
            .map(|room| [with_files(draft(room, "alice", "a"), &[number]), draft(room, "alice", "b")])
            .collect();
        let commits = join_all(drafts.iter().map(|drafts| store.append(drafts, 1000))).await;
        let got = commits.iter().filter(|outcomes| matches!(outcomes[0], Outcome::Stored { .. })).count();
        assert_eq!(got, 1, "{commits:?}");
        assert!(commits.iter().all(|outcomes| matches!(outcomes[1], Outcome::Stored { .. })));
    }
}

async fn stored_files_are_listed_in_order(store: TestStore) {
    let numbers = [70, 3, 12, 900, 44];
    for number in numbers {
        store.upload("alice", number, "a").await;
    }
    store.files.reserve_file(&reserved("alice", 5, 9), FileQuotas::default(), 100).await.unwrap().unwrap();
    store.upload("alice", 6, "a").await;
    store.files.drop_file(&file_id(6)).await.unwrap();
    store.append(&[with_files(draft(&room("kitchen"), "alice", "a"), &[12])], 1000).await;
    let mut ids = numbers.map(file_id);
    ids.sort_unstable();
    let mut found = Vec::new();
    loop {
        let after = found.last().map(|found: &FoundFile| found.file.id);
        let some = store.files.files_after(after.as_ref(), 2).await.unwrap();
        if some.is_empty() {
            break;
        }
        found.extend(some);
    }
    assert!(found.iter().map(|found| found.file.id).eq(ids));
    let of_kitchen: Vec<_> = found.iter().filter_map(|found| found.attached_to.clone()).collect();
    assert_eq!(of_kitchen, [(room("kitchen"), 1)]);
}

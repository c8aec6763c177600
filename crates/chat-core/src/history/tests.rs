//! Tests of a log in memory.

use super::*;
use crate::{Body, ChangeRules, DraftId, FileName, MediaType, MessageText, Pair, RoomName};

const ALL: PageLimits = PageLimits { entries: usize::MAX, bytes: usize::MAX };

/// A history for which alice and bob have accounts.
struct TestHistory {
    history: History,
    now_ms: u64,
}

impl TestHistory {
    fn new() -> Self {
        Self::with(HistoryLimits::default())
    }

    fn with(limits: HistoryLimits) -> Self {
        Self { history: History::new(Seed(1, 2), limits), now_ms: 1_000 }
    }

    fn append(&mut self, drafts: &[Draft]) -> Vec<Outcome> {
        let accounts = [name("alice"), name("bob")];
        let commit = self.history.append(drafts, self.now_ms, |name| accounts.contains(name));
        assert!(commit.receipts.iter().map(|r| r.draft).eq(drafts.iter().map(|d| d.id)));
        commit.receipts.into_iter().map(|r| r.outcome).collect()
    }

    fn send(&mut self, topic: &Topic, text: &str) -> Outcome {
        self.append(&[draft(topic, "alice", text, None)]).remove(0)
    }

    fn seqs(&self, topic: &Topic, from: PageFrom, limits: PageLimits) -> Vec<u64> {
        self.history.page(topic, from, limits).entries.iter().map(|e| e.seq).collect()
    }

    fn kept(&self, topic: &Topic) -> (u64, u64) {
        let page = self.history.page(topic, PageFrom::Latest, ALL);
        assert_eq!(page.entries.len() as u64, page.last + 1 - page.first);
        (page.first, page.last)
    }
}

fn name(name: &str) -> Username {
    Username::known(name).unwrap()
}

fn room(name: &str) -> Topic {
    Topic::Room(RoomName::parse(name).unwrap())
}

fn pair(one: &str, other: &str) -> Topic {
    Topic::Pair(Pair::new(name(one), name(other)))
}

fn draft(topic: &Topic, from: &str, text: &str, nonce: Option<&str>) -> Draft {
    Draft {
        id: DraftId(text.len() as u64),
        topic: topic.clone(),
        from: name(from),
        room: None,
        body: Body::message(MessageText::stored(text)),
        files: Vec::new(),
        nonce: nonce.map(|n| Nonce::parse(n).unwrap()),
        check: false,
        may_administer: true,
        by_server: false,
        refused: None,
        rules: ChangeRules::default(),
    }
}

fn stored(seq: u64, at_ms: u64) -> Outcome {
    Outcome::Stored { seq, at_ms }
}

fn duplicate(topic: &Topic, seq: u64, at_ms: u64) -> Outcome {
    Outcome::Duplicate { topic: topic.clone(), seq, at_ms }
}

#[test]
fn each_topic_has_its_own_numbers() {
    let mut test = TestHistory::new();
    let (kitchen, garden, private) = (room("kitchen"), room("garden"), pair("alice", "bob"));
    let outcomes = test.append(&[
        draft(&kitchen, "alice", "a", None),
        draft(&garden, "bob", "b", None),
        draft(&kitchen, "bob", "c", None),
        draft(&private, "bob", "d", None),
    ]);
    assert_eq!(outcomes, [stored(1, 1000), stored(1, 1000), stored(2, 1000), stored(1, 1000)]);
    assert_eq!(test.send(&private, "e"), stored(2, 1000));
    assert_eq!(test.history.last_seq(&kitchen), 2);
    assert_eq!(test.history.last_seq(&room("cellar")), 0);
}

#[test]
fn stamps_never_run_backwards() {
    let mut test = TestHistory::new();
    let kitchen = room("kitchen");
    assert_eq!(test.send(&kitchen, "a"), stored(1, 1000));
    test.now_ms = 400;
    assert_eq!(test.send(&kitchen, "b"), stored(2, 1000));
    assert_eq!(test.send(&room("garden"), "c"), stored(1, 400));
    test.now_ms = 1001;
    assert_eq!(test.send(&kitchen, "d"), stored(3, 1001));
}

#[test]
fn a_retry_gets_the_first_result_whatever_it_contains() {
    let mut test = TestHistory::new();
    let kitchen = room("kitchen");
    let outcomes = test.append(&[
        draft(&kitchen, "alice", "a", Some("n")),
        draft(&kitchen, "alice", "b", Some("n")),
        draft(&kitchen, "bob", "c", Some("n")),
    ]);
    assert_eq!(outcomes, [stored(1, 1000), duplicate(&kitchen, 1, 1000), stored(2, 1000)]);
    test.now_ms = 2000;
    let outcomes = test.append(&[
        draft(&room("garden"), "alice", "d", Some("n")),
        draft(&pair("alice", "nobody"), "alice", "e", Some("n")),
    ]);
    assert_eq!(outcomes, [duplicate(&kitchen, 1, 1000), duplicate(&kitchen, 1, 1000)]);
    assert_eq!(test.history.last_seq(&room("garden")), 0);
}

#[test]
fn a_private_message_to_no_account_is_not_stored() {
    let mut test = TestHistory::new();
    let lost = pair("alice", "nobody");
    let outcomes = test.append(&[
        draft(&lost, "alice", "a", Some("n")),
        // The refused draft did not use its nonce …
        draft(&pair("alice", "bob"), "alice", "b", Some("n")),
        // … and the author needs no account.
        draft(&pair("alice", "guest"), "guest", "c", None),
        draft(&pair("bob", "bob"), "bob", "d", None),
    ]);
    assert_eq!(
        outcomes,
        [Outcome::NoRecipient { at_ms: 1000 }, stored(1, 1000), stored(1, 1000), stored(1, 1000)]
    );
    assert_eq!(test.kept(&lost), (1, 0));
}

#[test]
fn pages_go_in_both_directions() {
    let mut test = TestHistory::new();
    let kitchen = room("kitchen");
    for _ in 1..=10 {
        test.send(&kitchen, "four");
    }
    let three = PageLimits { entries: 3, bytes: usize::MAX };
    for (from, seqs) in [
        (PageFrom::Latest, vec![8, 9, 10]),
        (PageFrom::After(0), vec![1, 2, 3]),
        (PageFrom::After(8), vec![9, 10]),
        (PageFrom::After(10), vec![]),
        (PageFrom::After(u64::MAX), vec![]),
        (PageFrom::Before(5), vec![2, 3, 4]),
        (PageFrom::Before(2), vec![1]),
        (PageFrom::Before(1), vec![]),
        (PageFrom::Before(0), vec![]),
        (PageFrom::Before(u64::MAX), vec![8, 9, 10]),
    ] {
        assert_eq!(test.seqs(&kitchen, from, three), seqs, "{from:?}");
    }
    let nine_bytes = PageLimits { entries: 100, bytes: 9 };
    assert_eq!(test.seqs(&kitchen, PageFrom::Latest, nine_bytes), [9, 10]);
    assert_eq!(test.seqs(&kitchen, PageFrom::After(0), nine_bytes), [1, 2]);
    let nothing = PageLimits { entries: 0, bytes: 0 };
    assert_eq!(test.seqs(&kitchen, PageFrom::Before(4), nothing), [3]);
    assert_eq!(test.kept(&kitchen), (1, 10));
    assert_eq!(test.kept(&room("cellar")), (1, 0));
}

#[test]
fn a_long_topic_loses_its_oldest_entries() {
    let mut test = TestHistory::with(HistoryLimits { entries_per_topic: 2, topics: 10 });
    let kitchen = room("kitchen");
    test.append(&[draft(&kitchen, "alice", "a", Some("n1")), draft(&kitchen, "alice", "b", Some("n2"))]);
    test.append(&[draft(&kitchen, "alice", "c", Some("n3"))]);
    assert_eq!(test.kept(&kitchen), (2, 3));
    assert_eq!(test.seqs(&kitchen, PageFrom::After(0), ALL), [2, 3]);
    assert_eq!(test.seqs(&kitchen, PageFrom::Before(2), ALL), [0; 0]);
    // The nonce of the second entry is still known, that of the first is not.
    let outcomes = test.append(&[draft(&kitchen, "alice", "b", Some("n2"))]);
    assert_eq!(outcomes, [duplicate(&kitchen, 2, 1000)]);
    let outcomes = test.append(&[draft(&kitchen, "alice", "a", Some("n1"))]);
    assert_eq!(outcomes, [stored(4, 1000)]);
    assert_eq!(test.history.nonces.len(), 2);
}

#[test]
fn past_the_limit_of_topics_the_least_recently_written_one_loses_its_entries() {
    let mut test = TestHistory::with(HistoryLimits { entries_per_topic: 10, topics: 2 });
    let (kitchen, garden, cellar) = (room("kitchen"), room("garden"), room("cellar"));
    test.append(&[draft(&garden, "alice", "a", Some("n"))]);
    for text in ["b", "c"] {
        test.send(&kitchen, text);
        test.send(&garden, text);
    }
    assert_eq!((test.kept(&garden), test.kept(&kitchen)), ((1, 3), (1, 2)));
    test.send(&kitchen, "d");
    test.now_ms = 500;
    test.send(&cellar, "d");
    assert_eq!(test.kept(&garden), (4, 3));
    assert_eq!(test.kept(&kitchen), (1, 3));
    assert!(test.history.nonces.is_empty());
    // The garden continues its numbers and stamps; the kitchen is now the topic
    // written least recently.
    assert_eq!(test.send(&garden, "e"), stored(4, 1000));
    assert_eq!(test.kept(&garden), (4, 4));
    assert_eq!(test.kept(&kitchen), (4, 3));
    assert_eq!(test.history.written.len(), 2);
}

#[test]
fn trimming_removes_the_oldest_entries() {
    let mut test = TestHistory::new();
    let (kitchen, garden) = (room("kitchen"), room("garden"));
    for (now_ms, nonce) in [(1000, "n1"), (2000, "n2"), (3000, "n3")] {
        test.now_ms = now_ms;
        test.append(&[draft(&kitchen, "alice", "a", Some(nonce))]);
    }
    test.send(&garden, "b");
    let old = |entry: &Entry, _: u64| entry.at_ms < 3000;
    assert_eq!(test.history.trim(1, None, old), (1, vec![(kitchen.clone(), 2)], vec![]));
    assert_eq!(test.history.trim(9, None, old), (1, vec![(kitchen.clone(), 3)], vec![]));
    assert_eq!(test.history.trim(9, None, old), (0, vec![], vec![]));
    assert_eq!((test.kept(&kitchen), test.kept(&garden)), ((3, 3), (1, 1)));
    assert_eq!(test.history.nonces.len(), 1);
    // A topic that lost all its entries continues its numbers.
    assert_eq!(
        test.history.trim(9, None, |entry, _| entry.topic == garden),
        (1, vec![(garden.clone(), 2)], vec![])
    );
    assert_eq!((test.kept(&garden), test.history.written.len()), ((2, 1), 1));
    assert_eq!(test.send(&garden, "c"), stored(2, 3000));
    assert_eq!((test.kept(&garden), test.history.written.len()), ((2, 2), 2));
}

#[test]
fn a_history_that_keeps_no_entries_still_numbers_them() {
    let mut test = TestHistory::with(HistoryLimits { entries_per_topic: 0, topics: 0 });
    let kitchen = room("kitchen");
    assert_eq!(test.send(&kitchen, "a"), stored(1, 1000));
    assert_eq!(test.send(&kitchen, "b"), stored(2, 1000));
    assert_eq!(test.append(&[draft(&kitchen, "alice", "c", Some("n"))]), [stored(3, 1000)]);
    assert_eq!(test.kept(&kitchen), (4, 3));
    assert!(test.history.nonces.is_empty());
}

fn change(topic: &Topic, from: &str, body: Body) -> Draft {
    Draft { body, ..draft(topic, from, "", None) }
}

fn edit(topic: &Topic, target: u64, text: &str) -> Draft {
    change(topic, "alice", Body::Edit { target, text: Some(MessageText::stored(text)), mentions: None })
}

/// The texts of all entries, `-` for an edit without one.
fn texts(history: &History, topic: &Topic) -> Vec<String> {
    let page = history.page(topic, PageFrom::After(0), ALL);
    let text = |entry: &Arc<Entry>| match &entry.body {
        Body::Edit { text: None, .. } => "-".to_owned(),
        body => body.text().to_owned(),
    };
    page.entries.iter().map(text).collect()
}

#[test]
fn what_was_taken_back_is_nowhere_in_the_history() {
    let mut test = TestHistory::new();
    let kitchen = room("kitchen");
    test.append(&[draft(&kitchen, "alice", "secret", Some("m"))]);
    for (text, nonce) in [("secret too", "e1"), ("secret three", "e2")] {
        test.append(&[Draft { nonce: Nonce::parse(nonce), ..edit(&kitchen, 1, text) }]);
    }
    assert_eq!(texts(&test.history, &kitchen), ["secret three", "-", "secret three"]);
    test.append(&[change(&kitchen, "alice", Body::Delete { target: 1 })]);
    assert_eq!(texts(&test.history, &kitchen), ["", "-", "-", ""]);
    let kept = test.history.nonces.values().chain(&test.history.topics[&kitchen].entries);
    assert!(kept.clone().count() == 7 && kept.clone().all(|entry| !entry.body.text().contains("secret")));
    // The nonces still have their results.
    let retry = test.append(&[draft(&kitchen, "alice", "x", Some("e1"))]);
    assert_eq!(retry, [duplicate(&kitchen, 2, 1000)]);
}

#[test]
fn past_the_limit_a_message_is_removed_with_the_changes_before_the_next_one() {
    let mut test = TestHistory::with(HistoryLimits { entries_per_topic: 2, topics: 9 });
    let kitchen = room("kitchen");
    let react = |target, nonce| Draft {
        nonce: Nonce::parse(nonce),
        ..change(&kitchen, "alice", Body::React { target, emoji: Emoji::stored("👍") })
    };
    test.send(&kitchen, "a");
    test.append(&[edit(&kitchen, 1, "b")]);
    test.append(&[react(1, "r")]);
    test.append(&[react(1, "again")]);
    test.send(&kitchen, "c");
    test.append(&[edit(&kitchen, 1, "d")]);
    assert_eq!(test.kept(&kitchen), (1, 5));
    test.send(&kitchen, "e");
    assert_eq!((test.kept(&kitchen), texts(&test.history, &kitchen).concat()), ((4, 6), "c-e".to_owned()));
    assert!(test.history.nonces.is_empty() && test.history.topics[&kitchen].changed.is_empty());
    // A message with many changes goes in the end, too.
    for _ in 0..20 {
        test.append(&[edit(&kitchen, 6, "f")]);
    }
    let (first, last) = test.kept(&kitchen);
    assert!(last + 1 - first <= 2 * CHANGES_PER_MESSAGE as u64, "{first}..={last}");
}

#[test]
fn a_trim_counts_messages() {
    let mut test = TestHistory::new();
    let kitchen = room("kitchen");
    test.send(&kitchen, "a");
    test.append(&[edit(&kitchen, 1, "b")]);
    test.send(&kitchen, "c");
    test.append(&[edit(&kitchen, 3, "d")]);
    let before = |entry: &Entry, oldest_kept| entry.seq < oldest_kept;
    assert_eq!(test.history.trim(9, Some(2), before), (0, vec![], vec![]));
    // One at a time: the changes before the oldest message go, too.
    assert_eq!(test.history.trim(1, Some(1), before).0, 1);
    assert_eq!(test.history.trim(1, Some(1), before).0, 1);
    assert_eq!(test.history.trim(1, Some(1), before).0, 0);
    assert_eq!(texts(&test.history, &kitchen), ["d", "d"]);
    assert_eq!(test.history.trim(9, Some(0), before).0, 2);
    assert_eq!(test.kept(&kitchen), (5, 4));
}

#[test]
fn a_message_that_is_removed_past_the_limit_takes_its_files_along() {
    let mut test = TestHistory::with(HistoryLimits { entries_per_topic: 2, topics: 1 });
    let (kitchen, id) = (room("kitchen"), FileId::from_bytes([7; 16]));
    let file = AttachedFile {
        id,
        name: FileName::clean("a").unwrap(),
        media_type: MediaType::default(),
        size: 3,
        dimensions: None,
    };
    let reserved = ReservedFile { id, owner: name("alice"), bytes: 5 };
    assert_eq!(test.history.reserve_file(&reserved, FileQuotas::default(), 1), Ok(()));
    assert!(test.history.store_file(&name("alice"), &file, 2));
    let mut append = |draft: Draft| test.history.append(&[draft], 1_000, |_| true).files_taken_back;
    let with_file = Draft { files: vec![id], ..draft(&kitchen, "alice", "a", None) };
    for draft in [with_file, draft(&kitchen, "alice", "b", None)] {
        assert_eq!(append(draft), []);
    }
    assert_eq!(append(draft(&kitchen, "alice", "c", None)), [id]);
    assert_eq!(test.history.find_file(&id), None);
    assert_eq!(test.history.files_to_delete(0, 9), [id]);
    test.history.forget_files(&[id]);
    assert_eq!(test.history.files_usage(), FilesUsage::default());
}

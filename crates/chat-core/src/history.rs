//! The rules of a log, in memory.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::seed::Seed;
use crate::{
    Answer, Batch, Commit, Conversations, Draft, Entry, Facts, FirstResult, Nonce, Page, PageFrom,
    PageLimits, Query, Topic, TopicEnd, Username,
};

/// A log of messages as a plain value: it gives the numbers, knows what it
/// stored before, and reads pages. What a database does with SQL, this does
/// with vectors; both pass the same contract suite.
///
/// It holds the newest entries only, see [`HistoryLimits`].
pub struct History {
    limits: HistoryLimits,
    topics: HashMap<Topic, Log, Seed>,
    /// The entry of each nonce, as long as the entry is kept.
    nonces: Nonces,
    /// The topics that have entries, in the order of their last write.
    written: BTreeMap<u64, Topic>,
    /// The highest key of `written` so far.
    writes: u64,
}

/// How much a [`History`] keeps. Numbers are never given twice, whatever is
/// forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryLimits {
    /// Entries kept of one room or pair. Past it the oldest is forgotten
    /// together with its nonce, and [`Page::first`] moves up.
    pub entries_per_topic: usize,
    /// Rooms and pairs with entries. Past it the one that was written least
    /// recently loses all its entries and their nonces, but not its last
    /// number and stamp: writing to it goes on with the next number, and a
    /// reader sees by [`Page::first`] that what was before is gone.
    ///
    /// That number is what remains in memory: some 150 bytes and the name for
    /// every topic ever written to, until the history is dropped. To give it
    /// up as well would mean to count from 1 again under the same epoch, and
    /// clients would take new entries for old ones.
    pub topics: usize,
}

impl Default for HistoryLimits {
    /// Ten thousand of each, as many entries as a client may resume
    /// (`resume_max_messages`).
    fn default() -> Self {
        Self { entries_per_topic: 10_000, topics: 10_000 }
    }
}

type Nonces = HashMap<(Username, Nonce), Arc<Entry>, Seed>;

/// One topic.
#[derive(Default)]
struct Log {
    /// The newest entries, without a gap, up to `last`.
    entries: VecDeque<Arc<Entry>>,
    last: u64,
    last_at_ms: u64,
    /// Its key in [`History::written`], if there are entries.
    written: u64,
}

impl History {
    /// An empty history.
    pub fn new(seed: Seed, limits: HistoryLimits) -> Self {
        Self {
            limits,
            topics: HashMap::with_hasher(seed),
            nonces: HashMap::with_hasher(seed),
            written: BTreeMap::new(),
            writes: 0,
        }
    }

    /// Stores a batch, by the rule of [`Batch::decide`]. The receipts stand in the
    /// order of the drafts.
    ///
    /// Entries are stamped `max(now_ms, the topic's last stamp)`.
    pub fn append(
        &mut self,
        drafts: &[Draft],
        now_ms: u64,
        account_exists: impl Fn(&Username) -> bool,
    ) -> Commit {
        let batch = Batch::decide(drafts, &Known { nonces: &self.nonces, account_exists }, now_ms);
        let Ok(commit) =
            batch.number(|topic, count| Ok::<_, Infallible>(self.count_in(topic, count, now_ms)));
        for entry in &commit.entries {
            self.store(entry);
        }
        commit
    }

    /// The answer to a hub's query.
    pub fn answer(&self, query: &Query) -> Answer {
        match query {
            Query::Page { topic, from, limits } => Answer::Page(self.page(topic, *from, *limits)),
            Query::Conversations { user, limit } => Answer::Conversations(self.conversations(user, *limit)),
        }
    }

    /// A part of a topic. An unknown topic is an empty one.
    pub fn page(&self, topic: &Topic, from: PageFrom, limits: PageLimits) -> Page {
        let Some(log) = self.topics.get(topic) else {
            return Page { entries: Vec::new(), first: 1, last: 0 };
        };
        let mut bytes = 0_usize;
        let mut count = 0_usize;
        let mut fits = |entry: &&Arc<Entry>| {
            bytes = bytes.saturating_add(entry.body.bytes());
            count += 1;
            count == 1 || (count <= limits.entries && bytes <= limits.bytes)
        };
        let entries = match from {
            PageFrom::After(seq) => {
                let start = log.index_of(seq.saturating_add(1));
                log.entries.range(start..).take_while(&mut fits).cloned().collect()
            }
            PageFrom::Latest | PageFrom::Before(_) => {
                let end = match from {
                    PageFrom::Before(seq) => log.index_of(seq),
                    _ => log.entries.len(),
                };
                let mut newest_first: Vec<_> =
                    log.entries.range(..end).rev().take_while(&mut fits).cloned().collect();
                newest_first.reverse();
                newest_first
            }
        };
        Page { entries, first: log.first(), last: log.last }
    }

    /// The private conversations of somebody, those written last first.
    ///
    /// Looks at every topic there is: it is for small histories. One whose
    /// entries were all forgotten is not among them.
    pub fn conversations(&self, user: &Username, limit: usize) -> Conversations {
        let with = |topic: &Topic| match topic {
            Topic::Pair(pair) if pair.low() == user || pair.high() == user => Some(pair.other(user).clone()),
            _ => None,
        };
        let newest_first = self.written.values().rev();
        let mut latest: Vec<_> = newest_first
            .filter_map(|topic| Some((with(topic)?, self.last_seq(topic))))
            .take(limit + 1)
            .collect();
        // Of those without entries the order is not known.
        let has_more = latest.len() > limit || self.written.len() < self.topics.len();
        latest.truncate(limit);
        Conversations { latest, has_more }
    }

    /// Forgets the oldest entries of each topic, with their nonces, as long as
    /// `goes` says so of an entry (it is told the topic's last number, too), and at
    /// most `max` of them. Answers how many, and which topics begin where now.
    pub fn trim(&mut self, max: usize, goes: impl Fn(&Entry, u64) -> bool) -> (usize, Vec<(Topic, u64)>) {
        let (mut count, mut trimmed, mut emptied) = (0, Vec::new(), Vec::new());
        for (key, topic) in &self.written {
            let Some(log) = self.topics.get_mut(topic) else { continue };
            let before = count;
            while count < max
                && let Some(oldest) = log.entries.pop_front_if(|oldest| goes(oldest, log.last))
            {
                forget_nonce(&mut self.nonces, &oldest);
                count += 1;
            }
            if count > before {
                trimmed.push((topic.clone(), log.first()));
            }
            if log.entries.is_empty() {
                emptied.push(*key);
            }
        }
        for key in emptied {
            self.written.remove(&key);
        }
        (count, trimmed)
    }

    /// The highest number given in a topic so far, 0 in an unknown one.
    pub fn last_seq(&self, topic: &Topic) -> u64 {
        self.topics.get(topic).map_or(0, |log| log.last)
    }

    /// Gives a topic that many numbers more.
    fn count_in(&mut self, topic: &Topic, count: u64, now_ms: u64) -> TopicEnd {
        let log = self.topics.entry_ref(topic).or_default();
        log.last += count;
        log.last_at_ms = log.last_at_ms.max(now_ms);
        TopicEnd { last: log.last, at_ms: log.last_at_ms }
    }

    /// Keeps a numbered entry.
    fn store(&mut self, entry: &Arc<Entry>) {
        let log = self.topics.entry_ref(&entry.topic).or_default();
        // Most writes go to the topic that was written last: nothing to move.
        if log.written != self.writes || log.entries.is_empty() {
            self.written.remove(&log.written);
            self.writes += 1;
            log.written = self.writes;
            self.written.insert(self.writes, entry.topic.clone());
        }
        log.entries.push_back(Arc::clone(entry));
        if let Some(nonce) = &entry.nonce {
            self.nonces.insert((entry.from.clone(), nonce.clone()), Arc::clone(entry));
        }
        if log.entries.len() > self.limits.entries_per_topic
            && let Some(oldest) = log.entries.pop_front()
        {
            forget_nonce(&mut self.nonces, &oldest);
        }
        if self.written.len() > self.limits.topics {
            self.forget_a_topic();
        }
    }

    /// Drops the entries of the topic that was written least recently.
    fn forget_a_topic(&mut self) {
        let Some((_, topic)) = self.written.pop_first() else { return };
        let Some(log) = self.topics.get_mut(&topic) else { return };
        for entry in std::mem::take(&mut log.entries) {
            forget_nonce(&mut self.nonces, &entry);
        }
    }
}

impl Log {
    /// The number of the oldest entry kept; one more than the last if none is.
    fn first(&self) -> u64 {
        self.last - self.entries.len() as u64 + 1
    }

    /// Where the entry of that number stands, or the nearest one kept after it.
    fn index_of(&self, seq: u64) -> usize {
        let index = usize::try_from(seq.saturating_sub(self.first())).unwrap_or(usize::MAX);
        index.min(self.entries.len())
    }
}

/// What a history knows before a batch.
struct Known<'a, A> {
    nonces: &'a Nonces,
    account_exists: A,
}

impl<A: Fn(&Username) -> bool> Facts for Known<'_, A> {
    fn first_result(&self, author: &Username, nonce: &Nonce) -> Option<FirstResult> {
        let first = self.nonces.get(&(author.clone(), nonce.clone()))?;
        Some(FirstResult { topic: first.topic.clone(), seq: first.seq, at_ms: first.at_ms })
    }

    fn has_account(&self, name: &Username) -> bool {
        (self.account_exists)(name)
    }
}

fn forget_nonce(nonces: &mut Nonces, entry: &Entry) {
    if let Some(nonce) = &entry.nonce {
        nonces.remove(&(entry.from.clone(), nonce.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Body, DraftId, MessageText, Outcome, Pair, RoomName};

    const ALL: PageLimits = PageLimits { entries: usize::MAX, bytes: usize::MAX };

    /// A history in which alice and bob have accounts.
    struct Story {
        history: History,
        now_ms: u64,
    }

    impl Story {
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

        fn say(&mut self, topic: &Topic, text: &str) -> Outcome {
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
            body: Body::Message { text: MessageText::stored(text) },
            nonce: nonce.map(|n| Nonce::parse(n).unwrap()),
        }
    }

    fn stored(seq: u64, at_ms: u64) -> Outcome {
        Outcome::Stored { seq, at_ms }
    }

    fn duplicate(topic: &Topic, seq: u64, at_ms: u64) -> Outcome {
        Outcome::Duplicate { topic: topic.clone(), seq, at_ms }
    }

    #[test]
    fn each_topic_counts_for_itself() {
        let mut story = Story::new();
        let (kitchen, garden, private) = (room("kitchen"), room("garden"), pair("alice", "bob"));
        let outcomes = story.append(&[
            draft(&kitchen, "alice", "a", None),
            draft(&garden, "bob", "b", None),
            draft(&kitchen, "bob", "c", None),
            draft(&private, "bob", "d", None),
        ]);
        assert_eq!(outcomes, [stored(1, 1000), stored(1, 1000), stored(2, 1000), stored(1, 1000)]);
        assert_eq!(story.say(&private, "e"), stored(2, 1000));
        assert_eq!(story.history.last_seq(&kitchen), 2);
        assert_eq!(story.history.last_seq(&room("cellar")), 0);
    }

    #[test]
    fn stamps_never_run_backwards() {
        let mut story = Story::new();
        let kitchen = room("kitchen");
        assert_eq!(story.say(&kitchen, "a"), stored(1, 1000));
        story.now_ms = 400;
        assert_eq!(story.say(&kitchen, "b"), stored(2, 1000));
        assert_eq!(story.say(&room("garden"), "c"), stored(1, 400));
        story.now_ms = 1001;
        assert_eq!(story.say(&kitchen, "d"), stored(3, 1001));
    }

    #[test]
    fn a_retry_gets_the_first_result_whatever_it_says() {
        let mut story = Story::new();
        let kitchen = room("kitchen");
        let outcomes = story.append(&[
            draft(&kitchen, "alice", "a", Some("n")),
            draft(&kitchen, "alice", "b", Some("n")),
            draft(&kitchen, "bob", "c", Some("n")),
        ]);
        assert_eq!(outcomes, [stored(1, 1000), duplicate(&kitchen, 1, 1000), stored(2, 1000)]);
        story.now_ms = 2000;
        let outcomes = story.append(&[
            draft(&room("garden"), "alice", "d", Some("n")),
            draft(&pair("alice", "nobody"), "alice", "e", Some("n")),
        ]);
        assert_eq!(outcomes, [duplicate(&kitchen, 1, 1000), duplicate(&kitchen, 1, 1000)]);
        assert_eq!(story.history.last_seq(&room("garden")), 0);
    }

    #[test]
    fn nobody_gets_what_was_written_to_no_account() {
        let mut story = Story::new();
        let lost = pair("alice", "nobody");
        let outcomes = story.append(&[
            draft(&lost, "alice", "a", Some("n")),
            // The refused draft used up neither its nonce …
            draft(&pair("alice", "bob"), "alice", "b", Some("n")),
            // … nor is an account needed to write.
            draft(&pair("alice", "guest"), "guest", "c", None),
            draft(&pair("bob", "bob"), "bob", "d", None),
        ]);
        assert_eq!(
            outcomes,
            [Outcome::NoRecipient { at_ms: 1000 }, stored(1, 1000), stored(1, 1000), stored(1, 1000)]
        );
        assert_eq!(story.kept(&lost), (1, 0));
    }

    #[test]
    fn pages_go_in_both_directions() {
        let mut story = Story::new();
        let kitchen = room("kitchen");
        for _ in 1..=10 {
            story.say(&kitchen, "four");
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
            assert_eq!(story.seqs(&kitchen, from, three), seqs, "{from:?}");
        }
        let nine_bytes = PageLimits { entries: 100, bytes: 9 };
        assert_eq!(story.seqs(&kitchen, PageFrom::Latest, nine_bytes), [9, 10]);
        assert_eq!(story.seqs(&kitchen, PageFrom::After(0), nine_bytes), [1, 2]);
        let nothing = PageLimits { entries: 0, bytes: 0 };
        assert_eq!(story.seqs(&kitchen, PageFrom::Before(4), nothing), [3]);
        assert_eq!(story.kept(&kitchen), (1, 10));
        assert_eq!(story.kept(&room("cellar")), (1, 0));
    }

    #[test]
    fn a_long_topic_forgets_its_oldest_entries() {
        let mut story = Story::with(HistoryLimits { entries_per_topic: 2, topics: 10 });
        let kitchen = room("kitchen");
        story.append(&[draft(&kitchen, "alice", "a", Some("n1")), draft(&kitchen, "alice", "b", Some("n2"))]);
        story.append(&[draft(&kitchen, "alice", "c", Some("n3"))]);
        assert_eq!(story.kept(&kitchen), (2, 3));
        assert_eq!(story.seqs(&kitchen, PageFrom::After(0), ALL), [2, 3]);
        assert_eq!(story.seqs(&kitchen, PageFrom::Before(2), ALL), [0; 0]);
        // The second is still known, the first is not.
        let outcomes = story.append(&[draft(&kitchen, "alice", "b", Some("n2"))]);
        assert_eq!(outcomes, [duplicate(&kitchen, 2, 1000)]);
        let outcomes = story.append(&[draft(&kitchen, "alice", "a", Some("n1"))]);
        assert_eq!(outcomes, [stored(4, 1000)]);
        assert_eq!(story.history.nonces.len(), 2);
    }

    #[test]
    fn too_many_topics_cost_the_quietest_one_its_entries_but_not_its_numbers() {
        let mut story = Story::with(HistoryLimits { entries_per_topic: 10, topics: 2 });
        let (kitchen, garden, cellar) = (room("kitchen"), room("garden"), room("cellar"));
        story.append(&[draft(&garden, "alice", "a", Some("n"))]);
        for text in ["b", "c"] {
            story.say(&kitchen, text);
            story.say(&garden, text);
        }
        assert_eq!((story.kept(&garden), story.kept(&kitchen)), ((1, 3), (1, 2)));
        story.say(&kitchen, "d");
        story.now_ms = 500;
        story.say(&cellar, "d");
        assert_eq!(story.kept(&garden), (4, 3));
        assert_eq!(story.kept(&kitchen), (1, 3));
        assert!(story.history.nonces.is_empty());
        // The garden goes on where it was, in number and time; the kitchen is
        // now the quietest.
        assert_eq!(story.say(&garden, "e"), stored(4, 1000));
        assert_eq!(story.kept(&garden), (4, 4));
        assert_eq!(story.kept(&kitchen), (4, 3));
        assert_eq!(story.history.written.len(), 2);
    }

    #[test]
    fn the_oldest_entries_are_forgotten_as_far_as_wanted() {
        let mut story = Story::new();
        let (kitchen, garden) = (room("kitchen"), room("garden"));
        for (now_ms, nonce) in [(1000, "n1"), (2000, "n2"), (3000, "n3")] {
            story.now_ms = now_ms;
            story.append(&[draft(&kitchen, "alice", "a", Some(nonce))]);
        }
        story.say(&garden, "b");
        let old = |entry: &Entry, _: u64| entry.at_ms < 3000;
        assert_eq!(story.history.trim(1, old), (1, vec![(kitchen.clone(), 2)]));
        assert_eq!(story.history.trim(9, old), (1, vec![(kitchen.clone(), 3)]));
        assert_eq!(story.history.trim(9, old), (0, vec![]));
        assert_eq!((story.kept(&kitchen), story.kept(&garden)), ((3, 3), (1, 1)));
        assert_eq!(story.history.nonces.len(), 1);
        // One that lost everything goes on counting.
        assert_eq!(story.history.trim(9, |_, last| last == 1), (1, vec![(garden.clone(), 2)]));
        assert_eq!((story.kept(&garden), story.history.written.len()), ((2, 1), 1));
        assert_eq!(story.say(&garden, "c"), stored(2, 3000));
        assert_eq!((story.kept(&garden), story.history.written.len()), ((2, 2), 2));
    }

    #[test]
    fn a_history_that_keeps_nothing_still_counts() {
        let mut story = Story::with(HistoryLimits { entries_per_topic: 0, topics: 0 });
        let kitchen = room("kitchen");
        assert_eq!(story.say(&kitchen, "a"), stored(1, 1000));
        assert_eq!(story.say(&kitchen, "b"), stored(2, 1000));
        assert_eq!(story.append(&[draft(&kitchen, "alice", "c", Some("n"))]), [stored(3, 1000)]);
        assert_eq!(story.kept(&kitchen), (4, 3));
        assert!(story.history.nonces.is_empty());
    }
}

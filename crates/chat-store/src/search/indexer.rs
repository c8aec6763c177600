//! What an index still has to do, the same for both databases.
//!
//! An index follows each topic as any reader does: it knows up to which number it has got, and
//! reads what comes after. The messages that a topic had before the index knew it are added
//! later, from the newest on. Where it has got is stored with what it has added, so that a
//! crash loses nothing. What commits have touched is remembered in memory only: after a start
//! all topics are compared with the log once.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chat_core::{Body, Commit, MessagesFrom, PageFrom, PageLimits, Topic};
use tokio::sync::Notify;

use super::Indexed;
use super::document::Document;
use crate::rows::Columns;
use crate::statements::{Statements, Value, json};
use crate::{StoreError, columns, pages};

/// How far an index has got in a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The row of the topic.
    pub(crate) topic: i64,
    /// The number up to which it has seen the entries.
    pub(crate) upto: i64,
    /// The messages up to this number are still to be added.
    pub(crate) todo: i64,
}

/// What an index has to change, all of it in one transaction.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// New messages. Those that are there already stay.
    pub(crate) add: Vec<Document>,
    /// Messages that were edited, or deleted (`None`), by topic and number: those that are there
    /// are replaced or removed, after the new ones were added.
    pub(crate) renew: BTreeMap<(i64, i64), Option<Document>>,
    /// Topics, and the number of the oldest message that is kept.
    pub(crate) trim: Vec<(i64, i64)>,
    pub(crate) progress: Vec<Progress>,
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        self.progress.is_empty() && self.renew.is_empty() && self.trim.is_empty()
    }
}

/// An index in a database.
pub(crate) trait Index: Send {
    /// How far it has got in these topics; those that it does not know are missing.
    fn progress(&mut self, topics: &[i64]) -> impl Future<Output = Result<Vec<Progress>, StoreError>> + Send;

    /// Makes changes. Returns how many messages were added, replaced or removed.
    fn apply(&mut self, changes: &Changes) -> impl Future<Output = Result<u64, StoreError>> + Send;
}

/// What the index of a store has to do.
pub(crate) struct Indexer {
    noted: Mutex<Noted>,
    notify: Notify,
    /// Locked while a step runs.
    queue: tokio::sync::Mutex<Queue>,
}

/// The topics and messages that commits have changed since the last step.
#[derive(Default)]
struct Noted {
    /// Topics with new entries, and how many.
    topics: HashMap<Topic, u64>,
    /// Messages whose text was replaced or removed.
    taken_back: HashSet<(Topic, u64)>,
    /// Topics that have lost their oldest entries.
    trimmed: HashSet<Topic>,
}

struct Queue {
    /// The row behind which topics are still to be compared with the log.
    compare_after: Option<i64>,
    fresh: Ring,
    /// Topics with old messages that are to be added.
    old: Ring,
    /// About how many entries are left.
    left: u64,
    /// The changes of commits that are not indexed yet.
    noted: Noted,
    /// Topics that have an entry which cannot be read: they are not indexed until the next start.
    skipped: HashSet<Topic>,
}

/// Topics in turn, each once.
#[derive(Default)]
struct Ring {
    order: VecDeque<Topic>,
    known: HashSet<Topic>,
}

impl Ring {
    fn push(&mut self, topic: Topic) {
        if self.known.insert(topic.clone()) {
            self.order.push_back(topic);
        }
    }

    fn pop(&mut self) -> Option<Topic> {
        let topic = self.order.pop_front()?;
        self.known.remove(&topic);
        Some(topic)
    }
}

/// A topic in the log.
struct LogTopic {
    id: i64,
    topic: Topic,
    last: i64,
    /// The number of the oldest message that is kept.
    first: i64,
}

impl Indexer {
    pub(crate) fn new() -> Self {
        Self {
            noted: Mutex::default(),
            notify: Notify::new(),
            queue: tokio::sync::Mutex::new(Queue {
                compare_after: Some(0),
                fresh: Ring::default(),
                old: Ring::default(),
                left: 0,
                noted: Noted::default(),
                skipped: HashSet::new(),
            }),
        }
    }

    /// Notes what a commit has touched.
    pub(crate) fn note(&self, commit: &Commit) {
        if commit.entries.is_empty() {
            return;
        }
        let mut noted = self.noted();
        for entry in &commit.entries {
            match noted.topics.get_mut(&entry.topic) {
                Some(count) => *count += 1,
                None => {
                    noted.topics.insert(entry.topic.clone(), 1);
                }
            }
        }
        let taken_back = commit.changed.iter().filter(|message| message.text.is_some());
        noted.taken_back.extend(taken_back.map(|message| (message.topic.clone(), message.seq)));
        drop(noted);
        self.notify.notify_one();
    }

    /// Notes topics that have lost their oldest entries.
    pub(crate) fn note_trimmed(&self, topics: &[(Topic, u64)]) {
        if !topics.is_empty() {
            self.noted().trimmed.extend(topics.iter().map(|(topic, _)| topic.clone()));
            self.notify.notify_one();
        }
    }

    /// Has the next step made, though nothing was noted.
    #[cfg(feature = "sqlite")]
    pub(crate) fn wake(&self) {
        self.notify.notify_one();
    }

    /// Resolves when something was noted.
    pub(crate) async fn noted_something(&self) {
        self.notify.notified().await;
    }

    /// Compares all topics with the log again.
    pub(crate) async fn start_over(&self) {
        let mut queue = self.queue.lock().await;
        queue.compare_after = Some(0);
        queue.left = 0;
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        // Each change is complete in one call, so that a poisoned lock is safe.
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether messages whose texts were replaced or removed are still to leave the index.
    #[cfg(feature = "postgres")]
    pub(crate) async fn has_taken_back(&self) -> bool {
        !self.queue.lock().await.noted.taken_back.is_empty() || !self.noted().taken_back.is_empty()
    }

    /// Makes a last step before the store is closed: messages whose texts were replaced or removed
    /// leave the index. What else was noted is found at the next start.
    pub(crate) async fn take_back_all<S: Statements<Error = StoreError> + Clone>(
        &self,
        statements: &S,
        index: &mut impl Index,
    ) -> Result<(), StoreError> {
        let mut queue = self.queue.lock().await;
        let noted = std::mem::take(&mut *self.noted());
        queue.take(noted);
        let messages: Vec<_> = queue.noted.taken_back.drain().collect();
        for some in messages.chunks(TAKEN_BACK_AT_ONCE) {
            let mut step =
                Step { statements: statements.clone(), index, changes: Changes::default(), looked_at: 0 };
            step.take_back(some).await?;
            step.index.apply(&step.changes).await?;
        }
        Ok(())
    }

    /// Makes one step: it looks at about `max` entries. A step that fails is made again.
    pub(crate) async fn step<S: Statements<Error = StoreError> + Clone>(
        &self,
        statements: &S,
        index: &mut impl Index,
        max: usize,
    ) -> Result<Indexed, StoreError> {
        let mut queue = self.queue.lock().await;
        let queue = &mut *queue;
        let noted = std::mem::take(&mut *self.noted());
        queue.take(noted);
        let mut step =
            Step { statements: statements.clone(), index, changes: Changes::default(), looked_at: 0 };
        let max = max.max(1);
        let done = step.run(queue, max).await;
        let (looked_at, result) = match done {
            Ok(fresh_and_old) => match step.index.apply(&step.changes).await {
                Ok(messages) => {
                    let looked_at = step.looked_at;
                    queue.done(fresh_and_old);
                    (looked_at, Ok(messages))
                }
                Err(error) => (0, Err(error)),
            },
            Err(error) => (0, Err(error)),
        };
        let messages = match result {
            Ok(messages) => messages,
            Err(error) => {
                // What was taken from the queue is found by comparing all topics.
                queue.compare_after = Some(0);
                return Err(error);
            }
        };
        queue.left = queue.left.saturating_sub(looked_at as u64);
        let has_more = queue.has_more();
        if !has_more {
            queue.left = 0;
        }
        Ok(Indexed { messages, left: queue.left, has_more, was_damaged: false })
    }
}

impl Queue {
    /// Takes over what was noted.
    fn take(&mut self, noted: Noted) {
        for (topic, count) in noted.topics {
            if !self.skipped.contains(&topic) {
                self.left += count;
                self.fresh.push(topic);
            }
        }
        self.noted.taken_back.extend(noted.taken_back);
        self.noted.trimmed.extend(noted.trimmed);
    }

    /// Removes what a step has done.
    fn done(&mut self, done: Done) {
        for message in done.taken_back {
            self.noted.taken_back.remove(&message);
        }
        for topic in done.trimmed {
            self.noted.trimmed.remove(&topic);
        }
        self.compare_after = done.compare_after;
        self.left += done.found;
        for (topic, what) in done.damaged {
            if self.skipped.insert(topic.clone()) {
                tracing::error!(
                    ?topic,
                    what,
                    "a topic is damaged: its messages are not indexed for the search"
                );
            }
        }
        let is_sound = |topic: &Topic| !self.skipped.contains(topic);
        done.fresh.into_iter().filter(is_sound).for_each(|topic| self.fresh.push(topic));
        done.old.into_iter().filter(is_sound).for_each(|topic| self.old.push(topic));
    }

    fn has_more(&self) -> bool {
        self.compare_after.is_some()
            || !self.fresh.order.is_empty()
            || !self.old.order.is_empty()
            || !self.noted.taken_back.is_empty()
            || !self.noted.trimmed.is_empty()
    }
}

/// What a step has done, and found to be done.
#[derive(Default)]
struct Done {
    taken_back: Vec<(Topic, u64)>,
    trimmed: Vec<Topic>,
    compare_after: Option<i64>,
    fresh: Vec<Topic>,
    old: Vec<Topic>,
    found: u64,
    /// Topics with an entry that cannot be read, and what it has.
    damaged: Vec<(Topic, &'static str)>,
}

struct Step<'a, S, I> {
    statements: S,
    index: &'a mut I,
    changes: Changes,
    looked_at: usize,
}

impl<S: Statements<Error = StoreError> + Clone, I: Index> Step<'_, S, I> {
    async fn run(&mut self, queue: &mut Queue, max: usize) -> Result<Done, StoreError> {
        let mut done = Done { compare_after: queue.compare_after, ..Done::default() };
        // What was taken back, before anything else: it waits for no message.
        done.taken_back = queue.noted.taken_back.iter().take(max).cloned().collect();
        self.take_back(&done.taken_back).await?;
        done.trimmed = queue.noted.trimmed.iter().take(TOPICS_AT_ONCE).cloned().collect();
        for topic in self.topics_named(&done.trimmed).await? {
            self.changes.trim.push((topic.id, topic.first));
        }
        while self.looked_at < max
            && let Some(topic) = queue.fresh.pop()
        {
            self.follow(topic, max, &mut done).await?;
        }
        if self.looked_at < max
            && let Some(after) = queue.compare_after
        {
            self.compare(after, &mut done).await?;
        }
        while self.looked_at < max
            && let Some(topic) = queue.old.pop()
        {
            self.follow(topic, max, &mut done).await?;
        }
        Ok(done)
    }

    /// Reads messages whose texts were replaced or removed.
    async fn take_back(&mut self, messages: &[(Topic, u64)]) -> Result<(), StoreError> {
        let mut by_topic: HashMap<Topic, Vec<u64>> = HashMap::new();
        for (topic, seq) in messages {
            by_topic.entry(topic.clone()).or_default().push(*seq);
        }
        let topics: Vec<Topic> = by_topic.keys().cloned().collect();
        for topic in self.topics_named(&topics).await? {
            if let Some(seqs) = by_topic.remove(&topic.topic) {
                self.looked_at += seqs.len();
                self.renew(&topic, seqs).await?;
            }
        }
        Ok(())
    }

    /// Replaces or removes messages, as they are now.
    async fn renew(&mut self, topic: &LogTopic, seqs: Vec<u64>) -> Result<(), StoreError> {
        for some in seqs.chunks(NUMBERS_AT_ONCE) {
            if self.renew_some(topic, some).await?.is_some() {
                continue;
            }
            for seq in some {
                if self.renew_some(topic, &[*seq]).await?.is_none() {
                    self.changes.renew.insert((topic.id, columns::column(*seq)), None);
                }
            }
        }
        Ok(())
    }

    /// Replaces or removes messages, as they are now. `None` if one of them cannot be read.
    async fn renew_some(&mut self, topic: &LogTopic, seqs: &[u64]) -> Result<Option<()>, StoreError> {
        let from = MessagesFrom::Numbers(seqs.to_vec());
        let limits = PageLimits { entries: seqs.len(), bytes: usize::MAX };
        let page = pages::messages(self.statements.clone(), &topic.topic, &from, limits).await;
        let page = match page {
            Err(StoreError::Damaged { .. }) => return Ok(None),
            page => page?,
        };
        for seq in seqs {
            self.changes.renew.insert((topic.id, columns::column(*seq)), None);
        }
        for entry in page.entries.iter().filter(|entry| !entry.body.is_deleted()) {
            let key = (topic.id, columns::column(entry.seq));
            self.changes.renew.insert(key, Some(Document::new(topic.id, entry, false)));
        }
        Ok(Some(()))
    }

    /// Reads entries of a topic that the index has not.
    async fn follow(&mut self, topic: Topic, max: usize, done: &mut Done) -> Result<(), StoreError> {
        let Some(known) = self.topics_named(std::slice::from_ref(&topic)).await?.pop() else { return Ok(()) };
        let progress = self.index.progress(&[known.id]).await?.pop();
        let mut progress =
            progress.unwrap_or(Progress { topic: known.id, upto: known.last, todo: known.last });
        let entries = max.saturating_sub(self.looked_at).max(1);
        let limits = PageLimits { entries, bytes: BYTES_AT_ONCE };
        if progress.upto < known.last {
            let after = PageFrom::After(progress.upto.unsigned_abs());
            let page = match pages::page(self.statements.clone(), &topic, after, limits).await {
                Err(StoreError::Damaged { what }) => {
                    done.damaged.push((topic, what));
                    return Ok(());
                }
                page => page?,
            };
            let mut changed = Vec::new();
            for entry in &page.entries {
                match &entry.body {
                    Body::Message { .. } if !entry.body.is_deleted() => {
                        self.changes.add.push(Document::new(known.id, entry, false));
                    }
                    Body::Edit { target, .. } | Body::Delete { target } => changed.push(*target),
                    Body::Message { .. } | Body::React { .. } | Body::Unreact { .. } => {}
                }
            }
            self.looked_at += page.entries.len().max(1);
            changed.sort_unstable();
            changed.dedup();
            self.renew(&known, changed).await?;
            progress.upto = page.entries.last().map_or(known.last, |last| columns::column(last.seq));
        } else if progress.todo > 0 {
            let before = PageFrom::Before(progress.todo.unsigned_abs() + 1);
            let from = MessagesFrom::Page(before);
            let page = match pages::messages(self.statements.clone(), &topic, &from, limits).await {
                Err(StoreError::Damaged { what }) => {
                    done.damaged.push((topic, what));
                    return Ok(());
                }
                page => page?,
            };
            let shown = page.entries.iter().filter(|entry| !entry.body.is_deleted());
            self.changes.add.extend(shown.map(|entry| Document::new(known.id, entry, true)));
            self.looked_at += page.entries.len().max(1);
            progress.todo = match page.entries.first() {
                Some(oldest) if page.has_older => columns::column(oldest.seq) - 1,
                _ => 0,
            };
        }
        self.changes.progress.push(progress);
        if progress.upto < known.last {
            done.fresh.push(topic);
        } else if progress.todo > 0 {
            done.old.push(topic);
        }
        Ok(())
    }

    /// Compares some topics with the log.
    async fn compare(&mut self, after: i64, done: &mut Done) -> Result<(), StoreError> {
        let count = columns::column(TOPICS_AT_ONCE as u64);
        let rows = self.statements.rows(TOPICS_AFTER, &[Value::Number(after), Value::Number(count)]).await?;
        let topics = rows.iter().map(log_topic).collect::<Result<Vec<_>, StoreError>>()?;
        let ids: Vec<i64> = topics.iter().map(|topic| topic.id).collect();
        let known = self.index.progress(&ids).await?;
        let known: HashMap<i64, Progress> =
            known.into_iter().map(|progress| (progress.topic, progress)).collect();
        self.looked_at += topics.len().max(1);
        done.compare_after = (topics.len() == TOPICS_AT_ONCE).then(|| ids.last().copied()).flatten();
        for topic in topics {
            match known.get(&topic.id) {
                Some(progress) => {
                    self.changes.trim.push((topic.id, topic.first));
                    let left = (topic.last - progress.upto).max(0) + progress.todo;
                    done.found += left.unsigned_abs();
                    if progress.upto < topic.last {
                        done.fresh.push(topic.topic);
                    } else if progress.todo > 0 {
                        done.old.push(topic.topic);
                    }
                }
                None if topic.first <= topic.last => {
                    done.found += (topic.last - topic.first).unsigned_abs() + 1;
                    done.old.push(topic.topic);
                }
                None => {}
            }
        }
        Ok(())
    }

    async fn topics_named(&mut self, topics: &[Topic]) -> Result<Vec<LogTopic>, StoreError> {
        if topics.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<_> = topics.iter().map(columns::topic_key).collect();
        let rows = self.statements.rows(S::PAGES.search_topics, &[Value::Text(&json(&keys)?)]).await?;
        rows.iter().map(log_topic).collect()
    }
}

/// The columns `id, kind, name, other, last_seq, first`.
fn log_topic(row: &impl Columns) -> Result<LogTopic, StoreError> {
    Ok(LogTopic {
        id: row.integer(0)?,
        topic: columns::topic((row.integer(1)?, row.text(2)?, row.text(3)?))?,
        last: row.integer(4)?,
        first: row.integer(5)?,
    })
}

/// Topics, with the number of the oldest message that is kept.
pub(crate) const TOPICS_AFTER: &str = "SELECT t.id, t.kind, t.name, t.other, t.last_seq,
            coalesce((SELECT min(e.seq) FROM entries AS e WHERE e.topic = t.id), t.last_seq + 1)
       FROM topics AS t WHERE t.id > $1 ORDER BY t.id LIMIT $2 + 0";

/// The topics that are compared with the log, or trimmed, in one step.
const TOPICS_AT_ONCE: usize = 100;
/// The messages that are read by their numbers at once.
const NUMBERS_AT_ONCE: usize = 50;
/// The messages that leave the index in one transaction before the store is closed.
const TAKEN_BACK_AT_ONCE: usize = 1_000;
/// The bytes of texts that are read at once.
const BYTES_AT_ONCE: usize = 1 << 20;

//! The search of messages: an index in two tables, which can be emptied, and is then made anew.
//!
//! A GIN index finds all messages with a word, in no order. So that a common word does not cost
//! more than a rare one, each message has marks of the spans of time in which it was stored,
//! and the index is asked for one span after the other, from the newest on: small ones first,
//! larger ones where few messages were found.
//!
//! A GIN index does not know where in a text a word is. So that a phrase of common words is not
//! searched in all messages that have these words, each message has marks of the pairs of words
//! that stand side by side.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::pin::Pin;
use std::time::Duration;

use chat_core::Username;
use sqlx::postgres::PgConnection;

use super::PostgresStore;
use super::failure::Failure;
use super::pool::Pool;
use crate::rows::Columns as _;
use crate::search::document::{Document, NAMED, PAIR_CHARS, Wanted, mark_of_span, pairs_of_phrase};
use crate::search::ids::{PLACE_BITS, assign, first_id, milliseconds, position_of};
use crate::search::indexer::{Changes, Index, Progress};
use crate::search::walk::{Hint, HintSource, Hints, readable, walk};
use crate::{Indexed, SearchIndex, SearchPage, SearchQuery, StoreError, StoreFuture};

/// Empties an index that is not that of this epoch, or was made by other rules.
pub(super) async fn prepare(pool: &Pool, epoch: &str) -> Result<(), StoreError> {
    let of = format!("{epoch} 2.{}", chat_core::WORD_RULES);
    let found = pool.row(|| sqlx::query("SELECT value FROM meta WHERE key = 'search'")).await?;
    let is_ours = match &found {
        Some(row) => row.text(0)? == of,
        None => false,
    };
    if !is_ours {
        empty(pool).await?;
        let note = "INSERT INTO meta (key, value) VALUES ('search', $1)
             ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        pool.rows(|| sqlx::query(note).bind(&of)).await?;
    }
    Ok(())
}

async fn empty(pool: &Pool) -> Result<(), StoreError> {
    pool.rows(|| sqlx::query("TRUNCATE search_documents, search_topics")).await.map(drop)
}

/// The turn of this server to do what one server does at a time. Without it, a server that has
/// read a message before another one stored and indexed an edit of it could add the old text
/// afterwards.
pub(super) struct Turn(PgConnection);

impl Turn {
    /// Takes the turn until the end of a transaction; `None` while another server has it.
    ///
    /// The connection is one more than those that the pool allows.
    pub(super) async fn take(pool: &Pool, lock: i64) -> Result<Option<Self>, StoreError> {
        pool.attempts(|| async {
            let mut connection = pool.connection().await?;
            sqlx::raw_sql(BEGIN_TURN).execute(&mut connection).await?;
            let taken = sqlx::query(TAKE_TURN).bind(lock).fetch_one(&mut connection).await?;
            if taken.integer(0)? == 1 {
                return Ok(Some(Self(connection)));
            }
            Self(connection).end(pool).await;
            Ok(None)
        })
        .await
    }

    /// A connection that fails is closed, which ends the turn, too.
    pub(super) async fn end(mut self, pool: &Pool) {
        let ended = sqlx::raw_sql("COMMIT").execute(&mut self.0);
        if tokio::time::timeout(END_TIMEOUT, ended).await.is_ok_and(|ended| ended.is_ok()) {
            pool.put_back(self.0);
        }
    }
}

/// The advisory lock of the server that indexes: all versions use the same number.
const TURN: i64 = 0x6368_6174_7365_6172;
/// A step may take longer than the connections of the pool may wait inside a transaction.
const BEGIN_TURN: &str = "BEGIN; SET LOCAL idle_in_transaction_session_timeout = '60s'";
const TAKE_TURN: &str = "SELECT CASE WHEN pg_try_advisory_xact_lock($1) THEN 1::bigint ELSE 0 END";
const END_TIMEOUT: Duration = Duration::from_secs(1);
/// The pause of a server that waits for its turn. A step of the other one takes about as long.
const TURN_PAUSE: Duration = Duration::from_millis(100);

/// The index, for one step.
struct Open<'a>(&'a Pool);

impl Index for Open<'_> {
    async fn progress(&mut self, topics: &[i64]) -> Result<Vec<Progress>, StoreError> {
        let rows = self.0.rows(|| sqlx::query(PROGRESS).bind(topics)).await?;
        let progress = |row: &sqlx::postgres::PgRow| {
            Ok(Progress { topic: row.integer(0)?, upto: row.integer(1)?, todo: row.integer(2)? })
        };
        rows.iter().map(progress).collect()
    }

    /// Repeated after its answer was lost, it changes nothing more.
    async fn apply(&mut self, changes: &Changes) -> Result<u64, StoreError> {
        if changes.is_empty() {
            return Ok(0);
        }
        self.0.attempts(|| apply(self.0, changes)).await
    }
}

async fn apply(pool: &Pool, changes: &Changes) -> Result<u64, Failure> {
    let mut connection = pool.connection().await?;
    // A crash of the database server may lose the last changes, together with the progress that
    // names them: they are made again.
    sqlx::raw_sql("BEGIN; SET LOCAL synchronous_commit = off").execute(&mut connection).await?;
    let count = change(&mut connection, changes).await?;
    sqlx::raw_sql("COMMIT").execute(&mut connection).await?;
    pool.put_back(connection);
    Ok(count)
}

/// Makes changes inside the caller's transaction. Returns how many messages were added, replaced
/// or removed.
async fn change(connection: &mut PgConnection, changes: &Changes) -> Result<u64, Failure> {
    let mut count = 0;
    if !changes.add.is_empty() {
        let rows = sqlx::query(USED)
            .bind(milliseconds(&changes.add))
            .bind(1_i64 << PLACE_BITS)
            .fetch_all(&mut *connection)
            .await?;
        let used = rows
            .iter()
            .map(|row| Ok((row.integer(0)?, (row.integer(1)?, row.integer(2)?))))
            .collect::<Result<BTreeMap<_, _>, StoreError>>()?;
        let mut rows = Rows::default();
        for (id, document) in assign(&changes.add, used) {
            rows.ids.push(id);
            rows.push(document);
        }
        let Rows { ids, topics, seqs, words } = rows;
        let add = sqlx::query(ADD).bind(ids).bind(topics).bind(seqs).bind(words);
        count += add.execute(&mut *connection).await?.rows_affected();
    }
    let (mut topics, mut seqs, mut replaced) = (Vec::new(), Vec::new(), Rows::default());
    for ((topic, seq), document) in &changes.renew {
        match document {
            Some(document) => replaced.push(document),
            None => {
                topics.push(*topic);
                seqs.push(*seq);
            }
        }
    }
    if !topics.is_empty() {
        let remove = sqlx::query(REMOVE).bind(topics).bind(seqs);
        count += remove.execute(&mut *connection).await?.rows_affected();
    }
    if !replaced.topics.is_empty() {
        let Rows { topics, seqs, words, .. } = replaced;
        let replace = sqlx::query(REPLACE).bind(topics).bind(seqs).bind(words);
        count += replace.execute(&mut *connection).await?.rows_affected();
    }
    if !changes.trim.is_empty() {
        let (topics, firsts): (Vec<i64>, Vec<i64>) = changes.trim.iter().copied().unzip();
        let trim = sqlx::query(TRIM).bind(topics).bind(firsts);
        count += trim.execute(&mut *connection).await?.rows_affected();
    }
    // The newest of each topic.
    let progress: BTreeMap<i64, Progress> = changes.progress.iter().map(|row| (row.topic, *row)).collect();
    if !progress.is_empty() {
        let column = |of: fn(&Progress) -> i64| progress.values().map(of).collect::<Vec<i64>>();
        sqlx::query(KEEP_PROGRESS)
            .bind(column(|row| row.topic))
            .bind(column(|row| row.upto))
            .bind(column(|row| row.todo))
            .execute(&mut *connection)
            .await?;
    }
    Ok(count)
}

/// Documents by columns.
#[derive(Default)]
struct Rows {
    ids: Vec<i64>,
    topics: Vec<i64>,
    seqs: Vec<i64>,
    words: Vec<String>,
}

impl Rows {
    fn push(&mut self, document: &Document) {
        self.topics.push(document.topic);
        self.seqs.push(document.seq);
        self.words.push(vector_of(document));
    }
}

/// The words and marks of a document, as a `tsvector` is written.
fn vector_of(document: &Document) -> String {
    let spans = SPANS.iter().enumerate();
    let spans = spans.map(|(level, span)| mark_of_span(level, document.at_ms >> span));
    let mut vector = String::new();
    let mut add = |token: &str| {
        vector.push_str(&quoted(token));
        vector.push(' ');
    };
    document.marks.iter().for_each(|mark| add(mark));
    spans.for_each(|mark| add(&mark));
    document.pairs().iter().for_each(|pair| add(pair));
    let mut bytes = 0;
    for word in document.words.iter().collect::<BTreeSet<_>>() {
        bytes += word.len();
        if bytes > WORDS_MAX_BYTES {
            break;
        }
        add(word);
    }
    vector
}

/// The most bytes of different words in one text: Postgres keeps 1 MiB of words and marks, and
/// there are 65,536 marks of pairs, of 5 bytes. A text that has more words is not found by some of
/// them.
const WORDS_MAX_BYTES: usize = 700_000;

/// The spans of time, as the bits of a stamp in milliseconds that are left out: 17 minutes, 5
/// hours, 3 days, 7 weeks.
const SPANS: [u32; 4] = [20, 24, 28, 32];

fn quoted(token: &str) -> String {
    format!("'{}'", token.replace('\\', "\\\\").replace('\'', "''"))
}

/// The question as a `tsquery` is written.
fn query_of(wanted: &Wanted) -> String {
    let any_of = |tokens: &[String]| {
        let tokens: Vec<String> = tokens.iter().map(|token| quoted(token)).collect();
        format!("({})", tokens.join(" | "))
    };
    let mut all: Vec<String> = Vec::new();
    for (words, is_open) in &wanted.phrases {
        let Some((last, before)) = words.split_last() else { continue };
        let pairs = pairs_of_phrase(words, *is_open);
        // The marks of all pairs tell the words but for the end of the last one. Lists of common
        // words are long: the index is not asked for them, too.
        let is_marked = pairs.len() == before.len();
        if !is_marked {
            all.extend(before.iter().map(|word| quoted(word)));
        }
        let is_last_marked =
            is_marked && !before.is_empty() && *is_open && last.chars().count() == PAIR_CHARS;
        if !is_last_marked {
            all.push(quoted(last) + if *is_open { ":*" } else { "" });
        }
        all.extend(pairs.iter().map(|pair| quoted(pair)));
    }
    all.extend(wanted.author.iter().map(|author| quoted(author)));
    let mut places = Vec::new();
    match &wanted.named_but {
        Some(but) if !but.is_empty() => places.push(format!("({} & !{})", quoted(NAMED), any_of(but))),
        Some(_) => places.push(quoted(NAMED)),
        None => {}
    }
    if !wanted.any.is_empty() {
        places.push(any_of(&wanted.any));
    }
    all.push(format!("({})", places.join(" | ")));
    all.join(" & ")
}

/// A search in the index.
struct Finder<'a> {
    pool: &'a Pool,
    wanted: String,
    /// The index of the span to ask for next; behind the last one stands all time.
    level: usize,
    /// Where that span ends: the ids below are still to be searched. `None` before the first.
    upto: Option<i64>,
    /// What was found above, and not asked for yet, the newest first. A span is sorted as a
    /// whole: so it is searched once, however many pages of hints it has.
    found: VecDeque<Hint>,
}

impl Finder<'_> {
    /// Finds at most `max` messages of a span below an id.
    async fn find(&self, span: Option<String>, before: i64, max: usize) -> Result<Vec<Hint>, StoreError> {
        let wanted = match span {
            Some(mark) => format!("{} & {}", quoted(&mark), self.wanted),
            None => self.wanted.clone(),
        };
        let max = i64::try_from(max).unwrap_or(i64::MAX);
        hints(&self.pool.rows(|| sqlx::query(FIND).bind(&wanted).bind(before).bind(max)).await?)
    }

    /// Finds at most `max` messages between two ids, the newest first, by looking at each.
    async fn walk(&self, start: i64, before: i64, max: usize) -> Result<Vec<Hint>, StoreError> {
        let max = i64::try_from(max).unwrap_or(i64::MAX);
        let query = || sqlx::query(WALK).bind(&self.wanted).bind(before).bind(max).bind(start);
        hints(&self.pool.rows(query).await?)
    }
}

fn hints(rows: &[sqlx::postgres::PgRow]) -> Result<Vec<Hint>, StoreError> {
    rows.iter()
        .map(|row| Ok(Hint { id: row.integer(0)?, topic: row.integer(1)?, seq: row.integer(2)? }))
        .collect()
}

impl HintSource for Finder<'_> {
    type Error = StoreError;

    /// Called again, it goes on where it was.
    async fn hints(&mut self, before: i64, max: usize) -> Result<Hints, StoreError> {
        let mut upto = match self.upto {
            Some(upto) => upto,
            None => {
                let newest = self.pool.row(|| sqlx::query(NEWEST).bind(before)).await?;
                let newest = newest.ok_or(StoreError::Damaged { what: "no answer" })?.integer_or_null(0)?;
                newest.map_or(0, |newest| newest.saturating_add(1))
            }
        };
        for _ in 0..SPANS_MAX {
            if upto == 0 || self.found.len() >= max {
                break;
            }
            let (start, mark, is_rest) = match SPANS.get(self.level) {
                Some(bits) => {
                    let newest = position_of(upto - 1).at_ms;
                    let span = newest >> bits;
                    let is_rest = newest - (span << bits) < 1 << (bits - 1);
                    (first_id(span << bits), Some(mark_of_span(self.level, span)), is_rest)
                }
                None => (0, None, false),
            };
            let mut part = self.find(mark, upto, PART_MAX + 1).await?;
            let mut next = start;
            if part.len() > PART_MAX {
                if self.level > 0 {
                    self.level -= 1;
                    continue;
                }
                let left = max - self.found.len();
                part = self.walk(start, upto, left).await?;
                if let Some(last) = part.last().filter(|_| part.len() == left) {
                    next = last.id;
                }
            }
            // The rest of a span says little about the next one.
            self.level += usize::from(part.len() * 4 < max && !is_rest);
            self.found.extend(part);
            upto = next;
        }
        self.upto = Some(upto);
        let hints: Vec<Hint> = self.found.drain(..max.min(self.found.len())).collect();
        let before = if self.found.is_empty() {
            Some(upto).filter(|upto| *upto > 0)
        } else {
            hints.last().map(|hint| hint.id)
        };
        Ok(Hints { hints, before })
    }
}

/// The spans that are asked for at once.
const SPANS_MAX: usize = 12;
/// The messages that are sorted at once. A span with more of them is divided.
const PART_MAX: usize = 1_000;

const PROGRESS: &str = "SELECT topic, upto, todo FROM search_topics WHERE topic = ANY ($1)";

const USED: &str = "SELECT * FROM (
        SELECT d.first, (SELECT min(id) FROM search_documents WHERE id >= d.first AND id < d.first + $2) AS lowest,
               (SELECT max(id) FROM search_documents WHERE id >= d.first AND id < d.first + $2)
          FROM unnest($1::bigint[]) AS d (first)) AS used
      WHERE lowest IS NOT NULL";

const ADD: &str = "INSERT INTO search_documents (id, topic, seq, words)
     SELECT id, topic, seq, words::tsvector
       FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[]) AS d (id, topic, seq, words)
         ON CONFLICT (topic, seq) DO NOTHING";

const REPLACE: &str = "UPDATE search_documents AS o SET words = d.words::tsvector
       FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS d (topic, seq, words)
      WHERE o.topic = d.topic AND o.seq = d.seq";

const REMOVE: &str = "DELETE FROM search_documents AS o
      USING unnest($1::bigint[], $2::bigint[]) AS d (topic, seq)
      WHERE o.topic = d.topic AND o.seq = d.seq";

const TRIM: &str = "DELETE FROM search_documents AS o
      USING unnest($1::bigint[], $2::bigint[]) AS d (topic, first)
      WHERE o.topic = d.topic AND o.seq < d.first";

const KEEP_PROGRESS: &str = "INSERT INTO search_topics AS o (topic, upto, todo)
     SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[])
         ON CONFLICT (topic) DO UPDATE
        SET upto = greatest(o.upto, excluded.upto), todo = least(o.todo, excluded.todo)";

const NEWEST: &str = "SELECT max(id) FROM search_documents WHERE id < $1";

/// Uses the index of words only: that of the ids would look at each message.
const FIND: &str = "WITH found AS MATERIALIZED (
         SELECT id, topic, seq FROM search_documents
          WHERE words @@ ($1::text)::tsquery AND id + 0 < $2 LIMIT $3)
     SELECT id, topic, seq FROM found ORDER BY id DESC";

/// Uses the index of ids only.
const WALK: &str = "SELECT id, topic, seq FROM search_documents
      WHERE id < $2 AND id >= $4 AND (words @@ ($1::text)::tsquery) IS TRUE ORDER BY id DESC LIMIT $3";

impl PostgresStore {
    /// Removes what was taken back from the index, before the store is closed. A database server
    /// that does not answer, and a turn of another server, are not waited for: the next start
    /// removes it.
    pub(super) async fn finish_index(&self) {
        match tokio::time::timeout(END_TIMEOUT, self.take_back_all()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the last step of the index failed"),
            Err(_) => tracing::debug!("the last step of the index took too long"),
        }
    }

    async fn take_back_all(&self) -> Result<(), StoreError> {
        if !self.indexer.has_taken_back().await {
            return Ok(());
        }
        let turn = loop {
            match Turn::take(&self.pool, TURN).await? {
                Some(turn) => break turn,
                None => tokio::time::sleep(TURN_PAUSE).await,
            }
        };
        let done = self.indexer.take_back_all(&&self.pool, &mut Open(&self.pool)).await;
        turn.end(&self.pool).await;
        done
    }
}

impl SearchIndex for PostgresStore {
    fn search<'a>(&'a self, reader: &'a Username, query: &'a SearchQuery) -> StoreFuture<'a, SearchPage> {
        Box::pin(async move {
            if query.words.phrases().is_empty() {
                return Ok(SearchPage::default());
            }
            let mut pool = &self.pool;
            let Some(readable) = readable(&mut pool, reader, &query.scope).await? else {
                return Ok(SearchPage::default());
            };
            let wanted = query_of(&Wanted::new(reader, query, &readable));
            let mut finder =
                Finder { pool: &self.pool, wanted, level: 0, upto: None, found: VecDeque::new() };
            walk(&mut pool, &mut finder, reader, query).await
        })
    }

    fn index_some(&self, max_entries: usize) -> StoreFuture<'_, Indexed> {
        Box::pin(async move {
            let Some(turn) = Turn::take(&self.pool, TURN).await? else {
                tokio::time::sleep(TURN_PAUSE).await;
                return Ok(Indexed { has_more: true, ..Indexed::default() });
            };
            let indexed = self.indexer.step(&&self.pool, &mut Open(&self.pool), max_entries).await;
            turn.end(&self.pool).await;
            indexed
        })
    }

    fn committed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.indexer.noted_something())
    }

    fn reindex(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            empty(&self.pool).await?;
            self.indexer.start_over().await;
            Ok(())
        })
    }
}

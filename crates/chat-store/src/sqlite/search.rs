//! The search of messages: an index in a file of its own, `chat.search.db` beside `chat.db`,
//! which can be deleted, and is then made anew.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chat_core::{Commit, Topic, Username};
use sqlx::sqlite::{SqliteConnection, SqlitePool, SqlitePoolOptions};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::RwLock;

use super::file::DatabaseFile;
use super::leftovers::Pages;
use super::redaction::{self, Redaction};
use super::writer::Writer;
use super::{SqliteOptions, SqliteStore};
use crate::open_error::cannot_write;
use crate::rows::Columns as _;
use crate::search::document::{NAMED, Wanted};
use crate::search::ids::{PLACE_BITS, assign, milliseconds};
use crate::search::indexer::{Changes, Index, Indexer, Progress};
use crate::search::walk::{Hint, HintSource, Hints, readable, walk};
use crate::statements::json;
use crate::{Indexed, SearchIndex, SearchPage, SearchQuery, StoreError, StoreFuture, cause, private_files};

/// The index, and what it has to do.
pub(super) struct Search {
    database: PathBuf,
    epoch: String,
    options: SqliteOptions,
    indexer: Indexer,
    /// Searches wait while the file is replaced.
    state: RwLock<State>,
}

enum State {
    Open(Arc<Opened>),
    /// The file was damaged, and could not be replaced yet.
    Missing,
    Closed,
}

/// The open file of the index.
struct Opened {
    writer: Arc<Writer>,
    redaction: Redaction,
    readers: SqlitePool,
    is_damaged: AtomicBool,
}

impl Search {
    /// Opens the index of a database with this epoch. One of another epoch, of other rules or
    /// one that cannot be read is deleted and made anew; what is not an index is kept under
    /// another name.
    pub(super) async fn open(
        database: &Path,
        epoch: &str,
        options: SqliteOptions,
    ) -> Result<Self, StoreError> {
        let opened = Opened::open(database, epoch, options).await?;
        Ok(Self {
            database: database.to_owned(),
            epoch: epoch.to_owned(),
            options,
            indexer: Indexer::new(),
            state: RwLock::new(State::Open(Arc::new(opened))),
        })
    }

    async fn opened(&self) -> Result<Arc<Opened>, StoreError> {
        match &*self.state.read().await {
            State::Open(opened) => Ok(Arc::clone(opened)),
            State::Missing => Err(StoreError::unavailable("the index of the search is damaged")),
            State::Closed => Err(StoreError::unavailable("the store was closed")),
        }
    }

    /// Deletes a file that has turned out to be damaged, and makes an empty one, which the
    /// following steps fill. Returns whether it did.
    async fn replace_damaged(&self) -> Result<bool, StoreError> {
        if let State::Open(opened) = &*self.state.read().await
            && !opened.is_damaged()
        {
            return Ok(false);
        }
        let mut state = self.state.write().await;
        let path = search_path(&self.database);
        // It may be a link.
        let path = path.canonicalize().unwrap_or(path);
        match std::mem::replace(&mut *state, State::Missing) {
            State::Open(opened) => {
                let file = path.display();
                tracing::warn!(%file, "the index of the search is damaged: it is deleted, and made anew");
                opened.close().await;
            }
            State::Missing => {}
            State::Closed => {
                *state = State::Closed;
                return Ok(false);
            }
        }
        delete(&path)?;
        let opened = Opened::open(&self.database, &self.epoch, self.options).await?;
        *state = State::Open(Arc::new(opened));
        self.indexer.start_over().await;
        Ok(true)
    }

    /// Notes what a commit of the log has touched.
    pub(super) fn note(&self, commit: &Commit) {
        self.indexer.note(commit);
    }

    /// Notes topics that have lost their oldest entries.
    pub(super) fn note_trimmed(&self, topics: &[(Topic, u64)]) {
        self.indexer.note_trimmed(topics);
    }

    /// Removes what was taken back from the index, and closes the file.
    pub(super) async fn close(&self, log: &SqlitePool) {
        let state = std::mem::replace(&mut *self.state.write().await, State::Closed);
        if let State::Open(opened) = state {
            if let Err(error) = self.indexer.take_back_all(&log, &mut Step(&opened)).await {
                tracing::warn!(%error, "the index of the search still has deleted words until the next start");
            }
            opened.close().await;
        }
    }
}

impl Opened {
    async fn open(database: &Path, epoch: &str, options: SqliteOptions) -> Result<Self, StoreError> {
        let path = search_path(database);
        if path.is_dir() {
            keep(&path)?;
        }
        let file = DatabaseFile::claim_unsynced(&path, options)?;
        private_files::give_to_owner_of(database, &with_ending(file.path(), ".lock"));
        let connection = match connect(&file, database, epoch).await {
            Ok(Found::Index(connection)) => connection,
            found => {
                match found {
                    Ok(Found::Foreign) => keep(file.path())?,
                    // It has words of messages, so that nothing of it is kept.
                    Ok(_) => delete(file.path())?,
                    Err(error) => {
                        let path = file.path().display();
                        tracing::warn!(file = %path, %error, "the index of the search cannot be read, and is made anew");
                        delete(file.path())?;
                    }
                }
                match connect(&file, database, epoch).await? {
                    Found::Index(connection) => connection,
                    _ => return Err(StoreError::Damaged { what: "the new index of the search" }),
                }
            }
        };
        Self::start(connection, file, options).await
    }

    async fn start(
        mut connection: SqliteConnection,
        file: DatabaseFile,
        options: SqliteOptions,
    ) -> Result<Self, StoreError> {
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS_MAX)
            .acquire_timeout(options.busy_timeout)
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(file.reading());
        let is_due = redaction::is_due(&mut connection).await?;
        let pages = Pages::open(file.path());
        let pages = pages.map_err(|error| StoreError::cannot_open(file.path().display(), error))?;
        let writer = Arc::new(Writer::new(connection, file, options.busy_timeout));
        let redaction = Redaction::start(&writer, pages, options.redact_within, is_due);
        Ok(Self { writer, redaction, readers, is_damaged: AtomicBool::new(false) })
    }

    /// Notes that an error says that the file is damaged.
    fn failed(&self, error: StoreError) -> StoreError {
        let is_damaged = match &error {
            StoreError::Damaged { .. } => true,
            StoreError::Unavailable { source } => cause::is_damaged_file(source),
            _ => false,
        };
        if is_damaged {
            self.is_damaged.store(true, Ordering::Relaxed);
        }
        error
    }

    fn is_damaged(&self) -> bool {
        self.is_damaged.load(Ordering::Relaxed)
    }

    async fn close(&self) {
        self.redaction.close().await;
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// Searches that run at one time, each on a thread of its own.
const READERS_MAX: u32 = 2;

/// The file of the index of a database.
fn search_path(database: &Path) -> PathBuf {
    if database.extension().is_some_and(|extension| extension == "db") {
        return database.with_extension("search.db");
    }
    let mut path = database.as_os_str().to_owned();
    path.push(".search.db");
    path.into()
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// What SQLite appends to the name of a database.
const ENDINGS: [&str; 4] = ["", "-wal", "-shm", "-journal"];

fn delete(path: &Path) -> Result<(), StoreError> {
    for ending in ENDINGS {
        let name = with_ending(path, ending);
        match std::fs::remove_file(&name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(cannot_write(path, &name, error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Gives what is at this path, which is not an index, a name of its own.
fn keep(path: &Path) -> Result<(), StoreError> {
    let kept = with_ending(path, &format!(".before-{}", uuid::Uuid::now_v7()));
    for ending in ENDINGS {
        let name = with_ending(path, ending);
        match std::fs::rename(&name, with_ending(&kept, ending)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(cannot_write(path, &name, error));
            }
            _ => {}
        }
    }
    tracing::warn!(
        file = %path.display(), kept = %kept.display(),
        "this is not an index of the search: it has another name now"
    );
    Ok(())
}

/// What the file of the index is.
enum Found {
    /// The index of this database, and the connection that writes.
    Index(SqliteConnection),
    /// The index of another epoch, or of another version.
    Stale,
    /// A database of something else.
    Foreign,
}

/// Opens the connection that writes, and makes the tables of an empty file. A database of
/// something else is not changed.
async fn connect(file: &DatabaseFile, database: &Path, epoch: &str) -> Result<Found, StoreError> {
    let path = file.path();
    private_files::open(path).map_err(|source| cannot_write(path, path, source))?;
    private_files::give_to_owner_of(database, path);
    let mut connection = file.writing().connect().await.map_err(StoreError::unavailable)?;
    let tables = sqlx::query(
        "SELECT count(*), count(*) FILTER (WHERE name IN ('meta', 'documents', 'found')) FROM sqlite_schema",
    );
    let tables = tables.fetch_one(&mut connection).await.map_err(StoreError::unavailable)?;
    let (tables, known) = (tables.integer(0)?, tables.integer(1)?);
    if tables > 0 && known < 3 {
        connection.close().await.map_err(StoreError::unavailable)?;
        return Ok(Found::Foreign);
    }
    run_all(&mut connection, &["PRAGMA journal_mode = WAL"]).await?;
    if tables == 0 {
        run_all(&mut connection, &["BEGIN IMMEDIATE"]).await?;
        run_all(&mut connection, TABLES).await?;
        sqlx::query("INSERT INTO meta (key, value) VALUES ('of', ?1)")
            .bind(index_of(epoch))
            .execute(&mut connection)
            .await
            .map_err(StoreError::unavailable)?;
        run_all(&mut connection, &["COMMIT"]).await?;
    }
    let found = sqlx::query("SELECT value FROM meta WHERE key = 'of'").fetch_optional(&mut connection).await;
    let is_current = match found.map_err(StoreError::unavailable)? {
        Some(row) => row.text(0)? == index_of(epoch),
        None => false,
    };
    if is_current {
        return Ok(Found::Index(connection));
    }
    connection.close().await.map_err(StoreError::unavailable)?;
    Ok(Found::Stale)
}

async fn run_all(connection: &mut SqliteConnection, statements: &[&'static str]) -> Result<(), StoreError> {
    for sql in statements {
        sqlx::raw_sql(*sql).execute(&mut *connection).await.map_err(StoreError::unavailable)?;
    }
    Ok(())
}

/// What the file is the index of: the epoch, the tables, and the rules of words.
fn index_of(epoch: &str) -> String {
    format!("{epoch} 2.{}", chat_core::WORD_RULES)
}

/// The ids of documents are the order of messages: the millisecond in which each was stored, and
/// bits that tell those of one millisecond apart.
const TABLES: &[&str] = &[
    "CREATE TABLE meta (key TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE TABLE topics (topic INTEGER PRIMARY KEY, upto INTEGER NOT NULL, todo INTEGER NOT NULL) STRICT",
    "CREATE TABLE documents (
         id INTEGER PRIMARY KEY, topic INTEGER NOT NULL, seq INTEGER NOT NULL, words TEXT NOT NULL
     ) STRICT",
    "CREATE UNIQUE INDEX documents_by_seq ON documents (topic, seq)",
    FOUND,
    SECURE_DELETE,
];

/// Its tokens are what spaces separate: marks and words have no other separators.
const FOUND: &str = "CREATE VIRTUAL TABLE found USING fts5 (
         words, content = 'documents', content_rowid = 'id', tokenize = 'ascii', columnsize = 0)";

/// The words of a document that is removed leave the pages of the index at once, not when it is
/// merged.
const SECURE_DELETE: &str = "INSERT INTO found (found, rank) VALUES ('secure-delete', 1)";

/// Removes all messages from the index.
async fn empty(opened: &Opened) -> Result<(), StoreError> {
    let mut writing = opened.writer.begin().await?;
    let statements =
        ["DROP TABLE found", "DELETE FROM documents", "DELETE FROM topics", FOUND, SECURE_DELETE];
    let work = run_all(&mut writing.connection, &statements).await;
    writing.finish(work).await
}

/// The index, for one step.
struct Step<'a>(&'a Opened);

impl Index for Step<'_> {
    async fn progress(&mut self, topics: &[i64]) -> Result<Vec<Progress>, StoreError> {
        let rows = sqlx::query(PROGRESS)
            .bind(json(topics)?)
            .fetch_all(&self.0.readers)
            .await
            .map_err(|error| self.0.failed(StoreError::unavailable(error)))?;
        let progress =
            |row| Ok(Progress { topic: i64_at(row, 0)?, upto: i64_at(row, 1)?, todo: i64_at(row, 2)? });
        let progress: Result<_, StoreError> = rows.iter().map(progress).collect();
        progress.map_err(|error| self.0.failed(error))
    }

    async fn apply(&mut self, changes: &Changes) -> Result<u64, StoreError> {
        if changes.is_empty() {
            return Ok(0);
        }
        let mut writing = self.0.writer.begin().await.map_err(|error| self.0.failed(error))?;
        let work = apply(&mut writing.connection, changes).await;
        let done = writing.finish(work).await;
        let (count, redacts) = done.map_err(|error| self.0.failed(error))?;
        if redacts {
            self.0.redaction.request();
        }
        Ok(count)
    }
}

fn i64_at(row: &sqlx::sqlite::SqliteRow, index: usize) -> Result<i64, StoreError> {
    row.integer(index)
}

/// Makes changes inside the caller's transaction. Returns how many messages were added, replaced
/// or removed, and whether any text was taken back.
async fn apply(connection: &mut SqliteConnection, changes: &Changes) -> Result<(u64, bool), StoreError> {
    let mut count = 0;
    if !changes.add.is_empty() {
        let used = used(connection, &milliseconds(&changes.add)).await?;
        // FTS5 adds rows in the order of their ids with the fewest writes.
        let rows: Vec<_> = assign(&changes.add, used)
            .into_iter()
            .map(|(id, document)| (id, document.topic, document.seq, document.text()))
            .collect();
        // A message that is indexed already keeps its row: the id that it gets here stays unused.
        let added = run(connection, ADD, &rows).await?;
        let ids: Vec<i64> = rows.iter().map(|(id, ..)| *id).collect();
        run(connection, ADD_WORDS, &ids).await?;
        count += added;
    }
    let keys: Vec<(i64, i64)> = changes.renew.keys().copied().collect();
    let renewed = run(connection, REMOVE_WORDS, &keys).await?;
    if renewed > 0 {
        count += renewed;
        let (mut removed, mut replaced) = (Vec::new(), Vec::new());
        for (key, document) in &changes.renew {
            match document {
                Some(document) => replaced.push((key.0, key.1, document.text())),
                None => removed.push(*key),
            }
        }
        run(connection, REMOVE, &removed).await?;
        run(connection, REPLACE, &replaced).await?;
        run(connection, REPLACE_WORDS, &replaced).await?;
    }
    let mut trimmed = 0;
    for (topic, first) in &changes.trim {
        for sql in [TRIM_WORDS, TRIM] {
            let done = sqlx::query(sql).bind(topic).bind(first).execute(&mut *connection).await;
            let done = done.map_err(StoreError::unavailable)?;
            if sql == TRIM {
                trimmed += done.rows_affected();
            }
        }
    }
    let redacts = renewed + trimmed > 0;
    if redacts {
        redaction::ask(connection).await?;
    }
    let progress: Vec<_> = changes.progress.iter().map(|row| (row.topic, row.upto, row.todo)).collect();
    run(connection, KEEP_PROGRESS, &progress).await?;
    Ok((count + trimmed, redacts))
}

/// The lowest and the highest id of each of these milliseconds.
async fn used(
    connection: &mut SqliteConnection,
    milliseconds: &[i64],
) -> Result<BTreeMap<i64, (i64, i64)>, StoreError> {
    let rows = sqlx::query(USED)
        .bind(json(milliseconds)?)
        .bind(1_i64 << PLACE_BITS)
        .fetch_all(connection)
        .await
        .map_err(StoreError::unavailable)?;
    rows.iter().map(|row| Ok((row.integer(0)?, (row.integer(1)?, row.integer(2)?)))).collect()
}

/// Runs a statement with rows, if there are any. Returns the number of rows that it changed.
async fn run(
    connection: &mut SqliteConnection,
    sql: &'static str,
    rows: &[impl serde::Serialize],
) -> Result<u64, StoreError> {
    if rows.is_empty() {
        return Ok(0);
    }
    let done = sqlx::query(sql).bind(json(rows)?).execute(connection).await;
    Ok(done.map_err(StoreError::unavailable)?.rows_affected())
}

const PROGRESS: &str = "SELECT t.topic, t.upto, t.todo FROM jsonb_each(?1) AS d
      CROSS JOIN topics AS t ON t.topic = d.value";

const USED: &str = "SELECT * FROM (
        SELECT d.value, (SELECT min(id) FROM documents WHERE id >= d.value AND id < d.value + ?2) AS lowest,
               (SELECT max(id) FROM documents WHERE id >= d.value AND id < d.value + ?2)
          FROM jsonb_each(?1) AS d)
      WHERE lowest IS NOT NULL";

const ADD: &str = "INSERT INTO documents (id, topic, seq, words)
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM jsonb_each(?1) WHERE true
         ON CONFLICT (topic, seq) DO NOTHING";

const ADD_WORDS: &str = "INSERT INTO found (rowid, words) SELECT o.id, o.words FROM jsonb_each(?1) AS d
      CROSS JOIN documents AS o ON o.id = d.value";

const REMOVE_WORDS: &str = "INSERT INTO found (found, rowid, words)
     SELECT 'delete', o.id, o.words FROM jsonb_each(?1) AS d
      CROSS JOIN documents AS o ON o.topic = d.value ->> 0 AND o.seq = d.value ->> 1";

const REMOVE: &str = "DELETE FROM documents WHERE (topic, seq) IN
     (SELECT d.value ->> 0, d.value ->> 1 FROM jsonb_each(?1) AS d)";

const REPLACE: &str = "UPDATE documents AS o SET words = d.words
       FROM (SELECT value ->> 0 AS topic, value ->> 1 AS seq, value ->> 2 AS words FROM jsonb_each(?1)) AS d
      WHERE o.topic = d.topic AND o.seq = d.seq";

const REPLACE_WORDS: &str = "INSERT INTO found (rowid, words) SELECT o.id, o.words FROM jsonb_each(?1) AS d
      CROSS JOIN documents AS o ON o.topic = d.value ->> 0 AND o.seq = d.value ->> 1";

const TRIM_WORDS: &str = "INSERT INTO found (found, rowid, words)
     SELECT 'delete', id, words FROM documents WHERE topic = ?1 AND seq < ?2";

const TRIM: &str = "DELETE FROM documents WHERE topic = ?1 AND seq < ?2";

const KEEP_PROGRESS: &str = "INSERT INTO topics (topic, upto, todo)
     SELECT value ->> 0, value ->> 1, value ->> 2 FROM jsonb_each(?1) WHERE true
         ON CONFLICT (topic) DO UPDATE SET upto = excluded.upto, todo = excluded.todo";

/// The index walks backwards through the ids, and stops when it has found enough.
pub(super) const FIND: &str =
    "SELECT o.id, o.topic, o.seq FROM found AS f CROSS JOIN documents AS o ON o.id = f.rowid
      WHERE f.found MATCH ?1 AND f.rowid < ?2 ORDER BY f.rowid DESC LIMIT ?3 + 0";

/// A search in the index.
struct Finder<'a> {
    opened: &'a Opened,
    wanted: String,
}

impl HintSource for Finder<'_> {
    type Error = StoreError;

    async fn hints(&mut self, before: i64, max: usize) -> Result<Hints, StoreError> {
        let rows = sqlx::query(FIND)
            .bind(&self.wanted)
            .bind(before)
            .bind(i64::try_from(max).unwrap_or(i64::MAX))
            .fetch_all(&self.opened.readers)
            .await
            .map_err(|error| self.opened.failed(StoreError::unavailable(error)))?;
        let hints = rows
            .iter()
            .map(|row| Ok(Hint { id: row.integer(0)?, topic: row.integer(1)?, seq: row.integer(2)? }))
            .collect::<Result<Vec<_>, StoreError>>()
            .map_err(|error| self.opened.failed(error))?;
        let before = hints.last().filter(|_| hints.len() == max).map(|hint| hint.id);
        Ok(Hints { hints, before })
    }
}

/// The question in the language of FTS5. Marks and words are quoted, and have no quotes.
fn match_of(wanted: &Wanted) -> String {
    let quoted = |tokens: &[String]| format!("\"{}\"", tokens.join(" "));
    let any_of = |tokens: &[String]| {
        let quoted: Vec<String> = tokens.iter().map(|token| quoted(std::slice::from_ref(token))).collect();
        quoted.join(" OR ")
    };
    let mut all: Vec<String> = wanted
        .phrases
        .iter()
        .map(|(words, is_open)| format!("{}{}", quoted(words), if *is_open { " *" } else { "" }))
        .collect();
    all.extend(wanted.author.iter().map(|author| quoted(std::slice::from_ref(author))));
    let mut places = Vec::new();
    match &wanted.named_but {
        Some(but) if !but.is_empty() => places.push(format!("(\"{NAMED}\" NOT ({}))", any_of(but))),
        Some(_) => places.push(format!("\"{NAMED}\"")),
        None => {}
    }
    if !wanted.any.is_empty() {
        places.push(any_of(&wanted.any));
    }
    all.push(format!("({})", places.join(" OR ")));
    all.join(" AND ")
}

impl SearchIndex for SqliteStore {
    fn search<'a>(&'a self, reader: &'a Username, query: &'a SearchQuery) -> StoreFuture<'a, SearchPage> {
        Box::pin(async move {
            if query.words.phrases().is_empty() {
                return Ok(SearchPage::default());
            }
            let mut readers = &self.readers;
            let Some(readable) = readable(&mut readers, reader, &query.scope).await? else {
                return Ok(SearchPage::default());
            };
            let wanted = match_of(&Wanted::new(reader, query, &readable));
            let opened = self.search.opened().await?;
            let mut finder = Finder { opened: &opened, wanted };
            let page = walk(&mut readers, &mut finder, reader, query).await;
            if opened.is_damaged() {
                self.search.indexer.wake();
            }
            page
        })
    }

    fn index_some(&self, max_entries: usize) -> StoreFuture<'_, Indexed> {
        Box::pin(async move {
            let search = &self.search;
            let mut was_damaged = search.replace_damaged().await?;
            let opened = search.opened().await?;
            let indexed = search.indexer.step(&&self.readers, &mut Step(&opened), max_entries).await;
            let indexed = match indexed {
                Err(_) if opened.is_damaged() => {
                    drop(opened);
                    was_damaged |= search.replace_damaged().await?;
                    Indexed { has_more: true, ..Indexed::default() }
                }
                indexed => indexed?,
            };
            Ok(Indexed { was_damaged, ..indexed })
        })
    }

    fn committed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(self.search.indexer.noted_something())
    }

    fn reindex(&self) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.search.replace_damaged().await?;
            let opened = self.search.opened().await?;
            let emptied = empty(&opened).await.map_err(|error| opened.failed(error));
            match emptied {
                Err(_) if opened.is_damaged() => {
                    drop(opened);
                    self.search.replace_damaged().await?;
                }
                emptied => {
                    emptied?;
                    self.search.indexer.start_over().await;
                }
            }
            Ok(())
        })
    }
}

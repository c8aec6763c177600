//! What the tests of stores have in common.

#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod proxy;

use std::ops::Deref;
use std::path::PathBuf;

use chat_core::{
    Body, Commit, Draft, DraftId, MessageText, Nonce, Outcome, Page, PageFrom, PageLimits, Pair, RoomName,
    SessionId, Topic, Username,
};
use chat_store::test_postgres::TestDatabase;
use chat_store::{DatabaseUrl, NewUser, Session, StoreError, StoreFuture, Stores};
use proxy::Proxy;
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use tempfile::TempDir;

/// No limits.
pub(crate) const ALL: PageLimits = PageLimits { entries: usize::MAX, bytes: usize::MAX };

/// An open store and its database.
pub(crate) struct TestStore {
    pub(crate) stores: Stores,
    url: DatabaseUrl,
    folder: TempDir,
    /// Dropped after the store.
    database: Option<TestDatabase>,
}

/// `store.log`, `store.users`, `store.sessions`.
impl Deref for TestStore {
    type Target = Stores;

    fn deref(&self) -> &Stores {
        &self.stores
    }
}

impl TestStore {
    pub(crate) async fn memory() -> Self {
        Self::open(DatabaseUrl::Memory, tempfile::tempdir().unwrap(), None).await
    }

    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::open(DatabaseUrl::Sqlite(folder.path().join("chat.db")), folder, None).await
    }

    /// `None` where no Postgres is installed.
    pub(crate) async fn postgres() -> Option<Self> {
        let database = TestDatabase::migrated()?;
        Some(Self::open(database.url.clone(), tempfile::tempdir().unwrap(), Some(database)).await)
    }

    /// A store in Postgres that connects through a proxy.
    pub(crate) async fn behind(proxy: &Proxy, database: TestDatabase) -> Self {
        let url = DatabaseUrl::Postgres(proxy.url());
        Self::open(url, tempfile::tempdir().unwrap(), Some(database)).await
    }

    async fn open(url: DatabaseUrl, folder: TempDir, database: Option<TestDatabase>) -> Self {
        Self { stores: Stores::open(&url).await.unwrap(), url, folder, database }
    }

    /// The file of an SQLite database.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("chat.db")
    }

    /// The database of a store in Postgres.
    pub(crate) fn database(&self) -> &TestDatabase {
        self.database.as_ref().unwrap()
    }

    /// Whether the data outlives the store.
    pub(crate) fn is_kept(&self) -> bool {
        self.url != DatabaseUrl::Memory
    }

    /// A store of the same kind on another, new database.
    pub(crate) async fn another(&self) -> Self {
        match &self.url {
            DatabaseUrl::Memory => Self::memory().await,
            DatabaseUrl::Sqlite(_) => Self::sqlite().await,
            DatabaseUrl::Postgres(_) => Self::postgres().await.unwrap(),
        }
    }

    /// Stores `batch(nonce)` in a call that is dropped where `call` drops it; returns
    /// whether it was. Checks that the batch was stored wholly or not at all, that a
    /// retry tells which, and that the store works on.
    pub(crate) async fn append_dropped<'a, F>(
        &'a self,
        nonce: &str,
        drafts: &'a [Draft],
        call: impl FnOnce(StoreFuture<'a, Commit>) -> F,
    ) -> bool
    where
        F: Future<Output = Option<Result<Commit, StoreError>>>,
    {
        let is_dropped = call(self.log.append(drafts, 1)).await.is_none();
        let (kitchen, garden) = (room("kitchen"), room("garden"));
        self.append(&[draft(&kitchen, "bob", "next")], 1).await;
        let (in_kitchen, in_garden) = (self.all(&kitchen).await, self.all(&garden).await);
        for page in [&in_kitchen, &in_garden] {
            assert!(page.entries.iter().map(|entry| entry.seq).eq(1..=page.last), "after {nonce}");
        }
        let count = |page| texts(page).iter().filter(|text| **text == nonce).count();
        assert_eq!(count(&in_kitchen), count(&in_garden) * 2, "after {nonce}");
        let retry = self.append(&drafts[1..], 2).await;
        let stored = retry.iter().filter(|outcome| matches!(outcome, Outcome::Stored { .. })).count();
        assert_eq!(stored, if count(&in_garden) == 1 { 0 } else { 2 }, "after {nonce}");
        is_dropped
    }

    /// The same database after a restart.
    pub(crate) async fn reopened(self) -> Self {
        self.stores.close().await;
        Self::open(self.url, self.folder, self.database).await
    }

    pub(crate) async fn account(&self, person: &str) {
        let user = NewUser {
            name: name(person),
            password_hash: "$argon2id$…".into(),
            avatar: None,
            created_at_ms: 1,
        };
        self.users.create_user(&user).await.unwrap();
    }

    /// Adds an account as the original chat would, without a check of its name.
    pub(crate) async fn foreign_account(&self, person: &str, hash: &str) {
        match &self.url {
            DatabaseUrl::Memory => panic!("a memory store belongs to one program"),
            DatabaseUrl::Sqlite(path) => {
                let mut connection = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
                sqlx::query("INSERT INTO users (username, password_hash, created_at) VALUES (?1, ?2, 0)")
                    .bind(person)
                    .bind(hash)
                    .execute(&mut connection)
                    .await
                    .unwrap();
            }
            DatabaseUrl::Postgres(_) => {
                let options: PgConnectOptions = self.database().text.parse().unwrap();
                sqlx::query("INSERT INTO users (username, password_hash) VALUES ($1, $2)")
                    .bind(person)
                    .bind(hash)
                    .execute(&mut options.connect().await.unwrap())
                    .await
                    .unwrap();
            }
        }
    }

    pub(crate) async fn append(&self, drafts: &[Draft], now_ms: u64) -> Vec<Outcome> {
        let commit = self.log.append(drafts, now_ms).await.unwrap();
        commit.receipts.into_iter().map(|receipt| receipt.outcome).collect()
    }

    pub(crate) async fn all(&self, topic: &Topic) -> Page {
        self.log.page(topic, PageFrom::After(0), ALL).await.unwrap()
    }
}

pub(crate) fn name(name: &str) -> Username {
    Username::known(name).unwrap()
}

pub(crate) fn room(name: &str) -> Topic {
    Topic::Room(RoomName::parse(name).unwrap())
}

pub(crate) fn pair(one: &str, other: &str) -> Topic {
    Topic::Pair(Pair::new(name(one), name(other)))
}

pub(crate) fn draft(topic: &Topic, from: &str, text: &str) -> Draft {
    Draft {
        id: DraftId(text.len() as u64),
        topic: topic.clone(),
        from: name(from),
        room: None,
        body: Body::message(MessageText::stored(text)),
        nonce: None,
        check: false,
    }
}

/// A batch that touches every table of the log.
pub(crate) fn batch(nonce: &str) -> Vec<Draft> {
    vec![
        draft(&room("kitchen"), "alice", nonce),
        draft(&room("kitchen"), "alice", nonce).nonce(nonce),
        draft(&room("garden"), "alice", nonce).nonce(&format!("{nonce}'")),
    ]
}

pub(crate) fn private(from: &str, to: &str, text: &str) -> Draft {
    draft(&pair(from, to), from, text)
}

/// A session of a user, on a device of their own.
pub(crate) fn session(id: &str, user: &str, created_at_ms: u64, expires_at_ms: u64) -> Session {
    Session {
        id: SessionId::new(id),
        user: name(user),
        device: format!("{user}’s Телефон"),
        address: "2001:db8::1".to_owned(),
        created_at_ms,
        expires_at_ms,
        last_seen_at_ms: created_at_ms,
    }
}

/// `draft.nonce("n")` sets the nonce of a draft.
pub(crate) trait WithNonce {
    fn nonce(self, nonce: &str) -> Self;
}

impl WithNonce for Draft {
    fn nonce(self, nonce: &str) -> Self {
        Self { nonce: Some(Nonce::parse(nonce).unwrap()), ..self }
    }
}

/// The texts of a page.
pub(crate) fn texts(page: &Page) -> Vec<&str> {
    page.entries.iter().map(|entry| entry.body.text()).collect()
}

pub(crate) fn newcomer(person: &str) -> NewUser {
    NewUser { name: name(person), password_hash: "$argon2id$…".into(), avatar: None, created_at_ms: 1 }
}

pub(crate) fn stored(seq: u64, at_ms: u64) -> Outcome {
    Outcome::Stored { seq, at_ms }
}

pub(crate) fn duplicate(topic: &Topic, seq: u64, at_ms: u64) -> Outcome {
    Outcome::Duplicate { topic: topic.clone(), seq, at_ms }
}

pub(crate) fn seqs(page: &Page) -> Vec<u64> {
    page.entries.iter().map(|entry| entry.seq).collect()
}

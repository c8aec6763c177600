//! What the stories about stores have in common.

#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod proxy;

use std::path::PathBuf;

use chat_core::{
    Body, Draft, DraftId, MessageText, Nonce, Outcome, Page, PageFrom, PageLimits, Pair, RoomName, SessionId,
    Topic, Username,
};
use chat_store::test_postgres::TestDatabase;
use chat_store::{DatabaseUrl, NewUser, Session, Stores};
use proxy::Proxy;
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use tempfile::TempDir;

/// No limits.
pub(crate) const ALL: PageLimits = PageLimits { entries: usize::MAX, bytes: usize::MAX };

/// A store and where it is.
pub(crate) struct Place {
    pub(crate) stores: Stores,
    url: DatabaseUrl,
    folder: TempDir,
    /// Dropped with the place.
    database: Option<TestDatabase>,
}

impl Place {
    pub(crate) async fn memory() -> Self {
        Self::open(DatabaseUrl::Memory, tempfile::tempdir().unwrap(), None).await
    }

    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::open(DatabaseUrl::Sqlite(folder.path().join("chat.db")), folder, None).await
    }

    /// `None` where there is no Postgres.
    pub(crate) async fn postgres() -> Option<Self> {
        let database = TestDatabase::migrated()?;
        Some(Self::open(database.url.clone(), tempfile::tempdir().unwrap(), Some(database)).await)
    }

    /// A place in Postgres, reached by way of a proxy.
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

    /// The database of a place in Postgres.
    pub(crate) fn database(&self) -> &TestDatabase {
        self.database.as_ref().unwrap()
    }

    /// Whether it outlives its process.
    pub(crate) fn is_kept(&self) -> bool {
        self.url != DatabaseUrl::Memory
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
        self.stores.users.create_user(&user).await.unwrap();
    }

    /// Adds an account behind the store's back, as the original chat would: nothing
    /// keeps its name apart from others.
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
        let commit = self.stores.log.append(drafts, now_ms).await.unwrap();
        commit.receipts.into_iter().map(|receipt| receipt.outcome).collect()
    }

    pub(crate) async fn all(&self, topic: &Topic) -> Page {
        self.stores.log.page(topic, PageFrom::After(0), ALL).await.unwrap()
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
        body: Body::Message { text: MessageText::stored(text) },
        nonce: None,
    }
}

pub(crate) fn private(from: &str, to: &str, text: &str) -> Draft {
    draft(&pair(from, to), from, text)
}

/// A sign-in of somebody, from a device of their own.
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

/// `draft.nonce("n")`.
pub(crate) trait WithNonce {
    fn nonce(self, nonce: &str) -> Self;
}

impl WithNonce for Draft {
    fn nonce(self, nonce: &str) -> Self {
        Self { nonce: Some(Nonce::parse(nonce).unwrap()), ..self }
    }
}

/// The texts of a page.
pub(crate) fn said(page: &Page) -> Vec<&str> {
    page.entries.iter().map(|entry| entry.body.text()).collect()
}

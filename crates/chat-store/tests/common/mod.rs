//! What the tests of stores have in common.

#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod proxy;

use std::fmt::Write as _;
use std::ops::Deref;
use std::path::PathBuf;
use std::time::Duration;

use chat_core::{
    Access, Actor, AttachedFile, Body, ChangeRefused, ChangeRules, Commit, Draft, DraftId, Emoji, Entry,
    FileId, FileName, FileQuotas, Level, MediaType, Mentions, MessageText, MessagesFrom, Nonce, Outcome,
    Page, PageFrom, PageLimits, Pair, Reaction, ReadState, ReservedFile, Role, RoomChange, RoomInfo,
    RoomName, RoomPatch, SessionId, Topic, UserMark, Username, WantedChange,
};
use chat_store::test_postgres::TestDatabase;
use chat_store::{
    DatabaseUrl, NewUser, PostgresOptions, Session, StoreError, StoreFuture, StoreOptions, Stores, migrations,
};
use proxy::Proxy;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Row as _};
use tempfile::TempDir;

/// The most sessions of one user, in tests that do not reach it.
pub(crate) const SESSIONS_MAX: usize = 1_000;

/// No limits.
pub(crate) const ALL: PageLimits = PageLimits { entries: usize::MAX, bytes: usize::MAX };

/// Opens a database with limits that a busy machine keeps.
pub(crate) async fn open(url: &DatabaseUrl) -> Result<Stores, StoreError> {
    let postgres = PostgresOptions {
        call_timeout: Duration::from_secs(30),
        attempt_timeout: Duration::from_secs(15),
        connect_timeout: Duration::from_secs(10),
        check_timeout: Duration::from_secs(15),
        ..PostgresOptions::default()
    };
    Stores::open_with(url, StoreOptions { postgres, ..StoreOptions::default() }).await
}

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
        Self { stores: open(&url).await.unwrap(), url, folder, database }
    }

    /// The address of the database.
    pub(crate) fn url(&self) -> &DatabaseUrl {
        &self.url
    }

    /// The file of an SQLite database.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("chat.db")
    }

    /// The database of a store in Postgres.
    pub(crate) fn database(&self) -> &TestDatabase {
        self.database.as_ref().unwrap()
    }

    /// Another program's connection to a Postgres database.
    pub(crate) async fn connect(&self) -> sqlx::PgConnection {
        self.database().text.parse::<PgConnectOptions>().unwrap().connect().await.unwrap()
    }

    /// Runs statements on the database, as another program.
    pub(crate) async fn run_sql(&self, sql: &'static str) {
        match &self.url {
            DatabaseUrl::Memory => panic!("a memory store belongs to one program"),
            DatabaseUrl::Sqlite(path) => {
                let mut program = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
                sqlx::raw_sql(sql).execute(&mut program).await.unwrap();
            }
            DatabaseUrl::Postgres(_) => {
                sqlx::raw_sql(sql).execute(&mut self.connect().await).await.unwrap();
            }
        }
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

    /// The address of the database, after the store is closed, and what keeps it.
    pub(crate) async fn closed(self) -> (DatabaseUrl, KeptDatabase) {
        self.stores.close().await;
        (self.url, KeptDatabase { folder: self.folder, database: self.database })
    }

    /// A database that was [closed](Self::closed), after a restart.
    pub(crate) async fn open_kept(url: DatabaseUrl, kept: KeptDatabase) -> Self {
        Self::open(url, kept.folder, kept.database).await
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

    pub(crate) async fn messages(&self, topic: &Topic, from: MessagesFrom, limits: PageLimits) -> Page {
        self.log.messages(topic, &from, limits).await.unwrap()
    }

    pub(crate) async fn all(&self, topic: &Topic) -> Page {
        self.log.page(topic, PageFrom::After(0), ALL).await.unwrap()
    }

    /// All entries of a topic, as [`line`] has them.
    pub(crate) async fn lines(&self, topic: &Topic) -> Vec<String> {
        self.all(topic).await.entries.iter().map(|entry| line(entry)).collect()
    }

    /// The messages of a topic as they are now, as [`line`] has them.
    pub(crate) async fn shown(&self, topic: &Topic) -> Vec<String> {
        let from = MessagesFrom::Page(PageFrom::After(0));
        let page = self.log.messages(topic, &from, ALL).await.unwrap();
        page.entries.iter().map(|entry| line(entry)).collect()
    }

    /// Makes accounts with these names, separated by spaces.
    pub(crate) async fn accounts(&self, people: &str) {
        for person in people.split_whitespace() {
            self.account(person).await;
        }
    }

    /// Appends messages to a room by one author, in one batch of checked drafts. Returns
    /// the users who became members, as [`told`] has them.
    pub(crate) async fn send(&self, room: &str, from: &str, count: usize, now_ms: u64) -> Vec<String> {
        let drafts = vec![checked(draft(&self::room(room), from, "hi")); count];
        let commit = self.log.append(&drafts, now_ms).await.unwrap();
        let is_stored = |outcome: &Outcome| matches!(outcome, Outcome::Stored { .. });
        assert!(commit.receipts.iter().all(|receipt| is_stored(&receipt.outcome)), "{commit:?}");
        told(room, &commit.changes)
    }

    /// Makes a change at 1000 ms.
    pub(crate) async fn change(&self, wanted: &WantedChange) -> Result<Vec<String>, ChangeRefused> {
        self.change_at(wanted, 1000).await
    }

    /// Makes a change, and describes what it did as [`told`] does.
    pub(crate) async fn change_at(
        &self,
        wanted: &WantedChange,
        now_ms: u64,
    ) -> Result<Vec<String>, ChangeRefused> {
        let changes = self.log.change(wanted, now_ms).await.unwrap()?;
        let room = wanted.room();
        let info = self.rooms.find_room(room).await.unwrap().unwrap().info;
        for change in &changes {
            match change {
                RoomChange::Info { info: said, .. } | RoomChange::Member { info: said, .. } => {
                    assert_eq!(*said, info);
                }
                RoomChange::Gone { access, .. } => assert_eq!(*access, info.access),
            }
        }
        Ok(told(room.as_str(), &changes))
    }

    /// The members of a room, as "alice moderator", in the order of the store.
    pub(crate) async fn members(&self, room: &str) -> Vec<String> {
        let room = room_name(room);
        let members = self.rooms.members_of(&room, None, usize::MAX).await.unwrap();
        let found = self.rooms.find_room(&room).await.unwrap();
        assert_eq!(members.len() as u64, found.map_or(0, |room| room.members), "{members:?}");
        members.iter().map(|(user, role)| format!("{} {}", user.as_str(), role.as_str())).collect()
    }

    /// Uploads the file with this number at 100 ms.
    pub(crate) async fn upload(&self, owner: &str, number: u64, called: &str) {
        let owner = name(owner);
        let reserved = ReservedFile { id: file_id(number), owner: owner.clone(), bytes: 1_000 };
        self.files.reserve_file(&reserved, FileQuotas::default(), 50).await.unwrap().unwrap();
        assert!(self.files.store_file(&owner, &file(number, called), 100).await.unwrap());
    }

    /// Whether a user may read the file with this number.
    pub(crate) async fn may_read(&self, number: u64, reader: &str) -> bool {
        let found = self.files.readable_file(&file_id(number), &name(reader)).await.unwrap();
        found.is_some()
    }

    /// The numbers of the files that are to be removed, those without a message that are older
    /// than a time among them.
    pub(crate) async fn to_delete(&self, before_ms: u64) -> Vec<u64> {
        let ids = self.files.files_to_delete(before_ms, 1_000).await.unwrap();
        let mut numbers: Vec<u64> =
            ids.iter().map(|id| (0..1_000).find(|number| file_id(*number) == *id).unwrap()).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Keeps one mark.
    pub(crate) async fn keep(&self, user: &str, topic: &Topic, read: Option<u64>, level: Option<Level>) {
        self.log.keep(&[mark(user, topic, read, level)]).await.unwrap();
    }

    /// The position of a user in a topic, as "read 3 of 7, 4 unread, 1 mention".
    pub(crate) async fn position(&self, user: &str, topic: &Topic) -> String {
        position(self.log.counts(&name(user), topic, 0).await.unwrap())
    }
}

/// A database that lives as long as this value.
pub(crate) struct KeptDatabase {
    folder: TempDir,
    /// Dropped after what uses it.
    database: Option<TestDatabase>,
}

/// A database with the schema of an earlier release.
pub(crate) struct OldDatabase {
    url: DatabaseUrl,
    kept: KeptDatabase,
}

impl OldDatabase {
    /// An empty database of each kind, with the schema of this version.
    pub(crate) async fn of_each_kind(version: i64) -> Vec<Self> {
        let folder = tempfile::tempdir().unwrap();
        let sqlite = DatabaseUrl::Sqlite(folder.path().join("chat.db"));
        migrations::up(&sqlite).await.unwrap();
        let mut all = vec![Self::of(sqlite, KeptDatabase { folder, database: None })];
        if let Some(database) = TestDatabase::migrated() {
            let (url, folder) = (database.url.clone(), tempfile::tempdir().unwrap());
            all.push(Self::of(url, KeptDatabase { folder, database: Some(database) }));
        }
        for old in &all {
            while migrations::down(&old.url).await.unwrap().unwrap().version > version + 1 {}
        }
        all
    }

    pub(crate) fn of(url: DatabaseUrl, kept: KeptDatabase) -> Self {
        Self { url, kept }
    }

    /// The address of the database.
    pub(crate) fn url(&self) -> &DatabaseUrl {
        &self.url
    }

    /// Runs statements. `{created_at}` and `{zero}` stand for a column of accounts that has
    /// a default on Postgres only, and its value.
    pub(crate) async fn run(&self, sql: &str) {
        let is_sqlite = matches!(self.url, DatabaseUrl::Sqlite(_));
        let (column, value) = if is_sqlite { (", created_at", ", 0") } else { ("", "") };
        let sql = AssertSqlSafe(sql.replace("{created_at}", column).replace("{zero}", value));
        match &self.url {
            DatabaseUrl::Sqlite(path) => {
                let mut program = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
                sqlx::raw_sql(sql).execute(&mut program).await.unwrap();
            }
            _ => {
                let mut program = self.postgres().connect().await.unwrap();
                sqlx::raw_sql(sql).execute(&mut program).await.unwrap();
            }
        }
    }

    /// The number that a query returns.
    pub(crate) async fn count(&self, sql: &'static str) -> i64 {
        match &self.url {
            DatabaseUrl::Sqlite(path) => {
                let mut program = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
                sqlx::query(sql).fetch_one(&mut program).await.unwrap().get(0)
            }
            _ => {
                let mut program = self.postgres().connect().await.unwrap();
                sqlx::query(sql).fetch_one(&mut program).await.unwrap().get(0)
            }
        }
    }

    fn postgres(&self) -> PgConnectOptions {
        self.kept.database.as_ref().unwrap().text.parse().unwrap()
    }

    /// The store on this database, after it was migrated.
    pub(crate) async fn migrated(self) -> TestStore {
        migrations::up(&self.url).await.unwrap();
        TestStore::open_kept(self.url, self.kept).await
    }
}

/// A position, as "read 3 of 7, 4 unread, 1 mention".
pub(crate) fn position(state: ReadState) -> String {
    let ReadState { top, read, counts } = state;
    let mentions = match counts.mentions {
        0 => String::new(),
        1 => ", 1 mention".to_owned(),
        more => format!(", {more} mentions"),
    };
    format!("read {read} of {top}, {} unread{mentions}", counts.unread)
}

/// Changes of a room in a few words, each with the number behind which it takes effect:
/// "@3 bob member", "@3 bob left open", "@3 closed: Kitchen (for tea) of alice, bob".
pub(crate) fn told(room: &str, changes: &[RoomChange]) -> Vec<String> {
    let tell = |change: &RoomChange| {
        assert_eq!(change.room(), &room_name(room));
        match change {
            RoomChange::Info { info, members, top, .. } => {
                let archived = if info.archived { " archived" } else { "" };
                let description = match info.description.as_str() {
                    "" => String::new(),
                    text => format!(" ({text})"),
                };
                let members = members.as_ref().map(|members| {
                    let names: Vec<_> = members.iter().map(Username::as_str).collect();
                    format!(" of {}", names.join(", "))
                });
                let (access, members) = (info.access.as_str(), members.unwrap_or_default());
                format!("@{top} {access}{archived}: {}{description}{members}", info.title)
            }
            RoomChange::Member { user, role, top, .. } => {
                format!("@{top} {} {}", user.as_str(), role.as_str())
            }
            RoomChange::Gone { user, reason, access, top, .. } => {
                let reason = format!("{reason:?}").to_lowercase();
                format!("@{top} {} {reason} {}", user.as_str(), access.as_str())
            }
        }
    };
    changes.iter().map(tell).collect()
}

pub(crate) fn room_name(name: &str) -> RoomName {
    RoomName::parse(name).unwrap()
}

/// A user who wants a change; "admin" is an administrator of the server.
pub(crate) fn actor(user: &str) -> Actor {
    Actor { user: name(user), is_administrator: user == "admin" }
}

/// To create a room of this name, with a title that is the name.
pub(crate) fn create(room: &str, access: Access, by: &str, members: &[&str]) -> WantedChange {
    let room = room_name(room);
    let info = RoomInfo { access, ..RoomInfo::opened(&room) };
    let members = members.iter().map(|member| name(member)).collect();
    WantedChange::Create { room, info, members, by: name(by) }
}

pub(crate) fn patch(room: &str, by: &str, patch: RoomPatch) -> WantedChange {
    WantedChange::Change { room: room_name(room), patch, by: actor(by) }
}

pub(crate) fn close(room: &str, by: &str) -> WantedChange {
    patch(room, by, RoomPatch { access: Some(Access::Closed), ..RoomPatch::default() })
}

pub(crate) fn archive(room: &str, by: &str, archived: bool) -> WantedChange {
    patch(room, by, RoomPatch { archived: Some(archived), ..RoomPatch::default() })
}

pub(crate) fn put(room: &str, by: &str, user: &str, role: Option<Role>) -> WantedChange {
    WantedChange::Put { room: room_name(room), user: name(user), role, by: actor(by) }
}

pub(crate) fn remove(room: &str, by: &str, user: &str) -> WantedChange {
    WantedChange::Remove { room: room_name(room), user: name(user), by: actor(by) }
}

pub(crate) fn leave(room: &str, user: &str) -> WantedChange {
    remove(room, user, user)
}

pub(crate) fn mark(user: &str, topic: &Topic, read: Option<u64>, level: Option<Level>) -> UserMark {
    UserMark { user: name(user), topic: topic.clone(), read, level }
}

/// A file with this number. Every other one is a picture.
pub(crate) fn file(number: u64, called: &str) -> AttachedFile {
    AttachedFile {
        id: file_id(number),
        name: FileName::clean(called).unwrap(),
        media_type: MediaType::parse("image/png").unwrap(),
        size: 10 * number,
        dimensions: (number % 2 == 1).then_some((640, 480)),
    }
}

/// The id of the file with this number.
pub(crate) fn file_id(number: u64) -> FileId {
    FileId::from_bytes(u128::from(number).to_be_bytes())
}

/// A draft that attaches the files with these numbers.
pub(crate) fn with_files(draft: Draft, numbers: &[u64]) -> Draft {
    Draft { files: numbers.iter().map(|number| file_id(*number)).collect(), ..draft }
}

/// A draft whose store must look at the room.
pub(crate) fn checked(draft: Draft) -> Draft {
    Draft { check: true, ..draft }
}

/// A draft that mentions these users, separated by spaces; "all" stands for all members.
/// Such a draft is checked without being marked so.
pub(crate) fn mention(draft: Draft, names: &str) -> Draft {
    let text = MessageText::stored(draft.body.text());
    let mentions = Some(Box::new(mentions(names)));
    let body = Body::Message { text, mentions, reply_to: None, files: None, state: None };
    Draft { body, ..draft }
}

/// These users, separated by spaces; "all" stands for all members.
pub(crate) fn mentions(names: &str) -> Mentions {
    let (all, names): (Vec<_>, Vec<_>) = names.split_whitespace().partition(|name| *name == "all");
    Mentions { names: names.into_iter().map(name).collect(), all: !all.is_empty() }
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
        files: Vec::new(),
        nonce: None,
        check: false,
        may_administer: true,
        by_server: false,
        refused: None,
        rules: ChangeRules::default(),
    }
}

/// A draft that replaces the text of a message.
pub(crate) fn edit(topic: &Topic, from: &str, target: u64, text: &str) -> Draft {
    let text = Some(MessageText::stored(text));
    Draft { body: Body::Edit { target, text, mentions: None }, ..draft(topic, from, "") }
}

/// A draft that takes a message back.
pub(crate) fn delete(topic: &Topic, from: &str, target: u64) -> Draft {
    Draft { body: Body::Delete { target }, ..draft(topic, from, "") }
}

/// A draft of a reaction to a message.
pub(crate) fn react(topic: &Topic, from: &str, target: u64, emoji: &str) -> Draft {
    let emoji = Emoji::stored(emoji);
    Draft { body: Body::React { target, emoji }, ..draft(topic, from, "") }
}

/// A draft that takes a reaction back.
pub(crate) fn unreact(topic: &Topic, from: &str, target: u64, emoji: &str) -> Draft {
    let emoji = Emoji::stored(emoji);
    Draft { body: Body::Unreact { target, emoji }, ..draft(topic, from, "") }
}

/// A message that answers another one of its topic.
pub(crate) fn reply(draft: Draft, to: u64) -> Draft {
    let body = match draft.body {
        Body::Message { text, mentions, files, state, .. } => {
            Body::Message { text, mentions, reply_to: Some(to), files, state }
        }
        body => body,
    };
    Draft { body, ..draft }
}

/// An entry in a line: `3 alice: hi re 1 +cat.png edited@5 👍2 alice,bob updated 7`, `4 alice edits 3: hi`,
/// `5 alice edits 3` without its text, `6 bob deletes 3`, `7 bob reacts 👍 to 3`.
pub(crate) fn line(entry: &Entry) -> String {
    let mut line = format!("{} {}", entry.seq, entry.from.as_str());
    let mentions = entry.body.mentions().map(|mentions| {
        let names: Vec<&str> = mentions.names.iter().map(Username::as_str).collect();
        format!(" @{}{}", names.join(","), if mentions.all { "all" } else { "" })
    });
    match &entry.body {
        Body::Message { text, reply_to, .. } => {
            write!(line, ": {}", text.as_str()).unwrap();
            reply_to.iter().for_each(|to| write!(line, " re {to}").unwrap());
            entry.body.files().iter().for_each(|file| write!(line, " +{}", file.name).unwrap());
        }
        Body::Edit { target, text, .. } => {
            write!(line, " edits {target}").unwrap();
            text.iter().for_each(|text| write!(line, ": {}", text.as_str()).unwrap());
        }
        Body::Delete { target } => write!(line, " deletes {target}").unwrap(),
        Body::React { target, emoji } => write!(line, " reacts {} to {target}", emoji.as_str()).unwrap(),
        Body::Unreact { target, emoji } => write!(line, " unreacts {} to {target}", emoji.as_str()).unwrap(),
    }
    line.extend(mentions);
    if let Some(state) = entry.body.state() {
        state.edited_at_ms.iter().for_each(|at| write!(line, " edited@{at}").unwrap());
        line.push_str(if state.deleted { " deleted" } else { "" });
        for Reaction { emoji, count, users } in &state.reactions {
            let users: Vec<&str> = users.iter().map(Username::as_str).collect();
            write!(line, " {}{count} {}", emoji.as_str(), users.join(",")).unwrap();
        }
        write!(line, " updated {}", state.updated).unwrap();
    }
    line
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

/// The entries of a page, each in a few words: "1 alice: hi", "2 edits 1: ho", "3 deletes 1",
/// "4 bob 👍 1", "5 bob not 👍 1"; of changed messages also "edited", "deleted", the
/// reactions as "👍2 (bob, carol)", and the number up to which they are changed as "@5".
pub(crate) fn described(page: &Page) -> Vec<String> {
    let describe = |entry: &std::sync::Arc<chat_core::Entry>| {
        let (seq, from, text) = (entry.seq, entry.from.as_str(), entry.body.text());
        match &entry.body {
            Body::Message { reply_to, state, mentions, .. } => {
                let mut words = format!("{seq} {from}: {text}");
                if let Some(to) = reply_to {
                    words += &format!(" re {to}");
                }
                if let Some(mentions) = mentions {
                    let names: Vec<_> = mentions.names.iter().map(Username::as_str).collect();
                    words += &format!(" to {}", names.join(", "));
                }
                if let Some(state) = state {
                    if let Some(at) = state.edited_at_ms {
                        words += &format!(" edited at {at}");
                    }
                    if state.deleted {
                        words += " deleted";
                    }
                    for reaction in &state.reactions {
                        let users: Vec<_> = reaction.users.iter().map(Username::as_str).collect();
                        words +=
                            &format!(" {}{} ({})", reaction.emoji.as_str(), reaction.count, users.join(", "));
                    }
                    words += &format!(" @{}", state.updated);
                }
                words
            }
            Body::Edit { target, text: None, .. } => format!("{seq} edits {target}"),
            Body::Edit { target, .. } => format!("{seq} edits {target}: {text}"),
            Body::Delete { target } => format!("{seq} deletes {target}"),
            Body::React { target, .. } => format!("{seq} {from} {text} {target}"),
            Body::Unreact { target, .. } => format!("{seq} {from} not {text} {target}"),
        }
    };
    page.entries.iter().map(describe).collect()
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

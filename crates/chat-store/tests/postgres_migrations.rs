//! Migrations of Postgres: up, down, refusals, and the takeover of the original
//! chat's database.

// Clippy takes only `#[test]` functions for tests, not what they call.
#![allow(clippy::unwrap_used)]

mod common;

use chat_core::{Outcome, PageFrom};
use chat_store::test_postgres::TestDatabase;
use chat_store::{DatabaseUrl, NewUser, StoreError, User, migrations};
use common::{ALL, draft, name, open, private, room, texts};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};

/// The newest schema.
const NEWEST: i64 = 22;

async fn connect(database: &TestDatabase) -> PgConnection {
    database.text.parse::<PgConnectOptions>().unwrap().connect().await.unwrap()
}

async fn run(database: &TestDatabase, sql: &str) {
    let mut program = connect(database).await;
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut program).await.unwrap();
    program.close().await.unwrap();
}

async fn rows(database: &TestDatabase, sql: &'static str) -> Vec<PgRow> {
    let mut program = connect(database).await;
    let rows = sqlx::query(sql).fetch_all(&mut program).await.unwrap();
    program.close().await.unwrap();
    rows
}

async fn tables(database: &TestDatabase) -> Vec<String> {
    let sql = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' ORDER BY 1";
    rows(database, sql).await.iter().map(|row| row.get(0)).collect()
}

async fn refusal(url: &DatabaseUrl) -> String {
    match open(url).await {
        Ok(_) => panic!("it was opened"),
        Err(error) => error.to_string(),
    }
}

async fn applied(url: &DatabaseUrl) -> Vec<(i64, bool)> {
    let steps = migrations::status(url).await.unwrap();
    steps.into_iter().map(|step| (step.version, step.applied)).collect()
}

/// The original's tables, with rows that they may have after some years.
const ORIGINAL: &str = r"
    CREATE TABLE schema_migrations (version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL);
    INSERT INTO schema_migrations VALUES (2, false);
    CREATE TABLE users (
        id SERIAL PRIMARY KEY,
        username VARCHAR(24) NOT NULL UNIQUE,
        password_hash TEXT NOT NULL,
        avatar VARCHAR(100),
        created_at TIMESTAMPTZ DEFAULT NOW()
    );
    INSERT INTO users (username, password_hash, avatar, created_at) VALUES
        ('alice',  '$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy', NULL,
                   '2024-05-01 12:00:00.123456+03'),
        ('Алиса',  '$2a$10$VEVmGHy4F4XQMJ3eOZJAUeb.MedU0W10pTPCuf53eHdKJPiSE8sMK',
                   '/uploads/1714554000_cat picture.png', NULL),
        ('Alice',  '$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy', '', 'infinity'),
        ('аlice',  '$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy', NULL, '1969-12-31'),
        (E'b\tb ', '$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy', NULL, now()),
        ('',       'not a hash at all', NULL, now());
    DELETE FROM users WHERE username = 'nobody';
";

const ACCOUNTS: &str = "SELECT u::text FROM users AS u WHERE id <= 6 ORDER BY id";

async fn accounts(database: &TestDatabase) -> Vec<String> {
    rows(database, ACCOUNTS).await.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn the_originals_database_is_taken_over_and_given_back() {
    let Some(database) = TestDatabase::empty() else { return };
    let url = &database.url;
    run(&database, ORIGINAL).await;
    let before = accounts(&database).await;
    assert_eq!(before.len(), 6);
    assert!(refusal(url).await.ends_with(&format!("has schema 0, this version needs {NEWEST}")));
    assert_eq!(tables(&database).await, ["schema_migrations", "users"]);

    for _ in 0..2 {
        migrations::up(url).await.unwrap();
        assert_eq!(accounts(&database).await, before);
        let stores = open(url).await.unwrap();
        let find = async |person: &str| stores.users.find_user(&name(person)).await.unwrap();
        let bcrypt = "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy";
        let alice = User {
            name: name("alice"),
            password_hash: bcrypt.into(),
            avatar: None,
            created_at_ms: 1_714_554_000_123,
        };
        assert_eq!(find("alice").await, Some(alice.clone()));
        let cyrillic = find("Алиса").await.unwrap();
        assert_eq!(cyrillic.avatar.as_deref(), Some("/uploads/1714554000_cat picture.png"));
        assert_eq!((cyrillic.created_at_ms, cyrillic.password_hash.len()), (0, 60));
        for odd in ["Alice", "аlice"] {
            assert_eq!(find(odd).await.unwrap().created_at_ms, 0);
        }
        assert!(find("b\tb ").await.is_some());

        // Names are reserved, hashes are replaced, private messages are delivered.
        let mut again = NewUser {
            name: name("alice"),
            password_hash: "$argon2id$…".into(),
            avatar: None,
            created_at_ms: 1_795_371_797_123,
        };
        assert!(matches!(stores.users.create_user(&again).await, Err(StoreError::NameTaken)));
        // Accounts with confusable names keep them; no other account gets one.
        again.name = name("ALICE");
        assert!(matches!(stores.users.create_user(&again).await, Err(StoreError::NameConfusable)));
        again.name = name("Новый человек");
        stores.users.create_user(&again).await.unwrap();
        assert_eq!(find("Новый человек").await.unwrap().created_at_ms, 1_795_371_797_123);
        assert!(stores.users.set_password_hash(&alice.name, bcrypt, "$argon2id$…").await.unwrap());
        assert_eq!(find("alice").await.unwrap().password_hash, "$argon2id$…");
        assert!(stores.users.set_password_hash(&alice.name, "$argon2id$…", bcrypt).await.unwrap());
        let drafts = [private("Новый человек", "Алиса", "Привет!"), private("alice", "bob", "lost")];
        let commit = stores.log.append(&drafts, 5).await.unwrap();
        let outcomes: Vec<_> = commit.receipts.into_iter().map(|receipt| receipt.outcome).collect();
        assert_eq!(outcomes, [Outcome::Stored { seq: 1, at_ms: 5 }, Outcome::NoRecipient { at_ms: 5 }]);
        stores.close().await;

        for version in (1..=NEWEST).rev() {
            assert_eq!(migrations::down(url).await.unwrap().map(|step| step.version), Some(version));
        }
        assert_eq!(migrations::down(url).await.unwrap(), None);
        assert_eq!(tables(&database).await, ["_sqlx_migrations", "schema_migrations", "users"]);
        assert_eq!(accounts(&database).await, before);
        let original = rows(&database, "SELECT version, dirty FROM schema_migrations").await;
        assert_eq!((original[0].get::<i64, _>(0), original[0].get::<bool, _>(1)), (2, false));
        // The original can create accounts again.
        run(
            &database,
            "INSERT INTO users (username, password_hash, avatar) VALUES ('later', 'x', NULL);
             DELETE FROM users WHERE username IN ('later', 'Новый человек')",
        )
        .await;
    }
}

#[tokio::test]
async fn a_new_database_goes_up_and_down() {
    let Some(database) = TestDatabase::empty() else { return };
    let url = &database.url;
    assert_eq!(applied(url).await, (1..=NEWEST).map(|version| (version, false)).collect::<Vec<_>>());
    assert_eq!(migrations::down(url).await.unwrap(), None);
    assert_eq!(tables(&database).await, [""; 0]);
    for _ in 0..2 {
        migrations::up(url).await.unwrap();
        // A second call changes nothing.
        migrations::up(url).await.unwrap();
        assert_eq!(applied(url).await, (1..=NEWEST).map(|version| (version, true)).collect::<Vec<_>>());
        // The original could work with this table.
        run(&database, "INSERT INTO users (username, password_hash) VALUES ('bob', 'x')").await;
        let stores = open(url).await.unwrap();
        assert!(stores.users.find_user(&name("bob")).await.unwrap().unwrap().created_at_ms > 0);
        stores.close().await;
        for name in [
            "barrier",
            "bus",
            "shared",
            "feed",
            "push_shares",
            "outgoing",
            "subjects",
            "bots",
            "push",
            "moderation",
            "administration",
            "search",
            "files",
            "changes",
            "rooms",
            "administrators",
            "retention",
            "conversations",
            "sessions",
            "names",
            "log",
        ] {
            assert_eq!(migrations::down(url).await.unwrap().map(|step| step.name), Some(name.into()));
        }
        let done: Vec<bool> = applied(url).await.into_iter().map(|(_, applied)| applied).collect();
        assert_eq!(done, (1..=NEWEST).map(|version| version == 1).collect::<Vec<_>>());
        assert!(refusal(url).await.contains(&format!("has schema 1, this version needs {NEWEST}")));
        assert_eq!(migrations::down(url).await.unwrap().map(|step| step.name), Some("accounts".into()));
        assert_eq!(tables(&database).await, ["_sqlx_migrations"]);
    }
}

#[tokio::test]
async fn accounts_stay_when_the_log_is_undone() {
    let Some(database) = TestDatabase::migrated() else { return };
    let stores = open(&database.url).await.unwrap();
    let epoch = stores.log.epoch().to_owned();
    stores.log.append(&[draft(&room("kitchen"), "alice", "a")], 1).await.unwrap();
    stores.close().await;
    for _ in 2..=NEWEST {
        migrations::down(&database.url).await.unwrap();
    }
    migrations::up(&database.url).await.unwrap();
    // The numbers start anew, so the epoch is another one.
    let stores = open(&database.url).await.unwrap();
    assert_ne!(stores.log.epoch(), epoch);
    let page = stores.log.page(&room("kitchen"), PageFrom::Latest, ALL).await.unwrap();
    assert_eq!(texts(&page), [""; 0]);
}

#[tokio::test]
async fn undoing_the_step_of_administrators_names_the_roles_that_it_deletes() {
    let Some(database) = TestDatabase::migrated() else { return };
    run(&database, "INSERT INTO administrators VALUES ('alice', 1), ('bob', 1)").await;
    for name in [
        "barrier",
        "bus",
        "shared",
        "feed",
        "push_shares",
        "outgoing",
        "subjects",
        "bots",
        "push",
        "moderation",
        "administration",
        "search",
        "files",
        "changes",
        "rooms",
    ] {
        assert_eq!(migrations::down(&database.url).await.unwrap().unwrap().name, name);
    }
    let undo = migrations::Undo::claim(&database.url).await.unwrap().unwrap();
    let losses: Vec<_> = undo.losses().iter().map(|loss| (loss.rows, loss.many)).collect();
    assert_eq!((undo.step().version, losses), (7, vec![(2, "roles of administrators")]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn migrations_that_run_at_once_apply_each_step_once() {
    for original in [false, true] {
        let Some(database) = TestDatabase::empty() else { return };
        if original {
            run(&database, ORIGINAL).await;
        }
        let mut migrating = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let url = database.url.clone();
            migrating.spawn(async move { migrations::up(&url).await });
        }
        for done in migrating.join_all().await {
            done.unwrap();
        }
        assert_eq!(
            applied(&database.url).await,
            (1..=NEWEST).map(|version| (version, true)).collect::<Vec<_>>()
        );
        let users = rows(&database, "SELECT value FROM meta WHERE key = 'users'").await;
        assert_eq!(users[0].get::<&str, _>(0), if original { "taken over" } else { "made" });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn names_of_accounts_added_by_other_programs_are_reserved_when_stores_open() {
    let Some(database) = TestDatabase::migrated() else { return };
    run(
        &database,
        "INSERT INTO users (username, password_hash) SELECT 'user ' || n, 'x' FROM generate_series(1, 3000) AS n;
         INSERT INTO names VALUES ('user 7', 'old', 'old', 1)",
    )
    .await;
    // Several servers start at once.
    let mut starts = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let url = database.url.clone();
        starts.spawn(async move { open(&url).await });
    }
    for stores in starts.join_all().await {
        let stores = stores.unwrap();
        assert!(stores.users.find_user(&name("user 3000")).await.unwrap().is_some());
        for alike in ["USER 1", "User 7", "uѕer 3000"] {
            let refused = stores.users.check_new_name(&name(alike)).await;
            assert!(matches!(refused, Err(StoreError::NameConfusable)), "{alike}: {refused:?}");
        }
        stores.users.check_new_name(&name("old")).await.unwrap();
        stores.close().await;
    }
    let kept = rows(&database, "SELECT count(*), count(DISTINCT rules) FROM names").await;
    assert_eq!((kept[0].get::<i64, _>(0), kept[0].get::<i64, _>(1)), (3000, 1));
}

#[tokio::test]
async fn a_changed_or_newer_schema_is_refused_and_left_as_it_is() {
    let Some(database) = TestDatabase::migrated() else { return };
    let url = &database.url;
    run(&database, "UPDATE _sqlx_migrations SET checksum = 'x' WHERE version = 2").await;
    assert!(refusal(url).await.ends_with("its migration 2 is not the one of this version"));
    run(
        &database,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (1000, 'later', TRUE, '', 0);
         UPDATE meta SET value = '1000' WHERE key = 'min_compatible'",
    )
    .await;
    let newer = format!(
        "the database {url} has schema 1000, this version knows up to {NEWEST}: it needs a newer server"
    );
    assert_eq!(refusal(url).await, newer);
    assert_eq!(migrations::up(url).await.unwrap_err().to_string(), newer);
    assert_eq!(migrations::down(url).await.unwrap_err().to_string(), newer);
    assert_eq!(applied(url).await.last(), Some(&(1000, true)));
    assert_eq!(tables(&database).await.len(), 49);
}

#[tokio::test]
async fn a_newer_schema_that_this_version_can_live_with_is_used_and_left_as_it_is() {
    let Some(database) = TestDatabase::migrated() else { return };
    let url = &database.url;
    run(
        &database,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (1000, 'later', TRUE, '', 0)",
    )
    .await;
    assert_eq!(migrations::up(url).await.unwrap(), []);
    let stores = open(url).await.unwrap();
    stores.log.append(&[draft(&room("kitchen"), "alice", "a")], 1).await.unwrap();
    stores.close().await;
    // Only a version that knows the newest step undoes it.
    assert!(matches!(migrations::down(url).await, Err(StoreError::NewerSchema { .. })));
    let too_new = format!("UPDATE meta SET value = '{}' WHERE key = 'min_compatible'", NEWEST + 1);
    run(&database, &too_new).await;
    assert!(refusal(url).await.ends_with("it needs a newer server"));
    assert!(matches!(migrations::up(url).await, Err(StoreError::NewerSchema { .. })));
}

#[tokio::test]
async fn tables_of_other_programs_are_not_touched() {
    let Some(database) = TestDatabase::empty() else { return };
    run(&database, "CREATE TABLE users (id INTEGER, nickname TEXT)").await;
    let refused = migrations::up(&database.url).await.unwrap_err().to_string();
    assert!(refused.contains("the table \"users\" belongs to another program"), "{refused}");
    assert_eq!(
        applied(&database.url).await,
        (1..=NEWEST).map(|version| (version, false)).collect::<Vec<_>>()
    );
    run(
        &database,
        "DROP TABLE users;
         CREATE TABLE users (id INTEGER, username TEXT, password_hash TEXT, avatar TEXT, created_at TIMESTAMPTZ)",
    )
    .await;
    let refused = migrations::up(&database.url).await.unwrap_err().to_string();
    assert!(refused.contains("belongs to another program"), "{refused}");
    assert_eq!(tables(&database).await, ["_sqlx_migrations", "users"]);

    let Some(database) = TestDatabase::empty() else { return };
    run(
        &database,
        "CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL, checksum BYTEA);
         INSERT INTO _sqlx_migrations VALUES (1, 'songs', '')",
    )
    .await;
    for refused in [
        migrations::up(&database.url).await.unwrap_err(),
        migrations::down(&database.url).await.unwrap_err(),
        migrations::status(&database.url).await.unwrap_err(),
    ] {
        assert!(matches!(refused, StoreError::NotOurs { .. }), "{refused}");
    }
    assert_eq!(tables(&database).await, ["_sqlx_migrations"]);
}

#[tokio::test]
async fn an_unreachable_database_is_named_without_its_password() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let url = DatabaseUrl::parse(&format!("postgres://ann:s3cret@127.0.0.1:{port}/chat")).unwrap();
    let refused = refusal(&url).await;
    assert!(refused.starts_with(&format!("cannot open the database postgres://127.0.0.1:{port}/chat: ")));
    assert!(refused.contains("refused") && !refused.contains("s3cret"), "{refused}");
}

//! Backups: written during traffic, restored, and moved between the kinds of
//! database.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::common::{PASSWORD, Person, Request, Setup, Socket, Store, TestServer};
use chat_core::{PageFrom, PageLimits, RoomName, Topic, Username};
use chat_files::test_s3::TestS3;
use chat_store::test_postgres::TestDatabase;
use chat_store::{DatabaseUrl, Stores};
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

const SQLITE: Setup = Setup { store: Store::Sqlite, shards: 2 };
const POSTGRES: Setup = Setup { store: Store::Postgres, shards: 2 };

async fn command(server: &TestServer, arguments: &[&str]) -> Output {
    let run = server.command().args(arguments).output();
    tokio::time::timeout(Duration::from_secs(60), run).await.expect("it ends").unwrap()
}

async fn done(server: &TestServer, arguments: &[&str]) -> String {
    let output = command(server, arguments).await;
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// One sentence on standard error, and nothing else.
async fn refused(server: &TestServer, arguments: &[&str]) -> String {
    let output = command(server, arguments).await;
    let sentence = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    assert_eq!(sentence.lines().count(), 1, "{sentence}");
    sentence.strip_prefix("server: ").unwrap().trim_end().to_owned()
}

/// Registers an account with a picture; returns the account and its address.
async fn with_picture(server: &TestServer, name: &str) -> (Person, String) {
    let fields = [("username", name), ("password", PASSWORD)];
    let form = Request::post("/api/register").form(&fields, Some(("avatar", "a.png", &picture())));
    server.send(form).await.expect_ok();
    let person = Person::new(server.address, name).sign_in().await;
    let avatar = person.get("/api/me").await.expect_ok().json()["avatar"].as_str().unwrap().to_owned();
    assert!(avatar.starts_with("/uploads/"), "{avatar}");
    (person, avatar)
}

async fn post(socket: &mut Socket, room: &str, nonce: &str) -> Value {
    socket.post(room, nonce, nonce).await;
    let ack = socket.until_answered(nonce).await.pop().unwrap();
    assert_eq!(ack["type"], "ack", "{ack}");
    ack
}

/// The epoch and a room's entries, in a database without a server.
async fn log_of(url: &DatabaseUrl, room: &str) -> (String, Vec<(u64, String)>) {
    let stores = Stores::open(url).await.unwrap();
    let limits = PageLimits { entries: usize::MAX >> 1, bytes: usize::MAX >> 1 };
    let topic = Topic::Room(RoomName::parse(room).unwrap());
    let page = stores.log.page(&topic, PageFrom::After(0), limits).await.unwrap();
    let epoch = stores.log.epoch().to_owned();
    stores.close().await;
    (epoch, page.entries.iter().map(|entry| (entry.seq, entry.body.text().to_owned())).collect())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A user who sends without a pause, and records the acknowledged messages with
/// their numbers.
struct Writer {
    stop: Arc<AtomicBool>,
    acked: Arc<std::sync::Mutex<Vec<(u64, String)>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Writer {
    async fn start(person: &Person, room: &'static str) -> Self {
        let mut socket = person.enter_v2(room).await;
        let stop = Arc::new(AtomicBool::new(false));
        let acked: Arc<std::sync::Mutex<Vec<(u64, String)>>> = Arc::default();
        let (stopping, acks) = (Arc::clone(&stop), Arc::clone(&acked));
        let name = person.name.clone();
        let task = tokio::spawn(async move {
            for number in 0.. {
                if stopping.load(Ordering::Relaxed) {
                    return;
                }
                let nonce = format!("{name} {room} {number}");
                let ack = post(&mut socket, room, &nonce).await;
                acks.lock().unwrap().push((ack["seq"].as_u64().unwrap(), nonce));
            }
        });
        Self { stop, acked, task }
    }

    fn acked(&self) -> Vec<(u64, String)> {
        self.acked.lock().unwrap().clone()
    }

    async fn stop(self) -> Vec<(u64, String)> {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap();
        self.acked.lock().unwrap().clone()
    }
}

async fn acknowledged_messages_are_in_a_backup(setup: Setup) {
    let server = TestServer::start_with(setup, &["--message-rate", "off"]).await;
    let (alice, avatar) = with_picture(&server, "Алиса").await;
    let bob = server.person("bob").await;
    let mut writers = Vec::new();
    for (person, room) in [(&alice, "tech"), (&bob, "tech"), (&bob, "games")] {
        writers.push((room, Writer::start(person, room).await));
    }
    let epoch = alice.enter_v2("music").await.replay[0]["epoch"].as_str().unwrap().to_owned();
    let file = server.folder().join("chat backup.db");
    for round in 0..3 {
        tokio::time::sleep(Duration::from_millis(100 + 50 * round)).await;
        while writers.iter().any(|(_, writer)| writer.acked().len() < 10 * (round as usize + 1)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let before: Vec<_> = writers.iter().map(|(room, writer)| (*room, writer.acked())).collect();
        let force = ["backup", text(&file), "--force"];
        let printed = done(&server, if round == 0 { &force[..2] } else { &force }).await;
        assert!(printed.starts_with(&format!("{} has 2 accounts, ", file.display())), "{printed}");
        assert!(printed.ends_with(" messages and 1 picture.\n"), "{printed}");

        // The backup is of one moment: no room has a hole or lacks older messages.
        let copy = file.with_file_name(format!("copy-{round}.db"));
        std::fs::copy(&file, &copy).unwrap();
        for room in ["tech", "games"] {
            let (other_epoch, stored) = log_of(&DatabaseUrl::Sqlite(copy.clone()), room).await;
            assert_ne!(other_epoch, epoch);
            assert!(stored.iter().map(|(seq, _)| *seq).eq(1..=stored.len() as u64));
            for acked in before.iter().filter(|(of, _)| *of == room).flat_map(|(_, acked)| acked) {
                assert_eq!(stored[acked.0 as usize - 1], *acked);
            }
        }
    }
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!beside(&file, ".part").exists());
    let mut last = 0;
    for (room, writer) in writers {
        let acked = writer.stop().await;
        last = if room == "tech" { last.max(acked.last().unwrap().0) } else { last };
    }

    // The server can use the file as its database. All sessions have ended.
    let url = format!("sqlite:{}", file.display());
    let mut restored = TestServer::start_with(SQLITE, &["--database-url", &url]).await;
    assert_eq!(alice.on(restored.address).get("/api/me").await.status, 401);
    let alice = alice.on(restored.address).sign_in().await;
    assert_eq!(alice.get("/api/me").await.json()["avatar"], json!(avatar));
    let picture = restored.get(&avatar).await.expect_ok();
    assert_eq!(picture.body, server.get(&avatar).await.body);
    let (mut socket, hello) = alice.open_v2().await;
    assert_ne!(hello["epoch"], json!(epoch));
    socket.join(&json!({ "type": "join", "room": "tech", "since": last, "epoch": epoch })).await;
    assert_eq!(socket.replay[0]["recovered"], false);
    assert!(socket.replay[0]["seq"].as_u64().unwrap() <= last);
    // From then on it is a database as any other.
    let first = post(&mut socket, "tech", "Алиса tech 0").await;
    assert_eq!(first["duplicate"], true);
    let seq = post(&mut socket, "tech", "new").await["seq"].as_u64().unwrap();
    restored.kill_and_restart().await;
    let (mut socket, again) = alice.on(restored.address).open_v2().await;
    assert_eq!(again["epoch"], hello["epoch"]);
    socket.join(&json!({ "type": "join", "room": "tech", "since": seq, "epoch": hello["epoch"] })).await;
    assert_eq!(socket.replay[0]["recovered"], true);
    restored.get(&avatar).await.expect_ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_messages_are_in_a_backup_of_sqlite() {
    acknowledged_messages_are_in_a_backup(SQLITE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_messages_are_in_a_backup_of_postgres() {
    if Store::Postgres.is_here() {
        acknowledged_messages_are_in_a_backup(POSTGRES).await;
    }
}

#[tokio::test]
async fn a_backup_replaces_the_database() {
    let mut server = TestServer::start(SQLITE).await;
    let (alice, avatar) = with_picture(&server, "alice").await;
    let mut socket = alice.enter_v2("tech").await;
    let epoch = socket.replay[0]["epoch"].clone();
    for nonce in ["1", "2"] {
        post(&mut socket, "tech", nonce).await;
    }
    let file = server.folder().join("backup.db");
    let printed = done(&server, &["backup", text(&file)]).await;
    assert_eq!(printed, format!("{} has 1 account, 2 messages and 1 picture.\n", file.display()));
    for nonce in ["3", "4"] {
        post(&mut socket, "tech", nonce).await;
    }
    // Not while a server runs, and not from or to the database itself.
    let printed = refused(&server, &["restore", text(&file)]).await;
    assert!(
        printed.ends_with("chat.db is in use by another server or command: stop that one first"),
        "{printed}"
    );
    let database = server.folder().join("data/chat.db");
    for (arguments, words) in [
        (vec!["backup", text(&file)], "exists already: --force replaces it"),
        (vec!["backup", text(&database), "--force"], "belongs to the database itself"),
        (vec!["backup", text(server.folder()), "--force"], "is not the name of a file"),
        (vec!["backup", "/nowhere/at/all"], "cannot be written: "),
        (vec!["restore", text(&database)], "is the database itself"),
        (vec!["restore", "/nowhere/at/all"], "there is no file /nowhere/at/all"),
    ] {
        let sentence = refused(&server, &arguments).await;
        assert!(sentence.contains(words), "{arguments:?}: {sentence}");
    }

    // Killed, so that some messages are only in the WAL; the pictures are lost.
    let wal = beside(&database, "-wal");
    server.kill().await;
    assert!(std::fs::metadata(&wal).unwrap().len() > 0);
    std::fs::remove_dir_all(server.folder().join("uploads")).unwrap();
    let printed = done(&server, &["restore", text(&file)]).await;
    let kept: Vec<PathBuf> = std::fs::read_dir(database.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| text(path).contains(".before-"))
        .collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert!(
        printed.contains(" has 1 account, 2 messages and 1 picture again, as they were at 20"),
        "{printed}"
    );
    assert!(
        printed.contains(&format!("kept as {}.", kept[0].canonicalize().unwrap().display())),
        "{printed}"
    );
    assert!(!beside(&database, ".restoring").exists());
    let (_, all) = log_of(&DatabaseUrl::Sqlite(kept[0].clone()), "tech").await;
    assert_eq!(all.len(), 4);

    server.restart().await;
    let signed_out = alice.on(server.address);
    assert_eq!(signed_out.get("/api/me").await.status, 401);
    let alice = signed_out.sign_in().await;
    server.get(&avatar).await.expect_ok();
    let (mut socket, hello) = alice.open_v2().await;
    assert_ne!(hello["epoch"], epoch);
    socket.join(&json!({ "type": "join", "room": "tech", "since": 4, "epoch": epoch })).await;
    assert_eq!((&socket.replay[0]["recovered"], &socket.replay[0]["seq"]), (&json!(false), &json!(2)));
    // The nonces of the backup are known, later ones are not.
    let ack = post(&mut socket, "tech", "2").await;
    assert_eq!((&ack["seq"], &ack["duplicate"]), (&json!(2), &json!(true)));
    let ack = post(&mut socket, "tech", "4").await;
    assert_eq!((&ack["seq"], &ack["duplicate"]), (&json!(3), &json!(false)));

    // Each restore of a file has another epoch. The previous database can be
    // restored too.
    drop(socket);
    assert!(server.terminate().await.success());
    let mut epochs = vec![epoch, hello["epoch"].clone()];
    for (from, last) in [(&file, 2), (&kept[0], 4)] {
        done(&server, &["restore", text(from)]).await;
        let (epoch, log) = log_of(&DatabaseUrl::Sqlite(database.clone()), "tech").await;
        assert_eq!(log.len(), last);
        assert!(!epochs.contains(&json!(epoch)));
        epochs.push(json!(epoch));
    }
    // A reading program keeps the WAL from being emptied: the WAL is moved with the
    // previous file, and not taken for that of the new one.
    let mut reader = SqliteConnectOptions::new().filename(&database).connect().await.unwrap();
    let mut reading = reader.begin().await.unwrap();
    sqlx::query("SELECT count(*) FROM entries").fetch_one(&mut *reading).await.unwrap();
    let stores = Stores::open(&DatabaseUrl::Sqlite(database.clone())).await.unwrap();
    stores.users.remove_user(&Username::known("alice").unwrap()).await.unwrap();
    stores.close().await;
    assert!(std::fs::metadata(&wal).unwrap().len() > 0);
    done(&server, &["restore", text(&file)]).await;
    server.restart().await;
    alice.on(server.address).sign_in().await;
}

#[tokio::test]
async fn a_file_that_is_not_a_complete_backup_is_refused_before_any_change() {
    let mut server = TestServer::start_with(SQLITE, &["--message-rate", "off"]).await;
    let (alice, _) = with_picture(&server, "alice").await;
    let mut socket = alice.enter_v2("tech").await;
    for n in 0..200 {
        post(&mut socket, "tech", &format!("{n} {}", "long ".repeat(10))).await;
    }
    let folder = server.folder().to_owned();
    let good = folder.join("good.db");
    done(&server, &["backup", text(&good)]).await;
    drop(socket);
    assert!(server.terminate().await.success());
    let database = folder.join("data/chat.db");
    let snapshot = || {
        let mut all: Vec<(PathBuf, Vec<u8>)> = [folder.join("data"), folder.join("uploads")]
            .iter()
            .flat_map(|folder| std::fs::read_dir(folder).unwrap())
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .map(|path| (path.clone(), std::fs::read(path).unwrap()))
            .collect();
        all.sort();
        all
    };
    let before = snapshot();
    let bytes = std::fs::read(&good).unwrap();
    let bad = folder.join("bad.db");

    let page = usize::from(u16::from_be_bytes([bytes[16], bytes[17]]));
    let mut garbled = bytes.clone();
    // A page of the log; a page begins with its type.
    let of_log = bytes.windows(9).rposition(|bytes| bytes == b"long long").unwrap();
    garbled[of_log / page * page..][..64].fill(0xa5);
    for (content, words) in [
        (&b""[..], "is not a database of this chat"),
        (b"Dear diary, today I made no backup at all.", "is not a database of this chat"),
        (&bytes[..bytes.len() / 2], "malformed"),
        (&bytes[..50], "bad.db"),
        (&garbled, "damaged"),
    ] {
        std::fs::write(&bad, content).unwrap();
        let sentence = refused(&server, &["restore", text(&bad)]).await;
        assert!(sentence.contains(words), "{words}: {sentence}");
        assert!(snapshot() == before, "something was changed: {words}");
    }
    // A database of another program, of a newer version, and one with a trigger.
    for (from, sql, words) in [
        (None, "CREATE TABLE songs (id INTEGER)", "is not a database of this chat"),
        (
            Some(&good),
            "INSERT INTO _sqlx_migrations VALUES (99, 'reactions', 0, TRUE, x'00', 0)",
            "it needs a newer server",
        ),
        (
            Some(&good),
            "CREATE TRIGGER t AFTER INSERT ON entries BEGIN DELETE FROM users; END",
            "is not a database of this chat",
        ),
    ] {
        let _ = std::fs::remove_file(&bad);
        if let Some(from) = from {
            std::fs::copy(from, &bad).unwrap();
        }
        let options = SqliteConnectOptions::new().filename(&bad).create_if_missing(true);
        let mut connection = options.connect().await.unwrap();
        sqlx::query(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        let sentence = refused(&server, &["restore", text(&bad)]).await;
        assert!(sentence.contains(words), "{words}: {sentence}");
        assert!(snapshot() == before, "something was changed: {words}");
    }
    // The good one is restored, even over a damaged database.
    std::fs::write(&database, &garbled[..bytes.len() / 3]).unwrap();
    done(&server, &["restore", text(&good)]).await;
    assert_eq!(log_of(&DatabaseUrl::Sqlite(database.clone()), "tech").await.1.len(), 200);
    let files: Vec<PathBuf> =
        std::fs::read_dir(folder.join("data")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let kept = files.iter().find(|path| text(path).contains(".before-"));
    assert!(std::fs::read(kept.unwrap()).unwrap() == garbled[..bytes.len() / 3]);
}

#[tokio::test]
async fn neither_sessions_nor_secrets_go_into_a_backup() {
    for setup in [SQLITE, POSTGRES] {
        if !setup.store.is_here() {
            continue;
        }
        let server = TestServer::start(setup).await;
        let person = Person::new(server.address, "alice");
        person.register().await.expect_ok();
        let login = json!({ "username": "alice", "password": PASSWORD });
        for n in 0..50 {
            let agent = format!("a device that nobody else may know of {n}");
            let request = Request::post("/api/login").header("User-Agent", &agent).json(&login);
            server.send(request).await.expect_ok();
        }
        let file = server.folder().join("backup.db");
        done(&server, &["backup", text(&file)]).await;
        let bytes = std::fs::read(&file).unwrap();
        let holds = |what: &[u8]| bytes.windows(what.len()).any(|some| some == what);
        assert!(holds(b"alice") && holds(b"$argon2id$"));
        assert!(!holds(b"nobody else may know"), "{setup:?}");
        let secret = match server.is_on_postgres() {
            false => std::fs::read(server.folder().join("data/jwt.secret")).unwrap(),
            true => {
                let options: PgConnectOptions = server.database_text().parse().unwrap();
                let secret = sqlx::query("SELECT value FROM secrets WHERE name = 'signing'");
                secret.fetch_one(&mut options.connect().await.unwrap()).await.unwrap().get(0)
            }
        };
        assert!(secret.len() >= 32 && !holds(secret.trim_ascii()));
    }
    let memory = TestServer::start(Setup { store: Store::Memory, shards: 1 }).await;
    for command in ["backup", "restore"] {
        let sentence = refused(&memory, &[command, "file"]).await;
        assert!(sentence.starts_with("a memory store belongs to its server: "), "{sentence}");
    }
}

/// The accounts of the original chat, taken over, with all that is odd about them.
const ORIGINAL: &str = "INSERT INTO users (username, password_hash, avatar, created_at) VALUES
    ('old', '$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy', '', NULL),
    ('dated', '$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy', NULL, '2024-05-01 09:00:00.123Z')";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chat_moves_to_postgres_and_back() {
    let (Some(database), Some(empty)) = (TestDatabase::migrated(), TestDatabase::migrated()) else { return };
    let mut connection = database.text.parse::<PgConnectOptions>().unwrap().connect().await.unwrap();
    sqlx::query(ORIGINAL).execute(&mut connection).await.unwrap();
    let promote = "INSERT INTO administrators (username, since) VALUES ('old', 1)";
    sqlx::query(promote).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let mut server = TestServer::start_on(POSTGRES, database, &[]).await;
    let (alice, avatar) = with_picture(&server, "Алиса").await;
    server.person("bob").await;
    let mut socket = alice.enter_v2("кухня").await;
    for nonce in ["1", "2", "3"] {
        post(&mut socket, "кухня", nonce).await;
    }
    let whisper = json!({ "type": "private", "to": "bob", "text": "\"psst\" 👩‍💻 \\u0041", "nonce": "p" });
    socket.send(&whisper).await;
    socket.until_answered("p").await;
    drop(socket);
    let (first, second) = (server.folder().join("first.db"), server.folder().join("second.db"));
    let printed = done(&server, &["backup", text(&first)]).await;
    assert_eq!(printed, format!("{} has 4 accounts, 4 messages and 1 picture.\n", first.display()));

    // A Postgres that is not empty, or has a server, is not overwritten.
    let sentence = refused(&server, &["restore", text(&first), "--replace"]).await;
    assert!(sentence.contains("is in use by another server or command: stop that one first"), "{sentence}");
    assert!(server.terminate().await.success());
    // The session of a server that was killed lives on for a moment.
    let options: PgConnectOptions = server.database_text().parse().unwrap();
    let session = options.application_name("chat").connect().await.unwrap();
    let ends = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(700)).await;
        drop(session);
    });
    let sentence = refused(&server, &["restore", text(&first)]).await;
    ends.await.unwrap();
    assert!(sentence.ends_with("is not empty: --replace deletes what is in it"), "{sentence}");
    let printed = done(&server, &["restore", text(&first), "--replace"]).await;
    assert!(printed.contains("4 accounts, 4 messages and 1 picture again"), "{printed}");

    // To an SQLite file, and from there to another Postgres.
    let sqlite = TestServer::start(SQLITE).await;
    let mut sqlite = stopped(sqlite).await;
    done(&sqlite, &["restore", text(&first)]).await;
    sqlite.restart().await;
    let printed = done(&sqlite, &["backup", text(&second)]).await;
    assert!(printed.contains("4 accounts, 4 messages and 1 picture"), "{printed}");
    let other = TestServer::start_on(POSTGRES, empty, &[]).await;
    let mut other = stopped(other).await;
    done(&other, &["restore", text(&second)]).await;
    other.restart().await;
    server.restart().await;

    let mut epochs = Vec::new();
    for server in [&server, &sqlite, &other] {
        server.get(&avatar).await.expect_ok();
        let alice = alice.on(server.address);
        assert_eq!(alice.get("/api/me").await.status, 401);
        let mut socket = alice.sign_in().await.enter_v2("кухня").await;
        epochs.push(socket.replay[0]["epoch"].clone());
        let texts: Vec<&str> =
            socket.replay[1..].iter().map(|frame| frame["text"].as_str().unwrap()).collect();
        assert_eq!(texts, ["1", "2", "3"]);
        socket.send(&json!({ "type": "history", "with": "bob" })).await;
        let page = socket.next_of("history").await;
        assert_eq!(page["messages"][0]["text"], whisper["text"]);
        let ack = post(&mut socket, "кухня", "2").await;
        assert_eq!((&ack["seq"], &ack["duplicate"]), (&json!(2), &json!(true)));
        assert_eq!(post(&mut socket, "кухня", "4").await["seq"], 4);
        // A new topic gets a new row.
        let mut socket = alice.on(server.address).sign_in().await.enter_v2("new").await;
        assert_eq!(post(&mut socket, "new", "first").await["seq"], 1);
        // The name is still taken, also for names that look like it.
        assert_eq!(Person::new(server.address, "ОLD").register().await.status, 400);
    }
    epochs.dedup();
    assert_eq!(epochs.len(), 3, "{epochs:?}");

    for mut server in [sqlite, other] {
        assert!(server.terminate().await.success());
        let stores = Stores::open(&server.database()).await.unwrap();
        for (name, avatar, created_at_ms) in [("old", Some(""), 0), ("dated", None, 1_714_554_000_123)] {
            let user = stores.users.find_user(&Username::known(name).unwrap()).await.unwrap().unwrap();
            assert_eq!((user.avatar.as_deref(), user.created_at_ms), (avatar, created_at_ms));
            assert_eq!(user.password_hash, "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy");
        }
        let old = Username::known("old").unwrap();
        assert_eq!(stores.users.administrators().await.unwrap(), std::slice::from_ref(&old));
        assert_eq!(stores.users.search_users(Some(&old), None, 10).await.unwrap().len(), 1);
        stores.close().await;
        if let DatabaseUrl::Postgres(_) = server.database() {
            let options = server.database_text().parse::<PgConnectOptions>().unwrap();
            let mut connection = options.connect().await.unwrap();
            let unknown = sqlx::query("SELECT username FROM users WHERE created_at IS NULL")
                .fetch_all(&mut connection)
                .await
                .unwrap();
            assert_eq!(unknown.len(), 1);
            assert_eq!(unknown[0].get::<&str, _>(0), "old");
        }
    }
}

async fn stopped(mut server: TestServer) -> TestServer {
    assert!(server.terminate().await.success());
    server
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

/// A PNG of one pixel.
fn picture() -> Vec<u8> {
    let hex = "89504e470d0a1a0a0000000d4948445200000001000000010806000000\
               1f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082";
    let digits: Vec<u8> = hex.chars().map(|digit| digit.to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|two| two[0] << 4 | two[1]).collect()
}

/// Uploads a file; returns what the server says of it.
async fn upload(person: &Person, name: &str, bytes: &[u8]) -> Value {
    let request = Request::post(&format!("/api/files?name={name}")).header("Cookie", &person.cookie);
    let answer = request.body(bytes).send(person.server).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()
}

fn address(file: &Value) -> String {
    format!("/files/{}/{}", file["id"].as_str().unwrap(), file["name"].as_str().unwrap())
}

/// Where the files of a server are.
enum Files {
    InFolder,
    /// In a bucket, below a prefix.
    InS3(TestS3),
}

impl Files {
    /// A bucket; a folder (and a printed line) if this machine has no such storage.
    fn in_s3() -> Self {
        TestS3::start().map_or(Self::InFolder, Self::InS3)
    }

    async fn start(&self, setup: Setup) -> TestServer {
        let flags = match self {
            Self::InFolder => Vec::new(),
            Self::InS3(s3) => s3.flags(PREFIX),
        };
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        TestServer::start_with(setup, &flags).await
    }

    /// Where the bytes of a file of a server are.
    fn path(&self, server: &TestServer, file: &Value) -> PathBuf {
        let id = file["id"].as_str().unwrap();
        let name = format!("{}/{id}", &id[..2]);
        match self {
            Self::InFolder => server.folder().join("data/files").join(name),
            Self::InS3(s3) => s3.path(&format!("{PREFIX}/{name}")),
        }
    }
}

const PREFIX: &str = "a-chat";

/// A chat with files moves into another database, and another place of files.
async fn files_move_with_a_backup(from: (Setup, Files), to: (Setup, Files)) {
    if !(from.0.store.is_here() && to.0.store.is_here()) {
        return;
    }
    let server = from.1.start(from.0).await;
    let (alice, bob) = (server.person("alice").await, server.person("bob").await);
    let large: Vec<u8> = (0..3_000_001_u32).flat_map(u32::to_le_bytes).take(3_000_001).collect();
    let (small, large, empty) = (
        (upload(&alice, "small.txt", b"a small file").await, b"a small file".to_vec()),
        (upload(&alice, "large.bin", &large).await, large),
        (upload(&alice, "empty", b"").await, Vec::new()),
    );
    let unattached = upload(&alice, "unattached.txt", b"of nobody else").await;
    let deleted = upload(&alice, "deleted.txt", b"taken back").await;
    let mut socket = alice.enter_v2("tech").await;
    let ids: Vec<_> = [&small, &large, &empty].iter().map(|(file, _)| file["id"].clone()).collect();
    for (nonce, files) in [("1", json!(ids)), ("2", json!([deleted["id"]]))] {
        socket
            .send(&json!({ "type": "message", "room": "tech", "text": "", "nonce": nonce, "files": files }))
            .await;
        assert_eq!(socket.until_answered(nonce).await.pop().unwrap()["type"], "ack");
    }
    socket.send(&json!({ "type": "delete", "room": "tech", "target": 2, "nonce": "3" })).await;
    assert_eq!(socket.until_answered("3").await.pop().unwrap()["type"], "ack");

    let archive = server.folder().join("with files.db");
    let printed = done(&server, &["backup", text(&archive)]).await;
    assert!(printed.ends_with("2 messages, 0 pictures and 4 files.\n"), "{printed}");
    // A server that has stopped before leaves statistics in its database.
    let mut connection = SqliteConnectOptions::new().filename(&archive).connect().await.unwrap();
    sqlx::query("ANALYZE").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let database = server.folder().join("without files.db");
    let printed = done(&server, &["backup", "--without-files", text(&database)]).await;
    assert!(printed.ends_with("2 messages and 0 pictures.\n"), "{printed}");
    assert!(!std::fs::read(&archive).unwrap().windows(10).any(|bytes| bytes == b"taken back"));
    for (file, size) in [(&archive, 3_000_000..u64::MAX), (&database, 1..2_000_000)] {
        assert!(size.contains(&std::fs::metadata(file).unwrap().len()));
        let printed = done(&server, &["check-backup", text(file)]).await;
        assert!(printed.ends_with(", and is undamaged.\n"), "{printed}");
    }

    // A file whose bytes are damaged is named, and the backup has everything else.
    let stored = from.1.path(&server, &small.0);
    assert!(std::fs::read(&stored).unwrap() == small.1);
    std::fs::write(&stored, b"short").unwrap();
    let lacking = server.folder().join("lacking.db");
    let output = command(&server, &["backup", text(&lacking)]).await;
    let sentence = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && sentence.contains("the backup lacks some files: the file "),
        "{sentence}"
    );
    let printed = done(&server, &["check-backup", text(&lacking)]).await;
    assert!(
        printed.ends_with(" and 3 files, and is undamaged. It lacks the bytes of 1 file.\n"),
        "{printed}"
    );

    let mut other = to.1.start(to.0).await;
    assert!(other.terminate().await.success());
    // A part of a file was changed: nothing is restored.
    let damaged = server.folder().join("damaged.db");
    std::fs::copy(&archive, &damaged).unwrap();
    let mut connection = SqliteConnectOptions::new().filename(&damaged).connect().await.unwrap();
    let change = "UPDATE backup_file_parts SET bytes = x'00' WHERE part = 1";
    assert_eq!(sqlx::query(change).execute(&mut connection).await.unwrap().rows_affected(), 1);
    connection.close().await.unwrap();
    for task in ["check-backup", "restore"] {
        let sentence = refused(&other, &[task, text(&damaged)]).await;
        assert!(sentence.contains("the backup is damaged: the file "), "{sentence}");
    }
    // A restore that was killed has left a file on its way.
    let id = large.0["id"].as_str().unwrap();
    let incoming = other.folder().join("data/files/incoming");
    std::fs::create_dir_all(&incoming).unwrap();
    std::fs::write(incoming.join(id), b"a part").unwrap();
    let printed = done(&other, &["restore", text(&archive)]).await;
    assert!(printed.contains("0 pictures and 4 files again"), "{printed}");
    for (file, bytes) in [&small, &large, &empty] {
        assert!(std::fs::read(to.1.path(&other, file)).unwrap() == *bytes, "{file}");
    }
    other.restart().await;
    let (alice, bob) = (alice.on(other.address).sign_in().await, bob.on(other.address).sign_in().await);
    for (file, bytes) in [&small, &large, &empty] {
        assert!(bob.get(&address(file)).await.expect_ok().body == *bytes, "{file}");
    }
    assert_eq!(bob.get(&address(&unattached)).await.status, 404);
    alice.get(&address(&unattached)).await.expect_ok();
    assert_eq!(alice.get(&address(&deleted)).await.status, 404);
    let (mut socket, _) = alice.open_v2().await;
    socket.send(&json!({ "type": "join", "room": "tech", "fold": true })).await;
    socket.next_of("joined").await;
    let message = socket.next_of("message").await;
    assert_eq!(message["files"], json!([small.0, large.0, empty.0]));
    // From then on it is a chat as any other: a file is attached.
    let files = [&unattached["id"]];
    let send = json!({ "type": "message", "room": "tech", "text": "", "nonce": "4", "files": files });
    socket.send(&send).await;
    assert_eq!(socket.until_answered("4").await.pop().unwrap()["type"], "ack");
    bob.get(&address(&unattached)).await.expect_ok();
}

#[tokio::test]
async fn files_move_with_a_backup_from_sqlite_and_a_folder_to_postgres_and_s3() {
    files_move_with_a_backup((SQLITE, Files::InFolder), (POSTGRES, Files::in_s3())).await;
}

#[tokio::test]
async fn files_move_with_a_backup_from_postgres_and_s3_to_sqlite_and_a_folder() {
    files_move_with_a_backup((POSTGRES, Files::in_s3()), (SQLITE, Files::InFolder)).await;
}

#[tokio::test]
async fn files_move_with_a_backup_to_sqlite_and_a_folder_again() {
    files_move_with_a_backup((SQLITE, Files::InFolder), (SQLITE, Files::InFolder)).await;
}

//! What several servers on one Postgres share, each with folders of its own.

use std::os::unix::fs::PermissionsExt as _;

use crate::common::{PASSWORD, Person, Process, Request};
use chat_store::test_postgres::TestDatabase;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Row as _};
use tempfile::TempDir;

const PNG: &[u8] = include_bytes!("../../../../web/icons/icon-192.png");

/// The folder of the files of messages, which all servers of a database see.
const FILES: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/files-of-shared");

/// A server, and its folders.
struct Server {
    process: Process,
    folder: TempDir,
}

impl Server {
    async fn start(database: &TestDatabase, flags: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), database, flags).await
    }

    async fn start_in(folder: TempDir, database: &TestDatabase, flags: &[&str]) -> Self {
        let mut command = Process::command(folder.path());
        command.args(["--database-url", &database.text, "--files-url", FILES]).args(flags);
        let mut process = Process::spawn(command);
        process.until_ready().await;
        Self { process, folder }
    }

    async fn address(&mut self) -> std::net::SocketAddr {
        self.process.until_ready().await
    }

    fn secret_file(&self) -> std::path::PathBuf {
        self.folder.path().join("jwt.secret")
    }
}

/// The status of an answer to a wrong password.
async fn guess(server: std::net::SocketAddr, name: &str) -> u16 {
    let login = serde_json::json!({ "username": name, "password": "a wrong password" });
    Request::post("/api/login").json(&login).send(server).await.status
}

async fn signing_secret(database: &TestDatabase) -> Vec<u8> {
    let options: PgConnectOptions = database.text.parse().unwrap();
    let secret = sqlx::query("SELECT value FROM secrets WHERE name = 'signing'");
    secret.fetch_one(&mut options.connect().await.unwrap()).await.unwrap().get(0)
}

/// A data folder in which an earlier version has left its secret.
fn folder_with(secret: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwt.secret");
    std::fs::write(&file, format!("{secret}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    folder
}

#[tokio::test]
async fn a_session_is_good_on_all_servers_of_a_database() {
    let Some(database) = TestDatabase::migrated() else { return };
    let mut one = Server::start(&database, &[]).await;
    let mut other = Server::start(&database, &[]).await;
    let alice = Person::new(one.address().await, "alice");
    alice.register().await.expect_ok();
    let alice = alice.sign_in().await;
    let there = alice.on(other.address().await);
    assert_eq!(there.get("/api/me").await.expect_ok().json()["username"], "alice");
    // Signed out on one, it is good on none.
    there.post("/api/logout").await.expect_ok();
    assert_eq!(alice.get("/api/me").await.status, 401);
    // Nor does a secret lie in a folder, where it could be taken for the one that counts.
    assert!(!one.secret_file().exists() && !other.secret_file().exists());
}

#[tokio::test]
async fn the_secret_of_an_earlier_version_is_brought_into_the_database_once() {
    let Some(database) = TestDatabase::migrated() else { return };
    let secret = "the secret of an earlier version, 32 bytes and more";
    let one = Server::start_in(folder_with(secret), &database, &[]).await;
    assert_eq!(signing_secret(&database).await, secret.as_bytes());
    assert!(!one.process.log().contains("jwt.secret"), "{}", one.process.log());
    let other = "the secret of another server, which is also long enough";
    let other = Server::start_in(folder_with(other), &database, &[]).await;
    other.process.until_logged("the signing secret is the one in the database").await;
    assert_eq!(signing_secret(&database).await, secret.as_bytes());
}

#[tokio::test]
async fn a_configured_secret_counts_more_than_the_one_in_the_database() {
    let Some(database) = TestDatabase::migrated() else { return };
    let mut one = Server::start(&database, &[]).await;
    let mut other = Server::start(&database, &["--jwt-secret", &"x".repeat(32)]).await;
    let alice = Person::new(one.address().await, "alice");
    alice.register().await.expect_ok();
    let alice = alice.sign_in().await;
    assert_eq!(alice.on(other.address().await).get("/api/me").await.error(), "invalid token");
    let there = alice.on(other.address().await).sign_in().await;
    there.get("/api/me").await.expect_ok();
    assert_eq!(there.on(alice.server).get("/api/me").await.error(), "invalid token");
    assert_ne!(signing_secret(&database).await, "x".repeat(32).as_bytes());
}

#[tokio::test]
async fn a_picture_is_shown_by_another_server_and_is_in_its_backup() {
    let Some(database) = TestDatabase::migrated() else { return };
    let mut one = Server::start(&database, &[]).await;
    let mut other = Server::start(&database, &[]).await;
    let alice = Person::new(one.address().await, "alice");
    let fields = [("username", "alice"), ("password", PASSWORD)];
    let form = Request::post("/api/register").form(&fields, Some(("avatar", "a.png", PNG)));
    form.send(alice.server).await.expect_ok();
    let alice = alice.sign_in().await;
    let address = alice.get("/api/me").await.json()["avatar"].as_str().unwrap().to_owned();
    let picture = alice.get(&address).await.expect_ok().body;

    // The other server has not shown it yet: the backup has it from the database.
    let backup = other.folder.path().join("backup.db");
    let mut command = Process::command(other.folder.path());
    command.args(["--database-url", &database.text, "backup"]).arg(&backup);
    let output = command.output().await.unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && printed.contains("and 1 picture"), "{output:?}");
    assert!(!printed.contains("could not be found"), "{printed}");

    let there = alice.on(other.address().await);
    assert_eq!(there.get(&address).await.expect_ok().body, picture);
}

#[tokio::test]
async fn guesses_and_registrations_count_on_all_servers() {
    let Some(database) = TestDatabase::migrated() else { return };
    let flags = ["--address-failures-max", "4", "--registrations-per-address", "3"];
    let mut one = Server::start(&database, &flags).await;
    let mut other = Server::start(&database, &flags).await;
    let servers = [one.address().await, other.address().await];
    Person::new(servers[0], "alice").register().await.expect_ok();
    Person::new(servers[1], "bob").register().await.expect_ok();
    for name in ["alice", "nobody"] {
        let mut taken = 0;
        for _ in 0..8 {
            for server in servers {
                match guess(server, name).await {
                    401 => taken += 1,
                    status => assert_eq!(status, 429),
                }
            }
        }
        // The first one on each server is checked before it asks.
        assert!((4..=6).contains(&taken), "{name}: {taken}");
    }
    // Somebody who makes no mistake.
    Person::new(servers[1], "bob").sign_in().await.get("/api/me").await.expect_ok();
    // A success takes the mistakes before it back, on all servers.
    for _ in 0..3 {
        for server in servers {
            assert_eq!(guess(server, "bob").await, 401);
            Person::new(server, "bob").sign_in().await;
        }
    }
    Person::new(servers[0], "carol").register().await.expect_ok();
    for server in servers {
        assert_eq!(Person::new(server, "dave").register().await.status, 429);
    }
}

#[tokio::test]
async fn a_server_does_not_start_beside_one_that_has_the_files_elsewhere() {
    let Some(database) = TestDatabase::migrated() else { return };
    let (first, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let start = |folder: &TempDir| {
        let mut command = Process::command(folder.path());
        // The files are in the data folder.
        command.args(["--database-url", &database.text]);
        Process::spawn(command)
    };
    let mut one = start(&first);
    one.until_ready().await;
    let sentence = start(&other).complaint().await;
    assert!(sentence.contains("the same bucket (files_url = \"s3://…\")"), "{sentence}");
    // The only server may have them elsewhere: also after a kill, once it counts as ended.
    one.kill().await;
    start(&other).until_ready().await;
}

//! The program as the person sees it who runs it.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use common::{Setup, Store, TestServer};

const SETUP: Setup = Setup { store: Store::Sqlite, shards: 1 };

fn server(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_server"))
        .env_clear()
        .current_dir(folder)
        .args(arguments)
        .output()
        .unwrap()
}

/// One sentence on standard error, nothing else, and a non-zero exit.
fn complaint(output: &Output) -> String {
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(!output.status.success(), "{said}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{said}");
    let complaints: Vec<&str> = said.lines().filter(|line| line.starts_with("server: ")).collect();
    assert_eq!(complaints.len(), 1, "{said}");
    complaints[0].to_owned()
}

#[test]
fn wrong_configuration_is_one_clear_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let file = |text: &str| std::fs::write(folder.path().join("chat.toml"), text).unwrap();
    for (arguments, told) in [
        (&["--shards", "0"][..], "shards: must be from 1 to 64"),
        (&["--database-url", "mysql://host/chat"], "database_url: "),
        (&["--public-url", "chat"], "public_url: "),
        (&["--jwt-secret", "short"], "at least 32"),
        (&["--listen", "nonsense"], "listen: cannot listen on nonsense"),
        (&["--log", "=/="], "log: "),
        (&["--config", "missing.toml"], "missing.toml cannot be read"),
    ] {
        let told_us = complaint(&server(folder.path(), arguments));
        assert!(told_us.contains(told), "{arguments:?}: {told_us}");
    }
    file("listen = \"127.0.0.1:0\"\nshardz = 1\n");
    let told_us = complaint(&server(folder.path(), &["--config", "chat.toml"]));
    assert!(told_us.contains("chat.toml is not right: line 2") && told_us.contains("shardz"), "{told_us}");
    // An unknown flag is the command line's own complaint.
    assert_eq!(server(folder.path(), &["--no-such-flag"]).status.code(), Some(2));
}

#[tokio::test]
async fn an_address_or_a_database_that_is_taken() {
    let running = TestServer::start(SETUP).await;
    let address = running.address.to_string();
    let folder = tempfile::tempdir().unwrap();
    let told_us = complaint(&server(folder.path(), &["--listen", &address]));
    assert!(told_us.contains(&address), "{told_us}");

    let data = running.folder().join("data");
    let data = data.to_str().unwrap();
    let told_us = complaint(&server(folder.path(), &["--listen", "127.0.0.1:0", "--data-dir", data]));
    assert!(told_us.contains("chat.db"), "{told_us}");
}

#[tokio::test]
async fn the_signing_secret_is_made_once_and_for_the_owner_only() {
    let mut server = TestServer::start(SETUP).await;
    let path = server.folder().join("data/jwt.secret");
    let secret = std::fs::read(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(secret.len() >= 32);
    let folder = std::fs::metadata(server.folder().join("data")).unwrap();
    assert_eq!(folder.permissions().mode() & 0o777, 0o700, "nor can others read the messages");
    server.kill_and_restart().await;
    assert_eq!(std::fs::read(&path).unwrap(), secret);
    let other = TestServer::start(SETUP).await;
    assert_ne!(std::fs::read(other.folder().join("data/jwt.secret")).unwrap(), secret);
}

#[test]
fn migrations_go_up_and_down_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let migrate = |direction: &str| {
        let output = server(folder.path(), &["migrate", direction]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    migrate("up");
    let status = migrate("status");
    assert!(!status.is_empty() && status.lines().all(|line| line.contains("applied")), "{status}");
    assert!(migrate("down").starts_with("Undone: "));
    let status = migrate("status");
    assert!(status.lines().last().unwrap().contains("missing"), "{status}");
    migrate("up");
    assert!(migrate("status").lines().all(|line| line.contains("applied")));
}

#[tokio::test]
async fn logs_are_json_when_asked_and_keep_secrets_and_texts_out() {
    use std::io::Read as _;

    let folder = tempfile::tempdir().unwrap();
    let mut process = Command::new(env!("CARGO_BIN_EXE_server"))
        .env_clear()
        .current_dir(folder.path())
        .env("CHAT_LISTEN", "127.0.0.1:0")
        .env("CHAT_LOG_FORMAT", "json")
        .env("CHAT_LOG", "trace")
        .env("CHAT_JWT_SECRET", "a secret that nobody may ever read in a log")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = process.stderr.take().unwrap();
    let log = std::thread::spawn(move || {
        let mut text = String::new();
        log.read_to_string(&mut text).unwrap();
        text
    });
    let mut told = String::new();
    {
        use std::io::BufRead as _;
        std::io::BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut told).unwrap();
    }
    let port: u16 = told.trim().rsplit(':').next().unwrap().parse().unwrap();
    let person = common::Person::new(([127, 0, 0, 1], port).into(), "alice");
    person.register().await.expect_ok();
    let person = person.sign_in().await;
    let mut socket = person.enter("default").await;
    socket.say("никто этого не увидит").await;
    socket.expect("alice", "никто этого не увидит").await;
    process.kill().unwrap();
    process.wait().unwrap();

    let log = log.join().unwrap();
    assert!(log.lines().count() > 3, "{log}");
    for line in log.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|_| panic!("JSON: {line}"));
    }
    let token = person.cookie.strip_prefix("auth=").unwrap();
    for secret in ["nobody may ever read", "верный пароль", "никто этого не увидит", token]
    {
        assert!(!log.contains(secret), "{secret:?} is in the log");
    }
}

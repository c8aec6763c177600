//! `server migrate`: the schema, by hand.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::common::{Setup, Store, TestServer};
use chat_store::test_postgres::TestDatabase;

fn migrate(data: &Path, database: Option<&str>, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_server"));
    command.env_clear().arg("--data-dir").arg(data).stdin(Stdio::null());
    command.envs(database.map(|url| ("DATABASE_URL", url)));
    command.arg("migrate").args(arguments).output().unwrap()
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The one sentence on standard error.
fn complaint(output: &Output) -> String {
    let sentence = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    assert_eq!(sentence.lines().count(), 1, "{sentence}");
    sentence.strip_prefix("server: ").unwrap().trim_end().to_owned()
}

/// A stopped server on each kind of database, with an account and two messages.
async fn stopped_servers() -> Vec<TestServer> {
    let mut servers = Vec::new();
    for store in [Store::Sqlite, Store::Postgres] {
        if !store.is_here() {
            continue;
        }
        let mut server = TestServer::start(Setup { store, shards: 1 }).await;
        let (_, mut socket) = server.in_room("alice", "default").await;
        for text in ["one", "two"] {
            socket.say(text).await;
            socket.expect("alice", text).await;
        }
        assert!(server.terminate().await.success());
        servers.push(server);
    }
    servers
}

fn database(server: &TestServer) -> Option<&str> {
    server.is_on_postgres().then(|| server.database_text())
}

#[test]
fn steps_that_are_applied_or_undone_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let postgres = TestDatabase::empty();
    for database in [None].into_iter().chain(postgres.iter().map(|database| Some(&*database.text))) {
        let migrate = |arguments: &[&str]| migrate(folder.path(), database, arguments);
        assert_eq!(printed(&migrate(&["down"])), "There is nothing to undo.\n");
        let status = migrate(&["status"]);
        assert_eq!(status.status.code(), Some(1), "steps are missing");
        let status = String::from_utf8(status.stdout).unwrap();
        assert!(status.starts_with("0001 missing accounts\n0002 missing log\n"), "{status}");

        let up = printed(&migrate(&["up"]));
        assert!(up.starts_with("Applied: 0001 accounts\nApplied: 0002 log\n"), "{up}");
        assert!(up.ends_with("\nThe database has this version's schema.\n"), "{up}");
        assert_eq!(printed(&migrate(&[])), "The database has this version's schema.\n");
        let status = printed(&migrate(&["status"]));
        assert!(status.lines().all(|line| line.contains(" applied ")), "{status}");

        // An empty database loses nothing, so that no question is needed.
        let newest = status.lines().last().unwrap().replace(" applied ", " ");
        assert_eq!(printed(&migrate(&["down"])), format!("Undone: {newest}\n"));
        assert_eq!(migrate(&["status"]).status.code(), Some(1));
        assert!(printed(&migrate(&["up"])).starts_with(&format!("Applied: {newest}\nThe database ")));
    }
}

#[tokio::test]
async fn no_step_is_undone_while_a_server_is_connected() {
    for mut server in stopped_servers().await {
        server.restart().await;
        let data = server.folder().join("data");
        for arguments in [&["down"][..], &["down", "--yes"]] {
            let sentence = complaint(&migrate(&data, database(&server), arguments));
            assert!(
                sentence.ends_with(" is in use by another server or command: stop that one first"),
                "{sentence}"
            );
        }
        // Looking is allowed, and the server has lost nothing.
        let status = printed(&migrate(&data, database(&server), &["status"]));
        assert!(status.lines().all(|line| line.contains(" applied ")), "{status}");
        let bob = server.person("bob").await.enter("default").await;
        assert_eq!(bob.replay.iter().filter(|frame| frame["type"] == "message").count(), 2);

        // A server that was killed is in nobody's way.
        server.kill().await;
        let undone = printed(&migrate(&data, database(&server), &["down", "--yes"]));
        assert!(undone.starts_with("Undone: "), "{undone}");
    }
}

#[tokio::test]
async fn a_step_that_deletes_something_needs_a_yes() {
    for server in stopped_servers().await {
        let data = server.folder().join("data");
        let down = |arguments: &[&str]| migrate(&data, database(&server), &[&["down"], arguments].concat());
        assert!(printed(&down(&[])).starts_with("Undone: 0022 barrier"));
        assert!(printed(&down(&[])).starts_with("Undone: 0021 bus"));
        let shared = down(&["--yes"]);
        assert!(printed(&shared).starts_with("Undone: 0020 shared"));
        // Steps that lose nothing need none.
        assert!(printed(&down(&[])).starts_with("Undone: 0019 feed"));
        assert!(printed(&down(&[])).starts_with("Undone: 0018 push_shares"));
        assert!(printed(&down(&[])).starts_with("Undone: 0017 outgoing"));
        assert!(printed(&down(&[])).starts_with("Undone: 0016 subjects"));
        assert!(printed(&down(&[])).starts_with("Undone: 0015 bots"));
        assert!(printed(&down(&[])).starts_with("Undone: 0014 push"));
        assert!(printed(&down(&[])).starts_with("Undone: 0013 moderation"));
        assert!(printed(&down(&[])).starts_with("Undone: 0012 administration"));
        assert!(printed(&down(&[])).starts_with("Undone: 0011 search"));
        assert!(printed(&down(&[])).starts_with("Undone: 0010 files"));
        assert!(printed(&down(&["--yes"])).starts_with("Undone: 0009 changes"));
        assert!(printed(&down(&["--yes"])).starts_with("Undone: 0008 rooms"));
        // The other steps above the sessions lose nothing here.
        assert!(printed(&down(&[])).starts_with("Undone: 0007"));
        assert!(printed(&down(&[])).starts_with("Undone: 0006"));
        assert!(printed(&down(&[])).starts_with("Undone: 0005"));
        let sentence = complaint(&down(&[]));
        assert_eq!(
            sentence,
            "undoing 0004 sessions deletes 1 device and address of a session: --yes allows that without a terminal"
        );
        assert!(printed(&down(&["--yes"])).starts_with("Undone: 0004 sessions"));
        assert!(printed(&down(&[])).starts_with("Undone: 0003 names"));
        let sentence = complaint(&down(&[]));
        assert!(sentence.starts_with("undoing 0002 log deletes 2 messages: "), "{sentence}");

        // On a terminal, the same is a question.
        for (answer, goes_on) in [("\n", false), ("n\n", false), ("yes\n", true)] {
            let output = on_a_terminal(&data, database(&server), answer).await;
            let screen = String::from_utf8_lossy(&output.stdout);
            assert!(screen.contains("undoing 0002 log deletes 2 messages. Go on? [y/N]"), "{screen}");
            assert_eq!(output.status.success(), goes_on, "{screen}");
            assert_eq!(screen.contains("Undone: 0002 log"), goes_on, "{screen}");
        }
        let sentence = complaint(&down(&[]));
        assert!(
            sentence.starts_with("undoing 0001 accounts deletes 1 account and 1 session: "),
            "{sentence}"
        );
    }
}

/// Runs `migrate down` on a terminal (script(1), of util-linux) with an answer.
async fn on_a_terminal(data: &Path, database: Option<&str>, answer: &str) -> Output {
    use tokio::io::AsyncWriteExt as _;

    let down = format!("{} --data-dir {} migrate down", env!("CARGO_BIN_EXE_server"), data.display());
    let mut process = tokio::process::Command::new("script")
        .args(["--quiet", "--return", "--command", &down, "/dev/null"])
        // The binary must not work on a database that this process's environment names.
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("SHELL", "/bin/sh")
        .envs(database.map(|url| ("DATABASE_URL", url)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("script, of util-linux");
    let mut stdin = process.stdin.take().unwrap();
    stdin.write_all(answer.as_bytes()).await.unwrap();
    let output = tokio::time::timeout(std::time::Duration::from_secs(30), process.wait_with_output()).await;
    drop(stdin);
    output.expect("it ends").unwrap()
}

#[test]
fn an_error_of_postgres_is_in_its_own_words() {
    let Some(database) = TestDatabase::empty() else { return };
    let folder = tempfile::tempdir().unwrap();
    let missing = database.text.replace('?', "_missing?");
    let sentence = complaint(&migrate(folder.path(), Some(&missing), &["up"]));
    assert!(sentence.ends_with("_missing\" does not exist"), "{sentence}");
    // Not the exit code of missing steps.
    let status = migrate(folder.path(), Some(&missing), &["status"]);
    assert!(complaint(&status).ends_with("_missing\" does not exist"));
    assert_eq!(status.status.code(), Some(2));
}

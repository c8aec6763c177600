//! The program as its operator sees it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use crate::common::{Setup, Store, TestServer};

const SETUP: Setup = Setup { store: Store::Sqlite, shards: 1 };

fn server(folder: &Path, arguments: &[&str]) -> Output {
    binary(folder).args(arguments).output().unwrap()
}

/// The server's binary with an empty environment. One that starts although it
/// should not is killed after 30 s (timeout(1)).
fn binary(folder: &Path) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", "30", env!("CARGO_BIN_EXE_server")]).env_clear().current_dir(folder);
    command
}

/// One sentence on standard error, nothing else, and a non-zero exit.
fn complaint(output: &Output) -> String {
    let printed = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(!output.status.success(), "{printed}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "", "{printed}");
    let complaints: Vec<&str> = printed.lines().filter(|line| line.starts_with("server: ")).collect();
    assert_eq!(complaints.len(), 1, "{printed}");
    complaints[0].to_owned()
}

#[test]
fn wrong_configuration_is_one_clear_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let file = |text: &str| std::fs::write(folder.path().join("chat.toml"), text).unwrap();
    for (arguments, words) in [
        (&["--shards", "0"][..], "--shards: must be a whole number from 1 to 64"),
        (&["--database-url", "mysql://host/chat"], "--database-url: only sqlite:PATH"),
        (&["--public-url", "chat"], "--public-url: the public URL must look like "),
        (&["--jwt-secret", "short"], "--jwt-secret: the signing secret has 5 bytes, but needs at least 32"),
        (&["--listen", "nonsense"], "--listen: cannot listen on nonsense"),
        (&["--log", "=/="], "--log: "),
        (&["--config", "missing.toml"], "missing.toml cannot be read"),
        (&["--message-max-bytes", "10"], "--message-max-bytes: must be a whole number from 1024 to 16777216"),
        (&["--shards", "many"], "--shards: must be a whole number from 1 to 64"),
        (&["--migrate=perhaps"], "--migrate: must be true or false"),
        (
            &["--public-url", "https://x/chat"],
            "--public-url: the public URL must end after the host and port",
        ),
    ] {
        let sentence = complaint(&server(folder.path(), arguments));
        assert!(sentence.contains(words), "{arguments:?}: {sentence}");
    }
    file("listen = \"127.0.0.1:0\"\nshardz = 1\n");
    let sentence = complaint(&server(folder.path(), &["--config", "chat.toml"]));
    assert!(
        sentence.ends_with("chat.toml, line 2: there is no setting shardz; did you mean shards?"),
        "{sentence}"
    );
    // An unknown flag is the command line's own complaint.
    assert_eq!(server(folder.path(), &["--no-such-flag"]).status.code(), Some(2));
}

/// The environment is not mistaken for a flag, and a misspelled variable is not
/// ignored.
#[test]
fn a_wrong_variable_or_key_is_named_as_such() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("chat.toml"), "listen = \"127.0.0.1:0\"\nshards = 0\n").unwrap();
    for (variables, start) in [
        (&[("CHAT_NOSUCH", "1")][..], "CHAT_NOSUCH: there is no such setting"),
        (&[("CHAT_SHARD", "1")], "CHAT_SHARD: there is no such setting; did you mean CHAT_SHARDS?"),
        (&[("CHAT_SHARDS", "0")], "CHAT_SHARDS: must be a whole number from 1 to 64"),
        (&[("CHAT_SHARDS", "many")], "CHAT_SHARDS: must be a whole number from 1 to 64"),
        (&[("CHAT_LOG_FORMAT", "xml")], "CHAT_LOG_FORMAT: must be human or json"),
        (&[("CHAT_MIGRATE", "yes")], "CHAT_MIGRATE: must be true or false"),
        (&[("DATABASE_URL", "mysql://host/chat")], "DATABASE_URL: only sqlite:PATH"),
        (&[("CHAT_PUBLIC_URL", "https://x/chat")], "CHAT_PUBLIC_URL: the public URL must end after"),
        (&[("CHAT_CONFIG", "chat.toml")], "shards in chat.toml, line 2: must be a whole number from 1 to 64"),
    ] {
        let output = binary(folder.path()).envs(variables.iter().copied()).output().unwrap();
        let sentence = complaint(&output);
        assert!(sentence.starts_with(&format!("server: {start}")), "{variables:?}: {sentence}");
        // systemd does not start it again.
        assert_eq!(output.status.code(), Some(2), "{variables:?}");
        assert!(sentence.len() < 250, "{sentence}");
    }
}

#[tokio::test]
async fn an_address_or_a_database_that_is_taken() {
    let running = TestServer::start(SETUP).await;
    let address = running.address.to_string();
    let folder = tempfile::tempdir().unwrap();
    let sentence = complaint(&server(folder.path(), &["--listen", &address]));
    assert!(sentence.contains(&address), "{sentence}");

    let data = running.folder().join("data");
    let data = data.to_str().unwrap();
    let sentence = complaint(&server(folder.path(), &["--listen", "127.0.0.1:0", "--data-dir", data]));
    assert!(
        sentence.ends_with("chat.db is in use by another server or command: stop that one first"),
        "{sentence}"
    );
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
    let mut printed = String::new();
    {
        use std::io::BufRead as _;
        std::io::BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut printed).unwrap();
    }
    let port: u16 = printed.trim().rsplit(':').next().unwrap().parse().unwrap();
    let person = crate::common::Person::new(([127, 0, 0, 1], port).into(), "alice");
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
        let line: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(line).unwrap_or_else(|_| panic!("JSON: {line}"));
        // A text that was logged with `?` has quotes of its own.
        let is_ours = line["target"]
            .as_str()
            .is_some_and(|target| ["chat_", "server"].iter().any(|ours| target.starts_with(ours)));
        for (field, value) in line.iter().filter(|_| is_ours) {
            let has_quotes = value.as_str().is_some_and(|text| text.contains('"'));
            assert!(!has_quotes, "{field} is quoted twice: {line:?}");
        }
    }
    let token = person.cookie.strip_prefix("auth=").unwrap();
    for secret in ["nobody may ever read", "верный пароль", "никто этого не увидит", token]
    {
        assert!(!log.contains(secret), "{secret:?} is in the log");
    }
}

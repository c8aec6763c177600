//! `server user`: accounts, as the operator creates and removes them.

use std::process::{Output, Stdio};
use std::time::Duration;

use crate::common::{PASSWORD, Person, Request, Setup, Store, TestServer};
use chat_store::test_postgres::TestDatabase;
use serde_json::{Value, json};
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use tokio::io::AsyncWriteExt as _;

/// Makes a test of each function for SQLite and for Postgres.
macro_rules! on_every_database {
    ($($scenario:ident),* $(,)?) => {
        mod sqlite {$(
            #[tokio::test]
            async fn $scenario() { super::$scenario(super::Operator::of(super::Store::Sqlite, &[]).await).await }
        )*}
        mod postgres {$(
            #[tokio::test]
            async fn $scenario() {
                if super::Store::Postgres.is_here() {
                    super::$scenario(super::Operator::of(super::Store::Postgres, &[]).await).await
                }
            }
        )*}
    };
}

on_every_database! {
    an_account_is_created_with_a_given_or_a_generated_password,
    the_operator_can_use_reserved_names,
    accounts_are_listed,
    accounts_are_promoted_and_demoted,
    a_new_password_ends_all_sessions,
    a_removed_account_is_gone_but_its_messages_stay,
    a_banned_user_is_out_until_the_ban_ends,
    the_last_administrator_is_removed_by_force_only,
}

/// The operator of a server.
struct Operator {
    server: TestServer,
}

impl Operator {
    async fn of(store: Store, flags: &[&str]) -> Self {
        let setup = Setup { store, shards: 1 };
        let flags = [flags, &["--session-check-seconds", "1"]].concat();
        Self { server: TestServer::start_with(setup, &flags).await }
    }

    /// Runs a command while the server runs.
    async fn run(&mut self, arguments: &[&str], input: &str) -> Output {
        run(&self.server, arguments, input).await
    }

    async fn done(&mut self, arguments: &[&str], input: &str) -> String {
        let output = self.run(arguments, input).await;
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    async fn refused(&mut self, arguments: &[&str], input: &str) -> String {
        complaint(&self.run(arguments, input).await)
    }

    fn person(&self, name: &str) -> Person {
        Person::new(self.server.address, name)
    }

    /// The status of a sign-in.
    async fn login(&self, name: &str, password: &str) -> u16 {
        let login = json!({ "username": name, "password": password });
        self.server.send(Request::post("/api/login").json(&login)).await.status
    }

    fn files(&self) -> usize {
        std::fs::read_dir(self.server.folder().join("uploads")).unwrap().count()
    }
}

async fn run(server: &TestServer, arguments: &[&str], input: &str) -> Output {
    let mut command = server.command();
    command.arg("user").args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    // A command that reads no input may have ended already.
    let _ = process.stdin.take().unwrap().write_all(input.as_bytes()).await;
    let ended = tokio::time::timeout(Duration::from_secs(30), process.wait_with_output()).await;
    ended.expect("it ends").unwrap()
}

/// One sentence on standard error, and nothing else.
fn complaint(output: &Output) -> String {
    let sentence = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    assert_eq!(sentence.lines().count(), 1, "{sentence}");
    sentence.strip_prefix("server: ").unwrap().trim_end().to_owned()
}

async fn an_account_is_created_with_a_given_or_a_generated_password(mut operator: Operator) {
    let printed = operator.done(&["add", "Алиса", "--password-stdin"], "a password \r\nmore\n").await;
    assert_eq!(printed, "Алиса has an account now.\n");
    assert_eq!(operator.login("Алиса", "a password ").await, 200);
    // Without a terminal, neither the flag nor the end of the line is needed.
    operator.done(&["add", "bob"], "geheimnis").await;
    assert_eq!(operator.login("bob", "geheimnis").await, 200);

    let printed = operator.done(&["add", "carol", "--generate"], "").await;
    let password = printed.lines().last().unwrap().strip_prefix("Password: ").unwrap();
    assert_eq!(password.len(), 20);
    assert_eq!(operator.login("carol", password).await, 200);
    let another = operator.done(&["add", "dave", "--generate"], "").await;
    assert!(!another.contains(password));

    for (arguments, input, printed) in [
        (&["add", "bob"][..], "x\n", "username already exists"),
        (&["add", "Вob"], "x\n", "username looks too much like an existing one"),
        (&["add", "eve"], "\n", "password must not be empty"),
        (&["add", "eve"], "1234567\n", "password too short (min 8 characters)"),
        (&["add", "Evangeline"], "evangeline\n", "password must not be the username"),
        (&["add", &"e".repeat(25)], "x\n", "username too long (max 24)"),
        (&["add", "eve"], &"x".repeat(2000), "password too long (max 1024 bytes)"),
        (&["reset-password", "eve"], "x\n", "there is no account \"eve\""),
        (&["remove", "eve"], "", "there is no account \"eve\""),
    ] {
        assert_eq!(operator.refused(arguments, input).await, printed, "{arguments:?}");
    }
}

async fn the_operator_can_use_reserved_names(mut operator: Operator) {
    let refused = operator.person("admin").register().await;
    assert_eq!((refused.status, &*refused.error()), (400, "username is reserved, please take another"));
    operator.done(&["add", "admin"], PASSWORD).await;
    operator.person("admin").sign_in().await;
    assert_eq!(operator.person("Admin").register().await.status, 400);
}

async fn accounts_are_listed(mut operator: Operator) {
    assert_eq!(operator.done(&["list"], "").await, "NAME  CREATED               PICTURE  ROLE\n");
    assert_eq!(operator.done(&["list", "--json"], "").await, "[]\n");
    let fields = [("username", "with a picture"), ("password", PASSWORD)];
    let form = Request::post("/api/register").form(&fields, Some(("avatar", "a.png", &picture())));
    operator.server.send(form).await.expect_ok();
    operator.person("bob").register().await.expect_ok();

    let table = operator.done(&["list"], "").await;
    let mut rows: Vec<Vec<&str>> =
        table.lines().map(|line| line.split("  ").map(str::trim).collect()).collect();
    rows.iter_mut().for_each(|row| row.retain(|field| !field.is_empty()));
    rows[1..].sort();
    assert_eq!(rows[0], ["NAME", "CREATED", "PICTURE", "ROLE"], "{table}");
    assert_eq!((rows[1][0], rows[1][2], rows[1][3]), ("bob", "no", "member"), "{table}");
    assert_eq!((rows[2][0], rows[2][2]), ("with a picture", "yes"), "{table}");
    assert!(rows[1][1].starts_with("20") && rows[1][1].ends_with('Z') && rows[1][1].len() == 20, "{table}");

    let listed: Vec<Value> = serde_json::from_str(&operator.done(&["list", "--json"], "").await).unwrap();
    let of = |name: &str| listed.iter().find(|user| user["username"] == name).unwrap();
    assert_eq!((listed.len(), &of("bob")["picture"]), (2, &json!(false)));
    assert_eq!((&of("with a picture")["picture"], &of("bob")["role"]), (&json!(true), &json!("member")));
    assert_eq!(of("bob")["created"].as_str().unwrap()[..19], rows[1][1][..19]);
}

async fn accounts_are_promoted_and_demoted(mut operator: Operator) {
    let alice = operator.server.person("alice").await;
    let role = async |operator: &Operator| {
        let me = alice.on(operator.server.address).get("/api/me").await;
        me.json()["role"].as_str().unwrap().to_owned()
    };
    assert_eq!(role(&operator).await, "member");
    assert_eq!(operator.done(&["promote", "alice"], "").await, "alice is an administrator now.\n");
    assert_eq!(role(&operator).await, "administrator");
    assert_eq!(operator.done(&["promote", "alice"], "").await, "alice is an administrator already.\n");
    let refused = operator.refused(&["demote", "alice"], "").await;
    assert_eq!(refused, "alice is the last administrator: promote another account first");

    let added = operator.done(&["add", "bob", "--administrator", "--generate"], "").await;
    assert!(added.starts_with("bob has an account now, and is an administrator.\nPassword: "), "{added}");
    let listed: Vec<Value> = serde_json::from_str(&operator.done(&["list", "--json"], "").await).unwrap();
    assert!(listed.iter().all(|user| user["role"] == "administrator"), "{listed:?}");
    assert_eq!(operator.done(&["demote", "alice"], "").await, "alice is no administrator any more.\n");
    assert_eq!(operator.done(&["demote", "alice"], "").await, "alice is no administrator.\n");
    assert_eq!(role(&operator).await, "member");
    let table = operator.done(&["list"], "").await;
    let roles: Vec<_> = table.lines().skip(1).map(|line| line.split_whitespace()).collect();
    let mut roles: Vec<_> = roles.into_iter().map(|mut row| (row.next(), row.last())).collect();
    roles.sort();
    assert_eq!(roles, [(Some("alice"), Some("member")), (Some("bob"), Some("administrator"))], "{table}");

    for command in ["promote", "demote"] {
        let output = operator.run(&[command, "carol"], "").await;
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(complaint(&output), "there is no account \"carol\"");
    }
}

async fn a_new_password_ends_all_sessions(mut operator: Operator) {
    let alice = operator.server.person("alice").await;
    let bob = operator.server.person("bob").await;
    let (mut alices, mut bobs) = (alice.enter("default").await, bob.enter("default").await);
    let printed = operator.done(&["reset-password", "alice"], "another one\n").await;
    assert_eq!(printed, "alice has a new password; sessions ended: 1.\n");
    assert_eq!(alice.on(operator.server.address).get("/api/me").await.status, 401);
    assert_eq!(bob.on(operator.server.address).get("/api/me").await.status, 200);
    assert_eq!(operator.login("alice", PASSWORD).await, 401);
    assert_eq!(operator.login("alice", "another one").await, 200);
    assert_eq!(alices.close_code().await, Some(4001));
    bobs.say("still here").await;
    bobs.expect("bob", "still here").await;
}

async fn a_removed_account_is_gone_but_its_messages_stay(mut operator: Operator) {
    let fields = [("username", "alice"), ("password", PASSWORD)];
    let form = Request::post("/api/register").form(&fields, Some(("avatar", "a.png", &picture())));
    operator.server.send(form).await.expect_ok();
    let alice = operator.person("alice").sign_in().await;
    let mut socket = alice.enter("default").await;
    socket.say("I was here").await;
    socket.expect("alice", "I was here").await;
    assert_eq!(operator.files(), 1);

    let printed = operator.done(&["remove", "alice"], "").await;
    assert_eq!(printed, "The account of alice was removed; sessions ended: 1.\n");
    assert_eq!(operator.files(), 0);
    assert_eq!(alice.on(operator.server.address).get("/api/me").await.status, 401);
    assert_eq!(operator.login("alice", PASSWORD).await, 401);
    assert_eq!(socket.close_code().await, Some(4001));
    let bob = operator.server.person("bob").await;
    let replay = bob.enter("default").await.replay;
    assert_eq!((&replay[0]["from"], &replay[0]["text"]), (&json!("alice"), &json!("I was here")));
    assert_eq!(bob.get("/api/users/alice").await.status, 404);

    // No new account inherits her conversations …
    let taken = operator.person("alice").register().await;
    assert_eq!((taken.status, &*taken.error()), (400, "username already exists"));
    let alike = operator.person("аlice").register().await;
    assert_eq!((alike.status, alike.error().contains("looks too much like")), (400, true));
    let refused = operator.refused(&["add", "alice"], "another one").await;
    assert!(refused.starts_with("alice was the name of a removed account: --reuse-name "), "{refused}");
    assert_eq!(operator.login("alice", "another one").await, 401);
    // … unless the operator wants that.
    operator.done(&["add", "alice", "--reuse-name"], "another one").await;
    assert_eq!(operator.login("alice", "another one").await, 200);
    let taken = operator.refused(&["add", "alice", "--reuse-name"], "another one").await;
    assert_eq!(taken, "username already exists");
}

#[tokio::test]
async fn many_accounts_are_all_listed() {
    if !Store::Postgres.is_here() {
        return;
    }
    let mut operator = Operator::of(Store::Postgres, &[]).await;
    let options: PgConnectOptions = operator.server.database_text().parse().unwrap();
    let mut connection = options.connect().await.unwrap();
    let many = "INSERT INTO users (username, password_hash) SELECT 'user ' || n, 'x' FROM generate_series(1, 2500) AS n";
    sqlx::raw_sql(many).execute(&mut connection).await.unwrap();
    assert_eq!(operator.done(&["list"], "").await.lines().count(), 1 + 2500);
}

async fn the_last_administrator_is_removed_by_force_only(mut operator: Operator) {
    operator.done(&["add", "alice", "--administrator"], PASSWORD).await;
    operator.done(&["add", "bob", "--administrator"], PASSWORD).await;
    operator.done(&["remove", "alice"], "").await;
    let refused = operator.refused(&["remove", "bob"], "").await;
    assert_eq!(refused, "bob is the last administrator: promote another account first, or use --force");
    operator.done(&["remove", "bob", "--force"], "").await;
    let refused = operator.refused(&["add", "Server"], PASSWORD).await;
    assert_eq!(refused, "Server stands for the operator: no account can have that name");
    let output = operator.server.command().arg("audit").output().await.unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let shown: Vec<String> = printed
        .lines()
        .map(|line| line.split_whitespace().skip(2).take(3).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        shown,
        [
            "server user.remove bob",
            "server user.remove alice",
            "server user.role bob",
            "server user.create bob",
            "server user.role alice",
            "server user.create alice",
        ]
    );
    let refused = operator.refused(&["ban", "bob", "--reason", &"x".repeat(501)], "").await;
    assert_eq!(refused, "the reason is too long (max 500)");
}

async fn a_banned_user_is_out_until_the_ban_ends(mut operator: Operator) {
    let alice = operator.server.person("alice").await;
    let bob = operator.server.person("bob").await;
    let mut socket = bob.enter("default").await;
    operator.done(&["promote", "alice"], "").await;
    let refused = operator.refused(&["ban", "alice"], "").await;
    assert_eq!(refused, "an administrator cannot be banned: take the role first");
    let printed = operator.done(&["ban", "bob", "--reason", " spam "], "").await;
    assert_eq!(printed, "bob is banned; sessions ended: 1.\n");
    assert_eq!(socket.close_code().await, Some(4001));
    assert_eq!(bob.get("/api/me").await.status, 401);
    assert_ne!(operator.login("bob", PASSWORD).await, 200);
    assert_eq!(alice.get("/api/me").await.status, 200);
    assert!(operator.refused(&["promote", "bob"], "").await.starts_with("bob is banned: "));
    assert_eq!(operator.done(&["unban", "bob"], "").await, "bob is not banned any more.\n");
    assert_eq!(operator.refused(&["unban", "bob"], "").await, "\"bob\" is not banned");
    assert_eq!(operator.login("bob", PASSWORD).await, 200);
    let printed = operator.done(&["password-link", "bob"], "").await;
    let link = printed.lines().nth(1).unwrap();
    assert_eq!(link.rsplit_once("/password/").unwrap().1.len(), 32, "{printed}");

    let audit = async |arguments: &[&str]| {
        let mut command = operator.server.command();
        let output = command.arg("audit").args(arguments).output().await.unwrap();
        assert!(output.status.success(), "{output:?}");
        let printed = String::from_utf8(output.stdout).unwrap();
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        printed.lines().map(words).collect::<Vec<_>>()
    };
    let all = audit(&[]).await;
    let shown: Vec<String> = all.iter().map(|words| words[2..].join(" ")).collect();
    assert_eq!(
        shown,
        [
            "server user.password bob",
            "server user.unban bob",
            r#"server user.ban bob {"reason":"spam"}"#,
            r#"server user.role alice {"role":"administrator"}"#,
        ]
    );
    assert_eq!(audit(&["--before", &all[1][0], "--limit", "1"]).await, all[2..3]);
}

/// Only the owner of the data folder reaches the server.
#[tokio::test]
async fn the_socket_for_commands_is_private_and_goes_with_the_server() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut operator = Operator::of(Store::Sqlite, &[]).await;
    let socket = operator.server.folder().join("data/control.sock");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(operator.server.terminate().await.success());
    assert!(!socket.exists());
    // The socket of a server that was killed is in nobody's way.
    operator.server.restart().await;
    operator.server.kill().await;
    assert!(socket.exists());
    operator.done(&["add", "alice"], PASSWORD).await;
    operator.server.restart().await;
    assert!(operator.done(&["list"], "").await.contains("alice"));
}

#[tokio::test]
async fn commands_are_refused_while_a_server_that_they_cannot_reach_has_the_file() {
    let operator = Operator::of(Store::Sqlite, &[]).await;
    std::fs::remove_file(operator.server.folder().join("data/control.sock")).unwrap();
    for arguments in [&["list"][..], &["add", "alice"], &["remove", "alice"], &["reset-password", "alice"]] {
        let printed = complaint(&run(&operator.server, arguments, "x\n").await);
        assert!(printed.contains("is in use by another server or command: stop that one first"), "{printed}");
    }
}

#[tokio::test]
async fn the_first_account_creates_the_database() {
    let mut operator = Operator::of(Store::Sqlite, &[]).await;
    assert!(operator.server.terminate().await.success());
    let data = operator.server.folder().join("data");
    std::fs::remove_dir_all(&data).unwrap();
    for arguments in [&["list"][..], &["remove", "alice"]] {
        let printed = complaint(&run(&operator.server, arguments, "").await);
        assert!(printed.starts_with("there is no database "), "{printed}");
    }
    assert!(!data.exists());
    let added = run(&operator.server, &["add", "alice"], PASSWORD).await;
    assert!(added.status.success(), "{added:?}");
    operator.server.restart().await;
    operator.person("alice").sign_in().await;

    let mut memory = Operator::of(Store::Memory, &[]).await;
    memory.done(&["add", "alice"], PASSWORD).await;
    memory.person("alice").sign_in().await;
    assert!(memory.server.terminate().await.success());
    let printed = memory.refused(&["list"], "").await;
    assert_eq!(printed, "a memory store belongs to its server, and no server runs here");
}

#[tokio::test]
async fn only_the_operator_creates_accounts_if_registration_is_closed() {
    let mut operator = Operator::of(Store::Sqlite, &["--registration", "closed"]).await;
    let refused = operator.person("alice").register().await;
    let sentence = "registration is closed here: ask whoever runs this chat for an account";
    assert_eq!((refused.status, &*refused.error()), (403, sentence));
    operator.done(&["add", "alice"], PASSWORD).await;
    operator.person("alice").sign_in().await.enter("default").await;
}

#[tokio::test]
async fn a_postgres_is_migrated_at_the_start_if_that_is_set() {
    let Some(database) = TestDatabase::empty() else { return };
    let setup = Setup { store: Store::Postgres, shards: 1 };
    let folder = tempfile::tempdir().unwrap();
    let refused = tokio::process::Command::new(env!("CARGO_BIN_EXE_server"))
        .env_clear()
        .current_dir(folder.path())
        .args(["--listen", "127.0.0.1:0", "--database-url", &database.text])
        .output();
    let refused = refused.await.unwrap();
    let sentence = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && sentence.contains("run `server migrate up` first"), "{sentence}");

    let mut server = TestServer::start_on(setup, database, &["--migrate"]).await;
    server.person("alice").await;
    assert!(server.terminate().await.success());
    server.restart().await;
    Person::new(server.address, "alice").sign_in().await;
}

/// A PNG of one pixel.
fn picture() -> Vec<u8> {
    let hex = "89504e470d0a1a0a0000000d4948445200000001000000010806000000\
               1f15c4890000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082";
    let digits: Vec<u8> = hex.chars().map(|digit| digit.to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|two| two[0] << 4 | two[1]).collect()
}

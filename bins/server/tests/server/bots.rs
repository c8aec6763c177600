//! `server bot`: bots and webhooks, as the operator makes them, and as `docs/bots.md` shows them.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use crate::common::{Person, Setup, Store, TestServer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Makes a test of each function for SQLite and for Postgres.
macro_rules! on_every_database {
    ($($scenario:ident),* $(,)?) => {
        mod sqlite {$(
            #[tokio::test]
            async fn $scenario() { super::$scenario(super::start(super::Store::Sqlite).await).await }
        )*}
        mod postgres {$(
            #[tokio::test]
            async fn $scenario() {
                if super::Store::Postgres.is_here() {
                    super::$scenario(super::start(super::Store::Postgres).await).await
                }
            }
        )*}
    };
}

on_every_database! {
    bots_are_made_listed_and_revoked_while_the_server_runs,
    an_outgoing_webhook_gets_messages_at_once_and_is_listed_with_its_state,
}

/// A server with a room `deploys`.
async fn start(store: Store) -> TestServer {
    let flags = ["--webhook-private-addresses", "127.0.0.0/8"];
    let server = TestServer::start_with(Setup { store, shards: 1 }, &flags).await;
    let opener = Person::new(server.address, "opener");
    opener.register().await.expect_ok();
    let opener = opener.sign_in().await;
    let room = json!({ "title": "Deploys", "name": "deploys" });
    let request = crate::common::Request::post("/api/rooms").header("Cookie", &opener.cookie).json(&room);
    assert_eq!(request.send(server.address).await.status, 201);
    server
}

async fn run(server: &TestServer, arguments: &[&str]) -> Output {
    let mut command = server.command();
    command.arg("bot").args(arguments).stdin(Stdio::null());
    let ended = tokio::time::timeout(Duration::from_secs(30), command.output()).await;
    ended.expect("it ends").unwrap()
}

async fn done(server: &TestServer, arguments: &[&str]) -> String {
    let output = run(server, arguments).await;
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

async fn refused(server: &TestServer, arguments: &[&str]) -> String {
    let output = run(server, arguments).await;
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).unwrap().strip_prefix("server: ").unwrap().trim_end().to_owned()
}

/// Posts a message with a token, and returns the status.
async fn post(server: &TestServer, token: &str, text: &str) -> u16 {
    let request = crate::common::Request::post("/api/rooms/deploys/messages").json(&json!({ "text": text }));
    request.header("Authorization", &format!("Bearer {token}")).send(server.address).await.status
}

async fn bots_are_made_listed_and_revoked_while_the_server_runs(server: TestServer) {
    let made = done(&server, &["add", "Robot", "--room", "deploys"]).await;
    let (sentence, token) = made.trim_end().split_once('\n').unwrap();
    assert_eq!(sentence, "Robot is a bot now. Its token, which is shown once:");
    assert_eq!(post(&server, token, "hi").await, 201);
    assert_eq!(done(&server, &["list"]).await, "Robot  rooms: deploys; webhooks: 0\n");

    let made = done(&server, &["webhook", "Robot", "--room", "deploys"]).await;
    let address = made.trim_end().rsplit_once("/hooks/").unwrap().1;
    let hook = format!("/hooks/{address}");
    let slack = async || {
        crate::common::Request::post(&hook).json(&json!({"text": "ho"})).send(server.address).await.status
    };
    assert_eq!(slack().await, 200);
    let sentence = refused(&server, &["webhook", "Robot", "--room", "general"]).await;
    assert!(sentence.starts_with("there is no such bot, or the room is none of its rooms"), "{sentence}");
    assert_eq!(done(&server, &["list"]).await, "Robot  rooms: deploys; webhooks: 1\n");

    // A new token takes the place of the old one.
    let made = done(&server, &["add", "Robot", "--room", "deploys"]).await;
    let other = made.trim_end().split_once('\n').unwrap().1;
    assert_eq!((post(&server, token, "hi").await, post(&server, other, "hi").await), (401, 201));

    assert_eq!(
        done(&server, &["revoke", "Robot"]).await,
        "The token and the webhooks of Robot have ended.\n"
    );
    assert_eq!((post(&server, other, "hi").await, slack().await), (401, 404));
    assert_eq!(done(&server, &["list"]).await, "Robot  revoked\n");
    assert_eq!(refused(&server, &["revoke", "Robot"]).await, "there is no bot \"Robot\" with a token");
    let alice = Person::new(server.address, "alice");
    alice.register().await.expect_ok();
    let sentence = refused(&server, &["add", "alice", "--room", "deploys"]).await;
    assert_eq!(sentence, "another account has this name");
}

async fn an_outgoing_webhook_gets_messages_at_once_and_is_listed_with_its_state(server: TestServer) {
    let receiver = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/chat", receiver.local_addr().unwrap());
    done(&server, &["add", "Robot", "--room", "deploys"]).await;
    let sentence =
        refused(&server, &["hook", "Robot", "--room", "deploys", "--url", "http://10.1.1.1/"]).await;
    assert_eq!(sentence, "not an https address of a server on the internet");
    let made = done(&server, &["hook", "Robot", "--room", "deploys", "--url", &url]).await;
    assert!(made.trim_end().rsplit_once('\n').unwrap().1.starts_with("whsec_"), "{made}");
    let alice = Person::new(server.address, "alice");
    alice.register().await.expect_ok();
    let alice = alice.sign_in().await;
    let message = json!({"text": "is it live?"});
    let posted = crate::common::Request::post("/api/rooms/deploys/messages").json(&message);
    assert_eq!(posted.header("Cookie", &alice.cookie).send(server.address).await.status, 201);

    let delivered = tokio::time::timeout(Duration::from_secs(30), take(&receiver, "503 Busy"));
    assert_eq!(delivered.await.expect("a delivery")["data"]["message"]["text"], "is it live?");
    let failing = until_listed(&server, "failures: 1, the last one: status 503").await;
    let again = tokio::time::timeout(Duration::from_secs(30), take(&receiver, "200 OK"));
    assert_eq!(again.await.expect("a repetition")["data"]["message"]["text"], "is it live?");
    let listed = until_listed(&server, "; status 200").await;
    let id = listed.lines().nth(1).unwrap().trim().split("  ").next().unwrap().to_owned();
    assert!(failing.contains(&id) && listed.contains(&format!("messages of deploys to {url}")), "{listed}");

    let ended = done(&server, &["unhook", "Robot", &id]).await;
    assert_eq!(ended, format!("The outgoing webhook {id} gets no messages any more.\n"));
    let sentence = refused(&server, &["unhook", "Robot", &id]).await;
    assert_eq!(sentence, format!("Robot has no outgoing webhook {id:?}"));
}

/// Takes one request, answers it with this status, and returns its body.
async fn take(receiver: &TcpListener, status: &str) -> Value {
    let (mut stream, _) = receiver.accept().await.unwrap();
    let mut request = Vec::new();
    loop {
        let mut part = [0; 4096];
        let read = stream.read(&mut part).await.unwrap();
        assert!(read > 0, "the request has an end");
        request.extend_from_slice(&part[..read]);
        let text = String::from_utf8_lossy(&request);
        let body = text.split_once("\r\n\r\n").and_then(|(_, body)| serde_json::from_str(body).ok());
        if let Some(body) = body {
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            return body;
        }
    }
}

/// Lists the bots until the list has this text.
async fn until_listed(server: &TestServer, text: &str) -> String {
    for _ in 0..300 {
        let listed = done(server, &["list"]).await;
        if listed.contains(text) {
            return listed;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the list does not get {text:?}");
}

/// Runs the lines of `docs/bots.md`, block after block, as they are. What a reader would enter, the
/// token and the address that a command has printed, is entered.
#[tokio::test]
async fn the_lines_of_the_documentation_work() {
    if crate::common::tool("curl", "curl").is_none() {
        return;
    }
    let server = start(Store::Sqlite).await;
    let anna = Person::new(server.address, "anna");
    anna.register().await.expect_ok();
    let variables = server.folder().join("variables");
    let set = |name: &str, value: &str| {
        let known = std::fs::read_to_string(&variables).unwrap_or_default();
        std::fs::write(&variables, format!("{known}{name}={value}\n")).unwrap();
    };
    let chat = format!("http://{}", server.address);
    let mut outputs = Vec::new();
    for block in blocks("sh") {
        if block.starts_with("CHAT=") {
            set("CHAT", &chat);
            continue;
        }
        let output = shell(&server, &variables, &block.replace("unhook Robot ID", "unhook Robot $ID")).await;
        let last = output.lines().last().unwrap_or_default().to_owned();
        match block.split_whitespace().nth(2) {
            Some("add") => set("TOKEN", &last),
            // The settings, which the address is made from, do not know the port of a test.
            Some("webhook") => set("HOOK", &format!("{chat}{}", &last[last.find("/hooks/").unwrap()..])),
            _ => {}
        }
        outputs.push(last);
    }
    let json = |index: usize| serde_json::from_str::<Value>(&outputs[index]).unwrap_or_default();
    assert!(outputs[0].starts_with("bot_"), "{outputs:?}");
    assert_eq!(json(1)["seq"], 1, "{outputs:?}");
    assert_eq!(json(2)["seq"], 1, "{outputs:?}");
    assert_eq!(json(3)["messages"], json!([]), "{outputs:?}");
    assert!(outputs[4].starts_with("whsec_"), "{outputs:?}");
    assert!(outputs[5].contains("/hooks/"), "{outputs:?}");
    assert_eq!(outputs[6], "ok", "{outputs:?}");
    assert_eq!(outputs.len(), 7, "each block is looked at: {outputs:?}");
    let stored = server
        .send(
            crate::common::Request::get("/api/rooms/deploys/messages")
                .header("Authorization", &format!("Bearer {}", outputs[0])),
        )
        .await;
    assert_eq!(stored.json()["messages"][0]["text"], "Build 1207 is live, @anna");
    assert_eq!(stored.json()["messages"][1]["text"], "Disk is full on [host 7](https://a.example)");
}

/// The check of signatures in Python that the documentation shows, on the example of the
/// specification.
#[test]
fn the_check_of_signatures_in_the_documentation_works() {
    let Some(mut python) = crate::common::tool("python3", "python3") else { return };
    let check = blocks("python").remove(0);
    let call = r#"
headers = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
print(is_of_chat(secret, headers, body), is_of_chat(secret, headers, body + b" "))
"#;
    let output = python.arg("-c").arg(format!("{check}{call}")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "True False", "{output:?}");
}

/// The blocks of `docs/bots.md` in a language.
fn blocks(language: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/bots.md");
    let text = std::fs::read_to_string(path).unwrap();
    let parts = text.split("```").skip(1).step_by(2);
    parts.filter_map(|part| Some(part.strip_prefix(language)?.strip_prefix('\n')?.to_owned())).collect()
}

/// Runs lines of a shell, in which `server` is the binary with the settings of the server.
async fn shell(server: &TestServer, variables: &Path, lines: &str) -> String {
    let command = server.command();
    let command = command.as_std();
    let quoted = |word: &std::ffi::OsStr| format!("'{}'", word.to_str().unwrap().replace('\'', r"'\''"));
    let words: Vec<String> =
        [command.get_program()].into_iter().chain(command.get_args()).map(quoted).collect();
    let script = format!(
        "set -eu\ntouch {variables}\n. {variables}\nserver() {{ {} \"$@\"; }}\n{lines}",
        words.join(" "),
        variables = quoted(variables.as_os_str()),
    );
    let mut bash = tokio::process::Command::new("bash");
    bash.arg("-c").arg(script).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(60), bash.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{lines}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

//! Requests that the document of the HTTP calls allows, and damaged ones, as Schemathesis makes them from
//! it: each answer has a status, fields and a body that the document names, and is no server's error.

use std::error::Error;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokio::process::Command;

use super::Verdict;
use crate::Api;
use crate::http;
use crate::server::{Plan, Server, Store};

pub(crate) async fn api(options: &Api) -> Result<Verdict, Box<dyn Error>> {
    let Some(schemathesis) = schemathesis() else {
        return Ok(Verdict::NotRun("api: schemathesis is missing (cargo xtask test api-fuzz)".to_owned()));
    };
    let Some(server) = Server::start(Plan::new(Store::Sqlite, 1).flags(&FLAGS)).await? else {
        return Ok(Verdict::NotRun("api: there is no server".to_owned()));
    };
    let callers = Callers::make(&server).await?;
    let document = server.folder().join("openapi.json");
    std::fs::write(&document, serde_json::to_vec(&document_for_tests(&callers.webhook)?)?)?;
    // The administrator is the last, who may end the rights of the others.
    let runs = [
        ("a member", &callers.member, "--exclude-tag", "operation"),
        ("a bot", &callers.bot, "--include-tag", "messages"),
        ("an administrator", &callers.administrator, "--exclude-tag", "operation"),
    ];
    let mut webhook_posts = false;
    for (who, token, filter, tag) in runs {
        println!("API as {who}");
        let status = Command::new(&schemathesis)
            .current_dir(server.folder())
            .arg("run")
            .arg(&document)
            .args(["--url", &format!("http://{}", server.address), filter, tag])
            .args(["--header", &format!("Authorization: Bearer {token}")])
            .args(["--checks", CHECKS, "--phases", "examples,coverage,fuzzing", "--continue-on-failure"])
            .args(["--max-examples", &options.examples.to_string(), "--seed", &options.seed.to_string()])
            .args(["--generation-database", "none", "--warnings", "off", "--no-color"])
            .kill_on_drop(true)
            .status()
            .await?;
        if !status.success() {
            println!("{}", server.log_tail());
            return Ok(Verdict::Failed(format!("api as {who}: see above; seed {}", options.seed)));
        }
        // Calls of somebody who has lost their session would prove little, and so would those of a webhook
        // that posts nothing.
        let answer = http::get_as(server.address, "/api/rooms/garden/messages?limit=100", token).await?;
        if answer.status != 200 {
            return Ok(Verdict::Failed(format!("api as {who}: the token ends during the calls")));
        }
        webhook_posts |= answer.text.contains(r#""from":"Robot""#);
    }
    if !webhook_posts {
        return Ok(Verdict::Failed("api: the webhook posts nothing".to_owned()));
    }
    Ok(Verdict::Passed(format!("api: {} examples of each call, seed {}", options.examples, options.seed)))
}

/// The tokens of those who call.
struct Callers {
    administrator: String,
    member: String,
    bot: String,
    /// The secret in the address of an incoming webhook.
    webhook: String,
}

impl Callers {
    /// Makes what the examples of the document name, so that not all of its calls find nothing.
    async fn make(server: &Server) -> Result<Self, Box<dyn Error>> {
        let names = ["anna".to_owned(), "alice".to_owned(), "bob".to_owned()];
        let cookies = server.accounts(&names).await?;
        let call_as = async |cookie: &str, method: &str, path: &str, body: Value| {
            let answer = http::call(server.address, method, path, cookie, &body).await?;
            match answer.status {
                200..300 => Ok::<_, Box<dyn Error>>(answer),
                _ => Err(format!("{method} {path}: {}", answer.text).into()),
            }
        };
        let call =
            async |method: &str, path: &str, body: Value| call_as(&cookies[0], method, path, body).await;
        server.command(&["user", "promote", "anna"]).await?;
        call("POST", "/api/rooms", json!({"title": "Garden", "name": "garden"})).await?;
        for text in ["hello, @alice", "a second message"] {
            call("POST", "/api/rooms/garden/messages", json!({ "text": text })).await?;
            call("POST", "/api/users/bob/messages", json!({ "text": text })).await?;
        }
        call_as(&cookies[1], "PUT", "/api/rooms/garden/membership", Value::Null).await?;
        let made = server.command(&["bot", "add", "Robot", "--room", "garden", "--room", "default"]).await?;
        let bot = made.lines().find(|line| line.starts_with("bot_")).ok_or("no token of the bot")?;
        let made = server.command(&["bot", "webhook", "Robot", "--room", "garden"]).await?;
        let webhook = made.split_once("/hooks/").ok_or("no address of the webhook")?.1;
        let token = |cookie: &str| cookie.replacen("auth=", "", 1);
        Ok(Self {
            administrator: token(&cookies[0]),
            member: token(&cookies[1]),
            bot: bot.to_owned(),
            webhook: webhook.split_whitespace().next().unwrap_or_default().to_owned(),
        })
    }
}

/// `docs/openapi.yaml`, with what it says of all calls said of each, with tokens in one place only, with the
/// secret of a webhook, without the calls that end the session of the caller, and without the socket.
fn document_for_tests(webhook: &str) -> Result<Value, Box<dyn Error>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.yaml");
    let mut document: Value = yaml_serde::from_str(&std::fs::read_to_string(path)?)?;
    let everywhere = document["x-everywhere"].as_object().ok_or("no x-everywhere")?.clone();
    document["security"] = json!([{"bearer": []}]);
    let paths = document["paths"].as_object_mut().ok_or("no paths")?;
    // Nobody guesses it, and every other one is answered alike.
    paths["/hooks/{secret}"]["post"]["parameters"][0]["schema"]["enum"] = json!([webhook]);
    for (path, method) in LEFT_OUT {
        let calls = paths.get_mut(*path).and_then(Value::as_object_mut);
        calls.and_then(|calls| calls.remove(*method)).ok_or_else(|| format!("no {method} {path}"))?;
    }
    for calls in paths.values_mut().filter_map(Value::as_object_mut) {
        for responses in calls.values_mut().filter_map(|call| call.get_mut("responses")?.as_object_mut()) {
            for (status, response) in &everywhere {
                responses.entry(status).or_insert_with(|| response.clone());
            }
        }
    }
    Ok(document)
}

/// Where `cargo xtask test` installs it, or in `$PATH`.
fn schemathesis() -> Option<PathBuf> {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/schemathesis/bin");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::iter::once(installed).chain(std::env::split_paths(&path));
    folders.find_map(|folder| Some(folder.join("schemathesis")).filter(|program| program.is_file()))
}

/// Not `negative_data_rejection`: where the document says that a field may be missing, `null` is taken as if
/// it was.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance,ignored_auth,\
                      unsupported_method,allow_header_conformance,missing_required_header";

/// Schemathesis takes the ids of sessions from the list of them.
const LEFT_OUT: &[(&str, &str)] =
    &[("/ws", "get"), ("/api/logout", "post"), ("/api/sessions/{id}", "delete")];

/// All calls come from one address, and from one user.
#[rustfmt::skip]
const FLAGS: [&str; 14] = [
    "--room-changes-per-minute", "1000000", "--reports-per-minute", "1000000", "--searches-per-minute", "1000000",
    "--lists-per-minute", "1000000", "--uploads-per-minute", "1000000", "--account-failures-max", "1000000",
    "--address-failures-max", "1000000",
];

//! What an operator installs beside the server, held against what the server really prints:
//! the alarms and the dashboard against `/metrics`, the filter of fail2ban against the log.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::common::{Answer, PASSWORD, Process, Request, Setup, Store, TestServer, tool};
use regex::Regex;
use serde_json::{Value, json};

const SETUP: Setup = Setup { store: Store::Sqlite, shards: 2 };

fn deploy(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(deploy(name)).unwrap()
}

async fn metrics(server: &TestServer) -> String {
    String::from_utf8(server.get("/metrics").await.body).unwrap()
}

/// The names of the samples in a text for Prometheus, and the labels of each.
fn samples(metrics: &str) -> BTreeMap<String, BTreeSet<String>> {
    let sample = Regex::new(r"^([a-z_]+)(?:\{(.*)\})? ").unwrap();
    let label = Regex::new(r#"([a-z]+)="(?:[^"\\]|\\.)*""#).unwrap();
    let mut samples: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let found = sample.captures(line).unwrap_or_else(|| panic!("{line}"));
        let labels = found.get(2).map_or("", |labels| labels.as_str());
        let labels = label.captures_iter(labels).map(|label| label[1].to_owned());
        samples.entry(found[1].to_owned()).or_default().extend(labels);
    }
    samples
}

/// The value of a sample, given with its labels; 0 if there is none.
fn value(metrics: &str, sample: &str) -> f64 {
    let line = metrics.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}

/// Everything below a value that stands under the key `expr`.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(text) if key == "expr" => found.push(text.clone()),
                    _ => expressions(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn alarms_and_the_dashboard_name_metrics_that_exist() {
    let server = TestServer::start(SETUP).await;
    let (alice, mut socket) = server.in_room("alice", "default").await;
    socket.say("hello").await;
    socket.expect("alice", "hello").await;
    alice.get("/api/search?q=hello").await.expect_ok();
    let samples = samples(&metrics(&server).await);
    let rules: Value = yaml_serde::from_str(&read("prometheus-rules.yml")).unwrap();
    let dashboard: Value = serde_json::from_str(&read("grafana-dashboard.json")).unwrap();
    let metric = Regex::new(r"\b((?:chat|process)_[a-z_]+)(?:\{([^}]*)\})?").unwrap();
    let label = Regex::new(r#"([a-z]+) *(?:=|=~|!=|!~) *""#).unwrap();
    // Known only once something of the kind has happened.
    let later = [
        "chat_closes_total",
        "chat_uploads_total",
        "chat_previews_total",
        "chat_pushes_total",
        "chat_webhook_deliveries_total",
    ];
    for (file, value) in [("the alarms", rules), ("the dashboard", dashboard)] {
        let mut found = Vec::new();
        expressions(&value, &mut found);
        assert!(found.len() > 15, "{file}: {found:?}");
        for expression in found {
            assert!(metric.is_match(&expression) || expression.contains("up{"), "{file}: {expression}");
            for used in metric.captures_iter(&expression) {
                let name = &used[1];
                if later.contains(&name) {
                    continue;
                }
                let labels = samples.get(name).unwrap_or_else(|| panic!("{file}: no {name}"));
                for used in label.captures_iter(used.get(2).map_or("", |labels| labels.as_str())) {
                    let is_of_prometheus = ["job", "instance"].contains(&&used[1]);
                    assert!(
                        is_of_prometheus || labels.contains(&used[1]),
                        "{file}: {expression}: {labels:?}"
                    );
                }
            }
        }
    }
    // The other way round: what the documents name exists, too.
    let named = Regex::new(r"`(chat_[a-z_]+)").unwrap();
    for document in ["operations.md", "limits.md", "configuration.md"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(document);
        let Ok(text) = std::fs::read_to_string(path) else { continue };
        for name in named.captures_iter(&text) {
            assert!(samples.contains_key(&name[1]) || later.contains(&&name[1]), "{document}: {}", &name[1]);
        }
    }
}

#[tokio::test]
async fn metrics_say_what_was_refused_and_by_which_limit() {
    let server =
        TestServer::start_with(SETUP, &["--message-rate", "3,1", "--searches-per-minute", "1"]).await;
    let alice = server.person("alice").await;
    let mut socket = alice.enter_v2("default").await;
    socket.send(&json!({ "type": "message", "room": "elsewhere", "text": "x", "nonce": "n1" })).await;
    assert_eq!(socket.next_of("error").await["code"], "not_joined");
    for number in 0..5 {
        socket
            .send(
                &json!({ "type": "message", "room": "default", "text": "x", "nonce": format!("m{number}") }),
            )
            .await;
    }
    loop {
        let frame = socket.next().await;
        if frame["type"] == "ack" && frame["nonce"] == "m4" {
            break;
        }
    }
    for status in [200, 429, 429] {
        assert_eq!(alice.get("/api/search?q=x").await.status, status);
    }
    server.get("/nowhere").await;
    // Shards count once a second.
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    let text = loop {
        let text = metrics(&server).await;
        if value(&text, r#"chat_frames_refused_total{reason="not_joined"}"#) > 0.0
            && value(&text, r#"chat_client_limits_total{limit="message_rate"}"#) > 0.0
        {
            break text;
        }
        assert!(tokio::time::Instant::now() < deadline, "{text}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert_eq!(value(&text, r#"chat_frames_refused_total{reason="not_joined"}"#), 1.0);
    assert_eq!(value(&text, r#"chat_limit_refusals_total{limit="searches_per_minute"}"#), 2.0);
    assert_eq!(value(&text, r#"chat_http_seconds_count{route="/api/search"}"#), 3.0);
    assert!(value(&text, r#"chat_http_responses_total{class="4xx"}"#) >= 3.0, "{text}");
    assert_eq!(value(&text, r#"chat_http_responses_total{class="1xx"}"#), 1.0, "the socket");
    assert_eq!(value(&text, "chat_store_up"), 1.0);
    assert!(text.contains(&format!("chat_build_info{{version=\"{}\"", env!("CARGO_PKG_VERSION"))), "{text}");
    assert!(value(&text, "process_resident_memory_bytes") > 1e6 && value(&text, "process_open_fds") > 5.0);
}

#[tokio::test]
async fn metrics_know_when_the_last_backup_was_made() {
    let server = TestServer::start(SETUP).await;
    server.person("alice").await;
    let made = "chat_last_backup_timestamp_seconds";
    assert_eq!(value(&metrics(&server).await, made), 0.0, "never");
    let before = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    for _ in 0..2 {
        let mut command = server.command();
        command.arg("backup").arg(server.folder().join("backup.db")).arg("--force");
        let done = command.output().await.unwrap();
        assert!(done.status.success() && done.stderr.is_empty(), "{done:?}");
        let made = value(&metrics(&server).await, made);
        assert!(made >= before - 2.0 && made <= before + 600.0, "{made} {before}");
    }
}

#[tokio::test]
async fn a_contact_for_flaws_is_served_if_there_is_one() {
    let path = "/.well-known/security.txt";
    let server = TestServer::start(SETUP).await;
    assert_eq!(server.get(path).await.status, 404);
    let flags = ["--security-contact", "security@example.org"];
    let server = TestServer::start_with(SETUP, &flags).await;
    let answer: Answer = server.get(path).await.expect_ok();
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    let text = String::from_utf8(answer.body).unwrap();
    assert!(text.starts_with("Contact: mailto:security@example.org\nExpires: 20"), "{text}");
}

/// The expressions of the filter for fail2ban, with the address as the group `address`.
fn expressions_of_filter() -> Vec<Regex> {
    let filter = read("fail2ban/filter.conf");
    let (_, after) = filter.split_once("\nfailregex = ").unwrap();
    let lines = after.lines().map(str::trim).take_while(|line| !line.is_empty());
    lines.map(|line| Regex::new(&line.replace("<ADDR>", "(?P<address>[0-9a-fA-F.:]+)")).unwrap()).collect()
}

/// The addresses that the filter finds in lines, as fail2ban hands them over: without the date,
/// or from the journal.
fn found(filter: &[Regex], line: &str) -> Vec<String> {
    let date = Regex::new(r"\d{4}-\d\d-\d\dT[0-9:.]+Z").unwrap();
    let mut found = BTreeSet::new();
    for line in [line.to_owned(), date.replace(line, "").into_owned(), format!("host chat-server[7]: {line}")]
    {
        let of_line = filter.iter().find_map(|expression| expression.captures(&line));
        found.insert(of_line.map(|captures| captures["address"].to_owned()));
    }
    assert_eq!(found.len(), 1, "it depends on what is before the line: {line}");
    found.into_iter().flatten().collect()
}

#[tokio::test]
async fn fail2ban_reads_failed_sign_ins_and_no_name_forges_one() {
    let filter = expressions_of_filter();
    assert_eq!(filter.len(), 2);
    let victim = "203.0.113.9";
    let whole = format!(
        "2026-01-01T00:00:00.000000Z  INFO chat_http::sign_in_failures: a sign-in failed user=\"y\" address={victim}"
    );
    let names = [
        "bob".to_owned(),
        "имя с пробелом".to_owned(),
        format!("x\" address={victim}"),
        format!("x\\\" address={victim}"),
        format!("x\\\" address={victim} y=\\\""),
        format!("x\n address={victim}"),
        format!("\n{whole}"),
        format!("\r\n{}", &whole[28..]),
        format!("user=\"y\" address={victim}\n"),
        format!("\",\"address\":\"{victim}\",\"target\":\"chat_http::sign_in_failures\"}}"),
        format!("\\\",\"address\":\"{victim}\",\"target\":\"chat_http::sign_in_failures\"}}"),
        "\\".to_owned(),
        "\u{1b}[31m".to_owned(),
    ];
    for format in ["human", "json"] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Process::command(folder.path());
        let unlimited = ["--network-failures-max", "100000"];
        command.args(["--database-url", "memory:", "--log-format", format]).args(unlimited);
        let mut server = Process::spawn(command);
        let address = server.until_ready().await;
        // Texts of users that are not names: the address of a page, a header, an account.
        let alice = crate::common::Person::new(address, "alice");
        alice.register().await.expect_ok();
        alice.sign_in().await;
        for name in &names {
            let login = json!({ "username": name, "password": "a wrong password" });
            let request = Request::post("/api/login").json(&login).header("User-Agent", &whole);
            assert_eq!(request.send_from([127, 7, 0, 1], address).await.unwrap().status, 401, "{name:?}");
        }
        for _ in 0..2 {
            let login = json!({ "username": "bob", "password": PASSWORD });
            Request::post("/api/login").json(&login).send_from([127, 7, 0, 2], address).await.unwrap();
        }
        let forged = format!("/api/users/{}", whole.replace(' ', "%20").replace('"', "%22"));
        Request::get(&forged).send(address).await;
        // The summaries.
        server.terminate().await;
        assert!(server.ended().await.success());
        let log = server.log();
        let addresses: Vec<String> = log.lines().flat_map(|line| found(&filter, line)).collect();
        let mut expected = vec!["127.7.0.1".to_owned(); names.len()];
        expected.extend(vec!["127.7.0.2".to_owned(); 2]);
        assert_eq!(addresses, expected, "{format}: {log}");
        assert!(log.lines().any(|line| line.contains("more sign-ins failed")), "{log}");
        fail2ban_agrees(&log, &expected);
    }
}

/// Has fail2ban itself read the log, where it is installed.
fn fail2ban_agrees(log: &str, expected: &[String]) {
    let folder = tempfile::tempdir().unwrap();
    let (log_path, filter) = (folder.path().join("chat.log"), folder.path().join("chat.conf"));
    std::fs::write(&log_path, log).unwrap();
    std::fs::copy(deploy("fail2ban/filter.conf"), &filter).unwrap();
    let Some(mut command) = tool("fail2ban-regex", "fail2ban") else { return };
    command.args(["-o", "ip"]).arg(&log_path).arg(&filter);
    let done = command.output().unwrap();
    assert!(done.status.success(), "{done:?}");
    let found: Vec<_> = String::from_utf8(done.stdout).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(found, expected, "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn promtool_takes_the_alarms_and_they_fire() {
    for arguments in
        [["check", "rules", "prometheus-rules.yml"], ["test", "rules", "prometheus-rules.test.yml"]]
    {
        let Some(mut command) = tool("promtool", "prometheus") else { return };
        let done = command.args(arguments).current_dir(deploy("")).output().unwrap();
        assert!(done.status.success(), "{arguments:?}: {done:?}");
    }
}

#[test]
fn the_servers_of_the_compose_file_share_what_they_have_to() {
    let text = read("compose.cluster.yml");
    let compose: Value = yaml_serde::from_str(&text).unwrap();
    let settings = std::fs::read_to_string(deploy("../docs/configuration.md")).unwrap();
    let shared = compose["x-chat"]["environment"].as_object().unwrap();
    for key in ["DATABASE_URL", "CHAT_BUS", "CHAT_FILES_URL"] {
        assert!(shared.contains_key(key), "{key}");
    }
    for key in shared.keys() {
        assert!(settings.contains(&format!("`{key}`")), "{key} is no setting");
    }
    assert_eq!(text.matches("<<: *chat").count(), 2, "both servers have what is shared");
    let files = shared["CHAT_FILES_URL"].as_str().unwrap();
    let services = compose["services"].as_object().unwrap();
    for server in ["chat-1", "chat-2"] {
        let volumes = services[server]["volumes"].as_array().unwrap();
        assert!(volumes.contains(&json!(format!("files:{files}"))), "{server}");
    }
    for volume in services.values().flat_map(|service| service["volumes"].as_array()).flatten() {
        let (name, _) = volume.as_str().unwrap().split_once(':').unwrap();
        assert!(compose["volumes"].as_object().unwrap().contains_key(name), "{name}");
    }
    let bus = shared["CHAT_BUS"].as_str().unwrap();
    assert!(services.keys().any(|name| bus.ends_with(&format!("@{name}:4222"))), "{bus}");
}

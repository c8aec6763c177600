//! What is left of files when the server's process ends between two steps. On SQLite and on
//! Postgres, with a folder of files, in a process of its own, which ends without any clean-up.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use chat_auth::{HashCost, Passwords, PasswordsOptions};
use chat_http::{FilesLocation, HttpOptions, Parts, Server};
use chat_store::test_postgres::TestDatabase;
use chat_store::{DatabaseUrl, Stores};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use crate::harness::{FORM, Reply, form, tokens};
use crate::pictures::{jpeg_with_exif, two_halves};
use crate::wire::Wire;

/// The folder of the server, for the process that runs it.
const FOLDER: &str = "CHAT_TEST_CRASH_FOLDER";
/// The URL of the database of that server.
const DATABASE: &str = "CHAT_TEST_CRASH_DATABASE";
/// How long that server keeps a file that no message has, in milliseconds.
const LIFETIME: &str = "CHAT_TEST_CRASH_LIFETIME";

/// The server that the tests below start in a process of its own, and end; without the
/// environment that they give it, it returns at once.
#[tokio::test]
async fn server_that_crashes() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let lifetime = std::env::var(LIFETIME).unwrap().parse().unwrap();
    let url = std::env::var(DATABASE).unwrap();
    let mut stores = Stores::open(&DatabaseUrl::parse(&url).unwrap()).await.unwrap();
    stores.shared = None;
    let parts = Parts {
        stores,
        passwords: Passwords::start(PasswordsOptions {
            cost: HashCost { memory_kib: 64, passes: 1, lanes: 1 },
            ..PasswordsOptions::default()
        })
        .unwrap(),
        tokens: tokens(),
        identity: None,
        oidc: None,
    };
    let mut options = HttpOptions { uploads_dir: folder.join("uploads"), ..HttpOptions::default() };
    options.files.location = FilesLocation::Folder(folder.join("files"));
    options.files.data_dir = folder;
    options.files.unattached_lifetime = Duration::from_millis(lifetime);
    options.files.sweep_interval = Duration::from_millis(50);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::start(listener, parts, options).await.unwrap();
    println!("\nlistening on {}", server.local_addr());
    std::future::pending::<()>().await;
}

/// The folder and the database of a server.
struct Place {
    folder: TempDir,
    /// `None`: SQLite, in the folder.
    postgres: Option<TestDatabase>,
}

impl Place {
    /// The files of the server.
    fn files(&self) -> PathBuf {
        self.folder.path().join("files")
    }

    fn database(&self) -> String {
        match &self.postgres {
            Some(database) => database.text.clone(),
            None => format!("sqlite:{}", self.folder.path().join("chat.db").display()),
        }
    }

    /// How many records of files there are, while no server runs.
    async fn records(&self) -> u64 {
        let stores = Stores::open(&DatabaseUrl::parse(&self.database()).unwrap()).await.unwrap();
        let usage = stores.files.files_usage().await.unwrap();
        stores.close().await;
        usage.files
    }
}

/// A new place on SQLite.
fn on_sqlite() -> Option<Place> {
    Some(Place { folder: tempfile::tempdir().unwrap(), postgres: None })
}

/// A new place on Postgres; `None` (and a printed line) if there is none.
fn on_postgres() -> Option<Place> {
    let postgres = Some(TestDatabase::migrated()?);
    Some(Place { folder: tempfile::tempdir().unwrap(), postgres })
}

/// The process of a server.
struct Running {
    process: Child,
    address: String,
}

impl Running {
    /// Starts a server, which ends at this step, if it is not empty.
    async fn start(place: &Place, crash_at: &str, lifetime: Duration) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "file_crashes::server_that_crashes", "--nocapture"])
            .env(FOLDER, place.folder.path())
            .env(DATABASE, place.database())
            .env(LIFETIME, lifetime.as_millis().to_string())
            .env("CHAT_TEST_CRASH_AT", crash_at)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = loop {
            let line = lines.next_line().await.unwrap().expect("the server starts");
            if let Some(address) = line.strip_prefix("listening on ") {
                break address.to_owned();
            }
        };
        Self { process, address }
    }

    async fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<Reply> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += &format!("Content-Length: {}\r\n\r\n", body.len());
        let mut stream = TcpStream::connect(&self.address).await.ok()?;
        let _ = stream.write_all(&[head.as_bytes(), body].concat()).await;
        Some(Reply::read(&mut stream).await).filter(|reply| reply.status > 0)
    }

    /// Signs a user in, who is registered before.
    async fn sign_in(&self, name: &str) -> String {
        let fields = [("username", None, name.as_bytes()), ("password", None, &b"a good password"[..])];
        self.call("POST", "/api/register", &[("Content-Type", FORM)], &form(&fields)).await.unwrap();
        let body = json!({ "username": name, "password": "a good password" }).to_string();
        let reply = self.call("POST", "/api/login", &[], body.as_bytes()).await.unwrap();
        reply.header("set-cookie").expect("signed in").split(';').next().unwrap().to_owned()
    }

    async fn upload(&self, cookie: &str, bytes: &[u8]) -> Option<Value> {
        let reply = self.call("POST", "/api/files?name=a.jpg", &[("Cookie", cookie)], bytes).await?;
        assert_eq!(reply.status, 201, "{reply:?}");
        Some(reply.json())
    }

    async fn get(&self, cookie: &str, file: &Value) -> Reply {
        let path = format!("/files/{}/a", file["id"].as_str().unwrap());
        self.call("GET", &path, &[("Cookie", cookie)], b"").await.unwrap()
    }

    async fn open(&self, cookie: &str) -> Wire {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let request = format!(
            "GET /ws HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nCookie: {cookie}\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: chat.v2\r\n\r\n",
            self.address
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(Reply::read_head(&mut stream).await.status, 101);
        Wire::over(stream)
    }

    /// Waits until the server has so many objects, and its metrics have this line. Returns whether
    /// that came about.
    async fn has_objects(&self, place: &Place, count: usize, line: &str) -> bool {
        let line = format!("\n{line}\n");
        let waiting = async {
            loop {
                let metrics = self.call("GET", "/metrics", &[], b"").await.unwrap();
                let is_counted = String::from_utf8(metrics.body).unwrap().contains(&line);
                if is_counted && objects(&place.files()) == count {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), waiting).await.is_ok()
    }

    /// Ends the process, as a crash does.
    async fn kill(mut self) {
        self.process.kill().await.unwrap();
    }

    /// Waits until the process has ended by itself.
    async fn crashed(mut self, step: &str) {
        let ended = tokio::time::timeout(Duration::from_secs(20), self.process.wait()).await;
        assert!(!ended.unwrap_or_else(|_| panic!("no crash: {step}")).unwrap().success(), "{step}");
    }
}

/// Files below the folder of the files, without its folders and locks.
fn objects(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let entries = entries.filter(|path| path.extension().is_none_or(|extension| extension != "lock"));
    entries.map(|path| if path.is_dir() { objects(&path) } else { 1 }).sum()
}

/// Starts a server again, lets it look for what nobody needs, and counts objects and records.
async fn after_a_sweep(place: &Place, cookie: &str, kept: &[Value]) {
    let running = Running::start(place, "", Duration::ZERO).await;
    // The records go after the objects; then they are counted.
    let counted = match kept.len() {
        0 => "chat_files_deleted_total 1".to_owned(),
        kept => format!("chat_files {kept}"),
    };
    let is_swept = running.has_objects(place, kept.len(), &counted).await;
    for file in kept {
        let reply = running.get(cookie, file).await;
        assert_eq!((reply.status, json!(reply.body.len())), (200, file["size"].clone()));
    }
    running.kill().await;
    assert_eq!((objects(&place.files()), place.records().await), (kept.len(), kept.len() as u64));
    assert!(is_swept);
}

const DAY: Duration = Duration::from_secs(86_400);

async fn an_upload_is_whole_or_nothing(new_place: fn() -> Option<Place>) {
    let photo = jpeg_with_exif(&two_halves(640, 480));
    for step in ["reserved", "written", "synced", "renamed", "stored"] {
        let Some(place) = new_place() else { return };
        let running = Running::start(&place, step, DAY).await;
        let cookie = running.sign_in("alice").await;
        assert_eq!(running.upload(&cookie, &photo).await, None, "{step}");
        running.crashed(step).await;
        assert_eq!(place.records().await, 1, "{step}: the store knows of it");
        after_a_sweep(&place, &cookie, &[]).await;
    }
}

#[tokio::test]
async fn an_upload_is_whole_or_nothing_wherever_the_process_ends_on_sqlite() {
    an_upload_is_whole_or_nothing(on_sqlite).await;
}

#[tokio::test]
async fn an_upload_is_whole_or_nothing_wherever_the_process_ends_on_postgres() {
    an_upload_is_whole_or_nothing(on_postgres).await;
}

async fn nothing_is_lost(new_place: fn() -> Option<Place>) {
    let Some(place) = new_place() else { return };
    let photo = jpeg_with_exif(&two_halves(640, 480));
    let running = Running::start(&place, "", DAY).await;
    let cookie = running.sign_in("alice").await;
    running.sign_in("bob").await;
    let file = running.upload(&cookie, &photo).await.unwrap();
    running.kill().await;

    let running = Running::start(&place, "", DAY).await;
    assert_eq!(running.get(&cookie, &file).await.status, 200);
    let mut socket = running.open(&cookie).await;
    let send = json!({ "type": "private", "to": "bob", "text": "", "files": [file["id"]], "nonce": "1" });
    socket.send(&send).await;
    socket.next_of("ack").await;
    running.kill().await;
    after_a_sweep(&place, &cookie, std::slice::from_ref(&file)).await;

    // Before the answer to a deletion, after it, and between the steps that follow.
    for step in ["", "files listed", "object removed", "files forgotten"] {
        let running = Running::start(&place, "", DAY).await;
        let file = running.upload(&cookie, &photo).await.unwrap();
        let mut socket = running.open(&cookie).await;
        let nonce = format!("send {step}");
        let send =
            json!({ "type": "private", "to": "bob", "text": "", "files": [file["id"]], "nonce": nonce });
        socket.send(&send).await;
        let seq = socket.next_of("ack").await["seq"].clone();
        // What the deletion before has left is gone: the next server would end at that one.
        assert!(running.has_objects(&place, 2, "chat_files 2").await, "{step}");
        running.kill().await;

        let running = Running::start(&place, step, DAY).await;
        let mut socket = running.open(&cookie).await;
        let nonce = format!("delete {step}");
        socket.send(&json!({ "type": "delete", "to": "bob", "target": seq, "nonce": nonce })).await;
        if step.is_empty() {
            socket.next_of("ack").await;
            assert_eq!(running.get(&cookie, &file).await.status, 404);
            running.kill().await;
        } else {
            running.crashed(step).await;
        }
    }
    after_a_sweep(&place, &cookie, &[file]).await;
}

#[tokio::test]
async fn nothing_is_lost_after_201_or_after_an_acknowledgement_on_sqlite() {
    nothing_is_lost(on_sqlite).await;
}

#[tokio::test]
async fn nothing_is_lost_after_201_or_after_an_acknowledgement_on_postgres() {
    nothing_is_lost(on_postgres).await;
}

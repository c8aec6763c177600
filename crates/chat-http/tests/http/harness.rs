//! What makes the tests short: a server, and a client that is no smarter than
//! the bytes it sends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use chat_auth::{HashCost, Passwords, PasswordsOptions, SigningSecret, TokenOptions, Tokens};
use chat_core::{Commit, Conversations, Draft, Page, PageFrom, PageLimits, Pair, SessionId, Topic, Username};
use chat_http::{HttpOptions, Parts, Server};
use chat_store::{
    Answer, EventLog, MemoryStore, NewUser, Session, SessionRepository, StoreError, User, UserRepository,
};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::published;

/// What the server signs with.
pub const SECRET: &str = "a secret for tests, of 32 bytes or more";

/// A server with an empty store and an empty folder for uploads.
pub struct Chat {
    pub server: Server,
    pub store: Arc<Store>,
    pub uploads: TempDir,
}

impl Chat {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut HttpOptions)) -> Self {
        Self::with_auth(PasswordsOptions::default(), tokens(), change).await
    }

    pub async fn with_auth(
        passwords: PasswordsOptions,
        tokens: Tokens,
        change: impl FnOnce(&mut HttpOptions),
    ) -> Self {
        let uploads = tempfile::tempdir().unwrap();
        let mut options = HttpOptions {
            uploads_dir: uploads.path().join("uploads"),
            login_floor: Duration::from_millis(20),
            ..HttpOptions::default()
        };
        change(&mut options);
        let store = Arc::new(Store::default());
        let parts = Parts {
            users: store.clone(),
            sessions: store.clone(),
            log: store.clone(),
            passwords: Passwords::start(PasswordsOptions {
                cost: HashCost { memory_kib: 64, passes: 1, lanes: 1 },
                ..passwords
            })
            .unwrap(),
            tokens,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Server::start(listener, parts, options).await.unwrap();
        Self { server, store, uploads }
    }

    pub fn host(&self) -> String {
        self.server.local_addr().to_string()
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.server.local_addr()).await.unwrap()
    }

    /// Sends these very bytes, and reads until the server closes.
    pub async fn raw(&self, bytes: &[u8]) -> Reply {
        let mut stream = self.connect().await;
        // A server that refuses early may close before it has read all.
        let _ = stream.write_all(bytes).await;
        Reply::read(&mut stream).await
    }

    /// One request on a connection of its own, whose answer must be as published.
    pub async fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let reply = self.raw(&self.request(method, path, headers, body)).await;
        published::check(method, path, &reply);
        reply
    }

    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.host());
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() || method == "POST" {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        head += "\r\n";
        [head.as_bytes(), body].concat()
    }

    pub async fn get(&self, path: &str, cookie: &str) -> Reply {
        self.call("GET", path, &[("Cookie", cookie)], b"").await
    }

    /// A registration with these fields: name, file name, content.
    pub async fn register_form(&self, fields: &[(&str, Option<&str>, &[u8])]) -> Reply {
        self.call("POST", "/api/register", &[("Content-Type", FORM)], &form(fields)).await
    }

    pub async fn register(&self, username: &str, password: &str) -> Reply {
        let fields = [("username", None, username.as_bytes()), ("password", None, password.as_bytes())];
        self.register_form(&fields).await
    }

    pub async fn login(&self, username: &str, password: &str) -> Reply {
        let body = serde_json::json!({ "username": username, "password": password }).to_string();
        self.call("POST", "/api/login", &[("Content-Type", "application/json")], body.as_bytes()).await
    }

    /// Registers somebody, signs them in, and gives the `Cookie` to send.
    pub async fn sign_in(&self, username: &str) -> String {
        assert_eq!(self.register(username, "password").await.status, 200);
        let reply = self.login(username, "password").await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
    }

    /// Files in the folder for uploads.
    pub fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.uploads.path().join("uploads")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

/// What signs tokens as the server does.
pub fn tokens() -> Tokens {
    tokens_with(TokenOptions::default())
}

pub fn tokens_with(options: TokenOptions) -> Tokens {
    Tokens::new(&SigningSecret::new(SECRET).unwrap(), options)
}

pub fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

/// The `Content-Type` of [`form`].
pub const FORM: &str = "multipart/form-data; boundary=X";

pub fn form(fields: &[(&str, Option<&str>, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, file, content) in fields {
        let file = file.map_or(String::new(), |file| {
            format!("; filename=\"{file}\"\r\nContent-Type: application/octet-stream")
        });
        body.extend_from_slice(
            format!("--X\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n").as_bytes(),
        );
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--X--\r\n");
    body
}

/// Waits until something is so, for at most a few seconds.
pub async fn until(mut condition: impl FnMut() -> bool) {
    for _ in 0..500 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came to be");
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    /// 0 if the connection was closed without an answer.
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    /// Reads until the server closes; all of it must come within 10 s.
    pub async fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        let reading = stream.read_to_end(&mut bytes);
        // A reset after the answer is as good as a close.
        let _ = tokio::time::timeout(Duration::from_secs(10), reading).await.expect("the server closes");
        Self::parse(&bytes)
    }

    /// Reads the head only, of a connection that stays open.
    pub async fn read_head(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => bytes.push(byte),
                Err(_) => break,
            }
        }
        Self::parse(&bytes)
    }

    fn parse(bytes: &[u8]) -> Self {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Self { status: 0, headers: Vec::new(), body: bytes.to_vec() };
        };
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_ascii_lowercase(), value.to_owned())
        });
        Self { status, headers: headers.collect(), body: bytes[end + 4..].to_vec() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        assert_eq!(self.header("content-type"), Some("application/json; charset=utf-8"), "{self:?}");
        assert_eq!(self.header("cache-control"), Some("no-store"));
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn error(&self) -> String {
        self.json()["error"].as_str().unwrap().to_owned()
    }

    /// Status and sentence at once.
    pub fn refusal(&self) -> (u16, String) {
        (self.status, self.error())
    }
}

/// A store that can be out.
#[derive(Default)]
pub struct Store {
    /// What it is made of, past everything below.
    pub memory: MemoryStore,
    /// Every call fails.
    pub out: AtomicBool,
    /// No check is ever answered.
    pub silent: AtomicBool,
    /// An account takes a while to be made.
    pub slow: AtomicBool,
    /// An account is made, but the answer is lost.
    pub lost: AtomicBool,
    /// After such a loss, every call fails.
    pub out_after_loss: AtomicBool,
    /// Before the next session is there, its account is removed …
    pub removed_first: AtomicBool,
    /// … or gets another password.
    pub changed_first: AtomicBool,
    /// No password's hash can be replaced.
    pub hashes_stay: AtomicBool,
    /// How often it was asked to note that a session was seen.
    pub touches: AtomicUsize,
    /// No session can be changed.
    pub sessions_stay: AtomicBool,
    /// How often it was asked which sessions are good.
    pub checks: AtomicUsize,
    /// The next session that is found is told only after `go_on`.
    pub hold_next_session: AtomicBool,
    /// It was found.
    pub held: AtomicBool,
    pub go_on: Notify,
}

impl Store {
    /// What two people wrote to each other.
    pub async fn stored_privately(&self, one: &str, other: &str) -> Vec<String> {
        let name = |name| Username::known(name).unwrap();
        let pair = Topic::Pair(Pair::new(name(one), name(other)));
        let limits = PageLimits { entries: usize::MAX, bytes: usize::MAX };
        let page = self.memory.page(&pair, PageFrom::After(0), limits).await.unwrap();
        page.entries.iter().map(|entry| entry.body.text().to_owned()).collect()
    }

    fn ask<'a, T: Send + 'a>(&self, answer: Answer<'a, T>) -> Answer<'a, T> {
        if self.out.load(Ordering::Relaxed) {
            return Box::pin(async { Err(StoreError::Unavailable { source: "disk on fire".into() }) });
        }
        answer
    }

    /// Of a session.
    fn change<'a, T: Send + 'a>(&self, answer: Answer<'a, T>) -> Answer<'a, T> {
        if self.sessions_stay.load(Ordering::Relaxed) {
            return Box::pin(async { Err(StoreError::Unavailable { source: "read-only".into() }) });
        }
        self.ask(answer)
    }
}

impl UserRepository for Store {
    fn create_user<'a>(&'a self, user: &'a NewUser) -> Answer<'a, ()> {
        let creation = self.ask(self.memory.create_user(user));
        if self.lost.load(Ordering::Relaxed) {
            return Box::pin(async {
                creation.await?;
                self.out.store(self.out_after_loss.load(Ordering::Relaxed), Ordering::Relaxed);
                Err(StoreError::Unavailable { source: "the line went dead".into() })
            });
        }
        if !self.slow.load(Ordering::Relaxed) {
            return creation;
        }
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            creation.await
        })
    }

    fn recreate_user<'a>(&'a self, user: &'a NewUser) -> Answer<'a, ()> {
        self.ask(self.memory.recreate_user(user))
    }

    fn check_new_name<'a>(&'a self, name: &'a Username) -> Answer<'a, ()> {
        self.ask(self.memory.check_new_name(name))
    }

    fn find_user<'a>(&'a self, name: &'a Username) -> Answer<'a, Option<User>> {
        self.ask(self.memory.find_user(name))
    }

    fn find_user_ignoring_case<'a>(&'a self, name: &'a Username) -> Answer<'a, Option<User>> {
        self.ask(self.memory.find_user_ignoring_case(name))
    }

    fn remove_user<'a>(&'a self, name: &'a Username) -> Answer<'a, ()> {
        self.ask(self.memory.remove_user(name))
    }

    fn list_users<'a>(&'a self, after: Option<&'a Username>, max: usize) -> Answer<'a, Vec<User>> {
        self.ask(self.memory.list_users(after, max))
    }

    fn set_password_hash<'a>(&'a self, name: &'a Username, old: &'a str, new: &'a str) -> Answer<'a, bool> {
        if self.hashes_stay.load(Ordering::Relaxed) {
            return Box::pin(async { Err(StoreError::Unavailable { source: "read-only".into() }) });
        }
        self.ask(self.memory.set_password_hash(name, old, new))
    }
}

impl SessionRepository for Store {
    fn open_session<'a>(&'a self, session: &'a Session) -> Answer<'a, ()> {
        let (removed, changed) = (
            self.removed_first.swap(false, Ordering::Relaxed),
            self.changed_first.swap(false, Ordering::Relaxed),
        );
        if !removed && !changed {
            return self.ask(self.memory.open_session(session));
        }
        Box::pin(async move {
            if removed {
                self.memory.remove_user(&session.user).await?;
            } else if let Some(user) = self.memory.find_user(&session.user).await? {
                self.memory.set_password_hash(&user.name, &user.password_hash, "another").await?;
            }
            self.memory.revoke_sessions_of(&session.user).await?;
            self.memory.open_session(session).await
        })
    }

    fn find_session<'a>(&'a self, id: &'a SessionId, now_ms: u64) -> Answer<'a, Option<Session>> {
        if !self.hold_next_session.swap(false, Ordering::Relaxed) {
            return self.ask(self.memory.find_session(id, now_ms));
        }
        Box::pin(async move {
            let found = self.memory.find_session(id, now_ms).await;
            self.held.store(true, Ordering::Relaxed);
            self.go_on.notified().await;
            found
        })
    }

    fn renew_session<'a>(&'a self, id: &'a SessionId, now_ms: u64, expires_at_ms: u64) -> Answer<'a, ()> {
        self.ask(self.memory.renew_session(id, now_ms, expires_at_ms))
    }

    fn revoke_session<'a>(&'a self, id: &'a SessionId) -> Answer<'a, ()> {
        self.change(self.memory.revoke_session(id))
    }

    fn sessions_of<'a>(&'a self, user: &'a Username, now_ms: u64) -> Answer<'a, Vec<Session>> {
        self.ask(self.memory.sessions_of(user, now_ms))
    }

    fn revoke_sessions_of<'a>(&'a self, user: &'a Username) -> Answer<'a, Vec<SessionId>> {
        self.change(self.memory.revoke_sessions_of(user))
    }

    fn touch_session<'a>(&'a self, id: &'a SessionId, now_ms: u64) -> Answer<'a, ()> {
        self.touches.fetch_add(1, Ordering::Relaxed);
        self.change(self.memory.touch_session(id, now_ms))
    }

    fn good_sessions<'a>(&'a self, ids: &'a [SessionId], now_ms: u64) -> Answer<'a, Vec<(SessionId, u64)>> {
        self.checks.fetch_add(1, Ordering::Relaxed);
        self.ask(self.memory.good_sessions(ids, now_ms))
    }
}

impl EventLog for Store {
    fn append<'a>(&'a self, drafts: &'a [Draft], now_ms: u64) -> Answer<'a, Commit> {
        self.ask(self.memory.append(drafts, now_ms))
    }

    fn page<'a>(&'a self, topic: &'a Topic, from: PageFrom, limits: PageLimits) -> Answer<'a, Page> {
        self.ask(self.memory.page(topic, from, limits))
    }

    fn conversations<'a>(&'a self, user: &'a Username, max: usize) -> Answer<'a, Conversations> {
        self.ask(self.memory.conversations(user, max))
    }

    fn epoch(&self) -> &str {
        self.memory.epoch()
    }

    fn check(&self) -> Answer<'_, ()> {
        if self.silent.load(Ordering::Relaxed) {
            return Box::pin(std::future::pending());
        }
        self.ask(self.memory.check())
    }

    fn append_in_place(
        &self,
        drafts: &[Draft],
        now_ms: u64,
        publish: &mut dyn FnMut(&Commit),
    ) -> Option<Commit> {
        self.memory.append_in_place(drafts, now_ms, publish)
    }
}

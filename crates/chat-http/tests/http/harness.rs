//! A server for tests, and a client that sends plain bytes.

mod logs;
mod receiver;
mod reply;
mod store;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use chat_auth::{HashCost, PasswordRule, Passwords, PasswordsOptions, SigningSecret, TokenOptions, Tokens};
use chat_http::{FilesLocation, HttpOptions, Identity, OidcSignIn, Parts, Server};
use chat_store::Stores;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

pub use logs::Logs;
pub use receiver::{Received, Receiver};
pub use reply::Reply;
pub use store::Store;

use crate::published;

/// The secret with which the server signs tokens.
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
        Self::of(Store::default(), passwords, tokens, (None, None), change).await
    }

    /// A server on a store that has something already.
    pub async fn on(store: Store, change: impl FnOnce(&mut HttpOptions)) -> Self {
        Self::of(store, PasswordsOptions::default(), tokens(), (None, None), change).await
    }

    /// A server of a host that has users of its own.
    pub async fn of_host(identity: Arc<dyn Identity>) -> Self {
        let passwords = PasswordsOptions::default();
        Self::of(Store::default(), passwords, tokens(), (Some(identity), None), |_| {}).await
    }

    /// A server whose users are signed in by an OpenID provider.
    pub async fn of_provider(
        store: &Arc<Store>,
        oidc: OidcSignIn,
        change: impl FnOnce(&mut HttpOptions),
    ) -> Self {
        let passwords = PasswordsOptions::default();
        Self::of(store.clone(), passwords, tokens(), (None, Some(oidc)), change).await
    }

    /// One of several servers on a store, with a folder of its own.
    pub async fn among_others(store: &Arc<Store>, change: impl FnOnce(&mut HttpOptions)) -> Self {
        store.is_shared.store(true, Ordering::Relaxed);
        Self::of(store.clone(), PasswordsOptions::default(), tokens(), (None, None), change).await
    }

    async fn of(
        store: impl Into<Arc<Store>>,
        passwords: PasswordsOptions,
        tokens: Tokens,
        (identity, oidc): (Option<Arc<dyn Identity>>, Option<OidcSignIn>),
        change: impl FnOnce(&mut HttpOptions),
    ) -> Self {
        let uploads = tempfile::tempdir().unwrap();
        let mut options = HttpOptions {
            uploads_dir: uploads.path().join("uploads"),
            // Most tests are about something else.
            password_rule: PasswordRule { min_chars: 1, allow_common: true },
            login_floor: Duration::from_millis(20),
            ..HttpOptions::default()
        };
        options.files.location = FilesLocation::Folder(uploads.path().join("files"));
        options.files.data_dir = uploads.path().to_owned();
        change(&mut options);
        let store = store.into();
        let mut stores = Stores::of(store.clone());
        if store.is_shared.load(Ordering::Relaxed) {
            stores.shared = Some(store.clone());
        }
        let parts = Parts {
            stores,
            passwords: Passwords::start(PasswordsOptions {
                cost: match passwords.cost {
                    usual if usual == HashCost::default() => HashCost { memory_kib: 64, passes: 1, lanes: 1 },
                    chosen => chosen,
                },
                ..passwords
            })
            .unwrap(),
            tokens,
            identity,
            oidc,
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

    /// Sends these bytes, and reads until the server closes the connection.
    pub async fn raw(&self, bytes: &[u8]) -> Reply {
        let mut stream = self.connect().await;
        // A server that refuses the request may close before it has read everything.
        let _ = stream.write_all(bytes).await;
        Reply::read(&mut stream).await
    }

    /// Sends a request on a connection of its own, and checks that the response is as
    /// published.
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

    /// Calls with a JSON body; `Value::Null`: without one.
    pub async fn json(&self, method: &str, path: &str, cookie: &str, body: Value) -> Reply {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let headers = [("Cookie", cookie), ("Content-Type", "application/json")];
        self.call(method, path, &headers, body.as_bytes()).await
    }

    /// Creates a room, and returns its name.
    pub async fn create_room(&self, cookie: &str, room: Value) -> String {
        let reply = self.json("POST", "/api/rooms", cookie, room).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        reply.json()["name"].as_str().unwrap().to_owned()
    }

    pub async fn get(&self, path: &str, cookie: &str) -> Reply {
        self.call("GET", path, &[("Cookie", cookie)], b"").await
    }

    /// Registers with these fields: name, file name, content.
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

    /// Registers with a picture. The server ignores the file name.
    pub async fn register_with_avatar(&self, username: &str, file_name: &str, avatar: &[u8]) -> Reply {
        let fields = [
            ("avatar", Some(file_name), avatar),
            ("username", None, username.as_bytes()),
            ("password", None, b"password"),
        ];
        self.register_form(&fields).await
    }

    /// The path of the avatar of a user whose password is "password".
    pub async fn avatar_address(&self, username: &str) -> String {
        self.login(username, "password").await.json()["avatar"].as_str().unwrap().to_owned()
    }

    /// Registers a user and signs them in. Returns the value of `Cookie`.
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

/// Signs tokens as the server does.
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

/// Waits at most 20 s until a condition holds.
pub async fn until(mut condition: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the condition did not become true");
}

//! Users whom another program signs in with keys that the server fetches from it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::common::{Person, Setup, Store, TestServer};

const MEMORY: Setup = Setup { store: Store::Memory, shards: 1 };
const ISSUER: &str = "https://host.example";
const KEYS: &str = include_str!("../../../../crates/chat-auth/tests/keys/set.json");
const ED: &[u8] = include_bytes!("../../../../crates/chat-auth/tests/keys/ed25519.pem");
const RSA: &[u8] = include_bytes!("../../../../crates/chat-auth/tests/keys/rsa.pem");

/// The address of the other program, which has one of its keys there, or answers nothing.
struct Published {
    address: SocketAddr,
    key: Arc<Mutex<Option<&'static str>>>,
    asked: Arc<AtomicUsize>,
}

impl Published {
    async fn start(first: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (key, asked) = (Arc::new(Mutex::new(Some(first))), Arc::new(AtomicUsize::new(0)));
        let (current, count) = (Arc::clone(&key), Arc::clone(&asked));
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") && stream.read_buf(&mut head).await.unwrap() > 0 {}
                count.fetch_add(1, Ordering::Relaxed);
                let key = *current.lock().unwrap();
                if let Some(id) = key {
                    let mut keys: Value = serde_json::from_str(KEYS).unwrap();
                    keys["keys"].as_array_mut().unwrap().retain(|key| key["kid"] == id);
                    let body = keys.to_string();
                    let length = body.len();
                    let head =
                        format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
                    stream.write_all((head + &body).as_bytes()).await.unwrap();
                }
            }
        });
        Self { address, key, asked }
    }

    fn change(&self, key: Option<&'static str>) {
        *self.key.lock().unwrap() = key;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

/// A user with a token that a key has signed.
fn guest(server: &TestServer, name: &str, key: &str) -> Person {
    let (algorithm, secret) = match key {
        "ed" => (Algorithm::EdDSA, EncodingKey::from_ed_pem(ED).unwrap()),
        _ => (Algorithm::RS256, EncodingKey::from_rsa_pem(RSA).unwrap()),
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({ "iss": ISSUER, "sub": name, "exp": now + 600 });
    let header = Header { kid: Some(key.to_owned()), ..Header::new(algorithm) };
    let token = jsonwebtoken::encode(&header, &claims, &secret).unwrap();
    Person { cookie: format!("auth={token}"), ..Person::new(server.address, name) }
}

async fn status(person: &Person) -> u16 {
    person.get("/api/me").await.status
}

/// Asks until the answer has this status: the server fetches keys again after a second.
async fn until(person: &Person, wanted: u16) {
    let begun = Instant::now();
    while status(person).await != wanted {
        assert!(begun.elapsed() < Duration::from_secs(30), "{} never gets {wanted}", person.name);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn keys_of_another_program_change_and_stay_while_it_does_not_answer() {
    let host = Published::start("ed").await;
    let url = format!("http://{}/keys.json", host.address);
    let flags = ["--external-jwks-url", &url, "--external-jwks-pause-seconds", "1"];
    let server = TestServer::start_with(MEMORY, &[&flags[..], &["--external-issuer", ISSUER]].concat()).await;
    let (alice, bob) = (guest(&server, "alice", "ed"), guest(&server, "bob", "rsa"));
    assert_eq!((status(&alice).await, status(&bob).await), (200, 401));

    host.change(Some("rsa"));
    until(&bob, 200).await;
    assert_eq!(alice.get("/api/me").await.error(), "invalid token");
    bob.enter("kitchen").await.say("hello").await;

    host.change(None);
    let asked = host.asked();
    let begun = Instant::now();
    // Alice's key is not known any more: each of her requests may make the server ask again.
    while host.asked() == asked {
        assert_eq!(status(&alice).await, 401);
        assert!(begun.elapsed() < Duration::from_secs(30), "the server does not ask");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!((status(&alice).await, status(&bob).await), (401, 200));

    host.change(Some("ed"));
    until(&alice, 200).await;
    assert_eq!(status(&bob).await, 401);
}

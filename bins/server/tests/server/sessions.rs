//! Sessions that end, and users whom a host application signs in.

use std::time::SystemTime;

use crate::common::{Answer, Person, Request, Setup, Socket, Store, TestServer};
use chat_core::Username;
use chat_store::{NewBan, Stores};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

const MEMORY: Setup = Setup { store: Store::Memory, shards: 3 };
const SQLITE: Setup = Setup { store: Store::Sqlite, shards: 2 };
const POSTGRES: Setup = Setup { store: Store::Postgres, shards: 2 };

/// The setups that this machine can run.
fn here<const N: usize>(setups: [Setup; N]) -> impl Iterator<Item = Setup> {
    setups.into_iter().filter(|setup| setup.store.is_here())
}

async fn sign_out_everywhere(person: &Person) -> Answer {
    let request = Request::post("/api/logout").header("Cookie", &person.cookie);
    request.json(&json!({ "everywhere": true })).send(person.server).await
}

/// All frames of a socket until it is closed, and the code of the close.
async fn all_until_close(socket: &mut Socket) -> (Vec<Value>, Option<u16>) {
    let mut frames = Vec::new();
    loop {
        match socket.next_or_close().await {
            Ok(frame) => frames.push(frame),
            Err(code) => return (frames, code),
        }
    }
}

#[tokio::test]
async fn signing_out_everywhere_survives_a_crash() {
    for setup in here([SQLITE, POSTGRES]) {
        let mut server = TestServer::start(setup).await;
        let phone = server.person("Алиса").await;
        let laptop = phone.sign_in().await;
        let bob = server.person("bob").await;
        let (mut one, mut other) = (phone.enter("кухня").await, laptop.enter("сад").await);
        sign_out_everywhere(&phone).await.expect_ok();
        assert_eq!((one.close_code().await, other.close_code().await), (Some(4001), Some(4001)));

        server.kill_and_restart().await;
        for ended in [&phone, &laptop] {
            assert_eq!(ended.on(server.address).get("/api/me").await.error(), "invalid token");
            assert!(ended.on(server.address).open("кухня").await.is_err());
        }
        bob.on(server.address).get("/api/me").await.expect_ok();
        let again = phone.on(server.address).sign_in().await;
        let listed = again.get("/api/sessions").await.expect_ok().json();
        assert_eq!(listed["sessions"].as_array().unwrap().len(), 1, "{listed}");
        assert_eq!(listed["sessions"][0]["current"], true);
    }
}

#[tokio::test]
async fn a_new_password_ends_the_sessions_of_other_devices() {
    for setup in here([MEMORY, SQLITE, POSTGRES]) {
        let mut server = TestServer::start(setup).await;
        let phone = server.person("Алиса").await;
        let laptop = phone.sign_in().await;
        let (mut on_phone, mut on_laptop) = (phone.enter("кухня").await, laptop.enter("кухня").await);
        let change = async |person: &Person, current: &str, new: &str| {
            let request = Request::post("/api/me/password").header("Cookie", &person.cookie);
            request.json(&json!({ "current": current, "new": new })).send(person.server).await
        };
        let wrong = change(&phone, "guess", "another password").await;
        assert_eq!((wrong.status, wrong.error().as_str()), (403, "the current password is wrong"));
        laptop.get("/api/me").await.expect_ok();
        change(&phone, crate::common::PASSWORD, "another password").await.expect_ok();
        assert_eq!(on_laptop.close_code().await, Some(4001));
        assert_eq!(laptop.get("/api/me").await.error(), "invalid token");
        on_phone.say("still here").await;
        on_phone.expect("Алиса", "still here").await;

        if setup.store != Store::Memory {
            server.kill_and_restart().await;
            assert_eq!(laptop.on(server.address).get("/api/me").await.error(), "invalid token");
            phone.on(server.address).get("/api/me").await.expect_ok();
        }
        for (password, status) in [(crate::common::PASSWORD, 401), ("another password", 200)] {
            let login = json!({ "username": "Алиса", "password": password });
            assert_eq!(server.send(Request::post("/api/login").json(&login)).await.status, status);
        }
    }
}

#[tokio::test]
async fn a_signed_out_user_receives_nothing_after_the_answer() {
    for setup in here([MEMORY, SQLITE, POSTGRES]) {
        let server = TestServer::start_with(setup, &["--message-rate", "off"]).await;
        let phone = server.person("alice").await;
        let laptop = phone.sign_in().await;
        let mut hers = Vec::new();
        for person in [&phone, &phone, &laptop, &laptop] {
            hers.push(person.enter("kitchen").await);
        }
        let (bob, mut bobs) = server.in_room("bob", "kitchen").await;
        // Others talk in the room and to her while she signs out.
        let talking = async {
            for number in 0..300 {
                bobs.say(&format!("before {number}")).await;
                bobs.whisper("alice", &format!("before {number}")).await;
            }
        };
        let (answer, ()) = tokio::join!(sign_out_everywhere(&laptop), talking);
        answer.expect_ok();
        bobs.say("after").await;
        bobs.whisper("alice", "after").await;
        // Both messages were delivered to their recipients by then.
        let mut second = bob.enter("kitchen").await;
        second.say("the end").await;
        bobs.all_up_to("the end").await;
        for socket in &mut hers {
            let (frames, code) = all_until_close(socket).await;
            assert_eq!(code, Some(4001));
            assert!(frames.iter().all(|frame| frame["text"] != "after"), "{:?}", frames.last());
        }
    }
}

#[tokio::test]
async fn sockets_of_sessions_that_another_program_ended_are_closed() {
    for setup in here([POSTGRES]) {
        let server = TestServer::start_with(setup, &["--session-check-seconds", "1"]).await;
        let (_, mut alices) = server.in_room("alice", "kitchen").await;
        let (_, mut bobs) = server.in_room("bob", "garden").await;
        let other = Stores::open(&server.database()).await.unwrap();
        let alice = Username::parse("alice").unwrap();
        assert_eq!(other.sessions.revoke_sessions_of(&alice).await.unwrap().len(), 1);
        other.close().await;
        assert_eq!(alices.close_code().await, Some(4001));
        bobs.say("still here").await;
        bobs.expect("bob", "still here").await;
    }
}

const SECRET: &str = "what the host and the chat both know";

/// A user whom the host application signs in.
fn guest(server: &TestServer, name: &str, seconds: i64) -> Person {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({
        "iss": "https://host.example",
        "sub": name,
        "exp": now.checked_add_signed(seconds).unwrap(),
    });
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let token = jsonwebtoken::encode(&Header::default(), &claims, &key).unwrap();
    Person { cookie: format!("auth={token}"), ..Person::new(server.address, name) }
}

#[tokio::test]
async fn a_host_application_signs_its_users_in() {
    let flags = ["--jwt-secret", SECRET, "--external-tokens", "true"];
    let flags = [&flags[..], &["--external-issuer", "https://host.example"]].concat();
    for setup in here([MEMORY, SQLITE, POSTGRES]) {
        let server = TestServer::start_with(setup, &flags).await;
        let (_, mut alice) = server.in_room("alice", "kitchen").await;
        let person = guest(&server, "Гость", 60);
        let me = person.get("/api/me").await.expect_ok().json();
        assert_eq!((&me["username"], &me["role"]), (&json!("Гость"), &json!("member")));
        let mut socket = person.enter("kitchen").await;
        socket.say("hello").await;
        alice.expect("Гость", "hello").await;
        alice.whisper("Гость", "psst").await;
        alice.expect("alice", "psst").await;
        socket.expect("Гость", "hello").await;
        socket.expect("alice", "psst").await;
        // Nobody else can register the name.
        assert_eq!(Person::new(server.address, "Гость").register().await.status, 400);

        let mut short = guest(&server, "short", 8).enter("kitchen").await;
        assert_eq!(short.close_code().await, Some(1008));
        assert_eq!(guest(&server, "late", -1).get("/api/me").await.error(), "invalid token");
        socket.say("still here").await;
        socket.expect("Гость", "still here").await;
    }
}

/// The database tells the server: it does not wait for its next check.
#[tokio::test]
async fn what_another_program_ends_is_closed_at_once() {
    let flags = ["--jwt-secret", SECRET, "--external-tokens", "true", "--session-check-seconds", "86400"];
    for setup in here([POSTGRES]) {
        let server = TestServer::start_with(setup, &flags).await;
        let (_, mut alices) = server.in_room("alice", "kitchen").await;
        let (_, mut bobs) = server.in_room("bob", "garden").await;
        let mut guests = guest(&server, "guest", 600).enter("garden").await;
        let other = Stores::open(&server.database()).await.unwrap();
        let name = |name| Username::parse(name).unwrap();
        assert_eq!(other.sessions.revoke_sessions_of(&name("alice")).await.unwrap().len(), 1);
        assert_eq!(alices.close_code().await, Some(4001));
        let (user, reason) = (name("guest"), String::new());
        let ban = NewBan { user, reason, delete_messages: false, without_account: false };
        other.administration.ban(&ban, None, 1).await.unwrap().unwrap();
        assert_eq!(guests.close_code().await, Some(4001));
        other.close().await;
        bobs.say("still here").await;
        bobs.expect("bob", "still here").await;
    }
}

#[tokio::test]
async fn external_tokens_are_refused_by_default() {
    let server = TestServer::start_with(MEMORY, &["--jwt-secret", SECRET]).await;
    let person = guest(&server, "guest", 60);
    assert_eq!(person.get("/api/me").await.error(), "invalid token");
    assert!(person.open("kitchen").await.is_err());
}

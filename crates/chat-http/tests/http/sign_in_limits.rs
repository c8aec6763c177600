//! The limits on failed sign-ins.

use serde_json::json;

use crate::harness::Chat;

#[tokio::test]
async fn guesses_are_limited_for_the_account_and_the_address() {
    let proxy = "127.0.0.1/32".parse().unwrap();
    let chat = Chat::with(|options| {
        options.sign_in_limits.from_address_max = 3;
        options.sign_in_limits.of_account_max = 8;
        options.trusted_proxies = vec![proxy];
    })
    .await;
    let cookie = chat.sign_in("alice").await;
    chat.register("bob", "password").await;
    let login = async |from: &str, name: &str, password: &str| {
        let body = json!({ "username": name, "password": password }).to_string();
        chat.call("POST", "/api/login", &[("X-Forwarded-For", from)], body.as_bytes()).await
    };
    for name in ["alice", "nobody"] {
        for spelling in [name.to_owned(), format!(" {name}"), name.to_owned()] {
            let reply = login("192.0.2.1", &spelling, "wrong").await;
            assert_eq!(reply.refusal(), (401, "invalid credentials".to_owned()));
        }
        let reply = login("192.0.2.1", name, "wrong").await;
        assert_eq!(reply.refusal(), (429, "too many failed sign-ins, please try again later".to_owned()));
        let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
        assert!((800..=900).contains(&wait), "{wait}");
    }
    assert_eq!(login("192.0.2.1", "alice", "password").await.status, 429, "not even if it is right");
    assert_eq!(login("192.0.2.1", "bob", "password").await.status, 200, "another account");
    assert_eq!(login("192.0.2.2", "alice", "password").await.status, 200, "another address");
    assert_eq!(chat.get("/api/me", &cookie).await.status, 200, "who is signed in stays so");

    // A success forgets the failures of the account from this address.
    for number in 0..2 {
        assert_eq!(login("192.0.2.2", "alice", "wrong").await.status, 401, "{number}");
    }
    assert_eq!(login("192.0.2.2", "alice", "password").await.status, 200);
    // From all addresses: five failures so far, of at most eight.
    for number in 3..6 {
        assert_eq!(login(&format!("192.0.2.{number}"), "alice", "wrong").await.status, 401, "{number}");
    }
    let reply = login("192.0.2.7", "alice", "password").await;
    assert_eq!(reply.status, 429);
    assert!(reply.header("retry-after").unwrap().parse::<u64>().unwrap() > 3_400);
    assert_eq!(login("192.0.2.2", "alice", "password").await.status, 200, "it was there before");
    let sessions = chat.get("/api/sessions", &cookie).await.json();
    let addresses: Vec<_> = sessions["sessions"].as_array().unwrap().iter().map(|s| &s["address"]).collect();
    assert!(addresses.contains(&&json!("192.0.2.2")), "{addresses:?}");
}

#[tokio::test]
async fn what_cannot_be_a_password_does_not_count() {
    let chat = Chat::with(|options| options.sign_in_limits.from_address_max = 3).await;
    chat.register("alice", "password").await;
    for password in ["", &"p".repeat(1025)] {
        for _ in 0..5 {
            assert_eq!(
                chat.login("alice", password).await.refusal(),
                (401, "invalid credentials".to_owned())
            );
        }
    }
    assert_eq!(chat.login("alice", "password").await.status, 200);
}

#[tokio::test]
async fn one_address_tries_only_some_names() {
    let chat = Chat::with(|options| options.sign_in_limits.of_address_max = 5).await;
    let known = chat.sign_in("alice").await;
    chat.register("bob", "password").await;
    for number in 0..5 {
        assert_eq!(chat.login(&format!("name{number}"), "password").await.status, 401);
    }
    let reply = chat.login("bob", "password").await;
    assert_eq!(reply.refusal(), (429, "too many failed sign-ins, please try again later".to_owned()));
    assert_eq!(chat.login("alice", "password").await.status, 200, "who has signed in there before");
    assert_eq!(chat.get("/api/me", &known).await.status, 200);
    let metrics = String::from_utf8(chat.get("/metrics", "").await.body).unwrap();
    assert!(metrics.contains("chat_limit_refusals_total{limit=\"network_failures_max\"} 1"), "{metrics}");
}

#[tokio::test]
async fn a_proxy_on_this_machine_that_is_not_trusted_is_no_address() {
    let chat = Chat::with(|options| options.sign_in_limits.from_address_max = 1).await;
    for status in [401, 429] {
        assert_eq!(chat.login("alice", "wrong").await.status, status);
    }
    for header in ["X-Forwarded-For", "Forwarded", "X-Real-IP"] {
        let body = json!({ "username": "alice", "password": "wrong" }).to_string();
        for _ in 0..3 {
            let reply = chat.call("POST", "/api/login", &[(header, "192.0.2.1")], body.as_bytes()).await;
            assert_eq!(reply.status, 401, "{header}");
        }
    }
}

#[tokio::test]
async fn no_spelling_of_a_name_has_guesses_of_its_own() {
    let chat = Chat::with(|options| options.sign_in_limits.from_address_max = 3).await;
    chat.register("Alice", "password").await;
    for name in ["alice", "nobody"] {
        for spelling in [name.to_owned(), name.to_uppercase(), format!(" {}", &name.replace('o', "O"))] {
            assert_eq!(chat.login(&spelling, "wrong").await.status, 401, "{spelling}");
        }
        for spelling in [name.to_owned(), name.replace('i', "I")] {
            assert_eq!(chat.login(&spelling, "password").await.status, 429, "{spelling}");
        }
    }
}

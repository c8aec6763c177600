//! A chat below a path of its host.

use chat_http::BasePath;
use serde_json::json;

use crate::harness::{Chat, Reply};
use crate::upgrade::handshake;

async fn start() -> Chat {
    Chat::with(|options| options.base_path = BasePath::parse("/team/chat").unwrap()).await
}

async fn get(chat: &Chat, path: &str) -> Reply {
    chat.raw(&chat.request("GET", path, &[("Accept", "text/html")], b"")).await
}

#[tokio::test]
async fn everything_is_below_the_path() {
    let chat = start().await;
    let page = get(&chat, "/team/chat/").await;
    assert_eq!(page.status, 200);
    let page = String::from_utf8(page.body).unwrap();
    let addresses: Vec<_> = page.split("=\"/").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(addresses.len() > 20);
    for address in &addresses {
        assert!(address.starts_with("team/chat/"), "{address}");
    }
    // A debug build prepares each file anew.
    for address in addresses.iter().step_by(20) {
        assert!(address.starts_with("team/chat/"), "{address}");
        let address = format!("/{address}");
        assert_eq!(get(&chat, &address).await.status, 200, "{address}");
    }
    let manifest = get(&chat, "/team/chat/manifest.webmanifest").await.body;
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!((&manifest["scope"], &manifest["start_url"]), (&json!("/team/chat/"), &json!("/team/chat/")));
    assert_eq!(manifest["icons"][0]["src"], "/team/chat/icons/icon.svg");
    let missing = get(&chat, "/team/chat/nothing").await;
    assert!(
        missing.status == 404 && String::from_utf8(missing.body).unwrap().contains("href=\"/team/chat/\"")
    );

    for (path, status) in [
        ("/", 307),
        ("/team/chat", 307),
        ("/team", 404),
        ("/team/chats", 404),
        ("/api/server", 404),
        ("/team/chat/api/server", 200),
        ("/healthz", 200),
        ("/metrics", 200),
        ("/team/chat/healthz", 200),
    ] {
        let reply = get(&chat, path).await;
        assert_eq!(reply.status, status, "{path}");
        if status == 307 {
            assert_eq!(reply.header("location"), Some("/team/chat/"), "{path}");
        }
    }
}

#[tokio::test]
async fn cookies_and_addresses_have_the_path() {
    let chat = start().await;
    let picture = crate::pictures::png();
    let body = crate::harness::form(&[
        ("username", None, b"alice"),
        ("password", None, b"password"),
        ("avatar", Some("a.png"), &picture),
    ]);
    let headers = [("Content-Type", crate::harness::FORM)];
    let request = chat.request("POST", "/team/chat/api/register", &headers, &body);
    assert_eq!(chat.raw(&request).await.status, 200);
    let body = json!({ "username": "alice", "password": "password" }).to_string();
    let login = chat.raw(&chat.request("POST", "/team/chat/api/login", &[], body.as_bytes())).await;
    let cookie = login.header("set-cookie").unwrap();
    assert!(cookie.contains("; Path=/team/chat;"), "{cookie}");
    let avatar = login.json()["avatar"].as_str().unwrap().to_owned();
    assert!(avatar.starts_with("/team/chat/uploads/"), "{avatar}");
    assert_eq!(get(&chat, &avatar).await.status, 200);
    let cookie = cookie.split(';').next().unwrap().to_owned();

    let me = chat.raw(&chat.request("GET", "/team/chat/api/me", &[("Cookie", &cookie)], b"")).await;
    assert_eq!(me.json()["avatar"], json!(avatar));
    let users = chat.raw(&chat.request("GET", "/team/chat/api/users", &[("Cookie", &cookie)], b"")).await;
    assert_eq!(users.json()["users"][0]["avatar"], json!(avatar));
    let mut stream = chat.connect().await;
    let request = handshake(&chat, "/team/chat/ws?room=a", &[("Cookie", &cookie)]);
    tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.unwrap();
    assert_eq!(Reply::read_head(&mut stream).await.status, 101);
}

#[tokio::test]
async fn who_signs_in_elsewhere_has_no_password_here() {
    let chat = Chat::with(|options| options.sign_in_url = Some("/sign-in".to_owned())).await;
    assert_eq!(chat.login("alice", "password").await.status, 404);
    assert_eq!(chat.register("alice", "password").await.status, 404);
    assert_eq!(chat.get("/api/server", "").await.json()["sign_in_url"], "/sign-in");
}

//! What administrators and moderators do.

use std::time::Duration;

use chat_core::{SecretHash, Username};
use chat_http::Registration;
use chat_store::{
    AdministrationRepository as _, EventLog as _, NewBan, NewInvite, NewUser, UserRepository as _,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;

use crate::external_tokens::{signed, with_external_tokens};
use crate::harness::{Chat, Reply, now};
use crate::pictures::png;
use crate::rooms::{path, promote};
use crate::upgrade::only_handshake;
use crate::wire::Wire;

/// A chat with the administrator `root`, and the cookie of that user.
async fn administered(change: impl FnOnce(&mut chat_http::HttpOptions)) -> (Chat, String) {
    let chat = Chat::with(change).await;
    let root = chat.sign_in("anna").await;
    promote(&chat, "anna").await;
    (chat, root)
}

fn done(reply: &Reply) {
    assert_eq!((reply.status, reply.json()), (200, json!({})), "{reply:?}");
}

/// The actions in the audit log with their targets, the oldest first.
async fn audit(chat: &Chat, cookie: &str) -> Vec<(String, String)> {
    let reply = chat.get("/api/audit", cookie).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let json = reply.json();
    let mut entries: Vec<(String, String)> = json["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            let text = |key: &str| entry[key].as_str().unwrap().to_owned();
            assert!(
                entry["by"] == "server" || entry["at"].as_u64().unwrap().abs_diff(now()) < 600,
                "{entry}"
            );
            (text("action"), text("target"))
        })
        .collect();
    entries.reverse();
    entries
}

#[tokio::test]
async fn only_administrators_administer() {
    let chat = with_external_tokens().await;
    chat.register("anna", "password").await;
    promote(&chat, "anna").await;
    let alice = chat.sign_in("alice").await;
    chat.register("bob", "password").await;
    let external = signed(&json!({ "sub": "anna", "exp": now() + 600 }));
    for (method, path, body) in [
        ("PATCH", "/api/server", json!({ "title": "Mine" })),
        ("DELETE", "/api/server/logo", json!({})),
        ("POST", "/api/invites", json!({})),
        ("GET", "/api/bans", json!({})),
        ("PUT", "/api/users/bob/ban", json!({})),
        ("DELETE", "/api/users/bob/ban", json!({})),
        ("PATCH", "/api/users/bob", json!({ "role": "administrator" })),
        ("POST", "/api/users/bob/password", json!({})),
        ("GET", "/api/audit", json!({})),
    ] {
        for cookie in [&alice, &external] {
            let reply = chat.json(method, path, cookie, body.clone()).await;
            assert_eq!(
                reply.refusal(),
                (403, "only administrators may do this".to_owned()),
                "{method} {path}"
            );
        }
        assert_eq!(chat.json(method, path, "", body).await.status, 401, "{method} {path}");
    }
}

#[tokio::test]
async fn the_set_up_code_makes_the_first_administrator_and_no_other() {
    let chat = Chat::start().await;
    let alice = chat.sign_in("alice").await;
    let bob = chat.sign_in("bob").await;
    assert_eq!(chat.get("/api/server", "").await.json()["setup"], true);
    let code = crate::harness::tokens().set_up_code(0);
    let set_up = |code: String, cookie: String| {
        let chat = &chat;
        async move { chat.json("POST", "/api/setup", &cookie, json!({ "code": code })).await }
    };
    assert_eq!(set_up(code.clone(), String::new()).await.status, 401);
    assert_eq!(set_up("AAAA-AAAA-AAAA-AAAA".to_owned(), alice.clone()).await.status, 404);
    assert_eq!(set_up(String::new(), alice.clone()).await.status, 404);

    let typed = format!(" {} ", code.to_lowercase().replace('-', " "));
    done(&set_up(typed, alice.clone()).await);
    assert_eq!(chat.get("/api/server", "").await.json()["setup"], false);
    done(&set_up(code.clone(), alice.clone()).await);
    assert_eq!(set_up(code.clone(), bob.clone()).await.status, 404, "there is an administrator");
    assert_eq!(chat.get("/api/me", &alice).await.json()["role"], "administrator");
    assert_eq!(audit(&chat, &alice).await[0], ("setup".to_owned(), "alice".to_owned()));
    // The code was used, also if the administrator goes. The next start prints another one.
    chat.store.memory.remove_user(&Username::known("alice").unwrap()).await.unwrap();
    assert_eq!(set_up(code, bob.clone()).await.status, 404);
    let round = chat.store.memory.set_up_round().await.unwrap();
    done(&set_up(crate::harness::tokens().set_up_code(round), bob).await);
}

#[tokio::test]
async fn administrators_change_the_profile_of_the_server() {
    let (chat, root) = administered(|options| options.title = "Set".to_owned()).await;
    assert_eq!(chat.get("/api/server", "").await.json()["title"], "Set");
    let changes = json!({ "title": " Наш чат ", "welcome": "Hello\n", "accent": "teal" });
    done(&chat.json("PATCH", "/api/server", &root, changes).await);
    for refused in [
        json!({ "title": " " }),
        json!({ "title": "x".repeat(65) }),
        json!({ "welcome": "x".repeat(501) }),
        json!({ "accent": "beige" }),
        json!([]),
    ] {
        let reply = chat.json("PATCH", "/api/server", &root, refused.clone()).await;
        assert_eq!(reply.status, 400, "{refused}");
    }

    let form = crate::harness::form(&[("logo", Some("logo.png"), &png())]);
    let headers = [("Cookie", root.as_str()), ("Content-Type", crate::harness::FORM)];
    let own_icon = chat.get("/icons/icon-192.png", "").await;
    done(&chat.call("PUT", "/api/server/logo", &headers, &form).await);
    let empty = crate::harness::form(&[("other", Some("logo.png"), &png())]);
    let refused = chat.call("PUT", "/api/server/logo", &headers, &empty).await;
    assert_eq!(refused.refusal(), (400, "a picture is required in the field logo".to_owned()));

    let server = chat.get("/api/server", "").await.json();
    assert_eq!((&server["title"], &server["accent"]), (&json!("Наш чат"), &json!("teal")), "{server}");
    let logo = chat.get(server["logo"].as_str().unwrap(), "").await;
    assert_eq!((logo.status, logo.header("content-type")), (200, Some("image/webp")));
    let etag = logo.header("etag").unwrap().to_owned();
    let known = chat.call("GET", "/api/server/logo", &[("If-None-Match", &etag)], b"").await;
    assert_eq!((known.status, known.body.len()), (304, 0));
    // The icon of home screens and notifications is the logo, too, and a PNG.
    let icon = chat.get("/icons/icon-192.png", "").await;
    assert_eq!((icon.status, icon.header("content-type")), (200, Some("image/png")));
    assert!(icon.body.starts_with(b"\x89PNG") && icon.body != own_icon.body);
    assert_ne!(icon.header("etag"), own_icon.header("etag"));
    done(&chat.json("DELETE", "/api/server/logo", &root, json!({})).await);
    assert_eq!(chat.get("/api/server", "").await.json()["logo"], Value::Null);
    assert_eq!(chat.get("/icons/icon-192.png", "").await.body, own_icon.body);

    let actions: Vec<_> = audit(&chat, &root).await.into_iter().map(|(action, _)| action).collect();
    assert_eq!(actions, ["user.role", "server.change", "server.change", "server.change"]);
}

#[tokio::test]
async fn an_invitation_makes_its_user_a_member_as_often_as_it_says() {
    let chat = Chat::start().await;
    let (alice, bob, carol) =
        (chat.sign_in("alice").await, chat.sign_in("bob").await, chat.sign_in("carol").await);
    let room = chat.create_room(&alice, json!({ "title": "Kitchen", "access": "closed" })).await;
    let invite = json!({ "room": room, "uses": 1, "days": 2 });
    assert_eq!(chat.json("POST", "/api/invites", &bob, invite.clone()).await.status, 403, "no member");
    let made = chat.json("POST", "/api/invites", &alice, invite).await;
    assert_eq!(made.status, 201, "{made:?}");
    let made = made.json();
    assert_eq!((&made["title"], &made["uses"], &made["used"]), (&json!("Kitchen"), &json!(1), &json!(0)));
    let secret = made["secret"].as_str().unwrap();
    assert_eq!(made["url"], format!("/join/{secret}"));
    let join = format!("/api/join/{secret}");

    let shown = chat.get(&join, "").await.json();
    assert_eq!(shown, json!({ "by": "alice", "avatar": "", "title": "Kitchen", "to_room": true }));
    assert_eq!(chat.json("POST", &join, "", json!({})).await.status, 401);
    // Somebody who is a member uses nothing.
    assert_eq!(chat.json("POST", &join, &alice, json!({})).await.json(), json!({ "room": room }));
    assert_eq!(chat.json("POST", &join, &bob, json!({})).await.json(), json!({ "room": room }));
    assert_eq!(chat.get(&path(&room), &bob).await.status, 200);
    let unknown = format!("/api/join/{}", "0".repeat(32));
    for path in [&join, &unknown] {
        let sentence = (404, "this link or code is not valid (any more)".to_owned());
        assert_eq!(chat.json("POST", path, &carol, json!({})).await.refusal(), sentence);
        assert_eq!(chat.get(path, "").await.refusal(), sentence);
    }
    assert_eq!(chat.get(&path(&room), &carol).await.status, 403);
}

#[tokio::test]
async fn an_invitation_is_listed_and_withdrawn() {
    let (chat, root) = administered(|_| ()).await;
    let (alice, bob) = (chat.sign_in("alice").await, chat.sign_in("bob").await);
    let room = chat.create_room(&alice, json!({ "title": "Garden" })).await;
    let made = chat.json("POST", "/api/invites", &alice, json!({ "room": room })).await.json();
    let id = made["id"].as_str().unwrap();
    let listed = |reply: Reply| reply.json()["invites"].as_array().unwrap().len();
    assert_eq!(listed(chat.get("/api/invites", &alice).await), 1);
    assert_eq!(listed(chat.get("/api/invites", &bob).await), 0);
    assert_eq!(listed(chat.get("/api/invites", &root).await), 1);
    assert!(
        !chat.get("/api/invites", &root).await.json().to_string().contains(made["secret"].as_str().unwrap())
    );

    let withdraw = format!("/api/invites/{id}");
    assert_eq!(chat.json("DELETE", &withdraw, &bob, json!({})).await.status, 404);
    done(&chat.json("DELETE", &withdraw, &root, json!({})).await);
    assert_eq!(chat.json("DELETE", &withdraw, &alice, json!({})).await.status, 404);
    let join = format!("/api/join/{}", made["secret"].as_str().unwrap());
    assert_eq!(chat.get(&join, "").await.status, 404);
    for refused in
        [json!({ "uses": 0 }), json!({ "uses": 10_001 }), json!({ "days": 0 }), json!({ "days": 366 })]
    {
        assert_eq!(chat.json("POST", "/api/invites", &root, refused.clone()).await.status, 400, "{refused}");
    }
}

#[tokio::test]
async fn moderators_see_and_withdraw_the_invitations_to_their_rooms() {
    let (chat, root) = administered(|_| ()).await;
    let (alice, bob) = (chat.sign_in("alice").await, chat.sign_in("bob").await);
    let (carol, dave) = (chat.sign_in("carol").await, chat.sign_in("dave").await);
    let closed = json!({ "title": "Cellar", "access": "closed", "members": ["bob", "carol"] });
    let room = chat.create_room(&alice, closed).await;
    let made = chat.json("POST", "/api/invites", &bob, json!({ "room": room })).await.json();
    let (id, secret) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());

    let list = format!("/api/invites?room={}", crate::rooms::encoded(&room));
    let listed = chat.get(&list, &alice).await.json();
    assert_eq!((&listed["invites"][0]["id"], &listed["invites"][0]["title"]), (&json!(id), &json!("Cellar")));
    for other in [&bob, &dave, &root] {
        assert_eq!(chat.get(&list, other).await.status, 403, "no moderator of the closed room");
    }
    assert_eq!(chat.get("/api/invites?room=nowhere", &root).await.status, 404);

    // Carol, whom the moderator removes, does not come back until a member adds her.
    let member = format!("{}/members/carol", path(&room));
    assert_eq!(chat.json("DELETE", &member, &alice, json!({})).await.status, 200);
    let join = format!("/api/join/{secret}");
    assert_eq!(chat.json("POST", &join, &carol, json!({})).await.status, 404);
    assert_eq!(chat.get(&path(&room), &carol).await.status, 403);
    assert_eq!(chat.json("POST", &join, &dave, json!({})).await.status, 200);
    assert_eq!(chat.json("PUT", &member, &bob, json!({})).await.status, 200);
    assert_eq!(chat.json("POST", &join, &carol, json!({})).await.status, 200);

    let withdraw = format!("/api/invites/{id}");
    assert_eq!(chat.json("DELETE", &withdraw, &carol, json!({})).await.status, 404, "no moderator");
    done(&chat.json("DELETE", &withdraw, &alice, json!({})).await);
    assert_eq!(chat.get(&list, &alice).await.json()["invites"], json!([]));
}

#[tokio::test]
async fn administrators_list_their_own_invitations_first_and_all_that_they_may_see_in_pages() {
    let (chat, root) = administered(|options| options.lists_per_minute = 9).await;
    let people = ["b1", "b2", "b3"];
    let mut cookies = Vec::new();
    for name in people {
        cookies.push(chat.sign_in(name).await);
    }
    chat.create_room(&cookies[0], json!({ "name": "garden", "title": "Garden", "members": people })).await;
    let closed = json!({ "title": "Cellar", "access": "closed", "members": people });
    let closed = chat.create_room(&cookies[0], closed).await;
    let made = |number: u16, by: &str, room: Option<&str>| {
        let id = format!("{number:016x}");
        NewInvite {
            secret: SecretHash::from_bytes(Sha256::digest(&id).into()),
            id,
            by: Username::known(by).unwrap(),
            room: room.map(|room| chat_core::RoomName::parse(room).unwrap()),
            uses_max: None,
            created_at_ms: 1000 * u64::from(number),
            expires_at_ms: None,
        }
    };
    let mut number = 0;
    // The oldest are one's own, and the newest those that are not shown.
    for (by, room, count) in [
        ("anna", None, 2),
        ("b1", Some("garden"), 100),
        ("b2", Some("garden"), 99),
        ("b3", Some(closed.as_str()), 100),
    ] {
        for _ in 0..count {
            number += 1;
            let invite = made(number, by, room);
            chat.store.memory.create_invite(&invite).await.unwrap().unwrap();
        }
    }
    let by = |page: &Value| {
        let invites = page["invites"].as_array().unwrap().iter();
        invites.map(|invite| invite["by"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let first = chat.get("/api/invites", &root).await.json();
    let (listed, next) = (by(&first), first["next"].as_str().unwrap());
    assert_eq!((listed.len(), &*listed[0], &*listed[1], &*listed[2]), (200, "anna", "anna", "b2"));
    let rest = chat.get(&format!("/api/invites?after={next}"), &root).await.json();
    assert_eq!((by(&rest), rest.get("next")), (vec!["b1".to_owned()], None));
    let own = chat.get("/api/invites", &cookies[2]).await.json();
    assert_eq!((by(&own), own.get("next")), (vec!["b3".to_owned(); 100], None));
    assert_eq!(chat.get("/api/invites?after=x", &root).await.status, 400);
    // The calls of a user are counted.
    let mut statuses = Vec::new();
    for _ in 0..9 {
        statuses.push(chat.get("/api/invites", &root).await.status);
    }
    assert!(statuses.contains(&429), "{statuses:?}");
}

#[tokio::test]
async fn who_has_no_invitation_cannot_register_where_one_is_needed() {
    let chat = Chat::with(|options| options.registration = Registration::Invite).await;
    let secret = "00112233445566778899aabbccddeeff";
    let invite = NewInvite {
        id: "id".to_owned(),
        secret: SecretHash::from_bytes(Sha256::digest(secret).into()),
        by: Username::known("anna").unwrap(),
        room: None,
        uses_max: Some(1),
        created_at_ms: 1,
        expires_at_ms: None,
    };
    let password_hash = "$argon2id$x".to_owned();
    let anna = NewUser { name: invite.by.clone(), password_hash, avatar: None, created_at_ms: 1 };
    chat.store.memory.create_user(&anna).await.unwrap();
    promote(&chat, "anna").await;
    chat.store.memory.create_invite(&invite).await.unwrap().unwrap();
    assert_eq!(chat.get("/api/server", "").await.json()["registration"], "invite");
    let refused = chat.register("bob", "password").await;
    assert_eq!(refused.refusal(), (403, "an invitation is needed to register here".to_owned()));
    let register = |name: &'static str, secret: String| {
        let chat = &chat;
        async move {
            let fields: [(&str, Option<&str>, &[u8]); 3] = [
                ("username", None, name.as_bytes()),
                ("password", None, b"a long one"),
                ("invite", None, secret.as_bytes()),
            ];
            chat.register_form(&fields).await
        }
    };
    assert_eq!(register("bob", "0".repeat(32)).await.status, 404);
    assert_eq!(register("bob", secret.to_owned()).await.status, 200);
    assert_eq!(register("carol", secret.to_owned()).await.status, 404, "it was used");
}

#[tokio::test]
async fn a_ban_ends_sessions_and_sockets_and_refuses_sign_ins() {
    let (chat, root) = administered(|_| ()).await;
    let bob = chat.sign_in("bob").await;
    let mut socket = Wire::open_v2(&chat, &bob).await;
    done(&chat.json("PUT", "/api/users/bob/ban", &root, json!({ "reason": "Spam" })).await);
    assert_eq!(socket.close_code().await, Some(4001));
    assert_eq!(chat.get("/api/me", &bob).await.status, 401);
    let refused = chat.login("bob", "password").await;
    assert_eq!(refused.refusal(), (403, "this account is banned here".to_owned()));
    assert_eq!(chat.login("bob", "another").await.status, 401, "a wrong password says nothing of the ban");

    let listed = chat.get("/api/bans", &root).await.json();
    assert_eq!(listed["bans"][0]["username"], "bob", "{listed}");
    assert_eq!(listed["bans"][0]["reason"], "Spam");
    let hers = chat.sign_in("carol").await;
    for path in ["/api/users", "/api/users?name=anna&name=bob&name=carol"] {
        let listed = chat.get(path, &root).await.json();
        let shown = |user: &Value| {
            let text = |field: &str| user[field].as_str().unwrap().to_owned();
            (text("username"), text("role"), user["banned"].as_bool().unwrap())
        };
        let user = |name: &str, role: &str, banned| (name.to_owned(), role.to_owned(), banned);
        let shown: Vec<_> = listed["users"].as_array().unwrap().iter().map(shown).collect();
        let (bob, carol) = (user("bob", "member", true), user("carol", "member", false));
        assert_eq!(shown, [user("anna", "administrator", false), bob, carol], "{listed}");
        let ban = &listed["users"][1]["ban"];
        assert_eq!(
            (&ban["by"], &ban["reason"], &ban["deleting"]),
            (&json!("anna"), &json!("Spam"), &json!(false))
        );
        let to_carol = chat.get(path, &hers).await.json();
        let fields: Vec<_> = to_carol["users"][0].as_object().unwrap().keys().collect();
        assert_eq!(fields, ["avatar", "online", "username"], "members see no roles and no bans");
    }
    done(&chat.json("DELETE", "/api/users/bob/ban", &root, json!({})).await);
    done(&chat.json("DELETE", "/api/users/bob/ban", &root, json!({})).await);
    assert_eq!(chat.login("bob", "password").await.status, 200);
    let audit = audit(&chat, &root).await;
    let of_bob = |action: &str| (action.to_owned(), "bob".to_owned());
    assert_eq!(audit[1..], [of_bob("user.ban"), of_bob("user.unban")]);
}

/// Sends a frame with a new nonce, and returns the number that it gets.
async fn stored(socket: &mut Wire, mut frame: Value) -> u64 {
    frame["nonce"] = json!(format!("{:016x}", rand::random::<u64>()));
    socket.send(&frame).await;
    socket.next_of("ack").await["seq"].as_u64().unwrap()
}

async fn until_deleted(chat: &Chat, root: &str) {
    let deleted = async {
        while chat.get("/api/bans", root).await.json()["bans"][0]["deleting"] == true {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), deleted).await.expect("the deletion ends");
}

#[tokio::test]
async fn a_ban_deletes_all_messages_of_the_user() {
    let settle = Duration::from_secs(6);
    let (chat, root) = administered(|options| options.deletion_settle = settle).await;
    let (alice, bob) = (chat.sign_in("alice").await, chat.sign_in("bob").await);
    let closed = json!({ "title": "Cellar", "access": "closed", "members": ["alice"] });
    let cellar = chat.create_room(&bob, closed).await;
    let attic = chat.create_room(&bob, json!({ "title": "Attic", "members": ["alice"] })).await;
    let (mut hers, mut his) = (Wire::open_v2(&chat, &alice).await, Wire::open_v2(&chat, &bob).await);
    for room in ["tech", &cellar, &attic] {
        for socket in [&mut hers, &mut his] {
            socket.send(&json!({ "type": "join", "room": room })).await;
            socket.next_of("joined").await;
        }
    }
    let uploaded = chat.call("POST", "/api/files?name=a.txt", &[("Cookie", &bob)], b"spam").await;
    let file = uploaded.json()["id"].as_str().unwrap().to_owned();
    for room in ["tech", &cellar, &attic] {
        let frame = json!({ "type": "message", "room": room, "text": "buy this" });
        assert_eq!(stored(&mut his, frame).await, 1);
        stored(&mut hers, json!({ "type": "message", "room": room, "text": "do not buy" })).await;
    }
    let with_file = json!({ "type": "message", "room": "tech", "text": "buy", "files": [file] });
    assert_eq!(stored(&mut his, with_file).await, 3);
    stored(&mut his, json!({ "type": "private", "to": "alice", "text": "buy this" })).await;
    stored(&mut hers, json!({ "type": "private", "to": "bob", "text": "do not buy" })).await;
    assert_eq!(chat.get(&format!("/files/{file}/a.txt"), &alice).await.status, 200);
    assert_eq!(chat.json("PATCH", &path(&attic), &bob, json!({ "archived": true })).await.status, 200);
    done(&chat.json("DELETE", &format!("{}/membership", path(&cellar)), &bob, json!({})).await);

    let banned = chat.json("PUT", "/api/users/bob/ban", &root, json!({ "delete_messages": true })).await;
    assert_eq!((banned.status, banned.json()), (202, json!({})));
    assert_eq!(his.close_code().await, Some(4001));
    // A message that was on its way to the log at the time of the ban comes after the first pass.
    let late = |seq: u64| chat_core::Draft {
        id: chat_core::DraftId(seq),
        topic: chat_core::Topic::Room(chat_core::RoomName::parse("tech").unwrap()),
        from: Username::known("bob").unwrap(),
        room: None,
        body: chat_core::Body::message(chat_core::MessageText::stored("buy late")),
        files: Vec::new(),
        nonce: None,
        check: true,
        may_administer: false,
        by_server: false,
        refused: None,
        rules: chat_core::ChangeRules::default(),
    };
    let mut gone = Vec::new();
    while gone.len() < 5 {
        let frame = hers.next_of("delete").await;
        assert_eq!(frame["from"], "bob", "{frame}");
        gone.push((frame["room"].as_str().unwrap_or("bob").to_owned(), frame["target"].as_u64().unwrap()));
    }
    let listed = chat.get("/api/bans", &root).await.json();
    assert_eq!(listed["bans"][0]["deleting"], true, "{listed}");
    chat.store.memory.append(&[late(1)], now() * 1000).await.unwrap();
    gone.sort();
    let mut expected = vec![
        ("tech".to_owned(), 1),
        ("tech".to_owned(), 3),
        (cellar.clone(), 1),
        (attic, 1),
        ("bob".to_owned(), 1),
    ];
    expected.sort();
    assert_eq!(gone, expected);
    until_deleted(&chat, &root).await;

    assert_eq!(chat.get(&format!("/files/{file}/a.txt"), &alice).await.status, 404);
    let found = chat.get("/api/search?q=buy", &alice).await.json();
    let found = found["results"].as_array().unwrap();
    assert_eq!((found.len(), found.iter().all(|found| found["from"] == "alice")), (4, true), "{found:?}");
    let mut again = Wire::open_v2(&chat, &alice).await;
    again.send(&json!({ "type": "join", "room": "tech", "fold": true })).await;
    again.next_of("joined").await;
    let mut messages = Vec::new();
    for _ in 0..4 {
        let frame = again.next_of("message").await;
        messages.push((frame["from"].as_str().unwrap().to_owned(), frame["deleted"] == true));
    }
    let [mine, his] = [("alice".to_owned(), false), ("bob".to_owned(), true)];
    assert_eq!(messages, [his.clone(), mine, his.clone(), his]);
    // The ban that deletes may end: he writes again.
    done(&chat.json("DELETE", "/api/users/bob/ban", &root, json!({})).await);
    assert_eq!(chat.login("bob", "password").await.status, 200);
}

#[tokio::test]
async fn a_ban_that_ends_stops_its_deletion() {
    let (chat, root) = administered(|options| options.deletion_settle = Duration::from_secs(600)).await;
    let (alice, bob) = (chat.sign_in("alice").await, chat.sign_in("bob").await);
    let (mut hers, mut his) = (Wire::open_v2(&chat, &alice).await, Wire::open_v2(&chat, &bob).await);
    for socket in [&mut hers, &mut his] {
        socket.send(&json!({ "type": "join", "room": "tech" })).await;
        socket.next_of("joined").await;
    }
    stored(&mut his, json!({ "type": "message", "room": "tech", "text": "one" })).await;
    let order = json!({ "delete_messages": true });
    assert_eq!(chat.json("PUT", "/api/users/bob/ban", &root, order.clone()).await.status, 202);
    assert_eq!(hers.next_of("delete").await["target"], 1);
    done(&chat.json("DELETE", "/api/users/bob/ban", &root, json!({})).await);
    let reply = chat.login("bob", "password").await;
    let cookie = reply.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let mut his = Wire::open_v2(&chat, &cookie).await;
    his.send(&json!({ "type": "join", "room": "tech" })).await;
    his.next_of("joined").await;
    let kept = stored(&mut his, json!({ "type": "message", "room": "tech", "text": "two" })).await;
    // Several looks of the server later.
    tokio::time::sleep(Duration::from_secs(4)).await;
    hers.send(&json!({ "type": "history", "room": "tech", "seqs": [1, kept] })).await;
    let page = hers.next_of("history").await;
    let texts: Vec<_> = page["messages"].as_array().unwrap().iter().map(|frame| &frame["text"]).collect();
    assert_eq!(texts, [&json!(""), &json!("two")], "{page}");
    // Another ban is another deletion.
    assert_eq!(chat.json("PUT", "/api/users/bob/ban", &root, order).await.status, 202);
    assert_eq!(hers.next_of("delete").await["target"], kept);
}

#[tokio::test]
async fn a_ban_refuses_the_tokens_of_another_issuer() {
    let chat = with_external_tokens().await;
    chat.register("bob", "password").await;
    let external = signed(&json!({ "sub": "bob", "exp": now() + 600 }));
    assert_eq!(chat.get("/api/me", &external).await.status, 200);
    let ban = NewBan {
        user: Username::known("bob").unwrap(),
        reason: String::new(),
        delete_messages: false,
        without_account: false,
    };
    chat.store.memory.ban(&ban, None, 1).await.unwrap().unwrap();
    assert_eq!(chat.get("/api/me", &external).await.status, 401);
    let handshake = only_handshake(&chat, "/ws", &[("Cookie", &external)]);
    assert_eq!(chat.raw(handshake.as_bytes()).await.status, 401);
}

#[tokio::test]
async fn a_ban_closes_the_sockets_of_users_of_another_issuer() {
    let chat = with_external_tokens().await;
    let root = chat.sign_in("anna").await;
    promote(&chat, "anna").await;
    let external = |sub: &str| signed(&json!({ "sub": sub, "exp": now() + 600 }));
    let (eve, mallory) = (external("eve"), external("mallory"));
    let mut hers = Wire::open_v2(&chat, &eve).await;
    let mut v1 = Wire::open(&chat, "tech", &eve).await;
    let mut other = Wire::open_v2(&chat, &mallory).await;
    done(&chat.json("PUT", "/api/users/eve/ban", &root, json!({})).await);
    assert_eq!(hers.close_code().await, Some(4001));
    assert_eq!(v1.close_code().await, Some(4001));
    other.is_open().await;
    // A user who has not been here yet has no account.
    assert_eq!(chat.get("/api/me", &external("trent")).await.status, 200);
    done(&chat.json("PUT", "/api/users/trent/ban", &root, json!({})).await);
    assert_eq!(chat.get("/api/me", &external("trent")).await.status, 401);
    done(&chat.json("DELETE", "/api/users/eve/ban", &root, json!({})).await);
    Wire::open_v2(&chat, &eve).await.is_open().await;
}

#[tokio::test]
async fn a_ban_by_another_process_closes_the_sockets_of_another_issuers_users_at_the_next_check() {
    let options = chat_auth::TokenOptions { accept_external: true, ..chat_auth::TokenOptions::default() };
    let tokens = crate::harness::tokens_with(options);
    let chat = Chat::with_auth(chat_auth::PasswordsOptions::default(), tokens, |options| {
        options.session_check_interval = Duration::from_millis(100);
    })
    .await;
    let eve = signed(&json!({ "sub": "eve", "exp": now() + 600 }));
    let mut hers = Wire::open_v2(&chat, &eve).await;
    let eve = Username::known("eve").unwrap();
    let ban = NewBan { user: eve, reason: String::new(), delete_messages: false, without_account: false };
    chat.store.memory.ban(&ban, None, 1).await.unwrap().unwrap();
    assert_eq!(hers.close_code().await, Some(4001));
}

#[tokio::test]
async fn an_account_of_another_issuer_gets_no_password_and_no_role() {
    let chat = with_external_tokens().await;
    let root = chat.sign_in("anna").await;
    promote(&chat, "anna").await;
    let eve = signed(&json!({ "sub": "eve", "exp": now() + 600 }));
    Wire::open_v2(&chat, &eve).await.is_open().await;
    let sentence = "this account has no password here: another server signs the user in";
    for (method, path) in [("POST", "/api/users/eve/password"), ("PATCH", "/api/users/eve")] {
        let reply = chat.json(method, path, &root, json!({ "role": "administrator" })).await;
        assert_eq!(reply.refusal(), (409, sentence.to_owned()), "{method}");
        let path = path.replace("eve", "nobody");
        assert_eq!(chat.json(method, &path, &root, json!({ "role": "administrator" })).await.status, 404);
    }
}

#[tokio::test]
async fn nobody_passes_for_the_operator() {
    let chat = with_external_tokens().await;
    for name in ["server", "Server 1"] {
        let token = signed(&json!({ "sub": name, "exp": now() + 600 }));
        assert_eq!(chat.get("/api/me", &token).await.status, 401, "{name}");
    }
    assert_eq!(chat.register("server", "password").await.status, 400);
}

#[tokio::test]
async fn administrators_are_demoted_before_they_are_banned_and_the_last_one_stays() {
    let (chat, root) = administered(|_| ()).await;
    let bob = chat.sign_in("bob").await;
    let role = |role: &str| json!({ "role": role });
    assert_eq!(
        chat.json("PATCH", "/api/users/anna", &root, role("member")).await.status,
        409,
        "the last one"
    );
    done(&chat.json("PATCH", "/api/users/bob", &root, role("administrator")).await);
    assert_eq!(chat.get("/api/me", &bob).await.json()["role"], "administrator");
    let refused = chat.json("PUT", "/api/users/bob/ban", &root, json!({})).await;
    assert_eq!(refused.status, 409, "{refused:?}");
    done(&chat.json("PATCH", "/api/users/bob", &root, role("member")).await);
    assert_eq!(chat.get("/api/me", &bob).await.json()["role"], "member");
    done(&chat.json("PUT", "/api/users/bob/ban", &root, json!({})).await);
    let refused = chat.json("PATCH", "/api/users/bob", &root, role("administrator")).await;
    assert_eq!(refused.refusal().1, "a banned user cannot become an administrator");
    for (method, path) in [("PUT", "/api/users/nobody/ban"), ("PATCH", "/api/users/nobody")] {
        let reply = chat.json(method, path, &root, role("administrator")).await;
        assert_eq!(reply.status, 404, "{method} {path}");
    }
    assert_eq!(chat.json("PATCH", "/api/users/bob", &root, role("king")).await.status, 400);
}

#[tokio::test]
async fn sockets_learn_a_new_role_at_once() {
    let (chat, root) = administered(|_| ()).await;
    let bob = chat.sign_in("bob").await;
    let mut socket = Wire::open_v2(&chat, &bob).await;
    for role in ["administrator", "member"] {
        done(&chat.json("PATCH", "/api/users/bob", &root, json!({ "role": role })).await);
        assert_eq!(socket.next_of("rights").await["role"], role);
    }
}

#[tokio::test]
async fn a_role_that_ends_while_a_body_arrives_does_not_count() {
    let (chat, root) = administered(|_| ()).await;
    chat.register("bob", "password").await;
    promote(&chat, "bob").await;
    chat.register("eve", "password").await;
    let headers = [("Cookie", root.as_str()), ("Content-Type", "application/json")];
    let request = chat.request("PATCH", "/api/users/eve", &headers, br#"{"role":"administrator"}"#);
    let (most, last) = request.split_at(request.len() - 1);
    let mut stream = chat.connect().await;
    stream.write_all(most).await.unwrap();
    // The server has read the head, and waits for the last byte.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let (anna, eve) = (Username::known("anna").unwrap(), Username::known("eve").unwrap());
    chat.store.memory.set_administrator(&anna, false, 2).await.unwrap();
    stream.write_all(last).await.unwrap();
    assert_eq!(Reply::read(&mut stream).await.status, 403);
    assert!(!chat.store.memory.is_administrator(&eve).await.unwrap());
}

#[tokio::test]
async fn a_link_sets_a_password_once() {
    let (chat, root) = administered(|_| ()).await;
    let bob = chat.sign_in("bob").await;
    let made = chat.json("POST", "/api/users/bob/password", &root, json!({})).await;
    assert_eq!(made.status, 201, "{made:?}");
    let earlier = made.json()["secret"].as_str().unwrap().to_owned();
    let made = chat.json("POST", "/api/users/bob/password", &root, json!({})).await.json();
    assert!(made["expires"].as_u64().unwrap().abs_diff(now() + 24 * 60 * 60) < 600, "{made}");
    let secret = made["secret"].as_str().unwrap().to_owned();
    let set = |secret: &str, new: &str| {
        let (chat, body) = (&chat, json!({ "secret": secret, "new": new }));
        async move { chat.json("POST", "/api/password", "", body).await }
    };
    assert_eq!(set(&earlier, "another one").await.status, 404, "it was replaced");
    assert_eq!(set(&secret, "bob").await.status, 400, "the link can still be used");
    done(&set(&secret, "another one").await);
    assert_eq!(set(&secret, "a third one").await.status, 404);
    assert_eq!(chat.get("/api/me", &bob).await.status, 401, "all sessions have ended");
    assert_eq!(chat.login("bob", "password").await.status, 401);
    assert_eq!(chat.login("bob", "another one").await.status, 200);
    assert_eq!(chat.json("POST", "/api/users/nobody/password", &root, json!({})).await.status, 404);
}

#[tokio::test]
async fn reports_reach_moderators_and_administrators() {
    let (chat, root) = administered(|_| ()).await;
    let (alice, bob, carol) =
        (chat.sign_in("alice").await, chat.sign_in("bob").await, chat.sign_in("carol").await);
    let room =
        chat.create_room(&alice, json!({ "title": "Kitchen", "access": "closed", "members": ["bob"] })).await;
    let mut socket = Wire::open_v2(&chat, &bob).await;
    socket.send(&json!({ "type": "join", "room": room })).await;
    socket.next_of("joined").await;
    socket.send(&json!({ "type": "message", "room": room, "text": "Buy this", "nonce": "n" })).await;
    socket.next_of("ack").await;
    let report = |reason: &str| json!({ "room": room, "seq": 1, "reason": reason });
    assert_eq!(
        chat.json("POST", "/api/reports", &carol, report("Spam")).await.status,
        403,
        "may not read it"
    );
    assert_eq!(chat.json("POST", "/api/reports", &alice, report(" ")).await.status, 400);
    let beyond = json!({ "room": room, "seq": 2, "reason": "Spam" });
    assert_eq!(chat.json("POST", "/api/reports", &alice, beyond).await.status, 404);
    let made = chat.json("POST", "/api/reports", &bob, report("Spam")).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(chat.json("POST", "/api/reports", &bob, report("Spam")).await.json(), made.json(), "once");
    let id = made.json()["id"].as_u64().unwrap();

    let listed = chat.get("/api/reports", &alice).await.json();
    assert_eq!(listed["reports"][0]["text"], "Buy this", "{listed}");
    assert_eq!(chat.get("/api/reports", &bob).await.json()["reports"], json!([]), "no moderator");
    // The administrator sees the report, and not what is said in a closed room.
    let listed = chat.get("/api/reports", &root).await.json();
    assert_eq!(
        (&listed["reports"][0]["seq"], listed["reports"][0].get("text")),
        (&json!(1), None),
        "{listed}"
    );

    let change = format!("/api/reports/{id}");
    assert_eq!(chat.json("PATCH", &change, &bob, json!({ "state": "done" })).await.status, 404);
    done(&chat.json("PATCH", &change, &alice, json!({ "state": "done" })).await);
    assert_eq!(chat.get("/api/reports?state=open", &root).await.json()["reports"], json!([]));
    assert_eq!(chat.get("/api/reports?state=done", &root).await.json()["reports"][0]["by"], "alice");
    assert_eq!(chat.json("PATCH", "/api/reports/999", &root, json!({ "state": "done" })).await.status, 404);
}

#[tokio::test]
async fn the_audit_log_is_read_in_pages() {
    let (chat, root) = administered(|_| ()).await;
    for name in ["b1", "b2", "b3"] {
        chat.register(name, "password").await;
        done(&chat.json("PUT", &format!("/api/users/{name}/ban"), &root, json!({})).await);
    }
    let first = chat.get("/api/audit?limit=2", &root).await.json();
    let targets = |page: &Value| {
        let entries = page["entries"].as_array().unwrap().iter();
        entries.map(|entry| entry["target"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(targets(&first), ["b3", "b2"]);
    let rest = format!("/api/audit?limit=2&before={}", first["next"].as_str().unwrap());
    let rest = chat.get(&rest, &root).await.json();
    assert_eq!((targets(&rest), rest.get("next")), (vec!["b1".to_owned(), "anna".to_owned()], None));
    assert_eq!(chat.get("/api/audit?before=x", &root).await.status, 400);
}

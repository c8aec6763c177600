//! Bots: their tokens, their messages, and webhooks.

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::files::acknowledged;
use crate::harness::{Chat, Reply};
use crate::rooms::promote;
use crate::wire::Wire;

/// Calls as a program does, with a token.
async fn call(chat: &Chat, method: &str, path: &str, token: &str, key: Option<&str>, body: Value) -> Reply {
    let bearer = format!("Bearer {token}");
    let mut headers = vec![("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    headers.extend(key.map(|key| ("Idempotency-Key", key)));
    let body = if body.is_null() { String::new() } else { body.to_string() };
    chat.call(method, path, &headers, body.as_bytes()).await
}

/// A bot with a token for these rooms.
async fn bot(chat: &Chat, root: &str, name: &str, rooms: &[&str]) -> String {
    let made = chat.json("POST", "/api/bots", root, json!({ "name": name, "rooms": rooms })).await;
    assert_eq!(made.status, 201, "{made:?}");
    made.json()["token"].as_str().unwrap().to_owned()
}

fn texts(reply: &Reply) -> Vec<String> {
    let list = reply.json();
    let messages = list["messages"].as_array().unwrap().iter();
    messages.map(|message| format!("{} {}", message["seq"], message["text"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn users_see_who_is_a_bot() {
    let chat = Chat::start().await;
    let root = chat.sign_in("anna").await;
    promote(&chat, "anna").await;
    let alice = chat.sign_in("alice").await;
    let room = chat.create_room(&root, json!({"title": "Deploys"})).await;
    bot(&chat, &root, "Robot", &[&room]).await;
    let is_bot = async |path: &str| {
        let user = chat.json("GET", path, &alice, Value::Null).await.json();
        user.get("bot").cloned()
    };
    for _ in ["in use", "revoked"] {
        assert_eq!(is_bot("/api/users/Robot").await, Some(json!(true)));
        assert_eq!(is_bot("/api/users/alice").await, None);
        for path in ["/api/users", "/api/users?q=ro&limit=1", "/api/users?name=Robot&name=alice"] {
            let list = chat.json("GET", path, &alice, Value::Null).await.json();
            for user in list["users"].as_array().unwrap() {
                let expected = (user["username"] == "Robot").then_some(json!(true));
                assert_eq!(user.get("bot").cloned(), expected, "{path}: {user}");
            }
        }
        chat.json("DELETE", "/api/bots/Robot", &root, Value::Null).await;
    }
}

#[tokio::test]
async fn a_bot_posts_and_reads_in_its_rooms_only() {
    let chat = Chat::start().await;
    let root = chat.sign_in("anna").await;
    promote(&chat, "anna").await;
    let open = chat.create_room(&root, json!({"title": "Deploys"})).await;
    let closed = chat.create_room(&root, json!({"title": "Board", "access": "closed"})).await;
    let token = bot(&chat, &root, "Robot", &[&open, &closed]).await;
    assert!(token.starts_with("bot_") && token.len() > 40, "{token}");
    let path = format!("/api/rooms/{open}/messages");

    let alice = chat.sign_in("alice").await;
    let mut socket = Wire::open_v2(&chat, &alice).await;
    socket.send(&json!({"type": "join", "room": open})).await;
    socket.next_of("joined").await;

    let posted = call(&chat, "POST", &path, &token, Some("k1"), json!({"text": " done @alice "})).await;
    assert_eq!((posted.status, posted.json()["seq"].as_u64()), (201, Some(1)), "{posted:?}");
    let frame = socket.next_of("message").await;
    assert_eq!((&frame["from"], &frame["text"]), (&json!("Robot"), &json!("done @alice")));
    assert_eq!(frame["mentions"], json!(["alice"]));
    let again = call(&chat, "POST", &path, &token, Some("k1"), json!({"text": "other"})).await;
    assert_eq!((again.status, again.json()), (200, posted.json()));
    let answer = json!({"text": "two", "reply_to": 1});
    assert_eq!(call(&chat, "POST", &path, &token, None, answer).await.status, 201);
    let listed = call(&chat, "GET", &path, &token, None, Value::Null).await;
    assert_eq!(texts(&listed), ["1 done @alice", "2 two"]);
    assert_eq!(listed.json()["messages"][1]["reply_to"], 1);
    assert_eq!(listed.json()["messages"][1].get("edited"), None);
    let page = call(&chat, "GET", &format!("{path}?after=0&limit=1"), &token, None, Value::Null).await;
    assert_eq!((texts(&page), &page.json()["next"]), (vec!["1 done @alice".to_owned()], &json!(1)));
    let page = call(&chat, "GET", &format!("{path}?before=2"), &token, None, Value::Null).await;
    assert_eq!(texts(&page), ["1 done @alice"]);

    // A closed room needs a moderator, too; other rooms the token is not for.
    let board = format!("/api/rooms/{closed}/messages");
    let hi = || json!({"text": "hi"});
    let refused = call(&chat, "POST", &board, &token, None, hi()).await;
    assert_eq!(refused.refusal(), (403, "you may not write to this room".to_owned()));
    assert_eq!(call(&chat, "GET", &board, &token, None, Value::Null).await.status, 403);
    let added = chat.json("PUT", &format!("/api/rooms/{closed}/members/Robot"), &root, json!({})).await;
    assert_eq!(added.status, 200, "{added:?}");
    assert_eq!(call(&chat, "POST", &board, &token, None, hi()).await.status, 201);
    let refused = call(&chat, "POST", "/api/rooms/general/messages", &token, None, hi()).await;
    assert_eq!(refused.refusal(), (403, "this token is not for this room".to_owned()));
    // The token is good for messages only.
    assert_eq!(call(&chat, "GET", "/api/me", &token, None, Value::Null).await.status, 401);
    assert_eq!(call(&chat, "POST", &path, "bot_wrong", None, hi()).await.status, 401);

    let removed = chat.json("DELETE", "/api/bots/Robot", &root, Value::Null).await;
    assert_eq!(removed.status, 200);
    assert_eq!(call(&chat, "POST", &path, &token, None, hi()).await.status, 401);
    let bots = chat.get("/api/bots", &root).await.json();
    assert_eq!((&bots["bots"][0]["name"], &bots["bots"][0]["revoked"]), (&json!("Robot"), &json!(true)));
    assert_eq!(chat.get("/api/bots", &alice).await.status, 403);
    // A new token for the old name; not for that of a person.
    bot(&chat, &root, "Robot", &[&open]).await;
    let taken = chat.json("POST", "/api/bots", &root, json!({"name": "alice", "rooms": [open]})).await;
    assert_eq!(taken.refusal(), (400, "another account has this name".to_owned()));
}

#[tokio::test]
async fn people_post_with_their_sessions_and_privately() {
    let chat = Chat::start().await;
    let alice = chat.sign_in("alice").await;
    let bob = chat.sign_in("bob").await;
    let hi = || json!({"text": "hi"});
    let sent = chat.json("POST", "/api/users/bob/messages", &alice, hi()).await;
    assert_eq!((sent.status, sent.json()["seq"].as_u64()), (201, Some(1)), "{sent:?}");
    assert_eq!(texts(&chat.get("/api/users/alice/messages", &bob).await), ["1 hi"]);
    let nobody = chat.json("POST", "/api/users/nobody/messages", &alice, hi()).await;
    assert_eq!(nobody.refusal(), (404, "there is no account of this name".to_owned()));
    let nowhere = chat.json("POST", "/api/rooms/nowhere/messages", &alice, hi()).await;
    assert_eq!(nowhere.refusal(), (404, "there is no such room".to_owned()));
    let blank = chat.json("POST", "/api/users/bob/messages", &alice, json!({"text": " "})).await;
    assert_eq!(blank.refusal(), (400, "the text is blank".to_owned()));
    let both = chat.get("/api/users/bob/messages?after=1&before=2", &alice).await;
    assert_eq!(both.refusal(), (400, "after and before exclude each other".to_owned()));
    let headers = [("Cookie", alice.as_str()), ("Idempotency-Key", "")];
    let no_key = chat.call("POST", "/api/users/bob/messages", &headers, hi().to_string().as_bytes()).await;
    assert_eq!(no_key.status, 400, "{no_key:?}");
    assert_eq!(chat.json("POST", "/api/users/bob/messages", "", hi()).await.status, 401);
}

#[tokio::test]
async fn what_posts_to_slack_posts_here() {
    let chat = Chat::start().await;
    let root = chat.sign_in("anna").await;
    promote(&chat, "anna").await;
    let room = chat.create_room(&root, json!({"title": "Alerts"})).await;
    bot(&chat, &root, "Watch", &[&room]).await;
    let made = chat.json("POST", "/api/bots/Watch/webhooks", &root, json!({"room": room})).await;
    assert_eq!(made.status, 201, "{made:?}");
    let path = made.json()["url"].as_str().unwrap().to_owned();
    let other = chat.json("POST", "/api/bots/Watch/webhooks", &root, json!({"room": "general"})).await;
    assert_eq!(other.status, 404);

    let post = async |kind: &str, body: &str| {
        chat.call("POST", &path, &[("Content-Type", kind)], body.as_bytes()).await
    };
    let done = post("application/json", r#"{"text": "disk &gt; 90 % on <https://a.example|host>"}"#).await;
    assert_eq!((done.status, done.body.as_slice()), (200, b"ok".as_slice()), "{done:?}");
    let form = "payload=%7B%22attachments%22%3A%5B%7B%22fallback%22%3A%22down+again%22%7D%5D%7D";
    assert_eq!(post("application/x-www-form-urlencoded", form).await.status, 200);
    // curl's default type, with JSON.
    assert_eq!(post("application/x-www-form-urlencoded", r#"{"text": "three"}"#).await.status, 200);
    let long = json!({"text": "x".repeat(10_000)}).to_string();
    assert_eq!(post("application/json", &long).await.status, 200);
    let listed = chat.get(&format!("/api/rooms/{room}/messages?before=4"), &root).await;
    assert_eq!(texts(&listed), ["1 disk > 90 % on [host](https://a.example)", "2 down again", "3 three"]);
    assert_eq!(listed.json()["messages"][0]["from"], "Watch");

    assert_eq!(post("application/json", "{}").await.refusal(), (400, "the text is blank".to_owned()));
    assert_eq!(post("application/json", "[]").await.refusal(), (400, "invalid json".to_owned()));
    let unknown = chat.call("POST", "/hooks/0123", &[], b"{}").await;
    assert_eq!(unknown.status, 404);
    chat.json("DELETE", "/api/bots/Watch", &root, Value::Null).await;
    assert_eq!(post("application/json", r#"{"text": "late"}"#).await.status, 404);
}

/// Sends a JSON body once `while_waiting` is done: the server has judged the head by then.
async fn call_with_a_late_body(
    chat: &Chat,
    path: &str,
    authorization: &str,
    body: Value,
    while_waiting: impl AsyncFnOnce(),
) -> Reply {
    let body = body.to_string();
    let headers =
        [("Authorization", authorization), ("Content-Type", "application/json"), ("Expect", "100-continue")];
    let request = chat.request("POST", path, &headers, body.as_bytes());
    let (head, body) = request.split_at(request.len() - body.len());
    let mut stream = chat.connect().await;
    stream.write_all(head).await.unwrap();
    assert_eq!(Reply::read_head(&mut stream).await.status, 100);
    while_waiting().await;
    stream.write_all(body).await.unwrap();
    Reply::read(&mut stream).await
}

#[tokio::test]
async fn a_right_that_ends_while_the_body_arrives_does_not_count() {
    let chat = Chat::start().await;
    let root = chat.sign_in("anna").await;
    promote(&chat, "anna").await;
    let room = chat.create_room(&root, json!({"title": "Deploys"})).await;
    let path = format!("/api/rooms/{room}/messages");
    let hi = || json!({"text": "hi"});
    for way in ["the token", "the webhook"] {
        let token = bot(&chat, &root, "Robot", &[&room]).await;
        let hook = chat.json("POST", "/api/bots/Robot/webhooks", &root, json!({"room": room})).await;
        let hook = hook.json()["url"].as_str().unwrap().to_owned();
        let bearer = format!("Bearer {token}");
        let (path, authorization, status) = match way {
            "the token" => (&path, bearer.as_str(), 401),
            _ => (&hook, "none", 404),
        };
        let posted = call_with_a_late_body(&chat, path, authorization, hi(), async || {}).await;
        assert!(matches!(posted.status, 200 | 201), "{way}: {posted:?}");
        let refused = call_with_a_late_body(&chat, path, authorization, hi(), async || {
            chat.json("DELETE", "/api/bots/Robot", &root, Value::Null).await;
        })
        .await;
        assert_eq!(refused.status, status, "{way}: {refused:?}");
    }
    let listed = chat.get(&path, &root).await;
    assert_eq!(texts(&listed), ["1 hi", "2 hi"]);
}

#[tokio::test]
async fn deleted_messages_are_not_in_lists() {
    let chat = Chat::start().await;
    let (alice, bob) = (chat.sign_in("alice").await, chat.sign_in("bob").await);
    let mut socket = Wire::open_v2(&chat, &alice).await;
    for text in ["one", "two"] {
        acknowledged(&mut socket, json!({"type": "private", "to": "bob", "text": text})).await;
    }
    acknowledged(&mut socket, json!({"type": "delete", "to": "bob", "target": 1})).await;
    assert_eq!(texts(&chat.get("/api/users/alice/messages", &bob).await), ["2 two"]);
    let page = chat.get("/api/users/alice/messages?after=0&limit=1", &bob).await;
    assert_eq!((texts(&page), &page.json()["next"]), (vec![], &json!(1)));
}

/// The messages of each page, from one on to the last in a direction.
async fn follow(chat: &Chat, cookie: &str, first: &str, link: &str, parameter: &str) -> Vec<Vec<String>> {
    let (mut pages, mut query) = (Vec::new(), first.to_owned());
    loop {
        let page = chat.get(&format!("/api/users/alice/messages?limit=2{query}"), cookie).await;
        pages.push(texts(&page));
        let Some(number) = page.json()[link].as_u64() else { return pages };
        query = format!("&{parameter}={number}");
    }
}

#[tokio::test]
async fn pages_lead_to_each_other_in_both_directions() {
    let chat = Chat::start().await;
    let (alice, bob) = (chat.sign_in("alice").await, chat.sign_in("bob").await);
    let nothing = chat.get("/api/users/alice/messages", &bob).await.json();
    assert_eq!(nothing, json!({"messages": [], "last": 0}));
    let mut socket = Wire::open_v2(&chat, &alice).await;
    for text in ["a", "b", "c", "d", "e", "f", "g"] {
        acknowledged(&mut socket, json!({"type": "private", "to": "bob", "text": text})).await;
    }
    for target in [1, 2, 5] {
        acknowledged(&mut socket, json!({"type": "delete", "to": "bob", "target": target})).await;
    }
    let back = follow(&chat, &bob, "", "previous", "before").await;
    assert_eq!(back, [vec!["6 f", "7 g"], vec!["4 d"], vec!["3 c"], vec![]]);
    let forth = follow(&chat, &bob, "&after=0", "next", "after").await;
    assert_eq!(forth, [vec![], vec!["3 c", "4 d"], vec!["6 f"], vec!["7 g"]]);
    // A page in the middle has both neighbours; one beyond the ends has the one that is there.
    for (query, previous, next) in [
        ("after=2&limit=2", json!(3), json!(4)),
        ("before=1", Value::Null, json!(0)),
        ("after=99", json!(11), Value::Null),
        ("after=0", Value::Null, Value::Null),
    ] {
        let page = chat.get(&format!("/api/users/alice/messages?{query}"), &bob).await.json();
        assert_eq!((&page["previous"], &page["next"]), (&previous, &next), "{query}");
        assert_eq!(page["last"], 10);
    }
}

#[tokio::test]
async fn a_repetition_gets_the_first_result_whatever_it_says() {
    let chat = Chat::start().await;
    let (alice, _) = (chat.sign_in("alice").await, chat.sign_in("bob").await);
    let garden = chat.create_room(&alice, json!({"title": "Garden"})).await;
    let kitchen = chat.create_room(&alice, json!({"title": "Kitchen"})).await;
    let (garden_path, kitchen_path) =
        (format!("/api/rooms/{garden}/messages"), format!("/api/rooms/{kitchen}/messages"));
    let post = async |path: &str, key: &str| {
        let headers = [("Cookie", alice.as_str()), ("Idempotency-Key", key)];
        let reply = chat.call("POST", path, &headers, br#"{"text": "hi"}"#).await;
        let mut posted = reply.json();
        posted.as_object_mut().unwrap().remove("timestamp");
        (reply.status, posted)
    };
    let (in_garden, to_bob) = (json!({"room": garden, "seq": 1}), json!({"to": "bob", "seq": 1}));
    assert_eq!(post(&garden_path, "one").await, (201, in_garden.clone()));
    assert_eq!(post("/api/users/bob/messages", "two").await, (201, to_bob.clone()));
    for path in [garden_path.as_str(), &kitchen_path, "/api/users/bob/messages", "/api/users/alice/messages"]
    {
        assert_eq!(post(path, "one").await, (200, in_garden.clone()), "{path}");
        assert_eq!(post(path, "two").await, (200, to_bob.clone()), "{path}");
    }
    assert_eq!(texts(&chat.get(&kitchen_path, &alice).await), Vec::<String>::new());
}

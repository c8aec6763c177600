//! What two servers of one database do at the same time, and each piece of it once.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use chat_core::{SecretHash, SessionId};
use chat_store::{
    DatabaseUrl, DeliveryDone, NewBot, NewOutgoingWebhook, NewPushSubscription, NewUser, PushClaim, PushDone,
    PushService, Receiver, Retention, Stores, TrimPosition, Trimmed,
};

use crate::common::{SESSIONS_MAX, TestStore, name, open, pair, private, room, room_name, session};

every_store! {
    two_servers_push_each_message_once,
    two_servers_deliver_each_message_to_a_webhook_once,
}

const LATE: u64 = 1_000_000;

/// The same database for another server; where a database has one, the same store again.
async fn other_server(store: &TestStore) -> Stores {
    match store.url() {
        DatabaseUrl::Postgres(_) => open(store.url()).await.unwrap(),
        _ => store.stores.clone(),
    }
}

async fn two_servers_push_each_message_once(store: TestStore) {
    let users: Vec<String> = (0..12).map(|number| format!("user {number}")).collect();
    store.account("alice").await;
    for user in &users {
        store.account(user).await;
        let id = format!("session of {user}");
        store.sessions.open_session(&session(&id, user, 1, LATE * 2), SESSIONS_MAX).await.unwrap();
        let new = NewPushSubscription {
            session: SessionId::new(&id),
            user: name(user),
            endpoint: format!("https://push.example/{user}"),
            p256dh: "key".into(),
            auth: "secret".into(),
            language: "ru".into(),
        };
        assert!(store.push.subscribe_push(&new, 3, 1).await.unwrap());
    }
    let topics: Vec<_> = users.iter().map(|user| pair("alice", user)).collect();
    let other = other_server(&store).await;
    let sent = Mutex::new(BTreeMap::<(String, u64), u32>::new());
    let is_over = AtomicBool::new(false);
    let server = async |stores: &Stores| {
        loop {
            let was_over = is_over.load(Ordering::SeqCst);
            stores.push.queue_pushes(&topics, 0, 10).await.unwrap();
            let claim = PushClaim { now_ms: LATE, until_ms: LATE + 100, max: 3, user_max: 2 };
            let due = stores.push.claim_pushes(claim).await.unwrap();
            if due.is_empty() && was_over {
                return;
            }
            for push in due {
                *sent.lock().unwrap().entry((push.to.user.to_string(), push.seq)).or_default() += 1;
                let done = PushDone { now_ms: LATE, is_finished: true, service: PushService::Works };
                stores.push.finish_push(&push, done).await.unwrap();
            }
            tokio::task::yield_now().await;
        }
    };
    let talk = async {
        for seq in 1..=15 {
            for user in &users {
                store.append(&[private("alice", user, "hi")], 5).await;
            }
            // A message takes the place of one that waits: the next one comes after it was sent.
            while !users.iter().all(|user| sent.lock().unwrap().contains_key(&(user.clone(), seq))) {
                tokio::task::yield_now().await;
            }
        }
        is_over.store(true, Ordering::SeqCst);
    };
    tokio::join!(server(&store.stores), server(&other), talk);
    let sent = sent.into_inner().unwrap();
    assert_eq!(sent.len(), 12 * 15);
    let twice: Vec<_> = sent.iter().filter(|(_, times)| **times != 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

async fn two_servers_deliver_each_message_to_a_webhook_once(store: TestStore) {
    store.account("alice").await;
    let rooms = ["kitchen", "garden", "attic", "cellar"];
    let account =
        NewUser { name: name("robot"), password_hash: "!".to_owned(), avatar: None, created_at_ms: 1 };
    let token = SecretHash::from_bytes([1; 32]);
    let new = NewBot { account, token, rooms: rooms.map(room_name).to_vec(), by: None };
    store.bots.put_bot(&new).await.unwrap();
    for room in rooms {
        let webhook = NewOutgoingWebhook {
            id: room.to_owned(),
            bot: name("robot"),
            room: room_name(room),
            url: format!("https://bot.example/{room}"),
            secret: "whsec_c2VjcmV0".to_owned(),
            only_mentions: false,
        };
        assert!(store.outgoing.create_outgoing(&webhook, None, 5).await.unwrap());
    }
    let other = other_server(&store).await;
    let delivered = Mutex::new(BTreeMap::<(String, u64), u32>::new());
    let is_over = AtomicBool::new(false);
    let server = async |stores: &Stores| {
        loop {
            let was_over = is_over.load(Ordering::SeqCst);
            let due = stores.outgoing.claim_deliveries(LATE, LATE + 100, 2).await.unwrap();
            if due.is_empty() && was_over {
                return;
            }
            for delivery in due {
                let finished: Vec<u64> = delivery.messages.iter().map(|message| message.seq).collect();
                for seq in &finished {
                    *delivered.lock().unwrap().entry((delivery.webhook.clone(), *seq)).or_default() += 1;
                }
                let receiver = Receiver::Works { result: "status 200".to_owned() };
                let done = DeliveryDone { now_ms: LATE, finished, failed: Vec::new(), receiver };
                stores.outgoing.finish_delivery(&delivery, &done).await.unwrap();
            }
            tokio::task::yield_now().await;
        }
    };
    let talk = async {
        for _ in 0..40 {
            for room in rooms {
                store.send(room, "alice", 1, 10).await;
            }
        }
        is_over.store(true, Ordering::SeqCst);
    };
    tokio::join!(server(&store.stores), server(&other), talk);
    let delivered = delivered.into_inner().unwrap();
    assert_eq!(delivered.len(), 4 * 40);
    let twice: Vec<_> = delivered.iter().filter(|(_, times)| **times != 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

#[tokio::test]
async fn one_server_at_a_time_removes_old_messages() {
    let Some(store) = TestStore::postgres().await else { return };
    store.account("alice").await;
    store.send("kitchen", "alice", 5, 1).await;
    let keep_two = Retention { entries: Some(2), age_ms: None };
    let trim = || store.log.trim(&keep_two, TrimPosition::default(), LATE, 100);
    let mut other = store.connect().await;
    sqlx::raw_sql("BEGIN; SELECT pg_advisory_xact_lock(x'6368617400000006'::bigint)")
        .execute(&mut other)
        .await
        .unwrap();
    assert_eq!(trim().await.unwrap(), Trimmed::default(), "it leaves the round to the other one");
    assert_eq!(store.all(&room("kitchen")).await.first, 1);
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    let trimmed = trim().await.unwrap();
    assert_eq!((trimmed.entries, trimmed.next.is_some()), (3, true));
}

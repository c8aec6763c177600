//! Outgoing webhooks, and the queue of messages that are to be delivered.

use chat_core::SecretHash;
use chat_store::{
    DELIVERIES_AT_ONCE, Delivery, DeliveryDone, NewBan, NewBot, NewOutgoingWebhook, NewUser, OUTGOING_MAX,
    OutgoingCount, Receiver,
};

use crate::common::{TestStore, delete, draft, mention, name, room, room_name};

every_store! {
    messages_of_the_room_are_due_from_the_webhook_on,
    a_webhook_for_mentions_gets_those_of_its_bot,
    a_claim_ends_with_its_time_and_repeats_its_messages,
    a_failing_receiver_gets_one_message_at_a_time,
    a_receiver_that_is_off_gets_nothing,
    a_late_finish_leaves_the_claim_of_another_server,
    what_does_not_fit_into_the_queue_waits_in_the_log,
    webhooks_end_with_their_bots_and_rooms,
}

/// A bot for these rooms.
async fn bot(store: &TestStore, rooms: &[&str]) {
    let rooms = rooms.iter().map(|room| room_name(room)).collect();
    let token = SecretHash::from_bytes([1; 32]);
    let (name, password_hash) = (name("robot"), "!".to_owned());
    let account = NewUser { name, password_hash, avatar: None, created_at_ms: 1 };
    store.bots.put_bot(&NewBot { account, token, rooms, by: None }).await.unwrap();
}

fn webhook(id: &str, room: &str) -> NewOutgoingWebhook {
    NewOutgoingWebhook {
        id: id.to_owned(),
        bot: name("robot"),
        room: room_name(room),
        url: format!("https://bot.example/{id}"),
        secret: "whsec_c2VjcmV0".to_owned(),
        only_mentions: false,
    }
}

async fn create(store: &TestStore, new: &NewOutgoingWebhook) -> bool {
    store.outgoing.create_outgoing(new, Some(&name("alice")), 5).await.unwrap()
}

/// A store in which alice talks, and the robot has the webhook `h` for the kitchen.
async fn ready(store: &TestStore) {
    store.accounts("alice").await;
    bot(store, &["kitchen"]).await;
    assert!(create(store, &webhook("h", "kitchen")).await);
}

async fn claim(store: &TestStore, now_ms: u64) -> Vec<Delivery> {
    store.outgoing.claim_deliveries(now_ms, now_ms + 100, 10).await.unwrap()
}

fn numbers(delivery: &Delivery) -> Vec<u64> {
    delivery.messages.iter().map(|message| message.seq).collect()
}

async fn finish(store: &TestStore, delivery: &Delivery, now_ms: u64, receiver: Receiver) {
    let (finished, failed) = match &receiver {
        Receiver::Fails { retry_ms, .. } => {
            (Vec::new(), numbers(delivery).into_iter().map(|seq| (seq, *retry_ms)).collect())
        }
        _ => (numbers(delivery), Vec::new()),
    };
    let done = DeliveryDone { now_ms, finished, failed, receiver };
    store.outgoing.finish_delivery(delivery, &done).await.unwrap();
}

fn works() -> Receiver {
    Receiver::Works { result: "status 200".to_owned() }
}

async fn messages_of_the_room_are_due_from_the_webhook_on(store: TestStore) {
    store.accounts("alice").await;
    bot(&store, &["kitchen", "garden"]).await;
    store.send("kitchen", "alice", 2, 1).await;
    assert!(create(&store, &webhook("h", "kitchen")).await);
    assert!(create(&store, &webhook("h", "kitchen")).await, "a lost answer");
    assert!(!create(&store, &webhook("i", "attic")).await, "not its room");
    assert!(claim(&store, 10).await.is_empty());

    store.send("garden", "alice", 1, 11).await;
    store.send("kitchen", "robot", 1, 12).await;
    store.send("kitchen", "alice", 3, 13).await;
    store.append(&[delete(&room("kitchen"), "alice", 5)], 14).await;
    let claimed = claim(&store, 20).await;
    assert_eq!(claimed.len(), 1, "{claimed:?}");
    let due = &claimed[0];
    assert_eq!(numbers(due), [4, 6], "not its own, not what is deleted");
    assert_eq!((due.messages[0].at_ms, due.messages[0].attempts), (13, 0));
    assert_eq!((&due.webhook[..], &due.bot, &due.room), ("h", &name("robot"), &room_name("kitchen")));
    assert_eq!((&due.url[..], &due.secret[..]), ("https://bot.example/h", "whsec_c2VjcmV0"));
    finish(&store, due, 21, works()).await;
    assert!(claim(&store, 22).await.is_empty());

    let listed = store.outgoing.outgoing_webhooks().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0].id[..], listed[0].failures), ("h", 0));
    assert_eq!(listed[0].last, Some((21, "status 200".to_owned())));
    assert_eq!(store.outgoing.count_outgoing().await.unwrap(), OutgoingCount { on: 1, off: 0 });
    let audit = store.administration.audit(None, 1).await.unwrap();
    assert_eq!((audit[0].action.as_str(), &audit[0].target[..]), ("bot.outgoing", "robot"));
    for number in 1..OUTGOING_MAX {
        assert!(create(&store, &webhook(&format!("more {number}"), "garden")).await);
    }
    assert!(!create(&store, &webhook("too many", "garden")).await);
}

async fn a_webhook_for_mentions_gets_those_of_its_bot(store: TestStore) {
    store.accounts("alice bob").await;
    bot(&store, &["kitchen"]).await;
    let kitchen = room("kitchen");
    let new = NewOutgoingWebhook { only_mentions: true, ..webhook("h", "kitchen") };
    assert!(create(&store, &new).await);
    store.send("kitchen", "alice", 1, 10).await;
    store.append(&[mention(draft(&kitchen, "alice", "@robot"), "robot")], 11).await;
    store.append(&[mention(draft(&kitchen, "alice", "@bob"), "bob")], 12).await;
    store.append(&[mention(draft(&kitchen, "alice", "all"), "all")], 13).await;
    store.append(&[mention(draft(&kitchen, "robot", "@robot"), "robot")], 14).await;
    let claimed = claim(&store, 20).await;
    assert_eq!(numbers(&claimed[0]), [2, 4]);
}

async fn a_claim_ends_with_its_time_and_repeats_its_messages(store: TestStore) {
    ready(&store).await;
    store.send("kitchen", "alice", 2, 10).await;
    let first = claim(&store, 20).await;
    assert_eq!(numbers(&first[0]), [1, 2]);
    store.send("kitchen", "alice", 1, 30).await;
    assert!(claim(&store, 119).await.is_empty(), "no other server gets it");
    let again = claim(&store, 120).await;
    assert_eq!(numbers(&again[0]), [1, 2, 3]);
    finish(&store, &again[0], 130, works()).await;
    assert!(claim(&store, 140).await.is_empty());
}

async fn a_failing_receiver_gets_one_message_at_a_time(store: TestStore) {
    ready(&store).await;
    store.send("kitchen", "alice", 3, 10).await;
    let due = claim(&store, 20).await;
    let fails = |retry_ms| Receiver::Fails { result: "status 500".to_owned(), retry_ms };
    finish(&store, &due[0], 30, fails(50)).await;
    assert!(claim(&store, 49).await.is_empty());
    let due = claim(&store, 50).await;
    assert_eq!((numbers(&due[0]), due[0].failures, due[0].failing_since_ms), (vec![1], 1, Some(30)));
    assert_eq!(due[0].messages[0].attempts, 1);
    finish(&store, &due[0], 60, fails(200)).await;
    let listed = store.outgoing.outgoing_webhooks().await.unwrap();
    assert_eq!((listed[0].failures, &listed[0].last), (2, &Some((60, "status 500".to_owned()))));
    let due = claim(&store, 200).await;
    assert_eq!((numbers(&due[0]), due[0].failing_since_ms), (vec![1], Some(30)));
    finish(&store, &due[0], 210, works()).await;
    let due = claim(&store, 220).await;
    assert_eq!((numbers(&due[0]), due[0].failures, due[0].failing_since_ms), (vec![2, 3], 0, None));
}

async fn a_receiver_that_is_off_gets_nothing(store: TestStore) {
    ready(&store).await;
    store.send("kitchen", "alice", 2, 10).await;
    let due = claim(&store, 20).await;
    finish(&store, &due[0], 30, Receiver::Off { result: "status 410".to_owned() }).await;
    store.send("kitchen", "alice", 1, 40).await;
    assert!(claim(&store, 1_000).await.is_empty());
    assert_eq!(store.outgoing.count_outgoing().await.unwrap(), OutgoingCount { on: 0, off: 1 });
    let listed = store.outgoing.outgoing_webhooks().await.unwrap();
    assert_eq!((listed[0].off_at_ms, &listed[0].last), (Some(30), &Some((30, "status 410".to_owned()))));
    assert!(!store.outgoing.remove_outgoing(&name("alice"), "h", None, 50).await.unwrap());
    assert!(store.outgoing.remove_outgoing(&name("robot"), "h", None, 50).await.unwrap());
    assert!(!store.outgoing.remove_outgoing(&name("robot"), "h", None, 51).await.unwrap());
    let audit = store.administration.audit(None, 1).await.unwrap();
    assert_eq!((audit[0].action.as_str(), audit[0].at_ms), ("bot.outgoing_remove", 50));
}

async fn a_late_finish_leaves_the_claim_of_another_server(store: TestStore) {
    ready(&store).await;
    store.send("kitchen", "alice", 2, 10).await;
    let late = claim(&store, 20).await;
    let other = claim(&store, 120).await;
    assert_eq!(numbers(&other[0]), [1, 2]);
    finish(&store, &late[0], 130, works()).await;
    store.send("kitchen", "alice", 1, 140).await;
    assert!(claim(&store, 150).await.is_empty());
    finish(&store, &other[0], 160, works()).await;
    // What the other server has taken out of the queue is not delivered again.
    assert_eq!(numbers(&claim(&store, 170).await[0]), [3]);
}

async fn what_does_not_fit_into_the_queue_waits_in_the_log(store: TestStore) {
    ready(&store).await;
    for _ in 0..25 {
        store.send("kitchen", "alice", 100, 10).await;
    }
    let mut seen = Vec::new();
    let mut now_ms = 20;
    while seen.len() < 2_500 {
        now_ms += 1;
        let due = claim(&store, now_ms).await;
        assert_eq!(due[0].messages.len() as u64, DELIVERIES_AT_ONCE.min(2_500 - seen.len() as u64));
        seen.extend(numbers(&due[0]));
        finish(&store, &due[0], now_ms, works()).await;
    }
    assert_eq!(seen, (1..=2_500).collect::<Vec<_>>());
    assert!(claim(&store, now_ms + 1).await.is_empty());
}

async fn webhooks_end_with_their_bots_and_rooms(store: TestStore) {
    store.accounts("alice").await;
    bot(&store, &["kitchen", "garden"]).await;
    for (id, room) in [("h", "kitchen"), ("i", "garden")] {
        assert!(create(&store, &webhook(id, room)).await);
        store.send(room, "alice", 1, 10).await;
    }
    let ids = async || {
        let all = store.outgoing.outgoing_webhooks().await.unwrap();
        all.into_iter().map(|webhook| webhook.id).collect::<Vec<_>>()
    };
    assert_eq!(ids().await, ["h", "i"]);
    // A ban stops the deliveries while it lasts.
    let ban =
        NewBan { user: name("robot"), reason: String::new(), delete_messages: false, without_account: false };
    store.administration.ban(&ban, None, 20).await.unwrap().unwrap();
    assert!(claim(&store, 30).await.is_empty());
    assert!(store.administration.unban(&name("robot"), None, 40).await.unwrap());
    assert_eq!(claim(&store, 50).await.len(), 2);
    // Other rooms.
    bot(&store, &["garden"]).await;
    assert_eq!(ids().await, ["i"]);
    assert!(store.bots.revoke_bot(&name("robot"), None, 60).await.unwrap());
    assert_eq!(ids().await, [""; 0]);
    assert_eq!(claim(&store, 1_000).await.len(), 0);
}

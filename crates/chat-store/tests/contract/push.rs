//! What is sent to push services.

use chat_core::{Level, SessionId, Topic};
use chat_store::{DuePush, NewPushSubscription, PushResult};

use crate::common::{TestStore, delete, draft, leave, mention, name, pair, private, put, room, session};

every_store! {
    a_key_is_made_once,
    a_private_message_is_queued_for_the_other_user_only,
    a_mention_is_queued_by_the_level_of_the_member,
    a_newer_message_takes_the_place_of_one_that_waits,
    what_is_read_left_or_signed_out_is_not_wanted,
    a_failure_keeps_the_message_and_a_subscription_that_is_gone_drops_it,
    a_subscription_belongs_to_one_session,
    messages_before_the_subscription_are_not_queued,
    what_was_not_queued_is_found_after_a_restart,
}

/// Long after everything.
const LATE: u64 = 1_000_000;

async fn subscribe(store: &TestStore, user: &str, now_ms: u64) -> bool {
    let id = format!("session of {user}");
    store.sessions.open_session(&session(&id, user, 1, LATE * 2)).await.unwrap();
    store.push.subscribe_push(&subscription(&id, user, user), 3, now_ms).await.unwrap()
}

fn subscription(session: &str, user: &str, endpoint: &str) -> NewPushSubscription {
    NewPushSubscription {
        session: SessionId::new(session),
        user: name(user),
        endpoint: format!("https://push.example/{endpoint}"),
        p256dh: "key".into(),
        auth: "secret".into(),
        language: "ru".into(),
    }
}

/// Queues what topics have, and claims it: `user: number`, in the order of names.
async fn due(store: &TestStore, topics: &[Topic]) -> Vec<DuePush> {
    store.push.queue_pushes(topics, 0, 10).await.unwrap();
    let mut due = store.push.claim_pushes(LATE, LATE + 100, 10).await.unwrap();
    due.sort_by(|one, other| one.to.user.cmp(&other.to.user));
    due
}

fn shown(due: &[DuePush]) -> Vec<String> {
    let show = |push: &DuePush| {
        format!("{} {}{}", push.to.user, push.seq, if push.is_wanted { "" } else { " unwanted" })
    };
    due.iter().map(show).collect()
}

async fn send_all(store: &TestStore, due: &[DuePush]) {
    for push in due {
        store.push.finish_push(push, PushResult::Sent).await.unwrap();
    }
}

async fn a_key_is_made_once(store: TestStore) {
    assert_eq!(store.push.push_key("one").await.unwrap(), "one");
    assert_eq!(store.push.push_key("two").await.unwrap(), "one");
}

async fn a_private_message_is_queued_for_the_other_user_only(store: TestStore) {
    store.accounts("alice bob carol").await;
    for user in ["alice", "bob", "carol"] {
        assert!(subscribe(&store, user, 1).await);
    }
    let topic = pair("alice", "bob");
    store.append(&[private("alice", "bob", "hi")], 5).await;
    let sent = due(&store, std::slice::from_ref(&topic)).await;
    assert_eq!(shown(&sent), ["bob 1"]);
    assert_eq!((&sent[0].topic, sent[0].title.as_deref(), sent[0].at_ms), (&topic, None, 5));
    // Nobody else gets it meanwhile, and afterwards nobody.
    assert_eq!(shown(&store.push.claim_pushes(LATE, LATE + 100, 10).await.unwrap()), [""; 0]);
    send_all(&store, &sent).await;
    assert_eq!(shown(&due(&store, std::slice::from_ref(&topic)).await), [""; 0]);
    store.append(&[private("bob", "alice", "ho")], 6).await;
    assert_eq!(shown(&due(&store, &[topic]).await), ["alice 2"]);
}

async fn a_mention_is_queued_by_the_level_of_the_member(store: TestStore) {
    store.accounts("alice bob carol dave eve").await;
    let kitchen = room("kitchen");
    store.send("kitchen", "alice", 1, 1).await;
    for user in ["bob", "carol", "dave", "eve"] {
        subscribe(&store, user, 1).await;
        if user != "eve" {
            store.change(&put("kitchen", user, user, None)).await.unwrap();
        }
    }
    store.keep("carol", &kitchen, None, Some(Level::All)).await;
    store.keep("dave", &kitchen, None, Some(Level::None)).await;
    let topics = [kitchen.clone()];
    store.send("kitchen", "alice", 1, 2).await;
    let sent = due(&store, &topics).await;
    assert_eq!(shown(&sent), ["carol 2"]);
    assert_eq!(sent[0].title.as_deref(), Some("kitchen"));
    send_all(&store, &sent).await;
    store.append(&[mention(draft(&kitchen, "alice", "@bob @dave @eve"), "bob dave eve")], 3).await;
    let sent = due(&store, &topics).await;
    assert_eq!(shown(&sent), ["bob 3", "carol 3"]);
    send_all(&store, &sent).await;
    // A deleted message is not queued.
    store.append(&[mention(draft(&kitchen, "alice", "@bob"), "bob")], 4).await;
    store.append(&[delete(&kitchen, "alice", 4)], 5).await;
    assert_eq!(shown(&due(&store, &topics).await), [""; 0]);
}

async fn a_newer_message_takes_the_place_of_one_that_waits(store: TestStore) {
    store.accounts("alice bob").await;
    subscribe(&store, "bob", 1).await;
    let topics = [pair("alice", "bob")];
    store.append(&[private("alice", "bob", "one")], 5).await;
    store.push.queue_pushes(&topics, 0, 10).await.unwrap();
    store.append(&[private("alice", "bob", "two")], 6).await;
    store.push.queue_pushes(&topics, 0, 20).await.unwrap();
    assert_eq!(shown(&store.push.claim_pushes(9, 100, 10).await.unwrap()), [""; 0]);
    let sent = store.push.claim_pushes(10, 100, 10).await.unwrap();
    assert_eq!(shown(&sent), ["bob 2"]);
    // One more comes while it is being sent: it stays.
    store.append(&[private("alice", "bob", "three")], 7).await;
    store.push.queue_pushes(&topics, 0, 30).await.unwrap();
    send_all(&store, &sent).await;
    assert_eq!(shown(&store.push.claim_pushes(LATE, LATE, 10).await.unwrap()), ["bob 3"]);
}

async fn what_is_read_left_or_signed_out_is_not_wanted(store: TestStore) {
    store.accounts("alice bob carol dave").await;
    let kitchen = room("kitchen");
    store.send("kitchen", "alice", 1, 1).await;
    for user in ["bob", "carol", "dave"] {
        subscribe(&store, user, 1).await;
        store.change(&put("kitchen", user, user, None)).await.unwrap();
    }
    store.append(&[mention(draft(&kitchen, "alice", "@bob @carol @dave"), "bob carol dave")], 3).await;
    store.push.queue_pushes(std::slice::from_ref(&kitchen), 0, 10).await.unwrap();
    store.keep("bob", &kitchen, Some(2), None).await;
    store.change(&leave("kitchen", "carol")).await.unwrap();
    store.sessions.revoke_sessions_of(&name("dave")).await.unwrap();
    assert_eq!(shown(&due(&store, &[]).await), ["bob 2 unwanted", "carol 2 unwanted", "dave 2 unwanted"]);
    assert_eq!(store.push.sweep_push_subscriptions(5).await.unwrap(), 2);
    assert!(!store.push.unsubscribe_push(&SessionId::new("session of dave")).await.unwrap());
}

async fn a_failure_keeps_the_message_and_a_subscription_that_is_gone_drops_it(store: TestStore) {
    store.accounts("alice bob").await;
    subscribe(&store, "bob", 1).await;
    store.append(&[private("alice", "bob", "one")], 5).await;
    let failed = due(&store, &[pair("alice", "bob")]).await;
    store.push.finish_push(&failed[0], PushResult::Failed { retry_ms: LATE + 5 }).await.unwrap();
    assert_eq!(shown(&store.push.claim_pushes(LATE + 4, LATE + 9, 10).await.unwrap()), [""; 0]);
    let again = store.push.claim_pushes(LATE + 5, LATE + 9, 10).await.unwrap();
    assert_eq!((shown(&again), again[0].failures), (vec!["bob 1".to_owned()], 1));
    store.push.finish_push(&again[0], PushResult::Gone).await.unwrap();
    assert_eq!(store.push.sweep_push_subscriptions(5).await.unwrap(), 0);
    assert_eq!(shown(&store.push.claim_pushes(LATE * 2, LATE * 3, 10).await.unwrap()), [""; 0]);
}

async fn a_subscription_belongs_to_one_session(store: TestStore) {
    store.accounts("alice bob").await;
    let subscribe = async |session: &str, user: &str, endpoint: &str, now_ms| {
        store.push.subscribe_push(&subscription(session, user, endpoint), 2, now_ms).await.unwrap()
    };
    let count = async || store.push.sweep_push_subscriptions(5).await.unwrap();
    assert!(!subscribe("none", "alice", "a", 1).await);
    for id in ["one", "two", "three"] {
        store.sessions.open_session(&session(id, "alice", 1, LATE)).await.unwrap();
    }
    store.sessions.open_session(&session("other", "bob", 1, LATE)).await.unwrap();
    assert!(subscribe("one", "alice", "a", 1).await);
    assert!(subscribe("one", "alice", "b", 2).await);
    assert_eq!(count().await, 1);
    // The same browser, in which another user has signed in.
    assert!(subscribe("other", "bob", "b", 3).await);
    assert_eq!(count().await, 1);
    // At most two of a user: the oldest goes.
    for (id, now_ms) in [("one", 4), ("two", 5), ("three", 6)] {
        assert!(subscribe(id, "alice", id, now_ms).await);
    }
    assert_eq!(count().await, 3);
    assert!(!store.push.unsubscribe_push(&SessionId::new("one")).await.unwrap());
    assert!(store.push.unsubscribe_push(&SessionId::new("three")).await.unwrap());
    assert_eq!(count().await, 2);
}

async fn messages_before_the_subscription_are_not_queued(store: TestStore) {
    store.accounts("alice bob").await;
    store.append(&[private("alice", "bob", "early")], 5).await;
    subscribe(&store, "bob", 6).await;
    assert_eq!(shown(&due(&store, &[pair("alice", "bob")]).await), [""; 0]);
}

async fn what_was_not_queued_is_found_after_a_restart(store: TestStore) {
    if !store.is_kept() {
        return;
    }
    store.accounts("alice bob carol").await;
    subscribe(&store, "bob", 1).await;
    store.append(&[private("alice", "bob", "one")], 5).await;
    let store = store.reopened().await;
    let (topics, next) = store.push.topics_to_push(5, 0, 10).await.unwrap();
    assert_eq!((topics.as_slice(), next), ([pair("alice", "bob")].as_slice(), None));
    assert_eq!(store.push.topics_to_push(6, 0, 10).await.unwrap().0, []);
    assert_eq!(shown(&due(&store, &topics).await), ["bob 1"]);
    assert_eq!(store.push.topics_to_push(5, 0, 10).await.unwrap().0, []);
    store.append(&[private("alice", "carol", "two")], 6).await;
    let (_, next) = store.push.topics_to_push(5, 0, 1).await.unwrap();
    assert!(next.is_some());
}

//! What is sent to push services.

use chat_core::{Level, SessionId, Topic};
use chat_store::{
    DuePush, NewPushSubscription, PUSH_FAILURES_KEPT_MS, PUSH_FAILURES_MAX, PushClaim, PushDone, PushService,
};

use crate::common::{
    SESSIONS_MAX, TestStore, delete, draft, leave, mention, name, pair, private, put, room, session,
};

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
    a_user_has_a_share_of_what_is_sent_at_one_time,
    browsers_with_many_messages_take_turns,
    a_subscription_that_is_made_again_waits_on,
    a_service_is_forgiven_when_it_answers,
    new_addresses_of_a_user_with_many_that_fail_wait_too,
}

/// Long after everything.
const LATE: u64 = 1_000_000;

async fn subscribe(store: &TestStore, user: &str, now_ms: u64) -> bool {
    let id = format!("session of {user}");
    store.sessions.open_session(&session(&id, user, 1, LATE * 2), SESSIONS_MAX).await.unwrap();
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

async fn claim(store: &TestStore, now_ms: u64, until_ms: u64) -> Vec<DuePush> {
    store.push.claim_pushes(PushClaim { now_ms, until_ms, max: 10, user_max: 10 }).await.unwrap()
}

async fn finish(store: &TestStore, push: &DuePush, is_finished: bool, service: PushService) {
    store.push.finish_push(push, PushDone { now_ms: LATE, is_finished, service }).await.unwrap();
}

/// Queues what topics have, and claims it: `user: number`, in the order of names.
async fn due(store: &TestStore, topics: &[Topic]) -> Vec<DuePush> {
    store.push.queue_pushes(topics, 0, 10).await.unwrap();
    let mut due = claim(store, LATE, LATE + 100).await;
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
        finish(store, push, true, PushService::Works).await;
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
    assert_eq!(shown(&claim(&store, LATE, LATE + 100).await), [""; 0]);
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
    assert_eq!(shown(&claim(&store, 9, 100).await), [""; 0]);
    let sent = claim(&store, 10, 100).await;
    assert_eq!(shown(&sent), ["bob 2"]);
    // One more comes while it is being sent: it stays.
    store.append(&[private("alice", "bob", "three")], 7).await;
    store.push.queue_pushes(&topics, 0, 30).await.unwrap();
    send_all(&store, &sent).await;
    assert_eq!(shown(&claim(&store, LATE, LATE + 1).await), ["bob 3"]);
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
    assert_eq!(store.push.sweep_push_subscriptions(5).await.unwrap().subscriptions, 2);
    assert!(!store.push.unsubscribe_push(&SessionId::new("session of dave")).await.unwrap());
}

async fn a_failure_keeps_the_message_and_a_subscription_that_is_gone_drops_it(store: TestStore) {
    store.accounts("alice bob").await;
    subscribe(&store, "bob", 1).await;
    store.append(&[private("alice", "bob", "one")], 5).await;
    let failed = due(&store, &[pair("alice", "bob")]).await;
    finish(&store, &failed[0], false, PushService::Fails { retry_ms: LATE + 5 }).await;
    assert_eq!(shown(&claim(&store, LATE + 4, LATE + 9).await), [""; 0]);
    let again = claim(&store, LATE + 5, LATE + 9).await;
    assert_eq!((shown(&again), again[0].failures), (vec!["bob 1".to_owned()], 1));
    finish(&store, &again[0], true, PushService::Gone).await;
    assert_eq!(store.push.sweep_push_subscriptions(5).await.unwrap().subscriptions, 0);
    assert_eq!(shown(&claim(&store, LATE * 2, LATE * 3).await), [""; 0]);
}

async fn a_subscription_belongs_to_one_session(store: TestStore) {
    store.accounts("alice bob").await;
    let subscribe = async |session: &str, user: &str, endpoint: &str, now_ms| {
        store.push.subscribe_push(&subscription(session, user, endpoint), 2, now_ms).await.unwrap()
    };
    let count = async || store.push.sweep_push_subscriptions(5).await.unwrap().subscriptions;
    assert!(!subscribe("none", "alice", "a", 1).await);
    for id in ["one", "two", "three"] {
        store.sessions.open_session(&session(id, "alice", 1, LATE), SESSIONS_MAX).await.unwrap();
    }
    store.sessions.open_session(&session("other", "bob", 1, LATE), SESSIONS_MAX).await.unwrap();
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

/// Each user has so many browsers, and a message from alice that is due at 10.
async fn browsers(store: &TestStore, users: &str, count: usize) {
    for user in users.split(' ') {
        for number in 1..=count {
            let id = format!("{user} {number}");
            store.sessions.open_session(&session(&id, user, 1, LATE * 2), SESSIONS_MAX).await.unwrap();
            let new = subscription(&id, user, &format!("{user}{number}"));
            assert!(store.push.subscribe_push(&new, count, 1).await.unwrap());
        }
        store.append(&[private("alice", user, "hi")], 5).await;
        store.push.queue_pushes(&[pair("alice", user)], 0, 10).await.unwrap();
    }
}

async fn a_user_has_a_share_of_what_is_sent_at_one_time(store: TestStore) {
    store.accounts("alice bob carol").await;
    browsers(&store, "bob carol", 4).await;
    let claim = async |now_ms, max| {
        let claim = PushClaim { now_ms, until_ms: now_ms + 100, max, user_max: 2 };
        store.push.claim_pushes(claim).await.unwrap()
    };
    // Bob's browsers are the first ones.
    let first = claim(LATE, 3).await;
    assert_eq!(shown(&first), ["bob 1", "bob 1", "carol 1"]);
    assert_eq!(shown(&claim(LATE, 3).await), ["carol 1"]);
    assert_eq!(shown(&claim(LATE, 3).await), [""; 0]);
    finish(&store, &first[0], true, PushService::Works).await;
    assert_eq!(shown(&claim(LATE, 3).await), ["bob 1"]);
    finish(&store, &first[1], false, PushService::Fails { retry_ms: LATE * 2 }).await;
    assert_eq!(shown(&claim(LATE, 3).await), ["bob 1"]);
    assert_eq!(store.push.sweep_push_subscriptions(LATE).await.unwrap().ready, 2);
    // The claims end by themselves.
    assert_eq!(claim(LATE + 100, 3).await.len(), 3);
    assert_eq!(shown(&claim(LATE + 100, 3).await), ["bob 1"]);
    assert_eq!(claim(LATE + 100, 3).await.len(), 0);
}

async fn browsers_with_many_messages_take_turns(store: TestStore) {
    store.accounts("alice bob carol dave").await;
    subscribe(&store, "bob", 1).await;
    subscribe(&store, "carol", 1).await;
    let from = async |author: &str, to: &str, due_ms| {
        store.append(&[private(author, to, "hi")], 5).await;
        store.push.queue_pushes(&[pair(author, to)], 0, due_ms).await.unwrap();
    };
    from("alice", "bob", 10).await;
    from("carol", "bob", 11).await;
    from("dave", "bob", 12).await;
    from("alice", "carol", 13).await;
    let next = async || {
        let claim = PushClaim { now_ms: LATE, until_ms: LATE + 100, max: 1, user_max: 1 };
        let due = store.push.claim_pushes(claim).await.unwrap();
        finish(&store, &due[0], true, PushService::Works).await;
        format!("{} in {:?}", due[0].to.user, due[0].topic)
    };
    let shown = |user: &str, author: &str| format!("{user} in {:?}", pair(author, user));
    assert_eq!(next().await, shown("bob", "alice"));
    assert_eq!(next().await, shown("carol", "alice"));
    assert_eq!(next().await, shown("bob", "carol"));
    assert_eq!(next().await, shown("bob", "dave"));
    assert!(claim(&store, LATE * 2, LATE * 3).await.is_empty());
    assert_eq!(store.push.sweep_push_subscriptions(LATE).await.unwrap().ready, 0);
}

async fn a_subscription_that_is_made_again_waits_on(store: TestStore) {
    store.accounts("alice bob carol").await;
    browsers(&store, "bob", 1).await;
    let fails = PushService::Fails { retry_ms: LATE + 50 };
    let due = claim(&store, LATE, LATE + 1).await;
    // It is removed while a server is asking.
    assert!(store.push.unsubscribe_push(&due[0].to.session).await.unwrap());
    finish(&store, &due[0], false, fails).await;
    let again = async |user: &str, text: &str| {
        let id = format!("again {user}");
        store.sessions.open_session(&session(&id, user, 1, LATE * 2), SESSIONS_MAX).await.unwrap();
        assert!(store.push.subscribe_push(&subscription(&id, user, "bob1"), 3, 1).await.unwrap());
        store.append(&[private("alice", user, text)], 6).await;
        store.push.queue_pushes(&[pair("alice", user)], 0, 20).await.unwrap();
    };
    for user in ["bob", "carol"] {
        again(user, "two").await;
        assert_eq!(shown(&claim(&store, LATE + 49, LATE + 60).await), [""; 0]);
    }
    let due = claim(&store, LATE + 50, LATE + 60).await;
    assert_eq!((shown(&due), due[0].failures), (vec!["carol 1".to_owned()], 1));
    finish(&store, &due[0], false, PushService::Fails { retry_ms: LATE + 70 }).await;
    again("carol", "three").await;
    let due = claim(&store, LATE + 70, LATE + 80).await;
    assert_eq!((shown(&due), due[0].failures), (vec!["carol 2".to_owned()], 2));
}

async fn a_service_is_forgiven_when_it_answers(store: TestStore) {
    store.accounts("alice bob").await;
    browsers(&store, "bob", 1).await;
    let mut now_ms = LATE;
    let mut failures = async |is_finished, service| {
        store.append(&[private("alice", "bob", "hi")], 6).await;
        store.push.queue_pushes(&[pair("alice", "bob")], 0, LATE).await.unwrap();
        now_ms += 10;
        let due = claim(&store, now_ms, now_ms + 5).await;
        let done = PushDone { now_ms, is_finished, service };
        store.push.finish_push(&due[0], done).await.unwrap();
        due[0].failures
    };
    let fails = PushService::Fails { retry_ms: LATE };
    assert_eq!(failures(false, fails).await, 0);
    // A message that a slow service has taken counts, too.
    assert_eq!(failures(true, fails).await, 1);
    assert_eq!(failures(true, PushService::NotAsked).await, 2);
    assert_eq!(failures(true, PushService::Works).await, 2);
    assert_eq!(failures(true, fails).await, 0);
    assert_eq!(failures(false, fails).await, 1);
    let failing = async |now_ms| store.push.sweep_push_subscriptions(now_ms).await.unwrap().failing;
    assert_eq!(failing(LATE + PUSH_FAILURES_KEPT_MS - 1).await, 1);
    assert_eq!(failing(LATE + PUSH_FAILURES_KEPT_MS).await, 0);
}

async fn new_addresses_of_a_user_with_many_that_fail_wait_too(store: TestStore) {
    store.accounts("alice bob carol").await;
    browsers(&store, "bob", PUSH_FAILURES_MAX + 2).await;
    let claim_all = async |now_ms| {
        let claim = PushClaim { now_ms, until_ms: now_ms + 1, max: 100, user_max: 100 };
        store.push.claim_pushes(claim).await.unwrap()
    };
    let due = claim_all(LATE).await;
    let replace = async |user: &str, endpoint: &str| {
        let id = format!("{user} 1");
        store.sessions.open_session(&session(&id, user, 1, LATE * 2), SESSIONS_MAX).await.unwrap();
        assert!(store.push.subscribe_push(&subscription(&id, user, endpoint), 100, 1).await.unwrap());
        store.append(&[private("alice", user, "hi")], 6).await;
        store.push.queue_pushes(&[pair("alice", user)], 0, LATE).await.unwrap();
    };
    // One less than the limit: a new address is tried at once.
    for push in &due[1..PUSH_FAILURES_MAX] {
        finish(&store, push, true, PushService::Fails { retry_ms: LATE + 50 }).await;
    }
    replace("bob", "new").await;
    assert!(claim_all(LATE + 9).await.iter().any(|push| push.to.endpoint.ends_with("/new")));
    for (push, retry_ms) in due[PUSH_FAILURES_MAX..].iter().zip([90, 60]) {
        finish(&store, push, true, PushService::Fails { retry_ms: LATE + retry_ms }).await;
    }
    replace("bob", "newer").await;
    replace("carol", "other").await;
    let waits = async |now_ms| {
        let due = claim_all(now_ms).await;
        let has = |end: &str| due.iter().any(|push| push.to.endpoint.ends_with(end));
        (has("/newer"), has("/other"))
    };
    assert_eq!(waits(LATE + 89).await, (false, true));
    assert_eq!(waits(LATE + 90).await, (true, true));
    // No more are remembered than that.
    let count = store.push.sweep_push_subscriptions(5).await.unwrap();
    assert_eq!(count.failing, PUSH_FAILURES_MAX as u64);
}

//! Sessions.

use std::collections::BTreeSet;

use chat_core::SessionId;
use chat_store::{SESSIONS_LISTED_MAX, Session};

use crate::common::{SESSIONS_MAX, TestStore, name, session};

every_store! {
    a_session_lasts_until_its_end,
    a_revoked_session_is_gone,
    all_sessions_of_a_user_are_revoked_at_once,
    sessions_are_listed_newest_first,
    the_last_use_of_a_session_never_moves_back,
    the_valid_sessions_among_many_are_found,
    of_too_many_sessions_of_a_user_the_oldest_end,
}

async fn of_too_many_sessions_of_a_user_the_oldest_end(store: TestStore) {
    const MAX: usize = 5;
    let open = async |id: &str, user: &str, created_at_ms: u64| {
        let session = session(id, user, created_at_ms, 1_000_000);
        assert!(store.sessions.open_session(&session, MAX).await.unwrap());
    };
    let is_there =
        async |id: &str| store.sessions.find_session(&SessionId::new(id), 1).await.unwrap().is_some();
    open("of bob", "bob", 1).await;
    for number in 0..MAX {
        open(&number.to_string(), "alice", 10 + number as u64).await;
    }
    assert!(is_there("0").await);
    // It stays, although its clock is behind.
    open("new", "alice", 2).await;
    assert_eq!([is_there("0").await, is_there("1").await, is_there("new").await], [false, true, true]);
    open("1", "alice", 10_000).await;
    open("newer", "alice", 10_001).await;
    assert_eq!([is_there("new").await, is_there("1").await, is_there("2").await], [false, true, true]);
    assert!(is_there("of bob").await);
    // With a lower limit than before, more than one ends.
    store.sessions.open_session(&session("last", "alice", 10_002, 1_000_000), 2).await.unwrap();
    assert_eq!([is_there("last").await, is_there("newer").await, is_there("1").await], [true, true, false]);
}

async fn a_session_lasts_until_its_end(store: TestStore) {
    let sessions = &store.sessions;
    let short = session("short", "alice", 100, 200);
    sessions.open_session(&short, SESSIONS_MAX).await.unwrap();
    assert_eq!(sessions.find_session(&short.id, 199).await.unwrap(), Some(short.clone()));
    assert_eq!(sessions.find_session(&short.id, 200).await.unwrap(), None);
    assert_eq!(sessions.find_session(&SessionId::new("Short"), 150).await.unwrap(), None);

    sessions.renew_session(&short.id, 150, 300).await.unwrap();
    let renewed = session("short", "alice", 100, 300);
    assert_eq!(sessions.find_session(&short.id, 299).await.unwrap(), Some(renewed));
    // An ended session cannot be renewed.
    sessions.renew_session(&short.id, 300, 900).await.unwrap();
    assert_eq!(sessions.find_session(&short.id, 300).await.unwrap(), None);
    sessions.renew_session(&SessionId::new("nobody's"), 100, 900).await.unwrap();
    assert_eq!(sessions.find_session(&SessionId::new("nobody's"), 100).await.unwrap(), None);

    // Later sign-ins delete ended sessions, and only those.
    for index in 0..300 {
        sessions.open_session(&session(&index.to_string(), "alice", 400, 500), SESSIONS_MAX).await.unwrap();
    }
    assert_eq!(sessions.find_session(&short.id, 150).await.unwrap(), None);
    assert!(sessions.find_session(&SessionId::new("0"), 499).await.unwrap().is_some());
}

async fn a_revoked_session_is_gone(store: TestStore) {
    let sessions = &store.sessions;
    let (mine, yours) = (session("mine", "alice", 1, 100), session("yours", "alice", 1, 100));
    sessions.open_session(&mine, SESSIONS_MAX).await.unwrap();
    sessions.open_session(&yours, SESSIONS_MAX).await.unwrap();
    sessions.revoke_session(&mine.id).await.unwrap();
    sessions.revoke_session(&mine.id).await.unwrap();
    sessions.renew_session(&mine.id, 50, 500).await.unwrap();
    assert_eq!(sessions.find_session(&mine.id, 50).await.unwrap(), None);
    assert_eq!(sessions.find_session(&yours.id, 50).await.unwrap(), Some(yours));
}

async fn all_sessions_of_a_user_are_revoked_at_once(store: TestStore) {
    let sessions = &store.sessions;
    for (id, person) in [("phone", "alice"), ("laptop", "alice"), ("other", "Alice"), ("bobs", "bob")] {
        sessions.open_session(&session(id, person, 1, 100), SESSIONS_MAX).await.unwrap();
    }
    let revoke = async || {
        let ids = sessions.revoke_sessions_of(&name("alice")).await.unwrap();
        ids.iter().map(|id| id.as_str().to_owned()).collect::<BTreeSet<_>>()
    };
    assert_eq!(revoke().await, BTreeSet::from(["laptop".to_owned(), "phone".to_owned()]));
    assert_eq!(revoke().await, BTreeSet::new());
    for (id, is_left) in [("phone", false), ("laptop", false), ("other", true), ("bobs", true)] {
        let found = sessions.find_session(&SessionId::new(id), 50).await.unwrap();
        assert_eq!(found.is_some(), is_left, "{id}");
    }
    sessions.renew_session(&SessionId::new("phone"), 50, 500).await.unwrap();
    sessions.touch_session(&SessionId::new("phone"), 60).await.unwrap();
    assert_eq!(sessions.sessions_of(&name("alice"), 50).await.unwrap(), []);
    // A later sign-in is not affected.
    sessions.open_session(&session("new", "alice", 60, 160), SESSIONS_MAX).await.unwrap();
    assert_eq!(sessions.sessions_of(&name("alice"), 60).await.unwrap().len(), 1);
}

async fn sessions_are_listed_newest_first(store: TestStore) {
    let sessions = &store.sessions;
    let of = async |person: &str, now_ms: u64| sessions.sessions_of(&name(person), now_ms).await.unwrap();
    assert_eq!(of("alice", 0).await, []);
    let (old, young) = (session("b", "alice", 10, 300), session("a", "alice", 20, 200));
    let twin = Session { device: String::new(), address: String::new(), ..session("c", "alice", 20, 250) };
    for each in [&young, &old, &twin, &session("d", "bob", 15, 300)] {
        sessions.open_session(each, SESSIONS_MAX).await.unwrap();
    }
    assert_eq!(of("alice", 199).await, [twin.clone(), young, old.clone()]);
    assert_eq!(of("alice", 200).await, [twin, old.clone()], "one has ended");
    assert_eq!(of("alice", 299).await, [old]);
    assert_eq!(of("Alice", 100).await, []);

    for index in 0..SESSIONS_LISTED_MAX as u64 {
        sessions
            .open_session(&session(&format!("many {index}"), "alice", 30 + index, 900), SESSIONS_MAX)
            .await
            .unwrap();
    }
    let listed = of("alice", 150).await;
    assert_eq!(listed.len(), SESSIONS_LISTED_MAX);
    assert_eq!((listed[0].created_at_ms, listed[SESSIONS_LISTED_MAX - 1].created_at_ms), (129, 30));
}

async fn the_last_use_of_a_session_never_moves_back(store: TestStore) {
    let sessions = &store.sessions;
    let phone = session("phone", "alice", 1, 100);
    sessions.open_session(&phone, SESSIONS_MAX).await.unwrap();
    sessions.touch_session(&phone.id, 50).await.unwrap();
    let seen = Session { last_seen_at_ms: 50, ..phone.clone() };
    assert_eq!(sessions.find_session(&phone.id, 60).await.unwrap(), Some(seen.clone()));
    // A slower request reports an earlier use.
    sessions.touch_session(&phone.id, 40).await.unwrap();
    assert_eq!(sessions.sessions_of(&name("alice"), 60).await.unwrap(), [seen]);
    sessions.touch_session(&SessionId::new("nobody's"), 40).await.unwrap();
    assert_eq!(sessions.find_session(&SessionId::new("nobody's"), 0).await.unwrap(), None);
}

async fn the_valid_sessions_among_many_are_found(store: TestStore) {
    let sessions = &store.sessions;
    for (id, ends) in [("a", 200), ("b", 300), ("c", 400), ("'\"[", 500)] {
        sessions.open_session(&session(id, "alice", 1, ends), SESSIONS_MAX).await.unwrap();
    }
    sessions.revoke_session(&SessionId::new("b")).await.unwrap();
    let valid = async |ids: &[&str]| {
        let ids: Vec<_> = ids.iter().map(|id| SessionId::new(id)).collect();
        let mut valid = sessions.valid_sessions(&ids, 200).await.unwrap();
        valid.sort_by_key(|(_, end)| *end);
        valid.into_iter().map(|(id, end)| (id.as_str().to_owned(), end)).collect::<Vec<_>>()
    };
    assert_eq!(valid(&[]).await, []);
    let all = ["a", "b", "c", "nobody's", "'\"["];
    assert_eq!(valid(&all).await, [("c".to_owned(), 400), ("'\"[".to_owned(), 500)]);
    assert_eq!(valid(&all[..2]).await, []);
    assert_eq!(valid(&all[2..3]).await, [("c".to_owned(), 400)]);
}

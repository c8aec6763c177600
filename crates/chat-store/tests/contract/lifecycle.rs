//! A store as a whole: opening it again, closing it, its epoch and its check.

use chat_core::{Outcome, PageFrom};
use chat_store::StoreError;

use crate::common::{
    ALL, SESSIONS_MAX, TestStore, WithNonce as _, draft, duplicate, name, pair, private, room, session,
    stored, texts,
};

every_store! {
    a_restart_keeps_everything,
    a_closed_store_refuses_calls,
    the_epoch_stays,
    a_check_of_an_open_store_succeeds,
}

/// Except in memory.
async fn a_restart_keeps_everything(store: TestStore) {
    if !store.is_kept() {
        return;
    }
    let epoch = store.log.epoch().to_owned();
    store.account("bob").await;
    let session = session("s", "bob", 5, 50);
    store.sessions.open_session(&session, SESSIONS_MAX).await.unwrap();
    let batch = [draft(&room("kitchen"), "alice", "Привет").nonce("n"), private("alice", "bob", "psst")];
    store.append(&batch, 9).await;

    let store = store.reopened().await;
    assert_eq!(store.log.epoch(), epoch);
    assert!(store.users.find_user(&name("bob")).await.unwrap().is_some());
    assert_eq!(store.sessions.find_session(&session.id, 49).await.unwrap(), Some(session));
    assert_eq!(texts(&store.all(&room("kitchen")).await), ["Привет"]);
    assert_eq!(texts(&store.all(&pair("bob", "alice")).await), ["psst"]);
    let again = [draft(&room("garden"), "alice", "x").nonce("n"), draft(&room("kitchen"), "alice", "y")];
    assert_eq!(store.append(&again, 1).await, [duplicate(&room("kitchen"), 1, 9), stored(2, 9)]);
    // Another database is another numbering.
    assert_ne!(store.another().await.log.epoch(), epoch);
}

/// Except in memory, where closing changes nothing.
async fn a_closed_store_refuses_calls(store: TestStore) {
    if !store.is_kept() {
        return;
    }
    let draft = draft(&room("kitchen"), "alice", "a");
    assert!(matches!(store.append(std::slice::from_ref(&draft), 1).await[..], [Outcome::Stored { .. }]));
    store.stores.clone().close().await;
    let refused = store.log.append(std::slice::from_ref(&draft), 1).await;
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "{refused:?}");
    assert!(store.log.page(&draft.topic, PageFrom::Latest, ALL).await.is_err());
    assert!(store.log.check().await.is_err());
    assert!(store.log.check_write().await.is_err());
    // A store can be closed twice.
    store.stores.close().await;
}

async fn the_epoch_stays(store: TestStore) {
    let epoch = store.log.epoch().to_owned();
    assert_eq!(epoch.len(), 36);
    store.append(&[draft(&room("kitchen"), "alice", "a")], 1).await;
    assert_eq!(store.log.epoch(), epoch);
}

async fn a_check_of_an_open_store_succeeds(store: TestStore) {
    store.log.check().await.unwrap();
    store.append(&[draft(&room("kitchen"), "alice", "a")], 1).await;
    store.log.check().await.unwrap();
    for _ in 0..2 {
        store.log.check_write().await.unwrap();
    }
}

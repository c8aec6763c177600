//! The names that new accounts may have.

use std::collections::BTreeSet;
use std::sync::Arc;

use chat_store::{NewUser, StoreError};

use crate::common::{TestStore, name, newcomer};

every_store! {
    a_name_is_registered_once,
    a_confusable_name_is_refused,
    of_confusable_names_registered_at_once_one_is_accepted,
    the_name_of_a_removed_account_can_be_registered_again_on_purpose,
}

async fn a_name_is_registered_once(store: TestStore) {
    store.account("Алиса").await;
    let mut again =
        NewUser { name: name("Алиса"), password_hash: "another".into(), avatar: None, created_at_ms: 5 };
    let refused = store.users.create_user(&again).await;
    assert!(matches!(refused, Err(StoreError::NameTaken)), "{refused:?}");
    assert_eq!(refused.unwrap_err().to_string(), "username already exists");
    let first = store.users.find_user(&name("Алиса")).await.unwrap().unwrap();
    assert_ne!(first.password_hash, "another");
    again.name = name("Алина");
    store.users.create_user(&again).await.unwrap();
}

async fn a_confusable_name_is_refused(store: TestStore) {
    let store = {
        for person in ["alice", "Алиса", "BOB"] {
            store.account(person).await;
        }
        // A restart makes no difference.
        if store.is_kept() { store.reopened().await } else { store }
    };
    let users = &store.users;
    for person in ["Alice", "аlice", "AIice", "a1ice", "АЛИСА", "bob", "ВОВ", "ｂｏｂ"] {
        for refused in [
            users.check_new_name(&name(person)).await,
            users.create_user(&newcomer(person)).await,
            users.recreate_user(&newcomer(person)).await,
        ] {
            assert!(matches!(refused, Err(StoreError::NameConfusable)), "{person}: {refused:?}");
        }
        assert_eq!(users.find_user(&name(person)).await.unwrap(), None);
    }
    let refused = users.check_new_name(&name("alice")).await.unwrap_err();
    assert!(matches!(refused, StoreError::NameTaken), "{refused:?}");
    for person in ["alicia", "Алина", "bob2"] {
        users.check_new_name(&name(person)).await.unwrap();
        users.create_user(&newcomer(person)).await.unwrap();
    }
}

async fn of_confusable_names_registered_at_once_one_is_accepted(store: TestStore) {
    for round in 0..20 {
        let alike = ["alice", "ALICE", "аlice", "AIice", "Alice", "alice"];
        let wanted = alike.map(|person| newcomer(&format!("{person} {round}")));
        let mut asking = tokio::task::JoinSet::new();
        for user in wanted.clone() {
            let users = Arc::clone(&store.users);
            asking.spawn(async move { users.create_user(&user).await });
        }
        let given = asking.join_all().await.into_iter().filter(|answer| match answer {
            Ok(()) => true,
            Err(StoreError::NameTaken | StoreError::NameConfusable) => false,
            Err(error) => panic!("{error:?}"),
        });
        assert_eq!(given.count(), 1);
        let mut names = BTreeSet::new();
        for user in &wanted {
            names.extend(store.users.find_user(&user.name).await.unwrap().map(|user| user.name));
        }
        assert_eq!(names.len(), 1, "{names:?}");
    }
}

async fn the_name_of_a_removed_account_can_be_registered_again_on_purpose(store: TestStore) {
    store.account("alice").await;
    let users = &store.users;
    let taken = users.recreate_user(&newcomer("alice")).await;
    assert!(matches!(taken, Err(StoreError::NameTaken)), "{taken:?}");
    users.remove_user(&name("alice")).await.unwrap();
    let again = NewUser { password_hash: "another".into(), ..newcomer("alice") };
    users.recreate_user(&again).await.unwrap();
    assert_eq!(users.find_user(&name("alice")).await.unwrap().unwrap().password_hash, "another");
    let alike = users.create_user(&newcomer("Alice")).await;
    assert!(matches!(alike, Err(StoreError::NameConfusable)), "{alike:?}");
    // A name that no account had is registered as by `create_user`.
    users.recreate_user(&newcomer("bob")).await.unwrap();
    let taken = users.create_user(&newcomer("bob")).await;
    assert!(matches!(taken, Err(StoreError::NameTaken)), "{taken:?}");
}

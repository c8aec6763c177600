//! The administrators.

use chat_store::{NewUser, RoleChange};

use crate::common::{TestStore, name, newcomer};

every_store! {
    accounts_become_administrators_and_members_again,
    the_last_administrator_keeps_the_role,
    of_two_administrators_who_are_demoted_at_once_one_stays,
    only_an_account_with_a_password_becomes_an_administrator,
    a_removed_account_loses_its_role,
    roles_survive_a_restart,
}

async fn set(store: &TestStore, person: &str, is_administrator: bool) -> RoleChange {
    store.users.set_administrator(&name(person), is_administrator, 5).await.unwrap()
}

async fn is_administrator(store: &TestStore, person: &str) -> bool {
    store.users.is_administrator(&name(person)).await.unwrap()
}

async fn administrators(store: &TestStore) -> Vec<String> {
    let all = store.users.administrators().await.unwrap();
    all.iter().map(|name| name.as_str().to_owned()).collect()
}

async fn accounts_become_administrators_and_members_again(store: TestStore) {
    for person in ["alice", "bob", "Алиса"] {
        store.account(person).await;
        assert!(!is_administrator(&store, person).await);
    }
    assert_eq!(administrators(&store).await, [""; 0]);
    // Once or twice.
    for person in ["Алиса", "alice", "alice"] {
        assert_eq!(set(&store, person, true).await, RoleChange::Done);
        assert!(is_administrator(&store, person).await);
    }
    assert_eq!(administrators(&store).await, ["alice", "Алиса"]);
    assert!(!is_administrator(&store, "Alice").await && !is_administrator(&store, "bob").await);
    for person in ["alice", "alice", "bob", "nobody"] {
        assert_eq!(set(&store, person, false).await, RoleChange::Done, "{person}");
    }
    assert_eq!(administrators(&store).await, ["Алиса"]);
}

async fn the_last_administrator_keeps_the_role(store: TestStore) {
    store.account("alice").await;
    store.account("bob").await;
    set(&store, "alice", true).await;
    assert_eq!(set(&store, "alice", false).await, RoleChange::LastAdministrator);
    assert_eq!(administrators(&store).await, ["alice"]);
    set(&store, "bob", true).await;
    assert_eq!(set(&store, "alice", false).await, RoleChange::Done);
    assert_eq!(set(&store, "bob", false).await, RoleChange::LastAdministrator);
    assert_eq!(administrators(&store).await, ["bob"]);
}

async fn of_two_administrators_who_are_demoted_at_once_one_stays(store: TestStore) {
    store.account("alice").await;
    store.account("bob").await;
    for _ in 0..20 {
        set(&store, "alice", true).await;
        set(&store, "bob", true).await;
        let demote = |person: &'static str| {
            let users = store.users.clone();
            tokio::spawn(async move { users.set_administrator(&name(person), false, 5).await.unwrap() })
        };
        let (one, other) = (demote("alice"), demote("bob"));
        let changes = [one.await.unwrap(), other.await.unwrap()];
        assert!(changes.contains(&RoleChange::Done) && changes.contains(&RoleChange::LastAdministrator));
        assert_eq!(administrators(&store).await.len(), 1);
    }
}

async fn only_an_account_with_a_password_becomes_an_administrator(store: TestStore) {
    // What stands in place of a hash for users of another issuer.
    store.users.create_user(&NewUser { password_hash: "!".into(), ..newcomer("guest") }).await.unwrap();
    for person in ["guest", "nobody"] {
        assert_eq!(set(&store, person, true).await, RoleChange::NoPassword);
        assert!(!is_administrator(&store, person).await);
    }
    assert_eq!(administrators(&store).await, [""; 0]);
    assert!(store.users.set_password_hash(&name("guest"), "!", "$argon2id$…").await.unwrap());
    assert_eq!(set(&store, "guest", true).await, RoleChange::Done);
}

async fn a_removed_account_loses_its_role(store: TestStore) {
    store.account("alice").await;
    set(&store, "alice", true).await;
    store.users.remove_user(&name("alice")).await.unwrap();
    assert_eq!(administrators(&store).await, [""; 0]);
    assert!(!is_administrator(&store, "alice").await);
    store.users.recreate_user(&newcomer("alice")).await.unwrap();
    assert!(!is_administrator(&store, "alice").await);
}

async fn roles_survive_a_restart(store: TestStore) {
    if !store.is_kept() {
        return;
    }
    store.account("alice").await;
    set(&store, "alice", true).await;
    let store = store.reopened().await;
    assert_eq!(administrators(&store).await, ["alice"]);
}

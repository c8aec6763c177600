//! Links that set a password.

use super::*;

every_store! {
    an_account_without_a_password_gets_no_link,
    a_link_sets_one_password_once,
    a_link_ends_with_the_role_of_its_maker_and_with_a_ban,
    a_link_ends_with_the_password_and_with_the_account,
}

async fn an_account_without_a_password_gets_no_link(store: TestStore) {
    let external = NewUser { password_hash: "external".into(), ..new_user("eve") };
    store.users.create_user(&external).await.unwrap();
    let link = NewPasswordLink { user: name("eve"), secret: secret(1), expires_at_ms: 100 };
    assert!(!store.administration.create_password_link(&link, None, 10).await.unwrap());
}

async fn a_link_sets_one_password_once(store: TestStore) {
    store.accounts("alice bob").await;
    promote(&store, "alice").await;
    store.sessions.open_session(&session("one", "bob", 1, 1000), SESSIONS_MAX).await.unwrap();
    let by = name("alice");
    let link =
        |number, user| NewPasswordLink { user: name(user), secret: secret(number), expires_at_ms: 100 };
    let make = async |number, user| {
        store.administration.create_password_link(&link(number, user), Some(&by), 10).await.unwrap()
    };
    assert!(!make(1, "eve").await);
    assert!(make(1, "bob").await && make(1, "bob").await);
    // The newest is the only one.
    assert!(make(2, "bob").await);
    let find = async |number, now| store.administration.find_password_link(&secret(number), now).await;
    assert_eq!(find(1, 20).await.unwrap(), None);
    assert_eq!(find(2, 20).await.unwrap(), Some(name("bob")));
    assert_eq!(find(2, 100).await.unwrap(), None);
    let set = async |number, hash, now| {
        store.administration.use_password_link(&secret(number), hash, now).await.unwrap()
    };
    assert_eq!(set(1, "$new", 20).await, None);
    assert_eq!(set(2, "$new", 20).await, Some((name("bob"), vec![session_id("one")])));
    assert_eq!(store.users.find_user(&name("bob")).await.unwrap().unwrap().password_hash, "$new");
    assert_eq!(store.sessions.find_session(&session_id("one"), 20).await.unwrap(), None);
    assert_eq!(set(2, "$newer", 20).await, None);
    assert_eq!(store.users.find_user(&name("bob")).await.unwrap().unwrap().password_hash, "$new");

    store.sessions.open_session(&session("two", "bob", 1, 1000), SESSIONS_MAX).await.unwrap();
    let reset = store.administration.reset_password(&name("bob"), "$third", None, 30).await.unwrap();
    assert_eq!(reset, Some(vec![session_id("two")]));
    assert_eq!(store.administration.reset_password(&name("eve"), "$x", None, 30).await.unwrap(), None);
    assert_eq!(
        audit(&store).await,
        [
            r#"server: user.role alice {"role":"administrator"}"#,
            "alice: user.password bob",
            "alice: user.password bob",
            "server: user.password bob",
        ]
    );
}

async fn a_link_ends_with_the_role_of_its_maker_and_with_a_ban(store: TestStore) {
    store.accounts("alice bob carol").await;
    for user in ["alice", "carol"] {
        store.users.set_administrator(&name(user), true, 1).await.unwrap();
    }
    let make = async |number, by: &str| {
        let link = NewPasswordLink { user: name("bob"), secret: secret(number), expires_at_ms: 100 };
        store.administration.create_password_link(&link, Some(&name(by)), 10).await.unwrap()
    };
    let find = async |number| store.administration.find_password_link(&secret(number), 20).await.unwrap();
    assert!(make(1, "carol").await);
    store.administration.set_role(&name("alice"), true, None, 15).await.unwrap();
    assert_eq!(find(1).await, Some(name("bob")));
    store.administration.set_role(&name("carol"), false, Some(&name("alice")), 15).await.unwrap();
    assert_eq!(find(1).await, None, "carol is no administrator any more");

    assert!(make(2, "alice").await);
    let ban =
        NewBan { user: name("bob"), reason: String::new(), delete_messages: false, without_account: false };
    store.administration.ban(&ban, Some(&name("alice")), 15).await.unwrap().unwrap();
    assert_eq!(find(2).await, None, "bob is banned");
}

async fn a_link_ends_with_the_password_and_with_the_account(store: TestStore) {
    store.accounts("alice bob carol").await;
    promote(&store, "alice").await;
    promote(&store, "carol").await;
    let make = async |number, user: &str, by: &str| {
        let link = NewPasswordLink { user: name(user), secret: secret(number), expires_at_ms: 100 };
        store.administration.create_password_link(&link, Some(&name(by)), 10).await.unwrap()
    };
    let find = async |number| store.administration.find_password_link(&secret(number), 20).await.unwrap();
    assert!(!make(1, "alice", "bob").await, "bob is no administrator");
    // The user changes the password.
    assert!(make(2, "bob", "alice").await);
    let bob = store.users.find_user(&name("bob")).await.unwrap().unwrap();
    let kept = session_id("kept");
    let change = |old| PasswordChange { user: &bob.name, old, new: "$argon2id$changed", kept: &kept };
    assert_eq!(store.users.change_password(change("$wrong")).await.unwrap(), None);
    assert_eq!(find(2).await, Some(name("bob")));
    store.users.change_password(change(&bob.password_hash)).await.unwrap().unwrap();
    assert_eq!(find(2).await, None, "bob has another password");
    // The operator sets it.
    assert!(make(3, "bob", "alice").await);
    store.administration.reset_password(&name("bob"), "$argon2id$reset", None, 10).await.unwrap();
    assert_eq!(find(3).await, None, "bob has another password");
    // The account of the user, or of the maker, is removed.
    assert!(make(4, "bob", "alice").await);
    store.users.remove_user(&name("bob")).await.unwrap();
    assert_eq!(find(4).await, None, "there is no bob");
    store.users.recreate_user(&new_user("bob")).await.unwrap();
    assert!(make(5, "bob", "carol").await);
    store.users.remove_user(&name("carol")).await.unwrap();
    assert_eq!(find(5).await, None, "there is no carol");
}

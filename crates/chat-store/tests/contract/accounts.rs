//! Accounts: finding, listing and removing them, and their passwords.

use std::collections::BTreeSet;

use chat_core::{Outcome, SessionId};
use chat_store::{NewUser, PasswordChange, StoreError, User};

use crate::common::{SESSIONS_MAX, TestStore, name, newcomer, pair, private, session, texts};

every_store! {
    an_account_is_found_by_its_exact_name,
    an_account_is_found_whatever_the_case_of_its_name,
    an_account_is_found_as_typed_before_it_is_found_as_it_would_be_registered,
    of_two_accounts_that_differ_only_in_case_each_is_found_by_its_exact_name,
    a_removed_account_is_gone_and_its_name_stays_taken,
    accounts_are_listed_page_by_page,
    a_password_hash_is_replaced_only_if_it_is_still_the_old_one,
    a_change_of_a_password_ends_the_other_sessions,
    a_picture_is_replaced_only_if_it_is_still_the_old_one,
}

async fn an_account_is_found_by_its_exact_name(store: TestStore) {
    let users = &store.users;
    for (index, person) in ["alice", "Алиса", "two words", "O’Neil", "李雷", "👩‍💻"].into_iter().enumerate()
    {
        let avatar = (index % 2 == 0).then(|| format!("/uploads/{index}.png"));
        let user = NewUser {
            name: name(person),
            password_hash: format!("$argon2id$…{index}"),
            avatar: avatar.clone(),
            created_at_ms: 1_795_371_797_123,
        };
        users.create_user(&user).await.unwrap();
        let found = users.find_user(&name(person)).await.unwrap().unwrap();
        let NewUser { name, password_hash, created_at_ms, .. } = user;
        assert_eq!(found, User { name, password_hash, avatar, created_at_ms });
    }
    for nobody in ["Alice", "алиса", "alice2", "' OR 1=1 --", "%"] {
        assert_eq!(users.find_user(&name(nobody)).await.unwrap(), None);
    }
}

async fn an_account_is_found_whatever_the_case_of_its_name(store: TestStore) {
    for person in ["Alice", "алиса", "Weiß", "İpek", "ΝΙΚΟΣ", "bob"] {
        store.account(person).await;
    }
    let found = async |typed: &str| {
        let typed = name(typed);
        let user = store.users.find_user_ignoring_case(&typed, &typed).await.unwrap();
        user.map(|user| user.name.as_str().to_owned())
    };
    for (typed, account) in [
        ("Alice", "Alice"),
        ("alice", "Alice"),
        ("ALICE", "Alice"),
        ("Алиса", "алиса"),
        ("АЛИСА", "алиса"),
        ("weiß", "Weiß"),
        ("WEISS", "Weiß"),
        ("İPEK", "İpek"),
        ("i\u{307}pek", "İpek"),
        ("νικος", "ΝΙΚΟΣ"),
        ("Bob", "bob"),
    ] {
        assert_eq!(found(typed).await.as_deref(), Some(account), "{typed}");
    }
    // Names that only look alike, and names without an account.
    for typed in ["аlice", "A1ICE", "AIice", "ａlice", "ipek", "b0b", "carol", "%"] {
        assert_eq!(found(typed).await, None, "{typed}");
    }
    store.users.remove_user(&name("Alice")).await.unwrap();
    assert_eq!(found("alice").await, None);
}

async fn an_account_is_found_as_typed_before_it_is_found_as_it_would_be_registered(store: TestStore) {
    for person in ["alice", "Bob"] {
        store.account(person).await;
    }
    let found = async |typed: &str, registered: &str| {
        let (typed, registered) = (name(typed), name(registered));
        let user = store.users.find_user_ignoring_case(&typed, &registered).await.unwrap();
        user.map(|user| user.name.as_str().to_owned())
    };
    assert_eq!(found("alice", "Bob").await.as_deref(), Some("alice"));
    assert_eq!(found(" Bob ", "Bob").await.as_deref(), Some("Bob"));
    assert_eq!(found(" bob ", "bob").await.as_deref(), Some("Bob"));
    assert_eq!(found("BOB", "carol").await, None, "only the exact name counts as typed");
    store.users.remove_user(&name("Bob")).await.unwrap();
    assert_eq!(found(" bob ", "bob").await, None);
    store.users.recreate_user(&newcomer("Bob")).await.unwrap();
    assert_eq!(found(" bob ", "bob").await.as_deref(), Some("Bob"));
}

/// Except in memory: only a database of the original chat has such accounts.
async fn of_two_accounts_that_differ_only_in_case_each_is_found_by_its_exact_name(store: TestStore) {
    if !store.is_kept() {
        return;
    }
    for (person, hash) in [("Alice", "1"), ("alice", "2"), ("Bob", "3"), ("b0b", "4")] {
        store.foreign_account(person, hash).await;
    }
    let store = store.reopened().await;
    let found = async |typed: &str| {
        let typed = name(typed);
        let user = store.users.find_user_ignoring_case(&typed, &typed).await.unwrap();
        user.map(|user| user.password_hash)
    };
    assert_eq!(found("Alice").await.as_deref(), Some("1"));
    assert_eq!(found("alice").await.as_deref(), Some("2"));
    assert_eq!(found("ALICE").await, None);
    let exact = store.users.find_user_ignoring_case(&name(" alice "), &name("alice")).await.unwrap();
    assert_eq!(exact.unwrap().password_hash, "2");
    // A name that only looks alike is no match.
    assert_eq!(found("BOB").await.as_deref(), Some("3"));
    store.users.remove_user(&name("alice")).await.unwrap();
    assert_eq!(found("ALICE").await.as_deref(), Some("1"));
}

async fn a_removed_account_is_gone_and_its_name_stays_taken(store: TestStore) {
    store.account("alice").await;
    store.account("bob").await;
    store.append(&[private("bob", "alice", "hi")], 1).await;
    let users = &store.users;
    users.remove_user(&name("alice")).await.unwrap();
    users.remove_user(&name("alice")).await.unwrap();
    assert_eq!(users.find_user(&name("alice")).await.unwrap(), None);
    assert!(users.find_user(&name("bob")).await.unwrap().is_some());
    assert!(!users.set_password_hash(&name("alice"), "$argon2id$…", "new").await.unwrap());
    let taken = users.create_user(&newcomer("alice")).await;
    assert!(matches!(taken, Err(StoreError::NameTaken)), "{taken:?}");
    for alike in [users.create_user(&newcomer("Alice")).await, users.recreate_user(&newcomer("Alice")).await]
    {
        assert!(matches!(alike, Err(StoreError::NameConfusable)), "{alike:?}");
    }
    // Its messages stay, and new private messages to it are refused.
    assert_eq!(texts(&store.all(&pair("alice", "bob")).await), ["hi"]);
    let lost = store.append(&[private("bob", "alice", "are you there?")], 2).await;
    assert_eq!(lost, [Outcome::NoRecipient { at_ms: 2 }]);
    // The name of an account that never existed is free.
    users.remove_user(&name("carol")).await.unwrap();
    users.create_user(&newcomer("Carol")).await.unwrap();
}

async fn accounts_are_listed_page_by_page(store: TestStore) {
    let users = &store.users;
    assert_eq!(users.list_users(None, 10).await.unwrap(), []);
    for person in ["Алиса", "bob", "李雷", "alice", "two words"] {
        let avatar = (person == "bob").then(|| "/uploads/b.webp".to_owned());
        users.create_user(&NewUser { avatar, created_at_ms: 7_000, ..newcomer(person) }).await.unwrap();
    }
    let all = users.list_users(None, 10).await.unwrap();
    let names: BTreeSet<_> = all.iter().map(|user| user.name.as_str()).collect();
    assert_eq!(names, BTreeSet::from(["Алиса", "bob", "李雷", "alice", "two words"]));
    for user in &all {
        assert_eq!(Some(user), users.find_user(&user.name).await.unwrap().as_ref());
    }
    let first = users.list_users(None, 2).await.unwrap();
    assert_eq!(first, all[..2]);
    assert_eq!(users.list_users(Some(&first[1].name), 2).await.unwrap(), all[2..4]);
    assert_eq!(users.list_users(Some(&all[3].name), 2).await.unwrap(), all[4..]);
    assert_eq!(users.list_users(Some(&all[4].name), 2).await.unwrap(), []);
}

async fn a_password_hash_is_replaced_only_if_it_is_still_the_old_one(store: TestStore) {
    let users = &store.users;
    let hash = async |person: &str| {
        let user = users.find_user(&name(person)).await.unwrap();
        user.map(|user| user.password_hash)
    };
    store.account("alice").await;
    store.account("bob").await;
    let first = hash("alice").await.unwrap();
    assert!(users.set_password_hash(&name("alice"), &first, "second").await.unwrap());
    assert_eq!(hash("alice").await.unwrap(), "second");
    // A caller that read the first hash is too late.
    assert!(!users.set_password_hash(&name("alice"), &first, "third").await.unwrap());
    assert!(!users.set_password_hash(&name("Alice"), "second", "third").await.unwrap());
    assert_eq!(hash("alice").await.unwrap(), "second");
    assert_eq!(hash("bob").await.unwrap(), first);
    assert_eq!(hash("Alice").await, None);
    let alice = users.find_user(&name("alice")).await.unwrap().unwrap();
    assert_eq!((alice.avatar, alice.created_at_ms), (None, 1));
}

async fn a_change_of_a_password_ends_the_other_sessions(store: TestStore) {
    store.account("alice").await;
    let old = store.users.find_user(&name("alice")).await.unwrap().unwrap().password_hash;
    for (id, person) in [("phone", "alice"), ("laptop", "alice"), ("tablet", "alice"), ("bobs", "bob")] {
        store.sessions.open_session(&session(id, person, 1, 100), SESSIONS_MAX).await.unwrap();
    }
    let valid = async || {
        let ids = ["bobs", "laptop", "phone", "tablet"].map(SessionId::new);
        let valid = store.sessions.valid_sessions(&ids, 50).await.unwrap();
        valid.into_iter().map(|(id, _)| id.as_str().to_owned()).collect::<BTreeSet<_>>()
    };
    let change = async |person: &str, old: &str, new: &str| {
        let (user, kept) = (name(person), SessionId::new("laptop"));
        let change = PasswordChange { user: &user, old, new, kept: &kept };
        let ended = store.users.change_password(change).await.unwrap();
        ended.map(|ended| ended.iter().map(|id| id.as_str().to_owned()).collect::<BTreeSet<_>>())
    };
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<BTreeSet<_>>();
    // A caller that checked another hash changes nothing.
    assert_eq!(change("alice", "another", "new").await, None);
    assert_eq!(change("Alice", &old, "new").await, None);
    assert_eq!(valid().await, texts(&["bobs", "laptop", "phone", "tablet"]));
    assert_eq!(change("alice", &old, "new").await, Some(texts(&["phone", "tablet"])));
    assert_eq!(valid().await, texts(&["bobs", "laptop"]));
    assert_eq!(store.users.find_user(&name("alice")).await.unwrap().unwrap().password_hash, "new");
    assert_eq!(change("alice", &old, "newer").await, None);
    assert_eq!(change("alice", "new", "newer").await, Some(texts(&[])));
    // The kept session may be another user's, or none: nothing is kept then.
    store.account("bob").await;
    let bobs = store.users.find_user(&name("bob")).await.unwrap().unwrap().password_hash;
    assert_eq!(change("bob", &bobs, "new").await, Some(texts(&["bobs"])));
    assert_eq!(valid().await, texts(&["laptop"]));
}

async fn a_picture_is_replaced_only_if_it_is_still_the_old_one(store: TestStore) {
    let users = &store.users;
    let set = async |person: &str, old: Option<&str>, new: Option<&str>| {
        users.set_avatar(&name(person), old, new).await.unwrap()
    };
    let avatar = async |person: &str| users.find_user(&name(person)).await.unwrap().unwrap().avatar;
    store.account("alice").await;
    store.account("bob").await;
    assert!(!users.is_avatar_used("/uploads/a.webp").await.unwrap());
    assert!(set("alice", None, Some("/uploads/a.webp")).await);
    assert_eq!((avatar("alice").await.as_deref(), avatar("bob").await), (Some("/uploads/a.webp"), None));
    assert!(users.is_avatar_used("/uploads/a.webp").await.unwrap());
    assert!(!users.is_avatar_used("/uploads/A.webp").await.unwrap());
    assert_eq!(users.count_users().await.unwrap(), users.list_users(None, 100).await.unwrap().len() as u64);
    // Another request was first.
    assert!(!set("alice", None, Some("/uploads/b.webp")).await);
    assert!(!set("alice", Some("/uploads/c.webp"), None).await);
    assert!(!set("nobody", None, Some("/uploads/b.webp")).await);
    assert_eq!(avatar("alice").await.as_deref(), Some("/uploads/a.webp"));
    // It is so already.
    assert!(set("alice", Some("/uploads/c.webp"), Some("/uploads/a.webp")).await);
    assert!(set("alice", Some("/uploads/a.webp"), Some("/uploads/b.webp")).await);
    assert!(!users.is_avatar_used("/uploads/a.webp").await.unwrap());
    assert!(set("bob", None, Some("/uploads/b.webp")).await);
    assert!(set("alice", Some("/uploads/b.webp"), None).await);
    assert_eq!(avatar("alice").await, None);
    assert!(users.is_avatar_used("/uploads/b.webp").await.unwrap(), "bob has it");
}

//! The directory of accounts: pages, searches, and named accounts.

use chat_core::Username;
use chat_store::{NewUser, User};

use crate::common::{TestStore, name, newcomer};

every_store! {
    all_accounts_are_listed_by_name_page_by_page,
    accounts_are_found_by_the_beginning_of_a_word,
    an_account_with_two_matching_words_is_found_once,
    removed_and_recreated_accounts_are_missing_and_found_again,
    named_accounts_are_found,
    accounts_of_other_programs_are_listed_after_a_restart,
}

async fn found(store: &TestStore, prefix: &str, after: Option<&str>, max: usize) -> Vec<String> {
    let (prefix, after) = (Some(prefix).filter(|text| !text.is_empty()).map(name), after.map(name));
    let users = store.users.search_users(prefix.as_ref(), after.as_ref(), max).await.unwrap();
    names(users)
}

fn names(users: Vec<User>) -> Vec<String> {
    users.into_iter().map(|user| user.name.as_str().to_owned()).collect()
}

/// All pages of a search.
async fn by_pages(store: &TestStore, prefix: &str, max: usize) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    loop {
        let page = found(store, prefix, all.last().map(String::as_str), max).await;
        let is_last = page.len() < max;
        all.extend(page);
        if is_last {
            return all;
        }
    }
}

async fn all_accounts_are_listed_by_name_page_by_page(store: TestStore) {
    assert_eq!(found(&store, "", None, 10).await, [""; 0]);
    for person in ["李雷", "bob", "Алиса", "Zoe", "Anna Maria Bob", "яна", "👩‍💻"] {
        store.account(person).await;
    }
    let all = ["Anna Maria Bob", "bob", "Zoe", "Алиса", "яна", "李雷", "👩‍💻"];
    for max in 1..=8 {
        assert_eq!(by_pages(&store, "", max).await, all, "{max} in a page");
    }
    // A page goes on behind an account that was removed meanwhile.
    store.users.remove_user(&name("bob")).await.unwrap();
    assert_eq!(found(&store, "", Some("bob"), 1).await, ["Zoe"]);
    let user = NewUser { avatar: Some("/uploads/b.webp".into()), created_at_ms: 7_000, ..newcomer("carol") };
    store.users.create_user(&user).await.unwrap();
    let listed = store.users.search_users(Some(&name("carol")), None, 1).await.unwrap();
    assert_eq!(listed.first(), store.users.find_user(&name("carol")).await.unwrap().as_ref());
}

async fn accounts_are_found_by_the_beginning_of_a_word(store: TestStore) {
    for person in ["Анна-Мария", "мария", "О’Нил 2", "Maria", "Weiß", "ÅSA", "a%b", "x_b", "Ann\u{e9}e"]
    {
        store.account(person).await;
    }
    for (prefix, expected) in [
        ("мар", &["Анна-Мария", "мария"][..]),
        ("МАРИЯ", &["Анна-Мария", "мария"]),
        ("анна-м", &["Анна-Мария"]),
        ("нна", &[]),
        ("ил", &[]),
        ("нил", &["О’Нил 2"]),
        ("2", &["О’Нил 2"]),
        ("mar", &["Maria"]),
        ("weis", &["Weiß"]),
        ("åsa", &["ÅSA"]),
        // Decomposed.
        ("A\u{30a}s", &["ÅSA"]),
        ("anne\u{301}", &["Ann\u{e9}e"]),
        ("a%", &["a%b"]),
        ("x_", &["x_b"]),
        ("x%", &[]),
        ("%", &[]),
        ("' OR 1=1 --", &[]),
        ("maria m", &[]),
    ] {
        assert_eq!(found(&store, prefix, None, 10).await, expected, "{prefix}");
    }
}

async fn an_account_with_two_matching_words_is_found_once(store: TestStore) {
    for person in ["Ann Anders", "Bob Ann Zoe Ann", "annie", "Zoe An"] {
        store.account(person).await;
    }
    // In the order of the matching words.
    let expected = ["Zoe An", "Ann Anders", "Bob Ann Zoe Ann", "annie"];
    for max in 1..=5 {
        let all = by_pages(&store, "an", max).await;
        assert_eq!(all, expected, "{max} in a page");
    }
    assert_eq!(found(&store, "an", Some("somebody else"), 5).await, [""; 0]);
}

async fn removed_and_recreated_accounts_are_missing_and_found_again(store: TestStore) {
    store.account("alice").await;
    store.account("alina").await;
    store.users.remove_user(&name("alice")).await.unwrap();
    assert_eq!(found(&store, "ali", None, 10).await, ["alina"]);
    store.users.recreate_user(&newcomer("alice")).await.unwrap();
    assert_eq!(found(&store, "ali", None, 10).await, ["alice", "alina"]);
    assert!(store.users.create_user(&newcomer("Alina")).await.is_err());
    assert_eq!(found(&store, "", None, 10).await, ["alice", "alina"]);
}

async fn named_accounts_are_found(store: TestStore) {
    for person in ["alice", "Bob", "О’Нил"] {
        store.account(person).await;
    }
    let wanted: Vec<Username> = ["О’Нил", "alice", "bob", "carol", "alice"].map(name).into();
    let mut found = names(store.users.find_users(&wanted).await.unwrap());
    found.sort();
    assert_eq!(found, ["alice", "О’Нил"]);
    assert_eq!(store.users.find_users(&[]).await.unwrap(), []);
}

async fn accounts_of_other_programs_are_listed_after_a_restart(store: TestStore) {
    if !store.is_kept() {
        return;
    }
    store.account("bob").await;
    store.foreign_account("Alice Cooper", "1").await;
    assert_eq!(found(&store, "", None, 10).await, ["bob"]);
    let store = store.reopened().await;
    assert_eq!(found(&store, "", None, 10).await, ["Alice Cooper", "bob"]);
    assert_eq!(found(&store, "coop", None, 10).await, ["Alice Cooper"]);
}

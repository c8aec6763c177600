//! Users of OpenID providers.

use chat_store::{NewUser, RegistrationTerms, RoleChange, StoreError, Subject};

use crate::common::{TestStore, name};

every_store! {
    a_subject_has_one_account,
    subjects_of_one_name_have_accounts_of_their_own,
    of_first_sign_ins_at_once_one_makes_the_account,
    a_removed_account_is_nobodys,
    an_account_that_another_program_removed_is_nobodys,
    a_name_that_is_given_again_is_of_no_subject,
    a_subject_may_be_an_administrator,
}

const ISSUER: &str = "https://id.example";

fn subject(subject: &str) -> Subject<'_> {
    Subject { issuer: ISSUER, subject }
}

/// Registers a name without a password for a subject.
async fn register(store: &TestStore, user: &str, subject: Subject<'_>) -> Result<bool, StoreError> {
    let password_hash = "!".to_owned();
    let user = NewUser { name: name(user), password_hash, avatar: None, created_at_ms: 1_000 };
    let terms = RegistrationTerms { subject: Some(subject), ..RegistrationTerms::default() };
    store.administration.register(&user, terms).await
}

/// The name of the account of a subject.
async fn account_of(store: &TestStore, subject: Subject<'_>) -> Option<String> {
    let found = store.users.find_subject(subject).await.unwrap();
    found.map(|user| user.name.as_str().to_owned())
}

async fn a_subject_has_one_account(store: TestStore) {
    assert_eq!(account_of(&store, subject("1")).await, None);
    assert!(register(&store, "Алиса", subject("1")).await.unwrap());
    assert_eq!(account_of(&store, subject("1")).await.as_deref(), Some("Алиса"));
    // Both texts say who it is.
    assert_eq!(account_of(&store, Subject { issuer: "https://other.example", subject: "1" }).await, None);
    assert_eq!(account_of(&store, subject("11")).await, None);
    let again = register(&store, "alice", subject("1")).await;
    assert!(matches!(again, Err(StoreError::NameTaken)), "{again:?}");
    assert_eq!(store.users.find_user(&name("alice")).await.unwrap(), None, "nothing is left");
    assert_eq!(account_of(&store, subject("1")).await.as_deref(), Some("Алиса"));
}

async fn subjects_of_one_name_have_accounts_of_their_own(store: TestStore) {
    store.account("bob").await;
    let taken = register(&store, "bob", subject("1")).await;
    assert!(matches!(taken, Err(StoreError::NameTaken)), "{taken:?}");
    assert_eq!(account_of(&store, subject("1")).await, None, "an account with a password is nobody's");
    assert!(register(&store, "alice", subject("1")).await.unwrap());
    let taken = register(&store, "alice", subject("2")).await;
    assert!(matches!(taken, Err(StoreError::NameTaken)), "{taken:?}");
    assert_eq!(account_of(&store, subject("2")).await, None);
    assert!(register(&store, "alice 2", subject("2")).await.unwrap());
    assert_eq!(account_of(&store, subject("1")).await.as_deref(), Some("alice"));
    assert_eq!(account_of(&store, subject("2")).await.as_deref(), Some("alice 2"));
}

async fn of_first_sign_ins_at_once_one_makes_the_account(store: TestStore) {
    let names: Vec<String> = (0..8).map(|number| format!("guest{number}")).collect();
    let attempts = names.iter().map(|user| register(&store, user, subject("1")));
    let made = futures_util::future::join_all(attempts).await;
    assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 1, "{made:?}");
    assert_eq!(store.users.count_users().await.unwrap(), 1);
    assert!(account_of(&store, subject("1")).await.is_some());
}

async fn a_removed_account_is_nobodys(store: TestStore) {
    assert!(register(&store, "alice", subject("1")).await.unwrap());
    store.users.remove_user(&name("alice")).await.unwrap();
    assert_eq!(account_of(&store, subject("1")).await, None);
    // Who gets the name by the operator does not get it by the subject.
    let password_hash = "$argon2id$…".to_owned();
    let again = NewUser { name: name("alice"), password_hash, avatar: None, created_at_ms: 9 };
    store.users.recreate_user(&again).await.unwrap();
    assert_eq!(account_of(&store, subject("1")).await, None);
    assert!(register(&store, "guest", subject("1")).await.unwrap());
    assert_eq!(account_of(&store, subject("1")).await.as_deref(), Some("guest"));
}

/// Another program knows nothing of subjects, and leaves the row of the account that it removes.
async fn an_account_that_another_program_removed_is_nobodys(store: TestStore) {
    if !store.is_kept() {
        return;
    }
    assert!(register(&store, "alice", subject("1")).await.unwrap());
    store.run_sql("DELETE FROM users WHERE username = 'alice'").await;
    assert_eq!(account_of(&store, subject("1")).await, None);
    let taken = register(&store, "alice", subject("1")).await;
    assert!(matches!(taken, Err(StoreError::NameTaken)), "{taken:?}");
    assert!(register(&store, "guest", subject("1")).await.unwrap());
    assert_eq!(account_of(&store, subject("1")).await.as_deref(), Some("guest"));
    let again = register(&store, "guest 2", subject("1")).await;
    assert!(matches!(again, Err(StoreError::NameTaken)), "{again:?}");
    assert_eq!(store.users.count_users().await.unwrap(), 1);
}

/// The operator gives the name of an account that another program has removed to somebody else.
async fn a_name_that_is_given_again_is_of_no_subject(store: TestStore) {
    if !store.is_kept() {
        return;
    }
    assert!(register(&store, "alice", subject("1")).await.unwrap());
    store.run_sql("DELETE FROM users WHERE username = 'alice'").await;
    let (user, password_hash) = (name("alice"), "a hash".to_owned());
    let alice = NewUser { name: user, password_hash, avatar: None, created_at_ms: 2_000 };
    store.users.recreate_user(&alice).await.unwrap();
    assert_eq!(account_of(&store, subject("1")).await, None);
    assert!(register(&store, "guest", subject("1")).await.unwrap());
}

async fn a_subject_may_be_an_administrator(store: TestStore) {
    assert!(register(&store, "alice", subject("1")).await.unwrap());
    let role = store.users.set_administrator(&name("alice"), true, 1).await.unwrap();
    assert_eq!(role, RoleChange::Done);
    assert!(store.users.is_administrator(&name("alice")).await.unwrap());
    // A user whom another issuer names is none.
    let password_hash = "!".to_owned();
    let foreign = NewUser { name: name("bob"), password_hash, avatar: None, created_at_ms: 1 };
    store.users.create_user(&foreign).await.unwrap();
    let role = store.users.set_administrator(&name("bob"), true, 1).await.unwrap();
    assert_eq!(role, RoleChange::NoPassword);
}

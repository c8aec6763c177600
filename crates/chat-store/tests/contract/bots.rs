//! Bots and webhooks.

use chat_core::SecretHash;
use chat_store::{
    Bot, NewBan, NewBot, NewUser, NewWebhook, RegistrationTerms, StoreError, WEBHOOKS_MAX, Webhook,
};

use crate::common::{TestStore, name, room_name};

every_store! {
    a_token_finds_its_bot_until_it_is_revoked,
    the_name_of_another_account_makes_no_bot,
    bots_are_no_accounts_of_people,
    a_webhook_is_for_a_room_of_its_bot,
    a_banned_or_removed_bot_has_no_token,
    bots_are_told_from_people,
}

fn secret(byte: u8) -> SecretHash {
    SecretHash::from_bytes([byte; 32])
}

/// An account without a password, as those of bots and of users of another issuer are.
fn account(user: &str, created_at_ms: u64) -> NewUser {
    NewUser { name: name(user), password_hash: "!".to_owned(), avatar: None, created_at_ms }
}

fn bot(token: u8, rooms: &[&str]) -> NewBot {
    NewBot {
        account: account("robot", 1_000 + u64::from(token)),
        token: secret(token),
        rooms: rooms.iter().map(|room| room_name(room)).collect(),
        by: Some(name("alice")),
    }
}

/// A bot with its account.
async fn made(store: &TestStore, token: u8, rooms: &[&str]) {
    store.bots.put_bot(&bot(token, rooms)).await.unwrap();
    assert!(!store.users.find_user(&name("robot")).await.unwrap().unwrap().has_password());
}

async fn audited(store: &TestStore) -> Vec<String> {
    let entries = store.administration.audit(None, 10).await.unwrap();
    let words = entries.iter().rev().map(|entry| {
        let details = entry.details.as_ref().map(ToString::to_string).unwrap_or_default();
        format!("{} {}{details}", entry.action.as_str(), entry.target)
    });
    words.collect()
}

async fn a_token_finds_its_bot_until_it_is_revoked(store: TestStore) {
    assert_eq!(store.bots.find_bot(&secret(1)).await.unwrap(), None);
    made(&store, 1, &["b", "a", "b"]).await;
    let expected = Bot {
        name: name("robot"),
        rooms: vec![room_name("a"), room_name("b")],
        by: Some(name("alice")),
        created_at_ms: 1_001,
        has_token: true,
        webhooks: 0,
    };
    assert_eq!(store.bots.find_bot(&secret(1)).await.unwrap(), Some(expected.clone()));
    assert_eq!(store.bots.bots().await.unwrap(), [expected]);
    // A lost answer.
    made(&store, 1, &["a", "b"]).await;
    // A new token for other rooms.
    made(&store, 2, &["c"]).await;
    assert_eq!(store.bots.find_bot(&secret(1)).await.unwrap(), None);
    let found = store.bots.find_bot(&secret(2)).await.unwrap().unwrap();
    assert_eq!((found.rooms, found.created_at_ms), (vec![room_name("c")], 1_001));
    let by = name("alice");
    assert!(store.bots.revoke_bot(&name("robot"), Some(&by), 2_000).await.unwrap());
    assert!(!store.bots.revoke_bot(&name("robot"), Some(&by), 2_000).await.unwrap());
    assert_eq!(store.bots.find_bot(&secret(2)).await.unwrap(), None);
    let bots = store.bots.bots().await.unwrap();
    assert_eq!((bots[0].has_token, bots[0].rooms.len()), (false, 0));
    assert_eq!(
        audited(&store).await,
        [
            r#"bot.create robot{"rooms":["b","a","b"]}"#,
            r#"bot.create robot{"rooms":["c"]}"#,
            "bot.revoke robot"
        ]
    );
}

async fn the_name_of_another_account_makes_no_bot(store: TestStore) {
    // A user of another issuer: nothing but the bots tells this account from that of a bot.
    store.users.create_user(&account("robot", 1)).await.unwrap();
    let refused = store.bots.put_bot(&bot(1, &["a"])).await;
    assert!(matches!(refused, Err(StoreError::NameTaken)), "{refused:?}");
    let confusable = NewBot { account: account("rоbot", 1), ..bot(1, &["a"]) };
    let refused = store.bots.put_bot(&confusable).await;
    assert!(matches!(refused, Err(StoreError::NameConfusable)), "{refused:?}");
    store.users.remove_user(&name("robot")).await.unwrap();
    let refused = store.bots.put_bot(&bot(1, &["a"])).await;
    assert!(matches!(refused, Err(StoreError::NameTaken)), "{refused:?}");
    assert_eq!(store.bots.find_bot(&secret(1)).await.unwrap(), None);
    assert_eq!(store.bots.bots().await.unwrap(), []);
    assert_eq!(audited(&store).await, [""; 0]);
}

async fn bots_are_no_accounts_of_people(store: TestStore) {
    store.account("alice").await;
    made(&store, 1, &["a"]).await;
    assert_eq!(store.users.count_users().await.unwrap(), 1);
    let terms = RegistrationTerms { accounts_max: Some(2), ..RegistrationTerms::default() };
    assert!(store.administration.register(&account("bob", 5), terms).await.unwrap());
    let full = store.administration.register(&account("carol", 5), terms).await;
    assert!(matches!(full, Err(StoreError::TooManyAccounts { max: 2 })), "{full:?}");
    store.bots.revoke_bot(&name("robot"), None, 6).await.unwrap();
    assert_eq!(store.users.count_users().await.unwrap(), 2);
}

async fn a_webhook_is_for_a_room_of_its_bot(store: TestStore) {
    let webhook = |secret_of: u8, room: &str| NewWebhook {
        secret: secret(secret_of),
        bot: name("robot"),
        room: room_name(room),
    };
    let create = async |new: NewWebhook| store.bots.create_webhook(&new, None, 5).await.unwrap();
    assert!(!create(webhook(7, "a")).await, "there is no such bot");
    made(&store, 1, &["a"]).await;
    assert!(!create(webhook(7, "b")).await, "not its room");
    assert!(create(webhook(7, "a")).await);
    assert!(create(webhook(7, "a")).await, "a lost answer");
    let found = store.bots.find_webhook(&secret(7)).await.unwrap();
    assert_eq!(found, Some(Webhook { bot: name("robot"), room: room_name("a") }));
    assert_eq!(store.bots.bots().await.unwrap()[0].webhooks, 1);
    for number in 1..WEBHOOKS_MAX {
        assert!(create(webhook(100 + u8::try_from(number).unwrap(), "a")).await);
    }
    assert!(!create(webhook(8, "a")).await, "one too many");
    // A new token for other rooms ends those of the rooms that the bot no longer has.
    made(&store, 2, &["a", "b"]).await;
    assert!(store.bots.find_webhook(&secret(7)).await.unwrap().is_some());
    made(&store, 3, &["b"]).await;
    assert_eq!(store.bots.find_webhook(&secret(7)).await.unwrap(), None);
    assert_eq!(store.bots.bots().await.unwrap()[0].webhooks, 0);
    assert!(create(webhook(9, "b")).await);
    store.bots.revoke_bot(&name("robot"), None, 6).await.unwrap();
    assert_eq!(store.bots.find_webhook(&secret(9)).await.unwrap(), None);
    assert!(!create(webhook(8, "a")).await);
}

async fn a_banned_or_removed_bot_has_no_token(store: TestStore) {
    made(&store, 1, &["a"]).await;
    let new = NewWebhook { secret: secret(7), bot: name("robot"), room: room_name("a") };
    assert!(store.bots.create_webhook(&new, None, 5).await.unwrap());
    let has_any = async || {
        let bot = store.bots.find_bot(&secret(1)).await.unwrap();
        let webhook = store.bots.find_webhook(&secret(7)).await.unwrap();
        [bot.is_some(), webhook.is_some()]
    };
    let reason = String::new();
    let ban = NewBan { user: name("robot"), reason, delete_messages: false, without_account: false };
    store.administration.ban(&ban, None, 6).await.unwrap().unwrap();
    assert_eq!(has_any().await, [false, false]);
    store.administration.unban(&name("robot"), None, 7).await.unwrap();
    assert_eq!(has_any().await, [true, true]);
    store.users.remove_user(&name("robot")).await.unwrap();
    assert_eq!(has_any().await, [false, false]);
    // Who gets the name does not get the token.
    let password_hash = "$argon2id$…".to_owned();
    let again = NewUser { name: name("robot"), password_hash, avatar: None, created_at_ms: 9 };
    store.users.recreate_user(&again).await.unwrap();
    assert_eq!(has_any().await, [false, false]);
    assert_eq!(store.bots.bots().await.unwrap(), []);
}

async fn bots_are_told_from_people(store: TestStore) {
    for person in ["alice", "o\"hara"] {
        store.account(person).await;
    }
    made(&store, 1, &["a"]).await;
    let asked = ["alice", "robot", "o\"hara", "nobody"].map(name);
    assert_eq!(store.bots.bots_among(&asked).await.unwrap(), [name("robot")]);
    assert_eq!(store.bots.bots_among(&asked[..1]).await.unwrap(), []);
    assert_eq!(store.bots.bots_among(&[]).await.unwrap(), []);
    // What a revoked bot has written is still that of a bot.
    assert!(store.bots.revoke_bot(&name("robot"), None, 2).await.unwrap());
    assert_eq!(store.bots.bots_among(&asked).await.unwrap(), [name("robot")]);
    store.users.remove_user(&name("robot")).await.unwrap();
    assert_eq!(store.bots.bots_among(&asked).await.unwrap(), []);
}

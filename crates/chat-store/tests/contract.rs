//! What every store must do. Each story runs on each store.

// Clippy takes only `#[test]` functions for tests, not what they call.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use chat_core::{Outcome, Page, PageFrom, PageLimits, SessionId, Topic};
use chat_store::{
    KEPT_AT_LEAST_MS, NONCES_KEPT_MS, NewUser, Retention, SESSIONS_LISTED_MAX, Session, StoreError,
    TrimPosition, Trimmed, User,
};
use common::{ALL, Place, WithNonce as _, draft, name, pair, private, room, said, session};

macro_rules! every_store {
    ($($story:ident),* $(,)?) => {
        mod memory {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() { super::$story(super::Place::memory().await).await }
        )*}
        mod sqlite {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() { super::$story(super::Place::sqlite().await).await }
        )*}
        mod postgres {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $story() {
                if let Some(place) = super::Place::postgres().await {
                    super::$story(place).await
                }
            }
        )*}
    };
}

every_store! {
    an_account_is_found_by_its_exact_name,
    an_account_is_found_whatever_the_case_of_its_name,
    of_two_accounts_that_differ_only_in_case_each_is_found_by_its_exact_name,
    a_name_is_given_once,
    a_name_that_looks_like_another_is_not_given,
    of_those_who_want_names_that_look_alike_at_once_one_gets_it,
    a_removed_account_is_gone_and_its_name_stays_taken,
    the_name_of_a_removed_account_can_be_used_again_on_purpose,
    accounts_are_listed_in_parts,
    a_password_hash_is_replaced_only_if_it_is_still_the_old_one,
    a_session_lasts_until_its_end,
    a_revoked_session_is_gone,
    all_sessions_of_a_user_are_revoked_at_once,
    sessions_are_listed_newest_first,
    a_session_is_seen,
    the_good_ones_among_many_sessions,
    each_topic_counts_for_itself,
    stamps_never_run_backwards,
    a_retry_in_the_same_batch_is_stored_once,
    a_retry_in_a_later_batch_gets_the_first_result_whatever_it_says,
    a_nonce_is_its_authors_own,
    a_message_to_nobody_is_not_stored,
    who_has_no_account_may_write,
    notes_to_oneself_are_a_pair,
    an_entry_comes_back_as_it_was_written,
    any_script_comes_back_as_it_was_written,
    topics_that_look_alike_are_different,
    an_empty_batch_is_fine,
    pages_go_in_all_directions,
    a_page_ends_at_its_limits,
    an_unknown_topic_is_an_empty_one,
    many_writers_leave_no_hole,
    readers_see_whole_batches,
    conversations_are_listed_newest_first,
    what_is_too_old_or_one_too_many_is_trimmed,
    it_is_trimmed_in_small_parts,
    what_is_new_is_never_trimmed,
    a_nonce_outlives_its_entry_for_seven_days_and_no_longer,
    writing_goes_on_while_it_is_trimmed,
    the_epoch_stays,
    the_log_may_be_called_in_place,
    it_answers,
}

async fn an_account_is_found_by_its_exact_name(place: Place) {
    let users = &place.stores.users;
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

async fn an_account_is_found_whatever_the_case_of_its_name(place: Place) {
    for person in ["Alice", "алиса", "Weiß", "İpek", "ΝΙΚΟΣ", "bob"] {
        place.account(person).await;
    }
    let found = async |typed: &str| {
        let user = place.stores.users.find_user_ignoring_case(&name(typed)).await.unwrap();
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
    // Names that only look alike, or are not there at all.
    for typed in ["аlice", "A1ICE", "AIice", "ａlice", "ipek", "b0b", "carol", "%"] {
        assert_eq!(found(typed).await, None, "{typed}");
    }
    place.stores.users.remove_user(&name("Alice")).await.unwrap();
    assert_eq!(found("alice").await, None);
}

/// Only a database that was taken over has such accounts, and a memory store none.
async fn of_two_accounts_that_differ_only_in_case_each_is_found_by_its_exact_name(place: Place) {
    if !place.is_kept() {
        return;
    }
    for (person, hash) in [("Alice", "1"), ("alice", "2"), ("Bob", "3"), ("b0b", "4")] {
        place.foreign_account(person, hash).await;
    }
    let place = place.reopened().await;
    let found = async |typed: &str| {
        let user = place.stores.users.find_user_ignoring_case(&name(typed)).await.unwrap();
        user.map(|user| user.password_hash)
    };
    assert_eq!(found("Alice").await.as_deref(), Some("1"));
    assert_eq!(found("alice").await.as_deref(), Some("2"));
    assert_eq!(found("ALICE").await, None);
    // A name that only looks alike does not count.
    assert_eq!(found("BOB").await.as_deref(), Some("3"));
    place.stores.users.remove_user(&name("alice")).await.unwrap();
    assert_eq!(found("ALICE").await.as_deref(), Some("1"));
}

async fn a_name_is_given_once(place: Place) {
    place.account("Алиса").await;
    let mut again =
        NewUser { name: name("Алиса"), password_hash: "another".into(), avatar: None, created_at_ms: 5 };
    let refused = place.stores.users.create_user(&again).await;
    assert!(matches!(refused, Err(StoreError::NameTaken)), "{refused:?}");
    assert_eq!(refused.unwrap_err().to_string(), "username already exists");
    let first = place.stores.users.find_user(&name("Алиса")).await.unwrap().unwrap();
    assert_ne!(first.password_hash, "another");
    again.name = name("Алина");
    place.stores.users.create_user(&again).await.unwrap();
}

fn newcomer(person: &str) -> NewUser {
    NewUser { name: name(person), password_hash: "$argon2id$…".into(), avatar: None, created_at_ms: 1 }
}

async fn a_name_that_looks_like_another_is_not_given(place: Place) {
    let place = {
        for person in ["alice", "Алиса", "BOB"] {
            place.account(person).await;
        }
        // A restart makes no difference.
        if place.is_kept() { place.reopened().await } else { place }
    };
    let users = &place.stores.users;
    for person in ["Alice", "аlice", "AIice", "a1ice", "АЛИСА", "bob", "ВОВ", "ｂｏｂ"] {
        for refused in [
            users.check_new_name(&name(person)).await,
            users.create_user(&newcomer(person)).await,
            users.recreate_user(&newcomer(person)).await,
        ] {
            assert!(matches!(refused, Err(StoreError::NameLooksTaken)), "{person}: {refused:?}");
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

async fn of_those_who_want_names_that_look_alike_at_once_one_gets_it(place: Place) {
    for round in 0..20 {
        let alike = ["alice", "ALICE", "аlice", "AIice", "Alice", "alice"];
        let wanted = alike.map(|person| newcomer(&format!("{person} {round}")));
        let mut asking = tokio::task::JoinSet::new();
        for user in wanted.clone() {
            let users = Arc::clone(&place.stores.users);
            asking.spawn(async move { users.create_user(&user).await });
        }
        let given = asking.join_all().await.into_iter().filter(|answer| match answer {
            Ok(()) => true,
            Err(StoreError::NameTaken | StoreError::NameLooksTaken) => false,
            Err(error) => panic!("{error:?}"),
        });
        assert_eq!(given.count(), 1);
        let mut names = BTreeSet::new();
        for user in &wanted {
            names.extend(place.stores.users.find_user(&user.name).await.unwrap().map(|user| user.name));
        }
        assert_eq!(names.len(), 1, "{names:?}");
    }
}

async fn a_removed_account_is_gone_and_its_name_stays_taken(place: Place) {
    place.account("alice").await;
    place.account("bob").await;
    place.append(&[private("bob", "alice", "hi")], 1).await;
    let users = &place.stores.users;
    users.remove_user(&name("alice")).await.unwrap();
    users.remove_user(&name("alice")).await.unwrap();
    assert_eq!(users.find_user(&name("alice")).await.unwrap(), None);
    assert!(users.find_user(&name("bob")).await.unwrap().is_some());
    assert!(!users.set_password_hash(&name("alice"), "$argon2id$…", "new").await.unwrap());
    let taken = users.create_user(&newcomer("alice")).await;
    assert!(matches!(taken, Err(StoreError::NameTaken)), "{taken:?}");
    for alike in [users.create_user(&newcomer("Alice")).await, users.recreate_user(&newcomer("Alice")).await]
    {
        assert!(matches!(alike, Err(StoreError::NameLooksTaken)), "{alike:?}");
    }
    // What was said stays, and nothing more is said to nobody.
    assert_eq!(said(&place.all(&pair("alice", "bob")).await), ["hi"]);
    let lost = place.append(&[private("bob", "alice", "are you there?")], 2).await;
    assert_eq!(lost, [Outcome::NoRecipient { at_ms: 2 }]);
    // A name that was never given is free.
    users.remove_user(&name("carol")).await.unwrap();
    users.create_user(&newcomer("Carol")).await.unwrap();
}

async fn the_name_of_a_removed_account_can_be_used_again_on_purpose(place: Place) {
    place.account("alice").await;
    let users = &place.stores.users;
    let taken = users.recreate_user(&newcomer("alice")).await;
    assert!(matches!(taken, Err(StoreError::NameTaken)), "{taken:?}");
    users.remove_user(&name("alice")).await.unwrap();
    let again = NewUser { password_hash: "another".into(), ..newcomer("alice") };
    users.recreate_user(&again).await.unwrap();
    assert_eq!(users.find_user(&name("alice")).await.unwrap().unwrap().password_hash, "another");
    let alike = users.create_user(&newcomer("Alice")).await;
    assert!(matches!(alike, Err(StoreError::NameLooksTaken)), "{alike:?}");
    // One that nobody had is simply given.
    users.recreate_user(&newcomer("bob")).await.unwrap();
    let taken = users.create_user(&newcomer("bob")).await;
    assert!(matches!(taken, Err(StoreError::NameTaken)), "{taken:?}");
}

async fn accounts_are_listed_in_parts(place: Place) {
    let users = &place.stores.users;
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

async fn a_password_hash_is_replaced_only_if_it_is_still_the_old_one(place: Place) {
    let users = &place.stores.users;
    let hash = async |person: &str| {
        let user = users.find_user(&name(person)).await.unwrap();
        user.map(|user| user.password_hash)
    };
    place.account("alice").await;
    place.account("bob").await;
    let first = hash("alice").await.unwrap();
    assert!(users.set_password_hash(&name("alice"), &first, "second").await.unwrap());
    assert_eq!(hash("alice").await.unwrap(), "second");
    // Who had the first in mind comes too late.
    assert!(!users.set_password_hash(&name("alice"), &first, "third").await.unwrap());
    assert!(!users.set_password_hash(&name("Alice"), "second", "third").await.unwrap());
    assert_eq!(hash("alice").await.unwrap(), "second");
    assert_eq!(hash("bob").await.unwrap(), first);
    assert_eq!(hash("Alice").await, None);
    let alice = users.find_user(&name("alice")).await.unwrap().unwrap();
    assert_eq!((alice.avatar, alice.created_at_ms), (None, 1));
}

async fn a_session_lasts_until_its_end(place: Place) {
    let sessions = &place.stores.sessions;
    let short = session("short", "alice", 100, 200);
    sessions.open_session(&short).await.unwrap();
    assert_eq!(sessions.find_session(&short.id, 199).await.unwrap(), Some(short.clone()));
    assert_eq!(sessions.find_session(&short.id, 200).await.unwrap(), None);
    assert_eq!(sessions.find_session(&SessionId::new("Short"), 150).await.unwrap(), None);

    sessions.renew_session(&short.id, 150, 300).await.unwrap();
    let renewed = session("short", "alice", 100, 300);
    assert_eq!(sessions.find_session(&short.id, 299).await.unwrap(), Some(renewed));
    // What ended does not come back.
    sessions.renew_session(&short.id, 300, 900).await.unwrap();
    assert_eq!(sessions.find_session(&short.id, 300).await.unwrap(), None);
    sessions.renew_session(&SessionId::new("nobody's"), 100, 900).await.unwrap();
    assert_eq!(sessions.find_session(&SessionId::new("nobody's"), 100).await.unwrap(), None);

    // Later sign-ins sweep the ended ones out, and only those.
    for index in 0..300 {
        sessions.open_session(&session(&index.to_string(), "alice", 400, 500)).await.unwrap();
    }
    assert_eq!(sessions.find_session(&short.id, 150).await.unwrap(), None);
    assert!(sessions.find_session(&SessionId::new("0"), 499).await.unwrap().is_some());
}

async fn a_revoked_session_is_gone(place: Place) {
    let sessions = &place.stores.sessions;
    let (mine, yours) = (session("mine", "alice", 1, 100), session("yours", "alice", 1, 100));
    sessions.open_session(&mine).await.unwrap();
    sessions.open_session(&yours).await.unwrap();
    sessions.revoke_session(&mine.id).await.unwrap();
    sessions.revoke_session(&mine.id).await.unwrap();
    sessions.renew_session(&mine.id, 50, 500).await.unwrap();
    assert_eq!(sessions.find_session(&mine.id, 50).await.unwrap(), None);
    assert_eq!(sessions.find_session(&yours.id, 50).await.unwrap(), Some(yours));
}

async fn all_sessions_of_a_user_are_revoked_at_once(place: Place) {
    let sessions = &place.stores.sessions;
    for (id, person) in [("phone", "alice"), ("laptop", "alice"), ("other", "Alice"), ("bobs", "bob")] {
        sessions.open_session(&session(id, person, 1, 100)).await.unwrap();
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
    // Who signs in again is signed in.
    sessions.open_session(&session("new", "alice", 60, 160)).await.unwrap();
    assert_eq!(sessions.sessions_of(&name("alice"), 60).await.unwrap().len(), 1);
}

async fn sessions_are_listed_newest_first(place: Place) {
    let sessions = &place.stores.sessions;
    let of = async |person: &str, now_ms: u64| sessions.sessions_of(&name(person), now_ms).await.unwrap();
    assert_eq!(of("alice", 0).await, []);
    let (old, young) = (session("b", "alice", 10, 300), session("a", "alice", 20, 200));
    let twin = Session { device: String::new(), address: String::new(), ..session("c", "alice", 20, 250) };
    for each in [&young, &old, &twin, &session("d", "bob", 15, 300)] {
        sessions.open_session(each).await.unwrap();
    }
    assert_eq!(of("alice", 199).await, [twin.clone(), young, old.clone()]);
    assert_eq!(of("alice", 200).await, [twin, old.clone()], "one has ended");
    assert_eq!(of("alice", 299).await, [old]);
    assert_eq!(of("Alice", 100).await, []);

    for index in 0..SESSIONS_LISTED_MAX as u64 {
        sessions.open_session(&session(&format!("many {index}"), "alice", 30 + index, 900)).await.unwrap();
    }
    let listed = of("alice", 150).await;
    assert_eq!(listed.len(), SESSIONS_LISTED_MAX);
    assert_eq!((listed[0].created_at_ms, listed[SESSIONS_LISTED_MAX - 1].created_at_ms), (129, 30));
}

async fn a_session_is_seen(place: Place) {
    let sessions = &place.stores.sessions;
    let phone = session("phone", "alice", 1, 100);
    sessions.open_session(&phone).await.unwrap();
    sessions.touch_session(&phone.id, 50).await.unwrap();
    let seen = Session { last_seen_at_ms: 50, ..phone.clone() };
    assert_eq!(sessions.find_session(&phone.id, 60).await.unwrap(), Some(seen.clone()));
    // One that was slower.
    sessions.touch_session(&phone.id, 40).await.unwrap();
    assert_eq!(sessions.sessions_of(&name("alice"), 60).await.unwrap(), [seen]);
    sessions.touch_session(&SessionId::new("nobody's"), 40).await.unwrap();
    assert_eq!(sessions.find_session(&SessionId::new("nobody's"), 0).await.unwrap(), None);
}

async fn the_good_ones_among_many_sessions(place: Place) {
    let sessions = &place.stores.sessions;
    for (id, ends) in [("a", 200), ("b", 300), ("c", 400), ("'\"[", 500)] {
        sessions.open_session(&session(id, "alice", 1, ends)).await.unwrap();
    }
    sessions.revoke_session(&SessionId::new("b")).await.unwrap();
    let good = async |ids: &[&str]| {
        let ids: Vec<_> = ids.iter().map(|id| SessionId::new(id)).collect();
        let mut good = sessions.good_sessions(&ids, 200).await.unwrap();
        good.sort_by_key(|(_, end)| *end);
        good.into_iter().map(|(id, end)| (id.as_str().to_owned(), end)).collect::<Vec<_>>()
    };
    assert_eq!(good(&[]).await, []);
    let all = ["a", "b", "c", "nobody's", "'\"["];
    assert_eq!(good(&all).await, [("c".to_owned(), 400), ("'\"[".to_owned(), 500)]);
    assert_eq!(good(&all[..2]).await, []);
    assert_eq!(good(&all[2..3]).await, [("c".to_owned(), 400)]);
}

fn stored(seq: u64, at_ms: u64) -> Outcome {
    Outcome::Stored { seq, at_ms }
}

fn duplicate(topic: &Topic, seq: u64, at_ms: u64) -> Outcome {
    Outcome::Duplicate { topic: topic.clone(), seq, at_ms }
}

async fn each_topic_counts_for_itself(place: Place) {
    place.account("bob").await;
    let (kitchen, garden) = (room("kitchen"), room("garden"));
    let batch = [
        draft(&kitchen, "alice", "a"),
        draft(&garden, "bob", "b"),
        draft(&kitchen, "bob", "c"),
        private("alice", "bob", "d"),
        draft(&kitchen, "alice", "e"),
    ];
    let commit = place.stores.log.append(&batch, 1000).await.unwrap();
    assert!(commit.receipts.iter().map(|r| r.draft).eq(batch.iter().map(|d| d.id)));
    let outcomes: Vec<_> = commit.receipts.into_iter().map(|r| r.outcome).collect();
    assert_eq!(
        outcomes,
        [stored(1, 1000), stored(1, 1000), stored(2, 1000), stored(1, 1000), stored(3, 1000)]
    );
    // The new entries come in log order, as a reader gets them.
    let texts: Vec<_> = commit.entries.iter().map(|e| (e.seq, e.body.text())).collect();
    assert_eq!(texts, [(1, "a"), (1, "b"), (2, "c"), (1, "d"), (3, "e")]);
    assert_eq!(place.append(&[draft(&garden, "alice", "f")], 1001).await, [stored(2, 1001)]);
    assert_eq!(said(&place.all(&kitchen).await), ["a", "c", "e"]);
    assert_eq!(said(&place.all(&garden).await), ["b", "f"]);
    assert_eq!(said(&place.all(&pair("bob", "alice")).await), ["d"]);
}

async fn stamps_never_run_backwards(place: Place) {
    let (kitchen, garden) = (room("kitchen"), room("garden"));
    let both = [draft(&kitchen, "alice", "a"), draft(&garden, "alice", "b")];
    assert_eq!(place.append(&both[..1], 2000).await, [stored(1, 2000)]);
    assert_eq!(place.append(&both, 1000).await, [stored(2, 2000), stored(1, 1000)]);
    assert_eq!(place.append(&both, 3000).await, [stored(3, 3000), stored(2, 3000)]);
    let stamps: Vec<_> = place.all(&kitchen).await.entries.iter().map(|e| e.at_ms).collect();
    assert_eq!(stamps, [2000, 2000, 3000]);
}

async fn a_retry_in_the_same_batch_is_stored_once(place: Place) {
    let (kitchen, garden) = (room("kitchen"), room("garden"));
    let outcomes = place
        .append(
            &[
                draft(&kitchen, "alice", "other"),
                draft(&kitchen, "alice", "first").nonce("n"),
                draft(&garden, "alice", "second").nonce("n"),
                draft(&pair("alice", "nobody"), "alice", "third").nonce("n"),
                draft(&kitchen, "alice", "next").nonce("m"),
            ],
            1000,
        )
        .await;
    let first = duplicate(&kitchen, 2, 1000);
    assert_eq!(outcomes, [stored(1, 1000), stored(2, 1000), first.clone(), first, stored(3, 1000)]);
    assert_eq!(said(&place.all(&kitchen).await), ["other", "first", "next"]);
    assert_eq!(place.all(&garden).await.last, 0);
}

async fn a_retry_in_a_later_batch_gets_the_first_result_whatever_it_says(place: Place) {
    place.account("bob").await;
    let (kitchen, garden) = (room("kitchen"), room("garden"));
    place.append(&[draft(&kitchen, "alice", "a"), draft(&kitchen, "alice", "b").nonce("n")], 1000).await;
    place.append(&[private("alice", "bob", "c").nonce("p")], 1500).await;
    let outcomes = place
        .append(
            &[
                draft(&kitchen, "alice", "b").nonce("n"),
                draft(&garden, "alice", "b").nonce("n"),
                draft(&pair("alice", "nobody"), "alice", "b").nonce("n"),
                draft(&garden, "alice", "c").nonce("p"),
                draft(&garden, "alice", "new").nonce("q"),
                draft(&garden, "alice", "newer"),
            ],
            2000,
        )
        .await;
    let (b, c) = (duplicate(&kitchen, 2, 1000), duplicate(&pair("alice", "bob"), 1, 1500));
    assert_eq!(outcomes, [b.clone(), b.clone(), b.clone(), c, stored(1, 2000), stored(2, 2000)]);
    // A batch of nothing but retries writes nothing.
    assert_eq!(place.append(&[draft(&kitchen, "alice", "x").nonce("n")], 3000).await, [b]);
    assert_eq!(said(&place.all(&kitchen).await), ["a", "b"]);
    assert_eq!(said(&place.all(&garden).await), ["new", "newer"]);
}

async fn a_nonce_is_its_authors_own(place: Place) {
    let kitchen = room("kitchen");
    let (alices, bobs) = (draft(&kitchen, "alice", "a").nonce("n"), draft(&kitchen, "bob", "b").nonce("n"));
    assert_eq!(place.append(&[alices.clone(), bobs.clone()], 1).await, [stored(1, 1), stored(2, 1)]);
    assert_eq!(
        place.append(&[bobs, alices], 2).await,
        [duplicate(&kitchen, 2, 1), duplicate(&kitchen, 1, 1)]
    );
}

async fn a_message_to_nobody_is_not_stored(place: Place) {
    place.account("bob").await;
    let lost = pair("alice", "Bob");
    let refused = Outcome::NoRecipient { at_ms: 1000 };
    let batch = [
        draft(&lost, "alice", "a").nonce("n"),
        // Its nonce is still free for the right name.
        private("alice", "bob", "b").nonce("n"),
        draft(&lost, "alice", "c"),
    ];
    assert_eq!(place.append(&batch, 1000).await, [refused.clone(), stored(1, 1000), refused.clone()]);
    assert_eq!(place.all(&lost).await, Page { entries: vec![], first: 1, last: 0 });
    let later = [private("alice", "bobby", "c")];
    assert_eq!(place.append(&later, 1000).await, [refused]);
    place.account("bobby").await;
    assert_eq!(place.append(&later, 2000).await, [stored(1, 2000)]);
}

async fn who_has_no_account_may_write(place: Place) {
    // A host application's user: only the one who gets it needs an account.
    place.account("bob").await;
    assert_eq!(place.append(&[private("guest", "bob", "a")], 1).await, [stored(1, 1)]);
    assert_eq!(place.append(&[private("bob", "guest", "b")], 2).await, [Outcome::NoRecipient { at_ms: 2 }]);
}

async fn notes_to_oneself_are_a_pair(place: Place) {
    let note = private("alice", "alice", "buy milk");
    assert_eq!(place.append(std::slice::from_ref(&note), 1).await, [Outcome::NoRecipient { at_ms: 1 }]);
    place.account("alice").await;
    assert_eq!(place.append(&[note], 2).await, [stored(1, 2)]);
    assert_eq!(said(&place.all(&pair("alice", "alice")).await), ["buy milk"]);
}

async fn an_entry_comes_back_as_it_was_written(place: Place) {
    place.account("bob").await;
    let mut whisper = private("alice", "bob", "psst").nonce("n-1");
    whisper.room = Some(chat_core::RoomName::parse("kitchen").unwrap());
    let batch = [whisper, private("bob", "alice", "lost"), draft(&room("kitchen"), "bob", "hi").nonce("n-1")];
    let commit = place.stores.log.append(&batch, 1_795_371_797_123).await.unwrap();
    assert_eq!(commit.entries.len(), 2);
    for (entry, draft) in commit.entries.iter().zip([&batch[0], &batch[2]]) {
        assert_eq!(entry.at_ms, 1_795_371_797_123);
        assert_eq!((&entry.topic, &entry.from, &entry.room), (&draft.topic, &draft.from, &draft.room));
        assert_eq!((&entry.body, &entry.nonce), (&draft.body, &draft.nonce));
        let page = place.all(&draft.topic).await;
        assert_eq!(page.entries, [Arc::clone(entry)]);
    }
}

async fn any_script_comes_back_as_it_was_written(place: Place) {
    let here = room("Кухня 🍲 مطبخ");
    let texts = [
        "Привет, мир!",
        "👩‍👩‍👧‍👦 and 👍🏽",
        "مرحبا بالعالم",
        "a\u{301} is not á",
        "\u{202E}right to left",
        "\"quoted\", 'quoted', \\, %, _, ?1, $2, :x, [1,2], {\"a\":1}",
        "line\r\nline\ttab \u{1} \u{7f} \u{2028}",
        "\u{FFFD}\u{10FFFF}\u{E000}",
        "null",
        "1e3",
        "007",
        &"ж".repeat(4096),
    ];
    let batch: Vec<_> = texts.iter().map(|text| draft(&here, "Ёлка", text)).collect();
    place.append(&batch, 1).await;
    let page = place.all(&here).await;
    assert_eq!(said(&page), texts);
    assert!(page.entries.iter().all(|e| e.from == name("Ёлка") && e.topic == here));
    // Names and nonces that JSON or SQL could take for something else.
    let nonces = ["1", "01", "1.0", "null", "true", "'", "\"", "[\"a\"]", "Ж", "ж", " ", "n", "N"];
    let batch: Vec<_> = nonces.iter().map(|nonce| draft(&here, "42", nonce).nonce(nonce)).collect();
    assert!(place.append(&batch, 2).await.iter().all(|o| matches!(o, Outcome::Stored { .. })));
    let again = place.append(&batch, 3).await;
    let seqs: Vec<_> = again
        .iter()
        .map(|outcome| match outcome {
            Outcome::Duplicate { seq, .. } => *seq,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(seqs, (13..13 + nonces.len() as u64).collect::<Vec<_>>());
}

async fn topics_that_look_alike_are_different(place: Place) {
    for person in ["a", "b", "a,b", "ab"] {
        place.account(person).await;
    }
    let topics = [
        room("a"),
        room("A"),
        room("а"), // Cyrillic
        room("a "),
        room("ab"),
        room("a,b"),
        room("a/b"),
        room("[\"a\",\"b\"]"),
        pair("a", "b"),
        pair("a", "a"),
        pair("a,b", "a"),
        pair("ab", "b"),
    ];
    let batch: Vec<_> = topics
        .iter()
        .enumerate()
        .map(|(index, topic)| {
            let from = if index == 11 { "ab" } else { "a" };
            draft(topic, from, &index.to_string())
        })
        .collect();
    assert!(place.append(&batch, 1).await.iter().all(|outcome| *outcome == stored(1, 1)));
    for (index, topic) in topics.iter().enumerate() {
        assert_eq!(said(&place.all(topic).await), [index.to_string()], "{topic:?}");
    }
}

async fn an_empty_batch_is_fine(place: Place) {
    assert_eq!(place.stores.log.append(&[], 1).await.unwrap(), chat_core::Commit::default());
}

async fn ten_in_the_kitchen(place: &Place) -> Topic {
    let kitchen = room("kitchen");
    for batch in [1..=3_u32, 4..=4, 5..=10] {
        // Another topic in between, so that the numbers are not the database's.
        place.append(&[draft(&room("garden"), "bob", "x")], 1).await;
        let batch: Vec<_> = batch.map(|_| draft(&kitchen, "alice", "four")).collect();
        place.append(&batch, 1).await;
    }
    kitchen
}

fn seqs(page: &Page) -> Vec<u64> {
    page.entries.iter().map(|entry| entry.seq).collect()
}

async fn pages_go_in_all_directions(place: Place) {
    let kitchen = ten_in_the_kitchen(&place).await;
    let limits = PageLimits { entries: 3, bytes: usize::MAX };
    for (from, expected) in [
        (PageFrom::Latest, vec![8, 9, 10]),
        (PageFrom::After(0), vec![1, 2, 3]),
        (PageFrom::After(1), vec![2, 3, 4]),
        (PageFrom::After(8), vec![9, 10]),
        (PageFrom::After(10), vec![]),
        (PageFrom::After(11), vec![]),
        (PageFrom::After(u64::MAX), vec![]),
        (PageFrom::Before(11), vec![8, 9, 10]),
        (PageFrom::Before(5), vec![2, 3, 4]),
        (PageFrom::Before(3), vec![1, 2]),
        (PageFrom::Before(1), vec![]),
        (PageFrom::Before(0), vec![]),
        (PageFrom::Before(u64::MAX), vec![8, 9, 10]),
    ] {
        let page = place.stores.log.page(&kitchen, from, limits).await.unwrap();
        assert_eq!(seqs(&page), expected, "{from:?}");
        assert_eq!((page.first, page.last), (1, 10), "{from:?}");
    }
    assert_eq!(seqs(&place.all(&kitchen).await), (1..=10).collect::<Vec<_>>());
}

async fn a_page_ends_at_its_limits(place: Place) {
    let kitchen = ten_in_the_kitchen(&place).await;
    for (entries, bytes, latest, after, before) in [
        (5, 12, vec![8, 9, 10], vec![3, 4, 5], vec![4, 5, 6]),
        (5, 15, vec![8, 9, 10], vec![3, 4, 5], vec![4, 5, 6]),
        (2, 12, vec![9, 10], vec![3, 4], vec![5, 6]),
        // At least one, however small the limits.
        (5, 3, vec![10], vec![3], vec![6]),
        (5, 0, vec![10], vec![3], vec![6]),
        (0, 100, vec![10], vec![3], vec![6]),
        (usize::MAX, 8, vec![9, 10], vec![3, 4], vec![5, 6]),
    ] {
        let limits = PageLimits { entries, bytes };
        for (from, expected) in
            [(PageFrom::Latest, latest), (PageFrom::After(2), after), (PageFrom::Before(7), before)]
        {
            let page = place.stores.log.page(&kitchen, from, limits).await.unwrap();
            assert_eq!(seqs(&page), expected, "{from:?} {limits:?}");
        }
    }
}

async fn an_unknown_topic_is_an_empty_one(place: Place) {
    for topic in [room("cellar"), pair("nobody", "noone")] {
        for from in [PageFrom::Latest, PageFrom::After(0), PageFrom::Before(9)] {
            let page = place.stores.log.page(&topic, from, ALL).await.unwrap();
            assert_eq!(page, Page { entries: vec![], first: 1, last: 0 });
        }
    }
}

async fn many_writers_leave_no_hole(place: Place) {
    const WRITERS: u64 = 8;
    const BATCHES: u64 = 20;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let log = Arc::clone(&place.stores.log);
        writers.spawn(async move {
            let (kitchen, garden) = (room("kitchen"), room("garden"));
            let mut mine = Vec::new();
            for batch in 0..BATCHES {
                let text = format!("{writer}/{batch}");
                let drafts = [
                    draft(&kitchen, "alice", &text).nonce(&text),
                    draft(&garden, "alice", &text),
                    draft(&kitchen, "alice", &text),
                ];
                let commit = log.append(&drafts, batch).await.unwrap();
                mine.extend(commit.entries.iter().filter(|e| e.topic == kitchen).map(|e| e.seq));
            }
            assert!(mine.is_sorted(), "{mine:?}");
            mine
        });
    }
    let seqs_given: BTreeSet<u64> = writers.join_all().await.into_iter().flatten().collect();
    let all: Vec<u64> = (1..=WRITERS * BATCHES * 2).collect();
    assert!(seqs_given.into_iter().eq(all.iter().copied()));
    let page = place.all(&room("kitchen")).await;
    assert_eq!(seqs(&page), all);
    assert!(page.entries.iter().map(|e| e.at_ms).is_sorted());
    assert_eq!(place.all(&room("garden")).await.last, WRITERS * BATCHES);
}

async fn readers_see_whole_batches(place: Place) {
    let kitchen = room("kitchen");
    let log = Arc::clone(&place.stores.log);
    let writer = tokio::spawn(async move {
        for _ in 0..100 {
            let batch = [(); 3].map(|()| draft(&room("kitchen"), "alice", "x"));
            log.append(&batch, 1).await.unwrap();
        }
    });
    while !writer.is_finished() {
        let page = place.all(&kitchen).await;
        assert_eq!(page.last % 3, 0);
        assert_eq!(seqs(&page), (1..=page.last).collect::<Vec<_>>());
    }
    writer.await.unwrap();
    assert_eq!(place.all(&kitchen).await.last, 300);
}

async fn conversations_are_listed_newest_first(place: Place) {
    for person in ["alice", "bob", "Eve", "Яна"] {
        place.account(person).await;
    }
    let of = async |person: &str, limit| {
        let found = place.stores.log.conversations(&name(person), limit).await.unwrap();
        let latest: Vec<_> =
            found.latest.iter().map(|(with, seq)| (with.as_str().to_owned(), *seq)).collect();
        (latest, found.has_more)
    };
    assert_eq!(of("bob", 10).await, (vec![], false));
    let drafts = [private("alice", "bob", "1"), private("bob", "alice", "2"), private("alice", "Eve", "3")];
    for (at_ms, draft) in (1000..).zip(drafts) {
        place.append(&[draft], at_ms).await;
    }
    place.append(&[draft(&room("bob"), "bob", "not private")], 1004).await;
    place.append(&[private("Яна", "bob", "4")], 1005).await;
    place.append(&[private("bob", "bob", "5")], 1006).await;
    let with = |name: &str, seq| (name.to_owned(), seq);
    assert_eq!(of("bob", 10).await, (vec![with("bob", 1), with("Яна", 1), with("alice", 2)], false));
    assert_eq!(of("bob", 2).await, (vec![with("bob", 1), with("Яна", 1)], true));
    assert_eq!(of("alice", 2).await, (vec![with("Eve", 1), with("bob", 2)], false));
    assert_eq!(of("bo", 2).await, (vec![], false));
}

/// Trims the whole log, at most so many entries at a time; what was removed, with
/// how many steps it took.
async fn trim(place: &Place, retention: Retention, now_ms: u64, max: usize) -> (Trimmed, usize) {
    let (mut all, mut steps, mut from) = (Trimmed::default(), 0, Some(TrimPosition::default()));
    while let Some(position) = from {
        let part = place.stores.log.trim(&retention, position, now_ms, max).await.unwrap();
        assert!(part.entries <= max as u64 && part.nonces <= max as u64, "{part:?}");
        all.entries += part.entries;
        all.nonces += part.nonces;
        all.topics.extend(part.topics);
        (steps, from) = (steps + 1, part.next);
        assert!(steps < 1_000);
    }
    all.topics.sort();
    (all, steps)
}

const DAY_MS: u64 = 86_400_000;

fn keep(entries: u64) -> Retention {
    Retention { entries: Some(entries), age_ms: None }
}

async fn what_is_too_old_or_one_too_many_is_trimmed(place: Place) {
    place.account("bob").await;
    let (kitchen, private) = (room("kitchen"), pair("alice", "bob"));
    for day in 1..=10 {
        let batch = [draft(&kitchen, "alice", &day.to_string()), draft(&private, "alice", "psst")];
        place.append(&batch, day * DAY_MS).await;
    }
    place.append(&[draft(&room("garden"), "alice", "long ago")], DAY_MS).await;
    let now = 11 * DAY_MS;
    assert_eq!(trim(&place, Retention::default(), now, 100).await.0, Trimmed::default());
    assert_eq!(trim(&place, keep(10), now, 100).await.0, Trimmed::default());

    let (trimmed, _) = trim(&place, keep(7), now, 100).await;
    assert_eq!((trimmed.entries, trimmed.topics), (6, vec![(kitchen.clone(), 4), (private.clone(), 4)]));
    let five_days = Retention { entries: Some(7), age_ms: Some(5 * DAY_MS) };
    let (trimmed, _) = trim(&place, five_days, now, 100).await;
    let topics = vec![(room("garden"), 2), (kitchen.clone(), 6), (private.clone(), 6)];
    assert_eq!((trimmed.entries, trimmed.topics), (5, topics));
    let place = if place.is_kept() { place.reopened().await } else { place };
    for topic in [&kitchen, &private] {
        let page = place.all(topic).await;
        assert_eq!((page.first, page.last, seqs(&page)), (6, 10, vec![6, 7, 8, 9, 10]));
    }
    let limits = PageLimits { entries: 3, bytes: usize::MAX };
    for (from, expected) in [
        (PageFrom::Before(7), vec![6]),
        (PageFrom::Before(6), vec![]),
        (PageFrom::After(2), vec![6, 7, 8]),
        (PageFrom::Latest, vec![8, 9, 10]),
    ] {
        let page = place.stores.log.page(&kitchen, from, limits).await.unwrap();
        assert_eq!((page.first, seqs(&page)), (6, expected), "{from:?}");
    }
    // One that lost everything goes on where it was.
    let garden = place.all(&room("garden")).await;
    assert_eq!((garden.first, garden.last, garden.entries), (2, 1, vec![]));
    assert_eq!(place.append(&[draft(&room("garden"), "bob", "new")], now).await, [stored(2, now)]);
    let garden = place.all(&room("garden")).await;
    assert_eq!((garden.first, garden.last, said(&garden)), (2, 2, vec!["new"]));
    assert_eq!(place.append(&[draft(&kitchen, "bob", "new")], now).await, [stored(11, now)]);
    let empty = trim(&place, keep(0), 12 * DAY_MS, 100).await.0;
    assert_eq!((empty.entries, place.all(&kitchen).await.first), (12, 12));
}

async fn it_is_trimmed_in_small_parts(place: Place) {
    // More topics than are looked at in one go, and some of them of no concern.
    let topics: Vec<Topic> = (0..600).map(|number| room(&format!("{number}"))).collect();
    let batch: Vec<_> = topics.iter().map(|topic| draft(topic, "alice", "a")).collect();
    for _ in 0..2 {
        place.append(&batch, 1).await;
    }
    for part in batch[..10].chunks(2) {
        place.append(&[part, part, part].concat(), 1).await;
    }
    let first = place.stores.log.trim(&keep(2), TrimPosition::default(), DAY_MS, 7).await.unwrap();
    assert_eq!((first.entries, first.next.is_some()), (7, true));
    let (rest, steps) = trim(&place, keep(2), DAY_MS, 7).await;
    assert_eq!(rest.entries, 23);
    assert!((4..12).contains(&steps), "{steps}");
    assert_eq!(place.all(&topics[9]).await.first, 4);
    assert_eq!(place.all(&topics[10]).await.first, 1);
    let (rest, _) = trim(&place, keep(1), DAY_MS, 1_000).await;
    assert_eq!(rest.entries, 600);
    for topic in &topics {
        assert_eq!(place.all(topic).await.entries.len(), 1);
    }
}

async fn what_is_new_is_never_trimmed(place: Place) {
    let kitchen = room("kitchen");
    for at_ms in [DAY_MS, DAY_MS + 1, DAY_MS + 2] {
        place.append(&[draft(&kitchen, "alice", "a")], at_ms).await;
    }
    let nothing = Retention { entries: Some(0), age_ms: Some(0) };
    let now = DAY_MS + KEPT_AT_LEAST_MS;
    assert_eq!(trim(&place, nothing, now, 100).await.0.entries, 0);
    assert_eq!(trim(&place, nothing, now + 2, 100).await.0.entries, 2);
    // A clock that went back makes nothing old.
    assert_eq!(trim(&place, nothing, 0, 100).await.0.entries, 0);
    assert_eq!(place.all(&kitchen).await.first, 3);
}

/// Not in memory, which has no place for that.
async fn a_nonce_outlives_its_entry_for_seven_days_and_no_longer(place: Place) {
    if !place.is_kept() {
        return;
    }
    let kitchen = room("kitchen");
    let batch: Vec<_> =
        ["1", "2", "3", "4", "5"].map(|nonce| draft(&kitchen, "alice", "a").nonce(nonce)).into();
    place.append(&batch, DAY_MS).await;
    place.append(&[draft(&kitchen, "alice", "a")], DAY_MS).await;
    assert_eq!(trim(&place, keep(3), 2 * DAY_MS, 100).await.0.entries, 3);
    let place = place.reopened().await;
    let known: Vec<_> = (1..=5).map(|seq| duplicate(&kitchen, seq, DAY_MS)).collect();
    assert_eq!(place.append(&batch, 3 * DAY_MS).await, known);

    // On the last moment of the seventh day …
    let end = DAY_MS + NONCES_KEPT_MS;
    assert_eq!(trim(&place, keep(3), end, 100).await.0, Trimmed::default());
    assert_eq!(place.append(&batch, end).await, known);
    // … and then, but those whose messages are kept stay.
    let (trimmed, steps) = trim(&place, keep(3), end + 1, 2).await;
    assert_eq!((trimmed.entries, trimmed.nonces, steps), (0, 3, 3));
    assert_eq!(place.append(&batch[3..], end + 1).await, known[3..]);
    let again = place.append(&batch[..1], end + 1).await;
    assert_eq!(again, [stored(7, end + 1)]);
    // An old message takes its nonce with it.
    let (trimmed, _) = trim(&place, keep(1), end + 2, 100).await;
    assert_eq!((trimmed.entries, trimmed.nonces), (3, 2));
    assert_eq!(place.append(&batch[3..4], end + 3).await, [stored(8, end + 3)]);
    assert_eq!(place.append(&batch[..1], end + 3).await, [duplicate(&kitchen, 7, end + 1)]);
}

async fn writing_goes_on_while_it_is_trimmed(place: Place) {
    let kitchen = room("kitchen");
    let log = Arc::clone(&place.stores.log);
    let writer = tokio::spawn(async move {
        let kitchen = room("kitchen");
        for number in 1..=100_u64 {
            let batch = [(); 5].map(|()| draft(&kitchen, "alice", "x"));
            let commit = log.append(&batch, number).await.unwrap();
            assert_eq!(commit.entries.last().map(|entry| entry.seq), Some(number * 5));
        }
    });
    let mut trimmed = 0;
    while !writer.is_finished() {
        trimmed += trim(&place, keep(20), DAY_MS, 9).await.0.entries;
        let page = place.all(&kitchen).await;
        assert_eq!(seqs(&page), (page.first..=page.last).collect::<Vec<_>>());
        assert!(page.first > trimmed, "{} {trimmed}", page.first);
    }
    writer.await.unwrap();
    trim(&place, keep(20), DAY_MS, 9).await;
    assert_eq!(seqs(&place.all(&kitchen).await), (481..=500).collect::<Vec<_>>());
}

async fn the_epoch_stays(place: Place) {
    let epoch = place.stores.log.epoch().to_owned();
    assert_eq!(epoch.len(), 36);
    place.append(&[draft(&room("kitchen"), "alice", "a")], 1).await;
    assert_eq!(place.stores.log.epoch(), epoch);
}

async fn the_log_may_be_called_in_place(place: Place) {
    let kitchen = room("kitchen");
    let mut published = Vec::new();
    let commit = place.stores.log.append_in_place(&[draft(&kitchen, "alice", "a")], 1, &mut |commit| {
        published.push(commit.clone());
    });
    // Either all of it happened, or nothing and `append` is the way.
    assert_eq!(published, Vec::from_iter(commit.clone()));
    assert_eq!(place.all(&kitchen).await.entries, commit.unwrap_or_default().entries);
}

async fn it_answers(place: Place) {
    place.stores.log.check().await.unwrap();
    place.append(&[draft(&room("kitchen"), "alice", "a")], 1).await;
    place.stores.log.check().await.unwrap();
}

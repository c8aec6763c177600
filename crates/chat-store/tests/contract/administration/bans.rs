//! Bans, and the deletion of what banned users have written.

use super::*;

every_store! {
    a_banned_user_has_no_session_and_gets_none,
    an_administrator_is_not_banned_and_a_banned_user_is_no_administrator,
    a_user_without_an_account_is_banned_where_that_is_asked_for,
    a_name_that_is_used_again_is_not_banned,
    the_messages_of_a_user_are_found_part_by_part,
}

async fn a_banned_user_has_no_session_and_gets_none(store: TestStore) {
    store.accounts("admin bob carol").await;
    let by = name("admin");
    for (id, person) in [("one", "bob"), ("two", "bob"), ("other", "carol")] {
        assert!(store.sessions.open_session(&session(id, person, 1, 1000), SESSIONS_MAX).await.unwrap());
    }
    let mut ended = store.administration.ban(&ban("bob"), Some(&by), 10).await.unwrap().unwrap();
    ended.sort_by(|one, other| one.as_str().cmp(other.as_str()));
    assert_eq!(ended, [session_id("one"), session_id("two")]);
    assert_eq!(store.sessions.find_session(&session_id("one"), 20).await.unwrap(), None);
    assert!(store.sessions.find_session(&session_id("other"), 20).await.unwrap().is_some());
    assert!(!store.sessions.open_session(&session("new", "bob", 20, 1000), SESSIONS_MAX).await.unwrap());
    assert_eq!(store.sessions.find_session(&session_id("new"), 20).await.unwrap(), None);
    let people = ["bob", "carol", "eve"].map(name);
    let found = store.administration.bans_of(&people).await.unwrap();
    assert_eq!(found, [store.administration.find_ban(&name("bob")).await.unwrap().unwrap()]);
    let found = store.administration.find_ban(&name("bob")).await.unwrap().unwrap();
    assert_eq!((found.by, found.at_ms, found.reason.as_str()), (Some(by.clone()), 10, "spam"));
    assert!(!found.is_deleting);
    assert_eq!(store.administration.find_ban(&name("carol")).await.unwrap(), None);
    // The same once more changes nothing; the deletion is asked for later.
    assert_eq!(store.administration.ban(&ban("bob"), Some(&by), 11).await.unwrap(), Ok(vec![]));
    let deleting = NewBan { delete_messages: true, ..ban("bob") };
    for _ in 0..2 {
        store.administration.ban(&deleting, Some(&by), 12).await.unwrap().unwrap();
    }
    let deletions = store.administration.deletions(9).await.unwrap();
    assert_eq!((deletions.len(), &deletions[0].user), (1, &name("bob")));
    assert_eq!((deletions[0].upto, deletions[0].banned_at_ms), (LogPosition::default(), 10));
    let bans = store.administration.bans(None, 9).await.unwrap();
    assert!(bans.len() == 1 && bans[0].is_deleting && bans[0].at_ms == 10, "{bans:?}");
    assert_eq!(store.administration.bans(Some(&name("bob")), 9).await.unwrap(), []);
    store.administration.note_deletion(&name("bob"), None).await.unwrap();
    assert_eq!(store.administration.deletions(9).await.unwrap(), []);
    // One that is complete stays so.
    store.administration.note_deletion(&name("bob"), Some(LogPosition::default())).await.unwrap();
    assert_eq!(store.administration.deletions(9).await.unwrap(), []);
    for was_banned in [true, false] {
        let unbanned = store.administration.unban(&name("bob"), None, 13).await.unwrap();
        assert_eq!(unbanned, was_banned);
    }
    assert!(store.sessions.open_session(&session("new", "bob", 20, 1000), SESSIONS_MAX).await.unwrap());
    assert_eq!(
        audit(&store).await,
        [
            r#"admin: user.ban bob {"reason":"spam"}"#,
            r#"admin: user.ban bob {"delete_messages":true,"reason":"spam"}"#,
            "server: user.unban bob",
        ]
    );
}

async fn an_administrator_is_not_banned_and_a_banned_user_is_no_administrator(store: TestStore) {
    store.accounts("admin bob").await;
    let by = name("admin");
    store.users.set_administrator(&by, true, 1).await.unwrap();
    let refused = async |user: &str| store.administration.ban(&ban(user), None, 2).await.unwrap();
    assert_eq!(refused("admin").await, Err(BanRefused::Administrator));
    assert_eq!(refused("eve").await, Err(BanRefused::NoUser));
    let set = async |user: &str, role| {
        store.administration.set_role(&name(user), role, Some(&by), 3).await.unwrap()
    };
    for _ in 0..2 {
        assert_eq!(set("bob", true).await, RoleChange::Done);
    }
    assert_eq!(set("bob", false).await, RoleChange::Done);
    assert_eq!(set("admin", false).await, RoleChange::LastAdministrator);
    refused("bob").await.unwrap();
    assert_eq!(set("bob", true).await, RoleChange::Banned);
    assert_eq!(set("eve", true).await, RoleChange::NoPassword);
    assert_eq!(store.users.administrators().await.unwrap(), [name("admin")]);
    assert_eq!(
        audit(&store).await,
        [
            r#"server: user.role admin {"role":"administrator"}"#,
            r#"admin: user.role bob {"role":"administrator"}"#,
            r#"admin: user.role bob {"role":"member"}"#,
            r#"server: user.ban bob {"reason":"spam"}"#,
        ]
    );
}

async fn a_user_without_an_account_is_banned_where_that_is_asked_for(store: TestStore) {
    assert_eq!(store.administration.ban(&ban("eve"), None, 1).await.unwrap(), Err(BanRefused::NoUser));
    let any = NewBan { without_account: true, ..ban("eve") };
    assert_eq!(store.administration.ban(&any, None, 1).await.unwrap(), Ok(vec![]));
    assert_eq!(store.administration.bans_of(&[name("eve")]).await.unwrap().len(), 1);
}

async fn a_name_that_is_used_again_is_not_banned(store: TestStore) {
    store.accounts("bob").await;
    store.administration.ban(&ban("bob"), None, 2).await.unwrap().unwrap();
    store.users.remove_user(&name("bob")).await.unwrap();
    assert_eq!(store.administration.bans(None, 9).await.unwrap(), []);
    store.users.recreate_user(&new_user("bob")).await.unwrap();
    assert!(store.sessions.open_session(&session("one", "bob", 1, 1000), SESSIONS_MAX).await.unwrap());
    // The messages of a removed account are deleted to their end, and not those of its successor.
    let deleting = NewBan { delete_messages: true, ..ban("bob") };
    store.administration.ban(&deleting, None, 2).await.unwrap().unwrap();
    store.users.remove_user(&name("bob")).await.unwrap();
    assert_eq!(store.administration.deletions(9).await.unwrap().len(), 1);
    store.users.recreate_user(&new_user("bob")).await.unwrap();
    assert_eq!(store.administration.deletions(9).await.unwrap(), []);
    assert!(store.sessions.open_session(&session("one", "bob", 1, 1000), SESSIONS_MAX).await.unwrap());
}

async fn the_messages_of_a_user_are_found_part_by_part(store: TestStore) {
    store.accounts("alice bob").await;
    let (kitchen, garden, both) = (room("kitchen"), room("garden"), pair("alice", "bob"));
    for topic in [&kitchen, &garden] {
        let drafts = ["alice", "bob", "alice", "bob"].map(|from| draft(topic, from, "a"));
        store.append(&drafts, 10).await;
    }
    store.append(&[private("bob", "alice", "b"), private("alice", "bob", "c")], 11).await;
    store.append(&[delete(&kitchen, "bob", 2), react(&garden, "bob", 1, "👍")], 12).await;
    for max in [1, 3, 100] {
        let (mut found, mut after) = (Vec::new(), Some(LogPosition::default()));
        while let Some(position) = after {
            let part = store.administration.messages_of(&name("bob"), position, max).await.unwrap();
            found.extend(part.messages);
            after = part.next;
        }
        found.sort();
        let mut expected =
            vec![(kitchen.clone(), 4), (garden.clone(), 2), (garden.clone(), 4), (both.clone(), 1)];
        expected.sort();
        assert_eq!(found, expected, "{max} at a time");
    }
}

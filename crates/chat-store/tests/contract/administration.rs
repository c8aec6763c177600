//! Invitations, bans, password links, reports, the profile of the server, and the audit log.

use chat_core::{
    Access, ChangeRefused, ChangeRules, Draft, Outcome, Role, SecretHash, SessionId, WantedChange,
};
use chat_store::{
    AUDIT_OF_USER_MAX, AuditAction, BanRefused, DONE_REPORTS_OF_USER_MAX, INVITES_MAX, Invite, InviteRefused,
    InvitesOf, LogPosition, NewBan, NewInvite, NewPasswordLink, NewReport, NewUser, OPEN_REPORTS_MAX,
    PasswordChange, ProfileField, RegistrationTerms, ReportState, ReportsOf, RoleChange, StoreError,
};

use crate::common::*;

every_store! {
    an_invitation_is_used_as_often_as_it_says_and_until_its_end,
    of_many_who_use_the_last_use_at_once_one_gets_in,
    an_account_and_its_invitation_are_one_transaction,
    of_many_who_register_at_once_none_is_one_too_many,
    invitations_of_a_user_are_limited_and_end_with_the_user,
    invitations_end_with_what_they_were_made_by,
    invitations_are_listed_page_by_page_as_their_reader_may_see_them,
    whom_a_moderator_has_removed_an_invitation_does_not_bring_back,
    a_banned_user_has_no_session_and_gets_none,
    an_administrator_is_not_banned_and_a_banned_user_is_no_administrator,
    only_the_first_account_is_set_up,
    a_user_without_an_account_is_banned_where_that_is_asked_for,
    an_account_without_a_password_gets_no_link,
    a_link_sets_one_password_once,
    a_link_ends_with_the_role_of_its_maker_and_with_a_ban,
    a_link_ends_with_the_password_and_with_the_account,
    a_name_that_is_used_again_is_not_banned,
    a_report_is_made_once_and_seen_by_moderators,
    a_report_is_not_opened_beside_another_open_one_of_its_user,
    reports_of_one_user_push_out_no_others_and_no_open_ones,
    calls_at_once_pass_no_limit_and_write_one_entry,
    the_profile_is_what_was_changed,
    moderation_of_rooms_is_in_the_audit_log,
    who_deletes_a_message_of_another_user_is_in_the_audit_log,
    what_one_user_does_pushes_out_no_other_entry,
    the_messages_of_a_user_are_found_part_by_part,
}

fn session_id(id: &str) -> SessionId {
    SessionId::new(id)
}

fn secret(number: u8) -> SecretHash {
    SecretHash::from_bytes([number; 32])
}

fn invite(number: u8, by: &str, room: Option<&str>, uses: Option<u64>, end_ms: Option<u64>) -> NewInvite {
    NewInvite {
        id: format!("id {number}"),
        secret: secret(number),
        by: name(by),
        room: room.map(room_name),
        uses_max: uses,
        created_at_ms: 10 + u64::from(number),
        expires_at_ms: end_ms,
    }
}

fn accept(room: &str, user: &str, number: u8) -> WantedChange {
    WantedChange::Accept { room: room_name(room), user: name(user), invite: secret(number) }
}

fn new_user(person: &str) -> NewUser {
    let created_at_ms = 50;
    NewUser { name: name(person), password_hash: "$argon2id$x".into(), avatar: None, created_at_ms }
}

/// With an invitation, and without a limit.
fn invited(invite: &SecretHash) -> RegistrationTerms<'_> {
    RegistrationTerms { invite: Some(invite), accounts_max: None }
}

/// The audit log, oldest first: who, what, to whom, details.
async fn audit(store: &TestStore) -> Vec<String> {
    let entries = store.administration.audit(None, 999).await.unwrap();
    let line = |entry: &chat_store::AuditEntry| {
        let by = entry.by.as_ref().map_or("server", |by| by.as_str());
        let details = entry.details.as_ref().map(|details| format!(" {details}")).unwrap_or_default();
        format!("{by}: {} {}{details}", entry.action.as_str(), entry.target)
    };
    entries.iter().rev().map(line).collect()
}

/// Makes an invitation that may be made.
async fn make(store: &TestStore, invite: NewInvite) {
    store.administration.create_invite(&invite).await.unwrap().unwrap();
}

async fn promote(store: &TestStore, user: &str) {
    let set = store.users.set_administrator(&name(user), true, 1).await.unwrap();
    assert_eq!(set, RoleChange::Done);
}

async fn ids(store: &TestStore, of: InvitesOf<'_>) -> Vec<String> {
    let invites = store.administration.invites(of, None, 50, 99).await.unwrap();
    invites.iter().map(|Invite { id, used, .. }| format!("{id} used {used}")).collect()
}

async fn an_invitation_is_used_as_often_as_it_says_and_until_its_end(store: TestStore) {
    store.accounts("alice bob carol dave").await;
    store.change(&create("~cellar", Access::Closed, "alice", &[])).await.unwrap();
    store.change(&create("kitchen", Access::Open, "alice", &[])).await.unwrap();
    let new = invite(1, "alice", Some("~cellar"), Some(2), Some(1000));
    for _ in 0..2 {
        make(&store, new.clone()).await;
    }
    let found = store.administration.find_invite(&secret(1), 999).await.unwrap().unwrap();
    assert_eq!((found.by, found.room, found.uses_max), (name("alice"), Some(room_name("~cellar")), Some(2)));
    assert_eq!(store.administration.find_invite(&secret(1), 1000).await.unwrap(), None);
    assert_eq!(store.administration.find_invite(&secret(2), 1).await.unwrap(), None);
    // To another room, too late, or without an account.
    assert_eq!(store.change_at(&accept("kitchen", "bob", 1), 20).await, Err(ChangeRefused::NoInvite));
    assert_eq!(store.change_at(&accept("~cellar", "bob", 1), 1000).await, Err(ChangeRefused::NoInvite));
    assert_eq!(store.change_at(&accept("~cellar", "bob", 2), 20).await, Err(ChangeRefused::NoInvite));
    assert_eq!(store.change_at(&accept("~none", "bob", 1), 20).await, Err(ChangeRefused::NoInvite));
    assert_eq!(store.change_at(&accept("~cellar", "eve", 1), 20).await, Err(ChangeRefused::NoUser));
    assert_eq!(store.change_at(&accept("~cellar", "bob", 1), 20).await.unwrap(), ["@0 bob member"]);
    // A member uses nothing, also by a repeated call, and keeps the role.
    assert_eq!(store.change_at(&accept("~cellar", "bob", 1), 20).await.unwrap(), ["@0 bob member"]);
    assert_eq!(store.change_at(&accept("~cellar", "alice", 1), 20).await.unwrap(), ["@0 alice moderator"]);
    assert_eq!(ids(&store, InvitesOf::Room(&room_name("~cellar"))).await, ["id 1 used 1"]);
    assert_eq!(store.change_at(&accept("~cellar", "carol", 1), 20).await.unwrap(), ["@0 carol member"]);
    assert_eq!(store.change_at(&accept("~cellar", "dave", 1), 20).await, Err(ChangeRefused::NoInvite));
    assert_eq!(ids(&store, InvitesOf::User(&name("alice"))).await, [""; 0]);

    let endless = invite(3, "bob", Some("~cellar"), None, None);
    make(&store, endless).await;
    assert!(store.administration.invite("id 3", u64::MAX / 4).await.unwrap().is_some());
    for is_there in [true, false] {
        assert_eq!(
            store.administration.delete_invite("id 3", Some(&name("alice")), 30).await.unwrap(),
            is_there
        );
    }
    assert_eq!(store.change_at(&accept("~cellar", "dave", 3), 30).await, Err(ChangeRefused::NoInvite));
    assert_eq!(
        audit(&store).await,
        [
            r#"alice: invite.create id 1 {"room":"~cellar","uses":2}"#,
            r#"bob: invite.create id 3 {"room":"~cellar"}"#,
            "alice: invite.delete id 3",
        ]
    );
}

async fn of_many_who_use_the_last_use_at_once_one_gets_in(store: TestStore) {
    store.accounts("alice").await;
    promote(&store, "alice").await;
    make(&store, invite(1, "alice", None, Some(1), None)).await;
    let tasks: Vec<_> = (0..8)
        .map(|number| {
            let administration = store.administration.clone();
            tokio::spawn(async move {
                let user = new_user(&format!("guest{number}"));
                administration.register(&user, invited(&secret(1))).await.unwrap()
            })
        })
        .collect();
    let mut made = 0;
    for task in tasks {
        made += usize::from(task.await.unwrap());
    }
    assert_eq!((made, store.users.list_users(None, 99).await.unwrap().len()), (1, 2));
}

async fn an_account_and_its_invitation_are_one_transaction(store: TestStore) {
    store.accounts("alice").await;
    store.change(&create("~cellar", Access::Closed, "alice", &[])).await.unwrap();
    store.send("~cellar", "alice", 3, 5).await;
    make(&store, invite(1, "alice", Some("~cellar"), Some(2), Some(60))).await;
    // A refused name uses nothing; an invitation that is over makes no account.
    let taken = store.administration.register(&new_user("alice"), invited(&secret(1))).await;
    assert!(matches!(taken, Err(StoreError::NameTaken)), "{taken:?}");
    assert!(!store.administration.register(&new_user("eve"), invited(&secret(2))).await.unwrap());
    let late = NewUser { created_at_ms: 60, ..new_user("eve") };
    assert!(!store.administration.register(&late, invited(&secret(1))).await.unwrap());
    assert_eq!(store.users.find_user(&name("eve")).await.unwrap(), None);
    store.users.check_new_name(&name("eve")).await.unwrap();
    assert_eq!(ids(&store, InvitesOf::User(&name("alice"))).await, ["id 1 used 0"]);
    assert!(store.administration.register(&new_user("bob"), invited(&secret(1))).await.unwrap());
    assert_eq!(ids(&store, InvitesOf::User(&name("alice"))).await, ["id 1 used 1"]);
    assert_eq!(store.members("~cellar").await, ["alice moderator", "bob member"]);
    assert_eq!(store.position("bob", &room("~cellar")).await, "read 3 of 3, 0 unread");
}

async fn of_many_who_register_at_once_none_is_one_too_many(store: TestStore) {
    store.accounts("alice").await;
    promote(&store, "alice").await;
    make(&store, invite(1, "alice", None, None, None)).await;
    let tasks: Vec<_> = (0..8)
        .map(|number| {
            let administration = store.administration.clone();
            tokio::spawn(async move {
                let secret = secret(1);
                let invite = (number % 2 == 0).then_some(&secret);
                let terms = RegistrationTerms { invite, accounts_max: Some(4) };
                administration.register(&new_user(&format!("guest{number}")), terms).await
            })
        })
        .collect();
    let (mut made, mut refused) = (0, 0);
    for task in tasks {
        match task.await.unwrap() {
            Ok(true) => made += 1,
            Err(StoreError::TooManyAccounts { max: 4 }) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((made, refused, store.users.count_users().await.unwrap()), (3, 5, 4));
    // The operator is not limited, and a removed account leaves space.
    store.users.create_user(&new_user("bob")).await.unwrap();
    for (name, is_space) in [("bob", false), ("alice", true)] {
        let terms = RegistrationTerms { invite: None, accounts_max: Some(4) };
        store.users.remove_user(&chat_core::Username::known(name).unwrap()).await.unwrap();
        let made = store.administration.register(&new_user("carol"), terms).await;
        assert_eq!(made.is_ok(), is_space, "{made:?}");
    }
}

async fn invitations_of_a_user_are_limited_and_end_with_the_user(store: TestStore) {
    store.accounts("alice bob").await;
    store.change(&create("kitchen", Access::Open, "alice", &["bob"])).await.unwrap();
    store.change(&create("garden", Access::Open, "bob", &[])).await.unwrap();
    for number in 0..INVITES_MAX as u8 {
        make(&store, invite(number, "bob", Some("garden"), None, Some(1000))).await;
    }
    let one_more = invite(200, "bob", Some("kitchen"), None, None);
    let refused = Err(InviteRefused::TooMany { max: INVITES_MAX });
    assert_eq!(store.administration.create_invite(&one_more).await.unwrap(), refused);
    // Those that are over do not count.
    make(&store, NewInvite { created_at_ms: 1000, ..one_more }).await;
    let to_kitchen = async || ids(&store, InvitesOf::Room(&room_name("kitchen"))).await.len();
    assert_eq!(to_kitchen().await, 1);
    store.change(&leave("kitchen", "bob")).await.unwrap();
    assert_eq!(to_kitchen().await, 0);
    make(&store, invite(201, "bob", Some("garden"), None, None)).await;
    store.administration.ban(&ban("bob"), None, 300).await.unwrap().unwrap();
    assert_eq!(ids(&store, InvitesOf::User(&name("bob"))).await, [""; 0]);
}

async fn invitations_end_with_what_they_were_made_by(store: TestStore) {
    store.accounts("alice bob carol dave").await;
    promote(&store, "alice").await;
    promote(&store, "bob").await;
    store.change(&create("kitchen", Access::Open, "carol", &["bob"])).await.unwrap();
    store.change(&create("~cellar", Access::Closed, "carol", &["dave"])).await.unwrap();
    let mut number = 0;
    let mut made = async |by: &str, room: Option<&str>| {
        number += 1;
        store.administration.create_invite(&invite(number, by, room, None, None)).await.unwrap()
    };
    let forbidden = Err(InviteRefused::Forbidden);
    assert_eq!(made("carol", None).await, forbidden, "no administrator");
    assert_eq!(made("alice", Some("~cellar")).await, forbidden, "no member of a closed room");
    assert_eq!(made("dave", Some("kitchen")).await, forbidden, "no member");
    for (by, room) in [
        ("alice", None),
        ("alice", Some("kitchen")),
        ("bob", None),
        ("bob", Some("kitchen")),
        ("carol", Some("kitchen")),
        ("dave", Some("~cellar")),
    ] {
        made(by, room).await.unwrap();
    }
    let left = async || {
        let mut left = Vec::new();
        for number in 4..=9 {
            let found = store.administration.find_invite(&secret(number), 50).await.unwrap();
            left.extend(found.map(|invite| {
                let room = invite.room.map_or("the server".to_owned(), |room| room.as_str().to_owned());
                format!("{} to {room}", invite.by.as_str())
            }));
        }
        left
    };
    assert_eq!(left().await.len(), 6);
    // Without the role, bob invites to the rooms of which he is a member.
    store.administration.set_role(&name("bob"), false, None, 20).await.unwrap();
    let all =
        ["alice to the server", "alice to kitchen", "bob to kitchen", "carol to kitchen", "dave to ~cellar"];
    assert_eq!(left().await, all);
    // Only members invite to a closed room.
    store.change(&close("kitchen", "carol")).await.unwrap();
    assert_eq!(
        left().await,
        ["alice to the server", "bob to kitchen", "carol to kitchen", "dave to ~cellar"]
    );
    store.users.remove_user(&name("dave")).await.unwrap();
    store.users.remove_user(&name("alice")).await.unwrap();
    assert_eq!(left().await, ["bob to kitchen", "carol to kitchen"]);
}

async fn invitations_are_listed_page_by_page_as_their_reader_may_see_them(store: TestStore) {
    store.accounts("alice bob carol").await;
    promote(&store, "alice").await;
    store.change(&create("kitchen", Access::Open, "bob", &[])).await.unwrap();
    store.change(&create("~cellar", Access::Closed, "bob", &[])).await.unwrap();
    store.change(&create("~attic", Access::Closed, "bob", &["alice"])).await.unwrap();
    make(&store, invite(1, "alice", None, None, None)).await;
    for number in 2..20 {
        let room = ["kitchen", "~cellar", "~attic"][usize::from(number % 3)];
        let new = invite(number, "bob", Some(room), None, None);
        // Two of one millisecond are in the order of their ids.
        make(&store, NewInvite { created_at_ms: 10 + u64::from(number / 2), ..new }).await;
    }
    let (alice, cellar) = (name("alice"), room_name("~cellar"));
    let pages = async |of: InvitesOf<'_>| {
        let (mut ids, mut after) = (Vec::new(), None);
        loop {
            let page = store.administration.invites(of, after.as_ref(), 50, 5).await.unwrap();
            let Some(last) = page.last() else { break };
            after = Some(last.position());
            ids.extend(page.into_iter().map(|invite| (invite.id, invite.title.unwrap_or_default())));
        }
        ids
    };
    let rooms = |found: Vec<(String, String)>| {
        let mut ids: Vec<_> = found.iter().map(|(id, _)| id.clone()).collect();
        let count = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), count, "none twice: {found:?}");
        let of = |title: &str| found.iter().filter(|(_, found)| found == title).count();
        (count, of("kitchen"), of("~cellar"), of("~attic"))
    };
    assert_eq!(rooms(pages(InvitesOf::Others { reader: &alice }).await), (12, 6, 0, 6));
    assert_eq!(rooms(pages(InvitesOf::User(&alice)).await), (1, 0, 0, 0));
    assert_eq!(rooms(pages(InvitesOf::Room(&cellar)).await), (6, 0, 6, 0));
}

async fn whom_a_moderator_has_removed_an_invitation_does_not_bring_back(store: TestStore) {
    store.accounts("alice bob carol dave").await;
    store.change(&create("~cellar", Access::Closed, "alice", &["bob", "carol", "dave"])).await.unwrap();
    store.change(&create("kitchen", Access::Open, "alice", &["carol"])).await.unwrap();
    make(&store, invite(1, "bob", Some("~cellar"), None, None)).await;
    make(&store, invite(2, "alice", Some("kitchen"), None, None)).await;
    for _ in 0..2 {
        store.change(&remove("~cellar", "alice", "carol")).await.unwrap();
    }
    assert_eq!(store.change_at(&accept("~cellar", "carol", 1), 20).await, Err(ChangeRefused::NoInvite));
    // Everybody joins an open room.
    store.change(&remove("kitchen", "alice", "carol")).await.unwrap();
    assert_eq!(store.change_at(&accept("kitchen", "carol", 2), 20).await.unwrap(), ["@0 carol member"]);
    // A user who has left comes back.
    store.change(&leave("~cellar", "dave")).await.unwrap();
    assert_eq!(store.change_at(&accept("~cellar", "dave", 1), 20).await.unwrap(), ["@0 dave member"]);
    // So does carol, once a member has added her, and she has left by herself.
    store.change(&put("~cellar", "bob", "carol", None)).await.unwrap();
    store.change(&leave("~cellar", "carol")).await.unwrap();
    assert_eq!(store.change_at(&accept("~cellar", "carol", 1), 20).await.unwrap(), ["@0 carol member"]);
}

fn ban(user: &str) -> NewBan {
    NewBan { user: name(user), reason: "spam".into(), delete_messages: false, without_account: false }
}

async fn a_banned_user_has_no_session_and_gets_none(store: TestStore) {
    store.accounts("admin bob carol").await;
    let by = name("admin");
    for (id, person) in [("one", "bob"), ("two", "bob"), ("other", "carol")] {
        assert!(store.sessions.open_session(&session(id, person, 1, 1000)).await.unwrap());
    }
    let mut ended = store.administration.ban(&ban("bob"), Some(&by), 10).await.unwrap().unwrap();
    ended.sort_by(|one, other| one.as_str().cmp(other.as_str()));
    assert_eq!(ended, [session_id("one"), session_id("two")]);
    assert_eq!(store.sessions.find_session(&session_id("one"), 20).await.unwrap(), None);
    assert!(store.sessions.find_session(&session_id("other"), 20).await.unwrap().is_some());
    assert!(!store.sessions.open_session(&session("new", "bob", 20, 1000)).await.unwrap());
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
    assert!(store.sessions.open_session(&session("new", "bob", 20, 1000)).await.unwrap());
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

async fn only_the_first_account_is_set_up(store: TestStore) {
    store.accounts("alice bob").await;
    let set_up = async |user: &str| store.administration.set_up(&name(user), 5).await.unwrap();
    assert_eq!(set_up("eve").await, Some(RoleChange::NoPassword));
    assert_eq!(store.administration.set_up_round().await.unwrap(), 0);
    for _ in 0..2 {
        assert_eq!(set_up("alice").await, Some(RoleChange::Done));
    }
    assert_eq!(set_up("bob").await, None);
    assert_eq!(store.users.administrators().await.unwrap(), [name("alice")]);
    assert_eq!(audit(&store).await, ["alice: setup alice"]);
    // Each first administrator ends a round, and no other one does.
    store.users.set_administrator(&name("bob"), true, 6).await.unwrap();
    assert_eq!(store.administration.set_up_round().await.unwrap(), 1);
    for user in ["alice", "bob"] {
        store.users.remove_user(&name(user)).await.unwrap();
    }
    store.accounts("carol").await;
    store.users.set_administrator(&name("carol"), true, 7).await.unwrap();
    assert_eq!(store.administration.set_up_round().await.unwrap(), 2);
    store.administration.note_account(AuditAction::UserRemove, &name("bob"), 8).await.unwrap();
    assert_eq!(audit(&store).await.last().unwrap(), "server: user.remove bob");
}

async fn a_user_without_an_account_is_banned_where_that_is_asked_for(store: TestStore) {
    assert_eq!(store.administration.ban(&ban("eve"), None, 1).await.unwrap(), Err(BanRefused::NoUser));
    let any = NewBan { without_account: true, ..ban("eve") };
    assert_eq!(store.administration.ban(&any, None, 1).await.unwrap(), Ok(vec![]));
    assert_eq!(store.administration.bans_of(&[name("eve")]).await.unwrap().len(), 1);
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
    store.sessions.open_session(&session("one", "bob", 1, 1000)).await.unwrap();
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

    store.sessions.open_session(&session("two", "bob", 1, 1000)).await.unwrap();
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

async fn a_name_that_is_used_again_is_not_banned(store: TestStore) {
    store.accounts("bob").await;
    store.administration.ban(&ban("bob"), None, 2).await.unwrap().unwrap();
    store.users.remove_user(&name("bob")).await.unwrap();
    assert_eq!(store.administration.bans(None, 9).await.unwrap(), []);
    store.users.recreate_user(&new_user("bob")).await.unwrap();
    assert!(store.sessions.open_session(&session("one", "bob", 1, 1000)).await.unwrap());
    // The messages of a removed account are deleted to their end, and not those of its successor.
    let deleting = NewBan { delete_messages: true, ..ban("bob") };
    store.administration.ban(&deleting, None, 2).await.unwrap().unwrap();
    store.users.remove_user(&name("bob")).await.unwrap();
    assert_eq!(store.administration.deletions(9).await.unwrap().len(), 1);
    store.users.recreate_user(&new_user("bob")).await.unwrap();
    assert_eq!(store.administration.deletions(9).await.unwrap(), []);
    assert!(store.sessions.open_session(&session("one", "bob", 1, 1000)).await.unwrap());
}

async fn a_report_is_made_once_and_seen_by_moderators(store: TestStore) {
    store.accounts("alice bob carol").await;
    store.change(&create("kitchen", Access::Open, "alice", &["bob"])).await.unwrap();
    store.change(&create("garden", Access::Open, "bob", &["alice"])).await.unwrap();
    let report =
        |topic, seq, by: &str| NewReport { topic, seq, reporter: name(by), reason: "rude".into(), at_ms: 5 };
    let make = async |report: NewReport| store.administration.create_report(&report).await.unwrap();
    let first = make(report(room("kitchen"), 1, "bob")).await.unwrap();
    assert_eq!(make(report(room("kitchen"), 1, "bob")).await, Some(first));
    let second = make(report(room("kitchen"), 1, "carol")).await.unwrap();
    let third = make(report(pair("alice", "bob"), 1, "bob")).await.unwrap();
    let fourth = make(report(room("garden"), 7, "carol")).await.unwrap();
    assert!(first < second && second < third && third < fourth);
    let list = async |of: ReportsOf<'_>, state, before, max| -> Vec<u64> {
        let reports = store.administration.reports(of, state, before, max).await.unwrap();
        reports.iter().map(|listed| listed.report.id).collect()
    };
    let (alice, carol) = (name("alice"), name("carol"));
    let all = ReportsOf::Everywhere { reader: &carol };
    // Carol reads open rooms, and no conversation of others.
    let seen = async |reader: &str, id: u64| {
        let of = ReportsOf::Everywhere { reader: &name(reader) };
        let listed = store.administration.reports(of, None, Some(id + 1), 1).await.unwrap();
        assert_eq!(listed[0].report.id, id);
        listed[0].is_readable
    };
    assert!(seen("carol", first).await && !seen("carol", third).await && seen("bob", third).await);
    assert_eq!(list(all, None, None, 9).await, [fourth, third, second, first]);
    assert_eq!(list(all, None, Some(third), 1).await, [second]);
    assert_eq!(list(ReportsOf::ModeratedBy(&alice), None, None, 9).await, [second, first]);
    assert_eq!(list(ReportsOf::ModeratedBy(&name("carol")), None, None, 9).await, [0; 0]);
    let change =
        async |id, state| store.administration.change_report(id, state, Some(&alice), 6).await.unwrap();
    for _ in 0..2 {
        assert!(change(first, ReportState::Done).await);
    }
    assert!(!change(999, ReportState::Done).await);
    assert_eq!(list(all, Some(ReportState::Open), None, 9).await, [fourth, third, second]);
    assert_eq!(list(all, Some(ReportState::Done), None, 9).await, [first]);
    let found = store.administration.report(first).await.unwrap().unwrap();
    assert_eq!((found.topic, found.seq, found.reporter), (room("kitchen"), 1, name("bob")));
    assert_eq!((found.state, found.changed_by), (ReportState::Done, Some(alice.clone())));
    assert_eq!(store.administration.report(999).await.unwrap(), None);
    // A message may be reported again once the report was dealt with.
    assert!(make(report(room("kitchen"), 1, "bob")).await.unwrap() > fourth);
    for seq in 10..8 + OPEN_REPORTS_MAX as u64 {
        assert!(make(report(room("garden"), seq, "bob")).await.is_some());
    }
    assert_eq!(make(report(room("garden"), 999, "bob")).await, None);
    assert_eq!(audit(&store).await, [format!(r#"alice: report.change {first} {{"state":"done"}}"#)]);
}

fn report(topic: &chat_core::Topic, seq: u64, by: &str) -> NewReport {
    NewReport { topic: topic.clone(), seq, reporter: name(by), reason: "rude".into(), at_ms: 5 }
}

async fn a_report_is_not_opened_beside_another_open_one_of_its_user(store: TestStore) {
    store.accounts("alice bob").await;
    let kitchen = room("kitchen");
    let make =
        async || store.administration.create_report(&report(&kitchen, 1, "bob")).await.unwrap().unwrap();
    let set = async |id, state| store.administration.change_report(id, state, None, 6).await.unwrap();
    let first = make().await;
    assert!(set(first, ReportState::Done).await);
    let second = make().await;
    assert!(set(first, ReportState::Open).await);
    let state = async |id| store.administration.report(id).await.unwrap().unwrap().state;
    assert_eq!((state(first).await, state(second).await), (ReportState::Done, ReportState::Open));
    assert!(set(second, ReportState::Done).await && set(first, ReportState::Open).await);
    assert_eq!((state(first).await, state(second).await), (ReportState::Open, ReportState::Done));
    assert_eq!(audit(&store).await.len(), 3);
}

async fn reports_of_one_user_push_out_no_others_and_no_open_ones(store: TestStore) {
    store.accounts("alice bob mallory").await;
    let kitchen = room("kitchen");
    let create = async |seq, by: &str| {
        store.administration.create_report(&report(&kitchen, seq, by)).await.unwrap().unwrap()
    };
    let done = async |id| store.administration.change_report(id, ReportState::Done, None, 6).await.unwrap();
    let of_bob = create(1, "bob").await;
    assert!(done(of_bob).await);
    let open = create(1, "mallory").await;
    let first = create(2, "mallory").await;
    assert!(done(first).await);
    for seq in 3..4 + DONE_REPORTS_OF_USER_MAX {
        let id = create(seq, "mallory").await;
        assert!(done(id).await);
    }
    create(2, "mallory").await;
    let find = async |id| store.administration.report(id).await.unwrap().map(|report| report.state);
    assert_eq!(find(of_bob).await, Some(ReportState::Done));
    assert_eq!(find(open).await, Some(ReportState::Open));
    assert_eq!(find(first).await, None);
}

async fn calls_at_once_pass_no_limit_and_write_one_entry(store: TestStore) {
    store.accounts("alice bob").await;
    promote(&store, "alice").await;
    store.change(&create("kitchen", Access::Open, "bob", &[])).await.unwrap();
    // Not to a room, whose lock would make them wait for each other.
    for number in 0..INVITES_MAX as u8 - 1 {
        make(&store, invite(number, "alice", None, None, None)).await;
    }
    let kitchen = room("kitchen");
    let first = store.administration.create_report(&report(&kitchen, 1, "bob")).await.unwrap().unwrap();
    for seq in 2..OPEN_REPORTS_MAX as u64 {
        store.administration.create_report(&report(&kitchen, seq, "bob")).await.unwrap().unwrap();
    }
    let entries = audit(&store).await.len();
    let start = std::sync::Arc::new(tokio::sync::Barrier::new(8));
    let tasks: Vec<_> = (0..8u8)
        .map(|number| {
            let (administration, start) = (store.administration.clone(), start.clone());
            let one_more = invite(200 + number, "alice", None, None, None);
            let new = report(&room("kitchen"), 1000 + u64::from(number / 4), "bob");
            tokio::spawn(async move {
                start.wait().await;
                let invited = administration.create_invite(&one_more).await.unwrap().is_ok();
                let reported = administration.create_report(&new).await.unwrap();
                assert!(administration.change_report(first, ReportState::Done, None, 6).await.unwrap());
                let fields = [(ProfileField::Title, Some("Tea"))];
                administration.set_server_profile(&fields, None, 1).await.unwrap();
                (invited, reported)
            })
        })
        .collect();
    let (mut invited, mut reported) = (0, Vec::new());
    for task in tasks {
        let (is_invited, id) = task.await.unwrap();
        invited += usize::from(is_invited);
        reported.extend(id);
    }
    reported.sort_unstable();
    reported.dedup();
    // The first report makes room for one more once it is done.
    assert!((1..=2).contains(&reported.len()), "{reported:?}");
    let reader = name("alice");
    let open = store.administration.reports(
        ReportsOf::Everywhere { reader: &reader },
        Some(ReportState::Open),
        None,
        999,
    );
    assert!(open.await.unwrap().len() <= OPEN_REPORTS_MAX);
    assert_eq!(invited, 1);
    let mut new = audit(&store).await.split_off(entries);
    new.sort();
    assert_eq!(new.len(), 3, "{new:?}");
}

async fn the_profile_is_what_was_changed(store: TestStore) {
    let by = name("admin");
    let read = async || store.administration.server_profile().await.unwrap();
    assert_eq!(read().await, Default::default());
    let set = async |fields: &[(ProfileField, Option<&str>)]| {
        store.administration.set_server_profile(fields, Some(&by), 1).await.unwrap()
    };
    let fields = [(ProfileField::Title, Some("Tea")), (ProfileField::Logo, Some("/uploads/a.webp"))];
    for _ in 0..2 {
        set(&fields).await;
    }
    let before = set(&[(ProfileField::Logo, None), (ProfileField::Accent, Some("teal"))]).await;
    assert_eq!(before.logo.as_deref(), Some("/uploads/a.webp"));
    let now = read().await;
    assert_eq!((now.title.as_deref(), now.logo.as_deref()), (Some("Tea"), None));
    assert_eq!((now.accent.as_deref(), now.welcome.as_deref()), (Some("teal"), None));
    assert_eq!(
        audit(&store).await,
        [
            r#"admin: server.change  {"changed":["title","logo"]}"#,
            r#"admin: server.change  {"changed":["logo","accent"]}"#,
        ]
    );
}

async fn moderation_of_rooms_is_in_the_audit_log(store: TestStore) {
    store.accounts("alice bob carol").await;
    store.change(&create("kitchen", Access::Open, "alice", &["bob"])).await.unwrap();
    for _ in 0..2 {
        store.change(&put("kitchen", "alice", "carol", None)).await.unwrap();
        store.change(&put("kitchen", "alice", "bob", Some(Role::Moderator))).await.unwrap();
        store.change(&archive("kitchen", "alice", true)).await.unwrap();
    }
    store.change(&put("kitchen", "bob", "bob", Some(Role::Member))).await.unwrap();
    assert!(store.change(&remove("kitchen", "carol", "bob")).await.is_err());
    for _ in 0..2 {
        store.change(&remove("kitchen", "alice", "bob")).await.unwrap();
    }
    store.change(&leave("kitchen", "carol")).await.unwrap();
    assert_eq!(
        audit(&store).await,
        [
            r#"alice: member.role bob {"role":"moderator","room":"kitchen"}"#,
            r#"alice: room.change kitchen {"archived":true,"changed":["archived"]}"#,
            r#"alice: member.remove bob {"room":"kitchen"}"#,
        ]
    );
    let newest = store.administration.audit(None, 1).await.unwrap();
    assert_eq!(newest[0].target, "bob");
    let rest = store.administration.audit(Some(newest[0].id), 9).await.unwrap();
    assert_eq!(rest.len(), 2);
}

async fn who_deletes_a_message_of_another_user_is_in_the_audit_log(store: TestStore) {
    store.accounts("alice bob carol admin").await;
    promote(&store, "admin").await;
    store.change(&create("kitchen", Access::Open, "alice", &["bob"])).await.unwrap();
    let (kitchen, talk) = (room("kitchen"), pair("bob", "carol"));
    store.send("kitchen", "bob", 4, 1000).await;
    store.append(&[private("bob", "carol", "hi")], 1000).await;
    let before = audit(&store).await.len();
    let deletion = |by: &str, seq: u64| delete(&kitchen, by, seq).nonce(&format!("{by} {seq}"));
    // Two of one batch; who is refused, the author, and a message that is deleted write nothing.
    let batch = [deletion("alice", 2), deletion("carol", 3), deletion("admin", 1), deletion("admin", 2)];
    let outcomes = store.append(&batch, 2000).await;
    assert_eq!(outcomes[..3], [stored(5, 2000), Outcome::Forbidden, stored(6, 2000)]);
    // A retry after a lost answer writes no second entry.
    store.append(&batch, 3000).await;
    store.append(&[deletion("bob", 3), delete(&talk, "bob", 1)], 4000).await;
    let anywhere = ChangeRules { deletes_anywhere: true, ..ChangeRules::default() };
    store.append(&[Draft { rules: anywhere, ..deletion("bob", 4) }], 4000).await;
    let entries = store.administration.audit(None, 2).await.unwrap();
    assert_eq!(entries.iter().map(|entry| entry.at_ms).collect::<Vec<_>>(), [2000, 2000]);
    let mut written = audit(&store).await.split_off(before);
    written.sort();
    assert_eq!(
        written,
        [
            r#"admin: message.delete bob {"room":"kitchen","seq":1}"#,
            r#"alice: message.delete bob {"room":"kitchen","seq":2}"#,
        ]
    );
}

async fn what_one_user_does_pushes_out_no_other_entry(store: TestStore) {
    store.accounts("alice bob carol eve").await;
    promote(&store, "alice").await;
    store.administration.ban(&ban("eve"), Some(&name("alice")), 2).await.unwrap().unwrap();
    store.change(&create("kitchen", Access::Open, "bob", &[])).await.unwrap();
    store.change(&create("garden", Access::Open, "carol", &[])).await.unwrap();
    store.change(&archive("garden", "carol", true)).await.unwrap();
    for number in 0..AUDIT_OF_USER_MAX + 3 {
        store.change(&archive("kitchen", "bob", number % 2 == 0)).await.unwrap();
    }
    let (mut of, mut before) = (std::collections::BTreeMap::<String, u64>::new(), None);
    loop {
        let entries = store.administration.audit(before, 500).await.unwrap();
        let Some(last) = entries.last() else { break };
        before = Some(last.id);
        for entry in &entries {
            *of.entry(entry.by.as_ref().map_or("server", |by| by.as_str()).to_owned()).or_default() += 1;
        }
    }
    let of: Vec<_> = of.iter().map(|(by, count)| (by.as_str(), *count)).collect();
    assert_eq!(of, [("alice", 1), ("bob", AUDIT_OF_USER_MAX), ("carol", 1), ("server", 1)]);
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

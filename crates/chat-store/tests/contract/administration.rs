//! Invitations, bans, password links, reports, the profile of the server, and the audit log.

use chat_core::{Access, ChangeRefused, Role, SecretHash, SessionId, WantedChange};
use chat_store::{
    AuditAction, BanRefused, INVITES_MAX, Invite, InvitesOf, LogPosition, NewBan, NewInvite, NewPasswordLink,
    NewReport, NewUser, OPEN_REPORTS_MAX, ProfileField, ReportState, ReportsOf, RoleChange, StoreError,
};

use crate::common::*;

every_store! {
    an_invitation_is_used_as_often_as_it_says_and_until_its_end,
    of_many_who_use_the_last_use_at_once_one_gets_in,
    an_account_and_its_invitation_are_one_transaction,
    invitations_of_a_user_are_limited_and_end_with_the_user,
    a_banned_user_has_no_session_and_gets_none,
    an_administrator_is_not_banned_and_a_banned_user_is_no_administrator,
    only_the_first_account_is_set_up,
    a_user_without_an_account_is_banned_where_that_is_asked_for,
    an_account_without_a_password_gets_no_link,
    a_link_sets_one_password_once,
    a_link_ends_with_the_role_of_its_maker_and_with_a_ban,
    a_report_is_made_once_and_seen_by_moderators,
    the_profile_is_what_was_changed,
    moderation_of_rooms_is_in_the_audit_log,
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

/// The audit log, oldest first: who, what, to whom, details.
async fn audit(store: &TestStore) -> Vec<String> {
    let entries = store.administration.audit(None, 99).await.unwrap();
    let line = |entry: &chat_store::AuditEntry| {
        let by = entry.by.as_ref().map_or("server", |by| by.as_str());
        let details = entry.details.as_ref().map(|details| format!(" {details}")).unwrap_or_default();
        format!("{by}: {} {}{details}", entry.action.as_str(), entry.target)
    };
    entries.iter().rev().map(line).collect()
}

async fn ids(store: &TestStore, of: InvitesOf<'_>) -> Vec<String> {
    let invites = store.administration.invites(of, 50, 99).await.unwrap();
    invites.iter().map(|Invite { id, used, .. }| format!("{id} used {used}")).collect()
}

async fn an_invitation_is_used_as_often_as_it_says_and_until_its_end(store: TestStore) {
    store.accounts("alice bob carol dave").await;
    store.change(&create("~cellar", Access::Closed, "alice", &[])).await.unwrap();
    store.change(&create("kitchen", Access::Open, "alice", &[])).await.unwrap();
    let new = invite(1, "alice", Some("~cellar"), Some(2), Some(1000));
    for _ in 0..2 {
        assert!(store.administration.create_invite(&new).await.unwrap());
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
    assert_eq!(ids(&store, InvitesOf::Everybody).await, [""; 0]);

    let endless = invite(3, "bob", Some("~cellar"), None, None);
    assert!(store.administration.create_invite(&endless).await.unwrap());
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
    assert!(store.administration.create_invite(&invite(1, "alice", None, Some(1), None)).await.unwrap());
    let tasks: Vec<_> = (0..8)
        .map(|number| {
            let administration = store.administration.clone();
            tokio::spawn(async move {
                let user = new_user(&format!("guest{number}"));
                administration.create_invited_user(&user, &secret(1)).await.unwrap()
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
    let new = invite(1, "alice", Some("~cellar"), Some(2), Some(60));
    assert!(store.administration.create_invite(&new).await.unwrap());
    // A refused name uses nothing; an invitation that is over makes no account.
    let taken = store.administration.create_invited_user(&new_user("alice"), &secret(1)).await;
    assert!(matches!(taken, Err(StoreError::NameTaken)), "{taken:?}");
    assert!(!store.administration.create_invited_user(&new_user("eve"), &secret(2)).await.unwrap());
    let late = NewUser { created_at_ms: 60, ..new_user("eve") };
    assert!(!store.administration.create_invited_user(&late, &secret(1)).await.unwrap());
    assert_eq!(store.users.find_user(&name("eve")).await.unwrap(), None);
    store.users.check_new_name(&name("eve")).await.unwrap();
    assert_eq!(ids(&store, InvitesOf::User(&name("alice"))).await, ["id 1 used 0"]);
    assert!(store.administration.create_invited_user(&new_user("bob"), &secret(1)).await.unwrap());
    assert_eq!(ids(&store, InvitesOf::User(&name("alice"))).await, ["id 1 used 1"]);
    assert_eq!(store.members("~cellar").await, ["alice moderator", "bob member"]);
    assert_eq!(store.position("bob", &room("~cellar")).await, "read 3 of 3, 0 unread");
}

async fn invitations_of_a_user_are_limited_and_end_with_the_user(store: TestStore) {
    store.accounts("alice bob").await;
    store.change(&create("kitchen", Access::Open, "alice", &["bob"])).await.unwrap();
    for number in 0..INVITES_MAX as u8 {
        let new = invite(number, "bob", None, None, Some(1000));
        assert!(store.administration.create_invite(&new).await.unwrap());
    }
    let one_more = invite(200, "bob", Some("kitchen"), None, None);
    assert!(!store.administration.create_invite(&one_more).await.unwrap());
    // Those that are over do not count.
    let later = NewInvite { created_at_ms: 1000, ..one_more };
    assert!(store.administration.create_invite(&later).await.unwrap());
    let to_kitchen = async || ids(&store, InvitesOf::Room(&room_name("kitchen"))).await.len();
    assert_eq!(to_kitchen().await, 1);
    store.change(&leave("kitchen", "bob")).await.unwrap();
    assert_eq!(to_kitchen().await, 0);
    assert!(store.administration.create_invite(&invite(201, "bob", None, None, None)).await.unwrap());
    store.administration.ban(&ban("bob"), None, 300).await.unwrap().unwrap();
    assert_eq!(ids(&store, InvitesOf::User(&name("bob"))).await, [""; 0]);
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
    assert_eq!(store.administration.banned(&people).await.unwrap(), [name("bob")]);
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
    assert_eq!(store.administration.banned(&[name("eve")]).await.unwrap(), [name("eve")]);
}

async fn an_account_without_a_password_gets_no_link(store: TestStore) {
    let external = NewUser { password_hash: "external".into(), ..new_user("eve") };
    store.users.create_user(&external).await.unwrap();
    let link = NewPasswordLink { user: name("eve"), secret: secret(1), expires_at_ms: 100 };
    assert!(!store.administration.create_password_link(&link, None, 10).await.unwrap());
}

async fn a_link_sets_one_password_once(store: TestStore) {
    store.accounts("alice bob").await;
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
        ["alice: user.password bob", "alice: user.password bob", "server: user.password bob"]
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
        reports.iter().map(|report| report.id).collect()
    };
    let alice = name("alice");
    let all = ReportsOf::Everywhere;
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

//! Invitations, and accounts that are made with them.

use super::*;

every_store! {
    an_invitation_is_used_as_often_as_it_says_and_until_its_end,
    of_many_who_use_the_last_use_at_once_one_gets_in,
    an_account_and_its_invitation_are_one_transaction,
    of_many_who_register_at_once_none_is_one_too_many,
    invitations_of_a_user_are_limited_and_end_with_the_user,
    invitations_end_with_what_they_were_made_by,
    invitations_are_listed_page_by_page_as_their_reader_may_see_them,
    whom_a_moderator_has_removed_an_invitation_does_not_bring_back,
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
                let terms = RegistrationTerms { invite, accounts_max: Some(4), subject: None };
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
        let terms = RegistrationTerms { accounts_max: Some(4), ..RegistrationTerms::default() };
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

//! Changes of rooms and of their members.

use chat_core::{Access, ChangeRefused, Role, RoomInfo, RoomPatch, WantedChange};

use crate::common::{
    TestStore, archive, close, create, draft, leave, name, patch, put, remove, room, room_name, told,
};

every_store! {
    a_room_is_created_with_a_moderator_and_members,
    a_name_that_is_taken_or_a_member_without_an_account_is_refused,
    a_repeated_creation_changes_nothing,
    a_room_is_changed,
    an_open_room_is_closed_for_good,
    an_archived_room_comes_back,
    a_room_that_does_not_exist_is_not_changed,
    members_add_and_moderators_appoint_and_remove,
    the_only_moderator_keeps_the_role,
    the_longest_member_is_the_heir_of_the_last_moderator,
    only_members_change_a_closed_room,
    repeated_changes_answer_the_same,
    changes_take_effect_behind_the_last_number,
    a_room_survives_a_restart,
    changes_in_place_are_made_or_declined,
    concurrent_changes_count_every_member_once,
    a_removed_account_leaves_its_rooms,
}

const MEMBER: Option<Role> = Some(Role::Member);
const MODERATOR: Option<Role> = Some(Role::Moderator);

fn title(room: &str, by: &str, title: &str) -> WantedChange {
    patch(room, by, RoomPatch { title: Some(title.into()), ..RoomPatch::default() })
}

async fn a_room_is_created_with_a_moderator_and_members(store: TestStore) {
    store.accounts("alice bob carol").await;
    let info = RoomInfo {
        title: "Кухня \"🍲\"".into(),
        description: "для 'чая', \\ %_ ?1 $2".into(),
        access: Access::Open,
        archived: false,
    };
    let wanted = WantedChange::Create {
        room: room_name("kitchen"),
        info: info.clone(),
        // Each becomes a member once, and the creator is one anyway.
        members: ["bob", "carol", "bob", "alice"].map(name).into(),
        by: name("alice"),
    };
    assert_eq!(
        store.change_at(&wanted, 5000).await.unwrap(),
        [
            "@0 open: Кухня \"🍲\" (для 'чая', \\ %_ ?1 $2)",
            "@0 alice moderator",
            "@0 bob member",
            "@0 carol member"
        ]
    );
    let found = store.rooms.find_room(&room_name("kitchen")).await.unwrap().unwrap();
    assert_eq!((&found.name, &*found.info), (&room_name("kitchen"), &info));
    assert_eq!((found.members, found.at_ms, found.created_at_ms), (3, 0, 5000));
    assert_eq!(found.created_by, Some(name("alice")));
    assert_eq!(store.members("kitchen").await, ["alice moderator", "bob member", "carol member"]);
    assert_eq!(store.change(&create("~cellar", Access::Closed, "alice", &[])).await.unwrap().len(), 2);
    assert_eq!(store.members("~cellar").await, ["alice moderator"]);
    // Names are case-sensitive.
    assert_eq!(store.rooms.find_room(&room_name("Kitchen")).await.unwrap(), None);
    store.change(&create("Kitchen", Access::Open, "bob", &[])).await.unwrap();
    assert_eq!(store.members("Kitchen").await, ["bob moderator"]);
}

async fn a_name_that_is_taken_or_a_member_without_an_account_is_refused(store: TestStore) {
    store.account("bob").await;
    let refused = async |wanted: &WantedChange, now_ms| store.change_at(wanted, now_ms).await.unwrap_err();
    let wanted = create("kitchen", Access::Open, "alice", &["bob", "nobody", "Bob"]);
    assert_eq!(refused(&wanted, 1).await, ChangeRefused::NoUser);
    assert_eq!(store.rooms.find_room(&room_name("kitchen")).await.unwrap(), None);
    assert_eq!(store.members("kitchen").await, [""; 0]);

    store.change_at(&create("kitchen", Access::Open, "alice", &[]), 1).await.unwrap();
    assert_eq!(refused(&create("kitchen", Access::Open, "alice", &[]), 2).await, ChangeRefused::Exists);
    assert_eq!(refused(&create("kitchen", Access::Open, "bob", &[]), 1).await, ChangeRefused::Exists);
    // A closed room, one that a user opened by its name, and one of the configuration.
    store.change_at(&create("~cellar", Access::Closed, "alice", &[]), 1).await.unwrap();
    store.send("garden", "carol", 1, 1).await;
    store.rooms.add_rooms(&[(room_name("attic"), "Attic".into())], 1).await.unwrap();
    for room in ["~cellar", "garden", "attic"] {
        assert_eq!(
            refused(&create(room, Access::Open, "bob", &[]), 1).await,
            ChangeRefused::Exists,
            "{room}"
        );
        let members = store.members(room).await;
        assert!(!members.contains(&"bob moderator".to_owned()), "{members:?}");
    }
}

async fn a_repeated_creation_changes_nothing(store: TestStore) {
    store.accounts("bob carol").await;
    let wanted = create("kitchen", Access::Open, "alice", &["bob", "carol"]);
    let told = store.change_at(&wanted, 5).await.unwrap();
    assert_eq!(told, ["@0 open: kitchen", "@0 alice moderator", "@0 bob member", "@0 carol member"]);
    assert_eq!(store.change_at(&wanted, 5).await.unwrap(), told);
    assert_eq!(store.members("kitchen").await, ["alice moderator", "bob member", "carol member"]);
    // Another server has changed the room, before the answer came: it stays so.
    store.change(&title("kitchen", "alice", "Tea")).await.unwrap();
    store.change(&remove("kitchen", "alice", "bob")).await.unwrap();
    store.change(&put("kitchen", "alice", "carol", MODERATOR)).await.unwrap();
    assert_eq!(
        store.change_at(&wanted, 5).await.unwrap(),
        ["@0 open: Tea", "@0 alice moderator", "@0 carol moderator"]
    );
    assert_eq!(store.members("kitchen").await, ["alice moderator", "carol moderator"]);
}

async fn a_room_is_changed(store: TestStore) {
    store.change(&create("kitchen", Access::Open, "alice", &[])).await.unwrap();
    let tea = title("kitchen", "alice", "Tea");
    assert_eq!(store.change(&tea).await.unwrap(), ["@0 open: Tea"]);
    let both =
        RoomPatch {
            title: Some("Чай".into()), description: Some("at five".into()), ..RoomPatch::default()
        };
    assert_eq!(store.change(&patch("kitchen", "alice", both)).await.unwrap(), ["@0 open: Чай (at five)"]);
    // Administrators change open rooms; others do not.
    let none = RoomPatch { description: Some(String::new()), ..RoomPatch::default() };
    assert_eq!(store.change(&patch("kitchen", "admin", none)).await.unwrap(), ["@0 open: Чай"]);
    store.send("kitchen", "bob", 1, 1).await;
    for person in ["bob", "carol"] {
        let refused = store.change(&title("kitchen", person, "Mine")).await;
        assert_eq!(refused, Err(ChangeRefused::Forbidden));
    }
    let nothing = patch("kitchen", "alice", RoomPatch::default());
    assert_eq!(store.change(&nothing).await.unwrap(), ["@1 open: Чай"]);
    let found = store.rooms.find_room(&room_name("kitchen")).await.unwrap().unwrap();
    assert_eq!((found.created_at_ms, found.created_by), (1000, Some(name("alice"))));
}

async fn an_open_room_is_closed_for_good(store: TestStore) {
    store.accounts("bob").await;
    store.change(&create("kitchen", Access::Open, "alice", &["bob"])).await.unwrap();
    store.send("kitchen", "carol", 2, 1).await;
    let closed = ["@2 closed: kitchen of alice, bob, carol"];
    assert_eq!(store.change(&close("kitchen", "alice")).await.unwrap(), closed);
    // A repeat cannot know whether it was the one that closed the room.
    assert_eq!(store.change(&close("kitchen", "alice")).await.unwrap(), closed);
    // Other changes of it name no members.
    assert_eq!(store.change(&title("kitchen", "alice", "Tea")).await.unwrap(), ["@2 closed: Tea"]);
    let open = RoomPatch { access: Some(Access::Open), title: Some("No".into()), ..RoomPatch::default() };
    let refused = store.change(&patch("kitchen", "alice", open)).await;
    assert_eq!(refused, Err(ChangeRefused::StaysClosed));
    assert_eq!(store.change(&leave("kitchen", "bob")).await.unwrap(), ["@2 bob left closed"]);
    let found = store.rooms.find_room(&room_name("kitchen")).await.unwrap().unwrap();
    assert_eq!((found.info.access, found.info.title.as_str()), (Access::Closed, "Tea"));
}

async fn an_archived_room_comes_back(store: TestStore) {
    store.change(&create("kitchen", Access::Open, "alice", &[])).await.unwrap();
    assert_eq!(
        store.change(&archive("kitchen", "alice", true)).await.unwrap(),
        ["@0 open archived: kitchen"]
    );
    assert_eq!(store.change(&title("kitchen", "alice", "Tea")).await.unwrap(), ["@0 open archived: Tea"]);
    let both = RoomPatch { access: Some(Access::Closed), archived: Some(false), ..RoomPatch::default() };
    assert_eq!(store.change(&patch("kitchen", "alice", both)).await.unwrap(), ["@0 closed: Tea of alice"]);
}

async fn a_room_that_does_not_exist_is_not_changed(store: TestStore) {
    store.account("bob").await;
    let wanted = |room: &str| {
        [
            title(room, "alice", "Tea"),
            title(room, "admin", "Tea"),
            put(room, "alice", "alice", None),
            put(room, "admin", "bob", MEMBER),
            leave(room, "alice"),
            remove(room, "admin", "bob"),
        ]
    };
    for wanted in wanted("kitchen") {
        assert_eq!(store.log.change(&wanted, 1).await.unwrap(), Err(ChangeRefused::NoRoom), "{wanted:?}");
    }
    // Whether there is a closed room is not told.
    for wanted in wanted("~kitchen") {
        assert_eq!(store.log.change(&wanted, 1).await.unwrap(), Err(ChangeRefused::Forbidden), "{wanted:?}");
    }
    assert_eq!(store.rooms.find_room(&room_name("kitchen")).await.unwrap(), None);
    assert_eq!(store.members("kitchen").await, [""; 0]);
}

async fn members_add_and_moderators_appoint_and_remove(store: TestStore) {
    store.accounts("alice bob carol dave").await;
    store.change(&create("kitchen", Access::Open, "alice", &[])).await.unwrap();
    let forbidden = Err(ChangeRefused::Forbidden);
    let change = async |wanted: WantedChange| store.change(&wanted).await;
    let made = |told: &str| Ok(vec![format!("@0 {told}")]);

    // bob joins the open room; carol, a stranger, adds nobody.
    assert_eq!(change(put("kitchen", "carol", "dave", None)).await, forbidden);
    assert_eq!(change(put("kitchen", "bob", "bob", None)).await, made("bob member"));
    assert_eq!(change(put("kitchen", "bob", "carol", MEMBER)).await, made("carol member"));
    assert_eq!(change(put("kitchen", "bob", "nobody", None)).await, Err(ChangeRefused::NoUser));
    assert_eq!(store.members("kitchen").await, ["alice moderator", "bob member", "carol member"]);
    // Roles are for moderators and administrators.
    for by in ["bob", "carol", "dave"] {
        assert_eq!(change(put("kitchen", by, "carol", MODERATOR)).await, forbidden, "{by}");
        assert_eq!(change(put("kitchen", by, "alice", MEMBER)).await, forbidden, "{by}");
        assert_eq!(change(remove("kitchen", by, "alice")).await, forbidden, "{by}");
    }
    assert_eq!(change(put("kitchen", "alice", "carol", MODERATOR)).await, made("carol moderator"));
    // Without a role the member keeps it.
    assert_eq!(change(put("kitchen", "bob", "carol", None)).await, made("carol moderator"));
    assert_eq!(change(put("kitchen", "carol", "alice", MEMBER)).await, made("alice member"));
    assert_eq!(change(put("kitchen", "admin", "alice", MODERATOR)).await, made("alice moderator"));
    assert_eq!(change(put("kitchen", "admin", "dave", MODERATOR)).await, made("dave moderator"));
    assert_eq!(change(remove("kitchen", "carol", "dave")).await, made("dave removed open"));
    assert_eq!(change(remove("kitchen", "admin", "bob")).await, made("bob removed open"));
    assert_eq!(store.members("kitchen").await, ["alice moderator", "carol moderator"]);
    // Who was removed joins an open room again, as a member.
    assert_eq!(change(put("kitchen", "dave", "dave", None)).await, made("dave member"));
    // The administrator is no member by all this.
    assert_eq!(store.members("kitchen").await, ["alice moderator", "carol moderator", "dave member"]);
}

async fn the_only_moderator_keeps_the_role(store: TestStore) {
    store.accounts("alice bob carol").await;
    store.change(&create("kitchen", Access::Open, "alice", &["bob"])).await.unwrap();
    let refused = Err(ChangeRefused::OnlyModerator);
    for by in ["alice", "admin"] {
        assert_eq!(store.change(&put("kitchen", by, "alice", MEMBER)).await, refused);
    }
    // A room whose first member was made by a message has no moderator.
    store.send("garden", "bob", 1, 1).await;
    assert_eq!(store.change(&put("garden", "bob", "carol", MEMBER)).await.unwrap(), ["@1 carol member"]);
    assert_eq!(store.change(&put("garden", "admin", "bob", MEMBER)).await.unwrap(), ["@1 bob member"]);
    // Moderators of other rooms do not count.
    store.change(&put("garden", "admin", "bob", MODERATOR)).await.unwrap();
    assert_eq!(store.change(&put("garden", "bob", "bob", MEMBER)).await, refused);

    store.change(&put("kitchen", "alice", "bob", MODERATOR)).await.unwrap();
    assert_eq!(store.change(&put("kitchen", "alice", "alice", MEMBER)).await.unwrap(), ["@0 alice member"]);
    assert_eq!(store.members("kitchen").await, ["alice member", "bob moderator"]);
}

async fn the_longest_member_is_the_heir_of_the_last_moderator(store: TestStore) {
    store.accounts("alice bob carol dave eve").await;
    store.change_at(&create("kitchen", Access::Open, "eve", &[]), 1).await.unwrap();
    for (joined_at, person) in [(2, "dave"), (3, "bob"), (4, "carol"), (5, "alice")] {
        store.change_at(&put("kitchen", person, person, None), joined_at).await.unwrap();
    }
    // Only the last moderator has an heir; a member is not longer one by a role.
    store.change(&put("kitchen", "eve", "carol", MODERATOR)).await.unwrap();
    store.change(&put("kitchen", "eve", "bob", MODERATOR)).await.unwrap();
    for _ in 0..2 {
        assert_eq!(store.change_at(&leave("kitchen", "eve"), 6).await.unwrap(), ["@0 eve left open"]);
    }
    store.change(&put("kitchen", "carol", "bob", MEMBER)).await.unwrap();
    assert_eq!(
        store.change_at(&leave("kitchen", "carol"), 7).await.unwrap(),
        ["@0 carol left open", "@0 dave moderator"]
    );
    // A repeat tells of the heir again.
    assert_eq!(
        store.change_at(&leave("kitchen", "carol"), 7).await.unwrap(),
        ["@0 carol left open", "@0 dave moderator"]
    );
    // Whoever comes back is a member from then on.
    store.change_at(&put("kitchen", "eve", "eve", None), 8).await.unwrap();
    assert_eq!(
        store.change_at(&remove("kitchen", "admin", "dave"), 9).await.unwrap(),
        ["@0 dave removed open", "@0 bob moderator"]
    );
    assert_eq!(store.members("kitchen").await, ["alice member", "bob moderator", "eve member"]);
    // First members joined in the order of their list; the last one has no heir.
    store.change_at(&create("garden", Access::Open, "eve", &["dave", "carol"]), 1).await.unwrap();
    for (person, told) in [
        ("eve", &["@0 eve left open", "@0 dave moderator"][..]),
        ("dave", &["@0 dave left open", "@0 carol moderator"]),
        ("carol", &["@0 carol left open"]),
    ] {
        assert_eq!(store.change(&leave("garden", person)).await.unwrap(), told);
    }
    assert_eq!(store.members("garden").await, [""; 0]);
    assert_eq!(store.change(&put("garden", "bob", "bob", None)).await.unwrap(), ["@0 bob member"]);
}

async fn only_members_change_a_closed_room(store: TestStore) {
    store.accounts("alice bob carol").await;
    store.change(&create("~cellar", Access::Closed, "alice", &["bob"])).await.unwrap();
    for by in ["carol", "admin"] {
        for wanted in [
            put("~cellar", by, by, None),
            put("~cellar", by, "carol", None),
            title("~cellar", by, "Mine"),
            close("~cellar", by),
            remove("~cellar", by, "bob"),
        ] {
            let refused = store.change(&wanted).await;
            assert_eq!(refused, Err(ChangeRefused::Forbidden), "{wanted:?}");
        }
    }
    assert_eq!(store.change(&put("~cellar", "bob", "carol", None)).await.unwrap(), ["@0 carol member"]);
    assert_eq!(
        store.change(&remove("~cellar", "alice", "carol")).await.unwrap(),
        ["@0 carol removed closed"]
    );
    assert_eq!(store.members("~cellar").await, ["alice moderator", "bob member"]);
}

async fn repeated_changes_answer_the_same(store: TestStore) {
    store.accounts("alice bob carol dave").await;
    store.change(&create("kitchen", Access::Open, "alice", &["bob"])).await.unwrap();
    store.change(&create("~cellar", Access::Closed, "alice", &["bob"])).await.unwrap();
    store.change(&create("garden", Access::Open, "alice", &["bob"])).await.unwrap();
    for wanted in [
        title("kitchen", "alice", "Tea"),
        archive("kitchen", "alice", true),
        archive("kitchen", "alice", false),
        put("kitchen", "dave", "dave", None),
        put("kitchen", "bob", "carol", None),
        put("kitchen", "alice", "bob", MODERATOR),
        put("kitchen", "alice", "alice", MEMBER),
        put("kitchen", "bob", "bob", MODERATOR),
        remove("kitchen", "bob", "carol"),
        leave("kitchen", "dave"),
        leave("kitchen", "bob"),
        remove("~cellar", "alice", "bob"),
        put("~cellar", "alice", "carol", MODERATOR),
        put("~cellar", "carol", "carol", MEMBER),
        leave("~cellar", "carol"),
        leave("~cellar", "alice"),
        close("garden", "admin"),
    ] {
        let first = store.change(&wanted).await.unwrap();
        let (kitchen, cellar) = (store.members("kitchen").await, store.members("~cellar").await);
        for _ in 0..2 {
            let again = store.change(&wanted).await;
            let again = again.map(|told| told[..first.len()].to_vec());
            assert_eq!(again.as_ref(), Ok(&first), "{wanted:?}");
        }
        assert_eq!((store.members("kitchen").await, store.members("~cellar").await), (kitchen, cellar));
    }
    assert_eq!(store.members("kitchen").await, ["alice moderator"]);
    assert_eq!(store.members("~cellar").await, [""; 0]);
}

async fn changes_take_effect_behind_the_last_number(store: TestStore) {
    store.accounts("alice bob").await;
    assert_eq!(store.send("kitchen", "alice", 3, 1).await, ["@0 alice member"]);
    assert_eq!(store.change(&put("kitchen", "alice", "bob", None)).await.unwrap(), ["@3 bob member"]);
    store.append(&[draft(&room("kitchen"), "alice", "a"), draft(&room("garden"), "alice", "b")], 2).await;
    assert_eq!(store.change(&put("kitchen", "admin", "bob", MODERATOR)).await.unwrap(), ["@4 bob moderator"]);
    assert_eq!(
        store.change(&leave("kitchen", "bob")).await.unwrap(),
        ["@4 bob left open", "@4 alice moderator"]
    );
    assert_eq!(store.change(&title("kitchen", "alice", "Tea")).await.unwrap(), ["@4 open: Tea"]);
    // A change is no entry.
    assert_eq!(store.all(&room("kitchen")).await.last, 4);
}

async fn a_room_survives_a_restart(store: TestStore) {
    if !store.is_kept() {
        return;
    }
    store.accounts("alice bob").await;
    store.change(&create("~cellar", Access::Closed, "alice", &["bob"])).await.unwrap();
    store.change(&archive("~cellar", "alice", true)).await.unwrap();
    store.change(&title("~cellar", "alice", "Вино")).await.unwrap();
    let before = store.rooms.find_room(&room_name("~cellar")).await.unwrap().unwrap();
    let store = store.reopened().await;
    assert_eq!(store.rooms.find_room(&room_name("~cellar")).await.unwrap().unwrap(), before);
    assert_eq!(store.members("~cellar").await, ["alice moderator", "bob member"]);
    assert!(before.info.archived && before.info.access == Access::Closed && before.members == 2);
}

async fn changes_in_place_are_made_or_declined(store: TestStore) {
    let mut published = Vec::new();
    let wanted = create("kitchen", Access::Open, "alice", &[]);
    let answer = store.log.change_in_place(&wanted, 1, &mut |changes| published.extend_from_slice(changes));
    let found = store.rooms.find_room(&room_name("kitchen")).await.unwrap();
    match answer {
        None => assert_eq!((published, found), (vec![], None)),
        Some(answer) => {
            assert_eq!(answer, Ok(()));
            assert_eq!(told("kitchen", &published), ["@0 open: kitchen", "@0 alice moderator"]);
            assert_eq!(found.unwrap().members, 1);
            let refused = title("kitchen", "bob", "Mine");
            let answer = store.log.change_in_place(&refused, 1, &mut |_| panic!("it is refused"));
            assert_eq!(answer, Some(Err(ChangeRefused::Forbidden)));
        }
    }
}

async fn concurrent_changes_count_every_member_once(store: TestStore) {
    let people: Vec<String> = (0..12).map(|person| format!("person{person}")).collect();
    for person in &people {
        store.account(person).await;
    }
    store.send("kitchen", "alice", 1, 1).await;
    // Everybody joins and writes at the same time, from several servers; every third leaves.
    let mut tasks = tokio::task::JoinSet::new();
    for (index, person) in people.iter().cloned().enumerate() {
        for _ in 0..2 {
            let (log, person) = (std::sync::Arc::clone(&store.log), person.clone());
            tasks.spawn(async move {
                log.change(&put("kitchen", &person, &person, None), 2).await.unwrap().unwrap();
                let draft = crate::common::checked(draft(&room("kitchen"), &person, "hi"));
                log.append(&[draft], 3).await.unwrap();
                if index % 3 == 0 {
                    log.change(&leave("kitchen", &person), 4).await.unwrap().unwrap();
                }
            });
        }
    }
    tasks.join_all().await;
    // The count is that of the list.
    let members = store.members("kitchen").await;
    assert!((9..=13).contains(&members.len()), "{members:?}");
    assert_eq!(store.all(&room("kitchen")).await.last, 25);
}

async fn a_removed_account_leaves_its_rooms(store: TestStore) {
    store.accounts("alice bob carol").await;
    store.change(&create("~cellar", Access::Closed, "alice", &["bob", "carol"])).await.unwrap();
    store.send("kitchen", "alice", 1, 1).await;
    store.send("kitchen", "bob", 1, 1).await;
    store.users.remove_user(&name("alice")).await.unwrap();
    assert_eq!(store.members("~cellar").await, ["bob moderator", "carol member"]);
    assert_eq!(store.members("kitchen").await, ["bob member"]);
    assert_eq!(store.log.memberships(&name("alice"), 9, 9).await.unwrap(), chat_core::Memberships::default());
    // A new account with this name starts without them; its messages are still there.
    store.users.recreate_user(&crate::common::newcomer("alice")).await.unwrap();
    assert_eq!(store.rooms.rooms_of(&name("alice"), 9).await.unwrap(), []);
    assert_eq!(store.all(&room("kitchen")).await.last, 2);
    store.users.remove_user(&name("nobody")).await.unwrap();
}

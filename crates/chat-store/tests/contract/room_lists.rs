//! Lists: the rooms and conversations of a user, all rooms, the members of a room.

use chat_core::{Access, Level, Memberships, RoomPatch};
use chat_store::{ListedRoom, Retention, TrimPosition};

use crate::common::{
    TestStore, archive, close, create, draft, leave, mention, name, pair, patch, private, put, room,
    room_name,
};

every_store! {
    memberships_are_listed_newest_first,
    a_membership_has_what_a_list_shows,
    conversations_have_positions,
    the_last_numbers_of_rooms_are_read,
    open_rooms_are_listed_archived_ones_last,
    the_rooms_of_a_user_are_listed,
    members_are_listed_in_pages,
    configured_rooms_are_added_where_they_are_missing,
    a_room_that_loses_its_entries_stays,
}

fn rooms(memberships: &Memberships) -> Vec<&str> {
    memberships.rooms.iter().map(|membership| membership.room.as_str()).collect()
}

fn names(rooms: &[ListedRoom]) -> Vec<&str> {
    rooms.iter().map(|room| room.name.as_str()).collect()
}

async fn memberships_are_listed_newest_first(store: TestStore) {
    store.accounts("alice bob").await;
    let of =
        async |user: &str, limit, counted| store.log.memberships(&name(user), limit, counted).await.unwrap();
    assert_eq!(of("bob", 9, 9).await, Memberships::default());
    for room in ["a", "b", "c", "d", "e", "~f"] {
        let access = if room == "~f" { Access::Closed } else { Access::Open };
        store.change(&create(room, access, "alice", &["bob"])).await.unwrap();
    }
    for (at_ms, room) in (1000..).zip(["b", "d", "~f", "a"]) {
        store.send(room, "alice", 1, at_ms).await;
    }
    // Two that were written to at one moment stand in the order of their names, and those
    // that were never written to come last.
    store.send("d", "alice", 1, 1003).await;
    assert_eq!(rooms(&of("bob", 9, 0).await), ["a", "d", "~f", "b", "c", "e"]);
    assert_eq!(rooms(&of("alice", 9, 0).await), ["a", "d", "~f", "b", "c", "e"]);
    for (limit, has_more) in [(5, true), (6, false), (7, false), (1, true), (0, true)] {
        let found = of("bob", limit, limit).await;
        assert_eq!((found.rooms.len(), found.has_more), (limit.min(6), has_more), "limit {limit}");
    }
    // The first ones only are counted.
    let counted: Vec<_> =
        of("bob", 4, 3).await.rooms.iter().map(|room| room.counts.map(|c| c.unread)).collect();
    assert_eq!(counted, [Some(1), Some(2), Some(1), None]);
    // Archived rooms stay; rooms that one has left go.
    store.change(&archive("a", "alice", true)).await.unwrap();
    store.change(&leave("d", "bob")).await.unwrap();
    assert_eq!(rooms(&of("bob", 9, 0).await), ["a", "~f", "b", "c", "e"]);
    assert!(!of("bob", 5, 0).await.has_more);
    assert_eq!(rooms(&of("alice", 9, 0).await).len(), 6);
}

async fn a_membership_has_what_a_list_shows(store: TestStore) {
    store.accounts("alice bob").await;
    store.change(&create("~cellar", Access::Closed, "alice", &["bob"])).await.unwrap();
    let title =
        RoomPatch {
            title: Some("Вино".into()), description: Some("и сыр".into()), ..RoomPatch::default()
        };
    store.change(&patch("~cellar", "alice", title)).await.unwrap();
    store.send("~cellar", "alice", 3, 5000).await;
    store.append(&[mention(draft(&room("~cellar"), "alice", "hi"), "bob")], 6000).await;
    store.keep("bob", &room("~cellar"), Some(2), Some(Level::All)).await;
    store.change(&archive("~cellar", "alice", true)).await.unwrap();
    let shown = async |user: &str, counted| {
        let found = store.log.memberships(&name(user), 1, counted).await.unwrap();
        let [cellar] = &found.rooms[..] else { panic!("{found:?}") };
        assert_eq!((cellar.info.title.as_str(), cellar.info.description.as_str()), ("Вино", "и сыр"));
        assert_eq!((cellar.info.access, cellar.info.archived), (Access::Closed, true));
        let counts = cellar.counts.map(|counts| (counts.unread, counts.mentions));
        let (role, level) = (cellar.role.as_str(), cellar.level.as_str());
        format!("{role} {level} top {} at {} read {} {counts:?}", cellar.top, cellar.at_ms, cellar.read)
    };
    assert_eq!(shown("alice", 1).await, "moderator mentions top 4 at 6000 read 0 Some((0, 0))");
    assert_eq!(shown("bob", 1).await, "member all top 4 at 6000 read 2 Some((2, 1))");
    assert_eq!(shown("bob", 0).await, "member all top 4 at 6000 read 2 None");
    // A room without messages.
    store.change(&create("garden", Access::Open, "carol", &[])).await.unwrap();
    let found = store.log.memberships(&name("carol"), 1, 1).await.unwrap();
    let garden = &found.rooms[0];
    assert_eq!((garden.top, garden.at_ms, garden.read), (0, 0, 0));
    assert_eq!(garden.counts, Some(chat_core::Counts::default()));
}

async fn conversations_have_positions(store: TestStore) {
    store.accounts("alice bob carol").await;
    let shown = async |user: &str| {
        let found = store.log.conversations(&name(user), 9).await.unwrap();
        let show = |state: &chat_core::ConversationState| {
            let (with, level) = (state.with.as_str(), state.level.as_str());
            format!(
                "{with} {level} top {} at {} read {} {:?}",
                state.top, state.at_ms, state.read, state.unread
            )
        };
        found.latest.iter().map(show).collect::<Vec<_>>()
    };
    store.append(&vec![private("alice", "bob", "hi"); 3], 1000).await;
    store.append(&[private("bob", "alice", "hi")], 2000).await;
    store.append(&[private("carol", "bob", "hi")], 3000).await;
    store.append(&[private("bob", "bob", "note")], 4000).await;
    assert_eq!(
        shown("bob").await,
        [
            "bob all top 1 at 4000 read 0 Some(0)",
            "carol all top 1 at 3000 read 0 Some(1)",
            "alice all top 4 at 2000 read 0 Some(3)"
        ]
    );
    assert_eq!(shown("alice").await, ["bob all top 4 at 2000 read 0 Some(1)"]);
    store.keep("bob", &pair("bob", "alice"), Some(2), Some(Level::None)).await;
    store.keep("bob", &pair("bob", "carol"), Some(1), None).await;
    store.keep("alice", &pair("bob", "alice"), None, Some(Level::Mentions)).await;
    assert_eq!(
        shown("bob").await,
        [
            "bob all top 1 at 4000 read 0 Some(0)",
            "carol all top 1 at 3000 read 1 Some(0)",
            "alice none top 4 at 2000 read 2 Some(1)"
        ]
    );
    assert_eq!(shown("alice").await, ["bob mentions top 4 at 2000 read 0 Some(1)"]);
}

async fn the_last_numbers_of_rooms_are_read(store: TestStore) {
    store.account("bob").await;
    store.send("kitchen", "alice", 3, 1).await;
    store.send("Кухня", "alice", 2, 1).await;
    store.append(&[draft(&room("garden"), "alice", "hi"), private("alice", "bob", "hi")], 1).await;
    store.change(&create("empty", Access::Open, "alice", &[])).await.unwrap();
    let asked =
        ["garden", "nothing", "kitchen", "bob", "empty", "Кухня", "kitchen", "Kitchen"].map(room_name);
    assert_eq!(store.log.tops(&asked).await.unwrap(), [1, 0, 3, 0, 0, 2, 3, 0]);
    assert_eq!(store.log.tops(&[]).await.unwrap(), [0_u64; 0]);
}

async fn open_rooms_are_listed_archived_ones_last(store: TestStore) {
    store.accounts("alice bob").await;
    let listed = async |max| store.rooms.open_rooms(max).await.unwrap();
    assert_eq!(listed(9).await, []);
    for (at_ms, room) in (1000..).zip(["a", "b", "c", "d", "e"]) {
        store.send(room, "alice", 1, at_ms).await;
    }
    store.change(&create("silent", Access::Open, "bob", &["alice"])).await.unwrap();
    store.change(&create("quiet", Access::Open, "bob", &[])).await.unwrap();
    store.change(&create("~cellar", Access::Closed, "bob", &[])).await.unwrap();
    store.send("~cellar", "bob", 1, 9000).await;
    store.send("b", "bob", 1, 1004).await;
    assert_eq!(names(&listed(9).await), ["b", "e", "d", "c", "a", "quiet", "silent"]);
    store.change(&archive("e", "admin", true)).await.unwrap();
    store.change(&archive("quiet", "admin", true)).await.unwrap();
    store.change(&close("d", "admin")).await.unwrap();
    assert_eq!(names(&listed(9).await), ["b", "c", "a", "silent", "e", "quiet"]);
    assert_eq!(names(&listed(2).await), ["b", "c"]);
    let all = listed(9).await;
    let shown: Vec<_> = all.iter().map(|room| (room.members, room.at_ms, room.info.archived)).collect();
    assert_eq!(
        shown,
        [(2, 1004, false), (1, 1002, false), (1, 1000, false), (2, 0, false), (1, 1004, true), (1, 0, true)]
    );
    assert_eq!(all[0].created_by, None);
    assert_eq!((all[3].created_by.clone(), all[3].created_at_ms), (Some(name("bob")), 1000));
    // Each as it is found.
    for room in all {
        assert_eq!(store.rooms.find_room(&room.name).await.unwrap(), Some(room));
    }
}

async fn the_rooms_of_a_user_are_listed(store: TestStore) {
    store.accounts("alice bob").await;
    for (at_ms, room) in (1000..).zip(["a", "b", "c"]) {
        store.send(room, "alice", 1, at_ms).await;
    }
    store.send("b", "bob", 1, 2000).await;
    store.change(&create("~cellar", Access::Closed, "bob", &["alice"])).await.unwrap();
    let of = async |user: &str, max| store.rooms.rooms_of(&name(user), max).await.unwrap();
    assert_eq!(names(&of("alice", 9).await), ["b", "c", "a", "~cellar"]);
    assert_eq!(names(&of("alice", 2).await), ["b", "c"]);
    assert_eq!(names(&of("bob", 9).await), ["b", "~cellar"]);
    assert_eq!(names(&of("carol", 9).await), [""; 0]);
    store.change(&archive("b", "admin", true)).await.unwrap();
    store.change(&leave("c", "alice")).await.unwrap();
    assert_eq!(names(&of("alice", 9).await), ["a", "~cellar", "b"]);
    assert_eq!(of("bob", 9).await[0].members, 2);
}

async fn members_are_listed_in_pages(store: TestStore) {
    let people = ["Zoe", "alice", "bob", "Ёлка", "а", "я", "b"];
    for person in people {
        store.account(person).await;
    }
    store.change(&create("kitchen", Access::Open, "bob", &people)).await.unwrap();
    store.change(&create("garden", Access::Open, "alice", &["я"])).await.unwrap();
    let mut sorted = people.map(name).to_vec();
    sorted.sort();
    let (mut listed, mut after) = (Vec::new(), None);
    for len in [3, 3, 1, 0] {
        let page = store.rooms.members_of(&room_name("kitchen"), after.as_ref(), 3).await.unwrap();
        assert_eq!(page.len(), len);
        after = page.last().map(|(user, _)| user.clone()).or(after);
        listed.extend(page.into_iter().map(|(user, _)| user));
    }
    assert_eq!(listed, sorted);
    // After a name that is no member, and in a room that does not exist.
    let page = store.rooms.members_of(&room_name("kitchen"), Some(&name("c")), 2).await.unwrap();
    assert_eq!(page[0].0, name("Ёлка"));
    assert_eq!(store.rooms.members_of(&room_name("nothing"), None, 3).await.unwrap(), []);
    assert_eq!(store.members("garden").await, ["alice moderator", "я member"]);
}

async fn configured_rooms_are_added_where_they_are_missing(store: TestStore) {
    let list = |rooms: &[(&str, &str)]| {
        rooms.iter().map(|(name, title)| (room_name(name), (*title).to_owned())).collect::<Vec<_>>()
    };
    store.send("kitchen", "alice", 1, 500).await;
    store.change(&create("~cellar", Access::Closed, "alice", &[])).await.unwrap();
    let wanted =
        list(&[("default", "Общая"), ("kitchen", "Tea"), ("random", "It's \"random\""), ("~cellar", "Mine")]);
    store.rooms.add_rooms(&wanted, 3000).await.unwrap();
    let shown = async || {
        let rooms = store.rooms.open_rooms(9).await.unwrap();
        let show =
            |room: &ListedRoom| format!("{}: {} {}", room.name.as_str(), room.info.title, room.members);
        rooms.iter().map(show).collect::<Vec<_>>()
    };
    // The first one was opened by its name, and had no other title.
    let expected = ["kitchen: Tea 1", "default: Общая 0", "random: It's \"random\" 0"];
    assert_eq!(shown().await, expected);
    // At the next start nothing changes, also not what was renamed meanwhile.
    let renamed = list(&[("default", "General"), ("random", "Random"), ("kitchen", "Coffee")]);
    store.rooms.add_rooms(&renamed, 4000).await.unwrap();
    store.rooms.add_rooms(&[], 4000).await.unwrap();
    assert_eq!(shown().await, expected);
    let random = store.rooms.find_room(&room_name("random")).await.unwrap().unwrap();
    assert_eq!((random.created_at_ms, random.created_by, random.at_ms), (3000, None, 0));
    let cellar = store.rooms.find_room(&room_name("~cellar")).await.unwrap().unwrap();
    assert_eq!((cellar.info.access, cellar.info.title.as_str()), (Access::Closed, "~cellar"));
    // Its first member comes by a message, or by joining.
    assert_eq!(store.send("default", "alice", 1, 5000).await, ["@0 alice member"]);
    store.account("bob").await;
    assert_eq!(store.change(&put("random", "bob", "bob", None)).await.unwrap(), ["@0 bob member"]);
}

async fn a_room_that_loses_its_entries_stays(store: TestStore) {
    store.accounts("alice bob").await;
    store.change(&create("kitchen", Access::Open, "alice", &["bob"])).await.unwrap();
    store.send("kitchen", "alice", 10, 1000).await;
    store.append(&vec![private("alice", "bob", "hi"); 10], 1000).await;
    let (kitchen, talk) = (room("kitchen"), pair("alice", "bob"));
    store.keep("bob", &kitchen, Some(2), None).await;
    store.keep("bob", &talk, Some(9), None).await;
    let trim = async |entries| {
        let retention = Retention { entries: Some(entries), age_ms: None };
        let mut from = Some(TrimPosition::default());
        while let Some(position) = from {
            from = store.log.trim(&retention, position, 1_000_000_000, 4).await.unwrap().next;
        }
    };
    // What is not kept is not counted.
    trim(3).await;
    assert_eq!(store.position("bob", &kitchen).await, "read 2 of 10, 3 unread");
    assert_eq!(store.position("bob", &talk).await, "read 9 of 10, 1 unread");
    trim(0).await;
    assert_eq!(store.position("bob", &kitchen).await, "read 2 of 10, 0 unread");
    assert_eq!(store.position("bob", &talk).await, "read 9 of 10, 0 unread");
    let found = store.log.memberships(&name("bob"), 1, 1).await.unwrap();
    assert_eq!((rooms(&found), found.rooms[0].top, found.rooms[0].at_ms), (vec!["kitchen"], 10, 1000));
    assert_eq!(store.rooms.open_rooms(1).await.unwrap()[0].at_ms, 1000);
    assert_eq!(store.log.tops(&[room_name("kitchen")]).await.unwrap(), [10]);
    assert_eq!(store.send("kitchen", "bob", 1, 1500).await, [""; 0]);
    assert_eq!(store.send("kitchen", "carol", 1, 1500).await, ["@11 carol member"]);
    assert_eq!(store.position("bob", &kitchen).await, "read 2 of 12, 1 unread");
}

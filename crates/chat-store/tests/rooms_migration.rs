//! The migration that brings rooms, members, marks and mentions, on the data of a database
//! that had none.

// Clippy takes only `#[test]` functions for tests, not what they call.
#![allow(clippy::unwrap_used)]

mod common;

use chat_core::{Access, Level, Role};
use chat_store::{Stores, migrations};
use common::{
    OldDatabase, TestStore, checked, close, create, draft, leave, mention, name, pair, private, put, remove,
    room, room_name, texts,
};

/// The newest schema without rooms.
const BEFORE_ROOMS: i64 = 7;

/// Rooms and conversations as the last release left them: entries of users with and without
/// an account, a room that lost its oldest entries, and one that lost all.
const DATA: &str = "
    INSERT INTO users (username, password_hash{created_at}) VALUES
        ('alice', '$x'{zero}), ('bob', '$x'{zero}), ('carol', '$x'{zero}), ('dave', '$x'{zero});
    INSERT INTO topics (kind, name, other, last_seq, last_at) VALUES
        (1, 'kitchen', '', 6, 600), (2, 'alice', 'bob', 4, 900), (1, 'garden', '', 4, 800),
        (1, 'silent', '', 9, 500), (2, 'alice', 'alice', 1, 950), (2, 'bob', 'carol', 2, 960),
        (1, 'Кухня ''🍲''', '', 1, 700);
    INSERT INTO entries (topic, seq, kind, sender, room, text, at, nonce) VALUES
        (1, 1, 1, 'bob', NULL, 'a', 100, 'n1'), (1, 2, 1, 'alice', NULL, '@bob b', 200, NULL),
        (1, 3, 1, 'bob', NULL, 'c', 300, NULL), (1, 4, 1, 'gone', NULL, 'd', 400, NULL),
        (1, 5, 1, 'carol', NULL, 'e', 500, NULL), (1, 6, 1, 'bob', NULL, 'f', 600, NULL),
        (2, 1, 1, 'bob', 'kitchen', 'g', 900, NULL), (2, 2, 1, 'alice', NULL, 'h', 900, NULL),
        (2, 3, 1, 'bob', NULL, 'i', 900, NULL), (2, 4, 1, 'bob', NULL, 'j', 900, NULL),
        (3, 3, 1, 'carol', NULL, 'k', 700, NULL), (3, 4, 1, 'alice', NULL, 'l', 800, NULL),
        (5, 1, 1, 'alice', NULL, 'm', 950, NULL),
        (6, 1, 1, 'carol', NULL, 'n', 960, NULL), (6, 2, 1, 'carol', NULL, 'o', 960, NULL),
        (7, 1, 1, 'dave', NULL, 'p', 700, NULL);
    INSERT INTO nonces (sender, nonce, topic, seq, at) VALUES ('bob', 'n1', 1, 1, 100);
";

/// A migrated database of each kind, whose rooms have no members yet.
async fn migrated() -> Vec<TestStore> {
    let mut stores = Vec::new();
    for old in OldDatabase::of_each_kind(BEFORE_ROOMS).await {
        old.run(DATA).await;
        stores.push(old.migrated().await);
    }
    stores
}

/// Fills in the members, `max` entries at a time; returns the number of steps.
async fn fill(stores: &Stores, max: usize) -> usize {
    for step in 1..1000 {
        if !stores.rooms.fill_members(max).await.unwrap() {
            return step;
        }
    }
    panic!("it does not end");
}

async fn has_all_members(store: &TestStore) {
    assert_eq!(store.members("kitchen").await, ["alice member", "bob member", "carol member"]);
    assert_eq!(store.members("garden").await, ["alice member", "carol member"]);
    assert_eq!(store.members("silent").await, [""; 0]);
    assert_eq!(store.members("Кухня '🍲'").await, ["dave member"]);
}

#[tokio::test]
async fn rooms_are_open_and_conversations_are_read() {
    for store in migrated().await {
        let rooms = store.rooms.open_rooms(9).await.unwrap();
        let shown: Vec<_> =
            rooms.iter().map(|room| format!("{} {} {}", room.info.title, room.at_ms, room.members)).collect();
        assert_eq!(shown, ["garden 800 0", "Кухня '🍲' 700 0", "kitchen 600 0", "silent 500 0"]);
        for room in &rooms {
            assert_eq!((room.name.as_str(), room.created_by.as_ref()), (room.info.title.as_str(), None));
            assert_eq!((room.info.access, room.info.archived), (Access::Open, false));
        }
        // Both users of a conversation have read all of it.
        for (user, shown) in [
            ("alice", &[("alice", 1), ("bob", 4)][..]),
            ("bob", &[("carol", 2), ("alice", 4)]),
            ("carol", &[("bob", 2)]),
            ("dave", &[]),
        ] {
            let found = store.log.conversations(&name(user), 9).await.unwrap();
            let states: Vec<_> = found.latest.iter().map(|state| (state.with.as_str(), state.read)).collect();
            assert_eq!(states, shown);
            for state in found.latest {
                assert_eq!((state.top, state.unread, state.level), (state.read, Some(0), Level::All));
            }
        }
        store.append(&[private("alice", "bob", "new"), private("dave", "alice", "new")], 1000).await;
        assert_eq!(store.position("bob", &pair("alice", "bob")).await, "read 4 of 5, 1 unread");
        assert_eq!(store.position("alice", &pair("alice", "dave")).await, "read 0 of 1, 1 unread");
        // Entries, numbers and nonces are those of before.
        let kitchen = room("kitchen");
        let page = store.all(&kitchen).await;
        assert_eq!(texts(&page), ["a", "@bob b", "c", "d", "e", "f"]);
        assert!(page.entries.iter().all(|entry| entry.body.mentions().is_none()));
        let again = common::WithNonce::nonce(draft(&kitchen, "bob", "a"), "n1");
        assert_eq!(store.append(&[again], 1000).await, [common::duplicate(&kitchen, 1, 100)]);
        // The rooms can be written to and changed before they have members.
        assert_eq!(store.send("silent", "dave", 1, 1000).await, ["@9 dave member"]);
        let taken = create("kitchen", Access::Open, "alice", &[]);
        assert_eq!(store.change(&taken).await, Err(chat_core::ChangeRefused::Exists));
    }
}

#[tokio::test]
async fn users_become_members_of_the_rooms_that_they_wrote_to() {
    for store in migrated().await {
        assert_eq!(store.members("kitchen").await, [""; 0]);
        fill(&store, 1000).await;
        has_all_members(&store).await;
        // They have read everything.
        for (user, room, last) in [
            ("alice", "kitchen", 6),
            ("bob", "kitchen", 6),
            ("carol", "garden", 4),
            ("dave", "Кухня '🍲'", 1),
        ] {
            let expected = format!("read {last} of {last}, 0 unread");
            assert_eq!(store.position(user, &self::room(room)).await, expected, "{user} in {room}");
            let rooms = store.log.memberships(&name(user), 9, 9).await.unwrap().rooms;
            let membership = rooms.iter().find(|membership| membership.room == room_name(room)).unwrap();
            assert_eq!((membership.role, membership.level), (Role::Member, Level::Mentions));
        }
        store.append(&[mention(draft(&room("kitchen"), "carol", "hi"), "alice")], 2000).await;
        assert_eq!(store.position("alice", &room("kitchen")).await, "read 6 of 7, 1 unread, 1 mention");
        assert_eq!(store.position("bob", &room("kitchen")).await, "read 6 of 7, 1 unread");
        // The longest member is the one who wrote first.
        store.change(&put("kitchen", "admin", "carol", Some(Role::Moderator))).await.unwrap();
        assert_eq!(
            store.change(&leave("kitchen", "carol")).await.unwrap(),
            ["@7 carol left open", "@7 bob moderator"]
        );
        // There is nothing more to do, now or after a restart.
        assert!(!store.rooms.fill_members(1000).await.unwrap());
        let store = store.reopened().await;
        assert!(!store.rooms.fill_members(1000).await.unwrap());
        assert_eq!(store.members("kitchen").await, ["alice member", "bob moderator"]);
    }
}

#[tokio::test]
async fn what_users_do_meanwhile_stays() {
    for store in migrated().await {
        // dave joins and leaves; bob joins by a message, reads, and is appointed.
        store.change(&put("kitchen", "dave", "dave", None)).await.unwrap();
        store.change(&leave("kitchen", "dave")).await.unwrap();
        store.send("kitchen", "bob", 1, 1000).await;
        store.append(&[draft(&room("kitchen"), "gone", "hi")], 1000).await;
        store.keep("bob", &room("kitchen"), Some(7), Some(Level::All)).await;
        store.change(&put("kitchen", "admin", "bob", Some(Role::Moderator))).await.unwrap();
        // alice, who is no member yet, leaves; carol is removed.
        store.change(&leave("kitchen", "alice")).await.unwrap();
        store.change(&remove("garden", "admin", "carol")).await.unwrap();
        // A room that was closed meanwhile gets no members.
        store.change(&close("Кухня '🍲'", "admin")).await.unwrap();
        fill(&store, 3).await;
        assert_eq!(store.members("kitchen").await, ["bob moderator", "carol member"]);
        assert_eq!(store.members("garden").await, ["alice member"]);
        assert_eq!(store.members("Кухня '🍲'").await, [""; 0]);
        assert_eq!(store.position("bob", &room("kitchen")).await, "read 7 of 8, 1 unread");
        let rooms = store.log.memberships(&name("bob"), 1, 1).await.unwrap().rooms;
        assert_eq!((rooms[0].level, rooms[0].role), (Level::All, Role::Moderator));
        // Who has left comes back by a message.
        assert_eq!(store.send("kitchen", "alice", 1, 2000).await, ["@8 alice member"]);
    }
}

#[tokio::test]
async fn the_members_are_filled_in_after_a_stop() {
    for mut store in migrated().await {
        // A stop after every step.
        let mut steps = 0;
        while store.rooms.fill_members(1).await.unwrap() {
            steps += 1;
            assert!(steps < 100);
            store = store.reopened().await;
            if steps == 2 {
                assert!(store.members("kitchen").await.contains(&"bob member".to_owned()));
                store.change(&leave("kitchen", "bob")).await.unwrap();
            }
        }
        // A step looks at one entry.
        assert!(steps >= 9, "{steps}");
        assert_eq!(store.members("kitchen").await, ["alice member", "carol member"]);
        assert_eq!(store.members("garden").await, ["alice member", "carol member"]);
        assert_eq!(store.members("Кухня '🍲'").await, ["dave member"]);
        store.change(&put("kitchen", "bob", "bob", None)).await.unwrap();
        has_all_members(&store).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_room_is_filled_in_parts_while_users_write() {
    for old in OldDatabase::of_each_kind(BEFORE_ROOMS).await {
        old.run(DATA).await;
        old.run(
            "INSERT INTO topics (kind, name, other, last_seq, last_at) VALUES (1, 'long', '', 3000, 5000);
             INSERT INTO entries (topic, seq, kind, sender, text, at)
                WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 3000)
                SELECT 8, n, 1, CASE n WHEN 1 THEN 'dave' WHEN 1500 THEN 'carol' WHEN 3000 THEN 'bob'
                                ELSE 'alice' END, 'x', n FROM n;",
        )
        .await;
        let store = old.migrated().await;
        let log = std::sync::Arc::clone(&store.log);
        let writer = tokio::spawn(async move {
            for _ in 0..30 {
                let drafts = ["eve", "dave"].map(|from| checked(draft(&room("long"), from, "hi")));
                log.append(&drafts, 9000).await.unwrap();
            }
        });
        let steps = fill(&store, 200).await;
        writer.await.unwrap();
        assert!((15..40).contains(&steps), "{steps} steps");
        let expected = ["alice member", "bob member", "carol member", "dave member", "eve member"];
        assert_eq!(store.members("long").await, expected);
        has_all_members(&store).await;
    }
}

#[tokio::test]
async fn the_step_is_undone_with_what_it_brought() {
    for store in migrated().await {
        fill(&store, 1000).await;
        store.change(&create("~cellar", Access::Closed, "alice", &["bob"])).await.unwrap();
        store.change(&create("attic", Access::Open, "alice", &[])).await.unwrap();
        store.send("~cellar", "bob", 2, 1000).await;
        store.append(&[mention(draft(&room("kitchen"), "bob", "@alice"), "alice carol")], 1000).await;
        let (url, keep) = store.closed().await;
        for step in [
            "barrier",
            "bus",
            "shared",
            "feed",
            "push_shares",
            "outgoing",
            "subjects",
            "bots",
            "push",
            "moderation",
            "administration",
            "search",
            "files",
            "changes",
        ] {
            assert_eq!(migrations::down(&url).await.unwrap().unwrap().name, step);
        }
        let undo = migrations::Undo::claim(&url).await.unwrap().unwrap();
        assert_eq!(undo.step().version, 8);
        let losses: Vec<_> =
            undo.losses().iter().map(|loss| format!("{} {}", loss.rows, loss.many)).collect();
        assert_eq!(
            losses,
            [
                "1 restrictions of closed rooms to their members",
                "9 memberships of rooms",
                "2 mentions of users"
            ]
        );
        undo.run().await.unwrap();
        let old = OldDatabase::of(url, keep);
        assert_eq!(old.count("SELECT count(*) FROM entries").await, 19);
        // Rooms without a message have no number in the last release.
        assert_eq!(old.count("SELECT count(*) FROM topics").await, 8);
        // The last release goes on, and so does this one later.
        old.run(
            "INSERT INTO entries (topic, seq, kind, sender, text, at) VALUES (1, 8, 1, 'dave', 'x', 1000)",
        )
        .await;
        old.run("UPDATE topics SET last_seq = 8, last_at = 1000 WHERE id = 1").await;
        let store = old.migrated().await;
        fill(&store, 1000).await;
        let members = ["alice member", "bob member", "carol member", "dave member"];
        assert_eq!(store.members("kitchen").await, members);
        assert_eq!(store.position("alice", &room("kitchen")).await, "read 8 of 8, 0 unread");
        assert_eq!(store.all(&room("kitchen")).await.entries[6].body.mentions(), None);
        // The closed room is open to everybody, which is why the step names it.
        assert_eq!(store.members("~cellar").await, ["bob member"]);
        let cellar = store.rooms.find_room(&room_name("~cellar")).await.unwrap().unwrap();
        assert_eq!(cellar.info.access, Access::Open);
    }
}

#[tokio::test]
async fn a_new_database_has_nothing_to_fill_in() {
    for old in OldDatabase::of_each_kind(BEFORE_ROOMS).await {
        let store = old.migrated().await;
        assert_eq!(store.rooms.open_rooms(9).await.unwrap(), []);
        assert!(!store.rooms.fill_members(10).await.unwrap());
        store.account("alice").await;
        store.send("kitchen", "alice", 1, 1).await;
        store.change(&leave("kitchen", "alice")).await.unwrap();
        assert!(!store.rooms.fill_members(10).await.unwrap());
        assert_eq!(store.members("kitchen").await, [""; 0]);
    }
}

#[tokio::test]
async fn servers_fill_in_at_the_same_time() {
    for store in migrated().await {
        let (one, other) = tokio::join!(fill(&store, 2), fill(&store, 2));
        assert!(one + other < 60);
        has_all_members(&store).await;
        assert_eq!(store.position("carol", &room("kitchen")).await, "read 6 of 6, 0 unread");
    }
}

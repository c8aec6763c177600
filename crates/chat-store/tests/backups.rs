//! Backups of rooms, members, marks and mentions, between both kinds of database.

// Clippy takes only `#[test]` functions for tests, not what they call.
#![allow(clippy::unwrap_used)]

mod common;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use chat_core::{Access, ChangeRefused, FilesUsage, Level, Outcome, Role, SecretHash, WantedChange};
use chat_store::{
    Backup, DatabaseUrl, ExistingData, LogPosition, NONCES_KEPT_MS, NewBan, NewInvite, NewPasswordLink,
    NewReport, NewUser, ProfileField, RegistrationTerms, ReportsOf, RestoreTarget, Retention, Subject,
    TrimPosition, migrations,
};
use common::{
    OldDatabase, TestStore, WithNonce as _, archive, checked, close, create, delete, draft, duplicate, edit,
    file_id, leave, mention, name, pair, private, put, react, remove, reply, room, room_name, stored,
    unreact, with_files,
};

/// Writes a backup of a database that a store uses.
async fn back_up(store: &TestStore, folder: &Path) -> PathBuf {
    let file = folder.join("backup.db");
    std::fs::write(&file, "").unwrap();
    Backup::write(store.url(), &file, 5).await.unwrap().close().await.unwrap();
    file
}

/// Restores a backup to a database, and opens it.
async fn restore(file: &Path, target: TestStore, folder: &Path) -> TestStore {
    let (url, kept) = target.closed().await;
    let claim = RestoreTarget::claim(&url, ExistingData::Refuse).await.unwrap();
    let copy = claim.copy_path(folder);
    std::fs::write(&copy, "").unwrap();
    let backup = Backup::read(file, &copy).await.unwrap();
    claim.put(backup, ".before").await.unwrap();
    OldDatabase::of(url, kept).migrated().await
}

/// Every kind of database to restore a backup of this store to.
async fn targets() -> Vec<TestStore> {
    [Some(TestStore::sqlite().await), TestStore::postgres().await].into_iter().flatten().collect()
}

const PEOPLE: [&str; 5] = ["alice", "bob", "carol", "dave", "guest"];
const ROOMS: [&str; 6] = ["kitchen", "~cellar", "attic", "garden", "Кухня '🍲'", "random"];

/// Everything that a store tells of rooms, members, marks and mentions.
async fn described(store: &TestStore) -> String {
    let mut all = String::new();
    writeln!(all, "{:#?}", store.rooms.open_rooms(99).await.unwrap()).unwrap();
    for room in ROOMS.map(room_name) {
        writeln!(all, "{:#?}", store.rooms.find_room(&room).await.unwrap()).unwrap();
        writeln!(all, "{:?}", store.members(room.as_str()).await).unwrap();
        writeln!(all, "{:#?}", store.all(&common::room(room.as_str())).await).unwrap();
    }
    writeln!(all, "{:?}", store.log.tops(&ROOMS.map(room_name)).await.unwrap()).unwrap();
    for user in PEOPLE.map(name) {
        writeln!(all, "{:#?}", store.log.memberships(&user, 99, 99).await.unwrap()).unwrap();
        writeln!(all, "{:#?}", store.log.conversations(&user, 99).await.unwrap()).unwrap();
        writeln!(all, "{:#?}", store.log.access(&user, &room_name("~cellar")).await.unwrap()).unwrap();
    }
    writeln!(all, "{:?}", store.users.find_subject(ERIN).await.unwrap()).unwrap();
    all
}

/// A user of an OpenID provider.
const ERIN: Subject<'_> = Subject { issuer: "https://id.example", subject: "1" };

async fn filled(store: &TestStore) {
    store.accounts("alice bob carol dave").await;
    store.users.set_administrator(&name("dave"), true, 1).await.unwrap();
    let erin =
        NewUser { name: name("erin"), password_hash: "!".to_owned(), avatar: None, created_at_ms: 2_000 };
    let terms = RegistrationTerms { subject: Some(ERIN), ..RegistrationTerms::default() };
    assert!(store.administration.register(&erin, terms).await.unwrap());
    store.rooms.add_rooms(&[(room_name("random"), "Random".into())], 10).await.unwrap();
    store.change_at(&create("kitchen", Access::Open, "alice", &["bob"]), 100).await.unwrap();
    store.change_at(&create("~cellar", Access::Closed, "alice", &["carol", "bob"]), 200).await.unwrap();
    store.change_at(&create("attic", Access::Open, "bob", &[]), 300).await.unwrap();
    store.change(&archive("attic", "bob", true)).await.unwrap();
    for (at_ms, from) in (1000..).zip(["alice", "guest", "carol", "bob", "alice"]) {
        store.send("kitchen", from, 2, at_ms).await;
    }
    store.send("Кухня '🍲'", "dave", 1, 1500).await;
    store.send("garden", "alice", 5, 1600).await;
    store.send("garden", "bob", 1, 1601).await;
    store.change(&leave("garden", "alice")).await.unwrap();
    let cellar = room("~cellar");
    let drafts = ["bob", "all", "bob all carol"].map(|names| mention(draft(&cellar, "alice", "hi"), names));
    store.append(&drafts, 2000).await;
    store.append(&[mention(draft(&room("kitchen"), "bob", "hi"), "dave carol")], 2001).await;
    store.append(&[private("alice", "bob", "a"), private("bob", "alice", "b")], 2002).await;
    store.append(&[private("carol", "bob", "c"), private("carol", "carol", "d")], 2003).await;
    store.keep("bob", &room("kitchen"), Some(7), Some(Level::All)).await;
    store.keep("carol", &cellar, Some(2), Some(Level::None)).await;
    store.keep("bob", &pair("alice", "bob"), Some(1), Some(Level::None)).await;
    // An oldest entry is not kept, and neither is its mention.
    let retention = Retention { entries: Some(8), age_ms: None };
    store.log.trim(&retention, TrimPosition::default(), 1_000_000_000, 100).await.unwrap();
}

#[tokio::test]
async fn changes_of_messages_move_between_databases() {
    for from in targets().await {
        let kitchen = room("kitchen");
        from.send("kitchen", "alice", 3, 1000).await;
        let once = |nonce| react(&kitchen, "bob", 1, "👍").nonce(nonce);
        let answer = reply(draft(&kitchen, "bob", "b"), 2);
        from.append(&[edit(&kitchen, "alice", 1, "a"), once("first"), answer], 2000).await;
        from.append(&[react(&kitchen, "carol", 1, "👍"), delete(&kitchen, "alice", 3), once("again")], 3000)
            .await;
        let expected = (from.lines(&kitchen).await, from.shown(&kitchen).await);
        let folder = tempfile::tempdir().unwrap();
        let file = back_up(&from, folder.path()).await;
        for target in targets().await {
            let store = restore(&file, target, folder.path()).await;
            assert_eq!((store.lines(&kitchen).await, store.shown(&kitchen).await), expected);
            // The reactions of each user, and nonces, are known.
            let first = duplicate(&kitchen, 5, 2000);
            let batch = [unreact(&kitchen, "bob", 1, "👍"), once("first"), once("again")];
            assert_eq!(store.append(&batch, 4000).await, [stored(9, 4000), first.clone(), first]);
            assert_eq!(store.shown(&kitchen).await[0], "1 alice: a edited@2000 👍1 carol updated 9");
            // The remembered nonce is removed with the entry that it names.
            let retention = Retention { entries: Some(0), age_ms: None };
            let now_ms = NONCES_KEPT_MS + 10_000;
            let trimmed = store.log.trim(&retention, TrimPosition::default(), now_ms, 100).await.unwrap();
            assert_eq!((trimmed.entries, trimmed.nonces), (9, 2));
        }
    }
}

/// The records; their bytes are not the store's.
#[tokio::test]
async fn records_of_files_move_between_databases() {
    let described = async |store: &TestStore| {
        let files = store.files.files_after(None, 99).await.unwrap();
        (store.lines(&room("kitchen")).await, files)
    };
    for from in targets().await {
        let kitchen = room("kitchen");
        for number in 1..=4 {
            from.upload("alice", number, "a \"picture\".png").await;
        }
        from.append(&[1, 2].map(|number| with_files(draft(&kitchen, "alice", ""), &[number])), 1000).await;
        from.append(&[delete(&kitchen, "alice", 2)], 2000).await;
        from.files.drop_file(&file_id(4)).await.unwrap();
        let expected = described(&from).await;
        assert_eq!(expected.1.len(), 2);
        let folder = tempfile::tempdir().unwrap();
        let file = back_up(&from, folder.path()).await;
        for target in targets().await {
            let store = restore(&file, target, folder.path()).await;
            assert_eq!(described(&store).await, expected);
            let outcomes = [1, 2, 3, 4].map(|number| with_files(draft(&kitchen, "alice", ""), &[number]));
            let outcomes = store.append(&outcomes, 3000).await;
            assert_eq!(outcomes.iter().filter(|outcome| **outcome == Outcome::InvalidFiles).count(), 3);
            assert!(store.may_read(3, "bob").await);
            // What was to be removed is not there at all.
            assert_eq!(store.to_delete(0).await, [0; 0]);
            assert_eq!(store.files.files_usage().await.unwrap(), FilesUsage { files: 2, bytes: 40 });
        }
    }
}

#[tokio::test]
async fn administration_moves_between_databases() {
    for from in targets().await {
        from.accounts("alice bob carol").await;
        from.send("kitchen", "bob", 2, 5).await;
        let (alice, secret) = (name("alice"), |number| SecretHash::from_bytes([number; 32]));
        let administration = &from.administration;
        let fields = [(ProfileField::Welcome, Some("Hi"))];
        administration.set_server_profile(&fields, Some(&alice), 1).await.unwrap();
        let invite = NewInvite {
            id: "id".into(),
            secret: secret(1),
            by: alice.clone(),
            room: Some(room_name("cellar")),
            uses_max: None,
            created_at_ms: 2,
            expires_at_ms: Some(1000),
        };
        from.change(&create("cellar", Access::Open, "alice", &["carol"])).await.unwrap();
        from.change(&close("cellar", "alice")).await.unwrap();
        administration.create_invite(&invite).await.unwrap().unwrap();
        from.change(&remove("cellar", "alice", "carol")).await.unwrap();
        let ban = NewBan {
            user: name("bob"),
            reason: "spam".into(),
            delete_messages: true,
            without_account: false,
        };
        administration.ban(&ban, None, 3).await.unwrap().unwrap();
        let part = administration.messages_of(&name("bob"), LogPosition::default(), 1).await.unwrap();
        administration.note_deletion(&name("bob"), part.next).await.unwrap();
        let link = NewPasswordLink { user: name("carol"), secret: secret(2), expires_at_ms: 1000 };
        assert!(administration.create_password_link(&link, None, 4).await.unwrap());
        let (topic, reporter) = (room("kitchen"), name("carol"));
        let report = NewReport { topic, seq: 1, reporter, reason: "rude".into(), at_ms: 5 };
        let id = administration.create_report(&report).await.unwrap().unwrap();
        let described = async |store: &TestStore| {
            let administration = &store.administration;
            format!(
                "{:?} {:?} {:?} {:?} {:?}",
                administration.server_profile().await.unwrap(),
                administration.bans(None, 9).await.unwrap(),
                administration.deletions(9).await.unwrap(),
                administration
                    .reports(ReportsOf::Everywhere { reader: &alice }, None, None, 9)
                    .await
                    .unwrap(),
                administration.audit(None, 9).await.unwrap(),
            )
        };
        let expected = described(&from).await;
        let folder = tempfile::tempdir().unwrap();
        let file = back_up(&from, folder.path()).await;
        for target in targets().await {
            let store = restore(&file, target, folder.path()).await;
            assert_eq!(described(&store).await, expected);
            let administration = &store.administration;
            // A link that was used or withdrawn since must not be good again.
            assert_eq!(administration.find_password_link(&secret(2), 10).await.unwrap(), None);
            assert_eq!(administration.find_invite(&secret(1), 10).await.unwrap(), None);
            assert!(administration.create_invite(&invite).await.unwrap().is_ok());
            // A member who was removed stays away.
            let (room, user) = (room_name("cellar"), name("carol"));
            let accept = WantedChange::Accept { room, user, invite: secret(1) };
            assert_eq!(store.change(&accept).await, Err(ChangeRefused::NoInvite));
            // Ids go on.
            let next = administration.create_report(&NewReport { seq: 2, ..report.clone() }).await.unwrap();
            assert_eq!(next, Some(id + 1));
            assert!(administration.unban(&name("bob"), None, 9).await.unwrap());
        }
    }
}

#[tokio::test]
async fn rooms_move_between_databases() {
    for from in targets().await {
        filled(&from).await;
        let expected = described(&from).await;
        let folder = tempfile::tempdir().unwrap();
        let file = back_up(&from, folder.path()).await;
        for target in targets().await {
            let store = restore(&file, target, folder.path()).await;
            assert_eq!(described(&store).await, expected);
            // What is not told, but matters for what comes: closed rooms and archived ones
            // are still seen by those who write to them, ...
            for (room, person) in [("~cellar", "dave"), ("attic", "bob")] {
                let draft = draft(&self::room(room), person, "hi");
                assert_eq!(store.append(&[draft], 3000).await, [Outcome::Forbidden]);
            }
            // ... members are known, ...
            assert_eq!(store.send("~cellar", "carol", 1, 3000).await, [""; 0]);
            assert_eq!(
                store.position("bob", &self::room("~cellar")).await,
                "read 0 of 4, 4 unread, 3 mentions"
            );
            // ... and so is the one who has been a member for longest.
            assert_eq!(
                store.change(&leave("~cellar", "alice")).await.unwrap(),
                ["@4 alice left closed", "@4 carol moderator"]
            );
            store.change(&put("garden", "dave", "dave", None)).await.unwrap();
            store.change(&put("garden", "dave", "alice", None)).await.unwrap();
            store.change(&put("garden", "admin", "dave", Some(Role::Moderator))).await.unwrap();
            assert_eq!(
                store.change(&leave("garden", "dave")).await.unwrap(),
                ["@6 dave left open", "@6 bob moderator"]
            );
        }
    }
}

#[tokio::test]
async fn members_that_are_not_filled_in_yet_are_so_after_a_restore() {
    for old in OldDatabase::of_each_kind(7).await {
        old.run(
            "INSERT INTO users (username, password_hash{created_at}) VALUES
                ('alice', '$x'{zero}), ('bob', '$x'{zero}), ('carol', '$x'{zero});
             INSERT INTO topics (kind, name, other, last_seq, last_at) VALUES
                (1, 'kitchen', '', 3, 3), (1, 'garden', '', 3, 3);
             INSERT INTO entries (topic, seq, kind, sender, text, at) VALUES
                (1, 1, 1, 'alice', 'a', 1), (1, 2, 1, 'bob', 'b', 2), (1, 3, 1, 'carol', 'c', 3),
                (2, 1, 1, 'bob', 'a', 1), (2, 2, 1, 'alice', 'b', 2), (2, 3, 1, 'carol', 'c', 3)",
        )
        .await;
        let from = old.migrated().await;
        assert!(from.rooms.fill_members(2).await.unwrap());
        from.change(&leave("kitchen", "alice")).await.unwrap();
        from.change(&leave("garden", "carol")).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = back_up(&from, folder.path()).await;
        for target in targets().await {
            let store = restore(&file, target, folder.path()).await;
            while store.rooms.fill_members(2).await.unwrap() {}
            assert_eq!(store.members("kitchen").await, ["bob member", "carol member"]);
            assert_eq!(store.members("garden").await, ["alice member", "bob member"]);
        }
    }
}

#[tokio::test]
async fn a_backup_of_the_last_release_is_restored() {
    // The file that the last release wrote: its tables, without an epoch and sessions.
    let old = OldDatabase::of_each_kind(7).await.swap_remove(0);
    old.run(
        "INSERT INTO users (username, password_hash, created_at) VALUES ('alice', '$x', 0), ('bob', '$x', 0);
         INSERT INTO topics (kind, name, other, last_seq, last_at) VALUES
            (1, 'kitchen', '', 2, 2), (2, 'alice', 'bob', 3, 3);
         INSERT INTO entries (topic, seq, kind, sender, text, at) VALUES
            (1, 1, 1, 'alice', 'a', 1), (1, 2, 1, 'bob', 'b', 2),
            (2, 1, 1, 'alice', 'a', 1), (2, 2, 1, 'bob', 'b', 2), (2, 3, 1, 'alice', 'c', 3);
         CREATE TABLE backup_pictures (name TEXT PRIMARY KEY NOT NULL, bytes BLOB NOT NULL) STRICT;
         INSERT INTO meta (key, value) VALUES ('backup', '4')",
    )
    .await;
    let DatabaseUrl::Sqlite(file) = old.url().clone() else { panic!("it is a file") };
    assert!(!migrations::status(old.url()).await.unwrap()[7].applied);
    for target in targets().await {
        let folder = tempfile::tempdir().unwrap();
        let store = restore(&file, target, folder.path()).await;
        assert_eq!(store.rooms.open_rooms(9).await.unwrap().len(), 1);
        while store.rooms.fill_members(1).await.unwrap() {}
        assert_eq!(store.members("kitchen").await, ["alice member", "bob member"]);
        assert_eq!(store.position("alice", &room("kitchen")).await, "read 2 of 2, 0 unread");
        assert_eq!(store.position("bob", &pair("alice", "bob")).await, "read 3 of 3, 0 unread");
        store.append(&[checked(draft(&room("kitchen"), "bob", "hi")), private("alice", "bob", "d")], 9).await;
        assert_eq!(store.position("alice", &room("kitchen")).await, "read 2 of 3, 1 unread");
        assert_eq!(store.position("bob", &pair("alice", "bob")).await, "read 3 of 4, 1 unread");
    }
    // The file itself stays as it is.
    assert!(!migrations::status(old.url()).await.unwrap()[7].applied);
}

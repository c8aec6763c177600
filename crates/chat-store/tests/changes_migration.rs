//! The migrations that bring changes of messages, and files, and the way back.

// Clippy takes only `#[test]` functions for tests, not what they call.
#![allow(clippy::unwrap_used)]

mod common;

use chat_store::migrations;
use common::OldDatabase;

/// The newest schema without files.
const BEFORE_FILES: i64 = 9;
/// The newest schema without changes.
const BEFORE_CHANGES: i64 = 8;

const MESSAGES: &str = "
    INSERT INTO topics (kind, name, other, last_seq, last_at) VALUES (1, 'kitchen', '', 6, 600);
    INSERT INTO entries (topic, seq, kind, sender, text, at, nonce, mentions) VALUES
        (1, 1, 1, 'bob', 'a', 100, 'n1', NULL), (1, 2, 1, 'alice', 'b', 200, NULL, '[\"bob\"]');
    INSERT INTO nonces (sender, nonce, topic, seq, at) VALUES ('bob', 'n1', 1, 1, 100);
";

/// A reaction, an edit, a deletion and an answer.
const CHANGES: &str = "
    INSERT INTO changes (topic, seq, kind, target, sender, at, nonce, emoji) VALUES
        (1, 3, 4, 1, 'alice', 300, 'n3', '👍'), (1, 4, 2, 2, 'alice', 400, 'n4', NULL),
        (1, 5, 3, 1, 'bob', 500, 'n5', NULL);
    UPDATE entries SET text = '', deleted = 1 WHERE seq = 1;
    UPDATE entries SET text = 'c', mentions = NULL WHERE seq = 2;
    INSERT INTO entries (topic, seq, kind, sender, text, at, reply_to) VALUES (1, 6, 1, 'bob', 'd', 600, 2);
    INSERT INTO states (topic, seq, updated, edit_seq, edited_at, delete_seq, deleted_at, reactions) VALUES
        (1, 1, 5, NULL, NULL, 5, 500, NULL), (1, 2, 4, 4, 400, NULL, NULL, NULL);
    INSERT INTO nonces (sender, nonce, topic, seq, at) VALUES
        ('alice', 'n3', 1, 3, 300), ('alice', 'n4', 1, 4, 400), ('bob', 'n5', 1, 5, 500),
        ('bob', 'n6', 1, 5, 500);
    INSERT INTO remembered_nonces (topic, seq, nonce, sender, at) VALUES (1, 5, 'n6', 'bob', 500);
";

/// The earlier server needs numbers without a gap.
#[tokio::test]
async fn changes_become_messages_when_the_step_is_undone() {
    for old in OldDatabase::of_each_kind(BEFORE_CHANGES).await {
        old.run(MESSAGES).await;
        migrations::up(old.url()).await.unwrap();
        old.run(CHANGES).await;
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
        ] {
            assert_eq!(migrations::down(old.url()).await.unwrap().unwrap().name, step);
        }
        let undo = migrations::Undo::claim(old.url()).await.unwrap().unwrap();
        let losses: Vec<_> =
            undo.losses().iter().map(|loss| format!("{} {}", loss.rows, loss.many)).collect();
        assert_eq!(
            losses,
            [
                "3 edits, deletions and reactions (each becomes a message \"…\")",
                "1 references of replies to their messages"
            ]
        );
        assert_eq!(undo.run().await.unwrap().version, 9);
        for (count, rows) in [
            (6, "SELECT count(*) FROM entries WHERE kind = 1"),
            (4, "SELECT count(*) FROM entries WHERE text = '…' AND seq IN (1, 3, 4, 5)"),
            (2, "SELECT count(*) FROM entries WHERE (text = 'c' AND seq = 2) OR (text = 'd' AND seq = 6)"),
            (4, "SELECT count(*) FROM entries AS e JOIN nonces AS n ON n.nonce = e.nonce AND n.seq = e.seq"),
            (5, "SELECT count(*) FROM nonces"),
            (1, "SELECT count(*) FROM outlived_nonces WHERE nonce = 'n6' AND at = 500"),
        ] {
            assert_eq!(old.count(rows).await, count, "{rows}");
        }
        migrations::up(old.url()).await.unwrap();
        assert_eq!(old.count("SELECT count(*) FROM entries WHERE reply_to IS NULL").await, 6);
    }
}

/// The earlier server shows no blank texts.
#[tokio::test]
async fn a_message_of_files_only_gets_a_text_when_the_step_is_undone() {
    for old in OldDatabase::of_each_kind(BEFORE_FILES).await {
        old.run(MESSAGES).await;
        migrations::up(old.url()).await.unwrap();
        old.run(
            "INSERT INTO entries (topic, seq, kind, sender, text, at, files) VALUES
                (1, 7, 1, 'bob', '', 700, '[]'), (1, 8, 1, 'bob', 'b', 800, '[]');
             INSERT INTO files (id, owner, name, type, size, state, at, topic, seq) VALUES
                ('a', 'bob', 'a', 'a/b', 7, 2, 1, 1, 7), ('b', 'bob', 'b', 'a/b', 7, 2, 1, 1, 8),
                ('c', 'bob', '', '', 7, 1, 1, NULL, NULL), ('d', 'bob', '', '', 7, 3, 1, NULL, NULL);",
        )
        .await;
        // Later steps are undone first.
        while migrations::Undo::claim(old.url()).await.unwrap().unwrap().step().version > BEFORE_FILES + 1 {
            migrations::down(old.url()).await.unwrap();
        }
        let undo = migrations::Undo::claim(old.url()).await.unwrap().unwrap();
        let losses: Vec<_> =
            undo.losses().iter().map(|loss| format!("{} {}", loss.rows, loss.many)).collect();
        assert_eq!(losses, ["2 files of users"]);
        assert_eq!(undo.run().await.unwrap().name, "files");
        assert_eq!(old.count("SELECT count(*) FROM entries WHERE text = '…' AND seq = 7").await, 1);
        assert_eq!(old.count("SELECT count(*) FROM entries WHERE text <> '' AND text <> '…'").await, 3);
        migrations::up(old.url()).await.unwrap();
        assert_eq!(old.count("SELECT count(*) FROM entries WHERE files IS NOT NULL").await, 0);
        assert_eq!(old.count("SELECT bytes FROM file_totals").await, 0);
    }
}

-- Messages stay where they are: nothing of the table is written again.
-- The message of the same topic that this one answers.
ALTER TABLE entries ADD COLUMN reply_to INTEGER;
-- 1: the message is deleted; its text is empty, and it has nothing else. NULL: it is not.
ALTER TABLE entries ADD COLUMN deleted INTEGER;
-- When the newest change was stored. `last_at` is about messages: a change moves no
-- conversation up.
ALTER TABLE topics ADD COLUMN changed_at INTEGER NOT NULL DEFAULT 0;

-- The entries that change a message. They share the numbers of a topic with the messages in
-- `entries`: each number is in one of the two. The text of an edit is that of its target,
-- if it is the newest one of a message that is not deleted; else it is gone.
CREATE TABLE changes (
    topic  INTEGER NOT NULL,
    seq    INTEGER NOT NULL,
    kind   INTEGER NOT NULL CHECK (kind IN (2, 3, 4, 5)), -- 2 edit, 3 delete, 4 react, 5 unreact
    target INTEGER NOT NULL, -- the number of the message, which may be gone
    sender TEXT    NOT NULL,
    at     INTEGER NOT NULL,
    nonce  TEXT,
    emoji  TEXT,             -- of a reaction
    PRIMARY KEY (topic, seq)
) STRICT, WITHOUT ROWID;

-- What changes have made of a message, beside its row in `entries`: one row for each
-- changed message.
CREATE TABLE states (
    topic      INTEGER NOT NULL,
    seq        INTEGER NOT NULL,
    updated    INTEGER NOT NULL, -- the number of its newest change
    edit_seq   INTEGER,          -- its newest edit, also of a deleted message
    edited_at  INTEGER,
    delete_seq INTEGER,          -- what deleted it
    deleted_at INTEGER,
    reactions  TEXT,             -- NULL, or JSON in the order of frames: [[emoji, count, [first users]]]
    PRIMARY KEY (topic, seq)
) STRICT, WITHOUT ROWID;

-- Who reacted to a message that is not deleted, and with which change.
CREATE TABLE reactions (
    topic    INTEGER NOT NULL,
    target   INTEGER NOT NULL,
    emoji    TEXT    NOT NULL,
    username TEXT    NOT NULL,
    seq      INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    PRIMARY KEY (topic, target, emoji, username)
) STRICT, WITHOUT ROWID;

CREATE INDEX reactions_in_order ON reactions (topic, target, emoji, seq);

-- Nonces of changes that stored nothing, because another entry had made it so: they are in
-- `nonces` with the number of that entry, and are removed with it.
CREATE TABLE remembered_nonces (
    topic  INTEGER NOT NULL,
    seq    INTEGER NOT NULL,
    nonce  TEXT    NOT NULL,
    sender TEXT    NOT NULL,
    at     INTEGER NOT NULL, -- when it was remembered
    PRIMARY KEY (topic, seq, nonce, sender)
) STRICT, WITHOUT ROWID;

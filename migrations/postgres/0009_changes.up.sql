-- Messages stay where they are: nothing of the table is written again.
-- The message of the same topic that this one answers.
ALTER TABLE entries ADD COLUMN reply_to BIGINT;
-- 1: the message is deleted; its text is empty, and it has nothing else. NULL: it is not.
ALTER TABLE entries ADD COLUMN deleted BIGINT;
-- When the newest change was stored. `last_at` is about messages: a change moves no
-- conversation up.
ALTER TABLE topics ADD COLUMN changed_at BIGINT NOT NULL DEFAULT 0;

-- The entries that change a message. They share the numbers of a topic with the messages in
-- `entries`: each number is in one of the two. The text of an edit is that of its target,
-- if it is the newest one of a message that is not deleted; else it is gone.
CREATE TABLE changes (
    topic  BIGINT NOT NULL,
    seq    BIGINT NOT NULL,
    kind   BIGINT NOT NULL CHECK (kind IN (2, 3, 4, 5)), -- 2 edit, 3 delete, 4 react, 5 unreact
    target BIGINT NOT NULL, -- the number of the message, which may be gone
    sender TEXT COLLATE "C" NOT NULL,
    at     BIGINT NOT NULL,
    nonce  TEXT COLLATE "C",
    emoji  TEXT COLLATE "C", -- of a reaction
    batch  TEXT COLLATE "C", -- on the first entry of a transaction without messages: its name
    PRIMARY KEY (topic, seq)
);

-- What changes have made of a message, beside its row in `entries`: one row for each
-- changed message.
CREATE TABLE states (
    topic      BIGINT NOT NULL,
    seq        BIGINT NOT NULL,
    updated    BIGINT NOT NULL, -- the number of its newest change
    edit_seq   BIGINT,          -- its newest edit, also of a deleted message
    edited_at  BIGINT,
    delete_seq BIGINT,          -- what deleted it
    deleted_at BIGINT,
    reactions  TEXT,            -- NULL, or JSON in the order of frames: [[emoji, count, [first users]]]
    PRIMARY KEY (topic, seq)
);

-- Who reacted to a message that is not deleted, and with which change.
CREATE TABLE reactions (
    topic    BIGINT NOT NULL,
    target   BIGINT NOT NULL,
    emoji    TEXT COLLATE "C" NOT NULL,
    username TEXT COLLATE "C" NOT NULL,
    seq      BIGINT NOT NULL,
    at       BIGINT NOT NULL,
    PRIMARY KEY (topic, target, emoji, username)
);

CREATE INDEX reactions_in_order ON reactions (topic, target, emoji, seq);

-- Nonces of changes that stored nothing, because another entry had made it so: they are in
-- `nonces` with the number of that entry, and are removed with it.
CREATE TABLE remembered_nonces (
    topic  BIGINT NOT NULL,
    seq    BIGINT NOT NULL,
    nonce  TEXT COLLATE "C" NOT NULL,
    sender TEXT COLLATE "C" NOT NULL,
    at     BIGINT NOT NULL, -- when it was remembered
    PRIMARY KEY (topic, seq, nonce, sender)
);

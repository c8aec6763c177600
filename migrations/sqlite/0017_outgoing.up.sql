-- Addresses to which messages of a room are delivered.
CREATE TABLE outgoing_webhooks (
    id            TEXT    PRIMARY KEY NOT NULL,
    username      TEXT    NOT NULL, -- the bot
    room          TEXT    NOT NULL,
    url           TEXT    NOT NULL,
    secret        TEXT    NOT NULL, -- deliveries are signed with it: its hash would not do
    only_mentions INTEGER NOT NULL CHECK (only_mentions IN (0, 1)), -- 1: of the bot
    created_at    INTEGER NOT NULL,
    upto          INTEGER NOT NULL, -- how far the room was looked through for messages to deliver
    retry_at      INTEGER NOT NULL, -- a server is delivering to it, or waits, until then
    failures      INTEGER NOT NULL, -- in a row
    failing_since INTEGER,
    last_at       INTEGER,
    last_result   TEXT,
    off_at        INTEGER           -- NULL: it is on
) STRICT, WITHOUT ROWID;

CREATE INDEX outgoing_webhooks_of_bot ON outgoing_webhooks (username);

-- What is to be delivered: numbers of messages, never their text.
CREATE TABLE outgoing_queue (
    webhook  TEXT    NOT NULL REFERENCES outgoing_webhooks (id) ON DELETE CASCADE,
    seq      INTEGER NOT NULL,
    at       INTEGER NOT NULL, -- when the message was stored
    attempts INTEGER NOT NULL, -- that have failed
    due_at   INTEGER NOT NULL,
    PRIMARY KEY (webhook, seq)
) STRICT, WITHOUT ROWID;

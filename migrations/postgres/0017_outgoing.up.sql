-- Addresses to which messages of a room are delivered.
CREATE TABLE outgoing_webhooks (
    id            TEXT COLLATE "C" PRIMARY KEY,
    username      TEXT COLLATE "C" NOT NULL, -- the bot
    room          TEXT COLLATE "C" NOT NULL,
    url           TEXT   NOT NULL,
    secret        TEXT   NOT NULL, -- deliveries are signed with it: its hash would not do
    only_mentions BIGINT NOT NULL CHECK (only_mentions IN (0, 1)), -- 1: of the bot
    created_at    BIGINT NOT NULL,
    upto          BIGINT NOT NULL, -- how far the room was looked through for messages to deliver
    retry_at      BIGINT NOT NULL, -- a server is delivering to it, or waits, until then
    failures      BIGINT NOT NULL, -- in a row
    failing_since BIGINT,
    last_at       BIGINT,
    last_result   TEXT,
    off_at        BIGINT           -- NULL: it is on
);

CREATE INDEX outgoing_webhooks_of_bot ON outgoing_webhooks (username);

-- What is to be delivered: numbers of messages, never their text.
CREATE TABLE outgoing_queue (
    webhook  TEXT COLLATE "C" NOT NULL REFERENCES outgoing_webhooks (id) ON DELETE CASCADE,
    seq      BIGINT NOT NULL,
    at       BIGINT NOT NULL, -- when the message was stored
    attempts BIGINT NOT NULL, -- that have failed
    due_at   BIGINT NOT NULL,
    PRIMARY KEY (webhook, seq)
);

-- The key with which servers of this database sign what they send to push services (VAPID).
CREATE TABLE push_key (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    private TEXT    NOT NULL -- base64url of PKCS #8
) STRICT;

-- The browsers that are notified while they show no page. A session has one at most.
CREATE TABLE push_subscriptions (
    id         INTEGER PRIMARY KEY,
    session    TEXT    NOT NULL UNIQUE,
    username   TEXT    NOT NULL,
    endpoint   TEXT    NOT NULL UNIQUE,
    p256dh     TEXT    NOT NULL, -- the browser's public key, base64url
    auth       TEXT    NOT NULL, -- the secret it shares with the server, base64url
    language   TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    failures   INTEGER NOT NULL, -- in a row
    retry_at   INTEGER NOT NULL  -- a server is sending to it, or waits, until then
) STRICT;

CREATE INDEX push_subscriptions_of_user ON push_subscriptions (username, created_at, id);

-- What is to be sent: of a conversation, the newest message, never its text.
CREATE TABLE push_queue (
    subscription INTEGER NOT NULL REFERENCES push_subscriptions (id) ON DELETE CASCADE,
    topic        INTEGER NOT NULL,
    seq          INTEGER NOT NULL,
    at           INTEGER NOT NULL, -- when the message was stored
    due_at       INTEGER NOT NULL,
    PRIMARY KEY (subscription, topic)
) STRICT, WITHOUT ROWID;

CREATE INDEX push_queue_by_time ON push_queue (due_at);

-- How far a topic was looked through for messages to send.
CREATE TABLE push_progress (
    topic INTEGER PRIMARY KEY,
    upto  INTEGER NOT NULL
) STRICT;

-- The key with which servers of this database sign what they send to push services (VAPID).
CREATE TABLE push_key (
    id      BIGINT PRIMARY KEY CHECK (id = 1),
    private TEXT   NOT NULL -- base64url of PKCS #8
);

-- The browsers that are notified while they show no page. A session has one at most.
CREATE TABLE push_subscriptions (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    session    TEXT COLLATE "C" NOT NULL UNIQUE,
    username   TEXT COLLATE "C" NOT NULL,
    endpoint   TEXT COLLATE "C" NOT NULL UNIQUE,
    p256dh     TEXT   NOT NULL, -- the browser's public key, base64url
    auth       TEXT   NOT NULL, -- the secret it shares with the server, base64url
    language   TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    failures   BIGINT NOT NULL, -- in a row
    retry_at   BIGINT NOT NULL  -- a server is sending to it, or waits, until then
);

CREATE INDEX push_subscriptions_of_user ON push_subscriptions (username, created_at, id);

-- What is to be sent: of a conversation, the newest message, never its text.
CREATE TABLE push_queue (
    subscription BIGINT NOT NULL REFERENCES push_subscriptions (id) ON DELETE CASCADE,
    topic        BIGINT NOT NULL,
    seq          BIGINT NOT NULL,
    at           BIGINT NOT NULL, -- when the message was stored
    due_at       BIGINT NOT NULL,
    PRIMARY KEY (subscription, topic)
);

CREATE INDEX push_queue_by_time ON push_queue (due_at);

-- How far a topic was looked through for messages to send.
CREATE TABLE push_progress (
    topic BIGINT PRIMARY KEY,
    upto  BIGINT NOT NULL
);

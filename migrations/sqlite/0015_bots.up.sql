-- Programs that post and read over HTTP. A revoked one keeps its row: its messages stay marked.
CREATE TABLE bots (
    username   TEXT    PRIMARY KEY NOT NULL,
    token_hash TEXT    UNIQUE,          -- SHA-256 in hexadecimal digits; NULL: revoked
    by_user    TEXT,                    -- NULL: the operator of the server
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The rooms that a bot is for.
CREATE TABLE bot_rooms (
    username TEXT NOT NULL,
    room     TEXT NOT NULL,
    PRIMARY KEY (username, room)
) STRICT, WITHOUT ROWID;

-- Addresses with a secret: what is posted there is a message of the bot in the room.
CREATE TABLE webhooks (
    secret_hash TEXT PRIMARY KEY NOT NULL, -- SHA-256 in hexadecimal digits
    username    TEXT NOT NULL,
    room        TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX webhooks_of_bot ON webhooks (username);

-- Programs that post and read over HTTP. A revoked one keeps its row: its messages stay marked.
CREATE TABLE bots (
    username   TEXT COLLATE "C" PRIMARY KEY,
    token_hash TEXT UNIQUE,             -- SHA-256 in hexadecimal digits; NULL: revoked
    by_user    TEXT COLLATE "C",        -- NULL: the operator of the server
    created_at BIGINT NOT NULL
);

-- The rooms that a bot is for.
CREATE TABLE bot_rooms (
    username TEXT COLLATE "C" NOT NULL,
    room     TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (username, room)
);

-- Addresses with a secret: what is posted there is a message of the bot in the room.
CREATE TABLE webhooks (
    secret_hash TEXT PRIMARY KEY,       -- SHA-256 in hexadecimal digits
    username    TEXT COLLATE "C" NOT NULL,
    room        TEXT COLLATE "C" NOT NULL
);

CREATE INDEX webhooks_of_bot ON webhooks (username);

-- What the store knows about itself: `epoch`, the name of the numbering.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Rooms and pairs, and how far each has got. The row is locked by who writes,
-- so that numbers are given in the order of commits.
CREATE TABLE topics (
    id       INTEGER PRIMARY KEY,
    kind     INTEGER NOT NULL CHECK (kind IN (1, 2)), -- 1 a room, 2 a pair of users
    name     TEXT    NOT NULL,                        -- the room, or the lower name of the pair
    other    TEXT    NOT NULL,                        -- the higher name of the pair, '' for a room
    last_seq INTEGER NOT NULL,
    last_at  INTEGER NOT NULL,
    UNIQUE (kind, name, other)
) STRICT;

-- The key is the order in which pages are read; there is no other index to keep.
CREATE TABLE entries (
    topic  INTEGER NOT NULL REFERENCES topics (id),
    seq    INTEGER NOT NULL,
    kind   INTEGER NOT NULL CHECK (kind = 1), -- 1 a message
    sender TEXT    NOT NULL, -- a name, not an id: users of a host application have no account
    room   TEXT,             -- of a private message: where its sender was
    text   TEXT    NOT NULL,
    at     INTEGER NOT NULL,
    nonce  TEXT,
    PRIMARY KEY (topic, seq)
) STRICT, WITHOUT ROWID;

-- The first result of each send. It has the result itself instead of a
-- reference to the entry: a nonce is kept for at least seven days, and may
-- outlive its entry. The nonce comes first in the key: those of the server and
-- of its client rise with time, and new ones then share a few pages instead of
-- touching one for each sender (50,000 messages a second instead of 28,000).
CREATE TABLE nonces (
    sender TEXT    NOT NULL,
    nonce  TEXT    NOT NULL,
    topic  INTEGER NOT NULL REFERENCES topics (id),
    seq    INTEGER NOT NULL,
    at     INTEGER NOT NULL,
    PRIMARY KEY (nonce, sender)
) STRICT, WITHOUT ROWID;

-- Names and nonces are only compared byte by byte: "C" says so to the indexes.

-- Rooms and pairs, and how far each has got. The row is locked by who writes,
-- so that numbers are given in the order of commits. Room in its pages lets it
-- change without a trace in the index.
CREATE TABLE topics (
    id       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind     BIGINT NOT NULL CHECK (kind IN (1, 2)), -- 1 a room, 2 a pair of users
    name     TEXT COLLATE "C" NOT NULL,              -- the room, or the lower name of the pair
    other    TEXT COLLATE "C" NOT NULL,              -- the higher name of the pair, '' for a room
    last_seq BIGINT NOT NULL,
    last_at  BIGINT NOT NULL,
    UNIQUE (kind, name, other)
) WITH (fillfactor = 50);

-- The key is the order in which pages are read; there is no other index to
-- keep. No references to topics here and below: rows are only ever written
-- together with that of their topic, and a check of each would double the time
-- of a batch (512 entries: 8.7 ms instead of 4.3).
CREATE TABLE entries (
    topic  BIGINT NOT NULL,
    seq    BIGINT NOT NULL,
    kind   BIGINT NOT NULL CHECK (kind = 1), -- 1 a message
    at     BIGINT NOT NULL,
    sender TEXT COLLATE "C" NOT NULL, -- a name, not an id: users of a host application have no account
    room   TEXT COLLATE "C",          -- of a private message: where its sender was
    text   TEXT NOT NULL,
    nonce  TEXT COLLATE "C",
    batch  TEXT COLLATE "C",          -- on the first entry of a transaction: its name
    PRIMARY KEY (topic, seq)
);

-- The first result of each send. It has the result itself instead of a
-- reference to the entry: a nonce is kept for at least seven days, and may
-- outlive its entry. The nonce comes first in the key: those of a client rise
-- with time, and new ones then share a few pages.
CREATE TABLE nonces (
    topic  BIGINT NOT NULL,
    seq    BIGINT NOT NULL,
    at     BIGINT NOT NULL,
    sender TEXT COLLATE "C" NOT NULL,
    nonce  TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (nonce, sender)
);

-- The secrets of all servers of this database: the one that signs tokens, and the one that signs
-- what servers tell each other. They are in no backup.
CREATE TABLE secrets (
    name  TEXT COLLATE "C" PRIMARY KEY,
    value BYTEA NOT NULL
);

-- The pictures of accounts. Each server has those that it has shown in a folder, too.
CREATE TABLE pictures (
    address  TEXT COLLATE "C" PRIMARY KEY, -- as accounts name it; it is made from the content
    bytes    BYTEA NOT NULL,
    added_at TIMESTAMPTZ NOT NULL -- the last time: its account may not have it yet
);

-- They are compressed already.
ALTER TABLE pictures ALTER COLUMN bytes SET STORAGE EXTERNAL;

-- Whether an account has a picture. By hash, as a path may be longer than a key of a tree.
CREATE INDEX users_by_avatar ON users USING hash (avatar);

-- Attempts that count for a limit on all servers: sign-ins that failed or are being checked, and
-- registrations. A crash of the database forgets them, which saves a flush of its disk for each.
CREATE UNLOGGED TABLE counted_attempts (
    key     BIGINT NOT NULL, -- a hash of a name, an address, or both
    id      BIGINT NOT NULL, -- of the attempt, random
    account BIGINT,          -- a hash of the account that the name has found
    at      TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (key, id)
);

CREATE INDEX counted_attempts_by_time ON counted_attempts (at);

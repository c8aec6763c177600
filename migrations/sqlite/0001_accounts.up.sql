-- Times are milliseconds since 1970 (UTC) everywhere; INTEGER here is BIGINT in
-- Postgres, TEXT is TEXT. STRICT tables hold nothing else.

CREATE TABLE users (
    id            INTEGER PRIMARY KEY,
    username      TEXT    NOT NULL UNIQUE, -- compared byte by byte
    password_hash TEXT    NOT NULL,        -- PHC string
    avatar        TEXT,                    -- path below the server's root
    created_at    INTEGER NOT NULL
) STRICT;

-- No reference to users: a session ends by itself, with or without its user.
CREATE TABLE sessions (
    id         TEXT    PRIMARY KEY NOT NULL,
    username   TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What ended is deleted by its end.
CREATE INDEX sessions_by_end ON sessions (expires_at);

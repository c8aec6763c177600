-- What the store knows about itself: `epoch`, the name of the numbering, and
-- `users`, whose table of accounts this is.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
);

-- The accounts of the original chat are used where they are, as they are. The
-- way back must know whether they were there before.
INSERT INTO meta (key, value)
SELECT 'users',
       CASE WHEN to_regclass(format('%I.users', current_schema())) IS NULL THEN 'made' ELSE 'taken over' END;

-- A new database gets the same table, column by column, so that there is one
-- schema. Names are compared byte by byte; `created_at` may be NULL.
CREATE TABLE IF NOT EXISTS users (
    id            SERIAL PRIMARY KEY,
    username      VARCHAR(24) NOT NULL UNIQUE,
    password_hash TEXT NOT NULL,                -- PHC string, or the original's bcrypt
    avatar        VARCHAR(100),                 -- path below the server's root
    created_at    TIMESTAMPTZ DEFAULT NOW()
);

-- Somebody else's table may have the same name. EXPLAIN finds out whether ours
-- could be used, and writes nothing.
DO $$
BEGIN
    EXECUTE 'EXPLAIN INSERT INTO users (username, password_hash, avatar, created_at)
             VALUES ('''', '''', NULL, NULL) ON CONFLICT (username) DO NOTHING';
EXCEPTION
    WHEN undefined_column OR invalid_column_reference OR datatype_mismatch THEN
        RAISE EXCEPTION 'the table "users" belongs to another program: %', SQLERRM;
END
$$;

-- No reference to users: a session ends by itself, with or without its user.
-- Times are milliseconds since 1970 (UTC), here and in the log.
CREATE TABLE sessions (
    id         TEXT COLLATE "C" PRIMARY KEY,
    username   TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

-- What ended is deleted by its end.
CREATE INDEX sessions_by_end ON sessions (expires_at);

-- What administrators have changed of the profile of the server.
CREATE TABLE server_profile (
    key   TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Invitations that can be used: one that is used up or withdrawn has no row.
CREATE TABLE invites (
    id          TEXT    PRIMARY KEY NOT NULL,
    secret_hash TEXT    NOT NULL UNIQUE, -- SHA-256 in hexadecimal digits
    by_user     TEXT    NOT NULL,
    room        TEXT,                    -- NULL: for an account only
    uses_max    INTEGER,                 -- NULL: without a limit
    used        INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER                  -- NULL: never
) STRICT, WITHOUT ROWID;

CREATE INDEX invites_of_user ON invites (by_user, created_at, id);
CREATE INDEX invites_of_room ON invites (room, created_at, id);
CREATE INDEX invites_in_order ON invites (created_at, id);
CREATE INDEX invites_by_end ON invites (expires_at);

CREATE TABLE bans (
    username      TEXT    PRIMARY KEY NOT NULL,
    by_user       TEXT,             -- NULL: the operator of the server
    at            INTEGER NOT NULL,
    reason        TEXT    NOT NULL,
    deletes_topic INTEGER,          -- NULL, or how far the user's messages are deleted
    deletes_seq   INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX bans_deleting ON bans (username) WHERE deletes_topic IS NOT NULL;

-- Links with which users set their passwords.
CREATE TABLE password_links (
    secret_hash TEXT    PRIMARY KEY NOT NULL, -- SHA-256 in hexadecimal digits
    username    TEXT    NOT NULL UNIQUE,
    by_user     TEXT,                         -- NULL: the operator of the server
    expires_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX password_links_by_end ON password_links (expires_at);

CREATE TABLE reports (
    id         INTEGER PRIMARY KEY,
    kind       INTEGER NOT NULL, -- the topic of the message
    name       TEXT    NOT NULL,
    other      TEXT    NOT NULL,
    seq        INTEGER NOT NULL,
    reporter   TEXT    NOT NULL,
    reason     TEXT    NOT NULL,
    at         INTEGER NOT NULL,
    state      INTEGER NOT NULL CHECK (state IN (1, 2)), -- 1 open, 2 done
    changed_by TEXT
) STRICT;

CREATE INDEX reports_of_topic ON reports (kind, name, id);
CREATE INDEX reports_open_of ON reports (reporter, kind, name, other, seq) WHERE state = 1;

-- Who did what, when, to whom.
CREATE TABLE audit (
    id      INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    by_user TEXT,             -- NULL: the operator of the server
    action  TEXT    NOT NULL,
    target  TEXT    NOT NULL, -- '' for the server itself
    details TEXT              -- NULL, or a JSON object
) STRICT;

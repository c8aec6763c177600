-- What administrators have changed of the profile of the server.
CREATE TABLE server_profile (
    key   TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    value TEXT COLLATE "C" NOT NULL
);

-- Invitations that can be used: one that is used up or withdrawn has no row.
CREATE TABLE invites (
    id          TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    secret_hash TEXT COLLATE "C" NOT NULL UNIQUE, -- SHA-256 in hexadecimal digits
    by_user     TEXT COLLATE "C" NOT NULL,
    room        TEXT COLLATE "C",                    -- NULL: for an account only
    uses_max    BIGINT,                 -- NULL: without a limit
    used        BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT                   -- NULL: never
);

CREATE INDEX invites_of_user ON invites (by_user, created_at, id);
CREATE INDEX invites_of_room ON invites (room, created_at, id);
CREATE INDEX invites_in_order ON invites (created_at, id);
CREATE INDEX invites_by_end ON invites (expires_at);

CREATE TABLE bans (
    username      TEXT COLLATE "C" PRIMARY KEY NOT NULL,
    by_user       TEXT COLLATE "C",             -- NULL: the operator of the server
    at            BIGINT NOT NULL,
    reason        TEXT COLLATE "C" NOT NULL,
    deletes_topic BIGINT,          -- NULL, or how far the user's messages are deleted
    deletes_seq   BIGINT
);

CREATE INDEX bans_deleting ON bans (username) WHERE deletes_topic IS NOT NULL;

-- Links with which users set their passwords.
CREATE TABLE password_links (
    secret_hash TEXT COLLATE "C" PRIMARY KEY NOT NULL, -- SHA-256 in hexadecimal digits
    username    TEXT COLLATE "C" NOT NULL UNIQUE,
    by_user     TEXT COLLATE "C",                         -- NULL: the operator of the server
    expires_at  BIGINT NOT NULL
);

CREATE INDEX password_links_by_end ON password_links (expires_at);

CREATE TABLE reports (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind       BIGINT NOT NULL, -- the topic of the message
    name       TEXT COLLATE "C" NOT NULL,
    other      TEXT COLLATE "C" NOT NULL,
    seq        BIGINT NOT NULL,
    reporter   TEXT COLLATE "C" NOT NULL,
    reason     TEXT COLLATE "C" NOT NULL,
    at         BIGINT NOT NULL,
    state      BIGINT NOT NULL CHECK (state IN (1, 2)), -- 1 open, 2 done
    changed_by TEXT COLLATE "C"
);

CREATE INDEX reports_of_topic ON reports (kind, name, id);
CREATE INDEX reports_open_of ON reports (reporter, kind, name, other, seq) WHERE state = 1;

-- Who did what, when, to whom.
CREATE TABLE audit (
    id      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      BIGINT NOT NULL,
    by_user TEXT COLLATE "C",             -- NULL: the operator of the server
    action  TEXT COLLATE "C" NOT NULL,
    target  TEXT COLLATE "C" NOT NULL, -- '' for the server itself
    details TEXT COLLATE "C"              -- NULL, or a JSON object
);

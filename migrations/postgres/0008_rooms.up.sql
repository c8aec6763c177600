-- What is known of a room beside its entries. Every room with a member or a message has
-- a row, and so has its title, if only the name.
CREATE TABLE rooms (
    name        TEXT COLLATE "C" PRIMARY KEY,
    title       TEXT   NOT NULL,
    description TEXT   NOT NULL,
    access      BIGINT NOT NULL CHECK (access IN (1, 2)), -- 1 open to everybody, 2 closed
    archived    BIGINT NOT NULL CHECK (archived IN (0, 1)),
    members     BIGINT NOT NULL, -- how many rows of `members` there are
    joins       BIGINT NOT NULL, -- how many there were so far: the order of members
    created_at  BIGINT NOT NULL, -- 0 if unknown
    created_by  TEXT COLLATE "C" -- NULL: somebody opened the room by its name
);

CREATE TABLE members (
    room      TEXT COLLATE "C" NOT NULL,
    username  TEXT COLLATE "C" NOT NULL,
    role      BIGINT NOT NULL CHECK (role IN (1, 2)), -- 1 member, 2 moderator
    joined_at BIGINT NOT NULL,
    position  BIGINT NOT NULL, -- in the order of joining
    PRIMARY KEY (room, username)
);

-- The rooms of a user.
CREATE INDEX members_by_user ON members (username, room);
CREATE INDEX moderators ON members (room, username) WHERE role = 2;

-- How far a user has read, and what the user is notified of. A member of a room has a
-- row; in a private conversation, no row means that nothing was read. Room in its pages
-- lets a row change without a trace in the index.
CREATE TABLE marks (
    username TEXT COLLATE "C" NOT NULL,
    kind     BIGINT NOT NULL CHECK (kind IN (1, 2)), -- 1 a room, 2 a private conversation
    name     TEXT COLLATE "C" NOT NULL, -- the room, or the other user
    read_seq BIGINT NOT NULL,
    level    BIGINT CHECK (level IN (1, 2, 3)), -- 1 all, 2 mentions, 3 none; NULL: not chosen
    PRIMARY KEY (username, kind, name)
) WITH (fillfactor = 80);

-- Who was mentioned where, to be counted. A message that mentions all has one row.
CREATE TABLE mentions (
    topic    BIGINT NOT NULL,
    username TEXT COLLATE "C" NOT NULL, -- '' all
    seq      BIGINT NOT NULL,
    author   TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (topic, username, seq)
);

-- NULL, or a JSON array of the mentioned names; '' is all.
ALTER TABLE entries ADD COLUMN mentions TEXT;
-- 1: the room is closed or archived, and each sender must be looked up.
ALTER TABLE topics ADD COLUMN special BIGINT NOT NULL DEFAULT 0;

-- The newest private conversations of a user, from either side.
DROP INDEX topics_by_other;
CREATE INDEX conversations_by_name ON topics (name, last_at DESC, other) WHERE kind = 2;
CREATE INDEX conversations_by_other ON topics (other, last_at DESC, name) WHERE kind = 2;

INSERT INTO rooms (name, title, description, access, archived, members, joins, created_at)
SELECT name, name, '', 1, 0, 0, 0, 0 FROM topics WHERE kind = 1;

-- Nobody knows what was read: everything.
INSERT INTO marks (username, kind, name, read_seq)
SELECT name, 2, other, last_seq FROM topics WHERE kind = 2
 UNION ALL
SELECT other, 2, name, last_seq FROM topics WHERE kind = 2 AND other <> name;

-- The server makes users members of the rooms that they have written to, some at a time.
-- While it does, there is a row with how far it has got: the row of a topic and a number
-- there. Users who leave a room meanwhile stay out of it.
CREATE TABLE members_fill (
    topic BIGINT PRIMARY KEY,
    seq   BIGINT NOT NULL
);

CREATE TABLE left_rooms (
    room     TEXT COLLATE "C" NOT NULL,
    username TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (room, username)
);

INSERT INTO members_fill (topic, seq) SELECT 0, 0 WHERE EXISTS (SELECT 1 FROM topics WHERE kind = 1);

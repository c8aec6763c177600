-- The files of a message: JSON as in frames, [{id, name, type, size, width?, height?}]. It goes
-- with the text of a deleted message.
ALTER TABLE entries ADD COLUMN files TEXT;

-- Every file whose bytes are stored, or may be: its row is committed before the first byte is
-- written, and removed after the last one.
CREATE TABLE files (
    id     TEXT    NOT NULL PRIMARY KEY,
    owner  TEXT    NOT NULL,
    name   TEXT    NOT NULL,
    type   TEXT    NOT NULL,
    size   INTEGER NOT NULL, -- bytes that are reserved, then stored
    width  INTEGER,
    height INTEGER,
    state  INTEGER NOT NULL CHECK (state IN (1, 2, 3)), -- 1 is being uploaded, 2 stored, 3 to be removed
    at     INTEGER NOT NULL, -- when it was reserved or stored
    topic  INTEGER,          -- the message that has it
    seq    INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX files_of_owner ON files (owner, size) WHERE state < 3;
CREATE INDEX files_without_message ON files (at) WHERE topic IS NULL AND state < 3;
CREATE INDEX files_to_remove ON files (at) WHERE state = 3;

-- One row: how many rows `files` has, how many bytes, and how many of them count for the quotas:
-- 4096 at least for each file.
CREATE TABLE file_totals (
    files   INTEGER NOT NULL,
    bytes   INTEGER NOT NULL,
    counted INTEGER NOT NULL
) STRICT;
INSERT INTO file_totals (files, bytes, counted) VALUES (0, 0, 0);

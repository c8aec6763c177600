-- The files of a message: JSON as in frames, [{id, name, type, size, width?, height?}]. It goes
-- with the text of a deleted message.
ALTER TABLE entries ADD COLUMN files TEXT;

-- Every file whose bytes are stored, or may be: its row is committed before the first byte is
-- written, and removed after the last one.
CREATE TABLE files (
    id     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    owner  TEXT COLLATE "C" NOT NULL,
    name   TEXT COLLATE "C" NOT NULL,
    type   TEXT COLLATE "C" NOT NULL,
    size   BIGINT NOT NULL, -- bytes that are reserved, then stored
    width  BIGINT,
    height BIGINT,
    state  BIGINT NOT NULL CHECK (state IN (1, 2, 3)), -- 1 is being uploaded, 2 stored, 3 to be removed
    at     BIGINT NOT NULL, -- when it was reserved or stored
    topic  BIGINT,          -- the message that has it
    seq    BIGINT
);

CREATE INDEX files_of_owner ON files (owner, size) WHERE state < 3;
CREATE INDEX files_without_message ON files (at) WHERE topic IS NULL AND state < 3;
CREATE INDEX files_to_remove ON files (at) WHERE state = 3;

-- One row: how many rows `files` has, how many bytes, and how many of them count for the quotas:
-- 4096 at least for each file.
CREATE TABLE file_totals (
    files   BIGINT NOT NULL,
    bytes   BIGINT NOT NULL,
    counted BIGINT NOT NULL
);
INSERT INTO file_totals (files, bytes, counted) VALUES (0, 0, 0);

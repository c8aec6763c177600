-- Several servers on one database. Each start of a server has a row, until ten minutes after
-- its last sign of life. Rows appear in the order of their numbers: registrations come one
-- after another. All times are of the database's clock, in milliseconds since 1970.
CREATE TABLE servers (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lanes      BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL,           -- its last sign of life
    has_left   BIGINT NOT NULL DEFAULT 0 CHECK (has_left IN (0, 1)), -- 1: it has stopped in order
    bus_format BIGINT NOT NULL,           -- the newest format of messages that it reads
    looked     BIGINT NOT NULL DEFAULT 0, -- the timeline on which it has looked for its commits
    control_n  BIGINT NOT NULL DEFAULT 0  -- how many rows `tell_servers` has written for it
);

-- The feed: a row for each commit, written in its transaction. A writer is a lane of a start
-- (id * 65536 + lane; lane 65535 writes what is no batch). It commits one transaction at a
-- time, so that its numbers have no gap and are in the order of commits.
CREATE TABLE commits (
    writer   BIGINT NOT NULL,
    n        BIGINT NOT NULL,
    at       BIGINT NOT NULL,
    parts    JSON   NOT NULL, -- of each topic: [kind, name, other, first, last, writer and n of the commit before]
    controls JSON,            -- what servers must know beside entries
    PRIMARY KEY (writer, n)
);

-- The newest commit that wrote to a topic, and the one before.
ALTER TABLE topics
    ADD COLUMN writer      BIGINT,
    ADD COLUMN n           BIGINT,
    ADD COLUMN prev_writer BIGINT,
    ADD COLUMN prev_n      BIGINT;

-- The row of the feed replaces the name of a transaction.
ALTER TABLE entries DROP COLUMN batch;
ALTER TABLE changes DROP COLUMN batch;

-- Tells the other servers of something, when the transaction is committed. The row of the
-- server is locked until then, so that these numbers have no gap either.
CREATE FUNCTION tell_servers(what JSON) RETURNS VOID LANGUAGE sql VOLATILE AS $$
    WITH this AS (
        UPDATE servers SET control_n = control_n + 1
         WHERE id = nullif(current_setting('chat.server', true), '')::bigint
     RETURNING id, control_n)
    INSERT INTO commits (writer, n, at, parts, controls)
    SELECT id * 65536 + 65535, control_n, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint,
           '[]', json_build_array(what)
      FROM this
$$;

-- The oldest version of this schema whose servers may use the database, also while it has newer
-- steps: so servers are replaced one after another. A step that they could not live with
-- sets its own number.
INSERT INTO meta (key, value) VALUES ('min_compatible', '19');

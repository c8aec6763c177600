-- What a person is shown of their sign-ins, so that they know which to end.
ALTER TABLE sessions ADD COLUMN device       TEXT    NOT NULL DEFAULT ''; -- what it said it is, '' if nothing
ALTER TABLE sessions ADD COLUMN address      TEXT    NOT NULL DEFAULT ''; -- IP address at the sign-in, '' if not known
ALTER TABLE sessions ADD COLUMN last_seen_at INTEGER NOT NULL DEFAULT 0;
UPDATE sessions SET last_seen_at = created_at;

-- A person's sign-ins, in order.
CREATE INDEX sessions_by_user ON sessions (username, created_at, id);

-- Push services that fail. A subscription that is made again does not begin anew.
CREATE TABLE push_failures (
    endpoint TEXT    PRIMARY KEY NOT NULL,
    username TEXT    NOT NULL, -- of the last subscription that has failed
    failures INTEGER NOT NULL, -- in a row
    retry_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX push_failures_of_user ON push_failures (username);

INSERT INTO push_failures (endpoint, username, failures, retry_at)
SELECT endpoint, username, failures, retry_at FROM push_subscriptions WHERE failures > 0;

ALTER TABLE push_subscriptions DROP COLUMN failures;
ALTER TABLE push_subscriptions DROP COLUMN retry_at;
-- When the next message may be sent to it. NULL: nothing is queued for it.
ALTER TABLE push_subscriptions ADD COLUMN ready_at INTEGER;
-- A server is sending to it until then.
ALTER TABLE push_subscriptions ADD COLUMN claimed_until INTEGER NOT NULL DEFAULT 0;

UPDATE push_subscriptions
   SET ready_at = (SELECT min(q.due_at) FROM push_queue AS q WHERE q.subscription = push_subscriptions.id);

CREATE INDEX push_subscriptions_by_time ON push_subscriptions (ready_at, id);

DROP INDEX push_subscriptions_by_time;
ALTER TABLE push_subscriptions DROP COLUMN claimed_until;
ALTER TABLE push_subscriptions DROP COLUMN ready_at;
ALTER TABLE push_subscriptions ADD COLUMN failures BIGINT NOT NULL DEFAULT 0;
ALTER TABLE push_subscriptions ADD COLUMN retry_at BIGINT NOT NULL DEFAULT 0;

UPDATE push_subscriptions
   SET failures = f.failures, retry_at = f.retry_at
  FROM push_failures AS f WHERE f.endpoint = push_subscriptions.endpoint;

DROP TABLE push_failures;

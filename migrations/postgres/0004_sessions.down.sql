DROP INDEX sessions_by_user;
ALTER TABLE sessions
    DROP COLUMN last_seen_at,
    DROP COLUMN address,
    DROP COLUMN device;

DROP TABLE sessions;

-- Accounts that were here before us are not ours to drop.
DO $$
BEGIN
    IF (SELECT value FROM meta WHERE key = 'users') = 'made' THEN
        DROP TABLE users;
    END IF;
END
$$;

DROP TABLE meta;

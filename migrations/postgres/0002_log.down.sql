DROP TABLE nonces;
DROP TABLE entries;
DROP TABLE topics;
DELETE FROM meta WHERE key = 'epoch';

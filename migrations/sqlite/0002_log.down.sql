DROP TABLE nonces;
DROP TABLE entries;
DROP TABLE topics;
DROP TABLE meta;

-- Nonces that outlived their entries, by the time at which those were stored:
-- they are forgotten when their seven days are over.
CREATE TABLE outlived_nonces (
    at     INTEGER NOT NULL,
    nonce  TEXT    NOT NULL,
    sender TEXT    NOT NULL,
    PRIMARY KEY (at, nonce, sender)
) STRICT, WITHOUT ROWID;

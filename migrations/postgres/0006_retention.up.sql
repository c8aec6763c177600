-- Nonces that outlived their entries, by the time at which those were stored:
-- they are forgotten when their seven days are over.
CREATE TABLE outlived_nonces (
    at     BIGINT NOT NULL,
    nonce  TEXT COLLATE "C" NOT NULL,
    sender TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (at, nonce, sender)
);

-- The users whom an OpenID provider signs in: which account each of its subjects has. Names may be
-- the same there, so that an account is found by issuer and subject, and never by a name.
CREATE TABLE subjects (
    issuer   TEXT NOT NULL,
    subject  TEXT NOT NULL,
    username TEXT NOT NULL UNIQUE,
    PRIMARY KEY (issuer, subject)
) STRICT, WITHOUT ROWID;

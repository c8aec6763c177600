-- Every name that an account has or had, and what it looks like: a new one may
-- look like none of them. It outlives its account, so that nobody inherits the
-- conversations of somebody who was removed. The server fills in those of
-- accounts that have none.
CREATE TABLE names (
    username TEXT    PRIMARY KEY NOT NULL,
    cased    TEXT    NOT NULL, -- its look, as it is written
    folded   TEXT    NOT NULL, -- its look, in one case
    rules    INTEGER NOT NULL  -- the rules by which both were made
) STRICT, WITHOUT ROWID;

CREATE INDEX names_by_cased ON names (cased);
CREATE INDEX names_by_folded ON names (folded);

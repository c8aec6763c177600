-- The accounts that are administrators, and since when.
CREATE TABLE administrators (
    username TEXT COLLATE "C" PRIMARY KEY,
    since    BIGINT NOT NULL
);

-- The words under which the accounts are listed and found: each name in folded case,
-- whole and from the beginning of each of its words on. The server fills in those of
-- accounts that have none.
CREATE TABLE name_words (
    word     TEXT COLLATE "C" NOT NULL,
    username TEXT COLLATE "C" NOT NULL,
    rules    BIGINT           NOT NULL, -- the version of the rules that made the word
    whole    BIGINT           NOT NULL, -- 1 the whole name, 0 a part of it
    PRIMARY KEY (word, username)
);

CREATE INDEX name_words_by_name ON name_words (username, rules);
-- The listing of all accounts.
CREATE INDEX name_words_whole ON name_words (word, username) WHERE whole = 1;

-- Rooms that users have named and that were closed later: a search leaves them out. There are
-- few.
CREATE INDEX closed_named_rooms ON rooms (name) WHERE access = 2 AND substr(name, 1, 1) <> '~';

-- The index of the search: it can be deleted, and is then made anew.
--
-- Its ids are the order of messages: the millisecond in which a message was stored, and 20 bits
-- that tell those of one millisecond apart.
CREATE TABLE search_documents (
    id    BIGINT PRIMARY KEY,
    topic BIGINT   NOT NULL,
    seq   BIGINT   NOT NULL,
    words TSVECTOR NOT NULL, -- also marks of its topic, its author, and spans of time
    UNIQUE (topic, seq)
);

-- New words wait in a list that each search reads: it is kept short.
CREATE INDEX search_words ON search_documents USING gin (words) WITH (gin_pending_list_limit = 256);

-- How far the index has got in each topic.
CREATE TABLE search_topics (
    topic BIGINT PRIMARY KEY,
    upto  BIGINT NOT NULL, -- it has seen the entries up to this number
    todo  BIGINT NOT NULL  -- the messages up to this number are still to be added
) WITH (fillfactor = 70);

-- Who somebody talks with privately is found from either side: the lower name
-- leads the key of topics, and this is for the higher one.
CREATE INDEX topics_by_other ON topics (other) WHERE kind = 2;

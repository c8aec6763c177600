-- A file has one server, which needs no feed: the steps of both databases have the same numbers.
SELECT 1;

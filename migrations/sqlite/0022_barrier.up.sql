-- A file has one server, which waits for no other: the steps of both databases have the same numbers.
SELECT 1;

-- A file has one server, which shares nothing. The step keeps the numbers of both databases equal.
SELECT 1;

-- A file has one server, which tells nobody: the steps of both databases have the same numbers.
SELECT 1;

-- Rooms that users have named and that were closed later: a search leaves them out. There are
-- few. The index of the search is in a file of its own.
CREATE INDEX closed_named_rooms ON rooms (name) WHERE access = 2 AND substr(name, 1, 1) <> '~';

DROP INDEX closed_named_rooms;

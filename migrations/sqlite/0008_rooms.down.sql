DROP TABLE left_rooms;
DROP TABLE members_fill;
DROP INDEX conversations_by_other;
DROP INDEX conversations_by_name;
CREATE INDEX topics_by_other ON topics (other) WHERE kind = 2;
-- Rooms without a message.
DELETE FROM topics WHERE last_seq = 0;
ALTER TABLE topics DROP COLUMN special;
ALTER TABLE entries DROP COLUMN mentions;
DROP TABLE mentions;
DROP TABLE marks;
DROP TABLE members;
DROP TABLE rooms;

DROP TABLE counted_attempts;
DROP INDEX users_by_avatar;
DROP TABLE pictures;
DROP TABLE secrets;

DROP INDEX reports_done;
DROP INDEX reports_done_of;
DROP INDEX reports_open_of;
CREATE INDEX reports_open_of ON reports (reporter, kind, name, other, seq) WHERE state = 1;
DROP INDEX audit_of_user;
DROP INDEX audit_of_part;
ALTER TABLE audit DROP COLUMN part;
DROP TABLE removed_members;

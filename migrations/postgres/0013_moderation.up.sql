-- Members of rooms whom somebody else has removed: an invitation does not bring them back.
CREATE TABLE removed_members (
    room     TEXT COLLATE "C" NOT NULL,
    username TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (room, username)
);

CREATE INDEX removed_members_of_user ON removed_members (username);

-- The audit log has two parts, of which neither pushes out the other: 1 what administrators
-- and the operator have done, 2 what other users have done.
ALTER TABLE audit ADD COLUMN part BIGINT NOT NULL DEFAULT 1;

UPDATE audit SET part = 2
 WHERE action IN ('invite.create', 'invite.delete', 'room.change', 'member.role', 'member.remove',
                  'report.change')
   AND by_user IS NOT NULL AND by_user NOT IN (SELECT username FROM administrators);

CREATE INDEX audit_of_part ON audit (part, id);
CREATE INDEX audit_of_user ON audit (part, by_user, id);

-- A user has one open report of a message: the oldest.
UPDATE reports SET state = 2
 WHERE state = 1 AND EXISTS (
           SELECT 1 FROM reports AS o
            WHERE o.reporter = reports.reporter AND o.kind = reports.kind AND o.name = reports.name
              AND o.other = reports.other AND o.seq = reports.seq AND o.state = 1
              AND o.id < reports.id);

DROP INDEX reports_open_of;
CREATE UNIQUE INDEX reports_open_of ON reports (reporter, kind, name, other, seq) WHERE state = 1;
CREATE INDEX reports_done_of ON reports (reporter, id) WHERE state = 2;
CREATE INDEX reports_done ON reports (id) WHERE state = 2;

//! The statements that differ between the databases: those with many rows as one
//! parameter in JSON. SQLite reads them with `jsonb_each`, which parses them once.

/// One text for each database.
pub(crate) struct Sql {
    /// The rooms with these names: position, title, description, access, archived, members.
    pub(crate) room_facts: &'static str,
    /// The roles of these `room, username`: position, role.
    pub(crate) roles: &'static str,
    /// Keeps marks: `username, kind, name, topic's name, topic's other, read, level`.
    pub(crate) keep: &'static str,
    /// Adds open rooms that are not there: `name, title`, and the time.
    pub(crate) add_rooms: &'static str,
    /// Gives titles to open rooms that users have opened by their names: `name, title`.
    pub(crate) title_rooms: &'static str,
    /// Adds members of rooms, `room, username, role, joined_at, number`, and returns
    /// `room, username` of those who were none. The number is counted in the room from 1.
    pub(crate) add_members: &'static str,
    /// Counts members in: `room, new, tried`.
    pub(crate) count_members: &'static str,
    /// Adds marks in rooms: `username, room, read`.
    pub(crate) add_marks: &'static str,
    /// Adds mentions: `topic, username, seq, author`.
    pub(crate) add_mentions: &'static str,
    /// Of these names, the positions of those with an account who are no members of the
    /// room `$2` and have not left it, in no order.
    pub(crate) missing_members: &'static str,
    /// Locks a row of `members_fill`, if there is one: `topic, seq`.
    pub(crate) fill_position: &'static str,
}

#[cfg(feature = "sqlite")]
pub(crate) const SQLITE: Sql = Sql {
    room_facts: "SELECT d.key, r.title, r.description, r.access, r.archived, r.members
       FROM jsonb_each($1) AS d CROSS JOIN rooms AS r ON r.name = d.value",
    roles: "SELECT d.key, m.role FROM jsonb_each($1) AS d
      CROSS JOIN members AS m ON m.room = d.value ->> 0 AND m.username = d.value ->> 1",
    keep: "INSERT INTO marks (username, kind, name, read_seq, level)
     SELECT d.value ->> 0, d.value ->> 1, d.value ->> 2,
            min(d.value ->> 5, coalesce((SELECT t.last_seq FROM topics AS t WHERE t.kind = d.value ->> 1
                AND t.name = d.value ->> 3 AND t.other = d.value ->> 4), 0)),
            d.value ->> 6
       FROM jsonb_each($1) AS d
      WHERE d.value ->> 1 = 2 OR EXISTS (
            SELECT 1 FROM members AS m WHERE m.room = d.value ->> 2 AND m.username = d.value ->> 0)
         ON CONFLICT (username, kind, name) DO UPDATE
        SET read_seq = max(read_seq, excluded.read_seq), level = coalesce(excluded.level, level)",
    // "WHERE true" makes the parser take ON as a part of the INSERT.
    add_rooms: "INSERT INTO rooms (name, title, description, access, archived, members, joins, created_at)
     SELECT value ->> 0, value ->> 1, '', 1, 0, 0, 0, $2 FROM jsonb_each($1) WHERE true
         ON CONFLICT (name) DO NOTHING",
    title_rooms: "UPDATE rooms AS r SET title = d.title
       FROM (SELECT value ->> 0 AS name, value ->> 1 AS title FROM jsonb_each($1)) AS d
      WHERE r.name = d.name AND r.title = r.name AND r.created_by IS NULL AND r.access = 1",
    add_members: "INSERT INTO members (room, username, role, joined_at, position)
     SELECT d.value ->> 0, d.value ->> 1, d.value ->> 2, d.value ->> 3, r.joins + (d.value ->> 4)
       FROM jsonb_each($1) AS d CROSS JOIN rooms AS r ON r.name = d.value ->> 0 WHERE true
         ON CONFLICT (room, username) DO NOTHING
     RETURNING room, username",
    count_members: "UPDATE rooms AS r SET members = r.members + d.added, joins = r.joins + d.tried
       FROM (SELECT value ->> 0 AS room, value ->> 1 AS added, value ->> 2 AS tried FROM jsonb_each($1)) AS d
      WHERE r.name = d.room",
    add_marks: "INSERT INTO marks (username, kind, name, read_seq)
     SELECT value ->> 0, 1, value ->> 1, value ->> 2 FROM jsonb_each($1) WHERE true
         ON CONFLICT (username, kind, name) DO UPDATE SET read_seq = excluded.read_seq, level = NULL",
    add_mentions: "INSERT INTO mentions (topic, username, seq, author)
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM jsonb_each($1)",
    missing_members: "SELECT d.key FROM jsonb_each($1) AS d
      CROSS JOIN users AS u ON u.username = d.value
      WHERE NOT EXISTS (SELECT 1 FROM members AS m WHERE m.room = $2 AND m.username = d.value)
        AND NOT EXISTS (SELECT 1 FROM left_rooms AS l WHERE l.room = $2 AND l.username = d.value)",
    fill_position: "SELECT topic, seq FROM members_fill LIMIT 1",
};

// The order of rows is that in which they are locked.
#[cfg(feature = "postgres")]
pub(crate) const POSTGRES: Sql = Sql {
    room_facts: "SELECT d.position - 1, r.title, r.description, r.access, r.archived, r.members
       FROM jsonb_array_elements_text($1::text::jsonb) WITH ORDINALITY AS d (name, position)
       JOIN rooms AS r ON r.name = d.name",
    roles: "SELECT d.position - 1, m.role
       FROM jsonb_array_elements($1::text::jsonb) WITH ORDINALITY AS d (v, position)
       JOIN members AS m ON m.room = d.v ->> 0 AND m.username = d.v ->> 1",
    // With EXISTS, the planner might read all members into a hash table.
    keep: "INSERT INTO marks AS k (username, kind, name, read_seq, level)
     SELECT d.v ->> 0, (d.v ->> 1)::bigint, d.v ->> 2,
            least((d.v ->> 5)::bigint, coalesce((SELECT t.last_seq FROM topics AS t
                WHERE t.kind = (d.v ->> 1)::bigint AND t.name = d.v ->> 3 AND t.other = d.v ->> 4), 0)),
            (d.v ->> 6)::bigint
       FROM jsonb_array_elements($1::text::jsonb) WITH ORDINALITY AS d (v, position)
       LEFT JOIN members AS m ON m.room = d.v ->> 2 AND m.username = d.v ->> 0
      WHERE (d.v ->> 1)::bigint = 2 OR m.room IS NOT NULL
      ORDER BY d.position
         ON CONFLICT (username, kind, name) DO UPDATE
        SET read_seq = greatest(k.read_seq, excluded.read_seq), level = coalesce(excluded.level, k.level)",
    add_rooms: "INSERT INTO rooms (name, title, description, access, archived, members, joins, created_at)
     SELECT d.v ->> 0, d.v ->> 1, '', 1, 0, 0, 0, $2
       FROM jsonb_array_elements($1::text::jsonb) WITH ORDINALITY AS d (v, position)
      ORDER BY d.position
         ON CONFLICT (name) DO NOTHING",
    title_rooms: "UPDATE rooms AS r SET title = d.v ->> 1
       FROM jsonb_array_elements($1::text::jsonb) AS d (v)
      WHERE r.name = d.v ->> 0 AND r.title = r.name AND r.created_by IS NULL AND r.access = 1",
    add_members: "INSERT INTO members (room, username, role, joined_at, position)
     SELECT d.v ->> 0, d.v ->> 1, (d.v ->> 2)::bigint, (d.v ->> 3)::bigint, r.joins + (d.v ->> 4)::bigint
       FROM jsonb_array_elements($1::text::jsonb) WITH ORDINALITY AS d (v, position)
       JOIN rooms AS r ON r.name = d.v ->> 0
      ORDER BY d.position
         ON CONFLICT (room, username) DO NOTHING
     RETURNING room, username",
    count_members: "UPDATE rooms AS r SET members = r.members + d.added, joins = r.joins + d.tried
       FROM (SELECT v ->> 0 AS room, (v ->> 1)::bigint AS added, (v ->> 2)::bigint AS tried
               FROM jsonb_array_elements($1::text::jsonb) AS v) AS d
      WHERE r.name = d.room",
    add_marks: "INSERT INTO marks (username, kind, name, read_seq)
     SELECT d.v ->> 0, 1, d.v ->> 1, (d.v ->> 2)::bigint
       FROM jsonb_array_elements($1::text::jsonb) WITH ORDINALITY AS d (v, position)
      ORDER BY d.position
         ON CONFLICT (username, kind, name) DO UPDATE SET read_seq = excluded.read_seq, level = NULL",
    add_mentions: "INSERT INTO mentions (topic, username, seq, author)
     SELECT (v ->> 0)::bigint, v ->> 1, (v ->> 2)::bigint, v ->> 3
       FROM jsonb_array_elements($1::text::jsonb) AS v",
    // The original's names have the collation of the database. With EXISTS, the planner
    // might read all members of the room.
    missing_members: "SELECT d.position - 1
       FROM jsonb_array_elements_text($1::text::jsonb) WITH ORDINALITY AS d (name, position)
       JOIN users AS u ON u.username = d.name COLLATE \"default\"
      WHERE (SELECT m.role FROM members AS m WHERE m.room = $2 AND m.username = d.name) IS NULL
        AND (SELECT l.room FROM left_rooms AS l WHERE l.room = $2 AND l.username = d.name) IS NULL",
    fill_position: "SELECT topic, seq FROM members_fill LIMIT 1 FOR UPDATE",
};

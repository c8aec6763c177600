//! The statements about changes that differ between the databases: those with many rows as
//! one parameter in JSON.

/// One text for each database. Keys are `topic, number`.
pub(crate) struct ChangeSql {
    /// Of these names, the positions of administrators.
    pub(crate) administrators: &'static str,
    /// The messages with these keys: position, author, time, the state, and the files.
    pub(crate) targets: &'static str,
    /// The reactions of these `topic, target, emoji, user`: position, number, time.
    pub(crate) reacted: &'static str,
    /// The first `$2` reactions to each of these `topic, target, emoji`: position, number,
    /// user, in no order.
    pub(crate) reactors: &'static str,
    /// Adds changes: `topic, number, kind, target, author, time, nonce, emoji`.
    pub(crate) add_changes: &'static str,
    /// Removes the mentions of the messages with these keys, as the messages have them.
    pub(crate) remove_mentions: &'static str,
    /// Replaces texts: `topic, number, text, mentions, deleted`.
    pub(crate) replace_texts: &'static str,
    /// Keeps states: `topic, number, updated, edit_seq, edited_at, delete_seq, deleted_at,
    /// reactions`.
    pub(crate) keep_states: &'static str,
    /// Removes all reactions to the messages with these keys.
    pub(crate) remove_all_reactions: &'static str,
    /// Removes the reactions of these `topic, target, emoji, user`.
    pub(crate) remove_reactions: &'static str,
    /// Adds reactions: `topic, target, emoji, user, number, time`.
    pub(crate) add_reactions: &'static str,
    /// Adds nonces that are removed with an entry: `topic, number, nonce, sender, time`.
    pub(crate) add_remembered: &'static str,
}

// CROSS JOIN makes SQLite keep this order of the tables, and look each row up by its key.
#[cfg(feature = "sqlite")]
pub(crate) const SQLITE: ChangeSql = ChangeSql {
    administrators: "SELECT d.key FROM jsonb_each($1) AS d
      CROSS JOIN administrators AS a ON a.username = d.value",
    targets: "SELECT d.key, e.sender, e.at,
            s.updated, s.edit_seq, s.edited_at, s.delete_seq, s.deleted_at, s.reactions, e.files
       FROM jsonb_each($1) AS d
      CROSS JOIN entries AS e ON e.topic = d.value ->> 0 AND e.seq = d.value ->> 1
       LEFT JOIN states AS s ON s.topic = e.topic AND s.seq = e.seq",
    reacted: "SELECT d.key, r.seq, r.at FROM jsonb_each($1) AS d
      CROSS JOIN reactions AS r ON r.topic = d.value ->> 0 AND r.target = d.value ->> 1
                               AND r.emoji = d.value ->> 2 AND r.username = d.value ->> 3",
    // A limit for each row of the parameter: those before the first one that is too many.
    reactors: "SELECT d.key, r.seq, r.username FROM jsonb_each($1) AS d
      CROSS JOIN reactions AS r ON r.topic = d.value ->> 0 AND r.target = d.value ->> 1
                               AND r.emoji = d.value ->> 2
                               AND r.seq < coalesce(
            (SELECT n.seq FROM reactions AS n
              WHERE n.topic = d.value ->> 0 AND n.target = d.value ->> 1 AND n.emoji = d.value ->> 2
              ORDER BY n.seq LIMIT 1 OFFSET $2), 9223372036854775807)",
    add_changes: "INSERT INTO changes (topic, seq, kind, target, sender, at, nonce, emoji)
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
            value ->> 7
       FROM jsonb_each($1)",
    remove_mentions: "DELETE FROM mentions WHERE (topic, username, seq) IN
     (SELECT e.topic, n.value, e.seq FROM jsonb_each($1) AS d
       CROSS JOIN entries AS e ON e.topic = d.value ->> 0 AND e.seq = d.value ->> 1
       CROSS JOIN json_each(e.mentions) AS n)",
    replace_texts: "UPDATE entries AS e
        SET text = d.text, mentions = d.mentions, deleted = d.deleted,
            reply_to = CASE WHEN d.deleted IS NULL THEN e.reply_to END,
            room = CASE WHEN d.deleted IS NULL THEN e.room END,
            files = CASE WHEN d.deleted IS NULL THEN e.files END
       FROM (SELECT value ->> 0 AS topic, value ->> 1 AS seq, value ->> 2 AS text, value ->> 3 AS mentions,
                    value ->> 4 AS deleted FROM jsonb_each($1)) AS d
      WHERE e.topic = d.topic AND e.seq = d.seq",
    // "WHERE true" makes the parser take ON as a part of the INSERT.
    keep_states: "INSERT INTO states
            (topic, seq, updated, edit_seq, edited_at, delete_seq, deleted_at, reactions)
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
            value ->> 7
       FROM jsonb_each($1) WHERE true
         ON CONFLICT (topic, seq) DO UPDATE
        SET updated = excluded.updated, edit_seq = excluded.edit_seq, edited_at = excluded.edited_at,
            delete_seq = excluded.delete_seq, deleted_at = excluded.deleted_at,
            reactions = excluded.reactions",
    remove_all_reactions: "DELETE FROM reactions WHERE (topic, target) IN
     (SELECT d.value ->> 0, d.value ->> 1 FROM jsonb_each($1) AS d)",
    remove_reactions: "DELETE FROM reactions WHERE (topic, target, emoji, username) IN
     (SELECT d.value ->> 0, d.value ->> 1, d.value ->> 2, d.value ->> 3 FROM jsonb_each($1) AS d)",
    add_reactions: "INSERT INTO reactions (topic, target, emoji, username, seq, at)
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5
       FROM jsonb_each($1)",
    add_remembered: "INSERT INTO remembered_nonces (topic, seq, nonce, sender, at)
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4 FROM jsonb_each($1)",
};

#[cfg(feature = "postgres")]
pub(crate) const POSTGRES: ChangeSql = ChangeSql {
    administrators: "SELECT d.position - 1
       FROM jsonb_array_elements_text($1::text::jsonb) WITH ORDINALITY AS d (name, position)
       JOIN administrators AS a ON a.username = d.name",
    targets: "SELECT d.position - 1, e.sender, e.at,
            s.updated, s.edit_seq, s.edited_at, s.delete_seq, s.deleted_at, s.reactions, e.files
       FROM jsonb_array_elements($1::text::jsonb) WITH ORDINALITY AS d (v, position)
       JOIN entries AS e ON e.topic = (d.v ->> 0)::bigint AND e.seq = (d.v ->> 1)::bigint
       LEFT JOIN states AS s ON s.topic = e.topic AND s.seq = e.seq",
    reacted: "SELECT d.position - 1, r.seq, r.at
       FROM jsonb_array_elements($1::text::jsonb) WITH ORDINALITY AS d (v, position)
       JOIN reactions AS r ON r.topic = (d.v ->> 0)::bigint AND r.target = (d.v ->> 1)::bigint
                          AND r.emoji = d.v ->> 2 AND r.username = d.v ->> 3",
    reactors: "SELECT d.position - 1, r.seq, r.username
       FROM jsonb_array_elements($1::text::jsonb) WITH ORDINALITY AS d (v, position)
      CROSS JOIN LATERAL (SELECT seq, username FROM reactions
             WHERE topic = (d.v ->> 0)::bigint AND target = (d.v ->> 1)::bigint AND emoji = d.v ->> 2
             ORDER BY seq LIMIT $2 + 0) AS r",
    add_changes: "INSERT INTO changes (topic, seq, kind, target, sender, at, nonce, emoji)
     SELECT (v ->> 0)::bigint, (v ->> 1)::bigint, (v ->> 2)::bigint, (v ->> 3)::bigint, v ->> 4,
            (v ->> 5)::bigint, v ->> 6, v ->> 7
       FROM jsonb_array_elements($1::text::jsonb) AS v",
    remove_mentions: "DELETE FROM mentions AS m
      USING jsonb_array_elements($1::text::jsonb) AS d (v), entries AS e,
            jsonb_array_elements_text(e.mentions::jsonb) AS name
      WHERE e.topic = (d.v ->> 0)::bigint AND e.seq = (d.v ->> 1)::bigint
        AND m.topic = e.topic AND m.username = name AND m.seq = e.seq",
    replace_texts: "UPDATE entries AS e
        SET text = d.v ->> 2, mentions = d.v ->> 3, deleted = (d.v ->> 4)::bigint,
            reply_to = CASE WHEN d.v ->> 4 IS NULL THEN e.reply_to END,
            room = CASE WHEN d.v ->> 4 IS NULL THEN e.room END,
            files = CASE WHEN d.v ->> 4 IS NULL THEN e.files END
       FROM jsonb_array_elements($1::text::jsonb) AS d (v)
      WHERE e.topic = (d.v ->> 0)::bigint AND e.seq = (d.v ->> 1)::bigint",
    keep_states: "INSERT INTO states
            (topic, seq, updated, edit_seq, edited_at, delete_seq, deleted_at, reactions)
     SELECT (v ->> 0)::bigint, (v ->> 1)::bigint, (v ->> 2)::bigint, (v ->> 3)::bigint,
            (v ->> 4)::bigint, (v ->> 5)::bigint, (v ->> 6)::bigint, v ->> 7
       FROM jsonb_array_elements($1::text::jsonb) AS v
         ON CONFLICT (topic, seq) DO UPDATE
        SET updated = excluded.updated, edit_seq = excluded.edit_seq, edited_at = excluded.edited_at,
            delete_seq = excluded.delete_seq, deleted_at = excluded.deleted_at,
            reactions = excluded.reactions",
    remove_all_reactions: "DELETE FROM reactions AS r
      USING jsonb_array_elements($1::text::jsonb) AS d (v)
      WHERE r.topic = (d.v ->> 0)::bigint AND r.target = (d.v ->> 1)::bigint",
    remove_reactions: "DELETE FROM reactions AS r
      USING jsonb_array_elements($1::text::jsonb) AS d (v)
      WHERE r.topic = (d.v ->> 0)::bigint AND r.target = (d.v ->> 1)::bigint
        AND r.emoji = d.v ->> 2 AND r.username = d.v ->> 3",
    add_reactions: "INSERT INTO reactions (topic, target, emoji, username, seq, at)
     SELECT (v ->> 0)::bigint, (v ->> 1)::bigint, v ->> 2, v ->> 3, (v ->> 4)::bigint, (v ->> 5)::bigint
       FROM jsonb_array_elements($1::text::jsonb) AS v",
    add_remembered: "INSERT INTO remembered_nonces (topic, seq, nonce, sender, at)
     SELECT (v ->> 0)::bigint, (v ->> 1)::bigint, v ->> 2, v ->> 3, (v ->> 4)::bigint
       FROM jsonb_array_elements($1::text::jsonb) AS v",
};

//! The statements about files.

/// Those that differ between the databases, one text for each.
pub(crate) struct FileSql {
    /// Of these ids in JSON, in their order: position, owner, and the columns of a file, of
    /// those that may be attached. Until the end of the transaction they stay as they are.
    pub(crate) free: &'static str,
    /// Writes the files of messages: rows `topic, number, files`.
    pub(crate) show: &'static str,
    /// Attaches files: rows `id, topic, number`.
    pub(crate) attach: &'static str,
    /// Marks files with these ids.
    pub(crate) take_back: &'static str,
    /// Size and state of a file of an owner, which stays as it is until the end of the
    /// transaction.
    pub(crate) lock: &'static str,
    /// Marks files without a message that are older than a time, at most `$2`.
    pub(crate) mark_old: &'static str,
    /// Removes marked files with these ids; returns their sizes.
    pub(crate) forget: &'static str,
}

/// The columns of a file.
macro_rules! file {
    () => {
        "f.id, f.name, f.type, f.size, f.width, f.height"
    };
}

// CROSS JOIN makes SQLite keep this order of the tables, and look each row up by its key.
#[cfg(feature = "sqlite")]
pub(crate) const SQLITE: FileSql = FileSql {
    free: concat!(
        "SELECT d.key, f.owner, ",
        file!(),
        " FROM jsonb_each($1) AS d CROSS JOIN files AS f ON f.id = d.value
          WHERE f.state = 2 AND f.topic IS NULL"
    ),
    show: "UPDATE entries AS e SET files = d.files
       FROM (SELECT value ->> 0 AS topic, value ->> 1 AS seq, value ->> 2 AS files FROM jsonb_each($1)) AS d
      WHERE e.topic = d.topic AND e.seq = d.seq",
    attach: "UPDATE files AS f SET topic = d.topic, seq = d.seq
       FROM (SELECT value ->> 0 AS id, value ->> 1 AS topic, value ->> 2 AS seq FROM jsonb_each($1)) AS d
      WHERE f.id = d.id",
    take_back: "UPDATE files SET state = 3, name = '', topic = NULL, seq = NULL
      WHERE id IN (SELECT value FROM jsonb_each($1))",
    lock: "SELECT size, state FROM files WHERE id = $1 AND owner = $2",
    mark_old: "UPDATE files SET state = 3, name = '' WHERE id IN
     (SELECT id FROM files WHERE topic IS NULL AND state < 3 AND at < $1 ORDER BY at LIMIT $2)",
    forget: "DELETE FROM files WHERE id IN (SELECT value FROM jsonb_each($1)) AND state = 3
     RETURNING size",
};

/// Rows are locked in the order of their ids. A file without a message is locked before the
/// nonces of a batch; a file that a message has is locked only by a transaction that has locked
/// the topic of the message.
#[cfg(feature = "postgres")]
pub(crate) const POSTGRES: FileSql = FileSql {
    free: concat!(
        "SELECT d.position - 1, f.owner, ",
        file!(),
        " FROM jsonb_array_elements_text($1::text::jsonb) WITH ORDINALITY AS d (id, position)
           JOIN files AS f ON f.id = d.id
          WHERE f.state = 2 AND f.topic IS NULL ORDER BY d.position FOR UPDATE OF f"
    ),
    show: "UPDATE entries AS e SET files = d.v ->> 2
       FROM jsonb_array_elements($1::text::jsonb) AS d (v)
      WHERE e.topic = (d.v ->> 0)::bigint AND e.seq = (d.v ->> 1)::bigint",
    attach: "UPDATE files AS f SET topic = (d.v ->> 1)::bigint, seq = (d.v ->> 2)::bigint
       FROM jsonb_array_elements($1::text::jsonb) AS d (v) WHERE f.id = d.v ->> 0",
    take_back: "UPDATE files AS f SET state = 3, name = '', topic = NULL, seq = NULL
       FROM jsonb_array_elements_text($1::text::jsonb) AS d (id) WHERE f.id = d.id",
    lock: "SELECT size, state FROM files WHERE id = $1 AND owner = $2 FOR UPDATE",
    // A batch that attaches one of them at this moment has it.
    mark_old: "UPDATE files AS f SET state = 3, name = ''
       FROM (SELECT id FROM files WHERE topic IS NULL AND state < 3 AND at < $1
              ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED) AS d
      WHERE f.id = d.id",
    // Looked up by their keys, in the order of the parameter.
    forget: "DELETE FROM files AS f USING jsonb_array_elements_text($1::text::jsonb) AS d (id)
      WHERE f.id = d.id AND f.state > 2
     RETURNING f.size",
};

// The statements that both databases have.

/// Counts in one more file: its bytes, and what they count for; returns what all files count
/// for. The statement locks the only row, so that reservations come one after the other.
pub(crate) const COUNT_IN: &str =
    "UPDATE file_totals SET files = files + 1, bytes = bytes + $1, counted = counted + $2 RETURNING counted";

/// Counts out files, bytes, and what they count for.
pub(crate) const COUNT_OUT: &str =
    "UPDATE file_totals SET files = files - $1, bytes = bytes - $2, counted = counted - $3";

pub(crate) const TOTALS: &str = "SELECT files, bytes FROM file_totals";

pub(crate) const IS_KNOWN: &str = "SELECT 1 FROM files WHERE id = $1";

/// What the files of a user count for, each at least `$2`.
pub(crate) const USED_BY: &str =
    "SELECT CAST(coalesce(sum(CASE WHEN size < $2 THEN $2 ELSE size END), 0) AS BIGINT)
       FROM files WHERE owner = $1 AND state < 3";

pub(crate) const RESERVE: &str = "INSERT INTO files (id, owner, name, type, size, state, at)
     VALUES ($1, $2, '', '', $3, 1, $4)";

/// -1 stands for no width and no height.
pub(crate) const STORE: &str = "UPDATE files
        SET state = 2, name = $2, type = $3, size = $4, width = nullif($5, -1), height = nullif($6, -1),
            at = $7
      WHERE id = $1";

pub(crate) const DROP: &str =
    "UPDATE files SET state = 3, name = '' WHERE id = $1 AND topic IS NULL AND state < 3";

pub(crate) const ANY_OLD: &str = "SELECT 1 FROM files WHERE topic IS NULL AND state < 3 AND at < $1 LIMIT 1";

pub(crate) const TO_REMOVE: &str = "SELECT id FROM files WHERE state = 3 AND at >= 0 ORDER BY at LIMIT $1";

/// The columns of a file, its owner, and the message that has it. The sum keeps Postgres from
/// the indexes that have a part of the rows.
macro_rules! found {
    ($rest:literal) => {
        concat!(
            "SELECT f.owner, ",
            file!(),
            ", t.kind, t.name, t.other, f.seq
               FROM files AS f LEFT JOIN topics AS t ON t.id = f.topic
              WHERE f.state + 0 = 2 AND ",
            $rest
        )
    };
}

pub(crate) const FIND: &str = found!("f.id = $1");

pub(crate) const AFTER: &str = found!("f.id > $1 ORDER BY f.id LIMIT $2");

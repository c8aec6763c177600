//! The statements of pages.
//!
//! Messages and changes share the numbers of a topic, without a gap: a page of all kinds is
//! a range of numbers. Its bounds are known before either table is read, so that it costs
//! the same however many changes lie between two messages.

use crate::list::{List, left_join, list};

/// The statements of one database. Each takes `kind, name, other` of the topic, and ends
/// with the limit of bytes where [`LIMITS_BYTES`](crate::statements::Statements).
pub(crate) struct Pages {
    /// The newest entries, in falling order: an upper bound, and how many.
    pub(crate) latest: &'static str,
    /// Entries below a number, in falling order, and how many.
    pub(crate) before: &'static str,
    /// Entries above a number, in rising order, and how many.
    pub(crate) after: &'static str,
    /// Messages below a number, in falling order, and how many.
    pub(crate) messages_before: &'static str,
    /// Messages above a number, in rising order, and how many.
    pub(crate) messages_after: &'static str,
    /// Messages around a number, in no order: how many below it, and from it on.
    pub(crate) messages_around: &'static str,
    /// Messages with numbers in JSON, in no order.
    pub(crate) messages_numbered: &'static str,
    /// Of messages by `topic, number` in JSON, those that are not deleted and that a user may
    /// read, in the order of the JSON: each with its position in place of the head's first column, and the
    /// columns `kind, name, other` of its topic at the end.
    pub(crate) found: &'static str,
    /// The topics with these keys: `id, kind, name, other, last_seq`, and the number of the
    /// oldest message that is kept.
    pub(crate) search_topics: &'static str,
    /// Of a message with a number: its reactions, and the emoji of a user in JSON.
    pub(crate) reactions: &'static str,
}

/// The row of the topic, and its oldest number: with those of both tables.
macro_rules! known_topic {
    () => {
        "SELECT t.id, t.last_seq, coalesce((SELECT min(ends.seq) FROM (
                SELECT min(x.seq) AS seq FROM entries AS x WHERE x.topic = t.id
                 UNION ALL SELECT min(x.seq) FROM changes AS x WHERE x.topic = t.id) AS ends),
            t.last_seq + 1) AS first
           FROM topics AS t WHERE t.kind = $1 AND t.name = $2 AND t.other = $3"
    };
}

macro_rules! topic {
    () => {
        concat!("WITH topic AS MATERIALIZED (", known_topic!(), ")")
    };
}

/// The numbers of a page above a number.
macro_rules! above {
    () => {
        concat!(
            "SELECT *, low + $5 - 1 AS high FROM (
                SELECT *, CASE WHEN $4 + 1 < first THEN first ELSE $4 + 1 END AS low
                  FROM (",
            known_topic!(),
            ") AS known) AS bounded"
        )
    };
}

/// The numbers of a page below a number.
macro_rules! below {
    () => {
        concat!(
            "SELECT *, high - $5 + 1 AS low FROM (
                SELECT *, CASE WHEN $4 > last_seq THEN last_seq ELSE $4 - 1 END AS high
                  FROM (",
            known_topic!(),
            ") AS known) AS bounded"
        )
    };
}

/// The row about the topic. Its number puts it before all others.
macro_rules! head {
    ($seq:literal, $has_others:expr, $newest:expr) => {
        concat!(
            " SELECT head.last_seq, head.first, ",
            $seq,
            ", ",
            $has_others,
            ", NULL, NULL, NULL, ",
            $newest,
            ", NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM topic AS head"
        )
    };
}

macro_rules! newest {
    ($collected:literal) => {
        concat!(
            "(SELECT ",
            $collected,
            " FROM (SELECT x.seq FROM entries AS x WHERE x.topic = head.id ORDER BY x.seq DESC LIMIT (SELECT 100)) AS n)"
        )
    };
}

/// The columns of a message.
macro_rules! message {
    () => {
        "e.seq, e.kind, e.sender, e.at, e.nonce, e.text, e.mentions, e.reply_to AS about, e.room AS place,
         s.updated, s.edited_at, e.deleted, s.reactions, e.files"
    };
}

/// At most what `Body::bytes` counts for a message: the JSON of a file has at most three times
/// as many bytes.
#[cfg(feature = "postgres")]
macro_rules! bytes {
    () => {
        "octet_length(e.text) + coalesce(octet_length(e.files) / 3, 0)"
    };
}

macro_rules! state {
    ($store:ident) => {
        left_join!($store, "states", "s", "s.topic = e.topic AND s.seq = e.seq")
    };
}

/// The columns of a change. The newest edit of a message has the text of the message.
macro_rules! change {
    () => {
        "c.seq, c.kind, c.sender, c.at, c.nonce, o.text, o.mentions, c.target, c.emoji, NULL, NULL, NULL, NULL, NULL"
    };
}

macro_rules! edited {
    ($store:ident) => {
        concat!(
            left_join!(
                $store,
                "states",
                "s",
                "s.topic = c.topic AND s.seq = CASE c.kind WHEN 2 THEN c.target END
                   AND s.edit_seq = c.seq AND s.delete_seq IS NULL"
            ),
            left_join!($store, "entries", "o", "o.topic = s.topic AND o.seq = s.seq")
        )
    };
}

macro_rules! in_page {
    ($table:literal) => {
        concat!(
            $table,
            ".topic = (SELECT id FROM topic) AND ",
            $table,
            ".seq BETWEEN (SELECT low FROM topic) AND (SELECT high FROM topic)"
        )
    };
}

/// A page of all kinds.
macro_rules! entries {
    (sqlite, $first:literal, $newest:expr, $topic:expr, $order:literal) => {
        concat!(
            "WITH topic AS MATERIALIZED (",
            $topic,
            ")",
            head!($first, "0", $newest),
            " UNION ALL SELECT NULL, NULL, ",
            message!(),
            " FROM entries AS e",
            state!(sqlite),
            " WHERE ",
            in_page!("e"),
            " UNION ALL SELECT NULL, NULL, ",
            change!(),
            " FROM changes AS c",
            edited!(sqlite),
            " WHERE ",
            in_page!("c"),
            " ORDER BY 3",
            $order
        )
    };
    (postgres, $first:literal, $newest:expr, $topic:expr, $order:literal) => {
        concat!(
            "WITH topic AS MATERIALIZED (",
            $topic,
            ")",
            head!($first, "0", $newest),
            within_bytes!(
                concat!(
                    "SELECT ",
                    message!(),
                    ", ",
                    bytes!(),
                    " AS bytes FROM entries AS e",
                    state!(postgres),
                    " WHERE ",
                    in_page!("e"),
                    " UNION ALL SELECT ",
                    change!(),
                    ", coalesce(octet_length(o.text), octet_length(c.emoji), 0) FROM changes AS c",
                    edited!(postgres),
                    " WHERE ",
                    in_page!("c")
                ),
                $order,
                "$6"
            ),
            " ORDER BY 3",
            $order
        )
    };
}

/// Of rows in an order, those before the limit of bytes, and the next one or two: the first
/// row is in a page however long it is, and one more shows that there are more.
#[cfg(feature = "postgres")]
macro_rules! within_bytes {
    ($rows:expr, $order:literal, $bytes:literal) => {
        concat!(
            " UNION ALL SELECT NULL, NULL, seq, kind, sender, at, nonce, text, mentions, about, place,
                     updated, edited_at, deleted, reactions, files
                FROM (SELECT *, sum(bytes) OVER (ORDER BY seq",
            $order,
            " ROWS BETWEEN UNBOUNDED PRECEDING AND 2 PRECEDING) AS before FROM (",
            $rows,
            ") AS near) AS counted WHERE before IS NULL OR before <= ",
            $bytes
        )
    };
}

/// A page of messages, and whether there are messages on the other side.
macro_rules! messages {
    (sqlite, $first:literal, $side:literal, $other_side:literal, $order:literal) => {
        concat!(
            topic!(),
            head!($first, has_others!($other_side), "NULL"),
            " UNION ALL SELECT NULL, NULL, ",
            message!(),
            " FROM entries AS e",
            state!(sqlite),
            " WHERE e.topic = (SELECT id FROM topic) AND e.seq ",
            $side,
            " $4 ORDER BY 3",
            $order,
            " LIMIT $5 + 1"
        )
    };
    (postgres, $first:literal, $side:literal, $other_side:literal, $order:literal) => {
        concat!(
            topic!(),
            head!($first, has_others!($other_side), "NULL"),
            some_messages!(postgres, $side, $order, "$5", "$6"),
            " ORDER BY 3",
            $order
        )
    };
}

macro_rules! has_others {
    ($other_side:literal) => {
        concat!(
            "CASE WHEN EXISTS (SELECT 1 FROM entries AS x WHERE x.topic = head.id AND x.seq ",
            $other_side,
            " $4) THEN 1 ELSE 0 END"
        )
    };
}

/// The messages nearest to a number on one side of it.
macro_rules! some_messages {
    (sqlite, $side:literal, $order:literal, $limit:literal) => {
        concat!(
            " UNION ALL SELECT NULL, NULL, ",
            message!(),
            " FROM (SELECT * FROM entries WHERE topic = (SELECT id FROM topic) AND seq ",
            $side,
            " $4 ORDER BY seq",
            $order,
            " LIMIT ",
            $limit,
            " + 0) AS e",
            state!(sqlite)
        )
    };
    (postgres, $side:literal, $order:literal, $limit:literal, $bytes:literal) => {
        some_messages!(
            postgres_rows,
            concat!("(SELECT * FROM entries WHERE topic = (SELECT id FROM topic) AND seq ", $side),
            concat!(" $4 ORDER BY seq", $order, " LIMIT ", $limit, ")"),
            $order,
            $bytes
        )
    };
    (postgres_rows, $from:expr, $rest:expr, $order:literal, $bytes:literal) => {
        within_bytes!(
            concat!(
                "SELECT ",
                message!(),
                ", ",
                bytes!(),
                " AS bytes FROM ",
                $from,
                $rest,
                " AS e",
                state!(postgres)
            ),
            $order,
            $bytes
        )
    };
}

/// The messages that a search has found, and that the user `$2` may read.
macro_rules! found {
    ($store:ident, $position:literal, $rows:literal, $topics:expr, $rooms:expr) => {
        concat!(
            "SELECT ",
            $position,
            ", 0, ",
            message!(),
            ", t.kind, t.name, t.other",
            $rows,
            $topics,
            $rooms,
            state!($store),
            " WHERE e.deleted IS NULL
                AND CASE t.kind WHEN 2 THEN t.name = $2 OR t.other = $2
                    ELSE coalesce(r.access, CASE substr(t.name, 1, 1) WHEN '~' THEN 2 ELSE 1 END) = 1
                      OR EXISTS (SELECT 1 FROM members AS m WHERE m.room = t.name AND m.username = $2) END
              ORDER BY 1"
        )
    };
}

macro_rules! search_topics {
    ($from:literal) => {
        concat!(
            "SELECT t.id, t.kind, t.name, t.other, t.last_seq,
                    coalesce((SELECT min(e.seq) FROM entries AS e WHERE e.topic = t.id), t.last_seq + 1)",
            $from
        )
    };
}

/// The closed rooms of a user `$1` (1), at most `$2`, those with the newest messages; and of the
/// closed rooms that users had named, those among the first `$3` of which the user is no member
/// (0). Each row has that number, and the row of the topic.
macro_rules! readable {
    ($store:ident) => {
        concat!(
            " FROM (SELECT * FROM (SELECT CAST(1 AS BIGINT) AS own, t.id FROM members AS m",
            left_join!($store, "rooms", "r", "r.name = m.room"),
            left_join!($store, "topics", "t", "t.kind = 1 AND t.name = m.room AND t.other = ''"),
            " WHERE m.username = $1 AND r.access = 2 AND t.id IS NOT NULL
              ORDER BY t.last_at DESC, t.id DESC LIMIT $2 + 0) AS own
              UNION ALL
             SELECT * FROM (SELECT CAST(0 AS BIGINT) AS own, t.id FROM (
                 SELECT name FROM rooms WHERE access = 2 AND substr(name, 1, 1) <> '~'
                  ORDER BY name LIMIT $3 + 0) AS d",
            left_join!($store, "topics", "t", "t.kind = 1 AND t.name = d.name AND t.other = ''"),
            " WHERE t.id IS NOT NULL
                AND NOT EXISTS (SELECT 1 FROM members AS m WHERE m.room = d.name AND m.username = $1)) AS closed) AS f"
        )
    };
}

pub(crate) const READABLE: List = list! { columns: "f.own, f.id", tables: readable!(), order: "f.id" };

/// The reactions to a message that is not deleted, and the emoji of a user.
macro_rules! reactions {
    ($store:ident, $mine:literal) => {
        concat!(
            "SELECT s.reactions, (SELECT ",
            $mine,
            ") FROM entries AS e",
            state!($store),
            " WHERE e.topic = (SELECT id FROM topics WHERE kind = $1 AND name = $2 AND other = $3)
                AND e.seq = $4 AND e.deleted IS NULL"
        )
    };
}

macro_rules! reactors {
    ($store:ident) => {
        " FROM (SELECT username, seq FROM reactions
                 WHERE topic = (SELECT id FROM topics WHERE kind = $1 AND name = $2 AND other = $3)
                   AND target = $4 AND emoji = $5 AND seq > $6
                 ORDER BY seq LIMIT $7 + 0) AS f"
    };
}

#[cfg(feature = "sqlite")]
pub(crate) const SQLITE: Pages = Pages {
    latest: entries!(sqlite, "9223372036854775807", newest!("json_group_array(n.seq)"), below!(), " DESC"),
    before: entries!(sqlite, "9223372036854775807", "NULL", below!(), " DESC"),
    after: entries!(sqlite, "-1", "NULL", above!(), ""),
    messages_before: messages!(sqlite, "9223372036854775807", "<", ">=", " DESC"),
    messages_after: messages!(sqlite, "-1", ">", "<=", ""),
    messages_around: concat!(
        topic!(),
        head!("-1", "0", "NULL"),
        some_messages!(sqlite, "<", " DESC", "$5"),
        some_messages!(sqlite, ">=", "", "$6")
    ),
    messages_numbered: concat!(
        topic!(),
        head!("-1", "0", "NULL"),
        " UNION ALL SELECT NULL, NULL, ",
        message!(),
        " FROM jsonb_each($4) AS d
           CROSS JOIN entries AS e ON e.topic = (SELECT id FROM topic) AND e.seq = d.value",
        state!(sqlite)
    ),
    found: found!(
        sqlite,
        "d.key",
        " FROM jsonb_each($1) AS d CROSS JOIN entries AS e ON e.topic = d.value ->> 0 AND e.seq = d.value ->> 1",
        left_join!(sqlite, "topics", "t", "t.id = e.topic"),
        left_join!(sqlite, "rooms", "r", "r.name = CASE t.kind WHEN 1 THEN t.name END")
    ),
    search_topics: search_topics!(
        " FROM jsonb_each($1) AS d CROSS JOIN topics AS t
            ON t.kind = d.value ->> 0 AND t.name = d.value ->> 1 AND t.other = d.value ->> 2"
    ),
    reactions: reactions!(
        sqlite,
        "json_group_array(d.value ->> 0) FROM json_each(s.reactions) AS d
          WHERE EXISTS (SELECT 1 FROM reactions AS r WHERE r.topic = e.topic AND r.target = e.seq
                           AND r.emoji = d.value ->> 0 AND r.username = $5)"
    ),
};

/// These apply the limit of bytes, too, since Postgres sends all rows whether they are read
/// or not.
#[cfg(feature = "postgres")]
pub(crate) const POSTGRES: Pages = Pages {
    latest: entries!(postgres, "9223372036854775807", newest!("json_agg(n.seq)::text"), below!(), " DESC"),
    before: entries!(postgres, "9223372036854775807", "NULL", below!(), " DESC"),
    after: entries!(postgres, "-1", "NULL", above!(), ""),
    messages_before: messages!(postgres, "9223372036854775807", "<", ">=", " DESC"),
    messages_after: messages!(postgres, "-1", ">", "<=", ""),
    messages_around: concat!(
        topic!(),
        head!("-1", "0", "NULL"),
        some_messages!(postgres, "<", " DESC", "$5", "$7"),
        some_messages!(postgres, ">=", "", "$6", "$7")
    ),
    messages_numbered: concat!(
        topic!(),
        head!("-1", "0", "NULL"),
        some_messages!(
            postgres_rows,
            "(SELECT e.* FROM jsonb_array_elements_text($4::text::jsonb) AS d (seq)",
            " CROSS JOIN LATERAL (SELECT * FROM entries AS e
                 WHERE e.topic = (SELECT id FROM topic) AND e.seq = d.seq::bigint OFFSET 0) AS e)",
            "",
            "$5"
        )
    ),
    found: found!(
        postgres,
        "e.position - 1",
        " FROM (SELECT d.position, e.*
                  FROM jsonb_array_elements($1::text::jsonb) WITH ORDINALITY AS d (v, position)
                 CROSS JOIN LATERAL (SELECT * FROM entries AS e
                     WHERE e.topic = (d.v ->> 0)::bigint AND e.seq = (d.v ->> 1)::bigint OFFSET 0) AS e) AS e",
        left_join!(postgres, "topics", "t", "t.id = e.topic"),
        left_join!(postgres, "rooms", "r", "r.name = CASE t.kind WHEN 1 THEN t.name END")
    ),
    search_topics: search_topics!(
        " FROM jsonb_array_elements($1::text::jsonb) AS d (v) JOIN topics AS t
            ON t.kind = (d.v ->> 0)::bigint AND t.name = d.v ->> 1 AND t.other = d.v ->> 2"
    ),
    reactions: reactions!(
        postgres,
        "json_agg(d.v ->> 0)::text FROM jsonb_array_elements(s.reactions::jsonb) AS d (v)
          WHERE (SELECT r.seq FROM reactions AS r WHERE r.topic = e.topic AND r.target = e.seq
                    AND r.emoji = d.v ->> 0 AND r.username = $5) IS NOT NULL"
    ),
};

/// The users who reacted to a message with an emoji after a number: how many.
pub(crate) const REACTORS: List = list! { columns: "f.username, f.seq", tables: reactors!(), order: "f.seq" };

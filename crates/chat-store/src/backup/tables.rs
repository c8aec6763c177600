//! The tables of a backup, which both kinds of database have.

use std::fmt::Write as _;

use serde_json::Value;

use Kind::{Moment, Number, Text};

/// A table that both databases have.
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) columns: &'static [(&'static str, Kind)],
    /// The order in which SQLite inserts the rows fastest.
    order: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    Text,
    /// In SQLite milliseconds since 1970, 0 if unknown; in Postgres a time, NULL if
    /// unknown.
    Moment,
}

/// Tables that others refer to are first. The table `name_words` is missing: a server that
/// opens the database fills it in. So is `file_totals`, which is counted anew, and so are
/// `invites` and `password_links`: one that was used or withdrawn since must not come back. Subscriptions to
/// notifications end with the sessions, which a backup has not. Tokens of bots and all webhooks are
/// missing, too: one that was revoked since must not come back.
pub(super) const TABLES: &[Table] = &[
    Table {
        name: "users",
        columns: &[("username", Text), ("password_hash", Text), ("avatar", Text), ("created_at", Moment)],
        order: "id",
    },
    Table {
        name: "names",
        columns: &[("username", Text), ("cased", Text), ("folded", Text), ("rules", Number)],
        order: "username",
    },
    Table {
        name: "topics",
        columns: &[
            ("id", Number),
            ("kind", Number),
            ("name", Text),
            ("other", Text),
            ("last_seq", Number),
            ("last_at", Number),
            ("special", Number),
            ("changed_at", Number),
        ],
        order: "id",
    },
    Table {
        name: "entries",
        columns: &[
            ("topic", Number),
            ("seq", Number),
            ("kind", Number),
            ("sender", Text),
            ("room", Text),
            ("text", Text),
            ("at", Number),
            ("nonce", Text),
            ("mentions", Text),
            ("reply_to", Number),
            ("deleted", Number),
            ("files", Text),
        ],
        order: "topic, seq",
    },
    Table {
        name: "changes",
        columns: &[
            ("topic", Number),
            ("seq", Number),
            ("kind", Number),
            ("target", Number),
            ("sender", Text),
            ("at", Number),
            ("nonce", Text),
            ("emoji", Text),
        ],
        order: "topic, seq",
    },
    Table {
        name: "states",
        columns: &[
            ("topic", Number),
            ("seq", Number),
            ("updated", Number),
            ("edit_seq", Number),
            ("edited_at", Number),
            ("delete_seq", Number),
            ("deleted_at", Number),
            ("reactions", Text),
        ],
        order: "topic, seq",
    },
    Table {
        name: "reactions",
        columns: &[
            ("topic", Number),
            ("target", Number),
            ("emoji", Text),
            ("username", Text),
            ("seq", Number),
            ("at", Number),
        ],
        order: "topic, target, emoji, username",
    },
    Table {
        name: "remembered_nonces",
        columns: &[("topic", Number), ("seq", Number), ("nonce", Text), ("sender", Text), ("at", Number)],
        order: "topic, seq, nonce, sender",
    },
    Table {
        name: "nonces",
        columns: &[("sender", Text), ("nonce", Text), ("topic", Number), ("seq", Number), ("at", Number)],
        order: "nonce, sender",
    },
    Table {
        name: "outlived_nonces",
        columns: &[("at", Number), ("nonce", Text), ("sender", Text)],
        order: "at, nonce, sender",
    },
    Table {
        name: "subjects",
        columns: &[("issuer", Text), ("subject", Text), ("username", Text)],
        order: "issuer, subject",
    },
    Table { name: "administrators", columns: &[("username", Text), ("since", Number)], order: "username" },
    Table {
        name: "rooms",
        columns: &[
            ("name", Text),
            ("title", Text),
            ("description", Text),
            ("access", Number),
            ("archived", Number),
            ("members", Number),
            ("joins", Number),
            ("created_at", Number),
            ("created_by", Text),
        ],
        order: "name",
    },
    Table {
        name: "members",
        columns: &[
            ("room", Text),
            ("username", Text),
            ("role", Number),
            ("joined_at", Number),
            ("position", Number),
        ],
        order: "room, username",
    },
    Table {
        name: "marks",
        columns: &[
            ("username", Text),
            ("kind", Number),
            ("name", Text),
            ("read_seq", Number),
            ("level", Number),
        ],
        order: "username, kind, name",
    },
    Table {
        name: "mentions",
        columns: &[("topic", Number), ("username", Text), ("seq", Number), ("author", Text)],
        order: "topic, username, seq",
    },
    Table {
        name: "files",
        columns: &[
            ("id", Text),
            ("owner", Text),
            ("name", Text),
            ("type", Text),
            ("size", Number),
            ("width", Number),
            ("height", Number),
            ("state", Number),
            ("at", Number),
            ("topic", Number),
            ("seq", Number),
        ],
        order: "id",
    },
    Table { name: "server_profile", columns: &[("key", Text), ("value", Text)], order: "key" },
    Table {
        name: "bans",
        columns: &[
            ("username", Text),
            ("by_user", Text),
            ("at", Number),
            ("reason", Text),
            ("deletes_topic", Number),
            ("deletes_seq", Number),
        ],
        order: "username",
    },
    Table {
        name: "reports",
        columns: &[
            ("id", Number),
            ("kind", Number),
            ("name", Text),
            ("other", Text),
            ("seq", Number),
            ("reporter", Text),
            ("reason", Text),
            ("at", Number),
            ("state", Number),
            ("changed_by", Text),
        ],
        order: "id",
    },
    Table {
        name: "audit",
        columns: &[
            ("id", Number),
            ("at", Number),
            ("by_user", Text),
            ("action", Text),
            ("target", Text),
            ("details", Text),
            ("part", Number),
        ],
        order: "id",
    },
    Table {
        name: "removed_members",
        columns: &[("room", Text), ("username", Text)],
        order: "room, username",
    },
    Table { name: "push_key", columns: &[("id", Number), ("private", Text)], order: "id" },
    Table { name: "members_fill", columns: &[("topic", Number), ("seq", Number)], order: "topic" },
    Table { name: "left_rooms", columns: &[("room", Text), ("username", Text)], order: "room, username" },
];

/// The number of rows in one statement: at most some 16 MB with the longest texts.
pub(super) const ROWS_AT_ONCE: usize = 500;

impl Table {
    /// The query for the rows in SQLite.
    pub(super) fn select_sqlite(&self) -> String {
        format!("SELECT {} FROM {} ORDER BY {}", self.names(), self.name, self.order)
    }

    /// The query for the rows in Postgres, in the format of SQLite.
    pub(super) fn select_postgres(&self) -> String {
        let mut sql = "SELECT ".to_owned();
        for (index, (column, kind)) in self.columns.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            let _ = match kind {
                Number => write!(sql, "{comma}{column}"),
                Text => write!(sql, "{comma}{column}::text"),
                Moment => write!(
                    sql,
                    "{comma}CASE WHEN isfinite({column})
                          THEN greatest(0, round(extract(epoch FROM {column}) * 1000))::bigint ELSE 0 END"
                ),
            };
        }
        let _ = write!(sql, " FROM {} ORDER BY {}", self.name, self.order);
        sql
    }

    /// The statement that inserts rows from one JSON text into SQLite.
    pub(super) fn insert_sqlite(&self) -> String {
        let values: Vec<String> = (0..self.columns.len()).map(|index| format!("value ->> {index}")).collect();
        let values = values.join(", ");
        format!("INSERT INTO {} ({}) SELECT {values} FROM jsonb_each(?1)", self.name, self.names())
    }

    /// The statement that inserts rows from one JSON text into Postgres.
    pub(super) fn insert_postgres(&self) -> String {
        let value = |(index, (_, kind)): (usize, &(&str, Kind))| match kind {
            Number => format!("(v ->> {index})::bigint"),
            Text => format!("v ->> {index}"),
            Moment => format!("to_timestamp(nullif((v ->> {index})::bigint, 0)::double precision / 1000)"),
        };
        let values: Vec<String> = self.columns.iter().enumerate().map(value).collect();
        // Without it, Postgres would generate other ids.
        let is_generated = ["topics", "reports", "audit"].contains(&self.name);
        let overriding = if is_generated { "OVERRIDING SYSTEM VALUE" } else { "" };
        format!(
            "INSERT INTO {} ({}) {overriding} SELECT {} FROM jsonb_array_elements($1::text::jsonb) AS v",
            self.name,
            self.names(),
            values.join(", ")
        )
    }

    fn names(&self) -> String {
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| *name).collect();
        names.join(", ")
    }
}

/// Rows as one JSON text.
pub(super) fn json(rows: &[Vec<Value>]) -> String {
    Value::Array(rows.iter().cloned().map(Value::Array).collect()).to_string()
}

//! The schema of a database: its steps, embedded from `migrations/` at the root of the
//! workspace, and the check that a database has them.
//!
//! Each step can be undone. Applied steps are recorded in the database with a
//! checksum of their text, so that a change to a published step is noticed.

#[cfg(feature = "postgres")]
pub(crate) mod postgres;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migrate, MigrateError, Migration, MigrationType};

use crate::StoreError;

/// One step of the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationStatus {
    /// Its number, from 1.
    pub version: i64,
    /// Its subject, in a word.
    pub name: String,
    /// Whether the database has the step.
    pub applied: bool,
}

/// Rows that undoing a step deletes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    /// How many rows.
    pub rows: u64,
    /// What a row is: "message".
    pub one: &'static str,
    /// The same for several: "messages".
    pub many: &'static str,
}

/// A step, and how to undo it.
pub(crate) struct Step {
    pub(crate) version: i64,
    pub(crate) name: &'static str,
    pub(crate) up: &'static str,
    pub(crate) down: &'static str,
    /// What undoing the step deletes.
    pub(crate) loses: &'static [Counted],
}

/// A kind of rows, and the query that counts them.
pub(crate) struct Counted {
    pub(crate) one: &'static str,
    pub(crate) many: &'static str,
    pub(crate) sql: &'static str,
}

/// The queries count the same in both databases, and stand here once.
pub(crate) mod lost {
    use super::Counted;

    pub(crate) const ACCOUNTS: Counted =
        Counted { one: "account", many: "accounts", sql: "SELECT count(*) FROM users" };
    pub(crate) const SESSIONS: Counted =
        Counted { one: "session", many: "sessions", sql: "SELECT count(*) FROM sessions" };
    pub(crate) const MESSAGES: Counted =
        Counted { one: "message", many: "messages", sql: "SELECT count(*) FROM entries" };
    pub(crate) const REMOVED_NAMES: Counted = Counted {
        one: "reserved name of a removed account",
        many: "reserved names of removed accounts",
        sql: "SELECT count(*) FROM names WHERE NOT EXISTS
                (SELECT 1 FROM users WHERE users.username = names.username)",
    };
    pub(crate) const DEVICES: Counted = Counted {
        one: "device and address of a session",
        many: "devices and addresses of sessions",
        sql: "SELECT count(*) FROM sessions WHERE device <> '' OR address <> ''",
    };
    pub(crate) const NONCES: Counted = Counted {
        one: "nonce of a deleted message",
        many: "nonces of deleted messages",
        sql: "SELECT count(*) FROM outlived_nonces",
    };
    pub(crate) const ADMINISTRATORS: Counted = Counted {
        one: "role of an administrator",
        many: "roles of administrators",
        sql: "SELECT count(*) FROM administrators",
    };
    pub(crate) const CLOSED_ROOMS: Counted = Counted {
        one: "restriction of a closed room to its members",
        many: "restrictions of closed rooms to their members",
        sql: "SELECT count(*) FROM rooms WHERE access = 2",
    };
    pub(crate) const MEMBERSHIPS: Counted = Counted {
        one: "membership of a room",
        many: "memberships of rooms",
        sql: "SELECT count(*) FROM members",
    };
    pub(crate) const MENTIONS: Counted =
        Counted { one: "mention of a user", many: "mentions of users", sql: "SELECT count(*) FROM mentions" };
    pub(crate) const CHANGES: Counted = Counted {
        one: "edit, deletion or reaction (it becomes a message \"…\")",
        many: "edits, deletions and reactions (each becomes a message \"…\")",
        sql: "SELECT count(*) FROM changes",
    };
    pub(crate) const FILES: Counted = Counted {
        one: "file of a user",
        many: "files of users",
        sql: "SELECT count(*) FROM files WHERE state = 2",
    };
    pub(crate) const INVITES: Counted =
        Counted { one: "invitation", many: "invitations", sql: "SELECT count(*) FROM invites" };
    pub(crate) const BANS: Counted =
        Counted { one: "ban of a user", many: "bans of users", sql: "SELECT count(*) FROM bans" };
    pub(crate) const REPORTS: Counted = Counted {
        one: "report of a message",
        many: "reports of messages",
        sql: "SELECT count(*) FROM reports",
    };
    pub(crate) const AUDIT: Counted = Counted {
        one: "entry of the audit log",
        many: "entries of the audit log",
        sql: "SELECT count(*) FROM audit",
    };
    pub(crate) const REMOVALS: Counted = Counted {
        one: "removal of a member",
        many: "removals of members",
        sql: "SELECT count(*) FROM removed_members",
    };
    pub(crate) const BOTS: Counted =
        Counted { one: "bot", many: "bots", sql: "SELECT count(*) FROM bots WHERE token_hash IS NOT NULL" };
    pub(crate) const SUBJECTS: Counted = Counted {
        one: "user of an OpenID provider",
        many: "users of an OpenID provider",
        sql: "SELECT count(*) FROM subjects",
    };
    pub(crate) const OUTGOING: Counted = Counted {
        one: "outgoing webhook",
        many: "outgoing webhooks",
        sql: "SELECT count(*) FROM outgoing_webhooks",
    };
    #[cfg(feature = "postgres")]
    pub(crate) const SECRETS: Counted = Counted {
        one: "secret of the servers (everybody has to sign in again)",
        many: "secrets of the servers (everybody has to sign in again)",
        sql: "SELECT count(*) FROM secrets",
    };
    #[cfg(feature = "postgres")]
    pub(crate) const PICTURES: Counted = Counted {
        one: "picture of an account (only a server that has shown it keeps it)",
        many: "pictures of accounts (only a server that has shown one keeps it)",
        sql: "SELECT count(*) FROM pictures",
    };
    pub(crate) const PUSH: Counted = Counted {
        one: "subscription to notifications",
        many: "subscriptions to notifications",
        sql: "SELECT count(*) FROM push_subscriptions",
    };
    pub(crate) const REPLIES: Counted = Counted {
        one: "reference of a reply to its message",
        many: "references of replies to their messages",
        sql: "SELECT count(*) FROM entries WHERE reply_to IS NOT NULL",
    };
}

impl Step {
    fn up(&self) -> Migration {
        self.migration(MigrationType::ReversibleUp, self.up)
    }

    fn down(&self) -> Migration {
        self.migration(MigrationType::ReversibleDown, self.down)
    }

    fn migration(&self, kind: MigrationType, sql: &'static str) -> Migration {
        Migration::new(self.version, self.name.into(), kind, sql.into_sql_str(), false)
    }
}

/// A step that a database has.
pub(crate) struct Recorded {
    pub(crate) version: i64,
    pub(crate) name: String,
    pub(crate) checksum: Vec<u8>,
}

impl Recorded {
    pub(crate) fn status(&self) -> MigrationStatus {
        MigrationStatus { version: self.version, name: self.name.clone(), applied: true }
    }
}

/// What undoing the newest step deletes. `count` counts with one query.
pub(crate) async fn losses(
    step: &Step,
    mut count: impl AsyncFnMut(&'static str) -> Result<i64, sqlx::Error>,
) -> Result<Vec<Loss>, sqlx::Error> {
    let mut losses = Vec::new();
    for Counted { one, many, sql } in step.loses {
        if let Ok(rows @ 1..) = u64::try_from(count(sql).await?) {
            losses.push(Loss { rows, one, many });
        }
    }
    Ok(losses)
}

/// Refuses steps that another program recorded: some programs use the same table.
pub(crate) fn refuse_others(recorded: &[Recorded], steps: &[Step], database: &str) -> Result<(), StoreError> {
    match (recorded.first(), steps.first()) {
        (Some(found), Some(ours)) if (found.version, found.name.as_str()) != (ours.version, ours.name) => {
            Err(StoreError::NotOurs { database: database.to_owned() })
        }
        _ => Ok(()),
    }
}

/// Refuses the steps of a newer version, and steps with another text than this version's.
pub(crate) fn refuse_unknown(
    recorded: &[Recorded],
    steps: &[Step],
    database: &str,
) -> Result<(), StoreError> {
    let known = steps.last().map_or(0, |step| step.version);
    for recorded in recorded.iter().rev() {
        let found = recorded.version;
        let Some(step) = steps.iter().find(|step| step.version == found) else {
            return Err(StoreError::NewerSchema { database: database.to_owned(), found, known });
        };
        if step.up().checksum != recorded.checksum {
            let changed = format!("its migration {found} is not the one of this version");
            return Err(StoreError::cannot_open(database, changed));
        }
    }
    Ok(())
}

/// Applies the missing steps, each in a transaction, and returns them. The caller
/// holds the database's lock: two at once would both find a step missing.
///
/// By hand instead of by sqlx's `Migrator`, whose futures are not `Send` with a
/// single connection (`Acquire` is "not general enough").
pub(crate) async fn apply_missing(
    connection: &mut impl Migrate,
    recorded: &[Recorded],
    steps: &[Step],
) -> Result<Vec<MigrationStatus>, MigrateError> {
    connection.ensure_migrations_table(TABLE).await?;
    let mut applied = Vec::new();
    for step in steps {
        if recorded.iter().all(|done| done.version != step.version) {
            connection.apply(TABLE, &step.up()).await?;
            applied.push(MigrationStatus { version: step.version, name: step.name.into(), applied: true });
        }
    }
    Ok(applied)
}

/// Undoes a step. That it is one of ours was checked before.
pub(crate) async fn revert(
    connection: &mut impl Migrate,
    version: i64,
    steps: &[Step],
) -> Result<(), MigrateError> {
    if let Some(step) = steps.iter().find(|step| step.version == version) {
        connection.revert(TABLE, &step.down()).await?;
    }
    Ok(())
}

/// The table in which sqlx records the steps of a database.
const TABLE: &str = "_sqlx_migrations";

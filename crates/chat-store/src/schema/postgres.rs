//! The schema of a Postgres database.

use sqlx::Row as _;
use sqlx::postgres::PgConnection;

use super::{Counted, Recorded, Step, lost, refuse_others, refuse_unknown};
use crate::{PostgresUrl, StoreError};

/// Refuses every schema but this version's and those that it can live with, and changes nothing.
pub(crate) async fn check(connection: &mut PgConnection, url: &PostgresUrl) -> Result<(), StoreError> {
    let recorded = usable(connection, url).await?;
    let database = url.to_string();
    let (found, needed) =
        (recorded.last().map_or(0, |step| step.version), STEPS.last().map_or(0, |step| step.version));
    if STEPS.iter().any(|step| recorded.iter().all(|done| done.version != step.version)) {
        return Err(StoreError::OldSchema { database, found, needed });
    }
    Ok(())
}

/// The steps of this version that a database has, by number. A database with newer steps is refused
/// unless it says that servers of this version can live with them, as while the servers on it
/// are replaced one after another.
pub(crate) async fn usable(
    connection: &mut PgConnection,
    url: &PostgresUrl,
) -> Result<Vec<Recorded>, StoreError> {
    let mut recorded = recorded(connection, url).await?;
    let known = STEPS.last().map_or(0, |step| step.version);
    if recorded.last().is_some_and(|newest| newest.version > known) {
        let found = sqlx::query("SELECT value FROM meta WHERE key = 'min_compatible'")
            .fetch_optional(connection)
            .await
            .map_err(|source| StoreError::cannot_open(url, source))?;
        let oldest = found.and_then(|row| row.try_get::<&str, _>(0).ok()?.parse::<i64>().ok());
        if oldest.is_some_and(|oldest| oldest <= known) {
            recorded.retain(|step| step.version <= known);
        }
    }
    refuse_unknown(&recorded, STEPS, &url.to_string())?;
    Ok(recorded)
}

/// The steps that a database has, by number; none for one without the table of
/// steps. Unlike a file, it may have tables of other programs.
pub(crate) async fn recorded(
    connection: &mut PgConnection,
    url: &PostgresUrl,
) -> Result<Vec<Recorded>, StoreError> {
    let failed = |source| StoreError::cannot_open(url, source);
    let table = sqlx::query("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    if !table.try_get::<bool, _>(0).map_err(failed)? {
        return Ok(Vec::new());
    }
    let rows = sqlx::query("SELECT version, description, checksum FROM _sqlx_migrations ORDER BY version")
        .fetch_all(connection)
        .await
        .map_err(failed)?;
    let mut steps = Vec::with_capacity(rows.len());
    for row in rows {
        steps.push(Recorded {
            version: row.try_get(0).map_err(failed)?,
            name: row.try_get(1).map_err(failed)?,
            checksum: row.try_get(2).map_err(failed)?,
        });
    }
    refuse_others(&steps, STEPS, &url.to_string())?;
    Ok(steps)
}

/// A `users` table that was taken over from the original stays.
const MADE_ACCOUNTS: Counted = Counted {
    sql: "SELECT count(*) FROM users WHERE (SELECT value FROM meta WHERE key = 'users') = 'made'",
    ..lost::ACCOUNTS
};

pub(crate) const STEPS: &[Step] = &[
    Step {
        version: 1,
        name: "accounts",
        up: include_str!("../../migrations/postgres/0001_accounts.up.sql"),
        down: include_str!("../../migrations/postgres/0001_accounts.down.sql"),
        loses: &[MADE_ACCOUNTS, lost::SESSIONS],
    },
    Step {
        version: 2,
        name: "log",
        up: include_str!("../../migrations/postgres/0002_log.up.sql"),
        down: include_str!("../../migrations/postgres/0002_log.down.sql"),
        loses: &[lost::MESSAGES],
    },
    Step {
        version: 3,
        name: "names",
        up: include_str!("../../migrations/postgres/0003_names.up.sql"),
        down: include_str!("../../migrations/postgres/0003_names.down.sql"),
        loses: &[lost::REMOVED_NAMES],
    },
    Step {
        version: 4,
        name: "sessions",
        up: include_str!("../../migrations/postgres/0004_sessions.up.sql"),
        down: include_str!("../../migrations/postgres/0004_sessions.down.sql"),
        loses: &[lost::DEVICES],
    },
    Step {
        version: 5,
        name: "conversations",
        up: include_str!("../../migrations/postgres/0005_conversations.up.sql"),
        down: include_str!("../../migrations/postgres/0005_conversations.down.sql"),
        loses: &[],
    },
    Step {
        version: 6,
        name: "retention",
        up: include_str!("../../migrations/postgres/0006_retention.up.sql"),
        down: include_str!("../../migrations/postgres/0006_retention.down.sql"),
        loses: &[lost::NONCES],
    },
    Step {
        version: 7,
        name: "administrators",
        up: include_str!("../../migrations/postgres/0007_administrators.up.sql"),
        down: include_str!("../../migrations/postgres/0007_administrators.down.sql"),
        loses: &[lost::ADMINISTRATORS],
    },
    Step {
        version: 8,
        name: "rooms",
        up: include_str!("../../migrations/postgres/0008_rooms.up.sql"),
        down: include_str!("../../migrations/postgres/0008_rooms.down.sql"),
        loses: &[lost::CLOSED_ROOMS, lost::MEMBERSHIPS, lost::MENTIONS],
    },
    Step {
        version: 9,
        name: "changes",
        up: include_str!("../../migrations/postgres/0009_changes.up.sql"),
        down: include_str!("../../migrations/postgres/0009_changes.down.sql"),
        loses: &[lost::CHANGES, lost::REPLIES],
    },
    Step {
        version: 10,
        name: "files",
        up: include_str!("../../migrations/postgres/0010_files.up.sql"),
        down: include_str!("../../migrations/postgres/0010_files.down.sql"),
        loses: &[lost::FILES],
    },
    Step {
        version: 11,
        name: "search",
        up: include_str!("../../migrations/postgres/0011_search.up.sql"),
        down: include_str!("../../migrations/postgres/0011_search.down.sql"),
        loses: &[],
    },
    Step {
        version: 12,
        name: "administration",
        up: include_str!("../../migrations/postgres/0012_administration.up.sql"),
        down: include_str!("../../migrations/postgres/0012_administration.down.sql"),
        loses: &[lost::INVITES, lost::BANS, lost::REPORTS, lost::AUDIT],
    },
    Step {
        version: 13,
        name: "moderation",
        up: include_str!("../../migrations/postgres/0013_moderation.up.sql"),
        down: include_str!("../../migrations/postgres/0013_moderation.down.sql"),
        loses: &[lost::REMOVALS],
    },
    Step {
        version: 14,
        name: "push",
        up: include_str!("../../migrations/postgres/0014_push.up.sql"),
        down: include_str!("../../migrations/postgres/0014_push.down.sql"),
        loses: &[lost::PUSH],
    },
    Step {
        version: 15,
        name: "bots",
        up: include_str!("../../migrations/postgres/0015_bots.up.sql"),
        down: include_str!("../../migrations/postgres/0015_bots.down.sql"),
        loses: &[lost::BOTS],
    },
    Step {
        version: 16,
        name: "subjects",
        up: include_str!("../../migrations/postgres/0016_subjects.up.sql"),
        down: include_str!("../../migrations/postgres/0016_subjects.down.sql"),
        loses: &[lost::SUBJECTS],
    },
    Step {
        version: 17,
        name: "outgoing",
        up: include_str!("../../migrations/postgres/0017_outgoing.up.sql"),
        down: include_str!("../../migrations/postgres/0017_outgoing.down.sql"),
        loses: &[lost::OUTGOING],
    },
    Step {
        version: 18,
        name: "push_shares",
        up: include_str!("../../migrations/postgres/0018_push_shares.up.sql"),
        down: include_str!("../../migrations/postgres/0018_push_shares.down.sql"),
        loses: &[],
    },
    Step {
        version: 19,
        name: "feed",
        up: include_str!("../../migrations/postgres/0019_feed.up.sql"),
        down: include_str!("../../migrations/postgres/0019_feed.down.sql"),
        loses: &[],
    },
    Step {
        version: 20,
        name: "shared",
        up: include_str!("../../migrations/postgres/0020_shared.up.sql"),
        down: include_str!("../../migrations/postgres/0020_shared.down.sql"),
        loses: &[lost::SECRETS, lost::PICTURES],
    },
    Step {
        version: 21,
        name: "bus",
        up: include_str!("../../migrations/postgres/0021_bus.up.sql"),
        down: include_str!("../../migrations/postgres/0021_bus.down.sql"),
        loses: &[],
    },
    Step {
        version: 22,
        name: "barrier",
        up: include_str!("../../migrations/postgres/0022_barrier.up.sql"),
        down: include_str!("../../migrations/postgres/0022_barrier.down.sql"),
        loses: &[],
    },
];

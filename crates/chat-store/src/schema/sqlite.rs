//! The schema of an SQLite file.

use std::path::Path;

use sqlx::Row as _;
use sqlx::sqlite::SqliteConnection;

use super::{MigrationStatus, Recorded, Step, apply_missing, lost, refuse_others, refuse_unknown};
use crate::StoreError;
use crate::open_error::{explained, not_ours, read_failed};

/// Refuses, before anything is written, a database of another program or of a
/// newer version of this one, and one whose steps have another text.
pub(crate) async fn check(connection: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    let recorded = recorded(connection, path).await?;
    refuse_unknown(&recorded, STEPS, &path.display().to_string())
}

/// Refuses a file that is not the database of a chat; an empty file is not.
pub(crate) async fn check_ours(connection: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    let recorded = recorded(connection, path).await?;
    if recorded.iter().all(|step| step.version < LOG) {
        return Err(not_ours(path));
    }
    refuse_unknown(&recorded, STEPS, &path.display().to_string())
}

/// The step that creates the log, and the table with the store's own facts.
const LOG: i64 = 2;

/// Applies the missing steps and returns them. The caller holds the file's lock.
pub(crate) async fn run(
    connection: &mut SqliteConnection,
    path: &Path,
) -> Result<Vec<MigrationStatus>, StoreError> {
    let recorded = recorded(connection, path).await?;
    let applied = apply_missing(connection, &recorded, STEPS).await;
    applied.map_err(|source| explained(path, StoreError::cannot_open(path.display(), source)))
}

/// The steps that a database has, by number; none for an empty one.
pub(crate) async fn recorded(
    connection: &mut SqliteConnection,
    path: &Path,
) -> Result<Vec<Recorded>, StoreError> {
    let failed = |error| read_failed(path, error);
    let tables = sqlx::query("SELECT count(*), count(*) FILTER (WHERE name = '_sqlx_migrations') FROM sqlite_schema WHERE type = 'table'")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    let (all, ours): (i64, i64) = (tables.try_get(0).map_err(failed)?, tables.try_get(1).map_err(failed)?);
    if ours == 0 {
        return if all == 0 { Ok(Vec::new()) } else { Err(not_ours(path)) };
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
    refuse_others(&steps, STEPS, &path.display().to_string())?;
    Ok(steps)
}

pub(crate) const STEPS: &[Step] = &[
    Step {
        version: 1,
        name: "accounts",
        up: include_str!("../../migrations/sqlite/0001_accounts.up.sql"),
        down: include_str!("../../migrations/sqlite/0001_accounts.down.sql"),
        loses: &[lost::ACCOUNTS, lost::SESSIONS],
    },
    Step {
        version: 2,
        name: "log",
        up: include_str!("../../migrations/sqlite/0002_log.up.sql"),
        down: include_str!("../../migrations/sqlite/0002_log.down.sql"),
        loses: &[lost::MESSAGES],
    },
    Step {
        version: 3,
        name: "names",
        up: include_str!("../../migrations/sqlite/0003_names.up.sql"),
        down: include_str!("../../migrations/sqlite/0003_names.down.sql"),
        loses: &[lost::REMOVED_NAMES],
    },
    Step {
        version: 4,
        name: "sessions",
        up: include_str!("../../migrations/sqlite/0004_sessions.up.sql"),
        down: include_str!("../../migrations/sqlite/0004_sessions.down.sql"),
        loses: &[lost::DEVICES],
    },
    Step {
        version: 5,
        name: "conversations",
        up: include_str!("../../migrations/sqlite/0005_conversations.up.sql"),
        down: include_str!("../../migrations/sqlite/0005_conversations.down.sql"),
        loses: &[],
    },
    Step {
        version: 6,
        name: "retention",
        up: include_str!("../../migrations/sqlite/0006_retention.up.sql"),
        down: include_str!("../../migrations/sqlite/0006_retention.down.sql"),
        loses: &[lost::NONCES],
    },
    Step {
        version: 7,
        name: "administrators",
        up: include_str!("../../migrations/sqlite/0007_administrators.up.sql"),
        down: include_str!("../../migrations/sqlite/0007_administrators.down.sql"),
        loses: &[lost::ADMINISTRATORS],
    },
    Step {
        version: 8,
        name: "rooms",
        up: include_str!("../../migrations/sqlite/0008_rooms.up.sql"),
        down: include_str!("../../migrations/sqlite/0008_rooms.down.sql"),
        loses: &[lost::CLOSED_ROOMS, lost::MEMBERSHIPS, lost::MENTIONS],
    },
    Step {
        version: 9,
        name: "changes",
        up: include_str!("../../migrations/sqlite/0009_changes.up.sql"),
        down: include_str!("../../migrations/sqlite/0009_changes.down.sql"),
        loses: &[lost::CHANGES, lost::REPLIES],
    },
    Step {
        version: 10,
        name: "files",
        up: include_str!("../../migrations/sqlite/0010_files.up.sql"),
        down: include_str!("../../migrations/sqlite/0010_files.down.sql"),
        loses: &[lost::FILES],
    },
    Step {
        version: 11,
        name: "search",
        up: include_str!("../../migrations/sqlite/0011_search.up.sql"),
        down: include_str!("../../migrations/sqlite/0011_search.down.sql"),
        loses: &[],
    },
    Step {
        version: 12,
        name: "administration",
        up: include_str!("../../migrations/sqlite/0012_administration.up.sql"),
        down: include_str!("../../migrations/sqlite/0012_administration.down.sql"),
        loses: &[lost::INVITES, lost::BANS, lost::REPORTS, lost::AUDIT],
    },
    Step {
        version: 13,
        name: "moderation",
        up: include_str!("../../migrations/sqlite/0013_moderation.up.sql"),
        down: include_str!("../../migrations/sqlite/0013_moderation.down.sql"),
        loses: &[lost::REMOVALS],
    },
    Step {
        version: 14,
        name: "push",
        up: include_str!("../../migrations/sqlite/0014_push.up.sql"),
        down: include_str!("../../migrations/sqlite/0014_push.down.sql"),
        loses: &[lost::PUSH],
    },
    Step {
        version: 15,
        name: "bots",
        up: include_str!("../../migrations/sqlite/0015_bots.up.sql"),
        down: include_str!("../../migrations/sqlite/0015_bots.down.sql"),
        loses: &[lost::BOTS],
    },
    Step {
        version: 16,
        name: "subjects",
        up: include_str!("../../migrations/sqlite/0016_subjects.up.sql"),
        down: include_str!("../../migrations/sqlite/0016_subjects.down.sql"),
        loses: &[lost::SUBJECTS],
    },
    Step {
        version: 17,
        name: "outgoing",
        up: include_str!("../../migrations/sqlite/0017_outgoing.up.sql"),
        down: include_str!("../../migrations/sqlite/0017_outgoing.down.sql"),
        loses: &[lost::OUTGOING],
    },
    Step {
        version: 18,
        name: "push_shares",
        up: include_str!("../../migrations/sqlite/0018_push_shares.up.sql"),
        down: include_str!("../../migrations/sqlite/0018_push_shares.down.sql"),
        loses: &[],
    },
    Step {
        version: 19,
        name: "feed",
        up: include_str!("../../migrations/sqlite/0019_feed.up.sql"),
        down: include_str!("../../migrations/sqlite/0019_feed.down.sql"),
        loses: &[],
    },
    Step {
        version: 20,
        name: "shared",
        up: include_str!("../../migrations/sqlite/0020_shared.up.sql"),
        down: include_str!("../../migrations/sqlite/0020_shared.down.sql"),
        loses: &[],
    },
    Step {
        version: 21,
        name: "bus",
        up: include_str!("../../migrations/sqlite/0021_bus.up.sql"),
        down: include_str!("../../migrations/sqlite/0021_bus.down.sql"),
        loses: &[],
    },
    Step {
        version: 22,
        name: "barrier",
        up: include_str!("../../migrations/sqlite/0022_barrier.up.sql"),
        down: include_str!("../../migrations/sqlite/0022_barrier.down.sql"),
        loses: &[],
    },
];

//! Copying between a Postgres database and a backup.

use futures_util::TryStreamExt as _;
use serde_json::Value;
use sqlx::postgres::PgConnection;
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use super::tables::{Kind, ROWS_AT_ONCE, TABLES, Table, json};
use super::{COUNT_FILES, ExistingData};
use crate::postgres::{connect, exclude_servers};
use crate::rows::Columns;
use crate::schema::postgres::check as check_schema;
use crate::{PostgresUrl, StoreError};

/// Copies all rows into a backup, as they are at one moment, some at a time.
pub(super) async fn read(url: &PostgresUrl, to: &mut SqliteConnection) -> Result<(), StoreError> {
    let mut from = connect(url).await?;
    check_schema(&mut from, url).await?;
    run(&mut from, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    // One transaction, as the file has no journal and is useless before its end.
    sqlx::query("BEGIN").execute(&mut *to).await.map_err(StoreError::unavailable)?;
    for table in TABLES {
        let name = table.name;
        let select = table.select_postgres();
        run(&mut from, format!("DECLARE {name}_rows NO SCROLL CURSOR FOR {select}")).await?;
        loop {
            let fetch = AssertSqlSafe(format!("FETCH {ROWS_AT_ONCE} FROM {name}_rows"));
            let found = sqlx::query(fetch).fetch_all(&mut from).await.map_err(StoreError::unavailable)?;
            if found.is_empty() {
                break;
            }
            let rows = found.iter().map(|row| values(table, row)).collect::<Result<Vec<_>, _>>()?;
            sqlx::query(AssertSqlSafe(table.insert_sqlite()))
                .bind(json(&rows))
                .execute(&mut *to)
                .await
                .map_err(StoreError::unavailable)?;
        }
        run(&mut from, format!("CLOSE {name}_rows")).await?;
    }
    sqlx::query(COUNT_FILES).execute(&mut *to).await.map_err(StoreError::unavailable)?;
    sqlx::query("COMMIT").execute(to).await.map_err(StoreError::unavailable)?;
    from.close().await.map_err(StoreError::unavailable)
}

/// The values of a row with the columns of a table, from either database.
fn values(table: &Table, row: &impl Columns) -> Result<Vec<Value>, StoreError> {
    let value = |(index, (_, kind)): (usize, &(&str, Kind))| match kind {
        Kind::Number | Kind::Moment => row.integer_or_null(index).map(Value::from),
        Kind::Text => row.text_or_null(index).map(Value::from),
    };
    table.columns.iter().enumerate().map(value).collect()
}

/// Refuses a database that a server uses, one of another version, and one with data that
/// must not be replaced.
pub(super) async fn check(url: &PostgresUrl, existing: ExistingData) -> Result<(), StoreError> {
    let mut connection = connect(url).await?;
    check_schema(&mut connection, url).await?;
    exclude_servers(&mut connection, url).await?;
    check_content(&mut connection, url, existing).await?;
    connection.close().await.map_err(StoreError::unavailable)
}

async fn check_content(
    connection: &mut PgConnection,
    url: &PostgresUrl,
    existing: ExistingData,
) -> Result<(), StoreError> {
    let row = sqlx::query(HAS_CONTENT).fetch_one(&mut *connection).await;
    let has_content: bool = row.and_then(|row| row.try_get(0)).map_err(StoreError::unavailable)?;
    if has_content && existing == ExistingData::Refuse {
        return Err(StoreError::NotEmpty { database: url.to_string() });
    }
    Ok(())
}

/// Inserts all rows of a backup, in one transaction.
pub(super) async fn write(
    from: &mut SqliteConnection,
    url: &PostgresUrl,
    existing: ExistingData,
) -> Result<(), StoreError> {
    let mut to = connect(url).await?;
    // Outside of the transaction, which would see the same sessions all the time.
    exclude_servers(&mut to, url).await?;
    run(&mut to, "BEGIN").await?;
    // No other program writes until the transaction ends.
    run(&mut to, format!("LOCK TABLE meta, users, {REPLACED}")).await?;
    check_content(&mut to, url, existing).await?;
    // Other tables may refer to the accounts of the original: DELETE checks them.
    run(&mut to, format!("TRUNCATE {REPLACED}")).await?;
    run(&mut to, "DELETE FROM users").await?;
    run(&mut to, "DELETE FROM meta WHERE key = 'epoch'").await?;
    for table in TABLES {
        let select = AssertSqlSafe(table.select_sqlite());
        let mut found = sqlx::query(select).fetch(&mut *from).try_chunks(ROWS_AT_ONCE);
        while let Some(some) = found.try_next().await.map_err(|error| StoreError::unavailable(error.1))? {
            let rows = some.iter().map(|row| values(table, row)).collect::<Result<Vec<_>, _>>()?;
            sqlx::query(AssertSqlSafe(table.insert_postgres()))
                .bind(json(&rows))
                .execute(&mut to)
                .await
                .map_err(StoreError::unavailable)?;
        }
    }
    for next in NEXT_IDS {
        run(&mut to, next).await?;
    }
    run(&mut to, COUNT_FILES).await?;
    run(&mut to, "COMMIT").await?;
    to.close().await.map_err(StoreError::unavailable)
}

async fn run(connection: &mut PgConnection, sql: impl Into<String>) -> Result<(), StoreError> {
    let done = sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(connection).await;
    done.map(drop).map_err(StoreError::unavailable)
}

/// The tables that a restore empties, in addition to `users`. The secrets stay: they are of the
/// servers, and in no backup. A server brings the pictures from its folder.
const REPLACED: &str = "names, name_words, administrators, sessions, topics, entries, nonces,
    outlived_nonces, rooms, members, marks, mentions, members_fill, left_rooms, changes, states,
    reactions, remembered_nonces, files, server_profile, invites, bans, password_links, reports, audit,
    removed_members, push_key, push_subscriptions, push_queue, push_progress, push_failures,
    bots, bot_rooms, webhooks, outgoing_webhooks, outgoing_queue, subjects, pictures,
    counted_attempts";

const HAS_CONTENT: &str =
    "SELECT EXISTS (SELECT FROM users) OR EXISTS (SELECT FROM names) OR EXISTS (SELECT FROM topics)";

const NEXT_IDS: [&str; 3] = [
    "SELECT setval(pg_get_serial_sequence('topics', 'id'), coalesce(max(id), 0) + 1, false) FROM topics",
    "SELECT setval(pg_get_serial_sequence('reports', 'id'), coalesce(max(id), 0) + 1, false) FROM reports",
    "SELECT setval(pg_get_serial_sequence('audit', 'id'), coalesce(max(id), 0) + 1, false) FROM audit",
];

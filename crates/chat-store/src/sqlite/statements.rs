//! Running statements that both databases understand.

use std::ops::ControlFlow;

use futures_util::TryStreamExt as _;
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteConnection, SqlitePool, SqliteRow};

use crate::administration::database;
use crate::changes::sql::ChangeSql;
use crate::files::sql::FileSql;
use crate::list::{self, List};
use crate::pages::{self, sql::Pages};
use crate::rooms::sql::{self, Sql};
use crate::rows::Columns;
use crate::statements::{Statements, Value};
use crate::{StoreError, bots, changes, files};

/// Inside the caller's transaction.
impl Statements for SqliteConnection {
    type Row = SqliteRow;
    type Error = StoreError;

    const SQL: Sql = sql::SQLITE;
    const CHANGES: ChangeSql = changes::sql::SQLITE;
    const FILES: FileSql = files::sql::SQLITE;
    const PAGES: Pages = pages::sql::SQLITE;
    const BANS_OF: &'static str = database::BANS_OF_SQLITE;
    const BOTS_AMONG: &'static str = bots::database::AMONG_SQLITE;
    const LOCK_USER: Option<&'static str> = None;
    const LIMITS_BYTES: bool = false;

    async fn rows(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<SqliteRow>, StoreError> {
        query(sql, values).fetch_all(self).await.map_err(StoreError::unavailable)
    }

    async fn list<T: Send>(
        &mut self,
        list: List,
        values: &[Value<'_>],
        read: impl Fn(&dyn Columns) -> Result<T, StoreError> + Send,
    ) -> Result<Vec<T>, StoreError> {
        let row = query(list.sqlite, values).fetch_one(self).await.map_err(StoreError::unavailable)?;
        list::read_json(row.text(0)?, read)
    }

    async fn each(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
        mut read: impl FnMut(&dyn Columns) -> Result<ControlFlow<()>, StoreError> + Send,
    ) -> Result<(), StoreError> {
        let mut rows = query(sql, values).fetch(self);
        while let Some(row) = rows.try_next().await.map_err(StoreError::unavailable)? {
            if read(&row)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// Each statement on any of the connections.
impl Statements for &SqlitePool {
    type Row = SqliteRow;
    type Error = StoreError;

    const SQL: Sql = sql::SQLITE;
    const CHANGES: ChangeSql = changes::sql::SQLITE;
    const FILES: FileSql = files::sql::SQLITE;
    const PAGES: Pages = pages::sql::SQLITE;
    const BANS_OF: &'static str = database::BANS_OF_SQLITE;
    const BOTS_AMONG: &'static str = bots::database::AMONG_SQLITE;
    const LOCK_USER: Option<&'static str> = None;
    const LIMITS_BYTES: bool = false;

    async fn rows(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<SqliteRow>, StoreError> {
        query(sql, values).fetch_all(*self).await.map_err(StoreError::unavailable)
    }

    async fn list<T: Send>(
        &mut self,
        list: List,
        values: &[Value<'_>],
        read: impl Fn(&dyn Columns) -> Result<T, StoreError> + Send,
    ) -> Result<Vec<T>, StoreError> {
        let row = query(list.sqlite, values).fetch_one(*self).await.map_err(StoreError::unavailable)?;
        list::read_json(row.text(0)?, read)
    }

    async fn each(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
        mut read: impl FnMut(&dyn Columns) -> Result<ControlFlow<()>, StoreError> + Send,
    ) -> Result<(), StoreError> {
        let mut rows = query(sql, values).fetch(*self);
        while let Some(row) = rows.try_next().await.map_err(StoreError::unavailable)? {
            if read(&row)?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

fn query<'a>(sql: &'static str, values: &[Value<'a>]) -> Query<'a, Sqlite, SqliteArguments> {
    values.iter().fold(sqlx::query(sql), |query, value| match *value {
        Value::Text(text) => query.bind(text),
        Value::TextOrNull(text) => query.bind(text),
        Value::Number(number) => query.bind(number),
        Value::NumberOrNull(number) => query.bind(number),
    })
}

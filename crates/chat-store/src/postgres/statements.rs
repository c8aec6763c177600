//! Running statements that both databases understand.

use std::ops::ControlFlow;

use sqlx::postgres::{PgConnection, PgRow};

use super::failure::Failure;
use super::pool::{Pool, Query};
use crate::administration::database;
use crate::changes::sql::ChangeSql;
use crate::files::sql::FileSql;
use crate::list::List;
use crate::pages::{self, sql::Pages};
use crate::rooms::sql::{self, Sql};
use crate::rows::Columns;
use crate::statements::{Statements, Value};
use crate::{StoreError, bots, changes, files};

/// Inside the caller's transaction.
impl Statements for PgConnection {
    type Row = PgRow;
    type Error = Failure;

    const SQL: Sql = sql::POSTGRES;
    const CHANGES: ChangeSql = changes::sql::POSTGRES;
    const FILES: FileSql = files::sql::POSTGRES;
    const PAGES: Pages = pages::sql::POSTGRES;
    const BANS_OF: &'static str = database::BANS_OF_POSTGRES;
    const BOTS_AMONG: &'static str = bots::database::AMONG_POSTGRES;
    const LOCK_USER: Option<&'static str> = Some(LOCK_USER);
    const LIMITS_BYTES: bool = true;

    async fn rows(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<PgRow>, Failure> {
        Ok(query(sql, values).fetch_all(self).await?)
    }

    async fn list<T: Send>(
        &mut self,
        list: List,
        values: &[Value<'_>],
        read: impl Fn(&dyn Columns) -> Result<T, StoreError> + Send,
    ) -> Result<Vec<T>, Failure> {
        let rows = query(list.postgres, values).fetch_all(self).await?;
        Ok(rows.iter().map(|row| read(row)).collect::<Result<_, StoreError>>()?)
    }

    async fn each(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
        mut read: impl FnMut(&dyn Columns) -> Result<ControlFlow<()>, StoreError> + Send,
    ) -> Result<(), Failure> {
        let rows = query(sql, values).fetch_all(self).await?;
        Ok(rows.iter().try_for_each(|row| read(row).map(drop))?)
    }
}

/// Each statement on any of the connections, and again if its connection was lost.
impl Statements for &Pool {
    type Row = PgRow;
    type Error = StoreError;

    const SQL: Sql = sql::POSTGRES;
    const CHANGES: ChangeSql = changes::sql::POSTGRES;
    const FILES: FileSql = files::sql::POSTGRES;
    const PAGES: Pages = pages::sql::POSTGRES;
    const BANS_OF: &'static str = database::BANS_OF_POSTGRES;
    const BOTS_AMONG: &'static str = bots::database::AMONG_POSTGRES;
    const LOCK_USER: Option<&'static str> = Some(LOCK_USER);
    const LIMITS_BYTES: bool = true;

    async fn rows(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<PgRow>, StoreError> {
        Pool::rows(self, || query(sql, values)).await
    }

    async fn list<T: Send>(
        &mut self,
        list: List,
        values: &[Value<'_>],
        read: impl Fn(&dyn Columns) -> Result<T, StoreError> + Send,
    ) -> Result<Vec<T>, StoreError> {
        let rows = Pool::rows(self, || query(list.postgres, values)).await?;
        rows.iter().map(|row| read(row)).collect()
    }

    async fn each(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
        mut read: impl FnMut(&dyn Columns) -> Result<ControlFlow<()>, StoreError> + Send,
    ) -> Result<(), StoreError> {
        let rows = Pool::rows(self, || query(sql, values)).await?;
        rows.iter().try_for_each(|row| read(row).map(drop))
    }
}

/// A lock of two keys: "chat" in ASCII, and the user. Two users with the same second key wait
/// for each other. It is apart from the locks of one key, as `ROLES_LOCK`.
const LOCK_USER: &str = "SELECT pg_advisory_xact_lock(1667785076, hashtext($1))";

fn query<'a>(sql: &'static str, values: &[Value<'a>]) -> Query<'a> {
    values.iter().fold(sqlx::query(sql), |query, value| match *value {
        Value::Text(text) => query.bind(text),
        Value::TextOrNull(text) => query.bind(text),
        Value::Number(number) => query.bind(number),
        Value::NumberOrNull(number) => query.bind(number),
    })
}

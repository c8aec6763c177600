//! Running statements that both databases understand.

use sqlx::postgres::{PgConnection, PgRow};

use super::failure::Failure;
use super::pool::{Pool, Query};
use crate::StoreError;
use crate::rooms::sql::{self, Sql};
use crate::statements::{Statements, Value};

/// Inside the caller's transaction.
impl Statements for PgConnection {
    type Row = PgRow;
    type Error = Failure;

    const SQL: Sql = sql::POSTGRES;

    async fn rows(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<PgRow>, Failure> {
        Ok(query(sql, values).fetch_all(self).await?)
    }
}

/// Each statement on any of the connections, and again if its connection was lost.
impl Statements for &Pool {
    type Row = PgRow;
    type Error = StoreError;

    const SQL: Sql = sql::POSTGRES;

    async fn rows(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<PgRow>, StoreError> {
        Pool::rows(self, || query(sql, values)).await
    }
}

fn query<'a>(sql: &'static str, values: &[Value<'a>]) -> Query<'a> {
    values.iter().fold(sqlx::query(sql), |query, value| match *value {
        Value::Text(text) => query.bind(text),
        Value::Number(number) => query.bind(number),
    })
}

//! Statements that both databases understand, run on either of them.

use std::ops::ControlFlow;

use crate::StoreError;
use crate::changes::sql::ChangeSql;
use crate::files::sql::FileSql;
use crate::list::List;
use crate::pages::sql::Pages;
use crate::rooms::sql::Sql;
use crate::rows::Columns;

/// A connection, or connections, to either database. What is made of several statements
/// is made on one connection, in a transaction.
///
/// Parameters are written `$1`: SQLite understands Postgres's way. A limit is written
/// `LIMIT $1 + 0`: SQLite would plan a statement with `LIMIT $1` anew for each call, because its
/// value may change the plan, and that takes about as long as reading 100 rows.
pub(crate) trait Statements: Send {
    type Row: Columns + Send + Sync;
    type Error: From<StoreError> + Send;

    /// The statements that differ between the databases.
    const SQL: Sql;
    /// Those about changes of messages.
    const CHANGES: ChangeSql;
    /// Those about files.
    const FILES: FileSql;
    /// The statements of pages.
    const PAGES: Pages;
    /// The banned users among these names in JSON.
    const BANS_OF: &'static str;
    /// The bots among these names in JSON.
    const BOTS_AMONG: &'static str;
    /// Locks what a user has made until the end of the transaction; `None` where one
    /// transaction writes at a time.
    const LOCK_USER: Option<&'static str>;
    /// Whether those take the limit of bytes.
    const LIMITS_BYTES: bool;

    /// Runs a statement and returns its rows.
    fn rows(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> impl Future<Output = Result<Vec<Self::Row>, Self::Error>> + Send;

    /// Runs a statement and returns its only row, if there is one.
    fn row(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> impl Future<Output = Result<Option<Self::Row>, Self::Error>> + Send {
        async move { Ok(self.rows(sql, values).await?.pop()) }
    }

    /// Runs a statement and reads its rows, until `read` breaks off.
    fn each(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
        read: impl FnMut(&dyn Columns) -> Result<ControlFlow<()>, StoreError> + Send,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Runs a statement that returns a list, and reads each of its rows.
    fn list<T: Send>(
        &mut self,
        list: List,
        values: &[Value<'_>],
        read: impl Fn(&dyn Columns) -> Result<T, StoreError> + Send,
    ) -> impl Future<Output = Result<Vec<T>, Self::Error>> + Send;
}

/// A parameter of a statement.
#[derive(Clone, Copy)]
pub(crate) enum Value<'a> {
    Text(&'a str),
    TextOrNull(Option<&'a str>),
    Number(i64),
    NumberOrNull(Option<i64>),
}

/// Rows as one parameter, in JSON: a statement is the same for any number of rows.
pub(crate) fn json(rows: &[impl serde::Serialize]) -> Result<String, StoreError> {
    serde_json::to_string(rows).map_err(StoreError::unavailable)
}

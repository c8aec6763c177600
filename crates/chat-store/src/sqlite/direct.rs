//! Statements on a connection whose calls return when they are done.
//!
//! sqlx runs SQLite on a thread of its own, and each statement and each row crosses over to it
//! (`docs/performance.md` has the context switches). These calls block, and are for threads that may.

use std::ops::ControlFlow;

use rusqlite::types::{ToSql, ToSqlOutput, Value as Column, ValueRef};
use rusqlite::{CachedStatement, Connection};

use crate::administration::database;
use crate::changes::sql::ChangeSql;
use crate::files::sql::FileSql;
use crate::list::{self, List};
use crate::pages::{self, sql::Pages};
use crate::rooms::sql::{self, Sql};
use crate::rows::Columns;
use crate::statements::{Statements, Value};
use crate::{StoreError, bots, changes, files};

/// Inside the caller's transaction. The futures never wait.
impl Statements for Connection {
    type Row = Row;
    type Error = StoreError;

    const SQL: Sql = sql::SQLITE;
    const CHANGES: ChangeSql = changes::sql::SQLITE;
    const FILES: FileSql = files::sql::SQLITE;
    const PAGES: Pages = pages::sql::SQLITE;
    const BANS_OF: &'static str = database::BANS_OF_SQLITE;
    const BOTS_AMONG: &'static str = bots::database::AMONG_SQLITE;
    const LOCK_USER: Option<&'static str> = None;
    const LIMITS_BYTES: bool = false;

    async fn rows(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        let mut rows = Vec::new();
        each(self, sql, values, |row| {
            rows.push(row);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(rows)
    }

    async fn list<T: Send>(
        &mut self,
        list: List,
        values: &[Value<'_>],
        read: impl Fn(&dyn Columns) -> Result<T, StoreError> + Send,
    ) -> Result<Vec<T>, StoreError> {
        let row = self.row(list.sqlite, values).await?;
        let row = row.ok_or(StoreError::Damaged { what: "a list without a row" })?;
        list::read_json(row.text(0)?, read)
    }

    async fn each(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
        mut read: impl FnMut(&dyn Columns) -> Result<ControlFlow<()>, StoreError> + Send,
    ) -> Result<(), StoreError> {
        each(self, sql, values, |row| read(&row))
    }
}

/// Runs a statement and reads its rows, until `read` breaks off.
fn each(
    connection: &Connection,
    sql: &str,
    values: &[Value<'_>],
    mut read: impl FnMut(Row) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(sql).map_err(StoreError::unavailable)?;
    bind(&mut statement, values).map_err(StoreError::unavailable)?;
    let columns = statement.column_count();
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next().map_err(StoreError::unavailable)? {
        let columns = (0..columns).map(|index| row.get(index)).collect::<Result<_, _>>();
        if read(Row(columns.map_err(StoreError::unavailable)?))?.is_break() {
            break;
        }
    }
    Ok(())
}

/// Binds the value with the number in the name of each parameter: for SQLite, `$1` is a name.
fn bind(statement: &mut CachedStatement<'_>, values: &[Value<'_>]) -> rusqlite::Result<()> {
    for parameter in 1..=statement.parameter_count() {
        let name = statement.parameter_name(parameter).unwrap_or_default();
        let number = name.get(1..).and_then(|digits| digits.parse::<usize>().ok());
        let value = number.and_then(|number| values.get(number.checked_sub(1)?));
        let value = *value.ok_or_else(|| rusqlite::Error::InvalidParameterName(name.to_owned()))?;
        statement.raw_bind_parameter(parameter, value)?;
    }
    Ok(())
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match *self {
            Self::Text(text) | Self::TextOrNull(Some(text)) => ValueRef::Text(text.as_bytes()),
            Self::Number(number) | Self::NumberOrNull(Some(number)) => ValueRef::Integer(number),
            Self::TextOrNull(None) | Self::NumberOrNull(None) => ValueRef::Null,
        }))
    }
}

/// The columns of a row.
pub(crate) struct Row(Vec<Column>);

impl Columns for Row {
    fn integer(&self, index: usize) -> Result<i64, StoreError> {
        self.integer_or_null(index)?.ok_or(OTHER_TYPE)
    }

    fn integer_or_null(&self, index: usize) -> Result<Option<i64>, StoreError> {
        match self.0.get(index) {
            Some(Column::Integer(number)) => Ok(Some(*number)),
            Some(Column::Null) => Ok(None),
            _ => Err(OTHER_TYPE),
        }
    }

    fn text(&self, index: usize) -> Result<&str, StoreError> {
        self.text_or_null(index)?.ok_or(OTHER_TYPE)
    }

    fn text_or_null(&self, index: usize) -> Result<Option<&str>, StoreError> {
        match self.0.get(index) {
            Some(Column::Text(text)) => Ok(Some(text)),
            Some(Column::Null) => Ok(None),
            _ => Err(OTHER_TYPE),
        }
    }

    fn flag(&self, index: usize) -> Result<bool, StoreError> {
        Ok(self.integer(index)? != 0)
    }
}

const OTHER_TYPE: StoreError = StoreError::Damaged { what: "a column of another type" };

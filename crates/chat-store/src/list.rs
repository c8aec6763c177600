//! Lists of many small rows: SQLite returns them as one text in JSON, because each row
//! that sqlx hands over costs several times as much as SQLite needs to find it.

#[cfg(feature = "sqlite")]
mod json;

#[cfg(feature = "sqlite")]
pub(crate) use json::read_json;

/// A statement that returns a list, in the form of each database.
#[derive(Clone, Copy)]
pub(crate) struct List {
    /// Returns one row with one column: an array of arrays, which are the rows.
    #[cfg(feature = "sqlite")]
    pub(crate) sqlite: &'static str,
    /// Returns the rows.
    #[cfg(feature = "postgres")]
    pub(crate) postgres: &'static str,
}

/// Makes a [`List`] of the columns, the tables, and the order of the rows; without an order,
/// the caller sorts them: SQLite sorts slower, because it sorts the JSON of rows. `$table` in
/// `tables` names a macro that makes a join to at most one row by its key.
macro_rules! list {
    (columns: $columns:expr, tables: $tables:ident!()) => {
        $crate::list::List {
            #[cfg(feature = "sqlite")]
            sqlite: concat!("SELECT json_group_array(json_array(", $columns, "))", $tables!(sqlite)),
            #[cfg(feature = "postgres")]
            postgres: concat!("SELECT ", $columns, $tables!(postgres)),
        }
    };
    (columns: $columns:expr, tables: $tables:ident!(), order: $order:literal) => {
        $crate::list::List {
            #[cfg(feature = "sqlite")]
            sqlite: concat!(
                "SELECT json_group_array(json_array(",
                $columns,
                ") ORDER BY ",
                $order,
                ")",
                $tables!(sqlite)
            ),
            #[cfg(feature = "postgres")]
            postgres: concat!("SELECT ", $columns, $tables!(postgres), " ORDER BY ", $order),
        }
    };
}
pub(crate) use list;

/// A join to the row of a table with this key, if there is one.
///
/// SQLite looks each row up by its key with LEFT JOIN, which keeps the order of the tables.
/// Without statistics, Postgres would read the rows with a part of the key instead, once for
/// each row of the other side; OFFSET keeps it from merging the two.
macro_rules! left_join {
    (sqlite, $table:literal, $alias:literal, $key:literal) => {
        concat!(" LEFT JOIN ", $table, " AS ", $alias, " ON ", $key)
    };
    (postgres, $table:literal, $alias:literal, $key:literal) => {
        concat!(
            " LEFT JOIN LATERAL (SELECT * FROM ",
            $table,
            " AS ",
            $alias,
            " WHERE ",
            $key,
            " OFFSET 0) AS ",
            $alias,
            " ON true"
        )
    };
}
pub(crate) use left_join;

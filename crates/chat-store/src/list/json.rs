//! The rows of a list in JSON.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};

use crate::StoreError;
use crate::rows::Columns;

/// Reads each row of a list in JSON.
pub(crate) fn read_json<T>(
    text: &str,
    read: impl Fn(&dyn Columns) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut list = ReadRows { read, rows: Vec::new(), failed: None };
    let parsed = list.deserialize(&mut serde_json::Deserializer::from_str(text));
    match (list.failed, parsed) {
        (Some(error), _) => Err(error),
        (None, Ok(())) => Ok(list.rows),
        (None, Err(_)) => Err(StoreError::Damaged { what: "a list in JSON" }),
    }
}

/// Parses a list, and reads each row at once: a list may have 100,000 rows.
struct ReadRows<T, F> {
    read: F,
    rows: Vec<T>,
    failed: Option<StoreError>,
}

impl<'de, T, F> DeserializeSeed<'de> for &mut ReadRows<T, F>
where
    F: Fn(&dyn Columns) -> Result<T, StoreError>,
{
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T, F> Visitor<'de> for &mut ReadRows<T, F>
where
    F: Fn(&dyn Columns) -> Result<T, StoreError>,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<(), A::Error> {
        while let Some(cells) = rows.next_element()? {
            match (self.read)(&JsonRow(cells)) {
                Ok(row) => self.rows.push(row),
                Err(error) => {
                    self.failed = Some(error);
                    return Err(serde::de::Error::custom("a row that cannot be read"));
                }
            }
        }
        Ok(())
    }
}

/// A row of a list in JSON.
struct JsonRow(Vec<Cell>);

enum Cell {
    Null,
    Number(i64),
    Text(String),
}

impl<'de> Deserialize<'de> for Cell {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CellVisitor)
    }
}

struct CellVisitor;

impl Visitor<'_> for CellVisitor {
    type Value = Cell;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("null, a whole number or a text")
    }

    fn visit_unit<E>(self) -> Result<Cell, E> {
        Ok(Cell::Null)
    }

    fn visit_i64<E>(self, number: i64) -> Result<Cell, E> {
        Ok(Cell::Number(number))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Cell, E> {
        i64::try_from(number).map(Cell::Number).map_err(E::custom)
    }

    fn visit_str<E>(self, text: &str) -> Result<Cell, E> {
        Ok(Cell::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Cell, E> {
        Ok(Cell::Text(text))
    }
}

impl Columns for JsonRow {
    fn integer(&self, index: usize) -> Result<i64, StoreError> {
        self.integer_or_null(index)?.ok_or(OTHER_TYPE)
    }

    fn integer_or_null(&self, index: usize) -> Result<Option<i64>, StoreError> {
        match self.0.get(index) {
            Some(Cell::Number(number)) => Ok(Some(*number)),
            Some(Cell::Null) => Ok(None),
            Some(Cell::Text(_)) | None => Err(OTHER_TYPE),
        }
    }

    fn text(&self, index: usize) -> Result<&str, StoreError> {
        self.text_or_null(index)?.ok_or(OTHER_TYPE)
    }

    fn text_or_null(&self, index: usize) -> Result<Option<&str>, StoreError> {
        match self.0.get(index) {
            Some(Cell::Text(text)) => Ok(Some(text)),
            Some(Cell::Null) => Ok(None),
            Some(Cell::Number(_)) | None => Err(OTHER_TYPE),
        }
    }

    /// SQLite has no type of its own for truth.
    fn flag(&self, index: usize) -> Result<bool, StoreError> {
        Ok(self.integer(index)? != 0)
    }
}

const OTHER_TYPE: StoreError = StoreError::Damaged { what: "a column of another type" };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_row_of_a_list_is_read() {
        let name = |row: &dyn Columns| Ok((row.text(0)?.to_owned(), row.integer_or_null(1)?));
        let rows = read_json(r#"[["a\"ж",-1],["",null],["b",9223372036854775807]]"#, name).unwrap();
        assert_eq!(
            rows,
            [("a\"ж".to_owned(), Some(-1)), (String::new(), None), ("b".into(), Some(i64::MAX))]
        );
        assert_eq!(read_json("[]", name).unwrap(), []);
        for damaged in ["[[1,1]]", "[[\"a\",\"b\"]]", "[[\"a\"]]", "[[\"a\",1.5]]", "[", "{}", "[1]"] {
            assert!(matches!(read_json(damaged, name), Err(StoreError::Damaged { .. })), "{damaged}");
        }
    }
}

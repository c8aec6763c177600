//! What Postgres answers.

use sqlx::postgres::{PgRow, Postgres};
use sqlx::{Decode, Row as _, Type};

use crate::StoreError;

/// One column of a row.
pub(super) fn get<'r, T>(row: &'r PgRow, index: usize) -> Result<T, StoreError>
where
    T: Decode<'r, Postgres> + Type<Postgres>,
{
    row.try_get(index).map_err(|_| StoreError::Damaged { what: "a column of another type" })
}

//! The audit log in a database.

use chat_core::Username;

use super::{AUDIT_MAX, NO_ANSWER};
use crate::administration::{AuditAction, AuditEntry, NewAudit};
use crate::rows::Columns;
use crate::statements::{Statements, Value};
use crate::{StoreError, columns};
use Value::{Number, Text, TextOrNull};

/// Writes an entry of the audit log, and removes the oldest beyond the limit.
pub(crate) async fn note<S: Statements>(statements: &mut S, new: NewAudit<'_>) -> Result<(), S::Error> {
    let details = new.details.map(|details| details.to_string());
    let values = [
        Number(columns::column(new.at_ms)),
        TextOrNull(new.by.map(Username::as_str)),
        Text(new.action.as_str()),
        Text(new.target),
        TextOrNull(details.as_deref()),
    ];
    let row = statements.row(NOTE, &values).await?;
    let id = row.ok_or(NO_ANSWER)?.integer(0)?;
    statements.rows(FORGET_AUDIT, &[Number(id - columns::column(AUDIT_MAX))]).await.map(drop)
}

/// Lists entries of the audit log.
pub(crate) async fn audit<S: Statements>(
    mut statements: S,
    before: Option<u64>,
    max: usize,
) -> Result<Vec<AuditEntry>, S::Error> {
    let values = [Number(before.map_or(i64::MAX, columns::column)), Number(columns::column(max as u64))];
    let rows = statements.rows(AUDIT, &values).await?;
    Ok(rows.iter().map(audit_entry).collect::<Result<_, StoreError>>()?)
}

fn audit_entry(row: &impl Columns) -> Result<AuditEntry, StoreError> {
    let damaged = StoreError::Damaged { what: "an unknown action in the audit log" };
    let details = row.text_or_null(5)?.map(serde_json::from_str).transpose();
    Ok(AuditEntry {
        id: row.number(0)?,
        at_ms: row.number(1)?,
        by: row.text_or_null(2)?.map(columns::username).transpose()?,
        action: AuditAction::parse(row.text(3)?).ok_or(damaged)?,
        target: row.text(4)?.to_owned(),
        details: details.map_err(|_| StoreError::Damaged { what: "details of the audit log" })?,
    })
}

const NOTE: &str = "INSERT INTO audit (at, by_user, action, target, details)
     VALUES ($1, $2, $3, $4, $5) RETURNING id";

pub(crate) const FORGET_AUDIT: &str = "DELETE FROM audit WHERE id <= $1";

pub(crate) const AUDIT: &str = "SELECT id, at, by_user, action, target, details FROM audit
     WHERE id < $1 ORDER BY id DESC LIMIT $2";

//! The audit log in a database.

use chat_core::{Commit, Topic, Username};

use super::{IS_ADMINISTRATOR, NO_ANSWER};
use crate::administration::audit::{AUDIT_SWEEP, Part};
use crate::administration::{AUDIT_MAX, AuditAction, AuditEntry, NewAudit, messages_deleted};
use crate::rows::Columns;
use crate::statements::{Statements, Value};
use crate::{StoreError, columns};
use Value::{Number, Text, TextOrNull};

/// Writes an entry of the audit log, and removes the oldest beyond the limits.
pub(crate) async fn note<S: Statements>(statements: &mut S, new: NewAudit<'_>) -> Result<(), S::Error> {
    let part = part(statements, &new).await?;
    let details = new.details.map(|details| details.to_string());
    let values = [
        Number(columns::column(new.at_ms)),
        TextOrNull(new.by.map(Username::as_str)),
        Text(new.action.as_str()),
        Text(new.target),
        TextOrNull(details.as_deref()),
        Number(part.column()),
    ];
    let row = statements.row(NOTE, &values).await?;
    let id = row.ok_or(NO_ANSWER)?.number(0)?;
    if let Some(by) = new.by {
        let kept = Number(columns::column(part.max_of_user()));
        statements.rows(FORGET_OF_USER, &[Number(part.column()), Text(by.as_str()), kept]).await?;
    }
    if id.is_multiple_of(AUDIT_SWEEP) {
        for part in Part::ALL {
            let values = [Number(part.column()), Number(columns::column(AUDIT_MAX))];
            statements.rows(FORGET_OF_PART, &values).await?;
        }
    }
    Ok(())
}

/// Writes the entries for the messages of others that a batch has deleted, in its transaction.
pub(crate) async fn note_deleted<S: Statements>(
    statements: &mut S,
    commit: &Commit,
    now_ms: u64,
) -> Result<(), S::Error> {
    let author = |topic: &Topic, seq| {
        let mut changed = commit.changed.iter().filter(|message| message.is_deleted);
        changed.find(|message| message.seq == seq && message.topic == *topic).map(|message| &message.from)
    };
    for deleted in messages_deleted(commit, author, now_ms) {
        note(statements, deleted).await?;
    }
    Ok(())
}

/// The part of the log that an entry belongs to.
async fn part<S: Statements>(statements: &mut S, new: &NewAudit<'_>) -> Result<Part, S::Error> {
    let by_administrator = match new.by {
        Some(by) if !new.action.needs_administrator() => {
            statements.row(IS_ADMINISTRATOR, &[Text(by.as_str())]).await?.is_some()
        }
        _ => true,
    };
    Ok(if by_administrator { Part::Administration } else { Part::Moderation })
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

const NOTE: &str = "INSERT INTO audit (at, by_user, action, target, details, part)
     VALUES ($1, $2, $3, $4, $5, $6) RETURNING id";

pub(crate) const FORGET_OF_USER: &str = "DELETE FROM audit WHERE part = $1 AND by_user = $2 AND id <=
     (SELECT id FROM audit WHERE part = $1 AND by_user = $2 ORDER BY id DESC LIMIT 1 OFFSET $3)";

pub(crate) const FORGET_OF_PART: &str = "DELETE FROM audit WHERE part = $1 AND id <=
     (SELECT id FROM audit WHERE part = $1 ORDER BY id DESC LIMIT 1 OFFSET $2)";

pub(crate) const AUDIT: &str = "SELECT id, at, by_user, action, target, details FROM audit
     WHERE id < $1 ORDER BY id DESC LIMIT $2";

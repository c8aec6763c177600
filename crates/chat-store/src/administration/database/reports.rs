//! Reports of messages in a database.

use chat_core::Username;

use super::audit::note;
use super::{NO_ANSWER, lock_user};
use crate::administration::{
    DONE_REPORTS_MAX, DONE_REPORTS_OF_USER_MAX, ListedReport, NewReport, OPEN_REPORTS_MAX, REPORTS_SWEEP,
    Report, ReportState, ReportsOf, report_changed,
};
use crate::rows::{self, Columns};
use crate::statements::{Statements, Value};
use crate::{StoreError, columns};
use Value::{Number, Text, TextOrNull};

/// Stores a report.
pub(crate) async fn create_report<S: Statements>(
    statements: &mut S,
    report: &NewReport,
) -> Result<Option<u64>, S::Error> {
    lock_user(statements, &report.reporter).await?;
    let (kind, name, other) = columns::topic_key(&report.topic);
    let (seq, reporter) = (Number(columns::column(report.seq)), Text(report.reporter.as_str()));
    let key = [reporter, Number(kind), Text(name), Text(other), seq];
    if let Some(row) = statements.row(OPEN_REPORT, &key).await? {
        return Ok(Some(row.number(0)?));
    }
    let open = statements.row(COUNT_OPEN, &[reporter]).await?.ok_or(NO_ANSWER)?.number(0)?;
    if open >= OPEN_REPORTS_MAX as u64 {
        return Ok(None);
    }
    let at = Number(columns::column(report.at_ms));
    let values = [reporter, Number(kind), Text(name), Text(other), seq, Text(&report.reason), at];
    let id = statements.row(ADD_REPORT, &values).await?.ok_or(NO_ANSWER)?.number(0)?;
    let kept = Number(columns::column(DONE_REPORTS_OF_USER_MAX));
    statements.rows(FORGET_DONE_OF_USER, &[reporter, kept]).await?;
    if id.is_multiple_of(REPORTS_SWEEP) {
        statements.rows(FORGET_DONE, &[Number(columns::column(DONE_REPORTS_MAX))]).await?;
    }
    Ok(Some(id))
}

/// Finds a report.
pub(crate) async fn report<S: Statements>(statements: &mut S, id: u64) -> Result<Option<Report>, S::Error> {
    let row = statements.row(REPORT, &[Number(columns::column(id))]).await?;
    Ok(row.map(|row| report_row(&row)).transpose()?)
}

/// Lists reports.
pub(crate) async fn reports<S: Statements>(
    mut statements: S,
    of: ReportsOf<'_>,
    state: Option<ReportState>,
    before: Option<u64>,
    max: usize,
) -> Result<Vec<ListedReport>, S::Error> {
    let (first, last) = match state {
        Some(state) => (state_column(state), state_column(state)),
        None => (OPEN, DONE),
    };
    let before = before.map_or(i64::MAX, columns::column);
    let max = Number(columns::column(max as u64));
    let (sql, user) = match of {
        ReportsOf::Everywhere { reader } => (REPORTS, reader),
        ReportsOf::ModeratedBy(user) => (REPORTS_OF_MODERATOR, user),
    };
    let values = [Number(before), Number(first), Number(last), max, Text(user.as_str())];
    let listed =
        |row: &S::Row| Ok(ListedReport { report: report_row(row)?, is_readable: row.integer(10)? != 0 });
    let rows = statements.rows(sql, &values).await?;
    Ok(rows.iter().map(listed).collect::<Result<_, StoreError>>()?)
}

/// Changes the state of a report.
pub(crate) async fn change_report<S: Statements>(
    statements: &mut S,
    id: u64,
    state: ReportState,
    by: Option<&Username>,
    now_ms: u64,
) -> Result<bool, S::Error> {
    let Some(report) = report(statements, id).await? else { return Ok(false) };
    lock_user(statements, &report.reporter).await?;
    let by_column = TextOrNull(by.map(Username::as_str));
    let values = [Number(columns::column(id)), Number(state_column(state)), by_column];
    if statements.row(CHANGE_REPORT, &values).await?.is_some() {
        let target = id.to_string();
        note(statements, report_changed(&target, state, by, now_ms)).await?;
    }
    Ok(true)
}

/// The columns `id, kind, name, other, seq, reporter, reason, at, state, changed_by`.
fn report_row(row: &impl Columns) -> Result<Report, StoreError> {
    Ok(Report {
        id: row.number(0)?,
        topic: rows::topic(row, 1)?,
        seq: row.number(4)?,
        reporter: columns::username(row.text(5)?)?,
        reason: row.text(6)?.to_owned(),
        at_ms: row.number(7)?,
        state: match row.integer(8)? {
            OPEN => ReportState::Open,
            DONE => ReportState::Done,
            _ => return Err(StoreError::Damaged { what: "an unknown state of a report" }),
        },
        changed_by: row.text_or_null(9)?.map(columns::username).transpose()?,
    })
}

fn state_column(state: ReportState) -> i64 {
    match state {
        ReportState::Open => OPEN,
        ReportState::Done => DONE,
    }
}

const OPEN: i64 = 1;
const DONE: i64 = 2;
pub(crate) const OPEN_REPORT: &str = "SELECT id FROM reports
     WHERE reporter = $1 AND kind = $2 AND name = $3 AND other = $4 AND seq = $5 AND state = 1 LIMIT 1";

pub(crate) const COUNT_OPEN: &str = "SELECT count(*) FROM reports WHERE reporter = $1 AND state = 1";

const ADD_REPORT: &str = "INSERT INTO reports (reporter, kind, name, other, seq, reason, at, state)
     VALUES ($1, $2, $3, $4, $5, $6, $7, 1) RETURNING id";

pub(crate) const FORGET_DONE_OF_USER: &str = "DELETE FROM reports WHERE reporter = $1 AND state = 2 AND id <=
     (SELECT id FROM reports WHERE reporter = $1 AND state = 2 ORDER BY id DESC LIMIT 1 OFFSET $2)";

pub(crate) const FORGET_DONE: &str = "DELETE FROM reports WHERE state = 2 AND id <=
     (SELECT id FROM reports WHERE state = 2 ORDER BY id DESC LIMIT 1 OFFSET $1)";

macro_rules! reports {
    ($is_readable:literal, $rest:literal) => {
        concat!(
            "SELECT r.id, r.kind, r.name, r.other, r.seq, r.reporter, r.reason, r.at, r.state, r.changed_by, ",
            $is_readable,
            $rest
        )
    };
}

const REPORT: &str = reports!("CAST(1 AS BIGINT)", " FROM reports AS r WHERE r.id = $1");

pub(crate) const REPORTS: &str = reports!(
    "CAST(CASE WHEN r.kind = 2 AND (r.name = $5 OR r.other = $5) THEN 1
          WHEN r.kind = 2 THEN 0
          WHEN coalesce((SELECT o.access FROM rooms AS o WHERE o.name = r.name), 1) = 1 THEN 1
          WHEN (SELECT m.role FROM members AS m WHERE m.room = r.name AND m.username = $5) IS NULL THEN 0
          ELSE 1 END AS BIGINT)",
    " FROM reports AS r WHERE r.id < $1 AND r.state >= $2 AND r.state <= $3 ORDER BY r.id DESC LIMIT $4"
);

pub(crate) const REPORTS_OF_MODERATOR: &str = reports!(
    "CAST(1 AS BIGINT)",
    " FROM members AS m CROSS JOIN reports AS r
      WHERE m.username = $5 AND m.role = 2 AND r.kind = 1 AND r.name = m.room
        AND r.id < $1 AND r.state >= $2 AND r.state <= $3 ORDER BY r.id DESC LIMIT $4"
);

/// A report is not opened again while its user has another open one of the message.
const CHANGE_REPORT: &str = "UPDATE reports SET state = $2, changed_by = $3
      WHERE id = $1 AND state <> $2
        AND ($2 = 2 OR NOT EXISTS (
                SELECT 1 FROM reports AS o
                 WHERE o.reporter = reports.reporter AND o.kind = reports.kind AND o.name = reports.name
                   AND o.other = reports.other AND o.seq = reports.seq AND o.state = 1))
     RETURNING 1";

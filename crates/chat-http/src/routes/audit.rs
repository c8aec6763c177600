//! `GET /api/audit`

use hyper::{Response, StatusCode};
use serde::Serialize;
use serde_json::{Map, Value};

use super::call::Call;
use super::{administrator, query};
use crate::answer::{self, Body};
use crate::error::HttpError;

/// A page of the audit log, for administrators, the newest entries first.
pub(super) async fn list(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, .. } = call;
    administrator::check(&app, &request).await?;
    let (mut before, mut limit) = (None, LIMIT_DEFAULT);
    for parameter in query::parameters(request.uri().query().unwrap_or_default()) {
        let (key, value) = parameter?;
        match key {
            "before" => before = Some(query::id(&value)?),
            "limit" => limit = query::limit(&value, LIMIT_MAX)?,
            _ => {}
        }
    }
    // One more shows whether there is another page.
    let mut found = app.parts.stores.administration.audit(before, limit + 1).await?;
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| has_more).map(|entry| entry.id.to_string());
    let entries = found
        .into_iter()
        .map(|entry| ListedEntry {
            id: entry.id,
            at: entry.at_ms / 1000,
            by: administrator::shown(entry.by.as_ref()),
            action: entry.action.as_str(),
            target: entry.target,
            details: entry.details.and_then(|details| details.as_object().cloned()),
        })
        .collect();
    Ok(answer::json(StatusCode::OK, &AuditLog { entries, next }))
}

/// The most entries in one page.
const LIMIT_MAX: usize = 100;
const LIMIT_DEFAULT: usize = 50;

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct AuditLog {
    /// What administrators and moderators have done, the newest first, at most 100.
    entries: Vec<ListedEntry>,
    /// The value of `before` for the next page. Opaque; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ListedEntry {
    /// Rises with time.
    id: u64,
    /// When it was done, in whole seconds since 1970.
    at: u64,
    /// The user who did it; `server` for the operator, whose name nobody can register.
    by: String,
    /// What was done, such as `user.ban`.
    action: &'static str,
    /// To whom or what: a user, a room, the id of an invitation or a report; empty for the
    /// server itself.
    target: String,
    /// Further facts.
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Map<String, Value>>,
}

//! The profile of the server in a database.

use chat_core::Username;
use serde_json::json;

use super::audit::note;
use crate::administration::{AuditAction, NewAudit, ProfileField, ServerProfile};
use crate::rows::Columns as _;
use crate::statements::{Statements, Value};
use Value::Text;

/// Reads the profile of the server.
pub(crate) async fn profile<S: Statements>(statements: &mut S) -> Result<ServerProfile, S::Error> {
    let mut profile = ServerProfile::default();
    for row in &statements.rows(PROFILE, &[]).await? {
        let key = row.text(0)?;
        if let Some(field) = ProfileField::ALL.into_iter().find(|field| field.as_str() == key) {
            *profile.field(field) = Some(row.text(1)?.to_owned());
        }
    }
    Ok(profile)
}

/// Sets fields of the profile, and returns the profile before.
pub(crate) async fn set_profile<S: Statements>(
    statements: &mut S,
    fields: &[(ProfileField, Option<&str>)],
    by: Option<&Username>,
    now_ms: u64,
) -> Result<ServerProfile, S::Error> {
    let before = profile(statements).await?;
    let mut now = before.clone();
    let mut changed = Vec::new();
    for (field, value) in fields {
        if now.field(*field).as_deref() == *value {
            continue;
        }
        *now.field(*field) = value.map(str::to_owned);
        let changes = match value {
            Some(value) => statements.row(SET_FIELD, &[Text(field.as_str()), Text(value)]).await?,
            None => statements.row(CLEAR_FIELD, &[Text(field.as_str())]).await?,
        };
        // Another call may have made the same change since the profile was read.
        if changes.is_some() {
            changed.push(field.as_str());
        }
    }
    if !changed.is_empty() {
        let details = Some(json!({ "changed": changed }));
        let action = AuditAction::ServerChange;
        note(statements, NewAudit { by, at_ms: now_ms, action, target: "", details }).await?;
    }
    Ok(before)
}

const PROFILE: &str = "SELECT key, value FROM server_profile";

const SET_FIELD: &str = "INSERT INTO server_profile (key, value) VALUES ($1, $2)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value
            WHERE server_profile.value <> excluded.value
     RETURNING 1";

const CLEAR_FIELD: &str = "DELETE FROM server_profile WHERE key = $1 RETURNING 1";

//! `PUT` and `DELETE /api/users/<name>/ban`, and `GET /api/bans`

use chat_core::Username;
use chat_shard::now_ms;
use chat_store::{Ban, BanRefused, NewBan};
use hyper::{Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::call::Call;
use super::{accounts, administrator, json, query};
use crate::answer::{self, Body, Nothing};
use crate::error::HttpError;

/// Why and how a user is banned.
#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct BanOrder {
    /// The reason, which administrators see: at most 500 characters.
    #[serde(default)]
    reason: String,
    /// Whether all messages of the user are deleted, wherever they are. The answer is 202, and
    /// the server goes on in the background.
    #[serde(default)]
    delete_messages: bool,
}

/// Bans a user: ends the sessions of the account, closes its sockets, and refuses its
/// sign-ins from now on.
pub(super) async fn put(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, part, .. } = call;
    let (me, body) = administrator::read(&app, request).await?;
    let user = accounts::named(&part)?;
    let order = match body.trim_ascii() {
        [] => BanOrder::default(),
        body => json::parse::<BanOrder>(body).ok_or(HttpError::InvalidJson)?,
    };
    let reason = accounts::reason(&order.reason)?;
    let delete_messages = order.delete_messages;
    // A task of its own, so that the sockets are closed even if the client hangs up.
    let tasks = app.tasks.clone();
    let ban = tasks.spawn(async move {
        let without_account = app.parts.tokens.accepts_external() || app.parts.identity.is_some();
        let ban = NewBan { user, reason, delete_messages, without_account };
        let mut ended = app.shards.open_sessions().of(&ban.user);
        ended.extend(app.parts.stores.administration.ban(&ban, Some(&me.user), now_ms()).await??);
        ended.sort();
        ended.dedup();
        app.end_sessions(&ended).await;
        app.end_user(&ban.user).await;
        tracing::warn!(user = ban.user.as_str(), by = me.user.as_str(), "banned");
        Ok::<_, HttpError>(())
    });
    ban.await.map_err(HttpError::Task)??;
    let status = if delete_messages { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok(answer::json(status, &Nothing {}))
}

/// Ends the ban of a user, if there is one, and a deletion of messages that is under way.
pub(super) async fn remove(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, part, .. } = call;
    let me = administrator::check(&app, &request).await?;
    let user = accounts::named(&part)?;
    if app.parts.stores.administration.unban(&user, Some(&me.user), now_ms()).await? {
        tracing::warn!(user = user.as_str(), by = me.user.as_str(), "ended a ban");
    }
    Ok(answer::json(StatusCode::OK, &Nothing {}))
}

/// A page of the users who are banned, for administrators.
pub(super) async fn list(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, .. } = call;
    administrator::check(&app, &request).await?;
    let (mut after, mut limit) = (None, LIMIT_DEFAULT);
    for parameter in query::parameters(request.uri().query().unwrap_or_default()) {
        let (key, value) = parameter?;
        match key {
            "after" => after = Some(Username::known(&value).map_err(|_| HttpError::After)?),
            "limit" => limit = query::limit(&value, LIMIT_MAX)?,
            _ => {}
        }
    }
    // One more shows whether there is another page.
    let mut found = app.parts.stores.administration.bans(after.as_ref(), limit + 1).await?;
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| has_more).map(|ban| ban.user.as_str().to_owned());
    let bans = found
        .into_iter()
        .map(|ban| ListedBan { username: ban.user.as_str().to_owned(), ban: ShownBan::from(ban) })
        .collect();
    Ok(answer::json(StatusCode::OK, &BanList { bans, next }))
}

/// The most bans in one page.
const LIMIT_MAX: usize = 100;
const LIMIT_DEFAULT: usize = 50;

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct BanList {
    /// The bans in the order of the users' names, at most 100.
    bans: Vec<ListedBan>,
    /// The value of `after` for the next page. Opaque; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ListedBan {
    /// The name in its exact spelling.
    username: String,
    #[serde(flatten)]
    ban: ShownBan,
}

/// A ban, as administrators see it.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ShownBan {
    /// The administrator; `server` for the operator.
    by: String,
    /// When the user was banned, in whole seconds since 1970.
    at: u64,
    /// The reason; empty if none was given.
    reason: String,
    /// Whether the user's messages are still being deleted.
    deleting: bool,
}

impl From<Ban> for ShownBan {
    fn from(ban: Ban) -> Self {
        Self {
            by: administrator::shown(ban.by.as_ref()),
            at: ban.at_ms / 1000,
            reason: ban.reason,
            deleting: ban.is_deleting,
        }
    }
}

impl From<BanRefused> for HttpError {
    fn from(refused: BanRefused) -> Self {
        match refused {
            BanRefused::NoUser => Self::UserNotFound,
            BanRefused::Administrator => Self::BanOfAdministrator,
        }
    }
}

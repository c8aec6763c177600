//! `GET /api/me`, `GET /api/users` and `GET /api/users/<name>`

use std::collections::{HashMap, HashSet};
use std::ops::Not;

use chat_core::Username;
use chat_shard::now_ms;
use chat_store::User;
use hyper::header::SET_COOKIE;
use hyper::{Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::bans::ShownBan;
use super::call::Call;
use super::{administrator, query, server};
use crate::answer::{self, Body};
use crate::app::App;
use crate::error::HttpError;
use crate::host_account;
use crate::signed_in::SignedIn;
use crate::{percent, push};

/// The user who asks. A user of another issuer needs no account.
pub(super) async fn me(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, .. } = call;
    let me = SignedIn::check(&app, &request).await?;
    me.note_seen(&app);
    if me.of_host.is_some() {
        host_account::ensure(&app, &me).await?;
    }
    let account = app.parts.stores.users.find_user(&me.user).await?;
    let is_administrator = administrator::is_administrator(&app, &me).await?;
    // A subscription ends with the session that made it: users without a session of the chat get none.
    let may_subscribe = app.options.push.enabled && me.session.is_some() && me.of_host.is_none();
    let push_key = if may_subscribe { Some(push::public_key(&app).await?) } else { None };
    let mut features = server::features(&app.options);
    features.retain(|feature| may_subscribe || *feature != server::PUSH);
    let mut response = answer::json(
        StatusCode::OK,
        &Me {
            username: me.user.as_str(),
            created_at: account.as_ref().map(|user| user.created_at_ms / 1_000).filter(|at| *at > 0),
            avatar: app.picture_address(account.and_then(|user| user.avatar)),
            role: if is_administrator { UserRole::Administrator } else { UserRole::Member },
            features,
            push_key,
        },
    );
    if let Some(token) = renew(&app, &me).await? {
        let cookie = app.cookie(&token, app.parts.tokens.lifetime_seconds());
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    Ok(response)
}

/// A user with an account.
pub(super) async fn user(call: Call) -> Result<Response<Body>, HttpError> {
    SignedIn::check(&call.app, &call.request).await?;
    let name = percent::decode(&call.part, false).ok_or(HttpError::UserNotFound)?;
    let name = Username::known(&name).map_err(|_| HttpError::UserNotFound)?;
    let user = call.app.parts.stores.users.find_user(&name).await?.ok_or(HttpError::UserNotFound)?;
    let bot = !call.app.parts.stores.bots.bots_among(std::slice::from_ref(&user.name)).await?.is_empty();
    let profile =
        Profile { username: user.name.as_str(), avatar: call.app.picture_address(user.avatar), bot };
    Ok(answer::json(StatusCode::OK, &profile))
}

/// A page of the directory, or the named users.
pub(super) async fn list(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, .. } = call;
    let me = SignedIn::check(&app, &request).await?;
    app.count_list(&me.user)?;
    let query = ListQuery::parse(request.uri().query().unwrap_or_default())?;
    let users = &app.parts.stores.users;
    let (found, next) = match query {
        ListQuery::Named(names) => {
            let found = users.find_users(&names).await?;
            let mut found: HashMap<_, _> = found.into_iter().map(|user| (user.name.clone(), user)).collect();
            (names.iter().filter_map(|name| found.remove(name)).collect(), None)
        }
        ListQuery::Nobody => (Vec::new(), None),
        ListQuery::Page { prefix, after, limit } => {
            // One more shows whether there is another page.
            let mut found = users.search_users(prefix.as_ref(), after.as_ref(), limit + 1).await?;
            let has_more = found.len() > limit;
            found.truncate(limit);
            let next = found.last().filter(|_| has_more).map(|user| user.name.as_str().to_owned());
            (found, next)
        }
    };
    let online = app.online_users().await;
    let names: Vec<_> = found.iter().map(|user| user.name.clone()).collect();
    let bots = app.parts.stores.bots.bots_among(&names).await?;
    let mut users: Vec<_> =
        found.into_iter().map(|user| ListedUser::new(&app, user, &online, &bots)).collect();
    if administrator::is_administrator(&app, &me).await? {
        add_standings(&app, &mut users).await?;
    }
    Ok(answer::json(StatusCode::OK, &UserList { users, next }))
}

/// What a listing of users asks for.
#[derive(Debug, PartialEq, Eq)]
enum ListQuery {
    /// The users with these names.
    Named(Vec<Username>),
    /// The text that is searched for is in no name.
    Nobody,
    /// The users with a word in their name that begins with `prefix`, or all; at most
    /// `limit` of those after `after`.
    Page { prefix: Option<Username>, after: Option<Username>, limit: usize },
}

impl ListQuery {
    /// Parses the query of a URL. Of a parameter that occurs twice the last one counts,
    /// except `name`; unknown parameters are ignored.
    fn parse(query: &str) -> Result<Self, HttpError> {
        let (mut search, mut after, mut limit, mut names) = (None, None, LIMIT_DEFAULT, None::<Vec<String>>);
        for parameter in query::parameters(query) {
            let (key, value) = parameter?;
            match key {
                "q" => search = Some(value),
                "after" => after = Some(Username::known(&value).map_err(|_| HttpError::After)?),
                "limit" => limit = query::limit(&value, LIMIT_MAX)?,
                "name" => names.get_or_insert_default().push(value),
                _ => {}
            }
        }
        if let Some(names) = names {
            if search.is_some() {
                return Err(HttpError::NameWithSearch);
            }
            if names.len() > LIMIT_MAX {
                return Err(HttpError::TooManyNames { max: LIMIT_MAX });
            }
            return Ok(Self::Named(names.iter().filter_map(|name| Username::known(name).ok()).collect()));
        }
        let prefix = match search.as_deref().map(str::trim) {
            None | Some("") => None,
            Some(text) => match Username::known(text) {
                Ok(prefix) => Some(prefix),
                Err(_) => return Ok(Self::Nobody),
            },
        };
        Ok(Self::Page { prefix, after, limit })
    }
}

/// The most users in one answer.
pub(super) const LIMIT_MAX: usize = 100;
const LIMIT_DEFAULT: usize = 50;

/// The user who asks.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Me<'a> {
    /// The name in its exact spelling.
    username: &'a str,
    /// The path of the avatar, such as `/uploads/….webp`; empty if there is none.
    avatar: String,
    /// When the account was made, in whole seconds since 1970; absent where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<u64>,
    /// What the user may do on this server.
    role: UserRole,
    /// What this server can do beyond the first version of the protocol v2, as in `hello`.
    features: Vec<&'static str>,
    /// The public key of this server for subscriptions to notifications (VAPID), base64url;
    /// absent where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    push_key: Option<String>,
}

/// What a user may do on this server.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) enum UserRole {
    Member,
    Administrator,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct UserList {
    /// The users in the order of their names, at most 100.
    users: Vec<ListedUser>,
    /// The value of `after` for the next page. Opaque; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ListedUser {
    /// The name in its exact spelling.
    username: String,
    /// The path of the avatar, such as `/uploads/….webp`; empty if there is none.
    avatar: String,
    /// Whether the user had a connection, at most a second ago.
    online: bool,
    /// `true` for a bot, also for a revoked one; absent for people.
    #[serde(skip_serializing_if = "Not::not")]
    bot: bool,
    /// What the user may do on this server; only in answers to administrators.
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<UserRole>,
    /// Whether the user is banned; only in answers to administrators.
    #[serde(skip_serializing_if = "Option::is_none")]
    banned: Option<bool>,
    /// The ban, if there is one; only in answers to administrators.
    #[serde(skip_serializing_if = "Option::is_none")]
    ban: Option<ShownBan>,
}

/// Adds which users are administrators, and which are banned. It asks once for all of them.
async fn add_standings(app: &App, users: &mut [ListedUser]) -> Result<(), HttpError> {
    let names: Vec<_> = users.iter().filter_map(|user| Username::known(&user.username).ok()).collect();
    let administrators = app.parts.stores.users.administrators().await?;
    let bans = app.parts.stores.administration.bans_of(&names).await?;
    let mut bans: HashMap<_, _> =
        bans.into_iter().map(|ban| (ban.user.as_str().to_owned(), ShownBan::from(ban))).collect();
    for user in users {
        let is_administrator = administrators.iter().any(|name| name.as_str() == user.username);
        user.role = Some(if is_administrator { UserRole::Administrator } else { UserRole::Member });
        user.ban = bans.remove(&user.username);
        user.banned = Some(user.ban.is_some());
    }
    Ok(())
}

impl ListedUser {
    fn new(app: &App, user: User, online: &HashSet<Username>, bots: &[Username]) -> Self {
        Self {
            online: online.contains(&user.name),
            bot: bots.contains(&user.name),
            username: user.name.as_str().to_owned(),
            avatar: app.picture_address(user.avatar),
            role: None,
            banned: None,
            ban: None,
        }
    }
}

/// A user.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Profile<'a> {
    /// The name in its exact spelling.
    pub(super) username: &'a str,
    /// The path of the avatar, such as `/uploads/….webp`; empty if there is none.
    pub(super) avatar: String,
    /// `true` for a bot, also for a revoked one; absent for people.
    #[serde(skip_serializing_if = "Not::not")]
    pub(super) bot: bool,
}

/// A new token for a browser, once half the lifetime of its token has passed.
async fn renew(app: &App, me: &SignedIn) -> Result<Option<String>, HttpError> {
    let (true, Some(session), Some(issued_at)) = (me.by_cookie, &me.session, me.issued_at) else {
        return Ok(None);
    };
    let now = now_ms();
    if now / 1000 < issued_at.midpoint(me.expires_at) {
        return Ok(None);
    }
    let tokens = &app.parts.tokens;
    let expires_at = now + tokens.lifetime_seconds() * 1000;
    app.parts.stores.sessions.renew_session(session, now, expires_at).await?;
    app.shards.renew(session, expires_at);
    Ok(Some(tokens.issue(now / 1000, me.user.as_str(), session.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> Username {
        Username::known(name).unwrap()
    }

    fn page(prefix: Option<&str>, after: Option<&str>, limit: usize) -> ListQuery {
        ListQuery::Page { prefix: prefix.map(name), after: after.map(name), limit }
    }

    #[test]
    fn a_listing_is_asked_for_by_a_search_or_by_names() {
        let long = format!("q={}", "x".repeat(25));
        for (query, expected) in [
            ("", page(None, None, 50)),
            ("&q=+&other=1", page(None, None, 50)),
            ("q=%D0%90+b&limit=1&after=bob%26", page(Some("А b"), Some("bob&"), 1)),
            ("limit=100", page(None, None, 100)),
            (&*long, ListQuery::Nobody),
            ("q=%00", ListQuery::Nobody),
            (
                "name=bob&name=&name=%00&name=al+ice&limit=3",
                ListQuery::Named(vec![name("bob"), name("al ice")]),
            ),
        ] {
            assert_eq!(ListQuery::parse(query).unwrap(), expected, "{query}");
        }
    }

    #[test]
    fn a_bad_listing_is_refused() {
        let many = "name=x&".repeat(101);
        for (query, expected) in [
            ("limit=0", "limit must be a number from 1 to 100"),
            ("limit=101", "limit must be a number from 1 to 100"),
            ("limit=-1", "limit must be a number from 1 to 100"),
            ("limit=", "limit must be a number from 1 to 100"),
            ("q=%zz", "the query is not well encoded"),
            ("after=", "after is not the next of an earlier page"),
            ("name=bob&q=b", "name and q exclude each other"),
            (&*many, "at most 100 names at once"),
        ] {
            assert_eq!(ListQuery::parse(query).unwrap_err().to_string(), expected, "{query}");
        }
        assert!(ListQuery::parse(&"name=x&".repeat(100)).is_ok());
    }
}

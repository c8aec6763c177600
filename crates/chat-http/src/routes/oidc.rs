//! `GET /api/oidc/start` and `GET /api/oidc/callback`: signing in by an OpenID provider.

use chat_auth::{OidcAttempt, OidcError};
use chat_shard::{causes, now_ms};
use chat_store::Subject;
use hyper::header::{CACHE_CONTROL, HeaderValue, LOCATION, SET_COOKIE};
use hyper::{HeaderMap, Response, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::call::{Call, fixed};
use super::{query, sign_in};
use crate::answer::{self, Body};
use crate::app::App;
use crate::client_address::ClientAddress;
use crate::cookie;
use crate::error::HttpError;
use crate::oidc::{self, OidcSignIn};
use crate::permits::TooMany;
use crate::return_path::ReturnPath;
use crate::store_health::StoreUse;

/// A sign-in on its way, in a cookie that this server has signed: nobody else can finish it, and no
/// other browser.
#[derive(Serialize, Deserialize)]
struct Begun {
    attempt: OidcAttempt,
    /// Where the user goes afterwards.
    to: String,
}

/// The cookie of a sign-in on its way, and the purpose of its signature.
const BEGUN: &str = "oidc";
/// Long enough to find one's password there.
const BEGUN_SECONDS: u64 = 600;
/// The cookie with the ID token of the session, for signing out of the provider.
pub(super) const ID_TOKEN: &str = "oidc_id";
/// The most that browsers keep (RFC 6265bis §5.5).
const ID_TOKEN_SECONDS: u64 = 400 * 86_400;
/// Browsers keep 4,096 bytes. Without the token, the provider may ask whether to sign out.
const ID_TOKEN_MAX_BYTES: usize = 3_500;

/// Why nobody is signed in: the page has a sentence for each.
#[derive(Debug, Clone, Copy)]
enum Failure {
    /// The provider does not answer.
    Away,
    /// The user, or the provider, has said no.
    Denied,
    /// It took too long, began in another browser, or was finished before.
    Expired,
    /// The provider's answer is not valid, or the account or the session cannot be stored.
    Failed,
    /// The account is banned here.
    Banned,
    /// There is no space for another account.
    Full,
}

impl Failure {
    fn as_str(self) -> &'static str {
        match self {
            Self::Away => "away",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Failed => "failed",
            Self::Banned => "banned",
            Self::Full => "full",
        }
    }
}

/// Sends the browser to the provider.
pub(super) async fn start(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, .. } = call;
    let oidc = app.parts.oidc.as_ref().ok_or(HttpError::NotFound)?;
    let mut to = ReturnPath::home(&app.options.base_path);
    for parameter in query::parameters(request.uri().query().unwrap_or_default()) {
        if let ("to", path) = parameter? {
            to = ReturnPath::parse(&path, &app.options.base_path).unwrap_or(to);
        }
    }
    let now = now_ms() / 1000;
    match oidc.provider.begin(&callback_url(&app), now).await {
        Ok((url, attempt)) => {
            let begun = Begun { attempt, to: to.as_str().to_owned() };
            let sealed = app.parts.tokens.seal(BEGUN, &begun, now + BEGUN_SECONDS);
            let mut response = see_other(&url)?;
            response.headers_mut().append(SET_COOKIE, begun_cookie(&app, &sealed, BEGUN_SECONDS));
            Ok(response)
        }
        Err(error) => {
            tracing::warn!(error = %causes(&error), "nobody can sign in by the OpenID provider");
            see_other(&to.with_parameter(FAILURE, Failure::Away.as_str()))
        }
    }
}

/// The parameter with which the page is told why nobody is signed in.
const FAILURE: &str = "sign_in";

/// Signs in the user whom the provider sends back.
pub(super) async fn callback(call: Call) -> Result<Response<Body>, HttpError> {
    let address = call.address();
    let Call { app, request, .. } = call;
    let oidc = app.parts.oidc.as_ref().ok_or(HttpError::NotFound)?;
    let answer = Answer::parse(request.uri().query().unwrap_or_default())?;
    let begun = begun(&app, request.headers()).filter(|begun| begun.attempt.state == answer.state);
    let Some(Begun { attempt, to }) = begun else {
        app.metrics.login("refused");
        tracing::info!("a sign-in by the OpenID provider did not begin in this browser, or too long ago");
        let home = ReturnPath::home(&app.options.base_path);
        return see_other(&home.with_parameter(FAILURE, Failure::Expired.as_str()));
    };
    let to = ReturnPath::parse(&to, &app.options.base_path)
        .unwrap_or_else(|| ReturnPath::home(&app.options.base_path));
    let device = sign_in::device(request.headers());
    let finished = finish(&app, oidc, &attempt, &answer, device, address).await;
    let mut response = match finished.unwrap_or_else(|error| Err(not_stored(&app, &error))) {
        Ok(SignedIn { cookie, id_token }) => {
            let mut response = see_other(to.as_str())?;
            response.headers_mut().append(SET_COOKIE, cookie);
            response.headers_mut().append(SET_COOKIE, id_token_cookie(&app, &id_token, ID_TOKEN_SECONDS));
            response
        }
        Err(failure) => see_other(&to.with_parameter(FAILURE, failure.as_str()))?,
    };
    // A code is good once, and so is a sign-in.
    response.headers_mut().append(SET_COOKIE, begun_cookie(&app, "", 0));
    Ok(response)
}

/// What the browser brings back (RFC 6749 §4.1.2, RFC 9207).
#[derive(Default)]
struct Answer {
    state: String,
    code: Option<String>,
    error: Option<String>,
    issuer: Option<String>,
}

impl Answer {
    fn parse(query: &str) -> Result<Self, HttpError> {
        let mut answer = Self::default();
        for parameter in query::parameters(query) {
            match parameter? {
                ("state", value) => answer.state = value,
                ("code", value) => answer.code = Some(value),
                ("error", value) => answer.error = Some(value),
                ("iss", value) => answer.issuer = Some(value),
                _ => {}
            }
        }
        Ok(answer)
    }
}

/// A user who is signed in.
struct SignedIn {
    cookie: HeaderValue,
    id_token: String,
}

/// Signs a user in.
///
/// # Errors
///
/// Those of the store.
async fn finish(
    app: &App,
    oidc: &OidcSignIn,
    attempt: &OidcAttempt,
    answer: &Answer,
    device: String,
    address: ClientAddress,
) -> Result<Result<SignedIn, Failure>, HttpError> {
    let refused = |failure: Failure| {
        app.metrics.login(match failure {
            Failure::Away => "error",
            Failure::Banned => "banned",
            _ => "refused",
        });
        Ok(Err(failure))
    };
    if answer.issuer.as_ref().is_some_and(|issuer| issuer != oidc.provider.issuer()) {
        tracing::warn!("the answer to a sign-in is of another OpenID provider");
        return refused(Failure::Failed);
    }
    let code = match (&answer.error, &answer.code) {
        (None, Some(code)) => code,
        (Some(error), _) => {
            tracing::info!(error, "the OpenID provider signs nobody in");
            return refused(if error == "access_denied" { Failure::Denied } else { Failure::Failed });
        }
        (None, None) => return refused(Failure::Failed),
    };
    let whose = address.network().map_or_else(|| attempt.state.clone(), |network| network.to_string());
    let _permit = match app.oidc_exchanges.take(&whose) {
        Ok(permit) => permit,
        Err(too_many) => {
            let of_one_network = too_many == TooMany::OfOne;
            tracing::warn!(of_one_network, "too many sign-ins are at the OpenID provider at one time");
            return refused(Failure::Away);
        }
    };
    let user = match oidc.provider.finish(attempt, code, &callback_url(app), now_ms() / 1000).await {
        Ok(user) => user,
        Err(error) => {
            tracing::warn!(error = %causes(&error), "a sign-in by the OpenID provider failed");
            return refused(if matches!(error, OidcError::Away(_)) {
                Failure::Away
            } else {
                Failure::Failed
            });
        }
    };
    let account = match oidc::account(app, oidc, &user).await {
        Ok(account) => account,
        Err(HttpError::TooManyAccounts | HttpError::DiskLow | HttpError::NameTaken) => {
            tracing::warn!("there is no account for another user of the OpenID provider");
            return refused(Failure::Full);
        }
        Err(error) => return Err(error),
    };
    let opened = sign_in::open_session(app, &account.name, device, address).await?;
    // The account may have been removed meanwhile, which has ended its other sessions.
    let subject = Subject { issuer: oidc.provider.issuer(), subject: &user.subject };
    if oidc::find(app, subject).await?.is_none_or(|now| now.name != account.name) {
        app.parts.stores.sessions.revoke_session(&opened.id).await?;
        return refused(Failure::Failed);
    }
    if !opened.is_open {
        return refused(Failure::Banned);
    }
    app.metrics.login("accepted");
    tracing::info!(user = account.name.as_str(), "signed in by the OpenID provider");
    Ok(Ok(SignedIn { cookie: opened.cookie, id_token: user.id_token }))
}

/// Notes that the store has failed: a browser that comes back is shown the page and a sentence, and
/// no answer for a program. An account that was made all the same is found by the next sign-in.
fn not_stored(app: &App, error: &HttpError) -> Failure {
    app.metrics.login("error");
    match error {
        HttpError::Store(error) => app.store_health.failed(StoreUse::Requests, error, Instant::now()),
        error => tracing::error!(error = %causes(error), "a sign-in by the OpenID provider failed"),
    }
    Failure::Failed
}

/// Where the provider sends browsers back.
fn callback_url(app: &App) -> String {
    app.link(OidcSignIn::CALLBACK)
}

/// The sign-in that this browser has begun.
fn begun(app: &App, headers: &HeaderMap) -> Option<Begun> {
    app.parts.tokens.unseal(BEGUN, cookie::named(headers, BEGUN)?, now_ms() / 1000)
}

fn begun_cookie(app: &App, sealed: &str, seconds: u64) -> HeaderValue {
    let path = app.options.base_path.at(OidcSignIn::CALLBACK);
    cookie::set_named(BEGUN, sealed, seconds, &path, app.cookies_are_secure())
}

fn id_token_cookie(app: &App, id_token: &str, seconds: u64) -> HeaderValue {
    // All characters of a JWT that was checked are allowed in a cookie.
    let id_token = if id_token.len() > ID_TOKEN_MAX_BYTES { TOO_LONG } else { id_token };
    let path = app.options.base_path.at("/api/logout");
    cookie::set_named(ID_TOKEN, id_token, seconds, &path, app.cookies_are_secure())
}

/// In place of a token that no browser would keep.
const TOO_LONG: &str = "-";

/// The address at which a user who was signed in by the provider signs out there, and the cookie that
/// is over then.
pub(super) async fn end_session(app: &App, headers: &HeaderMap) -> Option<(String, HeaderValue)> {
    let oidc = app.parts.oidc.as_ref()?;
    let id_token = cookie::named(headers, ID_TOKEN)?;
    let id_token = Some(id_token).filter(|id_token| *id_token != TOO_LONG);
    let url = oidc.provider.end_session_url(id_token, &app.link("/")).await?;
    Some((url, id_token_cookie(app, "", 0)))
}

fn see_other(url: &str) -> Result<Response<Body>, HttpError> {
    let location = HeaderValue::try_from(url).map_err(|_| HttpError::NotFound)?;
    let mut response = Response::new(answer::bytes(""));
    *response.status_mut() = StatusCode::SEE_OTHER;
    response.headers_mut().insert(LOCATION, location);
    response.headers_mut().insert(CACHE_CONTROL, fixed("no-store"));
    Ok(response)
}

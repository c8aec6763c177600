//! The users of the program around the chat: it says who sends a request.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use chat_core::{ReservedNames, SessionId, Username};
use chat_shard::now_ms;
use hyper::http::Extensions;
use hyper::http::request;
use hyper::{HeaderMap, Request};

use crate::app::App;
use crate::body::BoxError;
use crate::error::HttpError;
use crate::signed_in::SignedIn;

/// Says who a request is from: for hosts that have users of their own. With it, the chat has no
/// sign-in, registration, passwords and list of sessions of its own.
///
/// It is asked for each request of a user, and twice for each WebSocket. A WebSocket stays open
/// until [`Identified::until`], and is closed earlier by
/// [`Chat::sign_out`](crate::Chat::sign_out).
pub trait Identity: Send + Sync {
    /// Returns the user who sends a request, or `None` if nobody is signed in (401).
    ///
    /// # Errors
    ///
    /// Any error means that it is not known now: the request is answered with 503.
    fn identify<'a>(&'a self, request: RequestHead<'a>) -> IdentityFuture<'a, Option<Identified>>;

    /// The user signs out in the chat: ends their session, or all of them (`everywhere`), in the
    /// host. Returns the header fields that the answer gets, such as a `Set-Cookie` that clears
    /// the cookie of the host. The chat then closes the sockets itself.
    ///
    /// # Errors
    ///
    /// Any error means that the user is still signed in: the request is answered with 503.
    fn sign_out<'a>(
        &'a self,
        request: RequestHead<'a>,
        user: &'a Identified,
        everywhere: bool,
    ) -> IdentityFuture<'a, HeaderMap>;
}

/// An [`Identity`] of two functions, for a host that knows its sessions without waiting: from memory,
/// or from a cookie that it has signed. They are the methods of the trait, which a host implements that
/// asks a database.
///
/// ```
/// use chat_http::{Identified, identity_fn};
/// use hyper::HeaderMap;
///
/// let users = identity_fn(
///     |request| {
///         let user = request.headers.get("x-user")?;
///         Some(Identified::new(user.to_str().ok()?))
///     },
///     |_request, _user, _everywhere| HeaderMap::new(),
/// );
/// ```
pub fn identity_fn<I, S>(identify: I, sign_out: S) -> Arc<dyn Identity>
where
    I: Fn(RequestHead<'_>) -> Option<Identified> + Send + Sync + 'static,
    S: Fn(RequestHead<'_>, &Identified, bool) -> HeaderMap + Send + Sync + 'static,
{
    Arc::new(IdentityFn { identify, sign_out })
}

struct IdentityFn<I, S> {
    identify: I,
    sign_out: S,
}

impl<I, S> Identity for IdentityFn<I, S>
where
    I: Fn(RequestHead<'_>) -> Option<Identified> + Send + Sync,
    S: Fn(RequestHead<'_>, &Identified, bool) -> HeaderMap + Send + Sync,
{
    fn identify<'a>(&'a self, request: RequestHead<'a>) -> IdentityFuture<'a, Option<Identified>> {
        Box::pin(async move { Ok((self.identify)(request)) })
    }

    fn sign_out<'a>(
        &'a self,
        request: RequestHead<'a>,
        user: &'a Identified,
        everywhere: bool,
    ) -> IdentityFuture<'a, HeaderMap> {
        Box::pin(async move { Ok((self.sign_out)(request, user, everywhere)) })
    }
}

/// What the methods of [`Identity`] return.
pub type IdentityFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send + 'a>>;

/// The head of a request, as far as it can say who sends it.
#[derive(Debug, Clone, Copy)]
pub struct RequestHead<'a> {
    /// The header fields, with the cookies.
    pub headers: &'a HeaderMap,
    /// What the host has added before it passed the request on.
    pub extensions: &'a Extensions,
}

impl<'a, B> From<&'a Request<B>> for RequestHead<'a> {
    fn from(request: &'a Request<B>) -> Self {
        Self { headers: request.headers(), extensions: request.extensions() }
    }
}

impl<'a> From<&'a request::Parts> for RequestHead<'a> {
    fn from(parts: &'a request::Parts) -> Self {
        Self { headers: &parts.headers, extensions: &parts.extensions }
    }
}

/// A user of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identified {
    /// The name, as people see it: 1 to 24 characters. It is the account: messages stay with
    /// it, so that the host never gives it to another user.
    pub user: String,
    /// The address of a picture, on the origin of the page. `None`: the one that the user has
    /// chosen in the chat, if any.
    pub picture: Option<String>,
    /// The session of the host, which [`Chat::sign_out`](crate::Chat::sign_out) can end alone.
    /// `None`: the user has one session.
    pub session: Option<String>,
    /// Until when sockets that are opened now stay open; then the client asks again. `None`: for
    /// a day.
    pub until: Option<SystemTime>,
}

impl Identified {
    /// A user with one session, without a picture.
    pub fn new(user: impl Into<String>) -> Self {
        Self { user: user.into(), picture: None, session: None, until: None }
    }
}

/// The sessions of the host, by the ids that shards know them by.
///
/// A shard refuses an id that was ended a moment ago, because a socket of it may be on its way.
/// A user who signs in to the host again may have the same session there as before, so that it
/// has another id here after each end.
#[derive(Default)]
pub(crate) struct HostSessions {
    /// For each session that was ended lately: when, and how often.
    ended: Mutex<HashMap<String, (Instant, u32)>>,
}

impl HostSessions {
    /// The id of a session.
    fn id(&self, user: &Username, session: Option<&str>) -> SessionId {
        let name = Self::name(user, session);
        let ends = self.lock().get(&name).map_or(0, |(_, ends)| *ends);
        SessionId::new(&format!("{name}\n{ends}"))
    }

    /// Ends a session of a user, or all that are open. Returns their ids.
    pub(crate) fn end(
        &self,
        mut open: Vec<SessionId>,
        user: &Username,
        session: Option<&str>,
    ) -> Vec<SessionId> {
        // A session without a socket may have downloads.
        open.push(self.id(user, session));
        let only = session.map(|session| Self::name(user, Some(session)));
        let parts = |id: &SessionId| {
            let (name, ends) = id.as_str().rsplit_once('\n')?;
            Some((name.to_owned(), ends.parse::<u32>().ok()?))
        };
        let mut ended = self.lock();
        ended.retain(|_, (at, _)| at.elapsed() < ENDED_KEPT);
        let mut ids = Vec::new();
        for id in open {
            let Some((name, ends)) = parts(&id) else { continue };
            if only.as_ref().is_some_and(|only| *only != name) {
                continue;
            }
            ids.push(id);
            if ended.len() < ENDED_MAX || ended.contains_key(&name) {
                let known = ended.get(&name).map_or(0, |(_, ends)| *ends);
                ended.insert(name, (Instant::now(), known.max(ends + 1)));
            }
        }
        ids
    }

    /// The session, which has a name of its own for each user.
    fn name(user: &Username, session: Option<&str>) -> String {
        match session {
            Some(session) => format!("{} {session}", user.as_str()),
            None => user.as_str().to_owned(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (Instant, u32)>> {
        // Every change is whole in one statement.
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long an end is remembered: longer than shards do.
const ENDED_KEPT: Duration = Duration::from_secs(600);
/// Ends that are remembered. With more, who signs in again at once may have to wait for a minute.
const ENDED_MAX: usize = 100_000;

/// What a host has said of the sender of a request, and the head of that request.
pub(crate) struct OfHost {
    pub(crate) identified: Identified,
    headers: HeaderMap,
    extensions: Extensions,
}

impl OfHost {
    pub(crate) fn head(&self) -> RequestHead<'_> {
        RequestHead { headers: &self.headers, extensions: &self.extensions }
    }
}

/// How long a socket stays open at most without being asked for.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// Asks the host who a request is from.
///
/// # Errors
///
/// [`HttpError::MissingToken`], [`HttpError::InvalidToken`] for a name that no user can have,
/// [`HttpError::Identity`] if the host does not know.
pub(crate) async fn identify(
    app: &App,
    identity: &dyn Identity,
    request: RequestHead<'_>,
) -> Result<SignedIn, HttpError> {
    let identified = identity.identify(request).await.map_err(HttpError::Identity)?;
    let identified = identified.ok_or(HttpError::MissingToken)?;
    let user = Username::known(&identified.user).ok().filter(|user| !ReservedNames::is_operator(user));
    let Some(user) = user else {
        tracing::warn!(user = identified.user, "the host names a user whom the chat cannot have");
        return Err(HttpError::InvalidToken(None));
    };
    if !app.parts.stores.administration.bans_of(std::slice::from_ref(&user)).await?.is_empty() {
        return Err(HttpError::InvalidToken(None));
    }
    let now = now_ms();
    let until = identified.until.and_then(|until| until.duration_since(SystemTime::UNIX_EPOCH).ok());
    let until_ms = until.map_or(u64::MAX, |until| u64::try_from(until.as_millis()).unwrap_or(u64::MAX));
    let good_until_ms = until_ms.min(now.saturating_add(LIFETIME.as_millis() as u64));
    if good_until_ms <= now {
        return Err(HttpError::InvalidToken(None));
    }
    let session = app.host_sessions.id(&user, identified.session.as_deref());
    let of_host =
        OfHost { identified, headers: request.headers.clone(), extensions: request.extensions.clone() };
    Ok(SignedIn {
        user,
        session: Some(session),
        by_cookie: false,
        issued_at: None,
        expires_at: good_until_ms / 1000,
        good_until_ms,
        // The host knows when its sessions are used.
        last_seen_at_ms: u64::MAX,
        of_host: Some(Arc::new(of_host)),
    })
}

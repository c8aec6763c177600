//! Signing users in by an OpenID provider: the authorization code flow with PKCE (OpenID Connect
//! Core 1.0 §3.1, RFC 7636).

mod discovery;
mod id_token;
mod query;

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;
use tokio::time::Instant;

use self::discovery::Metadata;
pub use self::id_token::IdTokenError;
use self::id_token::{Expected, IdToken};
use crate::{ExternalKeys, FetchedKeys};

/// A program of an OpenID provider: it sends users there, and finds out who has come back.
///
/// It sends its requests by a function of the caller, which limits their time and the size of
/// answers, and follows no redirects.
pub struct OidcProvider {
    options: OidcOptions,
    send: SendRequest,
    /// What the provider says of itself.
    known: Mutex<Known>,
}

/// What the operator and the provider have agreed on.
#[derive(Clone)]
pub struct OidcOptions {
    /// The address of the provider, exactly as it calls itself (`iss`).
    pub issuer: String,
    /// The id of this program there.
    pub client_id: String,
    /// The secret of this program there; `None`: it has none, and only PKCE protects the code.
    pub client_secret: Option<String>,
    /// The scopes that are asked for, separated by spaces, with `openid`.
    pub scopes: String,
    /// The claim that has the name of a new account.
    pub name_claim: String,
}

impl fmt::Debug for OidcOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { issuer, client_id, .. } = self;
        f.debug_struct("OidcOptions")
            .field("issuer", issuer)
            .field("client_id", client_id)
            .finish_non_exhaustive()
    }
}

/// A request to the provider: a `POST` with a form, or a `GET`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcRequest {
    /// The address.
    pub url: String,
    /// The header `Authorization`.
    pub authorization: Option<String>,
    /// The form, encoded.
    pub form: Option<String>,
}

/// The answer of the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcAnswer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// An answer on its way.
pub type OidcAnswering = Pin<Box<dyn Future<Output = Result<OidcAnswer, BoxError>> + Send>>;

type BoxError = Box<dyn Error + Send + Sync>;
type SendRequest = Arc<dyn Fn(OidcRequest) -> OidcAnswering + Send + Sync>;

/// A sign-in that has begun. The browser that began it keeps it, in a form that it cannot change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OidcAttempt {
    /// The text with which the provider sends the browser back.
    pub state: String,
    nonce: String,
    verifier: String,
    /// When it began, in Unix seconds.
    began: u64,
}

/// A user whom the provider has signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcUser {
    /// The id of the user, which is unique at this provider.
    pub subject: String,
    /// What the user is called, the claim of the options first. Anybody may be called so.
    pub names: Vec<String>,
    /// The ID token, for [`OidcProvider::end_session_url`].
    pub id_token: String,
}

/// Why a user is not signed in. These sentences are for the log.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// The provider does not answer, or not as one.
    #[error("the provider cannot be reached")]
    Away(#[source] BoxError),
    /// The answer of the provider is not what the standard demands.
    #[error("the provider's answer is damaged: {0}")]
    Damaged(&'static str),
    /// The provider does not take the code.
    #[error("the provider refuses the code ({status}): {body}")]
    Refused {
        /// The status of its answer.
        status: u16,
        /// The beginning of its answer.
        body: String,
    },
    /// The ID token does not say who the user is.
    #[error("the ID token is not valid")]
    IdToken(#[from] IdTokenError),
}

impl OidcProvider {
    /// A program of this provider. Nothing is asked before it is needed.
    pub fn new(
        options: OidcOptions,
        send: impl Fn(OidcRequest) -> OidcAnswering + Send + Sync + 'static,
    ) -> Self {
        Self { options, send: Arc::new(send), known: Mutex::default() }
    }

    /// The address of the provider, with which subjects are stored.
    pub fn issuer(&self) -> &str {
        &self.options.issuer
    }

    /// Begins a sign-in: returns the address to which the browser goes, and what it has to keep until
    /// it comes back to `redirect_uri`.
    ///
    /// # Errors
    ///
    /// [`OidcError::Away`], [`OidcError::Damaged`].
    pub async fn begin(&self, redirect_uri: &str, now: u64) -> Result<(String, OidcAttempt), OidcError> {
        let about = self.about().await?;
        let (state, nonce, verifier) = (random_text(), random_text(), random_text());
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&verifier));
        let url = query::with(
            &about.metadata.authorization_endpoint,
            &[
                ("response_type", "code"),
                ("client_id", &self.options.client_id),
                ("redirect_uri", redirect_uri),
                ("scope", &self.options.scopes),
                ("state", &state),
                ("nonce", &nonce),
                ("code_challenge", &challenge),
                ("code_challenge_method", "S256"),
            ],
        );
        Ok((url, OidcAttempt { state, nonce, verifier, began: now }))
    }

    /// Finishes a sign-in with the code that the browser has brought back: exchanges it for the
    /// tokens of the user, and checks them.
    ///
    /// # Errors
    ///
    /// [`OidcError`].
    pub async fn finish(
        &self,
        attempt: &OidcAttempt,
        code: &str,
        redirect_uri: &str,
        now: u64,
    ) -> Result<OidcUser, OidcError> {
        let about = self.about().await?;
        let Tokens { id_token, access_token } =
            self.exchange(&about.metadata, attempt, code, redirect_uri).await?;
        let expected = Expected {
            issuer: &self.options.issuer,
            client_id: &self.options.client_id,
            nonce: &attempt.nonce,
            began: attempt.began,
            now,
        };
        let IdToken { subject, claims } = match IdToken::check(&id_token, &about.keys, &expected) {
            // The provider may have another key by now.
            Err(IdTokenError::UnknownKey) if about.keys.refresh().await => {
                IdToken::check(&id_token, &about.keys, &expected)?
            }
            checked => checked?,
        };
        let mut names = self.names(&claims);
        let has_name = claims.get(&self.options.name_claim).is_some_and(Value::is_string);
        if let (false, Some(url), Some(access_token)) =
            (has_name, &about.metadata.userinfo_endpoint, access_token)
        {
            names.splice(0..0, self.names(&self.user_info(url, &access_token, &subject).await?));
        }
        Ok(OidcUser { subject, names, id_token })
    }

    /// The address at which the user signs out of the provider, too, and then comes back to `after`;
    /// `None` if the provider has none (OpenID Connect RP-Initiated Logout 1.0).
    pub async fn end_session_url(&self, id_token: Option<&str>, after: &str) -> Option<String> {
        let about = self.about().await.ok()?;
        let url = about.metadata.end_session_endpoint.as_deref()?;
        let mut parameters =
            vec![("client_id", self.options.client_id.as_str()), ("post_logout_redirect_uri", after)];
        parameters.extend(id_token.map(|id_token| ("id_token_hint", id_token)));
        Some(query::with(url, &parameters))
    }

    /// What the provider says of itself, at most an hour ago.
    async fn about(&self) -> Result<Arc<About>, OidcError> {
        let mut known = self.known.lock().await;
        let is_fresh = |at: Instant| at.elapsed() < METADATA_LIFETIME;
        if let Some((about, at)) = &known.about
            && is_fresh(*at)
        {
            return Ok(Arc::clone(about));
        }
        if known.failed.is_some_and(|at| at.elapsed() < PAUSE_AFTER_FAILURE) {
            return Err(OidcError::Away("it did not answer a moment ago".into()));
        }
        match self.discover().await {
            Ok(metadata) => {
                let keys = match &known.about {
                    Some((about, _)) if about.metadata.jwks_uri == metadata.jwks_uri => {
                        Arc::clone(&about.keys)
                    }
                    _ => Arc::new(self.keys(metadata.jwks_uri.clone())),
                };
                let about = Arc::new(About { metadata, keys });
                known.about = Some((Arc::clone(&about), Instant::now()));
                known.failed = None;
                Ok(about)
            }
            Err(error) => {
                known.failed = Some(Instant::now());
                // The provider's earlier description is better than none.
                known.about.as_ref().map(|(about, _)| Arc::clone(about)).ok_or(error)
            }
        }
    }

    async fn discover(&self) -> Result<Metadata, OidcError> {
        let answer = self.ask(OidcRequest {
            url: Metadata::url(&self.options.issuer),
            authorization: None,
            form: None,
        });
        let answer = answer.await?;
        if answer.status != 200 {
            return Err(OidcError::Away(format!("discovery is answered with {}", answer.status).into()));
        }
        Metadata::parse(&answer.body, &self.options.issuer)
    }

    /// The keys at an address.
    fn keys(&self, url: String) -> ExternalKeys {
        let send = Arc::clone(&self.send);
        let fetch = move || -> FetchedKeys {
            let answer = send(OidcRequest { url: url.clone(), authorization: None, form: None });
            Box::pin(async move {
                let answer = answer.await?;
                if answer.status == 200 { Ok(answer.body) } else { Err(format!("{}", answer.status).into()) }
            })
        };
        ExternalKeys::fetched(fetch, KEYS_PAUSE)
    }

    /// Exchanges a code for tokens (OpenID Connect Core 1.0 §3.1.3).
    async fn exchange(
        &self,
        metadata: &Metadata,
        attempt: &OidcAttempt,
        code: &str,
        redirect_uri: &str,
    ) -> Result<Tokens, OidcError> {
        let OidcOptions { client_id, client_secret, .. } = &self.options;
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect_uri),
            ("code_verifier", &attempt.verifier),
        ];
        let mut authorization = None;
        match client_secret {
            None => form.push(("client_id", client_id)),
            Some(secret) if metadata.takes_secret_in_form() => {
                form.extend([("client_id", client_id.as_str()), ("client_secret", secret.as_str())]);
            }
            Some(secret) => {
                let both = format!("{}:{}", query::encode(client_id), query::encode(secret));
                authorization = Some(format!("Basic {}", STANDARD.encode(both)));
            }
        }
        let (url, form) = (metadata.token_endpoint.clone(), Some(query::form(&form)));
        let OidcAnswer { status, body } = self.ask(OidcRequest { url, authorization, form }).await?;
        match status {
            200 => serde_json::from_str(&body).map_err(|_| OidcError::Damaged("no ID token")),
            500.. => Err(OidcError::Away(format!("a code is answered with {status}").into())),
            _ => Err(OidcError::Refused { status, body: body.chars().take(SHOWN_MAX_CHARS).collect() }),
        }
    }

    /// What the provider says of a user (OpenID Connect Core 1.0 §5.3).
    async fn user_info(
        &self,
        url: &str,
        access_token: &str,
        subject: &str,
    ) -> Result<Map<String, Value>, OidcError> {
        let authorization = Some(format!("Bearer {access_token}"));
        let answer = self.ask(OidcRequest { url: url.to_owned(), authorization, form: None }).await?;
        if answer.status != 200 {
            return Err(OidcError::Away(format!("userinfo is answered with {}", answer.status).into()));
        }
        let claims: Map<String, Value> =
            serde_json::from_str(&answer.body).map_err(|_| OidcError::Damaged("userinfo is no JSON"))?;
        // §5.3.2: otherwise it may be of another user.
        match claims.get("sub") {
            Some(Value::String(sub)) if sub == subject => Ok(claims),
            _ => Err(OidcError::Damaged("userinfo is of another user")),
        }
    }

    async fn ask(&self, request: OidcRequest) -> Result<OidcAnswer, OidcError> {
        (self.send)(request).await.map_err(OidcError::Away)
    }

    /// What the user is called in these claims.
    fn names(&self, claims: &Map<String, Value>) -> Vec<String> {
        let keys = [self.options.name_claim.as_str(), "preferred_username", "nickname", "name"];
        let named = keys.iter().filter_map(|key| claims.get(*key)?.as_str());
        named.map(str::to_owned).collect()
    }
}

impl fmt::Debug for OidcProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OidcProvider").field("options", &self.options).finish_non_exhaustive()
    }
}

/// The provider's description, and its last failure.
#[derive(Default)]
struct Known {
    about: Option<(Arc<About>, Instant)>,
    /// When it last did not answer.
    failed: Option<Instant>,
}

struct About {
    metadata: Metadata,
    keys: Arc<ExternalKeys>,
}

#[derive(Deserialize)]
struct Tokens {
    id_token: String,
    access_token: Option<String>,
}

/// How long it is believed what the provider says of itself.
const METADATA_LIFETIME: Duration = Duration::from_secs(3600);
/// How long a provider that did not answer is not asked again, so that not everybody waits for it.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(3);
/// The least time between two questions for keys. Only a token that the provider has just sent
/// leads to one.
const KEYS_PAUSE: Duration = Duration::from_secs(1);
/// The part of a refusal that is logged.
const SHOWN_MAX_CHARS: usize = 200;

/// 256 random bits.
fn random_text() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

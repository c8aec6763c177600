//! Sign-ins by an OpenID provider, whose answers are made here.

#![allow(clippy::unwrap_used, reason = "helpers are tests too, which clippy does not know")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chat_auth::{
    IdTokenError, OidcAnswer, OidcAnswering, OidcAttempt, OidcError, OidcOptions, OidcProvider, OidcRequest,
};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const NOW: u64 = 1_795_371_796;
const ISSUER: &str = "https://id.example";
const CALLBACK: &str = "https://chat.example/api/oidc/callback";
const RSA: &str = include_str!("keys/rsa.pem");
const ED: &str = include_str!("keys/ed25519.pem");
const P256: &str = include_str!("keys/p256.pem");
/// The public keys, as `rsa`, `ed` and `p256`.
const KEYS: &str = include_str!("keys/provider.json");

/// What the provider answers, and what it was asked.
#[derive(Default)]
struct Fake {
    is_away: bool,
    keys: String,
    /// The answer to a code, with its status.
    token: (u16, Value),
    user_info: Option<Value>,
    /// Changes of what it says of itself.
    metadata: Value,
    asked: Vec<OidcRequest>,
}

struct Provider {
    fake: Arc<Mutex<Fake>>,
    oidc: OidcProvider,
}

impl Provider {
    fn new() -> Self {
        Self::with_secret(Some("a secret"))
    }

    fn with_secret(secret: Option<&str>) -> Self {
        let fake = Arc::new(Mutex::new(Fake { keys: KEYS.to_owned(), ..Fake::default() }));
        let options = OidcOptions {
            issuer: ISSUER.to_owned(),
            client_id: "chat:1".to_owned(),
            client_secret: secret.map(str::to_owned),
            scopes: "openid profile".to_owned(),
            name_claim: "preferred_username".to_owned(),
        };
        let answering = Arc::clone(&fake);
        let send = move |request: OidcRequest| -> OidcAnswering {
            let answer = answering.lock().unwrap().answer(request);
            Box::pin(async move { answer.map_err(Into::into) })
        };
        Self { fake, oidc: OidcProvider::new(options, send) }
    }

    fn change(&self, change: impl FnOnce(&mut Fake)) {
        change(&mut self.fake.lock().unwrap());
    }

    fn asked(&self, path: &str) -> Vec<OidcRequest> {
        let fake = self.fake.lock().unwrap();
        fake.asked.iter().filter(|request| request.url.ends_with(path)).cloned().collect()
    }

    async fn begin(&self) -> OidcAttempt {
        self.oidc.begin(CALLBACK, NOW).await.unwrap().1
    }

    /// Signs a user in for whom the provider answers with this token.
    async fn finish(
        &self,
        attempt: &OidcAttempt,
        id_token: String,
    ) -> Result<chat_auth::OidcUser, OidcError> {
        let answer = json!({ "id_token": id_token, "access_token": "access", "token_type": "Bearer" });
        self.change(|fake| fake.token = (200, answer));
        self.oidc.finish(attempt, "the code", CALLBACK, NOW).await
    }
}

impl Fake {
    fn answer(&mut self, request: OidcRequest) -> Result<OidcAnswer, &'static str> {
        self.asked.push(request.clone());
        if self.is_away {
            return Err("no route");
        }
        let ok = |body: String| Ok(OidcAnswer { status: 200, body });
        match request.url.strip_prefix(ISSUER).unwrap() {
            "/.well-known/openid-configuration" => {
                let mut metadata = json!({
                    "issuer": ISSUER,
                    "authorization_endpoint": format!("{ISSUER}/auth?tenant=1"),
                    "token_endpoint": format!("{ISSUER}/token"),
                    "jwks_uri": format!("{ISSUER}/jwks"),
                    "userinfo_endpoint": format!("{ISSUER}/me"),
                    "end_session_endpoint": format!("{ISSUER}/end"),
                });
                if let Value::Object(changes) = &self.metadata {
                    metadata.as_object_mut().unwrap().extend(changes.clone());
                }
                ok(metadata.to_string())
            }
            "/jwks" => ok(self.keys.clone()),
            "/token" => Ok(OidcAnswer { status: self.token.0, body: self.token.1.to_string() }),
            "/me" => match &self.user_info {
                Some(claims) => ok(claims.to_string()),
                None => Ok(OidcAnswer { status: 401, body: String::new() }),
            },
            other => panic!("{other} was asked"),
        }
    }
}

/// The attempt's nonce, which only the provider is told.
fn nonce(attempt: &OidcAttempt) -> String {
    serde_json::to_value(attempt).unwrap()["nonce"].as_str().unwrap().to_owned()
}

/// Good claims with changes, of which `null` removes a claim.
fn claims(attempt: &OidcAttempt, changes: &Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "sub": "248289761001", "aud": "chat:1", "exp": NOW + 300, "iat": NOW,
        "nonce": nonce(attempt), "preferred_username": "Алиса",
    });
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

fn signed(header: &Header, claims: &Value, key: &EncodingKey) -> String {
    jsonwebtoken::encode(header, claims, key).unwrap()
}

fn header(algorithm: Algorithm, id: Option<&str>) -> Header {
    Header { kid: id.map(str::to_owned), ..Header::new(algorithm) }
}

fn rsa() -> EncodingKey {
    EncodingKey::from_rsa_pem(RSA.as_bytes()).unwrap()
}

/// A good token with changes of its claims.
fn token(attempt: &OidcAttempt, changes: Value) -> String {
    signed(&header(Algorithm::RS256, Some("rsa")), &claims(attempt, &changes), &rsa())
}

/// The value of a parameter of an address.
fn parameter<'a>(url: &'a str, name: &str) -> Option<&'a str> {
    url.split(['?', '&']).find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

#[tokio::test]
async fn a_browser_is_sent_to_the_provider_and_its_code_is_exchanged() {
    let provider = Provider::new();
    let (url, attempt) = provider.oidc.begin(CALLBACK, NOW).await.unwrap();
    assert!(
        url.starts_with("https://id.example/auth?tenant=1&response_type=code&client_id=chat%3A1&"),
        "{url}"
    );
    assert_eq!(parameter(&url, "redirect_uri"), Some("https%3A%2F%2Fchat.example%2Fapi%2Foidc%2Fcallback"));
    assert_eq!(parameter(&url, "scope"), Some("openid%20profile"));
    assert_eq!(parameter(&url, "state"), Some(attempt.state.as_str()));
    assert_eq!(parameter(&url, "nonce"), Some(nonce(&attempt).as_str()));
    assert_eq!(parameter(&url, "code_challenge_method"), Some("S256"));
    let user = provider.finish(&attempt, token(&attempt, json!({}))).await.unwrap();
    assert_eq!((user.subject.as_str(), user.names[0].as_str()), ("248289761001", "Алиса"));

    let asked = provider.asked("/token");
    let form = asked[0].form.as_deref().unwrap();
    assert!(
        form.starts_with("grant_type=authorization_code&code=the%20code&redirect_uri=https%3A%2F%2Fchat"),
        "{form}"
    );
    // The verifier is what the challenge was made from, and not in the address.
    let verifier = parameter(form, "code_verifier").unwrap();
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier));
    assert_eq!(parameter(&url, "code_challenge"), Some(challenge.as_str()));
    assert!(!url.contains(verifier));
    // `chat%3A1:a%20secret`
    assert_eq!(asked[0].authorization.as_deref(), Some("Basic Y2hhdCUzQTE6YSUyMHNlY3JldA=="));
    assert_eq!(provider.asked("/openid-configuration").len(), 1, "it is remembered");
    assert_eq!(provider.asked("/jwks").len(), 1);

    // No two sign-ins have anything in common.
    let other = provider.begin().await;
    assert!(other.state != attempt.state && nonce(&other) != nonce(&attempt));
}

#[tokio::test]
async fn a_secret_goes_where_the_provider_takes_it() {
    let post = Provider::new();
    post.change(|fake| {
        fake.metadata = json!({ "token_endpoint_auth_methods_supported": ["client_secret_post"] })
    });
    let none = Provider::with_secret(None);
    for (provider, secret) in [(post, Some("a%20secret")), (none, None)] {
        let attempt = provider.begin().await;
        provider.finish(&attempt, token(&attempt, json!({}))).await.unwrap();
        let asked = provider.asked("/token").remove(0);
        assert_eq!(asked.authorization, None);
        let form = asked.form.unwrap();
        assert_eq!(
            (parameter(&form, "client_id"), parameter(&form, "client_secret")),
            (Some("chat%3A1"), secret)
        );
    }
}

#[tokio::test]
async fn tokens_of_every_accepted_algorithm_are_valid() {
    let provider = Provider::new();
    let attempt = provider.begin().await;
    let (ed, p256) = (
        EncodingKey::from_ed_pem(ED.as_bytes()).unwrap(),
        EncodingKey::from_ec_pem(P256.as_bytes()).unwrap(),
    );
    for (algorithm, id, key) in [
        (Algorithm::RS256, "rsa", &rsa()),
        (Algorithm::PS256, "rsa", &rsa()),
        (Algorithm::ES256, "p256", &p256),
        (Algorithm::EdDSA, "ed", &ed),
    ] {
        for id in [Some(id), None] {
            let token = signed(&header(algorithm, id), &claims(&attempt, &json!({})), key);
            assert!(provider.finish(&attempt, token).await.is_ok(), "{algorithm:?} {id:?}");
        }
    }
    for good in [
        json!({ "aud": ["chat:1"] }),
        json!({ "aud": ["other", "chat:1"], "azp": "chat:1" }),
        json!({ "azp": "chat:1" }),
        json!({ "exp": NOW - 59 }),
        json!({ "iat": NOW - 60 }),
        json!({ "iat": NOW + 60 }),
        json!({ "nbf": NOW + 60 }),
    ] {
        let signed = token(&attempt, good.clone());
        assert!(provider.finish(&attempt, signed).await.is_ok(), "{good}");
    }
}

#[tokio::test]
async fn a_token_that_proves_nothing_is_refused() {
    use IdTokenError as E;
    let provider = Provider::new();
    let attempt = provider.begin().await;
    let good = claims(&attempt, &json!({}));
    let hs256 = |secret: &str, id| {
        signed(&header(Algorithm::HS256, id), &good, &EncodingKey::from_secret(secret.as_bytes()))
    };
    let unsigned = |header: &str| {
        let token = token(&attempt, json!({}));
        format!("{}.{}.", URL_SAFE_NO_PAD.encode(header), token.split('.').nth(1).unwrap())
    };
    let changed = |changes: Value| token(&attempt, changes);
    let typed = |typ: &str| Header { typ: Some(typ.to_owned()), ..header(Algorithm::RS256, Some("rsa")) };
    let other = provider.begin().await;
    let ed = EncodingKey::from_ed_pem(ED.as_bytes()).unwrap();
    let table = [
        ("no signature", unsigned(r#"{"alg":"none"}"#), E::Forged),
        ("no signature, with an algorithm", unsigned(r#"{"alg":"RS256","kid":"rsa"}"#), E::Forged),
        ("the secret of the client", hs256("a secret", None), E::Algorithm),
        ("the keys as a shared secret", hs256(KEYS, Some("rsa")), E::Algorithm),
        ("RS512", signed(&header(Algorithm::RS512, Some("rsa")), &good, &rsa()), E::Algorithm),
        ("the id of another key", signed(&header(Algorithm::EdDSA, Some("rsa")), &good, &ed), E::UnknownKey),
        ("an unknown key", signed(&header(Algorithm::RS256, Some("gone")), &good, &rsa()), E::UnknownKey),
        ("an access token", signed(&typed("at+jwt"), &good, &rsa()), E::OtherType),
        (
            "an extension",
            {
                let crit = Some(vec!["exp".to_owned()]);
                signed(&Header { crit, ..header(Algorithm::RS256, Some("rsa")) }, &good, &rsa())
            },
            E::OtherType,
        ),
        ("another issuer", changed(json!({ "iss": "https://id.example/" })), E::Issuer),
        ("no issuer", changed(json!({ "iss": null })), E::Forged),
        ("another audience", changed(json!({ "aud": "other" })), E::Audience),
        ("no audience", changed(json!({ "aud": null })), E::Forged),
        ("an empty audience", changed(json!({ "aud": [] })), E::Audience),
        ("several audiences, for nobody", changed(json!({ "aud": ["chat:1", "other"] })), E::AuthorizedParty),
        (
            "for another of them",
            changed(json!({ "aud": ["chat:1", "other"], "azp": "other" })),
            E::AuthorizedParty,
        ),
        ("one audience, for another", changed(json!({ "azp": "other" })), E::AuthorizedParty),
        ("expired", changed(json!({ "exp": NOW - 60 })), E::Time),
        ("without an end", changed(json!({ "exp": null })), E::Forged),
        ("not valid yet", changed(json!({ "nbf": NOW + 61 })), E::Time),
        ("older than the sign-in", changed(json!({ "iat": NOW - 61 })), E::IssuedAt),
        ("from the future", changed(json!({ "iat": NOW + 61 })), E::IssuedAt),
        ("without a beginning", changed(json!({ "iat": null })), E::Forged),
        ("the nonce of another sign-in", changed(json!({ "nonce": nonce(&other) })), E::Nonce),
        ("no nonce", changed(json!({ "nonce": null })), E::Forged),
        ("no subject", changed(json!({ "sub": null })), E::Forged),
        ("an empty subject", changed(json!({ "sub": "" })), E::Subject),
        ("a long subject", changed(json!({ "sub": "x".repeat(256) })), E::Subject),
        ("a subject that cannot be stored", changed(json!({ "sub": "a\0b" })), E::Subject),
        ("a subject that is no text", changed(json!({ "sub": 1 })), E::Forged),
        ("too long", changed(json!({ "x": "x".repeat(16 * 1024) })), E::TooLong),
        ("garbage", "garbage".to_owned(), E::Forged),
    ];
    for (what, token, expected) in table {
        match provider.finish(&attempt, token).await {
            Err(OidcError::IdToken(error)) => assert_eq!(error, expected, "{what}"),
            other => panic!("{what}: {other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_key_of_the_provider_is_asked_for() {
    let provider = Provider::new();
    let attempt = provider.begin().await;
    provider.change(|fake| fake.keys = r#"{"keys":[]}"#.to_owned());
    let unknown = provider.finish(&attempt, token(&attempt, json!({}))).await;
    assert!(matches!(unknown, Err(OidcError::IdToken(IdTokenError::UnknownKey))));
    provider.change(|fake| fake.keys = KEYS.to_owned());
    tokio::time::advance(Duration::from_secs(1)).await;
    provider.finish(&attempt, token(&attempt, json!({}))).await.unwrap();
    // The key has another id, as after a rotation.
    provider.change(|fake| fake.keys = KEYS.replace("\"rsa\"", "\"new\""));
    tokio::time::advance(Duration::from_secs(1)).await;
    let new = signed(&header(Algorithm::RS256, Some("new")), &claims(&attempt, &json!({})), &rsa());
    provider.finish(&attempt, new).await.unwrap();
    assert_eq!(provider.asked("/jwks").len(), 3);
}

#[tokio::test]
async fn a_name_that_is_not_in_the_token_is_asked_for() {
    let provider = Provider::new();
    let attempt = provider.begin().await;
    let nameless = || token(&attempt, json!({ "preferred_username": null, "name": "Alice A." }));
    let away = provider.finish(&attempt, nameless()).await;
    assert!(matches!(away, Err(OidcError::Away(_))), "{away:?}");
    let info = |sub: &str| Some(json!({ "sub": sub, "preferred_username": "alice" }));
    provider.change(|fake| fake.user_info = info("248289761001"));
    let user = provider.finish(&attempt, nameless()).await.unwrap();
    assert_eq!(user.names, ["alice", "alice", "Alice A."]);
    assert_eq!(provider.asked("/me")[0].authorization.as_deref(), Some("Bearer access"));
    provider.change(|fake| fake.user_info = info("another"));
    let other = provider.finish(&attempt, nameless()).await;
    assert!(matches!(other, Err(OidcError::Damaged(_))), "{other:?}");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_is_away_is_not_asked_by_everybody() {
    let provider = Provider::new();
    provider.change(|fake| fake.is_away = true);
    for _ in 0..3 {
        assert!(matches!(provider.oidc.begin(CALLBACK, NOW).await, Err(OidcError::Away(_))));
    }
    assert_eq!(provider.asked("/openid-configuration").len(), 1);
    provider.change(|fake| fake.is_away = false);
    tokio::time::advance(Duration::from_secs(3)).await;
    let attempt = provider.begin().await;
    // What it has said stays good while it is away.
    provider.change(|fake| fake.is_away = true);
    tokio::time::advance(Duration::from_secs(3601)).await;
    provider.begin().await;
    let away = provider.oidc.finish(&attempt, "code", CALLBACK, NOW).await;
    assert!(matches!(away, Err(OidcError::Away(_))), "{away:?}");
}

#[tokio::test]
async fn a_refused_code_signs_nobody_in() {
    let provider = Provider::new();
    let attempt = provider.begin().await;
    for (status, is_refused) in [(400, true), (401, true), (302, true), (500, false), (503, false)] {
        provider.change(|fake| fake.token = (status, json!({ "error": "invalid_grant" })));
        let result = provider.oidc.finish(&attempt, "code", CALLBACK, NOW).await;
        let is_expected = match result {
            Err(OidcError::Refused { status: seen, .. }) => is_refused && seen == status,
            Err(OidcError::Away(_)) => !is_refused,
            _ => false,
        };
        assert!(is_expected, "{status}");
    }
    provider.change(|fake| fake.token = (200, json!({ "access_token": "x" })));
    let result = provider.oidc.finish(&attempt, "code", CALLBACK, NOW).await;
    assert!(matches!(result, Err(OidcError::Damaged(_))), "{result:?}");
}

#[tokio::test]
async fn a_user_signs_out_of_the_provider_where_it_is_offered() {
    let provider = Provider::new();
    let url = provider.oidc.end_session_url(Some("the.id.token"), "https://chat.example/").await.unwrap();
    assert_eq!(
        url,
        "https://id.example/end?client_id=chat%3A1&post_logout_redirect_uri=https%3A%2F%2Fchat.example%2F&id_token_hint=the.id.token"
    );
    let without = Provider::new();
    without.change(|fake| fake.metadata = json!({ "end_session_endpoint": null }));
    assert_eq!(without.oidc.end_session_url(None, "https://chat.example/").await, None);
}

#[test]
fn a_secret_is_not_shown() {
    assert!(!format!("{:?}", Provider::new().oidc).contains("a secret"));
}

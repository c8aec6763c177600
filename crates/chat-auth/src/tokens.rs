//! The token of a session: a JWT, HS256; and the tokens of another issuer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, TokenData, Validation};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::set_up_code::SetUpCode;
use crate::{ExternalKeys, SigningSecret};

/// The most bytes that a token may have. Tokens made here have about 250; another issuer
/// may add claims of its own.
pub const TOKEN_MAX_BYTES: usize = 4096;

/// Issues and checks tokens. Times are arguments, in whole Unix seconds.
pub struct Tokens {
    signing: EncodingKey,
    checking: DecodingKey,
    validation: Validation,
    external_keys: Option<Arc<ExternalKeys>>,
    options: TokenOptions,
}

/// The options of [`Tokens`].
#[derive(Debug, Clone)]
pub struct TokenOptions {
    /// How long a token is valid, in whole seconds.
    pub lifetime: Duration,
    /// Whether a token without a session id is valid. With such tokens, another issuer
    /// that knows the secret signs in its own users. They cannot be revoked.
    pub accept_external: bool,
    /// The only issuer (`iss`) of such tokens; `None` for every issuer that knows the
    /// secret.
    pub external_issuer: Option<String>,
}

impl Default for TokenOptions {
    fn default() -> Self {
        Self { lifetime: Duration::from_secs(86_400), accept_external: false, external_issuer: None }
    }
}

/// The claims of a valid token.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Claims {
    /// The name of the user.
    pub sub: String,
    /// When the token was issued; another issuer may omit it.
    pub iat: Option<u64>,
    /// The first second at which the token is no longer valid.
    pub exp: u64,
    nbf: Option<u64>,
    iss: Option<String>,
    /// The id of the session; `None` in a token of another issuer.
    pub sid: Option<String>,
}

/// Why a token is not valid. These sentences are for the log; a client should get one
/// sentence for all of them.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The token is longer than [`TOKEN_MAX_BYTES`].
    #[error("the token is longer than {TOKEN_MAX_BYTES} bytes")]
    TooLong,
    /// The token is no JWT, its signature is wrong, or a claim is missing or of the wrong
    /// type.
    #[error("the token is malformed or forged")]
    Forged(#[source] jsonwebtoken::errors::Error),
    /// The header names another type than `JWT`.
    #[error("the token is of another type")]
    OtherType,
    /// The header names extensions that must be understood (`crit`, RFC 7515 §4.1.11). No
    /// extension is.
    #[error("the token demands an extension")]
    Extension,
    /// The token was valid before.
    #[error("the token has expired")]
    Expired,
    /// The token is not valid yet.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// No key that is known has signed the token. The source of the keys may have another one by
    /// now.
    #[error("the token is signed with a key that is not known")]
    UnknownKey,
    /// The token is signed with a key of another issuer, and names a session of this server.
    #[error("the token of another issuer names a session")]
    ForeignSession,
    /// The token has no session, and tokens of other issuers are not accepted.
    #[error("the token has no session")]
    NoSession,
    /// The token has no session, and its issuer is not that of
    /// [`external_issuer`](TokenOptions::external_issuer).
    #[error("the token is of another issuer")]
    OtherIssuer,
}

impl Tokens {
    /// Issues and checks tokens that are signed with this secret.
    pub fn new(secret: &SigningSecret, options: TokenOptions) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_required_spec_claims(&["exp", "sub"]);
        // `verify` checks both times itself: the library would read the clock, and takes
        // a token as valid in the second in which it expires (RFC 7519 §4.1.4 says "on or
        // after").
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let signing = EncodingKey::from_secret(secret.as_bytes());
        let checking = DecodingKey::from_secret(secret.as_bytes());
        Self { signing, checking, validation, external_keys: None, options }
    }

    /// Accepts also tokens of another issuer that are signed with one of these keys, whatever
    /// [`accept_external`](TokenOptions::accept_external) says of the shared secret.
    #[must_use]
    pub fn with_external_keys(mut self, keys: Arc<ExternalKeys>) -> Self {
        self.external_keys = Some(keys);
        self
    }

    /// Asks the source of the other issuer's keys again, after [`TokenError::UnknownKey`].
    /// Returns whether it is worth while to check the token once more.
    pub async fn refresh_external_keys(&self) -> bool {
        match &self.external_keys {
            Some(keys) => keys.refresh().await,
            None => false,
        }
    }

    /// Whether tokens of another issuer are valid.
    pub fn accepts_external(&self) -> bool {
        self.options.accept_external || self.external_keys.is_some()
    }

    /// The code with which a user becomes the first administrator. It follows from the secret,
    /// and from the round: how often an account became the first one.
    pub fn set_up_code(&self, round: u64) -> String {
        SetUpCode::of(&self.signing, round).as_str().to_owned()
    }

    /// Whether a user has typed the set-up code of a round. Case, spaces and hyphens do not
    /// matter.
    pub fn is_set_up_code(&self, round: u64, typed: &str) -> bool {
        SetUpCode::of(&self.signing, round).is(typed)
    }

    /// Issues a token for a session that starts or is renewed at `now`.
    pub fn issue(&self, now: u64, user: &str, session: &str) -> String {
        #[derive(Serialize)]
        struct Issued<'a> {
            sub: &'a str,
            iat: u64,
            exp: u64,
            sid: &'a str,
        }
        let claims = Issued { sub: user, iat: now, exp: now + self.lifetime_seconds(), sid: session };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.signing)
            .expect("HMAC takes a key of any length, and texts and numbers are always JSON")
    }

    /// Checks a token, and returns its claims if it is valid at `now`. The caller must
    /// check whether its session was revoked.
    ///
    /// # Errors
    ///
    /// [`TokenError`].
    pub fn verify(&self, token: &str, now: u64) -> Result<Claims, TokenError> {
        if token.len() > TOKEN_MAX_BYTES {
            return Err(TokenError::TooLong);
        }
        let header = jsonwebtoken::decode_header(token).map_err(TokenError::Forged)?;
        let is_foreign_key = header.alg != Algorithm::HS256;
        let data = match &self.external_keys {
            Some(keys) if is_foreign_key => self.decode_foreign(token, &header, keys)?,
            // Any other algorithm is refused.
            _ => jsonwebtoken::decode::<Claims>(token, &self.checking, &self.validation)
                .map_err(TokenError::Forged)?,
        };
        // Other tokens that are signed with the same secret are no sign-ins (RFC 8725
        // §3.11).
        if data.header.typ.is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT")) {
            return Err(TokenError::OtherType);
        }
        if data.header.crit.is_some() {
            return Err(TokenError::Extension);
        }
        let claims = data.claims;
        if now >= claims.exp {
            return Err(TokenError::Expired);
        }
        if claims.nbf.is_some_and(|nbf| now < nbf) {
            return Err(TokenError::NotYetValid);
        }
        if is_foreign_key && claims.sid.is_some() {
            return Err(TokenError::ForeignSession);
        }
        if claims.sid.is_none() {
            if !is_foreign_key && !self.options.accept_external {
                return Err(TokenError::NoSession);
            }
            let issuer = &self.options.external_issuer;
            if issuer.is_some() && claims.iss != *issuer {
                return Err(TokenError::OtherIssuer);
            }
        }
        Ok(claims)
    }

    /// Decodes a token that is signed with a key of another issuer. The algorithm is that of the
    /// key, which never checks a token of another one.
    fn decode_foreign(
        &self,
        token: &str,
        header: &Header,
        keys: &ExternalKeys,
    ) -> Result<TokenData<Claims>, TokenError> {
        let mut validation = self.validation.clone();
        validation.algorithms = vec![header.alg];
        let mut error = TokenError::UnknownKey;
        for key in keys.matching(header) {
            match jsonwebtoken::decode::<Claims>(token, &key, &validation) {
                Ok(data) => return Ok(data),
                // Without an id, the next key may have signed it.
                Err(cause) if header.kid.is_some() => error = TokenError::Forged(cause),
                Err(_) => {}
            }
        }
        Err(error)
    }

    /// Signs a value that a client keeps for this server, for one purpose: a word that no token of a
    /// session has as its type. The client can read it.
    pub fn seal<T: Serialize>(&self, purpose: &str, value: &T, until: u64) -> String {
        let header = Header { typ: Some(purpose.to_owned()), ..Header::new(Algorithm::HS256) };
        jsonwebtoken::encode(&header, &Sealed { exp: until, value }, &self.signing)
            .expect("HMAC takes a key of any length, and the values are JSON")
    }

    /// A value that [`seal`](Self::seal) has signed for this purpose, while it is valid.
    pub fn unseal<T: DeserializeOwned>(&self, purpose: &str, text: &str, now: u64) -> Option<T> {
        if text.len() > TOKEN_MAX_BYTES {
            return None;
        }
        let mut validation = self.validation.clone();
        validation.required_spec_claims.clear();
        let sealed = jsonwebtoken::decode::<Sealed<T>>(text, &self.checking, &validation).ok()?;
        let is_good = sealed.header.typ.as_deref() == Some(purpose) && now < sealed.claims.exp;
        is_good.then_some(sealed.claims.value)
    }

    /// How long a token is valid, in seconds.
    pub fn lifetime_seconds(&self) -> u64 {
        self.options.lifetime.as_secs()
    }
}

#[derive(Serialize, Deserialize)]
struct Sealed<T> {
    exp: u64,
    value: T,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("options", &self.options).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const NOW: u64 = 1_795_371_796;
    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn tokens() -> Tokens {
        Tokens::new(&SigningSecret::new(SECRET).unwrap(), TokenOptions::default())
    }

    fn external() -> Tokens {
        let options = TokenOptions { accept_external: true, ..TokenOptions::default() };
        Tokens::new(&SigningSecret::new(SECRET).unwrap(), options)
    }

    fn signed(header: &Header, claims: &Value, key: &str) -> String {
        jsonwebtoken::encode(header, claims, &EncodingKey::from_secret(key.as_bytes())).unwrap()
    }

    fn good() -> Value {
        json!({"sub": "alice", "iat": NOW, "exp": NOW + 60, "sid": "s1"})
    }

    /// A token with the claims above and these changes; `null` removes a claim.
    fn with_claims(changes: Value) -> String {
        let mut claims = good();
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => _ = claims.as_object_mut().unwrap().remove(name),
                value => claims[name] = value.clone(),
            }
        }
        signed(&Header::new(Algorithm::HS256), &claims, SECRET)
    }

    #[test]
    fn a_token_is_valid_for_its_lifetime() {
        let tokens = tokens();
        let token = tokens.issue(NOW, "Алиса", "s1");
        for now in [NOW, NOW + 86_399] {
            let claims = tokens.verify(&token, now).unwrap();
            assert_eq!(claims.sub, "Алиса");
            assert_eq!((claims.iat, claims.exp), (Some(NOW), NOW + 86_400));
            assert_eq!(claims.sid.as_deref(), Some("s1"));
        }
        assert!(matches!(tokens.verify(&token, NOW + 86_400), Err(TokenError::Expired)));
    }

    #[test]
    fn forged_tokens_are_refused() {
        let tokens = tokens();
        let token = tokens.issue(NOW, "alice", "s1");
        let parts: Vec<&str> = token.split('.').collect();
        let (header, claims, signature) = (parts[0], parts[1], parts[2]);
        let hs256 = Header::new(Algorithm::HS256);
        let typed = |typ: &str| Header { typ: Some(typ.to_owned()), ..hs256.clone() };
        // {"alg":"none","typ":"JWT"}, and with other spellings of it.
        let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
        let none_capital = "eyJhbGciOiJOb25lIiwidHlwIjoiSldUIn0";
        // {"alg":"RS256","typ":"JWT"}
        let rs256 = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9";
        let table = [
            ("no algorithm", format!("{none}.{claims}.")),
            ("no algorithm, but our signature", format!("{none}.{claims}.{signature}")),
            ("no algorithm, in capitals", format!("{none_capital}.{claims}.")),
            ("swapped algorithm, signed with our secret", {
                signed(&Header::new(Algorithm::HS512), &good(), SECRET)
            }),
            ("another algorithm in the header", format!("{rs256}.{claims}.{signature}")),
            ("another key", signed(&hs256, &good(), "another secret of the same size!")),
            ("an empty key", signed(&hs256, &good(), "")),
            ("expired", with_claims(json!({"exp": NOW - 1}))),
            ("expired this second", with_claims(json!({"exp": NOW}))),
            ("not valid yet", with_claims(json!({"nbf": NOW + 1}))),
            ("exp as text", with_claims(json!({"exp": (NOW + 60).to_string()}))),
            ("negative exp", with_claims(json!({"exp": -1}))),
            ("nbf as text", with_claims(json!({"nbf": "0"}))),
            ("sub as a number", with_claims(json!({"sub": 1}))),
            ("sub as a list", with_claims(json!({"sub": ["alice"]}))),
            ("sid as a number", with_claims(json!({"sid": 1}))),
            ("iat as text", with_claims(json!({"iat": "now"}))),
            ("no exp", with_claims(json!({"exp": null}))),
            ("no sub", with_claims(json!({"sub": null}))),
            ("no sid", with_claims(json!({"sid": null}))),
            ("for another audience", with_claims(json!({"aud": "billing"}))),
            ("claims that are no object", signed(&hs256, &json!(["alice"]), SECRET)),
            ("of another type", signed(&typed("at+jwt"), &good(), SECRET)),
            ("an extension that must be understood", {
                let crit = Some(vec!["exp".to_owned()]);
                signed(&Header { crit, ..hs256.clone() }, &good(), SECRET)
            }),
            ("truncated signature", token[..token.len() - 1].to_owned()),
            ("no signature", format!("{header}.{claims}.")),
            ("two parts", format!("{header}.{claims}")),
            ("four parts", format!("{token}.x")),
            ("other claims, our signature", format!("{header}.{}.{signature}", "eyJzdWIiOiJib2IifQ")),
            ("garbage", "garbage".to_owned()),
            ("dots", "..".to_owned()),
            ("empty", String::new()),
            ("not ASCII", "ж.ж.ж".to_owned()),
            ("too long", with_claims(json!({"x": "x".repeat(TOKEN_MAX_BYTES)}))),
        ];
        for (what, forged) in table {
            assert!(tokens.verify(&forged, NOW).is_err(), "{what}: {forged}");
        }
        // The helpers make valid tokens where nothing is changed.
        tokens.verify(&with_claims(json!({})), NOW).unwrap();
        tokens.verify(&with_claims(json!({"nbf": NOW})), NOW).unwrap();
        tokens.verify(&signed(&typed("jwt"), &good(), SECRET), NOW).unwrap();
    }

    #[test]
    fn a_token_of_another_issuer_needs_the_option() {
        let token = with_claims(json!({"sid": null, "iat": null}));
        assert!(matches!(tokens().verify(&token, NOW), Err(TokenError::NoSession)));
        let claims = external().verify(&token, NOW).unwrap();
        assert_eq!((claims.sub.as_str(), claims.sid, claims.iat), ("alice", None, None));
        assert!(external().verify(&with_claims(json!({"exp": NOW})), NOW).is_err());
    }

    #[test]
    fn the_issuer_may_be_named() {
        let options = TokenOptions {
            accept_external: true,
            external_issuer: Some("https://host.example".to_owned()),
            ..TokenOptions::default()
        };
        let tokens = Tokens::new(&SigningSecret::new(SECRET).unwrap(), options);
        let of = |issuer: Value| with_claims(json!({"sid": null, "iss": issuer}));
        tokens.verify(&of(json!("https://host.example")), NOW).unwrap();
        for other in [json!("https://host.example/"), json!(""), json!(null)] {
            let refused = tokens.verify(&of(other.clone()), NOW);
            assert!(matches!(refused, Err(TokenError::OtherIssuer)), "{other}: {refused:?}");
        }
        let list = of(json!(["https://host.example"]));
        assert!(matches!(tokens.verify(&list, NOW), Err(TokenError::Forged(_))));
        // Tokens of this server need no issuer.
        tokens.verify(&tokens.issue(NOW, "alice", "s1"), NOW).unwrap();
        // Where no issuer is named, every issuer that knows the secret is accepted.
        external().verify(&of(json!("anybody")), NOW).unwrap();
    }

    #[test]
    fn what_is_sealed_is_for_one_purpose_and_no_token() {
        let tokens = tokens();
        let sealed = tokens.seal("a", &["x", "y"], NOW + 60);
        let open = |purpose, text: &str, now| tokens.unseal::<[String; 2]>(purpose, text, now);
        assert_eq!(open("a", &sealed, NOW + 59), Some(["x".to_owned(), "y".to_owned()]));
        assert_eq!(open("b", &sealed, NOW), None, "another purpose");
        assert_eq!(open("a", &sealed, NOW + 60), None, "its time is over");
        assert_eq!(open("a", &sealed[..sealed.len() - 1], NOW), None, "damaged");
        let other = Tokens::new(&SigningSecret::new([7; 32]).unwrap(), TokenOptions::default());
        assert_eq!(open("a", &other.seal("a", &["x", "y"], NOW + 60), NOW), None, "another secret");
        assert_eq!(open("JWT", &tokens.issue(NOW, "alice", "s1"), NOW), None, "a token");
        // A value that looks like a token is none.
        assert!(tokens.verify(&tokens.seal("a", &good(), NOW + 60), NOW).is_err());
        let claims =
            signed(&Header { typ: Some("a".to_owned()), ..Header::new(Algorithm::HS256) }, &good(), SECRET);
        assert!(matches!(tokens.verify(&claims, NOW), Err(TokenError::OtherType)));
    }

    #[test]
    fn tokens_do_not_show_their_key() {
        assert!(!format!("{:?}", tokens()).contains("0123"));
    }
}

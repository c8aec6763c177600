//! The ID token: what a provider says of a user, signed.

use jsonwebtoken::{Algorithm, Header, TokenData, Validation};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::ExternalKeys;

/// A token that was checked.
#[derive(Debug)]
pub(super) struct IdToken {
    pub(super) subject: String,
    /// The claims that say more of the user.
    pub(super) claims: Map<String, Value>,
}

/// What a token must say.
pub(super) struct Expected<'a> {
    pub(super) issuer: &'a str,
    pub(super) client_id: &'a str,
    pub(super) nonce: &'a str,
    /// When the sign-in began, in Unix seconds.
    pub(super) began: u64,
    pub(super) now: u64,
}

/// Why an ID token does not say who the user is.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdTokenError {
    /// It is longer than 16 KiB.
    #[error("it is longer than {ID_TOKEN_MAX_BYTES} bytes")]
    TooLong,
    /// It is no JWT, its signature is wrong, or a claim is missing or of the wrong type.
    #[error("it is malformed or forged")]
    Forged,
    /// It is signed by another algorithm than RS256, PS256, ES256 and EdDSA, or by none.
    #[error("it is signed by an algorithm that is not accepted")]
    Algorithm,
    /// No key of the provider has signed it.
    #[error("it is signed with a key that is not known")]
    UnknownKey,
    /// It is a token for something else (`typ`), or demands an extension (`crit`).
    #[error("it is of another type, or demands an extension")]
    OtherType,
    /// It is of another issuer.
    #[error("it is of another issuer")]
    Issuer,
    /// It is for another program.
    #[error("it is for another program")]
    Audience,
    /// It was given to another program (`azp`).
    #[error("it was given to another program")]
    AuthorizedParty,
    /// It has expired, or is not valid yet.
    #[error("it is not valid now")]
    Time,
    /// It was issued before the sign-in began, or in the future.
    #[error("it was not issued during this sign-in")]
    IssuedAt,
    /// It is of another sign-in.
    #[error("it is of another sign-in")]
    Nonce,
    /// The subject has no characters, or more than 255 bytes.
    #[error("its subject is empty or too long")]
    Subject,
}

/// A token with many groups has some kilobytes.
const ID_TOKEN_MAX_BYTES: usize = 16 * 1024;
/// How much the clocks of the provider and of this server may differ, in seconds.
const LEEWAY_SECONDS: u64 = 60;
/// OpenID Connect Core 1.0 §2.
const SUBJECT_MAX_BYTES: usize = 255;

#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    azp: Option<String>,
    exp: u64,
    iat: u64,
    nbf: Option<u64>,
    nonce: String,
    #[serde(flatten)]
    more: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl IdToken {
    /// Checks a token (OpenID Connect Core 1.0 §3.1.3.7).
    pub(super) fn check(
        token: &str,
        keys: &ExternalKeys,
        expected: &Expected<'_>,
    ) -> Result<Self, IdTokenError> {
        if token.len() > ID_TOKEN_MAX_BYTES {
            return Err(IdTokenError::TooLong);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| IdTokenError::Forged)?;
        // A shared secret is never a key here: the text of a public key could be taken for one.
        if !ALGORITHMS.contains(&header.alg) {
            return Err(IdTokenError::Algorithm);
        }
        if header.typ.as_ref().is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT")) || header.crit.is_some() {
            return Err(IdTokenError::OtherType);
        }
        let claims = decode(token, &header, keys)?.claims;
        if claims.iss != expected.issuer {
            return Err(IdTokenError::Issuer);
        }
        let audiences = match &claims.aud {
            Audience::One(one) => std::slice::from_ref(one),
            Audience::Several(several) => several,
        };
        if !audiences.iter().any(|audience| audience == expected.client_id) {
            return Err(IdTokenError::Audience);
        }
        match &claims.azp {
            Some(azp) if azp != expected.client_id => return Err(IdTokenError::AuthorizedParty),
            None if audiences.len() > 1 => return Err(IdTokenError::AuthorizedParty),
            _ => {}
        }
        let (earliest, latest) = (expected.now.saturating_sub(LEEWAY_SECONDS), expected.now + LEEWAY_SECONDS);
        if claims.exp <= earliest || claims.nbf.is_some_and(|nbf| nbf > latest) {
            return Err(IdTokenError::Time);
        }
        if claims.iat > latest || claims.iat < expected.began.saturating_sub(LEEWAY_SECONDS) {
            return Err(IdTokenError::IssuedAt);
        }
        if claims.nonce != expected.nonce {
            return Err(IdTokenError::Nonce);
        }
        let is_subject = (1..=SUBJECT_MAX_BYTES).contains(&claims.sub.len()) && !claims.sub.contains('\0');
        if !is_subject {
            return Err(IdTokenError::Subject);
        }
        Ok(Self { subject: claims.sub, claims: claims.more })
    }
}

const ALGORITHMS: [Algorithm; 4] = [Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::EdDSA];

fn decode(token: &str, header: &Header, keys: &ExternalKeys) -> Result<TokenData<Claims>, IdTokenError> {
    let mut validation = Validation::new(header.alg);
    // The claims are checked above: the library reads the clock, and takes what is missing as good.
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    let mut error = IdTokenError::UnknownKey;
    for key in keys.matching(header) {
        match jsonwebtoken::decode(token, &key, &validation) {
            Ok(data) => return Ok(data),
            // Without an id, the next key may have signed it.
            Err(_) if header.kid.is_some() => error = IdTokenError::Forged,
            Err(_) => {}
        }
    }
    Err(error)
}

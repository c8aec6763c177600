//! The public keys of another issuer.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header};
use tokio::time::Instant;

/// The public keys (RSA with `RS256` or `PS256`, P-256 with `ES256`, Ed25519 with `EdDSA`) with which
/// tokens of another issuer are checked: fixed ones, or those that a source has now.
///
/// A key checks only tokens of its own algorithms, so that a token which is signed with the text
/// of a public key as a shared secret is never valid.
pub struct ExternalKeys {
    keys: RwLock<Arc<[PublicKey]>>,
    source: Option<Source>,
    /// When the source was last asked.
    asked: tokio::sync::Mutex<Option<Instant>>,
}

struct Source {
    fetch: Box<dyn Fn() -> FetchedKeys + Send + Sync>,
    pause: Duration,
}

/// The text of a set of keys (JWKS), on its way.
pub type FetchedKeys = Pin<Box<dyn Future<Output = Result<String, Box<dyn Error + Send + Sync>>> + Send>>;

struct PublicKey {
    id: Option<String>,
    algorithms: &'static [Algorithm],
    key: DecodingKey,
}

const OF_RSA: &[Algorithm] = &[Algorithm::RS256, Algorithm::PS256];
const OF_P256: &[Algorithm] = &[Algorithm::ES256];
const OF_ED25519: &[Algorithm] = &[Algorithm::EdDSA];

/// Why a text has no keys.
#[derive(Debug, thiserror::Error)]
pub enum ExternalKeysError {
    /// The text is neither PEM with a public key nor a set of keys in JSON.
    #[error("neither a public key in PEM (RSA or Ed25519) nor a JWKS in JSON")]
    Malformed,
    /// No key is one of RSA, P-256 or Ed25519 for signatures.
    #[error("it has no public key of RSA, P-256 or Ed25519 for signatures")]
    NoKey,
}

impl ExternalKeys {
    /// The keys of a text: one public key in PEM, or a set of keys in JSON (RFC 7517). Keys of
    /// other kinds are passed over.
    ///
    /// # Errors
    ///
    /// [`ExternalKeysError`].
    pub fn parse(text: &str) -> Result<Self, ExternalKeysError> {
        let keys = if text.trim_start().starts_with('{') { of_set(text)? } else { of_pem(text)? };
        Ok(Self { keys: RwLock::new(keys.into()), source: None, asked: tokio::sync::Mutex::default() })
    }

    /// The keys that a source has now. It is asked by [`refresh`](Self::refresh), at most once in
    /// `pause`. While it does not answer, the keys that it had stay.
    pub fn fetched(fetch: impl Fn() -> FetchedKeys + Send + Sync + 'static, pause: Duration) -> Self {
        let source = Source { fetch: Box::new(fetch), pause };
        Self { keys: RwLock::new([].into()), source: Some(source), asked: tokio::sync::Mutex::default() }
    }

    /// Asks the source again, unless it was asked a short time before, for at most five seconds.
    /// Returns whether the keys may be others now. Concurrent callers share one question.
    pub async fn refresh(&self) -> bool {
        let Some(source) = &self.source else { return false };
        let started = Instant::now();
        let mut asked = self.asked.lock().await;
        match *asked {
            // Another caller has asked while this one waited.
            Some(at) if at >= started => return true,
            Some(at) if at.elapsed() < source.pause => return false,
            _ => {}
        }
        let fetched = tokio::time::timeout(FETCH_TIMEOUT, (source.fetch)()).await;
        // Also a failure is not repeated at once.
        *asked = Some(Instant::now());
        let keys = match fetched {
            Ok(Ok(text)) => of_set(&text).map_err(Into::into),
            Ok(Err(error)) => Err(error),
            Err(_) => Err("no answer in time".into()),
        };
        match keys {
            Ok(keys) => {
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys.into();
                true
            }
            Err(error) => {
                tracing::warn!(%error, "the keys of external tokens cannot be fetched; those of before stay");
                false
            }
        }
    }

    /// The keys that may have signed a token with this header: those of its algorithm and, if
    /// both have an id, with its id.
    pub(crate) fn matching(&self, header: &Header) -> Vec<DecodingKey> {
        let keys = Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner));
        let is_it = |key: &&PublicKey| {
            let has_id = match (&key.id, &header.kid) {
                (Some(own), Some(named)) => own == named,
                _ => true,
            };
            key.algorithms.contains(&header.alg) && has_id
        };
        keys.iter().filter(is_it).map(|key| key.key.clone()).take(MATCHING_MAX).collect()
    }
}

/// How long a source may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Keys that are tried for a token without an id.
const MATCHING_MAX: usize = 4;
/// Keys of a set; others are passed over.
const KEYS_MAX: usize = 64;

impl fmt::Debug for ExternalKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalKeys").field("is_fetched", &self.source.is_some()).finish_non_exhaustive()
    }
}

fn of_pem(text: &str) -> Result<Vec<PublicKey>, ExternalKeysError> {
    let rsa = DecodingKey::from_rsa_pem(text.as_bytes()).map(|key| (OF_RSA, key));
    let key = rsa.or_else(|_| DecodingKey::from_ed_pem(text.as_bytes()).map(|key| (OF_ED25519, key)));
    let (algorithms, key) = key.map_err(|_| ExternalKeysError::Malformed)?;
    Ok(vec![PublicKey { id: None, algorithms, key }])
}

fn of_set(text: &str) -> Result<Vec<PublicKey>, ExternalKeysError> {
    // One key of a kind that is not known must not make the others invalid.
    let set: serde_json::Value = serde_json::from_str(text).map_err(|_| ExternalKeysError::Malformed)?;
    let keys = set["keys"].as_array().ok_or(ExternalKeysError::Malformed)?;
    let known = keys.iter().take(KEYS_MAX).filter_map(|key| serde_json::from_value::<Jwk>(key.clone()).ok());
    let set = JwkSet { keys: known.collect() };
    let keys: Vec<_> = set.keys.iter().filter_map(of_jwk).collect();
    if keys.is_empty() { Err(ExternalKeysError::NoKey) } else { Ok(keys) }
}

fn of_jwk(jwk: &Jwk) -> Option<PublicKey> {
    let common = &jwk.common;
    if !matches!(common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    let algorithms = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => OF_RSA,
        AlgorithmParameters::EllipticCurve(point) if point.curve == EllipticCurve::P256 => OF_P256,
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => OF_ED25519,
        _ => return None,
    };
    let algorithms = match common.key_algorithm {
        None => algorithms,
        // A key that names its algorithm is for no other one.
        Some(named) => one(algorithms, named)?,
    };
    let key = DecodingKey::from_jwk(jwk).ok()?;
    Some(PublicKey { id: common.key_id.clone(), algorithms, key })
}

/// The algorithm that a key names, if it is among those of its kind.
fn one(algorithms: &'static [Algorithm], named: KeyAlgorithm) -> Option<&'static [Algorithm]> {
    let is_named = |algorithm: &Algorithm| match algorithm {
        Algorithm::RS256 => named == KeyAlgorithm::RS256,
        Algorithm::PS256 => named == KeyAlgorithm::PS256,
        Algorithm::ES256 => named == KeyAlgorithm::ES256,
        Algorithm::EdDSA => named == KeyAlgorithm::EdDSA,
        _ => false,
    };
    let index = algorithms.iter().position(is_named)?;
    Some(&algorithms[index..=index])
}

//! Tokens that another issuer signs with a key of its own.

#![allow(clippy::unwrap_used, reason = "helpers are tests too, which clippy does not know")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chat_auth::{ExternalKeys, ExternalKeysError, SigningSecret, TokenError, TokenOptions, Tokens};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

const NOW: u64 = 1_795_371_796;
const SECRET: &str = "0123456789abcdef0123456789abcdef";
const RSA: &str = include_str!("keys/rsa.pem");
const RSA_PUBLIC: &str = include_str!("keys/rsa.public.pem");
const ED: &str = include_str!("keys/ed25519.pem");
const ED_PUBLIC: &str = include_str!("keys/ed25519.public.pem");
/// Both public keys, as `rsa` and `ed`.
const SET: &str = include_str!("keys/set.json");

fn tokens(keys: ExternalKeys) -> Tokens {
    with_options(keys, TokenOptions::default())
}

fn with_options(keys: ExternalKeys, options: TokenOptions) -> Tokens {
    Tokens::new(&SigningSecret::new(SECRET).unwrap(), options).with_external_keys(Arc::new(keys))
}

fn claims() -> Value {
    json!({ "sub": "alice", "exp": NOW + 60 })
}

fn signed(algorithm: Algorithm, id: Option<&str>, claims: &Value, key: &EncodingKey) -> String {
    let header = Header { kid: id.map(str::to_owned), ..Header::new(algorithm) };
    jsonwebtoken::encode(&header, claims, key).unwrap()
}

fn rsa(id: Option<&str>) -> String {
    signed(Algorithm::RS256, id, &claims(), &EncodingKey::from_rsa_pem(RSA.as_bytes()).unwrap())
}

fn ed(id: Option<&str>) -> String {
    signed(Algorithm::EdDSA, id, &claims(), &EncodingKey::from_ed_pem(ED.as_bytes()).unwrap())
}

#[test]
fn a_key_is_valid_in_each_form() {
    for (form, is_rsa, is_ed) in [(RSA_PUBLIC, true, false), (ED_PUBLIC, false, true), (SET, true, true)] {
        let tokens = tokens(ExternalKeys::parse(form).unwrap());
        assert!(tokens.accepts_external());
        for (token, is_good) in [(rsa(None), is_rsa), (ed(None), is_ed)] {
            match tokens.verify(&token, NOW) {
                Ok(claims) => assert!(is_good && claims.sub == "alice" && claims.sid.is_none()),
                Err(error) => assert!(!is_good && matches!(error, TokenError::UnknownKey), "{error:?}"),
            }
        }
        // The tokens of this server stay valid.
        tokens.verify(&tokens.issue(NOW, "bob", "s1"), NOW).unwrap();
    }
    let tokens = tokens(ExternalKeys::parse(SET).unwrap());
    tokens.verify(&rsa(Some("rsa")), NOW).unwrap();
    tokens.verify(&ed(Some("ed")), NOW).unwrap();
}

#[test]
fn algorithms_are_never_confused() {
    let rsa_key = EncodingKey::from_rsa_pem(RSA.as_bytes()).unwrap();
    let hmac = |text: &str| EncodingKey::from_secret(text.as_bytes());
    let with = |change: Value| {
        let mut claims = claims();
        claims.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        claims
    };
    let none = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{}.", rsa(None).split('.').nth(1).unwrap());
    let swapped = |header: &str, token: String| {
        let (_, rest) = token.split_once('.').unwrap();
        format!("{header}.{rest}")
    };
    let table = [
        ("the public key as a shared secret", signed(Algorithm::HS256, None, &claims(), &hmac(RSA_PUBLIC))),
        ("the same without its last line end", {
            signed(Algorithm::HS256, Some("rsa"), &claims(), &hmac(RSA_PUBLIC.trim_end()))
        }),
        ("the set as a shared secret", signed(Algorithm::HS256, None, &claims(), &hmac(SET))),
        (
            "our secret, where only keys are accepted",
            signed(Algorithm::HS256, None, &claims(), &hmac(SECRET)),
        ),
        ("no algorithm", none),
        ("another algorithm of the key", signed(Algorithm::RS512, Some("rsa"), &claims(), &rsa_key)),
        ("with padding of another kind", signed(Algorithm::PS256, Some("rsa"), &claims(), &rsa_key)),
        ("the id of the other key", rsa(Some("ed"))),
        ("an unknown id", rsa(Some("gone"))),
        // {"alg":"EdDSA","typ":"JWT"} and {"alg":"RS256","typ":"JWT"}
        ("EdDSA in the header of RS256", swapped("eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCJ9", rsa(None))),
        ("RS256 in the header of EdDSA", swapped("eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9", ed(None))),
        ("a session of this server", signed(Algorithm::RS256, None, &with(json!({ "sid": "s1" })), &rsa_key)),
        ("expired", signed(Algorithm::RS256, None, &with(json!({ "exp": NOW })), &rsa_key)),
        ("not valid yet", signed(Algorithm::RS256, None, &with(json!({ "nbf": NOW + 1 })), &rsa_key)),
        ("for another audience", signed(Algorithm::RS256, None, &with(json!({ "aud": "x" })), &rsa_key)),
    ];
    let tokens = tokens(ExternalKeys::parse(SET).unwrap());
    for (what, token) in table {
        assert!(tokens.verify(&token, NOW).is_err(), "{what}");
    }
    tokens.verify(&signed(Algorithm::RS256, None, &claims(), &rsa_key), NOW).unwrap();
}

#[test]
fn the_issuer_is_that_of_the_settings() {
    let options = TokenOptions { external_issuer: Some("https://a".to_owned()), ..TokenOptions::default() };
    let tokens = with_options(ExternalKeys::parse(RSA_PUBLIC).unwrap(), options);
    let key = EncodingKey::from_rsa_pem(RSA.as_bytes()).unwrap();
    let of = |issuer: &str| json!({ "sub": "alice", "exp": NOW + 60, "iss": issuer });
    tokens.verify(&signed(Algorithm::RS256, None, &of("https://a"), &key), NOW).unwrap();
    let other = tokens.verify(&signed(Algorithm::RS256, None, &of("https://b"), &key), NOW);
    assert!(matches!(other, Err(TokenError::OtherIssuer)));
    assert!(matches!(tokens.verify(&rsa(None), NOW), Err(TokenError::OtherIssuer)), "no issuer");
}

#[test]
fn what_has_no_key_is_refused() {
    let private_only = r#"{"keys":[{"kty":"oct","k":"AAAA"},{"kty":"new"}]}"#;
    for (text, has_no_key) in [("", false), ("x", false), ("{}", false), ("{", false), (private_only, true)] {
        let error = ExternalKeys::parse(text).unwrap_err();
        assert_eq!(matches!(error, ExternalKeysError::NoKey), has_no_key, "{text}: {error}");
    }
    for (name, value) in [("use", "enc"), ("alg", "RS512"), ("alg", "RSA-OAEP")] {
        let mut set: Value = serde_json::from_str(SET).unwrap();
        set["keys"][0][name] = value.into();
        let tokens = tokens(ExternalKeys::parse(&set.to_string()).unwrap());
        assert!(tokens.verify(&rsa(None), NOW).is_err(), "{name} {value}");
        tokens.verify(&ed(None), NOW).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn keys_are_fetched_again_for_an_unknown_one_but_not_often() {
    let (asked, answer) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Err("down"))));
    let (count, answered) = (asked.clone(), answer.clone());
    let fetch = move || -> chat_auth::FetchedKeys {
        count.fetch_add(1, Ordering::Relaxed);
        let answer: Result<String, &str> = answered.lock().unwrap().clone();
        Box::pin(async move { answer.map_err(Into::into) })
    };
    let tokens = tokens(ExternalKeys::fetched(fetch, Duration::from_secs(60)));
    let both = |set: &str| -> Value { serde_json::from_str(set).unwrap() };
    let is_unknown = |token: &str| matches!(tokens.verify(token, NOW), Err(TokenError::UnknownKey));
    assert!(is_unknown(&rsa(Some("rsa"))));
    assert!(!tokens.refresh_external_keys().await, "it is down");
    // It is back with the first key, and is asked after a minute.
    let mut first = both(SET);
    first["keys"].as_array_mut().unwrap().truncate(1);
    *answer.lock().unwrap() = Ok(first.to_string());
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(!tokens.refresh_external_keys().await);
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    tokio::time::advance(Duration::from_secs(60)).await;
    assert!(tokens.refresh_external_keys().await);
    tokens.verify(&rsa(Some("rsa")), NOW).unwrap();
    assert!(is_unknown(&ed(Some("ed"))));
    // The issuer has another key from now on.
    *answer.lock().unwrap() = Ok(SET.to_owned());
    tokio::time::advance(Duration::from_secs(60)).await;
    let (one, other) = tokio::join!(tokens.refresh_external_keys(), tokens.refresh_external_keys());
    assert!(one && other);
    assert_eq!(asked.load(Ordering::Relaxed), 3, "both share a question");
    tokens.verify(&ed(Some("ed")), NOW).unwrap();
    // While it is down, the keys stay.
    *answer.lock().unwrap() = Err("down");
    tokio::time::advance(Duration::from_secs(60)).await;
    assert!(!tokens.refresh_external_keys().await);
    tokens.verify(&ed(Some("ed")), NOW).unwrap();
}

//! Encryption of messages to browsers (RFC 8291), and the signature of the server (VAPID,
//! RFC 8292). The push service can read neither.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// What a browser gave for messages to it.
pub(crate) struct BrowserKeys {
    public: Vec<u8>,
    secret: Vec<u8>,
}

impl BrowserKeys {
    /// Parses `p256dh` and `auth` of a subscription. `None` if they are none.
    pub(crate) fn parse(p256dh: &str, auth: &str) -> Option<Self> {
        let keys = Self { public: decode(p256dh)?, secret: decode(auth)? };
        let has_lengths = keys.public.len() == 65 && keys.public[0] == 4 && keys.secret.len() == 16;
        // A point that is not on the curve fails here.
        (has_lengths && keys.encrypt(b"").is_some()).then_some(keys)
    }

    /// The secret that the browser shares with this server.
    pub(crate) fn secret(&self) -> &[u8] {
        &self.secret
    }

    /// Encrypts a message of at most [`PLAINTEXT_MAX`] bytes. `None` if the key of the browser is
    /// no key.
    pub(crate) fn encrypt(&self, plaintext: &[u8]) -> Option<Vec<u8>> {
        let own = PrivateKey::generate(&ECDH_P256).ok()?;
        self.encrypt_with(&own, rand::random(), plaintext)
    }

    fn encrypt_with(&self, own: &PrivateKey, salt: [u8; 16], plaintext: &[u8]) -> Option<Vec<u8>> {
        let public = own.compute_public_key().ok()?;
        let theirs = UnparsedPublicKey::new(&ECDH_P256, &self.public);
        let shared = agree(own, theirs, (), |shared| Ok(shared.to_vec())).ok()?;
        let key = extract(&self.secret, &shared);
        let info = [b"WebPush: info\0", self.public.as_slice(), public.as_ref()].concat();
        let key = extract(&salt, &expand(&key, &info));
        let content_key = expand(&key, b"Content-Encoding: aes128gcm\0");
        let nonce = expand(&key, b"Content-Encoding: nonce\0");
        let content_key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &content_key[..16]).ok()?);
        let nonce = Nonce::try_assume_unique_for_key(&nonce[..12]).ok()?;
        // The delimiter of the only record (RFC 8188 §2).
        let mut sealed = [plaintext, &[2]].concat();
        content_key.seal_in_place_append_tag(nonce, Aad::empty(), &mut sealed).ok()?;
        let key_length = u8::try_from(public.as_ref().len()).ok()?;
        let header: [&[u8]; 4] = [&salt, &RECORD_BYTES.to_be_bytes(), &[key_length], public.as_ref()];
        Some([header.concat(), sealed].concat())
    }
}

/// The bytes of the only record, which is as long as a message may be (RFC 8030 §7.2).
const RECORD_BYTES: u32 = 4096;

/// The most bytes of a message before its encryption.
pub(crate) const PLAINTEXT_MAX: usize = 3 * 1024;

/// HKDF-Extract (RFC 5869).
fn extract(salt: &[u8], key: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(HMAC_SHA256, salt), key).as_ref().to_vec()
}

/// HKDF-Expand, up to 32 bytes.
fn expand(key: &[u8], info: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(HMAC_SHA256, key), &[info, &[1]].concat()).as_ref().to_vec()
}

/// The key by which push services know the servers of a database.
pub(crate) struct ServerKey(EcdsaKeyPair);

impl ServerKey {
    /// A new key, as it is stored. `None` if the system has no randomness.
    pub(crate) fn generate() -> Option<String> {
        let key =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).ok()?;
        Some(URL_SAFE_NO_PAD.encode(key.as_ref()))
    }

    /// A stored key. `None` if it is damaged.
    pub(crate) fn parse(stored: &str) -> Option<Self> {
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &decode(stored)?).ok().map(Self)
    }

    /// The public key, which browsers get: an uncompressed point, base64url.
    pub(crate) fn public(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.public_key().as_ref())
    }

    /// The header `Authorization` for a push service of this origin, good for twelve hours.
    pub(crate) fn authorization(&self, origin: &str, contact: &str, now_seconds: u64) -> Option<String> {
        let claims =
            serde_json::json!({ "aud": origin, "exp": now_seconds + LIFETIME_SECONDS, "sub": contact });
        let head = URL_SAFE_NO_PAD.encode(r#"{"typ":"JWT","alg":"ES256"}"#);
        let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).ok()?;
        let signature = URL_SAFE_NO_PAD.encode(signature.as_ref());
        Some(format!("vapid t={signed}.{signature}, k={}", self.public()))
    }
}

/// Half of what is allowed (RFC 8292 §2), as clocks differ.
const LIFETIME_SECONDS: u64 = 12 * 60 * 60;

/// Base64url, also with padding, as some browsers give it.
fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()
}

/// The header `Topic` of a conversation: a newer message replaces one that the service still has.
/// It says nothing of the conversation to the service, and differs for each browser.
pub(crate) fn topic_header(secret: &[u8], topic: &str) -> String {
    let digest = hmac::sign(&hmac::Key::new(HMAC_SHA256, secret), topic.as_bytes());
    URL_SAFE_NO_PAD.encode(&digest.as_ref()[..24])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 8291 §5.
    #[test]
    fn the_example_of_the_standard() {
        let own = decode("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw").unwrap();
        let own = PrivateKey::from_private_key(&ECDH_P256, &own).unwrap();
        let salt = decode("DGv6ra1nlYgDCS1FRnbzlw").unwrap().try_into().unwrap();
        let browser = BrowserKeys::parse(
            "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
            "BTBZMqHH6r4Tts7J_aSIgg",
        )
        .unwrap();
        let sent = browser.encrypt_with(&own, salt, b"When I grow up, I want to be a watermelon").unwrap();
        let expected = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN";
        assert_eq!(URL_SAFE_NO_PAD.encode(sent), expected);
    }

    #[test]
    fn keys_that_are_none_are_refused() {
        let (key, secret) = (URL_SAFE_NO_PAD.encode([4; 65]), URL_SAFE_NO_PAD.encode([1; 16]));
        assert!(BrowserKeys::parse(&key, &secret).is_none(), "not on the curve");
        assert!(BrowserKeys::parse("?", &secret).is_none());
        assert!(BrowserKeys::parse("", "").is_none());
    }

    #[test]
    fn a_key_is_stored_and_signs() {
        let stored = ServerKey::generate().unwrap();
        let key = ServerKey::parse(&stored).unwrap();
        assert_eq!(ServerKey::parse(&stored).unwrap().public(), key.public());
        assert_eq!(decode(&key.public()).unwrap().len(), 65);
        let header = key.authorization("https://push.example", "https://chat.example", 1_000).unwrap();
        let token = header.strip_prefix("vapid t=").unwrap().split(',').next().unwrap();
        let claims = token.split('.').nth(1).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&decode(claims).unwrap()).unwrap();
        assert_eq!(claims["exp"], 1_000 + LIFETIME_SECONDS);
        assert_ne!(ServerKey::generate().unwrap(), stored);
    }
}

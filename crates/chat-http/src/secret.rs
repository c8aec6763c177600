//! Secrets in links: of invitations, and of links that set a password.

use chat_core::{SecretHash, Username};
use chat_store::NewPasswordLink;
use sha2::{Digest as _, Sha256};

use crate::hex;

/// A secret of 128 random bits, in hexadecimal digits. Only its hash is stored.
pub(crate) struct Secret(String);

impl Secret {
    /// A new secret.
    pub(crate) fn random() -> Self {
        Self(hex::encode(&rand::random::<[u8; 16]>()))
    }

    /// The text in the link.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The hash that is stored.
    pub(crate) fn hash(&self) -> SecretHash {
        hash(&self.0)
    }
}

/// A new link with which a user sets a password once, within 24 hours; and its secret, which is
/// the last part of its path: `/password/<secret>`.
pub fn new_password_link(user: Username, now_ms: u64) -> (NewPasswordLink, String) {
    let secret = Secret::random();
    let expires_at_ms = now_ms + PASSWORD_LINK_LIFETIME_MS;
    (NewPasswordLink { user, secret: secret.hash(), expires_at_ms }, secret.0)
}

const PASSWORD_LINK_LIFETIME_MS: u64 = 24 * 60 * 60 * 1000;

/// The token of a new bot: 256 random bits. Only its hash is stored.
pub(crate) fn bot_token() -> String {
    format!("{BOT_TOKEN}{}", hex::encode(&rand::random::<[u8; 32]>()))
}

/// How tokens of bots begin.
pub(crate) const BOT_TOKEN: &str = "bot_";

/// The hash of the text in a link, or of a token of a bot.
pub(crate) fn hash(secret: &str) -> SecretHash {
    SecretHash::from_bytes(Sha256::digest(secret).into())
}

/// A public id of 64 random bits.
pub(crate) fn random_id() -> String {
    hex::encode(&rand::random::<[u8; 8]>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_by_its_text() {
        let secret = Secret::random();
        assert_eq!(secret.as_str().len(), 32);
        assert_eq!(hash(secret.as_str()), secret.hash());
        assert_ne!(hash("other"), secret.hash());
    }
}

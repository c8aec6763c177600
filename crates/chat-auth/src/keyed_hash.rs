//! Hashes of what clients choose.

use std::hash::{Hash, Hasher as _};

use siphasher::sip::SipHasher13;

/// Hashes names and addresses with a secret key, so that nobody chooses two with the same hash. With
/// the same key, all servers make the same hashes.
#[derive(Clone)]
pub struct KeyedHash(SipHasher13);

impl KeyedHash {
    /// With this key.
    pub fn new(key: [u8; 16]) -> Self {
        Self(SipHasher13::new_with_key(&key))
    }

    /// With a random key, for one process.
    pub fn random() -> Self {
        Self::new(rand::random())
    }

    /// The hash of a value.
    pub fn hash(&self, value: impl Hash) -> u64 {
        let mut hasher = self.0;
        value.hash(&mut hasher);
        hasher.finish()
    }
}

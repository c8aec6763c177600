//! argon2id in a buffer that is reused, and bcrypt for old hashes.

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};

use crate::old_hash::OldHash;
use crate::{NO_PASSWORD, Password, Verdict};

/// Hashes and checks passwords, one at a time, in a buffer that it keeps.
pub(crate) struct Hasher {
    /// The cost of new hashes.
    params: Params,
    /// Empty until the first hash, and after `free_buffer`.
    buffer: Vec<Block>,
}

impl Hasher {
    pub(crate) fn new(params: Params) -> Self {
        Self { params, buffer: Vec::new() }
    }

    pub(crate) fn has_buffer(&self) -> bool {
        !self.buffer.is_empty()
    }

    pub(crate) fn free_buffer(&mut self) {
        self.buffer = Vec::new();
    }

    /// The hash of a new password; `None` if argon2id fails.
    pub(crate) fn hash(&mut self, password: &Password) -> Option<String> {
        let salt: [u8; argon2::RECOMMENDED_SALT_LEN] = rand::random();
        let hash = Salt::new(&salt).ok().and_then(|salt| {
            let params = self.params.clone();
            let output = self.argon2id(Version::V0x13, &params, password, &salt)?;
            Some(PasswordHash {
                algorithm: Algorithm::Argon2id.ident(),
                version: Some(Version::V0x13.into()),
                params: ParamsString::try_from(&params).ok()?,
                salt: Some(salt),
                hash: Some(output),
            })
        });
        if hash.is_none() {
            tracing::error!("a password could not be hashed");
        }
        hash.map(|hash| hash.to_string())
    }

    /// Checks a password against a hash. Without a hash, or with one that cannot be read,
    /// this takes as long as a new hash, and the password is wrong.
    pub(crate) fn verify(&mut self, password: &Password, hash: Option<&str>) -> Verdict {
        let hash = hash.filter(|hash| *hash != NO_PASSWORD);
        let (right, outdated) = match hash.map(ReadHash::parse) {
            Some(Some(ReadHash::Argon2id(stored))) => {
                let output = self.argon2id(stored.version, &stored.params, password, &stored.salt);
                // `Output` compares in constant time.
                (output.is_some_and(|output| output == stored.output), stored.is_weaker_than(&self.params))
            }
            Some(Some(ReadHash::Old(stored))) => (stored.verify(password), true),
            unknown => {
                if unknown.is_some() {
                    tracing::error!("an account's password hash cannot be read");
                }
                self.hash(password);
                (false, false)
            }
        };
        if !right {
            return Verdict::Wrong;
        }
        if !outdated {
            return Verdict::Right;
        }
        // If no new hash can be made, the old one stays valid.
        self.hash(password).map_or(Verdict::Right, |new_hash| Verdict::RightButOutdated { new_hash })
    }

    fn argon2id(
        &mut self,
        version: Version,
        params: &Params,
        password: &Password,
        salt: &Salt,
    ) -> Option<Output> {
        let blocks = params.block_count();
        if self.buffer.len() < blocks {
            self.buffer.resize(blocks, Block::new());
        }
        let mut out = [0; Output::MAX_LENGTH];
        let out = out.get_mut(..params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN))?;
        let result = Argon2::new(Algorithm::Argon2id, version, params.clone())
            .hash_password_into_with_memory(password.as_bytes(), salt, out, &mut self.buffer)
            .inspect_err(|error| tracing::error!(%error, "argon2id failed"));
        // The memory of a stored hash that costs more than a new one is not kept.
        self.buffer.truncate(self.params.block_count());
        self.buffer.shrink_to_fit();
        result.ok()?;
        Output::new(out).ok()
    }
}

/// A stored hash of a kind that can be checked.
enum ReadHash<'a> {
    Argon2id(StoredHash),
    Old(OldHash<'a>),
}

impl<'a> ReadHash<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let old = || OldHash::parse(text).map(Self::Old);
        StoredHash::parse(text).map(Self::Argon2id).or_else(old)
    }
}

/// The parts of a PHC string of argon2id.
struct StoredHash {
    version: Version,
    params: Params,
    salt: Salt,
    output: Output,
}

impl StoredHash {
    /// The most memory a stored hash may ask for, in KiB.
    const MEMORY_MAX_KIB: u32 = 256 * 1024;

    fn parse(text: &str) -> Option<Self> {
        let hash = PasswordHash::new(text).ok()?;
        let version = hash.version.map_or(Ok(Version::V0x13), Version::try_from).ok()?;
        let params = Params::try_from(&hash).ok()?;
        let fits = hash.algorithm == Algorithm::Argon2id.ident() && params.m_cost() <= Self::MEMORY_MAX_KIB;
        fits.then_some(Self { version, params, salt: hash.salt?, output: hash.hash? })
    }

    /// Whether a hash made with these parameters is harder to guess from. A hash that
    /// costs more is not weaker, and is kept.
    fn is_weaker_than(&self, current: &Params) -> bool {
        self.version != Version::V0x13
            || self.params.m_cost() < current.m_cost()
            || self.params.t_cost() < current.t_cost()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffer_is_allocated_at_first_use_and_does_not_stay_larger() {
        let mut hasher = Hasher::new(Params::new(64, 1, 1, Some(32)).unwrap());
        let password = Password::parse("p".to_owned()).unwrap();
        assert!(!hasher.has_buffer());
        hasher.hash(&password).unwrap();
        assert_eq!(hasher.buffer.len(), 64);
        let before = hasher.buffer.as_ptr();
        hasher.verify(&password, None);
        assert_eq!(hasher.buffer.as_ptr(), before, "the buffer is used again");
        let costly = "$argon2id$v=19$m=1024,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        hasher.verify(&password, Some(costly));
        assert_eq!(hasher.buffer.capacity(), 64);
        hasher.free_buffer();
        assert!(!hasher.has_buffer());
    }
}

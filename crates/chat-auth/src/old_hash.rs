//! The bcrypt hashes of accounts of the original chat.

use crate::Password;

/// A bcrypt hash whose version and cost can be checked here. New ones are never made.
pub(crate) struct OldHash<'a>(&'a str);

impl<'a> OldHash<'a> {
    /// Parses `$2a$`, `$2b$` or `$2y$` (three names of one version; `$2x$` marks hashes of
    /// a faulty old PHP), two digits of cost from 4 to [`COST_MAX`], and 53 characters of
    /// salt and hash. `None` for everything else.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let version = ["$2a$", "$2b$", "$2y$"].iter().any(|version| text.starts_with(version));
        let parts: bcrypt::HashParts = if version { text.parse().ok()? } else { return None };
        (COST_MIN..=COST_MAX).contains(&parts.get_cost()).then_some(Self(text))
    }

    /// Whether this is the password of the hash. A password of more than
    /// [`PASSWORD_MAX_BYTES`] bytes is not: bcrypt ignores the bytes beyond, so that it
    /// would be right with any end. The original refused such passwords.
    pub(crate) fn verify(&self, password: &Password) -> bool {
        if password.as_bytes().len() > PASSWORD_MAX_BYTES {
            return false;
        }
        // `bcrypt::verify` compares in constant time.
        bcrypt::verify(password.as_bytes(), self.0)
            .inspect_err(|error| tracing::error!(%error, "bcrypt failed"))
            .unwrap_or(false)
    }
}

/// The lowest cost of bcrypt.
const COST_MIN: u32 = 4;

/// The highest cost that is checked. Each step doubles the time: cost 10, which the
/// original used, takes about 50 ms of one core, and cost 14 takes 0.8 s.
const COST_MAX: u32 = 14;

/// The number of bytes of a password that bcrypt uses.
const PASSWORD_MAX_BYTES: usize = 72;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HashCost, Passwords, PasswordsOptions, Verdict};

    // Made by libxcrypt's crypt(3).
    const HORSE: &str = "N9qo8uLOickgx2ZMRZoMye7hLCKuEIm4BcKHuoCJsBy/5Q0NErxWS";
    const CYRILLIC: &str = "$2a$10$N9qo8uLOickgx2ZMRZoMyehsZ0y6SMx/3UznCzcmQawBvXnRA0rK.";
    const X_72_TIMES: &str = "$2a$04$N9qo8uLOickgx2ZMRZoMyedlslr.Jty7xCSm4JGSxc8PDTmSzo582";
    const COST_4: &str = "$2a$04$N9qo8uLOickgx2ZMRZoMyeCQdIF/vWLMFacDmLlW19I5.0nikM5DO";
    const COST_14: &str = "$2a$14$N9qo8uLOickgx2ZMRZoMyeyb1gjHTDOrkMx3jTzoo.iwVBYxVrPgu";
    const COST_15: &str = "$2a$15$N9qo8uLOickgx2ZMRZoMyee2mf6mClj4avxmgXkChfefF6VFNmPS2";

    fn cheap(passes: u32) -> Passwords {
        let cost = HashCost { memory_kib: 64, passes, lanes: 1 };
        Passwords::start(PasswordsOptions { cost, ..PasswordsOptions::default() }).unwrap()
    }

    async fn verdict(passwords: &Passwords, password: &str, hash: &str) -> Verdict {
        let password = Password::parse(password.to_owned()).unwrap();
        passwords.verify_login(crate::HashFor::SignIn("192.0.2.1"), password, Some(hash)).await.unwrap()
    }

    #[tokio::test]
    async fn accounts_of_the_original_sign_in_and_get_a_new_hash() {
        let passwords = cheap(1);
        for version in ["$2a$10$", "$2b$10$", "$2y$10$"] {
            let old = format!("{version}{HORSE}");
            assert_eq!(verdict(&passwords, "correct hors", &old).await, Verdict::Wrong);
            let Verdict::RightButOutdated { new_hash } = verdict(&passwords, "correct horse", &old).await
            else {
                panic!("{version}");
            };
            assert!(new_hash.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{new_hash}");
            assert_eq!(verdict(&passwords, "correct horse", &new_hash).await, Verdict::Right);
            assert_eq!(verdict(&passwords, "correct hors", &new_hash).await, Verdict::Wrong);
        }
        assert!(verdict(&passwords, "пароль", CYRILLIC).await.is_right());
        assert!(!verdict(&passwords, "Пароль", CYRILLIC).await.is_right());
    }

    #[tokio::test]
    async fn a_password_that_bcrypt_would_truncate_is_wrong() {
        let passwords = cheap(1);
        assert!(verdict(&passwords, &"x".repeat(72), X_72_TIMES).await.is_right());
        for length in [71, 73, 1024] {
            assert_eq!(
                verdict(&passwords, &"x".repeat(length), X_72_TIMES).await,
                Verdict::Wrong,
                "{length}"
            );
        }
    }

    #[tokio::test]
    async fn only_hashes_of_a_known_version_and_limited_cost_are_checked() {
        let passwords = cheap(1);
        assert!(verdict(&passwords, "p", COST_4).await.is_right());
        assert!(verdict(&passwords, "p", COST_14).await.is_right());
        for bad in [
            COST_15.to_owned(),
            COST_4.replace("$2a$04$", "$2a$31$"),
            COST_4.replace("$2a$04$", "$2a$99$"),
            COST_4.replace("$2a$", "$2x$"),
            COST_4.replace("$2a$", "$2$"),
            COST_4[..59].to_owned(),
            format!("{COST_4} "),
            COST_4.replace("N9qo", "N9q!"),
            COST_4.replace("N9qo", "N9ж"),
        ] {
            assert!(OldHash::parse(&bad).is_none(), "{bad}");
            assert_eq!(verdict(&passwords, "p", &bad).await, Verdict::Wrong, "{bad}");
        }
    }

    #[tokio::test]
    async fn an_argon2id_hash_is_outdated_when_it_costs_less_than_a_new_one() {
        let (once, twice) = (cheap(1), cheap(2));
        let password = || Password::parse("p".to_owned()).unwrap();
        let hash = once.hash(crate::HashFor::Registration("192.0.2.1"), password()).await.unwrap();
        let Verdict::RightButOutdated { new_hash } = verdict(&twice, "p", &hash).await else {
            panic!("one pass is less than two");
        };
        assert!(new_hash.starts_with("$argon2id$v=19$m=64,t=2,p=1$"), "{new_hash}");
        assert_eq!(verdict(&twice, "q", &hash).await, Verdict::Wrong);
        assert_eq!(verdict(&once, "p", &hash).await, Verdict::Right);
        // A hash that costs more is not replaced by a cheaper one.
        assert_eq!(verdict(&once, "p", &new_hash).await, Verdict::Right);
    }
}

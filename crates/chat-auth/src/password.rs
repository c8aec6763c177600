//! A password in plain text, before it is hashed.

use std::fmt;

use zeroize::Zeroizing;

use crate::common_passwords;

/// The most bytes that a password may have: enough for any sentence, and so few that a
/// queue of passwords stays small.
pub const PASSWORD_MAX_BYTES: usize = 1024;

/// The text in place of a hash of an account whose user is signed in by another
/// issuer. No password is right for it.
pub const NO_PASSWORD: &str = "!";

/// A password, verbatim: 1 to [`PASSWORD_MAX_BYTES`] bytes. It is overwritten with zeros
/// when dropped, and `Debug` does not show it.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Checks the length. Nothing is trimmed or normalised.
    ///
    /// # Errors
    ///
    /// [`PasswordError`].
    pub fn parse(input: String) -> Result<Self, PasswordError> {
        let input = Zeroizing::new(input);
        if input.is_empty() {
            return Err(PasswordError::Empty);
        }
        if input.len() > PASSWORD_MAX_BYTES {
            return Err(PasswordError::TooLong { max: PASSWORD_MAX_BYTES });
        }
        Ok(Self(input))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// What a new password must be like. Passwords of existing accounts are not affected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordRule {
    /// The fewest characters (Unicode scalar values) of a new password.
    pub min_chars: usize,
    /// Whether a new password may be one of the some 6,000 that are guessed first.
    pub allow_common: bool,
}

impl PasswordRule {
    /// Checks a new password of an account. `is_name` tells whether a text is the name of
    /// the account in any spelling: such a password would be the first guess.
    ///
    /// # Errors
    ///
    /// [`PasswordError::TooShort`], [`PasswordError::IsName`] and [`PasswordError::Common`].
    pub fn check(self, password: &Password, is_name: impl FnOnce(&str) -> bool) -> Result<(), PasswordError> {
        let Password(text) = password;
        if text.chars().count() < self.min_chars {
            return Err(PasswordError::TooShort { min: self.min_chars });
        }
        if is_name(text) {
            return Err(PasswordError::IsName);
        }
        if !self.allow_common && common_passwords::contains(text) {
            return Err(PasswordError::Common);
        }
        Ok(())
    }
}

impl Default for PasswordRule {
    fn default() -> Self {
        Self { min_chars: 8, allow_common: false }
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Why a text cannot be a password. The sentences are shown to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// The password is empty.
    #[error("password must not be empty")]
    Empty,
    /// The password has more bytes than allowed.
    #[error("password too long (max {max} bytes)")]
    TooLong {
        /// The most bytes that a password may have.
        max: usize,
    },
    /// A new password has fewer characters than the [`PasswordRule`] asks for.
    #[error("password too short (min {min} characters)")]
    TooShort {
        /// The fewest characters of a new password.
        min: usize,
    },
    /// A new password is the name of its account.
    #[error("password must not be the username")]
    IsName,
    /// A new password is one of those that are guessed first.
    #[error("password is one of the most common ones, please take another")]
    Common,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_verbatim_and_has_1_to_1024_bytes() {
        assert_eq!(Password::parse(" a ".to_owned()).unwrap().as_bytes(), b" a ");
        assert_eq!(Password::parse(String::new()).unwrap_err(), PasswordError::Empty);
        assert!(Password::parse("ж".repeat(512)).is_ok());
        assert_eq!(Password::parse("ж".repeat(513)).unwrap_err(), PasswordError::TooLong { max: 1024 });
    }

    #[test]
    fn a_new_password_has_enough_characters_and_is_not_the_name() {
        let check = |min_chars, password: &str| {
            let password = Password::parse(password.to_owned()).unwrap();
            PasswordRule { min_chars, allow_common: false }.check(&password, |text| text == "longname")
        };
        // Characters, not bytes.
        assert_eq!(check(8, "жжжжжжж"), Err(PasswordError::TooShort { min: 8 }));
        assert_eq!(check(8, "жжжжжжжж"), Ok(()));
        assert_eq!(check(8, "longname"), Err(PasswordError::IsName));
        assert_eq!(check(1, "x"), Ok(()));
        for common in ["password", "Password1", "1234567890", "qwertyuiop", "Пароль123"] {
            assert_eq!(check(8, common), Err(PasswordError::Common), "{common}");
        }
        let rule = PasswordRule { min_chars: 8, allow_common: true };
        assert_eq!(rule.check(&Password::parse("password".to_owned()).unwrap(), |_| false), Ok(()));
    }

    #[test]
    fn a_password_is_not_shown() {
        assert_eq!(format!("{:?}", Password::parse("hunter2".to_owned()).unwrap()), "Password(…)");
    }
}

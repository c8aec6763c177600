//! A password on its way to its hash.

use std::fmt;

use zeroize::Zeroizing;

/// Bytes that a password may have: enough for any sentence, and little enough
/// that a queue of them stays small.
pub const PASSWORD_MAX_BYTES: usize = 1024;

/// In the place of a hash: the account of somebody who signs in elsewhere. No
/// password is right for it.
pub const NO_PASSWORD: &str = "!";

/// A password, verbatim: 1 to [`PASSWORD_MAX_BYTES`] bytes. Overwritten with
/// zeros when dropped, and never shown.
pub struct Password(Zeroizing<String>);

impl Password {
    /// Checks the length; nothing is trimmed or normalised.
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_kept_as_it_is_and_has_1_to_1024_bytes() {
        assert_eq!(Password::parse(" a ".to_owned()).unwrap().as_bytes(), b" a ");
        assert_eq!(Password::parse(String::new()).unwrap_err(), PasswordError::Empty);
        assert!(Password::parse("ж".repeat(512)).is_ok());
        assert_eq!(Password::parse("ж".repeat(513)).unwrap_err(), PasswordError::TooLong { max: 1024 });
    }

    #[test]
    fn a_password_is_not_shown() {
        assert_eq!(format!("{:?}", Password::parse("hunter2".to_owned()).unwrap()), "Password(…)");
    }
}

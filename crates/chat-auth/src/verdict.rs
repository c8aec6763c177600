//! The result of checking a password.

use std::fmt;

/// The result of checking a password against the hash of an account.
#[derive(Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The password is wrong, or there is no account.
    Wrong,
    /// The password is right.
    Right,
    /// The password is right, but the stored hash is easier to guess from than one made
    /// now: it is bcrypt, or argon2id at a lower cost.
    RightButOutdated {
        /// The hash that should replace the stored one.
        new_hash: String,
    },
}

impl Verdict {
    /// Whether the password is right.
    pub fn is_right(&self) -> bool {
        !matches!(self, Self::Wrong)
    }
}

/// Does not show the hash.
impl fmt::Debug for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wrong => "Wrong",
            Self::Right => "Right",
            Self::RightButOutdated { .. } => "RightButOutdated(…)",
        })
    }
}

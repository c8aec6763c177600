//! The hash of a secret in a link, which is stored in its place.

/// The SHA-256 of a secret in a link: of an invitation, or of a link that sets a password. Only
/// the hash is stored, so that nobody who reads a database or a backup can use the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// The hash with these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The hash in 64 hexadecimal digits.
    pub fn to_hex(self) -> String {
        self.0.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(digit).collect()
    }
}

fn digit(value: u8) -> char {
    char::from_digit(u32::from(value), 16).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_written_in_hexadecimal_digits() {
        let mut bytes = [0; 32];
        (bytes[0], bytes[31]) = (0x0f, 0xa0);
        assert_eq!(SecretHash::from_bytes(bytes).to_hex(), format!("0f{}a0", "0".repeat(60)));
    }
}

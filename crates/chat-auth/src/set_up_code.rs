//! The code with which a user becomes the first administrator.

use jsonwebtoken::{Algorithm, EncodingKey};

/// The set-up code: 80 bits that follow from the signing secret and from how often a code was
/// used up. So every server with the secret has the same code, after each start, the code itself
/// is not stored, and one that was used up is good for nothing.
#[derive(Clone)]
pub(crate) struct SetUpCode(String);

impl SetUpCode {
    /// The code of a signing secret in a round.
    pub(crate) fn of(secret: &EncodingKey, round: u64) -> Self {
        let message = if round == 0 { "set-up code".to_owned() } else { format!("set-up code {round}") };
        let mac = jsonwebtoken::crypto::sign(message.as_bytes(), secret, Algorithm::HS256)
            .expect("HMAC takes a key of any length");
        // Each character of base64url has six bits of the code, of which five are taken.
        let digits = mac.bytes().take(DIGITS).map(|c| ALPHABET[usize::from(sextet(c) & 31)]);
        let digits: Vec<char> = digits.map(char::from).collect();
        let groups: Vec<String> = digits.chunks(GROUP).map(|group| group.iter().collect()).collect();
        Self(groups.join("-"))
    }

    /// The code: four groups of four characters.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a user has typed this code. Case, spaces, hyphens, and letters that look like
    /// digits, do not matter.
    pub(crate) fn is(&self, typed: &str) -> bool {
        let significant = |c: &char| c.is_ascii_alphanumeric();
        let typed: Vec<char> = typed.chars().filter(significant).map(plain).take(DIGITS + 1).collect();
        let code: Vec<char> = self.0.chars().filter(significant).collect();
        // All characters are compared, so that the time does not show how many are right.
        let differing = code.iter().zip(&typed).fold(0, |sum, (a, b)| sum + u32::from(a != b));
        code.len() == typed.len() && differing == 0
    }
}

/// The character that was meant.
fn plain(typed: char) -> char {
    match typed.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    }
}

/// The value of a character of base64url (RFC 4648 §5).
fn sextet(c: u8) -> u8 {
    match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'-' => 62,
        _ => 63,
    }
}

const DIGITS: usize = 16;
const GROUP: usize = 4;
/// Crockford's base 32: no letter looks like a digit.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_recognised_however_it_is_typed() {
        let code = SetUpCode::of(&EncodingKey::from_secret(b"a secret"), 1);
        let same = SetUpCode::of(&EncodingKey::from_secret(b"a secret"), 1);
        assert_eq!(code.as_str(), same.as_str());
        assert_eq!(code.as_str().len(), 19);
        let typed = code.as_str().to_lowercase().replace('-', " ").replace('0', "o").replace('1', "l");
        assert!(code.is(&format!(" {typed} ")));

        let other = SetUpCode::of(&EncodingKey::from_secret(b"another secret"), 1);
        let next = SetUpCode::of(&EncodingKey::from_secret(b"a secret"), 2);
        for wrong in [other.as_str(), next.as_str(), "", &code.as_str()[..18], &format!("{}0", code.as_str())]
        {
            assert!(!code.is(wrong), "{wrong}");
        }
    }
}

//! Strict decoding of percent-encoding (RFC 3986 §2.1).

use crate::hex;

/// Decodes a text, with `plus_is_space` as in forms and queries. `None` for an incomplete
/// escape, or for bytes that are not UTF-8.
pub(crate) fn decode(encoded: &str, plus_is_space: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => (hex::digit(rest.next()?)? << 4) | hex::digit(rest.next()?)?,
            b'+' if plus_is_space => b' ',
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_or_refused() {
        assert_eq!(decode("a+b%20c", true).as_deref(), Some("a b c"));
        assert_eq!(decode("a+b%2Bc", false).as_deref(), Some("a+b+c"));
        assert_eq!(decode("%D0%96%d0%96", true).as_deref(), Some("ЖЖ"));
        for bad in ["%", "%4", "%zz", "%+1", "%FF", "%D0", "%C0%80", "%ED%A0%80"] {
            assert_eq!(decode(bad, true), None, "{bad}");
        }
    }
}

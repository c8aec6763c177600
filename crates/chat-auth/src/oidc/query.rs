//! Queries of addresses, and forms.

use std::fmt::Write as _;

/// An address with more parameters in its query.
pub(super) fn with(url: &str, parameters: &[(&str, &str)]) -> String {
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}{}", form(parameters))
}

/// Parameters in the form of a query.
pub(super) fn form(parameters: &[(&str, &str)]) -> String {
    let pairs: Vec<String> =
        parameters.iter().map(|(key, value)| format!("{key}={}", encode(value))).collect();
    pairs.join("&")
}

/// A text of which only unreserved characters (RFC 3986 §2.3) are left as they are.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_encoded() {
        let parameters = [("a", "1 2&3=é"), ("b", "x-._~")];
        assert_eq!(
            with("https://id.example/auth", &parameters),
            "https://id.example/auth?a=1%202%263%3D%C3%A9&b=x-._~"
        );
        assert_eq!(with("https://id.example/auth?x=1", &[("a", "b")]), "https://id.example/auth?x=1&a=b");
    }
}

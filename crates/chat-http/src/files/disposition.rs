//! How a browser is to treat a file: `Content-Disposition`.

use std::fmt::Write as _;

use chat_core::FileName;
use hyper::header::HeaderValue;

/// The value of `Content-Disposition` (RFC 6266) for a file that is shown, or is a
/// download. The name is there twice: in ASCII for old programs, and as it is (RFC 8187).
pub(crate) fn content_disposition(is_inline: bool, name: &FileName) -> HeaderValue {
    let mut value = String::from(if is_inline { "inline" } else { "attachment" });
    value += "; filename=\"";
    for c in name.as_str().chars() {
        match c {
            // Some programs decode escapes in this form of the name, too.
            '"' | '\\' | '%' => value.push('_'),
            ' '..='~' => value.push(c),
            _ => value.push('_'),
        }
    }
    value += "\"; filename*=UTF-8''";
    for byte in name.as_str().bytes() {
        match byte {
            b'0'..=b'9'
            | b'A'..=b'Z'
            | b'a'..=b'z'
            | b'!'
            | b'#'
            | b'$'
            | b'&'
            | b'+'
            | b'-'
            | b'.'
            | b'^'
            | b'_'
            | b'`'
            | b'|'
            | b'~' => value.push(byte.into()),
            _ => write!(value, "%{byte:02X}").expect("a String takes everything"),
        }
    }
    HeaderValue::from_str(&value).expect("only printable ASCII was added")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_end_its_quotes() {
        let value = |inline, name: &str| {
            let name = FileName::clean(name).unwrap();
            content_disposition(inline, &name).to_str().unwrap().to_owned()
        };
        assert_eq!(value(true, "cat.png"), "inline; filename=\"cat.png\"; filename*=UTF-8''cat.png");
        assert_eq!(
            value(false, "a\"; x=\"й%41.html"),
            "attachment; filename=\"a_; x=___41.html\"; filename*=UTF-8''a%22%3B%20x%3D%22%D0%B9%2541.html"
        );
    }
}

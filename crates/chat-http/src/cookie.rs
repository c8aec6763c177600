//! The cookies that hold tokens. All characters of a JWT are allowed in a cookie, so
//! that nothing is quoted.

use hyper::HeaderMap;
use hyper::header::{COOKIE, HeaderValue};

const NAME: &str = "auth";

/// The value of `Set-Cookie` that signs a browser in. With `SameSite=Lax`, a user who
/// follows a link from another site is signed in; requests that change something are
/// also checked for their origin. The cookie is for paths below `base`.
pub(crate) fn set(token: &str, max_age_seconds: u64, base: &str, secure: bool) -> HeaderValue {
    set_named(NAME, token, max_age_seconds, if base.is_empty() { "/" } else { base }, secure)
}

/// The value of `Set-Cookie` for another cookie, which holds a token, too. With `SameSite=Lax`, it
/// comes with a browser that another site sends to `path`.
pub(crate) fn set_named(
    name: &str,
    token: &str,
    max_age_seconds: u64,
    path: &str,
    secure: bool,
) -> HeaderValue {
    let secure = if secure { "; Secure" } else { "" };
    let cookie =
        format!("{name}={token}; Path={path}; Max-Age={max_age_seconds}; HttpOnly; SameSite=Lax{secure}");
    HeaderValue::try_from(cookie).expect("base64url, dots and digits are printable ASCII")
}

/// The token in the cookies of a request.
pub(crate) fn token(headers: &HeaderMap) -> Option<&str> {
    named(headers, NAME)
}

/// The token in the cookie of this name. Of two such cookies neither counts: one of them is
/// from somebody who can set cookies for this host (another port, a page below the same
/// domain), and would sign the user in as somebody else.
pub(crate) fn named<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|header| header.to_str().ok());
    let mut tokens = cookies
        .flat_map(|header| header.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .filter_map(|(found, value)| (found == name).then_some(value));
    match (tokens.next(), tokens.next()) {
        (Some(token), None) => Some(token).filter(|token| !token.is_empty()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_written_as_the_contract_says() {
        assert_eq!(
            set("a.b.c", 86_400, "", false),
            "auth=a.b.c; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax"
        );
        assert_eq!(set("", 0, "/chat", true), "auth=; Path=/chat; Max-Age=0; HttpOnly; SameSite=Lax; Secure");
    }

    #[test]
    fn the_token_is_found_among_other_cookies() {
        for (header, expected) in [
            ("auth=a.b.c", Some("a.b.c")),
            ("x=1; auth=a.b.c;y=2", Some("a.b.c")),
            ("xauth=1; authx=2", None),
            ("Auth=1", None),
            ("auth=", None),
            ("auth", None),
            ("auth=a.b.c; auth=d.e.f", None),
            ("auth=; auth=d.e.f", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(COOKIE, HeaderValue::from_str(header).unwrap());
            assert_eq!(token(&headers), expected, "{header}");
        }
        assert_eq!(token(&HeaderMap::new()), None);
    }
}

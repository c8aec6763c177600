//! The origin whose pages may act for a signed-in user.
//!
//! A browser sends the cookie also with requests that a page of another site makes, and
//! names the origin of the page in `Origin` (RFC 6454). `SameSite` alone would still
//! allow a page on another port of this host. Programs send no `Origin`.

use hyper::HeaderMap;
use hyper::header::{HOST, ORIGIN};

use crate::PublicUrl;
use crate::error::HttpError;

/// The origin whose pages may make unsafe requests and open sockets.
#[derive(Debug)]
pub(crate) enum AllowedOrigin {
    /// The origin of the public URL.
    Is(String),
    /// The origin of the request's `Host`. A proxy may have ended TLS, so both schemes are
    /// allowed.
    OfHost,
    /// The same with https only, as this server ends TLS: a page that came without it could be
    /// from anybody on the way.
    OfHostWithTls,
}

impl AllowedOrigin {
    /// `has_tls`: this server ends TLS itself.
    pub(crate) fn new(public_url: Option<&PublicUrl>, has_tls: bool) -> Self {
        match public_url {
            Some(url) => Self::Is(url.origin().to_owned()),
            None if has_tls => Self::OfHostWithTls,
            None => Self::OfHost,
        }
    }

    /// Refuses requests of pages of another origin. API calls and upgrades follow the same
    /// rule.
    ///
    /// # Errors
    ///
    /// [`HttpError::ForeignOrigin`].
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), HttpError> {
        let mut origins = headers.get_all(ORIGIN).iter();
        let allowed = match (origins.next(), origins.next()) {
            (None, _) => !is_from_another_site(headers),
            // Browsers serialise an origin in one way only, so bytes are compared.
            (Some(origin), None) => origin.to_str().is_ok_and(|origin| match self {
                Self::Is(allowed) => origin == allowed,
                Self::OfHost | Self::OfHostWithTls => host(headers).is_some_and(|host| {
                    let is = |scheme: &str, own_port: &str| {
                        let host = host.strip_suffix(own_port).unwrap_or(&host);
                        origin.strip_prefix(scheme) == Some(host)
                    };
                    is("https://", ":443") || (matches!(self, Self::OfHost) && is("http://", ":80"))
                }),
            }),
            (Some(_), Some(_)) => false,
        };
        if allowed { Ok(()) } else { Err(HttpError::ForeignOrigin) }
    }
}

/// Whether the request comes from a page of another site. Browsers send this header since
/// 2023, also where they omit `Origin`.
fn is_from_another_site(headers: &HeaderMap) -> bool {
    headers.get_all("sec-fetch-site").iter().any(|site| site == "cross-site" || site == "same-site")
}

fn host(headers: &HeaderMap) -> Option<String> {
    let host = headers.get(HOST)?.to_str().ok()?;
    (!host.is_empty()).then(|| host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::{HeaderName, HeaderValue};

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn with_host(host: &str, origin: &str) -> bool {
        let headers = headers(&[("host", host), ("origin", origin)]);
        AllowedOrigin::OfHost.check(&headers).is_ok()
    }

    #[test]
    fn the_origin_of_the_host_is_allowed() {
        for (host, origin) in [
            ("chat.example.org", "http://chat.example.org"),
            ("chat.example.org", "https://chat.example.org"),
            ("Chat.Example.ORG", "https://chat.example.org"),
            ("chat.example.org:443", "https://chat.example.org"),
            ("chat.example.org:80", "http://chat.example.org"),
            ("127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("[::1]:8080", "http://[::1]:8080"),
        ] {
            assert!(with_host(host, origin), "{host} {origin}");
        }
    }

    #[test]
    fn behind_tls_of_its_own_the_origin_has_https() {
        for (origin, is_allowed) in [("https://a", true), ("http://a", false), ("https://b", false)] {
            let headers = headers(&[("host", "a"), ("origin", origin)]);
            assert_eq!(AllowedOrigin::OfHostWithTls.check(&headers).is_ok(), is_allowed, "{origin}");
        }
    }

    /// For a server at `http://chat.example.org:8080`.
    const FOREIGN: [&str; 24] = [
        "null",
        "",
        "http://chat.example.org",
        "http://chat.example.org:8081",
        "http://chat.example.org:80801",
        "http://chat.example.org:808",
        "http://chat.example.org.evil.com:8080",
        "http://evil.com",
        "http://evilchat.example.org:8080",
        "http://x.chat.example.org:8080",
        "http://example.org:8080",
        "http://CHAT.example.org:8080",
        "HTTP://chat.example.org:8080",
        "http://chat.example.org:8080/",
        "http://chat.example.org:8080.evil.com",
        "http://chat.example.org:8080@evil.com",
        "http://user@chat.example.org:8080",
        "http://chat.example.org.:8080",
        "ftp://chat.example.org:8080",
        "ws://chat.example.org:8080",
        "file://",
        "chat.example.org:8080",
        "http://chat.example.org:8080 http://evil.com",
        "http://evil.com#http://chat.example.org:8080",
    ];

    #[test]
    fn every_other_origin_is_foreign() {
        let url = PublicUrl::parse("http://chat.example.org:8080").unwrap();
        let public = AllowedOrigin::new(Some(&url), false);
        for foreign in FOREIGN {
            assert!(!with_host("chat.example.org:8080", foreign), "{foreign}");
            let headers = headers(&[("host", "chat.example.org:8080"), ("origin", foreign)]);
            assert!(public.check(&headers).is_err(), "{foreign}");
        }
    }

    #[test]
    fn with_a_public_url_only_its_origin_counts() {
        let url = PublicUrl::parse("https://chat.example.org").unwrap();
        let allowed = |host, origin| {
            AllowedOrigin::new(Some(&url), false)
                .check(&headers(&[("host", host), ("origin", origin)]))
                .is_ok()
        };
        assert!(allowed("10.0.0.7:8080", "https://chat.example.org"));
        assert!(!allowed("chat.example.org", "http://chat.example.org"));
        assert!(!allowed("evil.com", "https://evil.com"));
    }

    #[test]
    fn a_missing_origin_is_allowed_for_programs_only() {
        let check = |lines: &[_]| AllowedOrigin::OfHost.check(&headers(lines)).is_ok();
        assert!(check(&[("host", "a")]));
        assert!(check(&[("host", "a"), ("sec-fetch-site", "same-origin")]));
        assert!(check(&[("host", "a"), ("sec-fetch-site", "none")]));
        assert!(!check(&[("host", "a"), ("sec-fetch-site", "cross-site")]));
        assert!(!check(&[("host", "a"), ("sec-fetch-site", "same-site")]));
        assert!(!check(&[("host", "a"), ("origin", "http://a"), ("origin", "http://a")]));
        assert!(!check(&[("origin", "http://a")]));
        assert!(!check(&[("host", ""), ("origin", "http://")]));
    }
}

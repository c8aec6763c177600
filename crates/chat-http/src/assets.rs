//! The page: the files of the workspace's folder `web`, inside the binary. A
//! debug build reads them from the disk, so that a change shows on reload.

use std::borrow::Cow;

use bytes::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH};
use hyper::{HeaderMap, Response, StatusCode};
use rust_embed::RustEmbed;

use crate::answer::{self, Body};

#[derive(RustEmbed)]
#[folder = "../../web"]
struct Web;

/// What a browser may do on the page: nothing but what this server gives it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; \
    font-src 'self'; manifest-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; \
    frame-ancestors 'none'";

/// Kinds of files that belong to the page. Others in that folder (settings of
/// tools, tests) are not given out.
const TYPES: [(&str, &str); 12] = [
    ("html", "text/html; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
    ("webp", "image/webp"),
    ("ico", "image/x-icon"),
    ("woff2", "font/woff2"),
    ("webmanifest", "application/manifest+json"),
    ("mp3", "audio/mpeg"),
    ("txt", "text/plain; charset=utf-8"),
];

/// A file of the page.
pub(crate) struct Asset {
    content: Bytes,
    content_type: &'static str,
    etag: HeaderValue,
}

impl Asset {
    /// The file of that path, which is `/` or begins with it. Paths are matched
    /// as they are: no file of the page has a name that needs an escape.
    pub(crate) fn find(path: &str) -> Option<Self> {
        let path = match path.strip_prefix('/')? {
            "" => "index.html",
            path => path,
        };
        // A debug build asks the file system, where `..` and `//` mean something.
        if path.split('/').any(|part| part.is_empty() || part.starts_with('.')) || path.contains('\\') {
            return None;
        }
        let (stem, extension) = path.rsplit_once('.')?;
        if stem.ends_with(".test") {
            return None;
        }
        let (_, content_type) = TYPES.into_iter().find(|(known, _)| *known == extension)?;
        let file = Web::get(path)?;
        let hash: String = file.metadata.sha256_hash()[..16].iter().map(|b| format!("{b:02x}")).collect();
        Some(Self {
            content: match file.data {
                Cow::Borrowed(bytes) => Bytes::from_static(bytes),
                Cow::Owned(bytes) => bytes.into(),
            },
            content_type,
            etag: HeaderValue::try_from(format!("\"{hash}\"")).ok()?,
        })
    }

    /// The file, or 304 for a browser that has it. Names do not change with the
    /// content, so a browser has to ask each time.
    pub(crate) fn answer(self, headers: &HeaderMap) -> Response<Body> {
        let mut response = if self.is_known(headers) {
            let mut response = Response::new(answer::bytes(Bytes::new()));
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        } else {
            Response::new(answer::bytes(self.content))
        };
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(ETAG, self.etag);
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        response
    }

    /// RFC 9110 §13.1.2: a list of tags, weak or not, or `*`.
    fn is_known(&self, headers: &HeaderMap) -> bool {
        let tags = headers.get_all(IF_NONE_MATCH).iter().filter_map(|header| header.to_str().ok());
        tags.flat_map(|header| header.split(',')).any(|tag| {
            let tag = tag.trim();
            tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == self.etag
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_the_page_are_found() {
        assert!(Asset::find("/").is_some());
        for path in [
            "",
            "index.html",
            "//index.html",
            "/./index.html",
            "/../web/index.html",
            "/../Cargo.toml",
            "/..%2fCargo.toml",
            "/%2e%2e/Cargo.toml",
            "/.git/config",
            "/index.html/",
            "/INDEX.HTML",
            "/index.html\0",
            "/..\\Cargo.toml",
            "/tsconfig.json",
            "/package.json",
            "/x.test.js",
            "/none.js",
        ] {
            assert!(Asset::find(path).is_none(), "{path}");
        }
    }
}

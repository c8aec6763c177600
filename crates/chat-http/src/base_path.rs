//! The path below which the chat is mounted.

use hyper::Uri;
use hyper::http::uri::PathAndQuery;

/// The path below which the chat is mounted, such as `/chat`: in all addresses that it gives, in
/// the path of its cookie, and the scope of its page. Empty: at the root of its host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BasePath(String);

/// A text is no path below which the chat could be mounted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be / or begin with / and not end with it, have at most 128 letters, digits, -, _, . and /, \
     and not begin with a path of the chat itself, such as /api"
)]
pub struct InvalidBasePath;

impl BasePath {
    /// Parses `/chat`, `/a/b`, or `/` for the root.
    ///
    /// # Errors
    ///
    /// [`InvalidBasePath`].
    pub fn parse(path: &str) -> Result<Self, InvalidBasePath> {
        if path == "/" {
            return Ok(Self::default());
        }
        let is_part = |part: &str| {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            !part.is_empty() && !part.starts_with('.') && part.bytes().all(is_plain)
        };
        let parts = path.strip_prefix('/').filter(|_| path.len() <= PATH_MAX_BYTES).ok_or(InvalidBasePath)?;
        let is_good = parts.split('/').all(|part| is_part(part) && part != "assets")
            && !OWN.contains(&parts.split('/').next().unwrap_or_default());
        if is_good { Ok(Self(path.to_owned())) } else { Err(InvalidBasePath) }
    }

    /// The path, without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address of a path below the base.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    /// What follows the base in a path; it is empty or begins with `/`. `None`: the path is not
    /// below the base.
    pub(crate) fn below<'a>(&self, path: &'a str) -> Option<&'a str> {
        path.strip_prefix(&self.0).filter(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The URI without the base, if its path is below it.
    pub(crate) fn take_off(&self, uri: &Uri) -> Option<Uri> {
        let rest = uri.path_and_query()?.as_str().strip_prefix(&self.0)?;
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::try_from(rest).ok()?);
        Uri::from_parts(parts).ok()
    }
}

const PATH_MAX_BYTES: usize = 128;

/// First parts of the paths of the chat itself: a host that takes the base off must not be
/// misunderstood.
const OWN: [&str; 13] = [
    "api", "files", "uploads", "hooks", "ws", "r", "u", "join", "password", "icons", "metrics", "healthz",
    "readyz",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_path_is_plain() {
        for (path, kept) in
            [("/", ""), ("/chat", "/chat"), ("/a/b-c_d.e", "/a/b-c_d.e"), ("/x/api", "/x/api")]
        {
            assert_eq!(BasePath::parse(path).unwrap().as_str(), kept, "{path}");
        }
        let long = format!("/{}", "x".repeat(128));
        for path in [
            "",
            "chat",
            "/chat/",
            "//",
            "/a//b",
            "/..",
            "/a/.b",
            "/a b",
            "/a?b",
            "/\u{e9}",
            "/a%20b",
            "/api",
            "/api/x",
            "/u",
            "/x/assets",
            &long,
        ] {
            assert_eq!(BasePath::parse(path), Err(InvalidBasePath), "{path}");
        }
    }

    #[test]
    fn the_base_is_taken_off_whole_parts() {
        let base = BasePath::parse("/chat").unwrap();
        for (path, rest) in [
            ("/chat", Some("")),
            ("/chat/", Some("/")),
            ("/chat/ws", Some("/ws")),
            ("/chats", None),
            ("/", None),
        ] {
            assert_eq!(base.below(path), rest, "{path}");
        }
        for (uri, rest) in [("/chat/ws?room=a", "/ws?room=a"), ("http://h/chat/", "http://h/")] {
            assert_eq!(base.take_off(&uri.parse().unwrap()).unwrap().to_string(), rest, "{uri}");
        }
    }
}

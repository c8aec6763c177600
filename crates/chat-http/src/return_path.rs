//! Where a user goes after signing in: a path of this chat, and never of another site.

use crate::BasePath;

/// A path of the chat's page, with its query and fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReturnPath(String);

impl ReturnPath {
    /// The first page of the chat.
    pub(crate) fn home(base: &BasePath) -> Self {
        Self(base.at("/"))
    }

    /// Takes a path that leads to the page of the chat, however a browser reads it.
    pub(crate) fn parse(path: &str, base: &BasePath) -> Option<Self> {
        // Browsers drop white space, and read `\` as `/`.
        let is_printable = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
        if !is_printable || path.len() > MAX_BYTES {
            return None;
        }
        let end = path.find(['?', '#']).unwrap_or(path.len());
        let below = path[..end].strip_prefix(base.as_str()).filter(|below| below.starts_with('/'))?;
        // `//host` is another site, and `..` may lead out of the base.
        let leads_away = below.contains("//") || below.split('/').any(is_dots);
        let is_page = below != "/api" && !below.starts_with("/api/");
        (!leads_away && is_page).then(|| Self(path.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The path with another parameter in its query.
    pub(crate) fn with_parameter(&self, key: &str, value: &str) -> String {
        let (path, fragment) = match self.0.find('#') {
            Some(at) => self.0.split_at(at),
            None => (self.0.as_str(), ""),
        };
        let separator = if path.contains('?') { '&' } else { '?' };
        format!("{path}{separator}{key}={value}{fragment}")
    }
}

/// Longer than the address of any room.
const MAX_BYTES: usize = 1024;

fn is_dots(part: &str) -> bool {
    let part = part.to_ascii_lowercase().replace("%2e", ".");
    part == "." || part == ".."
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_page_of_this_chat_is_returned_to() {
        let (root, chat) = (BasePath::default(), BasePath::parse("/chat").unwrap());
        for path in ["/", "/?room=a%20b", "/room/x#m=5", "/#setup=ABC", "/apix", "/?next=//x", "/join/0123"] {
            assert_eq!(ReturnPath::parse(path, &root).unwrap().as_str(), path);
            let below = format!("/chat{path}");
            assert_eq!(ReturnPath::parse(&below, &chat).unwrap().as_str(), below);
        }
        for path in [
            "",
            "x",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/ /evil.example",
            "/.//evil.example",
            "/a//evil.example",
            "https://evil.example/",
            "javascript:alert(1)",
            "/../evil",
            "/%2e%2E/x",
            "/./",
            "/é",
            "/\r\nSet-Cookie: a=b",
            "/api",
            "/api/oidc/start",
            &format!("/{}", "x".repeat(1024)),
        ] {
            assert_eq!(ReturnPath::parse(path, &root), None, "{path}");
        }
        for path in ["/", "/chatx", "/chat", "/chat/../x", "/chat//evil.example", "/chat/api/x"] {
            assert_eq!(ReturnPath::parse(path, &chat), None, "{path}");
        }
        assert_eq!(ReturnPath::home(&chat).as_str(), "/chat/");
    }

    #[test]
    fn a_parameter_is_before_the_fragment() {
        for (path, with) in [
            ("/", "/?sign_in=away"),
            ("/?room=a", "/?room=a&sign_in=away"),
            ("/#setup=A", "/?sign_in=away#setup=A"),
            ("/?a=b#c?d", "/?a=b&sign_in=away#c?d"),
        ] {
            let path = ReturnPath::parse(path, &BasePath::default()).unwrap();
            assert_eq!(path.with_parameter("sign_in", "away"), with);
        }
    }
}

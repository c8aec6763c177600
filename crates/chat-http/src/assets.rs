//! The page: the files of the workspace's folder `web`, inside the binary. A
//! debug build reads them from the disk, so that a change shows on reload.
//!
//! The page itself is asked for each time; what it names stands under
//! `/assets/<version>/`, where a browser never has to ask again. The version is
//! of all files together: modules name each other by relative paths, and so
//! never meet one of another version.
//!
//! Comments and indentation stay here, and what gets smaller by it is given out
//! compressed: a first visit over a thin line takes a second or two less.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{LazyLock, Mutex, OnceLock, PoisonError};

use brotli::enc::BrotliEncoderParams;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::header::{
    ACCEPT_ENCODING, ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    ETAG, HeaderName, HeaderValue, IF_NONE_MATCH, VARY,
};
use hyper::{HeaderMap, Response, StatusCode};
use rust_embed::RustEmbed;
use sha2::{Digest as _, Sha256};

use crate::answer::{self, Body};
use crate::{hex, negotiation};

/// The tests of the page and what its tools install stay out of the binary.
#[derive(RustEmbed)]
#[folder = "../../web"]
#[exclude = "test/*"]
#[exclude = "node_modules/*"]
#[exclude = "*.json"]
struct Web;

/// What a browser may do on the page: nothing but what this server gives it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; \
    font-src 'self'; manifest-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; \
    frame-ancestors 'none'";

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// Kinds of files that belong to the page; others are not given out. Scripts and
/// styles are in the encoding of the page (HTML §8.1.3, CSS Syntax §3.2), so that
/// only the page has to name it.
const TYPES: [(&str, &str); 12] = [
    ("html", "text/html; charset=utf-8"),
    ("css", "text/css"),
    ("js", "text/javascript"),
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

/// Files whose addresses may not change.
const AT_ROOT: [&str; 6] = [
    WORKER,
    "manifest.webmanifest",
    "icons/icon.svg",
    "icons/icon-192.png",
    "icons/icon-512.png",
    "icons/icon-maskable-512.png",
];

/// A content in other codings, the smallest first; none where that saves little.
type Compressed = Vec<(&'static str, Bytes)>;

/// A file of the page.
#[derive(Clone)]
pub(crate) struct Asset {
    content: Bytes,
    compressed: Compressed,
    content_type: &'static str,
    /// Of the content: a weak one, as it names the compressed bytes, too (RFC 9110 §8.8.3.3).
    etag: HeaderValue,
    /// It is a document or a worker of the page.
    runs: bool,
    /// The content never changes under that address.
    is_immutable: bool,
}

impl Asset {
    /// What stands at a path, which begins with `/`. Paths are matched as they
    /// are: no file of the page has a name that needs an escape.
    pub(crate) fn find(path: &str) -> Option<Self> {
        let path = path.strip_prefix('/')?;
        if is_place(path) {
            return Self::file(PAGE);
        }
        match path.strip_prefix("assets/").and_then(|rest| rest.split_once('/')) {
            Some((version, file)) if version == *VERSION && kind(file) != "html" => {
                Some(Self { is_immutable: !cfg!(debug_assertions), ..Self::file(file)? })
            }
            Some(_) => None,
            None => AT_ROOT.contains(&path).then(|| Self::file(path))?,
        }
    }

    /// The answer for an address where nothing is: a page that says so, in the visitor's
    /// language, with a link to the chat. English is for visitors who prefer neither
    /// Russian nor English, as on the page itself.
    pub(crate) fn not_found(headers: &HeaderMap) -> Option<Response<Body>> {
        let languages = ["ru", "en"];
        let language = negotiation::preferred_language(headers, &ACCEPT_LANGUAGE, &languages).unwrap_or("en");
        let both = Self::file(NOT_FOUND)?;
        let content = Bytes::from(in_language(str::from_utf8(&both.content).ok()?, language));
        let etag = etag(&content);
        let page = Self { compressed: compressed(&etag, &content), etag, content, ..both };
        // Never 304, which would say that something is there.
        let mut response = page.whole(headers);
        *response.status_mut() = StatusCode::NOT_FOUND;
        let headers = response.headers_mut();
        headers.remove(ETAG);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(VARY, HeaderValue::from_static("accept, accept-encoding, accept-language"));
        Some(response)
    }

    fn file(path: &str) -> Option<Self> {
        match ASSETS.get() {
            Some(assets) => assets.get(path).cloned(),
            None => Self::read(path),
        }
    }

    /// A file as it is given out.
    fn read(path: &str) -> Option<Self> {
        // A debug build asks the file system, where `..` and `//` mean something.
        if path.split('/').any(|part| part.is_empty() || part.starts_with('.')) || path.contains('\\') {
            return None;
        }
        let (_, content_type) = TYPES.into_iter().find(|(known, _)| *known == kind(path))?;
        let file = Web::get(path)?.data;
        let content: Bytes = match kind(path) {
            "html" => with_version(&code(str::from_utf8(&file).ok()?, "html")).into(),
            kind @ ("js" | "css") => code(str::from_utf8(&file).ok()?, kind).into(),
            _ => match file {
                Cow::Borrowed(bytes) => Bytes::from_static(bytes),
                Cow::Owned(bytes) => bytes.into(),
            },
        };
        let etag = etag(&content);
        Some(Self {
            compressed: compressed(&etag, &content),
            etag,
            content,
            content_type,
            runs: kind(path) == "html" || path == WORKER,
            is_immutable: false,
        })
    }

    /// The file, or 304 for a browser that has it.
    pub(crate) fn answer(self, headers: &HeaderMap) -> Response<Body> {
        let is_known = self.is_known(headers);
        let mut response = self.whole(headers);
        if is_known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            *response.body_mut() = answer::bytes(Bytes::new());
            response.headers_mut().remove(CONTENT_ENCODING);
        }
        response
    }

    /// The file, in a coding that the browser accepts.
    fn whole(self, headers: &HeaderMap) -> Response<Body> {
        let (coding, content) = match self
            .compressed
            .into_iter()
            .find(|(coding, _)| negotiation::accepts(headers, &ACCEPT_ENCODING, coding))
        {
            Some((coding, content)) => (Some(HeaderValue::from_static(coding)), content),
            None => (None, self.content),
        };
        let mut response = Response::new(answer::bytes(content));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        if self.is_immutable {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=31536000, immutable"));
        } else {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            headers.insert(ETAG, self.etag);
        }
        if self.runs {
            headers.insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
            headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        }
        if let Some(coding) = coding {
            headers.insert(CONTENT_ENCODING, coding);
        }
        response
    }

    /// RFC 9110 §13.1.2: a list of tags, weak or not, or `*`.
    fn is_known(&self, headers: &HeaderMap) -> bool {
        let tags = headers.get_all(IF_NONE_MATCH).iter().filter_map(|header| header.to_str().ok());
        tags.flat_map(|header| header.split(',')).any(|tag| {
            let tag = tag.trim();
            tag == "*"
                || self.etag.as_bytes().strip_prefix(b"W/") == Some(tag.trim_start_matches("W/").as_bytes())
        })
    }
}

/// Where the page is: at the root, in a room (`r/<name>`) and in a private
/// conversation (`u/<name>`). It finds out by itself whether the name is one.
fn is_place(path: &str) -> bool {
    let name = path.strip_prefix("r/").or_else(|| path.strip_prefix("u/"));
    path.is_empty() || name.is_some_and(|name| !name.is_empty() && !name.contains('/'))
}

/// Brotli is a sixth smaller, and browsers take it where the line is encrypted.
fn compress(content: &[u8]) -> Compressed {
    let params = BrotliEncoderParams { size_hint: content.len(), ..BrotliEncoderParams::default() };
    let mut brotli = Vec::new();
    brotli::BrotliCompress(&mut &*content, &mut brotli, &params).expect("a vector takes everything");
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(content).expect("a vector takes everything");
    let gzip = gzip.finish().expect("a vector takes everything");
    let compressed = [("br", brotli), ("gzip", gzip)].into_iter();
    let is_worth_it = |bytes: &[u8]| bytes.len() < content.len() * 9 / 10;
    compressed.filter(|(_, bytes)| is_worth_it(bytes)).map(|(coding, bytes)| (coding, bytes.into())).collect()
}

/// A content that was compressed before is not again.
fn compressed(etag: &HeaderValue, content: &[u8]) -> Compressed {
    let known = || COMPRESSED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(compressed) = known().get(etag) {
        return compressed.clone();
    }
    // Not under the lock: others want other files.
    let compressed = compress(content);
    known().insert(etag.clone(), compressed.clone());
    compressed
}

/// What was compressed, by its tag: a file may be read often.
static COMPRESSED: Mutex<BTreeMap<HeaderValue, Compressed>> = Mutex::new(BTreeMap::new());

/// A file without its comments, blank lines and indentation. Lines stay lines,
/// and only what begins one counts as a comment; that no string of the page goes
/// over two lines is seen to by a test.
fn code(text: &str, kind: &str) -> String {
    let (open, close) = if kind == "html" { ("<!--", "-->") } else { ("/*", "*/") };
    let mut code = String::with_capacity(text.len());
    let mut is_comment = false;
    for line in text.lines() {
        let mut rest = line.trim();
        loop {
            if is_comment {
                let Some((_, behind)) = rest.split_once(close) else {
                    rest = "";
                    break;
                };
                (rest, is_comment) = (behind.trim_start(), false);
            } else if let Some(inside) = rest.strip_prefix(open) {
                (rest, is_comment) = (inside, true);
            } else {
                break;
            }
        }
        let is_line_comment = kind == "js" && rest.starts_with("//");
        if !rest.is_empty() && !is_line_comment {
            code.push_str(rest);
            code.push('\n');
        }
    }
    code
}

/// A page with one `<main lang="…">` for each language, of which only the one in this
/// language is left.
fn in_language(page: &str, language: &str) -> String {
    let mut parts = page.split("<main lang=\"");
    let head = parts.next().unwrap_or_default();
    let mut kept = head.replacen("<html lang=\"ru\">", &format!("<html lang=\"{language}\">"), 1);
    for part in parts {
        let (main, rest) = part.split_once("</main>").unwrap_or((part, ""));
        if main.starts_with(language) {
            kept.push_str("<main lang=\"");
            kept.push_str(main);
            kept.push_str("</main>");
        }
        kept.push_str(rest);
    }
    kept
}

/// The page, with the version in the addresses of what it names.
fn with_version(page: &str) -> String {
    page.replace("\"/assets/", &format!("\"/assets/{}/", *VERSION))
}

fn kind(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(_, kind)| kind)
}

fn etag(content: &[u8]) -> HeaderValue {
    let tag = format!("W/\"{}\"", hex::encode(&Sha256::digest(content)[..8]));
    HeaderValue::try_from(tag).expect("digits and quotes are fine in a header")
}

/// All files by their paths, ready to be given out, once they are. Never in a
/// debug build, whose files change while it runs.
static ASSETS: OnceLock<BTreeMap<String, Asset>> = OnceLock::new();

/// Makes all files ready, which takes a good part of a second.
pub(crate) fn prepare() {
    if !cfg!(debug_assertions) {
        ASSETS.get_or_init(|| {
            Web::iter().filter_map(|path| Some((path.to_string(), Asset::read(&path)?))).collect()
        });
    }
}

/// Changes when any file does. A debug build, whose files change while it runs,
/// has always the same, and browsers ask each time.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    if cfg!(debug_assertions) {
        return "debug".to_owned();
    }
    let mut hash = Sha256::new();
    let mut files: Vec<_> = Web::iter().collect();
    files.sort_unstable();
    for path in files {
        hash.update(path.as_bytes());
        hash.update(Web::get(&path).map(|file| file.metadata.sha256_hash()).unwrap_or_default());
    }
    hex::encode(&hash.finalize()[..8])
});

/// The page itself, and the worker that keeps it for when there is no network.
const PAGE: &str = "index.html";
const WORKER: &str = "sw.js";
/// The page for addresses where nothing is, in all languages.
const NOT_FOUND: &str = "not-found.html";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_at_every_place_in_the_chat() {
        for path in ["/", "/r/default", "/r/%D1%87%D0%B0%D0%B9", "/u/alice", "/r/a%2Fb", "/r/.."] {
            assert!(Asset::find(path).is_some(), "{path}");
        }
    }

    #[test]
    fn all_that_the_page_names_is_there() {
        let page = Asset::find("/").unwrap().content;
        let page = str::from_utf8(&page).unwrap();
        let named: Vec<_> = page.split('"').filter(|part| part.starts_with("/assets/")).collect();
        assert!(named.len() > 10, "{named:?}");
        for path in named {
            assert!(Asset::find(path).is_some(), "{path}");
        }
        for path in AT_ROOT {
            assert!(Asset::find(&format!("/{path}")).is_some(), "{path}");
        }
    }

    #[test]
    fn comments_and_indentation_stay_here() {
        let js = "// a\n  /** b\n   * c\n   */\n  let x = 1; // d\n\n  /* e */ /** @type {T} */ (x).y();\n";
        assert_eq!(code(js, "js"), "let x = 1; // d\n(x).y();\n");
        assert_eq!(code("/* a */\na {\n  /* b\n  c */\n  d: e;\n}\n", "css"), "a {\nd: e;\n}\n");
        assert_eq!(code("<p>\n  <!-- a\n b -->\n  b // c\n</p>\n", "html"), "<p>\nb // c\n</p>\n");
    }

    /// Or `code` would change what it says.
    #[test]
    fn no_string_of_the_page_goes_over_two_lines() {
        for path in Web::iter().filter(|path| matches!(kind(path), "js" | "css")) {
            let file = Web::get(&path).unwrap().data;
            for line in str::from_utf8(&file).unwrap().lines() {
                assert!(line.matches('`').count() % 2 == 0 && !line.ends_with('\\'), "{path}: {line}");
            }
        }
        let page = Web::get(PAGE).unwrap().data;
        assert!(!str::from_utf8(&page).unwrap().contains("<pre"));
    }

    #[test]
    fn what_a_browser_takes_is_compressed() {
        let file = Asset::find(&format!("/assets/{}/app.js", *VERSION)).unwrap();
        for (takes, coding) in [
            ("gzip, deflate, br, zstd", Some("br")),
            ("br;q=0, GZIP;q=0.5", Some("gzip")),
            ("br", Some("br")),
            ("gzip", Some("gzip")),
            ("gzip;q=0", None),
            ("gzip; q=0.0", None),
            ("zstd", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(takes));
            let answer = file.clone().answer(&headers);
            let coding = coding.map(HeaderValue::from_static);
            assert_eq!(answer.headers().get(CONTENT_ENCODING), coding.as_ref(), "{takes}");
            assert_eq!(answer.headers()[VARY], "accept-encoding");
        }
    }

    #[test]
    fn only_files_of_the_page_are_found() {
        let version = &*VERSION;
        assert!(Asset::find(&format!("/assets/{version}/app.js")).is_some());
        for path in [
            "",
            "index.html",
            "/index.html",
            "/app.js",
            "//",
            "/r",
            "/r/",
            "/r/a/b",
            "/x/a",
            "/assets/",
            "/assets/app.js",
            "/assets/0000000000000000/app.js",
            "/../web/index.html",
            "/..%2fCargo.toml",
            "/%2e%2e/Cargo.toml",
            "/.git/config",
            "/none.js",
            "/not-found.html",
        ] {
            assert!(Asset::find(path).is_none(), "{path}");
        }
        for path in [
            "",
            "index.html",
            "/app.js",
            "./app.js",
            "../Cargo.toml",
            "../web/app.js",
            "..\\Cargo.toml",
            "app.js/",
            "APP.JS",
            "app.js\0",
            "tsconfig.json",
            "package.json",
            "test/world.js",
            "test/browser/size.test.mjs",
            "node_modules/typescript/bin/tsc",
            "none.js",
            "not-found.html",
        ] {
            assert!(Asset::find(&format!("/assets/{version}/{path}")).is_none(), "{path}");
        }
    }
}

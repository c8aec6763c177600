//! The page: the files of the workspace's folder `web`, embedded in the binary. A debug
//! build reads them from the disk, so that a change shows on reload.
//!
//! A browser requests the page itself at each visit. The files that the page names are
//! under `/assets/<version>/` and are never requested again. The version is that of all
//! files together: modules name each other by relative paths, so that they never load a
//! module of another version.
//!
//! Files are served without comments and indentation, a style with those that it imports,
//! and compressed where that makes them smaller. A first visit over a slow connection takes a
//! second or two less.

mod compression;
mod minify;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{LazyLock, OnceLock};

use bytes::Bytes;
use hyper::header::{
    ACCEPT_ENCODING, ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    ETAG, HeaderName, HeaderValue, IF_NONE_MATCH, VARY,
};
use hyper::{HeaderMap, Response, StatusCode};
use rust_embed::RustEmbed;
use sha2::{Digest as _, Sha256};

use self::compression::Compressed;
use self::minify::minified;
use crate::answer::{self, Body};
use crate::{BasePath, hex, negotiation};

/// The embedded files: not the tests of the page, and not the packages of its tools.
#[derive(RustEmbed)]
#[folder = "web"]
#[exclude = "test/*"]
#[exclude = "node_modules/*"]
#[exclude = "*.json"]
struct Web;

/// The policy of the page: a browser may load only from this server.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; \
    media-src 'self' blob:; font-src 'self'; manifest-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; \
    frame-ancestors 'none'";

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// The types of files that are served, by extension. Scripts and styles have the encoding
/// of the page (HTML §8.1.3, CSS Syntax §3.2), so that only the page names it.
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

/// Files whose paths may not change.
const AT_ROOT: [&str; 6] =
    [WORKER, MANIFEST, "icons/icon.svg", ICON, "icons/icon-512.png", "icons/icon-maskable-512.png"];

/// A file of the page.
#[derive(Clone)]
pub(crate) struct Asset {
    content: Bytes,
    compressed: Compressed,
    content_type: &'static str,
    /// The tag of the content. It is weak, because it is also the tag of the compressed
    /// content (RFC 9110 §8.8.3.3).
    etag: HeaderValue,
    /// Whether the file is a document or a worker, which needs a policy.
    needs_policy: bool,
    /// Whether the content never changes under its path.
    is_immutable: bool,
}

impl Asset {
    /// The file at a path, which begins with `/`. Escapes are not decoded: no file of the
    /// page needs one.
    pub(crate) fn find(path: &str) -> Option<Self> {
        let path = path.strip_prefix('/')?;
        if is_page(path) {
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

    /// The manifest with which the page is installed, under the title and the logo of this
    /// server. Where there is a logo, it is the only icon: of several, a browser takes the
    /// largest. `logo` is its address.
    pub(crate) fn manifest(title: &str, logo: Option<&str>, base: &BasePath) -> Option<Self> {
        let file = Self::file(MANIFEST)?;
        let mut manifest: serde_json::Value = serde_json::from_slice(&file.content).ok()?;
        for name in ["name", "short_name"] {
            manifest[name] = title.into();
        }
        for name in ["id", "start_url", "scope"] {
            manifest[name] = base.at("/").into();
        }
        for icon in manifest["icons"].as_array_mut().into_iter().flatten() {
            icon["src"] = base.at(icon["src"].as_str().unwrap_or_default()).into();
        }
        if let Some(logo) = logo {
            let icon = serde_json::json!({ "src": base.at(logo), "type": "image/webp", "sizes": "any" });
            manifest["icons"] = serde_json::json!([icon]);
        }
        let content = Bytes::from(manifest.to_string());
        let etag = etag(&content);
        Some(Self { compressed: Compressed::of(&etag), etag, content, ..file })
    }

    /// The icon of phones' home screens and of notifications: the logo of this server, as a PNG, or
    /// that of the page.
    pub(crate) fn icon(logo: Option<&[u8]>) -> Option<Self> {
        let file = Self::file(ICON)?;
        let Some(logo) = logo else { return Some(file) };
        let content = Bytes::copy_from_slice(logo);
        let etag = etag(&content);
        Some(Self { compressed: Compressed::of(&etag), etag, content, ..file })
    }

    /// The file with the addresses of a chat that is mounted below a path.
    pub(crate) fn based(self, base: &BasePath) -> Self {
        if base.as_str().is_empty() || !self.content_type.starts_with("text/html") {
            return self;
        }
        let Ok(text) = str::from_utf8(&self.content) else { return self };
        let content = Bytes::from(text.replace("=\"/", &format!("=\"{}/", base.as_str())));
        let etag = etag(&content);
        Self { compressed: Compressed::of(&etag), etag, content, ..self }
    }

    /// The response for an unknown address: a page in the visitor's language with a link to
    /// the chat. As on the page itself, visitors who prefer none of its languages get English.
    pub(crate) fn not_found(headers: &HeaderMap, base: &BasePath) -> Option<Response<Body>> {
        let all = Self::file(NOT_FOUND)?;
        let text = str::from_utf8(&all.content).ok()?;
        let languages = languages_of(text);
        let language = negotiation::preferred_language(headers, &ACCEPT_LANGUAGE, &languages).unwrap_or("en");
        let content = Bytes::from(in_language(text, language));
        let etag = etag(&content);
        let page = Self { compressed: Compressed::of(&etag), etag, content, ..all };
        // Never 304, which would mean that something is there.
        let mut response = page.based(base).whole(headers);
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

    /// Prepares a file to be served.
    fn read(path: &str) -> Option<Self> {
        // A debug build asks the file system, which resolves `..` and `//`.
        if path.split('/').any(|part| part.is_empty() || part.starts_with('.')) || path.contains('\\') {
            return None;
        }
        let (_, content_type) = TYPES.into_iter().find(|(known, _)| *known == kind(path))?;
        let file = Web::get(path)?.data;
        let content: Bytes = match kind(path) {
            "html" => {
                let page = minified(str::from_utf8(&file).ok()?, "html");
                with_version(&with_languages(&page, &whole_languages())).into()
            }
            "js" => minified(str::from_utf8(&file).ok()?, "js").into(),
            "css" => minified(&with_imports(path, str::from_utf8(&file).ok()?), "css").into(),
            _ => match file {
                Cow::Borrowed(bytes) => Bytes::from_static(bytes),
                Cow::Owned(bytes) => bytes.into(),
            },
        };
        let etag = etag(&content);
        Some(Self {
            compressed: Compressed::of(&etag),
            etag,
            content,
            content_type,
            needs_policy: kind(path) == "html" || path == WORKER,
            is_immutable: false,
        })
    }

    /// The response: the file, or 304 for a browser that has it.
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
        let is_accepted = |coding| negotiation::accepts(headers, &ACCEPT_ENCODING, coding);
        let (coding, content) = match self.compressed.best(&self.content, is_accepted) {
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
        if self.needs_policy {
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

/// Whether the page is at this path: at the root, and for rooms (`r/<name>`) and private
/// conversations (`u/<name>`). The page itself checks the name.
fn is_page(path: &str) -> bool {
    let name = ["r/", "u/", "join/", "password/"].iter().find_map(|start| path.strip_prefix(start));
    path.is_empty() || name.is_some_and(|name| !name.is_empty() && !name.contains('/'))
}

/// The languages of a page with one `<main lang="…">` for each.
fn languages_of(page: &str) -> Vec<&str> {
    page.split(MAIN).skip(1).filter_map(|part| part.split('"').next()).collect()
}

/// Keeps, of a page with one `<main lang="…">` for each language, only the one in this
/// language.
fn in_language(page: &str, language: &str) -> String {
    let mut parts = page.split(MAIN);
    let head = parts.next().unwrap_or_default();
    let mut kept = head.replacen("<html lang=\"ru\">", &format!("<html lang=\"{language}\">"), 1);
    for part in parts {
        let (main, rest) = part.split_once("</main>").unwrap_or((part, ""));
        if main.starts_with(language) {
            kept.push_str(MAIN);
            kept.push_str(main);
            kept.push_str("</main>");
        }
        kept.push_str(rest);
    }
    kept
}

/// Adds the version to the paths of the files that a page names.
fn with_version(page: &str) -> String {
    page.replace("\"/assets/", &format!("\"/assets/{}/", *VERSION))
}

/// The languages whose words are all in one file, such as `words/de.js`.
fn whole_languages() -> Vec<String> {
    let files = Web::iter();
    let codes = files.filter_map(|file| Some(file.strip_prefix("words/")?.strip_suffix(".js")?.to_owned()));
    let mut codes: Vec<_> = codes.filter(|code| code.chars().all(|char| char.is_ascii_lowercase())).collect();
    codes.sort_unstable();
    codes
}

/// Adds the templates of these languages to the page, which has those of the others.
fn with_languages(page: &str, codes: &[String]) -> String {
    let mut templates = String::new();
    for code in codes {
        templates.push_str(&format!(
            "<template id=\"{code}-code\" data-name=\"\" data-words=\"whole\">\
             <link rel=\"modulepreload\" href=\"/assets/words/{code}.js\"></template>\
             <template id=\"{code}-later-code\"></template>"
        ));
    }
    page.replacen(LATER, &format!("{templates}{LATER}"), 1)
}

/// A style with those that it imports (`@import "name.css";`) in their places. The first view
/// needs several: each request takes some 300 bytes of headers, and files are compressed
/// better together.
fn with_imports(path: &str, style: &str) -> String {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut whole = String::with_capacity(style.len());
    for line in style.lines() {
        let name = line.strip_prefix("@import \"").and_then(|rest| rest.strip_suffix("\";"));
        let imported = name.and_then(|name| Web::get(&format!("{folder}/{name}")));
        whole.push_str(imported.as_ref().and_then(|file| str::from_utf8(&file.data).ok()).unwrap_or(line));
        whole.push('\n');
    }
    whole
}

fn kind(path: &str) -> &str {
    path.rsplit_once('.').map_or("", |(_, kind)| kind)
}

fn etag(content: &[u8]) -> HeaderValue {
    let tag = format!("W/\"{}\"", hex::encode(&Sha256::digest(content)[..8]));
    HeaderValue::try_from(tag).expect("digits and quotes are fine in a header")
}

/// All files by their paths, once they are prepared. Never set in a debug build, whose
/// files change while it runs.
static ASSETS: OnceLock<BTreeMap<String, Asset>> = OnceLock::new();

/// Prepares all files and compresses them, which takes a good part of a second.
pub(crate) fn prepare() {
    if !cfg!(debug_assertions) {
        let assets = ASSETS.get_or_init(|| {
            Web::iter().filter_map(|path| Some((path.to_string(), Asset::read(&path)?))).collect()
        });
        assets.values().for_each(|asset| asset.compressed.make(&asset.content));
    }
}

/// The version, which changes when any file does. A debug build, whose files change while
/// it runs, has a fixed version, and browsers request each file each time.
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

/// The page itself.
const PAGE: &str = "index.html";
/// The service worker, which keeps the page for visits without a network.
const WORKER: &str = "sw.js";
/// What an installed page is called, and its icons. Served with the title of the server.
pub(crate) const MANIFEST: &str = "manifest.webmanifest";
/// The icon that is the logo of the server where there is one.
pub(crate) const ICON: &str = "icons/icon-192.png";
/// Begins the part of a page that is in one language.
const MAIN: &str = "<main lang=\"";
/// What stands behind the templates of the languages.
const LATER: &str = "<template id=\"later-code\">";
/// The page for unknown addresses, in all languages.
const NOT_FOUND: &str = "not-found.html";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_at_the_paths_of_rooms_and_conversations() {
        for path in ["/", "/r/default", "/r/%D1%87%D0%B0%D0%B9", "/u/alice", "/r/a%2Fb", "/r/.."] {
            assert!(Asset::find(path).is_some(), "{path}");
        }
    }

    #[test]
    fn every_file_that_the_page_names_is_found() {
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
    fn a_language_is_one_file() {
        let page = Web::get(PAGE).unwrap().data;
        let page = minified(str::from_utf8(&page).unwrap(), "html");
        let more = with_languages(&page, &["de".to_owned()]);
        for template in
            ["de-code\" data-name=\"\" data-words=\"whole\"", "/assets/words/de.js", "de-later-code"]
        {
            assert_eq!(more.matches(template).count(), 1, "{template}");
        }
        assert_eq!(with_languages(&page, &[]), page);
        assert!(!whole_languages().iter().any(|code| code == "en"), "it is a folder");
    }

    #[test]
    fn a_style_has_what_it_imports_in_its_place() {
        let first = Asset::find(&format!("/assets/{}/style/first.css", *VERSION)).unwrap().content;
        let first = str::from_utf8(&first).unwrap();
        assert!(!first.contains("@import"), "{first}");
        let beginnings = ["--page:", "accent-color:", ".chat {", ".scroll-frame {"];
        let places: Vec<_> = beginnings.iter().map(|part| first.find(part).expect(part)).collect();
        assert!(places.is_sorted(), "{places:?}");
        let strange = "@import \"none.css\";\n@import url(\"base.css\");\na {}\n";
        assert_eq!(with_imports("style/a.css", strange), strange);
    }

    #[test]
    fn the_manifest_has_the_title_of_the_server() {
        let named = |title: &str| {
            let manifest = Asset::manifest(title, None, &BasePath::default()).unwrap();
            let content: serde_json::Value = serde_json::from_slice(&manifest.content).unwrap();
            assert_eq!(content["name"], content["short_name"]);
            assert_eq!(content["display"], "standalone");
            (content["name"].as_str().unwrap().to_owned(), manifest.etag)
        };
        let (garden, wide) = (named("Garden \"&\" Co"), named("Широкий двор"));
        assert_eq!((garden.0.as_str(), wide.0.as_str()), ("Garden \"&\" Co", "Широкий двор"));
        assert_ne!(garden.1, wide.1, "browsers notice another title");

        let manifest = Asset::manifest("Garden", Some("/api/server/logo?v=1"), &BasePath::default()).unwrap();
        let content: serde_json::Value = serde_json::from_slice(&manifest.content).unwrap();
        let icons = content["icons"].as_array().unwrap();
        assert_eq!((icons.len(), &icons[0]["src"]), (1, &"/api/server/logo?v=1".into()));
    }

    #[test]
    fn a_file_is_compressed_in_a_coding_that_the_browser_accepts() {
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

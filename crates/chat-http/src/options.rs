//! The options of the HTTP server.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chat_auth::{PasswordRule, SignInLimits};
use chat_core::{ReservedNames, RoomName, RoomTextError, parse_room_description};
use chat_files::FilesLocation;
use chat_shard::ShardOptions;
use chat_store::Retention;
use hyper::Uri;
use ipnet::IpNet;

use crate::{AcmeChallenges, BasePath, CertificateEnd, PushOptions, TlsConfig, WebhookOptions};

/// The options of the HTTP server, with every limit on connections and requests.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// The name of this chat, as clients show it.
    pub title: String,
    /// What visitors read below the title before they sign in, as [`parse_welcome`] gives it;
    /// may be empty.
    pub welcome: String,
    /// The colour of the page. `None`: the page's own.
    pub accent: Option<Accent>,
    /// The URL under which users reach the server. It decides which origin may act for them
    /// and whether cookies are for https only. Without it, the origin must be that of the
    /// request's `Host`.
    pub public_url: Option<PublicUrl>,
    /// The path below which the chat is mounted. A [`Server`](crate::Server) answers only what is
    /// below it, and monitoring at the root, too; a host may take it off or not.
    pub base_path: BasePath,
    /// Where the page sends users who are not signed in, with the address to come back to in the
    /// query, as `next`: a path of this host, or a URL. The chat then has no registration and no
    /// sign-in with a password.
    pub sign_in_url: Option<String>,
    /// Open rooms that the server creates at its start unless they exist, and that are
    /// listed in this order before other rooms without messages.
    pub rooms: Vec<ConfiguredRoom>,
    /// The most rooms in one page of a listing.
    pub rooms_max: usize,
    /// Changes of rooms and members that a user may make in a minute; as many at once.
    pub room_changes_per_minute: u32,
    /// The searches that a user may make in a minute; as many at once. More are answered with
    /// 429.
    pub searches_per_minute: u32,
    /// The lists (of rooms, users, members and reactions) that a user may read in a minute; as
    /// many at once. More are answered with 429.
    pub lists_per_minute: u32,
    /// The reports of messages that a user may make or change in a minute; as many at once.
    /// More are answered with 429.
    pub reports_per_minute: u32,
    /// The WebSockets that a user may open in a minute; as many at once. More are answered
    /// with 429 before the upgrade.
    pub socket_opens_per_minute: u32,
    /// How long a search waits for others; then the answer is 503.
    pub search_wait: Duration,
    /// The options of sockets after the upgrade.
    pub shards: ShardOptions,

    /// Who may create an account.
    pub registration: Registration,
    /// Whether users register, sign in, and change what they sign in with, by passwords of this chat.
    pub passwords: bool,
    /// How many accounts may be created.
    pub registration_limits: RegistrationLimits,
    /// What new passwords must be like.
    pub password_rule: PasswordRule,
    /// Names that nobody can register, nor one that could be taken for them. Existing accounts
    /// are not affected.
    pub reserved_names: ReservedNames,

    /// The folder of the avatars, which is created if it is missing.
    pub uploads_dir: PathBuf,
    /// The most bytes of an uploaded avatar; a larger one is refused.
    pub avatar_max_bytes: u64,
    /// The most avatars that are received at one time, so that incomplete ones do not fill
    /// the disk; one more is answered with 503.
    pub avatar_uploads_max: usize,
    /// The time between two comparisons of the folder of avatars with what several servers share.
    pub pictures_interval: Duration,
    /// The most pixels of an uploaded avatar; one with more is refused.
    pub picture_pixels_max: u64,
    /// The most pixels on one side of an uploaded avatar; a longer one is refused.
    pub picture_side_max: u32,
    /// The most bytes that decoding one avatar may take, beside twice the size of the file;
    /// one that needs more is refused. With 160 MiB every ordinary picture of 25 megapixels
    /// fits (3 to 6 bytes for each pixel). Rare kinds take up to 18 bytes: animated WebP, 16
    /// bits a channel, progressive JPEG with colours at full size, WebP with transparency or
    /// lossless.
    pub picture_memory_max: u64,
    /// The number of avatars that are decoded at one time, at least 1, each on a thread of
    /// its own.
    pub picture_threads: usize,
    /// The most avatars that wait to be decoded, which takes 0.1 to 1 s each; one more is
    /// answered with 503.
    pub picture_queue_max: usize,
    /// The options of files that users attach to messages.
    pub files: FilesOptions,
    /// The most bytes of a JSON body; a larger one is answered with 413.
    pub json_max_bytes: usize,

    /// TLS on the listener of [`Server::start`](crate::Server::start); `None`: a proxy in front
    /// has it, or nobody. The configuration chooses certificates and cryptography. Cookies are
    /// then for https only.
    pub tls: Option<Arc<TlsConfig>>,
    /// How long a client may take for the handshake of TLS; then its connection is closed.
    pub tls_handshake_timeout: Duration,
    /// The most handshakes at one time; one more closes the oldest. They count as connections,
    /// too.
    pub tls_handshakes_max: usize,
    /// What [`Server::serve_redirects`](crate::Server::serve_redirects) answers certificate
    /// authorities.
    pub acme_challenges: AcmeChallenges,
    /// When the certificate of TLS ends, for the metrics; the embedder sets it.
    pub certificate_end: CertificateEnd,

    /// The most connections that speak HTTP at one time; upgraded sockets do not count. At
    /// the limit, a new connection closes the oldest one that has not sent a request yet; if
    /// there is none, new connections wait in the system's backlog.
    pub max_connections: usize,
    /// The most connections that speak HTTP from one address (IPv6: 56 bits); one more is
    /// closed. Trusted proxies have no limit, nor has a proxy on this machine that shows itself
    /// by a header.
    pub connections_per_address: usize,
    /// Whether `/metrics` is answered only on the listener of
    /// [`Server::serve_metrics`](crate::Server::serve_metrics).
    pub metrics_apart: bool,
    /// A file whose time of modification is that of the last backup, for `/metrics`.
    pub backup_mark: Option<PathBuf>,
    /// Where flaws are reported, for `/.well-known/security.txt`.
    pub security_contact: Option<SecurityContact>,
    /// The options of notifications of browsers that show no page.
    pub push: PushOptions,
    /// The options of outgoing webhooks.
    pub webhooks: WebhookOptions,
    /// Whether the server may send requests that users ask for, as those to push services and to
    /// outgoing webhooks, to all private addresses and without TLS.
    pub outgoing_private: bool,
    /// How long a connection may take to send the head of a request, and how long it may be
    /// idle between two requests; then it is closed.
    pub header_timeout: Duration,
    /// The most header fields in one request; more are answered with 431.
    pub headers_max: usize,
    /// The most bytes of a request's head; more are answered with 431.
    pub header_max_bytes: usize,
    /// How long a body of any size may take to arrive; then the answer is 408.
    pub body_timeout: Duration,
    /// The number of received bytes for which a body gets one second more.
    pub body_min_rate: u64,
    /// How long a client may accept no byte of a response; then its connection is closed.
    pub write_timeout: Duration,
    /// How long hyper may take to hand over the socket after a 101.
    pub upgrade_timeout: Duration,

    /// The limits on failed sign-ins.
    pub sign_in_limits: SignInLimits,
    /// The most sessions of one user, at least 1; with one more, the oldest ends.
    pub user_sessions_max: usize,
    /// The most sign-ins that are at the OpenID provider at one time; with more, the provider is as
    /// good as away.
    pub oidc_exchanges_max: usize,
    /// The most of them from one address (IPv6: 56 bits), as long as fewer than half of all are
    /// there. Browsers also come with codes of their own making, so that one address must not
    /// take all places.
    pub oidc_exchanges_per_address: usize,
    /// Trusted proxies in front of this server: their `X-Forwarded-For` gives the address of
    /// the client.
    pub trusted_proxies: Vec<IpNet>,
    /// A failed sign-in is answered no earlier than this after its start, for every reason,
    /// so that the time does not show which names have accounts.
    pub login_floor: Duration,
    /// How often the server checks whether sessions that have sockets here were ended
    /// elsewhere.
    pub session_check_interval: Duration,
    /// How often the keys of another issuer are fetched again, where they are fetched: a key that
    /// it has withdrawn is valid for at most as long.
    pub external_keys_interval: Duration,
    /// Which messages are kept.
    pub retention: Retention,
    /// How often messages that are no longer kept are removed.
    pub retention_interval: Duration,
    /// How long after a ban messages of the user may still come to the log: that long after it,
    /// the server looks for such messages once more. Longer than sockets last after the ban.
    pub deletion_settle: Duration,
    /// How often the last use of a session is stored at most.
    pub last_seen_interval: Duration,
    /// How long the store may take to answer a check.
    pub store_check_timeout: Duration,
    /// How long requests may take when the server stops; then their connections are closed.
    pub stop_grace: Duration,
}

/// Where flaws of the chat are reported: a URI for the field `Contact` of security.txt (RFC
/// 9116 §2.5.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityContact(String);

/// A text is no contact.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an address of e-mail, or begin with mailto:, https:// or tel:")]
pub struct InvalidContact;

impl SecurityContact {
    /// Takes a URI, or an address of e-mail.
    ///
    /// # Errors
    ///
    /// [`InvalidContact`].
    pub fn parse(text: &str) -> Result<Self, InvalidContact> {
        let is_line = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        let rest = ["mailto:", "https://", "tel:"].iter().find_map(|scheme| text.strip_prefix(scheme));
        match (is_line, rest) {
            (true, Some(rest)) if !rest.is_empty() => Ok(Self(text.to_owned())),
            (true, None) if text.contains('@') && !text.contains(':') => Ok(Self(format!("mailto:{text}"))),
            _ => Err(InvalidContact),
        }
    }

    /// The URI.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            title: "Chat".to_owned(),
            welcome: String::new(),
            accent: None,
            public_url: None,
            base_path: BasePath::default(),
            sign_in_url: None,
            rooms: ConfiguredRoom::new_server().into(),
            rooms_max: 200,
            room_changes_per_minute: 600,
            // Somebody who types causes about two in a second.
            searches_per_minute: 120,
            reports_per_minute: 20,
            // A page reads some when it opens and a few for each change of rooms.
            lists_per_minute: 1200,
            socket_opens_per_minute: 1200,
            search_wait: Duration::from_secs(2),
            shards: ShardOptions::default(),
            registration: Registration::Open,
            passwords: true,
            registration_limits: RegistrationLimits::default(),
            password_rule: PasswordRule::default(),
            reserved_names: ReservedNames::new(ReservedNames::DEFAULT.iter().copied()),
            uploads_dir: PathBuf::from("uploads"),
            avatar_max_bytes: 10 * 1024 * 1024,
            avatar_uploads_max: 64,
            pictures_interval: Duration::from_secs(600),
            picture_pixels_max: 25_000_000,
            picture_side_max: 10_000,
            picture_memory_max: 160 * 1024 * 1024,
            picture_threads: 1,
            picture_queue_max: 16,
            files: FilesOptions::default(),
            json_max_bytes: 64 * 1024,
            tls: None,
            tls_handshake_timeout: Duration::from_secs(10),
            tls_handshakes_max: 1_000,
            acme_challenges: AcmeChallenges::default(),
            certificate_end: CertificateEnd::default(),
            // About 12 KiB each, thus at most 120 MiB.
            max_connections: 10_000,
            // An office of 200, whose browsers open six connections each when the page is new.
            connections_per_address: 1_500,
            metrics_apart: false,
            backup_mark: None,
            security_contact: None,
            push: PushOptions::default(),
            webhooks: WebhookOptions::default(),
            outgoing_private: false,
            header_timeout: Duration::from_secs(5),
            headers_max: 100,
            header_max_bytes: 16 * 1024,
            body_timeout: Duration::from_secs(10),
            body_min_rate: 16 * 1024,
            write_timeout: Duration::from_secs(30),
            upgrade_timeout: Duration::from_secs(10),
            sign_in_limits: SignInLimits::default(),
            // More than a user may have WebSockets.
            user_sessions_max: 1_500,
            oidc_exchanges_max: 32,
            oidc_exchanges_per_address: 8,
            trusted_proxies: Vec::new(),
            login_floor: Duration::from_millis(250),
            session_check_interval: Duration::from_secs(30),
            external_keys_interval: Duration::from_secs(3_600),
            retention: Retention::default(),
            retention_interval: Duration::from_secs(60),
            deletion_settle: Duration::from_secs(60),
            last_seen_interval: Duration::from_secs(300),
            store_check_timeout: Duration::from_secs(1),
            stop_grace: Duration::from_secs(5),
        }
    }
}

impl HttpOptions {
    /// The default options, with all files below a folder: pictures of users in `uploads`, and the files of
    /// messages in `files`. Both are created if they are missing.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        let location = FilesLocation::Folder(folder.join("files"));
        Self {
            uploads_dir: folder.join("uploads"),
            files: FilesOptions { location, data_dir: folder, ..FilesOptions::default() },
            ..Self::default()
        }
    }
}

/// The options of files that users attach to messages.
#[derive(Debug, Clone)]
pub struct FilesOptions {
    /// Where the files are kept.
    pub location: FilesLocation,
    /// The folder of the data of this server: its disk is watched, too, and files on their
    /// way to a storage wait there.
    pub data_dir: PathBuf,
    /// The most bytes of one file; a larger one is answered with 413.
    pub max_bytes: u64,
    /// The most bytes of the files of one user; beyond that, an upload is answered with 507.
    /// `None`: any number.
    pub user_bytes_max: Option<u64>,
    /// The most bytes of all files, likewise.
    pub bytes_max: Option<u64>,
    /// The bytes that stay free on the disk: with less, uploads are answered with 507, and
    /// with less than half of it registrations are, too. 0: no limit.
    pub disk_free_min_bytes: u64,
    /// The uploads that a user may begin in a minute; as many at once. More are answered with
    /// 429.
    pub uploads_per_minute: u32,
    /// The most files that one user sends at one time; one more is answered with 429, and so
    /// is a second one while half of [`uploads_max`](Self::uploads_max) are received.
    pub uploads_per_user: usize,
    /// The most files that are received at one time; one more is answered with 503.
    pub uploads_max: usize,
    /// The most files, or parts of files, that are sent to one user at one time; one more is
    /// answered with 429. Previews do not count.
    pub downloads_per_user: usize,
    /// How long an upload may take, however fast it is; then it is answered with 408. Must
    /// be shorter than `unattached_lifetime`.
    pub upload_timeout: Duration,
    /// Whether the folder is removed at the start and at the stop: the records do not
    /// outlive the process. Storage is left as it is.
    pub is_temporary: bool,
    /// How long a file is kept that no message has.
    pub unattached_lifetime: Duration,
    /// How often files that nobody needs are looked for. Those of deleted messages are
    /// deleted at once.
    pub sweep_interval: Duration,
}

impl Default for FilesOptions {
    fn default() -> Self {
        Self {
            location: FilesLocation::Folder(PathBuf::from("files")),
            data_dir: PathBuf::from("."),
            max_bytes: 25 * 1024 * 1024,
            user_bytes_max: Some(1024 * 1024 * 1024),
            bytes_max: None,
            disk_free_min_bytes: 512 * 1024 * 1024,
            uploads_per_minute: 120,
            uploads_per_user: 4,
            uploads_max: 64,
            downloads_per_user: 32,
            upload_timeout: Duration::from_secs(3600),
            is_temporary: false,
            unattached_lifetime: Duration::from_secs(24 * 3600),
            sweep_interval: Duration::from_secs(60),
        }
    }
}

/// Parses the words with which a server welcomes its visitors, which may be empty and have
/// several lines: trims surrounding white space, and normalises to NFC, and line ends to `\n`.
///
/// # Errors
///
/// [`InvalidWelcome`] unless the result has at most 500 characters, and none that controls the
/// text around it.
pub fn parse_welcome(input: &str) -> Result<String, InvalidWelcome> {
    parse_room_description(input).map_err(|error| match error {
        RoomTextError::TooLong { max, .. } => InvalidWelcome::TooLong { max },
        _ => InvalidWelcome::Control,
    })
}

/// Why a text cannot welcome visitors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWelcome {
    /// The text is too long.
    #[error("the welcome is too long (max {max})")]
    TooLong {
        /// The most characters.
        max: usize,
    },
    /// The text has a character that controls the text around it.
    #[error("the welcome must not contain control characters")]
    Control,
}

/// The colour of links, buttons and one's own reactions in the page. The page has a shade of
/// it for each look, so that texts in it can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[expect(missing_docs, reason = "the names of the colours say everything")]
pub enum Accent {
    Blue,
    Green,
    Violet,
    Orange,
    Red,
    Teal,
    Pink,
    Graphite,
}

impl Accent {
    /// The names of all colours, as in `GET /api/server`.
    pub const NAMES: &[&str] = &["blue", "green", "violet", "orange", "red", "teal", "pink", "graphite"];

    /// The name of the colour.
    pub fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// The colour of this name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "blue" => Self::Blue,
            "green" => Self::Green,
            "violet" => Self::Violet,
            "orange" => Self::Orange,
            "red" => Self::Red,
            "teal" => Self::Teal,
            "pink" => Self::Pink,
            "graphite" => Self::Graphite,
            _ => return None,
        })
    }
}

/// Who may create an account over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// Every client that can reach the server.
    Open,
    /// Everybody who has an invitation.
    Invite,
    /// Nobody: the operator creates accounts.
    Closed,
}

/// How many accounts may be created over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationLimits {
    /// Accounts from one address (IPv6: 56 bits), at once and then within `address_period`;
    /// further ones are answered with 429.
    pub per_address: u32,
    /// The time for `per_address`.
    pub address_period: Duration,
    /// Accounts from all addresses, at once and then within an hour; likewise.
    pub per_hour: u32,
    /// Accounts of the chat, with those that the operator makes; further ones are answered with
    /// 429. `None`: any number.
    pub accounts_max: Option<u64>,
}

impl Default for RegistrationLimits {
    fn default() -> Self {
        Self {
            // An office of 200 behind one address registers within two hours.
            per_address: 100,
            address_period: Duration::from_secs(3_600),
            per_hour: 1_000,
            accounts_max: None,
        }
    }
}

/// A room that exists on every start of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfiguredRoom {
    /// The name of the room, as in frames.
    pub name: RoomName,
    /// The title that the room gets when it is created.
    pub title: String,
}

impl ConfiguredRoom {
    /// The rooms of a new server. The page shows both titles in the language of the
    /// visitor.
    pub fn new_server() -> [Self; 2] {
        [Self::new("default", "Общая"), Self::new("random", "Болталка")]
    }

    /// The rooms of the original chat.
    pub fn original() -> [Self; 8] {
        [
            Self::new("default", "Основная"),
            Self::new("sports", "Спортивная"),
            Self::new("music", "Музыка"),
            Self::new("movies", "Фильмы"),
            Self::new("tech", "Технологии"),
            Self::new("games", "Игры"),
            Self::new("travel", "Путешествия"),
            Self::new("random", "Болталка"),
        ]
    }

    fn new(name: &str, title: &str) -> Self {
        let name = RoomName::parse(name).expect("short and without control characters");
        Self { name, title: title.to_owned() }
    }
}

/// The URL under which users reach the server: an origin, without a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    /// As browsers serialise it (RFC 6454 §6.2): in lower case, without the default port of
    /// the scheme.
    origin: String,
}

impl PublicUrl {
    /// Parses `https://chat.example.org` or `http://…`, with or without a port. A host name
    /// in another script must be in its `xn--` form.
    ///
    /// # Errors
    ///
    /// [`InvalidPublicUrl`].
    pub fn parse(url: &str) -> Result<Self, InvalidPublicUrl> {
        let uri: Uri = url.parse().map_err(|_| InvalidPublicUrl::NotAUrl)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(InvalidPublicUrl::NotAUrl);
        };
        if uri.path_and_query().is_some_and(|path| !matches!(path.as_str(), "" | "/")) || url.contains('#') {
            return Err(InvalidPublicUrl::HasPath);
        }
        let default_port = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return Err(InvalidPublicUrl::NotAUrl),
        };
        let host = authority.host().to_ascii_lowercase();
        if host.is_empty() || authority.as_str().contains('@') {
            return Err(InvalidPublicUrl::NotAUrl);
        }
        let origin = match authority.port_u16() {
            Some(port) if port != default_port => format!("{scheme}://{host}:{port}"),
            Some(_) => format!("{scheme}://{host}"),
            None if authority.as_str().len() == host.len() => format!("{scheme}://{host}"),
            // The port is not a number of 16 bits.
            None => return Err(InvalidPublicUrl::NotAUrl),
        };
        Ok(Self { origin })
    }

    /// The origin, as browsers serialise it.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether the scheme is https.
    pub fn is_https(&self) -> bool {
        self.origin.starts_with("https:")
    }
}

/// Why a text is not a public URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPublicUrl {
    /// The text is not an `http` or `https` URL with a host.
    #[error("the public URL must look like https://chat.example.org or http://192.0.2.1:8080")]
    NotAUrl,
    /// The URL has a path, a query or a fragment.
    #[error(
        "the public URL must end after the host and port, as in https://chat.example.org: \
         the path below which the chat is has a setting of its own, base_path"
    )]
    HasPath,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_accent_has_the_name_that_json_has() {
        for name in Accent::NAMES {
            let accent = Accent::named(name).unwrap();
            assert_eq!(serde_json::to_string(&accent).unwrap(), format!("\"{name}\""));
            assert_eq!(accent.name(), *name);
        }
        assert_eq!(Accent::named("beige"), None);
    }

    #[test]
    fn a_public_url_is_normalised_to_an_origin() {
        for (url, origin) in [
            ("https://chat.example.org", "https://chat.example.org"),
            ("https://Chat.Example.org/", "https://chat.example.org"),
            ("https://chat.example.org:443/", "https://chat.example.org"),
            ("http://chat.example.org:443", "http://chat.example.org:443"),
            ("http://localhost:8080", "http://localhost:8080"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("HTTPS://a.b", "https://a.b"),
        ] {
            assert_eq!(PublicUrl::parse(url).map(|url| url.origin), Ok(origin.to_owned()), "{url}");
        }
        for bad in
            ["", "chat.example.org", "/chat", "ftp://a.b", "https://", "https://u@a.b", "https://a.b:99999"]
        {
            assert_eq!(PublicUrl::parse(bad), Err(InvalidPublicUrl::NotAUrl), "{bad}");
        }
        for bad in
            ["https://a.b/chat", "https://a.b:443/chat/", "https://a.b/?x", "https://a.b?x", "https://a.b/#x"]
        {
            assert_eq!(PublicUrl::parse(bad), Err(InvalidPublicUrl::HasPath), "{bad}");
        }
    }
}

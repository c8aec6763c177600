//! Everything about the HTTP side that can be set.

use std::path::PathBuf;
use std::time::Duration;

use chat_auth::SignInLimits;
use chat_core::{RoomName, Skeleton};
use chat_shard::ShardOptions;
use chat_store::Retention;
use hyper::Uri;
use ipnet::IpNet;

/// How the server treats connections and requests. Every limit is here.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// Where people reach the server. It decides which origin may act for them
    /// and whether cookies are for https only. Without it, the origin has to be
    /// that of the request's own `Host`.
    pub public_url: Option<PublicUrl>,
    /// Rooms that are always listed, in this order. By default the eight of the
    /// original.
    pub rooms: Vec<ConfiguredRoom>,
    /// Rooms in one listing. Configured rooms are listed even beyond it.
    pub rooms_max: usize,
    /// How sockets are treated once they are upgraded.
    pub shards: ShardOptions,

    /// Who may make an account.
    pub registration: Registration,
    /// Skeletons of names that nobody can register, nor a name that is
    /// [confusable](Skeleton::is_confusable_with) with one. Existing accounts are not
    /// affected.
    pub reserved_names: Vec<Skeleton>,

    /// Folder of the avatars; made if it is missing.
    pub uploads_dir: PathBuf,
    /// Bytes of an avatar as it is sent; a larger one is refused.
    pub avatar_max_bytes: u64,
    /// Avatars that may be on their way at once, so that half-sent ones fill no
    /// disk; one more is answered with 503.
    pub avatar_uploads_max: usize,
    /// Pixels of an avatar as it is sent; one with more is refused.
    pub picture_pixels_max: u64,
    /// Pixels on one side of an avatar as it is sent; a longer one is refused.
    pub picture_side_max: u32,
    /// Bytes that one avatar may take while its picture is made, beside twice the
    /// file as it was sent; one that needs more is refused. With 160 MiB every
    /// ordinary picture of 25 megapixels fits (they take 3 to 6 bytes a pixel);
    /// what is rare takes up to 18: animated WebP, 16 bits a channel, progressive
    /// JPEG with colours at full size, WebP with transparency or without losses.
    pub picture_memory_max: u64,
    /// Pictures that are made at once, at least 1, each on a thread of its own.
    pub picture_threads: usize,
    /// Pictures that may wait until they are made, at 0.1 to 1 s each; one more is
    /// answered with 503.
    pub picture_queue_max: usize,
    /// Bytes of a JSON body; a larger one is answered with 413.
    pub json_max_bytes: usize,

    /// Connections that speak HTTP at one time (a socket that was upgraded no
    /// longer counts). At the cap, new ones wait in the system's backlog.
    pub max_connections: usize,
    /// How long a connection may take for the head of a request, and how long
    /// it may be silent between two requests; then it is closed.
    pub header_timeout: Duration,
    /// Header fields in one request; more are answered with 431.
    pub headers_max: usize,
    /// Bytes of a request's head; more are answered with 431.
    pub header_max_bytes: usize,
    /// How long a body may take, whatever its size; then 408.
    pub body_timeout: Duration,
    /// Bytes for which a body gets one second more.
    pub body_min_rate: u64,
    /// How long a client may take nothing of an answer; then it is cut off.
    pub write_timeout: Duration,
    /// How long the socket may take to become free after a 101.
    pub upgrade_timeout: Duration,

    /// How often a sign-in may fail.
    pub sign_in_limits: SignInLimits,
    /// Proxies before this server, which are believed in what they say of where a
    /// request comes from (`X-Forwarded-For`).
    pub trusted_proxies: Vec<IpNet>,
    /// A failed sign-in is answered this long after its start, whatever the
    /// reason, so that the time tells nobody which names exist.
    pub login_floor: Duration,
    /// How often the store is asked whether the sessions that have sockets here
    /// are still good, for those that were ended elsewhere.
    pub session_check_interval: Duration,
    /// Which messages are kept.
    pub retention: Retention,
    /// How often the log is looked through for those that are not.
    pub retention_interval: Duration,
    /// When a session was last seen is written down at most this often.
    pub last_seen_interval: Duration,
    /// How long the store may take to answer a readiness check.
    pub store_check_timeout: Duration,
    /// How long requests may go on when the server stops; then they are cut off.
    pub stop_grace: Duration,
}

impl Default for HttpOptions {
    fn default() -> Self {
        let room = |name, title: &str| ConfiguredRoom {
            name: RoomName::parse(name).expect("short and without control characters"),
            title: title.to_owned(),
        };
        Self {
            public_url: None,
            rooms: vec![
                room("default", "Основная"),
                room("sports", "Спортивная"),
                room("music", "Музыка"),
                room("movies", "Фильмы"),
                room("tech", "Технологии"),
                room("games", "Игры"),
                room("travel", "Путешествия"),
                room("random", "Болталка"),
            ],
            rooms_max: 200,
            shards: ShardOptions::default(),
            registration: Registration::Open,
            // Those who could ask others for their passwords.
            reserved_names: ["admin", "administrator", "moderator", "root", "server", "system"]
                .map(Skeleton::of)
                .into(),
            uploads_dir: PathBuf::from("uploads"),
            avatar_max_bytes: 10 * 1024 * 1024,
            avatar_uploads_max: 64,
            picture_pixels_max: 25_000_000,
            picture_side_max: 10_000,
            picture_memory_max: 160 * 1024 * 1024,
            picture_threads: 1,
            picture_queue_max: 16,
            json_max_bytes: 64 * 1024,
            // About 12 KiB each: 120 MiB at worst.
            max_connections: 10_000,
            header_timeout: Duration::from_secs(5),
            headers_max: 100,
            header_max_bytes: 16 * 1024,
            body_timeout: Duration::from_secs(10),
            body_min_rate: 16 * 1024,
            write_timeout: Duration::from_secs(30),
            upgrade_timeout: Duration::from_secs(10),
            sign_in_limits: SignInLimits::default(),
            trusted_proxies: Vec::new(),
            login_floor: Duration::from_millis(250),
            session_check_interval: Duration::from_secs(30),
            retention: Retention::default(),
            retention_interval: Duration::from_secs(60),
            last_seen_interval: Duration::from_secs(300),
            store_check_timeout: Duration::from_secs(1),
            stop_grace: Duration::from_secs(5),
        }
    }
}

/// Who may make an account over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// Whoever can reach the server.
    Open,
    /// Nobody: accounts are made by who runs the server.
    Closed,
}

/// A room that is listed even while nobody is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfiguredRoom {
    /// Its name, as messages carry it.
    pub name: RoomName,
    /// What people see.
    pub title: String,
}

/// The address under which people reach the server: an origin, without a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    /// As browsers write it (RFC 6454 §6.2): lower case, no port where it is
    /// the scheme's own.
    origin: String,
}

impl PublicUrl {
    /// Reads `https://chat.example.org` or `http://…`, with a port or without.
    /// A name in another script has to be given in its `xn--` form.
    pub fn parse(url: &str) -> Result<Self, InvalidPublicUrl> {
        let uri: Uri = url.parse().map_err(|_| InvalidPublicUrl::NotAUrl)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(InvalidPublicUrl::NotAUrl);
        };
        if uri.path_and_query().is_some_and(|path| !matches!(path.as_str(), "" | "/")) || url.contains('#') {
            return Err(InvalidPublicUrl::HasPath);
        }
        let own_port = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return Err(InvalidPublicUrl::NotAUrl),
        };
        let host = authority.host().to_ascii_lowercase();
        if host.is_empty() || authority.as_str().contains('@') {
            return Err(InvalidPublicUrl::NotAUrl);
        }
        let origin = match authority.port_u16() {
            Some(port) if port != own_port => format!("{scheme}://{host}:{port}"),
            Some(_) => format!("{scheme}://{host}"),
            None if authority.as_str().len() == host.len() => format!("{scheme}://{host}"),
            // A port that is no number of 16 bits.
            None => return Err(InvalidPublicUrl::NotAUrl),
        };
        Ok(Self { origin })
    }

    /// The origin, as browsers write it.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether people come over TLS.
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
    /// The URL has a path, a query or a fragment: the page and its cookies need the whole host.
    #[error(
        "the public URL must end after the host and port, as in https://chat.example.org: \
         a path is not supported, the chat needs a host name of its own"
    )]
    HasPath,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_brought_to_the_form_of_an_origin() {
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

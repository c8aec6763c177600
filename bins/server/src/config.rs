//! The configuration: settings that were checked, with the defaults for the rest.

use std::fmt::Display;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chat_auth::{PasswordsOptions, TokenOptions};
use chat_core::{RateLimit, RoomName, Skeleton, Username};
use chat_http::{ConfiguredRoom, HttpOptions, PublicUrl, SHARDS_MAX};
use chat_store::DatabaseUrl;
use ipnet::IpNet;

use crate::settings::{LogFormat, Registration, Room, Settings};

/// Everything that the server is started with.
pub(crate) struct Config {
    pub(crate) listen: String,
    pub(crate) data_dir: PathBuf,
    /// Whether a Postgres is migrated at the start.
    pub(crate) migrate: bool,
    pub(crate) database_url: DatabaseUrl,
    /// `None`: made once and kept in the data folder.
    pub(crate) jwt_secret: Option<String>,
    pub(crate) log_format: LogFormat,
    pub(crate) log_filter: String,
    pub(crate) passwords: PasswordsOptions,
    pub(crate) tokens: TokenOptions,
    pub(crate) http: HttpOptions,
}

/// What is wrong with the configuration, in one sentence.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("the configuration file {path} cannot be read")]
    Unreadable {
        path: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    #[error("the configuration file {path} is not right: {message}")]
    Malformed { path: PathBuf, message: String },
    #[error("{setting}: {message}")]
    Invalid { setting: &'static str, message: String },
}

impl Config {
    /// Flags and environment are in `given`; the file it names fills the gaps.
    pub(crate) fn load(given: Settings) -> Result<Self, ConfigError> {
        let file = match &given.config {
            Some(path) => read(path)?,
            None => Settings::default(),
        };
        Self::check(given.or(file))
    }

    fn check(settings: Settings) -> Result<Self, ConfigError> {
        let data_dir = settings.data_dir.unwrap_or_else(|| PathBuf::from("data"));
        let database_url = match &settings.database_url {
            Some(url) => DatabaseUrl::parse(url).map_err(invalid("database_url"))?,
            None => DatabaseUrl::Sqlite(data_dir.join("chat.db")),
        };

        let mut passwords = PasswordsOptions::default();
        set(&mut passwords.threads, positive("hash_threads", settings.hash_threads)?);
        set(&mut passwords.queue_max, positive("hash_queue_max", settings.hash_queue_max)?);

        let mut tokens = TokenOptions::default();
        set(&mut tokens.accept_external, settings.external_tokens);
        let days = within("session_days", settings.session_days, 1..=SESSION_MOST_DAYS)?;
        set(&mut tokens.lifetime, days.map(|days| Duration::from_millis(days * DAY_MS)));
        tokens.external_issuer = settings.external_issuer;
        if let Some(issuer) = &tokens.external_issuer
            && (issuer.is_empty() || !tokens.accept_external)
        {
            return Err(invalid("external_issuer")("must have a text, and external_tokens must be true"));
        }

        let public_url = settings.public_url.as_deref().map(PublicUrl::parse).transpose();
        let public_url = public_url.map_err(invalid("public_url"))?;
        let mut http = HttpOptions { public_url, ..HttpOptions::default() };
        if let Some(rooms) = settings.rooms {
            http.rooms = rooms.into_iter().map(room).collect::<Result<_, _>>()?;
        }
        set(&mut http.uploads_dir, settings.uploads_dir);
        set(&mut http.max_connections, positive("max_connections", settings.max_connections)?);
        set(&mut http.avatar_max_bytes, settings.avatar_max_bytes);
        set(&mut http.picture_pixels_max, positive("picture_pixels_max", settings.picture_pixels_max)?);
        set(&mut http.picture_side_max, positive("picture_side_max", settings.picture_side_max)?);
        let memory = positive("picture_memory_max_bytes", settings.picture_memory_max_bytes)?;
        set(&mut http.picture_memory_max, memory);
        set(&mut http.picture_threads, positive("picture_threads", settings.picture_threads)?);
        set(&mut http.picture_queue_max, settings.picture_queue_max);
        set(&mut http.registration, settings.registration.map(registration));
        set(&mut http.reserved_names, settings.reserved_names.as_deref().map(reserved_names).transpose()?);
        let failures = positive("address_failures_max", settings.address_failures_max)?;
        set(&mut http.sign_in_limits.from_address_max, failures);
        let failures = positive("account_failures_max", settings.account_failures_max)?;
        set(&mut http.sign_in_limits.of_account_max, failures);
        set(&mut http.trusted_proxies, settings.trusted_proxies.as_deref().map(proxies).transpose()?);
        let check = seconds("session_check_seconds", settings.session_check_seconds)?;
        set(&mut http.session_check_interval, check);

        http.retention.entries = positive("retention_entries", settings.retention_entries)?;
        let days = positive("retention_days", settings.retention_days)?;
        http.retention.age_ms = days.map(|days| days.saturating_mul(DAY_MS));
        let check = seconds("retention_check_seconds", settings.retention_check_seconds)?;
        set(&mut http.retention_interval, check);

        let sockets = &mut http.shards;
        if let Some(shards) = settings.shards {
            sockets.shards = NonZeroUsize::new(shards)
                .filter(|shards| shards.get() <= SHARDS_MAX)
                .ok_or_else(|| invalid("shards")(format!("must be from 1 to {SHARDS_MAX}")))?;
        }
        let message = settings.message_max_bytes;
        set(&mut sockets.message_max_bytes, within("message_max_bytes", message, 1..=MESSAGE_MOST_BYTES)?);
        // What a joiner is sent at once must fit, or nobody could join.
        let outbox = 2 * sockets.hub.page_bytes..=OUTBOX_MOST_BYTES;
        set(&mut sockets.outbox_max_bytes, within("outbox_max_bytes", settings.outbox_max_bytes, outbox)?);
        set(&mut sockets.ping_interval, seconds("ping_interval_seconds", settings.ping_interval_seconds)?);
        set(&mut sockets.idle_timeout, seconds("idle_timeout_seconds", settings.idle_timeout_seconds)?);
        if sockets.idle_timeout <= sockets.ping_interval {
            let message = "must be longer than ping_interval_seconds, or silent clients are never asked";
            return Err(invalid("idle_timeout_seconds")(message));
        }
        let clients = positive("user_clients_max", settings.user_clients_max)?;
        set(&mut sockets.hub.user_clients_max, clients);
        set(&mut sockets.hub.text_max_chars, positive("text_max_chars", settings.text_max_chars)?);
        if let Some(rate) = &settings.message_rate {
            sockets.hub.rate = message_rate(rate)?;
            sockets.hub.frame_rate = frame_rate(sockets.hub.frame_rate, sockets.hub.rate);
            sockets.hub.join_rate = sockets.hub.join_rate.filter(|_| sockets.hub.rate.is_some());
        }

        Ok(Self {
            listen: settings.listen.unwrap_or_else(|| "127.0.0.1:8080".to_owned()),
            data_dir,
            migrate: settings.migrate.unwrap_or(false),
            database_url,
            jwt_secret: settings.jwt_secret,
            log_format: settings.log_format.unwrap_or(LogFormat::Human),
            log_filter: settings.log.unwrap_or_else(|| "info".to_owned()),
            passwords,
            tokens,
            http,
        })
    }
}

fn read(path: &Path) -> Result<Settings, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|cause| ConfigError::Unreadable { path: path.to_owned(), cause })?;
    toml::from_str(&text).map_err(|error| {
        let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        let message = format!("line {line}: {}", error.message());
        ConfigError::Malformed { path: path.to_owned(), message }
    })
}

fn set<T>(option: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *option = given;
    }
}

fn invalid<E: ToString>(setting: &'static str) -> impl Fn(E) -> ConfigError {
    move |error| ConfigError::Invalid { setting, message: error.to_string() }
}

fn positive<T: Default + PartialEq>(
    setting: &'static str,
    given: Option<T>,
) -> Result<Option<T>, ConfigError> {
    match given {
        Some(given) if given == T::default() => Err(invalid(setting)("must be more than 0")),
        given => Ok(given),
    }
}

fn within<T: PartialOrd + Display>(
    setting: &'static str,
    given: Option<T>,
    range: RangeInclusive<T>,
) -> Result<Option<T>, ConfigError> {
    match given {
        Some(given) if !range.contains(&given) => {
            Err(invalid(setting)(format!("must be from {} to {}", range.start(), range.end())))
        }
        given => Ok(given),
    }
}

const DAY_MS: u64 = 86_400_000;
/// Browsers keep no cookie for longer than 400 days.
const SESSION_MOST_DAYS: u64 = 365;

/// A message is held in memory whole.
const MESSAGE_MOST_BYTES: usize = 16 * 1024 * 1024;
/// So is what waits for a slow client.
const OUTBOX_MOST_BYTES: usize = 1024 * 1024 * 1024;

fn seconds(setting: &'static str, given: Option<u64>) -> Result<Option<Duration>, ConfigError> {
    match given {
        Some(seconds @ 1..=86_400) => Ok(Some(Duration::from_secs(seconds))),
        Some(_) => Err(invalid(setting)("must be from 1 to 86400")),
        None => Ok(None),
    }
}

fn message_rate(given: &str) -> Result<Option<RateLimit>, ConfigError> {
    if given == "off" {
        return Ok(None);
    }
    let numbers = given.split_once(',').and_then(|(burst, per_second)| {
        let burst = burst.trim().parse().ok().filter(|burst| *burst > 0)?;
        let per_second = per_second.trim().parse().ok().filter(|rate| (1..=1_000_000).contains(rate))?;
        Some(RateLimit { burst, per_second })
    });
    let message = "must be two numbers, such as 60,10 (messages at once, then a second), or off";
    numbers.map(Some).ok_or_else(|| invalid("message_rate")(message))
}

/// Frames of any kind: each message is one, and what goes with it must not slow
/// it down.
fn frame_rate(usual: Option<RateLimit>, messages: Option<RateLimit>) -> Option<RateLimit> {
    let (usual, messages) = (usual?, messages?);
    Some(RateLimit {
        burst: usual.burst.max(messages.burst.saturating_mul(2)),
        per_second: usual.per_second.max(messages.per_second.saturating_mul(2)),
    })
}

fn registration(registration: Registration) -> chat_http::Registration {
    match registration {
        Registration::Open => chat_http::Registration::Open,
        Registration::Closed => chat_http::Registration::Closed,
    }
}

/// An empty text reserves none.
fn reserved_names(given: &str) -> Result<Vec<Skeleton>, ConfigError> {
    let names = given.split(',').map(str::trim).filter(|name| !name.is_empty());
    let skeletons = names.map(|name| Username::parse(name).map(|name| Skeleton::of(name.as_str())));
    skeletons.collect::<Result<_, _>>().map_err(invalid("reserved_names"))
}

fn proxies(given: &str) -> Result<Vec<IpNet>, ConfigError> {
    let proxies = given.split(',').map(str::trim).filter(|proxy| !proxy.is_empty());
    let networks = proxies.map(|proxy| {
        let network = proxy.parse::<IpAddr>().map(IpNet::from).or_else(|_| proxy.parse::<IpNet>());
        network.map_err(|_| format!("{proxy} is neither an address nor a network such as 10.0.0.0/8"))
    });
    networks.collect::<Result<_, _>>().map_err(invalid("trusted_proxies"))
}

fn room(room: Room) -> Result<ConfiguredRoom, ConfigError> {
    let name = RoomName::parse(&room.name).map_err(invalid("rooms"))?;
    Ok(ConfiguredRoom { name, title: room.title })
}

#[cfg(test)]
mod tests {
    use chat_core::HubOptions;

    use super::*;

    fn check(toml: &str) -> Result<Config, ConfigError> {
        Config::check(toml::from_str(toml).unwrap())
    }

    #[test]
    fn without_anything_a_small_server() {
        let config = check("").unwrap();
        assert_eq!(config.listen, "127.0.0.1:8080");
        assert_eq!(config.database_url, DatabaseUrl::Sqlite(PathBuf::from("data/chat.db")));
        assert_eq!(config.http.uploads_dir, PathBuf::from("uploads"));
        assert_eq!(config.http.rooms.len(), 8);
    }

    #[test]
    fn flags_win_over_the_file() {
        let flags = Settings { listen: Some("[::1]:1".into()), ..Settings::default() };
        let file = toml::from_str("listen = \"[::1]:2\"\nshards = 3").unwrap();
        let config = Config::check(flags.or(file)).unwrap();
        assert_eq!(config.listen, "[::1]:1");
        assert_eq!(config.http.shards.shards.get(), 3);
    }

    #[test]
    fn a_wrong_setting_is_named() {
        for (toml, setting) in [
            ("shards = 0", "shards"),
            ("shards = 65", "shards"),
            ("message_rate = \"fast\"", "message_rate"),
            ("message_rate = \"0,1\"", "message_rate"),
            ("ping_interval_seconds = 0", "ping_interval_seconds"),
            ("ping_interval_seconds = 120", "idle_timeout_seconds"),
            ("public_url = \"chat\"", "public_url"),
            ("session_check_seconds = 0", "session_check_seconds"),
            ("session_days = 0", "session_days"),
            ("address_failures_max = 0", "address_failures_max"),
            ("account_failures_max = 0", "account_failures_max"),
            ("trusted_proxies = \"proxy.example\"", "trusted_proxies"),
            ("trusted_proxies = \"10.0.0.0/33\"", "trusted_proxies"),
            ("session_days = 366", "session_days"),
            ("retention_entries = 0", "retention_entries"),
            ("retention_days = 0", "retention_days"),
            ("retention_check_seconds = 0", "retention_check_seconds"),
            ("external_issuer = \"host\"", "external_issuer"),
            ("external_tokens = true\nexternal_issuer = \"\"", "external_issuer"),
            ("database_url = \"mysql://x\"", "database_url"),
            ("text_max_chars = 0", "text_max_chars"),
            ("picture_threads = 0", "picture_threads"),
            ("picture_side_max = 0", "picture_side_max"),
            ("user_clients_max = 0", "user_clients_max"),
            ("reserved_names = \"admin,a name that is far too long\"", "reserved_names"),
            ("outbox_max_bytes = 3000", "outbox_max_bytes"),
            ("message_max_bytes = 99999999", "message_max_bytes"),
            ("rooms = [{ name = \"a\\nb\", title = \"x\" }]", "rooms"),
        ] {
            let error = check(toml).err().expect(toml).to_string();
            assert!(error.starts_with(&format!("{setting}: ")), "{toml}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
        assert!(toml::from_str::<Settings>("no_such_setting = 1").is_err());
    }

    #[test]
    fn everything_is_kept_unless_said_otherwise() {
        assert!(check("").unwrap().http.retention.keeps_all());
        let http = check("retention_entries = 5\nretention_days = 7").unwrap().http;
        assert_eq!((http.retention.entries, http.retention.age_ms), (Some(5), Some(604_800_000)));
    }

    #[test]
    fn people_stay_signed_in_for_as_long_as_is_said() {
        assert_eq!(check("").unwrap().tokens.lifetime, Duration::from_secs(86_400));
        assert_eq!(check("session_days = 30").unwrap().tokens.lifetime, Duration::from_secs(2_592_000));
    }

    #[test]
    fn proxies_are_addresses_or_networks() {
        let http = check("trusted_proxies = \"127.0.0.1, 10.0.0.0/8, ::1\"").unwrap().http;
        let proxies: Vec<_> = http.trusted_proxies.iter().map(ToString::to_string).collect();
        assert_eq!(proxies, ["127.0.0.1/32", "10.0.0.0/8", "::1/128"]);
        assert!(check("").unwrap().http.trusted_proxies.is_empty());
    }

    #[test]
    fn tokens_of_others_are_good_only_where_that_is_said() {
        assert!(!check("").unwrap().tokens.accept_external);
        assert!(check("external_tokens = true").unwrap().tokens.accept_external);
        let tokens = check("external_tokens = true\nexternal_issuer = \"host\"").unwrap().tokens;
        assert_eq!(tokens.external_issuer.as_deref(), Some("host"));
        assert!(toml::from_str::<Settings>("external_tokens = \"yes\"").is_err());
    }

    #[test]
    fn names_can_be_reserved_and_pictures_bounded() {
        let reserved = |toml: &str, name: &str| {
            let names = check(toml).unwrap().http.reserved_names;
            names.iter().any(|reserved| reserved.is_confusable_with(&Skeleton::of(name)))
        };
        assert!(reserved("", "Admin") && reserved("", "rооt") && !reserved("", "alice"));
        let own = "reserved_names = \" Хозяин, bot \"";
        assert!(reserved(own, "ХОЗЯИН") && reserved(own, "bot") && !reserved(own, "admin"));
        assert!(!reserved("reserved_names = \"\"", "admin"));
        assert!(toml::from_str::<Settings>("registration = \"perhaps\"").is_err());

        let limits = "picture_pixels_max = 1\npicture_side_max = 2\npicture_memory_max_bytes = 3
            picture_threads = 4\npicture_queue_max = 0\nuser_clients_max = 6\nmigrate = true";
        let config = check(limits).unwrap();
        let http = &config.http;
        assert_eq!((http.picture_pixels_max, http.picture_side_max, http.picture_memory_max), (1, 2, 3));
        assert_eq!((http.picture_threads, http.picture_queue_max), (4, 0));
        assert_eq!(http.shards.hub.user_clients_max, 6);
        assert!(config.migrate && !check("").unwrap().migrate);
    }

    #[test]
    fn the_rate_can_be_set_and_switched_off() {
        assert_eq!(check("message_rate = \"off\"").unwrap().http.shards.hub.rate, None);
        let rate = check("message_rate = \"5, 2\"").unwrap().http.shards.hub.rate;
        assert_eq!(rate, Some(RateLimit { burst: 5, per_second: 2 }));
        let frame_rate =
            |rate: &str| check(&format!("message_rate = \"{rate}\"")).unwrap().http.shards.hub.frame_rate;
        assert_eq!(frame_rate("off"), None);
        assert_eq!(frame_rate("5,2"), HubOptions::default().frame_rate);
        assert_eq!(frame_rate("500,200"), Some(RateLimit { burst: 1000, per_second: 400 }));
    }
}

//! The configuration: settings that were checked, with the defaults for the rest.

use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chat_auth::PasswordsOptions;
use chat_core::{RateLimit, RoomName};
use chat_http::{ConfiguredRoom, HttpOptions, PublicUrl, SHARDS_MAX};
use chat_store::DatabaseUrl;

use crate::settings::{LogFormat, Room, Settings};

/// Everything that the server is started with.
pub(crate) struct Config {
    pub(crate) listen: String,
    pub(crate) data_dir: PathBuf,
    pub(crate) database_url: DatabaseUrl,
    /// `None`: made once and kept in the data folder.
    pub(crate) jwt_secret: Option<String>,
    pub(crate) log_format: LogFormat,
    pub(crate) log_filter: String,
    pub(crate) passwords: PasswordsOptions,
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

        let public_url = settings.public_url.as_deref().map(PublicUrl::parse).transpose();
        let public_url = public_url.map_err(invalid("public_url"))?;
        let mut http = HttpOptions { public_url, ..HttpOptions::default() };
        if let Some(rooms) = settings.rooms {
            http.rooms = rooms.into_iter().map(room).collect::<Result<_, _>>()?;
        }
        set(&mut http.uploads_dir, settings.uploads_dir);
        set(&mut http.max_connections, positive("max_connections", settings.max_connections)?);
        set(&mut http.avatar_max_bytes, settings.avatar_max_bytes);

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
        set(&mut sockets.hub.text_max_chars, positive("text_max_chars", settings.text_max_chars)?);
        if let Some(rate) = &settings.message_rate {
            sockets.hub.rate = message_rate(rate)?;
        }

        Ok(Self {
            listen: settings.listen.unwrap_or_else(|| "127.0.0.1:8080".to_owned()),
            data_dir,
            database_url,
            jwt_secret: settings.jwt_secret,
            log_format: settings.log_format.unwrap_or(LogFormat::Human),
            log_filter: settings.log.unwrap_or_else(|| "info".to_owned()),
            passwords,
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

fn positive(setting: &'static str, given: Option<usize>) -> Result<Option<usize>, ConfigError> {
    match given {
        Some(0) => Err(invalid(setting)("must be more than 0")),
        given => Ok(given),
    }
}

fn within(
    setting: &'static str,
    given: Option<usize>,
    range: RangeInclusive<usize>,
) -> Result<Option<usize>, ConfigError> {
    match given {
        Some(given) if !range.contains(&given) => {
            Err(invalid(setting)(format!("must be from {} to {}", range.start(), range.end())))
        }
        given => Ok(given),
    }
}

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

fn room(room: Room) -> Result<ConfiguredRoom, ConfigError> {
    let name = RoomName::parse(&room.name).map_err(invalid("rooms"))?;
    Ok(ConfiguredRoom { name, title: room.title })
}

#[cfg(test)]
mod tests {
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
            ("database_url = \"mysql://x\"", "database_url"),
            ("text_max_chars = 0", "text_max_chars"),
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
    fn the_rate_can_be_set_and_switched_off() {
        assert_eq!(check("message_rate = \"off\"").unwrap().http.shards.hub.rate, None);
        let rate = check("message_rate = \"5, 2\"").unwrap().http.shards.hub.rate;
        assert_eq!(rate, Some(RateLimit { burst: 5, per_second: 2 }));
    }
}

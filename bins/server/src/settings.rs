//! Everything that a person who runs the server may set.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Deserialize;

/// A setting that is not given has its default; see [`Config`](crate::config::Config).
///
/// The same names are flags (`--data-dir`), variables (`CHAT_DATA_DIR`) and
/// keys of the configuration file (`data_dir`).
#[allow(rustdoc::bare_urls, reason = "these are the texts of --help")]
#[derive(Args, Deserialize, Debug, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Configuration file (TOML).
    #[arg(long, env = "CHAT_CONFIG", value_name = "FILE", global = true)]
    #[serde(skip)]
    pub(crate) config: Option<PathBuf>,

    /// Address to listen on [default: 127.0.0.1:8080].
    #[arg(long, env = "CHAT_LISTEN", value_name = "HOST:PORT", global = true)]
    pub(crate) listen: Option<String>,

    /// Where people reach the server, such as https://chat.example.org; decides
    /// which pages may act for them, and whether cookies need TLS
    /// [default: whatever host they ask for].
    #[arg(long, env = "CHAT_PUBLIC_URL", value_name = "URL", global = true)]
    pub(crate) public_url: Option<String>,

    /// Folder of the database and the signing secret [default: ./data].
    #[arg(long, env = "CHAT_DATA_DIR", value_name = "FOLDER", global = true)]
    pub(crate) data_dir: Option<PathBuf>,

    /// Folder of the avatars [default: ./uploads].
    #[arg(long, env = "CHAT_UPLOADS_DIR", value_name = "FOLDER", global = true)]
    pub(crate) uploads_dir: Option<PathBuf>,

    /// Whether a Postgres is brought to this version's schema at the start; an
    /// SQLite file always is [default: false].
    #[arg(
        long,
        env = "CHAT_MIGRATE",
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        global = true
    )]
    pub(crate) migrate: Option<bool>,

    /// sqlite:FILE, postgres://USER@HOST/NAME, or memory: to keep nothing [default: sqlite:DATA_DIR/chat.db].
    #[arg(long, env = "DATABASE_URL", value_name = "URL", hide_env_values = true, global = true)]
    pub(crate) database_url: Option<String>,

    /// Secret that signs tokens, at least 32 bytes [default: made once and kept
    /// in the data folder].
    #[arg(long, env = "CHAT_JWT_SECRET", value_name = "TEXT", hide_env_values = true, global = true)]
    pub(crate) jwt_secret: Option<String>,

    /// Whether tokens that another program signed with the same secret are good,
    /// true or false [default: false].
    #[arg(long, env = "CHAT_EXTERNAL_TOKENS", value_name = "BOOL", global = true)]
    pub(crate) external_tokens: Option<bool>,

    /// The only issuer (`iss`) of such tokens [default: any].
    #[arg(long, env = "CHAT_EXTERNAL_ISSUER", value_name = "TEXT", global = true)]
    pub(crate) external_issuer: Option<String>,

    /// Days for which somebody stays signed in without coming back; a page that is
    /// open comes back by itself [default: 1].
    #[arg(long, env = "CHAT_SESSION_DAYS", value_name = "DAYS", global = true)]
    pub(crate) session_days: Option<u64>,

    /// Sign-ins of one account that may fail within 15 minutes from one address;
    /// then it has to wait [default: 10].
    #[arg(long, env = "CHAT_ADDRESS_FAILURES_MAX", value_name = "COUNT", global = true)]
    pub(crate) address_failures_max: Option<usize>,

    /// Sign-ins of one account that may fail within an hour, from wherever; one
    /// from an address where it has signed in before is still looked at
    /// [default: 100].
    #[arg(long, env = "CHAT_ACCOUNT_FAILURES_MAX", value_name = "COUNT", global = true)]
    pub(crate) account_failures_max: Option<usize>,

    /// Proxies before the server, as addresses or networks (10.0.0.0/8) with
    /// commas between; they are believed in where a request comes from
    /// (X-Forwarded-For) [default: none].
    #[arg(long, env = "CHAT_TRUSTED_PROXIES", value_name = "NETWORK,NETWORK…", global = true)]
    pub(crate) trusted_proxies: Option<String>,

    /// Seconds between two looks for sessions that another server or a command
    /// has ended; their sockets are closed then [default: 30].
    #[arg(long, env = "CHAT_SESSION_CHECK_SECONDS", value_name = "SECONDS", global = true)]
    pub(crate) session_check_seconds: Option<u64>,

    /// Who may make an account: everybody, or only you with `server user add`
    /// [default: open].
    #[arg(long, env = "CHAT_REGISTRATION", value_enum, global = true)]
    pub(crate) registration: Option<Registration>,

    /// Names that nobody may register, nor one that looks like them, with commas
    /// between [default: admin,administrator,moderator,root,server,system].
    #[arg(long, env = "CHAT_RESERVED_NAMES", value_name = "NAME,NAME…", global = true)]
    pub(crate) reserved_names: Option<String>,

    /// Messages that are kept of each room and each private conversation, the
    /// newest ones [default: all].
    #[arg(long, env = "CHAT_RETENTION_ENTRIES", value_name = "COUNT", global = true)]
    pub(crate) retention_entries: Option<u64>,

    /// Days for which messages are kept [default: for ever].
    #[arg(long, env = "CHAT_RETENTION_DAYS", value_name = "DAYS", global = true)]
    pub(crate) retention_days: Option<u64>,

    /// Seconds between two looks for messages that are no longer kept [default: 60].
    #[arg(long, env = "CHAT_RETENTION_CHECK_SECONDS", value_name = "SECONDS", global = true)]
    pub(crate) retention_check_seconds: Option<u64>,

    /// Threads that own sockets, 1 to 64 [default: one for each processor].
    #[arg(long, env = "CHAT_SHARDS", value_name = "COUNT", global = true)]
    pub(crate) shards: Option<usize>,

    /// How a log line looks [default: human].
    #[arg(long, env = "CHAT_LOG_FORMAT", value_enum, global = true)]
    pub(crate) log_format: Option<LogFormat>,

    /// What is logged, such as debug or warn,chat_http=debug [default: info].
    #[arg(long, env = "CHAT_LOG", value_name = "FILTER", global = true)]
    pub(crate) log: Option<String>,

    /// How fast a user may send, as messages at once and then a second, or off;
    /// frames of any kind and joins have limits far above, and none with off
    /// [default: 60,10].
    #[arg(long, env = "CHAT_MESSAGE_RATE", value_name = "BURST,PER_SECOND|off", global = true)]
    pub(crate) message_rate: Option<String>,

    /// Characters of one message [default: 4096].
    #[arg(long, env = "CHAT_TEXT_MAX_CHARS", value_name = "COUNT", global = true)]
    pub(crate) text_max_chars: Option<usize>,

    /// Bytes of one WebSocket message [default: 65536].
    #[arg(long, env = "CHAT_MESSAGE_MAX_BYTES", value_name = "BYTES", global = true)]
    pub(crate) message_max_bytes: Option<usize>,

    /// Bytes kept for a client that reads too slowly, before it is closed
    /// [default: 262144].
    #[arg(long, env = "CHAT_OUTBOX_MAX_BYTES", value_name = "BYTES", global = true)]
    pub(crate) outbox_max_bytes: Option<usize>,

    /// Seconds between two pings [default: 45].
    #[arg(long, env = "CHAT_PING_INTERVAL_SECONDS", value_name = "SECONDS", global = true)]
    pub(crate) ping_interval_seconds: Option<u64>,

    /// Seconds of silence after which a client is dropped [default: 120].
    #[arg(long, env = "CHAT_IDLE_TIMEOUT_SECONDS", value_name = "SECONDS", global = true)]
    pub(crate) idle_timeout_seconds: Option<u64>,

    /// Connections that speak HTTP at one time; WebSockets do not count
    /// [default: 10000].
    #[arg(long, env = "CHAT_MAX_CONNECTIONS", value_name = "COUNT", global = true)]
    pub(crate) max_connections: Option<usize>,

    /// WebSockets of one user at one time [default: 5000].
    #[arg(long, env = "CHAT_USER_CLIENTS_MAX", value_name = "COUNT", global = true)]
    pub(crate) user_clients_max: Option<usize>,

    /// Bytes of an avatar as it is sent [default: 10485760].
    #[arg(long, env = "CHAT_AVATAR_MAX_BYTES", value_name = "BYTES", global = true)]
    pub(crate) avatar_max_bytes: Option<u64>,

    /// Pixels of an avatar as it is sent [default: 25000000].
    #[arg(long, env = "CHAT_PICTURE_PIXELS_MAX", value_name = "COUNT", global = true)]
    pub(crate) picture_pixels_max: Option<u64>,

    /// Pixels on one side of an avatar as it is sent [default: 10000].
    #[arg(long, env = "CHAT_PICTURE_SIDE_MAX", value_name = "COUNT", global = true)]
    pub(crate) picture_side_max: Option<u32>,

    /// Bytes that one avatar may take while its picture is made, beside twice the
    /// file as it was sent [default: 167772160].
    #[arg(long, env = "CHAT_PICTURE_MEMORY_MAX_BYTES", value_name = "BYTES", global = true)]
    pub(crate) picture_memory_max_bytes: Option<u64>,

    /// Threads that make pictures, with that memory each [default: 1].
    #[arg(long, env = "CHAT_PICTURE_THREADS", value_name = "COUNT", global = true)]
    pub(crate) picture_threads: Option<usize>,

    /// Pictures that may wait until they are made [default: 16].
    #[arg(long, env = "CHAT_PICTURE_QUEUE_MAX", value_name = "COUNT", global = true)]
    pub(crate) picture_queue_max: Option<usize>,

    /// Threads that hash passwords, 19 MiB each [default: 1].
    #[arg(long, env = "CHAT_HASH_THREADS", value_name = "COUNT", global = true)]
    pub(crate) hash_threads: Option<usize>,

    /// Passwords that may wait to be hashed [default: 64].
    #[arg(long, env = "CHAT_HASH_QUEUE_MAX", value_name = "COUNT", global = true)]
    pub(crate) hash_queue_max: Option<usize>,

    /// Rooms that are always listed (in the configuration file only, as
    /// `[[rooms]]` with `name` and `title`) [default: the eight of the original].
    #[arg(skip)]
    pub(crate) rooms: Option<Vec<Room>>,
}

/// A room that is always listed.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct Room {
    pub(crate) name: String,
    pub(crate) title: String,
}

/// How a log line looks.
#[derive(ValueEnum, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// Who may make an account.
#[derive(ValueEnum, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Registration {
    /// Everybody who can reach the server.
    Open,
    /// Only who runs it.
    Closed,
}

impl Settings {
    /// What is not given here is taken from `other`.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            config: self.config.or(other.config),
            listen: self.listen.or(other.listen),
            public_url: self.public_url.or(other.public_url),
            data_dir: self.data_dir.or(other.data_dir),
            uploads_dir: self.uploads_dir.or(other.uploads_dir),
            migrate: self.migrate.or(other.migrate),
            database_url: self.database_url.or(other.database_url),
            jwt_secret: self.jwt_secret.or(other.jwt_secret),
            external_tokens: self.external_tokens.or(other.external_tokens),
            external_issuer: self.external_issuer.or(other.external_issuer),
            session_days: self.session_days.or(other.session_days),
            address_failures_max: self.address_failures_max.or(other.address_failures_max),
            account_failures_max: self.account_failures_max.or(other.account_failures_max),
            trusted_proxies: self.trusted_proxies.or(other.trusted_proxies),
            session_check_seconds: self.session_check_seconds.or(other.session_check_seconds),
            registration: self.registration.or(other.registration),
            reserved_names: self.reserved_names.or(other.reserved_names),
            retention_entries: self.retention_entries.or(other.retention_entries),
            retention_days: self.retention_days.or(other.retention_days),
            retention_check_seconds: self.retention_check_seconds.or(other.retention_check_seconds),
            shards: self.shards.or(other.shards),
            log_format: self.log_format.or(other.log_format),
            log: self.log.or(other.log),
            message_rate: self.message_rate.or(other.message_rate),
            text_max_chars: self.text_max_chars.or(other.text_max_chars),
            message_max_bytes: self.message_max_bytes.or(other.message_max_bytes),
            outbox_max_bytes: self.outbox_max_bytes.or(other.outbox_max_bytes),
            ping_interval_seconds: self.ping_interval_seconds.or(other.ping_interval_seconds),
            idle_timeout_seconds: self.idle_timeout_seconds.or(other.idle_timeout_seconds),
            max_connections: self.max_connections.or(other.max_connections),
            user_clients_max: self.user_clients_max.or(other.user_clients_max),
            picture_pixels_max: self.picture_pixels_max.or(other.picture_pixels_max),
            picture_side_max: self.picture_side_max.or(other.picture_side_max),
            picture_memory_max_bytes: self.picture_memory_max_bytes.or(other.picture_memory_max_bytes),
            picture_threads: self.picture_threads.or(other.picture_threads),
            picture_queue_max: self.picture_queue_max.or(other.picture_queue_max),
            avatar_max_bytes: self.avatar_max_bytes.or(other.avatar_max_bytes),
            hash_threads: self.hash_threads.or(other.hash_threads),
            hash_queue_max: self.hash_queue_max.or(other.hash_queue_max),
            rooms: self.rooms.or(other.rooms),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{Arg, CommandFactory as _};

    use crate::Cli;

    const DOCUMENT: &str = "docs/configuration.md";

    /// One row of the table, from what the program itself says.
    fn row(argument: &Arg) -> String {
        let flag = argument.get_long().unwrap_or_default();
        let variable = argument.get_env().unwrap_or_default().to_string_lossy().into_owned();
        let help = argument.get_help().unwrap_or_default().to_string();
        let (meaning, default) = match help.split_once(" [default: ") {
            Some((meaning, default)) => (meaning.to_owned(), default.trim_end_matches(['.', ']'])),
            None => (help.trim_end_matches('.').to_owned(), ""),
        };
        let key = if flag == "config" { String::new() } else { format!("`{}`", flag.replace('-', "_")) };
        format!("| `--{flag}` | `{variable}` | {key} | {} | {meaning} |", default.replace('|', "\\|"))
    }

    /// The documented table is the program's own. To write it anew:
    /// `UPDATE_DOCS=1 cargo test -p server`.
    #[test]
    fn every_setting_is_documented() {
        let command = Cli::command();
        let settings = command.get_arguments().filter(|argument| argument.get_env().is_some());
        let mut table = "| flag | variable | key | default | meaning |\n|---|---|---|---|---|\n".to_owned();
        for argument in settings {
            table.push_str(&row(argument));
            table.push('\n');
        }
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(DOCUMENT);
        let document = std::fs::read_to_string(&path).unwrap();
        let (before, rest) = document.split_once("<!-- settings -->\n").unwrap();
        let (documented, after) = rest.split_once("<!-- end of settings -->").unwrap();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            let text = format!("{before}<!-- settings -->\n{table}<!-- end of settings -->{after}");
            std::fs::write(&path, text).unwrap();
        } else {
            assert!(documented == table, "{DOCUMENT} is out of date: UPDATE_DOCS=1 cargo test -p server");
        }
    }
}

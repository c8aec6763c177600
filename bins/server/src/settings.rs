//! Every setting that an operator can choose: names, ranges, defaults and help.
//!
//! This table is the only list of settings: `--help`, the table in
//! `docs/configuration.md`, the known environment variables and the known keys
//! of the configuration file are all made from it. [`Config`](crate::config::Config)
//! gives a setting its effect.

mod file;
mod given;
mod nearest;
mod value;

use std::ffi::OsString;

use chat_http::{Accent, SHARDS_MAX};
use clap::Arg;

pub(crate) use file::Room;
pub(crate) use given::{Flags, Given};
pub(crate) use value::SettingError;

/// One setting: a flag (`--data-dir`), an environment variable
/// (`CHAT_DATA_DIR`) and a key of the configuration file (`data_dir`).
pub(crate) struct Setting {
    key: &'static str,
    value_name: &'static str,
    default: &'static str,
    help: &'static str,
    kind: Kind,
    is_secret: bool,
}

/// Which values a setting takes.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Path,
    /// A whole number from the first to the second one.
    Number(u64, u64),
    /// `true` or `false`.
    Bool,
    /// `true` or `false`, or a flag without a value for `true`.
    Switch,
    OneOf(&'static [&'static str]),
}

/// Declares each setting as a static, and [`ALL`] of them in this order.
macro_rules! settings {
    ($($name:ident = $setting:expr;)*) => {
        $(pub(crate) static $name: Setting = $setting;)*
        /// All settings, in the order of `--help`.
        pub(crate) static ALL: &[&Setting] = &[$(&$name),*];
    };
}

settings! {
    CONFIG = path("config", "FILE", "none", "Configuration file (TOML)");
    LISTEN = text("listen", "HOST:PORT", "127.0.0.1:8080", "Address to listen on");
    TLS_CERTIFICATE = path("tls_certificate", "FILE", "none",
        "Certificate (PEM, with its chain) with which the address of listen speaks HTTPS; read again when \
         it changes");
    TLS_KEY = path("tls_key", "FILE", "none", "Key (PEM, not encrypted) of tls_certificate");
    HTTP_LISTEN = text("http_listen", "HOST:PORT", "none",
        "Address without TLS beside listen with TLS: it redirects to HTTPS, and answers certificate authorities");
    ACME_DOMAINS = text("acme_domains", "HOST,HOST…", "none",
        "Host names for which the server gets a certificate itself, by ACME through http_listen, instead of \
         tls_certificate; by this you accept the terms of the certificate authority");
    ACME_EMAIL = text("acme_email", "ADDRESS", "none",
        "Address to which the certificate authority may write about certificates");
    ACME_DIRECTORY = text("acme_directory", "URL", "that of Let's Encrypt", "Directory of the certificate authority");
    ACME_ROOT = path("acme_root", "FILE", "those that the system trusts",
        "Certificate (PEM) by which that of acme_directory is checked, for an authority of one's own");
    METRICS_LISTEN = text("metrics_listen", "HOST:PORT", "none",
        "Address on which /metrics is answered, and nothing else; the address of listen then has no \
         /metrics. Without it, /metrics is on the address of listen");
    PUSH = bool("push", "true",
        "Whether browsers can be notified while they show no page, through the push service of their maker");
    PUSH_CONTACT = text("push_contact", "URI", "public_url, or that of security_contact",
        "Who push services may write to about this server, such as mailto:operator@example.org");
    PUSH_DELAY_SECONDS = number("push_delay_seconds", "SECONDS", 0, 3600, "5",
        "Seconds for which a message waits to be read before a browser without a page is notified");
    PUSH_REQUESTS_MAX = number("push_requests_max", "REQUESTS", 1, 1000, "64",
        "Requests to push services at one time; further messages wait");
    PUSH_REQUESTS_PER_USER = number("push_requests_per_user", "REQUESTS", 1, 1000, "2",
        "Requests of push_requests_max that may be for browsers of one user");
    PUSH_TIMEOUT_SECONDS = number("push_timeout_seconds", "SECONDS", 1, 60, "10",
        "Seconds that a push service may take for a message; then the attempt has failed");
    WEBHOOK_PRIVATE_ADDRESSES = text("webhook_private_addresses", "NETWORK,NETWORK…", "none",
        "Private addresses or networks (10.0.0.0/8), separated by commas, to which outgoing webhooks may \
         lead, also without TLS; others lead to servers on the internet by https");
    WEBHOOK_TIMEOUT_SECONDS = number("webhook_timeout_seconds", "SECONDS", 1, 60, "10",
        "Seconds that the receiver of an outgoing webhook may take for a message; then the attempt has failed");
    WEBHOOK_RETRY_HOURS = number("webhook_retry_hours", "HOURS", 1, 720, "24",
        "Age in hours up to which a message is tried again that the receiver of an outgoing webhook does not take");
    WEBHOOK_OFF_DAYS = number("webhook_off_days", "DAYS", 1, 365, "5",
        "Days for which the receiver of an outgoing webhook may take nothing before the webhook is switched off");
    OUTGOING_PRIVATE = switch("outgoing_private", "false",
        "Whether the server may send requests that users ask for (to push services and outgoing \
         webhooks) to all private addresses and without TLS");
    SECURITY_CONTACT = text("security_contact", "URI", "none",
        "Where flaws of this chat are reported, such as security@example.org or https://example.org/security: \
         /.well-known/security.txt then says so");
    TITLE = text("title", "TEXT", "Chat", "Name of this chat, as clients show it; at most 64 characters");
    WELCOME = text("welcome", "TEXT", "none", "What visitors read before they sign in; at most 500 characters");
    ACCENT = one_of("accent", Accent::NAMES, "the page's own", "Colour of the page");
    PUBLIC_URL = text("public_url", "URL", "the host of each request",
        "URL under which browsers reach the server, such as https://chat.example.org, without a path. \
         Only pages of this origin may act for users; cookies need TLS if it is https");
    BASE_PATH = text("base_path", "PATH", "/",
        "Path below which the chat is, such as /chat, for a proxy that has other things beside it and \
         passes paths on as they are");
    SIGN_IN_URL = text("sign_in_url", "URL", "none",
        "Where the page sends users who are not signed in, with the address to come back to as next in the \
         query; the chat then has no registration and no sign-in with a password");
    DATA_DIR = path("data_dir", "FOLDER", "./data", "Folder of the database, the signing secret and the files of messages");
    UPLOADS_DIR = path("uploads_dir", "FOLDER", "./uploads", "Folder of the avatars");
    MIGRATE = switch("migrate", "false",
        "Whether the server migrates a Postgres database to this version's schema at the start; an \
         SQLite file is always migrated");
    DATABASE_URL = text("database_url", "URL", "sqlite:DATA_DIR/chat.db",
        "sqlite:FILE, postgres://USER@HOST/NAME, or memory: to store nothing").secret();
    DATABASE_WAIT_SECONDS = number("database_wait_seconds", "SECONDS", 0, DAY_SECONDS, "60",
        "Seconds for which a starting server waits for a Postgres that cannot be reached yet");
    BUS = text("bus", "URL,URL…", "none",
        "Address of NATS, nats://HOST:PORT or tls://HOST:PORT with USER:PASSWORD@ before the host, over which \
         several servers on one Postgres tell each other of messages sooner; several addresses of one \
         NATS cluster have commas between them").secret();
    JWT_SECRET = text("jwt_secret", "TEXT", "generated once and stored in the Postgres database, or else in the data folder",
        "Secret that signs session tokens, at least 32 bytes").secret();
    EXTERNAL_TOKENS = bool("external_tokens", "false",
        "Whether the server accepts tokens that another program signed with the same secret");
    EXTERNAL_PUBLIC_KEY_FILE = path("external_public_key_file", "FILE", "none",
        "Public key (PEM of RSA or Ed25519, or a JWKS in JSON) by which tokens of another program are checked: \
         with RS256, PS256, ES256 or EdDSA, without a shared secret");
    EXTERNAL_JWKS_URL = text("external_jwks_url", "URL", "none",
        "Address at which the other program has its public keys (JWKS), instead of a file; it is asked at \
         the start, in each hour, and when a token names a key that is not known");
    EXTERNAL_JWKS_PAUSE_SECONDS = number("external_jwks_pause_seconds", "SECONDS", 1, 3600, "60",
        "Seconds after which external_jwks_url is asked again at the earliest");
    EXTERNAL_ISSUER = text("external_issuer", "TEXT", "any",
        "The only accepted issuer (iss) of external tokens");
    OIDC_ISSUER = text("oidc_issuer", "URL", "none",
        "Address of an OpenID provider that signs users in, exactly as it calls itself (issuer); the address \
         that it sends browsers back to is /api/oidc/callback below public_url and base_path");
    OIDC_CLIENT_ID = text("oidc_client_id", "TEXT", "none", "Id of this chat at the OpenID provider");
    OIDC_CLIENT_SECRET = text("oidc_client_secret", "TEXT", "none: a public client",
        "Secret of this chat at the OpenID provider").secret();
    OIDC_SCOPES = text("oidc_scopes", "TEXT", "openid profile email",
        "What the OpenID provider is asked for, separated by spaces");
    OIDC_NAME = text("oidc_name", "TEXT", "the host of oidc_issuer",
        "How the page calls the OpenID provider: Continue with …; at most 64 characters");
    OIDC_NAME_CLAIM = text("oidc_name_claim", "TEXT", "preferred_username",
        "Claim of the OpenID provider that becomes the name of a new account; a name that is taken gets a \
         number");
    PASSWORDS = bool("passwords", "true",
        "Whether users register and sign in by passwords of this chat; false: only the OpenID provider, or \
         another program, signs them in");
    SESSION_DAYS = number("session_days", "DAYS", 1, SESSION_DAYS_MAX, "30",
        "Days after which an unused session ends; an open page renews its session");
    USER_SESSIONS_MAX = number("user_sessions_max", "COUNT", 1, MILLION, "1500",
        "Sessions of one user; with one more, the oldest ends. Each WebSocket may belong to another one");
    OIDC_EXCHANGES_MAX = number("oidc_exchanges_max", "COUNT", 1, 10_000, "32",
        "Sign-ins that are at the OpenID provider at one time; further ones are told that it does not answer");
    OIDC_EXCHANGES_PER_ADDRESS = number("oidc_exchanges_per_address", "COUNT", 1, 10_000, "8",
        "Sign-ins of oidc_exchanges_max from one address (IPv6: 56 bits); one only while half of \
         oidc_exchanges_max are there");
    ADDRESS_FAILURES_MAX = number("address_failures_max", "COUNT", 1, MILLION, "10",
        "Failed sign-ins to one account within 15 minutes from one address; further attempts are \
         refused until then");
    ACCOUNT_FAILURES_MAX = number("account_failures_max", "COUNT", 1, MILLION, "100",
        "Failed sign-ins to one account within an hour from all addresses; further attempts are \
         refused until then, except from addresses where the account has signed in before");
    NETWORK_FAILURES_MAX = number("network_failures_max", "COUNT", 1, MILLION, "50",
        "Failed sign-ins within 15 minutes from one address (IPv6: 56 bits) to all accounts but those that \
         have signed in from there before; further attempts are refused until then");
    NETWORK_SIGN_INS_MAX = number("network_sign_ins_max", "COUNT", 1, MILLION, "3000",
        "Sign-ins within 15 minutes from one address (IPv6: 56 bits), also successful ones; an account that \
         has signed in from there before has as many of its own");
    TRUSTED_PROXIES = text("trusted_proxies", "NETWORK,NETWORK…", "none",
        "Proxies in front of the server whose X-Forwarded-For is trusted: addresses or networks \
         (10.0.0.0/8), separated by commas");
    SESSION_CHECK_SECONDS = number("session_check_seconds", "SECONDS", 1, DAY_SECONDS, "30",
        "Seconds between two checks of all sessions that have sockets, for those of which the server \
         was not told that another server or a command has ended them");
    REGISTRATION = one_of("registration", &["open", "invite", "closed"], "open",
        "Who can create an account: open for everybody, invite for who has an invitation, closed for the \
         operator only (server user add)");
    REGISTRATIONS_PER_ADDRESS = number("registrations_per_address", "COUNT", 1, MILLION, "100",
        "Accounts that can be created from one address (IPv6: 56 bits) within \
         registrations_per_address_minutes; as many at once");
    REGISTRATIONS_PER_ADDRESS_MINUTES = number("registrations_per_address_minutes", "MINUTES", 1, 43_200, "60",
        "Minutes for registrations_per_address");
    REGISTRATIONS_PER_HOUR = number("registrations_per_hour", "COUNT", 1, MILLION, "1000",
        "Accounts that can be created within an hour from all addresses; as many at once");
    ACCOUNTS_MAX = number("accounts_max", "COUNT", 1, 1_000 * MILLION, "no limit",
        "Accounts above which none can be registered, bots left out; the operator can still create some");
    PASSWORD_MIN_CHARS = number("password_min_chars", "COUNT", 1, 128, "8",
        "Characters of a new password, which is also not the user's name; older passwords stay valid");
    COMMON_PASSWORDS = one_of("common_passwords", &["refused", "allowed"], "refused",
        "Whether a new password may be one of the some 5,500 that are guessed first; allowed by default \
         where password_min_chars is less than 8");
    RESERVED_NAMES = text("reserved_names", "NAME,NAME…",
        "admin,administrator,moderator,root,server,system,support,everyone,all,админ,администратор,\
         модератор,поддержка,сервер,система",
        "Names that cannot be registered, separated by commas; names that look like them cannot either, \
         whatever their spaces, punctuation, accents and digits");
    ROOM_CREATION = one_of("room_creation", &["everybody", "administrators"], "everybody",
        "Who can create rooms, also by opening a new name");
    ROOM_CHANGES_PER_MINUTE = number("room_changes_per_minute", "COUNT", 1, MILLION, "600",
        "Changes of rooms and their members that a user may make in a minute; as many at once");
    REPORTS_PER_MINUTE = number("reports_per_minute", "COUNT", 1, MILLION, "20",
        "Reports of messages that a user may make or change in a minute; as many at once");
    SEARCHES_PER_MINUTE = number("searches_per_minute", "COUNT", 1, MILLION, "120",
        "Searches that a user may make in a minute; as many at once");
    LISTS_PER_MINUTE = number("lists_per_minute", "COUNT", 1, MILLION, "1200",
        "Lists of rooms, users, members and reactions that a user may read in a minute; as many at once");
    SOCKET_OPENS_PER_MINUTE = number("socket_opens_per_minute", "COUNT", 1, MILLION, "1200",
        "WebSockets that a user may open in a minute; as many at once");
    EDIT_SECONDS = number("edit_seconds", "SECONDS", 0, 36_500 * DAY_SECONDS, "0",
        "Seconds for which the author of a message can edit it; 0: for ever");
    REACTIONS_MAX = number("reactions_max", "COUNT", 1, 50, "20", "Different emoji with which users react to one message");
    ORIGINAL_ROOMS = switch("original_rooms", "false",
        "Whether the server creates the eight rooms of the original chat instead of default and random");
    NOTICE_JOINED = text("notice_joined", "TEXT", "присоединился к комнате {room}",
        "What clients of the original chat are told when a user comes to their room, behind the user's name; \
         {user} and {room} stand for the names; at most 200 characters");
    NOTICE_LEFT = text("notice_left", "TEXT", "покинул комнату {room}",
        "What clients of the original chat are told when a user leaves their room, likewise");
    RETENTION_ENTRIES = number("retention_entries", "COUNT", 1, 1_000 * MILLION, "all",
        "Number of newest messages that are kept of each room and each private conversation");
    RETENTION_DAYS = number("retention_days", "DAYS", 1, 36_500, "for ever",
        "Days for which messages are kept");
    RETENTION_CHECK_SECONDS = number("retention_check_seconds", "SECONDS", 1, DAY_SECONDS, "60",
        "Seconds between two deletions of messages that are no longer kept");
    SHARDS = number("shards", "COUNT", 1, SHARDS_MAX as u64, "one for each processor",
        "Threads that serve WebSockets");
    LOG_FORMAT = one_of("log_format", &["human", "json"], "human",
        "Format of log lines: human, or json for one object a line");
    LOG = text("log", "FILTER", "info", "Which log lines are written, such as debug or warn,chat_http=debug");
    MESSAGE_RATE = text("message_rate", "BURST,PER_SECOND|off", "60,10",
        "Limit on a user's messages: burst and messages per second, or off. Frames of all kinds and joins \
         have higher limits; off removes them as well");
    JOIN_RATE = text("join_rate", "BURST,PER_SECOND|off", "500,20",
        "Limit on joins of rooms by a user, and on WebSockets of v1, each of which joins a room: burst and \
         joins per second, or off");
    HISTORY_RATE = text("history_rate", "BURST,PER_SECOND|off", "100,20",
        "Limit on pages of history that a user reads over WebSockets: burst and pages per second, or off");
    TEXT_MAX_CHARS = number("text_max_chars", "COUNT", 1, MILLION, "4096", "Characters of one message");
    // The smallest frame with a room's and a nonce's longest name has less than 1 KiB.
    MESSAGE_MAX_BYTES = number("message_max_bytes", "BYTES", 1_024, 16 * MEBIBYTE, "65536",
        "Bytes of one WebSocket message");
    // What a joining client is sent at once must fit, or no client could join.
    OUTBOX_MAX_BYTES = number("outbox_max_bytes", "BYTES", 128 * KIBIBYTE, 1_024 * MEBIBYTE, "262144",
        "Bytes that wait for a client that reads too slowly, before its connection is closed");
    PING_INTERVAL_SECONDS = number("ping_interval_seconds", "SECONDS", 1, DAY_SECONDS, "45",
        "Seconds between two pings to a client");
    IDLE_TIMEOUT_SECONDS = number("idle_timeout_seconds", "SECONDS", 1, DAY_SECONDS, "120",
        "Seconds of silence after which a client's connection is dropped");
    FRAME_HEADER_TIMEOUT_SECONDS = number("frame_header_timeout_seconds", "SECONDS", 1, DAY_SECONDS, "10",
        "Seconds in which the header of a WebSocket frame must arrive, from its first byte on; then the \
         connection is dropped");
    HEADER_TIMEOUT_SECONDS = number("header_timeout_seconds", "SECONDS", 1, DAY_SECONDS, "5",
        "Seconds in which the head of an HTTP request must arrive, and for which a connection may wait for the \
         next one");
    BODY_TIMEOUT_SECONDS = number("body_timeout_seconds", "SECONDS", 1, DAY_SECONDS, "10",
        "Seconds in which the body of an HTTP request must arrive, and one more for each 16 KiB");
    MAX_CONNECTIONS = number("max_connections", "COUNT", 1, MILLION, "10000",
        "Concurrent HTTP connections; WebSockets do not count. When there are as many, a new one closes one \
         that waits for no answer, of the address that has the most");
    CONNECTIONS_PER_ADDRESS = number("connections_per_address", "COUNT", 1, MILLION, "1500",
        "Concurrent HTTP connections from one address (IPv6: 56 bits), unless it is in trusted_proxies; \
         WebSockets do not count");
    USER_CLIENTS_MAX = number("user_clients_max", "COUNT", 1, MILLION, "1200",
        "Concurrent WebSockets of one user");
    AVATAR_MAX_BYTES = number("avatar_max_bytes", "BYTES", KIBIBYTE, 1_024 * MEBIBYTE, "10485760",
        "Bytes of an uploaded avatar");
    PICTURE_PIXELS_MAX = number("picture_pixels_max", "COUNT", 1_024, 1_000 * MILLION, "25000000",
        "Pixels of an uploaded avatar");
    PICTURE_SIDE_MAX = number("picture_side_max", "COUNT", 32, 65_535, "10000",
        "Pixels on one side of an uploaded avatar");
    PICTURE_MEMORY_MAX_BYTES = number("picture_memory_max_bytes", "BYTES", MEBIBYTE, 16_384 * MEBIBYTE,
        "167772160", "Bytes of memory for scaling one avatar, besides twice the size of the uploaded file");
    PICTURE_THREADS = number("picture_threads", "COUNT", 1, 64, "1",
        "Threads that scale avatars, each with that much memory");
    PICTURE_QUEUE_MAX = number("picture_queue_max", "COUNT", 0, 10_000, "16",
        "Avatars of users that may wait to be scaled, and those of registrations likewise");
    FILES_URL = text("files_url", "URL", "DATA_DIR/files",
        "Where the files of messages are kept: a folder, or s3://BUCKET or s3://BUCKET/PREFIX");
    FILES_S3_ENDPOINT = text("files_s3_endpoint", "URL", "that of Amazon in the region",
        "URL of the S3-compatible storage, such as https://s3.example.org");
    FILES_S3_REGION = text("files_s3_region", "TEXT", "us-east-1", "Region of the bucket");
    FILES_S3_ACCESS_KEY_ID = text("files_s3_access_key_id", "TEXT", "that of the machine at Amazon",
        "Id of the key to the bucket");
    FILES_S3_SECRET_ACCESS_KEY = text("files_s3_secret_access_key", "TEXT", "that of the machine at Amazon",
        "The key to the bucket").secret();
    FILE_MAX_BYTES = number("file_max_bytes", "BYTES", 1, 16_384 * MEBIBYTE, "26214400",
        "Bytes of one file");
    USER_FILES_MAX_BYTES = number("user_files_max_bytes", "BYTES", 1, TEBIBYTE, "1073741824",
        "Bytes of all files of one user; each counts for 4096 at least");
    FILES_MAX_BYTES = number("files_max_bytes", "BYTES", 1, 1_024 * TEBIBYTE, "no limit",
        "Bytes of all files; each counts for 4096 at least");
    DISK_FREE_MIN_BYTES = number("disk_free_min_bytes", "BYTES", 0, TEBIBYTE, "536870912",
        "Free bytes on the disk below which uploads are refused, and below half of which registrations \
         are, so that there is space for messages; 0: no limit");
    UPLOADS_PER_MINUTE = number("uploads_per_minute", "COUNT", 1, MILLION, "120",
        "Files that a user may begin to send in a minute; as many at once");
    UPLOADS_PER_USER = number("uploads_per_user", "COUNT", 1, 1_000, "4",
        "Files that one user sends at one time; one only while half of uploads_max are received");
    UPLOADS_MAX = number("uploads_max", "COUNT", 1, 10_000, "64", "Files that are received at one time");
    DOWNLOADS_PER_USER = number("downloads_per_user", "COUNT", 1, 10_000, "32",
        "Files, or parts of files, that are sent to one user at one time; previews do not count");
    UPLOAD_TIMEOUT_SECONDS = number("upload_timeout_seconds", "SECONDS", 1, DAY_SECONDS / 2, "3600",
        "Seconds for which the upload of one file may last");
    HASH_THREADS = number("hash_threads", "COUNT", 1, 64, "1", "Threads that hash passwords, 19 MiB each");
    HASH_QUEUE_MAX = number("hash_queue_max", "COUNT", 1, 100_000, "64",
        "Sign-ins that may wait for a thread, and sign-ins from known addresses likewise");
    REGISTRATION_QUEUE_MAX = number("registration_queue_max", "COUNT", 1, 100_000, "32",
        "Registrations that may wait for a thread");
    HASH_QUEUE_PER_ADDRESS = number("hash_queue_per_address", "COUNT", 1, 100_000, "16",
        "Sign-ins, and registrations, that may wait for a thread from one address (IPv6: 56 bits)");
}

const MILLION: u64 = 1_000_000;
const KIBIBYTE: u64 = 1_024;
const MEBIBYTE: u64 = 1_024 * KIBIBYTE;
const TEBIBYTE: u64 = 1_024 * 1_024 * MEBIBYTE;
const DAY_SECONDS: u64 = 86_400;
/// Browsers keep a cookie for at most 400 days.
const SESSION_DAYS_MAX: u64 = 365;

const fn setting(
    key: &'static str,
    value_name: &'static str,
    kind: Kind,
    default: &'static str,
    help: &'static str,
) -> Setting {
    Setting { key, value_name, default, help, kind, is_secret: false }
}

const fn text(
    key: &'static str,
    value_name: &'static str,
    default: &'static str,
    help: &'static str,
) -> Setting {
    setting(key, value_name, Kind::Text, default, help)
}

const fn path(
    key: &'static str,
    value_name: &'static str,
    default: &'static str,
    help: &'static str,
) -> Setting {
    setting(key, value_name, Kind::Path, default, help)
}

const fn number(
    key: &'static str,
    value_name: &'static str,
    least: u64,
    most: u64,
    default: &'static str,
    help: &'static str,
) -> Setting {
    setting(key, value_name, Kind::Number(least, most), default, help)
}

const fn bool(key: &'static str, default: &'static str, help: &'static str) -> Setting {
    setting(key, "BOOL", Kind::Bool, default, help)
}

const fn switch(key: &'static str, default: &'static str, help: &'static str) -> Setting {
    setting(key, "BOOL", Kind::Switch, default, help)
}

const fn one_of(
    key: &'static str,
    values: &'static [&'static str],
    default: &'static str,
    help: &'static str,
) -> Setting {
    setting(key, "NAME", Kind::OneOf(values), default, help)
}

impl Setting {
    /// Keeps the value out of `--help`.
    const fn secret(mut self) -> Self {
        self.is_secret = true;
        self
    }

    /// The flag without its dashes: `data-dir`.
    fn flag(&self) -> String {
        self.key.replace('_', "-")
    }

    /// The environment variable: `CHAT_DATA_DIR`.
    fn variable(&self) -> String {
        match self.key {
            // The name that hosting platforms use.
            "database_url" => "DATABASE_URL".to_owned(),
            key => format!("{PREFIX}{}", key.to_ascii_uppercase()),
        }
    }

    /// The values that the setting takes, where that is a closed set.
    fn range(&self) -> String {
        match self.kind {
            Kind::Text | Kind::Path => String::new(),
            Kind::Number(least, most) => format!("{least} to {most}"),
            Kind::Bool | Kind::Switch => "true or false".to_owned(),
            Kind::OneOf(values) => values.join(" or "),
        }
    }

    /// The flag of the command line, which also reads the environment variable.
    fn arg(&self) -> Arg {
        let range = match self.range() {
            range if range.is_empty() => range,
            range => format!(" [{range}]"),
        };
        let arg = Arg::new(self.key)
            // Made once in a process; clap keeps these names for its whole life.
            .long(&*self.flag().leak())
            .env(&*self.variable().leak())
            .value_name(self.value_name)
            .help(format!("{}{range} [default: {}]", self.help, self.default))
            .value_parser(clap::value_parser!(OsString))
            .hide_env_values(self.is_secret)
            .global(true);
        match self.kind {
            Kind::Switch => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
            _ => arg,
        }
    }
}

/// What the names of all environment variables but `DATABASE_URL` begin with.
const PREFIX: &str = "CHAT_";

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "docs/configuration.md";

    fn row(setting: &Setting) -> String {
        let Setting { key, default, help, .. } = setting;
        let key = if *key == "config" { String::new() } else { format!("`{key}`") };
        let (flag, variable, range) = (setting.flag(), setting.variable(), setting.range());
        format!("| `--{flag}` | `{variable}` | {key} | {default} | {range} | {help} |\n")
    }

    /// The documented table is made from the settings. To write it again:
    /// `UPDATE_DOCS=1 cargo test -p server --bin server settings`.
    #[test]
    fn every_setting_is_documented() {
        let mut table =
            "| flag | variable | key | default | range | meaning |\n|---|---|---|---|---|---|\n".to_owned();
        table.extend(ALL.iter().copied().map(row));
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(DOCUMENT);
        let document = std::fs::read_to_string(&path).unwrap();
        let (before, rest) = document.split_once("<!-- settings -->\n").unwrap();
        let (documented, after) = rest.split_once("<!-- end of settings -->").unwrap();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            let text = format!("{before}<!-- settings -->\n{table}<!-- end of settings -->{after}");
            std::fs::write(&path, text).unwrap();
        } else {
            assert!(
                documented == table,
                "{DOCUMENT} is out of date: UPDATE_DOCS=1 cargo test -p server --bin server settings"
            );
        }
    }

    /// What `docs/limits.md` says of a setting, `` `key`: number unit ``, is its default.
    #[test]
    fn the_limits_are_documented_with_their_defaults() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/limits.md");
        let document = std::fs::read_to_string(path).unwrap();
        let said = regex::Regex::new(r"`([a-z_0-9]+)`: ([0-9][0-9,]*)( KiB| MiB| GiB| hour)?").unwrap();
        let mut count = 0;
        for found in said.captures_iter(&document) {
            let Some(setting) = ALL.iter().find(|setting| setting.key == &found[1]) else {
                panic!("{} is no setting", &found[0])
            };
            let number: u64 = found[2].trim_end_matches(',').replace(',', "").parse().unwrap();
            let unit = match found.get(3).map(|unit| unit.as_str()) {
                Some(" KiB") => KIBIBYTE,
                Some(" MiB") => MEBIBYTE,
                Some(" GiB") => 1_024 * MEBIBYTE,
                Some(" hour") => 3_600,
                _ => 1,
            };
            // A rate has two numbers: the document names the burst, which is the first.
            let default = setting.default.split(',').next().unwrap();
            assert_eq!((number * unit).to_string(), default, "{}", &found[0]);
            count += 1;
        }
        assert!(count >= 50, "{count} numbers are found");
    }

    #[test]
    fn documented_reserved_names_are_those_of_the_library() {
        assert_eq!(RESERVED_NAMES.default, chat_core::ReservedNames::DEFAULT.join(","));
    }

    #[test]
    fn documented_default_numbers_are_in_their_range() {
        for setting in ALL {
            if let (Kind::Number(least, most), Ok(default)) = (setting.kind, setting.default.parse::<u64>()) {
                assert!((least..=most).contains(&default), "{}", setting.key);
            }
            assert!(!setting.help.contains('|') && !setting.help.ends_with('.'), "{}", setting.key);
        }
    }
}

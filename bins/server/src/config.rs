//! The configuration: checked settings, with defaults for the others.

mod texts;
#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "config/without_tls.rs"]
mod tls;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chat_auth::{OidcOptions, PasswordRule, PasswordsOptions, SigningSecret, TokenOptions};
use chat_core::{NoticeText, RateLimit, RoomCreation, parse_new_room_name, parse_room_title};
use chat_http::{
    Accent, BasePath, ConfiguredRoom, FilesLocation, FilesOptions, HttpOptions, PublicUrl, Registration,
    SecurityContact, ShardOptions, parse_welcome,
};
use chat_store::DatabaseUrl;
use tracing_subscriber::EnvFilter;

use crate::bus::BusUrl;
use crate::external_keys::KeysFrom;
use crate::oidc::OidcSettings;
use crate::settings::{self, Given, SettingError};
use crate::tls::TlsSource;

/// Everything that the server is started with.
pub(crate) struct Config {
    pub(crate) listen: String,
    /// Where `listen` came from, for errors.
    pub(crate) listen_origin: String,
    /// Where the metrics are served apart from everything else, and where that came from.
    pub(crate) metrics_listen: Option<(String, String)>,
    /// Where the certificate of TLS comes from. `None`: no TLS.
    pub(crate) tls: Option<TlsSource>,
    /// Where HTTP is redirected to HTTPS, and where that came from.
    pub(crate) http_listen: Option<(String, String)>,
    pub(crate) data_dir: PathBuf,
    /// Whether a Postgres database is migrated at the start.
    pub(crate) migrate: bool,
    pub(crate) database_url: DatabaseUrl,
    /// How long a starting server waits for a Postgres that cannot be reached.
    pub(crate) database_wait: Duration,
    /// The bus to the other servers on the database.
    pub(crate) bus: Option<BusUrl>,
    /// `None`: generated once and stored in the data folder.
    pub(crate) jwt_secret: Option<SigningSecret>,
    pub(crate) log_format: LogFormat,
    pub(crate) log_filter: EnvFilter,
    pub(crate) passwords: PasswordsOptions,
    pub(crate) tokens: TokenOptions,
    /// Where the public keys of another issuer are.
    pub(crate) external_keys: Option<KeysFrom>,
    /// The OpenID provider that signs users in.
    pub(crate) oidc: Option<OidcSettings>,
    pub(crate) http: HttpOptions,
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// Checks the settings, also against each other.
    pub(crate) fn new(given: &Given) -> Result<Self, SettingError> {
        let data_dir = given.path(&settings::DATA_DIR).unwrap_or_else(|| PathBuf::from("data"));
        let database_url = match given.text(&settings::DATABASE_URL)? {
            Some(url) => {
                DatabaseUrl::parse(url).map_err(|error| given.invalid(&settings::DATABASE_URL, error))?
            }
            None => DatabaseUrl::Sqlite(data_dir.join("chat.db")),
        };
        let bus = bus(given, &database_url)?;
        let jwt_secret = given.text(&settings::JWT_SECRET)?.map(SigningSecret::new).transpose();
        let jwt_secret = jwt_secret.map_err(|error| given.invalid(&settings::JWT_SECRET, error))?;
        let log_filter = EnvFilter::try_new(given.text(&settings::LOG)?.unwrap_or("info"));
        let log_filter = log_filter.map_err(|error| given.invalid(&settings::LOG, error))?;
        let log_format = match given.one_of(&settings::LOG_FORMAT)? {
            Some("json") => LogFormat::Json,
            _ => LogFormat::Human,
        };
        let mut http = http(given, &data_dir)?;
        if database_url == DatabaseUrl::Memory && given.text(&settings::FILES_URL)?.is_none() {
            // The next process would know nothing of these files.
            http.files.location = FilesLocation::Folder(data_dir.join("files-in-memory"));
            http.files.is_temporary = true;
        }
        let oidc = oidc(given, &http)?;
        http.passwords = given.bool(&settings::PASSWORDS)?.unwrap_or(true);
        let tokens = tokens(given)?;
        let external_keys = external_keys(given)?;
        let signs_in_otherwise =
            oidc.is_some() || http.sign_in_url.is_some() || tokens.accept_external || external_keys.is_some();
        if !http.passwords && !signs_in_otherwise {
            return Err(given.invalid(&settings::PASSWORDS, "leaves no way to sign in without oidc_issuer"));
        }
        let http_listen = given.text(&settings::HTTP_LISTEN)?;
        Ok(Self {
            tls: tls::tls(given, &data_dir, http.public_url.as_ref())?,
            http_listen: http_listen
                .map(|address| (address.to_owned(), given.origin(&settings::HTTP_LISTEN))),
            listen: given.text(&settings::LISTEN)?.unwrap_or("127.0.0.1:8080").to_owned(),
            listen_origin: given.origin(&settings::LISTEN),
            metrics_listen: given
                .text(&settings::METRICS_LISTEN)?
                .map(|listen| (listen.to_owned(), given.origin(&settings::METRICS_LISTEN))),
            migrate: given.bool(&settings::MIGRATE)?.unwrap_or(false),
            database_wait: seconds(given, &settings::DATABASE_WAIT_SECONDS)?.unwrap_or(DATABASE_WAIT),
            bus,
            jwt_secret,
            log_format,
            log_filter,
            passwords: passwords(given)?,
            tokens,
            external_keys,
            oidc,
            http,
            data_dir,
            database_url,
        })
    }
}

/// The file in the data folder whose time is that of the last backup.
pub(crate) const BACKUP_MARK: &str = "last-backup";

/// Longer than a Postgres on the same machine takes to start, also after a crash.
const DATABASE_WAIT: Duration = Duration::from_secs(60);

/// Anybody can name keys that are not known: the other program is asked no more often.
const JWKS_PAUSE: Duration = Duration::from_secs(60);

/// Long enough that users who come once a week stay signed in.
const SESSION_DAYS: u64 = 30;

fn passwords(given: &Given) -> Result<PasswordsOptions, SettingError> {
    let mut passwords = PasswordsOptions::default();
    set(&mut passwords.threads, given.number(&settings::HASH_THREADS)?);
    set(&mut passwords.queue_max, given.number(&settings::HASH_QUEUE_MAX)?);
    set(&mut passwords.registration_queue_max, given.number(&settings::REGISTRATION_QUEUE_MAX)?);
    set(&mut passwords.queue_of_one_max, given.number(&settings::HASH_QUEUE_PER_ADDRESS)?);
    Ok(passwords)
}

/// The bus to the other servers on the database.
fn bus(given: &Given, database_url: &DatabaseUrl) -> Result<Option<BusUrl>, SettingError> {
    let Some(url) = given.text(&settings::BUS)? else { return Ok(None) };
    let invalid = |message: String| given.invalid(&settings::BUS, message);
    let url = BusUrl::parse(url).map_err(|error| invalid(error.to_string()))?;
    match database_url {
        DatabaseUrl::Postgres(_) => Ok(Some(url)),
        _ => Err(invalid("needs a Postgres database_url, as other databases have one server".to_owned())),
    }
}

/// Where the public keys of another issuer are.
fn external_keys(given: &Given) -> Result<Option<KeysFrom>, SettingError> {
    let url = given.text(&settings::EXTERNAL_JWKS_URL)?;
    let pause = seconds(given, &settings::EXTERNAL_JWKS_PAUSE_SECONDS)?.unwrap_or(JWKS_PAUSE);
    match (given.path(&settings::EXTERNAL_PUBLIC_KEY_FILE), url) {
        (Some(_), Some(_)) => {
            Err(given.invalid(&settings::EXTERNAL_JWKS_URL, "excludes external_public_key_file"))
        }
        (Some(file), None) => Ok(Some(KeysFrom::File(file))),
        (None, Some(url)) if url.starts_with("https://") || url.starts_with("http://") => {
            Ok(Some(KeysFrom::Url { url: url.to_owned(), pause }))
        }
        (None, Some(_)) => {
            Err(given.invalid(&settings::EXTERNAL_JWKS_URL, "must begin with https:// or http://"))
        }
        (None, None) => Ok(None),
    }
}

/// The OpenID provider that signs users in.
fn oidc(given: &Given, http: &HttpOptions) -> Result<Option<OidcSettings>, SettingError> {
    let Some(issuer) = given.text(&settings::OIDC_ISSUER)? else {
        for setting in [
            &settings::OIDC_CLIENT_ID,
            &settings::OIDC_CLIENT_SECRET,
            &settings::OIDC_SCOPES,
            &settings::OIDC_NAME,
            &settings::OIDC_NAME_CLAIM,
        ] {
            if given.text(setting)?.is_some() {
                return Err(given.invalid(setting, "needs oidc_issuer, too"));
            }
        }
        return Ok(None);
    };
    let refused = |message: &str| given.invalid(&settings::OIDC_ISSUER, message);
    let host = texts::issuer_host(issuer).map_err(|message| refused(&message))?;
    if http.public_url.is_none() {
        return Err(refused("needs public_url, to which the provider sends browsers back"));
    }
    if http.sign_in_url.is_some() {
        return Err(refused("excludes sign_in_url"));
    }
    let client_id = given.text(&settings::OIDC_CLIENT_ID)?.filter(|id| !id.is_empty());
    let client_id = client_id.ok_or_else(|| refused("needs oidc_client_id, too"))?.to_owned();
    let client_secret = given.text(&settings::OIDC_CLIENT_SECRET)?.map(str::to_owned);
    if client_secret.as_ref().is_some_and(String::is_empty) {
        return Err(given.invalid(&settings::OIDC_CLIENT_SECRET, "must not be empty"));
    }
    let scopes = given.text(&settings::OIDC_SCOPES)?.unwrap_or("openid profile email").to_owned();
    if !scopes.split(' ').any(|scope| scope == "openid") {
        return Err(given.invalid(&settings::OIDC_SCOPES, "must have openid among them"));
    }
    let name = parsed(given, &settings::OIDC_NAME, |name| parse_room_title(name).map_err(|e| e.to_string()))?;
    let name_claim = given.text(&settings::OIDC_NAME_CLAIM)?.unwrap_or("preferred_username").to_owned();
    let options = OidcOptions { issuer: issuer.to_owned(), client_id, client_secret, scopes, name_claim };
    Ok(Some(OidcSettings { name: name.unwrap_or(host), options }))
}

fn tokens(given: &Given) -> Result<TokenOptions, SettingError> {
    let mut tokens = TokenOptions::default();
    set(&mut tokens.accept_external, given.bool(&settings::EXTERNAL_TOKENS)?);
    let days = given.number(&settings::SESSION_DAYS)?.unwrap_or(SESSION_DAYS);
    tokens.lifetime = Duration::from_millis(days * DAY_MS);
    tokens.external_issuer = given.text(&settings::EXTERNAL_ISSUER)?.map(str::to_owned);
    if let Some(issuer) = &tokens.external_issuer
        && (issuer.is_empty() || !(tokens.accept_external || external_keys(given)?.is_some()))
    {
        let message = "must not be empty, and external_tokens must be true, or a public key be given";
        return Err(given.invalid(&settings::EXTERNAL_ISSUER, message));
    }
    Ok(tokens)
}

/// The contact that push services are told: `None` if no setting names one.
fn push_contact(given: &Given, http: &HttpOptions) -> Result<Option<String>, SettingError> {
    if let Some(contact) = given.text(&settings::PUSH_CONTACT)? {
        let is_uri = ["mailto:", "https://"].iter().any(|start| {
            contact
                .strip_prefix(start)
                .is_some_and(|rest| !rest.is_empty() && rest.chars().all(|c| c.is_ascii_graphic()))
        });
        return if is_uri {
            Ok(Some(contact.to_owned()))
        } else {
            Err(given.invalid(&settings::PUSH_CONTACT, "must begin with mailto: or https://"))
        };
    }
    let url = http.public_url.as_ref().map(PublicUrl::origin).filter(|origin| origin.starts_with("https:"));
    let contact = http.security_contact.as_ref().map(SecurityContact::as_str);
    Ok(url.or(contact).map(str::to_owned))
}

fn http(given: &Given, data_dir: &Path) -> Result<HttpOptions, SettingError> {
    let mut http = HttpOptions::default();
    if let Some(url) = given.text(&settings::PUBLIC_URL)? {
        let url = PublicUrl::parse(url).map_err(|error| given.invalid(&settings::PUBLIC_URL, error))?;
        http.public_url = Some(url);
    }
    if let Some(path) = given.text(&settings::BASE_PATH)? {
        http.base_path = BasePath::parse(path).map_err(|error| given.invalid(&settings::BASE_PATH, error))?;
    }
    if let Some(url) = given.text(&settings::SIGN_IN_URL)? {
        let is_address = url.starts_with('/') || url.starts_with("https://") || url.starts_with("http://");
        if !is_address || url.starts_with("//") {
            let message = "must begin with https://, http:// or one /";
            return Err(given.invalid(&settings::SIGN_IN_URL, message));
        }
        http.sign_in_url = Some(url.to_owned());
    }
    if let Some(contact) = given.text(&settings::SECURITY_CONTACT)? {
        let contact = SecurityContact::parse(contact)
            .map_err(|error| given.invalid(&settings::SECURITY_CONTACT, error))?;
        http.security_contact = Some(contact);
    }
    set(&mut http.push.enabled, given.bool(&settings::PUSH)?);
    set(&mut http.push.delay, seconds(given, &settings::PUSH_DELAY_SECONDS)?);
    set(&mut http.push.requests_max, given.number(&settings::PUSH_REQUESTS_MAX)?);
    set(&mut http.push.user_requests_max, given.number(&settings::PUSH_REQUESTS_PER_USER)?);
    set(&mut http.push.timeout, seconds(given, &settings::PUSH_TIMEOUT_SECONDS)?);
    set(&mut http.outgoing_private, given.bool(&settings::OUTGOING_PRIVATE)?);
    let webhooks = &mut http.webhooks;
    let networks = parsed(given, &settings::WEBHOOK_PRIVATE_ADDRESSES, texts::networks)?;
    set(&mut webhooks.private_addresses, networks);
    set(&mut webhooks.timeout, seconds(given, &settings::WEBHOOK_TIMEOUT_SECONDS)?);
    set(&mut webhooks.retry_max, times(given, &settings::WEBHOOK_RETRY_HOURS, 60 * 60)?);
    set(&mut webhooks.off_after, times(given, &settings::WEBHOOK_OFF_DAYS, 24 * 60 * 60)?);
    let contact = push_contact(given, &http)?;
    set(&mut http.push.contact, contact);
    http.backup_mark = Some(data_dir.join(BACKUP_MARK));
    if let Some(title) = given.text(&settings::TITLE)? {
        http.title = parse_room_title(title).map_err(|error| given.invalid(&settings::TITLE, error))?;
    }
    if let Some(welcome) = given.text(&settings::WELCOME)? {
        http.welcome = parse_welcome(welcome).map_err(|error| given.invalid(&settings::WELCOME, error))?;
    }
    http.accent = given.one_of(&settings::ACCENT)?.and_then(Accent::named);
    let original_rooms = given.bool(&settings::ORIGINAL_ROOMS)?.unwrap_or(false);
    if original_rooms {
        http.rooms = ConfiguredRoom::original().into();
    }
    if let Some(rooms) = given.rooms() {
        if original_rooms {
            let message = "must be false where the file has [[rooms]]";
            return Err(given.invalid(&settings::ORIGINAL_ROOMS, message));
        }
        let room = |room: &settings::Room| {
            let name = parse_new_room_name(&room.name).map_err(|error| given.invalid_room(room, error))?;
            let title = parse_room_title(&room.title).map_err(|error| given.invalid_room(room, error))?;
            Ok(ConfiguredRoom { name, title })
        };
        http.rooms = rooms.iter().map(room).collect::<Result<_, _>>()?;
    }
    set(&mut http.uploads_dir, given.path(&settings::UPLOADS_DIR));
    set(&mut http.max_connections, given.number(&settings::MAX_CONNECTIONS)?);
    set(&mut http.header_timeout, seconds(given, &settings::HEADER_TIMEOUT_SECONDS)?);
    set(&mut http.body_timeout, seconds(given, &settings::BODY_TIMEOUT_SECONDS)?);
    set(&mut http.connections_per_address, given.number(&settings::CONNECTIONS_PER_ADDRESS)?);
    http.metrics_apart = given.text(&settings::METRICS_LISTEN)?.is_some();
    set(&mut http.avatar_max_bytes, given.number(&settings::AVATAR_MAX_BYTES)?);
    set(&mut http.picture_pixels_max, given.number(&settings::PICTURE_PIXELS_MAX)?);
    set(&mut http.picture_side_max, given.number(&settings::PICTURE_SIDE_MAX)?);
    set(&mut http.picture_memory_max, given.number(&settings::PICTURE_MEMORY_MAX_BYTES)?);
    set(&mut http.picture_threads, given.number(&settings::PICTURE_THREADS)?);
    set(&mut http.picture_queue_max, given.number(&settings::PICTURE_QUEUE_MAX)?);
    set(&mut http.registration, given.one_of(&settings::REGISTRATION)?.map(registration));
    let limits = &mut http.registration_limits;
    set(&mut limits.per_address, given.number(&settings::REGISTRATIONS_PER_ADDRESS)?);
    let minutes: Option<u64> = given.number(&settings::REGISTRATIONS_PER_ADDRESS_MINUTES)?;
    set(&mut limits.address_period, minutes.map(|minutes| Duration::from_secs(minutes * 60)));
    set(&mut limits.per_hour, given.number(&settings::REGISTRATIONS_PER_HOUR)?);
    limits.accounts_max = given.number(&settings::ACCOUNTS_MAX)?;
    set(&mut http.password_rule.min_chars, given.number(&settings::PASSWORD_MIN_CHARS)?);
    let common = given.one_of(&settings::COMMON_PASSWORDS)?;
    // An operator who takes shorter passwords takes simple ones.
    let is_short = http.password_rule.min_chars < PasswordRule::default().min_chars;
    http.password_rule.allow_common = common.map_or(is_short, |common| common == "allowed");
    set(&mut http.shards.hub.room_creation, given.one_of(&settings::ROOM_CREATION)?.map(room_creation));
    let notice = |text: &str| NoticeText::parse(text).map_err(|error| error.to_string());
    set(&mut http.shards.hub.joined_notice, parsed(given, &settings::NOTICE_JOINED, notice)?);
    set(&mut http.shards.hub.left_notice, parsed(given, &settings::NOTICE_LEFT, notice)?);
    set(&mut http.room_changes_per_minute, given.number(&settings::ROOM_CHANGES_PER_MINUTE)?);
    set(&mut http.searches_per_minute, given.number(&settings::SEARCHES_PER_MINUTE)?);
    set(&mut http.reports_per_minute, given.number(&settings::REPORTS_PER_MINUTE)?);
    set(&mut http.lists_per_minute, given.number(&settings::LISTS_PER_MINUTE)?);
    set(&mut http.socket_opens_per_minute, given.number(&settings::SOCKET_OPENS_PER_MINUTE)?);
    set(&mut http.reserved_names, parsed(given, &settings::RESERVED_NAMES, texts::reserved_names)?);
    set(&mut http.user_sessions_max, given.number(&settings::USER_SESSIONS_MAX)?);
    set(&mut http.oidc_exchanges_max, given.number(&settings::OIDC_EXCHANGES_MAX)?);
    set(&mut http.oidc_exchanges_per_address, given.number(&settings::OIDC_EXCHANGES_PER_ADDRESS)?);
    set(&mut http.sign_in_limits.from_address_max, given.number(&settings::ADDRESS_FAILURES_MAX)?);
    set(&mut http.sign_in_limits.of_account_max, given.number(&settings::ACCOUNT_FAILURES_MAX)?);
    set(&mut http.sign_in_limits.of_address_max, given.number(&settings::NETWORK_FAILURES_MAX)?);
    set(&mut http.sign_in_limits.attempts_max, given.number(&settings::NETWORK_SIGN_INS_MAX)?);
    set(&mut http.trusted_proxies, parsed(given, &settings::TRUSTED_PROXIES, texts::networks)?);
    set(&mut http.session_check_interval, seconds(given, &settings::SESSION_CHECK_SECONDS)?);

    http.retention.entries = given.number(&settings::RETENTION_ENTRIES)?;
    let days: Option<u64> = given.number(&settings::RETENTION_DAYS)?;
    http.retention.age_ms = days.map(|days| days * DAY_MS);
    set(&mut http.retention_interval, seconds(given, &settings::RETENTION_CHECK_SECONDS)?);
    shards(given, &mut http.shards)?;
    http.files = files(given, data_dir)?;
    Ok(http)
}

fn files(given: &Given, data_dir: &Path) -> Result<FilesOptions, SettingError> {
    let mut files = FilesOptions { location: files_location(given, data_dir)?, ..FilesOptions::default() };
    files.data_dir = data_dir.to_owned();
    set(&mut files.max_bytes, given.number(&settings::FILE_MAX_BYTES)?);
    if let Some(bytes) = given.number(&settings::USER_FILES_MAX_BYTES)? {
        files.user_bytes_max = Some(bytes);
    }
    files.bytes_max = given.number(&settings::FILES_MAX_BYTES)?;
    set(&mut files.disk_free_min_bytes, given.number(&settings::DISK_FREE_MIN_BYTES)?);
    set(&mut files.uploads_per_minute, given.number(&settings::UPLOADS_PER_MINUTE)?);
    set(&mut files.uploads_per_user, given.number(&settings::UPLOADS_PER_USER)?);
    set(&mut files.uploads_max, given.number(&settings::UPLOADS_MAX)?);
    set(&mut files.downloads_per_user, given.number(&settings::DOWNLOADS_PER_USER)?);
    set(&mut files.upload_timeout, seconds(given, &settings::UPLOAD_TIMEOUT_SECONDS)?);
    Ok(files)
}

fn files_location(given: &Given, data_dir: &Path) -> Result<FilesLocation, SettingError> {
    let mut location = match given.text(&settings::FILES_URL)? {
        Some(url) => FilesLocation::parse(url).map_err(|error| given.invalid(&settings::FILES_URL, error))?,
        None => FilesLocation::Folder(data_dir.join("files")),
    };
    let endpoint = given.text(&settings::FILES_S3_ENDPOINT)?;
    let region = given.text(&settings::FILES_S3_REGION)?;
    let id = given.text(&settings::FILES_S3_ACCESS_KEY_ID)?;
    let secret = given.text(&settings::FILES_S3_SECRET_ACCESS_KEY)?;
    let FilesLocation::S3(bucket) = &mut location else {
        let of_s3 = [
            (&settings::FILES_S3_ENDPOINT, endpoint),
            (&settings::FILES_S3_REGION, region),
            (&settings::FILES_S3_ACCESS_KEY_ID, id),
            (&settings::FILES_S3_SECRET_ACCESS_KEY, secret),
        ];
        return match of_s3.into_iter().find(|(_, value)| value.is_some()) {
            Some((setting, _)) => Err(given.invalid(setting, "needs a files_url that begins with s3://")),
            None => Ok(location),
        };
    };
    if endpoint.is_some_and(|url| !url.starts_with("http://") && !url.starts_with("https://")) {
        let message = "must look like https://s3.example.org or http://192.0.2.1:9000";
        return Err(given.invalid(&settings::FILES_S3_ENDPOINT, message));
    }
    bucket.endpoint = endpoint.map(str::to_owned);
    bucket.region = region.map(str::to_owned);
    bucket.credentials = match (id, secret) {
        (Some(id), Some(secret)) => Some((id.to_owned(), secret.to_owned())),
        (None, None) => None,
        (Some(_), None) => {
            let message = "needs files_s3_secret_access_key, too";
            return Err(given.invalid(&settings::FILES_S3_ACCESS_KEY_ID, message));
        }
        (None, Some(_)) => {
            let message = "needs files_s3_access_key_id, too";
            return Err(given.invalid(&settings::FILES_S3_SECRET_ACCESS_KEY, message));
        }
    };
    Ok(location)
}

fn shards(given: &Given, options: &mut ShardOptions) -> Result<(), SettingError> {
    let count: Option<usize> = given.number(&settings::SHARDS)?;
    set(&mut options.shards, count.and_then(NonZeroUsize::new));
    set(&mut options.outbox_max_bytes, given.number(&settings::OUTBOX_MAX_BYTES)?);
    let edit_seconds: Option<u64> = given.number(&settings::EDIT_SECONDS)?;
    options.hub.change_rules.edit_ms =
        edit_seconds.filter(|seconds| *seconds > 0).map(|seconds| seconds * 1000);
    set(&mut options.hub.change_rules.reactions_max, given.number(&settings::REACTIONS_MAX)?);
    set(&mut options.hub.user_clients_max, given.number(&settings::USER_CLIENTS_MAX)?);

    set(&mut options.message_max_bytes, given.number(&settings::MESSAGE_MAX_BYTES)?);
    set(&mut options.hub.text_max_chars, given.number(&settings::TEXT_MAX_CHARS)?);
    if options.hub.text_max_chars + FRAME_BYTES > options.message_max_bytes {
        let message = format!(
            "message_max_bytes must be at least text_max_chars + {FRAME_BYTES}, or the longest text does not fit"
        );
        return Err(given.conflict([&settings::TEXT_MAX_CHARS, &settings::MESSAGE_MAX_BYTES], message));
    }

    set(&mut options.ping_interval, seconds(given, &settings::PING_INTERVAL_SECONDS)?);
    set(&mut options.idle_timeout, seconds(given, &settings::IDLE_TIMEOUT_SECONDS)?);
    let header_timeout = seconds(given, &settings::FRAME_HEADER_TIMEOUT_SECONDS)?;
    set(&mut options.frame_header_timeout, header_timeout);
    if options.idle_timeout <= options.ping_interval {
        let message = "idle_timeout_seconds must be longer than ping_interval_seconds, or idle clients are never pinged";
        return Err(
            given.conflict([&settings::IDLE_TIMEOUT_SECONDS, &settings::PING_INTERVAL_SECONDS], message)
        );
    }

    if let Some(rate) = parsed(given, &settings::MESSAGE_RATE, texts::message_rate)? {
        options.hub.rate = rate;
        options.hub.frame_rate = frame_rate(options.hub.frame_rate, rate);
        options.hub.join_rate = options.hub.join_rate.filter(|_| rate.is_some());
    }
    set(&mut options.hub.join_rate, parsed(given, &settings::JOIN_RATE, texts::message_rate)?);
    set(&mut options.hub.history_rate, parsed(given, &settings::HISTORY_RATE, texts::message_rate)?);
    Ok(())
}

const DAY_MS: u64 = 86_400_000;
/// What a frame has besides its text: less than 1 KiB with the longest names.
const FRAME_BYTES: usize = 1024;

fn set<T>(option: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *option = given;
    }
}

fn seconds(given: &Given, setting: &settings::Setting) -> Result<Option<Duration>, SettingError> {
    Ok(given.number(setting)?.map(Duration::from_secs))
}

/// A setting whose unit has so many seconds.
fn times(given: &Given, setting: &settings::Setting, seconds: u64) -> Result<Option<Duration>, SettingError> {
    Ok(given.number(setting)?.map(|number: u64| Duration::from_secs(number * seconds)))
}

/// A setting whose text has a form of its own.
fn parsed<T>(
    given: &Given,
    setting: &settings::Setting,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Option<T>, SettingError> {
    let Some(text) = given.text(setting)? else { return Ok(None) };
    parse(text).map(Some).map_err(|message| given.invalid(setting, message))
}

fn registration(name: &str) -> Registration {
    match name {
        "closed" => Registration::Closed,
        "invite" => Registration::Invite,
        _ => Registration::Open,
    }
}

fn room_creation(name: &str) -> RoomCreation {
    match name {
        "administrators" => RoomCreation::Administrators,
        _ => RoomCreation::Everybody,
    }
}

/// The limit on frames of all kinds: each message is one, and the frames that
/// accompany it must not slow it down.
fn frame_rate(usual: Option<RateLimit>, messages: Option<RateLimit>) -> Option<RateLimit> {
    let (usual, messages) = (usual?, messages?);
    Some(RateLimit {
        burst: usual.burst.max(messages.burst.saturating_mul(2)),
        per_second: usual.per_second.max(messages.per_second.saturating_mul(2)),
    })
}

#[cfg(test)]
mod tests {
    use chat_core::{HubOptions, Username};
    use chat_http::RegistrationLimits;

    use super::*;

    fn check(toml: &str) -> Result<Config, SettingError> {
        Config::new(&Given::of_file(toml)?)
    }

    const OIDC_WITHOUT_ID: &str =
        "public_url = \"https://chat.example\"\noidc_issuer = \"https://id.example\"";
    const OIDC_WITHOUT_TLS: &str = "public_url = \"https://chat.example\"
        oidc_issuer = \"http://id.example\"\noidc_client_id = \"chat\"";
    const OIDC_WITHOUT_OPENID: &str = "public_url = \"https://chat.example\"
        oidc_issuer = \"https://id.example\"\noidc_client_id = \"chat\"\noidc_scopes = \"profile\"";
    const OIDC_WITH_SIGN_IN_URL: &str = "public_url = \"https://chat.example\"\nsign_in_url = \"/in\"
        oidc_issuer = \"https://id.example\"\noidc_client_id = \"chat\"";

    #[test]
    fn an_openid_provider_has_an_issuer_and_an_id() {
        assert!(check("").unwrap().oidc.is_none());
        let given = |more: &str| {
            let toml = format!(
                "public_url = \"https://chat.example\"\noidc_issuer = \"https://id.example:8443/realms/a/\"
                 oidc_client_id = \"chat\"\n{more}"
            );
            check(&toml).unwrap()
        };
        let usual = given("").oidc.unwrap();
        assert_eq!(usual.name, "id.example");
        assert_eq!(usual.options.issuer, "https://id.example:8443/realms/a/");
        assert_eq!(usual.options.scopes, "openid profile email");
        assert_eq!(usual.options.name_claim, "preferred_username");
        assert_eq!(usual.options.client_secret, None);
        let chosen = given("oidc_client_secret = \"x\"\noidc_name = \"Work\"\npasswords = false");
        assert!(!chosen.http.passwords);
        let oidc = chosen.oidc.unwrap();
        assert_eq!((oidc.name.as_str(), oidc.options.client_secret.as_deref()), ("Work", Some("x")));
        assert!(check(&OIDC_WITHOUT_TLS.replace("http://id.example", "http://127.0.0.1:9000")).is_ok());
    }

    #[test]
    fn the_defaults_are_a_small_server() {
        let config = check("").unwrap();
        assert_eq!(config.listen, "127.0.0.1:8080");
        assert_eq!(config.database_url, DatabaseUrl::Sqlite(PathBuf::from("data/chat.db")));
        assert_eq!(config.http.uploads_dir, PathBuf::from("uploads"));
        assert_eq!(config.http.rooms, ConfiguredRoom::new_server());
    }

    #[test]
    fn files_are_temporary_with_a_database_in_memory() {
        let place = |toml: &str| {
            let files = check(toml).unwrap().http.files;
            (files.location.to_string(), files.is_temporary)
        };
        let folder = |path: &str| FilesLocation::Folder(PathBuf::from(path)).to_string();
        assert_eq!(place(""), (folder("data/files"), false));
        assert_eq!(place("database_url = 'memory:'"), (folder("data/files-in-memory"), true));
        assert_eq!(place("database_url = 'memory:'\nfiles_url = 'a'"), (folder("a"), false));
    }

    #[test]
    fn rooms_are_those_of_the_file_or_of_the_original() {
        let rooms = |toml: &str| check(toml).map(|config| config.http.rooms);
        assert_eq!(rooms("original_rooms = true").unwrap(), ConfiguredRoom::original());
        let own = rooms("[[rooms]]\nname = \"a\"\ntitle = \"  A\"").unwrap();
        assert_eq!((own.len(), own[0].name.as_str(), &*own[0].title), (1, "a", "A"));
        assert_eq!(rooms("rooms = []").unwrap(), []);
        assert_eq!(check("").unwrap().http.shards.hub.room_creation, RoomCreation::Everybody);
        let config = check("room_creation = \"administrators\"").unwrap();
        assert_eq!(config.http.shards.hub.room_creation, RoomCreation::Administrators);
    }

    #[test]
    fn a_wrong_setting_is_named() {
        for (toml, setting) in [
            ("shards = 0", "shards"),
            ("shards = 65", "shards"),
            ("message_rate = \"fast\"", "message_rate"),
            ("message_rate = \"0,1\"", "message_rate"),
            ("ping_interval_seconds = 0", "ping_interval_seconds"),
            ("ping_interval_seconds = 120", "ping_interval_seconds"),
            ("public_url = \"chat\"", "public_url"),
            ("oidc_client_id = \"chat\"", "oidc_client_id"),
            ("oidc_scopes = \"openid\"", "oidc_scopes"),
            ("oidc_issuer = \"https://id.example\"\noidc_client_id = \"chat\"", "oidc_issuer"),
            (OIDC_WITHOUT_ID, "oidc_issuer"),
            ("bus = \"nats://127.0.0.1:4222\"", "bus"),
            ("database_url = \"postgres://a@b/c\"\nbus = \"http://a\"", "bus"),
            (OIDC_WITHOUT_TLS, "oidc_issuer"),
            (OIDC_WITHOUT_OPENID, "oidc_scopes"),
            (OIDC_WITH_SIGN_IN_URL, "oidc_issuer"),
            ("passwords = false", "passwords"),
            ("session_check_seconds = 0", "session_check_seconds"),
            ("session_days = 0", "session_days"),
            ("address_failures_max = 0", "address_failures_max"),
            ("account_failures_max = 0", "account_failures_max"),
            ("network_failures_max = 0", "network_failures_max"),
            ("network_sign_ins_max = 0", "network_sign_ins_max"),
            ("registrations_per_address = 0", "registrations_per_address"),
            ("registrations_per_address_minutes = 0", "registrations_per_address_minutes"),
            ("registrations_per_hour = 0", "registrations_per_hour"),
            ("accounts_max = 0", "accounts_max"),
            ("connections_per_address = 0", "connections_per_address"),
            ("registration_queue_max = 0", "registration_queue_max"),
            ("hash_queue_per_address = 0", "hash_queue_per_address"),
            ("common_passwords = \"some\"", "common_passwords"),
            ("trusted_proxies = \"proxy.example\"", "trusted_proxies"),
            ("trusted_proxies = \"10.0.0.0/33\"", "trusted_proxies"),
            ("session_days = 366", "session_days"),
            ("retention_entries = 0", "retention_entries"),
            ("retention_days = 0", "retention_days"),
            ("retention_check_seconds = 0", "retention_check_seconds"),
            ("external_issuer = \"host\"", "external_issuer"),
            ("external_jwks_pause_seconds = 0", "external_jwks_pause_seconds"),
            ("external_tokens = true\nexternal_issuer = \"\"", "external_issuer"),
            ("database_url = \"mysql://x\"", "database_url"),
            ("text_max_chars = 0", "text_max_chars"),
            ("picture_threads = 0", "picture_threads"),
            ("picture_side_max = 0", "picture_side_max"),
            ("user_clients_max = 0", "user_clients_max"),
            ("reserved_names = \"admin,a name that is far too long\"", "reserved_names"),
            ("outbox_max_bytes = 3000", "outbox_max_bytes"),
            ("message_max_bytes = 99999999", "message_max_bytes"),
            ("message_max_bytes = 10", "message_max_bytes"),
            ("message_max_bytes = 5000", "message_max_bytes"),
            ("text_max_chars = 65000", "text_max_chars"),
            ("avatar_max_bytes = 10", "avatar_max_bytes"),
            ("max_connections = 9999999", "max_connections"),
            ("picture_queue_max = 10001", "picture_queue_max"),
            ("retention_days = -1", "retention_days"),
            ("tls_certificate = \"a\"", "tls_certificate"),
            ("tls_key = \"a\"", "tls_key"),
            ("http_listen = \"127.0.0.1:80\"", "http_listen"),
            ("tls_certificate = \"a\"\ntls_key = \"b\"\npublic_url = \"http://a\"", "public_url"),
            ("acme_domains = \"a.example\"", "acme_domains"),
            ("acme_email = \"a@a.example\"", "acme_email"),
            ("acme_directory = \"https://a.example\"", "acme_directory"),
            ("acme_root = \"a\"", "acme_root"),
            ("http_listen = \"a:80\"\nacme_domains = \"a.example,*.a.example\"", "acme_domains"),
            ("http_listen = \"a:80\"\nacme_domains = \"192.0.2.1\"", "acme_domains"),
            ("http_listen = \"a:80\"\nacme_domains = \"a.example,\"", "acme_domains"),
            ("http_listen = \"a:80\"\nacme_domains = \"a\"\nacme_email = \"a\"", "acme_email"),
            ("http_listen = \"a:80\"\nacme_domains = \"a\"\nacme_directory = \"http://a\"", "acme_directory"),
            (
                "http_listen = \"a:80\"\nacme_domains = \"a\"\ntls_certificate = \"a\"\ntls_key = \"b\"",
                "acme_domains",
            ),
            ("database_wait_seconds = 86401", "database_wait_seconds"),
            ("log_format = \"xml\"", "log_format"),
            ("registration = \"perhaps\"", "registration"),
            ("external_tokens = \"yes\"", "external_tokens"),
            ("rooms = [{ name = \"a\\nb\", title = \"x\" }]", "rooms"),
            ("rooms = [{ name = \"~a\", title = \"x\" }]", "rooms"),
            ("rooms = [{ name = \"a\", title = \" \" }]", "rooms"),
            ("original_rooms = true\n[[rooms]]\nname = \"a\"\ntitle = \"x\"", "original_rooms"),
            ("room_creation = \"nobody\"", "room_creation"),
            ("notice_joined = \" \"", "notice_joined"),
            ("notice_left = \"a\\nb\"", "notice_left"),
            ("edit_seconds = -1", "edit_seconds"),
            ("edit_seconds = 9999999999", "edit_seconds"),
            ("reactions_max = 0", "reactions_max"),
            ("reactions_max = 51", "reactions_max"),
            ("password_min_chars = 0", "password_min_chars"),
            ("password_min_chars = 129", "password_min_chars"),
            ("title = \" \"", "title"),
            ("welcome = \"a\\u202Eb\"", "welcome"),
            ("accent = \"beige\"", "accent"),
            ("title = \"a\\nb\"", "title"),
            ("security_contact = \"somebody\"", "security_contact"),
            ("security_contact = \"https://\"", "security_contact"),
            ("security_contact = \"a@example.org\\nContact: b@example.org\"", "security_contact"),
            ("files_url = \"ftp://a\"", "files_url"),
            ("file_max_bytes = 0", "file_max_bytes"),
            ("upload_timeout_seconds = 43201", "upload_timeout_seconds"),
            ("files_s3_region = \"eu-west-1\"", "files_s3_region"),
            ("files_url = \"s3://chat\"\nfiles_s3_endpoint = \"s3.example.org\"", "files_s3_endpoint"),
            ("files_url = \"s3://chat\"\nfiles_s3_access_key_id = \"id\"", "files_s3_access_key_id"),
            ("files_url = \"s3://chat\"\nfiles_s3_secret_access_key = \"x\"", "files_s3_secret_access_key"),
        ] {
            let error = check(toml).err().expect(toml).to_string();
            assert!(error.starts_with(&format!("{setting} in chat.toml, line ")), "{toml}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn a_chat_has_a_title_and_a_rule_for_new_passwords() {
        let http = check("").unwrap().http;
        assert_eq!((&*http.title, http.password_rule.min_chars), ("Chat", 8));
        let http = check("title = \" Наш чат \"\npassword_min_chars = 1").unwrap().http;
        assert_eq!((&*http.title, http.password_rule.min_chars), ("Наш чат", 1));
        let http = check("welcome = \"  Заходите\\nи пишите \"\naccent = \"teal\"").unwrap().http;
        assert_eq!((&*http.welcome, http.accent), ("Заходите\nи пишите", Some(Accent::Teal)));
    }

    #[test]
    fn floods_are_limited_as_is_set() {
        let config = check(
            "network_failures_max = 5\nnetwork_sign_ins_max = 6\nregistrations_per_address = 7
             registrations_per_address_minutes = 8\nregistrations_per_hour = 9\naccounts_max = 10
             connections_per_address = 11\nhash_queue_max = 12\nregistration_queue_max = 13
             hash_queue_per_address = 14\ncommon_passwords = \"allowed\"\nmetrics_listen = \"[::1]:9\"",
        )
        .unwrap();
        let http = &config.http;
        assert_eq!((http.sign_in_limits.of_address_max, http.sign_in_limits.attempts_max), (5, 6));
        let limits = RegistrationLimits {
            per_address: 7,
            address_period: Duration::from_secs(480),
            per_hour: 9,
            accounts_max: Some(10),
        };
        assert_eq!((&http.registration_limits, http.connections_per_address), (&limits, 11));
        let passwords = &config.passwords;
        assert_eq!((passwords.queue_max, passwords.registration_queue_max), (12, 13));
        assert_eq!((passwords.queue_of_one_max, http.password_rule.allow_common), (14, true));
        assert!(http.metrics_apart && config.metrics_listen.is_some_and(|(listen, _)| listen == "[::1]:9"));
        // What the table of settings says.
        let config = check("").unwrap();
        let http = &config.http;
        assert_eq!((http.sign_in_limits.of_address_max, http.sign_in_limits.attempts_max), (50, 3_000));
        let limits = RegistrationLimits {
            per_address: 100,
            address_period: Duration::from_secs(3_600),
            per_hour: 1_000,
            accounts_max: None,
        };
        assert_eq!((&http.registration_limits, http.connections_per_address), (&limits, 1_500));
        let passwords = &config.passwords;
        assert_eq!((passwords.queue_max, passwords.registration_queue_max), (64, 32));
        assert_eq!((passwords.queue_of_one_max, http.password_rule.allow_common), (16, false));
        for (settings, allowed) in [
            ("password_min_chars = 1", true),
            ("password_min_chars = 1\ncommon_passwords = \"refused\"", false),
        ] {
            assert_eq!(check(settings).unwrap().http.password_rule.allow_common, allowed, "{settings}");
        }
        assert!(!http.metrics_apart && config.metrics_listen.is_none());
    }

    #[test]
    fn files_are_kept_in_a_folder_or_in_a_bucket() {
        let files = |toml: &str| check(toml).unwrap().http.files;
        let default = files("data_dir = \"/srv/chat\"");
        assert_eq!(default.location, FilesLocation::Folder(PathBuf::from("/srv/chat/files")));
        assert_eq!((default.max_bytes, default.bytes_max), (25 << 20, None));
        let own = files(
            "files_url = \"s3://chat/files\"\nfiles_s3_endpoint = \"http://127.0.0.1:9000\"
             files_s3_access_key_id = \"id\"\nfiles_s3_secret_access_key = \"secret\"
             user_files_max_bytes = 5\nfiles_max_bytes = 6\ndisk_free_min_bytes = 0",
        );
        let FilesLocation::S3(bucket) = own.location else { panic!("not in a bucket") };
        assert_eq!((&*bucket.bucket, &*bucket.prefix), ("chat", "files"));
        assert_eq!(bucket.credentials, Some(("id".to_owned(), "secret".to_owned())));
        assert_eq!((own.user_bytes_max, own.bytes_max), (Some(5), Some(6)));
        assert_eq!(own.disk_free_min_bytes, 0);
    }

    #[test]
    fn all_messages_are_kept_by_default() {
        assert!(check("").unwrap().http.retention.keeps_all());
        let http = check("retention_entries = 5\nretention_days = 7").unwrap().http;
        assert_eq!((http.retention.entries, http.retention.age_ms), (Some(5), Some(604_800_000)));
    }

    #[test]
    fn messages_are_edited_for_ever_or_for_as_long_as_is_set() {
        let rules = |toml: &str| check(toml).unwrap().http.shards.hub.change_rules;
        assert_eq!((rules("").edit_ms, rules("").reactions_max), (None, 20));
        assert_eq!(rules("edit_seconds = 0").edit_ms, None);
        let rules = rules("edit_seconds = 900\nreactions_max = 5");
        assert_eq!((rules.edit_ms, rules.reactions_max), (Some(900_000), 5));
    }

    #[test]
    fn sessions_last_as_long_as_is_set() {
        assert_eq!(check("").unwrap().tokens.lifetime, Duration::from_secs(2_592_000));
        assert_eq!(check("session_days = 1").unwrap().tokens.lifetime, Duration::from_secs(86_400));
    }

    #[test]
    fn proxies_are_addresses_or_networks() {
        let http = check("trusted_proxies = \"127.0.0.1, 10.0.0.0/8, ::1\"").unwrap().http;
        let proxies: Vec<_> = http.trusted_proxies.iter().map(ToString::to_string).collect();
        assert_eq!(proxies, ["127.0.0.1/32", "10.0.0.0/8", "::1/128"]);
        assert!(check("").unwrap().http.trusted_proxies.is_empty());
    }

    #[test]
    fn external_tokens_are_accepted_only_if_that_is_set() {
        assert!(!check("").unwrap().tokens.accept_external);
        assert!(check("external_tokens = true").unwrap().tokens.accept_external);
        let tokens = check("external_tokens = true\nexternal_issuer = \"host\"").unwrap().tokens;
        assert_eq!(tokens.external_issuer.as_deref(), Some("host"));
    }

    #[test]
    fn what_a_user_reads_has_rates() {
        let http = check("lists_per_minute = 7\njoin_rate = \"9,8\"\nhistory_rate = \"off\"").unwrap().http;
        let hub = &http.shards.hub;
        assert_eq!((http.lists_per_minute, hub.history_rate), (7, None));
        assert_eq!(hub.join_rate, Some(RateLimit { burst: 9, per_second: 8 }));
    }

    #[test]
    fn names_can_be_reserved_and_pictures_bounded() {
        let reserved = |toml: &str, name: &str| {
            let name = Username::known(name).unwrap();
            check(toml).unwrap().http.reserved_names.covers(&name)
        };
        assert!(reserved("", "Admin") && reserved("", "rооt") && !reserved("", "alice"));
        let own = "reserved_names = \" Хозяин, bot \"";
        assert!(reserved(own, "ХОЗЯИН") && reserved(own, "bot") && !reserved(own, "admin"));
        assert!(!reserved("reserved_names = \"\"", "admin"));

        let limits = "picture_pixels_max = 2000\npicture_side_max = 50\npicture_memory_max_bytes = 3000000
            picture_threads = 4\npicture_queue_max = 0\nuser_clients_max = 6\nmigrate = true";
        let config = check(limits).unwrap();
        let http = &config.http;
        assert_eq!(
            (http.picture_pixels_max, http.picture_side_max, http.picture_memory_max),
            (2000, 50, 3_000_000)
        );
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

    #[test]
    fn the_ranges_fit_the_defaults_of_the_libraries() {
        let hub = HubOptions::default();
        assert!(check(&format!("outbox_max_bytes = {}", 2 * hub.page_bytes)).is_ok());
        assert!(check(&format!("outbox_max_bytes = {}", 2 * hub.page_bytes - 1)).is_err());
        assert_eq!(check("").unwrap().database_wait, Duration::from_secs(60));
        assert_eq!(check("database_wait_seconds = 0").unwrap().database_wait, Duration::ZERO);
    }
}

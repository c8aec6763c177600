//! The errors of requests, and their translation to HTTP, which is done here only.

use std::io;
use std::sync::Arc;

use chat_auth::{PasswordError, PasswordsError, SignInLimit, SignInRefused, TokenError};
use chat_core::{
    ChangeRefused, EmojiError, FileRefused, NewRoomNameError, RoomNameError, RoomTextError,
    SearchedWordsError, UsernameError,
};
use chat_files::FilesError;
use chat_shard::{ChangeError, PostError, causes};
use chat_store::StoreError;
use hyper::header::{
    ALLOW, CONNECTION, CONTENT_RANGE, HeaderName, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::answer::{self, Body};
use crate::avatar::AvatarError;
use crate::body::{BodyError, BoxError};
use crate::bots::BotRefused;
use crate::files::DiskLow;

/// Why a request is refused or fails. The sentences are shown to people; sources are
/// only logged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("the request has no Host, or more than one")]
    Host,
    #[error("not found")]
    NotFound,
    #[error("method not allowed")]
    Method { allow: String },
    #[error("the request comes from another site")]
    ForeignOrigin,

    #[error("invalid json")]
    InvalidJson,
    #[error(transparent)]
    Body(#[from] BodyError),

    #[error("missing auth cookie")]
    MissingToken,
    #[error("invalid token")]
    InvalidToken(#[source] Option<TokenError>),
    #[error("invalid credentials")]
    InvalidCredentials,
    #[error("too many failed sign-ins, please try again later")]
    TooManyFailures { retry_after_seconds: u64 },
    #[error("too many sign-ins, please try again later")]
    TooManySignIns { retry_after_seconds: u64 },
    #[error("too many accounts were created, please try again later")]
    TooManyRegistrations {
        /// The name of the limit, as in the settings.
        limit: &'static str,
        retry_after_seconds: u64,
    },
    #[error("this chat has as many accounts as it may have: ask whoever runs this chat")]
    TooManyAccounts,
    #[error("too many changes of rooms, please try again later")]
    TooManyChanges { retry_after_seconds: u64 },
    #[error("too many searches, please try again later")]
    TooManySearches { retry_after_seconds: u64 },
    #[error("too many requests for lists, please try again later")]
    TooManyLists { retry_after_seconds: u64 },
    #[error("too many reports, please try again later")]
    ReportsTooOften { retry_after_seconds: u64 },
    #[error("too many files, please try again later")]
    UploadsTooOften { retry_after_seconds: u64 },
    #[error("too many connections, please try again later")]
    TooManySocketOpens { retry_after_seconds: u64 },
    #[error("too many subscriptions, please try again later")]
    PushesTooOften { retry_after_seconds: u64 },
    #[error("notifications need a session on this server: sign in by password")]
    NoSession,
    #[error("the address of the push service is no https address on the internet")]
    PushEndpoint,
    #[error("the keys of the browser are damaged")]
    PushKeys,
    #[error("user not found")]
    UserNotFound,
    #[error("session not found")]
    SessionNotFound,

    #[error("username and password are required")]
    CredentialsRequired,
    #[error(transparent)]
    Username(UsernameError),
    #[error(transparent)]
    Password(PasswordError),
    #[error("the form must be sent as multipart/form-data")]
    NotMultipart,
    #[error("the form is damaged")]
    Form(#[source] multer::Error),
    #[error("the form has too many fields")]
    TooManyFields,
    #[error("the form has the field {0} twice")]
    FieldTwice(&'static str),
    #[error("the field {0} is not UTF-8 text")]
    FieldNotText(&'static str),
    #[error(transparent)]
    Avatar(AvatarError),
    #[error("a picture is required in the field {0}")]
    PictureRequired(&'static str),

    #[error(transparent)]
    NewPassword(PasswordError),
    #[error("the current password is wrong")]
    WrongPassword,
    #[error("you are signed in by another service: there is no password to change here")]
    NoPassword,

    #[error("the query is not well encoded")]
    QueryEncoding,
    #[error("limit must be a number from 1 to {max}")]
    Limit { max: usize },
    #[error("name and q exclude each other")]
    NameWithSearch,
    #[error("at most {max} names at once")]
    TooManyNames { max: usize },
    #[error("after is not the next of an earlier page")]
    After,
    #[error("before is not the next of an earlier page")]
    Before,
    #[error(transparent)]
    SearchedWords(#[from] SearchedWordsError),
    #[error("room and with exclude each other")]
    RoomAndWith,
    #[error("the file needs a name, as in ?name=cat.png")]
    FileName,
    #[error("the file is too large (max {max_bytes} bytes)")]
    FileTooLarge { max_bytes: u64 },
    #[error("too many files at once, please wait until one of them has arrived")]
    TooManyUploads,
    #[error("too many files at once, please wait until you have one of them")]
    TooManyDownloads,
    #[error("{}", quota_sentence(*.0))]
    FileQuota(FileRefused),
    #[error("the disk of the server is almost full, please tell whoever runs this chat")]
    DiskLow,
    #[error("there is no such file")]
    FileNotFound,
    #[error("the file ends before this range")]
    Range { size: u64 },
    #[error("the server cannot reach its files, please try again in a moment")]
    Files(#[source] FilesError),
    #[error("either room or with is needed")]
    RoomOrWith,
    #[error("seq must be the number of a message")]
    Seq,
    #[error(transparent)]
    Emoji(EmojiError),
    #[error("there is no such message")]
    MessageNotFound,

    #[error(transparent)]
    Change(#[from] ChangeRefused),
    #[error("only members may see this room")]
    NotMember,
    #[error("you may not join this room")]
    JoinRefused,
    #[error("the server cannot find out whether you may join this room, please try again in a moment")]
    HookSilent,
    #[error("only administrators create rooms here")]
    RoomCreation,
    #[error(transparent)]
    NewRoomName(#[from] NewRoomNameError),
    #[error(transparent)]
    RoomText(#[from] RoomTextError),
    #[error("the name of a closed room is made by the server")]
    NameOfClosedRoom,
    #[error("at most {max} members at once")]
    TooManyMembers { max: usize },

    #[error("only administrators may do this")]
    NotAdministrator,
    #[error("this link or code is not valid (any more)")]
    SecretNotFound,
    #[error("this account has no password here: another server signs the user in")]
    NoPasswordHere,
    #[error("an administrator cannot be banned: take the role first")]
    BanOfAdministrator,
    #[error("this account is banned here")]
    AccountBanned,
    #[error("a banned user cannot become an administrator")]
    Banned,
    #[error("the last administrator keeps the role: appoint another one first")]
    LastAdministrator,
    #[error("the welcome is too long, or has characters that control the text around it")]
    Welcome,
    #[error("an invitation can be used 1 to {max} times")]
    InviteUses { max: u64 },
    #[error("an invitation lasts 1 to {max} days")]
    InviteDays { max: u64 },
    #[error("you have too many invitations that can be used: withdraw some first")]
    TooManyInvites,
    #[error("an invitation is needed to register here")]
    InviteRequired,
    #[error("the reason is too long (max {max} characters)")]
    ReasonTooLong { max: usize },
    #[error("the reason has characters that control the text around it")]
    Reason,
    #[error("a reason is needed")]
    ReasonRequired,
    #[error("state must be open or done")]
    ReportState,
    #[error("you have too many open reports: please wait until somebody has dealt with them")]
    TooManyReports,
    #[error("there is no such report")]
    ReportNotFound,

    #[error(transparent)]
    Post(PostError),
    #[error("Idempotency-Key must have 1 to 64 characters of ASCII")]
    IdempotencyKey,
    #[error("after and before exclude each other")]
    AfterAndBefore,
    #[error("this token is not for this room")]
    RoomOfBot,
    #[error(transparent)]
    Bot(BotRefused),

    #[error(transparent)]
    Room(#[from] RoomNameError),
    #[error("the room's name is not well encoded")]
    RoomEncoding,
    #[error("this address speaks WebSocket: {0}")]
    Handshake(&'static str),
    #[error("unknown subprotocol")]
    UnknownSubprotocol,
    #[error("only version 13 of WebSocket is spoken here")]
    WebSocketVersion,

    #[error("too many at once, please try again in a moment")]
    Busy,
    #[error("the server is stopping, please try again in a moment")]
    Stopping,
    #[error("the server cannot reach its store, please try again in a moment")]
    Store(#[source] Arc<StoreError>),
    #[error("the server cannot reach its store, please try again in a moment")]
    StoreSilent,
    #[error("the clock of the server is wrong, please try again in a moment")]
    ClockFarOff,
    #[error("the server cannot find out who you are, please try again in a moment")]
    Identity(#[source] BoxError),
    #[error("something went wrong on the server")]
    File(#[source] io::Error),
    #[error("something went wrong on the server")]
    Hash(#[source] PasswordsError),
    #[error("something went wrong on the server")]
    Task(#[source] tokio::task::JoinError),
    #[error("registration is closed here: ask whoever runs this chat for an account")]
    RegistrationClosed,
    #[error("username already exists")]
    NameTaken,
    #[error("username looks too much like an existing one, please take another")]
    NameConfusable,
    #[error("username is reserved, please take another")]
    NameReserved,
}

/// The body of every response with an error.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Refused {
    /// A sentence for a person.
    pub(crate) error: String,
}

impl HttpError {
    /// The response for the client.
    pub(crate) fn into_response(self) -> Response<Body> {
        let status = self.status();
        // Failures of the store are logged by `StoreHealth`.
        let is_expected = matches!(
            self,
            Self::Busy
                | Self::Stopping
                | Self::Store(_)
                | Self::StoreSilent
                | Self::ClockFarOff
                | Self::Post(_)
                | Self::FileQuota(_)
                | Self::DiskLow
        );
        if status.is_server_error() && !is_expected {
            tracing::error!(error = %causes(&self), "request failed");
        } else {
            tracing::debug!(error = %causes(&self), status = status.as_u16(), "request refused");
        }
        let mut response = answer::json(status, &Refused { error: self.to_string() });
        for (name, value) in self.headers() {
            response.headers_mut().insert(name, value);
        }
        response
    }

    /// The limit that refuses the request, by its setting, where it was not counted before.
    pub(crate) fn limit(&self) -> Option<&'static str> {
        match self {
            Self::TooManyChanges { .. } => Some("room_changes_per_minute"),
            Self::TooManySearches { .. } => Some("searches_per_minute"),
            Self::ReportsTooOften { .. } => Some("reports_per_minute"),
            Self::TooManySocketOpens { .. } => Some("socket_opens_per_minute"),
            Self::UploadsTooOften { .. } => Some("uploads_per_minute"),
            Self::TooManyUploads => Some("uploads_per_user"),
            Self::TooManyDownloads => Some("downloads_per_user"),
            Self::FileTooLarge { .. } => Some("file_max_bytes"),
            Self::FileQuota(FileRefused::UserQuota) => Some("user_files_max_bytes"),
            Self::FileQuota(FileRefused::AllQuota) => Some("files_max_bytes"),
            Self::DiskLow => Some("disk_free_min_bytes"),
            Self::Post(PostError::TooFast { .. }) => Some("message_rate"),
            _ => None,
        }
    }

    /// The status of the response.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::MissingToken | Self::InvalidToken(_) | Self::InvalidCredentials => StatusCode::UNAUTHORIZED,
            Self::ForeignOrigin
            | Self::WrongPassword
            | Self::RegistrationClosed
            | Self::NotMember
            | Self::JoinRefused
            | Self::RoomCreation
            | Self::NotAdministrator
            | Self::RoomOfBot
            | Self::Post(PostError::Forbidden | PostError::Refused(_))
            | Self::AccountBanned
            | Self::NoSession
            | Self::InviteRequired
            | Self::Change(ChangeRefused::Forbidden) => StatusCode::FORBIDDEN,
            Self::NotFound
            | Self::Post(PostError::NoRoom | PostError::NoRecipient)
            | Self::Bot(BotRefused::NoWebhook)
            | Self::UserNotFound
            | Self::SessionNotFound
            | Self::MessageNotFound
            | Self::FileNotFound
            | Self::SecretNotFound
            | Self::ReportNotFound
            | Self::Change(ChangeRefused::NoRoom | ChangeRefused::NoUser | ChangeRefused::NoInvite) => {
                StatusCode::NOT_FOUND
            }
            Self::NoPassword
            | Self::BanOfAdministrator
            | Self::NoPasswordHere
            | Self::Banned
            | Self::LastAdministrator
            | Self::TooManyInvites
            | Self::Change(
                ChangeRefused::Exists | ChangeRefused::StaysClosed | ChangeRefused::OnlyModerator,
            ) => StatusCode::CONFLICT,
            Self::Method { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::Body(BodyError::TooSlow) => StatusCode::REQUEST_TIMEOUT,
            Self::Body(BodyError::TooLarge { .. }) | Self::FileTooLarge { .. } => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            Self::TooManyFailures { .. }
            | Self::TooManySignIns { .. }
            | Self::TooManyRegistrations { .. }
            | Self::TooManyChanges { .. }
            | Self::TooManySearches { .. }
            | Self::TooManyLists { .. }
            | Self::ReportsTooOften { .. }
            | Self::PushesTooOften { .. }
            | Self::TooManyAccounts
            | Self::TooManySocketOpens { .. }
            | Self::UploadsTooOften { .. }
            | Self::TooManyUploads
            | Self::TooManyDownloads
            | Self::Post(PostError::TooFast { .. })
            | Self::TooManyReports => StatusCode::TOO_MANY_REQUESTS,
            Self::FileQuota(_) | Self::DiskLow => StatusCode::INSUFFICIENT_STORAGE,
            Self::Range { .. } => StatusCode::RANGE_NOT_SATISFIABLE,
            Self::WebSocketVersion => StatusCode::UPGRADE_REQUIRED,
            Self::Host
            | Self::InvalidJson
            | Self::Body(BodyError::Broken(_))
            | Self::CredentialsRequired
            | Self::Username(_)
            | Self::Password(_)
            | Self::NotMultipart
            | Self::Form(_)
            | Self::TooManyFields
            | Self::FieldTwice(_)
            | Self::FieldNotText(_)
            | Self::Avatar(_)
            | Self::PictureRequired(_)
            | Self::NewPassword(_)
            | Self::PushEndpoint
            | Self::PushKeys
            | Self::QueryEncoding
            | Self::Limit { .. }
            | Self::NameWithSearch
            | Self::TooManyNames { .. }
            | Self::After
            | Self::Before
            | Self::SearchedWords(_)
            | Self::RoomAndWith
            | Self::FileName
            | Self::RoomOrWith
            | Self::Seq
            | Self::Emoji(_)
            | Self::NewRoomName(_)
            | Self::RoomText(_)
            | Self::NameOfClosedRoom
            | Self::TooManyMembers { .. }
            | Self::Welcome
            | Self::InviteUses { .. }
            | Self::InviteDays { .. }
            | Self::ReasonTooLong { .. }
            | Self::Reason
            | Self::ReasonRequired
            | Self::ReportState
            | Self::Post(PostError::Text(_) | PostError::TooManyMentions | PostError::InvalidFiles)
            | Self::IdempotencyKey
            | Self::AfterAndBefore
            | Self::Bot(
                BotRefused::Name
                | BotRefused::NameTaken
                | BotRefused::Rooms
                | BotRefused::Url
                | BotRefused::WithoutTls,
            )
            | Self::Room(_)
            | Self::RoomEncoding
            | Self::Handshake(_)
            | Self::UnknownSubprotocol
            | Self::NameTaken
            | Self::NameConfusable
            | Self::NameReserved => StatusCode::BAD_REQUEST,
            Self::Busy
            | Self::Stopping
            | Self::Store(_)
            | Self::StoreSilent
            | Self::ClockFarOff
            | Self::HookSilent
            | Self::Identity(_)
            | Self::Files(_)
            | Self::Post(PostError::Unavailable)
            | Self::Bot(BotRefused::Store(_)) => StatusCode::SERVICE_UNAVAILABLE,
            Self::File(_) | Self::Hash(_) | Self::Task(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Headers of the response beside those of every JSON response.
    pub(crate) fn headers(&self) -> Vec<(HeaderName, HeaderValue)> {
        let fixed = HeaderValue::from_static;
        match self {
            // What follows on the connection is not what its sender takes it for.
            Self::Host => vec![(CONNECTION, fixed("close"))],
            Self::Method { allow } => {
                HeaderValue::from_str(allow).map(|allow| (ALLOW, allow)).into_iter().collect()
            }
            Self::WebSocketVersion => {
                vec![(SEC_WEBSOCKET_VERSION, fixed("13")), (UPGRADE, fixed("websocket"))]
            }
            Self::TooManyFailures { retry_after_seconds }
            | Self::TooManySignIns { retry_after_seconds }
            | Self::TooManyRegistrations { retry_after_seconds, .. }
            | Self::TooManyChanges { retry_after_seconds }
            | Self::TooManySearches { retry_after_seconds }
            | Self::TooManyLists { retry_after_seconds }
            | Self::ReportsTooOften { retry_after_seconds }
            | Self::PushesTooOften { retry_after_seconds }
            | Self::UploadsTooOften { retry_after_seconds }
            | Self::TooManySocketOpens { retry_after_seconds } => {
                vec![(RETRY_AFTER, (*retry_after_seconds).into())]
            }
            Self::Post(PostError::TooFast { retry_after_ms }) => {
                vec![(RETRY_AFTER, retry_after_ms.div_ceil(1000).into())]
            }
            // Somebody has to do something before: remove accounts, or deal with reports.
            Self::TooManyAccounts | Self::TooManyReports => vec![(RETRY_AFTER, fixed("3600"))],
            Self::Range { size } => HeaderValue::from_str(&format!("bytes */{size}"))
                .map(|range| (CONTENT_RANGE, range))
                .into_iter()
                .collect(),
            Self::Busy
            | Self::Stopping
            | Self::Store(_)
            | Self::StoreSilent
            | Self::ClockFarOff
            | Self::HookSilent
            | Self::Identity(_)
            | Self::Files(_)
            | Self::Post(PostError::Unavailable)
            | Self::TooManyUploads
            | Self::TooManyDownloads => {
                vec![(RETRY_AFTER, fixed("1"))]
            }
            _ => Vec::new(),
        }
    }
}

/// A missing name and a missing password get the same sentence, as in the original.
impl From<UsernameError> for HttpError {
    fn from(error: UsernameError) -> Self {
        match error {
            UsernameError::Empty => Self::CredentialsRequired,
            error => Self::Username(error),
        }
    }
}

impl From<PasswordError> for HttpError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Empty => Self::CredentialsRequired,
            error => Self::Password(error),
        }
    }
}

impl From<StoreError> for HttpError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NameTaken => Self::NameTaken,
            StoreError::NameConfusable => Self::NameConfusable,
            StoreError::TooManyAccounts { .. } => Self::TooManyAccounts,
            error => Self::Store(Arc::new(error)),
        }
    }
}

impl From<PostError> for HttpError {
    fn from(error: PostError) -> Self {
        Self::Post(error)
    }
}

impl From<BotRefused> for HttpError {
    fn from(error: BotRefused) -> Self {
        match error {
            BotRefused::Store(error) => error.into(),
            error => Self::Bot(error),
        }
    }
}

impl From<ChangeError> for HttpError {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Refused(refused) => Self::Change(refused),
            ChangeError::Unavailable => Self::StoreSilent,
        }
    }
}

impl From<PasswordsError> for HttpError {
    fn from(error: PasswordsError) -> Self {
        match error {
            PasswordsError::Busy => Self::Busy,
            error => Self::Hash(error),
        }
    }
}

impl From<SignInRefused> for HttpError {
    fn from(error: SignInRefused) -> Self {
        match error {
            SignInRefused::TooMany { limit, retry_after } => {
                let retry_after_seconds = retry_after.as_secs();
                match limit {
                    SignInLimit::Attempts => Self::TooManySignIns { retry_after_seconds },
                    _ => Self::TooManyFailures { retry_after_seconds },
                }
            }
            SignInRefused::Busy => Self::Busy,
        }
    }
}

impl From<AvatarError> for HttpError {
    fn from(error: AvatarError) -> Self {
        match error {
            AvatarError::Busy => Self::Busy,
            AvatarError::NotFound => Self::NotFound,
            AvatarError::Io(cause) => Self::File(cause),
            AvatarError::Store(cause) => cause.into(),
            error @ (AvatarError::TooLarge { .. } | AvatarError::NotAPicture | AvatarError::Picture(_)) => {
                Self::Avatar(error)
            }
        }
    }
}

impl From<FilesError> for HttpError {
    fn from(error: FilesError) -> Self {
        match error {
            FilesError::TooLarge { max_bytes } => Self::FileTooLarge { max_bytes },
            FilesError::DiskFull(_) => Self::DiskLow,
            error => Self::Files(error),
        }
    }
}

impl From<DiskLow> for HttpError {
    fn from(_: DiskLow) -> Self {
        Self::DiskLow
    }
}

fn quota_sentence(refused: FileRefused) -> &'static str {
    match refused {
        FileRefused::UserQuota => "your files take all the space that is yours here, please delete some",
        FileRefused::AllQuota => {
            "the files of this chat take all the space for them, please tell whoever runs this chat"
        }
    }
}

impl From<multer::Error> for HttpError {
    fn from(error: multer::Error) -> Self {
        match error {
            // An error of the body, passed through by multer.
            multer::Error::StreamReadFailed(cause) => match cause.downcast::<BodyError>() {
                Ok(error) => Self::Body(*error),
                Err(cause) => Self::Form(multer::Error::StreamReadFailed(cause)),
            },
            error => Self::Form(error),
        }
    }
}

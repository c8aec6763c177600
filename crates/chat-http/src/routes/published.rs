//! Tests of `docs/openapi.yaml`, which has every route of the table, the types that are
//! read and written, and the sentence of every error; and of `docs/asyncapi.yaml`, which
//! has the limits of a socket. Every call of `tests/http` checks that its response is as
//! published.

use std::collections::{BTreeMap, BTreeSet};

use chat_auth::{PasswordError, PasswordsError};
use chat_core::{
    ChangeRefused, FileRefused, NewRoomNameError, RoomNameError, RoomTextError, SearchedWordsError,
    TextError, UsernameError,
};
use chat_files::FilesError;
use chat_pictures::PictureError;
use chat_spec::{Document, tidy};
use chat_store::StoreError;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::{
    ROUTES, accounts, audit, bans, bots, files, invites, members, messages, password, push, reactions,
    reports, rooms, search, server, sessions, setup, sign_in, sign_out, users,
};
use crate::answer::{Done, Nothing};
use crate::avatar::AvatarError;
use crate::body::BodyError;
use crate::bots::BotRefused;
use crate::error::{HttpError, Refused};
use crate::{HttpOptions, ShardOptions};
use chat_shard::PostError;

const DOCUMENT: &str = "openapi.yaml";

/// The form of a registration.
// `RegistrationForm` reads it as it arrives, and thus not by serde.
#[expect(dead_code, reason = "only its schema is used")]
#[derive(JsonSchema)]
struct Registration {
    /// Trimmed, brought to NFC; then 1 to 24 characters, none of them a control or
    /// invisible one. It may not look like an existing name.
    username: String,
    /// Verbatim, at most 1,024 bytes, at least as many characters as
    /// `password_min_chars` of `GET /api/server`, and not the name.
    password: String,
    /// A picture (png, jpeg, gif or webp, judged by its bytes), at most 10 MiB. It
    /// is made small, without its metadata.
    #[schemars(extend("contentMediaType" = "application/octet-stream"))]
    avatar: Option<String>,
    /// The secret of an invitation; required where `registration` of `GET /api/server` is
    /// `invite`.
    invite: Option<String>,
}

/// The form of a new picture.
#[expect(dead_code, reason = "only its schema is used")]
#[derive(JsonSchema)]
struct NewAvatar {
    /// A picture (png, jpeg, gif or webp, judged by its bytes), at most 10 MiB. It
    /// is made small, without its metadata.
    #[schemars(extend("contentMediaType" = "application/octet-stream"))]
    avatar: String,
}

/// The form of a new logo of the server.
#[expect(dead_code, reason = "only its schema is used")]
#[derive(JsonSchema)]
struct NewLogo {
    /// A picture (png, jpeg, gif or webp, judged by its bytes), at most 10 MiB. It
    /// is made small, without its metadata.
    #[schemars(extend("contentMediaType" = "application/octet-stream"))]
    logo: String,
}

fn schemas() -> Value {
    let settings = || {
        SchemaSettings::draft2020_12()
            .with(|settings| settings.definitions_path = "/components/schemas".into())
    };
    let mut written = settings().for_serialize().into_generator();
    written.subschema_for::<Done>();
    written.subschema_for::<Refused>();
    written.subschema_for::<sign_in::Welcome>();
    written.subschema_for::<users::Profile<'_>>();
    written.subschema_for::<users::Me<'_>>();
    written.subschema_for::<users::UserList>();
    written.subschema_for::<server::ServerInfo<'_>>();
    written.subschema_for::<Nothing>();
    written.subschema_for::<sign_out::SignedOut>();
    written.subschema_for::<rooms::RoomList>();
    written.subschema_for::<members::MemberList<'_>>();
    written.subschema_for::<sessions::SessionList>();
    written.subschema_for::<reactions::ReactionList>();
    written.subschema_for::<search::SearchResults>();
    written.subschema_for::<files::UploadedFile<'_>>();
    written.subschema_for::<accounts::OneTimeLink>();
    written.subschema_for::<audit::AuditLog>();
    written.subschema_for::<bans::BanList>();
    written.subschema_for::<invites::NewlyMade>();
    written.subschema_for::<invites::InviteList>();
    written.subschema_for::<invites::Invitation>();
    written.subschema_for::<invites::JoinedRoom>();
    written.subschema_for::<reports::MadeReport>();
    written.subschema_for::<reports::ReportList>();
    written.subschema_for::<messages::PostedMessage>();
    written.subschema_for::<messages::MessageList>();
    written.subschema_for::<bots::BotList>();
    written.subschema_for::<bots::BotToken>();
    written.subschema_for::<bots::WebhookAddress>();
    written.subschema_for::<bots::OutgoingSecret>();
    written.subschema_for::<crate::webhooks::Event>();
    let mut read = settings().for_deserialize().into_generator();
    read.subschema_for::<sign_in::Credentials>();
    read.subschema_for::<sign_out::SignOut>();
    read.subschema_for::<Registration>();
    read.subschema_for::<NewAvatar>();
    read.subschema_for::<password::NewPassword>();
    read.subschema_for::<rooms::NewRoom>();
    read.subschema_for::<rooms::RoomChanges>();
    read.subschema_for::<members::NewRole>();
    read.subschema_for::<NewLogo>();
    read.subschema_for::<accounts::AccountChanges>();
    read.subschema_for::<accounts::PasswordOfLink>();
    read.subschema_for::<bans::BanOrder>();
    read.subschema_for::<invites::InviteOrder>();
    read.subschema_for::<reports::ReportOrder>();
    read.subschema_for::<reports::ReportChanges>();
    read.subschema_for::<server::ServerChanges>();
    read.subschema_for::<setup::SetupCode>();
    read.subschema_for::<push::PushOrder>();
    read.subschema_for::<messages::NewMessage>();
    read.subschema_for::<bots::BotOrder>();
    read.subschema_for::<bots::WebhookOrder>();
    read.subschema_for::<bots::OutgoingWebhookOrder>();
    read.subschema_for::<crate::slack::Payload>();
    let mut schemas = written.take_definitions(true);
    schemas.extend(read.take_definitions(true));
    let mut schemas = Value::Object(schemas);
    schemas.as_object_mut().into_iter().flatten().for_each(|(_, schema)| tidy(schema));
    schemas
}

/// The name under which an error is published, together with others of its status, and
/// what it means.
fn published_as(error: &HttpError) -> (&'static str, &'static str) {
    match error {
        HttpError::Host => ("BadHost", "The request does not name its host, once."),
        HttpError::NotFound => ("NotFound", "Nothing is at this path."),
        HttpError::Method { .. } => ("OtherMethods", "The path has no such method."),
        HttpError::ForeignOrigin => ("ForeignOrigin", "The request comes from a page of another site."),
        HttpError::InvalidJson | HttpError::Body(BodyError::Broken(_)) => {
            ("BadJson", "The body is not a JSON object with the right fields.")
        }
        HttpError::Body(BodyError::TooLarge { .. }) => ("TooLarge", "The body is too large."),
        HttpError::FileTooLarge { .. } => ("FileTooLarge", "The file is larger than a file may be."),
        HttpError::TooManyUploads | HttpError::UploadsTooOften { .. } => {
            ("TooManyUploads", "The user sends too many files: try again after `Retry-After` seconds.")
        }
        HttpError::TooManyDownloads => (
            "TooManyDownloads",
            "The user receives too many files at once: try again after `Retry-After` seconds.",
        ),
        HttpError::FileQuota(_) | HttpError::DiskLow => {
            ("NoSpace", "There is no space for it; the sentence says why.")
        }
        HttpError::FileNotFound => {
            ("NoSuchFile", "There is no such file (any more), or the user may not read it.")
        }
        HttpError::Range { .. } => ("BadRange", "The file ends before the range."),
        HttpError::Body(BodyError::TooSlow) => ("TooSlow", "The body arrived too slowly."),
        HttpError::MissingToken | HttpError::InvalidToken(_) => {
            ("NotSignedIn", "There is no token, or it is not (or no longer) valid.")
        }
        HttpError::InvalidCredentials => ("WrongCredentials", "The name or the password is wrong."),
        HttpError::TooManyFailures { .. } | HttpError::TooManySignIns { .. } => {
            ("TooManyFailures", "Too many sign-ins: try again after `Retry-After` seconds.")
        }
        HttpError::TooManyRegistrations { .. } | HttpError::TooManyAccounts => {
            ("TooManyAccounts", "Too many accounts were created: try again after `Retry-After` seconds.")
        }
        HttpError::TooManyChanges { .. } => {
            ("TooManyChanges", "The user changes rooms too fast: try again after `Retry-After` seconds.")
        }
        HttpError::TooManySearches { .. } => {
            ("TooManySearches", "The user searches too often: try again after `Retry-After` seconds.")
        }
        HttpError::TooManyLists { .. } => {
            ("TooManyLists", "The user reads lists too often: try again after `Retry-After` seconds.")
        }
        HttpError::TooManySocketOpens { .. } => (
            "TooManySocketOpens",
            "The user opens WebSockets too fast: try again after `Retry-After` seconds.",
        ),
        HttpError::UserNotFound => ("NobodyOfThatName", "There is no account of that name."),
        HttpError::MessageNotFound => ("NoSuchMessage", "There is no such message (any more)."),
        HttpError::Post(PostError::NoRoom | PostError::NoRecipient) => {
            ("NoSuchPlace", "There is no such room, or no account of this name.")
        }
        HttpError::Post(PostError::Forbidden | PostError::Refused(_)) | HttpError::RoomOfBot => (
            "MayNotPost",
            "The user or the token may not write to or read this room, or the message is refused with this \
             sentence; or the request comes from a page of another site.",
        ),
        HttpError::Post(PostError::TooFast { .. }) => {
            ("TooFast", "The user posts too fast: try again after `Retry-After` seconds.")
        }
        HttpError::Post(PostError::Text(_) | PostError::TooManyMentions | PostError::InvalidFiles)
        | HttpError::IdempotencyKey => ("BadMessage", "The message is refused; the sentence says why."),
        HttpError::Bot(BotRefused::NoWebhook) => (
            "NoSuchBot",
            "There is no such bot, or the room is none of its rooms, or it has 100 webhooks or 20 outgoing ones.",
        ),
        HttpError::SecretNotFound => (
            "NoSuchLink",
            "The secret, the code or the id is unknown, used, withdrawn or expired: all alike.",
        ),
        HttpError::ReportNotFound => ("NoSuchReport", "There is no such report, or the user may not see it."),
        HttpError::BanOfAdministrator
        | HttpError::NoPasswordHere
        | HttpError::Banned
        | HttpError::LastAdministrator
        | HttpError::TooManyInvites => ("AccountConflict", "It is refused now; the sentence says why."),
        HttpError::TooManyReports | HttpError::ReportsTooOften { .. } => {
            ("TooManyReports", "The user reports too often, or has too many open reports.")
        }
        HttpError::PushesTooOften { .. } => {
            ("TooManySubscriptions", "The user subscribes too often: try again after `Retry-After` seconds.")
        }
        HttpError::NoSession => {
            ("NoSession", "The token is of another issuer, or the request comes from a page of another site.")
        }
        HttpError::PushEndpoint | HttpError::PushKeys => {
            ("BadSubscription", "The body is refused; the sentence says why.")
        }
        HttpError::Welcome
        | HttpError::InviteUses { .. }
        | HttpError::InviteDays { .. }
        | HttpError::ReasonTooLong { .. }
        | HttpError::Reason
        | HttpError::ReasonRequired
        | HttpError::Bot(_)
        | HttpError::ReportState => ("BadOrder", "The body or the query is refused; the sentence says why."),
        HttpError::SessionNotFound => ("NoSuchSession", "The user has no such session (any more)."),
        HttpError::CredentialsRequired
        | HttpError::Username(_)
        | HttpError::Password(_)
        | HttpError::NotMultipart
        | HttpError::Form(_)
        | HttpError::TooManyFields
        | HttpError::FieldTwice(_)
        | HttpError::FieldNotText(_)
        | HttpError::Avatar(_)
        | HttpError::PictureRequired(_)
        | HttpError::NameTaken
        | HttpError::NameConfusable
        | HttpError::NameReserved => ("BadForm", "The form is refused; the sentence says why."),
        HttpError::NewPassword(_) => {
            ("BadPassword", "The new password or the body is refused; the sentence says why.")
        }
        HttpError::WrongPassword => (
            "WrongPassword",
            "The current password is wrong; or the request comes from a page of another site.",
        ),
        HttpError::NoPassword => ("NoPassword", "The user has no password on this server."),
        HttpError::QueryEncoding
        | HttpError::AfterAndBefore
        | HttpError::Limit { .. }
        | HttpError::NameWithSearch
        | HttpError::TooManyNames { .. }
        | HttpError::After
        | HttpError::Before
        | HttpError::SearchedWords(_)
        | HttpError::RoomAndWith
        | HttpError::FileName
        | HttpError::RoomOrWith
        | HttpError::Seq
        | HttpError::Emoji(_) => ("BadQuery", "A parameter of the query is refused; the sentence says why."),
        HttpError::NotMember
        | HttpError::JoinRefused
        | HttpError::NotAdministrator
        | HttpError::RoomCreation
        | HttpError::Change(ChangeRefused::Forbidden) => {
            ("NotAllowed", "The user may not do this; or the request comes from a page of another site.")
        }
        HttpError::Change(ChangeRefused::NoRoom | ChangeRefused::NoUser | ChangeRefused::NoInvite) => {
            ("NoSuchRoom", "There is no such room, or no such user.")
        }
        HttpError::Change(
            ChangeRefused::Exists | ChangeRefused::StaysClosed | ChangeRefused::OnlyModerator,
        ) => ("Conflict", "The room is not in a state for this; the sentence says why."),
        HttpError::NewRoomName(_)
        | HttpError::RoomText(_)
        | HttpError::NameOfClosedRoom
        | HttpError::TooManyMembers { .. } => {
            ("BadRoom", "The room, its name or the body is refused; the sentence says why.")
        }
        HttpError::Room(_)
        | HttpError::RoomEncoding
        | HttpError::Handshake(_)
        | HttpError::UnknownSubprotocol => {
            ("BadHandshake", "The request is not a handshake, or its room or subprotocol is not valid.")
        }
        HttpError::WebSocketVersion => ("OtherVersion", "The request names another version of WebSocket."),
        HttpError::RegistrationClosed | HttpError::InviteRequired => {
            ("NoRegistration", "Only the operator creates accounts, or an invitation is needed.")
        }
        HttpError::AccountBanned => ("Banned", "The password is right, and the account is banned."),
        HttpError::Busy
        | HttpError::Stopping
        | HttpError::Store(_)
        | HttpError::StoreSilent
        | HttpError::ClockFarOff
        | HttpError::HookSilent
        | HttpError::Post(PostError::Unavailable)
        | HttpError::Identity(_)
        | HttpError::Files(_) => {
            ("TryAgain", "The server cannot answer now: try again after `Retry-After` seconds.")
        }
        HttpError::File(_) | HttpError::Hash(_) | HttpError::Task(_) => ("Failed", "The server failed."),
    }
}

/// One error of each kind. Those that cannot be made here have the sentence of another.
fn errors() -> Vec<HttpError> {
    let options = HttpOptions::default();
    let io = || std::io::Error::other("");
    vec![
        HttpError::Host,
        HttpError::NotFound,
        HttpError::Method { allow: "GET, HEAD".to_owned() },
        HttpError::ForeignOrigin,
        HttpError::InvalidJson,
        BodyError::TooLarge { max_bytes: options.json_max_bytes as u64 }.into(),
        BodyError::TooSlow.into(),
        HttpError::MissingToken,
        HttpError::InvalidToken(None),
        HttpError::InvalidCredentials,
        HttpError::TooManyFailures { retry_after_seconds: 900 },
        HttpError::TooManySignIns { retry_after_seconds: 900 },
        HttpError::TooManyRegistrations { limit: "registrations_per_address", retry_after_seconds: 36 },
        HttpError::TooManyAccounts,
        HttpError::TooManyChanges { retry_after_seconds: 1 },
        HttpError::TooManySearches { retry_after_seconds: 1 },
        HttpError::TooManyLists { retry_after_seconds: 1 },
        HttpError::ReportsTooOften { retry_after_seconds: 1 },
        HttpError::TooManySocketOpens { retry_after_seconds: 1 },
        HttpError::UserNotFound,
        HttpError::SessionNotFound,
        HttpError::PushesTooOften { retry_after_seconds: 1 },
        HttpError::NoSession,
        HttpError::PushEndpoint,
        HttpError::PushKeys,
        HttpError::CredentialsRequired,
        UsernameError::TooLong { max: chat_core::USERNAME_MAX_CHARS }.into(),
        UsernameError::Hidden.into(),
        UsernameError::Marks.into(),
        UsernameError::NothingToCall.into(),
        PasswordError::TooLong { max: chat_auth::PASSWORD_MAX_BYTES }.into(),
        PasswordError::TooShort { min: options.password_rule.min_chars }.into(),
        PasswordError::IsName.into(),
        PasswordError::Common.into(),
        HttpError::NewPassword(PasswordError::Empty),
        HttpError::NewPassword(PasswordError::TooLong { max: chat_auth::PASSWORD_MAX_BYTES }),
        HttpError::NewPassword(PasswordError::TooShort { min: options.password_rule.min_chars }),
        HttpError::NewPassword(PasswordError::IsName),
        HttpError::NewPassword(PasswordError::Common),
        HttpError::WrongPassword,
        HttpError::NoPassword,
        HttpError::PictureRequired("avatar"),
        HttpError::NameTaken,
        HttpError::NameConfusable,
        HttpError::NameReserved,
        AvatarError::TooLarge { max_mib: options.avatar_max_bytes / (1024 * 1024) }.into(),
        AvatarError::NotAPicture.into(),
        AvatarError::from(PictureError::TooManyPixels {
            max_megapixels: 25,
            max_side: options.picture_side_max,
        })
        .into(),
        AvatarError::from(PictureError::TooMuchMemory).into(),
        AvatarError::from(PictureError::Damaged(None)).into(),
        HttpError::NotMultipart,
        HttpError::Form(multer::Error::IncompleteStream),
        HttpError::TooManyFields,
        HttpError::FieldTwice("username"),
        HttpError::FieldNotText("username"),
        HttpError::QueryEncoding,
        HttpError::Limit { max: users::LIMIT_MAX },
        HttpError::NameWithSearch,
        HttpError::TooManyNames { max: users::LIMIT_MAX },
        HttpError::After,
        HttpError::Before,
        HttpError::SearchedWords(SearchedWordsError::Blank),
        HttpError::SearchedWords(SearchedWordsError::TooLong),
        HttpError::RoomAndWith,
        HttpError::FileName,
        HttpError::FileTooLarge { max_bytes: options.files.max_bytes },
        HttpError::TooManyUploads,
        HttpError::TooManyDownloads,
        HttpError::UploadsTooOften { retry_after_seconds: 1 },
        HttpError::FileQuota(FileRefused::UserQuota),
        HttpError::FileQuota(FileRefused::AllQuota),
        HttpError::DiskLow,
        HttpError::FileNotFound,
        HttpError::Range { size: 0 },
        HttpError::Files(FilesError::Io(io())),
        HttpError::RoomOrWith,
        HttpError::Seq,
        HttpError::Emoji(chat_core::EmojiError),
        HttpError::MessageNotFound,
        HttpError::NotMember,
        HttpError::JoinRefused,
        HttpError::RoomCreation,
        ChangeRefused::Forbidden.into(),
        ChangeRefused::NoRoom.into(),
        ChangeRefused::NoUser.into(),
        ChangeRefused::Exists.into(),
        ChangeRefused::StaysClosed.into(),
        ChangeRefused::OnlyModerator.into(),
        NewRoomNameError::Blank.into(),
        NewRoomNameError::Dots.into(),
        NewRoomNameError::MadeByServer.into(),
        NewRoomNameError::Hidden.into(),
        NewRoomNameError::Marks.into(),
        NewRoomNameError::LooksLikeAnother.into(),
        RoomTextError::BlankTitle.into(),
        RoomTextError::TooLong { what: "title", max: chat_core::ROOM_TITLE_MAX_CHARS }.into(),
        RoomTextError::TooLong { what: "description", max: chat_core::ROOM_DESCRIPTION_MAX_CHARS }.into(),
        RoomTextError::Control { what: "title" }.into(),
        RoomTextError::Control { what: "description" }.into(),
        RoomTextError::HiddenInTitle.into(),
        RoomTextError::MarksInTitle.into(),
        RoomTextError::LooksLikeAnother.into(),
        HttpError::NameOfClosedRoom,
        HttpError::TooManyMembers { max: rooms::NEW_MEMBERS_MAX },
        RoomNameError::TooLong { max: chat_core::ROOM_NAME_MAX_CHARS }.into(),
        RoomNameError::Control.into(),
        HttpError::RoomEncoding,
        HttpError::Handshake("Upgrade must be websocket"),
        HttpError::UnknownSubprotocol,
        HttpError::WebSocketVersion,
        HttpError::Busy,
        HttpError::Stopping,
        HttpError::Store(StoreError::Unavailable { source: "".into() }.into()),
        HttpError::StoreSilent,
        HttpError::ClockFarOff,
        HttpError::HookSilent,
        HttpError::Identity("".into()),
        HttpError::File(io()),
        HttpError::Hash(PasswordsError::Busy),
        HttpError::RegistrationClosed,
        HttpError::InviteRequired,
        HttpError::AccountBanned,
        HttpError::NotAdministrator,
        HttpError::SecretNotFound,
        HttpError::ReportNotFound,
        HttpError::BanOfAdministrator,
        HttpError::NoPasswordHere,
        HttpError::Banned,
        HttpError::LastAdministrator,
        HttpError::TooManyInvites,
        HttpError::TooManyReports,
        HttpError::Welcome,
        HttpError::InviteUses { max: invites::USES_MAX },
        HttpError::InviteDays { max: invites::DAYS_MAX },
        HttpError::ReasonTooLong { max: chat_core::ROOM_DESCRIPTION_MAX_CHARS },
        HttpError::Reason,
        HttpError::ReasonRequired,
        HttpError::ReportState,
        HttpError::AfterAndBefore,
        HttpError::RoomOfBot,
        HttpError::IdempotencyKey,
        PostError::NoRoom.into(),
        PostError::NoRecipient.into(),
        PostError::Forbidden.into(),
        PostError::TooFast { retry_after_ms: 100 }.into(),
        PostError::Text(TextError::Blank).into(),
        PostError::Text(TextError::TooLong { max: options.shards.hub.text_max_chars }).into(),
        PostError::Text(TextError::Nul).into(),
        PostError::TooManyMentions.into(),
        PostError::InvalidFiles.into(),
        PostError::Unavailable.into(),
        BotRefused::NoWebhook.into(),
        BotRefused::NameTaken.into(),
        BotRefused::Name.into(),
        BotRefused::Rooms.into(),
        BotRefused::Url.into(),
        BotRefused::WithoutTls.into(),
    ]
}

/// Every error, as in `components/responses`.
fn responses() -> Value {
    let mut groups: BTreeMap<&str, Vec<HttpError>> = BTreeMap::new();
    for error in errors() {
        groups.entry(published_as(&error).0).or_default().push(error);
    }
    // Some calls are refused in several ways with the same status.
    let bad_name = || {
        let long = RoomNameError::TooLong { max: chat_core::ROOM_NAME_MAX_CHARS };
        [long.into(), RoomNameError::Control.into(), HttpError::RoomEncoding]
    };
    for (group, errors) in [
        ("NoRegistration", vec![HttpError::ForeignOrigin, HttpError::JoinRefused]),
        ("NotAllowed", vec![HttpError::ForeignOrigin]),
        ("WrongPassword", vec![HttpError::ForeignOrigin]),
        ("NoSuchPlace", vec![HttpError::SecretNotFound]),
        ("NoSuchBot", vec![HttpError::UserNotFound]),
        ("MayNotPost", vec![HttpError::ForeignOrigin, HttpError::NotMember, HttpError::JoinRefused]),
        ("BadMessage", bad_name().into_iter().chain([HttpError::InvalidJson]).collect()),
        ("BadPassword", vec![HttpError::InvalidJson]),
        ("BadRoom", bad_name().into_iter().chain([HttpError::InvalidJson]).collect()),
        ("BadQuery", bad_name().into_iter().chain([HttpError::Limit { max: 100 }]).collect()),
        (
            "BadHandshake",
            vec![
                NewRoomNameError::Blank.into(),
                NewRoomNameError::Dots.into(),
                NewRoomNameError::Hidden.into(),
                NewRoomNameError::Marks.into(),
                NewRoomNameError::LooksLikeAnother.into(),
            ],
        ),
        ("Banned", vec![HttpError::ForeignOrigin]),
        ("NoSession", vec![HttpError::ForeignOrigin]),
        ("BadSubscription", vec![HttpError::InvalidJson]),
        (
            "BadOrder",
            bad_name()
                .into_iter()
                .chain([
                    HttpError::InvalidJson,
                    UsernameError::Empty.into(),
                    UsernameError::TooLong { max: chat_core::USERNAME_MAX_CHARS }.into(),
                    UsernameError::Hidden.into(),
                    UsernameError::Marks.into(),
                    UsernameError::NothingToCall.into(),
                    HttpError::RoomAndWith,
                    HttpError::RoomOrWith,
                    HttpError::Before,
                    HttpError::After,
                    HttpError::QueryEncoding,
                    HttpError::Limit { max: users::LIMIT_MAX },
                    HttpError::Limit { max: reports::LIMIT_MAX },
                    RoomTextError::BlankTitle.into(),
                    RoomTextError::TooLong { what: "title", max: chat_core::ROOM_TITLE_MAX_CHARS }.into(),
                    RoomTextError::Control { what: "title" }.into(),
                    RoomTextError::HiddenInTitle.into(),
                    RoomTextError::MarksInTitle.into(),
                ])
                .collect(),
        ),
        ("BadForm", vec![HttpError::PictureRequired("logo")]),
    ] {
        groups.entry(group).or_default().extend(errors);
    }
    let mut responses = json!({});
    for (name, errors) in groups {
        let (status, description) = (errors[0].status(), published_as(&errors[0]).1);
        let mut examples = json!({});
        let sentences: BTreeSet<String> = errors.iter().map(ToString::to_string).collect();
        for (index, sentence) in sentences.into_iter().enumerate() {
            let refused = Refused { error: sentence };
            examples[format!("{:02}", index + 1)] = json!({ "value": refused });
        }
        let mut headers = json!({});
        for error in &errors {
            assert_eq!(error.status(), status, "{error}: of another status");
            for (header, value) in error.headers() {
                let value = value.to_str().unwrap();
                let schema = match header.as_str() {
                    // The methods depend on the path.
                    "allow" => json!({ "type": "string" }),
                    "content-range" => json!({ "type": "string", "pattern": "^bytes \\*/[0-9]+$" }),
                    "retry-after" => json!({ "type": "string", "pattern": "^[1-9][0-9]*$" }),
                    _ => json!({ "const": value }),
                };
                headers[header_name(header.as_str())] = json!({ "required": true, "schema": schema });
            }
        }
        responses[name] = json!({
            "description": description,
            "content": {
                "application/json; charset=utf-8": {
                    "schema": { "$ref": "#/components/schemas/Refused" },
                    "examples": examples,
                },
            },
        });
        if headers != json!({}) {
            responses[name]["headers"] = headers;
        }
    }
    responses
}

/// `retry-after` as `Retry-After`.
fn header_name(name: &str) -> String {
    let parts = name.split('-').map(|part| match part {
        "websocket" => "WebSocket".to_owned(),
        part => part[..1].to_uppercase() + &part[1..],
    });
    parts.collect::<Vec<_>>().join("-")
}

/// To update it: `UPDATE_DOCS=1 cargo test -p lanechat-http published`.
#[test]
fn the_document_is_made_of_the_types() {
    let components = json!({ "responses": responses(), "schemas": schemas() });
    Document::open(DOCUMENT).keep("made from the types", 2, &components);
}

#[test]
fn every_reference_is_defined() {
    Document::open(DOCUMENT).check_references();
}

#[test]
fn every_route_is_in_the_document() {
    let document = Document::open(DOCUMENT);
    // The parts in braces have better names in the document.
    let without_name = |path: &str| -> String {
        let parts = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
        parts.collect::<Vec<_>>().join("/")
    };
    let table: BTreeSet<(String, String)> =
        ROUTES.iter().map(|route| (without_name(route.path), route.method.as_str().to_lowercase())).collect();
    let documented: BTreeSet<(String, String)> = document
        .at("/paths")
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            methods.as_object().unwrap().keys().map(|method| (without_name(path), method.clone()))
        })
        .collect();
    assert_eq!(documented, table);
}

/// A change of a limit fails this test, until the document is updated.
#[test]
fn the_limits_of_a_socket_are_in_the_document() {
    let ShardOptions {
        hub,
        message_max_bytes,
        fragments_max,
        outbox_max_bytes,
        ping_interval,
        idle_timeout,
        frame_header_timeout,
        ..
    } = ShardOptions::default();
    let burst = |rate: Option<chat_core::RateLimit>| rate.map(|rate| rate.burst);
    let per_second = |rate: Option<chat_core::RateLimit>| rate.map(|rate| rate.per_second);
    let limits = json!({
        "text_max_chars": hub.text_max_chars,
        "message_max_bytes": message_max_bytes,
        "fragments_max": fragments_max,
        "rate_burst": burst(hub.rate),
        "rate_per_second": per_second(hub.rate),
        "frame_rate_burst": burst(hub.frame_rate),
        "frame_rate_per_second": per_second(hub.frame_rate),
        "join_rate_burst": burst(hub.join_rate),
        "join_rate_per_second": per_second(hub.join_rate),
        "rooms_max": hub.client_rooms_max,
        "user_clients_max": hub.user_clients_max,
        "unanswered_max": hub.client_unanswered_max,
        "client_history_reads_max": hub.client_history_reads_max,
        "join_replay_entries": hub.join_replay_entries,
        "resume_max_messages": hub.resume_max_messages,
        "history_max": hub.history_max,
        "page_bytes": hub.page_bytes,
        "mentions_max": chat_core::MENTIONS_MAX,
        "hello_conversations": hub.hello_conversations,
        "hello_rooms": hub.hello_rooms,
        "user_memberships_max": hub.user_memberships_max,
        "activity_every_ms": hub.activity_every_ms,
        "mark_every_ms": hub.mark_every_ms,
        "members_max": hub.members_max,
        "refusing_ms": hub.refusing_ms,
        "offline_after_ms": hub.offline_after_ms,
        "count_every_ms": hub.count_every_ms,
        "append_timeout_ms": hub.append_timeout_ms,
        "catch_up_timeout_ms": hub.catch_up_timeout_ms,
        "outbox_max_bytes": outbox_max_bytes,
        "ping_interval_seconds": ping_interval.as_secs(),
        "idle_timeout_seconds": idle_timeout.as_secs(),
        "frame_header_timeout_seconds": frame_header_timeout.as_secs(),
        "drain_spread_ms": hub.drain_spread_ms,
        "reconnect_spread_ms": hub.reconnect_spread_ms,
    });
    assert_eq!(*Document::open("asyncapi.yaml").at("/x-limits"), limits);
}

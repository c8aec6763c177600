//! Forms (`multipart/form-data`), read as they arrive: of a registration, and of a picture.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use chat_auth::{PASSWORD_MAX_BYTES, Password, PasswordError};
use chat_core::{USERNAME_MAX_CHARS, Username, UsernameError};
use futures_util::Stream;
use hyper::HeaderMap;
use hyper::header::CONTENT_TYPE;
use multer::{Field, Multipart};

use crate::avatar::{AvatarFolder, ReceivedAvatar};
use crate::body::{BodyError, RequestBody};
use crate::error::HttpError;

/// The form of a registration. Its fields may come in any order, each once. Unknown fields
/// are ignored.
pub(crate) struct RegistrationForm {
    pub(crate) username: Username,
    pub(crate) password: Password,
    /// `None` also where a browser sends the field without a file.
    pub(crate) avatar: Option<ReceivedAvatar>,
    /// The secret of an invitation; `None` also for an empty field.
    pub(crate) invite: Option<String>,
}

impl RegistrationForm {
    /// Reads the form as it arrives.
    ///
    /// # Errors
    ///
    /// Those of a request that is malformed, too large or too slow, and those of its
    /// fields.
    pub(crate) async fn read(
        headers: &HeaderMap,
        body: &mut RequestBody,
        avatars: &AvatarFolder,
        max_bytes: u64,
    ) -> Result<Self, HttpError> {
        let boundary = boundary(headers).ok_or(HttpError::NotMultipart)?;
        let held = Held::default();
        let mut form = Multipart::new(stream(body, held.clone(), max_bytes), boundary);
        let (mut username, mut password, mut avatar, mut invite) = (None, None, None, None);
        let mut fields = 0;
        while let Some(mut field) = form.next_field().await? {
            held.reset();
            fields += 1;
            if fields > FIELDS_MAX {
                return Err(HttpError::TooManyFields);
            }
            match field.name() {
                Some("username") => {
                    let text = text(&mut field, "username", USERNAME_FIELD_MAX_BYTES, &held).await?;
                    let text = text.ok_or(UsernameError::TooLong { max: USERNAME_MAX_CHARS })?;
                    once(&mut username, Username::parse(&text)?, "username")?;
                }
                Some("password") => {
                    let text = text(&mut field, "password", PASSWORD_MAX_BYTES, &held).await?;
                    let text = text.ok_or(PasswordError::TooLong { max: PASSWORD_MAX_BYTES })?;
                    once(&mut password, Password::parse(text)?, "password")?;
                }
                Some("invite") => {
                    let text = text(&mut field, "invite", INVITE_FIELD_MAX_BYTES, &held).await?;
                    once(&mut invite, text.ok_or(HttpError::SecretNotFound)?, "invite")?;
                }
                // A part without a file name is a text. Old pages send the text
                // `undefined` where no picture was chosen; the original ignored it.
                Some("avatar") if field.file_name().is_some() => {
                    if let Some(picture) = picture(&mut field, avatars, &held).await? {
                        once(&mut avatar, picture, "avatar")?;
                    }
                }
                _ => skip(&mut field, &held).await?,
            }
        }
        Ok(Self {
            username: username.ok_or(HttpError::CredentialsRequired)?,
            password: password.ok_or(HttpError::CredentialsRequired)?,
            avatar,
            invite: invite.filter(|invite| !invite.is_empty()),
        })
    }
}

/// Reads a form with a picture in the field `name`. Other fields are ignored.
///
/// # Errors
///
/// [`HttpError::PictureRequired`], and those of a request that is malformed, too large or too
/// slow.
pub(crate) async fn read_picture(
    name: &'static str,
    headers: &HeaderMap,
    body: &mut RequestBody,
    avatars: &AvatarFolder,
    max_bytes: u64,
) -> Result<ReceivedAvatar, HttpError> {
    let boundary = boundary(headers).ok_or(HttpError::NotMultipart)?;
    let held = Held::default();
    let mut form = Multipart::new(stream(body, held.clone(), max_bytes), boundary);
    let mut found = None;
    let mut fields = 0;
    while let Some(mut field) = form.next_field().await? {
        held.reset();
        fields += 1;
        if fields > FIELDS_MAX {
            return Err(HttpError::TooManyFields);
        }
        if field.name() == Some(name) && field.file_name().is_some() {
            if let Some(picture) = picture(&mut field, avatars, &held).await? {
                once(&mut found, picture, name)?;
            }
        } else {
            skip(&mut field, &held).await?;
        }
    }
    found.ok_or(HttpError::PictureRequired(name))
}

/// Fields in one form; the page sends three.
const FIELDS_MAX: usize = 32;

/// Bytes of the field `username`: enough for surrounding white space, and for characters
/// that become fewer when they are composed.
const USERNAME_FIELD_MAX_BYTES: usize = 1024;

/// Bytes of the field `invite`: several times those of a secret.
const INVITE_FIELD_MAX_BYTES: usize = 256;

/// Bytes before the content of a field: the boundary and the headers.
const HELD_MAX_BYTES: u64 = 64 * 1024;

/// The number of bytes that multer has buffered. Without a limit it would buffer the
/// headers of a field up to the size of the whole form, and search all of them again
/// with each chunk.
#[derive(Clone, Default)]
struct Held(Arc<AtomicU64>);

impl Held {
    fn add(&self, bytes: usize) -> Result<(), BodyError> {
        let held = self.0.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        if held > HELD_MAX_BYTES { Err(BodyError::TooLarge { max_bytes: HELD_MAX_BYTES }) } else { Ok(()) }
    }

    fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// The body as a stream for multer.
fn stream(
    body: &mut RequestBody,
    held: Held,
    max_bytes: u64,
) -> impl Stream<Item = Result<Bytes, BodyError>> + Send {
    futures_util::stream::try_unfold((body, held, 0), move |(body, held, received)| async move {
        let Some(chunk) = body.chunk().await? else { return Ok(None) };
        held.add(chunk.len())?;
        let received = received + chunk.len() as u64;
        if received > max_bytes {
            return Err(BodyError::TooLarge { max_bytes });
        }
        Ok(Some((chunk, (body, held, received))))
    })
}

/// The text of a field; `None` if it has more than `max` bytes.
async fn text(
    field: &mut Field<'_>,
    name: &'static str,
    max: usize,
    held: &Held,
) -> Result<Option<String>, HttpError> {
    // Allocated in full, so that growing leaves no copy of a password in freed memory.
    let mut bytes = Vec::with_capacity(max);
    while let Some(chunk) = field.chunk().await? {
        held.reset();
        if bytes.len() + chunk.len() > max {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk);
    }
    String::from_utf8(bytes).map(Some).map_err(|_| HttpError::FieldNotText(name))
}

/// The picture of a field; `None` if the field is empty.
async fn picture(
    field: &mut Field<'_>,
    avatars: &AvatarFolder,
    held: &Held,
) -> Result<Option<ReceivedAvatar>, HttpError> {
    let mut incoming = None;
    while let Some(chunk) = field.chunk().await? {
        held.reset();
        if chunk.is_empty() {
            continue;
        }
        match &mut incoming {
            None => incoming.insert(avatars.receive().await?).write(&chunk).await?,
            Some(avatar) => avatar.write(&chunk).await?,
        }
    }
    match incoming {
        Some(avatar) => Ok(Some(avatar.finish().await?)),
        None => Ok(None),
    }
}

/// Reads a field to its end.
async fn skip(field: &mut Field<'_>, held: &Held) -> Result<(), HttpError> {
    while field.chunk().await?.is_some() {
        held.reset();
    }
    Ok(())
}

/// Sets a field that may be set once. A proxy or filter in front could use the other one
/// of two fields with the same name.
fn once<T>(field: &mut Option<T>, value: T, name: &'static str) -> Result<(), HttpError> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(HttpError::FieldTwice(name)),
    }
}

/// The boundary between the fields: 1 to 70 characters (RFC 2046 §5.1.1).
fn boundary(headers: &HeaderMap) -> Option<String> {
    let boundary = multer::parse_boundary(headers.get(CONTENT_TYPE)?.to_str().ok()?).ok()?;
    (1..=70).contains(&boundary.len()).then_some(boundary)
}

//! Pictures that users send after their registration: their own, and the logo of the server.

use chat_core::Username;
use chat_pictures::PictureFor;
use hyper::Request;
use hyper::header::EXPECT;
use hyper::http::request;

use super::administrator;
use super::register::OTHER_FIELDS_MAX_BYTES;
use crate::app::App;
use crate::avatar::{AvatarError, Picture};
use crate::body::{RequestBody, SentBody};
use crate::error::HttpError;
use crate::form;
use crate::signed_in::SignedIn;

/// What a picture is for.
#[derive(Clone, Copy)]
pub(super) enum SentPicture {
    /// The user who sends it.
    Avatar,
    /// The server: only administrators send it.
    Logo,
}

impl SentPicture {
    /// The field of the form.
    fn field(self) -> &'static str {
        match self {
            Self::Avatar => "avatar",
            Self::Logo => "logo",
        }
    }

    async fn check(self, app: &App, head: &request::Parts) -> Result<SignedIn, HttpError> {
        match self {
            Self::Avatar => SignedIn::check(app, head).await,
            Self::Logo => administrator::check(app, head).await,
        }
    }
}

/// Reads the form of a request under the limits of avatars, and makes its picture small in the
/// turn of the user. The user is checked before, and again when the picture is there.
///
/// # Errors
///
/// Those of the user, of the form and of the picture.
pub(super) async fn receive(
    app: &App,
    request: Request<SentBody>,
    sent: SentPicture,
) -> Result<(Username, Picture), HttpError> {
    let (head, body) = request.into_parts();
    let mut body = RequestBody::new(body, &app.options);
    let received = async {
        let me = sent.check(app, &head).await?;
        let max_bytes = app.options.avatar_max_bytes + OTHER_FIELDS_MAX_BYTES;
        let picture =
            form::read_picture(sent.field(), &head.headers, &mut body, &app.avatars, max_bytes).await?;
        Ok((me.user, picture))
    };
    let (user, picture) = match received.await {
        Ok(received) => received,
        Err(error) => {
            // A client that sent `Expect: 100-continue` may not have sent the body.
            if !head.headers.contains_key(EXPECT) {
                body.discard().await;
            }
            return Err(error);
        }
    };
    let turn = app.pictures.turn(PictureFor::User(user.as_str())).await.map_err(AvatarError::from)?;
    let picture = picture.picture(turn).await?;
    sent.check(app, &head).await?;
    Ok((user, picture))
}

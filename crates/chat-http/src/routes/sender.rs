//! Who posts or reads messages over HTTP: a user, or a bot.

use chat_core::{RoomName, Username};

use super::room_call;
use crate::app::App;
use crate::error::HttpError;
use crate::identity::RequestHead;
use crate::secret;
use crate::signed_in::{SignedIn, bearer};

/// A user who is signed in, or a bot with its token.
pub(super) struct Sender {
    pub(super) user: Username,
    kind: Kind,
}

enum Kind {
    User(SignedIn),
    /// A bot for these rooms.
    Bot(Vec<RoomName>),
}

impl Sender {
    /// Checks the token of a request.
    ///
    /// # Errors
    ///
    /// Those of [`SignedIn::check`].
    pub(super) async fn check<'a>(app: &App, request: impl Into<RequestHead<'a>>) -> Result<Self, HttpError> {
        let request = request.into();
        match bearer(request.headers).filter(|token| token.starts_with(secret::BOT_TOKEN)) {
            Some(token) => {
                let bot = app.parts.stores.bots.find_bot(&secret::hash(token)).await?;
                let bot = bot.ok_or(HttpError::InvalidToken(None))?;
                Ok(Self { user: bot.name, kind: Kind::Bot(bot.rooms) })
            }
            None => {
                let me = SignedIn::check(app, request).await?;
                Ok(Self { user: me.user.clone(), kind: Kind::User(me) })
            }
        }
    }

    /// Whether the sender may post to a room, as far as the token says: the log knows the rest.
    ///
    /// # Errors
    ///
    /// [`HttpError::RoomOfBot`].
    pub(super) fn check_room(&self, room: &RoomName) -> Result<(), HttpError> {
        match &self.kind {
            Kind::Bot(rooms) if !rooms.contains(room) => Err(HttpError::RoomOfBot),
            Kind::Bot(_) | Kind::User(_) => Ok(()),
        }
    }

    /// Checks that the sender may read a room.
    ///
    /// # Errors
    ///
    /// [`HttpError::RoomOfBot`], [`HttpError::NotMember`], [`HttpError::Store`].
    pub(super) async fn check_reader(&self, app: &App, room: &RoomName) -> Result<(), HttpError> {
        self.check_room(room)?;
        match &self.kind {
            Kind::User(me) => room_call::access(app, me, room).await.map(drop),
            Kind::Bot(_) => {
                let access = app.parts.stores.log.access(&self.user, room).await?;
                if !access.may_read(room) {
                    return Err(HttpError::NotMember);
                }
                room_call::ask_hooks(app, &self.user, room).await
            }
        }
    }
}

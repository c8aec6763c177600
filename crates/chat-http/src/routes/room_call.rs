//! Requests about one room.

use std::sync::Arc;
use std::time::Instant;

use chat_core::{
    Access, Actor, ChangeFacts, ChangeRefused, Role, RoomAccess, RoomCreation, RoomName, Username,
    WantedChange, judge_change,
};
use chat_shard::now_ms;
use chat_store::ListedRoom;
use hyper::Request;

use super::call::Call;
use crate::app::App;
use crate::body::SentBody;
use crate::error::HttpError;
use crate::percent;
use crate::room_list::room_opened_by_name;
use crate::signed_in::SignedIn;

/// A request about a room that its user may read.
pub(super) struct RoomCall {
    pub(super) app: Arc<App>,
    /// The `{user}` of the path, with its escapes.
    pub(super) user: String,
    pub(super) room: RoomName,
    /// What the user who asks may do in the room.
    pub(super) access: RoomAccess,
    /// The user who asks.
    pub(super) by: Actor,
}

impl RoomCall {
    /// Checks the token and the name of the room, and that the user may read it. It asks
    /// the store once about the room: a closed room, and a name of a closed room that
    /// does not exist, are refused alike, and after the same time.
    ///
    /// # Errors
    ///
    /// [`HttpError::NotMember`], [`HttpError::RoomEncoding`], [`HttpError::Room`], those of
    /// [`ask_hooks`], and those of [`SignedIn::check`].
    pub(super) async fn check(call: Call) -> Result<(Self, Request<SentBody>), HttpError> {
        let (call, request) = Self::check_reader(call).await?;
        ask_hooks(&call.app, &call.by.user, &call.room).await?;
        Ok((call, request))
    }

    /// The same without the [hooks](chat_shard::Hooks::may_join): to leave a room.
    pub(super) async fn check_reader(call: Call) -> Result<(Self, Request<SentBody>), HttpError> {
        let Call { app, request, part, user, .. } = call;
        let me = SignedIn::check(&app, &request).await?;
        let room = percent::decode(&part, false).ok_or(HttpError::RoomEncoding)?;
        let room = RoomName::parse(&room)?;
        let access = readable(&app, &me, &room).await?;
        let by = Actor { user: me.user, is_administrator: access.is_administrator };
        Ok((Self { app, user, room, access, by }, request))
    }

    /// Finds the room, with its number of members.
    ///
    /// # Errors
    ///
    /// [`ChangeRefused::NoRoom`] if there is no such room and nobody is in it,
    /// [`HttpError::NotMember`] if it was closed meanwhile.
    pub(super) async fn find(&self) -> Result<ListedRoom, HttpError> {
        match self.app.parts.stores.rooms.find_room(&self.room).await? {
            Some(room) if room.info.access == Access::Open || self.access.role.is_some() => Ok(room),
            Some(_) => Err(HttpError::NotMember),
            None if self.is_in_use().await? => Ok(room_opened_by_name(&self.room)),
            None => Err(ChangeRefused::NoRoom.into()),
        }
    }

    /// Whether users are in the room, as the shards said at most a second ago.
    pub(super) async fn is_in_use(&self) -> Result<bool, HttpError> {
        Ok(self.app.rooms_in_use().await?.online.contains_key(&self.room))
    }

    /// Makes a change. One that the user may not make is refused before it could hold up
    /// the log's writer, which decides.
    pub(super) async fn make(&self, wanted: WantedChange) -> Result<(), HttpError> {
        let facts = ChangeFacts {
            info: self.access.info.as_deref(),
            actor: self.access.role,
            // Only the store knows what it has of the other user: here, anything goes.
            user: match &wanted {
                WantedChange::Put { role, .. } => *role,
                _ => None,
            },
            user_has_account: true,
            has_other_moderator: true,
            is_created_by_this: false,
            invite_is_good: false,
        };
        judge_change(&wanted, &facts)?;
        count_change(&self.app, &self.by.user)?;
        Ok(self.app.shards.change(wanted).await?)
    }

    /// The user of the path, who may be the one who asks.
    pub(super) fn named_user(&self) -> Result<Username, HttpError> {
        let name = percent::decode(&self.user, false).ok_or(ChangeRefused::NoUser)?;
        Ok(Username::known(&name).map_err(|_| ChangeRefused::NoUser)?)
    }

    /// Stores a room that users have opened by its name, if it is in use.
    pub(super) async fn keep_opened(&mut self) -> Result<(), HttpError> {
        if self.access.info.is_none() && self.is_in_use().await? {
            let room = (self.room.clone(), self.room.as_str().to_owned());
            self.app.parts.stores.rooms.add_rooms(&[room], now_ms()).await?;
            self.access.info = self.app.parts.stores.log.access(&self.by.user, &self.room).await?.info;
        }
        Ok(())
    }
}

/// Counts a change of rooms by a user.
///
/// # Errors
///
/// [`HttpError::TooManyChanges`] if the user makes changes too fast.
pub(super) fn count_change(app: &App, user: &Username) -> Result<(), HttpError> {
    let counted = app.room_change_rate.count(user, Instant::now());
    counted.map_err(|retry_after_seconds| HttpError::TooManyChanges { retry_after_seconds })
}

/// Asks the program around the chat whether a user may join a room: for every request by which a
/// user would get into it, read it, or write to it.
///
/// # Errors
///
/// [`HttpError::JoinRefused`], [`HttpError::HookSilent`].
pub(super) async fn ask_hooks(app: &App, user: &Username, room: &RoomName) -> Result<(), HttpError> {
    let options = &app.options.shards;
    match options.hooks.may_join(user, room, options.hook_timeout).await {
        Some(true) => Ok(()),
        Some(false) => Err(HttpError::JoinRefused),
        None => Err(HttpError::HookSilent),
    }
}

/// What a user may do in a room that the user may read, and may join.
///
/// # Errors
///
/// [`HttpError::NotMember`], [`HttpError::Store`], and those of [`ask_hooks`].
pub(super) async fn access(app: &App, me: &SignedIn, room: &RoomName) -> Result<RoomAccess, HttpError> {
    let access = readable(app, me, room).await?;
    ask_hooks(app, &me.user, room).await?;
    Ok(access)
}

async fn readable(app: &App, me: &SignedIn, room: &RoomName) -> Result<RoomAccess, HttpError> {
    let mut access = app.parts.stores.log.access(&me.user, room).await?;
    // A token without a session is another issuer's, who names any user.
    access.is_administrator &= me.session.is_some();
    if access.may_read(room) { Ok(access) } else { Err(HttpError::NotMember) }
}

/// Whether a user is a moderator of a room.
///
/// # Errors
///
/// [`HttpError::Store`].
pub(super) async fn moderates(app: &App, me: &SignedIn, room: &RoomName) -> Result<bool, HttpError> {
    match access(app, me, room).await {
        Ok(access) => Ok(access.role == Some(Role::Moderator)),
        Err(HttpError::NotMember | HttpError::JoinRefused) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Checks that a client may join a room, or open one of this name.
///
/// # Errors
///
/// [`HttpError::NotMember`], [`HttpError::RoomCreation`], [`HttpError::NewRoomName`],
/// [`HttpError::Store`].
pub(super) async fn check_entry(app: &Arc<App>, me: &SignedIn, room: &RoomName) -> Result<(), HttpError> {
    let access = access(app, me, room).await?;
    if access.info.is_some() {
        return Ok(());
    }
    let options = &app.options.shards.hub;
    if !access.is_administrator && options.room_creation != RoomCreation::Everybody {
        return Err(HttpError::RoomCreation);
    }
    Ok(options.room_looks.check_new_name(room)?)
}

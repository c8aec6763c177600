//! The members of a room: `/api/rooms/<name>/members` and `/api/rooms/<name>/membership`

use chat_core::{ChangeRefused, Role, Username, WantedChange};
use hyper::{Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::call::Call;
use super::room_call::{self, RoomCall};
use super::{json, query};
use crate::answer::{self, Body, Nothing};
use crate::error::HttpError;

/// A page of the members of a room, for every user who may read it.
pub(super) async fn list(call: Call) -> Result<Response<Body>, HttpError> {
    let (call, request) = RoomCall::check(call).await?;
    call.app.count_list(&call.by.user)?;
    let ListQuery { after, limit } = ListQuery::parse(request.uri().query().unwrap_or_default())?;
    if call.access.info.is_none() && !call.is_in_use().await? {
        return Err(ChangeRefused::NoRoom.into());
    }
    // One more shows whether there is another page.
    let mut found = call.app.parts.stores.rooms.members_of(&call.room, after.as_ref(), limit + 1).await?;
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| has_more).map(|(name, _)| name.as_str().to_owned());
    let online = call.app.online_users().await;
    let members = found
        .iter()
        .map(|(name, role)| Member {
            username: name.as_str(),
            role: (*role).into(),
            online: online.contains(name),
        })
        .collect();
    Ok(answer::json(StatusCode::OK, &MemberList { members, next }))
}

/// What a listing of members asks for: at most `limit` of those after `after`.
struct ListQuery {
    after: Option<Username>,
    limit: usize,
}

impl ListQuery {
    fn parse(query: &str) -> Result<Self, HttpError> {
        let mut parsed = Self { after: None, limit: LIMIT_DEFAULT };
        for parameter in query::parameters(query) {
            let (key, value) = parameter?;
            match key {
                "after" => parsed.after = Some(Username::known(&value).map_err(|_| HttpError::After)?),
                "limit" => parsed.limit = query::limit(&value, LIMIT_MAX)?,
                _ => {}
            }
        }
        Ok(parsed)
    }
}

/// The most members in one page.
const LIMIT_MAX: usize = 100;
const LIMIT_DEFAULT: usize = 50;

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct MemberList<'a> {
    /// The members in the order of their names, at most 100.
    members: Vec<Member<'a>>,
    /// The value of `after` for the next page. Opaque; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Member<'a> {
    /// The name in its exact spelling.
    username: &'a str,
    role: RoleName,
    /// Whether the user had a connection, at most a second ago.
    online: bool,
}

/// The role of a member in a room. A moderator also changes the room, appoints
/// moderators and removes members.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "RoomRole"))]
pub(super) enum RoleName {
    Member,
    Moderator,
}

impl From<Role> for RoleName {
    fn from(role: Role) -> Self {
        match role {
            Role::Member => Self::Member,
            Role::Moderator => Self::Moderator,
        }
    }
}

impl From<RoleName> for Role {
    fn from(role: RoleName) -> Self {
        match role {
            RoleName::Member => Self::Member,
            RoleName::Moderator => Self::Moderator,
        }
    }
}

/// The role of a user who becomes a member, or whose role changes.
#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct NewRole {
    /// Without it, a member keeps the role, and another user becomes a member.
    role: Option<RoleName>,
}

/// Makes a user a member, or changes the role of a member.
pub(super) async fn put(call: Call) -> Result<Response<Body>, HttpError> {
    let (call, request) = RoomCall::check(call).await?;
    let user = call.named_user()?;
    room_call::ask_hooks(&call.app, &user, &call.room).await?;
    let body = json::read(&call.app, request).await?;
    let new = match body.trim_ascii() {
        [] => NewRole::default(),
        body => json::parse::<NewRole>(body).ok_or(HttpError::InvalidJson)?,
    };
    make_member(call, user, new.role.map(Role::from)).await
}

/// Makes the user who asks a member of an open room.
pub(super) async fn join(call: Call) -> Result<Response<Body>, HttpError> {
    let (call, _) = RoomCall::check(call).await?;
    if call.access.role.is_some() {
        return Ok(answer::json(StatusCode::OK, &Nothing {}));
    }
    let user = call.by.user.clone();
    make_member(call, user, None).await
}

async fn make_member(
    mut call: RoomCall,
    user: Username,
    role: Option<Role>,
) -> Result<Response<Body>, HttpError> {
    call.keep_opened().await?;
    let (room, by) = (call.room.clone(), call.by.clone());
    call.make(WantedChange::Put { room, user, role, by }).await?;
    Ok(answer::json(StatusCode::OK, &Nothing {}))
}

/// Removes a member.
pub(super) async fn remove(call: Call) -> Result<Response<Body>, HttpError> {
    let (call, _) = RoomCall::check(call).await?;
    let user = call.named_user()?;
    end_membership(call, user).await
}

/// Ends the membership of the user who asks.
pub(super) async fn leave(call: Call) -> Result<Response<Body>, HttpError> {
    let (call, _) = RoomCall::check_reader(call).await?;
    if call.access.info.is_some() && call.access.role.is_none() {
        return Ok(answer::json(StatusCode::OK, &Nothing {}));
    }
    let user = call.by.user.clone();
    end_membership(call, user).await
}

async fn end_membership(call: RoomCall, user: Username) -> Result<Response<Body>, HttpError> {
    let (room, by) = (call.room.clone(), call.by.clone());
    call.make(WantedChange::Remove { room, user, by }).await?;
    Ok(answer::json(StatusCode::OK, &Nothing {}))
}

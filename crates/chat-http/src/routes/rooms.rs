//! `GET` and `POST /api/rooms`, `GET` and `PATCH /api/rooms/<name>`

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use chat_core::{
    Access, ChangeRefused, Role, RoomCreation, RoomInfo, RoomName, RoomPatch, Username, WantedChange,
    fold_case, parse_new_room_name, parse_room_description, parse_room_title, room_name_of_title,
};
use chat_shard::ChangeError;
use chat_store::ListedRoom;
use hyper::{Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::call::Call;
use super::members::RoleName;
use super::room_call::{self, RoomCall};
use super::{json, query};
use crate::answer::{self, Body};
use crate::app::App;
use crate::error::HttpError;
use crate::room_list::Place;
use crate::signed_in::SignedIn;

/// A page of the rooms of the user and of all open rooms.
pub(super) async fn list(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, .. } = call;
    let me = SignedIn::check(&app, &request).await?;
    app.count_list(&me.user)?;
    let query = ListQuery::parse(request.uri().query().unwrap_or_default(), app.options.rooms_max)?;
    let open = app.open_rooms().await?;
    let own = app.own_rooms(&me.user, &open).await?;
    // One more shows whether there is another page.
    let mut page = open.page(&own, query.search.as_deref(), query.after.as_ref(), query.limit + 1);
    let has_more = page.len() > query.limit;
    page.truncate(query.limit);
    let next = page.last().filter(|_| has_more).map(|(place, _)| written(place));
    let rooms = page
        .into_iter()
        .map(|(place, room)| Room::new(room, open.online(&room.name), !place.is_others, None))
        .collect();
    Ok(answer::json(StatusCode::OK, &RoomList { rooms, next }))
}

/// What a listing of rooms asks for: at most `limit` rooms after `after` whose title or
/// name contains `search`, which is in folded case.
#[derive(Debug, PartialEq, Eq)]
struct ListQuery {
    search: Option<String>,
    after: Option<Place>,
    limit: usize,
}

impl ListQuery {
    fn parse(query: &str, limit_max: usize) -> Result<Self, HttpError> {
        let mut parsed = Self { search: None, after: None, limit: limit_max };
        for parameter in query::parameters(query) {
            let (key, value) = parameter?;
            match key {
                "q" => parsed.search = Some(fold_case(value.trim())).filter(|text| !text.is_empty()),
                "after" => parsed.after = Some(read(&value).ok_or(HttpError::After)?),
                "limit" => parsed.limit = query::limit(&value, limit_max)?,
                _ => {}
            }
        }
        Ok(parsed)
    }
}

/// A place as the `next` of a page.
fn written(place: &Place) -> String {
    let Place { archived, is_others, newest_first: Reverse(at_ms), configured, name } = place;
    format!("{}.{at_ms}.{configured}.{name}", u8::from(*archived) * 2 + u8::from(*is_others))
}

/// The place of a `next`.
fn read(next: &str) -> Option<Place> {
    let mut parts = next.splitn(4, '.');
    let part: u8 = parts.next()?.parse().ok().filter(|part| *part < 4)?;
    Some(Place {
        archived: part & 2 != 0,
        is_others: part & 1 != 0,
        newest_first: Reverse(parts.next()?.parse().ok()?),
        configured: parts.next()?.parse().ok()?,
        name: parts.next().filter(|name| !name.is_empty()).and_then(|name| RoomName::parse(name).ok())?,
    })
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct RoomList {
    /// The rooms of which the user is a member, then the other open rooms, at most 200. In
    /// each part, those with the newest messages come first; archived rooms are behind all
    /// others.
    rooms: Vec<Room>,
    /// The value of `after` for the next page. Opaque; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A room.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Room {
    /// The name, as in `/ws?room=` and in frames.
    name: String,
    /// The title that is shown to people.
    title: String,
    /// What the room is about; may be empty, and have several lines.
    description: String,
    access: AccessName,
    /// The number of members.
    members: u64,
    /// The number of users who have joined the room, each counted once, at most a second
    /// ago.
    online: usize,
    /// Whether the user is a member.
    member: bool,
    /// The role of the user, if the user is a member; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<RoleName>,
    /// Whether nothing can be written to the room any more.
    archived: bool,
}

impl Room {
    fn new(room: &ListedRoom, online: usize, member: bool, role: Option<Role>) -> Self {
        Self {
            name: room.name.as_str().to_owned(),
            title: room.info.title.clone(),
            description: room.info.description.clone(),
            access: room.info.access.into(),
            members: room.members,
            online,
            member,
            role: role.map(RoleName::from),
            archived: room.info.archived,
        }
    }
}

/// The users who may read a room and write to it: all, or its members only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "RoomAccess"))]
enum AccessName {
    Open,
    Closed,
}

impl From<Access> for AccessName {
    fn from(access: Access) -> Self {
        match access {
            Access::Open => Self::Open,
            Access::Closed => Self::Closed,
        }
    }
}

impl From<AccessName> for Access {
    fn from(access: AccessName) -> Self {
        match access {
            AccessName::Open => Self::Open,
            AccessName::Closed => Self::Closed,
        }
    }
}

/// One room.
pub(super) async fn show(call: Call) -> Result<Response<Body>, HttpError> {
    let (call, _) = RoomCall::check(call).await?;
    let room = call.find().await?;
    answer_with(StatusCode::OK, &call.app, &room, call.access.role).await
}

async fn answer_with(
    status: StatusCode,
    app: &Arc<App>,
    room: &ListedRoom,
    role: Option<Role>,
) -> Result<Response<Body>, HttpError> {
    let online = app.rooms_in_use().await?.online.get(&room.name).copied().unwrap_or(0);
    Ok(answer::json(status, &Room::new(room, online, role.is_some(), role)))
}

/// A room that is to be created. A missing title is a blank one.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct NewRoom {
    /// Trimmed, brought to NFC; then 1 to 64 characters, none of them a control or invisible
    /// character, and at most 4 combining marks on one letter. It does not look like the title or
    /// name of a room of the settings.
    #[serde(default)]
    title: String,
    /// The name of an open room: 1 to 64 characters, none of them a control or invisible
    /// character, not `.` or `..`, not beginning with `~`, and not looking like the name or title
    /// of a room of the settings. Without it, the server makes one from the title. A closed room
    /// has none to give.
    name: Option<String>,
    /// Trimmed, brought to NFC; then at most 500 characters. Line ends are the only control
    /// characters.
    description: Option<String>,
    /// `open` if it is missing.
    access: Option<AccessName>,
    /// Further members, at most 100. The creator is one by itself.
    #[serde(default)]
    members: Vec<String>,
}

/// Creates a room. Its creator becomes its moderator.
pub(super) async fn create(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, .. } = call;
    let me = SignedIn::check(&app, &request).await?;
    let body = json::read(&app, request).await?;
    let new: NewRoom = json::parse(&body).ok_or(HttpError::InvalidJson)?;
    if app.options.shards.hub.room_creation == RoomCreation::Administrators
        // A token without a session is another issuer's, who names any user.
        && !(me.session.is_some() && app.parts.stores.users.is_administrator(&me.user).await?)
    {
        return Err(HttpError::RoomCreation);
    }
    let access = new.access.map_or(Access::Open, Access::from);
    let info = RoomInfo {
        title: parse_room_title(&new.title)?,
        description: parse_room_description(new.description.as_deref().unwrap_or_default())?,
        access,
        archived: false,
    };
    let looks = &app.options.shards.hub.room_looks;
    looks.check_title(&info.title, None)?;
    let members = new_members(&new.members)?;
    let name = match (access, new.name.as_deref()) {
        (Access::Closed, None) => Some(name_of_closed()),
        (Access::Closed, Some(_)) => return Err(HttpError::NameOfClosedRoom),
        (Access::Open, Some(name)) => {
            let name = parse_new_room_name(name)?;
            looks.check_new_name(&name)?;
            Some(name)
        }
        (Access::Open, None) => None,
    };
    room_call::count_change(&app, &me.user)?;
    let wanted = |room: RoomName| WantedChange::Create {
        room,
        info: info.clone(),
        members: members.clone(),
        by: me.user.clone(),
    };
    let name = match name {
        Some(name) => {
            for user in members.iter().chain([&me.user]) {
                room_call::ask_hooks(&app, user, &name).await?;
            }
            app.shards.change(wanted(name.clone())).await?;
            name
        }
        None => create_by_title(&app, &info.title, members.iter().chain([&me.user]), wanted).await?,
    };
    let room = app.parts.stores.rooms.find_room(&name).await?.ok_or(ChangeRefused::NoRoom)?;
    answer_with(StatusCode::CREATED, &app, &room, Some(Role::Moderator)).await
}

/// Parses the names of the further members of a new room, each once.
fn new_members(names: &[String]) -> Result<Vec<Username>, HttpError> {
    if names.len() > NEW_MEMBERS_MAX {
        return Err(HttpError::TooManyMembers { max: NEW_MEMBERS_MAX });
    }
    let names: Result<BTreeSet<_>, _> = names.iter().map(|name| Username::known(name)).collect();
    Ok(names.map_err(|_| ChangeRefused::NoUser)?.into_iter().collect())
}

/// The most further members of a new room.
pub(super) const NEW_MEMBERS_MAX: usize = 100;

/// Creates an open room under the first name for its title that no room has.
async fn create_by_title<'a>(
    app: &App,
    title: &str,
    users: impl Iterator<Item = &'a Username> + Clone,
    wanted: impl Fn(RoomName) -> WantedChange,
) -> Result<RoomName, HttpError> {
    // After the readable numbers, one that nobody else has.
    let attempts = (1..NUMBERED_NAMES_MAX).chain([rand::random_range(10_000..u32::MAX)]);
    for attempt in attempts {
        let name = room_name_of_title(title, attempt);
        // The title differed from that of another room only in what a name does not have.
        if app.options.shards.hub.room_looks.check_new_name(&name).is_err() {
            continue;
        }
        for user in users.clone() {
            room_call::ask_hooks(app, user, &name).await?;
        }
        match app.shards.change(wanted(name.clone())).await {
            Err(ChangeError::Refused(ChangeRefused::Exists)) => {}
            result => return Ok(result.map(|()| name)?),
        }
    }
    Err(ChangeRefused::Exists.into())
}

/// Names that are tried for a title: `garden`, `garden-2` and so on.
const NUMBERED_NAMES_MAX: u32 = 10;

/// A new name of a closed room: `~` and 128 random bits in the alphabet of base64url
/// (RFC 4648 §5).
fn name_of_closed() -> RoomName {
    let bits: u128 = rand::random();
    let digit = |index| char::from(BASE64URL[(bits >> (6 * index)) as usize & 63]);
    let name: String = ['~'].into_iter().chain((0..22).map(digit)).collect();
    RoomName::parse(&name).expect("23 letters, digits, hyphens and underscores")
}

const BASE64URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The fields of a room that are to change.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct RoomChanges {
    /// As in a new room.
    title: Option<String>,
    /// As in a new room.
    description: Option<String>,
    /// An open room can be closed; a closed one is never opened.
    access: Option<AccessName>,
    /// Whether nothing can be written to the room any more.
    archived: Option<bool>,
}

/// Changes a room.
pub(super) async fn change(call: Call) -> Result<Response<Body>, HttpError> {
    let (call, request) = RoomCall::check(call).await?;
    let body = json::read(&call.app, request).await?;
    let changes: RoomChanges = json::parse(&body).ok_or(HttpError::InvalidJson)?;
    let patch = RoomPatch {
        title: changes.title.map(|title| new_title(&call, title)).transpose()?,
        description: changes.description.as_deref().map(parse_room_description).transpose()?,
        access: changes.access.map(Access::from),
        archived: changes.archived,
    };
    let (room, by) = (call.room.clone(), call.by.clone());
    call.make(WantedChange::Change { room, patch, by }).await?;
    let room = call.app.parts.stores.rooms.find_room(&call.room).await?.ok_or(ChangeRefused::NoRoom)?;
    answer_with(StatusCode::OK, &call.app, &room, call.access.role).await
}

/// Parses the new title of a room. One that it has already is as good as it was.
fn new_title(call: &RoomCall, title: String) -> Result<String, HttpError> {
    if call.access.info.as_ref().is_some_and(|info| info.title == title) {
        return Ok(title);
    }
    let title = parse_room_title(&title)?;
    call.app.options.shards.hub.room_looks.check_title(&title, Some(&call.room))?;
    Ok(title)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_asked_for_by_a_search_and_a_place() {
        let place = |text: &str| read(text).unwrap();
        for (query, search, after, limit) in [
            ("", None, None, 200),
            ("q=+&other=1", None, None, 200),
            ("q=%D0%A1%D0%B0%D0%B4&limit=1", Some("сад"), None, 1),
            ("after=3.17.4294967295.a.b%26c&limit=200", None, Some(place("3.17.4294967295.a.b&c")), 200),
        ] {
            let expected = ListQuery { search: search.map(str::to_owned), after, limit };
            assert_eq!(ListQuery::parse(query, 200).unwrap(), expected, "{query}");
        }
        for (query, expected) in [
            ("limit=0", "limit must be a number from 1 to 200"),
            ("limit=201", "limit must be a number from 1 to 200"),
            ("q=%zz", "the query is not well encoded"),
            ("after=", "after is not the next of an earlier page"),
            ("after=4.1.1.x", "after is not the next of an earlier page"),
            ("after=1.1.1.", "after is not the next of an earlier page"),
            ("after=1.-1.1.x", "after is not the next of an earlier page"),
            ("after=1.1.1", "after is not the next of an earlier page"),
        ] {
            assert_eq!(ListQuery::parse(query, 200).unwrap_err().to_string(), expected, "{query}");
        }
    }

    #[test]
    fn a_place_is_read_as_it_was_written() {
        for text in ["0.0.0.x", "3.1795371797000.4294967295. a.b ", "2.18446744073709551615.1.~"] {
            assert_eq!(written(&read(text).unwrap()), text);
        }
    }

    #[test]
    fn a_closed_room_has_a_name_that_nobody_guesses() {
        let (one, other) = (name_of_closed(), name_of_closed());
        assert!(one.is_made_by_server() && one.as_str().len() == 23, "{one}");
        assert_ne!(one, other);
    }
}

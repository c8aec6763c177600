//! Invitations: `/api/invites` and `/api/join/<secret>`

use chat_core::{ChangeRefused, Role, RoomName, Username, WantedChange};
use chat_shard::{ChangeError, now_ms};
use chat_store::{INVITES_MAX, Invite, InvitePosition, InviteRefused, InvitesOf, NewInvite};
use hyper::{Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::call::Call;
use super::{administrator, json, query, room_call};
use crate::answer::{self, Body, Nothing};
use crate::app::App;
use crate::error::HttpError;
use crate::percent;
use crate::secret::{self, Secret};
use crate::signed_in::SignedIn;

/// What a new invitation is like.
#[derive(Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct InviteOrder {
    /// How often it can be used: 1 to 10,000. Without it, any number of times.
    #[serde(default)]
    #[cfg_attr(test, schemars(range(min = 1, max = 10_000)))]
    uses: Option<u64>,
    /// After how many days it ends: 1 to 365. Without it, after 7.
    #[serde(default)]
    #[cfg_attr(test, schemars(range(min = 1, max = 365)))]
    days: Option<u64>,
    /// The room that it makes its users members of. Without it, the invitation is for an
    /// account only, which needs an administrator.
    #[serde(default)]
    room: Option<String>,
}

/// Makes an invitation. Members invite to rooms in which they may add members,
/// administrators also to the server.
pub(super) async fn create(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, .. } = call;
    let (me, body) = json::read_signed_in(&app, request).await?;
    let order = match body.trim_ascii() {
        [] => InviteOrder::default(),
        body => json::parse::<InviteOrder>(body).ok_or(HttpError::InvalidJson)?,
    };
    if order.uses.is_some_and(|uses| !(1..=USES_MAX).contains(&uses)) {
        return Err(HttpError::InviteUses { max: USES_MAX });
    }
    let days = order.days.unwrap_or(DAYS_DEFAULT);
    if !(1..=DAYS_MAX).contains(&days) {
        return Err(HttpError::InviteDays { max: DAYS_MAX });
    }
    let room = match order.room {
        Some(room) => Some(RoomName::parse(&room)?),
        None => None,
    };
    let title = check_inviter(&app, &me, room.as_ref()).await?;
    room_call::count_change(&app, &me.user)?;
    let (secret, now) = (Secret::random(), now_ms());
    let invite = NewInvite {
        id: secret::random_id(),
        secret: secret.hash(),
        by: me.user,
        room,
        uses_max: order.uses,
        created_at_ms: now,
        expires_at_ms: Some(now + days * DAY_MS),
    };
    app.parts.stores.administration.create_invite(&invite).await?.map_err(|refused| match refused {
        InviteRefused::Forbidden => ChangeRefused::Forbidden.into(),
        InviteRefused::TooMany { .. } => HttpError::TooManyInvites,
    })?;
    let NewInvite { id, by, room, uses_max, created_at_ms, expires_at_ms, .. } = invite;
    let made = NewlyMade {
        url: app.link(&format!("/join/{}", secret.as_str())),
        secret: secret.as_str().to_owned(),
        invite: Invite { id, by, room, uses_max, used: 0, created_at_ms, expires_at_ms, title }.into(),
    };
    Ok(answer::json(StatusCode::CREATED, &made))
}

/// Checks that a user may invite to a room, or (`None`) to the server. Returns the title of
/// the room.
async fn check_inviter(
    app: &App,
    me: &SignedIn,
    room: Option<&RoomName>,
) -> Result<Option<String>, HttpError> {
    let Some(room) = room else {
        let is_administrator = administrator::is_administrator(app, me).await?;
        return if is_administrator { Ok(None) } else { Err(HttpError::NotAdministrator) };
    };
    let access = room_call::access(app, me, room).await?;
    let info = access.info.ok_or(ChangeRefused::NoRoom)?;
    let may_add = access.role.is_some() || access.is_administrator;
    if !may_add || me.session.is_none() || info.archived {
        return Err(ChangeRefused::Forbidden.into());
    }
    Ok(Some(info.title.clone()))
}

pub(super) const USES_MAX: u64 = 10_000;
pub(super) const DAYS_MAX: u64 = 365;
const DAYS_DEFAULT: u64 = 7;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// A new invitation. Its secret is shown this once.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct NewlyMade {
    #[serde(flatten)]
    invite: ListedInvite,
    /// The secret of the link, for `/api/join/<secret>` and the field `invite` of
    /// `POST /api/register`.
    secret: String,
    /// The link to the page, below the public URL of the server where it is known.
    url: String,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ListedInvite {
    /// The id, with which it is withdrawn. It is no secret.
    id: String,
    /// The user who invites.
    by: String,
    /// The room; absent if it is for an account only.
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<String>,
    /// The title of the room.
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    /// How often it can be used in all; absent: any number of times.
    #[serde(skip_serializing_if = "Option::is_none")]
    uses: Option<u64>,
    /// How often it was used.
    used: u64,
    /// When it was made, in whole seconds since 1970.
    created: u64,
    /// When it ends, in whole seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct InviteList {
    /// The invitations that can be used, at most 200: those of the user who asks, and then
    /// those of others; each the newest first.
    invites: Vec<ListedInvite>,
    /// The value of `after` for the next page. Opaque; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl From<Invite> for ListedInvite {
    fn from(invite: Invite) -> Self {
        Self {
            id: invite.id,
            by: invite.by.as_str().to_owned(),
            room: invite.room.map(|room| room.as_str().to_owned()),
            title: invite.title,
            uses: invite.uses_max,
            used: invite.used,
            created: invite.created_at_ms / 1000,
            expires: invite.expires_at_ms.map(|at| at / 1000),
        }
    }
}

/// A page of the invitations that can be used: those of the user who asks, and behind them, for
/// administrators, those of others; with `room`, all to that room, for its moderators and
/// administrators.
pub(super) async fn list(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, .. } = call;
    let me = SignedIn::check(&app, &request).await?;
    let (mut room, mut after) = (None, None);
    for parameter in query::parameters(request.uri().query().unwrap_or_default()) {
        let (key, value) = parameter?;
        match key {
            "room" => room = Some(RoomName::parse(&value)?),
            "after" => after = Some(position(&value)?),
            _ => {}
        }
    }
    app.count_list(&me.user)?;
    let administration = &app.parts.stores.administration;
    let now = now_ms();
    let mut found = Vec::new();
    // One more than in a page shows whether there is another page.
    if let Some(room) = &room {
        let access = room_call::access(&app, &me, room).await?;
        if access.info.is_none() {
            return Err(ChangeRefused::NoRoom.into());
        }
        if access.role != Some(Role::Moderator) && !access.is_administrator {
            return Err(ChangeRefused::Forbidden.into());
        }
        let of = InvitesOf::Room(room);
        found = administration.invites(of, after.as_ref(), now, LISTED_MAX + 1).await?;
    } else {
        if after.is_none() {
            found = administration.invites(InvitesOf::User(&me.user), None, now, INVITES_MAX).await?;
        }
        if administrator::is_administrator(&app, &me).await? {
            let (of, max) = (InvitesOf::Others { reader: &me.user }, LISTED_MAX + 1 - found.len());
            found.extend(administration.invites(of, after.as_ref(), now, max).await?);
        }
    }
    let has_more = found.len() > LISTED_MAX;
    found.truncate(LISTED_MAX);
    let next = found.last().filter(|_| has_more).map(|last| format!("{}.{}", last.created_at_ms, last.id));
    let invites = found.into_iter().map(ListedInvite::from).collect();
    Ok(answer::json(StatusCode::OK, &InviteList { invites, next }))
}

/// The most invitations in a page: more than a user may have.
const LISTED_MAX: usize = 200;
const _: () = assert!(INVITES_MAX < LISTED_MAX);

/// Parses the `next` of an earlier page.
fn position(value: &str) -> Result<InvitePosition, HttpError> {
    let (created_at_ms, id) = value.split_once('.').ok_or(HttpError::After)?;
    let created_at_ms = query::id(created_at_ms).map_err(|_| HttpError::After)?;
    Ok(InvitePosition { created_at_ms, id: id.to_owned() })
}

/// Withdraws an invitation: one's own; moderators, those to their rooms; administrators, any.
pub(super) async fn remove(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, part, .. } = call;
    let me = SignedIn::check(&app, &request).await?;
    room_call::count_change(&app, &me.user)?;
    let administration = &app.parts.stores.administration;
    let found = administration.invite(&part, now_ms()).await?.ok_or(HttpError::SecretNotFound)?;
    let may_withdraw = found.by == me.user
        || moderates(&app, &me, found.room.as_ref()).await?
        || administrator::is_administrator(&app, &me).await?;
    if !may_withdraw || !administration.delete_invite(&part, Some(&me.user), now_ms()).await? {
        return Err(HttpError::SecretNotFound);
    }
    Ok(answer::json(StatusCode::OK, &Nothing {}))
}

/// Whether a user is a moderator of the room of an invitation.
async fn moderates(app: &App, me: &SignedIn, room: Option<&RoomName>) -> Result<bool, HttpError> {
    match room {
        Some(room) => room_call::moderates(app, me, room).await,
        None => Ok(false),
    }
}

/// Who invites, and where to.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Invitation {
    /// The user who invites.
    by: String,
    /// The path of that user's avatar; empty if there is none.
    avatar: String,
    /// The title of the room, or of the server.
    title: String,
    /// Whether the invitation makes its user a member of a room.
    to_room: bool,
}

/// Says who invites, and where to. Nobody needs to be signed in.
pub(super) async fn show(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, part, .. } = call;
    let invite = find(&app, &part).await?;
    let title = match &invite.room {
        Some(_) => invite.title.ok_or(HttpError::SecretNotFound)?,
        None => app.profile().await?.title.clone(),
    };
    let inviter = app.parts.stores.users.find_user(&invite.by).await?;
    let invitation = Invitation {
        by: invite.by.as_str().to_owned(),
        avatar: app.picture_address(inviter.and_then(|user| user.avatar)),
        title,
        to_room: invite.room.is_some(),
    };
    Ok(answer::json(StatusCode::OK, &invitation))
}

/// The room that was joined.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct JoinedRoom {
    /// Absent if the invitation was for an account only.
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<String>,
}

/// Makes the user who asks a member of the room of an invitation. Somebody who is a member
/// already uses nothing.
pub(super) async fn join(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, part, .. } = call;
    let me = SignedIn::check(&app, &request).await?;
    let invite = find(&app, &part).await?;
    let Some(room) = invite.room else { return Ok(answer::json(StatusCode::OK, &JoinedRoom { room: None })) };
    room_call::ask_hooks(&app, &me.user, &room).await?;
    room_call::count_change(&app, &me.user)?;
    accept(&app, me.user, room.clone(), &part).await?;
    Ok(answer::json(StatusCode::OK, &JoinedRoom { room: Some(room.as_str().to_owned()) }))
}

async fn accept(app: &App, user: Username, room: RoomName, secret: &str) -> Result<(), HttpError> {
    let accept = WantedChange::Accept { room, user, invite: hash(secret)? };
    match app.shards.change(accept).await {
        Ok(()) => Ok(()),
        Err(ChangeError::Refused(ChangeRefused::NoInvite)) => Err(HttpError::SecretNotFound),
        Err(error) => Err(error.into()),
    }
}

/// The invitation whose secret a part of a path is.
async fn find(app: &App, part: &str) -> Result<Invite, HttpError> {
    let found = app.parts.stores.administration.find_invite(&hash(part)?, now_ms()).await?;
    found.ok_or(HttpError::SecretNotFound)
}

fn hash(part: &str) -> Result<chat_core::SecretHash, HttpError> {
    let secret = percent::decode(part, false).ok_or(HttpError::SecretNotFound)?;
    Ok(secret::hash(&secret))
}

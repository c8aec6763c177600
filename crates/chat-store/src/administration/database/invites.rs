//! Invitations in a database.

use chat_core::{Role, RoomName, SecretHash, Username};

use super::NO_ANSWER;
use super::audit::note;
use crate::administration::{
    AuditAction, INVITES_MAX, Invite, InvitesOf, NewAudit, NewInvite, invite_created,
};
use crate::rooms::members::{self, NewMember};
use crate::rows::Columns;
use crate::statements::{Statements, Value};
use crate::{StoreError, columns};
use Value::{Number, NumberOrNull, Text, TextOrNull};

/// Stores an invitation; see [`create_invite`](super::AdministrationRepository::create_invite).
pub(crate) async fn create_invite<S: Statements>(
    statements: &mut S,
    invite: &NewInvite,
) -> Result<bool, S::Error> {
    let now = Number(columns::column(invite.created_at_ms));
    if statements.row(INVITE_EXISTS, &[Text(&invite.id)]).await?.is_some() {
        return Ok(true);
    }
    statements.rows(SWEEP_INVITES, &[now]).await?;
    let by = invite.by.as_str();
    let count = statements.row(COUNT_INVITES, &[Text(by), now]).await?.ok_or(NO_ANSWER)?.number(0)?;
    if count >= INVITES_MAX as u64 {
        return Ok(false);
    }
    let values = [
        Text(&invite.id),
        Text(&invite.secret.to_hex()),
        Text(by),
        TextOrNull(invite.room.as_ref().map(RoomName::as_str)),
        NumberOrNull(invite.uses_max.map(columns::column)),
        now,
        NumberOrNull(invite.expires_at_ms.map(columns::column)),
    ];
    statements.rows(ADD_INVITE, &values).await?;
    note(statements, invite_created(invite)).await?;
    Ok(true)
}

/// Lists invitations.
pub(crate) async fn invites<S: Statements>(
    mut statements: S,
    of: InvitesOf<'_>,
    now_ms: u64,
    max: usize,
) -> Result<Vec<Invite>, S::Error> {
    let (now, max) = (Number(columns::column(now_ms)), Number(columns::column(max as u64)));
    let rows = match of {
        InvitesOf::Everybody => statements.rows(INVITES, &[now, max]).await?,
        InvitesOf::User(user) => statements.rows(INVITES_OF_USER, &[now, max, Text(user.as_str())]).await?,
        InvitesOf::Room(room) => statements.rows(INVITES_TO_ROOM, &[now, max, Text(room.as_str())]).await?,
    };
    Ok(rows.iter().map(invite_row).collect::<Result<_, StoreError>>()?)
}

/// Finds an invitation by its id.
pub(crate) async fn invite<S: Statements>(
    mut statements: S,
    id: &str,
    now_ms: u64,
) -> Result<Option<Invite>, S::Error> {
    let row = statements.row(INVITE, &[Text(id), Number(columns::column(now_ms))]).await?;
    Ok(row.map(|row| invite_row(&row)).transpose()?)
}

/// Finds an invitation by its secret.
pub(crate) async fn find_invite<S: Statements>(
    statements: &mut S,
    secret: &SecretHash,
    now_ms: u64,
) -> Result<Option<Invite>, S::Error> {
    let values = [Text(&secret.to_hex()), Number(columns::column(now_ms))];
    let row = statements.row(FIND_INVITE, &values).await?;
    Ok(row.map(|row| invite_row(&row)).transpose()?)
}

/// Uses an invitation once. Returns whether it could be used.
pub(crate) async fn use_invite<S: Statements>(
    statements: &mut S,
    secret: &SecretHash,
    now_ms: u64,
) -> Result<bool, S::Error> {
    let secret = secret.to_hex();
    let values = [Text(&secret), Number(columns::column(now_ms))];
    let Some(row) = statements.row(USE_INVITE, &values).await? else { return Ok(false) };
    let (used, uses_max) = (row.integer(0)?, row.integer_or_null(1)?);
    if uses_max.is_some_and(|max| used >= max) {
        statements.rows(REMOVE_USED, &values[..1]).await?;
    }
    Ok(true)
}

/// Uses an invitation for a new account, and makes it a member of the room. Returns whether
/// the invitation could be used.
pub(crate) async fn admit<S: Statements>(
    statements: &mut S,
    secret: &SecretHash,
    user: &Username,
    now_ms: u64,
) -> Result<bool, S::Error> {
    let Some(invite) = find_invite(statements, secret, now_ms).await? else { return Ok(false) };
    // The room is locked first, as by users who join it.
    let top = match &invite.room {
        Some(room) => members::lock(statements, room).await?,
        None => 0,
    };
    if !use_invite(statements, secret, now_ms).await? {
        return Ok(false);
    }
    if let Some(room) = &invite.room {
        let new = NewMember { room, user, role: Role::Member, read: top, joined_at_ms: now_ms };
        members::add(statements, &[new]).await?;
    }
    Ok(true)
}

/// Withdraws an invitation.
pub(crate) async fn delete_invite<S: Statements>(
    statements: &mut S,
    id: &str,
    by: Option<&Username>,
    now_ms: u64,
) -> Result<bool, S::Error> {
    if statements.row(DELETE_INVITE, &[Text(id)]).await?.is_none() {
        return Ok(false);
    }
    let action = AuditAction::InviteDelete;
    note(statements, NewAudit { by, at_ms: now_ms, action, target: id, details: None }).await?;
    Ok(true)
}

/// Withdraws the invitations of a user to a room that the user is no member of any more.
pub(crate) async fn withdraw_invites<S: Statements>(
    statements: &mut S,
    user: &Username,
    room: &RoomName,
) -> Result<(), S::Error> {
    statements.rows(WITHDRAW_FROM_ROOM, &[Text(user.as_str()), Text(room.as_str())]).await.map(drop)
}

/// The columns `id, by_user, room, uses_max, used, created_at, expires_at`.
fn invite_row(row: &impl Columns) -> Result<Invite, StoreError> {
    Ok(Invite {
        id: row.text(0)?.to_owned(),
        by: columns::username(row.text(1)?)?,
        room: row.text_or_null(2)?.map(columns::room).transpose()?,
        uses_max: row.integer_or_null(3)?.map(columns::number).transpose()?,
        used: row.number(4)?,
        created_at_ms: row.number(5)?,
        expires_at_ms: row.integer_or_null(6)?.map(columns::number).transpose()?,
    })
}

macro_rules! invites {
    ($rest:literal) => {
        concat!("SELECT id, by_user, room, uses_max, used, created_at, expires_at FROM invites WHERE ", $rest)
    };
}

pub(crate) const INVITES: &str =
    invites!("(expires_at IS NULL OR expires_at > $1) ORDER BY created_at DESC, id DESC LIMIT $2");

pub(crate) const INVITES_OF_USER: &str = invites!(
    "(expires_at IS NULL OR expires_at > $1) AND by_user = $3 ORDER BY created_at DESC, id DESC LIMIT $2"
);

pub(crate) const INVITES_TO_ROOM: &str = invites!(
    "(expires_at IS NULL OR expires_at > $1) AND room = $3 ORDER BY created_at DESC, id DESC LIMIT $2"
);

pub(crate) const INVITE: &str = invites!("id = $1 AND (expires_at IS NULL OR expires_at > $2)");

pub(crate) const FIND_INVITE: &str = invites!("secret_hash = $1 AND (expires_at IS NULL OR expires_at > $2)");

const INVITE_EXISTS: &str = "SELECT 1 FROM invites WHERE id = $1";

/// Some with each new one, so that no call waits for many deletions.
const SWEEP_INVITES: &str = "DELETE FROM invites WHERE id IN
     (SELECT id FROM invites WHERE expires_at <= $1 ORDER BY expires_at LIMIT 200)";

pub(crate) const COUNT_INVITES: &str = "SELECT count(*) FROM invites
     WHERE by_user = $1 AND (expires_at IS NULL OR expires_at > $2)";

const ADD_INVITE: &str = "INSERT INTO invites
            (id, secret_hash, by_user, room, uses_max, used, created_at, expires_at)
     VALUES ($1, $2, $3, $4, $5, 0, $6, $7)";

pub(crate) const USE_INVITE: &str = "UPDATE invites SET used = used + 1
     WHERE secret_hash = $1 AND (expires_at IS NULL OR expires_at > $2)
     RETURNING used, uses_max";

const REMOVE_USED: &str = "DELETE FROM invites WHERE secret_hash = $1";

const DELETE_INVITE: &str = "DELETE FROM invites WHERE id = $1 RETURNING 1";

pub(crate) const WITHDRAW_ALL: &str = "DELETE FROM invites WHERE by_user = $1";

pub(crate) const WITHDRAW_FROM_ROOM: &str = "DELETE FROM invites WHERE by_user = $1 AND room = $2";

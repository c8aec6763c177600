//! Invitations in a database.

use chat_core::{Role, RoomName, SecretHash, Username};

use super::audit::note;
use super::{IS_ADMINISTRATOR, NO_ANSWER, lock_user};
use crate::administration::{
    AuditAction, INVITES_MAX, Invite, InvitePosition, InviteRefused, InvitesOf, NewAudit, NewInvite,
    invite_created,
};
use crate::rooms::members::{self, NewMember};
use crate::rows::Columns;
use crate::statements::{Statements, Value};
use crate::{StoreError, columns};
use Value::{Number, NumberOrNull, Text, TextOrNull};

/// Stores an invitation; see [`create_invite`](crate::AdministrationRepository::create_invite).
pub(crate) async fn create_invite<S: Statements>(
    statements: &mut S,
    invite: &NewInvite,
) -> Result<Result<(), InviteRefused>, S::Error> {
    // As it was when the membership of the user, or the access of the room, changed last.
    if let Some(room) = &invite.room {
        members::lock(statements, room).await?;
    }
    lock_user(statements, &invite.by).await?;
    let now = Number(columns::column(invite.created_at_ms));
    if statements.row(INVITE_EXISTS, &[Text(&invite.id)]).await?.is_some() {
        return Ok(Ok(()));
    }
    if !may_invite(statements, invite).await? {
        return Ok(Err(InviteRefused::Forbidden));
    }
    statements.rows(SWEEP_INVITES, &[now]).await?;
    let by = invite.by.as_str();
    let count = statements.row(COUNT_INVITES, &[Text(by), now]).await?.ok_or(NO_ANSWER)?.number(0)?;
    if count >= INVITES_MAX as u64 {
        return Ok(Err(InviteRefused::TooMany { max: INVITES_MAX }));
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
    Ok(Ok(()))
}

/// Whether the user may make this invitation: members of the room, and administrators to open
/// rooms and to the server.
async fn may_invite<S: Statements>(statements: &mut S, invite: &NewInvite) -> Result<bool, S::Error> {
    if let Some(room) = &invite.room {
        if members::role(statements, room, &invite.by).await?.is_some() {
            return Ok(true);
        }
        if statements.row(IS_OPEN, &[Text(room.as_str())]).await?.is_none() {
            return Ok(false);
        }
    }
    Ok(statements.row(IS_ADMINISTRATOR, &[Text(invite.by.as_str())]).await?.is_some())
}

/// Lists invitations.
pub(crate) async fn invites<S: Statements>(
    mut statements: S,
    of: InvitesOf<'_>,
    after: Option<&InvitePosition>,
    now_ms: u64,
    max: usize,
) -> Result<Vec<Invite>, S::Error> {
    let (at, id) = after.map_or((i64::MAX, ""), |after| (columns::column(after.created_at_ms), &*after.id));
    let (sql, name) = match of {
        InvitesOf::Others { reader } => (INVITES_OF_OTHERS, reader.as_str()),
        InvitesOf::User(user) => (INVITES_OF_USER, user.as_str()),
        InvitesOf::Room(room) => (INVITES_TO_ROOM, room.as_str()),
    };
    let (now, max) = (Number(columns::column(now_ms)), Number(columns::column(max as u64)));
    let rows = statements.rows(sql, &[now, max, Number(at), Text(id), Text(name)]).await?;
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

/// Withdraws the invitations that a user who is no administrator any more has made as one.
pub(crate) async fn withdraw_as_administrator<S: Statements>(
    statements: &mut S,
    user: &Username,
) -> Result<(), S::Error> {
    lock_user(statements, user).await?;
    statements.rows(WITHDRAW_AS_ADMINISTRATOR, &[Text(user.as_str())]).await.map(drop)
}

/// Withdraws the invitations to a closed room that users have made who are no members of it.
/// The room is locked.
pub(crate) async fn withdraw_of_strangers<S: Statements>(
    statements: &mut S,
    room: &RoomName,
) -> Result<(), S::Error> {
    statements.rows(WITHDRAW_OF_STRANGERS, &[Text(room.as_str())]).await.map(drop)
}

/// Withdraws all invitations of a user.
pub(crate) async fn withdraw_all<S: Statements>(statements: &mut S, user: &Username) -> Result<(), S::Error> {
    lock_user(statements, user).await?;
    statements.rows(WITHDRAW_ALL, &[Text(user.as_str())]).await.map(drop)
}

/// The columns `id, by_user, room, uses_max, used, created_at, expires_at`, and the title of the
/// room.
fn invite_row(row: &impl Columns) -> Result<Invite, StoreError> {
    Ok(Invite {
        id: row.text(0)?.to_owned(),
        by: columns::username(row.text(1)?)?,
        room: row.text_or_null(2)?.map(columns::room).transpose()?,
        uses_max: row.integer_or_null(3)?.map(columns::number).transpose()?,
        used: row.number(4)?,
        created_at_ms: row.number(5)?,
        expires_at_ms: row.integer_or_null(6)?.map(columns::number).transpose()?,
        title: row.text_or_null(7)?.map(str::to_owned),
    })
}

macro_rules! invites {
    ($rest:literal) => {
        concat!(
            "SELECT i.id, i.by_user, i.room, i.uses_max, i.used, i.created_at, i.expires_at,
                    (SELECT r.title FROM rooms AS r WHERE r.name = i.room)
               FROM invites AS i WHERE ",
            $rest
        )
    };
}

// A subquery that returns one value is read by its key, for each row that is looked at.
pub(crate) const INVITES_OF_OTHERS: &str = invites!(
    "(i.expires_at IS NULL OR i.expires_at > $1) AND (i.created_at, i.id) < ($3, $4) AND i.by_user <> $5
        AND (i.room IS NULL OR (SELECT r.access FROM rooms AS r WHERE r.name = i.room) = 1
             OR (SELECT m.role FROM members AS m WHERE m.room = i.room AND m.username = $5) IS NOT NULL)
      ORDER BY i.created_at DESC, i.id DESC LIMIT $2"
);

pub(crate) const INVITES_OF_USER: &str = invites!(
    "(i.expires_at IS NULL OR i.expires_at > $1) AND (i.created_at, i.id) < ($3, $4) AND i.by_user = $5
      ORDER BY i.created_at DESC, i.id DESC LIMIT $2"
);

pub(crate) const INVITES_TO_ROOM: &str = invites!(
    "(i.expires_at IS NULL OR i.expires_at > $1) AND (i.created_at, i.id) < ($3, $4) AND i.room = $5
      ORDER BY i.created_at DESC, i.id DESC LIMIT $2"
);

pub(crate) const INVITE: &str = invites!("i.id = $1 AND (i.expires_at IS NULL OR i.expires_at > $2)");

pub(crate) const FIND_INVITE: &str =
    invites!("i.secret_hash = $1 AND (i.expires_at IS NULL OR i.expires_at > $2)");

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

pub(crate) const WITHDRAW_AS_ADMINISTRATOR: &str = "DELETE FROM invites
      WHERE by_user = $1
        AND (room IS NULL OR NOT EXISTS (
                SELECT 1 FROM members AS m WHERE m.room = invites.room AND m.username = $1))";

pub(crate) const WITHDRAW_OF_STRANGERS: &str = "DELETE FROM invites
      WHERE room = $1
        AND NOT EXISTS (SELECT 1 FROM members AS m WHERE m.room = $1 AND m.username = invites.by_user)";

const IS_OPEN: &str = "SELECT 1 FROM rooms WHERE name = $1 AND access = 1";

pub(crate) const WITHDRAW_FROM_ROOM: &str = "DELETE FROM invites WHERE by_user = $1 AND room = $2";

//! Adding members of rooms, and removing them.

use std::collections::BTreeMap;

use chat_core::{Role, RoomName, Username};

use super::{role_column, row};
use crate::rows::Columns as _;
use crate::statements::{Statements, Value, json};
use crate::{StoreError, columns};
use Value::{Number, Text};

/// A user on the way to be a member of a room that has a row.
pub(crate) struct NewMember<'a> {
    pub(crate) room: &'a RoomName,
    pub(crate) user: &'a Username,
    pub(crate) role: Role,
    /// The user has read the room up to this number.
    pub(crate) read: u64,
    pub(crate) joined_at_ms: u64,
}

/// Adds members who are none yet, in this order. The caller's transaction keeps others from changing the
/// members of these rooms.
pub(crate) async fn add<S: Statements>(statements: &mut S, new: &[NewMember<'_>]) -> Result<(), S::Error> {
    if new.is_empty() {
        return Ok(());
    }
    let (mut tried, mut rows) = (BTreeMap::<&str, u64>::new(), Vec::with_capacity(new.len()));
    for NewMember { room, user, role, joined_at_ms, .. } in new {
        let number = tried.entry(room.as_str()).or_default();
        *number += 1;
        let joined_at = columns::column(*joined_at_ms);
        rows.push((room.as_str(), user.as_str(), role_column(*role), joined_at, *number));
    }
    let added = statements.rows(S::SQL.add_members, &[Text(&json(&rows)?)]).await?;
    let reads: BTreeMap<_, _> =
        new.iter().map(|new| ((new.user.as_str(), new.room.as_str()), columns::column(new.read))).collect();
    let (mut counts, mut marks) = (BTreeMap::<&str, u64>::new(), Vec::with_capacity(added.len()));
    for row in &added {
        let (room, user) = (row.text(0)?, row.text(1)?);
        *counts.entry(room).or_default() += 1;
        marks.push((user, room, reads.get(&(user, room)).copied().unwrap_or_default()));
    }
    if !marks.is_empty() {
        let counts: Vec<_> = counts.into_iter().map(|(room, added)| (room, added, tried.get(room))).collect();
        statements.rows(S::SQL.count_members, &[Text(&json(&counts)?)]).await?;
        // In the order of the key: calls at the same time cannot deadlock.
        marks.sort_unstable();
        statements.rows(S::SQL.add_marks, &[Text(&json(&marks)?)]).await?;
    }
    Ok(())
}

/// Locks the row of a room in `topics`, which is added if it is missing, and returns the
/// room's last number. Until the end of the transaction, nobody else writes to the room or
/// changes its members.
pub(crate) async fn lock<S: Statements>(statements: &mut S, room: &RoomName) -> Result<u64, S::Error> {
    let row = statements.row(LOCK, &[Text(room.as_str())]).await?;
    Ok(row.ok_or(StoreError::Damaged { what: "no answer" })?.number(0)?)
}

/// Removes a user from a locked room. If the user was its only moderator, the longest
/// member becomes one.
pub(super) async fn remove<S: Statements>(
    statements: &mut S,
    room: &RoomName,
    user: &Username,
) -> Result<(), S::Error> {
    let both = [Text(room.as_str()), Text(user.as_str())];
    statements.rows(STAY_AWAY, &both).await?;
    let Some(removed) = statements.row(REMOVE, &both).await? else { return Ok(()) };
    statements.rows(COUNT_OUT, &both[..1]).await?;
    statements.rows(REMOVE_MARK, &both).await?;
    if row::role(&removed, 0)? == Role::Moderator && !has_other_moderator(statements, room, user).await? {
        statements.rows(APPOINT_LONGEST, &both[..1]).await?;
    }
    Ok(())
}

/// Remembers that somebody else has removed a member of a room: an invitation does not bring
/// this user back.
pub(super) async fn remember_removal<S: Statements>(
    statements: &mut S,
    room: &RoomName,
    user: &Username,
) -> Result<(), S::Error> {
    statements.rows(REMEMBER_REMOVAL, &[Text(room.as_str()), Text(user.as_str())]).await.map(drop)
}

/// Forgets the removal of a user who is a member again.
pub(super) async fn forget_removal<S: Statements>(
    statements: &mut S,
    room: &RoomName,
    user: &Username,
) -> Result<(), S::Error> {
    statements.rows(FORGET_REMOVAL, &[Text(room.as_str()), Text(user.as_str())]).await.map(drop)
}

/// Whether somebody else has removed a user from a room, and nobody has added the user since.
pub(super) async fn was_removed<S: Statements>(
    statements: &mut S,
    room: &RoomName,
    user: &Username,
) -> Result<bool, S::Error> {
    let both = [Text(room.as_str()), Text(user.as_str())];
    Ok(statements.row(WAS_REMOVED, &both).await?.is_some())
}

/// Removes a user from all rooms.
pub(crate) async fn remove_from_all<S: Statements>(
    statements: &mut S,
    user: &Username,
) -> Result<(), S::Error> {
    // In the order of topics, as batches lock them.
    for row in &statements.rows(ROOMS, &[Text(user.as_str())]).await? {
        let room = columns::room(row.text(0)?)?;
        lock(statements, &room).await?;
        remove(statements, &room, user).await?;
    }
    Ok(())
}

pub(crate) async fn role<S: Statements>(
    statements: &mut S,
    room: &RoomName,
    user: &Username,
) -> Result<Option<Role>, S::Error> {
    let row = statements.row(ROLE, &[Text(room.as_str()), Text(user.as_str())]).await?;
    Ok(row.map(|row| row::role(&row, 0)).transpose()?)
}

pub(super) async fn set_role<S: Statements>(
    statements: &mut S,
    room: &RoomName,
    user: &Username,
    role: Role,
) -> Result<(), S::Error> {
    let values = [Text(room.as_str()), Text(user.as_str()), Number(role_column(role))];
    statements.rows(SET_ROLE, &values).await.map(drop)
}

/// Whether a room has another moderator than this user.
pub(super) async fn has_other_moderator<S: Statements>(
    statements: &mut S,
    room: &RoomName,
    user: &Username,
) -> Result<bool, S::Error> {
    Ok(statements.row(OTHER_MODERATOR, &[Text(room.as_str()), Text(user.as_str())]).await?.is_some())
}

/// The moderator of a room that has just one.
pub(super) async fn only_moderator<S: Statements>(
    statements: &mut S,
    room: &RoomName,
) -> Result<Option<Username>, S::Error> {
    match &statements.rows(MODERATORS, &[Text(room.as_str())]).await?[..] {
        [row] => Ok(Some(columns::username(row.text(0)?)?)),
        _ => Ok(None),
    }
}

/// The update, which changes nothing, locks a row that is there, and returns it.
pub(crate) const LOCK: &str = "INSERT INTO topics (kind, name, other, last_seq, last_at)
     VALUES (1, $1, '', 0, 0)
         ON CONFLICT (kind, name, other) DO UPDATE SET last_seq = topics.last_seq
     RETURNING last_seq";

pub(crate) const ROLE: &str = "SELECT role FROM members WHERE room = $1 AND username = $2";

const SET_ROLE: &str = "UPDATE members SET role = $3 WHERE room = $1 AND username = $2";

pub(crate) const OTHER_MODERATOR: &str =
    "SELECT 1 FROM members WHERE room = $1 AND role = 2 AND username <> $2 LIMIT 1";

const REMOVE: &str = "DELETE FROM members WHERE room = $1 AND username = $2 RETURNING role";

const REMEMBER_REMOVAL: &str = "INSERT INTO removed_members (room, username) VALUES ($1, $2)
         ON CONFLICT (room, username) DO NOTHING";

const FORGET_REMOVAL: &str = "DELETE FROM removed_members WHERE room = $1 AND username = $2";

const WAS_REMOVED: &str = "SELECT 1 FROM removed_members WHERE room = $1 AND username = $2";

const REMOVE_MARK: &str = "DELETE FROM marks WHERE username = $2 AND kind = 1 AND name = $1";

const COUNT_OUT: &str = "UPDATE rooms SET members = members - 1 WHERE name = $1";

/// While users are made members of the rooms that they have written to.
const STAY_AWAY: &str = "INSERT INTO left_rooms (room, username)
     SELECT $1, $2 WHERE EXISTS (SELECT 1 FROM members_fill)
         ON CONFLICT (room, username) DO NOTHING";

/// Looks at all members of one room, but only when its last moderator leaves.
const APPOINT_LONGEST: &str = "UPDATE members SET role = 2 WHERE room = $1 AND username =
     (SELECT username FROM members WHERE room = $1 ORDER BY position LIMIT 1)";

const MODERATORS: &str = "SELECT username FROM members WHERE room = $1 AND role = 2 LIMIT 2";

pub(crate) const ROOMS: &str = "SELECT room FROM members WHERE username = $1 ORDER BY room";

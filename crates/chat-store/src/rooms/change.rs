//! Making a change of a room or of its members.

use std::collections::BTreeSet;
use std::sync::Arc;

use chat_core::{
    Access, ChangeFacts, ChangeRefused, GoneReason, Role, RoomChange, RoomInfo, RoomName, Username,
    WantedChange, judge_change,
};

use super::members::{self, NewMember};
use super::{RoomRow, access_column, row};
use crate::rows::Columns as _;
use crate::statements::{Statements, Value};
use crate::{StoreError, administration, columns};
use Value::{Number, Text};

/// Makes a change inside the caller's transaction, which must be rolled back if the change
/// is refused.
pub(crate) async fn change<S: Statements>(
    statements: &mut S,
    wanted: &WantedChange,
    now_ms: u64,
) -> Result<Result<Vec<RoomChange>, ChangeRefused>, S::Error> {
    let room = wanted.room();
    let top = members::lock(statements, room).await?;
    let known = Known::find(statements, wanted, now_ms).await?;
    if let Err(refused) = judge_change(wanted, &known.facts()) {
        return Ok(Err(refused));
    }
    if let Some(audit) =
        administration::room_changed(wanted, known.room.as_ref().map(|room| &*room.info), known.user, now_ms)
    {
        administration::database::note(statements, audit).await?;
    }
    let changes = match wanted {
        WantedChange::Create { info, members, by, .. } => {
            if !known.is_created_by_this {
                create(statements, room, info, by, members, top, now_ms).await?;
            }
            let info = match &known.room {
                Some(room) => Arc::clone(&room.info),
                None => Arc::new(info.clone()),
            };
            let mut changes =
                vec![RoomChange::Info { room: room.clone(), info: Arc::clone(&info), members: None, top }];
            let mut added: Vec<&Username> = Vec::new();
            for user in [by].into_iter().chain(members) {
                if !added.contains(&user) {
                    added.push(user);
                    changes.extend(member(statements, room, user, &info, top).await?);
                }
            }
            changes
        }
        WantedChange::Change { patch, .. } => {
            let before = &known.room()?.info;
            let info = Arc::new(patch.apply(before));
            set_info(statements, room, &info).await?;
            if patch.access == Some(Access::Closed) {
                administration::database::withdraw_of_strangers(statements, room).await?;
            }
            let is_closed = info.access == Access::Closed && before.access == Access::Open;
            // A repeated change cannot tell whether it was the one that closed the room.
            let members = match is_closed || patch.access == Some(Access::Closed) {
                true => Some(Arc::new(names(statements, room).await?)),
                false => None,
            };
            vec![RoomChange::Info { room: room.clone(), info, members, top }]
        }
        WantedChange::Put { user, role, .. } => {
            let role = role.or(known.user).unwrap_or(Role::Member);
            if known.user.is_none() {
                let new = NewMember { room, user, role, read: top, joined_at_ms: now_ms };
                members::add(statements, &[new]).await?;
                members::forget_removal(statements, room, user).await?;
            } else {
                members::set_role(statements, room, user, role).await?;
            }
            let info = Arc::clone(&known.room()?.info);
            vec![RoomChange::Member { room: room.clone(), user: user.clone(), role, info, top }]
        }
        WantedChange::Accept { user, invite, .. } => {
            if known.user.is_none() {
                if !administration::database::use_invite(statements, invite, now_ms).await? {
                    return Ok(Err(ChangeRefused::NoInvite));
                }
                let new = NewMember { room, user, role: Role::Member, read: top, joined_at_ms: now_ms };
                members::add(statements, &[new]).await?;
            }
            let role = known.user.unwrap_or(Role::Member);
            let info = Arc::clone(&known.room()?.info);
            vec![RoomChange::Member { room: room.clone(), user: user.clone(), role, info, top }]
        }
        WantedChange::Remove { user, by, .. } => {
            members::remove(statements, room, user).await?;
            if *user != by.user && known.user.is_some() {
                members::remember_removal(statements, room, user).await?;
            }
            administration::database::withdraw_invites(statements, user, room).await?;
            let info = &known.room()?.info;
            let reason = if *user == by.user { GoneReason::Left } else { GoneReason::Removed };
            let (access, gone) = (info.access, user.clone());
            let mut changes = vec![RoomChange::Gone { room: room.clone(), user: gone, reason, access, top }];
            // The only moderator may have become one by this change: it is said again.
            let was_last_moderator = known.user == Some(Role::Moderator) && !known.has_other_moderator;
            if (was_last_moderator || known.user.is_none())
                && let Some(heir) = members::only_moderator(statements, room).await?
            {
                changes.extend(member(statements, room, &heir, info, top).await?);
            }
            changes
        }
    };
    Ok(Ok(changes))
}

/// The change that tells of a member of the room.
async fn member<S: Statements>(
    statements: &mut S,
    room: &RoomName,
    user: &Username,
    info: &Arc<RoomInfo>,
    top: u64,
) -> Result<Option<RoomChange>, S::Error> {
    let role = members::role(statements, room, user).await?;
    let (room, user, info) = (room.clone(), user.clone(), Arc::clone(info));
    Ok(role.map(|role| RoomChange::Member { room, user, role, info, top }))
}

/// What is known of a wanted change.
#[derive(Default)]
struct Known {
    room: Option<RoomRow>,
    is_created_by_this: bool,
    actor: Option<Role>,
    user: Option<Role>,
    user_has_account: bool,
    has_other_moderator: bool,
    invite_is_good: bool,
}

impl Known {
    /// Looks up what is known in a locked room.
    async fn find<S: Statements>(
        statements: &mut S,
        wanted: &WantedChange,
        now_ms: u64,
    ) -> Result<Self, S::Error> {
        let name = wanted.room();
        let row = statements.row(FIND, &[Text(name.as_str())]).await?;
        let room = row.map(|row| row::room(&row)).transpose()?;
        let mut known = Self { room, ..Self::default() };
        match wanted {
            WantedChange::Create { members, by, .. } => {
                known.is_created_by_this = known
                    .room
                    .as_ref()
                    .is_some_and(|room| room.created_by.as_ref() == Some(by) && room.created_at_ms == now_ms);
                known.user_has_account = true;
                for user in members {
                    known.user_has_account &= has_account(statements, user).await?;
                }
            }
            WantedChange::Change { by, .. } => {
                known.actor = members::role(statements, name, &by.user).await?;
            }
            WantedChange::Accept { user, invite, .. } => {
                known.user = members::role(statements, name, user).await?;
                known.user_has_account = has_account(statements, user).await?;
                let invite = administration::database::find_invite(statements, invite, now_ms).await?;
                known.invite_is_good = invite.is_some_and(|invite| invite.room.as_ref() == Some(name));
                // Whom a moderator has removed, a member must add. Everybody joins an open room.
                let is_closed = known.room.as_ref().is_some_and(|room| room.info.access == Access::Closed);
                if known.invite_is_good && is_closed {
                    known.invite_is_good = !members::was_removed(statements, name, user).await?;
                }
            }
            WantedChange::Put { user, by, .. } | WantedChange::Remove { user, by, .. } => {
                known.actor = members::role(statements, name, &by.user).await?;
                known.user = match *user == by.user {
                    true => known.actor,
                    false => members::role(statements, name, user).await?,
                };
                known.user_has_account = has_account(statements, user).await?;
                known.has_other_moderator = members::has_other_moderator(statements, name, user).await?;
            }
        }
        Ok(known)
    }

    fn facts(&self) -> ChangeFacts<'_> {
        ChangeFacts {
            info: self.room.as_ref().map(|room| &*room.info),
            is_created_by_this: self.is_created_by_this,
            actor: self.actor,
            user: self.user,
            user_has_account: self.user_has_account,
            has_other_moderator: self.has_other_moderator,
            invite_is_good: self.invite_is_good,
        }
    }

    /// The room; every change but a creation is refused without one.
    fn room(&self) -> Result<&RoomRow, StoreError> {
        self.room.as_ref().ok_or(StoreError::Damaged { what: "a change without a room" })
    }
}

/// Adds a room that does not exist, with its first members.
async fn create<S: Statements>(
    statements: &mut S,
    room: &RoomName,
    info: &RoomInfo,
    by: &Username,
    others: &[Username],
    top: u64,
    now_ms: u64,
) -> Result<(), S::Error> {
    let values = [
        Text(room.as_str()),
        Text(&info.title),
        Text(&info.description),
        Number(access_column(info.access)),
        Number(i64::from(info.archived)),
        Number(columns::column(now_ms)),
        Text(by.as_str()),
    ];
    statements.rows(ADD, &values).await?;
    set_special(statements, room, info).await?;
    let others = others.iter().filter(|user| *user != by).map(|user| (user, Role::Member));
    let new = |(user, role)| NewMember { room, user, role, read: top, joined_at_ms: now_ms };
    let all: Vec<_> = [(by, Role::Moderator)].into_iter().chain(others).map(new).collect();
    members::add(statements, &all).await
}

async fn set_info<S: Statements>(
    statements: &mut S,
    room: &RoomName,
    info: &RoomInfo,
) -> Result<(), S::Error> {
    let values = [
        Text(room.as_str()),
        Text(&info.title),
        Text(&info.description),
        Number(access_column(info.access)),
        Number(i64::from(info.archived)),
    ];
    statements.rows(SET, &values).await?;
    set_special(statements, room, info).await
}

/// Tells those who write to the room whether they must look at it.
async fn set_special<S: Statements>(
    statements: &mut S,
    room: &RoomName,
    info: &RoomInfo,
) -> Result<(), S::Error> {
    let values = [Text(room.as_str()), Number(i64::from(info.is_special()))];
    statements.rows(SET_SPECIAL, &values).await.map(drop)
}

async fn has_account<S: Statements>(statements: &mut S, user: &Username) -> Result<bool, S::Error> {
    Ok(statements.row(HAS_ACCOUNT, &[Text(user.as_str())]).await?.is_some())
}

async fn names<S: Statements>(statements: &mut S, room: &RoomName) -> Result<BTreeSet<Username>, S::Error> {
    let rows = statements.rows(NAMES, &[Text(room.as_str())]).await?;
    Ok(rows.iter().map(|row| columns::username(row.text(0)?)).collect::<Result<_, StoreError>>()?)
}

const FIND: &str =
    "SELECT title, description, access, archived, created_at, created_by FROM rooms WHERE name = $1";

const ADD: &str = "INSERT INTO rooms
            (name, title, description, access, archived, members, joins, created_at, created_by)
     VALUES ($1, $2, $3, $4, $5, 0, 0, $6, $7)";

const SET: &str = "UPDATE rooms SET title = $2, description = $3, access = $4, archived = $5 WHERE name = $1";

const SET_SPECIAL: &str = "UPDATE topics SET special = $2 WHERE kind = 1 AND name = $1 AND other = ''";

const HAS_ACCOUNT: &str = "SELECT 1 FROM users WHERE username = $1";

const NAMES: &str = "SELECT username FROM members WHERE room = $1";

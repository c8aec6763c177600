//! The columns of rooms, members and marks, as values of the chat and back.

use std::sync::Arc;

use chat_core::{
    Access, ConversationState, Counts, Level, Membership, ReadState, Role, RoomAccess, RoomInfo, Topic,
    Username,
};

use crate::rows::Columns;
use crate::{ListedRoom, StoreError, columns};

/// The column `access` of a room.
pub(crate) fn access_column(access: Access) -> i64 {
    match access {
        Access::Open => OPEN,
        Access::Closed => CLOSED,
    }
}

/// The column `role` of a member.
pub(crate) fn role_column(role: Role) -> i64 {
    match role {
        Role::Member => MEMBER,
        Role::Moderator => MODERATOR,
    }
}

/// The column `level` of a mark.
pub(crate) fn level_column(level: Level) -> i64 {
    match level {
        Level::All => 1,
        Level::Mentions => 2,
        Level::None => 3,
    }
}

/// The columns `title, description, access, archived` of a room, from `index` on.
pub(crate) fn info(row: &dyn Columns, index: usize) -> Result<Arc<RoomInfo>, StoreError> {
    let access = match row.integer(index + 2)? {
        OPEN => Access::Open,
        CLOSED => Access::Closed,
        _ => return Err(StoreError::Damaged { what: "an unknown access to a room" }),
    };
    Ok(Arc::new(RoomInfo {
        title: row.text(index)?.to_owned(),
        description: row.text(index + 1)?.to_owned(),
        access,
        archived: row.integer(index + 3)? != 0,
    }))
}

/// A column `role`.
pub(super) fn role(row: &dyn Columns, index: usize) -> Result<Role, StoreError> {
    role_or_null(row, index)?.ok_or(StoreError::Damaged { what: "a member without a role" })
}

fn role_or_null(row: &dyn Columns, index: usize) -> Result<Option<Role>, StoreError> {
    match row.integer_or_null(index)? {
        None => Ok(None),
        Some(MEMBER) => Ok(Some(Role::Member)),
        Some(MODERATOR) => Ok(Some(Role::Moderator)),
        Some(_) => Err(StoreError::Damaged { what: "an unknown role" }),
    }
}

/// A column `level`; NULL is the default of the topic.
fn level(row: &dyn Columns, index: usize, default: Level) -> Result<Level, StoreError> {
    match row.integer_or_null(index)? {
        None => Ok(default),
        Some(1) => Ok(Level::All),
        Some(2) => Ok(Level::Mentions),
        Some(3) => Ok(Level::None),
        Some(_) => Err(StoreError::Damaged { what: "an unknown level" }),
    }
}

/// A column that counts to [`COUNT_MAX`](chat_core::COUNT_MAX); NULL was not counted.
fn count(row: &dyn Columns, index: usize) -> Result<Option<u8>, StoreError> {
    let column = row.integer_or_null(index)?;
    column.map(|count| u8::try_from(count).map_err(|_| StoreError::Damaged { what: "a count" })).transpose()
}

/// A room, as a change needs it.
pub(crate) struct RoomRow {
    pub(crate) info: Arc<RoomInfo>,
    pub(crate) created_at_ms: u64,
    pub(crate) created_by: Option<Username>,
}

/// The columns `title, description, access, archived, created_at, created_by`.
pub(super) fn room(row: &dyn Columns) -> Result<RoomRow, StoreError> {
    Ok(RoomRow {
        info: info(row, 0)?,
        created_at_ms: row.number(4)?,
        created_by: row.text_or_null(5)?.map(columns::username).transpose()?,
    })
}

/// The columns `name, title, description, access, archived, members, last_at, created_at,
/// created_by`.
pub(super) fn listed(row: &dyn Columns) -> Result<ListedRoom, StoreError> {
    Ok(ListedRoom {
        name: columns::room(row.text(0)?)?,
        info: info(row, 1)?,
        members: row.number(5)?,
        at_ms: row.number(6)?,
        created_at_ms: row.number(7)?,
        created_by: row.text_or_null(8)?.map(columns::username).transpose()?,
    })
}

/// The columns `name, title, description, access, archived, role, level, top, at, read,
/// unread, mentions`.
pub(super) fn membership(row: &dyn Columns) -> Result<Membership, StoreError> {
    let room = columns::room(row.text(0)?)?;
    let counts = match (count(row, 10)?, count(row, 11)?) {
        (Some(unread), Some(mentions)) => Some(Counts { unread, mentions }),
        _ => None,
    };
    let default = Level::default_of(&Topic::Room(room.clone()));
    Ok(Membership {
        room,
        info: info(row, 1)?,
        role: role(row, 5)?,
        level: level(row, 6, default)?,
        top: row.number(7)?,
        at_ms: row.number(8)?,
        read: row.number(9)?,
        counts,
    })
}

/// The columns `person, top, at, read, level, unread`.
pub(super) fn conversation(row: &dyn Columns) -> Result<ConversationState, StoreError> {
    Ok(ConversationState {
        with: columns::username(row.text(0)?)?,
        top: row.number(1)?,
        at_ms: row.number(2)?,
        read: row.number(3)?,
        level: level(row, 4, Level::All)?,
        unread: count(row, 5)?,
    })
}

/// The columns `top, read, unread, mentions`.
pub(super) fn read_state(row: &dyn Columns) -> Result<ReadState, StoreError> {
    let counts =
        Counts { unread: count(row, 2)?.unwrap_or_default(), mentions: count(row, 3)?.unwrap_or_default() };
    Ok(ReadState { top: row.number(0)?, read: row.number(1)?, counts })
}

/// The columns `title, description, access, archived, role, is_administrator`; the first
/// four are NULL if there is no such room.
pub(super) fn access(row: &dyn Columns) -> Result<RoomAccess, StoreError> {
    let info = if row.text_or_null(0)?.is_some() { Some(info(row, 0)?) } else { None };
    Ok(RoomAccess { info, role: role_or_null(row, 4)?, is_administrator: row.flag(5)?, refused: false })
}

const OPEN: i64 = 1;
const CLOSED: i64 = 2;
const MEMBER: i64 = 1;
const MODERATOR: i64 = 2;

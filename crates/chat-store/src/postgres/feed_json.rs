//! Changes of rooms in the feed, as JSON. Servers of several versions read it: fields are only
//! added.

use std::sync::Arc;

use chat_core::{Access, GoneReason, Role, RoomChange, RoomInfo};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{StoreError, columns};

#[derive(Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
enum Change {
    Info { room: String, info: Info, members: Option<Vec<String>>, top: u64 },
    Member { room: String, user: String, moderator: bool, info: Info, top: u64 },
    Gone { room: String, user: String, removed: bool, closed: bool, top: u64 },
}

#[derive(Serialize, Deserialize)]
struct Info {
    title: String,
    description: String,
    closed: bool,
    archived: bool,
}

/// What the other servers are told of changes.
pub(super) fn changes_json(changes: &[RoomChange]) -> Value {
    let changes: Vec<Change> = changes.iter().map(Change::from).collect();
    json!({ "changes": changes })
}

/// The changes in the field `changes`.
pub(super) fn parse_changes(changes: &Value) -> Result<Vec<RoomChange>, StoreError> {
    let changes = Vec::<Change>::deserialize(changes);
    let changes = changes.map_err(|_| StoreError::Damaged { what: "a change of a room in the feed" })?;
    changes.into_iter().map(RoomChange::try_from).collect()
}

impl From<&RoomChange> for Change {
    fn from(change: &RoomChange) -> Self {
        match change {
            RoomChange::Info { room, info, members, top } => Self::Info {
                room: room.as_str().to_owned(),
                info: (&**info).into(),
                members: members
                    .as_ref()
                    .map(|members| members.iter().map(|user| user.as_str().to_owned()).collect()),
                top: *top,
            },
            RoomChange::Member { room, user, role, info, top } => Self::Member {
                room: room.as_str().to_owned(),
                user: user.as_str().to_owned(),
                moderator: *role == Role::Moderator,
                info: (&**info).into(),
                top: *top,
            },
            RoomChange::Gone { room, user, reason, access, top } => Self::Gone {
                room: room.as_str().to_owned(),
                user: user.as_str().to_owned(),
                removed: *reason == GoneReason::Removed,
                closed: *access == Access::Closed,
                top: *top,
            },
        }
    }
}

impl TryFrom<Change> for RoomChange {
    type Error = StoreError;

    fn try_from(change: Change) -> Result<Self, StoreError> {
        Ok(match change {
            Change::Info { room, info, members, top } => {
                let names =
                    members.map(|members| members.iter().map(|user| columns::username(user)).collect());
                Self::Info {
                    room: columns::room(&room)?,
                    info: Arc::new(info.into()),
                    members: names.transpose()?.map(Arc::new),
                    top,
                }
            }
            Change::Member { room, user, moderator, info, top } => Self::Member {
                room: columns::room(&room)?,
                user: columns::username(&user)?,
                role: if moderator { Role::Moderator } else { Role::Member },
                info: Arc::new(info.into()),
                top,
            },
            Change::Gone { room, user, removed, closed, top } => Self::Gone {
                room: columns::room(&room)?,
                user: columns::username(&user)?,
                reason: if removed { GoneReason::Removed } else { GoneReason::Left },
                access: if closed { Access::Closed } else { Access::Open },
                top,
            },
        })
    }
}

impl From<&RoomInfo> for Info {
    fn from(info: &RoomInfo) -> Self {
        Self {
            title: info.title.clone(),
            description: info.description.clone(),
            closed: info.access == Access::Closed,
            archived: info.archived,
        }
    }
}

impl From<Info> for RoomInfo {
    fn from(info: Info) -> Self {
        Self {
            title: info.title,
            description: info.description,
            access: if info.closed { Access::Closed } else { Access::Open },
            archived: info.archived,
        }
    }
}

//! Rooms, members and marks, the same in both databases.

pub(crate) mod change;
pub(crate) mod fill;
pub(crate) mod members;
pub(crate) mod read;
mod row;
pub(crate) mod sql;

pub(crate) use row::{RoomRow, access_column, info, level_column, role_column};

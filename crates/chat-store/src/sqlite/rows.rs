//! Between the values of the chat and the columns of a database.

use chat_core::{EntryKind, Pair, RoomName, Topic, Username};
use sqlx::sqlite::{Sqlite, SqliteRow};
use sqlx::{Decode, Row as _, Type};

use crate::StoreError;

/// One column of a row.
pub(super) fn get<'r, T>(row: &'r SqliteRow, index: usize) -> Result<T, StoreError>
where
    T: Decode<'r, Sqlite> + Type<Sqlite>,
{
    row.try_get(index).map_err(|_| StoreError::Damaged { what: "a column of another type" })
}

/// The columns `kind, name, other` of a topic.
pub(super) fn topic_key(topic: &Topic) -> (i64, &str, &str) {
    match topic {
        Topic::Room(name) => (ROOM, name.as_str(), ""),
        Topic::Pair(pair) => (PAIR, pair.low().as_str(), pair.high().as_str()),
    }
}

/// The topic of the columns `kind, name, other`.
pub(super) fn topic((kind, name, other): (i64, &str, &str)) -> Result<Topic, StoreError> {
    match kind {
        ROOM => Ok(Topic::Room(room(name)?)),
        PAIR => Ok(Topic::Pair(Pair::new(username(name)?, username(other)?))),
        _ => Err(StoreError::Damaged { what: "an unknown kind of topic" }),
    }
}

pub(super) fn username(name: &str) -> Result<Username, StoreError> {
    Username::known(name).map_err(|_| StoreError::Damaged { what: "a name that nobody can have" })
}

pub(super) fn room(name: &str) -> Result<RoomName, StoreError> {
    RoomName::parse(name).map_err(|_| StoreError::Damaged { what: "a name that no room can have" })
}

pub(super) fn entry_kind_column(kind: EntryKind) -> i64 {
    match kind {
        EntryKind::Message => MESSAGE,
    }
}

pub(super) fn entry_kind(column: i64) -> Result<EntryKind, StoreError> {
    match column {
        MESSAGE => Ok(EntryKind::Message),
        _ => Err(StoreError::Damaged { what: "an unknown kind of entry" }),
    }
}

/// SQL has no unsigned numbers. No log and no clock gets as far as `i64::MAX`.
pub(super) fn column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn number(column: i64) -> Result<u64, StoreError> {
    u64::try_from(column).map_err(|_| StoreError::Damaged { what: "a negative number" })
}

const ROOM: i64 = 1;
const PAIR: i64 = 2;
const MESSAGE: i64 = 1;

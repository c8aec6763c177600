//! The rows of both databases, mapped to the values of the chat.

use chat_core::{FirstResult, KeptState, SessionId, Stamp, Topic, TopicEnd};
#[cfg(feature = "postgres")]
use sqlx::postgres::PgRow;
#[cfg(feature = "sqlite")]
use sqlx::sqlite::SqliteRow;
use sqlx::{ColumnIndex, Decode, Row, Type};

use crate::names::KnownName;
use crate::{Session, StoreError, User, columns};

/// The columns of a row by index, whichever database the row comes from.
///
/// # Errors
///
/// Every method returns [`StoreError::Damaged`] if the column has another type.
pub(crate) trait Columns {
    /// A `BIGINT`.
    fn integer(&self, index: usize) -> Result<i64, StoreError>;
    /// A `BIGINT` that may be NULL.
    fn integer_or_null(&self, index: usize) -> Result<Option<i64>, StoreError>;
    /// A `TEXT`.
    fn text(&self, index: usize) -> Result<&str, StoreError>;
    /// A `TEXT` that may be NULL.
    fn text_or_null(&self, index: usize) -> Result<Option<&str>, StoreError>;
    /// A `BOOLEAN`.
    fn flag(&self, index: usize) -> Result<bool, StoreError>;

    /// A `BIGINT` that is never negative.
    fn number(&self, index: usize) -> Result<u64, StoreError> {
        columns::number(self.integer(index)?)
    }
}

macro_rules! columns {
    ($row:ty) => {
        impl Columns for $row {
            fn integer(&self, index: usize) -> Result<i64, StoreError> {
                get(self, index)
            }

            fn integer_or_null(&self, index: usize) -> Result<Option<i64>, StoreError> {
                get(self, index)
            }

            fn text(&self, index: usize) -> Result<&str, StoreError> {
                get(self, index)
            }

            fn text_or_null(&self, index: usize) -> Result<Option<&str>, StoreError> {
                get(self, index)
            }

            fn flag(&self, index: usize) -> Result<bool, StoreError> {
                get(self, index)
            }
        }
    };
}
#[cfg(feature = "sqlite")]
columns!(SqliteRow);
#[cfg(feature = "postgres")]
columns!(PgRow);

/// One column of a row, as any type.
pub(crate) fn get<'r, R, T>(row: &'r R, index: usize) -> Result<T, StoreError>
where
    R: Row,
    usize: ColumnIndex<R>,
    T: Decode<'r, R::Database> + Type<R::Database>,
{
    row.try_get(index).map_err(|_| StoreError::Damaged { what: "a column of another type" })
}

/// The columns `username, password_hash, avatar, created_at`.
pub(crate) fn user(row: &impl Columns) -> Result<User, StoreError> {
    Ok(User {
        name: columns::username(row.text(0)?)?,
        password_hash: row.text(1)?.to_owned(),
        avatar: row.text_or_null(2)?.map(str::to_owned),
        created_at_ms: row.number(3)?,
    })
}

/// The columns `id, username, created_at, expires_at, device, address, last_seen_at`.
pub(crate) fn session(row: &impl Columns) -> Result<Session, StoreError> {
    Ok(Session {
        id: SessionId::new(row.text(0)?),
        user: columns::username(row.text(1)?)?,
        created_at_ms: row.number(2)?,
        expires_at_ms: row.number(3)?,
        device: row.text(4)?.to_owned(),
        address: row.text(5)?.to_owned(),
        last_seen_at_ms: row.number(6)?,
    })
}

/// The column `id` of a session.
pub(crate) fn session_id(row: &impl Columns) -> Result<SessionId, StoreError> {
    Ok(SessionId::new(row.text(0)?))
}

/// The columns `id, expires_at` of a session.
pub(crate) fn session_end(row: &impl Columns) -> Result<(SessionId, u64), StoreError> {
    Ok((session_id(row)?, row.number(1)?))
}

/// The columns `has_account, is_known, is_confusable`.
pub(crate) fn known_name(row: &impl Columns) -> Result<KnownName, StoreError> {
    Ok(KnownName { has_account: row.flag(0)?, is_known: row.flag(1)?, is_confusable: row.flag(2)? })
}

/// The columns `updated, edit_seq, edited_at, delete_seq, deleted_at, reactions` of the state
/// of a message, from `index` on. They are NULL for a message that was never changed.
pub(crate) fn kept_state(row: &impl Columns, index: usize) -> Result<KeptState, StoreError> {
    let Some(updated) = row.integer_or_null(index)? else { return Ok(KeptState::default()) };
    let stamp = |index| match (row.integer_or_null(index)?, row.integer_or_null(index + 1)?) {
        (Some(seq), Some(at)) => Ok(Some(Stamp { seq: columns::number(seq)?, at_ms: columns::number(at)? })),
        _ => Ok(None),
    };
    Ok(KeptState {
        updated: columns::number(updated)?,
        edited: stamp(index + 1)?,
        deleted: stamp(index + 3)?,
        reactions: columns::parse_reactions(row.text_or_null(index + 5)?)?,
    })
}

/// The columns `kind, name, other` of a topic, from `index` on.
pub(crate) fn topic(row: &impl Columns, index: usize) -> Result<Topic, StoreError> {
    columns::topic((row.integer(index)?, row.text(index + 1)?, row.text(index + 2)?))
}

/// The columns `position, kind, name, other, seq, at`: the position of the nonce in the
/// question, and the entry stored under it.
pub(crate) fn first_result(row: &impl Columns) -> Result<(i64, FirstResult), StoreError> {
    Ok((row.integer(0)?, FirstResult { topic: topic(row, 1)?, seq: row.number(4)?, at_ms: row.number(5)? }))
}

/// The row of a topic and its end.
pub(crate) struct TopicRow {
    pub(crate) id: i64,
    pub(crate) end: TopicEnd,
    /// The topic is a room that is closed or archived.
    pub(crate) is_special: bool,
}

/// The columns `id, kind, name, other, last_seq, at, special`; `at` is the time of the newest
/// entry.
pub(crate) fn topic_row(row: &impl Columns) -> Result<(Topic, TopicRow), StoreError> {
    let end = TopicEnd { last: row.number(4)?, at_ms: row.number(5)? };
    let is_special = row.integer(6)? != 0;
    Ok((topic(row, 1)?, TopicRow { id: row.integer(0)?, end, is_special }))
}

/// A topic and its oldest entry, if it has one.
pub(crate) struct OldestEntry {
    pub(crate) id: i64,
    pub(crate) topic: Topic,
    pub(crate) last: u64,
    /// The number and stamp of the entry, a message or a change.
    pub(crate) oldest: Option<(u64, u64)>,
}

/// The columns `id, kind, name, other, last_seq`, and `seq, at` of the oldest message and of
/// the oldest change.
pub(crate) fn oldest_entry(row: &impl Columns) -> Result<OldestEntry, StoreError> {
    let mut oldest = None;
    for index in [5, 7] {
        if let (Some(seq), Some(at)) = (row.integer_or_null(index)?, row.integer_or_null(index + 1)?) {
            let entry = (columns::number(seq)?, columns::number(at)?);
            oldest = Some(oldest.map_or(entry, |other| entry.min(other)));
        }
    }
    Ok(OldestEntry { id: row.integer(0)?, topic: topic(row, 1)?, last: row.number(4)?, oldest })
}

/// The columns `seq, at` of an entry.
pub(crate) fn seq_and_stamp(row: &impl Columns) -> Result<(u64, u64), StoreError> {
    Ok((row.number(0)?, row.number(1)?))
}

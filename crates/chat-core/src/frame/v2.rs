//! The frames of protocol v2: many rooms on one connection, numbers,
//! acknowledgements.

mod reply;
mod request;

use serde::Serialize;

pub(crate) use self::reply::{
    Ack, ConversationTop, FEATURES, Feature, Limits, MessageFields, PlaceRef, PresenceWhat, Reply,
    ServerRole, TypingIn, entry, entry_bytes, error, refused_by_program,
};
#[cfg(test)]
pub(super) use self::reply::{EntryFrame, Of};
pub(crate) use self::reply::{LeftReason, ListedRoom, RoomWhat};
#[cfg(test)]
pub(super) use self::request::ClientFields;
pub(crate) use self::request::{HistoryRange, Request, Resume, SEQS_MAX, parse};
use crate::{Nonce, RoomName};

/// Where something is: a room, or the private conversation with another user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Room(RoomName),
    /// The private conversation with this user, as the client wrote the name, trimmed.
    With(String),
}

/// What an answer refers to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum About {
    #[default]
    Nothing,
    Reference(String),
    Nonce(Nonce),
}

impl About {
    /// The `ref` that the answer repeats.
    pub(crate) fn reference(&self) -> Option<&str> {
        match self {
            Self::Reference(reference) => Some(reference),
            Self::Nothing | Self::Nonce(_) => None,
        }
    }
}

impl From<Option<String>> for About {
    fn from(reference: Option<String>) -> Self {
        reference.map_or(Self::Nothing, Self::Reference)
    }
}

/// The kinds of `error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum ErrorCode {
    /// The frame is not as the protocol demands.
    BadRequest,
    /// No frame has that `type`.
    UnknownType,
    /// The room must be joined for this.
    NotJoined,
    /// The room is joined already.
    AlreadyJoined,
    /// There is no such account, or the user is no member of that room.
    NotFound,
    /// The user may not do this: the room is closed or archived, or only some may.
    Forbidden,
    /// The text has more characters than allowed.
    TextTooLong,
    /// The connection or its user has joined as many rooms as they may.
    TooManyRooms,
    /// The message has as many different reactions as it may have.
    TooMany,
    /// The store cannot be written or read at this moment: try again.
    Unavailable,
}

impl ErrorCode {
    /// All codes, each at the index that it is as a number.
    pub(crate) const ALL: [Self; 10] = [
        Self::BadRequest,
        Self::UnknownType,
        Self::NotJoined,
        Self::AlreadyJoined,
        Self::NotFound,
        Self::Forbidden,
        Self::TextTooLong,
        Self::TooManyRooms,
        Self::TooMany,
        Self::Unavailable,
    ];

    /// The code on the wire.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::UnknownType => "unknown_type",
            Self::NotJoined => "not_joined",
            Self::AlreadyJoined => "already_joined",
            Self::NotFound => "not_found",
            Self::Forbidden => "forbidden",
            Self::TextTooLong => "text_too_long",
            Self::TooManyRooms => "too_many_rooms",
            Self::TooMany => "too_many",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Characters that a `ref` may have.
pub(crate) const REF_MAX_CHARS: usize = 64;

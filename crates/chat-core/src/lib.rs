//! The protocol of the chat.

mod entry;
mod names;

pub use entry::{
    Commit, Draft, DraftId, Entry, EntryKind, Missed, Outcome, Page, PageFrom, PageLimits, Receipt, Topic,
};
pub use names::{
    DEFAULT_ROOM, MessageText, NONCE_MAX_CHARS, Nonce, Pair, ROOM_NAME_MAX_CHARS, RoomName, RoomNameError,
    SessionId, TextError, USERNAME_MAX_CHARS, Username, UsernameError,
};

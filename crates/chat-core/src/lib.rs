//! The protocol of the chat.

mod client;
mod entry;
mod feed;
mod frame;
mod history;
mod hub;
mod names;
mod outputs;
mod room;
mod seed;

pub use client::RateLimit;
pub use entry::{
    Commit, Draft, DraftId, Entry, EntryKind, Missed, Outcome, Page, PageFrom, PageLimits, Receipt, Topic,
};
pub use frame::Framing;
pub use history::{History, HistoryLimits};
#[cfg(feature = "planted-bugs")]
pub use hub::PlantedBug;
pub use hub::{Hub, HubOptions, Input, Now, Protocol};
pub use names::{
    DEFAULT_ROOM, MessageText, NONCE_MAX_CHARS, Nonce, Pair, ROOM_NAME_MAX_CHARS, RoomName, RoomNameError,
    SessionId, TextError, USERNAME_MAX_CHARS, Username, UsernameError,
};
pub use outputs::{
    ClientId, CloseCode, Output, Outputs, PresenceChange, ReadId, ReadRequest, Subscription, Write,
};
pub use room::RecentLimits;
pub use seed::Seed;

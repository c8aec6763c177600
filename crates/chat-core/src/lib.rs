//! The chat itself: which clients have joined which rooms, what each client gets
//! and in which order, and what happens when the network or the log fails. The
//! rest of a chat server is plumbing around it.
//!
//! A [`Hub`] is a value. Its program hands it [`Input`]s with the time (a
//! socket was opened, a frame arrived, a page was read …) and does the
//! [`Output`]s (write these bytes, store this draft, read that page …). A log
//! gives the numbers; [`History`] is one in memory. No message is sent before the
//! log has stored it.
//!
//! This is a whole chat of two, without a network:
//!
//! ```
#![doc = include_str!("../examples/embed.rs")]
//! ```
//!
//! A real program gives its hub more inputs, see [the order of calls](Hub#the-order-of-calls).
//! `examples/lines.rs` is the same with sockets and threads: a chat over TCP for `nc`. A program on
//! tokio need not write any of this: the crate `chat-tokio` is a driver for any transport, in which
//! the same chat over TCP has 31 lines.
//!
//! # Where to find what
//!
//! | | |
//! |---|---|
//! | [`Hub`], [`Input`], [`Outputs`] | all decisions; the folder `hub/` has its parts and steps |
//! | [`History`], [`Entry`], [`Draft`] | the rules of a log: numbers, nonces, pages |
//! | [`RoomInfo`], [`RoomChange`], [`judge_change`] | rooms, their members, and the rule for their changes |
//! | [`Username`], [`RoomName`], [`MessageText`] | names and texts, parsed once: a value of the type is valid |
//! | [`FileId`], [`AttachedFile`] | files of messages, without their bytes |
//! | [`Words`], [`SearchedWords`] | the words of a text, and which texts a search finds |
//! | [`Skeleton`] | which names a person could mistake for one another |
//! | [`Framing`] | protocol frames as bytes, for WebSockets or lines |
//!
//! # What is not here
//!
//! No socket, file, database, thread, lock, clock or random generator: time and
//! seeds are arguments, so that a run can be repeated exactly. That is how the
//! simulator plays hours of failures in seconds. `clippy.toml` makes it a rule of
//! the compiler. No password and no token either: the program has checked the user
//! before it opens a client. And nothing is kept: what must survive is in the log.

mod batch;
mod emoji;
mod entry;
mod file;
mod frame;
mod hidden;
mod history;
mod hub;
mod membership;
mod message;
mod names;
mod notice_text;
mod outputs;
mod page;
mod query;
mod reserved_names;
mod room_looks;
mod room_text;
mod search;
mod secret_hash;
mod seed;
mod skeleton;
mod words;

pub use batch::{Addition, Batch, Checked, Facts, FileFacts, FirstResult, Questions, RoomFacts, TopicEnd};
pub use emoji::{EMOJI_MAX_CHARS, Emoji, EmojiError};
pub(crate) use entry::Content;
pub use entry::{
    Body, Commit, ConversationState, Conversations, Draft, DraftId, Entry, MENTIONS_MAX, Mentions,
    MessagesFrom, Missed, NEWEST_MESSAGES, Outcome, Page, PageFrom, PageLimits, Receipt, Remembered, Topic,
};
pub use file::{
    AttachedFile, FILE_NAME_MAX_BYTES, FILES_MAX, FileId, FileName, MEDIA_TYPE_MAX_BYTES, MediaType,
};
pub use frame::Framing;
pub use hidden::MARKS_MAX;
pub use history::{
    CHANGES_PER_MESSAGE, FileQuotas, FileRefused, FilesUsage, FoundFile, History, HistoryLimits, KeptRoom,
    ReservedFile,
};
#[cfg(feature = "planted-bugs")]
pub use hub::PlantedBug;
pub use hub::{
    Hub, HubOptions, Input, Now, Protocol, Rate, RateLimit, RecentLimits, Refusals, RoomCreation, Withheld,
};
pub use membership::{
    Access, Actor, COUNT_MAX, ChangeFacts, ChangeRefused, Counts, GoneReason, Level, MENTION_ALL_MEMBERS_MAX,
    Membership, Memberships, ROOM_DESCRIPTION_MAX_CHARS, ROOM_TITLE_MAX_CHARS, ReadState, Role, RoomAccess,
    RoomChange, RoomInfo, RoomPatch, UserMark, WantedChange, judge_change,
};
pub use message::{
    ChangeRules, ChangedMessage, KeptState, MessageState, REACTION_USERS_SHOWN, REACTIONS_MAX, Reaction,
    ReactorsQuestion, Stamp, TargetFacts,
};
pub use names::{
    DEFAULT_ROOM, MessageText, NONCE_MAX_CHARS, Nonce, Pair, ROOM_NAME_MAX_CHARS, RoomName, RoomNameError,
    SessionId, TextError, USERNAME_MAX_CHARS, Username, UsernameError,
};
pub use notice_text::{NOTICE_MAX_CHARS, NoticeText, NoticeTextError};
pub use outputs::{
    ClientId, CloseCode, Output, Outputs, PresenceChange, PresenceKind, Subscription, TypingChange, Write,
};
pub use page::{within_limits, within_limits_around};
pub use query::{Answer, Query, ReadId};
pub use reserved_names::ReservedNames;
pub use room_looks::RoomLooks;
pub use room_text::{
    NewRoomNameError, RoomTextError, parse_new_room_name, parse_room_description, parse_room_title,
    room_name_of_title,
};
pub use search::{SearchPosition, SearchScope};
pub use secret_hash::SecretHash;
pub use seed::Seed;
pub use skeleton::{Skeleton, fold_case};
pub use words::{
    Phrase, SEARCH_MAX_CHARS, SEARCH_MAX_WORDS, SearchedWords, SearchedWordsError, WORD_MAX_CHARS,
    WORD_RULES, Words,
};

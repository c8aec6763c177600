//! Avatars: received, re-encoded, stored and served.

mod address;
mod blocking;
mod error;
mod folder;
mod format;
mod incoming;
mod leaving;
mod part_file;
mod picture;
mod prepared;
mod removal;
mod sharing;
mod transfer;

pub use address::avatar_file_name;
pub(crate) use error::AvatarError;
pub(crate) use folder::{AvatarFolder, StoredAvatar};
pub(crate) use incoming::ReceivedAvatar;
pub(crate) use picture::Picture;
pub use removal::remove_avatar;
pub(crate) use sharing::keep_sharing;
pub use transfer::{read_avatar, write_avatar};

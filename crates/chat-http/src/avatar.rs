//! Avatars: received, re-encoded, stored and served.

mod address;
mod blocking;
mod error;
mod folder;
mod format;
mod incoming;
mod jpeg_header;
mod part_file;
mod picture;
mod picture_queue;
mod prepared;
mod removal;
mod transfer;
mod vp8l;
mod webp_header;

pub use address::avatar_file_name;
pub(crate) use error::AvatarError;
#[cfg(test)]
pub(crate) use error::PictureError;
pub(crate) use folder::{AvatarFolder, StoredAvatar};
pub(crate) use incoming::ReceivedAvatar;
pub(crate) use picture_queue::PictureQueue;
pub use removal::remove_avatar;
pub use transfer::{read_avatar, write_avatar};

//! Pictures that strangers send: decoded under limits of pixels and memory, made small for
//! avatars and previews, and freed of their metadata without being encoded again.
//!
//! Decoding takes up to a second and much memory, so that it has threads of its own:
//! [`PictureQueue`] serves the users in turn, however many requests one of them has.
//!
//! Without the default feature `decoders`, pictures are recognised and freed of their metadata,
//! and none is made small.
//!
//! This crate knows no HTTP, no accounts and no folders: files are bytes, or anything that
//! can be read.
//!
//! ```
//! use std::io::Cursor;
//!
//! use chat_pictures::{Cleaned, clean, format_of_bytes};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut file = Cursor::new(Vec::new());
//! image::RgbImage::new(40, 30).write_to(&mut file, image::ImageFormat::Png)?;
//!
//! let format = format_of_bytes(file.get_ref()).expect("a PNG");
//! let (mut input, mut output) = (Cursor::new(file.get_ref()), Cursor::new(Vec::new()));
//! assert_eq!(clean(&mut input, &mut output, format)?, Cleaned::Picture { dimensions: (40, 30) });
//! # Ok(())
//! # }
//! ```

mod clean;
#[cfg(feature = "decoders")]
mod decode;
mod error;
mod format;
#[cfg(feature = "decoders")]
mod jpeg_header;
mod limits;
mod queue;
#[cfg(feature = "decoders")]
mod small;
#[cfg(feature = "decoders")]
mod vp8l;
#[cfg(feature = "decoders")]
mod webp_header;
#[cfg(not(feature = "decoders"))]
mod without_decoders;

pub use clean::{Cleaned, clean};
pub use error::PictureError;
pub use format::format_of_bytes;
pub use image::ImageFormat;
pub use limits::PictureLimits;
pub use queue::{PictureFor, PictureQueue, PictureTurn, QueueFull};
#[cfg(feature = "decoders")]
pub use small::{PREVIEW_SIDE_MAX, icon, preview, square};
#[cfg(not(feature = "decoders"))]
pub use without_decoders::{icon, preview, square};

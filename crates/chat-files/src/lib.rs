//! The bytes of files: received in a stream, typed by what they begin with, freed of
//! metadata, and kept in a folder or in S3-compatible storage.
//!
//! The database knows each id before its first byte is written ([`ObjectFiles::receive`]),
//! and until its last object is gone ([`ObjectFiles::delete`]), so that nothing here has to
//! be listed in order to find what nobody needs. Who may read a file is decided by others:
//! this crate knows no database, no HTTP and no users.
//!
//! ```
//! use chat_core::FileId;
//! use chat_files::{FilesLocation, ObjectFiles};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let location = FilesLocation::Folder(folder.path().join("files"));
//! let files = ObjectFiles::open(&location, folder.path()).await?;
//! let id = FileId::from_bytes([7; 16]);
//!
//! let mut upload = files.receive(&id, 1_000).await?;
//! upload.write(b"hello".as_slice().into()).await?;
//! let received = upload.finish(None).await?;
//! assert_eq!((received.size(), received.media_type().as_str()), (5, "application/octet-stream"));
//! received.commit().await?;
//!
//! assert_eq!(files.read_whole(&id, 1_000).await?, Some("hello".into()));
//! # Ok(())
//! # }
//! ```

mod disk;
mod error;
pub mod failpoint;
mod file_bytes;
mod location;
mod media_type;
mod object_files;
mod preview_locks;
mod s3;
mod spool;
#[cfg(feature = "test-s3")]
pub mod test_s3;
mod upload;

pub use disk::free_bytes;
pub use error::FilesError;
pub use file_bytes::FileBytes;
pub use location::{FilesLocation, InvalidFilesUrl, S3Location};
pub use media_type::{is_inline, picture_format};
pub use object_files::{Deleted, ObjectFiles};
pub use preview_locks::PreviewLock;
pub use upload::{ReceivedFile, Upload};

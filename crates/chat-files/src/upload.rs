//! A file that is received.

use std::fs::File;
use std::io::{self, Cursor, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;

use bytes::Bytes;
use chat_core::{FileId, MediaType};
use chat_pictures::{Cleaned, ImageFormat, clean, format_of_bytes};

use crate::error::FilesError;
use crate::failpoint;
use crate::media_type::{self, HEAD_BYTES};
use crate::object_files::ObjectFiles;
use crate::spool::{SpoolFile, blocking};

/// A file of which some bytes have arrived. Dropping this value removes them.
#[derive(Debug)]
pub struct Upload {
    files: ObjectFiles,
    id: FileId,
    max_bytes: u64,
    /// The open file, with its guard. `None` while a thread writes, and after an error.
    file: Option<(File, SpoolFile)>,
    /// Bytes that are not written yet, so that not each small packet needs a thread.
    pending: Vec<Bytes>,
    pending_bytes: usize,
    head: Vec<u8>,
    received: u64,
}

/// Bytes that are collected before they are written.
const WRITE_BYTES: usize = 256 * 1024;

impl Upload {
    pub(crate) async fn begin(files: ObjectFiles, id: FileId, max_bytes: u64) -> Result<Self, FilesError> {
        let path = files.spool_path(&id, "");
        let file = blocking(move || SpoolFile::create(path)).await?;
        Ok(Self {
            files,
            id,
            max_bytes,
            file: Some(file),
            pending: Vec::new(),
            pending_bytes: 0,
            head: Vec::new(),
            received: 0,
        })
    }

    /// Appends bytes.
    ///
    /// # Errors
    ///
    /// [`FilesError::TooLarge`], [`FilesError::DiskFull`], [`FilesError::Io`].
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), FilesError> {
        self.received += bytes.len() as u64;
        if self.received > self.max_bytes {
            return Err(FilesError::TooLarge { max_bytes: self.max_bytes });
        }
        let missing = HEAD_BYTES - self.head.len();
        self.head.extend_from_slice(&bytes[..bytes.len().min(missing)]);
        self.pending_bytes += bytes.len();
        self.pending.push(bytes);
        if self.pending_bytes < WRITE_BYTES { Ok(()) } else { self.flush().await }
    }

    async fn flush(&mut self) -> Result<(), FilesError> {
        let pending = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        let Some((mut file, guard)) = self.file.take() else {
            return Err(FilesError::Io(io::Error::other("an earlier write has failed")));
        };
        let written = blocking(move || {
            pending.iter().try_for_each(|bytes| file.write_all(bytes))?;
            Ok((file, guard))
        });
        self.file = Some(written.await?);
        Ok(())
    }

    /// All bytes have arrived: recognises the type (`said` is what the sender says it is),
    /// removes the metadata of a picture, and waits until everything is on the disk.
    ///
    /// # Errors
    ///
    /// [`FilesError::DiskFull`], [`FilesError::Io`].
    pub async fn finish(self, said: Option<MediaType>) -> Result<ReceivedFile, FilesError> {
        self.finish_with(move |file, guard, head, received, clean_path| {
            let finished = without_metadata(file, guard, head, received, clean_path)?;
            let media_type = media_type::media_type(head, finished.dimensions.is_some(), said);
            Ok((finished, media_type))
        })
        .await
    }

    /// All bytes of a file that was stored before have arrived: keeps them as they are, and
    /// waits until everything is on the disk. Type and dimensions are not looked for.
    ///
    /// # Errors
    ///
    /// [`FilesError::DiskFull`], [`FilesError::Io`].
    pub async fn finish_unchanged(self) -> Result<ReceivedFile, FilesError> {
        self.finish_with(|file, guard, _, size, _| {
            Ok((Finished { file, guard, size, dimensions: None }, MediaType::default()))
        })
        .await
    }

    async fn finish_with(
        mut self,
        finish: impl FnOnce(File, SpoolFile, &[u8], u64, PathBuf) -> io::Result<(Finished, MediaType)>
        + Send
        + 'static,
    ) -> Result<ReceivedFile, FilesError> {
        self.flush().await?;
        let Some((file, guard)) = self.file.take() else {
            return Err(FilesError::Io(io::Error::other("an earlier write has failed")));
        };
        let (files, id, head, received) = (self.files, self.id, self.head, self.received);
        let clean_path = files.spool_path(&id, ".clean");
        let finished = blocking(move || {
            failpoint::reached("written");
            let (finished, media_type) = finish(file, guard, &head, received, clean_path)?;
            let Finished { file, guard, size, dimensions } = finished;
            file.sync_all()?;
            failpoint::reached("synced");
            Ok(ReceivedFile { files, id, guard, size, media_type, dimensions })
        });
        Ok(finished.await?)
    }
}

struct Finished {
    file: File,
    guard: SpoolFile,
    size: u64,
    dimensions: Option<(u32, u32)>,
}

/// The file without its metadata if it is a picture, else as it is.
fn without_metadata(
    mut file: File,
    guard: SpoolFile,
    head: &[u8],
    size: u64,
    clean_path: PathBuf,
) -> io::Result<Finished> {
    let as_it_is = |file, guard, dimensions| Ok(Finished { file, guard, size, dimensions });
    let Some(format) = format_of_bytes(head) else { return as_it_is(file, guard, None) };
    if format == ImageFormat::Gif {
        // It stays as it is: only its size is read.
        let found = clean(&mut Cursor::new(head), &mut Cursor::new(Vec::new()), format)?;
        let dimensions = match found {
            Cleaned::Picture { dimensions } => Some(dimensions),
            Cleaned::NotAPicture => None,
        };
        return as_it_is(file, guard, dimensions);
    }
    file.rewind()?;
    let (mut cleaned, clean_guard) = SpoolFile::create(clean_path)?;
    match clean(&mut file, &mut cleaned, format)? {
        Cleaned::Picture { dimensions } => {
            let size = cleaned.seek(SeekFrom::End(0))?;
            Ok(Finished { file: cleaned, guard: clean_guard, size, dimensions: Some(dimensions) })
        }
        Cleaned::NotAPicture => as_it_is(file, guard, None),
    }
}

/// A file whose bytes are complete and on the disk of this machine, under a name that
/// nobody reads. Dropping this value removes it.
#[derive(Debug)]
pub struct ReceivedFile {
    files: ObjectFiles,
    id: FileId,
    guard: SpoolFile,
    size: u64,
    media_type: MediaType,
    dimensions: Option<(u32, u32)>,
}

impl ReceivedFile {
    /// The bytes of what is kept.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The type, by the bytes where they are known.
    pub fn media_type(&self) -> &MediaType {
        &self.media_type
    }

    /// Of a picture: width and height in pixels, once it is upright.
    pub fn dimensions(&self) -> Option<(u32, u32)> {
        self.dimensions
    }

    /// Keeps the file under its id, for good: it survives a power cut.
    ///
    /// If this future is dropped, the file may be kept or not; it is not to be deleted
    /// before that is known.
    ///
    /// # Errors
    ///
    /// [`FilesError`]. After [`FilesError::Storage`] the file may still appear later.
    pub async fn commit(self) -> Result<(), FilesError> {
        self.files.publish(&self.id, self.guard, self.size).await
    }
}

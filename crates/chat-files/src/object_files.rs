//! The bytes of all files, in a folder or in S3-compatible storage.

use std::fmt;
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chat_core::FileId;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::local::LocalFileSystem;
use object_store::path::Path as Name;
use object_store::{GetOptions, ObjectStore, ObjectStoreExt as _, PutPayload};
use tokio::sync::Semaphore;

use crate::error::FilesError;
use crate::failpoint;
use crate::file_bytes::FileBytes;
use crate::location::FilesLocation;
use crate::preview_locks::{PreviewLock, PreviewLocks};
use crate::s3;
use crate::spool::{Spool, SpoolFile, blocking};
use crate::upload::Upload;

/// The bytes of all files, in a folder or in S3-compatible storage. Cloning increments a
/// reference count.
///
/// A file has the name of its id, below a folder that is named after the first two
/// characters, and its preview is beside it. Both are written once, and never changed.
#[derive(Clone)]
pub struct ObjectFiles {
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<dyn ObjectStore>,
    /// What the names of all objects begin with.
    prefix: Name,
    kind: Kind,
    /// Files on their way: on the disk of this machine, unless the folder is elsewhere.
    spool: Spool,
    previews: PreviewLocks,
}

/// What became of a [deletion](ObjectFiles::delete).
#[derive(Debug, Default)]
pub struct Deleted {
    /// The files that are gone. The others are in use, or cannot be deleted now, and are to
    /// be deleted later; some of their bytes may be gone.
    pub files: Vec<FileId>,
    /// Why some cannot be deleted now: the first error of [`FilesError::Io`] and
    /// [`FilesError::Storage`].
    pub error: Option<FilesError>,
}

enum Kind {
    /// The folder; files on their way are below it, so that they are renamed to their place.
    Folder(PathBuf),
    /// One permit for each file that is sent to the storage.
    S3 { sending: Semaphore },
}

/// Files that are sent to the storage at one time, each of at most [`PART_BYTES`] in
/// memory.
const SENDING_MAX: usize = 3;
/// Files of at most this size are sent in one piece, and thus whole or not at all. Larger ones
/// are sent in pieces of this size: if the upload of one breaks off and cannot be aborted, the
/// storage keeps its pieces until a rule of the bucket removes them.
const PART_BYTES: u64 = 32 * 1024 * 1024;
/// How long a file is not deleted after its preview could not be sent: the storage may still
/// keep the preview, at most as long as all attempts to send it and a slow answer take.
const LATE_PREVIEW: Duration = Duration::from_secs(5 * 60);
/// Objects that are deleted at one time.
const DELETING_MAX: usize = 8;

impl ObjectFiles {
    /// Opens the place of the files, and makes its folder. Files on their way are kept in
    /// `data_folder` where the place is no folder; those of processes that are gone are removed.
    ///
    /// # Errors
    ///
    /// [`FilesError`]. Storage is not asked yet.
    pub async fn open(location: &FilesLocation, data_folder: &Path) -> Result<Self, FilesError> {
        let (prefix, spools) = match location {
            FilesLocation::Folder(folder) => (Name::default(), folder.join(SPOOL)),
            FilesLocation::S3(location) => {
                let prefix = Name::parse(&location.prefix).map_err(object_store::Error::from)?;
                (prefix, data_folder.join("files").join(SPOOL))
            }
        };
        let spool = blocking(move || Spool::open(&spools)).await?;
        let (store, kind): (Arc<dyn ObjectStore>, _) = match location {
            FilesLocation::Folder(folder) => {
                let store = LocalFileSystem::new_with_prefix(folder)?.with_fsync(true);
                (Arc::new(store), Kind::Folder(folder.clone()))
            }
            FilesLocation::S3(location) => {
                (s3::open(location)?, Kind::S3 { sending: Semaphore::new(SENDING_MAX) })
            }
        };
        let previews = PreviewLocks::default();
        Ok(Self { shared: Arc::new(Shared { store, prefix, kind, spool, previews }) })
    }

    /// Begins to receive a file of at most `max_bytes`, whose id nobody else has.
    ///
    /// # Errors
    ///
    /// [`FilesError::DiskFull`], [`FilesError::Io`].
    pub async fn receive(&self, id: &FileId, max_bytes: u64) -> Result<Upload, FilesError> {
        Upload::begin(self.clone(), *id, max_bytes).await
    }

    /// The folder on this machine in which files on their way are written.
    pub fn spool_folder(&self) -> &Path {
        self.shared.spool.folder()
    }

    /// Whether a file that could not be kept may still appear later, because the storage
    /// did not answer.
    pub fn may_appear_later(&self) -> bool {
        matches!(self.shared.kind, Kind::S3 { .. })
    }

    /// Reads a part of a file; `None` if there is no such file.
    ///
    /// # Errors
    ///
    /// [`FilesError::Io`], [`FilesError::Storage`].
    pub async fn read(&self, id: &FileId, range: Range<u64>) -> Result<Option<FileBytes>, FilesError> {
        if range.is_empty() {
            // Storages have no empty ranges.
            let head = self.shared.store.head(&self.name(id, "")).await;
            return Ok(found(head)?.map(|_| FileBytes::empty()));
        }
        self.get(&self.name(id, ""), Some(range)).await
    }

    /// A whole file, if it has at most `max_bytes`; `None` if there is none, or if it is
    /// larger.
    ///
    /// # Errors
    ///
    /// [`FilesError::Io`], [`FilesError::Storage`].
    pub async fn read_whole(&self, id: &FileId, max_bytes: u64) -> Result<Option<Bytes>, FilesError> {
        self.whole(&self.name(id, ""), max_bytes).await
    }

    /// The preview of a file, if it was made; an empty one says that none can be made.
    ///
    /// # Errors
    ///
    /// [`FilesError::Io`], [`FilesError::Storage`].
    pub async fn preview(&self, id: &FileId) -> Result<Option<Bytes>, FilesError> {
        self.whole(&self.name(id, PREVIEW), PREVIEW_MAX_BYTES).await
    }

    /// Waits for the right to make the preview of a file. Whoever has it asks next whether
    /// the file is still to be kept: it is not deleted then before the right is given back.
    pub async fn lock_preview(&self, id: &FileId) -> PreviewLock {
        self.shared.previews.lock(id).await
    }

    /// Keeps the preview of a file. `_lock` is the right to do so. If a storage does not take
    /// it, the file is not deleted for five minutes, as the preview may still appear.
    ///
    /// # Errors
    ///
    /// [`FilesError`].
    pub async fn keep_preview(
        &self,
        id: &FileId,
        preview: Bytes,
        _lock: &PreviewLock,
    ) -> Result<(), FilesError> {
        let name = self.name(id, PREVIEW);
        if let Kind::S3 { .. } = self.shared.kind {
            if let Err(error) = self.shared.store.put(&name, preview.into()).await {
                let now = Instant::now();
                self.shared.previews.keep_until(id, now + LATE_PREVIEW, now);
                return Err(error.into());
            }
            return Ok(());
        }
        let path = self.spool_path(id, PREVIEW);
        let written = blocking(move || {
            let (mut file, guard) = SpoolFile::create(path)?;
            io::Write::write_all(&mut file, &preview)?;
            // A preview that is cut by a crash would be served for ever.
            file.sync_all()?;
            Ok(guard)
        });
        self.rename(written.await?, &self.spool_name(&format!("{id}{PREVIEW}")), &name).await
    }

    /// Deletes files and their previews, for good; those that do not exist count as
    /// deleted. One that cannot be deleted keeps no other from it.
    pub async fn delete(&self, ids: &[FileId]) -> Deleted {
        let mut deleted = Deleted::default();
        let now = Instant::now();
        let free: Vec<_> = ids.iter().filter(|id| self.shared.previews.is_free(id, now)).copied().collect();
        let deletions = free.iter().map(|id| {
            let (store, id) = (Arc::clone(&self.shared.store), *id);
            let names = [self.name(&id, ""), self.name(&id, PREVIEW)];
            async move {
                for name in names {
                    found(store.delete(&name).await)?;
                }
                Ok::<_, FilesError>(id)
            }
        });
        let deletions: Vec<_> = deletions.collect();
        let mut results = stream::iter(deletions).buffered(DELETING_MAX);
        while let Some(result) = results.next().await {
            match result {
                Ok(id) => deleted.files.push(id),
                Err(error) => deleted.error = deleted.error.or(Some(error)),
            }
        }
        if let Kind::Folder(root) = &self.shared.kind {
            let mut folders: Vec<_> = deleted.files.iter().map(|id| root.join(first_two(id))).collect();
            folders.sort();
            folders.dedup();
            let synced = blocking(move || folders.iter().try_for_each(|folder| sync_folder(folder))).await;
            if let Err(error) = synced {
                // Each may come back after a crash.
                deleted = Deleted { files: Vec::new(), error: Some(error.into()) };
            }
        }
        failpoint::reached("object removed");
        deleted
    }

    /// Moves a file from its way to its place, for good.
    pub(crate) async fn publish(&self, id: &FileId, file: SpoolFile, size: u64) -> Result<(), FilesError> {
        let name = self.name(id, "");
        let Kind::S3 { sending } = &self.shared.kind else {
            let spooled = file.path().file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let spooled = self.spool_name(spooled);
            return self.rename(file, &spooled, &name).await;
        };
        let _permit = sending.acquire().await.map_err(|error| FilesError::Io(io::Error::other(error)))?;
        let opened = file.path().to_owned();
        let mut source = blocking(move || std::fs::File::open(opened)).await?;
        if size <= PART_BYTES {
            let (whole, _) = blocking(move || read_part(source, size)).await?;
            self.shared.store.put(&name, whole).await?;
            return Ok(());
        }
        let mut upload = self.shared.store.put_multipart(&name).await?;
        let mut left = size;
        while left > 0 {
            let part = left.min(PART_BYTES);
            let read = blocking(move || read_part(source, part)).await;
            let sent = match read {
                Ok((payload, rest)) => {
                    source = rest;
                    upload.put_part(payload).await.map_err(FilesError::from)
                }
                Err(error) => {
                    // The storage removes the pieces.
                    let _ = upload.abort().await;
                    return Err(error.into());
                }
            };
            if let Err(error) = sent {
                let _ = upload.abort().await;
                return Err(error);
            }
            left -= part;
        }
        upload.complete().await?;
        Ok(())
    }

    async fn rename(&self, file: SpoolFile, from: &Name, to: &Name) -> Result<(), FilesError> {
        let renamed = self.shared.store.rename(from, to).await;
        match renamed {
            Ok(()) => {
                file.moved();
                Ok(())
            }
            Err(error) => Err(FilesError::Io(io::Error::other(error))),
        }
    }

    async fn get(&self, name: &Name, range: Option<Range<u64>>) -> Result<Option<FileBytes>, FilesError> {
        let options = GetOptions { range: range.map(Into::into), ..GetOptions::default() };
        let result = found(self.shared.store.get_opts(name, options).await)?;
        Ok(result.map(FileBytes::new).transpose()?)
    }

    async fn whole(&self, name: &Name, max_bytes: u64) -> Result<Option<Bytes>, FilesError> {
        let Some(mut bytes) = self.get(name, None).await? else { return Ok(None) };
        if bytes.left() > max_bytes {
            return Ok(None);
        }
        let mut whole = Vec::with_capacity(bytes.left() as usize);
        while let Some(chunk) = bytes.try_next().await? {
            whole.extend_from_slice(&chunk);
        }
        Ok(Some(whole.into()))
    }

    fn name(&self, id: &FileId, suffix: &str) -> Name {
        self.shared.prefix.clone().join(first_two(id)).join(format!("{id}{suffix}"))
    }

    /// The name, in the folder, of a file on its way.
    fn spool_name(&self, file: &str) -> Name {
        Name::from_iter([SPOOL, self.shared.spool.name(), file])
    }

    pub(crate) fn spool_path(&self, id: &FileId, suffix: &str) -> PathBuf {
        self.shared.spool.folder().join(format!("{id}{suffix}"))
    }
}

impl fmt::Debug for ObjectFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectFiles({})", self.shared.store)
    }
}

/// The folder of files on their way.
const SPOOL: &str = "incoming";
const PREVIEW: &str = ".preview";
/// More than a lossless WebP of 720 by 720 pixels has.
const PREVIEW_MAX_BYTES: u64 = 4 * 1024 * 1024;

/// The first two characters of an id: 4,096 folders.
fn first_two(id: &FileId) -> &str {
    &id.as_str()[..2]
}

/// `None` if the object does not exist.
fn found<T>(result: object_store::Result<T>) -> Result<Option<T>, FilesError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The next bytes of a file, in pieces.
fn read_part(file: std::fs::File, bytes: u64) -> io::Result<(PutPayload, std::fs::File)> {
    let mut whole = Vec::with_capacity(bytes as usize);
    (&file).take(bytes).read_to_end(&mut whole)?;
    if whole.len() as u64 != bytes {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((PutPayload::from(whole), file))
}

/// Waits until the deletions in a folder are on the disk.
fn sync_folder(folder: &Path) -> io::Result<()> {
    match std::fs::File::open(folder) {
        Ok(folder) => folder.sync_all(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

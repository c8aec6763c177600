//! Files that users upload: received, served and deleted.

mod disk;
mod disposition;
mod download;
mod pending;
mod preview;
mod range;
mod sweep;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use chat_core::{FileQuotas, Username};
use chat_files::{FilesError, FilesLocation, ObjectFiles};
use tokio::sync::Notify;

use crate::HttpOptions;
use crate::options::FilesOptions;
use crate::permits::Permits;
use crate::user_rate::UserRate;

pub(crate) use self::disk::{DiskFloor, DiskLow};
pub(crate) use self::disposition::content_disposition;
pub(crate) use self::download::{Download, Downloads};
pub(crate) use self::pending::PendingFile;
pub(crate) use self::preview::preview;
pub(crate) use self::range::{Asked, asked_range};
pub(crate) use self::sweep::keep_sweeping;

/// What requests need for files, beside the records in the store.
pub(crate) struct Files {
    pub(crate) objects: ObjectFiles,
    pub(crate) downloads: Downloads,
    pub(crate) sending: Permits<Username>,
    pub(crate) uploads: Permits<Username>,
    pub(crate) upload_rate: UserRate,
    pub(crate) disk: Arc<DiskFloor>,
    pub(crate) quotas: FileQuotas,
    /// Is told when there is something to be deleted.
    pub(crate) sweep: Arc<Notify>,
}

impl Files {
    /// Opens the place of the files.
    ///
    /// # Errors
    ///
    /// Those of the file system and of the options of the storage.
    pub(crate) async fn open(options: &HttpOptions) -> Result<Self, FilesError> {
        let of_files = &options.files;
        remove_temporary(of_files).await?;
        let objects = ObjectFiles::open(&of_files.location, &of_files.data_dir).await?;
        let mut folders: Vec<PathBuf> =
            vec![objects.spool_folder().to_owned(), options.uploads_dir.clone(), of_files.data_dir.clone()];
        folders.retain(|folder| folder.exists());
        Ok(Self {
            objects,
            downloads: Downloads::default(),
            upload_rate: UserRate::new(of_files.uploads_per_minute),
            sending: Permits::new(usize::MAX, of_files.downloads_per_user),
            uploads: Permits::new(of_files.uploads_max, of_files.uploads_per_user),
            disk: Arc::new(DiskFloor::new(folders, of_files.disk_free_min_bytes)),
            quotas: FileQuotas { user_bytes: of_files.user_bytes_max, all_bytes: of_files.bytes_max },
            sweep: Arc::default(),
        })
    }
}

/// Removes the folder of files whose records do not outlive the process.
///
/// # Errors
///
/// Those of the file system.
pub(crate) async fn remove_temporary(options: &FilesOptions) -> io::Result<()> {
    let FilesLocation::Folder(folder) = &options.location else { return Ok(()) };
    if !options.is_temporary {
        return Ok(());
    }
    match tokio::fs::remove_dir_all(folder).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The error of files as one of the file system, for a start that fails.
pub(crate) fn as_io(error: FilesError) -> io::Error {
    match error {
        FilesError::Io(error) | FilesError::DiskFull(error) => error,
        error => io::Error::other(error),
    }
}

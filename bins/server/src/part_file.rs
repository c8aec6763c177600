//! Files that are written under another name until they are complete.

use std::error::Error;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// A file that is not complete yet, for this user only. Dropped, it is removed.
pub(crate) struct PartFile {
    path: PathBuf,
    is_complete: bool,
    /// Locked, so that two commands do not write the same file.
    _file: File,
}

impl PartFile {
    /// Creates the file, or empties the one that a crash left.
    ///
    /// # Errors
    /// A sentence, also if another command is writing the file.
    pub(crate) fn create(path: PathBuf) -> Result<Self, Box<dyn Error>> {
        let failed = |error: io::Error| format!("{} cannot be written: {error}", path.display());
        let open = File::options().write(true).create(true).truncate(false).mode(PRIVATE).open(&path);
        let file = open.map_err(failed)?;
        let is_ours = file.try_lock().is_ok() && {
            // Another command may have completed its file just now, under this name.
            let (mine, there) = (file.metadata().map_err(failed)?, fs::metadata(&path));
            there.is_ok_and(|there| (there.dev(), there.ino()) == (mine.dev(), mine.ino()))
        };
        if !is_ours {
            return Err(format!("{} is being written by another command", path.display()).into());
        }
        file.set_permissions(Permissions::from_mode(PRIVATE)).map_err(failed)?;
        file.set_len(0).map_err(failed)?;
        Ok(Self { path, is_complete: false, _file: file })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the file its own name. Its bytes are on the disk already.
    pub(crate) fn become_file(mut self, file: &Path) -> Result<(), Box<dyn Error>> {
        let folder = match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        fs::rename(&self.path, file)
            .and_then(|()| {
                self.is_complete = true;
                File::open(folder)?.sync_all()
            })
            .map_err(|error| format!("{} cannot be written: {error}", file.display()).into())
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        if !self.is_complete {
            // It may be in place already, under another name.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Readable by the owner only, whatever the umask.
const PRIVATE: u32 = 0o600;

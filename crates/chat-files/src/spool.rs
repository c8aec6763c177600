//! Files on their way: in a folder of their own, until they are complete.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use tokio::sync::Semaphore;

/// A file on its way. Dropping this value removes it.
#[derive(Debug)]
pub(crate) struct SpoolFile {
    /// `None` once the file is elsewhere.
    path: Option<PathBuf>,
}

impl SpoolFile {
    /// Makes an empty file.
    pub(crate) fn create(path: PathBuf) -> io::Result<(File, Self)> {
        let file = File::options().read(true).write(true).create_new(true).open(&path)?;
        Ok((file, Self { path: Some(path) }))
    }

    /// The file is elsewhere now.
    pub(crate) fn moved(mut self) {
        self.path = None;
    }

    /// The path of the file.
    pub(crate) fn path(&self) -> &Path {
        self.path.as_deref().expect("only `moved` takes it, and consumes this value")
    }
}

impl Drop for SpoolFile {
    fn drop(&mut self) {
        if let Some(path) = &self.path
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::warn!(file = %path.display(), %error, "an unfinished file cannot be removed");
        }
    }
}

/// Makes the folder, and removes what a crash left in it.
pub(crate) fn open(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for entry in std::fs::read_dir(folder)? {
        std::fs::remove_file(entry?.path())?;
    }
    Ok(())
}

/// Runs file work on a thread that may block. The work is not cancelled when this future is
/// dropped: its result is then dropped, so that guards in it still remove their files.
///
/// # Errors
///
/// The error of the work, or one of the kind `Other` if the work panicked.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    // As many as this work at one time, of all folders of the process: the threads of the
    // runtime serve others, too.
    static PERMITS: Semaphore = Semaphore::const_new(16);
    let _permit = PERMITS.acquire().await.map_err(io::Error::other)?;
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

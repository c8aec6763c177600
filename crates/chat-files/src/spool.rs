//! Files on their way: in a folder of their own, until they are complete.

use std::fs::{self, File, TryLockError};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use tokio::sync::Semaphore;

/// The folder in which this process writes files on their way. Dropping this value removes it.
///
/// It is one of those of all servers that have the place of the files in common. Beside each is a file that
/// its process keeps locked: what a process has left behind that is gone is removed by the next one.
#[derive(Debug)]
pub(crate) struct Spool {
    name: String,
    folder: PathBuf,
    lock_path: PathBuf,
    _lock: File,
}

impl Spool {
    /// Makes a folder in `all`, and removes what earlier processes have left there.
    pub(crate) fn open(all: &Path) -> io::Result<Self> {
        fs::create_dir_all(all)?;
        // As random as the keys of a hash map.
        let name = format!("{:016x}", RandomState::new().build_hasher().finish());
        let lock_path = all.join(&name).with_extension(LOCK);
        let lock = locked(&lock_path)?;
        let folder = all.join(&name);
        fs::create_dir(&folder)?;
        let spool = Self { name, folder, lock_path, _lock: lock };
        for entry in fs::read_dir(all)? {
            let path = entry?.path();
            let removed = if path.is_file() && path.extension().is_none_or(|extension| extension != LOCK) {
                // Earlier versions had no folders for processes.
                fs::remove_file(&path)
            } else {
                remove_unless_locked(&path.with_extension(""))
            };
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(file = %path.display(), %error, "an unfinished file cannot be removed");
                }
                _ => {}
            }
        }
        Ok(spool)
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The name of the folder in that of all.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next process.
        let _ = fs::remove_dir_all(&self.folder).and_then(|()| fs::remove_file(&self.lock_path));
    }
}

/// Makes and locks a file.
fn locked(path: &Path) -> io::Result<File> {
    loop {
        let file = File::create(path)?;
        file.lock()?;
        // Before it was locked, another process may have taken it for one that was left behind.
        if fs::metadata(path).is_ok_and(|found| file.metadata().is_ok_and(|own| own.ino() == found.ino())) {
            return Ok(file);
        }
    }
}

/// Removes the folder of a process that is gone, and its lock.
fn remove_unless_locked(folder: &Path) -> io::Result<()> {
    let lock_path = folder.with_extension(LOCK);
    // Over NFS, a lock for one alone needs a file that is open for writing. Several may remove the same.
    let _lock = match File::open(&lock_path) {
        Ok(file) => match file.try_lock_shared() {
            Ok(()) => Some(file),
            Err(TryLockError::WouldBlock) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    for gone in [fs::remove_dir_all(folder), fs::remove_file(&lock_path)] {
        if let Err(error) = gone
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
    }
    Ok(())
}

/// Ends the names of locks.
const LOCK: &str = "lock";

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_processes_have_left_is_removed_and_what_others_write_stays() {
        let root = tempfile::tempdir().unwrap();
        let all = root.path().join("incoming");
        let names = || {
            let mut names: Vec<_> = fs::read_dir(&all)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        };
        let first = Spool::open(&all).unwrap();
        let written = first.folder().join("file");
        fs::write(&written, "a part").unwrap();
        // A process that was killed, one that was killed before it had a folder, and an earlier version.
        fs::create_dir(all.join("killed")).unwrap();
        for left in ["killed/file", "killed.lock", "early.lock", "old", "old.clean"] {
            fs::write(all.join(left), "").unwrap();
        }
        let second = Spool::open(&all).unwrap();
        assert_eq!(fs::read(&written).unwrap(), b"a part");
        let of = |spool: &Spool| [spool.name().to_owned(), format!("{}.lock", spool.name())];
        let mut expected = [of(&first), of(&second)].concat();
        expected.sort();
        assert_eq!(names(), expected);
        drop(first);
        drop(second);
        assert_eq!(names(), [""; 0]);
    }
}

//! Files that only their owner can read: they hold messages and hashes of
//! passwords.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// What SQLite and this program append to the name of a database's files.
const ENDINGS: [&str; 5] = ["", "-wal", "-shm", "-journal", ".lock"];
/// What the names of databases that a restore kept go on with.
const KEPT: &str = ".before-";

/// Opens a file for writing, created with mode 0600 if it is missing: whatever
/// the umask and the mode of the folder. The content is not touched.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, MODE);
    options.open(path)
}

/// Gives a file to the owner of a database, or of its folder while there is no
/// database: a command may run as root where the server does not. Where this fails,
/// it is not needed either.
pub(crate) fn give_to_owner_of(database: &Path, file: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt as _, chown};

        let owner = std::fs::metadata(database).or_else(|_| database.parent().unwrap_or(database).metadata());
        if let Ok(owner) = owner {
            let _ = chown(file, Some(owner.uid()), Some(owner.gid()));
        }
    }
    #[cfg(not(unix))]
    let _ = (database, file);
}

/// Takes the access of others from a database's existing files. SQLite gives a
/// new `-wal` and `-shm` the mode of the database.
///
/// A file that belongs to another user stays as it is, which is logged.
#[cfg(unix)]
pub(crate) fn tighten(database: &Path) {
    use std::os::unix::fs::PermissionsExt as _;

    let (Some(folder), Some(name)) = (database.parent(), database.file_name()) else { return };
    let Ok(files) = folder.read_dir() else { return };
    for file in files.flatten() {
        let file_name = file.file_name();
        let Some(rest) = file_name.as_encoded_bytes().strip_prefix(name.as_encoded_bytes()) else { continue };
        let is_own =
            ENDINGS.iter().any(|ending| ending.as_bytes() == rest) || rest.starts_with(KEPT.as_bytes());
        // Not a link's target, which may be anything.
        let Some(metadata) = file.metadata().ok().filter(|metadata| is_own && metadata.is_file()) else {
            continue;
        };
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & OTHERS == 0 {
            continue;
        }
        let path = file.path();
        let tightened = std::fs::set_permissions(&path, std::fs::Permissions::from_mode(MODE));
        let (path, mode) = (path.display(), format_args!("{mode:o}"));
        match tightened {
            Ok(()) => {
                tracing::warn!(file = %path, %mode, "other users could open this file; its mode is 600 now")
            }
            Err(error) => tracing::warn!(file = %path, %mode, %error, "other users may open this file"),
        }
    }
}

#[cfg(not(unix))]
pub(crate) fn tighten(_: &Path) {}

#[cfg(unix)]
const MODE: u32 = 0o600;
/// The access bits of all users but the owner.
#[cfg(unix)]
const OTHERS: u32 = 0o077;

//! The files of avatars, read for a backup and written from one.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use chat_pictures::format_of_bytes;

use super::blocking::blocking;
use super::format::format_of_name;
use super::part_file::{PartFile, PartPurpose};

/// The content of the avatar with this file name; `None` if the file does not exist or
/// is longer than 64 MiB, which no avatar is.
///
/// # Errors
///
/// Those of the file system.
pub async fn read_avatar(folder: &Path, name: &str) -> io::Result<Option<Vec<u8>>> {
    let path = folder.join(name);
    blocking(move || {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let mut bytes = Vec::new();
        file.take(AVATAR_MAX_BYTES + 1).read_to_end(&mut bytes)?;
        Ok((bytes.len() as u64 <= AVATAR_MAX_BYTES).then_some(bytes))
    })
    .await
}

/// Writes an avatar under a file name that it had before. What is written survives a
/// power cut. A server may be running on the folder.
///
/// # Errors
///
/// An error of the kind `InvalidData` if the bytes are not those of a picture or the
/// name is not that of one, and those of the file system.
pub async fn write_avatar(folder: &Path, name: &str, bytes: Vec<u8>) -> io::Result<()> {
    if format_of_name(name).is_none() || format_of_bytes(&bytes).is_none() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{name:?} is no picture")));
    }
    let (folder, path) = (folder.to_owned(), folder.join(name));
    blocking(move || {
        if std::fs::read(&path).is_ok_and(|stored| stored == bytes) {
            return Ok(());
        }
        // After a crash, the next start of the server removes the part file.
        let (mut file, part) = PartFile::create(&folder, &PartPurpose::Upload)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        // This process may run as root, and the server as the owner of the folder.
        if let Ok(owner) = std::fs::metadata(&folder) {
            let _ = std::os::unix::fs::fchown(&file, Some(owner.uid()), Some(owner.gid()));
        }
        let part = part.keep();
        std::fs::rename(&part, &path).inspect_err(|_| drop(std::fs::remove_file(&part)))?;
        File::open(&folder)?.sync_all()
    })
    .await
}

/// Larger than any avatar that was ever accepted.
const AVATAR_MAX_BYTES: u64 = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const GIF: &[u8] = b"GIF89a\x01\0\x01\0\x80\0\0";

    #[tokio::test]
    async fn only_pictures_are_written_and_read() {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in
            [("../a.gif", GIF), ("/a.gif", GIF), (".a.gif", GIF), ("a.html", GIF), ("a.gif", b"<script>")]
        {
            let refused = write_avatar(folder.path(), name, bytes.to_vec()).await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidData, "{name}");
        }
        assert_eq!(read_avatar(folder.path(), "a.gif").await.unwrap(), None);
        for bytes in [GIF, GIF, b"GIF89a another"] {
            write_avatar(folder.path(), "a.gif", bytes.to_vec()).await.unwrap();
            assert_eq!(read_avatar(folder.path(), "a.gif").await.unwrap().as_deref(), Some(bytes));
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

//! Pictures that go into a backup, and come out of one.

use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::{Part, format_of_bytes, format_of_name};

/// The file of the picture at an account's address; `None` where it is none of the
/// folder of the avatars.
pub fn avatar_file_name(address: &str) -> Option<&str> {
    address.strip_prefix("/uploads/").filter(|name| format_of_name(name).is_some())
}

/// The bytes of a picture, by the name of its file; `None` if it is not there, or
/// longer than any picture.
pub async fn read_avatar(folder: &Path, name: &str) -> io::Result<Option<Vec<u8>>> {
    let path = folder.join(name);
    blocking(move || {
        let file = match std::fs::File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let mut bytes = Vec::new();
        file.take(PICTURE_MAX_BYTES + 1).read_to_end(&mut bytes)?;
        Ok((bytes.len() as u64 <= PICTURE_MAX_BYTES).then_some(bytes))
    })
    .await
}

/// Writes a picture that somebody else kept: an error of the kind `InvalidData` if
/// this is no picture, or its name not that of one. What is written outlives a
/// power cut; a server may be running on the folder.
pub async fn write_avatar(folder: &Path, name: &str, bytes: Vec<u8>) -> io::Result<()> {
    if format_of_name(name).is_none() || format_of_bytes(&bytes).is_none() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{name:?} is no picture")));
    }
    let (folder, path) = (folder.to_owned(), folder.join(name));
    blocking(move || {
        if std::fs::read(&path).is_ok_and(|there| there == bytes) {
            return Ok(());
        }
        // A crash leaves what the next start removes.
        let part = folder.join(Part::Upload.file_name());
        let mut file = std::fs::File::create_new(&part)?;
        let written = file.write_all(&bytes).and_then(|()| file.sync_all());
        // Who does this is perhaps root, and the server is not.
        if let Ok(owner) = std::fs::metadata(&folder) {
            let _ = std::os::unix::fs::chown(&part, Some(owner.uid()), Some(owner.gid()));
        }
        if let Err(error) = written.and_then(|()| std::fs::rename(&part, &path)) {
            let _ = std::fs::remove_file(&part);
            return Err(error);
        }
        std::fs::File::open(&folder)?.sync_all()
    })
    .await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// Longer than pictures are taken from anybody.
const PICTURE_MAX_BYTES: u64 = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const GIF: &[u8] = b"GIF89a\x01\0\x01\0\x80\0\0";

    #[tokio::test]
    async fn only_pictures_go_in_and_out() {
        assert_eq!(avatar_file_name("/uploads/0f.webp"), Some("0f.webp"));
        for other in ["", "0f.webp", "/uploads/", "/uploads/../a.png", "/uploads/a/b.png", "/etc/passwd"] {
            assert_eq!(avatar_file_name(other), None, "{other}");
        }
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

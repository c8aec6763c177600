//! Pictures of people: received, kept and given out.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use crate::HttpOptions;
use crate::error::HttpError;

/// The folder of the avatars. While a picture is on its way it has a name of
/// its own, `.….part`; only a whole one gets a name under which it is given out.
#[derive(Debug)]
pub(crate) struct Avatars {
    folder: PathBuf,
    max_bytes: u64,
    on_their_way: Arc<Semaphore>,
}

impl Avatars {
    /// Makes the folder, and removes what a crash left half received.
    pub(crate) async fn open(options: &HttpOptions) -> io::Result<Self> {
        let folder = options.uploads_dir.clone();
        tokio::fs::create_dir_all(&folder).await?;
        let mut entries = tokio::fs::read_dir(&folder).await?;
        while let Some(entry) = entries.next_entry().await? {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with('.') && name.ends_with(".part") {
                tokio::fs::remove_file(entry.path()).await?;
            }
        }
        Ok(Self {
            folder,
            max_bytes: options.avatar_max_bytes,
            on_their_way: Arc::new(Semaphore::new(options.avatar_uploads_max)),
        })
    }

    /// Makes place for a picture that begins to arrive.
    pub(crate) async fn receive(&self) -> Result<IncomingAvatar, HttpError> {
        let place = self.on_their_way.clone().try_acquire_owned().map_err(|_| HttpError::Busy)?;
        let path = self.folder.join(format!(".{}.part", Uuid::new_v4().simple()));
        let (file, guard) = blocking(move || {
            let file = std::fs::File::create_new(&path)?;
            Ok((file, FileGuard(Some(path))))
        })
        .await?;
        Ok(IncomingAvatar {
            file: File::from_std(file),
            guard,
            head: Vec::new(),
            received: 0,
            max_bytes: self.max_bytes,
            kind: None,
            place,
        })
    }

    /// The picture of that name: the file, its size and its type.
    pub(crate) async fn find(&self, name: &str) -> Result<(File, u64, &'static str), HttpError> {
        let kind = kind_of_name(name).ok_or(HttpError::NotFound)?;
        let found = match File::open(self.folder.join(name)).await {
            Ok(file) => file.metadata().await.map(|metadata| (file, metadata)),
            Err(error) => Err(error),
        };
        match found {
            Ok((file, metadata)) if metadata.is_file() => Ok((file, metadata.len(), kind.content_type)),
            Ok(_) => Err(HttpError::NotFound),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(HttpError::NotFound),
            Err(error) => Err(HttpError::File(error)),
        }
    }
}

/// A picture of which parts are here. Its file goes when this is dropped.
pub(crate) struct IncomingAvatar {
    file: File,
    guard: FileGuard,
    /// The first bytes, by which it is judged.
    head: Vec<u8>,
    received: u64,
    max_bytes: u64,
    kind: Option<&'static Kind>,
    place: OwnedSemaphorePermit,
}

impl IncomingAvatar {
    /// The next part.
    pub(crate) async fn write(&mut self, part: &[u8]) -> Result<(), HttpError> {
        self.received += part.len() as u64;
        if self.received > self.max_bytes {
            return Err(HttpError::AvatarTooLarge { max_mib: self.max_bytes >> 20 });
        }
        if self.kind.is_none() {
            let missing = HEAD_BYTES - self.head.len();
            self.head.extend_from_slice(&part[..part.len().min(missing)]);
            if self.head.len() == HEAD_BYTES {
                self.judge()?;
            }
        }
        self.file.write_all(part).await.map_err(HttpError::File)
    }

    /// All parts are here.
    pub(crate) async fn finish(mut self) -> Result<ReceivedAvatar, HttpError> {
        if self.kind.is_none() {
            self.judge()?;
        }
        self.file.flush().await.map_err(HttpError::File)?;
        let kind = self.kind.ok_or(HttpError::AvatarNotAPicture)?;
        let file = self.file.into_std().await;
        Ok(ReceivedAvatar { file, guard: self.guard, kind, _place: self.place })
    }

    fn judge(&mut self) -> Result<(), HttpError> {
        self.kind = kind_of_bytes(&self.head);
        if self.kind.is_some() { Ok(()) } else { Err(HttpError::AvatarNotAPicture) }
    }
}

/// A whole picture, not yet given out. Its file goes when this is dropped.
pub(crate) struct ReceivedAvatar {
    file: std::fs::File,
    guard: FileGuard,
    kind: &'static Kind,
    _place: OwnedSemaphorePermit,
}

impl ReceivedAvatar {
    /// Gives it a name, for good: a power cut no longer takes it away.
    pub(crate) async fn publish(self, avatars: &Avatars) -> Result<PublishedAvatar, HttpError> {
        let name = format!("{}.{}", Uuid::new_v4().simple(), self.kind.extension);
        let address = format!("/uploads/{name}");
        let (folder, path) = (avatars.folder.clone(), avatars.folder.join(name));
        let Self { file, mut guard, .. } = self;
        let guard = blocking(move || {
            file.sync_all()?;
            guard.rename(path)?;
            std::fs::File::open(folder)?.sync_all()?;
            Ok(guard)
        })
        .await?;
        Ok(PublishedAvatar { guard, address })
    }
}

/// A picture that can be looked at. Its file goes when this is dropped, unless
/// it is kept.
pub(crate) struct PublishedAvatar {
    guard: FileGuard,
    /// Below the server's root.
    pub(crate) address: String,
}

impl PublishedAvatar {
    /// There is an account that names it.
    pub(crate) fn keep(mut self) {
        self.guard.0 = None;
    }
}

/// Removes a file, unless it was disarmed.
struct FileGuard(Option<PathBuf>);

impl FileGuard {
    fn rename(&mut self, to: PathBuf) -> io::Result<()> {
        if let Some(from) = &self.0 {
            std::fs::rename(from, &to)?;
            self.0 = Some(to);
        }
        Ok(())
    }
}

impl Drop for FileGuard {
    fn drop(&mut self) {
        if let Some(path) = &self.0
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::warn!(file = %Path::new(path).display(), %error, "an unused avatar stays");
        }
    }
}

/// A kind of picture that every browser shows and that cannot carry script.
#[derive(Debug, PartialEq)]
struct Kind {
    content_type: &'static str,
    extension: &'static str,
}

static KINDS: [Kind; 4] = [
    Kind { content_type: "image/png", extension: "png" },
    Kind { content_type: "image/jpeg", extension: "jpg" },
    Kind { content_type: "image/gif", extension: "gif" },
    Kind { content_type: "image/webp", extension: "webp" },
];

/// More than any of these kinds needs to be recognised.
const HEAD_BYTES: usize = 64;

fn kind_of_bytes(head: &[u8]) -> Option<&'static Kind> {
    let found = infer::get(head)?;
    KINDS.iter().find(|kind| kind.content_type == found.mime_type())
}

/// `None` for every name that this server cannot have made, and so for every
/// one that leads elsewhere. (`jpeg`: the original kept the extension it was given.)
fn kind_of_name(name: &str) -> Option<&'static Kind> {
    let (stem, extension) = name.rsplit_once('.')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if stem.is_empty() || !stem.chars().all(plain) {
        return None;
    }
    let extension = if extension == "jpeg" { "jpg" } else { extension };
    KINDS.iter().find(|kind| kind.extension == extension)
}

/// Runs file work on a thread that may block. If nobody waits any more, the work
/// is done all the same, and its result dropped: guards in it do their duty.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, HttpError> {
    tokio::task::spawn_blocking(work).await.map_err(HttpError::Task)?.map_err(HttpError::File)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_this_server_makes_are_looked_for() {
        assert_eq!(kind_of_name("0f-A_9.png").map(|kind| kind.content_type), Some("image/png"));
        assert_eq!(kind_of_name("a.jpeg").map(|kind| kind.content_type), Some("image/jpeg"));
        for bad in [
            "",
            ".png",
            "a",
            "a.",
            "a.PNG",
            "a.svg",
            "a.html",
            "..",
            "../a.png",
            "a/b.png",
            "a\\b.png",
            "a.b.png",
            "%2e%2e.png",
            "a%2fb.png",
            "a\0.png",
            "ж.png",
            "a .png",
            ".a.part",
        ] {
            assert_eq!(kind_of_name(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_picture_is_judged_by_its_bytes() {
        let extension = |head: &[u8]| kind_of_bytes(head).map(|kind| kind.extension);
        assert_eq!(extension(b"\x89PNG\r\n\x1a\n"), Some("png"));
        assert_eq!(extension(b"\xff\xd8\xff\xe0\0\x10JFIF"), Some("jpg"));
        assert_eq!(extension(b"GIF89a"), Some("gif"));
        assert_eq!(extension(b"RIFF\x10\0\0\0WEBPVP8L"), Some("webp"));
        for other in [
            &b"<svg xmlns="[..],
            b"<!DOCTYPE html>",
            b"BM",
            b"II*\0\x08\0\0\0\0\0\0\0",
            b"%PDF-1.7",
            b"PK\x03\x04",
            b"",
        ] {
            assert_eq!(extension(other), None, "{other:?}");
        }
    }
}

//! Pictures of people: received, made anew, kept and given out.

mod carried;
mod incoming;
mod jpeg;
mod picture;
mod pictures;
mod vp8l;
mod webp;

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chat_core::Username;
use chat_store::{User, UserRepository};
use image::ImageFormat;
use tokio::fs::File;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::HttpOptions;
use crate::error::HttpError;
use crate::percent;

pub use carried::{avatar_file_name, read_avatar, write_avatar};
pub(crate) use incoming::{IncomingAvatar, ReceivedAvatar};
pub(crate) use picture::{Picture, PictureError};
pub(crate) use pictures::Pictures;

/// The folder of the avatars, which belongs to one server.
///
/// A picture is given out under a name made from its content, so that people with
/// the same picture share a file. Such a file comes into being only when there is
/// an account that names it, and goes only with the last one
/// ([`remove_avatar`]). Until then it has a name of its own, `.….part`, which tells
/// whose account it waits for. After a crash in between, the next start asks the
/// store for that account, and the picture gets its name or goes.
#[derive(Debug)]
pub(crate) struct Avatars {
    folder: PathBuf,
    max_bytes: u64,
    on_their_way: Arc<Semaphore>,
}

impl Avatars {
    /// Makes the folder, and finishes what a crash left half done.
    pub(crate) async fn open(options: &HttpOptions, users: &dyn UserRepository) -> io::Result<Self> {
        let folder = options.uploads_dir.clone();
        tokio::fs::create_dir_all(&folder).await?;
        let mut entries = tokio::fs::read_dir(&folder).await?;
        while let Some(entry) = entries.next_entry().await? {
            if let Some(part) = Part::parse(&entry.file_name().to_string_lossy()) {
                finish(&folder, &entry.path(), part, users).await?;
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
        let path = self.folder.join(Part::Upload.file_name());
        let (file, guard) = blocking(move || {
            let file = std::fs::File::create_new(&path)?;
            Ok((file, FileGuard(Some(path))))
        })
        .await?;
        Ok(IncomingAvatar::new(file, guard, self.max_bytes, place))
    }

    /// Writes the picture for an account that is about to be made; what is written
    /// outlives a power cut.
    pub(crate) async fn prepare(
        &self,
        picture: Picture,
        user: Username,
    ) -> Result<PreparedAvatar, HttpError> {
        let folder = self.folder.clone();
        blocking(move || {
            let name = picture.file_name();
            let path = folder.join(Part::Prepared { user }.file_name());
            let file = std::fs::File::create_new(&path)?;
            let guard = FileGuard(Some(path));
            io::Write::write_all(&mut &file, picture.webp())?;
            file.sync_all()?;
            std::fs::File::open(&folder)?.sync_all()?;
            Ok(PreparedAvatar { guard, address: address(&name), target: folder.join(name) })
        })
        .await
    }

    /// The picture of that name, as an address has it: the file, its size and
    /// its type.
    pub(crate) async fn find(&self, encoded: &str) -> Result<(File, u64, &'static str), HttpError> {
        let name = percent::decode(encoded, false).ok_or(HttpError::NotFound)?;
        let format = format_of_name(&name).ok_or(HttpError::NotFound)?;
        let found = match File::open(self.folder.join(name)).await {
            Ok(file) => file.metadata().await.map(|metadata| (file, metadata)),
            Err(error) => Err(error),
        };
        match found {
            Ok((file, metadata)) if metadata.is_file() => Ok((file, metadata.len(), format.to_mime_type())),
            Ok(_) => Err(HttpError::NotFound),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(HttpError::NotFound),
            Err(error) => Err(HttpError::File(error)),
        }
    }
}

/// Removes the picture of an account that was removed, unless somebody else has
/// the same one. A server may be running on the folder.
pub async fn remove_avatar(folder: &Path, removed: &User, users: &dyn UserRepository) -> io::Result<()> {
    let name = removed.avatar.as_deref().and_then(|address| address.strip_prefix("/uploads/"));
    // A file of this folder, and nothing elsewhere.
    let Some(name) = name.filter(|name| Path::new(name).file_name() == Some(OsStr::new(name))) else {
        return Ok(());
    };
    if is_in_use(removed, users).await? {
        return Ok(());
    }
    // Somebody may be registering with the same picture. Either their account is
    // there when it is asked for now, or their file comes after this one went.
    let path = folder.join(name);
    let aside = folder.join(Part::Prepared { user: removed.name.clone() }.file_name());
    match tokio::fs::rename(&path, &aside).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        moved => moved?,
    }
    match is_in_use(removed, users).await {
        Ok(false) => tokio::fs::remove_file(&aside).await,
        Ok(true) => tokio::fs::rename(&aside, &path).await,
        Err(error) => {
            tokio::fs::rename(&aside, &path).await?;
            Err(error)
        }
    }
}

/// Whether anybody has the picture that this account had.
async fn is_in_use(removed: &User, users: &dyn UserRepository) -> io::Result<bool> {
    let mut last: Option<Username> = None;
    loop {
        let some = users.list_users(last.as_ref(), USERS_AT_ONCE).await.map_err(io::Error::other)?;
        if some.iter().any(|user| user.avatar == removed.avatar) {
            return Ok(true);
        }
        match some.last() {
            Some(user) => last = Some(user.name.clone()),
            None => return Ok(false),
        }
    }
}

/// Accounts that are asked for in one go.
const USERS_AT_ONCE: usize = 1_000;

/// A picture that waits for its account. Its file goes when this is dropped.
pub(crate) struct PreparedAvatar {
    guard: FileGuard,
    /// Below the server's root.
    pub(crate) address: String,
    target: PathBuf,
}

impl PreparedAvatar {
    /// There is an account that names it: from now on it is given out. If that
    /// fails, the next start does it.
    pub(crate) async fn publish(mut self) {
        let Some(path) = self.guard.0.take() else { return };
        // Where somebody has the same picture, the file is replaced by its equal.
        if let Err(error) = tokio::fs::rename(&path, &self.target).await {
            tracing::error!(file = %path.display(), %error, "an avatar is not given out before the next start");
        }
    }

    /// Nobody knows whether there is such an account: the next start will.
    pub(crate) fn leave(mut self) {
        self.guard.0 = None;
    }
}

/// A file that is not given out (yet).
#[derive(Debug, PartialEq)]
enum Part {
    /// As it was uploaded.
    Upload,
    /// A picture that waits for this account.
    Prepared { user: Username },
}

impl Part {
    /// A new name. With a username of 96 bytes it has 232, which is less than
    /// file systems allow.
    fn file_name(&self) -> String {
        let id = Uuid::new_v4().simple();
        match self {
            Self::Upload => format!(".{id}.part"),
            Self::Prepared { user } => format!(".{}.{id}.part", picture::hex(user.as_str().as_bytes())),
        }
    }

    fn parse(name: &str) -> Option<Self> {
        let name = name.strip_prefix('.')?.strip_suffix(".part")?;
        let Some((user, _)) = name.split_once('.') else { return Some(Self::Upload) };
        let digits = user.chars().map(|digit| digit.to_digit(16)).collect::<Option<Vec<u32>>>()?;
        let (twos, []) = digits.as_chunks::<2>() else { return None };
        let bytes = twos.iter().map(|[high, low]| (high << 4 | low) as u8).collect();
        Some(Self::Prepared { user: Username::known(&String::from_utf8(bytes).ok()?).ok()? })
    }
}

/// Gives a picture its name if there is the account that it waits for, and
/// removes it if not; whatever is only half here goes.
async fn finish(folder: &Path, path: &Path, part: Part, users: &dyn UserRepository) -> io::Result<()> {
    let Part::Prepared { user } = part else { return tokio::fs::remove_file(path).await };
    let name = picture::file_name(&tokio::fs::read(path).await?);
    match users.find_user(&user).await {
        Ok(Some(found)) if found.avatar == Some(address(&name)) => {
            tokio::fs::rename(path, folder.join(name)).await
        }
        Ok(_) => tokio::fs::remove_file(path).await,
        Err(error) => {
            tracing::warn!(?user, %error, "whose avatar this is will be asked again at the next start");
            Ok(())
        }
    }
}

fn address(name: &str) -> String {
    format!("/uploads/{name}")
}

/// Removes a file, unless it was disarmed.
struct FileGuard(Option<PathBuf>);

impl Drop for FileGuard {
    fn drop(&mut self) {
        if let Some(path) = &self.0
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::warn!(file = %path.display(), %error, "an unused avatar stays");
        }
    }
}

/// The formats that are taken: every browser shows them, and none can carry script.
const FORMATS: [ImageFormat; 4] = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif, ImageFormat::WebP];

fn format_of_bytes(head: &[u8]) -> Option<ImageFormat> {
    image::guess_format(head).ok().filter(|format| FORMATS.contains(format))
}

/// `None` for every name that is not that of a picture in this folder: whatever
/// could lead elsewhere has no part in a name, and hidden files are none of it.
/// New pictures are all WebP and named by this server; those that came from the
/// original chat are what they were, under the names they were given.
fn format_of_name(name: &str) -> Option<ImageFormat> {
    let (stem, extension) = name.rsplit_once('.')?;
    let plain = |c: char| c.is_alphanumeric() || "-_ .,()+@".contains(c);
    if stem.is_empty() || stem.starts_with('.') || name.contains("..") || !stem.chars().all(plain) {
        return None;
    }
    match extension.to_ascii_lowercase().as_str() {
        "webp" => Some(ImageFormat::WebP),
        "png" => Some(ImageFormat::Png),
        "jpg" | "jpeg" => Some(ImageFormat::Jpeg),
        "gif" => Some(ImageFormat::Gif),
        _ => None,
    }
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
    use chat_store::{MemoryStore, NewUser};

    use super::*;

    #[test]
    fn only_names_of_pictures_in_the_folder_are_looked_for() {
        for good in ["0f-A_9.png", "a.PNG", "a.b.png", "ж.png", "my cat (1).png", "1714_1.Png"] {
            assert_eq!(format_of_name(good), Some(ImageFormat::Png), "{good}");
        }
        assert_eq!(format_of_name("IMG_1.JPG"), Some(ImageFormat::Jpeg));
        assert_eq!(format_of_name("a.jpeg"), Some(ImageFormat::Jpeg));
        for bad in [
            "",
            ".png",
            "a",
            "a.",
            "a.svg",
            "a.html",
            "..",
            "../a.png",
            "a/b.png",
            "a\\b.png",
            "..png",
            "a..png",
            "a..b.png",
            ".a.png",
            "%2e%2e.png",
            "a%2fb.png",
            "a:b.png",
            "a\0.png",
            "a\n.png",
            ".a.part",
        ] {
            assert_eq!(format_of_name(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_picture_is_judged_by_its_bytes() {
        assert_eq!(format_of_bytes(b"\x89PNG\r\n\x1a\n"), Some(ImageFormat::Png));
        assert_eq!(format_of_bytes(b"\xff\xd8\xff\xe0\0\x10JFIF"), Some(ImageFormat::Jpeg));
        assert_eq!(format_of_bytes(b"GIF89a"), Some(ImageFormat::Gif));
        assert_eq!(format_of_bytes(b"RIFF\x10\0\0\0WEBPVP8L"), Some(ImageFormat::WebP));
        for other in [
            &b"<svg xmlns="[..],
            b"<!DOCTYPE html>",
            b"BM",
            b"II*\0\x08\0\0\0\0\0\0\0",
            b"%PDF-1.7",
            b"PK\x03\x04",
            b"",
        ] {
            assert_eq!(format_of_bytes(other), None, "{other:?}");
        }
    }

    #[test]
    fn the_name_of_a_part_tells_what_it_waits_for() {
        for name in ["a", "Алиса", "../..", &"😀".repeat(24)] {
            let part = Part::Prepared { user: Username::known(name).unwrap() };
            let file_name = part.file_name();
            assert!(file_name.len() <= 232, "{file_name}");
            assert_eq!(format_of_name(&file_name), None);
            assert_eq!(Part::parse(&file_name), Some(part));
        }
        assert_eq!(Part::parse(&Part::Upload.file_name()), Some(Part::Upload));
        for other in [".gitkeep", "a.part", ".xy.0.part", ".6.0.part", "..0.part", ".ff.0.part", ".+1.0.part"]
        {
            assert_eq!(Part::parse(other), None, "{other}");
        }
    }

    #[tokio::test]
    async fn a_crash_leaves_no_account_without_its_picture_and_no_other_file() {
        let folder = tempfile::tempdir().unwrap();
        let options = HttpOptions { uploads_dir: folder.path().to_owned(), ..HttpOptions::default() };
        let users = MemoryStore::default();
        let avatars = Avatars::open(&options, &users).await.unwrap();
        let mut addresses = Vec::new();
        for (name, color) in [("alice", 1), ("bob", 2), ("carol", 3)] {
            let mut sent = io::Cursor::new(Vec::new());
            let image = image::RgbImage::from_pixel(8, 8, image::Rgb([color; 3]));
            image.write_to(&mut sent, ImageFormat::Png).unwrap();
            let limits = picture::PictureLimits { pixels_max: 64, side_max: 8, memory_max: 1 << 20 };
            let picture = Picture::read(sent.get_ref(), ImageFormat::Png, limits).unwrap();
            let prepared = avatars.prepare(picture, Username::known(name).unwrap()).await.unwrap();
            addresses.push(prepared.address.clone());
            prepared.leave();
        }
        // Alice's account was made, bob's not; carol's was, by another registration.
        for (name, avatar) in [("alice", Some(addresses[0].clone())), ("carol", None)] {
            let name = Username::known(name).unwrap();
            let user = NewUser { name, password_hash: String::new(), avatar, created_at_ms: 0 };
            users.create_user(&user).await.unwrap();
        }
        Avatars::open(&options, &users).await.unwrap();
        let left: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, [addresses[0].strip_prefix("/uploads/").unwrap()]);
    }
}

//! A file in the folder of the avatars that is not served.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use chat_core::Username;
use uuid::Uuid;

use crate::hex;

/// A file that is not served: an upload, a picture whose account does not have it yet, or a
/// note. Dropping this value removes the file.
#[derive(Debug)]
pub(super) struct PartFile {
    /// `None` once the file is to be kept.
    path: Option<PathBuf>,
}

impl PartFile {
    /// Makes an empty file of a new name in `folder`.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    pub(super) fn create(folder: &Path, purpose: &PartPurpose) -> io::Result<(File, Self)> {
        let path = folder.join(purpose.new_file_name());
        let file = File::create_new(&path)?;
        Ok((file, Self { path: Some(path) }))
    }

    /// Keeps the file, and gives its path.
    pub(super) fn keep(mut self) -> PathBuf {
        self.path.take().expect("only `keep` takes the path, and consumes this value")
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        if let Some(path) = &self.path
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::warn!(file = %path.display(), %error, "an unused avatar cannot be removed");
        }
    }
}

/// What a [`PartFile`] holds, as its name says it.
#[derive(Debug, PartialEq)]
pub(super) enum PartPurpose {
    /// An upload.
    Upload,
    /// A picture that is served once this account has it.
    Prepared { user: Username },
    /// The name of a picture that its account is about to give up.
    Leaving,
}

impl PartPurpose {
    /// A new name. With a username of 96 bytes it has 232 bytes, which is less than
    /// the 255 that file systems allow.
    pub(super) fn new_file_name(&self) -> String {
        let id = Uuid::new_v4().simple();
        match self {
            Self::Upload => format!(".{id}.part"),
            Self::Leaving => format!(".{id}.leaving"),
            Self::Prepared { user } => format!(".{}.{id}.part", hex::encode(user.as_str().as_bytes())),
        }
    }

    /// The purpose of a file of that name; `None` if the file is no part file.
    pub(super) fn of_file_name(name: &str) -> Option<Self> {
        let name = name.strip_prefix('.')?;
        if name.ends_with(".leaving") {
            return Some(Self::Leaving);
        }
        let name = name.strip_suffix(".part")?;
        let Some((user, _)) = name.split_once('.') else { return Some(Self::Upload) };
        let user = String::from_utf8(hex::decode(user)?).ok()?;
        Some(Self::Prepared { user: Username::known(&user).ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::avatar::format::format_of_name;

    #[test]
    fn the_name_of_a_part_file_says_its_purpose() {
        for name in ["a", "Алиса", "../..", &"😀".repeat(24)] {
            let purpose = PartPurpose::Prepared { user: Username::known(name).unwrap() };
            let file_name = purpose.new_file_name();
            assert!(file_name.len() <= 232, "{file_name}");
            assert_eq!(format_of_name(&file_name), None);
            assert_eq!(PartPurpose::of_file_name(&file_name), Some(purpose));
        }
        for purpose in [PartPurpose::Upload, PartPurpose::Leaving] {
            assert_eq!(PartPurpose::of_file_name(&purpose.new_file_name()), Some(purpose));
        }
        for other in [".gitkeep", "a.part", ".xy.0.part", ".6.0.part", "..0.part", ".ff.0.part", ".+1.0.part"]
        {
            assert_eq!(PartPurpose::of_file_name(other), None, "{other}");
        }
    }
}

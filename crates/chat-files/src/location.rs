//! Where files are kept.

use std::fmt;
use std::path::PathBuf;

/// Where files are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilesLocation {
    /// A folder, which belongs to one server.
    Folder(PathBuf),
    /// A bucket of S3 or of a storage that speaks its protocol.
    S3(S3Location),
}

/// A bucket of S3 or of a storage that speaks its protocol.
#[derive(Clone, PartialEq, Eq)]
pub struct S3Location {
    /// The name of the bucket.
    pub bucket: String,
    /// What the names of all objects begin with; empty: nothing.
    pub prefix: String,
    /// The URL of the storage; `None`: that of Amazon in the region.
    pub endpoint: Option<String>,
    /// The region; `None`: `us-east-1`, which most other storages take.
    pub region: Option<String>,
    /// Key id and secret key; `None`: those that the machine has at Amazon.
    pub credentials: Option<(String, String)>,
}

impl FilesLocation {
    /// Parses `s3://bucket`, `s3://bucket/prefix`, or the path of a folder. Endpoint, region
    /// and credentials are not part of the URL.
    ///
    /// # Errors
    ///
    /// [`InvalidFilesUrl`].
    pub fn parse(url: &str) -> Result<Self, InvalidFilesUrl> {
        let Some(rest) = url.strip_prefix("s3://") else {
            return match url {
                "" => Err(InvalidFilesUrl),
                _ if url.contains("://") => Err(InvalidFilesUrl),
                folder => Ok(Self::Folder(folder.into())),
            };
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_matches('/');
        let is_bucket = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let is_prefix = |byte: u8| is_bucket(byte) || byte == b'/';
        if bucket.is_empty() || !bucket.bytes().all(is_bucket) || !prefix.bytes().all(is_prefix) {
            return Err(InvalidFilesUrl);
        }
        Ok(Self::S3(S3Location {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            endpoint: None,
            region: None,
            credentials: None,
        }))
    }
}

/// A text that names no place for files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("files are kept in a folder, or in s3://BUCKET or s3://BUCKET/PREFIX of plain letters and digits")]
pub struct InvalidFilesUrl;

impl fmt::Display for FilesLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder) => folder.display().fmt(f),
            Self::S3(S3Location { bucket, prefix, .. }) if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3(S3Location { bucket, prefix, .. }) => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

/// Without the secret key.
impl fmt::Debug for S3Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Location")
            .field("bucket", &self.bucket)
            .field("prefix", &self.prefix)
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("has_credentials", &self.credentials.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_a_folder_or_a_bucket() {
        for (url, shown) in [
            ("/srv/files", "/srv/files"),
            ("files", "files"),
            ("s3://chat", "s3://chat"),
            ("s3://chat/", "s3://chat"),
            ("s3://my.chat-1/a/b/", "s3://my.chat-1/a/b"),
        ] {
            assert_eq!(FilesLocation::parse(url).unwrap().to_string(), shown);
        }
        for bad in ["", "s3://", "s3:///prefix", "https://a.b/c", "s3://a b", "s3://a/ж"] {
            assert_eq!(FilesLocation::parse(bad), Err(InvalidFilesUrl), "{bad}");
        }
    }

    #[test]
    fn a_secret_key_is_not_shown() {
        let Ok(FilesLocation::S3(mut bucket)) = FilesLocation::parse("s3://chat") else { panic!() };
        bucket.credentials = Some(("id".to_owned(), "SECRET".to_owned()));
        assert!(!format!("{bucket:?}").contains("SECRET"));
    }
}

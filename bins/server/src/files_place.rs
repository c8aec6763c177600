//! That all servers of a database have the files of messages in one place.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use chat_http::FilesLocation;
use chat_store::{FEED_BEAT_MS, SERVER_LIVES_MS, Stores};

/// Records in the database where this server has the files of messages.
///
/// A server that was killed counts as alive for some seconds, so that one with another folder waits
/// for as long.
///
/// # Errors
/// A sentence, if another server that lives has them elsewhere.
pub(crate) async fn claim(location: &FilesLocation, stores: &Stores) -> Result<(), Box<dyn Error>> {
    let Some(feed) = stores.log.feed() else { return Ok(()) };
    let place = match location {
        FilesLocation::S3(_) => location.to_string(),
        FilesLocation::Folder(folder) => {
            let id = folder_id(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
            format!("folder {id}")
        }
    };
    let attempts = SERVER_LIVES_MS / FEED_BEAT_MS + 2;
    for attempt in 1..=attempts {
        if feed.claim_files(&place).await? {
            return Ok(());
        }
        if attempt == 1 {
            tracing::info!(
                "another server has the files of messages elsewhere: waiting in case it has ended"
            );
        }
        if attempt < attempts {
            tokio::time::sleep(Duration::from_millis(FEED_BEAT_MS)).await;
        }
    }
    Err(format!(
        "{location}: another server on this database has the files of messages elsewhere; all servers need \
         the same bucket (files_url = \"s3://…\"), or a folder that all of them see"
    )
    .into())
}

/// The id of a folder, which a file in it has.
fn folder_id(folder: &Path) -> io::Result<String> {
    fs::create_dir_all(folder)?;
    let path = folder.join(ID_FILE);
    if !path.exists() {
        // It appears with its content, whatever happens meanwhile, and of two servers one is the first.
        let new = format!("{:032x}", rand::random::<u128>());
        let written = folder.join(format!("{ID_FILE}.{new}"));
        let mut file = File::create_new(&written)?;
        writeln!(file, "{new}")?;
        file.sync_all()?;
        let linked = fs::hard_link(&written, &path);
        fs::remove_file(&written)?;
        match linked {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    let id = fs::read_to_string(&path)?.trim().to_owned();
    if id.is_empty() {
        return Err(io::Error::other(format!("the file {ID_FILE} is empty: remove it, and start again")));
    }
    Ok(id)
}

/// The file in the folder of the files that has the folder's id.
const ID_FILE: &str = "folder.id";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_keeps_its_id_when_it_moves_and_others_have_another() {
        let root = tempfile::tempdir().unwrap();
        let [one, other, moved] = ["one", "other", "moved"].map(|name| root.path().join(name));
        let id = folder_id(&one).unwrap();
        assert_eq!((id.len(), folder_id(&one).unwrap()), (32, id.clone()));
        assert_ne!(folder_id(&other).unwrap(), id);
        fs::rename(&one, &moved).unwrap();
        assert_eq!(folder_id(&moved).unwrap(), id);
        fs::write(moved.join(ID_FILE), "").unwrap();
        assert!(folder_id(&moved).unwrap_err().to_string().contains("folder.id"));
    }
}

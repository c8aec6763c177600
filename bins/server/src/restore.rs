//! `server restore`: a backup in the place of the database.

use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chat_store::{Backup, DatabaseUrl, ExistingData, RestoreTarget, Stores};
use clap::Args;
use jiff::Timestamp;

use crate::backup::{described, is_same, missing_files, refuse_memory};
use crate::backup_files::{Checked, PutFiles, check_files};
use crate::config::Config;
use crate::folder::{database_folder, private_folder};
use crate::output::print;
use crate::part_file::PartFile;

/// The arguments of `server restore`.
#[derive(Args)]
pub(crate) struct RestoreTask {
    /// A file that `server backup` wrote.
    file: PathBuf,
    /// Delete the content of a Postgres database.
    #[arg(long)]
    replace: bool,
}

/// Replaces the configured database by a backup.
pub(crate) async fn restore(config: &Config, task: RestoreTask) -> Result<(), Box<dyn Error>> {
    let RestoreTask { file, replace } = task;
    let url = &config.database_url;
    refuse_memory(url)?;
    // Before anything is created: a wrong name is the most likely mistake.
    if !file.is_file() {
        return Err(format!("there is no file {}", file.display()).into());
    }
    if let DatabaseUrl::Sqlite(database) = url
        && is_same(&file, database)
    {
        return Err(format!("{} is the database itself", file.display()).into());
    }
    private_folder(&config.data_dir)?;
    database_folder(url)?;
    let existing = if replace { ExistingData::Replace } else { ExistingData::Refuse };
    let target = RestoreTarget::claim(url, existing).await?;
    let copy = PartFile::create(target.copy_path(&config.data_dir))?;
    let mut backup = Backup::read(&file, copy.path()).await?;
    let mut contents = backup.contents().await?;
    let mut archive = Backup::files_in(&file).await?;
    let mut lacks = String::new();
    let mut put = None;
    if archive.has_files().await? {
        // Before anything is changed.
        let Checked { files, missing } = check_files(&mut archive).await?;
        contents.files = Some(files);
        lacks = missing_files(missing);
        put = Some(PutFiles::open(config).await?);
    }
    let ending = format!(".before-{}", Timestamp::now().strftime("%Y%m%dT%H%M%SZ"));
    let restored = async {
        if let Some(put) = &mut put {
            put.put_all(&mut archive).await?;
        }
        archive.close_unchanged().await?;
        unpack(&mut backup, &config.http.uploads_dir).await?;
        Ok::<_, Box<dyn Error>>(target.put(backup, &ending).await?)
    };
    let kept = match restored.await {
        Ok(kept) => kept,
        Err(error) => {
            if let Some(put) = put {
                put.remove().await;
            }
            return Err(error);
        }
    };
    drop(copy);
    // The first open gives the numbering a new epoch.
    Stores::open(url).await?.close().await;
    let made = contents.made_at_ms.and_then(|ms| Timestamp::from_millisecond(ms.try_into().ok()?).ok());
    let made = made.map_or_else(String::new, |at| format!(", as they were at {at:.0}"));
    let kept = kept
        .map_or_else(String::new, |kept| format!(" The previous database is kept as {}.", kept.display()));
    print(&format!(
        "{url} has {} again{made}.{lacks}{kept} All users have to sign in again.\n",
        described(&contents)
    ))
}

/// Moves the pictures and files of a backup that was made the database of a server as it is
/// to their places.
pub(crate) async fn unpack_in_place(config: &Config) -> Result<(), Box<dyn Error>> {
    let DatabaseUrl::Sqlite(path) = &config.database_url else { return Ok(()) };
    if let Some(mut backup) = Backup::in_place(path).await? {
        let pictures = unpack(&mut backup, &config.http.uploads_dir).await?;
        let mut files = 0;
        if backup.has_files().await? {
            // After a crash the next start puts them again.
            files = PutFiles::open(config).await?.put_all(&mut backup).await?;
        }
        backup.drop_pictures().await?;
        backup.drop_files().await?;
        backup.close().await?;
        tracing::info!(pictures, files, "the database is a backup: its pictures and files were moved out");
    }
    Ok(())
}

/// Writes the pictures of a backup into the uploads folder; returns how many.
async fn unpack(backup: &mut Backup, uploads: &Path) -> Result<usize, Box<dyn Error>> {
    let failed = |error| format!("the folder for uploads, {}, cannot be used: {error}", uploads.display());
    let (mut count, mut last) = (0, String::new());
    while let Some((name, bytes)) = backup.picture(&last).await? {
        if count == 0 {
            fs::create_dir_all(uploads).map_err(failed)?;
        }
        match chat_http::write_avatar(uploads, &name, bytes).await {
            // Not something that this program put there.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                tracing::warn!(%error, "a picture of the backup is not a picture, and is left out");
            }
            written => written.map_err(failed)?,
        }
        last = name;
        count += 1;
    }
    Ok(count)
}

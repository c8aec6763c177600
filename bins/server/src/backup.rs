//! `server backup` and `server restore`: the whole chat in one file, and back.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chat_store::{Backup, BackupContents, DatabaseUrl, RestoreTarget, StoreError, Stores, WhatIsThere};
use clap::Args;
use jiff::Timestamp;

use crate::config::Config;
use crate::folder::private_folder;

/// What to make.
#[derive(Args)]
pub(crate) struct BackupTask {
    /// The file to write.
    file: PathBuf,
    /// Replace the file if it is there.
    #[arg(long)]
    force: bool,
}

/// What to bring back.
#[derive(Args)]
pub(crate) struct RestoreTask {
    /// A file that `server backup` wrote.
    file: PathBuf,
    /// Delete what a Postgres database has in it.
    #[arg(long)]
    replace: bool,
}

/// Writes a backup, beside the place where it belongs until it is whole.
pub(crate) async fn backup(config: &Config, task: BackupTask) -> Result<(), Box<dyn Error>> {
    let BackupTask { file, force } = task;
    refuse_memory(&config.database_url)?;
    refuse_target(&file, force, &config.database_url)?;
    let part = Part::make(beside(&file, ".part"))?;
    let mut backup = Backup::write(&config.database_url, &part.path, now_ms()).await?;
    let missing = add_pictures(&mut backup, &config.http.uploads_dir).await?;
    let contents = backup.contents().await?;
    backup.close().await?;
    // Somebody may have put one there meanwhile.
    refuse_target(&file, force, &config.database_url)?;
    part.become_file(&file)?;
    let lacks = match missing {
        0 => String::new(),
        missing => format!(" {} could not be found.", counted(missing, "picture")),
    };
    say(&format!("{} has {}.{lacks}", file.display(), told(&contents)))
}

fn refuse_memory(url: &DatabaseUrl) -> Result<(), Box<dyn Error>> {
    match url {
        DatabaseUrl::Memory => {
            Err("a store in memory is only its server's: nothing is saved or restored".into())
        }
        _ => Ok(()),
    }
}

/// Neither a file that is to stay, nor what the server itself writes.
fn refuse_target(file: &Path, force: bool, database: &DatabaseUrl) -> Result<(), Box<dyn Error>> {
    if file.file_name().is_none() || file.is_dir() {
        return Err(format!("{} is not the name of a file", file.display()).into());
    }
    if let DatabaseUrl::Sqlite(database) = database {
        for own in ["", "-wal", "-shm", ".lock"] {
            if is_same(file, &beside(database, own)) {
                return Err(format!("{} belongs to the database itself", file.display()).into());
            }
        }
    }
    match fs::symlink_metadata(file) {
        Ok(_) if !force => Err(format!("{} is there already: --force replaces it", file.display()).into()),
        _ => Ok(()),
    }
}

fn is_same(one: &Path, other: &Path) -> bool {
    let id = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
    id(one).is_some_and(|one| id(other) == Some(one))
}

/// Adds the pictures of all accounts, and says how many are not there.
async fn add_pictures(backup: &mut Backup, uploads: &Path) -> Result<usize, Box<dyn Error>> {
    let mut missing = Vec::new();
    let mut last = String::new();
    loop {
        let addresses = backup.avatars(&last, PICTURES_AT_ONCE).await?;
        let Some(address) = addresses.last() else { break };
        last.clone_from(address);
        for address in &addresses {
            if let Some(name) = chat_http::avatar_file_name(address)
                && !add_picture(backup, uploads, name).await?
            {
                missing.push(name.to_owned());
            }
        }
    }
    if missing.is_empty() {
        return Ok(0);
    }
    // A new account is there a moment before its picture is.
    tokio::time::sleep(PICTURE_PATIENCE).await;
    let mut lost = 0;
    for name in &missing {
        if !add_picture(backup, uploads, name).await? {
            lost += 1;
        }
    }
    Ok(lost)
}

async fn add_picture(backup: &mut Backup, uploads: &Path, name: &str) -> Result<bool, Box<dyn Error>> {
    let read = chat_http::read_avatar(uploads, name).await;
    let read = read.map_err(|error| format!("{} cannot be read: {error}", uploads.join(name).display()))?;
    let Some(bytes) = read else { return Ok(false) };
    backup.add_picture(name, &bytes).await?;
    Ok(true)
}

/// Names that are asked for in one go.
const PICTURES_AT_ONCE: usize = 1_000;
const PICTURE_PATIENCE: Duration = Duration::from_secs(1);

/// Puts a backup in the place of the configured database.
pub(crate) async fn restore(config: &Config, task: RestoreTask) -> Result<(), Box<dyn Error>> {
    let RestoreTask { file, replace } = task;
    let url = &config.database_url;
    refuse_memory(url)?;
    // Before anything is made: a file that is not there is the likeliest mistake.
    if !file.is_file() {
        return Err(format!("there is no file {}", file.display()).into());
    }
    if let DatabaseUrl::Sqlite(database) = url
        && is_same(&file, database)
    {
        return Err(format!("{} is the database itself", file.display()).into());
    }
    private_folder(&config.data_dir)?;
    if let DatabaseUrl::Sqlite(database) = url
        && let Some(folder) = database.parent()
    {
        private_folder(folder)?;
    }
    let what_is_there = if replace { WhatIsThere::Replace } else { WhatIsThere::Refuse };
    let target = RestoreTarget::claim(url, what_is_there).await.map_err(stop_first)?;
    let copy = Part::make(target.copy_path(&config.data_dir))?;
    let mut backup = Backup::read(&file, &copy.path).await?;
    let contents = backup.contents().await?;
    unpack(&mut backup, &config.http.uploads_dir).await?;
    let ending = format!(".before-{}", Timestamp::now().strftime("%Y%m%dT%H%M%SZ"));
    let kept = target.put(backup, &ending).await?;
    drop(copy);
    // Whoever opens it first names its numbering.
    Stores::open(url).await?.close().await;
    let made = contents.made_at_ms.and_then(|ms| Timestamp::from_millisecond(ms.try_into().ok()?).ok());
    let made = made.map_or_else(String::new, |at| format!(", as they were at {at:.0}"));
    let kept = kept
        .map_or_else(String::new, |kept| format!(" What was there before is kept as {}.", kept.display()));
    say(&format!("{url} has {} again{made}.{kept} Everybody has to sign in anew.", told(&contents)))
}

/// A backup that was simply made the database of a server has its pictures in it:
/// takes them out.
pub(crate) async fn unpack_in_place(url: &DatabaseUrl, uploads: &Path) -> Result<(), Box<dyn Error>> {
    let DatabaseUrl::Sqlite(path) = url else { return Ok(()) };
    if let Some(mut backup) = Backup::in_place(path).await? {
        let pictures = unpack(&mut backup, uploads).await?;
        backup.drop_pictures().await?;
        backup.close().await?;
        tracing::info!(pictures, "the database is a backup: its pictures were taken out of it");
    }
    Ok(())
}

/// Writes the pictures of a backup where they belong, and says how many.
async fn unpack(backup: &mut Backup, uploads: &Path) -> Result<usize, Box<dyn Error>> {
    let failed = |error| format!("the folder for uploads, {}, cannot be used: {error}", uploads.display());
    let (mut count, mut last) = (0, String::new());
    while let Some((name, bytes)) = backup.picture(&last).await? {
        if count == 0 {
            fs::create_dir_all(uploads).map_err(failed)?;
        }
        match chat_http::write_avatar(uploads, &name, bytes).await {
            // Somebody has put it there who is not this program.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                tracing::warn!(%error, "something in the backup is left out");
            }
            written => written.map_err(failed)?,
        }
        last = name;
        count += 1;
    }
    Ok(count)
}

fn stop_first(error: StoreError) -> Box<dyn Error> {
    match error {
        StoreError::InUse { .. } => format!("{error}: stop that one first").into(),
        error => error.into(),
    }
}

/// A file that is not whole yet, for this user only. Dropped, it is removed.
struct Part {
    path: PathBuf,
    is_whole: bool,
    /// Locked, so that two commands do not write the same file.
    _file: File,
}

impl Part {
    fn make(path: PathBuf) -> Result<Self, Box<dyn Error>> {
        let failed = |error: io::Error| format!("{} cannot be written: {error}", path.display());
        let open = File::options().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = open.map_err(failed)?;
        let is_ours = file.try_lock().is_ok() && {
            // The other one may have finished its file just now, under this name.
            let (mine, there) = (file.metadata().map_err(failed)?, fs::metadata(&path));
            there.is_ok_and(|there| (there.dev(), there.ino()) == (mine.dev(), mine.ino()))
        };
        if !is_ours {
            return Err(format!("{} is being written by another command", path.display()).into());
        }
        // What a crash left.
        file.set_len(0).map_err(failed)?;
        Ok(Self { path, is_whole: false, _file: file })
    }

    /// Its bytes are on the disk: now its name, too.
    fn become_file(mut self, file: &Path) -> Result<(), Box<dyn Error>> {
        let folder = match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        fs::rename(&self.path, file)
            .and_then(|()| {
                self.is_whole = true;
                File::open(folder)?.sync_all()
            })
            .map_err(|error| format!("{} cannot be written: {error}", file.display()).into())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.is_whole {
            // It may be in place already, under another name.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn told(contents: &BackupContents) -> String {
    let BackupContents { accounts, entries, pictures, .. } = *contents;
    let [accounts, entries, pictures] = [(accounts, "account"), (entries, "message"), (pictures, "picture")]
        .map(|(count, what)| counted(count as usize, what));
    format!("{accounts}, {entries} and {pictures}")
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

/// Whoever reads may have had enough.
fn say(text: &str) -> Result<(), Box<dyn Error>> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis().try_into().unwrap_or(u64::MAX))
}

//! `server backup` and `server check-backup`: the whole chat in one file.

use std::error::Error;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chat_store::{Backup, BackupContents, DatabaseUrl, Stores};
use clap::Args;

use crate::backup_files::{Checked, Lacking, add_files, check_files};
use crate::clock::now_ms;
use crate::config::{BACKUP_MARK, Config};
use crate::folder::private_folder;
use crate::output::{counted, listed, print};
use crate::part_file::PartFile;

/// The arguments of `server backup`.
#[derive(Args)]
pub(crate) struct BackupTask {
    /// The file to write.
    file: PathBuf,
    /// Replace an existing file.
    #[arg(long)]
    force: bool,
    /// Leave the bytes of attached files out: the backup has their names and sizes only.
    #[arg(long)]
    without_files: bool,
}

/// The arguments of `server check-backup`.
#[derive(Args)]
pub(crate) struct CheckTask {
    /// A file that `server backup` wrote.
    file: PathBuf,
}

/// Checks that a backup is complete and undamaged: the database, and each file by its hash.
pub(crate) async fn check(config: &Config, task: CheckTask) -> Result<(), Box<dyn Error>> {
    let CheckTask { file } = task;
    private_folder(&config.data_dir)?;
    let copy = PartFile::create(config.data_dir.join("backup.checking"))?;
    let mut backup = Backup::read(&file, copy.path()).await?;
    let mut contents = backup.contents().await?;
    backup.close().await?;
    if contents.made_at_ms.is_none() {
        return Err(format!("{} is the database of a server, not a backup", file.display()).into());
    }
    let mut archive = Backup::files_in(&file).await?;
    let mut lacks = String::new();
    if archive.has_files().await? {
        let Checked { files, missing } = check_files(&mut archive).await?;
        contents.files = Some(files);
        lacks = missing_files(missing);
    }
    archive.close_unchanged().await?;
    print(&format!("{} has {}, and is undamaged.{lacks}\n", file.display(), described(&contents)))
}

/// Writes a backup, under another name until it is complete.
pub(crate) async fn backup(config: &Config, task: BackupTask) -> Result<(), Box<dyn Error>> {
    let BackupTask { file, force, without_files } = task;
    refuse_memory(&config.database_url)?;
    refuse_target(&file, force, &config.database_url)?;
    let part = PartFile::create(beside(&file, ".part"))?;
    let mut backup = Backup::write(&config.database_url, part.path(), now_ms()).await?;
    let missing = add_pictures(&mut backup, config).await?;
    let lacking = match without_files {
        true => Lacking::default(),
        false => add_files(&mut backup, config).await?,
    };
    let contents = backup.contents().await?;
    backup.close().await?;
    // Another program may have created the file meanwhile.
    refuse_target(&file, force, &config.database_url)?;
    part.become_file(&file)?;
    note_backup(config);
    let missing = [counted(missing, "picture", "pictures"), counted(lacking.missing, "file", "files")];
    let missing: Vec<_> = missing.into_iter().filter(|missing| !missing.starts_with("0 ")).collect();
    let lacks = match &missing[..] {
        [] => String::new(),
        missing => format!(" {} could not be found.", listed(missing)),
    };
    print(&format!("{} has {}.{lacks}\n", file.display(), described(&contents)))?;
    // The backup has everything else, and replaces an older one: the exit code tells.
    match &lacking.damaged[..] {
        [] => Ok(()),
        damaged => Err(format!("the backup lacks some files: {}", damaged.join("; ")).into()),
    }
}

/// Notes in the data folder that a backup was made, for the metrics of the server.
fn note_backup(config: &Config) {
    let mark = config.data_dir.join(BACKUP_MARK);
    // Replaced rather than written: it may belong to another user who makes backups.
    let part = PartFile::create(beside(&mark, ".part"));
    if let Err(error) = part.and_then(|part| part.become_file(&mark)) {
        eprintln!("server: the metrics of the server will not show this backup: {error}");
    }
}

/// A sentence about files whose bytes a backup lacks; empty if there are none.
pub(crate) fn missing_files(missing: u64) -> String {
    match missing {
        0 => String::new(),
        missing => format!(" It lacks the bytes of {}.", counted(missing, "file", "files")),
    }
}

/// Refuses a memory store, which other processes cannot reach.
pub(crate) fn refuse_memory(url: &DatabaseUrl) -> Result<(), Box<dyn Error>> {
    match url {
        DatabaseUrl::Memory => {
            Err("a memory store belongs to its server: it cannot be backed up or restored".into())
        }
        _ => Ok(()),
    }
}

/// Refuses a file that must stay, and the files of the database itself.
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
        Ok(_) if !force => Err(format!("{} exists already: --force replaces it", file.display()).into()),
        _ => Ok(()),
    }
}

/// Whether two paths lead to the same existing file.
pub(crate) fn is_same(one: &Path, other: &Path) -> bool {
    let id = |path: &Path| fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
    id(one).is_some_and(|one| id(other) == Some(one))
}

/// Adds the pictures of all accounts; returns how many are missing.
async fn add_pictures(backup: &mut Backup, config: &Config) -> Result<u64, Box<dyn Error>> {
    let uploads = &config.http.uploads_dir;
    let mut missing = Vec::new();
    let mut last = String::new();
    loop {
        let addresses = backup.avatars(&last, ADDRESSES_AT_ONCE).await?;
        let Some(address) = addresses.last() else { break };
        last.clone_from(address);
        for address in &addresses {
            if let Some(name) = chat_http::avatar_file_name(address)
                && !add_picture(backup, uploads, name).await?
            {
                missing.push(address.clone());
            }
        }
    }
    if missing.is_empty() {
        return Ok(0);
    }
    // A new account exists a moment before its picture does.
    tokio::time::sleep(PICTURE_WAIT).await;
    let stores = match &config.database_url {
        url @ DatabaseUrl::Postgres(_) => Some(Stores::open(url).await?),
        _ => None,
    };
    let mut lost = 0;
    for address in &missing {
        let Some(name) = chat_http::avatar_file_name(address) else { continue };
        if add_picture(backup, uploads, name).await? {
            continue;
        }
        // Another server may have it in its folder.
        let shared = match stores.as_ref().and_then(|stores| stores.shared.as_ref()) {
            Some(shared) => shared.picture(address).await?,
            None => None,
        };
        match shared {
            Some(bytes) => backup.add_picture(name, &bytes).await?,
            None => lost += 1,
        }
    }
    if let Some(stores) = stores {
        stores.close().await;
    }
    Ok(lost)
}

/// Adds one picture; `false` if its file does not exist.
async fn add_picture(backup: &mut Backup, uploads: &Path, name: &str) -> Result<bool, Box<dyn Error>> {
    let read = chat_http::read_avatar(uploads, name).await;
    let read = read.map_err(|error| format!("{} cannot be read: {error}", uploads.join(name).display()))?;
    let Some(bytes) = read else { return Ok(false) };
    backup.add_picture(name, &bytes).await?;
    Ok(true)
}

/// Addresses of pictures in one query.
const ADDRESSES_AT_ONCE: usize = 1_000;
const PICTURE_WAIT: Duration = Duration::from_secs(1);

/// The contents of a backup in words.
pub(crate) fn described(contents: &BackupContents) -> String {
    let BackupContents { accounts, entries, pictures, files, .. } = *contents;
    let mut parts = vec![
        counted(accounts, "account", "accounts"),
        counted(entries, "message", "messages"),
        counted(pictures, "picture", "pictures"),
    ];
    parts.extend(files.filter(|files| *files > 0).map(|files| counted(files, "file", "files")));
    listed(&parts)
}

/// The path with an ending appended.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(ending);
    path.into()
}

//! The programs of Postgres on this machine.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The folder of Postgres's programs, and the user that runs them.
pub(super) struct Programs {
    folder: PathBuf,
    /// The ids of the user and the group; `None` to run them as the current user. The
    /// programs refuse to run as root.
    user: Option<(u32, u32)>,
}

impl Programs {
    /// Finds the programs. An error is a sentence that names what is missing.
    pub(super) fn find() -> Result<Self, String> {
        let mut folders: Vec<PathBuf> = std::env::var_os("PG_BIN").into_iter().map(PathBuf::from).collect();
        folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        let mut installed: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
            .into_iter()
            .flatten()
            .flatten()
            .map(|version| version.path().join("bin"))
            .collect();
        installed.sort();
        folders.extend(installed.into_iter().rev());
        let complete = |folder: &PathBuf| ["initdb", "pg_ctl"].iter().all(|name| folder.join(name).exists());
        let folder = folders.into_iter().find(complete).ok_or(
            "there is no Postgres (initdb, pg_ctl) in $PG_BIN, $PATH or /usr/lib/postgresql, \
             and TEST_DATABASE_URL is not set",
        )?;
        let is_root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
        let user = if is_root { Some(postgres_user()?) } else { None };
        Ok(Self { folder, user })
    }

    /// A command for one of the programs, in a folder of their user. Where the folder of the programs
    /// has only links to some, the others are in $PATH.
    pub(super) fn command(&self, program: &str, folder: &Path) -> Command {
        let path = self.folder.join(program);
        let command = if path.exists() { Command::new(path) } else { Command::new(program) };
        self.as_their_user(command, folder)
    }

    /// A command for a shell, with the rights of their user.
    pub(super) fn shell(&self, folder: &Path) -> Command {
        self.as_their_user(Command::new("/bin/sh"), folder)
    }

    fn as_their_user(&self, mut command: Command, folder: &Path) -> Command {
        command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }

    /// Gives a folder to their user.
    pub(super) fn give(&self, folder: &Path) {
        if let Some((user, group)) = self.user {
            chown(folder, Some(user), Some(group)).expect("root may give a folder away");
        }
    }
}

/// The ids of the user that Debian makes for Postgres.
fn postgres_user() -> Result<(u32, u32), String> {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let ids = users.lines().find_map(|line| {
        let mut fields = line.strip_prefix("postgres:")?.split(':').skip(1);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    });
    ids.ok_or_else(|| "Postgres does not run as root, and there is no user `postgres`".to_owned())
}

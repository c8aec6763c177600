//! The chat server: configuration, wiring, signals and sub-commands.
//!
//! Everything else is in the library crates; this is the only place that reads
//! the environment.

#[cfg(not(any(feature = "sqlite", feature = "postgres")))]
compile_error!("the server needs a database: enable the feature `sqlite`, `postgres` or both");

mod address;
mod answer_text;
#[cfg(feature = "sqlite")]
mod backup;
#[cfg(feature = "sqlite")]
mod backup_files;
#[cfg(feature = "nats")]
mod bus;
#[cfg(not(feature = "nats"))]
#[path = "without_nats.rs"]
mod bus;
mod clock;
mod config;
mod control;
mod external_keys;
mod files_place;
mod folder;
mod healthcheck;
mod limits;
mod log;
mod migrate;
mod oidc;
mod output;
mod own_secret;
mod part_file;
mod reindex;
mod requests;
#[cfg(feature = "sqlite")]
mod restore;
mod serve;
mod settings;
mod signals;
#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "without_tls.rs"]
mod tls;
mod user;

use std::process::ExitCode;
use std::time::Duration;

use chat_store::StoreError;
use clap::{Parser, Subcommand};

use crate::config::Config;
use crate::migrate::Direction;
use crate::settings::{Flags, Given, SettingError};

/// A chat server for a team in one program.
///
/// Flags override the environment, the environment overrides the configuration
/// file, and the file overrides the defaults.
#[derive(Parser)]
#[command(name = "server", version, args_conflicts_with_subcommands = false)]
struct Cli {
    #[command(flatten)]
    flags: Flags,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server (the default without a command).
    Serve,
    /// Check whether the running server is ready, for containers.
    Healthcheck,
    /// Apply, undo or list the steps of the database's schema.
    Migrate {
        #[command(subcommand)]
        direction: Option<migrate::Direction>,
    },
    /// Write the whole chat into one file; the server may be running.
    #[cfg(feature = "sqlite")]
    Backup(backup::BackupTask),
    /// Check that a backup is complete and undamaged.
    #[cfg(feature = "sqlite")]
    CheckBackup(backup::CheckTask),
    /// Replace the database by a backup, which may come from the other kind of database.
    #[cfg(feature = "sqlite")]
    Restore(restore::RestoreTask),
    /// Make the index of the search anew; no server may be running.
    Reindex,
    /// Create, list, ban and remove accounts, and set passwords.
    User {
        #[command(subcommand)]
        task: user::Task,
    },
    /// Make, list and revoke bots, and make webhooks.
    Bot {
        #[command(subcommand)]
        task: user::BotTask,
    },
    /// Print the audit log: what administrators and moderators have done.
    Audit(user::AuditTask),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // There, 1 is an answer.
    let is_status = matches!(&cli.command, Some(Command::Migrate { direction: Some(Direction::Status) }));
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("server: {}{}", sentence(error.as_ref()), advice(error.as_ref()));
            if is_status || error.is::<SettingError>() { ExitCode::from(MISUSE) } else { ExitCode::FAILURE }
        }
    }
}

/// The exit code for wrong settings, which starting again does not mend. It is also
/// that of wrong flags (clap).
const MISUSE: u8 = 2;

fn run(cli: Cli) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let config = Config::new(&Given::collect(cli.flags, std::env::vars_os())?)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("service").build()?;
    let done = runtime.block_on(async {
        match cli.command {
            None | Some(Command::Serve) => serve::serve(config).await?,
            Some(Command::Healthcheck) => healthcheck::healthcheck(&config.listen, config.tls.is_some())?,
            Some(Command::Migrate { direction }) => {
                return migrate::migrate(&config.database_url, direction.unwrap_or_default()).await;
            }
            #[cfg(feature = "sqlite")]
            Some(Command::Backup(task)) => backup::backup(&config, task).await?,
            #[cfg(feature = "sqlite")]
            Some(Command::CheckBackup(task)) => backup::check(&config, task).await?,
            #[cfg(feature = "sqlite")]
            Some(Command::Restore(task)) => restore::restore(&config, task).await?,
            Some(Command::Reindex) => reindex::reindex(&config).await?,
            Some(Command::User { task }) => user::user(config, task).await?,
            Some(Command::Bot { task }) => user::bot(&config, task).await?,
            Some(Command::Audit(task)) => user::audit(&config, task).await?,
        }
        Ok(ExitCode::SUCCESS)
    });
    // A look-up of a host name cannot be cancelled, and may not end soon.
    runtime.shutdown_timeout(RUNTIME_STOP_MAX);
    done
}

/// How long the process waits for blocking calls of a command that has ended.
const RUNTIME_STOP_MAX: Duration = Duration::from_secs(1);

/// What the operator can do about an error, as the end of its sentence.
fn advice(error: &(dyn std::error::Error + 'static)) -> &'static str {
    match error.downcast_ref::<StoreError>() {
        Some(StoreError::OldSchema { .. }) => ": run `server migrate up` first",
        Some(StoreError::InUse { .. }) => ": stop that one first",
        Some(StoreError::NotEmpty { .. }) => ": --replace deletes what is in it",
        _ => "",
    }
}

/// An error and its causes as one sentence, without repetitions.
fn sentence(error: &dyn std::error::Error) -> String {
    let mut sentence = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !sentence.contains(&words) {
            sentence.push_str(": ");
            sentence.push_str(&words);
        }
        cause = error.source();
    }
    sentence
}

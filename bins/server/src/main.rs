//! The chat server: configuration, wiring, signals and sub-commands.
//!
//! Everything else is in the library crates; this is the only place that reads
//! the environment.

mod backup;
mod config;
mod folder;
mod healthcheck;
mod limits;
mod migrate;
mod serve;
mod settings;
mod user;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::Config;
use crate::settings::Settings;

/// A chat for a team: one program, nothing else to install.
///
/// Settings come from flags, then the environment, then the configuration
/// file, then the defaults.
#[derive(Parser)]
#[command(name = "server", version, args_conflicts_with_subcommands = false)]
struct Cli {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server (what happens without a command, too).
    Serve,
    /// Ask the running server whether it is ready; for containers.
    Healthcheck,
    /// Bring the database to this version's schema, or one step back.
    Migrate {
        #[command(subcommand)]
        direction: Option<migrate::Direction>,
    },
    /// Write the whole chat into one file, also while the server runs.
    Backup(backup::BackupTask),
    /// Put a backup in the place of the database, also one of the other kind.
    Restore(backup::RestoreTask),
    /// Make, list and remove accounts, and give them new passwords.
    User {
        #[command(subcommand)]
        task: user::Task,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("server: {}", sentence(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<(), Box<dyn std::error::Error>> {
    let config = Config::load(cli.settings)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("service").build()?;
    runtime.block_on(async {
        match cli.command {
            None | Some(Command::Serve) => serve::serve(config).await,
            Some(Command::Healthcheck) => healthcheck::healthcheck(&config.listen),
            Some(Command::Migrate { direction }) => {
                migrate::migrate(&config.database_url, direction.unwrap_or_default()).await
            }
            Some(Command::Backup(task)) => backup::backup(&config, task).await,
            Some(Command::Restore(task)) => backup::restore(&config, task).await,
            Some(Command::User { task }) => user::user(config, task).await,
        }
    })
}

/// An error and its causes as one sentence, nothing said twice.
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

//! `server migrate`: the schema of the database, by hand.

use std::error::Error;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use chat_store::DatabaseUrl;
use chat_store::migrations::{self, Loss, MigrationStatus, Undo};
use clap::Subcommand;

use crate::folder::database_folder;
use crate::output::{counted, listed, print};

/// What to do with the schema's steps.
#[derive(Subcommand, Clone, Copy, Default)]
pub(crate) enum Direction {
    /// Apply all missing steps (the default).
    #[default]
    Up,
    /// Undo the newest step. No server may be connected to the database.
    Down {
        /// Do not ask before data is deleted.
        #[arg(long)]
        yes: bool,
    },
    /// List all steps; exits with 1 if one is missing, and with 2 on an error.
    Status,
}

/// Runs the command and prints what it did.
pub(crate) async fn migrate(url: &DatabaseUrl, direction: Direction) -> Result<ExitCode, Box<dyn Error>> {
    match direction {
        Direction::Up => up(url).await,
        Direction::Down { yes } => down(url, yes).await,
        Direction::Status => status(url).await,
    }
}

async fn up(url: &DatabaseUrl) -> Result<ExitCode, Box<dyn Error>> {
    database_folder(url)?;
    let applied = migrations::up(url).await?;
    let mut lines: String = applied.iter().map(|step| format!("Applied: {}\n", named(step))).collect();
    lines.push_str("The database has this version's schema.\n");
    print(&lines)?;
    Ok(ExitCode::SUCCESS)
}

async fn down(url: &DatabaseUrl, yes: bool) -> Result<ExitCode, Box<dyn Error>> {
    let Some(undo) = Undo::claim(url).await? else {
        print("There is nothing to undo.\n")?;
        return Ok(ExitCode::SUCCESS);
    };
    if !undo.losses().is_empty() && !yes {
        let warning = format!("undoing {} deletes {}", named(undo.step()), lost(undo.losses()));
        if !io::stdin().is_terminal() {
            return Err(format!("{warning}: --yes allows that without a terminal").into());
        }
        if !confirmed(&format!("On {url}, {warning}. Go on? [y/N] "))? {
            return Err("nothing was undone".into());
        }
    }
    print(&format!("Undone: {}\n", named(&undo.run().await?)))?;
    Ok(ExitCode::SUCCESS)
}

async fn status(url: &DatabaseUrl) -> Result<ExitCode, Box<dyn Error>> {
    let steps = migrations::status(url).await?;
    let line = |step: &MigrationStatus| {
        let state = if step.applied { "applied" } else { "missing" };
        format!("{:04} {state} {}\n", step.version, step.name)
    };
    print(&steps.iter().map(line).collect::<String>())?;
    let all = steps.iter().all(|step| step.applied);
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn named(step: &MigrationStatus) -> String {
    format!("{:04} {}", step.version, step.name)
}

fn lost(losses: &[Loss]) -> String {
    let losses = losses.iter().map(|loss| counted(loss.rows, loss.one, loss.many));
    listed(&losses.collect::<Vec<_>>())
}

/// Asks on the terminal. Everything but a yes is a no.
fn confirmed(question: &str) -> io::Result<bool> {
    io::stderr().write_all(question.as_bytes())?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

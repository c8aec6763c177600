//! `server migrate`: the schema of the database, by hand.

use chat_store::{DatabaseUrl, migrations};
use clap::Subcommand;

use crate::folder::private_folder;

/// Which way.
#[derive(Subcommand, Clone, Copy, Default)]
pub(crate) enum Direction {
    /// Apply all migrations that are missing.
    #[default]
    Up,
    /// Undo the newest one.
    Down,
    /// List them all.
    Status,
}

/// Does it, and says what was done.
pub(crate) async fn migrate(
    url: &DatabaseUrl,
    direction: Direction,
) -> Result<(), Box<dyn std::error::Error>> {
    if let (DatabaseUrl::Sqlite(path), Direction::Up) = (url, direction)
        && let Some(folder) = path.parent()
    {
        private_folder(folder)?;
    }
    match direction {
        Direction::Up => {
            migrations::up(url).await?;
            println!("The database has this version's schema.");
        }
        Direction::Down => match migrations::down(url).await? {
            Some(undone) => println!("Undone: {:04} {}", undone.version, undone.name),
            None => println!("There is nothing to undo."),
        },
        Direction::Status => {
            for migration in migrations::status(url).await? {
                let state = if migration.applied { "applied" } else { "missing" };
                println!("{:04} {state} {}", migration.version, migration.name);
            }
        }
    }
    Ok(())
}

//! `server reindex`: makes the index of the search anew.

use std::error::Error;
use std::time::{Duration, Instant};

use chat_store::{DatabaseUrl, OtherServers, ServerLock, Stores};

use crate::config::Config;
use crate::output::print;

/// Empties the index and fills it. An interrupted one is completed by the server, in the
/// background.
pub(crate) async fn reindex(config: &Config) -> Result<(), Box<dyn Error>> {
    match &config.database_url {
        DatabaseUrl::Memory => return Err("a memory store has no index".into()),
        DatabaseUrl::Sqlite(path) if !path.exists() => {
            return Err(format!("there is no database {}", path.display()).into());
        }
        DatabaseUrl::Sqlite(_) | DatabaseUrl::Postgres(_) => {}
    }
    let lock = ServerLock::acquire(&config.database_url, OtherServers::Refuse).await?;
    let stores = Stores::open(&config.database_url).await?;
    let done = fill(&stores).await;
    stores.close().await;
    lock.release().await;
    done
}

async fn fill(stores: &Stores) -> Result<(), Box<dyn Error>> {
    let (began, mut said, mut messages) = (Instant::now(), Instant::now(), 0);
    stores.search.reindex().await?;
    loop {
        let step = stores.search.index_some(ENTRIES_AT_ONCE).await?;
        messages += step.messages;
        if !step.has_more {
            break;
        }
        if said.elapsed() >= SAY_EVERY {
            said = Instant::now();
            print(&format!("{messages} messages are indexed, about {} are left\n", step.left))?;
        }
    }
    print(&format!("{messages} messages are indexed, in {} s\n", began.elapsed().as_secs()))
}

/// Entries that are looked at in one transaction: nothing else uses the database.
const ENTRIES_AT_ONCE: usize = 5_000;
const SAY_EVERY: Duration = Duration::from_secs(2);

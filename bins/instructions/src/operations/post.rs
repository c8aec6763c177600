//! Messages stored in SQLite: `EventLog::append`, with its hops to the thread that stores, and
//! the checkpoints.

use std::error::Error;

use chat_core::{Draft, Nonce, RoomName};
use chat_store::{EventLog as _, SqliteOptions, SqliteStore};

use crate::chat::{draft, users};

const ROOMS: u32 = 8;
const USERS: u32 = 32;

pub(super) fn single(batches: u32) -> Result<u64, Box<dyn Error>> {
    post(batches, 1)
}

pub(super) fn of_64(batches: u32) -> Result<u64, Box<dyn Error>> {
    post(batches, 64)
}

/// Stores so many messages in each batch. Returns how many messages that were.
fn post(batches: u32, messages: u32) -> Result<u64, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let store = SqliteStore::open(&folder.path().join("chat.db"), SqliteOptions::default()).await?;
        let rooms = rooms()?;
        let users = users(USERS)?;
        let mut stored = 0;
        for batch in 0..batches {
            let nth = |number: u32| -> Result<Draft, Box<dyn Error>> {
                let room = &rooms[(number % ROOMS) as usize];
                // Each user is in one room only, so that few messages make new members.
                let from = &users[(number % USERS) as usize];
                let nonce = Nonce::parse(&format!("{number:032}"));
                Ok(Draft { nonce, ..draft(room, from)? })
            };
            let numbers = batch * messages..(batch + 1) * messages;
            let drafts: Vec<Draft> = numbers.map(nth).collect::<Result<_, _>>()?;
            stored += store.append(&drafts, NOW_MS + u64::from(batch)).await?.entries.len() as u64;
        }
        store.close().await;
        Ok(stored)
    })
}

fn rooms() -> Result<Vec<RoomName>, Box<dyn Error>> {
    (0..ROOMS).map(|number| Ok(RoomName::parse(&format!("room {number}"))?)).collect()
}

/// When the first batch is stored, in milliseconds since 1970.
const NOW_MS: u64 = 1_795_371_797_000;

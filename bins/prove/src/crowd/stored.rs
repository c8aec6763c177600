//! The store at the end of a run: its entries, read in every way, and the users' marks.

use std::collections::hash_map::Entry as MapEntry;
use std::error::Error;
use std::sync::Arc;

use chat_core::{Body, Entry, MessagesFrom, PageFrom, PageLimits, Topic, Username};
use chat_store::{DatabaseUrl, Stores};

use crate::ledger::{Ledger, State, Stored, What, between, in_room};

/// Reads every entry that may be in the store, of the rooms and of each pair of users,
/// and how far users have read.
pub(super) async fn read(
    ledger: &mut Ledger,
    database: &DatabaseUrl,
    rooms: &[String],
    names: &[String],
) -> Result<(), Box<dyn Error>> {
    let stores = Stores::open(database).await?;
    let mut topics: Vec<Topic> = rooms.iter().map(|room| in_room(room)).collect();
    for (number, one) in names.iter().enumerate() {
        for other in &names[number..] {
            topics.push(between(one, other));
        }
    }
    for topic in topics {
        let page = stores.log.page(&topic, PageFrom::After(0), ALL).await?;
        ledger.stored.extend(page.entries.iter().map(|entry| stored(entry)));
        compare_reads(ledger, &stores, &topic, &page.entries).await?;
    }
    for reading in &ledger.readings {
        let key = (Arc::clone(&reading.user), reading.topic.clone());
        if let MapEntry::Vacant(vacant) = ledger.marks.entry(key) {
            let user = Username::known(&reading.user)?;
            vacant.insert(stores.log.counts(&user, &reading.topic, 0).await?.read);
        }
    }
    stores.close().await;
    Ok(())
}

/// Compares the messages of a page of all entries with those of the other ways to read
/// them: messages only, around a number, by their numbers.
async fn compare_reads(
    ledger: &mut Ledger,
    stores: &Stores,
    topic: &Topic,
    entries: &[Arc<Entry>],
) -> Result<(), Box<dyn Error>> {
    let messages: Vec<&Arc<Entry>> = entries.iter().filter(|entry| entry.body.is_message()).collect();
    let Some(middle) = messages.get(messages.len() / 2).map(|entry| entry.seq) else { return Ok(()) };
    let mut ways = vec![MessagesFrom::Page(PageFrom::After(0)), MessagesFrom::Around(middle)];
    for fifty in messages.chunks(50) {
        ways.push(MessagesFrom::Numbers(fifty.iter().map(|entry| entry.seq).collect()));
    }
    for way in ways {
        let expected: Vec<&Arc<Entry>> = match &way {
            MessagesFrom::Numbers(numbers) => {
                messages.iter().filter(|entry| numbers.contains(&entry.seq)).copied().collect()
            }
            MessagesFrom::Page(_) | MessagesFrom::Around(_) => messages.clone(),
        };
        let page = stores.log.messages(topic, &way, ALL).await?;
        let mut pairs = std::iter::zip(&expected, &page.entries);
        let differing = pairs.find(|(expected, read)| **expected != *read);
        if let Some((expected, read)) = differing {
            ledger.differing_reads.push(format!("{expected:?} is {read:?} among the messages"));
        } else if expected.len() != page.entries.len() {
            let (count, read) = (expected.len(), page.entries.len());
            ledger.differing_reads.push(format!("{topic:?} has {count} messages: {read} are read"));
        }
    }
    Ok(())
}

fn stored(entry: &Entry) -> Stored {
    let (target, emoji) = match &entry.body {
        Body::React { emoji, .. } | Body::Unreact { emoji, .. } => {
            (entry.body.target(), emoji.as_str().to_owned())
        }
        body => (body.target(), String::new()),
    };
    let target = target.unwrap_or_default();
    let what = match &entry.body {
        Body::Message { reply_to, state, .. } => {
            let reactions = state.iter().flat_map(|state| &state.reactions);
            What::Message(State {
                edited: state.as_ref().and_then(|state| state.edited_at_ms).map(|at_ms| at_ms / 1000),
                deleted: entry.body.is_deleted(),
                reactions: reactions.map(|shown| (shown.emoji.as_str().to_owned(), shown.count)).collect(),
                updated: state.as_ref().map_or(0, |state| state.updated),
                reply_to: *reply_to,
            })
        }
        Body::Edit { .. } => What::Edit { target },
        Body::Delete { .. } => What::Delete { target },
        Body::React { .. } => What::React { target, emoji },
        Body::Unreact { .. } => What::Unreact { target, emoji },
    };
    Stored {
        topic: entry.topic.clone(),
        seq: entry.seq,
        from: entry.from.as_str().to_owned(),
        text: if emoji_only(entry) { String::new() } else { entry.body.text().to_owned() },
        nonce: entry.nonce.as_ref().map(|nonce| nonce.as_str().to_owned()),
        timestamp: entry.at_ms / 1000,
        what,
    }
}

/// Whether the text of an entry is its emoji.
fn emoji_only(entry: &Entry) -> bool {
    matches!(entry.body, Body::React { .. } | Body::Unreact { .. })
}

/// No limit.
const ALL: PageLimits = PageLimits { entries: usize::MAX >> 1, bytes: usize::MAX >> 1 };

//! Searching messages: the trait, and what every store does alike.
//!
//! What an index finds is a hint: the messages are read from the log, as they are now, and
//! compared with the searched words again. So it does not matter that an index is behind.

#[cfg(feature = "databases")]
pub(crate) mod document;
#[cfg(feature = "databases")]
pub(crate) mod ids;
#[cfg(feature = "databases")]
pub(crate) mod indexer;
#[cfg(feature = "databases")]
pub(crate) mod walk;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use chat_core::{Entry, Pair, SearchPosition, SearchScope, SearchedWords, Topic, Username};

use crate::StoreFuture;

/// Finds messages by their words.
pub trait SearchIndex: Send + Sync {
    /// Finds messages that the user may read, as they are now: the newest first, at most
    /// [`limit`](SearchQuery::limit). A page may be short, or empty, and still have a
    /// [`next`](SearchPage::next): one call does a bounded amount of work.
    fn search<'a>(&'a self, reader: &'a Username, query: &'a SearchQuery) -> StoreFuture<'a, SearchPage>;

    /// Makes one step of the index: it looks at about `max_entries` entries that the log has
    /// and the index has not, those before it first. One caller at a time. A step also replaces
    /// an index that has turned out to be damaged.
    ///
    /// The default implementation has no index.
    fn index_some(&self, _max_entries: usize) -> StoreFuture<'_, Indexed> {
        Box::pin(async { Ok(Indexed::default()) })
    }

    /// Resolves when entries were committed, or removed, that no
    /// [`index_some`](Self::index_some) has seen, or when a search has found the index damaged.
    ///
    /// The default implementation never resolves.
    fn committed(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::pending())
    }

    /// Empties the index, so that all messages are indexed anew.
    ///
    /// The default implementation has nothing to do.
    fn reindex(&self) -> StoreFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }
}

/// What a user searches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchQuery {
    /// The words.
    pub words: SearchedWords,
    /// Where.
    pub scope: SearchScope,
    /// Only messages of this author.
    pub from: Option<Username>,
    /// Only messages before this position: the [`next`](SearchPage::next) of a page.
    pub before: Option<SearchPosition>,
    /// The most messages of a page, at least 1.
    pub limit: usize,
}

impl SearchQuery {
    /// Whether the query of a user finds a message that the user may read.
    pub(crate) fn finds(&self, reader: &Username, entry: &Entry) -> bool {
        let is_in_scope = match (&self.scope, &entry.topic) {
            (SearchScope::All, _) => true,
            (SearchScope::Room(room), Topic::Room(here)) => room == here,
            (SearchScope::With(other), Topic::Pair(here)) => {
                *here == Pair::new(reader.clone(), other.clone())
            }
            (SearchScope::Room(_), Topic::Pair(_)) | (SearchScope::With(_), Topic::Room(_)) => false,
        };
        is_in_scope
            && entry.body.is_message()
            && !entry.body.is_deleted()
            && self.from.as_ref().is_none_or(|from| entry.from == *from)
            && self.words.find_in(texts(entry))
    }
}

/// The texts by which a message is found.
pub(crate) fn texts(entry: &Entry) -> impl Iterator<Item = &str> {
    let files = entry.body.files().iter();
    std::iter::once(entry.body.text()).chain(files.map(|file| file.name.as_str()))
}

/// A page of messages that were found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SearchPage {
    /// The messages, the newest first.
    pub messages: Vec<Arc<Entry>>,
    /// Where the next page begins; `None` on the last one.
    pub next: Option<SearchPosition>,
}

impl SearchPage {
    /// Adds a message that was found, if the page is not full. Else this is the last page
    /// but one, and the result is true.
    pub(crate) fn is_full_with(&mut self, position: SearchPosition, entry: Arc<Entry>, limit: usize) -> bool {
        if self.messages.len() == limit.max(1) {
            return true;
        }
        self.next = Some(position);
        self.messages.push(entry);
        false
    }
}

/// The result of one step of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Indexed {
    /// The messages that were added, replaced or removed.
    pub messages: u64,
    /// About how many entries the log has that the index has not.
    pub left: u64,
    /// Whether there is more to do.
    pub has_more: bool,
    /// Whether the index was found to be damaged, and is made anew: until that is done,
    /// searches find only some of the messages.
    pub was_damaged: bool,
}

impl Indexed {
    /// How long the indexer waits before its next step, if there is more to do and this one
    /// took `took`: twelve times as long, at most a second, so that appends on a small machine
    /// have most of the time for themselves.
    pub fn pause(took: Duration) -> Duration {
        (took * 12).min(Duration::from_secs(1))
    }
}

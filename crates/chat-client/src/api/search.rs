//! Searching messages.

use serde::Deserialize;

use super::{Api, ApiError, encoded};
use crate::{AttachedFile, Topic};

/// What to search for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchQuery {
    /// The words, which must all occur in the text or in the names of files; the last one may
    /// be a beginning. Words in quotation marks stand side by side. Case and accents do not
    /// matter. A blank text is refused (400).
    pub text: String,
    /// The room or conversation; `None`: everything that the user may read.
    pub topic: Option<Topic>,
    /// The author; `None`: anybody.
    pub from: Option<String>,
    /// The [next](SearchPage::next) of the page before.
    pub before: Option<String>,
    /// The most results of a page, from 1 to 50; `None`: as many as the server chooses.
    pub limit: Option<u32>,
}

impl SearchQuery {
    /// A search in everything that the user may read.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), topic: None, from: None, before: None, limit: None }
    }

    /// Searches in one [topic](Self::topic).
    #[must_use]
    pub fn topic(self, topic: Topic) -> Self {
        Self { topic: Some(topic), ..self }
    }

    /// Searches for messages of one [author](Self::from).
    #[must_use]
    pub fn from(self, user: impl Into<String>) -> Self {
        Self { from: Some(user.into()), ..self }
    }

    /// Asks for the page [behind](Self::before) another one.
    #[must_use]
    pub fn before(self, next: impl Into<String>) -> Self {
        Self { before: Some(next.into()), ..self }
    }

    /// Sets the [limit](Self::limit).
    #[must_use]
    pub fn limit(self, limit: u32) -> Self {
        Self { limit: Some(limit), ..self }
    }

    fn path(&self) -> String {
        let mut path = format!("/api/search?q={}", encoded(&self.text));
        let (room, with) = match &self.topic {
            Some(Topic::Room(room)) => (Some(room), None),
            Some(Topic::Private(with)) => (None, Some(with)),
            None => (None, None),
        };
        let limit = self.limit.map(|limit| limit.to_string());
        let parameters = [
            ("room", room),
            ("with", with),
            ("from", self.from.as_ref()),
            ("before", self.before.as_ref()),
            ("limit", limit.as_ref()),
        ];
        for (name, value) in parameters {
            if let Some(value) = value {
                path.push_str(&format!("&{name}={}", encoded(value)));
            }
        }
        path
    }
}

/// A page of results, the newest message first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchPage {
    /// The messages. There may be fewer than the limit, also none, although there are more
    /// pages.
    pub results: Vec<Found>,
    /// Asks for the next page, see [`SearchQuery::before`]; `None`: this is the last one.
    pub next: Option<String>,
}

/// A message that was found, as it was then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its room or conversation. A page of history around it:
    /// [`PageFrom::Around`](crate::PageFrom::Around).
    pub topic: Topic,
    /// Its number there.
    pub seq: u64,
    /// The name of its author.
    pub from: String,
    /// Its text.
    pub text: String,
    /// Whole seconds since 1970.
    pub timestamp: u64,
    /// Its files.
    pub files: Vec<AttachedFile>,
}

impl Api {
    /// Searches the messages that the user may read.
    ///
    /// # Errors
    ///
    /// See [`ApiError`]: [`Refused`](ApiError::Refused) with 403 for a room that the user may
    /// not read, 404 if the server has no search.
    pub async fn search(&self, query: &SearchQuery) -> Result<SearchPage, ApiError> {
        let PageFields { results, next } = self.json("GET", &query.path(), None).await?;
        let results: Option<Vec<Found>> = results.into_iter().map(FoundFields::read).collect();
        Ok(SearchPage { results: results.ok_or(ApiError::BadAnswer)?, next })
    }
}

#[derive(Deserialize)]
struct PageFields {
    results: Vec<FoundFields>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct FoundFields {
    room: Option<String>,
    with: Option<String>,
    seq: u64,
    from: String,
    #[serde(default)]
    text: String,
    timestamp: u64,
    #[serde(default)]
    files: Vec<AttachedFile>,
}

impl FoundFields {
    fn read(self) -> Option<Found> {
        let Self { room, with, seq, from, text, timestamp, files } = self;
        let topic = room.map(Topic::Room).or(with.map(Topic::Private))?;
        Some(Found { topic, seq, from, text, timestamp, files })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_names_only_what_is_asked_for() {
        assert_eq!(SearchQuery::new("a b").path(), "/api/search?q=a%20b");
        let query = SearchQuery::new("ёж").topic(Topic::private("Боб")).from("a&b").before("1.2").limit(7);
        assert_eq!(
            query.path(),
            "/api/search?q=%D1%91%D0%B6&with=%D0%91%D0%BE%D0%B1&from=a%26b&before=1.2&limit=7"
        );
        assert_eq!(SearchQuery::new("x").topic(Topic::room("r")).path(), "/api/search?q=x&room=r");
    }
}

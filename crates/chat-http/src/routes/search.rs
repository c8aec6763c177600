//! `GET /api/search`

use std::time::Instant;

use chat_core::{AttachedFile, Entry, RoomName, SearchPosition, SearchScope, SearchedWords, Topic, Username};
use chat_store::{SearchPage, SearchQuery};
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::call::Call;
use super::{query, room_call};
use crate::answer::{self, Body};
use crate::app::App;
use crate::error::HttpError;
use crate::signed_in::SignedIn;

/// The messages that the user may read and that have the searched words.
pub(super) async fn search(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, .. } = call;
    let me = SignedIn::check(&app, &request).await?;
    let query = Parsed::parse(request.uri().query().unwrap_or_default())?;
    if let SearchScope::Room(room) = &query.scope() {
        room_call::access(&app, &me, room).await?;
    }
    let counted = app.search_rate.count(&me.user, Instant::now());
    counted.map_err(|retry_after_seconds| HttpError::TooManySearches { retry_after_seconds })?;
    let page = match query.for_store() {
        Some(query) => find(&app, &me.user, &query).await?,
        None => SearchPage::default(),
    };
    let results = page.messages.iter().map(|message| Found::new(message, &me.user)).collect();
    let next = page.next.map(SearchPosition::written);
    Ok(answer::json(StatusCode::OK, &SearchResults { results, next }))
}

/// Searches, when few others do.
async fn find(app: &App, reader: &Username, query: &SearchQuery) -> Result<SearchPage, HttpError> {
    let started = Instant::now();
    let waiting = tokio::time::timeout(app.options.search_wait, app.search_permits.acquire()).await;
    let Ok(Ok(_permit)) = waiting else {
        app.metrics.search("refused", started.elapsed());
        return Err(HttpError::Busy);
    };
    let found = app.parts.stores.search.search(reader, query).await;
    app.metrics.search(if found.is_ok() { "answered" } else { "failed" }, started.elapsed());
    Ok(found?)
}

/// The query of a request.
#[derive(Debug, PartialEq, Eq)]
struct Parsed {
    words: SearchedWords,
    place: Place,
    /// The author, as the query has the name.
    from: Option<String>,
    before: Option<SearchPosition>,
    limit: usize,
}

#[derive(Debug, PartialEq, Eq)]
enum Place {
    All,
    Room(RoomName),
    /// The private conversation with this user, as the query has the name.
    With(String),
}

impl Parsed {
    fn parse(query: &str) -> Result<Self, HttpError> {
        let (mut q, mut room, mut with, mut from, mut before) = (String::new(), None, None, None, None);
        let mut limit = LIMIT_MAX;
        for parameter in query::parameters(query) {
            let (key, value) = parameter?;
            match key {
                "q" => q = value,
                "room" => room = Some(value),
                "with" => with = Some(value),
                "from" => from = Some(value),
                "before" => before = Some(SearchPosition::read(&value).ok_or(HttpError::Before)?),
                "limit" => limit = query::limit(&value, LIMIT_MAX)?,
                _ => {}
            }
        }
        let place = match (room, with) {
            (None, None) => Place::All,
            // Unlike in the address of a socket, an empty name is not the default room.
            (Some(room), None) if !room.is_empty() => Place::Room(RoomName::parse(&room)?),
            (None, Some(with)) => Place::With(with),
            (Some(_), None) => return Err(HttpError::RoomOrWith),
            (Some(_), Some(_)) => return Err(HttpError::RoomAndWith),
        };
        Ok(Self { words: SearchedWords::parse(&q)?, place, from, before, limit })
    }

    /// Where to search; everywhere, if no user can have the name of the other.
    fn scope(&self) -> SearchScope {
        match &self.place {
            Place::All => SearchScope::All,
            Place::Room(room) => SearchScope::Room(room.clone()),
            Place::With(other) => Username::known(other).map_or(SearchScope::All, SearchScope::With),
        }
    }

    /// The query of the store; `None` if there can be no such user.
    fn for_store(self) -> Option<SearchQuery> {
        let name = |name: &String| Username::known(name).ok();
        let scope = self.scope();
        if let Place::With(other) = &self.place {
            name(other)?;
        }
        let from = match &self.from {
            Some(from) => Some(name(from)?),
            None => None,
        };
        Some(SearchQuery { words: self.words, scope, from, before: self.before, limit: self.limit })
    }
}

/// Messages on one page.
pub(super) const LIMIT_MAX: usize = 50;

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct SearchResults {
    /// The messages, the newest first.
    results: Vec<Found>,
    /// The value of `before` for the next page. Opaque; only on the last page it is absent,
    /// also if the page is short or has no messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A message that was found, as it is now: with `room`, or with `with`.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "FoundMessage"))]
struct Found {
    /// The room of the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<String>,
    /// The other user of a private conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    with: Option<String>,
    /// The number of the message.
    seq: u64,
    /// The author.
    from: String,
    /// The text.
    text: String,
    /// When the message was stored, in seconds since 1970 (UTC).
    timestamp: u64,
    /// The files of the message, if it has any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<FoundFile>,
}

/// A file of a message.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "FileOfMessage"))]
pub(super) struct FoundFile {
    /// The id of the file.
    id: String,
    /// Its name; never a path.
    name: String,
    /// Its media type.
    #[serde(rename = "type")]
    media_type: String,
    /// Its bytes.
    size: u64,
    /// The width of a picture in pixels, as it is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
    /// The height of a picture in pixels, as it is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
}

impl FoundFile {
    pub(super) fn new(file: &AttachedFile) -> Self {
        let (width, height) = file.dimensions.unzip();
        Self {
            id: file.id.to_string(),
            name: file.name.as_str().to_owned(),
            media_type: file.media_type.as_str().to_owned(),
            size: file.size,
            width,
            height,
        }
    }
}

impl Found {
    fn new(message: &Entry, reader: &Username) -> Self {
        let (room, with) = match &message.topic {
            Topic::Room(room) => (Some(room.as_str().to_owned()), None),
            Topic::Pair(pair) => (None, Some(pair.other(reader).as_str().to_owned())),
        };
        Self {
            room,
            with,
            seq: message.seq,
            from: message.from.as_str().to_owned(),
            text: message.body.text().to_owned(),
            timestamp: message.at_ms / 1000,
            files: message.body.files().iter().map(FoundFile::new).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_words_and_perhaps_a_place() {
        let parse = |query: &str| Parsed::parse(query).map_err(|error| error.to_string());
        let words = |text: &str| SearchedWords::parse(text).unwrap();
        assert_eq!(
            parse("q=a+b&room=x+y&from=bob&before=a.1&limit=7&other=1"),
            Ok(Parsed {
                words: words("a b"),
                place: Place::Room(RoomName::parse("x y").unwrap()),
                from: Some("bob".into()),
                before: Some(SearchPosition { at_ms: 10, place: 1 }),
                limit: 7,
            })
        );
        let with = parse("q=%D1%91&with=bob").unwrap();
        assert_eq!(
            (with.scope(), with.limit),
            (SearchScope::With(Username::known("bob").unwrap()), LIMIT_MAX)
        );
        for impossible in ["q=a&with=", "q=a&from=%00"] {
            assert_eq!(parse(impossible).unwrap().for_store(), None, "{impossible}");
        }
        for (query, refusal) in [
            ("", "q must not be blank"),
            ("q=+", "q must not be blank"),
            ("q=a&room=a&with=b", "room and with exclude each other"),
            ("q=a&room=", "either room or with is needed"),
            ("q=a&room=%00", "room name must not contain control characters"),
            ("q=a&before=", "before is not the next of an earlier page"),
            ("q=a&before=7", "before is not the next of an earlier page"),
            ("q=a&limit=0", "limit must be a number from 1 to 50"),
            ("q=a&limit=51", "limit must be a number from 1 to 50"),
            ("q=%", "the query is not well encoded"),
        ] {
            assert_eq!(parse(query).unwrap_err(), refusal, "{query}");
        }
        assert_eq!(
            parse(&format!("q={}", "a".repeat(257))).unwrap_err().split(" (").next(),
            Some("q is too long")
        );
    }
}

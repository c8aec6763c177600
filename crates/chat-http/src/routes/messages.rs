//! Messages over HTTP, for bots and for users: `/api/rooms/<room>/messages` and
//! `/api/users/<name>/messages`.

use chat_core::{Entry, FileId, Nonce, PageFrom, Pair, RoomName, Topic, Username};
use chat_shard::{Author, Post, PostError};
use hyper::{HeaderMap, Response, StatusCode};
use serde::{Deserialize, Serialize};

use super::call::Call;
use super::search::FoundFile;
use super::sender::Sender;
use super::{json, query, room_call};
use crate::answer::{self, Body};
use crate::app::App;
use crate::error::HttpError;
use crate::percent;

/// Posts a message to a room.
pub(super) async fn post_to_room(call: Call) -> Result<Response<Body>, HttpError> {
    let room = room(&call.part)?;
    post(call, |sender| {
        sender.check_room(&room)?;
        Ok(Topic::Room(room))
    })
    .await
}

/// Posts a private message.
pub(super) async fn post_to_user(call: Call) -> Result<Response<Body>, HttpError> {
    let other = user(&call.part)?;
    post(call, |sender| Ok(Topic::Pair(Pair::new(sender.user.clone(), other)))).await
}

/// Reads messages of a room.
pub(super) async fn list_of_room(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, part, .. } = call;
    let room = room(&part)?;
    let sender = Sender::check(&app, &request).await?;
    sender.check_reader(&app, &room).await?;
    list(&app, &sender, &Topic::Room(room), request.uri().query()).await
}

/// Reads messages of a private conversation of the user who asks.
pub(super) async fn list_of_user(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, part, .. } = call;
    let other = user(&part)?;
    let sender = Sender::check(&app, &request).await?;
    let topic = Topic::Pair(Pair::new(sender.user.clone(), other));
    list(&app, &sender, &topic, request.uri().query()).await
}

fn room(part: &str) -> Result<RoomName, HttpError> {
    Ok(RoomName::parse(&percent::decode(part, false).ok_or(HttpError::RoomEncoding)?)?)
}

fn user(part: &str) -> Result<Username, HttpError> {
    let name = percent::decode(part, false).ok_or(PostError::NoRecipient)?;
    Ok(Username::known(&name).map_err(|_| PostError::NoRecipient)?)
}

/// A message to be posted.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct NewMessage {
    /// The text. Trimmed at both ends; then 1 to `text_max_chars` Unicode scalar values.
    text: String,
    /// The number of the message in the same place that this one answers.
    reply_to: Option<u64>,
    /// Users whom the text mentions as `@name`, at most 20; others are passed over. Without it,
    /// all names without spaces that the text contains so.
    mentions: Option<Vec<String>>,
    /// Mentions every member of the room; in a room of more than 100 members only its
    /// moderators may.
    mention_all: Option<bool>,
    /// The ids of files that the user has uploaded, at most 10. With files the text may be blank.
    files: Option<Vec<String>>,
}

/// A message that is stored: of a repetition, the first one, whatever the repetition says.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct PostedMessage {
    /// The room that it is in; missing in a private message.
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<String>,
    /// The recipient of a private message.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    /// Its number there.
    seq: u64,
    /// When it was stored, in whole seconds since 1970.
    timestamp: u64,
}

async fn post(
    call: Call,
    topic: impl FnOnce(&Sender) -> Result<Topic, HttpError>,
) -> Result<Response<Body>, HttpError> {
    let Call { app, request, .. } = call;
    let (head, body) = request.into_parts();
    let nonce = nonce(&head.headers)?;
    Sender::check(&app, &head).await?;
    let body = json::read_body(&app, body).await?;
    // A right that ends while the body arrives does not count.
    let sender = Sender::check(&app, &head).await?;
    let new: NewMessage = json::parse(&body).ok_or(HttpError::InvalidJson)?;
    let topic = topic(&sender)?;
    if let Topic::Room(room) = &topic {
        room_call::ask_hooks(&app, &sender.user, room).await?;
    }
    let author = sender.user.clone();
    let file = |id: &String| FileId::parse(id).ok_or(HttpError::Post(PostError::InvalidFiles));
    let mentions = new.mentions.as_ref();
    let post = Post {
        topic,
        author: Author::User(sender.user),
        text: new.text,
        nonce,
        reply_to: new.reply_to,
        mentions: mentions.map(|names| names.iter().filter_map(|name| Username::known(name).ok()).collect()),
        mention_all: new.mention_all.unwrap_or(false),
        files: new.files.iter().flatten().map(file).collect::<Result<_, _>>()?,
    };
    let posted = app.chat.post(post).await?;
    let status = if posted.duplicate { StatusCode::OK } else { StatusCode::CREATED };
    let (room, to) = match &posted.topic {
        Topic::Room(room) => (Some(room.as_str().to_owned()), None),
        Topic::Pair(pair) => (None, Some(pair.other(&author).as_str().to_owned())),
    };
    let timestamp = posted.at_ms / 1000;
    Ok(answer::json(status, &PostedMessage { room, to, seq: posted.seq, timestamp }))
}

/// The id that the caller gives the message.
fn nonce(headers: &HeaderMap) -> Result<Option<Nonce>, HttpError> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    let nonce = key.to_str().ok().and_then(Nonce::parse);
    nonce.map(Some).ok_or(HttpError::IdempotencyKey)
}

async fn list(
    app: &App,
    sender: &Sender,
    topic: &Topic,
    query: Option<&str>,
) -> Result<Response<Body>, HttpError> {
    let (mut from, mut limit) = (None, LIMIT_DEFAULT);
    for parameter in query::parameters(query.unwrap_or_default()) {
        let (key, value) = parameter?;
        let seq = || value.parse::<u64>().ok().filter(|seq| *seq <= i64::MAX as u64).ok_or(HttpError::Seq);
        match key {
            "after" if from.is_none() => from = Some(PageFrom::After(seq()?)),
            "before" if from.is_none() => from = Some(PageFrom::Before(seq()?)),
            "after" | "before" => return Err(HttpError::AfterAndBefore),
            "limit" => limit = query::limit(&value, LIMIT_MAX)?,
            _ => {}
        }
    }
    app.count_list(&sender.user)?;
    let from = from.unwrap_or(PageFrom::Latest);
    let page = app.chat.page(topic, from, limit).await?;
    let messages = page.entries.iter().filter(|entry| !entry.body.is_deleted());
    // A page also covers the deleted messages that it leaves out. An empty page is at the number that the
    // caller named.
    let (start, end) = match from {
        PageFrom::Before(seq) => (seq, seq.saturating_sub(1)),
        PageFrom::After(seq) => (page.last + 1, seq),
        PageFrom::Latest => (page.last + 1, page.last),
    };
    let start = page.entries.first().map_or(start, |entry| entry.seq);
    let end = page.entries.last().map_or(end, |entry| entry.seq);
    let list = MessageList {
        messages: messages.map(|entry| ListedMessage::new(entry)).collect(),
        last: page.last,
        previous: page.has_older.then_some(start),
        next: page.has_newer.then_some(end),
    };
    Ok(answer::json(StatusCode::OK, &list))
}

/// The most messages in one page.
const LIMIT_MAX: usize = 100;
const LIMIT_DEFAULT: usize = 50;

/// A page of messages.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct MessageList {
    /// The messages as they are now, in the order of their numbers; without deleted ones, so that
    /// there may be fewer than `limit`, also none.
    messages: Vec<ListedMessage>,
    /// The highest number that was given in this place, also to a change of a message. Without
    /// `next`, it is the value of `after` for what comes later.
    last: u64,
    /// Where there are older messages than those of the page: the value of `before` for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<u64>,
    /// Where there are newer messages than those of the page: the value of `after` for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

/// One message of a page.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct ListedMessage {
    /// Its number.
    seq: u64,
    /// The author.
    from: String,
    /// The text as it is now; empty if the message has files only.
    text: String,
    /// When it was stored, in whole seconds since 1970.
    timestamp: u64,
    /// When the text was edited last, in whole seconds since 1970, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    edited: Option<u64>,
    /// The number of the message that it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<u64>,
    /// The users whom it mentions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mentions: Vec<String>,
    /// The files of the message, if it has any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    files: Vec<FoundFile>,
}

impl ListedMessage {
    pub(crate) fn new(message: &Entry) -> Self {
        let reply_to = match &message.body {
            chat_core::Body::Message { reply_to, .. } => *reply_to,
            _ => None,
        };
        let mentioned = message.body.mentions().into_iter().flat_map(|mentions| &mentions.names);
        Self {
            seq: message.seq,
            from: message.from.as_str().to_owned(),
            text: message.body.text().to_owned(),
            timestamp: message.at_ms / 1000,
            edited: message.body.state().and_then(|state| Some(state.edited_at_ms? / 1000)),
            reply_to,
            mentions: mentioned.map(|name| name.as_str().to_owned()).collect(),
            files: message.body.files().iter().map(FoundFile::new).collect(),
        }
    }
}

//! What a program does in the chat without a socket.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use chat_core::{
    Body, Draft, DraftId, Entry, FileId, Mentions, MessageText, MessagesFrom, Nonce, Outcome, Page, PageFrom,
    PageLimits, Rate, Receipt, Role, RoomName, TextError, Topic, Username,
};
use chat_store::{EventLog, RoomRepository, SessionRepository, StoreError};

use crate::clock::now_ms;
use crate::followers::Entries;
use crate::shards::Shards;

/// What a program does in the chat without a socket: it posts, reads, follows rooms, and signs
/// users out. The rules are those of sockets: length, rate, closed and archived rooms.
///
/// It is a cheap clone of one state.
#[derive(Clone)]
pub struct ChatHandle {
    shared: Arc<Shared>,
}

struct Shared {
    shards: Arc<Shards>,
    parts: HandleParts,
    /// How fast users post this way; the sockets of a user have a limit of their own.
    rates: Mutex<HashMap<Username, Rate>>,
}

/// The stores that a [`ChatHandle`] reads.
pub struct HandleParts {
    /// The log of messages: that of the shards.
    pub log: Arc<dyn EventLog>,
    /// The rooms and their members.
    pub rooms: Arc<dyn RoomRepository>,
    /// The sessions.
    pub sessions: Arc<dyn SessionRepository>,
}

/// A message to be posted.
#[derive(Debug, Clone)]
pub struct Post {
    /// The room, or the private conversation, which must be one of the author.
    pub topic: Topic,
    /// The author.
    pub author: Author,
    /// The text, as for [`MessageText::parse`].
    pub text: String,
    /// An id that the caller gives it: of posts of an author with the same one, the first is
    /// stored, and the others get its result, for seven days.
    pub nonce: Option<Nonce>,
    /// The number of the message in the same topic that this one answers.
    pub reply_to: Option<u64>,
    /// Users whom the text mentions as `@name`; others are passed over. `None`: all names that it
    /// contains so, without spaces.
    pub mentions: Option<Vec<Username>>,
    /// Whether it mentions all members of the room.
    pub mention_all: bool,
    /// Files of the author, each once.
    pub files: Vec<FileId>,
}

impl Post {
    /// A text without a nonce, files, and mentions other than those that it contains.
    pub fn new(topic: Topic, author: Author, text: impl Into<String>) -> Self {
        Self {
            topic,
            author,
            text: text.into(),
            nonce: None,
            reply_to: None,
            mentions: None,
            mention_all: false,
            files: Vec::new(),
        }
    }
}

/// Who a post is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Author {
    /// A user, with this user's rights and rate.
    User(Username),
    /// The program itself, under a name that need not have an account. It writes to every room
    /// that is not archived, becomes no member, and has no limit on its rate.
    Server(Username),
}

/// A post that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// The topic of the entry: of a repetition, that of the first post.
    pub topic: Topic,
    /// The number of the entry.
    pub seq: u64,
    /// When it was stored, in milliseconds since 1970 (UTC).
    pub at_ms: u64,
    /// Whether it repeats a post that was stored before.
    pub duplicate: bool,
}

/// Why a message is not posted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// The text cannot be that of a message.
    #[error(transparent)]
    Text(#[from] TextError),
    /// More than [`MENTIONS_MAX`](chat_core::MENTIONS_MAX) users are mentioned by name.
    #[error("a message mentions at most {} users", chat_core::MENTIONS_MAX)]
    TooManyMentions,
    /// The author posts too fast.
    #[error("too many messages, please try again in {retry_after_ms} ms")]
    TooFast {
        /// The time after which to try again, in milliseconds.
        retry_after_ms: u64,
    },
    /// The other user of the conversation has no account.
    #[error("there is no account of this name")]
    NoRecipient,
    /// The room does not exist. It is created by joining it, or over HTTP.
    #[error("there is no such room")]
    NoRoom,
    /// The author may not write to the room: it is closed, or archived, or has so many members that
    /// only its moderators mention all of them.
    #[error("you may not write to this room")]
    Forbidden,
    /// A hook of the server has refused the message with this sentence.
    #[error("{0}")]
    Refused(Arc<str>),
    /// A file is not there, is another user's, or is attached already.
    #[error("a file is not there, is not yours, or is attached already")]
    InvalidFiles,
    /// It is not known whether the message is stored: the store or a hook does not answer, or the
    /// server stops. The caller posts again, with the same nonce.
    #[error("not stored: try again")]
    Unavailable,
}

impl ChatHandle {
    /// A handle on these shards.
    pub fn new(shards: Arc<Shards>, parts: HandleParts) -> Self {
        Self { shared: Arc::new(Shared { shards, parts, rates: Mutex::default() }) }
    }

    /// Posts a message. Resolves when it is stored and in the inboxes that it concerns. If the
    /// caller gives up before, the message is perhaps stored.
    ///
    /// # Errors
    ///
    /// [`PostError`].
    pub async fn post(&self, post: Post) -> Result<Posted, PostError> {
        let hub = self.shared.shards.hub_options();
        let text = match MessageText::parse(&post.text, hub.text_max_chars) {
            Err(TextError::Blank) if !post.files.is_empty() => MessageText::stored(""),
            parsed => parsed?,
        };
        let (from, by_server) = match post.author {
            Author::User(user) => (user, false),
            Author::Server(name) => (name, true),
        };
        let mentions = match &post.topic {
            Topic::Room(_) => mentions(&text, post.mentions, post.mention_all)?,
            Topic::Pair(_) => None,
        };
        if !by_server {
            self.count(&from)?;
        }
        if let Topic::Room(room) = &post.topic {
            let access = self.shared.parts.log.access(&from, room).await;
            let access = access.map_err(|_| PostError::Unavailable)?;
            if access.info.is_none() {
                return Err(if room.is_made_by_server() { PostError::Forbidden } else { PostError::NoRoom });
            }
        }
        let body = Body::Message { text, mentions, reply_to: post.reply_to, files: None, state: None };
        let draft = Draft {
            id: DraftId(0),
            topic: post.topic.clone(),
            from,
            room: None,
            body,
            files: post.files,
            nonce: post.nonce,
            check: true,
            may_administer: false,
            rules: hub.change_rules,
            by_server,
            refused: None,
        };
        let receipts = self.shared.shards.append(vec![draft]).await.map_err(|_| PostError::Unavailable)?;
        match receipts.into_iter().next().map(|Receipt { outcome, .. }| outcome) {
            Some(Outcome::Stored { seq, at_ms }) => {
                Ok(Posted { topic: post.topic, seq, at_ms, duplicate: false })
            }
            Some(Outcome::Duplicate { topic, seq, at_ms }) => {
                Ok(Posted { topic, seq, at_ms, duplicate: true })
            }
            Some(Outcome::NoRecipient { .. }) => Err(PostError::NoRecipient),
            Some(Outcome::Refused(sentence)) => Err(PostError::Refused(sentence)),
            Some(Outcome::InvalidFiles) => Err(PostError::InvalidFiles),
            Some(Outcome::Forbidden | Outcome::NotFound | Outcome::TooMany | Outcome::BlankText) => {
                Err(PostError::Forbidden)
            }
            Some(Outcome::Failed) | None => Err(PostError::Unavailable),
        }
    }

    /// Reads messages of a topic as they are now, at most `limit`, without looking at who may read
    /// them.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn page(&self, topic: &Topic, from: PageFrom, limit: usize) -> Result<Page, StoreError> {
        let hub = self.shared.shards.hub_options();
        let limits = PageLimits { entries: limit.clamp(1, hub.history_max), bytes: hub.page_bytes };
        self.shared.parts.log.messages(topic, &MessagesFrom::Page(from), limits).await
    }

    /// Follows a topic from now on: all entries, also those of other servers on the same database. The
    /// stream keeps up to `max_bytes` of what is not taken, and names what it leaves out.
    pub fn entries(&self, topic: Topic, max_bytes: usize) -> Entries {
        self.shared.shards.follow(topic, max_bytes)
    }

    /// Lists at most `max` members of a room after a name (`None`: from the first one), in the order
    /// of their names.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn members(
        &self,
        room: &RoomName,
        after: Option<&Username>,
        max: usize,
    ) -> Result<Vec<(Username, Role)>, StoreError> {
        self.shared.parts.rooms.members_of(room, after, max).await
    }

    /// Ends all sessions of a user, and closes all sockets of the user, also those without a
    /// session. Resolves when nothing more is written to them.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub async fn sign_out(&self, user: &Username) -> Result<(), StoreError> {
        let sessions = self.shared.parts.sessions.revoke_sessions_of(user).await?;
        self.shared.shards.revoke(&sessions).await;
        self.shared.shards.end_user(user).await;
        Ok(())
    }

    /// The messages of a page.
    pub fn messages(page: &Page) -> impl Iterator<Item = &Arc<Entry>> {
        page.entries.iter().filter(|entry| entry.body.is_message())
    }

    /// Counts a message of a user.
    fn count(&self, user: &Username) -> Result<(), PostError> {
        let Some(limit) = self.shared.shards.hub_options().rate else { return Ok(()) };
        let now = now_ms();
        let mut rates = self.shared.rates.lock().unwrap_or_else(PoisonError::into_inner);
        if rates.len() >= RATES_SWEEP && !rates.contains_key(user) {
            rates.retain(|_, rate| !rate.is_full(now));
        }
        let rate = rates.entry(user.clone()).or_default();
        if !rate.allows(limit, now) {
            return Err(PostError::TooFast { retry_after_ms: rate.wait_ms(limit, now) });
        }
        rate.count(limit, now);
        Ok(())
    }
}

/// With so many users among the rates, those whose burst is whole again are removed.
const RATES_SWEEP: usize = 10_000;

/// The mentions of a text.
fn mentions(
    text: &MessageText,
    named: Option<Vec<Username>>,
    all: bool,
) -> Result<Option<Box<Mentions>>, PostError> {
    let named = match named {
        Some(named) if named.len() > chat_core::MENTIONS_MAX => return Err(PostError::TooManyMentions),
        Some(named) => named,
        None => Mentions::written_in(text),
    };
    Ok(Mentions::wanted(text, named, all))
}

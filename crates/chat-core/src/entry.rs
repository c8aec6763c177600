//! Entries, the drafts that they are made from, and the results of a log.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::{
    AttachedFile, ChangeRules, ChangedMessage, Emoji, FileId, Level, MessageState, MessageText, Nonce, Pair,
    RoomChange, RoomName, Username,
};

/// A numbered log: a room, or the private conversation of two users. Each topic
/// has numbers of its own, 1, 2, 3 … without a gap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Topic {
    /// A room.
    Room(RoomName),
    /// The private conversation of a pair of users: the entries of both.
    Pair(Pair),
}

/// One numbered item of a topic's log. It is committed before any client gets it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// The topic in which it has its number.
    pub topic: Topic,
    /// Its number in the topic, from 1.
    pub seq: u64,
    /// The user who wrote it.
    pub from: Username,
    /// Of a private message by a v1 client: the room that the client had joined,
    /// which v1 frames show.
    pub room: Option<RoomName>,
    /// Its kind, and what an entry of this kind contains.
    pub body: Body,
    /// When it was stored, in milliseconds since 1970 (UTC). Never smaller than the
    /// stamp of the entry before it in the topic.
    pub at_ms: u64,
    /// The id that the author's client gave it; v1 clients give none.
    pub nonce: Option<Nonce>,
}

/// The kind of an entry, and what an entry of this kind contains.
///
/// All kinds but messages are changes: each names a message of its topic, its target, and
/// takes a number of the same log. A `match` on a body names every kind instead of using
/// `_`: the compiler then lists the code that a new kind concerns.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Body {
    /// A message.
    Message {
        /// The text of the message: as it is now, if the entry was read. Empty if the
        /// message is deleted, and perhaps if it has files.
        text: MessageText,
        /// The users whom it mentions, if there are any.
        mentions: Option<Box<Mentions>>,
        /// The number of the message in the same topic that it answers.
        reply_to: Option<u64>,
        /// The files of an entry, if there are any, in the order in which the author named
        /// them. A draft names its files in [`Draft::files`].
        files: Option<Arc<[AttachedFile]>>,
        /// What changes have made of it, if the entry was read and there were any.
        state: Option<Box<MessageState>>,
    },
    /// The text and mentions of a message are replaced.
    Edit {
        /// The number of the message.
        target: u64,
        /// The new text; `None` in an entry that is read after the message was edited
        /// again, deleted, or removed from the log.
        text: Option<MessageText>,
        /// The users whom the new text mentions, if there are any.
        mentions: Option<Box<Mentions>>,
    },
    /// A message is taken back.
    Delete {
        /// The number of the message.
        target: u64,
    },
    /// The author reacts to a message.
    React {
        /// The number of the message.
        target: u64,
        /// The reaction.
        emoji: Emoji,
    },
    /// The author takes a reaction back.
    Unreact {
        /// The number of the message.
        target: u64,
        /// The reaction.
        emoji: Emoji,
    },
}

/// The users whom a message mentions.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Mentions {
    /// Users by name, at most [`MENTIONS_MAX`]. Of an entry: those with an account, and in closed
    /// rooms members only.
    pub names: Vec<Username>,
    /// Whether it mentions all members of the room.
    pub all: bool,
}

/// The number of users whom one message may mention by name.
pub const MENTIONS_MAX: usize = 20;

impl Mentions {
    /// What a message mentions, if anything: of these names, those that its text contains as
    /// `@name`, each once.
    pub fn wanted(
        text: &MessageText,
        named: impl IntoIterator<Item = Username>,
        all: bool,
    ) -> Option<Box<Self>> {
        let mut names: Vec<Username> = Vec::new();
        for name in named {
            if text.as_str().contains(&format!("@{}", name.as_str())) && !names.contains(&name) {
                names.push(name);
            }
        }
        (all || !names.is_empty()).then(|| Box::new(Self { names, all }))
    }

    /// The names that a text contains as `@name`, each once, at most [`MENTIONS_MAX`]. A name ends
    /// at white space, and before punctuation that follows it: names with spaces are not found.
    pub fn written_in(text: &MessageText) -> Vec<Username> {
        let mut names: Vec<Username> = Vec::new();
        for part in text.as_str().split('@').skip(1) {
            let word = part.split(char::is_whitespace).next().unwrap_or_default();
            let word = word.trim_end_matches(|last: char| !last.is_alphanumeric());
            if let Ok(name) = Username::known(word)
                && names.len() < MENTIONS_MAX
                && !names.contains(&name)
            {
                names.push(name);
            }
        }
        names
    }

    /// Whether a message of another user mentions this one.
    pub fn contain(&self, user: &Username) -> bool {
        self.all || self.names.contains(user)
    }
}

impl Body {
    /// A message that mentions nobody.
    pub fn message(text: MessageText) -> Self {
        Self::Message { text, mentions: None, reply_to: None, files: None, state: None }
    }

    /// Whether it is a message, not a change of one.
    pub fn is_message(&self) -> bool {
        self.target().is_none()
    }

    /// The number of the message that it changes; `None` of a message.
    pub fn target(&self) -> Option<u64> {
        match self {
            Self::Message { .. } => None,
            Self::Edit { target, .. }
            | Self::Delete { target }
            | Self::React { target, .. }
            | Self::Unreact { target, .. } => Some(*target),
        }
    }

    /// The users whom it mentions.
    pub fn mentions(&self) -> Option<&Mentions> {
        match self {
            Self::Message { mentions, .. } | Self::Edit { mentions, .. } => mentions.as_deref(),
            Self::Delete { .. } | Self::React { .. } | Self::Unreact { .. } => None,
        }
    }

    /// What changes have made of it: see [`Body::Message`].
    pub fn state(&self) -> Option<&MessageState> {
        match self {
            Self::Message { state, .. } => state.as_deref(),
            Self::Edit { .. } | Self::Delete { .. } | Self::React { .. } | Self::Unreact { .. } => None,
        }
    }

    /// The files of a message; none of a change.
    pub fn files(&self) -> &[AttachedFile] {
        match self {
            Self::Message { files, .. } => files.as_deref().unwrap_or_default(),
            Self::Edit { .. } | Self::Delete { .. } | Self::React { .. } | Self::Unreact { .. } => &[],
        }
    }

    /// Whether it is a message that is deleted.
    pub fn is_deleted(&self) -> bool {
        self.state().is_some_and(|state| state.deleted)
    }

    /// The size in bytes that size limits count (pages, inboxes, drafts without a
    /// receipt): the texts in it, without the fields that all entries have; of each file the
    /// name, and 100 bytes.
    pub fn bytes(&self) -> usize {
        self.text().len() + self.files().iter().map(AttachedFile::bytes).sum::<usize>()
    }

    /// The text in it; empty for a kind that has no text.
    pub fn text(&self) -> &str {
        match self {
            Self::Message { text, .. } | Self::Edit { text: Some(text), .. } => text.as_str(),
            Self::Edit { text: None, .. } | Self::Delete { .. } => "",
            Self::React { emoji, .. } | Self::Unreact { emoji, .. } => emoji.as_str(),
        }
    }
}

/// An entry without a number yet, which a [`Hub`](crate::Hub) asks a log to store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Draft {
    /// The hub's id for it, which the log's [`Receipt`] repeats.
    pub id: DraftId,
    /// The topic in which it gets its number.
    pub topic: Topic,
    /// The user who writes it.
    pub from: Username,
    /// See [`Entry::room`].
    pub room: Option<RoomName>,
    /// See [`Entry::body`]. A message has no files here: `files` names them.
    pub body: Body,
    /// The files that a message attaches, each once, at most [`FILES_MAX`](crate::FILES_MAX).
    pub files: Vec<FileId>,
    /// See [`Entry::nonce`]. A log stores one entry for each author and nonce,
    /// however often a client sends it.
    pub nonce: Option<Nonce>,
    /// Whether the log must look up the room and the sender's membership. A hub clears
    /// it where it knows that the room is open, not archived, and has the sender as a
    /// member, and the draft mentions nobody. It is a hint: a log that sees that a room
    /// is closed or archived looks anyway.
    pub check: bool,
    /// Whether the author has the rights of an administrator of the server, if the log
    /// finds that the name is one. A hub clears it where the token has no session: another
    /// issuer names any user.
    pub may_administer: bool,
    /// The limits for a change.
    pub rules: ChangeRules,
    /// Whether the program that runs the server posts the message, under a name that need not
    /// have an account: the author becomes no member, and need not be one. An archived room
    /// refuses it all the same.
    pub by_server: bool,
    /// What a hook of the server says against the draft, as a sentence for its author. A nonce
    /// that was stored before answers with its first result all the same.
    pub refused: Option<Arc<str>>,
}

impl Draft {
    /// The recipient of a private message; `None` for a room. The recipient of a
    /// note to oneself is the author.
    pub fn recipient(&self) -> Option<&Username> {
        match &self.topic {
            Topic::Room(_) => None,
            Topic::Pair(pair) => Some(pair.other(&self.from)),
        }
    }
}

/// What a draft contains, before it is one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Content {
    pub(crate) body: Body,
    /// See [`Draft::files`].
    pub(crate) files: Vec<FileId>,
}

impl From<Body> for Content {
    fn from(body: Body) -> Self {
        Self { body, files: Vec::new() }
    }
}

impl Content {
    /// See [`Body::bytes`].
    pub(crate) fn bytes(&self) -> usize {
        self.body.bytes() + self.files.len() * size_of::<FileId>()
    }
}

/// The id of a draft within the hub that made it, until the hub has the receipt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DraftId(pub u64);

/// The answer of a log to one draft.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Receipt {
    /// The draft.
    pub draft: DraftId,
    /// The result.
    pub outcome: Outcome,
    /// Users with an account whom the stored message mentions and who are no members of
    /// the open room: they are not notified.
    pub not_members: Vec<Username>,
}

impl Receipt {
    /// The answer to a draft that mentions only members.
    pub fn new(draft: DraftId, outcome: Outcome) -> Self {
        Self { draft, outcome, not_members: Vec::new() }
    }
}

/// What a log did with a draft.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The draft was committed as an entry.
    Stored {
        /// The number of the entry in the draft's topic.
        seq: u64,
        /// See [`Entry::at_ms`].
        at_ms: u64,
    },
    /// The author used the nonce before: nothing new is stored, and this is the
    /// first result, whatever topic and body the retry has. Or a change made what is so
    /// already: the author's reaction is there, or the message is deleted, by this entry.
    Duplicate {
        /// The topic of the entry that was stored first.
        topic: Topic,
        /// The number of that entry.
        seq: u64,
        /// See [`Entry::at_ms`].
        at_ms: u64,
    },
    /// A private message to a name without an account is not stored.
    NoRecipient {
        /// When the log refused it, in milliseconds since 1970 (UTC).
        at_ms: u64,
    },
    /// The author may not write to the room: it is closed, or archived, or has so many
    /// members that only its moderators mention all of them. Or the author may not change
    /// this message, or not any more.
    Forbidden,
    /// A change names no message that is there: it was never stored, is deleted or no longer
    /// kept; or the author takes back a reaction that is not there.
    NotFound,
    /// The message has as many different reactions as [`ChangeRules::reactions_max`].
    TooMany,
    /// A file of the message is not there, is another user's, or is attached to a message
    /// already.
    InvalidFiles,
    /// An edit would leave a message without files without a text.
    BlankText,
    /// A hook of the server refuses the draft: this sentence is for its author.
    Refused(Arc<str>),
    /// The draft is not stored: the log failed, or a draft before it in the same lane
    /// failed.
    Failed,
}

/// The result of one committed batch.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Commit {
    /// The new entries, in log order.
    pub entries: Vec<Arc<Entry>>,
    /// One receipt for each draft, in the order of the drafts.
    pub receipts: Vec<Receipt>,
    /// The users who became members by writing to an open room. These changes take
    /// effect before the entries.
    pub changes: Vec<RoomChange>,
    /// The messages that the batch has changed, as they are after it, for the log to
    /// write.
    pub changed: Vec<ChangedMessage>,
    /// Changes that made what is so already: the log stores their nonces with the
    /// first results.
    pub remembered: Vec<Remembered>,
    /// The files of messages that the batch has deleted, or for which a log in memory has no
    /// room any more: nobody may read them from here on.
    pub files_taken_back: Vec<FileId>,
}

impl Commit {
    /// Takes the texts out of the edits that a later entry of the commit takes back: the
    /// entries are as the log shows them from here on. A [`Batch`](crate::Batch) does it; who
    /// delivers what a [`History`](crate::History) has stored must do it.
    pub fn take_back(&mut self) {
        let mut newer = BTreeSet::new();
        for entry in self.entries.iter_mut().rev() {
            let (Body::Edit { target, .. } | Body::Delete { target }) = entry.body else { continue };
            let is_newest = newer.insert((entry.topic.clone(), target));
            if !is_newest && matches!(entry.body, Body::Edit { .. }) {
                let body = Body::Edit { target, text: None, mentions: None };
                *entry = Arc::new(Entry { body, ..Entry::clone(entry) });
            }
        }
    }
}

/// The nonce of a change that stored nothing, and its result.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Remembered {
    /// The author.
    pub from: Username,
    /// The nonce.
    pub nonce: Nonce,
    /// The topic of the entry that made it so.
    pub topic: Topic,
    /// The number of that entry.
    pub seq: u64,
    /// See [`Entry::at_ms`].
    pub at_ms: u64,
}

/// Committed entries that the bus did not carry to a hub, because its inbox was full
/// or the bus lost them. The hub reads them from the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Missed {
    /// Their topic.
    pub topic: Topic,
    /// The first missing number.
    pub first: u64,
    /// The last missing number.
    pub last: u64,
}

/// Which entries of a topic a page has. The page has all kinds of entries, without a gap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PageFrom {
    /// The newest entries.
    Latest,
    /// The oldest entries with a higher number than this.
    After(u64),
    /// The newest entries with a lower number than this.
    Before(u64),
}

/// Which messages of a topic a page has. The page has no changes; its messages are as they
/// are now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MessagesFrom {
    /// Neighbouring messages.
    Page(PageFrom),
    /// Half of the limit, rounded down, before this number, and the rest from it on. If one
    /// side has fewer messages, the other has no more for that. The limit of bytes cuts the
    /// messages that are farthest from the number, but for one message next to it.
    Around(u64),
    /// Those of these numbers that are there.
    Numbers(Vec<u64>),
}

/// The size limits of a page. A page ends at the limit that is reached first, but has
/// at least one entry if one matches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageLimits {
    /// The number of entries.
    pub entries: usize,
    /// The sum of [`Body::bytes`].
    pub bytes: usize,
}

/// Entries of a topic, read from the log at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Page {
    /// The entries in rising order: without a gap, or messages only.
    pub entries: Vec<Arc<Entry>>,
    /// The oldest number that is kept in the topic; one more than `last` if none is.
    pub first: u64,
    /// The highest number given in the topic; 0 in a topic without entries so far.
    pub last: u64,
    /// Of a page of messages: whether older ones than those in it are kept.
    pub has_older: bool,
    /// Of a page of messages: whether there are newer ones than those in it.
    pub has_newer: bool,
    /// Of [`PageFrom::Latest`] with all kinds of entries: the numbers of the newest
    /// messages, in rising order, at most [`NEWEST_MESSAGES`].
    pub newest: Vec<u64>,
}

/// The number of messages whose numbers a page of the newest entries has.
pub const NEWEST_MESSAGES: usize = 100;

/// The private conversations of one user, read from the log at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Conversations {
    /// The conversation that was written to last first.
    pub latest: Vec<ConversationState>,
    /// Whether the user has further, older conversations.
    pub has_more: bool,
}

/// One private conversation of a user.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConversationState {
    /// The other user.
    pub with: Username,
    /// The highest number given.
    pub top: u64,
    /// When the last message was stored, in milliseconds since 1970 (UTC).
    pub at_ms: u64,
    /// The number up to which the user has read; 0 at first.
    pub read: u64,
    /// What the user is notified of.
    pub level: Level,
    /// How many messages of the other user lie above `read`, exactly up to 99; 100 means
    /// "more".
    pub unread: Option<u8>,
}

impl fmt::Debug for DraftId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "draft {}", self.0)
    }
}

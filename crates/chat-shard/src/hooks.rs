//! What the program around the chat says about messages and joins.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
#[cfg(feature = "sockets")]
use std::time::Duration;

use chat_core::{Body, Draft, MessageText, RoomName, Topic, Username};

/// What the program around the chat says about messages and joins. Each method may be left out. A
/// program that only wants to know what is stored uses
/// [`ShardOptions::stored`](crate::ShardOptions::stored).
///
/// An answer must come in [`ShardOptions::hook_timeout`](crate::ShardOptions::hook_timeout). If it
/// does not, nothing is stored: v2 clients are answered `unavailable` and send again, v1 clients
/// are closed (1013), and callers of [`ChatHandle::post`](crate::ChatHandle::post) get
/// `Unavailable`; a join is asked about again. While one answer of a lane is awaited, the messages
/// behind it wait.
pub trait Hooks: Send + Sync {
    /// Judges a message, or the new text of an edit, before it is stored. It may be asked twice
    /// about the same one: a client sends again what it has no answer to.
    fn before_append<'a>(&'a self, _proposed: Proposed<'a>) -> HookFuture<'a, Verdict> {
        Box::pin(async { Verdict::Accept })
    }

    /// Whether a user may join a room that the rules of the chat let the user read: asked before each
    /// join of a connection and, over HTTP, before a user becomes a member (by oneself, by a member or
    /// by an invitation), creates the room, reads it or posts to it. A room that was joined before
    /// stays joined until the connection ends, and lists and counts of a member's rooms do not ask.
    ///
    /// It is asked only where [`judges_joins`](Self::judges_joins) returns `true`.
    fn may_join<'a>(&'a self, _user: &'a Username, _room: &'a RoomName) -> HookFuture<'a, bool> {
        Box::pin(async { true })
    }

    /// Whether [`may_join`](Self::may_join) is to be asked. Without it, a room that is known to be
    /// open is joined without a question to the store.
    fn judges_joins(&self) -> bool {
        false
    }
}

/// The answer of a hook.
pub type HookFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A message, or the edit of one, that a user wants to have stored.
#[derive(Debug, Clone, Copy)]
pub struct Proposed<'a> {
    /// The room, or the private conversation.
    pub topic: &'a Topic,
    /// The author.
    pub from: &'a Username,
    /// The text; of an edit the new one. Empty if a message has files only.
    pub text: &'a str,
    /// The number of the message that is edited; `None` of a new message.
    pub edits: Option<u64>,
    /// How many files a new message has.
    pub files: usize,
}

/// What becomes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is stored as it is, if the rules of the chat allow it.
    Accept,
    /// It is stored with this text. Its mentions stay those that the author has made.
    Replace(MessageText),
    /// It is not stored. The author is shown this sentence (v2), and does not send again.
    Refuse(String),
}

/// The hooks of a server; by default there are none, and nothing is asked.
#[derive(Clone, Default)]
pub struct HookSet(Option<Arc<dyn Hooks>>);

impl HookSet {
    /// These hooks.
    pub fn new(hooks: Arc<dyn Hooks>) -> Self {
        Self(Some(hooks))
    }

    /// The hooks, if there are any.
    #[cfg(feature = "sockets")]
    pub(crate) fn get(&self) -> Option<&Arc<dyn Hooks>> {
        self.0.as_ref()
    }

    /// Whether a user may join a room, as far as the hooks say; `None` if they do not answer in
    /// time.
    #[cfg(feature = "sockets")]
    pub async fn may_join(&self, user: &Username, room: &RoomName, timeout: Duration) -> Option<bool> {
        match self.0.as_ref().filter(|hooks| hooks.judges_joins()) {
            Some(hooks) => tokio::time::timeout(timeout, hooks.may_join(user, room)).await.ok(),
            None => Some(true),
        }
    }
}

impl fmt::Debug for HookSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HookSet").field(&self.0.is_some()).finish()
    }
}

/// Whether the hooks judge a draft: a message or an edit of a user.
pub fn is_judged(draft: &Draft) -> bool {
    proposed(draft).is_some()
}

/// What the hooks are asked about a draft.
pub(crate) fn proposed(draft: &Draft) -> Option<Proposed<'_>> {
    let edits = match &draft.body {
        Body::Message { .. } => None,
        Body::Edit { target, .. } => Some(*target),
        Body::Delete { .. } | Body::React { .. } | Body::Unreact { .. } => return None,
    };
    let Draft { topic, from, body, files, .. } = draft;
    Some(Proposed { topic, from, text: body.text(), edits, files: files.len() })
}

/// Applies what the hooks say to a draft. The log judges it: only the log knows whether the draft
/// was stored before.
pub fn apply(draft: &mut Draft, verdict: Verdict) {
    match verdict {
        Verdict::Accept => {}
        Verdict::Refuse(sentence) => draft.refused = Some(sentence.into()),
        Verdict::Replace(new) => match &mut draft.body {
            Body::Message { text, .. } => *text = new,
            Body::Edit { text, .. } => *text = Some(new),
            Body::Delete { .. } | Body::React { .. } | Body::Unreact { .. } => {}
        },
    }
}

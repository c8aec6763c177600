//! A client on tokio: a task that owns a session and its socket, and handles to it.

mod calls;
mod clock;
mod link;
mod task;

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use self::task::{Command, Task};
use crate::{
    Account, Api, Event, HistoryPage, Level, Mark, NewChange, NewMessage, Options, PageFrom, Refused, Seen,
    ServerUrl, ServerUrlError, Snapshot, Target, Topic, Unreachable, Unsent,
};

/// A handle to a client that connects, and connects again after each loss.
///
/// Clones are handles to the same client. Its task ends with
/// [`close`](Self::close), or when all handles are dropped; sends without an answer
/// are lost then.
///
/// The calls that wait for the server may be awaited between two
/// [`Events::next`]: the client goes on receiving events meanwhile, up to
/// [`ClientOptions::events_max_while_waiting`].
#[derive(Debug, Clone)]
pub struct Client {
    commands: mpsc::Sender<Command>,
}

/// The events of a client, in order.
///
/// An application that does not take its events slows its client down: at
/// [`ClientOptions::events_max`] the socket is no longer read, so that the server
/// keeps the rest, and at last closes the connection (1013). Nothing is lost: the
/// client connects again and resumes. When this value is dropped, events are
/// discarded, and the client only sends.
#[derive(Debug)]
pub struct Events {
    events: mpsc::Receiver<Event>,
    seen: Seen,
    account: Account,
}

/// The credentials, caps and deadlines of a client.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// How the client signs in.
    pub credentials: Credentials,
    /// The state of an earlier run of the program.
    pub snapshot: Snapshot,
    /// The options of the session.
    pub session: Options,
    /// Events that wait for the application; at the cap the socket is not read.
    pub events_max: usize,
    /// The same cap while a call waits for the server's answer, which comes behind
    /// these events; at the cap such calls end with [`SendError::Undecided`].
    pub events_max_while_waiting: usize,
    /// Bytes that a message of the server may have; a bigger one ends the connection.
    pub message_max_bytes: usize,
    /// For how long [`Client::connect`] tries to reach a server: at the first failure behind
    /// that, it returns the error. Afterwards a client tries for as long as it exists.
    pub connect_patience: Duration,
    /// For how long [`Client::close`] waits for answers.
    pub close_grace: Duration,
}

/// How a client signs in.
#[derive(Clone)]
pub enum Credentials {
    /// A token, from [`sign_in`](crate::sign_in()) or of another issuer. When it is
    /// no longer valid, [`Event::SignedOut`] comes, and the client waits for
    /// [`Client::sign_in`].
    Token(String),
    /// A name and a password, to sign in whenever a new token is needed.
    Password {
        /// The name of the account.
        username: String,
        /// The password of the account.
        password: String,
    },
}

impl std::fmt::Debug for Credentials {
    /// Shows no secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Token(_) => "Token",
            Self::Password { .. } => "Password",
        })
    }
}

impl ClientOptions {
    /// The default options.
    pub fn new(credentials: Credentials) -> Self {
        Self {
            credentials,
            snapshot: Snapshot::default(),
            session: Options::default(),
            events_max: 256,
            events_max_while_waiting: 20_000,
            message_max_bytes: 1024 * 1024,
            connect_patience: Duration::from_secs(30),
            close_grace: Duration::from_secs(10),
        }
    }
}

/// Where a message or a change is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The nonce of the send.
    pub nonce: String,
    /// The topic of the message or change.
    pub topic: Topic,
    /// The number of the message or change in its topic; of a change that was made already,
    /// that of the first one.
    pub seq: u64,
    /// Whole seconds since 1970.
    pub timestamp: u64,
    /// Whether an earlier attempt had stored it, or it was so already.
    pub duplicate: bool,
    /// The mentioned users who are no members of the room, and are not notified.
    pub not_members: Vec<String>,
}

/// Why a client could not connect.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address cannot be used.
    #[error(transparent)]
    Url(#[from] ServerUrlError),
    /// The server was not reached for [`ClientOptions::connect_patience`], or its certificate
    /// is not accepted.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// The server was busy, failed or broke off for [`ClientOptions::connect_patience`].
    #[error("the server cannot be used at this moment{}", status.map_or(String::new(), |status| format!(" ({status})")))]
    Unavailable {
        /// The HTTP status, if it answered.
        status: Option<u16>,
    },
    /// The server refused the password or the token (1008 or 4001).
    #[error("not signed in: the server does not accept the name and password, or the token ({code})")]
    SignedOut {
        /// 1008 or 4001.
        code: u16,
    },
    /// The server does not offer this protocol: it is none of the chat, or has the chat at
    /// another path.
    #[error("this is not the address of a chat: the server answered {status} instead of opening a socket{}", advice(*status))]
    UnsupportedServer {
        /// The HTTP status.
        status: u16,
    },
}

/// What often is the reason for a status.
fn advice(status: u16) -> &'static str {
    match status {
        301 | 302 | 303 | 307 | 308 => " (it leads elsewhere: give the address that a browser shows)",
        // What servers with TLS answer to HTTP.
        400 => " (perhaps it has to begin with https://)",
        _ => "",
    }
}

/// Why a message or a change has no receipt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The call was refused.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The send failed and is not repeated.
    #[error("not sent ({code}): {message}")]
    NotSent {
        /// The server's code.
        code: String,
        /// A sentence for the user.
        message: String,
        /// Whether an earlier attempt was not answered: it may have been stored.
        may_be_stored: bool,
    },
    /// The events in front of the answer must be taken first. The message is being
    /// sent; [`Event::Stored`] or [`Event::NotSent`] will report its outcome.
    #[error("no answer yet: events must be taken first")]
    Undecided,
    /// The client was closed; [`Client::close`] returned the sends without an answer.
    #[error("the client is closed")]
    Closed,
}

/// Why a room was not joined, or a page was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The call was refused.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The server refused, or (`offline`, for pages) the connection was lost.
    #[error("refused ({code}): {message}")]
    NotDone {
        /// The server's code.
        code: String,
        /// A sentence for the user.
        message: String,
    },
    /// The events in front of the answer must be taken first.
    #[error("no answer yet: events must be taken first")]
    Undecided,
    /// The client was closed.
    #[error("the client is closed")]
    Closed,
}

impl Client {
    /// Connects; returns when the server has sent `hello`. An unreachable server is tried again
    /// for [`ClientOptions::connect_patience`].
    ///
    /// # Errors
    ///
    /// See [`ConnectError`], whose sentences are for people.
    pub async fn connect(server: &str, options: ClientOptions) -> Result<(Self, Events), ConnectError> {
        Self::connect_to(ServerUrl::parse(server)?, options).await
    }

    /// [`connect`](Self::connect) to an address that may trust authorities of its own
    /// ([`ServerUrl::trusting`]).
    ///
    /// # Errors
    ///
    /// See [`ConnectError`].
    pub async fn connect_to(
        server: ServerUrl,
        options: ClientOptions,
    ) -> Result<(Self, Events), ConnectError> {
        let (commands, commands_in) = mpsc::channel(COMMANDS_MAX);
        let (events, events_out) = mpsc::channel(options.events_max.max(1));
        let seen = options.snapshot.seen.clone();
        let (connected, first_hello) = oneshot::channel();
        tokio::spawn(Task::new(server, options, commands_in, connected).run(events));
        match first_hello.await {
            Ok(result) => result?,
            Err(_) => return Err(ConnectError::SignedOut { code: 1008 }),
        }
        Ok((Self { commands }, Events { events: events_out, seen, account: Account::default() }))
    }

    /// Joins a room for as long as the client exists; returns when it is joined.
    ///
    /// # Errors
    ///
    /// See [`RequestError`].
    pub async fn join(&self, room: &str) -> Result<(), RequestError> {
        let room = room.to_owned();
        self.call(|call| Command::Join { room, call }).await.unwrap_or(Err(RequestError::Closed))
    }

    /// Leaves a room once every send to it is answered; [`Event::Left`] follows.
    pub async fn leave(&self, room: &str) {
        // A closed client has left its rooms.
        let _closed = self.commands.send(Command::Leave { room: room.to_owned() }).await;
    }

    /// Shows the others that this user types or no longer does: see
    /// [`Session::typing`](crate::Session::typing).
    pub async fn typing(&self, topic: Topic, active: bool) {
        // A closed client shows nothing.
        let _closed = self.commands.send(Command::Typing { topic, active }).await;
    }

    /// Reports that the user has read a topic up to this number: see
    /// [`Session::read`](crate::Session::read).
    pub async fn read(&self, topic: Topic, upto: u64) {
        // A closed client reads nothing.
        let _closed = self.commands.send(Command::Read { topic, upto }).await;
    }

    /// Sets what the user is notified of in a topic: see
    /// [`Session::set_level`](crate::Session::set_level).
    pub async fn set_level(&self, topic: Topic, level: Level) {
        let _closed = self.commands.send(Command::SetLevel { topic, level }).await;
    }

    /// Sends a message; returns when it is committed, after restarts of the server
    /// if need be.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub async fn send(&self, to: Topic, text: impl Into<String>) -> Result<Receipt, SendError> {
        self.send_message(NewMessage::new(to, text)).await
    }

    /// Sends a message with the caller's own nonce, so that another run of the
    /// program may send it again: it is stored once.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub async fn send_once(
        &self,
        nonce: impl Into<String>,
        to: Topic,
        text: impl Into<String>,
    ) -> Result<Receipt, SendError> {
        self.send_message(NewMessage::new(to, text).nonce(nonce)).await
    }

    /// Sends a message that may mention users; returns when it is committed.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub async fn send_message(&self, message: NewMessage) -> Result<Receipt, SendError> {
        self.call(|call| Command::Send { message, call }).await.unwrap_or(Err(SendError::Closed))
    }

    /// Changes a message; returns when the change is committed. See
    /// [`Session::change`](crate::Session::change).
    ///
    /// ```no_run
    /// # async fn example(client: chat_client::Client) -> Result<(), chat_client::SendError> {
    /// use chat_client::{NewChange, Topic};
    ///
    /// let tech = Topic::room("tech");
    /// let sent = client.send(tech.clone(), "the build is geen").await?;
    /// client.edit(tech.clone(), sent.seq, "the build is green").await?;
    /// client.react(tech.clone(), sent.seq, "🎉").await?;
    /// // An edit that mentions somebody.
    /// let edit = NewChange::edit(tech, sent.seq, "@bob, the build is green").mention("bob");
    /// client.change(edit).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub async fn change(&self, change: NewChange) -> Result<Receipt, SendError> {
        self.call(|call| Command::Change { change, call }).await.unwrap_or(Err(SendError::Closed))
    }

    /// Replaces the text of one's own message: see [`change`](Self::change).
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub async fn edit(
        &self,
        to: Topic,
        target: impl Into<Target>,
        text: impl Into<String>,
    ) -> Result<Receipt, SendError> {
        self.change(NewChange::edit(to, target, text)).await
    }

    /// Takes a message back: see [`change`](Self::change).
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub async fn delete(&self, to: Topic, target: impl Into<Target>) -> Result<Receipt, SendError> {
        self.change(NewChange::delete(to, target)).await
    }

    /// Reacts to a message with one emoji: see [`change`](Self::change).
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub async fn react(
        &self,
        to: Topic,
        target: impl Into<Target>,
        emoji: impl Into<String>,
    ) -> Result<Receipt, SendError> {
        self.change(NewChange::react(to, target, emoji)).await
    }

    /// Takes a reaction back: see [`change`](Self::change).
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub async fn unreact(
        &self,
        to: Topic,
        target: impl Into<Target>,
        emoji: impl Into<String>,
    ) -> Result<Receipt, SendError> {
        self.change(NewChange::unreact(to, target, emoji)).await
    }

    /// Reads a page of history.
    ///
    /// # Errors
    ///
    /// See [`RequestError`].
    pub async fn history(
        &self,
        topic: Topic,
        from: PageFrom,
        limit: Option<u32>,
    ) -> Result<HistoryPage, RequestError> {
        self.call(|call| Command::History { topic, from, limit, call })
            .await
            .unwrap_or(Err(RequestError::Closed))
    }

    /// The sends without an answer: with [`Events::seen`], the state from which
    /// another run of the program continues.
    pub async fn unsent(&self) -> Vec<Unsent> {
        self.call(|call| Command::Unsent { call }).await.unwrap_or_default()
    }

    /// The read marks and levels that the server may not have kept yet, for
    /// [`Snapshot::marks`] of another run. A program that does without them may find
    /// what was read in its last seconds unread.
    pub async fn marks(&self) -> Vec<Mark> {
        self.call(|call| Command::Marks { call }).await.unwrap_or_default()
    }

    /// The calls over HTTP, with the client's present token. `None` if it has none at this
    /// moment, or is closed. A client that signs in with a password gets another token when the
    /// old one is no longer valid: call this again after [`ApiError::Refused`] with 401.
    ///
    /// [`ApiError::Refused`]: crate::ApiError::Refused
    pub async fn api(&self) -> Option<Api> {
        self.call(|call| Command::Api { call }).await.flatten()
    }

    /// Why the last attempt to connect did not reach the server, to be shown while the client is
    /// offline. `None` if the server was reached.
    pub async fn unreachable(&self) -> Option<Unreachable> {
        self.call(|call| Command::Unreachable { call }).await.flatten()
    }

    /// Connects again with other credentials, after [`Event::SignedOut`].
    pub async fn sign_in(&self, credentials: Credentials) {
        let _closed = self.commands.send(Command::SignIn { credentials }).await;
    }

    /// Waits until every send is answered, but no longer than
    /// [`ClientOptions::close_grace`], and closes the connection. Returns the sends
    /// without an answer.
    pub async fn close(self) -> Vec<Unsent> {
        self.call(|call| Command::Close { call }).await.unwrap_or_default()
    }

    /// `None`: the client is closed.
    async fn call<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.ok()?;
        answer.await.ok()
    }
}

impl Events {
    /// The next event; `None` when the client is closed.
    pub async fn next(&mut self) -> Option<Event> {
        let event = self.events.recv().await?;
        self.seen.apply(&event);
        self.account.apply(&event);
        Some(event)
    }

    /// How far the application has seen each topic, by the events taken until now.
    /// An application that saves it together with its own effects misses nothing
    /// and repeats nothing after a crash: see [`ClientOptions::snapshot`].
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// The user's rooms and conversations, by the events taken until now.
    pub fn account(&self) -> &Account {
        &self.account
    }
}

/// Calls that wait for the task.
const COMMANDS_MAX: usize = 64;

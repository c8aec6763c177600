//! A client on tokio: a task that owns a session and its socket.

mod task;

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use self::task::{Command, Task};
use crate::{
    Event, HistoryPage, Options, PageFrom, Place, Refused, Seen, ServerUrl, ServerUrlError, Snapshot, Unsent,
};

/// A client that connects, and comes back for as long as it exists.
///
/// Clones are the same client. Its task ends with [`close`](Self::close), or
/// when all clones are dropped; what has no answer then is lost.
///
/// The calls that wait for the server may be awaited between two
/// [`Events::next`]: the client goes on taking events meanwhile, up to
/// [`ClientOptions::events_max_while_waiting`].
#[derive(Debug, Clone)]
pub struct Client {
    commands: mpsc::Sender<Command>,
}

/// What a client hears, in order.
///
/// An application that does not take its events slows its client down: at
/// [`ClientOptions::events_max`] the socket is no longer read, so that the server
/// keeps the rest, and at last closes the connection (1013). Nothing is lost:
/// the client comes back and goes on where it was. Dropped, all events are let
/// go, and the client only sends.
#[derive(Debug)]
pub struct Events {
    events: mpsc::Receiver<Event>,
    seen: Seen,
}

/// What is needed to connect, and what can be set.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// How one is known to the server.
    pub credentials: Credentials,
    /// What to go on with, from an earlier run of the program.
    pub snapshot: Snapshot,
    /// The rules of the session.
    pub session: Options,
    /// Events that wait for the application; at the cap the socket is not read.
    pub events_max: usize,
    /// The same while a call waits for the server's answer, which comes behind
    /// them; at the cap such calls end with [`SendError::Undecided`].
    pub events_max_while_waiting: usize,
    /// Bytes one message of the server may have; a bigger one ends the connection.
    pub message_max_bytes: usize,
    /// For how long [`Client::close`] waits for answers.
    pub close_grace: Duration,
}

/// How one is known to the server.
#[derive(Clone)]
pub enum Credentials {
    /// A token, from [`sign_in`](crate::sign_in()) or of another issuer. When it
    /// is no longer good, [`Event::SignedOut`] comes, and the client waits for
    /// [`Client::sign_in`].
    Token(String),
    /// Signs in by itself, and again when the token is no longer good.
    Password {
        /// The name of the account.
        username: String,
        /// Its password.
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
    /// The usual options.
    pub fn new(credentials: Credentials) -> Self {
        Self {
            credentials,
            snapshot: Snapshot::default(),
            session: Options::default(),
            events_max: 256,
            events_max_while_waiting: 20_000,
            message_max_bytes: 1024 * 1024,
            close_grace: Duration::from_secs(10),
        }
    }
}

/// Where a message was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Its nonce.
    pub nonce: String,
    /// Where it is.
    pub place: Place,
    /// Its number there.
    pub seq: u64,
    /// Whole seconds since 1970.
    pub timestamp: u64,
    /// An earlier try had stored it.
    pub duplicate: bool,
}

/// Why a client could not connect.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Give another address.
    #[error(transparent)]
    Url(#[from] ServerUrlError),
    /// Name and password, or the token, are no good (1008 or 4001).
    #[error("not signed in ({code})")]
    SignedOut {
        /// The code.
        code: u16,
    },
    /// The server does not speak this protocol.
    #[error("the server answered {status} instead of opening a socket")]
    NotSpoken {
        /// The HTTP status.
        status: u16,
    },
}

/// Why a message has no receipt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// It was not taken.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It is not stored and will not be.
    #[error("not sent ({code}): {message}")]
    NotSent {
        /// The server's code.
        code: String,
        /// A sentence for a person.
        message: String,
        /// An earlier try was not answered, and might have been stored.
        may_be_stored: bool,
    },
    /// The events in front of the answer must be taken first. The message is on
    /// its way; [`Event::Stored`] or [`Event::NotSent`] will say what became of it.
    #[error("not known yet: events must be taken first")]
    Undecided,
    /// The client was closed; [`Client::close`] returned what has no answer.
    #[error("the client is closed")]
    Closed,
}

/// Why a room was not joined, or a page did not come.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// It was not taken.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The server said no, or (`offline`, for pages) went away.
    #[error("refused ({code}): {message}")]
    NotDone {
        /// The server's code.
        code: String,
        /// A sentence for a person.
        message: String,
    },
    /// The events in front of the answer must be taken first.
    #[error("not known yet: events must be taken first")]
    Undecided,
    /// The client was closed.
    #[error("the client is closed")]
    Closed,
}

impl Client {
    /// Connects; returns when the server has said hello. A server that is not
    /// there is tried again for as long as this is awaited.
    ///
    /// # Errors
    ///
    /// See [`ConnectError`].
    pub async fn connect(server: &str, options: ClientOptions) -> Result<(Self, Events), ConnectError> {
        let server = ServerUrl::parse(server)?;
        let (commands, commands_in) = mpsc::channel(COMMANDS_MAX);
        let (events, events_out) = mpsc::channel(options.events_max.max(1));
        let seen = options.snapshot.seen.clone();
        let (greeted, greeting) = oneshot::channel();
        tokio::spawn(Task::new(server, options, commands_in, greeted).run(events));
        match greeting.await {
            Ok(result) => result?,
            Err(_) => return Err(ConnectError::SignedOut { code: 1008 }),
        }
        Ok((Self { commands }, Events { events: events_out, seen }))
    }

    /// Joins a room for as long as the client exists; returns when it is joined.
    ///
    /// # Errors
    ///
    /// See [`RequestError`].
    pub async fn join(&self, room: &str) -> Result<(), RequestError> {
        let room = room.to_owned();
        self.ask(|reply| Command::Join { room, reply }).await.unwrap_or(Err(RequestError::Closed))
    }

    /// Leaves a room, behind what was sent to it; [`Event::Left`] says when.
    pub async fn leave(&self, room: &str) {
        // A client that is closed has left.
        let _closed = self.commands.send(Command::Leave { room: room.to_owned() }).await;
    }

    /// Sends, and returns when it is stored for good: after restarts of the
    /// server, if need be.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub async fn send(&self, to: Place, text: impl Into<String>) -> Result<Receipt, SendError> {
        self.send_as(to, text.into(), None).await
    }

    /// The same with a nonce of the caller's own, which makes it safe to send
    /// the same thing again in another run of the program: it is stored once.
    ///
    /// # Errors
    ///
    /// See [`SendError`].
    pub async fn send_once(
        &self,
        nonce: impl Into<String>,
        to: Place,
        text: impl Into<String>,
    ) -> Result<Receipt, SendError> {
        self.send_as(to, text.into(), Some(nonce.into())).await
    }

    async fn send_as(&self, to: Place, text: String, nonce: Option<String>) -> Result<Receipt, SendError> {
        self.ask(|reply| Command::Send { to, text, nonce, reply }).await.unwrap_or(Err(SendError::Closed))
    }

    /// Asks for a page of history.
    ///
    /// # Errors
    ///
    /// See [`RequestError`].
    pub async fn history(
        &self,
        place: Place,
        from: PageFrom,
        limit: Option<u32>,
    ) -> Result<HistoryPage, RequestError> {
        self.ask(|reply| Command::History { place, from, limit, reply })
            .await
            .unwrap_or(Err(RequestError::Closed))
    }

    /// What was sent and has no answer: with [`Events::seen`], what another run
    /// of the program needs to go on.
    pub async fn unsent(&self) -> Vec<Unsent> {
        self.ask(|reply| Command::Unsent { reply }).await.unwrap_or_default()
    }

    /// Comes back with another token, after [`Event::SignedOut`].
    pub async fn sign_in(&self, credentials: Credentials) {
        let _closed = self.commands.send(Command::SignIn { credentials }).await;
    }

    /// Waits until everything is answered, but no longer than
    /// [`ClientOptions::close_grace`], and closes the connection. Returns what
    /// has no answer then.
    pub async fn close(self) -> Vec<Unsent> {
        self.ask(|reply| Command::Close { reply }).await.unwrap_or_default()
    }

    /// `None`: the client is closed.
    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
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
        Some(event)
    }

    /// What was seen with the events taken until now. An application that
    /// writes it down together with what it did gets neither less nor more
    /// after a crash: see [`ClientOptions::snapshot`].
    pub fn seen(&self) -> &Seen {
        &self.seen
    }
}

/// Calls that wait for the task to look at them.
const COMMANDS_MAX: usize = 64;

//! The task of a client: owns the session and its socket, and performs the
//! session's outputs.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use super::calls::{Calls, reply};
use super::clock::Clock;
use super::link::{Link, LinkEvent, OpenError, Opened, Socket};
use super::{ClientOptions, ConnectError, Credentials, Receipt, RequestError, SendError};
use crate::{
    Api, Event, HistoryPage, Level, Mark, NewChange, NewMessage, Output, PageFrom, ServerUrl, Session, Topic,
    Unreachable, Unsent,
};

/// A call of a handle.
#[derive(Debug)]
pub(super) enum Command {
    Join {
        room: String,
        call: oneshot::Sender<Result<(), RequestError>>,
    },
    Leave {
        room: String,
    },
    Typing {
        topic: Topic,
        active: bool,
    },
    Read {
        topic: Topic,
        upto: u64,
    },
    SetLevel {
        topic: Topic,
        level: Level,
    },
    Send {
        message: NewMessage,
        call: oneshot::Sender<Result<Receipt, SendError>>,
    },
    Change {
        change: NewChange,
        call: oneshot::Sender<Result<Receipt, SendError>>,
    },
    History {
        topic: Topic,
        from: PageFrom,
        limit: Option<u32>,
        call: oneshot::Sender<Result<HistoryPage, RequestError>>,
    },
    Unsent {
        call: oneshot::Sender<Vec<Unsent>>,
    },
    Marks {
        call: oneshot::Sender<Vec<Mark>>,
    },
    Api {
        call: oneshot::Sender<Option<Api>>,
    },
    Unreachable {
        call: oneshot::Sender<Option<Unreachable>>,
    },
    SignIn {
        credentials: Credentials,
    },
    Close {
        call: oneshot::Sender<Vec<Unsent>>,
    },
}

/// The session, its socket, and the calls that wait.
pub(super) struct Task {
    server: ServerUrl,
    options: ClientOptions,
    clock: Clock,
    session: Session,
    /// The present token; with [`Credentials::Password`], `None` until a sign-in.
    token: Option<String>,
    link: Link,
    commands: mpsc::Receiver<Command>,
    /// Events that do not fit into the channel.
    backlog: VecDeque<Event>,
    calls: Calls,
    /// The call of `Client::connect`, until the first `hello`.
    connected: Option<oneshot::Sender<Result<(), ConnectError>>>,
    /// When the task began.
    started: Instant,
    /// Why the last attempt did not reach the server.
    unreachable: Option<Unreachable>,
    closing: Option<Closing>,
}

/// A call of `Client::close`.
struct Closing {
    deadline: Instant,
    call: oneshot::Sender<Vec<Unsent>>,
}

impl Task {
    pub(super) fn new(
        server: ServerUrl,
        mut options: ClientOptions,
        commands: mpsc::Receiver<Command>,
        connected: oneshot::Sender<Result<(), ConnectError>>,
    ) -> Self {
        let snapshot = std::mem::take(&mut options.snapshot);
        let token = match &options.credentials {
            Credentials::Token(token) => Some(token.clone()),
            Credentials::Password { .. } => None,
        };
        Self {
            server,
            session: Session::restore(options.session.clone(), rand::random(), snapshot),
            options,
            clock: Clock::start(),
            token,
            link: Link::None,
            commands,
            backlog: VecDeque::new(),
            calls: Calls::default(),
            connected: Some(connected),
            started: Instant::now(),
            unreachable: None,
            closing: None,
        }
    }

    pub(super) async fn run(mut self, events: mpsc::Sender<Event>) {
        while self.perform() {
            self.deliver_events(&events);
            let now_ms = self.clock.now_ms();
            let may_read = self.may_read();
            if !may_read {
                // Silence means nothing while the socket is not read.
                self.session.received(now_ms);
            }
            let tick_in = self.session.next_tick_ms().saturating_sub(now_ms).min(TICK_MAX_MS);
            let tick_in = Duration::from_millis(tick_in);
            let close_at = self.closing.as_ref().map(|closing| closing.deadline);
            tokio::select! {
                command = self.commands.recv(), if self.closing.is_none() => match command {
                    Some(command) => self.command(command),
                    None => break,
                },
                permit = events.reserve(), if !self.backlog.is_empty() => match permit {
                    Ok(permit) => {
                        if let Some(event) = self.backlog.pop_front() {
                            permit.send(event);
                        }
                    }
                    Err(_) => self.backlog.clear(),
                },
                event = self.link.next(may_read) => self.link_event(event),
                () = tokio::time::sleep(tick_in) => {}
                () = async { tokio::time::sleep_until(close_at.unwrap_or_else(Instant::now)).await },
                    if close_at.is_some() => break,
            }
            if self.session.next_tick_ms() <= self.clock.now_ms() {
                self.session.tick(self.clock.now_ms());
            }
        }
        self.end().await;
    }

    /// Performs the session's outputs. Returns whether the task continues.
    fn perform(&mut self) -> bool {
        while let Some(output) = self.session.next_output() {
            match output {
                Output::Connect => self.open(),
                Output::Transmit(frame) => self.link.transmit(frame),
                Output::Hangup => self.link = Link::None,
                Output::Event(event) => self.event(event),
            }
        }
        self.bound_backlog();
        self.closing.is_none() || self.session.unsent() > 0
    }

    /// Opens a socket with the present token, or with a new one.
    fn open(&mut self) {
        let (token, credentials) = (self.token.clone(), self.options.credentials.clone());
        self.link = Link::open(self.server.clone(), token, credentials, self.options.message_max_bytes);
    }

    /// Answers the calls that wait for an event, and queues it for the application.
    fn event(&mut self, event: Event) {
        match &event {
            Event::Online { .. } => self.answer_connect(Ok(())),
            Event::SignedOut { code } => self.answer_connect(Err(ConnectError::SignedOut { code: *code })),
            _ => {}
        }
        self.backlog.extend(self.calls.answer(event));
    }

    /// Moves events into the channel while it has room.
    fn deliver_events(&mut self, events: &mpsc::Sender<Event>) {
        while let Some(event) = self.backlog.pop_front() {
            if let Err(TrySendError::Full(event)) = events.try_send(event) {
                self.backlog.push_front(event);
                return;
            }
        }
    }

    fn answer_connect(&mut self, result: Result<(), ConnectError>) {
        if let Some(call) = self.connected.take() {
            reply(call, result);
        }
    }

    /// Whether `Client::connect` is to return although the next attempt could succeed.
    fn is_out_of_patience(&self) -> bool {
        self.started.elapsed() >= self.options.connect_patience
    }

    /// Whether the socket is read: not while too many events wait.
    fn may_read(&self) -> bool {
        let max = if self.calls.is_empty() && self.closing.is_none() {
            self.options.events_max
        } else {
            self.options.events_max_while_waiting
        };
        self.backlog.len() < max.max(1)
    }

    /// Ends the waiting calls when too many events wait: the application that awaits
    /// a call may be the one that should take the events.
    fn bound_backlog(&mut self) {
        if self.backlog.len() >= self.options.events_max_while_waiting {
            self.calls.end();
            if self.closing.is_some() {
                // The application takes no more events; they come again in its next run.
                self.backlog.clear();
            }
        }
    }

    fn command(&mut self, command: Command) {
        let now_ms = self.clock.now_ms();
        match command {
            Command::Join { room, call } => match self.session.join(now_ms, &room) {
                Ok(()) if self.session.is_in(&room) => reply(call, Ok(())),
                Ok(()) => self.calls.joins.push((room, call)),
                Err(refused) => reply(call, Err(refused.into())),
            },
            Command::Leave { room } => self.session.leave(now_ms, &room),
            Command::Typing { topic, active } => self.session.typing(now_ms, &topic, active),
            Command::Read { topic, upto } => self.session.read(now_ms, &topic, upto),
            Command::SetLevel { topic, level } => self.session.set_level(now_ms, &topic, level),
            Command::Send { message, call } => match self.session.send_message(now_ms, message) {
                Ok(nonce) => {
                    self.calls.sends.insert(nonce, call);
                }
                Err(refused) => reply(call, Err(refused.into())),
            },
            Command::Change { change, call } => match self.session.change(now_ms, change) {
                Ok(nonce) => {
                    self.calls.sends.insert(nonce, call);
                }
                Err(refused) => reply(call, Err(refused.into())),
            },
            Command::History { topic, from, limit, call } => {
                match self.session.history(now_ms, topic, from, limit) {
                    Ok(request) => {
                        self.calls.pages.insert(request, call);
                    }
                    Err(refused) => reply(call, Err(refused.into())),
                }
            }
            Command::Unsent { call } => reply(call, self.session.snapshot().outbox),
            Command::Marks { call } => reply(call, self.session.snapshot().marks),
            Command::Api { call } => {
                let server = &self.server;
                reply(call, self.token.as_ref().map(|token| Api::new(server.clone(), token)));
            }
            Command::Unreachable { call } => reply(call, self.unreachable.clone()),
            Command::SignIn { credentials } => {
                if let Credentials::Token(token) = &credentials {
                    self.token = Some(token.clone());
                } else {
                    self.token = None;
                }
                self.options.credentials = credentials;
                self.session.signed_in(now_ms);
            }
            Command::Close { call } => {
                self.session.flush_marks(now_ms);
                let deadline = Instant::now() + self.options.close_grace;
                self.closing = Some(Closing { deadline, call });
            }
        }
    }

    fn link_event(&mut self, event: LinkEvent) {
        let now_ms = self.clock.now_ms();
        match event {
            LinkEvent::Opened(Ok(Opened { socket, new_token })) => {
                self.unreachable = None;
                if new_token.is_some() {
                    self.token = new_token;
                }
                self.link = Link::Open(Box::new(Socket::new(*socket)));
                self.session.opened(now_ms);
            }
            LinkEvent::Opened(Err(error)) => {
                self.link = Link::None;
                self.unreachable = None;
                match error {
                    OpenError::Unreachable(unreachable) => {
                        let is_certificate = matches!(unreachable, Unreachable::Certificate { .. });
                        if is_certificate || self.is_out_of_patience() {
                            self.answer_connect(Err(unreachable.clone().into()));
                        }
                        self.unreachable = Some(unreachable);
                        self.session.closed(now_ms, None);
                    }
                    OpenError::Later { status } => {
                        if self.is_out_of_patience() {
                            self.answer_connect(Err(ConnectError::Unavailable { status }));
                        }
                        self.session.closed(now_ms, None);
                    }
                    OpenError::SignedOut => self.session.closed(now_ms, Some(TOKEN_INVALID)),
                    OpenError::BadToken => self.lost(Some(TOKEN_INVALID)),
                    OpenError::UnsupportedServer { status } => {
                        self.answer_connect(Err(ConnectError::UnsupportedServer { status }));
                        self.session.closed(now_ms, None);
                    }
                }
            }
            LinkEvent::Message(Message::Text(text)) => self.session.frame(now_ms, &text),
            LinkEvent::Message(Message::Close(frame)) => self.lost(frame.map(|frame| frame.code.into())),
            LinkEvent::Message(_) => self.session.received(now_ms),
            LinkEvent::Lost => self.lost(None),
        }
    }

    /// The socket is lost. A token that is no longer valid is replaced by a sign-in,
    /// once, if there is a password.
    fn lost(&mut self, code: Option<u16>) {
        self.link = Link::None;
        let signs_in_by_itself = matches!(self.options.credentials, Credentials::Password { .. });
        let code = match code {
            Some(TOKEN_INVALID) if signs_in_by_itself && self.token.take().is_some() => None,
            code => code,
        };
        self.session.closed(self.clock.now_ms(), code);
    }

    /// Closes the connection, and returns the sends without an answer to the call
    /// that closed the client.
    async fn end(self) {
        self.link.close().await;
        if let Some(closing) = self.closing {
            reply(closing.call, self.session.snapshot().outbox);
        }
    }
}

/// The longest timer: the session's next tick is looked up at least this often.
const TICK_MAX_MS: u64 = 60_000;
/// Close code: the token is no longer valid.
const TOKEN_INVALID: u16 = 1008;

//! The task of a client: does what its session says.

use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::{ClientOptions, ConnectError, Credentials, Receipt, RequestError, SendError};
use crate::{Event, HistoryPage, Output, PageFrom, Place, ServerUrl, Session, SignInError, Unsent, sign_in};

/// What a handle asks of the task.
#[derive(Debug)]
pub(super) enum Command {
    Join {
        room: String,
        reply: oneshot::Sender<Result<(), RequestError>>,
    },
    Leave {
        room: String,
    },
    Send {
        to: Place,
        text: String,
        nonce: Option<String>,
        reply: oneshot::Sender<Result<Receipt, SendError>>,
    },
    History {
        place: Place,
        from: PageFrom,
        limit: Option<u32>,
        reply: oneshot::Sender<Result<HistoryPage, RequestError>>,
    },
    Unsent {
        reply: oneshot::Sender<Vec<Unsent>>,
    },
    SignIn {
        credentials: Credentials,
    },
    Close {
        reply: oneshot::Sender<Vec<Unsent>>,
    },
}

pub(super) struct Task {
    server: ServerUrl,
    options: ClientOptions,
    clock: Clock,
    session: Session,
    /// Of [`Credentials::Password`]: the present one.
    token: Option<String>,
    link: Link,
    commands: mpsc::Receiver<Command>,
    /// Events that do not fit into the channel.
    backlog: VecDeque<Event>,
    waiters: Waiters,
    /// Whoever connects, until the server says hello.
    greeted: Option<oneshot::Sender<Result<(), ConnectError>>>,
    closing: Option<Closing>,
}

enum Link {
    None,
    Opening(Pin<Box<dyn Future<Output = Result<Opened, OpenError>> + Send>>),
    Open(Box<Socket>),
}

struct Opened {
    socket: Box<WebSocketStream<TcpStream>>,
    /// The one that was fetched for it.
    token: Option<String>,
}

enum OpenError {
    /// Try again later.
    Later,
    /// Name and password are no good.
    SignedOut,
    /// The token is no good.
    BadToken,
    /// No socket is there.
    NotSpoken { status: u16 },
}

struct Socket {
    sink: SplitSink<WebSocketStream<TcpStream>, Message>,
    stream: SplitStream<WebSocketStream<TcpStream>>,
    /// What the sink did not take yet; bounded by what a session has in flight.
    queue: VecDeque<Message>,
    unflushed: bool,
}

struct Closing {
    until: Instant,
    reply: oneshot::Sender<Vec<Unsent>>,
}

/// Calls that wait for an event.
#[derive(Default)]
struct Waiters {
    sends: BTreeMap<String, oneshot::Sender<Result<Receipt, SendError>>>,
    joins: Vec<(String, oneshot::Sender<Result<(), RequestError>>)>,
    pages: BTreeMap<u64, oneshot::Sender<Result<HistoryPage, RequestError>>>,
}

/// Counts on from the time since 1970, whatever becomes of the system's clock.
struct Clock {
    started: Instant,
    started_ms: u64,
}

impl Task {
    pub(super) fn new(
        server: ServerUrl,
        mut options: ClientOptions,
        commands: mpsc::Receiver<Command>,
        greeted: oneshot::Sender<Result<(), ConnectError>>,
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
            waiters: Waiters::default(),
            greeted: Some(greeted),
            closing: None,
        }
    }

    pub(super) async fn run(mut self, events: mpsc::Sender<Event>) {
        while self.perform() {
            self.hand_over(&events);
            let now_ms = self.clock.now_ms();
            let may_read = self.may_read();
            if !may_read {
                // Nothing can come, as nobody looks.
                self.session.heard(now_ms);
            }
            let tick_in = self.session.next_tick_ms().saturating_sub(now_ms).min(TICK_MAX_MS);
            let tick_in = Duration::from_millis(tick_in);
            let closing_at = self.closing.as_ref().map(|closing| closing.until);
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
                happened = self.link.next(may_read) => self.happened(happened),
                () = tokio::time::sleep(tick_in) => {}
                () = async { tokio::time::sleep_until(closing_at.unwrap_or_else(Instant::now)).await },
                    if closing_at.is_some() => break,
            }
            if self.session.next_tick_ms() <= self.clock.now_ms() {
                self.session.tick(self.clock.now_ms());
            }
        }
        self.end().await;
    }

    /// Does what the session says. Returns whether the task goes on.
    fn perform(&mut self) -> bool {
        while let Some(output) = self.session.next_output() {
            match output {
                Output::Connect => self.link = Link::Opening(Box::pin(self.open())),
                Output::Transmit(frame) => {
                    if let Link::Open(socket) = &mut self.link {
                        socket.queue.push_back(Message::text(frame));
                    }
                }
                Output::Hangup => self.link = Link::None,
                Output::Event(event) => self.event(event),
            }
        }
        self.bound_backlog();
        self.closing.is_none() || self.session.unsent() > 0
    }

    /// Tells those who wait for it, and the application.
    fn event(&mut self, event: Event) {
        match &event {
            Event::Online { .. } => self.greet(Ok(())),
            Event::SignedOut { code } => self.greet(Err(ConnectError::SignedOut { code: *code })),
            Event::Stored { nonce, place, seq, timestamp, duplicate } => {
                if let Some(waiter) = self.waiters.sends.remove(nonce) {
                    let receipt = Receipt {
                        nonce: nonce.clone(),
                        place: place.clone(),
                        seq: *seq,
                        timestamp: *timestamp,
                        duplicate: *duplicate,
                    };
                    tell(waiter, Ok(receipt));
                }
            }
            Event::NotSent { nonce, code, message, may_be_stored } => {
                if let Some(waiter) = self.waiters.sends.remove(nonce) {
                    let (code, message) = (code.clone(), message.clone());
                    tell(waiter, Err(SendError::NotSent { code, message, may_be_stored: *may_be_stored }));
                }
            }
            Event::Joined { room, .. } => self.waiters.joined(room, &Ok(())),
            Event::NotJoined { room, code, message } => {
                let (code, message) = (code.clone(), message.clone());
                self.waiters.joined(room, &Err(RequestError::NotDone { code, message }));
            }
            Event::Left { room } => {
                let (code, message) = ("not_joined".to_owned(), "the room was left".to_owned());
                self.waiters.joined(room, &Err(RequestError::NotDone { code, message }));
            }
            _ => {}
        }
        match event {
            Event::History { request, page } => {
                if let Some(waiter) = self.waiters.pages.remove(&request) {
                    tell(waiter, Ok(page));
                }
            }
            Event::NoHistory { request, code, message } => {
                if let Some(waiter) = self.waiters.pages.remove(&request) {
                    tell(waiter, Err(RequestError::NotDone { code, message }));
                }
            }
            event => self.backlog.push_back(event),
        }
    }

    /// Hands over what the channel takes.
    fn hand_over(&mut self, events: &mpsc::Sender<Event>) {
        while let Some(event) = self.backlog.pop_front() {
            if let Err(TrySendError::Full(event)) = events.try_send(event) {
                self.backlog.push_front(event);
                return;
            }
        }
    }

    fn greet(&mut self, result: Result<(), ConnectError>) {
        if let Some(greeted) = self.greeted.take() {
            tell(greeted, result);
        }
    }

    fn may_read(&self) -> bool {
        let most = if self.waiters.is_empty() && self.closing.is_none() {
            self.options.events_max
        } else {
            self.options.events_max_while_waiting
        };
        self.backlog.len() < most.max(1)
    }

    /// Whoever awaits an answer may be the one who should take the events.
    fn bound_backlog(&mut self) {
        if self.backlog.len() >= self.options.events_max_while_waiting {
            self.waiters.end();
            if self.closing.is_some() {
                // Nobody takes events any more; they come again next time.
                self.backlog.clear();
            }
        }
    }

    fn command(&mut self, command: Command) {
        let now_ms = self.clock.now_ms();
        match command {
            Command::Join { room, reply } => match self.session.join(now_ms, &room) {
                Ok(()) if self.session.is_in(&room) => tell(reply, Ok(())),
                Ok(()) => self.waiters.joins.push((room, reply)),
                Err(refused) => tell(reply, Err(refused.into())),
            },
            Command::Leave { room } => self.session.leave(now_ms, &room),
            Command::Send { to, text, nonce, reply } => match self.session.send(now_ms, to, text, nonce) {
                Ok(nonce) => {
                    self.waiters.sends.insert(nonce, reply);
                }
                Err(refused) => tell(reply, Err(refused.into())),
            },
            Command::History { place, from, limit, reply } => {
                match self.session.history(now_ms, place, from, limit) {
                    Ok(request) => {
                        self.waiters.pages.insert(request, reply);
                    }
                    Err(refused) => tell(reply, Err(refused.into())),
                }
            }
            Command::Unsent { reply } => tell(reply, self.session.snapshot().outbox),
            Command::SignIn { credentials } => {
                if let Credentials::Token(token) = &credentials {
                    self.token = Some(token.clone());
                } else {
                    self.token = None;
                }
                self.options.credentials = credentials;
                self.session.signed_in(now_ms);
            }
            Command::Close { reply } => {
                let until = Instant::now() + self.options.close_grace;
                self.closing = Some(Closing { until, reply });
            }
        }
    }

    fn happened(&mut self, happened: Happened) {
        let now_ms = self.clock.now_ms();
        match happened {
            Happened::Opened(Ok(Opened { socket, token })) => {
                let (sink, stream) = (*socket).split();
                if token.is_some() {
                    self.token = token;
                }
                let (queue, unflushed) = (VecDeque::new(), false);
                self.link = Link::Open(Box::new(Socket { sink, stream, queue, unflushed }));
                self.session.opened(now_ms);
            }
            Happened::Opened(Err(error)) => {
                self.link = Link::None;
                match error {
                    OpenError::Later => self.session.closed(now_ms, None),
                    OpenError::SignedOut => self.session.closed(now_ms, Some(NO_LONGER_GOOD)),
                    OpenError::BadToken => self.lost(Some(NO_LONGER_GOOD)),
                    OpenError::NotSpoken { status } => {
                        self.greet(Err(ConnectError::NotSpoken { status }));
                        self.session.closed(now_ms, None);
                    }
                }
            }
            Happened::Frame(Message::Text(text)) => self.session.frame(now_ms, &text),
            Happened::Frame(Message::Close(frame)) => self.lost(frame.map(|frame| frame.code.into())),
            Happened::Frame(_) => self.session.heard(now_ms),
            Happened::Lost => self.lost(None),
        }
    }

    fn lost(&mut self, code: Option<u16>) {
        self.link = Link::None;
        let signs_in_by_itself = matches!(self.options.credentials, Credentials::Password { .. });
        let code = match code {
            Some(NO_LONGER_GOOD) if signs_in_by_itself && self.token.take().is_some() => None,
            code => code,
        };
        self.session.closed(self.clock.now_ms(), code);
    }

    /// Opens a socket, and signs in for it if need be.
    fn open(&self) -> impl Future<Output = Result<Opened, OpenError>> + Send + use<> {
        let server = self.server.clone();
        let (known, credentials) = (self.token.clone(), self.options.credentials.clone());
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .max_message_size(Some(self.options.message_max_bytes));
        async move {
            let (token, is_new) = match (known, credentials) {
                (Some(token), _) | (None, Credentials::Token(token)) => (token, false),
                (None, Credentials::Password { username, password }) => {
                    (sign_in(&server, &username, &password).await?, true)
                }
            };
            let url = format!("ws://{}{}", server.authority, server.path("/ws"));
            let mut request = url.into_client_request().map_err(|_| OpenError::NotSpoken { status: 0 })?;
            let bearer = HeaderValue::try_from(format!("Bearer {token}"));
            let headers = request.headers_mut();
            headers.insert("Authorization", bearer.map_err(|_| OpenError::SignedOut)?);
            headers.insert("Sec-WebSocket-Protocol", HeaderValue::from_static("chat.v2"));
            let stream = server.open().await.map_err(|_| OpenError::Later)?;
            let (socket, _) = client_async_with_config(request, stream, Some(config)).await?;
            Ok(Opened { socket: Box::new(socket), token: is_new.then_some(token) })
        }
    }

    /// Says goodbye, and what has no answer.
    async fn end(self) {
        if let Link::Open(mut socket) = self.link {
            let goodbye = async {
                // The server closes when what it was sent is answered for.
                let _gone = socket.sink.send(Message::Close(None)).await;
                while let Some(Ok(_)) = socket.stream.next().await {}
            };
            let _late = tokio::time::timeout(GOODBYE, goodbye).await;
        }
        if let Some(closing) = self.closing {
            tell(closing.reply, self.session.snapshot().outbox);
        }
    }
}

impl From<SignInError> for OpenError {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::Refused { status: 401, .. } => Self::SignedOut,
            SignInError::Refused { status, .. } => Self::NotSpoken { status },
            SignInError::Unavailable { .. } | SignInError::Io(_) => Self::Later,
        }
    }
}

impl From<Error> for OpenError {
    fn from(error: Error) -> Self {
        match error {
            Error::Http(answer) => match answer.status().as_u16() {
                401 | 403 => Self::BadToken,
                408 | 429 | 500.. => Self::Later,
                status => Self::NotSpoken { status },
            },
            _ => Self::Later,
        }
    }
}

/// What came from the link.
enum Happened {
    Opened(Result<Opened, OpenError>),
    Frame(Message),
    Lost,
}

impl Link {
    /// Waits for what happens; writes meanwhile what is to be written. Nothing
    /// is lost if the wait is given up.
    async fn next(&mut self, may_read: bool) -> Happened {
        match self {
            Self::None => std::future::pending().await,
            Self::Opening(opening) => Happened::Opened(opening.await),
            Self::Open(socket) => socket.next(may_read).await,
        }
    }
}

impl Socket {
    async fn next(&mut self, may_read: bool) -> Happened {
        let Self { sink, stream, queue, unflushed } = self;
        let write = async {
            if !may_read {
                // Whoever does not hear of a failure must not send what comes
                // behind it.
                std::future::pending::<()>().await;
            }
            while !queue.is_empty() {
                poll_fn(|context| sink.poll_ready_unpin(context)).await?;
                if let Some(message) = queue.pop_front() {
                    *unflushed = true;
                    sink.start_send_unpin(message)?;
                }
            }
            if *unflushed {
                sink.flush().await?;
                *unflushed = false;
            }
            Ok::<(), Error>(())
        };
        let read = async {
            if !may_read {
                std::future::pending::<()>().await;
            }
            match stream.next().await {
                Some(Ok(message)) => Happened::Frame(message),
                Some(Err(_)) | None => Happened::Lost,
            }
        };
        tokio::pin!(read);
        tokio::select! {
            biased;
            happened = &mut read => happened,
            written = write => match written {
                // If it broke, what came before may still be there to be read.
                Ok(()) | Err(_) => read.await,
            },
        }
    }
}

impl Waiters {
    fn is_empty(&self) -> bool {
        self.sends.is_empty() && self.joins.is_empty() && self.pages.is_empty()
    }

    fn joined(&mut self, room: &str, result: &Result<(), RequestError>) {
        for (_, waiter) in self.joins.extract_if(.., |(waits_for, _)| waits_for == room) {
            tell(waiter, result.clone());
        }
    }

    /// Lets everybody go without an answer.
    fn end(&mut self) {
        let Self { sends, joins, pages } = std::mem::take(self);
        for waiter in sends.into_values() {
            tell(waiter, Err(SendError::Undecided));
        }
        for (_, waiter) in joins {
            tell(waiter, Err(RequestError::Undecided));
        }
        for waiter in pages.into_values() {
            tell(waiter, Err(RequestError::Undecided));
        }
    }
}

impl Clock {
    fn start() -> Self {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            started: Instant::now(),
            started_ms: u64::try_from(since_1970.as_millis()).unwrap_or_default(),
        }
    }

    fn now_ms(&self) -> u64 {
        self.started_ms + u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX / 2)
    }
}

/// Whoever asked may have lost interest.
fn tell<T>(waiter: oneshot::Sender<T>, answer: T) {
    let _gone = waiter.send(answer);
}

/// Frames are small; tungstenite's own 128 KiB would be filled with zeros.
const READ_BUFFER_BYTES: usize = 16 * 1024;
/// A timer for longer would tell nothing more.
const TICK_MAX_MS: u64 = 60_000;
/// How long the server may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);
/// The token is no longer good.
const NO_LONGER_GOOD: u16 = 1008;

//! A client that counts and times messages.

use std::collections::HashMap;
use std::error::Error;
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::address::{Address, Stream};

/// A socket in a room.
pub(crate) struct Client {
    socket: WebSocketStream<Stream>,
    /// The room; `None` with protocol v1.
    v2: Option<String>,
}

/// The protocol of a client.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Protocol {
    V1,
    V2,
}

/// When a client sends.
pub(crate) enum Pace {
    Silent,
    /// At these times from the start on.
    AtTimes(Vec<Duration>),
    /// Whenever fewer than this many of its own messages have not come back.
    InFlight(usize),
}

/// The measurements of a client, or of all clients.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) received: u64,
    /// Messages that came after a later one of the same author.
    pub(crate) disordered: u64,
    pub(crate) latencies_us: Vec<u32>,
    /// Processor time of the server during the load of all clients.
    pub(crate) cpu: Duration,
    pub(crate) elapsed: Duration,
}

impl Client {
    /// Opens a socket and joins the room.
    pub(crate) async fn connect(
        server: &Address,
        room: &str,
        cookie: &str,
        protocol: Protocol,
    ) -> Result<Self, Box<dyn Error>> {
        let v2 = (protocol == Protocol::V2).then(|| room.to_owned());
        let opened = open(server, room, cookie, v2.is_some()).await;
        let mut socket = opened.map_err(|error: OpenError| -> Box<dyn Error> { error })?;
        if v2.is_some() {
            socket.send(Message::text(format!("{{\"type\":\"join\",\"room\":\"{room}\"}}"))).await?;
        }
        let joined = if v2.is_some() { "\"joined\"" } else { "\"system\"" };
        while let Some(message) = socket.next().await {
            if let Message::Text(text) = message?
                && text.contains(joined)
            {
                return Ok(Self { socket, v2 });
            }
        }
        Err("the server closed a socket".into())
    }

    /// Receives until the server says that the user may not read the room any more, and for
    /// 50 ms after that. Returns when that was, and how many messages came behind it; `None`
    /// if the connection was closed.
    pub(crate) async fn until_left(mut self) -> Option<(Instant, u64)> {
        loop {
            if let Message::Text(text) = self.socket.next().await?.ok()?
                && text.contains("\"type\":\"left\"")
            {
                break;
            }
        }
        let (left, mut after) = (Instant::now(), 0);
        while let Ok(next) = tokio::time::timeout(Duration::from_millis(50), self.socket.next()).await {
            after += u64::from(matches!(next?.ok()?, Message::Text(text) if parse(&text).is_some()));
        }
        Some((left, after))
    }

    /// Sends and counts until all `expected` messages were received, or until the time
    /// is over.
    pub(crate) async fn run(
        mut self,
        started: Instant,
        pace: Pace,
        expected: Option<u64>,
        until: Duration,
    ) -> Counts {
        let mut counts = Counts::default();
        let mut newest: HashMap<u64, u64> = HashMap::new();
        let me = std::ptr::from_ref(&self.socket).addr() as u64 ^ started.elapsed().as_nanos() as u64;
        let mut sent = 0;
        let mut own = 0;
        let deadline = tokio::time::sleep_until((started + until).into());
        tokio::pin!(deadline);
        loop {
            if expected.is_some_and(|expected| counts.received >= expected) {
                break;
            }
            let next_send = match &pace {
                Pace::Silent => None,
                Pace::AtTimes(times) => times.get(sent as usize).map(|at| started + *at),
                Pace::InFlight(max) => (sent - own < *max as u64).then_some(started),
            };
            tokio::select! {
                biased;
                () = &mut deadline => break,
                () = async { tokio::time::sleep_until(next_send.unwrap_or(started).into()).await },
                    if next_send.is_some() =>
                {
                    let text = format!("{me} {sent} {}", started.elapsed().as_micros());
                    sent += 1;
                    let frame = match &self.v2 {
                        None => format!("{{\"type\":\"message\",\"text\":\"{text}\"}}"),
                        Some(room) => format!(
                            "{{\"type\":\"message\",\"room\":\"{room}\",\"text\":\"{text}\",\"nonce\":\"{me} {sent}\"}}"
                        ),
                    };
                    if self.socket.send(Message::text(frame)).await.is_err() {
                        break;
                    }
                }
                message = self.socket.next() => {
                    let Some(Ok(message)) = message else { break };
                    let Message::Text(frame) = message else { continue };
                    let Some((author, number, sent_us)) = parse(&frame) else { continue };
                    counts.received += 1;
                    own += u64::from(author == me);
                    let expected_number = newest.insert(author, number).map_or(number, |last| last + 1);
                    counts.disordered += u64::from(number != expected_number);
                    let took = started.elapsed().as_micros() as u64 - sent_us;
                    counts.latencies_us.push(u32::try_from(took).unwrap_or(u32::MAX));
                }
            }
        }
        counts
    }
}

/// Why a socket was not opened.
pub(crate) type OpenError = Box<dyn Error + Send + Sync>;

/// Opens a socket, of v2 or for a room of v1.
pub(crate) async fn open(
    server: &Address,
    room: &str,
    cookie: &str,
    is_v2: bool,
) -> Result<WebSocketStream<Stream>, OpenError> {
    let in_address = room.replace(' ', "%20");
    let mut request =
        format!("ws://{}{}/ws?room={in_address}", server.socket, server.path).into_client_request()?;
    request.headers_mut().insert("Cookie", cookie.parse()?);
    if is_v2 {
        request.headers_mut().insert("Sec-WebSocket-Protocol", "chat.v2".parse()?);
    }
    let stream = server.open().await?;
    let small = WebSocketConfig::default().read_buffer_size(4096);
    Ok(client_async_with_config(request, stream, Some(small)).await?.0)
}

/// The author, number and time (µs) in a message of this program.
fn parse(frame: &str) -> Option<(u64, u64, u64)> {
    let text = frame.split("\"text\":\"").nth(1)?.split('"').next()?;
    let mut numbers = text.split(' ').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??, numbers.next()??))
}

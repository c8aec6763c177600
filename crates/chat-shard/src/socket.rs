//! One socket of a shard: reading, writing, closing, and its deadlines.

use std::task::{Context, Poll, Waker};

use chat_core::{ClientId, CloseCode, Input, Now, Rate};
use tokio::io::ReadBuf;

use crate::held::{Held, HeldInput};
use crate::open_sessions::SessionUse;
use crate::open_users::UserUse;
use crate::options::ShardOptions;
use crate::outbox::{Outbox, Sent};
use crate::transport::Transport;
use crate::turn::Turn;
use crate::ws::{self, Event, Reader, ReaderLimits};

/// A socket after its upgrade.
pub(crate) struct Socket {
    transport: Transport,
    reader: Reader,
    outbox: Outbox,
    /// Messages that the hub would not take yet.
    held: Held,
    /// Bytes that were read behind them, as they came: less than one read.
    rest: Vec<u8>,
    /// The client has ended its side; the held messages came before that.
    goodbye: Option<Goodbye>,
    state: State,
    /// The waker of the socket's task.
    waker: Option<Waker>,
    /// How fast frames of any kind come: texts, fragments, empty ones, pings, pongs.
    frames: Rate,
    /// The limit on frames has begun to act since this was last [taken](Self::take_slowed).
    was_slowed: bool,
    /// When the first byte of a header arrived whose last byte has not.
    header_since_ms: Option<u64>,
    /// When bytes arrived last.
    received_ms: u64,
    pinged_ms: u64,
    /// The hub has it as a client.
    pub(crate) in_hub: bool,
    /// Held for their drop: the socket's use of its session, or of its token.
    _uses: (Option<SessionUse>, Option<UserUse>),
}

/// How the client has ended its side.
#[derive(Debug, Clone, Copy)]
enum Goodbye {
    /// With a close frame, which may have a code.
    Frame(Option<u16>),
    /// The stream ended without a close frame.
    Eof,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// A close frame waits in the outbox or is written. Cut off at `until_ms`.
    Closing {
        until_ms: u64,
        awaited: Awaited,
    },
    /// Its task has to end.
    Dead,
}

/// What the server waits for once the close frame is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaited {
    /// The client's close frame.
    Answer,
    /// The end of the stream: after a violation, the client's bytes can no longer be
    /// parted into frames.
    Eof,
    /// Nothing: the client has sent its close frame before.
    Nothing,
}

impl Socket {
    pub(crate) fn new(
        transport: Transport,
        uses: (Option<SessionUse>, Option<UserUse>),
        options: &ShardOptions,
        now_ms: u64,
    ) -> Self {
        let limits = ReaderLimits {
            message_max_bytes: options.message_max_bytes,
            fragments_max: options.fragments_max,
        };
        Self {
            transport,
            reader: Reader::new(limits),
            outbox: Outbox::default(),
            held: Held::default(),
            rest: Vec::new(),
            goodbye: None,
            state: State::Open,
            waker: None,
            frames: Rate::default(),
            was_slowed: false,
            header_since_ms: None,
            received_ms: now_ms,
            pinged_ms: now_ms,
            in_hub: true,
            _uses: uses,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.state == State::Dead
    }

    /// Whether the last write has closed it, because it reads too slowly.
    pub(crate) fn was_too_slow(&self) -> bool {
        self.in_hub && matches!(self.state, State::Closing { .. })
    }

    /// The number of bytes that the transport has not taken yet.
    pub(crate) fn unwritten(&self) -> usize {
        self.outbox.len()
    }

    /// Wakes the socket's task.
    pub(crate) fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Notes the waker of the socket's task.
    pub(crate) fn polled_by(&mut self, cx: &Context<'_>) {
        if self.waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
    }

    /// Writes whole frames, and keeps in the outbox what the system does not take; past
    /// the outbox's cap, the client is closed. Returns whether anything was kept.
    pub(crate) fn send(&mut self, frames: &[u8], options: &ShardOptions, now_ms: u64) -> bool {
        if self.state != State::Open {
            return false;
        }
        let was_empty = self.outbox.is_empty();
        let Self { outbox, transport, .. } = self;
        match outbox.send(frames, options.outbox_max_bytes, |frames| transport.try_write(frames)) {
            Ok(Sent::Written) => {
                if self.transport.has_unwritten() {
                    self.wake();
                }
                return false;
            }
            Ok(Sent::Kept) => {}
            Ok(Sent::TooSlow) => {
                let slow = CloseCode::TryAgainLater.code();
                self.close(Some(slow), "reading too slowly", Awaited::Answer, options, now_ms);
            }
            Err(_) => {
                self.cut_off();
                return false;
            }
        }
        if was_empty {
            // Its task has to wait until the system takes more.
            self.wake();
        }
        true
    }

    /// Closes the client behind what was written to it.
    pub(crate) fn dismiss(&mut self, code: CloseCode, options: &ShardOptions, now_ms: u64) {
        if self.state != State::Open {
            return;
        }
        if code == CloseCode::CutOff {
            // It takes nothing, and thus no close frame. The system drops what it has not
            // sent yet.
            self.transport.drop_unsent();
            return self.cut_off();
        }
        if code.drops_waiting_bytes() {
            self.outbox.cut();
        }
        match self.goodbye {
            Some(Goodbye::Frame(code)) => self.close(code, "", Awaited::Nothing, options, now_ms),
            Some(Goodbye::Eof) => self.cut_off(),
            None => self.close(Some(code.code()), code.reason(), Awaited::Answer, options, now_ms),
        }
        if let State::Closing { until_ms, .. } = &mut self.state
            && code == CloseCode::Removed
        {
            *until_ms = (*until_ms).min(now_ms + REMOVED_MS);
        }
    }

    fn close(
        &mut self,
        code: Option<u16>,
        reason: &str,
        awaited: Awaited,
        options: &ShardOptions,
        now_ms: u64,
    ) {
        let mut frame = Vec::new();
        ws::write_close(&mut frame, code.unwrap_or(CLOSE_NORMAL), reason);
        self.outbox.keep(&frame, 0);
        // The rest stays: without it, what comes next could not be parted into frames.
        self.held.clear();
        self.state = State::Closing { until_ms: now_ms + millis(options.close_timeout), awaited };
        self.wake();
    }

    /// Ends the connection without a close frame.
    pub(crate) fn cut_off(&mut self) {
        self.state = State::Dead;
        self.held.clear();
        self.rest = Vec::new();
        self.wake();
    }

    /// The socket is about to be dropped.
    pub(crate) fn end(&mut self) {
        self.transport.announce_end();
    }

    /// Writes what the outbox keeps, as far as the system takes it, and ends a closing
    /// connection behind it.
    pub(crate) fn poll_outbox(&mut self, cx: &mut Context<'_>) {
        while (!self.outbox.is_empty() || self.transport.has_unwritten()) && self.state != State::Dead {
            match self.transport.poll_write_ready(cx) {
                Poll::Ready(Ok(())) => match self.transport.try_write(self.outbox.unwritten()) {
                    Ok(taken) => self.outbox.advance(taken),
                    Err(_) => self.cut_off(),
                },
                Poll::Ready(Err(_)) => self.cut_off(),
                Poll::Pending => return,
            }
        }
        match self.state {
            State::Closing { awaited: Awaited::Nothing, .. } => self.state = State::Dead,
            State::Closing { awaited: Awaited::Eof, .. } => {
                // The client may wait for the end of the stream.
                if let Poll::Ready(Err(_)) = self.transport.poll_shutdown(cx) {
                    self.state = State::Dead;
                }
            }
            State::Closing { awaited: Awaited::Answer, .. } | State::Open | State::Dead => {}
        }
    }

    /// Whether the socket is to be read now.
    pub(crate) fn wants_input(&self, options: &ShardOptions) -> bool {
        match self.state {
            State::Open => self.goodbye.is_none() && !self.is_full(options),
            State::Closing { awaited, .. } => awaited != Awaited::Nothing && self.rest.is_empty(),
            State::Dead => false,
        }
    }

    /// Whether bytes wait that were read and not looked at yet.
    pub(crate) fn has_rest(&self) -> bool {
        !self.rest.is_empty()
    }

    /// Whether the limit on frames has begun to act since the last call.
    pub(crate) fn take_slowed(&mut self) -> bool {
        std::mem::take(&mut self.was_slowed)
    }

    /// Whether one more frame, of any kind, may be looked at now.
    fn may_look(&self, options: &ShardOptions, now_ms: u64) -> bool {
        options.hub.frame_rate.is_none_or(|limit| self.frames.allows(limit, now_ms))
    }

    /// Whether no more messages can be held.
    fn is_full(&self, options: &ShardOptions) -> bool {
        self.held.bytes() >= options.held_max_bytes || !self.rest.is_empty()
    }

    /// Reads what has arrived into `buffer`, which all sockets of the shard share.
    /// Returns the number of bytes; 0 at the end of the stream, or if it is broken.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8], now_ms: u64) -> Poll<usize> {
        let mut read = ReadBuf::new(buffer);
        match self.transport.poll_read(cx, &mut read) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) => {
                self.received_ms = now_ms;
                if read.filled().is_empty() {
                    self.ended();
                }
                Poll::Ready(read.filled().len())
            }
            Poll::Ready(Err(_)) => {
                self.cut_off();
                Poll::Ready(0)
            }
        }
    }

    /// Handles the end of the stream.
    fn ended(&mut self) {
        match self.state {
            State::Open => self.end_of_input(Goodbye::Eof),
            State::Closing { .. } | State::Dead => self.state = State::Dead,
        }
    }

    /// The client has ended its side.
    fn end_of_input(&mut self, goodbye: Goodbye) {
        self.goodbye = Some(goodbye);
        self.held.end();
    }

    /// Handles received bytes: steps the hub with messages, or holds them while the hub
    /// has paused the client, and answers control frames.
    pub(crate) fn receive<A>(
        &mut self,
        client: ClientId,
        input: &mut [u8],
        turn: &mut Turn<A>,
        options: &ShardOptions,
        now: Now,
    ) {
        if self.has_rest() {
            // Behind what waits already.
            return self.rest.extend_from_slice(input);
        }
        let mut at = 0;
        let mut pong: Option<Pong> = None;
        while self.state != State::Dead && self.goodbye.is_none() {
            let may_look = self.may_look(options, now.mono_ms);
            if self.held.bytes() >= options.held_max_bytes || !may_look {
                // The rest waits as it is, until more can be held, and looked at.
                self.rest = input[at..].to_vec();
                // A client that the hub has paused is slowed down by the hub's limits.
                self.was_slowed |= !may_look && self.has_rest() && !turn.hub().is_paused(client);
                break;
            }
            let event = self.reader.next(input, &mut at);
            if let Ok(Some(_)) = &event {
                self.header_since_ms = None;
                if let Some(limit) = options.hub.frame_rate {
                    self.frames.count(limit, now.mono_ms);
                }
            }
            let event = match event {
                // No version of the protocol has binary messages: to the hub, one is as
                // malformed as an empty text.
                Ok(Some(Event::Binary)) => Ok(Some(Event::Text(""))),
                event => event,
            };
            match event {
                Ok(None) => break,
                Ok(Some(Event::Text(text))) => {
                    if self.state != State::Open {
                    } else if self.held.goes_past(turn.hub().is_paused(client)) {
                        turn.step(now, Input::Frame { client, text });
                    } else {
                        self.held.hold(text);
                    }
                }
                Ok(Some(Event::Ping(payload))) => {
                    // A pong for the newest ping is enough (RFC 6455 §5.5.3).
                    pong = Some(Pong::new(payload));
                }
                Ok(Some(Event::Close(_))) if self.state != State::Open => self.state = State::Dead,
                Ok(Some(Event::Close(code))) => self.end_of_input(Goodbye::Frame(code)),
                Ok(Some(Event::Fragment | Event::Binary | Event::Pong)) => {}
                Err(violation) if self.state == State::Open => {
                    let (code, reason) = (violation.close_code(), violation.reason());
                    self.close(Some(code), reason, Awaited::Eof, options, now.mono_ms);
                    return;
                }
                Err(_) => self.state = State::Dead,
            }
        }
        self.header_since_ms =
            self.reader.is_in_header().then(|| self.header_since_ms.unwrap_or(now.mono_ms));
        if let Some(pong) = pong {
            let mut frame = Vec::with_capacity(2 + pong.len);
            ws::write_pong(&mut frame, &pong.payload[..pong.len]);
            self.send(&frame, options, now.mono_ms);
        }
    }

    /// Steps the hub with the held messages until it pauses the client, and behind them
    /// with the client's goodbye. Looks at the bytes that wait, as far as the limit on frames
    /// lets it.
    pub(crate) fn release<A>(
        &mut self,
        client: ClientId,
        turn: &mut Turn<A>,
        options: &ShardOptions,
        now: Now,
    ) {
        if self.state != State::Open {
            return self.look_for_close(client, turn, options, now);
        }
        let was_full = self.is_full(options);
        loop {
            while let Some(input) = self.held.next(turn.hub().is_paused(client)) {
                match input {
                    HeldInput::Message(text) => turn.step(now, Input::Frame { client, text: &text }),
                    HeldInput::Goodbye => turn.step(now, Input::Goodbye { client }),
                }
            }
            let has_work = self.has_rest() && self.may_look(options, now.mono_ms);
            if !self.held.is_empty() || !has_work || self.state != State::Open {
                break;
            }
            let mut rest = std::mem::take(&mut self.rest);
            self.receive(client, &mut rest, turn, options, now);
        }
        if was_full && !self.is_full(options) {
            // It was not read meanwhile, so it was not silent.
            self.received_ms = now.mono_ms;
            self.wake();
        }
    }

    /// Looks for the client's close frame in the bytes that wait.
    fn look_for_close<A>(&mut self, client: ClientId, turn: &mut Turn<A>, options: &ShardOptions, now: Now) {
        if self.has_rest() {
            let mut rest = std::mem::take(&mut self.rest);
            self.receive(client, &mut rest, turn, options, now);
            if !self.has_rest() {
                self.wake();
            }
        }
    }

    /// Sends a ping if it is time, and cuts a client off that is silent, does not end a header
    /// that it has begun, or does not end a closed connection.
    pub(crate) fn check_deadlines(&mut self, options: &ShardOptions, now_ms: u64) {
        match self.state {
            State::Closing { until_ms, .. } if until_ms <= now_ms => {
                // The system drops what it has not sent yet.
                self.transport.drop_unsent();
                self.cut_off();
            }
            // The hub has not taken all that the client sent before its goodbye.
            State::Open
                if self.goodbye.is_some() && self.received_ms + millis(options.idle_timeout) <= now_ms =>
            {
                tracing::info!(
                    messages = self.held.len(),
                    "dropped messages of a client that had sent faster than its limit and has gone"
                );
                self.cut_off();
            }
            State::Open if self.goodbye.is_none() && !self.wants_input(options) => {
                // It is not read, so only this shows a broken connection.
                if self.transport.is_broken() {
                    self.cut_off();
                }
                self.received_ms = now_ms;
                self.header_since_ms = self.header_since_ms.and(Some(now_ms));
            }
            // A header has at most 14 bytes: only a client that means to sends it slowly.
            State::Open
                if self
                    .header_since_ms
                    .is_some_and(|since_ms| since_ms + millis(options.frame_header_timeout) <= now_ms) =>
            {
                self.cut_off();
            }
            State::Open if self.received_ms + millis(options.idle_timeout) <= now_ms => self.cut_off(),
            State::Open if self.pinged_ms + millis(options.ping_interval) <= now_ms => {
                self.pinged_ms = now_ms;
                let mut frame = Vec::new();
                ws::write_ping(&mut frame, b"");
                self.send(&frame, options, now_ms);
            }
            State::Open | State::Closing { .. } | State::Dead => {}
        }
    }
}

/// The payload of a ping, which its pong repeats.
struct Pong {
    payload: [u8; 125],
    len: usize,
}

impl Pong {
    fn new(ping: &[u8]) -> Self {
        let mut payload = [0; 125];
        payload[..ping.len()].copy_from_slice(ping);
        Self { payload, len: ping.len() }
    }
}

/// RFC 6455 §7.4.1.
const CLOSE_NORMAL: u16 = 1000;
/// A client that may not read its room any more has this long to take its close frame, in
/// milliseconds. Deadlines are checked every 500 ms: it is cut off within a second.
const REMOVED_MS: u64 = 500;

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

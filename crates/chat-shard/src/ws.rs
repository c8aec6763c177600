//! The server's side of WebSocket framing (RFC 6455): reads what clients send
//! and writes control frames. The chat's own text frames come ready from the hub.
//!
//! tungstenite parses headers and has the close codes. Its `WebSocketContext` is not
//! used: it keeps 120 KB for good after one message of 60 KB, allocates what a header
//! announces, and takes any number of empty fragments in one read.

use std::io::Cursor;
use std::ops::Range;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

/// The reader of one socket's frames. Between messages it holds no heap.
///
/// ```text
/// let mut at = 0;
/// while let Some(event) = reader.next(&mut buffer[..received], &mut at)? {
///     // One event is one frame.
/// }
/// ```
pub(crate) struct Reader {
    limits: ReaderLimits,
    /// The unmasked payload of a text message that has partly arrived, and behind it that
    /// of a ping or close frame that has partly arrived.
    kept: Vec<u8>,
    /// The first `header_len` bytes of a header that has partly arrived.
    header: [u8; HEADER_MAX_BYTES],
    header_len: usize,
    /// The frame whose payload has partly arrived.
    frame: Option<Frame>,
    /// The message whose last frame has not arrived.
    message: Option<Message>,
    /// A close frame or a violation has arrived: bytes behind it are ignored.
    ended: bool,
}

/// The limits of what a [`Reader`] holds for a client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReaderLimits {
    /// Bytes of the payload of one message, in all its frames.
    pub(crate) message_max_bytes: usize,
    /// Frames of one message, which bounds empty ones, too.
    pub(crate) fragments_max: u32,
}

/// What a whole frame means. Each event stands for exactly one frame, so the number of
/// events is the number of frames.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// A text message.
    Text(&'a str),
    /// A frame of a message that is not its last.
    Fragment,
    /// A binary message, without its payload: the protocol has none.
    Binary,
    /// A ping, which wants a pong with the same payload.
    Ping(&'a [u8]),
    /// A pong, without its payload.
    Pong,
    /// The client's last frame, with its code if it gave one.
    Close(Option<u16>),
}

/// An error of a client that ends its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Violation {
    /// A frame that RFC 6455 forbids, with a sentence on the rule.
    Protocol(&'static str),
    /// A text, or the reason in a close frame, that is not UTF-8.
    Utf8,
    /// A message past one of the [`ReaderLimits`].
    TooBig,
}

impl Reader {
    pub(crate) fn new(limits: ReaderLimits) -> Self {
        Self {
            limits,
            kept: Vec::new(),
            header: [0; HEADER_MAX_BYTES],
            header_len: 0,
            frame: None,
            message: None,
            ended: false,
        }
    }

    /// Whether a part of a header has arrived.
    pub(crate) fn is_in_header(&self) -> bool {
        self.header_len > 0
    }

    /// Returns the next event in `input`, which arrived behind all earlier inputs.
    ///
    /// `at` is the number of bytes of `input` that are read. Call it until `Ok(None)`:
    /// then all bytes are read, and the reader keeps what has partly arrived. Payloads
    /// are unmasked in place, and borrowed from `input` if it has the whole message.
    ///
    /// # Errors
    ///
    /// If the client breaks the protocol; everything behind is ignored.
    pub(crate) fn next<'a>(
        &'a mut self,
        input: &'a mut [u8],
        at: &mut usize,
    ) -> Result<Option<Event<'a>>, Violation> {
        if self.ended {
            *at = input.len();
            return Ok(None);
        }
        let whole = match self.advance(input, at) {
            Ok(Some(whole)) => whole,
            Ok(None) => return Ok(None),
            Err(violation) => {
                self.ended = true;
                return Err(violation);
            }
        };
        let payload = match whole.payload {
            Payload::InInput(range) => &input[range],
            Payload::Kept { from } => &self.kept[from..],
        };
        let event = match whole.kind {
            _ if !whole.is_final => Ok(Event::Fragment),
            Kind::Text => str::from_utf8(payload).map(Event::Text).map_err(|_| Violation::Utf8),
            Kind::Binary => Ok(Event::Binary),
            Kind::Ping => Ok(Event::Ping(payload)),
            Kind::Pong => Ok(Event::Pong),
            Kind::Close => close_code(payload).map(Event::Close),
        };
        self.ended = matches!(event, Ok(Event::Close(_)) | Err(_));
        event.map(Some)
    }

    /// Reads up to the end of the current frame, or of the input.
    fn advance(&mut self, input: &mut [u8], at: &mut usize) -> Result<Option<Whole>, Violation> {
        let mut frame = match self.frame.take() {
            Some(frame) => frame,
            None => {
                self.release();
                match self.read_header(input, at)? {
                    Some(header) => self.admit(header)?,
                    None => return Ok(None),
                }
            }
        };

        let arrived = *at..*at + frame.missing.min(input.len() - *at);
        *at = arrived.end;
        let bytes = &mut input[arrived.clone()];
        unmask(bytes, frame.mask);

        let is_borrowable = bytes.len() == frame.length && frame.is_alone;
        if !is_borrowable && matches!(frame.kind, Kind::Text | Kind::Ping | Kind::Close) {
            self.keep(bytes);
        }
        frame.missing -= arrived.len();
        frame.mask.rotate_left(arrived.len() % 4);
        if frame.missing > 0 {
            self.frame = Some(frame);
            return Ok(None);
        }

        if !frame.kind.is_control() && frame.is_final {
            self.message = None;
        }
        let payload = if is_borrowable {
            Payload::InInput(arrived)
        } else {
            Payload::Kept { from: self.kept_of_message() }
        };
        Ok(Some(Whole { kind: frame.kind, is_final: frame.is_final, payload }))
    }

    /// Frees the payload that the event before had borrowed.
    fn release(&mut self) {
        self.kept.truncate(self.kept_of_message());
        if self.kept.is_empty() {
            self.kept = Vec::new();
        }
    }

    /// The next header, once it is complete.
    fn read_header(&mut self, input: &[u8], at: &mut usize) -> Result<Option<Header>, Violation> {
        if self.header_len == 0
            && let Some(header) = Header::parse(&input[*at..])?
        {
            *at += header.size;
            return Ok(Some(header));
        }
        while let Some(&byte) = input.get(*at) {
            *at += 1;
            self.header[self.header_len] = byte;
            self.header_len += 1;
            if let Some(header) = Header::parse(&self.header[..self.header_len])? {
                self.header_len = 0;
                return Ok(Some(header));
            }
        }
        Ok(None)
    }

    /// Checks a frame by its header, before any of its payload is read.
    fn admit(&mut self, header: Header) -> Result<Frame, Violation> {
        let Header { mask, opcode, is_final, length, .. } = header;
        let (kind, is_alone) = match opcode {
            OpCode::Control(control) => {
                if !is_final {
                    return Err(Violation::Protocol("a control frame was fragmented"));
                }
                if length > CONTROL_MAX_BYTES as u64 {
                    return Err(Violation::Protocol("a control frame was over 125 bytes"));
                }
                let kind = match control {
                    Control::Ping => Kind::Ping,
                    Control::Pong => Kind::Pong,
                    Control::Close => Kind::Close,
                    Control::Reserved(_) => return Err(RESERVED_OPCODE),
                };
                (kind, true)
            }
            OpCode::Data(data) => {
                let begun = match (data, self.message.take()) {
                    (Data::Text, None) => Message { kind: Kind::Text, bytes: 0, frames: 0 },
                    (Data::Binary, None) => Message { kind: Kind::Binary, bytes: 0, frames: 0 },
                    (Data::Continue, Some(message)) => message,
                    (Data::Continue, None) => {
                        return Err(Violation::Protocol("there was no message to continue"));
                    }
                    (Data::Text | Data::Binary, Some(_)) => {
                        return Err(Violation::Protocol("a message began inside another"));
                    }
                    (Data::Reserved(_), _) => return Err(RESERVED_OPCODE),
                };
                let fits = length <= (self.limits.message_max_bytes - begun.bytes) as u64;
                if !fits || begun.frames >= self.limits.fragments_max {
                    return Err(Violation::TooBig);
                }
                let message =
                    Message { bytes: begun.bytes + length as usize, frames: begun.frames + 1, ..begun };
                let is_alone = is_final && message.frames == 1;
                let kind = message.kind;
                self.message = Some(message);
                (kind, is_alone)
            }
        };
        // Both branches have bounded the length by a usize.
        let length = length as usize;
        Ok(Frame { kind, is_final, is_alone, mask, length, missing: length })
    }

    /// Keeps bytes. The capacity grows twofold with what has arrived, up to the limits;
    /// never to what a header announces.
    fn keep(&mut self, bytes: &[u8]) {
        let needed = self.kept.len() + bytes.len();
        if needed > self.kept.capacity() {
            let most = self.limits.message_max_bytes + CONTROL_MAX_BYTES;
            let capacity = (2 * needed).min(most);
            self.kept.reserve_exact(capacity - self.kept.len());
        }
        self.kept.extend_from_slice(bytes);
    }

    /// The number of bytes of `kept` that belong to the unfinished message, while none of
    /// its frames has partly arrived.
    fn kept_of_message(&self) -> usize {
        match self.message {
            Some(Message { kind: Kind::Text, bytes, .. }) => bytes,
            _ => 0,
        }
    }
}

impl Violation {
    /// The code to close with (RFC 6455 §7.4.1).
    pub(crate) fn close_code(self) -> u16 {
        match self {
            Self::Protocol(_) => CloseCode::Protocol.into(),
            Self::Utf8 => CloseCode::Invalid.into(),
            Self::TooBig => CloseCode::Size.into(),
        }
    }

    /// A sentence for the author of the client.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Protocol(rule) => rule,
            Self::Utf8 => "a text was not UTF-8",
            Self::TooBig => "a message was too big",
        }
    }
}

/// Appends a ping frame. A payload past 125 bytes is cut.
pub(crate) fn write_ping(out: &mut Vec<u8>, payload: &[u8]) {
    write_control(out, Control::Ping, payload);
}

/// Appends a pong frame. A payload past 125 bytes is cut.
pub(crate) fn write_pong(out: &mut Vec<u8>, payload: &[u8]) {
    write_control(out, Control::Pong, payload);
}

/// Appends a close frame. A reason past 123 bytes is cut between characters.
pub(crate) fn write_close(out: &mut Vec<u8>, code: u16, reason: &str) {
    let code = code.to_be_bytes();
    let reason = &reason[..reason.floor_char_boundary(CONTROL_MAX_BYTES - code.len())];
    let mut payload = [0; CONTROL_MAX_BYTES];
    payload[..code.len()].copy_from_slice(&code);
    payload[code.len()..][..reason.len()].copy_from_slice(reason.as_bytes());
    write_control(out, Control::Close, &payload[..code.len() + reason.len()]);
}

fn write_control(out: &mut Vec<u8>, control: Control, payload: &[u8]) {
    let payload = &payload[..payload.len().min(CONTROL_MAX_BYTES)];
    // A server masks nothing (RFC 6455 §5.1), so the second byte is the length.
    out.extend([FINAL | u8::from(OpCode::Control(control)), payload.len() as u8]);
    out.extend_from_slice(payload);
}

/// A frame, of which `missing` bytes have not arrived.
struct Frame {
    kind: Kind,
    is_final: bool,
    /// It is the only frame of its message.
    is_alone: bool,
    /// Rotated, so that it begins with the next byte's part.
    mask: [u8; 4],
    length: usize,
    missing: usize,
}

/// A message between its first frame and its last.
struct Message {
    kind: Kind,
    /// Bytes of payload that the frames so far have announced.
    bytes: usize,
    frames: u32,
}

#[derive(Clone, Copy)]
enum Kind {
    Text,
    Binary,
    Ping,
    Pong,
    Close,
}

impl Kind {
    fn is_control(self) -> bool {
        matches!(self, Self::Ping | Self::Pong | Self::Close)
    }
}

/// A frame that has arrived.
struct Whole {
    kind: Kind,
    is_final: bool,
    payload: Payload,
}

enum Payload {
    InInput(Range<usize>),
    /// Up to the end of [`Reader::kept`].
    Kept {
        from: usize,
    },
}

/// The header of a frame that a client may send.
struct Header {
    /// Bytes of the header.
    size: usize,
    opcode: OpCode,
    is_final: bool,
    mask: [u8; 4],
    length: u64,
}

impl Header {
    /// Parses the header at the start of `bytes`; `None` if its end is missing.
    fn parse(bytes: &[u8]) -> Result<Option<Self>, Violation> {
        let mut cursor = Cursor::new(bytes);
        // A slice cannot fail to be read, so a reserved opcode is the only error left.
        let Some((header, length)) = FrameHeader::parse(&mut cursor).map_err(|_| RESERVED_OPCODE)? else {
            return Ok(None);
        };
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(Violation::Protocol("a reserved bit was set, and no extension was agreed on"));
        }
        let Some(mask) = header.mask else {
            return Err(Violation::Protocol("a frame of a client was not masked"));
        };
        // RFC 6455 §5.2: the fewest bytes that hold the length, the highest bit 0.
        let size = header.len(length);
        if cursor.position() != size as u64 || length > i64::MAX as u64 {
            return Err(Violation::Protocol("a length was not written in its shortest form"));
        }
        Ok(Some(Self { size, opcode: header.opcode, is_final: header.is_final, mask, length }))
    }
}

/// The code in the payload of a close frame, whose reason is checked (RFC 6455 §5.5.1).
fn close_code(payload: &[u8]) -> Result<Option<u16>, Violation> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return match payload {
            [] => Ok(None),
            _ => Err(Violation::Protocol("a close frame had half a code")),
        };
    };
    let code = u16::from_be_bytes(*code);
    if !CloseCode::from(code).is_allowed() {
        return Err(Violation::Protocol("a close frame had a code that may not be sent"));
    }
    str::from_utf8(reason).map_err(|_| Violation::Utf8)?;
    Ok(Some(code))
}

/// Unmasks in words, which the compiler turns into the machine's widest instructions.
fn unmask(bytes: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let word_mask = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ word_mask).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

/// RFC 6455 §5.2: two bytes, eight of length, four of mask.
const HEADER_MAX_BYTES: usize = 14;
/// RFC 6455 §5.5.
const CONTROL_MAX_BYTES: usize = 125;
const FINAL: u8 = 0x80;
const RESERVED_OPCODE: Violation = Violation::Protocol("an opcode was reserved");

#[cfg(test)]
mod autobahn;
#[cfg(test)]
mod tests;

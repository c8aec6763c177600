//! Heads of requests that two servers could understand differently.

/// Follows the bytes of a connection, and damages the head of a request that another server
/// could understand differently (request smuggling), so that hyper refuses it with 400 and
/// closes the connection.
///
/// hyper is lenient where RFC 9112 allows it, and shows only what it has understood: it takes a
/// bare LF as the end of a line, and drops a `Content-Length` beside `Transfer-Encoding`. A
/// proxy in front that understands them differently would take a part of one request as
/// another one, of another user. Refused are:
///
/// - a line that ends with a bare LF, also in the framing of a chunked body,
/// - a folded field (obs-fold), and white space before a colon,
/// - a second `Content-Length` or `Transfer-Encoding`, and both at once,
/// - a `Content-Length` that is not digits only, and any other coding than `chunked`.
///
/// After a request with `Upgrade` nothing is looked at: its connection becomes a WebSocket or
/// is closed.
pub(crate) struct HeadFilter {
    part: Part,
    /// The line so far, up to [`LINE_MAX_BYTES`].
    line: Vec<u8>,
    head: Head,
}

/// Which part of a request the next byte belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Part {
    Head,
    Body {
        left: u64,
    },
    ChunkSize,
    Chunk {
        left: u64,
    },
    EndOfChunk,
    Trailers,
    /// Nothing is looked at any more.
    Upgraded,
    /// A head or a chunk was refused.
    Refused,
}

/// What the lines of a head have said so far.
#[derive(Default)]
struct Head {
    has_request_line: bool,
    content_length: Option<u64>,
    is_chunked: bool,
    is_upgrade: bool,
}

/// The request could be understood differently.
struct Ambiguous;

impl HeadFilter {
    /// A filter at the beginning of a connection.
    pub(crate) fn new() -> Self {
        Self { part: Part::Head, line: Vec::new(), head: Head::default() }
    }

    /// Looks at the next bytes, and damages them where they must be refused: a NUL in place of
    /// the end of a line is valid nowhere.
    pub(crate) fn pass(&mut self, bytes: &mut [u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = match self.part {
                Part::Upgraded => return,
                Part::Refused => {
                    rest.fill(0);
                    return;
                }
                Part::Body { left } => {
                    let (taken, left) = take(left, rest.len());
                    self.part = if left == 0 { Part::Head } else { Part::Body { left } };
                    &mut rest[taken..]
                }
                Part::Chunk { left } => {
                    let (taken, left) = take(left, rest.len());
                    self.part = if left == 0 { Part::EndOfChunk } else { Part::Chunk { left } };
                    &mut rest[taken..]
                }
                Part::Head | Part::ChunkSize | Part::EndOfChunk | Part::Trailers => self.pass_line(rest),
            };
        }
    }

    /// Takes the bytes up to the end of a line, and returns those behind it.
    fn pass_line<'a>(&mut self, bytes: &'a mut [u8]) -> &'a mut [u8] {
        let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
            self.keep(bytes);
            return &mut [];
        };
        self.keep(&bytes[..end]);
        let line = std::mem::take(&mut self.line);
        let next = line.strip_suffix(b"\r").ok_or(Ambiguous).and_then(|line| self.end_line(line));
        match next {
            Ok(part) => self.part = part,
            Err(Ambiguous) => {
                bytes[end] = 0;
                self.part = Part::Refused;
            }
        }
        self.line = line;
        self.line.clear();
        if !self.head.has_request_line {
            // A connection may be idle for long.
            self.line = Vec::new();
        }
        &mut bytes[end + 1..]
    }

    fn keep(&mut self, bytes: &[u8]) {
        let space = LINE_MAX_BYTES - self.line.len();
        self.line.extend_from_slice(&bytes[..bytes.len().min(space)]);
        // How it ends still counts.
        if bytes.len() > space
            && let (Some(last), Some(byte)) = (self.line.last_mut(), bytes.last())
        {
            *last = *byte;
        }
    }

    /// Looks at a whole line, without its end, and returns what comes behind it.
    fn end_line(&mut self, line: &[u8]) -> Result<Part, Ambiguous> {
        match self.part {
            Part::Head => self.head_line(line),
            Part::ChunkSize => match chunk_size(line)? {
                0 => Ok(Part::Trailers),
                left => Ok(Part::Chunk { left }),
            },
            Part::EndOfChunk if line.is_empty() => Ok(Part::ChunkSize),
            Part::Trailers if line.is_empty() => Ok(Part::Head),
            Part::Trailers => Ok(Part::Trailers),
            _ => Err(Ambiguous),
        }
    }

    fn head_line(&mut self, line: &[u8]) -> Result<Part, Ambiguous> {
        if !self.head.has_request_line {
            // Empty lines before a request are allowed (RFC 9112 §2.2).
            self.head.has_request_line = !line.is_empty();
            return Ok(Part::Head);
        }
        if !line.is_empty() {
            self.head.field(line)?;
            return Ok(Part::Head);
        }
        let head = std::mem::take(&mut self.head);
        match head {
            Head { is_chunked: true, content_length: Some(_), .. } => Err(Ambiguous),
            Head { is_upgrade: true, .. } => Ok(Part::Upgraded),
            Head { is_chunked: true, .. } => Ok(Part::ChunkSize),
            Head { content_length: None | Some(0), .. } => Ok(Part::Head),
            Head { content_length: Some(left), .. } => Ok(Part::Body { left }),
        }
    }
}

impl Head {
    fn field(&mut self, line: &[u8]) -> Result<(), Ambiguous> {
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            return Err(Ambiguous);
        }
        let colon = line.iter().position(|byte| *byte == b':').ok_or(Ambiguous)?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.ends_with(b" ") || name.ends_with(b"\t") {
            return Err(Ambiguous);
        }
        if name.eq_ignore_ascii_case(b"content-length") {
            let digits = str::from_utf8(value).ok().filter(|_| value.iter().all(u8::is_ascii_digit));
            let length = digits.and_then(|digits| digits.parse().ok()).ok_or(Ambiguous)?;
            if self.content_length.replace(length).is_some() {
                return Err(Ambiguous);
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Ambiguous);
            }
            self.is_chunked = true;
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            self.is_upgrade = true;
        }
        Ok(())
    }
}

/// How many of `available` bytes belong to a part with `left` bytes, and what is left of it.
fn take(left: u64, available: usize) -> (usize, u64) {
    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(available);
    (taken, left - taken as u64)
}

/// The size in the first line of a chunk, before any extension.
fn chunk_size(line: &[u8]) -> Result<u64, Ambiguous> {
    let size = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let digits = str::from_utf8(size).ok().filter(|_| size.iter().all(u8::is_ascii_hexdigit));
    digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()).ok_or(Ambiguous)
}

/// More than hyper reads of a head with the default limits. Of a longer line, the rest is not
/// looked at: hyper refuses it.
const LINE_MAX_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the bytes pass unchanged, however they are cut.
    fn passes(bytes: &[u8]) -> bool {
        let mut results = Vec::new();
        for size in [1, 2, 7, bytes.len()] {
            let mut filter = HeadFilter::new();
            let mut passed = bytes.to_vec();
            for part in passed.chunks_mut(size) {
                filter.pass(part);
            }
            results.push(passed == bytes);
        }
        assert!(results.iter().all(|result| *result == results[0]), "{results:?}");
        results[0]
    }

    const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    #[test]
    fn ordinary_requests_pass() {
        for request in [
            GET.to_owned(),
            format!("\r\n{GET}{GET}"),
            format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\na\nb\nc{GET}"),
            format!(
                "POST / HTTP/1.1\r\ntransfer-encoding: Chunked\r\n\r\n3;x=y\r\n\n\n\n\r\n0A \r\n0123456789\r\n0\r\nT: x\r\n\r\n{GET}"
            ),
            "GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n\x01\x0a\n\n\n".to_owned(),
            "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\nGET / HTTP/1.1\r\n\r\n".to_owned(),
        ] {
            assert!(passes(request.as_bytes()), "{request:?}");
        }
    }

    #[test]
    fn ambiguous_requests_are_damaged() {
        for request in [
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\n",
            "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
            "POST / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\na",
            "POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\na",
            "POST / HTTP/1.1\r\nContent-Length:\r\n\r\na",
            "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: identity\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\nHost: a\r\n\r\n",
        ] {
            assert!(!passes(request.as_bytes()), "{request:?}");
        }
    }

    #[test]
    fn long_lines_take_little_memory() {
        let mut filter = HeadFilter::new();
        filter.pass(b"GET / HTTP/1.1\r\nX: ".to_vec().as_mut_slice());
        for _ in 0..1_000 {
            filter.pass(&mut [b'x'; 1_000]);
        }
        assert_eq!(filter.line.len(), LINE_MAX_BYTES);
        let mut end = b"\r\nContent-Length: 1\r\n\r\na".to_vec();
        filter.pass(&mut end);
        assert_eq!((filter.part, end.ends_with(b"\na")), (Part::Head, true));
    }
}

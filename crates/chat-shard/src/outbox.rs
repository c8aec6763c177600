//! Bytes that a socket has not taken yet, as a plain value.

use chat_core::Framing;

use crate::planted::{Planted, planted};

/// The outbox of a socket: the rest of a frame that is partly written, and whole frames
/// behind it. An empty outbox holds no heap.
#[derive(Default)]
pub struct Outbox {
    framing: Framing,
    bytes: Vec<u8>,
    /// The number of bytes at the front that were written.
    written: usize,
    /// The number of bytes behind those that belong to the frame that is partly written.
    partial: usize,
    planted: Planted,
}

/// What became of frames that were sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// The system has taken all of them.
    Written,
    /// Some of the bytes wait in the outbox.
    Kept,
    /// The outbox was past its cap: the client reads too slowly and has to be closed.
    /// Only the rest of a frame that is partly written is left.
    TooSlow,
}

impl Outbox {
    /// An empty outbox for frames with this framing.
    pub fn new(framing: Framing) -> Self {
        Self { framing, ..Self::default() }
    }

    /// The same with a bug on purpose.
    #[cfg(feature = "planted-bugs")]
    #[must_use]
    pub fn with_bug(self, bug: Option<crate::PlantedBug>) -> Self {
        Self { planted: bug, ..self }
    }

    /// Sends whole frames, and keeps what the system does not take. Unless bytes wait
    /// already, `write` writes what the system takes, and returns how many bytes it took.
    ///
    /// # Errors
    ///
    /// That of `write`.
    pub fn send<E>(
        &mut self,
        frames: &[u8],
        max_bytes: usize,
        write: impl FnOnce(&[u8]) -> Result<usize, E>,
    ) -> Result<Sent, E> {
        let written = if self.is_empty() { write(frames)? } else { 0 };
        if written == frames.len() {
            return Ok(Sent::Written);
        }
        if planted!(self.planted, DropWhenSlow) {
            return Ok(Sent::Kept);
        }
        self.keep(frames, written);
        if self.len() <= max_bytes {
            return Ok(Sent::Kept);
        }
        self.cut();
        Ok(Sent::TooSlow)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.written == self.bytes.len()
    }

    /// The number of bytes that wait.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// The bytes to write next.
    pub fn unwritten(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// Adds whole frames, of which the first `written` bytes are written already (0
    /// unless the outbox is empty).
    pub fn keep(&mut self, frames: &[u8], written: usize) {
        debug_assert!(written == 0 || self.is_empty(), "frames would be out of order");
        if self.is_empty() {
            self.partial = rest_of_frame(self.framing, frames, written);
        }
        self.bytes.extend_from_slice(&frames[written..]);
    }

    /// Removes this many bytes, which the socket has taken.
    pub fn advance(&mut self, taken: usize) {
        if taken < self.partial {
            self.partial -= taken;
        } else {
            self.partial =
                rest_of_frame(self.framing, &self.unwritten()[self.partial..], taken - self.partial);
        }
        self.written += taken;
        if self.is_empty() {
            (self.bytes, self.written, self.partial) = (Vec::new(), 0, 0);
        } else if self.written > self.bytes.len() / 2 {
            self.bytes.drain(..self.written);
            self.written = 0;
        }
    }

    /// Drops everything but the rest of the frame that is partly written.
    pub fn cut(&mut self) {
        self.bytes.truncate(self.written + self.partial);
        self.bytes.shrink_to_fit();
    }
}

/// The number of bytes behind the first `written` ones that belong to the frame that is
/// partly written then.
fn rest_of_frame(framing: Framing, frames: &[u8], written: usize) -> usize {
    let mut end = 0;
    while end < written {
        end += match framing {
            Framing::WebSocket => frame_len(&frames[end..]),
            Framing::Lines => line_len(&frames[end..]),
        };
    }
    end - written
}

/// The length in bytes of the unmasked frame at the start (RFC 6455 §5.2).
fn frame_len(frame: &[u8]) -> usize {
    let short = |at: usize| usize::from(frame[at]);
    match frame[1] {
        126 => 4 + (short(2) << 8 | short(3)),
        127 => 10 + (2..10).fold(0, |len, at| len << 8 | short(at)),
        len => 2 + usize::from(len),
    }
}

/// The length in bytes of the line at the start, with its end.
fn line_len(lines: &[u8]) -> usize {
    lines.iter().position(|byte| *byte == b'\n').map_or(lines.len(), |end| end + 1)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn an_outbox_past_its_cap_keeps_only_the_rest_of_a_partly_written_frame() {
        let mut outbox = Outbox::new(Framing::Lines);
        let sent = |outbox: &mut Outbox, taken: usize| {
            outbox.send(b"one\ntwo\n", 12, |_| Ok::<_, Infallible>(taken)).unwrap()
        };
        assert_eq!((sent(&mut outbox, 8), outbox.len()), (Sent::Written, 0));
        assert_eq!((sent(&mut outbox, 1), outbox.len()), (Sent::Kept, 7));
        assert_eq!((sent(&mut outbox, 8), outbox.unwritten()), (Sent::TooSlow, b"ne\n".as_slice()));
    }

    fn frames() -> Vec<u8> {
        let mut frames = vec![0x81, 3, b'a', b'b', b'c'];
        frames.extend([0x81, 126, 0, 200]);
        frames.extend([b'x'; 200]);
        frames.extend([0x81, 0]);
        frames
    }

    #[test]
    fn an_outbox_that_is_cut_ends_with_a_whole_frame() {
        let frames = frames();
        for written in 0..frames.len() {
            for taken in 0..frames.len() - written {
                let mut outbox = Outbox::default();
                outbox.keep(&frames, written);
                outbox.advance(taken);
                outbox.cut();
                let end = written + taken + outbox.len();
                let boundaries = [0, 5, 209, 211];
                assert!(boundaries.contains(&end), "{written} written, {taken} taken: cut at {end}");
                assert!(end < written + taken + 204, "no more than the partial frame is kept");
                assert_eq!(outbox.unwritten(), &frames[written + taken..end]);
            }
        }
    }

    #[test]
    fn bytes_are_written_in_the_order_in_which_they_were_kept() {
        let frames = frames();
        let mut outbox = Outbox::default();
        outbox.keep(&frames, 7);
        outbox.keep(&[0x8A, 0], 0);
        let mut out = Vec::new();
        while !outbox.is_empty() {
            let taken = outbox.unwritten().len().min(10);
            out.extend_from_slice(&outbox.unwritten()[..taken]);
            outbox.advance(taken);
        }
        assert_eq!(out, [&frames[7..], &[0x8A, 0]].concat());
        assert_eq!(outbox.bytes.capacity(), 0);
    }
}

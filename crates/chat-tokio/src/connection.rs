//! A client of the chat, as its program has it.

use std::io;
use std::sync::Arc;

use chat_core::CloseCode;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

use crate::driver::Command;
use crate::line::Line;

/// A client of the chat: frames go in, and frames come out. To drop it is to lose the connection.
pub struct Connection {
    sender: Sender,
    receiver: Receiver,
}

/// Takes the frames of a client.
pub struct Sender {
    half: Half,
    commands: mpsc::Sender<Command>,
}

/// Gives the frames for a client.
pub struct Receiver {
    half: Half,
}

/// The client is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client is closed: {}", self.code.map_or("the chat has stopped", CloseCode::reason))]
pub struct Closed {
    /// Why; `None` if the driver has stopped without closing the client.
    pub code: Option<CloseCode>,
}

/// A reference to the client that counts: without one, it is gone.
struct Half(Arc<Line>);

impl Connection {
    pub(crate) fn new(line: Arc<Line>, commands: mpsc::Sender<Command>) -> Self {
        let receiver = Receiver { half: Half(Arc::clone(&line)) };
        Self { sender: Sender { half: Half(line), commands }, receiver }
    }

    /// Both halves, for two tasks. The client is gone once both are dropped.
    pub fn split(self) -> (Sender, Receiver) {
        (self.sender, self.receiver)
    }

    /// Carries the client over a stream of lines, each a frame, until the stream ends or the client
    /// is closed and has got its last bytes. The hub has [`Framing::Lines`](chat_core::Framing).
    ///
    /// A stream whose client sends while it is paused is not read, and a client that reads too
    /// slowly is closed, see [`DriverOptions`](crate::DriverOptions).
    ///
    /// # Errors
    ///
    /// Those of the stream; `InvalidData` for a line that is no UTF-8 or has more than
    /// [`LINE_MAX_BYTES`](Self::LINE_MAX_BYTES); `TimedOut` if a closed client does not take its
    /// last bytes.
    pub async fn serve_lines(
        self,
        read: impl AsyncBufRead + Unpin,
        mut write: impl AsyncWrite + Unpin,
    ) -> io::Result<()> {
        let (mut sender, mut receiver) = self.split();
        let line = Arc::clone(&receiver.half.0);
        let reading = async {
            let mut read = read;
            let mut text = String::new();
            loop {
                text.clear();
                (&mut read).take(Self::LINE_MAX_BYTES).read_line(&mut text).await?;
                if text.is_empty() {
                    sender.finish().await;
                    return Ok(());
                }
                if !text.ends_with('\n') && text.len() as u64 == Self::LINE_MAX_BYTES {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "the line is too long"));
                }
                let frame = text.trim_end_matches(['\r', '\n']);
                if !frame.is_empty() && sender.send(frame).await.is_err() {
                    return Ok(());
                }
            }
        };
        let writing = async {
            while let Some(bytes) = receiver.next().await {
                write.write_all(&bytes).await?;
                write.flush().await?;
            }
            write.shutdown().await
        };
        let cut_off = async {
            line.ended.notified().await;
            tokio::time::sleep(line.close_timeout()).await;
        };
        tokio::select! {
            done = writing => done,
            Err(error) = reading => Err(error),
            () = cut_off => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// The most bytes of one line that [`serve_lines`](Self::serve_lines) takes.
    pub const LINE_MAX_BYTES: u64 = 64 * 1024;
}

impl Sender {
    /// Hands a frame over. It waits while the hub has paused the client and
    /// [so many](crate::DriverOptions::held_frames_max) of its frames are held: the program then
    /// reads no more of its transport, which slows the client down.
    ///
    /// # Errors
    ///
    /// [`Closed`] if the client is closed.
    pub async fn send(&mut self, frame: &str) -> Result<(), Closed> {
        let line = &self.half.0;
        let closed = || Closed { code: line.state().end.flatten() };
        // The task adds it again once the hub has the frame.
        line.permits.acquire().await.map_err(|_| closed())?.forget();
        let command = Command::Frame(Arc::clone(line), frame.into());
        self.commands.send(command).await.map_err(|_| closed())
    }

    /// The client sends nothing more: the hub closes it (1000) once its messages are stored and
    /// acknowledged.
    pub async fn finish(&mut self) {
        // A driver that has stopped has closed the client.
        let _ = self.commands.send(Command::Goodbye(Arc::clone(&self.half.0))).await;
    }
}

impl Receiver {
    /// The next bytes for the client: whole frames in the framing of the hub. `None` once the client
    /// is closed. The call says that the program is done with the bytes of the call before it: until
    /// then they count as waiting.
    ///
    /// It may be dropped before it ends, and nothing is lost.
    pub async fn next(&mut self) -> Option<Vec<u8>> {
        let line = &self.half.0;
        loop {
            let (bytes, was_taken, has_ended) = {
                let mut state = line.state();
                let was_taken = std::mem::take(&mut state.taken) > 0;
                let bytes = std::mem::take(&mut state.bytes);
                state.taken = bytes.len();
                (bytes, was_taken, state.end.is_some())
            };
            if was_taken {
                line.touch();
            }
            if !bytes.is_empty() {
                return Some(bytes);
            }
            if has_ended {
                return None;
            }
            line.readable.notified().await;
        }
    }

    /// Why the client is closed; `None` as long as it is not.
    pub fn closed(&self) -> Option<Closed> {
        self.half.0.state().end.map(|code| Closed { code })
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.halves -= 1;
        let is_gone = state.halves == 0;
        drop(state);
        if is_gone {
            self.0.touch();
        }
    }
}

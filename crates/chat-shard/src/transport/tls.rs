//! TLS on the TCP connection of a socket.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;

/// TLS on a connection, after its handshake.
pub use rustls::ServerConnection as TlsConnection;

/// A TLS connection after its handshake.
///
/// It holds at most [`AHEAD_MAX_BYTES`] of outgoing text, encrypted, and what rustls holds of
/// incoming text: the records of one read, of 4 KiB at first and 18 KiB at most.
pub(crate) struct Tls {
    stream: TcpStream,
    connection: TlsConnection,
}

impl Tls {
    pub(crate) fn new(stream: TcpStream, mut connection: TlsConnection) -> Self {
        // `try_write` bounds what is encrypted ahead of the system.
        connection.set_buffer_limit(None);
        Self { stream, connection }
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub(crate) fn has_unwritten(&self) -> bool {
        self.connection.wants_write()
    }

    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection.send_close_notify();
        ready!(self.poll_flush(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    pub(crate) fn announce_end(&mut self) {
        self.connection.send_close_notify();
        // The connection ends in any case.
        let _ = self.try_flush();
    }

    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        use io::Write as _;
        let mut taken = 0;
        loop {
            if !self.try_flush()? || taken == bytes.len() {
                return Ok(taken);
            }
            // Everything that was taken is with the system.
            let end = bytes.len().min(taken + AHEAD_MAX_BYTES);
            taken += self.connection.writer().write(&bytes[taken..end])?;
        }
    }

    /// Writes encrypted bytes until the system takes no more. Returns whether it took all.
    fn try_flush(&mut self) -> io::Result<bool> {
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut Writing(&self.stream)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.try_flush()? {
            ready!(self.stream.poll_write_ready(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        use io::Read as _;
        let before = buffer.filled().len();
        loop {
            // Decrypted text is read first: rustls takes no more bytes while its buffer is full.
            match self.connection.reader().read(buffer.initialize_unfilled()) {
                // The client has said that this is the end of its side.
                Ok(0) => return Poll::Ready(Ok(())),
                Ok(read) => {
                    buffer.advance(read);
                    if buffer.remaining() == 0 {
                        return Poll::Ready(Ok(()));
                    }
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // The stream has ended without a word, as most streams do. WebSocket's close
                // frame says whether anything is missing.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Poll::Ready(Ok(())),
                Err(error) => return Poll::Ready(Err(error)),
            }
            // tokio bounds the reads in one poll of a task, also those that bring no text.
            match self.connection.read_tls(&mut Reading { stream: &mut self.stream, cx }) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return if buffer.filled().len() > before { Poll::Ready(Ok(())) } else { Poll::Pending };
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
            let processed = self.connection.process_new_packets();
            // An answer to what has arrived, such as an alert.
            if self.connection.wants_write()
                && let Poll::Ready(Err(error)) = self.poll_flush(cx)
            {
                return Poll::Ready(Err(error));
            }
            if let Err(error) = processed {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
            }
        }
    }
}

/// The most bytes that TLS encrypts ahead of what the system has taken: two records. A client
/// that reads nothing costs as many more than one without TLS; less would mean more system
/// calls for a client that reads.
const AHEAD_MAX_BYTES: usize = 32 * 1024;

/// Writes of a [`TlsConnection`] that do not wait.
struct Writing<'a>(&'a TcpStream);

impl io::Write for Writing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads of a [`TlsConnection`] that do not wait, and wake the task once there is more.
struct Reading<'a, 'b> {
    stream: &'a mut TcpStream,
    cx: &'a mut Context<'b>,
}

impl io::Read for Reading<'_, '_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(bytes);
        match Pin::new(&mut *self.stream).poll_read(self.cx, &mut buffer) {
            Poll::Ready(Ok(())) => Ok(buffer.filled().len()),
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

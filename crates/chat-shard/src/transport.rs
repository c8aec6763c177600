//! The transport of one socket: TCP, or TLS on it.

#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "transport/without_tls.rs"]
mod tls;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;

use self::tls::Tls;
pub use self::tls::TlsConnection;

/// The transport of a socket. All of its methods return at once.
pub(crate) enum Transport {
    Plain(TcpStream),
    /// Boxed, because sockets without TLS must not pay for its size.
    Tls(Box<Tls>),
}

impl Transport {
    #[cfg_attr(not(feature = "tls"), allow(unreachable_code, reason = "there is no connection with TLS"))]
    pub(crate) fn new(stream: TcpStream, tls: Option<Box<TlsConnection>>) -> Self {
        match tls {
            None => Self::Plain(stream),
            Some(connection) => Self::Tls(Box::new(Tls::new(stream, *connection))),
        }
    }

    /// Writes what the system takes at once, and returns how many bytes were taken.
    ///
    /// Bytes that were taken cannot be taken back. TLS may hold the newest of them until
    /// the system takes them, at most two records: see
    /// [`has_unwritten`](Self::has_unwritten).
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => try_write_plain(stream, bytes),
            Self::Tls(tls) => tls.try_write(bytes),
        }
    }

    /// Whether bytes that were taken wait for the system. Then `try_write`, also of nothing,
    /// has to be called once the transport is [ready](Self::poll_write_ready).
    pub(crate) fn has_unwritten(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(tls) => tls.has_unwritten(),
        }
    }

    /// Polls until the system takes bytes.
    pub(crate) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_write_ready(cx)
    }

    /// Reads what has arrived, up to the space in `buffer`. Reads nothing at the end of the
    /// client's side.
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(tls) => tls.poll_read(cx, buffer),
        }
    }

    /// Ends the server's side, behind what was taken.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(tls) => tls.poll_shutdown(cx),
        }
    }

    /// Announces the end of the server's side, as far as the system takes it at once: a
    /// client of TLS then knows that nothing was cut off.
    pub(crate) fn announce_end(&mut self) {
        if let Self::Tls(tls) = self {
            tls.announce_end();
        }
    }

    /// Has the system drop what it has not sent when the socket is closed.
    pub(crate) fn drop_unsent(&self) {
        // A socket that is broken has nothing to drop.
        let _ = self.stream().set_zero_linger();
    }

    /// Whether the connection is broken, as far as the system knows without reading.
    pub(crate) fn is_broken(&self) -> bool {
        !matches!(self.stream().take_error(), Ok(None))
    }

    fn stream(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(tls) => tls.stream(),
        }
    }
}

/// Writes what the system takes at once, and returns how many bytes it took.
fn try_write_plain(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut written = 0;
    while written < bytes.len() {
        match stream.try_write(&bytes[written..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(taken) => written += taken,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}

//! A connection with a limit on how long its client may stall a write.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use chat_shard::TlsConnection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};
use tokio_util::either::Either;

use crate::head_filter::HeadFilter;
use crate::tls::{self, TlsStream};

/// A socket whose writes fail once the client has accepted nothing for `write_timeout`.
/// hyper limits how slowly a request may arrive, but not how slowly a response may be
/// read. What is read passes a [`HeadFilter`].
pub(crate) struct ClientSocket {
    stream: Either<TcpStream, Box<TlsStream>>,
    filter: HeadFilter,
    write_timeout: Duration,
    /// Runs while the client accepts nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    /// Whether it runs.
    is_stalled: Arc<AtomicBool>,
}

impl ClientSocket {
    /// A socket without TLS.
    pub(crate) fn plain(stream: TcpStream, write_timeout: Duration) -> Self {
        Self::new(Either::Left(stream), write_timeout)
    }

    /// A socket with TLS, whose handshake is over.
    pub(crate) fn tls(stream: TlsStream, write_timeout: Duration) -> Self {
        Self::new(Either::Right(Box::new(stream)), write_timeout)
    }

    fn new(stream: Either<TcpStream, Box<TlsStream>>, write_timeout: Duration) -> Self {
        Self { stream, filter: HeadFilter::new(), write_timeout, stalled: None, is_stalled: Arc::default() }
    }

    /// Whether bytes wait that the client has not accepted yet, as of the last write.
    pub(crate) fn is_stalled(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_stalled)
    }

    /// The connection, and TLS on it.
    pub(crate) fn into_parts(self) -> (TcpStream, Option<Box<TlsConnection>>) {
        match self.stream {
            Either::Left(stream) => (stream, None),
            Either::Right(stream) => {
                let (stream, connection) = tls::into_parts(*stream);
                (stream, Some(connection))
            }
        }
    }

    fn written<T>(&mut self, cx: &mut Context<'_>, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        self.is_stalled.store(result.is_pending(), Ordering::Relaxed);
        if result.is_ready() {
            self.stalled = None;
            return result;
        }
        let deadline = || Box::pin(tokio::time::sleep_until(Instant::now() + self.write_timeout));
        ready!(self.stalled.get_or_insert_with(deadline).as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for ClientSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut this.stream).poll_read(cx, buffer));
        this.filter.pass(&mut buffer.filled_mut()[before..]);
        Poll::Ready(read)
    }
}

impl AsyncWrite for ClientSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.written(cx, result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.written(cx, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // TLS keeps what the client has not taken; TCP keeps nothing.
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        self.written(cx, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.written(cx, result)
    }
}

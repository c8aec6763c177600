//! What stands for TLS in programs that are compiled without it, so that its users are written once.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use chat_shard::TlsConnection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::outgoing::OutgoingError;

/// The certificates and the cryptography of a listener. There are none without the feature `tls`.
#[derive(Debug)]
pub enum TlsConfig {}

pub(crate) enum TlsStream {}

pub(crate) async fn accept(_: TcpStream, config: Arc<TlsConfig>) -> io::Result<TlsStream> {
    match *config {}
}

pub(crate) fn into_parts(stream: TlsStream) -> (TcpStream, Box<TlsConnection>) {
    match stream {}
}

#[derive(Default)]
pub(crate) struct TlsClient {}

impl TlsClient {
    pub(crate) async fn connect(&self, _: &str, _: TcpStream) -> Result<TlsStream, OutgoingError> {
        Err(OutgoingError::WithoutTls)
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match *self {}
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        match *self {}
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match *self {}
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match *self {}
    }
}

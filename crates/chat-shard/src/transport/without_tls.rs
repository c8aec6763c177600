//! What stands for TLS in programs that are compiled without it, so that transports are written once.

use std::io;
use std::task::{Context, Poll};

use tokio::io::ReadBuf;
use tokio::net::TcpStream;

/// TLS on a connection. There is none without the feature `tls`.
#[derive(Debug)]
pub enum TlsConnection {}

pub(crate) struct Tls(TlsConnection);

impl Tls {
    pub(crate) fn new(_: TcpStream, connection: TlsConnection) -> Self {
        match connection {}
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        match self.0 {}
    }

    pub(crate) fn has_unwritten(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.0 {}
    }

    pub(crate) fn announce_end(&mut self) {
        match self.0 {}
    }

    pub(crate) fn try_write(&mut self, _: &[u8]) -> io::Result<usize> {
        match self.0 {}
    }

    pub(crate) fn poll_read(&mut self, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.0 {}
    }
}

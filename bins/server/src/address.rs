//! The address that the server listens on.

use std::net::SocketAddr;

use tokio::net::{TcpSocket, lookup_host};

/// Takes the first free address of a host name. Clients are refused until the
/// socket listens, with a backlog of [`BACKLOG`].
///
/// # Errors
/// A sentence with the address, for a name without addresses and for an address
/// that another program uses.
pub(crate) async fn bind(address: &str) -> Result<TcpSocket, String> {
    let fail = |error: std::io::Error| format!("cannot listen on {address}: {error}");
    let mut failure = std::io::Error::new(std::io::ErrorKind::NotFound, "no such host");
    for candidate in lookup_host(address).await.map_err(fail)? {
        match bind_to(candidate) {
            Ok(socket) => return Ok(socket),
            Err(error) => failure = error,
        }
    }
    Err(fail(failure))
}

fn bind_to(address: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A server that starts again must not wait for its old connections.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Connections that wait to be accepted: when all clients reconnect at once.
/// The system may allow fewer (`net.core.somaxconn`).
pub(crate) const BACKLOG: u32 = 4096;

/// The URL of the page for a browser on this machine.
pub(crate) fn page_url(address: SocketAddr, has_tls: bool) -> String {
    let scheme = if has_tls { "https" } else { "http" };
    if address.ip().is_loopback() || address.ip().is_unspecified() {
        format!("{scheme}://localhost:{}", address.port())
    } else {
        format!("{scheme}://{address}")
    }
}

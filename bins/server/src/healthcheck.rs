//! `server healthcheck`: checks whether a running server is ready, for containers
//! and supervisors.

use std::io::{self, BufRead as _, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use crate::tls::connect_unchecked;

/// Asks the server that listens on this address. Its certificate is not checked: it is not for
/// this address, and nothing secret is sent.
///
/// # Errors
/// A sentence, unless `/readyz` is answered with 200.
pub(crate) fn healthcheck(listen: &str, has_tls: bool) -> Result<(), Box<dyn std::error::Error>> {
    let mut failure = format!("{listen} is not an address");
    for address in listen.to_socket_addrs().map_err(|error| format!("{listen}: {error}"))? {
        match ask(reachable(address), has_tls) {
            Ok(status) if status.contains(" 200 ") => return Ok(()),
            Ok(status) => failure = format!("not ready: {}", status.trim()),
            Err(error) => failure = format!("{address} does not answer: {error}"),
        }
    }
    Err(failure.into())
}

/// An address at which a server that listens on all addresses can be reached.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    address
}

/// The status line of the answer.
fn ask(address: SocketAddr, has_tls: bool) -> io::Result<String> {
    let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    if has_tls { ask_on(connect_unchecked(stream, address)?, address) } else { ask_on(stream, address) }
}

fn ask_on(mut stream: impl io::Read + io::Write, address: SocketAddr) -> io::Result<String> {
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut status = String::new();
    BufReader::new(stream).read_line(&mut status)?;
    Ok(status)
}

/// For each step; longer than the server waits for its store.
const TIMEOUT: Duration = Duration::from_secs(3);

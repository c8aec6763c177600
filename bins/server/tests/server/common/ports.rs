//! Ports for programs that cannot choose one themselves.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// An address on which nothing listens. The system gives no such port to anybody who asks for
/// any port, so that only another program that names it could take it.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let start = (std::process::id().wrapping_mul(31) % 9_000) as u16;
        let address: SocketAddr = ([127, 0, 0, 1], 20_000 + (start + number) % 10_000).into();
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

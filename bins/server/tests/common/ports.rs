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

/// Whether a program is there. If it is not, says so loudly, which is an error in CI.
pub(crate) fn is_here(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    let found = folders.into_iter().any(|folder| folder.join(program).is_file());
    if !found {
        let is_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!is_ci, "CI=true, and {program} is missing");
        eprintln!("NOT TESTED: {program} is missing");
    }
    found
}

//! The free space of a disk.

use std::io;
use std::path::Path;

/// The bytes that this process may still write on the disk of a folder. Takes some
/// microseconds.
///
/// # Errors
///
/// Those of the system.
pub fn free_bytes(folder: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

//! The time that this machine takes to make a small write durable.

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

/// The median of 200 times that 4 KiB were added to a file and brought to the disk.
pub(crate) fn median() -> io::Result<Duration> {
    let mut file = tempfile::NamedTempFile::new()?;
    let mut times = Vec::new();
    for _ in 0..200 {
        file.write_all(&[0; 4096])?;
        let started = Instant::now();
        file.as_file().sync_data()?;
        times.push(started.elapsed());
    }
    times.sort();
    Ok(times[times.len() / 2])
}

//! The space that is to stay free on the disk.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chat_files::free_bytes;
use tokio::time::Instant;

/// The space that is to stay free on the disks of the database and the files. Where less is
/// free, uploads are refused; where less than half of it is, registrations are, too. The
/// rest is for messages.
pub(crate) struct DiskFloor {
    folders: Vec<PathBuf>,
    /// Bytes; 0: no limit.
    min: u64,
    /// Bytes of the files that are being received.
    expected: AtomicU64,
    /// The free bytes, and when they were asked for.
    last: Mutex<Option<(Instant, u64)>>,
    is_low: AtomicBool,
}

/// The disk has too little space left.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DiskLow;

impl DiskFloor {
    pub(crate) fn new(folders: Vec<PathBuf>, min: u64) -> Self {
        let (expected, is_low) = (AtomicU64::new(0), AtomicBool::new(false));
        Self { folders, min, expected, last: Mutex::default(), is_low }
    }

    /// Takes the space for a file of so many bytes, until the result is dropped.
    ///
    /// # Errors
    ///
    /// [`DiskLow`].
    pub(crate) fn take(self: &Arc<Self>, bytes: u64) -> Result<DiskSpace, DiskLow> {
        let expected = self.expected.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        let space = DiskSpace { floor: Arc::clone(self), bytes };
        let is_low = self.is_below(self.min.saturating_add(expected));
        self.note(is_low);
        if is_low { Err(DiskLow) } else { Ok(space) }
    }

    /// Checks whether there is space for a new account.
    ///
    /// # Errors
    ///
    /// [`DiskLow`].
    pub(crate) fn check_registration(&self) -> Result<(), DiskLow> {
        if self.is_below(self.min / 2) { Err(DiskLow) } else { Ok(()) }
    }

    /// The bytes that are free on the disk with the fewest, read at most once a second.
    /// `None` if no disk can be asked.
    pub(crate) fn free(&self) -> Option<u64> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, free)) = *last
            && at.elapsed() < LIFETIME
        {
            return Some(free);
        }
        let free = self.folders.iter().filter_map(|folder| free_bytes(folder).ok()).min()?;
        *last = Some((Instant::now(), free));
        Some(free)
    }

    /// The bytes that are to stay free.
    pub(crate) fn min(&self) -> u64 {
        self.min
    }

    fn is_below(&self, bytes: u64) -> bool {
        self.min > 0 && self.free().is_some_and(|free| free < bytes)
    }

    fn note(&self, is_low: bool) {
        if self.is_low.swap(is_low, Ordering::Relaxed) != is_low {
            let (free_bytes, min_bytes) = (self.free(), self.min);
            if is_low {
                tracing::warn!(free_bytes, min_bytes, "the disk is almost full: uploads are refused");
            } else {
                tracing::info!(free_bytes, min_bytes, "the disk has space for uploads again");
            }
        }
    }
}

/// How long the free bytes are reused.
const LIFETIME: Duration = Duration::from_secs(1);

/// The space for a file that is being received.
pub(crate) struct DiskSpace {
    floor: Arc<DiskFloor>,
    bytes: u64,
}

impl Drop for DiskSpace {
    fn drop(&mut self) {
        self.floor.expected.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn uploads_are_refused_before_registrations_are() {
        let folder = tempfile::tempdir().unwrap();
        let free = free_bytes(folder.path()).unwrap();
        let floor = |min| Arc::new(DiskFloor::new(vec![folder.path().to_owned()], min));

        let small = floor(free / 2);
        let space = small.take(free / 4).ok().unwrap();
        assert!(small.take(free / 2).is_err(), "with what is being received there is too little");
        drop(space);
        assert!(small.take(free / 4).is_ok() && small.take(free / 4).is_ok());

        let low = floor(free / 2 * 3);
        assert!(low.take(0).is_err() && low.check_registration().is_ok());
        let lowest = floor(free * 3);
        assert!(lowest.take(0).is_err() && lowest.check_registration().is_err());
        assert!(floor(0).take(u64::MAX).is_ok(), "without a limit");
    }
}

//! Previews that are being made.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chat_core::FileId;
use tokio::sync::OwnedMutexGuard;

/// Previews that are being made, or waited for: each is made by one task at a time, and its
/// file is not deleted meanwhile.
#[derive(Debug, Default, Clone)]
pub(crate) struct PreviewLocks {
    files: Arc<Mutex<HashMap<FileId, Held>>>,
}

#[derive(Debug, Default)]
struct Held {
    lock: Arc<tokio::sync::Mutex<()>>,
    /// Locks that are held or waited for.
    count: usize,
}

/// The right to make the preview of a file, which is not deleted before this value is
/// dropped.
#[derive(Debug)]
pub struct PreviewLock {
    _guard: OwnedMutexGuard<()>,
    _count: Count,
}

impl PreviewLocks {
    /// Waits for the right to make the preview of a file.
    pub(crate) async fn lock(&self, id: &FileId) -> PreviewLock {
        let count = Count { locks: self.clone(), id: *id };
        let lock = {
            let mut files = self.files();
            let held = files.entry(*id).or_default();
            held.count += 1;
            Arc::clone(&held.lock)
        };
        PreviewLock { _guard: lock.lock_owned().await, _count: count }
    }

    /// Whether nobody makes the preview of a file, or waits for it.
    pub(crate) fn is_free(&self, id: &FileId) -> bool {
        !self.files().contains_key(id)
    }

    fn files(&self) -> MutexGuard<'_, HashMap<FileId, Held>> {
        // Each change is complete in one statement, so that a poisoned lock is safe.
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of the locks of a file that are held or waited for.
#[derive(Debug)]
struct Count {
    locks: PreviewLocks,
    id: FileId,
}

impl Drop for Count {
    fn drop(&mut self) {
        let mut files = self.locks.files();
        if let Some(held) = files.get_mut(&self.id) {
            held.count = held.count.saturating_sub(1);
            if held.count == 0 {
                files.remove(&self.id);
            }
        }
    }
}

//! Previews that are being made.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

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
    /// Until when the file is not deleted, even if nobody has the lock.
    kept_until: Option<Instant>,
}

impl Held {
    fn is_free(&self, now: Instant) -> bool {
        self.count == 0 && self.kept_until.is_none_or(|until| until <= now)
    }
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

    /// Keeps a file from its deletion until a time: a preview of it may still appear.
    pub(crate) fn keep_until(&self, id: &FileId, until: Instant, now: Instant) {
        let mut files = self.files();
        files.retain(|_, held| !held.is_free(now));
        files.entry(*id).or_default().kept_until = Some(until);
    }

    /// Whether nobody makes the preview of a file, or waits for it, and none may appear.
    pub(crate) fn is_free(&self, id: &FileId, now: Instant) -> bool {
        self.files().get(id).is_none_or(|held| held.is_free(now))
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
            if held.count == 0 && held.kept_until.is_none() {
                files.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_file_is_free_without_locks_and_after_its_time() {
        let locks = PreviewLocks::default();
        let [a, b] = [1, 2].map(|byte| FileId::from_bytes([byte; 16]));
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let lock = locks.lock(&a).await;
        assert!(!locks.is_free(&a, later) && locks.is_free(&b, now));
        locks.keep_until(&a, later, now);
        drop(lock);
        assert!(!locks.is_free(&a, now) && locks.is_free(&a, later));
        // Others may make the preview meanwhile.
        let lock = locks.lock(&a).await;
        assert!(!locks.is_free(&a, later));
        drop(lock);
        locks.keep_until(&b, later + Duration::from_secs(1), later);
        assert!(!locks.is_free(&b, later) && locks.files().len() == 1, "nothing is left of the first");
    }
}

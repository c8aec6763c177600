//! What is told which entries are stored.

use std::fmt;
use std::sync::Arc;

use chat_core::Entry;

/// Functions that are called with the new entries of each commit, messages and changes, in the
/// order of each topic, once the entries are in the inboxes of the shards. They must not block, nor
/// call the log. They are not called for entries whose commit's answer was lost: who needs all of
/// them uses [`ChatHandle::entries`](crate::ChatHandle::entries). By default there are none.
#[derive(Clone, Default)]
pub struct StoredHook(Vec<Arc<Function>>);

type Function = dyn Fn(&[Arc<Entry>]) + Send + Sync;

impl StoredHook {
    /// A hook that calls this function.
    pub fn new(function: impl Fn(&[Arc<Entry>]) + Send + Sync + 'static) -> Self {
        Self::default().and(function)
    }

    /// The same hook, which then calls this function, too.
    #[must_use]
    pub fn and(mut self, function: impl Fn(&[Arc<Entry>]) + Send + Sync + 'static) -> Self {
        self.0.push(Arc::new(function));
        self
    }

    /// Calls the functions, if there are entries.
    pub(crate) fn call(&self, entries: &[Arc<Entry>]) {
        if !entries.is_empty() {
            self.0.iter().for_each(|function| function(entries));
        }
    }
}

impl fmt::Debug for StoredHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StoredHook").field(&self.0.len()).finish()
    }
}

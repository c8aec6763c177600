//! What is told which entries are stored.

use std::fmt;
use std::sync::Arc;

use chat_core::Entry;

/// A function that is called with the new entries of each commit, in log order, before they are
/// delivered. It must not block, nor call the log. By default there is none.
#[derive(Clone, Default)]
pub struct StoredHook(Option<Arc<Function>>);

type Function = dyn Fn(&[Arc<Entry>]) + Send + Sync;

impl StoredHook {
    /// A hook that calls this function.
    pub fn new(function: impl Fn(&[Arc<Entry>]) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(function)))
    }

    /// Calls the function, if there is one, and there are entries.
    pub(crate) fn call(&self, entries: &[Arc<Entry>]) {
        if let Some(function) = self.0.as_ref().filter(|_| !entries.is_empty()) {
            function(entries);
        }
    }
}

impl fmt::Debug for StoredHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StoredHook").field(&self.0.is_some()).finish()
    }
}

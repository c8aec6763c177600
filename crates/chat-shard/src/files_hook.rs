//! What is told which files nobody may read any more.

use std::fmt;
use std::sync::Arc;

use chat_core::FileId;

/// A function that is called with the files of messages that are deleted or removed: once the
/// log has committed it, and before anybody else learns of it, so that no download of them goes
/// on after the deletion is acknowledged. It must not block. By default there is none.
#[derive(Clone, Default)]
pub struct FilesHook(Option<Arc<Function>>);

type Function = dyn Fn(&[FileId]) + Send + Sync;

impl FilesHook {
    /// A hook that calls this function.
    pub fn new(function: impl Fn(&[FileId]) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(function)))
    }

    /// Calls the function, if there is one, and there are files.
    pub(crate) fn call(&self, files: &[FileId]) {
        if let Some(function) = self.0.as_ref().filter(|_| !files.is_empty()) {
            function(files);
        }
    }
}

impl fmt::Debug for FilesHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FilesHook").field(&self.0.is_some()).finish()
    }
}

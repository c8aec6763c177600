//! A file whose id is reserved.

use std::sync::Arc;

use chat_core::FileId;
use chat_shard::causes;

use crate::app::App;

/// A file whose id is reserved, and whose upload may still break. Dropping this value marks
/// the file for deletion.
pub(crate) struct PendingFile {
    app: Arc<App>,
    /// `None` once the file is to stay.
    id: Option<FileId>,
}

impl PendingFile {
    pub(crate) fn new(app: Arc<App>, id: FileId) -> Self {
        Self { app, id: Some(id) }
    }

    /// Leaves the file as it is: it is stored, or the store did not say whether it is. In the
    /// second case the file is deleted with the other files that no message has.
    pub(crate) fn leave(mut self) {
        self.id = None;
    }
}

impl Drop for PendingFile {
    fn drop(&mut self) {
        let Some(id) = self.id.take() else { return };
        let app = Arc::clone(&self.app);
        self.app.tasks.spawn(async move {
            if let Err(error) = app.parts.stores.files.drop_file(&id).await {
                tracing::debug!(error = %causes(&error), "a broken upload is forgotten later");
            }
            app.files.sweep.notify_one();
        });
    }
}

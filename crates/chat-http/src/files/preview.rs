//! Previews of pictures.

use std::sync::Arc;

use bytes::Bytes;
use chat_core::{AttachedFile, Username};
use chat_files::picture_format;
use chat_pictures::{PictureError, PictureFor};
use chat_shard::causes;

use crate::app::App;
use crate::avatar::AvatarError;
use crate::error::HttpError;

/// The preview of a file, which is made at the first request for it, in the turn of its
/// reader. `None` if the file is no picture, or is one that cannot be decoded within the
/// limits.
///
/// # Errors
///
/// [`HttpError::Busy`], and those of the store and the files.
pub(crate) async fn preview(
    app: &Arc<App>,
    file: &AttachedFile,
    reader: &Username,
) -> Result<Option<Bytes>, HttpError> {
    let Some(format) = picture_format(&file.media_type).filter(|_| file.size <= SOURCE_MAX_BYTES) else {
        return Ok(None);
    };
    let some = |preview: Bytes| (!preview.is_empty()).then_some(preview);
    if let Some(made) = app.files.objects.preview(&file.id).await? {
        return Ok(some(made));
    }
    // Others who ask for the same preview wait here, and find it.
    let lock = app.files.objects.lock_preview(&file.id).await;
    if let Some(made) = app.files.objects.preview(&file.id).await? {
        return Ok(some(made));
    }
    let turn = app.pictures.turn(PictureFor::User(reader.as_str())).await.map_err(AvatarError::from)?;
    // From here on the file is not deleted until the lock is given back.
    if app.parts.stores.files.find_file(&file.id).await?.is_none() {
        return Ok(None);
    }
    let Some(source) = app.files.objects.read_whole(&file.id, SOURCE_MAX_BYTES).await? else {
        return Ok(None);
    };
    // A client that hangs up drops this future. A task of its own keeps the preview.
    let (app, id) = (Arc::clone(app), file.id);
    let tasks = app.tasks.clone();
    let making = tasks.spawn(async move {
        let made = turn.run(move |limits| chat_pictures::preview(&source, format, limits)).await;
        // A decoder panics on a file that it does not expect.
        let made = made.map_err(HttpError::File)?.unwrap_or(Err(PictureError::Damaged(None)));
        app.metrics.preview(if made.is_ok() { "made" } else { "refused" });
        // An empty one is kept, so that it is not tried again.
        let preview = made.map(Bytes::from).unwrap_or_default();
        if let Err(error) = app.files.objects.keep_preview(&id, preview.clone(), &lock).await {
            tracing::warn!(error = %causes(&error), "a preview cannot be kept");
        }
        drop(lock);
        Ok::<_, HttpError>(preview)
    });
    Ok(some(making.await.map_err(HttpError::Task)??))
}

/// Larger files have no preview: they are read into memory.
const SOURCE_MAX_BYTES: u64 = 64 * 1024 * 1024;

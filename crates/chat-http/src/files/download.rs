//! Files that are being sent.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use chat_core::{FileId, SessionId, Username};
use chat_files::FileBytes;
use futures_util::StreamExt as _;
use futures_util::task::AtomicWaker;
use hyper::body::{Frame, SizeHint};
use tokio::time::Instant;

use crate::app::App;
use crate::permits::Permit;
use crate::signed_in::SignedIn;

/// The files that are being sent. The log says here which of them nobody may read any more,
/// and requests say which sessions they have ended. Cloning increments a reference count.
#[derive(Clone, Default)]
pub(crate) struct Downloads {
    files: Arc<Mutex<HashMap<FileId, Vec<Weak<Signal>>>>>,
}

/// Whether a file may no longer be sent.
#[derive(Default)]
struct Signal {
    is_revoked: AtomicBool,
    waker: AtomicWaker,
    /// The session of the reader, if there is one.
    session: Option<SessionId>,
}

impl Signal {
    fn revoke(&self) {
        self.is_revoked.store(true, Ordering::Release);
        self.waker.wake();
    }
}

impl Downloads {
    /// Is told from now on if the file is taken back, or the session of its reader is ended.
    /// To be called before it is asked who may read the file.
    pub(crate) fn begin(&self, id: &FileId, session: Option<&SessionId>) -> Sending {
        let signal = Arc::new(Signal { session: session.cloned(), ..Signal::default() });
        self.files().entry(*id).or_default().push(Arc::downgrade(&signal));
        Sending { downloads: self.clone(), id: *id, signal }
    }

    /// Ends the sending of these files at once.
    pub(crate) fn revoke(&self, ids: &[FileId]) {
        let mut files = self.files();
        let signals = ids.iter().filter_map(|id| files.remove(id)).flatten();
        let signals: Vec<_> = signals.filter_map(|signal| signal.upgrade()).collect();
        drop(files);
        for signal in signals {
            signal.revoke();
        }
    }

    /// Ends at once what is sent to these sessions.
    pub(crate) fn revoke_sessions(&self, sessions: &[SessionId]) {
        let all: Vec<_> = self.files().values().flatten().filter_map(Weak::upgrade).collect();
        for signal in all {
            if signal.session.as_ref().is_some_and(|session| sessions.contains(session)) {
                signal.revoke();
            }
        }
    }

    fn files(&self) -> MutexGuard<'_, HashMap<FileId, Vec<Weak<Signal>>>> {
        // Each change is complete in one statement, so that a poisoned lock is safe.
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file that is being sent, or is about to be.
pub(crate) struct Sending {
    downloads: Downloads,
    id: FileId,
    signal: Arc<Signal>,
}

impl Sending {
    /// Whether the file was taken back, or the session of its reader ended.
    pub(crate) fn is_revoked(&self) -> bool {
        self.signal.is_revoked.load(Ordering::Acquire)
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let mut files = self.downloads.files();
        if let Some(signals) = files.get_mut(&self.id) {
            let own = Arc::as_ptr(&self.signal);
            signals.retain(|signal| !std::ptr::eq(signal.as_ptr(), own));
            if signals.is_empty() {
                files.remove(&self.id);
            }
        }
    }
}

/// The body of a response: a file, for as long as its reader is signed in and may read it.
/// The store is asked again once a second, and the body ends with an error at once when the
/// file is taken back, or the session of the reader is ended on this server.
pub(crate) struct Download {
    bytes: FileBytes,
    sending: Sending,
    /// Makes a question to the store.
    new_check: Box<dyn Fn() -> Check + Send>,
    next_check: Instant,
    check: Option<Check>,
    _permit: Permit<Username>,
}

type Check = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

impl Download {
    /// Sends the file from now on; its reader was checked just now.
    pub(crate) fn new(
        bytes: FileBytes,
        sending: Sending,
        permit: Permit<Username>,
        reader: SignedIn,
        app: &Arc<App>,
    ) -> Self {
        let (app, id, reader) = (Arc::clone(app), sending.id, Arc::new(reader));
        let new_check = move || -> Check { Box::pin(check(Arc::clone(&app), id, Arc::clone(&reader))) };
        Self::with_check(bytes, sending, permit, Box::new(new_check))
    }

    fn with_check(
        bytes: FileBytes,
        sending: Sending,
        permit: Permit<Username>,
        new_check: Box<dyn Fn() -> Check + Send>,
    ) -> Self {
        let next_check = Instant::now() + CHECK_INTERVAL;
        Self { bytes, sending, new_check, next_check, check: None, _permit: permit }
    }
}

/// Asks the store whether the reader is still signed in, and may still read the file.
async fn check(app: Arc<App>, id: FileId, reader: Arc<SignedIn>) -> io::Result<()> {
    // If the store does not answer, the client asks for the rest once it does.
    let is_signed_in = reader.is_signed_in(&app).await.map_err(io::Error::other)?;
    let readable = app.parts.stores.files.readable_file(&id, &reader.user).await.map_err(io::Error::other)?;
    if is_signed_in && readable.is_some() { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

/// How often it is asked whether the reader is still signed in, and may still read the file.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

impl hyper::body::Body for Download {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        this.sending.signal.waker.register(cx.waker());
        if this.sending.is_revoked() {
            return Poll::Ready(Some(Err(io::ErrorKind::PermissionDenied.into())));
        }
        if this.check.is_none() && this.bytes.left() > 0 && Instant::now() >= this.next_check {
            this.check = Some((this.new_check)());
        }
        if let Some(check) = &mut this.check {
            let checked = ready!(check.as_mut().poll(cx));
            this.check = None;
            this.next_check = Instant::now() + CHECK_INTERVAL;
            checked?;
        }
        let chunk = ready!(this.bytes.poll_next_unpin(cx));
        // It may have been taken back while it was read.
        if chunk.is_some() && this.sending.is_revoked() {
            return Poll::Ready(Some(Err(io::ErrorKind::PermissionDenied.into())));
        }
        Poll::Ready(chunk.map(|chunk| chunk.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.left())
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use chat_files::{FilesLocation, ObjectFiles};
    use http_body_util::BodyExt as _;
    use hyper::body::Body as _;

    use super::*;
    use crate::permits::Permits;

    /// The hook of the log has returned before anybody gets the acknowledgement of a deletion;
    /// from then on a download has no more bytes.
    #[tokio::test]
    async fn nothing_is_sent_once_the_file_is_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let location = FilesLocation::Folder(folder.path().join("files"));
        let files = ObjectFiles::open(&location, folder.path()).await.unwrap();
        let (id, size) = (FileId::from_bytes([1; 16]), 1 << 20);
        let mut upload = files.receive(&id, size).await.unwrap();
        upload.write(vec![7; size as usize].into()).await.unwrap();
        upload.finish(None).await.unwrap().commit().await.unwrap();

        let (downloads, permits) = (Downloads::default(), Permits::new(usize::MAX, 2));
        let reader = Username::known("reader").unwrap();
        let begin = async || {
            let bytes = files.read(&id, 0..size).await.unwrap().unwrap();
            let check = || -> Check { Box::pin(async { Ok(()) }) };
            let permit = permits.take(&reader).ok().unwrap();
            Download::with_check(bytes, downloads.begin(&id, None), permit, Box::new(check))
        };
        // One that is between two chunks, and one that waits for its first.
        let mut between = begin().await;
        between.frame().await.unwrap().unwrap();
        let mut waiting = begin().await;
        let _ = Pin::new(&mut waiting).poll_frame(&mut Context::from_waker(Waker::noop()));
        downloads.revoke(&[id]);
        for download in [&mut between, &mut waiting] {
            let ended = download.frame().await.unwrap();
            assert_eq!(ended.err().map(|error| error.kind()), Some(io::ErrorKind::PermissionDenied));
        }
        assert!(permits.take(&reader).is_err());
        drop((between, waiting));
        assert!(permits.take(&reader).is_ok() && downloads.files().is_empty());
    }

    #[test]
    fn only_the_named_files_are_revoked_and_nothing_is_kept() {
        let downloads = Downloads::default();
        let [a, b] = [1, 2].map(|byte| FileId::from_bytes([byte; 16]));
        let [one, two] = ["one", "two"].map(SessionId::new);
        let begin = |id: &FileId| downloads.begin(id, None);
        let (first, second, other) = (begin(&a), begin(&a), begin(&b));
        downloads.revoke(&[a]);
        assert!(first.is_revoked() && second.is_revoked() && !other.is_revoked());
        assert!(!begin(&a).is_revoked(), "who comes later asks the store");
        drop((first, second, other));

        let [first, second] = [&one, &two].map(|session| downloads.begin(&a, Some(session)));
        let other = begin(&a);
        downloads.revoke_sessions(&[one]);
        assert!(first.is_revoked() && !second.is_revoked() && !other.is_revoked());
        drop((first, second, other));
        assert!(downloads.files().is_empty());
    }
}

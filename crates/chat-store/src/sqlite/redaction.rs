//! Removing what was taken back from the files of a database.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::leftovers::Pages;
use super::writer::Writer;

/// A task that empties the WAL some time after a text was replaced or deleted: until then,
/// the WAL still has the pages before. It also overwrites copies of the text that SQLite has
/// [left](super::leftovers) in its pages. One round serves all texts of this time.
pub(super) struct Redaction {
    task: Mutex<Option<Task>>,
    request: mpsc::Sender<()>,
    /// Open until the connections are closed.
    _pages: Arc<Pages>,
}

struct Task {
    /// Ends the task when it is dropped.
    end: mpsc::Sender<()>,
    handle: JoinHandle<()>,
}

impl Redaction {
    /// Starts the task, with a first checkpoint for a WAL that a crash has left.
    pub(super) fn start(writer: &Arc<Writer>, pages: Pages, within: Duration) -> Self {
        let (request, requests) = mpsc::channel(1);
        let (end, ends) = mpsc::channel(1);
        let pages = Arc::new(pages);
        let handle = tokio::spawn(run(Arc::downgrade(writer), Arc::clone(&pages), requests, ends, within));
        let task = Mutex::new(Some(Task { end, handle }));
        let redaction = Self { task, request, _pages: pages };
        redaction.request();
        redaction
    }

    /// A text was replaced or deleted.
    pub(super) fn request(&self) {
        // A full channel has a request that is not served yet.
        let _ = self.request.try_send(());
    }

    /// Ends the task, and waits for it.
    pub(super) async fn close(&self) {
        if let Some(Task { end, handle }) = self.task.lock().await.take() {
            drop(end);
            // It ended with the runtime.
            let _ = handle.await;
        }
    }
}

async fn run(
    writer: Weak<Writer>,
    pages: Arc<Pages>,
    mut requests: mpsc::Receiver<()>,
    mut ends: mpsc::Receiver<()>,
    within: Duration,
) {
    loop {
        tokio::select! {
            request = requests.recv() => if request.is_none() { return },
            _ = ends.recv() => return,
        }
        let started = Instant::now();
        let mut pause = within;
        let mut has_warned = false;
        loop {
            if timeout_at(Instant::now() + pause, ends.recv()).await.is_ok() {
                return;
            }
            // What was taken back until now is in this checkpoint.
            let _ = requests.try_recv();
            let Some(writer) = writer.upgrade() else { return };
            match writer.redact(&pages).await {
                Ok(true) => break,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "deleted texts are still in the files of the database"),
            }
            if !has_warned && started.elapsed() > within + WARN_AFTER {
                tracing::warn!("deleted texts are still in the WAL: a program reads the database for long");
                has_warned = true;
            }
            pause = RETRY_PAUSE;
        }
    }
}

/// The pause after a checkpoint that a reader held back. Each of them may delay drafts.
const RETRY_PAUSE: Duration = Duration::from_secs(2);
const WARN_AFTER: Duration = Duration::from_secs(60);

//! The body of an upload.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, ReadBuf};

/// The bytes of a source, read as fast as they are sent.
pub(super) struct UploadBody<R, P> {
    source: R,
    progress: P,
    buffer: BytesMut,
    /// How many bytes there are, if that is known.
    size: Option<u64>,
    read: u64,
    /// The bytes that were read, for the deadline.
    moved: Arc<AtomicU64>,
}

impl<R, P> UploadBody<R, P> {
    pub(super) fn new(source: R, size: Option<u64>, progress: P, moved: Arc<AtomicU64>) -> Self {
        Self { source, progress, buffer: BytesMut::new(), size, read: 0, moved }
    }
}

impl<R: AsyncRead + Unpin, P: FnMut(u64) + Unpin> Body for UploadBody<R, P> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        let most = this.size.map_or(CHUNK_BYTES, |size| CHUNK_BYTES.min(size - this.read));
        if most == 0 {
            return Poll::Ready(None);
        }
        this.buffer.resize(most as usize, 0);
        let mut buffer = ReadBuf::new(&mut this.buffer);
        ready!(Pin::new(&mut this.source).poll_read(cx, &mut buffer))?;
        let read = buffer.filled().len();
        if read == 0 {
            // Without a size, this is the end.
            let too_short = this.size.map(|_| Err(io::ErrorKind::UnexpectedEof.into()));
            return Poll::Ready(too_short);
        }
        this.read += read as u64;
        this.moved.store(this.read, Ordering::Relaxed);
        (this.progress)(this.read);
        Poll::Ready(Some(Ok(Frame::data(this.buffer.split_to(read).freeze()))))
    }

    fn is_end_stream(&self) -> bool {
        self.size == Some(self.read)
    }

    fn size_hint(&self) -> SizeHint {
        self.size.map_or_else(SizeHint::default, |size| SizeHint::with_exact(size - self.read))
    }
}

/// Bytes that are read at a time.
const CHUNK_BYTES: u64 = 64 * 1024;

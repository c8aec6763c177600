//! The bytes of a file while they are read.

use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt as _};
use object_store::{GetResult, GetResultPayload};
use tokio::task::JoinHandle;

/// The bytes of a file, in chunks that are read as fast as they are taken.
pub struct FileBytes {
    source: Source,
    left: u64,
}

enum Source {
    /// A file that is not being read.
    File(std::fs::File),
    /// A file of which a thread reads the next chunk.
    Reading(JoinHandle<io::Result<(std::fs::File, Bytes)>>),
    Stream(BoxStream<'static, object_store::Result<Bytes>>),
    Ended,
}

/// Bytes that are read at a time.
const CHUNK_BYTES: u64 = 128 * 1024;

impl FileBytes {
    pub(crate) fn new(result: GetResult) -> io::Result<Self> {
        let left = result.range.end - result.range.start;
        let source = match result.payload {
            GetResultPayload::File(mut file, _) => {
                file.seek(SeekFrom::Start(result.range.start))?;
                Source::File(file)
            }
            GetResultPayload::Stream(stream) => Source::Stream(stream),
        };
        Ok(Self { source, left })
    }

    pub(crate) fn empty() -> Self {
        Self { source: Source::Ended, left: 0 }
    }

    /// The bytes that are not read yet.
    pub fn left(&self) -> u64 {
        self.left
    }
}

impl Stream for FileBytes {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let this = &mut *self;
        loop {
            if this.left == 0 {
                return Poll::Ready(None);
            }
            let chunk = match std::mem::replace(&mut this.source, Source::Ended) {
                Source::File(file) => {
                    let bytes = this.left.min(CHUNK_BYTES) as usize;
                    this.source = Source::Reading(tokio::task::spawn_blocking(move || read(file, bytes)));
                    continue;
                }
                Source::Reading(mut reading) => match Pin::new(&mut reading).poll(cx) {
                    Poll::Pending => {
                        this.source = Source::Reading(reading);
                        return Poll::Pending;
                    }
                    Poll::Ready(read) => {
                        let (file, chunk) = read.map_err(io::Error::other)??;
                        this.source = Source::File(file);
                        Some(chunk)
                    }
                },
                Source::Stream(mut stream) => {
                    let next = stream.poll_next_unpin(cx);
                    this.source = Source::Stream(stream);
                    ready!(next).transpose().map_err(io::Error::other)?
                }
                Source::Ended => None,
            };
            let Some(chunk) = chunk.filter(|chunk| chunk.len() as u64 <= this.left) else {
                this.left = 0;
                return Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into())));
            };
            this.left -= chunk.len() as u64;
            if !chunk.is_empty() {
                return Poll::Ready(Some(Ok(chunk)));
            }
        }
    }
}

fn read(mut file: std::fs::File, bytes: usize) -> io::Result<(std::fs::File, Bytes)> {
    let mut chunk = vec![0; bytes];
    file.read_exact(&mut chunk)?;
    Ok((file, chunk.into()))
}

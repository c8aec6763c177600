//! Compression of the files of the page.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

use brotli::enc::BrotliEncoderParams;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::header::HeaderValue;

/// A content in other codings, the smallest first. A coding that saves less than a tenth is
/// left out.
pub(super) type Compressed = Vec<(&'static str, Bytes)>;

/// The content in other codings. Content that was compressed before is not compressed
/// again.
pub(super) fn compressed(etag: &HeaderValue, content: &[u8]) -> Compressed {
    let known = || COMPRESSED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(compressed) = known().get(etag) {
        return compressed.clone();
    }
    // Without the lock, so that other files need not wait.
    let compressed = compress(content);
    known().insert(etag.clone(), compressed.clone());
    compressed
}

/// Compressed contents by their tags: a debug build prepares a file for each request.
static COMPRESSED: Mutex<BTreeMap<HeaderValue, Compressed>> = Mutex::new(BTreeMap::new());

/// Brotli is a sixth smaller than gzip, but browsers accept it over TLS only.
fn compress(content: &[u8]) -> Compressed {
    let params = BrotliEncoderParams { size_hint: content.len(), ..BrotliEncoderParams::default() };
    let mut brotli = Vec::new();
    brotli::BrotliCompress(&mut &*content, &mut brotli, &params).expect("a vector takes everything");
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(content).expect("a vector takes everything");
    let gzip = gzip.finish().expect("a vector takes everything");
    let compressed = [("br", brotli), ("gzip", gzip)].into_iter();
    let is_worth_it = |bytes: &[u8]| bytes.len() < content.len() * 9 / 10;
    compressed.filter(|(_, bytes)| is_worth_it(bytes)).map(|(coding, bytes)| (coding, bytes.into())).collect()
}

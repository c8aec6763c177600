//! Compression of the files of the page.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use brotli::enc::BrotliEncoderParams;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::header::HeaderValue;

/// The codings, the one that makes files smallest first. Brotli is a sixth smaller than gzip, but
/// browsers accept it over TLS only.
const CODINGS: [(&str, Compress); 2] = [("br", brotli), ("gzip", gzip)];

type Compress = fn(&[u8]) -> Vec<u8>;

/// Whether files are made as small as possible. A debug build compresses them at the first visit: the
/// best compression would delay it by five seconds.
const IS_THOROUGH: bool = !cfg!(debug_assertions);

/// A content in other codings. Each is made when it is first needed, and kept.
#[derive(Clone)]
pub(super) struct Compressed(Arc<[OnceLock<Option<Bytes>>; CODINGS.len()]>);

impl Compressed {
    /// What is known of a content by its tag: a debug build prepares a file for each request.
    pub(super) fn of(etag: &HeaderValue) -> Self {
        static KNOWN: Mutex<BTreeMap<HeaderValue, Compressed>> = Mutex::new(BTreeMap::new());
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(etag.clone()).or_insert_with(|| Self(Arc::default())).clone()
    }

    /// The content in the best coding that `is_accepted`. A coding that saves less than a tenth is
    /// left out.
    pub(super) fn best(
        &self,
        content: &[u8],
        is_accepted: impl Fn(&'static str) -> bool,
    ) -> Option<(&'static str, Bytes)> {
        let mut codings = CODINGS.into_iter().zip(&*self.0).filter(|((name, _), _)| is_accepted(name));
        codings.find_map(|((name, compress), made)| {
            let made = made.get_or_init(|| {
                let bytes = compress(content);
                (bytes.len() < content.len() * 9 / 10).then(|| bytes.into())
            });
            made.clone().map(|bytes| (name, bytes))
        })
    }

    /// Makes all codings.
    pub(super) fn make(&self, content: &[u8]) {
        for (coding, _) in CODINGS {
            self.best(content, |name| name == coding);
        }
    }
}

fn brotli(content: &[u8]) -> Vec<u8> {
    let quality = if IS_THOROUGH { 11 } else { 2 };
    let params = BrotliEncoderParams { quality, size_hint: content.len(), ..BrotliEncoderParams::default() };
    let mut bytes = Vec::new();
    brotli::BrotliCompress(&mut &*content, &mut bytes, &params).expect("a vector takes everything");
    bytes
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let level = if IS_THOROUGH { Compression::best() } else { Compression::fast() };
    let mut gzip = GzEncoder::new(Vec::new(), level);
    gzip.write_all(content).expect("a vector takes everything");
    gzip.finish().expect("a vector takes everything")
}

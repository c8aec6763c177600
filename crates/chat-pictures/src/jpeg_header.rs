//! The headers of a JPEG, read before it is decoded.
//!
//! No library in use here does this. img-parts 0.4 stops at the first scan and so sees
//! neither later scans nor a missing end, and it panics where the file is truncated.

/// What the segments of a JPEG declare, from its start to its end (ITU-T T.81,
/// annex B).
pub(crate) struct JpegHeader {
    /// The number of coefficients of the whole picture.
    coefficients: u64,
    /// Whether the coefficients come in more than one scan, so that the decoder keeps
    /// all of them until the last one.
    many_scans: bool,
}

impl JpegHeader {
    /// Reads all segments; `None` if the file has no end marker, where the decoder would
    /// paint the missing part grey.
    pub(crate) fn read(file: &[u8]) -> Option<Self> {
        let mut header = Self { coefficients: 0, many_scans: false };
        let mut rest = file.strip_prefix(&[0xff, START])?;
        let mut scans = 0;
        loop {
            let marker;
            (marker, rest) = next_marker(rest)?;
            if marker == END {
                return Some(header);
            }
            let length = usize::from(u16::from_be_bytes(*rest.first_chunk()?));
            let segment = rest.get(2..length)?;
            rest = &rest[length..];
            match marker {
                SCAN => {
                    scans += 1;
                    header.many_scans |= scans > 1;
                }
                // C4, C8 and CC are no frame headers.
                0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                    header.many_scans |= marker == PROGRESSIVE;
                    header.coefficients = header.coefficients.max(coefficients(segment)?);
                }
                _ => {}
            }
        }
    }

    /// Bytes that the decoder allocates for coefficients.
    pub(crate) fn coefficient_bytes(&self) -> u64 {
        if self.many_scans { 2 * self.coefficients } else { 0 }
    }
}

const START: u8 = 0xd8;
const END: u8 = 0xd9;
const SCAN: u8 = 0xda;
const PROGRESSIVE: u8 = 0xc2;

/// The next marker and the bytes after it. Skips bytes of the picture that look like a
/// marker, which are followed by a zero, and restart markers, which belong to a scan.
fn next_marker(mut rest: &[u8]) -> Option<(u8, &[u8])> {
    loop {
        let at = rest.iter().position(|&byte| byte == 0xff)?;
        rest = &rest[at + 1..];
        match *rest.first()? {
            0 | 1 | 0xd0..=0xd7 | 0xff => {}
            marker => return Some((marker, &rest[1..])),
        }
    }
}

/// The number of coefficients that a frame header declares: for each component as many
/// blocks of 8×8 as its sampling factors ask for.
fn coefficients(frame: &[u8]) -> Option<u64> {
    let [_, h1, h0, w1, w0, _, components @ ..] = frame else { return None };
    let [width, height] = [[*w1, *w0], [*h1, *h0]].map(|two| u64::from(u16::from_be_bytes(two)));
    let samplings = || components.chunks_exact(3).map(|c| [c[1] >> 4, c[1] & 15].map(u64::from));
    let across = samplings().map(|[h, _]| h).max()?.max(1);
    let down = samplings().map(|[_, v]| v).max()?.max(1);
    let units = width.div_ceil(8 * across) * height.div_ceil(8 * down);
    Some(64 * units * samplings().map(|[h, v]| h * v).sum::<u64>())
}

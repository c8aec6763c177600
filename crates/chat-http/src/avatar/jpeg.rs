//! What a JPEG says of itself before it is decoded.

/// The segments of a JPEG, from its start to its end (ITU-T T.81, annex B).
pub(super) struct Outline {
    /// Coefficients of the whole picture.
    coefficients: u64,
    /// Whether they come in more than one pass, so that all of them must be kept
    /// until the last.
    many_scans: bool,
}

impl Outline {
    /// `None` if there is no end: the decoder would paint the rest grey.
    pub(super) fn read(file: &[u8]) -> Option<Self> {
        let mut outline = Self { coefficients: 0, many_scans: false };
        let mut rest = file.strip_prefix(&[0xff, START])?;
        let mut scans = 0;
        loop {
            let marker;
            (marker, rest) = next_marker(rest)?;
            if marker == END {
                return Some(outline);
            }
            let length = usize::from(u16::from_be_bytes(*rest.first_chunk()?));
            let segment = rest.get(2..length)?;
            rest = &rest[length..];
            match marker {
                SCAN => {
                    scans += 1;
                    outline.many_scans |= scans > 1;
                }
                // C4, C8 and CC are something else.
                0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                    outline.many_scans |= marker == PROGRESSIVE;
                    outline.coefficients = outline.coefficients.max(coefficients(segment)?);
                }
                _ => {}
            }
        }
    }

    /// Bytes that the decoder takes for coefficients.
    pub(super) fn coefficient_bytes(&self) -> u64 {
        if self.many_scans { 2 * self.coefficients } else { 0 }
    }
}

const START: u8 = 0xd8;
const END: u8 = 0xd9;
const SCAN: u8 = 0xda;
const PROGRESSIVE: u8 = 0xc2;

/// The next marker and what follows it. Bytes of the picture that look like one
/// have a zero behind them; what restarts a scan belongs to it.
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

/// What a frame header says: 8×8 blocks, as many for each component as its
/// sampling asks for.
fn coefficients(frame: &[u8]) -> Option<u64> {
    let [_, h1, h0, w1, w0, _, components @ ..] = frame else { return None };
    let [width, height] = [[*w1, *w0], [*h1, *h0]].map(|two| u64::from(u16::from_be_bytes(two)));
    let samplings = || components.chunks_exact(3).map(|c| [c[1] >> 4, c[1] & 15].map(u64::from));
    let across = samplings().map(|[h, _]| h).max()?.max(1);
    let down = samplings().map(|[_, v]| v).max()?.max(1);
    let units = width.div_ceil(8 * across) * height.div_ceil(8 * down);
    Some(64 * units * samplings().map(|[h, v]| h * v).sum::<u64>())
}

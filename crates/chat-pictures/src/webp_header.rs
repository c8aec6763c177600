//! The headers of a WebP, read before it is decoded.

use crate::error::PictureError;
use crate::vp8l::Scan;

/// What the decoder says of a WebP before it decodes it.
pub(crate) struct WebpHeader {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) has_alpha: bool,
    pub(crate) is_animated: bool,
}

impl WebpHeader {
    /// The bytes that image-webp 0.2 allocates for the first picture of the file, beside
    /// its output.
    ///
    /// Chunks are searched for at every byte of the file. A reader that follows the
    /// lengths of chunks, as libraries do, could be led past the chunk that the decoder
    /// takes. Bytes that only look like a chunk make the result larger.
    ///
    /// # Errors
    ///
    /// [`PictureError::TooMuchMemory`] if the code tables take more than `bytes_max`,
    /// [`PictureError::Damaged`] if a picture inside is larger than the whole.
    pub(crate) fn extra_bytes(&self, file: &[u8], bytes_max: u64) -> Result<u64, PictureError> {
        let pixels = u64::from(self.width) * u64::from(self.height);
        let (mut lossless, mut alpha) = (false, false);
        let mut tables = 0;
        let mut work = WORK_MAX;
        for (at, name) in file.windows(4).enumerate() {
            let data = file.get(at + 8..).unwrap_or_default();
            let stream = match name {
                // The decoder allocates a lossy picture before it compares its size
                // with that of the whole.
                b"VP8 " if lossy_pixels(data) > pixels => return Err(PictureError::Damaged(None)),
                b"VP8L" => {
                    lossless = true;
                    lossless_stream(data)
                }
                b"ALPH" => {
                    alpha = true;
                    self.size_of_alpha(&file[..at]).and_then(|size| alpha_stream(data, size))
                }
                _ => None,
            };
            if let Some((size, stream)) = stream {
                if size.0 * size.1 > pixels {
                    return Err(PictureError::Damaged(None));
                }
                tables = tables.max(Scan::table_bytes(stream, size, bytes_max, &mut work)?);
            }
        }
        let bytes_a_pixel = match () {
            // The canvas, a frame, and the data from which the frame is decoded.
            () if self.is_animated => 4 + 4 + 6,
            // Brightness and colours, and a picture of its own for transparency.
            () if alpha => 2 + 6,
            // Four channels, of which the output has three.
            () if lossless && !self.has_alpha => 5,
            () => 2,
        };
        Ok(pixels * bytes_a_pixel + tables)
    }

    /// The width and height of the transparency in the chunk after these bytes. In an
    /// animation they are those of the frame, whose header is right before the chunk.
    fn size_of_alpha(&self, before: &[u8]) -> Option<(u64, u64)> {
        if !self.is_animated {
            return Some((self.width.into(), self.height.into()));
        }
        let frame = before.last_chunk::<24>()?;
        let number =
            |at: usize| u64::from(u32::from_le_bytes([frame[at], frame[at + 1], frame[at + 2], 0])) + 1;
        frame.starts_with(b"ANMF").then(|| (number(14), number(17)))
    }
}

/// Symbols that are read in one file: some for each set of tables, and some for every
/// sixteenth pixel.
const WORK_MAX: u64 = 100_000_000;

/// The number of pixels that a lossy picture declares (RFC 6386 §9.1).
fn lossy_pixels(data: &[u8]) -> u64 {
    let [_, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1, ..] = data else { return 0 };
    let [width, height] = [[*w0, *w1], [*h0, *h1]].map(|two| u64::from(u16::from_le_bytes(two) & 0x3fff));
    width * height
}

type Stream<'a> = ((u64, u64), &'a [u8]);

/// The size of a lossless picture, and the bytes after its header.
fn lossless_stream(data: &[u8]) -> Option<Stream<'_>> {
    let [0x2f, b0, b1, b2, b3, stream @ ..] = data else { return None };
    let header = u64::from(u32::from_le_bytes([*b0, *b1, *b2, *b3]));
    let size = ((header & 0x3fff) + 1, (header >> 14 & 0x3fff) + 1);
    // The version must be 0.
    (header >> 29 == 0).then_some((size, stream))
}

/// The stream of transparency that is compressed as a lossless picture, which has no
/// header.
fn alpha_stream(data: &[u8], size: (u64, u64)) -> Option<Stream<'_>> {
    let (info, stream) = data.split_first()?;
    (info & 3 == 1).then_some((size, stream))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
        [name, &(data.len() as u32).to_le_bytes()[..], data].concat()
    }

    fn lossy(width: u16, height: u16) -> Vec<u8> {
        let size = [width.to_le_bytes(), height.to_le_bytes()].concat();
        chunk(b"VP8 ", &[&[0x10, 0, 0, 0x9d, 0x01, 0x2a][..], &size].concat())
    }

    /// Neither transformations nor a cache, and five codes of one symbol each.
    const STREAM: [u8; 3] = [0b1000_1000, 0b1000_1000, 0b0000_1000];

    #[test]
    fn a_picture_inside_that_is_larger_than_the_whole_is_refused_at_any_offset() {
        let webp = WebpHeader { width: 100, height: 50, has_alpha: false, is_animated: false };
        assert_eq!(webp.extra_bytes(&lossy(100, 50), 1 << 20).unwrap(), 100 * 50 * 2);
        for larger in [lossy(100, 51), lossy(16_383, 16_383), [lossy(100, 50), lossy(101, 50)].concat()] {
            for before in [0, 1, 1000] {
                let file = [vec![0; before], larger.clone()].concat();
                assert!(matches!(webp.extra_bytes(&file, 1 << 20), Err(PictureError::Damaged(_))));
            }
        }
        let header = u32::to_le_bytes(99 | 50 << 14);
        let lossless = chunk(b"VP8L", &[&[0x2f], &header[..], &STREAM].concat());
        assert!(matches!(webp.extra_bytes(&lossless, 1 << 20), Err(PictureError::Damaged(_))));
    }

    #[test]
    fn transparency_has_the_size_of_its_frame() {
        let alpha = chunk(b"ALPH", &[&[1], &STREAM[..]].concat());
        let mut webp = WebpHeader { width: 100, height: 50, has_alpha: true, is_animated: false };
        let plain = webp.extra_bytes(&alpha, 1 << 20).unwrap();
        assert!(plain > 100 * 50 * 8, "its tables are counted");
        assert!(matches!(webp.extra_bytes(&alpha, 1), Err(PictureError::TooMuchMemory)));

        webp.is_animated = true;
        let frame = |width: u8| {
            chunk(b"ANMF", &[&[0; 6][..], &[width - 1, 0, 0, 49, 0, 0, 0, 0, 0, 0], &alpha].concat())
        };
        assert!(webp.extra_bytes(&frame(100), 1 << 20).is_ok());
        assert!(matches!(webp.extra_bytes(&frame(101), 1 << 20), Err(PictureError::Damaged(_))));
    }
}

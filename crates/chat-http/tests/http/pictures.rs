//! Valid and invalid pictures for the tests of avatars.

use std::io::Cursor;

use image::codecs::gif::GifEncoder;
use image::{DynamicImage, Frame, ImageFormat, Luma, Rgb, RgbImage, Rgba, RgbaImage};

pub const RED: [u8; 3] = [255, 0, 0];
pub const BLUE: [u8; 3] = [0, 0, 255];

/// A picture whose left half is red and whose right half is blue.
pub fn two_halves(width: u32, height: u32) -> DynamicImage {
    RgbImage::from_fn(width, height, |x, _| Rgb(if x < width / 2 { RED } else { BLUE })).into()
}

pub fn encode(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut file = Vec::new();
    image.write_to(&mut Cursor::new(&mut file), format).unwrap();
    file
}

/// A small PNG, for tests of something else.
pub fn png() -> Vec<u8> {
    encode(&two_halves(32, 32), ImageFormat::Png)
}

/// A black PNG of this size.
pub fn black_png(width: u32, height: u32) -> Vec<u8> {
    encode(&image::ImageBuffer::from_pixel(width, height, Luma([0u8])).into(), ImageFormat::Png)
}

/// A PNG whose header declares this size, without any pixels.
pub fn png_of_nothing(width: u32, height: u32) -> Vec<u8> {
    let size = [width.to_be_bytes(), height.to_be_bytes()].concat();
    // 8 bits a channel, four channels.
    let header = [&size[..], &[8, 6, 0, 0, 0]].concat();
    png_file(&header, &[(b"IDAT", zlib(&[0; 64]))])
}

/// Eight by eight grey pixels that grow brighter from the left, in the seven
/// passes of an interlaced PNG.
pub fn interlaced_png() -> Vec<u8> {
    let passes =
        [(0, 8, 0, 8), (4, 8, 0, 8), (0, 4, 4, 8), (2, 4, 0, 4), (0, 2, 2, 4), (1, 2, 0, 2), (0, 1, 1, 2)];
    let mut rows = Vec::new();
    for (left, right_by, top, down_by) in passes {
        for _ in (top..8).step_by(down_by) {
            rows.push(0);
            rows.extend((left..8u8).step_by(right_by).map(|x| x * 30));
        }
    }
    png_file(&[0, 0, 0, 8, 0, 0, 0, 8, 8, 0, 0, 0, 1], &[(b"IDAT", zlib(&rows))])
}

/// One row: a red, a blue and a transparent pixel, of a palette with two bits.
pub fn png_with_palette() -> Vec<u8> {
    let palette = [RED, BLUE, [0; 3]].concat();
    let rows = [0, 0b00_01_10_00];
    png_file(
        &[0, 0, 0, 3, 0, 0, 0, 1, 2, 3, 0, 0, 0],
        &[(b"PLTE", palette), (b"tRNS", vec![255, 255, 0]), (b"IDAT", zlib(&rows))],
    )
}

fn png_file(header: &[u8], chunks: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let all = [(b"IHDR", header)].into_iter().chain(chunks.iter().map(|(name, data)| (*name, &data[..])));
    for (name, data) in all.chain([(b"IEND", &[][..])]) {
        let named = [name, data].concat();
        file.extend((data.len() as u32).to_be_bytes());
        file.extend(&named);
        file.extend(crc32(&named).to_be_bytes());
    }
    file
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    })
}

/// A zlib stream that compresses nothing.
fn zlib(bytes: &[u8]) -> Vec<u8> {
    let length = bytes.len() as u16;
    let sums = bytes.iter().fold((1, 0), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    let mut stream = vec![0x78, 1, 1];
    stream.extend(length.to_le_bytes());
    stream.extend((!length).to_le_bytes());
    stream.extend(bytes);
    stream.extend((sums.1 << 16 | sums.0).to_be_bytes());
    stream
}

/// An animation of these frames.
pub fn animated_gif(frames: &[DynamicImage]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = GifEncoder::new(&mut file);
    encoder.encode_frames(frames.iter().map(|frame| Frame::new(frame.to_rgba8()))).unwrap();
    drop(encoder);
    file
}

/// An animation of these frames, which must have one size.
pub fn animated_webp(frames: &[DynamicImage]) -> Vec<u8> {
    let size = |length: u32| (length - 1).to_le_bytes()[..3].to_vec();
    let (width, height) = (size(frames[0].width()), size(frames[0].height()));
    let mut chunks = webp_chunk(b"VP8X", &[&[2, 0, 0, 0], &width[..], &height].concat());
    chunks.extend(webp_chunk(b"ANIM", &[0; 6]));
    for frame in frames {
        // Without the twelve bytes of the file's header, the rest is one chunk.
        let still = encode(frame, ImageFormat::WebP).split_off(12);
        let frame = [&[0; 6], &width[..], &height, &[100, 0, 0, 0], &still].concat();
        chunks.extend(webp_chunk(b"ANMF", &frame));
    }
    webp_file(&chunks)
}

/// A WebP whose canvas is one pixel, and whose picture declares 16,383 × 16,383.
pub fn webp_with_a_larger_picture() -> Vec<u8> {
    let mut chunks = webp_chunk(b"VP8X", &[0; 10]);
    let mut picture = vec![0x10, 0, 0, 0x9d, 0x01, 0x2a, 0xff, 0x3f, 0xff, 0x3f];
    picture.resize(1000, 0);
    chunks.extend(webp_chunk(b"VP8 ", &picture));
    webp_file(&chunks)
}

/// A WebP of 4 × 4 pixels with 65,536 sets of code tables, 70 KB of memory each.
pub fn webp_with_many_tables() -> Vec<u8> {
    let mut bits = Bits::default();
    bits.low_first(0x2f, 8);
    bits.low_first(3, 14);
    bits.low_first(3, 14);
    bits.low_first(0, 4);
    // No transformation; a cache of 2^11 colours; sets by blocks of 4 × 4 pixels.
    bits.low_first(0, 1);
    bits.low_first(1 | 11 << 1, 5);
    bits.low_first(1, 4);
    // The one block has set 65,535: without a cache, each of the five codes has one symbol.
    bits.low_first(0, 1);
    for symbol in [255, 255, 0, 0, 0] {
        bits.low_first(0b101 | symbol << 3, 11);
    }
    for _ in 0..65_536 {
        // 2,048 symbols of 11 bits each; of the code for these lengths, symbol 11 is the only one.
        bits.low_first(0, 1);
        bits.low_first(11, 4);
        bits.low_first(0, 42);
        bits.low_first(1, 3);
        bits.low_first(1 | 5 << 1, 4);
        bits.low_first(2046, 12);
        for _ in 0..4 {
            bits.low_first(1, 4);
        }
    }
    webp_file(&webp_chunk(b"VP8L", &bits.bytes))
}

fn webp_file(chunks: &[u8]) -> Vec<u8> {
    webp_chunk(b"RIFF", &[b"WEBP", chunks].concat())
}

fn webp_chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut chunk = [name, &(data.len() as u32).to_le_bytes()[..], data].concat();
    chunk.resize(chunk.len().next_multiple_of(2), 0);
    chunk
}

/// A JPEG with EXIF: an orientation (6: the scene is turned to the left), and a position.
pub fn jpeg_with_exif(image: &DynamicImage) -> Vec<u8> {
    let entry = |tag: u16, kind: u16, count: u32, value: [u8; 4]| {
        [&tag.to_le_bytes()[..], &kind.to_le_bytes(), &count.to_le_bytes(), &value].concat()
    };
    let place = 8 + 2 + 2 * 12 + 4;
    let mut exif = b"Exif\0\0II*\0\x08\0\0\0\x02\0".to_vec();
    exif.extend(entry(0x0112, 3, 1, [6, 0, 0, 0]));
    exif.extend(entry(0x8825, 4, 1, u32::to_le_bytes(place)));
    exif.extend([0; 4]);
    exif.extend([2, 0]);
    exif.extend(entry(1, 2, 2, *b"N\0\0\0"));
    exif.extend(entry(2, 5, 3, u32::to_le_bytes(place + 2 + 2 * 12 + 4)));
    exif.extend([0; 4]);
    for part in [52u32, 1, 31, 1, 12, 1] {
        exif.extend(part.to_le_bytes());
    }
    let mut file = encode(image, ImageFormat::Jpeg);
    file.splice(2..2, jpeg_segment(0xe1, &exif));
    file
}

/// Eight by eight pixels of light red, as CMYK.
pub fn cmyk_jpeg() -> Vec<u8> {
    let mut file = vec![0xff, 0xd8];
    file.extend(jpeg_segment(0xee, b"Adobe\0\x64\0\0\0\0\0"));
    file.extend(jpeg_header(0xc0, 8, 8, 4));
    file.extend(jpeg_segment(0xda, &[4, 1, 0, 2, 0, 3, 0, 4, 0, 0, 63, 0]));
    let mut bits = Bits::default();
    // 255 stands for no ink.
    for ink in [Some(1016), None, None, Some(1016)] {
        match ink {
            Some(brightness) => bits.high_first(0b10 << 10 | brightness, 12),
            None => bits.high_first(0, 1),
        }
        bits.high_first(0, 1);
    }
    bits.high_first(!0, 8);
    file.extend(bits.bytes);
    file.extend([0xff, 0xd9]);
    file
}

/// A grey progressive JPEG of three components at full size, in two scans.
pub fn progressive_jpeg(width: u16, height: u16) -> Vec<u8> {
    let blocks = usize::from(width.div_ceil(8)) * usize::from(height.div_ceil(8));
    let mut file = vec![0xff, 0xd8];
    file.extend(jpeg_header(0xc2, width, height, 3));
    // One bit for each block: it does not differ from the one before.
    file.extend(jpeg_segment(0xda, &[3, 1, 0, 2, 0, 3, 0, 0, 0, 0]));
    file.resize(file.len() + (3 * blocks).div_ceil(8), 0);
    file.extend(jpeg_segment(0xda, &[1, 1, 0, 1, 63, 0]));
    file.resize(file.len() + blocks.div_ceil(8), 0);
    file.extend([0xff, 0xd9]);
    file
}

/// The segments before the first scan; the codes are `0` and `10` for the blocks'
/// brightness (no change, or ten bits of it), and `0` for "nothing else".
fn jpeg_header(frame: u8, width: u16, height: u16, components: u8) -> Vec<u8> {
    let mut header = jpeg_segment(0xdb, &[&[0], &[1; 64][..]].concat());
    let size = [height.to_be_bytes(), width.to_be_bytes()].concat();
    let listed = (1..=components).flat_map(|id| [id, 0x11, 0]);
    let sizes = [8].into_iter().chain(size).chain([components]);
    header.extend(jpeg_segment(frame, &sizes.chain(listed).collect::<Vec<_>>()));
    let mut table = [0; 17];
    (table[1], table[2]) = (1, 1);
    header.extend(jpeg_segment(0xc4, &[&table[..], &[0, 10]].concat()));
    (table[0], table[2]) = (0x10, 0);
    header.extend(jpeg_segment(0xc4, &[&table[..], &[0]].concat()));
    header
}

fn jpeg_segment(marker: u8, data: &[u8]) -> Vec<u8> {
    [&[0xff, marker][..], &(data.len() as u16 + 2).to_be_bytes(), data].concat()
}

/// A black square on transparent white.
pub fn stencil(side: u32) -> DynamicImage {
    let inside = side / 4..side * 3 / 4;
    let pixel =
        |x, y| if inside.contains(&x) && inside.contains(&y) { [0, 0, 0, 255] } else { [255, 255, 255, 0] };
    RgbaImage::from_fn(side, side, |x, y| Rgba(pixel(x, y))).into()
}

/// A writer of numbers of any width in bits.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    /// The number of bits of the last byte that are used.
    used: u32,
}

impl Bits {
    /// Appends the lowest bit first, as in WebP.
    fn low_first(&mut self, number: u64, width: u32) {
        for at in 0..width {
            self.push((number >> at & 1) as u8, self.used % 8);
        }
    }

    /// Appends the highest bit first, as in JPEG. No byte here is all ones.
    fn high_first(&mut self, number: i32, width: u32) {
        for at in (0..width).rev() {
            self.push((number >> at & 1) as u8, 7 - self.used % 8);
        }
    }

    fn push(&mut self, bit: u8, place: u32) {
        if self.used.is_multiple_of(8) {
            self.bytes.push(0);
        }
        *self.bytes.last_mut().unwrap() |= bit << place;
        self.used += 1;
    }
}

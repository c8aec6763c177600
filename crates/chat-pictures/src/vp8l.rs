//! The memory that the code tables of a lossless WebP take, computed before the decoder
//! allocates them (RFC 9649 §3).
//!
//! No library does this. image-webp 0.2.4 has `set_memory_limit`, but applies it to
//! metadata and chunks only, and the `image` crate does not call it; the other decoders
//! of WebP are bindings to libwebp, which is written in C.

use crate::error::PictureError;

/// A reader of a lossless stream, up to where its pixels begin.
///
/// Two megabytes of a stream can declare 65,536 sets of tables of 70 KB each, 4 GB, and
/// no header says so; image-webp 0.2 allocates all of them without a limit. This reader
/// does the part of the decoder's work that comes before, without tables and without a
/// picture.
pub(crate) struct Scan<'a> {
    bits: Bits<'a>,
    /// Bytes of the tables read so far.
    bytes: u64,
    bytes_max: u64,
    /// Symbols that may still be read.
    work: &'a mut u64,
}

impl<'a> Scan<'a> {
    /// The bytes of the tables of a stream, which begins after its header.
    ///
    /// # Errors
    ///
    /// [`PictureError::TooMuchMemory`] if the tables take more than `bytes_max` or more
    /// than `work` symbols have to be read, [`PictureError::Damaged`] if the stream does
    /// not follow its format.
    pub(crate) fn table_bytes(
        stream: &'a [u8],
        (width, height): (u64, u64),
        bytes_max: u64,
        work: &'a mut u64,
    ) -> Result<u64, PictureError> {
        let mut scan = Self { bits: Bits { bytes: stream, at: 0 }, bytes: 0, bytes_max, work };
        let mut width = width;
        while scan.bits.number(1)? == 1 {
            match scan.bits.number(2)? {
                // Two transformations are stored as small pictures, one as a row of colours.
                0 | 1 => {
                    let block = 4 << scan.bits.number(3)?;
                    scan.small_picture(width.div_ceil(block) * height.div_ceil(block))?;
                }
                2 => {}
                _ => {
                    let colors = scan.bits.number(8)? + 1;
                    scan.small_picture(colors)?;
                    // With few colours, several pixels are packed into one.
                    width = width.div_ceil(match colors {
                        ..=2 => 8,
                        3..=4 => 4,
                        5..=16 => 2,
                        _ => 1,
                    });
                }
            }
        }
        let cache = scan.cache()?;
        let mut sets = 1;
        if scan.bits.number(1)? == 1 {
            let block = 4 << scan.bits.number(3)?;
            sets += scan.small_picture(width.div_ceil(block) * height.div_ceil(block))?;
        }
        for _ in 0..sets {
            scan.set(cache)?;
        }
        Ok(scan.bytes)
    }

    /// Skips a picture that has one set of tables. Returns the largest number that its
    /// pixels have in red and green; pixels that are copied or come from the cache
    /// repeat earlier ones.
    fn small_picture(&mut self, pixels: u64) -> Result<u64, PictureError> {
        let cache = self.cache()?;
        let [green, red, blue, alpha, distance] = self.set(cache)?;
        let all_alike = [&green, &red, &blue, &alpha].iter().all(|code| code.is_single());
        let (mut done, mut largest) = (0, 0);
        while done < pixels {
            self.work(1)?;
            done += match green.symbol(&mut self.bits)? {
                value @ ..256 => {
                    largest = largest.max(red.symbol(&mut self.bits)? << 8 | value);
                    blue.symbol(&mut self.bits)?;
                    alpha.symbol(&mut self.bits)?;
                    if all_alike { pixels } else { 1 }
                }
                length @ 256..280 => {
                    let length = self.bits.length(length - 256)?;
                    let distance = distance.symbol(&mut self.bits)?;
                    self.bits.length(distance)?;
                    length
                }
                _ => 1,
            };
        }
        Ok(largest)
    }

    /// The number of symbols that the colour cache adds to the first code.
    fn cache(&mut self) -> Result<usize, PictureError> {
        if self.bits.number(1)? == 0 {
            return Ok(0);
        }
        match self.bits.number(4)? {
            bits @ 1..=11 => Ok(1 << bits),
            _ => Err(DAMAGED),
        }
    }

    /// One set: the codes for green (with lengths and the cache), red, blue, alpha and
    /// distances.
    fn set(&mut self, cache: usize) -> Result<[Code; 5], PictureError> {
        self.count(SET_BYTES)?;
        Ok([self.code(280 + cache)?, self.code(256)?, self.code(256)?, self.code(256)?, self.code(40)?])
    }

    fn code(&mut self, symbols: usize) -> Result<Code, PictureError> {
        let code = if self.bits.number(1)? == 1 {
            // One symbol, or two in this order.
            let two = self.bits.number(1)? == 1;
            let width = if self.bits.number(1)? == 1 { 8 } else { 1 };
            let mut listed = vec![self.bits.number(width)? as u16];
            if two {
                listed.push(self.bits.number(8)? as u16);
            }
            Code::of(listed)
        } else {
            let mut lengths = [0; 19];
            for at in LENGTHS_IN_ORDER.into_iter().take(4 + self.bits.number(4)? as usize) {
                lengths[at] = self.bits.number(3)? as u8;
            }
            Code::new(&self.lengths(&Code::new(&lengths)?, symbols)?)?
        };
        self.count(code.table_bytes())?;
        Ok(code)
    }

    fn lengths(&mut self, code: &Code, symbols: usize) -> Result<Vec<u8>, PictureError> {
        let mut left = symbols;
        if self.bits.number(1)? == 1 {
            let width = 2 + 2 * self.bits.number(3)? as u32;
            left = 2 + self.bits.number(width)? as usize;
        }
        self.work(symbols as u64)?;
        let mut lengths = Vec::with_capacity(symbols);
        let mut last = 8;
        while lengths.len() < symbols && left > 0 {
            left -= 1;
            let (length, times) = match code.symbol(&mut self.bits)? {
                16 => (last, 3 + self.bits.number(2)?),
                17 => (0, 3 + self.bits.number(3)?),
                18 => (0, 11 + self.bits.number(7)?),
                length => (length as u8, 1),
            };
            if length > 0 {
                last = length;
            }
            lengths.extend(std::iter::repeat_n(length, times as usize));
        }
        if lengths.len() <= symbols { Ok(lengths) } else { Err(DAMAGED) }
    }

    fn count(&mut self, bytes: u64) -> Result<(), PictureError> {
        self.bytes += bytes;
        if self.bytes > self.bytes_max { Err(PictureError::TooMuchMemory) } else { Ok(()) }
    }

    fn work(&mut self, symbols: u64) -> Result<(), PictureError> {
        *self.work = self.work.checked_sub(symbols).ok_or(PictureError::TooMuchMemory)?;
        Ok(())
    }
}

const DAMAGED: PictureError = PictureError::Damaged(None);

/// The bytes of one set in image-webp 0.2 without its larger tables: 320 bytes in a list
/// that doubles when it is full, and five allocations of about 100 bytes.
const SET_BYTES: u64 = 2048;

/// The order in which the lengths of the code for lengths are stored.
const LENGTHS_IN_ORDER: [usize; 19] = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

/// A canonical Huffman code.
struct Code {
    /// The number of codes of each length.
    counts: [u64; 16],
    /// The symbols in the order of their codes. (For two symbols image-webp 0.2 takes the
    /// order in which they are listed.)
    symbols: Vec<u16>,
}

impl Code {
    fn new(lengths: &[u8]) -> Result<Self, PictureError> {
        let mut counts = [0; 16];
        let mut symbols: Vec<u16> = (0..).take(lengths.len()).collect();
        symbols.retain(|symbol| lengths[usize::from(*symbol)] > 0);
        symbols.sort_by_key(|symbol| lengths[usize::from(*symbol)]);
        for symbol in &symbols {
            counts[usize::from(lengths[usize::from(*symbol)])] += 1;
        }
        // The code must be complete: every sequence of bits stands for a symbol.
        let covered: u64 = (1..16).map(|length| counts[length] << (15 - length)).sum();
        let complete = symbols.len() == 1 || covered == 1 << 15;
        if complete { Ok(Self { counts, symbols }) } else { Err(DAMAGED) }
    }

    /// A code of one symbol, or of two with one bit each.
    fn of(symbols: Vec<u16>) -> Self {
        let mut counts = [0; 16];
        counts[1] = symbols.len() as u64;
        Self { counts, symbols }
    }

    /// Whether the code has only one symbol, which takes no bits.
    fn is_single(&self) -> bool {
        self.symbols.len() == 1
    }

    fn symbol(&self, bits: &mut Bits<'_>) -> Result<u64, PictureError> {
        if self.is_single() {
            return Ok(self.symbols[0].into());
        }
        let (mut code, mut first, mut before) = (0, 0, 0);
        for count in &self.counts[1..] {
            code = code << 1 | bits.number(1)?;
            first <<= 1;
            if code < first + count {
                return self
                    .symbols
                    .get((before + code - first) as usize)
                    .map(|s| (*s).into())
                    .ok_or(DAMAGED);
            }
            before += count;
            first += count;
        }
        Err(DAMAGED)
    }

    /// The bytes of image-webp's table for codes of up to ten bits, and of its tree for
    /// longer codes, which has two nodes of 16 bytes for each.
    fn table_bytes(&self) -> u64 {
        if self.is_single() {
            return 0;
        }
        let longest = self.counts.iter().rposition(|count| *count > 0).unwrap_or(0);
        (4 << longest.min(10)) + 32 * self.counts[11..].iter().sum::<u64>()
    }
}

/// A reader of bits, the lowest of each byte first.
struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn number(&mut self, width: u32) -> Result<u64, PictureError> {
        let mut number = 0;
        for position in 0..width {
            let byte = self.bytes.get(self.at / 8).ok_or(DAMAGED)?;
            number |= u64::from(byte >> (self.at % 8) & 1) << position;
            self.at += 1;
        }
        Ok(number)
    }

    /// A length or a distance: the symbol, and the extra bits that belong to it.
    fn length(&mut self, symbol: u64) -> Result<u64, PictureError> {
        if symbol < 4 {
            return Ok(symbol + 1);
        }
        let width = (symbol - 2) >> 1;
        Ok(((2 + (symbol & 1)) << width) + self.number(width as u32)? + 1)
    }
}

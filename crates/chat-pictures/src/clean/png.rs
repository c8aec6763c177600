//! PNG: chunks after a signature (PNG 3rd edition, §5).

use std::io::{self, Read, Write};

use image::metadata::Orientation;

use super::input::Input;
use super::{METADATA_MAX_BYTES, orientation};

/// Copies a PNG without its metadata; returns the size of the upright picture.
pub(super) fn clean(
    input: &mut Input<'_, impl Read>,
    output: &mut impl Write,
) -> io::Result<Option<(u32, u32)>> {
    if input.array()? != Some(*SIGNATURE) {
        return Ok(None);
    }
    output.write_all(SIGNATURE)?;
    let Some((13, kind @ [b'I', b'H', b'D', b'R'])) = chunk(input)? else { return Ok(None) };
    let Some(header) = input.array::<17>()? else { return Ok(None) };
    output.write_all(&13_u32.to_be_bytes())?;
    output.write_all(&kind)?;
    output.write_all(&header)?;
    let [w3, w2, w1, w0, h3, h2, h1, h0, ..] = header;
    let size = (u32::from_be_bytes([w3, w2, w1, w0]), u32::from_be_bytes([h3, h2, h1, h0]));

    let mut turned = Orientation::NoTransforms;
    let mut has_pixels = false;
    while let Some((length, kind)) = chunk(input)? {
        if &kind == b"eXIf" && length as usize <= METADATA_MAX_BYTES {
            turned = orientation::read(&input.bytes(length as usize)?);
            input.skip(CHECKSUM_BYTES)?;
            if let Some(exif) = orientation::write(turned) {
                write_chunk(output, &kind, &exif)?;
            }
        } else if is_kept(&kind) {
            has_pixels |= &kind == b"IDAT";
            output.write_all(&length.to_be_bytes())?;
            output.write_all(&kind)?;
            input.copy(u64::from(length) + CHECKSUM_BYTES, output)?;
            if &kind == b"IEND" {
                break;
            }
        } else {
            input.skip(u64::from(length) + CHECKSUM_BYTES)?;
        }
    }
    Ok(has_pixels.then(|| orientation::upright(size, turned)))
}

const SIGNATURE: &[u8; 8] = b"\x89PNG\r\n\x1a\n";
const CHECKSUM_BYTES: u64 = 4;

/// The length and type of the next chunk; `None` at the end, or if it is damaged.
fn chunk(input: &mut Input<'_, impl Read>) -> io::Result<Option<(u32, [u8; 4])>> {
    let (length, kind) = (input.array()?.map(u32::from_be_bytes), input.array()?);
    Ok(length
        .zip(kind)
        .filter(|(length, kind)| *length < 1 << 31 && kind.iter().all(u8::is_ascii_alphabetic)))
}

/// Whether a chunk is needed to show the picture: critical ones, whose type begins with a
/// capital letter, and those of colours, transparency, pixel size and animation.
fn is_kept(kind: &[u8; 4]) -> bool {
    const SHOWN: [&[u8; 4]; 16] = [
        b"tRNS", b"cHRM", b"gAMA", b"iCCP", b"sBIT", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"bKGD", b"hIST",
        b"pHYs", b"sPLT", b"acTL", b"fcTL", b"fdAT",
    ];
    kind[0].is_ascii_uppercase() || SHOWN.contains(&kind)
}

fn write_chunk(output: &mut impl Write, kind: &[u8; 4], data: &[u8]) -> io::Result<()> {
    let mut checksum = crc32fast::Hasher::new();
    checksum.update(kind);
    checksum.update(data);
    output.write_all(&(data.len() as u32).to_be_bytes())?;
    output.write_all(kind)?;
    output.write_all(data)?;
    output.write_all(&checksum.finalize().to_be_bytes())
}

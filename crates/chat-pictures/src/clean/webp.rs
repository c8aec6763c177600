//! WebP: chunks in a RIFF file (RFC 9649 §2).

use std::io::{self, Read, Seek, SeekFrom, Write};

use image::metadata::Orientation;

use super::input::Input;
use super::{METADATA_MAX_BYTES, orientation};

/// Copies a WebP without its metadata; returns the size of the upright picture.
pub(super) fn clean<O: Write + Seek>(
    input: &mut Input<'_, impl Read>,
    output: &mut O,
) -> io::Result<Option<(u32, u32)>> {
    let Some([b'R', b'I', b'F', b'F', s0, s1, s2, s3, b'W', b'E', b'B', b'P']) = input.array()? else {
        return Ok(None);
    };
    let end = u64::from(u32::from_le_bytes([s0, s1, s2, s3])) + 8;
    output.write_all(&[b'R', b'I', b'F', b'F', s0, s1, s2, s3, b'W', b'E', b'B', b'P'])?;

    let (mut read, mut written) = (12_u64, 12_u64);
    let mut size = None;
    // Where the flags of the extended header are.
    let mut flags: Option<(u64, u8)> = None;
    let mut turned = Orientation::NoTransforms;
    let mut has_picture = false;
    while read + 8 <= end {
        let Some([k0, k1, k2, k3, l0, l1, l2, l3]) = input.array()? else { break };
        let (kind, length) = ([k0, k1, k2, k3], u32::from_le_bytes([l0, l1, l2, l3]));
        // Chunks are filled up to an even length.
        let padded = (u64::from(length) + u64::from(length % 2)).min(end - read - 8);
        read += 8 + padded;
        match &kind {
            b"EXIF" if length as usize <= METADATA_MAX_BYTES => {
                let exif = input.bytes(padded as usize)?;
                turned = orientation::read(exif.strip_prefix(b"Exif\0\0").unwrap_or(&exif));
            }
            b"VP8X" | b"VP8 " | b"VP8L" | b"ALPH" | b"ANIM" | b"ANMF" | b"ICCP" => {
                let head = input.bytes(padded.min(10) as usize)?;
                match &kind {
                    b"VP8X" if head.len() == 10 && flags.is_none() => {
                        flags = Some((written + 8, head[0]));
                        let number =
                            |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], 0]);
                        size = Some((number(4) + 1, number(7) + 1));
                    }
                    b"VP8 " => {
                        has_picture = true;
                        size = size.or_else(|| lossy_size(&head));
                    }
                    b"VP8L" => {
                        has_picture = true;
                        size = size.or_else(|| lossless_size(&head));
                    }
                    b"ANMF" => has_picture = true,
                    _ => {}
                }
                output.write_all(&kind)?;
                output.write_all(&length.to_le_bytes())?;
                output.write_all(&head)?;
                let rest = input.copy(padded - head.len() as u64, output)?;
                written += 8 + head.len() as u64 + rest;
            }
            _ => {
                input.skip(padded)?;
            }
        }
    }
    // Without the extended header, programs do not look for the orientation.
    let turned = if flags.is_some() { turned } else { Orientation::NoTransforms };
    let exif = orientation::write(turned);
    if let Some(exif) = &exif {
        output.write_all(b"EXIF")?;
        output.write_all(&(exif.len() as u32).to_le_bytes())?;
        output.write_all(exif)?;
        written += 8 + exif.len() as u64;
    }
    output.seek(SeekFrom::Start(4))?;
    output.write_all(&((written - 8) as u32).to_le_bytes())?;
    if let Some((at, flags)) = flags {
        output.seek(SeekFrom::Start(at))?;
        let exif = if exif.is_some() { EXIF_FLAG } else { 0 };
        output.write_all(&[flags & !(EXIF_FLAG | XMP_FLAG) | exif])?;
    }
    Ok(size.filter(|_| has_picture).map(|size| orientation::upright(size, turned)))
}

const EXIF_FLAG: u8 = 0x08;
const XMP_FLAG: u8 = 0x04;

/// The size in the header of a lossy picture (RFC 6386 §9.1).
fn lossy_size(data: &[u8]) -> Option<(u32, u32)> {
    let [_, _, _, 0x9d, 0x01, 0x2a, w0, w1, h0, h1, ..] = *data else { return None };
    let number = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
    Some((number(w0, w1), number(h0, h1)))
}

/// The size in the header of a lossless picture (RFC 9649 §3.4).
fn lossless_size(data: &[u8]) -> Option<(u32, u32)> {
    let [0x2f, b0, b1, b2, b3, ..] = *data else { return None };
    let header = u32::from_le_bytes([b0, b1, b2, b3]);
    Some(((header & 0x3fff) + 1, (header >> 14 & 0x3fff) + 1))
}

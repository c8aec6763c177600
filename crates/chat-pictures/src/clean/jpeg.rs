//! JPEG: segments between a start and an end (ITU-T T.81, annex B).

use std::io::{self, Read, Write};

use image::metadata::Orientation;

use super::input::Input;
use super::orientation;

/// Copies a JPEG without its metadata; returns the size of the upright picture.
pub(super) fn clean(
    input: &mut Input<'_, impl Read>,
    output: &mut impl Write,
) -> io::Result<Option<(u32, u32)>> {
    if input.array()? != Some([0xff, START]) {
        return Ok(None);
    }
    output.write_all(&[0xff, START])?;
    let (mut size, mut turned) = (None, None);
    // The byte after the next 0xff is known where a scan was read.
    let mut after_scan = None;
    let mut has_scan = false;
    loop {
        let marker = match after_scan.take() {
            Some(marker) => marker,
            None => match marker(input)? {
                Some(marker) => marker,
                // Decoders show what came until then.
                None if has_scan => break,
                None => return Ok(None),
            },
        };
        match marker {
            END => {
                output.write_all(&[0xff, END])?;
                break;
            }
            // Markers without a segment.
            0x01 | 0xd0..=0xd7 => {
                output.write_all(&[0xff, marker])?;
                continue;
            }
            _ => {}
        }
        let Some(length) = input.array()?.map(u16::from_be_bytes) else { break };
        let Some(length) = length.checked_sub(2) else { return Ok(None) };
        let mut segment = input.bytes(length.into())?;
        if segment.len() < length.into() {
            break;
        }
        let kept = match marker {
            0xe0 => {
                // A small picture may follow.
                segment.truncate(14);
                segment.get_mut(12..).into_iter().flatten().for_each(|side| *side = 0);
                segment.len() == 14 && segment.starts_with(b"JFIF\0")
            }
            0xe1 => {
                let exif = segment.strip_prefix(b"Exif\0").and_then(|exif| exif.get(1..));
                let orientation = exif.map(orientation::read).filter(|_| turned.is_none());
                turned = turned.or(orientation);
                let exif = orientation.and_then(orientation::write);
                segment = [b"Exif\0\0", &*exif.unwrap_or_default()].concat();
                segment.len() > 6
            }
            0xe2 => segment.starts_with(b"ICC_PROFILE\0"),
            // How the colours are encoded.
            0xee => segment.starts_with(b"Adobe"),
            0xe3..=0xef | COMMENT => false,
            _ => true,
        };
        if kept {
            let length = segment.len() as u16 + 2;
            output.write_all(&[0xff, marker])?;
            output.write_all(&length.to_be_bytes())?;
            output.write_all(&segment)?;
        }
        match marker {
            SCAN => {
                has_scan = true;
                after_scan = copy_scan(input, output)?;
                if after_scan.is_none() {
                    break;
                }
            }
            // C4, C8 and CC are no frame headers.
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                let [_, h1, h0, w1, w0, ..] = segment[..] else { return Ok(None) };
                let number = |high, low| u32::from(u16::from_be_bytes([high, low]));
                size = size.or(Some((number(w1, w0), number(h1, h0))));
            }
            _ => {}
        }
    }
    if !has_scan {
        return Ok(None);
    }
    Ok(size.map(|size| orientation::upright(size, turned.unwrap_or(Orientation::NoTransforms))))
}

const START: u8 = 0xd8;
const END: u8 = 0xd9;
const SCAN: u8 = 0xda;
const COMMENT: u8 = 0xfe;

/// The next marker, before which there may be any number of 0xff; `None` if something else
/// follows.
fn marker(input: &mut Input<'_, impl Read>) -> io::Result<Option<u8>> {
    if input.byte()? != Some(0xff) {
        return Ok(None);
    }
    loop {
        match input.byte()? {
            Some(0xff) => {}
            Some(0) | None => return Ok(None),
            marker => return Ok(marker),
        }
    }
}

/// Copies the coefficients of a scan; returns the marker after them, if there is one.
fn copy_scan(input: &mut Input<'_, impl Read>, output: &mut impl Write) -> io::Result<Option<u8>> {
    while input.copy_until(0xff, output)? {
        loop {
            match input.byte()? {
                Some(0xff) => {}
                // A byte of the scan that looks like a marker, or a restart of the decoder.
                Some(byte @ (0 | 0xd0..=0xd7)) => {
                    output.write_all(&[0xff, byte])?;
                    break;
                }
                marker => return Ok(marker),
            }
        }
    }
    Ok(None)
}

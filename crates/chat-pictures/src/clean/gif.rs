//! GIF, which is copied as it is.

use std::io::{self, Read, Write};

use super::input::Input;

/// Copies a GIF; returns its size. Browsers make room for frames that reach beyond the size that the
/// file begins with, so that a small file could be said to be a small picture and have a thousand
/// million pixels: the size is that of everything.
pub(super) fn copy(
    input: &mut Input<'_, impl Read>,
    output: &mut impl Write,
) -> io::Result<Option<(u32, u32)>> {
    let Some(head) = input.array::<10>()? else { return Ok(None) };
    let [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', w0, w1, h0, h1] = head else { return Ok(None) };
    output.write_all(&head)?;
    let mut size = (number(w0, w1), number(h0, h1));
    if let Some(flags) = byte(input, output)? {
        // The background and the shape of pixels, too.
        input.copy(2 + colours(flags), output)?;
        frames(input, output, &mut size)?;
    }
    // What follows the end, or what cannot be read.
    input.copy(u64::MAX, output)?;
    Ok(Some(size))
}

/// Copies blocks up to the end, and makes room for the frames among them.
fn frames(
    input: &mut Input<'_, impl Read>,
    output: &mut impl Write,
    (width, height): &mut (u32, u32),
) -> io::Result<()> {
    loop {
        match byte(input, output)? {
            Some(FRAME) => {
                let place = input.bytes(9)?;
                output.write_all(&place)?;
                let [x0, x1, y0, y1, w0, w1, h0, h1, flags] = place[..] else { return Ok(()) };
                *width = number(x0, x1).saturating_add(number(w0, w1)).max(*width);
                *height = number(y0, y1).saturating_add(number(h0, h1)).max(*height);
                input.copy(colours(flags), output)?;
            }
            Some(EXTENSION) => {}
            _ => return Ok(()),
        }
        // The size of codes, or the kind of the extension; then parts, the last of which is empty.
        byte(input, output)?;
        while let Some(bytes @ 1..) = byte(input, output)? {
            input.copy(bytes.into(), output)?;
        }
    }
}

/// Copies the next byte; `None` at the end.
fn byte(input: &mut Input<'_, impl Read>, output: &mut impl Write) -> io::Result<Option<u8>> {
    let byte = input.byte()?;
    if let Some(byte) = byte {
        output.write_all(&[byte])?;
    }
    Ok(byte)
}

fn number(low: u8, high: u8) -> u32 {
    u16::from_le_bytes([low, high]).into()
}

/// The bytes of the table of colours that these flags announce.
fn colours(flags: u8) -> u64 {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}

const FRAME: u8 = b',';
const EXTENSION: u8 = b'!';

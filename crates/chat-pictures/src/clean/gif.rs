//! GIF, which is copied as it is.

use std::io::{self, Read, Write};

use super::input::Input;

/// Copies a GIF; returns its size.
pub(super) fn copy(
    input: &mut Input<'_, impl Read>,
    output: &mut impl Write,
) -> io::Result<Option<(u32, u32)>> {
    let Some(head) = input.array::<10>()? else { return Ok(None) };
    let [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', w0, w1, h0, h1] = head else { return Ok(None) };
    output.write_all(&head)?;
    input.copy(u64::MAX, output)?;
    let number = |low, high| u32::from(u16::from_le_bytes([low, high]));
    Ok(Some((number(w0, w1), number(h0, h1))))
}

//! A file that is read once, from its start to its end.

use std::io::{self, BufRead as _, BufReader, Read, Write};

use super::BUFFER_BYTES;

/// A file that is read once, from its start to its end.
pub(super) struct Input<'a, R> {
    reader: BufReader<&'a mut R>,
}

impl<'a, R: Read> Input<'a, R> {
    pub(super) fn new(reader: &'a mut R) -> Self {
        Self { reader: BufReader::with_capacity(BUFFER_BYTES, reader) }
    }

    /// The next byte; `None` at the end.
    pub(super) fn byte(&mut self) -> io::Result<Option<u8>> {
        Ok(self.array()?.map(|[byte]| byte))
    }

    /// The next bytes; `None` if fewer are left.
    pub(super) fn array<const N: usize>(&mut self) -> io::Result<Option<[u8; N]>> {
        let mut bytes = [0; N];
        match self.reader.read_exact(&mut bytes) {
            Ok(()) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The next `count` bytes, or those that are left.
    pub(super) fn bytes(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.reader.by_ref().take(count as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Copies the next `count` bytes, or those that are left; returns how many.
    pub(super) fn copy(&mut self, count: u64, output: &mut impl Write) -> io::Result<u64> {
        io::copy(&mut self.reader.by_ref().take(count), output)
    }

    /// Passes over the next `count` bytes, or those that are left.
    pub(super) fn skip(&mut self, count: u64) -> io::Result<u64> {
        self.copy(count, &mut io::sink())
    }

    /// Copies up to, and without, the next byte of this value, which is passed over. False
    /// if there is none.
    pub(super) fn copy_until(&mut self, byte: u8, output: &mut impl Write) -> io::Result<bool> {
        loop {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                return Ok(false);
            }
            match buffer.iter().position(|other| *other == byte) {
                Some(at) => {
                    output.write_all(&buffer[..at])?;
                    self.reader.consume(at + 1);
                    return Ok(true);
                }
                None => {
                    output.write_all(buffer)?;
                    let read = buffer.len();
                    self.reader.consume(read);
                }
            }
        }
    }
}

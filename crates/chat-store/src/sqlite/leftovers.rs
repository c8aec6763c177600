//! Copies of rows that SQLite leaves in its pages.
//!
//! When SQLite moves rows to another page, it may leave copies of them between the pointers
//! and the rows of the old page; `secure_delete` overwrites a deleted row, but not these.
//! They are found in the file, and overwritten there.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::path::Path;

/// The file of a database. It stays open as long as SQLite has the file: a process that
/// closes a file loses its locks on it, whoever took them.
pub(super) struct Pages(File);

/// The layout of the file, from its header: <https://sqlite.org/fileformat2.html#b_tree_pages>.
#[derive(Clone, Copy)]
struct Layout {
    page: usize,
    /// The bytes of a page that SQLite uses.
    usable: usize,
    pages: u64,
}

impl Pages {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(OpenOptions::new().read(true).write(true).open(path)?))
    }

    /// Finds the pages with copies of rows, by their numbers from 0. It reads all of the
    /// file, while others may write to it.
    pub(super) fn find(&self) -> io::Result<Vec<u64>> {
        let Some(layout) = self.layout()? else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        let at_once = (READ_AT_ONCE / layout.page).max(1) as u64;
        let mut bytes = Vec::new();
        for first in (0..layout.pages).step_by(at_once as usize) {
            let count = at_once.min(layout.pages - first) as usize;
            bytes.resize(count * layout.page, 0);
            read(&self.0, &mut bytes, first * layout.page as u64)?;
            for (number, page) in (first..).zip(bytes.chunks_exact(layout.page)) {
                found.extend(leftovers(page, number == 0, layout.usable).map(|_| number));
            }
        }
        Ok(found)
    }

    /// Overwrites the copies of rows in these pages. The WAL is empty, and nobody may write
    /// to it meanwhile.
    pub(super) fn overwrite(&self, pages: &[u64]) -> io::Result<()> {
        let Some(layout) = self.layout()? else { return Ok(()) };
        let mut page = vec![0; layout.page];
        for number in pages.iter().filter(|number| **number < layout.pages) {
            let start = number * layout.page as u64;
            read(&self.0, &mut page, start)?;
            if let Some(range) = leftovers(&page, *number == 0, layout.usable) {
                write(&self.0, &vec![0; range.len()], start + range.start as u64)?;
            }
        }
        self.0.sync_data()
    }

    /// `None` of a file in which pages cannot be told apart.
    fn layout(&self) -> io::Result<Option<Layout>> {
        let length = self.0.metadata()?.len();
        if length < 100 {
            return Ok(None);
        }
        let mut header = [0; 100];
        read(&self.0, &mut header, 0)?;
        let page = match u16::from_be_bytes([header[16], header[17]]) {
            1 => 65_536,
            size => usize::from(size),
        };
        let usable = page.saturating_sub(usize::from(header[20]));
        let pages = length / page.max(1) as u64;
        Ok((page >= 512 && pages < PAGES_MAX).then_some(Layout { page, usable, pages }))
    }
}

const READ_AT_ONCE: usize = 1 << 20;

/// Pages without rows begin with the number of a page, and other pages with 2, 5, 10 or 13:
/// with so many pages, their first byte might be the same. (128 GiB with pages of 4 KiB.)
const PAGES_MAX: u64 = 0x0200_0000;

/// The bytes between the pointers and the rows of a page, if some are not 0.
fn leftovers(page: &[u8], is_first: bool, usable: usize) -> Option<Range<usize>> {
    let header = if is_first { 100 } else { 0 };
    let pointers = match page[header] {
        2 | 5 => header + 12,
        10 | 13 => header + 8,
        _ => return None,
    };
    let number = |at: usize| usize::from(u16::from_be_bytes([page[at], page[at + 1]]));
    let start = pointers + 2 * number(header + 3);
    let end = match number(header + 5) {
        0 => 65_536,
        end => end,
    };
    let unused = page.get(start..end).filter(|_| end <= usable)?;
    unused.iter().any(|byte| *byte != 0).then_some(start..end)
}

#[cfg(unix)]
fn read(file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
}

#[cfg(unix)]
fn write(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, at)
}

#[cfg(not(unix))]
fn read(_: &File, _: &mut [u8], _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(unix))]
fn write(_: &File, _: &[u8], _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

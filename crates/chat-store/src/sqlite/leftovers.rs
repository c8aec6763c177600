//! Copies of rows that SQLite leaves in its pages.
//!
//! When SQLite moves rows to another page, it may leave copies of them between the pointers
//! and the rows of the old page; `secure_delete` overwrites a deleted row, but not these.
//! Earlier versions, without `secure_delete`, also left copies in free blocks of pages and in
//! free pages. All of these are found in the file, and overwritten there.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{io, iter};

/// The file of a database. It stays open as long as SQLite has the file: a process that
/// closes a file loses its locks on it, whoever took them.
pub(super) struct Pages {
    file: File,
    is_stopped: AtomicBool,
}

/// The layout of the file, from its header: <https://sqlite.org/fileformat2.html#b_tree_pages>.
#[derive(Clone, Copy)]
struct Layout {
    page: usize,
    /// The bytes of a page that SQLite uses.
    usable: usize,
    pages: u64,
    /// The first page of the list of free pages, by its number from 1; 0 if there is none.
    first_free: u32,
}

/// The free pages, by their numbers from 0, each with the offset of its first unused byte.
type FreePages = BTreeMap<u64, usize>;

impl Pages {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Self { file, is_stopped: AtomicBool::new(false) })
    }

    /// Ends a [`find`](Self::find) that runs, soon.
    pub(super) fn stop(&self) {
        self.is_stopped.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }

    /// Finds the pages with copies of rows, by their numbers from 0. It reads all of the
    /// file, while others may write to it. What it finds is not complete if it was
    /// [stopped](Self::stop).
    pub(super) fn find(&self) -> io::Result<Vec<u64>> {
        let Some(layout) = self.layout()? else { return Ok(Vec::new()) };
        let free = self.free_pages(layout)?;
        let mut found = Vec::new();
        let at_once = (READ_AT_ONCE / layout.page).max(1) as u64;
        let mut bytes = Vec::new();
        for first in (0..layout.pages).step_by(at_once as usize) {
            if self.is_stopped() {
                break;
            }
            let count = at_once.min(layout.pages - first) as usize;
            bytes.resize(count * layout.page, 0);
            read(&self.file, &mut bytes, first * layout.page as u64)?;
            for (number, page) in (first..).zip(bytes.chunks_exact(layout.page)) {
                if !leftovers(page, number, layout.usable, &free).is_empty() {
                    found.push(number);
                }
            }
        }
        Ok(found)
    }

    /// Overwrites the copies of rows in these pages. The WAL is empty, and nobody may write
    /// to it meanwhile.
    pub(super) fn overwrite(&self, pages: &[u64]) -> io::Result<()> {
        let Some(layout) = self.layout()? else { return Ok(()) };
        let free = self.free_pages(layout)?;
        let mut page = vec![0; layout.page];
        for number in pages.iter().filter(|number| **number < layout.pages) {
            let start = number * layout.page as u64;
            read(&self.file, &mut page, start)?;
            for range in leftovers(&page, *number, layout.usable, &free) {
                write(&self.file, &vec![0; range.len()], start + range.start as u64)?;
            }
        }
        self.file.sync_data()
    }

    /// The list of free pages. It may be wrong if others write to the file meanwhile.
    fn free_pages(&self, layout: Layout) -> io::Result<FreePages> {
        let mut free = FreePages::new();
        let mut page = vec![0; layout.page];
        let mut trunk = layout.first_free;
        // The first page is never free.
        while trunk > 1 && u64::from(trunk) <= layout.pages && !free.contains_key(&u64::from(trunk - 1)) {
            let number = u64::from(trunk - 1);
            read(&self.file, &mut page, number * layout.page as u64)?;
            let (next, numbers) = (long(&page, 0), &page[8..layout.usable]);
            let count = (long(&page, 4) as usize).min(numbers.len() / 4);
            free.insert(number, 8 + 4 * count);
            for leaf in numbers.chunks_exact(4).take(count).map(|bytes| long(bytes, 0)) {
                if leaf > 1 {
                    free.entry(u64::from(leaf - 1)).or_insert(0);
                }
            }
            trunk = next;
        }
        Ok(free)
    }

    /// `None` of a file in which pages cannot be told apart, or on a system on which the file
    /// cannot be read beside SQLite.
    fn layout(&self) -> io::Result<Option<Layout>> {
        let length = self.file.metadata()?.len();
        if cfg!(not(unix)) || length < 100 {
            return Ok(None);
        }
        let mut header = [0; 100];
        read(&self.file, &mut header, 0)?;
        let page = match u16::from_be_bytes([header[16], header[17]]) {
            1 => 65_536,
            size => usize::from(size),
        };
        let usable = page.saturating_sub(usize::from(header[20]));
        let pages = length / page.max(1) as u64;
        let first_free = long(&header, 32);
        Ok((page >= 512 && usable >= 480 && pages < PAGES_MAX).then_some(Layout {
            page,
            usable,
            pages,
            first_free,
        }))
    }
}

const READ_AT_ONCE: usize = 1 << 20;

/// Pages without rows begin with the number of a page, and other pages with 2, 5, 10 or 13:
/// with so many pages, their first byte might be the same. (128 GiB with pages of 4 KiB.)
const PAGES_MAX: u64 = 0x0200_0000;

/// The unused bytes of a page that are not 0.
fn leftovers(page: &[u8], number: u64, usable: usize, free: &FreePages) -> Vec<Range<usize>> {
    let mut unused = match free.get(&number) {
        Some(start) => iter::once(*start..usable).collect(),
        None => unused(page, number == 0, usable),
    };
    let is_left = |range: &Range<usize>| {
        page.get(range.clone()).is_some_and(|bytes| bytes.iter().any(|byte| *byte != 0))
    };
    unused.retain(is_left);
    unused
}

/// The bytes of a page with rows that are between its pointers and its rows, and in its free
/// blocks.
fn unused(page: &[u8], is_first: bool, usable: usize) -> Vec<Range<usize>> {
    let header = if is_first { 100 } else { 0 };
    let pointers = match page[header] {
        2 | 5 => header + 12,
        10 | 13 => header + 8,
        _ => return Vec::new(),
    };
    let number = |at: usize| usize::from(u16::from_be_bytes([page[at], page[at + 1]]));
    let start = pointers + 2 * number(header + 3);
    let rows = match number(header + 5) {
        0 => 65_536,
        rows => rows,
    };
    if start > rows || rows > usable {
        return Vec::new();
    }
    let mut unused: Vec<_> = iter::once(start..rows).collect();
    // Each block begins with the offset of the next one, which is higher, and its length.
    let (mut block, mut end) = (number(header + 1), rows);
    while block >= end && block + 4 <= usable {
        end = block + number(block + 2).max(4);
        if end > usable {
            break;
        }
        unused.push(block + 4..end);
        block = number(block);
    }
    unused
}

/// The number in four bytes.
fn long(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
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

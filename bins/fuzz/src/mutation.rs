//! Damaged inputs.

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};

/// Makes inputs of a corpus, each damaged in one to eight places.
pub(crate) struct Mutator<'a> {
    random: Xoshiro256PlusPlus,
    corpus: &'a [Vec<u8>],
}

impl<'a> Mutator<'a> {
    /// The same seed and corpus make the same inputs.
    pub(crate) fn new(seed: u64, corpus: &'a [Vec<u8>]) -> Self {
        assert!(!corpus.is_empty(), "the corpus has inputs");
        Self { random: Xoshiro256PlusPlus::seed_from_u64(seed), corpus }
    }

    /// The next input.
    pub(crate) fn next(&mut self) -> Vec<u8> {
        let mut input = self.pick(self.corpus).clone();
        for _ in 0..=self.below(8) {
            self.damage(&mut input);
        }
        input.truncate(INPUT_MAX_BYTES);
        input
    }

    fn damage(&mut self, input: &mut Vec<u8>) {
        let (start, end) = self.range(input.len());
        match self.below(9) {
            0 => input.insert(start, self.below(256) as u8),
            1 => drop(input.drain(start..end)),
            2 if start < input.len() => input[start] ^= 1 << self.below(8),
            3 => {
                let part = input[start..end].to_vec();
                let times = 1 + self.below(4);
                (0..times).for_each(|_| drop(input.splice(start..start, part.iter().copied())));
            }
            4 => {
                let other = self.pick(self.corpus);
                let (from, to) = self.range(other.len());
                input.splice(start..end, other[from..to].iter().copied());
            }
            5 | 6 => drop(input.splice(start..start, self.pick(&TOKENS).bytes())),
            7 => drop(input.splice(start..end, self.pick(&TOKENS).bytes())),
            _ => {
                // A digit becomes another number.
                if let Some(at) = input.iter().position(u8::is_ascii_digit) {
                    input.splice(at..=at, self.pick(&NUMBERS).bytes());
                }
            }
        }
    }

    /// A range in so many bytes, mostly a short one.
    fn range(&mut self, length: usize) -> (usize, usize) {
        let start = self.below(length + 1);
        let longest = if self.below(4) == 0 { length } else { 8 };
        let end = start + self.below(longest.min(length - start) + 1);
        (start, end)
    }

    fn pick<'b, T>(&mut self, from: &'b [T]) -> &'b T {
        &from[self.below(from.len())]
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.random.next_u64() % limit as u64) as usize
    }
}

/// Longer inputs are cut.
const INPUT_MAX_BYTES: usize = 128 * 1024;

/// Parts of texts at which parsers decide something.
const TOKENS: [&str; 40] = [
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    ";",
    "=",
    "\n",
    "\r\n",
    "\r\n\r\n",
    "\0",
    "\u{202e}",
    "\u{fe0f}",
    "é",
    "e\u{301}",
    "\u{10ffff}",
    "\\ud800",
    "\\u0000",
    "null",
    "true",
    "{}",
    "[]",
    "1e999",
    "auth=",
    "eyJ",
    ".",
    "::ffff:127.0.0.1",
    "127.0.0.1",
    ", ",
    "[::1]:80",
    "--",
    "\r\n--b\r\n",
    "name=\"",
    "filename=\"\"",
    "Content-Length: 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "\"since\":",
];
const NUMBERS: [&str; 10] = [
    "-1",
    "0",
    "1",
    "255",
    "65536",
    "9007199254740993",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1.5",
];

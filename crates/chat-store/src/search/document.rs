//! What an index keeps of a message: its words, and marks by which searches are restricted.

#[cfg(feature = "postgres")]
use std::collections::BTreeSet;

use chat_core::{Entry, SearchScope, SearchedWords, Topic, Username, Words};
use sha2::{Digest as _, Sha256};

use super::{SearchQuery, texts};

/// A message for an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Document {
    /// The row of its topic.
    pub(crate) topic: i64,
    /// Its number.
    pub(crate) seq: i64,
    /// When it was stored, in milliseconds since 1970 (UTC).
    pub(crate) at_ms: u64,
    /// Whether messages after it were added before it.
    pub(crate) is_old: bool,
    /// The marks, which stand before the words.
    pub(crate) marks: Vec<String>,
    /// The words in their order, with a mark between texts: no phrase is in two of them.
    pub(crate) words: Vec<String>,
}

impl Document {
    pub(crate) fn new(topic: i64, entry: &Entry, is_old: bool) -> Self {
        let mut marks = vec![mark_of_topic(topic), mark_of_author(&entry.from)];
        match &entry.topic {
            Topic::Room(room) if room.is_made_by_server() => {}
            Topic::Room(_) => marks.push(NAMED.to_owned()),
            Topic::Pair(pair) => {
                marks.push(mark_of_reader(pair.low()));
                if pair.low() != pair.high() {
                    marks.push(mark_of_reader(pair.high()));
                }
            }
        }
        let mut words = Vec::new();
        for (number, text) in texts(entry).enumerate() {
            if number > 0 {
                words.push(BREAK.to_owned());
            }
            words.extend(Words::of(text).iter().map(str::to_owned));
        }
        let seq = crate::columns::column(entry.seq);
        Self { topic, seq, at_ms: entry.at_ms, is_old, marks, words }
    }

    /// The marks of all pairs of neighbouring words, each once.
    #[cfg(feature = "postgres")]
    pub(crate) fn pairs(&self) -> BTreeSet<String> {
        let pairs = self.words.windows(2).filter(|pair| pair.iter().all(|word| word != BREAK));
        pairs.filter_map(|pair| mark_of_pair(&pair[0], &pair[1], false)).collect()
    }

    /// Marks and words, separated by spaces, which are in none of them.
    #[cfg(feature = "sqlite")]
    pub(crate) fn text(&self) -> String {
        let all: Vec<&str> = self.marks.iter().chain(&self.words).map(String::as_str).collect();
        all.join(" ")
    }
}

/// What is asked of an index: each message that the query finds has all of this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The phrases: their words, and whether the last one is a beginning.
    pub(crate) phrases: Vec<(Vec<String>, bool)>,
    /// A message has one of these marks, …
    pub(crate) any: Vec<String>,
    /// … or the mark [`NAMED`] and none of these.
    pub(crate) named_but: Option<Vec<String>>,
    /// A message has this mark.
    pub(crate) author: Option<String>,
}

/// The rows of topics on which a search depends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Readable {
    /// The topic of the scope, or the newest closed rooms of the reader.
    pub(crate) own: Vec<i64>,
    /// Some of the rooms that users have named, that were closed, and that the reader may not
    /// read.
    pub(crate) closed: Vec<i64>,
}

impl Wanted {
    pub(crate) fn new(reader: &Username, query: &SearchQuery, readable: &Readable) -> Self {
        let mut any: Vec<String> = readable.own.iter().map(|topic| mark_of_topic(*topic)).collect();
        let mut named_but = None;
        if query.scope == SearchScope::All {
            any.push(mark_of_reader(reader));
            named_but = Some(readable.closed.iter().map(|topic| mark_of_topic(*topic)).collect());
        }
        let author = query.from.as_ref().map(mark_of_author);
        Self { phrases: phrases(&query.words), any, named_but, author }
    }
}

/// The marks of the pairs of neighbouring words in a phrase. Each message with the phrase has all
/// of them; a message that has them may still be one without the phrase.
#[cfg(feature = "postgres")]
pub(crate) fn pairs_of_phrase(words: &[String], is_open: bool) -> Vec<String> {
    let last = words.len().saturating_sub(2);
    let pairs = words.windows(2).enumerate();
    pairs.filter_map(|(at, pair)| mark_of_pair(&pair[0], &pair[1], is_open && at == last)).collect()
}

/// The phrases without a last word of one character, if there is anything else: so many words
/// begin with it that the index would be slow, and it restricts little.
fn phrases(words: &SearchedWords) -> Vec<(Vec<String>, bool)> {
    let phrases = words.phrases().iter();
    let all: Vec<(Vec<String>, bool)> =
        phrases.map(|phrase| (phrase.words.iter().map(str::to_owned).collect(), phrase.is_open)).collect();
    let mut fewer = all.clone();
    for (words, is_open) in &mut fewer {
        if *is_open && words.last().is_some_and(|word| word.chars().nth(1).is_none()) {
            words.pop();
            *is_open = false;
        }
    }
    fewer.retain(|(words, _)| !words.is_empty());
    if fewer.is_empty() { all } else { fewer }
}

/// Rooms that users have named: open, but for those that were closed later.
pub(crate) const NAMED: &str = "\u{E000}o";
/// Between two texts of a message.
const BREAK: &str = "\u{E000}b";

// No word begins with this character, which is in no text that has words: it is in a category
// of its own.

fn mark_of_topic(topic: i64) -> String {
    format!("\u{E000}t{topic}")
}

fn mark_of_author(author: &Username) -> String {
    format!("\u{E000}f{}", hash(author))
}

fn mark_of_reader(reader: &Username) -> String {
    format!("\u{E000}r{}", hash(reader))
}

/// The mark of a span of time: its length, and its number since 1970.
#[cfg(feature = "postgres")]
pub(crate) fn mark_of_span(length: usize, number: u64) -> String {
    format!("\u{E000}s{length}x{number:x}")
}

/// The mark of two words that stand side by side: one of 65,536. Of the second word only the
/// first [`PAIR_CHARS`] characters count, so that it may be the beginning of a word (`is_open`).
/// `None` if the beginning is shorter than that.
///
/// There are so few marks that the list of the messages with each of them is stored compactly.
#[cfg(feature = "postgres")]
fn mark_of_pair(first: &str, second: &str, is_open: bool) -> Option<String> {
    if is_open && second.chars().nth(PAIR_CHARS - 1).is_none() {
        return None;
    }
    let second = second.char_indices().nth(PAIR_CHARS).map_or(second, |(end, _)| &second[..end]);
    // FNV-1a. No word contains the byte in the middle. An author who looks for two pairs with
    // one mark makes searches for one of them look at the messages with the other.
    let bytes = first.bytes().chain([0xFF]).chain(second.bytes());
    let hash = bytes.fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    let folded = (hash >> 48) ^ (hash >> 32) ^ (hash >> 16) ^ hash;
    Some(format!("\u{1}{:x}", folded & 0xFFFF))
}

/// The characters of the second word of a pair that count.
#[cfg(feature = "postgres")]
pub(crate) const PAIR_CHARS: usize = 2;

/// A name in characters of words: 80 bits of its SHA-256, so that no user can choose a name
/// with the mark of another one.
fn hash(name: &Username) -> String {
    let mut text = String::with_capacity(20);
    for byte in &Sha256::digest(name.as_str())[..10] {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

#[cfg(all(test, feature = "postgres"))]
mod tests {
    use chat_core::Words;

    use super::*;

    fn document(texts: &[&str]) -> Document {
        let texts: Vec<Vec<String>> =
            texts.iter().map(|text| Words::of(text).iter().map(str::to_owned).collect()).collect();
        let words = texts.join(&BREAK.to_owned());
        Document { topic: 1, seq: 1, at_ms: 1, is_old: false, marks: Vec::new(), words }
    }

    fn may_have(texts: &[&str], phrase: &str, is_open: bool) -> bool {
        let words: Vec<String> = Words::of(phrase).iter().map(str::to_owned).collect();
        let there = document(texts).pairs();
        pairs_of_phrase(&words, is_open).iter().all(|pair| there.contains(pair))
    }

    #[test]
    fn a_message_with_a_phrase_has_its_pairs() {
        let text = &["Это было давно, и это б/у а я"][..];
        for (phrase, is_open) in [
            ("это было", false),
            ("это было давно и это", false),
            ("это был", true),
            ("это б", true),
            ("и это б у", false),
            ("а я", false),
            ("а я", true),
            ("это", false),
        ] {
            assert!(may_have(text, phrase, is_open), "{phrase} {is_open}");
        }
        for (phrase, is_open) in [("было это", false), ("это давно", false), ("это да", true)]
        {
            assert!(!may_have(text, phrase, is_open), "{phrase} {is_open}");
        }
        assert!(!may_have(&["red", "house.png"], "red house", false));
        assert!(may_have(&["x", "red house.png"], "red house", false));
    }
}

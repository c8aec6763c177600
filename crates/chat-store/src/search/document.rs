//! What an index keeps of a message: its words, and marks by which searches are restricted.

use chat_core::{Entry, SearchScope, SearchedWords, Topic, Username, Words};

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

    /// Marks and words, separated by spaces, which are in none of them.
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
    /// The topic of the scope, or the closed rooms of the reader.
    pub(crate) own: Vec<i64>,
    /// Rooms that users have named, that were closed, and that the reader may not read.
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
pub(crate) fn mark_of_span(length: usize, number: u64) -> String {
    format!("\u{E000}s{length}x{number:x}")
}

/// A name in characters of words (FNV-1a). Two names may have the same hash: what an index
/// finds is compared again.
fn hash(name: &Username) -> String {
    let hash = name.as_str().bytes().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    format!("{:x}", hash & 0xFF_FFFF_FFFF)
}

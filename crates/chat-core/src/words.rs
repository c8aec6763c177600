//! The words of a text, and which texts a search finds: the same rule for every store.

use std::ops::Range;

use unicode_normalization::UnicodeNormalization as _;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory as _};
use unicode_segmentation::UnicodeSegmentation as _;

/// The words of a text, in their order, in the form in which they are compared.
///
/// Words are those of Unicode (UAX #29), without punctuation: `don't` has two. Each symbol
/// that is not punctuation, such as an emoji, is a word. Characters are compared without
/// case, width and other compatible forms (NFKD), and accents; `й` is not `и`, while `ё`
/// is `е`. Marks of scripts in which they are no accents (`が`, `हि`) are kept. Of a longer
/// word, the first [`WORD_MAX_CHARS`] characters are compared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Words {
    /// The words, one after the other.
    text: String,
    /// The end of each word in `text`.
    ends: Vec<usize>,
}

/// The characters of a word that are compared.
pub const WORD_MAX_CHARS: usize = 64;

/// The version of the rules that make words. Words that were stored under another one
/// cannot be compared with those made now.
pub const WORD_RULES: u32 = 1;

impl Words {
    /// The words of a text.
    pub fn of(text: &str) -> Self {
        let mut words = Self::default();
        if text.is_ascii() {
            for word in text.split(|c: char| !c.is_ascii_alphanumeric()) {
                words.push(word.chars().map(|c| c.to_ascii_lowercase()));
            }
            return words;
        }
        let comparable = comparable(text);
        for segment in comparable.split_word_bounds() {
            if segment.chars().any(char::is_alphanumeric) {
                for word in segment.split(|c| !belongs_to_word(c)) {
                    words.push(word.trim_start_matches(is_mark).chars());
                }
            } else if segment.chars().any(is_symbol) {
                words.push(segment.chars());
            }
        }
        words
    }

    fn push(&mut self, word: impl Iterator<Item = char>) {
        let start = self.text.len();
        self.text.extend(word.take(WORD_MAX_CHARS));
        if self.text.len() > start {
            self.ends.push(self.text.len());
        }
    }

    /// The number of words.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no words.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The word at an index below [`len`](Self::len).
    fn word(&self, index: usize) -> &str {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.text[start..self.ends[index]]
    }

    /// The words, in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.ends.len()).map(|index| self.word(index))
    }
}

/// A text without case, width and accents.
fn comparable(text: &str) -> String {
    let mut comparable = String::with_capacity(text.len());
    for c in text.nfkd() {
        match c {
            // й is a letter of its own.
            BREVE if comparable.ends_with('и') => {
                comparable.pop();
                comparable.push('й');
            }
            c if is_left_out(c) => {}
            // By way of capital letters, so that ς and σ become the same.
            c => comparable.extend(c.to_uppercase().flat_map(char::to_lowercase)),
        }
    }
    comparable
}

/// The mark of й. The alphabets in which и has other accents have no й without it.
const BREVE: char = '\u{306}';

/// Whether a character is an accent, invisible, or the skin tone of an emoji.
fn is_left_out(c: char) -> bool {
    matches!(c,
        // Accents of Latin, Greek and Cyrillic letters, and of symbols.
        '\u{300}'..='\u{36F}' | '\u{483}'..='\u{487}' | '\u{1AB0}'..='\u{1AFF}' | '\u{1DC0}'..='\u{1DFF}'
            | '\u{20D0}'..='\u{20FF}' | '\u{FE20}'..='\u{FE2F}'
        // Vowel points of Hebrew and Arabic, and the Arabic stretching of a word.
            | '\u{591}'..='\u{5BD}' | '\u{5BF}' | '\u{5C1}' | '\u{5C2}' | '\u{5C4}' | '\u{5C5}' | '\u{5C7}'
            | '\u{610}'..='\u{61A}' | '\u{640}' | '\u{64B}'..='\u{65F}' | '\u{670}' | '\u{6D6}'..='\u{6DC}'
        // Soft hyphen, joiners, variation selectors, marks of direction.
            | '\u{AD}' | '\u{200C}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{2069}'
            | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{E0100}'..='\u{E01EF}'
            | '\u{1F3FB}'..='\u{1F3FF}')
}

/// Whether a character of a word of Unicode is no punctuation.
fn belongs_to_word(c: char) -> bool {
    c.is_alphanumeric() || is_mark(c)
}

fn is_mark(c: char) -> bool {
    c.general_category_group() == GeneralCategoryGroup::Mark
}

fn is_symbol(c: char) -> bool {
    c.general_category() == GeneralCategory::OtherSymbol
}

/// The words that a search asks for: phrases, all of which must occur, in any order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchedWords {
    phrases: Vec<Phrase>,
}

/// Words that stand side by side; often only one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phrase {
    /// The words, at least one.
    pub words: Words,
    /// Whether the last word may be the beginning of one.
    pub is_open: bool,
}

/// Why a text cannot be searched for. The sentences are shown to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SearchedWordsError {
    /// The text is empty, or only white space.
    #[error("q must not be blank")]
    Blank,
    /// The text is longer than [`SEARCH_MAX_CHARS`], or has more words than
    /// [`SEARCH_MAX_WORDS`].
    #[error("q is too long (max {SEARCH_MAX_CHARS} characters, {SEARCH_MAX_WORDS} words)")]
    TooLong,
}

/// Characters that a searched text may have.
pub const SEARCH_MAX_CHARS: usize = 256;
/// Words that a searched text may have.
pub const SEARCH_MAX_WORDS: usize = 32;

impl SearchedWords {
    /// Parses what a user has typed. Words in quotation marks (`"`, `“ ”`, `« »`, `„ “`)
    /// stand side by side, and so do those that no white space separates (`кто-то`,
    /// `example.org`). The last word may be the beginning of one, unless the text ends in
    /// white space or in a quotation mark.
    ///
    /// A text without words, such as `…`, is none to find.
    ///
    /// # Errors
    ///
    /// [`SearchedWordsError`].
    pub fn parse(text: &str) -> Result<Self, SearchedWordsError> {
        if text.trim().is_empty() {
            return Err(SearchedWordsError::Blank);
        }
        if text.chars().nth(SEARCH_MAX_CHARS).is_some() {
            return Err(SearchedWordsError::TooLong);
        }
        let mut phrases = Vec::new();
        for range in phrases_of(text) {
            let words = Words::of(&text[range.clone()]);
            if !words.is_empty() {
                // Nothing follows the phrase, not even white space.
                phrases.push(Phrase { words, is_open: range.end == text.len() });
            }
        }
        if phrases.iter().map(|phrase| phrase.words.len()).sum::<usize>() > SEARCH_MAX_WORDS {
            return Err(SearchedWordsError::TooLong);
        }
        Ok(Self { phrases })
    }

    /// The phrases, in their order. There may be none.
    pub fn phrases(&self) -> &[Phrase] {
        &self.phrases
    }

    /// Whether a search finds these texts: each phrase is in one of them. Without phrases,
    /// nothing is found.
    pub fn find_in<'a>(&self, texts: impl IntoIterator<Item = &'a str>) -> bool {
        let texts: Vec<Words> = texts.into_iter().map(Words::of).collect();
        let is_there = |phrase: &Phrase| texts.iter().any(|text| phrase.is_in(text));
        !self.phrases.is_empty() && self.phrases.iter().all(is_there)
    }
}

impl Phrase {
    fn is_in(&self, text: &Words) -> bool {
        let count = self.words.len();
        let is_at = |start: usize| {
            (0..count).all(|index| {
                let (wanted, found) = (self.words.word(index), text.word(start + index));
                if self.is_open && index + 1 == count { found.starts_with(wanted) } else { found == wanted }
            })
        };
        text.len() >= count && (0..=text.len() - count).any(is_at)
    }
}

/// The parts of a text that are in quotation marks, or that white space and quotation marks
/// separate.
fn phrases_of(text: &str) -> Vec<Range<usize>> {
    let (mut phrases, mut start, mut is_quoted) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        let is_mark = is_quotation_mark(c);
        if is_mark || (c.is_whitespace() && !is_quoted) {
            phrases.push(start..at);
            start = at + c.len_utf8();
            is_quoted ^= is_mark;
        }
    }
    phrases.push(start..text.len());
    phrases
}

fn is_quotation_mark(c: char) -> bool {
    matches!(c, '"' | '«' | '»' | '“' | '”' | '„' | '‟' | '＂')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(text: &str) -> Vec<String> {
        Words::of(text).iter().map(str::to_owned).collect()
    }

    #[test]
    fn words_are_those_of_unicode_without_case_width_and_accents() {
        for (text, expected) in [
            ("", ""),
            (" -- … !? ", ""),
            ("Hello, World!", "hello world"),
            ("Съешь ещё этих мягких БУЛОК", "съешь еще этих мягких булок"),
            ("Ёлка ёлка е\u{308}лка", "елка елка елка"),
            ("Йод и\u{306}од ИОД", "йод йод иод"),
            ("Café cafe\u{301} CAFÉ", "cafe cafe cafe"),
            ("straße STRASSE", "strasse strasse"),
            ("ΣΊΣΥΦΟΣ σίσυφος", "σισυφοσ σισυφοσ"),
            ("İstanbul", "istanbul"),
            ("ＡＢＣ ｱｲｳ ﬁne ①", "abc アイウ fine 1"),
            ("don't don’t O'Neil", "don t don t o neil"),
            ("кто-то example.org foo_bar 3.14", "кто то example org foo bar 3 14"),
            ("co\u{AD}op a\u{200D}b", "coop ab"),
            ("日本語 がか", "日 本 語 か\u{3099} か"),
            ("हिन्दी", "हिन्दी"),
            ("שָׁלוֹם مَرْحَبًا", "שלום مرحبا"),
            ("👍🏽 👍 ok👍ok", "👍 👍 ok 👍 ok"),
            ("❤️ ❤", "❤ ❤"),
            ("a\u{0}b\tc", "a b c"),
        ] {
            assert_eq!(words(text).join(" "), expected, "{text}");
        }
        assert_eq!(words(&"ж".repeat(100)), ["ж".repeat(WORD_MAX_CHARS)]);
    }

    fn finds(searched: &str, text: &str) -> bool {
        SearchedWords::parse(searched).unwrap().find_in([text])
    }

    #[test]
    fn all_words_must_occur_and_the_last_may_be_a_beginning() {
        let text = "Съешь ещё этих мягких французских булок, да выпей чаю.";
        for searched in [
            "булок съешь",
            "ЕЩЕ",
            "фран",
            "чаю.",
            "да, выпей",
            "чаю ",
            "«мягких французских»",
            "\"мягких французских\" чаю",
            "“булок да”",
            "„булок, да“ съе",
            "\"булок да вып",
            "чаю\"булок\"",
            "булок-да",
        ] {
            assert!(finds(searched, text), "{searched}");
        }
        for searched in [
            "булка",
            "фран ",
            "фран съешь",
            "улок",
            "«фран»",
            "\"французских мягких\"",
            "\"мягких булок\"",
            "\"мягких фран\"",
            "\"булок да вып\"",
            "мягких-булок",
            "…",
            "\"\"",
        ] {
            assert!(!finds(searched, text), "{searched}");
        }
        assert!(finds("日本", "私は日本語を話す"));
        assert!(!finds("本日", "私は日本語を話す"));
    }

    #[test]
    fn a_phrase_is_in_one_text() {
        let searched = SearchedWords::parse("\"red house\"").unwrap();
        assert!(!searched.find_in(["red", "house.png"]));
        assert!(searched.find_in(["x", "the Red-House.png"]));
        assert!(SearchedWords::parse("red house").unwrap().find_in(["red", "house.png"]));
    }

    #[test]
    fn what_is_searched_for_is_bounded() {
        for blank in ["", " \t\u{3000}"] {
            assert_eq!(SearchedWords::parse(blank), Err(SearchedWordsError::Blank));
        }
        assert!(SearchedWords::parse(&"ж".repeat(SEARCH_MAX_CHARS)).is_ok());
        let too_long = Err(SearchedWordsError::TooLong);
        assert_eq!(SearchedWords::parse(&"ж".repeat(SEARCH_MAX_CHARS + 1)), too_long);
        assert!(SearchedWords::parse(&"ж ".repeat(SEARCH_MAX_WORDS)).is_ok());
        assert_eq!(SearchedWords::parse(&"ж-".repeat(SEARCH_MAX_WORDS + 1)), too_long);
    }

    proptest! {
        #[test]
        fn words_of_words_are_the_same(text in "[a-zA-Zéßа-яёЁйЙ0-9 .'_👍❤日本ぁ-んァ-ヶ-]{0,60}") {
            let once = words(&text);
            let again = words(&once.join(" "));
            prop_assert_eq!(once, again);
        }

        #[test]
        fn ascii_has_the_same_words_as_other_texts(text in "[ -~]{0,40}") {
            let (alone, mut beside) = (words(&text), words(&format!("ж {text}")));
            beside.remove(0);
            prop_assert_eq!(alone, beside);
        }

        #[test]
        fn a_text_is_found_by_its_words(text in "[a-zа-яё .'👍日本-]{1,60}") {
            let found = SearchedWords::parse(&text);
            if let Ok(searched) = found && !searched.phrases().is_empty() {
                prop_assert!(searched.find_in([text.as_str()]));
            }
        }
    }
}

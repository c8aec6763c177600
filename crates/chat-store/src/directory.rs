//! The order in which accounts are listed, and the words by which they are found: the
//! same in every store.

#[cfg(feature = "databases")]
mod page;

use chat_core::Username;

#[cfg(feature = "databases")]
pub(crate) use self::page::{ListingPage, WORD_RULES, word_rows};

/// A listing of the accounts whose names have a word that begins with a prefix.
///
/// Each name has one key in a listing, and a listing is in the order of keys, then of
/// names (both byte by byte).
pub(crate) struct Listing {
    prefix: String,
}

impl Listing {
    /// All accounts, or those with a word that begins with `prefix` in any case.
    pub(crate) fn new(prefix: Option<&Username>) -> Self {
        Self { prefix: prefix.map(Username::folded_case).unwrap_or_default() }
    }

    /// The key of a name in this listing: the first, byte by byte, of its words that begin
    /// with the prefix; in a listing of all accounts, the name in folded case. `None` if
    /// the name is not in the listing.
    pub(crate) fn key(&self, name: &Username) -> Option<String> {
        let words = words(name.as_str()).into_iter();
        if self.prefix.is_empty() {
            return words.take(1).next();
        }
        words.filter(|word| word.starts_with(&self.prefix)).min()
    }

    /// The key and the name behind which a page begins.
    pub(crate) fn start(&self, after: Option<&Username>) -> (String, String) {
        match after {
            None => (self.prefix.clone(), String::new()),
            Some(name) => (self.key(name).unwrap_or_else(|| name.folded_case()), name.as_str().to_owned()),
        }
    }

    /// A text behind all keys: no name has the noncharacter at its end.
    #[cfg(feature = "databases")]
    pub(crate) fn end(&self) -> String {
        format!("{}\u{10FFFF}", self.prefix)
    }
}

/// A name in folded case: whole, then from the beginning of each further word on. Empty
/// for a text that is no name.
pub(crate) fn words(name: &str) -> Vec<String> {
    let Ok(name) = Username::known(name) else { return Vec::new() };
    let folded = name.folded_case();
    let mut is_inside = false;
    let mut words = Vec::new();
    for (index, character) in folded.char_indices() {
        let was_inside = std::mem::replace(&mut is_inside, character.is_alphanumeric());
        if index == 0 || (is_inside && !was_inside) {
            words.push(folded[index..].to_owned());
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_begin_behind_everything_that_is_no_letter_or_digit() {
        for (name, expected) in [
            ("Alice", &["alice"][..]),
            ("Анна-Мария Л.", &["анна-мария л.", "мария л.", "л."]),
            ("O’Neil 2", &["o’neil 2", "neil 2", "2"]),
            (" @bob", &[" @bob", "bob"]),
            ("李雷", &["李雷"]),
            ("👩‍💻", &["👩‍💻"]),
            ("", &[]),
        ] {
            assert_eq!(words(name), expected, "{name}");
        }
    }
}

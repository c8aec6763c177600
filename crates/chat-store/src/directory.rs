//! The order in which accounts are listed, and the words by which they are found: the
//! same in every store.

use chat_core::Username;

use crate::rows::{self, Columns};
use crate::{StoreError, User};

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
    pub(crate) fn end(&self) -> String {
        format!("{}\u{10FFFF}", self.prefix)
    }
}

/// A page of a listing that is read from a table of words, of which some are no keys.
pub(crate) struct ListingPage {
    listing: Listing,
    /// The position of the last row that was read.
    position: (String, String),
    max: usize,
    users: Vec<User>,
}

impl ListingPage {
    pub(crate) fn new(prefix: Option<&Username>, after: Option<&Username>, max: usize) -> Self {
        let listing = Listing::new(prefix);
        let position = listing.start(after);
        Self { listing, position, max, users: Vec::new() }
    }

    /// The parameters of the next query: the word and the name behind which it begins, the
    /// end, and the number of rows: few words that begin with a prefix are no keys.
    pub(crate) fn query(&self) -> (&str, &str, String, i64) {
        let (word, name) = &self.position;
        let rows = (self.max - self.users.len()).max(ROWS_MIN);
        (word, name, self.listing.end(), i64::try_from(rows).unwrap_or(i64::MAX))
    }

    /// Takes the rows of a query: a user, then the word. Returns whether the page is
    /// complete.
    pub(crate) fn take(&mut self, rows: &[impl Columns]) -> Result<bool, StoreError> {
        let (_, _, _, asked) = self.query();
        for row in rows {
            let (user, word) = (rows::user(row)?, row.text(4)?);
            if self.users.len() < self.max && self.listing.key(&user.name).as_deref() == Some(word) {
                self.users.push(user.clone());
            }
            self.position = (word.to_owned(), user.name.as_str().to_owned());
        }
        Ok(self.users.len() >= self.max || (rows.len() as i64) < asked)
    }

    pub(crate) fn into_users(self) -> Vec<User> {
        self.users
    }
}

/// The fewest rows in one query, so that words that are no keys do not make many queries.
const ROWS_MIN: usize = 20;

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

/// The rows of a name in the table of words, whose columns are `word, username, whole`.
pub(crate) fn word_rows(name: &str) -> impl Iterator<Item = (String, &str, i64)> {
    words(name).into_iter().enumerate().map(move |(index, word)| (word, name, i64::from(index == 0)))
}

/// The column `rules` of the table of words: to be raised when [`words`] changes.
pub(crate) const WORD_RULES: i64 = 1;

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

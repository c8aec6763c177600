//! The directory in a table of words.

use chat_core::Username;

use super::{Listing, words};
use crate::rows::{self, Columns};
use crate::{StoreError, User};

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

/// The rows of a name in the table of words, whose columns are `word, username, whole`.
pub(crate) fn word_rows(name: &str) -> impl Iterator<Item = (String, &str, i64)> {
    words(name).into_iter().enumerate().map(move |(index, word)| (word, name, i64::from(index == 0)))
}

/// The column `rules` of the table of words: to be raised when [`words`] changes.
pub(crate) const WORD_RULES: i64 = 1;

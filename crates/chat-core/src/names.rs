//! Names, ids and texts that are checked when they are parsed.

use std::fmt;
use std::sync::Arc;

use unicode_normalization::UnicodeNormalization as _;
use unicode_properties::{GeneralCategoryGroup, UnicodeEmoji as _, UnicodeGeneralCategory as _};

use crate::hidden::{MARKS_MAX, NameOf, has_hidden, has_stacked_marks};
use crate::skeleton;

/// Characters (Unicode scalar values) that a username may have.
pub const USERNAME_MAX_CHARS: usize = 24;
/// Characters that a room's name may have.
pub const ROOM_NAME_MAX_CHARS: usize = 64;
/// Characters that a nonce may have.
pub const NONCE_MAX_CHARS: usize = 64;
/// The room that a v1 client joins if it names none.
pub const DEFAULT_ROOM: &str = "default";

/// The name of a user, in the exact spelling of the account. Cloning increments a
/// reference count.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Username(Arc<str>);

impl Username {
    /// Parses a name for a new account: trims surrounding white space, and normalises to
    /// NFC.
    ///
    /// # Errors
    ///
    /// [`UsernameError`] unless the result has 1 to [`USERNAME_MAX_CHARS`] characters,
    /// none of them a control or invisible one (a joiner between two emoji is accepted), at
    /// most [`MARKS_MAX`] combining marks on one letter, and something that is no
    /// punctuation.
    pub fn parse(input: &str) -> Result<Self, UsernameError> {
        let name = Self::typed(input)?;
        if has_stacked_marks(&name.0) {
            return Err(UsernameError::Marks);
        }
        // `٠`, a digit of Arabic, looks like a dot.
        let skeleton = skeleton::Skeleton::of(&name.0);
        if !skeleton.keys()[0].chars().any(can_be_called) {
            return Err(UsernameError::NothingToCall);
        }
        Ok(name)
    }

    /// Reads a name as a user types it to sign in: trims surrounding white space, and
    /// normalises to NFC. The account may be older than the rules of
    /// [`parse`](Self::parse).
    ///
    /// # Errors
    ///
    /// [`UsernameError`] unless the result has 1 to [`USERNAME_MAX_CHARS`] characters,
    /// none of them a control or invisible one.
    pub fn typed(input: &str) -> Result<Self, UsernameError> {
        let name: String = input.trim().nfc().collect();
        if name.is_empty() {
            return Err(UsernameError::Empty);
        }
        if name.chars().count() > USERNAME_MAX_CHARS {
            return Err(UsernameError::TooLong { max: USERNAME_MAX_CHARS });
        }
        if has_hidden(&name, NameOf::UserOrFile) {
            return Err(UsernameError::Hidden);
        }
        Ok(Self(name.into()))
    }

    /// Takes the name of an account that may exist, as it is. The account may be older
    /// than the rules of [`parse`](Self::parse).
    ///
    /// # Errors
    ///
    /// [`UsernameError`] unless the name has 1 to [`USERNAME_MAX_CHARS`] characters and
    /// no U+0000.
    pub fn known(name: &str) -> Result<Self, UsernameError> {
        if name.is_empty() {
            return Err(UsernameError::Empty);
        }
        if name.chars().count() > USERNAME_MAX_CHARS {
            return Err(UsernameError::TooLong { max: USERNAME_MAX_CHARS });
        }
        if name.contains('\0') {
            return Err(UsernameError::Hidden);
        }
        Ok(Self(name.into()))
    }

    /// Whether two names differ at most in case: `Alice` and `alice`, `STRASSE` and
    /// `straße`. Names that only look alike (`a1ice`) are different here.
    pub fn is_same_ignoring_case(&self, other: &Self) -> bool {
        self.folded_case() == other.folded_case()
    }

    /// The name in folded case, which is equal for all names that differ only in case.
    pub fn folded_case(&self) -> String {
        skeleton::fold_case(&self.0)
    }

    /// Whether a text is this name in any case, with or without white space around it, and
    /// however its letters are composed.
    pub fn is_written_as(&self, text: &str) -> bool {
        let folded = |text: &str| skeleton::fold_case(&text.trim().nfc().collect::<String>());
        folded(text) == folded(&self.0)
    }

    /// The name, in its exact spelling.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text cannot be a username. The sentences are shown to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UsernameError {
    /// The name is empty, or only white space.
    #[error("username must not be empty")]
    Empty,
    /// The name has more characters than allowed.
    #[error("username too long (max {max})")]
    TooLong {
        /// The most characters that a name may have.
        max: usize,
    },
    /// The name has a control character, or an invisible one.
    #[error("username must not contain control or invisible characters")]
    Hidden,
    /// The name has too many combining marks on one letter, or one on none.
    #[error("username must not contain more than {MARKS_MAX} marks on one letter")]
    Marks,
    /// The name has only spaces and punctuation.
    #[error("username must have a letter, a digit or an emoji")]
    NothingToCall,
}

/// The name of a room: 1 to [`ROOM_NAME_MAX_CHARS`] characters of any script,
/// no control characters, case-sensitive. Cloning increments a reference count.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomName(Arc<str>);

impl RoomName {
    /// Whether it begins as the names that the server makes for closed rooms: `~`. Users
    /// cannot open a room with such a name.
    pub fn is_made_by_server(&self) -> bool {
        self.as_str().starts_with('~')
    }

    /// Parses a name; an empty one stands for [`DEFAULT_ROOM`].
    ///
    /// # Errors
    ///
    /// [`RoomNameError`].
    pub fn parse(input: &str) -> Result<Self, RoomNameError> {
        if input.is_empty() {
            return Ok(Self::default());
        }
        if input.chars().count() > ROOM_NAME_MAX_CHARS {
            return Err(RoomNameError::TooLong { max: ROOM_NAME_MAX_CHARS });
        }
        if input.chars().any(char::is_control) {
            return Err(RoomNameError::Control);
        }
        Ok(Self(input.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for RoomName {
    fn default() -> Self {
        Self(DEFAULT_ROOM.into())
    }
}

/// Why a text cannot be the name of a room. The sentences are shown to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RoomNameError {
    /// The name has more characters than allowed.
    #[error("room name too long (max {max})")]
    TooLong {
        /// The most characters that a name may have.
        max: usize,
    },
    /// The name has a control character.
    #[error("room name must not contain control characters")]
    Control,
}

/// A nonce: the client's id for a send, 1 to [`NONCE_MAX_CHARS`] characters, unique per
/// user. A second send with the same nonce stores nothing and gets the first result.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nonce(Arc<str>);

impl Nonce {
    /// Parses a nonce; `None` unless the input has 1 to [`NONCE_MAX_CHARS`] characters,
    /// none of them U+0000, which Postgres cannot store.
    pub fn parse(input: &str) -> Option<Self> {
        let fits = (1..=NONCE_MAX_CHARS).contains(&input.chars().count());
        (fits && !input.contains('\0')).then(|| Self(input.into()))
    }

    /// The nonce, as the client sent it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The id of a session (the `sid` of its token). When a session is revoked, all sockets
/// that were opened with it are closed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(Arc<str>);

impl SessionId {
    /// An id from any text: the caller chooses the ids of sessions.
    pub fn new(id: &str) -> Self {
        Self(id.into())
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text of a message: trimmed at both ends, not blank, without U+0000.
#[derive(Clone, PartialEq, Eq)]
pub struct MessageText(Arc<str>);

impl MessageText {
    /// Trims and checks a text. `max_chars` limits the Unicode scalar values that are
    /// left after trimming.
    ///
    /// # Errors
    ///
    /// [`TextError`].
    pub fn parse(input: &str, max_chars: usize) -> Result<Self, TextError> {
        let text = input.trim();
        if text.is_empty() {
            return Err(TextError::Blank);
        }
        // A text has at least as many bytes as characters, so most need not be counted.
        if text.len() > max_chars && text.chars().count() > max_chars {
            return Err(TextError::TooLong { max: max_chars });
        }
        if text.contains('\0') {
            return Err(TextError::Nul);
        }
        Ok(Self(text.into()))
    }

    /// A text from the log, which was checked before it was stored.
    pub fn stored(text: &str) -> Self {
        Self(text.into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text cannot be that of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// The text is empty, or only white space.
    #[error("the text is blank")]
    Blank,
    /// The text has more characters than allowed.
    #[error("the text is too long (max {max} characters)")]
    TooLong {
        /// The most characters that a text may have.
        max: usize,
    },
    /// The text has U+0000, which Postgres cannot store.
    #[error("the text contains U+0000")]
    Nul,
}

/// The two users of a private conversation, whichever of them writes. The notes of a
/// user to themselves are the pair of that user twice.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Pair {
    // `low <= high`, so that both ways of naming a pair are the same value.
    low: Username,
    high: Username,
}

impl Pair {
    /// The pair of two users, given in any order.
    pub fn new(one: Username, other: Username) -> Self {
        if one <= other { Self { low: one, high: other } } else { Self { low: other, high: one } }
    }

    /// The name that sorts first (by bytes).
    pub fn low(&self) -> &Username {
        &self.low
    }

    /// The name that sorts last; the same as [`low`](Self::low) for notes to
    /// oneself.
    pub fn high(&self) -> &Username {
        &self.high
    }

    /// The user of the pair who is not `one`; for notes to oneself, the same user.
    pub fn other<'a>(&'a self, one: &Username) -> &'a Username {
        if *one == self.low { &self.high } else { &self.low }
    }
}

macro_rules! shows_as_text {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }
    )*};
}
shows_as_text!(Username, RoomName, Nonce, SessionId, MessageText);

/// Whether a character of a skeleton makes a name that people can call somebody by.
fn can_be_called(c: char) -> bool {
    matches!(c.general_category_group(), GeneralCategoryGroup::Letter | GeneralCategoryGroup::Number)
        || (!c.is_ascii() && c.is_emoji_char())
        || c.general_category() == unicode_properties::GeneralCategory::OtherSymbol
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_username_is_trimmed_and_normalised() {
        assert_eq!(Username::parse("  Алиса \n").unwrap().as_str(), "Алиса");
        assert_eq!(Username::parse("e\u{301}").unwrap().as_str(), "é");
        assert_eq!(Username::parse("two words").unwrap().as_str(), "two words");
    }

    #[test]
    fn a_username_has_1_to_24_characters() {
        assert_eq!(Username::parse(" \t"), Err(UsernameError::Empty));
        assert_eq!(UsernameError::Empty.to_string(), "username must not be empty");
        assert!(Username::parse(&"ж".repeat(24)).is_ok());
        assert_eq!(Username::parse(&"ж".repeat(25)), Err(UsernameError::TooLong { max: 24 }));
        // Composing comes before counting.
        assert!(Username::parse(&"e\u{301}".repeat(24)).is_ok());
    }

    #[test]
    fn a_username_has_no_invisible_characters() {
        for bad in [
            "a\u{0}b",
            "a\nb",
            "a\u{200B}b",
            "a\u{202E}b",
            "\u{FEFF}x\u{FEFF}y",
            "a\u{200D}b",
            "a\u{3164}",
            "a\u{00AD}b",
            "a\u{FE0F}",
            "x\u{E0041}",
            "\u{1F469}\u{200D}",
            "bob1\u{FE0F}",
        ] {
            assert_eq!(Username::parse(bad), Err(UsernameError::Hidden), "{bad:?}");
        }
        for good in [
            "\u{1F469}\u{200D}\u{1F4BB}",
            "\u{2764}\u{FE0F}\u{200D}\u{1F525}",
            "👍🏽",
            "مرحبا",
            "李雷",
            "O’Neil",
        ] {
            assert!(Username::parse(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn a_username_can_be_seen_and_called() {
        for (bad, error) in [
            (".", UsernameError::NothingToCall),
            ("...", UsernameError::NothingToCall),
            (". . .", UsernameError::NothingToCall),
            ("…", UsernameError::NothingToCall),
            ("··", UsernameError::NothingToCall),
            ("٠٠", UsernameError::NothingToCall),
            ("ꓸꓸ", UsernameError::NothingToCall),
            ("-_-", UsernameError::NothingToCall),
            ("Z\u{335}\u{321}\u{327}\u{322}\u{328}algo", UsernameError::Marks),
            ("\u{301}a", UsernameError::Marks),
        ] {
            assert_eq!(Username::parse(bad), Err(error), "{bad:?}");
            assert!(Username::typed(bad).is_ok() && Username::known(bad).is_ok(), "{bad:?}");
        }
        for good in [
            "J. R. R.",
            "Nguyễn Thị Ánh",
            "हिन्दी",
            "श्रीमती",
            "สมชาย",
            "กำลังที่",
            "مُحَمَّدٌ",
            "שָׁלוֹם",
            "မြို့တော်",
            "བསྒྲུབས",
            "一",
            "ー",
            "ا",
            "1",
            "7",
            "O’Neil",
            "★",
            "👩\u{200D}💻",
            "❤\u{FE0F}",
            "<b>",
        ] {
            assert!(Username::parse(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn a_room_name_is_kept_as_it_is() {
        assert_eq!(RoomName::parse("").unwrap().as_str(), "default");
        assert_eq!(RoomName::parse(" Кухня ").unwrap().as_str(), " Кухня ");
        assert!(RoomName::parse(&"ж".repeat(64)).is_ok());
        assert_eq!(RoomName::parse(&"ж".repeat(65)), Err(RoomNameError::TooLong { max: 64 }));
        assert_eq!(RoomName::parse("a\u{7f}"), Err(RoomNameError::Control));
    }

    #[test]
    fn a_text_is_trimmed_and_counted_in_characters() {
        assert_eq!(MessageText::parse(" a  b\n", 10).unwrap().as_str(), "a  b");
        assert_eq!(MessageText::parse(" \u{3000}\n", 10), Err(TextError::Blank));
        assert!(MessageText::parse(&format!(" {} ", "😀".repeat(10)), 10).is_ok());
        assert_eq!(MessageText::parse(&"😀".repeat(11), 10), Err(TextError::TooLong { max: 10 }));
        assert_eq!(MessageText::parse("a\0b", 10), Err(TextError::Nul));
    }

    #[test]
    fn a_pair_is_the_same_from_both_sides() {
        let name = |n| Username::known(n).unwrap();
        let pair = Pair::new(name("bob"), name("alice"));
        assert_eq!(pair, Pair::new(name("alice"), name("bob")));
        assert_eq!(pair.other(&name("bob")).as_str(), "alice");
        let notes = Pair::new(name("bob"), name("bob"));
        assert_eq!(notes.other(&name("bob")).as_str(), "bob");
    }
}

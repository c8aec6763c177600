//! Titles, descriptions and names of rooms that users create.

use unicode_normalization::UnicodeNormalization as _;
use unicode_properties::{GeneralCategoryGroup, UnicodeEmoji as _, UnicodeGeneralCategory as _};

use crate::hidden::{MARKS_MAX, NameOf, has_hidden, has_stacked_marks, is_invisible};
use crate::{ROOM_DESCRIPTION_MAX_CHARS, ROOM_NAME_MAX_CHARS, ROOM_TITLE_MAX_CHARS, RoomName, RoomNameError};

/// Parses the title of a room: trims surrounding white space, and normalises to NFC.
///
/// # Errors
///
/// [`RoomTextError`] unless the result has 1 to [`ROOM_TITLE_MAX_CHARS`] characters, one
/// of them visible, and none that controls the text around it or is invisible (joiners of
/// emoji, of Arabic and of Indic words are accepted), and at most [`MARKS_MAX`] combining
/// marks on one letter.
pub fn parse_room_title(input: &str) -> Result<String, RoomTextError> {
    let title = parse(input, "title", ROOM_TITLE_MAX_CHARS, |_| false)?;
    if is_blank(&title) {
        return Err(RoomTextError::BlankTitle);
    }
    if has_hidden(&title, NameOf::Room) {
        return Err(RoomTextError::HiddenInTitle);
    }
    if has_stacked_marks(&title) { Err(RoomTextError::MarksInTitle) } else { Ok(title) }
}

fn is_blank(text: &str) -> bool {
    text.chars().all(|c| c.is_whitespace() || is_invisible(c))
}

/// Parses the description of a room, which may be empty and have several lines: trims
/// surrounding white space, and normalises to NFC, and line ends to `\n`.
///
/// # Errors
///
/// [`RoomTextError`] unless the result has at most [`ROOM_DESCRIPTION_MAX_CHARS`]
/// characters, and none that controls the text around it.
pub fn parse_room_description(input: &str) -> Result<String, RoomTextError> {
    parse(&input.replace("\r\n", "\n"), "description", ROOM_DESCRIPTION_MAX_CHARS, |c| c == '\n')
}

fn parse(
    input: &str,
    what: &'static str,
    max: usize,
    is_allowed: impl Fn(char) -> bool,
) -> Result<String, RoomTextError> {
    let text: String = input.trim().nfc().collect();
    if text.chars().count() > max {
        return Err(RoomTextError::TooLong { what, max });
    }
    if text.chars().any(|c| controls(c) && !is_allowed(c)) {
        return Err(RoomTextError::Control { what });
    }
    Ok(text)
}

/// Whether a character breaks lines, or changes the direction of the text that follows
/// the title in a list (UAX #9 §2).
fn controls(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Why a text cannot be the title or the description of a room. The sentences are shown
/// to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RoomTextError {
    /// The title is missing, or has no visible character.
    #[error("a room needs a title")]
    BlankTitle,
    /// The text has more characters than allowed.
    #[error("the {what} of the room is too long (max {max})")]
    TooLong {
        /// `title` or `description`.
        what: &'static str,
        /// The most characters that it may have.
        max: usize,
    },
    /// The text has a control character.
    #[error("the {what} of the room must not contain control characters")]
    Control {
        /// `title` or `description`.
        what: &'static str,
    },
    /// The title has an invisible character.
    #[error("the title of the room must not contain invisible characters")]
    HiddenInTitle,
    /// The title has too many combining marks on one letter, or one on none.
    #[error("the title of the room must not contain more than {MARKS_MAX} marks on one letter")]
    MarksInTitle,
    /// The title looks like the name or the title of a room of the settings.
    #[error("the title looks too much like that of another room, please take another")]
    LooksLikeAnother,
}

/// Parses the name of a new open room.
///
/// # Errors
///
/// [`NewRoomNameError`] for `.` and `..`, which cannot stand in an address, for a blank
/// name, for names of the [server's](RoomName::is_made_by_server), for invisible characters
/// and more than [`MARKS_MAX`] combining marks on one letter, and for what
/// [`RoomName::parse`] refuses.
pub fn parse_new_room_name(input: &str) -> Result<RoomName, NewRoomNameError> {
    if input.is_empty() {
        return Err(NewRoomNameError::Blank);
    }
    let name = RoomName::parse(input).map_err(NewRoomNameError::Room)?;
    check_room_name(&name).map(|()| name)
}

/// Checks the name of a new open room.
pub(crate) fn check_room_name(name: &RoomName) -> Result<(), NewRoomNameError> {
    let text = name.as_str();
    if text.trim().is_empty() {
        return Err(NewRoomNameError::Blank);
    }
    if matches!(text, "." | "..") {
        return Err(NewRoomNameError::Dots);
    }
    if name.is_made_by_server() {
        return Err(NewRoomNameError::MadeByServer);
    }
    if has_hidden(text, NameOf::Room) {
        return Err(NewRoomNameError::Hidden);
    }
    if has_stacked_marks(text) { Err(NewRoomNameError::Marks) } else { Ok(()) }
}

/// Why a text cannot be the name of a new open room. The sentences are shown to people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NewRoomNameError {
    /// The name is only white space.
    #[error("room name must not be blank")]
    Blank,
    /// The name has a meaning in addresses.
    #[error("a room cannot have the name . or ..")]
    Dots,
    /// The name is one that the server makes.
    #[error("names that begin with ~ are made by the server")]
    MadeByServer,
    /// The name has an invisible character.
    #[error("room name must not contain invisible characters")]
    Hidden,
    /// The name has too many combining marks on one letter, or one on none.
    #[error("room name must not contain more than {MARKS_MAX} marks on one letter")]
    Marks,
    /// The name looks like the name or the title of a room of the settings.
    #[error("room name looks too much like that of another room, please take another")]
    LooksLikeAnother,
    /// No room can have the name.
    #[error(transparent)]
    Room(RoomNameError),
}

/// A readable name for an open room with this title: letters, digits and emoji of any
/// script in lower case, with `-` between words; `room` if the title has none. From the
/// second `attempt` on, the number of the attempt follows: `garden-2`.
pub fn room_name_of_title(title: &str, attempt: u32) -> RoomName {
    let suffix = if attempt < 2 { String::new() } else { format!("-{attempt}") };
    let mut name = String::new();
    let mut chars = 0;
    let mut is_word = false;
    for c in title.nfc().flat_map(char::to_lowercase) {
        let group = c.general_category_group();
        let is_letter = matches!(group, GeneralCategoryGroup::Letter | GeneralCategoryGroup::Number)
            // A mark without its letter would be drawn over the hyphen.
            || (is_word && group == GeneralCategoryGroup::Mark);
        if is_letter || (c.is_emoji_char() && group == GeneralCategoryGroup::Symbol) {
            let begins = !is_word && !name.is_empty();
            if chars + usize::from(begins) + 1 + suffix.len() > ROOM_NAME_MAX_CHARS {
                break;
            }
            if begins {
                name.push('-');
                chars += 1;
            }
            name.push(c);
            chars += 1;
            is_word = true;
        } else if !matches!(c, '\'' | '’' | '\u{200C}' | '\u{200D}' | '\u{FE0F}') {
            is_word = false;
        }
    }
    if name.is_empty() {
        name.push_str("room");
    }
    name.push_str(&suffix);
    RoomName::parse(&name).expect("short, and only letters, digits, symbols and hyphens")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_trimmed_and_normalised() {
        assert_eq!(parse_room_title("  Сад и e\u{301}té \n").unwrap(), "Сад и été");
        assert!(parse_room_title(&"ж".repeat(64)).is_ok());
        let too_long = RoomTextError::TooLong { what: "title", max: 64 };
        assert_eq!(parse_room_title(&"ж".repeat(65)), Err(too_long));
        assert_eq!(too_long.to_string(), "the title of the room is too long (max 64)");
        for blank in ["", " \t", "\u{200B}", "\u{3164} \u{200D}"] {
            assert_eq!(parse_room_title(blank), Err(RoomTextError::BlankTitle), "{blank:?}");
        }
        for bad in ["a\nb", "a\0b", "a\u{7f}b", "a\u{202E}b", "a\u{2066}b", "a\u{2028}b"] {
            assert_eq!(parse_room_title(bad), Err(RoomTextError::Control { what: "title" }), "{bad:?}");
        }
        for bad in ["a\u{200B}b", "a\u{3164}b", "a\u{E0061}", "a\u{FE0F}", "a\u{200E}b", "a\u{2800}b"] {
            assert_eq!(parse_room_title(bad), Err(RoomTextError::HiddenInTitle), "{bad:?}");
        }
        for bad in ["a\u{301}\u{302}\u{303}\u{304}\u{330}\u{331}", "\u{301}a"] {
            assert_eq!(parse_room_title(bad), Err(RoomTextError::MarksInTitle), "{bad:?}");
        }
        // A joiner belongs to the spelling of Persian words, and to emoji.
        for good in [
            "می\u{200C}خواهم",
            "👩\u{200D}💻",
            "❤\u{FE0F}\u{200D}🔥 Team",
            "🏴\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}",
            "A/B – 50 %",
            "مُحَمَّدٌ",
            "Tiếng Việt",
            "हिन्दी",
            "ภาษาไทย",
        ] {
            assert_eq!(parse_room_title(good).unwrap(), good);
        }
    }

    #[test]
    fn a_description_may_have_lines_or_be_empty() {
        assert_eq!(parse_room_description(" one\r\ntwo\n").unwrap(), "one\ntwo");
        assert_eq!(parse_room_description(" ").unwrap(), "");
        assert!(parse_room_description(&"ж".repeat(500)).is_ok());
        assert!(parse_room_description(&"ж".repeat(501)).is_err());
        assert!(parse_room_description("a\tb").is_err());
    }

    #[test]
    fn a_new_room_has_a_name_that_an_address_can_have() {
        assert_eq!(parse_new_room_name(" Кухня").unwrap().as_str(), " Кухня");
        for (bad, error) in [
            ("", "room name must not be blank"),
            (" ", "room name must not be blank"),
            (".", "a room cannot have the name . or .."),
            ("..", "a room cannot have the name . or .."),
            ("~x", "names that begin with ~ are made by the server"),
            ("a\nb", "room name must not contain control characters"),
            ("a\u{202E}b", "room name must not contain invisible characters"),
            ("\u{3164}", "room name must not contain invisible characters"),
            ("\u{a0}", "room name must not be blank"),
        ] {
            assert_eq!(parse_new_room_name(bad).unwrap_err().to_string(), error, "{bad:?}");
        }
        assert!(parse_new_room_name("...").is_ok());
    }

    #[test]
    fn a_name_is_made_of_the_title() {
        for (title, name) in [
            ("Garden", "garden"),
            ("Наш Сад", "наш-сад"),
            ("  A/B -- tests: 50 % ", "a-b-tests-50"),
            ("~ ..", "room"),
            ("O’Neil's", "oneils"),
            ("李雷 的 房间", "李雷-的-房间"),
            ("हिन्दी", "हिन्दी"),
            ("🌱 Plants", "🌱-plants"),
            ("İ", "i\u{307}"),
        ] {
            assert_eq!(room_name_of_title(title, 1).as_str(), name, "{title}");
        }
        assert_eq!(room_name_of_title("Garden", 2).as_str(), "garden-2");
        let long = "ж".repeat(64);
        assert_eq!(room_name_of_title(&long, 1).as_str(), long);
        assert_eq!(room_name_of_title(&long, 12).as_str(), format!("{}-12", "ж".repeat(61)));
        let words = room_name_of_title(&format!("{} b", "a".repeat(63)), 1);
        assert_eq!(words.as_str(), "a".repeat(63), "no hyphen at the end");
    }
}

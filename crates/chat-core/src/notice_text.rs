//! The texts of the notices of protocol v1.

use std::sync::Arc;

/// What a notice of v1 says when a user comes to a room, or leaves it: a text in which `{user}` and
/// `{room}` stand for their names. Clients show the user's name before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeText(Arc<str>);

/// The most characters of a [`NoticeText`].
pub const NOTICE_MAX_CHARS: usize = 200;

/// Why a text cannot be that of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoticeTextError {
    /// The text is only white space.
    #[error("a notice must not be blank")]
    Blank,
    /// The text has more than [`NOTICE_MAX_CHARS`] characters.
    #[error("a notice must have at most {NOTICE_MAX_CHARS} characters")]
    TooLong,
    /// The text has a control character.
    #[error("a notice must not contain control characters")]
    Control,
}

impl NoticeText {
    /// Checks a text, without white space at both ends.
    ///
    /// # Errors
    ///
    /// [`NoticeTextError`] says what is wrong.
    pub fn parse(text: &str) -> Result<Self, NoticeTextError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(NoticeTextError::Blank);
        }
        if text.chars().count() > NOTICE_MAX_CHARS {
            return Err(NoticeTextError::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(NoticeTextError::Control);
        }
        Ok(Self(text.into()))
    }

    /// That of the original chat for a user who comes.
    pub fn original_joined() -> Self {
        Self("присоединился к комнате {room}".into())
    }

    /// That of the original chat for a user who leaves.
    pub fn original_left() -> Self {
        Self("покинул комнату {room}".into())
    }

    /// The text of a notice. Braces in names have no meaning.
    pub(crate) fn with_names(&self, user: &str, room: &str) -> String {
        let mut text = String::with_capacity(self.0.len() + room.len());
        let mut rest = &*self.0;
        while let Some(start) = rest.find('{') {
            let (before, behind) = rest.split_at(start);
            text.push_str(before);
            let names = [("{user}", user), ("{room}", room)];
            match names.iter().find(|(placeholder, _)| behind.starts_with(placeholder)) {
                Some((placeholder, name)) => {
                    text.push_str(name);
                    rest = &behind[placeholder.len()..];
                }
                None => {
                    text.push('{');
                    rest = &behind[1..];
                }
            }
        }
        text.push_str(rest);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_where_the_text_has_a_place_for_them() {
        for (text, expected) in [
            ("{user} is in {room} now", "alice is in {user} now"),
            ("no place", "no place"),
            ("{{room}} {rooms} {", "{{user}} {rooms} {"),
        ] {
            assert_eq!(NoticeText::parse(text).unwrap().with_names("alice", "{user}"), expected);
        }
        assert_eq!(NoticeText::original_left().with_names("alice", "default"), "покинул комнату default");
    }

    #[test]
    fn a_notice_has_a_text_of_one_line() {
        assert_eq!(NoticeText::parse(" "), Err(NoticeTextError::Blank));
        assert_eq!(NoticeText::parse("a\nb"), Err(NoticeTextError::Control));
        assert!(NoticeText::parse(&"ж".repeat(200)).is_ok());
        assert_eq!(NoticeText::parse(&"ж".repeat(201)), Err(NoticeTextError::TooLong));
    }
}

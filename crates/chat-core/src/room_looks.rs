//! What the rooms of the settings look like.

use std::sync::Arc;

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};

use crate::room_text::{NewRoomNameError, RoomTextError, check_room_name};
use crate::{RoomName, Skeleton};

/// What the rooms of the settings look like: no other room may have a name or a title that a
/// person could take for theirs. Texts are compared by their [skeletons](Skeleton), without
/// spaces, dots and hyphens. Cloning increments a reference count.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RoomLooks(Arc<[Look]>);

#[derive(Debug, PartialEq, Eq)]
struct Look {
    room: RoomName,
    /// Of its name and of its title.
    skeletons: [Skeleton; 2],
}

impl RoomLooks {
    /// The looks of these rooms, each with its name and its title.
    pub fn of<'a>(rooms: impl IntoIterator<Item = (&'a RoomName, &'a str)>) -> Self {
        let look = |(room, title): (&RoomName, &str)| Look {
            room: room.clone(),
            skeletons: [skeleton(room.as_str()), skeleton(title)],
        };
        Self(rooms.into_iter().map(look).collect())
    }

    /// Checks a name under which somebody wants to open a room that does not exist.
    ///
    /// # Errors
    ///
    /// [`NewRoomNameError`]: those of [`parse_new_room_name`](crate::parse_new_room_name), and
    /// if the name looks like that of a room of the settings.
    pub fn check_new_name(&self, name: &RoomName) -> Result<(), NewRoomNameError> {
        check_room_name(name)?;
        let is_configured = self.0.iter().any(|look| look.room == *name);
        match !is_configured && self.have(name.as_str(), None) {
            true => Err(NewRoomNameError::LooksLikeAnother),
            false => Ok(()),
        }
    }

    /// Checks the new title of a room; `None`: of one that has no name yet.
    ///
    /// # Errors
    ///
    /// [`RoomTextError::LooksLikeAnother`].
    pub fn check_title(&self, title: &str, of: Option<&RoomName>) -> Result<(), RoomTextError> {
        if self.have(title, of) { Err(RoomTextError::LooksLikeAnother) } else { Ok(()) }
    }

    /// Whether a text looks like the name or title of a room of the settings, except this one.
    fn have(&self, text: &str, except: Option<&RoomName>) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let skeleton = skeleton(text);
        let mut others = self.0.iter().filter(|look| Some(&look.room) != except);
        others.any(|look| look.skeletons.iter().any(|own| own.is_confusable_with(&skeleton)))
    }
}

fn skeleton(text: &str) -> Skeleton {
    let separates = |c: char| {
        c.is_whitespace()
            || c == '.'
            || matches!(
                c.general_category(),
                GeneralCategory::DashPunctuation | GeneralCategory::ConnectorPunctuation
            )
    };
    let joined: String = text.chars().filter(|c| !separates(*c)).collect();
    Skeleton::of(if joined.is_empty() { text } else { &joined })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> RoomName {
        RoomName::parse(name).unwrap()
    }

    #[test]
    fn a_new_room_looks_like_none_of_the_settings() {
        let (default, news) = (name("default"), name("news"));
        let looks = RoomLooks::of([(&default, "General"), (&news, "Наши новости")]);
        for bad in [
            "Default",
            "dеfault",
            " default",
            "default.",
            "de fault",
            "defau1t",
            "general",
            "GENERAL",
            "New-s",
            "наши-новости",
        ] {
            assert_eq!(looks.check_new_name(&name(bad)), Err(NewRoomNameError::LooksLikeAnother), "{bad}");
            assert_eq!(looks.check_title(bad, None), Err(RoomTextError::LooksLikeAnother), "{bad}");
        }
        for good in ["default2", "новости", "General talk", "news!", "🗞 news"] {
            assert_eq!(looks.check_new_name(&name(good)), Ok(()), "{good}");
            assert_eq!(looks.check_title(good, None), Ok(()), "{good}");
        }
        // The rooms of the settings themselves are no impostors.
        assert_eq!(looks.check_new_name(&default), Ok(()));
        assert_eq!(looks.check_title("Default", Some(&default)), Ok(()));
        assert_eq!(looks.check_title("News", Some(&default)), Err(RoomTextError::LooksLikeAnother));
        assert_eq!(RoomLooks::default().check_new_name(&name("Default")), Ok(()));
    }

    #[test]
    fn a_new_name_can_be_seen() {
        let looks = RoomLooks::default();
        for (bad, error) in [
            (" ", NewRoomNameError::Blank),
            ("..", NewRoomNameError::Dots),
            ("a\u{202E}b", NewRoomNameError::Hidden),
            ("\u{3164}", NewRoomNameError::Hidden),
            ("\u{301}a", NewRoomNameError::Marks),
        ] {
            assert_eq!(looks.check_new_name(&name(bad)), Err(error), "{bad:?}");
        }
        assert_eq!(looks.check_new_name(&name("می\u{200C}خواهم")), Ok(()));
    }
}

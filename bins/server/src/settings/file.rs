//! The configuration file (TOML).

use std::ffi::OsString;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::value::{SettingError, Source, Value, unknown};
use super::{ALL, CONFIG, Kind, Setting};

/// A room that is always listed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) name: String,
    pub(crate) title: String,
    /// The line of the file in which the room begins.
    pub(crate) line: usize,
}

/// The settings that a configuration file has.
#[derive(Default)]
pub(super) struct Contents {
    pub(super) values: Vec<Value>,
    pub(super) rooms: Option<Vec<Room>>,
}

/// Reads the settings of a configuration file.
pub(super) fn read(path: &Path) -> Result<Contents, SettingError> {
    let text = std::fs::read_to_string(path)
        .map_err(|cause| SettingError::Unreadable { path: path.to_owned(), cause })?;
    parse(path, &text)
}

/// Reads the settings in the text of a configuration file.
pub(super) fn parse(path: &Path, text: &str) -> Result<Contents, SettingError> {
    let file = File { path, text };
    let table = DeTable::parse(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start);
        file.malformed(start, error.message())
    })?;
    let mut contents = Contents::default();
    for (key, value) in table.get_ref() {
        let name: &str = key.get_ref();
        if name == ROOMS {
            contents.rooms = Some(file.rooms(value)?);
            continue;
        }
        let Some(setting) = known().find(|setting| setting.key == name) else {
            let known = known().map(|setting| setting.key).chain([ROOMS]);
            return Err(file.malformed(key.span().start, unknown(name, known)));
        };
        let source = Source::File { path: path.to_owned(), line: file.line(key.span().start) };
        match text_of(setting, value.get_ref()) {
            Ok(text) => contents.values.push(Value { setting, text: OsString::from(text), source }),
            Err(message) => return Err(SettingError::invalid(source.origin(setting), message)),
        }
    }
    Ok(contents)
}

/// The key of the rooms, which can be set in the file only.
pub(super) const ROOMS: &str = "rooms";

/// The settings that the file may have: it does not name itself.
fn known() -> impl Iterator<Item = &'static Setting> {
    ALL.iter().copied().filter(|setting| setting.key != CONFIG.key)
}

/// A value as a flag would give it, if it has the type of its setting.
fn text_of(setting: &Setting, value: &DeValue) -> Result<String, &'static str> {
    match (setting.kind, value) {
        (Kind::Text | Kind::Path | Kind::OneOf(_), DeValue::String(text)) => Ok(text.clone().into_owned()),
        (Kind::Text | Kind::Path | Kind::OneOf(_), _) => Err("must be a text in quotes"),
        (Kind::Number(..), DeValue::Integer(number)) => {
            let parsed = i64::from_str_radix(number.as_str(), number.radix());
            Ok(parsed.map_or_else(|_| number.to_string(), |number| number.to_string()))
        }
        (Kind::Number(..), _) => Err("must be a whole number without quotes"),
        (Kind::Bool | Kind::Switch, DeValue::Boolean(value)) => Ok(value.to_string()),
        (Kind::Bool | Kind::Switch, _) => Err("must be true or false without quotes"),
    }
}

/// A file whose errors name their line.
struct File<'a> {
    path: &'a Path,
    text: &'a str,
}

impl File<'_> {
    /// The rooms of `[[rooms]]`.
    fn rooms(&self, value: &Spanned<DeValue>) -> Result<Vec<Room>, SettingError> {
        let wrong = |start| self.malformed(start, "rooms are written [[rooms]], each with name and title");
        let DeValue::Array(rooms) = value.get_ref() else { return Err(wrong(value.span().start)) };
        let mut read = Vec::with_capacity(rooms.len());
        for room in rooms.iter() {
            let start = room.span().start;
            let DeValue::Table(fields) = room.get_ref() else { return Err(wrong(start)) };
            let (mut name, mut title) = (None, None);
            for (key, field) in fields {
                let slot = match &**key.get_ref() {
                    "name" => &mut name,
                    "title" => &mut title,
                    other => {
                        let message = unknown(other, ["name", "title"].into_iter());
                        return Err(self.malformed(key.span().start, message));
                    }
                };
                let DeValue::String(text) = field.get_ref() else { return Err(wrong(field.span().start)) };
                *slot = Some(text.clone().into_owned());
            }
            let (Some(name), Some(title)) = (name, title) else { return Err(wrong(start)) };
            read.push(Room { name, title, line: self.line(start) });
        }
        Ok(read)
    }

    /// The line, from 1, of a position in bytes.
    fn line(&self, position: usize) -> usize {
        let before = self.text.as_bytes().get(..position).unwrap_or_default();
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    }

    fn malformed(&self, position: usize, message: impl Into<String>) -> SettingError {
        let line = self.line(position);
        // The parser explains some errors in several lines.
        let message = message.into().replace('\n', " ");
        SettingError::Malformed { path: self.path.to_owned(), line, message }
    }
}

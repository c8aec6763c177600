//! Files that are attached to messages: their ids, names and types. Their bytes are elsewhere.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use unicode_normalization::UnicodeNormalization as _;

use crate::hidden::{NameOf, visible};

/// Files that one message may have.
pub const FILES_MAX: usize = 10;
/// Bytes that the name of a file may have.
pub const FILE_NAME_MAX_BYTES: usize = 255;
/// Bytes that a media type may have.
pub const MEDIA_TYPE_MAX_BYTES: usize = 100;
/// What [`Body::bytes`](crate::Body::bytes) counts for a file, beside its name.
pub(crate) const FILE_BYTES: usize = 100;

/// The id of a file: 128 random bits, as 22 characters of base64url. Who does not know it
/// cannot guess it. Ids are ordered as their texts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId([u8; ID_CHARS]);

impl FileId {
    /// The id with these bits, which the caller chooses at random.
    pub fn from_bytes(bits: [u8; 16]) -> Self {
        let bits = u128::from_be_bytes(bits);
        let mut text = [0; ID_CHARS];
        for (index, character) in text.iter_mut().enumerate() {
            // The last character has two bits, followed by four zeros.
            let digit = match 122_u32.checked_sub(6 * index as u32) {
                Some(shift) => bits >> shift,
                None => bits << 4,
            };
            *character = DIGITS[(digit & 63) as usize];
        }
        Self(text)
    }

    /// Parses an id; `None` if the text is none.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; ID_CHARS] = text.as_bytes().try_into().ok()?;
        let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        // The last digit is one of 4: each id has one spelling.
        let is_id = bytes.iter().all(is_digit) && matches!(bytes[ID_CHARS - 1], b'A' | b'Q' | b'g' | b'w');
        is_id.then_some(Self(bytes))
    }

    /// The id as a text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("the digits are ASCII")
    }
}

const ID_CHARS: usize = 22;
const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The name of a file, as it is shown. It is never a path: it has no `/` and no `\`, and is not
/// `.` or `..`. It has 1 to [`FILE_NAME_MAX_BYTES`] bytes, in NFC, without control characters,
/// marks that change the direction of writing, and other invisible ones. Cloning increments a
/// reference count.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName(Arc<str>);

impl FileName {
    /// Makes a name of what a client calls its file: of a path the last part, without hidden
    /// characters and surrounding white space. A name that is too long is cut before its
    /// extension. `None` if nothing is left.
    pub fn clean(input: &str) -> Option<Self> {
        let last = input.rsplit(['/', '\\']).next()?;
        let name: String = visible(last, NameOf::UserOrFile).nfc().collect();
        let name = shortened(name.trim());
        // An emoji may be cut in two.
        let name = visible(&name, NameOf::UserOrFile);
        let name = name.trim();
        (!matches!(name, "" | "." | "..")).then(|| Self(name.into()))
    }

    /// A name from the log, which was checked before it was stored.
    pub fn stored(name: &str) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The first part of a name, and its extension, together at most as long as a name may be.
fn shortened(name: &str) -> Cow<'_, str> {
    if name.len() <= FILE_NAME_MAX_BYTES {
        return Cow::Borrowed(name);
    }
    let dot = name.rfind('.').filter(|dot| *dot > 0 && name.len() - dot <= EXTENSION_MAX_BYTES);
    let (stem, extension) = name.split_at(dot.unwrap_or(name.len()));
    let end = stem.floor_char_boundary(FILE_NAME_MAX_BYTES - extension.len());
    Cow::Owned(format!("{}{extension}", stem[..end].trim_end()))
}

/// What follows the last dot of a longer name is no extension.
const EXTENSION_MAX_BYTES: usize = 32;

/// The media type of a file: `type/subtype` in small letters, at most
/// [`MEDIA_TYPE_MAX_BYTES`] of ASCII, without parameters. Cloning increments a reference count.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MediaType(Arc<str>);

impl MediaType {
    /// Parses a type, and drops its parameters (RFC 6838 §4.2); `None` if the text is none.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.split(';').next()?.trim().to_ascii_lowercase();
        let (kind, subtype) = text.split_once('/')?;
        let is_allowed = |byte: u8| {
            byte.is_ascii_alphanumeric()
                || matches!(byte, b'!' | b'#' | b'$' | b'&' | b'-' | b'^' | b'_' | b'.' | b'+')
        };
        let is_name = |name: &str| {
            name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
                && name.bytes().all(is_allowed)
        };
        (text.len() <= MEDIA_TYPE_MAX_BYTES && is_name(kind) && is_name(subtype)).then(|| Self(text.into()))
    }

    /// A type from the log, which was checked before it was stored.
    pub fn stored(text: &str) -> Self {
        Self(text.into())
    }

    /// The type.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for MediaType {
    /// `application/octet-stream`: bytes of an unknown type.
    fn default() -> Self {
        Self("application/octet-stream".into())
    }
}

/// A file whose bytes are stored, as frames show it. As JSON it is `{id, name, type, size,
/// width?, height?}`, here, in frames and in the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AttachedFile {
    /// Its id.
    pub id: FileId,
    /// Its name.
    pub name: FileName,
    /// Its type, by its bytes where they are known, else as the sender said.
    pub media_type: MediaType,
    /// The bytes of what is stored; 0 of an empty file.
    pub size: u64,
    /// The width and height of a picture in pixels, as it is shown.
    pub dimensions: Option<(u32, u32)>,
}

impl AttachedFile {
    /// A list of files as JSON.
    pub fn list_to_json(files: &[Self]) -> String {
        serde_json::to_string(files).expect("strings and numbers always serialise")
    }

    /// Reads a list that [`list_to_json`](Self::list_to_json) has written; `None` of another
    /// text.
    pub fn list_from_json(json: &str) -> Option<Arc<[Self]>> {
        let fields: Vec<FileFields<'_>> = serde_json::from_str(json).ok()?;
        fields.into_iter().map(FileFields::read).collect()
    }

    /// What [`Body::bytes`](crate::Body::bytes) counts for it.
    pub(crate) fn bytes(&self) -> usize {
        FILE_BYTES + self.name.as_str().len()
    }
}

impl Serialize for AttachedFile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        FileFields::from(self).serialize(serializer)
    }
}

/// A file that is attached to a message.
#[derive(Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct FileFields<'a> {
    /// Its id, which is a part of its address: `/files/<id>/<name>`.
    id: Cow<'a, str>,
    /// Its name: never a path.
    name: Cow<'a, str>,
    /// Its media type: by its bytes where they are known, else as the sender said.
    #[serde(rename = "type")]
    media_type: Cow<'a, str>,
    /// Bytes.
    size: u64,
    /// The width of a picture in pixels, as it is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
    /// The height of a picture in pixels, as it is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
}

impl<'a> From<&'a AttachedFile> for FileFields<'a> {
    fn from(file: &'a AttachedFile) -> Self {
        let (width, height) = file.dimensions.unzip();
        Self {
            id: file.id.as_str().into(),
            name: file.name.as_str().into(),
            media_type: file.media_type.as_str().into(),
            size: file.size,
            width,
            height,
        }
    }
}

impl FileFields<'_> {
    fn read(self) -> Option<AttachedFile> {
        Some(AttachedFile {
            id: FileId::parse(&self.id)?,
            name: FileName::stored(&self.name),
            media_type: MediaType::stored(&self.media_type),
            size: self.size,
            dimensions: self.width.zip(self.height),
        })
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
shows_as_text!(FileId, FileName, MediaType);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        for bits in [0, 1, u128::MAX, 0x0123_4567_89AB_CDEF_0011_2233_4455_6677] {
            let id = FileId::from_bytes(u128::to_be_bytes(bits));
            assert_eq!(FileId::parse(id.as_str()), Some(id));
        }
        // From RFC 4648 §5.
        assert_eq!(FileId::from_bytes([0; 16]).as_str(), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(FileId::from_bytes([0xFF; 16]).as_str(), "_____________________w");
        assert_eq!(FileId::from_bytes(*b"0123456789abcdef").as_str(), "MDEyMzQ1Njc4OWFiY2RlZg");
        for bad in [
            "",
            "AAAAAAAAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAAAAAB",
            "AAAAAAAAAAAAAAAAAAAA.A",
            "AAAAAAAAAAAAAAAAAAAA/A",
            "жжжжжжжжжжж",
        ] {
            assert_eq!(FileId::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_name_is_no_path_and_hides_nothing() {
        let clean = |name: &str| FileName::clean(name).map(|name| name.as_str().to_owned());
        for (input, expected) in [
            ("cat.png", "cat.png"),
            ("  Отчёт за май.pdf ", "Отчёт за май.pdf"),
            ("C:\\fakepath\\cat.png", "cat.png"),
            ("../../etc/passwd", "passwd"),
            ("a\u{202E}gnp.exe", "agnp.exe"),
            ("a\u{200B}\u{0}\n.txt", "a.txt"),
            ("e\u{301}.txt", "é.txt"),
            (".profile", ".profile"),
            ("...", "..."),
            ("👩\u{200D}💻.png", "👩\u{200D}💻.png"),
        ] {
            assert_eq!(clean(input).as_deref(), Some(expected), "{input:?}");
        }
        for nothing in ["", " ", ".", "..", "a/", "a\\..", "\u{202E}\u{200B}", " . "] {
            assert_eq!(clean(nothing), None, "{nothing:?}");
        }
    }

    #[test]
    fn a_long_name_is_cut_before_its_extension() {
        let clean = |name: &str| FileName::clean(name).unwrap().as_str().to_owned();
        let long = "ж".repeat(200);
        let cut = clean(&format!("{long}.tar.gz"));
        assert!(cut.len() <= 255 && cut.len() > 250 && cut.ends_with("ж.gz"), "{cut}");
        assert_eq!(clean(&long).len(), 254);
        let no_extension = clean(&format!("{}.{}", "a".repeat(240), "b".repeat(40)));
        assert_eq!(no_extension, format!("{}.{}", "a".repeat(240), "b".repeat(14)));
        // The joiner that is left of a cut emoji goes, too.
        let emoji = clean(&format!("{}👩\u{200D}💻", "a".repeat(248)));
        assert_eq!(emoji, format!("{}👩", "a".repeat(248)));
        for name in [&cut, &emoji] {
            assert_eq!(clean(name), **name);
        }
    }

    #[test]
    fn a_media_type_has_two_names_and_no_parameters() {
        let parse = |text: &str| MediaType::parse(text).map(|parsed| parsed.as_str().to_owned());
        assert_eq!(parse("image/png").as_deref(), Some("image/png"));
        assert_eq!(parse(" Text/HTML; charset=utf-8").as_deref(), Some("text/html"));
        assert_eq!(parse("image/svg+xml").as_deref(), Some("image/svg+xml"));
        for bad in ["", "png", "/", "image/", "/png", "a/b/c", "a b/c", "image/\u{436}", "a/\"b\"", "-a/b"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert!(parse(&format!("a/{}", "b".repeat(98))).is_some());
        assert_eq!(parse(&format!("a/{}", "b".repeat(99))), None);
        assert_eq!(MediaType::default(), MediaType::parse("application/octet-stream").unwrap());
    }

    #[test]
    fn a_list_is_read_as_it_was_written() {
        let files = [
            AttachedFile {
                id: FileId::from_bytes([7; 16]),
                name: FileName::clean("a \"cat\".png").unwrap(),
                media_type: MediaType::parse("image/png").unwrap(),
                size: u64::MAX,
                dimensions: Some((640, 480)),
            },
            AttachedFile {
                id: FileId::from_bytes([8; 16]),
                name: FileName::clean("пусто").unwrap(),
                media_type: MediaType::default(),
                size: 0,
                dimensions: None,
            },
        ];
        let json = AttachedFile::list_to_json(&files);
        assert_eq!(AttachedFile::list_from_json(&json).as_deref(), Some(&files[..]));
        assert_eq!(
            AttachedFile::list_to_json(&files[1..]),
            r#"[{"id":"CAgICAgICAgICAgICAgICA","name":"пусто","type":"application/octet-stream","size":0}]"#
        );
        assert_eq!(AttachedFile::list_from_json("[{}]"), None);
        assert_eq!(AttachedFile::list_from_json(r#"[{"id":"x","name":"a","type":"a/b","size":1}]"#), None);
    }
}

//! The frames on the wire, which the simulator reads strictly: an unknown field is an
//! error.

use chat_core::AttachedFile;
use serde::Deserialize;

/// A frame from a server, of either version.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct Frame {
    #[serde(rename = "type")]
    pub(crate) kind: Kind,
    pub(crate) from: Option<From>,
    pub(crate) active: Option<bool>,
    pub(crate) to: Option<String>,
    pub(crate) text: Option<String>,
    pub(crate) timestamp: Option<u64>,
    pub(crate) room: Option<String>,
    pub(crate) seq: Option<u64>,
    pub(crate) nonce: Option<String>,
    pub(crate) target: Option<u64>,
    pub(crate) emoji: Option<String>,
    pub(crate) reply_to: Option<u64>,
    pub(crate) files: Option<Vec<ShownFile>>,
    /// The time of the newest edit, in seconds since 1970.
    pub(crate) edited: Option<u64>,
    #[serde(default)]
    pub(crate) deleted: bool,
    pub(crate) reactions: Option<Vec<ShownReaction>>,
    /// The last change that the state of a message contains.
    pub(crate) updated: Option<u64>,
    #[serde(rename = "ref")]
    pub(crate) reference: Option<String>,
    pub(crate) epoch: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) privates: Option<Vec<Top>>,
    pub(crate) has_more: Option<bool>,
    #[serde(rename = "has_more_before")]
    _has_more_before: Option<bool>,
    #[serde(rename = "has_more_after")]
    _has_more_after: Option<bool>,
    pub(crate) recovered: Option<bool>,
    pub(crate) online: Option<Online>,
    pub(crate) members: Option<Vec<String>>,
    pub(crate) duplicate: Option<bool>,
    pub(crate) with: Option<String>,
    pub(crate) first: Option<u64>,
    pub(crate) messages: Option<Vec<Frame>>,
    pub(crate) rooms: Option<Vec<Listed>>,
    pub(crate) has_more_rooms: Option<bool>,
    pub(crate) upto: Option<u64>,
    pub(crate) top: Option<u64>,
    pub(crate) unread: Option<u64>,
    pub(crate) mentions: Option<Mentions>,
    pub(crate) new: Option<u64>,
    pub(crate) level: Option<String>,
    pub(crate) reason: Option<String>,
    pub(crate) title: Option<String>,
    pub(crate) access: Option<String>,
    pub(crate) archived: Option<bool>,
    pub(crate) role: Option<String>,
    pub(crate) member: Option<bool>,
    #[serde(default)]
    pub(crate) mention_all: bool,
    #[serde(rename = "not_members")]
    _not_members: Option<serde::de::IgnoredAny>,
    #[serde(rename = "at")]
    _at: Option<u64>,
    pub(crate) code: Option<String>,
    #[serde(rename = "message")]
    _message: Option<String>,
    #[serde(rename = "sentence")]
    _sentence: Option<String>,
    #[serde(rename = "retry_after")]
    _retry_after: Option<u64>,
    #[serde(rename = "after_ms")]
    _after_ms: Option<u64>,
    #[serde(rename = "protocol")]
    _protocol: Option<u32>,
    #[serde(rename = "heartbeat_seconds")]
    _heartbeat_seconds: Option<u64>,
    #[serde(rename = "features")]
    _features: Option<serde::de::IgnoredAny>,
    #[serde(rename = "limits")]
    _limits: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Hello,
    Joined,
    Replayed,
    Left,
    Message,
    Private,
    Edit,
    Delete,
    React,
    Unreact,
    System,
    Ack,
    History,
    Presence,
    Typing,
    Read,
    Activity,
    Level,
    Room,
    Error,
    Reconnect,
}

/// The reactions to a message with one emoji.
#[derive(Deserialize, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShownReaction {
    pub(crate) emoji: String,
    pub(crate) count: u64,
    pub(crate) users: Vec<String>,
}

/// A file of a message.
#[derive(Deserialize, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShownFile {
    pub(crate) id: String,
    name: String,
    #[serde(rename = "type")]
    media_type: String,
    size: u64,
    width: Option<u32>,
    height: Option<u32>,
}

impl ShownFile {
    /// Whether it is shown as it is.
    pub(crate) fn is(&self, file: &AttachedFile) -> bool {
        self.id == file.id.as_str()
            && self.name == file.name.as_str()
            && self.media_type == file.media_type.as_str()
            && self.size == file.size
            && self.width == file.dimensions.map(|(width, _)| width)
            && self.height == file.dimensions.map(|(_, height)| height)
    }
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct Top {
    pub(crate) with: String,
    pub(crate) seq: u64,
    pub(crate) read: Option<u64>,
    pub(crate) unread: Option<u64>,
    pub(crate) level: Option<String>,
    #[serde(rename = "at")]
    _at: Option<u64>,
}

/// A room in `hello`.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listed {
    pub(crate) room: String,
    pub(crate) title: String,
    pub(crate) access: String,
    #[serde(default)]
    pub(crate) archived: bool,
    pub(crate) role: String,
    pub(crate) top: u64,
    pub(crate) read: u64,
    pub(crate) unread: Option<u64>,
    pub(crate) mentions: Option<u64>,
    pub(crate) level: String,
    #[serde(rename = "at")]
    _at: Option<u64>,
}

/// The author of a message, or the first number that a folded answer covers.
#[derive(Deserialize, Debug, Clone)]
#[serde(untagged)]
pub(crate) enum From {
    Name(String),
    Number(u64),
}

/// The users whom a message mentions, or the number of messages that mention the user.
#[derive(Deserialize, Debug, Clone)]
#[serde(untagged)]
pub(crate) enum Mentions {
    Names(Vec<String>),
    Count(u64),
}

impl Frame {
    /// The author of a message, or the user who types.
    pub(crate) fn author(&self) -> Option<&str> {
        match &self.from {
            Some(From::Name(name)) => Some(name),
            _ => None,
        }
    }

    /// The ids of the files that it shows, in either version.
    pub(crate) fn file_ids(&self) -> Vec<&str> {
        let named = self.files.iter().flatten().map(|file| file.id.as_str());
        named.chain(linked(self.text.as_deref().unwrap_or_default())).collect()
    }

    /// The first number that a folded answer covers.
    pub(crate) fn covers_from(&self) -> Option<u64> {
        match self.from {
            Some(From::Number(number)) => Some(number),
            _ => None,
        }
    }

    /// The names of mentioned users.
    pub(crate) fn mentioned(&self) -> &[String] {
        match &self.mentions {
            Some(Mentions::Names(names)) => names,
            _ => &[],
        }
    }

    /// How many messages mention the user.
    pub(crate) fn mentions_counted(&self) -> Option<u64> {
        match self.mentions {
            Some(Mentions::Count(count)) => Some(count),
            _ => None,
        }
    }
}

#[derive(Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(untagged)]
pub(crate) enum Online {
    Is(bool),
    Count(usize),
}

/// A frame of a client, with the fields that the oracle needs.
#[derive(Deserialize, Debug, Default)]
pub(crate) struct Request {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) room: Option<String>,
    pub(crate) with: Option<String>,
    pub(crate) to: Option<String>,
    pub(crate) text: Option<String>,
    pub(crate) nonce: Option<String>,
    pub(crate) since: Option<u64>,
    pub(crate) before: Option<u64>,
    pub(crate) after: Option<u64>,
    pub(crate) around: Option<u64>,
    pub(crate) seqs: Option<Vec<u64>>,
    pub(crate) limit: Option<u64>,
    #[serde(default)]
    pub(crate) fold: bool,
    pub(crate) upto: Option<u64>,
    pub(crate) level: Option<String>,
    #[serde(rename = "ref")]
    pub(crate) reference: Option<String>,
}

/// A name that has no account.
pub(crate) const NO_ACCOUNT: &str = "nobody";

/// The text of a message: its number and some padding.
pub(crate) fn text(number: usize, padding: usize) -> String {
    format!("{number} {}.", "x".repeat(padding))
}

/// The text of a message with files, as v1 shows it.
pub(crate) fn text_v1(text: &str, files: &[AttachedFile], base: &str) -> String {
    let line = |file: &AttachedFile| {
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
        let encode = |byte: u8| match is_plain(&byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        };
        let name: String = file.name.as_str().bytes().map(encode).collect();
        format!("{CLIP}{} {base}/files/{}/{name}", file.name, file.id)
    };
    let lines = (!text.is_empty()).then(|| text.to_owned()).into_iter().chain(files.iter().map(line));
    lines.collect::<Vec<_>>().join("\n")
}

/// The text of a message without the lines of its files, as v1 shows it.
pub(crate) fn without_files(text: &str) -> &str {
    match text.find(CLIP) {
        Some(at) => text[..at].trim_end_matches('\n'),
        None => text,
    }
}

/// The ids of the files in a text, as v1 shows them.
pub(crate) fn linked(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().filter(|line| line.starts_with(CLIP));
    lines.filter_map(|line| line.split_once("/files/")?.1.split('/').next())
}

const CLIP: &str = "📎 ";

pub(crate) fn number(text: &str) -> Option<usize> {
    text.split(' ').next()?.parse().ok()
}

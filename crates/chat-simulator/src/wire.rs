//! The frames on the wire, which the simulator reads strictly: an unknown field is an
//! error.

use serde::Deserialize;

/// A frame from a server, of either version.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct Frame {
    #[serde(rename = "type")]
    pub(crate) kind: Kind,
    pub(crate) from: Option<String>,
    pub(crate) active: Option<bool>,
    pub(crate) to: Option<String>,
    pub(crate) text: Option<String>,
    pub(crate) timestamp: Option<u64>,
    pub(crate) room: Option<String>,
    pub(crate) seq: Option<u64>,
    pub(crate) nonce: Option<String>,
    #[serde(rename = "ref")]
    pub(crate) reference: Option<String>,
    pub(crate) epoch: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) privates: Option<Vec<Top>>,
    pub(crate) has_more: Option<bool>,
    pub(crate) recovered: Option<bool>,
    pub(crate) online: Option<Online>,
    pub(crate) members: Option<Vec<String>>,
    pub(crate) duplicate: Option<bool>,
    pub(crate) with: Option<String>,
    pub(crate) first: Option<u64>,
    pub(crate) messages: Option<Vec<Frame>>,
    pub(crate) code: Option<String>,
    #[serde(rename = "message")]
    _message: Option<String>,
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
    Left,
    Message,
    Private,
    System,
    Ack,
    History,
    Presence,
    Typing,
    Error,
    Reconnect,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct Top {
    pub(crate) with: String,
    pub(crate) seq: u64,
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
    #[serde(rename = "ref")]
    pub(crate) reference: Option<String>,
}

/// A name that has no account.
pub(crate) const NO_ACCOUNT: &str = "nobody";

/// The text of a message: its number and some padding.
pub(crate) fn text(number: usize, padding: usize) -> String {
    format!("{number} {}.", "x".repeat(padding))
}

pub(crate) fn number(text: &str) -> Option<usize> {
    text.split(' ').next()?.parse().ok()
}

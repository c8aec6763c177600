//! The frames of protocol v1, which the original chat's clients speak.

use serde::{Deserialize, Serialize};

use crate::{MessageText, NoticeText, TextError};

/// A client's request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// A message to the room.
    Message(MessageText),
    /// A message to one user, with the name as the client wrote it, trimmed.
    Private { to: String, text: MessageText },
    /// Nothing: a blank text, or a private message without a recipient.
    Nothing,
}

/// Why a frame is not a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Not a flat JSON object with fields of the right types. Closes nothing.
    Malformed,
    /// The text has more characters than allowed. Closes the connection.
    TooLong,
}

/// Parses a frame. A client sets `text`, `to` and `type`; all else that it sends
/// (`from`, `timestamp`, …) is ignored.
pub(crate) fn parse(frame: &str, text_max_chars: usize) -> Result<Request, Refusal> {
    // serde would also read the fields from an array, by position.
    if !frame.trim_start().starts_with('{') {
        return Err(Refusal::Malformed);
    }
    let fields: ClientFields = serde_json::from_str(frame).map_err(|_| Refusal::Malformed)?;
    let text = match MessageText::parse(fields.text.as_deref().unwrap_or(""), text_max_chars) {
        Ok(text) => text,
        Err(TextError::Blank) => return Ok(Request::Nothing),
        Err(TextError::TooLong { .. }) => return Err(Refusal::TooLong),
        Err(TextError::Nul) => return Err(Refusal::Malformed),
    };
    let to = fields.to.as_deref().unwrap_or("").trim();
    if !to.is_empty() {
        return Ok(Request::Private { to: to.to_owned(), text });
    }
    // A private message without a recipient must not become a public one. Any
    // other type is the server's choice.
    if fields.kind.as_deref() == Some("private") { Ok(Request::Nothing) } else { Ok(Request::Message(text)) }
}

/// Appends the JSON of a message to a room.
pub(crate) fn message(out: &mut Vec<u8>, room: &str, from: &str, text: &str, timestamp: u64) {
    write(out, &ServerFrame::Message { from, text, timestamp, room });
}

/// Appends the JSON of a private message; `room` is where its author was.
pub(crate) fn private(out: &mut Vec<u8>, room: &str, from: &str, to: &str, text: &str, timestamp: u64) {
    write(out, &ServerFrame::Private { from, to, text, timestamp, room });
}

/// The kinds of notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notice {
    Joined,
    Left,
}

/// Appends the JSON of a notice.
pub(crate) fn notice(out: &mut Vec<u8>, room: &str, from: &str, text: &NoticeText, timestamp: u64) {
    write(out, &ServerFrame::System { from, text: &text.with_names(from, room), timestamp, room });
}

/// The fields that a client may set.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ClientFields {
    /// `private` keeps a message without a recipient from being public. Any other
    /// value changes nothing.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// The text. Trimmed at both ends; nothing is sent if it is blank.
    text: Option<String>,
    /// The only recipient, if it is not blank: trimmed, then matched exactly.
    to: Option<String>,
}

/// The frames of the server, with the fields in the order of the original.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ServerFrame<'a> {
    /// A message to the room.
    Message {
        from: &'a str,
        text: &'a str,
        /// Whole seconds since 1970.
        timestamp: u64,
        room: &'a str,
    },
    /// A private message.
    Private {
        from: &'a str,
        to: &'a str,
        text: &'a str,
        /// Whole seconds since 1970.
        timestamp: u64,
        /// The room that its author was in.
        room: &'a str,
    },
    /// A notice: a connection of a user has joined the room or left it.
    System {
        /// The user.
        from: &'a str,
        text: &'a str,
        /// Whole seconds since 1970.
        timestamp: u64,
        room: &'a str,
    },
}

fn write(out: &mut Vec<u8>, frame: &ServerFrame<'_>) {
    serde_json::to_writer(out, frame).expect("strings and a number always serialise, and a Vec takes them");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_10(frame: &str) -> Result<Request, Refusal> {
        parse(frame, 10)
    }

    fn text(text: &str) -> MessageText {
        MessageText::parse(text, 10).unwrap()
    }

    #[test]
    fn only_text_to_and_type_count() {
        let forged = r#"{"type":"message","text":" hi ","from":"admin","timestamp":1,"room":"x","a":[{}]}"#;
        assert_eq!(parse_10(forged), Ok(Request::Message(text("hi"))));
        assert_eq!(parse_10(r#"{"text":"hi"}"#), Ok(Request::Message(text("hi"))));
        assert_eq!(parse_10(r#"{"type":"system","text":"hi"}"#), Ok(Request::Message(text("hi"))));
        assert_eq!(parse_10(r#"{"type":null,"text":"hi","to":null}"#), Ok(Request::Message(text("hi"))));
    }

    #[test]
    fn a_message_with_a_recipient_is_private() {
        let to_bob = Ok(Request::Private { to: "bob".into(), text: text("hi") });
        assert_eq!(parse_10(r#"{"type":"message","text":"hi","to":" bob "}"#), to_bob);
        assert_eq!(parse_10(r#"{"type":"private","text":"hi","to":"bob"}"#), to_bob);
    }

    #[test]
    fn private_without_a_recipient_is_never_public() {
        assert_eq!(parse_10(r#"{"type":"private","text":"hi"}"#), Ok(Request::Nothing));
        assert_eq!(parse_10(r#"{"type":"private","text":"hi","to":"  "}"#), Ok(Request::Nothing));
    }

    #[test]
    fn blank_is_nothing_and_long_is_refused() {
        assert_eq!(parse_10(r#"{"text":" \n "}"#), Ok(Request::Nothing));
        assert_eq!(parse_10("{}"), Ok(Request::Nothing));
        assert!(parse_10(r#"{"text":" 1234567890 "}"#).is_ok());
        assert_eq!(parse_10(r#"{"text":"12345678901"}"#), Err(Refusal::TooLong));
    }

    #[test]
    fn malformed_frames_are_refused() {
        for bad in [
            "",
            "hi",
            "[]",
            r#"["message","hi","bob"]"#,
            "1",
            "null",
            r#"{"text":1}"#,
            r#"{"text":"hi","to":[]}"#,
            r#"{"type":{},"text":"hi"}"#,
            r#"{"text":"hi""#,
            r#"{"text":"\ud800"}"#,
            r#"{"text":"a\u0000b"}"#,
        ] {
            assert_eq!(parse_10(bad), Err(Refusal::Malformed), "{bad}");
        }
    }

    #[test]
    fn frames_are_those_of_the_original() {
        let mut out = Vec::new();
        message(&mut out, "default", "alice", "Привет, \"мир\"!", 1);
        private(&mut out, "default", "alice", "bob", "с", 2);
        notice(&mut out, "default", "alice", &NoticeText::original_joined(), 3);
        notice(&mut out, "default", "alice", &NoticeText::original_left(), 4);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            concat!(
                r#"{"type":"message","from":"alice","text":"Привет, \"мир\"!","timestamp":1,"room":"default"}"#,
                r#"{"type":"private","from":"alice","to":"bob","text":"с","timestamp":2,"room":"default"}"#,
                r#"{"type":"system","from":"alice","text":"присоединился к комнате default","timestamp":3,"room":"default"}"#,
                r#"{"type":"system","from":"alice","text":"покинул комнату default","timestamp":4,"room":"default"}"#,
            )
        );
    }
}

//! Frames as bytes: the framing of a transport around the JSON of a protocol.

#[cfg(test)]
mod published;
pub(crate) mod v1;
pub(crate) mod v2;

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::{AttachedFile, DEFAULT_ROOM, Entry, RoomName, Topic};

/// How a transport separates one message from the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Framing {
    /// Unmasked text frames with the final bit set (RFC 6455 §5.2).
    #[default]
    WebSocket,
    /// One JSON object in each line.
    Lines,
}

/// The versions of the protocol, as indices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V1 = 0,
    V2 = 1,
}

impl Version {
    pub(crate) const ALL: [Self; 2] = [Self::V1, Self::V2];
}

/// How entries become frames.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Encoding<'a> {
    pub(crate) framing: Framing,
    /// See [`HubOptions::files_base`](crate::HubOptions::files_base).
    pub(crate) files_base: &'a str,
}

impl Encoding<'_> {
    /// Appends the frame of an entry. v1 shows `shown_s`, in seconds since 1970, as its
    /// time, and has no frame for changes and deleted messages: returns whether there is
    /// one.
    pub(crate) fn entry(self, out: &mut Vec<u8>, version: Version, entry: &Entry, shown_s: u64) -> bool {
        if version == Version::V1 && (!entry.body.is_message() || entry.body.is_deleted()) {
            return false;
        }
        let from = entry.from.as_str();
        let text = || self.text_v1(entry);
        self.framing.append(out, |out| match (version, &entry.topic) {
            (Version::V2, _) => v2::entry(out, entry),
            (Version::V1, Topic::Room(room)) => v1::message(out, room.as_str(), from, &text(), shown_s),
            (Version::V1, Topic::Pair(pair)) => {
                let room = entry.room.as_ref().map_or(DEFAULT_ROOM, RoomName::as_str);
                let to = pair.other(&entry.from).as_str();
                v1::private(out, room, from, to, &text(), shown_s);
            }
        });
        true
    }

    /// The text of a message for v1, with a line for each file under it.
    fn text_v1<'m>(self, message: &'m Entry) -> Cow<'m, str> {
        let text = message.body.text();
        let files = message.body.files();
        if files.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut lines = text.to_owned();
        for AttachedFile { id, name, .. } in files {
            if !lines.is_empty() {
                lines.push('\n');
            }
            let _ = write!(lines, "📎 {name} {}/files/{id}/", self.files_base);
            for byte in name.as_str().bytes() {
                // The characters that RFC 3986 §2.3 reserves for nothing.
                if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
                    lines.push(char::from(byte));
                } else {
                    let _ = write!(lines, "%{byte:02X}");
                }
            }
        }
        Cow::Owned(lines)
    }
}

impl Framing {
    /// Appends one message, whose payload `write` appends.
    pub(crate) fn append(self, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        match self {
            Self::Lines => {
                write(out);
                out.push(b'\n');
            }
            Self::WebSocket => {
                // Space for the header of most messages; others are moved.
                let start = out.len();
                out.extend_from_slice(&[0; 4]);
                write(out);
                let payload = out.len() - start - 4;
                match payload {
                    0..=125 => {
                        out.copy_within(start + 4.., start + 2);
                        out.truncate(start + 2 + payload);
                        out[start + 1] = payload as u8;
                    }
                    126..=0xFFFF => {
                        out[start + 1] = 126;
                        out[start + 2..start + 4].copy_from_slice(&(payload as u16).to_be_bytes());
                    }
                    _ => {
                        out[start + 1] = 127;
                        out.splice(start + 2..start + 4, (payload as u64).to_be_bytes());
                    }
                }
                out[start] = FINAL_TEXT;
            }
        }
    }
}

/// Bytes of a text as a JSON string, its quotation marks and a comma included.
pub(crate) fn escaped_bytes(text: &str) -> usize {
    let escaped = |c: char| match c {
        '"' | '\\' | '\n' | '\r' | '\t' => 2,
        c if c.is_control() => 6,
        c => c.len_utf8(),
    };
    3 + text.chars().map(escaped).sum::<usize>()
}

/// FIN and the opcode of a text frame.
const FINAL_TEXT: u8 = 0x81;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_websocket_frame_has_the_shortest_header() {
        for (len, header) in [
            (0, vec![0x81, 0]),
            (125, vec![0x81, 125]),
            (126, vec![0x81, 126, 0, 126]),
            (0xFFFF, vec![0x81, 126, 0xFF, 0xFF]),
            (0x1_0000, vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut out = b"before".to_vec();
            Framing::WebSocket.append(&mut out, |out| out.extend(std::iter::repeat_n(b'x', len)));
            let expected: Vec<u8> =
                [b"before".to_vec(), header, std::iter::repeat_n(b'x', len).collect()].concat();
            assert!(out == expected, "length {len}");
        }
    }

    #[test]
    fn a_line_ends() {
        let mut out = Vec::new();
        Framing::Lines.append(&mut out, |out| out.extend_from_slice(b"{}"));
        assert_eq!(out, b"{}\n");
    }
}

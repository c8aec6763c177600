//! What a client has received, in short.

use serde::Deserialize;
use serde_json::Value;

/// A frame of protocol v1.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) from: String,
    pub(crate) to: Option<String>,
    pub(crate) text: String,
    pub(crate) timestamp: u64,
    pub(crate) room: String,
}

impl Line {
    pub(super) fn parse(line: &str) -> Self {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"))
    }

    /// `alice: hi`, `alice to bob: hi`, `+alice` (joined), `-alice` (left).
    pub(crate) fn short(&self) -> String {
        let Self { from, text, .. } = self;
        match (self.kind.as_str(), &self.to) {
            ("message", None) => format!("{from}: {text}"),
            ("private", Some(to)) => format!("{from} to {to}: {text}"),
            ("system", None) if text.starts_with("присоединился к комнате ") => {
                format!("+{from}")
            }
            ("system", None) if text.starts_with("покинул комнату ") => format!("-{from}"),
            _ => panic!("not a frame of protocol v1: {self:?}"),
        }
    }
}

/// A frame of protocol v2 in short: `1 alice: hi`, `ack n 1`, `joined tech at 1` …
pub(crate) fn short(frame: &Value) -> String {
    let text = |field: &str| frame[field].as_str().unwrap_or("?").to_owned();
    let answers = || if frame["nonce"].is_null() { text("ref") } else { text("nonce") };
    match text("type").as_str() {
        "hello" => format!("hello {}", text("user")),
        "joined" => {
            let recovered = if frame["recovered"] == true { " complete" } else { "" };
            let from = frame["from"].as_u64().map_or(String::new(), |from| format!(" from {from}"));
            format!("joined {} at {}{recovered}{from}", text("room"), frame["seq"])
        }
        "replayed" => format!("replayed {} up to {}", text("room"), frame["upto"]),
        "typing" => {
            let (who, place) = if frame["room"].is_null() {
                (text("from"), String::new())
            } else {
                (text("user"), format!(" in {}", text("room")))
            };
            format!("{who} {}{place}", if frame["active"] == true { "types" } else { "stops" })
        }
        "read" => {
            let (unread, mentions) = (&frame["unread"], &frame["mentions"]);
            format!(
                "read {} up to {} of {}: {unread} and {mentions}",
                place(frame),
                frame["upto"],
                frame["top"]
            )
        }
        "level" => format!("level of {}: {}", place(frame), text("level")),
        "activity" => {
            let (new, mentions) = (&frame["new"], &frame["mentions"]);
            format!("activity {} up to {}: {new} and {mentions}", text("room"), frame["top"])
        }
        "left" => format!("left {}", text("room")),
        "message" => {
            let deleted = if frame["deleted"] == true { " (deleted)" } else { "" };
            let edited = if frame["edited"].is_null() { "" } else { " (edited)" };
            let updated = frame["updated"].as_u64().map_or(String::new(), |seq| format!(" (as of {seq})"));
            format!("{} {}: {}{edited}{deleted}{updated}", frame["seq"], text("from"), text("text"))
        }
        "private" => format!("{} {} to {}: {}", frame["seq"], text("from"), text("to"), text("text")),
        "edit" => {
            let new = frame["text"].as_str().map_or(String::new(), |text| format!(": {text}"));
            format!("{} {} edits {}{new}", frame["seq"], text("from"), frame["target"])
        }
        "delete" => format!("{} {} deletes {}", frame["seq"], text("from"), frame["target"]),
        "react" => {
            format!("{} {} reacts {} to {}", frame["seq"], text("from"), text("emoji"), frame["target"])
        }
        "unreact" => {
            format!("{} {} takes {} from {}", frame["seq"], text("from"), text("emoji"), frame["target"])
        }
        "ack" => {
            let again = if frame["duplicate"] == true { " again" } else { "" };
            format!("ack {} {}{again}", text("nonce"), frame["seq"])
        }
        "error" => format!("error {} {}", text("code"), answers()),
        "presence" if frame["user"].is_null() => format!("{} users", frame["online"]),
        "presence" => format!("{}{}", if frame["online"] == true { '+' } else { '-' }, text("user")),
        "reconnect" => "reconnect".to_owned(),
        "history" => {
            let messages = frame["messages"].as_array().expect("messages");
            let seqs: Vec<String> = messages.iter().map(|message| message["seq"].to_string()).collect();
            let more = if frame["has_more"] == true { " and more" } else { "" };
            let covers = frame["from"].as_u64();
            let covers = covers.map_or(String::new(), |from| format!(" of {from}-{}", frame["upto"]));
            let more = match (frame["has_more_before"].as_bool(), frame["has_more_after"].as_bool()) {
                (Some(before), Some(after)) => format!("{more}, before: {before}, after: {after}"),
                _ => more.to_owned(),
            };
            format!("history [{}]{covers}{more}", seqs.join(" "))
        }
        other => panic!("not a frame of protocol v2: {other}"),
    }
}

/// The room, or the other user of the conversation, that a frame is about.
fn place(frame: &Value) -> &str {
    frame["room"].as_str().or(frame["with"].as_str()).expect("a place")
}

//! The frames of protocol v2: many rooms on one connection, numbers, receipts.

use serde::{Deserialize, Serialize, Serializer};

use crate::{Body, Entry, MessageText, Nonce, PageFrom, RoomName, TextError, Topic, Username};

/// What a client asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// To come into a room.
    Join { room: RoomName, resume: Option<Resume>, reference: Option<String> },
    /// To leave one.
    Leave { room: RoomName, reference: Option<String> },
    /// To say something to a room.
    Message { room: RoomName, text: MessageText, nonce: Nonce },
    /// To say something to one person, named as they wrote it, trimmed.
    Private { to: String, text: MessageText, nonce: Nonce },
    /// To read a part of a room or of a private conversation.
    History { of: HistoryOf, from: PageFrom, limit: usize, reference: Option<String> },
}

/// What a client has of a room already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resume {
    pub(crate) since: u64,
    pub(crate) epoch: String,
}

/// Whose history is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HistoryOf {
    Room(RoomName),
    /// The private conversation with this person, as the client wrote the name.
    With(String),
}

/// Why a frame is not a request: an `error` frame, but for whom it is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: ErrorCode,
    pub(crate) message: &'static str,
    pub(crate) about: About,
}

/// What an answer is paired with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum About {
    #[default]
    Nothing,
    Reference(String),
    Nonce(Nonce),
}

impl About {
    /// The `ref` that the answer repeats.
    pub(crate) fn reference(&self) -> Option<&str> {
        match self {
            Self::Reference(reference) => Some(reference),
            Self::Nothing | Self::Nonce(_) => None,
        }
    }
}

impl From<Option<String>> for About {
    fn from(reference: Option<String>) -> Self {
        reference.map_or(Self::Nothing, Self::Reference)
    }
}

/// The kinds of `error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum ErrorCode {
    /// The frame is not what the protocol says.
    BadRequest,
    /// No frame has that `type`.
    UnknownType,
    /// The room must be joined for this.
    NotJoined,
    /// The room is joined already.
    AlreadyJoined,
    /// There is nobody of that name.
    NotFound,
    /// The text has more characters than allowed.
    TextTooLong,
    /// The connection is in as many rooms as it may be.
    TooManyRooms,
    /// The store does not take or give anything at this moment: try again.
    Unavailable,
}

/// Reads a frame. Unknown fields are ignored.
pub(crate) fn parse(frame: &str, text_max_chars: usize, page_max: usize) -> Result<Request, Refusal> {
    let fields: ClientFields = match serde_json::from_str(frame) {
        // serde would also read the fields from an array, by position.
        Ok(fields) if frame.trim_start().starts_with('{') => fields,
        _ => {
            return Err(refusal(
                ErrorCode::BadRequest,
                "not a JSON object of the right fields",
                lenient(frame),
            ));
        }
    };
    match fields.kind.as_deref() {
        Some("join") => join(fields),
        Some("leave") => {
            let (room, reference) = fields.room_and_reference()?;
            Ok(Request::Leave { room, reference })
        }
        Some("message") => message(fields, text_max_chars),
        Some("private") => private(fields, text_max_chars),
        Some("history") => history(fields, page_max),
        Some(_) => {
            let about = lenient(frame);
            Err(refusal(ErrorCode::UnknownType, "no frame has this type", about))
        }
        None => Err(refusal(ErrorCode::BadRequest, "type is missing", lenient(frame))),
    }
}

fn join(fields: ClientFields) -> Result<Request, Refusal> {
    let (since, epoch) = (fields.since, fields.epoch.clone());
    let (room, reference) = fields.room_and_reference()?;
    let resume = match (since, epoch) {
        (None, _) => None,
        // No numbering has such a name: it is another one, and need not be kept.
        (Some(_), Some(epoch)) if epoch.len() > EPOCH_MAX_BYTES => {
            Some(Resume { since: 0, epoch: String::from("?") })
        }
        (Some(since), Some(epoch)) => Some(Resume { since, epoch }),
        (Some(_), None) => {
            return Err(refusal(
                ErrorCode::BadRequest,
                "since needs the epoch it counts in",
                reference.into(),
            ));
        }
    };
    Ok(Request::Join { room, resume, reference })
}

fn message(fields: ClientFields, text_max_chars: usize) -> Result<Request, Refusal> {
    let nonce = fields.nonce()?;
    let bad = |message| refusal(ErrorCode::BadRequest, message, About::Nonce(nonce.clone()));
    if fields.to.is_some() {
        return Err(bad("a message to a room has no `to`"));
    }
    let room = parse_room(fields.room.as_deref()).ok_or_else(|| bad(BAD_ROOM))?;
    let text = fields.text(text_max_chars, &nonce)?;
    Ok(Request::Message { room, text, nonce })
}

fn private(fields: ClientFields, text_max_chars: usize) -> Result<Request, Refusal> {
    let nonce = fields.nonce()?;
    let to = fields.to.as_deref().unwrap_or("").trim().to_owned();
    if to.is_empty() {
        return Err(refusal(ErrorCode::BadRequest, "to is missing", About::Nonce(nonce)));
    }
    let text = fields.text(text_max_chars, &nonce)?;
    Ok(Request::Private { to, text, nonce })
}

fn history(fields: ClientFields, page_max: usize) -> Result<Request, Refusal> {
    let reference = fields.reference()?;
    let bad = |message| refusal(ErrorCode::BadRequest, message, reference.clone().into());
    let of = match (&fields.room, &fields.with) {
        (Some(_), None) => HistoryOf::Room(parse_room(fields.room.as_deref()).ok_or_else(|| bad(BAD_ROOM))?),
        (None, Some(with)) => HistoryOf::With(with.trim().to_owned()),
        _ => return Err(bad("history is of either a room or a conversation with somebody")),
    };
    let from = match (fields.before, fields.after) {
        (None, None) => PageFrom::Latest,
        (Some(before), None) => PageFrom::Before(before),
        (None, Some(after)) => PageFrom::After(after),
        (Some(_), Some(_)) => return Err(bad("history goes either before or after")),
    };
    let limit = match fields.limit {
        None => HISTORY_DEFAULT.min(page_max),
        Some(0) => return Err(bad("limit must be at least 1")),
        Some(limit) => usize::try_from(limit).unwrap_or(usize::MAX).min(page_max),
    };
    Ok(Request::History { of, from, limit, reference })
}

/// What a client may set. A frame uses some of it; the rest must have its type
/// all the same.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct ClientFields {
    /// What the frame asks for.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// The name of a room, case-sensitive.
    room: Option<String>,
    /// For whom it is: the name of an account, trimmed, then matched exactly.
    to: Option<String>,
    /// The other one of a private conversation.
    with: Option<String>,
    /// What is said. Trimmed at both ends; then at most `limits.text_max_chars`
    /// Unicode scalar values.
    text: Option<String>,
    /// The client's own id for a send, unique per user. Sending again with the
    /// same one stores nothing new and gets the first result.
    nonce: Option<String>,
    /// The last `seq` of the room that the client has.
    since: Option<u64>,
    /// The `epoch` in which `since` counts.
    epoch: Option<String>,
    /// Entries with lower numbers than this, up to the highest.
    before: Option<u64>,
    /// Entries with higher numbers than this, from the lowest on.
    after: Option<u64>,
    /// How many at most; 50 unless said, and never more than `limits.history_max`.
    limit: Option<u64>,
    /// Comes back with the answer.
    #[serde(rename = "ref")]
    reference: Option<String>,
}

impl ClientFields {
    fn reference(&self) -> Result<Option<String>, Refusal> {
        match &self.reference {
            Some(reference) if reference.chars().count() > REF_MAX_CHARS => {
                Err(refusal(ErrorCode::BadRequest, "ref has more than 64 characters", About::Nothing))
            }
            reference => Ok(reference.clone()),
        }
    }

    fn room_and_reference(self) -> Result<(RoomName, Option<String>), Refusal> {
        let reference = self.reference()?;
        match parse_room(self.room.as_deref()) {
            Some(room) => Ok((room, reference)),
            None => Err(refusal(ErrorCode::BadRequest, BAD_ROOM, reference.into())),
        }
    }

    fn nonce(&self) -> Result<Nonce, Refusal> {
        self.nonce.as_deref().and_then(Nonce::parse).ok_or_else(|| {
            let about = self.reference().map_or(About::Nothing, About::from);
            refusal(ErrorCode::BadRequest, "nonce must have 1 to 64 characters, none of them U+0000", about)
        })
    }

    fn text(&self, max_chars: usize, nonce: &Nonce) -> Result<MessageText, Refusal> {
        let text = self.text.as_deref().unwrap_or("");
        MessageText::parse(text, max_chars).map_err(|error| {
            let (code, message) = match error {
                TextError::Blank => (ErrorCode::BadRequest, "the text is blank"),
                TextError::Nul => (ErrorCode::BadRequest, "the text contains U+0000"),
                TextError::TooLong { .. } => (ErrorCode::TextTooLong, "the text is too long"),
            };
            refusal(code, message, About::Nonce(nonce.clone()))
        })
    }
}

fn refusal(code: ErrorCode, message: &'static str, about: About) -> Refusal {
    Refusal { code, message, about }
}

/// A name that a client must give: unlike in an address, nothing is no room.
fn parse_room(name: Option<&str>) -> Option<RoomName> {
    RoomName::parse(name.filter(|name| !name.is_empty())?).ok()
}

/// What a frame that cannot be read is about, as far as that can be told.
fn lenient(frame: &str) -> About {
    #[derive(Deserialize)]
    struct Marks {
        nonce: Option<String>,
    }
    #[derive(Deserialize)]
    struct Reference {
        #[serde(rename = "ref")]
        reference: Option<String>,
    }
    let nonce = serde_json::from_str(frame).ok().and_then(|marks: Marks| Nonce::parse(&marks.nonce?));
    let reference = serde_json::from_str(frame).ok().and_then(|marks: Reference| marks.reference);
    match (nonce, reference) {
        (Some(nonce), _) => About::Nonce(nonce),
        (None, Some(reference)) if reference.chars().count() <= REF_MAX_CHARS => About::Reference(reference),
        _ => About::Nothing,
    }
}

/// What the server says, but for entries.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Reply<'a> {
    /// The first frame: what a client needs to know.
    Hello {
        /// The version that is spoken.
        protocol: u32,
        /// Who the client is.
        user: &'a str,
        /// Names the numbering of all rooms and conversations.
        epoch: &'a str,
        /// How often the server pings.
        heartbeat_seconds: u64,
        limits: Limits,
        /// The latest private conversations, those written last first, and how
        /// far each goes: what is said from here on comes live, exactly after
        /// these numbers. One that is not listed begins with 1, unless `has_more`.
        privates: Vec<ConversationTop<'a>>,
        /// There are older conversations.
        has_more: bool,
    },
    /// The client is in the room. Behind it come the entries up to `seq` that it
    /// lacks, then what is new.
    Joined {
        room: &'a str,
        /// Names the numbering.
        epoch: &'a str,
        /// The highest number in the room.
        seq: u64,
        /// Whether everything after `since` follows. If not, what the client has
        /// of this room does not fit to what follows: it must be forgotten.
        recovered: bool,
        /// How many people are in the room.
        online: usize,
        /// Their names, in order; at most 200.
        members: Vec<&'a str>,
        /// That of the request.
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a str>,
    },
    /// The client is no longer in the room.
    Left {
        room: &'a str,
        /// That of the request.
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a str>,
    },
    /// A message is stored for good.
    Ack {
        /// That of the send.
        nonce: &'a str,
        #[serde(flatten)]
        of: Of<'a>,
        /// Its number there.
        seq: u64,
        /// When it was stored, in whole seconds since 1970.
        timestamp: u64,
        /// It was stored before: this is the first result, whatever this send said.
        duplicate: bool,
    },
    /// A page of entries.
    History {
        #[serde(flatten)]
        of: HistoryOfRef<'a>,
        /// Names the numbering.
        epoch: &'a str,
        /// The oldest number still kept.
        first: u64,
        /// In rising order.
        messages: Vec<MessageFields<'a>>,
        /// There are more in the direction that was asked for.
        has_more: bool,
        /// That of the request.
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a str>,
    },
    /// Somebody came into a room or is gone; in a room of many, only how many
    /// people there are.
    Presence {
        room: &'a str,
        #[serde(flatten)]
        what: PresenceWhat<'a>,
    },
    /// Something that the client asked for is not done. The connection stays.
    Error {
        code: ErrorCode,
        /// For whoever reads the log of the client; it may change.
        message: &'a str,
        /// That of the request.
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a str>,
        /// That of the send.
        #[serde(skip_serializing_if = "Option::is_none")]
        nonce: Option<&'a str>,
        /// When to try again, in whole seconds from now.
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_after: Option<u64>,
    },
    /// The server is about to close: come back after this time.
    Reconnect {
        /// Milliseconds.
        after_ms: u64,
    },
}

/// The caps that a client should know.
#[derive(Debug, Clone, Copy, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct Limits {
    /// Unicode scalar values of one text.
    pub(crate) text_max_chars: usize,
    /// Bytes of one frame of a client; a longer one closes the connection (1009).
    pub(crate) message_max_bytes: usize,
    /// Characters of a `nonce`.
    pub(crate) nonce_max_chars: usize,
    /// Characters of a `ref`.
    pub(crate) ref_max_chars: usize,
    /// Characters of a room's name.
    pub(crate) room_name_max_chars: usize,
    /// Rooms that a connection may be in.
    pub(crate) rooms_max: usize,
    /// Entries of one page.
    pub(crate) history_max: usize,
    /// Entries that a client may have missed and still gets all of them when it
    /// joins with `since`.
    pub(crate) resume_max_messages: u64,
    /// Sends without an answer that a connection may have before it is slowed down.
    pub(crate) unanswered_max: u32,
    /// Messages that a user may send at once; absent where there is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rate_burst: Option<u32>,
    /// Messages a second after that; absent where there is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rate_per_second: Option<u32>,
}

/// A private conversation, and how far it goes.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct ConversationTop<'a> {
    /// The other one; one's own name for notes to oneself.
    pub(crate) with: &'a str,
    /// The highest number there.
    pub(crate) seq: u64,
}

/// Where an acknowledged message stands.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum Of<'a> {
    /// In this room.
    Room(&'a str),
    /// In the private conversation with this person.
    To(&'a str),
}

/// Whose history this is.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum HistoryOfRef<'a> {
    /// Of this room.
    Room(&'a str),
    /// Of the private conversation with this person, as the request wrote the name.
    With(&'a str),
}

/// A change of who is in a room.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub(crate) enum PresenceWhat<'a> {
    /// This person.
    User { user: &'a str, online: bool },
    /// How many people there are.
    Count { online: usize },
}

/// An entry, as everybody gets it, its author too.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum EntryFrame<'a> {
    /// A message of a room.
    Message {
        room: &'a str,
        /// Its number in the room, from 1, without a gap.
        seq: u64,
        /// Who wrote it.
        from: &'a str,
        /// What was written, without white space around it.
        text: &'a str,
        /// When it was stored, in whole seconds since 1970; never less than that
        /// of the entry before it.
        timestamp: u64,
        /// The author's own id for it; those who speak v1 give none.
        #[serde(skip_serializing_if = "Option::is_none")]
        nonce: Option<&'a str>,
    },
    /// A private message of two people.
    Private {
        /// Who wrote it.
        from: &'a str,
        /// To whom.
        to: &'a str,
        /// Its number in their conversation, from 1, without a gap, whichever of
        /// the two writes.
        seq: u64,
        /// What was written, without white space around it.
        text: &'a str,
        /// When it was stored, in whole seconds since 1970; never less than that
        /// of the entry before it.
        timestamp: u64,
        /// The author's own id for it; those who speak v1 give none.
        #[serde(skip_serializing_if = "Option::is_none")]
        nonce: Option<&'a str>,
    },
}

impl<'a> From<&'a Entry> for EntryFrame<'a> {
    fn from(entry: &'a Entry) -> Self {
        let Entry { seq, from, body, .. } = entry;
        let Body::Message { text } = body;
        let (seq, text, timestamp) = (*seq, text.as_str(), entry.at_ms / 1000);
        let nonce = entry.nonce.as_ref().map(Nonce::as_str);
        match &entry.topic {
            Topic::Room(room) => {
                Self::Message { room: room.as_str(), seq, from: from.as_str(), text, timestamp, nonce }
            }
            Topic::Pair(pair) => {
                let to = pair.other(from).as_str();
                Self::Private { from: from.as_str(), to, seq, text, timestamp, nonce }
            }
        }
    }
}

/// An entry on its way into JSON, as it lies in the log: a page of them copies
/// no text.
pub(crate) struct MessageFields<'a>(pub(crate) &'a Entry);

impl Serialize for MessageFields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        EntryFrame::from(self.0).serialize(serializer)
    }
}

/// Appends the JSON of an entry.
pub(crate) fn entry(out: &mut Vec<u8>, entry: &Entry) {
    serde_json::to_writer(out, &MessageFields(entry)).expect(SERIALISES);
}

impl Reply<'_> {
    /// Appends the JSON.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        serde_json::to_writer(out, self).expect(SERIALISES);
    }
}

/// An `error`, as far as it is the same for everybody.
pub(crate) fn error<'a>(
    code: ErrorCode,
    message: &'a str,
    about: &'a About,
    retry_after: Option<u64>,
) -> Reply<'a> {
    let (reference, nonce) = match about {
        About::Nothing => (None, None),
        About::Reference(reference) => (Some(reference.as_str()), None),
        About::Nonce(nonce) => (None, Some(nonce.as_str())),
    };
    Reply::Error { code, message, reference, nonce, retry_after }
}

/// The acknowledgement of a send.
pub(crate) struct Ack<'a> {
    pub(crate) nonce: &'a Nonce,
    pub(crate) topic: &'a Topic,
    /// If the topic is a conversation, one of its two users.
    pub(crate) author: &'a Username,
    pub(crate) seq: u64,
    pub(crate) at_ms: u64,
    /// See [`Reply::Ack`].
    pub(crate) duplicate: bool,
}

impl<'a> From<Ack<'a>> for Reply<'a> {
    fn from(Ack { nonce, topic, author, seq, at_ms, duplicate }: Ack<'a>) -> Self {
        let of = match topic {
            Topic::Room(room) => Of::Room(room.as_str()),
            Topic::Pair(pair) => Of::To(pair.other(author).as_str()),
        };
        Self::Ack { nonce: nonce.as_str(), of, seq, timestamp: at_ms / 1000, duplicate }
    }
}

/// An epoch is a uuid, or what an embedding program chose.
const EPOCH_MAX_BYTES: usize = 256;
/// Characters that a `ref` may have.
pub(crate) const REF_MAX_CHARS: usize = 64;
/// Messages of a history page, unless said.
const HISTORY_DEFAULT: usize = 50;
const BAD_ROOM: &str = "room must be the name of a room: 1 to 64 characters, no control characters";
const SERIALISES: &str = "strings and numbers always serialise, and a Vec takes them";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_10(frame: &str) -> Result<Request, Refusal> {
        parse(frame, 10, 100)
    }

    fn room(name: &str) -> RoomName {
        RoomName::parse(name).unwrap()
    }

    fn code(frame: &str) -> (ErrorCode, About) {
        let refusal = parse_10(frame).unwrap_err();
        (refusal.code, refusal.about)
    }

    fn nonce(nonce: &str) -> Nonce {
        Nonce::parse(nonce).unwrap()
    }

    #[test]
    fn each_request_is_read() {
        assert_eq!(
            parse_10(r#"{"type":"join","room":"tech","x":[{}]}"#),
            Ok(Request::Join { room: room("tech"), resume: None, reference: None })
        );
        let resume = Some(Resume { since: 7, epoch: "e".into() });
        assert_eq!(
            parse_10(r#"{"type":"join","room":"tech","since":7,"epoch":"e","ref":"r"}"#),
            Ok(Request::Join { room: room("tech"), resume, reference: Some("r".into()) })
        );
        assert_eq!(
            parse_10(r#"{"type":"leave","room":"tech"}"#),
            Ok(Request::Leave { room: room("tech"), reference: None })
        );
        let text = MessageText::parse("hi", 10).unwrap();
        assert_eq!(
            parse_10(r#"{"type":"message","room":"tech","text":" hi ","nonce":"n"}"#),
            Ok(Request::Message { room: room("tech"), text: text.clone(), nonce: nonce("n") })
        );
        assert_eq!(
            parse_10(r#"{"type":"private","to":" bob ","text":"hi","nonce":"n"}"#),
            Ok(Request::Private { to: "bob".into(), text, nonce: nonce("n") })
        );
        for (fields, from, limit) in [
            ("", PageFrom::Latest, 50),
            (r#","before":9"#, PageFrom::Before(9), 50),
            (r#","after":9,"limit":7"#, PageFrom::After(9), 7),
            (r#","limit":1000"#, PageFrom::Latest, 100),
        ] {
            assert_eq!(
                parse_10(&format!(r#"{{"type":"history","with":"bob"{fields}}}"#)),
                Ok(Request::History { of: HistoryOf::With("bob".into()), from, limit, reference: None })
            );
        }
    }

    #[test]
    fn a_refusal_says_which_request_it_is_about() {
        use ErrorCode::{BadRequest, TextTooLong, UnknownType};
        let about = |n: &str| About::Nonce(nonce(n));
        let by_ref = |r: &str| About::Reference(r.to_owned());
        for (frame, expected) in [
            ("", (BadRequest, About::Nothing)),
            ("hi", (BadRequest, About::Nothing)),
            ("[]", (BadRequest, About::Nothing)),
            (r#"["join","tech"]"#, (BadRequest, About::Nothing)),
            ("{}", (BadRequest, About::Nothing)),
            (r#"{"type":7,"ref":"r"}"#, (BadRequest, by_ref("r"))),
            (r#"{"type":"dance","ref":"r"}"#, (UnknownType, by_ref("r"))),
            (r#"{"type":"dance","nonce":"n"}"#, (UnknownType, about("n"))),
            (r#"{"type":"join"}"#, (BadRequest, About::Nothing)),
            (r#"{"type":"join","room":"","ref":"r"}"#, (BadRequest, by_ref("r"))),
            (r#"{"type":"join","room":"a\nb"}"#, (BadRequest, About::Nothing)),
            (r#"{"type":"join","room":"a","since":1,"ref":"r"}"#, (BadRequest, by_ref("r"))),
            (r#"{"type":"join","room":"a","since":-1,"epoch":"e"}"#, (BadRequest, About::Nothing)),
            (r#"{"type":"join","room":"a","since":"1","epoch":"e","ref":"r"}"#, (BadRequest, by_ref("r"))),
            (r#"{"type":"message","room":"a","text":"hi"}"#, (BadRequest, About::Nothing)),
            (r#"{"type":"message","room":"a","text":"hi","nonce":""}"#, (BadRequest, About::Nothing)),
            (r#"{"type":"message","room":"a","text":" ","nonce":"n"}"#, (BadRequest, about("n"))),
            (r#"{"type":"message","room":"a","nonce":"n"}"#, (BadRequest, about("n"))),
            (r#"{"type":"message","text":"hi","nonce":"n"}"#, (BadRequest, about("n"))),
            (r#"{"type":"message","room":"a","text":"hi","to":"b","nonce":"n"}"#, (BadRequest, about("n"))),
            (r#"{"type":"message","room":"a","text":"12345678901","nonce":"n"}"#, (TextTooLong, about("n"))),
            (r#"{"type":"message","room":"a","text":"\ud800","nonce":"n"}"#, (BadRequest, about("n"))),
            (r#"{"type":"message","room":"a","text":"a\u0000b","nonce":"n"}"#, (BadRequest, about("n"))),
            (r#"{"type":"private","text":"hi","nonce":"n"}"#, (BadRequest, about("n"))),
            (r#"{"type":"private","to":" ","text":"hi","nonce":"n"}"#, (BadRequest, about("n"))),
            (r#"{"type":"history","ref":"r"}"#, (BadRequest, by_ref("r"))),
            (r#"{"type":"history","room":"a","with":"b"}"#, (BadRequest, About::Nothing)),
            (r#"{"type":"history","room":"a","before":1,"after":1}"#, (BadRequest, About::Nothing)),
            (r#"{"type":"history","room":"a","limit":0}"#, (BadRequest, About::Nothing)),
        ] {
            assert_eq!(code(frame), expected, "{frame}");
        }
        let long = format!(r#"{{"type":"leave","room":"a","ref":"{}"}}"#, "r".repeat(65));
        assert_eq!(code(&long), (BadRequest, About::Nothing));
        let long = format!(r#"{{"type":"message","room":"a","text":"a","nonce":"{}"}}"#, "n".repeat(65));
        assert_eq!(code(&long), (BadRequest, About::Nothing));
    }
}

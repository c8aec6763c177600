//! The frames that v2 clients send.

use serde::Deserialize;

use super::{About, ErrorCode, Place, REF_MAX_CHARS};
use crate::{
    Body, Content, Emoji, FILES_MAX, FileId, Level, MENTIONS_MAX, Mentions, MessageText, Nonce, PageFrom,
    RoomName, TextError, Username,
};

/// A client's request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// To join a room.
    Join {
        room: RoomName,
        resume: Option<Resume>,
        /// How many messages, where there is nothing to resume; `None`: as many as
        /// the server likes.
        limit: Option<usize>,
        /// See [`ClientFields::fold`].
        fold: bool,
        reference: Option<String>,
    },
    /// To leave a room.
    Leave { room: RoomName, reference: Option<String> },
    /// To send a message to a room or to one user, or to change one that is there.
    Send { place: Place, content: Content, nonce: Nonce },
    /// To read a page of a room or of a private conversation.
    History { of: Place, range: HistoryRange, limit: usize, fold: bool, reference: Option<String> },
    /// To show the others that the user types, or no longer does.
    Typing { target: Place, active: bool, reference: Option<String> },
    /// To note that the user has read up to a number.
    Read { place: Place, upto: u64, reference: Option<String> },
    /// To choose what the user is notified of.
    Level { place: Place, level: Level, reference: Option<String> },
}

/// Which part of a room or conversation a client requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HistoryRange {
    /// Neighbouring entries.
    Page(PageFrom),
    /// The entries on both sides of a number.
    Around(u64),
    /// The messages with these numbers, at most [`SEQS_MAX`].
    Seqs(Vec<u64>),
}

/// How much of a room a client has already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resume {
    pub(crate) since: u64,
    pub(crate) epoch: String,
}

/// Why a frame is not a request: the content of an `error` frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: ErrorCode,
    pub(crate) message: &'static str,
    pub(crate) about: About,
}

/// Parses a frame. Unknown fields are ignored.
pub(crate) fn parse(frame: &str, text_max_chars: usize, page_max: usize) -> Result<Request, Refusal> {
    let fields: ClientFields = match serde_json::from_str(frame) {
        // serde would also read the fields from an array, by position.
        Ok(fields) if frame.trim_start().starts_with('{') => fields,
        _ => {
            return Err(refusal(
                ErrorCode::BadRequest,
                "not a JSON object, or a field of the wrong type",
                about_unreadable(frame),
            ));
        }
    };
    match fields.kind.as_deref() {
        Some("join") => join(fields, page_max),
        Some("leave") => {
            let (room, reference) = fields.room_and_reference()?;
            Ok(Request::Leave { room, reference })
        }
        Some("message") => message(fields, text_max_chars),
        Some("private") => private(fields, text_max_chars),
        Some("edit") => edit(fields, text_max_chars),
        Some("delete") => fields.change(|_, target, _| Ok(Body::Delete { target })),
        Some("react") => {
            fields.change(|fields, target, nonce| Ok(Body::React { target, emoji: fields.emoji(nonce)? }))
        }
        Some("unreact") => {
            fields.change(|fields, target, nonce| Ok(Body::Unreact { target, emoji: fields.emoji(nonce)? }))
        }
        Some("history") => history(fields, page_max),
        Some("typing") => typing(fields),
        Some("read") => read(fields),
        Some("level") => level(fields),
        Some(_) => {
            let about = about_unreadable(frame);
            Err(refusal(ErrorCode::UnknownType, "no frame has this type", about))
        }
        None => Err(refusal(ErrorCode::BadRequest, "type is missing", about_unreadable(frame))),
    }
}

fn join(fields: ClientFields, page_max: usize) -> Result<Request, Refusal> {
    let (since, epoch, limit) = (fields.since, fields.epoch.clone(), fields.limit);
    let fold = fields.fold.unwrap_or(false);
    let (room, reference) = fields.room_and_reference()?;
    let bad = |message| refusal(ErrorCode::BadRequest, message, reference.clone().into());
    if fold && since.is_some() {
        return Err(bad("a join with `since` is not folded"));
    }
    let limit = match limit {
        None => None,
        Some(limit) => Some(page_limit(limit, page_max).ok_or_else(|| bad(LIMIT_TOO_HIGH))?),
    };
    let resume = match (since, epoch) {
        (None, _) => None,
        // No epoch is that long: it is taken for another one, and need not be kept.
        (Some(_), Some(epoch)) if epoch.len() > EPOCH_MAX_BYTES => {
            Some(Resume { since: 0, epoch: String::from("?") })
        }
        (Some(since), Some(epoch)) => Some(Resume { since, epoch }),
        (Some(_), None) => return Err(bad("since needs the epoch in which it counts")),
    };
    Ok(Request::Join { room, resume, limit, fold, reference })
}

fn message(fields: ClientFields, text_max_chars: usize) -> Result<Request, Refusal> {
    let nonce = fields.nonce()?;
    let bad = |message| refusal(ErrorCode::BadRequest, message, About::Nonce(nonce.clone()));
    if fields.to.is_some() {
        return Err(bad("a message to a room has no `to`"));
    }
    let room = parse_room(fields.room.as_deref()).ok_or_else(|| bad(BAD_ROOM))?;
    let files = fields.files(&nonce)?;
    let (text, mentions) = fields.text_and_mentions(Blank::with(&files), text_max_chars, &nonce)?;
    let body = Body::Message { text, mentions, reply_to: fields.reply_to(), files: None, state: None };
    Ok(Request::Send { place: Place::Room(room), content: Content { body, files }, nonce })
}

fn private(fields: ClientFields, text_max_chars: usize) -> Result<Request, Refusal> {
    let nonce = fields.nonce()?;
    let to = fields.to.as_deref().unwrap_or("").trim().to_owned();
    if to.is_empty() {
        return Err(refusal(ErrorCode::BadRequest, "to is missing", About::Nonce(nonce)));
    }
    let files = fields.files(&nonce)?;
    let text = fields.text(Blank::with(&files), text_max_chars, &nonce)?;
    let body = Body::Message { text, mentions: None, reply_to: fields.reply_to(), files: None, state: None };
    Ok(Request::Send { place: Place::With(to), content: Content { body, files }, nonce })
}

fn edit(fields: ClientFields, text_max_chars: usize) -> Result<Request, Refusal> {
    fields.change(|fields, target, nonce| {
        if fields.text.is_none() {
            return Err(refusal(ErrorCode::BadRequest, "text is missing", About::Nonce(nonce.clone())));
        }
        // Only the log knows whether the message has files.
        let (text, mentions) = fields.text_and_mentions(Blank::Allowed, text_max_chars, nonce)?;
        // A private message mentions nobody.
        let mentions = mentions.filter(|_| fields.room.is_some());
        Ok(Body::Edit { target, text: Some(text), mentions })
    })
}

fn history(fields: ClientFields, page_max: usize) -> Result<Request, Refusal> {
    let reference = fields.reference()?;
    let bad = |message| refusal(ErrorCode::BadRequest, message, reference.clone().into());
    let of = match (&fields.room, &fields.with) {
        (Some(_), None) => Place::Room(parse_room(fields.room.as_deref()).ok_or_else(|| bad(BAD_ROOM))?),
        (None, Some(with)) => Place::With(with.trim().to_owned()),
        _ => return Err(bad("history needs either `room` or `with`")),
    };
    let range = match (fields.before, fields.after, fields.around, fields.seqs) {
        (None, None, None, None) => HistoryRange::Page(PageFrom::Latest),
        (Some(before), None, None, None) => HistoryRange::Page(PageFrom::Before(before)),
        (None, Some(after), None, None) => HistoryRange::Page(PageFrom::After(after)),
        (None, None, Some(around), None) => HistoryRange::Around(around.min(SEQ_MAX)),
        (None, None, None, Some(seqs)) if seqs.len() > SEQS_MAX => {
            return Err(bad("history brings at most 50 messages by their numbers"));
        }
        (None, None, None, Some(mut seqs)) => {
            seqs.retain(|seq| *seq <= SEQ_MAX);
            HistoryRange::Seqs(seqs)
        }
        _ => return Err(bad("history takes one of `before`, `after`, `around` and `seqs`")),
    };
    let limit = match fields.limit {
        None => HISTORY_DEFAULT.min(page_max),
        Some(0) => return Err(bad("limit must be at least 1")),
        Some(limit) => page_limit(limit, page_max).ok_or_else(|| bad(LIMIT_TOO_HIGH))?,
    };
    Ok(Request::History { of, range, limit, fold: fields.fold.unwrap_or(false), reference })
}

/// How many messages a request is for; `None` if the protocol allows no such number. A
/// server with smaller pages cuts it.
fn page_limit(limit: u64, page_max: usize) -> Option<usize> {
    let limit = usize::try_from(limit).ok().filter(|&limit| limit <= LIMIT_MAX)?;
    Some(limit.min(page_max))
}

fn typing(fields: ClientFields) -> Result<Request, Refusal> {
    let reference = fields.reference()?;
    let bad = |message| refusal(ErrorCode::BadRequest, message, reference.clone().into());
    let target = match (&fields.room, &fields.to) {
        (Some(_), None) => Place::Room(parse_room(fields.room.as_deref()).ok_or_else(|| bad(BAD_ROOM))?),
        (None, Some(to)) if to.trim().is_empty() => return Err(bad("to is missing")),
        (None, Some(to)) => Place::With(to.trim().to_owned()),
        _ => return Err(bad("typing needs either `room` or `to`")),
    };
    let active = fields.active.ok_or_else(|| bad("active is missing"))?;
    Ok(Request::Typing { target, active, reference })
}

fn read(fields: ClientFields) -> Result<Request, Refusal> {
    let (place, reference) = fields.place_and_reference()?;
    match fields.upto {
        Some(upto) => Ok(Request::Read { place, upto, reference }),
        None => Err(refusal(ErrorCode::BadRequest, "upto is missing", reference.into())),
    }
}

fn level(fields: ClientFields) -> Result<Request, Refusal> {
    let (place, reference) = fields.place_and_reference()?;
    match fields.level.as_deref().and_then(Level::parse) {
        Some(level) => Ok(Request::Level { place, level, reference }),
        None => {
            let message = "level must be `all`, `mentions` or `none`";
            Err(refusal(ErrorCode::BadRequest, message, reference.into()))
        }
    }
}

/// The fields that a client may set. A frame uses some of them; the others must
/// have their types all the same.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(crate) struct ClientFields {
    /// What the frame asks for.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// The name of a room, case-sensitive.
    room: Option<String>,
    /// The recipient: the name of an account, trimmed, then matched exactly.
    to: Option<String>,
    /// The other user of a private conversation.
    with: Option<String>,
    /// The text. Trimmed at both ends; then at most `limits.text_max_chars` Unicode
    /// scalar values.
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
    /// Entries on both sides of this number: half of `limit`, rounded down, with lower
    /// numbers, the rest from it on. The answer leaves out those that are farthest from
    /// it where it would be longer than 64 KiB.
    around: Option<u64>,
    /// The numbers of messages, at most 50: the answer has those that are there.
    seqs: Option<Vec<u64>>,
    /// How many at most, up to 100; 50 by default, and never more than
    /// `limits.history_max`.
    limit: Option<u64>,
    /// Messages only, of which `limit` is the number: the answer names the numbers that
    /// it covers, and those of them that come without a message are changes, or no
    /// longer kept. Not with `since`.
    fold: Option<bool>,
    /// Whether the user types.
    active: Option<bool>,
    /// The number up to which the user has read.
    upto: Option<u64>,
    /// What the user is notified of: `all` messages, `mentions`, or `none`.
    level: Option<String>,
    /// The number of the message that is changed, in the same room or conversation.
    target: Option<u64>,
    /// Exactly one emoji: any well-formed sequence of UTS #51 of at most 10 code points.
    /// It is stored fully qualified.
    emoji: Option<String>,
    /// The number of the message that this one answers, in the same room or conversation.
    /// Any other number is passed over.
    reply_to: Option<u64>,
    /// The ids of files that the user has uploaded, each once, at most 10. Each is attached to
    /// one message. With files the text may be blank.
    files: Option<Vec<String>>,
    /// Names that the text contains as `@name`, at most 20. Others are passed over.
    mentions: Option<Vec<String>>,
    /// Mentions every member of the room; in a room of more than 100 members only its
    /// moderators may.
    mention_all: Option<bool>,
    /// Repeated in the answer.
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

    /// The room, or else the private conversation, that a frame is about.
    fn place_and_reference(&self) -> Result<(Place, Option<String>), Refusal> {
        let reference = self.reference()?;
        let bad = |message| refusal(ErrorCode::BadRequest, message, reference.clone().into());
        let place = match (&self.room, &self.with) {
            (Some(_), None) => Place::Room(parse_room(self.room.as_deref()).ok_or_else(|| bad(BAD_ROOM))?),
            (None, Some(with)) if with.trim().is_empty() => return Err(bad("with is missing")),
            (None, Some(with)) => Place::With(with.trim().to_owned()),
            _ => return Err(bad("either `room` or `with` is needed")),
        };
        Ok((place, reference))
    }

    fn nonce(&self) -> Result<Nonce, Refusal> {
        self.nonce.as_deref().and_then(Nonce::parse).ok_or_else(|| {
            let about = self.reference().map_or(About::Nothing, About::from);
            refusal(ErrorCode::BadRequest, "nonce must have 1 to 64 characters, none of them U+0000", about)
        })
    }

    /// A change of a message: its place and target are the same for each kind.
    fn change(
        self,
        body: impl FnOnce(&Self, u64, &Nonce) -> Result<Body, Refusal>,
    ) -> Result<Request, Refusal> {
        let nonce = self.nonce()?;
        let bad = |message| refusal(ErrorCode::BadRequest, message, About::Nonce(nonce.clone()));
        let place = match (&self.room, &self.to) {
            (Some(_), None) => Place::Room(parse_room(self.room.as_deref()).ok_or_else(|| bad(BAD_ROOM))?),
            (None, Some(to)) if to.trim().is_empty() => return Err(bad("to is missing")),
            (None, Some(to)) => Place::With(to.trim().to_owned()),
            _ => return Err(bad("a change needs either `room` or `to`")),
        };
        let target = match self.target {
            None => return Err(bad("target is missing")),
            Some(0) => return Err(bad("target must be at least 1")),
            Some(target) => target.min(SEQ_MAX),
        };
        let body = body(&self, target, &nonce)?;
        Ok(Request::Send { place, content: body.into(), nonce })
    }

    fn files(&self, nonce: &Nonce) -> Result<Vec<FileId>, Refusal> {
        let bad = |message| refusal(ErrorCode::BadRequest, message, About::Nonce(nonce.clone()));
        let ids = self.files.as_deref().unwrap_or_default();
        if ids.len() > FILES_MAX {
            return Err(bad("a message has at most 10 files"));
        }
        let mut files = Vec::with_capacity(ids.len());
        for id in ids {
            let id = FileId::parse(id).ok_or_else(|| bad(BAD_FILES))?;
            if files.contains(&id) {
                return Err(bad(BAD_FILES));
            }
            files.push(id);
        }
        Ok(files)
    }

    fn emoji(&self, nonce: &Nonce) -> Result<Emoji, Refusal> {
        Emoji::parse(self.emoji.as_deref().unwrap_or("")).map_err(|_| {
            refusal(ErrorCode::BadRequest, "emoji must be exactly one emoji", About::Nonce(nonce.clone()))
        })
    }

    fn reply_to(&self) -> Option<u64> {
        self.reply_to.filter(|target| (1..=SEQ_MAX).contains(target))
    }

    /// The text, and the users whom it mentions: those names that it contains as `@name`,
    /// each once.
    fn text_and_mentions(
        &self,
        blank: Blank,
        max_chars: usize,
        nonce: &Nonce,
    ) -> Result<(MessageText, Option<Box<Mentions>>), Refusal> {
        if self.mentions.as_ref().is_some_and(|names| names.len() > MENTIONS_MAX) {
            let about = About::Nonce(nonce.clone());
            return Err(refusal(ErrorCode::BadRequest, "a message mentions at most 20 users", about));
        }
        let text = self.text(blank, max_chars, nonce)?;
        let named = self.mentions.iter().flatten().filter_map(|name| Username::known(name).ok());
        let mentions = Mentions::wanted(&text, named, self.mention_all.unwrap_or(false));
        Ok((text, mentions))
    }

    fn text(&self, blank: Blank, max_chars: usize, nonce: &Nonce) -> Result<MessageText, Refusal> {
        let text = self.text.as_deref().unwrap_or("");
        let parsed = match MessageText::parse(text, max_chars) {
            Err(TextError::Blank) if blank == Blank::Allowed => Ok(MessageText::stored("")),
            parsed => parsed,
        };
        parsed.map_err(|error| {
            let (code, message) = match error {
                TextError::Blank => (ErrorCode::BadRequest, "the text is blank"),
                TextError::Nul => (ErrorCode::BadRequest, "the text contains U+0000"),
                TextError::TooLong { .. } => (ErrorCode::TextTooLong, "the text is too long"),
            };
            refusal(code, message, About::Nonce(nonce.clone()))
        })
    }
}

/// Whether a text may be blank.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Blank {
    Allowed,
    Refused,
}

impl Blank {
    /// Whether the text of a message with these files may be blank.
    fn with(files: &[FileId]) -> Self {
        if files.is_empty() { Self::Refused } else { Self::Allowed }
    }
}

fn refusal(code: ErrorCode, message: &'static str, about: About) -> Refusal {
    Refusal { code, message, about }
}

/// The name of a room that a frame must have: unlike in a URL, an empty one does
/// not stand for the default room.
fn parse_room(name: Option<&str>) -> Option<RoomName> {
    RoomName::parse(name.filter(|name| !name.is_empty())?).ok()
}

/// What the answer to a frame that cannot be read refers to, as far as that can be
/// found out.
fn about_unreadable(frame: &str) -> About {
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

/// Bytes of an epoch: it is a uuid, or what an embedding program chose.
const EPOCH_MAX_BYTES: usize = 256;
/// The highest number that a store can look for: no message has it.
const SEQ_MAX: u64 = i64::MAX as u64;
/// Messages of a history page, by default.
const HISTORY_DEFAULT: usize = 50;
/// The number of messages that a request names by their numbers.
pub(crate) const SEQS_MAX: usize = 50;
/// The highest `limit` of a request.
const LIMIT_MAX: usize = 100;
const LIMIT_TOO_HIGH: &str = "limit must be at most 100";
const BAD_FILES: &str = "files must be ids of files, each once";
const BAD_ROOM: &str = "room must be the name of a room: 1 to 64 characters, no control characters";

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
    fn each_request_is_parsed() {
        assert_eq!(
            parse_10(r#"{"type":"join","room":"tech","x":[{}]}"#),
            Ok(Request::Join { room: room("tech"), resume: None, limit: None, fold: false, reference: None })
        );
        let resume = Some(Resume { since: 7, epoch: "e".into() });
        assert_eq!(
            parse_10(r#"{"type":"join","room":"tech","since":7,"epoch":"e","ref":"r"}"#),
            Ok(Request::Join {
                room: room("tech"),
                resume,
                limit: None,
                fold: false,
                reference: Some("r".into())
            })
        );
        assert_eq!(
            parse_10(r#"{"type":"join","room":"tech","limit":0,"fold":true}"#),
            Ok(Request::Join {
                room: room("tech"),
                resume: None,
                limit: Some(0),
                fold: true,
                reference: None
            })
        );
        for (fields, target, active) in [
            (r#""room":"tech","active":true"#, Place::Room(room("tech")), true),
            (r#""to":" bob ","active":false"#, Place::With("bob".into()), false),
        ] {
            assert_eq!(
                parse_10(&format!(r#"{{"type":"typing",{fields}}}"#)),
                Ok(Request::Typing { target, active, reference: None })
            );
        }
        assert_eq!(
            parse_10(r#"{"type":"leave","room":"tech"}"#),
            Ok(Request::Leave { room: room("tech"), reference: None })
        );
        let text = MessageText::parse("hi", 10).unwrap();
        assert_eq!(
            parse_10(r#"{"type":"message","room":"tech","text":" hi ","nonce":"n"}"#),
            Ok(Request::Send {
                place: Place::Room(room("tech")),
                content: Body::message(text.clone()).into(),
                nonce: nonce("n"),
            })
        );
        for (fields, place) in [
            (r#""room":"tech""#, Place::Room(room("tech"))),
            (r#""with":" bob ""#, Place::With("bob".into())),
        ] {
            assert_eq!(
                parse_10(&format!(r#"{{"type":"read","upto":7,"ref":"r",{fields}}}"#)),
                Ok(Request::Read { place: place.clone(), upto: 7, reference: Some("r".into()) })
            );
            assert_eq!(
                parse_10(&format!(r#"{{"type":"level","level":"none",{fields}}}"#)),
                Ok(Request::Level { place, level: Level::None, reference: None })
            );
        }
        assert_eq!(
            parse_10(r#"{"type":"private","to":" bob ","text":"hi","nonce":"n"}"#),
            Ok(Request::Send {
                place: Place::With("bob".into()),
                content: Body::message(text.clone()).into(),
                nonce: nonce("n")
            })
        );
        let emoji = Emoji::parse("❤").unwrap();
        for (fields, place) in
            [(r#""room":"tech""#, Place::Room(room("tech"))), (r#""to":" bob ""#, Place::With("bob".into()))]
        {
            let (of_edit, of_react) = (Some(text.clone()), emoji.clone());
            for (fields_of_kind, body) in [
                (r#""type":"edit","text":" hi ""#, Body::Edit { target: 7, text: of_edit, mentions: None }),
                (r#""type":"delete""#, Body::Delete { target: 7 }),
                (r#""type":"react","emoji":"❤""#, Body::React { target: 7, emoji: of_react }),
                (r#""type":"unreact","emoji":"❤️""#, Body::Unreact { target: 7, emoji: emoji.clone() }),
            ] {
                assert_eq!(
                    parse_10(&format!(r#"{{{fields_of_kind},"target":7,"nonce":"n",{fields}}}"#)),
                    Ok(Request::Send { place: place.clone(), content: body.into(), nonce: nonce("n") })
                );
            }
        }
        for (fields, range, limit) in [
            ("", HistoryRange::Page(PageFrom::Latest), 50),
            (r#","before":9"#, HistoryRange::Page(PageFrom::Before(9)), 50),
            (r#","after":9,"limit":7"#, HistoryRange::Page(PageFrom::After(9)), 7),
            (r#","limit":100"#, HistoryRange::Page(PageFrom::Latest), 100),
            (r#","around":9,"before":null"#, HistoryRange::Around(9), 50),
            (r#","seqs":[9,4]"#, HistoryRange::Seqs(vec![9, 4]), 50),
        ] {
            assert_eq!(
                parse_10(&format!(r#"{{"type":"history","with":"bob"{fields}}}"#)),
                Ok(Request::History {
                    of: Place::With("bob".into()),
                    range,
                    limit,
                    fold: false,
                    reference: None
                })
            );
        }
    }

    #[test]
    fn a_message_mentions_the_names_that_its_text_contains() {
        let mentioned = |fields: &str| {
            let frame = format!(
                r#"{{"type":"message","room":"tech","nonce":"n","text":"@bob, @Анна Б. and carol",{fields}}}"#
            );
            match parse(&frame, 100, 100) {
                Ok(Request::Send { content, .. }) => content.body.mentions().map(|mentions| {
                    let names = mentions.names.iter().map(|name| name.as_str().to_owned());
                    (names.collect::<Vec<_>>(), mentions.all)
                }),
                other => panic!("{fields}: {other:?}"),
            }
        };
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        for (fields, expected) in [
            (r#""mentions":null,"mention_all":null"#, None),
            (r#""mentions":[],"mention_all":false"#, None),
            (r#""mentions":["carol","Bob","","a\nb"]"#, None),
            (r#""mentions":["bob","dave","bob","Анна Б."]"#, Some((names(&["bob", "Анна Б."]), false))),
            (r#""mention_all":true"#, Some((names(&[]), true))),
            (r#""mentions":["bob"],"mention_all":true"#, Some((names(&["bob"]), true))),
        ] {
            assert_eq!(mentioned(fields), expected, "{fields}");
        }
        let many = |count: usize| {
            let names = vec![r#""bob""#; count].join(",");
            format!(r#"{{"type":"message","room":"a","text":"@bob","nonce":"n","mentions":[{names}]}}"#)
        };
        assert!(parse_10(&many(20)).is_ok());
        assert_eq!(code(&many(21)), (ErrorCode::BadRequest, About::Nonce(nonce("n"))));
    }

    #[test]
    fn an_edit_mentions_users_in_a_room_only() {
        let mentioned = |place: &str| {
            let frame = format!(
                r#"{{"type":"edit",{place},"target":1,"nonce":"n","text":"@bob","mentions":["bob","carol"]}}"#
            );
            match parse_10(&frame) {
                Ok(Request::Send { content, .. }) => {
                    content.body.mentions().map(|mentions| mentions.names.len())
                }
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(mentioned(r#""room":"tech""#), Some(1));
        assert_eq!(mentioned(r#""to":"bob""#), None);
    }

    #[test]
    fn what_a_message_answers_is_never_an_error() {
        for (sent, expected) in [("0", None), ("1", Some(1)), ("null", None), ("18446744073709551615", None)]
        {
            for fields in [r#""type":"message","room":"a""#, r#""type":"private","to":"bob""#] {
                let frame = format!(r#"{{{fields},"text":"hi","nonce":"n","reply_to":{sent}}}"#);
                match parse_10(&frame) {
                    Ok(Request::Send {
                        content: Content { body: Body::Message { reply_to, .. }, .. },
                        ..
                    }) => {
                        assert_eq!(reply_to, expected, "{sent}");
                    }
                    other => panic!("{frame}: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn a_refusal_names_the_request_that_it_refers_to() {
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
            (r#"{"type":"history","room":"a","before":1,"around":1}"#, (BadRequest, About::Nothing)),
            (r#"{"type":"history","room":"a","after":1,"seqs":[1]}"#, (BadRequest, About::Nothing)),
            (r#"{"type":"history","room":"a","around":1,"seqs":[1],"ref":"r"}"#, (BadRequest, by_ref("r"))),
            (r#"{"type":"history","room":"a","around":-1,"ref":"r"}"#, (BadRequest, by_ref("r"))),
            (r#"{"type":"history","room":"a","seqs":[-1],"ref":"r"}"#, (BadRequest, by_ref("r"))),
            (r#"{"type":"history","room":"a","seqs":7,"ref":"r"}"#, (BadRequest, by_ref("r"))),
            (r#"{"type":"history","room":"a","limit":0}"#, (BadRequest, About::Nothing)),
            (r#"{"type":"history","room":"a","limit":101,"ref":"r"}"#, (BadRequest, by_ref("r"))),
            (r#"{"type":"history","room":"a","fold":1,"ref":"r"}"#, (BadRequest, by_ref("r"))),
            (r#"{"type":"join","room":"a","limit":101,"ref":"r"}"#, (BadRequest, by_ref("r"))),
            (r#"{"type":"join","room":"a","limit":-1,"ref":"r"}"#, (BadRequest, by_ref("r"))),
            (r#"{"type":"join","room":"a","since":1,"epoch":"e","fold":true}"#, (BadRequest, About::Nothing)),
            (
                r#"{"type":"message","room":"a","text":"a","nonce":"n","mentions":"bob"}"#,
                (BadRequest, about("n")),
            ),
            (
                r#"{"type":"message","room":"a","text":"a","nonce":"n","mentions":[7]}"#,
                (BadRequest, about("n")),
            ),
            (
                r#"{"type":"private","to":"a","text":"a","nonce":"n","mention_all":1}"#,
                (BadRequest, about("n")),
            ),
            (r#"{"type":"delete","room":"a","target":1,"ref":"r"}"#, (BadRequest, by_ref("r"))),
            (r#"{"type":"delete","room":"a","nonce":"n"}"#, (BadRequest, about("n"))),
            (r#"{"type":"delete","room":"a","target":0,"nonce":"n"}"#, (BadRequest, about("n"))),
            (r#"{"type":"delete","room":"a","target":-1,"nonce":"n"}"#, (BadRequest, about("n"))),
            (r#"{"type":"delete","room":"a","target":"1","nonce":"n"}"#, (BadRequest, about("n"))),
            (r#"{"type":"delete","target":1,"nonce":"n"}"#, (BadRequest, about("n"))),
            (r#"{"type":"delete","room":"","target":1,"nonce":"n"}"#, (BadRequest, about("n"))),
            (r#"{"type":"delete","to":" ","target":1,"nonce":"n"}"#, (BadRequest, about("n"))),
            (r#"{"type":"delete","room":"a","to":"b","target":1,"nonce":"n"}"#, (BadRequest, about("n"))),
            (r#"{"type":"edit","room":"a","target":1,"nonce":"n"}"#, (BadRequest, about("n"))),
            (
                r#"{"type":"edit","room":"a","target":1,"text":"12345678901","nonce":"n"}"#,
                (TextTooLong, about("n")),
            ),
            (r#"{"type":"react","room":"a","target":1,"nonce":"n"}"#, (BadRequest, about("n"))),
            (r#"{"type":"react","room":"a","target":1,"emoji":"a","nonce":"n"}"#, (BadRequest, about("n"))),
            (r#"{"type":"react","room":"a","target":1,"emoji":7,"nonce":"n"}"#, (BadRequest, about("n"))),
            (r#"{"type":"unreact","to":"a","target":1,"emoji":"🇽🇽","nonce":"n"}"#, (BadRequest, about("n"))),
            (
                r#"{"type":"message","room":"a","text":"a","nonce":"n","reply_to":"1"}"#,
                (BadRequest, about("n")),
            ),
            (r#"{"type":"read","room":"a","ref":"r"}"#, (BadRequest, by_ref("r"))),
            (r#"{"type":"read","upto":1}"#, (BadRequest, About::Nothing)),
            (r#"{"type":"read","upto":-1,"room":"a"}"#, (BadRequest, About::Nothing)),
            (r#"{"type":"read","upto":1,"room":"a","with":"b"}"#, (BadRequest, About::Nothing)),
            (r#"{"type":"read","upto":1,"with":" "}"#, (BadRequest, About::Nothing)),
            (r#"{"type":"read","upto":1,"room":""}"#, (BadRequest, About::Nothing)),
            (r#"{"type":"level","room":"a","ref":"r"}"#, (BadRequest, by_ref("r"))),
            (r#"{"type":"level","room":"a","level":"All","ref":"r"}"#, (BadRequest, by_ref("r"))),
            (r#"{"type":"level","level":"all","ref":"r"}"#, (BadRequest, by_ref("r"))),
            (r#"{"type":"typing","room":"a","ref":"r"}"#, (BadRequest, by_ref("r"))),
            (r#"{"type":"typing","active":true}"#, (BadRequest, About::Nothing)),
            (r#"{"type":"typing","room":"a","to":"b","active":true}"#, (BadRequest, About::Nothing)),
            (r#"{"type":"typing","to":" ","active":true}"#, (BadRequest, About::Nothing)),
            (r#"{"type":"typing","room":"a","active":"yes","ref":"r"}"#, (BadRequest, by_ref("r"))),
        ] {
            assert_eq!(code(frame), expected, "{frame}");
        }
        let many = |count: usize| {
            let seqs = vec!["1"; count].join(",");
            parse_10(&format!(r#"{{"type":"history","room":"a","seqs":[{seqs}]}}"#))
        };
        assert!(many(0).is_ok() && many(50).is_ok());
        assert_eq!(many(51).unwrap_err().code, BadRequest);
        let long = format!(r#"{{"type":"leave","room":"a","ref":"{}"}}"#, "r".repeat(65));
        assert_eq!(code(&long), (BadRequest, About::Nothing));
        let long = format!(r#"{{"type":"message","room":"a","text":"a","nonce":"{}"}}"#, "n".repeat(65));
        assert_eq!(code(&long), (BadRequest, About::Nothing));
    }
}

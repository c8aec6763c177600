//! Random frames of the server and of clients.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::REQUESTS;
use super::examples::{empty_file, entry, limits, picture, username};
use crate::frame::v2::{
    self, ConversationTop, FEATURES, LeftReason, Limits, ListedRoom, MessageFields, PlaceRef, PresenceWhat,
    Reply, RoomWhat, ServerRole, TypingIn,
};
use crate::{
    Access, Body, Emoji, Entry, Level, Mentions, MessageState, MessageText, Pair, Reaction, Role, RoomName,
    Topic,
};

pub(super) fn name() -> impl Strategy<Value = String> {
    "[ -~а-я👍\u{1}]{1,24}"
}

pub(super) fn entries() -> impl Strategy<Value = Entry> {
    let nonce = proptest::option::of("[a-z0-9]{1,64}");
    let mentions = proptest::option::of((prop::collection::vec(name(), 0..3), any::<bool>()).prop_map(
        |(names, all)| {
            let names = names.iter().map(|name| username(name)).collect();
            Box::new(Mentions { names, all })
        },
    ));
    (any::<bool>(), name(), name(), 1..1_u64 << 50, any::<u64>(), "\\PC{1,40}", nonce, mentions, kinds())
        .prop_map(|(is_private, from, other, seq, at_ms, text, nonce, mentions, kind)| {
            let topic = match RoomName::parse(&other) {
                Ok(room) if !is_private => Topic::Room(room),
                _ => Topic::Pair(Pair::new(username(&from), username(&other))),
            };
            let nonce = nonce.as_deref();
            let stored = MessageText::stored(&text);
            let body = match kind {
                Body::Message { reply_to, files, state, .. } => {
                    Body::Message { text: stored, mentions, reply_to, files, state }
                }
                Body::Edit { target, text, .. } => {
                    Body::Edit { target, text: text.map(|_| stored), mentions }
                }
                other => other,
            };
            Entry { at_ms, body, ..entry(topic, &from, seq, &text, nonce) }
        })
}

/// A body of each kind, with a text or without.
fn kinds() -> impl Strategy<Value = Body> {
    let emoji = || prop::sample::select(vec!["👍", "❤️", "🏳️‍🌈"]).prop_map(Emoji::stored);
    let users = prop::collection::vec(name().prop_map(|name| username(&name)), 1..4);
    let reaction =
        (emoji(), 1..9_u64, users).prop_map(|(emoji, count, users)| Reaction { emoji, count, users });
    let state = (1..99_u64, any::<Option<u64>>(), any::<bool>(), prop::collection::vec(reaction, 0..3))
        .prop_map(|(updated, edited_at_ms, deleted, reactions)| {
            Box::new(MessageState { updated, edited_at_ms, deleted, reactions })
        });
    let text = || MessageText::stored("");
    prop_oneof![
        4 => (any::<Option<u64>>(), 0..3_usize, proptest::option::of(state)).prop_map(move |(reply_to, files, state)| {
            let files = (files > 0).then(|| [picture(), empty_file()][..files].into());
            Body::Message { text: text(), mentions: None, reply_to, files, state }
        }),
        1 => (any::<u64>(), any::<bool>()).prop_map(move |(target, has_text)| {
            Body::Edit { target, text: has_text.then(text), mentions: None }
        }),
        1 => any::<u64>().prop_map(|target| Body::Delete { target }),
        1 => (any::<u64>(), emoji()).prop_map(|(target, emoji)| Body::React { target, emoji }),
        1 => (any::<u64>(), emoji()).prop_map(|(target, emoji)| Body::Unreact { target, emoji }),
    ]
}

/// Random content of the server's frames.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) text: String,
    other: Option<String>,
    pub(super) seq: u64,
    pub(super) is: bool,
    pub(super) entries: Vec<Entry>,
}

pub(super) fn content() -> impl Strategy<Value = Content> {
    (
        name(),
        proptest::option::of(name()),
        any::<u64>(),
        any::<bool>(),
        prop::collection::vec(entries(), 0..3),
    )
        .prop_map(|(text, other, seq, is, entries)| Content { text, other, seq, is, entries })
}

/// One frame of each kind.
pub(super) fn replies(content: &Content) -> Vec<Reply<'_>> {
    let Content { text, other, seq, is, entries } = content;
    let (seq, is, reference) = (*seq, *is, other.as_deref());
    let count = (seq % 101) as u8;
    let (counted, listed) = (is.then_some(count), is.then_some(seq));
    let level = if is { Level::All } else { Level::None };
    let (access, role) = if is { (Access::Open, Role::Member) } else { (Access::Closed, Role::Moderator) };
    let privates = reference
        .into_iter()
        .map(|with| ConversationTop {
            with,
            seq,
            at: listed,
            read: listed,
            unread: counted,
            level: is.then_some(level),
        })
        .collect();
    let rooms = reference
        .into_iter()
        .map(|title| ListedRoom {
            room: text,
            title,
            access,
            archived: is,
            role,
            top: seq,
            at: listed,
            read: seq,
            unread: counted,
            mentions: counted,
            level,
        })
        .collect();
    let what_room = if is {
        RoomWhat::Member { title: text, access, archived: is, role }
    } else {
        RoomWhat::Gone { member: is }
    };
    let reasons = [None, Some(LeftReason::Removed), Some(LeftReason::Closed), Some(LeftReason::Left)];
    let reason = reasons[(seq % 4) as usize];
    let rate = reference.map(|_| 60);
    let of_room = if is { PlaceRef::Room(text) } else { PlaceRef::With(text) };
    let online = usize::try_from(seq).unwrap();
    let what =
        if is { PresenceWhat::User { user: text, online: is } } else { PresenceWhat::Count { online } };
    let typing =
        if is { TypingIn::Room { room: text, user: text } } else { TypingIn::Private { from: text } };
    let of = if is { v2::Of::Room(text) } else { v2::Of::To(text) };
    vec![
        Reply::Hello {
            protocol: 2,
            user: text,
            epoch: text,
            heartbeat_seconds: seq,
            limits: Limits { rate_burst: rate, rate_per_second: rate, edit_seconds: listed, ..limits() },
            features: if is { FEATURES.to_vec() } else { Vec::new() },
            rooms,
            has_more_rooms: is,
            privates,
            has_more: is,
        },
        Reply::Joined {
            room: text,
            epoch: text,
            seq,
            from: is.then_some(seq),
            recovered: is,
            online,
            members: reference.into_iter().collect(),
            reference,
        },
        Reply::Left { room: text, reason, reference },
        Reply::Ack {
            nonce: text,
            of,
            seq,
            timestamp: seq,
            duplicate: is,
            not_members: reference.into_iter().collect(),
        },
        Reply::History {
            of: of_room,
            epoch: text,
            first: seq,
            from: is.then_some(seq),
            upto: is.then_some(seq),
            messages: entries.iter().map(MessageFields).collect(),
            has_more: is,
            has_more_before: is.then_some(is),
            has_more_after: (!is).then_some(is),
            reference,
        },
        Reply::Presence { room: text, what },
        Reply::Read { of: of_room, upto: seq, top: seq, unread: count, mentions: count },
        Reply::Activity { room: text, top: seq, at: seq, new: seq, mentions: seq },
        Reply::Level { of: of_room, level },
        Reply::Rights { role: if is { ServerRole::Administrator } else { ServerRole::Member } },
        Reply::Room { room: text, what: what_room },
        Reply::Typing { what: typing, active: is },
        Reply::Replayed { room: text, upto: seq },
        Reply::Reconnect { after_ms: seq },
    ]
}

/// A random value for a field, mostly a valid one.
pub(super) fn value_of(field: &'static str) -> BoxedStrategy<Value> {
    let text = |regex| proptest::string::string_regex(regex).unwrap().prop_map(Value::from).boxed();
    let good = match field {
        "type" => prop::sample::select(vec![
            "join", "leave", "message", "private", "edit", "delete", "react", "unreact", "history", "typing",
            "read", "level",
        ])
        .prop_map(Value::from)
        .boxed(),
        "level" => prop::sample::select(vec!["all", "mentions", "none", "None", ""]).prop_map(Value::from).boxed(),
        "mentions" => {
            prop_oneof![6 => prop::collection::vec("[a-z]{0,2}", 0..3), 1 => prop::collection::vec("a", 18..23)]
                .prop_map(Value::from)
                .boxed()
        }
        "files" => {
            let id = prop_oneof![9 => "[a-zA-Z0-9_-]{21}[AQgw]", 1 => Just(empty_file().id.to_string()), 1 => "[a-zA-Z0-9_.-]{21,22}"];
            prop_oneof![
                8 => prop::collection::vec(id, 0..3),
                1 => prop::collection::vec("[a-z]{21}A", 9..12),
            ]
            .prop_map(Value::from)
            .boxed()
        }
        "emoji" => prop::sample::select(vec!["👍", "❤", "❤️", "🏳️‍🌈", "", "👍🏽👍🏽👍🏽👍🏽👍🏽👍🏽"]).prop_map(Value::from).boxed(),
        "room" => text("[a-zа-я \u{7f}\u{1}]{0,3}|[а-я]{63,66}"),
        "nonce" => text("[a-z]{1,9}|[a-z]{1,9}|[a-z]{0,2}|[а-я]{63,66}|a\u{85}"),
        "ref" => text("[a-z\u{1}]{0,2}|[а-я]{63,66}"),
        "text" => text("[a-z]{1,9}|[а-я]{1,9}|[а-я]{1,9}|[ \n]{0,3}|[ a-z\"\u{0}]{1,9}"),
        "to" | "with" => text("[a-z]{1,5}|[ \n]{0,2}[a-z]{0,2}"),
        "epoch" => text("[a-z]{0,8}"),
        "fold" | "active" | "mention_all" => any::<bool>().prop_map(Value::from).boxed(),
        "limit" => {
            prop_oneof![6 => 0..5_u64, 1 => 95..105_u64, 1 => any::<u64>()].prop_map(Value::from).boxed()
        }
        _ => prop_oneof![3 => 0..5_u64, 1 => any::<u64>()].prop_map(Value::from).boxed(),
    };
    prop_oneof![
        60 => good,
        // No schema can say which texts are an emoji.
        1 => Just(json!(if field == "emoji" { "" } else { "hi" })),
        1 => Just(json!(7)),
        1 => Just(json!(-1)),
        1 => Just(json!(1.5)),
        1 => Just(json!([])),
        1 => Just(json!(true)),
    ]
    .boxed()
}

const FIELDS: [&str; 22] = [
    "files",
    "type",
    "room",
    "to",
    "with",
    "text",
    "nonce",
    "since",
    "epoch",
    "before",
    "after",
    "limit",
    "fold",
    "active",
    "upto",
    "level",
    "mentions",
    "mention_all",
    "target",
    "emoji",
    "reply_to",
    "ref",
];

/// Any of the fields, those that a frame of its type needs more often.
pub(super) fn client_frames() -> impl Strategy<Value = Value> {
    let request = prop::sample::select((0..REQUESTS.len()).collect::<Vec<_>>());
    let fields = FIELDS.map(|field| (value_of(field), 0..100_u32)).to_vec();
    (request, fields, 0..10_u32).prop_map(|(request, fields, strange)| {
        let request = &REQUESTS[request];
        let mut frame = json!({});
        for (name, (value, chance)) in FIELDS.into_iter().zip(fields) {
            let percent = match name {
                _ if request.required.contains(&name) => 95,
                _ if request.optional.contains(&name) => 40,
                "type" => 0,
                _ => 4,
            };
            if chance < percent {
                frame[name] = value;
            } else if name == "type" {
                frame[name] = json!(request.kind);
            }
        }
        match strange {
            0 => frame["x"] = json!([{}]),
            1 => frame["type"] = json!("dance"),
            _ => {}
        }
        frame
    })
}

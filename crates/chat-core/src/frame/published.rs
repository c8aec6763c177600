//! `docs/asyncapi.yaml` is what this crate reads and writes: its schemas are made
//! from the types, its examples by the encoder, and both are held against frames
//! by chance.

use std::collections::BTreeMap;

use chat_spec::{Document, tidy};
use proptest::prelude::*;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

use super::v1;
use super::v2::{
    self, About, ConversationTop, EntryFrame, ErrorCode, HistoryOfRef, Limits, MessageFields, PresenceWhat,
    REF_MAX_CHARS, Reply,
};
use crate::{
    Body, CloseCode, Entry, HubOptions, MessageText, NONCE_MAX_CHARS, Nonce, Pair, ROOM_NAME_MAX_CHARS,
    RoomName, Topic, Username,
};

const DOCUMENT: &str = "asyncapi.yaml";

/// It has the two schemas of an entry, which are published by name.
impl JsonSchema for MessageFields<'_> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Entry".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let refs =
            ["Message", "Private"].map(|name| json!({ "$ref": format!("#/components/schemas/{name}") }));
        schemars::json_schema!({ "oneOf": refs })
    }
}

/// A frame that a client may send with v2: of all fields, those that it uses.
struct Request {
    kind: &'static str,
    schema: &'static str,
    summary: &'static str,
    required: &'static [&'static str],
    optional: &'static [&'static str],
    /// What else must hold.
    rule: fn() -> Value,
    examples: &'static [&'static str],
}

const REQUESTS: [Request; 5] = [
    Request {
        kind: "join",
        schema: "Join",
        summary: "To come into a room, for the last 50 messages or for everything after `since`.",
        required: &["room"],
        optional: &["since", "epoch", "ref"],
        rule: || json!({ "dependencies": { "since": ["epoch"] } }),
        examples: &[
            r#"{"type":"join","room":"tech","ref":"1"}"#,
            r#"{"type":"join","room":"tech","since":250,"epoch":"6f3ea2d0c1b94e57","ref":"2"}"#,
        ],
    },
    Request {
        kind: "leave",
        schema: "Leave",
        summary: "To leave a room.",
        required: &["room"],
        optional: &["ref"],
        rule: || json!({}),
        examples: &[r#"{"type":"leave","room":"tech","ref":"3"}"#],
    },
    Request {
        kind: "message",
        schema: "SendMessage",
        summary: "To say something to a room that is joined.",
        required: &["room", "text", "nonce"],
        optional: &[],
        rule: || json!({ "not": { "required": ["to"] } }),
        examples: &[r#"{"type":"message","room":"tech","text":"Привет, мир!","nonce":"a1"}"#],
    },
    Request {
        kind: "private",
        schema: "SendPrivate",
        summary: "To say something to one person.",
        required: &["to", "text", "nonce"],
        optional: &[],
        rule: || json!({}),
        examples: &[r#"{"type":"private","to":"bob","text":"Секретное сообщение","nonce":"a2"}"#],
    },
    Request {
        kind: "history",
        schema: "AskHistory",
        summary: "To read a page of a room that is joined, or of a private conversation.",
        required: &[],
        optional: &["room", "with", "before", "after", "limit", "ref"],
        rule: || {
            json!({
                "oneOf": [{ "required": ["room"] }, { "required": ["with"] }],
                "not": { "required": ["before", "after"] },
            })
        },
        examples: &[
            r#"{"type":"history","room":"tech","before":201,"limit":100,"ref":"4"}"#,
            r#"{"type":"history","with":"bob"}"#,
        ],
    },
];

/// What a field must be like where a frame uses it, beside its type.
fn narrowed(field: &str) -> Value {
    let no_control = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$";
    match field {
        "room" => json!({ "minLength": 1, "maxLength": ROOM_NAME_MAX_CHARS, "pattern": no_control }),
        "nonce" => json!({ "minLength": 1, "maxLength": NONCE_MAX_CHARS, "pattern": "^[^\\u0000]*$" }),
        "ref" => json!({ "maxLength": REF_MAX_CHARS }),
        "text" => json!({ "pattern": "^[^\\u0000]*[^\\u0000\\s][^\\u0000]*$" }),
        "to" => json!({ "pattern": "\\S" }),
        "limit" => json!({ "minimum": 1 }),
        _ => json!({}),
    }
}

/// What the server reads, or else what it writes.
fn schema_of<T: JsonSchema>(is_read: bool, definitions: &mut BTreeMap<String, Value>) -> Value {
    // What AsyncAPI's own schemas are made of.
    let settings =
        SchemaSettings::draft07().with(|settings| settings.definitions_path = "/components/schemas".into());
    let settings = if is_read { settings.for_deserialize() } else { settings.for_serialize() };
    let mut generator = settings.into_generator();
    let mut schema = T::json_schema(&mut generator).to_value();
    tidy(&mut schema);
    for (name, mut definition) in generator.take_definitions(true) {
        tidy(&mut definition);
        definitions.insert(name, definition);
    }
    schema
}

/// The frames of an enum by the names that they are published under.
fn frames_of<T: JsonSchema>(name: impl Fn(&str) -> String, schemas: &mut BTreeMap<String, Value>) {
    for variant in schema_of::<T>(false, schemas)["oneOf"].as_array().unwrap() {
        let kind = variant["properties"]["type"]["const"].as_str().unwrap();
        let replaced = schemas.insert(name(kind), variant.clone());
        assert!(replaced.is_none(), "{kind} is published twice");
    }
}

fn merge(into: &mut Value, from: Value) {
    let (Value::Object(into), Value::Object(from)) = (into, from) else { panic!("only objects are merged") };
    into.extend(from);
}

fn capitalised(kind: &str) -> String {
    let (first, rest) = kind.split_at(1);
    first.to_uppercase() + rest
}

/// All schemas, as `components/schemas` has them.
fn schemas() -> BTreeMap<String, Value> {
    let mut schemas = BTreeMap::new();
    frames_of::<v1::ServerFrame<'_>>(|kind| format!("V1{}", capitalised(kind)), &mut schemas);
    let mut v1_client = schema_of::<v1::ClientFields>(true, &mut schemas);
    v1_client["properties"]["text"]["pattern"] = json!("^[^\\u0000]*$");
    schemas.insert("V1Send".to_owned(), v1_client);
    frames_of::<Reply<'_>>(capitalised, &mut schemas);
    frames_of::<EntryFrame<'_>>(capitalised, &mut schemas);

    let fields = schema_of::<v2::ClientFields>(true, &mut schemas);
    for request in &REQUESTS {
        let mut properties = json!({ "type": { "type": "string", "const": request.kind } });
        for &name in request.required.iter().chain(request.optional) {
            properties[name] = fields["properties"][name].clone();
            merge(&mut properties[name], narrowed(name));
        }
        let required = [&["type"], request.required].concat();
        let mut schema = json!({
            "description": request.summary,
            "type": "object",
            "properties": properties,
            "required": required,
            "allOf": [{ "$ref": "#/components/schemas/ClientFields" }],
        });
        merge(&mut schema, (request.rule)());
        schemas.insert(request.schema.to_owned(), schema);
    }
    let mut fields = fields;
    for field in fields["properties"].as_object_mut().unwrap().values_mut() {
        field.as_object_mut().unwrap().remove("description");
    }
    fields["description"] = json!(
        "The fields that the server knows. Each must have its type, also where a frame does not use it; \
         `null` stands for a field that is left out. Fields that are not here are passed over."
    );
    schemas.insert("ClientFields".to_owned(), fields);
    schemas
}

fn username(name: &str) -> Username {
    Username::known(name).unwrap()
}

fn entry(topic: Topic, from: &str, seq: u64, text: &str, nonce: Option<&str>) -> Entry {
    Entry {
        topic,
        seq,
        from: username(from),
        room: None,
        body: Body::Message { text: MessageText::stored(text) },
        at_ms: 1_795_371_797_000 + seq * 1000,
        nonce: nonce.and_then(Nonce::parse),
    }
}

fn in_room(from: &str, seq: u64, text: &str, nonce: Option<&str>) -> Entry {
    entry(Topic::Room(RoomName::parse("tech").unwrap()), from, seq, text, nonce)
}

fn whispered(seq: u64, nonce: Option<&str>) -> Entry {
    let pair = Pair::new(username("alice"), username("bob"));
    entry(Topic::Pair(pair), "alice", seq, "Секретное сообщение", nonce)
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> Value {
    let mut out = Vec::new();
    write(&mut out);
    serde_json::from_slice(&out).unwrap()
}

fn v1_frames() -> Vec<Value> {
    vec![
        written(|out| v1::message(out, "default", "alice", "Привет, мир!", 1_795_371_797)),
        written(|out| v1::private(out, "default", "alice", "bob", "Секретное сообщение", 1_795_371_798)),
        written(|out| v1::notice(out, "default", "alice", v1::Notice::Joined, 1_795_371_796)),
        written(|out| v1::notice(out, "default", "alice", v1::Notice::Left, 1_795_371_801)),
    ]
}

/// What a default server says of itself.
fn limits() -> Limits {
    let options = HubOptions::default();
    Limits {
        text_max_chars: options.text_max_chars,
        message_max_bytes: options.message_max_bytes,
        nonce_max_chars: NONCE_MAX_CHARS,
        ref_max_chars: REF_MAX_CHARS,
        room_name_max_chars: ROOM_NAME_MAX_CHARS,
        rooms_max: options.client_rooms_max,
        history_max: options.history_max,
        resume_max_messages: options.resume_max_messages,
        unanswered_max: options.client_unanswered_max,
        rate_burst: options.rate.map(|rate| rate.burst),
        rate_per_second: options.rate.map(|rate| rate.per_second),
    }
}

fn v2_frames() -> Vec<Value> {
    let epoch = "6f3ea2d0c1b94e57";
    let (room, alice) = (Topic::Room(RoomName::parse("tech").unwrap()), username("alice"));
    let pair = whispered(1, None).topic;
    let nonce = |nonce| Nonce::parse(nonce).unwrap();
    let page = [in_room("bob", 199, "Привет!", None), in_room("alice", 200, "И тебе.", Some("a0"))];
    let whispers = [whispered(1, Some("a2"))];
    let mut frames: Vec<Value> = [
        Reply::Hello {
            protocol: 2,
            user: "alice",
            epoch,
            heartbeat_seconds: HubOptions::default().heartbeat_seconds,
            limits: limits(),
            privates: vec![ConversationTop { with: "bob", seq: 3 }],
            has_more: false,
        },
        Reply::Joined {
            room: "tech",
            epoch,
            seq: 252,
            recovered: true,
            online: 2,
            members: vec!["alice", "bob"],
            reference: Some("2"),
        },
        Reply::Left { room: "tech", reference: Some("3") },
        v2::Ack {
            nonce: &nonce("a1"),
            topic: &room,
            author: &alice,
            seq: 253,
            at_ms: 1_795_372_050_000,
            duplicate: false,
        }
        .into(),
        v2::Ack {
            nonce: &nonce("a2"),
            topic: &pair,
            author: &alice,
            seq: 4,
            at_ms: 1_795_372_051_000,
            duplicate: true,
        }
        .into(),
        Reply::History {
            of: HistoryOfRef::Room("tech"),
            epoch,
            first: 1,
            messages: page.iter().map(MessageFields).collect(),
            has_more: true,
            reference: Some("4"),
        },
        Reply::History {
            of: HistoryOfRef::With("bob"),
            epoch,
            first: 1,
            messages: whispers.iter().map(MessageFields).collect(),
            has_more: false,
            reference: None,
        },
        Reply::Presence { room: "tech", what: PresenceWhat::User { user: "bob", online: true } },
        Reply::Presence { room: "tech", what: PresenceWhat::Count { online: 201 } },
        v2::error(
            ErrorCode::AlreadyJoined,
            "this room is joined already",
            &About::Reference("1".into()),
            None,
        ),
        v2::error(ErrorCode::Unavailable, "not stored: try again", &About::Nonce(nonce("a1")), Some(1)),
        Reply::Reconnect { after_ms: 1_240 },
    ]
    .iter()
    .map(|reply| written(|out| reply.write(out)))
    .collect();
    frames.push(written(|out| v2::entry(out, &in_room("alice", 253, "Привет, мир!", Some("a1")))));
    frames.push(written(|out| v2::entry(out, &in_room("bob", 254, "Привет!", None))));
    frames.push(written(|out| v2::entry(out, &whispered(4, Some("a2")))));
    frames
}

/// All messages, as `components/messages` has them: each with examples that the
/// encoder wrote or the parser takes.
fn messages(schemas: &BTreeMap<String, Value>) -> Value {
    let mut messages = json!({});
    let mut add = |schema: &str, examples: &[Value]| {
        assert!(!examples.is_empty(), "{schema} has no example");
        let examples: Vec<Value> = examples.iter().map(|payload| json!({ "payload": payload })).collect();
        messages[schema] = json!({
            "name": schema,
            "summary": schemas[schema]["description"],
            "payload": { "$ref": format!("#/components/schemas/{schema}") },
            "examples": examples,
        });
    };
    for (prefix, frames) in [("V1", v1_frames()), ("", v2_frames())] {
        let mut by_schema: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for frame in frames {
            by_schema.entry(published_as(&frame, prefix)).or_default().push(frame);
        }
        for (schema, examples) in by_schema {
            add(&schema, &examples);
        }
    }
    for request in &REQUESTS {
        let examples: Vec<Value> = request
            .examples
            .iter()
            .map(|text| {
                assert!(v2::parse(text, 4096, 100).is_ok(), "{text}");
                serde_json::from_str(text).unwrap()
            })
            .collect();
        add(request.schema, &examples);
    }
    let send = [
        json!({ "type": "message", "text": "Привет, мир!" }),
        json!({ "type": "private", "text": "Секретное сообщение", "to": "bob" }),
    ];
    add("V1Send", &send);
    messages
}

/// To write it anew: `UPDATE_DOCS=1 cargo test -p chat-core published`.
#[test]
fn the_document_is_made_of_the_types() {
    let schemas = schemas();
    let components = json!({ "messages": messages(&schemas), "schemas": schemas });
    Document::open(DOCUMENT).keep("made from the types", 2, &components);
}

#[test]
fn everything_leads_somewhere() {
    Document::open(DOCUMENT).check_references();
}

#[test]
fn every_close_code_is_in_the_document() {
    let document = Document::open(DOCUMENT);
    let mut codes = vec![
        // A violation of RFC 6455, and a text that is not UTF-8: chat-http's.
        1002, 1007,
    ];
    use CloseCode::{GoingAway, NoLongerGood, Normal, Restarting, SignedOut, TooBig, TryAgainLater};
    for code in [Normal, GoingAway, NoLongerGood, TooBig, Restarting, TryAgainLater, SignedOut] {
        match code {
            // One more? Then it belongs into the list above and the document.
            Normal | GoingAway | NoLongerGood | TooBig | Restarting | TryAgainLater | SignedOut => {}
        }
        codes.push(code.code());
    }
    codes.sort_unstable();
    let documented = document.at("/x-close-codes").as_object().unwrap();
    let documented: Vec<u16> = documented.keys().map(|code| code.parse().unwrap()).collect();
    assert_eq!(documented, codes);
}

#[test]
fn every_example_is_as_published() {
    let document = Document::open(DOCUMENT);
    for message in document.at("/components/messages").as_object().unwrap().values() {
        let schema = message["payload"]["$ref"].as_str().unwrap().trim_start_matches('#');
        for example in message["examples"].as_array().unwrap() {
            document.schema_at(schema).check(&example["payload"]);
        }
    }
}

/// The name under which a frame of the server is published.
fn published_as(frame: &Value, prefix: &str) -> String {
    prefix.to_owned() + &capitalised(frame["type"].as_str().unwrap())
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn name() -> impl Strategy<Value = String> {
    "[ -~а-я👍\u{1}]{1,24}"
}

fn entries() -> impl Strategy<Value = Entry> {
    let nonce = proptest::option::of("[a-z0-9]{1,64}");
    (any::<bool>(), name(), name(), 1..1_u64 << 50, any::<u64>(), "\\PC{1,40}", nonce).prop_map(
        |(is_private, from, other, seq, at_ms, text, nonce)| {
            let topic = match RoomName::parse(&other) {
                Ok(room) if !is_private => Topic::Room(room),
                _ => Topic::Pair(Pair::new(username(&from), username(&other))),
            };
            let nonce = nonce.as_deref();
            Entry { at_ms, ..entry(topic, &from, seq, &text, nonce) }
        },
    )
}

/// What may stand in a frame of the server.
#[derive(Debug)]
struct Said {
    text: String,
    other: Option<String>,
    seq: u64,
    is: bool,
    entries: Vec<Entry>,
}

fn said() -> impl Strategy<Value = Said> {
    (
        name(),
        proptest::option::of(name()),
        any::<u64>(),
        any::<bool>(),
        prop::collection::vec(entries(), 0..3),
    )
        .prop_map(|(text, other, seq, is, entries)| Said { text, other, seq, is, entries })
}

/// One frame of each kind.
fn replies(said: &Said) -> Vec<Reply<'_>> {
    let Said { text, other, seq, is, entries } = said;
    let (seq, is, reference) = (*seq, *is, other.as_deref());
    let privates = reference.into_iter().map(|with| ConversationTop { with, seq }).collect();
    let rate = reference.map(|_| 60);
    let of_room = if is { HistoryOfRef::Room(text) } else { HistoryOfRef::With(text) };
    let online = usize::try_from(seq).unwrap();
    let what =
        if is { PresenceWhat::User { user: text, online: is } } else { PresenceWhat::Count { online } };
    let of = if is { v2::Of::Room(text) } else { v2::Of::To(text) };
    vec![
        Reply::Hello {
            protocol: 2,
            user: text,
            epoch: text,
            heartbeat_seconds: seq,
            limits: Limits { rate_burst: rate, rate_per_second: rate, ..limits() },
            privates,
            has_more: is,
        },
        Reply::Joined {
            room: text,
            epoch: text,
            seq,
            recovered: is,
            online,
            members: reference.into_iter().collect(),
            reference,
        },
        Reply::Left { room: text, reference },
        Reply::Ack { nonce: text, of, seq, timestamp: seq, duplicate: is },
        Reply::History {
            of: of_room,
            epoch: text,
            first: seq,
            messages: entries.iter().map(MessageFields).collect(),
            has_more: is,
            reference,
        },
        Reply::Presence { room: text, what },
        Reply::Reconnect { after_ms: seq },
    ]
}

const CODES: [ErrorCode; 8] = [
    ErrorCode::BadRequest,
    ErrorCode::UnknownType,
    ErrorCode::NotJoined,
    ErrorCode::AlreadyJoined,
    ErrorCode::NotFound,
    ErrorCode::TextTooLong,
    ErrorCode::TooManyRooms,
    ErrorCode::Unavailable,
];

#[test]
fn what_the_server_says_is_as_published() {
    let document = Document::open(DOCUMENT);
    let schemas: BTreeMap<String, chat_spec::Published> = document
        .at("/components/schemas")
        .as_object()
        .unwrap()
        .keys()
        .map(|name| (name.clone(), document.schema(name)))
        .collect();
    let check = |frame: &Value, prefix: &str| schemas[&published_as(frame, prefix)].check(frame);
    let codes = document.at("/components/schemas/ErrorCode/oneOf").as_array().unwrap();
    let codes: Vec<&Value> = codes.iter().map(|code| &code["const"]).collect();
    assert_eq!(codes, CODES.map(|code| json!(code)).iter().collect::<Vec<_>>());
    for (code, refusal) in CODES.iter().flat_map(|code| {
        [About::Nothing, About::Reference("r".into()), About::Nonce(Nonce::parse("n").unwrap())]
            .map(|about| (code, about))
    }) {
        check(&written(|out| v2::error(*code, "why", &refusal, Some(1)).write(out)), "");
    }
    proptest!(cases(64), |(said in said())| {
        for reply in replies(&said) {
            check(&written(|out| reply.write(out)), "");
        }
        for entry in &said.entries {
            check(&written(|out| v2::entry(out, entry)), "");
            let (text, seq) = (said.text.as_str(), said.seq);
            check(&written(|out| v1::message(out, text, text, entry.body.text(), seq)), "V1");
            check(&written(|out| v1::private(out, text, text, text, entry.body.text(), seq)), "V1");
            let notice = if said.is { v1::Notice::Joined } else { v1::Notice::Left };
            check(&written(|out| v1::notice(out, text, text, notice, seq)), "V1");
        }
    });
}

/// A value for a field: mostly a good one.
fn value_of(field: &'static str) -> BoxedStrategy<Value> {
    let text = |regex| proptest::string::string_regex(regex).unwrap().prop_map(Value::from).boxed();
    let good = match field {
        "type" => prop::sample::select(vec!["join", "leave", "message", "private", "history"])
            .prop_map(Value::from)
            .boxed(),
        "room" => text("[a-zа-я \u{7f}\u{1}]{0,3}|[а-я]{63,66}"),
        "nonce" => text("[a-z]{1,9}|[a-z]{1,9}|[a-z]{0,2}|[а-я]{63,66}|a\u{85}"),
        "ref" => text("[a-z\u{1}]{0,2}|[а-я]{63,66}"),
        "text" => text("[a-z]{1,9}|[а-я]{1,9}|[а-я]{1,9}|[ \n]{0,3}|[ a-z\"\u{0}]{1,9}"),
        "to" | "with" => text("[a-z]{1,5}|[ \n]{0,2}[a-z]{0,2}"),
        "epoch" => text("[a-z]{0,8}"),
        _ => prop_oneof![3 => 0..5_u64, 1 => any::<u64>()].prop_map(Value::from).boxed(),
    };
    prop_oneof![
        60 => good,
        1 => Just(json!("hi")),
        1 => Just(json!(7)),
        1 => Just(json!(-1)),
        1 => Just(json!(1.5)),
        1 => Just(json!([])),
        1 => Just(json!(true)),
    ]
    .boxed()
}

const FIELDS: [&str; 12] =
    ["type", "room", "to", "with", "text", "nonce", "since", "epoch", "before", "after", "limit", "ref"];

/// Any of the fields, those that a frame of its type needs more often.
fn client_frames() -> impl Strategy<Value = Value> {
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

/// In both directions: what the schemas allow is taken, and nothing else.
#[test]
fn a_frame_of_a_client_is_taken_exactly_if_it_is_as_published() {
    let document = Document::open(DOCUMENT);
    let schemas = REQUESTS.map(|request| document.schema(request.schema));
    let mut taken = [0_u32; REQUESTS.len()];
    let mut runner = proptest::test_runner::TestRunner::new(cases(4_000));
    let counted = std::cell::RefCell::new(&mut taken);
    runner
        .run(&client_frames(), |frame| {
            let allowed = schemas.iter().position(|schema| schema.takes(&frame));
            // As long as it may be: how long a text may be is a setting.
            let parsed = v2::parse(&frame.to_string(), usize::MAX, 100);
            prop_assert_eq!(allowed.is_some(), parsed.is_ok(), "{} {:?}", frame, parsed);
            if let Some(index) = allowed {
                counted.borrow_mut()[index] += 1;
                prop_assert_eq!(&frame["type"], REQUESTS[index].kind);
            }
            Ok(())
        })
        .unwrap();
    assert!(taken.iter().all(|count| *count > 50), "too few good frames to tell: {taken:?}");
}

#[test]
fn nothing_stands_for_a_field_that_is_left_out() {
    for frame in [
        r#"{"type":"join","room":"a","since":null,"epoch":null,"ref":null}"#,
        r#"{"type":"message","room":"a","text":"a","nonce":"n","to":null}"#,
        r#"{"type":"history","room":"a","with":null,"before":1,"after":null}"#,
    ] {
        assert!(v2::parse(frame, 10, 100).is_ok(), "{frame}");
    }
}

#[test]
fn a_frame_of_v1_is_malformed_exactly_if_it_is_not_as_published() {
    let schema = Document::open(DOCUMENT).schema("V1Send");
    proptest!(cases(500), |(kind in value_of("to"), text in value_of("text"), to in value_of("with"), present in 0..8_u8)| {
        let mut frame = json!({ "x": 1 });
        for (bit, name, value) in [(1, "type", kind), (2, "text", text), (4, "to", to)] {
            if present & bit != 0 {
                frame[name] = value;
            }
        }
        let parsed = v1::parse(&frame.to_string(), usize::MAX);
        prop_assert_eq!(schema.takes(&frame), parsed.is_ok(), "{} {:?}", frame, parsed);
    });
}

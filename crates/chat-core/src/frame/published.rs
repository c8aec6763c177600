//! `docs/asyncapi.yaml` describes the frames that this crate parses and writes: its
//! schemas are made from the types, its examples by the encoder, and both are
//! checked with random frames.

mod examples;
mod random;

use std::collections::BTreeMap;

use chat_spec::{Document, tidy};
use proptest::prelude::*;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

use self::examples::{v1_frames, v2_frames, written};
use self::random::{client_frames, content, replies, value_of};
use super::v1;
use super::v2::{self, About, EntryFrame, ErrorCode, MessageFields, REF_MAX_CHARS, Reply};
use crate::{
    CloseCode, EMOJI_MAX_CHARS, FILES_MAX, MENTIONS_MAX, NONCE_MAX_CHARS, Nonce, NoticeText,
    ROOM_NAME_MAX_CHARS,
};

const DOCUMENT: &str = "asyncapi.yaml";

/// It has the schemas of the kinds of entries, which are published by name.
impl JsonSchema for MessageFields<'_> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Entry".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let refs = ["Message", "Private", "Edit", "Delete", "React", "Unreact"]
            .map(|name| json!({ "$ref": format!("#/components/schemas/{name}") }));
        schemars::json_schema!({ "oneOf": refs })
    }
}

/// A frame that a v2 client may send, and which of all fields it uses.
struct Request {
    kind: &'static str,
    schema: &'static str,
    summary: &'static str,
    required: &'static [&'static str],
    optional: &'static [&'static str],
    /// A further rule.
    rule: fn() -> Value,
    examples: &'static [&'static str],
}

const REQUESTS: [Request; 12] = [
    Request {
        kind: "join",
        schema: "Join",
        summary: "Joins a room, for the last messages or for all after `since`.",
        required: &["room"],
        optional: &["since", "epoch", "limit", "fold", "ref"],
        rule: || {
            let folded = json!({ "properties": { "fold": { "const": true } }, "required": ["fold"] });
            let with_since =
                json!({ "properties": { "since": { "not": { "type": "null" } } }, "required": ["since"] });
            json!({
                "dependencies": { "since": ["epoch"] },
                "not": { "allOf": [folded, with_since] },
            })
        },
        examples: &[
            r#"{"type":"join","room":"tech","ref":"1"}"#,
            r#"{"type":"join","room":"tech","limit":20,"fold":true,"ref":"1"}"#,
            r#"{"type":"join","room":"tech","since":250,"epoch":"6f3ea2d0c1b94e57","ref":"2"}"#,
        ],
    },
    Request {
        kind: "leave",
        schema: "Leave",
        summary: "Leaves a room.",
        required: &["room"],
        optional: &["ref"],
        rule: || json!({}),
        examples: &[r#"{"type":"leave","room":"tech","ref":"3"}"#],
    },
    Request {
        kind: "message",
        schema: "SendMessage",
        summary: "Sends a message to a room that is joined.",
        required: &["room", "nonce"],
        optional: &["text", "files", "reply_to", "mentions", "mention_all"],
        rule: || {
            let mut rule = text_or_files();
            merge(&mut rule, json!({ "not": { "required": ["to"] } }));
            rule
        },
        examples: &[
            r#"{"type":"message","room":"tech","text":"Привет, мир!","nonce":"a1"}"#,
            r#"{"type":"message","room":"tech","text":"И тебе.","nonce":"a4","reply_to":252}"#,
            r#"{"type":"message","room":"tech","text":"@bob, смотри","nonce":"a3","mentions":["bob"]}"#,
            r#"{"type":"message","room":"tech","text":"","nonce":"b2","files":["YSByYW5kb20gbnVtYmVyLg"]}"#,
        ],
    },
    Request {
        kind: "private",
        schema: "SendPrivate",
        summary: "Sends a private message to a user.",
        required: &["to", "nonce"],
        optional: &["text", "files", "reply_to"],
        rule: text_or_files,
        examples: &[
            r#"{"type":"private","to":"bob","text":"Секретное сообщение","nonce":"a2"}"#,
            r#"{"type":"private","to":"bob","text":"Смотри","nonce":"b3","files":["YSByYW5kb20gbnVtYmVyLg"]}"#,
        ],
    },
    Request {
        kind: "edit",
        schema: "SendEdit",
        summary: "Replaces the text and mentions of a message of one's own, in a room that is joined or in \
                  a private conversation. Its files stay; only with files may the text be blank.",
        required: &["target", "text", "nonce"],
        optional: &["room", "to", "mentions", "mention_all"],
        rule: room_or_to,
        examples: &[
            r#"{"type":"edit","room":"tech","target":253,"text":"Привет, миры!","nonce":"a5"}"#,
            r#"{"type":"edit","to":"bob","target":4,"text":"Секрет","nonce":"a6"}"#,
        ],
    },
    Request {
        kind: "delete",
        schema: "SendDelete",
        summary: "Takes a message back: one's own, or as a moderator of the room.",
        required: &["target", "nonce"],
        optional: &["room", "to"],
        rule: room_or_to,
        examples: &[
            r#"{"type":"delete","room":"tech","target":253,"nonce":"a7"}"#,
            r#"{"type":"delete","to":"bob","target":4,"nonce":"a8"}"#,
        ],
    },
    Request {
        kind: "react",
        schema: "SendReact",
        summary: "Reacts to a message.",
        required: &["target", "emoji", "nonce"],
        optional: &["room", "to"],
        rule: room_or_to,
        examples: &[r#"{"type":"react","room":"tech","target":253,"emoji":"❤️","nonce":"a9"}"#],
    },
    Request {
        kind: "unreact",
        schema: "SendUnreact",
        summary: "Takes a reaction back.",
        required: &["target", "emoji", "nonce"],
        optional: &["room", "to"],
        rule: room_or_to,
        examples: &[r#"{"type":"unreact","room":"tech","target":253,"emoji":"❤️","nonce":"b1"}"#],
    },
    Request {
        kind: "history",
        schema: "AskHistory",
        summary: "Requests a page of a room that is joined, or of a private conversation.",
        required: &[],
        optional: &["room", "with", "before", "after", "limit", "fold", "ref"],
        rule: || {
            json!({
                "oneOf": [{ "required": ["room"] }, { "required": ["with"] }],
                "not": { "required": ["before", "after"] },
            })
        },
        examples: &[
            r#"{"type":"history","room":"tech","before":201,"limit":100,"ref":"4"}"#,
            r#"{"type":"history","with":"bob"}"#,
            r#"{"type":"history","room":"tech","before":201,"fold":true,"ref":"4"}"#,
        ],
    },
    Request {
        kind: "typing",
        schema: "SendTyping",
        summary: "Shows the others in a room that is joined, or the other of a pair, that the user types \
                  or no longer does.",
        required: &["active"],
        optional: &["room", "to", "ref"],
        rule: room_or_to,
        examples: &[
            r#"{"type":"typing","room":"tech","active":true}"#,
            r#"{"type":"typing","to":"bob","active":false}"#,
        ],
    },
    Request {
        kind: "read",
        schema: "SendRead",
        summary: "Notes that the user has read a room or private conversation up to a number.",
        required: &["upto"],
        optional: &["room", "with", "ref"],
        rule: || json!({ "oneOf": [{ "required": ["room"] }, { "required": ["with"] }] }),
        examples: &[
            r#"{"type":"read","room":"tech","upto":252}"#,
            r#"{"type":"read","with":"bob","upto":4,"ref":"5"}"#,
        ],
    },
    Request {
        kind: "level",
        schema: "SendLevel",
        summary: "Chooses what the user is notified of in a room or private conversation.",
        required: &["level"],
        optional: &["room", "with", "ref"],
        rule: || json!({ "oneOf": [{ "required": ["room"] }, { "required": ["with"] }] }),
        examples: &[
            r#"{"type":"level","room":"tech","level":"all"}"#,
            r#"{"type":"level","with":"bob","level":"none","ref":"6"}"#,
        ],
    },
];

/// The rule of a frame that is for a room or else for one user.
fn room_or_to() -> Value {
    json!({ "oneOf": [{ "required": ["room"] }, { "required": ["to"] }] })
}

/// The rule of a message: a text that is not blank, or files.
fn text_or_files() -> Value {
    let text =
        json!({ "properties": { "text": { "type": "string", "pattern": NOT_BLANK } }, "required": ["text"] });
    let files =
        json!({ "properties": { "files": { "type": "array", "minItems": 1 } }, "required": ["files"] });
    json!({ "anyOf": [text, files] })
}

const NOT_BLANK: &str = "^[^\\u0000]*[^\\u0000\\s][^\\u0000]*$";

/// The rules for a field where a frame uses it, beside its type.
fn narrowed(kind: &str, field: &str) -> Value {
    let no_control = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$";
    match field {
        "room" => json!({ "minLength": 1, "maxLength": ROOM_NAME_MAX_CHARS, "pattern": no_control }),
        "nonce" => json!({ "minLength": 1, "maxLength": NONCE_MAX_CHARS, "pattern": "^[^\\u0000]*$" }),
        "ref" => json!({ "maxLength": REF_MAX_CHARS }),
        "text" => json!({ "pattern": "^[^\\u0000]*$" }),
        "files" => json!({
            "maxItems": FILES_MAX,
            "uniqueItems": true,
            "items": { "type": "string", "pattern": "^[A-Za-z0-9_-]{21}[AQgw]$" },
        }),
        "to" => json!({ "pattern": "\\S" }),
        "with" if kind != "history" => json!({ "pattern": "\\S" }),
        "mentions" => json!({ "maxItems": MENTIONS_MAX }),
        "target" => json!({ "minimum": 1 }),
        "emoji" => json!({ "minLength": 1, "maxLength": EMOJI_MAX_CHARS }),
        "level" => json!({ "enum": ["all", "mentions", "none"] }),
        "limit" => json!({ "minimum": if kind == "history" { 1 } else { 0 }, "maximum": 100 }),
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
            merge(&mut properties[name], narrowed(request.kind, name));
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

/// To write the document anew: `UPDATE_DOCS=1 cargo test -p lanechat-core published`.
#[test]
fn the_document_is_made_of_the_types() {
    let schemas = schemas();
    let components = json!({ "messages": messages(&schemas), "schemas": schemas });
    Document::open(DOCUMENT).keep("made from the types", 2, &components);
}

#[test]
fn all_references_resolve() {
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
            // These have the codes of others: 1008 and 1013.
            CloseCode::Removed | CloseCode::CutOff => continue,
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

const CODES: [ErrorCode; 10] = [
    ErrorCode::BadRequest,
    ErrorCode::UnknownType,
    ErrorCode::NotJoined,
    ErrorCode::AlreadyJoined,
    ErrorCode::NotFound,
    ErrorCode::Forbidden,
    ErrorCode::TextTooLong,
    ErrorCode::TooManyRooms,
    ErrorCode::TooMany,
    ErrorCode::Unavailable,
];

#[test]
fn frames_of_the_server_are_as_published() {
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
    proptest!(cases(64), |(content in content())| {
        for reply in replies(&content) {
            check(&written(|out| reply.write(out)), "");
        }
        for entry in &content.entries {
            check(&written(|out| v2::entry(out, entry)), "");
            let (text, seq) = (content.text.as_str(), content.seq);
            check(&written(|out| v1::message(out, text, text, entry.body.text(), seq)), "V1");
            check(&written(|out| v1::private(out, text, text, text, entry.body.text(), seq)), "V1");
            let notice = if content.is { NoticeText::original_joined() } else { NoticeText::original_left() };
            check(&written(|out| v1::notice(out, text, text, &notice, seq)), "V1");
        }
    });
}

/// In both directions: the parser takes what the schemas allow, and nothing else.
#[test]
fn a_frame_of_a_client_is_taken_exactly_if_it_is_as_published() {
    let document = Document::open(DOCUMENT);
    let schemas = REQUESTS.map(|request| document.schema(request.schema));
    let mut taken = [0_u32; REQUESTS.len()];
    let mut runner = proptest::test_runner::TestRunner::new(cases(4_000));
    let counted = std::cell::RefCell::new(&mut taken);
    runner
        .run(&client_frames(), |frame| {
            let allowed = schemas.iter().position(|schema| schema.accepts(&frame));
            // No limit on the text: it is a setting, and not in the schemas.
            let parsed = v2::parse(&frame.to_string(), usize::MAX, 100);
            prop_assert_eq!(allowed.is_some(), parsed.is_ok(), "{} {:?}", frame, parsed);
            if let Some(index) = allowed {
                counted.borrow_mut()[index] += 1;
                prop_assert_eq!(&frame["type"], REQUESTS[index].kind);
            }
            Ok(())
        })
        .unwrap();
    assert!(taken.iter().all(|count| *count > 10), "too few valid frames: {taken:?}");
}

#[test]
fn null_stands_for_a_field_that_is_left_out() {
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
        prop_assert_eq!(schema.accepts(&frame), parsed.is_ok(), "{} {:?}", frame, parsed);
    });
}

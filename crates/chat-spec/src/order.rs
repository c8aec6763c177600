//! YAML with the keys of a schema in reading order: its kind first, then its fields,
//! required ones first.

use serde_json::{Map, Value};

/// The YAML of a value, block style.
pub(crate) fn yaml(value: &Value) -> String {
    yaml_serde::to_string(&ordered(value, &[])).expect("a JSON value is always YAML")
}

/// A value with the keys of its objects in order; the keys in `first` come first.
fn ordered(value: &Value, first: &[String]) -> yaml_serde::Value {
    match value {
        Value::Object(fields) => {
            let mut keys: Vec<&String> = fields.keys().collect();
            keys.sort_by_key(|key| (rank(key, first), *key));
            let required = required(fields);
            let of = |key: &String| {
                let first = if key == "properties" { required.as_slice() } else { &[] };
                (yaml_serde::Value::String(key.clone()), ordered(&fields[key], first))
            };
            yaml_serde::Value::Mapping(keys.into_iter().map(of).collect())
        }
        Value::Array(list) => {
            yaml_serde::Value::Sequence(list.iter().map(|value| ordered(value, &[])).collect())
        }
        other => yaml_serde::to_value(other).expect("a JSON value is always YAML"),
    }
}

fn required(fields: &Map<String, Value>) -> Vec<String> {
    let names = fields.get("required").and_then(Value::as_array);
    names.into_iter().flatten().filter_map(|name| Some(name.as_str()?.to_owned())).collect()
}

fn rank(key: &str, first: &[String]) -> usize {
    if let Some(index) = first.iter().position(|name| name == key) {
        return index;
    }
    let known = KEYWORDS.iter().position(|keyword| *keyword == key).unwrap_or(KEYWORDS.len());
    first.len() + known
}

/// The order of the keys of schemas and of example frames.
const KEYWORDS: [&str; 24] = [
    "name",
    "title",
    "summary",
    "description",
    "payload",
    "type",
    "code",
    "const",
    "room",
    "with",
    "from",
    "to",
    "since",
    "epoch",
    "first",
    "before",
    "seq",
    "text",
    "timestamp",
    "nonce",
    "message",
    "messages",
    "properties",
    "required",
];

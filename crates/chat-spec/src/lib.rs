//! The published documents of the API, `docs/asyncapi.yaml` and
//! `docs/openapi.yaml`, for tests. They are written by hand around parts that are
//! generated from the program's types.
//!
//! A [`Document`] has generated parts between `# <name>` and `# </name>`, which
//! [`Document::keep`] compares with the value that a test made from the types, or
//! replaces (`UPDATE_DOCS=1 cargo test`). A [`Published`] schema checks whether a
//! frame or an answer is as the document says.
//!
//! Only tests depend on this crate.

mod document;
mod order;
mod published;

pub use document::Document;
pub use published::Published;

use serde_json::Value;

/// Brings a schema that schemars generated from a type into the form of the
/// documents: without formats that JSON Schema does not define, and without `null`,
/// which the server never sends and which it accepts as a missing field.
pub fn tidy(schema: &mut Value) {
    match schema {
        Value::Array(list) => list.iter_mut().for_each(tidy),
        Value::Object(fields) => {
            fields.remove("$schema");
            fields.remove("title");
            if fields.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint")) {
                fields.remove("format");
            }
            // The schema of a field that may be missing has no `null` below.
            if fields.get("default").is_some_and(Value::is_null) {
                fields.remove("default");
            }
            if let Some(Value::String(text)) = fields.get_mut("description") {
                // Without the line breaks of the source.
                *text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            }
            if let Some(Value::Array(types)) = fields.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    fields.insert("type".to_owned(), only);
                }
            }
            for (keyword, value) in fields {
                match value {
                    // Names of fields, which may equal keywords.
                    Value::Object(named) if keyword == "properties" => named.values_mut().for_each(tidy),
                    value => tidy(value),
                }
            }
        }
        _ => {}
    }
}

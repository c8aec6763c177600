//! The published documents of the API, `docs/asyncapi.yaml` and
//! `docs/openapi.yaml`, as tests see them: what is written by hand around what
//! is made from the program's types.
//!
//! A [`Document`] has parts between `# <name>` and `# </name>`, which
//! [`Document::keep`] compares with what a test made of the types, or writes
//! anew (`UPDATE_DOCS=1 cargo test`). A [`Published`] schema says whether a frame
//! or an answer is as the document promises.
//!
//! Only tests depend on this crate.

mod document;
mod order;
mod published;

pub use document::Document;
pub use published::Published;

use serde_json::Value;

/// A schema that schemars made of a type, as it stands in a document: without
/// formats that JSON Schema does not know, and without `null`, which the server
/// never says, and takes for something left out.
pub fn tidy(schema: &mut Value) {
    match schema {
        Value::Array(list) => list.iter_mut().for_each(tidy),
        Value::Object(fields) => {
            fields.remove("$schema");
            fields.remove("title");
            if fields.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint")) {
                fields.remove("format");
            }
            if let Some(Value::String(text)) = fields.get_mut("description") {
                // Broken into lines for the source.
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
                    // Names of fields, which may be those of keywords.
                    Value::Object(named) if keyword == "properties" => named.values_mut().for_each(tidy),
                    value => tidy(value),
                }
            }
        }
        _ => {}
    }
}

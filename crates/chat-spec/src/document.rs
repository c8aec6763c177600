//! A document and its generated parts.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::Published;
use crate::order;

/// A document of the API.
pub struct Document {
    path: PathBuf,
    text: String,
    json: Value,
}

impl Document {
    /// Reads `docs/<name>` of this workspace.
    ///
    /// # Panics
    ///
    /// If the file is missing or is not YAML.
    pub fn open(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("docs/{name} cannot be read: {error}"));
        let json =
            yaml_serde::from_str(&text).unwrap_or_else(|error| panic!("docs/{name} is not YAML: {error}"));
        Self { path, text, json }
    }

    /// The whole document.
    pub fn json(&self) -> &Value {
        &self.json
    }

    /// The value at a JSON pointer (RFC 6901).
    ///
    /// # Panics
    ///
    /// If there is no value.
    pub fn at(&self, pointer: &str) -> &Value {
        self.json.pointer(pointer).unwrap_or_else(|| panic!("there is nothing at {pointer}"))
    }

    /// Checks that the part between `# <name>` and `# </name>` is this value, indented
    /// by `indent` spaces. With `UPDATE_DOCS=1` the part is replaced instead.
    ///
    /// # Panics
    ///
    /// If the part differs or is missing.
    pub fn keep(&self, name: &str, indent: usize, value: &Value) {
        let (begin, end) = (format!("# <{name}>\n"), format!("# </{name}>"));
        let (before, rest) = self.text.split_once(&begin).unwrap_or_else(|| panic!("there is no {begin}"));
        let (found, after) = rest.split_once(&end).unwrap_or_else(|| panic!("there is no {end}"));
        let mut expected = String::new();
        let margin = " ".repeat(indent);
        for line in order::yaml(value).lines() {
            expected.push_str(if line.is_empty() { "" } else { &margin });
            expected.push_str(line);
            expected.push('\n');
        }
        // The margin of the line that ends the part.
        expected.push_str(&margin);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            let text = format!("{before}{begin}{expected}{end}{after}");
            std::fs::write(&self.path, text)
                .unwrap_or_else(|error| panic!("docs cannot be written: {error}"));
        } else {
            let path = self.path.file_name().unwrap_or_default().to_string_lossy();
            let first = expected.lines().zip(found.lines()).find(|(expected, found)| expected != found);
            assert!(
                expected == found,
                "docs/{path} is out of date ({first:?}): UPDATE_DOCS=1 cargo test -p lanechat-core -p lanechat-http"
            );
        }
    }

    /// The schema of this name.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn schema(&self, name: &str) -> Published {
        self.schema_of(self.at(&format!("/components/schemas/{name}")))
    }

    /// The schema at a JSON pointer.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn schema_at(&self, pointer: &str) -> Published {
        self.schema_of(self.at(pointer))
    }

    /// A schema that may refer to schemas of the document.
    ///
    /// # Panics
    ///
    /// If the value is not a schema.
    pub fn schema_of(&self, schema: &Value) -> Published {
        Published::new(&self.json, schema)
    }

    /// Checks that every reference has a target, and that every component is referred
    /// to.
    ///
    /// # Panics
    ///
    /// If a target is missing or a component is unused.
    pub fn check_references(&self) {
        let mut referred = BTreeSet::new();
        references(&self.json, &mut referred);
        for pointer in &referred {
            let pointer = pointer.strip_prefix('#').unwrap_or(pointer);
            assert!(self.json.pointer(pointer).is_some(), "there is nothing at {pointer}");
        }
        for (kind, components) in self.at("/components").as_object().into_iter().flatten() {
            if kind == "securitySchemes" {
                // OpenAPI names these without a reference.
                continue;
            }
            for name in components.as_object().into_iter().flatten().map(|(name, _)| name) {
                let pointer = format!("#/components/{kind}/{name}");
                assert!(referred.contains(&pointer), "{pointer} is not used");
            }
        }
    }
}

fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(list) => list.iter().for_each(|value| references(value, found)),
        Value::Object(fields) => {
            if let Some(pointer) = fields.get("$ref").and_then(Value::as_str) {
                found.insert(pointer.to_owned());
            }
            fields.values().for_each(|value| references(value, found));
        }
        _ => {}
    }
}

//! One schema, and whether something is as it says.

use jsonschema::{Draft, Validator};
use serde_json::{Value, json};

/// A schema of a document, with everything that it refers to.
pub struct Published {
    document: Value,
    schema: Value,
    validator: Validator,
}

impl Published {
    pub(crate) fn new(document: &Value, schema: &Value) -> Self {
        let root = json!({ "allOf": [schema], "components": document["components"] });
        // AsyncAPI means draft 7, OpenAPI 3.1 the one of 2020.
        let draft = if document.get("asyncapi").is_some() { Draft::Draft7 } else { Draft::Draft202012 };
        let validator = jsonschema::options()
            .with_draft(draft)
            .build(&root)
            .unwrap_or_else(|error| panic!("{schema} is no schema: {error}"));
        Self { document: document.clone(), schema: schema.clone(), validator }
    }

    /// Whether a reader of the document would take this.
    pub fn takes(&self, value: &Value) -> bool {
        self.validator.is_valid(value)
    }

    /// The server says this: it must be what the document says, and no field may
    /// be missing there, although readers pass over what they do not know.
    ///
    /// # Panics
    ///
    /// If it is not so.
    pub fn check(&self, value: &Value) {
        let faults: Vec<String> = self.validator.iter_errors(value).map(|fault| fault.to_string()).collect();
        assert!(faults.is_empty(), "not as published: {value}\n{}", faults.join("\n"));
        self.check_names(&[&self.schema], value);
    }

    fn check_names(&self, schemas: &[&Value], value: &Value) {
        let mut all = Vec::new();
        schemas.iter().for_each(|schema| self.flatten(schema, &mut all));
        match value {
            Value::Object(fields) => {
                for (name, field) in fields {
                    let of_field: Vec<&Value> = all
                        .iter()
                        .filter_map(|schema| {
                            schema["properties"].get(name).or_else(|| schema.get("additionalProperties"))
                        })
                        .collect();
                    assert!(!of_field.is_empty(), "the field {name} is not published: {value}");
                    self.check_names(&of_field, field);
                }
            }
            Value::Array(items) => {
                let of_items: Vec<&Value> = all.iter().filter_map(|schema| schema.get("items")).collect();
                items.iter().for_each(|item| self.check_names(&of_items, item));
            }
            _ => {}
        }
    }

    /// A schema, and those that it is made of.
    fn flatten<'a>(&'a self, schema: &'a Value, all: &mut Vec<&'a Value>) {
        all.push(schema);
        if let Some(pointer) = schema.get("$ref").and_then(Value::as_str) {
            let target = self.document.pointer(pointer.trim_start_matches('#'));
            self.flatten(target.unwrap_or_else(|| panic!("nothing is at {pointer}")), all);
        }
        for list in ["allOf", "oneOf", "anyOf"] {
            let parts = schema.get(list).and_then(Value::as_array);
            parts.into_iter().flatten().for_each(|part| self.flatten(part, all));
        }
    }
}

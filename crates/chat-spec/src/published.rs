//! A schema of a document, and checks of values against it.

use jsonschema::{Draft, Validator};
use serde_json::{Value, json};

/// A schema of a document, with all schemas that it refers to.
pub struct Published {
    document: Value,
    schema: Value,
    validator: Validator,
}

impl Published {
    pub(crate) fn new(document: &Value, schema: &Value) -> Self {
        let root = json!({ "allOf": [schema], "components": document["components"] });
        // AsyncAPI uses draft 7 of JSON Schema, OpenAPI 3.1 draft 2020-12.
        let draft = if document.get("asyncapi").is_some() { Draft::Draft7 } else { Draft::Draft202012 };
        let validator = jsonschema::options()
            .with_draft(draft)
            .build(&root)
            .unwrap_or_else(|error| panic!("{schema} is not a schema: {error}"));
        Self { document: document.clone(), schema: schema.clone(), validator }
    }

    /// Whether the schema accepts this value.
    pub fn accepts(&self, value: &Value) -> bool {
        self.validator.is_valid(value)
    }

    /// Checks a value that the server sends: the schema must accept it and name each
    /// of its fields, although a schema accepts fields that it does not name.
    ///
    /// # Panics
    ///
    /// If the value is not as published.
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

    /// Collects a schema and the schemas that it is composed of.
    fn flatten<'a>(&'a self, schema: &'a Value, all: &mut Vec<&'a Value>) {
        all.push(schema);
        if let Some(pointer) = schema.get("$ref").and_then(Value::as_str) {
            let target = self.document.pointer(pointer.trim_start_matches('#'));
            self.flatten(target.unwrap_or_else(|| panic!("there is nothing at {pointer}")), all);
        }
        for list in ["allOf", "oneOf", "anyOf"] {
            let parts = schema.get(list).and_then(Value::as_array);
            parts.into_iter().flatten().for_each(|part| self.flatten(part, all));
        }
    }
}

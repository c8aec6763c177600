//! Every frame that a test receives must follow `docs/asyncapi.yaml`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use chat_spec::{Document, Published};
use serde_json::Value;

static SCHEMAS: LazyLock<BTreeMap<String, Published>> = LazyLock::new(|| {
    let document = Document::open("asyncapi.yaml");
    let names = document.at("/components/schemas").as_object().unwrap().keys();
    names.map(|name| (name.clone(), document.schema(name))).collect()
});

/// Checks a frame of either version.
pub(crate) fn check(frame: &Value) {
    let kind = frame["type"].as_str().unwrap();
    // Only v1 has notices, and messages without a number.
    let is_v1 = kind == "system" || (matches!(kind, "message" | "private") && frame.get("seq").is_none());
    let name = format!("{}{}{}", if is_v1 { "V1" } else { "" }, kind[..1].to_uppercase(), &kind[1..]);
    SCHEMAS.get(&name).unwrap_or_else(|| panic!("{kind} is not published")).check(frame);
}

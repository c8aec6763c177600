//! Checks that every response in these tests is as in `docs/openapi.yaml`.

use std::sync::LazyLock;

use chat_spec::Document;
use serde_json::{Value, json};

use crate::harness::Reply;

static DOCUMENT: LazyLock<Document> = LazyLock::new(|| Document::open("openapi.yaml"));

/// Checks the status, headers and body of a response to a documented call.
pub fn check(method: &str, path: &str, reply: &Reply) {
    let path = path.split('?').next().unwrap();
    let is_head = method == "HEAD";
    if reply.status == 0 || reply.status == 431 {
        // The connection was closed, or the request was refused before it was parsed.
        return;
    }
    let status = reply.status.to_string();
    let method_name = if is_head { "get".to_owned() } else { method.to_lowercase() };
    let everywhere = DOCUMENT.at("/x-everywhere");
    let answer = match methods_of(path) {
        Some(methods) => match methods.get(&method_name) {
            Some(operation) => operation["responses"].get(&status).or_else(|| {
                // 400 for a bad `Host` is possible everywhere; an upgrade has no HEAD.
                everywhere.get(&status).filter(|_| status == "400" || (is_head && status == "405"))
            }),
            None => everywhere.get(&status),
        },
        None if path.starts_with("/api") => everywhere.get(&status),
        // A file of the page.
        None => return,
    };
    let answer = resolved(answer.unwrap_or_else(|| panic!("{method} {path} is not published with {status}")));
    check_headers(answer, reply);
    if let Some(content) = answer.get("content").and_then(Value::as_object) {
        let (kind, content) = content.iter().next().unwrap();
        let answered = reply.header("content-type").unwrap_or_default();
        match kind.strip_suffix('*').map(|family| family.trim_start_matches('*').trim_start_matches('/')) {
            Some(family) => assert!(answered.starts_with(family), "{answered}"),
            None => assert_eq!(answered, kind),
        }
        if kind.starts_with("application/json") && !is_head {
            let body: Value = serde_json::from_slice(&reply.body).unwrap();
            let schema = content["schema"]["$ref"].as_str().unwrap();
            DOCUMENT.schema_at(schema.trim_start_matches('#')).check(&body);
        }
    }
}

fn check_headers(answer: &'static Value, reply: &Reply) {
    let documented = answer.get("headers").and_then(Value::as_object);
    for (name, header) in documented.into_iter().flatten() {
        let header = resolved(header);
        match reply.header(&name.to_lowercase()) {
            Some(value) => {
                let schema = DOCUMENT.schema_of(&header["schema"]);
                assert!(schema.accepts(&json!(value)), "{name}: {value} is not as published");
            }
            None => assert_ne!(header["required"], true, "{name} is missing"),
        }
    }
    if reply.header("set-cookie").is_some() {
        assert!(
            documented.is_some_and(|headers| headers.contains_key("Set-Cookie")),
            "a cookie that is not published"
        );
    }
}

/// The documented methods of a path.
fn methods_of(path: &str) -> Option<&'static Value> {
    let parts: Vec<&str> = path.split('/').collect();
    let paths = DOCUMENT.at("/paths").as_object().unwrap();
    let fits = |template: &str| {
        let template: Vec<&str> = template.split('/').collect();
        template.len() == parts.len()
            && template
                .iter()
                .zip(&parts)
                .all(|(of_template, part)| of_template.starts_with('{') || of_template == part)
    };
    paths.iter().find(|(template, _)| fits(template)).map(|(_, methods)| methods)
}

/// The value to which a reference leads.
fn resolved(value: &'static Value) -> &'static Value {
    match value.get("$ref").and_then(Value::as_str) {
        Some(pointer) => DOCUMENT.at(pointer.trim_start_matches('#')),
        None => value,
    }
}

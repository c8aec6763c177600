//! `POST /hooks/<secret>`: a message of a bot, from a program that knows the address.

use chat_core::{MessageText, Topic};
use chat_shard::{Author, Post};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE};
use hyper::{HeaderMap, Response};

use super::call::{Call, fixed};
use super::{json, query};
use crate::answer::{self, Body};
use crate::body::RequestBody;
use crate::error::HttpError;
use crate::secret;
use crate::slack::Payload;

/// Posts what a program sends as it would to Slack.
pub(super) async fn receive(call: Call) -> Result<Response<Body>, HttpError> {
    let Call { app, request, part, .. } = call;
    let secret = secret::hash(&part);
    app.parts.stores.bots.find_webhook(&secret).await?.ok_or(HttpError::SecretNotFound)?;
    let is_form = is_form(request.headers());
    let mut body = RequestBody::new(request.into_body(), &app.options);
    let body = match body.read_whole(PAYLOAD_MAX_BYTES).await {
        Ok(whole) => whole,
        Err(error) => {
            body.discard().await;
            return Err(error.into());
        }
    };
    let form = if is_form { Some(payload_field(&body)?) } else { None };
    let payload: Option<Payload> = json::parse(form.as_deref().map_or(&body[..], str::as_bytes));
    let text = payload.ok_or(HttpError::InvalidJson)?.text();
    let text = cut(&text, app.options.shards.hub.text_max_chars);
    // The webhook may have been revoked while the body arrived.
    let webhook = app.parts.stores.bots.find_webhook(&secret).await?.ok_or(HttpError::SecretNotFound)?;
    app.chat.post(Post::new(Topic::Room(webhook.room), Author::User(webhook.bot), text)).await?;
    let mut response = Response::new(answer::bytes("ok"));
    response.headers_mut().insert(CONTENT_TYPE, fixed("text/plain; charset=utf-8"));
    response.headers_mut().insert(CACHE_CONTROL, fixed("no-store"));
    Ok(response)
}

/// Bytes of one payload.
const PAYLOAD_MAX_BYTES: usize = 256 * 1024;

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.trim_start().to_ascii_lowercase().starts_with("application/x-www-form-urlencoded")
}

/// The field `payload` of a form. Programs that post JSON with the type of a form, as curl does by
/// default, mean the JSON.
fn payload_field(body: &[u8]) -> Result<String, HttpError> {
    let body = std::str::from_utf8(body).map_err(|_| HttpError::InvalidJson)?;
    if body.trim_start().starts_with('{') {
        return Ok(body.to_owned());
    }
    for parameter in query::parameters(body) {
        let (key, value) = parameter.map_err(|_| HttpError::InvalidJson)?;
        if key == "payload" {
            return Ok(value);
        }
    }
    Err(HttpError::InvalidJson)
}

/// A text of at most so many characters: what Slack takes may be longer than a message here.
fn cut(text: &str, max_chars: usize) -> String {
    let text = text.trim();
    if MessageText::parse(text, max_chars).is_ok() {
        return text.to_owned();
    }
    let text: String = text.chars().filter(|character| *character != '\0').collect();
    if text.chars().count() <= max_chars {
        return text;
    }
    let mut cut: String = text.chars().take(max_chars.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_comes_in_a_form_or_as_it_is() {
        let field = |body: &str| payload_field(body.as_bytes()).map_err(|error| error.to_string());
        assert_eq!(field("a=b&payload=%7B%22text%22%3A%22a+b%22%7D"), Ok(r#"{"text":"a b"}"#.to_owned()));
        assert_eq!(field(r#" {"text":"a&b"}"#), Ok(r#" {"text":"a&b"}"#.to_owned()));
        assert_eq!(field("a=b"), Err("invalid json".to_owned()));
        assert_eq!(cut(" four ", 4), "four");
        assert_eq!(cut("fives", 4), "fiv…");
        assert_eq!(cut("a\0b", 4), "ab");
    }
}

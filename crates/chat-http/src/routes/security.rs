//! `GET /.well-known/security.txt`: where flaws of this chat are reported (RFC 9116).

use hyper::Response;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE};
use jiff::{SignedDuration, Timestamp};

use super::call::{Call, fixed};
use crate::answer::{self, Body};
use crate::error::HttpError;

/// Answers with the contact of the settings; 404 without one.
pub(super) async fn contact(call: Call) -> Result<Response<Body>, HttpError> {
    let options = &call.app.options;
    let contact = options.security_contact.as_ref().ok_or(HttpError::NotFound)?;
    let url = options.public_url.as_ref().map(|url| format!("{}{PATH}", url.origin()));
    let text = security_txt(contact.as_str(), url.as_deref(), Timestamp::now());
    let mut response = Response::new(answer::bytes(text));
    response.headers_mut().insert(CONTENT_TYPE, fixed("text/plain; charset=utf-8"));
    response.headers_mut().insert(CACHE_CONTROL, fixed("public, max-age=86400"));
    Ok(response)
}

const PATH: &str = "/.well-known/security.txt";

/// The file, good for [`GOOD_FOR`].
fn security_txt(contact: &str, canonical: Option<&str>, now: Timestamp) -> String {
    let expires = now.checked_add(GOOD_FOR).unwrap_or(now);
    let mut text = format!("Contact: {contact}\nExpires: {expires:.0}\n");
    if let Some(canonical) = canonical {
        text.push_str(&format!("Canonical: {canonical}\n"));
    }
    text
}

/// RFC 9116 §2.5.5 recommends less than a year. The setting is what the operator says now, so
/// that the time moves with the answer.
const GOOD_FOR: SignedDuration = SignedDuration::from_hours(24 * 180);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_its_fields() {
        let now = "2026-11-28T08:00:00.5Z".parse().unwrap();
        let url = "https://chat.example.org/.well-known/security.txt";
        assert_eq!(
            security_txt("mailto:security@example.org", Some(url), now),
            format!(
                "Contact: mailto:security@example.org\nExpires: 2027-05-27T08:00:00Z\nCanonical: {url}\n"
            )
        );
        assert_eq!(security_txt("tel:+1-201-555-0123", None, now).lines().count(), 2);
    }
}

//! The listener without TLS, beside one with TLS: sends clients there, and answers the
//! challenges of certificate authorities.

use hyper::header::{CACHE_CONTROL, HOST, HeaderValue, LOCATION};
use hyper::http::uri::Authority;
use hyper::{HeaderMap, Request, Response, StatusCode};

use super::call::fixed;
use crate::acme_challenges::AcmeChallenges;
use crate::answer::{self, Body};
use crate::app::App;
use crate::body::SentBody;
use crate::error::HttpError;

/// Answers a request on that listener. `port` is that of the listener with TLS.
pub(super) fn answer(app: &App, request: &Request<SentBody>, port: u16) -> Result<Response<Body>, HttpError> {
    let path = request.uri().path();
    if let Some(token) = path.strip_prefix(AcmeChallenges::PATH) {
        let answer = app.options.acme_challenges.answer(token).ok_or(HttpError::NotFound)?;
        return Ok(Response::new(answer::bytes(answer)));
    }
    let origin = match app.options.public_url.as_ref().filter(|url| url.is_https()) {
        Some(url) => url.origin().to_owned(),
        None => origin(request.headers(), port)?,
    };
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    // The characters of a URI are valid in a header.
    let location = HeaderValue::try_from(format!("{origin}{path}")).map_err(|_| HttpError::NotFound)?;
    let mut response = Response::new(answer::bytes(""));
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    response.headers_mut().insert(LOCATION, location);
    // What makes browsers remember it is HSTS, which the operator chooses by `public_url`.
    response.headers_mut().insert(CACHE_CONTROL, fixed("no-store"));
    Ok(response)
}

/// Sends a client to another path of the same host, with the query.
pub(super) fn within(request: &Request<SentBody>, path: &str) -> Result<Response<Body>, HttpError> {
    let query = request.uri().query().map_or(String::new(), |query| format!("?{query}"));
    let location = HeaderValue::try_from(format!("{path}{query}")).map_err(|_| HttpError::NotFound)?;
    let mut response = Response::new(answer::bytes(""));
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    response.headers_mut().insert(LOCATION, location);
    Ok(response)
}

/// The host of the request with https.
fn origin(headers: &HeaderMap, port: u16) -> Result<String, HttpError> {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).ok_or(HttpError::Host)?;
    let authority: Authority = host.parse().map_err(|_| HttpError::Host)?;
    if host.contains('@') {
        return Err(HttpError::Host);
    }
    let host = authority.host();
    Ok(if port == 443 { format!("https://{host}") } else { format!("https://{host}:{port}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_is_the_host_of_the_request_on_the_port_with_tls() {
        let to = |host: &'static str, port| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static(host));
            origin(&headers, port).ok()
        };
        for (host, port, origin) in [
            ("chat.example.org", 443, Some("https://chat.example.org")),
            ("chat.example.org:80", 443, Some("https://chat.example.org")),
            ("chat.example.org:8080", 8443, Some("https://chat.example.org:8443")),
            ("[2001:db8::1]:80", 443, Some("https://[2001:db8::1]")),
            ("someone@chat.example.org", 443, None),
            ("chat.example.org/x", 443, None),
            ("", 443, None),
        ] {
            assert_eq!(to(host, port).as_deref(), origin, "{host}");
        }
    }
}

//! A request on its way to its handler.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::Request;
use hyper::header::HeaderValue;

use crate::app::App;
use crate::body::SentBody;
use crate::client_address::{ClientAddress, client_address};

/// A request on its way to its handler.
pub(super) struct Call {
    pub(super) app: Arc<App>,
    /// The address of the other end of the connection, if the host has told it.
    pub(super) peer: Option<IpAddr>,
    pub(super) request: Request<SentBody>,
    /// The part of the path that the `{name}` of the route matched, with its escapes.
    pub(super) part: String,
    /// That of `{user}`, likewise.
    pub(super) user: String,
}

impl Call {
    /// Where the request comes from.
    pub(super) fn address(&self) -> ClientAddress {
        client_address(self.peer, self.request.headers(), &self.app.options.trusted_proxies)
    }
}

/// A header value that is always the same.
pub(super) const fn fixed(value: &'static str) -> HeaderValue {
    HeaderValue::from_static(value)
}

//! Parsers of this crate for `bins/fuzz`, and for nothing else.

use std::net::IpAddr;

use hyper::HeaderMap;
use hyper::header::{COOKIE, HeaderValue};
use ipnet::IpNet;

use crate::client_address::client_address;
use crate::cookie;
use crate::head_filter::HeadFilter;

/// The token in headers `Cookie`, one a line. Lines that are no values of headers are left out.
pub fn cookie(lines: &[u8]) -> Option<String> {
    let mut headers = HeaderMap::new();
    for value in lines.split(|byte| *byte == b'\n').filter_map(|line| HeaderValue::from_bytes(line).ok()) {
        headers.append(COOKIE, value);
    }
    cookie::token(&headers).map(str::to_owned)
}

/// The address of a client with headers `X-Forwarded-For`, one a line, whose peer and whose
/// proxies are given.
pub fn forwarded(lines: &[u8], peer: IpAddr, proxies: &[IpNet]) -> IpAddr {
    let mut headers = HeaderMap::new();
    for value in lines.split(|byte| *byte == b'\n').filter_map(|line| HeaderValue::from_bytes(line).ok()) {
        headers.append("x-forwarded-for", value);
    }
    client_address(Some(peer), &headers, proxies).ip
}

/// What hyper gets of the bytes of a connection that arrive in parts of this size.
pub fn head(bytes: &[u8], part: usize) -> Vec<u8> {
    let mut filter = HeadFilter::new();
    let mut bytes = bytes.to_vec();
    for part in bytes.chunks_mut(part.max(1)) {
        filter.pass(part);
    }
    bytes
}

//! `GET /ws`: upgrades a connection, and hands its socket to a shard.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use chat_core::{Protocol, RoomName};
use chat_shard::{Arrival, TlsConnection};
use hyper::body::Body as _;
use hyper::header::{
    CONNECTION, HeaderMap, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::upgrade::Upgraded;
use hyper::{Method, Response, StatusCode, Version};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, UnixStream};
use tungstenite::handshake::derive_accept_key;

use super::call::{Call, fixed};
use super::room_call;
use crate::answer::{self, Body};
use crate::app::App;
use crate::client_socket::ClientSocket;
use crate::error::HttpError;
use crate::host_account;
use crate::percent;
use crate::signed_in::SignedIn;

/// Checks the whole handshake, because hyper checks nothing, and then answers 101.
pub(super) async fn upgrade(call: Call) -> Result<Response<Body>, HttpError> {
    let address = call.address();
    let Call { app, mut request, .. } = call;
    if *request.method() != Method::GET {
        return Err(HttpError::Method { allow: "GET".to_owned() });
    }
    if !app.is_ready() {
        return Err(HttpError::Stopping);
    }
    app.origin.check(request.headers())?;
    // Entered before the store is asked, so that a change of the session, or a ban, from then
    // on reaches this socket. A host is asked once to know its session, and again for that.
    let signed_in = match &app.parts.identity {
        Some(_) => SignedIn::check(&app, &request).await?,
        None => SignedIn::by_known_token(&app, request.headers()).await?,
    };
    let open_sessions = app.shards.open_sessions();
    let session = signed_in.session.as_ref().map(|session| open_sessions.enter(session, &signed_in.user));
    let is_foreign = signed_in.session.is_none() || signed_in.of_host.is_some();
    let token = is_foreign.then(|| app.shards.open_users().enter(&signed_in.user));
    let signed_in = match &app.parts.identity {
        Some(_) => SignedIn::check(&app, &request).await.and_then(|again| {
            let is_same = again.user == signed_in.user && again.session == signed_in.session;
            if is_same { Ok(again) } else { Err(HttpError::InvalidToken(None)) }
        })?,
        None => signed_in.with_session(&app).await?,
    };
    let good_until_ms = signed_in.good_until_ms;
    if let Some(session) = &session {
        open_sessions.renew(session.id(), good_until_ms);
    }
    let protocol = protocol(request.headers(), request.uri().query().unwrap_or_default())?;
    let is_v2 = protocol == Protocol::V2;
    if request.version() != Version::HTTP_11 {
        return Err(HttpError::Handshake("the request must be HTTP/1.1"));
    }
    if !request.body().is_end_stream() {
        return Err(HttpError::Handshake("the request must have no body"));
    }
    let accept = accept(request.headers())?;
    let counted = app.socket_open_rate.count(&signed_in.user, Instant::now());
    counted.map_err(|retry_after_seconds| HttpError::TooManySocketOpens { retry_after_seconds })?;
    if is_foreign {
        host_account::ensure(&app, &signed_in).await?;
    }
    if let Protocol::V1 { room } = &protocol {
        // A client of v1 could be told nothing after the upgrade. The hub checks again.
        room_call::check_entry(&app, &signed_in, room).await?;
    }
    signed_in.note_seen(&app);
    if let (Some(_), Some(address)) = (&signed_in.session, address.limited()) {
        app.sign_ins.remember(signed_in.user.as_str(), address);
    }
    let user = signed_in.user;

    let upgraded = hyper::upgrade::on(&mut request);
    let tasks = app.tasks.clone();
    tasks.spawn(async move {
        match tokio::time::timeout(app.options.upgrade_timeout, upgraded).await {
            Ok(Ok(upgraded)) => hand_over(&app, upgraded, |stream, tls, read| Arrival {
                stream,
                tls,
                read,
                user,
                session,
                token,
                good_until_ms,
                protocol,
            }),
            Ok(Err(error)) => tracing::debug!(%error, "the connection ended during the upgrade"),
            Err(_) => tracing::debug!("the upgrade took too long"),
        }
    });

    let mut response = Response::new(answer::bytes(Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, fixed("Upgrade"));
    headers.insert(UPGRADE, fixed("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    if is_v2 {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, fixed(V2));
    }
    Ok(response)
}

/// Hands the socket to its shard, with the bytes that hyper has read ahead.
fn hand_over(
    app: &Arc<App>,
    upgraded: Upgraded,
    arrival: impl FnOnce(std::net::TcpStream, Option<Box<TlsConnection>>, Vec<u8>) -> Arrival,
) {
    let socket = match Socket::below(upgraded) {
        Ok(socket) => Ok(socket),
        Err(other) => Socket::beside(app, other),
    };
    match socket.and_then(|socket| Ok((socket.stream.into_std()?, socket.tls, socket.read))) {
        Ok((stream, tls, read)) => app.shards.place(arrival(stream, tls, read)),
        Err(error) => tracing::error!(%error, "a socket cannot be handed to its shard"),
    }
}

/// What a shard gets of an upgraded connection.
struct Socket {
    stream: TcpStream,
    tls: Option<Box<TlsConnection>>,
    /// What hyper has read ahead.
    read: Vec<u8>,
}

impl Socket {
    /// The TCP socket below a connection of [`Server`](crate::Server), of hyper, or of
    /// hyper-util's `auto`, with which axum serves. Returns other connections as they are.
    fn below(upgraded: Upgraded) -> Result<Self, Upgraded> {
        // The bytes are copied and dropped: even an empty `Bytes` keeps hyper's buffer allocated.
        let upgraded = match upgraded.downcast::<TokioIo<ClientSocket>>() {
            Ok(parts) => {
                let (stream, tls) = parts.io.into_inner().into_parts();
                return Ok(Self { stream, tls, read: parts.read_buf.to_vec() });
            }
            Err(upgraded) => upgraded,
        };
        let (io, read) = match upgraded.downcast::<TokioIo<TcpStream>>() {
            Ok(parts) => (parts.io, parts.read_buf),
            Err(upgraded) => {
                let parts = auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded)?;
                (parts.io, parts.read_buf)
            }
        };
        let stream = io.into_inner();
        // Frames are batched before they are written; a host has no reason to know.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY cannot be set");
        }
        Ok(Self { stream, tls: None, read: read.to_vec() })
    }

    /// One end of a pair of sockets, whose other end is copied from and to a connection of any
    /// kind.
    fn beside(app: &App, upgraded: Upgraded) -> io::Result<Self> {
        let (near, mut far) = UnixStream::pair()?;
        let at_once = app.ends.at_once.clone();
        app.tasks.spawn(async move {
            let mut upgraded = TokioIo::new(upgraded);
            tokio::select! {
                () = at_once.cancelled() => {}
                copied = tokio::io::copy_bidirectional(&mut upgraded, &mut far) => {
                    if let Err(error) = copied {
                        tracing::debug!(%error, "the connection of a host ended");
                    }
                }
            }
            let _ = upgraded.shutdown().await;
        });
        // A shard only reads, writes and closes, which is the same for both kinds of sockets.
        let near = std::net::TcpStream::from(OwnedFd::from(near.into_std()?));
        Ok(Self { stream: TcpStream::from_std(near)?, tls: None, read: Vec::new() })
    }
}

/// The version of the protocol: v2 by its subprotocol, or v1 without one, with the room in
/// the query.
fn protocol(headers: &HeaderMap, query: &str) -> Result<Protocol, HttpError> {
    let offered = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|line| line.to_str().ok());
    if offered.flat_map(|line| line.split(',')).any(|offered| offered.trim() == V2) {
        Ok(Protocol::V2)
    } else if headers.contains_key(SEC_WEBSOCKET_PROTOCOL) {
        Err(HttpError::UnknownSubprotocol)
    } else {
        Ok(Protocol::V1 { room: room(query)? })
    }
}

/// The room in a query: the first one if there are several.
fn room(query: &str) -> Result<RoomName, HttpError> {
    let named = query.split('&').find_map(|pair| match pair.split_once('=') {
        Some(("room", name)) => Some(name),
        _ => None,
    });
    let name = percent::decode(named.unwrap_or_default(), true).ok_or(HttpError::RoomEncoding)?;
    Ok(RoomName::parse(&name)?)
}

/// Checks the client's part of the handshake (RFC 6455 §4.2.1), and returns the value of
/// `Sec-WebSocket-Accept`.
fn accept(headers: &HeaderMap) -> Result<hyper::header::HeaderValue, HttpError> {
    if !lists(headers, CONNECTION, "upgrade") {
        return Err(HttpError::Handshake("Connection must list upgrade"));
    }
    if !only(headers, UPGRADE).is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket")) {
        return Err(HttpError::Handshake("Upgrade must be websocket"));
    }
    if only(headers, SEC_WEBSOCKET_VERSION) != Some("13") {
        return Err(HttpError::WebSocketVersion);
    }
    match only(headers, SEC_WEBSOCKET_KEY) {
        Some(key) if is_key(key) => {
            let accept = derive_accept_key(key.as_bytes());
            Ok(accept.try_into().expect("base64 is printable ASCII"))
        }
        _ => Err(HttpError::Handshake("Sec-WebSocket-Key must be 16 bytes in base64")),
    }
}

/// Whether a header, which is a list, contains this token.
fn lists(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|listed| listed.trim().eq_ignore_ascii_case(token))
}

/// The value of a header that occurs exactly once.
fn only(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    let mut lines = headers.get_all(name).iter();
    match (lines.next(), lines.next()) {
        (Some(line), None) => line.to_str().ok().map(str::trim),
        _ => None,
    }
}

/// Whether this is the base64 of 16 bytes: 22 characters and two of padding.
fn is_key(key: &str) -> bool {
    let in_base64 = |c: char| c.is_ascii_alphanumeric() || c == '+' || c == '/';
    key.strip_suffix("==").is_some_and(|digits| digits.len() == 22 && digits.chars().all(in_base64))
}

/// The subprotocol of v2.
const V2: &str = "chat.v2";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_is_in_the_query() {
        for (query, expected) in [
            ("", "default"),
            ("room=", "default"),
            ("room", "default"),
            ("x=1&room=tech", "tech"),
            ("room=a&room=b", "a"),
            ("rooms=a", "default"),
            ("room=a+b%2Bc", "a b+c"),
            ("room=%D0%9A%D1%83%D1%85%D0%BD%D1%8F", "Кухня"),
            ("room=a%26b%3Dc", "a&b=c"),
            ("room=a=b", "a=b"),
        ] {
            assert_eq!(room(query).unwrap().as_str(), expected, "{query}");
        }
        let long = format!("room={}", "a".repeat(65));
        for bad in ["room=%FF", "room=%0A", "room=%00", "room=%zz", "room=%", &long] {
            assert!(room(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_is_16_bytes_in_base64() {
        assert!(is_key("dGhlIHNhbXBsZSBub25jZQ=="));
        for bad in
            ["", "==", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZQ===="]
        {
            assert!(!is_key(bad), "{bad}");
        }
        assert!(!is_key("dGhlIHNhbXBsZSBub25jZSE="), "17 bytes");
        assert!(!is_key("dGhlIHNhbXBsZSBub25-ZQ=="), "not this alphabet");
    }
}

//! Sockets on their way to a shard, and rooms as shards list them.

use std::net::TcpStream;

use chat_core::{Protocol, RoomName, Username};

use crate::open_sessions::SessionUse;
use crate::open_users::UserUse;
use crate::transport::TlsConnection;

/// A socket after its upgrade was answered with 101, on its way to its shard.
pub struct Arrival {
    /// The connection, in non-blocking mode.
    pub stream: TcpStream,
    /// TLS on the connection, after its handshake; it may hold text that has arrived.
    pub tls: Option<Box<TlsConnection>>,
    /// What the client sent behind its request, as far as it was read.
    pub read: Vec<u8>,
    /// The user, whom the caller has authenticated.
    pub user: Username,
    /// The socket's use of its session, if it has one.
    pub session: Option<SessionUse>,
    /// The socket's use of a token of another issuer, if it has no session.
    pub token: Option<UserUse>,
    /// When the session, or else the token, ends, in milliseconds since 1970. A renewal
    /// that `session` knows of counts as well.
    pub good_until_ms: u64,
    /// The version of the protocol that the client speaks.
    pub protocol: Protocol,
}

/// A room with joined clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomInUse {
    /// Its name.
    pub name: RoomName,
    /// The number of users, each counted once.
    pub online: usize,
    /// Whether the room has neither a member nor a message: users have opened it by its
    /// name. Every other room is in the store.
    pub is_new: bool,
}

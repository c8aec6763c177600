//! What comes to the shards from outside, and what they answer.

use std::net::TcpStream;

use chat_core::{Protocol, RoomName, Username};

use crate::open_sessions::SessionUse;

/// A socket after its upgrade was answered with 101, on its way to its shard.
pub struct Arrival {
    /// Non-blocking.
    pub stream: TcpStream,
    /// What the client sent behind its request.
    pub read: Vec<u8>,
    /// Who it belongs to, as the caller has checked.
    pub user: Username,
    /// Its part in its session, if it has one.
    pub session: Option<SessionUse>,
    /// Until when the session, or else the token, is good, in milliseconds since
    /// 1970; what became known of the session since counts as well.
    pub good_until_ms: u64,
    /// What the client speaks.
    pub protocol: Protocol,
}

/// A room that somebody is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomInUse {
    /// Its name.
    pub name: RoomName,
    /// How many users, each counted once.
    pub online: usize,
}

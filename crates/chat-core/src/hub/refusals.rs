//! How often a hub has refused frames, and how often its limits acted.

use super::Hub;
use crate::frame::v2::ErrorCode;

/// How often a hub has refused frames of clients, and how often a limit on a client acted,
/// since the hub was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Refusals {
    frames: [u64; ErrorCode::ALL.len()],
    limits: [u64; ClientLimit::ALL.len()],
}

impl Refusals {
    /// The refused frames by the code of the `error` that answers them in v2. A v1 client gets
    /// no such answer: a malformed frame is ignored (`bad_request`), and a text that is too
    /// long closes the connection.
    pub fn frames(&self) -> impl Iterator<Item = (&'static str, u64)> {
        ErrorCode::ALL.iter().map(|code| code.as_str()).zip(self.frames)
    }

    /// How often each limit acted: a rate made a client wait, or a connection was closed
    /// because its user has too many or opens them too fast.
    pub fn limits(&self) -> impl Iterator<Item = (&'static str, u64)> {
        ClientLimit::ALL.iter().map(|limit| limit.as_str()).zip(self.limits)
    }

    pub(super) fn count_frame(&mut self, code: ErrorCode) {
        self.frames[code as usize] += 1;
    }

    pub(super) fn count_limit(&mut self, limit: ClientLimit) {
        self.limits[limit as usize] += 1;
    }
}

/// A limit on one client or its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientLimit {
    /// [`HubOptions::rate`](crate::HubOptions::rate).
    Messages,
    /// [`HubOptions::join_rate`](crate::HubOptions::join_rate).
    Joins,
    /// [`HubOptions::history_rate`](crate::HubOptions::history_rate).
    Pages,
    /// [`HubOptions::frame_rate`](crate::HubOptions::frame_rate).
    Frames,
    /// [`HubOptions::user_clients_max`](crate::HubOptions::user_clients_max).
    Clients,
}

impl ClientLimit {
    /// All limits, each at the index that it is as a number.
    const ALL: [Self; 5] = [Self::Messages, Self::Joins, Self::Pages, Self::Frames, Self::Clients];

    fn as_str(self) -> &'static str {
        match self {
            Self::Messages => "message_rate",
            Self::Joins => "join_rate",
            Self::Pages => "history_rate",
            Self::Frames => "frame_rate",
            Self::Clients => "user_clients_max",
        }
    }
}

impl Hub {
    /// What this hub has refused so far.
    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_and_limit_has_a_place_of_its_own() {
        let mut refusals = Refusals::default();
        for (index, code) in ErrorCode::ALL.into_iter().enumerate() {
            assert_eq!(code as usize, index);
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str(), "as on the wire");
            refusals.count_frame(code);
        }
        for (index, limit) in ClientLimit::ALL.into_iter().enumerate() {
            assert_eq!(limit as usize, index);
            refusals.count_limit(limit);
        }
        assert!(refusals.frames().chain(refusals.limits()).all(|(_, count)| count == 1), "{refusals:?}");
    }
}

//! Frames for one client, and the order in which they are put out.

use super::Hub;
use super::client::Client;
use crate::ClientId;
use crate::frame::v2::{self, About, ErrorCode, Reply};
use crate::outputs::Outputs;

impl Hub {
    /// Queues a frame for a v2 client until the end of the turn.
    pub(super) fn reply(&mut self, id: ClientId, reply: &Reply<'_>) {
        self.scratch.clear();
        self.options.framing.append(&mut self.scratch, |out| reply.write(out));
        self.clients.queue(id, &self.scratch);
    }

    /// Queues an `error` for a v2 client.
    pub(super) fn refuse(
        &mut self,
        id: ClientId,
        code: ErrorCode,
        message: &str,
        about: &About,
        retry_after_s: Option<u64>,
    ) {
        self.refusals.count_frame(code);
        self.reply(id, &v2::error(code, message, about, retry_after_s));
    }

    /// Puts out the frames queued for a client.
    pub(super) fn flush_client(&mut self, id: ClientId, out: &mut Outputs) {
        self.clients.flush(id, self.turn, out);
    }

    /// Puts out what the rooms of a client have pending, before the client gets
    /// something that must come later.
    pub(super) fn flush_rooms_of(&mut self, id: ClientId, out: &mut Outputs) {
        let client = self.clients.get(id);
        for joined in client.map_or(&[][..], Client::rooms) {
            self.rooms.flush(joined.room, out);
        }
    }
}

/// The message of an error about a name that has no account.
pub(super) const NO_ACCOUNT: &str = "no account has that name";
/// When a client should repeat a request that is `unavailable`, in seconds.
pub(super) const RETRY_AFTER_S: u64 = 1;

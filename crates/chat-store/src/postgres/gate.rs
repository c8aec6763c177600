//! Whether lanes may append: not right after another server of the database has taken over.

use std::sync::{Mutex, MutexGuard, PoisonError};

use chat_cluster::{Failover, FailoverOutput, Incarnation, ServerRow};
use tokio::time::Instant;

/// The [`Failover`] of this start of a server, shared by its lanes and its feed.
///
/// Lanes tell it on which timeline they have a session, and ask it before each transaction. The feed
/// does what it asks for, with each read.
pub(super) struct Gate {
    started: Instant,
    failover: Mutex<Failover>,
}

impl Gate {
    /// The gate of a start in this epoch, registered on this timeline, where the database has this
    /// table of servers.
    pub(super) fn new(own: Incarnation, timeline: u32, epoch: &str, rows: &[ServerRow]) -> Self {
        let mut failover = Failover::new(0, own, timeline, epoch);
        failover.rows(0, timeline, epoch, rows);
        Self { started: Instant::now(), failover: Mutex::new(failover) }
    }

    /// A lane has opened a session.
    pub(super) fn opened(&self, timeline: u32) {
        let now_ms = self.now_ms();
        self.failover().on_timeline(now_ms, timeline);
    }

    /// A lane lacks its newest commit there.
    pub(super) fn missing(&self, timeline: u32) {
        self.failover().missing(timeline);
    }

    /// Whether a lane with a session on this timeline may append.
    pub(super) fn may_append(&self, timeline: u32) -> bool {
        self.failover().may_append(timeline)
    }

    /// Whether lanes wait: somebody has to look first for what is known to be stored.
    pub(super) fn is_shut(&self) -> bool {
        let failover = self.failover();
        !failover.may_append(failover.timeline())
    }

    /// Whether this is the newest timeline that this server knows of.
    pub(super) fn is_on(&self, timeline: u32) -> bool {
        self.failover().timeline() == timeline
    }

    /// The timeline on which this server has looked for its commits.
    pub(super) fn looked(&self) -> Option<u32> {
        self.failover().reported()
    }

    /// Takes an answer to a read of the feed: one snapshot on a timeline, in which the commits that
    /// this server knows of were looked for, if it had not looked there before. Returns the epoch that
    /// has ended, if commits are lost.
    pub(super) fn read(
        &self,
        timeline: u32,
        epoch: &str,
        rows: &[ServerRow],
        are_all_there: bool,
    ) -> Option<String> {
        let now_ms = self.now_ms();
        let mut failover = self.failover();
        failover.rows(now_ms, timeline, epoch, rows);
        failover.looked(timeline, Some(are_all_there));
        let mut ended = None;
        while let Some(output) = failover.next_output() {
            match output {
                // This read has looked. The feed compares each table that it reads with `looked`. And who
                // reads the feed sees the other epoch.
                FailoverOutput::Look { .. } | FailoverOutput::Report { .. } | FailoverOutput::Restart => {}
                FailoverOutput::EndEpoch { epoch } => ended = Some(epoch),
            }
        }
        ended
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn failover(&self) -> MutexGuard<'_, Failover> {
        // Nothing in it panics.
        self.failover.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

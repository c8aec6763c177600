//! What happens when another server of the database has taken over, and may lack commits.

use std::collections::VecDeque;

use crate::planted::{Planted, can_be_planted, planted};
use crate::{Incarnation, ServerRow};

/// Notices a failover that has lost commits, and ends the epoch then.
///
/// Postgres numbers its timelines: a standby that takes over begins a new one. Whoever has taken
/// commits looks for the newest of each writer ([`Sequencer::seen`](crate::Sequencer::seen)) on the
/// new timeline. If one is missing, numbers of lost entries will be given again, so the database
/// gets a new epoch, and all servers start afresh in it: clients get `recovered: false`.
///
/// No lane appends on the new timeline before all servers that live have looked. Else a number
/// could be given again under the old epoch to a client that knows the lost entry. A server that
/// lives writes its row every 500 ms; but while the database was away, nobody did. So all servers in
/// the table are waited for during the first 5 s on a timeline, and those with a fresh row from then
/// on. Another one looks when it comes back, and finds what is missing, then.
///
/// A server whose lanes may append says so in its row ([`ServerRow::opened`]), and nobody waits on
/// that timeline any more: see [`rows`](Self::rows).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Failover {
    own: Incarnation,
    epoch: String,
    timeline: u32,
    /// Since when this server knows the timeline.
    since_ms: u64,
    /// A lane lacks its newest commit there.
    is_missing: bool,
    /// All commits that this server knows of are on the timeline.
    has_looked: bool,
    is_looking: bool,
    /// All servers that live have looked.
    all_have_looked: bool,
    has_ended: bool,
    fresh_row_ms: u64,
    outputs: VecDeque<FailoverOutput>,
    planted: Planted,
}

/// What a [`Failover`] asks for.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum FailoverOutput {
    /// Look for the newest commit of each writer that this server has taken from, in a snapshot of
    /// this timeline, and answer with [`Failover::looked`].
    Look {
        /// The timeline.
        timeline: u32,
    },
    /// Write into this server's row that it has looked on this timeline.
    Report {
        /// The timeline.
        timeline: u32,
    },
    /// Give the database a new epoch, unless it has another one than this by now.
    EndEpoch {
        /// The epoch in which commits are lost.
        epoch: String,
    },
    /// The epoch has ended: close all sockets (1012) and start afresh. Nothing else is put out
    /// from here on.
    Restart,
}

can_be_planted!(Failover);

impl Failover {
    /// A server that starts on a timeline, in an epoch: it has taken nothing yet.
    pub fn new(now_ms: u64, own: Incarnation, timeline: u32, epoch: &str) -> Self {
        Self {
            own,
            epoch: epoch.to_owned(),
            timeline,
            since_ms: now_ms,
            is_missing: false,
            has_looked: true,
            is_looking: false,
            all_have_looked: false,
            has_ended: false,
            fresh_row_ms: 5_000,
            outputs: VecDeque::new(),
            planted: Planted::default(),
        }
    }

    /// A lane has opened a session on this timeline, or a poll was answered there. To be called
    /// before anything is done in that session.
    pub fn on_timeline(&mut self, now_ms: u64, timeline: u32) {
        if timeline == self.timeline || self.has_ended {
            return;
        }
        self.timeline = timeline;
        self.since_ms = now_ms;
        self.is_missing = false;
        self.all_have_looked = false;
        self.has_looked = planted!(self.planted, NewestNotLookedFor);
        self.is_looking = false;
        self.look();
    }

    /// The table of servers and the epoch were read, on this timeline.
    ///
    /// Where a row says that the barrier was open on this timeline, it is open here, too. The barrier
    /// keeps numbers that are lost from being given again before those who know of them have looked.
    /// From the moment when one server may append, numbers are given: the wait of another one
    /// would keep nothing back any more. So it does not matter whether the server of the row still lives,
    /// nor when it wrote that, nor what has become of those for whom it waited:
    ///
    /// - A server that was killed, before the failover or after it, can tell nobody of a lost commit.
    /// - A server that was frozen or cut off looks when it comes back, before its lanes append, and ends
    ///   the epoch if something is missing, as it would have to with one server that appends.
    /// - After one more failover the timeline is another one, of which no row says anything.
    /// - In a later epoch that began on this timeline, nothing is lost. One that began before ends on
    ///   it as any other.
    /// - No clock is compared. A row that was lost with a crash of the database, or removed after its
    ///   ten minutes, only means that a server waits that need not.
    ///
    /// The first server whose barrier opens on a timeline has waited for all others. A program of before
    /// this rule writes 0.
    pub fn rows(&mut self, now_ms: u64, timeline: u32, epoch: &str, rows: &[ServerRow]) {
        if self.has_ended {
            return;
        }
        if epoch != self.epoch {
            self.has_ended = true;
            self.outputs.push_back(FailoverOutput::Restart);
            return;
        }
        self.on_timeline(now_ms, timeline);
        let is_new = now_ms < self.since_ms + self.fresh_row_ms;
        let lives = |row: &&ServerRow| !row.has_left && (is_new || row.age_ms < self.fresh_row_ms);
        // A program of before this rule looks on no timeline.
        let takes_part = |row: &&ServerRow| row.looked != 0 && row.incarnation != self.own;
        let mut others = rows.iter().filter(lives).filter(takes_part);
        // The barrier stays open: a server that starts later has nothing to look for.
        self.all_have_looked |=
            rows.iter().any(|row| row.opened == timeline) || others.all(|row| row.looked == timeline);
        self.look();
    }

    /// The commits that this server has taken were looked for on a timeline. `None`: it could not
    /// be read, and is tried again.
    pub fn looked(&mut self, timeline: u32, are_all_there: Option<bool>) {
        if timeline != self.timeline || self.has_ended || !self.is_looking {
            return;
        }
        self.is_looking = false;
        match are_all_there.map(|are_all_there| are_all_there && !self.is_missing) {
            Some(true) => {
                self.has_looked = true;
                self.outputs.push_back(FailoverOutput::Report { timeline });
            }
            Some(false) => self.outputs.push_back(FailoverOutput::EndEpoch { epoch: self.epoch.clone() }),
            None => {}
        }
    }

    /// A lane lacks its newest acknowledged commit on a timeline.
    pub fn missing(&mut self, timeline: u32) {
        if timeline != self.timeline || self.has_ended || planted!(self.planted, NewestNotLookedFor) {
            return;
        }
        self.is_missing = true;
        self.has_looked = false;
        self.look();
    }

    /// Whether lanes may append now, on the timeline that they have a session on.
    pub fn may_append(&self, timeline: u32) -> bool {
        let may = self.has_looked && (self.all_have_looked || planted!(self.planted, NoBarrier));
        timeline == self.timeline && may && !self.has_ended
    }

    /// The timeline that the database was last seen on.
    pub fn timeline(&self) -> u32 {
        self.timeline
    }

    /// The timeline on which this server has looked, for its row; `None` before it has.
    pub fn reported(&self) -> Option<u32> {
        self.has_looked.then_some(self.timeline)
    }

    /// What is to be done next.
    pub fn next_output(&mut self) -> Option<FailoverOutput> {
        self.outputs.pop_front()
    }

    fn look(&mut self) {
        if !self.has_looked && !self.is_looking {
            self.is_looking = true;
            self.outputs.push_back(FailoverOutput::Look { timeline: self.timeline });
        }
    }
}

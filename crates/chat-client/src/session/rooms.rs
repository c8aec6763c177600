//! Rooms: joining them, resuming where the application was, and leaving.

use super::requests::Expected;
use super::{ConnectionPhase, Refused, Session};
use crate::frame::{Item, Joined, Refusal, Request};
use crate::{Event, Topic};

/// A room that the application joined.
#[derive(Debug, Default)]
pub(super) struct Room {
    phase: Phase,
    /// The number of its last entry when it was joined.
    last_seq: u64,
    /// A folded replay of it is arriving, in which numbers are missing.
    is_folded: bool,
    /// It is to be left once every send to it is answered.
    leaving: bool,
    /// It is to be joined again once it is left.
    rejoin: bool,
    /// When a missing entry last made the session join it again.
    resynced_ms: Option<u64>,
    /// Temporary refusals of a join, in a row.
    failures: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Not joined; a join may be requested from this time on.
    Out {
        from_ms: u64,
    },
    /// A join was requested, with this `ref`.
    Joining(u64),
    In,
    /// Leaving was requested, with this `ref`.
    Leaving(u64),
}

impl Default for Phase {
    fn default() -> Self {
        Self::Out { from_ms: 0 }
    }
}

impl Session {
    /// Joins a room, and joins it again after each loss of the connection, until it
    /// is [left](Self::leave). Does nothing if the room is joined already.
    ///
    /// # Errors
    ///
    /// [`Refused::TooManyRooms`].
    pub fn join(&mut self, now_ms: u64, room: &str) -> Result<(), Refused> {
        let (rooms, max) = (self.rooms.len(), self.options.rooms_max);
        match self.rooms.get_mut(room) {
            Some(Room { phase: Phase::Leaving(_), rejoin, .. }) => *rejoin = true,
            Some(known) => known.leaving = false,
            None if rooms >= max => return Err(Refused::TooManyRooms { max }),
            None => {
                self.rooms.insert(room.to_owned(), Room::default());
                self.rooms_due.insert(room.to_owned());
            }
        }
        self.send_due(now_ms);
        Ok(())
    }

    /// Leaves a room once every send to it is answered; [`Event::Left`] follows. How
    /// far the application has seen the room is forgotten.
    pub fn leave(&mut self, now_ms: u64, room: &str) {
        let Some(known) = self.rooms.get_mut(room) else { return };
        (known.leaving, known.rejoin) = (true, false);
        self.rooms_due.insert(room.to_owned());
        if !self.is_online() {
            self.send_room_requests(now_ms);
        }
        self.send_due(now_ms);
    }

    /// Whether a room is joined on the present connection.
    pub fn is_in(&self, room: &str) -> bool {
        self.rooms.get(room).is_some_and(|room| room.phase == Phase::In)
    }

    /// Whether a message to this room is accepted.
    pub(super) fn accepts_sends(&self, room: &str) -> bool {
        self.rooms
            .get(room)
            .is_some_and(|room| if let Phase::Leaving(_) = room.phase { room.rejoin } else { !room.leaving })
    }

    /// When the next join is due.
    pub(super) fn next_room_ms(&self) -> u64 {
        let times = self.rooms_due.iter().filter_map(|room| match self.rooms.get(room)?.phase {
            Phase::Out { from_ms } => Some(from_ms),
            _ => None,
        });
        times.min().unwrap_or(u64::MAX)
    }

    /// Sends the joins and leaves that are due.
    pub(super) fn send_room_requests(&mut self, now_ms: u64) {
        if self.rooms_due.is_empty() {
            return;
        }
        let is_up = matches!(self.connection, ConnectionPhase::Up { .. });
        let due: Vec<String> = self.rooms_due.iter().cloned().collect();
        for name in due {
            let Some(room) = self.rooms.get(&name) else {
                self.rooms_due.remove(&name);
                continue;
            };
            let is_left = room.leaving && !self.outbox.has_room(&name);
            match room.phase {
                Phase::Out { .. } if is_left => self.forget_room(&name),
                Phase::Out { from_ms } if is_up && from_ms <= now_ms => {
                    self.rooms_due.remove(&name);
                    self.request_join(&name, now_ms);
                }
                Phase::Joining(_) | Phase::In if is_up && is_left => {
                    self.rooms_due.remove(&name);
                    let reference = self.request_leave(&name, now_ms);
                    self.set_phase(&name, Phase::Leaving(reference));
                }
                Phase::Out { .. } => {}
                Phase::Joining(_) | Phase::In if room.leaving => {}
                Phase::Joining(_) | Phase::In | Phase::Leaving(_) => {
                    self.rooms_due.remove(&name);
                }
            }
        }
    }

    fn request_join(&mut self, name: &str, now_ms: u64) {
        let reference = self.expect(Expected::Joined(name.to_owned()), now_ms);
        let leaves = self.rooms.get(name).is_some_and(|room| room.leaving);
        if leaves {
            // It is left when its last send is answered.
            self.rooms_due.insert(name.to_owned());
        }
        let seen = self.seen.room(name).and_then(|seen| Some((seen.seq?, seen.epoch.clone())));
        let (since, epoch) = seen.unzip();
        self.transmit(&Request::Join {
            room: name,
            since,
            epoch: epoch.as_deref(),
            limit: self.options.join_limit,
            fold: self.options.fold && since.is_none(),
            reference: reference.to_string(),
        });
        self.set_phase(name, Phase::Joining(reference));
    }

    fn request_leave(&mut self, name: &str, now_ms: u64) -> u64 {
        let reference = self.expect(Expected::Left(name.to_owned()), now_ms);
        self.transmit(&Request::Leave { room: name, reference: reference.to_string() });
        reference
    }

    pub(super) fn joined(&mut self, joined: Joined, now_ms: u64) {
        let Joined { room: name, epoch, seq, from, recovered, online, members, reference } = joined;
        self.complete(reference, now_ms);
        let Some(room) = self.rooms.get_mut(&name) else { return };
        if reference.is_none_or(|reference| room.phase != Phase::Joining(reference)) {
            return;
        }
        (room.phase, room.last_seq, room.failures) = (Phase::In, seq, 0);
        room.is_folded = from.is_some();
        if !recovered && self.seen.room(&name).is_some() {
            self.emit(Event::Reset { topic: Topic::Room(name.clone()) });
        }
        self.emit(Event::Joined { room: name, epoch, seq, recovered, online, members });
    }

    /// Takes the end of a folded replay.
    pub(super) fn replayed(&mut self, name: String, upto: u64) {
        let Some(room) = self.rooms.get_mut(&name).filter(|room| room.phase == Phase::In) else { return };
        if std::mem::take(&mut room.is_folded) {
            self.emit(Event::Replayed { room: name, upto });
        }
    }

    pub(super) fn join_refused(
        &mut self,
        name: String,
        reference: Option<u64>,
        refusal: Refusal,
        now_ms: u64,
    ) {
        let Some(room) = self.rooms.get_mut(&name) else { return };
        if reference.is_none_or(|reference| room.phase != Phase::Joining(reference)) {
            return;
        }
        let is_in = refusal.code == "already_joined";
        if is_in || refusal.is_retryable() {
            let failures = room.failures;
            room.failures += 1;
            if is_in {
                // Which entries the server sent to this client before is unknown.
                self.request_leave(&name, now_ms);
            }
            let from_ms = self.retry_at_ms(&refusal, failures, now_ms);
            self.join_again_at(&name, from_ms);
            return;
        }
        let Refusal { code, message, .. } = refusal;
        self.rooms.remove(&name);
        self.rooms_due.remove(&name);
        self.fail_sends_to_room(&name, &code, &message);
        self.emit(Event::NotJoined { room: name, code, message });
    }

    pub(super) fn left(&mut self, name: &str, reference: Option<u64>) {
        let phase = self.rooms.get(name).map(|room| room.phase);
        if let (Some(Phase::Leaving(expected)), Some(reference)) = (phase, reference)
            && expected == reference
        {
            self.forget_room(name);
        }
    }

    /// The server has ended a room, for a user who may not read it any more: it is not
    /// joined again. Sends that are on their way still have their answers.
    pub(super) fn ended(&mut self, name: String, reason: String) {
        if self.rooms.remove(&name).is_some() {
            self.rooms_due.remove(&name);
            self.fail_waiting_sends_to_room(&name);
            self.emit(Event::Left { room: name, reason: Some(reason) });
        }
    }

    /// Takes an entry of a room.
    pub(super) fn room_entry(&mut self, name: String, seq: u64, item: Item, now_ms: u64) {
        let Some(room) = self.rooms.get(&name) else { return };
        match room.phase {
            Phase::In => {}
            Phase::Leaving(_) => return self.entry_while_leaving(name, seq, item),
            Phase::Out { .. } | Phase::Joining(_) => return,
        }
        let (seen, last_seq) = (self.seen.room(&name).and_then(|seen| seen.seq), room.last_seq);
        let is_folded = room.is_folded && seq <= last_seq;
        let is_next = match seen {
            Some(seen) if seq <= seen => return,
            Some(seen) => is_folded || seq == seen + 1,
            None => seq <= last_seq + 1,
        };
        if !is_next {
            return self.resync(&name, now_ms);
        }
        self.emit(item.event(Topic::Room(name), seq));
    }

    /// Takes an entry that the server sent before it took note that this client leaves the
    /// room: the `activity` of the room continues behind it.
    fn entry_while_leaving(&mut self, room: String, seq: u64, item: Item) {
        let top = self.account.top(&Topic::Room(room.clone()));
        if let Item::Message(entry) = item
            && top.is_some_and(|top| top < seq)
        {
            let (new, mentions) = self.account.counts_of(&entry);
            self.emit(Event::Activity { room, top: seq, at: entry.timestamp, new, mentions });
        }
    }

    /// Joins a room again, from the last seen entry on, as entries are missing.
    pub(super) fn resync(&mut self, name: &str, now_ms: u64) {
        let Some(room) = self.rooms.get_mut(name).filter(|room| room.phase == Phase::In) else { return };
        let last_ms = room.resynced_ms.replace(now_ms);
        let from_ms = last_ms.map_or(now_ms, |last_ms| now_ms.max(last_ms + RESYNC_EVERY_MS));
        self.request_leave(name, now_ms);
        self.join_again_at(name, from_ms);
    }

    fn join_again_at(&mut self, name: &str, from_ms: u64) {
        self.set_phase(name, Phase::Out { from_ms });
        self.rooms_due.insert(name.to_owned());
    }

    fn set_phase(&mut self, name: &str, phase: Phase) {
        if let Some(room) = self.rooms.get_mut(name) {
            room.phase = phase;
        }
    }

    /// Ends a room that was left, and joins it again if that is wanted.
    fn forget_room(&mut self, name: &str) {
        let Some(room) = self.rooms.remove(name) else { return };
        self.rooms_due.remove(name);
        self.emit(Event::Left { room: name.to_owned(), reason: None });
        if room.rejoin || self.outbox.has_room(name) {
            // A message may have been accepted between a join and the leave after it.
            self.rooms.insert(name.to_owned(), Room { leaving: !room.rejoin, ..Room::default() });
            self.rooms_due.insert(name.to_owned());
        }
    }

    pub(super) fn rooms_lost_connection(&mut self) {
        let names: Vec<String> = self.rooms.keys().cloned().collect();
        for name in names {
            let Some(room) = self.rooms.get_mut(&name) else { continue };
            if let Phase::Leaving(_) = room.phase {
                self.forget_room(&name);
            } else {
                room.phase = Phase::Out { from_ms: 0 };
                self.rooms_due.insert(name);
            }
        }
    }
}

/// A room in which entries are missing again and again is joined at most this often.
const RESYNC_EVERY_MS: u64 = 1_000;

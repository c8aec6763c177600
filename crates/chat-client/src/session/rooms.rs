//! Rooms: joining them, going on where one was, and leaving.

use super::requests::Expected;
use super::{Link, Refused, Session};
use crate::frame::{Joined, Refusal, Request};
use crate::{Entry, Event, Place};

/// A room that one is in, or wants to be.
#[derive(Debug, Default)]
pub(super) struct Room {
    phase: Phase,
    /// How far it was when it was joined.
    top: u64,
    /// To be left once what was sent to it is answered.
    leaving: bool,
    /// To be joined anew once it is left.
    returning: bool,
    /// When a hole made us come in anew the last time.
    resynced_ms: Option<u64>,
    /// Requests to join in a row that were refused for now.
    failures: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Not in it; to be joined from this time on.
    Out {
        from_ms: u64,
    },
    /// Asked for, by this `ref`.
    Joining(u64),
    In,
    /// Asked to be let out, by this `ref`.
    Leaving(u64),
}

impl Default for Phase {
    fn default() -> Self {
        Self::Out { from_ms: 0 }
    }
}

impl Session {
    /// Joins a room, and joins it again after each loss of the connection,
    /// until it is [left](Self::leave). Nothing happens if that was asked for
    /// already.
    ///
    /// # Errors
    ///
    /// [`Refused::TooManyRooms`].
    pub fn join(&mut self, now_ms: u64, room: &str) -> Result<(), Refused> {
        let (rooms, max) = (self.rooms.len(), self.options.rooms_max);
        match self.rooms.get_mut(room) {
            Some(Room { phase: Phase::Leaving(_), returning, .. }) => *returning = true,
            Some(known) => known.leaving = false,
            None if rooms >= max => return Err(Refused::TooManyRooms { max }),
            None => {
                self.rooms.insert(room.to_owned(), Room::default());
                self.rooms_due.insert(room.to_owned());
            }
        }
        self.go_on(now_ms);
        Ok(())
    }

    /// Leaves a room, behind what was sent to it: [`Event::Left`] says when.
    /// What was seen of it is forgotten.
    pub fn leave(&mut self, now_ms: u64, room: &str) {
        let Some(known) = self.rooms.get_mut(room) else { return };
        (known.leaving, known.returning) = (true, false);
        self.rooms_due.insert(room.to_owned());
        if !self.is_online() {
            self.go_on_with_rooms(now_ms);
        }
        self.go_on(now_ms);
    }

    /// Whether a room is joined on the present connection.
    pub fn is_in(&self, room: &str) -> bool {
        self.rooms.get(room).is_some_and(|room| room.phase == Phase::In)
    }

    /// Whether something may be sent to a room.
    pub(super) fn is_wanted(&self, room: &str) -> bool {
        self.rooms.get(room).is_some_and(|room| {
            if let Phase::Leaving(_) = room.phase { room.returning } else { !room.leaving }
        })
    }

    pub(super) fn next_room_ms(&self) -> u64 {
        let times = self.rooms_due.iter().filter_map(|room| match self.rooms.get(room)?.phase {
            Phase::Out { from_ms } => Some(from_ms),
            _ => None,
        });
        times.min().unwrap_or(u64::MAX)
    }

    pub(super) fn go_on_with_rooms(&mut self, now_ms: u64) {
        if self.rooms_due.is_empty() {
            return;
        }
        let is_up = matches!(self.link, Link::Up { .. });
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
                    self.ask_to_join(&name, now_ms);
                }
                Phase::Joining(_) | Phase::In if is_up && is_left => {
                    self.rooms_due.remove(&name);
                    let reference = self.ask_to_leave(&name, now_ms);
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

    fn ask_to_join(&mut self, name: &str, now_ms: u64) {
        let reference = self.expect(Expected::Joined(name.to_owned()), now_ms);
        let leaves = self.rooms.get(name).is_some_and(|room| room.leaving);
        if leaves {
            // Looked at again when its last send is answered.
            self.rooms_due.insert(name.to_owned());
        }
        let seen = self.seen.room(name).and_then(|seen| Some((seen.seq?, seen.epoch.clone())));
        let (since, epoch) = seen.unzip();
        self.transmit(&Request::Join {
            room: name,
            since,
            epoch: epoch.as_deref(),
            reference: reference.to_string(),
        });
        self.set_phase(name, Phase::Joining(reference));
    }

    fn ask_to_leave(&mut self, name: &str, now_ms: u64) -> u64 {
        let reference = self.expect(Expected::Left(name.to_owned()), now_ms);
        self.transmit(&Request::Leave { room: name, reference: reference.to_string() });
        reference
    }

    pub(super) fn joined(&mut self, joined: Joined, now_ms: u64) {
        let Joined { room: name, epoch, seq, recovered, online, members, reference } = joined;
        self.answered(reference, now_ms);
        let Some(room) = self.rooms.get_mut(&name) else { return };
        if reference.is_none_or(|reference| room.phase != Phase::Joining(reference)) {
            return;
        }
        (room.phase, room.top, room.failures) = (Phase::In, seq, 0);
        if !recovered && self.seen.room(&name).is_some() {
            self.tell(Event::Reset { place: Place::Room(name.clone()) });
        }
        self.tell(Event::Joined { room: name, epoch, seq, recovered, online, members });
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
                // The server has us there, but from when on is not known.
                self.ask_to_leave(&name, now_ms);
            }
            let from_ms = self.retry_ms(&refusal, failures, now_ms);
            self.out_until(&name, from_ms);
            return;
        }
        let Refusal { code, message, .. } = refusal;
        self.rooms.remove(&name);
        self.rooms_due.remove(&name);
        self.give_up_outbox_of_room(&name, &code, &message);
        self.tell(Event::NotJoined { room: name, code, message });
    }

    pub(super) fn left(&mut self, name: &str, reference: Option<u64>) {
        let phase = self.rooms.get(name).map(|room| room.phase);
        if let (Some(Phase::Leaving(expected)), Some(reference)) = (phase, reference)
            && expected == reference
        {
            self.forget_room(name);
        }
    }

    /// An entry of a room came; `None`: of an unknown kind.
    pub(super) fn room_entry(&mut self, name: String, seq: u64, entry: Option<Entry>, now_ms: u64) {
        let Some(room) = self.rooms.get(&name).filter(|room| room.phase == Phase::In) else { return };
        let (seen, top) = (self.seen.room(&name).and_then(|seen| seen.seq), room.top);
        let is_next = match seen {
            Some(seen) if seq <= seen => return,
            Some(seen) => seq == seen + 1,
            None => seq <= top + 1,
        };
        if !is_next {
            return self.resync(&name, now_ms);
        }
        let place = Place::Room(name);
        match entry {
            Some(entry) => self.tell(Event::Message { place, entry }),
            None => self.seen.advance(&place, seq),
        }
    }

    /// Something is missing before what just came: comes in anew, behind what
    /// was seen.
    pub(super) fn resync(&mut self, name: &str, now_ms: u64) {
        let Some(room) = self.rooms.get_mut(name).filter(|room| room.phase == Phase::In) else { return };
        let last_ms = room.resynced_ms.replace(now_ms);
        let from_ms = last_ms.map_or(now_ms, |last_ms| now_ms.max(last_ms + RESYNC_EVERY_MS));
        self.ask_to_leave(name, now_ms);
        self.out_until(name, from_ms);
    }

    fn out_until(&mut self, name: &str, from_ms: u64) {
        self.set_phase(name, Phase::Out { from_ms });
        self.rooms_due.insert(name.to_owned());
    }

    fn set_phase(&mut self, name: &str, phase: Phase) {
        if let Some(room) = self.rooms.get_mut(name) {
            room.phase = phase;
        }
    }

    /// The room is left.
    fn forget_room(&mut self, name: &str) {
        let Some(room) = self.rooms.remove(name) else { return };
        self.rooms_due.remove(name);
        self.tell(Event::Left { room: name.to_owned() });
        if room.returning || self.outbox.has_room(name) {
            // Something may have been sent before one thought better of returning.
            self.rooms.insert(name.to_owned(), Room { leaving: !room.returning, ..Room::default() });
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

/// A room that has holes again and again is not joined more often.
const RESYNC_EVERY_MS: u64 = 1_000;

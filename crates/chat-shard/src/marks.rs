//! The marks of users that wait to be stored, as a plain value.

use std::collections::{HashMap, VecDeque};

use chat_core::{Level, Topic, UserMark, Username};

use crate::planted::{Planted, planted};

/// The marks of users that wait to be stored, one for each user and topic.
///
/// A hub puts out a mark at most once a second for each user and topic; here the marks of
/// all hubs wait for the next write. Their number is bounded: past it, the oldest marks
/// are dropped, and clients say them again after `hello`.
///
/// It has no lock, task or clock: the server shares it between threads, and the
/// simulator runs it as it is.
pub struct Marks {
    max: usize,
    waiting: HashMap<(Username, Topic), Mark>,
    /// The keys of `waiting`, the one that has waited longest first.
    order: VecDeque<(Username, Topic)>,
    dropped: u64,
    planted: Planted,
}

/// What is to be stored for one user and topic.
struct Mark {
    read: Option<u64>,
    level: Option<Level>,
}

/// The number of marks that may wait to be stored.
pub const MARKS_MAX: usize = 65_536;

impl Marks {
    /// None, and room for so many (at least 1).
    pub fn new(max: usize) -> Self {
        Self {
            max: max.max(1),
            waiting: HashMap::new(),
            order: VecDeque::new(),
            dropped: 0,
            planted: Planted::default(),
        }
    }

    /// The same with a bug on purpose.
    #[cfg(feature = "planted-bugs")]
    #[must_use]
    pub fn with_bug(self, bug: Option<crate::PlantedBug>) -> Self {
        Self { planted: bug, ..self }
    }

    /// Adds a mark. Of marks of the same user and topic, the highest number and the last
    /// level remain.
    pub fn add(&mut self, mark: UserMark) {
        let UserMark { user, topic, read, level } = mark;
        let key = (user, topic);
        if let Some(known) = self.waiting.get_mut(&key) {
            known.read = known.read.max(read);
            if planted!(self.planted, LastMarkWins) {
                known.read = read;
            }
            known.level = level.or(known.level);
            return;
        }
        if self.order.len() >= self.max
            && let Some(oldest) = self.order.pop_front()
        {
            self.waiting.remove(&oldest);
            self.dropped += 1;
        }
        self.order.push_back(key.clone());
        self.waiting.insert(key, Mark { read, level });
    }

    /// Takes at most `max` marks, those that have waited longest first. After a failure
    /// they are [put back](Self::put_back).
    pub fn take(&mut self, max: usize) -> Vec<UserMark> {
        let keys = self.order.drain(..max.min(self.order.len()));
        let marks = keys.filter_map(|key| {
            let Mark { read, level } = self.waiting.remove(&key)?;
            let (user, topic) = key;
            Some(UserMark { user, topic, read, level })
        });
        marks.collect()
    }

    /// Has marks that were taken and not stored wait again, before all others. Marks that
    /// came meanwhile are newer.
    pub fn put_back(&mut self, marks: Vec<UserMark>) {
        for UserMark { user, topic, read, level } in marks.into_iter().rev() {
            let key = (user, topic);
            if let Some(newer) = self.waiting.get_mut(&key) {
                newer.read = newer.read.max(read);
                newer.level = newer.level.or(level);
            } else if self.order.len() < self.max {
                self.order.push_front(key.clone());
                self.waiting.insert(key, Mark { read, level });
            } else {
                self.dropped += 1;
            }
        }
    }

    /// Whether no mark waits.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The number of marks that wait.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// How many marks were dropped since the beginning.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use chat_core::RoomName;

    use super::*;

    fn mark(user: &str, read: impl Into<Option<u64>>, level: Option<Level>) -> UserMark {
        let user = Username::known(user).unwrap();
        UserMark { user, topic: Topic::Room(RoomName::default()), read: read.into(), level }
    }

    fn read(user: &str, read: u64) -> UserMark {
        mark(user, read, None)
    }

    #[test]
    fn the_highest_number_and_the_last_level_of_a_topic_are_stored_once() {
        let mut marks = Marks::new(10);
        marks.add(read("alice", 5));
        marks.add(mark("alice", None, Some(Level::All)));
        marks.add(read("bob", 1));
        marks.add(read("alice", 3));
        marks.add(mark("alice", 4, Some(Level::None)));
        assert_eq!(marks.take(10), [mark("alice", 5, Some(Level::None)), read("bob", 1)]);
        assert!(marks.is_empty());
    }

    #[test]
    fn marks_that_were_not_stored_wait_again_below_newer_ones() {
        let mut marks = Marks::new(10);
        marks.add(mark("alice", 5, Some(Level::All)));
        marks.add(mark("bob", 7, Some(Level::All)));
        marks.add(read("carol", 1));
        let taken = marks.take(2);
        marks.add(mark("bob", 6, Some(Level::None)));
        marks.put_back(taken);
        assert_eq!(
            marks.take(10),
            [mark("alice", 5, Some(Level::All)), read("carol", 1), mark("bob", 7, Some(Level::None))]
        );
    }

    #[test]
    fn past_the_maximum_the_oldest_marks_are_dropped() {
        let mut marks = Marks::new(2);
        for user in ["alice", "bob", "carol"] {
            marks.add(read(user, 1));
        }
        marks.add(read("bob", 2));
        assert_eq!((marks.len(), marks.dropped()), (2, 1));
        let taken = marks.take(1);
        assert_eq!(taken, [read("bob", 2)]);
        marks.add(read("dave", 1));
        marks.put_back(taken);
        assert_eq!((marks.take(10), marks.dropped()), (vec![read("carol", 1), read("dave", 1)], 2));
    }
}

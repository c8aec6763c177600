//! Who may work next: permits that the names get in turn.

use std::collections::{HashMap, VecDeque};

use tokio::sync::oneshot;

/// The limits of one line of waiting requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    /// How many requests may wait.
    pub waiting_max: usize,
    /// How many requests of one name may wait.
    pub waiting_of_one_max: usize,
}

/// Permits, and the requests that wait for one. The names that wait in a line get their turns
/// one after another, each for the oldest of its requests, so that a name with many requests
/// waits for them, and no other does.
///
/// Three turns of four go to the first line that waits; of the others, three of four to the
/// first one after the first line, and so on: a flood in one line stops no other.
///
/// A plain value: [`TurnQueue`](crate::TurnQueue) holds it behind a lock.
pub(crate) struct Turns<T> {
    free: usize,
    lines: Vec<WaitingLine<T>>,
    /// How many turns were given to requests that had waited.
    given: u64,
}

/// The requests that wait in one line.
struct WaitingLine<T> {
    limits: Line,
    waiting: HashMap<String, VecDeque<oneshot::Sender<T>>>,
    /// The names that wait, each once; the next one is in front.
    order: VecDeque<String>,
}

/// What becomes of a request.
pub(crate) enum Arrival<T> {
    /// There is a free permit, which is taken.
    Now,
    /// The request waits until the receiver gets its turn. If the sender is dropped, the
    /// request has lost its place to that of another name.
    Later(oneshot::Receiver<T>),
    /// No place is left in the line.
    Full,
}

impl<T> Turns<T> {
    pub(crate) fn new(permits: usize, lines: &[Line]) -> Self {
        assert!(!lines.is_empty(), "requests wait somewhere");
        let line =
            |limits: &Line| WaitingLine { limits: *limits, waiting: HashMap::new(), order: VecDeque::new() };
        Self { free: permits, lines: lines.iter().map(line).collect(), given: 0 }
    }

    /// A request of a name. In a full line, it takes the place of the newest request of
    /// the name that has the most, if that name has at least two more than this one.
    pub(crate) fn arrive(&mut self, line: usize, who: &str) -> Arrival<T> {
        if self.free > 0 {
            self.free -= 1;
            return Arrival::Now;
        }
        self.lines[line].arrive(who)
    }

    /// A permit is given back: the request that gets it next. `None` if nobody waits; the
    /// permit is then free.
    pub(crate) fn next(&mut self) -> Option<oneshot::Sender<T>> {
        // 0 for three of four turns, 1 for three of four others, …
        let first = (((self.given + 1).trailing_zeros() / 2) as usize).min(self.lines.len() - 1);
        let (before, after) = self.lines.split_at_mut(first);
        let Some(next) = after.iter_mut().chain(before).find_map(WaitingLine::next) else {
            self.free += 1;
            return None;
        };
        self.given += 1;
        Some(next)
    }

    /// The number of requests that wait.
    pub(crate) fn len(&self) -> usize {
        self.lines.iter().map(WaitingLine::len).sum()
    }
}

impl<T> WaitingLine<T> {
    fn arrive(&mut self, who: &str) -> Arrival<T> {
        let own = |line: &Self| line.waiting.get(who).map_or(0, VecDeque::len);
        if self.len() >= self.limits.waiting_max || own(self) >= self.limits.waiting_of_one_max {
            self.forget_gone();
        }
        if own(self) >= self.limits.waiting_of_one_max
            || (self.len() >= self.limits.waiting_max && !self.make_room(own(self)))
        {
            return Arrival::Full;
        }
        let (turn, waits) = oneshot::channel();
        let requests = self.waiting.entry(who.to_owned()).or_default();
        if requests.is_empty() {
            self.order.push_back(who.to_owned());
        }
        requests.push_back(turn);
        Arrival::Later(waits)
    }

    fn next(&mut self) -> Option<oneshot::Sender<T>> {
        while let Some(who) = self.order.pop_front() {
            let Some(requests) = self.waiting.get_mut(&who) else { continue };
            let next = requests.pop_front();
            if requests.is_empty() {
                self.waiting.remove(&who);
            } else {
                self.order.push_back(who);
            }
            match next {
                Some(next) if !next.is_closed() => return Some(next),
                _ => {}
            }
        }
        None
    }

    fn len(&self) -> usize {
        self.waiting.values().map(VecDeque::len).sum()
    }

    /// Removes requests whose clients have gone.
    fn forget_gone(&mut self) {
        self.waiting.retain(|_, requests| {
            requests.retain(|request| !request.is_closed());
            !requests.is_empty()
        });
        self.order.retain(|who| self.waiting.contains_key(who));
    }

    fn make_room(&mut self, own: usize) -> bool {
        let most = self.waiting.values_mut().max_by_key(|requests| requests.len());
        match most {
            // Of that name's requests at least one is left.
            Some(requests) if requests.len() > own + 1 => requests.pop_back().is_some(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(waiting_max: usize) -> Line {
        Line { waiting_max, waiting_of_one_max: waiting_max }
    }

    /// The order in which the requests get their turns, of which each is named after its
    /// name.
    fn served(turns: &mut Turns<()>, waits: &mut Vec<(String, oneshot::Receiver<()>)>) -> Vec<String> {
        let mut served = Vec::new();
        while let Some(next) = turns.next() {
            next.send(()).unwrap();
            let index = waits.iter_mut().position(|(_, wait)| wait.try_recv() == Ok(())).unwrap();
            served.push(waits.remove(index).0);
        }
        served
    }

    fn wait(turns: &mut Turns<()>, waits: &mut Vec<(String, oneshot::Receiver<()>)>, user: &str) -> bool {
        match turns.arrive(0, user) {
            Arrival::Later(later) => {
                waits.push((user.to_owned(), later));
                true
            }
            Arrival::Full => false,
            Arrival::Now => panic!("no permit is free"),
        }
    }

    #[test]
    fn names_get_their_turns_one_after_another() {
        let (mut turns, mut waits) = (Turns::new(1, &[line(100)]), Vec::new());
        assert!(matches!(turns.arrive(0, "a"), Arrival::Now));
        for user in ["a", "a", "a", "b", "a", "c", "b"] {
            assert!(wait(&mut turns, &mut waits, user));
        }
        assert_eq!(served(&mut turns, &mut waits), ["a", "b", "c", "a", "b", "a", "a"]);
        assert!(matches!(turns.arrive(0, "a"), Arrival::Now), "the permit is free again");
    }

    #[test]
    fn a_full_queue_takes_places_from_the_name_that_has_the_most() {
        let (mut turns, mut waits) = (Turns::new(1, &[line(4)]), Vec::new());
        assert!(matches!(turns.arrive(0, "a"), Arrival::Now));
        for _ in 0..4 {
            assert!(wait(&mut turns, &mut waits, "a"));
        }
        assert!(!wait(&mut turns, &mut waits, "a"), "not from oneself");
        assert!(wait(&mut turns, &mut waits, "b") && wait(&mut turns, &mut waits, "c"));
        assert!(!wait(&mut turns, &mut waits, "b"), "b would have as many as a");
        waits.retain_mut(|(_, wait)| wait.try_recv() != Err(oneshot::error::TryRecvError::Closed));
        assert_eq!(served(&mut turns, &mut waits), ["a", "b", "c", "a"]);
    }

    #[test]
    fn a_request_whose_client_has_gone_is_passed_over() {
        let (mut turns, mut waits) = (Turns::new(1, &[line(2)]), Vec::new());
        assert!(matches!(turns.arrive(0, "a"), Arrival::Now));
        assert!(wait(&mut turns, &mut waits, "a") && wait(&mut turns, &mut waits, "b"));
        waits.remove(0);
        assert!(wait(&mut turns, &mut waits, "c"), "its place is free");
        waits.remove(0);
        assert_eq!(served(&mut turns, &mut waits), ["c"]);
        assert_eq!(turns.len(), 0);
    }

    #[test]
    fn one_name_has_only_some_places() {
        let limits = Line { waiting_max: 100, waiting_of_one_max: 2 };
        let (mut turns, mut waits) = (Turns::new(1, &[limits]), Vec::new());
        assert!(matches!(turns.arrive(0, "a"), Arrival::Now));
        assert!(wait(&mut turns, &mut waits, "a") && wait(&mut turns, &mut waits, "a"));
        assert!(!wait(&mut turns, &mut waits, "a") && wait(&mut turns, &mut waits, "b"));
        waits.remove(0);
        assert!(wait(&mut turns, &mut waits, "a"), "the client of the first has gone");
    }

    #[test]
    fn the_first_line_goes_first_and_every_line_gets_turns() {
        let mut turns = Turns::new(1, &[line(64), line(64), line(64)]);
        assert!(matches!(turns.arrive(0, "a"), Arrival::Now));
        let mut waits = Vec::new();
        for number in 0..64 {
            for line in 0..3 {
                let Arrival::Later(wait) = turns.arrive(line, &number.to_string()) else { panic!("full") };
                waits.push((line, wait));
            }
        }
        let mut served = [0; 3];
        for _ in 0..64 {
            turns.next().unwrap().send(()).unwrap();
            let index = waits.iter_mut().position(|(_, wait)| wait.try_recv() == Ok(())).unwrap();
            served[waits.remove(index).0] += 1;
        }
        assert_eq!(served, [48, 12, 4]);
        while let Some(next) = turns.next() {
            next.send(()).unwrap();
        }
        assert_eq!(turns.len(), 0);
    }
}

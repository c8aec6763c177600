//! Who may work next: permits that the users get in turn.

use std::collections::{HashMap, VecDeque};

use tokio::sync::oneshot;

/// Permits, and the requests that wait for one. The users that wait get their turns one
/// after another, each for the oldest of their requests, so that a user with many requests
/// waits for them, and nobody else does.
///
/// A plain value: [`PictureQueue`](crate::PictureQueue) holds it behind a lock.
pub(crate) struct Turns<T> {
    free: usize,
    waiting_max: usize,
    waiting: HashMap<String, VecDeque<oneshot::Sender<T>>>,
    /// The users that wait, each once; the next one is in front.
    order: VecDeque<String>,
}

/// What becomes of a request.
pub(crate) enum Arrival<T> {
    /// There is a free permit, which is taken.
    Now,
    /// The request waits until the receiver gets its turn. If the sender is dropped, the
    /// request has lost its place to another user's.
    Later(oneshot::Receiver<T>),
    /// No place is left in the queue.
    Full,
}

impl<T> Turns<T> {
    pub(crate) fn new(permits: usize, waiting_max: usize) -> Self {
        Self { free: permits, waiting_max, waiting: HashMap::new(), order: VecDeque::new() }
    }

    /// A request of a user. In a full queue, it takes the place of the newest request of
    /// the user who has the most, if that user has at least two more than this one.
    pub(crate) fn arrive(&mut self, user: &str) -> Arrival<T> {
        if self.free > 0 {
            self.free -= 1;
            return Arrival::Now;
        }
        if self.len() >= self.waiting_max {
            self.forget_gone();
        }
        if self.len() >= self.waiting_max && !self.make_room(user) {
            return Arrival::Full;
        }
        let (turn, waits) = oneshot::channel();
        let requests = self.waiting.entry(user.to_owned()).or_default();
        if requests.is_empty() {
            self.order.push_back(user.to_owned());
        }
        requests.push_back(turn);
        Arrival::Later(waits)
    }

    /// A permit is given back: the request that gets it next. `None` if nobody waits; the
    /// permit is then free.
    pub(crate) fn next(&mut self) -> Option<oneshot::Sender<T>> {
        while let Some(user) = self.order.pop_front() {
            let Some(requests) = self.waiting.get_mut(&user) else { continue };
            let next = requests.pop_front();
            if requests.is_empty() {
                self.waiting.remove(&user);
            } else {
                self.order.push_back(user);
            }
            match next {
                Some(next) if !next.is_closed() => return Some(next),
                _ => {}
            }
        }
        self.free += 1;
        None
    }

    /// The number of requests that wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.values().map(VecDeque::len).sum()
    }

    /// Removes requests whose clients have gone.
    fn forget_gone(&mut self) {
        self.waiting.retain(|_, requests| {
            requests.retain(|request| !request.is_closed());
            !requests.is_empty()
        });
        self.order.retain(|user| self.waiting.contains_key(user));
    }

    fn make_room(&mut self, user: &str) -> bool {
        let own = self.waiting.get(user).map_or(0, VecDeque::len);
        let most = self.waiting.values_mut().max_by_key(|requests| requests.len());
        match most {
            // Of this user's own requests at least one is left.
            Some(requests) if requests.len() > own + 1 => requests.pop_back().is_some(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The order in which the requests get their turns, of which each is named after its
    /// user.
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
        match turns.arrive(user) {
            Arrival::Later(later) => {
                waits.push((user.to_owned(), later));
                true
            }
            Arrival::Full => false,
            Arrival::Now => panic!("no permit is free"),
        }
    }

    #[test]
    fn users_get_their_turns_one_after_another() {
        let (mut turns, mut waits) = (Turns::new(1, 100), Vec::new());
        assert!(matches!(turns.arrive("a"), Arrival::Now));
        for user in ["a", "a", "a", "b", "a", "c", "b"] {
            assert!(wait(&mut turns, &mut waits, user));
        }
        assert_eq!(served(&mut turns, &mut waits), ["a", "b", "c", "a", "b", "a", "a"]);
        assert!(matches!(turns.arrive("a"), Arrival::Now), "the permit is free again");
    }

    #[test]
    fn a_full_queue_takes_places_from_the_user_who_has_the_most() {
        let (mut turns, mut waits) = (Turns::new(1, 4), Vec::new());
        assert!(matches!(turns.arrive("a"), Arrival::Now));
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
        let (mut turns, mut waits) = (Turns::new(1, 2), Vec::new());
        assert!(matches!(turns.arrive("a"), Arrival::Now));
        assert!(wait(&mut turns, &mut waits, "a") && wait(&mut turns, &mut waits, "b"));
        waits.remove(0);
        assert!(wait(&mut turns, &mut waits, "c"), "its place is free");
        waits.remove(0);
        assert_eq!(served(&mut turns, &mut waits), ["c"]);
        assert_eq!(turns.len(), 0);
    }
}

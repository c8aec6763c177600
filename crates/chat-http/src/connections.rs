//! The connections that speak HTTP, the limits on them, and which of them are closed in favour
//! of new ones.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use chat_auth::Network;
use hyper::body::{Body, Frame, SizeHint};
use tokio_util::sync::CancellationToken;

/// The connections that speak HTTP, by address, and those that are idle: that have not sent a
/// request yet, or have got the answers to all that they sent.
#[derive(Clone)]
pub(crate) struct Connections {
    per_address_max: usize,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// `None`: connections that are not limited by their address.
    addresses: HashMap<Option<Network>, Address>,
    /// The addresses that have idle connections. The last one is the next to lose one.
    losing: BTreeSet<Turn>,
    last_number: u64,
    /// New connections that wait until others end.
    waiting: usize,
    /// How many of them have found none that could be closed.
    unserved: usize,
}

/// How many connections an address has, and since when its oldest idle one is idle: the address
/// with the most loses first, among equals the one that is idle for the longest time.
type Turn = (usize, Reverse<u64>, Option<Network>);

#[derive(Default)]
struct Address {
    connections: usize,
    waiting: usize,
    /// Idle connections in the order in which they became so, and what closes each.
    idle: BTreeMap<u64, CancellationToken>,
}

impl Connections {
    pub(crate) fn new(per_address_max: usize) -> Self {
        Self { per_address_max, state: Arc::default() }
    }

    /// A new connection from an address; `None` for one that is not limited. Returns `None` if
    /// the address has as many as it may.
    pub(crate) fn enter(&self, address: Option<Network>) -> Option<Connection> {
        let mut state = self.state();
        let own = state.addresses.get(&address).map_or(0, |address| address.connections);
        if address.is_some() && own >= self.per_address_max {
            return None;
        }
        state.change(address, |address| address.connections += 1);
        drop(state);
        let place = Mutex::new(Place { address, idle_since: None });
        Some(Connection { connections: self.clone(), place, close: CancellationToken::new() })
    }

    /// Lets a new connection wait for others to end, and closes an idle one in its favour: now,
    /// or when there is one. `None`: too many wait already, of its address or in all.
    pub(crate) fn wait(&self, connection: &Connection) -> Option<Waiting> {
        let address = connection.place().address;
        let mut state = self.state();
        let own = state.addresses.get(&address).map_or(0, |address| address.waiting);
        if state.waiting >= WAITING_MAX || (address.is_some() && own >= WAITING_OF_ADDRESS_MAX) {
            return None;
        }
        state.change(address, |address| address.waiting += 1);
        state.waiting += 1;
        if !state.close_idle() {
            state.unserved += 1;
        }
        Some(Waiting { connections: self.clone(), address })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is whole in one call.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// New connections that wait while all others are busy.
const WAITING_MAX: usize = 256;
/// Those of one address.
const WAITING_OF_ADDRESS_MAX: usize = 8;

impl State {
    /// Changes what is known of an address.
    fn change<T>(&mut self, address: Option<Network>, change: impl FnOnce(&mut Address) -> T) -> T {
        let of = self.addresses.entry(address).or_default();
        if let Some(turn) = of.turn(address) {
            self.losing.remove(&turn);
        }
        let changed = change(of);
        if let Some(turn) = of.turn(address) {
            self.losing.insert(turn);
        } else if of.connections == 0 && of.waiting == 0 {
            self.addresses.remove(&address);
        }
        changed
    }

    /// Closes the next idle connection, and returns whether there was one.
    fn close_idle(&mut self) -> bool {
        let Some((_, _, address)) = self.losing.last().copied() else { return false };
        let oldest = self.change(address, |address| address.idle.pop_first());
        oldest.inspect(|(_, close)| close.cancel()).is_some()
    }
}

impl Address {
    fn turn(&self, address: Option<Network>) -> Option<Turn> {
        let (oldest, _) = self.idle.first_key_value()?;
        // Behind a proxy are many people.
        let connections = if address.is_some() { self.connections } else { 0 };
        Some((connections, Reverse(*oldest), address))
    }
}

/// One connection. Dropping it ends its count.
pub(crate) struct Connection {
    connections: Connections,
    place: Mutex<Place>,
    close: CancellationToken,
}

/// Where a connection is counted.
struct Place {
    address: Option<Network>,
    /// Its number among the idle ones of the address.
    idle_since: Option<u64>,
}

impl Connection {
    /// The connection is idle from now on, and may be closed in favour of a new one; or it is
    /// busy, and is not closed.
    pub(crate) fn set_idle(&self, is_idle: bool) {
        let mut place = self.place();
        if place.idle_since.is_some() == is_idle {
            return;
        }
        let mut state = self.connections.state();
        place.idle_since = match place.idle_since {
            Some(since) => {
                state.change(place.address, |address| address.idle.remove(&since));
                None
            }
            None => {
                state.last_number += 1;
                let since = state.last_number;
                state.change(place.address, |address| address.idle.insert(since, self.close.clone()));
                if state.unserved > 0 && state.close_idle() {
                    state.unserved -= 1;
                }
                Some(since)
            }
        };
    }

    /// Whether the connection is idle.
    pub(crate) fn is_idle(&self) -> bool {
        self.place().idle_since.is_some()
    }

    /// The connection is that of a proxy: it no longer counts for its address.
    pub(crate) fn is_of_proxy(&self) {
        let mut place = self.place();
        if place.address.is_none() {
            return;
        }
        let mut state = self.connections.state();
        let idle = state.change(place.address, |address| {
            address.connections -= 1;
            place.idle_since.and_then(|since| address.idle.remove_entry(&since))
        });
        place.address = None;
        state.change(None, |address| {
            address.connections += 1;
            address.idle.extend(idle);
        });
    }

    /// Resolves when the connection is to be closed in favour of another.
    pub(crate) async fn closed(&self) {
        self.close.cancelled().await;
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        // Locked before the state. Each change is whole in one call.
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let place = self.place();
        self.connections.state().change(place.address, |address| {
            address.connections -= 1;
            if let Some(since) = place.idle_since {
                address.idle.remove(&since);
            }
        });
    }
}

/// A new connection that waits until another ends. Dropping it ends the wait.
pub(crate) struct Waiting {
    connections: Connections,
    address: Option<Network>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.connections.state();
        state.change(self.address, |address| address.waiting -= 1);
        state.waiting -= 1;
        state.unserved = state.unserved.min(state.waiting);
    }
}

/// Whether a request of a connection is being answered.
#[derive(Clone, Default)]
pub(crate) struct Answering(Arc<AtomicBool>);

impl Answering {
    /// A request has begun; it ends when this value is dropped. A connection has one at a time.
    pub(crate) fn begin(&self) -> Request {
        self.0.store(true, Ordering::Relaxed);
        Request(self.clone())
    }

    pub(crate) fn is_under_way(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A request that is being answered.
pub(crate) struct Request(Answering);

impl Request {
    /// The body of the answer, with which the request ends.
    pub(crate) fn with<B>(self, body: B) -> AnswerBody<B> {
        AnswerBody { body, _request: self }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::Relaxed);
    }
}

/// The body of an answer.
pub(crate) struct AnswerBody<B> {
    body: B,
    _request: Request,
}

impl<B: Body + Unpin> Body for AnswerBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(last: u8) -> Option<Network> {
        Some(Network::of([127, 0, 0, last].into()))
    }

    #[test]
    fn an_address_has_only_some_connections() {
        let connections = Connections::new(2);
        let one = connections.enter(network(1)).unwrap();
        let other = connections.enter(network(1)).unwrap();
        assert!(connections.enter(network(1)).is_none() && connections.enter(network(2)).is_some());
        assert!((0..5).all(|_| connections.enter(None).is_some()));
        drop(one);
        let third = connections.enter(network(1)).unwrap();
        assert!(connections.enter(network(1)).is_none());
        other.is_of_proxy();
        let fourth = connections.enter(network(1)).unwrap();
        drop((other, third, fourth));
        assert!(connections.state().addresses.is_empty());
    }

    /// How many of these connections were closed.
    fn closed(connections: &[Connection]) -> usize {
        connections.iter().filter(|connection| connection.close.is_cancelled()).count()
    }

    #[test]
    fn the_address_with_the_most_connections_loses_its_oldest_idle_one() {
        let connections = Connections::new(99);
        let new = |last: u8, count: usize| {
            let new = || {
                let connection = connections.enter(network(last)).unwrap();
                connection.set_idle(true);
                connection
            };
            (0..count).map(|_| new()).collect::<Vec<_>>()
        };
        let (honest, attacker) = (new(1, 3), new(2, 9));
        // What has spoken and waits for nothing is the youngest idle one then.
        attacker[0].set_idle(false);
        attacker[0].set_idle(true);
        attacker[1].set_idle(false);
        let newcomer = connections.enter(network(3)).unwrap();
        let _waiting = [0, 1].map(|_| connections.wait(&newcomer).unwrap());
        assert!(attacker[2].close.is_cancelled() && attacker[3].close.is_cancelled());
        assert_eq!((closed(&honest), closed(&attacker)), (0, 2));
        // Those of a proxy are the last.
        let proxy = connections.enter(None).unwrap();
        proxy.set_idle(true);
        drop(attacker);
        for expected in 1..=3 {
            drop(connections.wait(&newcomer).unwrap());
            assert_eq!((closed(&honest), proxy.close.is_cancelled()), (expected, false));
        }
        drop(connections.wait(&newcomer).unwrap());
        assert!(proxy.close.is_cancelled());
    }

    #[test]
    fn a_busy_connection_is_closed_when_it_has_become_idle() {
        let connections = Connections::new(99);
        let [busy, other, newcomer] = [1, 2, 3].map(|last| connections.enter(network(last)).unwrap());
        let waiting = connections.wait(&newcomer).unwrap();
        assert!(!busy.close.is_cancelled());
        busy.set_idle(true);
        assert!(busy.close.is_cancelled());
        // Nobody waits for another.
        other.set_idle(true);
        assert!(!other.close.is_cancelled());
        other.set_idle(false);
        drop(waiting);
        let given_up = connections.wait(&newcomer).unwrap();
        drop(given_up);
        other.set_idle(true);
        assert!(!other.close.is_cancelled());
        drop((busy, other, newcomer));
        assert!(connections.state().addresses.is_empty() && connections.state().losing.is_empty());
    }

    #[test]
    fn only_some_connections_wait() {
        let connections = Connections::new(999);
        let newcomer = |last| connections.enter(network(last)).unwrap();
        let one = newcomer(1);
        let kept: Vec<_> = (0..WAITING_OF_ADDRESS_MAX).map(|_| connections.wait(&one).unwrap()).collect();
        assert!(connections.wait(&one).is_none() && connections.wait(&newcomer(2)).is_some());
        drop(kept);
        let proxy = connections.enter(None).unwrap();
        let kept: Vec<_> = (0..WAITING_MAX).map(|_| connections.wait(&proxy).unwrap()).collect();
        assert!(connections.wait(&one).is_none());
        drop(kept);
        assert!(connections.wait(&one).is_some());
    }
}

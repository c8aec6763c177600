//! The connections that speak HTTP, and the limits on them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chat_auth::Network;
use tokio_util::sync::CancellationToken;

/// The connections that speak HTTP, by address, and those that have not sent a request yet.
#[derive(Clone)]
pub(crate) struct Connections {
    per_address_max: usize,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    by_address: HashMap<Network, usize>,
    /// Connections without a request so far, the oldest first, and what closes each.
    silent: BTreeMap<u64, CancellationToken>,
    last_id: u64,
}

impl Connections {
    pub(crate) fn new(per_address_max: usize) -> Self {
        Self { per_address_max, state: Arc::default() }
    }

    /// A new connection from an address; `None` for one that is not limited. Returns `None` if
    /// the address has as many as it may.
    pub(crate) fn enter(&self, address: Option<Network>) -> Option<Connection> {
        let mut state = self.state();
        if let Some(address) = address {
            let own = state.by_address.get(&address).copied().unwrap_or_default();
            if own >= self.per_address_max {
                return None;
            }
            state.by_address.insert(address, own + 1);
        }
        state.last_id += 1;
        let id = state.last_id;
        drop(state);
        Some(Connection {
            connections: self.clone(),
            id,
            address: Mutex::new(address),
            close: CancellationToken::new(),
        })
    }

    /// Closes the connection that has been silent for the longest time, and returns whether
    /// there was one.
    pub(crate) fn close_silent(&self) -> bool {
        let oldest = self.state().silent.pop_first();
        oldest.inspect(|(_, close)| close.cancel()).is_some()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is whole in one call.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection. Dropping it ends its count.
pub(crate) struct Connection {
    connections: Connections,
    id: u64,
    /// The address for which it counts.
    address: Mutex<Option<Network>>,
    close: CancellationToken,
}

impl Connection {
    /// From now on the connection may be closed in favour of another, until it has sent a
    /// request.
    pub(crate) fn await_request(&self) {
        self.connections.state().silent.insert(self.id, self.close.clone());
    }

    /// The connection has sent a request.
    pub(crate) fn has_spoken(&self) {
        self.connections.state().silent.remove(&self.id);
    }

    /// The connection is that of a proxy: it no longer counts for its address.
    pub(crate) fn is_of_proxy(&self) {
        let address = self.address.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.leave(address);
    }

    /// Resolves when the connection is to be closed in favour of another.
    pub(crate) async fn closed(&self) {
        self.close.cancelled().await;
    }

    fn leave(&self, address: Option<Network>) {
        let Some(address) = address else { return };
        let mut state = self.connections.state();
        if let Some(own) = state.by_address.get_mut(&address) {
            *own -= 1;
            if *own == 0 {
                state.by_address.remove(&address);
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.has_spoken();
        self.is_of_proxy();
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
        assert!(connections.state().by_address.is_empty());
    }

    #[tokio::test]
    async fn the_oldest_silent_connection_is_closed() {
        let connections = Connections::new(9);
        let new = || {
            let connection = connections.enter(None).unwrap();
            connection.await_request();
            connection
        };
        let [first, second, third] = [new(), new(), new()];
        first.has_spoken();
        assert!(connections.close_silent());
        second.closed().await;
        drop(third);
        assert!(!connections.close_silent(), "{}", first.id);
    }
}

//! The bus to the other servers on the same database.

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

use chat_cluster::{Bus, BusEvent, Control, Incarnation, Key, Lane, Message, Point, Record, Writer, encode};

use crate::cluster::Cluster;

/// The bus to the other servers on the same database. Without it, the servers read from the database
/// what the others have stored.
#[derive(Clone)]
pub struct ServerBus {
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) key: Key,
    pub(crate) sink: BusSink,
}

/// Takes what the bus brings. It is made before the bus, which needs it at its start; before the shards
/// have started, it drops everything, as they read it from the database then.
#[derive(Clone, Default)]
pub struct BusSink(Arc<OnceLock<Weak<Cluster>>>);

impl ServerBus {
    /// A bus that gives its events to this sink. The servers know messages of each other by the
    /// secret, in one epoch of their database.
    pub fn new(bus: Arc<dyn Bus>, sink: BusSink, secret: &[u8], epoch: &str) -> Self {
        Self { bus, key: Key::new(secret, epoch), sink }
    }

    /// Tells the other servers that they find this commit, which is no batch, in the feed.
    pub(crate) fn publish_control(&self, own: Incarnation, n: u64) {
        let at = Point { writer: Writer { incarnation: own, lane: Lane::CONTROL }, n };
        self.publish(&Message::Record(Record { at, parts: Vec::new(), controls: vec![Control::Unknown] }));
    }

    /// Tells the other servers something.
    pub(crate) fn publish(&self, message: &Message) {
        self.bus.publish(message.channel(), encode(message, &self.key).into());
    }
}

impl fmt::Debug for ServerBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerBus")
    }
}

impl BusSink {
    /// Takes an event of the bus. It does not block.
    pub fn take(&self, event: BusEvent) {
        if let Some(cluster) = self.0.get().and_then(Weak::upgrade) {
            cluster.take_event(event);
        }
    }

    /// Gives the events to this cluster from now on. One set of shards uses a bus.
    pub(crate) fn connect(&self, cluster: &Arc<Cluster>) {
        // A second set of shards would hear nothing on the bus, and read the database instead.
        let _ = self.0.set(Arc::downgrade(cluster));
    }
}

impl fmt::Debug for BusSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BusSink")
    }
}

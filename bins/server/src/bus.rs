//! NATS as the bus to the other servers on the database.

use std::error::Error;
use std::sync::Arc;

use chat_bus_nats::{NatsBus, NatsBusOptions, NatsUrl, NatsUrlError};
use chat_http::{BusSink, ServerBus};
use chat_store::{SharedSecret, Stores};

/// Where the bus is.
pub(crate) struct BusUrl(NatsUrl);

/// The bus of a running server.
pub(crate) struct Bus {
    nats: Arc<NatsBus>,
}

impl BusUrl {
    pub(crate) fn parse(text: &str) -> Result<Self, NatsUrlError> {
        NatsUrl::parse(text).map(Self)
    }
}

impl Bus {
    /// Connects to the bus. NATS need not answer yet: until it does, the database carries everything.
    pub(crate) async fn start(url: &BusUrl, stores: &Stores) -> Result<(Self, ServerBus), Box<dyn Error>> {
        let Some(shared) = &stores.shared else {
            return Err("this database has no place for the secret of the bus".into());
        };
        let new: [u8; SECRET_BYTES] = rand::random();
        let secret = shared.shared_secret(SharedSecret::Bus, &new).await?;
        let epoch = stores.log.epoch();
        let sink = BusSink::default();
        let take = {
            let sink = sink.clone();
            move |event| sink.take(event)
        };
        let nats = Arc::new(NatsBus::start(&url.0, epoch, NatsBusOptions::default(), take).await?);
        tracing::info!(nats = %url.0, "the bus to other servers");
        Ok((Self { nats: Arc::clone(&nats) }, ServerBus::new(nats, sink, &secret, epoch)))
    }

    /// Ends the connection.
    pub(crate) async fn stop(self) {
        self.nats.stop().await;
    }
}

/// As many as the hash of the signatures has.
const SECRET_BYTES: usize = 32;

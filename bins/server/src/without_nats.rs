//! What stands for the bus in a server that is compiled without it, so that the rest is written once.

use std::error::Error;

use chat_http::ServerBus;
use chat_store::Stores;

/// Where the bus is: nowhere.
pub(crate) enum BusUrl {}

/// The bus of a running server.
pub(crate) enum Bus {}

impl BusUrl {
    pub(crate) fn parse(_: &str) -> Result<Self, &'static str> {
        Err("needs NATS, without which this server was built (the feature `nats`)")
    }
}

impl Bus {
    pub(crate) async fn start(url: &BusUrl, _: &Stores) -> Result<(Self, ServerBus), Box<dyn Error>> {
        match *url {}
    }

    pub(crate) async fn stop(self) {
        match self {}
    }
}

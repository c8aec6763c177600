//! Outgoing webhooks. Changes use the connection that writes.

use chat_core::Username;

use super::SqliteStore;
use super::writer::write;
use crate::outgoing::database;
use crate::{
    Delivery, DeliveryDone, NewOutgoingWebhook, OutgoingCount, OutgoingRepository, OutgoingWebhook,
    StoreFuture,
};

impl OutgoingRepository for SqliteStore {
    fn create_outgoing<'a>(
        &'a self,
        new: &'a NewOutgoingWebhook,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, bool> {
        write!(self, c => database::create(c, new, by, now_ms))
    }

    fn remove_outgoing<'a>(
        &'a self,
        bot: &'a Username,
        id: &'a str,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, bool> {
        write!(self, c => database::remove(c, bot, id, by, now_ms))
    }

    fn outgoing_webhooks(&self) -> StoreFuture<'_, Vec<OutgoingWebhook>> {
        Box::pin(database::list(&self.readers))
    }

    fn count_outgoing(&self) -> StoreFuture<'_, OutgoingCount> {
        Box::pin(database::count(&self.readers))
    }

    fn claim_deliveries(&self, now_ms: u64, until_ms: u64, max: usize) -> StoreFuture<'_, Vec<Delivery>> {
        Box::pin(async move {
            // Messages do not wait for a look that finds nothing.
            if !database::is_due(&self.readers, now_ms).await? {
                return Ok(Vec::new());
            }
            write!(self, c => database::claim(c, now_ms, until_ms, max)).await
        })
    }

    fn finish_delivery<'a>(&'a self, delivery: &'a Delivery, done: &'a DeliveryDone) -> StoreFuture<'a, ()> {
        write!(self, c => database::finish(c, delivery, done))
    }
}

//! Outgoing webhooks. Each transaction has the same result if it is repeated after its answer was
//! lost, but for a claim, which then lasts until its end.

use chat_core::Username;

use super::PostgresStore;
use super::pool::write;
use crate::outgoing::database;
use crate::{
    Delivery, DeliveryDone, NewOutgoingWebhook, OutgoingCount, OutgoingRepository, OutgoingWebhook,
    StoreFuture,
};

impl OutgoingRepository for PostgresStore {
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
        Box::pin(database::list(&self.pool))
    }

    fn count_outgoing(&self) -> StoreFuture<'_, OutgoingCount> {
        Box::pin(database::count(&self.pool))
    }

    fn claim_deliveries(&self, now_ms: u64, until_ms: u64, max: usize) -> StoreFuture<'_, Vec<Delivery>> {
        Box::pin(async move {
            // Most looks find nothing.
            if !database::is_due(&self.pool, now_ms).await? {
                return Ok(Vec::new());
            }
            write!(self, c => database::claim(c, now_ms, until_ms, max)).await
        })
    }

    fn finish_delivery<'a>(&'a self, delivery: &'a Delivery, done: &'a DeliveryDone) -> StoreFuture<'a, ()> {
        write!(self, c => database::finish(c, delivery, done))
    }
}

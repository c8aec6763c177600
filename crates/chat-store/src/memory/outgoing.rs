//! Outgoing webhooks in memory: what concerns bots, the log and the audit log, too.

use chat_core::{Topic, Username};
use serde_json::json;

use super::MemoryStore;
use crate::administration::NewAudit;
use crate::{
    AuditAction, Delivery, DeliveryDone, NewOutgoingWebhook, OutgoingCount, OutgoingRepository,
    OutgoingWebhook, StoreFuture,
};

impl OutgoingRepository for MemoryStore {
    fn create_outgoing<'a>(
        &'a self,
        new: &'a NewOutgoingWebhook,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let mut inner = self.lock();
            if !inner.bots.is_for(&new.bot, &new.room) {
                return Ok(false);
            }
            let upto = inner.history.last_seq(&Topic::Room(new.room.clone()));
            let created = inner.outgoing.create(new, upto, now_ms);
            if created == Some(true) {
                let (action, target) = (AuditAction::BotOutgoing, new.bot.as_str());
                let details = Some(json!({ "room": new.room.as_str(), "id": new.id }));
                inner.note(NewAudit { by, at_ms: now_ms, action, target, details });
            }
            Ok(created.is_some())
        })
    }

    fn remove_outgoing<'a>(
        &'a self,
        bot: &'a Username,
        id: &'a str,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let mut inner = self.lock();
            let is_removed = inner.outgoing.remove(bot, id);
            if is_removed {
                let (action, target) = (AuditAction::BotOutgoingRemove, bot.as_str());
                let details = Some(json!({ "id": id }));
                inner.note(NewAudit { by, at_ms: now_ms, action, target, details });
            }
            Ok(is_removed)
        })
    }

    fn outgoing_webhooks(&self) -> StoreFuture<'_, Vec<OutgoingWebhook>> {
        Box::pin(async move { Ok(self.lock().outgoing.list()) })
    }

    fn count_outgoing(&self) -> StoreFuture<'_, OutgoingCount> {
        Box::pin(async move { Ok(self.lock().outgoing.count()) })
    }

    fn claim_deliveries(&self, now_ms: u64, until_ms: u64, max: usize) -> StoreFuture<'_, Vec<Delivery>> {
        Box::pin(async move {
            let mut inner = self.lock();
            let inner = &mut *inner;
            let (bots, users, administration) = (&inner.bots, &inner.users, &inner.administration);
            let is_good = |bot: &Username| {
                bots.has_token(bot) && users.contains_key(bot) && !administration.is_banned(bot)
            };
            Ok(inner.outgoing.claim(&inner.history, is_good, (now_ms, until_ms), max))
        })
    }

    fn finish_delivery<'a>(&'a self, delivery: &'a Delivery, done: &'a DeliveryDone) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.lock().outgoing.finish(delivery, done);
            Ok(())
        })
    }
}

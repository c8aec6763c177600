//! Bots in memory: what concerns accounts and the audit log, too.

use chat_core::{RoomName, SecretHash, Username};
use serde_json::json;

use super::{Inner, MemoryStore};
use crate::administration::NewAudit;
use crate::{AuditAction, Bot, BotRepository, NewBot, NewWebhook, StoreFuture, Webhook};

impl Inner {
    /// Whether the account of a bot is there, and not banned.
    fn is_good(&self, name: &Username) -> bool {
        self.users.contains_key(name) && !self.administration.is_banned(name)
    }
}

impl BotRepository for MemoryStore {
    fn put_bot<'a>(&'a self, bot: &'a NewBot) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let mut inner = self.lock();
            let name = &bot.account.name;
            if !inner.bots.has(name) {
                inner.check_new_name(name)?;
                inner.create(&bot.account);
            }
            inner.outgoing.drop_of(name, &bot.rooms);
            if inner.bots.put(bot) {
                let rooms: Vec<&str> = bot.rooms.iter().map(RoomName::as_str).collect();
                let (action, target) = (AuditAction::BotCreate, name.as_str());
                let details = Some(json!({ "rooms": rooms }));
                let (by, at_ms) = (bot.by.as_ref(), bot.account.created_at_ms);
                inner.note(NewAudit { by, at_ms, action, target, details });
            }
            Ok(())
        })
    }

    fn revoke_bot<'a>(
        &'a self,
        name: &'a Username,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let mut inner = self.lock();
            let is_revoked = inner.bots.revoke(name);
            if is_revoked {
                inner.outgoing.drop_of(name, &[]);
                let (action, target) = (AuditAction::BotRevoke, name.as_str());
                inner.note(NewAudit { by, at_ms: now_ms, action, target, details: None });
            }
            Ok(is_revoked)
        })
    }

    fn find_bot<'a>(&'a self, token: &'a SecretHash) -> StoreFuture<'a, Option<Bot>> {
        Box::pin(async move {
            let inner = self.lock();
            Ok(inner.bots.find(token).filter(|bot| inner.is_good(&bot.name)))
        })
    }

    fn bots(&self) -> StoreFuture<'_, Vec<Bot>> {
        Box::pin(async move { Ok(self.lock().bots.list()) })
    }

    fn bots_among<'a>(&'a self, users: &'a [Username]) -> StoreFuture<'a, Vec<Username>> {
        Box::pin(async move {
            let inner = self.lock();
            Ok(users.iter().filter(|name| inner.bots.has(name)).cloned().collect())
        })
    }

    fn create_webhook<'a>(
        &'a self,
        webhook: &'a NewWebhook,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let mut inner = self.lock();
            let created = inner.bots.create_webhook(webhook);
            if created == Some(true) {
                let (action, target) = (AuditAction::BotWebhook, webhook.bot.as_str());
                let details = Some(json!({ "room": webhook.room.as_str() }));
                inner.note(NewAudit { by, at_ms: now_ms, action, target, details });
            }
            Ok(created.is_some())
        })
    }

    fn find_webhook<'a>(&'a self, secret: &'a SecretHash) -> StoreFuture<'a, Option<Webhook>> {
        Box::pin(async move {
            let inner = self.lock();
            Ok(inner.bots.find_webhook(secret).filter(|webhook| inner.is_good(&webhook.bot)))
        })
    }
}

//! Bots in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chat_core::{RoomName, SecretHash, Username};

use super::{BOTS_MAX, Bot, NewBot, NewWebhook, WEBHOOKS_MAX, Webhook};
use crate::NewUser;

/// The bots of a store in memory.
#[derive(Default)]
pub(crate) struct Bots {
    bots: BTreeMap<Username, Kept>,
    webhooks: HashMap<SecretHash, Webhook>,
}

struct Kept {
    token: Option<SecretHash>,
    rooms: BTreeSet<RoomName>,
    by: Option<Username>,
    created_at_ms: u64,
}

impl Bots {
    pub(crate) fn has(&self, name: &Username) -> bool {
        self.bots.contains_key(name)
    }

    pub(crate) fn len(&self) -> usize {
        self.bots.len()
    }

    pub(crate) fn has_token(&self, name: &Username) -> bool {
        self.bots.get(name).is_some_and(|bot| bot.token.is_some())
    }

    /// Whether a bot has a token for this room.
    pub(crate) fn is_for(&self, name: &Username, room: &RoomName) -> bool {
        self.bots.get(name).is_some_and(|bot| bot.token.is_some() && bot.rooms.contains(room))
    }

    /// Returns whether anything changes.
    pub(crate) fn put(&mut self, new: &NewBot) -> bool {
        let NewUser { name, created_at_ms, .. } = &new.account;
        let first = self.bots.get(name);
        let kept = Kept {
            token: Some(new.token),
            rooms: new.rooms.iter().cloned().collect(),
            by: new.by.clone(),
            created_at_ms: first.map_or(*created_at_ms, |first| first.created_at_ms),
        };
        let is_new = first.is_none_or(|first| first.token != kept.token);
        self.webhooks.retain(|_, webhook| webhook.bot != *name || kept.rooms.contains(&webhook.room));
        self.bots.insert(name.clone(), kept);
        is_new
    }

    pub(crate) fn revoke(&mut self, name: &Username) -> bool {
        let Some(bot) = self.bots.get_mut(name).filter(|bot| bot.token.is_some()) else { return false };
        bot.token = None;
        bot.rooms.clear();
        self.webhooks.retain(|_, webhook| webhook.bot != *name);
        true
    }

    pub(crate) fn forget(&mut self, name: &Username) {
        self.revoke(name);
        self.bots.remove(name);
    }

    pub(crate) fn find(&self, token: &SecretHash) -> Option<Bot> {
        let (name, kept) = self.bots.iter().find(|(_, kept)| kept.token == Some(*token))?;
        Some(self.bot(name, kept))
    }

    pub(crate) fn list(&self) -> Vec<Bot> {
        self.bots.iter().take(BOTS_MAX).map(|(name, kept)| self.bot(name, kept)).collect()
    }

    pub(crate) fn create_webhook(&mut self, new: &NewWebhook) -> Option<bool> {
        let bot = self.bots.get(&new.bot).filter(|bot| bot.token.is_some())?;
        if self.webhooks.contains_key(&new.secret) {
            return Some(false);
        }
        if !bot.rooms.contains(&new.room) || self.webhooks_of(&new.bot) >= WEBHOOKS_MAX {
            return None;
        }
        self.webhooks.insert(new.secret, Webhook { bot: new.bot.clone(), room: new.room.clone() });
        Some(true)
    }

    pub(crate) fn find_webhook(&self, secret: &SecretHash) -> Option<Webhook> {
        self.webhooks.get(secret).cloned()
    }

    fn webhooks_of(&self, name: &Username) -> u64 {
        self.webhooks.values().filter(|webhook| webhook.bot == *name).count() as u64
    }

    fn bot(&self, name: &Username, kept: &Kept) -> Bot {
        Bot {
            name: name.clone(),
            rooms: kept.rooms.iter().cloned().collect(),
            by: kept.by.clone(),
            created_at_ms: kept.created_at_ms,
            has_token: kept.token.is_some(),
            webhooks: self.webhooks_of(name),
        }
    }
}

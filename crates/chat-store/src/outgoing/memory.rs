//! Outgoing webhooks in memory.

use std::collections::BTreeMap;

use chat_core::{History, MessagesFrom, PageFrom, PageLimits, RoomName, Topic, Username};

use super::{
    DELIVERIES_AT_ONCE, Delivery, DeliveryDone, DueMessage, LOOKED_AT_MAX, NewOutgoingWebhook, OUTGOING_MAX,
    OutgoingCount, OutgoingWebhook, QUEUED_MAX, Receiver,
};

/// The outgoing webhooks of a store in memory.
#[derive(Default)]
pub(crate) struct OutgoingWebhooks(BTreeMap<String, Kept>);

struct Kept {
    new: NewOutgoingWebhook,
    created_at_ms: u64,
    /// How far the room was looked through.
    upto: u64,
    /// A server is delivering to it, or waits, until then.
    retry_ms: u64,
    failures: u32,
    failing_since_ms: Option<u64>,
    last: Option<(u64, String)>,
    off_at_ms: Option<u64>,
    /// The messages by number, each with when it is due.
    queue: BTreeMap<u64, (DueMessage, u64)>,
}

impl OutgoingWebhooks {
    /// Returns whether anything changes; `None`: the bot has too many.
    pub(crate) fn create(&mut self, new: &NewOutgoingWebhook, upto: u64, now_ms: u64) -> Option<bool> {
        if self.0.get(&new.id).is_some_and(|known| known.new.bot == new.bot) {
            return Some(false);
        }
        if self.0.values().filter(|known| known.new.bot == new.bot).count() as u64 >= OUTGOING_MAX {
            return None;
        }
        let kept = Kept {
            new: new.clone(),
            created_at_ms: now_ms,
            upto,
            retry_ms: 0,
            failures: 0,
            failing_since_ms: None,
            last: None,
            off_at_ms: None,
            queue: BTreeMap::new(),
        };
        self.0.insert(new.id.clone(), kept);
        Some(true)
    }

    pub(crate) fn remove(&mut self, bot: &Username, id: &str) -> bool {
        let is_there = self.0.get(id).is_some_and(|known| known.new.bot == *bot);
        is_there && self.0.remove(id).is_some()
    }

    /// Removes the webhooks of a bot, but for those of these rooms.
    pub(crate) fn drop_of(&mut self, bot: &Username, except: &[RoomName]) {
        self.0.retain(|_, known| known.new.bot != *bot || except.contains(&known.new.room));
    }

    pub(crate) fn list(&self) -> Vec<OutgoingWebhook> {
        let mut all: Vec<_> = self.0.values().map(Kept::webhook).collect();
        all.sort_by(|one, other| {
            let key = |webhook: &OutgoingWebhook| (webhook.created_at_ms, webhook.id.clone());
            one.bot.cmp(&other.bot).then_with(|| key(one).cmp(&key(other)))
        });
        all
    }

    pub(crate) fn count(&self) -> OutgoingCount {
        let off = self.0.values().filter(|known| known.off_at_ms.is_some()).count();
        OutgoingCount { on: (self.0.len() - off) as u64, off: off as u64 }
    }

    pub(crate) fn claim(
        &mut self,
        history: &History,
        is_good: impl Fn(&Username) -> bool,
        (now_ms, until_ms): (u64, u64),
        max: usize,
    ) -> Vec<Delivery> {
        let is_due = |known: &&mut Kept| {
            known.off_at_ms.is_none() && known.retry_ms <= now_ms && is_good(&known.new.bot)
        };
        let mut due: Vec<_> = self.0.values_mut().filter(is_due).collect();
        due.sort_by_key(|known| known.retry_ms);
        let claim = |known: &mut Kept| {
            known.fill(history, now_ms);
            let messages = known.due(now_ms);
            if messages.is_empty() {
                return None;
            }
            known.retry_ms = until_ms;
            Some(Delivery {
                webhook: known.new.id.clone(),
                bot: known.new.bot.clone(),
                room: known.new.room.clone(),
                url: known.new.url.clone(),
                secret: known.new.secret.clone(),
                failures: known.failures,
                failing_since_ms: known.failing_since_ms,
                claimed_until_ms: until_ms,
                messages,
            })
        };
        due.into_iter().filter_map(claim).take(max).collect()
    }

    pub(crate) fn finish(&mut self, delivery: &Delivery, done: &DeliveryDone) {
        let Some(known) = self.0.get_mut(&delivery.webhook) else { return };
        known.queue.retain(|seq, _| !done.finished.contains(seq));
        for (seq, due_ms) in &done.failed {
            if let Some((message, due)) = known.queue.get_mut(seq) {
                message.attempts += 1;
                *due = *due_ms;
            }
        }
        if let Receiver::Off { result } = &done.receiver {
            known.off_at_ms = Some(done.now_ms);
            known.last = Some((done.now_ms, result.clone()));
            known.queue.clear();
        }
        if known.retry_ms != delivery.claimed_until_ms {
            return;
        }
        match &done.receiver {
            Receiver::NotAsked => known.retry_ms = done.now_ms,
            Receiver::Works { result } => {
                (known.retry_ms, known.failures, known.failing_since_ms) = (done.now_ms, 0, None);
                known.last = Some((done.now_ms, result.clone()));
            }
            Receiver::Fails { result, retry_ms } => {
                (known.retry_ms, known.failures) = (*retry_ms, delivery.failures + 1);
                known.failing_since_ms.get_or_insert(done.now_ms);
                known.last = Some((done.now_ms, result.clone()));
            }
            Receiver::Off { .. } => {}
        }
    }
}

impl Kept {
    /// Queues the messages that were not looked at yet.
    fn fill(&mut self, history: &History, now_ms: u64) {
        let topic = Topic::Room(self.new.room.clone());
        let end = history.last_seq(&topic).min(self.upto + LOOKED_AT_MAX);
        if end <= self.upto || self.queue.len() as u64 >= QUEUED_MAX {
            return;
        }
        let from = MessagesFrom::Page(PageFrom::After(self.upto));
        let entries = usize::try_from(end - self.upto).unwrap_or(usize::MAX);
        let page = history.messages(&topic, &from, PageLimits { entries, bytes: usize::MAX });
        for entry in page.entries.iter().filter(|entry| entry.seq <= end) {
            let mentions = entry.body.mentions();
            let is_wanted =
                !self.new.only_mentions || mentions.is_some_and(|mentions| mentions.contain(&self.new.bot));
            if is_wanted && !entry.body.is_deleted() && entry.from != self.new.bot {
                let message = DueMessage { seq: entry.seq, at_ms: entry.at_ms, attempts: 0 };
                self.queue.entry(entry.seq).or_insert((message, now_ms));
            }
        }
        self.upto = end;
    }

    fn due(&self, now_ms: u64) -> Vec<DueMessage> {
        let at_once = if self.failures > 0 { 1 } else { DELIVERIES_AT_ONCE };
        let due = self.queue.values().filter(|(_, due_ms)| *due_ms <= now_ms);
        due.map(|(message, _)| *message).take(usize::try_from(at_once).unwrap_or(1)).collect()
    }

    fn webhook(&self) -> OutgoingWebhook {
        OutgoingWebhook {
            id: self.new.id.clone(),
            bot: self.new.bot.clone(),
            room: self.new.room.clone(),
            url: self.new.url.clone(),
            only_mentions: self.new.only_mentions,
            created_at_ms: self.created_at_ms,
            failures: self.failures,
            last: self.last.clone(),
            off_at_ms: self.off_at_ms,
        }
    }
}

//! Push in memory.

use std::collections::{BTreeMap, HashMap};

use chat_core::{History, MessagesFrom, PageFrom, PageLimits, SessionId, Topic, Username};

use super::{DuePush, NewPushSubscription, PUSH_LOOKED_AT_MAX, PushResult, lets_through};

/// The subscriptions and the queue.
#[derive(Default)]
pub(crate) struct Push {
    pub(crate) key: Option<String>,
    last_id: u64,
    subscriptions: BTreeMap<u64, Subscription>,
    queue: Vec<Queued>,
    upto: HashMap<Topic, u64>,
}

struct Subscription {
    to: NewPushSubscription,
    created_at_ms: u64,
    failures: u32,
    retry_ms: u64,
}

struct Queued {
    subscription: u64,
    topic: Topic,
    seq: u64,
    at_ms: u64,
    due_ms: u64,
}

impl Push {
    pub(crate) fn subscribe(&mut self, new: &NewPushSubscription, max: usize, now_ms: u64) {
        let key = |to: &NewPushSubscription| NewPushSubscription { language: String::new(), ..to.clone() };
        if let Some(known) = self.subscriptions.values_mut().find(|known| key(&known.to) == key(new)) {
            new.language.clone_into(&mut known.to.language);
            return;
        }
        self.remove(|known| known.to.session == new.session || known.to.endpoint == new.endpoint);
        let mut own: Vec<u64> = self.ids_of(&new.user);
        own.truncate((own.len() + 1).saturating_sub(max));
        self.remove_ids(&own);
        self.last_id += 1;
        let subscription = Subscription { to: new.clone(), created_at_ms: now_ms, failures: 0, retry_ms: 0 };
        self.subscriptions.insert(self.last_id, subscription);
    }

    /// The subscriptions of a user, the oldest first.
    fn ids_of(&self, user: &Username) -> Vec<u64> {
        self.subscriptions.iter().filter(|(_, known)| known.to.user == *user).map(|(id, _)| *id).collect()
    }

    pub(crate) fn unsubscribe(&mut self, session: &SessionId) -> bool {
        self.remove(|known| known.to.session == *session) > 0
    }

    pub(crate) fn sweep(&mut self, is_valid: impl Fn(&SessionId) -> bool) -> u64 {
        self.remove(|known| !is_valid(&known.to.session));
        self.subscriptions.len() as u64
    }

    fn remove(&mut self, is_removed: impl Fn(&Subscription) -> bool) -> usize {
        let found = self.subscriptions.iter().filter(|(_, known)| is_removed(known));
        let ids: Vec<u64> = found.map(|(id, _)| *id).collect();
        self.remove_ids(&ids);
        ids.len()
    }

    fn remove_ids(&mut self, ids: &[u64]) {
        self.subscriptions.retain(|id, _| !ids.contains(id));
        self.queue.retain(|queued| !ids.contains(&queued.subscription));
    }

    pub(crate) fn queue(&mut self, history: &History, topics: &[Topic], since_ms: u64, due_ms: u64) -> u64 {
        let mut count = 0;
        for topic in topics {
            let last = history.last_seq(topic);
            let upto = self.upto.entry(topic.clone()).or_default();
            let after = std::mem::replace(upto, last).max(last.saturating_sub(PUSH_LOOKED_AT_MAX));
            if after >= last {
                continue;
            }
            let from = MessagesFrom::Page(PageFrom::After(after));
            let entries = usize::try_from(last - after).unwrap_or(usize::MAX);
            let page = history.messages(topic, &from, PageLimits { entries, bytes: usize::MAX });
            for (id, known) in &self.subscriptions {
                let user = &known.to.user;
                let is_concerned = match topic {
                    Topic::Room(room) => history.access(user, room).role.is_some(),
                    Topic::Pair(pair) => pair.low() == user || pair.high() == user,
                };
                let (read, level) = history.notice(user, topic);
                let is_room = matches!(topic, Topic::Room(_));
                let wanted = page.entries.iter().rev().find(|entry| {
                    let is_mentioned =
                        is_room && entry.body.mentions().is_some_and(|mentions| mentions.contain(user));
                    entry.seq > read
                        && !entry.body.is_deleted()
                        && entry.from != *user
                        && entry.at_ms >= since_ms.max(known.created_at_ms)
                        && lets_through(level, is_mentioned)
                });
                let Some(entry) = wanted.filter(|_| is_concerned) else { continue };
                count += 1;
                let is_same = |queued: &&mut Queued| queued.subscription == *id && queued.topic == *topic;
                if let Some(queued) = self.queue.iter_mut().find(is_same) {
                    (queued.seq, queued.at_ms) = (entry.seq, entry.at_ms);
                } else {
                    let (topic, seq, at_ms) = (topic.clone(), entry.seq, entry.at_ms);
                    self.queue.push(Queued { subscription: *id, topic, seq, at_ms, due_ms });
                }
            }
        }
        count
    }

    pub(crate) fn claim(
        &mut self,
        history: &History,
        is_valid: impl Fn(&SessionId) -> bool,
        (now_ms, until_ms): (u64, u64),
        max: usize,
    ) -> Vec<DuePush> {
        self.queue.sort_by_key(|queued| queued.due_ms);
        let mut claimed = Vec::new();
        for queued in self.queue.iter().filter(|queued| queued.due_ms <= now_ms) {
            let Some(known) = self.subscriptions.get_mut(&queued.subscription) else { continue };
            if known.retry_ms > now_ms || claimed.len() == max {
                continue;
            }
            known.retry_ms = until_ms;
            let (read, level) = history.notice(&known.to.user, &queued.topic);
            let (title, is_member) = match &queued.topic {
                Topic::Room(room) => {
                    let title = history.room(room).map(|(kept, _)| kept.info.title.clone());
                    (title, history.access(&known.to.user, room).role.is_some())
                }
                Topic::Pair(_) => (None, true),
            };
            claimed.push(DuePush {
                subscription: queued.subscription,
                to: known.to.clone(),
                failures: known.failures,
                topic: queued.topic.clone(),
                seq: queued.seq,
                at_ms: queued.at_ms,
                title,
                is_wanted: is_valid(&known.to.session)
                    && is_member
                    && read < queued.seq
                    && lets_through(level, true),
            });
        }
        claimed
    }

    pub(crate) fn finish(&mut self, push: &DuePush, result: PushResult) {
        let Some(known) = self.subscriptions.get_mut(&push.subscription) else { return };
        match result {
            PushResult::Sent => {
                (known.failures, known.retry_ms) = (0, 0);
                let is_sent = |queued: &Queued| {
                    queued.subscription == push.subscription
                        && queued.topic == push.topic
                        && queued.seq == push.seq
                };
                self.queue.retain(|queued| !is_sent(queued));
            }
            PushResult::Failed { retry_ms } => {
                known.failures += 1;
                known.retry_ms = retry_ms;
            }
            PushResult::Gone => self.remove_ids(&[push.subscription]),
        }
    }
}

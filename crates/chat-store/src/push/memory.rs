//! Push in memory.

use std::collections::{BTreeMap, HashMap};

use chat_core::{History, MessagesFrom, PageFrom, PageLimits, SessionId, Topic, Username};

use super::{
    DuePush, NewPushSubscription, PUSH_FAILURES_KEPT_MS, PUSH_FAILURES_MAX, PUSH_LOOKED_AT_MAX, PushClaim,
    PushCount, PushDone, PushService, lets_through,
};

/// The subscriptions and the queue.
#[derive(Default)]
pub(crate) struct Push {
    pub(crate) key: Option<String>,
    last_id: u64,
    subscriptions: BTreeMap<u64, Subscription>,
    queue: Vec<Queued>,
    upto: HashMap<Topic, u64>,
    /// The addresses that fail.
    failing: BTreeMap<String, Failing>,
}

struct Subscription {
    to: NewPushSubscription,
    created_at_ms: u64,
    /// When the next message may be sent to it; `None` if there is none.
    ready_ms: Option<u64>,
    claimed_until_ms: u64,
}

#[derive(Clone)]
struct Failing {
    user: Username,
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
        let subscription =
            Subscription { to: new.clone(), created_at_ms: now_ms, ready_ms: None, claimed_until_ms: 0 };
        self.subscriptions.insert(self.last_id, subscription);
        let of_user = self.failing.values().filter(|failing| failing.user == new.user);
        if of_user.clone().count() >= PUSH_FAILURES_MAX
            && let Some(worst) = of_user.max_by_key(|failing| (failing.failures, failing.retry_ms)).cloned()
        {
            self.failing.entry(new.endpoint.clone()).or_insert(worst);
        }
    }

    /// The subscriptions of a user, the oldest first.
    fn ids_of(&self, user: &Username) -> Vec<u64> {
        self.subscriptions.iter().filter(|(_, known)| known.to.user == *user).map(|(id, _)| *id).collect()
    }

    pub(crate) fn unsubscribe(&mut self, session: &SessionId) -> bool {
        self.remove(|known| known.to.session == *session) > 0
    }

    pub(crate) fn sweep(&mut self, is_valid: impl Fn(&SessionId) -> bool, now_ms: u64) -> PushCount {
        self.remove(|known| !is_valid(&known.to.session));
        let long_ago = now_ms.saturating_sub(PUSH_FAILURES_KEPT_MS);
        let mut failing: Vec<_> = std::mem::take(&mut self.failing).into_iter().collect();
        failing.retain(|(_, failing)| failing.retry_ms > long_ago);
        failing.sort_by_key(|(_, failing)| std::cmp::Reverse((failing.failures, failing.retry_ms)));
        let mut of_user: HashMap<Username, usize> = HashMap::new();
        failing.retain(|(_, failing)| {
            let count = of_user.entry(failing.user.clone()).or_default();
            *count += 1;
            *count <= PUSH_FAILURES_MAX
        });
        self.failing = failing.into_iter().collect();
        let is_ready = |known: &&Subscription| known.ready_ms.is_some_and(|ready_ms| ready_ms <= now_ms);
        PushCount {
            subscriptions: self.subscriptions.len() as u64,
            ready: self.subscriptions.values().filter(is_ready).count() as u64,
            failing: self.failing.len() as u64,
        }
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
            for (id, known) in &mut self.subscriptions {
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
                if known.ready_ms.is_none() {
                    let retry_ms = self.failing.get(&known.to.endpoint).map(|failing| failing.retry_ms);
                    known.ready_ms = Some(due_ms.max(retry_ms.unwrap_or(0)));
                }
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
        claim: PushClaim,
    ) -> Vec<DuePush> {
        let mut of_user: HashMap<Username, usize> = HashMap::new();
        for known in self.subscriptions.values().filter(|known| known.claimed_until_ms > claim.now_ms) {
            *of_user.entry(known.to.user.clone()).or_default() += 1;
        }
        let mut ready: Vec<(u64, u64)> =
            self.subscriptions.iter().filter_map(|(id, known)| Some((known.ready_ms?, *id))).collect();
        ready.retain(|(ready_ms, _)| *ready_ms <= claim.now_ms);
        ready.sort_unstable();
        self.queue.sort_by_key(|queued| queued.due_ms);
        let mut claimed = Vec::new();
        for (_, id) in ready {
            let Some(known) = self.subscriptions.get_mut(&id) else { continue };
            let Some(queued) = self.queue.iter().find(|queued| queued.subscription == id) else { continue };
            let count = of_user.entry(known.to.user.clone()).or_default();
            if *count >= claim.user_max || claimed.len() == claim.max {
                continue;
            }
            *count += 1;
            (known.ready_ms, known.claimed_until_ms) = (Some(claim.until_ms), claim.until_ms);
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
                failures: self.failing.get(&known.to.endpoint).map_or(0, |failing| failing.failures),
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

    pub(crate) fn finish(&mut self, push: &DuePush, done: PushDone) {
        let endpoint = &push.to.endpoint;
        let next_ms = match done.service {
            PushService::Gone => return self.remove_ids(&[push.subscription]),
            PushService::NotAsked => done.now_ms,
            PushService::Works => {
                self.failing.remove(endpoint);
                done.now_ms
            }
            PushService::Fails { retry_ms } => {
                let failures = self.failing.get(endpoint).map_or(0, |failing| failing.failures) + 1;
                let user = push.to.user.clone();
                self.failing.insert(endpoint.clone(), Failing { user, failures, retry_ms });
                retry_ms
            }
        };
        let is_finished = |queued: &Queued| {
            done.is_finished
                && queued.subscription == push.subscription
                && queued.topic == push.topic
                && queued.seq == push.seq
        };
        self.queue.retain(|queued| !is_finished(queued));
        let Some(known) = self.subscriptions.get_mut(&push.subscription) else { return };
        known.claimed_until_ms = 0;
        // With further messages it goes behind those that wait now.
        let queued = self.queue.iter().filter(|queued| queued.subscription == push.subscription);
        known.ready_ms = queued.map(|queued| queued.due_ms).min().map(|due_ms| due_ms.max(next_ms));
    }
}

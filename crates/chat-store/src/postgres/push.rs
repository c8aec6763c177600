//! Push. Each transaction has the same result if it is repeated after its answer was lost, but
//! for a claim, which then lasts until its end.

use chat_core::{SessionId, Topic};

use super::PostgresStore;
use super::pool::write;
use crate::push::database;
use crate::{DuePush, NewPushSubscription, PushClaim, PushCount, PushDone, PushRepository, StoreFuture};

impl PushRepository for PostgresStore {
    fn push_key<'a>(&'a self, new: &'a str) -> StoreFuture<'a, String> {
        write!(self, c => database::key(c, new))
    }

    fn subscribe_push<'a>(
        &'a self,
        new: &'a NewPushSubscription,
        max: usize,
        now_ms: u64,
    ) -> StoreFuture<'a, bool> {
        write!(self, c => database::subscribe(c, new, max, now_ms))
    }

    fn unsubscribe_push<'a>(&'a self, session: &'a SessionId) -> StoreFuture<'a, bool> {
        write!(self, c => database::unsubscribe(c, session))
    }

    fn sweep_push_subscriptions(&self, now_ms: u64) -> StoreFuture<'_, PushCount> {
        write!(self, c => database::sweep(c, now_ms))
    }

    fn topics_to_push(
        &self,
        since_ms: u64,
        after: u64,
        max: usize,
    ) -> StoreFuture<'_, (Vec<Topic>, Option<u64>)> {
        Box::pin(database::topics(&self.pool, since_ms, after, max))
    }

    fn queue_pushes<'a>(&'a self, topics: &'a [Topic], since_ms: u64, due_ms: u64) -> StoreFuture<'a, u64> {
        // Of two servers that look through a topic at once, the later one begins where the other has
        // ended: else it would queue what was sent meanwhile.
        write!(self, Some(QUEUE_LOCK), c => database::queue(c, topics, since_ms, due_ms))
    }

    fn claim_pushes(&self, claim: PushClaim) -> StoreFuture<'_, Vec<DuePush>> {
        write!(self, c => database::claim(c, claim))
    }

    fn finish_push<'a>(&'a self, push: &'a DuePush, done: PushDone) -> StoreFuture<'a, ()> {
        write!(self, c => database::finish(c, push, done))
    }
}

/// A transaction that queues messages holds it. It is apart from the locks of accounts and roles.
const QUEUE_LOCK: i64 = 0x6368_6174_0000_0005;

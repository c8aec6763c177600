//! Push in memory: what concerns sessions and the log, too.

use std::collections::HashMap;

use chat_core::{SessionId, Topic};

use super::{Inner, MemoryStore};
use crate::{
    DuePush, NewPushSubscription, PushClaim, PushCount, PushDone, PushRepository, Session, StoreFuture,
};

/// Whether a session is valid.
fn is_valid(sessions: &HashMap<SessionId, Session>, id: &SessionId, now_ms: u64) -> bool {
    sessions.get(id).is_some_and(|session| now_ms < session.expires_at_ms)
}

impl PushRepository for MemoryStore {
    fn push_key<'a>(&'a self, new: &'a str) -> StoreFuture<'a, String> {
        Box::pin(async move { Ok(self.lock().push.key.get_or_insert_with(|| new.to_owned()).clone()) })
    }

    fn subscribe_push<'a>(
        &'a self,
        new: &'a NewPushSubscription,
        max: usize,
        now_ms: u64,
    ) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let mut inner = self.lock();
            if !is_valid(&inner.sessions, &new.session, now_ms) {
                return Ok(false);
            }
            inner.push.subscribe(new, max, now_ms);
            Ok(true)
        })
    }

    fn unsubscribe_push<'a>(&'a self, session: &'a SessionId) -> StoreFuture<'a, bool> {
        Box::pin(async move { Ok(self.lock().push.unsubscribe(session)) })
    }

    fn sweep_push_subscriptions(&self, now_ms: u64) -> StoreFuture<'_, PushCount> {
        Box::pin(async move {
            let mut inner = self.lock();
            let Inner { push, sessions, .. } = &mut *inner;
            Ok(push.sweep(|id| is_valid(sessions, id, now_ms), now_ms))
        })
    }

    /// None: all commits of the log are in this process, which knows of them.
    fn topics_to_push(
        &self,
        _since_ms: u64,
        _after: u64,
        _max: usize,
    ) -> StoreFuture<'_, (Vec<Topic>, Option<u64>)> {
        Box::pin(async { Ok((Vec::new(), None)) })
    }

    fn queue_pushes<'a>(&'a self, topics: &'a [Topic], since_ms: u64, due_ms: u64) -> StoreFuture<'a, u64> {
        Box::pin(async move {
            let mut inner = self.lock();
            let Inner { push, history, .. } = &mut *inner;
            Ok(push.queue(history, topics, since_ms, due_ms))
        })
    }

    fn claim_pushes(&self, claim: PushClaim) -> StoreFuture<'_, Vec<DuePush>> {
        Box::pin(async move {
            let mut inner = self.lock();
            let Inner { push, history, sessions, .. } = &mut *inner;
            Ok(push.claim(history, |id| is_valid(sessions, id, claim.now_ms), claim))
        })
    }

    fn finish_push<'a>(&'a self, push: &'a DuePush, done: PushDone) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.lock().push.finish(push, done);
            Ok(())
        })
    }
}

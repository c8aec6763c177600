//! A store that lives as long as its process.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chat_core::{
    Commit, Draft, History, HistoryLimits, Page, PageFrom, PageLimits, Seed, SessionId, Topic, Username,
};
use uuid::Uuid;

use crate::{Answer, EventLog, NewUser, Session, SessionRepository, StoreError, User, UserRepository};

/// Users, sessions and the log in this process's memory: for embedders and
/// tests. What it stores is gone with it, and so each one has an epoch of its
/// own. It keeps the newest messages only, see [`HistoryLimits`].
///
/// All of it is behind one lock, which is taken once for each batch.
pub struct MemoryStore {
    epoch: String,
    inner: Mutex<Inner>,
}

struct Inner {
    history: History,
    users: HashMap<Username, User>,
    sessions: HashMap<SessionId, Session>,
    /// Sign-ins until the ended sessions are swept out.
    sign_ins_to_sweep: usize,
}

/// Looking through all sessions at each sign-in would make many of them slow.
const SIGN_INS_PER_SWEEP: usize = 256;

impl MemoryStore {
    /// An empty store.
    pub fn new(limits: HistoryLimits) -> Self {
        // The generator of uuids is the system's.
        let (one, other) = Uuid::new_v4().as_u64_pair();
        Self {
            epoch: Uuid::new_v4().to_string(),
            inner: Mutex::new(Inner {
                history: History::new(Seed(one, other), limits),
                users: HashMap::new(),
                sessions: HashMap::new(),
                sign_ins_to_sweep: SIGN_INS_PER_SWEEP,
            }),
        }
    }

    /// A panic elsewhere is no reason to stop: every change is complete before
    /// foreign code (`publish`) runs under the lock.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(HistoryLimits::default())
    }
}

impl Inner {
    fn append(&mut self, drafts: &[Draft], now_ms: u64) -> Commit {
        let users = &self.users;
        self.history.append(drafts, now_ms, |name| users.contains_key(name))
    }
}

impl UserRepository for MemoryStore {
    fn create_user<'a>(&'a self, user: &'a NewUser) -> Answer<'a, ()> {
        Box::pin(async move {
            let mut inner = self.lock();
            if inner.users.contains_key(&user.name) {
                return Err(StoreError::NameTaken);
            }
            let NewUser { name, password_hash, avatar, created_at_ms } = user.clone();
            inner.users.insert(name.clone(), User { name, password_hash, avatar, created_at_ms });
            Ok(())
        })
    }

    fn find_user<'a>(&'a self, name: &'a Username) -> Answer<'a, Option<User>> {
        Box::pin(async move { Ok(self.lock().users.get(name).cloned()) })
    }

    fn set_password_hash<'a>(&'a self, name: &'a Username, old: &'a str, new: &'a str) -> Answer<'a, bool> {
        Box::pin(async move {
            let mut inner = self.lock();
            let user = inner.users.get_mut(name).filter(|user| user.password_hash == old);
            Ok(user.map(|user| new.clone_into(&mut user.password_hash)).is_some())
        })
    }
}

impl SessionRepository for MemoryStore {
    fn open_session<'a>(&'a self, session: &'a Session) -> Answer<'a, ()> {
        Box::pin(async move {
            let mut inner = self.lock();
            inner.sign_ins_to_sweep -= 1;
            if inner.sign_ins_to_sweep == 0 {
                inner.sign_ins_to_sweep = SIGN_INS_PER_SWEEP;
                inner.sessions.retain(|_, old| old.expires_at_ms > session.created_at_ms);
            }
            inner.sessions.insert(session.id.clone(), session.clone());
            Ok(())
        })
    }

    fn find_session<'a>(&'a self, id: &'a SessionId, now_ms: u64) -> Answer<'a, Option<Session>> {
        Box::pin(async move {
            let inner = self.lock();
            Ok(inner.sessions.get(id).filter(|session| now_ms < session.expires_at_ms).cloned())
        })
    }

    fn renew_session<'a>(&'a self, id: &'a SessionId, now_ms: u64, expires_at_ms: u64) -> Answer<'a, ()> {
        Box::pin(async move {
            if let Some(session) = self.lock().sessions.get_mut(id)
                && now_ms < session.expires_at_ms
            {
                session.expires_at_ms = expires_at_ms;
            }
            Ok(())
        })
    }

    fn revoke_session<'a>(&'a self, id: &'a SessionId) -> Answer<'a, ()> {
        Box::pin(async move {
            self.lock().sessions.remove(id);
            Ok(())
        })
    }
}

impl EventLog for MemoryStore {
    fn append<'a>(&'a self, drafts: &'a [Draft], now_ms: u64) -> Answer<'a, Commit> {
        Box::pin(async move { Ok(self.lock().append(drafts, now_ms)) })
    }

    fn page<'a>(&'a self, topic: &'a Topic, from: PageFrom, limits: PageLimits) -> Answer<'a, Page> {
        Box::pin(async move { Ok(self.lock().history.page(topic, from, limits)) })
    }

    fn epoch(&self) -> &str {
        &self.epoch
    }

    fn check(&self) -> Answer<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn append_in_place(
        &self,
        drafts: &[Draft],
        now_ms: u64,
        publish: &mut dyn FnMut(&Commit),
    ) -> Option<Commit> {
        let mut inner = self.lock();
        let commit = inner.append(drafts, now_ms);
        publish(&commit);
        Some(commit)
    }
}

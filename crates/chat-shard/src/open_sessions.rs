//! The sessions that have sockets on this server, or on their way to it.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chat_core::{SessionId, Username};

/// The sessions of all sockets of this process. It is locked when a socket comes or
/// goes, never for a message.
///
/// A session is entered *before* the store is asked whether it is good, so that
/// whatever happens to it from then on finds it here: a sign-out that the store's
/// answer was too early for is pushed to the shards, and a renewal is seen when the
/// shard takes the socket over, in whatever order the two arrive there.
#[derive(Default)]
pub struct OpenSessions {
    sessions: Mutex<BTreeMap<SessionId, OpenSession>>,
}

struct OpenSession {
    user: Username,
    /// Sockets, and requests that may become sockets.
    uses: usize,
    /// The latest known end, in milliseconds since 1970; 0 before any is known.
    good_until_ms: u64,
}

/// One use of a session, by a socket or a request. [`OpenSessions`] drops a session with
/// its last use.
pub struct SessionUse {
    all: Arc<OpenSessions>,
    id: SessionId,
}

impl OpenSessions {
    /// Adds a use of a session, until the returned value is dropped.
    pub fn enter(self: &Arc<Self>, id: &SessionId, user: &Username) -> SessionUse {
        let new = || OpenSession { user: user.clone(), uses: 0, good_until_ms: 0 };
        self.lock().entry(id.clone()).or_insert_with(new).uses += 1;
        SessionUse { all: Arc::clone(self), id: id.clone() }
    }

    /// Moves the end of a session to `good_until_ms`, in milliseconds since 1970, unless
    /// a later end is known. Returns whether the end has moved.
    pub fn renew(&self, id: &SessionId, good_until_ms: u64) -> bool {
        let mut sessions = self.lock();
        let Some(session) = sessions.get_mut(id) else { return false };
        let has_moved = session.good_until_ms < good_until_ms;
        session.good_until_ms = session.good_until_ms.max(good_until_ms);
        has_moved
    }

    /// The sessions among `ids` that are open.
    pub fn only_open(&self, ids: &[SessionId]) -> Vec<SessionId> {
        let sessions = self.lock();
        ids.iter().filter(|id| sessions.contains_key(id)).cloned().collect()
    }

    /// The open sessions of a user.
    pub fn of(&self, user: &Username) -> Vec<SessionId> {
        let sessions = self.lock();
        let of_user = sessions.iter().filter(|(_, session)| session.user == *user);
        of_user.map(|(id, _)| id.clone()).collect()
    }

    /// The open sessions of a user, each with its latest known end in milliseconds since 1970.
    pub fn ends_of(&self, user: &Username) -> Vec<(SessionId, u64)> {
        let sessions = self.lock();
        let of_user = sessions.iter().filter(|(_, session)| session.user == *user);
        of_user.map(|(id, session)| (id.clone(), session.good_until_ms)).collect()
    }

    /// At most `max` sessions in the order of their ids, from the one behind `last` on,
    /// each with its latest known end in milliseconds since 1970.
    pub fn after(&self, last: Option<&SessionId>, max: usize) -> Vec<(SessionId, u64)> {
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        let sessions = self.lock();
        let rest = sessions.range::<SessionId, _>((from, Bound::Unbounded));
        rest.take(max).map(|(id, session)| (id.clone(), session.good_until_ms)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SessionId, OpenSession>> {
        // Every change is whole in one statement.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SessionUse {
    /// The session's id.
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    /// The latest known end of the session, in milliseconds since 1970; 0 if none is.
    pub fn good_until_ms(&self) -> u64 {
        self.all.lock().get(&self.id).map_or(0, |session| session.good_until_ms)
    }
}

impl Drop for SessionUse {
    fn drop(&mut self) {
        let mut sessions = self.all.lock();
        if let Some(session) = sessions.get_mut(&self.id) {
            session.uses -= 1;
            if session.uses == 0 {
                sessions.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(id: &str) -> SessionId {
        SessionId::new(id)
    }

    fn name(name: &str) -> Username {
        Username::known(name).unwrap()
    }

    #[test]
    fn a_session_is_known_until_its_last_use_ends() {
        let all = Arc::new(OpenSessions::default());
        let (one, other) = (all.enter(&id("a"), &name("alice")), all.enter(&id("a"), &name("alice")));
        let bobs = all.enter(&id("b"), &name("bob"));
        assert_eq!(all.of(&name("alice")), [id("a")]);
        assert_eq!(all.only_open(&[id("x"), id("b"), id("a")]), [id("b"), id("a")]);
        drop(one);
        assert_eq!(all.only_open(&[id("a")]), [id("a")]);
        drop((other, bobs));
        assert!(all.lock().is_empty());
    }

    #[test]
    fn an_end_never_moves_back() {
        let all = Arc::new(OpenSessions::default());
        assert!(!all.renew(&id("a"), 10), "nobody uses it");
        let using = all.enter(&id("a"), &name("alice"));
        assert_eq!(using.good_until_ms(), 0);
        assert!(all.renew(&id("a"), 10));
        assert!(!all.renew(&id("a"), 10));
        assert!(!all.renew(&id("a"), 5));
        assert_eq!(all.enter(&id("a"), &name("alice")).good_until_ms(), 10);
    }

    #[test]
    fn all_sessions_are_listed_in_parts() {
        let all = Arc::new(OpenSessions::default());
        let uses: Vec<_> = ["c", "a", "b"].map(|each| all.enter(&id(each), &name("alice"))).into();
        let first = all.after(None, 2);
        assert_eq!(first, [(id("a"), 0), (id("b"), 0)]);
        assert_eq!(all.after(Some(&first[1].0), 2), [(id("c"), 0)]);
        drop(uses);
        // Also behind one that is gone.
        assert_eq!(all.after(Some(&id("a")), 2), []);
    }
}

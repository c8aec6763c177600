//! The users who have sockets without a session on this server, or on their way to it.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chat_core::Username;

/// The users of sockets without a session: another issuer has signed these users in.
///
/// A user is entered *before* the store is asked whether the user is banned, as
/// [`OpenSessions`](crate::OpenSessions) are: a ban from then on reaches the socket, also one
/// that is still on its way to its shard.
#[derive(Default)]
pub struct OpenUsers {
    users: Mutex<BTreeMap<Username, OpenUser>>,
}

struct OpenUser {
    /// Sockets, and requests that may become sockets.
    uses: usize,
    /// Set by a ban, for those that the uses belong to.
    is_ended: Arc<AtomicBool>,
}

/// One use of a token of another issuer, by a socket or a request. [`OpenUsers`] drops a user
/// with the last use.
pub struct UserUse {
    all: Arc<OpenUsers>,
    user: Username,
    is_ended: Arc<AtomicBool>,
}

impl OpenUsers {
    /// Adds a use, until the returned value is dropped.
    pub fn enter(self: &Arc<Self>, user: &Username) -> UserUse {
        let mut users = self.lock();
        let new = || OpenUser { uses: 0, is_ended: Arc::default() };
        let entry = users.entry(user.clone()).or_insert_with(new);
        entry.uses += 1;
        UserUse { all: Arc::clone(self), user: user.clone(), is_ended: Arc::clone(&entry.is_ended) }
    }

    /// Ends all uses of a user. Those that are added from now on are others.
    pub(crate) fn end(&self, user: &Username) {
        if let Some(entry) = self.lock().remove(user) {
            entry.is_ended.store(true, Ordering::Release);
        }
    }

    /// Whether a user has uses that were not ended.
    pub fn contain(&self, user: &Username) -> bool {
        self.lock().contains_key(user)
    }

    /// At most `max` users in the order of their names, from the one behind `last` on.
    pub fn after(&self, last: Option<&Username>, max: usize) -> Vec<Username> {
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        let users = self.lock();
        users.range::<Username, _>((from, Bound::Unbounded)).take(max).map(|(user, _)| user.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Username, OpenUser>> {
        // Every change is whole in one statement.
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UserUse {
    /// Whether the user was banned since this use was added.
    pub fn is_ended(&self) -> bool {
        self.is_ended.load(Ordering::Acquire)
    }
}

impl Drop for UserUse {
    fn drop(&mut self) {
        let mut users = self.all.lock();
        if let Some(entry) = users.get_mut(&self.user)
            && Arc::ptr_eq(&entry.is_ended, &self.is_ended)
        {
            entry.uses -= 1;
            if entry.uses == 0 {
                users.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ban_ends_the_uses_that_there_are_and_no_later_one() {
        let name = |name: &str| Username::known(name).unwrap();
        let all = Arc::new(OpenUsers::default());
        let (one, other) = (all.enter(&name("eve")), all.enter(&name("eve")));
        let bob = all.enter(&name("bob"));
        assert_eq!(all.after(None, 9), [name("bob"), name("eve")]);
        assert_eq!(all.after(Some(&name("bob")), 9), [name("eve")]);
        drop(one);
        assert!(all.contain(&name("eve")));
        all.end(&name("eve"));
        assert!(other.is_ended() && !bob.is_ended());
        let later = all.enter(&name("eve"));
        drop(other);
        assert!(all.contain(&name("eve")) && !later.is_ended());
        drop((later, bob));
        assert!(all.lock().is_empty());
    }
}

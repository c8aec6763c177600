//! The challenges of a certificate authority (RFC 8555 §8.3).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The http-01 challenges that wait for a certificate authority, and what each is answered
/// with. Clones share them.
///
/// [`Server::serve_redirects`](crate::Server::serve_redirects) answers them; the program that
/// orders certificates adds and removes them.
#[derive(Debug, Clone, Default)]
pub struct AcmeChallenges {
    answers: Arc<Mutex<HashMap<String, String>>>,
}

impl AcmeChallenges {
    /// The path of a challenge, up to its token.
    pub(crate) const PATH: &str = "/.well-known/acme-challenge/";

    /// From now on a token is answered with its key authorization.
    pub fn add(&self, token: &str, key_authorization: &str) {
        self.answers().insert(token.to_owned(), key_authorization.to_owned());
    }

    /// A token is answered with 404 again.
    pub fn remove(&self, token: &str) {
        self.answers().remove(token);
    }

    pub(crate) fn answer(&self, token: &str) -> Option<String> {
        self.answers().get(token).cloned()
    }

    fn answers(&self) -> MutexGuard<'_, HashMap<String, String>> {
        // Each change is whole in one call.
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

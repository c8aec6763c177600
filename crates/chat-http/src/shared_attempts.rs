//! Sign-ins and registrations as all servers of a database count them.

use std::net::IpAddr;
use std::sync::Arc;

use chat_auth::{
    Attempt, HashFor, KeyedHash, Network, PastFailure, SignInLimiter, SignInName, SignInRefused,
};
use chat_store::{AttemptKey, NewAttempt, PastAttempt, SharedRepository, SharedSecret, StoreError};

/// A sign-in that is being checked. Dropping it counts as a failure.
///
/// The memory of this server is asked first. Only where it knows of something else that counts are the
/// other servers asked, before the password is checked: a user who makes no mistake costs the store
/// nothing. So of several servers, each checks one guess more than a single one.
#[must_use]
pub(crate) struct SignInAttempt<'a> {
    own: Attempt<'a>,
    shared: Option<(&'a dyn SharedRepository, NewAttempt)>,
    /// Whether the other servers know of it.
    is_counted: bool,
}

impl<'a> SignInAttempt<'a> {
    /// Begins an attempt, before its password is checked.
    ///
    /// # Errors
    ///
    /// [`SignInRefused`].
    pub(crate) async fn begin(
        limiter: &'a SignInLimiter,
        shared: Option<&'a dyn SharedRepository>,
        name: SignInName<'_>,
        address: Option<IpAddr>,
    ) -> Result<Self, SignInRefused> {
        let own = limiter.begin(name, address).await?;
        let shared = shared.map(|shared| {
            let key = |key: chat_auth::SharedKey| AttemptKey {
                hash: key.hash,
                window_seconds: key.window_seconds,
                max: key.max,
            };
            let keys = own.shared_keys().into_iter().map(key).collect();
            (shared, NewAttempt { id: rand::random(), keys, account: None })
        });
        let mut attempt = Self { own, shared, is_counted: false };
        if attempt.own.is_doubted()
            && let Err(refused) = attempt.count().await
        {
            attempt.not_checked().await;
            return Err(refused);
        }
        Ok(attempt)
    }

    /// Tells the other servers, and learns what they have counted.
    async fn count(&mut self) -> Result<(), SignInRefused> {
        let Some((shared, attempt)) = &mut self.shared else { return Ok(()) };
        attempt.account = self.own.account();
        match shared.count_attempt(attempt).await {
            Ok(counted) => {
                self.is_counted = true;
                let past =
                    |past: PastAttempt| PastFailure { age_seconds: past.age_seconds, account: past.account };
                let counted: Vec<Vec<_>> =
                    counted.into_iter().map(|of_key| of_key.into_iter().map(past).collect()).collect();
                self.own.learn(&counted)
            }
            Err(error) => {
                // A sign-in needs the store, too, and will say so.
                tracing::debug!(%error, "the other servers do not know of a sign-in");
                Ok(())
            }
        }
    }

    /// On whose behalf the hash is computed.
    pub(crate) fn on_behalf<'b>(&self, folded: &'b str, network: &'b str) -> HashFor<'b> {
        if self.own.is_from_known_address() {
            HashFor::KnownUser(folded)
        } else if self.own.is_from_doubtful_address() {
            HashFor::DoubtfulSignIn(network)
        } else {
            HashFor::SignIn(network)
        }
    }

    /// Notes the exact name of the account whose password is checked, before the check.
    pub(crate) fn has_found(&mut self, account: &str) {
        self.own.has_found(account);
    }

    /// Ends the attempt: the password was wrong.
    pub(crate) async fn failed(mut self) {
        // It counts anyway; the others have to know.
        let _ = self.count().await;
    }

    /// Ends the attempt: the password was right.
    pub(crate) async fn succeeded(self) {
        let Self { own, shared, is_counted } = self;
        let (forgotten, is_doubted) = (own.forgotten_by_success(), own.is_doubted());
        own.succeeded();
        if let Some((shared, attempt)) = shared.filter(|_| is_counted || is_doubted) {
            note_error(shared.take_attempt_back(&attempt, forgotten).await);
        }
    }

    /// Ends the attempt: the password was not checked. The attempt does not count.
    pub(crate) async fn not_checked(self) {
        self.own.not_checked();
        if let Some((shared, attempt)) = self.shared.filter(|_| self.is_counted) {
            note_error(shared.take_attempt_back(&attempt, None).await);
        }
    }
}

/// An attempt that is not taken back counts until its time is over.
fn note_error(taken_back: Result<(), StoreError>) {
    if let Err(error) = taken_back {
        tracing::debug!(%error, "an attempt counts on");
    }
}

/// Registrations as all servers count them.
pub(crate) struct SharedRegistrations {
    shared: Arc<dyn SharedRepository>,
    hasher: KeyedHash,
}

/// A registration that all servers count.
pub(crate) struct CountedRegistration {
    shared: Arc<dyn SharedRepository>,
    attempt: NewAttempt,
}

/// A limit on registrations: how long one counts, in seconds, and how many are allowed in that time.
#[derive(Clone, Copy)]
pub(crate) struct RegistrationLimit {
    pub(crate) window_seconds: u32,
    pub(crate) max: usize,
}

impl SharedRegistrations {
    pub(crate) fn new(shared: Arc<dyn SharedRepository>, hasher: KeyedHash) -> Self {
        Self { shared, hasher }
    }

    /// Counts a registration. The answer is the seconds to wait if it is one too many: in all, or
    /// from its address.
    pub(crate) async fn count(
        &self,
        in_all: RegistrationLimit,
        of_address: Option<(Network, RegistrationLimit)>,
    ) -> Result<(CountedRegistration, [Option<u64>; 2]), StoreError> {
        // What was long ago only matters through what came after it.
        let key = |hash, limit: RegistrationLimit| AttemptKey {
            hash,
            window_seconds: limit.window_seconds.saturating_mul(2),
            max: limit.max.saturating_mul(2),
        };
        let mut keys = vec![key(self.hasher.hash("registrations"), in_all)];
        if let Some((network, limit)) = of_address {
            keys.push(key(self.hasher.hash(("registrations", network)), limit));
        }
        let attempt = NewAttempt { id: rand::random(), keys, account: None };
        let counted = self.shared.count_attempt(&attempt).await?;
        let limits = [Some(in_all), of_address.map(|(_, limit)| limit)];
        let mut waits = [None; 2];
        for ((wait, limit), past) in waits.iter_mut().zip(limits.into_iter().flatten()).zip(&counted) {
            *wait = limit.wait(past);
        }
        Ok((CountedRegistration { shared: Arc::clone(&self.shared), attempt }, waits))
    }
}

impl RegistrationLimit {
    /// How many seconds one more has to wait after these, of which the newest is the first; `None` if
    /// it is allowed. The rule is that of [`Rate`](crate::user_rate::Rate).
    fn wait(self, past: &[PastAttempt]) -> Option<u64> {
        let each = f64::from(self.window_seconds) / self.max.max(1) as f64;
        // When as many as at first may follow again: in seconds from now.
        let full = |full: f64, at: f64| full.max(at) + each;
        let oldest_first = past.iter().rev().map(|past| -f64::from(past.age_seconds));
        let full_at = full(oldest_first.fold(f64::NEG_INFINITY, full), 0.0);
        let wait = full_at - f64::from(self.window_seconds);
        // Ages are whole seconds.
        (wait > 1e-6).then_some(wait.ceil() as u64)
    }
}

impl CountedRegistration {
    /// No account was made.
    pub(crate) async fn take_back(self) {
        note_error(self.shared.take_attempt_back(&self.attempt, None).await);
    }
}

/// The key by which all servers hash what counts; a random one where there is one server.
pub(crate) async fn keyed_hash(shared: Option<&dyn SharedRepository>) -> Result<KeyedHash, StoreError> {
    let Some(shared) = shared else { return Ok(KeyedHash::random()) };
    let new: [u8; 16] = rand::random();
    let key = shared.shared_secret(SharedSecret::Attempts, &new).await?;
    let key = key.try_into().map_err(|_| StoreError::Damaged { what: "the key of attempts" })?;
    Ok(KeyedHash::new(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registrations_follow_each_other_as_they_are_used_up() {
        let limit = RegistrationLimit { window_seconds: 3_600, max: 100 };
        let ages = |ages: &[u32]| -> Vec<PastAttempt> {
            ages.iter().map(|age| PastAttempt { age_seconds: *age, account: None }).collect()
        };
        assert_eq!(limit.wait(&[]), None);
        assert_eq!(limit.wait(&ages(&[0; 99])), None, "all at once");
        assert_eq!(limit.wait(&ages(&[0; 100])), Some(36), "then one after another");
        assert_eq!(limit.wait(&ages(&[35; 100])), Some(1));
        assert_eq!(limit.wait(&ages(&[36; 100])), None);
        let one_more = [&[0][..], &[36; 100]].concat();
        assert_eq!(limit.wait(&ages(&one_more)), Some(36));
        assert_eq!(limit.wait(&ages(&[3_600; 100])), None);
        // Those that are counted at most.
        assert_eq!(limit.wait(&ages(&[10; 200])), Some(3_626));
    }
}

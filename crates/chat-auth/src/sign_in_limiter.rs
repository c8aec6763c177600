//! The limits on sign-ins.

use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::KeyedHash;
use crate::failures::{AccountTag, Failure, Failures};
use crate::known_places::KnownPlaces;
use crate::network::Network;

/// Counts sign-ins, and refuses further ones beyond a limit.
///
/// Failures are counted for each account with each address, so that an attacker is
/// stopped while the owner of the account elsewhere is not; for each account alone,
/// against guesses from many addresses; and for each address alone, against one password
/// that is tried with many names. All attempts count for their address, too: each costs a
/// hash. Names without an account are counted in the same way; otherwise the answer would
/// show which names have accounts.
///
/// A database that was taken over may have accounts whose names differ only in case. All
/// spellings of a name count together, so that none has guesses of its own; but a success
/// with one account lifts no limit on guesses of another one.
///
/// Users who are signed in are not affected. The caller judges the form of a password before
/// an attempt begins: one that cannot be a password costs no hash, and must not count.
pub struct SignInLimiter {
    limits: SignInLimits,
    started: Instant,
    /// Hashes the keys: clients choose the names, and how long they are.
    hasher: KeyedHash,
    failures: Mutex<Failures>,
    /// Names as they were typed, with the addresses from which each has signed in. A
    /// spelling finds one account, which is known only after an attempt has begun.
    signed_in_from: Mutex<KnownPlaces>,
    attempt_ended: Notify,
    /// The attempts that wait, for each address or, without one, each name.
    waiting: Mutex<HashMap<u64, usize>>,
}

/// How many failures and attempts [`SignInLimiter`] allows. An IPv6 network of 56 bits, which
/// one customer of a provider may have, counts as one address.
#[derive(Debug, Clone)]
pub struct SignInLimits {
    /// Failures of one account from one address within 15 minutes.
    pub from_address_max: usize,
    /// Failures of one account within an hour, from all addresses. For an address from
    /// which a sign-in with the same spelling has succeeded before, only failures from
    /// there count.
    pub of_account_max: usize,
    /// Failures from one address within 15 minutes, with all accounts but those that have
    /// signed in from there before.
    pub of_address_max: usize,
    /// Attempts from one address within 15 minutes, also successful ones. A name that has
    /// signed in from there before has as many of its own.
    pub attempts_max: usize,
    /// Accounts, addresses, and accounts with addresses, that are remembered; beyond it those
    /// with the fewest failures are forgotten. Each takes about 100 bytes, and 12 bytes more
    /// for each failure.
    pub remembered_max: usize,
}

impl Default for SignInLimits {
    fn default() -> Self {
        Self {
            from_address_max: 10,
            of_account_max: 100,
            of_address_max: 50,
            attempts_max: 3000,
            remembered_max: 250_000,
        }
    }
}

/// The name of a sign-in.
#[derive(Debug, Clone, Copy)]
pub struct SignInName<'a> {
    /// The name as the client sent it.
    pub typed: &'a str,
    /// A text that is the same for all spellings of the name that find one account.
    pub folded: &'a str,
}

/// Why a sign-in is refused before its password is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignInRefused {
    /// There were too many failures or attempts.
    #[error("too many sign-ins, try again in {} s", .retry_after.as_secs())]
    TooMany {
        /// The limit that was reached.
        limit: SignInLimit,
        /// After which time the next attempt is allowed, in whole seconds.
        retry_after: Duration,
    },
    /// Too many attempts wait for other attempts of the same account or address, or no more
    /// failures can be remembered.
    #[error("too many sign-ins at once")]
    Busy,
}

/// A family behind one address has fewer wrong passwords within 15 minutes.
pub const DOUBTFUL_FROM: usize = 5;

/// A limit of [`SignInLimits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignInLimit {
    /// [`from_address_max`](SignInLimits::from_address_max).
    FromAddress,
    /// [`of_account_max`](SignInLimits::of_account_max).
    OfAccount,
    /// [`of_address_max`](SignInLimits::of_address_max).
    OfAddress,
    /// [`attempts_max`](SignInLimits::attempts_max).
    Attempts,
}

impl SignInLimiter {
    /// A limiter that knows of no failures. Several servers that count together hash with the same
    /// key.
    pub fn new(limits: SignInLimits, hasher: KeyedHash, now: Instant) -> Self {
        Self {
            limits,
            started: now,
            hasher,
            failures: Mutex::default(),
            signed_in_from: Mutex::default(),
            attempt_ended: Notify::new(),
            waiting: Mutex::default(),
        }
    }

    /// Begins an attempt, before its password is checked. It counts as a failure unless
    /// the [`Attempt`] is ended otherwise. While the pending attempts could all be
    /// failures and reach the limit, a further one waits: many attempts at one time do
    /// not get around the limit.
    ///
    /// `address` is `None` where the address of the client is not known: then only the limit
    /// of the account from all addresses holds.
    ///
    /// # Errors
    ///
    /// [`SignInRefused`]; the password must not be checked then.
    pub async fn begin(
        &self,
        name: SignInName<'_>,
        address: Option<IpAddr>,
    ) -> Result<Attempt<'_>, SignInRefused> {
        let network = address.map(Network::of);
        let place = network.map(|network| self.place(name.typed, network));
        let is_known = place.is_some_and(|place| self.places().contains(place, self.limits.remembered_max));
        let keys = self.keys(name, network, is_known);
        let mut waiting = None;
        loop {
            let ended = self.attempt_ended.notified();
            let mut ended = pin!(ended);
            // Registered before the check, so that no end between both is missed.
            ended.as_mut().enable();
            if self.admit(&keys, self.seconds(Instant::now()))? {
                return Ok(Attempt {
                    limiter: self,
                    keys,
                    place,
                    is_known,
                    account: None,
                    outcome: Outcome::Failed,
                });
            }
            if waiting.is_none() {
                let whose = network.map_or_else(
                    || self.hash(Kind::Name, name.folded),
                    |network| self.hash(Kind::Network, network),
                );
                waiting = Some(Waiting::enter(self, whose).ok_or(SignInRefused::Busy)?);
            }
            ended.await;
        }
    }

    /// Notes that a user has signed in from this address, also long ago: attempts with this
    /// name from there are not held up by those of others.
    pub fn remember(&self, name: &str, address: IpAddr) {
        let place = self.place(name, Network::of(address));
        self.places().insert(place, self.limits.remembered_max);
    }

    /// What an attempt counts for.
    fn keys(&self, name: SignInName<'_>, network: Option<Network>, is_known: bool) -> Vec<Key> {
        let mut keys = Vec::with_capacity(4);
        let mut add = |hash, limit, is_checked| keys.push(Key { hash, limit, is_checked });
        // Failures elsewhere do not count for an address that has signed in before.
        add(self.hash(Kind::Name, name.folded), SignInLimit::OfAccount, !is_known);
        let Some(network) = network else { return keys };
        add(self.hash(Kind::NameFrom, (name.folded, network)), SignInLimit::FromAddress, true);
        if is_known {
            add(self.hash(Kind::AttemptsWith, (name.folded, network)), SignInLimit::Attempts, true);
        } else {
            add(self.hash(Kind::Network, network), SignInLimit::OfAddress, true);
            add(self.hash(Kind::Attempts, network), SignInLimit::Attempts, true);
        }
        keys
    }

    /// Whether an attempt may begin now; if not, it waits for the end of a pending one.
    fn admit(&self, keys: &[Key], now: u32) -> Result<bool, SignInRefused> {
        let mut failures = self.failures();
        if !failures.make_room(now, self.limits.remembered_max) {
            return Err(SignInRefused::Busy);
        }
        let mut refused = None;
        let mut is_free = true;
        for key in keys.iter().filter(|key| key.is_checked) {
            let recent = failures.of(key.hash, key.limit.window(), self.max(key.limit));
            recent.forget_old(now);
            if let Some(seconds) = recent.wait(now)
                && refused.is_none_or(|(longest, _)| seconds > longest)
            {
                refused = Some((seconds, key.limit));
            }
            is_free &= recent.is_free();
        }
        if let Some((seconds, limit)) = refused {
            for key in keys {
                failures.forget_if_empty(key.hash);
            }
            return Err(SignInRefused::TooMany { limit, retry_after: Duration::from_secs(seconds.into()) });
        }
        if is_free {
            for key in keys {
                failures.of(key.hash, key.limit.window(), self.max(key.limit)).pending += 1;
            }
        }
        Ok(is_free)
    }

    fn end(&self, attempt: &Attempt<'_>, now: u32) {
        let Attempt { keys, account, outcome, .. } = attempt;
        let failure = || Failure { at: now, account: *account };
        let mut failures = self.failures();
        for key in keys {
            let recent = failures.of(key.hash, key.limit.window(), self.max(key.limit));
            recent.pending = recent.pending.saturating_sub(1);
            match (outcome, key.limit) {
                (Outcome::Failed, _) | (Outcome::Succeeded, SignInLimit::Attempts) => {
                    recent.failures.push(failure());
                }
                (Outcome::Succeeded, SignInLimit::FromAddress) => {
                    recent.failures.retain(|failure| failure.account != *account);
                }
                (Outcome::Succeeded | Outcome::NotChecked, _) => {}
            }
            failures.forget_if_empty(key.hash);
        }
        drop(failures);
        self.attempt_ended.notify_waiters();
    }

    fn max(&self, limit: SignInLimit) -> usize {
        match limit {
            SignInLimit::FromAddress => self.limits.from_address_max,
            SignInLimit::OfAccount => self.limits.of_account_max,
            SignInLimit::OfAddress => self.limits.of_address_max,
            SignInLimit::Attempts => self.limits.attempts_max,
        }
    }

    fn place(&self, typed: &str, network: Network) -> u64 {
        self.hash(Kind::Place, (typed, network))
    }

    fn hash(&self, kind: Kind, key: impl std::hash::Hash) -> u64 {
        self.hasher.hash((kind, key))
    }

    fn places(&self) -> MutexGuard<'_, KnownPlaces> {
        self.signed_in_from.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seconds(&self, now: Instant) -> u32 {
        // Failures that other servers have counted may be older than this one.
        now.saturating_duration_since(self.started).as_secs() as u32 + LONGEST_WINDOW_S
    }

    fn failures(&self) -> MutexGuard<'_, Failures> {
        // The counts are consistent wherever a thread could panic.
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A pending sign-in. Dropping it counts as a failure.
#[must_use]
pub struct Attempt<'a> {
    limiter: &'a SignInLimiter,
    keys: Vec<Key>,
    /// The name as it was typed with the address, if that is known.
    place: Option<u64>,
    is_known: bool,
    account: Option<AccountTag>,
    outcome: Outcome,
}

/// Something that an attempt counts for on all servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedKey {
    /// A hash, by the key that the servers share.
    pub hash: u64,
    /// How long an attempt counts, in seconds.
    pub window_seconds: u32,
    /// How many count within that time: more need not be known.
    pub max: usize,
}

/// A failure that some server has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PastFailure {
    /// How long ago it was, in seconds.
    pub age_seconds: u32,
    /// The [account](Attempt::account).
    pub account: Option<u32>,
}

/// Something that an attempt counts for.
#[derive(Clone, Copy)]
struct Key {
    hash: u64,
    limit: SignInLimit,
    /// Whether the limit holds for this attempt; it may count for others only.
    is_checked: bool,
}

/// What a hash is made of: hashes of different kinds differ.
#[derive(Clone, Copy, Hash)]
enum Kind {
    Name,
    NameFrom,
    Network,
    Attempts,
    AttemptsWith,
    Place,
}

#[derive(Clone, Copy)]
enum Outcome {
    Failed,
    Succeeded,
    NotChecked,
}

impl Attempt<'_> {
    /// Whether more than [`DOUBTFUL_FROM`] sign-ins from this address failed lately, or are being
    /// checked, with names that have not signed in from there before.
    pub fn is_from_doubtful_address(&self) -> bool {
        let failures = self.limiter.failures();
        let of_address = self.keys.iter().filter(|key| key.limit == SignInLimit::OfAddress);
        of_address.filter_map(|key| failures.get(key.hash)).any(|recent| recent.counted() > DOUBTFUL_FROM)
    }

    /// Whether a sign-in with this spelling of the name has succeeded from this address
    /// before.
    pub fn is_from_known_address(&self) -> bool {
        self.is_known
    }

    /// Notes the exact name of the account whose password is checked, before the check.
    pub fn has_found(&mut self, account: &str) {
        self.account = Some(AccountTag(self.limiter.hasher.hash(account) as u32));
    }

    /// What counts the attempt on all servers, if several count together: in the order that
    /// [`learn`](Self::learn) takes. Attempts that only cost hashes count on their own server.
    pub fn shared_keys(&self) -> Vec<SharedKey> {
        let limits = self.counted_together();
        let key = |key: &Key| SharedKey {
            hash: key.hash,
            window_seconds: key.limit.window(),
            max: self.limiter.max(key.limit),
        };
        limits.map(key).collect()
    }

    /// The key of failures that a success of this account forgets, and the account: `None` before
    /// the account [was found](Self::has_found), or without an address.
    pub fn forgotten_by_success(&self) -> Option<(u64, u32)> {
        let key = self.keys.iter().find(|key| key.limit == SignInLimit::FromAddress)?;
        Some((key.hash, self.account?.0))
    }

    /// The account that the attempt [has found](Self::has_found), in a form that servers share.
    pub fn account(&self) -> Option<u32> {
        self.account.map(|account| account.0)
    }

    /// Whether this server knows of something that counts beside this attempt. The first attempt of a
    /// user who makes no mistake needs no other server.
    pub fn is_doubted(&self) -> bool {
        let failures = self.limiter.failures();
        let others = |key: &Key| failures.get(key.hash).is_some_and(|recent| recent.counted() > 1);
        self.counted_together().filter(|key| key.is_checked).any(others)
    }

    /// Learns what all servers have counted beside this attempt, for each of the
    /// [shared keys](Self::shared_keys). What this one knows already stays, if it is more.
    ///
    /// # Errors
    ///
    /// [`SignInRefused::TooMany`]: the password must not be checked.
    pub fn learn(&self, counted: &[Vec<PastFailure>]) -> Result<(), SignInRefused> {
        let now = self.limiter.seconds(Instant::now());
        let mut failures = self.limiter.failures();
        let mut refused = Ok(());
        for (key, counted) in self.counted_together().zip(counted) {
            let recent = failures.of(key.hash, key.limit.window(), self.limiter.max(key.limit));
            if counted.len() > recent.failures.len() {
                let failure = |past: &PastFailure| Failure {
                    at: now.saturating_sub(past.age_seconds),
                    account: past.account.map(AccountTag),
                };
                recent.failures = counted.iter().map(failure).collect();
                recent.failures.sort_by_key(|failure| failure.at);
            }
            recent.forget_old(now);
            if key.is_checked
                && let Some(seconds) = recent.wait(now)
            {
                let retry_after = Duration::from_secs(seconds.into());
                refused = Err(SignInRefused::TooMany { limit: key.limit, retry_after });
            }
        }
        refused
    }

    fn counted_together(&self) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(|key| key.limit != SignInLimit::Attempts)
    }

    /// Ends the attempt: the password was right. Earlier failures of the account that the
    /// attempt [has found](Self::has_found) from this address are forgotten; those of
    /// accounts whose names differ in case stay, and so do those that count for the address:
    /// an attacker may have an account, too.
    pub fn succeeded(mut self) {
        self.outcome = Outcome::Succeeded;
        if let Some(place) = self.place {
            self.limiter.places().insert(place, self.limiter.limits.remembered_max);
        }
    }

    /// Ends the attempt: the password was not checked. The attempt does not count.
    pub fn not_checked(mut self) {
        self.outcome = Outcome::NotChecked;
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.limiter.end(self, self.limiter.seconds(Instant::now()));
    }
}

/// An attempt that waits for others.
struct Waiting<'a> {
    limiter: &'a SignInLimiter,
    whose: u64,
}

impl<'a> Waiting<'a> {
    /// `None` if as many attempts wait as may.
    fn enter(limiter: &'a SignInLimiter, whose: u64) -> Option<Self> {
        let mut waiting = limiter.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let own = waiting.get(&whose).copied().unwrap_or_default();
        if own >= WAITING_OF_ONE_MAX || waiting.values().sum::<usize>() >= WAITING_MAX {
            return None;
        }
        waiting.insert(whose, own + 1);
        Some(Self { limiter, whose })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waiting = self.limiter.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = waiting.get_mut(&self.whose) {
            *own -= 1;
            if *own == 0 {
                waiting.remove(&self.whose);
            }
        }
    }
}

impl SignInLimit {
    /// How long something counts for this limit, in seconds.
    fn window(self) -> u32 {
        match self {
            Self::OfAccount => LONGEST_WINDOW_S,
            Self::FromAddress | Self::OfAddress | Self::Attempts => 15 * 60,
        }
    }
}

/// The longest [window](SignInLimit::window).
const LONGEST_WINDOW_S: u32 = 60 * 60;
/// Attempts that may wait for other attempts, in all.
const WAITING_MAX: usize = 1_024;
/// Attempts that may wait for other attempts of their account or address.
const WAITING_OF_ONE_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn address(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    /// A name that is typed as it is spelled in the account.
    fn name(name: &str) -> SignInName<'_> {
        SignInName { typed: name, folded: name }
    }

    fn limiter(limits: SignInLimits) -> SignInLimiter {
        SignInLimiter::new(limits, KeyedHash::random(), Instant::now())
    }

    /// Fails once. If the attempt is refused: the seconds until the next one is allowed.
    async fn fail(limiter: &SignInLimiter, account: &str, address: IpAddr) -> Result<(), u64> {
        match limiter.begin(name(account), Some(address)).await {
            Ok(_attempt) => Ok(()),
            Err(SignInRefused::TooMany { retry_after, .. }) => Err(retry_after.as_secs()),
            Err(SignInRefused::Busy) => Err(0),
        }
    }

    /// What all servers have counted: each key with the time of each failure.
    #[derive(Default)]
    struct Counted(Mutex<HashMap<u64, Vec<Failure>>>);

    /// When it was, and of which account.
    type Failure = (Instant, Option<u32>);

    impl Counted {
        /// An attempt on a server that counts together with others, and fails.
        async fn fail(&self, limiter: &SignInLimiter, account: &str, address: IpAddr) -> Result<(), u64> {
            let attempt = match limiter.begin(name(account), Some(address)).await {
                Ok(attempt) => attempt,
                Err(SignInRefused::TooMany { retry_after, .. }) => return Err(retry_after.as_secs()),
                Err(SignInRefused::Busy) => return Err(0),
            };
            let count = || {
                let mut counted = self.0.lock().unwrap();
                let now = Instant::now();
                attempt
                    .shared_keys()
                    .iter()
                    .map(|key| {
                        let of_key = counted.entry(key.hash).or_default();
                        let past = of_key.iter().map(|(at, account)| PastFailure {
                            age_seconds: (now - *at).as_secs() as u32,
                            account: *account,
                        });
                        let past = past.collect();
                        of_key.push((now, attempt.account()));
                        past
                    })
                    .collect::<Vec<Vec<PastFailure>>>()
            };
            if !attempt.is_doubted() {
                attempt.learn(&count()).ok();
                return Ok(());
            }
            match attempt.learn(&count()) {
                Ok(()) => Ok(()),
                Err(SignInRefused::TooMany { retry_after, .. }) => {
                    attempt.not_checked();
                    Err(retry_after.as_secs())
                }
                Err(SignInRefused::Busy) => Err(0),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn several_servers_do_not_multiply_the_guesses() {
        let key = KeyedHash::new([7; 16]);
        let limits = SignInLimits::default();
        let servers: Vec<_> =
            (0..4).map(|_| SignInLimiter::new(limits.clone(), key.clone(), Instant::now())).collect();
        let counted = Counted::default();
        let mut guesses = 0;
        for _ in 0..20 {
            for server in &servers {
                guesses += usize::from(counted.fail(server, "alice", HOME).await.is_ok());
            }
        }
        // The first guess on each server is made before it asks.
        assert!((10..=10 + servers.len()).contains(&guesses), "{guesses}");
        later(900).await;
        assert_eq!(counted.fail(&servers[0], "alice", HOME).await, Ok(()));
        // A server that has just started learns of what was before it.
        later(30).await;
        for _ in 0..9 {
            assert_eq!(counted.fail(&servers[1], "bob", HOME).await, Ok(()));
        }
        later(30).await;
        let new = SignInLimiter::new(limits, key, Instant::now());
        assert_eq!(counted.fail(&new, "bob", HOME).await, Ok(()));
        assert_eq!(counted.fail(&new, "bob", HOME).await, Err(870));
    }

    #[tokio::test(start_paused = true)]
    async fn a_first_attempt_needs_no_other_server() {
        let limiter = limiter(SignInLimits::default());
        let attempt = limiter.begin(name("alice"), Some(HOME)).await.unwrap();
        assert!(!attempt.is_doubted());
        attempt.succeeded();
        let attempt = limiter.begin(name("alice"), Some(HOME)).await.unwrap();
        assert!(!attempt.is_doubted(), "nor one after a success");
        drop(attempt);
        assert!(limiter.begin(name("alice"), Some(HOME)).await.unwrap().is_doubted());
        let elsewhere = limiter.begin(name("bob"), Some(address(7))).await.unwrap();
        assert!(!elsewhere.is_doubted());
        let [one, other] = [limiter.begin(name("bob"), Some(address(7))).await.unwrap(), elsewhere];
        assert!(one.is_doubted() && other.is_doubted(), "two at once");
    }

    async fn later(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn ten_failures_in_any_15_minutes_from_one_address() {
        let limiter = limiter(SignInLimits::default());
        for _ in 0..10 {
            assert_eq!(fail(&limiter, "alice", HOME).await, Ok(()));
            later(60).await;
        }
        assert_eq!(fail(&limiter, "alice", HOME).await, Err(300));
        assert_eq!(fail(&limiter, "alice", address(7)).await, Ok(()), "elsewhere");
        assert_eq!(fail(&limiter, "bob", HOME).await, Ok(()), "somebody else");
        later(299).await;
        assert_eq!(fail(&limiter, "alice", HOME).await, Err(1));
        later(1).await;
        assert_eq!(fail(&limiter, "alice", HOME).await, Ok(()), "the first is over");
        assert_eq!(fail(&limiter, "alice", HOME).await, Err(60));
    }

    #[tokio::test(start_paused = true)]
    async fn a_hundred_failures_in_an_hour_from_all_addresses() {
        let limiter = limiter(SignInLimits::default());
        for number in 0..100 {
            assert_eq!(fail(&limiter, "alice", address(number)).await, Ok(()));
        }
        assert_eq!(fail(&limiter, "alice", HOME).await, Err(3_600));
        later(3_600).await;
        assert_eq!(fail(&limiter, "alice", HOME).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_elsewhere_do_not_lock_out_an_address_that_signed_in_before() {
        let limiter = limiter(SignInLimits::default());
        limiter.begin(name("alice"), Some(HOME)).await.unwrap().succeeded();
        for number in 0..100 {
            assert_eq!(fail(&limiter, "alice", address(number)).await, Ok(()));
        }
        assert_eq!(fail(&limiter, "alice", address(7_000)).await, Err(3_600));
        for _ in 0..10 {
            assert_eq!(fail(&limiter, "alice", HOME).await, Ok(()));
        }
        assert_eq!(fail(&limiter, "alice", HOME).await, Err(900), "nor may it guess from there");
    }

    #[tokio::test(start_paused = true)]
    async fn a_network_of_ipv6_is_one_address_and_a_mapped_one_is_ipv4() {
        let limiter = limiter(SignInLimits { from_address_max: 1, ..SignInLimits::default() });
        for (address, is_free) in [
            ("2001:db8::1", true),
            ("2001:db8:0:ff::2", false),
            ("2001:db8:0:100::1", true),
            ("192.0.2.7", true),
            ("::ffff:192.0.2.7", false),
        ] {
            let result = fail(&limiter, "alice", address.parse().unwrap()).await;
            assert_eq!(result.is_ok(), is_free, "{address}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_attempts_at_one_time_wait_and_do_not_get_around_the_limit() {
        let limiter = limiter(SignInLimits::default());
        let mut pending = Vec::new();
        for _ in 0..10 {
            pending.push(limiter.begin(name("alice"), Some(HOME)).await.unwrap());
        }
        let mut next = pin!(limiter.begin(name("alice"), Some(HOME)));
        assert!(poll_once(next.as_mut()).await.is_none(), "it waits");
        // One succeeds: the others may succeed as well.
        pending.pop().unwrap().succeeded();
        pending.push(next.await.unwrap());
        let mut next = pin!(limiter.begin(name("alice"), Some(HOME)));
        assert!(poll_once(next.as_mut()).await.is_none());
        drop(pending);
        assert_eq!(
            next.await.err(),
            Some(SignInRefused::TooMany {
                limit: SignInLimit::FromAddress,
                retry_after: Duration::from_secs(900)
            })
        );
    }

    #[tokio::test(start_paused = true)]
    async fn only_some_attempts_may_wait() {
        let limiter = limiter(SignInLimits { from_address_max: 1, ..SignInLimits::default() });
        let first = limiter.begin(name("alice"), Some(HOME)).await.unwrap();
        let mut waiting: Vec<_> =
            (0..=WAITING_OF_ONE_MAX).map(|_| Box::pin(limiter.begin(name("alice"), Some(HOME)))).collect();
        for next in &mut waiting[..WAITING_OF_ONE_MAX] {
            assert!(poll_once(next.as_mut()).await.is_none());
        }
        let last = poll_once(waiting[WAITING_OF_ONE_MAX].as_mut()).await.unwrap();
        assert_eq!(last.err(), Some(SignInRefused::Busy));
        first.not_checked();
        drop(waiting);
        assert!(limiter.failures().has_none());
    }

    /// Polls once: the result, if it is there.
    async fn poll_once<F: Future>(mut future: std::pin::Pin<&mut F>) -> Option<F::Output> {
        std::future::poll_fn(|cx| {
            std::task::Poll::Ready(match future.as_mut().poll(cx) {
                std::task::Poll::Ready(output) => Some(output),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_forgets_earlier_failures_from_its_address() {
        let limiter = limiter(SignInLimits { of_account_max: 12, ..SignInLimits::default() });
        for _ in 0..9 {
            assert_eq!(fail(&limiter, "alice", HOME).await, Ok(()));
        }
        limiter.begin(name("alice"), Some(HOME)).await.unwrap().succeeded();
        for _ in 0..3 {
            assert_eq!(fail(&limiter, "alice", HOME).await, Ok(()));
        }
        assert!(fail(&limiter, "alice", address(7)).await.is_err(), "those of the account stay");
    }

    /// An attempt with the exact name of `alice` or `Alice`, two accounts.
    async fn begin_exact<'a>(
        limiter: &'a SignInLimiter,
        account: &str,
        address: IpAddr,
    ) -> Result<Attempt<'a>, SignInRefused> {
        let mut attempt =
            limiter.begin(SignInName { typed: account, folded: "alice" }, Some(address)).await?;
        attempt.has_found(account);
        Ok(attempt)
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_forgives_no_guesses_of_an_account_that_differs_in_case() {
        let limiter = limiter(SignInLimits::default());
        for guess in 0..9 {
            drop(begin_exact(&limiter, "alice", HOME).await.unwrap());
            let own = begin_exact(&limiter, "Alice", HOME).await;
            own.unwrap_or_else(|error| panic!("after {guess}: {error}")).succeeded();
        }
        drop(begin_exact(&limiter, "alice", HOME).await.unwrap());
        let refused =
            SignInRefused::TooMany { limit: SignInLimit::FromAddress, retry_after: Duration::from_secs(900) };
        assert_eq!(begin_exact(&limiter, "alice", HOME).await.err(), Some(refused));
        assert_eq!(begin_exact(&limiter, "Alice", HOME).await.err(), Some(refused), "they count together");
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_lifts_the_limit_of_all_addresses_for_no_account_that_differs_in_case() {
        let limiter = limiter(SignInLimits::default());
        begin_exact(&limiter, "Alice", HOME).await.unwrap().succeeded();
        for number in 0..100 {
            drop(begin_exact(&limiter, "alice", address(number)).await.unwrap());
        }
        let refused =
            SignInRefused::TooMany { limit: SignInLimit::OfAccount, retry_after: Duration::from_secs(3_600) };
        assert_eq!(begin_exact(&limiter, "alice", HOME).await.err(), Some(refused));
        begin_exact(&limiter, "Alice", HOME).await.unwrap().succeeded();
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_forgives_failures_with_other_spellings_of_the_same_account() {
        let limiter = limiter(SignInLimits::default());
        for _ in 0..4 {
            for (typed, is_right) in [("alice", false), ("ALICE", false), ("Alice", false), ("aLICE", true)] {
                let mut attempt =
                    limiter.begin(SignInName { typed, folded: "alice" }, Some(HOME)).await.unwrap();
                attempt.has_found("Alice");
                if is_right {
                    attempt.succeeded();
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_was_not_checked_does_not_count() {
        let limiter = limiter(SignInLimits::default());
        for _ in 0..1_000 {
            limiter.begin(name("alice"), Some(HOME)).await.unwrap().not_checked();
        }
        assert_eq!(limiter.failures().len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn old_failures_are_forgotten_and_memory_is_bounded() {
        let limiter = limiter(SignInLimits { remembered_max: 5_000, ..SignInLimits::default() });
        for number in 0..20_000 {
            assert_eq!(fail(&limiter, &number.to_string(), address(number)).await, Ok(()));
            assert!(limiter.failures().len() <= 5_000);
        }
        // The second round replaces the first, whose window is over.
        later(4_000).await;
        for number in 0..1_500 {
            assert_eq!(fail(&limiter, &number.to_string(), address(number)).await, Ok(()));
        }
        assert!(limiter.failures().len() <= 5_000);
    }

    #[tokio::test(start_paused = true)]
    async fn no_flood_of_names_opens_what_is_at_its_limit() {
        let limiter = limiter(SignInLimits { remembered_max: 2_000, ..SignInLimits::default() });
        for _ in 0..10 {
            assert_eq!(fail(&limiter, "alice", HOME).await, Ok(()));
        }
        for number in 0..20_000 {
            assert_eq!(fail(&limiter, &number.to_string(), address(number)).await, Ok(()), "{number}");
            assert!(limiter.failures().len() <= 2_000);
            if number % 100 == 0 {
                assert!(fail(&limiter, "alice", HOME).await.is_err(), "open again after {number}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn memory_that_is_full_of_keys_at_their_limits_refuses_others() {
        let limits = SignInLimits { remembered_max: 40, from_address_max: 1, ..SignInLimits::default() };
        let limiter =
            limiter(SignInLimits { of_account_max: 1, of_address_max: 1, attempts_max: 1, ..limits });
        let mut refused = 0;
        for number in 0..100 {
            refused += usize::from(fail(&limiter, &number.to_string(), address(number)).await == Err(0));
            assert!(limiter.failures().len() <= 40);
        }
        assert_eq!(refused, 90);
        later(3_600).await;
        assert_eq!(fail(&limiter, "alice", HOME).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn one_address_tries_fifty_names_in_15_minutes() {
        let limiter = limiter(SignInLimits::default());
        limiter.begin(name("alice"), Some(HOME)).await.unwrap().succeeded();
        for number in 0..50 {
            assert_eq!(fail(&limiter, &number.to_string(), HOME).await, Ok(()));
        }
        let refused = limiter.begin(name("bob"), Some(HOME)).await.err();
        let retry_after = Duration::from_secs(900);
        assert_eq!(refused, Some(SignInRefused::TooMany { limit: SignInLimit::OfAddress, retry_after }));
        // A user who has signed in there before is not held up, and an account of the attacker's own
        // gives no further names.
        let attempt = limiter.begin(name("alice"), Some(HOME)).await.unwrap();
        assert!(attempt.is_from_known_address());
        attempt.succeeded();
        assert!(fail(&limiter, "bob", HOME).await.is_err());
        assert_eq!(fail(&limiter, "bob", address(7)).await, Ok(()), "elsewhere");
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_of_an_address_are_limited_also_if_they_succeed() {
        let limiter = limiter(SignInLimits { attempts_max: 5, ..SignInLimits::default() });
        // From then on this name has attempts of its own.
        for _ in 0..6 {
            limiter.begin(name("mallory"), Some(HOME)).await.unwrap().succeeded();
        }
        let limit = SignInLimit::Attempts;
        let refused = Some(SignInRefused::TooMany { limit, retry_after: Duration::from_secs(900) });
        assert_eq!(limiter.begin(name("mallory"), Some(HOME)).await.err(), refused);
        for number in 0..4 {
            limiter.begin(name(&number.to_string()), Some(HOME)).await.unwrap().succeeded();
        }
        assert_eq!(limiter.begin(name("alice"), Some(HOME)).await.err(), refused);
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_address_only_the_account_is_limited() {
        let limiter = limiter(SignInLimits::default());
        for _ in 0..100 {
            drop(limiter.begin(name("alice"), None).await.unwrap());
        }
        assert!(limiter.begin(name("alice"), None).await.is_err());
        limiter.begin(name("bob"), None).await.unwrap().succeeded();
        assert!(!limiter.begin(name("bob"), None).await.unwrap().is_from_known_address());
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_with_many_wrong_passwords_is_doubtful_for_a_while() {
        let limiter = limiter(SignInLimits::default());
        limiter.begin(name("alice"), Some(HOME)).await.unwrap().succeeded();
        for number in 0..DOUBTFUL_FROM {
            let attempt = limiter.begin(name(&format!("x{number}")), Some(HOME)).await.unwrap();
            assert!(!attempt.is_from_doubtful_address(), "{number}");
        }
        let is_doubtful = async |user, at| {
            let attempt = limiter.begin(name(user), Some(at)).await.unwrap();
            let is_doubtful = attempt.is_from_doubtful_address();
            attempt.not_checked();
            is_doubtful
        };
        assert!(is_doubtful("bob", HOME).await);
        assert!(!is_doubtful("bob", address(7)).await, "elsewhere");
        assert!(!is_doubtful("alice", HOME).await, "a name that was there before");
        tokio::time::advance(Duration::from_secs(15 * 60 + 1)).await;
        assert!(!is_doubtful("bob", HOME).await);
    }

    #[tokio::test(start_paused = true)]
    async fn with_a_limit_of_0_every_attempt_is_refused() {
        let limiter = limiter(SignInLimits { from_address_max: 0, ..SignInLimits::default() });
        assert_eq!(fail(&limiter, "alice", HOME).await, Err(900));
    }
}

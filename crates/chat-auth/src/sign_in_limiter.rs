//! How often somebody may be wrong about a password.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

/// Counts failed sign-ins, and refuses to look at more than a few: for each
/// account together with an address, so that somebody who guesses is stopped and
/// the account's owner elsewhere is not, and for each account alone, against those
/// who guess from many addresses. Names without an account count like the others,
/// or the answer would tell them apart.
///
/// Nobody who is signed in notices anything of it.
pub struct SignInLimiter {
    limits: SignInLimits,
    started: Instant,
    /// Names are as long as strangers make them; what is kept is this hash.
    hasher: RandomState,
    failures: Mutex<Failures>,
    /// Accounts with addresses from which they have signed in.
    known: Mutex<HashSet<u64>>,
    one_ended: Notify,
    waiting: Semaphore,
}

/// How many failures [`SignInLimiter`] allows.
#[derive(Debug, Clone)]
pub struct SignInLimits {
    /// Failures of one account from one address within 15 minutes. Of IPv6, one
    /// network of 56 bits is one address: that is what one customer may have.
    pub from_address_max: usize,
    /// Failures of one account within an hour, from wherever; but from an address
    /// from which it has signed in before, only those from there count.
    pub of_account_max: usize,
    /// Accounts, and accounts with addresses, that are remembered; beyond it some
    /// are forgotten. About 100 bytes each, and 4 more for each failure.
    pub remembered_max: usize,
}

impl Default for SignInLimits {
    fn default() -> Self {
        Self { from_address_max: 10, of_account_max: 100, remembered_max: 250_000 }
    }
}

/// Why a sign-in is not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignInRefused {
    /// There were too many failures.
    #[error("too many failed sign-ins, the next may be tried in {} s", .retry_after.as_secs())]
    TooManyFailures {
        /// When the next one may be tried, in whole seconds.
        retry_after: Duration,
    },
    /// Too many wait for others of the same account to be looked at.
    #[error("too many sign-ins of one account at once")]
    Busy,
}

impl SignInLimiter {
    /// Nobody has failed yet.
    pub fn new(limits: SignInLimits, now: Instant) -> Self {
        Self {
            limits,
            started: now,
            hasher: RandomState::new(),
            failures: Mutex::default(),
            known: Mutex::default(),
            one_ended: Notify::new(),
            waiting: Semaphore::new(WAITING_MAX),
        }
    }

    /// Begins a sign-in, before its password is looked at. As many at one time are
    /// no way around the limit, those that could be failures too many wait until
    /// others have ended. It counts as a failure unless the [`Attempt`] is told
    /// otherwise.
    ///
    /// `account` is the name in the form in which accounts are told apart.
    ///
    /// # Errors
    ///
    /// [`SignInRefused`], and the password must not be looked at.
    pub async fn begin(&self, account: &str, address: IpAddr) -> Result<Attempt<'_>, SignInRefused> {
        let keys = [
            (self.hasher.hash_one((account, network(address))), FROM_ADDRESS_SECONDS),
            (self.hasher.hash_one(account), OF_ACCOUNT_SECONDS),
        ];
        let mut place = None;
        loop {
            let ended = self.one_ended.notified();
            let mut ended = pin!(ended);
            // Or one that ends between the look and the wait would not be heard.
            ended.as_mut().enable();
            if self.admit(keys, self.seconds(Instant::now()))? {
                return Ok(Attempt { limiter: self, keys, outcome: Outcome::Failed });
            }
            if place.is_none() {
                place = Some(self.waiting.try_acquire().map_err(|_| SignInRefused::Busy)?);
            }
            ended.await;
        }
    }

    /// Whether one may begin now; if not, it has to wait for one that is under way.
    fn admit(&self, keys: [(u64, u32); 2], now: u32) -> Result<bool, SignInRefused> {
        let mut failures = self.failures();
        failures.make_room(now, self.limits.remembered_max);
        let limits = [self.limits.from_address_max, self.limits.of_account_max];
        let mut wait = None;
        let mut is_free = true;
        // Strangers must not lock out whoever comes from home.
        let counted = if self.known().contains(&keys[0].0) { 1 } else { 2 };
        for ((key, window_seconds), max) in keys.into_iter().zip(limits).take(counted) {
            let recent = failures.recent(key, window_seconds);
            recent.forget_old(now);
            wait = wait.max(recent.wait(max, now));
            is_free &= recent.at.len() + recent.under_way < max;
        }
        if let Some(seconds) = wait {
            return Err(SignInRefused::TooManyFailures { retry_after: Duration::from_secs(seconds.into()) });
        }
        if is_free {
            for (key, window_seconds) in keys {
                failures.recent(key, window_seconds).under_way += 1;
            }
        }
        Ok(is_free)
    }

    fn end(&self, keys: [(u64, u32); 2], outcome: Outcome, now: u32) {
        let mut failures = self.failures();
        for (key, window_seconds) in keys {
            let recent = failures.recent(key, window_seconds);
            recent.under_way = recent.under_way.saturating_sub(1);
            match outcome {
                Outcome::Failed => recent.at.push(now),
                Outcome::Succeeded if window_seconds == FROM_ADDRESS_SECONDS => recent.at.clear(),
                Outcome::Succeeded | Outcome::NotMade => {}
            }
            if recent.is_nothing() {
                failures.of.remove(&key);
            }
        }
        drop(failures);
        self.one_ended.notify_waiters();
    }

    fn remember(&self, key: u64) {
        let mut known = self.known();
        if known.len() >= self.limits.remembered_max {
            known.clear();
        }
        known.insert(key);
    }

    fn known(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seconds(&self, now: Instant) -> u32 {
        now.saturating_duration_since(self.started).as_secs() as u32
    }

    fn failures(&self) -> MutexGuard<'_, Failures> {
        // Counts are whole at any time.
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A sign-in that is under way, and has failed unless it is told otherwise.
#[must_use]
pub struct Attempt<'a> {
    limiter: &'a SignInLimiter,
    keys: [(u64, u32); 2],
    outcome: Outcome,
}

#[derive(Clone, Copy)]
enum Outcome {
    Failed,
    Succeeded,
    NotMade,
}

impl Attempt<'_> {
    /// The password was right: earlier failures from that address are forgotten.
    pub fn succeeded(mut self) {
        self.outcome = Outcome::Succeeded;
        self.limiter.remember(self.keys[0].0);
    }

    /// The password was not looked at: this one does not count.
    pub fn not_made(mut self) {
        self.outcome = Outcome::NotMade;
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.limiter.end(self.keys, self.outcome, self.limiter.seconds(Instant::now()));
    }
}

#[derive(Default)]
struct Failures {
    of: HashMap<u64, Recent>,
    /// How many there were after the last clearing.
    cleared_to: usize,
}

/// What is known of an account, or of one with an address.
struct Recent {
    /// When its failures were, in seconds since the start, the oldest first.
    at: Vec<u32>,
    window_seconds: u32,
    under_way: usize,
}

impl Recent {
    fn forget_old(&mut self, now: u32) {
        let window = self.window_seconds;
        self.at.retain(|at| now < at.saturating_add(window));
    }

    /// For how many seconds no further one is looked at; `None`: one is.
    fn wait(&self, max: usize, now: u32) -> Option<u32> {
        let over = self.at.len().checked_sub(max)?;
        let frees = self.at.get(over).copied().unwrap_or(now);
        Some(frees.saturating_add(self.window_seconds).saturating_sub(now).max(1))
    }

    fn is_nothing(&self) -> bool {
        self.at.is_empty() && self.under_way == 0
    }
}

impl Failures {
    fn recent(&mut self, key: u64, window_seconds: u32) -> &mut Recent {
        self.of.entry(key).or_insert(Recent { at: Vec::new(), window_seconds, under_way: 0 })
    }

    /// Clears away what is over, each time that the number has doubled.
    fn make_room(&mut self, now: u32, max: usize) {
        if self.of.len() + 2 <= max.min((2 * self.cleared_to).max(CLEARED_FROM)) {
            return;
        }
        self.of.retain(|_, recent| {
            recent.forget_old(now);
            !recent.is_nothing()
        });
        if self.of.len() + 2 > max {
            // Any half: who fills this up cannot choose whom it forgets.
            let mut keep = false;
            self.of.retain(|_, recent| {
                keep = !keep;
                keep || recent.under_way > 0
            });
        }
        self.cleared_to = self.of.len();
    }
}

/// The part of an address that one customer of a provider shares.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 72 << 72).into()),
        v4 => v4,
    }
}

const FROM_ADDRESS_SECONDS: u32 = 15 * 60;
const OF_ACCOUNT_SECONDS: u32 = 60 * 60;
const CLEARED_FROM: usize = 1_000;
/// Sign-ins that may wait for others of their account.
const WAITING_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn address(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    fn limiter(limits: SignInLimits) -> SignInLimiter {
        SignInLimiter::new(limits, Instant::now())
    }

    /// A failure, and for how long the next has to wait if it was refused.
    async fn fail(limiter: &SignInLimiter, account: &str, address: IpAddr) -> Result<(), u64> {
        match limiter.begin(account, address).await {
            Ok(_attempt) => Ok(()),
            Err(SignInRefused::TooManyFailures { retry_after }) => Err(retry_after.as_secs()),
            Err(SignInRefused::Busy) => Err(0),
        }
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
    async fn a_hundred_in_an_hour_from_wherever() {
        let limiter = limiter(SignInLimits::default());
        for number in 0..100 {
            assert_eq!(fail(&limiter, "alice", address(number)).await, Ok(()));
        }
        assert_eq!(fail(&limiter, "alice", HOME).await, Err(3_600));
        later(3_600).await;
        assert_eq!(fail(&limiter, "alice", HOME).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_do_not_lock_out_whoever_signed_in_before() {
        let limiter = limiter(SignInLimits::default());
        limiter.begin("alice", HOME).await.unwrap().succeeded();
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
    async fn many_at_one_time_wait_and_are_no_way_around() {
        let limiter = limiter(SignInLimits::default());
        let mut under_way = Vec::new();
        for _ in 0..10 {
            under_way.push(limiter.begin("alice", HOME).await.unwrap());
        }
        let mut next = pin!(limiter.begin("alice", HOME));
        assert!(futures_poll(next.as_mut()).await.is_none(), "it waits");
        // One was right: the others may be as well.
        under_way.pop().unwrap().succeeded();
        under_way.push(next.await.unwrap());
        let mut next = pin!(limiter.begin("alice", HOME));
        assert!(futures_poll(next.as_mut()).await.is_none());
        drop(under_way);
        assert_eq!(
            next.await.err(),
            Some(SignInRefused::TooManyFailures { retry_after: Duration::from_secs(900) })
        );
    }

    #[tokio::test(start_paused = true)]
    async fn only_some_may_wait() {
        let limiter = limiter(SignInLimits { from_address_max: 1, ..SignInLimits::default() });
        let first = limiter.begin("alice", HOME).await.unwrap();
        let mut waiting: Vec<_> = (0..=WAITING_MAX).map(|_| Box::pin(limiter.begin("alice", HOME))).collect();
        for next in &mut waiting[..WAITING_MAX] {
            assert!(futures_poll(next.as_mut()).await.is_none());
        }
        let last = futures_poll(waiting[WAITING_MAX].as_mut()).await.unwrap();
        assert_eq!(last.err(), Some(SignInRefused::Busy));
        first.not_made();
        drop(waiting);
        assert!(limiter.failures().of.values().all(Recent::is_nothing));
    }

    /// What a future has to say right now.
    async fn futures_poll<F: Future>(mut future: std::pin::Pin<&mut F>) -> Option<F::Output> {
        std::future::poll_fn(|cx| {
            std::task::Poll::Ready(match future.as_mut().poll(cx) {
                std::task::Poll::Ready(output) => Some(output),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_right_forgets_the_failures_before_it() {
        let limiter = limiter(SignInLimits { of_account_max: 12, ..SignInLimits::default() });
        for _ in 0..9 {
            assert_eq!(fail(&limiter, "alice", HOME).await, Ok(()));
        }
        limiter.begin("alice", HOME).await.unwrap().succeeded();
        for _ in 0..3 {
            assert_eq!(fail(&limiter, "alice", HOME).await, Ok(()));
        }
        assert!(fail(&limiter, "alice", address(7)).await.is_err(), "those of the account stay");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_not_looked_at_does_not_count() {
        let limiter = limiter(SignInLimits::default());
        for _ in 0..1_000 {
            limiter.begin("alice", HOME).await.unwrap().not_made();
        }
        assert!(limiter.failures().of.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_over_is_forgotten_and_so_is_what_is_too_much() {
        let limiter = limiter(SignInLimits { remembered_max: 5_000, ..SignInLimits::default() });
        for number in 0..20_000 {
            assert_eq!(fail(&limiter, &number.to_string(), HOME).await, Ok(()));
            assert!(limiter.failures().of.len() <= 5_000);
        }
        // A new round clears away the old one.
        later(4_000).await;
        for number in 0..3_000 {
            assert_eq!(fail(&limiter, &number.to_string(), HOME).await, Ok(()));
        }
        assert!(limiter.failures().of.len() <= 5_000);
    }

    #[tokio::test(start_paused = true)]
    async fn with_a_limit_of_nothing_nobody_may_try() {
        let limiter = limiter(SignInLimits { from_address_max: 0, ..SignInLimits::default() });
        assert_eq!(fail(&limiter, "alice", HOME).await, Err(900));
    }
}

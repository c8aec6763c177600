//! The limit on failed sign-ins.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use crate::failures::{AccountTag, Failure, Failures};

/// Counts failed sign-ins, and refuses further ones beyond a limit.
///
/// Failures are counted for each account with each address, so that an attacker is
/// stopped while the owner of the account elsewhere is not; and for each account alone,
/// against guesses from many addresses. Names without an account are counted in the same
/// way; otherwise the answer would show which names have accounts.
///
/// A database that was taken over may have accounts whose names differ only in case. All
/// spellings of a name count together, so that none has guesses of its own; but a success
/// with one account lifts no limit on guesses of another one.
///
/// Users who are signed in are not affected.
pub struct SignInLimiter {
    limits: SignInLimits,
    started: Instant,
    /// Hashes the keys: clients choose the names, and how long they are.
    hasher: RandomState,
    failures: Mutex<Failures>,
    /// Names as they were typed, with the addresses from which each has signed in. A
    /// spelling finds one account, which is known only after an attempt has begun.
    signed_in_from: Mutex<HashSet<u64>>,
    attempt_ended: Notify,
    /// One permit for each attempt that may wait.
    waiting: Semaphore,
}

/// How many failures [`SignInLimiter`] allows.
#[derive(Debug, Clone)]
pub struct SignInLimits {
    /// Failures of one account from one address within 15 minutes. An IPv6 network of 56
    /// bits, which one customer of a provider may have, counts as one address.
    pub from_address_max: usize,
    /// Failures of one account within an hour, from all addresses. For an address from
    /// which a sign-in with the same spelling has succeeded before, only failures from
    /// there count.
    pub of_account_max: usize,
    /// Accounts, and accounts with addresses, that are remembered; beyond it some are
    /// forgotten. Each takes about 100 bytes, and 12 bytes more for each failure.
    pub remembered_max: usize,
}

impl Default for SignInLimits {
    fn default() -> Self {
        Self { from_address_max: 10, of_account_max: 100, remembered_max: 250_000 }
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
    /// There were too many failures.
    #[error("too many failed sign-ins, try again in {} s", .retry_after.as_secs())]
    TooManyFailures {
        /// After which time the next attempt is allowed, in whole seconds.
        retry_after: Duration,
    },
    /// Too many attempts wait for other attempts of the same account.
    #[error("too many sign-ins of one account at once")]
    Busy,
}

impl SignInLimiter {
    /// A limiter that knows of no failures.
    pub fn new(limits: SignInLimits, now: Instant) -> Self {
        Self {
            limits,
            started: now,
            hasher: RandomState::new(),
            failures: Mutex::default(),
            signed_in_from: Mutex::default(),
            attempt_ended: Notify::new(),
            waiting: Semaphore::new(WAITING_MAX),
        }
    }

    /// Begins an attempt, before its password is checked. It counts as a failure unless
    /// the [`Attempt`] is ended otherwise. While the pending attempts could all be
    /// failures and reach the limit, a further one waits: many attempts at one time do
    /// not get around the limit.
    ///
    /// # Errors
    ///
    /// [`SignInRefused`]; the password must not be checked then.
    pub async fn begin(&self, name: SignInName<'_>, address: IpAddr) -> Result<Attempt<'_>, SignInRefused> {
        let keys = Keys {
            counted: [
                (self.hasher.hash_one((name.folded, network(address))), ADDRESS_WINDOW_SECONDS),
                (self.hasher.hash_one(name.folded), ACCOUNT_WINDOW_SECONDS),
            ],
            typed: self.hasher.hash_one((name.typed, network(address))),
        };
        let mut waiting = None;
        loop {
            let ended = self.attempt_ended.notified();
            let mut ended = pin!(ended);
            // Registered before the check, so that no end between both is missed.
            ended.as_mut().enable();
            if self.admit(keys, self.seconds(Instant::now()))? {
                return Ok(Attempt { limiter: self, keys, account: None, outcome: Outcome::Failed });
            }
            if waiting.is_none() {
                waiting = Some(self.waiting.try_acquire().map_err(|_| SignInRefused::Busy)?);
            }
            ended.await;
        }
    }

    /// Whether an attempt may begin now; if not, it waits for the end of a pending one.
    fn admit(&self, keys: Keys, now: u32) -> Result<bool, SignInRefused> {
        let mut failures = self.failures();
        failures.make_room(now, self.limits.remembered_max);
        let limits = [self.limits.from_address_max, self.limits.of_account_max];
        let mut wait = None;
        let mut is_free = true;
        // Failures elsewhere do not count for an address that has signed in before.
        let counted = if self.signed_in_from().contains(&keys.typed) { 1 } else { 2 };
        for ((key, window), max) in keys.counted.into_iter().zip(limits).take(counted) {
            let recent = failures.of(key, window);
            recent.forget_old(now);
            wait = wait.max(recent.wait(max, now));
            is_free &= recent.failures.len() + recent.pending < max;
        }
        if let Some(seconds) = wait {
            return Err(SignInRefused::TooManyFailures { retry_after: Duration::from_secs(seconds.into()) });
        }
        if is_free {
            for (key, window) in keys.counted {
                failures.of(key, window).pending += 1;
            }
        }
        Ok(is_free)
    }

    fn end(&self, attempt: &Attempt<'_>, now: u32) {
        let Attempt { keys, account, outcome, .. } = *attempt;
        let mut failures = self.failures();
        for (key, window) in keys.counted {
            let recent = failures.of(key, window);
            recent.pending = recent.pending.saturating_sub(1);
            match outcome {
                Outcome::Failed => recent.failures.push(Failure { at: now, account }),
                Outcome::Succeeded if window == ADDRESS_WINDOW_SECONDS => {
                    recent.failures.retain(|failure| failure.account != account);
                }
                Outcome::Succeeded | Outcome::NotChecked => {}
            }
            failures.forget_if_empty(key);
        }
        drop(failures);
        self.attempt_ended.notify_waiters();
    }

    fn remember_sign_in(&self, key: u64) {
        let mut signed_in_from = self.signed_in_from();
        if signed_in_from.len() >= self.limits.remembered_max {
            signed_in_from.clear();
        }
        signed_in_from.insert(key);
    }

    fn signed_in_from(&self) -> MutexGuard<'_, HashSet<u64>> {
        self.signed_in_from.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seconds(&self, now: Instant) -> u32 {
        now.saturating_duration_since(self.started).as_secs() as u32
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
    keys: Keys,
    account: Option<AccountTag>,
    outcome: Outcome,
}

/// The hashes of an attempt.
#[derive(Clone, Copy)]
struct Keys {
    /// What its failure counts for, each with its window in seconds: the folded name with
    /// the address, and the folded name alone.
    counted: [(u64, u32); 2],
    /// The name as it was typed, with the address.
    typed: u64,
}

#[derive(Clone, Copy)]
enum Outcome {
    Failed,
    Succeeded,
    NotChecked,
}

impl Attempt<'_> {
    /// Notes the exact name of the account whose password is checked, before the check.
    pub fn has_found(&mut self, account: &str) {
        self.account = Some(AccountTag(self.limiter.hasher.hash_one(account) as u32));
    }

    /// Ends the attempt: the password was right. Earlier failures of the account that the
    /// attempt [has found](Self::has_found) from this address are forgotten; those of
    /// accounts whose names differ in case stay.
    pub fn succeeded(mut self) {
        self.outcome = Outcome::Succeeded;
        self.limiter.remember_sign_in(self.keys.typed);
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

/// The part of an address that is shared by one customer of a provider: 56 bits of IPv6,
/// all of IPv4.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 72 << 72).into()),
        v4 => v4,
    }
}

/// How long a failure counts for the account with its address.
const ADDRESS_WINDOW_SECONDS: u32 = 15 * 60;
/// How long a failure counts for the account alone.
const ACCOUNT_WINDOW_SECONDS: u32 = 60 * 60;
/// Attempts that may wait for other attempts of their account.
const WAITING_MAX: usize = 64;

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
        SignInLimiter::new(limits, Instant::now())
    }

    /// Fails once. If the attempt is refused: the seconds until the next one is allowed.
    async fn fail(limiter: &SignInLimiter, account: &str, address: IpAddr) -> Result<(), u64> {
        match limiter.begin(name(account), address).await {
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
        limiter.begin(name("alice"), HOME).await.unwrap().succeeded();
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
            pending.push(limiter.begin(name("alice"), HOME).await.unwrap());
        }
        let mut next = pin!(limiter.begin(name("alice"), HOME));
        assert!(poll_once(next.as_mut()).await.is_none(), "it waits");
        // One succeeds: the others may succeed as well.
        pending.pop().unwrap().succeeded();
        pending.push(next.await.unwrap());
        let mut next = pin!(limiter.begin(name("alice"), HOME));
        assert!(poll_once(next.as_mut()).await.is_none());
        drop(pending);
        assert_eq!(
            next.await.err(),
            Some(SignInRefused::TooManyFailures { retry_after: Duration::from_secs(900) })
        );
    }

    #[tokio::test(start_paused = true)]
    async fn only_some_attempts_may_wait() {
        let limiter = limiter(SignInLimits { from_address_max: 1, ..SignInLimits::default() });
        let first = limiter.begin(name("alice"), HOME).await.unwrap();
        let mut waiting: Vec<_> =
            (0..=WAITING_MAX).map(|_| Box::pin(limiter.begin(name("alice"), HOME))).collect();
        for next in &mut waiting[..WAITING_MAX] {
            assert!(poll_once(next.as_mut()).await.is_none());
        }
        let last = poll_once(waiting[WAITING_MAX].as_mut()).await.unwrap();
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
        limiter.begin(name("alice"), HOME).await.unwrap().succeeded();
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
        let mut attempt = limiter.begin(SignInName { typed: account, folded: "alice" }, address).await?;
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
        let refused = SignInRefused::TooManyFailures { retry_after: Duration::from_secs(900) };
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
        let refused = SignInRefused::TooManyFailures { retry_after: Duration::from_secs(3_600) };
        assert_eq!(begin_exact(&limiter, "alice", HOME).await.err(), Some(refused));
        begin_exact(&limiter, "Alice", HOME).await.unwrap().succeeded();
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_forgives_failures_with_other_spellings_of_the_same_account() {
        let limiter = limiter(SignInLimits::default());
        for _ in 0..4 {
            for (typed, is_right) in [("alice", false), ("ALICE", false), ("Alice", false), ("aLICE", true)] {
                let mut attempt = limiter.begin(SignInName { typed, folded: "alice" }, HOME).await.unwrap();
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
            limiter.begin(name("alice"), HOME).await.unwrap().not_checked();
        }
        assert_eq!(limiter.failures().len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn old_failures_are_forgotten_and_memory_is_bounded() {
        let limiter = limiter(SignInLimits { remembered_max: 5_000, ..SignInLimits::default() });
        for number in 0..20_000 {
            assert_eq!(fail(&limiter, &number.to_string(), HOME).await, Ok(()));
            assert!(limiter.failures().len() <= 5_000);
        }
        // The second round replaces the first, whose window is over.
        later(4_000).await;
        for number in 0..3_000 {
            assert_eq!(fail(&limiter, &number.to_string(), HOME).await, Ok(()));
        }
        assert!(limiter.failures().len() <= 5_000);
    }

    #[tokio::test(start_paused = true)]
    async fn with_a_limit_of_0_every_attempt_is_refused() {
        let limiter = limiter(SignInLimits { from_address_max: 0, ..SignInLimits::default() });
        assert_eq!(fail(&limiter, "alice", HOME).await, Err(900));
    }
}

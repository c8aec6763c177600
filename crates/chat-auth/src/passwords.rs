//! Password hashes, computed on threads of their own.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use argon2::Params;
use tokio::sync::oneshot;

use crate::Password;
use crate::hasher::Hasher;

/// Hashes passwords with argon2id, and checks them; also against the bcrypt
/// hashes (`$2a$`, `$2b$`, `$2y$`, cost 14 at most) of accounts that come from
/// the original chat.
///
/// Each thread works in one buffer, made at the first use and freed after a
/// time without work: a flood of sign-ins costs `threads × memory_kib`, however
/// many come. In front of the threads is a queue of a fixed length; who does
/// not fit is refused at once. Dropping ends the threads, after the hash each
/// of them is computing.
pub struct Passwords {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

/// How [`Passwords`] works.
#[derive(Debug, Clone)]
pub struct PasswordsOptions {
    /// Threads that hash, at least 1. Each may take a core for itself.
    pub threads: usize,
    /// Requests that may wait for a thread. At 20 ms a hash, 64 wait 1.3 s.
    pub queue_max: usize,
    /// A thread that had nothing to do for this long gives its buffer back.
    pub buffer_idle: Duration,
    /// The cost of new hashes. A stored hash is checked at its own cost.
    pub cost: HashCost,
}

impl Default for PasswordsOptions {
    fn default() -> Self {
        Self { threads: 1, queue_max: 64, buffer_idle: Duration::from_secs(60), cost: HashCost::default() }
    }
}

/// What one argon2id hash costs. The default is OWASP's (19 MiB, 2 passes, 1
/// lane), about 20 ms of one core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashCost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes; more than one helps nobody here, since a hash has one thread.
    pub lanes: u32,
}

impl Default for HashCost {
    fn default() -> Self {
        Self { memory_kib: 19 * 1024, passes: 2, lanes: 1 }
    }
}

/// What a password is for an account.
#[derive(Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Not the account's, or there is no account.
    Wrong,
    /// The account's.
    Right,
    /// The account's, but its hash is easier to guess from than one made today:
    /// bcrypt, or argon2id at less than today's cost.
    RightButOutdated {
        /// The hash to store in place of that one.
        new_hash: String,
    },
}

impl Verdict {
    /// Whether the password is the account's.
    pub fn is_right(&self) -> bool {
        !matches!(self, Self::Wrong)
    }
}

impl fmt::Debug for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wrong => "Wrong",
            Self::Right => "Right",
            Self::RightButOutdated { .. } => "RightButOutdated(…)",
        })
    }
}

/// Why there is no hash and no answer.
#[derive(Debug, thiserror::Error)]
pub enum PasswordsError {
    /// The queue is full: worth another try in a second.
    #[error("too many sign-ins at once")]
    Busy,
    /// The threads are gone, or could not compute this hash.
    #[error("passwords cannot be hashed")]
    Closed,
    /// argon2id does not know such a cost.
    #[error("the cost of a password hash is out of range")]
    Cost(#[source] argon2::Error),
    /// The system gave no thread.
    #[error("no thread for password hashes")]
    Thread(#[source] io::Error),
}

impl Passwords {
    /// Starts the threads.
    pub fn start(options: PasswordsOptions) -> Result<Self, PasswordsError> {
        let HashCost { memory_kib, passes, lanes } = options.cost;
        let params = Params::new(memory_kib, passes, lanes, Some(Params::DEFAULT_OUTPUT_LEN))
            .map_err(PasswordsError::Cost)?;
        let queue = Arc::new(Queue {
            state: Mutex::new(State { waiting: VecDeque::new(), closed: false }),
            arrived: Condvar::new(),
            max: options.queue_max,
        });
        let mut passwords = Self { queue, threads: Vec::new() };
        for number in 0..options.threads.max(1) {
            let hasher = Hasher::new(params.clone());
            let (queue, idle) = (passwords.queue.clone(), options.buffer_idle);
            let thread = std::thread::Builder::new()
                .name(format!("password-{number}"))
                .spawn(move || work(hasher, &queue, idle))
                .map_err(PasswordsError::Thread)?;
            passwords.threads.push(thread);
        }
        Ok(passwords)
    }

    /// The hash of a new password, as a PHC string with a salt of its own.
    pub async fn hash(&self, password: Password) -> Result<String, PasswordsError> {
        let (answer, hash) = oneshot::channel();
        self.queue.push(Job::Hash { password, answer })?;
        hash.await.map_err(|_| PasswordsError::Closed)
    }

    /// Whether this is the password of an account with that hash. `None` for a
    /// name without an account: that costs as much as a new hash, and is never
    /// right. So does a hash that cannot be read.
    ///
    /// A bcrypt hash of cost 10 takes about 50 ms instead of 20, and a password
    /// of more than 72 bytes, which is never right for it, next to nothing: whoever
    /// answers must not let that be seen.
    pub async fn verify_login(
        &self,
        password: Password,
        hash: Option<&str>,
    ) -> Result<Verdict, PasswordsError> {
        let (answer, verdict) = oneshot::channel();
        self.queue.push(Job::Verify { password, hash: hash.map(str::to_owned), answer })?;
        verdict.await.map_err(|_| PasswordsError::Closed)
    }

    /// How many passwords wait for a thread.
    pub fn waiting(&self) -> usize {
        self.queue.state.lock().unwrap_or_else(PoisonError::into_inner).waiting.len()
    }

    /// How many may.
    pub fn waiting_max(&self) -> usize {
        self.queue.max
    }
}

impl Drop for Passwords {
    fn drop(&mut self) {
        self.queue.close();
        for thread in self.threads.drain(..) {
            // A panic was reported by the thread itself.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}

/// One thread's work, until the queue is closed.
fn work(mut hasher: Hasher, queue: &Queue, buffer_idle: Duration) {
    loop {
        let wait = hasher.has_buffer().then_some(buffer_idle);
        match queue.next(wait) {
            Next::Job(Job::Hash { password, answer }) => {
                if let Some(hash) = hasher.hash(&password) {
                    let _ = answer.send(hash);
                }
            }
            Next::Job(Job::Verify { password, hash, answer }) => {
                let _ = answer.send(hasher.verify(&password, hash.as_deref()));
            }
            Next::Idle => hasher.free_buffer(),
            Next::Closed => return,
        }
    }
}

enum Job {
    Hash { password: Password, answer: oneshot::Sender<String> },
    Verify { password: Password, hash: Option<String>, answer: oneshot::Sender<Verdict> },
}

impl Job {
    /// Nobody waits for the answer any more.
    fn is_abandoned(&self) -> bool {
        match self {
            Self::Hash { answer, .. } => answer.is_closed(),
            Self::Verify { answer, .. } => answer.is_closed(),
        }
    }
}

struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
    /// Jobs that may wait.
    max: usize,
}

struct State {
    waiting: VecDeque<Job>,
    closed: bool,
}

enum Next {
    Job(Job),
    Idle,
    Closed,
}

impl Queue {
    fn push(&self, job: Job) -> Result<(), PasswordsError> {
        let mut state = self.state();
        if state.closed {
            return Err(PasswordsError::Closed);
        }
        if state.waiting.len() >= self.max {
            state.waiting.retain(|waiting| !waiting.is_abandoned());
            if state.waiting.len() >= self.max {
                return Err(PasswordsError::Busy);
            }
        }
        state.waiting.push_back(job);
        self.arrived.notify_one();
        Ok(())
    }

    /// Waits for a job that somebody still wants; without `idle` for any time.
    fn next(&self, idle: Option<Duration>) -> Next {
        let mut state = self.state();
        loop {
            if state.closed {
                return Next::Closed;
            }
            while let Some(job) = state.waiting.pop_front() {
                if !job.is_abandoned() {
                    return Next::Job(job);
                }
            }
            match idle {
                None => state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(idle) => {
                    let waited = self.arrived.wait_timeout(state, idle);
                    let timeout;
                    (state, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
                    if timeout.timed_out() && state.waiting.is_empty() && !state.closed {
                        return Next::Idle;
                    }
                }
            }
        }
    }

    fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        // Whoever waits for one of these learns it from the dropped sender.
        state.waiting.clear();
        self.arrived.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing is half done while the lock is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    fn password(text: &str) -> Password {
        Password::parse(text.to_owned()).unwrap()
    }

    fn cheap() -> PasswordsOptions {
        PasswordsOptions {
            cost: HashCost { memory_kib: 64, passes: 1, lanes: 1 },
            ..PasswordsOptions::default()
        }
    }

    /// One thread, busy for a while.
    fn slow(queue_max: usize) -> PasswordsOptions {
        PasswordsOptions {
            queue_max,
            cost: HashCost { memory_kib: 64 * 1024, passes: 3, lanes: 1 },
            ..PasswordsOptions::default()
        }
    }

    #[tokio::test]
    async fn the_right_password_is_accepted_and_no_other() {
        let passwords = Passwords::start(PasswordsOptions::default()).unwrap();
        let hash = passwords.hash(password("correct horse")).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(passwords.verify_login(password("correct horse"), Some(&hash)).await.unwrap().is_right());
        for wrong in ["correct hors", "correct horse ", "Correct horse", "x"] {
            assert!(
                !passwords.verify_login(password(wrong), Some(&hash)).await.unwrap().is_right(),
                "{wrong}"
            );
        }
    }

    #[tokio::test]
    async fn the_same_password_has_another_hash_each_time() {
        let passwords = Passwords::start(cheap()).unwrap();
        let one = passwords.hash(password("same")).await.unwrap();
        assert_ne!(one, passwords.hash(password("same")).await.unwrap());
    }

    #[tokio::test]
    async fn hashes_of_other_makers_are_checked_at_their_own_cost() {
        let passwords = Passwords::start(cheap()).unwrap();
        let theirs = Passwords::start(PasswordsOptions {
            cost: HashCost { memory_kib: 256, passes: 3, lanes: 2 },
            ..PasswordsOptions::default()
        })
        .unwrap();
        let hash = theirs.hash(password("p")).await.unwrap();
        assert!(passwords.verify_login(password("p"), Some(&hash)).await.unwrap().is_right());
        assert!(!passwords.verify_login(password("q"), Some(&hash)).await.unwrap().is_right());
        // From the tests of the reference implementation (phc-winner-argon2, test.c).
        let reference =
            "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        assert!(passwords.verify_login(password("password"), Some(reference)).await.unwrap().is_right());
        assert!(
            !passwords.verify_login(password("differentpassword"), Some(reference)).await.unwrap().is_right()
        );
    }

    #[tokio::test]
    async fn an_account_without_a_password_has_none() {
        let passwords = Passwords::start(cheap()).unwrap();
        for tried in [crate::NO_PASSWORD, "x"] {
            let verdict = passwords.verify_login(password(tried), Some(crate::NO_PASSWORD)).await.unwrap();
            assert_eq!(verdict, Verdict::Wrong, "{tried}");
        }
    }

    #[tokio::test]
    async fn no_account_and_unreadable_hashes_are_never_right() {
        let passwords = Passwords::start(cheap()).unwrap();
        let d = "$argon2d$v=19$m=64,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let huge = "$argon2id$v=19$m=4000000,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        for hash in [None, Some(""), Some("plain"), Some("$2a$10$abc"), Some(d), Some(huge)] {
            assert!(!passwords.verify_login(password("p"), hash).await.unwrap().is_right(), "{hash:?}");
        }
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once() {
        let passwords = Passwords::start(slow(2)).unwrap();
        let mut waiting = Vec::new();
        // One is being hashed, once the thread took it; two wait.
        let refused = loop {
            let mut hash = Box::pin(passwords.hash(password("p")));
            let started = Instant::now();
            match futures_poll(&mut hash).await {
                Some(Err(PasswordsError::Busy)) => break started.elapsed(),
                Some(other) => panic!("{other:?}"),
                None => waiting.push(hash),
            }
            assert!(waiting.len() <= 3, "nothing is refused");
        };
        assert!((2..=3).contains(&waiting.len()), "{}", waiting.len());
        assert!(refused < Duration::from_millis(50), "{refused:?}");
        for hash in waiting {
            hash.await.unwrap();
        }
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_is_skipped() {
        let passwords = Passwords::start(slow(100)).unwrap();
        let mut first = Box::pin(passwords.hash(password("p")));
        assert!(futures_poll(&mut first).await.is_none());
        for _ in 0..50 {
            let mut gone = Box::pin(passwords.hash(password("p")));
            assert!(futures_poll(&mut gone).await.is_none());
        }
        let started = Instant::now();
        first.await.unwrap();
        let one = started.elapsed().max(Duration::from_millis(20));
        passwords.hash(password("p")).await.unwrap();
        assert!(started.elapsed() < one * 10, "{:?} for two, one was {one:?}", started.elapsed());
    }

    #[tokio::test]
    async fn abandoned_work_gives_its_place_in_the_queue_back() {
        let passwords = Passwords::start(slow(1)).unwrap();
        let mut running = Box::pin(passwords.hash(password("p")));
        assert!(futures_poll(&mut running).await.is_none());
        while !passwords.queue.state().waiting.is_empty() {
            tokio::task::yield_now().await;
        }
        for _ in 0..5 {
            let mut gone = Box::pin(passwords.hash(password("p")));
            assert!(futures_poll(&mut gone).await.is_none(), "neither refused nor answered");
        }
        running.await.unwrap();
    }

    #[tokio::test]
    async fn dropping_ends_the_threads_and_answers_who_waits() {
        let passwords = Passwords::start(slow(10)).unwrap();
        let queue = passwords.queue.clone();
        assert!(Arc::strong_count(&queue) >= 3, "here, in `passwords` and in its thread");
        drop(passwords);
        assert_eq!(Arc::strong_count(&queue), 1);
        let (answer, hash) = oneshot::channel();
        assert!(matches!(
            queue.push(Job::Hash { password: password("p"), answer }),
            Err(PasswordsError::Closed)
        ));
        assert!(hash.await.is_err());
    }

    #[test]
    fn a_thread_without_work_is_told_so() {
        let queue = Queue {
            state: Mutex::new(State { waiting: VecDeque::new(), closed: false }),
            arrived: Condvar::new(),
            max: 1,
        };
        assert!(matches!(queue.next(Some(Duration::from_millis(1))), Next::Idle));
        queue.close();
        assert!(matches!(queue.next(None), Next::Closed));
    }

    /// One poll: the answer, if it is there.
    async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        std::future::poll_fn(|cx| {
            std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(cx) {
                std::task::Poll::Ready(output) => Some(output),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }
}

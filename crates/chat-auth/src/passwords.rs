//! Password hashes, computed on threads of their own.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use tokio::sync::oneshot;

use crate::Password;

/// Hashes and checks passwords with argon2id.
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
            let hasher = Hasher { params: params.clone(), buffer: Vec::new() };
            let (queue, idle) = (passwords.queue.clone(), options.buffer_idle);
            let thread = std::thread::Builder::new()
                .name(format!("password-{number}"))
                .spawn(move || hasher.run(&queue, idle))
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
    /// name without an account: that costs as much, and is never right. So does
    /// a hash that cannot be read.
    pub async fn verify_login(&self, password: Password, hash: Option<&str>) -> Result<bool, PasswordsError> {
        let (answer, verdict) = oneshot::channel();
        self.queue.push(Job::Verify { password, hash: hash.map(str::to_owned), answer })?;
        verdict.await.map_err(|_| PasswordsError::Closed)
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

enum Job {
    Hash { password: Password, answer: oneshot::Sender<String> },
    Verify { password: Password, hash: Option<String>, answer: oneshot::Sender<bool> },
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

/// One thread's work.
struct Hasher {
    params: Params,
    /// Empty until the first hash, and again after a time without work.
    buffer: Vec<Block>,
}

impl Hasher {
    fn run(mut self, queue: &Queue, idle: Duration) {
        loop {
            let wait = (!self.buffer.is_empty()).then_some(idle);
            match queue.next(wait) {
                Next::Job(Job::Hash { password, answer }) => {
                    if let Some(hash) = self.hash(&password) {
                        let _ = answer.send(hash);
                    }
                }
                Next::Job(Job::Verify { password, hash, answer }) => {
                    let _ = answer.send(self.verify(&password, hash.as_deref()));
                }
                Next::Idle => self.buffer = Vec::new(),
                Next::Closed => return,
            }
        }
    }

    fn hash(&mut self, password: &Password) -> Option<String> {
        let salt: [u8; argon2::RECOMMENDED_SALT_LEN] = rand::random();
        let hash = Salt::new(&salt).ok().and_then(|salt| {
            let params = self.params.clone();
            let output = self.argon2id(Version::V0x13, &params, password, &salt)?;
            Some(PasswordHash {
                algorithm: Algorithm::Argon2id.ident(),
                version: Some(Version::V0x13.into()),
                params: ParamsString::try_from(&params).ok()?,
                salt: Some(salt),
                hash: Some(output),
            })
        });
        if hash.is_none() {
            tracing::error!("a password could not be hashed");
        }
        hash.map(|hash| hash.to_string())
    }

    fn verify(&mut self, password: &Password, hash: Option<&str>) -> bool {
        let known = hash.and_then(|hash| {
            let stored = StoredHash::parse(hash);
            if stored.is_none() {
                tracing::error!("an account's password hash cannot be read");
            }
            stored
        });
        match known {
            Some(stored) => {
                let output = self.argon2id(stored.version, &stored.params, password, &stored.salt);
                // Compared in constant time, see `Output`.
                output.is_some_and(|output| output == stored.output)
            }
            None => {
                self.hash(password);
                false
            }
        }
    }

    fn argon2id(
        &mut self,
        version: Version,
        params: &Params,
        password: &Password,
        salt: &Salt,
    ) -> Option<Output> {
        let blocks = params.block_count();
        if self.buffer.len() < blocks {
            self.buffer.resize(blocks, Block::new());
        }
        let mut out = [0; Output::MAX_LENGTH];
        let out = out.get_mut(..params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN))?;
        let result = Argon2::new(Algorithm::Argon2id, version, params.clone())
            .hash_password_into_with_memory(password.as_bytes(), salt, out, &mut self.buffer)
            .inspect_err(|error| tracing::error!(%error, "argon2id"));
        // A stored hash that costs more than ours does not keep its memory.
        self.buffer.truncate(self.params.block_count());
        self.buffer.shrink_to_fit();
        result.ok()?;
        Output::new(out).ok()
    }
}

/// What a PHC string of argon2id says.
struct StoredHash {
    version: Version,
    params: Params,
    salt: Salt,
    output: Output,
}

impl StoredHash {
    /// The most memory a stored hash may ask for, in KiB.
    const MEMORY_MAX_KIB: u32 = 256 * 1024;

    fn parse(text: &str) -> Option<Self> {
        let hash = PasswordHash::new(text).ok()?;
        let version = hash.version.map_or(Ok(Version::V0x13), Version::try_from).ok()?;
        let params = Params::try_from(&hash).ok()?;
        let fits = hash.algorithm == Algorithm::Argon2id.ident() && params.m_cost() <= Self::MEMORY_MAX_KIB;
        fits.then_some(Self { version, params, salt: hash.salt?, output: hash.hash? })
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
        assert!(passwords.verify_login(password("correct horse"), Some(&hash)).await.unwrap());
        for wrong in ["correct hors", "correct horse ", "Correct horse", "x"] {
            assert!(!passwords.verify_login(password(wrong), Some(&hash)).await.unwrap(), "{wrong}");
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
        assert!(passwords.verify_login(password("p"), Some(&hash)).await.unwrap());
        assert!(!passwords.verify_login(password("q"), Some(&hash)).await.unwrap());
        // From the argon2 reference implementation:
        // echo -n password | argon2 somesalt -id -t 2 -k 64 -p 1 -e
        let reference = reference_hash();
        assert!(passwords.verify_login(password("password"), Some(&reference)).await.unwrap());
    }

    /// What the crate's own high-level path makes, which is not the one used here.
    fn reference_hash() -> String {
        use argon2::PasswordHasher as _;
        let params = Params::new(64, 2, 1, None).unwrap();
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        argon2.hash_password_with_salt(b"password", b"somesalt").unwrap().to_string()
    }

    #[tokio::test]
    async fn no_account_and_unreadable_hashes_are_never_right() {
        let passwords = Passwords::start(cheap()).unwrap();
        let d = "$argon2d$v=19$m=64,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let huge = "$argon2id$v=19$m=4000000,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        for hash in [None, Some(""), Some("plain"), Some("$2a$10$abc"), Some(d), Some(huge)] {
            assert!(!passwords.verify_login(password("p"), hash).await.unwrap(), "{hash:?}");
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
        for _ in 0..10 {
            let mut gone = Box::pin(passwords.hash(password("p")));
            let _ = futures_poll(&mut gone).await;
        }
        running.await.unwrap();
        passwords.hash(password("p")).await.unwrap();
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
    fn the_buffer_is_made_at_first_use_and_freed_after_a_rest() {
        let passwords = |idle| Queue {
            state: Mutex::new(State { waiting: VecDeque::new(), closed: idle }),
            arrived: Condvar::new(),
            max: 1,
        };
        assert!(matches!(passwords(true).next(None), Next::Closed));
        assert!(matches!(passwords(false).next(Some(Duration::from_millis(1))), Next::Idle));

        let params = Params::new(64, 1, 1, Some(32)).unwrap();
        let mut hasher = Hasher { params, buffer: Vec::new() };
        hasher.hash(&password("p")).unwrap();
        assert_eq!(hasher.buffer.len(), 64);
        let before = hasher.buffer.as_ptr();
        hasher.verify(&password("p"), None);
        assert_eq!(hasher.buffer.as_ptr(), before, "the buffer is used again");
        let costly = "$argon2id$v=19$m=1024,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        hasher.verify(&password("p"), Some(costly));
        assert_eq!(hasher.buffer.capacity(), 64);
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

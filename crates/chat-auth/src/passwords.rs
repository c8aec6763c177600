//! Hashing and checking passwords on threads of their own.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use argon2::Params;
use tokio::sync::oneshot;

use crate::hash_queue::{HashQueue, Job, Next, QueueError};
use crate::hasher::Hasher;
use crate::{Password, Verdict};

/// Hashes passwords with argon2id, and checks passwords against such hashes and against
/// the bcrypt hashes (`$2a$`, `$2b$`, `$2y$`, of cost 14 at most) of accounts of the
/// original chat.
///
/// Each thread works in one buffer, which is allocated at its first use and freed when
/// the thread is idle for a time. Any number of sign-ins takes `threads × memory_kib`.
/// The queue in front of the threads has a fixed capacity; a request beyond it is
/// refused at once. Dropping this value ends the threads, each after the hash that it
/// is computing.
pub struct Passwords {
    queue: Arc<HashQueue>,
    threads: Vec<JoinHandle<()>>,
}

/// The options of [`Passwords`].
#[derive(Debug, Clone)]
pub struct PasswordsOptions {
    /// The number of threads that hash, at least 1. Each may take a core for itself.
    pub threads: usize,
    /// The number of requests that may wait for a thread. At 20 ms a hash, the last of 64
    /// waits 1.3 s.
    pub queue_max: usize,
    /// A thread frees its buffer after it was idle for this long.
    pub buffer_idle: Duration,
    /// The cost of new hashes. A stored hash is checked at its own cost.
    pub cost: HashCost,
}

impl Default for PasswordsOptions {
    fn default() -> Self {
        Self { threads: 1, queue_max: 64, buffer_idle: Duration::from_secs(60), cost: HashCost::default() }
    }
}

/// The cost of one argon2id hash. The default is the one that OWASP recommends (19 MiB, 2
/// passes, 1 lane), about 20 ms of one core.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashCost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes. More than one has no use here, since one thread computes a hash.
    pub lanes: u32,
}

impl Default for HashCost {
    fn default() -> Self {
        Self { memory_kib: 19 * 1024, passes: 2, lanes: 1 }
    }
}

/// Why a password is not hashed or checked.
#[derive(Debug, thiserror::Error)]
pub enum PasswordsError {
    /// The queue is full: try again in a second.
    #[error("too many passwords wait to be hashed")]
    Busy,
    /// The threads have ended, or could not compute this hash.
    #[error("the password cannot be hashed")]
    Closed,
    /// argon2id has no such cost.
    #[error("the cost of a password hash is out of range")]
    Cost(#[source] argon2::Error),
    /// The system cannot start a thread.
    #[error("the threads that hash passwords cannot be started")]
    Thread(#[source] io::Error),
}

impl Passwords {
    /// Starts the threads.
    ///
    /// # Errors
    ///
    /// [`PasswordsError::Cost`] and [`PasswordsError::Thread`].
    pub fn start(options: PasswordsOptions) -> Result<Self, PasswordsError> {
        let HashCost { memory_kib, passes, lanes } = options.cost;
        let params = Params::new(memory_kib, passes, lanes, Some(Params::DEFAULT_OUTPUT_LEN))
            .map_err(PasswordsError::Cost)?;
        let queue = Arc::new(HashQueue::new(options.queue_max));
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

    /// Hashes a new password. The result is a PHC string with a random salt.
    ///
    /// # Errors
    ///
    /// [`PasswordsError::Busy`] and [`PasswordsError::Closed`].
    pub async fn hash(&self, password: Password) -> Result<String, PasswordsError> {
        let (answer, hash) = oneshot::channel();
        self.queue.push(Job::Hash { password, answer })?;
        hash.await.map_err(|_| PasswordsError::Closed)
    }

    /// Checks a password against the hash of an account. `hash` is `None` for a name
    /// without an account: this takes as long as a new hash, and the password is wrong.
    /// The same holds for a hash that cannot be read.
    ///
    /// A bcrypt hash of cost 10 takes about 50 ms instead of 20, and a password of more
    /// than 72 bytes, which is always wrong for bcrypt, next to no time. The caller must
    /// not let that show in the time of its answer.
    ///
    /// # Errors
    ///
    /// [`PasswordsError::Busy`] and [`PasswordsError::Closed`].
    pub async fn verify_login(
        &self,
        password: Password,
        hash: Option<&str>,
    ) -> Result<Verdict, PasswordsError> {
        let (answer, verdict) = oneshot::channel();
        self.queue.push(Job::Verify { password, hash: hash.map(str::to_owned), answer })?;
        verdict.await.map_err(|_| PasswordsError::Closed)
    }

    /// The number of passwords that wait for a thread.
    pub fn waiting(&self) -> usize {
        self.queue.waiting()
    }

    /// The number of passwords that may wait.
    pub fn waiting_max(&self) -> usize {
        self.queue.waiting_max()
    }
}

impl From<QueueError> for PasswordsError {
    fn from(error: QueueError) -> Self {
        match error {
            QueueError::Full => Self::Busy,
            QueueError::Closed => Self::Closed,
        }
    }
}

impl Drop for Passwords {
    fn drop(&mut self) {
        self.queue.close();
        for thread in self.threads.drain(..) {
            // A panic was reported by the thread.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}

/// Does the work of one thread, until the queue is closed.
fn work(mut hasher: Hasher, queue: &HashQueue, buffer_idle: Duration) {
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

    /// One thread, which is busy for a while with each hash.
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
    async fn a_stored_hash_is_checked_at_its_own_cost() {
        let passwords = Passwords::start(cheap()).unwrap();
        let other = Passwords::start(PasswordsOptions {
            cost: HashCost { memory_kib: 256, passes: 3, lanes: 2 },
            ..PasswordsOptions::default()
        })
        .unwrap();
        let hash = other.hash(password("p")).await.unwrap();
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
    async fn no_password_is_right_for_an_account_without_one() {
        let passwords = Passwords::start(cheap()).unwrap();
        for tried in [crate::NO_PASSWORD, "x"] {
            let verdict = passwords.verify_login(password(tried), Some(crate::NO_PASSWORD)).await.unwrap();
            assert_eq!(verdict, Verdict::Wrong, "{tried}");
        }
    }

    #[tokio::test]
    async fn no_password_is_right_without_a_readable_hash() {
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
        // The thread hashes one, once it has taken it; two wait.
        let refused = loop {
            let mut hash = Box::pin(passwords.hash(password("p")));
            let started = Instant::now();
            match poll_once(&mut hash).await {
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
    async fn abandoned_work_is_skipped() {
        let passwords = Passwords::start(slow(100)).unwrap();
        let mut first = Box::pin(passwords.hash(password("p")));
        assert!(poll_once(&mut first).await.is_none());
        for _ in 0..50 {
            let mut abandoned = Box::pin(passwords.hash(password("p")));
            assert!(poll_once(&mut abandoned).await.is_none());
        }
        let started = Instant::now();
        first.await.unwrap();
        let one = started.elapsed().max(Duration::from_millis(20));
        passwords.hash(password("p")).await.unwrap();
        assert!(started.elapsed() < one * 10, "{:?} for two, one was {one:?}", started.elapsed());
    }

    #[test]
    fn dropping_ends_the_threads() {
        let passwords = Passwords::start(slow(10)).unwrap();
        let queue = passwords.queue.clone();
        assert!(Arc::strong_count(&queue) >= 3, "here, in `passwords` and in its thread");
        drop(passwords);
        assert_eq!(Arc::strong_count(&queue), 1);
    }

    /// Polls once: the result, if it is there.
    async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        std::future::poll_fn(|cx| {
            std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(cx) {
                std::task::Poll::Ready(output) => Some(output),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }
}

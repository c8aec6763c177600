//! Hashing and checking passwords on threads of their own.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use argon2::Params;
use chat_turns::{Line, QueueFull, Turn, TurnQueue};
use tokio::sync::oneshot;

use crate::hash_queue::{HashQueue, Job, Next, QueueClosed, Work};
use crate::hasher::Hasher;
use crate::{Password, Verdict};

/// Hashes passwords with argon2id, and checks passwords against such hashes and against
/// the bcrypt hashes (`$2a$`, `$2b$`, `$2y$`, of cost 14 at most) of accounts of the
/// original chat.
///
/// Each thread works in one buffer, which is allocated at its first use and freed when
/// the thread is idle for a time. Any number of sign-ins takes `threads × memory_kib`.
///
/// In front of the threads are four bounded lines ([`HashFor`]): a flood of sign-ins stops no
/// registration, nor the other way round, and wrong guesses stop nobody elsewhere. In each line users or addresses get their turns one
/// after another. A request beyond the limit of its line is refused at once. Dropping this
/// value ends the threads, each after the hash that it is computing.
pub struct Passwords {
    turns: TurnQueue,
    waiting_max: usize,
    queue: Arc<HashQueue>,
    threads: Vec<JoinHandle<()>>,
}

/// The options of [`Passwords`].
#[derive(Debug, Clone)]
pub struct PasswordsOptions {
    /// The number of threads that hash, at least 1. Each may take a core for itself.
    pub threads: usize,
    /// The number of sign-ins that may wait for a thread, and of sign-ins from known and from
    /// doubtful addresses likewise. At 20 ms a hash, the last of 64 waits 1.3 s.
    pub queue_max: usize,
    /// The number of registrations that may wait for a thread.
    pub registration_queue_max: usize,
    /// The number of requests of each line that may wait for one address, or one user.
    pub queue_of_one_max: usize,
    /// A thread frees its buffer after it was idle for this long.
    pub buffer_idle: Duration,
    /// The cost of new hashes. A stored hash is checked at its own cost.
    pub cost: HashCost,
}

impl Default for PasswordsOptions {
    fn default() -> Self {
        Self {
            threads: 1,
            queue_max: 64,
            registration_queue_max: 32,
            queue_of_one_max: 16,
            buffer_idle: Duration::from_secs(60),
            cost: HashCost::default(),
        }
    }
}

/// On whose behalf a password is hashed or checked. Each kind waits in a line of its own. The
/// first kind goes first, and every kind gets turns.
#[derive(Debug, Clone, Copy)]
pub enum HashFor<'a> {
    /// A user who is signed in, or who signs in from an address from which they have before,
    /// by name.
    KnownUser(&'a str),
    /// A sign-in, by its address.
    SignIn(&'a str),
    /// A registration, by its address.
    Registration(&'a str),
    /// A sign-in from an address with wrong passwords lately, by its address. Its line is the
    /// last one, so that a flood of guesses holds up only those who share its addresses.
    DoubtfulSignIn(&'a str),
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
        let line = |waiting_max| Line { waiting_max, waiting_of_one_max: options.queue_of_one_max };
        let signing_in = options.queue_max;
        let lines = [signing_in, signing_in, options.registration_queue_max, signing_in].map(line);
        let threads = options.threads.max(1);
        let mut passwords = Self {
            // One more than threads: the next job is there when a thread has done its last.
            turns: TurnQueue::new(threads + 1, &lines),
            waiting_max: lines.iter().map(|line| line.waiting_max).sum(),
            queue: Arc::new(HashQueue::new()),
            threads: Vec::new(),
        };
        for number in 0..threads {
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
    pub async fn hash(&self, on_behalf: HashFor<'_>, password: Password) -> Result<String, PasswordsError> {
        let (answer, hash) = oneshot::channel();
        let turn = self.turn(on_behalf).await?;
        self.queue.push(Job { work: Work::Hash { password, answer }, turn })?;
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
        on_behalf: HashFor<'_>,
        password: Password,
        hash: Option<&str>,
    ) -> Result<Verdict, PasswordsError> {
        let (answer, verdict) = oneshot::channel();
        let turn = self.turn(on_behalf).await?;
        self.queue
            .push(Job { work: Work::Verify { password, hash: hash.map(str::to_owned), answer }, turn })?;
        verdict.await.map_err(|_| PasswordsError::Closed)
    }

    async fn turn(&self, on_behalf: HashFor<'_>) -> Result<Turn, QueueFull> {
        let (line, who) = match on_behalf {
            HashFor::KnownUser(name) => (0, name),
            HashFor::SignIn(address) => (1, address),
            HashFor::Registration(address) => (2, address),
            HashFor::DoubtfulSignIn(address) => (3, address),
        };
        self.turns.turn(line, who).await
    }

    /// The number of passwords that wait for a turn.
    pub fn waiting(&self) -> usize {
        self.turns.waiting()
    }

    /// The number of passwords that may wait.
    pub fn waiting_max(&self) -> usize {
        self.waiting_max
    }
}

impl From<QueueFull> for PasswordsError {
    fn from(_: QueueFull) -> Self {
        Self::Busy
    }
}

impl From<QueueClosed> for PasswordsError {
    fn from(_: QueueClosed) -> Self {
        Self::Closed
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
            Next::Job(Job { work, turn }) => {
                match work {
                    Work::Hash { password, answer } => {
                        if let Some(hash) = hasher.hash(&password) {
                            let _ = answer.send(hash);
                        }
                    }
                    Work::Verify { password, hash, answer } => {
                        let _ = answer.send(hasher.verify(&password, hash.as_deref()));
                    }
                }
                drop(turn);
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

    const ME: HashFor<'_> = HashFor::SignIn("192.0.2.1");

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
            queue_of_one_max: queue_max,
            cost: HashCost { memory_kib: 64 * 1024, passes: 3, lanes: 1 },
            ..PasswordsOptions::default()
        }
    }

    #[tokio::test]
    async fn the_right_password_is_accepted_and_no_other() {
        let passwords = Passwords::start(PasswordsOptions::default()).unwrap();
        let hash = passwords.hash(ME, password("correct horse")).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(passwords.verify_login(ME, password("correct horse"), Some(&hash)).await.unwrap().is_right());
        for wrong in ["correct hors", "correct horse ", "Correct horse", "x"] {
            assert!(
                !passwords.verify_login(ME, password(wrong), Some(&hash)).await.unwrap().is_right(),
                "{wrong}"
            );
        }
    }

    #[tokio::test]
    async fn the_same_password_has_another_hash_each_time() {
        let passwords = Passwords::start(cheap()).unwrap();
        let one = passwords.hash(ME, password("same")).await.unwrap();
        assert_ne!(one, passwords.hash(ME, password("same")).await.unwrap());
    }

    #[tokio::test]
    async fn a_stored_hash_is_checked_at_its_own_cost() {
        let passwords = Passwords::start(cheap()).unwrap();
        let other = Passwords::start(PasswordsOptions {
            cost: HashCost { memory_kib: 256, passes: 3, lanes: 2 },
            ..PasswordsOptions::default()
        })
        .unwrap();
        let hash = other.hash(ME, password("p")).await.unwrap();
        assert!(passwords.verify_login(ME, password("p"), Some(&hash)).await.unwrap().is_right());
        assert!(!passwords.verify_login(ME, password("q"), Some(&hash)).await.unwrap().is_right());
        // From the tests of the reference implementation (phc-winner-argon2, test.c).
        let reference =
            "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        assert!(passwords.verify_login(ME, password("password"), Some(reference)).await.unwrap().is_right());
        assert!(
            !passwords
                .verify_login(ME, password("differentpassword"), Some(reference))
                .await
                .unwrap()
                .is_right()
        );
    }

    #[tokio::test]
    async fn no_password_is_right_for_an_account_without_one() {
        let passwords = Passwords::start(cheap()).unwrap();
        for tried in [crate::NO_PASSWORD, "x"] {
            let verdict =
                passwords.verify_login(ME, password(tried), Some(crate::NO_PASSWORD)).await.unwrap();
            assert_eq!(verdict, Verdict::Wrong, "{tried}");
        }
    }

    #[tokio::test]
    async fn no_password_is_right_without_a_readable_hash() {
        let passwords = Passwords::start(cheap()).unwrap();
        let d = "$argon2d$v=19$m=64,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let huge = "$argon2id$v=19$m=4000000,t=1,p=1$c29tZXNhbHQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        for hash in [None, Some(""), Some("plain"), Some("$2a$10$abc"), Some(d), Some(huge)] {
            assert!(!passwords.verify_login(ME, password("p"), hash).await.unwrap().is_right(), "{hash:?}");
        }
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once() {
        let passwords = Passwords::start(slow(2)).unwrap();
        let mut waiting = Vec::new();
        // The thread hashes one, one has its turn, and two wait.
        loop {
            let mut hash = Box::pin(passwords.hash(ME, password("p")));
            match poll_once(&mut hash).await {
                Some(Err(PasswordsError::Busy)) => break,
                Some(other) => panic!("{other:?}"),
                None => waiting.push(hash),
            }
            // The thread may complete some hashes meanwhile, which makes room for others.
            assert!(waiting.len() <= 20, "nothing is refused");
        }
        assert!(waiting.len() >= 3 && passwords.waiting() <= 2, "{}", waiting.len());
        for hash in waiting {
            hash.await.unwrap();
        }
    }

    #[tokio::test]
    async fn abandoned_work_is_skipped() {
        let passwords = Passwords::start(slow(100)).unwrap();
        let started = Instant::now();
        let mut first = Box::pin(passwords.hash(ME, password("p")));
        assert!(poll_once(&mut first).await.is_none());
        for _ in 0..50 {
            let mut abandoned = Box::pin(passwords.hash(ME, password("p")));
            assert!(poll_once(&mut abandoned).await.is_none());
        }
        first.await.unwrap();
        let one = started.elapsed().max(Duration::from_millis(20));
        passwords.hash(ME, password("p")).await.unwrap();
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

    #[tokio::test]
    async fn a_flood_from_one_address_and_of_registrations_holds_up_nobody_else() {
        let passwords = Arc::new(Passwords::start(slow(64)).unwrap());
        let mut flood = tokio::task::JoinSet::new();
        for number in 0..60 {
            let passwords = Arc::clone(&passwords);
            flood.spawn(async move {
                let from = ["192.0.2.1", "192.0.2.2"][number % 2];
                let kind = if number % 3 == 0 { HashFor::Registration(from) } else { HashFor::SignIn(from) };
                passwords.hash(kind, password("p")).await
            });
        }
        while passwords.waiting() < 50 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        for kind in [HashFor::KnownUser("alice"), HashFor::SignIn("192.0.2.9")] {
            passwords.hash(kind, password("p")).await.unwrap();
        }
        assert!(passwords.waiting() > 40, "the flood went first: {} left of 60", passwords.waiting());
        flood.shutdown().await;
    }

    #[tokio::test]
    async fn a_flood_from_doubtful_addresses_holds_up_nobody_elsewhere() {
        let passwords = Arc::new(Passwords::start(slow(64)).unwrap());
        let mut flood = tokio::task::JoinSet::new();
        for number in 0..60 {
            let passwords = Arc::clone(&passwords);
            flood.spawn(async move {
                let from = format!("192.0.2.{}", number % 20);
                passwords.verify_login(HashFor::DoubtfulSignIn(&from), password("p"), None).await
            });
        }
        while passwords.waiting() < 50 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        for kind in [HashFor::SignIn("198.51.100.1"), HashFor::Registration("198.51.100.2")] {
            passwords.hash(kind, password("p")).await.unwrap();
        }
        // In one line, each would wait for a turn of all twenty addresses.
        assert!(passwords.waiting() > 45, "the flood went first: {} left of 60", passwords.waiting());
        flood.shutdown().await;
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

//! Failed sign-ins, as the log of the server shows them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Logs failed sign-ins by bursts: a burst is all failures with one name from one
/// address, with pauses of less than [`BURST_PAUSE`].
///
/// The first failure of a burst is logged at once. The others are counted, and logged
/// as one line when the burst is over, and after each [`SUMMARY_INTERVAL`] of a longer
/// one. At most [`BURSTS_MAX`] bursts are known at a time; failures beyond them are
/// only counted, all in one number.
#[derive(Default)]
pub(crate) struct SignInFailures(Mutex<Bursts>);

impl SignInFailures {
    /// Notes a sign-in that was refused, with the name as the client sent it.
    pub(crate) fn note(&self, name: &str, address: IpAddr, now: Instant) {
        let name = printable(name);
        if self.bursts().note(&name, address, now) {
            tracing::info!(user = name.as_str(), %address, "a sign-in failed");
        }
    }

    /// Logs the summaries that are due, until the server stops; then all of them.
    pub(crate) async fn keep_logging(self: Arc<Self>, stopping: CancellationToken) {
        let log = async {
            loop {
                tokio::time::sleep(SWEEP_INTERVAL).await;
                self.log_summaries(Sweep::Due);
            }
        };
        tokio::select! {
            () = stopping.cancelled() => {}
            () = log => {}
        }
        self.log_summaries(Sweep::All);
    }

    fn log_summaries(&self, sweep: Sweep) {
        let Swept { summaries, uncounted } = self.bursts().sweep(sweep, Instant::now());
        for Summary { name, address, failures } in summaries {
            tracing::info!(user = name.as_str(), %address, failures, "more sign-ins failed");
        }
        if uncounted > 0 {
            tracing::info!(
                failures = uncounted,
                "sign-ins with further names or from further addresses failed"
            );
        }
    }

    fn bursts(&self) -> MutexGuard<'_, Bursts> {
        // Counts are whole at any time.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A name as a client sent it, in a form that a terminal and a log take as text of one
/// line: at most [`NAME_MAX_CHARS`] characters, with control and invisible characters
/// escaped (`\u{1b}`).
fn printable(name: &str) -> String {
    let mut printable = String::new();
    for (index, c) in name.chars().enumerate() {
        match c {
            _ if index == NAME_MAX_CHARS => {
                printable.push('…');
                break;
            }
            '"' | '\'' | '\\' => printable.push(c),
            c => printable.extend(c.escape_debug()),
        }
    }
    printable
}

#[derive(Default)]
struct Bursts {
    known: HashMap<(String, IpAddr), Burst>,
    /// Failures that belong to no known burst.
    uncounted: u64,
    uncounted_since: Option<Instant>,
}

struct Burst {
    /// The last failure.
    last: Instant,
    /// The last line in the log.
    logged: Instant,
    /// Failures since that line.
    failures: u64,
}

/// Which bursts a sweep takes.
#[derive(Clone, Copy, PartialEq)]
enum Sweep {
    /// Those whose summary is due.
    Due,
    /// All of them.
    All,
}

/// What a sweep found.
#[derive(Default, Debug, PartialEq)]
struct Swept {
    summaries: Vec<Summary>,
    uncounted: u64,
}

#[derive(Debug, PartialEq)]
struct Summary {
    name: String,
    address: IpAddr,
    failures: u64,
}

impl Bursts {
    /// Notes a failure, and whether it is to be logged at once.
    fn note(&mut self, name: &str, address: IpAddr, now: Instant) -> bool {
        let key = (name.to_owned(), address);
        if let Some(burst) = self.known.get_mut(&key) {
            burst.last = now;
            burst.failures += 1;
            return false;
        }
        if self.known.len() >= BURSTS_MAX {
            self.uncounted += 1;
            self.uncounted_since.get_or_insert(now);
            return false;
        }
        self.known.insert(key, Burst { last: now, logged: now, failures: 0 });
        true
    }

    /// Takes the counts of the bursts that are over or have lasted for another
    /// [`SUMMARY_INTERVAL`], and forgets the first kind.
    fn sweep(&mut self, sweep: Sweep, now: Instant) -> Swept {
        let mut swept = Swept::default();
        self.known.retain(|(name, address), burst| {
            let is_over = sweep == Sweep::All || now - burst.last >= BURST_PAUSE;
            if (is_over || now - burst.logged >= SUMMARY_INTERVAL) && burst.failures > 0 {
                swept.summaries.push(Summary {
                    name: name.clone(),
                    address: *address,
                    failures: std::mem::take(&mut burst.failures),
                });
                burst.logged = now;
            }
            !is_over
        });
        if self.uncounted_since.is_some_and(|since| sweep == Sweep::All || now - since >= SUMMARY_INTERVAL) {
            swept.uncounted = std::mem::take(&mut self.uncounted);
            self.uncounted_since = None;
        }
        swept
    }
}

/// A burst is over after this time without a failure.
const BURST_PAUSE: Duration = Duration::from_secs(15);
/// The time between two lines for one burst.
const SUMMARY_INTERVAL: Duration = Duration::from_secs(60);
/// The time between two searches for bursts to summarise.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);
/// Bursts that are known at one time, of about 150 bytes each. Who guesses with many
/// names or from many addresses fills the log with at most twice as many lines a minute.
const BURSTS_MAX: usize = 256;
/// Characters of a name that are logged: more than any account's name has, so that an
/// e-mail address that was typed there can still be recognised.
const NAME_MAX_CHARS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn summary(name: &str, failures: u64) -> Summary {
        Summary { name: name.to_owned(), address: HOME, failures }
    }

    #[test]
    fn a_burst_is_one_line_and_a_summary() {
        let mut bursts = Bursts::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(bursts.note("alice", HOME, at(0)));
        assert!(bursts.note("bob", HOME, at(0)), "another name");
        for second in 1..=9 {
            assert!(!bursts.note("alice", HOME, at(second)));
        }
        assert_eq!(
            bursts.sweep(Sweep::Due, at(23)),
            Swept::default(),
            "alice's is not over, bob's had one failure"
        );
        let swept = bursts.sweep(Sweep::Due, at(24));
        assert_eq!(swept.summaries, [summary("alice", 9)]);
        assert!(bursts.known.is_empty());
        assert!(bursts.note("alice", HOME, at(25)), "a new burst");
    }

    #[test]
    fn a_long_burst_is_summarised_each_minute() {
        let mut bursts = Bursts::default();
        let start = Instant::now();
        let mut lines = Vec::new();
        for second in 0..150 {
            let now = start + Duration::from_secs(second);
            bursts.note("alice", HOME, now);
            lines.extend(bursts.sweep(Sweep::Due, now).summaries);
        }
        assert_eq!(lines, [summary("alice", 60), summary("alice", 60)]);
        let swept = bursts.sweep(Sweep::All, start + Duration::from_secs(150));
        assert_eq!(swept.summaries, [summary("alice", 29)]);
    }

    #[test]
    fn memory_and_log_are_bounded() {
        let mut bursts = Bursts::default();
        let start = Instant::now();
        let logged = (0..10_000).filter(|number| bursts.note(&number.to_string(), HOME, start)).count();
        assert_eq!((logged, bursts.known.len()), (BURSTS_MAX, BURSTS_MAX));
        let swept = bursts.sweep(Sweep::Due, start + SUMMARY_INTERVAL);
        assert_eq!((swept.summaries.len(), swept.uncounted), (0, 10_000 - BURSTS_MAX as u64));
        assert!(bursts.known.is_empty());
    }

    #[test]
    fn a_name_is_printable_text_of_one_line() {
        assert_eq!(printable("Алиса О'Нил"), "Алиса О'Нил");
        assert_eq!(printable("a\r\nINFO forged"), "a\\r\\nINFO forged");
        assert_eq!(printable("\u{1b}[2J\u{9b}\u{202e}\u{2028}"), "\\u{1b}[2J\\u{9b}\\u{202e}\\u{2028}");
        assert_eq!(printable(&"x".repeat(60_000)).chars().count(), NAME_MAX_CHARS + 1);
    }
}

//! Attacks on a server in which people talk and sign in: what these notice of it.
//!
//! Quiet time and attacks alternate, so that other load of the machine harms both, and what counts
//! are the medians of the rounds.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::attackers::{Kind, attacker};
use crate::client::{Counts, Protocol};
use crate::server::{self, Server, sign_in};
use crate::{USERS, at_share, mebibytes, talk};

/// The attack, and what people do meanwhile.
#[derive(clap::Args)]
pub(crate) struct Attack {
    /// What the attackers do.
    #[arg(value_enum)]
    kind: Kind,
    /// Rounds, each quiet and under attack.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Seconds of messages in each half of a round.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Sockets in the room.
    #[arg(long, default_value_t = 50)]
    clients: usize,
    /// Messages a second in the room.
    #[arg(long, default_value_t = 50)]
    messages: u32,
    /// Attackers. Each of them waits for an answer before the next request.
    #[arg(long, default_value_t = 200)]
    attackers: u16,
    /// Addresses of the attackers, others in each round.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    addresses: u16,
    /// Requests a second of all attackers.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// The limits that act against these attacks are off.
    #[arg(long)]
    unlimited: bool,
}

/// The share of sign-ins, and the ratio of delays, that are good enough.
const SIGN_INS_GOOD: (usize, usize) = (39, 40);
const SLOWER_MAX: f64 = 2.0;
/// How long somebody who signs in is content to wait.
const PATIENCE: Duration = Duration::from_secs(2);
/// Sign-ins of people in each half of a round.
const SIGN_INS: usize = 40;

/// The figures that are measured in half a round.
struct Half {
    talk: Counts,
    /// How long those sign-ins took that succeeded.
    sign_ins: Vec<Duration>,
}

impl Half {
    fn good_sign_ins(&self) -> usize {
        self.sign_ins.iter().filter(|took| **took <= PATIENCE).count()
    }
}

/// Runs the attack. Returns whether people could talk and sign in.
pub(crate) async fn attack(
    (store, shards, protocol): (&str, usize, Protocol),
    options: &Attack,
) -> Result<bool, Box<dyn Error>> {
    let kind = if options.unlimited { server::Kind::Plain } else { server::Kind::Limited };
    let server = Arc::new(Server::start(store, shards, kind).await?);
    let cookies = server.users(USERS).await?;
    let attacker_cookie = cookies[USERS - 1].clone();
    options.kind.prepare(&server, &attacker_cookie).await?;
    let people = &cookies[..USERS - 1];
    println!(
        "{} sockets in one room, {} messages a second and {SIGN_INS} sign-ins, {} s quiet and {} s under attack, {} rounds",
        options.clients, options.messages, options.seconds, options.seconds, options.rounds
    );
    let expected = u64::from(options.messages) * options.seconds * options.clients as u64;
    let (mut quiet_ms, mut attacked_ms, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let (mut all, mut grown, mut good, mut is_whole) = (Answers::default(), Vec::new(), 0, true);
    for round in 0..options.rounds {
        let mut p99_ms = [0.0; 2];
        // The rounds begin with quiet and attack in turn, as in `compare`.
        let order = if round % 2 == 0 { [false, true] } else { [true, false] };
        for is_attacked in order {
            let before = server.process()?.resident_bytes()?;
            server.process()?.reset_peak()?;
            let attackers = is_attacked.then(|| Attackers::start(&server, &attacker_cookie, round, options));
            if is_attacked {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            let place = round * 2 + usize::from(is_attacked);
            let mut half = half(&server, protocol, people, place, options).await?;
            half.talk.latencies_us.sort_unstable();
            p99_ms[usize::from(is_attacked)] = at_share(&half.talk.latencies_us, 0.99);
            is_whole &= half.talk.received == expected && half.talk.disordered == 0;
            if let Some(attackers) = attackers {
                all.add(attackers.end().await?);
                grown.push(mebibytes(server.process()?.peak_resident_bytes()?.saturating_sub(before)));
                good += half.good_sign_ins();
            }
            let longest = half.sign_ins.iter().max().copied().unwrap_or_default();
            println!(
                "{}: p99 {:.1} ms, {} of {SIGN_INS} sign-ins within 2 s, longest {:.0} ms",
                if is_attacked { "attack" } else { "quiet " },
                p99_ms[usize::from(is_attacked)],
                half.good_sign_ins(),
                longest.as_secs_f64() * 1000.0
            );
        }
        quiet_ms.push(p99_ms[0]);
        attacked_ms.push(p99_ms[1]);
        ratios.push(p99_ms[1] / p99_ms[0]);
    }
    all.print();
    let [quiet, attacked, ratio, grown] = [quiet_ms, attacked_ms, ratios, grown].map(median);
    let of = SIGN_INS * options.rounds;
    println!(
        "medians: p99 of messages {quiet:.1} ms quiet, {attacked:.1} ms under attack: {ratio:.2} times; \
         {grown:.1} MiB more memory at most; {good} of {of} sign-ins within 2 s"
    );
    if !is_whole {
        println!("messages were lost");
    }
    let (least, of_so_many) = SIGN_INS_GOOD;
    Ok(is_whole && good * of_so_many >= of * least && ratio <= SLOWER_MAX)
}

/// Half a round: people talk, and sign in.
async fn half(
    server: &Arc<Server>,
    protocol: Protocol,
    people: &[String],
    place: usize,
    options: &Attack,
) -> Result<Half, Box<dyn Error>> {
    let gap = Duration::from_secs(options.seconds) / SIGN_INS as u32;
    let signing_in = tokio::spawn({
        let address = server.address.clone();
        async move {
            let mut tasks = JoinSet::new();
            for number in 0..SIGN_INS {
                let address = address.clone();
                // Half of them from where they have signed in before, half from places of their own.
                let from = match number % 2 {
                    0 => Ipv4Addr::LOCALHOST,
                    _ => Ipv4Addr::new(127, 2, place as u8, 1 + number as u8),
                };
                tasks.spawn(async move {
                    let started = Instant::now();
                    let answer = tokio::time::timeout(TIMEOUT, sign_in(&address, from, number % (USERS - 1)));
                    let is_good = matches!(answer.await, Ok(Ok(answer)) if status(&answer) == Some(200));
                    is_good.then(|| started.elapsed())
                });
                tokio::time::sleep(gap).await;
            }
            tasks.join_all().await
        }
    });
    let talk = talk(server, protocol, people, options.clients, options.messages, options.seconds).await?;
    let sign_ins = signing_in.await?.into_iter().flatten().collect();
    Ok(Half { talk, sign_ins })
}

/// Attackers at work, on a thread of their own: they do not hold up what measures.
struct Attackers {
    is_over: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<std::io::Result<Answers>>,
}

impl Attackers {
    fn start(server: &Arc<Server>, cookie: &str, round: usize, options: &Attack) -> Self {
        let is_over = Arc::new(AtomicBool::default());
        let plan = Arc::new(Plan {
            server: server.address.clone(),
            kind: options.kind,
            cookie: cookie.to_owned(),
            round,
            rate: options.rate,
            started: Instant::now(),
            turns: AtomicU64::default(),
            is_over: Arc::clone(&is_over),
        });
        let (attackers, addresses) = (options.attackers, options.addresses);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            Ok(runtime.block_on(async {
                let mut tasks = JoinSet::new();
                for number in 0..attackers {
                    tasks.spawn(attacker(Arc::clone(&plan), number, addresses));
                }
                let mut all = Answers::default();
                while let Some(answers) = tasks.join_next().await {
                    all.add(answers.unwrap_or_default());
                }
                all
            }))
        });
        Self { is_over, thread }
    }

    async fn end(self) -> Result<Answers, Box<dyn Error>> {
        self.is_over.store(true, Ordering::Relaxed);
        let answers = tokio::task::spawn_blocking(|| self.thread.join()).await?;
        Ok(answers.map_err(|_| "the attackers have failed")??)
    }
}

/// What all attackers of a round know.
pub(crate) struct Plan {
    pub(crate) server: crate::address::Address,
    pub(crate) kind: Kind,
    /// The session of an attacker who has an account.
    pub(crate) cookie: String,
    pub(crate) round: usize,
    rate: u32,
    started: Instant,
    turns: AtomicU64,
    is_over: Arc<AtomicBool>,
}

impl Plan {
    /// Waits until the next request of all attackers is due. Returns its number, and `None` when
    /// the attack is over.
    pub(crate) async fn turn(&self) -> Option<u64> {
        let turn = self.turns.fetch_add(1, Ordering::Relaxed);
        // Attackers who were held up do not make up for it.
        let due = self.started + Duration::from_secs(turn) / self.rate;
        if due < Instant::now() {
            let now = self.started.elapsed().as_secs_f64() * f64::from(self.rate);
            self.turns.fetch_max(now as u64, Ordering::Relaxed);
        }
        tokio::time::sleep_until(due.into()).await;
        (!self.is_over()).then_some(turn)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }
}

/// How long somebody waits for an answer.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);

/// The times of the answers that attackers got, by status; `None`: the connection was closed
/// instead.
#[derive(Default)]
pub(crate) struct Answers(BTreeMap<Option<u16>, Vec<u32>>);

impl Answers {
    pub(crate) fn note(&mut self, status: Option<u16>, took: Duration) {
        self.0.entry(status).or_default().push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
    }

    fn add(&mut self, other: Self) {
        for (status, times_us) in other.0 {
            self.0.entry(status).or_default().extend(times_us);
        }
    }

    fn print(self) {
        for (status, mut times_us) in self.0 {
            times_us.sort_unstable();
            let status = status.map_or("closed".to_owned(), |status| status.to_string());
            println!(
                "attackers' answers {status}: {} times, median {:.1} ms, p99 {:.1} ms, longest {:.1} ms",
                times_us.len(),
                at_share(&times_us, 0.5),
                at_share(&times_us, 0.99),
                at_share(&times_us, 1.0)
            );
        }
    }
}

pub(crate) fn status(answer: &str) -> Option<u16> {
    answer.split(' ').nth(1)?.parse().ok()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

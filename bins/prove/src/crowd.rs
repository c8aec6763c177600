//! A workload: people who talk in rooms and in private over one server, or over
//! a network in front of it, and write everything down.

mod bot;
pub(crate) mod device;
mod topics;
mod watcher;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chat_client::{Options, Rng};
use chat_core::{PageFrom, PageLimits, Topic};
use chat_store::{DatabaseUrl, Stores};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::bot::Bot;
use self::device::{Device, Notebook};
use self::watcher::Watcher;
use crate::ledger::{Findings, Ledger, Stored, between, in_room};
use crate::server::Server;

/// What people do.
#[derive(Clone)]
pub(crate) struct Habits {
    /// Clients of protocol v2; every fourth is somebody's second one.
    pub(crate) clients: usize,
    /// The people behind them, if not three for four clients.
    pub(crate) people: Option<usize>,
    /// Clients of protocol v2 that are the published driver, of which only the
    /// events are seen.
    pub(crate) bots: usize,
    /// Connections of protocol v1, with a few words now and then.
    pub(crate) watchers: usize,
    pub(crate) rooms: usize,
    /// In how many of them a client is.
    pub(crate) rooms_each: usize,
    pub(crate) pace: Pace,
    /// Which share of what is said is private.
    pub(crate) private: f64,
    /// How often somebody leaves a room, or comes back, for each thing said.
    pub(crate) leaving: f64,
    /// How often a client ends and starts anew from what it wrote down, the same.
    pub(crate) crashing: f64,
    /// Which share of the clients reads slowly.
    pub(crate) slow: f64,
    /// Whether everybody says a last word everywhere. Only what v1 said last
    /// needs it: that it was stored is told to nobody else.
    pub(crate) last_words: bool,
    /// Letters that are added to each message.
    pub(crate) padding: usize,
    pub(crate) options: Options,
    pub(crate) seed: u64,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// All together, in messages a second.
    Rate(f64),
    /// Whenever fewer than this many of one's own have no answer.
    Unsent(usize),
}

/// What people are to do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Talk,
    /// Those of v1 have nothing to repeat, and no numbers: they end first.
    Hush,
    /// One more message to every room and friend, whose answer must come.
    LastWords,
    Stop,
}

/// What all clients share.
pub(crate) struct Shared {
    pub(crate) started: Instant,
    /// The same moment, in milliseconds since 1970.
    pub(crate) started_ms: u64,
    server: SocketAddr,
    clients: usize,
    /// How far each topic goes, as far as anybody was told.
    tops: Mutex<HashMap<Topic, u64>>,
    pub(crate) acked: AtomicUsize,
    /// Of these, those whose first try was stored and not answered.
    pub(crate) duplicates: AtomicUsize,
    pub(crate) online: AtomicUsize,
    pub(crate) went_offline: AtomicUsize,
    /// Rooms that were joined, over and over.
    pub(crate) joined: AtomicUsize,
    pub(crate) unavailable: AtomicUsize,
    answered: AtomicUsize,
    settled: AtomicUsize,
}

/// Everybody.
pub(crate) struct Crowd {
    pub(crate) shared: Arc<Shared>,
    pub(crate) names: Vec<String>,
    phase: watch::Sender<Phase>,
    clients: Vec<JoinHandle<Notebook>>,
    watchers: Vec<JoinHandle<(Vec<crate::ledger::Send>, Vec<crate::ledger::Watched>)>>,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            clients: 16,
            people: None,
            bots: 0,
            watchers: 4,
            rooms: 6,
            rooms_each: 3,
            pace: Pace::Rate(300.0),
            private: 0.15,
            leaving: 0.02,
            crashing: 0.002,
            slow: 0.15,
            last_words: true,
            padding: 0,
            options: eager(),
            seed: 1,
        }
    }
}

/// A client that comes back much sooner than a real one, so that a run of a few
/// minutes has a hundred of its days.
pub(crate) fn eager() -> Options {
    Options {
        backoff_min_ms: 10,
        backoff_max_ms: 300,
        stable_after_ms: 500,
        connect_timeout_ms: 2_000,
        hello_timeout_ms: 3_000,
        silence_max_ms: Some(6_000),
        answer_timeout_ms: 6_000,
        ..Options::default()
    }
}

impl Habits {
    /// The people behind the clients.
    pub(crate) fn names(&self) -> Vec<String> {
        (0..self.users()).map(|number| format!("user{number}")).collect()
    }

    pub(crate) fn users(&self) -> usize {
        self.people.unwrap_or(self.clients - self.clients / 4).max(2)
    }
}

impl Crowd {
    /// Everybody begins at once. `cookies` are those of [`Habits::names`].
    pub(crate) fn start(habits: &Habits, server: SocketAddr, cookies: &[String]) -> Self {
        let names = habits.names();
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let shared = Arc::new(Shared {
            started: Instant::now(),
            started_ms: since_1970.as_millis() as u64,
            server,
            clients: habits.clients + habits.bots,
            tops: Mutex::default(),
            acked: AtomicUsize::new(0),
            duplicates: AtomicUsize::new(0),
            online: AtomicUsize::new(0),
            went_offline: AtomicUsize::new(0),
            joined: AtomicUsize::new(0),
            unavailable: AtomicUsize::new(0),
            answered: AtomicUsize::new(0),
            settled: AtomicUsize::new(0),
        });
        let (phase, phases) = watch::channel(Phase::Talk);
        let mut rng = Rng::for_part(habits.seed, 0);
        let mut clients = Vec::new();
        for number in 0..habits.clients {
            let user = number % names.len();
            let rooms = (0..habits.rooms_each).map(|turn| room((number + turn) % habits.rooms));
            let friends = (1..=2).map(|step| names[(user + step) % names.len()].clone());
            let device = Device::new(
                device::Who {
                    client: number,
                    user: names[user].as_str().into(),
                    cookie: cookies[user].clone(),
                    rooms: rooms.collect(),
                    friends: friends.filter(|friend| *friend != names[user]).collect(),
                    is_slow: rng.random_bool(habits.slow),
                },
                habits,
                Arc::clone(&shared),
            );
            clients.push(tokio::spawn(device.live(phases.clone())));
        }
        for number in 0..habits.bots {
            let user = number % names.len();
            let bot = Bot {
                client: 10_000 + number,
                user: names[user].as_str().into(),
                cookie: cookies[user].clone(),
                rooms: (0..habits.rooms_each).map(|turn| room((number + turn) % habits.rooms)).collect(),
                rng: Rng::for_part(habits.seed, 2_000_000 + number as u64),
                options: habits.options.clone(),
                shared: Arc::clone(&shared),
            };
            clients.push(tokio::spawn(bot.live(phases.clone())));
        }
        let mut watchers = Vec::new();
        for number in 0..habits.watchers {
            let user = number % names.len();
            let watcher = Watcher {
                client: habits.clients + number,
                user: names[user].as_str().into(),
                cookie: cookies[user].clone(),
                room: room(number % habits.rooms),
                rng: Rng::for_part(habits.seed, 1_000_000 + number as u64),
                shared: Arc::clone(&shared),
            };
            watchers.push(tokio::spawn(watcher.watch(phases.clone())));
        }
        Self { shared, names, phase, clients, watchers }
    }

    /// Since everybody began.
    pub(crate) fn now(&self) -> Duration {
        self.shared.started.elapsed()
    }

    /// How long it takes until one of the counts of [`Shared`] is this high;
    /// `None`: longer than `patience`.
    pub(crate) async fn until(
        &self,
        count: fn(&Shared) -> &AtomicUsize,
        goal: usize,
        patience: Duration,
    ) -> Option<Duration> {
        let began = Instant::now();
        while count(&self.shared).load(Ordering::Relaxed) < goal {
            if began.elapsed() > patience {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Some(began.elapsed())
    }

    pub(crate) fn count(&self, count: fn(&Shared) -> &AtomicUsize) -> usize {
        count(&self.shared).load(Ordering::Relaxed)
    }

    /// Everybody says a last word in each place, waits for all answers and until
    /// all is seen, and stops. The ledger has all but what is stored.
    pub(crate) async fn end(self, rooms: usize, patience: Duration) -> (Ledger, Places) {
        self.phase.send_replace(Phase::Hush);
        tokio::time::sleep(HUSH).await;
        self.phase.send_replace(Phase::LastWords);
        let began = Instant::now();
        while self.shared.settled.load(Ordering::Relaxed) < self.shared.clients && began.elapsed() < patience
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.phase.send_replace(Phase::Stop);
        let mut ledger = Ledger::default();
        for client in self.clients {
            let notebook = client.await.expect("clients do not panic");
            ledger.sends.extend(notebook.sends);
            ledger.given_up.extend(notebook.given_up);
            ledger.wires.extend(notebook.wires);
            ledger.clients.push(notebook.told);
        }
        for watcher in self.watchers {
            let (sends, watched) = watcher.await.expect("watchers do not panic");
            ledger.sends.extend(sends);
            ledger.watchers.extend(watched);
        }
        (ledger, Places { rooms, names: self.names })
    }
}

/// Where something may have been said.
pub(crate) struct Places {
    rooms: usize,
    names: Vec<String>,
}

impl Places {
    /// Reads everything that is in the store.
    pub(crate) async fn stored(
        &self,
        database: &DatabaseUrl,
    ) -> Result<Vec<Stored>, Box<dyn std::error::Error>> {
        let stores = Stores::open(database).await?;
        let mut topics: Vec<Topic> = (0..self.rooms).map(|number| in_room(&room(number))).collect();
        for (number, one) in self.names.iter().enumerate() {
            for other in &self.names[number..] {
                topics.push(between(one, other));
            }
        }
        let mut all = Vec::new();
        let limits = PageLimits { entries: usize::MAX >> 1, bytes: usize::MAX >> 1 };
        for topic in topics {
            let page = stores.log.page(&topic, PageFrom::After(0), limits).await?;
            all.extend(page.entries.iter().map(|entry| Stored {
                topic: topic.clone(),
                seq: entry.seq,
                from: entry.from.as_str().to_owned(),
                text: entry.body.text().to_owned(),
                nonce: entry.nonce.as_ref().map(|nonce| nonce.as_str().to_owned()),
                timestamp: entry.at_ms / 1000,
            }));
        }
        stores.close().await;
        Ok(all)
    }
}

/// The end of a run: everybody stops, the server is killed, and everything is
/// compared.
pub(crate) async fn settle(
    crowd: Crowd,
    rooms: usize,
    server: &mut Server,
    cuts: Vec<(Duration, Duration)>,
    patience: Duration,
) -> Result<(Ledger, Findings), Box<dyn std::error::Error>> {
    let (mut ledger, places) = crowd.end(rooms, patience).await;
    // The last kill: a store belongs to one server at a time.
    server.kill().await?;
    ledger.stored = places.stored(&server.database()).await?;
    ledger.cuts = cuts;
    let findings = ledger.check();
    Ok((ledger, findings))
}

impl Shared {
    fn now_ms(&self) -> u64 {
        self.started_ms + self.started.elapsed().as_millis() as u64
    }

    fn top(&self, topic: &Topic) -> u64 {
        self.tops.lock().unwrap_or_else(PoisonError::into_inner).get(topic).copied().unwrap_or_default()
    }

    fn raise_top(&self, topic: &Topic, seq: u64) {
        let mut tops = self.tops.lock().unwrap_or_else(PoisonError::into_inner);
        match tops.get_mut(topic) {
            Some(top) => *top = (*top).max(seq),
            None => drop(tops.insert(topic.clone(), seq)),
        }
    }
}

fn room(number: usize) -> String {
    format!("room {number}")
}

/// What v1 said is stored or lost by then.
const HUSH: Duration = Duration::from_millis(500);

//! A workload: users who talk in rooms and in private over one server, or over a
//! proxy in front of it, and record everything.

mod bot;
mod changes;
mod closed_room;
mod device;
mod habits;
mod notebook;
pub(crate) mod socket;
mod stored;
mod topics;
mod watcher;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chat_client::Rng;
use chat_core::Topic;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::bot::Bot;
pub(crate) use self::closed_room::ClosedRoom;
use self::device::{Device, Identity};
pub(crate) use self::habits::{Habits, Pace};
use self::notebook::Notebook;
use self::watcher::Watcher;
use crate::ledger::{Findings, Ledger, Removal, Send, V1Connection};
use crate::remains::Places;
use crate::server::Server;

/// What the clients do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Talk,
    /// Clients of v1 repeat nothing and see no numbers: they end first.
    V1Ends,
    /// One more message to every room and friend, which must be answered.
    FinalMessages,
    Stop,
}

/// The state that all clients share.
pub(crate) struct Shared {
    pub(crate) started: Instant,
    /// The time of `started`, in milliseconds since 1970.
    pub(crate) started_ms: u64,
    server: SocketAddr,
    clients: usize,
    /// The last acknowledged number of each topic.
    last_seqs: Mutex<HashMap<Topic, u64>>,
    pub(crate) acked: AtomicUsize,
    /// Acknowledgements of messages that an earlier attempt had stored.
    pub(crate) duplicates: AtomicUsize,
    pub(crate) online: AtomicUsize,
    pub(crate) went_offline: AtomicUsize,
    /// Joins, also repeated ones.
    pub(crate) joined: AtomicUsize,
    pub(crate) unavailable: AtomicUsize,
    answered: AtomicUsize,
    caught_up: AtomicUsize,
}

/// All clients of a run.
pub(crate) struct Crowd {
    pub(crate) shared: Arc<Shared>,
    pub(crate) names: Vec<String>,
    /// The names of all rooms.
    rooms: Vec<String>,
    removals: Vec<Removal>,
    kills: Vec<Duration>,
    phase: watch::Sender<Phase>,
    clients: Vec<JoinHandle<Notebook>>,
    watchers: Vec<JoinHandle<(Vec<Send>, Vec<V1Connection>)>>,
}

impl Crowd {
    /// Starts all clients at once. `cookies` are those of [`Habits::names`].
    pub(crate) fn start(habits: &Habits, server: SocketAddr, cookies: &[String]) -> Self {
        let names = habits.names();
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let shared = Arc::new(Shared {
            started: Instant::now(),
            started_ms: since_1970.as_millis() as u64,
            server,
            clients: habits.clients + habits.bots,
            last_seqs: Mutex::default(),
            acked: AtomicUsize::new(0),
            duplicates: AtomicUsize::new(0),
            online: AtomicUsize::new(0),
            went_offline: AtomicUsize::new(0),
            joined: AtomicUsize::new(0),
            unavailable: AtomicUsize::new(0),
            answered: AtomicUsize::new(0),
            caught_up: AtomicUsize::new(0),
        });
        let (phase, phases) = watch::channel(Phase::Talk);
        let mut rng = Rng::for_part(habits.seed, 0);
        let mut clients = Vec::new();
        for number in 0..habits.clients {
            let user = number % names.len();
            let rooms = (0..habits.rooms_each)
                .map(|turn| room((number + turn) % habits.rooms))
                .chain(habits.closed_room.clone());
            let friends = (1..=2).map(|step| names[(user + step) % names.len()].clone());
            let device = Device::new(
                Identity {
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
            clients.push(tokio::spawn(device.run(phases.clone())));
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
            clients.push(tokio::spawn(bot.run(phases.clone())));
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
            watchers.push(tokio::spawn(watcher.run(phases.clone())));
        }
        let rooms = (0..habits.rooms).map(room).chain(habits.closed_room.clone()).collect();
        Self { shared, names, rooms, removals: Vec::new(), kills: Vec::new(), phase, clients, watchers }
    }

    /// Takes note that a server is killed now, or is otherwise unable to keep marks.
    pub(crate) fn server_keeps_no_marks(&mut self) {
        self.kills.push(self.now());
    }

    /// Takes note that a member was removed from a closed room.
    pub(crate) fn removed(&mut self, removal: Removal) {
        self.removals.push(removal);
    }

    /// The time since the start.
    pub(crate) fn now(&self) -> Duration {
        self.shared.elapsed()
    }

    /// Waits until a count of [`Shared`] reaches `goal`. Returns how long that took;
    /// `None` if it took longer than `timeout`.
    pub(crate) async fn until(
        &self,
        count: fn(&Shared) -> &AtomicUsize,
        goal: usize,
        timeout: Duration,
    ) -> Option<Duration> {
        let start = Instant::now();
        while count(&self.shared).load(Ordering::Relaxed) < goal {
            if start.elapsed() > timeout {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Some(start.elapsed())
    }

    pub(crate) fn count(&self, count: fn(&Shared) -> &AtomicUsize) -> usize {
        count(&self.shared).load(Ordering::Relaxed)
    }

    /// Ends the run: all clients send a final message to each topic, wait until every
    /// message is answered and seen, and stop. The ledger lacks only the stored
    /// entries.
    async fn end(self, timeout: Duration) -> Ledger {
        self.phase.send_replace(Phase::V1Ends);
        tokio::time::sleep(V1_ENDS).await;
        self.phase.send_replace(Phase::FinalMessages);
        let start = Instant::now();
        while self.shared.caught_up.load(Ordering::Relaxed) < self.shared.clients && start.elapsed() < timeout
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(MARKS_SENT).await;
        self.phase.send_replace(Phase::Stop);
        let mut ledger = Ledger::default();
        for client in self.clients {
            let notebook = client.await.expect("clients do not panic");
            ledger.sends.extend(notebook.sends);
            ledger.given_up.extend(notebook.given_up);
            ledger.readings.extend(notebook.readings);
            ledger.connections.extend(notebook.connections);
            ledger.apps.push(notebook.app);
        }
        for watcher in self.watchers {
            let (sends, connections) = watcher.await.expect("watchers do not panic");
            ledger.sends.extend(sends);
            ledger.v1_connections.extend(connections);
        }
        for removal in &self.removals {
            // A message that was sent behind the removal is known only to its own client.
            ledger.sends.push(removal.next.clone());
            ledger.apps.push(removal.app());
        }
        (ledger.removals, ledger.kills) = (self.removals, self.kills);
        ledger
    }
}

/// Ends a run: all clients stop, the server is killed, and the ledger is compared
/// with the store.
pub(crate) async fn finish(
    crowd: Crowd,
    server: &mut Server,
    cuts: Vec<(Duration, Duration)>,
    timeout: Duration,
) -> Result<(Ledger, Findings), Box<dyn std::error::Error>> {
    let (names, rooms) = (crowd.names.clone(), crowd.rooms.clone());
    let mut ledger = crowd.end(timeout).await;
    tokio::time::sleep(MARKS_KEPT).await;
    // A store belongs to one server at a time.
    server.kill().await?;
    stored::read(&mut ledger, &server.database(), &rooms, &names).await?;
    ledger.cuts = cuts;
    let findings = ledger.check();
    Ok((ledger, findings))
}

/// Ends a run of several servers on one database, as [`finish`] does with one.
pub(crate) async fn finish_servers(
    crowd: Crowd,
    servers: &mut [Server],
    timeout: Duration,
) -> Result<(Ledger, Findings), Box<dyn std::error::Error>> {
    let (names, rooms) = (crowd.names.clone(), crowd.rooms.clone());
    let mut ledger = crowd.end(timeout).await;
    tokio::time::sleep(MARKS_KEPT).await;
    for server in &mut *servers {
        server.kill().await?;
    }
    stored::read(&mut ledger, &servers[0].database(), &rooms, &names).await?;
    let findings = ledger.check();
    Ok((ledger, findings))
}

/// Ends a run like [`finish`], and looks for texts that were taken back: in what the server
/// still answers to a member of all rooms with this cookie, and in the files of its store
/// (of SQLite only if `files` is true: that takes a minute).
pub(crate) async fn finish_and_look(
    crowd: Crowd,
    server: &mut Server,
    cookie: &str,
    files: bool,
    timeout: Duration,
) -> Result<(Ledger, Findings), Box<dyn std::error::Error>> {
    let (names, rooms) = (crowd.names.clone(), crowd.rooms.clone());
    let mut ledger = crowd.end(timeout).await;
    let mut places = Places::look(server, &rooms, cookie, files).await?;
    tokio::time::sleep(MARKS_KEPT).await;
    server.kill().await?;
    stored::read(&mut ledger, &server.database(), &rooms, &names).await?;
    places.look_after_vacuum(server);
    let texts = ledger.taken_back();
    let remains = places.find(&texts);
    println!("  {} texts taken back, looked for in {} KiB", texts.len(), places.bytes() >> 10);
    ledger.remains = remains;
    let findings = ledger.check();
    Ok((ledger, findings))
}

impl Shared {
    /// The time since the start: the time of the ledger.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn now_ms(&self) -> u64 {
        self.started_ms + self.started.elapsed().as_millis() as u64
    }

    fn last_seq(&self, topic: &Topic) -> u64 {
        self.last_seqs.lock().unwrap_or_else(PoisonError::into_inner).get(topic).copied().unwrap_or_default()
    }

    fn raise_last_seq(&self, topic: &Topic, seq: u64) {
        let mut last_seqs = self.last_seqs.lock().unwrap_or_else(PoisonError::into_inner);
        match last_seqs.get_mut(topic) {
            Some(last) => *last = (*last).max(seq),
            None => drop(last_seqs.insert(topic.clone(), seq)),
        }
    }
}

fn room(number: usize) -> String {
    format!("room {number}")
}

/// Longer than a client holds back a mark that follows another one (0.5 s).
const MARKS_SENT: Duration = Duration::from_secs(1);
/// How long it takes until a mark is kept: 2 s, and some time for a busy machine.
const MARKS_KEPT: Duration = Duration::from_secs(6);
/// How long it takes until the last messages of v1 are stored or lost.
const V1_ENDS: Duration = Duration::from_millis(500);

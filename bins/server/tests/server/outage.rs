//! The database is paused, crashes and is killed while users talk: no received
//! message is lost, and messages are delivered again as soon as it is back.

mod ledger;
mod talker;

use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::common::{Request, Setup, Socket, Store, TestServer};
use chat_store::test_postgres::TestCluster;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Row as _};
use tokio::sync::watch;
use tokio::task::{JoinHandle, block_in_place};
use tokio_tungstenite::tungstenite::Message;

use ledger::{Connection, Ledger, Note, Stored, between, in_room};
use talker::{Notebook, Talker};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_stands_still_for_a_while() {
    let Some(cluster) = TestCluster::start() else { return };
    let mut scenario = Scenario::begin(&cluster).await;
    // So short that statements are retried, and no client is closed.
    cluster.pause();
    let out = Instant::now();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let returns = Instant::now();
    cluster.resume();
    scenario.is_back("stood still", out..returns).await;

    let resident = scenario.server.resident_bytes();
    let pressing = scenario.presser().await;

    cluster.pause();
    let out = Instant::now();
    let pressing = tokio::spawn(press(pressing, "presser"));
    tokio::time::sleep(Duration::from_secs(10)).await;
    let returns = Instant::now();
    cluster.resume();
    let pressed = pressing.await.unwrap();
    scenario.is_back("stood still", out..returns).await;

    // A client that keeps sending is slowed down, and closed in time.
    let grown = scenario.server.resident_bytes().saturating_sub(resident);
    println!(
        "pressed {} KiB in, closed after {:?}; resident +{} KiB",
        pressed.sent_bytes / 1024,
        pressed.took,
        grown / 1024
    );
    assert_eq!(pressed.code, Some(1013));
    assert!(pressed.took < CLOSED_WITHIN, "closed after {:?}", pressed.took);
    assert!(grown < RESIDENT_MORE_MAX, "{grown} bytes more are resident");
    scenario.extra.push((pressed.sent, pressed.connection));
    scenario.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_crashes_and_starts_again() {
    let Some(cluster) = TestCluster::start() else { return };
    let mut scenario = Scenario::begin(&cluster).await;
    for pause in PAUSES {
        block_in_place(|| cluster.stop());
        let out = Instant::now();
        tokio::time::sleep(pause).await;
        let returns = Instant::now();
        assert!(block_in_place(|| cluster.start_again()));
        scenario.is_back("stopped at once", out..returns).await;
    }
    scenario.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_is_killed_and_starts_again() {
    let Some(cluster) = TestCluster::start() else { return };
    let mut scenario = Scenario::begin(&cluster).await;
    for pause in PAUSES {
        let folder = scenario.database_folder().await;
        block_in_place(|| kill_postgres(&folder));
        let out = Instant::now();
        tokio::time::sleep(pause).await;
        let returns = Instant::now();
        assert!(block_in_place(|| cluster.start_again()));
        scenario.is_back("killed", out..returns).await;
    }
    scenario.end().await;
}

/// How long the database stays away: so short that statements in progress wait for
/// it, and longer than a draft may wait.
const PAUSES: [Duration; 4] =
    [Duration::ZERO, Duration::ZERO, Duration::from_millis(500), Duration::from_secs(6)];
/// A draft may stay unanswered for 5 s; the rest is for a slow machine.
const CLOSED_WITHIN: Duration = Duration::from_secs(30);
/// The goal is 2 s.
const BACK_WITHIN: Duration = Duration::from_secs(60);
/// Growth of the whole server's memory; the buffers of a few clients are far less.
const RESIDENT_MORE_MAX: u64 = 48 * 1024 * 1024;

/// Six users who talk in two rooms and in private, and a task that checks the
/// server's health.
struct Scenario {
    server: TestServer,
    address: String,
    notebooks: Vec<Arc<Mutex<Notebook>>>,
    talking: Vec<JoinHandle<()>>,
    /// The messages that other clients sent and received.
    extra: Vec<(Vec<Note>, Connection)>,
    stop: watch::Sender<bool>,
    answers: Arc<Mutex<Vec<HealthAnswer>>>,
    asking: JoinHandle<()>,
}

impl Scenario {
    async fn begin(cluster: &TestCluster) -> Self {
        let database = block_in_place(|| cluster.database(true));
        let address = database.text.clone();
        let setup = Setup { store: Store::Postgres, shards: 2 };
        // Refused requests are expected here.
        let flags = ["--message-rate", "off", "--log", "warn,chat_http=off,sqlx=off"];
        let server = TestServer::start_on(setup, database, &flags).await;
        let (stop, stopped) = watch::channel(false);
        let mut notebooks = Vec::new();
        let mut talking = Vec::new();
        // A user without an account yet cannot receive private messages.
        let mut people = Vec::new();
        for name in NAMES {
            people.push(server.person(name).await);
        }
        for (number, person) in people.into_iter().enumerate() {
            let notebook = Arc::default();
            notebooks.push(Arc::clone(&notebook));
            let talker = Talker {
                person,
                room: ["one", "two"][number % 2],
                friend: NAMES[(number + 1) % NAMES.len()],
                notebook,
            };
            talking.push(tokio::spawn(talker.talk(stopped.clone())));
        }
        let answers = Arc::default();
        let asking = tokio::spawn(ask(server.address, Arc::clone(&answers), stopped));
        let mut scenario =
            Self { server, address, notebooks, talking, extra: Vec::new(), stop, answers, asking };
        // All users are talking by then.
        scenario.all_are_heard(Instant::now() + Duration::from_secs(1)).await;
        scenario
    }

    /// A user in the first room who has sent nothing yet.
    async fn presser(&self) -> Socket {
        self.server.person("presser").await.enter("one").await
    }

    /// Checks the server after the database has come back, which was away during `out`.
    async fn is_back(&mut self, how: &str, out: Range<Instant>) {
        let back = Instant::now();
        let heard = self.all_are_heard(back).await;
        // The users go on for a while.
        self.all_are_heard(Instant::now() + Duration::from_secs(1)).await;
        let (first, last) = (heard.iter().min().unwrap(), heard.iter().max().unwrap());
        println!("{how} for {:.1?}: talking again after {first:.0?}, all after {last:.0?}", back - out.start);

        let answers = self.answers.lock().unwrap();
        assert!(answers.iter().all(|answer| answer.alive == 200), "it was not alive");
        // A health check may be in progress at either end.
        let (from, to) = (out.start + Duration::from_millis(1_500), out.end - Duration::from_millis(1_500));
        let mut out_answers = answers.iter().filter(|answer| answer.asked > from && answer.asked < to);
        assert!(out_answers.all(|answer| answer.ready == 503), "ready without its database");
        if to > from {
            let first =
                answers.iter().find(|answer| answer.answered > out.start && answer.ready == 503).unwrap();
            println!("not ready after {:.0?}", first.answered - out.start);
        }
    }

    /// How long after `moment` each talker received a message that they sent after
    /// it.
    async fn all_are_heard(&mut self, moment: Instant) -> Vec<Duration> {
        loop {
            let heard = |notebook: &Arc<Mutex<Notebook>>| notebook.lock().unwrap().answered_after(moment);
            let all: Vec<Option<Duration>> = self.notebooks.iter().map(heard).collect();
            if let Some(all) = all.iter().copied().collect() {
                return all;
            }
            assert!(moment.elapsed() < BACK_WITHIN, "not all are heard: {all:?}");
            assert!(!self.talking.iter().any(JoinHandle::is_finished), "a talker has stopped");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Stops all talkers, and compares their notebooks with the database.
    async fn end(mut self) {
        while self.answers.lock().unwrap().last().is_none_or(|answer| answer.ready != 200) {
            assert!(!self.asking.is_finished(), "nobody asks any more");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.stop.send(true).unwrap();
        for task in self.talking {
            task.await.unwrap();
        }
        self.asking.await.unwrap();
        assert!(self.server.terminate().await.success());

        let mut ledger = Ledger { stored: stored(&self.address).await, ..Ledger::default() };
        for (sent, connection) in self.extra {
            ledger.sent.extend(sent);
            ledger.connections.push(connection);
        }
        let (mut closings, mut refused) = (Vec::new(), 0);
        for notebook in self.notebooks {
            let mut notebook = notebook.lock().unwrap();
            ledger.sent.append(&mut notebook.sent);
            ledger.connections.append(&mut notebook.connections);
            closings.append(&mut notebook.closings);
            refused += notebook.refused;
        }
        let longest = closings.iter().map(|closing| closing.waited).max().unwrap_or_default();
        println!("{ledger}; {} closed, after {longest:.1?} at most, {refused} refused", closings.len());
        assert!(closings.iter().all(|closing| closing.code == Some(1013)), "{closings:?}");
        assert!(longest < CLOSED_WITHIN, "{closings:?}");
        assert!(!closings.is_empty(), "no client was closed");
        assert!(ledger.stored.len() > 50, "too few messages");
        let wrong = ledger.check();
        assert!(wrong.is_empty(), "{} things are wrong: {:?}", wrong.len(), &wrong[..wrong.len().min(20)]);
    }

    /// The folder of the database server's data.
    async fn database_folder(&self) -> PathBuf {
        let row = sqlx::query("SHOW data_directory").fetch_one(&mut connect(&self.address).await).await;
        row.unwrap().get::<String, _>(0).into()
    }
}

const NAMES: [&str; 6] = ["alice", "bob", "carol", "dave", "Ева", "frank"];

/// All entries of the log.
async fn stored(address: &str) -> Vec<Stored> {
    let sql = "SELECT kind, name, other, seq, sender, text
                 FROM entries LEFT JOIN (SELECT id, kind AS of, name, other FROM topics) AS topics
                   ON topics.id = entries.topic
                ORDER BY topic, seq";
    let rows = sqlx::query(sql).fetch_all(&mut connect(address).await).await.unwrap();
    let stored = rows.iter().map(|row| {
        let (name, other): (String, String) = (row.get("name"), row.get("other"));
        let topic = if other.is_empty() { in_room(&name) } else { between(&name, &other) };
        let note = Note { topic, from: row.get("sender"), text: row.get("text") };
        Stored { seq: row.get("seq"), note }
    });
    stored.collect()
}

async fn connect(address: &str) -> PgConnection {
    address.parse::<PgConnectOptions>().unwrap().connect().await.unwrap()
}

/// Kills the first process of a Postgres and all its children, and waits until they
/// are gone.
fn kill_postgres(folder: &Path) {
    let file = std::fs::read_to_string(folder.join("postmaster.pid")).unwrap();
    let first = file.lines().next().unwrap();
    let children = std::fs::read_to_string(format!("/proc/{first}/task/{first}/children")).unwrap();
    let all: Vec<&str> = std::iter::once(first).chain(children.split_whitespace()).collect();
    // A child that has just ended gets no signal.
    let _ = Command::new("kill").arg("-KILL").args(&all).stderr(Stdio::null()).status();
    let deadline = Instant::now() + Duration::from_secs(10);
    while all.iter().any(|process| runs(process)) {
        assert!(Instant::now() < deadline, "a process does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
    // The process number stays in use until its parent reads the exit status, and
    // the next start would take it for a running server.
    std::fs::remove_file(folder.join("postmaster.pid")).unwrap();
}

/// Whether a process runs, and is not a zombie (proc(5), `stat`: `Z`).
fn runs(process: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
}

struct HealthAnswer {
    asked: Instant,
    answered: Instant,
    alive: u16,
    ready: u16,
}

/// Checks the server's health again and again.
async fn ask(server: SocketAddr, answers: Arc<Mutex<Vec<HealthAnswer>>>, stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        let asked = Instant::now();
        let (alive, ready) =
            tokio::join!(Request::get("/healthz").send(server), Request::get("/readyz").send(server));
        let answer =
            HealthAnswer { asked, answered: Instant::now(), alive: alive.status, ready: ready.status };
        answers.lock().unwrap().push(answer);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

struct Pressed {
    sent: Vec<Note>,
    sent_bytes: usize,
    connection: Connection,
    took: Duration,
    code: Option<u16>,
}

/// Sends as much as the server takes, until the connection is closed.
async fn press(socket: Socket, name: &str) -> Pressed {
    let started = Instant::now();
    let mut seen: Vec<Note> = socket.replay.iter().filter_map(Note::of).collect();
    let mut sent = Vec::new();
    let mut sent_bytes = 0;
    let (mut sink, mut stream) = socket.stream.split();
    let filling = "x".repeat(4_000);
    let pressing = async {
        for number in 0.. {
            let text = format!("{name} {number} {filling}");
            let frame = json!({ "text": text }).to_string();
            sent.push(Note { topic: in_room("one"), from: name.into(), text });
            if sink.send(Message::text(frame)).await.is_err() {
                break;
            }
            sent_bytes += filling.len();
        }
        std::future::pending::<()>().await;
    };
    let reading = async {
        loop {
            match stream.next().await {
                Some(Ok(Message::Text(frame))) => {
                    seen.extend(Note::of(&serde_json::from_str(&frame).unwrap()));
                }
                Some(Ok(Message::Close(close))) => return close.map(|close| close.code.into()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    };
    let code = tokio::select! {
        code = reading => code,
        () = pressing => unreachable!("it goes on for ever"),
        () = tokio::time::sleep(2 * CLOSED_WITHIN) => panic!("{name} is not closed"),
    };
    let connection = Connection { user: name.into(), room: "one".into(), seen };
    Pressed { sent, sent_bytes, connection, took: started.elapsed(), code }
}

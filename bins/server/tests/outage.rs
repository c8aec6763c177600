//! The database stands still, crashes and is killed while people talk: nothing
//! that anybody saw is lost, and they talk on as soon as it is back.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

mod common;
#[path = "outage/ledger.rs"]
mod ledger;
#[path = "outage/talker.rs"]
mod talker;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chat_store::test_postgres::TestCluster;
use common::{Request, Setup, Socket, Store, TestServer};
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
    let mut story = Story::begin(&cluster).await;
    // So short that what is under way is asked about again, and nobody closed.
    cluster.pause();
    let out = Instant::now();
    tokio::time::sleep(Duration::from_secs(3)).await;
    cluster.resume();
    story.is_back("stood still", out).await;

    let resident = story.server.resident_bytes();
    let pressing = story.presser().await;

    cluster.pause();
    let out = Instant::now();
    let pressing = tokio::spawn(press(pressing, "presser"));
    tokio::time::sleep(Duration::from_secs(10)).await;
    cluster.resume();
    let pressed = pressing.await.unwrap();
    story.is_back("stood still", out).await;

    // Whoever sends and sends is held back, and told in time.
    let grown = story.server.resident_bytes().saturating_sub(resident);
    println!(
        "pressed {} KiB in, closed after {:?}; resident +{} KiB",
        pressed.sent_bytes / 1024,
        pressed.took,
        grown / 1024
    );
    assert_eq!(pressed.code, Some(1013));
    assert!(pressed.took < CLOSED_WITHIN, "closed after {:?}", pressed.took);
    assert!(grown < RESIDENT_MORE_MAX, "{grown} bytes more are resident");
    story.extra.push((pressed.sent, pressed.connection));
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_crashes_and_starts_again() {
    let Some(cluster) = TestCluster::start() else { return };
    let mut story = Story::begin(&cluster).await;
    for pause in PAUSES {
        let out = Instant::now();
        block_in_place(|| cluster.stop());
        tokio::time::sleep(pause).await;
        assert!(block_in_place(|| cluster.start_again()));
        story.is_back("stopped at once", out).await;
    }
    story.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_is_killed_and_starts_again() {
    let Some(cluster) = TestCluster::start() else { return };
    let mut story = Story::begin(&cluster).await;
    for pause in PAUSES {
        let folder = story.database_folder().await;
        let out = Instant::now();
        block_in_place(|| kill_postgres(&folder));
        tokio::time::sleep(pause).await;
        assert!(block_in_place(|| cluster.start_again()));
        story.is_back("killed", out).await;
    }
    story.end().await;
}

/// How long the database stays away: so short that what is under way waits for
/// it, and longer than anybody may wait.
const PAUSES: [Duration; 4] =
    [Duration::ZERO, Duration::ZERO, Duration::from_millis(500), Duration::from_secs(6)];
/// A draft may stay unanswered for 5 s; the rest is for a machine that has much
/// else to do.
const CLOSED_WITHIN: Duration = Duration::from_secs(8);
/// The goal is 2 s.
const BACK_WITHIN: Duration = Duration::from_secs(10);
/// Of the whole server: what is held for a few clients is far less.
const RESIDENT_MORE_MAX: u64 = 48 * 1024 * 1024;

/// Six people who talk in two rooms and in private, and someone who asks the
/// server how it is.
struct Story {
    server: TestServer,
    address: String,
    notebooks: Vec<Arc<Mutex<Notebook>>>,
    talking: Vec<JoinHandle<()>>,
    /// What others sent and saw.
    extra: Vec<(Vec<Note>, Connection)>,
    stop: watch::Sender<bool>,
    answers: Arc<Mutex<Vec<HealthAnswer>>>,
    asking: JoinHandle<()>,
}

impl Story {
    async fn begin(cluster: &TestCluster) -> Self {
        let database = block_in_place(|| cluster.database(true));
        let address = database.text.clone();
        let setup = Setup { store: Store::Postgres, shards: 2 };
        // Requests that are refused are no news here.
        let flags = ["--message-rate", "off", "--log", "warn,chat_http=off,sqlx=off"];
        let server = TestServer::start_on(setup, database, &flags).await;
        let (stop, stopped) = watch::channel(false);
        let mut notebooks = Vec::new();
        let mut talking = Vec::new();
        // Who has no account yet cannot be written to.
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
        let mut story =
            Self { server, address, notebooks, talking, extra: Vec::new(), stop, answers, asking };
        // Everybody is in the middle of it.
        story.everybody_is_heard(Instant::now() + Duration::from_secs(1)).await;
        story
    }

    /// Somebody in the first room who has said nothing yet.
    async fn presser(&self) -> Socket {
        self.server.person("presser").await.enter("one").await
    }

    /// The database has just come back, after having been away since `out`.
    async fn is_back(&mut self, how: &str, out: Instant) {
        let back = Instant::now();
        let heard = self.everybody_is_heard(back).await;
        // And for a while.
        self.everybody_is_heard(Instant::now() + Duration::from_secs(1)).await;
        let (first, last) = (heard.iter().min().unwrap(), heard.iter().max().unwrap());
        println!("{how} for {:.1?}: talking again after {first:.0?}, all after {last:.0?}", back - out);

        let answers = self.answers.lock().unwrap();
        assert!(answers.iter().all(|answer| answer.alive == 200), "it was not alive");
        // One check may be under way at either end.
        let (from, to) = (out + Duration::from_millis(1_500), back - Duration::from_millis(1_500));
        let mut out_answers = answers.iter().filter(|answer| answer.asked > from && answer.asked < to);
        assert!(out_answers.all(|answer| answer.ready == 503), "ready without its database");
        if to > from {
            let first = answers.iter().find(|answer| answer.answered > out && answer.ready == 503).unwrap();
            println!("not ready after {:.0?}", first.answered - out);
        }
    }

    /// How long after `moment` each talker got something back that they sent
    /// after it.
    async fn everybody_is_heard(&mut self, moment: Instant) -> Vec<Duration> {
        loop {
            let heard = |notebook: &Arc<Mutex<Notebook>>| notebook.lock().unwrap().answered_after(moment);
            let all: Vec<Option<Duration>> = self.notebooks.iter().map(heard).collect();
            if let Some(all) = all.iter().copied().collect() {
                return all;
            }
            assert!(moment.elapsed() < BACK_WITHIN, "not everybody is heard: {all:?}");
            assert!(!self.talking.iter().any(JoinHandle::is_finished), "somebody has stopped talking");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Everybody stops; what they wrote down is compared with the database.
    async fn end(mut self) {
        while self.answers.lock().unwrap().last().is_none_or(|answer| answer.ready != 200) {
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
        assert!(!closings.is_empty(), "nobody noticed anything");
        assert!(ledger.stored.len() > 500, "hardly anything was said");
        let wrong = ledger.check();
        assert!(wrong.is_empty(), "{} things are wrong: {:?}", wrong.len(), &wrong[..wrong.len().min(20)]);
    }

    /// Where the database server keeps its data.
    async fn database_folder(&self) -> PathBuf {
        let row = sqlx::query("SHOW data_directory").fetch_one(&mut connect(&self.address).await).await;
        row.unwrap().get::<String, _>(0).into()
    }
}

const NAMES: [&str; 6] = ["alice", "bob", "carol", "dave", "Ева", "frank"];

/// Everything that is in the log, whatever it is.
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

/// Ends the first process of a Postgres and all its children, as they are, and
/// waits until they are gone.
fn kill_postgres(folder: &Path) {
    let file = std::fs::read_to_string(folder.join("postmaster.pid")).unwrap();
    let first = file.lines().next().unwrap();
    let children = std::fs::read_to_string(format!("/proc/{first}/task/{first}/children")).unwrap();
    let all: Vec<&str> = std::iter::once(first).chain(children.split_whitespace()).collect();
    // A child that has just ended needs no signal.
    let _ = Command::new("kill").arg("-KILL").args(&all).stderr(Stdio::null()).status();
    let patience = Instant::now() + Duration::from_secs(10);
    while all.iter().any(|process| runs(process)) {
        assert!(Instant::now() < patience, "it does not die");
        std::thread::sleep(Duration::from_millis(5));
    }
    // Its number is taken until somebody asks how it ended, and the next start
    // would take that for a server that runs.
    std::fs::remove_file(folder.join("postmaster.pid")).unwrap();
}

/// Whether a process is there, and not only its number (proc(5), `stat`: `Z`).
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

/// Asks the server how it is, again and again.
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

/// Sends as much as is taken, until the connection is closed.
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

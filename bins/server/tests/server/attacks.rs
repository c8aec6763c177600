//! Floods against the real server, from many addresses of this machine (127.x), while honest
//! people use it. Bounded in number and time; counts are asserted, times only printed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::common::{Answer, PASSWORD, Process, Request, Setup, Store, TestServer};
use futures_util::future::join_all;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

const SETUP: Setup = Setup { store: Store::Memory, shards: 1 };

/// A server whose limits on one address do not end the floods of these tests at once.
async fn open_to_floods() -> TestServer {
    let flags = ["--network-failures-max", "1000000", "--network-sign-ins-max", "1000000"];
    let registrations = ["--registrations-per-address", "1000000", "--registrations-per-hour", "1000000"];
    TestServer::start_with(SETUP, &[flags, registrations].concat()).await
}

fn login(name: &str, password: &str) -> Request {
    Request::post("/api/login").json(&json!({ "username": name, "password": password }))
}

fn registration(name: &str) -> Request {
    Request::post("/api/register").form(&[("username", name), ("password", PASSWORD)], None)
}

/// Two hundred attackers from twenty addresses, ten from each.
struct Flood {
    tasks: JoinSet<()>,
    is_over: Arc<AtomicBool>,
    /// Answers with 429 or 503.
    refused: Arc<AtomicUsize>,
    /// Other answers.
    answered: Arc<AtomicUsize>,
}

impl Flood {
    fn start(server: SocketAddr, attack: fn(String) -> Request) -> Self {
        let mut flood = Self {
            tasks: JoinSet::new(),
            is_over: Arc::default(),
            refused: Arc::default(),
            answered: Arc::default(),
        };
        for attacker in 0..200 {
            let from = [127, 1, 0, 1 + u8::try_from(attacker % 20).unwrap()];
            let is_over = Arc::clone(&flood.is_over);
            let (refused, answered) = (Arc::clone(&flood.refused), Arc::clone(&flood.answered));
            flood.tasks.spawn(async move {
                for attempt in 0..1_000 {
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    let request = attack(format!("x{attacker}-{attempt}"));
                    let Some(answer) = request.send_from(from, server).await else { continue };
                    let counter = if matches!(answer.status, 429 | 503) { &refused } else { &answered };
                    counter.fetch_add(1, Ordering::Relaxed);
                    // Somewhat slower than this machine, which is that of the server, too.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            });
        }
        flood
    }

    /// Waits until the flood has reached a limit.
    async fn until_refused(&self) {
        let deadline = Instant::now() + Duration::from_secs(120);
        while self.refused.load(Ordering::Relaxed) < 100 {
            assert!(Instant::now() < deadline, "nothing is refused");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn end(mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        while self.tasks.join_next().await.is_some() {}
        let [refused, answered] = [self.refused, self.answered].map(|count| count.load(Ordering::Relaxed));
        println!("flood: {refused} refused, {answered} answered");
    }
}

/// Honest people sign in, four at a time; returns how many could.
async fn sign_ins(server: SocketAddr, names: &[String], from: impl Fn(usize) -> [u8; 4]) -> usize {
    let mut good = 0;
    let mut times = Vec::new();
    for (group, names) in names.chunks(4).enumerate() {
        let started = Instant::now();
        let sent = names
            .iter()
            .enumerate()
            .map(|(index, name)| login(name, PASSWORD).send_from(from(4 * group + index), server));
        let answers = join_all(sent).await;
        times.push(started.elapsed());
        good += answers.into_iter().flatten().filter(|answer| answer.status == 200).count();
    }
    times.sort();
    println!("sign-ins by fours: median {:?}, longest {:?}", times[times.len() / 2], times[times.len() - 1]);
    good
}

/// Accounts that have signed in from 127.0.0.1.
async fn people(server: &TestServer, count: usize) -> Vec<String> {
    let names: Vec<_> = (0..count).map(|number| format!("honest{number}")).collect();
    for name in &names {
        server.person(name).await;
    }
    names
}

#[tokio::test]
async fn a_flood_of_sign_ins_from_twenty_addresses_stops_nobody() {
    let server = open_to_floods().await;
    let names = people(&server, 40).await;
    let before = server.resident_bytes();
    let flood = Flood::start(server.address, |name| login(&name, "a wrong password"));
    flood.until_refused().await;
    // Half of them from where they have signed in before, half from places of their own.
    let good = sign_ins(server.address, &names[..20], |_| [127, 0, 0, 1]).await
        + sign_ins(server.address, &names[20..], |index| [127, 2, 0, 1 + index as u8]).await;
    let grown = server.resident_bytes().saturating_sub(before);
    flood.end().await;
    println!("memory: {} MiB more", grown >> 20);
    assert!(good >= 39, "{good} of 40");
    assert!(grown <= 64 << 20, "{grown} bytes");
    let metrics = String::from_utf8(server.get("/metrics").await.body).unwrap();
    assert!(metrics.contains("chat_limit_refusals_total{limit=\"hash_queue_max\"}"), "{metrics}");
}

#[tokio::test]
async fn a_flood_of_registrations_stops_no_sign_in() {
    let server = open_to_floods().await;
    let names = people(&server, 40).await;
    let flood = Flood::start(server.address, |name| registration(&name));
    flood.until_refused().await;
    let good = sign_ins(server.address, &names, |index| [127, 2, 0, 1 + index as u8]).await;
    flood.end().await;
    assert!(good >= 39, "{good} of 40");
    let metrics = String::from_utf8(server.get("/metrics").await.body).unwrap();
    assert!(metrics.contains("chat_limit_refusals_total{limit=\"registration_queue_max\"}"), "{metrics}");
}

#[tokio::test]
async fn no_flood_opens_an_account_that_is_at_its_limit() {
    let server = TestServer::start(SETUP).await;
    server.person("alice").await;
    let from = [127, 3, 0, 1];
    let status = async |name: &str, password: &str, from: [u8; 4]| {
        login(name, password).send_from(from, server.address).await.unwrap().status
    };
    for _ in 0..10 {
        assert_eq!(status("alice", "a wrong password", from).await, 401);
    }
    assert_eq!(status("alice", PASSWORD, from).await, 429);
    // What cannot be a password costs nothing, and counts for nothing.
    let too_long = "p".repeat(2_000);
    for (round, password) in ["", &too_long].into_iter().enumerate() {
        let names: Vec<_> = (0..100).map(|number| format!("x{round}-{number}")).collect();
        let answers = join_all(names.iter().map(|name| status(name, password, [127, 3, 0, 2]))).await;
        assert!(answers.iter().all(|status| *status == 401), "{answers:?}");
    }
    assert_eq!(status("alice", PASSWORD, [127, 3, 0, 2]).await, 200, "no limit acts there");
    // One password with many names.
    let mut tried = 0;
    for number in 0..80 {
        tried += usize::from(status(&format!("y{number}"), "a good guess", [127, 3, 0, 3]).await == 401);
    }
    assert_eq!(tried, 50);
    assert_eq!(status("alice", PASSWORD, [127, 3, 0, 3]).await, 429, "a new place of hers");
    assert_eq!(status("alice", PASSWORD, [127, 3, 0, 2]).await, 200, "one where she was before");
    assert_eq!(status("alice", PASSWORD, from).await, 429, "still");
}

#[tokio::test]
async fn accounts_are_created_slowly() {
    let flags = ["--registrations-per-address", "5", "--registrations-per-hour", "12"];
    let server = TestServer::start_with(SETUP, &[&flags[..], &["--accounts-max", "14"]].concat()).await;
    let mut created = Vec::new();
    for address in 1..=3 {
        let names: Vec<_> = (0..20).map(|number| format!("x{address}-{number}")).collect();
        let sent =
            names.iter().map(|name| registration(name).send_from([127, 4, 0, address], server.address));
        let answers = join_all(sent).await;
        let statuses: Vec<_> = answers.into_iter().flatten().map(|answer| answer.status).collect();
        assert!(statuses.iter().all(|status| matches!(status, 200 | 429 | 503)), "{statuses:?}");
        created.push(statuses.iter().filter(|status| **status == 200).count());
    }
    assert_eq!(created, [5, 5, 2]);
}

#[tokio::test]
async fn connections_of_one_address_and_silent_ones_stop_nobody() {
    let server =
        TestServer::start_with(SETUP, &["--connections-per-address", "20", "--max-connections", "100"]).await;
    let mut held = Vec::new();
    for number in 0..200 {
        let stream = connect([127, 5, 0, 1 + u8::try_from(number / 50).unwrap()], server.address).await;
        held.extend(stream);
    }
    for _ in 0..5 {
        server.get("/healthz").await.expect_ok();
    }
    // 80 of them may stay, 20 of each address; the others were closed.
    let mut closed = 0;
    for stream in &mut held {
        let mut byte = [0; 256];
        let read = tokio::time::timeout(Duration::from_millis(20), stream.read(&mut byte)).await;
        closed += usize::from(read.is_ok());
    }
    assert!(closed >= 120, "{closed} of 200 were closed");
    // Addresses enough to fill the server: the silent ones make room.
    for number in 0..240_u8 {
        held.extend(connect([127, 5, 1, number], server.address).await);
    }
    for _ in 0..5 {
        server.get("/healthz").await.expect_ok();
    }
    let metrics = String::from_utf8(server.get("/metrics").await.body).unwrap();
    for limit in ["connections_per_address", "max_connections"] {
        assert!(metrics.contains(&format!("chat_limit_refusals_total{{limit=\"{limit}\"}}")), "{metrics}");
    }
}

#[tokio::test]
async fn connections_that_speak_now_and_then_stop_nobody() {
    let server =
        TestServer::start_with(SETUP, &["--connections-per-address", "40", "--max-connections", "100"]).await;
    let (mut socket, _) = server.person("alice").await.open_v2().await;
    socket.join(&json!({ "type": "join", "room": "default" })).await;
    // Three addresses want all connections; each of these gets an answer each second.
    let answered = Arc::new(AtomicUsize::default());
    let mut attackers = JoinSet::new();
    for number in 0..120 {
        let (from, address) = ([127, 7, 0, 1 + number / 40], server.address);
        let answered = Arc::clone(&answered);
        attackers.spawn(async move {
            loop {
                if let Some(mut stream) = connect(from, address).await {
                    while speak(&mut stream).await.is_some() {
                        answered.fetch_add(1, Ordering::Relaxed);
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        });
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    while answered.load(Ordering::Relaxed) < 300 {
        assert!(Instant::now() < deadline, "the attackers get no answers");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut longest = Duration::ZERO;
    for _ in 0..20 {
        let started = Instant::now();
        let read = tokio::time::timeout(Duration::from_secs(60), server.get("/healthz")).await;
        read.expect("an answer").expect_ok();
        longest = longest.max(started.elapsed());
    }
    println!("requests beside the attackers: longest {longest:?}");
    socket.post("default", "still here", "n").await;
    socket.until_answered("n").await;
    let metrics = String::from_utf8(server.get("/metrics").await.body).unwrap();
    assert!(metrics.contains("chat_limit_refusals_total{limit=\"max_connections\"}"), "{metrics}");
}

/// Ends a request that has begun, reads something of the answer, and begins the next one.
async fn speak(stream: &mut TcpStream) -> Option<()> {
    stream.write_all(b"Host: a\r\n\r\n").await.ok()?;
    let mut bytes = [0; 64 * 1024];
    (stream.read(&mut bytes).await.ok()? > 0).then_some(())?;
    stream.write_all(b"GET / HTTP/1.1\r\n").await.ok()
}

/// A connection from an address of this machine that has begun a request.
async fn connect(from: [u8; 4], server: SocketAddr) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((from, 0).into()).unwrap();
    let mut stream = socket.connect(server).await.ok()?;
    stream.write_all(b"GET / HTTP/1.1\r\n").await.ok()?;
    Some(stream)
}

#[tokio::test]
async fn a_user_who_reads_in_a_loop_slows_nobody() {
    let server = TestServer::start_with(SETUP, &["--lists-per-minute", "300"]).await;
    let [alice, bob] = [server.person("alice").await, server.person("bob").await];
    let times = async |what: &str| {
        let mut times = Vec::new();
        for path in ["/api/rooms", "/api/users", "/api/me"].repeat(10) {
            let started = Instant::now();
            bob.get(path).await.expect_ok();
            times.push(started.elapsed());
        }
        times.sort();
        println!("bob's requests {what}: median {:?}, longest {:?}", times[15], times[29]);
    };
    times("alone").await;
    let is_over = Arc::new(AtomicBool::default());
    let refused = Arc::new(AtomicUsize::default());
    let mut loops = JoinSet::new();
    for number in 0..16 {
        let (address, cookie) = (server.address, alice.cookie.clone());
        let (is_over, refused) = (Arc::clone(&is_over), Arc::clone(&refused));
        loops.spawn(async move {
            let path = ["/api/rooms", "/api/users"][number % 2];
            while !is_over.load(Ordering::Relaxed) {
                let request = Request::get(path).header("Cookie", &cookie);
                let Some(answer) = request.send_from([127, 8, 0, 1], address).await else { continue };
                if answer.status == 429 {
                    refused.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    let deadline = Instant::now() + Duration::from_secs(120);
    while refused.load(Ordering::Relaxed) < 50 {
        assert!(Instant::now() < deadline, "alice is not refused");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    times("beside alice's loops").await;
    is_over.store(true, Ordering::Relaxed);
    while loops.join_next().await.is_some() {}
    let metrics = String::from_utf8(server.get("/metrics").await.body).unwrap();
    assert!(metrics.contains("chat_limit_refusals_total{limit=\"lists_per_minute\"}"), "{metrics}");
}

#[tokio::test]
async fn a_proxy_on_this_machine_does_not_make_one_client_of_all() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Process::command(folder.path());
    command.args([
        "--database-url",
        "memory:",
        "--address-failures-max",
        "1",
        "--registrations-per-address",
        "2",
    ]);
    let mut server = Process::spawn(command);
    let address = server.until_ready().await;
    let through_proxy =
        async |request: Request| request.header("X-Real-IP", "192.0.2.1").send(address).await.status;
    for number in 0..5 {
        assert_eq!(through_proxy(registration(&format!("a{number}"))).await, 200);
        assert_eq!(through_proxy(login("a0", "a wrong password")).await, 401);
    }
    server.until_logged("through a proxy on this machine that is not trusted").await;
    assert!(!server.log().contains("this machine's own address"), "{}", server.log());
    // Without such a header, requests from this machine count like all others.
    let direct =
        async |request: Request, from: [u8; 4]| -> Answer { request.send_from(from, address).await.unwrap() };
    for last in [1, 2] {
        for status in [401, 429, 429] {
            let answer = direct(login("a0", "a wrong password"), [127, 6, 0, last]).await;
            assert_eq!(answer.status, status, "{last}");
        }
    }
    server.until_logged("has acted on this machine's own address").await;
    let log = server.log();
    for once in ["that is not trusted", "this machine's own address"] {
        assert_eq!(log.matches(once).count(), 1, "{log}");
    }
    server.terminate().await;
    assert!(server.ended().await.success());
}

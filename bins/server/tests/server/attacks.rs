//! Attacks on the real server, from many addresses of this machine (127.x), while honest
//! people use it. Bounded in number and time; counts are asserted, and of times only that
//! something was not sooner. `load attack` measures what attacks cost others.
//!
//! | attack | test |
//! |---|---|
//! | passwords that cannot be right make room for guesses | `no_flood_opens_an_account_that_is_at_its_limit` |
//! | one password, tried with many names | the same |
//! | the queues of sign-ins and registrations are full | `a_flood_of_sign_ins_from_twenty_addresses_stops_nobody`, `a_flood_of_registrations_stops_no_sign_in` |
//! | any number of accounts | `accounts_are_created_slowly` |
//! | connections of one address, silent ones, ones that speak now and then | `connections_of_one_address_and_silent_ones_stop_nobody`, `connections_that_speak_now_and_then_stop_nobody` |
//! | a proxy makes one address of all people | `a_proxy_on_this_machine_does_not_make_one_client_of_all` |
//! | sockets of v1 that open and close | `who_opens_and_closes_v1_sockets_in_a_loop_is_charged_for_joins` |
//! | names and titles that look like others | `nobody_passes_for_another_user_the_server_or_a_room` |
//! | bare LF, two lengths, two cookies, `crit`, common passwords; the headers that protect | `heads_are_read_in_one_way_and_tokens_and_passwords_are_strict` |
//! | metrics that everybody reads | `metrics_are_on_an_address_of_their_own_where_that_is_set` |
//! | `hello` and history in a loop | `who_opens_sockets_or_reads_history_in_a_loop_has_a_rate` |
//! | lists in a loop | `a_user_who_reads_in_a_loop_slows_nobody` |
//! | frames of any kind, headers that never end | `frames_of_any_kind_are_looked_at_a_hundred_a_second` and `a_header_has_to_arrive_and_a_client_may_be_silent` in `websocket.rs` |

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crate::common::{Answer, PASSWORD, Process, Request, Setup, Store, TestServer, free_address};
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

#[tokio::test]
async fn who_opens_and_closes_v1_sockets_in_a_loop_is_charged_for_joins() {
    let server = TestServer::start_with(SETUP, &["--join-rate", "5,1"]).await;
    let [alice, bob] = [server.person("alice").await, server.person("bob").await];
    let mut reader = bob.enter("default").await;
    let begun = Instant::now();
    let mut refused = 0;
    for _ in 0..40 {
        let mut socket = alice.open("default").await.unwrap();
        // The first frame is her own notice, or there is none.
        match socket.next_or_close().await {
            Ok(notice) => assert_eq!(notice["type"], "system", "{notice}"),
            Err(code) => {
                assert_eq!(code, Some(1013));
                refused += 1;
            }
        }
    }
    let most = 5 + begun.elapsed().as_secs() as usize + 1;
    assert!(
        refused >= 40_usize.saturating_sub(most),
        "{refused} of 40 were refused, in {:?}",
        begun.elapsed()
    );
    // Each join that bob saw has its leave, and there are no others.
    let (mut joins, mut leaves) = (0, 0);
    while leaves < 40 - refused {
        let notice = reader.next().await;
        match notice["text"].as_str().unwrap() {
            "присоединился к комнате default" => joins += 1,
            "покинул комнату default" => leaves += 1,
            text => panic!("{text}"),
        }
    }
    assert_eq!((joins, leaves), (40 - refused, 40 - refused));
    // Other users come as before.
    server.person("carol").await.enter("default").await;
    assert_eq!(reader.next().await["from"], "carol", "no notice was left");
}

#[tokio::test]
async fn who_opens_sockets_or_reads_history_in_a_loop_has_a_rate() {
    let flags = ["--socket-opens-per-minute", "20", "--history-rate", "5,1"];
    let server = TestServer::start_with(SETUP, &flags).await;
    let [alice, bob] = [server.person("alice").await, server.person("bob").await];
    let mut socket = alice.enter_v2("default").await;
    let begun = Instant::now();
    for number in 0..8 {
        let page = json!({ "type": "history", "room": "default", "before": 10, "ref": number.to_string() });
        socket.send(&page).await;
    }
    for number in 0..8 {
        assert_eq!(socket.next_of("history").await["ref"], number.to_string());
    }
    assert!(begun.elapsed() >= Duration::from_millis(1_900), "three waited: {:?}", begun.elapsed());

    let mut held = Vec::new();
    let mut refused = 0;
    for _ in 0..40 {
        match alice.open_with("", Some("chat.v2")).await {
            Ok(socket) => held.push(socket),
            Err(tokio_tungstenite::tungstenite::Error::Http(answer)) => {
                assert_eq!(answer.status(), 429);
                assert!(answer.headers().contains_key("retry-after"), "{answer:?}");
                refused += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    let most = 19 + begun.elapsed().as_secs() as usize / 3 + 1;
    assert!(held.len() <= most, "{} opened", held.len());
    assert!(refused > 0);
    bob.open_v2().await;
    let metrics = String::from_utf8(server.get("/metrics").await.body).unwrap();
    assert!(metrics.contains("chat_limit_refusals_total{limit=\"socket_opens_per_minute\"}"), "{metrics}");
}

#[tokio::test]
async fn nobody_passes_for_another_user_the_server_or_a_room() {
    let server = TestServer::start(SETUP).await;
    let alice = server.person("alice").await;
    for name in ["Alice", "аlice", "ALICE", "admin", "Adm1n", "s e r v e r", "модератор", "sеrver"]
    {
        let answer = registration(name).send(server.address).await;
        assert_eq!(answer.status, 400, "{name}: {}", String::from_utf8_lossy(&answer.body));
    }
    let create = async |room: &serde_json::Value| {
        let request = Request::post("/api/rooms").header("Cookie", &alice.cookie).json(room);
        request.send(server.address).await.status
    };
    for title in
        ["Random", "rаndom", "Общая", "a\u{202e}b", "a\u{200b}b", &format!("a{}", "\u{0336}".repeat(9))]
    {
        assert_eq!(create(&json!({ "title": title })).await, 400, "{title:?}");
    }
    for name in ["Default", "dеfault", "~closed"] {
        assert_eq!(create(&json!({ "title": "Garden", "name": name })).await, 400, "{name:?}");
    }
    assert_eq!(create(&json!({ "title": "Garden" })).await, 201);
}

#[tokio::test]
async fn heads_are_read_in_one_way_and_tokens_and_passwords_are_strict() {
    const SECRET: &str = "a secret that this test knows, too";
    let flags = ["--jwt-secret", SECRET, "--external-tokens", "true"];
    let server = TestServer::start_with(SETUP, &flags).await;
    let login = "POST /api/login HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n";
    for (what, head) in [
        ("bare LFs", "GET /healthz HTTP/1.1\nHost: a\n\n".to_owned()),
        ("a bare LF behind a field", "GET /healthz HTTP/1.1\r\nHost: a\nX: y\r\n\r\n".to_owned()),
        ("TE and CL", format!("{login}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")),
        ("two lengths", format!("{login}Content-Length: 3\r\n\r\n{{}}")),
        ("no Host", "GET /healthz HTTP/1.1\r\n\r\n".to_owned()),
        ("two Hosts", "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned()),
        ("a folded field", "GET /healthz HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n".to_owned()),
    ] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let smuggled = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
        let _ = stream.write_all(format!("{head}{smuggled}").as_bytes()).await;
        let mut answer = Vec::new();
        // The end may be a reset: the rest was not read.
        let _ = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut answer)).await.unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{what}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{what}: {answer}");
    }

    let page = server.get("/").await.expect_ok();
    assert_eq!(page.header("strict-transport-security"), None, "it has no TLS, nor a proxy with it");
    assert_eq!(page.header("cross-origin-resource-policy"), Some("same-origin"));
    assert!(page.header("permissions-policy").unwrap().contains("camera=()"));

    let folder = tempfile::tempdir().unwrap();
    let mut command = Process::command(folder.path());
    command.args(["--database-url", "memory:", "--public-url", "https://chat.example.org"]);
    let secure = Process::spawn(command);
    let page = Request::get("/").send(secure.until_listening().await).await.expect_ok();
    assert_eq!(page.header("strict-transport-security"), Some("max-age=31536000"));
    secure.terminate().await;

    let [alice, mallory] = [server.person("alice").await, server.person("mallory").await];
    let me = async |cookie: &str| {
        Request::get("/api/me").header("Cookie", cookie).send(server.address).await.status
    };
    assert_eq!(me(&alice.cookie).await, 200);
    assert_eq!(me(&format!("{}; {}", mallory.cookie, alice.cookie)).await, 401, "two cookies");
    let token = |crit: Option<Vec<String>>| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let claims = json!({ "sub": "guest", "exp": now + 3_600 });
        let header = jsonwebtoken::Header { crit, ..Default::default() };
        let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
        format!("auth={}", jsonwebtoken::encode(&header, &claims, &key).unwrap())
    };
    assert_eq!(me(&token(None)).await, 200, "a token of another issuer");
    assert_eq!(me(&token(Some(vec!["exp".to_owned()]))).await, 401, "one that demands an extension");

    for password in ["password", "12345678", "qwertyuiop", "Newcomer"] {
        let fields = [("username", "newcomer"), ("password", password)];
        let answer = Request::post("/api/register").form(&fields, None).send(server.address).await;
        assert_eq!(answer.status, 400, "{password}");
    }
}

#[tokio::test]
async fn metrics_are_on_an_address_of_their_own_where_that_is_set() {
    let folder = tempfile::tempdir().unwrap();
    let free = free_address();
    let mut command = Process::command(folder.path());
    command.args(["--database-url", "memory:", "--metrics-listen", &free.to_string()]);
    let mut server = Process::spawn(command);
    let address = server.until_ready().await;
    assert_eq!(Request::get("/metrics").send(address).await.status, 404);
    let metrics = Request::get("/metrics").send(free).await.expect_ok();
    assert!(String::from_utf8(metrics.body).unwrap().contains("chat_build_info"));
    for path in ["/", "/api/server", "/healthz"] {
        assert_eq!(Request::get(path).send(free).await.status, 404, "{path}");
    }
    server.terminate().await;
    assert!(server.ended().await.success());
}

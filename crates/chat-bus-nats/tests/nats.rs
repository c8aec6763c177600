//! The bus on a real NATS server, from Debian's package.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use chat_bus_nats::{NatsBus, NatsBusOptions, NatsUrl};
use chat_cluster::{
    Bus as _, BusCounts, BusEvent, Heartbeat, Incarnation, Key, Lane, Message, OpenError, Opened, Point,
    Record, Writer, decode, encode,
};
use futures_util::StreamExt as _;
use rustix::process::{Pid, Signal, kill_process};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

const EPOCH: &str = "epoch-1";

/// A NATS server on a port of its own, which it keeps when it starts again.
struct Nats {
    program: String,
    port: u16,
    child: Option<Child>,
}

impl Nats {
    /// `None`, and a loud line, without the program; an error where `CI=true`.
    fn start() -> Option<Self> {
        let mut nats = Self::stopped()?;
        nats.run();
        Some(nats)
    }

    fn stopped() -> Option<Self> {
        let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/debian/usr/sbin");
        let path = std::env::var_os("PATH").unwrap_or_default();
        // Only root has `/usr/sbin` in its path.
        let mut folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), unpacked]);
        let found = folders.find_map(|folder| Some(folder.join("nats-server")).filter(|path| path.is_file()));
        let Some(found) = found else {
            // Not captured by the harness of tests.
            let line = "NOT RUN: nats-server is missing: apt-get install nats-server";
            writeln!(std::io::stderr().lock(), "{line}").expect("standard error");
            assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "nats-server is missing");
            return None;
        };
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .expect("a free port")
            .local_addr()
            .expect("a free port")
            .port();
        Some(Self { program: found.display().to_string(), port, child: None })
    }

    fn run(&mut self) {
        let mut command = Command::new(&self.program);
        command.args(["-a", "127.0.0.1", "-p", &self.port.to_string()]);
        self.child =
            Some(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("nats-server starts"));
        for _ in 0..3_000 {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("nats-server does not listen");
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("nats-server is ended");
            child.wait().expect("nats-server has ended");
        }
    }

    fn signal(&self, signal: Signal) {
        let id = self.child.as_ref().expect("nats-server runs").id();
        kill_process(Pid::from_raw(id as i32).expect("a signal"), signal).expect("a signal");
    }

    fn address(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    fn url(&self) -> NatsUrl {
        NatsUrl::parse(&self.address()).expect("a good address")
    }

    async fn server(&self) -> Server {
        self.server_with(EPOCH, NatsBusOptions::default()).await
    }

    async fn server_with(&self, epoch: &str, options: NatsBusOptions) -> Server {
        let (sender, events) = unbounded_channel();
        let sink = move |event| drop(sender.send(event));
        Server {
            bus: NatsBus::start(&self.url(), epoch, options, sink).await.expect("the bus starts"),
            events,
        }
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A chat server, as far as the bus knows it.
struct Server {
    bus: NatsBus,
    events: UnboundedReceiver<BusEvent>,
}

impl Server {
    async fn next(&mut self) -> BusEvent {
        timeout(Duration::from_secs(30), self.events.recv())
            .await
            .expect("an event in 30 s")
            .expect("the sink is there")
    }

    /// The client tells of a change a moment before its state says so.
    async fn until_up(&self, is_up: bool) {
        for _ in 0..3_000 {
            if self.bus.is_up() == is_up {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("is_up() is not {is_up}");
    }

    /// Waits for an event that is no message.
    async fn change(&mut self) -> BusEvent {
        loop {
            match self.next().await {
                BusEvent::Message(_) => {}
                change => return change,
            }
        }
    }

    async fn message(&mut self) -> Opened {
        match self.next().await {
            BusEvent::Message(bytes) => decode(&bytes, &key()).expect("a good message"),
            other => panic!("{other:?}"),
        }
    }

    fn say(&self, message: &Message) {
        self.bus.publish(message.channel(), encode(message, &key()).into());
    }

    fn counts(&self) -> BusCounts {
        self.bus.counts()
    }

    /// Has another server hear this one, once both are connected: a subscription takes a moment. What
    /// the other one hears later was said later.
    async fn reach(&self, other: &mut Self) {
        for beat in 1_000_000.. {
            self.say(&heartbeat(beat));
            let heard = timeout(Duration::from_millis(50), other.events.recv()).await;
            assert!(beat < 1_000_600, "nothing arrives");
            if !matches!(heard, Ok(Some(BusEvent::Message(_)))) {
                continue;
            }
            // Messages may still be on their way.
            self.say(&heartbeat(0));
            while other.message().await != Opened::Message(heartbeat(0)) {}
            return;
        }
    }
}

fn key() -> Key {
    Key::new(b"a secret of tests", EPOCH)
}

fn server(number: u32) -> Incarnation {
    Incarnation::new(number).expect("a small number")
}

fn heartbeat(beat: u64) -> Message {
    let from = server(1);
    Message::Heartbeat(Heartbeat {
        from,
        beat,
        newest: Vec::new(),
        presence_counter: 0,
        presence_checksum: 0,
    })
}

fn commit(n: u64) -> Message {
    let writer = Writer { incarnation: server(1), lane: Lane(2) };
    Message::Record(Record { at: Point { writer, n }, parts: Vec::new(), controls: Vec::new() })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_says_is_carried_to_the_others_in_order() {
    let Some(nats) = Nats::start() else { return };
    let (mut a, mut b, mut c) = (nats.server().await, nats.server().await, nats.server().await);
    for server in [&mut a, &mut b, &mut c] {
        assert_eq!(server.next().await, BusEvent::Up);
        server.until_up(true).await;
    }
    a.reach(&mut b).await;
    a.reach(&mut c).await;
    // These messages reached `b` while `c` was cut off.
    a.say(&heartbeat(1));
    while b.message().await != Opened::Message(heartbeat(1)) {}
    while c.message().await != Opened::Message(heartbeat(1)) {}
    let of_each_channel =
        [commit(1), heartbeat(2), Message::AskSnapshot { from: server(1), to: server(2) }, commit(2)];
    for message in &of_each_channel {
        a.say(message);
        for server in [&mut b, &mut c] {
            assert_eq!(server.message().await, Opened::Message(message.clone()));
        }
    }
    for n in 3..1_000 {
        a.say(&commit(n));
    }
    for n in 3..1_000 {
        assert_eq!(b.message().await, Opened::Message(commit(n)));
    }
    assert!(a.events.try_recv().is_err(), "a server hears itself");
    let counts = a.counts();
    assert_eq!((counts.dropped, counts.missed, counts.connections, counts.received), (0, 0, 1, 0));
    assert!(counts.published > 1_000, "{counts:?}");
    for server in [a, b, c] {
        server.bus.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_heard_without_the_key_or_in_another_epoch() {
    let Some(nats) = Nats::start() else { return };
    let (mut a, mut b) = (nats.server().await, nats.server().await);
    let mut elsewhere = nats.server_with("epoch-2", NatsBusOptions::default()).await;
    for server in [&mut a, &mut b, &mut elsewhere] {
        assert_eq!(server.next().await, BusEvent::Up);
    }
    a.reach(&mut b).await;

    let attacker = async_nats::connect(nats.address()).await.unwrap();
    let mut overheard = attacker.subscribe("chat.>").await.unwrap();
    // The server has taken the subscription once it has brought what the same connection says.
    attacker.publish("chat.attacker", "".into()).await.unwrap();
    timeout(Duration::from_secs(30), overheard.next()).await.unwrap().unwrap();
    a.say(&commit(1));
    let heard = timeout(Duration::from_secs(30), overheard.next()).await.unwrap().unwrap();
    assert_eq!(heard.subject.as_str(), "chat.epoch-1.f1.c.2");
    assert_eq!(b.message().await, Opened::Message(commit(1)));

    let other_key = Key::new(b"another secret", EPOCH);
    let forged = encode(&commit(2), &other_key);
    let mut altered = heard.payload.to_vec();
    altered[2] ^= 1;
    for bytes in [forged, altered] {
        attacker.publish("chat.epoch-1.f1.c.2", bytes.into()).await.unwrap();
        let BusEvent::Message(bytes) = b.next().await else { panic!("no message") };
        assert_eq!(decode(&bytes, &key()), Err(OpenError::Signature));
    }
    assert!(elsewhere.events.try_recv().is_err(), "another epoch is heard");
    assert_eq!(elsewhere.counts().received, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_and_comes_back_is_told_and_carries_again() {
    let Some(mut nats) = Nats::stopped() else { return };
    // The chat starts without it.
    let (mut a, mut b) = (nats.server().await, nats.server().await);
    assert!(!a.bus.is_up());
    a.say(&commit(1));
    assert_eq!(a.counts().dropped, 1);
    nats.run();
    for server in [&mut a, &mut b] {
        assert_eq!(server.next().await, BusEvent::Up);
    }
    a.reach(&mut b).await;

    nats.stop();
    for server in [&mut a, &mut b] {
        assert_eq!(server.change().await, BusEvent::Down);
        server.until_up(false).await;
    }
    let before = a.counts().dropped;
    for n in 2..102 {
        a.say(&commit(n));
    }
    assert_eq!(a.counts().dropped, before + 100, "they wait for the connection");

    nats.run();
    for server in [&mut a, &mut b] {
        assert_eq!(server.change().await, BusEvent::Up);
        server.until_up(true).await;
    }
    a.reach(&mut b).await;
    a.say(&commit(102));
    assert_eq!(b.message().await, Opened::Message(commit(102)));
    assert_eq!((a.counts().connections, b.counts().connections), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_server_makes_nobody_wait() {
    let Some(nats) = Nats::start() else { return };
    let options = NatsBusOptions { queue_max_messages: 16, ..NatsBusOptions::default() };
    let mut a = nats.server_with(EPOCH, options).await;
    assert_eq!(a.next().await, BusEvent::Up);
    nats.signal(Signal::STOP);
    // More than the sockets' buffers and the client hold.
    let large = bytes::Bytes::from(vec![0; 400 * 1024]);
    for _ in 0..1_000 {
        a.bus.publish(commit(1).channel(), large.clone());
        tokio::task::yield_now().await;
    }
    let counts = a.counts();
    assert!(counts.dropped > 0, "{counts:?}");
    assert!(counts.published + counts.dropped <= 1_000, "{counts:?}");
    // The pings tell, although the connection of TCP is there.
    assert_eq!(a.change().await, BusEvent::Down);
    nats.signal(Signal::CONT);
    assert_eq!(a.change().await, BusEvent::Up);
}

/// Opens the gate also if the test fails: the end of a runtime waits for a thread that is blocked.
struct OpensAtEnd(Arc<(Mutex<bool>, Condvar)>);

impl Drop for OpensAtEnd {
    fn drop(&mut self) {
        let (is_open, opened) = &*self.0;
        *is_open.lock().unwrap_or_else(PoisonError::into_inner) = true;
        opened.notify_all();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_slow_server_misses_messages_is_told_and_holds_up_nobody() {
    let Some(nats) = Nats::start() else { return };
    let (mut a, mut b) = (nats.server().await, nats.server().await);
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let opens = OpensAtEnd(Arc::clone(&gate));
    let (sender, mut events) = unbounded_channel();
    let sink = {
        let gate = Arc::clone(&gate);
        move |event| {
            if matches!(event, BusEvent::Message(_)) {
                // Tasks that wait behind this one go to another thread.
                tokio::task::block_in_place(|| {
                    let (is_open, opened) = &*gate;
                    drop(opened.wait_while(is_open.lock().unwrap(), |is_open| !*is_open).unwrap());
                });
            }
            drop(sender.send(event));
        }
    };
    let options = NatsBusOptions { inbox_max_messages: 10, ..NatsBusOptions::default() };
    let slow = NatsBus::start(&nats.url(), EPOCH, options, sink).await.expect("the bus starts");
    let mut next = async || timeout(Duration::from_secs(30), events.recv()).await.unwrap().unwrap();
    assert_eq!(next().await, BusEvent::Up);
    for server in [&mut a, &mut b] {
        assert_eq!(server.next().await, BusEvent::Up);
    }
    a.reach(&mut b).await;
    // Until it is slow for as much as it may be: its subscription takes a moment, too.
    let mut n = 0;
    while slow.counts().missed == 0 {
        n += 1;
        assert!(n < 100_000, "nothing is missed");
        a.say(&commit(n));
        assert_eq!(b.message().await, Opened::Message(commit(n)), "another server is held up");
    }
    assert_eq!(next().await, BusEvent::Missed);
    drop(opens);
    while !matches!(next().await, BusEvent::Message(_)) {}
    slow.stop().await;
}

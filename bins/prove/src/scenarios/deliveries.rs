//! `kill -9` at random moments, while messages are delivered to outgoing webhooks, and to the push
//! services of browsers. Each message arrives; one that was taken comes again only after a kill.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chat_client::Rng;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::{DEADLINE, Verdict};
use crate::http;
use crate::server::{Plan, Server};
use crate::{Deliveries, Workload};

/// Outgoing webhooks: four of a bot, whose receiver fails now and then.
pub(crate) async fn webhooks(options: &Deliveries) -> Result<Verdict, Box<dyn Error>> {
    let seed = options.seed();
    println!("KILL with webhooks on {:?}, seed {seed}", options.store);
    let flags = ["--webhook-private-addresses", "127.0.0.0/8", "--webhook-timeout-seconds", "2"];
    let Some(mut server) = Server::start(Plan::new(options.store, 2).flags(&flags)).await? else {
        return Ok(Verdict::NotRun(format!("webhooks on {:?}: it is not on this machine", options.store)));
    };
    let receiver = Receiver::start(seed, Faults { failed: 0.05, silent: 0.05 }).await?;
    let cookie = server.accounts(&["anna".to_owned()]).await?.remove(0);
    let room =
        http::call(server.address, "POST", "/api/rooms", &cookie, &json!({"title": "deploys"})).await?;
    let room = room.json()["name"].as_str().ok_or("the room was not created")?.to_owned();
    server.command(&["bot", "add", "robot", "--room", &room]).await?;
    for number in 0..WEBHOOKS {
        let url = format!("http://{}/{number}", receiver.address);
        server.command(&["bot", "hook", "robot", "--room", &room, "--url", &url]).await?;
    }
    let path = format!("/api/rooms/{room}/messages");
    let mut rng = Rng::for_part(seed, 78);
    let (mut last, mut open) = (0, 0);
    for _ in 0..options.kills {
        let before = receiver.seen().requests;
        for _ in 0..rng.size(5, 40) {
            last = post(server.address, &path, &cookie).await?;
        }
        // What a killed server has claimed is delivered once its claims have ended.
        if !receiver.until(DEADLINE, |seen| seen.requests > before).await {
            return Err(format!("nothing is delivered:\n{}", server.log_tail()).into());
        }
        tokio::time::sleep(rng.milliseconds(0..500)).await;
        open += receiver.seen().open;
        server.restart().await?;
    }
    // Nobody else writes: the messages have all numbers up to the last.
    let all: Vec<Message> = (0..WEBHOOKS).flat_map(|to| (1..=last).map(move |seq| (to, seq))).collect();
    receiver.until(CATCH_UP, |seen| seen.lost(&all) == 0).await;
    let seen = receiver.seen().clone();
    let (lost, unknown) = (seen.lost(&all), seen.taken.len() + seen.lost(&all) - all.len());
    // One claim of each webhook may run when a server is killed.
    let repeats_max = options.kills as u64 * WEBHOOKS * chat_store::DELIVERIES_AT_ONCE;
    let is_good = lost + unknown == 0 && seen.is_good(options.kills, open, repeats_max);
    if !is_good {
        println!("{}\n{}", server.command(&["bot", "list"]).await?, server.log_tail());
    }
    let line = format!(
        "webhooks on {:?}: {} kills during {open} requests, {last} messages to each of {WEBHOOKS} webhooks: \
         {lost} lost, {unknown} unknown, {seen} (of at most {repeats_max})",
        options.store, options.kills
    );
    Ok(Verdict::of(is_good, line))
}

/// Notifications: each of many users gets one private message.
pub(crate) async fn pushes(options: &Deliveries) -> Result<Verdict, Box<dyn Error>> {
    let seed = options.seed();
    println!("KILL with notifications on {:?}, seed {seed}", options.store);
    let flags = ["--outgoing-private", "--push-delay-seconds", "0", "--push-timeout-seconds", "2"];
    let Some(mut server) = Server::start(Plan::new(options.store, 2).flags(&flags)).await? else {
        return Ok(Verdict::NotRun(format!("pushes on {:?}: it is not on this machine", options.store)));
    };
    // A service that did not answer is asked again after half a minute: a short run has none.
    let silent = if options.kills < LONG_KILLS { 0.0 } else { 0.02 };
    let receiver = Receiver::start(seed, Faults { failed: 0.0, silent }).await?;
    let users = options.kills as u64 * USERS_PER_KILL;
    let names: Vec<String> = (0..=users).map(|number| format!("user{number}")).collect();
    let cookies = server.accounts(&names).await?;
    for (number, cookie) in cookies.iter().enumerate().skip(1) {
        let order = json!({
            "endpoint": format!("http://{}/{number}", receiver.address),
            "keys": {"p256dh": BROWSER_KEY, "auth": BROWSER_SECRET},
            "language": "en",
        });
        let answer = http::call(server.address, "PUT", "/api/push", cookie, &order).await?;
        if answer.status >= 300 {
            return Err(answer.text.into());
        }
    }
    let mut rng = Rng::for_part(seed, 79);
    let mut open = 0;
    for some in names[1..].chunks(USERS_PER_KILL as usize) {
        let before = receiver.seen().requests;
        for name in some {
            post(server.address, &format!("/api/users/{name}/messages"), &cookies[0]).await?;
        }
        if !receiver.until(DEADLINE, |seen| seen.requests > before).await {
            return Err(format!("nothing is delivered:\n{}", server.log_tail()).into());
        }
        tokio::time::sleep(rng.milliseconds(0..150)).await;
        open += receiver.seen().open;
        server.restart().await?;
    }
    let all: Vec<Message> = (1..=users).map(|user| (user, ONLY)).collect();
    receiver.until(CATCH_UP, |seen| seen.lost(&all) == 0).await;
    let seen = receiver.seen().clone();
    let lost = seen.lost(&all);
    let repeats_max = options.kills as u64 * PUSHES_AT_ONCE;
    let is_good = lost == 0 && seen.is_good(options.kills, open, repeats_max);
    if !is_good {
        println!("{}", server.log_tail());
    }
    let line = format!(
        "pushes on {:?}: {} kills during {open} requests, {users} messages to as many browsers: {lost} lost, \
         {seen} (of at most {repeats_max})",
        options.store, options.kills
    );
    Ok(Verdict::of(is_good, line))
}

/// Posts a message until it is stored; returns its number.
async fn post(server: SocketAddr, path: &str, cookie: &str) -> Result<u64, Box<dyn Error>> {
    let end = Instant::now() + DEADLINE;
    loop {
        let posted = http::call(server, "POST", path, cookie, &json!({"text": "hello"})).await?;
        match posted.json()["seq"].as_u64() {
            Some(seq) => return Ok(seq),
            None if posted.status == 503 && Instant::now() < end => {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            None => return Err(format!("not stored: {}", posted.text).into()),
        }
    }
}

/// What takes the messages, each webhook's or browser's at a path of its own.
struct Receiver {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    accepting: JoinHandle<()>,
}

/// How often a receiver misbehaves.
#[derive(Clone, Copy)]
struct Faults {
    /// The share of the requests that it refuses with 503.
    failed: f64,
    /// The share that it does not answer.
    silent: f64,
}

/// The number of the webhook or browser, and that of the message.
type Message = (u64, u64);

/// What a receiver has got.
#[derive(Default, Clone)]
struct Seen {
    /// The messages that were taken, each with its id.
    taken: BTreeMap<Message, String>,
    requests: u64,
    /// Requests that are not answered yet.
    open: u64,
    /// Requests with messages that had been taken.
    repeats: u64,
    /// Those of them whose id was another one: a receiver cannot tell that it has the message.
    other_ids: u64,
}

impl Seen {
    /// How many of these messages were not taken.
    fn lost(&self, all: &[Message]) -> usize {
        all.iter().filter(|message| !self.taken.contains_key(message)).count()
    }

    fn take(&mut self, message: Message, id: String) {
        match self.taken.get(&message) {
            Some(first) => {
                self.repeats += 1;
                self.other_ids += u64::from(*first != id);
            }
            None => drop(self.taken.insert(message, id)),
        }
    }

    /// Whether kills, where there are enough, hit requests, and repeated no more than they may.
    fn is_good(&self, kills: usize, open: u64, repeats_max: u64) -> bool {
        (open > 0 || kills < LONG_KILLS) && self.repeats <= repeats_max && self.other_ids == 0
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, repeats, other_ids, .. } = self;
        write!(f, "{requests} requests, {other_ids} repeated with another id, {repeats} repeated")
    }
}

impl Receiver {
    async fn start(seed: u64, faults: Faults) -> Result<Self, Box<dyn Error>> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let rng = Arc::new(Mutex::new(Rng::for_part(seed, 80)));
        let all = Arc::clone(&seen);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, rng) = (Arc::clone(&all), Arc::clone(&rng));
                tokio::spawn(async move { drop(serve(stream, &seen, &rng, faults).await) });
            }
        });
        Ok(Self { address, seen, accepting })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }

    /// Waits until something is so, at most for that long; returns whether it is.
    async fn until(&self, at_most: Duration, is_so: impl Fn(&Seen) -> bool) -> bool {
        let end = Instant::now() + at_most;
        while Instant::now() < end {
            if is_so(&self.seen()) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Reads a request, waits for a moment, and answers it.
async fn serve(
    mut stream: TcpStream,
    seen: &Mutex<Seen>,
    rng: &Mutex<Rng>,
    faults: Faults,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let (head, body) = read(&mut stream).await?;
    let path = head.split(' ').nth(1).unwrap_or_default();
    let receiver: u64 = path.trim_start_matches('/').parse()?;
    let (pause, fault) = {
        let mut rng = lock(rng);
        (rng.milliseconds(0..200), rng.fraction())
    };
    {
        let mut seen = lock(seen);
        (seen.requests, seen.open) = (seen.requests + 1, seen.open + 1);
    }
    tokio::time::sleep(pause).await;
    lock(seen).open -= 1;
    if fault < faults.failed {
        stream.write_all(b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n").await?;
        return Ok(());
    }
    if fault < faults.failed + faults.silent {
        // The server cannot know whether this was taken: it has to send it again.
        return Ok(());
    }
    stream.write_all(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n").await?;
    // The body of a notification is encrypted.
    let event: Value = serde_json::from_slice(&body).unwrap_or_default();
    let seq = event["data"]["message"]["seq"].as_u64().unwrap_or(ONLY);
    lock(seen).take((receiver, seq), field(&head, "webhook-id").unwrap_or_default().to_owned());
    Ok(())
}

/// Reads the head of a request, and its body.
async fn read(stream: &mut TcpStream) -> Result<(String, Vec<u8>), Box<dyn Error + Send + Sync>> {
    let mut request = Vec::new();
    loop {
        if stream.read_buf(&mut request).await? == 0 {
            return Err("the request ends".into());
        }
        let Some(end) = request.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = std::str::from_utf8(&request[..end])?;
        let length: usize = field(head, "content-length").ok_or("no length")?.parse()?;
        if let Some(body) = request.get(end + 4..end + 4 + length) {
            return Ok((head.to_owned(), body.to_vec()));
        }
    }
}

/// The value of a header field.
fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Deliveries {
    fn seed(&self) -> u64 {
        Workload { seed: self.seed, ..Workload::default() }.seed()
    }
}

/// From so many kills on, a run is a long one.
const LONG_KILLS: usize = 20;
const WEBHOOKS: u64 = 4;
/// Browsers that are notified between two kills.
const USERS_PER_KILL: u64 = 8;
/// Notifications that a server sends at one time (`PushOptions::requests_max`).
const PUSHES_AT_ONCE: u64 = 64;
/// Each browser gets one message.
const ONLY: u64 = 1;
/// The public key and the secret of a browser that reads nothing, from RFC 8291 §5.
const BROWSER_KEY: &str =
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
const BROWSER_SECRET: &str = "BTBZMqHH6r4Tts7J_aSIgg";
/// How long the last messages may take. A notification that failed waits for half a minute, and then for a
/// whole one.
const CATCH_UP: Duration = Duration::from_secs(240);

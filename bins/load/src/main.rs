//! Measures the chat server: starts one from the same build, on this machine's
//! loopback and in a folder of its own, puts a bounded load on it, and prints the
//! results.
//!
//! ```text
//! cargo build --release && cargo run --release -p load -- crowd
//! ```

mod address;
mod attack;
mod attackers;
mod bench;
mod client;
mod comparison;
mod host;
mod logins;
mod process;
mod removal;
mod room_list;
mod server;

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};

use crate::attack::Attack;
use crate::bench::Bench;
use crate::client::{Client, Counts, Pace, Protocol};
use crate::comparison::{Comparison, compare};
use crate::host::Host;
use crate::logins::Logins;
use crate::removal::Removal;
use crate::room_list::RoomListing;
use crate::server::{Kind, Server};

/// Measures the chat server on this machine's loopback.
#[derive(Parser)]
#[command(name = "load")]
struct Cli {
    /// The store of the messages: sqlite or memory.
    #[arg(long, default_value = "sqlite", global = true)]
    store: String,
    /// Threads of the server that own sockets.
    #[arg(long, default_value_t = 2, global = true)]
    shards: usize,
    /// The protocol of the clients.
    #[arg(long, value_enum, default_value = "v1", global = true)]
    protocol: Protocol,
    /// Connections with TLS.
    #[arg(long, global = true)]
    tls: bool,
    #[command(subcommand)]
    load: Load,
}

#[derive(Subcommand)]
enum Load {
    /// One room: every message must reach every socket; measures latency.
    Crowd {
        /// Sockets in the room.
        #[arg(long, default_value_t = 1000)]
        clients: usize,
        /// Messages a second; the sockets send in turn.
        #[arg(long, default_value_t = 20)]
        rate: u32,
        /// Seconds of load.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// Sockets that only receive: measures memory for each.
    Idle {
        /// Sockets, in rooms of 100.
        #[arg(long, default_value_t = 5000)]
        clients: usize,
        /// Seconds for which they stay connected.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
    },
    /// As many messages as possible: measures processor time of a delivery.
    Flood {
        /// Rooms.
        #[arg(long, default_value_t = 1)]
        rooms: usize,
        /// Sockets in each.
        #[arg(long, default_value_t = 100)]
        clients: usize,
        /// Messages of each sender that have not come back; one sender in each room.
        #[arg(long, default_value_t = 32)]
        in_flight: usize,
        /// Seconds of load.
        #[arg(long, default_value_t = 5)]
        seconds: u64,
    },
    /// An attack, and quiet time in turn: measures what people who talk and sign in notice of it.
    Attack(Attack),
    /// Many sign-ins at once: measures the times of their answers, memory, and the latency of
    /// messages beside them.
    Logins(Logins),
    /// A member is removed from a closed room with messages, again and again: measures when
    /// the member's sockets are told.
    Removal(Removal),
    /// Many callers list the rooms of a server that has many: measures processor time of a
    /// listing, and the times of the answers.
    RoomList(RoomListing),
    /// One room without TLS and with it, in turn: measures what TLS adds to the processor time of a
    /// delivery.
    TlsCost(Comparison),
    /// One room of the server and one of a chat that a host on axum mounts, in turn, both in
    /// memory: measures what mounting adds to the processor time of a delivery.
    MountCost(Comparison),
    /// The chat beside Bun, Node and a bare floor: many scenarios, in turn.
    Bench(Bench),
    /// Runs the bare floor of `bench`.
    #[command(hide = true)]
    Floor,
    /// Runs the host of `mount-cost`.
    #[command(hide = true)]
    Host(Host),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(run(cli)));
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a load. Returns whether nothing was lost.
async fn run(cli: Cli) -> Result<bool, Box<dyn Error>> {
    server::raise_descriptors()?;
    let settings = (cli.store.as_str(), cli.shards, cli.protocol);
    match &cli.load {
        Load::TlsCost(load) => return compare([Kind::Plain, Kind::Tls], "with TLS", settings, load).await,
        Load::MountCost(load) => {
            let settings = ("memory", cli.shards, cli.protocol);
            return compare([Kind::Plain, Kind::Mounted], "mounted", settings, load).await;
        }
        Load::Attack(options) => return attack::attack(settings, options).await,
        Load::Bench(options) => return bench::bench(options).await,
        Load::Floor => return bench::floor::serve(),
        Load::Host(host) => return host::serve(cli.shards, host).await,
        _ => {}
    }
    let kind = if cli.tls { Kind::Tls } else { Kind::Plain };
    let server = Server::start(&cli.store, cli.shards, kind).await?;
    match cli.load {
        Load::Crowd { clients, rate, seconds } => crowd(&server, cli.protocol, clients, rate, seconds).await,
        Load::Idle { clients, seconds } => idle(&server, cli.protocol, clients, seconds).await,
        Load::Flood { rooms, clients, in_flight, seconds } => {
            flood(&server, cli.protocol, rooms, clients, in_flight, seconds).await
        }
        Load::Logins(options) => logins::logins(Arc::new(server), cli.protocol, &options).await,
        Load::Removal(options) => removal::removal(&server, &options).await,
        Load::RoomList(options) => room_list::room_list(&server, &options).await,
        // They start servers of their own, above.
        _ => Ok(true),
    }
}

/// The number of users. All sockets of a user are on one shard, so there are many.
const USERS: usize = 40;

async fn crowd(
    server: &Server,
    protocol: Protocol,
    clients: usize,
    rate: u32,
    seconds: u64,
) -> Result<bool, Box<dyn Error>> {
    let cookies = server.users(USERS).await?;
    println!("{clients} sockets in one room, {rate} messages a second for {seconds} s");
    let counts = talk(server, protocol, &cookies, clients, rate, seconds).await?;
    let expected = u64::from(rate) * seconds * clients as u64;
    println!(
        "{expected} deliveries expected, {} arrived, {} out of order",
        counts.received, counts.disordered
    );
    print_latency(counts.latencies_us);
    print_cpu(counts.cpu, counts.elapsed, counts.received);
    Ok(counts.received == expected && counts.disordered == 0)
}

/// Sends messages in one room, the sockets in turn; ends when every socket has
/// received every message.
async fn talk(
    server: &Server,
    protocol: Protocol,
    cookies: &[String],
    clients: usize,
    rate: u32,
    seconds: u64,
) -> Result<Counts, Box<dyn Error>> {
    let mut sockets = Vec::with_capacity(clients);
    for number in 0..clients {
        sockets.push(
            Client::connect(&server.address, "crowd", &cookies[number % cookies.len()], protocol).await?,
        );
    }
    // Until the join notices are delivered.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let sent = u64::from(rate) * seconds;
    let started = Instant::now();
    let cpu = server.process()?.cpu()?;
    let mut tasks = Vec::with_capacity(clients);
    for (number, client) in sockets.into_iter().enumerate() {
        // Each socket sends every `clients`th message.
        let turns = (0..sent).filter(|turn| turn % clients as u64 == number as u64);
        let pace = Pace::AtTimes(turns.map(|turn| Duration::from_secs(turn) / rate).collect());
        tasks.push(tokio::spawn(client.run(started, pace, Some(sent), Duration::from_secs(seconds + 20))));
    }
    let counts = collect(tasks).await?;
    Ok(Counts { cpu: server.process()?.cpu()? - cpu, elapsed: started.elapsed(), ..counts })
}

async fn idle(
    server: &Server,
    protocol: Protocol,
    clients: usize,
    seconds: u64,
) -> Result<bool, Box<dyn Error>> {
    let cookies = server.users(USERS).await?;
    let before = server.process()?.resident_bytes()?;
    let started = Instant::now();
    let mut sockets = Vec::with_capacity(clients);
    for number in 0..clients {
        let room = format!("room {}", number % clients.div_ceil(100));
        sockets.push(Client::connect(&server.address, &room, &cookies[number % USERS], protocol).await?);
    }
    let connecting = started.elapsed();
    let tasks: Vec<_> = sockets
        .into_iter()
        .map(|client| {
            tokio::spawn(client.run(started, Pace::Silent, None, connecting + Duration::from_secs(seconds)))
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(seconds / 2)).await;
    let after = server.process()?.resident_bytes()?;
    collect(tasks).await?;
    println!("{clients} sockets connected in {:.1} s", connecting.as_secs_f64());
    println!(
        "server resident: {:.1} MiB before, {:.1} MiB with them: {:.2} KiB a connection",
        mebibytes(before),
        mebibytes(after),
        (after.saturating_sub(before)) as f64 / 1024.0 / clients as f64
    );
    Ok(true)
}

async fn flood(
    server: &Server,
    protocol: Protocol,
    rooms: usize,
    clients: usize,
    in_flight: usize,
    seconds: u64,
) -> Result<bool, Box<dyn Error>> {
    let cookies = server.users(USERS).await?;
    let mut sockets = Vec::new();
    for room in 0..rooms {
        for number in 0..clients {
            let cookie = &cookies[(room + number) % USERS];
            let client = Client::connect(&server.address, &format!("room {room}"), cookie, protocol).await?;
            sockets.push((number == 0, client));
        }
    }
    println!("{rooms} rooms of {clients} sockets, {in_flight} messages in flight in each, for {seconds} s");
    // Until the join notices are delivered.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let cpu = server.process()?.cpu()?;
    let started = Instant::now();
    let until = Duration::from_secs(seconds);
    let mut tasks = Vec::new();
    for (is_sender, client) in sockets {
        let pace = if is_sender { Pace::InFlight(in_flight) } else { Pace::Silent };
        tasks.push(tokio::spawn(client.run(started, pace, None, until)));
    }
    tokio::time::sleep(until).await;
    let (cpu, elapsed) = (server.process()?.cpu()? - cpu, started.elapsed());
    let counts = collect(tasks).await?;
    println!("{:.0} deliveries a second", counts.received as f64 / elapsed.as_secs_f64());
    print_latency(counts.latencies_us);
    print_cpu(cpu, elapsed, counts.received);
    Ok(counts.disordered == 0)
}

async fn collect(tasks: Vec<tokio::task::JoinHandle<Counts>>) -> Result<Counts, Box<dyn Error>> {
    let mut all = Counts::default();
    for task in tasks {
        let counts = task.await?;
        all.received += counts.received;
        all.disordered += counts.disordered;
        all.latencies_us.extend(counts.latencies_us);
    }
    Ok(all)
}

fn print_latency(mut latencies_us: Vec<u32>) {
    if latencies_us.is_empty() {
        return;
    }
    latencies_us.sort_unstable();
    println!(
        "from send to receipt: median {:.1} ms, p99 {:.1} ms, longest {:.1} ms",
        at_share(&latencies_us, 0.5),
        at_share(&latencies_us, 0.99),
        at_share(&latencies_us, 1.0)
    );
}

/// The quantile of sorted microseconds, in milliseconds.
fn at_share(sorted_us: &[u32], share: f64) -> f64 {
    let index = (sorted_us.len().saturating_sub(1) as f64 * share) as usize;
    sorted_us.get(index).map_or(f64::NAN, |us| f64::from(*us) / 1000.0)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}

fn print_cpu(cpu: Duration, elapsed: Duration, deliveries: u64) {
    println!(
        "server processor time: {:.2} s in {:.2} s, {:.2} µs a delivery",
        cpu.as_secs_f64(),
        elapsed.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / deliveries.max(1) as f64
    );
}

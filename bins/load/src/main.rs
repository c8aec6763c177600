//! Measures the chat server: it starts one from the same build, on this
//! machine's loopback and in a folder of its own, puts a bounded load on it,
//! and prints what came of it.
//!
//! ```text
//! cargo build --release && cargo run --release -p load -- crowd
//! ```

mod client;
mod server;

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};

use crate::client::{Client, Counts, Pace};
use crate::server::Server;

/// Measures the chat server on this machine's loopback.
#[derive(Parser)]
#[command(name = "load")]
struct Cli {
    /// sqlite, or memory.
    #[arg(long, default_value = "sqlite", global = true)]
    store: String,
    /// Threads that own sockets.
    #[arg(long, default_value_t = 2, global = true)]
    shards: usize,
    #[command(subcommand)]
    load: Load,
}

#[derive(Subcommand)]
enum Load {
    /// One room: every message must reach every socket, and soon.
    Crowd {
        /// Sockets in the room.
        #[arg(long, default_value_t = 1000)]
        clients: usize,
        /// Messages a second, by turns of the sockets.
        #[arg(long, default_value_t = 20)]
        rate: u32,
        /// For how long.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// Sockets that only listen: what each costs in memory.
    Idle {
        /// Sockets, over as many rooms as there are hundreds of them.
        #[arg(long, default_value_t = 5000)]
        clients: usize,
        /// For how long they stay.
        #[arg(long, default_value_t = 10)]
        seconds: u64,
    },
    /// As fast as it goes: what a delivery costs in processor time.
    Flood {
        /// Rooms.
        #[arg(long, default_value_t = 1)]
        rooms: usize,
        /// Sockets in each.
        #[arg(long, default_value_t = 100)]
        clients: usize,
        /// Messages of each sender without its own echo; one sender a room.
        #[arg(long, default_value_t = 32)]
        in_flight: usize,
        /// For how long.
        #[arg(long, default_value_t = 5)]
        seconds: u64,
    },
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

/// Returns whether nothing was lost.
async fn run(cli: Cli) -> Result<bool, Box<dyn Error>> {
    server::raise_descriptors()?;
    let server = Server::start(&cli.store, cli.shards).await?;
    match cli.load {
        Load::Crowd { clients, rate, seconds } => crowd(&server, clients, rate, seconds).await,
        Load::Idle { clients, seconds } => idle(&server, clients, seconds).await,
        Load::Flood { rooms, clients, in_flight, seconds } => {
            flood(&server, rooms, clients, in_flight, seconds).await
        }
    }
}

/// Sockets of one user are all on one shard, so there are many users.
const USERS: usize = 40;

async fn crowd(server: &Server, clients: usize, rate: u32, seconds: u64) -> Result<bool, Box<dyn Error>> {
    let cookies = server.users(USERS).await?;
    let mut sockets = Vec::with_capacity(clients);
    for number in 0..clients {
        sockets.push(Client::connect(server.address, "crowd", &cookies[number % USERS]).await?);
    }
    println!("{clients} sockets in one room, {rate} messages a second for {seconds} s");
    let sent = u64::from(rate) * seconds;
    let started = Instant::now();
    let cpu = server.cpu()?;
    let mut tasks = Vec::with_capacity(clients);
    for (number, client) in sockets.into_iter().enumerate() {
        // The sockets take turns: each sends the messages of its number.
        let turns: Vec<u64> = (0..sent).filter(|turn| turn % clients as u64 == number as u64).collect();
        let pace = Pace::AtTimes(turns.into_iter().map(|turn| Duration::from_secs(turn) / rate).collect());
        tasks.push(tokio::spawn(client.run(started, pace, Some(sent), Duration::from_secs(seconds + 20))));
    }
    let counts = collect(tasks).await?;
    let expected = sent * clients as u64;
    let cpu = server.cpu()? - cpu;
    println!(
        "{expected} deliveries expected, {} arrived, {} out of order",
        counts.received, counts.disordered
    );
    print_latency(counts.latencies_us);
    print_cpu(cpu, started.elapsed(), counts.received);
    Ok(counts.received == expected && counts.disordered == 0)
}

async fn idle(server: &Server, clients: usize, seconds: u64) -> Result<bool, Box<dyn Error>> {
    let cookies = server.users(USERS).await?;
    let before = server.resident_bytes()?;
    let started = Instant::now();
    let mut sockets = Vec::with_capacity(clients);
    for number in 0..clients {
        let room = format!("room {}", number % clients.div_ceil(100));
        sockets.push(Client::connect(server.address, &room, &cookies[number % USERS]).await?);
    }
    let connecting = started.elapsed();
    let tasks: Vec<_> = sockets
        .into_iter()
        .map(|client| {
            tokio::spawn(client.run(started, Pace::Silent, None, connecting + Duration::from_secs(seconds)))
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(seconds / 2)).await;
    let after = server.resident_bytes()?;
    collect(tasks).await?;
    println!("{clients} sockets connected in {:.1} s", connecting.as_secs_f64());
    println!(
        "server resident: {:.1} MiB before, {:.1} MiB with them: {:.2} KiB a connection",
        before as f64 / 1048576.0,
        after as f64 / 1048576.0,
        (after.saturating_sub(before)) as f64 / 1024.0 / clients as f64
    );
    Ok(true)
}

async fn flood(
    server: &Server,
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
            let client = Client::connect(server.address, &format!("room {room}"), cookie).await?;
            sockets.push((number == 0, client));
        }
    }
    println!("{rooms} rooms of {clients} sockets, {in_flight} messages in flight in each, for {seconds} s");
    // Join notices are still on their way.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let cpu = server.cpu()?;
    let started = Instant::now();
    let until = Duration::from_secs(seconds);
    let mut tasks = Vec::new();
    for (is_sender, client) in sockets {
        let pace = if is_sender { Pace::InFlight(in_flight) } else { Pace::Silent };
        tasks.push(tokio::spawn(client.run(started, pace, None, until)));
    }
    tokio::time::sleep(until).await;
    let (cpu, elapsed) = (server.cpu()? - cpu, started.elapsed());
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
    let at = |share: f64| {
        let index = ((latencies_us.len() - 1) as f64 * share) as usize;
        f64::from(latencies_us[index]) / 1000.0
    };
    println!(
        "from send to receipt: median {:.1} ms, p99 {:.1} ms, longest {:.1} ms",
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

fn print_cpu(cpu: Duration, elapsed: Duration, deliveries: u64) {
    println!(
        "server processor time: {:.2} s in {:.2} s, {:.2} µs a delivery",
        cpu.as_secs_f64(),
        elapsed.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / deliveries.max(1) as f64
    );
}

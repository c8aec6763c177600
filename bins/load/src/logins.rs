//! Many sign-ins beside a room with messages.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::attack::{TIMEOUT, status};
use crate::client::Protocol;
use crate::server::Server;
use crate::{USERS, at_share, mebibytes, milliseconds, talk};

/// The sign-ins, and the messages beside them.
#[derive(clap::Args)]
pub(crate) struct Logins {
    /// Sign-ins, all at once.
    #[arg(long, default_value_t = 300)]
    count: usize,
    /// Seconds of messages, without the sign-ins and then with them.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Sockets in the room.
    #[arg(long, default_value_t = 50)]
    clients: usize,
    /// Messages a second in the room.
    #[arg(long, default_value_t = 50)]
    messages: u32,
}

/// The answer to a sign-in.
struct Answer {
    /// The HTTP status; `None`: there was no answer.
    status: Option<u16>,
    took: Duration,
}

/// Runs the load. Returns whether nothing was lost and every sign-in was answered.
pub(crate) async fn logins(
    server: Arc<Server>,
    protocol: Protocol,
    options: &Logins,
) -> Result<bool, Box<dyn Error>> {
    let Logins { count, seconds, clients, messages } = *options;
    let cookies = server.users(USERS).await?;
    println!("{clients} sockets in one room, {messages} messages a second for {seconds} s");
    let mut alone = talk(&server, protocol, &cookies, clients, messages, seconds).await?;

    println!("the same, and {count} sign-ins at once");
    let before = server.process()?.resident_bytes()?;
    let cpu = server.process()?.cpu()?;
    server.process()?.reset_peak()?;
    let signing_in = tokio::spawn(sign_in(Arc::clone(&server), count));
    let mut beside = talk(&server, protocol, &cookies, clients, messages, seconds).await?;
    let answers = signing_in.await?;
    let peak = server.process()?.peak_resident_bytes()?;
    let cpu = server.process()?.cpu()? - cpu;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let after = server.process()?.resident_bytes()?;

    let mut statuses: Vec<Option<u16>> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    statuses.dedup();
    for status in &statuses {
        print_answers(*status, &answers);
    }
    println!(
        "server resident: {:.1} MiB before, {:.1} MiB at most ({:+.1} MiB), {:.1} MiB after; processor time {:.2} s",
        mebibytes(before),
        mebibytes(peak),
        mebibytes(peak) - mebibytes(before),
        mebibytes(after),
        cpu.as_secs_f64()
    );
    alone.latencies_us.sort_unstable();
    beside.latencies_us.sort_unstable();
    println!("from send to receipt, alone and beside the sign-ins:");
    for (name, share) in [("median", 0.5), ("p99", 0.99), ("longest", 1.0)] {
        let (alone, beside) = (at_share(&alone.latencies_us, share), at_share(&beside.latencies_us, share));
        println!("  {name} {alone:.1} ms and {beside:.1} ms: {:.1} times", beside / alone);
    }
    let expected = u64::from(messages) * seconds * clients as u64;
    let whole = [&alone, &beside].iter().all(|counts| counts.received == expected && counts.disordered == 0);
    if !whole {
        println!("{expected} deliveries expected, {} and {} arrived", alone.received, beside.received);
    }
    Ok(whole && statuses.iter().all(|status| matches!(status, Some(200 | 429 | 503))))
}

/// Signs in so often at once, and returns the answers.
async fn sign_in(server: Arc<Server>, count: usize) -> Vec<Answer> {
    let mut tasks = JoinSet::new();
    for number in 0..count {
        let server = Arc::clone(&server);
        tasks.spawn(async move {
            let started = Instant::now();
            let answer = tokio::time::timeout(TIMEOUT, server.sign_in(number % USERS)).await;
            let status = answer.ok().and_then(Result::ok).and_then(|answer| status(&answer));
            Answer { status, took: started.elapsed() }
        });
    }
    tasks.join_all().await
}

fn print_answers(status: Option<u16>, answers: &[Answer]) {
    let mut took: Vec<Duration> =
        answers.iter().filter(|answer| answer.status == status).map(|answer| answer.took).collect();
    took.sort_unstable();
    let at = |share: f64| milliseconds(took[((took.len() - 1) as f64 * share) as usize]);
    let status = status.map_or("no answer".to_owned(), |status| status.to_string());
    println!(
        "{status}: {} times, first {:.1} ms, median {:.1} ms, p99 {:.1} ms, last {:.1} ms",
        took.len(),
        at(0.0),
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

//! Removals of a member from a closed room with messages.

use std::error::Error;
use std::time::{Duration, Instant};

use crate::client::{Client, Pace, Protocol};
use crate::server::{Server, expect_ok};
use crate::{USERS, at_share};

/// The removals, and the messages beside them.
#[derive(clap::Args)]
pub(crate) struct Removal {
    /// Sockets in the room.
    #[arg(long, default_value_t = 200)]
    clients: usize,
    /// Messages a second in the room.
    #[arg(long, default_value_t = 500)]
    rate: u32,
    /// Removals, one after another.
    #[arg(long, default_value_t = 50)]
    rounds: usize,
    /// Sockets of the member who is removed.
    #[arg(long, default_value_t = 5)]
    own: usize,
}

/// Runs the load. Returns whether nothing of the room came after a removal.
pub(crate) async fn removal(server: &Server, options: &Removal) -> Result<bool, Box<dyn Error>> {
    let Removal { clients, rate, rounds, own } = *options;
    let cookies = server.users(USERS).await?;
    let (chair, removed) = (&cookies[0], USERS - 1);
    let as_chair = format!("Cookie: {chair}\r\nContent-Type: application/json\r\n");
    let members: Vec<String> = (1..USERS).map(|user| format!("user{user}")).collect();
    let new = serde_json::json!({ "title": "Removal", "access": "closed", "members": members });
    let answer = server.call("POST", "/api/rooms", &as_chair, &new.to_string()).await?;
    let body = answer.split("\r\n\r\n").nth(1).ok_or("no room was created")?;
    let room: serde_json::Value = serde_json::from_str(body)?;
    let room = room["name"].as_str().ok_or("no room was created")?;
    println!("{clients} sockets in a closed room, {rate} messages a second, {rounds} removals");

    let mut sockets = Vec::with_capacity(clients);
    for number in 0..clients {
        let cookie = &cookies[number % (USERS - 1)];
        sockets.push(Client::connect(&server.address, room, cookie, Protocol::V2).await?);
    }
    let started = Instant::now();
    let mut talking = tokio::task::JoinSet::new();
    for (number, client) in sockets.into_iter().enumerate() {
        // Each socket sends every `clients`th message.
        let turns = (0..u64::from(rate) * MOST_SECONDS).filter(|turn| turn % clients as u64 == number as u64);
        let pace = Pace::AtTimes(turns.map(|turn| Duration::from_secs(turn) / rate).collect());
        talking.spawn(client.run(started, pace, None, Duration::from_secs(MOST_SECONDS)));
    }

    let member = format!("/api/rooms/{room}/members/user{removed}");
    let (mut answered_us, mut left_us, mut after) = (Vec::new(), Vec::new(), 0);
    for _ in 0..rounds {
        let mut own_sockets = Vec::with_capacity(own);
        for _ in 0..own {
            let cookie = &cookies[removed];
            own_sockets.push(Client::connect(&server.address, room, cookie, Protocol::V2).await?);
        }
        let leaving: Vec<_> =
            own_sockets.into_iter().map(|client| tokio::spawn(client.until_left())).collect();
        tokio::time::sleep(Duration::from_millis(100)).await;
        let asked = Instant::now();
        expect_ok(server.call("DELETE", &member, &as_chair, "").await?)?;
        answered_us.push(micros(asked.elapsed()));
        for client in leaving {
            let (left, frames_after) = client.await?.ok_or("a socket was closed without `left`")?;
            left_us.push(micros(left.saturating_duration_since(asked)));
            after += frames_after;
        }
        expect_ok(server.call("PUT", &member, &as_chair, "").await?)?;
    }
    talking.abort_all();
    print("to the answer", &mut answered_us);
    print("to `left` on a socket", &mut left_us);
    println!("{after} messages of the room came after `left`");
    Ok(after == 0)
}

/// The load ends after this at the latest.
const MOST_SECONDS: u64 = 120;

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

fn print(what: &str, times_us: &mut [u32]) {
    times_us.sort_unstable();
    println!(
        "from the request {what}: median {:.1} ms, p99 {:.1} ms, longest {:.1} ms",
        at_share(times_us, 0.5),
        at_share(times_us, 0.99),
        at_share(times_us, 1.0)
    );
}

//! Listings of many rooms.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::at_share;
use crate::server::{Server, expect_ok};

/// The rooms, and the listings of them.
#[derive(clap::Args)]
pub(crate) struct RoomListing {
    /// Open rooms, which are created first.
    #[arg(long, default_value_t = 50_000)]
    rooms: usize,
    /// Callers, each of which asks again when it has its answer.
    #[arg(long, default_value_t = 8)]
    callers: usize,
    /// Seconds of listings.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Searches for this text instead of listing all rooms.
    #[arg(long)]
    search: Option<String>,
}

/// Runs the load. Returns whether every listing was answered.
pub(crate) async fn room_list(server: &Server, options: &RoomListing) -> Result<bool, Box<dyn Error>> {
    let cookie = server.users(1).await?.remove(0);
    let headers = format!("Cookie: {cookie}\r\n");
    let path: Arc<str> = match &options.search {
        Some(search) => format!("/api/rooms?q={search}").into(),
        None => "/api/rooms".into(),
    };
    create(server, &headers, options.rooms).await?;
    println!("{} rooms, {} callers for {} s", options.rooms, options.callers, options.seconds);
    expect_ok(server.call("GET", &path, &headers, "").await?)?;
    let (started, cpu) = (Instant::now(), server.process()?.cpu()?);
    let address = &server.address;
    let until = started + Duration::from_secs(options.seconds);
    let mut callers = JoinSet::new();
    for _ in 0..options.callers {
        let (address, path, headers) = (address.clone(), Arc::clone(&path), headers.clone());
        callers.spawn(async move {
            let mut times_us = Vec::new();
            while Instant::now() < until {
                let asked = Instant::now();
                let answer = crate::server::call(&address, "GET", &path, &headers, "").await;
                let is_good = answer.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"));
                if !is_good {
                    return None;
                }
                times_us.push(u32::try_from(asked.elapsed().as_micros()).unwrap_or(u32::MAX));
            }
            Some(times_us)
        });
    }
    let mut times_us = Vec::new();
    let mut all_answered = true;
    while let Some(caller) = callers.join_next().await {
        match caller? {
            Some(times) => times_us.extend(times),
            None => all_answered = false,
        }
    }
    let (cpu, elapsed) = (server.process()?.cpu()? - cpu, started.elapsed());
    times_us.sort_unstable();
    println!(
        "{} listings: median {:.1} ms, p99 {:.1} ms, longest {:.1} ms",
        times_us.len(),
        at_share(&times_us, 0.5),
        at_share(&times_us, 0.99),
        at_share(&times_us, 1.0)
    );
    println!(
        "server processor time: {:.2} s in {:.2} s, {:.2} ms a listing",
        cpu.as_secs_f64(),
        elapsed.as_secs_f64(),
        cpu.as_secs_f64() * 1e3 / times_us.len().max(1) as f64
    );
    Ok(all_answered)
}

/// Creates open rooms, some at the same time.
async fn create(server: &Server, headers: &str, rooms: usize) -> Result<(), Box<dyn Error>> {
    let mut tasks = JoinSet::new();
    for task in 0..CREATING {
        let (address, headers) = (server.address.clone(), headers.to_owned());
        tasks.spawn(async move {
            for room in (task..rooms).step_by(CREATING) {
                let new = format!("{{\"title\":\"Комната {room}\",\"name\":\"room-{room}\"}}");
                let answer = crate::server::call(&address, "POST", "/api/rooms", &headers, &new).await;
                if !answer.is_ok_and(|answer| answer.starts_with("HTTP/1.1 201")) {
                    return false;
                }
            }
            true
        });
    }
    while let Some(created) = tasks.join_next().await {
        if !created? {
            return Err("a room was not created".into());
        }
    }
    Ok(())
}

/// Rooms that are created at the same time.
const CREATING: usize = 32;

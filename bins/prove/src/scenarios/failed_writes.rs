//! No acknowledgement after a failed write: on a broken disk, and on a full one.

use std::error::Error;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;

use super::{DEADLINE, Verdict, has, is_root, print_findings};
use crate::crowd::{Crowd, Habits, Pace, finish};
use crate::ledger::{Frame, Ledger};
use crate::mount::Mount;
use crate::server::{Plan, Server, Store};

pub(crate) async fn failed_writes() -> Result<Vec<Verdict>, Box<dyn Error>> {
    Ok(vec![broken_disk().await?, full_disk().await?])
}

async fn broken_disk() -> Result<Verdict, Box<dyn Error>> {
    if !has("strace") {
        return Ok(Verdict::NotRun("a broken disk: this machine has no strace".to_owned()));
    }
    println!("EIO from every flush");
    let Some(mut server) = Server::start(Plan::new(Store::Sqlite, 2)).await? else {
        return Err("SQLite is always here".into());
    };
    let habits = habits();
    let cookies = server.accounts(&habits.names()).await?;
    let crowd = Crowd::start(&habits, server.address, &cookies);
    crowd.until(|shared| &shared.acked, 200, DEADLINE).await.ok_or("no message was acknowledged")?;

    let trace = server.folder().join("trace");
    let mut strace = Command::new("strace")
        .args(["-f", "-q", "-ttt", "-e", "trace=fsync,fdatasync"])
        .args(["-e", "inject=fsync,fdatasync:error=EIO", "-p", &server.pid()?.to_string(), "-o"])
        .arg(&trace)
        .kill_on_drop(true)
        .spawn()?;
    let deadline = Instant::now() + DEADLINE;
    let failed_at = loop {
        let text = std::fs::read_to_string(&trace).unwrap_or_default();
        let injected = text.lines().find(|line| line.contains("(INJECTED)"));
        let at = injected.and_then(|line| {
            line.split_whitespace().find_map(|word| word.parse::<f64>().ok().filter(|time| *time > 1e9))
        });
        if let Some(at) = at {
            break at;
        }
        if Instant::now() > deadline {
            return Ok(Verdict::NotRun(format!("a broken disk: strace injected nothing: {text}")));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    // In the ledger's time.
    let failed = Duration::from_secs_f64((failed_at - crowd.shared.started_ms as f64 / 1000.0).max(0.0));
    tokio::time::sleep(Duration::from_secs(4)).await;
    let (repaired, acked) = (crowd.now(), crowd.count(|shared| &shared.acked));
    let pid = strace
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw)
        .ok_or("strace has ended")?;
    kill_process(pid, Signal::INT)?;
    let again = crowd.until(|shared| &shared.acked, acked + 20, DEADLINE).await;
    strace.wait().await?;
    conclude("EIO", crowd, &mut server, failed, repaired, again).await
}

async fn full_disk() -> Result<Verdict, Box<dyn Error>> {
    if !is_root() {
        return Ok(Verdict::NotRun("a full disk: it needs root, for a file system of its own".to_owned()));
    }
    println!("a disk of 20 MB that fills up");
    let mount = match Mount::tmpfs("20m") {
        Ok(mount) => mount,
        Err(error) => return Ok(Verdict::NotRun(format!("a full disk: no tmpfs: {error}"))),
    };
    let ballast = mount.path().join("ballast");
    std::fs::write(&ballast, vec![1; 8 << 20])?;
    let plan = Plan { data: Some(mount.path().join("data")), ..Plan::new(Store::Sqlite, 2) };
    let Some(mut server) = Server::start(plan).await? else { return Err("SQLite is always here".into()) };
    let habits = Habits { padding: 3_000, pace: Pace::Rate(400.0), ..habits() };
    let cookies = server.accounts(&habits.names()).await?;
    let crowd = Crowd::start(&habits, server.address, &cookies);
    crowd.until(|shared| &shared.unavailable, 1, DEADLINE).await.ok_or("the disk does not fill up")?;
    let failed = crowd.now();
    tokio::time::sleep(Duration::from_secs(4)).await;
    let (repaired, acked) = (crowd.now(), crowd.count(|shared| &shared.acked));
    std::fs::remove_file(&ballast)?;
    let again = crowd.until(|shared| &shared.acked, acked + 20, DEADLINE).await;
    conclude("ENOSPC", crowd, &mut server, failed, repaired, again).await
}

fn habits() -> Habits {
    Habits {
        clients: 8,
        watchers: 0,
        rooms: 3,
        pace: Pace::Rate(100.0),
        leaving: 0.0,
        crashing: 0.0,
        slow: 0.0,
        final_messages: false,
        ..Habits::default()
    }
}

async fn conclude(
    what: &str,
    crowd: Crowd,
    server: &mut Server,
    failed: Duration,
    repaired: Duration,
    again: Option<Duration>,
) -> Result<Verdict, Box<dyn Error>> {
    let closed = crowd.shared.went_offline.load(Ordering::Relaxed);
    let unavailable = crowd.count(|shared| &shared.unavailable);
    let (ledger, findings) = finish(crowd, server, Vec::new(), DEADLINE).await?;
    print_findings(&findings);
    let acks = acks_between(&ledger, failed + IN_TRANSIT, repaired);
    let again = again.map_or("never".to_owned(), |again| format!("{:.1} s", again.as_secs_f64()));
    let line = format!(
        "{what}: {acks} acknowledged in the {:.1} s behind the first failure, {unavailable} refused as unavailable, \
         {closed} sockets closed, works again after {again}, {findings}",
        (repaired - failed).as_secs_f64(),
    );
    let is_soon = again
        .strip_suffix(" s")
        .and_then(|again| again.parse::<f64>().ok())
        .is_some_and(|again| again <= 5.0);
    // On a full disk a small message may still find room, and is stored, as every
    // acknowledged message must be. A failed flush stores nothing.
    let is_correct = findings.is_good() && (acks == 0 || what == "ENOSPC");
    Ok(Verdict::of(is_correct && closed == 0 && unavailable > 0 && is_soon, line))
}

fn acks_between(ledger: &Ledger, from: Duration, to: Duration) -> usize {
    let frames = ledger.connections.iter().flat_map(|connection| &connection.frames);
    frames.filter(|(at, frame)| (from..to).contains(at) && matches!(frame, Frame::Ack { .. })).count()
}

/// How long the acknowledgement of a commit right before the failure may take to
/// its client, as the server is traced and the machine busy.
const IN_TRANSIT: Duration = Duration::from_millis(150);

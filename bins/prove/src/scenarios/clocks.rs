//! The clock is put forward and back by an hour: no client is disconnected, and
//! messages stay in the order of their numbers.

use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

use super::{DEADLINE, Verdict, find_file, print_findings};
use crate::crowd::{Crowd, Habits, Pace, finish};
use crate::server::{Plan, Server, Store};

pub(crate) async fn clocks() -> Result<Verdict, Box<dyn Error>> {
    println!("clocks");
    let Some(library) = find_file(
        &["/usr/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"],
        "libfaketimeMT.so.1",
    ) else {
        return Ok(Verdict::NotRun(
            "clocks: this machine has no libfaketime (apt-get install faketime)".to_owned(),
        ));
    };
    let folder = tempfile::tempdir()?;
    let time = folder.path().join("time");
    std::fs::write(&time, "+0")?;
    let mut plan = Plan::new(Store::Sqlite, 2).flags(&["--session-check-seconds", "2"]);
    plan.env = vec![
        ("LD_PRELOAD".into(), library.into()),
        ("FAKETIME_TIMESTAMP_FILE".into(), time.clone().into()),
        ("FAKETIME_NO_CACHE".into(), "1".into()),
        ("FAKETIME_DONT_FAKE_MONOTONIC".into(), "1".into()),
    ];
    let Some(mut server) = Server::start(plan).await? else { return Err("SQLite is always here".into()) };
    let habits = Habits {
        clients: 12,
        pace: Pace::Rate(100.0),
        leaving: 0.0,
        crashing: 0.0,
        slow: 0.0,
        ..Habits::default()
    };
    let cookies = server.accounts(&habits.names()).await?;
    let crowd = Crowd::start(&habits, server.address, &cookies);
    let mut acked = Vec::new();
    for offset in ["+0", "+3600", "-3600", "+0"] {
        std::fs::write(&time, offset)?;
        let before = crowd.count(|shared| &shared.acked);
        tokio::time::sleep(Duration::from_secs(5)).await;
        acked.push(crowd.count(|shared| &shared.acked) - before);
    }
    let offline = crowd.count(|shared| &shared.went_offline);
    let (ledger, findings) = finish(crowd, &mut server, Vec::new(), DEADLINE).await?;
    print_findings(&findings);
    let mut times = HashMap::new();
    let mut backwards = 0;
    for stored in &ledger.stored {
        let before = times.insert(&stored.topic, stored.timestamp).unwrap_or_default();
        backwards += usize::from(stored.timestamp < before);
    }
    let times = ledger.stored.iter().map(|stored| stored.timestamp);
    let jump = times.clone().max().unwrap_or_default() - times.min().unwrap_or_default();
    if jump < 3500 {
        return Ok(Verdict::NotRun("clocks: libfaketime does not move the server's clock".to_owned()));
    }
    let line = format!(
        "clocks: now, +1 h, -1 h, now: {acked:?} acknowledged, {offline} disconnected, {backwards} times backwards, {findings}"
    );
    let is_good =
        findings.is_good() && offline == 0 && backwards == 0 && acked.iter().all(|acked| *acked > 100);
    Ok(Verdict::of(is_good, line))
}

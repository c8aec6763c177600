//! A retry is no duplicate: every connection is cut right before an acknowledgement,
//! and the server is killed now and then between commit and answer.

use std::error::Error;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{DEADLINE, Verdict, print_findings};
use crate::Retry;
use crate::crowd::{Crowd, Habits, Pace, finish};
use crate::proxy::{Faults, Proxy};
use crate::server::{Plan, Server};

pub(crate) async fn retry(options: &Retry) -> Result<Verdict, Box<dyn Error>> {
    println!("forced retries on {:?}", options.store);
    let Some(mut server) = Server::start(Plan::new(options.store, 2)).await? else {
        return Ok(Verdict::NotRun(format!("retries on {:?}: it is not on this machine", options.store)));
    };
    let habits = Habits {
        clients: 12,
        watchers: 0,
        rooms: 3,
        pace: Pace::Unsent(32),
        leaving: 0.0,
        crashing: 0.0,
        slow: 0.0,
        ..Habits::default()
    };
    let cookies = server.accounts(&habits.names()).await?;
    let faults = Faults { acks_dropped: 1.0, ..Faults::NONE };
    let proxy = Proxy::start(server.address, faults, habits.seed).await?;
    let crowd = Crowd::start(&habits, proxy.address, &cookies);
    let mut kills = 0;
    while crowd.until(|shared| &shared.duplicates, options.retries, KILL_EVERY).await.is_none() {
        if crowd.now() > LONGEST {
            break;
        }
        server.restart().await?;
        kills += 1;
    }
    proxy.stop_faults();
    let (_, findings) = finish(crowd, &mut server, Vec::new(), DEADLINE).await?;
    print_findings(&findings);
    let counts = &findings.counts;
    let line = format!(
        "retries: {} forced, of which {} had been stored ({} connections cut before an ack, {kills} kills), {findings}",
        counts.retries,
        counts.duplicate_acks,
        proxy.counts.connections.load(Ordering::Relaxed),
    );
    Ok(Verdict::of(findings.is_good() && counts.duplicate_acks >= options.retries, line))
}

const KILL_EVERY: Duration = Duration::from_secs(5);
const LONGEST: Duration = Duration::from_secs(600);

//! Several servers on one Postgres, with NATS or without: kills, frozen servers, cut networks, a bus
//! that ends, and failovers to a synchronous standby. Clients connect to any of the servers.

use std::error::Error;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use chat_client::Rng;
use chat_store::test_postgres::{TestCluster, TestDatabase};
use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::block_in_place;

use super::{DEADLINE, Verdict, print_findings};
use crate::Cluster;
use crate::crowd::{ClosedRoom, Crowd, finish_servers};
use crate::http;
use crate::proxy::{Faults, Proxy};
use crate::relay::Relay;
use crate::server::{Plan, Server, Store};

/// What carries the news between servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Bus {
    Nats,
    /// The database alone.
    None,
}

pub(crate) async fn cluster(options: &Cluster) -> Result<Verdict, Box<dyn Error>> {
    let workload = &options.workload;
    let seed = workload.seed();
    println!("CLUSTER of {SERVERS} with the bus {:?}, seed {seed}", options.bus);
    let Some(mut servers) = Servers::start(options).await? else {
        let what = format!("a cluster with the bus {:?}", options.bus);
        return Ok(Verdict::NotRun(format!("{what}: Postgres or nats-server is not on this machine")));
    };
    let addresses: Vec<SocketAddr> = servers.servers.iter().map(|server| server.address).collect();
    let mut habits = workload.habits(seed);
    let names = habits.names();
    let cookies = servers.servers[0].accounts(&names).await?;
    let room = ClosedRoom::create(addresses[0], &names, &cookies[0]).await?;
    // A room of its own: the crowd's messages are compared with the store.
    let probes =
        http::call(addresses[0], "POST", "/api/rooms", &cookies[0], &json!({ "title": "probes" })).await?;
    let probes = probes.json()["name"].as_str().ok_or("the room was not created")?.to_owned();
    habits.closed_room = Some(room.name.clone());
    let faults = if workload.direct { Faults::NONE } else { Faults::MIXED };
    let proxy = Proxy::to_any(addresses, faults, seed).await?;
    let mut crowd = Crowd::start(&habits, proxy.address, &cookies);
    let mut rng = Rng::for_part(seed, 77);
    let (mut kills, mut others, mut failovers) = (0, 0, 0);
    while kills < workload.kills && crowd.now() < Duration::from_secs_f64(workload.minutes * 60.0) {
        tokio::time::sleep(rng.milliseconds(workload.every_ms / 10..workload.every_ms * 19 / 10)).await;
        let victim = rng.index(SERVERS);
        let is_due = kills * (options.failovers + 1) >= (failovers + 1) * workload.kills;
        let fault = if failovers < options.failovers && is_due {
            failovers += 1;
            Fault::Failover
        } else {
            Fault::random(options.bus, &mut rng)
        };
        let begun = Instant::now();
        match fault {
            Fault::Kill => kills += 1,
            _ => others += 1,
        }
        // Marks are kept within 2 s, unless their server cannot do it.
        crowd.server_keeps_no_marks();
        servers.apply(fault, victim, &mut rng).await?;
        crowd.server_keeps_no_marks();
        let lasted = begun.elapsed();
        let whole = servers.whole(&probes, &cookies[0]).await?;
        println!(
            "  {:>5.1} s  {fault} of server {victim} for {lasted:.1?}, whole after {whole:.0?}",
            crowd.now().as_secs_f64()
        );
        if fault == Fault::Kill && kills == workload.kills / 2 {
            room.remove(&names[names.len() / 4], &mut crowd, REMOVED_WITHIN).await?;
        }
    }
    proxy.stop_faults();
    let took = crowd.now();
    let (_, findings) = finish_servers(crowd, &mut servers.servers, DEADLINE).await?;
    println!("  {:.0} s", took.as_secs_f64());
    print_findings(&findings);
    if !findings.is_good() {
        for server in &servers.servers {
            println!("{}\n", server.log_tail());
        }
    }
    let line = format!(
        "{SERVERS} servers, bus {:?}: {kills} kills, {failovers} failovers, {} other faults, {findings}",
        options.bus,
        others - failovers
    );
    Ok(Verdict::of(findings.is_good(), line))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Kill,
    /// SIGSTOP, and SIGCONT some seconds later.
    Freeze,
    NoDatabase,
    SlowDatabase,
    NoBus,
    /// The bus itself ends, and starts again.
    BusEnds,
    /// The database ends, and its synchronous standby takes over.
    Failover,
}

impl Fault {
    /// Two of three are kills.
    fn random(bus: Bus, rng: &mut Rng) -> Self {
        const OTHERS: [Fault; 5] =
            [Fault::Freeze, Fault::NoDatabase, Fault::SlowDatabase, Fault::NoBus, Fault::BusEnds];
        let others = if bus == Bus::Nats { &OTHERS[..] } else { &OTHERS[..3] };
        if rng.random_bool(0.67) { Self::Kill } else { others[rng.index(others.len())] }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill -9",
            Self::Freeze => "freeze",
            Self::NoDatabase => "no database",
            Self::SlowDatabase => "a slow database",
            Self::NoBus => "no bus",
            Self::BusEnds => "an end of the bus",
            Self::Failover => "a failover",
        })
    }
}

/// The servers with all that they need.
struct Servers {
    servers: Vec<Server>,
    /// The way of each server to the database.
    to_database: Vec<Relay>,
    /// The way of each server to the bus; empty without one.
    to_bus: Vec<Relay>,
    nats: Option<Nats>,
    primary: TestCluster,
    /// The database on the first primary. It has the same name on each standby.
    database: TestDatabase,
    standby: Option<TestCluster>,
    /// The files of messages, which all servers see.
    files: TempDir,
}

impl Servers {
    /// `None`: this machine lacks Postgres or NATS.
    async fn start(options: &Cluster) -> Result<Option<Self>, Box<dyn Error>> {
        let Some(primary) = block_in_place(TestCluster::start) else { return Ok(None) };
        let database = block_in_place(|| primary.database(true));
        let nats = match options.bus {
            Bus::None => None,
            Bus::Nats => match Nats::start().await? {
                Some(nats) => Some(nats),
                None => return Ok(None),
            },
        };
        let files = tempfile::tempdir()?;
        let mut all = Self {
            servers: Vec::new(),
            to_database: Vec::new(),
            to_bus: Vec::new(),
            nats,
            primary,
            database,
            standby: None,
            files,
        };
        for _ in 0..SERVERS {
            let at_database: SocketAddr = all.primary.socket_address().parse()?;
            let relay = Relay::start(at_database).await?;
            let url = all.database.text.replace(&at_database.to_string(), &relay.address.to_string());
            let mut plan = Plan::new(Store::Postgres, options.workload.shards);
            plan = plan.flags(&["--files-url", &all.files.path().display().to_string()]);
            all.to_database.push(relay);
            if let Some(nats) = &all.nats {
                let relay = Relay::start(nats.address).await?;
                plan = plan.flags(&["--bus", &format!("nats://{}", relay.address)]);
                all.to_bus.push(relay);
            }
            plan.database_url = Some(url);
            all.servers.push(Server::start(plan).await?.ok_or("the database is there")?);
        }
        if options.failovers > 0 {
            all.follow();
        }
        Ok(Some(all))
    }

    /// Starts a standby for which commits wait.
    fn follow(&mut self) {
        self.standby = Some(block_in_place(|| {
            let standby = self.primary.standby();
            self.primary.wait_for_standby();
            standby
        }));
    }

    /// Lets something happen, and ends it.
    async fn apply(&mut self, fault: Fault, victim: usize, rng: &mut Rng) -> Result<(), Box<dyn Error>> {
        let time = rng.milliseconds(200..5_000);
        let server = &mut self.servers[victim];
        match fault {
            Fault::Kill => {
                server.kill().await?;
                // Sometimes it stays down for a while.
                let down = if rng.random_bool(0.2) { rng.milliseconds(0..3_000) } else { Duration::ZERO };
                tokio::time::sleep(down).await;
                server.restart().await?;
            }
            Fault::Freeze => {
                server.signal(Signal::STOP)?;
                tokio::time::sleep(time).await;
                server.signal(Signal::CONT)?;
            }
            Fault::NoDatabase => {
                self.to_database[victim].cut();
                tokio::time::sleep(time).await;
                self.to_database[victim].heal();
            }
            Fault::SlowDatabase => {
                self.to_database[victim].slow(rng.milliseconds(5..60));
                tokio::time::sleep(time).await;
                self.to_database[victim].heal();
            }
            Fault::NoBus => {
                self.to_bus[victim].cut();
                tokio::time::sleep(time).await;
                self.to_bus[victim].heal();
            }
            Fault::BusEnds => {
                let nats = self.nats.as_mut().ok_or("there is a bus")?;
                nats.stop().await?;
                tokio::time::sleep(time).await;
                nats.run().await?;
            }
            Fault::Failover => {
                let standby = self.standby.take().ok_or("there is a standby")?;
                block_in_place(|| {
                    self.primary.stop();
                    standby.promote();
                });
                let address = standby.socket_address().parse()?;
                for relay in &self.to_database {
                    relay.lead_to(address);
                }
                self.primary = standby;
                self.follow();
            }
        }
        Ok(())
    }

    /// How long it takes until each server stores a message.
    async fn whole(&mut self, room: &str, cookie: &str) -> Result<Duration, Box<dyn Error>> {
        let begun = Instant::now();
        let path = format!("/api/rooms/{room}/messages");
        for server in &mut self.servers {
            let body = json!({ "text": "is it whole?" });
            loop {
                match http::call(server.address, "POST", &path, cookie, &body).await {
                    Ok(answer) if answer.status < 300 => break,
                    Ok(answer) if answer.status < 500 => return Err(answer.text.into()),
                    _ if begun.elapsed() > DEADLINE => {
                        return Err(format!("a server does not come back:\n{}", server.log_tail()).into());
                    }
                    // It ends by itself if the database was lost to it, as with a new epoch.
                    _ if !server.runs() => server.restart().await?,
                    _ => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        }
        Ok(begun.elapsed())
    }
}

/// A nats-server on a port that stays the same. It is killed when this value is dropped.
struct Nats {
    program: PathBuf,
    address: SocketAddr,
    child: Option<Child>,
}

impl Nats {
    /// `None`: this machine lacks it.
    async fn start() -> Result<Option<Self>, Box<dyn Error>> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        // Only root has `/usr/sbin` in its path; the test command unpacks the program elsewhere.
        let unpacked = std::env::current_exe()?.with_file_name("../tools/debian/usr/sbin");
        let mut folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), unpacked]);
        let found = folders.find_map(|folder| Some(folder.join("nats-server")).filter(|path| path.is_file()));
        let Some(program) = found else { return Ok(None) };
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut nats = Self { program, address, child: None };
        nats.run().await?;
        Ok(Some(nats))
    }

    async fn run(&mut self) -> Result<(), Box<dyn Error>> {
        let mut command = Command::new(&self.program);
        command.args(["-a", "127.0.0.1", "-p", &self.address.port().to_string()]);
        self.child = Some(command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn()?);
        let begun = Instant::now();
        while TcpStream::connect(self.address).await.is_err() {
            if begun.elapsed() > DEADLINE {
                return Err("nats-server does not listen".into());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    async fn stop(&mut self) -> Result<(), Box<dyn Error>> {
        if let Some(mut child) = self.child.take() {
            child.kill().await?;
        }
        Ok(())
    }
}

const SERVERS: usize = 3;
/// A member who was removed reads nothing after this time on any server, and a little more for a busy
/// machine.
const REMOVED_WITHIN: Duration = Duration::from_millis(1_500);

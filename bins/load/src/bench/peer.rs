//! The servers that are compared.

use std::any::Any;
use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use chat_store::test_postgres::TestCluster;
use rustix::thread::{CpuSet, sched_setaffinity};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::process::Process;
use crate::server::{Kind, Server};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// The chat with each of its stores.
    Memory,
    Sqlite,
    Postgres,
    Bun,
    Node,
    Floor,
}

impl Peer {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "chat",
            Self::Sqlite => "chat-sqlite",
            Self::Postgres => "chat-postgres",
            Self::Bun => "bun",
            Self::Node => "node",
            Self::Floor => "floor",
        }
    }
}

/// A server process on the first core. It ends when this value is dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) cookies: Vec<String>,
    pub(crate) process: Process,
    /// What keeps the server running.
    _holder: Box<dyn Any>,
}

/// Bun, in the folder of the other servers.
const BUN: &str = if cfg!(target_arch = "aarch64") {
    "node_modules/@oven/bun-linux-aarch64/bin/bun"
} else {
    "node_modules/@oven/bun-linux-x64/bin/bun"
};

/// The users of the chat. All sockets of a user are on one shard, and this server has one.
const USERS: usize = 20;

impl Running {
    pub(crate) async fn start(
        peer: Peer,
        peers: Option<&Path>,
        cluster: Option<&TestCluster>,
    ) -> Result<Self, Box<dyn Error>> {
        let program = |folder: &str, file: &str| -> Result<Command, Box<dyn Error>> {
            let peers = peers.ok_or("--peers is needed")?;
            let mut command = on_first_core(&peers.join(folder));
            command.arg(peers.join(file)).current_dir(peers);
            Ok(command)
        };
        match peer {
            Peer::Memory | Peer::Sqlite | Peer::Postgres => Self::chat(peer, cluster).await,
            Peer::Bun => Self::other(program(BUN, "bun.mjs")?).await,
            Peer::Node => Self::other(program("node", "node.mjs")?).await,
            Peer::Floor => {
                let mut command = on_first_core(&std::env::current_exe()?);
                command.arg("floor");
                Self::other(command).await
            }
        }
    }

    async fn chat(peer: Peer, cluster: Option<&TestCluster>) -> Result<Self, Box<dyn Error>> {
        let database = match (peer, cluster) {
            (Peer::Postgres, Some(cluster)) => Some(tokio::task::block_in_place(|| cluster.database(true))),
            (Peer::Postgres, None) => return Err("there is no Postgres".into()),
            _ => None,
        };
        let store = match (peer, &database) {
            (_, Some(database)) => database.text.clone(),
            (Peer::Sqlite, None) => "sqlite".to_owned(),
            _ => "memory".to_owned(),
        };
        let server = Server::start(&store, 1, Kind::OnOneCore).await?;
        let cookies = server.users(USERS).await?;
        server.becomes_idle().await?;
        let (address, process) = (server.address.socket, server.process()?);
        Ok(Self { address, cookies, process, _holder: Box::new((server, database)) })
    }

    async fn other(mut command: Command) -> Result<Self, Box<dyn Error>> {
        let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let output = child.stdout.take().ok_or("no standard output")?;
        let line = BufReader::new(output).lines().next_line().await?.ok_or("a server did not start")?;
        let (cookie, address) = line.split_once(" http://").ok_or("an unknown first line")?;
        Ok(Self {
            address: address.parse()?,
            cookies: vec![cookie.to_owned()],
            process: Process(child.id().ok_or("a server has ended")?),
            _holder: Box::new(child),
        })
    }
}

/// A program that may use the first core only.
pub(crate) fn on_first_core(program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", "0"]);
    // A bare name is looked for in $PATH.
    let is_bare = program.file_name().is_some_and(|name| name == "node");
    command.arg(if is_bare { Path::new("node") } else { program });
    command
}

/// This thread uses no longer the core of the server, if there is another.
pub(crate) fn stay_off_the_servers_core() -> rustix::io::Result<()> {
    let mut others = CpuSet::new();
    (1..CpuSet::MAX_CPU).for_each(|core| others.set(core));
    match sched_setaffinity(None, &others) {
        Err(rustix::io::Errno::INVAL) => Ok(()),
        other => other,
    }
}

//! The server under test: the real binary, in a process of its own.

use std::error::Error;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use chat_store::DatabaseUrl;
use chat_store::test_postgres::{TestCluster, TestDatabase};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::http;

/// How to start a server.
pub(crate) struct Plan {
    pub(crate) store: Store,
    pub(crate) shards: usize,
    pub(crate) flags: Vec<String>,
    /// A program in front of the server that executes it (`prlimit …`).
    pub(crate) wrapper: Vec<String>,
    pub(crate) env: Vec<(OsString, OsString)>,
    /// A Postgres that is there; `None`: one of its own.
    pub(crate) database_url: Option<String>,
    /// The data folder; `None`: in a temporary folder.
    pub(crate) data: Option<PathBuf>,
}

/// The store of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Store {
    Sqlite,
    Postgres,
    /// For scenarios that are not about storing.
    #[value(skip)]
    Memory,
}

/// A server on a port that stays the same across restarts. It is killed when this
/// value is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) cluster: Option<TestCluster>,
    database: Option<TestDatabase>,
    plan: Plan,
    child: Option<Child>,
    folder: TempDir,
}

impl Plan {
    /// A server without a message rate, with short pings and timeouts.
    pub(crate) fn new(store: Store, shards: usize) -> Self {
        let flags = ["--message-rate", "off", "--ping-interval-seconds", "2", "--idle-timeout-seconds", "20"];
        let flags = flags.map(str::to_owned).to_vec();
        Self { store, shards, flags, wrapper: Vec::new(), env: Vec::new(), database_url: None, data: None }
    }

    pub(crate) fn flags(mut self, flags: &[&str]) -> Self {
        self.flags.extend(flags.iter().map(|flag| (*flag).to_owned()));
        self
    }
}

impl Server {
    /// Starts a server with empty data. `None`: this machine lacks the store.
    pub(crate) async fn start(plan: Plan) -> Result<Option<Self>, Box<dyn Error>> {
        let cluster = match plan.store {
            _ if plan.database_url.is_some() => None,
            Store::Sqlite | Store::Memory => None,
            Store::Postgres => match tokio::task::block_in_place(TestCluster::start) {
                Some(cluster) => Some(cluster),
                None => return Ok(None),
            },
        };
        let database = cluster.as_ref().map(|cluster| tokio::task::block_in_place(|| cluster.database(true)));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let folder = tempfile::tempdir()?;
        let mut server = Self { address, cluster, database, plan, child: None, folder };
        server.spawn().await?;
        Ok(Some(server))
    }

    /// The database of the server.
    pub(crate) fn database(&self) -> DatabaseUrl {
        match self.database_url() {
            Some(url) => DatabaseUrl::parse(url).expect("servers started with it"),
            None => DatabaseUrl::Sqlite(self.data().join("chat.db")),
        }
    }

    /// The address of its Postgres, if it has one.
    fn database_url(&self) -> Option<&str> {
        self.plan.database_url.as_deref().or(self.database.as_ref().map(|database| &*database.text))
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.plan.data.clone().unwrap_or_else(|| self.folder.path().join("data"))
    }

    pub(crate) fn store(&self) -> Store {
        self.plan.store
    }

    /// The files of the tables of a Postgres after a `VACUUM`, each with its name.
    pub(crate) fn files_after_vacuum(&self) -> Option<Vec<(String, Vec<u8>)>> {
        Some(self.cluster.as_ref()?.files_after_vacuum(self.database.as_ref()?))
    }

    /// A temporary folder for files of the run.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Registers accounts and signs them in; returns their cookies.
    pub(crate) async fn accounts(&self, names: &[String]) -> io::Result<Vec<String>> {
        let mut cookies = Vec::new();
        for name in names {
            cookies.push(http::account(self.address, name).await?);
        }
        Ok(cookies)
    }

    pub(crate) fn pid(&self) -> io::Result<u32> {
        let pid = self.child.as_ref().and_then(Child::id);
        pid.ok_or_else(|| io::Error::other("the server does not run"))
    }

    /// Whether the process runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Kills the server (SIGKILL); returns when it has ended.
    pub(crate) async fn kill(&mut self) -> io::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().await?;
        }
        Ok(())
    }

    pub(crate) fn signal(&self, signal: Signal) -> io::Result<()> {
        let pid = i32::try_from(self.pid()?).ok().and_then(Pid::from_raw);
        Ok(kill_process(pid.ok_or_else(|| io::Error::other("no such process"))?, signal)?)
    }

    /// Waits until the server ends by itself.
    pub(crate) async fn wait(&mut self, timeout: Duration) -> Result<ExitStatus, Box<dyn Error>> {
        let mut child = self.child.take().ok_or("the server does not run")?;
        match tokio::time::timeout(timeout, child.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => {
                child.kill().await?;
                Err(format!("the server did not end within {timeout:?}").into())
            }
        }
    }

    /// Starts it again on the same data and port.
    pub(crate) async fn restart(&mut self) -> Result<(), Box<dyn Error>> {
        self.kill().await?;
        self.spawn().await
    }

    /// Runs another command of the binary on the same data, such as `bot list`, and returns what it
    /// prints.
    pub(crate) async fn command(&self, words: &[&str]) -> Result<String, Box<dyn Error>> {
        let mut command = Command::new(std::env::current_exe()?.with_file_name("server"));
        command.env_clear().arg("--data-dir").arg(self.data()).args(&self.plan.flags);
        if let Some(url) = self.database_url() {
            command.args(["--database-url", url]);
        }
        let output = command.args(words).stdin(Stdio::null()).output().await?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Memory that the server has in use (proc(5), `statm`).
    pub(crate) fn resident_bytes(&self) -> Result<u64, Box<dyn Error>> {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.pid()?))?;
        let pages: u64 = statm.split_whitespace().nth(1).unwrap_or_default().parse()?;
        Ok(pages * rustix::param::page_size() as u64)
    }

    /// The sum of a metric over its labels; 0 if the server does not show it.
    pub(crate) async fn metric(&self, name: &str) -> io::Result<f64> {
        let answer = http::get(self.address, "/metrics").await?;
        let lines = answer.text.lines().filter(|line| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
        });
        Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }

    /// The last lines of the server's log.
    pub(crate) fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(10).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    async fn spawn(&mut self) -> Result<(), Box<dyn Error>> {
        let binary = std::env::current_exe()?.with_file_name("server");
        let mut words: Vec<OsString> = self.plan.wrapper.iter().map(OsString::from).collect();
        words.push(binary.clone().into());
        let mut words = words.into_iter();
        let log = File::options().create(true).append(true).open(self.folder.path().join("log"))?;
        let mut command = Command::new(words.next().unwrap_or_default());
        command
            .args(words)
            .env_clear()
            .envs(self.plan.env.iter().map(|(name, value)| (name, value)))
            .args(["--listen", &self.address.to_string(), "--log", "warn"])
            .args(["--shards", &self.plan.shards.to_string(), "--data-dir"])
            .arg(self.data())
            .arg("--uploads-dir")
            .arg(self.folder.path().join("uploads"))
            // All clients come from one address.
            .args(["--registrations-per-address", "1000000", "--registrations-per-hour", "1000000"])
            .args(["--network-sign-ins-max", "1000000", "--connections-per-address", "1000000"])
            .args(["--user-clients-max", "1000000", "--socket-opens-per-minute", "1000000"])
            .args(&self.plan.flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true);
        if self.plan.store == Store::Memory {
            command.args(["--database-url", "memory:"]);
        }
        if let Some(url) = self.database_url() {
            command.args(["--database-url", url]);
        }
        let mut child = command.spawn().map_err(|error| {
            format!("{}: {error} (build it first, with the same profile)", binary.display())
        })?;
        let output = child.stdout.take().ok_or("no standard output")?;
        let mut lines = BufReader::new(output).lines();
        match tokio::time::timeout(START_TIMEOUT, lines.next_line()).await {
            Ok(Ok(Some(_))) => {}
            _ => return Err(format!("the server did not start:\n{}", self.log_tail()).into()),
        }
        self.child = Some(child);
        Ok(())
    }
}

/// A free port below the system's ephemeral ports. A client that tries to connect
/// while the server is down could otherwise get the server's port as its own, and
/// be connected with itself.
pub(crate) fn free_port() -> io::Result<u16> {
    let start = 15_000 + (std::process::id() % 7_000) as u16;
    let free = (start..32_000).find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    free.ok_or_else(|| io::Error::other("no port is free"))
}

const START_TIMEOUT: Duration = Duration::from_secs(30);

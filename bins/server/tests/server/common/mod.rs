//! A whole server in its own process, and users over real sockets.

mod http;
mod person;
mod ports;
mod process;
pub(crate) mod published;
mod tls;
mod tools;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use chat_store::DatabaseUrl;
use chat_store::test_postgres::TestDatabase;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

pub(crate) use http::{Answer, Request};
pub(crate) use person::{PASSWORD, Person, Socket};
pub(crate) use ports::free_address;
pub(crate) use process::Process;
pub(crate) use tls::{Authority, Https};
pub(crate) use tools::tool;

/// The store and the number of shards of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Setup {
    pub(crate) store: Store,
    pub(crate) shards: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    Memory,
    Sqlite,
    Postgres,
}

impl Store {
    /// Whether this machine has the store. A missing one was reported loudly.
    pub(crate) fn is_here(self) -> bool {
        self != Self::Postgres || TestDatabase::empty().is_some()
    }
}

/// A running server with folders of its own.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    setup: Setup,
    flags: Vec<String>,
    process: Child,
    folder: TempDir,
    /// The Postgres database; dropped with the server.
    database: Option<TestDatabase>,
}

impl TestServer {
    pub(crate) async fn start(setup: Setup) -> Self {
        Self::start_with(setup, &[]).await
    }

    /// Starts a server with further flags.
    pub(crate) async fn start_with(setup: Setup, flags: &[&str]) -> Self {
        let memory = ["--database-url", "memory:"];
        match setup.store {
            Store::Memory => Self::start_in(setup, None, &[flags, &memory].concat()).await,
            Store::Sqlite => Self::start_in(setup, None, flags).await,
            Store::Postgres => {
                let database = TestDatabase::migrated().expect("asked for before");
                Self::start_on(setup, database, flags).await
            }
        }
    }

    /// Starts a server on a Postgres database of the test.
    pub(crate) async fn start_on(setup: Setup, database: TestDatabase, flags: &[&str]) -> Self {
        let url = database.text.clone();
        Self::start_in(setup, Some(database), &[flags, &["--database-url", &url]].concat()).await
    }

    async fn start_in(setup: Setup, database: Option<TestDatabase>, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let (process, address) = spawn(setup, folder.path(), &flags).await;
        Self { address, setup, flags, process, folder, database }
    }

    /// Another server on the same Postgres database, with the files of messages in the same folder.
    pub(crate) async fn beside(&self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = self.folder().join("data/files").display().to_string();
        let (setup, flags) = (self.setup, [&self.flags[..], &["--files-url".to_owned(), files]].concat());
        let (process, address) = spawn(setup, folder.path(), &flags).await;
        Self { address, setup, flags, process, folder, database: None }
    }

    /// The folder of the server's data and uploads.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The server's binary with the same settings, for another command.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_server"));
        command.env_clear().arg("--data-dir").arg(self.folder().join("data"));
        command.arg("--uploads-dir").arg(self.folder().join("uploads")).args(&self.flags);
        command.kill_on_drop(true);
        command
    }

    /// The database of the server.
    pub(crate) fn database(&self) -> DatabaseUrl {
        match &self.database {
            Some(database) => database.url.clone(),
            None => DatabaseUrl::Sqlite(self.folder().join("data/chat.db")),
        }
    }

    /// The URL of the server's Postgres.
    pub(crate) fn database_text(&self) -> &str {
        &self.database.as_ref().expect("it is on Postgres").text
    }

    pub(crate) fn is_on_postgres(&self) -> bool {
        self.database.is_some()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id().expect("it runs")
    }

    /// Memory that the server has in use (proc(5), `statm`).
    pub(crate) fn resident_bytes(&self) -> u64 {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.pid())).unwrap();
        let pages: u64 = statm.split_whitespace().nth(1).unwrap().parse().unwrap();
        pages * rustix::param::page_size() as u64
    }

    /// Kills the server (`kill -9`), and starts it again on the same folders.
    pub(crate) async fn kill_and_restart(&mut self) {
        self.kill().await;
        self.restart().await;
    }

    /// Kills the server (`kill -9`).
    pub(crate) async fn kill(&mut self) {
        self.process.kill().await.unwrap();
    }

    /// Sends SIGTERM; resolves with the exit status.
    pub(crate) async fn terminate(&mut self) -> std::process::ExitStatus {
        let pid = self.pid().to_string();
        let killed = Command::new("kill").args(["-TERM", &pid]).status().await.unwrap();
        assert!(killed.success());
        tokio::time::timeout(Duration::from_secs(60), self.process.wait()).await.expect("it stops").unwrap()
    }

    pub(crate) async fn restart(&mut self) {
        (self.process, self.address) = spawn(self.setup, self.folder.path(), &self.flags).await;
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        Request::get(path).send(self.address).await
    }

    pub(crate) async fn send(&self, request: Request) -> Answer {
        request.send(self.address).await
    }

    /// A new account that is signed in.
    pub(crate) async fn person(&self, name: &str) -> Person {
        let person = Person::new(self.address, name);
        person.register().await.expect_ok();
        person.sign_in().await
    }

    /// A new account that is signed in and has joined a room.
    pub(crate) async fn in_room(&self, name: &str, room: &str) -> (Person, Socket) {
        let person = self.person(name).await;
        let socket = person.enter(room).await;
        (person, socket)
    }
}

/// Starts the server's binary on a free port; resolves once it prints its address.
async fn spawn(setup: Setup, folder: &Path, flags: &[String]) -> (Child, SocketAddr) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_server"));
    command
        .env_clear()
        // A flag overrides it.
        .env("CHAT_LOG", "warn")
        .args(["--listen", "127.0.0.1:0", "--shards", &setup.shards.to_string()])
        .arg("--data-dir")
        .arg(folder.join("data"))
        .arg("--uploads-dir")
        .arg(folder.join("uploads"))
        .args(flags)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    let mut process = command.spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let printed = tokio::time::timeout(Duration::from_secs(30), lines.next_line()).await.expect("it starts");
    let line = printed.unwrap().expect("the server prints its address before it ends");
    let port = line.rsplit(':').next().and_then(|port| port.parse().ok());
    let port: u16 = port.unwrap_or_else(|| panic!("no port in {line:?}"));
    (process, ([127, 0, 0, 1], port).into())
}

/// Makes a test of each function for every store, with 1 and with 3 shards.
macro_rules! on_every_setup {
    ($($scenario:ident),* $(,)?) => {
        mod memory_1 { on_every_setup!(@ Memory, 1, $($scenario),*); }
        mod memory_3 { on_every_setup!(@ Memory, 3, $($scenario),*); }
        mod sqlite_1 { on_every_setup!(@ Sqlite, 1, $($scenario),*); }
        mod sqlite_3 { on_every_setup!(@ Sqlite, 3, $($scenario),*); }
        mod postgres_1 { on_every_setup!(@ Postgres, 1, $($scenario),*); }
        mod postgres_3 { on_every_setup!(@ Postgres, 3, $($scenario),*); }
    };
    (@ $store:ident, $shards:literal, $($scenario:ident),*) => {
        $(
            #[tokio::test]
            async fn $scenario() {
                let store = $crate::common::Store::$store;
                if !store.is_here() {
                    return;
                }
                super::$scenario($crate::common::Setup { store, shards: $shards }).await;
            }
        )*
    };
}

//! A whole server in its own process, and people who use it over real sockets.

#![allow(dead_code, unused_imports, reason = "each test file uses its part")]

mod http;
mod person;
mod process;
pub(crate) mod published;

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
pub(crate) use process::Process;

/// Which store, and how many shards.
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
    /// Whether this machine has it; where it has not, that was said loudly.
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
    /// Dropped with the server.
    database: Option<TestDatabase>,
}

impl TestServer {
    pub(crate) async fn start(setup: Setup) -> Self {
        Self::start_with(setup, &[]).await
    }

    /// With more flags than the usual.
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

    /// On a Postgres of the test's own choice.
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

    /// Where the server keeps its data and uploads.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The same program with the same settings, for another command.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_server"));
        command.env_clear().arg("--data-dir").arg(self.folder().join("data"));
        command.arg("--uploads-dir").arg(self.folder().join("uploads")).args(&self.flags);
        command.kill_on_drop(true);
        command
    }

    /// Where the messages are.
    pub(crate) fn database(&self) -> DatabaseUrl {
        match &self.database {
            Some(database) => database.url.clone(),
            None => DatabaseUrl::Sqlite(self.folder().join("data/chat.db")),
        }
    }

    /// The address of a Postgres.
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

    /// `kill -9`, and start again on the same folders.
    pub(crate) async fn kill_and_restart(&mut self) {
        self.kill().await;
        self.restart().await;
    }

    /// `kill -9`.
    pub(crate) async fn kill(&mut self) {
        self.process.kill().await.unwrap();
    }

    /// SIGTERM; resolves with how it ended.
    pub(crate) async fn terminate(&mut self) -> std::process::ExitStatus {
        let pid = self.pid().to_string();
        let killed = Command::new("kill").args(["-TERM", &pid]).status().await.unwrap();
        assert!(killed.success());
        tokio::time::timeout(Duration::from_secs(15), self.process.wait()).await.expect("it stops").unwrap()
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

    /// A new account, signed in.
    pub(crate) async fn person(&self, name: &str) -> Person {
        let person = Person::new(self.address, name);
        person.register().await.expect_ok();
        person.sign_in().await
    }

    /// A new account, signed in and in a room.
    pub(crate) async fn in_room(&self, name: &str, room: &str) -> (Person, Socket) {
        let person = self.person(name).await;
        let socket = person.enter(room).await;
        (person, socket)
    }
}

/// The server's own binary on a free port; resolves once it says where.
async fn spawn(setup: Setup, folder: &Path, flags: &[String]) -> (Child, SocketAddr) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_server"));
    command
        .env_clear()
        // A flag wins over it.
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
    let told = tokio::time::timeout(Duration::from_secs(30), lines.next_line()).await.expect("it starts");
    let line = told.unwrap().expect("it says where it listens before it ends");
    let port = line.rsplit(':').next().and_then(|port| port.parse().ok());
    let port: u16 = port.unwrap_or_else(|| panic!("no port in {line:?}"));
    (process, ([127, 0, 0, 1], port).into())
}

/// Makes a test of each function for every store, with 1 and with 3 shards.
#[macro_export]
macro_rules! on_every_setup {
    ($($story:ident),* $(,)?) => {
        mod memory_1 { $crate::on_every_setup!(@ Memory, 1, $($story),*); }
        mod memory_3 { $crate::on_every_setup!(@ Memory, 3, $($story),*); }
        mod sqlite_1 { $crate::on_every_setup!(@ Sqlite, 1, $($story),*); }
        mod sqlite_3 { $crate::on_every_setup!(@ Sqlite, 3, $($story),*); }
        mod postgres_1 { $crate::on_every_setup!(@ Postgres, 1, $($story),*); }
        mod postgres_3 { $crate::on_every_setup!(@ Postgres, 3, $($story),*); }
    };
    (@ $store:ident, $shards:literal, $($story:ident),*) => {
        $(
            #[tokio::test]
            async fn $story() {
                let store = $crate::common::Store::$store;
                if !store.is_here() {
                    return;
                }
                super::$story($crate::common::Setup { store, shards: $shards }).await;
            }
        )*
    };
}

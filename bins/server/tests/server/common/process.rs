//! A process of the server's binary that may not become ready.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::{Child, Command};

/// A process of the server's binary, from before it is ready. What it prints goes
/// into files. It is killed when dropped.
pub(crate) struct Process {
    child: Child,
    printed: TempDir,
}

impl Process {
    /// The server's binary with an empty environment, on a free port.
    pub(crate) fn command(data: &Path) -> Command {
        Self::command_at("127.0.0.1:0", data)
    }

    /// Likewise, on this address.
    pub(crate) fn command_at(listen: &str, data: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_server"));
        command.env_clear().args(["--listen", listen, "--shards", "1"]);
        command.arg("--data-dir").arg(data).arg("--uploads-dir").arg(data.join("uploads"));
        command
    }

    pub(crate) fn spawn(mut command: Command) -> Self {
        let printed = tempfile::tempdir().unwrap();
        let file = |name| std::fs::File::create(printed.path().join(name)).unwrap();
        command.stdin(Stdio::null()).stdout(file("out")).stderr(file("err")).kill_on_drop(true);
        Self { child: command.spawn().unwrap(), printed }
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.printed.path().join(name)
    }

    /// Standard error: log lines, and the sentence with which the process ended.
    pub(crate) fn log(&self) -> String {
        self.read("err")
    }

    /// Waits for a text in the log.
    pub(crate) async fn until_logged(&self, text: &str) {
        let logged = async {
            while !self.log().contains(text) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(60), logged).await;
        assert!(waited.is_ok(), "{text:?} is not logged: {}", self.log());
    }

    /// Waits until the server is ready; returns its address, also if it has a public URL.
    pub(crate) async fn until_listening(&self) -> SocketAddr {
        self.until_logged("server::serve: ready").await;
        self.logged_address("chat_http::server: listening").await
    }

    /// Waits until the server is ready; returns its address.
    pub(crate) async fn until_ready(&mut self) -> SocketAddr {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        loop {
            let printed = self.read("out");
            // A line about the first administrator may follow.
            let line = printed.split_once('\n').map_or("", |(line, _)| line);
            if let Some(port) = line.rsplit(':').next().and_then(|port| port.parse::<u16>().ok()) {
                return ([127, 0, 0, 1], port).into();
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none() && tokio::time::Instant::now() < deadline, "not ready: {}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// SIGTERM.
    pub(crate) async fn terminate(&self) {
        self.signal("-TERM").await;
    }

    /// Sends a signal, such as `-HUP`.
    pub(crate) async fn signal(&self, name: &str) {
        let pid = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().await.unwrap().success());
    }

    /// The address in the first log line with this text.
    pub(crate) async fn logged_address(&self, text: &str) -> SocketAddr {
        self.until_logged(text).await;
        let log = self.log();
        let line = log.lines().find(|line| line.contains(text)).unwrap();
        let port = line.rsplit("127.0.0.1:").next().and_then(|port| port.trim().parse::<u16>().ok());
        ([127, 0, 0, 1], port.unwrap_or_else(|| panic!("no address in {line:?}"))).into()
    }

    /// `kill -9`.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Waits for the end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let ended = tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("it does not end: {}", self.log())).unwrap()
    }

    /// Waits for an end with a failure; returns its sentence.
    pub(crate) async fn complaint(&mut self) -> String {
        let status = self.ended().await;
        let log = self.log();
        assert!(!status.success(), "{log}");
        let complaint = log.lines().find_map(|line| line.strip_prefix("server: "));
        complaint.unwrap_or_else(|| panic!("no sentence: {log}")).to_owned()
    }
}

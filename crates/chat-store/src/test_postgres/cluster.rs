//! A Postgres server for one test program, or for one test.

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::programs::Programs;
use super::{TestDatabase, at, migrate, new_name, not_run, run};

/// A Postgres server that may be stopped, killed and paused. It ends, and its
/// data is deleted, with this value or with the process that made it, however
/// that ends.
pub struct TestCluster {
    programs: Programs,
    folder: PathBuf,
    port: u16,
    /// Waits for the other end of its input to be closed, by a drop or by the
    /// system, then stops the server and deletes the folder.
    watchdog: Child,
}

impl TestCluster {
    /// A server of the test's own, whose commits are on the disk; `None` (and a
    /// line for whoever reads) where there are no programs for it.
    pub fn start() -> Option<Self> {
        match Self::found(true) {
            Ok(cluster) => Some(cluster),
            Err(why) => {
                not_run(&why);
                None
            }
        }
    }

    /// An error says what is missing on this machine.
    pub(super) fn found(durable: bool) -> Result<Self, String> {
        let programs = Programs::find()?;
        let folder = std::env::temp_dir().join(new_name());
        fs::create_dir(&folder).expect("a temporary folder");
        programs.give(&folder);
        let watchdog = watchdog(&programs, &folder);
        let mut cluster = Self { programs, folder, port: 0, watchdog };
        cluster.initialise(durable);
        // Between a look at a port and its use somebody else may take it.
        let started = (0..5).any(|_| {
            cluster.port = free_port();
            cluster.start_again()
        });
        assert!(started, "the test server does not start:\n{}", cluster.log());
        migrate(&at(&cluster.address(), "template1".into(), None).url);
        Ok(cluster)
    }

    /// A database in it, with this version's schema or with nothing.
    pub fn database(&self, migrated: bool) -> TestDatabase {
        let (name, template) = (new_name(), if migrated { "template1" } else { "template0" });
        run(&self.address(), format!("CREATE DATABASE {name} TEMPLATE {template}"));
        at(&self.address(), name, None)
    }

    /// Ends it at once, as a crash does; what was committed is found again by
    /// the next start.
    pub fn stop(&self) {
        let stopped = self.pg_ctl().args(["-m", "immediate", "stop"]).status();
        assert!(stopped.is_ok_and(|status| status.success()), "the test server does not stop");
    }

    /// Starts it after a [`stop`](Self::stop), on the same port; false if that
    /// is taken.
    #[must_use]
    pub fn start_again(&self) -> bool {
        let settings = format!("-p {}", self.port);
        let log = self.folder.join("log");
        let mut start = self.pg_ctl();
        start.args(["-t", "30", "-o", &settings]).arg("-l").arg(log).arg("start");
        start.status().is_ok_and(|status| status.success())
    }

    /// Makes it stand still, all its processes: nothing is answered, no
    /// connection is lost.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn initialise(&self, durable: bool) {
        let done = self
            .programs
            .command("initdb", &self.folder)
            .args(["-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--no-locale", "-D"])
            .arg(self.data())
            .stderr(Stdio::piped())
            .output()
            .expect("initdb was found");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let mut settings = "listen_addresses = '127.0.0.1'\n\
             unix_socket_directories = ''\n\
             max_connections = 300\n"
            .to_owned();
        if !durable {
            settings += "fsync = off\nfull_page_writes = off\n";
        }
        fs::write(self.data().join("postgresql.auto.conf"), settings).expect("the folder was just made");
    }

    fn pg_ctl(&self) -> Command {
        let mut command = self.programs.command("pg_ctl", &self.folder);
        command.arg("-w").arg("-D").arg(self.data());
        command
    }

    /// The first process, then its children.
    fn signal(&self, signal: &str) {
        let file = fs::read_to_string(self.data().join("postmaster.pid")).expect("it runs");
        let first = file.lines().next().expect("its number").to_owned();
        kill(signal, &first);
        let children = fs::read_to_string(format!("/proc/{first}/task/{first}/children"));
        for child in children.expect("this system tells").split_whitespace() {
            kill(signal, child);
        }
    }

    fn address(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for TestCluster {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        let patience = Instant::now() + Duration::from_secs(20);
        while matches!(self.watchdog.try_wait(), Ok(None)) && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// In a group of its own, so that Ctrl-C does not reach it.
fn watchdog(programs: &Programs, folder: &Path) -> Child {
    let mut shell = programs.shell(folder);
    shell.arg("-c").arg(WATCHDOG).arg("watchdog").arg(folder).stdin(Stdio::piped()).process_group(0);
    shell.spawn().expect("a shell")
}

/// A process that stands still takes no signal but the last, and the children
/// of a killed server would stand still for ever.
const WATCHDOG: &str = r#"
cat > /dev/null
pid=$(head -n 1 "$1/data/postmaster.pid" 2> /dev/null)
if [ -n "$pid" ]; then
    all="$pid $(cat "/proc/$pid/task/$pid/children" 2> /dev/null)"
    kill -CONT $all 2> /dev/null
    kill -QUIT $pid 2> /dev/null
    tries=0
    while kill -0 $pid 2> /dev/null && [ $tries -lt 50 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
    kill -KILL $all 2> /dev/null
fi
cd /
rm -rf "$1"
"#;

fn kill(signal: &str, process: &str) {
    // One that has just ended needs no signal.
    let _ = Command::new("kill").args([signal, process]).stderr(Stdio::null()).status();
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it listens").port()
}

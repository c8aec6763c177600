//! A Postgres server for one test program, or for one test.

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::programs::Programs;
use super::{TestDatabase, at, migrate, new_name, not_run, run};

/// A Postgres server that a test can stop, start and pause. It stops, and its data is
/// deleted, when this value is dropped or the process ends in any way.
pub struct TestCluster {
    programs: Programs,
    folder: PathBuf,
    port: u16,
    /// The process that stops the server and deletes the folder when its input is closed,
    /// by a drop or by the operating system.
    watchdog: Child,
}

impl TestCluster {
    /// Starts a server for one test, with durable commits; `None` (and a printed line) if
    /// no Postgres is installed.
    pub fn start() -> Option<Self> {
        match Self::found(true) {
            Ok(cluster) => Some(cluster),
            Err(why) => {
                not_run(&why);
                None
            }
        }
    }

    /// Starts a server. An error names what is missing on this machine.
    pub(super) fn found(durable: bool) -> Result<Self, String> {
        let programs = Programs::find()?;
        let folder = std::env::temp_dir().join(new_name());
        fs::create_dir(&folder).expect("a temporary folder");
        programs.give(&folder);
        let watchdog = watchdog(&programs, &folder);
        let mut cluster = Self { programs, folder, port: 0, watchdog };
        cluster.initialise(durable);
        // Another program may take the port between the check and its use.
        let started = (0..5).any(|_| {
            cluster.port = free_port();
            cluster.start_again()
        });
        assert!(started, "the test server does not start:\n{}", cluster.log());
        migrate(&at(&cluster.address(), "template1".into(), None).url);
        Ok(cluster)
    }

    /// Starts a standby of this server, which has what is committed by now and follows it. Commits do
    /// not wait for it.
    pub fn standby(&self) -> Self {
        let programs = Programs::find().expect("they were found for this server");
        let folder = std::env::temp_dir().join(new_name());
        fs::create_dir(&folder).expect("a temporary folder");
        programs.give(&folder);
        let watchdog = watchdog(&programs, &folder);
        let mut standby = Self { programs, folder, port: 0, watchdog };
        let mut copy = standby.programs.command("pg_basebackup", &standby.folder);
        copy.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "postgres"]);
        copy.args(["-R", "-X", "stream", "-c", "fast", "--no-sync", "-D"]).arg(standby.data());
        let copied = copy.stderr(Stdio::piped()).output().expect("Postgres has pg_basebackup");
        assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
        let started = (0..5).any(|_| {
            standby.port = free_port();
            standby.start_again()
        });
        assert!(started, "the standby does not start:\n{}", standby.log());
        standby
    }

    /// Has commits wait for the standby, once it follows.
    pub fn wait_for_standby(&self) {
        let wait = "DO $$ BEGIN
             WHILE NOT EXISTS (SELECT FROM pg_stat_replication WHERE state = 'streaming') LOOP
                 PERFORM pg_sleep(0.02);
             END LOOP;
         END $$";
        run(&self.address(), wait.to_owned());
        run(&self.address(), "ALTER SYSTEM SET synchronous_standby_names = '*'".to_owned());
        run(&self.address(), "SELECT pg_reload_conf()".to_owned());
    }

    /// Has a standby hear nothing any more of the server that it follows.
    pub fn stop_following(&self) {
        run(&self.address(), "ALTER SYSTEM SET primary_conninfo = ''".to_owned());
        run(&self.address(), "SELECT pg_reload_conf()".to_owned());
        let wait = "DO $$ BEGIN
             WHILE EXISTS (SELECT FROM pg_stat_wal_receiver) LOOP PERFORM pg_sleep(0.02); END LOOP;
         END $$";
        run(&self.address(), wait.to_owned());
    }

    /// Has a standby take over, on a new timeline.
    pub fn promote(&self) {
        let promoted = self.pg_ctl().arg("promote").status();
        assert!(promoted.is_ok_and(|status| status.success()), "the standby does not take over");
    }

    /// Where the server listens: `host:port`.
    pub fn socket_address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Creates a database, with this version's schema or empty.
    pub fn database(&self, migrated: bool) -> TestDatabase {
        let (name, template) = (new_name(), if migrated { "template1" } else { "template0" });
        run(&self.address(), format!("CREATE DATABASE {name} TEMPLATE {template}"));
        at(&self.address(), name, None)
    }

    /// Stops the server at once, as a crash does; the next start recovers what was
    /// committed.
    pub fn stop(&self) {
        let stopped = self.pg_ctl().args(["-m", "immediate", "stop"]).status();
        assert!(stopped.is_ok_and(|status| status.success()), "the test server does not stop");
    }

    /// Starts the server after a [`stop`](Self::stop), on the same port; returns false if
    /// the port is taken.
    #[must_use]
    pub fn start_again(&self) -> bool {
        let settings = format!("-p {}", self.port);
        let log = self.folder.join("log");
        let mut start = self.pg_ctl();
        start.args(["-t", "30", "-o", &settings]).arg("-l").arg(log).arg("start");
        start.status().is_ok_and(|status| status.success())
    }

    /// Pauses all processes of the server: it answers nothing, and loses no connection.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Resumes the processes.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    /// The files of the tables and indexes of a database after a `VACUUM FULL`, each with its
    /// name. (`VACUUM` alone frees the space of removed rows, and leaves their bytes there
    /// until it is used.)
    pub fn files_after_vacuum(&self, database: &TestDatabase) -> Vec<(String, Vec<u8>)> {
        run(&database.text, "VACUUM FULL".to_owned());
        // The first removes the files before, the second is for the rest.
        for _ in 0..2 {
            run(&self.address(), "CHECKPOINT".to_owned());
        }
        let databases = fs::read_dir(self.data().join("base")).expect("it has databases");
        let files = databases.flatten().flat_map(|folder| fs::read_dir(folder.path()).into_iter().flatten());
        let read =
            |file: fs::DirEntry| Some((file.path().display().to_string(), fs::read(file.path()).ok()?));
        files.flatten().filter_map(read).collect()
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

    /// Sends a signal to the first process, then to its children.
    fn signal(&self, signal: &str) {
        let file = fs::read_to_string(self.data().join("postmaster.pid")).expect("it runs");
        let first = file.lines().next().expect("its number").to_owned();
        kill(signal, &first);
        let children = fs::read_to_string(format!("/proc/{first}/task/{first}/children"));
        for child in children.expect("the kernel lists children").split_whitespace() {
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
        let deadline = Instant::now() + Duration::from_secs(20);
        while matches!(self.watchdog.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Starts the watchdog in a process group of its own, so that Ctrl-C does not reach it.
fn watchdog(programs: &Programs, folder: &Path) -> Child {
    let mut shell = programs.shell(folder);
    shell.arg("-c").arg(WATCHDOG).arg("watchdog").arg(folder).stdin(Stdio::piped()).process_group(0);
    shell.spawn().expect("a shell")
}

/// Paused processes are resumed first: they would ignore SIGQUIT, and the children of a
/// killed server would stay paused.
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
    // A process that has ended needs no signal.
    let _ = Command::new("kill").args([signal, process]).stderr(Stdio::null()).status();
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it listens").port()
}

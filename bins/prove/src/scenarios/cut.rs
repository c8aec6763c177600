//! Power cuts: the file system stops at once, unflushed data is lost, and the server
//! is killed. Users talk, and upload, send and delete files.

use std::error::Error;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use chat_client::Rng;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};

use super::files::{self, Habit, Uploaders};
use super::{DEADLINE, Verdict, has, is_root, print_findings};
use crate::Workload;
use crate::crowd::{Crowd, finish};
use crate::mount::Mount;
use crate::server::{Plan, Server, Store};

pub(crate) async fn cut(workload: &Workload) -> Result<Verdict, Box<dyn Error>> {
    if !is_root() {
        return Ok(Verdict::NotRun("power cuts: they need root, for a file system of their own".to_owned()));
    }
    let missing: Vec<&str> =
        ["losetup", "mkfs.ext4", "mount", "python3"].into_iter().filter(|program| !has(program)).collect();
    if !missing.is_empty() {
        return Ok(Verdict::NotRun(format!("power cuts: this machine has no {}", missing.join(", "))));
    }
    if workload.store != Store::Sqlite {
        return Ok(Verdict::NotRun(
            "power cuts: only SQLite stores its files on that file system".to_owned(),
        ));
    }
    let seed = workload.seed();
    println!("CUT on ext4, seed {seed}");
    let mount = match Mount::ext4("1G") {
        Ok(mount) => mount,
        Err(error) => return Ok(Verdict::NotRun(format!("power cuts: no ext4 on a loop device: {error}"))),
    };
    let plan = Plan::new(Store::Sqlite, workload.shards).flags(&files::FLAGS);
    let plan = Plan { data: Some(mount.path().join("data")), ..plan };
    let Some(mut server) = Server::start(plan).await? else { return Err("SQLite is always here".into()) };
    let habits = workload.habits(seed);
    let cookies = server.accounts(&habits.names()).await?;
    let crowd = Crowd::start(&habits, server.address, &cookies);
    let uploaders = Uploaders::start(&server, seed, Habit { pause_ms: 20..200, disk_fails: true }).await?;
    let mut rng = Rng::for_part(seed, 77);
    let (mut cuts, mut cuts_of_files, mut intact) = (Vec::new(), Vec::new(), 0);
    while cuts.len() < workload.kills && crowd.now() < Duration::from_secs_f64(workload.minutes * 60.0) {
        let mut breaker = Breaker::ready(&mount.path()).await?;
        tokio::time::sleep(rng.milliseconds(workload.every_ms / 10..workload.every_ms * 19 / 10)).await;
        // From before the cut, so that nothing after it counts as promised.
        let (from, from_instant) = (crowd.now(), Instant::now());
        breaker.cut().await?;
        server.kill().await?;
        cuts.push((from, crowd.now()));
        cuts_of_files.push((from_instant, Instant::now()));
        mount.unmount()?;
        mount.mount()?;
        let integrity = integrity(&server.data().join("chat.db")).await?;
        intact += usize::from(integrity == "ok");
        if integrity != "ok" {
            println!("  integrity_check: {integrity}");
        }
        server.restart().await?;
    }
    let count = cuts.len();
    let files = uploaders.check(&mut server, &cuts_of_files).await?;
    let (_, findings) = finish(crowd, &mut server, cuts, DEADLINE).await?;
    print_findings(&findings);
    let line =
        format!("SQLite on ext4: {count} power cuts, integrity_check ok {intact} times, {findings}; {files}");
    Ok(Verdict::of(findings.is_good() && files.is_good(count as u64) && intact == count, line))
}

/// A process that has the file system open and stops it on command.
struct Breaker(Child);

impl Breaker {
    async fn ready(folder: &Path) -> Result<Self, Box<dyn Error>> {
        let mut process = Command::new("python3")
            .args(["-c", SHUTDOWN])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = process.stdout.as_mut().ok_or("no output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).await?;
        Ok(Self(process))
    }

    async fn cut(&mut self) -> Result<(), Box<dyn Error>> {
        let mut input = self.0.stdin.take().ok_or("no input")?;
        input.write_all(b"cut\n").await?;
        let status = self.0.wait().await?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("the file system was not stopped: {status}").into())
        }
    }
}

/// FS_IOC_SHUTDOWN without a flush of the journal (ext4's `EXT4_GOING_FLAGS_NOLOGFLUSH`).
const SHUTDOWN: &str = "
import fcntl, os, struct, sys
folder = os.open(sys.argv[1], os.O_RDONLY)
print('ready', flush=True)
sys.stdin.readline()
fcntl.ioctl(folder, 0x8004587d, struct.pack('I', 2))
";

async fn integrity(database: &Path) -> Result<String, Box<dyn Error>> {
    const CHECK: &str = "
import sqlite3, sys
print(sqlite3.connect(sys.argv[1]).execute('PRAGMA integrity_check').fetchone()[0])
";
    let output = Command::new("python3").args(["-c", CHECK]).arg(database).output().await?;
    let printed = if output.status.success() { output.stdout } else { output.stderr };
    Ok(String::from_utf8_lossy(&printed).trim().to_owned())
}

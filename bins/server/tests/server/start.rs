//! Starts that have to wait, or that cannot succeed.

use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::common::{Process, Setup, Store, TestServer};
use chat_store::migrations;
use chat_store::test_postgres::{TestCluster, TestDatabase};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use tokio::task::block_in_place;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_waits_for_its_postgres() {
    let Some(cluster) = block_in_place(TestCluster::start) else { return };
    let database = block_in_place(|| cluster.database(true));
    let folder = tempfile::tempdir().unwrap();
    let spawn = |flags: &[&str]| {
        let mut command = Process::command(folder.path());
        command.args(["--database-url", &database.text]).args(flags);
        Process::spawn(command)
    };
    block_in_place(|| cluster.stop());

    // SIGTERM ends the wait.
    let mut server = spawn(&[]);
    server.until_logged("waiting for the database").await;
    server.terminate().await;
    assert!(server.ended().await.success(), "{}", server.log());

    // The wait ends by itself.
    let mut server = spawn(&["--database-wait-seconds", "1"]);
    let sentence = server.complaint().await;
    assert!(sentence.contains("it could not be reached within 1 s: "), "{sentence}");
    let started = Instant::now();
    let sentence = spawn(&["--database-wait-seconds", "0"]).complaint().await;
    assert!(sentence.starts_with("cannot open the database postgres://"), "{sentence}");
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());

    let mut server = spawn(&[]);
    server.until_logged("waiting for the database").await;
    assert!(block_in_place(|| cluster.start_again()));
    server.until_ready().await;
    assert_eq!(server.log().matches("waiting for the database").count(), 1, "{}", server.log());
}

/// What does not mend by waiting ends the start at once.
#[tokio::test]
async fn a_wrong_database_or_user_is_not_waited_for() {
    let Some(database) = TestDatabase::migrated() else { return };
    let folder = tempfile::tempdir().unwrap();
    let missing = database.text.replace('?', "_missing?");
    let stranger = database.text.replace("postgres@", "stranger@");
    for (url, words) in [(missing, "_missing\" does not exist"), (stranger, "\"stranger\"")] {
        let mut command = Process::command(folder.path());
        command.args(["--database-url", &url]);
        let started = Instant::now();
        let sentence = Process::spawn(command).complaint().await;
        assert!(sentence.contains(words), "{sentence}");
        assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    }
}

/// SIGTERM ends a start that waits for the database, also in the middle of a step
/// of the migration, of which then nothing is done.
#[tokio::test]
async fn a_signal_ends_a_start_that_waits_in_a_migration() {
    let Some(database) = TestDatabase::migrated() else { return };
    for step in [
        "barrier",
        "bus",
        "shared",
        "feed",
        "push_shares",
        "outgoing",
        "subjects",
        "bots",
        "push",
        "moderation",
        "administration",
        "search",
        "files",
    ] {
        assert_eq!(migrations::down(&database.url).await.unwrap().unwrap().name, step);
    }
    let connect = async || database.text.parse::<PgConnectOptions>().unwrap().connect().await.unwrap();
    let mut watcher = connect().await;
    let mut waiting = async |count: i64| {
        let sql = "SELECT count(*) FROM pg_stat_activity
                    WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let deadline = Instant::now() + Duration::from_secs(30);
        while sqlx::query(sql).fetch_one(&mut watcher).await.unwrap().get::<i64, _>(0) != count {
            assert!(Instant::now() < deadline, "{count} sessions wait for a lock");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let folder = tempfile::tempdir().unwrap();
    // The lock of migrations, and a table that the step creates.
    for sql in [
        "BEGIN; SELECT pg_advisory_lock(x'6368617400000001'::bigint)",
        "BEGIN; CREATE TABLE files (name BIGINT)",
    ] {
        let mut other = connect().await;
        sqlx::raw_sql(sql).execute(&mut other).await.unwrap();
        let mut command = Process::command(folder.path());
        command.args(["--database-url", &database.text, "--migrate"]);
        let mut server = Process::spawn(command);
        waiting(1).await;
        server.terminate().await;
        let started = Instant::now();
        assert!(server.ended().await.success(), "{}", server.log());
        assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
        other.close().await.unwrap();
        waiting(0).await;
    }
    let steps = migrations::status(&database.url).await.unwrap();
    assert!(!steps.last().unwrap().applied);
    let mut command = Process::command(folder.path());
    command.args(["--database-url", &database.text, "--migrate"]);
    Process::spawn(command).until_ready().await;
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// The mode of a folder, the umask and older files are no matter.
#[tokio::test]
async fn the_database_is_readable_by_its_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::DirBuilder::new().mode(0o755).create(&data).unwrap();
    let files = || -> Vec<_> {
        let names = ["chat.db", "chat.db-wal", "chat.db-shm", "chat.db.lock", "jwt.secret"];
        names.map(|name| data.join(name)).into_iter().collect()
    };
    let start = async || {
        let mut command = tokio::process::Command::new("sh");
        let server = Process::command(&data);
        let server = server.as_std();
        command.env_clear().args(["-c", "umask 0; exec \"$@\"", "sh"]);
        command.arg(server.get_program()).args(server.get_args());
        let mut process = Process::spawn(command);
        process.until_ready().await;
        process
    };
    let mut process = start().await;
    for file in files() {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    let backup = folder.path().join("backup.db");
    let mut command = Process::command(&data);
    command.arg("backup").arg(&backup);
    assert!(command.status().await.unwrap().success());
    assert_eq!(mode(&backup), 0o600);

    // What an older version created is tightened, which is logged.
    process.kill().await;
    let kept = data.join("chat.db.before-20261123T031500Z");
    std::fs::write(&kept, "").unwrap();
    let other = data.join("chat.db.txt");
    std::fs::write(&other, "").unwrap();
    let open = std::fs::Permissions::from_mode(0o644);
    for file in [&kept, &other, &files()[0], &files()[1], &files()[3]] {
        std::fs::set_permissions(file, open.clone()).unwrap();
    }
    let process = start().await;
    for file in files().iter().chain([&kept]) {
        assert_eq!(mode(file), 0o600, "{}", file.display());
    }
    assert_eq!(mode(&other), 0o644, "not the server's");
    assert!(process.log().contains("other users could open this file"), "{}", process.log());
}

/// A server in a mount namespace of its own, after a script that may mount
/// something on `data`. `None` where this machine allows no such namespace.
async fn in_namespace(data: &Path, script: &str) -> Option<Process> {
    let unshare = ["unshare", "--user", "--map-root-user", "--mount"];
    let allowed = Command::new(unshare[0]).args(&unshare[1..]).arg("true").output();
    if !allowed.is_ok_and(|output| output.status.success()) {
        let is_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!is_ci, "CI=true, and this machine allows no mount namespaces");
        eprintln!("NOT TESTED: this machine allows no mount namespaces");
        return None;
    }
    let server = Process::command(data);
    let server = server.as_std();
    let mut command = tokio::process::Command::new(unshare[0]);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.args(&unshare[1..]).args(["sh", "-ec", &format!("data=$1; shift; {script}; exec \"$@\""), "sh"]);
    command.arg(data).arg(server.get_program()).args(server.get_args());
    Some(Process::spawn(command))
}

#[tokio::test]
async fn a_full_disk_or_a_read_only_folder_is_named() {
    // A stopped server's data, with an account in it.
    let mut server = TestServer::start(Setup { store: Store::Sqlite, shards: 1 }).await;
    server.person("alice").await;
    server.kill().await;
    let from = server.folder().join("data");
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let copy = format!("cp {}/chat.db {}/jwt.secret \"$data\"", from.display(), from.display());
    let mount = "mount -t tmpfs -o size=1m tmpfs \"$data\"";
    // The last blocks go to another file.
    let fill = "cat /dev/zero > \"$data/other\" 2> /dev/null || true";
    let named = data.canonicalize().unwrap();
    for (script, reason) in [
        (format!("{mount}; {copy}; {fill}"), "No space left on device"),
        (format!("{mount}; {copy}; touch \"$data/chat.db.lock\"; {fill}"), "No space left on device"),
        (format!("{mount}; {copy}; mount -o remount,ro \"$data\""), "Read-only file system"),
    ] {
        let Some(mut process) = in_namespace(&data, &script).await else { return };
        let sentence = process.complaint().await;
        let path = format!(
            "cannot open the database {}/chat.db: no file can be written in {}: ",
            named.display(),
            named.display()
        );
        assert!(sentence.starts_with(&path), "{script}: {sentence}");
        assert!(sentence.contains(reason), "{script}: {sentence}");
    }
    // A folder that cannot be created, and no signing secret yet.
    for (script, words) in [
        (format!("{mount}; {fill}"), ["jwt.secret", "No space left on device"]),
        (format!("{mount}; mount -o remount,ro \"$data\""), ["jwt.secret", "Read-only file system"]),
    ] {
        let Some(mut process) = in_namespace(&data, &script).await else { return };
        let sentence = process.complaint().await;
        assert!(words.iter().all(|word| sentence.contains(word)), "{script}: {sentence}");
    }
}

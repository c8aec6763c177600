//! The lock that servers have on their database.

use std::time::{Duration, Instant};

use crate::common::Process;
use chat_store::StoreError;
use chat_store::test_postgres::{TestCluster, TestDatabase};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Row as _};
use tokio::task::block_in_place;

fn spawn(folder: &std::path::Path, database: &TestDatabase, flags: &[&str]) -> Process {
    let mut command = Process::command(folder);
    command.args(["--database-url", &database.text]).args(flags);
    Process::spawn(command)
}

async fn connect(database: &TestDatabase) -> PgConnection {
    database.text.parse::<PgConnectOptions>().unwrap().connect().await.unwrap()
}

/// The session that holds the lock of running servers, if one does.
async fn lock_holder(program: &mut PgConnection) -> Option<i32> {
    let sql = "SELECT pid FROM pg_locks JOIN pg_database ON pg_database.oid = database
                WHERE locktype = 'advisory' AND classid = x'63686174'::int AND objsubid = 2 AND datname = current_database() AND granted";
    sqlx::query(sql).fetch_optional(program).await.unwrap().map(|row| row.get(0))
}

/// Several servers share a database; a command that needs it for itself waits for none of them.
#[tokio::test]
async fn a_command_that_needs_the_database_for_itself_sees_each_server() {
    let Some(database) = TestDatabase::migrated() else { return };
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let files = ["--files-url", folders[0].path().to_str().unwrap()];
    let mut first = spawn(folders[0].path(), &database, &files);
    first.until_ready().await;
    let mut second = spawn(folders[1].path(), &database, &files);
    second.until_ready().await;
    assert!(!second.log().contains("another server"), "{}", second.log());
    for server in [&mut first, &mut second] {
        let undone = chat_store::migrations::down(&database.url).await;
        assert!(matches!(undone, Err(StoreError::InUse { .. })), "{undone:?}");
        server.terminate().await;
        assert!(server.ended().await.success());
    }
    chat_store::migrations::down(&database.url).await.unwrap();
}

#[tokio::test]
async fn a_server_that_was_killed_does_not_keep_the_next_one_waiting() {
    let Some(database) = TestDatabase::migrated() else { return };
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        let mut server = spawn(folder.path(), &database, &[]);
        let started = Instant::now();
        server.until_ready().await;
        assert!(started.elapsed() < Duration::from_secs(60), "{:?}: {}", started.elapsed(), server.log());
        server.kill().await;
    }
}

/// The lock is for a schema: one database may have several chats.
#[tokio::test]
async fn two_schemas_of_one_database_each_have_a_server() {
    let Some(database) = TestDatabase::empty() else { return };
    let folder = tempfile::tempdir().unwrap();
    let schemas = "CREATE SCHEMA one; CREATE SCHEMA two";
    sqlx::raw_sql(schemas).execute(&mut connect(&database).await).await.unwrap();
    let mut servers = Vec::new();
    for schema in ["one", "two"] {
        let url = format!("{}&options[search_path]={schema}", database.text);
        let mut command = Process::command(folder.path());
        command.args(["--migrate", "--database-url", &url]);
        let mut server = Process::spawn(command);
        server.until_ready().await;
        assert!(!server.log().contains("another server"), "{}", server.log());
        servers.push(server);
    }
}

/// After a restart of the database, an idle server is not connected for a moment:
/// no step is undone below it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_server_is_seen_right_after_a_restart_of_its_database() {
    let Some(cluster) = block_in_place(TestCluster::start) else { return };
    let database = block_in_place(|| cluster.database(true));
    let folder = tempfile::tempdir().unwrap();
    let mut server = spawn(folder.path(), &database, &[]);
    server.until_ready().await;
    block_in_place(|| cluster.stop());
    assert!(block_in_place(|| cluster.start_again()));
    let undone = chat_store::migrations::down(&database.url).await;
    assert!(matches!(undone, Err(StoreError::InUse { .. })), "{undone:?}: {}", server.log());
}

/// The database ends the lock's connection: the server goes on, and takes the
/// lock again, or logs that another server has it.
#[tokio::test]
async fn a_lost_lock_is_taken_again() {
    let Some(database) = TestDatabase::migrated() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut server = spawn(folder.path(), &database, &[]);
    let address = server.until_ready().await;
    let mut program = connect(&database).await;
    let first = lock_holder(&mut program).await.expect("a running server has the lock");
    sqlx::query("SELECT pg_terminate_backend($1)").bind(first).execute(&mut program).await.unwrap();
    server.until_logged("the server's lock was taken again").await;
    let second = lock_holder(&mut program).await.expect("the server has it again");
    assert_ne!(first, second);

    // Another one is quicker.
    let end_and_take =
        "SELECT pg_terminate_backend($1), pg_advisory_lock(x'63686174'::int, hashtext('public'))";
    sqlx::query(end_and_take).bind(second).execute(&mut program).await.unwrap();
    server.until_logged("another server or command has the database: stop one of them").await;
    crate::common::Request::get("/readyz").send(address).await.expect_ok();
    drop(program);
    let mut program = connect(&database).await;
    let deadline = Instant::now() + Duration::from_secs(60);
    while lock_holder(&mut program).await.is_none_or(|holder| holder == second) {
        assert!(Instant::now() < deadline, "{}", server.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server.terminate().await;
    assert!(server.ended().await.success(), "{}", server.log());
    // The session ends some milliseconds after its process.
    while lock_holder(&mut program).await.is_some() {
        assert!(Instant::now() < deadline, "a stopped server keeps the lock");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

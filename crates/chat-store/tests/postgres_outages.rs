//! A Postgres store while connections break, answers are lost, and the database
//! server stops and starts again.

// Clippy takes only `#[test]` functions for tests, not what they call.
#![allow(clippy::unwrap_used)]

mod common;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chat_cluster::{FeedStart, Sequencer};
use chat_core::{Draft, Outcome, Page, PageFrom, SessionId};
use chat_store::test_postgres::{TestCluster, TestDatabase};
use chat_store::{
    AdministrationRepository as _, DatabaseUrl, EventLog, NewUser, PasswordChange, PostgresOptions,
    PostgresStore, RegistrationTerms, StoreError, Subject, UserRepository as _,
};
use common::proxy::{FATES, Fate, Proxy};
use common::{ALL, WithNonce as _, draft, edit, name, open, react, room, texts, unreact};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Row as _};

/// Longer than any limit of a call, for a slow machine: what is tested is that calls end.
const NOT_IN_TIME: Duration = Duration::from_secs(30);

/// Another program with the same database.
async fn other_program(database: &TestDatabase) -> PgConnection {
    database.text.parse::<PgConnectOptions>().unwrap().connect().await.unwrap()
}

/// Ends all connections but its own; returns their number.
async fn end_connections(program: &mut PgConnection) -> i64 {
    let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
    sqlx::query(sql).fetch_one(program).await.unwrap().get(0)
}

/// A short limit for each attempt keeps a test short; a long deadline suits a busy
/// machine.
fn quick() -> PostgresOptions {
    PostgresOptions {
        call_timeout: Duration::from_secs(15),
        attempt_timeout: Duration::from_millis(700),
        connect_timeout: Duration::from_secs(5),
        ..PostgresOptions::default()
    }
}

async fn append(log: &dyn EventLog, drafts: &[Draft]) -> Result<Vec<Outcome>, StoreError> {
    let commit = log.append(drafts, 1000).await?;
    assert_eq!(commit.entries.len(), commit.receipts.iter().filter(|r| is_stored(&r.outcome)).count());
    Ok(commit.receipts.into_iter().map(|receipt| receipt.outcome).collect())
}

fn is_stored(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Stored { .. })
}

fn stored(seqs: impl IntoIterator<Item = u64>) -> Vec<Outcome> {
    seqs.into_iter().map(|seq| Outcome::Stored { seq, at_ms: 1000 }).collect()
}

async fn all(log: &dyn EventLog) -> Page {
    let page = log.page(&room("kitchen"), PageFrom::After(0), ALL).await.unwrap();
    assert!(page.entries.iter().map(|entry| entry.seq).eq(1..=page.last));
    page
}

async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let start = Instant::now();
    (work.await, start.elapsed())
}

#[tokio::test]
async fn an_idle_connection_that_ended_is_replaced_unnoticed() {
    let Some(database) = TestDatabase::migrated() else { return };
    let stores = open(&database.url).await.unwrap();
    let mut program = other_program(&database).await;
    for round in 1..=3 {
        let drafts = [draft(&room("kitchen"), "alice", "x")];
        assert_eq!(append(&*stores.log, &drafts).await.unwrap(), stored([round]));
        assert_eq!(all(&*stores.log).await.last, round);
        assert!(end_connections(&mut program).await >= 2);
        stores.log.check().await.unwrap();
        assert_eq!(stores.users.find_user(&name("bob")).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_batch_whose_connection_ends_is_stored_by_the_next_attempt() {
    let Some(database) = TestDatabase::migrated() else { return };
    let stores = open(&database.url).await.unwrap();
    let mut program = other_program(&database).await;
    let slow = "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$
                    BEGIN PERFORM pg_sleep(0.4); RETURN NEW; END $$;
                CREATE TRIGGER wait BEFORE INSERT ON entries
                    FOR EACH ROW WHEN (NEW.text = 'slow') EXECUTE FUNCTION wait();";
    sqlx::raw_sql(slow).execute(&mut program).await.unwrap();
    let kitchen = room("kitchen");
    let drafts = [
        draft(&kitchen, "alice", "first"),
        draft(&kitchen, "alice", "slow").nonce("n"),
        draft(&kitchen, "bob", "last"),
    ];
    let log = Arc::clone(&stores.log);
    let appending = tokio::spawn(async move { append(&*log, &drafts).await.unwrap() });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(end_connections(&mut program).await > 0);
    assert_eq!(appending.await.unwrap(), stored(1..=3));
    assert_eq!(texts(&all(&*stores.log).await), ["first", "slow", "last"]);
}

/// Drafts with and without nonces, in a new and in a known topic.
#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_stored_once_and_reported_once() {
    let Some(database) = TestDatabase::migrated() else { return };
    let proxy = Proxy::before(&database).await;
    let store = PostgresStore::open(&proxy.url(), quick()).await.unwrap();
    let mut expected = Vec::new();
    for round in 0..3 {
        for fate in FATES {
            let kitchen = room("kitchen");
            let text = |which: &str| format!("{fate:?} {round} {which}");
            let drafts = [
                draft(&kitchen, "alice", &text("without")),
                draft(&kitchen, "alice", &text("with")).nonce(&text("with")),
                draft(&room(&text("new")), "bob", "new"),
            ];
            proxy.next_commit(fate);
            let outcomes = append(&store, &drafts).await;
            assert!(proxy.has_applied_fate());
            let next = expected.len() as u64 + 1;
            assert_eq!(outcomes.unwrap(), stored([next, next + 1, 1]), "{fate:?}");
            expected.extend([text("without"), text("with")]);
            assert_eq!(texts(&all(&store).await), expected, "{fate:?}");
        }
    }
    store.close().await;
}

/// Batches of changes alone, and of nothing but nonces to remember.
#[tokio::test]
async fn a_commit_of_changes_whose_answer_was_lost_is_stored_once_and_reported_once() {
    let Some(database) = TestDatabase::migrated() else { return };
    let proxy = Proxy::before(&database).await;
    let store = PostgresStore::open(&proxy.url(), quick()).await.unwrap();
    let kitchen = room("kitchen");
    append(&store, &[draft(&kitchen, "alice", "first")]).await.unwrap();
    let mut last = 1;
    for fate in FATES {
        let drafts = [
            edit(&kitchen, "alice", 1, &format!("{fate:?}")),
            react(&kitchen, "bob", 1, "👍").nonce(&format!("{fate:?}")),
        ];
        proxy.next_commit(fate);
        let outcomes = append(&store, &drafts).await;
        assert!(proxy.has_applied_fate());
        assert_eq!(outcomes.unwrap(), stored([last + 1, last + 2]), "{fate:?}");
        let again = react(&kitchen, "bob", 1, "👍").nonce(&format!("{fate:?} again"));
        let duplicate = Outcome::Duplicate { topic: kitchen.clone(), seq: last + 2, at_ms: 1000 };
        proxy.next_commit(fate);
        let outcomes = append(&store, std::slice::from_ref(&again)).await;
        assert!(proxy.has_applied_fate());
        assert_eq!(outcomes.unwrap(), std::slice::from_ref(&duplicate), "{fate:?}");
        // The nonce is remembered: what is sent with it later is not judged again.
        append(&store, &[unreact(&kitchen, "bob", 1, "👍")]).await.unwrap();
        assert_eq!(append(&store, &[again]).await.unwrap(), [duplicate], "{fate:?}");
        last += 3;
        assert_eq!(all(&store).await.last, last, "{fate:?}");
        assert_eq!(texts(&all(&store).await)[0], format!("{fate:?}"));
    }
    store.close().await;
}

#[tokio::test]
async fn a_commit_that_cannot_be_resolved_in_time_is_reported_as_failed() {
    let Some(database) = TestDatabase::migrated() else { return };
    let proxy = Proxy::before(&database).await;
    let (call_timeout, attempt_timeout) = (Duration::from_secs(6), Duration::from_secs(3));
    let impatient = PostgresOptions { call_timeout, attempt_timeout, ..quick() };
    let store = PostgresStore::open(&proxy.url(), impatient).await.unwrap();
    let kitchen = room("kitchen");
    append(&store, &[draft(&kitchen, "alice", "before")]).await.unwrap();
    let mut expected = vec!["before".to_owned()];
    for fate in FATES {
        let lost = format!("{fate:?}");
        let drafts = [draft(&kitchen, "alice", &lost).nonce(&lost), draft(&kitchen, "alice", &lost)];
        proxy.next_commit(fate);
        proxy.refuse_new(true);
        let (failed, took) = timed(append(&store, &drafts)).await;
        assert!(matches!(failed, Err(StoreError::Unavailable { .. })), "{failed:?}");
        assert!(took < NOT_IN_TIME, "{fate:?} took {took:?}");
        proxy.refuse_new(false);

        // The next batch finds a lane in which nothing runs any more, and a retry
        // returns the outcome of the first.
        let next = [draft(&kitchen, "alice", &lost).nonce(&lost)];
        let times = match append(&store, &next).await.unwrap()[..] {
            [Outcome::Stored { .. }] => 1,
            [Outcome::Duplicate { .. }] => 2,
            ref other => panic!("{other:?}"),
        };
        match fate {
            Fate::AnswerLost | Fate::NoAnswer => assert_eq!(times, 2),
            Fate::CutAndLost | Fate::Lost => assert_eq!(times, 1),
            Fate::CutBehindIt | Fate::CutAndLate => {}
        }
        expected.extend(std::iter::repeat_n(lost, times));
        assert_eq!(texts(&all(&store).await), expected, "{fate:?}");
    }
}

#[tokio::test]
async fn a_change_of_an_account_is_made_once_and_reported_once() {
    let Some(database) = TestDatabase::migrated() else { return };
    let proxy = Proxy::before(&database).await;
    let store = PostgresStore::open(&proxy.url(), quick()).await.unwrap();
    for fate in FATES {
        let person = format!("{fate:?}");
        let mut user =
            NewUser { name: name(&person), password_hash: "old".into(), avatar: None, created_at_ms: 1 };
        proxy.next_with(&person, fate);
        store.create_user(&user).await.unwrap();
        assert!(proxy.has_applied_fate());
        // A second call with the same account is another registration.
        let refused = store.create_user(&user).await;
        assert!(matches!(refused, Err(StoreError::NameTaken)), "{refused:?}");
        user.password_hash = "another".into();
        proxy.next_with(&person, fate);
        assert!(matches!(store.create_user(&user).await, Err(StoreError::NameTaken)));

        proxy.next_with(&person, fate);
        assert!(store.set_password_hash(&user.name, "old", "new").await.unwrap(), "{fate:?}");
        proxy.next_with(&person, fate);
        assert!(!store.set_password_hash(&user.name, "old", "newer").await.unwrap(), "{fate:?}");
        let found = store.find_user(&user.name).await.unwrap().unwrap();
        assert_eq!(found.password_hash, "new");

        proxy.next_with(&person, fate);
        assert!(store.set_avatar(&user.name, None, Some("/uploads/a.webp")).await.unwrap(), "{fate:?}");
        let kept = SessionId::new("kept");
        let change = |old, new| PasswordChange { user: &user.name, old, new, kept: &kept };
        proxy.next_with(&person, fate);
        assert!(store.change_password(change("new", "newest")).await.unwrap().is_some(), "{fate:?}");
        proxy.next_with(&person, fate);
        assert!(store.change_password(change("new", "other")).await.unwrap().is_none(), "{fate:?}");
        let found = store.find_user(&user.name).await.unwrap().unwrap();
        assert_eq!(
            (found.password_hash.as_str(), found.avatar.as_deref()),
            ("newest", Some("/uploads/a.webp"))
        );
    }
}

/// A user of an OpenID provider.
fn subject(subject: &str) -> Subject<'_> {
    Subject { issuer: "https://id.example", subject }
}

/// All such accounts have the same in place of a password's hash, so that the hash does not say which
/// attempt has made one.
#[tokio::test]
async fn an_account_of_a_provider_is_made_once_and_for_its_own_user() {
    let Some(database) = TestDatabase::migrated() else { return };
    let proxy = Proxy::before(&database).await;
    let store = PostgresStore::open(&proxy.url(), quick()).await.unwrap();
    let user = |person: &str, created_at_ms| NewUser {
        name: name(person),
        password_hash: "!".into(),
        avatar: None,
        created_at_ms,
    };
    let register = async |user: &NewUser, of: &str| {
        let terms = RegistrationTerms { subject: Some(subject(of)), ..RegistrationTerms::default() };
        store.register(user, terms).await
    };
    let account_of = async |of: &str| {
        let found = store.find_subject(subject(of)).await.unwrap();
        found.map(|user| user.name.as_str().to_owned())
    };
    for fate in FATES {
        let person = format!("{fate:?}");
        proxy.next_commit(fate);
        assert!(register(&user(&person, 2), &person).await.unwrap(), "{fate:?}");
        assert!(proxy.has_applied_fate());
        assert_eq!(account_of(&person).await.as_deref(), Some(&*person));
    }
    // Neither an account of another user of the provider, nor one that was made without it.
    store.create_user(&user("robot", 1)).await.unwrap();
    for taken in ["AnswerLost", "robot"] {
        proxy.next_with(taken, Fate::AnswerLost);
        let refused = register(&user(taken, 3), "another").await;
        assert!(proxy.has_applied_fate());
        assert!(matches!(refused, Err(StoreError::NameTaken)), "{taken}: {refused:?}");
        assert_eq!(account_of("another").await, None, "{taken}");
    }
    assert_eq!(account_of("AnswerLost").await.as_deref(), Some("AnswerLost"));
    assert_eq!(store.count_users().await.unwrap(), FATES.len() as u64 + 1);
    store.close().await;
}

/// Writes one message after the other until `stop`, and returns each text with
/// whether it was acknowledged.
async fn write_on(store: Arc<PostgresStore>, writer: usize, stop: Arc<AtomicBool>) -> Vec<(String, bool)> {
    let mut sent = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let text = format!("{writer}/{}", sent.len());
        let drafts = [draft(&room("kitchen"), "alice", &text), draft(&room(&text), "alice", &text)];
        let (outcome, took) = timed(append(&*store, &drafts)).await;
        assert!(took < NOT_IN_TIME, "{took:?}");
        sent.push((text, outcome.is_ok()));
    }
    sent
}

/// Checks that acknowledged messages are in the log once, in the order of their
/// writer, and that failed ones are there at most once.
fn check_sent(page: &Page, sent_by_writers: &[Vec<(String, bool)>]) {
    for sent in sent_by_writers {
        let indices: Vec<usize> = sent
            .iter()
            .filter_map(|(text, is_stored)| {
                let mut found =
                    page.entries.iter().enumerate().filter(|(_, entry)| entry.body.text() == text);
                let first = found.next().map(|(index, _)| index);
                assert!(found.next().is_none(), "{text} is there twice");
                assert!(first.is_some() || !is_stored, "{text} is lost");
                first
            })
            .collect();
        assert!(indices.is_sorted());
    }
}

async fn through_an_outage(outage: impl AsyncFn(&TestCluster, &PostgresStore)) {
    let Some(cluster) = TestCluster::start() else { return };
    let database = cluster.database(true);
    let DatabaseUrl::Postgres(url) = &database.url else { panic!("{:?}", database.url) };
    let store = Arc::new(PostgresStore::open(url, PostgresOptions::default()).await.unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> =
        (0..6).map(|writer| tokio::spawn(write_on(Arc::clone(&store), writer, Arc::clone(&stop)))).collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    outage(&cluster, &store).await;

    // The store works as before once the outage is over: the goal is 2 s.
    let back = Instant::now();
    while store.check().await.is_err() {
        assert!(back.elapsed() < NOT_IN_TIME, "the store does not come back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("back after {:?}", back.elapsed());
    let before = all(&*store).await.last;
    let drafts = [draft(&room("kitchen"), "bob", "back")];
    append(&*store, &drafts).await.unwrap();
    let writing = async {
        while all(&*store).await.last <= before + 20 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), writing).await.expect("20 more entries");
    stop.store(true, Ordering::Relaxed);
    let mut sent = Vec::new();
    for writer in writers {
        sent.push(writer.await.unwrap());
    }
    let page = all(&*store).await;
    check_sent(&page, &sent);
    assert!(sent.iter().flatten().filter(|(_, is_stored)| *is_stored).count() >= 20);
    store.close().await;
}

/// Checks that calls fail in time while the database server does not answer.
async fn nothing_hangs(store: &PostgresStore) {
    let checks = async {
        for _ in 0..2 {
            let (checked, took) = timed(store.check()).await;
            assert!(checked.is_err() && took < NOT_IN_TIME, "{checked:?} took {took:?}");
        }
    };
    let drafts = [draft(&room("cellar"), "bob", "out")];
    let bob = name("bob");
    let ((), (failed, took), (found, found_after)) =
        tokio::join!(checks, timed(append(store, &drafts)), timed(store.find_user(&bob)));
    assert!(matches!(failed, Err(StoreError::Unavailable { .. })), "{failed:?}");
    assert!(found.is_err());
    for took in [took, found_after] {
        assert!(took < NOT_IN_TIME, "{took:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_server_fails_calls_in_time() {
    through_an_outage(async |cluster, store| {
        cluster.pause();
        nothing_hangs(store).await;
        cluster.resume();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_paused_for_a_moment_is_waited_for() {
    through_an_outage(async |cluster, store| {
        cluster.pause();
        tokio::time::sleep(Duration::from_millis(700)).await;
        cluster.resume();
        let (outcome, took) = timed(append(store, &[draft(&room("cellar"), "bob", "out")])).await;
        assert!(outcome.is_ok(), "{outcome:?} after {took:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_server_fails_calls_in_time() {
    through_an_outage(async |cluster, store| {
        cluster.stop();
        nothing_hangs(store).await;
        assert!(cluster.start_again());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_restarted_is_waited_for() {
    through_an_outage(async |cluster, store| {
        cluster.stop();
        let drafts = [draft(&room("cellar"), "bob", "out")];
        let appending = append(store, &drafts);
        let starting = timed(async { tokio::task::block_in_place(|| cluster.start_again()) });
        let (outcome, (started, took)) = tokio::join!(appending, starting);
        // On a busy machine the start may take longer than the deadline.
        assert!(started && (outcome.is_ok() || took > Duration::from_secs(2)), "{outcome:?} after {took:?}");
    })
    .await;
}

/// A server, and how far it has read what is committed.
struct Server {
    store: PostgresStore,
    sequencer: Sequencer,
}

impl Server {
    async fn start(proxy: &Proxy) -> Self {
        // What waits for the other server is refused soon; an answer may be late.
        let timeout = Duration::from_secs(3);
        let options = PostgresOptions { call_timeout: timeout, attempt_timeout: timeout, ..quick() };
        let store = PostgresStore::open(&proxy.url(), options).await.unwrap();
        let feed = store.feed().unwrap();
        let start = FeedStart { ..feed.start().clone() };
        let sequencer = Sequencer::new(feed.incarnation(), &start, Default::default());
        Self { store, sequencer }
    }

    /// Stores a message; returns its number.
    async fn store(&mut self, text: &str) -> Result<u64, StoreError> {
        let drafts = [draft(&room("kitchen"), "alice", text)];
        let (commit, record) = self.store.append_recorded(&drafts, 1000).await?;
        self.sequencer.commit(0, record.unwrap(), false);
        Ok(commit.entries[0].seq)
    }

    /// Reads the feed, as often as it takes for an answer; returns the epoch there.
    async fn read(&mut self) -> String {
        let feed = self.store.feed().unwrap();
        let seen: Vec<_> = self.sequencer.seen().collect();
        for _ in 0..300 {
            let _ = feed.beat().await;
            if let Ok(read) = feed.after(&seen).await {
                self.sequencer.feed(0, read.page);
                return read.epoch;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the database does not answer");
    }

    /// Stores a message once that is possible.
    async fn store_at_last(&mut self, text: &str) -> u64 {
        let mut refused = None;
        for _ in 0..30 {
            self.read().await;
            match self.store(text).await {
                Ok(seq) => return seq,
                Err(error) => refused = Some(error),
            }
        }
        panic!("{text} cannot be stored: {refused:?}");
    }
}

/// Two servers, and the row of one that was killed, whose database fails over twice: first to a standby
/// that has everything, then to one that lacks a commit that only one of the servers knows of. A server
/// that starts waits where nobody appends yet, and nowhere else.
#[tokio::test]
async fn a_failover_that_lost_commits_ends_the_epoch_before_anybody_appends() {
    let Some(first) = TestCluster::start() else { return };
    let database = first.database(true);
    let proxy = Proxy::before(&database).await;
    let mut one = Server::start(&proxy).await;
    let mut two = Server::start(&proxy).await;
    assert_eq!(one.store("1").await.unwrap(), 1);
    assert_eq!(two.store("2").await.unwrap(), 2);
    let epoch = one.read().await;
    assert_eq!(two.read().await, epoch);
    drop(Server::start(&proxy).await);

    let second = first.standby();
    first.stop();
    second.promote();
    proxy.lead_to(second.socket_address());
    assert_eq!(one.read().await, epoch, "nothing is lost");
    let refused = one.store("too early").await;
    assert!(matches!(refused, Err(StoreError::Unavailable { .. })), "the other has not looked: {refused:?}");
    assert_eq!(two.read().await, epoch);
    assert_eq!(one.store_at_last("3").await, 3);
    assert_eq!(two.store_at_last("4").await, 4);
    let mut late = Server::start(&proxy).await;
    assert_eq!(late.store("5").await.unwrap(), 5, "what the killed one knew was waited for already");
    late.store.close().await;

    let third = second.standby();
    third.stop_following();
    assert_eq!(one.store("lost").await.unwrap(), 6);
    second.stop();
    third.promote();
    proxy.lead_to(third.socket_address());
    assert_eq!(two.read().await, epoch, "this server has not heard of it");
    let refused = two.store("number 6 again").await;
    assert!(refused.is_err(), "under the old epoch: {refused:?}");
    let mut late = Server::start(&proxy).await;
    let refused = late.store("number 6 again").await;
    assert!(refused.is_err(), "of a server that starts: {refused:?}");
    let refused = one.store("another 6").await;
    assert!(refused.is_err(), "its lane lacks a commit: {refused:?}");
    // It looks for its commit, and reads what it has made of the epoch then.
    let mut next = one.read().await;
    for _ in 0..50 {
        if next != epoch {
            break;
        }
        next = one.read().await;
    }
    assert_ne!(next, epoch);
    assert_eq!(two.read().await, next);
    for server in [&mut one, &mut two] {
        assert!(server.store("of the old epoch").await.is_err());
    }
    // Both start afresh.
    let mut one = Server::start(&proxy).await;
    assert_eq!(one.store.epoch(), next);
    assert_eq!(one.store_at_last("6 of the new epoch").await, 6);
}

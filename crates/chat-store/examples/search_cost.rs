//! Measures searches among many messages, and what the indexing beside the log costs appends.
//!
//! `cargo run --release -p lanechat-store --example search_cost [messages] [sqlite|postgres] [folder]`
//!
//! The first table has, for each search, the median, the 99th percentile and the slowest of 300
//! calls in ms, page after page. The last column is the load of the machine over the last
//! minute (Linux only): figures of a busy machine are too high.
//!
//! Then batches of 64 messages are appended in rounds of three segments: without the indexer,
//! with it (it always has something to do), and without it again. The ratio of a round is the
//! time of an append in the second segment to the mean of the two others, so that a machine that
//! becomes slower or faster counts on both sides. The noise is the ratio of the third segment to
//! the first: where its quartiles are as far from 1 as those of the ratio, the ratio says nothing.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chat_core::{
    Body, ChangeRules, Commit, Draft, DraftId, MessageText, Nonce, Outcome, Pair, RoomName, SearchScope,
    SearchedWords, Topic, Username,
};
use chat_store::test_postgres::TestCluster;
use chat_store::{DatabaseUrl, Indexed, NewUser, SearchIndex, SearchQuery, StoreError, Stores};
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};
use uuid::Uuid;

const CALLS: usize = 300;
const ROOMS: u64 = 50;
const USERS: u64 = 200;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<(), Box<dyn Error>> {
    let messages = std::env::args().nth(1).map_or(Ok(1_000_000), |count| count.parse())?;
    let only = std::env::args().nth(2);
    let is_wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
    let folder = std::env::args_os().nth(3).map_or_else(std::env::temp_dir, PathBuf::from);
    if is_wanted("sqlite") {
        let folder = tempfile::tempdir_in(folder)?;
        measure("sqlite", &DatabaseUrl::Sqlite(folder.path().join("chat.db")), messages).await?;
    }
    if is_wanted("postgres")
        && let Some(cluster) = TestCluster::start()
    {
        let database = cluster.database(true);
        measure("postgres", &DatabaseUrl::parse(&database.text)?, messages).await?;
    }
    Ok(())
}

async fn measure(name: &str, url: &DatabaseUrl, messages: u64) -> Result<(), Box<dyn Error>> {
    let stores = Stores::open(url).await?;
    let mut writer = Writer::new();
    // Private messages need accounts.
    for number in 0..2 {
        let (name, password_hash) = (writer.user(number)?, "$argon2id$".to_owned());
        stores.users.create_user(&NewUser { name, password_hash, avatar: None, created_at_ms: 1 }).await?;
    }
    let start = Instant::now();
    while writer.count < messages {
        append(&stores, &mut writer, 1_000).await?;
    }
    println!("{name}: {messages} messages are stored after {:.0?}", start.elapsed());
    let (start, mut indexed) = (Instant::now(), 0);
    loop {
        let step = stores.search.index_some(5_000).await?;
        indexed += step.messages;
        if !step.has_more {
            break;
        }
    }
    println!("{name}: {indexed} messages are indexed after {:.0?}", start.elapsed());
    println!(
        "{:9} {:34} {:>6} {:>8} {:>8} {:>8} {:>5}",
        "store", "search", "found", "median", "p99", "slowest", "load"
    );
    let room = |number: u64| SearchScope::Room(writer.room_name(number));
    let everywhere = |text: &str| query(text, SearchScope::All, None);
    let searches = [
        ("a common word", everywhere("это ")),
        ("a common word, as a beginning", everywhere("это")),
        ("a rare word", everywhere("иголка ")),
        ("a word of one message", everywhere("единственное ")),
        ("no such word", everywhere("отсутствует ")),
        ("two common words", everywhere("это было ")),
        ("a common and a rare word", everywhere("это иголка ")),
        ("a phrase of common words", everywhere("\"это было\"")),
        ("a rare phrase", everywhere("\"иголка в стоге\"")),
        ("a phrase that is not there", everywhere("\"было это было это\"")),
        ("a beginning of two letters", everywhere("эт")),
        ("a beginning of one letter", everywhere("э")),
        ("a common word, in a room", query("это ", room(7), None)),
        ("a rare word, in a room", query("иголка ", room(7), None)),
        ("a common word, from a user", query("это ", SearchScope::All, Some(writer.user(3)?))),
        ("a common word, from a user in a room", query("это ", room(7), Some(writer.user(3)?))),
        ("a common word, in a pair", query("это ", SearchScope::With(writer.user(1)?), None)),
    ];
    let reader = writer.user(0)?;
    for (what, query) in searches {
        let mut query = query?;
        let (mut times, mut found) = (Vec::new(), 0);
        for _ in 0..CALLS {
            let start = Instant::now();
            let page = stores.search.search(&reader, &query).await?;
            times.push(start.elapsed().as_secs_f64() * 1e3);
            found = found.max(page.messages.len());
            query.before = page.next;
        }
        times.sort_by(f64::total_cmp);
        let (median, p99, slowest) = (times[CALLS / 2], times[CALLS * 99 / 100], times[CALLS - 1]);
        println!("{name:9} {what:34} {found:>6} {median:>8.2} {p99:>8.2} {slowest:>8.2} {:>5}", load());
    }
    appends(name, &stores, &mut writer).await?;
    stores.close().await;
    Ok(())
}

fn query(text: &str, scope: SearchScope, from: Option<Username>) -> Result<SearchQuery, Box<dyn Error>> {
    Ok(SearchQuery { words: SearchedWords::parse(text)?, scope, from, before: None, limit: 50 })
}

/// Appends a batch, all messages of which must be stored.
async fn append(stores: &Stores, writer: &mut Writer, count: u64) -> Result<(), Box<dyn Error>> {
    let drafts = writer.batch(count)?;
    all_stored(&stores.log.append(&drafts, writer.at_ms()).await?)
}

fn all_stored(commit: &Commit) -> Result<(), Box<dyn Error>> {
    match commit.receipts.iter().find(|receipt| !matches!(receipt.outcome, Outcome::Stored { .. })) {
        Some(refused) => Err(format!("a message was not stored: {refused:?}").into()),
        None => Ok(()),
    }
}

/// Appends in rounds, in a part of each of which messages are indexed as the server does it.
async fn appends(name: &str, stores: &Stores, writer: &mut Writer) -> Result<(), Box<dyn Error>> {
    let [mut without, mut with, mut ratios, mut noise] = [const { Vec::new() }; 4];
    for round in 0..WARM_UP + ROUNDS {
        let before = segment(stores, writer).await?;
        let stop = Arc::new(AtomicBool::new(false));
        let indexer = tokio::spawn(index(Arc::clone(&stores.search), Arc::clone(&stop)));
        let beside = segment(stores, writer).await;
        stop.store(true, Ordering::Relaxed);
        indexer.await??;
        let (beside, after) = (beside?, segment(stores, writer).await?);
        if round >= WARM_UP {
            without.push((before + after) / 2.0);
            with.push(beside);
            ratios.push(beside * 2.0 / (before + after));
            noise.push(after / before);
        }
    }
    let [_, without, _] = quartiles(without);
    let [_, with, _] = quartiles(with);
    println!("{name}: an append takes {without:.0} µs without the indexer, {with:.0} µs with it (medians)");
    for (what, values) in [("ratio", ratios), ("noise", noise)] {
        let [low, median, high] = quartiles(values);
        println!("{name}: {what} ×{median:.3}, quartiles ×{low:.3} and ×{high:.3} (load {})", load());
    }
    Ok(())
}

/// Rounds that do not count, and those that do.
const WARM_UP: usize = 3;
const ROUNDS: usize = 60;
/// A segment has several steps of the indexer, with their pauses.
const SEGMENT: Duration = Duration::from_millis(600);

/// Appends for a while. Returns the mean time of an append, in µs.
async fn segment(stores: &Stores, writer: &mut Writer) -> Result<f64, Box<dyn Error>> {
    let (mut appends, mut time) = (0_u32, Duration::ZERO);
    while time < SEGMENT {
        let (drafts, at_ms) = (writer.batch(64)?, writer.at_ms());
        let start = Instant::now();
        let commit = stores.log.append(&drafts, at_ms).await?;
        time += start.elapsed();
        appends += 1;
        all_stored(&commit)?;
    }
    Ok(time.as_secs_f64() * 1e6 / f64::from(appends))
}

async fn index(search: Arc<dyn SearchIndex>, stop: Arc<AtomicBool>) -> Result<(), StoreError> {
    while !stop.load(Ordering::Relaxed) {
        let start = Instant::now();
        search.index_some(500).await?;
        tokio::time::sleep(Indexed::pause(start.elapsed())).await;
    }
    Ok(())
}

fn quartiles(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values[(values.len() - 1) * quarter / 4])
}

/// The load of the machine over the last minute.
fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or_default().to_owned()
}

/// Messages of some words by many users, in rooms and in pairs.
struct Writer {
    rng: SplitMix64,
    count: u64,
}

impl Writer {
    fn new() -> Self {
        Self { rng: SplitMix64::seed_from_u64(7), count: 0 }
    }

    fn below(&mut self, end: u64) -> u64 {
        self.rng.next_u64() % end
    }

    /// All messages are written within some weeks.
    fn at_ms(&self) -> u64 {
        1_700_000_000_000 + self.count * 2_000
    }

    fn room_name(&self, number: u64) -> RoomName {
        RoomName::parse(&format!("room {number}")).unwrap_or_default()
    }

    fn user(&self, number: u64) -> Result<Username, Box<dyn Error>> {
        Ok(Username::parse(&format!("user {number}"))?)
    }

    fn batch(&mut self, count: u64) -> Result<Vec<Draft>, Box<dyn Error>> {
        (0..count).map(|_| self.draft()).collect()
    }

    fn draft(&mut self) -> Result<Draft, Box<dyn Error>> {
        self.count += 1;
        let author = self.below(USERS);
        let from = self.user(author)?;
        let topic = match self.below(10) {
            0 => Topic::Pair(Pair::new(self.user(0)?, self.user(1)?)),
            _ => Topic::Room(self.room_name(self.count % ROOMS)),
        };
        let from = if matches!(topic, Topic::Pair(_)) { self.user(author % 2)? } else { from };
        let text = MessageText::parse(&self.text(), 4096)?;
        Ok(Draft {
            id: DraftId(self.count),
            topic,
            from,
            room: None,
            body: Body::message(text),
            files: Vec::new(),
            nonce: Nonce::parse(&Uuid::now_v7().to_string()),
            check: false,
            may_administer: false,
            by_server: false,
            refused: None,
            rules: ChangeRules::default(),
        })
    }

    /// Eight words or so; a few of them are much more common than the others.
    fn text(&mut self) -> String {
        let mut words = Vec::new();
        for _ in 0..4 + self.below(9) {
            let kind = self.below(100);
            words.push(match kind {
                0..4 => "это".to_owned(),
                4..7 => "было".to_owned(),
                7..30 => format!("слово{}", self.below(50)),
                30..60 => format!("понятие{}", self.below(2_000)),
                _ => format!("редкость{}", self.below(50_000)),
            });
        }
        if self.below(50_000) == 0 {
            words.push("иголка в стоге".to_owned());
        }
        if self.count == 1_000 {
            words.push("единственное".to_owned());
        }
        words.join(" ")
    }
}

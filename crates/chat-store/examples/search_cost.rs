//! Measures searches among many messages, and what the indexing beside the log costs appends.
//!
//! `cargo run --release -p chat-store --example search_cost [messages] [sqlite|postgres] [folder]`
//!
//! The first table has, for each search, the median, the 99th percentile and the slowest of 300
//! calls in ms, page after page. Then come the medians of alternating rounds of one second in
//! which batches of 64 messages are appended, without and with the indexer, and the median of
//! the ratios of neighbouring rounds. The last column is the load of the machine over the last
//! minute (Linux only): figures of a busy machine are too high.

use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use chat_core::{
    Body, ChangeRules, Draft, DraftId, MessageText, Nonce, Outcome, Pair, RoomName, SearchScope,
    SearchedWords, Topic, Username,
};
use chat_store::test_postgres::TestCluster;
use chat_store::{DatabaseUrl, NewUser, SearchQuery, Stores};
use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::{Rng as _, SeedableRng as _};
use uuid::Uuid;

const CALLS: usize = 300;
const ROOMS: u64 = 50;
const USERS: u64 = 200;

#[tokio::main(flavor = "current_thread")]
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
async fn append(stores: &Stores, writer: &mut Writer, count: u64) -> Result<u64, Box<dyn Error>> {
    let drafts = writer.batch(count)?;
    let commit = stores.log.append(&drafts, writer.at_ms()).await?;
    match commit.receipts.iter().find(|receipt| !matches!(receipt.outcome, Outcome::Stored { .. })) {
        Some(refused) => Err(format!("a message was not stored: {refused:?}").into()),
        None => Ok(count),
    }
}

/// Appends in rounds, in every second one of which messages are indexed as the server does it.
async fn appends(name: &str, stores: &Stores, writer: &mut Writer) -> Result<(), Box<dyn Error>> {
    let mut rates = [Vec::new(), Vec::new()];
    for round in 0..44 {
        let is_indexing = round % 2 == 1;
        let append = async {
            let (start, mut count) = (Instant::now(), 0);
            while start.elapsed() < Duration::from_secs(1) {
                count += append(stores, writer, 64).await?;
            }
            Ok::<_, Box<dyn Error>>(count as f64 / start.elapsed().as_secs_f64())
        };
        let index = async {
            if is_indexing {
                loop {
                    let start = Instant::now();
                    if stores.search.index_some(500).await.is_err() {
                        break;
                    }
                    tokio::time::sleep((start.elapsed() * 4).min(Duration::from_millis(250))).await;
                }
            }
            std::future::pending::<()>().await;
        };
        let rate = tokio::select! {
            rate = append => rate?,
            () = index => 0.0,
        };
        // The first rounds warm up.
        if round >= 4 {
            rates[usize::from(is_indexing)].push(rate);
        }
    }
    let ratios = rates[0].iter().zip(&rates[1]).map(|(without, with)| without / with).collect();
    let ratio = median(ratios);
    let [without, with] = rates.map(median);
    println!(
        "{name}: {without:.0} messages/s without the indexer, {with:.0} with it; one takes ×{ratio:.3} \
         as long (load {})",
        load()
    );
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
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

//! Files of messages: `kill -9` at random moments while users upload, send and delete. A file
//! whose upload, or whose message, was acknowledged is readable byte by byte by those who may
//! read it, and by nobody else; that of a message that was deleted is gone.

use std::error::Error;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chat_client::{
    Api, ApiError, AttachedFile, Client, ClientOptions, Credentials, NewFile, NewMessage, Rng, ServerUrl,
    Topic,
};
use tokio::task::JoinHandle;

use super::{DEADLINE, Verdict};
use crate::server::{Plan, Server};
use crate::{Files, Workload};

pub(crate) async fn files(options: &Files) -> Result<Verdict, Box<dyn Error>> {
    let seed = Workload { seed: options.seed, ..Workload::default() }.seed();
    println!("files on {:?}, seed {seed}", options.store);
    let Some(mut server) = Server::start(Plan::new(options.store, 2).flags(&FLAGS)).await? else {
        return Ok(Verdict::NotRun(format!("files on {:?}: it is not on this machine", options.store)));
    };
    let uploaders = Uploaders::start(&server, seed, Habit { pause_ms: 5..40, disk_fails: false }).await?;
    let mut rng = Rng::for_part(seed, 77);
    for _ in 0..options.kills {
        tokio::time::sleep(rng.milliseconds(100..900)).await;
        server.restart().await?;
    }
    // On a slow machine few rounds fit between the kills.
    let begun = Instant::now();
    while !uploaders.progress.is_enough(READ_MIN) && begun.elapsed() < DEADLINE {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let found = uploaders.check(&mut server, &[]).await?;
    let line = format!("files on {:?}: {} kills, {found}", options.store, options.kills);
    Ok(Verdict::of(found.is_good(READ_MIN), line))
}

/// Fewer files that were read prove little.
const READ_MIN: u64 = 20;

/// The flags of a server for [`Uploaders`].
pub(crate) const FLAGS: [&str; 4] = ["--uploads-per-minute", "1000000", "--disk-free-min-bytes", "0"];

/// Users who upload files, send and delete them.
pub(crate) struct Uploaders {
    apis: Vec<Api>,
    stop: Arc<AtomicBool>,
    progress: Arc<Progress>,
    writers: Vec<JoinHandle<Notes>>,
}

/// How many files [`Uploaders`] have: in messages, in none, and deleted.
#[derive(Default)]
struct Progress {
    sent: AtomicU64,
    unattached: AtomicU64,
    deleted: AtomicU64,
}

impl Progress {
    fn add(&self, fate: Fate, files: usize) {
        let count = match fate {
            Fate::InRoom | Fate::To(_) => &self.sent,
            Fate::Unattached => &self.unattached,
            Fate::Deleted => &self.deleted,
        };
        count.fetch_add(files as u64, Ordering::Relaxed);
    }

    /// Whether at least `min` files can be read, and there are some of each kind.
    fn is_enough(&self, min: u64) -> bool {
        let [sent, unattached, deleted] =
            [&self.sent, &self.unattached, &self.deleted].map(|count| count.load(Ordering::Relaxed));
        sent + unattached >= min && unattached > 0 && deleted > 0
    }
}

/// What users do, and what they expect.
#[derive(Clone)]
pub(crate) struct Habit {
    /// The pause between two messages of a user, in milliseconds.
    pub(crate) pause_ms: Range<u64>,
    /// Whether the server may say that it cannot store a file.
    pub(crate) disk_fails: bool,
}

impl Uploaders {
    /// Starts all users; `seed` decides what they do.
    pub(crate) async fn start(server: &Server, seed: u64, habit: Habit) -> Result<Self, Box<dyn Error>> {
        let names: Vec<String> = (0..USERS).map(|number| format!("uploader {number}")).collect();
        let cookies = server.accounts(&names).await?;
        let tokens: Vec<String> = cookies.iter().map(|cookie| cookie.replacen("auth=", "", 1)).collect();
        let address = format!("http://{}", server.address);
        let url = ServerUrl::parse(&address)?;
        let apis: Vec<Api> = tokens.iter().map(|token| Api::new(url.clone(), token)).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let progress = Arc::<Progress>::default();
        let mut writers = Vec::new();
        for (user, token) in tokens.iter().enumerate() {
            let mut client = ClientOptions::new(Credentials::Token(token.clone()));
            (client.session.backoff_min_ms, client.session.backoff_max_ms) = (10, 300);
            let (client, _) = Client::connect(&address, client).await?;
            client.join(ROOM).await?;
            let rng = Rng::for_part(seed, 3_000_000 + user as u64);
            let (names, habit) = (names.clone(), habit.clone());
            let (stop, progress) = (Arc::clone(&stop), Arc::clone(&progress));
            writers.push(tokio::spawn(Writer { user, names, client, rng, habit, stop, progress }.run()));
        }
        Ok(Self { apis, stop, progress, writers })
    }

    /// Stops all users, starts the server again, and compares it with what was acknowledged.
    /// An acknowledgement during one of `cuts` is no promise.
    pub(crate) async fn check(
        self,
        server: &mut Server,
        cuts: &[(Instant, Instant)],
    ) -> Result<FilesFound, Box<dyn Error>> {
        self.stop.store(true, Ordering::Relaxed);
        let mut notes = Notes::default();
        for writer in self.writers {
            let ended = tokio::time::timeout(DEADLINE, writer).await;
            notes.add(ended.map_err(|_| "a send was not answered")??);
        }
        server.restart().await?;

        let is_promised = |at: Instant| !cuts.iter().any(|(from, to)| (*from..=*to).contains(&at));
        let mut found = FilesFound { unanswered: notes.unanswered, ..FilesFound::default() };
        found.wrong.extend(notes.wrong.into_iter().filter(|(at, _)| is_promised(*at)).map(|(_, what)| what));
        for kept in &notes.kept {
            if !is_promised(kept.acked_at) {
                found.not_promised += 1;
            } else if let Err(what) = check(kept, &self.apis, &mut found).await {
                found.wrong.push(what);
            }
        }
        // Of what was not answered it is unknown whether it left bytes: an upload that a crash
        // broke off is looked for after a day.
        let may_be_there = notes.kept.len() as u64 - found.deleted + notes.unanswered;
        let objects = until_swept(&server.data().join("files"), may_be_there).await;
        if objects > may_be_there {
            found.wrong.push(format!("{objects} files in the folder, of at most {may_be_there}"));
        }
        for what in found.wrong.iter().take(20) {
            println!("  {what}");
        }
        Ok(found)
    }
}

/// What the server has of the files of [`Uploaders`].
#[derive(Default)]
pub(crate) struct FilesFound {
    /// Files that were read byte by byte.
    read: u64,
    /// Those of them that no message has.
    unattached: u64,
    /// Files that are gone with their messages.
    deleted: u64,
    /// Files of which something was acknowledged during a cut.
    not_promised: u64,
    /// Uploads without an answer.
    unanswered: u64,
    /// A sentence for each broken promise.
    wrong: Vec<String>,
}

impl FilesFound {
    /// Whether nothing is wrong, and at least `min` files were read.
    pub(crate) fn is_good(&self, min: u64) -> bool {
        self.wrong.is_empty() && self.read >= min && self.unattached > 0 && self.deleted > 0
    }
}

impl fmt::Display for FilesFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { read, unattached, deleted, not_promised, unanswered, wrong } = self;
        let wrong = wrong.len();
        write!(
            f,
            "{read} files read byte by byte ({unattached} of no message), {deleted} gone with their messages, \
             {not_promised} acknowledged during a cut, {unanswered} unanswered; {wrong} wrong"
        )
    }
}

/// A user who uploads files, sends and deletes them.
struct Writer {
    user: usize,
    names: Vec<String>,
    client: Client,
    rng: Rng,
    habit: Habit,
    stop: Arc<AtomicBool>,
    progress: Arc<Progress>,
}

/// The files of a user, as the answers of the server describe them.
#[derive(Default)]
struct Notes {
    kept: Vec<Kept>,
    /// Uploads without an answer.
    unanswered: u64,
    /// Broken promises, with the time of the promise.
    wrong: Vec<(Instant, String)>,
}

/// A file whose upload was acknowledged.
struct Kept {
    owner: usize,
    file: AttachedFile,
    /// Makes its content.
    seed: u64,
    fate: Fate,
    /// When the last thing was acknowledged.
    acked_at: Instant,
}

/// What the server has acknowledged of a file.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    /// No message has it.
    Unattached,
    /// It is in a message to the room.
    InRoom,
    /// It is in a message to this user.
    To(usize),
    /// Its message was deleted.
    Deleted,
}

impl Notes {
    fn add(&mut self, other: Self) {
        self.kept.extend(other.kept);
        self.unanswered += other.unanswered;
        self.wrong.extend(other.wrong);
    }
}

impl Writer {
    async fn run(mut self) -> Notes {
        let mut notes = Notes::default();
        while !self.stop.load(Ordering::Relaxed) {
            let pause = self.rng.milliseconds(self.habit.pause_ms.clone());
            tokio::time::sleep(pause).await;
            let count = self.rng.size(1, 3);
            let mut files = Vec::new();
            for _ in 0..count {
                if let Some(kept) = self.upload(&mut notes).await {
                    files.push(kept);
                }
            }
            if files.is_empty() || self.rng.index(8) == 0 {
                self.progress.add(Fate::Unattached, files.len());
                notes.kept.extend(files);
                continue;
            }
            let fate = self.send(&files, &mut notes).await;
            let acked_at = Instant::now();
            self.progress.add(fate, files.len());
            notes.kept.extend(files.into_iter().map(|kept| match fate {
                Fate::Unattached => kept,
                fate => Kept { fate, acked_at, ..kept },
            }));
        }
        self.client.close().await;
        notes
    }

    async fn upload(&mut self, notes: &mut Notes) -> Option<Kept> {
        let seed = self.rng.next_u64();
        let bytes = content(seed);
        let api = self.client.api().await?;
        let uploaded = api.upload_bytes(NewFile::new(format!("{seed:x}.txt")), bytes.clone()).await;
        let acked_at = Instant::now();
        match uploaded {
            Ok(file) => {
                if file.size != bytes.len() as u64 {
                    notes.wrong.push((acked_at, format!("{file:?} has {} bytes", bytes.len())));
                }
                Some(Kept { owner: self.user, file, seed, fate: Fate::Unattached, acked_at })
            }
            Err(ApiError::Refused { status: 500.., .. }) if self.habit.disk_fails => {
                notes.unanswered += 1;
                None
            }
            Err(ApiError::Refused { status, message }) => {
                notes.wrong.push((acked_at, format!("an upload was refused: {status} {message}")));
                None
            }
            Err(_) => {
                notes.unanswered += 1;
                None
            }
        }
    }

    /// Sends a message with these files, and deletes some of the messages. Waits for the
    /// acknowledgements, across kills.
    async fn send(&mut self, files: &[Kept], notes: &mut Notes) -> Fate {
        let other = (self.user + 1 + self.rng.index(USERS - 1)) % USERS;
        let (topic, fate) = match self.rng.index(4) {
            0 => (Topic::private(&self.names[other]), Fate::To(other)),
            _ => (Topic::room(ROOM), Fate::InRoom),
        };
        let text = if self.rng.index(2) == 0 { "" } else { "look" };
        let mut message = NewMessage::new(topic.clone(), text);
        message.files = files.iter().map(|kept| kept.file.clone()).collect();
        let receipt = match self.client.send_message(message).await {
            Ok(receipt) => receipt,
            Err(error) => {
                let first = files.iter().map(|kept| kept.acked_at).min().unwrap_or_else(Instant::now);
                notes.wrong.push((first, format!("files that were uploaded were not sent: {error}")));
                return Fate::Unattached;
            }
        };
        if self.rng.index(3) > 0 {
            return fate;
        }
        let sent_at = Instant::now();
        match self.client.delete(topic, receipt.seq).await {
            Ok(_) => Fate::Deleted,
            Err(error) => {
                notes.wrong.push((sent_at, format!("a message was not deleted: {error}")));
                fate
            }
        }
    }
}

/// Checks who can read a file, and that its bytes are those that were uploaded.
async fn check(kept: &Kept, apis: &[Api], counts: &mut FilesFound) -> Result<(), String> {
    let next = (kept.owner + 1) % USERS;
    let (readers, strangers) = match kept.fate {
        Fate::Unattached => (vec![kept.owner], vec![next]),
        Fate::InRoom => (vec![kept.owner, next], vec![]),
        Fate::To(other) => {
            (vec![kept.owner, other], (0..USERS).filter(|user| ![kept.owner, other].contains(user)).collect())
        }
        Fate::Deleted => (vec![], vec![kept.owner, next]),
    };
    let what = |found: &str| format!("{:?} of user {}, {:?}: {found}", kept.file, kept.owner, kept.fate);
    for reader in readers {
        let download =
            apis[reader].download(&kept.file, None).await.map_err(|error| what(&error.to_string()))?;
        let bytes = download.bytes(CONTENT_MAX + 1).await.map_err(|error| what(&error.to_string()))?;
        if bytes != content(kept.seed) {
            return Err(what(&format!("{} other bytes", bytes.len())));
        }
    }
    for stranger in strangers {
        match apis[stranger].download(&kept.file, None).await {
            Err(ApiError::Refused { status: 404, .. }) => {}
            Err(error) => return Err(what(&error.to_string())),
            Ok(_) => return Err(what(&format!("user {stranger} can read it"))),
        }
    }
    match kept.fate {
        Fate::Deleted => counts.deleted += 1,
        Fate::Unattached => {
            counts.unattached += 1;
            counts.read += 1;
        }
        Fate::InRoom | Fate::To(_) => counts.read += 1,
    }
    Ok(())
}

/// The content of a file: some have no bytes, most have some, a few have many.
fn content(seed: u64) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    let bytes = match rng.index(10) {
        0 => 0,
        1 => rng.size(100_000, CONTENT_MAX as u64),
        _ => rng.size(1, 10_000),
    };
    // Text: a picture would lose its metadata.
    std::iter::repeat_with(|| b'a' + (rng.next_u64() % 26) as u8).take(bytes).collect()
}

/// Waits until the server has removed what it may, and counts the files in its folder.
async fn until_swept(folder: &Path, most: u64) -> u64 {
    let started = Instant::now();
    loop {
        let objects = files_in(folder);
        if objects <= most || started.elapsed() > SWEPT_WITHIN {
            return objects;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn files_in(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { files_in(&entry.path()) } else { 1 }).sum()
}

const ROOM: &str = "files";
const USERS: usize = 4;
const CONTENT_MAX: usize = 300_000;
/// The server looks for deleted files when it starts, and after each deletion.
const SWEPT_WITHIN: Duration = Duration::from_secs(10);

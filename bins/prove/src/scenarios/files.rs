//! Files of messages: `kill -9` at random moments while users upload, send and delete. A file
//! whose upload, or whose message, was acknowledged is readable byte by byte by those who may
//! read it, and by nobody else; that of a message that was deleted is gone.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chat_client::{
    Api, ApiError, AttachedFile, Client, ClientOptions, Credentials, NewFile, NewMessage, Rng, ServerUrl,
    Topic,
};

use super::{DEADLINE, Verdict};
use crate::server::{Plan, Server};
use crate::{Files, Workload};

pub(crate) async fn files(options: &Files) -> Result<Verdict, Box<dyn Error>> {
    let seed = Workload { seed: options.seed, ..Workload::default() }.seed();
    println!("files on {:?}, seed {seed}", options.store);
    let plan = Plan::new(options.store, 2).flags(&["--uploads-per-minute", "1000000"]);
    let Some(mut server) = Server::start(plan).await? else {
        return Ok(Verdict::NotRun(format!("files on {:?}: it is not on this machine", options.store)));
    };
    let names: Vec<String> = (0..USERS).map(|number| format!("user {number}")).collect();
    let cookies = server.accounts(&names).await?;
    let tokens: Vec<String> = cookies.iter().map(|cookie| cookie.replacen("auth=", "", 1)).collect();
    let address = format!("http://{}", server.address);
    let url = ServerUrl::parse(&address)?;
    let apis: Vec<Api> = tokens.iter().map(|token| Api::new(url.clone(), token)).collect();

    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for (user, token) in tokens.iter().enumerate() {
        let mut client = ClientOptions::new(Credentials::Token(token.clone()));
        (client.session.backoff_min_ms, client.session.backoff_max_ms) = (10, 300);
        let (client, _) = Client::connect(&address, client).await?;
        client.join(ROOM).await?;
        let rng = Rng::for_part(seed, user as u64);
        let writer = Writer { user, names: names.clone(), client, rng, stop: Arc::clone(&stop) };
        writers.push(tokio::spawn(writer.run()));
    }
    let mut rng = Rng::for_part(seed, 77);
    for _ in 0..options.kills {
        tokio::time::sleep(rng.milliseconds(100..900)).await;
        server.restart().await?;
    }
    stop.store(true, Ordering::Relaxed);
    let mut notes = Notes::default();
    for writer in writers {
        notes.add(tokio::time::timeout(DEADLINE, writer).await.map_err(|_| "a send was not answered")??);
    }
    server.restart().await?;

    let mut wrong = std::mem::take(&mut notes.wrong);
    let mut counts = Counts::default();
    for kept in &notes.kept {
        if let Err(found) = check(kept, &apis, &mut counts).await {
            wrong.push(found);
        }
    }
    // Of what was not answered it is unknown whether it left bytes: an upload that a crash
    // broke off is looked for after a day.
    let may_be_there = notes.kept.len() as u64 - counts.deleted + notes.unanswered;
    let objects = until_swept(&server.data().join("files"), may_be_there).await;
    if objects > may_be_there {
        wrong.push(format!("{objects} files in the folder, of at most {may_be_there}"));
    }
    for found in wrong.iter().take(20) {
        println!("  {found}");
    }
    let line = format!(
        "files on {:?}: {} kills, {} files read byte by byte ({} of no message), {} gone with their \
         messages, {} unanswered; {} wrong",
        options.store,
        options.kills,
        counts.read,
        counts.unattached,
        counts.deleted,
        notes.unanswered,
        wrong.len(),
    );
    let is_enough = counts.read > 20 && counts.unattached > 0 && counts.deleted > 0;
    Ok(Verdict::of(wrong.is_empty() && is_enough, line))
}

/// A user who uploads files, sends and deletes them.
struct Writer {
    user: usize,
    names: Vec<String>,
    client: Client,
    rng: Rng,
    stop: Arc<AtomicBool>,
}

/// The files of a user, as the answers of the server describe them.
#[derive(Default)]
struct Notes {
    kept: Vec<Kept>,
    /// Uploads without an answer.
    unanswered: u64,
    wrong: Vec<String>,
}

/// A file whose upload was acknowledged.
struct Kept {
    owner: usize,
    file: AttachedFile,
    /// Makes its content.
    seed: u64,
    fate: Fate,
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

#[derive(Default)]
struct Counts {
    read: u64,
    unattached: u64,
    deleted: u64,
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
            let pause = self.rng.milliseconds(5..40);
            tokio::time::sleep(pause).await;
            let count = self.rng.size(1, 3);
            let mut files = Vec::new();
            for _ in 0..count {
                if let Some(kept) = self.upload(&mut notes).await {
                    files.push(kept);
                }
            }
            if files.is_empty() || self.rng.index(8) == 0 {
                notes.kept.extend(files);
                continue;
            }
            let fate = self.send(&files, &mut notes).await;
            notes.kept.extend(files.into_iter().map(|kept| Kept { fate, ..kept }));
        }
        self.client.close().await;
        notes
    }

    async fn upload(&mut self, notes: &mut Notes) -> Option<Kept> {
        let seed = self.rng.next_u64();
        let bytes = content(seed);
        let api = self.client.api().await?;
        let uploaded = api.upload_bytes(NewFile::new(format!("{seed:x}.txt")), bytes.clone()).await;
        match uploaded {
            Ok(file) => {
                if file.size != bytes.len() as u64 {
                    notes.wrong.push(format!("{file:?} has {} bytes", bytes.len()));
                }
                Some(Kept { owner: self.user, file, seed, fate: Fate::Unattached })
            }
            Err(ApiError::Refused { status, message }) => {
                notes.wrong.push(format!("an upload was refused: {status} {message}"));
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
                notes.wrong.push(format!("files that were uploaded were not sent: {error}"));
                return Fate::Unattached;
            }
        };
        if self.rng.index(3) > 0 {
            return fate;
        }
        match self.client.delete(topic, receipt.seq).await {
            Ok(_) => Fate::Deleted,
            Err(error) => {
                notes.wrong.push(format!("a message was not deleted: {error}"));
                fate
            }
        }
    }
}

/// Checks who can read a file, and that its bytes are those that were uploaded.
async fn check(kept: &Kept, apis: &[Api], counts: &mut Counts) -> Result<(), String> {
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

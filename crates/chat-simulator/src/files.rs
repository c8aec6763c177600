//! Files: uploads on their way through a server, sweeps, and users who read files. The bytes
//! are a set of ids; what the database knows of them is the product's own.

use std::collections::BTreeSet;

use chat_core::{AttachedFile, FileId, FileName, FileQuotas, MediaType, ReservedFile, Username};

use crate::oracle::{Check, ensure};
use crate::people::users;
use crate::world::{Event, NODES, NodeState, World};

/// A file that a user uploads to a server.
#[derive(Debug, Clone)]
pub(crate) struct Upload {
    pub(crate) user: Username,
    pub(crate) node: usize,
    pub(crate) boot: u64,
    pub(crate) file: AttachedFile,
    step: Step,
}

/// What an upload does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The bytes get their name.
    Write,
    /// The database learns that they are stored.
    Store { is_repeated: bool },
    /// The user learns the id.
    Tell,
}

/// A sweep of a server.
#[derive(Debug, Clone)]
pub(crate) struct Sweep {
    pub(crate) node: usize,
    pub(crate) boot: u64,
    ids: Vec<FileId>,
    /// The bytes are removed; the database is still to forget them.
    is_removed: bool,
}

/// What the world has of files, beside what the log knows.
#[derive(Default)]
pub(crate) struct Files {
    /// The files whose bytes are stored.
    pub(crate) bytes: BTreeSet<FileId>,
    /// The files whose ids their users know, and the messages that they will attach them to are
    /// still to be written.
    known: Vec<(Username, FileId)>,
    /// All that were ever stored.
    all: Vec<FileId>,
}

impl World {
    // Uploads.

    /// A user begins to upload a file.
    pub(crate) fn upload(&mut self) {
        let up = |node: &usize| self.nodes[*node].state == NodeState::Up;
        let nodes: Vec<usize> = (0..NODES).filter(up).collect();
        let all: Vec<Username> = users().collect();
        let user = all[self.random.index(all.len())].clone();
        if nodes.is_empty() || self.is_log_out() {
            return;
        }
        let node = nodes[self.random.index(nodes.len())];
        let file = self.some_file();
        let reserved = ReservedFile { id: file.id, owner: user.clone(), bytes: FILE_MAX_BYTES };
        let quotas = FileQuotas { user_bytes: self.plan.user_files_max_bytes, all_bytes: None };
        let is_reserved = self.log.reserve_file(&reserved, quotas, self.now_ms).is_ok();
        self.oracle.count(if is_reserved { "upload" } else { "upload over quota" });
        if !is_reserved {
            return;
        }
        self.note(|| format!("    server {node} reserves {file:?} of {user}"));
        self.oracle.reserved(&user, &file, self.now_ms);
        if self.random.chance(self.rates.lost_answer) {
            // The server does not know it, and takes no bytes.
            self.oracle.count("upload broke");
            return;
        }
        let boot = self.nodes[node].boot;
        let write_ms = self.random.between(0, WRITE_MS);
        self.after(write_ms, Event::Upload(Box::new(Upload { user, node, boot, file, step: Step::Write })));
    }

    fn some_file(&mut self) -> AttachedFile {
        let bits = (u128::from(self.random.next_u64()) << 64) | u128::from(self.random.next_u64());
        let name = NAMES[self.random.index(NAMES.len())];
        let (width, height) = (self.random.between(1, 4_000) as u32, self.random.between(1, 4_000) as u32);
        let is_picture = self.random.chance(500);
        AttachedFile {
            id: FileId::from_bytes(bits.to_be_bytes()),
            name: FileName::clean(name).expect("a good name"),
            media_type: MediaType::parse(if is_picture { "image/png" } else { "text/plain" })
                .expect("a good type"),
            size: self.random.between(0, FILE_MAX_BYTES),
            dimensions: is_picture.then_some((width, height)),
        }
    }

    /// The next step of an upload.
    pub(crate) fn uploads(&mut self, upload: &Upload) -> Check {
        let Upload { user, node, boot, file, step } = upload.clone();
        if self.nodes[node].boot != boot {
            self.oracle.count("upload broke");
            return Ok(());
        }
        let next = |step| Event::Upload(Box::new(Upload { step, ..upload.clone() }));
        match step {
            Step::Write => {
                if self.random.chance(self.rates.reset) {
                    self.drop_upload(&file.id);
                    return Ok(());
                }
                ensure(self.log.has_file(&file.id), || format!("the bytes of {} have no row", file.id))?;
                self.files.bytes.insert(file.id);
                let store_ms = self.random.between(0, STORE_MS);
                self.after(store_ms, next(Step::Store { is_repeated: false }));
            }
            Step::Store { is_repeated } => {
                let fails = self.is_log_out() || self.random.chance(self.rates.fail);
                if !fails {
                    let is_stored = self.log.store_file(&user, &file, self.now_ms);
                    ensure(is_stored, || format!("{} was swept while it was uploaded", file.id))?;
                    self.note(|| format!("    server {node} stores {}", file.id));
                    self.oracle.stored_file(&file.id, self.now_ms);
                }
                let is_answered = !fails && !self.random.chance(self.rates.lost_answer);
                if is_answered {
                    self.after(1, next(Step::Tell));
                } else if is_repeated {
                    self.drop_upload(&file.id);
                } else {
                    let again_ms = self.random.between(1, STORE_MS);
                    self.after(again_ms, next(Step::Store { is_repeated: true }));
                }
            }
            Step::Tell => {
                self.files.all.push(file.id);
                // Its answer may be lost as well.
                if !self.random.chance(self.rates.lost_answer) {
                    self.oracle.count("uploaded");
                    self.files.known.push((user, file.id));
                }
            }
        }
        Ok(())
    }

    /// An upload has failed: its server marks what there is of it, if it can.
    fn drop_upload(&mut self, id: &FileId) {
        self.oracle.count("upload broke");
        if !self.is_log_out() {
            self.log.drop_file(id);
            self.oracle.dropped(id);
        }
    }

    /// The files that a user attaches to a message.
    pub(crate) fn some_files(&mut self, user: &Username) -> Vec<FileId> {
        let mut files = Vec::new();
        if !self.random.chance(self.rates.files) {
            return files;
        }
        let count = if self.random.chance(50) { self.random.size(4, 12) } else { self.random.size(1, 3) };
        for _ in 0..count {
            let kind = self.random.between(0, 99);
            let other = self.random.index(self.files.all.len());
            let id = match kind {
                // Any file: another's, attached before, or deleted.
                0..=7 => self.files.all.get(other).copied(),
                // One that there never was.
                8 => Some(self.some_file().id),
                _ => {
                    let position = self.files.known.iter().rposition(|(of, _)| of == user);
                    // Some are attached to two messages.
                    position.map(|position| match self.random.chance(900) {
                        true => self.files.known.remove(position).1,
                        false => self.files.known[position].1,
                    })
                }
            };
            // The hub refuses a list that has one twice.
            files.extend(id.filter(|id| !files.contains(id) || self.random.chance(50)));
        }
        files
    }

    // Reading.

    /// A user asks for a file.
    pub(crate) fn look_at_a_file(&mut self) -> Check {
        let all: Vec<Username> = users().collect();
        let user = all[self.random.index(all.len())].clone();
        // Mostly a new one: the old ones are gone.
        let count = self.files.all.len();
        let from = if self.random.chance(700) { count.saturating_sub(NEW) } else { 0 };
        let index = from + self.random.index(count - from);
        let Some(&id) = self.files.all.get(index) else { return Ok(()) };
        self.check_reader(&user, &id)
    }

    /// Checks whether a user may read a file.
    fn check_reader(&mut self, user: &Username, id: &FileId) -> Check {
        let shown = self.log.readable_file(id, user);
        self.oracle.count(if shown.is_some() { "file read" } else { "file not found" });
        let expected = self.oracle.readable(user, id, self.now_ms);
        ensure(expected.is_none_or(|expected| expected == shown.is_some()), || {
            format!("{user} reads {shown:?}, which is {:?}", self.oracle.file(id))
        })?;
        let Some(shown) = shown else { return Ok(()) };
        let file = self.oracle.file(id);
        ensure(file.is_some_and(|file| file.file == shown), || format!("{shown:?} is {file:?}"))?;
        ensure(self.files.bytes.contains(id), || format!("the bytes of {file:?} are lost"))
    }

    // Sweeps.

    /// A server looks for files that are to be removed.
    pub(crate) fn sweep(&mut self, node: usize, boot: u64) -> Check {
        if self.nodes[node].boot != boot || self.nodes[node].state == NodeState::Down {
            return Ok(());
        }
        let max = self.plan.sweep_max;
        let mut is_full = false;
        if !self.is_log_out() && !self.random.chance(self.rates.fail) {
            let before_ms = self.now_ms.saturating_sub(self.plan.unattached_ms);
            let ids = self.log.files_to_delete(before_ms, max);
            ensure(ids.len() <= max, || format!("{} files, more than {max}", ids.len()))?;
            for id in &ids {
                self.oracle.may_be_swept(id, self.now_ms)?;
            }
            is_full = ids.len() == max;
            if !ids.is_empty() {
                self.note(|| format!("    server {node} sweeps {ids:?}"));
                let sweep = Sweep { node, boot, ids, is_removed: false };
                let remove_ms = self.random.between(0, 300);
                self.after(remove_ms, Event::Sweep(Box::new(sweep)));
            }
        }
        // Another server may look meanwhile, and this one before it has removed them.
        let pause_ms = if is_full { 100 } else { self.random.between(300, 1_500) };
        self.after(pause_ms, Event::LookForFiles { node, boot });
        Ok(())
    }

    /// The next step of a sweep.
    pub(crate) fn sweeps(&mut self, mut sweep: Sweep) -> Check {
        if self.nodes[sweep.node].boot != sweep.boot {
            self.oracle.count("sweep broke");
            return Ok(());
        }
        let forgets = sweep.is_removed != self.log.forgets_first();
        if forgets {
            if self.is_log_out() {
                return Ok(());
            }
            self.log.forget_files(&sweep.ids);
            for id in &sweep.ids {
                let is_orphan = self.files.bytes.contains(id) && !self.log.has_file(id);
                ensure(!is_orphan, || format!("the bytes of {id} have no row"))?;
            }
        } else {
            for id in &sweep.ids {
                self.oracle.may_be_swept(id, self.now_ms)?;
            }
            let fails = self.rates.read_fails;
            // What could not be removed is found again.
            sweep.ids.retain(|_| !self.random.chance(fails));
            for id in &sweep.ids {
                if self.files.bytes.remove(id) {
                    self.oracle.count("file swept");
                }
            }
        }
        if !std::mem::replace(&mut sweep.is_removed, true) {
            let forget_ms = self.random.between(0, 300);
            self.after(forget_ms, Event::Sweep(Box::new(sweep)));
        }
        Ok(())
    }

    /// Checks, at the end, that everything is stored that must be, and nothing else.
    pub(crate) fn check_files(&mut self) -> Check {
        let ids: Vec<FileId> = self.oracle.files().map(|(id, _)| *id).collect();
        for id in &ids {
            let (has_bytes, has_row) = (self.files.bytes.contains(id), self.log.has_file(id));
            let Some(is_there) = self.oracle.must_be_there(id, self.now_ms, SWEPT_MS) else { continue };
            ensure(has_bytes == is_there && has_row == is_there, || {
                let file = self.oracle.file(id);
                format!("bytes: {has_bytes}, row: {has_row} of {file:?}")
            })?;
            for user in users() {
                self.check_reader(&user, id)?;
            }
        }
        let orphan = self.files.bytes.iter().find(|id| !ids.contains(id));
        ensure(orphan.is_none(), || format!("nobody uploaded {orphan:?}"))
    }

    /// Checks that a commit, or retention, names the files that it has taken back.
    pub(crate) fn check_taken_back(&mut self, taken_back: &[FileId]) -> Check {
        let mut named = taken_back.to_vec();
        named.sort();
        let mut expected = self.oracle.take_files_taken_back();
        expected.sort();
        ensure(named == expected, || format!("{named:?} are taken back, not {expected:?}"))
    }
}

const NAMES: [&str; 5] = ["a.png", "отчёт за год.pdf", "a b&c.txt", "no extension", "\u{1F600}.gif"];
/// How many files are new.
const NEW: usize = 15;
/// The most bytes of a file.
pub(crate) const FILE_MAX_BYTES: u64 = 1_000;
/// The longest time in which bytes are written, and the database takes a row, in milliseconds:
/// an upload with a repetition ends before the least [`Plan::unattached_ms`](crate::rates::Plan).
const WRITE_MS: u64 = 1_200;
const STORE_MS: u64 = 400;
/// The time after which a file that is to be removed must be gone, in milliseconds.
const SWEPT_MS: u64 = 8_000;

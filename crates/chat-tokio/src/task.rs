//! The task that owns the hub: its turns, its clients, and its way to the log.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chat_core::{
    Answer, ChangeRefused, ClientId, CloseCode, Commit, Hub, HubOptions, Input, Now, Output, Query, ReadId,
    RoomChange, Seed, Topic, UserMark, Write,
};
use chat_shard::{
    Action, Batch, Failure, Held, HeldInput, Inbox, Item, LogQueue, MARKS_MAX, Marks, QueuedChange, Routing,
    Turn, Work, drafts_by_lane, retried,
};
use chat_store::{EventLog, FEED_BEAT_MS, StoreError};
use slab::Slab;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::driver::{Command, DriverOptions, Opening};
use crate::line::{Line, Touched};

/// The hub, and everything that its outputs act upon.
pub(crate) struct Task {
    options: DriverOptions,
    log: Arc<dyn EventLog>,
    commands: mpsc::Receiver<Command>,
    touched: Arc<Touched>,
    started: Instant,
    turn: Turn<ChangeAnswer>,
    inbox: Inbox<ChangeAnswer>,
    routing: Routing,
    queue: LogQueue<oneshot::Sender<Result<(), ChangeRefused>>>,
    /// For each lane of the log: a batch or a change is on its way.
    is_busy: Vec<bool>,
    marks: Marks,
    /// When marks may be stored next; `None` while some are being stored.
    marks_at: Option<Instant>,
    /// Reads and writes of the log.
    jobs: JoinSet<Done>,
    clients: Slab<Client>,
    /// Clients whose numbers are free once no output can name them any more.
    ended: Vec<usize>,
    stopping: Option<Stopping>,
    /// Another process is a copy of this one: the chat ends at once.
    is_copy: watch::Sender<bool>,
}

struct Client {
    line: Arc<Line>,
    held: Held,
    /// The hub was not told that it is closed.
    in_hub: bool,
}

/// The outcome of a change, which is told once the hub has the change.
struct ChangeAnswer(oneshot::Sender<Result<(), ChangeRefused>>, Result<(), ChangeRefused>);

/// The driver stops.
struct Stopping {
    answers: Vec<oneshot::Sender<()>>,
    /// Clients that are still there then are not waited for. `None` until the hub is drained.
    until: Option<Instant>,
}

/// A job of the log is done.
enum Done {
    Read(ReadId, Answer),
    Batch(usize, Batch, Result<Commit, StoreError>),
    Change(usize, Change, Result<Result<Vec<RoomChange>, ChangeRefused>, StoreError>),
    Marks(Vec<UserMark>, bool),
}

type Change = QueuedChange<oneshot::Sender<Result<(), ChangeRefused>>>;

impl Task {
    pub(crate) fn new(
        options: DriverOptions,
        log: Arc<dyn EventLog>,
        seed: Seed,
        commands: mpsc::Receiver<Command>,
        touched: Arc<Touched>,
        is_copy: watch::Sender<bool>,
    ) -> Self {
        let lanes = log.lanes().max(1);
        let hub =
            HubOptions { epoch: log.epoch().into(), topics_side_by_side: lanes > 1, ..options.hub.clone() };
        let started = Instant::now();
        Self {
            turn: Turn::new(Hub::new(hub, seed), lanes),
            inbox: Inbox::new(options.inbox_max_bytes),
            routing: Routing::default(),
            queue: LogQueue::new(lanes, 1, options.append_queue_max),
            is_busy: vec![false; lanes],
            marks: Marks::new(MARKS_MAX),
            marks_at: Some(started),
            jobs: JoinSet::new(),
            clients: Slab::new(),
            ended: Vec::new(),
            stopping: None,
            is_copy,
            options,
            log,
            commands,
            touched,
            started,
        }
    }

    /// Runs turns until the driver is stopped.
    pub(crate) async fn run(self) {
        let log = Arc::clone(&self.log);
        tokio::select! {
            () = self.run_turns() => {}
            () = keep_alive(&*log) => {}
        }
    }

    async fn run_turns(mut self) {
        let mut waiting = Vec::new();
        loop {
            let now = self.now();
            // Taken before the commands: a client that is gone has sent all of them.
            let touched = self.touched.take();
            while let Ok(command) = self.commands.try_recv() {
                waiting.push(command);
                if waiting.len() > self.options.commands_max {
                    break;
                }
            }
            for command in waiting.drain(..) {
                self.obey(command, now);
            }
            for line in touched {
                self.look_at(&line, now);
            }
            self.end_turn(now);
            while let Some(items) = self.inbox.take() {
                for item in items {
                    if self.turn.ends_before(&item) {
                        self.end_turn(now);
                    }
                    if let Some(answer) = self.turn.take(item, now) {
                        self.turn.answer_at_end(answer);
                    }
                }
                self.end_turn(now);
            }
            if self.turn.hub().next_tick_ms() <= now.mono_ms {
                self.turn.step(now, Input::Tick);
                self.end_turn(now);
            }
            self.start_writes(now);
            if self.has_stopped() {
                break;
            }
            if !self.inbox.is_empty() {
                continue;
            }
            let due = self.due();
            tokio::select! {
                           command = self.commands.recv() => match command {
                               Some(command) => waiting.push(command),
                               // No handle and no connection is left.
                               None => self.stop(None, self.now()),
                           },
                           () = self.touched.wake.notified() => {}
                           Some(done) = self.jobs.join_next() => match done {
            Ok(done) => self.finish(done),
            // Without its job a lane would stand still: the chat ends.
            Err(error) => { tracing::error!(%error, "a call of the log panicked"); break; } },
                           () = sleep_until(due) => {}
                       }
        }
    }

    fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Now { mono_ms: ms(self.started.elapsed()), wall_ms: ms(wall) }
    }

    /// When the task has to look again, at the latest.
    fn due(&self) -> Instant {
        let tick = self.started + Duration::from_millis(self.turn.hub().next_tick_ms());
        let marks = self.marks_at.filter(|_| !self.marks.is_empty());
        let until = self.stopping.as_ref().and_then(|stopping| stopping.until);
        [marks, until].into_iter().flatten().fold(tick, Instant::min)
    }

    fn obey(&mut self, command: Command, now: Now) {
        match command {
            Command::Open(line, opening) => self.open(line, opening, now),
            Command::Frame(line, text) => {
                if let Some(id) = self.id_of(&line) {
                    let is_paused = self.turn.hub().is_paused(client_id(id));
                    let held = &mut self.clients[id].held;
                    if held.goes_past(is_paused) {
                        self.frame(id, &text, now);
                    } else {
                        held.hold(&text);
                    }
                }
            }
            Command::Goodbye(line) => {
                if let Some(id) = self.id_of(&line) {
                    self.clients[id].held.end();
                    self.release(id, now);
                }
            }
            Command::Change(wanted, answer) => {
                let lane = self.log.lane(&Topic::Room(wanted.room().clone()));
                if !self.queue.change(lane, wanted, now.wall_ms, answer) {
                    tracing::warn!("a change of a room was refused, because too many wait");
                }
            }
            Command::Revoke(session) => self.turn.step(now, Input::Revoked { session: &session }),
            Command::EndUser(user) => self.turn.step(now, Input::UserEnded { user: &user }),
            Command::Stop(answer) => self.stop(Some(answer), now),
        }
    }

    fn open(&mut self, line: Arc<Line>, opening: Opening, now: Now) {
        let Opening { user, session, good_for, protocol } = opening;
        let is_gone = line.state().halves == 0;
        if is_gone || self.stopping.is_some() {
            return line.close(None);
        }
        let slot = self.clients.vacant_entry();
        let client = client_id(slot.key());
        line.state().id = Some(client);
        slot.insert(Client { line, held: Held::default(), in_hub: true });
        let good_for_ms = good_for.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let session = session.as_ref();
        self.turn.step(now, Input::Open { client, user: &user, session, good_for_ms, protocol });
    }

    /// The index of a line that is still a client.
    fn id_of(&self, line: &Arc<Line>) -> Option<usize> {
        let id = line.state().id?.0 as usize;
        self.clients.get(id).is_some_and(|client| Arc::ptr_eq(&client.line, line)).then_some(id)
    }

    fn frame(&mut self, id: usize, text: &str, now: Now) {
        self.clients[id].line.permits.add_permits(1);
        self.turn.step(now, Input::Frame { client: client_id(id), text });
    }

    /// Hands over what is held of a client, as long as the hub takes it.
    fn release(&mut self, id: usize, now: Now) {
        let client = client_id(id);
        while let Some(found) = self.clients.get_mut(id)
            && let Some(input) = found.held.next(self.turn.hub().is_paused(client))
        {
            match input {
                HeldInput::Message(text) => self.frame(id, &text, now),
                HeldInput::Goodbye => self.turn.step(now, Input::Goodbye { client }),
            }
        }
    }

    /// The receiver of a line has taken bytes, or its connection is gone.
    fn look_at(&mut self, line: &Arc<Line>, now: Now) {
        let Some(id) = self.id_of(line) else { return };
        let state = line.state();
        let (is_gone, bytes) = (state.halves == 0, state.bytes.len() + state.taken);
        drop(state);
        let client = client_id(id);
        if is_gone {
            self.close_in_hub(client, now);
            self.ended.push(id);
        } else if self.clients[id].in_hub {
            self.turn.step(now, Input::Pending { client, bytes });
        }
    }

    fn close_in_hub(&mut self, client: ClientId, now: Now) {
        let found = &mut self.clients[client.0 as usize];
        found.held.clear();
        if std::mem::take(&mut found.in_hub) {
            self.turn.step(now, Input::Closed { client });
        }
    }

    /// Performs the actions of the turn, and frees the numbers of clients that are gone.
    fn end_turn(&mut self, now: Now) {
        while let Some(action) = self.turn.next_action() {
            match action {
                Action::Output(output) => self.perform(output, now),
                Action::Drafted => {}
                Action::Release(client) => self.release(client.0 as usize, now),
                Action::HandOver(drafts) => {
                    let lanes = self.is_busy.len();
                    let drafts = drafts_by_lane(drafts, lanes, |topic| self.log.lane(topic));
                    let failures = self.queue.accept(0, drafts, self.turn.failures_seen());
                    failures.into_iter().for_each(|failure| self.fail(failure));
                }
                Action::Answer(ChangeAnswer(answer, outcome)) => {
                    // The caller may have given up.
                    let _ = answer.send(outcome);
                }
            }
        }
        for id in self.ended.drain(..) {
            self.clients.remove(id);
        }
    }

    fn perform(&mut self, output: Output, now: Now) {
        match output {
            Output::Write(write) => self.write(&write, now),
            Output::Close { client, code } => {
                if let Some(found) = self.clients.get(client.0 as usize) {
                    found.line.close(Some(code));
                    self.close_in_hub(client, now);
                }
            }
            Output::Read { id, query } => self.read(id, query),
            Output::Keep(mark) => self.marks.add(mark),
            Output::Subscribe(subscription) => self.routing.subscribe(0, subscription),
            Output::Unsubscribe(subscription) => self.routing.unsubscribe(0, &subscription),
            // Drafts and resumed clients are actions of their own, a paused client is noticed
            // before each frame, and there is no other hub.
            Output::Append(_) | Output::Pause(_) | Output::Resume(_) => {}
            Output::Presence(_) | Output::Typing(_) => {}
        }
    }

    /// Adds bytes to what waits for each recipient. A client for which too many wait is closed.
    fn write(&mut self, write: &Write, now: Now) {
        let recipients = self.turn.recipients(write).to_vec();
        for client in recipients {
            let Some(found) = self.clients.get(client.0 as usize) else { continue };
            let mut state = found.line.state();
            if state.end.is_some() {
                continue;
            }
            state.bytes.extend_from_slice(self.turn.bytes(write));
            let waiting = state.bytes.len() + state.taken;
            let is_too_slow = waiting > self.options.outbox_max_bytes;
            if is_too_slow {
                state.bytes = Vec::new();
            }
            drop(state);
            if is_too_slow {
                found.line.close(Some(CloseCode::TryAgainLater));
                self.close_in_hub(client, now);
            } else {
                found.line.readable.notify_one();
                self.turn.step(now, Input::Pending { client, bytes: waiting });
            }
        }
    }

    fn read(&mut self, id: ReadId, query: Query) {
        let (log, read_timeout) = (Arc::clone(&self.log), self.options.read_timeout);
        self.jobs.spawn(async move {
            let answer = match timeout(read_timeout, log.answer(&query)).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(error)) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "the log could not be read");
                    Answer::Failed
                }
                Err(_) => {
                    tracing::error!("the log did not answer a read in time");
                    Answer::Failed
                }
            };
            Done::Read(id, answer)
        });
    }

    /// Starts what may be written: in each lane one batch or change, and marks.
    fn start_writes(&mut self, now: Now) {
        let mut failures = Vec::new();
        for lane in 0..self.is_busy.len() {
            if self.is_busy[lane] {
                continue;
            }
            let log = Arc::clone(&self.log);
            match self.queue.next(lane, self.options.batch_max.max(1), &mut failures) {
                Some(Work::Batch(batch)) => {
                    self.jobs.spawn(async move {
                        let stored = log.append(&batch.drafts, now.wall_ms).await;
                        Done::Batch(lane, batch, stored)
                    });
                }
                Some(Work::Change(change)) => {
                    self.jobs.spawn(async move {
                        if change.failed > 0 {
                            sleep(REPEAT_AFTER).await;
                        }
                        let made = log.change(&change.wanted, change.now_ms).await;
                        Done::Change(lane, change, made)
                    });
                }
                None => continue,
            }
            self.is_busy[lane] = true;
        }
        failures.into_iter().for_each(|failure| self.fail(failure));
        if !self.marks.is_empty() && self.marks_at.is_some_and(|at| at <= Instant::now()) {
            self.marks_at = None;
            let (log, write_timeout) = (Arc::clone(&self.log), self.options.read_timeout);
            let marks = self.marks.take(MARKS_AT_ONCE);
            self.jobs.spawn(async move {
                let is_kept = matches!(timeout(write_timeout, log.keep(&marks)).await, Ok(Ok(())));
                Done::Marks(marks, is_kept)
            });
        }
    }

    /// A job of the log is done: the hub gets what follows from it with the inbox.
    fn finish(&mut self, done: Done) {
        match done {
            Done::Read(id, answer) => self.inbox.push(Item::Answer(id, answer)),
            Done::Batch(lane, batch, Ok(commit)) => {
                self.is_busy[lane] = false;
                self.queue.stored(&batch);
                for (_, item) in self.routing.deliveries(&commit, &batch.origins, 1) {
                    self.inbox.push(item);
                }
                for missed in retried(&commit.receipts, self.now().wall_ms) {
                    if self.routing.subscribers(&missed.topic).next().is_some() {
                        self.inbox.push(Item::Missed(vec![missed]));
                    }
                }
            }
            Done::Batch(lane, batch, Err(error)) => {
                self.is_busy[lane] = false;
                if matches!(error, StoreError::ServerTwice) {
                    self.is_copy.send_replace(true);
                }
                let drafts = batch.drafts.len();
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, drafts, "messages could not be stored");
                let failure = self.queue.fail(lane, batch);
                self.fail(failure);
            }
            Done::Change(lane, change, Ok(result)) => {
                self.is_busy[lane] = false;
                self.queue.changed();
                let outcome = result.map(|changes| {
                    for (_, item) in self.routing.changes_to_all(&changes, 1) {
                        self.inbox.push(item);
                    }
                });
                // Behind the changes, so that the caller is told once the hub has them.
                self.inbox.push(Item::Other(ChangeAnswer(change.answer, outcome)));
            }
            Done::Change(lane, change, Err(error)) => {
                self.is_busy[lane] = false;
                if change.failed == 0 {
                    let (room, error) = (change.wanted.room().as_str(), &error as &dyn std::error::Error);
                    tracing::error!(room, error, "a room could not be changed");
                }
                if self.stopping.is_some() {
                    return self.queue.changed();
                }
                let failure = self.queue.repeat(lane, change);
                self.fail(failure);
            }
            Done::Marks(marks, is_kept) => {
                let pause = if is_kept { MARKS_EVERY } else { MARKS_RETRY_AFTER };
                self.marks_at = Some(Instant::now() + pause);
                if !is_kept {
                    tracing::warn!(marks = marks.len(), "what users have read could not be stored");
                    if self.stopping.is_none() {
                        self.marks.put_back(marks);
                    }
                }
            }
        }
    }

    fn fail(&mut self, failure: Failure) {
        for (_, item) in failure.into_items(1) {
            self.inbox.push(item);
        }
    }

    fn stop(&mut self, answer: Option<oneshot::Sender<()>>, now: Now) {
        if self.stopping.is_none() {
            self.turn.step(now, Input::Drain);
        }
        let stopping = self.stopping.get_or_insert(Stopping { answers: Vec::new(), until: None });
        stopping.answers.extend(answer);
    }

    /// Whether the driver stops, and nothing is left to be done or may be done.
    fn has_stopped(&mut self) -> bool {
        if *self.is_copy.borrow() {
            return true;
        }
        let Some(stopping) = &mut self.stopping else { return false };
        if !self.turn.hub().is_drained() {
            return false;
        }
        let until = *stopping.until.get_or_insert_with(|| Instant::now() + self.options.close_timeout);
        let is_written = !self.is_busy.contains(&true) && self.marks.is_empty() && self.marks_at.is_some();
        (self.clients.is_empty() && is_written) || until <= Instant::now()
    }
}

impl Drop for Task {
    /// Nobody waits for a task that has ended, also not after a panic of a store.
    fn drop(&mut self) {
        self.commands.close();
        while let Ok(command) = self.commands.try_recv() {
            if let Command::Open(line, _) = command {
                line.close(None);
            }
        }
        for (_, client) in &self.clients {
            client.line.close(None);
        }
        for answer in self.stopping.iter_mut().flat_map(|stopping| stopping.answers.drain(..)) {
            // The caller may have given up.
            let _ = answer.send(());
        }
    }
}

fn client_id(id: usize) -> ClientId {
    ClientId(u32::try_from(id).expect("the clients of one process are counted by a u32"))
}

/// The pause between two attempts to make a change of a room.
const REPEAT_AFTER: Duration = Duration::from_millis(500);
/// The time in which marks are collected before they are stored in one transaction.
const MARKS_EVERY: Duration = Duration::from_millis(500);
/// The pause after marks could not be stored.
const MARKS_RETRY_AFTER: Duration = Duration::from_secs(1);
/// Marks that are stored in one transaction.
const MARKS_AT_ONCE: usize = 500;

/// Keeps the row of this program among those of the servers on the database, if there can be several.
async fn keep_alive(log: &dyn EventLog) {
    let Some(feed) = log.feed() else { return std::future::pending().await };
    loop {
        // Nobody waits for it: the next one comes soon.
        let _ = feed.beat().await;
        tokio::time::sleep(Duration::from_millis(FEED_BEAT_MS)).await;
    }
}

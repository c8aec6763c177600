//! A shard: its sockets, its hub, and its turns.
//!
//! A turn takes what has happened since the last one: the sockets that had bytes to
//! read, then all items of the inbox. At its end the hub's outputs are performed, with
//! one write to each client that is joined to a room, and the drafts are handed over to
//! the log's writer at once.

use std::cell::RefCell;
use std::collections::HashSet;
use std::future::Future as _;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use chat_core::{
    Answer, ClientId, Hub, HubOptions, Input, Now, Output, Query, ReadId, RoomName, Seed, Topic, Write,
};
use chat_store::{EventLog, StoreError};
use slab::Slab;
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::alarm::Alarm;
use crate::arrival::{Arrival, RoomInUse};
use crate::bus::Bus;
use crate::causes::causes;
use crate::clock::now_ms;
use crate::cluster::Cluster;
use crate::log_writer::LogWriter;
use crate::marks_writer::MarksWriter;
use crate::metrics::ShardMetrics;
use crate::open_sessions::SessionUse;
use crate::open_users::UserUse;
use crate::options::ShardOptions;
use crate::shared_inbox::{Control, Item, SharedInbox};
use crate::socket::Socket;
use crate::transport::Transport;
use crate::turn::{Action, Turn};

/// The state of one shard's thread.
pub(crate) struct Shard {
    parts: ShardParts,
    started: Instant,
    turn: Turn<oneshot::Sender<()>>,
    sockets: Slab<Socket>,
    /// The buffer that every socket is read into.
    buffer: Box<[u8]>,
    /// Clients whose outbox or state a write has changed.
    touched: Vec<ClientId>,
    /// Sockets whose tasks have ended. Their slots are freed once no output can name
    /// them any more.
    ended: Vec<usize>,
    draining: Option<Draining>,
    stopping: bool,
    /// The waker of the turns' task.
    waker: Option<Waker>,
    tick: Pin<Box<Sleep>>,
    tick_ms: u64,
    /// When the sockets' deadlines were checked last.
    checked_ms: u64,
    /// The deliveries of the hub that the metric has counted.
    deliveries: u64,
    /// The entries that did not fit into the inbox, as far as the metric has counted them.
    overflowed: u64,
}

/// The parts that a shard is started with.
pub(crate) struct ShardParts {
    pub(crate) index: usize,
    pub(crate) hub_id: u32,
    pub(crate) options: Arc<ShardOptions>,
    pub(crate) seed: Seed,
    pub(crate) inbox: Arc<SharedInbox>,
    pub(crate) bus: Arc<Bus>,
    /// The other servers, where the database may have several.
    pub(crate) cluster: Option<Arc<Cluster>>,
    pub(crate) writer: LogWriter,
    pub(crate) marks: MarksWriter,
    pub(crate) log: Arc<dyn EventLog>,
    /// The shared runtime, which runs reads of the log.
    pub(crate) service: Handle,
    pub(crate) tasks: TaskTracker,
    pub(crate) metrics: ShardMetrics,
    pub(crate) failed: CancellationToken,
}

/// The shard drains: it closes all clients.
#[derive(Default)]
struct Draining {
    /// Answered when the sockets of all clients are gone.
    answers: Vec<oneshot::Sender<()>>,
    /// The hub has closed all clients; a socket that is still there is not waited for
    /// after this.
    until_ms: Option<u64>,
}

impl Shard {
    pub(crate) fn new(parts: ShardParts) -> Self {
        let hub = HubOptions {
            id: parts.hub_id,
            epoch: parts.log.epoch().into(),
            ask_before_join: parts.options.hooks.get().is_some_and(|hooks| hooks.judges_joins()),
            topics_side_by_side: parts.writer.lanes() > 1,
            heartbeat_seconds: parts.options.ping_interval.as_secs(),
            message_max_bytes: parts.options.message_max_bytes,
            ..parts.options.hub.clone()
        };
        let hub = Hub::new(hub, parts.seed);
        Self {
            started: Instant::now(),
            turn: Turn::new(hub, parts.writer.lanes()),
            sockets: Slab::new(),
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            touched: Vec::new(),
            ended: Vec::new(),
            draining: None,
            stopping: false,
            waker: None,
            tick: Box::pin(tokio::time::sleep(Duration::ZERO)),
            tick_ms: 0,
            checked_ms: 0,
            deliveries: 0,
            overflowed: 0,
            parts,
        }
    }

    fn now(&self) -> Now {
        Now {
            mono_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            wall_ms: now_ms(),
        }
    }

    /// Steps the hub. The outputs are performed at the end of the turn.
    fn step(&mut self, now: Now, input: Input<'_>) {
        self.turn.step(now, input);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Polls one socket: writes what waits in its outbox, and reads what has arrived.
    fn poll_socket(&mut self, id: usize, cx: &mut Context<'_>) -> Poll<()> {
        let now = self.now();
        let socket = &mut self.sockets[id];
        socket.polled_by(cx);
        let unwritten = socket.unwritten();
        socket.poll_outbox(cx);
        if socket.unwritten() != unwritten && socket.in_hub {
            let bytes = socket.unwritten();
            self.step(now, Input::Pending { client: client_id(id), bytes });
        }
        while self.sockets[id].wants_input(&self.parts.options) {
            let Poll::Ready(read) = self.sockets[id].poll_read(cx, &mut self.buffer, now.mono_ms) else {
                break;
            };
            self.receive(id, read, now);
            if read == self.buffer.len() {
                // More may have arrived, but the other sockets come first.
                cx.waker().wake_by_ref();
                break;
            }
        }
        self.close_in_hub(id, now);
        if self.sockets[id].is_dead() {
            self.sockets[id].end();
            self.ended.push(id);
            if let Some(waker) = self.waker.take() {
                // The end of the turn closes the descriptor.
                waker.wake();
            }
            return Poll::Ready(());
        }
        Poll::Pending
    }

    /// Handles the first `read` bytes of the buffer, which a socket has received.
    fn receive(&mut self, id: usize, read: usize, now: Now) {
        let Self { sockets, turn, buffer, parts, .. } = self;
        let client = client_id(id);
        sockets[id].receive(client, &mut buffer[..read], turn, &parts.options, now);
        sockets[id].release(client, turn, &parts.options, now);
        if sockets[id].take_slowed() {
            parts.metrics.slowed();
        }
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Closes a client in the hub, once, if its socket is not open any more.
    fn close_in_hub(&mut self, id: usize, now: Now) {
        let Some(socket) = self.sockets.get_mut(id) else { return };
        if !socket.is_open() && std::mem::take(&mut socket.in_hub) {
            self.step(now, Input::Closed { client: client_id(id) });
        }
    }

    /// Runs turns until the shard has to stop.
    pub(crate) fn poll_turn(this: &Rc<RefCell<Self>>, cx: &mut Context<'_>) -> Poll<()> {
        let mut shard = this.borrow_mut();
        let inbox = Arc::clone(&shard.parts.inbox);
        // Twice, because a log in memory pushes its commits to the inbox at once.
        for _ in 0..2 {
            let now = shard.now();
            if shard.tick_ms <= now.mono_ms {
                shard.tick(now);
            }
            let items = inbox.take(cx.waker());
            let was_empty = items.is_none();
            for item in items.into_iter().flatten() {
                shard.take(item, this, now);
            }
            shard.end_turn(now);
            if shard.stopping {
                return Poll::Ready(());
            }
            if was_empty {
                shard.waker = Some(cx.waker().clone());
                if shard.poll_tick(cx).is_pending() {
                    return Poll::Pending;
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let due_ms = self.turn.hub().next_tick_ms();
        if due_ms != self.tick_ms {
            self.tick_ms = due_ms;
            self.tick.as_mut().reset((self.started + Duration::from_millis(due_ms)).into());
        }
        self.tick.as_mut().poll(cx)
    }

    /// Takes one item of the inbox.
    fn take(&mut self, item: Item, this: &Rc<RefCell<Self>>, now: Now) {
        if self.turn.ends_before(&item) {
            self.end_turn(now);
        }
        match self.turn.take(item, now) {
            None => {}
            Some(Control::Arrival(arrival)) => self.admit(arrival, this, now),
            Some(Control::AnswerAfterTurn(answer)) => self.turn.answer_at_end(answer),
            Some(Control::AnswerWhenDrained(answer)) => {
                self.draining.get_or_insert_default().answers.push(answer);
            }
            Some(Control::Rooms(answer)) => {
                let hub = self.turn.hub();
                let in_use = |(name, online): (&RoomName, _)| RoomInUse {
                    name: name.clone(),
                    online,
                    is_new: hub.is_new_room(name),
                };
                let rooms = hub.rooms().map(in_use).collect();
                // The receiver may be gone.
                let _ = answer.send(rooms);
            }
            Some(Control::OnlineUsers(answer)) => {
                let hub = self.turn.hub();
                let mut users: HashSet<_> = hub.online_users().cloned().collect();
                if self.knows_others() {
                    users.extend(hub.users_everywhere().cloned());
                }
                let _ = answer.send(users);
            }
            Some(Control::RoomsEverywhere(answer)) => {
                let rooms = self.turn.hub().rooms_everywhere();
                let _ = answer.send(rooms.map(|(room, online)| (room.clone(), online)).collect());
            }
            Some(Control::Stop) => self.stopping = true,
        }
    }

    /// Whether this shard answers for users of other servers: one does, as all know the same.
    fn knows_others(&self) -> bool {
        self.parts.index == 0 && self.parts.cluster.as_ref().is_some_and(|cluster| cluster.has_others())
    }

    /// Takes a socket over: registers it as a client, and spawns its task.
    fn admit(&mut self, arrival: Arrival, this: &Rc<RefCell<Self>>, now: Now) {
        let Arrival { stream, tls, read, user, session, token, good_until_ms, protocol } = arrival;
        // A renewal may have been pushed to this shard before this socket.
        let renewed_ms = session.as_ref().map_or(0, SessionUse::good_until_ms);
        let good_for_ms = good_until_ms.max(renewed_ms).saturating_sub(now.wall_ms);
        let stream = match TcpStream::from_std(stream) {
            Ok(stream) => stream,
            Err(error) => {
                return tracing::warn!(%error, "a socket could not be registered with the event queue");
            }
        };
        let session_id = session.as_ref().map(|session| session.id().clone());
        // From here on the item of a ban finds the client.
        let is_ended = token.as_ref().is_some_and(UserUse::is_ended);
        let uses = (session, token);
        let transport = Transport::new(stream, tls);
        let id = self.sockets.insert(Socket::new(transport, uses, &self.parts.options, now.mono_ms));
        let open = Input::Open {
            client: client_id(id),
            user: &user,
            session: session_id.as_ref(),
            good_for_ms: Some(good_for_ms),
            protocol,
        };
        self.step(now, open);
        if is_ended {
            self.step(now, Input::UserEnded { user: &user });
        }
        for part in read.chunks(self.buffer.len()) {
            self.buffer[..part.len()].copy_from_slice(part);
            self.receive(id, part.len(), now);
        }
        let (shard, failed) = (Rc::clone(this), self.parts.failed.clone());
        // Not tracked: the task ends with its socket, which the shard owns.
        tokio::task::spawn_local(std::future::poll_fn(move |cx| {
            let _alarm = Alarm(&failed);
            shard.borrow_mut().poll_socket(id, cx)
        }));
    }

    /// Performs the actions of the turn, and frees the slots of ended sockets.
    fn end_turn(&mut self, now: Now) {
        while let Some(action) = self.turn.next_action() {
            match action {
                Action::Output(output) => self.perform(output, now),
                Action::Drafted => {}
                Action::Release(client) => {
                    let Self { sockets, turn, parts, .. } = self;
                    if let Some(socket) = sockets.get_mut(index(client)) {
                        socket.release(client, turn, &parts.options, now);
                        self.close_in_hub(index(client), now);
                    }
                }
                Action::HandOver(drafts) => {
                    self.parts.writer.append(self.parts.index, drafts, self.turn.failures_seen());
                }
                Action::Answer(answer) => {
                    // The receiver may be gone.
                    let _ = answer.send(());
                }
            }
        }
        // No output is left that could name these.
        for id in self.ended.drain(..) {
            self.sockets.remove(id);
        }
        let deliveries = self.turn.deliveries();
        self.parts
            .metrics
            .deliveries
            .inc_by(deliveries - std::mem::replace(&mut self.deliveries, deliveries));
        self.answer_if_drained(now.mono_ms);
    }

    fn perform(&mut self, output: Output, now: Now) {
        match output {
            Output::Write(write) => self.write(&write, now),
            Output::Close { client, code } => {
                if let Some(socket) = self.sockets.get_mut(index(client)) {
                    self.parts.metrics.closed(code);
                    socket.dismiss(code, &self.parts.options, now.mono_ms);
                    self.close_in_hub(index(client), now);
                }
            }
            Output::Read { id, query } => self.read(id, query),
            // The socket asks the hub before each frame. Drafts and resumed clients are
            // actions of their own.
            Output::Pause(_) | Output::Resume(_) | Output::Append(_) => {}
            Output::Subscribe(subscription) => self.parts.bus.subscribe(self.parts.index, subscription),
            Output::Unsubscribe(subscription) => self.parts.bus.unsubscribe(self.parts.index, &subscription),
            Output::Presence(change) => {
                self.parts.bus.presence(self.parts.index, &change);
                if let Some(cluster) = &self.parts.cluster {
                    cluster.presence(change);
                }
            }
            Output::Keep(mark) => {
                if let Some(cluster) = &self.parts.cluster {
                    cluster.mark(&mark);
                }
                self.parts.marks.keep(mark);
            }
            Output::Typing(change) => {
                self.parts.bus.typing(self.parts.index, &change);
                if let Some(cluster) = &self.parts.cluster {
                    cluster.typing(change);
                }
            }
        }
    }

    /// Writes the same bytes to all recipients, with one system call for each.
    fn write(&mut self, write: &Write, now: Now) {
        let Self { sockets, turn, parts, touched, .. } = self;
        let bytes = turn.bytes(write);
        for &client in turn.recipients(write) {
            if let Some(socket) = sockets.get_mut(index(client))
                && (socket.send(bytes, &parts.options, now.mono_ms) || !socket.is_open())
            {
                touched.push(client);
            }
        }
        while let Some(client) = self.touched.pop() {
            let socket = &self.sockets[index(client)];
            if socket.was_too_slow() {
                self.parts.metrics.slow_closes.inc();
            }
            if socket.in_hub {
                let bytes = socket.unwritten();
                self.step(now, Input::Pending { client, bytes });
            }
            self.close_in_hub(index(client), now);
        }
    }

    /// Has the log answer a query. The answer comes back through the inbox, also if the
    /// read fails or its task is dropped.
    fn read(&self, id: ReadId, query: Query) {
        if let Query::Page { .. } | Query::Messages { .. } = query {
            self.parts.metrics.pages_read.inc();
        }
        let log = Arc::clone(&self.parts.log);
        let reading = Reading { inbox: Arc::clone(&self.parts.inbox), id, answer: Answer::Failed };
        let timeout = self.parts.options.read_timeout;
        let hooks = self.parts.options.hooks.clone();
        let read = async move {
            // Moved as a whole, so that it is dropped with this task.
            let mut reading = reading;
            let answer = async {
                let mut answer = log.answer(&query).await?;
                if let (Query::Access { user, room }, Answer::Access(access)) = (&query, &mut answer)
                    && let Some(hooks) = hooks.get().filter(|hooks| hooks.judges_joins())
                {
                    access.refused = !hooks.may_join(user, room).await;
                }
                Ok::<_, StoreError>(answer)
            };
            match tokio::time::timeout(timeout, answer).await {
                Ok(Ok(answer)) => reading.answer = answer,
                Ok(Err(error)) => {
                    let (kind, of) = in_words(&query);
                    tracing::error!(query = kind, of, error = %causes(&error), "the log could not be read");
                }
                Err(_) => {
                    let (kind, of) = in_words(&query);
                    tracing::error!(query = kind, of, "the log did not answer a read in time");
                }
            }
        };
        self.parts.tasks.spawn_on(read, &self.parts.service);
    }

    /// Ticks the hub, and once a second updates metrics and checks the sockets'
    /// deadlines.
    fn tick(&mut self, now: Now) {
        self.step(now, Input::Tick);
        self.tick_ms = self.turn.hub().next_tick_ms();
        self.tick.as_mut().reset((self.started + Duration::from_millis(self.tick_ms)).into());
        if self.checked_ms + CHECK_MS > now.mono_ms {
            return;
        }
        self.checked_ms = now.mono_ms;
        let metrics = &mut self.parts.metrics;
        let overflowed = self.parts.inbox.overflowed();
        metrics.missed.inc_by(overflowed - std::mem::replace(&mut self.overflowed, overflowed));
        metrics.connections.set(self.sockets.len() as u64);
        metrics.rooms.set(self.turn.hub().rooms_in_memory() as u64);
        metrics.drafts.set(self.turn.hub().unanswered() as u64);
        metrics.refused(self.turn.hub().refusals());
        let ids: Vec<usize> = self.sockets.iter().map(|(id, _)| id).collect();
        for id in ids {
            let Self { sockets, turn, parts, .. } = self;
            sockets[id].check_deadlines(&parts.options, now.mono_ms);
            if sockets[id].has_rest() {
                // The limit on frames lets it look at some more by now.
                sockets[id].release(client_id(id), turn, &parts.options, now);
                // What waits still has been counted.
                sockets[id].take_slowed();
            }
            self.close_in_hub(id, now);
        }
    }

    /// Sends the answers of a drain once all sockets are gone, or their time is over.
    fn answer_if_drained(&mut self, now_ms: u64) {
        let Some(draining) = &mut self.draining else { return };
        if self.turn.hub().is_drained() {
            let until_ms = *draining.until_ms.get_or_insert(now_ms + GOODBYE_MS);
            if self.sockets.is_empty() || until_ms <= now_ms {
                for answer in draining.answers.drain(..) {
                    let _ = answer.send(());
                }
            }
        }
    }
}

/// A read of the log, which pushes its answer when it is dropped.
struct Reading {
    inbox: Arc<SharedInbox>,
    id: ReadId,
    answer: Answer,
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.inbox.push(Item::Answer(self.id, std::mem::replace(&mut self.answer, Answer::Failed)));
    }
}

/// The kind of a query, and the topic or user that it is about, for the log.
fn in_words(query: &Query) -> (&'static str, String) {
    match query {
        Query::Page { topic: Topic::Room(room), .. } | Query::Messages { topic: Topic::Room(room), .. } => {
            ("page", room.to_string())
        }
        Query::Page { topic: Topic::Pair(pair), .. } | Query::Messages { topic: Topic::Pair(pair), .. } => {
            ("page", format!("{} and {}", pair.low(), pair.high()))
        }
        Query::Conversations { user, .. } => ("conversations", user.to_string()),
        Query::Memberships { user, .. } => ("memberships", user.to_string()),
        Query::Access { user, room } => ("access", format!("{user} in {room}")),
        Query::Tops { rooms } => ("tops", format!("{} rooms", rooms.len())),
        Query::Counts { user, .. } => ("counts", user.to_string()),
    }
}

fn client_id(id: usize) -> ClientId {
    ClientId(u32::try_from(id).expect("descriptors are numbered by an i32"))
}

fn index(client: ClientId) -> usize {
    client.0 as usize
}

/// The most bytes that one read of a socket takes.
const READ_BYTES: usize = 64 * 1024;
/// The time between two checks of the sockets' deadlines, in milliseconds.
const CHECK_MS: u64 = 500;
/// The time that drained clients have to answer the close frame, in milliseconds.
const GOODBYE_MS: u64 = 2_000;

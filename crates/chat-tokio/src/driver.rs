//! The handle of a driver, and its options.

use std::sync::Arc;
use std::time::Duration;

use chat_core::{
    ChangeRefused, Framing, HubOptions, Protocol, RoomName, Seed, SessionId, Username, WantedChange,
};
use chat_store::{EventLog, StoreError};
use tokio::sync::{mpsc, oneshot, watch};

use crate::connection::{Closed, Connection};
use crate::line::{Line, Touched};
use crate::task::Task;

/// A chat that runs in a task of its own. Clones are handles of the same chat.
///
/// The task ends after [`stop`](Self::stop), or once all handles and connections are dropped. It ends
/// by itself where it must not store anything any more: see [`ended`](Self::ended).
#[derive(Clone)]
pub struct Driver {
    commands: mpsc::Sender<Command>,
    touched: Arc<Touched>,
    /// Whether another process is this one's copy. The task has the sender.
    is_copy: watch::Receiver<bool>,
}

/// The options of a driver. The defaults suit a small chat.
#[derive(Debug, Clone)]
pub struct DriverOptions {
    /// The options of the hub; the driver sets `epoch` and `topics_side_by_side` by its log.
    pub hub: HubOptions,
    /// Bytes that wait for a client that reads too slowly; past it, the client is closed (1013).
    pub outbox_max_bytes: usize,
    /// Frames of one client that the hub has not taken yet; the [`Sender`](crate::Sender) of a
    /// client with so many waits.
    pub held_frames_max: usize,
    /// Frames and other commands of all clients that wait for the driver; past it, their senders
    /// wait.
    pub commands_max: usize,
    /// Bytes of committed entries that wait for the hub; past it, the hub reads them again from the
    /// log.
    pub inbox_max_bytes: usize,
    /// Drafts from which on a transaction of the log gets no more.
    pub batch_max: usize,
    /// Drafts that may wait for the log; past it, drafts fail (`unavailable`).
    pub append_queue_max: usize,
    /// The time after which a read of the log fails, and a write of marks.
    pub read_timeout: Duration,
    /// The time that a closed client has to take its last bytes.
    pub close_timeout: Duration,
}

impl Default for DriverOptions {
    fn default() -> Self {
        Self {
            hub: HubOptions { framing: Framing::Lines, ..HubOptions::default() },
            outbox_max_bytes: 256 * 1024,
            held_frames_max: 8,
            commands_max: 1_024,
            inbox_max_bytes: 8 * 1024 * 1024,
            batch_max: 4_096,
            append_queue_max: 65_536,
            read_timeout: Duration::from_secs(4),
            close_timeout: Duration::from_secs(8),
        }
    }
}

/// Who connects, as the program has found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// The user.
    pub user: Username,
    /// A session that the program may [end](Driver::revoke) later.
    pub session: Option<SessionId>,
    /// After this time, the client is closed (1008); `None`: never.
    pub good_for: Option<Duration>,
    /// The protocol that the client speaks.
    pub protocol: Protocol,
}

impl Opening {
    /// A client of protocol v2, without a session and for ever.
    pub fn v2(user: Username) -> Self {
        Self { user, session: None, good_for: None, protocol: Protocol::V2 }
    }

    /// A client of protocol v1, which is in one room, likewise.
    pub fn v1(user: Username, room: RoomName) -> Self {
        Self { protocol: Protocol::V1 { room }, ..Self::v2(user) }
    }
}

/// Why a change of a room was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// It may not be made.
    #[error(transparent)]
    Refused(#[from] ChangeRefused),
    /// Too many changes wait for the log, or the driver has stopped. While the driver runs, a
    /// change that waits is made later.
    #[error("the change was not made")]
    Unavailable,
}

/// What handles and connections ask of the task.
pub(crate) enum Command {
    Open(Arc<Line>, Opening),
    Frame(Arc<Line>, Box<str>),
    Goodbye(Arc<Line>),
    Change(WantedChange, oneshot::Sender<Result<(), ChangeRefused>>),
    Revoke(SessionId),
    EndUser(Username),
    Stop(oneshot::Sender<()>),
}

impl Driver {
    /// Starts a chat on the current runtime. `seed` should be chosen at random where strangers
    /// choose names, see [`Hub::new`](chat_core::Hub::new).
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its timers enabled.
    pub fn start(options: DriverOptions, log: Arc<dyn EventLog>, seed: Seed) -> Self {
        let (commands, inbox) = mpsc::channel(options.commands_max.max(1));
        let touched = Arc::new(Touched::new(&options));
        let (copy, is_copy) = watch::channel(false);
        // It ends with its handles, and `stop` waits for it.
        tokio::spawn(Task::new(options, log, seed, inbox, Arc::clone(&touched), copy).run());
        Self { commands, touched, is_copy }
    }

    /// Opens a client.
    ///
    /// # Errors
    ///
    /// [`Closed`] if the driver has stopped.
    pub async fn open(&self, opening: Opening) -> Result<Connection, Closed> {
        let line = Arc::new(Line::new(Arc::clone(&self.touched)));
        let connection = Connection::new(Arc::clone(&line), self.commands.clone());
        self.commands.send(Command::Open(line, opening)).await.map_err(|_| Closed { code: None })?;
        Ok(connection)
    }

    /// Makes a change of a room or of its members, and waits until the hub has it.
    ///
    /// # Errors
    ///
    /// [`ChangeError::Refused`] by the rule of [`judge_change`](chat_core::judge_change), and
    /// [`ChangeError::Unavailable`].
    pub async fn change(&self, wanted: WantedChange) -> Result<(), ChangeError> {
        let (answer, answered) = oneshot::channel();
        let sent = self.commands.send(Command::Change(wanted, answer)).await;
        sent.map_err(|_| ChangeError::Unavailable)?;
        Ok(answered.await.map_err(|_| ChangeError::Unavailable)??)
    }

    /// Closes all clients of a session (4001).
    pub async fn revoke(&self, session: SessionId) {
        // A driver that has stopped has closed them.
        let _ = self.commands.send(Command::Revoke(session)).await;
    }

    /// Closes all clients of a user (4001).
    pub async fn end_user(&self, user: Username) {
        let _ = self.commands.send(Command::EndUser(user)).await;
    }

    /// Waits until the chat has ended.
    ///
    /// # Errors
    ///
    /// [`StoreError::ServerTwice`] if it has ended by itself, because another process is a copy of this
    /// one: end the program, and start it again.
    pub async fn ended(&self) -> Result<(), StoreError> {
        let mut is_copy = self.is_copy.clone();
        while is_copy.changed().await.is_ok() {}
        let is_copy = *is_copy.borrow();
        if is_copy { Err(StoreError::ServerTwice) } else { Ok(()) }
    }

    /// Stops the chat: takes no more clients, closes each in its slot once its messages are
    /// stored, stores the marks, and ends the task.
    pub async fn stop(&self) {
        let (answer, answered) = oneshot::channel();
        if self.commands.send(Command::Stop(answer)).await.is_ok() {
            // The sender is dropped with the task.
            let _ = answered.await;
        }
    }
}

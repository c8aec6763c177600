//! What a connection and the driver's task share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chat_core::{ClientId, CloseCode};
use tokio::sync::{Notify, Semaphore};

use crate::driver::DriverOptions;

/// One client, between its connection and the task.
pub(crate) struct Line {
    state: Mutex<State>,
    /// Bytes wait, or the client is closed.
    pub(crate) readable: Notify,
    /// The client is closed.
    pub(crate) ended: Notify,
    /// One permit for each frame that the client may hand over; closed with the client.
    pub(crate) permits: Semaphore,
    touched: Arc<Touched>,
}

#[derive(Default)]
pub(crate) struct State {
    /// The client's number in the hub, once it is opened.
    pub(crate) id: Option<ClientId>,
    /// Whole frames.
    pub(crate) bytes: Vec<u8>,
    /// Bytes that the receiver was given, and has not finished with.
    pub(crate) taken: usize,
    /// Closed by the hub, or by a driver that stopped (`None`).
    pub(crate) end: Option<Option<CloseCode>>,
    /// How many halves of the connection are left.
    pub(crate) halves: u8,
    /// It is in the list of touched lines.
    is_touched: bool,
}

/// The lines that the task has to look at: at most one item for each client.
pub(crate) struct Touched {
    lines: Mutex<Vec<Arc<Line>>>,
    pub(crate) wake: Notify,
    held_frames_max: usize,
    pub(crate) close_timeout: Duration,
}

impl Touched {
    pub(crate) fn new(options: &DriverOptions) -> Self {
        Self {
            lines: Mutex::default(),
            wake: Notify::new(),
            held_frames_max: options.held_frames_max.max(1),
            close_timeout: options.close_timeout,
        }
    }

    pub(crate) fn take(&self) -> Vec<Arc<Line>> {
        let lines = std::mem::take(&mut *self.lines.lock().unwrap_or_else(PoisonError::into_inner));
        for line in &lines {
            line.state().is_touched = false;
        }
        lines
    }
}

impl Line {
    pub(crate) fn new(touched: Arc<Touched>) -> Self {
        Self {
            state: Mutex::new(State { halves: 2, ..State::default() }),
            readable: Notify::new(),
            ended: Notify::new(),
            permits: Semaphore::new(touched.held_frames_max),
            touched,
        }
    }

    /// Each change of the state is whole in one statement, so that a poisoned lock is used on.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the task look at the line.
    pub(crate) fn touch(self: &Arc<Self>) {
        if !std::mem::replace(&mut self.state().is_touched, true) {
            self.touched.lines.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(self));
            self.touched.wake.notify_one();
        }
    }

    pub(crate) fn close_timeout(&self) -> Duration {
        self.touched.close_timeout
    }

    /// Ends the client for its connection; what waits is still received.
    pub(crate) fn close(&self, code: Option<CloseCode>) {
        let mut state = self.state();
        state.end.get_or_insert(code);
        if code.is_some_and(CloseCode::drops_waiting_bytes) {
            state.bytes = Vec::new();
        }
        drop(state);
        self.permits.close();
        self.readable.notify_one();
        self.ended.notify_one();
    }
}

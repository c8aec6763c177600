//! Fair queues in front of scarce threads.
//!
//! A [`TurnQueue`] has a number of permits, and [`Line`]s in which requests wait for one. In a
//! line, requests of one name (a user, an address) get their turns after one request of each
//! other name, however many requests each of them has. Of the lines, the first ones go first,
//! but every line gets some of the turns.
//!
//! This crate knows no passwords, pictures, users or addresses: names are texts.
//!
//! ```
//! use chat_turns::{Line, TurnQueue};
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let line = Line { waiting_max: 64, waiting_of_one_max: 8 };
//! let queue = TurnQueue::new(1, &[line, line]);
//! let turn = queue.turn(0, "alice").await?;
//! // The thread works here.
//! drop(turn);
//! # Ok::<(), chat_turns::QueueFull>(())
//! # }).unwrap();
//! ```

mod queue;
mod turns;

pub use queue::{QueueFull, Turn, TurnQueue};
pub use turns::Line;

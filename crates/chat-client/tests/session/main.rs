//! The rules of a session, by topic; the test plays the server.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

mod account;
mod changes;
mod connection;
mod files;
mod harness;
mod history;
mod marks;
mod privates;
mod rooms;
mod sends;
mod snapshots;
mod timeline;
mod typing;

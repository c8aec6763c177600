//! The server as a program: its process, its settings, its sockets, its databases. One program of
//! tests, as each more would have to be linked.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests, too")]

#[macro_use]
mod common;

mod acme;
mod attacks;
mod backup;
mod bots;
mod changes;
mod cli;
mod client_tls;
mod external_keys;
mod mass_deletion;
mod messages_with_files;
mod migrate;
mod one_server;
mod operations;
mod outage;
mod proxy;
mod removal;
mod restart;
mod retention;
mod sessions;
mod shared;
mod start;
mod tls;
mod transcript;
mod trouble;
mod two_servers;
mod users;
mod v1;
mod v2;
mod websocket;

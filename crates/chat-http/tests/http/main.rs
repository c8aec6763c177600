//! A whole server on a free port, spoken to as a client does: in bytes.

#![allow(clippy::unwrap_used, reason = "helpers are tests too, which clippy does not know")]
#![allow(unreachable_pub, reason = "as above: a test has no outside")]

mod accounts;
mod avatars;
mod harness;
mod limits;
mod origins;
mod pages;
mod pictures;
mod published;
mod registration;
mod sessions;
mod stopping;
mod upgrade;
mod wire;

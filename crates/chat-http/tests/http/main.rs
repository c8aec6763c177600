//! A whole server on a free port, spoken to as a client does: in bytes.

mod accounts;
mod avatars;
mod harness;
mod limits;
mod origins;
mod pages;
mod stopping;
mod upgrade;

//! One hub with its log, clock and clients, all of them played: what each client
//! receives, by topic.

mod activity;
mod changes;
mod failures;
mod files;
mod harness;
mod hello;
mod history;
mod joining;
mod limits;
mod marks;
mod members;
mod memory;
mod mentions;
mod messages;
mod presence;
mod private_messages;
mod properties;
mod reads;
mod replicas;
mod resume;
mod sessions;
mod stopping;
mod taken_back;
mod typing;

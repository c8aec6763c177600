//! Tests of a whole server on a free port, with clients that send plain bytes.

#![allow(clippy::unwrap_used, reason = "helpers are tests too, which clippy does not know")]
#![allow(unreachable_pub, reason = "as above: a test has no outside")]

mod accounts;
mod administration;
mod authorisation;
mod avatar_files;
mod avatar_limits;
mod avatars;
mod base_path;
mod bots;
mod directory;
mod external_tokens;
mod file_crashes;
mod files;
mod files_in_s3;
mod harness;
mod hosts;
mod identities;
mod join_hooks;
mod limits;
mod oidc;
mod origins;
mod own_account;
mod pages;
mod pictures;
mod published;
mod push;
mod reactions;
mod registration;
mod registration_form;
mod registration_limits;
mod room_lists;
mod rooms;
mod search;
mod sessions;
mod shared_pictures;
mod sign_in;
mod sign_in_limits;
mod smuggling;
mod stopping;
mod store_outage;
mod tokens;
mod upgrade;
mod webhooks;
mod wire;

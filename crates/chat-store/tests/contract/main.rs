//! What every store must do. Each test runs on each store.

// Clippy takes only `#[test]` functions for tests, not what they call.
#![allow(clippy::unwrap_used)]

#[path = "../common/mod.rs"]
mod common;

/// Makes a test of each of these functions for each store. The tests on Postgres
/// pass where no Postgres is installed.
macro_rules! every_store {
    ($($test:ident),* $(,)?) => {
        mod memory {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() { super::$test(crate::common::TestStore::memory().await).await }
        )*}
        mod sqlite {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() { super::$test(crate::common::TestStore::sqlite().await).await }
        )*}
        mod postgres {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                if let Some(store) = crate::common::TestStore::postgres().await {
                    super::$test(store).await
                }
            }
        )*}
    };
}

mod accounts;
mod administration;
mod append;
mod bots;
mod changed_pages;
mod changes;
mod claims;
mod conversations;
mod directory;
mod files;
mod lifecycle;
mod marks;
mod members;
mod mentions;
mod model;
mod names;
mod nonces;
mod outgoing;
mod pages;
mod push;
mod retention;
mod roles;
mod room_lists;
mod rooms;
mod search;
mod sessions;
mod shared;
mod special_rooms;
mod subjects;

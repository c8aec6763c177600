//! The work in the background that a migration leaves: users become members of the rooms
//! that they have written to.

use std::sync::Arc;
use std::time::Duration;

use chat_store::RoomRepository;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::store_health::{StoreHealth, StoreUse};

/// Fills the rooms until nothing is left to be done. A server that stops meanwhile goes on
/// at its next start.
pub(crate) async fn fill_members(app: Arc<App>, stopping: CancellationToken) {
    tokio::select! {
        () = stopping.cancelled() => {}
        () = fill_all(&*app.parts.stores.rooms, &app.store_health) => {}
    }
}

/// Fills all rooms, part by part. An append waits at most for one part, and has most of
/// the time for itself.
async fn fill_all(rooms: &dyn RoomRepository, store_health: &StoreHealth) {
    let (began, mut parts) = (Instant::now(), 0_u64);
    loop {
        let started = Instant::now();
        match rooms.fill_members(ENTRIES_AT_ONCE).await {
            Ok(true) => {
                store_health.answered(StoreUse::Members, Instant::now());
                parts += 1;
                tokio::time::sleep((started.elapsed() * PAUSE_FACTOR).min(PAUSE_MAX)).await;
            }
            Ok(false) => {
                store_health.answered(StoreUse::Members, Instant::now());
                if parts > 0 {
                    let seconds = began.elapsed().as_secs();
                    tracing::info!(seconds, "users are members of the rooms that they have written to");
                }
                return;
            }
            Err(error) => {
                store_health.failed(StoreUse::Members, &error, Instant::now());
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}

/// Entries that are looked at in one part, each room in a transaction of its own.
const ENTRIES_AT_ONCE: usize = 2_000;
/// The pause after each part, as a multiple of the time that the part took …
const PAUSE_FACTOR: u32 = 4;
/// … and its maximum, which matters where the store was unavailable for long.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// The pause after a part that failed.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use chat_core::{Role, RoomName, Username};
    use chat_store::{ListedRoom, MemoryStore, StoreFuture};

    use super::*;

    /// A store with work for three steps.
    #[derive(Default)]
    struct Rooms {
        memory: MemoryStore,
        steps: AtomicUsize,
    }

    impl RoomRepository for Rooms {
        fn find_room<'a>(&'a self, room: &'a RoomName) -> StoreFuture<'a, Option<ListedRoom>> {
            self.memory.find_room(room)
        }

        fn open_rooms(&self, max: usize) -> StoreFuture<'_, Vec<ListedRoom>> {
            self.memory.open_rooms(max)
        }

        fn rooms_of<'a>(&'a self, user: &'a Username, max: usize) -> StoreFuture<'a, Vec<ListedRoom>> {
            self.memory.rooms_of(user, max)
        }

        fn members_of<'a>(
            &'a self,
            room: &'a RoomName,
            after: Option<&'a Username>,
            max: usize,
        ) -> StoreFuture<'a, Vec<(Username, Role)>> {
            self.memory.members_of(room, after, max)
        }

        fn add_rooms<'a>(&'a self, rooms: &'a [(RoomName, String)], now_ms: u64) -> StoreFuture<'a, ()> {
            self.memory.add_rooms(rooms, now_ms)
        }

        fn fill_members(&self, _max_entries: usize) -> StoreFuture<'_, bool> {
            Box::pin(async { Ok(self.steps.fetch_add(1, Ordering::Relaxed) < 2) })
        }
    }

    #[tokio::test]
    async fn the_rooms_are_filled_until_nothing_is_left() {
        let (rooms, store_health) = (Rooms::default(), StoreHealth::default());
        fill_all(&rooms, &store_health).await;
        assert_eq!(rooms.steps.load(Ordering::Relaxed), 3);
        assert!(!store_health.is_out());
    }
}

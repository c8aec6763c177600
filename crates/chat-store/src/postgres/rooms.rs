//! Changes of rooms, and their lists.
//!
//! A change is a transaction on a connection of the pool. Repeated after its answer was
//! lost, it waits for the first one, as both lock the same row.

use chat_core::{ChangeRefused, Role, RoomChange, RoomName, Username, WantedChange};

use super::PostgresStore;
use super::failure::Failure;
use super::feed;
use super::pool::Pool;
use crate::rooms::{change as room_change, fill, read};
use crate::{ListedRoom, RoomRepository, StoreFuture};

/// Makes an attempt at a change; the transaction is rolled back if the change is refused.
pub(super) async fn change(
    pool: &Pool,
    wanted: &WantedChange,
    now_ms: u64,
) -> Result<Result<Vec<RoomChange>, ChangeRefused>, Failure> {
    let mut connection = pool.connection().await?;
    sqlx::raw_sql("BEGIN").execute(&mut connection).await?;
    let result = room_change::change(&mut connection, wanted, now_ms).await?;
    if let Ok(changes) = &result {
        feed::tell_of_changes(&mut connection, changes).await?;
    }
    let end = if result.is_ok() { "COMMIT" } else { "ROLLBACK" };
    sqlx::raw_sql(end).execute(&mut connection).await?;
    pool.put_back(connection);
    Ok(result)
}

/// Makes an attempt at a part of a step. Its commit does not wait for the disk: a part that
/// a crash of the database server loses is made again, as its position is lost with it.
async fn fill_part(pool: &Pool, max_entries: usize) -> Result<Option<usize>, Failure> {
    let mut connection = pool.connection().await?;
    sqlx::raw_sql("BEGIN; SET LOCAL synchronous_commit = off").execute(&mut connection).await?;
    let left = fill::part(&mut connection, max_entries).await?;
    sqlx::raw_sql("COMMIT").execute(&mut connection).await?;
    pool.put_back(connection);
    Ok(left)
}

impl RoomRepository for PostgresStore {
    fn find_room<'a>(&'a self, room: &'a RoomName) -> StoreFuture<'a, Option<ListedRoom>> {
        Box::pin(read::find_room(&self.pool, room))
    }

    fn open_rooms(&self, max: usize) -> StoreFuture<'_, Vec<ListedRoom>> {
        Box::pin(read::open_rooms(&self.pool, max))
    }

    fn rooms_of<'a>(&'a self, user: &'a Username, max: usize) -> StoreFuture<'a, Vec<ListedRoom>> {
        Box::pin(read::rooms_of(&self.pool, user, max))
    }

    fn members_of<'a>(
        &'a self,
        room: &'a RoomName,
        after: Option<&'a Username>,
        max: usize,
    ) -> StoreFuture<'a, Vec<(Username, Role)>> {
        Box::pin(read::members_of(&self.pool, room, after, max))
    }

    fn add_rooms<'a>(&'a self, rooms: &'a [(RoomName, String)], now_ms: u64) -> StoreFuture<'a, ()> {
        Box::pin(async move { read::add_rooms(&mut &self.pool, rooms, now_ms).await })
    }

    fn fill_members(&self, max_entries: usize) -> StoreFuture<'_, bool> {
        Box::pin(async move {
            let mut left = max_entries.max(1);
            while left > 0 {
                let part = self.pool.attempts(|| fill_part(&self.pool, left)).await?;
                let Some(rest) = part else { return Ok(false) };
                left = rest;
            }
            Ok(true)
        })
    }
}

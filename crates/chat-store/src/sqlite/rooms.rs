//! Changes of rooms, and their lists.

use chat_core::{ChangeRefused, Role, RoomChange, RoomName, Username, WantedChange};
use sqlx::sqlite::SqliteConnection;

use super::SqliteStore;
use super::writer::Writer;
use crate::rooms::{change as room_change, fill, read};
use crate::{ListedRoom, RoomRepository, StoreError, StoreFuture};

/// Makes a change in a transaction, which is rolled back if the change is refused.
pub(super) async fn change(
    writer: &Writer,
    wanted: &WantedChange,
    now_ms: u64,
) -> Result<Result<Vec<RoomChange>, ChangeRefused>, StoreError> {
    let mut writing = writer.begin().await?;
    match room_change::change(&mut writing.connection, wanted, now_ms).await {
        Ok(Ok(changes)) => writing.finish(Ok(Ok(changes))).await,
        Ok(Err(refused)) => writing.roll_back().await.map(|()| Err(refused)),
        Err(error) => writing.finish(Err(error)).await,
    }
}

async fn fill_step(connection: &mut SqliteConnection, max_entries: usize) -> Result<bool, StoreError> {
    let mut left = max_entries.max(1);
    while left > 0 {
        let Some(rest) = fill::part(connection, left).await? else { return Ok(false) };
        left = rest;
    }
    Ok(true)
}

impl RoomRepository for SqliteStore {
    fn find_room<'a>(&'a self, room: &'a RoomName) -> StoreFuture<'a, Option<ListedRoom>> {
        Box::pin(read::find_room(&self.readers, room))
    }

    fn open_rooms(&self, max: usize) -> StoreFuture<'_, Vec<ListedRoom>> {
        Box::pin(read::open_rooms(&self.readers, max))
    }

    fn rooms_of<'a>(&'a self, user: &'a Username, max: usize) -> StoreFuture<'a, Vec<ListedRoom>> {
        Box::pin(read::rooms_of(&self.readers, user, max))
    }

    fn members_of<'a>(
        &'a self,
        room: &'a RoomName,
        after: Option<&'a Username>,
        max: usize,
    ) -> StoreFuture<'a, Vec<(Username, Role)>> {
        Box::pin(read::members_of(&self.readers, room, after, max))
    }

    fn add_rooms<'a>(&'a self, rooms: &'a [(RoomName, String)], now_ms: u64) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let mut writing = self.writer.begin().await?;
            let work = read::add_rooms(&mut writing.connection, rooms, now_ms).await;
            writing.finish(work).await
        })
    }

    fn fill_members(&self, max_entries: usize) -> StoreFuture<'_, bool> {
        Box::pin(async move {
            let mut writing = self.writer.begin().await?;
            let work = fill_step(&mut writing.connection, max_entries).await;
            writing.finish(work).await
        })
    }
}

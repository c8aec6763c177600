//! Bots. Changes use the connection that writes.

use chat_core::{SecretHash, Username};
use sqlx::sqlite::SqliteConnection;

use super::writer::write;
use super::{SqliteStore, accounts};
use crate::bots::database;
use crate::names::RemovedNames;
use crate::{Bot, BotRepository, NewBot, NewWebhook, StoreError, StoreFuture, Webhook};

impl BotRepository for SqliteStore {
    fn put_bot<'a>(&'a self, bot: &'a NewBot) -> StoreFuture<'a, ()> {
        write!(self, c => put(c, bot))
    }

    fn revoke_bot<'a>(
        &'a self,
        name: &'a Username,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, bool> {
        write!(self, c => database::revoke(c, name, by, now_ms))
    }

    fn find_bot<'a>(&'a self, token: &'a SecretHash) -> StoreFuture<'a, Option<Bot>> {
        Box::pin(database::find(&self.readers, token))
    }

    fn bots(&self) -> StoreFuture<'_, Vec<Bot>> {
        Box::pin(database::list(&self.readers))
    }

    fn bots_among<'a>(&'a self, users: &'a [Username]) -> StoreFuture<'a, Vec<Username>> {
        Box::pin(database::among(&self.readers, users))
    }

    fn create_webhook<'a>(
        &'a self,
        webhook: &'a NewWebhook,
        by: Option<&'a Username>,
        now_ms: u64,
    ) -> StoreFuture<'a, bool> {
        write!(self, c => database::create_webhook(c, webhook, by, now_ms))
    }

    fn find_webhook<'a>(&'a self, secret: &'a SecretHash) -> StoreFuture<'a, Option<Webhook>> {
        Box::pin(database::find_webhook(&self.readers, secret))
    }
}

/// Stores a bot with its account.
async fn put(connection: &mut SqliteConnection, bot: &NewBot) -> Result<(), StoreError> {
    if !database::has(&mut *connection, &bot.account.name).await? {
        accounts::create(&mut *connection, &bot.account, RemovedNames::StayTaken).await?;
    }
    database::put(connection, bot).await
}

//! Bots. Each transaction has the same result if it is repeated after its answer was lost.

use chat_core::{SecretHash, Username};

use super::PostgresStore;
use super::accounts::{Creation, NAMES_LOCK};
use super::failure::Failure;
use super::pool::{Pool, write};
use crate::bots::database;
use crate::names::RemovedNames;
use crate::{Bot, BotRepository, NewBot, NewWebhook, RegistrationTerms, StoreError, StoreFuture, Webhook};

impl BotRepository for PostgresStore {
    fn put_bot<'a>(&'a self, bot: &'a NewBot) -> StoreFuture<'a, ()> {
        Box::pin(async move { self.pool.attempts(move || put(&self.pool, bot)).await? })
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
        Box::pin(database::find(&self.pool, token))
    }

    fn bots(&self) -> StoreFuture<'_, Vec<Bot>> {
        Box::pin(database::list(&self.pool))
    }

    fn bots_among<'a>(&'a self, users: &'a [Username]) -> StoreFuture<'a, Vec<Username>> {
        Box::pin(database::among(&self.pool, users))
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
        Box::pin(database::find_webhook(&self.pool, secret))
    }
}

/// Makes an attempt at storing a bot with its account. One that a lost attempt has stored is there
/// with this token.
async fn put(pool: &Pool, bot: &NewBot) -> Result<Result<(), StoreError>, Failure> {
    let mut connection = pool.begin(Some(NAMES_LOCK)).await?;
    let is_there = database::has(&mut connection, &bot.account.name).await?;
    let account = match is_there {
        true => Ok(()),
        false => {
            let creation = Creation::new(&bot.account, RemovedNames::StayTaken);
            creation.make(&mut connection, RegistrationTerms::default()).await?.map(drop)
        }
    };
    if account.is_ok() {
        database::put(&mut connection, bot).await?;
    }
    let end = if account.is_ok() { "COMMIT" } else { "ROLLBACK" };
    sqlx::raw_sql(end).execute(&mut connection).await?;
    pool.put_back(connection);
    Ok(account)
}

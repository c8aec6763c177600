//! Bots. Each transaction has the same result if it is repeated after its answer was lost.

use chat_core::{SecretHash, Username};

use super::PostgresStore;
use super::administration::begin;
use crate::bots::database;
use crate::{Bot, BotRepository, NewBot, NewWebhook, StoreFuture, Webhook};

/// Makes a change in a transaction, in attempts: `$change` on the connection `$connection`.
macro_rules! write {
    ($store:ident, $connection:ident => $change:expr) => {
        Box::pin($store.pool.attempts(move || async move {
            let mut connection = begin(&$store.pool, None).await?;
            let done = {
                let $connection = &mut connection;
                $change.await?
            };
            sqlx::raw_sql("COMMIT").execute(&mut connection).await?;
            $store.pool.put_back(connection);
            Ok(done)
        }))
    };
}

impl BotRepository for PostgresStore {
    fn put_bot<'a>(&'a self, bot: &'a NewBot) -> StoreFuture<'a, bool> {
        write!(self, c => database::put(c, bot))
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

//! Bots. Changes use the connection that writes.

use chat_core::{SecretHash, Username};

use super::SqliteStore;

use crate::bots::database;
use crate::{Bot, BotRepository, NewBot, NewWebhook, StoreFuture, Webhook};

/// Makes a change in a transaction of its own: `$change` on the connection `$writing`.
macro_rules! write {
    ($store:ident, $writing:ident => $change:expr) => {
        Box::pin(async move {
            let mut writing = $store.writer.begin().await?;
            let work = {
                let $writing = &mut writing.connection;
                $change.await
            };
            writing.finish(work).await
        })
    };
}

impl BotRepository for SqliteStore {
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

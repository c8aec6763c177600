//! What the servers of this database share.

use sqlx::Row as _;

use super::PostgresStore;
use crate::rows::Columns as _;
use crate::{
    MissingPicture, NewAttempt, PICTURE_KEPT_MS, PastAttempt, SharedRepository, SharedSecret, StoreError,
    StoreFuture, columns,
};

impl SharedRepository for PostgresStore {
    fn shared_secret<'a>(&'a self, which: SharedSecret, new: &'a [u8]) -> StoreFuture<'a, Vec<u8>> {
        Box::pin(async move {
            self.pool.rows(|| sqlx::query(ADD_SECRET).bind(which.name()).bind(new)).await?;
            let row = self.pool.row(|| sqlx::query(SECRET).bind(which.name())).await?;
            let row = row.ok_or(StoreError::Damaged { what: "a missing secret" })?;
            row.try_get(0).map_err(|_| StoreError::Damaged { what: "a secret" })
        })
    }

    fn put_picture<'a>(&'a self, address: &'a str, bytes: &'a [u8]) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.pool.rows(|| sqlx::query(PUT_PICTURE).bind(address).bind(bytes)).await?;
            Ok(())
        })
    }

    fn picture<'a>(&'a self, address: &'a str) -> StoreFuture<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            let row = self.pool.row(|| sqlx::query(PICTURE).bind(address)).await?;
            let bytes = row.map(|row| row.try_get(0)).transpose();
            bytes.map_err(|_| StoreError::Damaged { what: "a picture" })
        })
    }

    fn drop_unused_pictures<'a>(&'a self, addresses: Option<&'a [String]>) -> StoreFuture<'a, ()> {
        let kept_ms = columns::column(PICTURE_KEPT_MS);
        Box::pin(async move {
            match addresses {
                Some(addresses) => {
                    self.pool.rows(|| sqlx::query(DROP_PICTURES).bind(kept_ms).bind(addresses)).await?
                }
                None => self.pool.rows(|| sqlx::query(DROP_ALL_PICTURES).bind(kept_ms)).await?,
            };
            Ok(())
        })
    }

    fn missing_pictures<'a>(&'a self, addresses: &'a [String]) -> StoreFuture<'a, Vec<MissingPicture>> {
        Box::pin(async move {
            let rows = self.pool.rows(|| sqlx::query(MISSING_PICTURES).bind(addresses)).await?;
            let missing = |row: &sqlx::postgres::PgRow| {
                Ok(MissingPicture { address: row.text(0)?.to_owned(), is_used: row.flag(1)? })
            };
            rows.iter().map(missing).collect()
        })
    }

    fn count_attempt<'a>(&'a self, attempt: &'a NewAttempt) -> StoreFuture<'a, Vec<Vec<PastAttempt>>> {
        Box::pin(async move {
            let NewAttempt { id, keys, account } = attempt;
            let number = |number: usize| columns::column(number as u64);
            let hashes: Vec<i64> = keys.iter().map(|key| key.hash.cast_signed()).collect();
            let windows: Vec<i64> = keys.iter().map(|key| key.window_seconds.into()).collect();
            let most: Vec<i64> = keys.iter().map(|key| number(key.max)).collect();
            let count = || {
                let query = sqlx::query(COUNT_ATTEMPT).bind(&hashes).bind(&windows).bind(&most);
                query.bind(id.cast_signed()).bind(account.map(i64::from))
            };
            let mut counted = vec![Vec::new(); keys.len()];
            for row in self.pool.rows(count).await? {
                let (place, age) = (row.number(0)?, row.number(1)?);
                let account = row.integer_or_null(2)?.and_then(|account| u32::try_from(account).ok());
                let past = PastAttempt { age_seconds: u32::try_from(age).unwrap_or(u32::MAX), account };
                let of_key =
                    usize::try_from(place).ok().and_then(|place| counted.get_mut(place.checked_sub(1)?));
                of_key.ok_or(StoreError::Damaged { what: "an attempt" })?.push(past);
            }
            Ok(counted)
        })
    }

    fn take_attempt_back<'a>(
        &'a self,
        attempt: &'a NewAttempt,
        forgotten: Option<(u64, u32)>,
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let hashes: Vec<i64> = attempt.keys.iter().map(|key| key.hash.cast_signed()).collect();
            let key = forgotten.map(|(key, _)| key.cast_signed());
            let account = forgotten.map(|(_, account)| i64::from(account));
            let take = || {
                let query = sqlx::query(TAKE_ATTEMPT_BACK).bind(&hashes).bind(attempt.id.cast_signed());
                query.bind(key).bind(account)
            };
            self.pool.rows(take).await?;
            Ok(())
        })
    }

    fn drop_attempts(&self, older_than_seconds: u32) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let seconds = i64::from(older_than_seconds);
            self.pool.rows(|| sqlx::query(DROP_ATTEMPTS).bind(seconds)).await?;
            Ok(())
        })
    }
}

const ADD_SECRET: &str = "INSERT INTO secrets (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
/// A statement of its own: one that has waited for another server's row does not see it.
const SECRET: &str = "SELECT value FROM secrets WHERE name = $1";

const PUT_PICTURE: &str = "INSERT INTO pictures (address, bytes, added_at) VALUES ($1, $2, now())
         ON CONFLICT (address) DO UPDATE SET added_at = excluded.added_at";

const PICTURE: &str = "SELECT bytes FROM pictures AS p
      WHERE p.address = $1 AND EXISTS (SELECT FROM users AS u WHERE u.avatar = p.address)";

macro_rules! drop_pictures {
    ($which:literal) => {
        concat!(
            "DELETE FROM pictures AS p
              WHERE p.added_at < now() - $1 * interval '1 ms'
                AND NOT EXISTS (SELECT FROM users AS u WHERE u.avatar = p.address)",
            $which
        )
    };
}

const DROP_PICTURES: &str = drop_pictures!(" AND p.address = ANY ($2)");

/// It looks at all accounts. The lock lasts until the end of the statement: it is apart from the
/// other locks of one key.
const DROP_ALL_PICTURES: &str =
    drop_pictures!(" AND (SELECT pg_try_advisory_xact_lock(x'6368617400000007'::bigint))");

const MISSING_PICTURES: &str = "SELECT a.address, EXISTS (SELECT FROM users AS u WHERE u.avatar = a.address)
       FROM unnest($1::text[]) AS a (address)
      WHERE NOT EXISTS (SELECT FROM pictures AS p WHERE p.address = a.address)";

/// The statement sees what was there before it. Of attempts at the same moment, each is counted, and
/// some do not see each other: as many as there are servers, as each of them counts its own.
const COUNT_ATTEMPT: &str = "WITH k AS (
         SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) WITH ORDINALITY
             AS k (key, window_s, most, place)),
     added AS (
         INSERT INTO counted_attempts (key, id, account, at)
         SELECT key, $4, $5, clock_timestamp() FROM k
             ON CONFLICT (key, id) DO UPDATE SET account = excluded.account)
     SELECT k.place, greatest(0, extract(epoch FROM clock_timestamp() - a.at))::bigint, a.account
       FROM k CROSS JOIN LATERAL (
            SELECT c.at, c.account FROM counted_attempts AS c
             WHERE c.key = k.key AND c.id <> $4 AND c.at > clock_timestamp() - k.window_s * interval '1 s'
             ORDER BY c.at DESC LIMIT k.most) AS a
      ORDER BY k.place, a.at DESC";

const TAKE_ATTEMPT_BACK: &str = "DELETE FROM counted_attempts
      WHERE (key = ANY ($1) AND id = $2) OR (key = $3 AND account = $4)";

const DROP_ATTEMPTS: &str = "DELETE FROM counted_attempts WHERE at < clock_timestamp() - $1 * interval '1 s'";

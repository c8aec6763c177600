//! The names of existing and removed accounts, with their skeletons.

use chat_core::{Skeleton, Username};
use sqlx::postgres::PgConnection;

use super::pool::Pool;
use crate::StoreError;
use crate::names::{KnownName, rules};
use crate::rows::{self, Columns as _};

/// Looks up what is known of a name.
pub(super) async fn find(pool: &Pool, name: &Username) -> Result<KnownName, StoreError> {
    let skeleton = Skeleton::of(name.as_str());
    let [cased, folded] = skeleton.keys();
    let row = pool.row(|| sqlx::query(FIND).bind(name.as_str()).bind(cased).bind(folded)).await?;
    rows::known_name(&row.ok_or(StoreError::Damaged { what: "no answer" })?)
}

/// Reserves the names of accounts that other programs added, and updates rows made by
/// another version of the rules. Usually there are none; other servers may do the same
/// at the same time.
pub(crate) async fn complete(connection: &mut PgConnection) -> Result<(), StoreError> {
    let missing = sqlx::query(MISSING)
        .bind(rules())
        .fetch_all(&mut *connection)
        .await
        .map_err(StoreError::unavailable)?;
    for some in missing.chunks(CHUNK) {
        let names = some.iter().map(|row| row.text(0)).collect::<Result<Vec<&str>, _>>()?;
        let skeletons: Vec<Skeleton> = names.iter().map(|name| Skeleton::of(name)).collect();
        let [cased, folded] =
            [0, 1].map(|key| skeletons.iter().map(|skeleton| skeleton.keys()[key]).collect::<Vec<_>>());
        sqlx::query(KEEP_ALL)
            .bind(&names)
            .bind(&cased)
            .bind(&folded)
            .bind(rules())
            .execute(&mut *connection)
            .await
            .map_err(StoreError::unavailable)?;
    }
    Ok(())
}

/// The number of names in one statement.
const CHUNK: usize = 1_000;

pub(super) const FIND: &str = "SELECT
    EXISTS (SELECT FROM users WHERE username = $1),
    EXISTS (SELECT FROM names WHERE username = $1),
    EXISTS (SELECT FROM names WHERE cased IN ($2, $3)) OR
    EXISTS (SELECT FROM names WHERE folded IN ($2, $3))";

/// In one order, so that two servers at once cannot deadlock.
const MISSING: &str = r#"SELECT username::text COLLATE "C" FROM users AS u
     WHERE NOT EXISTS (SELECT FROM names AS n WHERE n.username = u.username::text COLLATE "C")
     UNION ALL SELECT username FROM names WHERE rules <> $1
     ORDER BY 1"#;

const KEEP_ALL: &str = "INSERT INTO names (username, cased, folded, rules)
     SELECT n.username, n.cased, n.folded, $4
       FROM UNNEST($1::text[], $2::text[], $3::text[]) AS n (username, cased, folded)
         ON CONFLICT (username) DO UPDATE SET
            cased = excluded.cased, folded = excluded.folded, rules = excluded.rules";

//! The words by which accounts are found.

use sqlx::postgres::PgConnection;

use crate::StoreError;
use crate::directory::{WORD_RULES, word_rows};
use crate::rows::Columns as _;

/// Stores the words of accounts that have none, or those of another version of the rules.
/// Usually there are none; other servers may do the same at the same time.
pub(super) async fn complete(connection: &mut PgConnection) -> Result<(), StoreError> {
    let missing = sqlx::query(MISSING)
        .bind(WORD_RULES)
        .fetch_all(&mut *connection)
        .await
        .map_err(StoreError::unavailable)?;
    for some in missing.chunks(CHUNK) {
        let names = some.iter().map(|row| row.text(0)).collect::<Result<Vec<&str>, _>>()?;
        let (mut words, mut names_of_words, mut whole) = (Vec::new(), Vec::new(), Vec::new());
        for (word, name, is_whole) in names.into_iter().flat_map(word_rows) {
            words.push(word);
            names_of_words.push(name);
            whole.push(is_whole);
        }
        sqlx::query(KEEP_ALL)
            .bind(&words)
            .bind(&names_of_words)
            .bind(WORD_RULES)
            .bind(&whole)
            .execute(&mut *connection)
            .await
            .map_err(StoreError::unavailable)?;
    }
    Ok(())
}

/// The number of names in one statement.
const CHUNK: usize = 1_000;

/// A page of the listing of all accounts: those behind a word and a name, in their order.
/// The original's names have the collation of the database.
pub(super) const LIST: &str = r#"SELECT u.username, u.password_hash, u.avatar,
            CASE WHEN isfinite(u.created_at)
                 THEN greatest(0, round(extract(epoch FROM u.created_at) * 1000))::bigint
                 ELSE 0 END,
            w.word
       FROM name_words AS w JOIN users AS u ON u.username = w.username COLLATE "default"
      WHERE w.whole = 1 AND (w.word, w.username) > ($1, $2) AND w.word < $3
      ORDER BY w.word, w.username LIMIT $4"#;

/// A page of words with their accounts.
pub(super) const SEARCH: &str = r#"SELECT u.username, u.password_hash, u.avatar,
            CASE WHEN isfinite(u.created_at)
                 THEN greatest(0, round(extract(epoch FROM u.created_at) * 1000))::bigint
                 ELSE 0 END,
            w.word
       FROM name_words AS w JOIN users AS u ON u.username = w.username COLLATE "default"
      WHERE (w.word, w.username) > ($1, $2) AND w.word < $3
      ORDER BY w.word, w.username LIMIT $4"#;

/// In one order, so that two servers at once cannot deadlock.
const MISSING: &str = r#"SELECT username::text COLLATE "C" FROM users AS u
     WHERE NOT EXISTS (SELECT FROM name_words AS w
                        WHERE w.username = u.username::text COLLATE "C" AND w.rules = $1)
     ORDER BY 1"#;

/// Words of another version of the rules go. A word that both versions have is kept, and
/// is not in what the deletion sees.
const KEEP_ALL: &str = "WITH removed AS (
         DELETE FROM name_words WHERE username = ANY($2) AND rules <> $3
            AND (word, username) NOT IN (SELECT * FROM UNNEST($1::text[], $2::text[])))
     INSERT INTO name_words (word, username, whole, rules)
     SELECT w.word, w.username, w.whole, $3
       FROM UNNEST($1::text[], $2::text[], $4::bigint[]) AS w (word, username, whole)
         ON CONFLICT (word, username) DO UPDATE SET whole = excluded.whole, rules = excluded.rules";

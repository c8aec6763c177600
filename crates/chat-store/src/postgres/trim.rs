//! Removing entries that are not kept, on the connections for single statements. One server does
//! so at a time: another one leaves it to that one.

use chat_core::FileId;

use super::failure::Failure;
use super::pool::Pool;
use crate::changes::trim::oldest_kept;
use crate::files::ids_in;
use crate::retention::{Cut, Plan, Stage, TOPICS_AT_ONCE, nonces_before};
use crate::rows::{self, Columns as _};
use crate::{Retention, StoreError, TrimPosition, Trimmed, columns};

pub(super) async fn trim(
    pool: &Pool,
    retention: &Retention,
    from: TrimPosition,
    now_ms: u64,
    max_entries: usize,
) -> Result<Trimmed, StoreError> {
    let max = max_entries.max(1);
    let nonces_before = columns::column(nonces_before(now_ms));
    match from.0 {
        Stage::Topics { after } => {
            let (plan, next) = plan(pool, Cut::of(retention, now_ms), after, max).await?;
            let mut trimmed =
                Trimmed { topics: plan.topics, next: Some(TrimPosition(next)), ..Trimmed::default() };
            if !plan.cuts.is_empty() {
                let (topics, last): (Vec<i64>, Vec<i64>) =
                    plan.cuts.iter().map(|&(topic, upto)| (topic, columns::column(upto))).unzip();
                let attempt = || remove(pool, &topics, &last, nonces_before);
                match pool.attempts(attempt).await? {
                    Some(removed) => (trimmed.entries, trimmed.nonces, trimmed.files) = removed,
                    None => return Ok(Trimmed::default()),
                }
            }
            Ok(trimmed)
        }
        Stage::Nonces => {
            let most = columns::column(max as u64);
            let forget = || sqlx::query(FORGET).bind(nonces_before).bind(most);
            let row = pool.row(forget).await?.ok_or(StoreError::Damaged { what: "no answer" })?;
            let nonces = row.number(0)?;
            let next = (nonces >= max as u64).then_some(TrimPosition(Stage::Nonces));
            Ok(Trimmed { nonces, next, ..Trimmed::default() })
        }
    }
}

/// Makes an attempt at removing entries with what depends on them. A batch that changes one of
/// these messages ends before, or begins after it. Repeated after its answer was lost, it
/// finds fewer rows. Returns the numbers of removed entries and of removed nonces, and the files of
/// removed messages; `None`, and removes nothing, while another server removes entries.
async fn remove(
    pool: &Pool,
    topics: &[i64],
    last: &[i64],
    nonces_before: i64,
) -> Result<Option<(u64, u64, Vec<FileId>)>, Failure> {
    let mut connection = pool.begin(None).await?;
    let lock = sqlx::query(TRY_ALONE).bind(TRIM_LOCK).fetch_one(&mut connection).await?;
    if !lock.flag(0)? {
        sqlx::raw_sql("ROLLBACK").execute(&mut connection).await?;
        pool.put_back(connection);
        return Ok(None);
    }
    sqlx::query(LOCK).bind(topics).execute(&mut connection).await?;
    let remove = sqlx::query(REMOVE).bind(topics).bind(last).bind(nonces_before);
    let row = remove.fetch_one(&mut connection).await?;
    sqlx::raw_sql("COMMIT").execute(&mut connection).await?;
    pool.put_back(connection);
    let mut files = Vec::new();
    for column in row.text_or_null(2)?.map(parse_columns).transpose()?.into_iter().flatten() {
        files.extend(ids_in(Some(&column))?);
    }
    Ok(Some((row.number(0)?, row.number(1)?, files)))
}

/// Columns of files as an array in JSON.
fn parse_columns(json: &str) -> Result<Vec<String>, StoreError> {
    serde_json::from_str(json).map_err(|_| StoreError::Damaged { what: "the files of removed messages" })
}

/// Plans what is removed from the topics with a higher row id than `after`. Returns the
/// plan and the position of the next step.
async fn plan(pool: &Pool, cut: Cut, mut after: i64, max: usize) -> Result<(Plan, Stage), StoreError> {
    let topics = pool.rows(|| sqlx::query(FIRST_ENTRIES).bind(after).bind(TOPICS_AT_ONCE as i64)).await?;
    let mut plan = Plan::default();
    for row in &topics {
        let entry = rows::oldest_entry(row)?;
        let id = entry.id;
        if let Some((seq, at_ms)) = entry.oldest
            && let oldest_kept = oldest_kept(&mut &*pool, cut, &entry).await?
            && cut.removes(seq, at_ms, oldest_kept)
        {
            let left = columns::column((max - plan.entries) as u64);
            let found = pool.rows(|| sqlx::query(OLDEST_ENTRIES).bind(id).bind(left)).await?;
            let oldest = found.iter().map(rows::seq_and_stamp).collect::<Result<Vec<_>, _>>()?;
            plan.add(id, entry.topic, oldest_kept, &oldest, cut);
            if plan.entries == max {
                // The topic may have more entries to remove.
                return Ok((plan, Stage::Topics { after }));
            }
        }
        after = id;
    }
    let next = if topics.len() == TOPICS_AT_ONCE { Stage::Topics { after } } else { Stage::Nonces };
    Ok((plan, next))
}

/// Topics, each with its oldest message and its oldest change if it has one.
pub(super) const FIRST_ENTRIES: &str =
    "SELECT t.id, t.kind, t.name, t.other, t.last_seq, e.seq, e.at, c.seq, c.at
       FROM (SELECT * FROM topics WHERE id > $1 ORDER BY id LIMIT $2) AS t
       LEFT JOIN LATERAL (SELECT seq, at FROM entries WHERE topic = t.id ORDER BY seq LIMIT 1) AS e ON true
       LEFT JOIN LATERAL (SELECT seq, at FROM changes WHERE topic = t.id ORDER BY seq LIMIT 1) AS c ON true
      ORDER BY t.id";

pub(super) const OLDEST_ENTRIES: &str = "SELECT seq, at FROM
     ((SELECT seq, at FROM entries WHERE topic = $1 ORDER BY seq LIMIT $2)
       UNION ALL (SELECT seq, at FROM changes WHERE topic = $1 ORDER BY seq LIMIT $2)) AS oldest
      ORDER BY seq LIMIT $2";

const TRY_ALONE: &str = "SELECT pg_try_advisory_xact_lock($1)";
/// A transaction that removes entries holds it. It is apart from the other locks of one key.
const TRIM_LOCK: i64 = 0x6368_6174_0000_0006;

/// In the order of topics, as batches lock them.
pub(super) const LOCK: &str = "SELECT 1 FROM topics WHERE id = ANY ($1)
      ORDER BY kind, name, other FOR UPDATE";

/// The reactions to a message are not removed with it, all at once, but each with its change.
pub(super) const REMOVE: &str = "WITH cut AS MATERIALIZED (
         SELECT * FROM unnest($1::bigint[], $2::bigint[]) AS d (topic, upto)),
     gone AS (
         DELETE FROM entries AS e USING cut AS d WHERE e.topic = d.topic AND e.seq <= d.upto
      RETURNING e.at, e.nonce, e.sender, e.topic, e.seq, e.mentions, e.files),
     gone_changes AS (
         DELETE FROM changes AS c USING cut AS d WHERE c.topic = d.topic AND c.seq <= d.upto
      RETURNING c.at, c.nonce, c.sender, c.topic, c.target, c.kind, c.emoji),
     stateless AS (
         DELETE FROM states AS s USING cut AS d WHERE s.topic = d.topic AND s.seq <= d.upto),
     unreacted AS (
         DELETE FROM reactions AS r USING gone_changes AS g
          WHERE g.kind = 4
            AND r.topic = g.topic AND r.target = g.target AND r.emoji = g.emoji AND r.username = g.sender),
     remembered AS (
         DELETE FROM remembered_nonces AS r USING cut AS d WHERE r.topic = d.topic AND r.seq <= d.upto
      RETURNING r.at, r.nonce, r.sender),
     gone_nonces AS (
         SELECT at, nonce, sender FROM gone WHERE nonce IS NOT NULL
          UNION ALL
         SELECT at, nonce, sender FROM gone_changes WHERE nonce IS NOT NULL
          UNION ALL
         SELECT at, nonce, sender FROM remembered),
     unmentioned AS (
         DELETE FROM mentions AS m
          USING gone AS g, jsonb_array_elements_text(g.mentions::jsonb) AS name
          WHERE g.mentions IS NOT NULL
            AND m.topic = g.topic AND m.username = name AND m.seq = g.seq),
     taken_back AS (
         UPDATE files AS f SET state = 3, name = '', topic = NULL, seq = NULL
           FROM gone AS g, jsonb_array_elements(g.files::jsonb) AS d (v)
          WHERE g.files IS NOT NULL AND f.id = d.v ->> 'id'),
     kept AS (
         INSERT INTO outlived_nonces (at, nonce, sender)
         SELECT at, nonce, sender FROM gone_nonces WHERE at >= $3
             ON CONFLICT DO NOTHING),
     forgotten AS (
         DELETE FROM nonces AS n USING gone_nonces AS g
          WHERE n.nonce = g.nonce AND n.sender = g.sender AND g.at < $3
      RETURNING 1)
     SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM gone_changes), (SELECT count(*) FROM forgotten),
            (SELECT json_agg(files)::text FROM gone WHERE files IS NOT NULL)";

/// Skips rows that another server is deleting.
pub(super) const FORGET: &str = "WITH over AS (
         DELETE FROM outlived_nonces AS o
          USING (SELECT at, nonce, sender FROM outlived_nonces
                  WHERE at < $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED) AS d
          WHERE o.at = d.at AND o.nonce = d.nonce AND o.sender = d.sender
      RETURNING o.nonce, o.sender),
     forgotten AS (
         DELETE FROM nonces AS n USING over AS o WHERE n.nonce = o.nonce AND n.sender = o.sender
      RETURNING 1)
     SELECT count(*) FROM over";

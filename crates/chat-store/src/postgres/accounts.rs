//! Users and sessions. The table `users` has the columns of the original chat, see
//! `migrations/postgres/0001_accounts.up.sql`.

use std::sync::atomic::{AtomicBool, Ordering};

use chat_core::{SessionId, Skeleton, Username};
use sqlx::postgres::{PgConnection, PgRow};

use super::failure::Failure;
use super::pool::{Pool, Query};
use super::{PostgresStore, names, roles, words};
use crate::administration::database;
use crate::directory::{self, ListingPage, WORD_RULES};
use crate::names::{RemovedNames, pick_ignoring_case, rules};
use crate::rooms::members;
use crate::rows::Columns as _;
use crate::{
    AdministrationRepository as _, Ended, NewUser, PasswordChange, RegistrationTerms, RoleChange,
    SESSIONS_LISTED_MAX, Session, SessionRepository, StoreError, StoreFuture, Subject, User, UserRepository,
    columns, rows,
};

impl UserRepository for PostgresStore {
    fn create_user<'a>(&'a self, user: &'a NewUser) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.create(user, RemovedNames::StayTaken, RegistrationTerms::default()).await.map(drop)
        })
    }

    fn recreate_user<'a>(&'a self, user: &'a NewUser) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.create(user, RemovedNames::MayReturn, RegistrationTerms::default()).await.map(drop)
        })
    }

    fn check_new_name<'a>(&'a self, name: &'a Username) -> StoreFuture<'a, ()> {
        Box::pin(async move { names::find(&self.pool, name).await?.check(RemovedNames::StayTaken) })
    }

    fn find_user<'a>(&'a self, name: &'a Username) -> StoreFuture<'a, Option<User>> {
        Box::pin(async move {
            let row = self.pool.row(|| sqlx::query(FIND_USER).bind(name.as_str())).await?;
            row.as_ref().map(rows::user).transpose()
        })
    }

    fn find_user_ignoring_case<'a>(
        &'a self,
        typed: &'a Username,
        name: &'a Username,
    ) -> StoreFuture<'a, Option<User>> {
        Box::pin(async move {
            let skeleton = Skeleton::of(name.as_str());
            let [_, folded] = skeleton.keys();
            let (typed_text, name_text) = (typed.as_str(), name.as_str());
            let find = || sqlx::query(FIND_USER_IGNORING_CASE).bind(typed_text).bind(name_text).bind(folded);
            let found = self.pool.rows(find).await?;
            let candidates = found.iter().map(rows::user).collect::<Result<Vec<_>, _>>()?;
            Ok(pick_ignoring_case(typed, name, candidates))
        })
    }

    fn find_subject<'a>(&'a self, subject: Subject<'a>) -> StoreFuture<'a, Option<User>> {
        Box::pin(async move {
            let find = || sqlx::query(FIND_SUBJECT).bind(subject.issuer).bind(subject.subject);
            self.pool.row(find).await?.as_ref().map(rows::user).transpose()
        })
    }

    fn set_password_hash<'a>(
        &'a self,
        name: &'a Username,
        old: &'a str,
        new: &'a str,
    ) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let set = self
                .pool
                .row(|| sqlx::query(SET_PASSWORD_HASH).bind(name.as_str()).bind(old).bind(new))
                .await?;
            Ok(set.is_some())
        })
    }

    fn change_password<'a>(&'a self, change: PasswordChange<'a>) -> StoreFuture<'a, Option<Vec<SessionId>>> {
        Box::pin(self.pool.attempts(move || change_password(&self.pool, change)))
    }

    fn set_avatar<'a>(
        &'a self,
        name: &'a Username,
        old: Option<&'a str>,
        new: Option<&'a str>,
    ) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let set =
                self.pool.row(|| sqlx::query(SET_AVATAR).bind(name.as_str()).bind(old).bind(new)).await?;
            Ok(set.is_some())
        })
    }

    fn is_avatar_used<'a>(&'a self, avatar: &'a str) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let find = || sqlx::query("SELECT 1 FROM users WHERE avatar = $1 LIMIT 1").bind(avatar);
            Ok(self.pool.row(find).await?.is_some())
        })
    }

    fn remove_user<'a>(&'a self, name: &'a Username) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let skeleton = Skeleton::of(name.as_str());
            let [cased, folded] = skeleton.keys();
            self.pool.attempts(move || remove(&self.pool, name, [cased, folded])).await
        })
    }

    fn list_users<'a>(&'a self, after: Option<&'a Username>, max: usize) -> StoreFuture<'a, Vec<User>> {
        Box::pin(async move {
            let (after, max) = (after.map_or("", Username::as_str), columns::column(max as u64));
            let found = self.pool.rows(|| sqlx::query(LIST_USERS).bind(after).bind(max)).await?;
            found.iter().map(rows::user).collect()
        })
    }

    fn find_users<'a>(&'a self, names: &'a [Username]) -> StoreFuture<'a, Vec<User>> {
        Box::pin(async move {
            let texts: Vec<&str> = names.iter().map(Username::as_str).collect();
            let found = self.pool.rows(|| sqlx::query(FIND_USERS).bind(&texts)).await?;
            found.iter().map(rows::user).collect()
        })
    }

    fn search_users<'a>(
        &'a self,
        prefix: Option<&'a Username>,
        after: Option<&'a Username>,
        max: usize,
    ) -> StoreFuture<'a, Vec<User>> {
        Box::pin(async move {
            let mut page = ListingPage::new(prefix, after, max);
            loop {
                let (word, name, end, rows) = page.query();
                let sql = if prefix.is_some() { words::SEARCH } else { words::LIST };
                let search = || sqlx::query(sql).bind(word).bind(name).bind(&end).bind(rows);
                let found = self.pool.rows(search).await?;
                if page.take(&found)? {
                    return Ok(page.into_users());
                }
            }
        })
    }

    fn is_administrator<'a>(&'a self, name: &'a Username) -> StoreFuture<'a, bool> {
        Box::pin(roles::is_administrator(&self.pool, name))
    }

    fn set_administrator<'a>(
        &'a self,
        name: &'a Username,
        is_administrator: bool,
        now_ms: u64,
    ) -> StoreFuture<'a, RoleChange> {
        self.set_role(name, is_administrator, None, now_ms)
    }

    fn count_users(&self) -> StoreFuture<'_, u64> {
        Box::pin(database::count_users(&self.pool))
    }

    fn administrators(&self) -> StoreFuture<'_, Vec<Username>> {
        Box::pin(roles::administrators(&self.pool))
    }
}

impl PostgresStore {
    /// Stores a new account. Returns `false` if the invitation cannot be used.
    pub(super) async fn create(
        &self,
        user: &NewUser,
        removed: RemovedNames,
        terms: RegistrationTerms<'_>,
    ) -> Result<bool, StoreError> {
        let creation = &Creation::new(user, removed);
        self.pool.attempts(move || creation.attempt(&self.pool, terms)).await?
    }
}

/// The creation of an account, in attempts under [`NAMES_LOCK`].
pub(super) struct Creation<'a> {
    user: &'a NewUser,
    removed: RemovedNames,
    skeleton: Skeleton,
    words: Vec<String>,
    is_tried: AtomicBool,
}

impl<'a> Creation<'a> {
    pub(super) fn new(user: &'a NewUser, removed: RemovedNames) -> Self {
        let (skeleton, words) = (Skeleton::of(user.name.as_str()), directory::words(user.name.as_str()));
        Self { user, removed, skeleton, words, is_tried: AtomicBool::new(false) }
    }

    /// Makes an attempt. Returns `false`, and stores nothing, if the invitation cannot be used.
    async fn attempt(
        &self,
        pool: &Pool,
        terms: RegistrationTerms<'_>,
    ) -> Result<Result<bool, StoreError>, Failure> {
        let mut connection = pool.begin(Some(NAMES_LOCK)).await?;
        let made = self.make(&mut connection, terms).await?;
        let is_made = matches!(made, Ok(true));
        sqlx::raw_sql(if is_made { "COMMIT" } else { "ROLLBACK" }).execute(&mut connection).await?;
        pool.put_back(connection);
        Ok(made)
    }

    /// Makes an attempt in a transaction under the lock.
    pub(super) async fn make(
        &self,
        connection: &mut PgConnection,
        RegistrationTerms { invite, accounts_max, subject }: RegistrationTerms<'_>,
    ) -> Result<Result<bool, StoreError>, Failure> {
        let user = self.user;
        // An earlier attempt whose answer was lost may have made the last account.
        if let Err(full) = database::check_accounts(connection, accounts_max).await?
            && !database::has_hash(connection, &user.name, &user.password_hash).await?
        {
            return Ok(Err(full));
        }
        let row = self.query().fetch_one(&mut *connection).await?;
        if let Err(refused) = self.check(&row) {
            return Ok(Err(refused));
        }
        if let Some(subject) = subject
            && let Err(refused) = database::give_account(connection, subject, &user.name).await?
        {
            return Ok(Err(refused));
        }
        match invite {
            // An account that an earlier attempt has made has used the invitation, too.
            Some(invite) if !row.flag(4)? => {
                Ok(Ok(database::admit(connection, invite, &user.name, user.created_at_ms).await?))
            }
            _ => Ok(Ok(true)),
        }
    }

    /// The statement of the next attempt, which returns a row.
    fn query(&self) -> Query<'_> {
        let Self { user, removed, words, .. } = self;
        let [cased, folded] = self.skeleton.keys();
        // If the answer to the first attempt was lost, it may have made the account that a retry
        // finds. The hash, with its random salt, and the time identify it: accounts without a password
        // have the same hash.
        let is_retry = self.is_tried.swap(true, Ordering::Relaxed);
        sqlx::query(CREATE_USER)
            .bind(user.name.as_str())
            .bind(cased)
            .bind(folded)
            .bind(rules())
            .bind(&user.password_hash)
            .bind(&user.avatar)
            .bind(columns::column(user.created_at_ms))
            .bind(*removed == RemovedNames::MayReturn)
            .bind(is_retry)
            .bind(words)
            .bind(WORD_RULES)
    }

    /// Whether the account was made, by this attempt or an earlier one.
    fn check(&self, row: &PgRow) -> Result<(), StoreError> {
        match row.flag(3)? {
            true => Ok(()),
            false => rows::known_name(row)?.check(self.removed).and(Err(StoreError::NameTaken)),
        }
    }
}

/// Makes an attempt at removing an account with all that it may do.
async fn remove(pool: &Pool, name: &Username, [cased, folded]: [&str; 2]) -> Result<(), Failure> {
    let mut connection = pool.begin(Some(roles::ROLES_LOCK)).await?;
    let remove = sqlx::query(REMOVE_USER).bind(name.as_str()).bind(cased).bind(folded).bind(rules());
    remove.execute(&mut connection).await?;
    members::remove_from_all(&mut connection, name).await?;
    database::forget_user(&mut connection, name).await?;
    sqlx::raw_sql("COMMIT").execute(&mut connection).await?;
    pool.put_back(connection);
    Ok(())
}

/// Makes an attempt at a change of a password.
///
/// The second deletion comes after the commit: a sign-in may have read the old hash before
/// it, and have opened its session after the statement that deletes the others began. Such
/// a sign-in that reads its account again after the commit ends its session itself.
async fn change_password(pool: &Pool, change: PasswordChange<'_>) -> Result<Option<Vec<SessionId>>, Failure> {
    let mut connection = pool.connection().await?;
    sqlx::raw_sql("BEGIN").execute(&mut connection).await?;
    let set = sqlx::query(SET_PASSWORD_HASH)
        .bind(change.user.as_str())
        .bind(change.old)
        .bind(change.new)
        .fetch_optional(&mut connection)
        .await?;
    if set.is_none() {
        sqlx::raw_sql("ROLLBACK").execute(&mut connection).await?;
        pool.put_back(connection);
        return Ok(None);
    }
    database::drop_links_of(&mut connection, change.user).await?;
    let revoke = || sqlx::query(REVOKE_OTHER_SESSIONS).bind(change.user.as_str()).bind(change.kept.as_str());
    let mut ended = revoke().fetch_all(&mut connection).await?;
    sqlx::raw_sql("COMMIT").execute(&mut connection).await?;
    ended.extend(revoke().fetch_all(&mut connection).await?);
    pool.put_back(connection);
    Ok(Some(ended.iter().map(rows::session_id).collect::<Result<_, _>>()?))
}

impl SessionRepository for PostgresStore {
    /// Deletes some ended sessions, too: nothing else would.
    fn open_session<'a>(&'a self, session: &'a Session, of_user_max: usize) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let now = columns::column(session.created_at_ms);
            self.pool.rows(|| sqlx::query(SWEEP_SESSIONS).bind(now)).await?;
            self.pool
                .rows(|| {
                    sqlx::query(OPEN_SESSION)
                        .bind(session.id.as_str())
                        .bind(session.user.as_str())
                        .bind(now)
                        .bind(columns::column(session.expires_at_ms))
                        .bind(&session.device)
                        .bind(&session.address)
                        .bind(columns::column(session.last_seen_at_ms))
                })
                .await?;
            // A ban that was committed before this statement is seen by it; one that is
            // committed later ends the session itself.
            let end = || sqlx::query(END_BANNED).bind(session.id.as_str()).bind(session.user.as_str());
            let is_open = self.pool.row(end).await?.is_none();
            if is_open {
                let others = columns::column(of_user_max.saturating_sub(1) as u64);
                let end_oldest = || {
                    let query = sqlx::query(END_OLDEST_SESSIONS).bind(session.user.as_str());
                    query.bind(session.id.as_str()).bind(others)
                };
                self.pool.rows(end_oldest).await?;
            }
            Ok(is_open)
        })
    }

    fn find_session<'a>(&'a self, id: &'a SessionId, now_ms: u64) -> StoreFuture<'a, Option<Session>> {
        Box::pin(async move {
            let now = columns::column(now_ms);
            let row = self.pool.row(|| sqlx::query(FIND_SESSION).bind(id.as_str()).bind(now)).await?;
            row.as_ref().map(rows::session).transpose()
        })
    }

    fn renew_session<'a>(
        &'a self,
        id: &'a SessionId,
        now_ms: u64,
        expires_at_ms: u64,
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let (now, end) = (columns::column(now_ms), columns::column(expires_at_ms));
            self.pool.rows(|| sqlx::query(RENEW_SESSION).bind(id.as_str()).bind(now).bind(end)).await?;
            Ok(())
        })
    }

    fn revoke_session<'a>(&'a self, id: &'a SessionId) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.pool.rows(|| sqlx::query(REVOKE_SESSION).bind(id.as_str())).await?;
            Ok(())
        })
    }

    fn sessions_of<'a>(&'a self, user: &'a Username, now_ms: u64) -> StoreFuture<'a, Vec<Session>> {
        Box::pin(async move {
            let (now, max) = (columns::column(now_ms), SESSIONS_LISTED_MAX as i64);
            let found =
                self.pool.rows(|| sqlx::query(SESSIONS_OF).bind(user.as_str()).bind(now).bind(max)).await?;
            found.iter().map(rows::session).collect()
        })
    }

    fn revoke_sessions_of<'a>(&'a self, user: &'a Username) -> StoreFuture<'a, Vec<SessionId>> {
        Box::pin(async move {
            let revoked = self.pool.rows(|| sqlx::query(REVOKE_SESSIONS_OF).bind(user.as_str())).await?;
            revoked.iter().map(rows::session_id).collect()
        })
    }

    fn touch_session<'a>(&'a self, id: &'a SessionId, now_ms: u64) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let now = columns::column(now_ms);
            self.pool.rows(|| sqlx::query(TOUCH_SESSION).bind(id.as_str()).bind(now)).await?;
            Ok(())
        })
    }

    fn next_ended(&self) -> StoreFuture<'_, Ended> {
        Box::pin(self.ended_sessions.next())
    }

    fn valid_sessions<'a>(
        &'a self,
        ids: &'a [SessionId],
        now_ms: u64,
    ) -> StoreFuture<'a, Vec<(SessionId, u64)>> {
        Box::pin(async move {
            let texts: Vec<&str> = ids.iter().map(SessionId::as_str).collect();
            let now = columns::column(now_ms);
            let valid = self.pool.rows(|| sqlx::query(VALID_SESSIONS).bind(&texts).bind(now)).await?;
            valid.iter().map(rows::session_end).collect()
        })
    }
}

/// The lock under which one account is made at a time, as no index can tell that two
/// names are confusable: "chat" in ASCII, and the kind of the lock.
pub(super) const NAMES_LOCK: i64 = 0x6368_6174_0000_0002;

/// Returns what was known of the name before, and whether this statement or an earlier
/// attempt made the account. Another program may have removed an account of this name,
/// and left its role, its words, and a link that sets its password. The ban of a removed account
/// ends where the operator gives its name to another one.
pub(super) const CREATE_USER: &str = r#"WITH known AS (
         SELECT EXISTS (SELECT FROM users WHERE username = $1) AS has_account,
                EXISTS (SELECT FROM names WHERE username = $1) AS is_known,
                EXISTS (SELECT FROM names WHERE cased IN ($2, $3)) OR
                EXISTS (SELECT FROM names WHERE folded IN ($2, $3)) AS is_confusable,
                EXISTS (SELECT FROM users WHERE $9 AND username = $1 AND password_hash = $5
                           AND created_at = to_timestamp($7::double precision / 1000)) AS made_before),
     made AS (
         INSERT INTO users (username, password_hash, avatar, created_at)
         SELECT $1, $5, $6, to_timestamp($7::double precision / 1000) FROM known
          WHERE NOT has_account AND CASE WHEN is_known THEN $8 ELSE NOT is_confusable END
             ON CONFLICT (username) DO NOTHING
      RETURNING username),
     kept AS (
         INSERT INTO names (username, cased, folded, rules) SELECT username, $2, $3, $4 FROM made
             ON CONFLICT (username) DO NOTHING),
     found_by AS (
         INSERT INTO name_words (word, username, whole, rules)
         SELECT w.word, made.username, (w.number = 1)::int, $11
           FROM made, UNNEST($10::text[]) WITH ORDINALITY AS w (word, number)
             ON CONFLICT (word, username) DO UPDATE SET rules = excluded.rules),
     old_role AS (
         DELETE FROM administrators WHERE username = (SELECT made.username COLLATE "C" FROM made)),
     old_bot AS (
         DELETE FROM bots WHERE username = (SELECT made.username COLLATE "C" FROM made)),
     old_bot_rooms AS (
         DELETE FROM bot_rooms WHERE username = (SELECT made.username COLLATE "C" FROM made)),
     old_webhooks AS (
         DELETE FROM webhooks WHERE username = (SELECT made.username COLLATE "C" FROM made)),
     old_link AS (
         DELETE FROM password_links WHERE username = (SELECT made.username COLLATE "C" FROM made)),
     old_subject AS (
         DELETE FROM subjects WHERE username = (SELECT made.username COLLATE "C" FROM made)),
     old_ban AS (
         DELETE FROM bans WHERE $8 AND username = (SELECT made.username COLLATE "C" FROM made)),
     old_invites AS (
         DELETE FROM invites WHERE $8 AND by_user = (SELECT made.username COLLATE "C" FROM made))
     SELECT has_account, is_known, is_confusable, made_before OR EXISTS (SELECT FROM made), made_before
       FROM known"#;

/// Another program may have added the account without a row in `names`.
pub(super) const REMOVE_USER: &str = "WITH removed AS (
         DELETE FROM users WHERE username = $1 RETURNING username),
     old_role AS (DELETE FROM administrators WHERE username = $1),
     found_by AS (DELETE FROM name_words WHERE username = $1)
     INSERT INTO names (username, cased, folded, rules) SELECT username, $2, $3, $4 FROM removed
         ON CONFLICT (username) DO NOTHING";

/// Accounts of the original may lack a date.
pub(super) const FIND_USER: &str = "SELECT username, password_hash, avatar,
            CASE WHEN isfinite(created_at)
                 THEN greatest(0, round(extract(epoch FROM created_at) * 1000))::bigint
                 ELSE 0 END
       FROM users WHERE username = $1";

/// Names that differ only in case have the same skeleton in folded case. The
/// original's names have the collation of the database.
pub(super) const FIND_SUBJECT: &str = "SELECT u.username, u.password_hash, u.avatar,
            CASE WHEN isfinite(u.created_at)
                 THEN greatest(0, round(extract(epoch FROM u.created_at) * 1000))::bigint
                 ELSE 0 END
       FROM subjects AS s JOIN users AS u ON u.username = s.username COLLATE \"default\"
      WHERE s.issuer = $1 AND s.subject = $2";

pub(super) const FIND_USER_IGNORING_CASE: &str = r#"SELECT username, password_hash, avatar,
            CASE WHEN isfinite(created_at)
                 THEN greatest(0, round(extract(epoch FROM created_at) * 1000))::bigint
                 ELSE 0 END
       FROM users WHERE username IN ($1, $2)
     UNION ALL
     SELECT u.username, u.password_hash, u.avatar,
            CASE WHEN isfinite(u.created_at)
                 THEN greatest(0, round(extract(epoch FROM u.created_at) * 1000))::bigint
                 ELSE 0 END
       FROM names AS n JOIN users AS u ON u.username = n.username COLLATE "default"
      WHERE n.folded = $3"#;

/// Accounts of the original may have an empty name, which is left out: it is no
/// username.
pub(super) const LIST_USERS: &str = "SELECT username, password_hash, avatar,
            CASE WHEN isfinite(created_at)
                 THEN greatest(0, round(extract(epoch FROM created_at) * 1000))::bigint
                 ELSE 0 END
       FROM users WHERE username > $1 ORDER BY username LIMIT $2";

/// `$1` has each name once or more often.
pub(super) const FIND_USERS: &str = "SELECT username, password_hash, avatar,
            CASE WHEN isfinite(created_at)
                 THEN greatest(0, round(extract(epoch FROM created_at) * 1000))::bigint
                 ELSE 0 END
       FROM users WHERE username = ANY($1::text[])";

/// Also matches the new hash: an earlier attempt whose answer was lost may have set it.
const SET_PASSWORD_HASH: &str =
    "UPDATE users SET password_hash = $3 WHERE username = $1 AND password_hash IN ($2, $3) RETURNING 1";

const SET_AVATAR: &str = "UPDATE users SET avatar = $3 WHERE username = $1
        AND (avatar IS NOT DISTINCT FROM $2 OR avatar IS NOT DISTINCT FROM $3) RETURNING 1";

/// Skips rows that another server is deleting.
const SWEEP_SESSIONS: &str = "DELETE FROM sessions WHERE id IN (
         SELECT id FROM sessions WHERE expires_at <= $1 ORDER BY expires_at LIMIT 100 FOR UPDATE SKIP LOCKED)";

const OPEN_SESSION: &str =
    "INSERT INTO sessions (id, username, created_at, expires_at, device, address, last_seen_at)
     VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (id) DO UPDATE SET username = excluded.username,
            created_at = excluded.created_at, expires_at = excluded.expires_at,
            device = excluded.device, address = excluded.address, last_seen_at = excluded.last_seen_at";

pub(super) const FIND_SESSION: &str =
    "SELECT id, username, created_at, expires_at, device, address, last_seen_at
       FROM sessions WHERE id = $1 AND expires_at > $2";

const SESSIONS_OF: &str = "SELECT id, username, created_at, expires_at, device, address, last_seen_at
       FROM sessions WHERE username = $1 AND expires_at > $2
      ORDER BY created_at DESC, id DESC LIMIT $3";

// All servers of the database are told when sessions end.
const REVOKE_SESSION: &str = "WITH ended AS (DELETE FROM sessions WHERE id = $1 RETURNING id, username)
     SELECT id, pg_notify('chat_sessions', username),
            tell_servers(json_build_object('sessions_of', username))
       FROM ended";

/// Locks the rows in one order, so that two statements at once cannot deadlock.
pub(super) const REVOKE_SESSIONS_OF: &str = "WITH ended AS (DELETE FROM sessions WHERE id IN (
         SELECT id FROM sessions WHERE username = $1 ORDER BY id FOR UPDATE) RETURNING id, username)
     SELECT id, pg_notify('chat_sessions', username),
            tell_servers(json_build_object('sessions_of', username))
       FROM ended";

/// In the same order.
const REVOKE_OTHER_SESSIONS: &str = "WITH ended AS (DELETE FROM sessions WHERE id IN (
         SELECT id FROM sessions WHERE username = $1 AND id <> $2 ORDER BY id FOR UPDATE)
     RETURNING id, username)
     SELECT id, pg_notify('chat_sessions', username),
            tell_servers(json_build_object('sessions_of', username))
       FROM ended";

/// Deletes the oldest sessions of a user, but never the one that was just opened. A session that another
/// statement has locked is passed over until the next sign-in.
const END_OLDEST_SESSIONS: &str = "WITH ended AS (DELETE FROM sessions WHERE id IN (
         SELECT id FROM sessions WHERE username = $1 AND id <> $2
          ORDER BY created_at DESC, id DESC OFFSET $3 FOR UPDATE SKIP LOCKED)
     RETURNING id, username)
     SELECT id, pg_notify('chat_sessions', username),
            tell_servers(json_build_object('sessions_of', username))
       FROM ended";

/// The user may have sockets without a session.
pub(super) const TELL_OF_BAN: &str = "SELECT pg_notify('chat_sessions', left($1, 1000)), tell_servers(json_build_object('sessions_of', $1::text))";

const END_BANNED: &str = "DELETE FROM sessions WHERE id = $1
        AND EXISTS (SELECT FROM bans WHERE username = $2) RETURNING 1";

const TOUCH_SESSION: &str = "UPDATE sessions SET last_seen_at = $2 WHERE id = $1 AND last_seen_at < $2";

pub(super) const VALID_SESSIONS: &str = "SELECT s.id, s.expires_at
       FROM unnest($1::text[]) AS d (id) JOIN sessions AS s ON s.id = d.id
      WHERE s.expires_at > $2";

const RENEW_SESSION: &str = "UPDATE sessions SET expires_at = $3 WHERE id = $1 AND expires_at > $2";

//! Administration in a database: each function runs inside the caller's transaction, which
//! holds its locks.

mod audit;
mod invites;
mod profile;
mod reports;

pub(crate) use audit::*;
use chat_core::{SecretHash, Username};
pub(crate) use invites::*;
pub(crate) use profile::*;
pub(crate) use reports::*;

use super::{
    AuditAction, Ban, BanRefused, Deletion, LogPosition, MessagesOf, NewAudit, NewBan, NewPasswordLink,
};
use crate::rows::{self, Columns};
use crate::statements::{Statements, Value};
use crate::{RoleChange, StoreError, Subject, columns};
use Value::{Number, NumberOrNull, Text, TextOrNull};

/// Keeps other calls that count, or take away, what a user has made waiting until the end of
/// this transaction. It is taken after the lock of roles and after those of rooms.
async fn lock_user<S: Statements>(statements: &mut S, user: &Username) -> Result<(), S::Error> {
    if let Some(lock) = S::LOCK_USER {
        statements.rows(lock, &[Text(user.as_str())]).await?;
    }
    Ok(())
}

/// Ends what a removed account has made and was given that would let somebody in: invitations,
/// links that set passwords; and its ban, if no messages are still being deleted under it.
pub(crate) async fn forget_user<S: Statements>(statements: &mut S, user: &Username) -> Result<(), S::Error> {
    withdraw_all(statements, user).await?;
    crate::bots::database::forget(statements, user).await?;
    let name = [Text(user.as_str())];
    for sql in [DROP_LINKS_BY, DROP_LINKS_OF, FORGET_BAN, FORGET_REMOVALS, FORGET_SUBJECT] {
        statements.rows(sql, &name).await?;
    }
    Ok(())
}

/// Ends all that is left of a removed account whose name the operator gives to another one.
#[cfg(feature = "sqlite")]
pub(crate) async fn forget_former_user<S: Statements>(
    statements: &mut S,
    user: &Username,
) -> Result<(), S::Error> {
    forget_user(statements, user).await?;
    statements.rows(UNBAN, &[Text(user.as_str())]).await.map(drop)
}

/// Ends the link that sets the password of an account.
pub(crate) async fn drop_links_of<S: Statements>(
    statements: &mut S,
    user: &Username,
) -> Result<(), S::Error> {
    statements.rows(DROP_LINKS_OF, &[Text(user.as_str())]).await.map(drop)
}

/// Gives an account, which the caller has made in this transaction, to a user of an OpenID provider.
/// The caller keeps other transactions from making accounts.
///
/// # Errors
///
/// [`StoreError::NameTaken`] if the user has another one.
pub(crate) async fn give_account<S: Statements>(
    statements: &mut S,
    Subject { issuer, subject }: Subject<'_>,
    name: &Username,
) -> Result<Result<(), StoreError>, S::Error> {
    let values = [Text(issuer), Text(subject), Text(name.as_str())];
    // Another program may have removed the account, and left the row.
    statements.rows(FORGET_LOST_SUBJECT, &values[..2]).await?;
    let is_given = statements.row(GIVE_ACCOUNT, &values).await?.is_some()
        // By an earlier attempt, whose answer was lost.
        || statements.row(HAS_GIVEN_ACCOUNT, &values).await?.is_some();
    Ok(if is_given { Ok(()) } else { Err(StoreError::NameTaken) })
}

/// Counts the accounts of people.
pub(crate) async fn count_users<S: Statements>(mut statements: S) -> Result<u64, S::Error> {
    Ok(statements.row(COUNT_USERS, &[]).await?.ok_or(NO_ANSWER)?.number(0)?)
}

/// Checks that there is space for another account. The caller keeps other transactions from making
/// accounts that this one does not see.
pub(crate) async fn check_accounts<S: Statements>(
    statements: &mut S,
    accounts_max: Option<u64>,
) -> Result<Result<(), StoreError>, S::Error> {
    let Some(max) = accounts_max else { return Ok(Ok(())) };
    let row = statements.row(COUNT_ACCOUNTS, &[Number(columns::column(max))]).await?;
    let is_full = row.ok_or(NO_ANSWER)?.number(0)? >= max;
    Ok(if is_full { Err(StoreError::TooManyAccounts { max }) } else { Ok(()) })
}

/// Bans a user, but does not end the sessions. The caller keeps roles from changing.
pub(crate) async fn ban<S: Statements>(
    statements: &mut S,
    ban: &NewBan,
    by: Option<&Username>,
    now_ms: u64,
) -> Result<Result<(), BanRefused>, S::Error> {
    let user = Text(ban.user.as_str());
    if !ban.without_account && statements.row(HAS_ACCOUNT, &[user]).await?.is_none() {
        return Ok(Err(BanRefused::NoUser));
    }
    if statements.row(IS_ADMINISTRATOR, &[user]).await?.is_some() {
        return Ok(Err(BanRefused::Administrator));
    }
    let earlier = statements.row(FIND_BAN, &[user]).await?.map(|row| ban_row(&row)).transpose()?;
    let is_new = earlier
        .as_ref()
        .is_none_or(|earlier| earlier.reason != ban.reason || (ban.delete_messages && !earlier.is_deleting));
    if !is_new {
        return Ok(Ok(()));
    }
    let start = (ban.delete_messages && !earlier.is_some_and(|earlier| earlier.is_deleting)).then_some(0);
    let values = [
        user,
        TextOrNull(by.map(Username::as_str)),
        Number(columns::column(now_ms)),
        Text(&ban.reason),
        NumberOrNull(start),
    ];
    statements.rows(BAN, &values).await?;
    withdraw_all(statements, &ban.user).await?;
    statements.rows(DROP_LINKS_OF, &[user]).await?;
    note(statements, super::banned(ban, by, now_ms)).await?;
    Ok(Ok(()))
}

/// Ends a ban.
pub(crate) async fn unban<S: Statements>(
    statements: &mut S,
    user: &Username,
    by: Option<&Username>,
    now_ms: u64,
) -> Result<bool, S::Error> {
    if statements.row(UNBAN, &[Text(user.as_str())]).await?.is_none() {
        return Ok(false);
    }
    let (action, target) = (AuditAction::UserUnban, user.as_str());
    note(statements, NewAudit { by, at_ms: now_ms, action, target, details: None }).await?;
    Ok(true)
}

/// Finds the bans of users.
pub(crate) async fn bans_of<S: Statements>(
    mut statements: S,
    users: &[Username],
) -> Result<Vec<Ban>, S::Error> {
    let names: Vec<&str> = users.iter().map(Username::as_str).collect();
    let rows = statements.rows(S::BANS_OF, &[Text(&crate::statements::json(&names)?)]).await?;
    Ok(rows.iter().map(ban_row).collect::<Result<_, StoreError>>()?)
}

/// Finds the ban of a user.
pub(crate) async fn find_ban<S: Statements>(
    mut statements: S,
    user: &Username,
) -> Result<Option<Ban>, S::Error> {
    let row = statements.row(FIND_BAN, &[Text(user.as_str())]).await?;
    Ok(row.map(|row| ban_row(&row)).transpose()?)
}

/// Lists bans.
pub(crate) async fn bans<S: Statements>(
    mut statements: S,
    after: Option<&Username>,
    max: usize,
) -> Result<Vec<Ban>, S::Error> {
    let values = [Text(after.map_or("", Username::as_str)), Number(columns::column(max as u64))];
    let rows = statements.rows(BANS, &values).await?;
    Ok(rows.iter().map(ban_row).collect::<Result<_, StoreError>>()?)
}

/// The columns `username, by_user, at, reason, deletes_topic`.
fn ban_row(row: &impl Columns) -> Result<Ban, StoreError> {
    Ok(Ban {
        user: columns::username(row.text(0)?)?,
        by: row.text_or_null(1)?.map(columns::username).transpose()?,
        at_ms: row.number(2)?,
        reason: row.text(3)?.to_owned(),
        is_deleting: row.integer_or_null(4)?.is_some(),
    })
}

/// Lists deletions that are not complete.
pub(crate) async fn deletions<S: Statements>(
    mut statements: S,
    max: usize,
) -> Result<Vec<Deletion>, S::Error> {
    let deletion = |row: &S::Row| {
        let upto = LogPosition { topic: row.number(1)?, seq: row.number(2)? };
        Ok(Deletion { user: columns::username(row.text(0)?)?, banned_at_ms: row.number(3)?, upto })
    };
    let rows = statements.rows(DELETIONS, &[Number(columns::column(max as u64))]).await?;
    Ok(rows.iter().map(deletion).collect::<Result<_, StoreError>>()?)
}

/// Looks at some messages of the log for those of a user.
pub(crate) async fn messages_of<S: Statements>(
    mut statements: S,
    user: &Username,
    after: LogPosition,
    max_entries: usize,
) -> Result<MessagesOf, S::Error> {
    let (topic, seq) = (Number(columns::column(after.topic)), Number(columns::column(after.seq)));
    // The last message of this part; without it, the part is the rest.
    let others = columns::column(max_entries.max(1) as u64) - 1;
    let end = statements.row(PART_END, &[topic, seq, Number(others)]).await?;
    let end = end.map(|row| Ok::<_, StoreError>((row.number(0)?, row.number(1)?))).transpose()?;
    let (last_topic, last_seq) = end.unwrap_or((u64::MAX, u64::MAX));
    let last = [Number(columns::column(last_topic)), Number(columns::column(last_seq))];
    let values = [topic, seq, last[0], last[1], Text(user.as_str())];
    let rows = statements.rows(MESSAGES_OF, &values).await?;
    let message = |row: &S::Row| Ok((rows::topic(row, 0)?, row.number(3)?));
    Ok(MessagesOf {
        messages: rows.iter().map(message).collect::<Result<_, StoreError>>()?,
        next: end.map(|(topic, seq)| LogPosition { topic, seq }),
    })
}

/// Notes how far a deletion has got.
pub(crate) async fn note_deletion<S: Statements>(
    statements: &mut S,
    user: &Username,
    upto: Option<LogPosition>,
) -> Result<(), S::Error> {
    let column =
        |number: fn(LogPosition) -> u64| NumberOrNull(upto.map(|upto| columns::column(number(upto))));
    let values = [Text(user.as_str()), column(|upto| upto.topic), column(|upto| upto.seq)];
    statements.rows(SET_DELETION, &values).await.map(drop)
}

/// Gives an account the role of an administrator, or takes it. The caller keeps roles from
/// changing.
pub(crate) async fn set_role<S: Statements>(
    statements: &mut S,
    name: &Username,
    is_administrator: bool,
    by: Option<&Username>,
    now_ms: u64,
) -> Result<RoleChange, S::Error> {
    let user = Text(name.as_str());
    let was_administrator = statements.row(IS_ADMINISTRATOR, &[user]).await?.is_some();
    if is_administrator {
        if statements.row(FIND_BAN, &[user]).await?.is_some() {
            return Ok(RoleChange::Banned);
        }
        let is_first = !was_administrator && !has_other_administrator(statements, name).await?;
        let values = [user, Number(columns::column(now_ms))];
        if statements.row(PROMOTE, &values).await?.is_none() {
            return Ok(RoleChange::NoPassword);
        }
        if is_first {
            statements.rows(COUNT_SET_UP, &[]).await?;
        }
    } else {
        if was_administrator && !has_other_administrator(statements, name).await? {
            return Ok(RoleChange::LastAdministrator);
        }
        statements.rows(DEMOTE, &[user]).await?;
        statements.rows(DROP_LINKS_BY, &[user]).await?;
        withdraw_as_administrator(statements, name).await?;
    }
    if was_administrator != is_administrator {
        note(statements, super::role_changed(name, is_administrator, by, now_ms)).await?;
    }
    Ok(RoleChange::Done)
}

/// Makes an account the first administrator. The caller keeps roles from changing.
pub(crate) async fn set_up<S: Statements>(
    statements: &mut S,
    name: &Username,
    now_ms: u64,
) -> Result<Option<RoleChange>, S::Error> {
    let user = Text(name.as_str());
    if has_other_administrator(statements, name).await? {
        return Ok(None);
    }
    if statements.row(IS_ADMINISTRATOR, &[user]).await?.is_some() {
        return Ok(Some(RoleChange::Done));
    }
    if statements.row(FIND_BAN, &[user]).await?.is_some() {
        return Ok(Some(RoleChange::Banned));
    }
    if statements.row(PROMOTE, &[user, Number(columns::column(now_ms))]).await?.is_none() {
        return Ok(Some(RoleChange::NoPassword));
    }
    statements.rows(COUNT_SET_UP, &[]).await?;
    let (action, target) = (AuditAction::Setup, name.as_str());
    note(statements, NewAudit { by: Some(name), at_ms: now_ms, action, target, details: None }).await?;
    Ok(Some(RoleChange::Done))
}

/// How often an account became the first administrator.
pub(crate) async fn set_up_round<S: Statements>(mut statements: S) -> Result<u64, S::Error> {
    let row = statements.row(SET_UP_ROUND, &[]).await?;
    let round = row.map(|row| Ok::<_, StoreError>(row.text(0)?.parse::<u64>())).transpose()?;
    let damaged = StoreError::Damaged { what: "the number of set-ups" };
    Ok(round.transpose().map_err(|_| damaged)?.unwrap_or(0))
}

/// Another program may have removed an account, and left its role: that is none.
async fn has_other_administrator<S: Statements>(
    statements: &mut S,
    name: &Username,
) -> Result<bool, S::Error> {
    for row in &statements.rows(ADMINISTRATORS, &[]).await? {
        let other = row.text(0)?;
        if other != name.as_str() && statements.row(HAS_ACCOUNT, &[Text(other)]).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Stores a link that sets a password. The caller keeps roles from changing.
pub(crate) async fn create_password_link<S: Statements>(
    statements: &mut S,
    link: &NewPasswordLink,
    by: Option<&Username>,
    now_ms: u64,
) -> Result<bool, S::Error> {
    let (user, secret) = (Text(link.user.as_str()), link.secret.to_hex());
    let now = Number(columns::column(now_ms));
    if statements.row(HAS_PASSWORD, &[user]).await?.is_none() {
        return Ok(false);
    }
    if let Some(by) = by
        && statements.row(IS_ADMINISTRATOR, &[Text(by.as_str())]).await?.is_none()
    {
        return Ok(false);
    }
    if statements.row(FIND_LINK, &[Text(&secret), now]).await?.is_some() {
        return Ok(true);
    }
    statements.rows(SWEEP_LINKS, &[now]).await?;
    let end = Number(columns::column(link.expires_at_ms));
    statements.rows(ADD_LINK, &[Text(&secret), user, TextOrNull(by.map(Username::as_str)), end]).await?;
    let (action, target) = (AuditAction::UserPassword, link.user.as_str());
    note(statements, NewAudit { by, at_ms: now_ms, action, target, details: None }).await?;
    Ok(true)
}

/// Finds the account of a link.
pub(crate) async fn find_password_link<S: Statements>(
    mut statements: S,
    secret: &SecretHash,
    now_ms: u64,
) -> Result<Option<Username>, S::Error> {
    let values = [Text(&secret.to_hex()), Number(columns::column(now_ms))];
    let row = statements.row(FIND_LINK, &values).await?;
    Ok(row.map(|row| columns::username(row.text(0)?)).transpose()?)
}

/// Uses a link, but does not end the sessions of its account, which is returned.
pub(crate) async fn use_password_link<S: Statements>(
    statements: &mut S,
    secret: &SecretHash,
    new_hash: &str,
    now_ms: u64,
) -> Result<Option<Username>, S::Error> {
    let values = [Text(&secret.to_hex()), Number(columns::column(now_ms))];
    let Some(row) = statements.row(TAKE_LINK, &values).await? else { return Ok(None) };
    let user = columns::username(row.text(0)?)?;
    let set = statements.row(SET_PASSWORD, &[Text(user.as_str()), Text(new_hash)]).await?;
    Ok(set.map(|_| user))
}

/// Whether an account has this hash of a password.
pub(crate) async fn has_hash<S: Statements>(
    statements: &mut S,
    name: &Username,
    hash: &str,
) -> Result<bool, S::Error> {
    Ok(statements.row(HAS_HASH, &[Text(name.as_str()), Text(hash)]).await?.is_some())
}

/// Replaces the hash of an account's password, but does not end its sessions. Returns whether
/// there is the account.
pub(crate) async fn reset_password<S: Statements>(
    statements: &mut S,
    name: &Username,
    new_hash: &str,
    by: Option<&Username>,
    now_ms: u64,
) -> Result<bool, S::Error> {
    if has_hash(statements, name, new_hash).await? {
        return Ok(true);
    }
    if statements.row(SET_PASSWORD, &[Text(name.as_str()), Text(new_hash)]).await?.is_none() {
        return Ok(false);
    }
    drop_links_of(statements, name).await?;
    let (action, target) = (AuditAction::UserPassword, name.as_str());
    note(statements, NewAudit { by, at_ms: now_ms, action, target, details: None }).await?;
    Ok(true)
}

const NO_ANSWER: StoreError = StoreError::Damaged { what: "no answer" };

const HAS_ACCOUNT: &str = "SELECT 1 FROM users WHERE username = $1";

/// It counts no further than to the limit.
const COUNT_USERS: &str = "SELECT count(*) FROM users AS u
    WHERE NOT EXISTS (SELECT 1 FROM bots AS b WHERE b.username = u.username)";
const COUNT_ACCOUNTS: &str = "SELECT count(*) FROM (
    SELECT 1 FROM users AS u WHERE NOT EXISTS (SELECT 1 FROM bots AS b WHERE b.username = u.username)
    LIMIT $1) AS counted";

const HAS_PASSWORD: &str = "SELECT 1 FROM users WHERE username = $1 AND password_hash LIKE '$%'";

const COUNT_SET_UP: &str = "INSERT INTO meta (key, value) VALUES ('set_ups', '1')
         ON CONFLICT (key) DO UPDATE SET value = CAST(CAST(meta.value AS BIGINT) + 1 AS TEXT)";

const SET_UP_ROUND: &str = "SELECT value FROM meta WHERE key = 'set_ups'";

const IS_ADMINISTRATOR: &str = "SELECT 1 FROM administrators WHERE username = $1";

const ADMINISTRATORS: &str = "SELECT username FROM administrators";

/// The update, which changes nothing, makes it return a row for an administrator, too.
const PROMOTE: &str = "INSERT INTO administrators (username, since)
     SELECT u.username, $2 FROM users AS u WHERE u.username = $1 AND (u.password_hash LIKE '$%'
            OR EXISTS (SELECT 1 FROM subjects AS s WHERE s.username = u.username))
         ON CONFLICT (username) DO UPDATE SET since = administrators.since
     RETURNING 1";

const GIVE_ACCOUNT: &str = "INSERT INTO subjects (issuer, subject, username) VALUES ($1, $2, $3)
     ON CONFLICT DO NOTHING RETURNING 1";
const HAS_GIVEN_ACCOUNT: &str = "SELECT 1 FROM subjects WHERE issuer = $1 AND subject = $2 AND username = $3";
const FORGET_LOST_SUBJECT: &str = "DELETE FROM subjects WHERE issuer = $1 AND subject = $2
     AND NOT EXISTS (SELECT 1 FROM users AS u WHERE u.username = subjects.username)";
const FORGET_SUBJECT: &str = "DELETE FROM subjects WHERE username = $1";

const DEMOTE: &str = "DELETE FROM administrators WHERE username = $1";

macro_rules! bans {
    ($rest:literal) => {
        concat!("SELECT username, by_user, at, reason, deletes_topic FROM bans WHERE ", $rest)
    };
}

pub(crate) const FIND_BAN: &str = bans!("username = $1");

pub(crate) const BANS: &str = bans!("username > $1 ORDER BY username LIMIT $2");

/// A deletion that is under way goes on.
const BAN: &str = "INSERT INTO bans (username, by_user, at, reason, deletes_topic, deletes_seq)
     VALUES ($1, $2, $3, $4, $5, $5)
         ON CONFLICT (username) DO UPDATE SET reason = excluded.reason,
            deletes_topic = coalesce(excluded.deletes_topic, bans.deletes_topic),
            deletes_seq = coalesce(excluded.deletes_seq, bans.deletes_seq)";

const UNBAN: &str = "DELETE FROM bans WHERE username = $1 RETURNING 1";

// CROSS JOIN makes SQLite look each ban up by its name.
#[cfg(feature = "sqlite")]
pub(crate) const BANS_OF_SQLITE: &str = "SELECT b.username, b.by_user, b.at, b.reason, b.deletes_topic
       FROM jsonb_each($1) AS d CROSS JOIN bans AS b ON b.username = d.value";

#[cfg(feature = "postgres")]
pub(crate) const BANS_OF_POSTGRES: &str = "SELECT b.username, b.by_user, b.at, b.reason, b.deletes_topic
       FROM jsonb_array_elements_text($1::text::jsonb) AS d (name)
       JOIN bans AS b ON b.username = d.name COLLATE \"C\"";

pub(crate) const DELETIONS: &str = "SELECT username, deletes_topic, deletes_seq, at FROM bans
     WHERE deletes_topic IS NOT NULL ORDER BY username LIMIT $1";

pub(crate) const PART_END: &str = "SELECT topic, seq FROM entries WHERE (topic, seq) > ($1, $2)
     ORDER BY topic, seq LIMIT 1 OFFSET $3";

pub(crate) const MESSAGES_OF: &str = "SELECT t.kind, t.name, t.other, e.seq
       FROM entries AS e CROSS JOIN topics AS t
      WHERE (e.topic, e.seq) > ($1, $2) AND (e.topic, e.seq) <= ($3, $4)
        AND e.sender = $5 AND e.deleted IS NULL AND t.id = e.topic
      ORDER BY e.topic, e.seq";

const SET_DELETION: &str = "UPDATE bans SET deletes_topic = $2, deletes_seq = $3
     WHERE username = $1 AND deletes_topic IS NOT NULL";

pub(crate) const FIND_LINK: &str =
    "SELECT username FROM password_links WHERE secret_hash = $1 AND expires_at > $2";

const SWEEP_LINKS: &str = "DELETE FROM password_links WHERE secret_hash IN
     (SELECT secret_hash FROM password_links WHERE expires_at <= $1 ORDER BY expires_at LIMIT 200)";

const ADD_LINK: &str = "INSERT INTO password_links (secret_hash, username, by_user, expires_at)
     VALUES ($1, $2, $3, $4)
         ON CONFLICT (username) DO UPDATE SET secret_hash = excluded.secret_hash,
            by_user = excluded.by_user, expires_at = excluded.expires_at";

const DROP_LINKS_BY: &str = "DELETE FROM password_links WHERE by_user = $1";

const DROP_LINKS_OF: &str = "DELETE FROM password_links WHERE username = $1";

const FORGET_BAN: &str = "DELETE FROM bans WHERE username = $1 AND deletes_topic IS NULL";

const FORGET_REMOVALS: &str = "DELETE FROM removed_members WHERE username = $1";

const TAKE_LINK: &str =
    "DELETE FROM password_links WHERE secret_hash = $1 AND expires_at > $2 RETURNING username";

const SET_PASSWORD: &str = "UPDATE users SET password_hash = $2 WHERE username = $1 RETURNING 1";

const HAS_HASH: &str = "SELECT 1 FROM users WHERE username = $1 AND password_hash = $2";
